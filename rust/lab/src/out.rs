// SPDX-License-Identifier: GPL-2.0-or-later
//! Results on standard output. A reader that went away (`| head`) is no failure of the command: it goes on, unheard,
//! and ends with the status it would have had.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};

/// Prints a line of results, as `println!` would. Gives a `Result`.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::out::line(format_args!($($text)*)) };
}
pub use say;

/// Prints a line.
///
/// # Errors
/// Standard output cannot be written, for another reason than that nobody reads it.
pub fn line(text: impl Display) -> Result<()> {
    text_to(&mut io::stdout().lock(), format_args!("{text}\n"))
}

/// Prints a text as it is.
///
/// # Errors
/// As for [`line()`].
pub fn text(text: impl Display) -> Result<()> {
    text_to(&mut io::stdout().lock(), text)
}

fn text_to(out: &mut impl Write, text: impl Display) -> Result<()> {
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("writing to standard output")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_a_reader_that_went_away_is_forgiven() {
        text_to(&mut Failing(ErrorKind::BrokenPipe), "x").unwrap();
        let full = text_to(&mut Failing(ErrorKind::StorageFull), "x").unwrap_err();
        assert!(full.to_string().contains("standard output"));
    }
}
