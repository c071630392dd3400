// SPDX-License-Identifier: GPL-2.0-or-later
//! The guest's `/init`: prepares the system, runs the job and reports it over the second serial port.
//!
//! ```text
//! /etc/boot.sh             mounts, driver, waits for the namespaces
//! /job/script              bash; output and status go out as frames
//! /job/fetch               files to send afterwards, one path a line
//! /job/merged              if there, standard error goes down standard output
//! no /job                  a shell on the console instead
//! ```
//!
//! It is process 1: it must not return, and ends by switching the machine off. It is compiled by the image builder
//! with rustc alone, statically, and so uses nothing but `std` and busybox.

#[path = "../src/frame.rs"]
mod frame;

use frame::{encode, Kind, MAX_PAYLOAD};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const BUSYBOX: &str = "/bin/busybox";
const PORT: &str = "/dev/ttyS1";
const JOB: &str = "/job";

/// How long output may still come from what the script left running, after it has ended itself.
const GRACE: Duration = Duration::from_millis(200);

fn main() {
    run(Command::new(BUSYBOX).args(["sh", "/etc/boot.sh"]));
    if Path::new(JOB).exists() {
        if let Err(error) = report_job() {
            eprintln!("init: {error}");
        }
    } else {
        shell();
    }
    run(Command::new(BUSYBOX).args(["poweroff", "-f"]));
    // Returning would panic the kernel before the power is off.
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// Runs a command for its effect; what went wrong is for the console.
fn run(command: &mut Command) {
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => eprintln!("init: {command:?}: {status}"),
        Err(error) => eprintln!("init: {command:?}: {error}"),
    }
}

/// An interactive shell on the console, with job control.
fn shell() {
    let mut command = Command::new(BUSYBOX);
    command.args(["setsid", "cttyhack", "/bin/bash", "-l"]);
    run(command.current_dir("/root").envs(environment()));
}

fn environment() -> [(&'static str, &'static str); 5] {
    [
        (
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ),
        ("HOME", "/root"),
        ("TERM", "linux"),
        ("LC_ALL", "C"),
        // Nobody answers dmsetup that the devices it made are there: it makes their nodes itself.
        ("DM_DISABLE_UDEV", "1"),
    ]
}

/// The serial port; whole frames only.
#[derive(Clone)]
struct Port(Arc<Mutex<File>>);

impl Port {
    fn open() -> io::Result<Self> {
        let file = OpenOptions::new().write(true).open(PORT)?;
        Ok(Self(Arc::new(Mutex::new(file))))
    }

    fn send(&self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        let mut file = self
            .0
            .lock()
            .map_err(|_| io::Error::other("a sender died"))?;
        file.write_all(&encode(kind, payload))
    }

    /// Sends everything `from` gives until it ends; `prefix` goes before each piece.
    fn copy(&self, kind: Kind, prefix: &[u8], mut from: impl Read) -> io::Result<()> {
        let mut payload = vec![0; MAX_PAYLOAD];
        payload[..prefix.len()].copy_from_slice(prefix);
        loop {
            match from.read(&mut payload[prefix.len()..]) {
                Ok(0) => return Ok(()),
                Ok(length) => self.send(kind, &payload[..prefix.len() + length])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn report_job() -> io::Result<()> {
    let port = Port::open()?;
    port.send(Kind::Hello, b"")?;
    let status = run_script(&port)?;
    port.send(Kind::Exit, &status.to_le_bytes())?;
    send_files(&port)?;
    port.send(Kind::Done, b"")
    // The port closes here, which waits until its last byte has left.
}

/// Runs the script to its end and sends its output; gives its status as a shell would.
fn run_script(port: &Port) -> io::Result<i32> {
    let mut command = Command::new("/bin/bash");
    if Path::new(JOB).join("merged").exists() {
        command.args(["-c", "exec /bin/bash /job/script 2>&1"]);
    } else {
        command.arg("/job/script");
    }
    command.current_dir("/root").env_clear().envs(environment());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (done, ended) = mpsc::channel();
    let mut readers = 0;
    if let Some(pipe) = child.stdout.take() {
        readers += 1;
        spawn_reader(port, Kind::Stdout, pipe, &done);
    }
    if let Some(pipe) = child.stderr.take() {
        readers += 1;
        spawn_reader(port, Kind::Stderr, pipe, &done);
    }
    let status = child.wait()?;
    for _ in 0..readers {
        if ended.recv_timeout(GRACE).is_err() {
            break;
        }
    }
    Ok(shell_status(status))
}

/// Sends what comes through `pipe`, and tells `done` when it has ended.
fn spawn_reader(port: &Port, kind: Kind, pipe: impl Read + Send + 'static, done: &Sender<()>) {
    let (port, done) = (port.clone(), done.clone());
    thread::spawn(move || {
        if let Err(error) = port.copy(kind, b"", pipe) {
            eprintln!("init: {kind:?}: {error}");
        }
        // Nobody listens any more once the grace is over.
        let _ = done.send(());
    });
}

/// The number a shell gives a command that ended so.
fn shell_status(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Sends the files the job asked for, in its order.
fn send_files(port: &Port) -> io::Result<()> {
    let list = fs::read_to_string(Path::new(JOB).join("fetch"))?;
    for (index, path) in (0_u32..).zip(list.lines()) {
        let index = index.to_le_bytes();
        let trouble = send_file(port, &index, path).err();
        let mut end = index.to_vec();
        if let Some(error) = trouble {
            end.extend_from_slice(error.to_string().as_bytes());
        }
        port.send(Kind::FileEnd, &end)?;
    }
    Ok(())
}

/// Sends one file, compressed.
fn send_file(port: &Port, index: &[u8], path: &str) -> io::Result<()> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut gzip = Command::new(BUSYBOX);
    let mut child = gzip
        .args(["gzip", "-c"])
        .stdin(file)
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(pipe) = child.stdout.take() {
        port.copy(Kind::File, index, pipe)?;
    }
    let status = child.wait()?;
    status
        .success()
        .then_some(())
        .ok_or_else(|| io::Error::other(format!("gzip: {status}")))
}
