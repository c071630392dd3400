// SPDX-License-Identifier: GPL-2.0-or-later
//! What power cuts did, in figures.

use ftl::{Left, PowerCut};
use state::state;
use units::Nanos;

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
    /// Pages that cannot be read since, because power went while they were programmed (`torn-program=unreadable`).
    pub torn: u64,
    /// Time from power's coming back until the drive was ready.
    pub recovery: Nanos,
}

state!(PowerCuts {
    cuts,
    lost,
    gone,
    missing,
    torn,
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
