// SPDX-License-Identifier: GPL-2.0-or-later
//! Kernel modules: those the guest uses and what they depend on, with the indices modprobe reads.
//!
//! The package has no `modules.dep`: an installation runs depmod. The few modules here have theirs computed from the
//! `.modinfo` sections, in the text form that busybox's modprobe reads.

use super::{elf, kernel};
use crate::cpio::Archive;
use anyhow::{bail, Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What the guest uses, by module name. File systems load on mount.
const WANTED: [&str; 17] = [
    "nvme",
    "f2fs",
    "zonefs",
    "btrfs",
    "ext4",
    "xfs",
    "dm_mod",
    "dm_flakey",
    "dm_crypt",
    "dm_log_writes",
    "xts",
    "configfs",
    "null_blk",
    "loop",
    "msr",
    "virtio_pci",
    "virtio_blk",
];

/// What F2FS and btrfs ask the crypto API for by name, which no dependency tells: their checksums. Newer kernels have these
/// elsewhere.
const WANTED_WHERE_THERE: [&str; 2] = ["crc32_generic", "crc32c_generic"];

/// One module, unpacked.
#[derive(Debug)]
struct Module {
    /// Path below `/lib/modules/<release>`.
    path: String,
    data: Vec<u8>,
    info: Vec<(String, String)>,
}

/// The chosen modules of a kernel.
#[derive(Debug)]
pub(super) struct Modules {
    release: String,
    chosen: BTreeMap<String, Module>,
}

impl Modules {
    /// Reads the wanted modules and their dependencies from an unpacked kernel package.
    pub(super) fn collect(unpacked: &Path, release: &str) -> Result<Self> {
        let folder = ["usr/lib/modules", "lib/modules"]
            .map(|lib| unpacked.join(lib).join(release))
            .into_iter()
            .find(|folder| folder.is_dir())
            .with_context(|| format!("{} has no modules of {release}", unpacked.display()))?;
        let mut files = BTreeMap::new();
        find(&folder.join("kernel"), &mut files)?;
        let builtin = fs::read_to_string(folder.join("modules.builtin"))
            .with_context(|| format!("{} has no modules.builtin", folder.display()))?;
        let builtin: BTreeSet<String> = builtin.lines().map(module_name).collect();
        let mut chosen = BTreeMap::new();
        let mut open: Vec<String> = WANTED.map(str::to_owned).into();
        let there = WANTED_WHERE_THERE
            .iter()
            .filter(|name| files.contains_key(**name));
        open.extend(there.map(|name| (*name).to_owned()));
        while let Some(name) = open.pop() {
            if chosen.contains_key(&name) || builtin.contains(&name) {
                continue;
            }
            let Some(file) = files.get(&name) else {
                bail!("kernel {release} has no module {name}");
            };
            let module = Module::read(file, &folder)?;
            open.extend(module.depends());
            chosen.insert(name, module);
        }
        Ok(Self {
            release: release.to_owned(),
            chosen,
        })
    }

    /// Adds modules and indices to the archive.
    pub(super) fn write<W: Write>(&self, archive: &mut Archive<W>) -> Result<()> {
        let folder = format!("/usr/lib/modules/{}", self.release);
        for module in self.chosen.values() {
            archive.file(&format!("{folder}/{}", module.path), 0o644, &module.data)?;
        }
        let (dep, alias) = (self.dep(), self.alias());
        archive.file(&format!("{folder}/modules.dep"), 0o644, dep.as_bytes())?;
        archive.file(&format!("{folder}/modules.alias"), 0o644, alias.as_bytes())?;
        archive.file(&format!("{folder}/modules.symbols"), 0o644, b"")?;
        Ok(())
    }

    /// `modules.dep`: each module's file, then the files it needs, the first to be loaded last.
    fn dep(&self) -> String {
        let mut text = String::new();
        for (name, module) in &self.chosen {
            let mut order = Vec::new();
            self.order(name, &mut order);
            let paths = order.iter().rev().filter(|other| *other != name);
            let paths = paths.filter_map(|other| self.chosen.get(other));
            let paths: String = paths.map(|other| format!(" {}", other.path)).collect();
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}:{paths}", module.path);
        }
        text
    }

    /// Appends `name` to `order` behind everything it depends on.
    fn order(&self, name: &str, order: &mut Vec<String>) {
        if order.iter().any(|known| known == name) {
            return;
        }
        if let Some(module) = self.chosen.get(name) {
            for dependency in module.depends() {
                self.order(&dependency, order);
            }
            order.push(name.to_owned());
        }
    }

    /// `modules.alias`: the other names under which the kernel asks for modules.
    fn alias(&self) -> String {
        let mut text = String::new();
        for (name, module) in &self.chosen {
            for alias in module.values("alias") {
                let _ = writeln!(text, "alias {alias} {name}");
            }
        }
        text
    }
}

