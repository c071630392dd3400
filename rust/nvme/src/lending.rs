// SPDX-License-Identifier: GPL-2.0-or-later
//! Get and Set Features of the Host Memory Buffer (Base, section 5.27.1.10), and reads with the buffer around them.

use command::{Command, Outcome};
use nvme_spec::{
    HostMemoryBuffer, HostMemoryDescriptor, Sqe, Status, HOST_MEMORY_DESCRIPTOR_BYTES,
};
use units::{GuestAddr, Instant};

use crate::controller::Controller;
use crate::drive::{Drive, NsIndex};
use crate::features::Which;
use crate::host::Host;
use crate::host_buffer::{HostBuffer, Lent, Part, MAX_PARTS};
use crate::reject::{Reject, CDW12, CDW13, CDW15};
use crate::transfer::MIN_PAGE;
use crate::work::{at_once, Done};

/// Bytes of the Host Memory Buffer Attributes data structure.
const ATTRIBUTES_BYTES: usize = 4096;

impl<D: Drive> Controller<D> {
    /// Hands a read to the drive, with the buffer around it.
    pub(crate) fn submit_lending<H: Host>(
        &mut self,
        host: &mut H,
        ns: NsIndex,
        command: &Command,
        now: Instant,
    ) -> Outcome {
        let buffer = &self.host_buffer;
        let mut memory = Lent { host, buffer };
        let checked = self.drive.check_lent(ns, command, &mut memory);
        let outcome = self.drive.submit(ns, command, now);
        let filled = self.drive.fill_lent(&mut memory);
        self.work.add(checked / 16 + filled);
        outcome
    }

    /// The guest, or a reset, has taken the buffer back.
    pub(crate) fn take_back_host_buffer(&mut self) {
        self.host_buffer.is_enabled = false;
        self.drive.lend(0, false);
    }

    /// Get Features: the buffer as it was set.
    pub(crate) fn get_host_buffer<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        which: Which,
        now: Instant,
    ) -> Result<Done, Reject> {
        let mut attributes = [0; ATTRIBUTES_BYTES];
        let buffer = &self.host_buffer;
        let is_enabled = buffer.is_enabled && which == Which::Current;
        if is_enabled {
            let [low, high] = [buffer.list as u32, (buffer.list >> 32) as u32];
            let words = [buffer.size, low, high, buffer.parts.len() as u32];
            for (place, word) in attributes.chunks_exact_mut(4).zip(words) {
                place.copy_from_slice(&word.to_le_bytes());
            }
        }
        let value = HostMemoryBuffer::new(is_enabled, is_enabled && buffer.is_returned);
        self.send(host, sqe, &attributes)?;
        at_once(now, value.into())
    }

    /// Set Features: the guest lends memory, or takes it back.
    pub(crate) fn set_host_buffer<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
    ) -> Result<(), Reject> {
        let asked = HostMemoryBuffer::from(sqe.cdw11());
        if !asked.enable() {
            self.take_back_host_buffer();
            return Ok(());
        }
        if self.host_buffer.is_enabled {
            return Err(Reject::new(Status::CommandSequenceError));
        }
        let (size, list, count) = (sqe.cdw12(), list_of(sqe)?, sqe.cdw15() as usize);
        let bytes = u64::from(size).saturating_mul(self.page());
        if size == 0 || bytes < u64::from(self.config.host_buffer_min) * MIN_PAGE {
            return Err(Reject::invalid(CDW12, 0));
        }
        if !(1..=MAX_PARTS).contains(&count) {
            return Err(Reject::invalid(CDW15, 0));
        }
        let (entries, _) = self
            .scratch
            .split_at_mut(count * HOST_MEMORY_DESCRIPTOR_BYTES);
        host.dma_read(GuestAddr::new(list), entries)
            .map_err(|_| Reject::at(Status::DataTransferError, CDW13, 0))?;
        let total = self.parts(count, |_, _| ())?;
        if total != bytes {
            return Err(Reject::invalid(CDW12, 0));
        }
        let before = &self.host_buffer;
        let mut is_same = (before.size, before.list) == (size, list) && before.parts.len() == count;
        self.parts(count, |index, part| {
            is_same &= before.parts.get(index) == Some(&part);
        })?;
        let mut parts = core::mem::take(&mut self.host_buffer.parts);
        parts.clear();
        // There is room for all that there can be.
        let copied = self.parts(count, |_, part| parts.push(part));
        self.host_buffer = HostBuffer {
            is_enabled: true,
            is_returned: asked.memory_return(),
            size,
            list,
            parts,
        };
        copied?;
        let pages = u64::from(self.config.host_buffer).min(bytes / MIN_PAGE);
        self.drive
            .lend(pages as u32, is_same && asked.memory_return());
        Ok(())
    }

    /// Goes through the list in scratch memory; the bytes of all parts together.
    fn parts(&self, count: usize, mut each: impl FnMut(usize, Part)) -> Result<u64, Reject> {
        let entries = self.scratch.chunks_exact(HOST_MEMORY_DESCRIPTOR_BYTES);
        let entries = entries.filter_map(|entry| entry.first_chunk());
        let mut total = 0_u64;
        for (index, entry) in entries.take(count).enumerate() {
            let HostMemoryDescriptor { address, pages } = HostMemoryDescriptor::decode(entry);
            let size = u64::from(pages).saturating_mul(self.page());
            let is_good = pages > 0 && address % self.page() == 0;
            let end = address.checked_add(size).filter(|_| is_good);
            // No field of the command is at fault.
            end.ok_or(Reject::new(Status::InvalidField))?;
            total = total.saturating_add(size);
            each(
                index,
                Part {
                    address,
                    end: total,
                },
            );
        }
        Ok(total)
    }
}

/// Where the list of parts lies.
fn list_of(sqe: &Sqe) -> Result<u64, Reject> {
    match sqe.cdw13() & 0xf {
        0 => Ok(u64::from(sqe.cdw14()) << 32 | u64::from(sqe.cdw13())),
        _ => Err(Reject::invalid(CDW13, 0)),
    }
}
