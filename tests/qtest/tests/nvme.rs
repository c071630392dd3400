// SPDX-License-Identifier: GPL-2.0-or-later
//! Registers, admin commands and I/O of the real device, as a guest's driver sees them.

use anyhow::{ensure, Context, Result};
use qtest::opcode::{FLUSH, READ, WRITE};
use qtest::{
    register, status, Drive, Machine, NvmeDriver, Options, PciAddress, Queue, Sqe, CC_ENABLED,
    CSTS_FATAL, CSTS_READY, SLOT,
};

const DEVICE: &str = "conzone-nvme,id=d,addr=4";

fn pattern(seed: u64, bytes: usize) -> Vec<u8> {
    let mut x = seed | 1;
    (0..bytes)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x.to_le_bytes()[3]
        })
        .collect()
}

/// Writes `data` from the driver's buffer and reads it back into another place.
fn write_then_read(
    nvme: &NvmeDriver,
    queue: &mut Queue,
    nsid: u32,
    lba: u64,
    data: &[u8],
) -> Result<()> {
    let blocks = u16::try_from(data.len() / 512)?;
    let (from, to) = (nvme.buffer, nvme.buffer + (512 << 10));
    nvme.machine().memwrite(from, data)?;
    let write = nvme.transfer(WRITE, nsid, lba, blocks, 512, from)?;
    nvme.run(queue, &write)?.success()?;
    nvme.machine().memset(to, data.len() as u64, 0xee)?;
    let read = nvme.transfer(READ, nsid, lba, blocks, 512, to)?;
    nvme.run(queue, &read)?.success()?;
    ensure!(
        nvme.machine().memread(to, data.len())? == data,
        "data differs"
    );
    Ok(())
}

#[test]
fn registers_say_what_the_preset_says() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let nvme = NvmeDriver::start(&machine, SLOT)?;
    let cap = nvme.reg(register::CAP, 8)?;
    assert_eq!(cap & 0xffff, 31, "MQES of tlc-zoned");
    assert_eq!(cap >> 16 & 1, 1, "CQR");
    assert_eq!(cap >> 32 & 0xf, 0, "DSTRD");
    assert_eq!(cap >> 37 & 0xff & 0x40, 0x40, "I/O command sets");
    assert_eq!(cap >> 48 & 0xf, 0, "4 KiB pages");
    assert_eq!(nvme.reg(register::CAP, 4)?, cap & 0xffff_ffff);
    assert_eq!(nvme.reg(register::CAP + 4, 4)?, cap >> 32);
    assert_eq!(nvme.reg(register::VS, 4)?, 0x2_0000);
    assert_eq!(nvme.reg(register::CC, 4)?, CC_ENABLED);
    assert_eq!(nvme.reg(register::CSTS, 4)?, CSTS_READY);
    machine.quit()
}

#[test]
fn the_controller_can_be_disabled_and_enabled() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let mut nvme = NvmeDriver::start(&machine, SLOT)?;
    for _ in 0..3 {
        nvme.set_reg(register::CC, 4, 0)?;
        nvme.wait_status(CSTS_READY, 0)?;
        nvme.enable_controller()?;
        nvme.identify(1, 0, 0)?;
    }
    machine.quit()
}

#[test]
fn a_configuration_that_makes_no_sense_is_fatal_until_reset() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let mut nvme = NvmeDriver::start(&machine, SLOT)?;
    nvme.set_reg(register::CC, 4, 0)?;
    nvme.wait_status(CSTS_READY, 0)?;
    nvme.set_reg(register::CC, 4, CC_ENABLED | 15 << 7)?; // pages of 128 MiB
    nvme.wait_status(CSTS_FATAL | CSTS_READY, CSTS_FATAL)?;
    nvme.enable_controller()?;
    nvme.identify(1, 0, 0)?;
    machine.quit()
}

#[test]
fn shutdown_is_acknowledged() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let Drive { nvme, mut queue } = Drive::start(&machine)?;
    write_then_read(&nvme, &mut queue, 2, 0, &pattern(1, 4096))?;
    nvme.set_reg(register::CC, 4, CC_ENABLED | 1 << 14)?;
    nvme.wait_status(0b11 << 2, 0b10 << 2)?;
    machine.quit()
}

