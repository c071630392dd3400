// SPDX-License-Identifier: GPL-2.0-or-later
//! A drive in a file: it goes on where it was, also after QEMU was killed, and belongs to one at a time.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use qtest::opcode::{FLUSH, READ, WRITE};
use qtest::{action, refusal, state, Drive, Machine, Options, Sqe, ZONE};
use rustix::process::{kill_process, Pid, Signal};
use serde_json::json;
use tempfile::TempDir;

/// Blocks of a page.
const PAGE: u64 = 8;

/// A folder for an image, which goes with the test.
struct Home(TempDir);

impl Home {
    fn new() -> Result<Self> {
        Ok(Self(TempDir::new()?))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("drive.cz")
    }

    fn options(&self, more: &str) -> Options {
        let image = self.path();
        let device = format!("conzone-nvme,id=d,addr=4,image={}{more}", image.display());
        Options::default().device(&device)
    }

    fn start(&self, more: &str) -> Result<Machine> {
        Machine::start(&self.options(more))
    }

    /// What QEMU says of it when it does not start.
    fn refusal(&self, more: &str) -> Result<String> {
        let (status, said) = refusal(&self.options(more))?;
        ensure!(status.code() == Some(1), "{status}: {said}");
        Ok(said.trim().to_owned())
    }
}

/// Writes pages of one byte.
fn write(drive: &mut Drive, nsid: u32, page: u64, pages: u64, value: u8, fua: bool) -> Result<()> {
    let blocks = u16::try_from(pages * PAGE)?;
    drive.write_byte(nsid, page * PAGE, blocks, value, fua)
}

/// The first byte of each page, all of which has it.
fn read(drive: &mut Drive, nsid: u32, page: u64, pages: u64) -> Result<Vec<u8>> {
    drive.read_bytes(nsid, page * PAGE, u16::try_from(pages * PAGE)?, 4096)
}

fn flush(drive: &mut Drive, nsid: u32) -> Result<()> {
    drive.run(&Sqe::new(FLUSH).nsid(nsid))?.success().map(drop)
}

/// Power cuts so far.
fn cuts(machine: &Machine) -> Result<u64> {
    Ok(machine.stats("d")?["power_cuts"]["cuts"]
        .as_u64()
        .unwrap_or(0))
}

#[test]
fn a_drive_goes_on_where_it_was() -> Result<()> {
    let home = Home::new()?;
    let before = {
        let machine = home.start(",zones=6,serial=phone,record=/dev/null")?;
        let mut drive = Drive::start(&machine)?;
        write(&mut drive, 1, 3, 2, 0x11, false)?;
        write(&mut drive, 2, 0, 5, 0x22, false)?;
        drive.manage(ZONE, action::FINISH)?.success()?;
        machine.clock_step(5_000_000)?;
        let before = (machine.stats("d")?, machine.drive_clock("d")?);
        machine.quit()?;
        before
    };
    // Its settings are in the file; the host's are asked for each time.
    let machine = home.start("")?;
    assert_eq!(machine.qom_get("d", "zones")?, json!(6));
    assert_eq!(machine.qom_get("d", "serial")?, json!("phone"));
    let (mut now, at) = (machine.stats("d")?, machine.drive_clock("d")?);
    assert_eq!(at, before.1);
    let mut then = before.0;
    for stats in [&mut now, &mut then] {
        // How late timers were is the process's own.
        stats
            .as_object_mut()
            .context("stats")?
            .remove("timer_lateness");
    }
    assert_eq!(now, then);
    let mut drive = Drive::start(&machine)?;
    assert_eq!(read(&mut drive, 1, 3, 2)?, [0x11; 2]);
    assert_eq!(
        read(&mut drive, 2, 0, 6)?,
        [0x22, 0x22, 0x22, 0x22, 0x22, 0]
    );
    assert_eq!(drive.zone(0, 0)?.pointer, 5 * PAGE);
    assert_eq!(drive.zone(ZONE, 0)?.state, state::FULL);
    write(&mut drive, 2, 5, 1, 0x33, false)?;
    machine.clock_step(1_000_000)?;
    assert!(machine.drive_clock("d")? > before.1);
    // To stop is enough: who is killed then loses nothing, as the drive did not work any more.
    machine.qmp("stop", &json!({}))?;
    machine.kill()?;
    // So it is to reset a machine that is stopped, and to end one that never ran.
    let machine = home.start("")?;
    machine.qmp("stop", &json!({}))?;
    machine.qmp("system_reset", &json!({}))?;
    machine.qmp_event("RESET")?;
    machine.quit()?;
    Machine::start(&home.options("").args(["-S"]))?.quit()?;
    let machine = home.start("")?;
    let mut drive = Drive::start(&machine)?;
    assert_eq!(read(&mut drive, 2, 5, 1)?, [0x33]);
    assert_eq!(cuts(&machine)?, 0);
    machine.quit()
}

