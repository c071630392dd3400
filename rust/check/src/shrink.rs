// SPDX-License-Identifier: GPL-2.0-or-later
//! From a list of commands that breaks a law to a short one that breaks the same law.

use crate::draw::Raw;
use crate::observed::{Event, Occupied};
use crate::replay::trace_of;
use crate::run::{Case, Ran};
use crate::violation::{Law, Violation};
use ftl::Outcome;
use std::fmt::Write as _;

/// Elements that all attempts together may have: some seconds of commands.
const MOST_TRIED: usize = 1_000_000;

/// Leaves out commands, by halves and ever smaller parts, as long as `breaks` still says so.
pub fn smallest<T: Clone>(all: &[T], mut breaks: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut kept = all.to_vec();
    let mut part = kept.len().div_ceil(2).max(1);
    let mut tried = 0;
    loop {
        let mut at = 0;
        let before = kept.len();
        while at < kept.len() && tried < MOST_TRIED {
            let end = (at + part).min(kept.len());
            let without = [&kept[..at], &kept[end..]].concat();
            tried += without.len() + 1;
            if breaks(&without) {
                kept = without;
            } else {
                at = end;
            }
        }
        if tried >= MOST_TRIED || (part == 1 && kept.len() == before) {
            return kept;
        }
        if part > 1 {
            part = part.div_ceil(2).min(kept.len().max(1));
        }
    }
}

/// The shortest case found that breaks the same law as this one, and its run.
#[must_use]
pub fn shrink(case: &Case, law: Law, ran: usize) -> (Case, Ran) {
    let breaks = |raws: &[Raw]| {
        let result = case.with(raws.to_vec()).run().result;
        result.is_err_and(|violation| violation.law == law)
    };
    // What came after the violation is not needed.
    let prefix = &case.raws[..ran.min(case.raws.len())];
    let start = if breaks(prefix) { prefix } else { &case.raws };
    let small = case.with(smallest(start, breaks));
    let ran = small.run();
    (small, ran)
}

/// All there is to say of a case that broke a law. With `tell`, what its drive told is printed first.
#[must_use]
pub fn report(case: &Case, violation: &Violation, ran: usize, tell: bool) -> String {
    let (small, again) = shrink(case, violation.law, ran);
    if tell {
        let _ = small.run_tampered(Some(print));
    }
    let mut text = String::new();
    let _ = writeln!(text, "seed {}: {violation}", case.seed);
    let _ = writeln!(
        text,
        "# {} of {} commands break the same law; this is a trace for: conzone sim {}",
        small.raws.len(),
        case.raws.len(),
        case.settings
    );
    if let Err(violation) = &again.result {
        let _ = writeln!(text, "# {violation}");
    }
    text.push_str(&trace_of(&again.trace));
    text
}

fn print(outcome: &mut Outcome, events: &mut Vec<Event>, occupied: &mut Vec<Occupied>) {
    println!("{outcome:?}");
    for event in events {
        println!("    {event:?}");
    }
    for segment in occupied {
        println!("        {segment:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_kept_and_nothing_else() {
        let all: Vec<u32> = (0..1000).collect();
        let breaks = |some: &[u32]| some.contains(&17) && some.contains(&901);
        assert_eq!(smallest(&all, breaks), [17, 901]);
        assert_eq!(smallest(&all, |some| some.len() > 3).len(), 4);
        assert_eq!(smallest(&all, |_| true), Vec::<u32>::new());
        assert_eq!(smallest(&[1], |some| !some.is_empty()), [1]);
    }
}
