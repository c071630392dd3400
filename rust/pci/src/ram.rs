// SPDX-License-Identifier: GPL-2.0-or-later
//! Host memory behind a device: its own, a memory backend's, or a range of guest RAM.
//!
//! ```text
//!   Ram::private   anonymous memory, committed page by page as it is written
//!   Ram::backend   -object memory-backend-{ram,memfd,file,...}: the user picks pages, NUMA, file
//!   Ram::guest     guest RAM that the guest's kernel was told to leave alone (memmap=)
//! ```
//!
//! The bytes may be changed by the guest or another process at any time, so they are only ever
//! copied, through raw pointers. Offsets are checked: out of range is the caller's bug, and it is
//! answered by doing nothing and saying so.

use std::ffi::{CStr, CString};
use std::os::raw::c_void;
use std::ptr::{self, NonNull};

use qemu_api::bindings::{
    get_system_memory, memory_region_find, memory_region_get_ram_ptr,
    memory_region_init_ram_flags_nomigrate, memory_region_set_dirty, memory_region_size,
    memory_region_unref, object_ref, object_resolve_path_type, object_unref,
    ram_block_discard_is_disabled, ram_block_discard_range, MemoryRegion as CMemoryRegion,
    RAMBlock, RAM_NORESERVE,
};
use qemu_api::cell::bql_locked;
use qemu_api::memory::MemoryRegion;
use qemu_api::prelude::*;

use crate::bindings::{
    self, host_memory_backend_get_memory, host_memory_backend_is_mapped,
    host_memory_backend_set_mapped, qemu_ram_get_fd, qemu_ram_is_shared, qemu_ram_pagesize,
};
use crate::device::{is_field_of, PciDevice};
use crate::dma::DmaFault;
use crate::error::Error;

/// A counted reference to a memory backend that nobody else uses while it exists.
struct Backend(NonNull<bindings::HostMemoryBackend>);

impl Drop for Backend {
    fn drop(&mut self) {
        assert!(bql_locked());
        // SAFETY: the backend is alive because of the reference taken in Ram::backend, which is
        // given back here, once.
        unsafe {
            host_memory_backend_set_mapped(self.0.as_ptr(), false);
            object_unref(self.0.as_ptr());
        }
    }
}

/// A counted reference to a region of guest RAM.
struct GuestRegion(NonNull<CMemoryRegion>);

impl Drop for GuestRegion {
    fn drop(&mut self) {
        assert!(bql_locked());
        // SAFETY: memory_region_find took the reference that is given back here, once.
        unsafe { memory_region_unref(self.0.as_ptr()) }
    }
}

/// What keeps the memory alive.
enum Owner {
    /// A region inside the device's own struct, which QOM frees with the device.
    Device,
    Backend(#[allow(dead_code, reason = "held for its Drop")] Backend),
    Guest(#[allow(dead_code, reason = "held for its Drop")] GuestRegion),
}

/// A range of host memory that a device keeps data in.
pub struct Ram {
    host: NonNull<u8>,
    size: u64,
    region: NonNull<CMemoryRegion>,
    /// Where the range starts inside `region`.
    offset: u64,
    discard: Discard,
    #[allow(dead_code, reason = "held for its Drop")]
    owner: Owner,
}

/// How host memory is given back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Discard {
    /// Whole pages of this many bytes can be dropped and read as zeroes afterwards.
    Pages(u64),
    /// Dropping pages would show the file's old content, or punch a hole into a file mapped
    /// privately: write zeroes.
    Zeroes,
}

// SAFETY: the pointers stay valid for as long as the value lives, wherever it is moved; all use is
// under the big QEMU lock.
unsafe impl Send for Ram {}

impl Ram {
    /// Anonymous memory of `size` bytes that commits as it is written. `region` is an unused field
    /// of the device `owner`.
    ///
    /// # Errors
    /// The host has no such address space or memory.
    ///
    /// # Panics
    /// If `region` is not a field of `owner`.
    pub fn private<T: IsA<PciDevice> + IsA<Object>>(
        region: &MemoryRegion,
        owner: &T,
        name: &CStr,
        size: u64,
    ) -> Result<Self, Error> {
        assert!(bql_locked() && is_field_of(region, owner));
        let region = region.as_mut_ptr();
        Error::checked(|errp| {
            // SAFETY: region is embedded in owner and unused so far;
            // name is copied; errp is a valid out parameter. NORESERVE: the emulated drive may be
            // larger than the host's memory as long as the guest does not fill it.
            unsafe {
                memory_region_init_ram_flags_nomigrate(
                    region,
                    owner.as_object_mut_ptr(),
                    name.as_ptr(),
                    size,
                    RAM_NORESERVE,
                    errp,
                )
            }
        })?;
        // SAFETY: the region was initialised just now.
        unsafe { Self::of_region(region, 0, size, Owner::Device) }
    }

