// SPDX-License-Identifier: GPL-2.0-or-later
//! Anonymous memory of the process: as much address space as asked for, committed as it is written.

use std::os::raw::c_int;
use std::ptr::{self, NonNull};

use qemu::bindings::{qemu_anon_ram_alloc, qemu_anon_ram_free, qemu_madvise};

use crate::error::Error;

/// Linux's advice (asm-generic/mman-common.h); QEMU has no name for the first.
const MADV_FREE: c_int = 8;
const MADV_HUGEPAGE: c_int = 14;

/// A mapping that nobody else uses.
pub(crate) struct Anonymous {
    start: NonNull<u8>,
    bytes: usize,
}

impl Anonymous {
    /// Maps `bytes` bytes that read as zeroes.
    ///
    /// # Errors
    /// The host has no such address space.
    pub(crate) fn new(bytes: u64) -> Result<Self, Error> {
        let no_space = || Error::new(format!("the host has no address space for {bytes} bytes"));
        let bytes = usize::try_from(bytes).map_err(|_| no_space())?;
        // SAFETY: no reserve, since the emulated drive may be larger than the host's memory as long
        // as the guest does not fill it; the result is null or `bytes` bytes that are only ours.
        let start = unsafe { qemu_anon_ram_alloc(bytes, ptr::null_mut(), false, true) };
        let start = NonNull::new(start.cast::<u8>()).ok_or_else(no_space)?;
        if cfg!(target_os = "linux") {
            // SAFETY: the mapping just made. Where huge pages are not to be had, it does without.
            unsafe { qemu_madvise(start.as_ptr().cast(), bytes, MADV_HUGEPAGE) };
        }
        Ok(Self { start, bytes })
    }

    /// The first byte.
    pub(crate) const fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Lets the host take the pages of a range, which starts and ends on page boundaries and lies
    /// inside; until it does, or they are written, they may have their old contents or zeroes.
    /// Whether that was possible.
    pub(crate) fn release(&self, at: u64, bytes: u64) -> bool {
        if !cfg!(target_os = "linux") {
            return false;
        }
        let at = self.start.as_ptr().wrapping_add(at as usize);
        // SAFETY: a range of our own mapping, whose contents are no longer wanted.
        unsafe { qemu_madvise(at.cast(), bytes as usize, MADV_FREE) == 0 }
    }
}

impl Drop for Anonymous {
    fn drop(&mut self) {
        // SAFETY: allocated by qemu_anon_ram_alloc with this size, and not used any more.
        unsafe { qemu_anon_ram_free(self.start.as_ptr().cast(), self.bytes) }
    }
}
