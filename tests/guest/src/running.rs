// SPDX-License-Identifier: GPL-2.0-or-later
//! A QEMU process with a job in it.
//!
//! ```text
//! folder of its own:  initramfs.img  the image's, with the job's archive behind it
//!                     console        first serial port: the kernel's messages
//!                     results        second serial port: frames (frame.rs)
//!                     qemu.log       QEMU's own output
//!                     qmp            its monitor
//!                     state          the machine on its way to another QEMU ([`Machine::move_every`])
//!                     job            for a guest that has booted: comes in by the second serial port (snapshot.rs)
//! ```
//!
//! The ports are files, not sockets: a file never makes QEMU wait, and under instruction counting a wait for the
//! host would show in the guest's time.

use crate::decode::{Decoder, Frame};
use crate::frame::Kind;
use crate::machine::NO_SETPRIV;
use crate::{snapshot, Job, Machine, Qmp, Stream};
use anyhow::{bail, ensure, Context, Result};
use flate2::write::GzDecoder;
use serde_json::json;
use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How often the port's file is looked at.
const POLL: Duration = Duration::from_millis(5);

/// QEMU opens its monitor before it makes its devices; generous for a busy host.
const MONITOR_LIMIT: Duration = Duration::from_secs(30);

/// How long the guest may take to switch off after its last frame, and QEMU to end after `quit`.
const OFF_LIMIT: Duration = Duration::from_secs(30);

/// How long a machine may take on its way to another QEMU.
const MOVE_LIMIT: Duration = Duration::from_secs(300);

/// The serial ports, and the files that they are.
const PORTS: [&str; 2] = ["console", "results"];

/// Lines of the console an error shows.
const CONSOLE_LINES: usize = 15;

/// How a job ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The script's exit status, 128 + number if a signal ended it.
    pub status: i32,
    /// Files that were to be fetched and could not be read in the guest, with the reason.
    pub missing: Vec<String>,
    /// Time from the start of QEMU to the end of the script.
    pub elapsed: Duration,
    /// How often the guest booted: more than once if it was reset.
    pub boots: u32,
    /// What the kernel wrote to its console.
    pub console: String,
    /// How often the machine was moved to another QEMU.
    pub moves: u32,
}

/// A QEMU process that runs a job. Dropping it kills that process, and no other.
#[derive(Debug)]
pub struct Running {
    child: Child,
    qmp: Qmp,
    folder: TempDir,
    started: Instant,
    results: File,
    decoder: Decoder,
    fetch: Vec<(String, PathBuf)>,
    progress: Progress,
    /// The guest has switched itself off.
    is_off: bool,
    moving: Option<Moving>,
}

/// A machine that is moved to another QEMU time and again.
#[derive(Debug)]
struct Moving {
    machine: Machine,
    every: Duration,
    last: Instant,
    count: u32,
}

/// What has arrived so far.
#[derive(Debug, Default)]
struct Progress {
    boots: u32,
    status: Option<(i32, Duration)>,
    missing: Vec<String>,
    file: Option<(usize, GzDecoder<File>)>,
    done: bool,
}

impl Running {
    pub(crate) fn start(machine: &Machine, job: &Job) -> Result<Self> {
        let archive = job.archive()?;
        if let Some(folder) = &machine.snapshots {
            if archive.len() <= snapshot::LONGEST_JOB {
                let from = snapshot::of(machine, folder)?;
                return Self::restore(machine, job, &archive, &from);
            }
        }
        let folder = Self::folder()?;
        let initramfs = folder.path().join("initramfs.img");
        machine
            .image
            .assemble(machine.kernel, &archive, &initramfs)?;
        let started = Instant::now();
        let (child, qmp) = spawn(machine, folder.path(), &[])?;
        let mut running = Self::of(folder, child, qmp, started, job)?;
        if let Some(every) = machine.move_every {
            let (machine, last) = (machine.clone(), Instant::now());
            running.moving = Some(Moving {
                machine,
                every,
                last,
                count: 0,
            });
        } else {
            // QEMU has it in memory now; a run that is interrupted leaves only small files behind.
            let _ = fs::remove_file(initramfs);
        }
        Ok(running)
    }

