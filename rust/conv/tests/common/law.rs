// SPDX-License-Identifier: GPL-2.0-or-later
//! The law of durability, checked from what a drive says it does with pages and planes: a version of
//! a page that is durable once has, from then on and until it is dropped, a copy of it or of a newer
//! one that is programmed and not erased; nothing shares a plane; nothing is programmed into a block
//! before its erase has ended.
#![allow(dead_code, reason = "each test file uses its part")]

use ftl::{Event, Place};
use nand::{Occupied, What};
use std::collections::HashMap;
use units::Instant;

/// A copy of a page.
#[derive(Clone, Copy, Debug)]
struct Copy {
    version: u64,
    place: Place,
    durable: Instant,
}

/// One page of the namespace.
#[derive(Clone, Debug, Default)]
struct Page {
    /// Counts what was written to it.
    version: u64,
    copies: Vec<Copy>,
    /// Versions up to this one are not needed from then on.
    dropped: Vec<(u64, Instant)>,
    /// Memory that keeps its data has this version, until a copy is durable.
    kept: u64,
}

/// What a drive of one namespace has done.
#[derive(Debug, Default)]
pub struct Law {
    pages: HashMap<u64, Page>,
    occupied: Vec<Occupied>,
}

impl Law {
    /// Takes note of what a command that arrived at `now` has caused.
    pub fn note(&mut self, now: Instant, events: Vec<Event>, occupied: Vec<Occupied>) {
        self.occupied.extend(occupied);
        for event in events {
            match event {
                Event::Entered { lpn, .. } => self.page(lpn).version += 1,
                Event::Kept { lpn, .. } => {
                    let page = self.page(lpn);
                    page.version += 1;
                    page.kept = page.version;
                }
                Event::Dropped { first, pages, .. } => {
                    for lpn in first..first + pages {
                        let page = self.page(lpn);
                        page.dropped.push((page.version, now));
                    }
                }
                Event::Copied {
                    lpn,
                    from,
                    to,
                    durable,
                    ..
                } => {
                    let page = self.page(lpn);
                    let held = |from| page.copies.iter().rev().find(|c| c.place == from);
                    let version = from.map_or(page.version, |from| held(from).unwrap().version);
                    page.copies.push(Copy {
                        version,
                        place: to,
                        durable: durable.unwrap(),
                    });
                }
                Event::Survived { .. } => unreachable!("power stays"),
                Event::Durable { .. } | Event::Delayed { .. } => {
                    unreachable!("these drives know when they program")
                }
            }
        }
    }

    fn page(&mut self, lpn: u64) -> &mut Page {
        self.pages.entry(lpn).or_default()
    }

    /// At `done`, the newest version of these pages is durable.
    pub fn is_durable(&self, lpns: impl Iterator<Item = u64>, done: Instant) {
        for page in lpns.filter_map(|lpn| self.pages.get(&lpn)) {
            let is_dropped = page.dropped.iter().any(|d| d.0 == page.version);
            let has_copy = page
                .copies
                .iter()
                .any(|c| c.version == page.version && c.durable <= done);
            let is_kept = page.kept == page.version;
            assert!(is_dropped || has_copy || is_kept, "{done}: {page:?}");
        }
    }

    /// All pages of which anything is known.
    pub fn lpns(&self) -> Vec<u64> {
        self.pages.keys().copied().collect()
    }

    /// Panics unless the law held; returns how many copies an erase has ended.
    pub fn check(&mut self) -> usize {
        self.occupied.sort_by_key(|o| (o.plane.0, o.start));
        for pair in self.occupied.windows(2) {
            let apart = pair[0].plane != pair[1].plane || pair[0].end <= pair[1].start;
            assert!(apart, "{pair:?}");
        }
        let mut erases: HashMap<(u32, u32), Vec<(Instant, Instant)>> = HashMap::new();
        for o in self.occupied.iter().filter(|o| o.what == What::Erase) {
            let of = erases.entry((o.plane.0, o.block.0)).or_default();
            of.push((o.start, o.end));
        }
        let erases = |place: Place| erases.get(&(place.plane.0, place.block.0));
        let mut ended = 0;
        let mut places: HashMap<(u32, u32, u64), Vec<Instant>> = HashMap::new();
        for page in self.pages.values() {
            for copy in &page.copies {
                let Place {
                    plane,
                    block,
                    page: number,
                } = copy.place;
                places
                    .entry((plane.0, block.0, number))
                    .or_default()
                    .push(copy.durable);
                let death = |c: &Copy| {
                    let of = erases(c.place).into_iter().flatten();
                    of.map(|e| e.0).find(|start| *start >= c.durable)
                };
                let Some(erased) = death(copy) else {
                    continue;
                };
                ended += 1;
                let is_replaced = page.copies.iter().any(|c| {
                    c.version >= copy.version
                        && c.durable <= erased
                        && death(c).is_none_or(|d| d > erased)
                });
                let drops = |d: &(u64, Instant)| d.0 >= copy.version && d.1 <= erased;
                let is_dropped = page.dropped.iter().any(drops);
                assert!(
                    is_replaced || is_dropped,
                    "{copy:?} erased {erased}: {page:?}"
                );
            }
        }
        for ((plane, block, number), mut durable) in places {
            let place = Place {
                plane: nand::PlaneId(plane),
                block: nand::BlockId(block),
                page: number,
            };
            durable.sort();
            for pair in durable.windows(2) {
                let mut between = erases(place).into_iter().flatten();
                assert!(
                    between.any(|e| pair[0] <= e.0 && e.1 < pair[1]),
                    "{place:?} is programmed again without an erase: {pair:?}"
                );
            }
        }
        ended
    }
}
