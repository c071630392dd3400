// SPDX-License-Identifier: GPL-2.0-or-later
//! The machine's own source lists: where its Debian mirror is.
//!
//! Both formats of sources.list(5) are read: one line an entry (`*.list`) and deb822 stanzas
//! (`*.sources`). Options other than `Signed-By` are not looked at.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Releases whose archive also has the suites this project wants; an entry is taken as Debian's
/// when one of its suites is among them.
const RELEASES: &[&str] = &[
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldstable",
    "stable",
    "testing",
    "unstable",
];

/// A Debian archive that this machine is set up for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The archive's root, as in the source list.
    pub uri: String,
    /// The keyring that the entry names, if it does.
    pub signed_by: Option<PathBuf>,
}

/// One entry of a source list.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entry {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: Option<PathBuf>,
}

/// The first Debian archive in the machine's source lists.
///
/// # Errors
/// [`Error::NoMirror`] when there is none; [`Error::Io`] when a list cannot be read.
pub fn machine_mirror() -> Result<Mirror> {
    mirror_below(Path::new("/etc/apt"))
}

fn mirror_below(etc: &Path) -> Result<Mirror> {
    let mut files = vec![etc.join("sources.list")];
    if let Ok(dir) = fs::read_dir(etc.join("sources.list.d")) {
        let mut more: Vec<_> = dir.flatten().map(|entry| entry.path()).collect();
        more.sort();
        files.extend(more);
    }
    for file in files {
        let parse = match file.extension().and_then(|e| e.to_str()) {
            Some("list") => parse_one_line,
            Some("sources") => parse_deb822,
            _ => continue,
        };
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(Error::Io { path: file, source }),
        };
        if let Some(mirror) = parse(&text).into_iter().find_map(debian_mirror) {
            return Ok(mirror);
        }
    }
    Err(Error::NoMirror)
}

/// The entry's first usable address, if it is a release of Debian's main archive.
fn debian_mirror(entry: Entry) -> Option<Mirror> {
    let released = entry
        .suites
        .iter()
        .any(|suite| RELEASES.contains(&suite.as_str()));
    if !released || !entry.components.iter().any(|c| c == "main") {
        return None;
    }
    let uri = entry
        .uris
        .into_iter()
        .find(|uri| !uri.starts_with("cdrom:"))?;
    Some(Mirror {
        uri,
        signed_by: entry.signed_by,
    })
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// `deb [option=value ...] uri suite component ...`
fn parse_one_line(text: &str) -> Vec<Entry> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Entry> {
    let line = line.split('#').next()?.trim();
    let (kind, rest) = line.split_once(char::is_whitespace)?;
    if kind != "deb" && kind != "deb-src" {
        return None;
    }
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None => ("", rest),
    };
    let signed_by = options
        .split_whitespace()
        .find_map(|option| option.strip_prefix("signed-by="))
        .and_then(keyring_path);
    let mut fields = words(rest).into_iter();
    Some(Entry {
        uris: vec![fields.next()?],
        suites: vec![fields.next()?],
        components: fields.collect(),
        signed_by,
    })
}

/// Stanzas of `Field: value`, with continuation lines that begin with a blank.
fn parse_deb822(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            entries.extend(stanza(&fields));
            fields.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    entries
}

fn stanza(fields: &[(String, String)]) -> Option<Entry> {
    let field = |name: &str| {
        fields
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    };
    if !words(field("types")?)
        .iter()
        .any(|t| t == "deb" || t == "deb-src")
    {
        return None;
    }
    if matches!(field("enabled"), Some("no" | "false" | "0")) {
        return None;
    }
    Some(Entry {
        uris: words(field("uris")?),
        suites: words(field("suites")?),
        components: words(field("components").unwrap_or_default()),
        signed_by: field("signed-by").and_then(keyring_path),
    })
}

/// A `Signed-By` that is a file; fingerprints and embedded keys are left to Debian's keyring.
fn keyring_path(value: &str) -> Option<PathBuf> {
    let first = value.split(',').next()?.trim();
    (first.starts_with('/') && !first.contains(char::is_whitespace)).then(|| first.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri_of(entries: Vec<Entry>) -> Option<String> {
        entries.into_iter().find_map(debian_mirror).map(|m| m.uri)
    }

    #[test]
    fn one_line_entries() {
        let text = "# a comment\n\
            deb cdrom:[Debian 12]/ bookworm main\n\
            deb http://security.example/debian-security bookworm-security main\n\
            deb [arch=amd64 signed-by=/k/debian.gpg] http://mirror.example/debian bookworm main contrib # x\n";
        let entries = parse_one_line(text);
        assert_eq!(entries.len(), 3);
        let mirror = entries.into_iter().find_map(debian_mirror).unwrap();
        assert_eq!(mirror.uri, "http://mirror.example/debian");
        assert_eq!(mirror.signed_by, Some("/k/debian.gpg".into()));
    }

    #[test]
    fn malformed_lines_are_skipped() {
        for line in [
            "deb",
            "deb ",
            "deb [arch=amd64 http://x bookworm main",
            "deb http://x",
            "rpm http://x bookworm main",
        ] {
            assert_eq!(parse_one_line(line), [], "{line}");
        }
    }

    #[test]
    fn deb822_entries() {
        let text = "Types: deb deb-src\n# note\nURIs: http://security.example/x\nSuites: bookworm-security\nComponents: main\n\n\
            Types: deb\nEnabled: no\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\n\n\
            Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\n bookworm-updates\nComponents: main\n\
            Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n";
        let entries = parse_deb822(text);
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[1].suites, ["bookworm", "bookworm-updates"]);
        assert_eq!(entries[1].signed_by, None, "an embedded key is not a path");
        assert_eq!(uri_of(entries), Some("http://mirror.example/debian".into()));
    }

    #[test]
    fn other_archives_are_not_debian() {
        let other = "deb https://deb.example.com/node nodistro main\n\
            deb https://packages.example.com/apt cloud-sdk-bookworm main\n\
            deb http://archive.example.com/ubuntu noble main\n";
        assert_eq!(uri_of(parse_one_line(other)), None);
    }

    #[test]
    fn lists_are_looked_for_in_both_places() {
        let etc = tempfile::tempdir().unwrap();
        assert!(matches!(mirror_below(etc.path()), Err(Error::NoMirror)));
        let parts = etc.path().join("sources.list.d");
        fs::create_dir(&parts).unwrap();
        fs::write(
            parts.join("debian.sources.disabled"),
            "Types: deb\nURIs: http://a\nSuites: sid\nComponents: main\n",
        )
        .unwrap();
        assert!(matches!(mirror_below(etc.path()), Err(Error::NoMirror)));
        fs::write(
            parts.join("debian.sources"),
            "Types: deb\nURIs: http://b\nSuites: sid\nComponents: main\n",
        )
        .unwrap();
        assert_eq!(mirror_below(etc.path()).unwrap().uri, "http://b");
        fs::write(
            etc.path().join("sources.list"),
            "deb http://c bookworm main\n",
        )
        .unwrap();
        assert_eq!(mirror_below(etc.path()).unwrap().uri, "http://c");
    }
}
