#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Run by /init before the job: file systems, the port for results, the nvme driver, its namespaces.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
ln -sf /proc/self/fd /dev/fd
ln -sf /proc/self/fd/0 /dev/stdin
ln -sf /proc/self/fd/1 /dev/stdout
ln -sf /proc/self/fd/2 /dev/stderr
stty -F /dev/ttyS1 raw -echo
echo /sbin/modprobe > /proc/sys/kernel/modprobe
hostname conzone

# Since 6.12 the kernel scans all namespaces at once and numbers them as they come. With one CPU for such work, and time
# slices in which a scan ends, they nearly always come in order.
mask=/sys/devices/virtual/workqueue/cpumask
cpus=$(cat $mask)
mount -t debugfs debugfs /sys/kernel/debug
slice=/sys/kernel/debug/sched/base_slice_ns
if [ -e $slice ]; then slice_ns=$(cat $slice); else slice=/dev/null; fi
echo 1 > $mask
echo 1000000000 > $slice
modprobe nvme

# The namespaces the controller lists against those the kernel has made block devices for.
complete() {
    for dir in /sys/class/nvme/nvme*; do
        [ -e "$dir" ] || continue
        [ "$(cat "$dir/state")" = live ] || return 1
        name=${dir##*/}
        for nsid in $(nvme list-ns "/dev/$name" 2>/dev/null | sed -n 's/.*:0x/0x/p'); do
            cat "$dir/$name"*n*/nsid 2>/dev/null | grep -qx "$((nsid))" || return 1
        done
    done
    # As many controllers as there are NVMe functions on the bus.
    functions=$(grep -lx 0x010802 /sys/bus/pci/devices/*/class 2>/dev/null | wc -l)
    [ "$(ls -d /sys/class/nvme/nvme* 2>/dev/null | wc -l)" -ge "$functions" ]
}

# Whether each controller's n1, n2, ... are its namespaces 1, 2, ...: a parallel scan may number them otherwise.
ordered() {
    for dir in /sys/class/nvme/nvme*/nvme*n*; do
        [ -e "$dir/nsid" ] || continue
        later=$(cat "$dir/nsid")
        name=${dir##*n}
        for other in "${dir%n*}"n*; do
            [ "${other##*n}" -lt "$name" ] && [ "$(cat "$other/nsid")" -gt "$later" ] && return 1
        done
    done
    return 0
}

settle() {
    tries=0
    until complete; do
        tries=$((tries + 1))
        if [ "$tries" -gt 150 ]; then
            echo "init: some NVMe namespaces did not appear" > /dev/kmsg
            return
        fi
        sleep 0.02
    done
}

settle
rescans=0
until ordered || [ "$rescans" -ge 5 ]; do
    rescans=$((rescans + 1))
    for function in /sys/bus/pci/drivers/nvme/0*; do
        echo "${function##*/}" > /sys/bus/pci/drivers/nvme/unbind
        echo "${function##*/}" > /sys/bus/pci/drivers/nvme/bind
    done
    settle
done
echo "$cpus" > $mask
echo "$slice_ns" > $slice
umount /sys/kernel/debug
