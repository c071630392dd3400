// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults on demand, through `qom-set` and `-device`: what the guest sees of them.

use anyhow::{ensure, Result};
use qtest::opcode::{READ, SANITIZE, WRITE, WRITE_UNCORRECTABLE};
use qtest::status::{SANITIZE_FAILED, UNRECOVERED_READ, WRITE_FAULT, ZONE_OFFLINE};
use qtest::{refusal, Drive, Machine, Options, Sqe, ZONE};
use serde_json::json;

/// A log page of all namespaces.
fn log(drive: &mut Drive, page: u32) -> Result<Vec<u8>> {
    let command = Sqe::new(0x02)
        .nsid(u32::MAX)
        .prp(drive.nvme.buffer, 0)
        .dword(10, 127 << 16 | page);
    drive.nvme.admin(&command)?.success()?;
    drive.nvme.machine().memread(drive.nvme.buffer, 512)
}

fn fault(machine: &Machine, rule: &str) -> Result<()> {
    machine.qom_set("d", "fault", &json!(rule)).map(drop)
}

#[test]
fn a_read_error_is_in_the_completion_the_error_log_and_smart() -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,id=d,addr=4")?;
    let mut drive = Drive::start(&machine)?;
    drive.io(WRITE, 1, 0, 8)?.success()?;
    fault(&machine, "read-error,ns=1,lba=4+2,count=2")?;
    for _ in 0..2 {
        assert_eq!(drive.io(READ, 1, 0, 8)?.code(), UNRECOVERED_READ);
    }
    drive.io(READ, 1, 0, 8)?.success()?;
    let entry = log(&mut drive, 1)?;
    assert_eq!(u64::from_le_bytes(entry[..8].try_into()?), 2, "error count");
    assert_eq!(entry[16..24], 4_u64.to_le_bytes(), "LBA");
    assert_eq!(entry[24..28], 1_u32.to_le_bytes(), "namespace");
    assert_eq!(entry[14..16], [0xff, 0xff], "no field of the command");
    let smart = log(&mut drive, 2)?;
    assert_eq!(smart[160..168], 2_u64.to_le_bytes(), "media errors");
    assert_eq!(smart[176..184], 2_u64.to_le_bytes(), "error log entries");
    let list = machine.qom_get("d", "fault")?;
    assert_eq!(list, json!("read-error,ns=1,lba=4+2,count=2 hits=2"));
    fault(&machine, "clear")?;
    assert_eq!(machine.qom_get("d", "fault")?, json!(""));
    machine.quit()
}

#[test]
fn a_write_fault_writes_nothing() -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,id=d,addr=4")?;
    let mut drive = Drive::start(&machine)?;
    machine.memset(drive.nvme.buffer, 4096, 0x11)?;
    drive.io(WRITE, 1, 0, 8)?.success()?;
    fault(&machine, "write-error;write-error,zone=0")?;
    machine.memset(drive.nvme.buffer, 4096, 0x22)?;
    assert_eq!(drive.io(WRITE, 1, 0, 8)?.code(), WRITE_FAULT);
    assert_eq!(drive.io(WRITE, 2, 0, 8)?.code(), WRITE_FAULT);
    fault(&machine, "clear")?;
    drive.io(READ, 1, 0, 8)?.success()?;
    assert_eq!(machine.memread(drive.nvme.buffer, 4096)?, vec![0x11; 4096]);
    drive.io(WRITE, 2, 0, 8)?.success()?;
    machine.quit()
}

#[test]
fn a_latency_spike_is_as_long_as_it_says() -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,id=d,addr=4,timing=off")?;
    let mut drive = Drive::start(&machine)?;
    fault(&machine, "latency,delay-ns=1000000,op=write")?;
    drive.io(READ, 1, 0, 8)?.success()?;
    let command = Sqe::io(WRITE, 1, 0, 8, drive.nvme.buffer);
    drive.nvme.submit(&mut drive.queue, &command)?;
    machine.clock_step(999_999)?;
    ensure!(drive.nvme.poll(&mut drive.queue)?.is_none(), "too early");
    machine.clock_step(1)?;
    ensure!(drive.nvme.poll(&mut drive.queue)?.is_some(), "too late");
    machine.quit()
}

