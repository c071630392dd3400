// SPDX-License-Identifier: GPL-2.0-or-later
//! Host memory behind a device: its own, a memory backend's, or a range of guest RAM.
//!
//! ```text
//!   Ram::private   anonymous memory, committed page by page as it is written (see `anonymous`)
//!   Ram::backend   -object memory-backend-{ram,memfd,file,...}: the user picks pages, NUMA, file
//!   Ram::file      part of a file, shared
//!   Ram::guest     guest RAM that the guest's kernel was told to leave alone (memmap=)
//! ```
//!
//! The bytes may be changed by the guest or another process at any time, so they are only ever
//! copied, through raw pointers. Offsets are checked: out of range is the caller's bug, and it is
//! answered by doing nothing and saying so.
//!
//! Discarded bytes read as zeroes. A device's own memory goes back to the host when the host wants
//! it (`MADV_FREE`, see `stale`), other memory at once.

use std::cell::RefCell;
use std::ffi::CString;
use std::fs::File;
use std::ptr::{self, NonNull};

use qemu::bindings::{
    get_system_memory, host_memory_backend_get_memory, host_memory_backend_is_mapped,
    host_memory_backend_set_mapped, memory_region_find, memory_region_get_ram_ptr,
    memory_region_set_dirty, memory_region_size, memory_region_unref, object_ref,
    object_resolve_path_type, object_unref, qemu_ram_get_fd, qemu_ram_is_shared, qemu_ram_pagesize,
    ram_block_discard_is_disabled, ram_block_discard_range, vmstate_register_ram,
    vmstate_unregister_ram, DeviceState, HostMemoryBackend, MemoryRegion as CMemoryRegion,
    RAMBlock,
};
use qemu::bql_locked;

use crate::anonymous::Anonymous;
use crate::device::PciDevice;
use crate::dma::{DmaFault, ZEROES};
use crate::error::Error;
use crate::file::Extent;
use crate::stale::{covered, touched, Stale, CHUNK};

/// A counted reference to a memory backend that nobody else uses while it exists. Its memory travels
/// with snapshots and migrations as a RAM block of the device's.
struct Backend {
    backend: NonNull<HostMemoryBackend>,
    device: *mut DeviceState,
}

