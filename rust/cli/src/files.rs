// SPDX-License-Identifier: GPL-2.0-or-later
//! Files that go into the guest before a command, and come out of it afterwards.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::failure::Prerequisite;

/// `--file` and `--fetch`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Files {
    /// Put a file into the guest first; DST is absolute
    #[arg(short, long, value_name = "SRC:DST", value_parser = pair)]
    file: Vec<(String, String)>,
    /// Take a file out of the guest afterwards
    #[arg(long, value_name = "SRC:DST", value_parser = pair)]
    fetch: Vec<(String, String)>,
}

impl Files {
    /// Refuses what cannot be written, before anything runs.
    ///
    /// # Errors
    /// A [`Prerequisite`] that names it.
    pub fn check(&self) -> Result<()> {
        for (source, _) in &self.file {
            if !Path::new(source).is_file() {
                return Err(Prerequisite(format!("--file {source}: no such file")).into());
            }
        }
        for (_, destination) in &self.fetch {
            let name = Path::new(destination);
            let dir = name.parent().filter(|dir| !dir.as_os_str().is_empty());
            if name.is_dir() || dir.is_some_and(|dir| !dir.is_dir()) {
                let why = format!("--fetch {destination}: is not a file in a folder that is there");
                return Err(Prerequisite(why).into());
            }
        }
        Ok(())
    }

    /// Adds them to what a guest is to do.
    pub fn add_to(&self, mut job: guest::Job) -> guest::Job {
        for (source, destination) in &self.file {
            job = job.file(PathBuf::from(source), destination.clone());
        }
        for (source, destination) in &self.fetch {
            job = job.fetch(source.clone(), PathBuf::from(destination));
        }
        job
    }

    /// Those of the user's among what a guest did not have.
    pub fn missing<'a>(&'a self, missing: &'a [String]) -> impl Iterator<Item = &'a String> + 'a {
        // `name: reason`.
        let names = |line: &str, source: &str| {
            line.strip_prefix(source)
                .is_some_and(|rest| rest.starts_with(": "))
        };
        let asked = move |line: &&String| self.fetch.iter().any(|(source, _)| names(line, source));
        missing.iter().filter(asked)
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((source, destination)) if !source.is_empty() && !destination.is_empty() => {
            Ok((source.into(), destination.into()))
        }
        _ => Err("write SOURCE:DESTINATION".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_have_two_sides() {
        assert_eq!(pair("a:/b"), Ok(("a".into(), "/b".into())));
        assert!(pair("a").is_err() && pair(":b").is_err() && pair("a:").is_err());
    }

    #[test]
    fn places_are_looked_at_before_anything_runs() {
        let files = |file: &str, fetch: &str| Files {
            file: vec![(file.into(), "/root/a".into())],
            fetch: vec![("/root/b".into(), fetch.into())],
        };
        files("Cargo.toml", "b").check().unwrap();
        for (file, fetch, word) in [
            ("no-such", "b", "--file no-such"),
            ("Cargo.toml", "src", "--fetch src"),
            ("Cargo.toml", "no-such/b", "--fetch no-such/b"),
        ] {
            let error = files(file, fetch).check().unwrap_err();
            assert!(
                error.is::<Prerequisite>() && error.to_string().starts_with(word),
                "{error}"
            );
        }
        let left = ["/root/b: none".to_owned(), "/tmp/out/x: none".to_owned()];
        assert_eq!(
            files("a", "b").missing(&left).collect::<Vec<_>>(),
            ["/root/b: none"]
        );
    }
}