/// In each namespace a page that is promised, and one behind it that is not; then QEMU is killed.
fn promise_and_kill(machine: Machine) -> Result<()> {
    let mut drive = Drive::start(&machine)?;
    write(&mut drive, 1, 0, 1, 0x41, true)?;
    write(&mut drive, 2, 0, 1, 0x42, false)?;
    flush(&mut drive, 2)?;
    write(&mut drive, 1, 1, 1, 0x44, false)?;
    write(&mut drive, 2, 1, 1, 0x44, false)?;
    machine.kill()
}

#[test]
fn a_kill_is_a_power_cut_unless_all_is_to_be_kept() -> Result<()> {
    for (after, left) in [("power-cut", 0), ("keep", 0x44)] {
        let home = Home::new()?;
        promise_and_kill(home.start(",wb-dwell-ns=0")?)?;
        let machine = home.start(&format!(",after-kill={after}"))?;
        let mut drive = Drive::start(&machine)?;
        assert_eq!(read(&mut drive, 1, 0, 2)?, [0x41, left]);
        assert_eq!(read(&mut drive, 2, 0, 2)?, [0x42, left]);
        let pages = if left == 0 { 1 } else { 2 };
        assert_eq!(drive.zone(0, 0)?.pointer, pages * PAGE);
        assert_eq!(cuts(&machine)?, u64::from(left == 0));
        machine.quit()?;
    }
    Ok(())
}

#[test]
fn what_was_promised_outlives_a_crash_of_the_host() -> Result<()> {
    for (sync, cut) in [("flush", 0), ("never", 1)] {
        let home = Home::new()?;
        promise_and_kill(home.start(&format!(",sync={sync}"))?)?;
        // The host was in another boot then.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(home.path())?;
        let (mut boot, at) = ([0], (64 << 10) + 6 * 8);
        file.read_exact_at(&mut boot, at)?;
        assert_eq!(boot == [0], sync == "never");
        if sync == "flush" {
            file.write_all_at(&[boot[0] ^ 0x55], at)?;
        }
        let machine = home.start(",after-kill=power-cut")?;
        let mut drive = Drive::start(&machine)?;
        assert_eq!(read(&mut drive, 1, 0, 2)?, [0x41, 0]);
        assert_eq!(read(&mut drive, 2, 0, 2)?, [0x42, 0]);
        assert_eq!(drive.zone(0, 0)?.pointer, PAGE);
        assert_eq!(cuts(&machine)?, cut);
        machine.quit()?;
    }
    let refused = Home::new()?.refusal(",sync=always")?;
    let why = "property 'sync': 'always' is not never or flush";
    assert!(refused.ends_with(why), "{refused}");
    Ok(())
}

#[test]
fn what_cannot_be_opened_says_why_and_stays_as_it_is() -> Result<()> {
    let home = Home::new()?;
    let machine = home.start(",zones=4")?;
    let path = home.path();
    let said = |what: &str| format!("property 'image' = {}: {what}", path.display());
    let in_use = home.refusal("")?;
    assert!(
        in_use.ends_with(&said("another process, or drive, has it open")),
        "{in_use}"
    );
    machine.quit()?;
    // All but the media, which is most of it.
    let length = fs::metadata(&path)?.len();
    let read = || -> Result<Vec<u8>> {
        let mut image = vec![0; 160 << 20];
        File::open(&path)?.read_exact_at(&mut image, 0)?;
        Ok(image)
    };
    let image = read()?;
    for (more, what) in [
        (",zones=5", "it is of a drive with zones=4, not zones=5"),
        (
            ",preset=ufs4-tlc",
            "it is of a drive with preset=tlc-zoned, not preset=ufs4-tlc",
        ),
        (
            ",media=none",
            "memdev=, memmap-start= and media= are for drives without it",
        ),
    ] {
        let refused = home.refusal(more)?;
        assert!(refused.ends_with(&said(what)), "{refused}");
    }
    assert!(read()? == image, "the file has changed");
    let file = OpenOptions::new().write(true).open(&path)?;
    let version = image[16];
    let other = format!("it is of version {}, not {version}", version ^ 0xff);
    for (at, what) in [
        (0, "it is not the image of a drive"),
        (16, other.as_str()),
        (45, "its header is damaged"),
        (slot(&image), "its checkpoint is damaged"),
        (slot(&image) + 40, "its checkpoint is damaged"),
    ] {
        file.write_all_at(&[image[at] ^ 0xff], at as u64)?;
        let refused = home.refusal("").with_context(|| format!("byte {at}"))?;
        assert!(refused.ends_with(&said(what)), "{refused}");
        file.write_all_at(&[image[at]], at as u64)?;
    }
    file.set_len(length - 1)?;
    let refused = home.refusal("")?;
    assert!(
        refused.ends_with(&said(&format!("it has {} bytes of {length}", length - 1))),
        "{refused}"
    );
    file.set_len(length)?;
    // Live settings are for each run to choose.
    home.start(",timing=off")?.quit()?;
    fs::remove_file(&path)?;
    fs::create_dir(&path)?;
    let refused = home.refusal("")?;
    assert!(refused.contains("it cannot be opened"), "{refused}");
    Ok(())
}