    /// A folder with the ports' files.
    pub(crate) fn folder() -> Result<TempDir> {
        let folder = tempfile::Builder::new().prefix("conzone-").tempdir()?;
        for port in PORTS {
            File::create(folder.path().join(port))?;
        }
        Ok(folder)
    }

    pub(crate) fn of(
        folder: TempDir,
        child: Child,
        qmp: Qmp,
        started: Instant,
        job: &Job,
    ) -> Result<Self> {
        let results = File::open(folder.path().join("results"))?;
        Ok(Self {
            child,
            qmp,
            folder,
            started,
            results,
            decoder: Decoder::default(),
            fetch: job.fetch.clone(),
            progress: Progress::default(),
            is_off: false,
            moving: None,
        })
    }

    /// Waits for the job to end, handing each piece of its output to `output` as it comes.
    ///
    /// Afterwards the guest is switched off but QEMU still there and paused, so that the device's state can be
    /// asked for through [`Running::qmp`] as it was when the job ended.
    ///
    /// # Errors
    /// The guest dies or QEMU ends before the job does (with the console's last lines or QEMU's message), `limit`
    /// passes, or a fetched file cannot be written.
    pub fn wait(
        &mut self,
        limit: Duration,
        mut output: impl FnMut(Stream, &[u8]),
    ) -> Result<Outcome> {
        self.attend(limit, &mut output, |progress| progress.done)?;
        self.look_whether_off(OFF_LIMIT)?;
        ensure!(self.is_off, "the guest does not switch off");
        let Some((status, elapsed)) = self.progress.status else {
            bail!("the guest reported no exit status\n{}", self.last_words());
        };
        Ok(Outcome {
            status,
            missing: std::mem::take(&mut self.progress.missing),
            elapsed,
            boots: self.progress.boots,
            console: self.console(),
            moves: self.moving.as_ref().map_or(0, |moving| moving.count),
        })
    }

