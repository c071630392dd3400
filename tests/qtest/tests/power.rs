// SPDX-License-Identifier: GPL-2.0-or-later
//! Power cuts: the drive is dead at once, and after a reset what was durable is there, and nothing else.

use anyhow::{ensure, Result};
use qtest::opcode::{APPEND, FLUSH, WRITE};
use qtest::{
    refusal, register, state, Cqe, Drive, Machine, NvmeDriver, Options, PciDevice, Queue, Sqe,
    CC_ENABLED, CSTS_READY, SLOT, ZONE,
};
use serde_json::{json, Value};

fn machine(device: &str) -> Result<Machine> {
    Machine::with_device(&format!("conzone-nvme,id=d,addr=4,{device}"))
}

fn cut(machine: &Machine, at: impl Into<Value>) -> Result<()> {
    machine.qom_set("d", "power-cut", &at.into()).map(drop)
}

/// What `stats` says of power cuts.
fn cuts(machine: &Machine, figure: &str) -> Result<u64> {
    let stats = machine.stats("d")?;
    Ok(stats["power_cuts"][figure].as_u64().unwrap_or(0))
}

fn is_dead(nvme: &NvmeDriver, queue: &mut Queue) -> Result<()> {
    let machine = nvme.machine();
    assert_eq!(machine.qom_get("d", "power-cut")?, json!("off"));
    assert_eq!(nvme.reg(register::CAP, 8)?, u64::MAX);
    assert_eq!(nvme.reg(register::CSTS, 4)?, u64::from(u32::MAX));
    nvme.submit(queue, &Sqe::new(FLUSH).nsid(1))?;
    nvme.set_reg(register::CC, 4, 0)?;
    machine.clock_step(1_000_000_000)?;
    ensure!(nvme.poll(queue)?.is_none(), "a dead drive answers");
    ensure!(!nvme.pci.pin_asserted()?, "a dead drive interrupts");
    assert_eq!(nvme.reg(register::CSTS, 4)?, u64::from(u32::MAX));
    Ok(())
}

fn reset(machine: &Machine) -> Result<()> {
    machine.qmp("system_reset", &json!({}))?;
    machine.qmp_event("RESET").map(drop)
}

#[test]
fn zones_fall_back_to_what_was_durable() -> Result<()> {
    let machine = machine("power-cuts=dead")?;
    let mut drive = Drive::start(&machine)?;
    // Off the page, so that one of 4 KiB is kept in part.
    drive.write_byte(2, 0, 40, 0x11, true)?;
    drive.write_byte(2, 40, 5, 0x22, true)?;
    drive.write_byte(2, 45, 30, 0x33, false)?;
    drive.write_byte(2, ZONE, 16, 0x44, false)?;
    drive.write_byte(2, 2 * ZONE, 16, 0x55, false)?;
    drive.run(&Sqe::new(FLUSH).nsid(2))?.success()?;
    drive.io(APPEND, 2, 2 * ZONE, 8)?.success()?;
    drive.write_byte(2, 75, 8, 0x66, false)?;
    assert_eq!(machine.qom_get("d", "power-cut")?, json!("never"));
    cut(&machine, "now")?;
    is_dead(&drive.nvme, &mut drive.queue)?;
    ensure!(cut(&machine, "now").is_err_and(|e| e.to_string().contains("off already")));
    assert_eq!(
        (cuts(&machine, "cuts")?, cuts(&machine, "pages_lost")?),
        (1, 3)
    );

    reset(&machine)?;
    assert_eq!(machine.qom_get("d", "power-cut")?, json!("never"));
    let mut drive = Drive::start(&machine)?;
    let zone = drive.zone(0, 0)?;
    assert_eq!((zone.pointer, zone.state), (75, state::CLOSED));
    let bytes = drive.read_bytes(2, 0, 96, 512)?;
    let parts = [(0x11, 40), (0x22, 5), (0x33, 30), (0, 21)];
    let kept: Vec<u8> = parts.iter().flat_map(|(b, n)| vec![*b; *n]).collect();
    assert_eq!(bytes, kept);
    let zone = drive.zone(ZONE, 0)?;
    assert_eq!((zone.pointer, zone.state), (ZONE + 16, state::CLOSED));
    let zone = drive.zone(2 * ZONE, 0)?;
    assert_eq!((zone.pointer, zone.state), (2 * ZONE + 16, state::CLOSED));
    // It goes on as any other.
    drive.write_byte(2, 75, 8, 0x77, true)?;
    assert_eq!(
        drive.read_bytes(2, 75, 16, 512)?,
        [[0x77; 8], [0; 8]].concat()
    );
    machine.quit()
}

