// SPDX-License-Identifier: GPL-2.0-or-later
//! Flash described by data-sheet figures: one-shot pages of any number of flash pages, read times
//! by size.
//!
//! [`crate::Geometry`] and [`crate::Timing`] derive the program unit from the cell (a wordline of
//! bits-per-cell flash pages) and know several cell modes, which a drive with pSLC needs. The
//! enterprise and conventional drives use one mode only, and their published figures give the
//! one-shot page and the time of a 4 KiB read on their own; a [`Chips`] holds exactly these.
//!
//! ```text
//!   one-shot page   |  flash page 0  |  flash page 1  |     programmed together, `program` ns
//!   4 KiB units     |  |  |  |  |  |  |  |  |  |  |  |      sensed by flash page; `read_4k` for
//!                                                           one unit, `read_page` for more
//! ```

use crate::{Cell, Crossing, GeometryError, Op, PlaneId};
use units::{Bytes, Nanos, PAGE_BYTES};

/// A drive's flash chips, all alike, and their buses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chips {
    /// Buses to the controller.
    pub channels: u32,
    /// Dies on each channel.
    pub luns_per_channel: u32,
    /// Planes of each die; each does one thing at a time.
    pub planes_per_lun: u32,
    /// Bits per cell: the number of page types that read times tell apart.
    pub cell: Cell,
    /// What one plane senses at once.
    pub flash_page: Bytes,
    /// What one plane programs at once.
    pub one_shot: Bytes,
    /// Sense time of up to 4 KiB by page type: flash page `n` of a block has type `n % bits`.
    pub read_4k: [Nanos; 4],
    /// Sense time of more, by page type.
    pub read_page: [Nanos; 4],
    /// Time to program a one-shot page.
    pub program: Nanos,
    /// Time to erase a block.
    pub erase: Nanos,
    /// Channel bandwidth in MB/s (MB = 2^20 bytes); at least 1.
    pub channel_mbps: u64,
    /// Time a channel is busy beyond the transfer for each 4 KiB (commands, addresses, ECC).
    pub channel_overhead: Nanos,
    /// What few figures say of chips, and most drives leave off.
    pub finer: Finer,
}

/// Finer points of chips; by default there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Finer {
    /// Time a channel is busy beyond the transfer for each operation, or piece of one (commands, addresses, status
    /// polls).
    pub channel_command: Nanos,
    /// What a channel carries at a time; 0: transfers are not divided into pieces.
    pub channel_piece: Bytes,
    /// Of the flash page that a plane sensed last, the aligned part of this size stays in its page register: what lies
    /// in it needs no sense. 0: nothing stays.
    pub register: Bytes,
    /// A program works for so long at a time ...
    pub slice: Nanos,
    /// ... and leaves the plane free for so long in between; 0: it works to its end.
    pub window: Nanos,
}

impl Chips {
    /// Largest one-shot page: far above any chip's.
    const MAX_ONE_SHOT: u64 = 16 << 20;

    /// Checks that the parts fit together.
    ///
    /// # Errors
    /// Names the first relation that does not hold.
    pub fn validate(&self) -> Result<(), GeometryError> {
        let planes = self
            .channels
            .checked_mul(self.luns_per_channel)
            .and_then(|n| n.checked_mul(self.planes_per_lun));
        match planes {
            Some(n) if (1..=crate::Geometry::MAX_PLANES).contains(&n) => {}
            _ => return Err(GeometryError::Planes),
        }
        let page = self.flash_page.get();
        if page == 0 || page % PAGE_BYTES != 0 || page > 1 << 20 {
            return Err(GeometryError::Page);
        }
        let one_shot = self.one_shot.get();
        if one_shot == 0 || one_shot % page != 0 || one_shot > Self::MAX_ONE_SHOT {
            return Err(GeometryError::OneShot);
        }
        Ok(())
    }

    /// What transfers take beside the time of their bytes.
    #[must_use]
    pub const fn crossing(&self) -> Crossing {
        Crossing {
            overhead: self.channel_overhead,
            command: self.finer.channel_command,
            piece: self.finer.channel_piece,
        }
    }

    /// Dies in all.
    #[must_use]
    pub const fn dies(&self) -> u32 {
        self.channels.saturating_mul(self.luns_per_channel)
    }

    /// Planes in all.
    #[must_use]
    pub const fn planes(&self) -> u32 {
        self.dies().saturating_mul(self.planes_per_lun)
    }

