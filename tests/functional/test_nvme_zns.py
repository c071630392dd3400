# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command of nvme-cli's `nvme zns`, with what it must have done."""

import json

from conzone import CAPACITY, DATA, SIZE, GuestTest, read, report, reported, write, zns, zone

# An area of 64 KiB, flushed in steps of 16; extensions of 64 bytes. The sixth zone fails when it is touched first.
AREA, STEP = 64 << 10, 16 << 10
DRIVE = (
    f"conzone-nvme,zones=8,zrwa-size={AREA},zrwa-flush-granularity={STEP},zone-descriptor-extension-size=64,"
    "fault=zone-read-only,,ns=2,,zone=5,,op=write"
)

# `zone-mgmt-recv` of nvme-cli 2.13 says that it was done and not what came; `report-zones` shows that.
# Name: command. Those that begin with `zone_` report a zone afterwards.
COMMANDS = {
    "data": "for name in a b; do head -c 64k /dev/urandom > /root/$name; done; yes extension | head -c 64 > /root/ext",
    "list": "nvme zns list",
    "version": "nvme zns version",
    "id_ctrl": "nvme zns id-ctrl /dev/nvme0 -o json",
    "id_ns": f"nvme zns id-ns {DATA} -o json",
    "id_ns_text": f"nvme zns id-ns {DATA} -H",
    # States, by the plain verbs.
    "open": zns("open-zone", 1),
    "zone_open": report(1),
    "close": zns("close-zone", 1),
    "zone_close": report(1),
    "append": zns("zone-append", 1, "-z 4096 -d /root/a"),
    "append_next": zns("zone-append", 1, "-z 4096 -d /root/b"),
    "zone_append": report(1),
    "append_back": f"{read(zone(1) + 8)} && cmp -n 4096 /root/b /root/back",
    "finish": zns("finish-zone", 1),
    "zone_finish": report(1),
    "reset": zns("reset-zone", 1),
    "zone_reset": report(1),
    # The same by number, for one zone and for all.
    "send_open": zns("zone-mgmt-send", 1, "-z 3"),
    "zone_send_open": report(1),
    "send_finish": zns("zone-mgmt-send", 1, "-z 2"),
    "zone_send_finish": report(1),
    "send_reset_all": f"nvme zns zone-mgmt-send {DATA} -z 4 -a",
    "zone_send_reset_all": report(1),
    "recv": zns("zone-mgmt-recv", 0, "-z 0 -S 0 -l 576"),
    "recv_partial": zns("zone-mgmt-recv", 0, "-z 0 -S 0 -p -l 192"),
    # A descriptor extension makes an empty zone closed, and comes back in the extended report.
    "set_desc": zns("set-zone-desc", 2, "-d /root/ext"),
    "zone_set_desc": report(2),
    "extended": zns("report-zones", 2, "-e -d 1"),
    "state_closed": f"nvme zns report-zones {DATA} -S 4 -d 8 -o json",
    # A random write area: written in any order and again, read, flushed in part.
    "open_zrwa": zns("open-zone", 3, "-r"),
    "zrwa_late": write(zone(3) + 64, "/root/a"),
    "zrwa_early": write(zone(3), "/root/a", 32),
    "zrwa_again": write(zone(3), "/root/b", 32),
    "zone_zrwa": report(3),
    "zrwa_back": f"{read(zone(3), 32)} && cmp -n 16384 /root/b /root/back",
    "zrwa_flush": f"nvme zns zrwa-flush-zone {DATA} -l {zone(3) + 31}",
    "zone_zrwa_flush": report(3),
    "zrwa_flushed_back": f"{read(zone(3), 32)} && cmp -n 16384 /root/b /root/back",
    "zrwa_behind": f"! {write(zone(3), '/root/a')}",
    # A zone that fails is read-only and in the log of changed zones, once; then it can be given up.
    "fail": f"! {write(zone(5), '/root/a')}",
    "zone_fail": report(5),
    "changed": f"nvme zns changed-zone-list {DATA} -o json",
    "changed_once": f"nvme zns changed-zone-list {DATA} -o json",
    "offline": zns("offline-zone", 5),
    "zone_offline": report(5),
    "offline_no_way_back": f"! {zns('reset-zone', 5)}",
    "offline_empty_not": f"! {zns('offline-zone', 6)}",
    "all": f"nvme zns report-zones {DATA} -o json",
    "dmesg": "dmesg",
}

