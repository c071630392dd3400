// SPDX-License-Identifier: GPL-2.0-or-later
//! The flash model as a Python module: `conzone.Drive`, `conzone.read_trace`.
//!
//! ```text
//!   Drive { configuration, sim::Simulation }     run() takes a Trace or numpy columns, without the interpreter's lock
//!   Trace { file, how to read and place it }     read anew, streamed, each time it runs
//!   Result { arrays that numpy owns }            one entry a command
//!   sweep_share, sweep_columns                   what conzone/sweep.py gives an executor
//!   main                                         the program `conzone`, which conzone/__main__.py starts
//! ```
//! Errors in what the user gave are `ValueError`s of one line; files that cannot be opened are `OSError`s. The module's
//! types are described in conzone/__init__.pyi, which a test compares with it.

use std::ffi::OsString;
use std::path::PathBuf;

use lab::drive::Base;
use lab::drive_file::DriveFile;
use lab::failure::Prerequisite;
use lab::runner::Workers;
use lab::sweep::{self, Values};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict};
use sim::{Age, Cleaning, Input, Log, LogFigures, LogOptions, Simulation, Space, Streams};
use trace::block::{open_any, Columns, Format, Options, Seen};
use trace::{Answer, Command, Line, Op};
use units::Instant;

/// Commands between two looks for Ctrl-C.
const LOOK_EVERY: usize = 1 << 16;

fn value(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// A drive in virtual time.
#[pyclass(module = "conzone")]
struct Drive {
    config: ssd::Config,
    simulation: Simulation,
}

#[pymethods]
impl Drive {
    /// A new drive: a preset, and properties as in docs/properties.md with `_` for `-`.
    #[new]
    #[pyo3(signature = (preset = "tlc-zoned", **properties))]
    fn new(preset: &str, properties: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        Self::of(&Base::preset(preset), properties)
    }

    /// A drive of a file (docs/drives.md), with properties as for a new one.
    #[staticmethod]
    #[pyo3(signature = (path, **properties))]
    fn from_file(path: PathBuf, properties: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let file = DriveFile::read(&path.to_string_lossy()).map_err(value)?;
        let base = Base {
            preset: None,
            file: Some(file),
        };
        Self::of(&base, properties)
    }

    /// The same drive, new, as after months of use (docs/ageing.md).
    #[pyo3(signature = (fill = 90, overwrite = 2, seed = 1))]
    fn aged(&self, py: Python<'_>, fill: u64, overwrite: u64, seed: u64) -> PyResult<Self> {
        let age = format!("fill={fill},overwrite={overwrite},seed={seed}");
        let age = age.parse::<Age>().map_err(value)?;
        let config = self.config.clone();
        let simulation = py.detach(|| Simulation::aged(&config, Some(&age)));
        let simulation = simulation.map_err(value)?;
        Ok(Self { config, simulation })
    }

    /// Runs a trace, or commands given as columns of equal length.
    #[pyo3(signature = (trace = None, *, op = None, slba = None, nlb = None, arrival = None, fua = None, meta = false, depth = 0))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn run(
        &mut self,
        py: Python<'_>,
        trace: Option<PyRef<'_, Trace>>,
        op: Option<PyReadonlyArray1<'_, u8>>,
        slba: Option<PyReadonlyArray1<'_, u64>>,
        nlb: Option<PyReadonlyArray1<'_, u32>>,
        arrival: Option<PyReadonlyArray1<'_, u64>>,
        fua: Option<PyReadonlyArray1<'_, bool>>,
        meta: bool,
        depth: u32,
    ) -> PyResult<Results> {
        let outcome = match (trace, op, slba, nlb) {
            (Some(trace), None, None, None) => {
                if arrival.is_some() || fua.is_some() || meta || depth != 0 {
                    return Err(PyTypeError::new_err(
                        "arrival, fua, meta and depth are for columns",
                    ));
                }
                let trace = Trace::clone(&trace);
                self.trace(py, &trace)?
            }
            (None, Some(op), Some(slba), Some(nlb)) => {
                let lines = columns((&op, &slba, &nlb), (arrival.as_ref(), fua.as_ref()), meta)?;
                self.columns(py, &lines, depth)?
            }
            _ => {
                let why = "run takes a trace, or the columns op, slba and nlb";
                return Err(PyTypeError::new_err(why));
            }
        };
        outcome.into_python(py)
    }

    /// Everything the drive has counted, by the names of docs/model.md.
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let text = self.simulation.stats_json();
        let stats = py.import("json")?.call_method1("loads", (text,))?;
        stats.set_item("errors", self.simulation.latencies().errors())?;
        stats.set_item("end_ns", self.simulation.now().as_nanos())?;
        Ok(stats)
    }

    /// A drive in the same state, which goes its own way from here.
    fn copy(&self) -> Self {
        Self {
            config: self.config.clone(),
            simulation: self.simulation.clone(),
        }
    }

    /// The value of a property in effect, as text.
    fn get(&self, name: &str) -> PyResult<String> {
        self.config.get(&name.replace('_', "-")).map_err(value)
    }

    /// Completion of the last command, in ns.
    #[getter]
    fn now_ns(&self) -> u64 {
        self.simulation.now().as_nanos()
    }

    fn __repr__(&self) -> PyResult<String> {
        let preset = self.config.get("preset").map_err(value)?;
        Ok(format!("<conzone.Drive {preset} at {} ns>", self.now_ns()))
    }
}

