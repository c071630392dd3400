// SPDX-License-Identifier: GPL-2.0-or-later
//! The machine that the device is in.

use qemu_api::bindings::{SHUTDOWN_CAUSE_GUEST_RESET, SHUTDOWN_CAUSE_GUEST_SHUTDOWN};
use qemu_api::cell::bql_locked;

use crate::bindings::{
    qemu_system_reset_request, qemu_system_shutdown_request, runstate_is_running,
};

/// Whether the machine runs: its clock goes, and devices may change its memory.
#[must_use]
pub fn is_running() -> bool {
    assert!(bql_locked());
    // SAFETY: reads a variable.
    unsafe { runstate_is_running() }
}

/// Shuts the machine down as if the guest had asked for it (`-action shutdown=`), as soon as this device is done.
pub fn shut_down() {
    assert!(bql_locked());
    // SAFETY: sets a variable that the main loop looks at.
    unsafe { qemu_system_shutdown_request(SHUTDOWN_CAUSE_GUEST_SHUTDOWN) }
}

/// Resets the machine as if the guest had asked for it (`-action reboot=`), as soon as this device is done.
pub fn reset() {
    assert!(bql_locked());
    // SAFETY: as above.
    unsafe { qemu_system_reset_request(SHUTDOWN_CAUSE_GUEST_RESET) }
}