# State and how far the write pointer is, after the command of that name.
STATES = {
    "open": ("EXP_OPENED", 0),
    "close": ("CLOSED", 0),
    "append": ("IMP_OPENED", 16),
    "finish": ("FULL", None),
    "reset": ("EMPTY", 0),
    "send_open": ("EXP_OPENED", 0),
    "send_finish": ("FULL", None),
    "send_reset_all": ("EMPTY", 0),
    "set_desc": ("CLOSED", 0),
    # The write at sector 64 is within the area: nothing has been flushed.
    "zrwa": ("EXP_OPENED", 0),
    "zrwa_flush": ("EXP_OPENED", 32),
    "fail": ("READONLY", None),
    "offline": ("OFFLINE", None),
}


class NvmeZns(GuestTest):
    """One boot of each kernel."""

    def try_all(self, kernel):
        """Runs all of them and compares."""
        results = self.checks(COMMANDS, ("--device", DRIVE, "--kernel", kernel))
        self.assert_all_succeed(results)
        for name, (state, written) in STATES.items():
            entry = reported(results[f"zone_{name}"])
            found = entry["state"].upper().replace(" ", "_").replace("-", ""), entry["wp"] - entry["slba"]
            self.assertEqual(found[0], state.replace("-", ""), name)
            if written is not None:
                self.assertEqual(found[1], written, name)
        self.check_identity(results)
        self.check_reports(results)
        self.assertIn(f"LBA {zone(1):x}", results["append"].stdout)
        self.assertIn(f"LBA {zone(1) + 8:x}", results["append_next"].stdout)
        self.assert_calm("\n".join(self.unexpected(results["dmesg"].stdout)))

    def unexpected(self, dmesg):
        """The kernel's log without what it says of the zone that was made to fail."""
        return [line for line in dmesg.splitlines() if "zone" not in line.lower()]

    def check_identity(self, results):
        """The limits and the options are those of the drive."""
        self.assertIn("nvme0n2", results["list"].stdout)
        self.assertIn("zasl", json.loads(results["id_ctrl"].stdout))
        space = json.loads(results["id_ns"].stdout)
        self.assertEqual((space["mar"], space["mor"]), (5, 5))
        self.assertEqual(space["lbafe"][0]["zsze"], SIZE)
        self.assertEqual(space["lbafe"][0]["zdes"], 1, "in units of 64 bytes")
        self.assertEqual((space["zrwasz"], space["zrwafg"]), (AREA // 512, STEP // 512))

    def check_reports(self, results):
        """Counts of the raw reports, filters, and the log of changed zones."""
        self.assertIn("Success, action:0 zone:0", results["recv"].stdout)
        self.assertIn("extension.extens", results["extended"].stdout)
        self.assertIn("Success, action:0 zone:0", results["recv_partial"].stdout)
        closed = json.loads(results["state_closed"].stdout)["zone_list"]
        self.assertEqual([entry["slba"] for entry in closed if entry["cap"]], [zone(2)])
        changed = json.loads(results["changed"].stdout)
        self.assertEqual((changed["nrzid"], changed["zid 000"]), (1, zone(5)))
        self.assertEqual(json.loads(results["changed_once"].stdout)["nrzid"], 0)
        entries = json.loads(results["all"].stdout)["zone_list"]
        self.assertEqual({entry["cap"] for entry in entries}, {CAPACITY})

    def test_linux_6_12(self):
        """Debian 13's kernel."""
        self.try_all("6.12")

    def test_linux_6_1(self):
        """Debian 12's kernel."""
        self.try_all("6.1")

    def test_linux_of_today(self):
        """The newest that Debian rebuilds for its stable release."""
        self.try_all("backports")
