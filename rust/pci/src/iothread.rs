// SPDX-License-Identifier: GPL-2.0-or-later
//! A timer on the guest's clock that an iothread works, off the main loop.
//!
//! ```text
//!   arm(deadline) ──► timer of the iothread's loop, `poll` early
//!                        │ fires: no lock, and none may be waited for
//!                        ▼
//!                     bottom half in the iothread: busy-waits for the deadline, no lock
//!                        │
//!                        ▼
//!                     big QEMU lock ──► the owner's callback ──► unlock
//! ```
//!
//! Who may touch what:
//! - The callback runs under the big QEMU lock, like everything else that the owner does. Only the
//!   wait before it does without, and looks at nothing but the clock and two atomics.
//! - The timer itself fires into a bottom half, because stopping the machine waits for timers with
//!   the big lock held: a timer that waited for the lock in turn would never end.
//! - While the bottom half waits for the lock the timer is not armed, and whoever would arm it leaves
//!   that to the bottom half: holders of the lock that step the guest's clock (qtest) wait for timers.
//! - What the iothread looks at without the lock is not part of the owner. It is freed by the
//!   iothread, in a bottom half queued when the timer is dropped, and so after any that is running.
//!   The owner is reached through a pointer that the drop takes away, under the big lock.
//! - The reference to the iothread is given back by the main loop after that: an iothread that ends
//!   is waited for with the big lock held, and by then nothing of ours is left to wait for it.
//!
//! An iothread that block devices use is no good: they wait for it with the big lock held, and it
//! may be waiting for that lock here. Devices that use this timer may share one.

use std::cell::{Cell, UnsafeCell};
use std::ffi::CString;
use std::os::raw::{c_int, c_void};
use std::ptr::{addr_of_mut, NonNull};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use qemu::bindings::{
    aio_bh_new_full, aio_bh_schedule_oneshot_full, bql_lock_impl, bql_unlock, iothread_by_id,
    iothread_get_aio_context, object_ref, object_unref, qemu_bh_delete, qemu_bh_schedule,
    qemu_get_aio_context, timer_deinit, timer_del, timer_init_full, timer_mod_ns, IOThread,
    QEMUTimer, QEMUBH, QEMU_CLOCK_VIRTUAL, SCALE_NS,
};
use qemu::{bql_locked, FnCall, ObjectType};

use crate::error::Error;
use crate::timer::VirtualTimer;

/// Nothing to wait for.
const NEVER: u64 = u64::MAX;

/// What the iothread sees. See the module's documentation for who may touch what.
struct Shared {
    thread: *mut IOThread,
    /// Armed by its owner and by the iothread; C locks it.
    timer: UnsafeCell<QEMUTimer>,
    bottom_half: *mut QEMUBH,
    /// How long to busy-wait at most.
    poll: Duration,
    /// What to wait for, ns of the guest's clock.
    deadline: AtomicU64,
    /// The timer has fired, and the bottom half has not yet got the lock, or given up.
    is_queued: AtomicBool,
    /// The timer has been dropped: no use waiting.
    is_dropped: AtomicBool,
    /// The object to call, null once the timer is dropped. Under the big lock.
    owner: Cell<*const c_void>,
    call: unsafe fn(*const c_void),
}

/// A timer that an iothread works. Dropping it ends it; a callback that is running ends first, and
/// there is none after.
pub struct ThreadTimer(NonNull<Shared>);

// SAFETY: all use is under the big QEMU lock, asserted by the methods.
unsafe impl Send for ThreadTimer {}

