# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux and fio, verifying what it wrote, go back to snapshots of the machine, or on to another QEMU, without noticing.

`cargo conzone test soak-snapshots` does the same for longer: CONZONE_ROUNDS times back, and CONZONE_MOVES times on.
"""

import json
import os
import re
import shlex
import time

from conzone import DATA, GuestTest, Monitored

ROUNDS = int(os.environ.get("CONZONE_ROUNDS", "5"))
MOVES = int(os.environ.get("CONZONE_MOVES", "4"))

# Milliseconds that a QEMU has the machine before the next one gets it.
MOVE_EVERY = ("--migrate-every", "300")

# Seconds that the guest runs before it is taken back, and after.
LOST, KEPT = 0.5, 1.0

DRIVES = {
    "zoned": ("--set", "zones=8"),
    "block": ("--preset", "tlc-block", "--set", "block-data-size=512M"),
    "untimed": ("--set", "zones=8", "--timing", "off"),
}


def job(zoned, seconds):
    """Four writers that read back and check all that they write, for so long."""
    options = {
        "name": "job",
        "filename": DATA,
        "direct": 1,
        "ioengine": "libaio",
        "iodepth": 32,
        "numjobs": 4,
        "bs": "16k",
        "verify": "crc32c",
        "verify_fatal": 1,
        "randseed": 1,
        "time_based": 1,
        "runtime": seconds,
        "output-format": "json",
    }
    if zoned:
        options |= {"zonemode": "zbd", "rw": "write", "size": "2z", "offset_increment": "2z"}
    else:
        options |= {"rw": "randwrite", "size": "64m", "offset_increment": "64m", "verify_backlog": 256}
    return shlex.join(["fio", *(f"--{name}={value}" for name, value in options.items())])


SCRIPT = """
{job} > /root/out 2> /root/err & pid=$!
sleep 2; kill -0 $pid && echo STARTED
wait $pid; status=$?
grep -E "verify|error=" /root/err
dmesg | grep -iE "timeout|I/O error|resetting controller" && status=9
echo VERIFIED $(grep -c . /root/out) lines
exit $status
"""


# A run in virtual time, and all that may tell it from another one.
VIRTUAL = ("--timing", "virtual", "--set", "zones=8")
REPORT = """
fio --name=job --filename={data} --direct=1 --ioengine=libaio --iodepth=8 --numjobs=2 --zonemode=zbd --rw=randrw --bs=16k \\
    --size=2z --offset_increment=2z --io_size=24m --randseed=1 --output-format=json --output=/root/out & pid=$!
sleep 0.05; echo STARTED
wait $pid || exit
cat /root/out; nvme smart-log /dev/nvme0; cat /proc/uptime /proc/interrupts; dmesg
"""


class Snapshots(GuestTest):
    """Snapshots of a machine whose drive is at work."""

    guest_limit = 240 + 12 * max(ROUNDS, MOVES)
    timeout = 240 + 60 * max(ROUNDS, MOVES)

    def commands(self, guest):
        """Reads and writes so far: fio does either, and on a fast host it has written all zones before the last round."""
        stats = json.loads(guest.qmp("qom-get", path="/machine/peripheral/conzone0", property="stats"))
        return stats["host_reads"] + stats["host_writes"]

    def rounds(self, guest):
        """Saves, runs, goes back, runs."""
        guest.until("STARTED")
        guest.add_qcow2(os.path.join(guest.folder.name, "vm.qcow2"))
        for count in range(ROUNDS):
            snapshot = {"job-id": "s", "tag": f"t{count}", "vmstate": "vm", "devices": ["vm"]}
            guest.run_job("snapshot-save", **snapshot)
            before = self.commands(guest)
            time.sleep(LOST)
            guest.run_job("snapshot-load", **snapshot)
            guest.run_job("snapshot-delete", **{"job-id": "d", "tag": f"t{count}", "devices": ["vm"]})
            time.sleep(KEPT)
            after = self.commands(guest)
            self.log.info("round %d: %d commands, then %d", count, before, after)
            self.assertGreater(after, before, "fio goes on")

    def check_drive(self, name):
        """fio ends without an error, however often it was taken back."""
        script = SCRIPT.format(job=job(name != "block", 10 + 3 * ROUNDS))
        guest = Monitored(self, script, DRIVES[name])
        try:
            self.rounds(guest)
            result = guest.finish()
        finally:
            guest.close()
        self.assertEqual(result.status, 0, result.stdout)
        self.assertIn("VERIFIED", result.stdout)

    def test_zoned(self):
        """The consumer drive, in time."""
        self.check_drive("zoned")

    def test_block(self):
        """A page-mapped drive."""
        self.check_drive("block")

    def test_untimed(self):
        """Commands that complete inside their doorbells."""
        self.check_drive("untimed")

    def check_moves(self, name):
        """fio ends without an error, however often the machine is moved."""
        script = SCRIPT.format(job=job(name != "block", 3 + MOVES * 5 // 4))
        result = self.guest(script, (*DRIVES[name], *MOVE_EVERY))
        self.assertEqual(result.status, 0, result.stdout)
        self.assertIn("VERIFIED", result.stdout)
        moves = int(re.search(r"^moved (\d+) times$", result.stderr, re.MULTILINE)[1])
        self.assertGreaterEqual(moves, MOVES)

    def test_moves_zoned(self):
        """The consumer drive goes from QEMU to QEMU."""
        self.check_moves("zoned")

    def test_moves_block(self):
        """So does a page-mapped drive."""
        self.check_moves("block")

    def test_moves_untimed(self):
        """And one whose commands complete inside their doorbells."""
        self.check_moves("untimed")

    def test_virtual_time(self):
        """A run that is stopped, taken back or moved leaves the bytes of one that is not."""
        script = REPORT.format(data=DATA)
        unbroken = self.guest(script, VIRTUAL)
        self.assertEqual(unbroken.status, 0, unbroken.stdout)
        moved = self.guest(script, (*VIRTUAL, *MOVE_EVERY))
        self.assertRegex(moved.stderr, r"moved [1-9]\d* times")
        guest = Monitored(self, script, VIRTUAL)
        try:
            guest.until("STARTED")
            guest.add_qcow2(os.path.join(guest.folder.name, "vm.qcow2"))
            for count in range(2):
                snapshot = {"job-id": "s", "tag": f"t{count}", "vmstate": "vm", "devices": ["vm"]}
                guest.run_job("snapshot-save", **snapshot)
                time.sleep(LOST / 5)
                guest.run_job("snapshot-load", **snapshot)
                guest.qmp("stop")
                guest.qmp("cont")
            taken_back = guest.finish()
        finally:
            guest.close()
        self.assertEqual(unbroken.stdout.splitlines(), moved.stdout.splitlines())
        self.assertEqual(unbroken.stdout.splitlines(), taken_back.stdout.splitlines())