impl Drop for Backend {
    fn drop(&mut self) {
        assert!(bql_locked());
        // SAFETY: the backend is alive because of the reference taken in Ram::backend, which is
        // given back here, once.
        unsafe {
            let memory = host_memory_backend_get_memory(self.backend.as_ptr());
            vmstate_unregister_ram(memory, self.device);
            host_memory_backend_set_mapped(self.backend.as_ptr(), false);
            object_unref(self.backend.as_ptr().cast());
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

/// A range of a RAM region of QEMU's.
struct Region {
    region: NonNull<CMemoryRegion>,
    /// Where the range starts inside the region.
    offset: u64,
    discard: Discard,
}

/// What the memory is, and what keeps it alive.
enum Owner {
    Device(Anonymous),
    File(Extent),
    Backend(
        Region,
        #[allow(dead_code, reason = "held for its Drop")] Backend,
    ),
    Guest(
        Region,
        #[allow(dead_code, reason = "held for its Drop")] GuestRegion,
    ),
}

/// A range of host memory that a device keeps data in.
pub struct Ram {
    host: NonNull<u8>,
    size: u64,
    owner: Owner,
    /// Discarded, but not cleared. Only of a device's own memory, or file.
    stale: RefCell<Stale>,
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
    /// Anonymous memory of `size` bytes that commits as it is written. It is none of the machine's
    /// RAM blocks, whose bookkeeping alone would take 96 MiB for 1 TiB.
    ///
    /// # Errors
    /// The host has no such address space.
    pub fn private(size: u64) -> Result<Self, Error> {
        let memory = Anonymous::new(size)?;
        Ok(Self {
            host: memory.start(),
            size,
            owner: Owner::Device(memory),
            stale: RefCell::default(),
        })
    }

    /// `size` bytes of a file from `at` on, a multiple of the host's page size.
    ///
    /// # Errors
    /// It cannot be mapped.
    pub fn file(file: &File, at: u64, size: u64) -> Result<Self, Error> {
        let extent = Extent::new(file, at, size)?;
        Ok(Self {
            host: extent.start(),
            size,
            owner: Owner::File(extent),
            stale: RefCell::default(),
        })
    }

    /// Makes sure that bytes can be written: a file can be out of room.
    ///
    /// # Errors
    /// They cannot.
    pub fn prepare(&self, at: u64, bytes: u64) -> Result<(), DmaFault> {
        match &self.owner {
            Owner::File(_) if self.range(at, bytes).is_none() => Err(DmaFault),
            Owner::File(extent) if !extent.prepare(at, bytes) => Err(DmaFault),
            _ => Ok(()),
        }
    }

    /// The whole memory of the backend object `id`, for a device that outlives it.
    ///
    /// # Errors
    /// There is no such object, it is not a memory backend, or it is in use.
    pub fn backend(id: &str, device: &PciDevice) -> Result<Self, Error> {
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
            let Some(found) = NonNull::new(found.cast::<HostMemoryBackend>()) else {
                return Err(Error::new(format!(
                    "there is no memory backend '{id}' (see -object memory-backend-ram)"
                )));
            };
            if host_memory_backend_is_mapped(found.as_ptr()) {
                return Err(Error::new(format!(
                    "memory backend '{id}' is already in use"
                )));
            }
            object_ref(found.as_ptr().cast());
            host_memory_backend_set_mapped(found.as_ptr(), true);
            let device = device.as_mut_ptr().cast::<DeviceState>();
            vmstate_register_ram(host_memory_backend_get_memory(found.as_ptr()), device);
            Backend {
                backend: found,
                device,
            }
        };
        // SAFETY: a complete backend object has its memory, which lives as long as the object.
        unsafe {
            let region = host_memory_backend_get_memory(backend.backend.as_ptr());
            let size = memory_region_size(region);
            Self::of_region(region, 0, size, |r| Owner::Backend(r, backend))
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
            Self::of_region(region.as_ptr(), section.offset_within_region, size, |r| {
                Owner::Guest(r, owner)
            })
        }
    }

    /// # Safety
    /// `region` is an initialised RAM region that the owner keeps alive, and
    /// `[offset, offset + size)` lies inside it.
    unsafe fn of_region(
        region: *mut CMemoryRegion,
        offset: u64,
        size: u64,
        owner: impl FnOnce(Region) -> Owner,
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
                owner: owner(Region {
                    region,
                    offset,
                    // SAFETY: block is the live RAM block of the region.
                    discard: unsafe { discard_method(block) },
                }),
                stale: RefCell::default(),
            }),
            _ => Err(Error::new("the memory is not ordinary host RAM")),
        }
    }

    /// Size in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Whether it is the device's own, which nothing but the device saves.
    #[must_use]
    pub const fn is_private(&self) -> bool {
        matches!(self.owner, Owner::Device(_))
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
        let mut left = into;
        self.each_piece(at, left.len() as u64, |from, bytes| {
            let (piece, rest) = std::mem::take(&mut left).split_at_mut(bytes);
            // SAFETY: each_piece gives that many readable bytes; a slice of ours cannot overlap them.
            unsafe { ptr::copy_nonoverlapping(from, piece.as_mut_ptr(), bytes) }
            left = rest;
            Ok(())
        })
        // The copy cannot fail, and a range outside the memory has been logged.
        .unwrap_or(());
    }

    /// Copies into the memory.
    ///
    /// # Errors
    /// There is no room in the file; nothing has been copied.
    pub fn write(&self, at: u64, from: &[u8]) -> Result<(), DmaFault> {
        self.prepare(at, from.len() as u64)?;
        if let Some(to) = self.range(at, from.len() as u64) {
            self.freshen_ends(at, from.len() as u64);
            // SAFETY: range checked; a slice of ours cannot overlap the device's memory.
            unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) }
            self.overwritten(at, from.len() as u64);
        }
        Ok(())
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
        self.prepare(at, u64::from(bytes))?;
        self.freshen_ends(at, u64::from(bytes));
        // SAFETY: range checked.
        let done = unsafe { device.dma(guest, to, bytes as usize, false) };
        if done.is_ok() {
            self.overwritten(at, u64::from(bytes));
        } else {
            // Part of it may have been copied. What was stale still is.
            self.mark_dirty(at, u64::from(bytes));
        }
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
        let mut to = guest;
        self.each_piece(at, u64::from(bytes), |from, bytes| {
            // SAFETY: each_piece gives that many readable bytes; a transfer to the guest only reads.
            let done = unsafe { device.dma(to, from.cast_mut(), bytes, true) };
            to = to.wrapping_add(bytes as u64);
            done
        })
    }

    /// Calls `each(bytes, how many)` for the pieces that `[at, at + bytes)` reads from: this memory,
    /// or zeroes where it is stale.
    fn each_piece(
        &self,
        at: u64,
        bytes: u64,
        mut each: impl FnMut(*const u8, usize) -> Result<(), DmaFault>,
    ) -> Result<(), DmaFault> {
        let from = self.range(at, bytes).ok_or(DmaFault)?;
        if self.stale.borrow().is_empty() {
            return each(from, bytes as usize);
        }
        let (mut next, end) = (at, at + bytes);
        while next < end {
            let (run, stale) = self.stale.borrow().run(touched(next..end));
            let run_end = end.min(run.end * CHUNK);
            let piece_end = if stale {
                run_end.min(next + ZEROES.len() as u64)
            } else {
                run_end
            };
            let from = if stale {
                ZEROES.as_ptr()
            } else {
                from.wrapping_add((next - at) as usize)
            };
            each(from, (piece_end - next) as usize)?;
            next = piece_end;
        }
        Ok(())
    }

    /// Clears the stale chunks that `[at, at + bytes)` covers in part, before it is written.
    fn freshen_ends(&self, at: u64, bytes: u64) {
        if self.stale.borrow().is_empty() {
            return;
        }
        let (all, whole) = (touched(at..at + bytes), covered(at..at + bytes));
        if whole.is_empty() {
            self.freshen(at, bytes);
            return;
        }
        if all.start < whole.start {
            self.freshen(at, 1);
        }
        if whole.end < all.end {
            self.freshen(at + bytes - 1, 1);
        }
    }

    /// `[at, at + bytes)` has been written.
    fn overwritten(&self, at: u64, bytes: u64) {
        if !self.stale.borrow().is_empty() {
            let whole = covered(at..at + bytes);
            self.stale.borrow_mut().clear(whole);
        }
        self.mark_dirty(at, bytes);
    }

    /// Clears the stale chunks that `[at, at + bytes)` touches.
    fn freshen(&self, at: u64, bytes: u64) {
        if self.stale.borrow().is_empty() {
            return;
        }
        let all = touched(at..at + bytes);
        let mut next = all.start;
        while next < all.end {
            let (run, stale) = self.stale.borrow().run(next..all.end);
            next = run.end;
            if stale {
                let start = run.start * CHUNK;
                let len = self.size.min(run.end * CHUNK) - start;
                self.stale.borrow_mut().clear(run);
                self.zero(start, len);
            }
        }
    }

    /// Makes `[at, at + bytes)` read as zeroes and gives the host's memory back where that is
    /// possible.
    pub fn discard(&self, at: u64, bytes: u64) {
        assert!(bql_locked());
        if self.range(at, bytes).is_none() {
            return;
        }
        let all = touched(at..at + bytes);
        let is_stale = self.stale.borrow().run(all.clone()) == (all, true);
        if is_stale {
            return;
        }
        match &self.owner {
            Owner::Device(memory) => {
                self.discard_chunks(at, bytes, |start, bytes| memory.release(start, bytes));
            }
            // The file keeps its room, which is written again soon; [`Ram::give_back`] is for when nobody waits.
            Owner::File(_) => self.discard_chunks(at, bytes, |_, _| true),
            Owner::Backend(region, _) | Owner::Guest(region, _) => {
                self.discard_region(region, at, bytes);
            }
        }
    }

    /// Makes `[at, at + bytes)` read as zeroes, and takes its room from a file.
    pub fn give_back(&self, at: u64, bytes: u64) {
        // A hole for each small piece would take the file apart.
        const SMALL: u64 = 1 << 20;
        match &self.owner {
            Owner::File(extent) if bytes >= SMALL && self.range(at, bytes).is_some() => {
                if !extent.punch(at, bytes) {
                    self.discard(at, bytes);
                }
            }
            _ => self.discard(at, bytes),
        }
    }

    /// Leaves whole chunks as they are, not to be looked at, if they could be given up (`release`).
    fn discard_chunks(&self, at: u64, bytes: u64, release: impl FnOnce(u64, u64) -> bool) {
        let chunks = covered(at..at + bytes);
        let (start, end) = (chunks.start * CHUNK, chunks.end * CHUNK);
        if start < end && release(start, end - start) {
            self.zero_fresh(at, start - at);
            self.zero_fresh(end, at + bytes - end);
            let of = self.size.div_ceil(CHUNK);
            self.stale.borrow_mut().mark(chunks, of);
        } else {
            self.freshen(at, bytes);
            self.zero(at, bytes);
        }
    }

    /// Writes zeroes to part of one chunk, unless it reads as zeroes already.
    fn zero_fresh(&self, at: u64, bytes: u64) {
        if bytes > 0 && !self.stale.borrow().run(touched(at..at + bytes)).1 {
            self.zero(at, bytes);
        }
    }

    /// Takes whole pages out of the region at once.
    fn discard_region(&self, region: &Region, at: u64, bytes: u64) {
        // SAFETY: reads a counter. Somebody (VFIO) may have pinned the pages for DMA.
        let pinned = unsafe { ram_block_discard_is_disabled() };
        let (Discard::Pages(page), false) = (region.discard, pinned) else {
            return self.zero(at, bytes);
        };
        // Page boundaries count from the region's start, which mmap aligned.
        let start = region.offset + at;
        let end = start + bytes;
        let first = start.next_multiple_of(page).min(end);
        let last = (end - end % page).max(first);
        self.zero(at, first - start);
        self.zero(last - region.offset, end - last);
        if first == last {
            return;
        }
        // SAFETY: first..last are whole pages inside the region's block.
        let status = unsafe {
            ram_block_discard_range(
                (*region.region.as_ptr()).ram_block,
                first,
                (last - first) as usize,
            )
        };
        if status != 0 {
            self.zero(first - region.offset, last - first);
        } else {
            self.mark_dirty(first - region.offset, last - first);
        }
    }

    fn zero(&self, at: u64, bytes: u64) {
        if bytes == 0 {
            return;
        }
        if let Owner::File(extent) = &self.owner {
            // Without room for zeroes a hole has them.
            if !extent.prepare(at, bytes) {
                extent.punch(at, bytes);
                return;
            }
        }
        if let Some(to) = self.range(at, bytes) {
            // SAFETY: range checked.
            unsafe { ptr::write_bytes(to, 0, bytes as usize) }
            self.mark_dirty(at, bytes);
        }
    }

    /// RAM of the machine's changed behind the CPU's back: migration and TCG must know.
    fn mark_dirty(&self, at: u64, bytes: u64) {
        if let Owner::Guest(region, _) | Owner::Backend(region, _) = &self.owner {
            // SAFETY: the region is alive and the range was checked by the caller.
            unsafe { memory_region_set_dirty(region.region.as_ptr(), region.offset + at, bytes) }
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
