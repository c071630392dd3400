// SPDX-License-Identifier: GPL-2.0-or-later
//! A command's data pointer, resolved into runs of guest memory.
//!
//! PRPs and SGLs are read and checked in full before the drive sees the command, so that a
//! malformed one changes nothing; then bytes move between the runs and the media or a buffer of
//! the controller's. Runs that touch are joined, which makes most transfers a single copy.
//!
//! Bounds: a transfer is never longer than MDTS allows, and no more descriptors are looked at than
//! could describe that in pages, so that lists that loop or crawl end soon.

use nvme_spec::{SglDescriptor, SglType, Sqe, Status, SGL_BYTES};
use units::GuestAddr;

use crate::host::Host;
use crate::reject::{Reject, DPTR, PRP2};

/// Smallest memory page (CAP.MPSMIN).
pub(crate) const MIN_PAGE: u64 = 4096;
/// PRP and SGL entries are fetched in pieces of this size.
const PIECE_BYTES: usize = 512;

/// Which way the data goes; bit buckets only mean something for one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToGuest,
    FromGuest,
}

/// A run of guest memory, or of bytes to be dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Run {
    /// `None` for a bit bucket.
    at: Option<GuestAddr>,
    len: u32,
}

/// The data pointer of the command being executed.
#[derive(Debug)]
pub(crate) struct Transfer {
    runs: Vec<Run>,
    /// Most runs, and most SGL descriptors looked at.
    max_runs: usize,
}

state::state!(Run { at, len });
state::state!(Transfer { runs; max_runs } => check);

impl Transfer {
    fn check(&mut self) -> Result<(), state::Error> {
        state::ensure!(self.runs.len() <= self.max_runs, "{} runs", self.runs.len());
        Ok(())
    }

    /// Room for transfers of up to `max_bytes`.
    pub(crate) fn new(max_bytes: u64) -> Self {
        // One run per page, one more for an offset in the first, and as much again so that SGLs
        // may be somewhat finer than pages.
        let max_runs = usize::try_from(max_bytes / MIN_PAGE)
            .unwrap_or(usize::MAX)
            .saturating_add(1)
            .saturating_mul(2)
            .max(64);
        Self {
            runs: Vec::with_capacity(max_runs),
            max_runs,
        }
    }

