// SPDX-License-Identifier: GPL-2.0-or-later
//! Traces and answer files of any contents: an error or lines, never a panic.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut reader = trace::Reader::new(data, "trace");
    while let Ok(Some(_)) = reader.next_line() {}
    let mut reader = trace::AnswerReader::new(data, "answers");
    while let Ok(Some(_)) = reader.next_answer() {}
});
