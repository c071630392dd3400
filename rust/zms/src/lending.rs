// SPDX-License-Identifier: GPL-2.0-or-later
//! What the zoned namespace knows of native superblocks that are lent to pSLC; `lend.rs` has the rules.

use units::Instant;

/// What has been lent, and what must not be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lending {
    /// Per cent of the native superblocks that can be lent; 0 to lend none.
    pub share: u32,
    /// Superblocks lent now.
    pub lent: u32,
    /// Zones with data that have no native superblock.
    pub promised: u32,
    /// Superblocks given back since an instant when all of those had been erased, and when they will have been.
    pub returned: u32,
    pub returned_by: Instant,
}

state::state!(Lending { lent, promised, returned, returned_by; share });

impl Lending {
    pub const fn new(share: u32) -> Self {
        Self {
            share,
            lent: 0,
            promised: 0,
            returned: 0,
            returned_by: Instant::ZERO,
        }
    }

    pub const fn is_on(&self) -> bool {
        self.share > 0
    }

    /// One is given back, whose erase ends at `end`.
    pub fn note_return(&mut self, end: Instant, now: Instant) {
        self.lent -= 1;
        if end > now {
            let before = if self.returned_by > now {
                self.returned
            } else {
                0
            };
            self.returned = before.saturating_add(1);
            self.returned_by = self.returned_by.max(end);
        }
    }
}
