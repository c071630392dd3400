// SPDX-License-Identifier: GPL-2.0-or-later
//! What a plan does with its drives: traces, and workloads of phases. Where one of their keys has a list, each value
//! makes one more of them.

use std::path::Path;

use anyhow::Result;
use serde_json::{json, Value as Json};
use toml::Value;
use trace::block::Format;
use units::{PAGE_BYTES, SECTOR_BYTES};

use super::section::Section;
use super::MOST_POINTS;
use crate::experiment::case::{Access, Phase};
use crate::input::{Cleaning, Place, Streams, TraceArgs};
use crate::store;

/// Of a phase: commands that are outstanding are kept in memory.
const MOST_JOBS: u64 = 1024;
const MOST_DEPTH: u64 = 4096;
/// An hour.
const MOST_PAUSE_MS: u64 = 3_600_000;
/// Of a phase, bytes: far more than a drive has, and sums of them still fit.
const MOST_BYTES: u64 = 1 << 50;
const MOST_BLOCK: u64 = 1 << 30;

/// One trace or workload with one choice of everything that the plan varies in it.
#[derive(Clone, Debug)]
pub struct Work {
    /// What the plan calls it.
    pub name: String,
    /// What it varies: column and value.
    pub varied: Vec<(String, String)>,
    /// What it is.
    pub kind: Kind,
}

/// What is done.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A trace is run.
    Trace {
        /// Which, and how.
        args: Box<TraceArgs>,
        /// As the plan names the file.
        file: String,
        /// What it consists of.
        digest: String,
        /// Where the plan has it, for messages.
        at: String,
    },
    /// Phases one after another.
    Phases {
        /// The phases; those with an `x` are measured.
        phases: Vec<Phase>,
        /// Names of the measured ones.
        names: Vec<String>,
        /// Of the host's random choices.
        seed: u16,
    },
    /// A file on F2FS is overwritten at random, 4 KiB at a time.
    F2fs {
        /// Writes for each fsync; 0: one at the end.
        fsync: u32,
        /// Bytes of the file, and bytes written.
        bytes: u64,
        /// Of the host's random choices.
        seed: u16,
    },
}

/// What runs a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The flash model alone.
    Model,
    /// fio under Linux.
    Guest,
}

impl Work {
    /// Whether this engine can do it.
    fn runs_on(&self, engine: Engine) -> bool {
        match self.kind {
            Kind::Trace { .. } => engine == Engine::Model,
            Kind::Phases { .. } => true,
            Kind::F2fs { .. } => engine == Engine::Guest,
        }
    }

    /// All that its results depend on; names are not among it.
    #[must_use]
    pub fn key(&self) -> Json {
        match &self.kind {
            Kind::Trace { args, digest, .. } => json!({
                "trace": digest, "format": args.format, "columns": args.columns, "unit": args.unit,
                "drop_duplicates": args.drop_duplicates, "device": args.trace_device, "logs": args.logs,
                "how": format!("{:?} {:?} {:?}", args.place, args.streams, args.cleaning),
            }),
            Kind::Phases { phases, seed, .. } => json!({"phases": phases, "seed": seed}),
            Kind::F2fs { fsync, bytes, seed } => {
                json!({"f2fs": {"fsync": fsync, "bytes": bytes}, "seed": seed})
            }
        }
    }
}

/// The traces and workloads of a plan that this engine can do.
///
/// # Errors
/// What they are is none, or a trace cannot be read.
pub fn all(plan: &mut Section, dir: &Path, engine: Engine) -> Result<Vec<Work>> {
    let seeds = seeds(plan)?;
    let mut works = Vec::new();
    let mut names = Vec::new();
    for section in plan.sections("trace")? {
        works.extend(traces(section, dir, &mut names)?);
    }
    for section in plan.sections("workload")? {
        works.extend(workloads(section, &seeds, &mut names)?);
    }
    if works.is_empty() {
        let rule = "at least one [[trace]] or [[workload]] is needed";
        return Err(plan.wrong("trace", rule));
    }
    works.retain(|work| work.runs_on(engine));
    if works.is_empty() {
        return Err(match engine {
            Engine::Model => plan.wrong("workload", "F2FS needs Linux: run it with --guest"),
            Engine::Guest => plan.wrong("trace", "runs on the model only, without --guest"),
        });
    }
    Ok(works)
}