    /// The whole memory of the backend object `id`.
    ///
    /// # Errors
    /// There is no such object, it is not a memory backend, or it is in use.
    pub fn backend(id: &str) -> Result<Self, Error> {
        assert!(bql_locked());
        let path = CString::new(id).map_err(|_| Error::new("an id has no NUL"))?;
        // SAFETY: path is NUL-terminated; the result is null or an object of the type asked for,
        // and a reference is taken before anything can free it.
        let backend = unsafe {
            let found = object_resolve_path_type(
                path.as_ptr(),
                c"memory-backend".as_ptr(),
                ptr::null_mut(),
            );
            let Some(found) = NonNull::new(found.cast::<c_void>()) else {
                return Err(Error::new(format!(
                    "there is no memory backend '{id}' (see -object memory-backend-ram)"
                )));
            };
            if host_memory_backend_is_mapped(found.as_ptr()) {
                return Err(Error::new(format!(
                    "memory backend '{id}' is already in use"
                )));
            }
            object_ref(found.as_ptr());
            host_memory_backend_set_mapped(found.as_ptr(), true);
            Backend(found)
        };
        // SAFETY: a complete backend object has its memory, which lives as long as the object.
        unsafe {
            let region = host_memory_backend_get_memory(backend.0.as_ptr());
            let size = memory_region_size(region);
            Self::of_region(region, 0, size, Owner::Backend(backend))
        }
    }

    /// The guest physical range `[start, start + size)`, which must be RAM in one piece.
    ///
    /// # Errors
    /// Part of the range is not RAM, or it spans two pieces of RAM.
    pub fn guest(start: u64, size: u64) -> Result<Self, Error> {
        assert!(bql_locked());
        // SAFETY: the system memory exists as long as QEMU; memory_region_find answers with a
        // region it took a reference of, or null.
        let section = unsafe { memory_region_find(get_system_memory(), start, size) };
        let Some(region) = NonNull::new(section.mr) else {
            return Err(Error::new(format!(
                "there is no memory at {start:#x} in this machine"
            )));
        };
        let owner = GuestRegion(region);
        // The section is the first overlap: it may start later or end earlier than asked.
        let found = section.size as u64;
        // SAFETY: the region is alive, we hold a reference.
        let is_ram = unsafe { (*region.as_ptr()).ram } && !section.readonly;
        if !is_ram || section.offset_within_address_space != start || found < size {
            return Err(Error::new(format!(
                "{start:#x} and the {size} bytes from there are not one piece of guest RAM; \
                 see the machine's -m and the hole below 4 GiB"
            )));
        }
        // SAFETY: a RAM region, kept alive by the reference in owner.
        unsafe {
            Self::of_region(
                region.as_ptr(),
                section.offset_within_region,
                size,
                Owner::Guest(owner),
            )
        }
    }

    /// # Safety
    /// `region` is an initialised RAM region that `owner` keeps alive, and
    /// `[offset, offset + size)` lies inside it.
    unsafe fn of_region(
        region: *mut CMemoryRegion,
        offset: u64,
        size: u64,
        owner: Owner,
    ) -> Result<Self, Error> {
        // SAFETY: by this function's contract.
        let (region, host, block) = unsafe {
            let host = memory_region_get_ram_ptr(region).cast::<u8>();
            (
                NonNull::new(region),
                NonNull::new(host.wrapping_add(offset as usize)),
                (*region).ram_block,
            )
        };
        match (region, host) {
            (Some(region), Some(host)) if !block.is_null() => Ok(Self {
                host,
                size,
                region,
                offset,
                // SAFETY: block is the live RAM block of the region.
                discard: unsafe { discard_method(block) },
                owner,
            }),
            _ => Err(Error::new("the memory is not ordinary host RAM")),
        }
    }

    /// Size in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Whether the two share any byte of host memory.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let start = |ram: &Self| ram.host.as_ptr() as u64;
        start(self) < start(other).saturating_add(other.size)
            && start(other) < start(self).saturating_add(self.size)
    }

