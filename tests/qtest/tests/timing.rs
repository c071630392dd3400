// SPDX-License-Identifier: GPL-2.0-or-later
//! Completion instants, exact to the nanosecond of virtual time: the closed forms of the flash
//! model (docs/model.md) for `ufs4-tlc` on an idle drive.

use anyhow::{ensure, Result};
use qtest::opcode::{FLUSH, READ, WRITE};
use qtest::{Drive, Machine, Sqe};
use serde_json::json;

/// Time for `bytes` on a link of `megabytes` MB/s, MB = 2^20 bytes.
fn link_ns(bytes: u64, megabytes: u64) -> u64 {
    (bytes * 1_000_000_000).div_ceil(megabytes << 20)
}

const HOST_LINK: u64 = 3000;
const CHANNEL: u64 = 1422;

/// Two whole buffers of 768 KiB, in blocks.
const TWO_BUFFERS: u64 = 1536 << 10 >> 9;

fn command(drive: &Drive, opcode: u8, lba: u64, bytes: u64) -> Result<Sqe> {
    let blocks = u16::try_from(bytes / 512)?;
    let buffer = drive.nvme.buffer;
    drive.nvme.transfer(opcode, 2, lba, blocks, 512, buffer)
}

/// The command completes exactly `ns` after its doorbell.
fn takes(drive: &mut Drive, command: &Sqe, ns: u64) -> Result<()> {
    let Drive { nvme, queue } = drive;
    nvme.submit(queue, command)?;
    nvme.machine().clock_step(ns - 1)?;
    ensure!(nvme.poll(queue)?.is_none(), "done before {ns} ns");
    nvme.machine().clock_step(1)?;
    match nvme.poll(queue)? {
        Some(cqe) => cqe.success().map(drop),
        None => anyhow::bail!("not done after {ns} ns"),
    }
}

/// Lets everything come to rest.
fn settle(drive: &Drive) -> Result<()> {
    drive.nvme.machine().clock_step(1_000_000_000).map(drop)
}

#[test]
fn a_4_kib_write_into_a_free_buffer() -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,addr=4,preset=ufs4-tlc")?;
    let mut drive = Drive::start(&machine)?;
    let write = command(&drive, WRITE, 0, 4096)?;
    takes(&mut drive, &write, 5_600 + 600 + link_ns(4096, HOST_LINK))?;
    machine.quit()
}

#[test]
fn a_4_kib_read_of_native_pages_and_of_pslc() -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,addr=4,preset=ufs4-tlc")?;
    let mut drive = Drive::start(&machine)?;
    // One program unit for each of the 16 planes, twice.
    drive.fill(TWO_BUFFERS)?;
    settle(&drive)?;
    let link = link_ns(4096, CHANNEL) + link_ns(4096, HOST_LINK);
    let read = command(&drive, READ, 800, 4096)?;
    takes(&mut drive, &read, 20_000 + 40_000 + link)?;
    settle(&drive)?;

    // 8 KiB are less than a program unit: a flush leaves them in pSLC.
    drive.io(WRITE, 2, TWO_BUFFERS, 16)?.success()?;
    drive.run(&Sqe::new(FLUSH).nsid(2))?.success()?;
    settle(&drive)?;
    let read = command(&drive, READ, TWO_BUFFERS, 4096)?;
    takes(&mut drive, &read, 20_000 + 20_000 + link)?;
    machine.quit()
}

#[test]
fn reads_of_unwritten_blocks_cost_firmware_and_link_only() -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,addr=4,preset=ufs4-tlc")?;
    let mut drive = Drive::start(&machine)?;
    let read = command(&drive, READ, 0, 4096)?;
    takes(&mut drive, &read, 20_000 + link_ns(4096, HOST_LINK))?;
    let read = command(&drive, READ, 0, 64 << 10)?;
    takes(&mut drive, &read, 13_000 + link_ns(64 << 10, HOST_LINK))?;
    machine.quit()
}

