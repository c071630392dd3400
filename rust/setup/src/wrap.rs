// SPDX-License-Identifier: GPL-2.0-or-later
//! Meson's `.wrap` files, as QEMU writes them for its crates: `key = value` lines below `[wrap-file]`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// What this program needs of a crate's wrap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrap {
    path: PathBuf,
    /// The subproject's name: that of the file.
    pub name: String,
    /// The directory in the crate's archive, `name-version`.
    pub directory: String,
    /// What meson calls the archive in its package cache.
    pub source_filename: String,
    /// Where in `packagefiles` the crate's `meson.build` is.
    pub patch_directory: String,
}

impl Wrap {
    /// Reads a wrap file.
    ///
    /// # Errors
    /// When it cannot be read or lacks a key.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(path, &text).with_context(|| path.display().to_string())
    }

    fn parse(path: &Path, text: &str) -> anyhow::Result<Self> {
        let value = |key: &str| {
            let found = text.lines().find_map(|line| value_of(line, key));
            found
                .map(str::to_owned)
                .with_context(|| format!("no `{key}`"))
        };
        Ok(Self {
            name: path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            directory: value("directory")?,
            source_filename: value("source_filename")?,
            patch_directory: value("patch_directory")?,
            path: path.into(),
        })
    }

    /// Takes out `diff_files`: patches for old compilers, which a tree without package files does not have.
    ///
    /// # Errors
    /// When the file cannot be rewritten.
    pub fn drop_missing_diffs(&self) -> anyhow::Result<()> {
        let rewrite = || {
            let text = fs::read_to_string(&self.path)?;
            fs::write(&self.path, without_diffs(&text))
        };
        rewrite().with_context(|| self.path.display().to_string())
    }
}

fn value_of<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (found, value) = line.split_once('=')?;
    (found.trim() == key).then(|| value.trim())
}

fn without_diffs(text: &str) -> String {
    let lines = text
        .lines()
        .filter(|line| value_of(line, "diff_files").is_none());
    lines.map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[wrap-file]\ndirectory = bilge-impl-0.2.0\nsource_url = https://registry.example/a?x=1\n\
        source_filename = bilge-impl-0.2.0.tar.gz\n#method = cargo\npatch_directory = bilge-impl-0.2-rs\n\
        diff_files = bilge-impl-1.63.0.patch\n";

    #[test]
    fn the_values_are_read() {
        let wrap = Wrap::parse(Path::new("s/bilge-impl-0.2-rs.wrap"), TEXT).unwrap();
        assert_eq!(wrap.name, "bilge-impl-0.2-rs");
        assert_eq!(wrap.directory, "bilge-impl-0.2.0");
        assert_eq!(wrap.source_filename, "bilge-impl-0.2.0.tar.gz");
        assert_eq!(wrap.patch_directory, "bilge-impl-0.2-rs");
        assert!(Wrap::parse(Path::new("x.wrap"), "[wrap-git]\nurl = x\n").is_err());
    }

    #[test]
    fn diffs_are_dropped_and_nothing_else() {
        assert_eq!(
            without_diffs(TEXT).lines().count(),
            TEXT.lines().count() - 1
        );
        assert!(!without_diffs(TEXT).contains("diff_files"));
        assert_eq!(without_diffs(&without_diffs(TEXT)), without_diffs(TEXT));
    }
}
