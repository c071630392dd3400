# SPDX-License-Identifier: GPL-2.0-or-later
"""`crash`: power cuts under a file system. It must find what a lying drive loses, and nothing on an honest one."""

import json
import os
import subprocess

from conzone import GuestTest, conzone

SMALL = ("--set", "zones=32")


class Crash(GuestTest):
    """Short campaigns."""

    timeout = 900

    def crash(self, name, *options):
        """A campaign: its exit status, and crash.json."""
        folder = os.path.join(self.workdir, name)
        command = [conzone(), "crash", *SMALL, "--out", folder, "--json", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        with open(os.path.join(folder, "crash.json"), encoding="utf-8") as file:
            kept = json.load(file)
        self.assertEqual(json.loads(done.stdout), kept)
        self.assertTrue(os.path.getsize(os.path.join(folder, "report.html")) > 4000)
        return done.returncode, kept, folder

    def assert_all_kept(self, status, figures, cuts):
        """Nothing that was promised is lost, and there was something to lose."""
        self.assertEqual(status, 0, figures["cuts"])
        self.assertLessEqual(set(figures["outcomes"]), {"clean", "repaired"})
        self.assertEqual(len(figures["cuts"]), cuts)
        self.assertGreater(figures["cuts"][-1]["promised"], 0)
        self.assertGreater(sum(cut["pages_lost"] for cut in figures["cuts"]), 0)

    def test_the_same_command_line_has_the_same_outcomes(self):
        """F2FS on the zones: now and then an fsync that is cut off takes a block with it (docs/crash.md), always the same."""
        options = ("--cuts", "3", "--steps", "200", "--seed", "7")
        _, first, _ = self.crash("first", *options)
        self.assertGreaterEqual(first["outcomes"].get("clean", 0), 2, first["cuts"])
        self.assertGreater(sum(cut["pages_lost"] for cut in first["cuts"]), 0)
        _, second, _ = self.crash("second", *options)
        for figures in (first, second):
            for cut in figures["cuts"]:
                del cut["again"]
        self.assertEqual(first["cuts"], second["cuts"])
        self.assertEqual(first["work"], second["work"])

    def test_a_drive_that_lies_is_caught(self):
        """Each cut can be looked at again, by itself, and ends the same way."""
        status, figures, folder = self.crash("lie", "--cuts", "3", "--steps", "200", "--fault", "flush=ignored")
        self.assertEqual(status, 1)
        lost = [cut for cut in figures["cuts"] if cut["outcome"] in ("lost", "unmountable")]
        self.assertTrue(lost, figures["cuts"])
        cut = lost[0]
        again = [conzone(), "crash", "--again", folder, "--at", str(cut["at"])]
        done = subprocess.run(again, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(f"at {cut['at']} ns, {cut['promised']} promised: {cut['outcome']}", done.stdout)
        self.assertIn(cut["why"], done.stdout)
        image = os.path.join(folder, "cuts", f"{cut['at']}.cz")
        subprocess.run([conzone(), "image", "check", image], check=True, capture_output=True)

    def test_zonefs_keeps_what_it_promised(self):
        """Files that only grow."""
        self.assert_all_kept(*self.crash("zonefs", "--fs", "zonefs", "--cuts", "2", "--steps", "300")[:2], 2)

    def test_sqlite_on_ext4_keeps_its_transactions(self):
        """On a drive without zones that has been used before, cut before something is made durable."""
        options = ("--preset", "tlc-block", "--set", "block-data-size=512M", "--age", "fill=60,overwrite=1", "--fs", "ext4")
        options += ("--workload", "sqlite", "--steps", "40", "--cuts", "3", "--at", "flush")
        folder = os.path.join(self.workdir, "sqlite")
        command = [conzone(), "crash", *options, "--out", folder, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        self.assert_all_kept(done.returncode, json.loads(done.stdout), 3)
