# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux binds the drive and nvme-cli and blkzone see what the preset says."""

import json

from conzone import DATA, META, GuestTest

COMMANDS = {
    "release": "uname -r",
    "list": "nvme list -o json",
    "id_ctrl": "nvme id-ctrl /dev/nvme0 -o json",
    "id_ns_meta": f"nvme id-ns {META} -o json",
    "id_ns_data": f"nvme id-ns {DATA} -o json",
    "zns_id_ctrl": "nvme zns id-ctrl /dev/nvme0 -o json",
    "zns_id_ns": f"nvme zns id-ns {DATA} -o json",
    "zones": f"nvme zns report-zones {DATA} -o json",
    "blkzone": f"blkzone report {DATA}",
    "smart": "nvme smart-log /dev/nvme0 -o json",
    "errors": "nvme error-log /dev/nvme0 -o json",
    "queues": "nvme get-feature /dev/nvme0 -f 7",
    "set_threshold": "nvme set-feature /dev/nvme0 -f 4 -V 0x160",
    "threshold": "nvme get-feature /dev/nvme0 -f 4",
    "write_cache": "nvme get-feature /dev/nvme0 -f 6",
    "meta_io": f"head -c 1M /dev/urandom > /root/a; dd if=/root/a of={META} bs=64k oflag=direct;"
    f"dd if={META} bs=64k count=16 iflag=direct | cmp - /root/a",
    "flush": f"nvme flush {META} -n 1",
    "trim": f"blkdiscard -l 1M {META};"
    f"dd if={META} bs=64k count=16 iflag=direct | cmp -n 1048576 - /dev/zero",
    "dmesg": "dmesg",
}

ZONES, ZONE_SIZE, ZONE_CAPACITY = 8, 128 << 20, 96 << 20


class Smoke(GuestTest):
    """One boot of each kernel."""

    def look_around(self, kernel):
        """Boots this kernel and checks everything there is to see."""
        results = self.checks(COMMANDS, ("--kernel", kernel, "--set", f"zones={ZONES}"))
        self.assert_all_succeed(results)
        release = results["release"].stdout
        if kernel == "backports":
            self.assertGreaterEqual(int(release.split(".")[0]), 7, "newer than Debian 13's own")
        else:
            self.assertTrue(release.startswith(kernel + "."))
        self.assert_calm(results["dmesg"].stdout)
        self.check_namespaces(results)
        self.check_zones(results)
        self.check_features(results)

    def check_namespaces(self, results):
        """A conventional namespace for metadata and a zoned one."""
        devices = json.loads(results["list"].stdout)["Devices"]
        sizes = {device["NameSpace"]: device["PhysicalSize"] for device in devices}
        self.assertEqual(sizes, {1: 256 << 20, 2: ZONES * ZONE_SIZE})
        controller = json.loads(results["id_ctrl"].stdout)
        self.assertGreaterEqual(controller["nn"], 2)
        self.assertEqual(controller["ver"], 0x20000)
        meta, data = (json.loads(results[f"id_ns_{name}"].stdout) for name in ("meta", "data"))
        self.assertNotEqual(meta["nguid"], data["nguid"])
        self.assertEqual(meta["nsze"] * 512, 256 << 20)

    def check_zones(self, results):
        """The zones of the preset, all empty, and the limits on open ones."""
        zones = json.loads(results["zones"].stdout)
        self.assertEqual(zones["nr_zones"], ZONES)
        for number, zone in enumerate(zones["zone_list"]):
            self.assertEqual(zone["slba"], number * ZONE_SIZE // 512)
            self.assertEqual(zone["wp"], zone["slba"])
            self.assertEqual(zone["cap"], ZONE_CAPACITY // 512)
            self.assertEqual(zone["state"], "EMPTY")
        self.assertEqual(len(results["blkzone"].stdout.strip().splitlines()), ZONES)
        limits = json.loads(results["zns_id_ns"].stdout)
        self.assertEqual((limits["mar"], limits["mor"]), (5, 5), "six zones, counted from zero")

    def check_features(self, results):
        """Features read back what was set, and nothing has gone wrong yet."""
        self.assertIn("00000160", results["threshold"].stdout.lower().replace("0x", "0000"))
        smart = json.loads(results["smart"].stdout)
        self.assertEqual(smart["critical_warning"], 0)
        self.assertEqual(smart["media_errors"], 0)

    def test_linux_6_1(self):
        """Debian 12's kernel."""
        self.look_around("6.1")

    def test_linux_6_12(self):
        """Debian 13's kernel, which scans namespaces in parallel."""
        self.look_around("6.12")

    def test_linux_of_today(self):
        """The newest that Debian rebuilds for its stable release."""
        self.look_around("backports")
