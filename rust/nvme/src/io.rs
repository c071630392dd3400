// SPDX-License-Identifier: GPL-2.0-or-later
//! I/O commands of the NVM command set (NVM, section 3.2), and Zone Append, which is a write.
//!
//! Each is checked and its data pointer resolved before the drive hears of it; the drive's verdict
//! decides whether bytes move, which they do at once: the guest may not look before completion.

use command::{Command, Error, Outcome, Reply};
use nvme_spec::{CopyCdw12, DsmCdw10, DsmCdw11, NvmOpcode, ReadWriteCdw12, Sqe, Status, NSID_ALL};
use units::{Instant, Sector, SECTOR_BYTES};

use crate::controller::Controller;
use crate::drive::Drive;
use crate::host::Host;
use crate::namespace::{Namespace, Span};
use crate::reject::{status_of, Reject, CDW10, CDW12};
use crate::transfer::{Direction, MIN_PAGE};
use crate::work::{Done, LOOKED_UP_PER_UNIT, MOVED_PER_UNIT};

/// Longest Verify, Write Zeroes or Write Uncorrectable as a power of two of 4 KiB (VSL, WZSL, WUSL): 8 MiB. They move no data,
/// so MDTS does not bound them, but the model looks at each page.
pub(crate) const VERIFY_LIMIT: u8 = 11;
/// An I/O command, parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Flush,
    Read(Blocks),
    Write(Blocks),
    Append(Blocks),
    Compare(Blocks),
    Verify(Blocks),
    WriteZeroes(Blocks),
    WriteUncorrectable(Blocks),
    DatasetManagement { ranges: usize, deallocate: bool },
    Copy { to: u64, ranges: usize, fua: bool },
    ZoneSend,
    ZoneReceive,
}

/// Dwords 10 to 12 of a command on a range of LBAs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Blocks {
    start: u64,
    count: u64,
    fua: bool,
    deallocate: bool,
}

impl Request {
    fn parse(sqe: &Sqe) -> Result<Self, Reject> {
        let opcode =
            NvmOpcode::from_wire(sqe.opcode).ok_or(Reject::at(Status::InvalidOpcode, 0, 0))?;
        let rw = ReadWriteCdw12::from(sqe.cdw12());
        let blocks = Blocks {
            start: sqe.slba(),
            count: u64::from(rw.blocks_z()) + 1,
            fua: rw.fua(),
            deallocate: rw.deallocate(),
        };
        Ok(match opcode {
            NvmOpcode::Flush => Self::Flush,
            NvmOpcode::Read => Self::Read(blocks),
            NvmOpcode::Write => Self::Write(blocks),
            NvmOpcode::ZoneAppend => Self::Append(blocks),
            NvmOpcode::Compare => Self::Compare(blocks),
            NvmOpcode::Verify => Self::Verify(blocks),
            NvmOpcode::WriteZeroes => Self::WriteZeroes(blocks),
            NvmOpcode::WriteUncorrectable => Self::WriteUncorrectable(blocks),
            NvmOpcode::DatasetManagement => Self::DatasetManagement {
                ranges: usize::from(DsmCdw10::from(sqe.cdw10()).ranges_z()) + 1,
                deallocate: DsmCdw11::from(sqe.cdw11()).deallocate(),
            },
            NvmOpcode::Copy => {
                let copy = CopyCdw12::from(sqe.cdw12());
                if copy.format().value() != 0 {
                    return Err(Reject::invalid(CDW12 + 1, 0));
                }
                Self::Copy {
                    to: sqe.slba(),
                    ranges: usize::from(copy.ranges_z()) + 1,
                    fua: copy.fua(),
                }
            }
            NvmOpcode::ZoneSend => Self::ZoneSend,
            NvmOpcode::ZoneReceive => Self::ZoneReceive,
        })
    }
}

