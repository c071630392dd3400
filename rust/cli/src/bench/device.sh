# SPDX-License-Identifier: GPL-2.0-or-later
# Runs in the guest, after a line that sets `seconds`, `rounds` and `drives` (of each kind): the same fio jobs on the
# zoned namespaces of both kinds of controller, and on null_blk, which is what is left without a device. Prints `begin NAME`
# and `end NAME IOPS IOS ERRORS` around each, where NAME is <kind>:<job>.
set -eu

# The name of the zoned namespace of the controller with this serial number.
zoned_of() {
    local tries=0 sys name
    while [ $tries -lt 100 ]; do
        for sys in /sys/block/nvme*; do
            name=${sys##*/}
            if [ -b "/dev/$name" ] && [ "$(cat "$sys/queue/zoned")" = host-managed ] &&
                [ "$(tr -d ' ' <"$sys/device/serial")" = "$1" ]; then
                echo "$name"
                return
            fi
        done
        sleep 0.1
        tries=$((tries + 1))
    done
    echo "no zoned namespace of $1" >&2
    return 1
}

# job NAME fio-arguments...: on the first drive of each kind in turn
job() {
    local name=$1 kind
    shift
    for kind in conzone reference null; do
        measure $kind:"$name" "$@" --name=job --filename="${names[${kind}0]}"
    done
}

# job_everywhere NAME fio-arguments...: on all drives of each kind in turn, all at once
job_everywhere() {
    local name=$1 kind n parts
    shift
    for kind in conzone reference null; do
        parts=()
        for ((n = 0; n < drives; n++)); do
            parts+=(--name=job$n --filename="${names[$kind$n]}")
        done
        measure $kind:"$name" "$@" "${parts[@]}"
    done
}

# measure NAME fio-arguments...
measure() {
    local name=$1
    shift
    echo "begin $name"
    fio --direct=1 --zonemode=zbd --thread --group_reporting --time_based --runtime="$seconds" --output-format=json \
        --output=/tmp/job.json "$@"
    jq -r --arg name "$name" \
        '.jobs[0] | "end \($name) \(.read.iops + .write.iops) \(.read.total_ios + .write.total_ios) \(.error + .total_err)"' /tmp/job.json
}

# null N ZONES: a drive of the same zones that the kernel completes where it is submitted, and that keeps no data
null() {
    local drive=/sys/kernel/config/nullb/nullb$1
    mkdir "$drive"
    for setting in size=$((128 * $2)) zoned=1 zone_size=128 zone_capacity=96 zone_max_open=6 zone_max_active=6 \
        memory_backed=0 irqmode=0 queue_mode=2 submit_queues=2 hw_queue_depth=1023 power=1; do
        echo "${setting#*=}" >"$drive/${setting%%=*}"
    done
    echo "nullb$1"
}

modprobe configfs
grep -q /sys/kernel/config /proc/mounts || mount -t configfs none /sys/kernel/config
modprobe null_blk nr_devices=0
declare -A names
for kind in conzone reference null; do
    for ((n = 0; n < drives; n++)); do
        if [ $n = 0 ]; then zones=12; else zones=2; fi
        if [ $kind = null ]; then
            names[$kind$n]=/dev/$(null $n $((zones + 4)))
        else
            names[$kind$n]=/dev/$(zoned_of $kind$n)
        fi
        fio --name=fill --filename="${names[$kind$n]}" --direct=1 --zonemode=zbd --rw=write --bs=512k --size=${zones}z \
            --output=/tmp/fill.txt
    done
done

# fio's plain psync has one I/O in flight and no thread switch: io_uring hands every write to a zone to a worker of the
# kernel's, which costs the guest more than the device does. At depth 32 io_uring is what an application would use.
one="--ioengine=psync"
many="--ioengine=io_uring --iodepth=32"
batch="--iodepth_batch_submit=16 --iodepth_batch_complete_min=1 --iodepth_batch_complete_max=32"
# shellcheck disable=SC2086 # words
for round in $(seq "$rounds"); do
    job randread-4k-qd1-j1 $one --rw=randread --bs=4k --size=8z
    job randread-4k-qd32-j1 $many --rw=randread --bs=4k --size=8z
    job randread-4k-qd32-batch $many $batch --rw=randread --bs=4k --size=8z
    job randread-4k-qd32-j4 $many --rw=randread --bs=4k --size=2z --offset_increment=2z --numjobs=4
    job_everywhere randread-4k-qd32-d4 $many --rw=randread --bs=4k --size=2z
    for kib in 4 128; do
        job write-${kib}k-qd1-j1 $one --rw=write --bs=${kib}k --offset=8z --size=4z
        job write-${kib}k-qd1-j4 $one --rw=write --bs=${kib}k --offset=8z --size=1z --offset_increment=1z --numjobs=4
    done
done
