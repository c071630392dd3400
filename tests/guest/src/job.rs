// SPDX-License-Identifier: GPL-2.0-or-later
//! What the guest is to do: a script, the files it needs and the files it leaves.

use crate::cpio::Archive;
use anyhow::{ensure, Context};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Where a job lies in the guest: its `/init` looks for it there.
const JOB: &str = "/job";

/// Where a piece of a job's output was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The script's standard output.
    Stdout,
    /// The script's standard error.
    Stderr,
}

/// A script for the guest's bash, run as root in `/root` with an empty standard input.
#[derive(Clone, Debug)]
pub struct Job {
    pub(crate) script: String,
    pub(crate) merged: bool,
    pub(crate) files: Vec<(PathBuf, String)>,
    pub(crate) fetch: Vec<(String, PathBuf)>,
}

impl Job {
    /// A job that runs this script.
    pub fn new(script: impl Into<String>) -> Self {
        Self {
            script: script.into(),
            merged: false,
            files: Vec::new(),
            fetch: Vec::new(),
        }
    }

    /// Sends standard error down standard output, so that their order is kept.
    #[must_use]
    pub fn merge_output(mut self) -> Self {
        self.merged = true;
        self
    }

    /// Puts the host's file `source` into the guest as `destination` (absolute), with its permissions.
    #[must_use]
    pub fn file(mut self, source: impl Into<PathBuf>, destination: impl Into<String>) -> Self {
        self.files.push((source.into(), destination.into()));
        self
    }

    /// Takes the guest's file `source` out as the host's `destination` when the script has ended, however it ended.
    #[must_use]
    pub fn fetch(mut self, source: impl Into<String>, destination: impl Into<PathBuf>) -> Self {
        self.fetch.push((source.into(), destination.into()));
        self
    }
}

impl Job {
    /// The job as a cpio archive to be appended to the initramfs.
    pub(crate) fn archive(&self) -> anyhow::Result<Vec<u8>> {
        let mut archive = Archive::new(Vec::new());
        archive.file(&format!("{JOB}/script"), 0o755, self.script.as_bytes())?;
        let list: String = self
            .fetch
            .iter()
            .map(|(source, _)| format!("{source}\n"))
            .collect();
        archive.file(&format!("{JOB}/fetch"), 0o644, list.as_bytes())?;
        if self.merged {
            archive.file(&format!("{JOB}/merged"), 0o644, b"")?;
        }
        for (source, destination) in &self.files {
            ensure!(
                destination.starts_with('/') && !destination.ends_with('/'),
                "{destination:?} is not an absolute path of a file in the guest"
            );
            let context = || format!("cannot read {}", source.display());
            let permissions = fs::metadata(source)
                .with_context(context)?
                .permissions()
                .mode();
            let data = fs::read(source).with_context(context)?;
            archive.file(&merged_usr(destination), permissions & 0o777, &data)?;
        }
        for (source, _) in &self.fetch {
            ensure!(
                source.starts_with('/') && !source.contains('\n'),
                "{source:?} is not an absolute path of a file in the guest"
            );
        }
        Ok(archive.finish()?)
    }
}

/// The path without the links at the top of the guest's tree: a folder of the same name in the archive would
/// replace the link.
pub(crate) fn merged_usr(path: &str) -> String {
    let top = ["/bin/", "/sbin/", "/lib/", "/lib64/"];
    let moved = top.iter().any(|folder| path.starts_with(folder));
    if moved {
        format!("/usr{path}")
    } else {
        path.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_names_what_it_wants() {
        let bytes = Job::new("true")
            .merge_output()
            .fetch("/root/a", "a")
            .archive()
            .unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for word in ["job/script", "job/merged", "job/fetch", "/root/a\n"] {
            assert!(text.contains(word), "{word}");
        }
    }

    #[test]
    fn paths_in_the_guest_are_absolute() {
        for bad in ["root/x", "/root/", ""] {
            let job = Job::new("true").file("Cargo.toml", bad);
            assert!(
                job.archive().unwrap_err().to_string().contains("absolute"),
                "{bad:?}"
            );
        }
        let job = Job::new("true").fetch("fio.json", "fio.json");
        assert!(job.archive().unwrap_err().to_string().contains("absolute"));
    }

    #[test]
    fn the_links_at_the_top_stay_links() {
        let bytes = Job::new("true")
            .file("Cargo.toml", "/sbin/tool")
            .archive()
            .unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("usr/sbin/tool\0"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Job::new("true")
            .file("/no/such/file", "/x")
            .archive()
            .unwrap_err();
        assert!(error.to_string().contains("/no/such/file"), "{error}");
    }
}
