// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone properties`: what can be set on the drive, from the drive's own table; or what is set on one, as a file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use crate::drive::Drive;
use crate::drive_file;
use crate::failure::Prerequisite;
use crate::out::{self, say};
use comfy_table::{presets, ContentArrangement, Table};
use serde::Serialize;
use ssd::{Default as Defaults, Key, ModelKind, Preset, Property, PRESETS, PROPERTIES};

/// List the drive's properties, or print a drive as a file
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo conzone properties
  cargo conzone properties buffer
  cargo conzone properties --model zns --json
  cargo conzone properties --preset ufs4-tlc --set zones=64 >my.drive
  cargo conzone properties --drive docs/small.drive --device")]
pub struct Args {
    /// Only those with this in their name or meaning
    #[arg(value_name = "TEXT", conflicts_with_all = ["preset", "drive", "set"])]
    text: Option<String>,
    /// Only those of drives of this model
    #[arg(long, value_name = "NAME", value_parser = ModelKind::ALL.map(|model| model.name()), conflicts_with_all = ["preset", "drive", "set"])]
    model: Option<String>,
    /// Print docs/properties.md
    #[arg(long, conflicts_with_all = ["json", "text", "model", "preset", "drive", "set"])]
    markdown: bool,
    /// Print the table as JSON
    #[arg(long, conflicts_with_all = ["preset", "drive", "set"])]
    json: bool,
    #[command(flatten)]
    drive: Drive,
    /// Print the drive that the other options name as what follows QEMU's -device
    #[arg(long, conflicts_with_all = ["json", "markdown", "text", "model"])]
    device: bool,
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
    if args.device || args.drive.is_given() {
        let config = args.drive.config()?;
        if args.device {
            say!("{}", args.drive.device())?;
        } else {
            out::text(drive_file::text(&config))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if args.markdown {
        out::text(markdown())?;
        return Ok(ExitCode::SUCCESS);
    }
    let chosen: Vec<_> = PROPERTIES.iter().filter(|p| args.wants(p)).collect();
    if chosen.is_empty() {
        let text = args.text.as_deref().unwrap_or_default();
        return Err(
            Prerequisite(format!("no property has '{text}' in its name or meaning")).into(),
        );
    }
    if args.json {
        let rows: Vec<Row> = chosen.into_iter().map(row).collect();
        say!("{}", serde_json::to_string_pretty(&rows)?)?;
    } else {
        say!("{}", table(&chosen))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn wants(&self, property: &Property) -> bool {
        let text = self.text.as_deref().unwrap_or_default().to_lowercase();
        let named = [property.name(), property.doc]
            .iter()
            .any(|words| words.to_lowercase().contains(&text));
        let model = self.model.as_deref();
        named && model.is_none_or(|model| models(property).contains(&model))
    }
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

/// Columns of a terminal that the table fits.
const WIDTH: u16 = 100;

fn table(chosen: &[&Property]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(WIDTH);
    table.set_header(["property", "default", "meaning"]);
    for property in chosen {
        let own = own_defaults(property).map(|(preset, text)| format!("{text} ({preset})"));
        let mut defaults = vec![default(property).to_owned()];
        defaults.extend(own);
        let mut meaning = format!("{}\ntakes {}", property.doc, property.expected());
        if property.models != ModelKind::ALL {
            meaning += &format!("\nonly with model={}", models_text(property));
        }
        table.add_row([property.name(), &defaults.join("\n"), &meaning]);
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
explicitly wins, in any order; [drive files](drives.md) keep settings. Sizes take the suffixes K, M, G and T (powers of 1024); 1 MB is 2^20 bytes.

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
        let all: Vec<_> = PROPERTIES.iter().collect();
        let (markdown, table) = (markdown(), table(&all).to_string());
        for property in PROPERTIES {
            assert!(markdown.contains(&format!("| `{property}` |")));
            assert!(table.contains(property.name()));
        }
    }

    #[test]
    fn the_table_fits_and_is_of_what_was_asked_for() {
        let args = |text: Option<&str>, model: Option<&str>| Args {
            text: text.map(str::to_owned),
            model: model.map(str::to_owned),
            markdown: false,
            json: false,
            drive: Drive::default(),
            device: false,
        };
        let chosen =
            |args: Args| -> Vec<_> { PROPERTIES.iter().filter(|p| args.wants(p)).collect() };
        let all = chosen(args(None, None));
        assert_eq!(all.len(), PROPERTIES.len());
        let table = table(&all).to_string();
        let widest = table.lines().map(|line| line.chars().count()).max();
        assert!(widest.unwrap() <= usize::from(WIDTH), "{widest:?}");
        for line in table
            .lines()
            .filter(|line| line.contains("write-buffer-size"))
        {
            assert!(
                line.trim_start().starts_with("write-buffer-size ")
                    || line.contains("meta-write-buffer-size"),
                "names are whole: {line}"
            );
        }
        let zones = chosen(args(Some("ZONE"), Some("zns")));
        assert!(zones.iter().any(|p| p.name() == "zone-capacity") && zones.len() < all.len());
        assert!(zones.iter().all(|p| p.models.contains(&ModelKind::Zns)));
        let nothing = run(&args(Some("no such thing"), None)).unwrap_err();
        assert!(nothing.is::<Prerequisite>(), "{nothing}");
    }
}
