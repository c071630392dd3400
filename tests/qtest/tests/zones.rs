// SPDX-License-Identifier: GPL-2.0-or-later
//! The zoned namespace of the real device: write pointer, states, data, host memory.

use anyhow::{ensure, Context as _, Result};
use qtest::action::{CLOSE, FINISH, OPEN, RESET};
use qtest::opcode::{APPEND, READ, WRITE};
use qtest::state::{CLOSED, EMPTY, EXPLICITLY_OPEN, FULL, IMPLICITLY_OPEN, OFFLINE, READ_ONLY};
use qtest::{status, Cqe, Drive, Machine, Options, Queue, Sqe, ZONE};
use serde_json::json;

/// Logical blocks of a zone that can be written (tlc-zoned).
const CAPACITY: u64 = 96 << 20 >> 9;

/// A command on the zoned namespace.
fn io(drive: &mut Drive, opcode: u8, lba: u64, blocks: u16) -> Result<Cqe> {
    drive.io(opcode, 2, lba, blocks)
}

/// State and write pointer of a zone.
fn zone(drive: &mut Drive, number: u64) -> Result<(u8, u64)> {
    let zone = drive.zone(number * ZONE, 0)?;
    assert_eq!((zone.start, zone.capacity), (number * ZONE, CAPACITY));
    Ok((zone.state, zone.pointer))
}

/// Asynchronous Event Configuration: zone descriptor changed notices. Then a request waits for one.
fn await_notice(drive: &mut Drive) -> Result<Queue> {
    let configure = Sqe::new(0x09).dword(10, 0x0b).dword(11, 1 << 27);
    drive.nvme.admin(&configure)?.success()?;
    drive.nvme.await_event()
}

fn machine() -> Result<Machine> {
    Machine::with_device("conzone-nvme,id=d,addr=4")
}

#[test]
fn writes_follow_the_write_pointer() -> Result<()> {
    let machine = machine()?;
    let mut drive = Drive::start(&machine)?;
    assert_eq!(zone(&mut drive, 3)?, (EMPTY, 3 * ZONE));
    io(&mut drive, WRITE, 3 * ZONE, 8)?.success()?;
    assert_eq!(zone(&mut drive, 3)?, (IMPLICITLY_OPEN, 3 * ZONE + 8));
    let off = io(&mut drive, WRITE, 3 * ZONE + 16, 8)?;
    assert_eq!(off.code(), status::ZONE_INVALID_WRITE);
    let behind = io(&mut drive, WRITE, 3 * ZONE, 8)?;
    assert_eq!(behind.code(), status::ZONE_INVALID_WRITE);
    io(&mut drive, WRITE, 3 * ZONE + 8, 8)?.success()?;
    assert_eq!(zone(&mut drive, 3)?, (IMPLICITLY_OPEN, 3 * ZONE + 16));
    machine.quit()
}

#[test]
fn append_returns_where_the_data_went() -> Result<()> {
    let machine = machine()?;
    let mut drive = Drive::start(&machine)?;
    for n in 0..3 {
        let cqe = io(&mut drive, APPEND, 5 * ZONE, 8)?.success()?;
        assert_eq!(cqe.result, 5 * ZONE + 8 * n);
    }
    assert_eq!(
        io(&mut drive, APPEND, 5 * ZONE + 8, 8)?.code(),
        status::INVALID_FIELD,
        "not a zone's start"
    );
    machine.quit()
}

#[test]
fn states_change_as_commanded() -> Result<()> {
    let machine = machine()?;
    let mut drive = Drive::start(&machine)?;
    drive.manage(0, OPEN)?.success()?;
    assert_eq!(zone(&mut drive, 0)?, (EXPLICITLY_OPEN, 0));
    io(&mut drive, WRITE, 0, 8)?.success()?;
    drive.manage(0, CLOSE)?.success()?;
    assert_eq!(zone(&mut drive, 0)?, (CLOSED, 8));
    drive.manage(0, FINISH)?.success()?;
    assert_eq!(zone(&mut drive, 0)?.0, FULL);
    assert_eq!(io(&mut drive, WRITE, 8, 8)?.code(), status::ZONE_FULL);
    assert_eq!(drive.manage(0, OPEN)?.code(), status::ZONE_TRANSITION);
    drive.manage(0, RESET)?.success()?;
    assert_eq!(zone(&mut drive, 0)?, (EMPTY, 0));
    machine.quit()
}

