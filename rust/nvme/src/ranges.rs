// SPDX-License-Identifier: GPL-2.0-or-later
//! Commands on lists of ranges: Dataset Management and Copy (NVM, sections 3.2.2 and 3.2.3).
//!
//! A list is at most a page, and is checked in full before anything happens.

use core::ops::Range;

use command::Command;
use nvme_spec::{CopyRange, DsmRange, Sqe, Status, COPY_RANGE_BYTES, DSM_RANGE_BYTES};
use units::{Instant, Sector, SECTOR_BYTES};

use crate::controller::Controller;
use crate::drive::Drive;
use crate::host::{DmaFault, Host};
use crate::namespace::{Namespace, Span};
use crate::reject::{Reject, CDW10, CDW12};
use crate::transfer::Direction;
use crate::work::{at_once, Done, Start, Task, MOVED_PER_UNIT};

/// Most source ranges of a Copy (MSRC + 1): a page of descriptors.
pub(crate) const COPY_RANGES: usize = 128;
/// Most bytes of a Copy (MCL): what Linux and others chose as their own cap.
pub(crate) const COPY_BYTES: u64 = 1 << 20;

/// Most ranges of a Dataset Management command (DMRL); the field is a byte.
pub(crate) const DEALLOCATE_RANGES: u8 = u8::MAX;
/// Most LBAs of a Dataset Management command, in one range or in all (DMRSL, DMSL), because the
/// model looks at each page.
pub(crate) const DEALLOCATE_BLOCKS: u32 = 1 << 18;

impl<D: Drive> Controller<D> {
    /// Dataset Management: all ranges are checked before the first one is acted on.
    pub(crate) fn dataset_management<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        ns: &Namespace,
        ranges: usize,
        deallocate: bool,
        now: Instant,
    ) -> Result<Done, Reject> {
        if ranges > usize::from(DEALLOCATE_RANGES) {
            return Err(Reject::at(Status::CommandSizeLimit, CDW10, 0));
        }
        // A page of ranges at most, checked in full before the first one is acted on.
        let bytes = ranges * DSM_RANGE_BYTES;
        self.map(host, sqe, bytes as u64, Direction::FromGuest)?;
        let list = self.scratch.split_at_mut(bytes).0;
        self.transfer.get(host, 0, list)?;
        let mut total = 0_u64;
        for i in 0..ranges {
            total += self.dsm_range(ns, i)?.sectors;
        }
        if ns.lba(Sector::new(total)) > u64::from(DEALLOCATE_BLOCKS) {
            return Err(Reject::at(Status::CommandSizeLimit, CDW10, 0));
        }
        // The other attributes are hints that the model has no use for.
        if !deallocate {
            return at_once(now, 0);
        }
        Ok(Done::Later(Start::of(Task::Deallocate {
            ns: ns.index,
            ranges,
            at: 0,
            inside: 0,
        })))
    }

    /// A range of the list in scratch memory.
    pub(crate) fn dsm_range(&self, ns: &Namespace, index: usize) -> Result<Span, Reject> {
        let entry = self.scratch.chunks_exact(DSM_RANGE_BYTES).nth(index);
        let entry = entry.and_then(|e| e.first_chunk()).copied();
        let entry = DsmRange::decode(&entry.unwrap_or_default());
        ns.span(entry.slba, u64::from(entry.blocks))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the fields of one parsed command"
    )]
    /// Copy: all sources are read, then the destination is written at one go.
    pub(crate) fn copy<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        ns: &Namespace,
        to: u64,
        ranges: usize,
        fua: bool,
        now: Instant,
    ) -> Result<Done, Reject> {
        if ranges > COPY_RANGES {
            return Err(Reject::at(Status::CommandSizeLimit, CDW12, 0));
        }
        let list_bytes = ranges.saturating_mul(COPY_RANGE_BYTES) as u64;
        self.map(host, sqe, list_bytes, Direction::FromGuest)?;
        let mut sources = [Span::default(); COPY_RANGES];
        let mut total = 0_u64;
        let mut last = now;
        for (i, source) in sources.iter_mut().take(ranges).enumerate() {
            let mut entry = [0; COPY_RANGE_BYTES];
            self.transfer
                .get(host, (i * COPY_RANGE_BYTES) as u64, &mut entry)?;
            let entry = CopyRange::decode(&entry);
            *source = ns.span(entry.slba, u64::from(entry.blocks_z) + 1)?;
            total += source.bytes();
            if source.bytes() > self.max_transfer() || total > COPY_BYTES {
                return Err(Reject::at(Status::CommandSizeLimit, CDW12, 0));
            }
        }
        let span = ns.span(to, ns.lba(Sector::new(total / SECTOR_BYTES)))?;
        for source in sources.iter().take(ranges) {
            last = last.max(self.submit_read(host, ns, *source, true, now)?);
        }
        let command = Command::Write {
            at: span.at,
            sectors: span.sectors,
            fua: self.fua(fua),
            internal: true,
        };
        let (done, _) = self.submit(ns, &command, now)?;
        self.keep(host);
        self.work.add(2 * total / MOVED_PER_UNIT);
        let mut at = ns.media(span).start;
        for source in sources.iter().take(ranges) {
            at = self
                .copy_media(host, ns.media(*source), at)
                .map_err(|_| Reject::new(Status::InternalError))?;
        }
        self.logs.counters.write(total);
        Ok(Done::At {
            done: done.max(last),
            result: 0,
        })
    }

    /// Copies media bytes to `to`; returns where the next ones go.
    fn copy_media<H: Host>(
        &mut self,
        host: &mut H,
        mut source: Range<u64>,
        mut to: u64,
    ) -> Result<u64, DmaFault> {
        while !source.is_empty() {
            let len = (source.end - source.start).min(self.scratch.len() as u64);
            let piece = self.scratch.split_at_mut(len as usize).0;
            host.media_read(source.start, piece);
            host.media_write(to, piece)?;
            source.start = source.start.saturating_add(len);
            to = to.saturating_add(len);
        }
        Ok(to)
    }
}
