// SPDX-License-Identifier: GPL-2.0-or-later
//! What the guest does while the drive's history is written, and how it is checked after a power cut: bash functions `work` and
//! `check`.

use std::fs;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::failure::Prerequisite;
use crate::run::{Filesystem, FILESYSTEM_SCRIPT};

const READY: &str = include_str!("ready.sh");
const RECORD: &str = include_str!("record.sh");
const CHECK: &str = concat!(include_str!("fsck.sh"), include_str!("check.sh"));
const FSYNC: &str = include_str!("fsync.sh");
const SQLITE: &str = include_str!("sqlite.sh");

/// Ready ones: name, steps unless asked otherwise, script.
const READY_MADE: [(&str, u64, &[&str]); 3] = [
    ("fsync", 1500, &[FSYNC]),
    ("sqlite", 200, &["JOURNAL=delete\n", SQLITE]),
    ("sqlite-wal", 200, &["JOURNAL=wal\n", SQLITE]),
];

/// The note that the work has ended (ready.sh); 0 is that it begins.
pub const ENDED: u64 = u64::MAX;

/// A workload on a file system.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Workload {
    /// As the user named it.
    pub name: String,
    /// The functions.
    script: String,
    /// The file system.
    pub fs: String,
    /// Options of mount.
    pub options: String,
    /// From which what it does follows, and how much that is.
    pub seed: u64,
    pub steps: u64,
}

impl Workload {
    /// A ready one, or that of a file.
    ///
    /// # Errors
    /// There is neither.
    pub fn new(
        name: &str,
        (fs, options): (Filesystem, &str),
        (seed, steps): (u64, Option<u64>),
    ) -> Result<Self> {
        let ready = READY_MADE.iter().find(|(ready, ..)| *ready == name);
        let (usual, script) = match ready {
            Some((_, steps, script)) => (*steps, script.concat()),
            None => (1000, own(name)?),
        };
        if fs == Filesystem::Zonefs && name.starts_with("sqlite") {
            let why =
                format!("--workload {name} needs files that can be written over: not --fs zonefs");
            return Err(Prerequisite(why).into());
        }
        Ok(Self {
            name: name.into(),
            script,
            fs: fs.name().into(),
            options: options.into(),
            seed,
            steps: steps.unwrap_or(usual),
        })
    }

    /// The script that works.
    pub fn record(&self) -> String {
        self.with(0, RECORD)
    }

    /// The script that checks, where so much was promised.
    pub fn check(&self, promised: u64) -> String {
        self.with(promised, CHECK)
    }

    fn with(&self, promised: u64, last: &str) -> String {
        let options = shlex::try_quote(&self.options).unwrap_or_default();
        let settings = format!(
            "FS={} OPTIONS={options} SEED={} STEPS={} PROMISED={promised}\n",
            self.fs, self.seed, self.steps
        );
        [&settings, FILESYSTEM_SCRIPT, READY, &self.script, last].concat()
    }
}

/// A workload of the user's own.
fn own(path: &str) -> Result<String> {
    let names = READY_MADE.map(|(name, ..)| name).join(", ");
    let refused = |why: &dyn std::fmt::Display| {
        Prerequisite(format!("--workload {path}: {why}; ready ones are {names}"))
    };
    let script = fs::read_to_string(path).map_err(|error| refused(&error))?;
    for function in ["work", "check"] {
        let begins = |line: &str| {
            let rest = line.trim_start().strip_prefix(function);
            rest.is_some_and(|rest| rest.trim_start().starts_with("()"))
        };
        if !script.lines().any(begins) {
            return Err(refused(&format!("defines no bash function {function}()")).into());
        }
    }
    Ok(script + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(name: &str, fs: Filesystem) -> Result<Workload> {
        Workload::new(name, (fs, "a b"), (7, None))
    }

    #[test]
    fn ready_ones_are_whole_scripts() {
        for (name, steps, _) in READY_MADE {
            let workload = workload(name, Filesystem::F2fs).unwrap();
            assert_eq!(workload.steps, steps);
            let script = workload.check(5);
            assert!(
                script.starts_with("FS=f2fs OPTIONS='a b' SEED=7 "),
                "{script}"
            );
            assert!(script.contains("PROMISED=5\n") && script.contains("crash: promises kept"));
            assert!(workload.record().contains("witness note 0"));
            for script in [script, workload.record()] {
                let bash = std::process::Command::new("bash")
                    .args(["-n", "-c", &script])
                    .output();
                let said = bash.unwrap();
                assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
            }
        }
    }

    #[test]
    fn what_is_no_workload_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.sh");
        let name = path.to_str().unwrap();
        let said = |name: &str, fs| workload(name, fs).unwrap_err().to_string();
        assert!(said(name, Filesystem::Ext4).contains("ready ones are fsync, sqlite, sqlite-wal"));
        fs::write(&path, "work() { true; }\n").unwrap();
        assert!(said(name, Filesystem::Ext4).contains("defines no bash function check()"));
        fs::write(&path, "work() { true; }\ncheck ()\n{\n true\n}\n").unwrap();
        assert!(workload(name, Filesystem::Ext4)
            .unwrap()
            .record()
            .contains("work() { true; }"));
        assert!(said("sqlite", Filesystem::Zonefs).contains("not --fs zonefs"));
    }
}
