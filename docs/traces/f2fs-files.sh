# SPDX-License-Identifier: GPL-2.0-or-later
# Applications are installed on F2FS, updated and removed: eight rounds of 40 MB in files of all sizes, of which two
# versions are kept; a database is written meanwhile.
set -eu
mkfs.f2fs -f -m -c /dev/nvme0n2 /dev/nvme0n1 >/dev/null
mkdir -p /mnt/f
mount -t f2fs /dev/nvme0n1 /mnt/f
cd /mnt/f
sqlite3 log.db 'PRAGMA journal_mode=WAL; CREATE TABLE t(k INTEGER PRIMARY KEY, v BLOB);' >/dev/null
for round in $(seq 8); do
    mkdir app$round
    for part in usr/bin usr/lib usr/sbin lib/modules; do
        [ ! -d /$part ] || cp -r /$part app$round/
        sqlite3 log.db 'PRAGMA synchronous=FULL; INSERT INTO t(v) VALUES(randomblob(20000));'
    done
    sync
    find app$round -type f | head -n 20 | while read -r file; do
        dd if=/dev/urandom of="$file" bs=4k count=4 conv=notrunc,fsync status=none
    done
    rm -rf app$((round - 2))
done
du -sh /mnt/f >&2
cd /
umount /mnt/f
