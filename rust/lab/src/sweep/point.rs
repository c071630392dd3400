// SPDX-License-Identifier: GPL-2.0-or-later
//! Runs one point, on the flash model alone or in a guest.

use std::collections::BTreeMap;

use anyhow::{anyhow, Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use sim::InputError;

use super::plan::Point;
use super::work::Kind;
use crate::drive::Drive;
use crate::experiment::case::{Case, Metric, Row, Workload};
use crate::experiment::{model, Guest};
use crate::failure::Prerequisite;
use crate::input::TraceArgs;
use crate::sim::{figures, next_answer, Seen};

/// Figures by their names.
pub type Figures = BTreeMap<String, Number>;

/// What came of a point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It cannot be run, and why: its properties make no drive, or the drive does not take what is to be done with it.
    Refused(String),
    /// Figures of the trace, or of each measured phase.
    Measured(Vec<Figures>),
}

/// Runs it, in `guest` if there is one. What follows from the point alone is an outcome, also a refusal.
///
/// # Errors
/// A trace that cannot be read, a guest that fails.
pub fn run(point: &Point<'_>, guest: Option<&dyn Guest>) -> Result<Outcome> {
    let config = match point.drive.config() {
        Ok(config) => config,
        Err(error) => return Ok(Outcome::Refused(error.to_string())),
    };
    match &point.work.kind {
        Kind::Trace { args, file, at, .. } => {
            trace(&point.drive, &config, args, file).map_err(|error| anyhow!("{at}: {error:#}"))
        }
        Kind::Phases { phases, seed, .. } => {
            workload(point, Workload::Raw(phases.clone()), *seed, guest)
        }
        Kind::F2fs { fsync, bytes, seed } => {
            let (fsync, bytes, x) = (*fsync, *bytes, 0.0);
            workload(point, Workload::F2fs { fsync, bytes, x }, *seed, guest)
        }
    }
}

fn workload(
    point: &Point<'_>,
    workload: Workload,
    seed: u16,
    guest: Option<&dyn Guest>,
) -> Result<Outcome> {
    let case = Case {
        series: point.work.name.clone(),
        drive: point.drive.clone(),
        workload,
    };
    let rows = match guest {
        Some(guest) => guest
            .run(&case, seed)
            .with_context(|| format!("point {}", point.number))?,
        None => match model::run_seeded(&case, seed) {
            Ok(rows) => rows,
            Err(error) => return Ok(Outcome::Refused(format!("{error:#}"))),
        },
    };
    Ok(Outcome::Measured(rows.iter().map(figures_of).collect()))
}

/// A row's figures under the names that a trace's have.
fn figures_of(row: &Row) -> Figures {
    let counters = row.counters.iter();
    let mut figures: Figures = counters
        .map(|(name, n)| (name.clone(), (*n).into()))
        .collect();
    let counts = [
        ("commands", row.commands),
        ("errors", row.errors),
        ("bytes", row.bytes),
        ("elapsed_ns", row.duration_ns),
        ("latency.mean_ns", row.mean_ns),
        ("latency.p50_ns", row.p50_ns),
        ("latency.p99_ns", row.p99_ns),
        ("latency.max_ns", row.max_ns),
    ];
    figures.extend(counts.map(|(name, n)| (name.to_owned(), n.into())));
    let bandwidth = Metric::Bandwidth.of(row).map(|mega| mega * 1e6);
    let ratios = [
        ("bytes_per_second", bandwidth),
        ("iops", Metric::Iops.of(row)),
        ("waf", Metric::Waf.of(row)),
    ];
    let known = ratios
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    let known = known.filter_map(|(name, value)| Some((name.to_owned(), Number::from_f64(value)?)));
    figures.extend(known);
    figures
}

fn trace(drive: &Drive, config: &ssd::Config, args: &TraceArgs, file: &str) -> Result<Outcome> {
    let mut simulation = match drive.simulation(config) {
        Ok(simulation) => simulation,
        Err(error) => return Ok(Outcome::Refused(error.to_string())),
    };
    let mut input = match args.open_as("", file, &simulation, config, |raw| raw) {
        Ok(input) => input,
        // A plan's keys are called as the options of `sim`, without their dashes.
        Err(error) if error.is::<Prerequisite>() => {
            return Ok(Outcome::Refused(error.to_string().replace("--", "")))
        }
        Err(error) => return Err(error),
    };
    let mut seen = Seen::default();
    loop {
        match next_answer(&mut simulation, &mut input) {
            Ok(Some(answer)) => seen.add(&answer),
            Ok(None) => break,
            Err(error @ InputError::Place { .. }) => {
                return Ok(Outcome::Refused(error.to_string()))
            }
            Err(error) => return Err(error.into()),
        }
    }
    let mut all = Figures::new();
    let statistics = figures(&simulation, &input, &seen)?;
    collect(&mut all, "", &statistics);
    let counts = [("commands", seen.commands), ("bytes", seen.bytes)];
    all.extend(counts.map(|(name, n)| (name.to_owned(), n.into())));
    for part in ["trace", "log"] {
        collect(&mut all, &format!("{part}."), &statistics[part]);
    }
    for part in ["latency", "recorded"] {
        for (op, latency) in statistics[part].as_object().into_iter().flatten() {
            collect(&mut all, &format!("{part}.{op}."), latency);
        }
    }
    Ok(Outcome::Measured(vec![all]))
}

