# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual time: the same run twice gives the same bytes, and latencies are the model's.

Under instruction counting the guest's own software takes the same time in every run, so that what the drive adds is
the difference to a drive that takes no time.
"""

import json

from conzone import DATA, GuestTest, fio

# 21 rows of 768 KiB of the ufs4-tlc drive: everything lies in native, fully programmed wordlines.
REGION = 21 * 768 << 10

# A write of the region and reads of it, one at a time, with pauses: the drive is idle when each arrives.
WRITE = f"dd if=/dev/urandom of={DATA} bs=256k count={REGION >> 18} oflag=direct"
READ = fio(
    zonemode="none",
    rw="randread",
    bs="4k",
    ioengine="psync",
    size=REGION,
    number_ios=400,
    thinktime=500,
)

# Firmware, TLC sense, 4 KiB over the channel, 4 KiB over the host link (zms-model.md, closed forms).
IDLE_READ_NS = 20_000 + 40_000 + 2_747 + 1_303

PRESET = ("--preset", "ufs4-tlc", "--set", "zones=4", "--timing", "virtual")


class VirtualTime(GuestTest):
    """Guest time is counted instructions."""

    def measure(self, *options):
        """Mean latency of the reads in ns and everything the guest said."""
        script = f"{WRITE} && {READ} && dmesg"
        result = self.guest(script, (*PRESET, *options))
        self.assertEqual(result.status, 0, result.stderr)
        report, _ = json.JSONDecoder().raw_decode(result.stdout[result.stdout.index("{") :])
        read = report["jobs"][0]["read"]
        self.assertEqual(read["total_ios"], 400)
        return read["clat_ns"]["mean"], result.stdout

    def test_same_run_same_bytes_and_closed_form(self):
        """An idle 4 KiB random read costs the closed form on top of the guest's own time."""
        latency, first = self.measure()
        _, second = self.measure()
        self.assertEqual(first, second)
        software, _ = self.measure("--set", "timing=off")
        drive = latency - software
        self.log.info("read %d ns, of it software %d ns, drive %d ns", latency, software, drive)
        self.assertAlmostEqual(drive, IDLE_READ_NS, delta=0.1 * IDLE_READ_NS)