    /// Resolves the data pointer of `sqe` for `bytes` bytes.
    pub(crate) fn map<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        bytes: u64,
        page: u64,
        direction: Direction,
    ) -> Result<(), Reject> {
        match sqe.psdt() {
            0 => self.map_prp(host, sqe.prp1, sqe.prp2, bytes, page),
            1 | 2 => self.map_sgl(host, sqe, bytes, direction),
            _ => Err(Reject::invalid(1, 6)),
        }
    }

    /// Resolves PRPs (Base, section 4.1.1).
    fn map_prp<H: Host>(
        &mut self,
        host: &mut H,
        prp1: u64,
        prp2: u64,
        bytes: u64,
        page: u64,
    ) -> Result<(), Reject> {
        self.runs.clear();
        if prp1 & 3 != 0 {
            return Err(Reject::at(Status::PrpOffsetInvalid, DPTR, 0));
        }
        let first = bytes.min(page - prp1 % page);
        self.push(Some(prp1), first)?;
        let left = bytes - first;
        if left == 0 {
            return Ok(());
        }
        if left > page {
            return self.map_prp_list(host, prp2, left, page);
        }
        if prp2 % page != 0 {
            return Err(Reject::at(Status::PrpOffsetInvalid, PRP2, 0));
        }
        self.push(Some(prp2), left)
    }

    /// Walks a PRP list; where it is full and data is left, its last entry is the next list.
    fn map_prp_list<H: Host>(
        &mut self,
        host: &mut H,
        list: u64,
        mut left: u64,
        page: u64,
    ) -> Result<(), Reject> {
        if list % 8 != 0 {
            return Err(Reject::at(Status::PrpOffsetInvalid, PRP2, 0));
        }
        let mut at = list;
        let mut piece = [0; PIECE_BYTES];
        while left > 0 {
            let in_page = page - at % page;
            let wanted = left.div_ceil(page).saturating_mul(8);
            let len = wanted.min(in_page).min(PIECE_BYTES as u64);
            let entries = read_piece(host, at, &mut piece, len)?;
            let mut chained = None;
            for (i, entry) in entries.chunks_exact(8).enumerate() {
                let entry = u64::from_le_bytes(entry.try_into().unwrap_or_default());
                let is_last_slot = (i as u64 + 1).saturating_mul(8) == in_page;
                if entry % page != 0 {
                    return Err(Reject::at(Status::PrpOffsetInvalid, PRP2, 0));
                }
                if is_last_slot && left > page {
                    chained = Some(entry);
                    break;
                }
                let take = left.min(page);
                self.push(Some(entry), take)?;
                left -= take;
            }
            at = chained.unwrap_or(at.wrapping_add(len));
        }
        Ok(())
    }

    /// Resolves an SGL (Base, section 4.1.2).
    fn map_sgl<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        bytes: u64,
        direction: Direction,
    ) -> Result<(), Reject> {
        self.runs.clear();
        let mut left = bytes;
        let first = SglDescriptor::from_data_pointer(sqe.prp1, sqe.prp2);
        let (mut segment, mut is_last) = match first.kind() {
            Some(SglType::Segment) => (first, false),
            Some(SglType::LastSegment) => (first, true),
            _ => {
                self.push_data(&first, &mut left, direction)?;
                return enough(left);
            }
        };
        let mut seen = 0;
        while let Some((next, next_is_last)) =
            self.map_segment(host, &segment, is_last, &mut left, &mut seen, direction)?
        {
            (segment, is_last) = (next, next_is_last);
        }
        enough(left)
    }

    /// Walks one segment; returns the next one and whether that is the last.
    fn map_segment<H: Host>(
        &mut self,
        host: &mut H,
        segment: &SglDescriptor,
        is_last: bool,
        left: &mut u64,
        seen: &mut usize,
        direction: Direction,
    ) -> Result<Option<(SglDescriptor, bool)>, Reject> {
        let bytes = u64::from(segment.length);
        let mut piece = [0; PIECE_BYTES];
        if bytes == 0 || bytes % SGL_BYTES as u64 != 0 {
            return Err(Reject::at(Status::InvalidSglSegment, DPTR, 0));
        }
        let mut done = 0;
        while done < bytes && *left > 0 {
            let len = (bytes - done).min(PIECE_BYTES as u64);
            let at = segment.address.wrapping_add(done);
            let entries = read_piece(host, at, &mut piece, len)?;
            for entry in entries.chunks_exact(SGL_BYTES) {
                let descriptor = SglDescriptor::decode(&entry.try_into().unwrap_or_default());
                done += SGL_BYTES as u64;
                *seen += 1;
                if *seen > self.max_runs {
                    return Err(Reject::at(Status::InvalidSglCount, DPTR, 0));
                }
                match descriptor.kind() {
                    Some(kind @ (SglType::Segment | SglType::LastSegment)) => {
                        // Only as the last descriptor of a segment that is not the last one.
                        if is_last || done != bytes {
                            return Err(Reject::at(Status::InvalidSglSegment, DPTR, 0));
                        }
                        return Ok(Some((descriptor, kind == SglType::LastSegment)));
                    }
                    _ => self.push_data(&descriptor, left, direction)?,
                }
                if *left == 0 {
                    return Ok(None);
                }
            }
        }
        if is_last || *left == 0 {
            Ok(None)
        } else {
            Err(Reject::at(Status::InvalidSglSegment, DPTR, 0))
        }
    }

    /// Adds a data block or bit bucket descriptor; what exceeds the command's length is ignored.
    fn push_data(
        &mut self,
        descriptor: &SglDescriptor,
        left: &mut u64,
        direction: Direction,
    ) -> Result<(), Reject> {
        let at = match descriptor.kind() {
            Some(SglType::DataBlock) => Some(descriptor.address),
            Some(SglType::BitBucket) if direction == Direction::ToGuest => None,
            // A bit bucket takes nothing from data that the guest sends (Base).
            Some(SglType::BitBucket) => return Ok(()),
            Some(SglType::Segment | SglType::LastSegment) | None => {
                return Err(Reject::at(Status::SglTypeInvalid, DPTR, 0));
            }
        };
        let take = u64::from(descriptor.length).min(*left);
        self.push(at, take)?;
        *left -= take;
        Ok(())
    }

    /// Adds a run, joined with the one before where they touch.
    fn push(&mut self, at: Option<u64>, bytes: u64) -> Result<(), Reject> {
        if bytes == 0 {
            return Ok(());
        }
        // Transfers are at most 8 MiB (`MAX_MDTS`).
        let len = u32::try_from(bytes).map_err(|_| Reject::new(Status::InternalError))?;
        if let Some(last) = self.runs.last_mut() {
            let touches = match (last.at, at) {
                (Some(a), Some(b)) => a.get().checked_add(u64::from(last.len)) == Some(b),
                (None, None) => true,
                _ => false,
            };
            if touches {
                last.len = last.len.saturating_add(len);
                return Ok(());
            }
        }
        if self.runs.len() >= self.max_runs {
            return Err(Reject::at(Status::InvalidSglCount, DPTR, 0));
        }
        self.runs.push(Run {
            at: at.map(GuestAddr::new),
            len,
        });
        Ok(())
    }

    /// Copies media bytes from `at` on to the guest.
    pub(crate) fn media_to_guest<H: Host>(&self, host: &mut H, mut at: u64) -> Result<(), Reject> {
        for run in &self.runs {
            if let Some(to) = run.at {
                host.media_to_guest(at, to, run.len).map_err(|_| fault())?;
            }
            at = at.saturating_add(u64::from(run.len));
        }
        Ok(())
    }

    /// Copies the guest's bytes to the media from `at` on.
    pub(crate) fn guest_to_media<H: Host>(&self, host: &mut H, mut at: u64) -> Result<(), Reject> {
        for run in &self.runs {
            if let Some(from) = run.at {
                host.media_from_guest(at, from, run.len)
                    .map_err(|_| fault())?;
            }
            at = at.saturating_add(u64::from(run.len));
        }
        Ok(())
    }

    /// Writes `bytes` to the guest, `offset` bytes into the transfer; what lies past its end is
    /// dropped.
    pub(crate) fn put<H: Host>(
        &self,
        host: &mut H,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Reject> {
        self.pieces(offset, bytes.len(), |at, start, len| {
            match (at, bytes.get(start..start.saturating_add(len))) {
                (Some(to), Some(piece)) => host.dma_write(to, piece).map_err(|_| fault()),
                _ => Ok(()),
            }
        })
    }

    /// Reads the guest's bytes, `offset` bytes into the transfer; past its end `into` is left as
    /// it is.
    pub(crate) fn get<H: Host>(
        &self,
        host: &mut H,
        offset: u64,
        into: &mut [u8],
    ) -> Result<(), Reject> {
        self.pieces(offset, into.len(), |at, start, len| {
            match (at, into.get_mut(start..start.saturating_add(len))) {
                (Some(from), Some(piece)) => host.dma_read(from, piece).map_err(|_| fault()),
                _ => Ok(()),
            }
        })
    }

    /// Calls `each(address, start, len)` for the parts of runs that `offset..offset + len` covers;
    /// `start` counts from `offset`.
    fn pieces(
        &self,
        offset: u64,
        len: usize,
        mut each: impl FnMut(Option<GuestAddr>, usize, usize) -> Result<(), Reject>,
    ) -> Result<(), Reject> {
        let end = offset.saturating_add(len as u64);
        let mut run_start = 0_u64;
        for run in &self.runs {
            let run_end = run_start.saturating_add(u64::from(run.len));
            let (from, to) = (offset.max(run_start), end.min(run_end));
            if from < to {
                let at = run
                    .at
                    .map(|at| GuestAddr::new(at.get().wrapping_add(from - run_start)));
                // Both are below `len`, a usize.
                each(at, (from - offset) as usize, (to - from) as usize)?;
            }
            run_start = run_end;
        }
        Ok(())
    }
}

fn fault() -> Reject {
    Reject::at(Status::DataTransferError, DPTR, 0)
}

fn enough(left: u64) -> Result<(), Reject> {
    if left == 0 {
        Ok(())
    } else {
        Err(Reject::at(Status::SglLengthInvalid, DPTR, 0))
    }
}

/// Reads `len` bytes of list entries into the front of `piece`.
fn read_piece<'p, H: Host>(
    host: &mut H,
    at: u64,
    piece: &'p mut [u8; PIECE_BYTES],
    len: u64,
) -> Result<&'p [u8], Reject> {
    let len = usize::try_from(len).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
    let (piece, _) = piece.split_at_mut(len);
    host.dma_read(GuestAddr::new(at), piece)
        .map_err(|_| fault())?;
    Ok(piece)
}
