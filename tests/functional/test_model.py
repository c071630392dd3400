# SPDX-License-Identifier: GPL-2.0-or-later
"""The flash model as a guest drives it: what the drive counts and how long its commands take in model time."""

import csv
import json
import os
import subprocess
import tempfile

from conzone import DATA, GuestTest, Monitored, conzone, fio

PAGE = 4096
SECTORS = PAGE // 512

# Six zones, written in turn, a page at a time.
ZONES = 6
ROUNDS = 200
SPAN = 128 << 20
TURNS = [zone * SPAN + turn * PAGE for turn in range(ROUNDS) for zone in range(ZONES)]

# The QLC drive with blocks of 4 MiB: zones of 16 MiB, and a pSLC superblock (a migration) is 4 MiB.
# In virtual time the writer keeps its pace however busy the host is; a slow guest has less to compute in it.
QLC = ("--preset", "qlc-zoned-page-slc", "--set", "zones=8", "--set", "block-size=4M", "--set", "slc-superblocks=4")
QLC += ("--timing", "virtual", "--icount-shift", "5")
QLC_ZONE = 16 << 20
QLC_PROGRAM_NS = 6_098_000

# Writes at half the speed of migration (4 MiB in 56 ms), beside single reads of a zone that is full.
LOAD = fio(
    rw="randread", bs="4k", ioengine="psync", offset=0, size=QLC_ZONE, time_based=True, runtime=120, thinktime=300
) + " --name=writer " + " ".join(
    f"--{key}={value}"
    for key, value in {
        "filename": DATA,
        "zonemode": "zbd",
        "direct": 1,
        "ioengine": "psync",
        "rw": "write",
        "bs": "128k",
        "offset": QLC_ZONE,
        "size": 3 * QLC_ZONE,
        "rate": "36m",
        "time_based": 0,
        "exitall": 1,
    }.items()
)


