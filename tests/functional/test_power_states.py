# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux sends a drive with power states to sleep by itself, and its reads pay the way back: the same in every run."""

import json
import re

from conzone import DATA, GuestTest, fio

# Sixteen reads, with this many microseconds between a completion and the next one.
PAUSES = {"dense": 20_000, "shallow": 400_000, "deep": 2_600_000}
READS = 16


def sparse(pause):
    """One read of 4 KiB after another, and pauses."""
    return fio(
        zonemode="none", rw="randread", bs="4k", ioengine="psync", size="64m", number_ios=READS, thinktime=pause
    )


COMMANDS = {
    "fill": f"dd if=/dev/zero of={DATA} bs=1M count=64 oflag=direct",
    "identity": "nvme id-ctrl /dev/nvme0 -o json",
    "transitions": "nvme get-feature /dev/nvme0 -f 0x0c -H",
    "awake": f"dd if={DATA} of=/dev/null bs=4k count=1 iflag=direct; nvme get-feature /dev/nvme0 -f 2",
    "shallow_state": "sleep 1; nvme get-feature /dev/nvme0 -f 2",
    "deep_state": "sleep 2; nvme get-feature /dev/nvme0 -f 2",
    **{name: sparse(pause) for name, pause in PAUSES.items()},
    # A host that says where to go, and one that wants none of this.
    "asked": "nvme set-feature /dev/nvme0 -f 2 --value=4; nvme get-feature /dev/nvme0 -f 2",
    "refused": "! nvme set-feature /dev/nvme0 -f 2 --value=5",
    "never": "echo 0 > /sys/class/nvme/nvme0/power/pm_qos_latency_tolerance_us && nvme get-feature /dev/nvme0 -f 0x0c",
    "log": "nvme get-log /dev/nvme0 --log-id=0xc0 --log-len=4096 --raw-binary | tail -c 512 | od -An -v -tu8 -w8",
    "dmesg": "dmesg",
}


class PowerStates(GuestTest):
    """One boot for each question, in virtual time."""

    def look(self, states, kernel):
        """Everything the guest said."""
        options = ("--set", "zones=8", "--set", f"power-states={states}", "--kernel", kernel, "--timing", "virtual")
        results = self.checks(COMMANDS, options)
        self.assert_all_succeed(results)
        self.assert_calm(results["dmesg"].stdout)
        return {name: result.stdout for name, result in results.items() if name != "dmesg"}

    def state(self, said):
        """The value of Power Management."""
        return int(re.search(r"value:\s*(?:0x)?([0-9a-f]+)", said, re.I).group(1), 16) & 0x1F

    def median(self, said):
        """Median latency of the reads, us: the first one finds the drive as what was before has left it."""
        report, _ = json.JSONDecoder().raw_decode(said[said.index("{") :])
        read = report["jobs"][0]["read"]
        self.assertEqual(read["total_ios"], READS)
        return read["clat_ns"]["percentile"]["50.000000"] / 1000

    def check(self, kernel, states, target, exits):
        """Where Linux sends the drive, and what each kind of reads pays."""
        said = self.look(states, kernel)
        identity = json.loads(said["identity"])
        self.assertEqual((identity["npss"], identity["apsta"]), (4, 1))
        self.assertIn("Enabled", said["transitions"])
        self.assertIn(f"(ITPS): {target}", said["transitions"])
        self.assertIn("(ITPT): 100 ms", said["transitions"])
        found = [self.state(said[name]) for name in ("awake", "shallow_state", "deep_state", "asked")]
        self.assertEqual(found, [0, target, 4, 4])
        dense = self.median(said["dense"])
        self.assertLess(dense, 100)
        for name, exit_us in exits.items():
            # fio counts in steps of a per cent or so.
            paid = self.median(said[name]) - dense
            self.assertAlmostEqual(paid, exit_us, delta=0.02 * exit_us, msg=name)
        return said

    def test_linux_sends_it_to_sleep(self):
        """A phone's: 10 ms after 100 ms of idling, 45 ms after 2.1 s; two runs are the same to the byte."""
        exits = {"shallow": 10_000, "deep": 45_000}
        first = self.check("6.12", "phone", 3, exits)
        self.assertEqual(self.look("phone", "6.12"), first)

    def test_linux_6_1(self):
        """The older kernel does the same."""
        self.check("6.1", "phone", 3, {"shallow": 10_000, "deep": 45_000})

    def test_a_laptop(self):
        """Linux goes straight to the deepest state."""
        self.check("6.12", "laptop", 4, {"shallow": 8_000, "deep": 8_000})