#[test]
fn rules_on_the_command_line_are_there_from_the_start() -> Result<()> {
    let device = "conzone-nvme,id=d,addr=4,fault=zone-offline,,zone=1;read-error,,ns=1";
    let machine = Machine::with_device(device)?;
    let mut drive = Drive::start(&machine)?;
    assert_eq!(drive.io(READ, 1, 0, 8)?.code(), UNRECOVERED_READ);
    drive.io(READ, 2, 0, 8)?.success()?;
    assert_eq!(drive.io(READ, 2, ZONE, 8)?.code(), ZONE_OFFLINE);
    drive.io(READ, 2, 0, 8)?.success()?;
    machine.quit()
}

#[test]
fn what_is_no_rule_is_refused_and_changes_nothing() -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,id=d,addr=4")?;
    fault(&machine, "read-error,lba=7")?;
    for (rule, words) in [
        ("clear;read-error,probability=2", "1 <= A <= B"),
        ("clear;read-error,ns=3", "ns=3: must be 1 to 2"),
        ("latency,delay-ns=x", "delay-ns=x"),
    ] {
        let refused = fault(&machine, rule).err().map(|e| format!("{e:#}"));
        ensure!(refused.is_some_and(|e| e.contains(words)), "{rule}");
    }
    let list = machine.qom_get("d", "fault")?;
    assert_eq!(list, json!("read-error,lba=7+1 hits=0"));
    machine.quit()?;
    for (rule, words) in [
        ("fire", "read-error"),
        ("zone-offline,,ns=1", "ns=1: has no zones"),
    ] {
        let options = Options::default().device(&format!("conzone-nvme,fault={rule}"));
        let (status, said) = refusal(&options)?;
        ensure!(status.code() == Some(1) && said.contains(words), "{said}");
    }
    Ok(())
}

#[test]
fn blocks_that_the_guest_has_marked_cannot_be_read_until_they_are_written() -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,id=d,addr=4")?;
    let mut drive = Drive::start(&machine)?;
    drive.io(WRITE, 1, 0, 16)?.success()?;
    drive.io(WRITE_UNCORRECTABLE, 1, 4, 2)?.success()?;
    drive.io(READ, 1, 0, 4)?.success()?;
    assert_eq!(drive.io(READ, 1, 0, 16)?.code(), UNRECOVERED_READ);
    let entry = log(&mut drive, 1)?;
    assert_eq!(entry[16..24], 4_u64.to_le_bytes(), "LBA");
    let smart = log(&mut drive, 2)?;
    assert_eq!(smart[160..168], [0; 8], "no error of the media");
    drive.io(WRITE, 1, 4, 2)?.success()?;
    drive.io(READ, 1, 0, 16)?.success()?;
    // In a zone it moves the write pointer.
    drive.io(WRITE_UNCORRECTABLE, 2, 0, 8)?.success()?;
    drive.io(WRITE, 2, 8, 8)?.success()?;
    assert_eq!(drive.io(READ, 2, 0, 16)?.code(), UNRECOVERED_READ);
    drive.io(READ, 2, 8, 8)?.success()?;
    machine.quit()
}

#[test]
fn a_sanitize_operation_leaves_nothing_and_fails_on_demand() -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,id=d,addr=4,timing=off")?;
    let mut drive = Drive::start(&machine)?;
    machine.memset(drive.nvme.buffer, 4096, 0x11)?;
    for nsid in [1, 2] {
        drive.io(WRITE, nsid, 0, 8)?.success()?;
    }
    let block_erase = Sqe::new(SANITIZE).dword(10, 2);
    drive.nvme.admin(&block_erase)?.success()?;
    machine.clock_step(1_000_000)?;
    // Not in progress; completed, and all data erased; a block erase.
    assert_eq!(log(&mut drive, 0x81)?[..5], [0xff, 0xff, 1, 1, 2]);
    for nsid in [1, 2] {
        drive.io(READ, nsid, 0, 8)?.success()?;
        assert_eq!(machine.memread(drive.nvme.buffer, 4096)?, vec![0; 4096]);
    }
    fault(&machine, "sanitize-error,count=1")?;
    drive.nvme.admin(&block_erase)?.success()?;
    machine.clock_step(1_000_000)?;
    assert_eq!(drive.io(READ, 1, 0, 8)?.code(), SANITIZE_FAILED);
    drive.nvme.admin(&block_erase)?.success()?;
    machine.clock_step(1_000_000)?;
    drive.io(READ, 1, 0, 8)?.success()?;
    machine.quit()
}