impl Module {
    fn read(file: &Path, folder: &Path) -> Result<Self> {
        let context = || format!("module {}", file.display());
        let mut data = fs::read(file).with_context(context)?;
        if file.extension().is_some_and(|extension| extension != "ko") {
            data = kernel::decompress(&data).with_context(context)?;
        }
        let info = elf::modinfo(&data, file)?;
        let path = file.strip_prefix(folder)?.to_string_lossy();
        let end = path.find(".ko").map_or(path.len(), |at| at + ".ko".len());
        let path = path.get(..end).unwrap_or(&path).to_owned();
        Ok(Self { path, data, info })
    }

    fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.info
            .iter()
            .filter(move |(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// Names of the modules whose symbols it uses.
    fn depends(&self) -> Vec<String> {
        let lists = self.values("depends").flat_map(|list| list.split(','));
        lists
            .filter(|name| !name.is_empty())
            .map(module_name)
            .collect()
    }
}

/// A module's name from its file or from another spelling: `-` and `_` are the same to the kernel.
fn module_name(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split(".ko").next().unwrap_or(name).replace('-', "_")
}

/// Collects the module files below `folder` by module name.
fn find(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        let name = path.to_string_lossy();
        if path.is_dir() {
            find(&path, files)?;
        } else if name.contains(".ko") {
            files.insert(module_name(&name), path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(path: &str, depends: &str, alias: &str) -> (String, Module) {
        let info = [("depends", depends), ("alias", alias)];
        let info = info
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        (
            module_name(path),
            Module {
                path: path.to_owned(),
                data: Vec::new(),
                info,
            },
        )
    }

    fn sample() -> Modules {
        let chosen = [
            module("kernel/a/nvme.ko", "nvme-core", "pci:x"),
            module("kernel/a/nvme-core.ko", "t10-pi", "nvme-core-alias"),
            module("kernel/b/t10-pi.ko", "crc64_rocksoft,crc64", "t10"),
            module("kernel/b/crc64_rocksoft.ko", "crc64", "crypto-crc64"),
            module("kernel/b/crc64.ko", "", "crc64-alias"),
        ];
        Modules {
            release: "6.1".into(),
            chosen: chosen.into_iter().collect(),
        }
    }

    #[test]
    fn dependencies_come_before_what_needs_them() {
        let dep = sample().dep();
        let line = dep
            .lines()
            .find(|line| line.starts_with("kernel/a/nvme.ko:"))
            .unwrap();
        assert_eq!(
            line,
            "kernel/a/nvme.ko: kernel/a/nvme-core.ko kernel/b/t10-pi.ko \
             kernel/b/crc64_rocksoft.ko kernel/b/crc64.ko"
        );
        assert!(dep.contains("kernel/b/crc64.ko:\n"));
    }

    #[test]
    fn aliases_name_their_module() {
        let alias = sample().alias();
        assert!(alias.contains("alias crypto-crc64 crc64_rocksoft\n"));
        assert!(alias.contains("alias nvme-core-alias nvme_core\n"));
    }

    #[test]
    fn names_are_spelled_one_way() {
        for path in [
            "kernel/drivers/nvme/host/nvme-core.ko.xz",
            "nvme-core",
            "nvme_core",
        ] {
            assert_eq!(module_name(path), "nvme_core");
        }
    }
}
