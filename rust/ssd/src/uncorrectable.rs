// SPDX-License-Identifier: GPL-2.0-or-later
//! Sectors of a namespace that Write Uncorrectable has marked (NVM, section 3.2.7): reads of them fail until they are
//! written, deallocated or reset.
//!
//! A real drive marks them where it writes them. Here they are pages in order, each with its sectors, of which there are at
//! most so many: writing never adds one, so the limit is Write Uncorrectable's alone. The model works it as a write.

use state::{ensure, state, Error};
use units::{Sector, PAGE_SECTORS};

/// Most pages of a namespace with marked sectors: 64 MiB of them take the host 128 KiB.
pub(crate) const MAX_PAGES: usize = 16 << 10;

/// Marked sectors.
#[derive(Clone, Debug)]
pub(crate) struct Uncorrectable {
    /// Number of the page, above a bit for each of its sectors that is marked; ascending.
    pages: Vec<u64>,
}

state!(Uncorrectable { pages } => check);

const fn page_of(entry: u64) -> u64 {
    entry >> PAGE_SECTORS
}

const fn sectors_of(entry: u64) -> u8 {
    entry as u8
}

/// The sectors of a page that lie in a range.
fn covered(page: u64, at: u64, end: u64) -> u8 {
    let start = page.saturating_mul(PAGE_SECTORS);
    let below = |sector: u64| sector.saturating_sub(start).min(PAGE_SECTORS);
    let ones = |n: u64| (1_u16 << n).wrapping_sub(1);
    (ones(below(end)) & !ones(below(at))) as u8
}

impl Uncorrectable {
    pub(crate) fn new() -> Self {
        Self {
            pages: Vec::with_capacity(MAX_PAGES),
        }
    }

    fn check(&mut self) -> Result<(), Error> {
        let is_ascending = self.pages.is_sorted_by(|a, b| page_of(*a) < page_of(*b));
        let is_marked = self.pages.iter().all(|entry| sectors_of(*entry) != 0);
        ensure!(
            is_ascending && is_marked && self.pages.len() <= MAX_PAGES,
            "{} pages of {MAX_PAGES} that cannot be read",
            self.pages.len()
        );
        Ok(())
    }

    /// Where the entries of these pages are.
    fn entries(&self, first: u64, end: u64) -> core::ops::Range<usize> {
        let before = |page: u64| self.pages.partition_point(|entry| page_of(*entry) < page);
        before(first)..before(end)
    }

    /// Pages that sectors touch.
    const fn pages(at: Sector, sectors: u64) -> core::ops::Range<u64> {
        let end = at.get().saturating_add(sectors);
        at.get() / PAGE_SECTORS..end.div_ceil(PAGE_SECTORS)
    }

    /// Whether there is room to mark sectors.
    pub(crate) fn has_room(&self, at: Sector, sectors: u64) -> bool {
        let pages = Self::pages(at, sectors);
        let known = self.entries(pages.start, pages.end).len() as u64;
        let more = (pages.end - pages.start).saturating_sub(known);
        self.pages.len() as u64 + more <= MAX_PAGES as u64
    }

    /// Marks sectors, for which there is room.
    pub(crate) fn mark(&mut self, at: Sector, sectors: u64) {
        if !self.has_room(at, sectors) || sectors == 0 {
            return;
        }
        let end = at.get() + sectors;
        let pages = Self::pages(at, sectors);
        let old = [pages.start, pages.end - 1].map(|page| (page, self.of(page)));
        let marked = pages.clone().map(|page| {
            // Those between are covered as a whole.
            let before = old.iter().find(|(of, _)| *of == page);
            let before = before.map_or(0, |(_, sectors)| *sectors);
            page << PAGE_SECTORS | u64::from(covered(page, at.get(), end) | before)
        });
        let entries = self.entries(pages.start, pages.end);
        // Room that a drive has from its creation, and a copy of it has not.
        self.pages.reserve_exact(MAX_PAGES - self.pages.len());
        self.pages.splice(entries, marked);
    }

