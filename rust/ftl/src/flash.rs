// SPDX-License-Identifier: GPL-2.0-or-later
//! The flash array and the host link, with the controller's own costs.

use nand::{BlockId, Chips, Link, Media, Occupied, Op, PlaneId, Work};
use std::collections::VecDeque;
use units::{Bytes, Instant, Nanos, PAGE_BYTES};

/// Times that the controller itself takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// Firmware time of a read of up to 4 KiB.
    pub read_4k: Nanos,
    /// Firmware time of a larger read.
    pub read: Nanos,
    /// Firmware time of an append beyond that of a write.
    pub append: Nanos,
    /// Write buffer access, once per access.
    pub buffer_base: Nanos,
    /// Write buffer access, for each 4 KiB.
    pub buffer_page: Nanos,
}

/// What a plane's page register holds: a part of a flash page, from then on.
#[derive(Clone, Copy, Debug, Default)]
struct Sensed {
    block: BlockId,
    part: u64,
    end: Instant,
}

/// A program.
#[derive(Clone, Copy, Debug, Default)]
struct Running {
    block: BlockId,
    unit: u64,
    end: Instant,
}

/// Chips behind a controller on a host link.
#[derive(Clone, Debug)]
pub struct Flash {
    chips: Chips,
    media: Media,
    link: Link,
    /// Programs that may not have ended, by plane: of the one-shot page with this number.
    running: Vec<VecDeque<Running>>,
    /// By plane; nobody looks unless registers keep something.
    sensed: Vec<Option<Sensed>>,
    now: Instant,
    costs: Costs,
}

state::state!(Running { block, unit, end });
state::state!(Sensed { block, part, end });
state::state!(Flash { media, link, running[fixed], sensed[fixed], now; chips, costs });

impl Flash {
    /// Slices of one program at most.
    const MOST_SLICES: u64 = 64;

    /// An idle array. `chips` has been validated.
    #[must_use]
    pub fn new(chips: &Chips, link_mbps: u64, costs: Costs) -> Self {
        Self {
            chips: *chips,
            media: Media::with_chips(chips),
            link: Link::new(link_mbps),
            running: vec![VecDeque::new(); chips.planes() as usize],
            sensed: vec![None; chips.planes() as usize],
            now: Instant::ZERO,
            costs,
        }
    }

    /// Takes over times, for what is asked for from now on. The chips' shape and bandwidth stay.
    pub fn set_times(&mut self, chips: &Chips, costs: Costs) {
        self.media.set_chip_times(chips);
        self.chips = Chips {
            read_4k: chips.read_4k,
            read_page: chips.read_page,
            program: chips.program,
            erase: chips.erase,
            channel_overhead: chips.channel_overhead,
            finer: chips.finer,
            ..self.chips
        };
        self.costs = costs;
    }

    /// The chips.
    #[must_use]
    pub const fn chips(&self) -> &Chips {
        &self.chips
    }

    /// Background work proceeds up to `now`. Nothing will be asked for before that.
    pub fn run(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.media.run(now);
        self.link.prune(now);
    }

    /// Firmware time of a read of `bytes`.
    #[must_use]
    pub const fn firmware(&self, bytes: Bytes) -> Nanos {
        if bytes.get() <= PAGE_BYTES {
            self.costs.read_4k
        } else {
            self.costs.read
        }
    }

    /// Firmware time of an append beyond that of a write.
    #[must_use]
    pub const fn append(&self) -> Nanos {
        self.costs.append
    }

    /// Time of one access to the write buffer for `bytes`.
    #[must_use]
    pub fn buffer_access(&self, bytes: Bytes) -> Nanos {
        self.costs.buffer_base
            + self
                .costs
                .buffer_page
                .times(bytes.get().div_ceil(PAGE_BYTES))
    }

    /// Moves `bytes` over the host link, in either direction; returns when they have crossed.
    pub fn cross_link(&mut self, at: Instant, bytes: Bytes) -> Instant {
        self.link.transfer(at, bytes)
    }

    /// Reads `bytes` of flash page `page` of a block into the controller; returns when they are in.
    pub fn read(
        &mut self,
        at: Instant,
        plane: PlaneId,
        block: BlockId,
        page: u64,
        bytes: Bytes,
    ) -> Instant {
        self.read_from(at, (plane, block, page), 0, bytes)
    }

