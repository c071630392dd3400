// SPDX-License-Identifier: GPL-2.0-or-later
//! Traces: what a run is written down as, and commands read back from it.

use crate::checker::{Checker, Summary};
use crate::violation::{Law, Violation};
use ftl::{Command, Error, Namespace, Outcome, ZoneAction, ZoneTarget};
use std::fmt::Write as _;
use trace::{Line, Pacer, Reader};
use units::Instant;

/// A command that ran.
#[derive(Clone, Debug)]
pub struct Done {
    /// Of which namespace.
    pub namespace: Namespace,
    /// The command.
    pub command: Command,
    /// When it arrived.
    pub arrival: Instant,
    /// How it ended; `None` for one that broke a law or was never answered.
    pub outcome: Option<(Instant, Option<Error>)>,
    /// When power went before it.
    pub cut: Option<Instant>,
}

impl Done {
    /// Arrived, and not answered yet.
    #[must_use]
    pub const fn arrived(namespace: Namespace, command: Command, arrival: Instant) -> Self {
        Self {
            namespace,
            command,
            arrival,
            outcome: None,
            cut: None,
        }
    }

    /// Keeps how it ended.
    pub fn answer(&mut self, outcome: &Outcome) {
        self.outcome = Some((outcome.done, outcome.result.err()));
    }
}

/// The trace of these commands, in the format that `sim` reads. What the format has no line for is a
/// comment.
#[must_use]
pub fn trace_of(all: &[Done]) -> String {
    let mut text = String::new();
    for done in all {
        if let Some(cut) = done.cut {
            let _ = writeln!(text, "power-cut {}", cut.as_nanos());
        }
        let _ = match line_of(&done.command) {
            Some((op, at, sectors, fua)) => writeln!(
                text,
                "{} {} {op} {at} {sectors} {}",
                done.arrival.as_nanos(),
                done.namespace as u8,
                u8::from(fua)
            ),
            None => writeln!(text, "# {} {:?}", done.arrival.as_nanos(), done.command),
        };
    }
    text
}

fn line_of(command: &Command) -> Option<(&'static str, u64, u64, bool)> {
    Some(match *command {
        Command::Read { at, sectors, .. } => ("R", at.get(), sectors, false),
        Command::Write {
            at, sectors, fua, ..
        } => ("W", at.get(), sectors, fua),
        Command::Append { zone, sectors, fua } => ("A", zone.get(), sectors, fua),
        Command::Flush => ("F", 0, 0, false),
        Command::Deallocate { at, sectors } => ("TRIM", at.get(), sectors, false),
        Command::WriteZeroes { at, sectors, fua } => ("WZ", at.get(), sectors, fua),
        Command::Zone {
            action,
            target: ZoneTarget::One(at),
        } => {
            let op = match action {
                ZoneAction::Reset => "RST",
                ZoneAction::Finish => "FIN",
                ZoneAction::Open => "OPN",
                ZoneAction::Close => "CLS",
                _ => return None,
            };
            (op, at.get(), 0, false)
        }
        Command::Zone { .. } | Command::CommitZrwa { .. } => return None,
    })
}

/// Runs a trace; gives its commands with their answers, and how it ended.
///
/// # Errors
/// A law is broken, or the text is no trace (as a broken law of telling).
pub fn replay(
    checker: &mut Checker,
    text: &str,
    mut each: impl FnMut(&Done),
) -> Result<Summary, Violation> {
    let mut pacer = Pacer::new();
    let mut reader = Reader::new(text.as_bytes(), "trace");
    let bad = |error: trace::TraceError| Violation::new(Law::Telling, error.to_string());
    while let Some(line) = reader.next_line().map_err(bad)? {
        match line {
            Line::Depth(depth) => pacer.set_depth(depth),
            Line::Idle(pause) => pacer.idle(pause),
            Line::PowerCut(at) => {
                let ready = checker.power_cut(pacer.power_cut(at))?;
                pacer.restarted(ready);
            }
            Line::Command(command) => {
                let arrival = pacer.arrival(command.arrival);
                let (namespace, command) = sim::to_model(&command);
                let mut done = Done::arrived(namespace, command, arrival);
                let outcome = checker.submit(namespace, &done.command, arrival)?;
                pacer.completed(outcome.done);
                done.answer(&outcome);
                each(&done);
            }
        }
    }
    checker.finish()
}