#[test]
fn a_zone_of_which_nothing_was_durable_is_empty() -> Result<()> {
    let machine = machine("power-cuts=dead,zones=4")?;
    let mut drive = Drive::start(&machine)?;
    drive.write_byte(2, 0, 64, 0x11, false)?;
    cut(&machine, "now")?;
    reset(&machine)?;
    let mut drive = Drive::start(&machine)?;
    let zone = drive.zone(0, 0)?;
    assert_eq!((zone.pointer, zone.state), (0, state::EMPTY));
    assert_eq!(drive.read_bytes(2, 0, 64, 512)?, [0; 64]);
    machine.quit()
}

/// Block data, and the meta namespace of a zoned drive.
#[test]
fn pages_come_back_as_they_were_when_last_durable() -> Result<()> {
    for (device, nsid) in [
        ("preset=tlc-block,block-data-size=256M", 2),
        ("preset=qlc-block,block-data-size=256M", 1),
        ("preset=conv-970pro,block-data-size=256M", 1),
        ("preset=tlc-zoned,zones=4", 1),
    ] {
        let machine = machine(&format!("power-cuts=dead,{device}"))?;
        let mut drive = Drive::start(&machine)?;
        // Eight pages: durable, the middle ones twice; then new versions of some, one of them in part.
        drive.write_byte(nsid, 0, 64, 0x11, true)?;
        drive.write_byte(nsid, 16, 16, 0x22, false)?;
        drive.run(&Sqe::new(FLUSH).nsid(nsid))?.success()?;
        for value in [0x33, 0x44] {
            drive.write_byte(nsid, 8, 16, value, false)?;
        }
        drive.write_byte(nsid, 44, 2, 0x55, false)?;
        drive.write_byte(nsid, 64, 8, 0x66, false)?;
        drive.write_byte(nsid, 80, 8, 0x77, true)?;
        let parts = [
            (0x11, 8),
            (0x44, 16),
            (0x22, 8),
            (0x11, 12),
            (0x55, 2),
            (0x11, 18),
            (0x66, 8),
        ];
        let newest: Vec<u8> = parts.iter().flat_map(|(b, n)| vec![*b; *n]).collect();
        assert_eq!(drive.read_bytes(nsid, 0, 72, 512)?, newest, "{device}");
        // What is durable by the last one's FUA stays; the others are written once more.
        drive.run(&Sqe::new(FLUSH).nsid(nsid))?.success()?;
        drive.write_byte(nsid, 8, 16, 0x88, false)?;
        drive.write_byte(nsid, 44, 2, 0x99, false)?;
        drive.write_byte(nsid, 96, 8, 0xaa, false)?;
        cut(&machine, "now")?;
        is_dead(&drive.nvme, &mut drive.queue)?;
        reset(&machine)?;
        let mut drive = Drive::start(&machine)?;
        let all = [newest, vec![0; 8], vec![0x77; 8], vec![0; 16]].concat();
        assert_eq!(drive.read_bytes(nsid, 0, 104, 512)?, all, "{device}");
        let lost = (cuts(&machine, "pages_lost")?, cuts(&machine, "pages_gone")?);
        assert_eq!(lost, (4, 1), "{device}");
        drive.write_byte(nsid, 8, 8, 0xbb, true)?;
        cut(&machine, "now")?;
        reset(&machine)?;
        let mut drive = Drive::start(&machine)?;
        assert_eq!(drive.read_bytes(nsid, 8, 8, 512)?, [0xbb; 8], "{device}");
        machine.quit()?;
    }
    Ok(())
}

