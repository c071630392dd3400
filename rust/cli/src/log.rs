// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone log`: what a drive counted, readable: the vendor log page (C0h) or the device's statistics.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use comfy_table::Table;
use serde_json::{json, Value};

use crate::failure::Prerequisite;
use crate::out::say;
use crate::qom;
use crate::table;
use report::accounts;
use report::statistics::{self, Section};

/// More than any page or statistics have.
const MOST_BYTES: u64 = 64 << 20;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "What it reads is told by its first bytes: the vendor log page as nvme-cli writes it with
--raw-binary, a stats.json, or QEMU's own answer to qom-get.

Examples:
  cargo conzone log conzone-out/001-tlc-zoned/stats.json
  cargo conzone exec -- nvme get-log /dev/nvme0 --log-id=0xc0 --log-len=4096 --raw-binary | cargo conzone log -
  cargo conzone log --qmp /tmp/drive.qmp"
)]
pub struct Args {
    /// The file; - is standard input
    #[arg(value_name = "FILE", required_unless_present = "qmp")]
    file: Option<PathBuf>,
    /// Ask the running device behind this QMP socket instead
    #[arg(long, value_name = "SOCKET", conflicts_with = "file")]
    qmp: Option<PathBuf>,
    /// Which device, by its QOM path [default: the only conzone-nvme]
    #[arg(long, value_name = "PATH", requires = "qmp")]
    device: Option<String>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Decodes and prints.
pub fn run(args: &Args) -> Result<ExitCode> {
    let (bytes, name) = match (&args.qmp, &args.file) {
        (Some(socket), _) => {
            let mut qmp = qom::connect(socket)?;
            let path = qom::one_drive(&mut qmp, args.device.as_deref())?;
            (qom::text(&mut qmp, &path, "stats")?.into_bytes(), path)
        }
        (None, Some(file)) => (read(file)?, file.display().to_string()),
        (None, None) => return Err(Prerequisite("name a FILE, or --qmp SOCKET".into()).into()),
    };
    let log = Log::decode(&bytes).map_err(|error| Prerequisite(format!("{name}: {error:#}")))?;
    if args.json {
        say!("{:#}", log.json())?;
    } else {
        say!("{}", log.text())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let result = if file.as_os_str() == "-" {
        io::stdin().lock().take(MOST_BYTES).read_to_end(&mut bytes)
    } else {
        fs::File::open(file).and_then(|f| f.take(MOST_BYTES).read_to_end(&mut bytes))
    };
    result.map_err(|e| Prerequisite(format!("{}: {e}", file.display())))?;
    Ok(bytes)
}

/// Either kind.
#[derive(Debug)]
enum Log {
    Page(Box<ssd::VendorLog>),
    Statistics(Value),
}

impl Log {
    fn decode(bytes: &[u8]) -> Result<Self> {
        let text = bytes.trim_ascii_start();
        if !matches!(text.first(), Some(b'{' | b'"')) {
            return Ok(Self::Page(Box::new(ssd::VendorLog::parse(bytes)?)));
        }
        let value: Value = serde_json::from_slice(text).context("neither a log page nor JSON")?;
        // QEMU answers with the statistics as a text, and QMP puts that into "return".
        let value = match value.get("return") {
            Some(answer) => answer.clone(),
            None => value,
        };
        Ok(Self::Statistics(match value.as_str() {
            Some(text) => serde_json::from_str(text).context("the answer is no statistics")?,
            None => value,
        }))
    }

    fn json(&self) -> Value {
        match self {
            Self::Statistics(value) => value.clone(),
            Self::Page(log) => {
                let object = |counters: &[(String, u64)]| {
                    counters
                        .iter()
                        .cloned()
                        .collect::<std::collections::BTreeMap<_, _>>()
                };
                let mut json = json!({"meta": object(&log.meta), "data": object(&log.data)});
                if let (Some(power), Some(json)) = (&log.power, json.as_object_mut()) {
                    json.insert("power_states".into(), power_states(power));
                }
                json
            }
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Page(log) => {
                let both = log.meta.iter().zip(&log.data);
                let rows = both.map(|((name, meta), (_, data))| {
                    let sum = meta.saturating_add(*data);
                    [
                        name.clone(),
                        meta.to_string(),
                        data.to_string(),
                        sum.to_string(),
                    ]
                });
                let counters = table::figures(["counter", "meta", "data", "both"], 1, rows);
                let power = log.power.as_ref().map(power_states);
                let power =
                    power.map(|power| statistics::sections(&json!({"power_states": power})));
                let power = power.into_iter().flatten();
                let parts = power.map(|s| format!("\n\n{}\n{}", s.name, shown(&s)));
                format!("{counters}{}", parts.collect::<String>())
            }
            Self::Statistics(stats) => {
                let sections = accounts::sections(stats)
                    .into_iter()
                    .chain(statistics::sections(stats));
                let parts: Vec<String> = sections
                    .map(|s| format!("{}\n{}", s.name, shown(&s)))
                    .collect();
                parts.join("\n\n")
            }
        }
    }
}

/// As the device's statistics have it.
fn power_states(power: &ssd::PowerReport) -> Value {
    serde_json::from_str(&ssd::power_states_json(power)).unwrap_or_default()
}

fn shown(section: &Section) -> Table {
    let columns = std::iter::once("").chain(section.columns.iter().map(String::as_str));
    let mut table = table::empty(columns, 1);
    for (name, values) in &section.rows {
        table.add_row(std::iter::once(name).chain(values));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page whose meta counters are 1, 2, ... and whose data counters go on from there.
    fn page() -> Vec<u8> {
        let n = ftl::Counter::ALL.len() as u16;
        let mut page = [b"CZST".as_slice(), &1_u16.to_le_bytes(), &n.to_le_bytes()].concat();
        page.extend((1..=2 * u64::from(n)).flat_map(u64::to_le_bytes));
        page.resize(4096, 0);
        page
    }

    #[test]
    fn pages_are_decoded_by_namespace() {
        let log = Log::decode(&page()).unwrap();
        let n = ftl::Counter::ALL.len() as u64;
        assert_eq!(log.json()["data"]["host_reads"], n + 1);
        let text = log.text();
        let line = text
            .lines()
            .find(|line| line.contains("host_reads"))
            .unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(
            words[1..],
            ["1".to_owned(), (n + 1).to_string(), (n + 2).to_string()]
        );
    }

    #[test]
    fn statistics_come_in_three_coats() {
        let stats = r#"{"waf": 1.25, "host_reads": 7}"#;
        let quoted = serde_json::to_string(stats).unwrap();
        for text in [
            stats.to_owned(),
            quoted.clone(),
            format!(" {{\"return\": {quoted}}}\n"),
        ] {
            let log = Log::decode(text.as_bytes()).unwrap();
            assert_eq!(log.json()["host_reads"], 7, "{text}");
            assert!(log.text().contains("1.25"));
        }
    }

    #[test]
    fn what_is_neither_is_said() {
        for bytes in [&b"hello"[..], b"{", b"", b"\"x\""] {
            assert!(Log::decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
