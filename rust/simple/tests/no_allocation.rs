// SPDX-License-Identifier: GPL-2.0-or-later
//! No command allocates.

#![allow(clippy::unwrap_used, reason = "a test")]

use ftl::Command;
use simple::{Config, Simple, Times};
use units::{Bytes, Instant, Sector};

#[test]
fn no_command_allocates() {
    let mut drive = Simple::new(&Config {
        size: Bytes::mib(64),
        io_units: 8,
        io_unit: Bytes::kib(4),
        read: Times::default(),
        write: Times::default(),
    })
    .unwrap();
    let info = allocation_counter::measure(|| {
        for n in 0..1_000 {
            let command = Command::write(Sector::new(n), n * 100, true);
            assert!(drive.submit(&command, Instant::ZERO).result.is_ok());
        }
    });
    assert_eq!(info.count_total, 0, "{info:?}");
}
