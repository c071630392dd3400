// SPDX-License-Identifier: GPL-2.0-or-later
//! What a power cut leaves. (Random drives are cut in rust/check.)

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{at, fua, tiny, trim, write, PAGE};
use conv::Conv;
use ftl::{Command, Left, Lost, Namespace, PowerCut};
use units::{Instant, Sector};

struct Drive {
    conv: Conv,
    now: Instant,
}

impl Drive {
    fn new() -> Self {
        Self {
            conv: Conv::new(&tiny()).unwrap(),
            now: at(0),
        }
    }

    fn submit(&mut self, command: &Command) {
        let outcome = self.conv.submit(command, self.now);
        outcome.result.unwrap();
        self.now = outcome.done;
    }

    fn cut(&mut self) -> PowerCut {
        let cut = self.conv.power_cut(self.now);
        self.conv.check_invariants().unwrap();
        assert_eq!(cut.off, self.now);
        assert!(cut.ready >= self.now);
        self.now = cut.ready;
        cut
    }
}

fn lost(pages: &[(u64, Left)]) -> Vec<Lost> {
    let one = |&(lpn, left)| Lost {
        namespace: Namespace::Data,
        lpn,
        left,
    };
    pages.iter().map(one).collect()
}

#[test]
fn pages_fall_back_to_what_was_programmed_last() {
    let mut drive = Drive::new();
    for page in [7, 9, 11] {
        drive.submit(&fua(page * PAGE, PAGE));
    }
    drive.submit(&write(7 * PAGE, PAGE));
    drive.submit(&write(8 * PAGE, PAGE));
    // Given up for good, even if what was written since is lost.
    drive.submit(&trim(9 * PAGE, PAGE));
    drive.submit(&write(9 * PAGE, PAGE));
    let gone = [(7, Left::Older), (8, Left::Nothing), (9, Left::Nothing)];
    assert_eq!(drive.cut().lost, lost(&gone));
    let unmapped = |page: u64| drive.conv.has_unmapped(Sector::new(page * PAGE), PAGE);
    assert_eq!([7, 8, 9, 11].map(unmapped), [false, true, true, false]);
    drive.submit(&write(8 * PAGE, PAGE));
    drive.submit(&Command::Flush);
    assert_eq!(drive.cut().lost, []);
}

#[test]
fn a_program_that_is_cut_never_was() {
    let mut drive = Drive::new();
    drive.submit(&fua(0, 64 * PAGE));
    // Acknowledged when they are in the buffer; programs run.
    drive.submit(&write(0, 64 * PAGE));
    let cut = drive.cut();
    assert!(!cut.lost.is_empty() && cut.lost.iter().all(|lost| lost.left == Left::Older));
    assert!(!drive.conv.has_unmapped(Sector::new(0), 64 * PAGE));
    assert_eq!(drive.cut().lost, []);
}
