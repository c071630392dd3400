// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone properties`: what can be set on the drive, from the drive's own table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use crate::out::{self, say};
use comfy_table::{presets, Table};
use serde::Serialize;
use ssd::{Default as Defaults, Key, ModelKind, Preset, Property, PRESETS, PROPERTIES};

/// List the drive's properties
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print docs/properties.md
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print the table as JSON
    #[arg(long)]
    json: bool,
}

/// A property as JSON shows it.
#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    takes: String,
    unit: &'static str,
    models: Vec<&'static str>,
    default: &'static str,
    /// Defaults of presets that have their own.
    presets: BTreeMap<&'static str, &'static str>,
    doc: &'static str,
    source: &'static str,
}

/// Prints the list.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.json {
        let rows: Vec<Row> = PROPERTIES.iter().map(row).collect();
        say!("{}", serde_json::to_string_pretty(&rows)?)?;
    } else if args.markdown {
        out::text(markdown())?;
    } else {
        say!("{}", table())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(property: &Property) -> Row {
    Row {
        name: property.name(),
        takes: property.expected(),
        unit: property.unit(),
        models: models(property),
        default: default(property),
        presets: own_defaults(property).collect(),
        doc: property.doc,
        source: property.source,
    }
}

fn models(property: &Property) -> Vec<&'static str> {
    property.models.iter().map(|model| model.name()).collect()
}

/// `all`, or the models that have the property.
fn models_text(property: &Property) -> String {
    if property.models == ModelKind::ALL {
        "all".to_owned()
    } else {
        models(property).join(", ")
    }
}

fn default(property: &Property) -> &'static str {
    match property.default {
        Defaults::All(text) => text,
        Defaults::Auto(_) => "auto",
    }
}

/// Presets that have a default of their own, and that.
fn own_defaults(property: &Property) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
    PRESETS
        .iter()
        .filter_map(|preset| Some((preset.name, preset.setting(property.key)?)))
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["property", "takes", "default", "models", "meaning"]);
    for property in PROPERTIES {
        let own = own_defaults(property).map(|(preset, text)| format!("{text} ({preset})"));
        let mut defaults = vec![default(property).to_owned()];
        defaults.extend(own);
        table.add_row([
            property.name(),
            &property.expected(),
            &defaults.join("\n"),
            &models_text(property),
            property.doc,
        ]);
    }
    table
}

/// The text of docs/properties.md.
fn markdown() -> String {
    let mut text = String::from(HEAD);
    // Writing to a String cannot fail, here and below.
    for preset in &PRESETS {
        let _ = writeln!(text, "| `{}` | {} |", preset.name, preset.doc);
    }
    text += "
## Properties

The default is that of `tlc-zoned`; an asterisk says that some presets have another, listed below.

| property | meaning | takes | default | models | source |
|---|---|---|---|---|---|
";
    for property in PROPERTIES {
        let own = if own_defaults(property).next().is_some() {
            " *"
        } else {
            ""
        };
        let default = match property.default {
            Defaults::All("") => "none".to_string(),
            Defaults::All(value) => format!("`{value}`{own}"),
            Defaults::Auto(how) => format!("`auto`: {how}{own}"),
        };
        let (name, doc, takes) = (property.name(), property.doc, property.expected());
        let (models, source) = (models_text(property), property.source);
        let _ = writeln!(
            text,
            "| `{name}` | {doc} | {takes} | {default} | {models} | {source} |"
        );
    }
    text += "\n## Presets\n\nProperties in which the presets differ.\n";
    for model in ModelKind::ALL {
        preset_table(&mut text, model);
    }
    text
}

/// The defaults of a model's presets, where one of them has its own.
fn preset_table(text: &mut String, model: ModelKind) {
    let columns: Vec<&Preset> = model.presets().collect();
    let _ = write!(text, "\n| model={} | unit |", model.name());
    for preset in &columns {
        let _ = write!(text, " `{}` |", preset.name);
    }
    *text += "\n|---|---|";
    *text += &"---|".repeat(columns.len());
    text.push('\n');
    for property in PROPERTIES {
        let differs = columns.iter().any(|p| p.setting(property.key).is_some());
        if !differs || property.key == Key::Model {
            continue;
        }
        let _ = write!(text, "| `{}` | {} |", property.name(), property.unit());
        for preset in &columns {
            let _ = write!(text, " {} |", property.default_in(preset));
        }
        text.push('\n');
    }
}

/// What docs/properties.md says first.
const HEAD: &str = "<!-- SPDX-License-Identifier: GPL-2.0-or-later -->
<!-- Printed by `cargo conzone properties --markdown`; a test compares. -->
# Device properties

Every figure of the drive is a property. The same keys serve `-device conzone-nvme,KEY=VALUE,...`,
`cargo conzone run --set KEY=VALUE`, `sim` and `validate`. A preset only sets defaults: what is set
explicitly wins, in any order. Sizes take the suffixes K, M, G and T (powers of 1024); 1 MB is 2^20 bytes.

A combination that makes no drive is refused when the device is realized, with one line that names the
property, its value and the rule. So is a property that the drive's model does not have: it would have no effect.

| preset | what it is |
|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_is_the_tables() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/properties.md");
        let committed = std::fs::read_to_string(page).unwrap();
        assert!(
            committed == markdown(),
            "run `cargo conzone properties --markdown > docs/properties.md`"
        );
    }

    #[test]
    fn every_property_is_in_every_form() {
        let (markdown, table) = (markdown(), table().to_string());
        for property in PROPERTIES {
            assert!(markdown.contains(&format!("| `{property}` |")));
            assert!(table.contains(property.name()));
        }
    }
}
