// SPDX-License-Identifier: GPL-2.0-or-later
//! The files of this crate use each other in one direction: none comes back to itself.

#![allow(clippy::unwrap_used, reason = "all of this file is a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What each module at the top names with `use crate::`, those below it included.
fn uses(module: &str, path: &Path, graph: &mut BTreeMap<String, BTreeSet<String>>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            uses(module, &entry.unwrap().path(), graph);
        }
        return;
    }
    let text = fs::read_to_string(path).unwrap();
    let named = text.lines().filter_map(|l| l.strip_prefix("use crate::"));
    let names = named.filter_map(|l| l.split(':').next());
    let others = names.filter(|name| *name != module).map(str::to_owned);
    graph.entry(module.to_owned()).or_default().extend(others);
}

fn reaches(graph: &BTreeMap<String, BTreeSet<String>>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        for next in graph.get(module).into_iter().flatten() {
            if next == to {
                return true;
            }
            if seen.insert(next.as_str()) {
                open.push(next);
            }
        }
    }
    false
}

#[test]
fn no_file_uses_itself_through_others() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut graph = BTreeMap::new();
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if module != "lib" {
            uses(&module, &path, &mut graph);
        }
    }
    assert!(graph.len() > 20 && graph["io"].contains("controller"));
    for module in graph.keys() {
        assert!(
            !reaches(&graph, module, module),
            "a circle through {module}"
        );
    }
}
