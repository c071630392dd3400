// SPDX-License-Identifier: GPL-2.0-or-later
//! What a power cut makes of the bytes.
//!
//! ```text
//!   zones           | below the new write pointer: stay          | behind it: read as zeroes
//!   pages otherwise | the newest version durable: stay | an older: come back from the undo area | none: zeroes
//!                     with torn-program=unreadable: the newest was being programmed: cannot be read
//! ```

use super::{joined, Drive};
use crate::undo::Left as Page;
use core::ops::Range;
use ftl::{Event, Left, Lost, Namespace, PowerCut};
use nand::BlockId;
use nvme::{MediaChange, PowerLoss};
use units::{Instant, Nanos, Sector, PAGE_BYTES, PAGE_SECTORS, SECTOR_BYTES};

impl Drive {
    /// Power goes at `now`; `change` is told what becomes of media bytes.
    pub(crate) fn cut(&mut self, now: Instant, change: &mut dyn FnMut(MediaChange)) -> PowerLoss {
        // With `timing=off` the guest was told of what the model may still be at.
        let (cut, events) = self.cut_model(now.max(self.promised));
        let gone = cut.lost.iter().filter_map(|lost| self.gone(lost));
        for bytes in joined(gone.filter(|bytes| !bytes.is_empty())) {
            change(MediaChange::Gone(bytes));
        }
        for lost in &cut.lost {
            let Some(kept) = kept(lost) else { continue };
            if let Some(marks) = self.uncorrectable(lost.namespace) {
                let at = Sector::new(lost.lpn * PAGE_SECTORS + kept);
                marks.clear(at, PAGE_SECTORS - kept);
            }
        }
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
        undo.power_cut(events, off, |namespace, lpn, left, program| {
            let Some(start) = self.media_offset(namespace) else {
                return;
            };
            let to = start + lpn * PAGE_BYTES;
            let is_torn = program.is_some_and(|(block, left)| self.tears(block, left));
            if is_torn && self.mark_torn(namespace, lpn) {
                change(MediaChange::Gone(to..to + PAGE_BYTES));
                return;
            }
            let unreadable = match left {
                Page::Nothing | Page::Newest => return,
                Page::Slot { slot, unreadable } => {
                    let from = self.undo_offset + u64::from(slot) * PAGE_BYTES;
                    change(MediaChange::Restored { from, to });
                    unreadable
                }
                Page::Missing => {
                    self.cuts.missing += 1;
                    change(MediaChange::Gone(to..to + PAGE_BYTES));
                    0
                }
            };
            if let Some(marks) = self.uncorrectable(namespace) {
                marks.restore(lpn, unreadable);
            }
        });
        self.undo = Some(undo);
    }

    /// Whether pages of a program of this block, that takes so long still, cannot be read any more. It has begun when no more is
    /// left than it takes; one that reads have suspended may have begun before that.
    fn tears(&self, block: BlockId, left: Nanos) -> bool {
        self.tears && left <= self.model.program_time(block)
    }

    /// From now on a page cannot be read, if there is room to remember that.
    fn mark_torn(&mut self, of: Namespace, lpn: u64) -> bool {
        let at = Sector::new(lpn * PAGE_SECTORS);
        let Some(marks) = self.uncorrectable(of) else {
            return false;
        };
        let has_room = marks.has_room(at, PAGE_SECTORS);
        marks.mark(at, PAGE_SECTORS);
        self.cuts.torn += u64::from(has_room);
        has_room
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
        let kept = kept(lost)? * SECTOR_BYTES;
        Some(start + kept..start + PAGE_BYTES)
    }
}

/// Sectors of a page that are left; none if it has older bytes.
fn kept(lost: &Lost) -> Option<u64> {
    match lost.left {
        Left::Nothing => Some(0),
        Left::Sectors(sectors) => Some(sectors.into()),
        Left::Older => None,
    }
}
