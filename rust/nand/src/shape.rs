// SPDX-License-Identifier: GPL-2.0-or-later
//! What an operation does to its plane, part by part.

use crate::book::Kind;
use state::{state, state_enum};

/// What occupies a plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum What {
    /// A sense, and the transfer of what was sensed.
    #[default]
    Read,
    /// A transfer into the page register.
    Load,
    /// A program, or a part of one between suspensions.
    Program,
    /// An erase, or a part of one.
    Erase,
    /// A program or erase comes to a halt.
    Suspend,
    /// It goes on again.
    Resume,
}

/// An operation's parts, in nanoseconds and bytes: sense, then transfer, then array work.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shape {
    pub sense: u64,
    pub bytes: u64,
    pub array: u64,
    pub kind: Kind,
    /// What it does before the array works.
    pub what: What,
}

state_enum!(What {
    Read = 0,
    Load = 1,
    Program = 2,
    Erase = 3,
    Suspend = 4,
    Resume = 5,
});
state!(Shape {
    sense,
    bytes,
    array,
    kind,
    what
});

impl Shape {
    /// Whether the array works after the transfer.
    pub const fn programs(&self) -> bool {
        self.array > 0
    }

    /// What the array does.
    pub const fn array_what(&self) -> What {
        match self.what {
            What::Erase => What::Erase,
            _ => What::Program,
        }
    }
}
