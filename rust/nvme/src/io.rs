// SPDX-License-Identifier: GPL-2.0-or-later
//! I/O commands of the NVM command set (NVM, section 3.2), and Zone Append, which is a write.
//!
//! Each is checked and its data pointer resolved before the drive hears of it; the drive's verdict
//! decides whether bytes move, which they do at once: the guest may not look before completion.

use nvme_spec::{CopyCdw12, DsmCdw10, DsmCdw11, NvmOpcode, ReadWriteCdw12, Sqe, Status, NSID_ALL};
use units::Instant;

use crate::controller::{Controller, Done};
use crate::drive::{Drive, IoCommand, LbaRange, NsIndex, Reply};
use crate::host::Host;
use crate::job::{discarded, LOOKED_UP_PER_UNIT, MOVED_PER_UNIT};
use crate::namespace::Namespace;
use crate::reject::{Reject, CDW10, CDW12};
use crate::transfer::{Direction, MIN_PAGE};

/// Longest Verify or Write Zeroes as a power of two of 4 KiB (VSL, WZSL): 8 MiB. They move no data,
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
        if request == Request::Flush && sqe.nsid == NSID_ALL {
            return self.flush_all(now);
        }
        let ns = self.namespace(sqe.nsid)?;
        match request {
            Request::Flush => self.finish(&ns, &IoCommand::Flush, now, 0),
            Request::Read(blocks) => self.read(host, sqe, &ns, blocks, now),
            Request::Write(blocks) => self.write(host, sqe, &ns, blocks, now),
            Request::Append(blocks) => self.append(host, sqe, &ns, blocks, now),
            Request::Compare(blocks) => self.compare(host, sqe, &ns, blocks, now),
            Request::Verify(blocks) => self.verify(&ns, blocks, now),
            Request::WriteZeroes(blocks) => self.write_zeroes(host, &ns, blocks, now),
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
        let page = self.registers.page();
        self.worked(bytes / MOVED_PER_UNIT);
        self.transfer.map(host, sqe, bytes, page, direction)
    }

    /// Hands a command to the drive; `lba` is for the error log.
    pub(crate) fn submit(
        &mut self,
        ns: NsIndex,
        command: &IoCommand,
        now: Instant,
        lba: u64,
    ) -> Result<(Instant, Reply), Reject> {
        let outcome = self.drive.submit(ns, command, now);
        match outcome.result {
            Ok(reply) => Ok((outcome.done, reply)),
            Err(error) => Err(Reject::drive(error, lba, outcome.done)),
        }
    }

    /// A command that moves no data and discards none.
    pub(crate) fn finish(
        &mut self,
        ns: &Namespace,
        command: &IoCommand,
        now: Instant,
        lba: u64,
    ) -> Result<Done, Reject> {
        let (done, _) = self.submit(ns.index, command, now, lba)?;
        Ok(Done::At { done, result: 0 })
    }

    fn flush_all(&mut self, now: Instant) -> Result<Done, Reject> {
        let mut last = now;
        for nsid in 1..=self.namespace_count() {
            let Ok(ns) = self.namespace(nsid) else {
                continue;
            };
            let (done, _) = self.submit(ns.index, &IoCommand::Flush, now, 0)?;
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
        let bytes = ns.transfer_bytes(blocks.count, self.max_transfer())?;
        let range = ns.range(blocks.start, blocks.count)?;
        self.map(host, sqe, bytes, Direction::ToGuest)?;
        let done = self.submit_read(ns, range, false, now)?;
        self.transfer.media_to_guest(host, ns.at(range.start))?;
        self.counters.read(bytes);
        Ok(Done::At { done, result: 0 })
    }

    pub(crate) fn submit_read(
        &mut self,
        ns: &Namespace,
        range: LbaRange,
        internal: bool,
        now: Instant,
    ) -> Result<Instant, Reject> {
        if internal {
            self.worked((range.blocks << ns.shift).div_ceil(LOOKED_UP_PER_UNIT));
        }
        let command = IoCommand::Read {
            range,
            reject_unwritten: self.features.unwritten_error(usize::from(ns.index.0)),
            internal,
        };
        let (done, _) = self.submit(ns.index, &command, now, range.start.get())?;
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
        let bytes = ns.transfer_bytes(blocks.count, self.max_transfer())?;
        let range = ns.range(blocks.start, blocks.count)?;
        self.map(host, sqe, bytes, Direction::FromGuest)?;
        let command = IoCommand::Write {
            range,
            fua: self.fua(blocks.fua),
            internal: false,
        };
        let (done, _) = self.submit(ns.index, &command, now, blocks.start)?;
        self.transfer.guest_to_media(host, ns.at(range.start))?;
        self.counters.write(bytes);
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
        let zone = ns.zoned()?.zone_at(blocks.start)?;
        let bytes = ns.transfer_bytes(blocks.count, self.max_append())?;
        self.map(host, sqe, bytes, Direction::FromGuest)?;
        let command = IoCommand::Append {
            zone,
            blocks: blocks.count,
            fua: self.fua(blocks.fua),
        };
        let (done, reply) = self.submit(ns.index, &command, now, blocks.start)?;
        // The drive is trusted with the place, but not with bytes of another namespace.
        let range = ns.range(reply.lba.get(), blocks.count)?;
        self.transfer.guest_to_media(host, ns.at(range.start))?;
        self.counters.write(bytes);
        Ok(Done::At {
            done,
            result: reply.lba.get(),
        })
    }

    fn compare<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        ns: &Namespace,
        blocks: Blocks,
        now: Instant,
    ) -> Result<Done, Reject> {
        let bytes = ns.transfer_bytes(blocks.count, self.max_transfer())?;
        let range = ns.range(blocks.start, blocks.count)?;
        self.map(host, sqe, bytes, Direction::FromGuest)?;
        let done = self.submit_read(ns, range, false, now)?;
        self.counters.read(bytes);
        let (media, guest) = self.scratch.split_at_mut(2048);
        let mut offset = 0;
        while offset < bytes {
            // LBAs are powers of two from 512 bytes on, so pieces have the full size or that of
            // one small command.
            let len = (bytes - offset).min(2048) as usize;
            let (media, guest) = (media.split_at_mut(len).0, guest.split_at_mut(len).0);
            host.media_read(ns.at(range.start).saturating_add(offset), media);
            self.transfer.get(host, offset, guest)?;
            if media != guest {
                return Err(Reject {
                    lba: Some(blocks.start.saturating_add(offset >> ns.shift)),
                    done: Some(done),
                    ..Reject::at(Status::CompareFailure, CDW10, 0)
                });
            }
            offset += len as u64;
        }
        Ok(Done::At { done, result: 0 })
    }

    fn verify(&mut self, ns: &Namespace, blocks: Blocks, now: Instant) -> Result<Done, Reject> {
        let bytes = ns.transfer_bytes(blocks.count, MIN_PAGE << VERIFY_LIMIT)?;
        let range = ns.range(blocks.start, blocks.count)?;
        let done = self.submit_read(ns, range, true, now)?;
        self.counters.read(bytes);
        Ok(Done::At { done, result: 0 })
    }

    fn write_zeroes<H: Host>(
        &mut self,
        host: &mut H,
        ns: &Namespace,
        blocks: Blocks,
        now: Instant,
    ) -> Result<Done, Reject> {
        let bytes = ns.transfer_bytes(blocks.count, MIN_PAGE << VERIFY_LIMIT)?;
        self.worked(2 * bytes.div_ceil(LOOKED_UP_PER_UNIT));
        let command = IoCommand::WriteZeroes {
            range: ns.range(blocks.start, blocks.count)?,
            fua: self.fua(blocks.fua),
            deallocate: blocks.deallocate,
        };
        let (done, reply) = self.submit(ns.index, &command, now, blocks.start)?;
        let bytes = discarded(ns, reply.discard);
        host.media_discard(bytes.start, bytes.end - bytes.start);
        Ok(Done::At { done, result: 0 })
    }
}
