# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux on a drive in a file: QEMU is killed while it writes, and the next machine has all that fsync promised."""

import json
import os
import random
import re
import signal
import subprocess
import tempfile
import time

from conzone import GuestTest, Monitored, conzone, repository

FUNCTIONS = repository("rust/cli/src/run/filesystem.sh")

DRIVES = {
    "f2fs": ("--set", "zones=32", "--memory", "2G"),
    "ext4": ("--preset", "tlc-block", "--set", "block-data-size=512M"),
}

NAMES = """
. /root/filesystem.sh
FS={fs} DATA=/dev/nvme0n2 META=/dev/nvme0n1
[ -b $DATA ] || {{ DATA=$META META=; }}
"""

# Each file is durable, and its name, when it is told of.
WRITE = """
fs_make && fs_mount && cd /mnt || exit 1
n=0
while n=$((n + 1)); do
    head -c $((n % 7 * 9000 + 100)) /dev/urandom > f$n || exit
    sync f$n && sync . || exit
    echo "SUM f$n $(md5sum < f$n)"
    echo "SYNCED f$n"
done
"""

CHECK = """
fs_choose
mount $FS_DEVICE /mnt || exit 1
cd /mnt && md5sum f* | while read sum name; do echo "HAS $name $sum"; done
cd / && umount /mnt || exit 1
case $FS in
    f2fs) fsck.f2fs --dry-run $FS_DEVICE ;;
    ext4) e2fsck -fn $FS_DEVICE ;;
esac > /tmp/fsck.log 2>&1 || { cat /tmp/fsck.log; exit 1; }
dmesg | grep -iE "I/O error|critical" && exit 1
echo CLEAN
"""


class Images(GuestTest):
    """Drives that outlive QEMU."""

    def kill(self, guest):
        """Kills QEMU, and gives what the guest had said until then."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
                    name, _, rest = stat.read().partition("(")[2].rpartition(")")
            except OSError:
                continue
            if name.startswith("qemu") and int(rest.split()[1]) == guest.process.pid:
                os.kill(int(pid), signal.SIGKILL)
        while (line := guest.lines.get(timeout=60)) is not None:
            guest.said.append(line)
        self.assertNotEqual(guest.process.wait(), 0)
        return "\n".join(guest.said)

    def check_kill(self, name):
        """What fsync had answered is there after a kill; the file system is clean, and the drive agrees with itself."""
        with tempfile.TemporaryDirectory(prefix="conzone-test-") as folder:
            image = os.path.join(folder, "drive.cz")
            options = (*DRIVES[name], "--image", image, "--file", f"{FUNCTIONS}:/root/filesystem.sh")
            names = NAMES.format(fs=name)
            guest = Monitored(self, names + WRITE, options)
            try:
                for number in range(1, random.randint(8, 30)):
                    guest.until(f"SYNCED f{number}")
                time.sleep(random.uniform(0, 0.3))
                said = self.kill(guest)
            finally:
                guest.close()
            sums = dict(re.findall(r"^SUM (f\d+) ([0-9a-f]{32})", said, re.MULTILINE))
            promised = {file: sums[file] for file in re.findall(r"^SYNCED (f\d+)$", said, re.MULTILINE)}
            self.assertGreater(len(promised), 5, said)
            status = [conzone(), "image", "check", image]
            checked = subprocess.run(status, capture_output=True, text=True, check=True)
            self.assertIn("a power cut after", checked.stdout)
            # Its settings are in the image.
            again = self.guest(names + CHECK, ("--image", image, *options[-2:], "--memory", "2G"))
            self.assertEqual(again.status, 0, again.stdout)
            self.assertIn("CLEAN", again.stdout)
            held = dict(re.findall(r"^HAS (f\d+) ([0-9a-f]{32})", again.stdout, re.MULTILINE))
            lost = {file: sum for file, sum in promised.items() if held.get(file) != sum}
            self.assertEqual(lost, {}, "promised and lost")
            info = [conzone(), "image", "info", "--json", image]
            info = json.loads(subprocess.run(info, capture_output=True, check=True).stdout)
            self.assertTrue(info["ended_in_order"])
            self.assertEqual(info["power_cuts"], 1)

    def test_f2fs(self):
        """Zones, and a conventional namespace for the metadata."""
        self.check_kill("f2fs")

    def test_ext4(self):
        """A page-mapped drive, overwritten in place."""
        self.check_kill("ext4")