#[test]
fn identify_shows_both_namespaces() -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,addr=4,serial=S123,mdts=5")?;
    let mut nvme = NvmeDriver::start(&machine, SLOT)?;
    let controller = nvme.identify(1, 0, 0)?;
    let (vendor, subsystem) = (SLOT.config(&machine, 0)?, SLOT.config(&machine, 0x2c)?);
    assert_eq!(
        controller[..2],
        vendor.to_le_bytes()[..2],
        "VID as the PCI function's"
    );
    assert_eq!(controller[2..4], subsystem.to_le_bytes()[..2], "SSVID");
    assert_eq!(&controller[4..8], b"S123");
    assert_eq!(controller[77], 5, "MDTS");
    assert_eq!(controller[516..520], 2_u32.to_le_bytes(), "NN");
    let list = nvme.identify(2, 0, 0)?;
    assert_eq!(list[..12], [1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    let meta = nvme.identify(0, 1, 0)?;
    assert_eq!(
        meta[..8],
        (256_u64 << 20 >> 9).to_le_bytes(),
        "NSZE of meta"
    );
    let data = nvme.identify(0, 2, 0)?;
    assert_eq!(
        data[..8],
        ((32 * 128_u64) << 20 >> 9).to_le_bytes(),
        "NSZE of data"
    );
    let zoned = nvme.identify(5, 2, 2)?;
    assert_eq!(zoned[4..8], 5_u32.to_le_bytes(), "MAR, zero-based");
    assert_eq!(zoned[8..12], 5_u32.to_le_bytes(), "MOR, zero-based");
    assert_eq!(
        zoned[2816..2824],
        (128_u64 << 20 >> 9).to_le_bytes(),
        "zone size"
    );
    machine.quit()
}

#[test]
fn data_comes_back_through_every_shape_of_prp() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let Drive { nvme, mut queue } = Drive::start(&machine)?;
    let mut lba = 0;
    for (n, bytes) in [512, 4096, 4608, 8192, 12288, 131_072, 262_144]
        .into_iter()
        .enumerate()
    {
        let data = pattern(n as u64 + 7, bytes);
        write_then_read(&nvme, &mut queue, 1, lba, &data)
            .with_context(|| format!("{bytes}, meta"))?;
        write_then_read(&nvme, &mut queue, 2, lba, &data)
            .with_context(|| format!("{bytes}, data"))?;
        lba += bytes as u64 / 512;
    }
    // An offset into the first page.
    let data = pattern(99, 8192);
    machine.memwrite(nvme.buffer + 0x204, &data)?;
    let write = nvme.transfer(WRITE, 1, 5000, 16, 512, nvme.buffer + 0x204)?;
    nvme.run(&mut queue, &write)?.success()?;
    let read = nvme.transfer(READ, 1, 5000, 16, 512, nvme.buffer + 0x40000)?;
    nvme.run(&mut queue, &read)?.success()?;
    assert_eq!(machine.memread(nvme.buffer + 0x40000, 8192)?, data);
    machine.quit()
}

#[test]
fn every_preset_stores_data() -> Result<()> {
    for preset in [
        "ufs4-tlc",
        "tlc-zoned",
        "qlc-zoned-page-slc",
        "qlc-zoned-zone-slc",
        "tlc-block",
        "qlc-block",
    ] {
        let machine = Machine::with_device(&format!("conzone-nvme,addr=4,preset={preset}"))?;
        let Drive { nvme, mut queue } = Drive::start(&machine)?;
        // Enough to fill every buffer and to reach the flash.
        for n in 0..8 {
            let data = pattern(n, 256 << 10);
            for nsid in [1, 2] {
                write_then_read(&nvme, &mut queue, nsid, n * 512, &data)
                    .with_context(|| format!("{preset}, namespace {nsid}, round {n}"))?;
            }
        }
        nvme.run(&mut queue, &Sqe::new(FLUSH).nsid(u32::MAX))?
            .success()?;
        machine.quit()?;
    }
    Ok(())
}

#[test]
fn namespaces_and_block_sizes_are_a_choice() -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,addr=4,meta-size=0,lba-size=4096")?;
    let mut nvme = NvmeDriver::start(&machine, SLOT)?;
    let list = nvme.identify(2, 0, 0)?;
    assert_eq!(
        list[..8],
        [1, 0, 0, 0, 0, 0, 0, 0],
        "the data namespace alone"
    );
    let data = nvme.identify(0, 1, 0)?;
    let format = usize::from(data[26] & 0xf);
    assert_eq!(data[128 + 4 * format + 2], 12, "4096-byte blocks");
    assert_eq!(data[..8], (128_u64 << 20 >> 12 << 5).to_le_bytes(), "NSZE");
    let mut queue = nvme.create_queue(1, 32, 0)?;
    let bytes = pattern(3, 16384);
    machine.memwrite(nvme.buffer, &bytes)?;
    let write = nvme.transfer(WRITE, 1, 0, 4, 4096, nvme.buffer)?;
    nvme.run(&mut queue, &write)?.success()?;
    let read = nvme.transfer(READ, 1, 0, 4, 4096, nvme.buffer + 0x40000)?;
    nvme.run(&mut queue, &read)?.success()?;
    assert_eq!(machine.memread(nvme.buffer + 0x40000, 16384)?, bytes);
    machine.quit()
}

#[test]
fn it_works_on_a_machine_without_pci_express() -> Result<()> {
    let options = Options {
        machine: "pc".to_owned(),
        ..Options::default()
    };
    let machine = Machine::start(&options.device(DEVICE))?;
    let mut nvme = NvmeDriver::start_with_msix(&machine, SLOT)?;
    let mut queue = nvme.create_queue(1, 32, 1)?;
    write_then_read(&nvme, &mut queue, 2, 0, &pattern(5, 65536))?;
    ensure!(nvme.pci.take_message(1)?, "no interrupt");
    machine.quit()
}

