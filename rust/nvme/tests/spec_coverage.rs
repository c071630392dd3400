// SPDX-License-Identifier: GPL-2.0-or-later
//! docs/spec-coverage.md names code and tests that exist, a test for whatever works, and the section
//! and figure of each row.

#![allow(clippy::unwrap_used, reason = "all of this file is a test")]

use std::fs;
use std::path::Path;

/// The text of all Rust files below a folder.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    // Not every crate has a folder of tests.
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &sources(&path);
        } else if path.extension().is_some_and(|e| e == "rs") {
            text += &fs::read_to_string(&path).unwrap();
        }
    }
    text
}

/// Whether a cell names a specification's section (or the proposal, which has none) and a figure.
fn is_cited(cell: &str) -> bool {
    let section = ["Base ", "NVM ", "ZNS ", "PCIe "]
        .iter()
        .filter_map(|spec| cell.strip_prefix(spec))
        .any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    cell.starts_with("TP 4076, \"") || section && cell.contains("figure")
}

/// What stands between backquotes in a table cell.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn the_document_names_what_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("../../docs/spec-coverage.md")).unwrap();
    let mut all = sources(&root.join("../../tests/qtest/tests"));
    for name in ["nvme", "zone", "zms", "zns", "ssd"] {
        let package = root.join("..").join(name);
        all += &sources(&package.join("src"));
        all += &sources(&package.join("tests"));
    }
    let mut rows = 0;
    for line in document.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let (&tests, status) = match cells.as_slice() {
            [_, "specification" | "what", ..] => continue,
            [_, section, _, file, tests, status, _] => {
                assert!(is_cited(section), "no section or figure: {line}");
                for name in quoted(file) {
                    let is_here = root.join("src").join(name).exists();
                    assert!(is_here || root.join("..").join(name).exists(), "{name}");
                }
                assert!(["yes", "model", "part", "no"].contains(status), "{line}");
                (tests, *status)
            }
            [_, _, tests, _] => (tests, "yes"),
            _ => unreachable!("{line}"),
        };
        rows += 1;
        assert!(status == "no" || tests.contains('`'), "no test: {line}");
        for name in quoted(tests) {
            let is_there = all.contains(&format!("fn {name}"));
            assert!(is_there, "no test {name}: {line}");
        }
    }
    assert!(rows > 60, "{rows}");
}
