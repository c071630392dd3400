# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux' device mapper on the drive: what its targets pass on, encrypt, refuse and log.

dm-linear, dm-flakey and dm-crypt know zones; dm-log-writes is for conventional devices. The guest has dmsetup; a table is one line.
"""

import json

from conzone import DATA, META, GuestTest

COMMANDS = {
    "define": rf"""
    modprobe -a loop dm-mod dm-flakey dm-crypt dm-log-writes xts
    sectors() {{ blockdev --getsz $1; }}
    table() {{ dmsetup create $1 --table "0 $(sectors $2) $3"; }}
    head -c 4M /dev/urandom > /root/data
    write() {{ dd if=/root/data of=$1 bs=64k oflag=direct,seek_bytes seek=$(($2 << 20)) 2>/root/dd.log || {{ cat /root/dd.log; return 1; }}; }}
    read_back() {{ dd if=$1 bs=64k count=64 iflag=direct,skip_bytes skip=$(($2 << 20)) 2>/dev/null | cmp - /root/data; }}
    """,
    "linear": f"table line {DATA} 'linear {DATA} 0'; cat /sys/block/dm-0/queue/zoned; write /dev/mapper/line 0",
    "linear_same": f"read_back /dev/mapper/line 0 && read_back {DATA} 0",
    "linear_zones": "blkzone report -c 1 /dev/mapper/line",
    "linear_reset": f"blkzone reset -c 1 /dev/mapper/line && blkzone report -c 1 {DATA}",
    "linear_gone": "dmsetup remove line",
    "crypt": f"table secret {DATA} 'crypt aes-xts-plain64 {'0123456789abcdef' * 8} 0 {DATA} 0'; write /dev/mapper/secret 0",
    "crypt_same": "read_back /dev/mapper/secret 0",
    "crypt_differs": f"! read_back {DATA} 0",
    "crypt_fio": "fio --name=a --filename=/dev/mapper/secret --zonemode=zbd --direct=1 --rw=write --bs=64k --offset=128m --size=128m --io_size=128m"
    " --verify=crc32c --ioengine=io_uring --iodepth=8 --output-format=json",
    "crypt_gone": "dmsetup remove secret",
    "flakey": f"table weak {DATA} 'flakey {DATA} 0 0 60'; ! write /dev/mapper/weak 256; dmsetup remove weak",
    "flakey_untouched": f"blkzone report -o $((256 * 2048)) -c 1 {DATA}",
    "log_writes": f"""
    truncate -s 64M /root/log && losetup /dev/loop0 /root/log &&
    table logged {META} 'log-writes {META} /dev/loop0' && write /dev/mapper/logged 0 &&
    dmsetup message logged 0 mark halfway && dmsetup remove logged && read_back {META} 0""",
    # The magic of its super block (Linux: drivers/md/dm-log-writes.c), and a mark by its name.
    "log_has": "od -An -tx8 -N8 /root/log; grep -c halfway /root/log",
    "f2fs_io": "f2fs_io 2>&1 | grep -c pinfile",
    "errors": "dmesg | grep -E 'BUG|WARNING|nvme.*error' || true",
}


class Mapper(GuestTest):
    """One boot for each kernel."""

    def try_all(self, kernel):
        """Every target does what it says."""
        results = self.checks(COMMANDS, ("--kernel", kernel, "--set", "zones=8"))
        self.assert_all_succeed(results)
        self.assertIn("host-managed", results["linear"].stdout)
        self.assertRegex(results["linear_zones"].stdout, r"wptr 0x0*2000 .*zcond: ?2\(oi\)", "4 MiB")
        self.assertRegex(results["linear_reset"].stdout, r"wptr 0x0+ .*zcond: ?1\(em\)")
        self.assertEqual(json.loads(results["crypt_fio"].stdout)["jobs"][0]["error"], 0)
        self.assertRegex(results["flakey_untouched"].stdout, r"wptr 0x0+ .*zcond: ?1\(em\)")
        magic, mark = results["log_has"].stdout.split()
        self.assertEqual((magic, mark), ("006a736677736872", "1"))
        self.assertEqual(results["errors"].stdout.strip(), "")

    def test_linux_6_12(self):
        """Debian 13's kernel."""
        self.try_all("6.12")

    def test_linux_of_today(self):
        """The newest that Debian rebuilds for its stable release."""
        self.try_all("backports")
