# SPDX-License-Identifier: GPL-2.0-or-later
# Runs in the guest; lines `phase NUMBER FIO-ARGUMENTS`, `rewrite NUMBER SEED BYTES FIO-ARGUMENTS` or
# `f2fs_phase NUMBER FSYNC BYTES SEED` follow.
# A NUMBER leaves NUMBER.fio, NUMBER.before and NUMBER.after in /tmp; - is a preparation.
set -eu -o pipefail

# Namespaces appear one by one after the controller.
for _ in $(seq 100); do
    found=$(ls -d /sys/block/nvme0n* 2>/dev/null | wc -l)
    wanted=$(nvme list-ns /dev/nvme0 2>/dev/null | grep -c 0x || true)
    if [ "$wanted" -gt 0 ] && [ "$found" -ge "$wanted" ]; then break; fi
    sleep 0.1
done
data=$(ls -d /sys/block/nvme0n* | sort -V | tail -n 1)
data=${data##*/}
zoned=$(cat "/sys/block/$data/queue/zoned")
cap=$((96 << 20))
if [ "$zoned" = host-managed ]; then
    cap=$(blkzone report -c 1 "/dev/$data" | sed -n 's/.*cap \(0x[0-9a-f]*\).*/\1/p')
    cap=$((cap * 512))
fi

# zones BYTES JOBS START: the part of the namespace that each job works on, for BYTES from START in it. In a zone that
# has data before START fio goes on where that ends.
zones() {
    local first=$(($3 / cap)) count
    count=$((($3 + $1 + cap - 1) / cap - first))
    if [ "$zoned" = host-managed ]; then
        echo "--zonemode=zbd --offset=${first}z --size=${count}z --numjobs=$2 --offset_increment=${count}z"
    else
        echo "--offset=$3 --size=$1 --numjobs=$2 --offset_increment=$((count * cap))"
    fi
}

log() {
    nvme get-log /dev/nvme0 --log-id=0xc0 --log-len=4096 --raw-binary
}

# measure NUMBER FIO-ARGUMENTS: those before the first --name hold for all jobs.
measure() {
    local number=$1
    shift
    if [ "$number" = - ]; then
        fio --filename="/dev/$data" --direct=1 --ioengine=psync --thread "$@" >/dev/null
        return
    fi
    log >"/tmp/$number.before"
    fio --filename="/dev/$data" --direct=1 --ioengine=io_uring --thread --group_reporting \
        --lat_percentiles=1 --output-format=json+ --output="/tmp/$number.fio" "$@"
    log >"/tmp/$number.after"
}

phase() {
    measure "$@" --name=job
}

# shuffled COUNT SEED: the numbers below COUNT in an order that the seed decides. A subshell draws numbers of its own.
shuffled() {
    (
        RANDOM=$2
        for ((number = 0; number < $1; number++)); do echo "$RANDOM $number"; done
    ) | sort -n | cut -d ' ' -f 2
}

# Overwrites the first BYTES zone by zone in random order: a job after the other for each. fio resets full zones itself;
# on a block namespace what stands for a zone is trimmed.
rewrite() {
    local number=$1 count=$(($3 / cap)) zone jobs=()
    for zone in $(shuffled "$count" "$2"); do
        jobs+=(--name="zone$zone" --stonewall)
        if [ "$zoned" = host-managed ]; then
            jobs+=(--zonemode=zbd --offset="${zone}z" --size=1z)
        else
            jobs+=(--offset=$((zone * cap)) --size="$cap")
            jobs+=(--exec_prerun="blkdiscard -o $((zone * cap)) -l $cap /dev/$data")
        fi
    done
    shift 3
    measure "$number" "$@" "${jobs[@]}"
}

f2fs_phase() {
    local number=$1 meta
    if [ "$zoned" != host-managed ] || [ "$data" = nvme0n1 ]; then
        echo "F2FS needs a zoned data namespace and a meta namespace beside it" >&2
        exit 1
    fi
    meta=/dev/nvme0n1
    mkfs.f2fs -f -m -c "/dev/$data" "$meta" >/dev/null
    mkdir -p /mnt
    mount -t f2fs "$meta" /mnt
    fio --name=prepare --filename=/mnt/file --rw=write --bs=1m --size="$3" --ioengine=psync --end_fsync=1 >/dev/null
    sync
    log >"/tmp/$number.before"
    fio --name=measure --filename=/mnt/file --rw=randwrite --bs=4k --size="$3" --fsync="$2" --ioengine=psync \
        $([ "$4" = 0 ] || echo "--randrepeat=0 --randseed=$4") \
        --lat_percentiles=1 --output-format=json+ --output="/tmp/$number.fio"
    log >"/tmp/$number.after"
    umount /mnt
}
