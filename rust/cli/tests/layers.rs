// SPDX-License-Identifier: GPL-2.0-or-later
//! The files of a crate use each other in one direction: none comes back to itself, at any depth of folders.

#![allow(clippy::unwrap_used, reason = "all of this file is a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Circles that there are.
const KNOWN: [(&str, &[&str]); 3] = [
    // A device, its properties and its alarm are one QOM object.
    ("hw/conzone", &["alarm", "device", "properties"]),
    // `page_range`.
    ("rust/zms", &["read", "zoned"]),
    // `Cause`.
    ("rust/zms", &["stats", "write"]),
];

type Graph = BTreeMap<String, BTreeSet<String>>;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The modules in a folder by name, and where each one's text is.
fn modules(folder: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_module = path.is_dir() || path.extension().is_some_and(|e| e == "rs");
        if is_module && !["lib", "main", "mod", "tests"].contains(&name.as_str()) {
            found.entry(name).or_default().push(path);
        }
    }
    found
}

/// What a file names with `use path::` or in `use path::{...}` at its outermost level: the words after the path.
fn used(text: &str, path: &str) -> BTreeSet<String> {
    let prefix = format!("use {path}::");
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices(&prefix) {
        let is_outermost = text[..at].ends_with('\n') || text[..at].ends_with("\npub(crate) ");
        let (statement, _) = text[at + prefix.len()..].split_once(';').unwrap();
        if !is_outermost {
            continue;
        }
        let mut depth = 0;
        let list = statement.strip_prefix('{').unwrap_or(statement);
        let items = list.split(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        });
        let word = |item: &str| {
            item.trim()
                .split([':', ' ', '}'])
                .next()
                .unwrap()
                .to_owned()
        };
        names.extend(items.map(word));
    }
    names
}

fn collect(path: &Path, at: &str, depth: usize, names: &mut BTreeSet<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            let inside = entry.unwrap().path();
            let is_its_own = inside.file_stem().is_some_and(|stem| stem == "mod");
            collect(&inside, at, depth + usize::from(!is_its_own), names);
        }
        return;
    }
    if path.file_stem().is_some_and(|stem| stem == "tests") {
        return;
    }
    let text = fs::read_to_string(path).unwrap();
    names.extend(used(&text, at));
    if depth == 0 {
        names.extend(used(&text, "super"));
    }
}

/// Modules of a folder, and of those below it, that reach each other.
fn circles(folder: &Path, at: &str, found: &mut BTreeSet<BTreeSet<String>>) {
    let modules = modules(folder);
    let mut graph = Graph::new();
    for (name, paths) in &modules {
        let mut names = BTreeSet::new();
        for path in paths {
            // A folder beside a file of its name has what is below it.
            let is_below = path.is_dir() && paths.len() > 1;
            collect(path, at, usize::from(is_below), &mut names);
            if path.is_dir() {
                circles(path, &format!("{at}::{name}"), found);
            }
        }
        names.retain(|other| other != name && modules.contains_key(other));
        graph.insert(name.clone(), names);
    }
    for name in graph.keys() {
        let circle: BTreeSet<String> = reached(&graph, name)
            .into_iter()
            .filter(|other| reached(&graph, other).contains(name))
            .collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
}

fn reached(graph: &Graph, from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(module) = open.pop() {
        for next in graph.get(&module).into_iter().flatten() {
            if seen.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    seen
}

#[test]
fn no_file_uses_itself_through_others() {
    let root = repository();
    let all = ["rust", "hw"].map(|part| fs::read_dir(root.join(part)).unwrap());
    let mut found = BTreeSet::new();
    let mut looked_at = 0;
    for entry in all.into_iter().flatten() {
        let folder = entry.unwrap().path();
        if !folder.join("src").is_dir() {
            continue;
        }
        looked_at += 1;
        let name = folder.strip_prefix(&root).unwrap().display().to_string();
        let mut of_crate = BTreeSet::new();
        circles(&folder.join("src"), "crate", &mut of_crate);
        found.extend(of_crate.into_iter().map(|circle| (name.clone(), circle)));
    }
    assert!(looked_at > 20);
    let known: BTreeSet<_> = KNOWN
        .iter()
        .map(|(name, circle)| {
            let circle = circle.iter().map(|module| (*module).to_owned());
            ((*name).to_owned(), circle.collect())
        })
        .collect();
    let new: Vec<_> = found.difference(&known).collect();
    assert!(new.is_empty(), "{new:?}");
}

#[test]
fn what_a_file_uses_is_understood() {
    let text =
        "//! use crate::not\nuse crate::one::{A, B};\nuse crate::{two, three::{C, D}, Four};\n\
        pub(crate) use crate::five::E;\nfn f() {\n    use crate::inner::F;\n}\n";
    let expected = ["Four", "five", "one", "three", "two"].map(str::to_owned);
    assert_eq!(used(text, "crate"), expected.into());
}
