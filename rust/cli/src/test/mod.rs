// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone test`: every runner of the project, and one table of how they ended.
//!
//! ```text
//! lint         cargo fmt, cargo clippy, cargo doc without warnings
//! unit         cargo nextest (or cargo test) over the workspace, and the examples in its documentation
//! qtest        the same for tests/qtest: the real QEMU, driven without a guest
//! functional   avocado over tests/functional: Linux on the device
//! fuzz         every target of fuzz/ from its seeds, for a few seconds
//! laws         a thousand random drives against what the flash models promise (rust/check), and half as many whose power
//!              goes on the way; optimized
//! soak-laws    the same with a hundred thousand: half an hour of two idle cores, and not part of `all`
//! soak-cuts    two hundred thousand power cuts: a quarter of an hour
//! soak-damage  a million saved states, images and histories with damage: half an hour of one core
//! python       pytest over rust/python: the model as a Python module, the wheel's program, sweeps on other engines
//! docs         the commands in README.md and docs/ and the examples of every `--help`, executed
//!
//! mutants      the code broken in thousands of small ways, one at a time: does a test notice? Hours
//! soak-snapshots  fio under Linux goes back to snapshots 20 times, and on to another QEMU 100 times, on each of three drives
//! soak-kills   QEMU is killed 200 times while it works on a drive in an image: five minutes
//! soak-engines  sweeps on two threads, Dask, HyperQueue and Slurm, something killed on each: a minute; needs Debian's Slurm
//! soak-clock   one of the functional tests for an hour: whether runs in virtual time are the same on a busy host
//! ```
//! A runner's output is passed on as it comes; its own summary line is repeated at the end. All runners run, even
//! after one failed; what soaks runs only by its name.

pub mod docs;
mod fuzz;
mod runner;

use std::env;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde_json::json;

use crate::failure::Prerequisite;
use crate::out::say;
use crate::python;

use runner::{Ended, Runner};
use setup::Context;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo conzone test
  cargo conzone test unit
  cargo conzone test laws -- --seed 2000
  cargo conzone test functional -- tests/functional/test_zns.py")]
pub struct Args {
    /// Which tests
    #[arg(value_enum, default_value = "all")]
    suite: Suite,
    /// Print how the runners ended as JSON; their own output then goes to standard error
    #[arg(long)]
    json: bool,
    /// Arguments for the suite's runner, such as a filter; not with `all`
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// Formatting and lints
    Lint,
    /// Tests beside the code, without QEMU
    Unit,
    /// The device in QEMU, driven without a guest
    Qtest,
    /// Linux on the device
    Functional,
    /// Hostile guests and texts, made up by a fuzzer for a minute
    Fuzz,
    /// Random drives and commands against what the flash models promise
    Laws,
    /// The same, a hundred times as many; not part of all
    SoakLaws,
    /// Two hundred thousand power cuts of random drives; not part of all
    SoakCuts,
    /// A million saved states, images and histories with damage; not part of all
    SoakDamage,
    /// The model as a Python module
    Python,
    /// The commands in the documentation
    Docs,
    /// The code broken on purpose, to see that tests notice: hours, and not part of all
    Mutants,
    /// Virtual time for an hour: 20 runs each on a host with 20 busy processes beside them, while a client asks
    SoakClock,
    /// Sweeps on Dask, HyperQueue and Slurm, each with something killed in the middle
    SoakEngines,
    /// QEMU killed 200 times while it works on a drive in an image
    SoakKills,
    /// Linux and fio, taken back to snapshots 20 times and moved to another QEMU 100 times on each of three drives
    SoakSnapshots,
    /// All of them but soaks
    All,
}

/// What test_repeat.py makes of it.
const SOAK: [(&str, &str); 2] = [("CONZONE_REPEATS", "20"), ("CONZONE_LOADS", "20")];

