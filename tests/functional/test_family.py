# SPDX-License-Identifier: GPL-2.0-or-later
"""The other drives of the family: enterprise zoned, conventional, plain.

All of them sit in one machine, told apart by their serial numbers; in the guest each is a shell variable of that
name, with the path of its last namespace.
"""

import json
import re

from conzone import GuestTest, fio

# Small zones, so that a test fills some.
SMALL_ZONES = "zones=8,zone-capacity=6M"
DRIVES = {
    "proto": "preset=zns-proto,zones=8,zone-capacity=8M",
    "large": f"preset=zns-large,{SMALL_ZONES}",
    "zn540": f"preset=zns-zn540,{SMALL_ZONES}",
    "conv": "preset=conv-970pro,block-data-size=1G",
    "plain": "preset=nvm-optane,block-data-size=1G",
}
ZONED = ("proto", "large", "zn540")

FIND = """
for controller in /sys/class/nvme/nvme*; do
    serial=$(tr -d ' ' < $controller/serial)
    namespaces=$(nvme list-ns /dev/${controller##*/} | grep -c 0x)
    declare "$serial=/dev/${controller##*/}n$namespaces" "${serial}_first=/dev/${controller##*/}n1"
    while [ ! -b "${!serial}" ]; do sleep 0.1; done
    echo "$serial=${!serial}"
done
"""

# Files of many sizes; deleted and rewritten in part; compared after the file system was mounted anew.
CONTENT = """
fill() {
    for n in $(seq 1 "$2" 24); do head -c $((n * 4099 + n % 5 * 60000)) /dev/urandom > "$1/file$n"; done
    (cd "$1" && sha256sum file* > /root/sums) && sync
}
same() {
    echo 3 > /proc/sys/vm/drop_caches
    (cd "$1" && sha256sum -s -c /root/sums && [ "$(ls file* | wc -l)" = "$(wc -l < /root/sums)" ])
}
trial() { # mount options and device: everything after the type
    local type=$1; shift
    mkdir -p /mnt/it
    mount -t "$type" "$@" /mnt/it && fill /mnt/it 1 && umount /mnt/it || return 1
    mount -t "$type" "$@" /mnt/it && same /mnt/it || return 1
    rm /mnt/it/file1? && fill /mnt/it 3 && umount /mnt/it || return 1
    mount -t "$type" "$@" /mnt/it && same /mnt/it && umount /mnt/it
}
"""


def devices(drives):
    """The options that put these drives into the machine."""
    options = []
    for serial, properties in drives.items():
        options += ["--device", f"conzone-nvme,serial={serial},{properties}"]
    return options


def fio_on(drive, **options):
    """A fio job with checksums on the drive of that name."""
    job = fio(filename="DRIVE", verify="crc32c", verify_fatal=1, **options)
    return job.replace("DRIVE", f'"${drive}"')


