// SPDX-License-Identifier: GPL-2.0-or-later
//! Counted time is the guest's own, whatever the host and QEMU's other threads do meanwhile; monitors may ask until
//! the machine is gone; and what a processor writes to a device arrives there while others change what is mapped. These
//! are promises of QEMU that our patches make true.
//!
//! ```text
//!   patches/ticks.S   a guest without an operating system, which says what it saw of time in eight letters
//!   patches/maps.S    another, which says whether its writes arrived
//!   patches/rom.S     what both have at their end
//!   patches/late.c    preloaded into QEMU: threads are late where a busy host makes them late now and then
//!   clients           ask for the status all the time, or make QEMU interrupt its processors
//! ```
//! The files are compiled by the C compiler that Rust links with.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use qtest::TIMEOUT;
use serde_json::{json, Value};
use tempfile::TempDir;
use wait_timeout::ChildExt;

/// Much more often than anyone would ask.
const OFTEN: Duration = Duration::from_micros(500);

/// A delay and the microseconds of it, as patches/late.c names them.
type Late = (&'static str, u32);

/// What a client of the monitor does all the time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    /// It asks whether the machine runs.
    Asks,
    /// The same, but it does not wait for the answers: QEMU queues eight requests.
    Queues,
    /// It adds a device that there is not: QEMU then waits for its processors to leave their code.
    Interrupts,
}

impl Client {
    fn command(self) -> Value {
        match self {
            Self::Asks | Self::Queues => json!({ "execute": "query-status" }),
            Self::Interrupts => {
                json!({ "execute": "device_add", "arguments": { "driver": "none" } })
            }
        }
    }

    fn pause(self) -> Duration {
        match self {
            Self::Asks => OFTEN,
            Self::Queues => Duration::from_millis(20),
            Self::Interrupts => Duration::ZERO,
        }
    }
}

/// What is compiled, and the place for what QEMU leaves.
struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new() -> Result<Self> {
        let dir = TempDir::new()?;
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/patches");
        let rom = "-Wl,-Ttext=0xf0000,--oformat=binary,--build-id=none";
        for guest in ["ticks", "maps"] {
            compile(
                &sources.join(guest).with_extension("S"),
                &dir.path().join(guest).with_extension("bin"),
                &["-m32", "-nostdlib", "-static", rom],
            )?;
        }
        compile(
            &sources.join("late.c"),
            &dir.path().join("late.so"),
            &["-O2", "-shared", "-fPIC", "-U_FORTIFY_SOURCE", "-ldl"],
        )?;
        Ok(Self { dir })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// QEMU with `monitors` monitors and threads that are late.
    fn qemu(&self, monitors: u64, late: Option<Late>) -> Result<Command> {
        let mut qemu = Command::new(qtest::binary()?);
        qemu.args(["-nodefaults", "-no-user-config", "-display", "none"]);
        for n in 0..monitors {
            let socket = self.path(&format!("qmp{n}"));
            qemu.arg("-qmp")
                .arg(format!("unix:{},server=on,wait=off", socket.display()));
        }
        if let Some((place, microseconds)) = late {
            qemu.env("LD_PRELOAD", self.path("late.so"))
                .env("CONZONE_LATE_TOLD", self.path("told"))
                .env(format!("CONZONE_LATE_{place}"), microseconds.to_string());
        }
        qemu.stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(qemu)
    }

    /// What the guest says of its time.
    fn ticks(&self, processors: u32, late: Option<Late>, client: Option<Client>) -> Result<String> {
        let counted = ["-accel", "tcg", "-icount", "shift=0,sleep=off"];
        let letters = self.said("ticks", processors, &counted, late, client)?;
        ensure!(letters.len() == 8, "the guest said {letters:?}");
        Ok(letters)
    }

    /// What a guest says until it ends QEMU.
    fn said(
        &self,
        guest: &str,
        processors: u32,
        options: &[&str],
        late: Option<Late>,
        client: Option<Client>,
    ) -> Result<String> {
        let said = self.path("said");
        let mut qemu = self.qemu(1, late)?;
        qemu.args(["-machine", "q35", "-m", "16M"])
            .args(["-smp", &processors.to_string()])
            .args(options)
            .args(["-rtc", "base=2020-01-01,clock=vm", "-bios"])
            .arg(self.path(guest).with_extension("bin"))
            .arg("-chardev")
            .arg(format!("file,id=said,path={}", said.display()))
            .args(["-device", "isa-debugcon,chardev=said"])
            .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
        let mut process = qemu.spawn().context("starting QEMU")?;
        let asking = client.map(|client| ask(self.path("qmp0"), client));
        ended(&mut process)?;
        if let Some(Err(panic)) = asking.map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
        self.was_late(late)?;
        Ok(std::fs::read_to_string(said)?)
    }

    /// That the delays were there.
    fn was_late(&self, late: Option<Late>) -> Result<()> {
        let Some((place, _)) = late else {
            return Ok(());
        };
        let told = std::fs::read_to_string(self.path("told"))?;
        let times: u64 = told.parse().with_context(|| format!("told {told:?}"))?;
        ensure!(times > 0, "never late at {place}");
        Ok(())
    }
}