    /// Waits until the job has `come` so far, handing its output on, and moves the machine when it is time for that.
    fn attend(
        &mut self,
        limit: Duration,
        output: &mut impl FnMut(Stream, &[u8]),
        mut come: impl FnMut(&Progress) -> bool,
    ) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            // Asked for before the port is read: what came before the guest went off is then seen.
            self.look_whether_off(POLL)?;
            self.receive(output)?;
            if come(&self.progress) {
                return Ok(());
            }
            ensure!(!self.is_off, "the guest died\n{}", self.last_words());
            ensure!(
                Instant::now() < end,
                "the guest has not finished within {} s\n{}",
                limit.as_secs(),
                self.last_words()
            );
            self.move_on()?;
        }
    }

    /// Waits until the job has written this line to its standard output.
    pub(crate) fn until(&mut self, line: &str, limit: Duration) -> Result<()> {
        let said = RefCell::new(Vec::new());
        let mut output = |stream, bytes: &[u8]| {
            if stream == Stream::Stdout {
                said.borrow_mut().extend_from_slice(bytes);
            }
        };
        let is_there = |_: &Progress| said.borrow().ends_with(format!("{line}\n").as_bytes());
        self.attend(limit, &mut output, is_there)
    }

    /// Sends the machine away, as fast as the host can.
    pub(crate) fn leave(&mut self, uri: &str) -> Result<()> {
        let parameters = json!({ "max-bandwidth": 1_u64 << 40, "downtime-limit": 2000 });
        self.qmp.execute("migrate-set-parameters", parameters)?;
        self.qmp.execute("migrate", json!({ "uri": uri }))?;
        let left = settle(&mut self.qmp, "the machine leaves");
        left.with_context(|| self.qemu_log().trim_end().to_owned())
    }

    /// Waits for a machine that comes.
    pub(crate) fn arrive(&mut self) -> Result<()> {
        let arrived = settle(&mut self.qmp, "the machine arrives");
        arrived.with_context(|| self.qemu_log().trim_end().to_owned())
    }

    /// Moves the machine to another QEMU if it is time for that: by a socket, next time through a file, and so on.
    fn move_on(&mut self) -> Result<()> {
        let Some(moving) = self.moving.as_mut().filter(|_| !self.is_off) else {
            return Ok(());
        };
        if moving.last.elapsed() < moving.every {
            return Ok(());
        }
        moving.count += 1;
        let state = self.folder.path().join("state");
        let _ = fs::remove_file(&state);
        let by_socket = moving.count % 2 == 1;
        let scheme = if by_socket { "unix" } else { "file" };
        let uri = format!("{scheme}:{}", state.display());
        let (machine, folder) = (moving.machine.clone(), self.folder.path().to_owned());
        let take = || spawn(&machine, &folder, &["-incoming", &uri]);
        let next = if by_socket { Some(take()?) } else { None };
        self.leave(&uri)?;
        self.is_off |= self.qmp.event("SHUTDOWN", Duration::ZERO)?.is_some();
        let (child, qmp) = next.map_or_else(take, Ok)?;
        let mut left = std::mem::replace(&mut self.child, child);
        let mut old = std::mem::replace(&mut self.qmp, qmp);
        let moved = self.arrive().and(old.execute("quit", json!({})));
        if moved.is_err() {
            end(&mut left);
        }
        let status = left.wait()?;
        moved?;
        ensure!(status.success(), "QEMU: {status}\n{}", self.qemu_log());
        if let Some(moving) = &mut self.moving {
            moving.last = Instant::now();
        }
        Ok(())
    }

    /// QEMU's monitor.
    pub fn qmp(&mut self) -> &mut Qmp {
        &mut self.qmp
    }

    /// QEMU's process, to measure what it costs the host.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the kernel has written to its console so far.
    pub fn console(&self) -> String {
        read_lossy(&self.folder.path().join("console"))
    }

    /// What QEMU itself has said so far: warnings, and what `-d` asked for.
    pub fn qemu_log(&self) -> String {
        read_lossy(&self.folder.path().join("qemu.log"))
    }

    /// Ends QEMU and waits for it.
    ///
    /// # Errors
    /// QEMU does not end, or ends with a failure.
    pub fn quit(mut self) -> Result<()> {
        self.qmp.execute("quit", json!({}))?;
        let end = Instant::now() + OFF_LIMIT;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "QEMU: {status}\n{}", self.qemu_log());
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        bail!("QEMU does not end");
    }

    /// Finds out whether the guest has been switched off, waiting up to `limit` for it.
    fn look_whether_off(&mut self, limit: Duration) -> Result<()> {
        if self.is_off {
            return Ok(());
        }
        match self.qmp.event("SHUTDOWN", limit) {
            Ok(event) => {
                self.is_off = event.is_some();
                Ok(())
            }
            Err(error) => {
                let status = self.child.wait()?;
                Err(error.context(format!("QEMU ended: {status}\n{}", self.last_words())))
            }
        }
    }

    /// Takes what the guest has sent meanwhile.
    fn receive(&mut self, output: &mut impl FnMut(Stream, &[u8])) -> Result<()> {
        let mut bytes = Vec::new();
        self.results.read_to_end(&mut bytes)?;
        self.decoder.push(&bytes);
        while let Some(frame) = self.decoder.next_frame() {
            self.take(&frame, output)?;
        }
        Ok(())
    }

    fn take(&mut self, frame: &Frame, output: &mut impl FnMut(Stream, &[u8])) -> Result<()> {
        let progress = &mut self.progress;
        match frame.kind {
            Kind::Hello => {
                *progress = Progress {
                    boots: progress.boots + 1,
                    ..Progress::default()
                };
            }
            Kind::Stdout => output(Stream::Stdout, &frame.payload),
            Kind::Stderr => output(Stream::Stderr, &frame.payload),
            Kind::Exit => {
                let status = frame.payload.first_chunk().context("a short exit frame")?;
                progress.status = Some((i32::from_le_bytes(*status), self.started.elapsed()));
            }
            Kind::File => {
                let (index, data) = indexed(&frame.payload)?;
                progress.open(index, &self.fetch)?.write_all(data)?;
            }
            Kind::FileEnd => {
                let (index, reason) = indexed(&frame.payload)?;
                let (name, path) = self.fetch.get(index).context("an end of no file")?;
                if reason.is_empty() {
                    let context = || format!("cannot write {}", path.display());
                    progress
                        .open(index, &self.fetch)?
                        .try_finish()
                        .with_context(context)?;
                } else {
                    let reason = String::from_utf8_lossy(reason);
                    progress.missing.push(format!("{name}: {reason}"));
                }
                progress.file = None;
            }
            Kind::Done => progress.done = true,
        }
        Ok(())
    }

    /// What explains a death: QEMU's messages and what the console says of it.
    fn last_words(&self) -> String {
        format!("{}{}", self.qemu_log(), relevant(&self.console()))
            .trim_end()
            .to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

impl Progress {
    /// The host's file for the fetched file number `index`, created when first asked for.
    fn open(&mut self, index: usize, fetch: &[(String, PathBuf)]) -> Result<&mut GzDecoder<File>> {
        let (_, path) = fetch
            .get(index)
            .context("the guest sent a file nobody asked for")?;
        let file = match self.file.take() {
            Some((current, file)) if current == index => file,
            _ => GzDecoder::new(
                File::create(path).with_context(|| format!("cannot write {}", path.display()))?,
            ),
        };
        Ok(&mut self.file.insert((index, file)).1)
    }
}

/// Starts QEMU with the ports and the monitor in a folder, and more arguments.
pub(crate) fn spawn(machine: &Machine, folder: &Path, more: &[&str]) -> Result<(Child, Qmp)> {
    let at = |name: &str| folder.join(name);
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(at("qemu.log"))?;
    let mut command = machine.command(&at("initramfs.img"))?;
    for port in PORTS {
        let path = at(port);
        let mut port = format!("file,id={port},path={},append=on", path.display());
        if at("job").exists() && path.ends_with("results") {
            port += &format!(",input-path={}", at("job").display());
        }
        command.args(["-chardev", &port]);
    }
    for port in PORTS {
        command.args(["-serial", &format!("chardev:{port}")]);
    }
    let _ = fs::remove_file(at("qmp"));
    command
        .arg("-qmp")
        .arg(format!("unix:{},server=on,wait=off", at("qmp").display()));
    command.args(["-action", "reboot=shutdown,shutdown=pause"]);
    command.args(&machine.extra_args).args(more);
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let mut child = command.spawn().context(NO_SETPRIV)?;
    match connect(&mut child, &at("qmp")) {
        Ok(qmp) => Ok((child, qmp)),
        Err(error) => {
            end(&mut child);
            Err(refusal(&at("qemu.log")).unwrap_or(error))
        }
    }
}

/// Waits until a migration has ended well.
fn settle(qmp: &mut Qmp, what: &str) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < MOVE_LIMIT {
        let answer = qmp.execute("query-migrate", json!({}))?;
        match answer.get("status").and_then(serde_json::Value::as_str) {
            Some("completed") => return Ok(()),
            Some("failed" | "cancelled") => bail!("{what}: {answer}"),
            _ => std::thread::sleep(POLL),
        }
    }
    bail!("{what}: not within {} s", MOVE_LIMIT.as_secs())
}

