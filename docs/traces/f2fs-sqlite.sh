# SPDX-License-Identifier: GPL-2.0-or-later
# Six SQLite databases on F2FS, as six applications of a phone have them: 40 rounds of two transactions in each, WAL, every
# commit on the drive before it is answered for (synchronous=FULL).
set -eu
mkfs.f2fs -f -m -c /dev/nvme0n2 /dev/nvme0n1 >/dev/null
mkdir -p /mnt/f
mount -t f2fs /dev/nvme0n1 /mnt/f
cd /mnt/f
for app in 1 2 3 4 5 6; do
    sqlite3 $app.db 'PRAGMA journal_mode=WAL; CREATE TABLE t(k INTEGER PRIMARY KEY, v BLOB);' >/dev/null
done
for round in $(seq 40); do
    for app in 1 2 3 4 5 6; do
        sqlite3 $app.db "PRAGMA synchronous=FULL;
            INSERT INTO t(v) VALUES(randomblob(3000));
            INSERT OR REPLACE INTO t VALUES(abs(random()) % $round + 1, randomblob(900));"
    done
done
cd /
umount /mnt/f