#[test]
fn timing_off_completes_inside_the_doorbell() -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,addr=4,timing=off")?;
    let mut drive = Drive::start(&machine)?;
    let before = machine.clock_step(1)?;
    for lba in (0..64).step_by(8) {
        let write = command(&drive, WRITE, lba, 4096)?;
        drive.nvme.submit(&mut drive.queue, &write)?;
        let done = drive.nvme.poll(&mut drive.queue)?;
        ensure!(done.is_some_and(|c| c.status == 0), "{done:?}");
    }
    assert_eq!(machine.clock_step(1)?, before + 1, "time passed");
    machine.quit()
}

#[test]
fn timing_can_be_switched_at_run_time() -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,id=d,addr=4,preset=ufs4-tlc")?;
    let mut drive = Drive::start(&machine)?;
    let read = command(&drive, READ, 0, 4096)?;
    let ns = 20_000 + link_ns(4096, HOST_LINK);
    takes(&mut drive, &read, ns)?;
    machine.qom_set("d", "timing", &json!(false))?;
    drive.nvme.submit(&mut drive.queue, &read)?;
    ensure!(drive.nvme.poll(&mut drive.queue)?.is_some(), "still timed");
    machine.qom_set("d", "timing", &json!(true))?;
    settle(&drive)?;
    takes(&mut drive, &read, ns)?;
    machine.quit()
}

#[test]
fn times_can_be_set_at_run_time() -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,id=d,addr=4,preset=ufs4-tlc")?;
    let mut drive = Drive::start(&machine)?;
    let read = command(&drive, READ, 0, 4096)?;
    let link = link_ns(4096, HOST_LINK);
    takes(&mut drive, &read, 20_000 + link)?;
    machine.qom_set("d", "fw-read-4k-ns", &json!(70_000))?;
    assert_eq!(machine.qom_get("d", "fw-read-4k-ns")?, json!(70_000));
    settle(&drive)?;
    takes(&mut drive, &read, 70_000 + link)?;
    // What the buffers held is in TLC.
    drive.fill(TWO_BUFFERS)?;
    settle(&drive)?;
    let native = 70_000 + 40_000 + link_ns(4096, CHANNEL) + link;
    takes(&mut drive, &read, native)?;
    machine.qom_set("d", "tlc-read-ns", &json!("140000"))?;
    settle(&drive)?;
    takes(&mut drive, &read, native + 100_000)?;
    // Anything else stays as it is.
    for (property, value) in [("channels", json!(8)), ("tlc-read-ns", json!("x"))] {
        ensure!(
            machine.qom_set("d", property, &value).is_err(),
            "{property}"
        );
    }
    settle(&drive)?;
    takes(&mut drive, &read, native + 100_000)?;
    machine.quit()
}

/// The same commands complete at the same instants in two runs.
#[test]
fn runs_repeat_to_the_nanosecond() -> Result<()> {
    let run = || -> Result<Vec<(u16, u64)>> {
        let machine = Machine::with_device("conzone-nvme,addr=4,preset=ufs4-tlc")?;
        let mut drive = Drive::start(&machine)?;
        drive.fill(16 * 512)?;
        for n in 0..16_u64 {
            let read = Sqe::io(READ, 2, (n * 1_237) % 8_000, 8, drive.nvme.buffer);
            drive.nvme.place(&mut drive.queue, &read)?;
        }
        drive.nvme.ring(&drive.queue)?;
        let mut done = Vec::new();
        while done.len() < 16 {
            let now = machine.clock_step(500)?;
            while let Some(cqe) = drive.nvme.poll(&mut drive.queue)? {
                done.push((cqe.cid, now));
            }
            ensure!(
                now < 60_000_000_000,
                "only {} of 16 reads came back",
                done.len()
            );
        }
        machine.quit()?;
        Ok(done)
    };
    assert_eq!(run()?, run()?);
    Ok(())
}