fn seeds(plan: &mut Section) -> Result<Vec<u16>> {
    let mut seeds = Vec::new();
    for value in plan.many("seeds")? {
        let seed = plan.number_of("seeds", &value, 0, u16::MAX.into())?;
        seeds.push(u16::try_from(seed)?);
    }
    Ok(seeds)
}

/// Names tell works apart.
fn name(section: &mut Section, names: &mut Vec<String>, default: Option<String>) -> Result<String> {
    let name = section.text("name")?.or(default);
    let name = name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| section.wrong("name", "is needed"))?;
    if names.contains(&name) {
        let rule = "another trace or workload has this name: give each a name";
        return Err(section.bad("name", format!("\"{name}\""), rule));
    }
    names.push(name.clone());
    Ok(name)
}

fn traces(mut section: Section, dir: &Path, names: &mut Vec<String>) -> Result<Vec<Work>> {
    let file = section.text("file")?;
    let file = file.ok_or_else(|| section.wrong("file", "is needed"))?;
    let stem = file
        .rsplit('/')
        .next()
        .and_then(|name| name.split('.').next());
    let name = name(&mut section, names, stem.map(str::to_owned))?;
    section.rename(format!("trace.{name}"));
    let path = dir.join(&file);
    let bad =
        |error: &anyhow::Error| section.bad("file", format!("\"{file}\""), error.root_cause());
    let digest = store::digest(std::slice::from_ref(&path)).map_err(|error| bad(&error))?;
    let format = section.text("format")?;
    if let Some(format) = &format {
        let known = Format::ALL.map(Format::name);
        if !known.contains(&format.as_str()) {
            let rule = format!("one of {} is needed", known.join(", "));
            return Err(section.bad("format", format!("\"{format}\""), rule));
        }
    }
    let base = TraceArgs {
        trace: path,
        format,
        columns: section.text("columns")?,
        unit: section.text("unit")?,
        drop_duplicates: section.switch("drop-duplicates")?,
        trace_device: section.text("device")?,
        place: None,
        logs: 1,
        streams: Streams::Process,
        cleaning: Cleaning::Greedy,
    };
    base.options()
        .map_err(|error| section.wrong("columns", error))?;
    let mut axes = Vec::new();
    for key in ["place", "logs", "streams", "cleaning"] {
        axes.push((key.to_owned(), section.many(key)?));
    }
    let at = format!("trace.{name}");
    let mut works = Vec::new();
    for choice in product(&section, &axes)? {
        let mut args = base.clone();
        for (key, value) in &choice.chosen {
            match *key {
                "place" => args.place = Some(section.word_of::<Place>(key, value)?),
                "logs" => args.logs = section.number_of(key, value, 1, u16::MAX.into())?,
                "streams" => args.streams = section.word_of(key, value)?,
                _ => args.cleaning = section.word_of(key, value)?,
            }
        }
        works.push(Work {
            name: name.clone(),
            varied: choice.varied("trace"),
            kind: Kind::Trace {
                args: Box::new(args),
                file: file.clone(),
                digest: digest.clone(),
                at: at.clone(),
            },
        });
    }
    section.finish()?;
    Ok(works)
}

/// Keys of a phase that may have lists.
pub const PHASE: [&str; 10] = [
    "access",
    "block",
    "bytes",
    "range",
    "jobs",
    "depth",
    "start",
    "flush-every",
    "think-us",
    "pause-ms",
];