/// Connects to the monitor of a QEMU that has just been started.
fn connect(child: &mut Child, socket: &Path) -> Result<Qmp> {
    let start = Instant::now();
    while start.elapsed() < MONITOR_LIMIT && child.try_wait()?.is_none() {
        if socket.exists() {
            return Qmp::connect(socket, MONITOR_LIMIT.saturating_sub(start.elapsed()));
        }
        std::thread::sleep(POLL);
    }
    bail!("QEMU did not open its monitor")
}

/// Kills the process and collects it; it may have ended already.
fn end(child: &mut Child) {
    if child.kill().is_ok() {
        // Nothing is left to do about a child that cannot be waited for.
        let _ = child.wait();
    }
}

/// QEMU's own message as an error, if it left one.
fn refusal(log: &Path) -> Option<anyhow::Error> {
    let text = read_lossy(log);
    let text = text.trim();
    (!text.is_empty()).then(|| anyhow::anyhow!("{text}"))
}

/// The console's lines from a panic on, or else its last ones.
fn relevant(console: &str) -> String {
    let lines: Vec<&str> = console.lines().collect();
    let panic = lines.iter().position(|line| line.contains("Kernel panic"));
    let start = panic.unwrap_or(lines.len().saturating_sub(CONSOLE_LINES));
    let lines = lines
        .get(start..)
        .unwrap_or_default()
        .iter()
        .take(CONSOLE_LINES);
    lines.map(|line| format!("{line}\n")).collect()
}

