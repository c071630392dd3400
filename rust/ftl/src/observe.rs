// SPDX-License-Identifier: GPL-2.0-or-later
//! What a drive does with its pages, for checks in tests.
//!
//! A checker that knows none of the drives asks at every instant: has each page that the host was
//! told is stored a copy that is programmed and not erased? It gets these events, in the order in
//! which the model did things; instants are model time. Erases and programs come from
//! [`nand::Media::take_observed`].
//!
//! Off, it costs a branch for each event and allocates nothing.

use crate::Namespace;
use nand::{BlockId, PlaneId};
use units::Instant;

/// A 4 KiB page in flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Plane.
    pub plane: PlaneId,
    /// Block.
    pub block: BlockId,
    /// Page of the block on that plane: flash page x pages of one, and the offset in it.
    pub page: u64,
}

/// What happened to a page. Pages are numbered by 4 KiB of their namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The host's data of a page is in volatile memory: a newer version than any before.
    Entered {
        /// Namespace.
        namespace: Namespace,
        /// Page.
        lpn: u64,
    },
    /// A copy of the page is put at `to`.
    Copied {
        /// Namespace.
        namespace: Namespace,
        /// Page.
        lpn: u64,
        /// Of what this place holds; `None`: of what was last [`Event::Entered`].
        from: Option<Place>,
        /// The copy.
        to: Place,
        /// When it is; `None`: it is in an incomplete wordline, and [`Event::Durable`] says when.
        durable: Option<Instant>,
    },
    /// The copy at this place is durable from `at` on.
    Durable {
        /// The copy.
        place: Place,
        /// From then on.
        at: Instant,
    },
    /// The copy at this place, of which it was said when it is durable, is so later: from `at` on.
    Delayed {
        /// The copy.
        place: Place,
        /// From then on.
        at: Instant,
    },
    /// What the host wrote to these pages need not be kept from now on.
    Dropped {
        /// Namespace.
        namespace: Namespace,
        /// The first page.
        first: u64,
        /// How many.
        pages: u64,
    },
    /// Memory that keeps its data without power has the newest version.
    Kept {
        /// Namespace.
        namespace: Namespace,
        /// Page.
        lpn: u64,
    },
    /// After a power cut the page is what this place holds; `None`: what memory has that keeps its data. Pages
    /// that this is not told of hold nothing.
    Survived {
        /// Namespace.
        namespace: Namespace,
        /// Page.
        lpn: u64,
        /// The copy.
        at: Option<Place>,
    },
}

/// Collects events while switched on.
#[derive(Clone, Debug, Default)]
pub struct Observer(Option<Vec<Event>>);

impl Observer {
    /// Switches it on, with nothing seen yet, or off.
    pub fn switch(&mut self, on: bool) {
        self.0 = on.then(Vec::new);
    }

    /// Whether it is on.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Something happened.
    pub fn note(&mut self, event: impl FnOnce() -> Event) {
        if let Some(events) = &mut self.0 {
            events.push(event());
        }
    }

    /// The same happened to each of some pages.
    pub fn each(&mut self, pages: core::ops::Range<u64>, mut event: impl FnMut(u64) -> Event) {
        if let Some(events) = &mut self.0 {
            events.extend(pages.map(&mut event));
        }
    }

    /// Tells what happened since this was asked last, and keeps the memory for more.
    pub fn drain(&mut self, each: &mut dyn FnMut(&Event)) {
        if let Some(events) = &mut self.0 {
            events.iter().for_each(each);
            events.clear();
        }
    }

    /// What happened since this was asked last.
    pub fn take(&mut self) -> Vec<Event> {
        self.0.as_mut().map_or(Vec::new(), core::mem::take)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_collects_while_it_is_on() {
        let event = Event::Entered {
            namespace: Namespace::Data,
            lpn: 7,
        };
        let mut observer = Observer::default();
        observer.note(|| unreachable!());
        observer.switch(true);
        observer.note(|| event);
        assert_eq!(observer.take(), [event]);
        observer.note(|| event);
        observer.switch(false);
        assert_eq!(observer.take(), []);
    }
}
