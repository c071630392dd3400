// SPDX-License-Identifier: GPL-2.0-or-later
//! One QEMU process under test.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use serde_json::{json, Value};
use tempfile::TempDir;
use wait_timeout::ChildExt;

use crate::protocol::Qtest;
use crate::qmp::Qmp;

/// Longest wait for anything QEMU does, in host time. Generous: machines that build are slow.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// First guest address handed out by [`Machine::alloc`]; below it lies what PCs keep there.
const HEAP_START: u64 = 0x0010_0000;

/// How to start a [`Machine`].
#[derive(Clone, Debug)]
pub struct Options {
    /// `-machine` argument.
    pub machine: String,
    /// `-accel` argument; with another than `qtest` there is a processor, and no stepping of time.
    pub accelerator: String,
    /// Guest RAM in MiB.
    pub memory_mib: u64,
    /// Further arguments, in order.
    pub args: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            machine: "q35".to_owned(),
            accelerator: "qtest".to_owned(),
            memory_mib: 128,
            args: Vec::new(),
        }
    }
}

impl Options {
    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: Into<String>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds `-device DEVICE`.
    #[must_use]
    pub fn device(self, device: &str) -> Self {
        self.args(["-device", device])
    }

    fn command(&self) -> Result<Command> {
        let qemu = binary()?;
        let mut command = Command::new(&qemu);
        command
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .args(["-accel", &self.accelerator])
            .args(["-machine", &self.machine, "-m"])
            .arg(format!("{}M", self.memory_mib))
            .args(firmware(&qemu))
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Ok(command)
    }
}

/// A running QEMU and the two sockets into it.
pub struct Machine {
    qtest: RefCell<Qtest>,
    qmp: RefCell<Qmp>,
    process: RefCell<Child>,
    stderr: PathBuf,
    next_free: Cell<u64>,
    end_of_ram: u64,
    next_bar: Cell<u64>,
    _dir: TempDir,
}

impl Machine {
    /// Starts QEMU and waits until both sockets answer.
    pub fn start(options: &Options) -> Result<Self> {
        let dir = TempDir::new().context("creating a temporary directory")?;
        let qtest = UnixListener::bind(dir.path().join("qtest"))?;
        let qmp = UnixListener::bind(dir.path().join("qmp"))?;
        let stderr = dir.path().join("stderr");
        let mut process = options
            .command()?
            .arg("-qtest")
            .arg(format!("unix:{}", dir.path().join("qtest").display()))
            .args(["-qtest-log", "none", "-qmp"])
            .arg(format!("unix:{}", dir.path().join("qmp").display()))
            .stderr(File::create(&stderr)?)
            .spawn()
            .context("starting QEMU")?;
        let sockets = accept(&qmp, &mut process)
            .and_then(|qmp| Ok((accept(&qtest, &mut process)?, Qmp::new(qmp)?)));
        let (qtest, qmp) = match sockets {
            Ok(sockets) => sockets,
            Err(e) => {
                let _ = process.kill();
                let _ = process.wait();
                let said = std::fs::read_to_string(&stderr).unwrap_or_default();
                return Err(e.context(format!("QEMU did not come up; it said: {}", said.trim())));
            }
        };
        Ok(Self {
            qtest: RefCell::new(Qtest::new(qtest)),
            qmp: RefCell::new(qmp),
            process: RefCell::new(process),
            stderr,
            next_free: Cell::new(HEAP_START),
            end_of_ram: options.memory_mib << 20,
            next_bar: Cell::new(0xe000_0000),
            _dir: dir,
        })
    }

    /// A machine with the default options and one `-device`.
    pub fn with_device(device: &str) -> Result<Self> {
        Self::start(&Options::default().device(device))
    }

    /// Zeroed guest memory that nothing else uses, aligned to `align` (a power of two).
    pub fn alloc(&self, bytes: u64, align: u64) -> Result<u64> {
        let at = self.next_free.get().next_multiple_of(align);
        if at + bytes > self.end_of_ram {
            bail!("the test's guest has no {bytes} bytes of memory left");
        }
        self.next_free.set(at + bytes);
        Ok(at)
    }

    /// Takes over what another machine has handed out of its memory: this one has the same guest.
    pub fn go_on_from(&self, other: &Self) {
        self.next_free.set(other.next_free.get());
        self.next_bar.set(other.next_bar.get());
    }

    /// A free range of the PCI memory window, naturally aligned.
    pub(crate) fn alloc_bar(&self, bytes: u64) -> u64 {
        let at = self.next_bar.get().next_multiple_of(bytes);
        self.next_bar.set(at + bytes);
        at
    }

