// SPDX-License-Identifier: GPL-2.0-or-later
//! apt with a configuration of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use crate::sources::{machine_mirror, Mirror};
use crate::{Error, Result, Suite};

/// Lists younger than this are used as they are; a download that fails refreshes them anyway.
const LISTS_VALID_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Debian's keyring, by the names it has in bookworm and in trixie.
const KEYRINGS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
];

/// How many lines of a failed tool's output an error shows.
const ERROR_LINES: usize = 12;

/// A private apt for one release.
///
/// Two of them may share a machine but not a directory: apt locks its lists.
#[derive(Debug)]
pub struct Apt {
    state: PathBuf,
    suite: Suite,
}

impl Apt {
    /// Sets up apt for `suite` below `state`, which is created when it does not exist.
    ///
    /// The package lists are fetched by the first call that needs them.
    ///
    /// # Errors
    /// [`Error::NoMirror`] when the machine has no Debian mirror, [`Error::Io`].
    pub fn new(state: impl Into<PathBuf>, suite: Suite) -> Result<Self> {
        let state = state.into();
        create_dir(&state)?;
        let state = state.canonicalize().map_err(|source| Error::Io {
            path: state,
            source,
        })?;
        for dir in ["lists/partial", "archives/partial", "sources", "empty"] {
            create_dir(&state.join(dir))?;
        }
        write_if_changed(&state.join("status"), "")?;
        write_if_changed(&state.join("apt.conf"), &configuration(&state))?;
        let list = source_list(&machine_mirror()?, suite);
        if write_if_changed(&state.join("sources.list"), &list)? {
            remove_if_there(&state.join("updated"))?;
        }
        Ok(Self { state, suite })
    }

    /// The release this apt looks in.
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// The version of `package` that [`Apt::download`] would fetch.
    ///
    /// # Errors
    /// [`Error::NoPackage`] when the release has none.
    pub fn candidate(&self, package: &str) -> Result<String> {
        let command = ["apt-cache", "show", "--no-all-versions", package];
        let versions = self.versions(package, &command)?;
        versions
            .into_iter()
            .next()
            .ok_or_else(|| self.no_package(package))
    }

    /// The versions of a source package that [`Apt::fetch_source`] could fetch, at least one. A release that moves has
    /// those that something in it is still built from.
    ///
    /// # Errors
    /// [`Error::NoPackage`] when the release has none.
    pub fn source_versions(&self, package: &str) -> Result<Vec<String>> {
        self.versions(package, &["apt-cache", "showsrc", "--only-source", package])
    }

    fn versions(&self, package: &str, command: &[&str]) -> Result<Vec<String>> {
        self.update_if_old()?;
        let found = match self.run(command, &self.state) {
            Ok(found) => found,
            Err(Error::Failed { .. }) => String::new(),
            Err(e) => return Err(e),
        };
        let versions = found
            .lines()
            .filter_map(|line| line.strip_prefix("Version: "));
        let versions: Vec<_> = versions.map(str::to_owned).collect();
        match versions.is_empty() {
            true => Err(self.no_package(package)),
            false => Ok(versions),
        }
    }

    /// Fetches `packages` into the directory `dest`; gives their files in the same order.
    ///
    /// Files that are already there and have the right hash are kept.
    ///
    /// # Errors
    /// [`Error::NoPackage`], [`Error::Failed`] when the mirror cannot be reached.
    pub fn download(&self, packages: &[&str], dest: &Path) -> Result<Vec<PathBuf>> {
        create_dir(dest)?;
        let files = self.get(&["download"], packages, dest)?;
        packages
            .iter()
            .map(|package| {
                file_of(package, &files)
                    .map(|file| dest.join(file))
                    .filter(|path| path.exists())
                    .ok_or_else(|| self.no_package(package))
            })
            .collect()
    }

    /// These packages and all they depend on, without what they only recommend, each once.
    ///
    /// # Errors
    /// [`Error::NoPackage`]; [`Error::Failed`] when they cannot be together.
    pub fn with_dependencies(&self, packages: &[&str]) -> Result<Vec<String>> {
        for package in packages {
            self.candidate(package)?;
        }
        let command = [
            "apt-get",
            "-q",
            "--simulate",
            "--no-install-recommends",
            "install",
        ];
        let said = self.run(&[&command, packages].concat(), &self.state)?;
        Ok(installed(&said).map(str::to_owned).collect())
    }

    /// Fetches the source package `package`, the newest if no version is named, and unpacks it, Debian's patches applied,
    /// as the directory `dest`, which must not exist.
    ///
    /// # Errors
    /// [`Error::NoPackage`], [`Error::Missing`] without dpkg-dev, [`Error::Failed`].
    pub fn fetch_source(&self, package: &str, version: Option<&str>, dest: &Path) -> Result<()> {
        let dsc = self.source_file(package, version, &[], |file| file.ends_with(".dsc"))?;
        if let Some(parent) = dest.parent() {
            create_dir(parent)?;
        }
        let mut unpack = Command::new("dpkg-source");
        // apt has just checked the .dsc against the signed index.
        unpack
            .args(["--no-check", "--no-copy", "-x"])
            .arg(&dsc)
            .arg(dest);
        output_of(unpack, "dpkg-dev").map(drop)
    }

