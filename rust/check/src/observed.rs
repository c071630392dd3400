// SPDX-License-Identifier: GPL-2.0-or-later
//! What models tell while they are observed.

pub use ftl::{Event, Place};
pub use nand::{Occupied, What};
