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
use units::{Instant, Nanos, PAGE_BYTES, SECTOR_BYTES};

impl Drive {
    /// Power goes at `now`; `change` is told what becomes of media bytes.
    pub(crate) fn cut(&mut self, now: Instant, change: &mut dyn FnMut(MediaChange)) -> PowerLoss {
        // With `timing=off` the guest was told of what the model may still be at.
        let (cut, events) = self.cut_model(now.max(self.promised));
        let gone = cut.lost.iter().filter_map(|lost| self.gone(lost));
        for bytes in joined(gone.filter(|bytes| !bytes.is_empty())) {
            change(MediaChange::Gone(bytes));
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
