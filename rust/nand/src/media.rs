// SPDX-License-Identifier: GPL-2.0-or-later
//! The whole array: planes on channels.

use crate::plane::Plane;
use crate::{
    BlockId, Booking, Cell, CellTiming, Chips, Geometry, Link, LinkStats, PlaneStats, Priority,
    Timing, Yield,
};
use units::{Bytes, Instant, Nanos};

/// A plane's number, die by die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaneId(pub u32);

/// What a plane is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Sense the flash page in `row`, then move `bytes` of it over the channel.
    Read {
        /// Cell mode of the block.
        mode: Cell,
        /// Flash page within the block.
        row: u32,
        /// Bytes asked for.
        bytes: Bytes,
    },
    /// Move `bytes` into the page register; then program the wordline if that was its last page.
    Load {
        /// Cell mode of the block.
        mode: Cell,
        /// Bytes to move.
        bytes: Bytes,
        /// Whether the array programs afterwards.
        program: bool,
    },
    /// Sense for `time`, then move `bytes` over the channel. [`Chips::read`] makes these.
    Sense {
        /// Sense time.
        time: Nanos,
        /// Bytes asked for.
        bytes: Bytes,
    },
    /// Move `bytes` into the page register, then program. [`Chips::program`] makes these.
    Program {
        /// Program time.
        time: Nanos,
        /// Bytes to move.
        bytes: Bytes,
    },
    /// Erase a block.
    Erase,
}

/// Planes and channels with their reservations.
#[derive(Clone, Debug)]
pub struct Media {
    timing: Timing,
    rule: Yield,
    planes: Vec<Plane>,
    channel_of: Vec<u32>,
    channels: Vec<Link>,
    /// No operation will be asked for before this.
    horizon: Instant,
}

impl Media {
    /// An idle array. `geometry` has been validated.
    #[must_use]
    pub fn new(geometry: &Geometry, timing: &Timing) -> Self {
        let planes = geometry.planes();
        Self {
            timing: *timing,
            rule: Yield::default(),
            planes: vec![Plane::default(); planes as usize],
            channel_of: (0..planes).map(|p| geometry.channel_of(p)).collect(),
            channels: vec![Link::new(timing.channel_mbps); geometry.channels as usize],
            horizon: Instant::ZERO,
        }
    }

    /// An idle array of chips that [`Chips::read`] and [`Chips::program`] make operations for:
    /// [`Op::Read`] and [`Op::Load`] take no array time on it. `chips` has been validated.
    #[must_use]
    pub fn with_chips(chips: &Chips) -> Self {
        let none = CellTiming::uniform(Nanos::ZERO, Nanos::ZERO);
        let link = Link::new(chips.channel_mbps).with_overhead(chips.channel_overhead);
        let planes = chips.planes();
        Self {
            timing: Timing {
                slc: none,
                mlc: none,
                tlc: none,
                qlc: none,
                erase: chips.erase,
                channel_mbps: chips.channel_mbps,
            },
            rule: Yield::default(),
            planes: vec![Plane::default(); planes as usize],
            channel_of: (0..planes).map(|p| chips.channel_of(PlaneId(p))).collect(),
            channels: vec![link; chips.channels as usize],
            horizon: Instant::ZERO,
        }
    }

    /// The same array under another rule for background work. For one that is idle.
    #[must_use]
    pub fn with_yield(self, rule: Yield) -> Self {
        Self { rule, ..self }
    }

    /// Takes over array times, for operations booked from now on. Bandwidths stay.
    pub fn set_times(&mut self, timing: &Timing) {
        self.timing = Timing {
            channel_mbps: self.timing.channel_mbps,
            ..*timing
        };
    }

    /// Takes over the erase time and the channels' overhead of [`Chips`], whose other times come
    /// with each operation.
    pub fn set_chip_times(&mut self, chips: &Chips) {
        self.timing.erase = chips.erase;
        for channel in &mut self.channels {
            channel.set_overhead(chips.channel_overhead);
        }
    }

