# SPDX-License-Identifier: GPL-2.0-or-later
"""Drives that take no time share interrupts and doorbells between commands, where that is faster for the guest.

One boot with three drives: as it comes, with shadow doorbells, and with nothing held back. Real time, so the bounds are
wide: on a busy host a trial may go either way once.
"""

import json

from conzone import GuestTest

DRIVES = {
    "plain": "",
    "shadow": ",shadow-doorbells=on",
    "never": ",shadow-doorbells=on,interrupt-hold-ns=0",
}

# The conventional namespace of the drive with this serial number.
FIND = """
drive() {
    for sys in /sys/block/nvme*; do
        if [ "$(cat $sys/queue/zoned)" = none ] && [ "$(tr -d ' ' <$sys/device/serial)" = $1 ]; then
            echo /dev/${sys##*/}
        fi
    done
}
interrupts() { awk '/nvme/ { n += $2 + $3 } END { print n }' /proc/interrupts; }
measure() {
    local before=$(interrupts) serial=$1
    shift
    fio --name=job --filename=$(drive $serial) --direct=1 --ioengine=io_uring --thread --output-format=json \
        --output=/tmp/job.json "$@" || return 1
    jq -c --argjson interrupts $(($(interrupts) - before)) '.jobs[0] | [$interrupts / (.read.total_ios + .write.total_ios),
        .read.clat_ns.percentile."50.000000" / 1000, .error]' /tmp/job.json
}
"""

BUSY = "--rw=randread --bs=4k --iodepth=32 --time_based --runtime=4"
ALONE = "--rw=randread --bs=4k --iodepth=1 --number_ios=20000"
VERIFY = "--rw=randwrite --bs=4k --iodepth=32 --size=64m --verify=crc32c --verify_fatal=1"


class Interrupts(GuestTest):
    """Interrupts for each I/O, as the guest counts them."""

    def test_shared_where_it_pays(self):
        """Few for a guest with many commands in flight, one for each without; and the data is right in all cases."""
        options = ["--timing", "off", "--smp", "2"]
        for serial, more in DRIVES.items():
            options += ["--device", f"conzone-nvme,serial={serial},zones=4,timing=off,queue-entries=256{more}"]
        jobs = {"busy": BUSY, "alone": ALONE, "verify": VERIFY}
        commands = {
            f"{job}_{serial}": f"{FIND}\nmeasure {serial} {words}" for serial in DRIVES for job, words in jobs.items()
        }
        results = self.checks({**commands, "dmesg": "dmesg"}, options)
        self.assert_all_succeed(results)
        # Interrupts for each I/O, and the median latency of reads in us.
        share, median = {}, {}
        for name in commands:
            share[name], median[name], error = json.loads(results[name].stdout)
            self.assertEqual(error, 0, name)
        self.log.info("interrupts for each I/O: %s; median latency: %s", share, median)
        self.assertLess(share["busy_plain"], 0.7)
        self.assertLess(share["busy_shadow"], 0.7)
        self.assertGreater(share["busy_never"], 0.9)
        for serial in DRIVES:
            # A hold is 2000 us.
            self.assertLess(median[f"alone_{serial}"], 1000, "a guest that waits is not kept waiting")
        self.assert_calm(results["dmesg"].stdout)
