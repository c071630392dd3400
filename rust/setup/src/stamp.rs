// SPDX-License-Identifier: GPL-2.0-or-later
//! What a finished step was made from, so that it is not done again.
//!
//! A step has a key: a hash over the content of everything that goes into it. When it is finished the key is
//! written to a file named like the step; the step is current as long as its key is the one written. A step that
//! is interrupted has no stamp and starts afresh.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest, Sha256};

/// The hash over a step's inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// The key as text, to go into the key of a step that builds on this one.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Collects a step's inputs into its [`Key`].
#[derive(Clone, Debug, Default)]
pub struct Inputs(Sha256);

impl Inputs {
    /// Adds a word: a version, an option, the key of an earlier step.
    pub fn text(mut self, text: &str) -> Self {
        self.add(text.as_bytes());
        self
    }

    /// Adds a file, or a directory with everything below it, by name and content. Links are not followed.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn tree(mut self, path: &Path) -> anyhow::Result<Self> {
        self.add_tree(path, Path::new(""))?;
        Ok(self)
    }

    /// The key of what was added, in the order it was added.
    pub fn key(self) -> Key {
        Key(format!("{:x}", self.0.finalize()))
    }

    /// Each part is preceded by its length: parts cannot run into each other.
    fn add(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn add_tree(&mut self, path: &Path, name: &Path) -> anyhow::Result<()> {
        let kind = fs::symlink_metadata(path)
            .with_context(|| path.display().to_string())?
            .file_type();
        self.add(name.as_os_str().as_encoded_bytes());
        if kind.is_dir() {
            for entry in sorted_entries(path)? {
                let file_name = entry.file_name().unwrap_or_default().to_owned();
                self.add_tree(&entry, &name.join(file_name))?;
            }
        } else if kind.is_file() {
            let content = fs::read(path).with_context(|| path.display().to_string())?;
            self.add(&content);
        }
        Ok(())
    }
}

/// The paths in a directory, in an order that does not depend on the file system.
///
/// # Errors
/// When the directory cannot be read.
pub fn sorted_entries(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed = fs::read_dir(dir).and_then(|entries| {
        entries
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<Vec<_>>>()
    });
    let mut entries = listed.with_context(|| dir.display().to_string())?;
    entries.sort();
    Ok(entries)
}

/// The stamps of all steps, one file each.
#[derive(Clone, Debug)]
pub struct Stamps {
    dir: PathBuf,
}

impl Stamps {
    /// The stamps kept in `dir`, which need not exist.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Whether `step` was finished with this key.
    pub fn is_current(&self, step: &str, key: &Key) -> bool {
        self.text(step).as_deref() == Some(key.as_str())
    }

    /// Notes that `step` is finished.
    ///
    /// # Errors
    /// When the stamp cannot be written.
    pub fn set(&self, step: &str, key: &Key) -> anyhow::Result<()> {
        self.set_text(step, key.as_str())
    }

    /// What was kept under this name.
    pub fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.dir.join(name)).ok()
    }

    /// Keeps a text beside the stamps.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_text(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.dir.join(name);
        fs::create_dir_all(&self.dir)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| path.display().to_string())
    }

    /// Forgets that `step` was ever finished.
    ///
    /// # Errors
    /// When the stamp cannot be removed.
    pub fn clear(&self, step: &str) -> anyhow::Result<()> {
        let path = self.dir.join(step);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(e).with_context(|| path.display().to_string())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree_key(dir: &Path) -> Key {
        Inputs::default().tree(dir).unwrap().key()
    }

    #[test]
    fn keys_follow_names_and_content() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir(&a).unwrap();
        fs::write(a.join("x"), "1").unwrap();
        let first = tree_key(dir.path());
        assert_eq!(first, tree_key(dir.path()));
        fs::write(a.join("x"), "2").unwrap();
        assert_ne!(first, tree_key(dir.path()), "content");
        fs::write(a.join("x"), "1").unwrap();
        assert_eq!(first, tree_key(dir.path()), "not the time");
        fs::rename(&a, &b).unwrap();
        assert_ne!(first, tree_key(dir.path()), "name");
        assert!(Inputs::default().tree(&a).is_err());
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let key = |parts: &[&str]| parts.iter().fold(Inputs::default(), |i, p| i.text(p)).key();
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_ne!(key(&["a"]), key(&["a", ""]));
    }

    #[test]
    fn links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("root")).unwrap();
        tree_key(dir.path());
    }

    #[test]
    fn stamps_are_kept_and_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let stamps = Stamps::new(dir.path().join("stamps"));
        let (one, two) = (
            Inputs::default().text("1").key(),
            Inputs::default().text("2").key(),
        );
        assert!(!stamps.is_current("step", &one));
        stamps.clear("step").unwrap();
        stamps.set("step", &one).unwrap();
        assert!(stamps.is_current("step", &one) && !stamps.is_current("step", &two));
        assert!(!stamps.is_current("other", &one));
        stamps.clear("step").unwrap();
        assert!(!stamps.is_current("step", &one));
    }
}
