# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests that others wrote for NVMe drives, on this drive and on QEMU's `nvme`, in the same boot: nvme-cli's and liburing's.

What QEMU's drive passes, this one must pass. fio's tests of zones are in test_zbd.py. The guest gets them by `--tests`
(tests/guest/src/build/suites.rs).
"""

import os
import re

from conzone import GuestTest

MEDIA = 64 << 20

# One namespace of 64 MiB each, without zones: nvme-cli's tests overwrite its first blocks. Queues are as long as those of QEMU's
# drive: with less than the 32 that liburing's `iopoll` has in flight, Linux 7.3 tells a read that has to wait for a place that its
# provided buffer is gone (ENOBUFS).
OURS = "conzone-nvme,serial=ours,preset=tlc-block,block-data-size=64M,meta-size=0,queue-entries=1024,timing=off"
THEIRS = ("nvme,id=theirs,serial=theirs", "nvme-ns,bus=theirs,drive=media")

# Tests of nvme-cli that are of creating and deleting namespaces, and one that formats those it has created.
NEED_NAMESPACE_MANAGEMENT = {"nvme_attach_detach_ns_test", "nvme_create_max_ns_test", "nvme_format_test"}
# Get LBA Status (OACS bit 9) is offered by neither drive.
NEED_LBA_STATUS = {"nvme_get_lba_status_test", "nvme_lba_status_log_test"}

FIND = r"""
find() { grep -l "^$1 " /sys/class/nvme/*/serial | cut -d/ -f5; } # a drive by its serial number
"""

# nvme-cli's tests delete all namespaces first and create one over all of the drive. Neither drive manages namespaces (OACS bit 3
# is clear): the one that is there takes its place. What is left is theirs, unchanged.
TAKE_WHAT_IS_THERE = r"""
import sys, unittest
import nvme_test
def there(self):
    self.dps = self.flbas = 0
    data, metadata = self.get_lba_format_size()
    self.nsze = self.ncap = self.get_ncap() // (data + metadata)
    self.ctrl_id = self.get_ctrl_id()
nvme_test.TestNVMe.create_and_attach_default_ns = there
unittest.main(module=None, argv=["nvme-cli", "-v", sys.argv[1]])
"""

NVME_CLI = FIND + r"""
cd /usr/share/tests/nvme-cli
for name in ours theirs; do
    drive=$(find $name)
    sed -i -E "s/nvme[0-9]+/$drive/" tests/config.json
    for test in tests/nvme_*_test.py; do
        test=$(basename $test .py)
        [ $test = nvme_simple_template_test ] && continue
        said=$(PYTHONPATH=tests timeout 120 python3 /root/there.py $test 2>&1)
        status=$?
        skipped=$(grep -c "^OK (skipped=" <<< "$said")
        echo "@@ $name $test $status $skipped"
        if [ $status != 0 ]; then echo "$said" | tail -n 25 | sed "s/^/    /"; fi
        if [ $skipped != 0 ]; then grep -o "skipped .*" <<< "$said" | head -n 1; fi
    done
done
"""

# Polled I/O needs queues that are polled, which the driver makes when it is loaded.
LIBURING = FIND + r"""
rmmod nvme && modprobe nvme poll_queues=1 && sleep 1
cd /usr/share/tests/liburing
for name in ours theirs; do
    drive=$(find $name)
    for test in *.t; do
        device=/dev/${drive}n1
        if [ $test = io_uring_passthrough.t ]; then device=/dev/ng${drive#nvme}n1; fi
        said=$(timeout 300 ./$test $device 2>&1)
        status=$?
        echo "@@ $name ${test%.t} $status $((status == 77))"
        if [ $status != 0 ]; then echo "$said" | tail -n 5 | sed "s/^/    /"; fi
    done
done
"""


def outcomes(text, drive):
    """Test -> PASS, SKIP or FAIL."""
    found = re.findall(rf"^@@ {drive} (\S+) (\d+) (\d)$", text, re.MULTILINE)
    return {test: "SKIP" if skipped != "0" else "FAIL" if status != "0" else "PASS" for test, status, skipped in found}


class Suites(GuestTest):
    """One boot for each suite and kernel."""

    timeout = 1500
    guest_limit = 1200

    def compare(self, suite, script, *options):
        """Runs a suite on both drives; gives what became of it on this one."""
        media = os.path.join(self.workdir, "media")
        with open(media, "wb") as file:
            file.truncate(MEDIA)
        blockdev = f"driver=file,node-name=media,filename={media}"
        options = ["--tests", "--memory", "2G", "--qemu-arg=-blockdev", f"--qemu-arg={blockdev}", *options]
        for device in (OURS, *THEIRS):
            options += ["--device", device]
        done = self.guest(script, options)
        self.assertEqual(done.status, 0, done.stderr)
        ours, theirs = (outcomes(done.stdout, drive) for drive in ("ours", "theirs"))
        self.assertEqual(ours.keys(), theirs.keys())
        counts = [list(ours.values()).count(how) for how in ("PASS", "SKIP", "FAIL")]
        self.log.info("%s: %s passed, %s skipped, %s failed", suite, *counts)
        self.log.info("differ: %s", {test: (ours[test], theirs[test]) for test in ours if ours[test] != theirs[test]})
        worse = [test for test, how in theirs.items() if how == "PASS" != ours[test]]
        worse += [test for test, how in ours.items() if how == "FAIL" != theirs[test]]
        self.assertEqual(worse, [], "do worse here than on QEMU's drive")
        return ours

    def test_nvme_cli(self):
        """nvme-cli's tests with the namespace that is there."""
        script = os.path.join(self.workdir, "there.py")
        with open(script, "w", encoding="utf-8") as file:
            file.write(TAKE_WHAT_IS_THERE)
        ours = self.compare("nvme-cli", NVME_CLI, "--package", "python3", "--file", f"{script}:/root/there.py")
        self.assertGreaterEqual(len(ours), 20)
        self.assertEqual({test for test, how in ours.items() if how == "FAIL"}, NEED_NAMESPACE_MANAGEMENT)
        self.assertEqual({test for test, how in ours.items() if how == "SKIP"}, NEED_LBA_STATUS)

    def test_liburing(self):
        """Passthrough commands and polled I/O by io_uring."""
        ours = self.compare("liburing", LIBURING)
        self.assertEqual((len(ours), list(ours.values()).count("FAIL")), (5, 0))

    def test_liburing_linux_of_today(self):
        """The same under the newest kernel that Debian rebuilds for its stable release."""
        ours = self.compare("liburing", LIBURING, "--kernel", "backports")
        self.assertEqual((len(ours), list(ours.values()).count("FAIL")), (5, 0))
