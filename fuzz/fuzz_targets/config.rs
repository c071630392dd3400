// SPDX-License-Identifier: GPL-2.0-or-later
//! Properties of any names and values, one `name=value` a line: an error or a plan, never a panic.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut config = ssd::Config::new();
    for pair in text.lines() {
        // A setting that is refused changes nothing.
        let _ = config.set_pair(pair);
    }
    let _ = config.plan();
});