impl ThreadTimer {
    /// A timer that calls a method of `owner`, worked by the iothread object `id`, which busy-waits
    /// for deadlines nearer than `poll`.
    ///
    /// # Errors
    /// There is no such iothread, or instructions are counted (`-icount`): then everything has to
    /// happen in the order of the guest's clock.
    ///
    /// # Safety
    /// `owner` drops the timer before its own memory goes.
    pub unsafe fn new<T: ObjectType, F: for<'a> FnCall<(&'a T,)>>(
        id: &str,
        poll: Duration,
        owner: &T,
        _callback: F,
    ) -> Result<Self, Error> {
        const { assert!(F::IS_SOME) };

        /// # Safety
        /// `owner` is the object passed to `new`, alive and under the big lock.
        unsafe fn call<T, F: for<'a> FnCall<(&'a T,)>>(owner: *const c_void) {
            // SAFETY: by this function's contract.
            F::call((unsafe { &*owner.cast::<T>() },));
        }

        assert!(bql_locked());
        if VirtualTimer::is_counted() {
            return Err(Error::new(
                "an iothread does not keep to the order of counted instructions; leave out -icount \
                 or the iothread",
            ));
        }
        let name = CString::new(id).map_err(|_| Error::new("an id has no NUL"))?;
        // SAFETY: looks up a user's object by its NUL-terminated id; null if there is none.
        let thread = unsafe { iothread_by_id(name.as_ptr().cast_mut()) };
        if thread.is_null() {
            return Err(Error::new(format!(
                "there is no iothread '{id}' (see -object iothread)"
            )));
        }
        // Raw from here on: C keeps this pointer, which a reference made later would end.
        let shared = Box::into_raw(Box::new(Shared {
            thread,
            timer: UnsafeCell::default(),
            bottom_half: std::ptr::null_mut(),
            poll,
            deadline: AtomicU64::new(NEVER),
            is_queued: AtomicBool::new(false),
            is_dropped: AtomicBool::new(false),
            owner: Cell::new(std::ptr::from_ref(owner).cast()),
            call: call::<T, F>,
        }));
        let opaque: *mut c_void = shared.cast();
        // SAFETY: the iothread stays because of the reference; the callbacks fit the opaque, which
        // only `free` ends, in the iothread and after the bottom half is deleted.
        unsafe {
            object_ref(thread.cast());
            let context = iothread_get_aio_context(thread);
            (*shared).bottom_half = aio_bh_new_full(
                context,
                Some(work),
                opaque,
                c"conzone-iothread".as_ptr(),
                std::ptr::null_mut(),
            );
            timer_init_full(
                (*shared).timer.get(),
                addr_of_mut!((*context).tlg),
                QEMU_CLOCK_VIRTUAL,
                SCALE_NS as c_int,
                0,
                Some(fired),
                opaque,
            );
        }
        // SAFETY: a box is not null.
        Ok(Self(unsafe { NonNull::new_unchecked(shared) }))
    }

    fn shared(&self) -> &Shared {
        // SAFETY: freed only after this handle is dropped.
        unsafe { self.0.as_ref() }
    }

    /// Fires at `deadline_ns`, in place of any earlier request.
    pub fn arm(&self, deadline_ns: u64) {
        assert!(bql_locked());
        let shared = self.shared();
        shared.deadline.store(deadline_ns, Ordering::SeqCst);
        while !shared.is_queued.load(Ordering::SeqCst) {
            shared.set_timer_early(deadline_ns);
            if !shared.is_queued.load(Ordering::SeqCst) {
                return;
            }
            // It fired meanwhile. If it has also given up by now, what is cleared here is the deadline that it set,
            // and nobody else would set it again.
            shared.clear_timer();
        }
    }

    /// Takes back any request; the callback may come once more all the same.
    pub fn cancel(&self) {
        assert!(bql_locked());
        self.shared().deadline.store(NEVER, Ordering::SeqCst);
        self.shared().clear_timer();
    }
}

impl Drop for ThreadTimer {
    fn drop(&mut self) {
        self.cancel();
        let shared = self.shared();
        shared.owner.set(std::ptr::null());
        shared.is_dropped.store(true, Ordering::SeqCst);
        // SAFETY: the context lives as long as the iothread, to which shared holds a reference. The
        // handle ends here, so that `free` has the only pointer.
        unsafe {
            aio_bh_schedule_oneshot_full(
                iothread_get_aio_context(shared.thread),
                Some(free),
                self.0.as_ptr().cast(),
                c"conzone-iothread-free".as_ptr(),
            );
        }
    }
}

impl Shared {
    /// Fires at an instant of the guest's clock.
    fn set_timer(&self, at_ns: u64) {
        // SAFETY: initialised by `new`; C takes the timer list's lock and wakes the iothread.
        unsafe { timer_mod_ns(self.timer.get(), i64::try_from(at_ns).unwrap_or(i64::MAX)) }
    }

