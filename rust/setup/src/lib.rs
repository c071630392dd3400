// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone setup`: QEMU with the device, and the guest image.
//!
//! ```text
//! packages -> source -> configure -> program        QEMU, below target/qemu*
//!             firmware                              target/qemu/firmware
//!             guest::build                          target/guest
//! ```
//! Each step has a stamp (stamp.rs) with the hash of what it is made from, and is done only if that has changed:
//! a second set-up only compares hashes, and one after a change to the device only runs ninja. The other
//! commands set up implicitly through [`ensure`].
//!
//! One process sets up at a time; others wait for it. In a pack ([`pack`]) there is nothing to set up.

#![forbid(unsafe_code)]
#![deny(clippy::print_stdout)] // lab::out forgives readers that went away

mod build;
mod firmware;
mod ninja;
pub mod pack;
mod packages;
mod paths;
mod source;
mod stamp;
mod tool;
mod wrap;

pub use paths::Paths;

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{bail, Context as _};
use console::style;
use fs4::fs_std::FileExt;
use guest::Kernel;
use indicatif::ProgressBar;

use lab::failure::Prerequisite;
use lab::out::say;
use lab::progress::Progress;

use crate::source::{Branch, Origin};
use crate::stamp::{Inputs, Key, Stamps};
use crate::tool::Log;

/// What a command that needs the repository is given.
#[derive(Debug)]
pub struct Context {
    /// Where things are.
    pub paths: Paths,
    /// How to show what is going on.
    pub progress: Progress,
    /// How long to wait for another set-up, if not for ever.
    pub patience: Option<Duration>,
}

/// `cargo conzone setup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo conzone setup
  cargo conzone setup --qemu-src ~/src/qemu-10.0.2    a tree of your own, used from then on
  cargo conzone setup --qemu 10.2                     a newer QEMU of Debian's, likewise
  cargo conzone setup --force                         everything again, from Debian's QEMU 10.0")]
pub struct Args {
    /// Build Debian's QEMU of this branch from now on
    #[arg(long, value_name = "BRANCH", conflicts_with = "qemu_src")]
    qemu: Option<Branch>,
    /// Build this QEMU source tree, of one of those branches, instead of Debian's; it is copied, not changed
    #[arg(long, value_name = "DIR")]
    qemu_src: Option<PathBuf>,
    /// Do every step again; without --qemu and --qemu-src, from Debian's QEMU 10.0
    #[arg(long)]
    force: bool,
}