impl Drive {
    fn of(base: &Base, properties: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let mut config = base.config().map_err(value)?;
        for (name, given) in properties.into_iter().flatten() {
            let name = name.extract::<String>()?.replace('_', "-");
            let text = match given.cast::<PyBool>() {
                Ok(flag) if flag.is_true() => "on".into(),
                Ok(_) => "off".into(),
                Err(_) => given.str()?.to_string(),
            };
            config.set(&name, &text).map_err(value)?;
        }
        config.validate().map_err(value)?;
        let simulation = Simulation::new(&config).map_err(value)?;
        Ok(Self { config, simulation })
    }

    fn trace(&mut self, py: Python<'_>, trace: &Trace) -> PyResult<Outcome> {
        let space = Space::of(&self.simulation, &self.config).map_err(value)?;
        let mut input = trace.open(space)?;
        let mut outcome = Outcome::default();
        loop {
            let part = py.detach(|| self.part(&mut input, &mut outcome));
            let more = part.map_err(value)?;
            py.check_signals()?;
            if !more {
                break;
            }
        }
        outcome.seen = input.seen();
        outcome.log = input.placed();
        Ok(outcome)
    }

    /// Runs some of a trace; whether there is more.
    fn part(
        &mut self,
        input: &mut Input,
        outcome: &mut Outcome,
    ) -> std::result::Result<bool, String> {
        for _ in 0..LOOK_EVERY {
            let Some(line) = input.next_line().map_err(|error| error.to_string())? else {
                return Ok(false);
            };
            if let Some(answer) = self.simulation.answer(&line) {
                input.check(&answer).map_err(|error| error.to_string())?;
                outcome.add(&answer);
            }
        }
        Ok(true)
    }

    fn columns(&mut self, py: Python<'_>, commands: &[Command], depth: u32) -> PyResult<Outcome> {
        let mut outcome = Outcome::default();
        self.simulation.step(&Line::Depth(depth));
        for part in commands.chunks(LOOK_EVERY) {
            py.detach(|| {
                for command in part {
                    if let Some(answer) = self.simulation.answer(&Line::Command(*command)) {
                        outcome.add(&answer);
                    }
                }
            });
            py.check_signals()?;
        }
        Ok(outcome)
    }
}

type Places<'a, 'py> = (
    &'a PyReadonlyArray1<'py, u8>,
    &'a PyReadonlyArray1<'py, u64>,
    &'a PyReadonlyArray1<'py, u32>,
);
type Times<'a, 'py> = (
    Option<&'a PyReadonlyArray1<'py, u64>>,
    Option<&'a PyReadonlyArray1<'py, bool>>,
);

/// Commands from columns. They are copied: other threads may change arrays while the drive runs.
fn columns(
    (op, slba, nlb): Places<'_, '_>,
    (arrival, fua): Times<'_, '_>,
    meta: bool,
) -> PyResult<Vec<Command>> {
    let (op, slba, nlb) = (op.as_array(), slba.as_array(), nlb.as_array());
    let (arrival, fua) = (arrival.map(|a| a.as_array()), fua.map(|f| f.as_array()));
    let length = op.len();
    let lengths = [
        ("slba", slba.len()),
        ("nlb", nlb.len()),
        ("arrival", arrival.map_or(length, |a| a.len())),
        ("fua", fua.map_or(length, |f| f.len())),
    ];
    if let Some((name, other)) = lengths.into_iter().find(|(_, other)| *other != length) {
        return Err(value(format!("{name} has {other} entries, op {length}")));
    }
    let mut before = 0;
    let mut commands = Vec::with_capacity(length);
    for n in 0..length {
        let code = op[n];
        let found = Op::ALL.get(usize::from(code));
        let op = *found.ok_or_else(|| {
            value(format!(
                "op[{n}] is {code}: conzone.OPS has 0 to {}",
                Op::ALL.len() - 1
            ))
        })?;
        let at = arrival.map_or(0, |arrival| arrival[n]);
        if at < before {
            return Err(value(format!(
                "arrival[{n}] is {at}, before its predecessor's {before}"
            )));
        }
        before = at;
        commands.push(Command {
            arrival: Instant::from_nanos(at),
            data: !meta,
            op,
            slba: slba[n],
            nlb: nlb[n],
            fua: fua.is_some_and(|fua| fua[n]),
        });
    }
    Ok(commands)
}

