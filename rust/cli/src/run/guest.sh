# SPDX-License-Identifier: GPL-2.0-or-later
# Runs in the guest, after filesystem.sh and lines that set the array `args` (fio arguments of the user's own) and FS
# (a file system, or nothing), MKFS and OPTIONS (of mkfs and mount): finds the drive's data namespace, formats it if asked to, gives fio defaults that fit
# it, leaves everything in /tmp/out.
set -u
out=/tmp/out
mkdir -p $out/log

# The names of the NVMe namespaces that can be opened.
namespaces() {
    for sys in /sys/block/nvme*; do
        name=${sys##*/}
        if [ -b "/dev/$name" ]; then echo "$name"; fi
    done
}

# The zoned namespace, or else the one with the highest number. New kernels add namespaces one by one, so wait
# for as many as the controller lists.
data_namespace() {
    local wanted=0 tries=0 best='' highest=0 name nsid
    wanted=$(nvme list-ns /dev/nvme0 2>/dev/null | grep -c 0x)
    while [ "$(namespaces | wc -l)" -lt "$wanted" ] && [ $tries -lt 100 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    for name in $(namespaces); do
        nsid=$(cat "/sys/block/$name/nsid")
        if [ "$(cat "/sys/block/$name/queue/zoned")" = host-managed ]; then
            echo "$name"
            return
        fi
        if [ "$nsid" -gt $highest ]; then
            highest=$nsid
            best=$name
        fi
    done
    echo "$best"
}

name=$(data_namespace)
if [ -z "$name" ]; then
    echo "the guest sees no NVMe namespace; its kernel says:" >&2
    dmesg | grep -i nvme | tail -n 5 >&2
    exit 1
fi
# The conventional namespace beside it.
meta_namespace() {
    local other
    for other in $(namespaces); do
        if [ "$other" != "$name" ] && [ "$(cat "/sys/block/$other/queue/zoned")" = none ]; then
            echo "/dev/$other"
            return
        fi
    done
}

DATA=/dev/$name META=$(meta_namespace)
target=(--filename="$DATA" --direct=1)
default=/root/block.fio
if [ -n "$FS" ]; then
    fs_make && fs_mount || exit
    target=(--directory=/mnt)
    default=/root/filesystem.fio
    if [ "$FS" = zonefs ]; then
        # Its files are there already and only grow.
        target=(--directory=/mnt/seq --direct=1 --file_append=1 --allow_file_create=0 --create_on_open=1)
        default=/root/zonefs.fio
    fi
elif [ "$(cat "/sys/block/$name/queue/zoned")" = host-managed ]; then
    target+=(--zonemode=zbd)
    default=/root/zoned.fio
    ZONES=$(cat "/sys/block/$name/queue/nr_zones")
    if [ "$ZONES" -gt 8 ]; then ZONES=8; fi
    export ZONES
fi
if [ -f /root/job.fio ]; then
    jobs=("${args[@]}" /root/job.fio)
elif [ ${#args[@]} -gt 0 ]; then
    # Arguments that name their own jobs need none of ours: what stands before the first is for all of them.
    jobs=("${args[@]}")
    case " ${args[*]}" in
    *" --name="* | *" --name "*) ;;
    *) jobs=(--name=run "${args[@]}") ;;
    esac
else
    jobs=("$default")
fi

{
    echo "kernel $(uname -r)"
    echo "namespace $DATA"
    echo "zoned $(cat "/sys/block/$name/queue/zoned")"
    if [ -n "$FS" ]; then echo "made $FS_MADE"; fi
} >$out/facts
for word in "${jobs[@]}"; do
    if [ -f "$word" ]; then cat "$word"; else echo "$word"; fi
done >$out/job

fio --output-format=json+ --output=$out/fio.json \
    "${target[@]}" --ioengine=io_uring \
    --lat_percentiles=1 --log_avg_msec=20 --log_unix_epoch=1 \
    --write_bw_log=$out/log/run --write_lat_log=$out/log/run \
    "${jobs[@]}"
status=$?

for log in $out/log/run_bw.*.log $out/log/run_lat.*.log; do
    if [ -f "$log" ]; then
        echo "# ${log##*/}"
        cat "$log"
    fi
done >$out/samples
# F2FS counts in the kernel, as long as it is mounted.
if [ "$FS" = f2fs ]; then
    mount -t debugfs none /sys/kernel/debug 2>/dev/null
    cat /sys/kernel/debug/f2fs/status >$out/filesystem 2>/dev/null
fi
if [ -n "$FS" ] && [ $status = 0 ]; then
    if fs_remount_verify; then
        echo "verified $FS_VERIFIED files, the same after a remount" >>$out/facts
        umount /mnt
    else
        status=1
    fi
fi
# The port has only what a quiet kernel thinks important.
dmesg >$out/console.log
exit $status
