// SPDX-License-Identifier: GPL-2.0-or-later
//! The whole array: planes on channels.

mod foreground;

pub use foreground::{Moved, Purpose};

use crate::book::{Book, Booked, Kind};
use crate::shape::{Shape, What};
use crate::work::Backlog;
use crate::{
    BlockId, Booking, Cell, CellTiming, Chips, Crossing, Geometry, Link, LinkStats, Suspend,
    Suspension, Timing,
};
use foreground::Running;
use state::state;
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

/// What a plane has done so far, and what it has promised to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaneStats {
    /// Time it was busy, waiting for its channel included.
    pub busy: Nanos,
    /// Operations.
    pub operations: u64,
    /// The longest that an operation of the host waited for the plane.
    pub longest_wait: Nanos,
}

/// An occupation of a plane, for checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupied {
    /// The plane.
    pub plane: PlaneId,
    /// The block that is worked on.
    pub block: BlockId,
    /// What it does.
    pub what: What,
    /// From then on.
    pub start: Instant,
    /// Until then.
    pub end: Instant,
    /// Background work.
    pub background: bool,
}

/// What the host asks of a plane.
#[derive(Clone, Copy, Debug)]
struct Request {
    at: Instant,
    block: BlockId,
    shape: Shape,
    /// Link time of its bytes.
    crossing: Nanos,
    /// What it is for, if its array work may be suspended.
    purpose: Option<Purpose>,
    /// Whether it has one, or is told to tests.
    is_watched: bool,
}

/// A plane: its firm bookings.
#[derive(Clone, Debug)]
pub(crate) struct Plane {
    channel: u32,
    pub book: Book,
    pub stats: PlaneStats,
}

state!(PlaneStats {
    busy,
    operations,
    longest_wait
});
state!(Plane { book, stats; channel });

/// Planes and channels with their reservations.
#[derive(Clone, Debug)]
pub struct Media {
    timing: Timing,
    pub(crate) suspension: Suspension,
    pub(crate) planes: Vec<Plane>,
    channels: Vec<Link>,
    /// Run to; no operation will be asked for before this.
    pub(crate) horizon: Instant,
    pub(crate) backlog: Backlog,
    /// Of the host's, in the order of booking.
    pub(crate) running: Vec<Running>,
    /// Not told yet.
    pub(crate) moved: Vec<Moved>,
    observed: Option<Vec<Occupied>>,
}

// The rule of suspension and the array times can be changed while the drive runs: whoever
// decodes has set them. What has moved is told before that.
state!(Media {
    planes[fixed], channels[fixed], horizon, backlog, running;
    timing, suspension, moved, observed
} => restore);

impl Media {
    /// An idle array. `geometry` has been validated.
    #[must_use]
    pub fn new(geometry: &Geometry, timing: &Timing) -> Self {
        let planes = 0..geometry.planes();
        let channel_of = planes.map(|p| geometry.channel_of(p));
        // Not `vec![..; n]`: a clone of a queue does not keep its room.
        let channels = 0..geometry.channels;
        let link = |_| Link::new(timing.channel_mbps).with(timing.crossing);
        let links = channels.map(link).collect();
        Self::idle(*timing, channel_of, links)
    }

    /// An idle array of chips that [`Chips::read`] and [`Chips::program`] make operations for:
    /// [`Op::Read`] and [`Op::Load`] take no array time on it. `chips` has been validated.
    #[must_use]
    pub fn with_chips(chips: &Chips) -> Self {
        let none = CellTiming::uniform(Nanos::ZERO, Nanos::ZERO);
        let crossing = chips.crossing();
        let link = |_| Link::new(chips.channel_mbps).with(crossing);
        let planes = 0..chips.planes();
        let timing = Timing {
            slc: none,
            mlc: none,
            tlc: none,
            qlc: none,
            erase: chips.erase,
            channel_mbps: chips.channel_mbps,
            crossing,
        };
        let channel_of = planes.map(|p| chips.channel_of(PlaneId(p)));
        Self::idle(timing, channel_of, (0..chips.channels).map(link).collect())
    }