class Family(GuestTest):
    """One boot for the drives themselves, one for file systems on them."""

    def test_drives(self):
        """Each binds without a warning, says what its preset says, and keeps what fio writes."""
        commands = {"find": FIND}
        for name in DRIVES:
            commands[f"ctrl_{name}"] = f"nvme id-ctrl ${name} -o json"
            commands[f"ns_{name}"] = f"nvme id-ns ${name} -o json"
            commands[f"cache_{name}"] = f"cat /sys/block/${{{name}#/dev/}}/queue/write_cache"
        for name in ZONED:
            commands[f"zns_{name}"] = f"nvme zns id-ns ${name} -o json"
            commands[f"fio_{name}"] = fio_on(name, rw="write", bs="128k", size="2z", iodepth=1)
            commands[f"again_{name}"] = fio_on(name, rw="write", bs="128k", size="2z", iodepth=1)
            commands[f"zones_{name}"] = f"nvme zns report-zones ${name} -o json"
        for name in ("conv", "plain"):
            job = {"rw": "randwrite", "size": "8m", "iodepth": 8, "zonemode": "none"}
            commands[f"fio_{name}"] = fio_on(name, bs="4k", **job)
            commands[f"again_{name}"] = fio_on(name, bsrange="512-64k", **job)
        commands["refused"] = "nvme write $proto -s 0 -c 7 -z 4096 -d /proc/version"
        commands["dmesg"] = "dmesg"
        results = self.checks(commands, devices(DRIVES))
        refused = results.pop("refused")
        self.assertIn("ZONE_INVALID_WRITE", refused.stdout.upper().replace(" ", "_"))
        self.assert_all_succeed(results)
        self.assert_calm(results["dmesg"].stdout)
        caches = {name: results[f"cache_{name}"].stdout.strip() for name in DRIVES}
        volatile = dict.fromkeys(DRIVES, "write back")
        self.assertEqual(caches, volatile | {"plain": "write through"}, "whether Linux flushes")
        said = {name: json.loads(r.stdout) for name, r in results.items() if name.split("_")[0] in ("ns", "zns", "zones")}
        self.check_identity(said)
        self.check_zones(said)

    def check_identity(self, said):
        """Sizes, the preferred write, open and active limits."""
        mib = {name: said[f"ns_{name}"]["nsze"] * 512 >> 20 for name in DRIVES}
        self.assertEqual(mib, {"proto": 64, "large": 64, "zn540": 64, "conv": 1024, "plain": 1024})
        preferred = {name: (said[f"ns_{name}"]["npwg"] + 1) // 2 for name in DRIVES}
        self.assertEqual(preferred, {"proto": 128, "large": 192, "zn540": 96, "conv": 32, "plain": 4})
        limits = {name: (said[f"zns_{name}"]["mor"], said[f"zns_{name}"]["mar"]) for name in ZONED}
        none = 0xFFFFFFFF
        self.assertEqual(limits, {"proto": (none, none), "large": (13, 13), "zn540": (13, 13)})

    def check_zones(self, said):
        """Eight zones of the size asked for, of which fio has filled two."""
        for name, capacity in (("proto", 8), ("large", 6), ("zn540", 6)):
            zones = said[f"zones_{name}"]["zone_list"]
            self.assertEqual(len(zones), 8, name)
            self.assertEqual({zone["cap"] >> 11 for zone in zones}, {capacity}, name)
            states = [zone["state"] for zone in zones]
            self.assertEqual(states, ["FULL"] * 2 + ["EMPTY"] * 6, name)

    def test_file_systems(self):
        """F2FS and btrfs on the enterprise drive, ext4 on the others: files survive being mounted anew."""
        drives = {
            "zn540": "preset=zns-zn540,meta-size=256M,zones=48,zone-capacity=32M",
            "conv": DRIVES["conv"],
            "plain": DRIVES["plain"],
        }
        commands = {
            "find": FIND,
            "define": CONTENT,
            "f2fs_make": "mkfs.f2fs -f -m -c $zn540 $zn540_first",
            "f2fs": "trial f2fs $zn540_first",
            "f2fs_check": "fsck.f2fs --dry-run $zn540_first",
            "reset": "blkzone reset $zn540",
            "btrfs_make": "mkfs.btrfs -f -q -O zoned -d single -m single $zn540",
            "btrfs": "trial btrfs $zn540",
            "btrfs_check": "btrfs check --readonly $zn540",
        }
        for name in ("conv", "plain"):
            commands[f"ext4_{name}_make"] = f"mkfs.ext4 -q -F ${name}"
            commands[f"ext4_{name}"] = f"trial ext4 -o discard ${name}"
        commands["dmesg"] = "dmesg"
        results = self.checks(commands, devices(drives))
        self.assert_all_succeed(results)
        # File systems say when they come and go; only their complaints count.
        calm = re.compile(r"(F2FS-fs|BTRFS|EXT4-fs)(?!.*(error|warn|corrupt|fail))", re.I)
        lines = [line for line in results["dmesg"].stdout.splitlines() if not calm.search(line)]
        self.assert_calm("\n".join(lines))