class Model(GuestTest):
    """The must-holds of the consumer drive, seen through the device."""

    def statistics(self, script, options):
        """The drive's statistics after the script."""
        guest = Monitored(self, f"{{ {script}\n}} > /root/log 2>&1 || cat /root/log; echo DONE $?; while :; do :; done", options)
        try:
            guest.until("DONE 0")
            path = "/machine/peripheral/conzone0"
            return json.loads(guest.qmp("qom-get", path=path, property="stats"))
        finally:
            guest.close()

    def test_zones_compete_for_buffers(self):
        """Six zones and two buffers: premature flushes, pSLC, combining; as many as the model alone counts."""
        with tempfile.TemporaryDirectory(prefix="conzone-test-") as folder:
            log, trace = os.path.join(folder, "iolog"), os.path.join(folder, "trace")
            with open(log, "w", encoding="ascii") as file:
                file.write(f"fio version 2 iolog\n{DATA} add\n{DATA} open\n")
                file.writelines(f"{DATA} write {at} {PAGE}\n" for at in TURNS)
                file.write(f"{DATA} close\n")
            with open(trace, "w", encoding="ascii") as file:
                file.write("Q 1\n")
                file.writelines(f"0 1 W {at // 512} {SECTORS} 0\n" for at in TURNS)
            command = [conzone(), "sim", "--preset", "tlc-zoned", "--set", "zones=8", "--trace", trace, "--json"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            alone = json.loads(done.stdout)["namespaces"]["data"]
            replay = "fio --name=job --ioengine=psync --direct=1 --read_iolog=/root/iolog"
            options = ("--set", "zones=8", "--file", f"{log}:/root/iolog")
            device = self.statistics(replay, options)["namespaces"]["data"]
        counted = ("host_write_pages", "flush_premature", "pages_slc", "pages_native", "pages_combined")
        self.assertEqual({name: device[name] for name in counted}, {name: alone[name] for name in counted})
        self.assertEqual(device["host_write_pages"], ZONES * ROUNDS)
        # Most writes find other zones' pages in both buffers.
        self.assertGreater(device["flush_premature"], ZONES * ROUNDS * 3 // 4)
        # A page goes to pSLC first, until the last of a program unit takes the others along.
        self.assertGreater(device["pages_slc"], device["pages_native"] // 2)
        self.assertGreater(device["pages_combined"], 0)

    def reads_beside_migration(self, *options):
        """Migrations, and the longest and the mean read in model time."""
        fill = f"dd if=/dev/zero of={DATA} bs=128k count={QLC_ZONE >> 17} oflag=direct"
        data = self.statistics(f"{fill} && {LOAD}", (*QLC, *options))["namespaces"]["data"]
        latency = data["latency"]["read"]
        self.assertGreater(latency["count"], 100)
        return data["migrations"], latency["max_ns"], latency["mean_ns"]

    def test_reads_keep_their_latency_while_data_migrates(self):
        """Sustained writes to QLC: migration runs, and no read waits for as much as one of its programs.

        A read may wait for the host's own pSLC programs (75 us) and for the channel, which a migration's reads take
        for 1.3 ms; a migration's programs and erase take 6.1 and 3.5 ms. Where only queued operations make way
        (migrate-yield=queued), a read does wait for them.
        """
        migrations, longest, mean = self.reads_beside_migration()
        self.log.info("%d migrations; reads: mean %d ns, longest %d ns", migrations, mean, longest)
        self.assertGreaterEqual(migrations, 10)
        self.assertLess(longest, 3_000_000)
        self.assertLess(mean, 400_000)
        _, longest, _ = self.reads_beside_migration("--set", "migrate-yield=queued")
        self.log.info("queued: longest %d ns", longest)
        self.assertGreater(longest, QLC_PROGRAM_NS // 2)

    def test_a_plan_in_the_guest(self):
        """A plan's workloads with fio under Linux: a row a phase, another seed another order, and what is known is not run again."""
        plan, out = (os.path.join(self.workdir, name) for name in ("plan.toml", "out"))
        with open(plan, "w", encoding="utf-8") as file:
            file.write(
                """
                seeds = [1, 2]
                [set]
                zones = 32
                l2p-cache-size = "4K"
                l2p-hybrid = "off"
                [[trace]]
                file = "left-out"
                [[workload]]
                name = "raw"
                [[workload.phase]]
                name = "fill"
                access = "write"
                bytes = "16M"
                block = "256K"
                [[workload.phase]]
                name = "read"
                access = "random-read"
                bytes = "1M"
                range = "16M"
                pause-ms = 1500
                [[workload]]
                name = "f2fs"
                [workload.f2fs]
                bytes = "1M"
                [[figure]]
                x = "seed"
                y = "waf"
                """
            )
        with open(os.path.join(self.workdir, "left-out"), "w", encoding="utf-8"):
            pass
        command = [conzone(), "sweep", "run", plan, "--guest", "--out", out]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        self.assertIn("4 points, 0 of them known from before", said)
        with open(f"{out}/results.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        names = [(row["work"], row["seed"], row["phase"], int(row["commands"])) for row in rows]
        raw = [("raw", seed, phase, n) for seed in "12" for phase, n in (("fill", 64), ("read", 256))]
        self.assertEqual([name for name in names if name[0] == "raw"], raw)
        self.assertEqual([name for name in names if name[0] == "f2fs"], [("f2fs", seed, "", 256) for seed in "12"])
        hits = [row["l2p_hits"] for row in rows if row["phase"] == "read"]
        self.assertNotEqual(*hits, "another order meets the cache otherwise")
        waf = [float(row["waf"]) for row in rows if row["work"] == "f2fs"]
        self.assertTrue(all(1.2 < one < 2.0 for one in waf), waf)
        self.assertTrue(os.path.exists(f"{out}/figure-1.svg") and os.path.exists(f"{out}/report.html"))
        again = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        self.assertIn("4 points, 4 of them known from before", again)
