// SPDX-License-Identifier: GPL-2.0-or-later
//! A timer on the guest's clock (`QEMU_CLOCK_VIRTUAL`, ns), inside a device's own struct.
//!
//! Under icount and qtest such a timer fires at exactly its deadline. QEMU's own
//! `Timer` wants a pinned `&mut` to be initialised, which an embedded field of a shared object cannot give.

use std::os::raw::{c_int, c_void};

use qemu::bindings::{
    qemu_clock_get_ns, qtest_allowed, timer_del, timer_init_full, timer_mod_ns, use_icount,
    QEMUTimer, ICOUNT_DISABLED, QEMU_CLOCK_VIRTUAL, SCALE_NS,
};
use qemu::{bql_locked, FnCall, ObjectType, Opaque};

/// A timer that calls a method of the object it is a field of. All zeroes is a timer that has not
/// been initialised: cancelling it is harmless.
#[repr(transparent)]
#[derive(Debug)]
pub struct VirtualTimer(Opaque<QEMUTimer>);

// SAFETY: all use is under the big QEMU lock.
unsafe impl Send for VirtualTimer {}
// SAFETY: as above.
unsafe impl Sync for VirtualTimer {}

impl VirtualTimer {
    /// Sets the callback. `owner` is the object that this timer is a field of, so that it cannot
    /// outlive it.
    ///
    /// # Safety
    /// The timer lies inside `owner`, and has never been initialised before.
    pub unsafe fn init<T: ObjectType, F: for<'a> FnCall<(&'a T,)>>(&self, _callback: F, owner: &T) {
        const { assert!(F::IS_SOME) };

        /// # Safety
        /// Called by QEMU with the object passed to `init`.
        unsafe extern "C" fn fired<T, F: for<'a> FnCall<(&'a T,)>>(opaque: *mut c_void) {
            // SAFETY: opaque is the object around the timer, alive as long as the timer is.
            F::call((unsafe { &*opaque.cast::<T>() },));
        }

        // SAFETY: the timer does not move, since QOM objects do not; the callback fits the opaque.
        unsafe {
            timer_init_full(
                self.0.as_mut_ptr(),
                std::ptr::null_mut(),
                QEMU_CLOCK_VIRTUAL,
                SCALE_NS as c_int,
                0,
                Some(fired::<T, F>),
                std::ptr::from_ref(owner).cast_mut().cast(),
            );
        }
    }

    /// Fires at `deadline_ns`, in place of any earlier request; as soon as possible if that has
    /// passed, but never within this call.
    pub fn arm(&self, deadline_ns: u64) {
        assert!(bql_locked());
        let deadline = i64::try_from(deadline_ns).unwrap_or(i64::MAX);
        // SAFETY: initialised, which the owner's instance_init sees to.
        unsafe { timer_mod_ns(self.0.as_mut_ptr(), deadline) }
    }

    /// Takes back any request.
    pub fn cancel(&self) {
        // SAFETY: C checks whether the timer was initialised.
        unsafe { timer_del(self.0.as_mut_ptr()) }
    }

    /// The guest's clock now, in ns.
    #[must_use]
    pub fn now_ns() -> u64 {
        // SAFETY: a valid clock.
        let now = unsafe { qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) };
        u64::try_from(now).unwrap_or(0)
    }

    /// Whether the guest's clock counts instructions (`-icount`).
    #[must_use]
    pub fn is_counted() -> bool {
        assert!(bql_locked());
        // SAFETY: set while the command line is read, and constant from then on.
        unsafe { use_icount != ICOUNT_DISABLED }
    }

    /// Whether the guest's clock runs with the host's, so that timers can be late.
    #[must_use]
    pub fn follows_host() -> bool {
        // SAFETY: as above.
        !Self::is_counted() && unsafe { !qtest_allowed }
    }
}

impl Drop for VirtualTimer {
    fn drop(&mut self) {
        self.cancel();
    }
}