/// Where the checkpoint that counts is: one of the two behind the journal.
fn slot(image: &[u8]) -> usize {
    let word = |at: usize| u64::from_le_bytes(image[at..at + 8].try_into().unwrap_or_default());
    let (live, journal) = (64 << 10, (1 << 16) * 32);
    let slots = (live + 4096 + journal + 1_usize).next_multiple_of(1 << 20);
    let begins = |at: &usize| word(*at) == word(live);
    (slots..image.len() - 8)
        .step_by(1 << 20)
        .find(begins)
        .unwrap_or(slots)
}

#[test]
fn it_is_not_saved_beside_its_file() -> Result<()> {
    let home = Home::new()?;
    let machine = home.start("")?;
    let file = home.0.path().join("saved");
    machine.qmp("stop", &json!({}))?;
    let uri = json!({ "uri": format!("file:{}", file.display()) });
    machine.qmp("migrate", &uri)?;
    let answer = (0..200).find_map(|_| {
        std::thread::sleep(Duration::from_millis(20));
        let answer = machine.qmp("query-migrate", &json!({})).ok()?;
        (answer["status"] == "failed").then_some(answer)
    });
    let answer = answer.context("the migration has not failed")?;
    let why = format!("{answer} {}", machine.stderr());
    assert!(
        why.contains("snapshots and migration are for drives without it"),
        "{why}"
    );
    machine.quit()
}

/// A file system of this size, while it lives.
struct Small(TempDir);

impl Small {
    /// None where the test may not mount.
    fn mount(size: &str) -> Result<Option<Self>> {
        let folder = TempDir::new()?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]);
        let mounted = mount.arg(folder.path()).status()?.success();
        Ok(mounted.then_some(Self(folder)))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_file_system_fails_writes_and_nothing_else() -> Result<()> {
    let Some(small) = Small::mount("160M")? else {
        eprintln!("not run: only root may mount a small file system");
        return Ok(());
    };
    let image = small.0.path().join("drive.cz");
    let device = format!("conzone-nvme,id=d,addr=4,zones=4,image={}", image.display());
    let machine = Machine::with_device(&device)?;
    let mut drive = Drive::start(&machine)?;
    let full = (0..400).find_map(|n| {
        let done = drive.io(WRITE, 2, n * 512, 512).ok()?;
        done.success().is_err().then_some((n, done))
    });
    let (n, done) = full.context("there was room for everything")?;
    // Data Transfer Error.
    assert_eq!(
        (done.status & 0x7ff, n > 100),
        (0x04, true),
        "after {n} writes: {done:?}"
    );
    let failed = drive.io(WRITE, 1, 0, 8)?;
    assert!(
        failed.success().is_ok() || failed.status & 0x7ff == 0x04,
        "{failed:?}"
    );
    // What is there still is, and room that is given back can be used.
    drive.io(READ, 2, 0, 512)?.success()?;
    drive.manage(0, action::RESET)?.success()?;
    drive.io(WRITE, 2, 0, 512)?.success()?;
    machine.qmp("query-status", &json!({}))?;
    machine.quit()
}

/// What a guest knows of a page.
#[derive(Clone, Debug, Default)]
struct Known {
    /// What was written, in order; 0 is nothing.
    written: Vec<u8>,
    /// How many of these are durable, at least.
    durable: usize,
}

fn kill(pid: u32) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).context("no process")?;
    Ok(kill_process(pid, Signal::KILL)?)
}

/// Processes whose drive is in this image.
fn with_image(path: &Path) -> Result<Vec<u32>> {
    let argument = format!("image={}", path.display());
    let has_it = |pid: &u32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(&argument)
    };
    let names = fs::read_dir("/proc")?.flatten();
    let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(pids.filter(has_it).collect())
}

/// A guest that writes until QEMU is gone.
#[derive(Default)]
struct Writer {
    pages: BTreeMap<(u32, u64), Known>,
    /// Pages of the zone before its write pointer.
    written: u64,
    value: u8,
    random: u64,
}

impl Writer {
    /// Pseudo-random numbers that repeat with their seed (Knuth's MMIX constants).
    fn below(&mut self, n: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        (self.random >> 33) % n
    }

