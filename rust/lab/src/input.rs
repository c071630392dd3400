// SPDX-License-Identifier: GPL-2.0-or-later
//! Which trace is meant, how it is written, and how a block device's requests get onto a drive.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{anyhow, Context as _, Result};
use clap::builder::PossibleValuesParser;
use clap::ValueEnum;
use serde_json::{json, Map, Value};
use sim::{Input, Log, LogOptions, Simulation, Space};
use trace::block::{self, Columns, Format};

use crate::failure::Prerequisite;

/// A trace and how to read it.
#[derive(Clone, Debug, clap::Args)]
pub struct TraceArgs {
    /// The trace to read; .gz is decompressed, - is standard input
    #[arg(long, value_name = "FILE")]
    pub trace: PathBuf,
    /// How it is written, where that is not recognised
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Format::ALL.map(Format::name)))]
    pub format: Option<String>,
    /// Which columns a CSV file has: time, op, offset, length, process, device, or - for one that does not matter
    #[arg(long, value_name = "NAMES", allow_hyphen_values = true)]
    pub columns: Option<String>,
    /// The columns' units: ns, 100ns, us, ms, s; B, sector, K, 4K; - for none [default: ns and B]
    #[arg(
        long,
        value_name = "UNITS",
        requires = "columns",
        allow_hyphen_values = true
    )]
    pub unit: Option<String>,
    /// Leave out requests that repeat one of the last 2 ms
    #[arg(long)]
    pub drop_duplicates: bool,
    /// Of a trace of several devices, only this one's requests
    #[arg(long, value_name = "NAME")]
    pub trace_device: Option<String>,
    /// Where a block device's requests go: as they are, or log-structured onto zones [default: none]
    #[arg(long, value_enum, value_name = "HOW")]
    pub place: Option<Place>,
    /// Logs that --place log writes side by side
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub logs: u64,
    /// Which log a write goes to
    #[arg(long, value_enum, value_name = "BY", default_value = "process")]
    pub streams: Streams,
    /// Which zone is cleaned when zones run short
    #[arg(long, value_enum, value_name = "HOW", default_value = "greedy")]
    pub cleaning: Cleaning,
}

/// `--place`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// As they are; the first that the drive refuses is an error
    None,
    /// To the ends of a few logs, with cleaning
    Log,
}

/// `--streams`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Streams {
    /// Processes take the logs in turn
    Process,
    /// By the request's size
    Size,
    /// By the age of what is overwritten
    Age,
}

/// `--cleaning`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cleaning {
    /// The zone with the least valid data
    Greedy,
    /// Old zones before young ones
    CostBenefit,
}

impl TraceArgs {
    /// Opens the trace for a drive that was made from `config`; `wrap` sees the raw bytes, for progress.
    ///
    /// # Errors
    /// Options that do not fit, a file that cannot be read.
    pub fn open<W: Read + Send + 'static>(
        &self,
        simulation: &Simulation,
        config: &ssd::Config,
        wrap: impl FnOnce(Box<dyn Read + Send>) -> W,
    ) -> Result<Input> {
        let file = self.trace.display().to_string();
        let input = self.open_as("--trace ", &file, simulation, config, wrap);
        input.map_err(|error| match error.root_cause().is::<io::Error>() {
            true => Prerequisite(format!("{error:#}")).into(),
            false => error,
        })
    }

    /// The same; messages call it `file`, after `said`.
    pub(crate) fn open_as<W: Read + Send + 'static>(
        &self,
        said: &str,
        file: &str,
        simulation: &Simulation,
        config: &ssd::Config,
        wrap: impl FnOnce(Box<dyn Read + Send>) -> W,
    ) -> Result<Input> {
        let options = self.options()?;
        let input = trace::open(&self.trace, wrap).with_context(|| format!("{said}{file}"))?;
        let trace =
            block::open_any(input, file, &options).map_err(|error| anyhow!("{said}{error}"))?;
        self.placed(trace, simulation, config)
    }

    /// The trace's requests where they go on a drive that was made from `config`.
    pub(crate) fn placed(
        &self,
        trace: block::Trace,
        simulation: &Simulation,
        config: &ssd::Config,
    ) -> Result<Input> {
        let placed = self.place == Some(Place::Log);
        if let (block::Trace::Commands(_), Some(_)) = (&trace, self.place) {
            let why = "--place is for block traces: this one's commands have their places (--format says otherwise)";
            return Err(Prerequisite(why.into()).into());
        }
        let log = if placed {
            let space = Space::of(simulation, config).map_err(Prerequisite)?;
            let log = Log::new(space, self.log_options());
            Some(log.map_err(|error| Prerequisite(error.to_string()))?)
        } else {
            None
        };
        Ok(Input::new(trace, log))
    }

    /// How to read it.
    pub(crate) fn options(&self) -> Result<block::Options> {
        let columns = self.columns.as_deref();
        let columns = columns.map(|names| Columns::parse(names, self.unit.as_deref()));
        let format = self.format.as_deref();
        let format = format.and_then(|name| Format::ALL.into_iter().find(|f| f.name() == name));
        if columns.is_some() && format.is_some_and(|format| format != Format::Csv) {
            let why = "--columns is for --format csv: the other formats have columns of their own";
            return Err(Prerequisite(why.into()).into());
        }
        Ok(block::Options {
            format,
            columns: columns.transpose().map_err(Prerequisite)?,
            drop_duplicates: self.drop_duplicates,
            device: self.trace_device.clone(),
        })
    }

    fn log_options(&self) -> LogOptions {
        LogOptions {
            logs: self.logs,
            streams: match self.streams {
                Streams::Process => sim::Streams::Process,
                Streams::Size => sim::Streams::Size,
                Streams::Age => sim::Streams::Age,
            },
            cleaning: match self.cleaning {
                Cleaning::Greedy => sim::Cleaning::Greedy,
                Cleaning::CostBenefit => sim::Cleaning::CostBenefit,
            },
        }
    }

    /// Refuses to write over the trace that is being read.
    ///
    /// # Errors
    /// `out` is that file.
    pub fn check_output(&self, option: &str, out: Option<&Path>) -> Result<()> {
        let same = |out: &Path| match (out.canonicalize(), self.trace.canonicalize()) {
            (Ok(a), Ok(b)) => a == b && a.is_file(),
            _ => false,
        };
        match out.filter(|out| same(out)) {
            Some(out) => {
                let why = format!("{option} {}: this is the trace that is read", out.display());
                Err(Prerequisite(why).into())
            }
            None => Ok(()),
        }
    }
}

/// What reader and placement saw, as members of the statistics; none for commands of a drive.
#[must_use]
pub fn figures(input: &Input) -> Map<String, Value> {
    let mut figures = Map::new();
    if let Some(seen) = input.seen() {
        let seen = json!({
            "requests": seen.requests, "duplicates": seen.duplicates, "out_of_order": seen.out_of_order,
        });
        figures.insert("trace".into(), seen);
    }
    if let Some(log) = input.placed() {
        let log = json!({
            "pages_written": log.written, "pages_moved": log.moved, "pages_padded": log.padded, "pages_read": log.read,
            "pages_unwritten": log.unwritten, "pages_trimmed": log.trimmed, "zone_resets": log.resets,
            "most_open_zones": log.open, "write_amplification": log.write_amplification(),
        });
        figures.insert("log".into(), log);
    }
    figures
}