    /// A raw qtest command; the words after `OK`.
    pub fn qtest(&self, command: &str) -> Result<String> {
        self.qtest
            .borrow_mut()
            .command(command)
            .map_err(|e| self.explain(e))
    }

    fn number(&self, command: &str) -> Result<u64> {
        self.qtest
            .borrow_mut()
            .number(command)
            .map_err(|e| self.explain(e))
    }

    /// Adds what QEMU printed, for when it died.
    fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let said = self.stderr();
        if said.is_empty() {
            error
        } else {
            error.context(format!("QEMU's stderr: {said}"))
        }
    }

    /// Reads `size` (1, 2, 4 or 8) bytes at a guest physical address.
    pub fn read(&self, at: u64, size: u32) -> Result<u64> {
        self.number(&format!("read{} {at:#x}", width(size)?))
    }

    /// Writes `size` (1, 2, 4 or 8) bytes at a guest physical address.
    pub fn write(&self, at: u64, size: u32, value: u64) -> Result<()> {
        self.qtest(&format!("write{} {at:#x} {value:#x}", width(size)?))
            .map(drop)
    }

    /// Reads 32 bits from an I/O port.
    pub fn inl(&self, port: u16) -> Result<u32> {
        let value = self.number(&format!("inl {port:#x}"))?;
        u32::try_from(value).context("inl answered more than 32 bits")
    }

    /// Writes 32 bits to an I/O port.
    pub fn outl(&self, port: u16, value: u32) -> Result<()> {
        self.qtest(&format!("outl {port:#x} {value:#x}")).map(drop)
    }

    /// Copies guest memory out.
    pub fn memread(&self, at: u64, bytes: usize) -> Result<Vec<u8>> {
        if bytes == 0 {
            return Ok(Vec::new());
        }
        let text = self.qtest(&format!("read {at:#x} {bytes:#x}"))?;
        let hex = text.strip_prefix("0x").unwrap_or(&text).as_bytes();
        let read: Option<Vec<u8>> = hex
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        match read {
            Some(read) if read.len() == bytes => Ok(read),
            _ => bail!("qtest read of {bytes} bytes answered {} digits", hex.len()),
        }
    }

    /// Copies `data` into guest memory.
    pub fn memwrite(&self, at: u64, data: &[u8]) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let mut command = format!("write {at:#x} {:#x} 0x", data.len());
        for byte in data {
            write!(command, "{byte:02x}")?;
        }
        self.qtest(&command).map(drop)
    }

    /// Fills guest memory with one byte.
    pub fn memset(&self, at: u64, bytes: u64, value: u8) -> Result<()> {
        self.qtest(&format!("memset {at:#x} {bytes:#x} {value:#x}"))
            .map(drop)
    }

    /// Steps virtual time by `ns`, at least 1; the new time in ns.
    pub fn clock_step(&self, ns: u64) -> Result<u64> {
        self.number(&format!("clock_step {ns}"))
    }

    /// Records the interrupt lines going into the device at QOM path `path`.
    pub fn intercept_irqs_into(&self, path: &str) -> Result<()> {
        self.qtest(&format!("irq_intercept_in {path}")).map(drop)
    }

    /// Whether intercepted line `line` is high, and how often it rose.
    pub fn irq(&self, line: u32) -> Result<(bool, u64)> {
        self.read(0, 1)?; // takes what is in the socket
        Ok(self.qtest.borrow().irq(line))
    }

    /// How often any intercepted line rose.
    pub fn irq_rises(&self) -> Result<u64> {
        self.read(0, 1)?;
        Ok(self.qtest.borrow().rises())
    }

    /// Runs a QMP command.
    pub fn qmp(&self, command: &str, arguments: &Value) -> Result<Value> {
        let answer = self.qmp.borrow_mut().execute(command, arguments);
        answer.map_err(|e| match self.process.borrow_mut().try_wait() {
            Ok(Some(status)) => self.explain(e.context(format!("QEMU ended with {status}"))),
            _ => e,
        })
    }

    /// Waits for a QMP event.
    pub fn qmp_event(&self, name: &str) -> Result<Value> {
        self.qmp.borrow_mut().event(name)
    }

    /// Reads a QOM property of the device with the given `id`.
    pub fn qom_get(&self, id: &str, property: &str) -> Result<Value> {
        let path = format!("/machine/peripheral/{id}");
        self.qmp("qom-get", &json!({ "path": path, "property": property }))
    }

    /// Sets a QOM property of the device with the given `id`.
    pub fn qom_set(&self, id: &str, property: &str, value: &Value) -> Result<Value> {
        let path = format!("/machine/peripheral/{id}");
        let arguments = json!({ "path": path, "property": property, "value": value });
        self.qmp("qom-set", &arguments)
    }

    /// The clock by which the drive `id` goes, in ns.
    pub fn drive_clock(&self, id: &str) -> Result<u64> {
        let clock = self.qom_get(id, "clock-ns")?;
        clock.as_u64().context("no clock")
    }

    /// The statistics of the drive `id`.
    pub fn stats(&self, id: &str) -> Result<Value> {
        let text = self.qom_get(id, "stats")?;
        Ok(serde_json::from_str(text.as_str().unwrap_or_default())?)
    }

    /// Runs a monitor command; what it prints.
    pub fn hmp(&self, command: &str) -> Result<String> {
        let answer = self.qmp("human-monitor-command", &json!({ "command-line": command }))?;
        Ok(answer.as_str().unwrap_or_default().to_owned())
    }

    /// What QEMU has written to its standard error so far.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr)
            .unwrap_or_default()
            .trim()
            .to_owned()
    }

    /// Memory of the QEMU process that the host cannot just take, in KiB: resident, less what was
    /// given up with `MADV_FREE`.
    pub fn resident_kib(&self) -> Result<u64> {
        let pid = self.process.borrow().id();
        let memory = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let of = |name: &str| -> Option<u64> {
            let line = memory.lines().find_map(|l| l.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        of("Rss:")
            .zip(of("LazyFree:"))
            .map(|(resident, free)| resident.saturating_sub(free))
            .context("no Rss and LazyFree in /proc/PID/smaps_rollup")
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.process.borrow().id()
    }

    /// Kills QEMU where it stands.
    pub fn kill(self) -> Result<()> {
        let mut process = self.process.borrow_mut();
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// Ends QEMU in an orderly way and checks that it leaves with status 0.
    pub fn quit(self) -> Result<()> {
        self.qmp("quit", &json!({}))?;
        self.ended()
    }

    /// Waits until QEMU has ended by itself, and checks that it leaves with status 0.
    pub fn ended(self) -> Result<()> {
        let status = self.process.borrow_mut().wait_timeout(TIMEOUT)?;
        match status {
            Some(s) if s.success() => Ok(()),
            Some(s) => bail!("QEMU ended with {s}: {}", self.stderr()),
            None => bail!("QEMU does not end"),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let process = self.process.get_mut();
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// Starts QEMU with options that it is to refuse; its exit status and standard error.
///
/// # Errors
/// When it is still running after [`TIMEOUT`].
pub fn refusal(options: &Options) -> Result<(ExitStatus, String)> {
    let dir = TempDir::new()?;
    let stderr = dir.path().join("stderr");
    let mut process = options
        .command()?
        .stderr(File::create(&stderr)?)
        .spawn()
        .context("starting QEMU")?;
    let status = process.wait_timeout(TIMEOUT)?;
    if status.is_none() {
        process.kill()?;
        process.wait()?;
    }
    let said = std::fs::read_to_string(&stderr)?;
    match status {
        Some(status) => Ok((status, said)),
        None => bail!("QEMU accepted {:?}; it said: {said}", options.args),
    }
}

/// The QEMU under test: `$CONZONE_QEMU`, or where `cargo conzone setup` puts it.
///
/// # Errors
/// There is none.
pub fn binary() -> Result<PathBuf> {
    let path = match std::env::var_os("CONZONE_QEMU") {
        Some(path) => PathBuf::from(path),
        None => repository().join("target/qemu/qemu-system-x86_64"),
    };
    if !path.exists() {
        bail!(
            "no QEMU at {}: run `cargo conzone setup` first, or set CONZONE_QEMU",
            path.display()
        );
    }
    Ok(path)
}

/// `-L` for the firmware that the PC machines insist on. `cargo conzone setup` puts it beside its emulator; another one
/// has its own.
fn firmware(qemu: &Path) -> Vec<PathBuf> {
    let beside = qemu.with_file_name("firmware");
    if beside.is_dir() {
        vec!["-L".into(), beside]
    } else {
        Vec::new()
    }
}

fn repository() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// Waits for QEMU to connect, but not for one that has died.
fn accept(listener: &UnixListener, process: &mut Child) -> Result<UnixStream> {
    listener.set_nonblocking(true)?;
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                return Ok(stream);
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e).context("waiting for QEMU to connect"),
        }
        if let Some(status) = process.try_wait()? {
            bail!("QEMU ended with {status}");
        }
        if Instant::now() > deadline {
            bail!("QEMU did not connect within {TIMEOUT:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn width(size: u32) -> Result<char> {
    Ok(match size {
        1 => 'b',
        2 => 'w',
        4 => 'l',
        8 => 'q',
        _ => bail!("qtest accesses 1, 2, 4 or 8 bytes, not {size}"),
    })
}