    /// The same of bytes that begin at `offset` of the flash page. They need no sense if the plane's register holds
    /// them.
    pub fn read_from(
        &mut self,
        at: Instant,
        (plane, block, page): (PlaneId, BlockId, u64),
        offset: u64,
        bytes: Bytes,
    ) -> Instant {
        let op = self.chips.read(page, bytes);
        let register = self.chips.finer.register.get();
        if register == 0 {
            return self.media.schedule(at, plane, block, op).end;
        }
        let first = page * self.chips.flash_page.get() + offset;
        let last = first + bytes.get().saturating_sub(1);
        let (from, to) = (first / register, last / register);
        let sensed = self.sensed.get(plane.0 as usize).copied().flatten();
        let held = sensed.filter(|s| from == to && (s.block, s.part) == (block, from));
        let booking = match held {
            Some(sensed) => {
                let time = Nanos::ZERO;
                let op = Op::Sense { time, bytes };
                self.media.schedule(at.max(sensed.end), plane, block, op)
            }
            None => self.media.schedule(at, plane, block, op),
        };
        if let Some(sensed) = self.sensed.get_mut(plane.0 as usize) {
            // What was sensed last is what stays.
            let end = booking.end;
            if sensed.is_none_or(|s| s.end <= end) {
                let part = to;
                *sensed = Some(Sensed { block, part, end });
            }
        }
        booking.end
    }

    /// The plane's page register holds something else from now on.
    fn overwrite_register(&mut self, plane: PlaneId) {
        if let Some(sensed) = self.sensed.get_mut(plane.0 as usize) {
            *sensed = None;
        }
    }

    /// Programs the one-shot page that flash page `page` of a block is in with `bytes` of data;
    /// returns when the program has ended. What is queued to change the block, such as its erase,
    /// goes first.
    pub fn program(
        &mut self,
        at: Instant,
        plane: PlaneId,
        block: BlockId,
        page: u64,
        bytes: Bytes,
    ) -> Instant {
        let end = if self.windows() == Nanos::ZERO {
            let op = self.chips.program(bytes);
            self.media.schedule(at, plane, block, op).end
        } else {
            self.program_in_slices(at, plane, block, bytes)
        };
        self.overwrite_register(plane);
        self.hold(plane, block, page, end);
        end
    }

    /// A program that lets others at the plane between its slices.
    fn program_in_slices(
        &mut self,
        at: Instant,
        plane: PlaneId,
        block: BlockId,
        bytes: Bytes,
    ) -> Instant {
        let (slice, window) = (self.slice(), self.chips.finer.window);
        let mut left = self.chips.program.get();
        let (mut at, mut bytes) = (at, bytes);
        loop {
            let time = left.min(slice);
            let op = Op::Program {
                time: Nanos::new(time),
                bytes,
            };
            let end = self.media.schedule(at, plane, block, op).end;
            left -= time;
            if left == 0 {
                return end;
            }
            (at, bytes) = (end + window, Bytes::ZERO);
        }
    }

    /// Fills `count` one-shot pages of a block with nothing, one after the other; returns when the last is programmed.
    /// Their transfers take the plane's time, and the channel's between others'.
    pub fn pad(&mut self, at: Instant, plane: PlaneId, block: BlockId, count: u64) -> Instant {
        let transfer = self.media.channel_time(self.chips.one_shot);
        let windows = self.windows();
        let time = (self.chips.program + windows + transfer).times(count);
        let bytes = Bytes::ZERO;
        self.overwrite_register(plane);
        let op = Op::Program { time, bytes };
        self.media.schedule(at, plane, block, op).end
    }

    /// From the start of a program to its end, if nobody else wants the plane.
    #[must_use]
    pub fn program_time(&self) -> Nanos {
        self.chips.program + self.windows()
    }

    /// How long a program works at a time: a book is to hold many programs.
    fn slice(&self) -> u64 {
        let least = self.chips.program.get().div_ceil(Self::MOST_SLICES);
        self.chips.finer.slice.get().max(least).max(1)
    }

    /// For how long a program leaves the plane to others, in all.
    fn windows(&self) -> Nanos {
        if self.chips.finer.window == Nanos::ZERO {
            return Nanos::ZERO;
        }
        let slices = self.chips.program.get().div_ceil(self.slice());
        self.chips.finer.window.times(slices.saturating_sub(1))
    }

    /// What is programmed into the one-shot page of flash page `page` is in memory until `end`.
    pub fn hold(&mut self, plane: PlaneId, block: BlockId, page: u64, end: Instant) {
        let (now, unit) = (self.now, self.unit(page));
        if let Some(running) = self.running.get_mut(plane.0 as usize) {
            while running.front().is_some_and(|r| r.end <= now) {
                running.pop_front();
            }
            running.push_back(Running { block, unit, end });
        }
    }

    /// Whether memory still holds at `at` what is programmed into flash page `page`: until the
    /// program has ended.
    #[must_use]
    pub fn is_held(&self, at: Instant, plane: PlaneId, block: BlockId, page: u64) -> bool {
        let unit = self.unit(page);
        let running = self.running.get(plane.0 as usize);
        running.is_some_and(|running| {
            let mut of = running.iter().rev();
            of.any(|r| (r.block, r.unit) == (block, unit) && r.end > at)
        })
    }

