// SPDX-License-Identifier: GPL-2.0-or-later
//! Text for C.

use std::ffi::CString;

/// The text for C, which cannot hold a NUL.
pub(crate) fn c_text(text: &str) -> CString {
    let bytes: Vec<u8> = text.bytes().filter(|b| *b != 0).collect();
    CString::new(bytes).unwrap_or_default()
}
