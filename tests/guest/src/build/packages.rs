// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs of Debian packages that one job wants, as an archive that goes behind the image's own.
//!
//! The packages that are named go in whole but for documentation; of the packages they depend on, everything but libraries
//! that no program names by DT_NEEDED, which are most of the bytes. What the image's own packages bring, too, is taken from them:
//! programs and libraries then fit each other. Nobody runs the packages' scripts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use debian::Suite;

use super::userland::{find_library, Userland, LIBRARIES, PROGRAMS};
use super::{replace, stamp, tools, Workshop};
use crate::job::merged_usr;
use crate::Options;

/// This file: a change of it, or of what the image is made by, makes the archives anew.
const RECIPE: &str = include_str!("packages.rs");

/// What nobody reads in a guest.
const DOCUMENTATION: [&str; 8] = [
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/share/bug",
    "usr/share/doc-base",
    "usr/share/bash-completion",
];

/// The archive with the programs of these packages of the userland's release, made unless it is there; its name says which.
/// The image must have been built.
///
/// # Errors
/// A package that there is not, whatever stops apt.
pub fn packages(options: &Options, names: &[String]) -> Result<PathBuf> {
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let shop = Workshop::new(options, 0);
    let mut key = [&super::RECIPE[..], &[RECIPE]].concat();
    key.extend(&names);
    let key = stamp::of(&key);
    let archive = archive(&shop.results, &key);
    if archive.is_file() {
        return Ok(archive);
    }
    shop.step("packages for this job", || shop.pack(&names, &archive))?;
    shop.bar.finish_and_clear();
    Ok(archive)
}

/// Where an archive is that is made by this key.
pub(super) fn archive(results: &Path, key: &str) -> PathBuf {
    let name = format!("{}.cpio", key.get(..32).unwrap_or(key));
    results.join("packages").join(name)
}

/// Removes all archives: the next will have the newest packages.
pub(super) fn forget(results: &Path) -> Result<()> {
    let folder = results.join("packages");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    Ok(())
}

impl Workshop {
    fn pack(&self, names: &BTreeSet<&str>, archive: &Path) -> Result<()> {
        let apt = self.apt(Suite::Trixie)?;
        let wanted: Vec<&str> = names.iter().copied().collect();
        let all = apt.with_dependencies(&wanted)?;
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let work = tools::fresh_dir(&self.work.join("extra"))?;
        let (named, needed) = (work.join("named"), work.join("needed"));
        for (name, file) in all.iter().zip(apt.download(&all, &self.packages())?) {
            let root = if names.contains(name) {
                &named
            } else {
                &needed
            };
            debian::unpack(&file, root)?;
        }
        let image = self.work.join("root");
        let chosen = choose(&named, &needed, &image, &PROGRAMS)?;
        let userland = with_libraries(&chosen, [&image, &named, &needed])?;
        replace(archive, |file| userland.write_archive(file))?;
        fs::remove_dir_all(work).context("cannot remove what was unpacked")
    }
}

/// Files by their paths in the guest.
type Files = BTreeMap<String, PathBuf>;

/// What of the unpacked packages goes into the guest; `image` is the root of the image's own, of which it has these programs.
fn choose(named: &Path, needed: &Path, image: &Path, programs: &[&str]) -> Result<Files> {
    let mut chosen = contents(needed)?;
    chosen.retain(|path, _| !is_library(Path::new(path)) && !programs.contains(&path.as_str()));
    for (path, source) in &mut chosen {
        let own = image.join(path.trim_start_matches('/'));
        if fs::symlink_metadata(&own).is_ok() {
            *source = own;
        }
    }
    chosen.extend(contents(named)?);
    Ok(chosen)
}

/// What was chosen, with the libraries that it names from the first of these roots that has them. One that none has is in a folder of its
/// program's own; or the loader in the guest says so.
fn with_libraries(chosen: &Files, roots: [&Path; 3]) -> Result<Userland> {
    let mut userland = Userland::default();
    let mut open = Vec::new();
    for (path, source) in chosen {
        let context = || format!("cannot read {}", source.display());
        if source.is_symlink() {
            let target = fs::read_link(source).with_context(context)?;
            let target = target.to_str();
            userland.add_link(
                path,
                target.with_context(|| format!("{path} leads to no text"))?,
            );
        } else {
            userland.add_file(path, source);
            if is_elf(source).with_context(context)? {
                open.push(source.clone());
            }
        }
    }
    userland.add_libraries(open, |library, _| {
        Ok(roots.iter().find_map(|root| find_library(root, library)))
    })?;
    Ok(userland)
}

