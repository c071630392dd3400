// SPDX-License-Identifier: GPL-2.0-or-later
//! What a power cut makes of the bytes.
//!
//! ```text
//!   zones           | below the new write pointer: stay          | behind it: read as zeroes
//!   pages otherwise | the newest version durable: stay | an older: come back from the undo area | none: zeroes
//! ```

use super::{joined, Drive};
use crate::undo::Left as Page;
use core::ops::Range;
use ftl::{Event, Left, Lost, PowerCut};
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
        undo.power_cut(events, off, |namespace, lpn, left| {
            let Some(start) = self.media_offset(namespace) else {
                return;
            };
            let to = start + lpn * PAGE_BYTES;
            let unreadable = match left {
                Page::Newest => return,
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