/// The numbers among an object's members.
fn collect(all: &mut Figures, prefix: &str, object: &Value) {
    for (name, value) in object.as_object().into_iter().flatten() {
        if let Value::Number(number) = value {
            all.insert(format!("{prefix}{name}"), number.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sweep::plan::Plan;
    use crate::sweep::work::Engine;

    const TRACE: &str = "0 1 W 0 8 0\n100000 1 R 0 8 0\n";

    fn outcomes(plan: &str) -> Vec<Outcome> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("t"), TRACE).unwrap();
        std::fs::write(dir.path().join("b.csv"), "1,W,8192,4096,5\n").unwrap();
        std::fs::write(
            dir.path().join("bad.csv"),
            "1,W,8192,4096,5\n1,W,x,4096,6\n",
        )
        .unwrap();
        let plan = Plan::parse("p", plan, dir.path(), Engine::Model).unwrap();
        plan.iter()
            .map(|point| run(&point, None).unwrap())
            .collect()
    }

    #[test]
    fn a_trace_gives_what_sim_gives() {
        let all = outcomes("presets = \"ufs4-tlc\"\n[[trace]]\nfile = \"t\"");
        let [Outcome::Measured(rows)] = all.as_slice() else {
            panic!("{all:?}")
        };
        let figure = |name: &str| rows[0][name].as_u64().unwrap();
        // The closed form of one write of 4 KiB, as in the model's own tests.
        assert_eq!(figure("latency.W.mean_ns"), 7_503);
        assert_eq!(
            (figure("commands"), figure("bytes"), figure("errors")),
            (2, 8192, 0)
        );
        assert_eq!(figure("host_write_pages"), 1);
    }

    #[test]
    fn what_a_drive_took_is_beside_what_this_one_takes() {
        let dir = tempfile::tempdir().unwrap();
        let text = "1, 81000, 1, 4096, 0, 0\n1, 95000, 0, 4096, 0, 0\n2, 97000, 0, 4096, 0, 0\n";
        std::fs::write(dir.path().join("d_lat.1.log"), text).unwrap();
        let plan = "presets = [\"tlc-block\"]\n[[trace]]\nfile = \"d_lat.1.log\"";
        let plan = Plan::parse("p", plan, dir.path(), Engine::Model).unwrap();
        let Outcome::Measured(rows) = run(&plan.point(1).unwrap(), None).unwrap() else {
            panic!("refused")
        };
        let figure = |name: &str| rows[0][name].as_u64();
        assert_eq!(figure("recorded.R.count"), Some(2));
        assert_eq!(figure("recorded.R.mean_ns"), Some(96_000));
        assert_eq!(figure("recorded.W.max_ns"), Some(81_000));
        assert_eq!(figure("latency.R.count"), Some(2));
    }

    #[test]
    fn measured_phases_have_a_row_each_and_seeds_matter() {
        let plan = r#"
            seeds = [1, 2, 1]
            [set]
            l2p-hybrid = "off"
            l2p-cache-size = "4K"
            [[workload]]
            name = "w"
            [[workload.phase]]
            name = "fill"
            access = "write"
            bytes = "32M"
            block = "256K"
            [[workload.phase]]
            name = "read"
            access = "random-read"
            bytes = "1M"
            range = "32M"
        "#;
        let all = outcomes(plan);
        let Outcome::Measured(rows) = &all[0] else {
            panic!("{all:?}")
        };
        assert_eq!(rows.len(), 2);
        assert_eq!(
            (rows[0]["commands"].as_u64(), rows[1]["commands"].as_u64()),
            (Some(128), Some(256))
        );
        assert_ne!(all[0], all[1], "another seed");
        assert_eq!(all[0], all[2], "the same seed");
    }

    /// A trace's arrivals are from the end of ageing on, and only what it asked for is counted.
    #[test]
    fn a_trace_finds_an_aged_drive_at_rest() {
        let all = outcomes("age = \"fill=50\"\nset.zones = 8\n[[trace]]\nfile = \"t\"");
        let [Outcome::Measured(rows)] = all.as_slice() else {
            panic!("{all:?}")
        };
        let figure = |name: &str| rows[0][name].as_u64().unwrap();
        // Zone 0 is full: what the trace writes there is refused, what it reads is there.
        assert_eq!((figure("errors"), figure("host_reads")), (1, 1));
        assert_eq!((figure("zone_resets"), figure("unmapped_reads")), (0, 0));
        assert!(figure("elapsed_ns") < 1_000_000 && figure("end_ns") > 1_000_000_000);
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_a_reason() {
        for (plan, reason) in [
            ("[set]\nblock-size = \"1M\"\n[[trace]]\nfile = \"t\"", "block-size"),
            ("[[trace]]\nfile = \"b.csv\"\nplace = \"none\"", "b.csv:1: "),
            ("[[trace]]\nfile = \"b.csv\"\nplace = \"log\"\nlogs = 60000", "logs 60000: this drive can have 1 to 6"),
            ("[[trace]]\nfile = \"t\"\nplace = \"log\"", "place is for block traces"),
            ("[[workload]]\nname = \"w\"\n[[workload.phase]]\nname = \"x\"\naccess = \"random-write\"\nbytes = 4096", "at random"),
            ("[[workload]]\nname = \"w\"\n[[workload.phase]]\nname = \"x\"\naccess = \"write\"\nbytes = \"1T\"", "bytes that can be written"),
        ] {
            let all = outcomes(plan);
            let [Outcome::Refused(why)] = all.as_slice() else {
                panic!("{plan}: {all:?}")
            };
            assert!(why.contains(reason) && !why.starts_with('-'), "{why}");
        }
    }

    #[test]
    fn a_trace_that_cannot_be_read_ends_the_sweep() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("bad.csv"),
            "1,W,8192,4096,5\n1,W,x,4096,6\n",
        )
        .unwrap();
        let plan = "[[trace]]\nfile = \"bad.csv\"\nplace = \"log\"";
        let plan = Plan::parse("p", plan, dir.path(), Engine::Model).unwrap();
        let error = run(&plan.point(1).unwrap(), None).unwrap_err().to_string();
        assert!(error.starts_with("trace.bad: bad.csv:2:"), "{error}");
    }

    #[test]
    fn the_traces_that_are_here_run_without_errors() {
        let docs = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs"));
        let mut seen = 0;
        for entry in std::fs::read_dir(docs.join("traces")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let Some(name) = name.strip_suffix(".trace.gz") else {
                continue;
            };
            assert!(
                path.with_file_name(format!("{name}.sh")).is_file(),
                "{name}"
            );
            assert!(path.metadata().unwrap().len() < 300_000, "{name}");
            let preset = if name.starts_with("ext4") {
                "tlc-block"
            } else {
                "tlc-zoned"
            };
            let plan = format!(
                "presets = [\"{preset}\"]\nset.max-active = 8\n[[trace]]\nfile = \"traces/{name}.trace.gz\""
            );
            let plan = Plan::parse("p", &plan, docs, Engine::Model).unwrap();
            let Outcome::Measured(rows) = run(&plan.point(1).unwrap(), None).unwrap() else {
                panic!("{name}")
            };
            assert_eq!(rows[0]["errors"].as_u64(), Some(0), "{name}");
            assert!(rows[0]["commands"].as_u64() > Some(3000), "{name}");
            seen += 1;
        }
        assert_eq!(seen, 3);
    }

    #[test]
    fn the_research_plan_finds_what_its_page_says() {
        let docs = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs"));
        let plan = Plan::read(&docs.join("research.toml"), Engine::Model).unwrap();
        let page = std::fs::read_to_string(docs.join("research.md")).unwrap();
        let figure = |number: u64, name: &str| {
            let outcome = run(&plan.point(number).unwrap(), None).unwrap();
            let Outcome::Measured(rows) = outcome else {
                panic!("{outcome:?}")
            };
            rows[0][name].as_f64().unwrap()
        };
        assert_eq!(plan.points(), 12);
        for (preset, two) in [("tlc-zoned", 1), ("qlc-zoned-page-slc", 7)] {
            let four = two + 3;
            let line = format!(
                "| `{preset}` | {} / {} | {:.2} / {:.2} | {:.0} / {:.0} |",
                figure(two, "flush_premature"),
                figure(four, "flush_premature"),
                figure(two, "waf"),
                figure(four, "waf"),
                figure(two, "latency.F.mean_ns") / 1e3,
                figure(four, "latency.F.mean_ns") / 1e3,
            );
            assert!(page.contains(&line), "{line}");
            for cache in 1..3 {
                assert_eq!(figure(two, "waf"), figure(two + cache, "waf"));
            }
        }
    }
}