    fn idle(timing: Timing, channel_of: impl Iterator<Item = u32>, channels: Vec<Link>) -> Self {
        let plane = |channel| Plane {
            channel,
            book: Book::default(),
            stats: PlaneStats::default(),
        };
        let planes: Vec<Plane> = channel_of.map(plane).collect();
        Self {
            timing,
            suspension: Suspension::default(),
            backlog: Backlog::new(planes.len()),
            planes,
            channels,
            horizon: Instant::ZERO,
            running: Vec::new(),
            moved: Vec::new(),
            observed: None,
        }
    }

    /// Takes over array times and what transfers take beside their bytes, for operations booked from now on.
    /// Bandwidths and pieces stay.
    pub fn set_times(&mut self, timing: &Timing) {
        self.timing = Timing {
            channel_mbps: self.timing.channel_mbps,
            ..*timing
        };
        self.set_crossing(timing.crossing);
    }

    fn set_crossing(&mut self, crossing: Crossing) {
        for channel in &mut self.channels {
            channel.set_times(crossing);
        }
    }

    /// How long the array works at a program in this mode, without what suspends it.
    #[must_use]
    pub const fn program_time(&self, mode: Cell) -> Nanos {
        self.timing.of(mode).program
    }

    /// Takes over the erase time and the channels' overhead of [`Chips`], whose other times come
    /// with each operation.
    pub fn set_chip_times(&mut self, chips: &Chips) {
        self.timing.erase = chips.erase;
        self.set_crossing(chips.crossing());
    }

    /// Books the host's `op` on `block` of `plane`, asked for at `at`: in the earliest idle time
    /// that holds all of it, after what is booked or queued to change its block if it changes it,
    /// too. Its end stays. A plane that does not exist does nothing, at once.
    pub fn schedule(&mut self, at: Instant, plane: PlaneId, block: BlockId, op: Op) -> Booking {
        let request = self.request(at, block, op, None);
        self.book(plane.0 as usize, &request)
    }

    /// The same of a program or erase with a purpose: with [`Suspend::All`](crate::Suspend::All) its end can move until it is
    /// told ([`Media::tell`]).
    pub fn schedule_for(
        &mut self,
        at: Instant,
        plane: PlaneId,
        block: BlockId,
        op: Op,
        purpose: Purpose,
    ) -> Booking {
        let request = self.request(at, block, op, Some(purpose));
        self.book(plane.0 as usize, &request)
    }

    /// The same `op` on each of `count` neighbouring planes from `first` on, in their order;
    /// `booked` is told each plane's number among them, and when the plane is done. Each plane's pages
    /// in the purpose follow its neighbour's.
    pub fn schedule_each(
        &mut self,
        at: Instant,
        (first, count): (PlaneId, u32),
        block: BlockId,
        op: Op,
        purpose: Option<Purpose>,
        mut booked: impl FnMut(u32, Instant),
    ) {
        let mut request = self.request(at, block, op, purpose);
        for plane in 0..count {
            let booking = self.book(first.0.saturating_add(plane) as usize, &request);
            booked(plane, booking.end);
            if request.is_watched {
                request.purpose = request.purpose.map(Purpose::of_neighbour);
            }
        }
    }

    #[inline]
    fn request(&self, at: Instant, block: BlockId, op: Op, purpose: Option<Purpose>) -> Request {
        let shape = self.shape(op);
        // All channels are alike.
        let crossing = match self.channels.first() {
            Some(link) if shape.bytes > 0 => link.time(Bytes::new(shape.bytes)),
            _ => Nanos::ZERO,
        };
        let may_halt = self.suspension.rule == Suspend::All && shape.array > 0;
        let purpose = purpose.filter(|_| may_halt);
        Request {
            at,
            block,
            shape,
            crossing,
            purpose,
            is_watched: purpose.is_some() || self.is_observed(),
        }
    }

