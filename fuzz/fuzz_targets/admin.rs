// SPDX-License-Identifier: GPL-2.0-or-later
//! See `testkit::fuzz::admin`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::fuzz::admin(data));
