# SPDX-License-Identifier: GPL-2.0-or-later
# Runs in the guest while the drive's history is written, after filesystem.sh, ready.sh and a workload: makes the file system,
# and works on it. The drive notes when the work begins (0), what was promised (1, 2, ...), and when it has ended (ENDED).
fs_make && fs_mount || exit
sync
witness note 0 || exit
work
status=$?
witness note "$ENDED"
if [ $status != 0 ]; then
    echo "the workload failed (status $status)" >&2
    dmesg | tail -n 5 >&2
fi
exit $status