fn workloads(mut section: Section, seeds: &[u16], names: &mut Vec<String>) -> Result<Vec<Work>> {
    let name = name(&mut section, names, None)?;
    section.rename(format!("workload.{name}"));
    let f2fs = section.pairs("f2fs")?;
    if !f2fs.is_empty() {
        let works = f2fs_workloads(f2fs, &name, seeds)?;
        section.finish()?;
        return Ok(works);
    }
    let mut phases = section.sections("phase")?;
    let mut measured = Vec::new();
    let mut axes = Vec::new();
    for (number, phase) in phases.iter_mut().enumerate() {
        let named = phase.text("name")?;
        let title = named.clone().unwrap_or_else(|| (number + 1).to_string());
        if named.as_ref().is_some_and(|name| measured.contains(name)) {
            let rule = "another phase has this name";
            return Err(phase.bad("name", format!("\"{title}\""), rule));
        }
        for key in PHASE {
            axes.push((format!("{title}.{key}"), phase.many(key)?));
        }
        measured.push(named.unwrap_or_default());
    }
    if measured.iter().all(String::is_empty) {
        let rule = "at least one [[workload.phase]] with a name is needed: those are measured";
        return Err(section.wrong("phase", rule));
    }
    let mut works = Vec::new();
    for choice in product(&section, &axes)? {
        let mut made = Vec::new();
        for (number, (section, values)) in phases
            .iter()
            .zip(choice.whole.chunks(PHASE.len()))
            .enumerate()
        {
            let x = measured.get(number).filter(|name| !name.is_empty());
            let x = x.map(|_| number as f64);
            made.push(Phase {
                x,
                ..phase(section, values)?
            });
        }
        let kind = |seed| Kind::Phases {
            phases: made.clone(),
            names: measured
                .iter()
                .filter(|name| !name.is_empty())
                .cloned()
                .collect(),
            seed,
        };
        works.extend(seeded(&name, &choice, seeds, kind));
    }
    phases.into_iter().try_for_each(Section::finish)?;
    section.finish()?;
    Ok(works)
}

/// What `[workload.f2fs]` says.
fn f2fs_workloads(mut section: Section, name: &str, seeds: &[u16]) -> Result<Vec<Work>> {
    let mut axes = Vec::new();
    for key in ["bytes", "fsync-every"] {
        axes.push((key.to_owned(), section.many(key)?));
    }
    let mut works = Vec::new();
    for choice in product(&section, &axes)? {
        let (mut bytes, mut fsync) = (16 << 20, 1);
        for (key, value) in &choice.chosen {
            match *key {
                "bytes" => bytes = section.number_of(key, value, 1 << 20, MOST_BYTES)?,
                _ => fsync = section.number_of(key, value, 0, u32::MAX.into())?,
            }
        }
        if bytes % PAGE_BYTES != 0 {
            let rule = format!("a multiple of {PAGE_BYTES} bytes is needed");
            return Err(section.bad("bytes", bytes, rule));
        }
        let fsync = u32::try_from(fsync)?;
        let kind = |seed| Kind::F2fs { fsync, bytes, seed };
        works.extend(seeded(name, &choice, seeds, kind));
    }
    section.finish()?;
    Ok(works)
}

/// One work for each seed.
fn seeded(name: &str, choice: &Choice<'_>, seeds: &[u16], kind: impl Fn(u16) -> Kind) -> Vec<Work> {
    let varied = choice.varied(name);
    let work = |seed: Option<u16>| {
        let column = seed.map(|seed| ("seed".to_owned(), seed.to_string()));
        Work {
            name: name.to_owned(),
            varied: varied.iter().cloned().chain(column).collect(),
            kind: kind(seed.unwrap_or(0)),
        }
    };
    if seeds.is_empty() {
        return vec![work(None)];
    }
    seeds.iter().map(|seed| work(Some(*seed))).collect()
}