/// Runs the suite and tells how it ended.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    if args.suite == Suite::All && !args.arguments.is_empty() {
        return Err(
            Prerequisite("arguments after -- need a suite's name before them".into()).into(),
        );
    }
    let suites = match args.suite {
        Suite::All => vec![
            Suite::Lint,
            Suite::Unit,
            Suite::Qtest,
            Suite::Functional,
            Suite::Fuzz,
            Suite::Laws,
            Suite::Python,
            Suite::Docs,
        ],
        one => vec![one],
    };
    if suites.contains(&Suite::Lint) {
        need_component("fmt", "rustfmt")?;
        need_component("clippy", "clippy")?;
    }
    let mut ended = Vec::new();
    for suite in suites {
        for runner in runners(context, suite, &args.arguments)? {
            ended.push(runner.run(args.json)?);
        }
        if suite == Suite::Fuzz {
            ended.push(fuzz::run(context, Command::new(cargo()), args.json)?);
        }
        if suite == Suite::Docs {
            setup::ensure(context)?;
            ended.push(docs::run(context, args.json)?);
        }
    }
    show(&ended, args.json)?;
    let passed = ended.iter().all(|one| one.passed);
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn runners(context: &Context, suite: Suite, arguments: &[OsString]) -> Result<Vec<Runner>> {
    let cargo = |words: &[&str]| {
        let mut command = Command::new(cargo());
        command.current_dir(context.paths.root()).args(words);
        command
    };
    // A workspace of its own, built apart; lints need no Python.
    let python_module = |words: &[&str]| {
        let mut command = cargo(words);
        command
            .current_dir(context.paths.root().join("rust/python"))
            .env(
                "CARGO_TARGET_DIR",
                context.paths.target().join("python-build"),
            )
            .env("PYO3_NO_PYTHON", "1");
        command
    };
    let runners = match suite {
        Suite::Lint => vec![
            Runner::new("fmt", cargo(&["fmt", "--all", "--check"])),
            Runner::new("python fmt", python_module(&["fmt", "--check"])),
            Runner::new(
                "python clippy",
                python_module(&[
                    "clippy",
                    "--all-targets",
                    "--features",
                    "pyo3/extension-module",
                    "--",
                    "-D",
                    "warnings",
                ]),
            ),
            Runner::new(
                "clippy",
                cargo(&[
                    "clippy",
                    "--workspace",
                    "--all-targets",
                    "--",
                    "-D",
                    "warnings",
                ]),
            ),
            Runner::new("rustdoc", {
                let mut command = cargo(&["doc", "--workspace", "--no-deps", "--quiet"]);
                command.env("RUSTDOCFLAGS", "-D warnings");
                command
            }),
        ],
        Suite::Unit => {
            let what = ["--workspace", "--exclude", "conzone-qtest"];
            let mut runners = vec![rust_tests("unit", cargo, &what, arguments)];
            if arguments.is_empty() {
                let doc = ["test", "--doc", "--workspace", "--exclude", "conzone-qtest"];
                runners.push(Runner::new("doc", cargo(&doc)));
            }
            runners
        }
        Suite::Qtest => {
            setup::ensure_qemu(context)?;
            let mut runner = rust_tests("qtest", cargo, &["-p", "conzone-qtest"], arguments);
            runner.command.env("CONZONE_QEMU", context.paths.qemu());
            vec![runner]
        }
        Suite::Functional => {
            setup::ensure(context)?;
            vec![functional(context, arguments)?]
        }
        Suite::Laws => vec![
            laws(cargo, "laws", (1000, 0), arguments),
            laws(cargo, "cuts", (500, 8), arguments),
        ],
        Suite::SoakLaws => vec![laws(cargo, "soak-laws", (100_000, 0), arguments)],
        // A quarter of the drives is of models that cannot recover.
        Suite::SoakCuts => vec![laws(cargo, "soak-cuts", (30_000, 8), arguments)],
        Suite::SoakDamage => {
            let mut command = checks(cargo, "damage");
            command.args(["--runs", "1000000"]).args(arguments);
            vec![Runner::new("soak-damage", command)]
        }
        Suite::Python => vec![pytest(context, "python", &[], arguments)?],
        Suite::SoakEngines => {
            let tests = ["tests/soak_engines.py"];
            vec![pytest(context, "soak-engines", &tests, arguments)?]
        }
        Suite::SoakClock => {
            setup::ensure(context)?;
            let test = OsString::from("tests/functional/test_repeat.py");
            let arguments = [&[test], arguments].concat();
            let mut runner = functional(context, &arguments)?;
            runner.command.envs(SOAK);
            vec![runner]
        }
        Suite::Mutants => vec![mutants(context, cargo, arguments)?],
        Suite::SoakSnapshots => {
            setup::ensure(context)?;
            let test = OsString::from("tests/functional/test_snapshots.py");
            let arguments = [&[test], arguments].concat();
            let mut runner = functional(context, &arguments)?;
            runner.command.env("CONZONE_ROUNDS", "20");
            runner.command.env("CONZONE_MOVES", "100");
            vec![runner]
        }
        Suite::SoakKills => {
            setup::ensure_qemu(context)?;
            let tests = ["-p", "conzone-qtest", "--test", "image"];
            let mut runner = rust_tests("soak-kills", cargo, &tests, arguments);
            runner.command.env("CONZONE_QEMU", context.paths.qemu());
            runner.command.env("CONZONE_KILLS", "200");
            vec![runner]
        }
        Suite::Fuzz | Suite::Docs | Suite::All => Vec::new(),
    };
    Ok(runners)
}

/// nextest where it is installed: it runs the tests of all crates side by side.
fn rust_tests(
    name: &'static str,
    cargo: impl Fn(&[&str]) -> Command,
    what: &[&str],
    arguments: &[OsString],
) -> Runner {
    let mut command = if works(cargo(&["nextest", "--version"])) {
        cargo(&["nextest", "run", "--no-fail-fast"])
    } else {
        cargo(&["test", "--no-fail-fast"])
    };
    command.args(what).args(arguments);
    Runner::new(name, command)
}

