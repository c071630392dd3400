// SPDX-License-Identifier: GPL-2.0-or-later
//! Power cuts: what they did, and what becomes of the bytes.
//!
//! ```text
//!   zones           | below the new write pointer: stay          | behind it: read as zeroes
//!   pages otherwise | the newest version durable: stay | an older: come back from the undo area | none: zeroes
//! ```

use crate::drive::Drive;
use crate::undo::Left as Page;
use core::ops::Range;
use ftl::{Event, Left, Lost, PowerCut};
use nvme::{MediaChange, PowerLoss};
use state::state;
use units::{Instant, Nanos, PAGE_BYTES, SECTOR_BYTES};

/// What power cuts did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PowerCuts {
    /// How many.
    pub cuts: u64,
    /// Pages (4 KiB) whose newest data was lost.
    pub lost: u64,
    /// Those of them of which nothing was left.
    pub gone: u64,
    /// Those that have older data whose bytes were not kept, for lack of room: they read as zeroes.
    pub missing: u64,
    /// Time from power's coming back until the drive was ready.
    pub recovery: Nanos,
}

state!(PowerCuts {
    cuts,
    lost,
    gone,
    missing,
    recovery
});

impl PowerCuts {
    /// Counts one after which the drive took `recovery` to be ready.
    pub fn note(&mut self, cut: &PowerCut, recovery: Nanos) {
        let gone = cut.lost.iter().filter(|lost| lost.left == Left::Nothing);
        self.cuts += 1;
        self.gone += gone.count() as u64;
        self.lost += cut.lost.len() as u64;
        self.recovery += recovery;
    }
}

impl Drive {
    /// Power goes at `now`; `change` is told what becomes of media bytes.
    pub(crate) fn cut(&mut self, now: Instant, change: &mut dyn FnMut(MediaChange)) -> PowerLoss {
        // With `timing=off` the guest was told of what the model may still be at.
        let (cut, events) = self.cut_model(now.max(self.promised));
        let mut gone = Gone {
            bytes: 0..0,
            change,
        };
        for lost in &cut.lost {
            if let Some(bytes) = self.gone(lost) {
                gone.add(bytes);
            }
        }
        gone.tell();
        self.restore(&events, cut.off, change);
        PowerLoss {
            off: if self.is_timed() { cut.off } else { now },
            recovery: self.recovery(&cut),
        }
    }

    /// Pages without zones have the bytes of the version that is left.
    fn restore(&mut self, events: &[Event], off: Instant, change: &mut dyn FnMut(MediaChange)) {
        let Some(mut undo) = self.undo.take() else {
            return;
        };
        undo.power_cut(events, off, |namespace, lpn, left| {
            let Some(start) = self.media_offset(namespace) else {
                return;
            };
            let to = start + lpn * PAGE_BYTES;
            match left {
                Page::Newest => {}
                Page::Slot(slot) => {
                    let from = self.undo_offset + u64::from(slot) * PAGE_BYTES;
                    change(MediaChange::Restored { from, to });
                }
                Page::Missing => {
                    self.cuts.missing += 1;
                    change(MediaChange::Gone(to..to + PAGE_BYTES));
                }
            }
        });
        self.undo = Some(undo);
    }

    /// How long the drive takes to be ready after a cut.
    pub(crate) fn recovery(&self, cut: &PowerCut) -> Nanos {
        match self.is_timed() {
            true => cut.ready.since(cut.off),
            false => Nanos::ZERO,
        }
    }

    /// Media bytes of a page that hold nothing any more.
    fn gone(&self, lost: &Lost) -> Option<Range<u64>> {
        let start = self.media_offset(lost.namespace)? + lost.lpn * PAGE_BYTES;
        let kept = match lost.left {
            Left::Nothing => 0,
            Left::Sectors(sectors) => u64::from(sectors) * SECTOR_BYTES,
            Left::Older => return None,
        };
        Some(start + kept..start + PAGE_BYTES)
    }
}

/// Bytes that are gone, told in as few pieces as they make.
struct Gone<'a> {
    bytes: Range<u64>,
    change: &'a mut dyn FnMut(MediaChange),
}

impl Gone<'_> {
    fn add(&mut self, bytes: Range<u64>) {
        if bytes.start != self.bytes.end {
            self.tell();
            self.bytes = bytes;
        } else {
            self.bytes.end = bytes.end;
        }
    }

    fn tell(&mut self) {
        if !self.bytes.is_empty() {
            (self.change)(MediaChange::Gone(self.bytes.clone()));
        }
    }
}