/// A phase of its values, in the order of [`PHASE`].
fn phase(section: &Section, values: &[Option<&Value>]) -> Result<Phase> {
    let value = |key: &'static str| {
        let at = PHASE.iter().position(|known| *known == key);
        at.and_then(|at| values.get(at).copied().flatten())
    };
    let number = |key, min, max, default| match value(key) {
        Some(value) => section.number_of(key, value, min, max),
        None => Ok(default),
    };
    let needed = |key| section.wrong(key, "is needed");
    let whole = |key, number: u64, of: u64| match number % of {
        0 => Ok(number),
        _ => Err(section.bad(key, number, format!("a multiple of {of} bytes is needed"))),
    };
    let access = value("access").ok_or_else(|| needed("access"))?;
    let access = section.word_of::<Access>("access", access)?;
    let bytes = value("bytes").ok_or_else(|| needed("bytes"))?;
    let bytes = section.number_of("bytes", bytes, SECTOR_BYTES, MOST_BYTES)?;
    let jobs = number("jobs", 1, MOST_JOBS, 1)?;
    let block = number("block", SECTOR_BYTES, MOST_BLOCK, 4096)?;
    let range = number("range", SECTOR_BYTES, MOST_BYTES, bytes)?;
    let start = number("start", 0, MOST_BYTES, 0)?;
    if block > range {
        return Err(section.bad(
            "block",
            block,
            format!("at most range = {range} is possible"),
        ));
    }
    Ok(Phase {
        access,
        jobs: u32::try_from(jobs)?,
        block: whole("block", block, SECTOR_BYTES)?,
        depth: u32::try_from(number("depth", 1, MOST_DEPTH, 1)?)?,
        range: whole("range", range, SECTOR_BYTES)?,
        bytes: whole("bytes", bytes, jobs * SECTOR_BYTES)?,
        start: whole("start", start, SECTOR_BYTES)?,
        flush_every: u32::try_from(number("flush-every", 0, u32::MAX.into(), 0)?)?,
        think_us: number("think-us", 0, MOST_PAUSE_MS * 1000, 0)?,
        pause_ms: number("pause-ms", 0, MOST_PAUSE_MS, 0)?,
        x: None,
    })
}

/// One choice of a value for each of several keys.
#[derive(Clone, Debug, Default)]
struct Choice<'a> {
    /// A value for each key, in the order of the keys.
    whole: Vec<Option<&'a Value>>,
    /// The keys that have one.
    chosen: Vec<(&'a str, &'a Value)>,
    /// Of these the ones that have several to choose from.
    several: Vec<(&'a str, &'a Value)>,
}

impl Choice<'_> {
    /// Columns for what is varied.
    fn varied(&self, prefix: &str) -> Vec<(String, String)> {
        let text = |value: &Value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        };
        let column = |(key, value): &(&str, &Value)| (format!("{prefix}.{key}"), text(value));
        self.several.iter().map(column).collect()
    }
}

/// All choices; the last key's values follow each other.
fn product<'a>(section: &Section, axes: &'a [(String, Vec<Value>)]) -> Result<Vec<Choice<'a>>> {
    let lengths = axes.iter().map(|(_, values)| values.len().max(1) as u64);
    let choices = lengths.clone().try_fold(1_u64, u64::checked_mul);
    if choices.is_none_or(|choices| choices > MOST_POINTS) {
        let lengths = Vec::from_iter(lengths.filter(|n| *n > 1).map(|n| n.to_string()));
        let rule = format!(
            "{} variants: at most {MOST_POINTS} are possible",
            lengths.join(" x ")
        );
        return Err(section.wrong("name", rule));
    }
    let mut all = vec![Choice::default()];
    for (key, values) in axes {
        let with = |choice: &Choice<'a>, value: Option<&'a Value>| {
            let mut choice = choice.clone();
            choice.whole.push(value);
            choice
                .chosen
                .extend(value.map(|value| (key.as_str(), value)));
            let several = value.filter(|_| values.len() > 1);
            choice
                .several
                .extend(several.map(|value| (key.as_str(), value)));
            choice
        };
        let next = |choice: &Choice<'a>| {
            let none = values.is_empty().then_some(None);
            let values = none.into_iter().chain(values.iter().map(Some));
            values.map(|value| with(choice, value)).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(next).collect();
    }
    Ok(all)
}
