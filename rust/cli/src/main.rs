// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone`.
fn main() {}
