# SPDX-License-Identifier: GPL-2.0-or-later
# A database: each transaction writes eight rows anew, and is promised when it has been committed. JOURNAL is its journal mode.
# With synchronous=FULL SQLite does not wait for its rollback journal's deletion, which is the commit, to be durable.
BASE=$DIR/data.db

# The transactions, as SQLite's own shell reads them.
transactions() {
    local n i row
    RANDOM=$SEED
    echo "PRAGMA journal_mode=$JOURNAL; PRAGMA synchronous=EXTRA;"
    echo "CREATE TABLE rows (id INTEGER PRIMARY KEY, n INTEGER, body BLOB);"
    echo "CREATE TABLE log (n INTEGER, id INTEGER);"
    for ((n = 1; n <= STEPS; n++)); do
        echo "BEGIN;"
        for i in 1 2 3 4 5 6 7 8; do
            row=$((RANDOM % 400))
            echo "INSERT OR REPLACE INTO rows VALUES ($row, $n, randomblob($((200 + RANDOM % 1200))));"
            echo "INSERT INTO log VALUES ($n, $row);"
        done
        echo "COMMIT;"
        echo ".shell witness note $n"
    done
}

work() {
    transactions | sqlite3 -bail "$BASE" >/dev/null
}

# Whole transactions are there, all up to some number that is not before the last one promised, and SQLite's own check passes.
check() {
    local said
    if ! [ -e "$BASE" ]; then
        [ "$PROMISED" = 0 ] && return
        echo "there is no database, $PROMISED transactions were promised"
        return 1
    fi
    if ! said=$(sqlite3 -bail "$BASE" "PRAGMA integrity_check;" 2>&1) || [ "$said" != ok ]; then
        echo "integrity_check: $(echo "$said" | head -n 1)"
        return 1
    fi
    if ! sqlite3 "$BASE" "SELECT 1 FROM log LIMIT 1;" >/dev/null 2>&1; then
        [ "$PROMISED" = 0 ] && return
        echo "there are no tables, $PROMISED transactions were promised"
        return 1
    fi
    said=$(sqlite3 -bail "$BASE" "
        SELECT 'the last transaction is ' || ifnull(max(n), 0) || ', $PROMISED was promised' FROM log
            HAVING ifnull(max(n), 0) < $PROMISED;
        SELECT 'transaction ' || n || ' has ' || count(*) || ' rows of 8' FROM log GROUP BY n HAVING count(*) <> 8;
        SELECT 'there are ' || count(DISTINCT n) || ' transactions up to ' || max(n) FROM log
            HAVING count(DISTINCT n) <> ifnull(max(n), 0);
        SELECT 'row ' || rows.id || ' is of transaction ' || rows.n || ', not ' || max(log.n) FROM rows
            LEFT JOIN log ON log.id = rows.id GROUP BY rows.id HAVING max(log.n) IS NOT rows.n;" 2>&1) || {
        echo "$said"
        return 1
    }
    if [ -n "$said" ]; then
        echo "$said"
        return 1
    fi
}