    #[inline]
    fn book(&mut self, plane: usize, request: &Request) -> Booking {
        let Request {
            at, block, shape, ..
        } = *request;
        let horizon = self.horizon.as_nanos();
        let from = at.as_nanos().max(horizon);
        let Some(p) = self.planes.get(plane) else {
            return Booking { start: at, end: at };
        };
        // Most operations come to a plane that is idle from then on, or follow one of their block.
        let is_busy = self.backlog.is_busy(plane);
        let (start, halts) = match p.book.at_end(from, block, shape.kind) {
            Some(start) if !is_busy => (start, false),
            _ => self.start(plane, from, block, &shape),
        };
        let Some(p) = self.planes.get_mut(plane) else {
            return Booking { start: at, end: at };
        };
        let mut moved = start.saturating_add(shape.sense);
        if shape.bytes > 0 {
            if let Some(link) = self.channels.get_mut(p.channel as usize) {
                link.prune(self.horizon);
                moved = link.carry(moved, shape.bytes, request.crossing);
            }
        }
        let end = moved.saturating_add(shape.array);
        let booked = Booked {
            start,
            end,
            block,
            kind: shape.kind,
        };
        p.book.insert(booked, horizon);
        p.stats.operations += 1;
        p.stats.busy += Nanos::new(end - start);
        let waited = Nanos::new(start.saturating_sub(at.as_nanos()));
        p.stats.longest_wait = p.stats.longest_wait.max(waited);
        if request.is_watched || halts {
            self.booked(plane, request, (start, moved, end), halts);
        }
        if is_busy {
            // What runs there may have to be suspended sooner.
            self.requeue_running(plane);
        }
        Booking {
            start: Instant::from_nanos(start),
            end: Instant::from_nanos(end),
        }
    }

    /// What comes of a booking that somebody looks at, or that something was stopped for: its start, the end of its
    /// transfer, and its end.
    #[inline(never)]
    fn booked(
        &mut self,
        plane: usize,
        request: &Request,
        (start, moved, end): (u64, u64, u64),
        halts: bool,
    ) {
        let Request { block, shape, .. } = *request;
        self.note(plane, block, shape.what, (start, moved), false);
        match request.purpose {
            Some(purpose) => self.runs(plane, block, &shape, purpose, (moved, end)),
            None => self.note(plane, block, shape.array_what(), (moved, end), false),
        }
        if halts {
            self.go_on_after(plane, end);
        }
        self.note_passed(plane);
    }

    /// When the host's operation starts on a plane that is not idle, and whether what runs there has been
    /// stopped for it.
    #[inline(never)]
    fn start(&mut self, plane: usize, from: u64, block: BlockId, shape: &Shape) -> (u64, bool) {
        let mut from = from;
        if self.backlog.is_busy(plane) {
            if shape.kind != Kind::Read {
                from = from.max(self.force_block(plane, block, shape.kind));
            }
            from = from.max(self.yields_at(plane).unwrap_or(0));
        }
        if let Some(p) = self.planes.get(plane) {
            if p.book.end() <= from {
                return (from, false);
            }
            from = p.book.after_block(from, block, shape.kind);
        }
        let start = self.place(plane, from, shape);
        if shape.kind == Kind::Read && !self.running.is_empty() {
            if let Some(start) = self.halt(plane, from, start) {
                return (start, true);
            }
        }
        (start, false)
    }

    /// An operation's parts.
    #[inline]
    pub(crate) fn shape(&self, op: Op) -> Shape {
        let (sense, bytes, array, kind, what) = match op {
            Op::Read { mode, row, bytes } => {
                let sense = self.timing.sense(mode, row);
                (sense, bytes, Nanos::ZERO, Kind::Read, What::Read)
            }
            Op::Sense { time, bytes } => (time, bytes, Nanos::ZERO, Kind::Read, What::Read),
            Op::Load {
                mode,
                bytes,
                program,
            } => {
                let array = match program {
                    true => self.timing.of(mode).program,
                    false => Nanos::ZERO,
                };
                (Nanos::ZERO, bytes, array, Kind::Write, What::Load)
            }
            Op::Program { time, bytes } => (Nanos::ZERO, bytes, time, Kind::Write, What::Load),
            Op::Erase => {
                let none = (Nanos::ZERO, Bytes::ZERO);
                (none.0, none.1, self.timing.erase, Kind::Erase, What::Erase)
            }
        };
        Shape {
            sense: sense.get(),
            bytes: bytes.get(),
            array: array.get(),
            kind,
            what,
        }
    }

    /// Where an operation fits on a plane, from `from` on.
    pub(crate) fn place(&self, plane: usize, from: u64, shape: &Shape) -> u64 {
        let Some(p) = self.planes.get(plane) else {
            return from;
        };
        let least = shape.sense.saturating_add(shape.array);
        p.book.first_gap(from, |start, end| {
            // Most gaps are too short with the channel idle, too.
            end - start >= least
                && self
                    .would_cross(plane, start, shape)
                    .saturating_add(shape.array)
                    <= end
        })
    }

