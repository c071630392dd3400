# SPDX-License-Identifier: GPL-2.0-or-later
"""Zone management and the statuses of commands that break the rules, through nvme-cli.

Nothing here may hang or upset the kernel: passthrough commands that fail are the user's business.
"""

import json

from conzone import CAPACITY, DATA, SIZE, GuestTest, read, report, reported, write, zns, zone


class Zones(GuestTest):
    """One boot for the state machine, one for the errors."""

    def states(self, results):
        """The states the reports named, and how many sectors each zone had been written."""
        found = {}
        for name, result in results.items():
            if name.startswith("zone_"):
                entry = reported(result)
                found[name[5:]] = (entry["state"], entry["wp"] - entry["slba"])
        return found

    def test_management(self):
        """Open, close, append, finish and reset take a zone through its states."""
        append = zns("zone-append", 1, "-z 4096 -d /root/data")
        results = self.checks(
            {
                "data": "head -c 64k /dev/urandom > /root/data",
                "open": zns("open-zone", 1),
                "zone_opened": report(1),
                "close": zns("close-zone", 1),
                "zone_closed_empty": report(1),
                "write": write(zone(1)),
                "zone_written": report(1),
                "append": append,
                "zone_appended": report(1),
                "append_again": append,
                "read_appended": read(zone(1) + 16),
                "compare": "cmp -n 4096 /root/data /root/back",
                "close_written": zns("close-zone", 1),
                "zone_closed": report(1),
                "reopen": zns("open-zone", 1),
                "zone_reopened": report(1),
                "finish": zns("finish-zone", 1),
                "zone_finished": report(1),
                "reset": zns("reset-zone", 1),
                "zone_reset": report(1),
                "read_reset": read(zone(1)),
                "zeroes": "cmp -n 4096 /root/back /dev/zero",
                "write_two": f"{write(zone(2))} && {write(zone(3))}",
                "reset_all": f"nvme zns reset-zone {DATA} -a",
                "zone_reset_all": report(2),
                "dmesg": "dmesg",
            }
        )
        self.assert_all_succeed(results)
        states = self.states(results)
        self.assertEqual(states.pop("finished")[0], "FULL", "the write pointer of a full zone means nothing")
        self.assertEqual(
            states,
            {
                "opened": ("EXP_OPENED", 0),
                "closed_empty": ("CLOSED", 0),
                "written": ("IMP_OPENED", 8),
                "appended": ("IMP_OPENED", 16),
                "closed": ("CLOSED", 24),
                "reopened": ("EXP_OPENED", 24),
                "reset": ("EMPTY", 0),
                "reset_all": ("EMPTY", 0),
            },
        )
        self.assertIn(f"LBA {zone(1) + 8:x}", results["append"].stdout)
        self.assertIn(f"LBA {zone(1) + 16:x}", results["append_again"].stdout)
        self.assert_calm(results["dmesg"].stdout)

    def test_errors(self):
        """Each broken rule has its own status, and the next command works."""
        rules = {
            # Name: the command, and the status by its name in the specification.
            "off_the_pointer": (write(zone(1) + 8), "ZONE_INVALID_WRITE"),
            # All but the last four sectors, then eight at the write pointer.
            "over_the_end": (
                f"dd if=/dev/zero of={DATA} bs=1M count=95 seek={zone(2) // 2048} oflag=direct"
                f" && dd if=/dev/zero of={DATA} bs=2k count=511 seek={(zone(2) + 95 * 2048) // 4}"
                f" oflag=direct; {write(zone(2) + CAPACITY - 4)}",
                "ZONED?_BOUNDARY_ERROR",
            ),
            "into_full": (f"{zns('finish-zone', 3)}; {write(zone(3))}", "ZONE_IS_FULL"),
            "close_empty": (zns("close-zone", 4), "INVALID_ZONE_STATE_TRANSITION"),
            "open_full": (zns("open-zone", 3), "INVALID_ZONE_STATE_TRANSITION"),
            "not_a_zone_start": (
                f"nvme zns reset-zone {DATA} -s {zone(1) + 8}",
                "INVALID_FIELD",
            ),
            "beyond_the_drive": (read(8 * SIZE), "LBA_OUT_OF_RANGE"),
            "no_such_namespace": ("nvme id-ns /dev/nvme0 -n 9", "INVALID_NAMESPACE"),
            "no_such_log": ("nvme get-log /dev/nvme0 -i 0x7f -l 512", "INVALID_LOG_PAGE|INVALID_FIELD"),
            # Zone 2 counts: it was left open.
            "too_many_open": (
                f"for zone in 0 1 4 5 6 7; do nvme zns open-zone {DATA} -s $((zone * SIZE)); done".replace(
                    "SIZE", str(SIZE)
                ),
                "TOO_MANY_(OPEN|ACTIVE)_ZONES",
            ),
        }
        commands = {"data": "head -c 64k /dev/urandom > /root/data"}
        commands |= {name: command for name, (command, _) in rules.items()}
        commands["still_works"] = f"nvme zns reset-zone {DATA} -a && {write(zone(1))}"
        commands["log"] = "nvme error-log /dev/nvme0 -e 4 -o json"
        commands["dmesg"] = "dmesg"
        results = self.checks(commands)
        for name, (_, status) in rules.items():
            said = results[name].stdout.upper().replace(" ", "_")
            with self.subTest(name):
                self.assertNotEqual(results[name].status, 0, said)
                self.assertRegex(said, status)
        self.assertEqual(results["still_works"].status, 0)
        self.assertGreater(json.loads(results["log"].stdout)["errors"][0]["error_count"], 0)
        self.assert_calm(results["dmesg"].stdout)


class OddZones(GuestTest):
    """Zones whose size is no power of two, as zoned UFS has them: as far as Linux lets one."""

    SIZE = 96 * 2048  # sectors

    def look(self, kernel):
        """There is no block device, and the generic one does everything."""
        path, one = "/dev/ng0n2", self.SIZE
        commands = {
            "data": "head -c 64k /dev/urandom > /root/data",
            "no_block_device": f"[ ! -e {DATA} ]",
            "report": f"nvme zns report-zones {path} -d 3 -o json",
            "write": f"nvme write {path} -s {one} -c 127 -z 65536 -d /root/data",
            "append": f"nvme zns zone-append {path} -s {one} -z 4096 -d /root/data",
            "read": f"nvme read {path} -s {one} -c 127 -z 65536 -d /root/back && cmp /root/data /root/back",
            "written": f"nvme zns report-zones {path} -s {one} -d 1 -o json",
            "finish": f"nvme zns finish-zone {path} -s {one}",
            "finished": f"nvme zns report-zones {path} -s {one} -d 1 -o json",
            "reset": f"nvme zns reset-zone {path} -a",
            "dmesg": "dmesg",
        }
        options = ("--kernel", kernel, "--set", "zones=8", "--set", "zone-size=96M")
        results = self.checks(commands, options)
        self.assert_all_succeed(results)
        self.assertRegex(results["dmesg"].stdout, "nvme.*invalid zone size")
        zones = json.loads(results["report"].stdout)["zone_list"]
        self.assertEqual([(zone["slba"], zone["cap"]) for zone in zones], [(n * one, one) for n in range(3)])
        self.assertIn(f"LBA {one + 128:x}", results["append"].stdout)
        self.assertEqual(reported(results["written"])["wp"], one + 128 + 8)
        self.assertEqual(reported(results["finished"])["state"], "FULL")

    def test_linux_6_12(self):
        """Debian 13's kernel."""
        self.look("6.12")

    def test_linux_of_today(self):
        """The newest that Debian rebuilds for its stable release."""
        self.look("backports")
