// SPDX-License-Identifier: GPL-2.0-or-later
//! A guest looks at what a power cut has left.

use std::time::Duration;

use anyhow::Result;
use report::crash::Outcome;

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// In a word.
    pub outcome: Outcome,
    /// Why, where there is a reason.
    pub why: String,
    /// All that the guest said.
    pub said: String,
}

/// Boots the machine with the script that checks.
///
/// # Errors
/// QEMU cannot be started. A guest that dies or does not end is an outcome.
pub fn check(machine: &guest::Machine, script: String, limit: Duration) -> Result<Verdict> {
    let mut running = machine.start(&guest::Job::new(script).merge_output())?;
    let mut said = String::new();
    let waited = running.wait(limit, |_, bytes| {
        said.push_str(&String::from_utf8_lossy(bytes))
    });
    match waited {
        Ok(_) => {
            running.quit()?;
            let (outcome, why) = judge(&said);
            Ok(Verdict { outcome, why, said })
        }
        Err(error) => Ok(Verdict {
            outcome: Outcome::Died,
            why: error.to_string().lines().next().unwrap_or_default().into(),
            said: format!("{said}\n{error:#}\n"),
        }),
    }
}

/// What check.sh says, as an outcome: the worst that happened.
fn judge(said: &str) -> (Outcome, String) {
    let answer = |question: &str| {
        let lines = said.lines().filter_map(|line| line.strip_prefix("crash: "));
        let mut of = lines.filter_map(|line| line.strip_prefix(question)?.strip_prefix(' '));
        let line = of.next().unwrap_or_default();
        line.split_once(' ').unwrap_or((line, ""))
    };
    let (mount, checker) = (answer("mount"), answer("checker"));
    let promises = answer("promises");
    let last = || said.lines().last().unwrap_or("it said nothing").to_owned();
    match (mount.0, promises.0, checker.0) {
        ("failed", ..) => (Outcome::Unmountable, mount.1.to_owned()),
        (_, "broken", _) => (Outcome::Lost, promises.1.to_owned()),
        ("ok" | "repaired", "kept", "damaged") => (
            Outcome::Damaged,
            "the file system's checker finds errors that it cannot mend".into(),
        ),
        ("repaired", "kept", _) => (
            Outcome::Repaired,
            "it could be mounted after a repair".into(),
        ),
        ("ok", "kept", "repaired") => (
            Outcome::Repaired,
            "the file system's checker found errors after it was mounted, and mended them".into(),
        ),
        ("ok", "kept", "clean") => (Outcome::Clean, String::new()),
        _ => (Outcome::Died, last()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_counts() {
        for (lines, outcome, why) in [
            (
                vec!["mount ok", "promises kept", "checker clean"],
                Outcome::Clean,
                "",
            ),
            (
                vec!["mount ok", "promises broken 3: block 4", "checker clean"],
                Outcome::Lost,
                "3: block 4",
            ),
            (
                vec!["mount repaired", "promises broken x", "checker damaged"],
                Outcome::Lost,
                "x",
            ),
            (
                vec!["mount failed no magic"],
                Outcome::Unmountable,
                "no magic",
            ),
            (
                vec!["mount ok", "promises kept"],
                Outcome::Died,
                "crash: promises kept",
            ),
            (vec![], Outcome::Died, "bye"),
        ] {
            let said: String = lines
                .iter()
                .map(|line| format!("x\ncrash: {line}\n"))
                .collect();
            let said = if said.is_empty() {
                "bye\n".to_owned()
            } else {
                said
            };
            assert_eq!(judge(&said), (outcome, why.to_owned()), "{said}");
        }
        for (mount, checker, outcome) in [
            ("ok", "repaired", Outcome::Repaired),
            ("repaired", "clean", Outcome::Repaired),
            ("ok", "damaged", Outcome::Damaged),
        ] {
            let said =
                format!("crash: mount {mount}\ncrash: promises kept\ncrash: checker {checker}\n");
            assert_eq!(judge(&said).0, outcome);
            assert!(!judge(&said).1.is_empty());
        }
    }
}