    /// Sectors are what was written to them again, or nothing.
    pub(crate) fn clear(&mut self, at: Sector, sectors: u64) {
        if self.pages.is_empty() {
            return;
        }
        let end = at.get().saturating_add(sectors);
        let pages = Self::pages(at, sectors);
        let entries = self.entries(pages.start, pages.end);
        let mut empty = entries.clone();
        for index in entries {
            let Some(entry) = self.pages.get_mut(index) else {
                continue;
            };
            let gone = sectors_of(*entry) & covered(page_of(*entry), at.get(), end);
            *entry &= !u64::from(gone);
            if sectors_of(*entry) != 0 {
                // It is the first or the last one.
                match index == empty.start {
                    true => empty.start = index + 1,
                    false => empty.end = index,
                }
            }
        }
        self.pages.drain(empty);
    }

    /// The first marked sector of a range.
    pub(crate) fn first(&self, at: Sector, sectors: u64) -> Option<Sector> {
        if self.pages.is_empty() {
            return None;
        }
        let end = at.get().saturating_add(sectors);
        let pages = Self::pages(at, sectors);
        let mut entries = self.pages.get(self.entries(pages.start, pages.end))?.iter();
        entries.find_map(|&entry| {
            let page = page_of(entry);
            let here = sectors_of(entry) & covered(page, at.get(), end);
            let first = u64::from(here.trailing_zeros());
            (here != 0).then(|| Sector::new(page * PAGE_SECTORS + first))
        })
    }

    /// The sectors of a page that are marked, a bit each.
    pub(crate) fn of(&self, page: u64) -> u8 {
        let entries = self.pages.get(self.entries(page, page.saturating_add(1)));
        let entry = entries.and_then(<[u64]>::first);
        entry.map_or(0, |entry| sectors_of(*entry))
    }

    /// Makes just these sectors of a page marked ones, which were before a power cut.
    pub(crate) fn restore(&mut self, page: u64, sectors: u8) {
        self.clear(Sector::new(page * PAGE_SECTORS), PAGE_SECTORS);
        for sector in (0..PAGE_SECTORS).filter(|sector| sectors & 1 << sector != 0) {
            self.mark(Sector::new(page * PAGE_SECTORS + sector), 1);
        }
    }

    /// Keeps only pages that are `wanted`.
    pub(crate) fn retain(&mut self, wanted: impl Fn(Sector) -> bool) {
        self.pages
            .retain(|entry| wanted(Sector::new(page_of(*entry) * PAGE_SECTORS)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn it_is_a_set_of_sectors() {
        let mut random = ftl::Random::new(7);
        let mut below = |n: u64| random.draw() % n;
        let (mut marks, mut set) = (Uncorrectable::new(), BTreeSet::new());
        for _ in 0..5_000 {
            let (at, sectors) = (below(200), below(40));
            let range = at..at + sectors;
            match below(3) {
                0 => {
                    marks.mark(Sector::new(at), sectors);
                    set.extend(range.clone());
                }
                1 => {
                    marks.clear(Sector::new(at), sectors);
                    set.retain(|sector| !range.contains(sector));
                }
                _ => {}
            }
            let first = set.range(range).next().copied().map(Sector::new);
            assert_eq!(marks.first(Sector::new(at), sectors), first);
            assert!(marks.check().is_ok(), "{marks:?}");
            let page = at / 8;
            let bits = (0..8).filter(|i| set.contains(&(page * 8 + i)));
            assert_eq!(marks.of(page), bits.fold(0, |bits, i| bits | 1 << i));
        }
    }

    #[test]
    fn it_is_bounded_and_what_is_written_makes_room() {
        let mut marks = Uncorrectable::new();
        for page in 0..MAX_PAGES as u64 {
            assert!(marks.has_room(Sector::new(page * 16), 1));
            marks.mark(Sector::new(page * 16), 1);
        }
        // A page that has a mark already takes no more.
        assert!(marks.has_room(Sector::new(16), 8));
        assert!(!marks.has_room(Sector::new(16), 9));
        let capacity = marks.pages.capacity();
        marks.mark(Sector::new(8), 8);
        assert_eq!(marks.of(1), 0);
        marks.clear(Sector::new(0), 1);
        marks.mark(Sector::new(8), 8);
        assert_eq!(marks.of(1), 0xff);
        assert_eq!(marks.pages.capacity(), capacity, "it allocates once");
    }
}
