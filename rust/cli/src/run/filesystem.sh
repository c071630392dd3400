# SPDX-License-Identifier: GPL-2.0-or-later
# A file system on the drive, by FS: f2fs, zonefs, btrfs, ext4 or xfs. DATA is the device of the drive's data namespace,
# META that of its conventional namespace beside it, empty where there is none. The array MKFS and OPTIONS, if there are
# such, are options of mkfs and of mount.
#
#   f2fs      its metadata on META, its segments on DATA (one section a zone); on a lone block namespace, all there
#   zonefs    a file for each zone of DATA
#   btrfs     DATA, in btrfs's own zoned mode where it is zoned
#   ext4      DATA, or META where DATA is zoned: ext4 overwrites in place
#   xfs       DATA; where that is zoned, metadata and log on META, files on DATA (its "realtime" part, a group a zone)
#
# Functions fail with a reason on standard error. FS_DEVICE is then what to mount, FS_ZONES what XFS has its files on if that is
# another device, FS_MADE the command that made it.
[ -v MKFS ] || MKFS=()
MISFIT=3 # status for a drive that cannot have this file system

fs_misfit() {
    echo "--fs $FS: $*" >&2
    return $MISFIT
}

fs_is_zoned() {
    [ "$(cat "/sys/block/${1#/dev/}/queue/zoned")" = host-managed ]
}

# Chooses FS_DEVICE and the arguments of mkfs.
fs_choose() {
    local active
    FS_DEVICE=$DATA
    FS_ZONES=
    fs_args=(-f)
    if [ "$FS" = xfs ] && ! command -v mkfs.xfs >/dev/null; then
        fs_misfit "needs Linux 6.15 or later and its tools: --kernel backports"
        return
    fi
    if ! fs_is_zoned "$DATA"; then
        case $FS in
        f2fs)
            if [ -n "$META" ]; then
                FS_DEVICE=$META
                fs_args=(-f -c "$DATA")
            fi
            ;;
        zonefs)
            fs_misfit "needs zones, and the data namespace is a block namespace: choose a preset with zones"
            ;;
        ext4) fs_args=(-F) ;;
        esac
        return
    fi
    case $FS in
    f2fs)
        if [ -z "$META" ]; then
            fs_misfit "its metadata needs a conventional namespace beside the zoned one: --set meta-size=auto"
            return
        fi
        FS_DEVICE=$META
        fs_args=(-f -m -c "$DATA")
        ;;
    btrfs)
        active=$(cat "/sys/block/${DATA#/dev/}/queue/max_active_zones")
        # Metadata in one copy: with two (mkfs's default) btrfs needs so many zones that with eight it waits for ever.
        fs_args=(-f -m single)
        # Linux, fs/btrfs/zoned.c, BTRFS_MIN_ACTIVE_ZONES.
        if [ "$active" -gt 0 ] && [ "$active" -lt 8 ]; then
            fs_misfit "needs 8 active zones, and the drive allows $active: --set max-active=8 --set max-open=8"
        fi
        ;;
    ext4)
        if [ -z "$META" ]; then
            fs_misfit "cannot write zones, and there is no conventional namespace: --set meta-size=256M, or a block preset"
            return
        fi
        FS_DEVICE=$META
        fs_args=(-F)
        ;;
    xfs)
        if [ -z "$META" ]; then
            fs_misfit "its metadata needs a conventional namespace beside the zoned one: --set meta-size=512M"
            return
        fi
        FS_DEVICE=$META
        FS_ZONES=$DATA
        fs_args=(-f -r "zoned=1,rtdev=$DATA")
        ;;
    esac
}

# Formats.
fs_make() {
    local command
    fs_choose || return
    command=("mkfs.$FS" "${fs_args[@]}" "${MKFS[@]}" "$FS_DEVICE")
    FS_MADE=${command[*]}
    "${command[@]}" >/tmp/mkfs.log 2>&1 && return
    if [ "$FS" = f2fs ] && grep -q 'size is not sufficient' /tmp/mkfs.log; then
        fs_misfit "$FS_MADE: the drive is too small: --set zones=N or --set meta-size=auto"
        return
    fi
    # The first line that complains is the reason; later ones say that it is over.
    echo "$FS_MADE: $(grep -iE 'error|fail|too |need' /tmp/mkfs.log | head -n 1)" >&2
    return 1
}

fs_mount() {
    local options=${FS_ZONES:+rtdev=$FS_ZONES}${FS_ZONES:+${OPTIONS:+,}}${OPTIONS-}
    mount -t "$FS" ${options:+-o "$options"} "$FS_DEVICE" /mnt && return
    echo "mounting $FS_DEVICE: $(dmesg | tail -n 1)" >&2
    return 1
}

# A checksum for every file that has content.
fs_sums() {
    (cd /mnt && find . -type f -size +0 -print0 | sort -z | xargs -0 -r md5sum)
}

# Unmounts and mounts, and compares every file with what it was; leaves their number in FS_VERIFIED.
fs_remount_verify() {
    fs_sums >/tmp/sums.before || return
    umount /mnt && fs_mount || return
    fs_sums >/tmp/sums.after || return
    if ! cmp -s /tmp/sums.before /tmp/sums.after; then
        echo "$FS: files differ after a remount:" >&2
        diff /tmp/sums.before /tmp/sums.after | head -n 3 >&2
        return 1
    fi
    FS_VERIFIED=$(wc -l </tmp/sums.after)
    if [ "$FS_VERIFIED" -eq 0 ]; then
        echo "$FS: the job left no file with content" >&2
        return 1
    fi
}