    /// Fetches the upstream tar file of the source package `package` and unpacks it, without Debian's patches, as the directory
    /// `dest`, which must not exist.
    ///
    /// # Errors
    /// [`Error::NoPackage`], [`Error::Failed`].
    pub fn fetch_upstream(&self, package: &str, dest: &Path) -> Result<()> {
        let is_tar = |file: &String| file.contains(".orig.tar.");
        let tar = self.source_file(package, None, &["--tar-only"], is_tar)?;
        create_dir(dest)?;
        let mut unpack = Command::new("tar");
        unpack
            .args(["--extract", "--strip-components=1", "--file"])
            .arg(&tar)
            .arg("--directory")
            .arg(dest);
        output_of(unpack, "tar").map(drop)
    }

    /// Fetches the files of a source package, by more of apt's options; gives the first that is wanted.
    fn source_file(
        &self,
        package: &str,
        version: Option<&str>,
        options: &[&str],
        is_wanted: impl Fn(&String) -> bool,
    ) -> Result<PathBuf> {
        self.source_versions(package)?;
        let sources = self.state.join("sources");
        let command = [&["source", "--only-source", "--download-only"], options].concat();
        let one = version.map(|version| format!("{package}={version}"));
        let files = self.get(&command, &[one.as_deref().unwrap_or(package)], &sources)?;
        let file = files.into_iter().find(is_wanted);
        file.map(|file| sources.join(file))
            .ok_or_else(|| self.no_package(package))
    }

    /// Runs an apt-get command that fetches files into `dest`; gives the names of all of them.
    fn get(&self, command: &[&str], packages: &[&str], dest: &Path) -> Result<Vec<String>> {
        self.with_fresh_lists(|| {
            let command = [&["apt-get", "-q"], command, packages].concat();
            // apt leaves out of this list what the current directory already has.
            let listed = self.run(
                &[&command, &["--print-uris"][..]].concat(),
                &self.state.join("empty"),
            )?;
            self.run(&command, dest)?;
            Ok(printed_files(&listed))
        })
    }

    fn with_fresh_lists<T>(&self, fetch: impl Fn() -> Result<T>) -> Result<T> {
        self.update_if_old()?;
        match fetch() {
            // The archive has moved on: what the lists name is gone.
            Err(Error::Failed { .. }) => {
                self.update()?;
                fetch()
            }
            other => other,
        }
    }

    fn update_if_old(&self) -> Result<()> {
        let age = fs::metadata(self.state.join("updated"))
            .and_then(|meta| meta.modified())
            .ok()
            .and_then(|at| SystemTime::now().duration_since(at).ok());
        match age {
            Some(age) if age < LISTS_VALID_FOR => Ok(()),
            Some(_) => self.update().or(Ok(())),
            None => self.update(),
        }
    }

    /// Fetches the package lists.
    ///
    /// # Errors
    /// [`Error::Failed`] when the mirror cannot be reached or its signature is not known.
    pub fn update(&self) -> Result<()> {
        let strict = [
            "apt-get",
            "-q",
            "-o",
            "APT::Update::Error-Mode=any",
            "update",
        ];
        self.run(&strict, &self.state)?;
        write(&self.state.join("updated"), "")
    }

    fn run(&self, command: &[&str], in_dir: &Path) -> Result<String> {
        let mut args = command.iter();
        let mut child = Command::new(args.next().copied().unwrap_or("apt-get"));
        child.arg("-c").arg(self.state.join("apt.conf")).args(args);
        child
            .current_dir(in_dir)
            .env("LC_ALL", "C")
            .env("DEBIAN_FRONTEND", "noninteractive");
        output_of(child, "apt")
    }

    fn no_package(&self, package: &str) -> Error {
        Error::NoPackage {
            package: package.to_owned(),
            suite: self.suite,
        }
    }
}

/// Unpacks the contents of the package file `deb` below the directory `into`.
///
/// # Errors
/// [`Error::Failed`] when it is no package or the disk is full.
pub fn unpack(deb: &Path, into: &Path) -> Result<()> {
    create_dir(into)?;
    let mut child = Command::new("dpkg-deb");
    child.arg("-x").arg(deb).arg(into);
    output_of(child, "dpkg").map(drop)
}

/// `apt.conf`: read after the machine's own, so that proxies and credentials stay in force.
fn configuration(state: &Path) -> String {
    let state = state.display();
    format!(
        r#"// Written by cargo conzone.
Dir::State "{state}";
Dir::State::status "{state}/status";
Dir::State::lists "{state}/lists";
Dir::Cache "{state}";
Dir::Cache::archives "{state}/archives";
Dir::Etc::sourcelist "{state}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "amd64";
#clear APT::Architectures;
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Acquire::Languages "none";
#clear Acquire::IndexTargets::deb::DEP-11;
#clear Acquire::IndexTargets::deb::Contents-deb;
"#
    )
}