fn is_elf(file: &Path) -> io::Result<bool> {
    let mut magic = Vec::new();
    File::open(file)?.take(4).read_to_end(&mut magic)?;
    Ok(magic == b"\x7fELF")
}

/// Whether this is where the loader looks for libraries.
fn is_library(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(Path::new(""));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    LIBRARIES.iter().any(|known| folder.ends_with(known)) && name.contains(".so")
}

/// All files and links below an unpacked root, which may not be there, but for documentation.
fn contents(root: &Path) -> Result<Files> {
    let mut files = Files::new();
    let mut open = vec![PathBuf::new()];
    while let Some(folder) = open.pop() {
        let at = root.join(&folder);
        if DOCUMENTATION.iter().any(|known| folder == Path::new(known)) || !at.is_dir() {
            continue;
        }
        let entries = fs::read_dir(&at).with_context(|| at.display().to_string())?;
        for entry in entries {
            let entry = entry?;
            let (path, kind) = (folder.join(entry.file_name()), entry.file_type()?);
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() || (kind.is_symlink() && !folder.as_os_str().is_empty()) {
                // Links at the top (`/bin`) are the image's.
                let name = path
                    .to_str()
                    .with_context(|| format!("{} is no text", path.display()))?;
                files.insert(merged_usr(&format!("/{name}")), entry.path());
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::super::elf;
    use super::*;
    use std::os::unix::fs::symlink;

    /// A root with these files, whose content is their path.
    fn root(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for name in files {
            let file = root.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, name).unwrap();
        }
        root
    }

    /// The bytes of an archive, as far as they are text.
    fn archived(chosen: &Files, roots: [&Path; 3]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cpio");
        let userland = with_libraries(chosen, roots).unwrap();
        userland.write_archive(&file).unwrap();
        String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned()
    }

    #[test]
    fn the_images_files_and_documentation_stay_out() {
        let named = root(&[
            "usr/bin/tool",
            "usr/share/doc/tool/copyright",
            "usr/share/tool/data",
            "bin/old",
        ]);
        let needed = root(&[
            "usr/bin/bash",
            "usr/bin/other",
            "usr/lib/x86_64-linux-gnu/libbig.so.1",
        ]);
        symlink("usr/lib", needed.path().join("lib")).unwrap();
        symlink("other", needed.path().join("usr/bin/alias")).unwrap();
        let image = root(&["usr/bin/bash", "usr/bin/other"]);
        let chosen = choose(
            named.path(),
            needed.path(),
            image.path(),
            &["/usr/bin/bash"],
        )
        .unwrap();
        assert_eq!(
            chosen["/usr/bin/other"],
            image.path().join("usr/bin/other"),
            "fits the image"
        );
        let paths: Vec<&str> = chosen.keys().map(String::as_str).collect();
        assert_eq!(
            paths,
            [
                "/usr/bin/alias",
                "/usr/bin/old",
                "/usr/bin/other",
                "/usr/bin/tool",
                "/usr/share/tool/data"
            ]
        );
        let text = archived(&chosen, [image.path(), named.path(), needed.path()]);
        assert!(text.contains("usr/bin/alias\0") && !text.contains("libbig"));
    }

    #[test]
    fn libraries_come_as_far_as_a_program_names_them() {
        let (named, needed, image) = (root(&["usr/bin/x"]), root(&["usr/bin/y"]), root(&["z"]));
        let program = named.path().join("usr/bin/program");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        let names = elf::needed(&fs::read(&program).unwrap(), &program).unwrap();
        assert!(
            names.iter().any(|name| name.starts_with("libc.so")),
            "{names:?}"
        );
        for name in &names {
            let file = needed.path().join(LIBRARIES[0]).join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::copy(&program, file).unwrap();
        }
        let chosen = choose(named.path(), needed.path(), image.path(), &[]).unwrap();
        let text = archived(&chosen, [image.path(), named.path(), needed.path()]);
        for name in &names {
            assert!(
                text.contains(&format!("{}/{name}\0", LIBRARIES[0])),
                "{name}"
            );
        }
    }
}
