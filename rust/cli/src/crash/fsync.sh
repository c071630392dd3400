# SPDX-License-Identifier: GPL-2.0-or-later
# Files that are written over, extended and replaced, some of it made durable by fsync or fdatasync and promised then.
work() {
    witness write "$DIR" "$SEED" "$STEPS" $APPEND
}

check() {
    witness check "$DIR" "$SEED" "$STEPS" "$PROMISED" $APPEND
}
