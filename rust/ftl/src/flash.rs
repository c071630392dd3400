// SPDX-License-Identifier: GPL-2.0-or-later
//! The flash array and the host link, with the controller's own costs.

use nand::{BlockId, Chips, Link, Media, Op, PlaneId, Priority, Yield};
use units::{Bytes, Instant, Nanos, PAGE_BYTES};

/// Times that the controller itself takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// Firmware time of a read of up to 4 KiB.
    pub read_4k: Nanos,
    /// Firmware time of a larger read.
    pub read: Nanos,
    /// Write buffer access, once per access.
    pub buffer_base: Nanos,
    /// Write buffer access, for each 4 KiB.
    pub buffer_page: Nanos,
}

/// Chips behind a controller on a host link.
#[derive(Clone, Debug)]
pub struct Flash {
    chips: Chips,
    media: Media,
    link: Link,
    costs: Costs,
}

impl Flash {
    /// An idle array. `chips` has been validated.
    #[must_use]
    pub fn new(chips: &Chips, link_mbps: u64, costs: Costs) -> Self {
        Self {
            chips: *chips,
            media: Media::with_chips(chips).with_yield(Yield::Queued),
            link: Link::new(link_mbps),
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
            ..self.chips
        };
        self.costs = costs;
    }

    /// The chips.
    #[must_use]
    pub const fn chips(&self) -> &Chips {
        &self.chips
    }

    /// No operation will be asked for before `now`.
    pub fn prune(&mut self, now: Instant) {
        self.media.prune(now);
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
        let op = self.chips.read(page, bytes);
        self.schedule(at, plane, block, op, Priority::User)
    }

    /// Programs a one-shot page with `bytes` of data; returns when the program has ended.
    pub fn program(
        &mut self,
        at: Instant,
        plane: PlaneId,
        block: BlockId,
        bytes: Bytes,
    ) -> Instant {
        let op = self.chips.program(bytes);
        self.schedule(at, plane, block, op, Priority::User)
    }

    /// Erases a block; returns when that is over. As background work it lets operations on other
    /// blocks pass until it has started.
    pub fn erase(
        &mut self,
        at: Instant,
        plane: PlaneId,
        block: BlockId,
        priority: Priority,
    ) -> Instant {
        if self.chips.erase == Nanos::ZERO {
            return at;
        }
        self.schedule(at, plane, block, Op::Erase, priority)
    }

    fn schedule(
        &mut self,
        at: Instant,
        plane: PlaneId,
        block: BlockId,
        op: Op,
        priority: Priority,
    ) -> Instant {
        self.media.schedule(at, plane, block, op, priority).end
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

    /// Panics if a book is inconsistent. For tests.
    pub fn check_invariants(&self) {
        self.media.check_invariants();
        self.link.check_invariants();
    }
}
