// SPDX-License-Identifier: GPL-2.0-or-later
//! Fault rules of any text: refused, or rules that read back as themselves.

#![no_main]

use ssd::Faults;

fn run(text: &str) -> Option<()> {
    let mut faults = Faults::default();
    faults.set(text).ok()?;
    let shown = faults.to_string();
    let rules: Vec<&str> = shown
        .split("; ")
        .map(|rule| rule.split(" hits=").next().unwrap_or(""))
        .collect();
    let mut again = Faults::default();
    assert!(again.set(&rules.join(";")).is_ok(), "{shown}");
    assert_eq!(again.to_string(), shown);
    Some(())
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = std::str::from_utf8(data).ok().and_then(run);
});
