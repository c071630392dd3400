# SPDX-License-Identifier: GPL-2.0-or-later
# Runs in the guest on the drive that a power cut left, after filesystem.sh, fsck.sh, ready.sh and a workload. Says in lines that begin
# with "crash:" how it went; the rest is for people.
#
#   crash: mount ok|repaired|failed WHY       the file system could be mounted; after its checker had mended it; not at all
#   crash: promises kept|broken WHY           what was promised is there
#   crash: checker clean|repaired|damaged     what the file system's checker found afterwards, and whether it could mend it

fs_choose || exit
mounted=ok
if ! why=$(fs_mount 2>&1); then
    echo "$why"
    mounted=repaired
    fs_mend </dev/null >/tmp/mend.log 2>&1
    if ! fs_mount; then
        tail -n 20 /tmp/mend.log
        echo "crash: mount failed $(echo "$why" | head -n 1)"
        exit
    fi
fi
echo "crash: mount $mounted"
why=$(check 2>&1)
case $? in
0) echo "crash: promises kept" ;;
1) echo "crash: promises broken $(echo "$why" | head -n 1)" ;;
*)
    echo "$why"
    exit 1
    ;;
esac
umount /mnt || exit
if fs_look >/tmp/look.log 2>&1; then
    echo "crash: checker clean"
else
    tail -n 20 /tmp/look.log
    fs_mend </dev/null >/tmp/mend.log 2>&1
    if fs_look >/tmp/look.log 2>&1; then
        echo "crash: checker repaired"
    else
        tail -n 20 /tmp/look.log
        echo "crash: checker damaged"
    fi
fi
dmesg | grep -iE 'f2fs|ext4|btrfs|xfs|zonefs|jbd2|nvme' | tail -n 20
