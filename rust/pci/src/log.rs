// SPDX-License-Identifier: GPL-2.0-or-later
//! QEMU's log of guest mistakes (`-d guest_errors`).

use std::fmt;

use qemu::bindings::{qemu_log, qemu_loglevel, LOG_GUEST_ERROR};

use crate::text::c_text;

/// Logs one line if the user asked for `-d guest_errors`; formats nothing otherwise.
pub fn guest_error(message: fmt::Arguments<'_>) {
    // SAFETY: qemu_loglevel is a plain int that C reads in the same way, without a lock.
    let level = i64::from(unsafe { qemu_loglevel });
    let wanted = level & i64::from(LOG_GUEST_ERROR) != 0;
    if !wanted {
        return;
    }
    let line = c_text(&format!("{message}\n"));
    // SAFETY: the format takes exactly one NUL-terminated string.
    unsafe { qemu_log(c"%s".as_ptr(), line.as_ptr()) };
}
