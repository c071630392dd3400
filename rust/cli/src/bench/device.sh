# SPDX-License-Identifier: GPL-2.0-or-later
# Runs in the guest, after a line that sets `seconds`: the same fio jobs on the zoned namespace of each NVMe
# controller. Prints `begin NAME` and `end NAME IOPS IOS ERRORS` around each, where NAME is <serial>:<job>.
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

# job DEVICE NAME fio-arguments...
job() {
    local device=$1 name=$2
    shift 2
    echo "begin $name"
    fio --name=job --filename="$device" --direct=1 --ioengine=io_uring --zonemode=zbd --thread \
        --group_reporting --time_based --runtime="$seconds" --output-format=json --output=/tmp/job.json "$@"
    jq -r --arg name "$name" \
        '.jobs[0] | "end \($name) \(.read.iops + .write.iops) \(.read.total_ios + .write.total_ios) \(.error + .total_err)"' /tmp/job.json
}

for serial in conzone reference; do
    device=/dev/$(zoned_of $serial)
    fio --name=fill --filename="$device" --direct=1 --zonemode=zbd --rw=write --bs=512k --size=8z \
        --output=/tmp/fill.txt
    job "$device" $serial:randread-4k-qd1-j1 --rw=randread --bs=4k --size=8z
    job "$device" $serial:randread-4k-qd32-j1 --rw=randread --bs=4k --size=8z --iodepth=32
    job "$device" $serial:randread-4k-qd32-j4 --rw=randread --bs=4k --size=8z --iodepth=32 --numjobs=4
    for kib in 4 128; do
        job "$device" $serial:write-${kib}k-qd1-j1 --rw=write --bs=${kib}k --offset=8z --size=4z
        job "$device" $serial:write-${kib}k-qd1-j4 --rw=write --bs=${kib}k --offset=8z --size=1z \
            --offset_increment=1z --numjobs=4
    done
done