/// Sets everything up and says where it is.
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    let origin = match &args.qemu_src {
        Some(dir) => Some(Origin::Tree(
            dir.canonicalize()
                .with_context(|| dir.display().to_string())?,
        )),
        None => {
            let branch = args.qemu.or(args.force.then(Branch::default));
            branch.map(Origin::Debian)
        }
    };
    let setup = Setup::start(context)?;
    let qemu_done = setup.qemu(origin, args.force)?;
    let image = build_guest(context, args.force, Kernel::default())?;
    if !qemu_done && !image.rebuilt {
        say!("Everything is up to date.")?;
    }
    let version = source::version(&context.paths.qemu_source())?;
    say!("QEMU {version}: {}", context.paths.qemu().display())?;
    say!("Firmware: {}", context.paths.firmware().display())?;
    say!(
        "Guest image: {}",
        context.paths.target().join("guest").display()
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Sets up what is not up to date: QEMU and the guest image. Fast when nothing changed.
///
/// # Errors
/// A step that failed, with the path of its log; [`Prerequisite`] when packages are missing.
pub fn ensure(context: &Context) -> anyhow::Result<guest::Image> {
    ensure_kernel(context, Kernel::default())
}

/// The same, and the guest's image with this kernel, should it not be one that is always built.
///
/// # Errors
/// As [`ensure`]; a [`Prerequisite`] where a pack has no such kernel.
pub fn ensure_kernel(context: &Context, kernel: Kernel) -> anyhow::Result<guest::Image> {
    if context.paths.is_pack() {
        let image = guest::Image::below(&context.paths.target());
        if !image.has(kernel) {
            let has = Kernel::RELEASED.map(Kernel::name).join(" and ");
            let why = format!("--kernel {}: this pack has {has}", kernel.name());
            return Err(Prerequisite(why).into());
        }
        return Ok(image);
    }
    let setup = Setup::start(context)?;
    setup.qemu(None, false)?;
    build_guest(context, false, kernel)
}

/// An archive with the programs of these Debian packages, for the guest of an image that [`ensure`] gave.
///
/// # Errors
/// A [`Prerequisite`] for a package that there is not, and in a pack, where nothing is fetched.
pub fn packages(context: &Context, names: &[String]) -> anyhow::Result<PathBuf> {
    let refused = |why: String| Prerequisite(format!("--package {}: {why}", names.join(" ")));
    if context.paths.is_pack() {
        return Err(refused(FETCHES_NOTHING.into()).into());
    }
    let _setup = Setup::start(context)?;
    guest::packages(&options(context, false, Kernel::default()), names).map_err(|error| {
        match error.downcast_ref::<debian::Error>() {
            Some(none @ debian::Error::NoPackage { .. }) => refused(none.to_string()).into(),
            _ => error,
        }
    })
}

/// An archive with tests of drives that others wrote, for the guest of an image that [`ensure`] gave.
///
/// # Errors
/// A [`Prerequisite`] in a pack; a source that cannot be fetched or built.
pub fn suites(context: &Context) -> anyhow::Result<PathBuf> {
    if context.paths.is_pack() {
        return Err(Prerequisite(format!("--tests: {FETCHES_NOTHING}")).into());
    }
    let _setup = Setup::start(context)?;
    guest::suites(&options(context, false, Kernel::default()))
}

const FETCHES_NOTHING: &str = "a pack fetches nothing: put files in with --file";

/// Sets up QEMU alone.
///
/// # Errors
/// As [`ensure`].
pub fn ensure_qemu(context: &Context) -> anyhow::Result<()> {
    if context.paths.is_pack() {
        return Ok(());
    }
    Setup::start(context)?.qemu(None, false).map(drop)
}

/// The version of the QEMU that was built.
///
/// # Errors
/// There is no source tree.
pub fn qemu_version(context: &Context) -> anyhow::Result<String> {
    source::version(&context.paths.qemu_source())
}

fn build_guest(context: &Context, force: bool, kernel: Kernel) -> anyhow::Result<guest::Image> {
    guest::build(&options(context, force, kernel)).context("building the guest image")
}

fn options(context: &Context, force: bool, kernel: Kernel) -> guest::Options {
    guest::Options {
        target: context.paths.target(),
        force,
        progress: context.progress.is_shown(),
        kernel,
    }
}

/// A set-up under way; others wait until it is dropped.
#[derive(Debug)]
struct Setup<'a> {
    context: &'a Context,
    stamps: Stamps,
    /// Holds the lock.
    _lock: File,
}

impl<'a> Setup<'a> {
    fn start(context: &'a Context) -> anyhow::Result<Self> {
        let target = context.paths.target();
        let path = target.join("setup.lock");
        let lock = fs::create_dir_all(&target)
            .and_then(|()| File::create(&path))
            .with_context(|| path.display().to_string())?;
        wait_for(&lock, context)?;
        Ok(Self {
            context,
            stamps: Stamps::new(context.paths.stamps()),
            _lock: lock,
        })
    }