#[test]
fn queues_wrap_and_keep_order_and_phase() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let mut nvme = NvmeDriver::start(&machine, SLOT)?;
    let mut queue = nvme.create_queue(1, 5, 0)?; // not a power of two
    for round in 0..23 {
        let flush = Sqe::new(FLUSH).nsid(1);
        let cids = [
            nvme.place(&mut queue, &flush)?,
            nvme.place(&mut queue, &flush)?,
        ];
        nvme.ring(&queue)?;
        for cid in cids {
            let cqe = nvme.wait(&mut queue)?.success()?;
            assert_eq!((cqe.cid, cqe.sq_id), (cid, 1), "round {round}");
        }
    }
    machine.quit()
}

#[test]
fn many_queues_work_side_by_side() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let mut nvme = NvmeDriver::start(&machine, SLOT)?;
    let mut queues = Vec::new();
    for id in 1..=64 {
        queues.push(nvme.create_queue(id, 8, 0)?);
    }
    for queue in &mut queues {
        nvme.submit(queue, &Sqe::io(READ, 1, 0, 8, nvme.buffer))?;
    }
    for queue in &mut queues {
        nvme.wait(queue)?.success()?;
    }
    let too_many = Sqe::new(0x05)
        .prp(queues[0].cq, 0)
        .dword(10, 7 << 16 | 65)
        .dword(11, 1);
    assert_eq!(nvme.admin(&too_many)?.code(), status::QUEUE_ID);
    machine.quit()
}

#[test]
fn several_devices_keep_their_data_apart() -> Result<()> {
    let options = Options::default()
        .device("conzone-nvme,addr=4,serial=a")
        .device("conzone-nvme,addr=5,serial=b");
    let machine = Machine::start(&options)?;
    let mut drives = Vec::new();
    for slot in [4, 5] {
        let mut nvme = NvmeDriver::start(&machine, PciAddress::slot(slot))?;
        let queue = nvme.create_queue(1, 16, 0)?;
        drives.push((nvme, queue, pattern(u64::from(slot), 16384)));
    }
    for (nvme, queue, data) in &mut drives {
        write_then_read(nvme, queue, 2, 0, data)?;
    }
    for (nvme, queue, data) in &mut drives {
        let read = nvme.transfer(READ, 2, 0, 32, 512, nvme.buffer)?;
        nvme.run(queue, &read)?.success()?;
        assert_eq!(&machine.memread(nvme.buffer, 16384)?, data);
    }
    machine.quit()
}

#[test]
fn the_admin_queue_refuses_what_it_does_not_know() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let mut nvme = NvmeDriver::start(&machine, SLOT)?;
    let unknown = nvme.admin(&Sqe::new(0xc7))?;
    assert_eq!(unknown.code(), status::INVALID_OPCODE);
    let mut drive = Drive::of(nvme)?;
    let unknown = drive.run(&Sqe::new(0x7f).nsid(1))?;
    assert_eq!(unknown.code(), status::INVALID_OPCODE);
    let no_namespace = drive.io(READ, 3, 0, 8)?;
    assert_eq!(no_namespace.code(), status::INVALID_NAMESPACE);
    let past_the_end = drive.io(READ, 1, (256 << 20 >> 9) - 4, 8)?;
    assert_eq!(past_the_end.code(), status::LBA_OUT_OF_RANGE);
    machine.quit()
}

#[test]
fn statistics_count_what_the_guest_does() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let Drive { nvme, mut queue } = Drive::start(&machine)?;
    for page in 0..10 {
        let data = pattern(page, 4096);
        write_then_read(&nvme, &mut queue, 2, page * 8, &data)?;
    }
    let stats = machine.stats("d")?;
    assert_eq!(stats["host_write_pages"], 10);
    assert_eq!(stats["host_read_pages"], 10);
    assert_eq!(stats["buffer_hits"], 10, "768 KiB of buffer hold it all");
    assert_eq!(stats["namespaces"]["meta"]["host_writes"], 0);
    machine.quit()
}

#[test]
fn a_self_test_takes_ten_seconds_and_has_a_result() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let mut nvme = NvmeDriver::start(&machine, SLOT)?;
    let log = |nvme: &mut NvmeDriver| {
        let command = Sqe::new(0x02)
            .nsid(u32::MAX)
            .prp(nvme.buffer, 0)
            .dword(10, (564 / 4 - 1) << 16 | 0x06);
        nvme.admin(&command)?.success()?;
        nvme.machine().memread(nvme.buffer, 564)
    };
    nvme.admin(&Sqe::new(0x14).dword(10, 1))?.success()?;
    let page = log(&mut nvme)?;
    assert_eq!((page[0], page[4]), (1, 0x0f), "in progress, and no result");
    machine.clock_step(11_000_000_000)?;
    let page = log(&mut nvme)?;
    assert_eq!((page[0], page[4], page[32]), (0, 0x10, 0x0f), "passed");
    machine.quit()
}
