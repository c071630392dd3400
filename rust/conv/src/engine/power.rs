// SPDX-License-Identifier: GPL-2.0-or-later
//! Power cuts of a namespace: its partitions ([`crate::partition`]) and its memory.

use super::Engine;
use crate::map_cache::MapCache;
use crate::partition::Rest;
use ftl::{ByteBuffer, Flash, PowerCut};
use units::{Instant, PAGE_BYTES};

impl Engine {
    /// What a power cut at `at` leaves; to be asked before flash stops.
    #[must_use]
    pub fn rest(&mut self, flash: &mut Flash, at: Instant) -> Survivors {
        for partition in &mut self.partitions {
            partition.commit_ended(flash);
        }
        let rests = self.partitions.iter().map(|p| p.rest(flash, at));
        Survivors(rests.collect())
    }

    /// Power went at `at`, flash has stopped, and this is left.
    pub fn power_cut(
        &mut self,
        flash: &mut Flash,
        left: Survivors,
        at: Instant,
        cut: &mut PowerCut,
    ) {
        let first = cut.lost.len();
        for (partition, rest) in self.partitions.iter_mut().zip(left.0) {
            cut.ready = cut.ready.max(partition.rebuild(flash, &rest, at));
            cut.lost.extend(rest.lost);
        }
        if let Some(lost) = cut.lost.get_mut(first..) {
            lost.sort_by_key(|lost| lost.lpn);
        }
        let portion = flash.chips().one_shot;
        self.buffer = ByteBuffer::new(self.config().buffer, portion);
        let pages = self.config().size.get() / PAGE_BYTES;
        self.map_cache = self.config().l2p.map(|l2p| MapCache::new(l2p, pages));
    }
}

/// What is left of a namespace.
#[derive(Debug)]
pub struct Survivors(Vec<Rest>);
