# SPDX-License-Identifier: GPL-2.0-or-later
# Where things are: after filesystem.sh and lines that set FS, OPTIONS (of mount), SEED, STEPS and PROMISED.
set -u
ENDED=18446744073709551615
DATA=/dev/nvme0n1 META=
if [ -b /dev/nvme0n2 ]; then DATA=/dev/nvme0n2 META=/dev/nvme0n1; fi
DIR=/mnt APPEND=
if [ "$FS" = zonefs ]; then DIR=/mnt/seq APPEND=append; fi

fs_mount() {
    mount -t "$FS" -o "${OPTIONS:-defaults}" "$FS_DEVICE" /mnt 2>/tmp/mount.log && return
    echo "mounting $FS_DEVICE: $(head -n 1 /tmp/mount.log); $(dmesg | tail -n 1)" >&2
    return 1
}