    /// Until when memory holds what is programmed into flash page `page`; zero if it does not.
    #[must_use]
    pub fn held_until(&self, plane: PlaneId, block: BlockId, page: u64) -> Instant {
        let unit = self.unit(page);
        let running = self.running.get(plane.0 as usize).into_iter().flatten();
        let of = running.filter(|r| (r.block, r.unit) == (block, unit));
        of.map(|r| r.end).max().unwrap_or(Instant::ZERO)
    }

    /// Whether an erase of a block is to come, or has not ended.
    #[must_use]
    pub fn is_erasing(&self, plane: PlaneId, block: BlockId, at: Instant) -> bool {
        self.media.is_erasing(plane, block, at)
    }

    /// The latest instant that it was run to.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Power goes at `now`: what had not ended comes to nothing.
    pub fn power_cut(&mut self, now: Instant) {
        self.run(now);
        self.media.power_cut(now);
        self.link.power_cut(now);
        self.running.iter_mut().for_each(VecDeque::clear);
        self.sensed.fill(None);
    }

    /// The one-shot page that a flash page is in.
    const fn unit(&self, page: u64) -> u64 {
        let pages = self
            .chips
            .one_shot
            .get()
            .checked_div(self.chips.flash_page.get());
        match pages {
            Some(pages @ 1..) => page / pages,
            _ => page,
        }
    }

    /// A group of background operations; see [`Media::begin`].
    pub fn begin(&mut self) -> Work {
        self.media.begin()
    }

    /// Queues a read of `bytes` of flash page `page`, not before `at` nor before `after` has ended.
    pub fn defer_read(
        &mut self,
        at: Instant,
        (plane, block, page): (PlaneId, BlockId, u64),
        bytes: Bytes,
        work: Work,
        after: Option<Work>,
    ) {
        let op = self.chips.read(page, bytes);
        self.media.defer(at, plane, block, op, work, after);
    }

    /// Queues the program of a one-shot page with `bytes` of data, which `after` reads, if any does.
    pub fn defer_program(
        &mut self,
        plane: PlaneId,
        block: BlockId,
        bytes: Bytes,
        work: Work,
        after: Option<Work>,
    ) {
        let op = self.chips.program(bytes);
        let at = self.now;
        self.media.defer(at, plane, block, op, work, after);
    }

    /// Queues an erase, not before `at`. It goes after what is booked or queued on the block.
    pub fn defer_erase(&mut self, at: Instant, plane: PlaneId, block: BlockId, work: Work) {
        self.overwrite_register(plane);
        self.media.defer(at, plane, block, Op::Erase, work, None);
    }

    /// No more operations will be added to a group.
    pub fn seal(&mut self, work: Work) {
        self.media.seal(work);
    }

    /// When a group ended, if it has.
    #[must_use]
    pub fn ended(&self, work: Work) -> Option<Instant> {
        self.media.ended(work)
    }

    /// Nobody will ask for a group's end any more.
    pub fn release(&mut self, work: Work) {
        self.media.release(work);
    }

    /// What is left of a group becomes the host's work; returns when it ends.
    pub fn force(&mut self, work: Work) -> Instant {
        self.media.force(work)
    }

    /// For checks in tests: remembers what occupies the planes while switched on.
    pub fn observe(&mut self, on: bool) {
        self.media.observe(on);
    }

    /// What occupied the planes since this was asked last.
    pub fn take_occupied(&mut self) -> Vec<Occupied> {
        self.media.take_observed()
    }

    /// What each plane has done.
    pub fn plane_stats(&self) -> impl ExactSizeIterator<Item = nand::PlaneStats> + '_ {
        self.media.plane_stats()
    }

    /// What each channel has done.
    pub fn channel_stats(&self) -> impl ExactSizeIterator<Item = nand::LinkStats> + '_ {
        self.media.channel_stats()
    }

    /// What the host link has done.
    #[must_use]
    pub const fn link_stats(&self) -> nand::LinkStats {
        self.link.stats()
    }

    /// Counts from here on.
    pub fn forget_counts(&mut self) {
        self.media.forget_counts();
        self.link.forget_counts();
    }

    /// How long all planes, all channels and the host link were busy; without allocating.
    #[must_use]
    pub fn busy(&self) -> [Nanos; 3] {
        let [planes, channels] = self.media.busy();
        [planes, channels, self.link.stats().busy]
    }

    /// Is an error if a book is inconsistent.
    pub fn check_invariants(&self) -> Result<(), state::Error> {
        self.media.check_invariants()?;
        self.link.check_invariants()
    }
}
