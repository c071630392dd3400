// SPDX-License-Identifier: GPL-2.0-or-later
//! All that happens to a drive, in a file: from it comes the same drive that a power cut leaves in QEMU.

#[path = "../../../rust/image/tests/memory/mod.rs"]
mod memory;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use image::{Entry, Loss, Past, Reader};
use memory::Memory;
use nvme::Drive as _;
use qtest::opcode::FLUSH;
use qtest::{action, refusal, status, Drive, Machine, Options, Sqe, ZONE};
use serde_json::json;
use ssd::Recorded;
use tempfile::TempDir;
use units::Instant;

/// Admin commands of ours.
const NOTE: u8 = 0xc0;
const CUT_POWER: u8 = 0xc4;
/// Blocks of a page.
const PAGE: u64 = 8;

fn path(home: &TempDir) -> PathBuf {
    home.path().join("drive.history")
}

fn device(home: &TempDir, more: &str) -> String {
    format!(
        "conzone-nvme,id=d,addr=4,history={}{more}",
        path(home).display()
    )
}

fn start(home: &TempDir, more: &str) -> Result<Machine> {
    Machine::with_device(&device(home, more))
}

/// The first byte of each page that a cut at an instant leaves in these places, by the history.
fn left(history: &Path, at: u64, places: &[(u32, u64, u16)]) -> Result<Vec<u8>> {
    let mut past = Past::of(Reader::new(File::open(history)?)?)?;
    let bytes = past.config().plan()?.layout.size.get();
    let mut media = Memory(vec![0; usize::try_from(bytes)?]);
    let at = Instant::from_nanos(at);
    past.go_to(at, &mut media)?;
    let drive = past.cut(at, Loss::All, &mut media)?;
    let infos = drive.drive().namespaces();
    let mut found = Vec::new();
    for (nsid, lba, blocks) in places {
        let start = infos[*nsid as usize - 1].media_offset + lba * 512;
        let pages = u64::from(*blocks) / PAGE;
        found.extend((0..pages).map(|page| media.0[(start + page * 4096) as usize]));
    }
    Ok(found)
}

fn read(drive: &mut Drive, places: &[(u32, u64, u16)]) -> Result<Vec<u8>> {
    let mut found = Vec::new();
    for (nsid, lba, blocks) in places {
        found.extend(drive.read_bytes(*nsid, *lba, *blocks, 4096)?);
    }
    Ok(found)
}

#[test]
fn the_history_makes_the_drive_that_a_cut_leaves() -> Result<()> {
    for more in ["", ",timing=off", ",image=IMAGE"] {
        let home = TempDir::new()?;
        let image = home.path().join("drive.cz");
        let more = more.replace("IMAGE", &image.display().to_string());
        let machine = start(&home, &format!(",zones=4,power-cuts=dead{more}"))?;
        let mut drive = Drive::start(&machine)?;
        let mut value = 0x10;
        let mut write = |drive: &mut Drive, nsid, page, pages: u16, fua| {
            value += 1;
            drive.write_byte(nsid, page * PAGE, pages * PAGE as u16, value, fua)
        };
        write(&mut drive, 1, 0, 16, false)?;
        write(&mut drive, 1, 64, 4, false)?;
        drive.run(&Sqe::new(FLUSH).nsid(1))?.success()?;
        write(&mut drive, 2, 0, 16, true)?;
        write(&mut drive, 2, ZONE / PAGE, 8, true)?;
        drive.manage(ZONE, action::RESET)?.success()?;
        write(&mut drive, 2, ZONE / PAGE, 4, true)?;
        // Neither of these is durable.
        write(&mut drive, 1, 8, 16, false)?;
        write(&mut drive, 2, 16, 8, false)?;
        // What comes at the instant of a cut is cut off by it.
        machine.clock_step(1)?;
        machine.qom_set("d", "power-cut", &json!("now"))?;
        let at = machine.drive_clock("d")?;
        machine.qmp("system_reset", &json!({}))?;
        machine.qmp_event("RESET")?;
        let mut drive = Drive::start(&machine)?;
        let places = [(1, 0, 256), (1, 512, 64), (2, 0, 256), (2, ZONE, 64)];
        let live = read(&mut drive, &places)?;
        assert_eq!(live[..16], [0x11; 16], "older bytes came back");
        assert_eq!(machine.qom_get("d", "history")?, json!(path(&home)));
        machine.quit()?;
        assert_eq!(left(&path(&home), at, &places)?, live, "{more}");
    }
    Ok(())
}

#[test]
fn a_guest_has_numbers_noted_and_cuts_power() -> Result<()> {
    let home = TempDir::new()?;
    let machine = start(&home, ",zones=4,power-cuts=dead,vendor-commands=on")?;
    let mut drive = Drive::start(&machine)?;
    drive
        .nvme
        .admin(&Sqe::new(NOTE).pair(10, 7 << 40))?
        .success()?;
    let noted = machine.drive_clock("d")?;
    drive
        .nvme
        .admin(&Sqe::new(CUT_POWER).pair(10, 5_000_000))?
        .success()?;
    machine.clock_step(4_000_000)?;
    assert_ne!(machine.qom_get("d", "power-cut")?, json!("off"));
    machine.clock_step(1_000_001)?;
    assert_eq!(machine.qom_get("d", "power-cut")?, json!("off"));
    machine.quit()?;
    let mut reader = Reader::new(File::open(path(&home))?)?;
    let mut notes = Vec::new();
    while let Some(entry) = reader.entry()? {
        if let Entry::Happened(Recorded::Note { at, number }) = entry {
            notes.push((at.as_nanos() <= noted, number));
        }
    }
    assert_eq!(notes, [(true, 7 << 40)]);

    // Neither is there unless it was asked for.
    let machine = Machine::with_device("conzone-nvme,id=d,addr=4,zones=4,power-cuts=dead")?;
    let mut drive = Drive::start(&machine)?;
    for opcode in [NOTE, CUT_POWER] {
        let answer = drive.nvme.admin(&Sqe::new(opcode))?;
        assert_eq!(answer.code(), status::INVALID_OPCODE);
    }
    machine.quit()
}

#[test]
fn what_a_history_cannot_have_is_said() -> Result<()> {
    let home = TempDir::new()?;
    let path = path(&home);
    for (device, why) in [
        (
            device(&home, ",media=none"),
            "memdev=, memmap-start= and media= are for drives without it",
        ),
        (
            "conzone-nvme,history=/no/such/folder/h".into(),
            "property 'history' = /no/such/folder/h: No such file",
        ),
    ] {
        let (status, said) = refusal(&Options::default().device(&device))?;
        ensure!(status.code() == Some(1) && said.contains(why), "{said}");
    }
    let machine = start(&home, ",zones=4")?;
    let uri = json!({"uri": format!("file:{}", home.path().join("m").display())});
    machine.qmp("migrate", &uri)?;
    let mut why = String::new();
    for _ in 0..200 {
        let answer = machine.qmp("query-migrate", &json!({}))?;
        why = answer["error-desc"].as_str().unwrap_or_default().to_owned();
        if answer["status"] == "failed" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let said = format!("{why}{}", machine.stderr());
    ensure!(
        said.contains("has the drive; snapshots and migration"),
        "{said}"
    );
    machine.qom_set("d", "timing", &json!("off"))?;
    let state = machine.qom_get("d", "history")?;
    let state = state.as_str().context("history")?;
    assert_eq!(
        state,
        format!("{}: not complete: a setting was changed", path.display())
    );
    machine.quit()?;
    ensure!(fs::metadata(&path)?.len() > 0);
    Ok(())
}