impl<D: Drive> Controller<D> {
    /// Executes an I/O command.
    pub(crate) fn io<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        now: Instant,
    ) -> Result<Done, Reject> {
        let request = Request::parse(sqe)?;
        // Flush has nothing to do then (Base, section 8.21).
        if let Some(status) = self
            .sanitize_refusal()
            .filter(|_| request != Request::Flush)
        {
            return Err(Reject::new(status));
        }
        if request == Request::Flush && sqe.nsid == NSID_ALL {
            return self.flush_all(now);
        }
        let ns = self.namespace(sqe.nsid)?;
        match request {
            Request::Flush => self.finish(&ns, &Command::Flush, now),
            Request::Read(blocks) => self.read(host, sqe, &ns, blocks, now),
            Request::Write(blocks) => self.write(host, sqe, &ns, blocks, now),
            Request::Append(blocks) => self.append(host, sqe, &ns, blocks, now),
            Request::Compare(blocks) => self.compare(host, sqe, &ns, blocks, now),
            Request::Verify(blocks) => self.verify(host, &ns, blocks, now),
            Request::WriteZeroes(blocks) => self.write_zeroes(host, &ns, blocks, now),
            Request::WriteUncorrectable(blocks) => self.write_uncorrectable(host, &ns, blocks, now),
            Request::DatasetManagement { ranges, deallocate } => {
                self.dataset_management(host, sqe, &ns, ranges, deallocate, now)
            }
            Request::Copy { to, ranges, fua } => self.copy(host, sqe, &ns, to, ranges, fua, now),
            Request::ZoneSend => self.zone_send(host, sqe, &ns, now),
            Request::ZoneReceive => self.zone_receive(host, sqe, &ns),
        }
    }

    /// Largest transfer (MDTS) in bytes.
    pub(crate) fn max_transfer(&self) -> u64 {
        MIN_PAGE << self.config.mdts
    }

    /// Largest append (ZASL) in bytes.
    fn max_append(&self) -> u64 {
        match self.config.zasl {
            0 => self.max_transfer(),
            zasl => MIN_PAGE << zasl,
        }
    }

    /// Resolves a command's data pointer for `bytes` bytes.
    pub(crate) fn map<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        bytes: u64,
        direction: Direction,
    ) -> Result<(), Reject> {
        let page = self.page();
        self.work.add(bytes / MOVED_PER_UNIT);
        self.transfer.map(host, sqe, bytes, page, direction)
    }

    /// Resolves the data pointer of a command that moves a range of LBAs; which sectors they are.
    fn map_blocks<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        ns: &Namespace,
        blocks: Blocks,
        direction: Direction,
    ) -> Result<Span, Reject> {
        let bytes = ns.transfer_bytes(blocks.count, self.max_transfer())?;
        let span = ns.span(blocks.start, blocks.count)?;
        self.map(host, sqe, bytes, direction)?;
        Ok(span)
    }

    /// When work that there is now begins: a controller that is not at work has to get there.
    pub(crate) fn begin(&mut self, now: Instant) -> Instant {
        let power = self.power_states.as_mut();
        power.map_or(now, |power| power.wake(now))
    }

    /// Hands a command to the drive.
    pub(crate) fn submit(
        &mut self,
        ns: &Namespace,
        command: &Command,
        now: Instant,
    ) -> Result<(Instant, Reply), Reject> {
        let now = self.begin(now);
        let outcome = self.drive.submit(ns.index, command, now);
        self.answered(ns, command, now, outcome)
    }

    /// What came of a command that was submitted at `now`.
    fn answered(
        &mut self,
        ns: &Namespace,
        command: &Command,
        now: Instant,
        outcome: Outcome,
    ) -> Result<(Instant, Reply), Reject> {
        if let Some(power) = &mut self.power_states {
            power.busy(now, outcome.done);
        }
        let error = match outcome.result {
            Ok(reply) => return Ok((outcome.done, reply)),
            Err(error) => error,
        };
        // Where the media failed, no field is at fault.
        let (at, field) = match error {
            Error::Unreadable(at) | Error::Unwritable(at) => (Some(at), None),
            _ => (command.sector(), Some((CDW10, 0))),
        };
        Err(Reject {
            status: status_of(error),
            field,
            lba: at.map(|at| ns.lba(at)),
            done: Some(outcome.done),
        })
    }

    /// A command that moves no data and discards none.
    pub(crate) fn finish(
        &mut self,
        ns: &Namespace,
        command: &Command,
        now: Instant,
    ) -> Result<Done, Reject> {
        let (done, _) = self.submit(ns, command, now)?;
        Ok(Done::At { done, result: 0 })
    }

    fn flush_all(&mut self, now: Instant) -> Result<Done, Reject> {
        let mut last = now;
        for nsid in 1..=self.namespace_count() {
            let Ok(ns) = self.namespace(nsid) else {
                continue;
            };
            let (done, _) = self.submit(&ns, &Command::Flush, now)?;
            last = last.max(done);
        }
        Ok(Done::At {
            done: last,
            result: 0,
        })
    }

    /// Writes count as durable at completion while the write cache is off.
    pub(crate) fn fua(&self, asked: bool) -> bool {
        asked || !self.features.write_cache_enabled()
    }

    fn read<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        ns: &Namespace,
        blocks: Blocks,
        now: Instant,
    ) -> Result<Done, Reject> {
        let span = self.map_blocks(host, sqe, ns, blocks, Direction::ToGuest)?;
        let done = self.submit_read(host, ns, span, false, now)?;
        self.transfer.media_to_guest(host, ns.media(span).start)?;
        self.logs.counters.read(span.bytes());
        Ok(Done::At { done, result: 0 })
    }

    /// A read, which fails on unwritten sectors if the guest asked for that (DULBE). Only one that would succeed:
    /// where a zone is offline, or left by the range, that is the error.
    pub(crate) fn submit_read<H: Host>(
        &mut self,
        host: &mut H,
        ns: &Namespace,
        span: Span,
        internal: bool,
        now: Instant,
    ) -> Result<Instant, Reject> {
        if internal {
            self.work.add(span.bytes().div_ceil(LOOKED_UP_PER_UNIT));
        }
        let Span { at, sectors } = span;
        let command = Command::Read {
            at,
            sectors,
            internal,
        };
        let now = self.begin(now);
        let outcome = match self.host_buffer.is_enabled {
            false => self.drive.submit(ns.index, &command, now),
            true => self.submit_lending(host, ns.index, &command, now),
        };
        let (done, _) = self.answered(ns, &command, now, outcome)?;
        let is_asked = self.features.unwritten_error(usize::from(ns.index.0));
        if is_asked && self.drive.has_unwritten(ns.index, at, sectors) {
            return Err(Reject {
                lba: Some(ns.lba(at)),
                done: Some(done),
                ..Reject::at(Status::Unwritten, CDW10, 0)
            });
        }
        Ok(done)
    }

    fn write<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        ns: &Namespace,
        blocks: Blocks,
        now: Instant,
    ) -> Result<Done, Reject> {
        let span = self.map_blocks(host, sqe, ns, blocks, Direction::FromGuest)?;
        let command = Command::write(span.at, span.sectors, self.fua(blocks.fua));
        let (done, _) = self.submit(ns, &command, now)?;
        self.keep(host);
        self.transfer.guest_to_media(host, ns.media(span).start)?;
        self.logs.counters.write(span.bytes());
        Ok(Done::At { done, result: 0 })
    }

    fn append<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        ns: &Namespace,
        blocks: Blocks,
        now: Instant,
    ) -> Result<Done, Reject> {
        let (_, zone) = ns.zone_at(blocks.start)?;
        let bytes = ns.transfer_bytes(blocks.count, self.max_append())?;
        self.map(host, sqe, bytes, Direction::FromGuest)?;
        let command = Command::Append {
            zone,
            sectors: ns.sector(blocks.count).get(),
            fua: self.fua(blocks.fua),
        };
        let (done, reply) = self.submit(ns, &command, now)?;
        // The drive is trusted with the place, but not with bytes of another namespace.
        let at = match reply {
            Reply::Appended(at) => ns.lba(at),
            Reply::Done => return Err(Reject::new(Status::InternalError)),
        };
        let span = ns.span(at, blocks.count)?;
        self.transfer.guest_to_media(host, ns.media(span).start)?;
        self.logs.counters.write(bytes);
        Ok(Done::At { done, result: at })
    }

    fn compare<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        ns: &Namespace,
        blocks: Blocks,
        now: Instant,
    ) -> Result<Done, Reject> {
        let span = self.map_blocks(host, sqe, ns, blocks, Direction::FromGuest)?;
        let done = self.submit_read(host, ns, span, false, now)?;
        self.logs.counters.read(span.bytes());
        let (media, guest) = self.scratch.split_at_mut(2048);
        let mut offset = 0;
        while offset < span.bytes() {
            // LBAs are powers of two from 512 bytes on, so pieces have the full size or that of
            // one small command.
            let len = (span.bytes() - offset).min(2048) as usize;
            let (media, guest) = (media.split_at_mut(len).0, guest.split_at_mut(len).0);
            host.media_read(ns.media(span).start.saturating_add(offset), media);
            self.transfer.get(host, offset, guest)?;
            if media != guest {
                let sector = span.at.get().saturating_add(offset / SECTOR_BYTES);
                return Err(Reject {
                    lba: Some(ns.lba(Sector::new(sector))),
                    done: Some(done),
                    ..Reject::at(Status::CompareFailure, CDW10, 0)
                });
            }
            offset += len as u64;
        }
        Ok(Done::At { done, result: 0 })
    }

    fn verify<H: Host>(
        &mut self,
        host: &mut H,
        ns: &Namespace,
        blocks: Blocks,
        now: Instant,
    ) -> Result<Done, Reject> {
        ns.transfer_bytes(blocks.count, MIN_PAGE << VERIFY_LIMIT)?;
        let span = ns.span(blocks.start, blocks.count)?;
        let done = self.submit_read(host, ns, span, true, now)?;
        self.logs.counters.read(span.bytes());
        Ok(Done::At { done, result: 0 })
    }

    /// What a command writes that comes without data, and its work.
    fn span_without_data(&mut self, ns: &Namespace, blocks: Blocks) -> Result<Span, Reject> {
        let bytes = ns.transfer_bytes(blocks.count, MIN_PAGE << VERIFY_LIMIT)?;
        self.work.add(2 * bytes.div_ceil(LOOKED_UP_PER_UNIT));
        ns.span(blocks.start, blocks.count)
    }

    fn write_zeroes<H: Host>(
        &mut self,
        host: &mut H,
        ns: &Namespace,
        blocks: Blocks,
        now: Instant,
    ) -> Result<Done, Reject> {
        let span = self.span_without_data(ns, blocks)?;
        let Span { at, sectors } = span;
        let fua = self.fua(blocks.fua);
        // Zeroes are data like any other, unless the guest wants them deallocated. (On zones nothing is.)
        let command = if ns.zones.is_some() || blocks.deallocate {
            Command::WriteZeroes { at, sectors, fua }
        } else {
            Command::Write {
                at,
                sectors,
                fua,
                internal: true,
            }
        };
        let (done, _) = self.submit(ns, &command, now)?;
        self.keep(host);
        host.media_discard(ns.media(span).start, span.bytes());
        Ok(Done::At { done, result: 0 })
    }

    /// Write Uncorrectable (NVM, section 3.2.7; ZNS, section 3.3.8): a write, at the write pointer of a zone, after which
    /// the blocks cannot be read. It has no FUA bit (NVM, figure 69).
    fn write_uncorrectable<H: Host>(
        &mut self,
        host: &mut H,
        ns: &Namespace,
        blocks: Blocks,
        now: Instant,
    ) -> Result<Done, Reject> {
        let span = self.span_without_data(ns, blocks)?;
        let Span { at, sectors } = span;
        if !self.drive.can_mark(ns.index, at, sectors) {
            return Err(Reject {
                lba: Some(blocks.start),
                ..Reject::at(Status::CapacityExceeded, CDW12, 0)
            });
        }
        let command = Command::Write {
            at,
            sectors,
            fua: self.fua(false),
            internal: true,
        };
        let (done, _) = self.submit(ns, &command, now)?;
        self.keep(host);
        self.drive.set_uncorrectable(ns.index, at, sectors, true);
        host.media_discard(ns.media(span).start, span.bytes());
        Ok(Done::At { done, result: 0 })
    }
}
