# SPDX-License-Identifier: GPL-2.0-or-later
"""fio's own tests of zoned drives (t/zbd of its newest source) on this drive and on QEMU's `nvme`, in the same boot.

What QEMU's drive passes, this one must pass. Both have 144 zones of 1 MiB: as small as the tests allow, so that they
take minutes under the translator; they run side by side. All zones are reset before each test (`-w`): otherwise what one
leaves open counts against the next.

Tests that last by the clock (15 or 30 s each in the original) last 2 s: they look for errors and stalls, and a drive of
144 MiB is written over within that. No test is left out.
"""

import os
import re

from conzone import GuestTest

ZONES = 144

# A zone is one superblock of four dies: 4 x 256 KiB.
OURS = (
    f"conzone-nvme,serial=ours,zones={ZONES},meta-size=0,timing=off,block-size=256K,flash-page-size=16K,"
    "cell=slc,write-buffer-size=256K,max-open=16,max-active=16"
)
THEIRS = (
    "nvme,id=theirs,serial=theirs",
    "nvme-ns,bus=theirs,drive=media,zoned=on,zoned.zone_size=1M,zoned.zone_capacity=1M"
    ",zoned.max_open=16,zoned.max_active=16",
)

SCRIPT = r"""
try() { # a drive by its serial number
    drive=$(grep -l "^$1 " /sys/class/nvme/*/serial | cut -d/ -f5)
    cp -r /usr/share/tests/fio /root/$1 && cd /root/$1/t/zbd || return
    sed -i -E 's/(--runtime=)(15|30)s?/\12/' test-zbd-support
    timeout 1100 ./test-zbd-support -r -w /dev/${drive}n1
    # Why, for each that failed.
    for log in $(grep -lx FAIL *.log.*); do
        echo "== ${log##*.}"; grep -iE "error|assert|err=|abort|<>" $log | head -n 6
    done > /root/$1.why
}
{ try theirs > /root/theirs.log 2>&1; } & other=$!
{ try ours > /root/ours.log 2>&1; }
wait $other
echo "@@ tests $(grep -c '^test[0-9]*()' /usr/share/tests/fio/t/zbd/test-zbd-support)"
for name in ours theirs; do echo "@@ $name"; cat /root/$name.log /root/$name.why; done
"""


def outcomes(text):
    """Test number -> PASS, FAIL or SKIP."""
    return {int(number): how for number, how in re.findall(r"Running test (\d+) \.\.\. (PASS|FAIL|SKIP)", text)}


class Zbd(GuestTest):
    """One boot."""

    timeout = 1800
    guest_limit = 1200

    def test_no_worse_than_qemus_drive(self):
        """Every test runs on both, and what fails here fails there."""
        media = os.path.join(self.workdir, "media")
        with open(media, "wb") as file:
            file.truncate(ZONES << 20)
        blockdev = f"driver=file,node-name=media,filename={media}"
        options = ["--tests", "--smp", "2", "--qemu-arg=-blockdev", f"--qemu-arg={blockdev}"]
        for device in (OURS, *THEIRS):
            options += ["--device", device]
        done = self.guest(SCRIPT, options)
        self.assertEqual(done.status, 0, done.stderr)
        ours, theirs = (outcomes(part) for part in done.stdout.split("@@ theirs"))
        tests = int(re.search(r"^@@ tests (\d+)$", done.stdout, re.MULTILINE)[1])
        self.assertGreaterEqual(tests, 75)
        self.assertEqual(sorted(ours), list(range(1, tests + 1)), "all tests ran")
        self.assertEqual(ours.keys(), theirs.keys())
        self.log.info("differ: %s", {n: (ours[n], theirs[n]) for n in ours if ours[n] != theirs[n]})
        worse = [number for number, how in theirs.items() if how != ours[number] != "PASS"]
        self.assertEqual(worse, [], "do worse here than on QEMU's drive")
        self.log.info("fio t/zbd: %s of %s passed", list(ours.values()).count("PASS"), tests)
        self.assertGreater(list(ours.values()).count("PASS"), 45)
