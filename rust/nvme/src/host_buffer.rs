// SPDX-License-Identifier: GPL-2.0-or-later
//! Host Memory Buffer (Base, sections 5.27.1.10 and 8.9): guest memory that the drive may use as its own.
//!
//! ```text
//!   drive:  4 KiB number n  ──►  byte of the buffer  ──►  part  ──►  guest address       (the list is copied when it is set)
//! ```
//! The drive's model uses it for its map ([`crate::Drive::check_lent`], [`crate::Drive::fill_lent`]); here is where it lies, and in
//! `lending` how it is set. All access is within the submission of a command, so after the completion of the command that takes it back, or a reset, there is none.
//!
//! - Of a buffer larger than the preferred size the first part is used.
//! - What the guest does to the bytes, or where the list leads, is its own affair: bytes that cannot be read, or are not those
//!   that were written, count as lost.
//! - Memory Return: the drive keeps what it knows of the buffer across disable and reset. If the guest says that it is the
//!   same, and size, list and parts are, the drive goes on with that, and each part of it is checked as ever.
//!
//! Invariant: parts are whole memory pages, as many as the buffer has, and do not wrap around.

use command::HostMemory;
use nvme_spec::HOST_MEMORY_DESCRIPTOR_BYTES;
use state::{ensure, state, Error};
use units::GuestAddr;

use crate::host::Host;

/// Most parts (HMMAXD): a list of one page. Linux makes parts of 4 MiB where it can.
pub(crate) const MAX_PARTS: usize = 4096 / HOST_MEMORY_DESCRIPTOR_BYTES;
/// What one command can come to beside other work: a Copy of 1 MiB reads a map page of four granularities for each page.
pub(crate) const MOST_WORK: u64 = 4 * 256;

/// A part of the buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) address: u64,
    /// Where the next one begins in the buffer.
    pub(crate) end: u64,
}

state!(Part { address[raw], end });

/// The buffer.
#[derive(Debug)]
pub(crate) struct HostBuffer {
    pub(crate) is_enabled: bool,
    /// MR, as it was set.
    pub(crate) is_returned: bool,
    /// HSIZE, in memory pages.
    pub(crate) size: u32,
    /// HMDLUA and HMDLLA.
    pub(crate) list: u64,
    pub(crate) parts: Vec<Part>,
}

state!(HostBuffer { is_enabled, is_returned, size, list[raw], parts } => check);

impl HostBuffer {
    pub(crate) fn new(is_wanted: bool) -> Self {
        Self {
            is_enabled: false,
            is_returned: false,
            size: 0,
            list: 0,
            parts: Vec::with_capacity(if is_wanted { MAX_PARTS } else { 0 }),
        }
    }

    fn check(&mut self) -> Result<(), Error> {
        let mut start = 0;
        for part in &self.parts {
            let size = part.end.checked_sub(start).filter(|size| *size > 0);
            let end = size.and_then(|size| part.address.checked_add(size));
            ensure!(end.is_some(), "a part of the host memory buffer");
            start = part.end;
        }
        ensure!(
            self.parts.len() <= MAX_PARTS,
            "parts of the host memory buffer"
        );
        ensure!(
            !self.is_enabled || !self.parts.is_empty(),
            "a host memory buffer of nothing"
        );
        Ok(())
    }

    /// The guest address of a range, if a part has all of it.
    fn address(&self, at: u64, len: usize) -> Option<GuestAddr> {
        let index = self.parts.partition_point(|part| part.end <= at);
        let start = match index.checked_sub(1) {
            Some(before) => self.parts.get(before)?.end,
            None => 0,
        };
        let part = self.parts.get(index)?;
        let end = at.checked_add(len as u64)?;
        (end <= part.end).then(|| GuestAddr::new(part.address.wrapping_add(at - start)))
    }
}

/// The buffer's bytes.
pub(crate) struct Lent<'a, H> {
    pub(crate) host: &'a mut H,
    pub(crate) buffer: &'a HostBuffer,
}

impl<H: Host> HostMemory for Lent<'_, H> {
    fn read(&mut self, at: u64, into: &mut [u8]) -> bool {
        let from = self.buffer.address(at, into.len());
        from.is_some_and(|from| self.host.dma_read(from, into).is_ok())
    }

    fn write(&mut self, at: u64, from: &[u8]) -> bool {
        let to = self.buffer.address(at, from.len());
        to.is_some_and(|to| self.host.dma_write(to, from).is_ok())
    }
}
