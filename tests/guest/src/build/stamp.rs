// SPDX-License-Identifier: GPL-2.0-or-later
//! Stamps: a file beside a result that says from what recipe it was made.

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

/// The hash of a recipe's parts.
pub(super) fn of(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps "ab","c" apart from "a","bc".
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Whether the result beside this stamp was made from this recipe.
pub(super) fn matches(stamp: &Path, recipe: &str) -> bool {
    fs::read_to_string(stamp).is_ok_and(|text| text == recipe)
}

/// Notes that the result is complete.
pub(super) fn write(stamp: &Path, recipe: &str) -> Result<()> {
    fs::write(stamp, recipe).with_context(|| format!("cannot write {}", stamp.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_knows_its_recipe() {
        let folder = tempfile::tempdir().unwrap();
        let stamp = folder.path().join("stamp");
        assert!(!matches(&stamp, &of(&["a", "b"])));
        write(&stamp, &of(&["a", "b"])).unwrap();
        assert!(matches(&stamp, &of(&["a", "b"])));
        assert!(!matches(&stamp, &of(&["ab"])), "parts are told apart");
        assert!(!matches(&stamp, &of(&["b", "a"])), "and so is their order");
    }
}
