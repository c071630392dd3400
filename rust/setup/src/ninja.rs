// SPDX-License-Identifier: GPL-2.0-or-later
//! What ninja prints.

/// How a line that reports a failed command begins.
pub const FAILED: &str = "FAILED: ";

/// `NINJA_STATUS` that [`progress`] reads: finished and total commands.
pub const STATUS: &str = "[%f/%t] ";

/// Where a build is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Commands that are finished.
    pub done: u64,
    /// Commands in all; it grows when a build file is made anew.
    pub total: u64,
    /// What has just been done.
    pub action: &'a str,
}

/// Reads `[done/total] action`; other lines are the commands' own output.
pub fn progress(line: &str) -> Option<Progress<'_>> {
    let (counts, action) = line.strip_prefix('[')?.split_once("] ")?;
    let (done, total) = counts.split_once('/')?;
    Some(Progress {
        done: done.trim().parse().ok()?,
        total: total.trim().parse().ok()?,
        action,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_action() {
        let read = progress("[12/1609] Compiling C object a.o").unwrap();
        assert_eq!(
            read,
            Progress {
                done: 12,
                total: 1609,
                action: "Compiling C object a.o"
            }
        );
    }

    #[test]
    fn other_lines_are_no_progress() {
        for line in [
            "",
            "[",
            "[a/b] c",
            "[1] x",
            "[1/2]x",
            "ninja: no work to do.",
            "note: [1/2] x",
            "[99999999999999999999/2] x",
        ] {
            assert_eq!(progress(line), None, "{line}");
        }
    }
}