/// Writes with a completion a millisecond later, and power cut `after` ns; whether the completion comes.
fn answered(after: u64) -> Result<bool> {
    let machine = machine("timing=off,power-cuts=dead,fault=latency,,delay-ns=1000000,,op=write")?;
    let mut drive = Drive::start(&machine)?;
    let command = Sqe::io(WRITE, 1, 0, 8, drive.nvme.buffer);
    let now = machine.drive_clock("d")?;
    cut(&machine, (now + after).to_string())?;
    let is_set = machine.qom_get("d", "power-cut")?;
    assert_eq!(is_set, json!((now + after).to_string()));
    drive.nvme.submit(&mut drive.queue, &command)?;
    machine.clock_step(after - 1)?;
    ensure!(
        drive.nvme.reg(register::CSTS, 4)? == CSTS_READY,
        "too early"
    );
    machine.clock_step(1)?;
    ensure!(
        drive.nvme.reg(register::CSTS, 4)? == u64::from(u32::MAX),
        "too late"
    );
    machine.clock_step(2_000_000)?;
    let answer: Option<Cqe> = drive.nvme.poll(&mut drive.queue)?;
    machine.quit()?;
    Ok(answer.is_some())
}

#[test]
fn power_goes_at_exactly_the_instant() -> Result<()> {
    ensure!(!answered(999_999)?);
    ensure!(!answered(1_000_000)?, "at the instant nothing is answered");
    ensure!(answered(1_000_001)?);
    Ok(())
}

#[test]
fn the_drive_is_ready_when_it_has_recovered() -> Result<()> {
    let machine = machine("power-cuts=dead")?;
    let mut drive = Drive::start(&machine)?;
    drive.write_byte(2, 0, 200, 0x11, true)?;
    drive.write_byte(1, 0, 200, 0x11, true)?;
    cut(&machine, "now")?;
    machine.clock_step(5_000_000_000)?;
    let recovery = cuts(&machine, "recovery_ns")?;
    ensure!(recovery > 10_000, "{recovery} ns");
    reset(&machine)?;
    let back = machine.drive_clock("d")?;
    let pci = PciDevice::enable(&machine, SLOT)?;
    let admin = machine.alloc(8192, 4096)?;
    let set = |at: u64, size: u32, value: u64| machine.write(pci.bars[0] + at, size, value);
    set(register::AQA, 4, 0x000f_000f)?;
    set(register::ASQ, 8, admin)?;
    set(register::ACQ, 8, admin + 4096)?;
    set(register::CC, 4, CC_ENABLED)?;
    assert_eq!(machine.drive_clock("d")?, back);
    let ready = || machine.read(pci.bars[0] + register::CSTS, 4);
    machine.clock_step(recovery - 1)?;
    assert_eq!(ready()?, 0);
    machine.clock_step(1)?;
    assert_eq!(ready()?, CSTS_READY);
    machine.quit()
}

