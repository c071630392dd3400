// SPDX-License-Identifier: GPL-2.0-or-later
//! Results of finished points, each a file of its own, so that what was stopped goes on where it was.
//!
//! A result is kept under the hash of everything it depends on: the point, which names every property of its drive, and
//! the programs that ran it. A change to any of them asks for another name, and the old result is not found. Several
//! processes may work on one directory, also on several machines that share it.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::Serialize;
use serde_json::{json, Value};
use sha2::{Digest, Sha256};
use ssd::Config;

use crate::failure::Prerequisite;

/// The results below one directory.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    /// Identifies the programs.
    version: String,
}

/// A point's name in the store.
#[derive(Clone, Debug)]
pub struct Key(String);

impl Store {
    /// Results of what `programs` compute, kept in `dir`.
    ///
    /// # Errors
    /// A program cannot be read.
    pub fn open(dir: &Path, programs: &[PathBuf]) -> Result<Self> {
        let dir = dir.to_owned();
        let version = digest(programs)?;
        Ok(Self { dir, version })
    }

    /// What the result of a point is kept under.
    #[must_use]
    pub fn key(&self, point: &Value) -> Key {
        let whole = json!({"point": point, "version": self.version});
        let mut name = format!("{:x}", Sha256::digest(whole.to_string()));
        name.truncate(32);
        Key(name)
    }

    /// The result of a point that has run before.
    pub fn get<T: DeserializeOwned>(&self, key: &Key) -> Option<T> {
        let text = fs::read_to_string(self.path(key)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Keeps the result of a point; the directory is made if it is not there.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put<T: Serialize>(&self, key: &Key, result: &T) -> Result<()> {
        write(&self.path(key), serde_json::to_string(result)?.as_bytes())
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.dir.join(&key.0).with_extension("json")
    }
}

/// Writes a file as a whole: whoever looks sees all of it or what was there before, also if this process is killed. What
/// it leaves then ends in `.part`, and nobody reads it.
///
/// # Errors
/// It cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let named = || format!("writing {}", path.display());
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    let mut part = tempfile::Builder::new()
        .suffix(".part")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(dir)
        .with_context(named)?;
    part.write_all(bytes).with_context(named)?;
    part.persist(path).with_context(named)?;
    Ok(())
}

/// Makes the directory that results are to go to, and sees whether they can: before anything is run.
///
/// # Errors
/// A [`Prerequisite`] that names it, after the option that did.
pub fn directory(option: &str, dir: &Path) -> Result<()> {
    let made = fs::create_dir_all(dir).and_then(|()| tempfile::tempfile_in(dir));
    made.map_err(|error| Prerequisite(format!("{option} {}: {error}", dir.display())))?;
    Ok(())
}

/// The SHA-256 of files, one after another.
///
/// # Errors
/// One cannot be read.
pub fn digest(files: &[PathBuf]) -> Result<String> {
    let mut hash = Sha256::new();
    for file in files {
        File::open(file)
            .and_then(|mut file| io::copy(&mut file, &mut hash))
            .with_context(|| format!("reading {}", file.display()))?;
    }
    Ok(format!("{:x}", hash.finalize()))
}

/// Every property of a drive with its value, as a part of a point.
#[must_use]
pub fn properties(config: &Config) -> Value {
    let value = |p: &ssd::Property| json!([p.name(), config.get(p.name()).unwrap_or_default()]);
    ssd::PROPERTIES.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_found_again_until_something_changes() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        fs::write(&program, "1").unwrap();
        let open = || Store::open(&dir.path().join("x"), std::slice::from_ref(&program)).unwrap();
        let get = |point: Value| open().get::<Vec<u64>>(&open().key(&point));
        assert_eq!(get(json!({"zones": 8})), None);
        open()
            .put(&open().key(&json!({"zones": 8})), &[1, 2])
            .unwrap();
        assert_eq!(get(json!({"zones": 8})), Some(vec![1, 2]));
        assert_eq!(get(json!({"zones": 9})), None, "another point");
        fs::write(&program, "2").unwrap();
        assert_eq!(get(json!({"zones": 8})), None, "another program");
    }

    #[test]
    fn half_a_result_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &[]).unwrap();
        let key = store.key(&json!(1));
        store.put(&key, &[1, 2]).unwrap();
        fs::write(store.path(&key), "[1,").unwrap();
        assert_eq!(store.get::<Vec<u64>>(&key), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_the_users_to_change() {
        let dir = tempfile::tempdir().unwrap();
        directory("--out", &dir.path().join("a/b")).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("a/b")).unwrap().count(), 0);
        fs::write(dir.path().join("file"), "").unwrap();
        let error = directory("--out", &dir.path().join("file/b")).unwrap_err();
        assert!(error.is::<Prerequisite>());
        assert!(error.to_string().starts_with("--out /"), "{error}");
    }

    #[test]
    fn every_property_is_part_of_a_point() {
        let of = |zones: &str| {
            let mut config = Config::preset("tlc-zoned").unwrap();
            config.set("zones", zones).unwrap();
            properties(&config)
        };
        assert_eq!(of("8"), of("8"));
        assert_ne!(of("8"), of("9"));
    }
}
