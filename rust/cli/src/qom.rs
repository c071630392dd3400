// SPDX-License-Identifier: GPL-2.0-or-later
//! Drives of a running QEMU, over its machine protocol: ours started with `--qmp`, or any with
//! `-qmp unix:PATH,server=on,wait=off`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use guest::Qmp;
use serde_json::{json, Value};

use crate::failure::Prerequisite;

/// The monitor is there or it is not.
const LIMIT: Duration = Duration::from_secs(2);

/// Where QEMU keeps devices that have an id, and those that have none.
const PLACES: [&str; 2] = ["/machine/peripheral", "/machine/peripheral-anon"];

/// Connects to a monitor.
///
/// # Errors
/// A [`Prerequisite`] that says how to get one.
pub fn connect(socket: &Path) -> Result<Qmp> {
    Qmp::connect(socket, LIMIT).map_err(|error| {
        let shown = socket.display();
        Prerequisite(format!(
            "--qmp {shown}: {error:#}; start the drive with `cargo conzone run --qmp {shown}`, or QEMU with -qmp unix:{shown},server=on,wait=off"
        ))
        .into()
    })
}

/// The QOM paths of all drives.
///
/// # Errors
/// A broken connection.
pub fn drives(qmp: &mut Qmp) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for place in PLACES {
        let list = qmp.execute("qom-list", json!({"path": place}))?;
        let ours = list
            .as_array()
            .into_iter()
            .flatten()
            .filter(|entry| entry["type"] == "child<conzone-nvme>");
        found.extend(ours.filter_map(|entry| Some(format!("{place}/{}", entry["name"].as_str()?))));
    }
    Ok(found)
}

/// The drive of that path, or the only one there is.
///
/// # Errors
/// A [`Prerequisite`] that lists those there are.
pub fn one_drive(qmp: &mut Qmp, wanted: Option<&str>) -> Result<String> {
    let found = drives(qmp)?;
    let refused = |why: String| Err(Prerequisite(why).into());
    match (wanted, found.as_slice()) {
        (Some(path), _) if found.iter().any(|f| f == path) => Ok(path.to_owned()),
        (Some(path), _) => refused(format!(
            "--device {path}: there is no such drive; there are {}",
            list(&found)
        )),
        (None, [one]) => Ok(one.clone()),
        (None, []) => refused("this QEMU has no conzone-nvme".into()),
        (None, _) => refused(format!("choose one with --device: {}", found.join(", "))),
    }
}

fn list(found: &[String]) -> String {
    if found.is_empty() {
        "none".into()
    } else {
        found.join(", ")
    }
}

/// A property that is a text.
///
/// # Errors
/// There is no such property.
pub fn text(qmp: &mut Qmp, path: &str, property: &str) -> Result<String> {
    let value = value(qmp, path, property)?;
    let text = value
        .as_str()
        .with_context(|| format!("{path}: {property} is no text"))?;
    Ok(text.to_owned())
}

/// A property.
///
/// # Errors
/// There is no such property.
pub fn value(qmp: &mut Qmp, path: &str, property: &str) -> Result<Value> {
    qmp.execute("qom-get", json!({"path": path, "property": property}))
}
