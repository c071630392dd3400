// SPDX-License-Identifier: GPL-2.0-or-later
//! Why a stream was refused.

use core::fmt;

/// Why a state cannot be: one line, with the innermost struct and field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    place: Option<&'static str>,
    what: String,
}

impl Error {
    /// An error that says what is wrong.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            place: None,
            what: what.into(),
        }
    }

    /// The error with its place, unless it has a more precise one.
    #[must_use]
    pub fn within(mut self, place: &'static str) -> Self {
        self.place.get_or_insert(place);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(place) => write!(f, "{place}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl std::error::Error for Error {}