/// A trace in a file, and how it is read and placed.
#[pyclass(module = "conzone")]
#[derive(Clone)]
struct Trace {
    path: PathBuf,
    options: Options,
    log: Option<LogOptions>,
}

#[pymethods]
impl Trace {
    /// The same trace, log-structured onto a drive's zones (docs/traces.md).
    #[pyo3(signature = (drive, logs = 1, streams = "process", cleaning = "greedy"))]
    fn place(
        &self,
        drive: PyRef<'_, Drive>,
        logs: u64,
        streams: &str,
        cleaning: &str,
    ) -> PyResult<Self> {
        let options = LogOptions {
            logs,
            streams: match streams {
                "process" => Streams::Process,
                "size" => Streams::Size,
                "age" => Streams::Age,
                _ => {
                    return Err(value(format!(
                        "streams '{streams}' is not one of process, size, age"
                    )))
                }
            },
            cleaning: match cleaning {
                "greedy" => Cleaning::Greedy,
                "cost-benefit" => Cleaning::CostBenefit,
                _ => {
                    return Err(value(format!(
                        "cleaning '{cleaning}' is not one of greedy, cost-benefit"
                    )))
                }
            },
        };
        let placed = Self {
            log: Some(options),
            ..self.clone()
        };
        placed.open(Space::of(&drive.simulation, &drive.config).map_err(value)?)?;
        Ok(placed)
    }

    fn __repr__(&self) -> String {
        format!("<conzone.Trace {}>", self.path.display())
    }
}

impl Trace {
    fn open(&self, space: Space) -> PyResult<Input> {
        let name = self.path.display().to_string();
        let input = trace::open(&self.path, |raw| raw);
        let input = input.map_err(|error| PyOSError::new_err(format!("{name}: {error}")))?;
        let trace = open_any(input, &name, &self.options).map_err(value)?;
        if let (trace::block::Trace::Commands(_), Some(_)) = (&trace, &self.log) {
            return Err(value(format!(
                "{name}: its commands have their places, place() is for block traces"
            )));
        }
        let log = self.log.map(|options| Log::new(space, options));
        Ok(Input::new(trace, log.transpose().map_err(value)?))
    }
}

/// A trace of any format that docs/traces.md lists.
#[pyfunction]
#[pyo3(signature = (path, *, format = None, columns = None, unit = None, drop_duplicates = false, device = None))]
fn read_trace(
    path: PathBuf,
    format: Option<&str>,
    columns: Option<&str>,
    unit: Option<&str>,
    drop_duplicates: bool,
    device: Option<String>,
) -> PyResult<Trace> {
    let format = format.map(|name| {
        let found = Format::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| {
            let names = Format::ALL.map(Format::name).join(", ");
            value(format!("format '{name}' is not one of {names}"))
        })
    });
    let columns = columns.map(|names| Columns::parse(names, unit));
    let trace = Trace {
        options: Options {
            format: format.transpose()?,
            columns: columns.transpose().map_err(value)?,
            drop_duplicates,
            device,
        },
        log: None,
        path,
    };
    let name = trace.path.display().to_string();
    let input = trace::open(&trace.path, |raw| raw);
    let input = input.map_err(|error| PyOSError::new_err(format!("{name}: {error}")))?;
    open_any(input, &name, &trace.options).map_err(value)?;
    Ok(trace)
}

/// What became of the commands of one run.
#[derive(Default)]
struct Outcome {
    op: Vec<u8>,
    arrival: Vec<u64>,
    latency: Vec<u64>,
    status: Vec<u16>,
    seen: Option<Seen>,
    log: Option<LogFigures>,
}

impl Outcome {
    fn add(&mut self, answer: &Answer) {
        self.op.push(answer.command.op as u8);
        self.arrival.push(answer.command.arrival.as_nanos());
        self.latency.push(answer.latency().get());
        self.status.push(answer.status);
    }

