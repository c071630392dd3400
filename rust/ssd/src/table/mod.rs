// SPDX-License-Identifier: GPL-2.0-or-later
//! The property table: every figure a user may change, its bounds, default and source.
//!
//! Bounds keep absurd values from overflowing or exhausting the host; they are far outside what
//! any drive has. Rules between properties are in `plan`.

mod controller;
mod flash;
mod namespaces;
mod translation;

use crate::properties::{Default, Key, Kind, ModelKind, Property, NAMES};
use units::MIB;

const REFERENCE: &str = "ConZone+ configuration";
const FAMILY: &str = "ConZone+ family configuration";
const OURS: &str = "our choice";
const SIZING: &str = "sizing rule of the model (docs/model.md)";

const ZMS: &[ModelKind] = &[ModelKind::Zms];
const ZNS: &[ModelKind] = &[ModelKind::Zns];
const CONV: &[ModelKind] = &[ModelKind::Conv];
const SIMPLE: &[ModelKind] = &[ModelKind::Simple];
const ZONED: &[ModelKind] = &[ModelKind::Zms, ModelKind::Zns];
const NOT_ZNS: &[ModelKind] = &[ModelKind::Zms, ModelKind::Conv, ModelKind::Simple];
/// The models with an L2P cache.
const CACHED: &[ModelKind] = &[ModelKind::Zms, ModelKind::Conv];
/// The models on flash.
const FLASH: &[ModelKind] = &[ModelKind::Zms, ModelKind::Zns, ModelKind::Conv];
/// The models on `nand::Chips`.
const CHIPS: &[ModelKind] = &[ModelKind::Zns, ModelKind::Conv];

/// Longest model time of one step: an hour keeps every sum of them far from overflow.
const MAX_NS: u64 = 3_600_000_000_000;
const GIB: u64 = 1024 * MIB;
const TIB: u64 = 1024 * GIB;

/// A row of a property that all models have; see [`Property::only`].
const fn row(
    key: Key,
    kind: Kind,
    doc: &'static str,
    default: Default,
    source: &'static str,
) -> Property {
    Property {
        key,
        kind,
        doc,
        default,
        source,
        models: &ModelKind::ALL,
    }
}

const fn size(min: u64, max: u64) -> Kind {
    Kind::Size { min, max }
}

const fn count(min: u64, max: u64) -> Kind {
    Kind::Count { min, max }
}

const TIME: Kind = Kind::Nanos { max: MAX_NS };
const PAGE_TIME: Kind = Kind::PageNanos { max: MAX_NS };
const MBPS: Kind = Kind::Bandwidth { max: 1 << 20 };

/// Every property, in the order of [`Key`].
pub const PROPERTIES: &[Property] = &joined();

/// The property of that name.
#[must_use]
pub fn property(name: &str) -> Option<&'static Property> {
    PROPERTIES.iter().find(|p| p.name() == name)
}

/// The property whose name is nearest to what was typed, if that is near: a slip or two, or a part of the name.
pub(crate) fn nearest(typed: &str) -> Option<&'static str> {
    let typed = typed.get(..typed.len().min(64))?;
    let typed = typed.to_ascii_lowercase().replace('_', "-");
    let names = || PROPERTIES.iter().map(Property::name);
    let near = names().map(|name| (slips(&typed, name), name)).min();
    let near = near.filter(|(slips, _)| *slips <= 1 + typed.len() / 5);
    let part = || names().find(|name| typed.len() > 3 && name.contains(&typed));
    near.map(|(_, name)| name).or_else(part)
}

/// Letters to insert, leave out or change to get from one text to another (Levenshtein).
fn slips(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (number, letter) in from.bytes().enumerate() {
        let mut diagonal = number;
        let mut left = number + 1;
        let Some((first, rest)) = row.split_first_mut() else {
            break;
        };
        *first = left;
        for (slot, other) in rest.iter_mut().zip(to.bytes()) {
            let changed = diagonal + usize::from(letter != other);
            diagonal = *slot;
            left = changed.min(diagonal + 1).min(left + 1);
            *slot = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

const fn joined() -> [Property; NAMES.len()] {
    let parts = [
        namespaces::ROWS,
        flash::ROWS,
        translation::ROWS,
        controller::ROWS,
    ];
    let mut all = [namespaces::ROWS[0]; NAMES.len()];
    let (mut at, mut part) = (0, 0);
    while part < parts.len() {
        let mut i = 0;
        while i < parts[part].len() {
            all[at] = parts[part][i];
            i += 1;
            at += 1;
        }
        part += 1;
    }
    // Evaluated by the compiler: a name without a row does not build.
    assert!(at == NAMES.len());
    all
}
