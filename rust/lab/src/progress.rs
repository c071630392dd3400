// SPDX-License-Identifier: GPL-2.0-or-later
//! What a person sees while something takes long: bars on a terminal, nothing when piped.

use std::time::Duration;

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// Whether and how progress is shown; always on standard error.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    bars: bool,
    quiet: bool,
}

impl Progress {
    /// Bars if standard error is a terminal, unless `quiet`.
    pub fn new(quiet: bool) -> Self {
        Self {
            bars: !quiet && Term::stderr().is_term(),
            quiet,
        }
    }

    /// Whether bars are drawn.
    pub fn is_shown(self) -> bool {
        self.bars
    }

    /// A line that stays, such as a finished step.
    pub fn note(self, line: impl AsRef<str>) {
        if self.bars {
            eprintln!("{}", line.as_ref());
        }
    }

    /// A line that somebody who waits must see, terminal or not.
    pub fn tell(self, line: impl AsRef<str>) {
        if !self.quiet {
            eprintln!("{}", line.as_ref());
        }
    }

    /// A step of unknown length.
    pub fn spinner(self, message: impl Into<String>) -> ProgressBar {
        let bar = self.bar_of(ProgressBar::no_length(), "{spinner} {msg} {elapsed:.dim}");
        bar.set_message(message.into());
        if self.bars {
            bar.enable_steady_tick(TICK);
        }
        bar
    }

    /// A step of `length` parts.
    pub fn bar(self, message: impl Into<String>, length: u64) -> ProgressBar {
        let style = "{msg} [{bar:30}] {pos}/{len} {elapsed:.dim} eta {eta:.dim}";
        let bar = self.bar_of(ProgressBar::new(length), style);
        bar.set_message(message.into());
        bar
    }

    /// A file of so many bytes to read.
    pub fn file(self, message: impl Into<String>, bytes: u64) -> ProgressBar {
        let style = "{msg} [{bar:30}] {bytes}/{total_bytes} {elapsed:.dim} eta {eta:.dim}";
        let bar = self.bar_of(ProgressBar::new(bytes), style);
        bar.set_message(message.into());
        bar
    }

    fn bar_of(self, bar: ProgressBar, template: &str) -> ProgressBar {
        if !self.bars {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        // The templates are ours; indicatif's own style is no worse a fall-back than an error.
        let style = ProgressStyle::with_template(template);
        bar.with_style(
            style
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> "),
        )
    }
}