    /// Copies out of the memory.
    pub fn read(&self, at: u64, into: &mut [u8]) {
        if let Some(from) = self.range(at, into.len() as u64) {
            // SAFETY: range checked; a slice of ours cannot overlap the device's memory.
            unsafe { ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) }
        }
    }

    /// Copies into the memory.
    pub fn write(&self, at: u64, from: &[u8]) {
        if let Some(to) = self.range(at, from.len() as u64) {
            // SAFETY: range checked; a slice of ours cannot overlap the device's memory.
            unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) }
            self.mark_dirty(at, from.len() as u64);
        }
    }

    /// Copies guest memory straight into this memory.
    ///
    /// # Errors
    /// [`DmaFault`]; part of the data may have been copied.
    pub fn copy_from_guest(
        &self,
        device: &PciDevice,
        at: u64,
        guest: u64,
        bytes: u32,
    ) -> Result<(), DmaFault> {
        let to = self.range(at, u64::from(bytes)).ok_or(DmaFault)?;
        // SAFETY: range checked.
        let done = unsafe { device.dma(guest, to, bytes as usize, false) };
        self.mark_dirty(at, u64::from(bytes));
        done
    }

    /// Copies this memory straight into guest memory.
    ///
    /// # Errors
    /// [`DmaFault`]; part of the data may have been copied.
    pub fn copy_to_guest(
        &self,
        device: &PciDevice,
        at: u64,
        guest: u64,
        bytes: u32,
    ) -> Result<(), DmaFault> {
        let from = self.range(at, u64::from(bytes)).ok_or(DmaFault)?;
        // SAFETY: range checked; a transfer to the guest only reads it.
        unsafe { device.dma(guest, from, bytes as usize, true) }
    }

    /// Makes `[at, at + bytes)` read as zeroes and gives the host's memory back where that is
    /// possible.
    pub fn discard(&self, at: u64, bytes: u64) {
        assert!(bql_locked());
        if self.range(at, bytes).is_none() {
            return;
        }
        // SAFETY: reads a counter. Somebody (VFIO) may have pinned the pages for DMA.
        let pinned = unsafe { ram_block_discard_is_disabled() };
        let (Discard::Pages(page), false) = (self.discard, pinned) else {
            return self.zero(at, bytes);
        };
        // Page boundaries count from the region's start, which mmap aligned.
        let start = self.offset + at;
        let end = start + bytes;
        let first = start.next_multiple_of(page).min(end);
        let last = (end - end % page).max(first);
        self.zero(at, first - start);
        self.zero(last - self.offset, end - last);
        if first == last {
            return;
        }
        // SAFETY: first..last are whole pages inside the region's block.
        let status = unsafe {
            ram_block_discard_range(
                (*self.region.as_ptr()).ram_block,
                first,
                (last - first) as usize,
            )
        };
        if status != 0 {
            self.zero(first - self.offset, last - first);
        } else {
            self.mark_dirty(first - self.offset, last - first);
        }
    }

    fn zero(&self, at: u64, bytes: u64) {
        if bytes == 0 {
            return;
        }
        if let Some(to) = self.range(at, bytes) {
            // SAFETY: range checked.
            unsafe { ptr::write_bytes(to, 0, bytes as usize) }
            self.mark_dirty(at, bytes);
        }
    }

    /// Guest RAM changed behind the CPU's back: migration and TCG must know.
    fn mark_dirty(&self, at: u64, bytes: u64) {
        if matches!(self.owner, Owner::Guest(_)) {
            // SAFETY: the region is alive and the range was checked by the caller.
            unsafe { memory_region_set_dirty(self.region.as_ptr(), self.offset + at, bytes) }
        }
    }

    /// The address of `at`, if `bytes` bytes from there exist.
    fn range(&self, at: u64, bytes: u64) -> Option<*mut u8> {
        let end = at.checked_add(bytes)?;
        if end > self.size {
            crate::log::guest_error(format_args!(
                "media access of {bytes} bytes at {at:#x} lies outside its {} bytes",
                self.size
            ));
            debug_assert!(end <= self.size, "media access out of range");
            return None;
        }
        Some(self.host.as_ptr().wrapping_add(at as usize))
    }
}

/// # Safety
/// `block` is a live RAM block.
unsafe fn discard_method(block: *mut RAMBlock) -> Discard {
    // SAFETY: by this function's contract.
    unsafe {
        if qemu_ram_get_fd(block) >= 0 && !qemu_ram_is_shared(block) {
            Discard::Zeroes
        } else {
            Discard::Pages((qemu_ram_pagesize(block) as u64).max(1))
        }
    }
}