    /// When an operation that starts at `start` would have its transfer behind it.
    pub(crate) fn would_cross(&self, plane: usize, start: u64, shape: &Shape) -> u64 {
        let sensed = start.saturating_add(shape.sense);
        let channel = self.planes.get(plane).map_or(0, |p| p.channel);
        match self.channels.get(channel as usize) {
            Some(link) => link
                .would_end(Instant::from_nanos(sensed), Bytes::new(shape.bytes))
                .as_nanos(),
            None => sensed,
        }
    }

    /// Time that `bytes` take on an idle channel.
    #[must_use]
    pub fn channel_time(&self, bytes: Bytes) -> Nanos {
        let first = self.channels.first();
        first.map_or(Nanos::ZERO, |channel| channel.time(bytes))
    }

    pub(crate) fn link_of(&mut self, plane: usize) -> Option<&mut Link> {
        let channel = self.planes.get(plane)?.channel;
        self.channels.get_mut(channel as usize)
    }

    /// Whether an erase of a block is queued, or booked and has not ended at `at`.
    #[must_use]
    pub fn is_erasing(&self, plane: PlaneId, block: BlockId, at: Instant) -> bool {
        let plane = plane.0 as usize;
        let Some(p) = self.planes.get(plane) else {
            return false;
        };
        p.book.is_erasing(block, at.as_nanos()) || self.backlog.is_erasing(plane, block)
    }

    /// Power goes at `now`: planes and channels are idle from then on. What was booked for later or queued comes
    /// to nothing, and is not counted as time that they were busy.
    pub fn power_cut(&mut self, now: Instant) {
        self.run(now);
        self.note_cut();
        self.occupy_cut();
        for plane in &mut self.planes {
            let undone = plane.book.power_cut(self.horizon.as_nanos());
            plane.stats.busy = Nanos::new(plane.stats.busy.get().saturating_sub(undone));
        }
        for channel in &mut self.channels {
            channel.power_cut(self.horizon);
        }
        self.backlog = Backlog::new(self.planes.len());
        self.moved.clear();
    }

    /// For checks in tests: remembers every occupation of a plane while switched on. A program or
    /// erase that runs and may be suspended is not in it before that has come to pass.
    pub fn observe(&mut self, on: bool) {
        self.observed = on.then(Vec::new);
    }

    #[inline]
    pub(crate) const fn is_observed(&self) -> bool {
        self.observed.is_some()
    }

    /// What occupied planes since this was asked last, in the order of booking.
    pub fn take_observed(&mut self) -> Vec<Occupied> {
        self.observed.as_mut().map_or(Vec::new(), core::mem::take)
    }

    pub(crate) fn note(
        &mut self,
        plane: usize,
        block: BlockId,
        what: What,
        (start, end): (u64, u64),
        background: bool,
    ) {
        if let Some(observed) = self.observed.as_mut().filter(|_| start < end) {
            observed.push(Occupied {
                plane: PlaneId(plane as u32),
                block,
                what,
                start: Instant::from_nanos(start),
                end: Instant::from_nanos(end),
                background,
            });
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

    /// Counts from here on.
    pub fn forget_counts(&mut self) {
        for plane in &mut self.planes {
            plane.stats = PlaneStats::default();
        }
        self.channels.iter_mut().for_each(Link::forget_counts);
    }

    /// How long all planes, and all channels, were busy together; without allocating.
    #[must_use]
    pub fn busy(&self) -> [Nanos; 2] {
        let planes = self.plane_stats().map(|plane| plane.busy);
        let channels = self.channel_stats().map(|channel| channel.busy);
        [
            planes.fold(Nanos::ZERO, |a, b| a + b),
            channels.fold(Nanos::ZERO, |a, b| a + b),
        ]
    }

    /// Is an error if a book is inconsistent.
    pub fn check_invariants(&self) -> Result<(), state::Error> {
        for link in &self.channels {
            link.check_invariants()?;
        }
        for plane in &self.planes {
            plane.book.check_invariants()?;
        }
        self.check_running()?;
        self.backlog.check_invariants()
    }
}
