// SPDX-License-Identifier: GPL-2.0-or-later
//! The device's QOM properties: the drive's property table, and the statistics.

use pci::{add_property, show_properties, Access, PropertyValue};
use qemu::bindings::{DeviceClass, ObjectClass};
use ssd::{Config, Default, Kind, Preset, Property, PRESETS, PROPERTIES};
use units::Bytes;

use crate::device::ConzoneNvme;

/// Properties of the device beside those of the table: what one may look at and do at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    Statistics,
    Clock,
    Series,
    ZoneMap,
    ZoneSeries,
    ZoneReads,
    ZoneReadOnly,
    ZoneOffline,
    Fault,
    Record,
    History,
    PowerCut,
    Image,
    AfterKill,
    Sync,
}

const EXTRAS: [(Extra, &str, &str, Access, &str); 15] = [
    (
        Extra::Statistics,
        "stats",
        "str",
        Access::Read,
        "statistics of the flash model, as JSON (read only)",
    ),
    (
        Extra::Clock,
        "clock-ns",
        "uint64",
        Access::Read,
        "the guest's clock, by which the drive and its statistics go; with image= the drive's own, which goes on from where it was (read only)",
    ),
    (
        Extra::Series,
        "series",
        "str",
        Access::Read,
        "the counters over model time, as CSV; needs sample-interval-ns (read only)",
    ),
    (
        Extra::ZoneMap,
        "zone-map",
        "str",
        Access::Read,
        "states, write pointers and mapping of the zones, as CSV (read only)",
    ),
    (
        Extra::ZoneSeries,
        "zone-series",
        "str",
        Access::Read,
        "how full the zones were over model time, as CSV; needs sample-interval-ns (read only)",
    ),
    (
        Extra::ZoneReads,
        "zone-reads",
        "str",
        Access::Read,
        "what was read of the zones over model time, as CSV; needs sample-interval-ns (read only)",
    ),
    (
        Extra::ZoneReadOnly,
        "zone-read-only",
        "uint64",
        Access::Write,
        "at run time: the zone of this number becomes read-only, and the guest is told",
    ),
    (
        Extra::ZoneOffline,
        "zone-offline",
        "uint64",
        Access::Write,
        "at run time: the zone of this number goes offline, and the guest is told",
    ),
    (
        Extra::Fault,
        "fault",
        "str",
        Access::ReadWrite,
        "adds fault rules joined by ';', such as read-error,ns=2,lba=0+8,probability=1/100,seed=7,count=3; 'clear' drops all",
    ),
    (
        Extra::Record,
        "record",
        "str",
        Access::ReadWrite,
        "file that takes every command the flash model is given, as a trace for cargo conzone sim (default: none)",
    ),
    (
        Extra::History,
        "history",
        "str",
        Access::ReadWrite,
        "file that takes all that happens to the drive, with the data, so that cargo conzone crash can make the drive of any instant (default: none)",
    ),
    (
        Extra::PowerCut,
        "power-cut",
        "str",
        Access::ReadWrite,
        "cuts the drive's power: at run time 'now', or at an instant of clock-ns; 'never' takes that back; needs power-cuts (default: never)",
    ),
    (
        Extra::Image,
        "image",
        "str",
        Access::ReadWrite,
        "file that the drive lives in, its data and its state; made if there is none (default: none)",
    ),
    (
        Extra::AfterKill,
        "after-kill",
        "enum",
        Access::ReadWrite,
        "what a drive in an image is after QEMU was killed: as after a power-cut, or keep all it had; power-cut or keep (default: power-cut)",
    ),
    (
        Extra::Sync,
        "sync",
        "enum",
        Access::ReadWrite,
        "whether what a drive in an image promises (Flush, FUA, zone management, Deallocate) is on the host's disk before it is answered; never or flush (default: never)",
    ),
];

/// What index `index` stands for.
pub(crate) enum Which {
    Table(&'static Property),
    Extra(Extra),
}

/// Resolves the index that a property was added with.
pub(crate) fn which(index: usize) -> Option<Which> {
    if let Some(property) = PROPERTIES.get(index) {
        return Some(Which::Table(property));
    }
    let extra = EXTRAS.get(index.checked_sub(PROPERTIES.len())?)?;
    Some(Which::Extra(extra.0))
}

/// Adds all properties to the device's class.
pub(crate) fn register(class: &mut ObjectClass) {
    for (index, property) in PROPERTIES.iter().enumerate() {
        let (name, text) = (property.name(), describe(property));
        add_property::<ConzoneNvme>(class, name, kind(property), &text, index, Access::ReadWrite);
    }
    for (index, (_, name, kind, access, text)) in (PROPERTIES.len()..).zip(EXTRAS) {
        add_property::<ConzoneNvme>(class, name, kind, text, index, access);
    }
}

/// Has `info qtree` show what the drive is, and its fault rules: the other properties are too long, or only acted by.
pub(crate) fn show(class: &mut DeviceClass) {
    let table = PROPERTIES.iter().map(Property::name);
    show_properties(class, table.chain(["fault"]));
}

/// The type that `-device conzone-nvme,help` shows.
fn kind(property: &Property) -> &'static str {
    match property.kind {
        Kind::Size { .. } => "size",
        Kind::Bool => "bool",
        Kind::Choice(_) => "enum",
        Kind::Text { .. } | Kind::PageNanos { .. } => "str",
        Kind::Object => "id",
        Kind::Nanos { .. } | Kind::Bandwidth { .. } | Kind::Count { .. } | Kind::Percent { .. } => {
            "uint64"
        }
    }
}

/// One line: purpose, what it takes, default.
fn describe(property: &Property) -> String {
    let others = match property.default {
        Default::All("") => "none".to_owned(),
        Default::All(text) => text.to_owned(),
        Default::Auto(how) => format!("auto, {how}"),
    };
    format!(
        "{}; {} (default: {})",
        property.doc,
        property.expected(),
        by_preset(property, &others)
    )
}

/// Defaults by preset, equal ones together: `ufs4-tlc 1422, others 1600`.
fn by_preset(property: &Property, others: &str) -> String {
    let own = |preset: &Preset| {
        let text = preset.setting(property.key)?;
        Some(format!("{} {text}", preset.name))
    };
    let mut list: Vec<String> = PRESETS.iter().filter_map(own).collect();
    if list.is_empty() {
        return others.to_owned();
    }
    list.push(format!("others {others}"));
    list.join(", ")
}

/// Reads a property of the table in the type that `kind` announces.
pub(crate) fn read(config: &Config, property: &Property) -> PropertyValue {
    let text = config.get(property.name()).unwrap_or_default();
    match (property.kind, text.as_str(), text.parse::<Bytes>()) {
        (Kind::Bool, "on", _) => PropertyValue::Bool(true),
        (Kind::Bool, "off", _) => PropertyValue::Bool(false),
        (Kind::Text { .. } | Kind::Object, _, _) => PropertyValue::Text(text),
        // Every number, with or without a suffix.
        (_, _, Ok(number)) => PropertyValue::Number(number.get()),
        _ => PropertyValue::Text(text), // words, and `auto`
    }
}