    /// Brings QEMU up to date; says whether anything had to be done.
    fn qemu(&self, origin: Option<Origin>, force: bool) -> anyhow::Result<bool> {
        let paths = &self.context.paths;
        let origin = self.origin(origin, force)?;
        let source_key = source::key(paths, &origin)?;
        let configure_key = build::configure_key(paths, origin.branch(paths), &source_key)?;

        let mut done = self.step(
            "packages",
            "Debian packages",
            &packages_key(),
            |log, bar| packages::ensure(bar, log),
        )?;
        done |= self.step("source", "QEMU's source", &source_key, |log, _| {
            source::make(paths, &origin, log)?;
            self.stamps.clear("configure")
        })?;
        done |= self.step("firmware", "firmware", &firmware::key(), |_, _| {
            firmware::make(paths)
        })?;
        done |= self.step(
            "configure",
            "QEMU's configuration",
            &configure_key,
            |log, _| {
                self.stamps.clear("program")?;
                build::configure(paths, log)
            },
        )?;
        // Taken before the build: what is edited meanwhile counts as not built.
        let program_key = build::program_key(paths, &configure_key)?;
        let current = self.stamps.is_current("program", &program_key) && paths.qemu().exists();
        if !current {
            let started = Instant::now();
            let log = Log::create(&paths.logs(), "program")?;
            build::build(paths, self.context.progress, &log)?;
            self.stamps.set("program", &program_key)?;
            self.finished("QEMU with the device", started);
        }
        Ok(done || !current)
    }

    /// The origin asked for, or that of the last set-up. A tree of the user's is looked at only when it is
    /// named: every other command trusts the copy.
    fn origin(&self, asked: Option<Origin>, force: bool) -> anyhow::Result<Origin> {
        const STEPS: [&str; 5] = ["packages", "source", "firmware", "configure", "program"];
        if force {
            STEPS.iter().try_for_each(|step| self.stamps.clear(step))?;
        }
        let Some(origin) = asked else {
            return Ok(Origin::from_text(
                &self.stamps.text("origin").unwrap_or_default(),
            ));
        };
        if let Origin::Tree(tree) = &origin {
            source::check(tree)?;
            let found = source::fingerprint(tree)?;
            if !self.stamps.is_current("tree", &found) {
                self.stamps.clear("source")?;
                self.stamps.set("tree", &found)?;
            }
        }
        self.stamps.set_text("origin", &origin.to_text())?;
        Ok(origin)
    }

    /// Does a step unless its stamp is current; says whether it did.
    fn step(
        &self,
        name: &str,
        what: &str,
        key: &Key,
        work: impl FnOnce(&Log, &ProgressBar) -> anyhow::Result<()>,
    ) -> anyhow::Result<bool> {
        if self.stamps.is_current(name, key) {
            return Ok(false);
        }
        let started = Instant::now();
        self.stamps.clear(name)?;
        let log = Log::create(&self.context.paths.logs(), name)?;
        let bar = self.context.progress.spinner(what);
        let result = work(&log, &bar);
        bar.finish_and_clear();
        result?;
        self.stamps.set(name, key)?;
        self.finished(what, started);
        Ok(true)
    }

    fn finished(&self, what: &str, started: Instant) {
        let seconds = started.elapsed().as_secs_f32();
        self.context.progress.note(format!(
            "{} {what} ({seconds:.1} s)",
            style("done").for_stderr().green()
        ));
    }
}

/// How often it is looked whether another set-up has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Takes the lock. That it has to be waited for is said also where nobody sees a bar: a script would seem to hang.
fn wait_for(lock: &File, context: &Context) -> anyhow::Result<()> {
    let begin = Instant::now();
    while !FileExt::try_lock_exclusive(lock).unwrap_or(false) {
        if begin.elapsed() < LOOK_EVERY {
            context
                .progress
                .tell("Waiting for another set-up of this repository to finish");
        }
        if let Some(limit) = context.patience.filter(|limit| begin.elapsed() >= *limit) {
            let why = "another set-up of this repository has not finished";
            bail!("{why} after {} s (--timeout)", limit.as_secs());
        }
        sleep(LOOK_EVERY);
    }
    Ok(())
}

fn packages_key() -> Key {
    packages::NEEDED
        .iter()
        .fold(Inputs::default(), |inputs, name| inputs.text(name))
        .key()
}
