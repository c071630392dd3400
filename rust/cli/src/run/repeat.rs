// SPDX-License-Identifier: GPL-2.0-or-later
//! `--check-repeat`: whether runs in virtual time left the same bytes, and where they first differ.

use super::execution::Execution;

/// Characters of a differing line that are shown.
const SHOWN: usize = 100;

/// What is compared, by the names of the report's files.
fn parts(execution: &Execution) -> [(&'static str, &str); 7] {
    [
        ("fio.json", &execution.fio),
        ("stats.json", &execution.stats),
        ("series.csv", &execution.series),
        ("zone-series.csv", &execution.zone_series),
        ("zone-reads.csv", &execution.zone_reads),
        ("console.log", &execution.console),
        ("fio's samples", &execution.samples),
    ]
}

/// In words, what was compared.
pub fn compared(execution: &Execution) -> String {
    let sizes = parts(execution).map(|(name, text)| format!("{name} ({} bytes)", text.len()));
    sizes.join(", ")
}

/// The first difference between two runs, in one line.
pub fn first_difference(one: &Execution, other: &Execution) -> Option<String> {
    let pairs = parts(one).into_iter().zip(parts(other));
    let mut differences = pairs.filter(|((_, a), (_, b))| a != b);
    let ((name, a), (_, b)) = differences.next()?;
    let same = a.lines().zip(b.lines()).take_while(|(a, b)| a == b).count();
    // Two texts with the same lines differ in how the last one ends.
    let line = |text: &str| match text.lines().nth(same) {
        Some(line) => format!("{:?}", line.trim().chars().take(SHOWN).collect::<String>()),
        None => "the end".to_owned(),
    };
    let (a, b) = (line(a), line(b));
    Some(format!("{name} line {}: {b}, was {a}", same + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execution(fio: &str, console: &str) -> Execution {
        Execution {
            fio: fio.into(),
            console: console.into(),
            ..Execution::default()
        }
    }

    #[test]
    fn the_same_bytes_are_no_difference() {
        let (one, other) = (execution("a\nb\n", "c"), execution("a\nb\n", "c"));
        assert_eq!(first_difference(&one, &other), None);
        assert!(compared(&one).starts_with("fio.json (4 bytes)"));
    }

    #[test]
    fn the_first_difference_is_named() {
        let one = execution("a\n b\n", "c\nd");
        let found = |other: &Execution| first_difference(&one, other).unwrap();
        assert_eq!(
            found(&execution("a\n x\n", "y")),
            "fio.json line 2: \"x\", was \"b\""
        );
        assert_eq!(
            found(&execution("a\n b\n", "c\nd\ne")),
            "console.log line 3: \"e\", was the end"
        );
        assert_eq!(
            found(&execution("a\n b", "c")),
            "fio.json line 3: the end, was the end"
        );
    }
}
