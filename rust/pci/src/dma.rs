// SPDX-License-Identifier: GPL-2.0-or-later
//! Guest memory as the device sees it: through its bus master address space.
//!
//! That is where bus mastering being off, an IOMMU and unmapped addresses make an access fail, and
//! it is also what a transfer to another device's BAR goes through. C does this with the static
//! inline `pci_dma_rw`, which bindgen does not emit.

use std::fmt;
use std::os::raw::c_void;
use std::ptr::addr_of_mut;
use std::sync::atomic::{fence, AtomicU64, Ordering};

use qemu::bindings::{
    address_space_map, address_space_rw, address_space_unmap, memory_region_from_host, MemTxAttrs,
    MEMTX_OK,
};
use qemu::bql_locked;

use crate::device::PciDevice;

/// No attributes: what bus masters have that say nothing of themselves.
const MEMTXATTRS_UNSPECIFIED: MemTxAttrs = MemTxAttrs {
    unspecified: true,
    // SAFETY: zeroes are no attributes.
    ..unsafe { std::mem::zeroed() }
};

/// What is copied where zeroes are wanted.
pub(crate) static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

/// The transfer did not reach memory: unmapped, refused by the IOMMU, bus mastering off, or aimed
/// at a device that refused it (our own BARs included).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaFault;

impl fmt::Display for DmaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DMA fault")
    }
}

impl std::error::Error for DmaFault {}

impl PciDevice {
    /// Copies from guest memory at `from`.
    ///
    /// # Errors
    /// [`DmaFault`]; the buffer may then hold part of the data.
    pub fn dma_read(&self, from: u64, into: &mut [u8]) -> Result<(), DmaFault> {
        // SAFETY: the slice is valid for its length and exclusively ours.
        unsafe { self.dma(from, into.as_mut_ptr(), into.len(), false) }
    }

    /// Copies to guest memory at `to`.
    ///
    /// # Errors
    /// [`DmaFault`]; part of the data may have been written.
    pub fn dma_write(&self, to: u64, from: &[u8]) -> Result<(), DmaFault> {
        // SAFETY: the slice is valid for its length, and a transfer to the guest only reads it.
        unsafe { self.dma(to, from.as_ptr().cast_mut(), from.len(), true) }
    }

    /// Writes zeroes to guest memory at `to`.
    ///
    /// # Errors
    /// [`DmaFault`]; part of the zeroes may have been written.
    pub fn dma_clear(&self, to: u64, bytes: u32) -> Result<(), DmaFault> {
        let mut done = 0;
        while done < bytes as usize {
            let piece = ZEROES.get(..bytes as usize - done).unwrap_or(&ZEROES);
            self.dma_write(to.wrapping_add(done as u64), piece)?;
            done += piece.len();
        }
        Ok(())
    }

    /// Writes 16 bytes to guest memory at `to`, the last eight of them after the others: a guest
    /// that polls the end never sees it new beside an old beginning.
    ///
    /// # Errors
    /// [`DmaFault`]; part of the data may have been written.
    pub fn dma_write_tagged(&self, to: u64, entry: &[u8; 16]) -> Result<(), DmaFault> {
        assert!(bql_locked());
        let mut mapped: u64 = 16;
        // SAFETY: bus_master_as lives as long as the realized device; mapped is an out parameter. The
        // mapping is valid for that many bytes until it is unmapped, and nothing happens in between.
        unsafe {
            let space = addr_of_mut!((*self.as_mut_ptr()).bus_master_as);
            let host = address_space_map(space, to, &mut mapped, true, MEMTXATTRS_UNSPECIFIED);
            if host.is_null() {
                return self.dma_write_halves(to, entry);
            }
            let words = host.cast::<AtomicU64>();
            // A buffer in place of a device's window would swallow the errors of the write.
            let is_memory = !memory_region_from_host(host, &mut 0).is_null();
            let can_store = is_memory && mapped == 16 && words.is_aligned();
            if can_store {
                let [low, high] = halves(entry);
                (*words).store(low, Ordering::Relaxed);
                (*words.add(1)).store(high, Ordering::Release);
            }
            address_space_unmap(space, host, mapped, true, if can_store { 16 } else { 0 });
            if can_store {
                return Ok(());
            }
        }
        self.dma_write_halves(to, entry)
    }

    /// The same where memory cannot be mapped as a whole.
    fn dma_write_halves(&self, to: u64, entry: &[u8; 16]) -> Result<(), DmaFault> {
        let (low, high) = entry.split_at(8);
        self.dma_write(to, low)?;
        self.dma_write(to.wrapping_add(8), high)
    }

    /// # Safety
    /// `host` is valid for `bytes` bytes: for reading if `to_guest`, else for writing.
    pub(crate) unsafe fn dma(
        &self,
        guest: u64,
        host: *mut u8,
        bytes: usize,
        to_guest: bool,
    ) -> Result<(), DmaFault> {
        assert!(bql_locked());
        // What the guest wrote before it rang must be seen, and the other way round: the device runs on a vCPU's or the
        // main loop's thread, the guest on others. (A store that must be seen before a later load, as with shadow
        // doorbells, needs a fence of its own: a full one here waits for every page that was copied.)
        fence(Ordering::AcqRel);
        // SAFETY: bus_master_as lives as long as the realized device; host and bytes are valid by
        // this function's contract. C reports every failure in its result.
        let result = unsafe {
            address_space_rw(
                addr_of_mut!((*self.as_mut_ptr()).bus_master_as),
                guest,
                MEMTXATTRS_UNSPECIFIED,
                host.cast::<c_void>(),
                bytes as u64,
                to_guest,
            )
        };
        if result == MEMTX_OK {
            Ok(())
        } else {
            Err(DmaFault)
        }
    }
}

/// The bytes as two words that have them in this order in memory.
fn halves(entry: &[u8; 16]) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *entry;
    [[a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]].map(u64::from_ne_bytes)
}