    /// Books `op` on `block` of `plane`, asked for at `at`. A plane that does not exist does
    /// nothing, at once.
    pub fn schedule(
        &mut self,
        at: Instant,
        plane: PlaneId,
        block: BlockId,
        op: Op,
        priority: Priority,
    ) -> Booking {
        let nothing = Booking { start: at, end: at };
        let Some(p) = self.planes.get_mut(plane.0 as usize) else {
            return nothing;
        };
        let channel = self.channel_of.get(plane.0 as usize).copied().unwrap_or(0);
        let Some(link) = self.channels.get_mut(channel as usize) else {
            return nothing;
        };
        let start = match priority {
            // What is being moved can still be read where it was.
            Priority::User if matches!(op, Op::Read { .. }) => p.user_start(at, None),
            Priority::User => p.user_start(at, Some(block)),
            Priority::Background => p.background_start(at),
        };
        let end = match op {
            Op::Read { mode, row, bytes } => {
                link.transfer(start + self.timing.sense(mode, row), bytes)
            }
            Op::Load {
                mode,
                bytes,
                program,
            } => {
                let loaded = link.transfer(start, bytes);
                let array = if program {
                    self.timing.of(mode).program
                } else {
                    Nanos::ZERO
                };
                loaded + array
            }
            Op::Sense { time, bytes } => link.transfer(start + time, bytes),
            Op::Program { time, bytes } => link.transfer(start, bytes) + time,
            Op::Erase => start + self.timing.erase,
        };
        match priority {
            Priority::User => p.book_user(at, start, end),
            Priority::Background => {
                p.prune(self.horizon);
                let booking = Booking { start, end };
                p.book_background(self.rule, block, at, booking);
            }
        }
        Booking { start, end }
    }

    /// When the last background operation booked on `plane` ends, as it stands now.
    #[must_use]
    pub fn background_end(&self, plane: PlaneId) -> Instant {
        self.planes
            .get(plane.0 as usize)
            .map_or(Instant::ZERO, Plane::background_end)
    }

    /// Forgets what ended before `now`: no operation will be asked for earlier.
    pub fn prune(&mut self, now: Instant) {
        self.horizon = now;
        for link in &mut self.channels {
            link.prune(now);
        }
    }

    /// What each plane has done.
    pub fn plane_stats(&self) -> impl ExactSizeIterator<Item = PlaneStats> + '_ {
        self.planes.iter().map(|p| p.stats)
    }

    /// What each channel has done.
    pub fn channel_stats(&self) -> impl ExactSizeIterator<Item = LinkStats> + '_ {
        self.channels.iter().map(Link::stats)
    }

    /// Panics if a book is inconsistent. For tests.
    pub fn check_invariants(&self) {
        self.channels.iter().for_each(Link::check_invariants);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media() -> Media {
        let us = Nanos::from_micros;
        let geometry = Geometry {
            channels: 2,
            luns_per_channel: 1,
            planes_per_lun: 2,
            dies_per_group: 2,
            flash_page: Bytes::kib(16),
            block: Bytes::mib(3),
            cell: Cell::Tlc,
        };
        let timing = Timing {
            slc: crate::CellTiming::uniform(us(20), us(75)),
            mlc: crate::CellTiming::uniform(us(30), us(185)),
            tlc: crate::CellTiming::uniform(us(40), Nanos::new(937_500)),
            qlc: crate::CellTiming::uniform(us(85), us(6098)),
            erase: Nanos::new(3_500_000),
            channel_mbps: 1422,
        };
        Media::new(&geometry, &timing)
    }

    fn run(media: &mut Media, at: u64, plane: u32, op: Op) -> (u64, u64) {
        let at = Instant::from_nanos(at);
        let b = media.schedule(at, PlaneId(plane), BlockId(0), op, Priority::User);
        media.check_invariants();
        (b.start.as_nanos(), b.end.as_nanos())
    }

    #[test]
    fn a_read_senses_then_crosses_and_holds_its_plane() {
        let mut m = media();
        let read = Op::Read {
            mode: Cell::Tlc,
            row: 0,
            bytes: Bytes::kib(4),
        };
        assert_eq!(run(&mut m, 0, 0, read), (0, 42_748));
        // Same channel, other plane: senses beside it, crosses behind it.
        assert_eq!(run(&mut m, 0, 1, read), (0, 45_496));
        // Same plane: after it.
        assert_eq!(run(&mut m, 0, 0, read), (42_748, 85_496));
        // Other channel.
        assert_eq!(run(&mut m, 0, 2, read), (0, 42_748));
    }

    #[test]
    fn a_load_crosses_then_programs_if_the_wordline_is_complete() {
        let mut m = media();
        let load = |program| Op::Load {
            mode: Cell::Tlc,
            bytes: Bytes::kib(16),
            program,
        };
        assert_eq!(run(&mut m, 0, 0, load(false)), (0, 10_989));
        assert_eq!(run(&mut m, 0, 0, load(true)), (10_989, 21_978 + 937_500));
        assert_eq!(run(&mut m, 0, 1, load(false)), (0, 32_967));
        assert_eq!(run(&mut m, 0, 2, Op::Erase), (0, 3_500_000));
    }

    #[test]
    fn a_plane_that_does_not_exist_does_nothing() {
        assert_eq!(run(&mut media(), 7, 99, Op::Erase), (7, 7));
    }
}