    fn step(&mut self, drive: &mut Drive) -> Result<()> {
        let (nsid, fua) = (1 + self.below(2) as u32, self.below(4) == 0);
        let pages = 1 + self.below(16);
        if self.below(10) == 0 {
            flush(drive, nsid)?;
            for (_, known) in self.pages.iter_mut().filter(|(page, _)| page.0 == nsid) {
                known.durable = known.written.len();
            }
            return Ok(());
        }
        if nsid == 2 && self.written + pages > 4000 {
            // It may have been done when it is not answered.
            let zone = self.pages.iter_mut().filter(|(page, _)| page.0 == 2);
            zone.for_each(|(_, known)| known.durable = 0);
            drive.manage(0, action::RESET)?.success()?;
            self.written = 0;
            self.pages.retain(|page, _| page.0 == 1);
            return Ok(());
        }
        let first = if nsid == 1 {
            self.below(48)
        } else {
            self.written
        };
        self.value = self.value % 250 + 1;
        for page in first..first + pages {
            self.pages
                .entry((nsid, page))
                .or_default()
                .written
                .push(self.value);
        }
        write(drive, nsid, first, pages, self.value, fua)?;
        if nsid == 2 {
            self.written += pages;
        }
        if fua {
            for page in first..first + pages {
                let known = self.pages.entry((nsid, page)).or_default();
                known.durable = known.written.len();
            }
        }
        Ok(())
    }

    /// What was durable is there, nothing else than was written is, and from here on that is all.
    fn check(&mut self, drive: &mut Drive) -> Result<()> {
        let pointer = drive.zone(0, 0)?.pointer;
        self.written = pointer / PAGE;
        let keys: Vec<_> = self.pages.keys().copied().collect();
        for (nsid, page) in keys {
            let held = read(drive, nsid, page, 1)?[0];
            let known = self.pages.entry((nsid, page)).or_default();
            let place = match known.written.iter().rposition(|value| *value == held) {
                Some(place) => place + 1,
                None => 0,
            };
            ensure!(
                held == 0 || place > 0,
                "page {page} of {nsid} has {held}: {known:?}"
            );
            ensure!(
                place >= known.durable,
                "page {page} of {nsid} has {held}: {known:?}"
            );
            ensure!(
                nsid == 1 || (held != 0) == (page < self.written),
                "page {page} of the zone has {held}"
            );
            *known = Known {
                written: (held != 0).then_some(held).into_iter().collect(),
                durable: usize::from(held != 0),
            };
        }
        Ok(())
    }
}

/// QEMU is killed at any instant, as often as `CONZONE_KILLS` says, on one drive, also while it opens it.
#[test]
fn whoever_is_killed_loses_nothing_that_was_durable() -> Result<()> {
    let kills = match std::env::var("CONZONE_KILLS") {
        Ok(text) => text.parse().context("CONZONE_KILLS")?,
        Err(_) => 12,
    };
    let home = Home::new()?;
    let mut writer = Writer {
        random: 7,
        ..Writer::default()
    };
    for n in 0..kills {
        // The settings of the first time are the file's; other timing may come with each.
        let more = if n % 3 == 1 {
            ",timing=off"
        } else {
            ",timing=on"
        };
        let machine = home
            .start(more)
            .with_context(|| format!("after {n} kills"))?;
        let mut drive = Drive::start(&machine)?;
        writer
            .check(&mut drive)
            .with_context(|| format!("after {n} kills"))?;
        let (pid, wait) = (machine.pid(), Duration::from_micros(writer.below(250_000)));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(wait);
            kill(pid)
        });
        while writer.step(&mut drive).is_ok() {}
        ensure!(
            killer.join().is_ok_and(|killed| killed.is_ok()),
            "it ended by itself: {}",
            machine.stderr()
        );
        drop(machine);
        if n % 4 == 3 {
            // While it opens the file.
            let wait = Duration::from_micros(writer.below(150_000));
            let options = home.options("").args(["-S"]);
            let opening = std::thread::spawn(move || Machine::start(&options).map(|m| m.pid()));
            std::thread::sleep(wait);
            for pid in with_image(&home.path())? {
                // It may have ended, or not begun.
                let _ = kill(pid);
            }
            let _ = opening.join();
        }
    }
    let machine = home.start("")?;
    let mut drive = Drive::start(&machine)?;
    writer.check(&mut drive)?;
    let cuts = cuts(&machine)?;
    ensure!(
        cuts >= kills && cuts <= 2 * kills,
        "{cuts} power cuts of {kills} kills"
    );
    machine.quit()?;
    ensure!(File::open(home.path())?.metadata()?.len() > 0);
    Ok(())
}