    fn into_python(self, py: Python<'_>) -> PyResult<Results> {
        let log = self.log.map(|log| {
            let dict = PyDict::new(py);
            dict.set_item("pages_written", log.written)?;
            dict.set_item("pages_moved", log.moved)?;
            dict.set_item("pages_padded", log.padded)?;
            dict.set_item("pages_read", log.read)?;
            dict.set_item("pages_unwritten", log.unwritten)?;
            dict.set_item("pages_trimmed", log.trimmed)?;
            dict.set_item("zone_resets", log.resets)?;
            dict.set_item("most_open_zones", log.open)?;
            dict.set_item("write_amplification", log.write_amplification())?;
            PyResult::Ok(dict.unbind())
        });
        let trace = self.seen.map(|seen| {
            let dict = PyDict::new(py);
            dict.set_item("requests", seen.requests)?;
            dict.set_item("duplicates", seen.duplicates)?;
            dict.set_item("out_of_order", seen.out_of_order)?;
            PyResult::Ok(dict.unbind())
        });
        Ok(Results {
            op: PyArray1::from_vec(py, self.op).unbind(),
            arrival_ns: PyArray1::from_vec(py, self.arrival).unbind(),
            latency_ns: PyArray1::from_vec(py, self.latency).unbind(),
            status: PyArray1::from_vec(py, self.status).unbind(),
            log: log.transpose()?,
            trace: trace.transpose()?,
        })
    }
}

/// What became of the commands of one run, an entry a command. Arrays are handed to numpy, not copied.
#[pyclass(module = "conzone", name = "Result", frozen)]
struct Results {
    #[pyo3(get)]
    op: Py<PyArray1<u8>>,
    #[pyo3(get)]
    arrival_ns: Py<PyArray1<u64>>,
    #[pyo3(get)]
    latency_ns: Py<PyArray1<u64>>,
    #[pyo3(get)]
    status: Py<PyArray1<u16>>,
    #[pyo3(get)]
    log: Option<Py<PyDict>>,
    #[pyo3(get)]
    trace: Option<Py<PyDict>>,
}

#[pymethods]
impl Results {
    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.op.bind(py).len()
    }
}

/// What was wrong with a sweep: with what the user gave, or while it ran.
fn swept<T>(result: anyhow::Result<T>) -> PyResult<T> {
    result.map_err(|error| {
        let said = format!("{error:#}");
        match error.chain().any(|cause| cause.is::<Prerequisite>()) {
            true => PyValueError::new_err(said),
            false => PyRuntimeError::new_err(said),
        }
    })
}

/// Runs share `share` of `shares` of a plan, on so many threads (0: one for each processor). How many points it has, and
/// how many of them were known.
#[pyfunction]
fn sweep_share(
    py: Python<'_>,
    plan: PathBuf,
    out: PathBuf,
    program: PathBuf,
    share: u64,
    shares: u64,
    threads: u16,
) -> PyResult<(u64, u64)> {
    let shard = format!("{share}/{shares}")
        .parse()
        .map_err(|error: String| value(error));
    let workers = Workers {
        threads: (threads > 0).then_some(threads),
        shard: Some(shard?),
    };
    let ran = py.detach(|| sweep::run_share(&plan, &out, &[program], &workers));
    swept(ran).map(|ran| (ran.points, ran.known))
}

/// The results of a plan whose shares have all been run, a list a column, with its type as pyarrow calls it; results.csv
/// is written.
#[pyfunction]
fn sweep_columns(
    py: Python<'_>,
    plan: PathBuf,
    out: PathBuf,
    program: PathBuf,
) -> PyResult<Vec<(String, &'static str, Py<PyAny>)>> {
    let columns = py.detach(|| sweep::columns(&plan, &out, &[program]));
    let columns = swept(columns)?.into_iter();
    let column = |(name, values)| {
        let (kind, list) = match values {
            Values::Int(values) => ("int64", values.into_pyobject(py)?),
            Values::Float(values) => ("float64", values.into_pyobject(py)?),
            Values::Text(values) => ("string", values.into_pyobject(py)?),
        };
        Ok((name, kind, list.unbind()))
    };
    columns.map(column).collect()
}

/// The program `conzone`: does what the arguments say, and gives the exit status.
#[pyfunction]
fn main(py: Python<'_>, arguments: Vec<OsString>, program: PathBuf) -> u8 {
    py.detach(|| lab::command::main_of(arguments, program))
}

/// The module.
#[pymodule]
mod _conzone {
    #[pymodule_export]
    use super::{main, read_trace, sweep_columns, sweep_share, Drive, Results, Trace};
    use pyo3::prelude::*;

    /// Codes of operations, in the order that column `op` numbers them; and the presets.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("OPS", trace::Op::ALL.map(trace::Op::code).to_vec())?;
        module.add("PRESETS", ssd::PRESETS.map(|preset| preset.name).to_vec())
    }
}
