# SPDX-License-Identifier: GPL-2.0-or-later
"""fio over the zones: what was written comes back, without an error."""

import json

from conzone import GuestTest, fio

OPTIONS = ("--set", "zones=8", "--smp", "2")


class Fio(GuestTest):
    """Two boots: data that stays, and zones written over and over."""

    def jobs(self, result):
        """The jobs of a fio report, none of which may have an error."""
        # fio says things before the report when it is not content.
        report = json.loads(result.stdout[result.stdout.index("{") :])
        for job in report["jobs"]:
            self.assertEqual(job["error"], 0, job["jobname"])
            self.assertEqual(job["total_err"] if "total_err" in job else 0, 0)
        return report["jobs"]

    def test_fill_and_read(self):
        """A sequential fill of some zones, then small random reads of it."""
        results = self.checks(
            {
                "fill": fio(rw="write", bs="128k", iodepth=1, size="2z"),
                "full": "blkzone report -c 2 /dev/nvme0n2",
                "randread": fio(rw="randread", bs="4k", iodepth=16, size="2z", number_ios=8000),
                "dmesg": "dmesg",
            },
            OPTIONS,
        )
        self.assert_all_succeed(results)
        fill = self.jobs(results["fill"])[0]
        self.assertEqual(fill["write"]["io_bytes"], 2 * (96 << 20))
        self.assertEqual(results["full"].stdout.count("14(fu)"), 2)
        read = self.jobs(results["randread"])[0]
        self.assertEqual(read["read"]["total_ios"], 8000)
        self.assert_calm(results["dmesg"].stdout)

    def test_verify(self):
        """Checksums over zones that are reset and written again, with one writer and with four."""
        verify = {"verify": "crc32c", "verify_fatal": 1}
        results = self.checks(
            {
                # Three times over the same two zones: the second and third time reset them.
                "again": fio(rw="write", bs="128k", iodepth=1, io_size="576m", size="2z", **verify),
                "reset": "blkzone reset /dev/nvme0n2",
                "four": fio(
                    rw="write", bs="64k", iodepth=4, numjobs=4, offset_increment="2z", size="1z", **verify
                ),
                "mixed": fio(rw="randwrite", bs="16k", iodepth=1, size="1z", io_size="128m", **verify),
                "dmesg": "dmesg",
            },
            OPTIONS,
        )
        self.assert_all_succeed(results)
        again = self.jobs(results["again"])[0]
        self.assertGreaterEqual(again["write"]["io_bytes"], 2 * (192 << 20))
        self.assertGreater(again["read"]["io_bytes"], 150 << 20)
        self.assertEqual(len(self.jobs(results["four"])), 4)
        for job in self.jobs(results["four"]):
            self.assertEqual(job["write"]["io_bytes"], 96 << 20)
            self.assertEqual(job["read"]["io_bytes"], 96 << 20)
        self.jobs(results["mixed"])
        self.assert_calm(results["dmesg"].stdout)
