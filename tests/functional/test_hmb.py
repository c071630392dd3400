# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux lends memory to a drive that asks for it, by itself, and takes it back: the drive reads its map there."""

import json
import re

from conzone import DATA, GuestTest, fio

# 32 MiB are far more than the drive's own entries map, and less than 64 map pages.
SIZE = 32 << 20
FEATURE = "nvme get-feature /dev/nvme0 -f 0x0d -H"
# Behind Linux' back, which newer kernels do not let one do (EACCES; the switch in sysfs is in neither kernel's).
TAKE = "nvme admin-passthru /dev/nvme0 --opcode=0x09 --cdw10=0x0d --cdw11=0"
# Linux lends the same memory again.
GIVE = "echo 1 > /sys/class/nvme/nvme0/reset_controller && sleep 1"


def reads(number=2000, **more):
    """Reads of 4 KiB all over what was written."""
    options = {"ioengine": "psync"} | more
    return fio(zonemode="none", rw="randread", bs="4k", size=SIZE, number_ios=number, **options)


LOAD = reads(50000, ioengine="libaio", iodepth=16)

COMMANDS = {
    "fill": f"dd if=/dev/urandom of={DATA} bs=1M count={SIZE >> 20} oflag=direct",
    "dmesg": "dmesg",
    "identity": "nvme id-ctrl /dev/nvme0 -o json",
    "feature": FEATURE,
    "warm": reads(),
    "with": reads(),
    "sum": f"dd if={DATA} bs=64k count={SIZE >> 16} iflag=direct 2>/dev/null | md5sum",
    "take": f"{TAKE} && {FEATURE}",
    "without": reads(),
    "sum_without": f"dd if={DATA} bs=64k count={SIZE >> 16} iflag=direct 2>/dev/null | md5sum",
    "give": f"{GIVE} && {FEATURE}",
    # With reads in flight, which find it gone, or come to a controller that is reset.
    "load": f"{LOAD} > /tmp/load & for i in 1 2 3; do {TAKE} && {GIVE}; done; wait $! && {FEATURE}",
    "resets": f"{LOAD} > /tmp/load & for i in 1 2 3; do {GIVE}; done; wait $! && {FEATURE}",
    "sum_after": f"dd if={DATA} bs=64k count={SIZE >> 16} iflag=direct 2>/dev/null | md5sum",
    "dmesg_after": "dmesg",
}


TAKEN = ("take", "without", "sum_without", "give", "load")


class HostMemoryBuffer(GuestTest):
    """Boots in virtual time."""

    def look(self, kernel, leave_out=()):
        """Everything the guest said."""
        small = ("l2p-hybrid=off", "l2p-cache-size=3K", "zones=8", "hmb-size=16M", "hmb-min=1M")
        options = [part for setting in small for part in ("--set", setting)]
        options += ["--kernel", kernel, "--timing", "virtual"]
        commands = {name: command for name, command in COMMANDS.items() if name not in leave_out}
        results = self.checks(commands, options)
        self.assert_all_succeed(results)
        self.assert_calm(results["dmesg_after"].stdout)
        return {name: result.stdout for name, result in results.items() if not name.startswith("dmesg_")}

    def median(self, said):
        """Median latency of the reads, us."""
        report, _ = json.JSONDecoder().raw_decode(said[said.index("{") :])
        return report["jobs"][0]["read"]["clat_ns"]["percentile"]["50.000000"] / 1000

    def check(self, said):
        """That Linux lends it, and that what was written is what is read."""
        self.assertIn("allocated 16 MiB host memory buffer", said["dmesg"])
        identity = json.loads(said["identity"])
        self.assertEqual((identity["hmpre"], identity["hmmin"], identity["hmmaxd"]), (4096, 256, 256))
        for name in ("feature", "resets"):
            # HSIZE in pages of 4 KiB.
            self.assertRegex(said[name], r"(?s)\(EHM\): Enabled.*\(HSIZE\): 4096", name)
        sums = {re.match(r"[0-9a-f]{32}", said[name]).group() for name in said if name.startswith("sum")}
        self.assertEqual(len(sums), 1, sums)

    def test_linux_lends_it(self):
        """6.12; two runs are the same to the byte."""
        first = self.look("6.12", leave_out=TAKEN)
        self.check(first)
        self.assertEqual(self.look("6.12", leave_out=TAKEN), first)

    def test_it_can_be_taken_back(self):
        """6.1: also under load; what it saves."""
        said = self.look("6.1")
        self.check(said)
        self.assertRegex(said["take"], r"\(EHM\): Disabled")
        for name in ("give", "load"):
            self.assertRegex(said[name], r"\(EHM\): Enabled", name)
        # A map read is 22.4 us, and a look at the memory 1.0.
        gained = self.median(said["without"]) - self.median(said["with"])
        self.assertAlmostEqual(gained, 21.4, delta=1.5)
