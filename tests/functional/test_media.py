# SPDX-License-Identifier: GPL-2.0-or-later
"""The drive's bytes lie where the user said: in a memory backend, or in a range of the guest's own memory."""

import os

from conzone import DATA, GuestTest, fio

# A drive of 64 MiB of metadata and two zones, whose data fill 320 MiB.
DRIVE = "conzone-nvme,meta-size=64M,zones=2"
MIB = 320

MARK = "conzone was here"


class Media(GuestTest):
    """One boot for each place."""

    def test_memory_backend(self):
        """What the guest writes appears in the file behind the backend, until the zone is reset."""
        path = os.path.join(self.workdir, "media")
        backend = f"memory-backend-file,id=media,mem-path={path},size={MIB}M,share=on"
        options = (
            *("--qemu-arg=-object", f"--qemu-arg={backend}"),
            *("--device", f"{DRIVE},memdev=media"),
        )
        write = f"yes '{MARK}' | head -c 1M > /root/data; dd if=/root/data of={DATA} bs=64k oflag=direct"
        results = self.checks({"write": write, "back": f"cmp -n 1048576 /root/data {DATA}"}, options)
        self.assert_all_succeed(results)
        with open(path, "rb") as media:
            # Namespace 2 lies behind the 64 MiB of namespace 1.
            media.seek(64 << 20)
            self.assertEqual(media.read(len(MARK)).decode(), MARK)
        results = self.checks({"write": write, "reset": f"blkzone reset {DATA}"}, options)
        self.assert_all_succeed(results)
        with open(path, "rb") as media:
            media.seek(64 << 20)
            self.assertEqual(media.read(1 << 20), bytes(1 << 20))

    def test_guest_memory(self):
        """A range that the guest's kernel was told to leave alone serves as well."""
        options = (
            *("--memory", "2G", "--device", f"{DRIVE},memmap-start=1G,memmap-size={MIB}M"),
            *("--qemu-arg=-append", f"--qemu-arg=console=ttyS0 quiet panic=-1 memmap={MIB}M$1G"),
        )
        results = self.checks(
            {
                "verify": fio(rw="write", bs="64k", iodepth=4, size="1z", verify="crc32c"),
                "map": "grep -i '^ *40000000-53ffffff : reserved' /proc/iomem",
                "dmesg": "dmesg",
            },
            options,
        )
        self.assert_all_succeed(results)
        self.assert_calm(results["dmesg"].stdout)
