// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone top`: a running drive, live.
//!
//! ```text
//!   QMP qom-get ──> Sample ──> history (two samples give a rate) ──> view ──> terminal
//! ```
//! It only reads: the drive does not know that it is watched. Rates are by the guest's clock (`clock-ns`), as the
//! guest sees them; in virtual time that runs faster or slower than the host's, and how fast is shown beside them.

mod history;
mod view;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use self::history::{Clocks, History, Sample};
use crate::failure::Prerequisite;
use crate::out::say;
use crate::qom;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Rates are per second of the guest's clock, by which the drive goes. In virtual time such a second takes as long as the
host needs for it: the display says how fast the guest's clock goes.

Keys: q ends, Tab goes to the next drive.

Examples:
  cargo conzone run --timing real --qmp /tmp/drive.qmp      in one terminal
  cargo conzone top --qmp /tmp/drive.qmp                    in another
  qemu-system-x86_64 ... -qmp unix:/tmp/drive.qmp,server=on,wait=off    a QEMU of your own"
)]
pub struct Args {
    /// QEMU's machine protocol socket
    #[arg(long, value_name = "SOCKET")]
    qmp: PathBuf,
    /// Which device, by its QOM path [default: the first]
    #[arg(long, value_name = "PATH")]
    device: Option<String>,
    /// Milliseconds of the host's clock between two looks
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    interval: u64,
    /// Print this many looks as text and end; for pipes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,
}

/// What ended the display.
enum End {
    Asked,
    Gone,
}

/// Shows the drive until the user ends it or QEMU does.
pub fn run(args: &Args) -> Result<ExitCode> {
    let mut watch = Watch::start(args)?;
    if let Some(looks) = args.batch {
        return watch.print(looks);
    }
    if !console::Term::stdout().is_term() {
        let why = "standard output is no terminal: --batch N prints N looks as text";
        return Err(Prerequisite(why.into()).into());
    }
    let mut terminal = ratatui::try_init().context("preparing the terminal")?;
    let ended = watch.show(&mut terminal);
    ratatui::try_restore().context("restoring the terminal")?;
    if let End::Gone = ended? {
        eprintln!("QEMU has ended");
    }
    Ok(ExitCode::SUCCESS)
}

/// A connection and what was seen over it.
struct Watch {
    qmp: guest::Qmp,
    drives: Vec<String>,
    chosen: usize,
    history: History,
    interval: Duration,
    begin: Instant,
}

impl Watch {
    fn start(args: &Args) -> Result<Self> {
        let mut qmp = qom::connect(&args.qmp)?;
        let mut drives = qom::drives(&mut qmp)?;
        if let Some(path) = &args.device {
            drives = vec![qom::one_drive(&mut qmp, Some(path))?];
        }
        if drives.is_empty() {
            return Err(Prerequisite("this QEMU has no conzone-nvme".into()).into());
        }
        Ok(Self {
            qmp,
            drives,
            chosen: 0,
            history: History::default(),
            interval: Duration::from_millis(args.interval),
            begin: Instant::now(),
        })
    }

    fn path(&self) -> String {
        self.drives.get(self.chosen).cloned().unwrap_or_default()
    }

    /// Looks once. False when QEMU has gone.
    fn look(&mut self) -> Result<bool> {
        let path = self.path();
        let Ok(stats) = qom::text(&mut self.qmp, &path, "stats") else {
            return Ok(false);
        };
        let Ok(ns) = qom::value(&mut self.qmp, &path, "clock-ns") else {
            return Ok(false);
        };
        let text =
            |qmp: &mut guest::Qmp, name: &str| qom::text(qmp, &path, name).unwrap_or_default();
        let (zones, preset) = (
            text(&mut self.qmp, "zone-map"),
            text(&mut self.qmp, "preset"),
        );
        let clocks = Clocks {
            guest: Duration::from_nanos(ns.as_u64().unwrap_or(0)),
            host: self.begin.elapsed(),
        };
        self.history
            .add(Sample::new(clocks, &stats, &zones, &preset)?);
        Ok(true)
    }

    fn show(&mut self, terminal: &mut ratatui::DefaultTerminal) -> Result<End> {
        loop {
            if !self.look()? {
                return Ok(End::Gone);
            }
            let path = self.path();
            terminal.draw(|frame| view::draw(frame, &path, &self.history))?;
            let next = Instant::now() + self.interval;
            while let Some(left) = next.checked_duration_since(Instant::now()) {
                if !event::poll(left)? {
                    break;
                }
                match event::read()? {
                    Event::Key(key) if key.kind == KeyEventKind::Press => match key.code {
                        KeyCode::Char('q') | KeyCode::Esc => return Ok(End::Asked),
                        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                            return Ok(End::Asked)
                        }
                        KeyCode::Tab => {
                            self.chosen = (self.chosen + 1) % self.drives.len().max(1);
                            self.history = History::default();
                            break;
                        }
                        _ => {}
                    },
                    Event::Resize(..) => {
                        terminal.draw(|frame| view::draw(frame, &path, &self.history))?;
                    }
                    _ => {}
                }
            }
        }
    }

    fn print(&mut self, looks: u32) -> Result<ExitCode> {
        for number in 0..looks {
            if number > 0 {
                std::thread::sleep(self.interval);
            }
            if !self.look()? {
                return Err(io::Error::from(io::ErrorKind::ConnectionReset))
                    .context("QEMU has ended");
            }
            say!("{}", self.history.line(&self.path()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
