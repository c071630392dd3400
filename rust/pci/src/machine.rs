// SPDX-License-Identifier: GPL-2.0-or-later
//! The machine that the device is in.

use std::os::raw::c_void;
use std::ptr::NonNull;

use qemu::bindings::{
    qemu_add_vm_change_state_handler, qemu_del_vm_change_state_handler, qemu_system_reset_request,
    qemu_system_shutdown_request, runstate_is_running, RunState, VMChangeStateEntry,
    SHUTDOWN_CAUSE_GUEST_RESET, SHUTDOWN_CAUSE_GUEST_SHUTDOWN,
};
use qemu::{bql_locked, FnCall, ObjectType};

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

/// Calls a method of a device whenever the machine stops: paused, or for good.
pub struct StopHandler(NonNull<VMChangeStateEntry>);

// SAFETY: all use is under the big QEMU lock, asserted by the methods.
unsafe impl Send for StopHandler {}

impl StopHandler {
    /// Calls a method of `owner` from now on.
    ///
    /// # Safety
    /// `owner` drops the handler before its own memory goes.
    pub unsafe fn new<T: ObjectType, F: for<'a> FnCall<(&'a T,)>>(
        owner: &T,
        _callback: F,
    ) -> Option<Self> {
        const { assert!(F::IS_SOME) };

        /// # Safety
        /// `owner` is the object passed to `new`, alive and under the big lock.
        unsafe extern "C" fn changed<T, F: for<'a> FnCall<(&'a T,)>>(
            owner: *mut c_void,
            running: bool,
            _state: RunState,
        ) {
            if !running {
                // SAFETY: by this function's contract.
                F::call((unsafe { &*owner.cast_const().cast::<T>() },));
            }
        }

        assert!(bql_locked());
        let owner = std::ptr::from_ref(owner).cast_mut().cast();
        // SAFETY: the callback takes what it is given here, as long as the entry lives.
        NonNull::new(unsafe { qemu_add_vm_change_state_handler(Some(changed::<T, F>), owner) })
            .map(Self)
    }
}

impl Drop for StopHandler {
    fn drop(&mut self) {
        assert!(bql_locked());
        // SAFETY: added by `new`, and taken back once.
        unsafe { qemu_del_vm_change_state_handler(self.0.as_ptr()) }
    }
}
