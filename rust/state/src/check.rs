// SPDX-License-Identifier: GPL-2.0-or-later
//! Checks whose failure is an error: of a stream when it is decoded, of the code in tests.

/// Returns an error unless a condition holds; a text may say what is wrong.
#[macro_export]
macro_rules! ensure {
    ($holds:expr $(,)?) => {
        if !$holds {
            return Err($crate::Error::new(concat!("not so: ", stringify!($holds))));
        }
    };
    ($holds:expr, $($text:tt)+) => {
        if !$holds {
            return Err($crate::Error::new(format!($($text)+)));
        }
    };
}

/// Returns an error unless two values are equal.
#[macro_export]
macro_rules! ensure_eq {
    ($a:expr, $b:expr $(,)?) => {
        match (&$a, &$b) {
            (a, b) => {
                if *a != *b {
                    return Err($crate::Error::new(format!(
                        concat!(stringify!($a), " is {:?}, not {:?}"),
                        a, b
                    )));
                }
            }
        }
    };
    ($a:expr, $b:expr, $($text:tt)+) => {
        match (&$a, &$b) {
            (a, b) => {
                if *a != *b {
                    return Err($crate::Error::new(format!(
                        "{}: {:?}, not {:?}", format_args!($($text)+), a, b
                    )));
                }
            }
        }
    };
}
