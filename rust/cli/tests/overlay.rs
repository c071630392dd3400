// SPDX-License-Identifier: GPL-2.0-or-later
//! QEMU's build and Cargo's must agree on the crates of the device: rust/meson.build lists them with their
//! edges, and so do their manifests.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What QEMU brings along.
const QEMU_HAS: [&str; 3] = ["arbitrary-int", "bilge", "libc"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The entries `['crate', ['edge', ...]],` of `conzone_crates`, in order.
fn listed() -> Vec<(String, BTreeSet<String>)> {
    let text = fs::read_to_string(repository().join("rust/meson.build")).unwrap();
    let (_, list) = text.split_once("conzone_crates = [\n").unwrap();
    let (list, _) = list.split_once("\n]\n").unwrap();
    let entries: Vec<_> = list
        .lines()
        .filter(|line| line.contains("['"))
        .map(|line| {
            let mut words = line.split('\'').skip(1).step_by(2).map(str::to_owned);
            (words.next().unwrap(), words.collect())
        })
        .collect();
    assert!(entries.len() > 5, "the list of crates was not understood");
    entries
}

fn manifest(name: &str) -> toml::Table {
    let path = repository().join("rust").join(name).join("Cargo.toml");
    fs::read_to_string(&path).unwrap().parse().unwrap()
}

#[test]
fn meson_and_cargo_name_the_same_crates() {
    let listed = listed();
    let names: BTreeSet<_> = listed.iter().map(|(name, _)| name.clone()).collect();
    let mut before = BTreeSet::new();
    for (name, edges) in &listed {
        let manifest = manifest(name);
        let dependencies = manifest
            .get("dependencies")
            .and_then(|d| d.as_table())
            .cloned()
            .unwrap_or_default();
        let (ours, _of_qemu): (BTreeSet<_>, BTreeSet<_>) = dependencies
            .into_iter()
            .map(|(name, _)| name)
            .partition(|name| !QEMU_HAS.contains(&name.as_str()));
        assert_eq!(
            &ours, edges,
            "dependencies of {name}: Cargo.toml (left) and rust/meson.build (right)"
        );
        assert!(
            edges.is_subset(&before),
            "{name} is listed before a crate that it names"
        );
        assert!(
            ours.is_subset(&names),
            "{name} names a crate that QEMU does not link"
        );
        before.insert(name.clone());
    }
}

#[test]
fn linked_crates_have_nothing_that_meson_cannot_build() {
    for (name, _) in listed() {
        let manifest = manifest(&name);
        assert!(!manifest.contains_key("features"), "{name} has features");
        assert!(
            !manifest.contains_key("build-dependencies"),
            "{name} has build dependencies"
        );
        let dir = repository().join("rust").join(&name);
        assert!(!dir.join("build.rs").exists(), "{name} has a build script");
        let library = manifest
            .get("lib")
            .and_then(|lib| lib.get("name"))
            .and_then(|name| name.as_str());
        assert_eq!(
            library,
            Some(name.replace('-', "_").as_str()),
            "the library of {name} is named like it"
        );
    }
}

#[test]
fn every_patch_says_why_and_is_documented() {
    let docs = fs::read_to_string(repository().join("docs/building.md")).unwrap();
    let all = repository().join("patches");
    let patches = |dir: PathBuf| -> BTreeMap<_, _> {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
        entries
            .filter(|entry| entry.path().extension().is_some_and(|e| e == "patch"))
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read_to_string(entry.path()).unwrap())
            })
            .collect()
    };
    let [one, other] = ["10.0", "10.2"].map(|branch| patches(all.join(branch)));
    // The same changes, in the words of each.
    assert!(one.keys().eq(other.keys()));
    for (name, text) in patches(all).into_iter().chain(one).chain(other) {
        assert!(
            docs.contains(&name),
            "docs/building.md does not name {name}"
        );
        let (_, message) = text.split_once("Subject: ").unwrap();
        let (message, _) = message.split_once("\n---\n").unwrap();
        assert!(
            message.lines().count() > 2,
            "{name} has no reason in its message"
        );
    }
}
