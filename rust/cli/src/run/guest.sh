# SPDX-License-Identifier: GPL-2.0-or-later
# Runs in the guest, after a line that sets the array `args` (fio arguments of the user's own):
# finds the drive's data namespace, gives fio defaults that fit it, leaves everything in /tmp/out.
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
zoned=()
default=/root/block.fio
if [ "$(cat "/sys/block/$name/queue/zoned")" = host-managed ]; then
    zoned=(--zonemode=zbd)
    default=/root/zoned.fio
    ZONES=$(cat "/sys/block/$name/queue/nr_zones")
    if [ "$ZONES" -gt 8 ]; then ZONES=8; fi
    export ZONES
fi
if [ -f /root/job.fio ]; then
    jobs=("${args[@]}" /root/job.fio)
elif [ ${#args[@]} -gt 0 ]; then
    jobs=(--name=run "${args[@]}")
else
    jobs=("$default")
fi

{
    echo "kernel $(uname -r)"
    echo "namespace /dev/$name"
} >$out/facts
for word in "${jobs[@]}"; do
    if [ -f "$word" ]; then cat "$word"; else echo "$word"; fi
done >$out/job

fio --output-format=json+ --output=$out/fio.json \
    --filename="/dev/$name" --direct=1 --ioengine=io_uring "${zoned[@]}" \
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
# The port has only what a quiet kernel thinks important.
dmesg >$out/console.log
exit $status
