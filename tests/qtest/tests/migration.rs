// SPDX-License-Identifier: GPL-2.0-or-later
//! Snapshots and migration: a drive that is taken over by another QEMU, or goes back to a snapshot, in the middle of its
//! work goes on as if nothing had happened.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail, ensure, Context, Result};
use qtest::opcode::{APPEND, READ, WRITE};
use qtest::{refusal, Drive, Machine, Options, Queue, Sqe};
use serde_json::{json, Value};
use tempfile::TempDir;

/// Drives of each model, their data namespace, and whether it has zones.
const DRIVES: [(&str, u32, bool); 6] = [
    ("preset=tlc-zoned,zones=4", 2, true),
    ("preset=qlc-zoned-zone-slc,zones=4,timing=off", 2, true),
    ("preset=tlc-block,block-data-size=256M", 2, false),
    ("preset=zns-zn540,zones=4", 1, true),
    ("preset=conv-970pro,block-data-size=256M", 1, false),
    ("preset=nvm-optane,block-data-size=256M", 1, false),
];

fn options(device: &str) -> Options {
    Options::default().device(&format!("conzone-nvme,id=d,addr=4,{device}"))
}

/// Longest wait for a migration or a job, in host time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until `done` says what it is.
fn until<T>(mut done: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(done) = done()? {
            return Ok(done);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("not within {PATIENCE:?}")
}

/// Writes the machine's state to a file.
fn save(machine: &Machine, file: &Path) -> Result<()> {
    let uri = format!("file:{}", file.display());
    machine.qmp("migrate", &json!({ "uri": uri }))?;
    until(|| {
        let answer = machine.qmp("query-migrate", &json!({}))?;
        match answer["status"].as_str() {
            Some("completed") => Ok(Some(())),
            Some("failed") => bail!("{answer}; {}", machine.stderr()),
            _ => Ok(None),
        }
    })
}

/// Another QEMU takes the machine over, through a file. The clock of these tests is not the machine's, and follows.
fn hop(from: &Machine, options: &Options, dir: &Path) -> Result<Machine> {
    let file = dir.join("state");
    let now = from.drive_clock("d")?;
    save(from, &file)?;
    let incoming = format!("file:{}", file.display());
    let to = Machine::start(&options.clone().args(["-incoming", &incoming]))?;
    take_over(from, &to, now)?;
    Ok(to)
}

/// The machine has left, and arrives.
fn take_over(from: &Machine, to: &Machine, now: u64) -> Result<()> {
    until(|| {
        let status = to.qmp("query-status", &json!({}))?;
        Ok((status["status"] == "running").then_some(()))
    })?;
    to.go_on_from(from);
    to.qtest(&format!("clock_set {now}"))?;
    Ok(())
}

/// Passes on what comes on one socket to another, with pauses.
fn trickle(from: &UnixListener, to: &Path) -> Result<()> {
    let (mut from, mut to) = (from.accept()?.0, UnixStream::connect(to)?);
    let mut piece = vec![0; 16 << 10];
    loop {
        let bytes = from.read(&mut piece)?;
        if bytes == 0 {
            return Ok(());
        }
        to.write_all(&piece[..bytes])?;
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// QEMU works on other things while it waits for more of the stream.
#[test]
fn data_comes_by_a_slow_socket() -> Result<()> {
    let dir = TempDir::new()?;
    let [here, there] = ["here", "there"].map(|name| dir.path().join(name));
    let options = options("zones=4");
    let from = Machine::start(&options)?;
    let mut drive = Drive::start(&from)?;
    from.memset(drive.nvme.buffer, 256 << 10, 0x5a)?;
    drive.fill(8 << 11)?;
    let incoming = format!("unix:{}", there.display());
    let to = Machine::start(&options.args(["-incoming", &incoming]))?;
    let now = from.drive_clock("d")?;
    let listener = UnixListener::bind(&here)?;
    let relay = std::thread::spawn(move || trickle(&listener, &there));
    from.qmp(
        "migrate",
        &json!({ "uri": format!("unix:{}", here.display()) }),
    )?;
    let taken = take_over(&from, &to, now);
    taken.with_context(|| to.stderr())?;
    relay.join().map_err(|_| anyhow!("the relay died"))??;
    let mut drive = drive.on(&to);
    assert_eq!(drive.read_bytes(2, 0, 512, 256 << 10)?, [0x5a]);
    to.quit()
}

/// The machine around the drive goes on, too: QEMU's HPET in Rust would begin anew.
#[test]
fn the_hpet_goes_on() -> Result<()> {
    const CONFIGURATION: u64 = 0xfed0_0010;
    const COUNTER: u64 = 0xfed0_00f0;
    let dir = TempDir::new()?;
    let options = options("zones=4");
    let from = Machine::start(&options)?;
    from.write(CONFIGURATION, 8, 1)?;
    from.clock_step(1_000_000)?;
    let before = from.read(COUNTER, 8)?;
    // It counts every 10 ns.
    assert_eq!(before, 100_000);
    let to = hop(&from, &options, dir.path())?;
    assert_eq!(to.read(CONFIGURATION, 8)?, 1);
    to.clock_step(1_000)?;
    assert_eq!(to.read(COUNTER, 8)?, before + 100);
    to.quit()
}

/// A completion: when it was seen, queue, command, status.
type Seen = (u64, u16, u16, u16);

/// The commands of a phase: some on each queue, most of them still in flight when it ends.
fn ask(drive: &mut Drive<'_>, second: &mut Queue, device: usize, phase: u64) -> Result<()> {
    let (_, nsid, has_zones) = DRIVES[device];
    let buffer = drive.nvme.buffer;
    for i in 0..12 {
        let n = phase * 12 + i;
        let machine = drive.nvme.machine();
        let data: Vec<u8> = (0..4096_u64).map(|b| (b / 8 + n * 7) as u8).collect();
        machine.memwrite(buffer + n * 4096, &data)?;
        let write = match has_zones {
            true => Sqe::io(APPEND, nsid, 0, 8, buffer + n * 4096),
            false => Sqe::io(WRITE, nsid, n * 8, 8, buffer + n * 4096),
        };
        drive.nvme.submit(&mut drive.queue, &write)?;
        let read = Sqe::io(
            READ,
            nsid,
            phase.saturating_sub(1) * 96 + i * 8,
            8,
            buffer + (512 << 10),
        );
        drive.nvme.submit(second, &read)?;
        machine.clock_step(1_000)?;
    }
    Ok(())
}

/// Sees completions come until all of a phase's have.
fn see(drive: &mut Drive<'_>, second: &mut Queue, of: usize, seen: &mut Vec<Seen>) -> Result<()> {
    let machine = drive.nvme.machine();
    for _ in 0..20_000 {
        for queue in [&mut drive.queue, &mut *second] {
            while let Some(cqe) = drive.nvme.poll(queue)? {
                cqe.success()?;
                seen.push((machine.drive_clock("d")?, queue.id, cqe.cid, cqe.status));
            }
        }
        if seen.len() >= of {
            return Ok(());
        }
        machine.clock_step(2_000)?;
    }
    bail!("{} completions of {of}", seen.len())
}

/// All that was written, read back.
fn contents(drive: &mut Drive<'_>, device: usize) -> Result<Vec<u8>> {
    let nsid = DRIVES[device].1;
    drive.io(READ, nsid, 0, 36 * 8)?.success()?;
    drive.nvme.machine().memread(drive.nvme.buffer, 36 * 4096)
}

/// Three phases, with a hop after each of the first two or without.
fn run(device: usize, hops: bool) -> Result<(Vec<Seen>, Vec<u8>, Value)> {
    let dir = TempDir::new()?;
    let options = options(DRIVES[device].0);
    let mut seen = Vec::new();
    let first = Machine::start(&options)?;
    let mut drive = Drive::start(&first)?;
    let mut second = drive.nvme.create_queue(2, 32, 1)?;
    ask(&mut drive, &mut second, device, 0)?;
    let next = hops
        .then(|| hop(&first, &options, dir.path()))
        .transpose()?;
    let mut drive = drive.on(next.as_ref().unwrap_or(&first));
    see(&mut drive, &mut second, 24, &mut seen)?;
    ask(&mut drive, &mut second, device, 1)?;
    let machine = drive.nvme.machine();
    let last = hops
        .then(|| hop(machine, &options, dir.path()))
        .transpose()?;
    let mut drive = drive.on(last.as_ref().unwrap_or(machine));
    see(&mut drive, &mut second, 48, &mut seen)?;
    ask(&mut drive, &mut second, device, 2)?;
    see(&mut drive, &mut second, 72, &mut seen)?;
    let data = contents(&mut drive, device)?;
    let stats = drive.nvme.machine().qom_get("d", "stats")?;
    Ok((seen, data, stats))
}

#[test]
fn commands_in_flight_complete_elsewhere_at_their_instants() -> Result<()> {
    for (device, (name, ..)) in DRIVES.iter().enumerate() {
        let whole = run(device, false).context(*name)?;
        let moved = run(device, true).context(*name)?;
        ensure!(
            whole.0 == moved.0,
            "{name}: {:?}\nmoved: {:?}",
            whole.0,
            moved.0
        );
        ensure!(whole.1 == moved.1, "{name}: the data is not the same");
        ensure!(whole.1.iter().any(|byte| *byte != 0), "{name}: no data");
        ensure!(whole.2 == moved.2, "{name}: {} is not {}", moved.2, whole.2);
    }
    Ok(())
}

/// Memory of the machine's own travels by itself, and media that is nowhere not at all.
#[test]
fn all_kinds_of_media_travel() -> Result<()> {
    let dir = TempDir::new()?;
    for (media, backend) in [
        ("memdev=m", "memory-backend-ram,id=m,size=800M"),
        ("media=none", "memory-backend-ram,id=unused,size=1M"),
    ] {
        let options = Options::default()
            .args(["-object", backend])
            .device(&format!("conzone-nvme,id=d,addr=4,zones=4,{media}"));
        let first = Machine::start(&options)?;
        let mut drive = Drive::start(&first)?;
        first.memset(drive.nvme.buffer, 4096, 0x5a)?;
        drive.io(WRITE, 2, 0, 8)?.success()?;
        let next = hop(&first, &options, dir.path())?;
        let mut drive = drive.on(&next);
        next.memset(drive.nvme.buffer, 4096, 1)?;
        drive.io(READ, 2, 0, 8)?.success()?;
        let expected = if media == "media=none" { 0 } else { 0x5a };
        let data = next.memread(drive.nvme.buffer, 4096)?;
        ensure!(data == vec![expected; 4096], "{media}: {:x?}", &data[..8]);
        next.quit()?;
    }
    Ok(())
}

#[test]
fn a_machine_that_is_taken_over_is_recorded_where_it_goes_on() -> Result<()> {
    let dir = TempDir::new()?;
    let path = dir.path().join("trace");
    let before = Machine::start(&options("preset=tlc-zoned,zones=4"))?;
    let mut drive = Drive::start(&before)?;
    drive.io(WRITE, 2, 0, 8)?.success()?;
    let recorded = format!("preset=tlc-zoned,zones=4,record={}", path.display());
    let after = hop(&before, &options(&recorded), dir.path())?;
    let mut drive = drive.on(&after);
    drive.io(WRITE, 2, 8, 16)?.success()?;
    let text = std::fs::read_to_string(&path)?;
    ensure!(
        text.ends_with(" 1 W 8 16 0\n") && text.lines().count() == 1,
        "{text}"
    );
    after.quit()
}

/// What QEMU says when it is to take over a file with these options.
fn refused(options: &Options, file: &Path) -> Result<String> {
    let incoming = format!("file:{}", file.display());
    let (status, said) = refusal(&options.clone().args(["-incoming", &incoming]))?;
    ensure!(!status.success(), "accepted: {said}");
    Ok(said)
}

#[test]
fn another_drive_and_a_damaged_stream_are_refused() -> Result<()> {
    let dir = TempDir::new()?;
    let file = dir.path().join("state");
    let ours = options("zones=4");
    let machine = Machine::start(&ours)?;
    let mut drive = Drive::start(&machine)?;
    machine.memset(drive.nvme.buffer, 4096, 0x77)?;
    drive.io(WRITE, 2, 0, 8)?.success()?;
    save(&machine, &file)?;

    let said = refused(&options("zones=5"), &file)?;
    ensure!(
        said.contains("a drive with zones=4, this one has zones=5"),
        "{said}"
    );
    let said = refused(&options("zones=4,media=none"), &file)?;
    ensure!(
        said.contains("a drive with private media, this one has media=none"),
        "{said}"
    );

    let whole = std::fs::read(&file)?;
    let state = whole
        .windows(8)
        .position(|w| w == b"conzone\n")
        .context("no state")?;
    let changed = |at: usize, bits: u8, says: &str| -> Result<()> {
        let mut bytes = whole.clone();
        bytes[at] ^= bits;
        let damaged: PathBuf = dir.path().join("damaged");
        std::fs::write(&damaged, bytes)?;
        let said = refused(&ours, &damaged)?;
        ensure!(said.contains(says), "{said}");
        Ok(())
    };
    changed(state, 1, "it is not the state of a drive")?;
    let version = whole[state + 8];
    let other = format!("it is of version {}, not {version}", version ^ 8);
    changed(state + 8, 8, &other)?;
    changed(state + 40, 1, "its configuration is damaged")?;
    let length = whole[state - 8..state].try_into().map(u64::from_be_bytes)?;
    changed(state + usize::try_from(length)? - 1, 0x80, "it is damaged")?;
    let short = dir.path().join("short");
    std::fs::write(&short, &whole[..state + 2000])?;
    let said = refused(&ours, &short)?;
    ensure!(
        said.contains("the stream ends in the middle of the device"),
        "{said}"
    );
    Ok(())
}

/// Waits for a job of QEMU's.
fn job(machine: &Machine, command: &str, arguments: &Value) -> Result<()> {
    machine.qmp(command, arguments)?;
    let id = arguments["job-id"].as_str().context("a job has an id")?;
    until(|| {
        let jobs = machine.qmp("query-jobs", &json!({}))?;
        let jobs = jobs.as_array().context("a list of jobs")?;
        let job = jobs
            .iter()
            .find(|job| job["id"] == id)
            .context("the job is gone")?;
        if job["status"] != "concluded" {
            return Ok(None);
        }
        ensure!(
            job["error"].is_null(),
            "{command}: {}; {}",
            job["error"],
            machine.stderr()
        );
        Ok(Some(()))
    })?;
    machine.qmp("job-dismiss", &json!({ "id": id }))?;
    Ok(())
}

/// An image that holds snapshots, node `vm`.
fn add_image(machine: &Machine, dir: &Path) -> Result<()> {
    let file = dir.join("vm.qcow2");
    let name = file.display().to_string();
    let plain = json!({ "driver": "file", "filename": name, "size": 0 });
    job(
        machine,
        "blockdev-create",
        &json!({ "job-id": "a", "options": plain }),
    )?;
    let node = json!({ "driver": "file", "filename": name, "node-name": "file" });
    machine.qmp("blockdev-add", &node)?;
    let image = json!({ "driver": "qcow2", "file": "file", "size": 1 << 20 });
    job(
        machine,
        "blockdev-create",
        &json!({ "job-id": "b", "options": image }),
    )?;
    let node = json!({ "driver": "qcow2", "file": "file", "node-name": "vm" });
    machine.qmp("blockdev-add", &node)?;
    Ok(())
}

#[test]
fn a_snapshot_brings_back_data_zones_and_commands_in_flight() -> Result<()> {
    let dir = TempDir::new()?;
    let machine = Machine::start(&options("zones=4"))?;
    add_image(&machine, dir.path())?;
    let mut drive = Drive::start(&machine)?;
    machine.memset(drive.nvme.buffer, 1 << 20, 0x11)?;
    drive.io(WRITE, 2, 0, 64)?.success()?;
    let before = drive.zone(0, 0)?;
    let read = Sqe::io(READ, 2, 0, 8, drive.nvme.buffer);
    let cid = drive.nvme.submit(&mut drive.queue, &read)?;
    let in_flight = drive.queue.clone();
    ensure!(
        drive.nvme.poll(&mut drive.queue)?.is_none(),
        "it takes time"
    );
    let arguments = json!({ "job-id": "s", "tag": "t", "vmstate": "vm", "devices": ["vm"] });
    job(&machine, "snapshot-save", &arguments)?;

    for _ in 0..2 {
        // Something else happens.
        drive.queue = in_flight.clone();
        ensure!(drive.nvme.wait(&mut drive.queue)?.cid == cid);
        drive.manage(0, 4)?.success()?;
        machine.memset(drive.nvme.buffer, 1 << 20, 0x22)?;
        drive.io(WRITE, 2, 0, 128)?.success()?;
        job(&machine, "snapshot-load", &arguments)?;

        drive.queue = in_flight.clone();
        let cqe = drive.nvme.wait(&mut drive.queue)?.success()?;
        ensure!(cqe.cid == cid, "{cqe:?}");
        let zone = drive.zone(0, 0)?;
        ensure!(
            (zone.state, zone.pointer) == (before.state, before.pointer),
            "{zone:?}"
        );
        drive.io(READ, 2, 0, 64)?.success()?;
        let data = machine.memread(drive.nvme.buffer, 64 * 512)?;
        ensure!(data == vec![0x11; 64 * 512], "{:x?}", &data[..8]);
        job(&machine, "snapshot-load", &arguments)?;
    }
    machine.quit()
}

/// A Host Memory Buffer is in the guest's memory, and what the drive knows of it in the drive's state: both arrive.
#[test]
fn a_host_memory_buffer_goes_along() -> Result<()> {
    let dir = TempDir::new()?;
    let options =
        options("zones=4,meta-size=0,l2p-hybrid=off,l2p-cache-size=4,l2p-slots=1,hmb-size=16K");
    let from = Machine::start(&options)?;
    let mut drive = Drive::start(&from)?;
    for lba in (0..2048).step_by(512) {
        drive.write_byte(1, lba, 512, 5, false)?;
    }
    from.clock_step(100_000_000)?;
    let (at, list) = (from.alloc(4 * 4096, 4096)?, from.alloc(4096, 4096)?);
    from.memwrite(list, &[at, 4].map(u64::to_le_bytes).concat())?;
    let set = Sqe::new(0x09).dword(10, 0x0d).dword(11, 1).dword(12, 4);
    drive
        .nvme
        .admin(&set.pair(13, list).dword(15, 1))?
        .success()?;
    drive.io(READ, 1, 0, 8)?.success()?;
    let hits = |machine: &Machine| -> Result<Value> { Ok(machine.stats("d")?["hmb_hits"].clone()) };
    drive.io(READ, 1, 8, 8)?.success()?;
    assert_eq!(hits(&from)?, 1);
    let bytes = from.memread(at, 4 * 4096)?;
    let to = hop(&from, &options, dir.path())?;
    assert_eq!(to.memread(at, 4 * 4096)?, bytes);
    let mut drive = drive.on(&to);
    let get = Sqe::new(0x0a).dword(10, 0x0d).prp(drive.nvme.buffer, 0);
    assert_eq!(drive.nvme.admin(&get)?.success()?.result, 1);
    assert_eq!(drive.read_bytes(1, 16, 8, 4096)?, [5]);
    assert_eq!(hits(&to)?, 2);
    to.quit()
}