#[test]
fn explicitly_open_zones_are_limited() -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,addr=4,max-open=2,max-active=3")?;
    let mut drive = Drive::start(&machine)?;
    drive.manage(0, OPEN)?.success()?;
    drive.manage(ZONE, OPEN)?.success()?;
    assert_eq!(drive.manage(2 * ZONE, OPEN)?.code(), status::TOO_MANY_OPEN);
    // Closed without data it is active still, until it is reset.
    drive.manage(ZONE, CLOSE)?.success()?;
    assert_eq!(zone(&mut drive, 1)?.0, CLOSED);
    io(&mut drive, WRITE, 2 * ZONE, 8)?.success()?;
    let third = io(&mut drive, WRITE, 3 * ZONE, 8)?;
    assert_eq!(third.code(), status::TOO_MANY_ACTIVE);
    drive.manage(ZONE, RESET)?.success()?;
    io(&mut drive, WRITE, 3 * ZONE, 8)?.success()?; // 2 is closed implicitly
    assert_eq!(zone(&mut drive, 2)?.0, CLOSED);
    machine.quit()
}

#[test]
fn reset_zones_read_as_zeroes_and_give_host_memory_back() -> Result<()> {
    let machine = machine()?;
    let mut drive = Drive::start(&machine)?;
    machine.memset(drive.nvme.buffer, 256 << 10, 0x5a)?;
    let before = machine.resident_kib()?;
    let blocks = CAPACITY; // the whole zone, 96 MiB
    drive.fill(blocks)?;
    assert_eq!(zone(&mut drive, 0)?.0, FULL);
    let full = machine.resident_kib()?;
    ensure!(full > before + (90 << 10), "{before} KiB, then {full} KiB");
    drive.manage(0, RESET)?.success()?;
    let after = machine.resident_kib()?;
    ensure!(
        after < before + (8 << 10),
        "{before} KiB before, {after} KiB after the reset"
    );
    let buffer = drive.nvme.buffer;
    let read = |drive: &mut Drive, lba, blocks: u16| -> Result<Vec<u8>> {
        io(drive, READ, lba, blocks)?.success()?;
        machine.memread(buffer, usize::from(blocks) * 512)
    };
    assert_eq!(read(&mut drive, 0, 8)?, vec![0; 4096]);
    // The host may not have taken the memory yet: what is around a new write still reads as zeroes.
    machine.memset(buffer, 4096, 0x77)?;
    io(&mut drive, WRITE, 0, 8)?.success()?;
    assert_eq!(read(&mut drive, 0, 8)?, vec![0x77; 4096]);
    let mut expected = vec![0; 256 << 10];
    expected[..4096].fill(0x77);
    assert!(read(&mut drive, 0, 512)? == expected, "old data came back");
    assert_eq!(read(&mut drive, blocks - 512, 512)?, vec![0; 256 << 10]);
    machine.quit()
}

#[test]
fn zones_fail_on_demand_and_the_guest_is_told() -> Result<()> {
    let machine = machine()?;
    let mut drive = Drive::start(&machine)?;
    let mut admin = await_notice(&mut drive)?;
    ensure!(
        drive.nvme.poll(&mut admin)?.is_none(),
        "an event from the start"
    );

    io(&mut drive, WRITE, 2 * ZONE, 8)?.success()?;
    machine.qom_set("d", "zone-read-only", &json!(2))?;
    let event = drive.nvme.wait(&mut admin)?.success()?;
    assert_eq!(
        event.result & 0xffff_ffff,
        0xbf_ef_02,
        "notice, zone changed, log BFh"
    );
    assert_eq!(event.result >> 32, 2, "the namespace");
    assert_eq!(zone(&mut drive, 2)?.0, READ_ONLY);
    assert_eq!(
        io(&mut drive, WRITE, 2 * ZONE + 8, 8)?.code(),
        status::ZONE_READ_ONLY
    );
    io(&mut drive, READ, 2 * ZONE, 8)?.success()?;

    machine.qom_set("d", "zone-offline", &json!(3))?;
    assert_eq!(zone(&mut drive, 3)?.0, OFFLINE);
    assert_eq!(
        io(&mut drive, READ, 3 * ZONE, 8)?.code(),
        status::ZONE_OFFLINE
    );
    for (property, value) in [("zone-offline", json!(32)), ("zone-read-only", json!("x"))] {
        let error = machine.qom_set("d", property, &value);
        ensure!(error.is_err(), "{property} took {value}");
    }
    machine.quit()
}

