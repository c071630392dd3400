# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults on demand, and zone features that are off by default, through nvme-cli."""

import json

from conzone import DATA, GuestTest, Monitored, read, report, reported, write, zns, zone


class Faults(GuestTest):
    """What the guest's tools say of faults and features."""

    def test_from_the_start(self):
        """Rules on the device's line: statuses, the error log and SMART say what happened."""
        rules = "read-error,,ns=2,,lba=12+2,,count=1;zone-offline,,zone=3;write-error,,zone=1,,count=1"
        results = self.checks(
            {
                "data": "head -c 4k /dev/urandom > /root/data",
                "fails": read(8),
                "log": "nvme error-log /dev/nvme0 -e 1 -o json",
                "works": read(8),
                "offline": read(zone(3)),
                "write_fails": write(zone(1)),
                "write_works": write(zone(1)),
                "smart": "nvme smart-log /dev/nvme0 -o json",
                "zones": report(3),
            },
            ("--device", f"conzone-nvme,zones=8,fault={rules}"),
        )
        self.assertIn("Unrecovered Read Error", results["fails"].stdout)
        entry = json.loads(results["log"].stdout)["errors"][0]
        self.assertEqual((entry["lba"], entry["nsid"]), (12, 2))
        self.assertEqual(results["works"].status, 0)
        self.assertIn("Offline", results["offline"].stdout)
        self.assertIn("Write Fault", results["write_fails"].stdout)
        self.assertEqual(results["write_works"].status, 0)
        self.assertEqual(json.loads(results["smart"].stdout)["media_errors"], 1)
        self.assertEqual(reported(results["zones"])["state"], "OFFLINE")

    def test_at_run_time(self):
        """A rule set through QMP holds from the next command on, and the kernel reports a medium error."""
        script = f"""
        echo ready
        for i in $(seq 600); do
            dd if={DATA} of=/dev/null bs=4k count=1 iflag=direct 2> /dev/null || {{ echo failed; break; }}
            sleep 0.1
        done
        dmesg | grep -q 'critical medium error' && echo noticed
        """
        running = Monitored(self, script, ("--set", "zones=8"))
        self.addCleanup(running.close)
        running.until("ready")
        path = "/machine/peripheral/conzone0"
        running.qmp("qom-set", path=path, property="fault", value="read-error,ns=2,lba=0+8")
        result = running.finish()
        self.assertEqual(result.status, 0)
        self.assertIn("failed", result.stdout)
        self.assertIn("noticed", result.stdout)

    def test_linux_recovers(self):
        """A command that never completes is aborted, then the controller reset; one that stops is reset; reads go on."""
        said = {"hang": ["aborting", "reset controller"], "fatal": ["controller is down; will reset"]}
        for kind, lines in said.items():
            results = self.checks(
                {
                    "data": "head -c 4k /dev/urandom > /root/data",
                    "first": write(0),
                    "second": write(8),
                    "hurry": f"echo 2000 > /sys/block/{DATA.removeprefix('/dev/')}/queue/io_timeout",
                    "read": f"dd if={DATA} of=/root/back bs=4k skip=1 count=1 iflag=direct",
                    "compare": "cmp /root/data /root/back",
                    "log": "dmesg",
                    "write": write(16),
                },
                ("--device", f"conzone-nvme,zones=8,fault={kind},,ns=2,,op=read,,lba=8+8,,count=1"),
            )
            self.assert_all_succeed(results)
            for line in lines:
                self.assertIn(line, results["log"].stdout, kind)

    def test_zone_features(self):
        """Random write areas, descriptor extensions and reads across zones, as nvme-cli asks for them."""
        features = (
            "zrwa-size=64K",
            "zrwa-flush-granularity=16K",
            "zone-descriptor-extension-size=64",
            "read-across-zones=on",
        )
        options = [word for feature in ("zones=8", *features) for word in ("--set", feature)]
        results = self.checks(
            {
                "data": "head -c 4k /dev/urandom > /root/data",
                "identify": f"nvme zns id-ns {DATA} -o json",
                "open": zns("open-zone", 0, "--zrwaa"),
                "second": write(8),
                "first": write(0),
                "again": write(8),
                "before": report(0),
                "flush": f"nvme zns zrwa-flush-zone {DATA} -l 31",
                "after": report(0),
                "read": read(8),
                "compare": "cmp /root/data /root/back",
                "across": read(zone(1) - 4),
                "extension": "head -c 64 /dev/urandom > /root/extension",
                "set": zns("set-zone-desc", 2, "-d /root/extension"),
                "extended": report(2, "-e"),
            },
            tuple(options),
        )
        self.assert_all_succeed(results)
        identity = json.loads(results["identify"].stdout)
        self.assertEqual((identity["zrwasz"], identity["zrwafg"], identity["ozcs"]), (128, 32, 3))
        pointers = [reported(results[name])["wp"] for name in ("before", "after")]
        self.assertEqual(pointers, [0, 32])