/// The laws over `runs` random drives, with up to so many power cuts each: their own program, for the tests' profile is
/// slow. Arguments after the counts win.
fn laws(
    cargo: impl Fn(&[&str]) -> Command,
    name: &'static str,
    (runs, cuts): (u32, u32),
    arguments: &[OsString],
) -> Runner {
    let mut command = checks(cargo, "laws");
    command.arg("--runs").arg(runs.to_string());
    if cuts > 0 {
        command
            .args(["--commands", "800", "--cuts"])
            .arg(cuts.to_string());
    }
    command.args(arguments);
    Runner::new(name, command)
}

/// A program of rust/check's, fast and with every assertion.
fn checks(cargo: impl Fn(&[&str]) -> Command, program: &str) -> Command {
    let profile = ["run", "--quiet", "--profile", "laws"];
    cargo(
        &[
            &profile[..],
            &["-p", "conzone-check", "--bin", program, "--"],
        ]
        .concat(),
    )
}

/// What is broken on purpose.
const MUTATED: [&str; 5] = ["zone", "nvme", "ssd", "zms", "nand"];

/// cargo-mutants, installed where it is missing. Each crate's own tests are asked; what they need not notice is in
/// .cargo/mutants.toml with the reason. Arguments that name packages take the place of all.
fn mutants(
    context: &Context,
    cargo: impl Fn(&[&str]) -> Command,
    arguments: &[OsString],
) -> Result<Runner> {
    if !works(cargo(&["mutants", "--version"])) {
        let spinner = context.progress.spinner("installing cargo-mutants");
        let made = cargo(&["install", "--locked", "cargo-mutants"]).output();
        spinner.finish_and_clear();
        python::succeeded(made, "cargo install --locked cargo-mutants")?;
    }
    let mut command = cargo(&[
        "mutants",
        "--baseline",
        "skip",
        "--timeout",
        "300",
        "--output",
    ]);
    command.arg(context.paths.target());
    let names_some = |word: &OsString| word == "-p" || word == "--package";
    if !arguments.iter().any(names_some) {
        for name in MUTATED {
            command.arg("-p").arg(format!("conzone-{name}"));
        }
    }
    command.args(arguments);
    Ok(Runner::new("mutants", command))
}

/// pytest over rust/python, with the wheel as it is now.
fn pytest(
    context: &Context,
    name: &'static str,
    tests: &[&str],
    arguments: &[OsString],
) -> Result<Runner> {
    let python = python::environment(context)?;
    python::install(&python, &python::wheel(context)?)?;
    let mut command = Command::new(python);
    command
        .current_dir(context.paths.root().join("rust/python"))
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .args(tests)
        .args(arguments)
        .envs(environment(context)?);
    Ok(Runner::new(name, command))
}

/// avocado, in a virtual environment of its own.
fn functional(context: &Context, arguments: &[OsString]) -> Result<Runner> {
    let root = context.paths.root();
    let wanted = root.join("tests/functional/requirements.txt");
    let python = python::venv(context, "avocado", &wanted)?;
    let mut command = Command::new(python);
    command.current_dir(root).args(["-m", "avocado"]);
    let config = root.join("tests/functional/avocado.conf");
    if config.exists() {
        command.arg("--config").arg(config);
    }
    command
        .arg("run")
        .arg("--job-results-dir")
        .arg(context.paths.target().join("avocado-results"));
    if arguments.is_empty() {
        command.arg("tests/functional");
    }
    command.args(arguments).envs(environment(context)?);
    Ok(Runner::new("functional", command))
}

/// How tests find this program and the repository.
fn environment(context: &Context) -> Result<[(&'static str, OsString); 2]> {
    let binary = env::current_exe().context("finding this program")?;
    Ok([
        ("CONZONE_BIN", binary.into()),
        ("CONZONE_ROOT", context.paths.root().into()),
    ])
}

/// The cargo that started us.
fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn works(mut command: Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn need_component(command: &str, component: &str) -> Result<()> {
    let mut probe = Command::new(cargo());
    probe.args([command, "--version"]);
    if works(probe) {
        return Ok(());
    }
    let why = format!("cargo {command} is missing; run: rustup component add {component}");
    Err(Prerequisite(why).into())
}

/// So many are named for each runner; the rest is further up.
const FAILURES: usize = 5;

fn show(ended: &[Ended], json: bool) -> Result<()> {
    if json {
        let list: Vec<_> = ended
            .iter()
            .map(|one| {
                json!({"runner": one.name, "passed": one.passed,
                    "seconds": one.elapsed.as_secs_f64(), "summary": one.summary,
                    "failures": one.failures})
            })
            .collect();
        say!("{:#}", json!(list))?;
        return Ok(());
    }
    say!("")?;
    for one in ended {
        let mark = if one.passed {
            console::style("passed").green()
        } else {
            console::style("FAILED").red().bold()
        };
        say!(
            "{mark}  {:10} {:6.1} s  {}",
            one.name,
            one.elapsed.as_secs_f64(),
            one.summary
        )?;
        for failure in one.failures.iter().filter(|_| !one.passed).take(FAILURES) {
            say!("        {}", console::truncate_str(failure, 300, "..."))?;
        }
    }
    let passed = ended.iter().filter(|one| one.passed).count();
    say!("runners: {passed} passed, {} failed", ended.len() - passed)
}
