# SPDX-License-Identifier: GPL-2.0-or-later
# The checkers of file systems, after filesystem.sh: for what a power cut left, and for functional tests.

# Looks, and changes nothing. zonefs has nothing to check.
fs_look() {
    case $FS in
    f2fs) fsck.f2fs --dry-run "$FS_DEVICE" ;;
    ext4) e2fsck -fn "$FS_DEVICE" ;;
    btrfs) btrfs check --readonly "$FS_DEVICE" ;;
    xfs) xfs_repair -n ${FS_ZONES:+-r "$FS_ZONES"} "$FS_DEVICE" ;;
    esac
}

# Mends; fails where there is nothing that does. (btrfs' own repair is said to be dangerous.)
fs_mend() {
    case $FS in
    f2fs) fsck.f2fs -f "$FS_DEVICE" ;;
    ext4) e2fsck -fy "$FS_DEVICE"; [ $? -le 2 ] ;;
    xfs) xfs_repair ${FS_ZONES:+-r "$FS_ZONES"} "$FS_DEVICE" ;;
    *) false ;;
    esac
}