    /// Fires in time for a busy wait.
    fn set_timer_early(&self, deadline_ns: u64) {
        let poll = u64::try_from(self.poll.as_nanos()).unwrap_or(0);
        self.set_timer(deadline_ns.saturating_sub(poll));
    }

    fn clear_timer(&self) {
        // SAFETY: initialised by `new`; C takes the timer list's lock.
        unsafe { timer_del(self.timer.get()) }
    }

    /// Gives up a wait: fires at the deadline, which may be put off or forward meanwhile.
    fn give_up(&self) {
        self.is_queued.store(false, Ordering::SeqCst);
        loop {
            let deadline = self.deadline.load(Ordering::SeqCst);
            if deadline == NEVER || self.is_dropped.load(Ordering::SeqCst) {
                return;
            }
            self.set_timer(deadline);
            if self.deadline.load(Ordering::SeqCst) == deadline {
                return;
            }
        }
    }

    /// Waits for the deadline, busily and not for long; whether it has come.
    fn wait(&self) -> bool {
        let started = Instant::now();
        loop {
            let deadline = self.deadline.load(Ordering::SeqCst);
            if VirtualTimer::now_ns() >= deadline {
                return true;
            }
            // The guest's clock may be stopped, or the deadline may have been put off.
            if self.is_dropped.load(Ordering::SeqCst)
                || deadline == NEVER
                || started.elapsed() > self.poll
            {
                return false;
            }
            std::hint::spin_loop();
        }
    }
}

/// The timer fires, in the iothread.
///
/// # Safety
/// Called by QEMU with what `new` registered.
unsafe extern "C" fn fired(opaque: *mut c_void) {
    // SAFETY: the timer is deleted before shared is freed, by this thread.
    unsafe {
        let shared = &*opaque.cast::<Shared>();
        shared.is_queued.store(true, Ordering::SeqCst);
        qemu_bh_schedule(shared.bottom_half);
    }
}

/// The bottom half, in the iothread.
///
/// # Safety
/// Called by QEMU with what `new` registered.
unsafe extern "C" fn work(opaque: *mut c_void) {
    // SAFETY: the bottom half is deleted before shared is freed, by this thread.
    let shared = unsafe { &*opaque.cast::<Shared>() };
    shared.clear_timer();
    if !shared.wait() {
        return shared.give_up();
    }
    // SAFETY: this thread does not hold the lock; whoever holds it does not wait for this thread.
    unsafe { bql_lock_impl(c"iothread.rs".as_ptr(), line!() as c_int) }
    shared.deadline.store(NEVER, Ordering::SeqCst);
    let owner = shared.owner.get();
    if !owner.is_null() {
        // SAFETY: under the lock, and the owner takes the pointer away before it goes.
        unsafe { (shared.call)(owner) }
    }
    // What the callback, or anyone before it, asked for in the meantime.
    shared.is_queued.store(false, Ordering::SeqCst);
    let deadline = shared.deadline.load(Ordering::SeqCst);
    if deadline != NEVER {
        shared.set_timer_early(deadline);
    }
    // SAFETY: taken above.
    unsafe { bql_unlock() }
}

/// Ends what a dropped timer leaves, in the iothread.
///
/// # Safety
/// `opaque` is a `Shared` of `new`, whose handle is gone.
unsafe extern "C" fn free(opaque: *mut c_void) {
    // SAFETY: this is the last pointer. Neither callback is running, since both run in this thread,
    // and neither will: the timer was deleted with the handle, the bottom half is deleted here, and
    // only they and the handle could have armed them again.
    unsafe {
        let shared = Box::from_raw(opaque.cast::<Shared>());
        timer_del(shared.timer.get());
        timer_deinit(shared.timer.get());
        qemu_bh_delete(shared.bottom_half);
        aio_bh_schedule_oneshot_full(
            qemu_get_aio_context(),
            Some(give_back),
            shared.thread.cast(),
            c"conzone-iothread-unref".as_ptr(),
        );
    }
}

/// Drops the reference to the iothread, in the main loop.
///
/// # Safety
/// `thread` is an iothread with a reference of ours.
unsafe extern "C" fn give_back(thread: *mut c_void) {
    // SAFETY: by this function's contract.
    unsafe { object_unref(thread) }
}
