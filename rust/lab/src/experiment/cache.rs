// SPDX-License-Identifier: GPL-2.0-or-later
//! Results of finished cases, so that a long experiment goes on where it was stopped.
//!
//! A result is kept under the hash of everything it depends on: the case, every property of its drive, the engine and
//! the programs that ran it. A change to any of them asks for another name, and the old result is not found.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::case::{Case, Row};

/// The results below one directory.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    /// Identifies engine and programs.
    version: String,
}

impl Cache {
    /// Results of what `programs` compute, kept in `dir`; `fresh` forgets those there are.
    ///
    /// # Errors
    /// A program or the directory cannot be read or made.
    pub fn open(dir: &Path, programs: &[PathBuf], fresh: bool) -> Result<Self> {
        if fresh && dir.exists() {
            fs::remove_dir_all(dir).with_context(|| format!("--fresh: {}", dir.display()))?;
        }
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        let mut hash = Sha256::new();
        for program in programs {
            File::open(program)
                .and_then(|mut file| io::copy(&mut file, &mut hash))
                .with_context(|| format!("reading {}", program.display()))?;
        }
        Ok(Self {
            dir: dir.into(),
            version: format!("{:x}", hash.finalize()),
        })
    }

    /// The rows of a case that has run before.
    pub fn get(&self, case: &Case) -> Option<Vec<Row>> {
        let text = fs::read_to_string(self.path(case)?).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Keeps the rows of a case.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn put(&self, case: &Case, rows: &[Row]) -> Result<()> {
        let Some(path) = self.path(case) else {
            return Ok(());
        };
        // A run that is stopped here leaves no half result behind.
        let part = path.with_extension("part");
        fs::write(&part, serde_json::to_string(rows)?)
            .and_then(|()| fs::rename(&part, &path))
            .with_context(|| format!("writing {}", path.display()))
    }

    fn path(&self, case: &Case) -> Option<PathBuf> {
        let config = case.drive.config().ok()?;
        let value = |p: &ssd::Property| (p.name(), config.get(p.name()).unwrap_or_default());
        let properties: Vec<_> = ssd::PROPERTIES.iter().map(value).collect();
        let key = json!({"case": case, "properties": properties, "version": self.version});
        let name = format!("{:x}", Sha256::digest(key.to_string()));
        Some(self.dir.join(name.get(..32)?).with_extension("json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::Drive;
    use crate::experiment::case::{tests::row, Phase};

    fn case(set: &str) -> Case {
        Case::raw(
            "s",
            Drive::new("tlc-zoned", &[set]),
            vec![Phase::fill(1 << 20)],
        )
    }

    #[test]
    fn results_are_found_again_until_something_changes() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        fs::write(&program, "1").unwrap();
        let open = |fresh| {
            Cache::open(
                &dir.path().join("cache"),
                std::slice::from_ref(&program),
                fresh,
            )
            .unwrap()
        };
        let rows = vec![row("s", 0.1, 1, 2)];
        assert_eq!(open(false).get(&case("zones=8")), None);
        open(false).put(&case("zones=8"), &rows).unwrap();
        assert_eq!(open(false).get(&case("zones=8")).as_ref(), Some(&rows));
        assert_eq!(open(false).get(&case("zones=9")), None, "another drive");
        fs::write(&program, "2").unwrap();
        assert_eq!(open(false).get(&case("zones=8")), None, "another program");
        fs::write(&program, "1").unwrap();
        assert_eq!(open(true).get(&case("zones=8")), None, "fresh");
    }
}
