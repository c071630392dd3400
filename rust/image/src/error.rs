// SPDX-License-Identifier: GPL-2.0-or-later
//! What is wrong with an image.

use core::fmt::{self, Display, Formatter};
use std::io;

/// One line that says what is wrong, without the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    /// An error of that text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn read(error: io::Error) -> Self {
        Self(format!("it cannot be read: {error}"))
    }

    pub(crate) fn write(error: io::Error) -> Self {
        Self(format!("it cannot be written: {error}"))
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<state::Error> for Error {
    fn from(error: state::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<ssd::ConfigError> for Error {
    fn from(error: ssd::ConfigError) -> Self {
        Self(error.to_string())
    }
}