fn compile(source: &Path, to: &Path, flags: &[&str]) -> Result<()> {
    let output = Command::new("cc")
        .arg("-o")
        .arg(to)
        .arg(source)
        .args(flags)
        .output()
        .context("starting cc")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", source.display());
    Ok(())
}

/// Waits for QEMU's end.
fn ended(process: &mut Child) -> Result<ExitStatus> {
    if let Some(status) = process.wait_timeout(TIMEOUT)? {
        return Ok(status);
    }
    process.kill()?;
    process.wait()?;
    bail!("QEMU does not end")
}

/// A monitor's connection, past the handshake.
struct Monitor {
    stream: BufReader<UnixStream>,
}

impl Monitor {
    /// Connects as soon as the socket is there.
    fn connect(socket: &Path) -> Result<Self> {
        let end = Instant::now() + TIMEOUT;
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(e) if Instant::now() > end => return Err(e).context("connecting"),
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        };
        stream.set_read_timeout(Some(TIMEOUT))?;
        let mut monitor = Self {
            stream: BufReader::new(stream),
        };
        monitor.line()?;
        let wanted = json!({ "enable": ["oob"] });
        monitor.send(&json!({ "execute": "qmp_capabilities", "arguments": wanted }))?;
        monitor.line()?;
        Ok(monitor)
    }

    fn send(&mut self, command: &Value) -> Result<()> {
        let mut text = String::new();
        writeln!(text, "{command}")?;
        Ok(self.stream.get_mut().write_all(text.as_bytes())?)
    }

    fn line(&mut self) -> Result<()> {
        let mut line = String::new();
        ensure!(self.stream.read_line(&mut line)? > 0, "closed");
        Ok(())
    }
}

/// A client that goes on until QEMU is gone, which may be before it has come.
fn ask(socket: PathBuf, client: Client) -> JoinHandle<()> {
    thread::spawn(move || {
        let Ok(mut monitor) = Monitor::connect(&socket) else {
            return;
        };
        let command = client.command();
        let waits = client != Client::Queues;
        while monitor.send(&command).is_ok() && (!waits || monitor.line().is_ok()) {
            thread::sleep(client.pause());
        }
    })
}

/// Without the patch of the warp, each run that is late at the jump says something else.
#[test]
fn a_halted_guest_sees_the_same_time_however_late_qemus_threads_are() -> Result<()> {
    let bench = Bench::new()?;
    for processors in [1, 2] {
        let same = bench.ticks(processors, None, None)?;
        for late in [("JUMP", 50), ("LOCK", 5), ("UNLOCK", 5)] {
            let now = bench.ticks(processors, Some(late), Some(Client::Asks))?;
            ensure!(
                now == same,
                "{now}, not {same}: {processors} processors, late by {late:?}"
            );
        }
    }
    Ok(())
}

/// Without the patch of the turns, most interrupted runs say something else.
#[test]
fn processors_take_the_same_turns_however_they_are_interrupted() -> Result<()> {
    let bench = Bench::new()?;
    let same = bench.ticks(3, None, None)?;
    for run in 0..3 {
        let now = bench.ticks(3, None, Some(Client::Interrupts))?;
        ensure!(now == same, "{now}, not {same}, in run {run}");
    }
    Ok(())
}

/// Without the patch of the monitor, QEMU dies in three of four of these.
#[test]
fn monitors_may_ask_until_qemu_has_ended() -> Result<()> {
    const CLIENTS: u64 = 4;
    let bench = Bench::new()?;
    let ending = bench.path("ending");
    let late = Some(("SWITCH", 10_000));
    for run in 0..8 {
        let mut qemu = bench.qemu(1 + CLIENTS, late)?;
        qemu.args(["-machine", "none"])
            .env("CONZONE_LATE_AFTER", &ending);
        let mut process = qemu.spawn().context("starting QEMU")?;
        let mut ends = Monitor::connect(&bench.path("qmp0"))?;
        let mut asking = Vec::new();
        for n in 1..=CLIENTS {
            asking.push(ask(bench.path(&format!("qmp{n}")), Client::Queues));
            // Not all at the same time: one of them is to ask while the monitors are taken down.
            thread::sleep(Client::Queues.pause() / 4);
        }
        std::fs::write(&ending, "")?;
        ends.send(&json!({ "execute": "quit" }))?;
        let status = ended(&mut process)?;
        ensure!(status.success(), "run {run}: {status}");
        for client in asking {
            ensure!(client.join().is_ok(), "a client failed");
        }
        bench.was_late(late)?;
        std::fs::remove_file(&ending)?;
    }
    Ok(())
}

/// Without the patch of the map, a write is lost in each run.
#[test]
fn writes_arrive_while_another_processor_changes_the_map() -> Result<()> {
    let bench = Bench::new()?;
    let parallel = ["-accel", "tcg,thread=multi"];
    let drive = ["-device", "conzone-nvme,addr=4,zones=4"];
    for late in [None, Some(("WAKE", 200))] {
        let said = bench.said("maps", 2, &[parallel, drive].concat(), late, None)?;
        ensure!(said == "y", "the guest said {said:?}, late by {late:?}");
    }
    Ok(())
}