fn source_list(mirror: &Mirror, suite: Suite) -> String {
    // The entry's own keyring may hold the keys of the machine's release only.
    let keyrings: Vec<String> = mirror
        .signed_by
        .iter()
        .map(PathBuf::as_path)
        .chain(
            KEYRINGS
                .iter()
                .map(Path::new)
                .filter(|path| path.exists())
                .take(1),
        )
        .map(|path| path.display().to_string())
        .collect();
    let options = match keyrings.is_empty() {
        true => String::new(),
        false => format!("[signed-by={}] ", keyrings.join(",")),
    };
    let uri = &mirror.uri;
    format!("deb {options}{uri} {suite} main\ndeb-src {options}{uri} {suite} main\n")
}

/// The file names in the output of `--print-uris`: `'uri' file size hash`.
fn printed_files(output: &str) -> Vec<String> {
    output
        .lines()
        .filter(|line| line.starts_with('\''))
        .filter_map(|line| line.split_whitespace().nth(1))
        .map(str::to_owned)
        .collect()
}

/// The packages in what `apt-get --simulate install` says it would do: `Inst name (version ...)`.
fn installed(said: &str) -> impl Iterator<Item = &str> {
    said.lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next())
}

/// The file of `package`, whose name is `package_version_architecture.deb`.
fn file_of<'a>(package: &str, files: &'a [String]) -> Option<&'a str> {
    let named = |file: &&String| {
        file.split_once('_')
            .is_some_and(|(name, _)| name == package)
    };
    files.iter().find(named).map(String::as_str)
}

fn output_of(mut child: Command, package: &'static str) -> Result<String> {
    let command = words_of(&child);
    let output = child.output().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::Missing {
            tool: child.get_program().to_string_lossy().into_owned(),
            package,
        },
        _ => Error::Io {
            path: child.get_program().into(),
            source,
        },
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Failed {
        command,
        status: output.status.to_string(),
        output: last_lines(&output),
    })
}

fn words_of(child: &Command) -> String {
    let words = std::iter::once(child.get_program()).chain(child.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// What a person needs of a failed tool's output: its errors if it names any, else its end.
fn last_lines(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(ERROR_LINES))
        .copied()
        .collect::<Vec<_>>()
        .join("\n")
}

fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|source| Error::Io {
        path: path.into(),
        source,
    })
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|source| Error::Io {
        path: path.into(),
        source,
    })
}

/// Whether the file had to be written.
fn write_if_changed(path: &Path, text: &str) -> Result<bool> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(false);
    }
    write(path, text).map(|()| true)
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Io {
            path: path.into(),
            source,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_from_printed_uris() {
        let printed = "Reading package lists...\n\
            'http://m/pool/b/bash_5.2-1_amd64.deb' bash_5.2-1_amd64.deb 1500 SHA256:00\n\
            'http://m/pool/l/libc6_2.41-12_amd64.deb' libc6_1%3a2.41-12_amd64.deb 2 SHA256:11\n";
        let files = printed_files(printed);
        assert_eq!(
            files,
            ["bash_5.2-1_amd64.deb", "libc6_1%3a2.41-12_amd64.deb"]
        );
        assert_eq!(
            file_of("libc6", &files),
            Some("libc6_1%3a2.41-12_amd64.deb")
        );
        assert_eq!(file_of("lib", &files), None, "a prefix is another package");
    }

    #[test]
    fn sources_name_the_suite_and_the_keyring() {
        let mirror = Mirror {
            uri: "http://m/debian".into(),
            signed_by: Some("/k.gpg".into()),
        };
        let list = source_list(&mirror, Suite::TrixieBackports);
        assert!(list.starts_with("deb [signed-by=/k.gpg"), "{list}");
        assert!(
            list.ends_with("] http://m/debian trixie-backports main\n"),
            "{list}"
        );
        assert_eq!(list.lines().count(), 2);
    }

    #[test]
    fn a_missing_tool_is_named_with_its_package() {
        let error = output_of(Command::new("no-such-tool-here"), "some-package").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no-such-tool-here is not installed (package some-package)"
        );
    }

    #[test]
    fn a_failed_tool_shows_its_last_lines() {
        let mut child = Command::new("sh");
        child.args(["-c", "seq 1 30; echo E: broken >&2; exit 7"]);
        let text = output_of(child, "dash").unwrap_err().to_string();
        assert!(
            text.contains("exit status: 7") && text.ends_with("E: broken"),
            "{text}"
        );
        assert!(!text.contains("\n5\n"), "only the end is shown: {text}");
    }

    #[test]
    fn files_are_rewritten_only_when_they_change() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        assert!(write_if_changed(&file, "a").unwrap());
        assert!(!write_if_changed(&file, "a").unwrap());
        assert!(write_if_changed(&file, "b").unwrap());
    }
}
