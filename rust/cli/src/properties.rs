// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone properties`: what can be set on the drive, from the drive's own table.

use std::fmt::Write as _;
use std::process::ExitCode;

use comfy_table::{presets, Table};
use serde::Serialize;
use ssd::{Default as Defaults, Property, PRESETS, PROPERTIES};

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
    defaults: Vec<&'static str>,
    doc: &'static str,
    source: &'static str,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.json {
        let rows: Vec<Row> = PROPERTIES.iter().map(row).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else if args.markdown {
        print!("{}", markdown());
    } else {
        println!("{}", table());
    }
    Ok(ExitCode::SUCCESS)
}

fn row(property: &Property) -> Row {
    Row {
        name: property.name(),
        takes: property.expected(),
        unit: property.unit(),
        defaults: defaults(property),
        doc: property.doc,
        source: property.source,
    }
}

/// One default, or one for each preset.
fn defaults(property: &Property) -> Vec<&'static str> {
    match property.default {
        Defaults::All(text) => vec![text],
        Defaults::Each(texts) => texts.to_vec(),
        Defaults::Auto(_) => vec!["auto"],
    }
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["property", "takes", "default", "meaning"]);
    for property in PROPERTIES {
        let defaults = match property.default {
            Defaults::Each(texts) => PRESETS
                .iter()
                .zip(texts)
                .map(|((_, preset), text)| format!("{text} ({preset})"))
                .collect::<Vec<_>>()
                .join("\n"),
            _ => defaults(property).concat(),
        };
        let takes = property.expected();
        table.add_row([property.name(), &takes, &defaults, property.doc]);
    }
    table
}

/// The text of docs/properties.md.
fn markdown() -> String {
    let mut text = String::from(
        "<!-- SPDX-License-Identifier: GPL-2.0-or-later -->
<!-- Printed by `cargo conzone properties --markdown`; a test compares. -->
# Device properties

Every figure of the drive is a property. The same keys serve `-device conzone-nvme,KEY=VALUE,...`,
`cargo conzone run --set KEY=VALUE`, `sim` and `validate`. A preset only sets defaults: what is set
explicitly wins, in any order. Sizes take the suffixes K, M, G and T (powers of 1024); 1 MB is 2^20 bytes.

A combination that makes no drive is refused when the device is realized, with one line that names the
property, its value and the rule.

| property | meaning | takes | default | source |
|---|---|---|---|---|
",
    );
    for property in PROPERTIES {
        let default = match property.default {
            Defaults::All("") => "none".to_string(),
            Defaults::All(value) => format!("`{value}`"),
            Defaults::Each(_) => "by preset, below".to_string(),
            Defaults::Auto(how) => format!("`auto`: {how}"),
        };
        let (name, doc, takes) = (property.name(), property.doc, property.expected());
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| `{name}` | {doc} | {takes} | {default} | {} |",
            property.source
        );
    }
    text += "\n## Defaults by preset\n\n| property | unit |";
    for (_, preset) in PRESETS {
        let _ = write!(text, " `{preset}` |");
    }
    text += "\n|---|---|";
    text += &"---|".repeat(PRESETS.len());
    text.push('\n');
    for property in PROPERTIES {
        if let Defaults::Each(values) = property.default {
            let _ = write!(text, "| `{}` | {} |", property.name(), property.unit());
            for value in values {
                let _ = write!(text, " {value} |");
            }
            text.push('\n');
        }
    }
    text
}

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
