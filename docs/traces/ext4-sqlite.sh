# SPDX-License-Identifier: GPL-2.0-or-later
# The work of f2fs-sqlite on ext4, on a drive without zones, with SQLite's rollback journal.
set -eu
mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 /dev/nvme0n1
mkdir -p /mnt/f
mount /dev/nvme0n1 /mnt/f
cd /mnt/f
for app in 1 2 3 4 5 6; do
    sqlite3 $app.db 'CREATE TABLE t(k INTEGER PRIMARY KEY, v BLOB);'
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
