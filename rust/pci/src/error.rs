// SPDX-License-Identifier: GPL-2.0-or-later
//! Errors that reach the user through QEMU's `Error **` convention.

use std::ffi::CStr;
use std::fmt;
use std::ptr;

use qemu::bindings::{self, error_free, error_get_pretty, error_setg_internal};

use crate::text::c_text;

/// A failure of realize or of a property setter: one line for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    /// An error with this message, without a final full stop or newline.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// The message put behind `context` and a colon.
    #[must_use]
    pub fn context(self, context: &str) -> Self {
        Self(format!("{context}: {}", self.0))
    }

    /// Hands the error to C.
    ///
    /// # Safety
    /// `errp` follows QEMU's convention: null, or a pointer to a null `Error *`, or
    /// `&error_fatal`/`&error_abort`.
    pub(crate) unsafe fn propagate(self, errp: *mut *mut bindings::Error) {
        let message = c_text(&self.0);
        let here = concat!(file!(), "\0");
        // SAFETY: all strings are NUL-terminated and live until the call returns; the format takes
        // exactly one string; errp is valid by this function's own contract.
        unsafe {
            error_setg_internal(
                errp,
                here.as_ptr().cast(),
                0,
                c"propagate".as_ptr(),
                c"%s".as_ptr(),
                message.as_ptr(),
            );
        }
    }

    /// Runs a C function that reports through `errp`.
    pub(crate) fn checked<R>(call: impl FnOnce(*mut *mut bindings::Error) -> R) -> Result<R, Self> {
        let mut error: *mut bindings::Error = ptr::null_mut();
        let result = call(&mut error);
        if error.is_null() {
            return Ok(result);
        }
        // SAFETY: error was set by C, is not null and is ours to free; its text lives until then.
        let text = unsafe {
            let text = CStr::from_ptr(error_get_pretty(error))
                .to_string_lossy()
                .into_owned();
            error_free(error);
            text
        };
        Err(Self(text))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
