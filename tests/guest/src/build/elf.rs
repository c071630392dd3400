// SPDX-License-Identifier: GPL-2.0-or-later
//! What the builder wants to know of ELF files.

use anyhow::{Context, Result};
use goblin::elf::Elf;
use std::path::Path;

/// Names of the libraries a program or library is linked with (DT_NEEDED), and its interpreter.
pub(super) fn needed(data: &[u8], path: &Path) -> Result<Vec<String>> {
    let elf = parse(data, path)?;
    let loader = elf.interpreter.and_then(|loader| loader.rsplit('/').next());
    Ok(elf
        .libraries
        .iter()
        .copied()
        .chain(loader)
        .map(str::to_owned)
        .collect())
}

/// The `key=value` texts of a kernel module's `.modinfo` section.
pub(super) fn modinfo(data: &[u8], path: &Path) -> Result<Vec<(String, String)>> {
    let elf = parse(data, path)?;
    let mut headers = elf.section_headers.iter();
    let section = headers
        .find(|header| elf.shdr_strtab.get_at(header.sh_name) == Some(".modinfo"))
        .and_then(|header| data.get(header.file_range()?))
        .with_context(|| format!("{} has no .modinfo", path.display()))?;
    let texts = section
        .split(|byte| *byte == 0)
        .map(String::from_utf8_lossy);
    Ok(texts
        .filter_map(|text| {
            text.split_once('=')
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
        })
        .collect())
}

/// Whether the file is an ELF file that has a note of this owner and type.
pub(super) fn has_note(data: &[u8], path: &Path, owner: &str, kind: u32) -> Result<bool> {
    let elf = parse(data, path)?;
    let notes = elf.iter_note_headers(data).into_iter().flatten();
    Ok(notes
        .flatten()
        .any(|note| note.name == owner && note.n_type == kind))
}

fn parse<'a>(data: &'a [u8], path: &Path) -> Result<Elf<'a>> {
    Elf::parse(data).with_context(|| format!("{} is not an ELF file", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn this_very_program_needs_the_c_library() {
        let path = std::env::current_exe().unwrap();
        let found = needed(&fs::read(&path).unwrap(), &path).unwrap();
        assert!(found.iter().any(|name| name == "libc.so.6"), "{found:?}");
        assert!(
            found.iter().any(|name| name.starts_with("ld-linux")),
            "{found:?}"
        );
    }

    #[test]
    fn other_files_are_refused_by_name() {
        let path = Path::new("Cargo.toml");
        let error = needed(b"[package]", path).unwrap_err().to_string();
        assert_eq!(error, "Cargo.toml is not an ELF file");
    }
}