/// Splits a file frame into the file's number and the rest.
fn indexed(payload: &[u8]) -> Result<(usize, &[u8])> {
    let (index, rest) = payload.split_first_chunk().context("a short file frame")?;
    Ok((u32::from_le_bytes(*index) as usize, rest))
}

fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Image;
    use flate2::{write::GzEncoder, Compression};
    use std::os::unix::fs::PermissionsExt;

    /// A machine whose QEMU is this shell script.
    fn machine(folder: &Path, script: &str) -> Machine {
        let qemu = folder.join("qemu");
        fs::write(&qemu, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
        let machine = Machine::new(qemu, Image::below(folder));
        for file in [
            machine.image.vmlinux(machine.kernel),
            machine.image.initramfs(machine.kernel),
        ] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        machine
    }

    #[test]
    fn a_refusal_is_reported_in_qemus_words() {
        let folder = tempfile::tempdir().unwrap();
        let machine = machine(
            folder.path(),
            "echo \"qemu: property 'zones': 0\" >&2; exit 1",
        );
        let error = machine.start(&Job::new("true")).unwrap_err();
        assert_eq!(error.to_string(), "qemu: property 'zones': 0");
    }

    #[test]
    fn a_qemu_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut machine = machine(folder.path(), "");
        machine.qemu = "/no/such/qemu".into();
        let error = machine.start(&Job::new("true")).unwrap_err();
        assert_eq!(error.to_string(), "/no/such/qemu is missing");
    }

    #[test]
    fn fetched_files_are_written_as_they_come() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        let fetch = [
            ("/a".to_owned(), first.clone()),
            ("/b".to_owned(), second.clone()),
        ];
        let mut progress = Progress::default();
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(b"one two").unwrap();
        let packed = packed.finish().unwrap();
        for byte in packed {
            progress
                .open(0, &fetch)
                .unwrap()
                .write_all(&[byte])
                .unwrap();
        }
        progress.open(0, &fetch).unwrap().try_finish().unwrap();
        progress.open(1, &fetch).unwrap();
        assert_eq!(fs::read(first).unwrap(), b"one two");
        assert_eq!(fs::read(second).unwrap(), b"");
        assert!(progress.open(2, &fetch).is_err());
    }

    #[test]
    fn a_panic_is_shown_from_its_first_line() {
        let boot: String = (0..50).map(|line| format!("[{line}] boot\n")).collect();
        assert!(relevant(&boot).starts_with("[35] boot\n"));
        let panic = format!("{boot}[50] Kernel panic - not syncing: x\n{boot}");
        assert!(relevant(&panic).starts_with("[50] Kernel panic"));
        assert_eq!(relevant(&panic).lines().count(), CONSOLE_LINES);
        assert_eq!(relevant(""), "");
    }
}