#[test]
fn a_fault_cuts_power_before_the_command_once() -> Result<()> {
    let device = "power-cuts=reset,fault=power-cut,,op=write,,ns=2,,zone=1,,skip=2";
    let machine = machine(device)?;
    let mut drive = Drive::start(&machine)?;
    drive.write_byte(2, 0, 8, 0x11, true)?;
    for (lba, value) in [(ZONE, 0x22), (ZONE + 8, 0x33)] {
        drive.write_byte(2, lba, 8, value, true)?;
    }
    let buffer = drive.nvme.buffer;
    let third = Sqe::io(WRITE, 2, ZONE + 16, 8, buffer);
    drive.nvme.submit(&mut drive.queue, &third)?;
    machine.qmp_event("RESET")?;
    assert_eq!(cuts(&machine, "cuts")?, 1);
    let list = "power-cut,op=write,ns=2,zone=1+1,skip=2,count=1 hits=1";
    assert_eq!(machine.qom_get("d", "fault")?, json!(list));
    let mut drive = Drive::start(&machine)?;
    assert_eq!(drive.zone(ZONE, 0)?.pointer, ZONE + 16);
    for (lba, value) in [(0, 0x11), (ZONE, 0x22), (ZONE + 8, 0x33)] {
        assert_eq!(drive.read_bytes(2, lba, 8, 512)?, [value; 8]);
    }
    drive.write_byte(2, ZONE + 16, 8, 0x44, true)?;
    machine.quit()
}

#[test]
fn the_machine_is_shut_down_unless_something_else_is_asked_for() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("trace");
    let record = format!(
        "power-cuts=shutdown,power-cut=2000000000,record={}",
        path.display()
    );
    let machine = machine(&record)?;
    let mut drive = Drive::start(&machine)?;
    drive.write_byte(2, 0, 8, 0x11, true)?;
    let now = machine.drive_clock("d")?;
    ensure!(now < 2_000_000_000, "{now}");
    // QEMU ends while the clock is stepped, and may not answer.
    let _ = machine.clock_step(2_000_000_000 - now);
    let event = machine.qmp_event("SHUTDOWN")?;
    assert_eq!(event["data"]["reason"], json!("guest-shutdown"));
    machine.ended()?;
    let text = std::fs::read_to_string(&path)?;
    let last = text.lines().last().unwrap_or_default();
    assert_eq!(last, "power-cut 2000000000");
    Ok(())
}

#[test]
fn what_cannot_be_is_refused() -> Result<()> {
    for (device, words) in [
        ("power-cut=5", "property 'power-cut' = 5: power can only be cut with power-cuts=shutdown, reset or dead"),
        ("power-cuts=dead,power-cut=now", "property 'power-cut' = now: is for run time; give an instant"),
        ("power-cuts=dead,power-cut=-1", "property 'power-cut' = -1: must be now, never, or an instant of the guest's clock in ns"),
        ("power-cuts=on", "property 'power-cuts': 'on' is not one of off, shutdown, reset, dead"),
        ("fault=power-cut", "property 'fault' = power-cut,count=1: power can only be cut with power-cuts=shutdown, reset or dead"),
    ] {
        let options = Options::default().device(&format!("conzone-nvme,{device}"));
        let (status, said) = refusal(&options)?;
        ensure!(status.code() == Some(1) && said.contains(words), "{device}: {said}");
    }
    let refused = |machine: &Machine, text: &str, words: &str| {
        let error = cut(machine, text).err().map(|e| format!("{e:#}"));
        ensure!(
            error.as_ref().is_some_and(|e| e.contains(words)),
            "{text}: {error:?}"
        );
        Ok(())
    };
    let machine = machine("serial=a")?;
    refused(
        &machine,
        "now",
        "property 'power-cut' = now: power can only be cut with power-cuts=",
    )?;
    machine.quit()?;
    let machine = self::machine("power-cuts=dead")?;
    machine.clock_step(1000)?;
    refused(
        &machine,
        "999",
        "property 'power-cut' = 999: the guest's clock is at 1000 already",
    )?;
    refused(
        &machine,
        "soon",
        "property 'power-cut' = soon: must be now, never",
    )?;
    // One can be taken back.
    cut(&machine, "2000")?;
    cut(&machine, "never")?;
    machine.clock_step(5000)?;
    assert_eq!(machine.qom_get("d", "power-cut")?, json!("never"));
    assert_eq!(cuts(&machine, "cuts")?, 0);
    machine.quit()
}