    /// Plane `plane` of die `die`; dies are numbered across the channels first.
    #[must_use]
    pub const fn plane(&self, die: u32, plane: u32) -> PlaneId {
        PlaneId(
            die.saturating_mul(self.planes_per_lun)
                .saturating_add(plane),
        )
    }

    /// The channel that a plane hangs on.
    #[must_use]
    pub const fn channel_of(&self, plane: PlaneId) -> u32 {
        match plane.0.checked_div(self.planes_per_lun) {
            Some(die) => match die.checked_rem(self.channels) {
                Some(channel) => channel,
                None => 0,
            },
            None => 0,
        }
    }

    /// Reading `bytes` out of flash page `page` of a block.
    #[must_use]
    pub fn read(&self, page: u64, bytes: Bytes) -> Op {
        let times = if bytes.get() <= PAGE_BYTES {
            &self.read_4k
        } else {
            &self.read_page
        };
        let kind = page % u64::from(self.cell.bits());
        let time = usize::try_from(kind).ok().and_then(|kind| times.get(kind));
        Op::Sense {
            time: time.copied().unwrap_or(Nanos::ZERO),
            bytes,
        }
    }

    /// Programming a one-shot page that `bytes` are moved into.
    #[must_use]
    pub const fn program(&self, bytes: Bytes) -> Op {
        Op::Program {
            time: self.program,
            bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlockId, Media};
    use units::Instant;

    fn chips() -> Chips {
        let ns = Nanos::new;
        Chips {
            channels: 2,
            luns_per_channel: 2,
            planes_per_lun: 1,
            cell: Cell::Mlc,
            flash_page: Bytes::kib(32),
            one_shot: Bytes::kib(64),
            read_4k: [ns(29_760), ns(41_760), ns(0), ns(0)],
            read_page: [ns(30_013), ns(42_013), ns(0), ns(0)],
            program: ns(185_000),
            erase: ns(3_000),
            channel_mbps: 800,
            channel_overhead: ns(413),
            finer: Finer::default(),
        }
    }

    #[test]
    fn a_read_takes_its_size_and_page_type_s_time_and_the_channel_its_overhead() {
        let chips = chips();
        let mut media = Media::with_chips(&chips);
        let mut run = |at, plane, op| {
            let at = Instant::from_nanos(at);
            let booking = media.schedule(at, PlaneId(plane), BlockId(0), op);
            (booking.start.as_nanos(), booking.end.as_nanos())
        };
        // 4 KiB at 800 MB/s are 4883 ns, and 413.
        let page = Bytes::kib(4);
        assert_eq!(run(0, 0, chips.read(0, page)), (0, 29_760 + 5_296));
        assert_eq!(run(0, 1, chips.read(3, page)), (0, 41_760 + 5_296));
        let half = Bytes::kib(16);
        let cross = 19_532 + 4 * 413;
        assert_eq!(
            run(100_000, 0, chips.read(2, half)),
            (100_000, 130_013 + cross)
        );
        let end = 200_000 + 78_125 + 16 * 413 + 185_000;
        assert_eq!(
            run(200_000, 0, chips.program(chips.one_shot)),
            (200_000, end)
        );
        assert_eq!(run(200_000, 0, Op::Erase), (end, end + 3_000));
    }

    #[test]
    fn dies_are_numbered_across_the_channels() {
        let chips = Chips {
            planes_per_lun: 2,
            ..chips()
        };
        assert_eq!((chips.dies(), chips.planes()), (4, 8));
        assert_eq!(chips.plane(3, 1), PlaneId(7));
        let channels = [0, 1, 2, 3, 4, 7].map(|p| chips.channel_of(PlaneId(p)));
        assert_eq!(channels, [0, 0, 1, 1, 0, 1]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let with = |f: fn(&mut Chips)| {
            let mut c = chips();
            f(&mut c);
            c.validate()
        };
        assert_eq!(with(|_| ()), Ok(()));
        assert_eq!(with(|c| c.channels = u32::MAX), Err(GeometryError::Planes));
        assert_eq!(with(|c| c.planes_per_lun = 0), Err(GeometryError::Planes));
        assert_eq!(
            with(|c| c.flash_page = Bytes::new(5000)),
            Err(GeometryError::Page)
        );
        for bad in [0, 48 << 10, 32 << 20] {
            let mut c = chips();
            c.one_shot = Bytes::new(bad);
            assert_eq!(c.validate(), Err(GeometryError::OneShot));
        }
    }
}
