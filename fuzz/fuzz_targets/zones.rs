// SPDX-License-Identifier: GPL-2.0-or-later
//! See `testkit::fuzz::zones`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::fuzz::zones(data));
