# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad properties: one clear line, exit status 1. No guest is booted."""

import subprocess

from avocado import Test

from conzone import conzone

MACHINE = ["-M", "q35", "-nodefaults", "-display", "none", "-S"]

# The property string, QEMU arguments before it, and words the message must have.
BAD = [
    ("preset=x", [], ["preset", "x"]),
    ("channels=0", [], ["channels", "0"]),
    ("channels=1000000", [], ["channels"]),
    ("lba-size=1000", [], ["lba-size"]),
    ("flash-page-size=5000", [], ["flash-page-size"]),
    ("block-size=24000001", [], ["block-size"]),
    ("zones=4294967295", [], ["zones"]),
    ("block-size=64G,zones=1000000", [], []),
    ("queue-entries=1", [], ["queue-entries"]),
    ("num-queues=0", [], ["num-queues"]),
    ("max-open=100,max-active=2", [], ["max-"]),
    ("media=nowhere", [], ["media"]),
    ("no-such-property=1", [], ["no-such-property"]),
    ("memdev=none", [], ["memdev"]),
    ("memdev=m", ["-object", "memory-backend-ram,id=m,size=1M"], ["memdev"]),
    ("memmap-start=1G", [], ["memmap"]),
    ("memmap-start=64G,memmap-size=8G", [], ["memmap"]),
    ("preset=qlc-zoned-zone-slc,slc-superblocks=2", [], ["slc-superblocks"]),
]


class Properties(Test):
    """Everything QEMU is told about the drive is checked before the guest starts."""

    timeout = 120

    def start(self, device, before=()):
        """Starts QEMU with this device and gives what became of it."""
        command = [conzone(), "qemu", "--", *MACHINE, *before, "-device", f"conzone-nvme,{device}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        self.log.info("%s: %d\n%s", device, done.returncode, done.stderr)
        return done

    def test_refused(self):
        """Each bad property gets one line that names it."""
        for device, before, words in BAD:
            with self.subTest(device):
                done = self.start(device, before)
                lines = done.stderr.strip().splitlines()
                self.assertEqual((done.returncode, len(lines)), (1, 1), done.stderr)
                for word in words:
                    self.assertIn(word, lines[0])

    def test_help(self):
        """The device explains itself."""
        done = self.start("help")
        self.assertEqual(done.returncode, 0)
        for name in ("preset", "zones", "memdev", "timing"):
            self.assertRegex(done.stdout, rf"(?m)^\s+{name}=<\w+")