#[test]
fn a_zone_fails_once_and_for_good() -> Result<()> {
    let machine = machine()?;
    let mut drive = Drive::start(&machine)?;
    machine.qom_set("d", "zone-offline", &json!(3))?;
    for property in ["zone-read-only", "zone-offline"] {
        let refused = machine.qom_set("d", property, &json!(3));
        let message = format!("{:#}", refused.err().context("zone 3 failed again")?);
        ensure!(message.contains("failed already"), "{message}");
    }
    assert_eq!(zone(&mut drive, 3)?.0, OFFLINE);
    machine.quit()
}

/// A guest that does not run does not find its memory changed; it does when it goes on.
#[test]
fn a_stopped_machine_does_not_change() -> Result<()> {
    let machine = machine()?;
    let mut drive = Drive::start(&machine)?;
    let mut admin = await_notice(&mut drive)?;
    machine.qmp("stop", &json!({}))?;
    machine.qom_set("d", "zone-read-only", &json!(2))?;
    machine.qom_set("d", "fault", &json!("latency,delay-ns=5"))?;
    machine.qom_set("d", "timing", &json!(false))?;
    assert_eq!(machine.qom_get("d", "timing")?, json!(false));
    ensure!(
        drive.nvme.poll(&mut admin)?.is_none(),
        "an event while the machine is stopped"
    );
    machine.qmp("cont", &json!({}))?;
    let event = drive.nvme.wait(&mut admin)?.success()?;
    assert_eq!(event.result & 0xffff_ffff, 0xbf_ef_02);
    machine.quit()
}

/// The media in guest RAM: what is written to LBA n is found at its place in memory.
#[test]
fn media_may_lie_in_guest_memory() -> Result<()> {
    const START: u64 = 256 << 20;
    let options = Options {
        memory_mib: 1024,
        ..Options::default()
    }
    .device("conzone-nvme,addr=4,meta-size=64M,zones=4,memmap-start=256M,memmap-size=640M");
    let machine = Machine::start(&options)?;
    let mut drive = Drive::start(&machine)?;
    let data: Vec<u8> = (0..4096).map(|n| (n % 251) as u8).collect();
    machine.memwrite(drive.nvme.buffer, &data)?;
    io(&mut drive, WRITE, 0, 8)?.success()?;
    let data_namespace = START + (64 << 20);
    assert_eq!(machine.memread(data_namespace, 4096)?, data);
    drive.manage(0, RESET)?.success()?;
    assert_eq!(machine.memread(data_namespace, 4096)?, vec![0; 4096]);
    machine.quit()
}

#[test]
fn media_may_be_a_backend_of_the_users() -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    file.as_file().set_len(640 << 20)?;
    let backend = format!(
        "memory-backend-file,id=m,size=640M,share=on,mem-path={}",
        file.path().display()
    );
    let options = Options::default()
        .args(["-object", &backend])
        .device("conzone-nvme,addr=4,meta-size=64M,zones=4,memdev=m");
    let machine = Machine::start(&options)?;
    let mut drive = Drive::start(&machine)?;
    machine.memset(drive.nvme.buffer, 4096, 0xc3)?;
    io(&mut drive, WRITE, 0, 8)?.success()?;
    let content = std::fs::read(file.path())?;
    let first = content.iter().position(|b| *b == 0xc3);
    assert_eq!(first, Some(64 << 20), "data follows meta");
    assert_eq!(content.iter().filter(|b| **b == 0xc3).count(), 4096);
    machine.quit()
}
