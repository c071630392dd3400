// SPDX-License-Identifier: GPL-2.0-or-later
//! Broken and hostile guests: QEMU stays alive, and the drive works again after a reset.

use anyhow::{ensure, Context, Result};
use qtest::CSTS_FATAL;
use qtest::{
    register, Machine, NvmeDriver, Options, PciAddress, PciDevice, Queue, Sqe, CSTS_READY,
};
use serde_json::json;

const SLOT: PciAddress = PciAddress::slot(4);
const DEVICE: &str = "conzone-nvme,id=d,addr=4";
const WRITE: u8 = 0x01;
const READ: u8 = 0x02;

/// Data Transfer Error.
const DATA_TRANSFER_ERROR: u16 = 0x004;
/// Where the ECAM window is put on q35, and its enable bit.
const ECAM: u64 = 0xb000_0000;

/// The drive still does its work, from enabling the controller on.
fn still_works(nvme: &mut NvmeDriver) -> Result<()> {
    nvme.enable_controller().context("after all that")?;
    let mut queue = nvme.create_queue(1, 8, 0)?;
    let data: Vec<u8> = (0..4096).map(|n| (n % 253) as u8).collect();
    nvme.machine().memwrite(nvme.buffer, &data)?;
    nvme.run(&mut queue, &Sqe::io(WRITE, 1, 64, 8, nvme.buffer))?
        .success()?;
    nvme.machine().memset(nvme.buffer, 4096, 0)?;
    nvme.run(&mut queue, &Sqe::io(READ, 1, 64, 8, nvme.buffer))?
        .success()?;
    ensure!(
        nvme.machine().memread(nvme.buffer, 4096)? == data,
        "data differs"
    );
    Ok(())
}

fn with_queue(machine: &Machine) -> Result<(NvmeDriver<'_>, Queue)> {
    let mut nvme = NvmeDriver::start(machine, SLOT)?;
    let queue = nvme.create_queue(1, 32, 0)?;
    Ok((nvme, queue))
}

#[test]
fn data_aimed_at_its_own_registers_is_a_transfer_error() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let (mut nvme, mut queue) = with_queue(&machine)?;
    for target in [
        nvme.reg_address(0),
        nvme.reg_address(register::DOORBELLS),
        nvme.pci.bars[4],
    ] {
        for opcode in [READ, WRITE] {
            let command = Sqe::io(opcode, 1, 0, 8, target);
            let cqe = nvme.run(&mut queue, &command)?;
            assert_eq!(
                cqe.code(),
                DATA_TRANSFER_ERROR,
                "opcode {opcode}, {target:#x}"
            );
        }
    }
    assert_eq!(nvme.reg(register::CSTS, 4)?, CSTS_READY);
    still_works(&mut nvme)?;
    machine.quit()
}

/// Commands that complete from the timer, where QEMU's own re-entrancy guard is not up.
#[test]
fn queues_and_messages_aimed_at_its_own_registers_do_no_harm() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let mut nvme = NvmeDriver::start_with_msix(&machine, SLOT)?;
    // Completions of queue 1 go into the doorbells, and so does its interrupt message.
    let doorbells = nvme.reg_address(register::DOORBELLS);
    nvme.pci.aim_vector(1, doorbells)?;
    let mut queue = Queue::alloc(&machine, 1, 8)?;
    let create_cq = Sqe::new(0x05)
        .prp(doorbells, 0)
        .dword(10, 7 << 16 | 1)
        .dword(11, 1 << 16 | 3);
    let create_sq = Sqe::new(0x01)
        .prp(queue.sq, 0)
        .dword(10, 7 << 16 | 1)
        .dword(11, 1 << 16 | 1);
    nvme.admin(&create_cq)?.success()?;
    nvme.admin(&create_sq)?.success()?;
    nvme.submit(&mut queue, &Sqe::io(READ, 2, 0, 8, nvme.buffer))?;
    machine.clock_step(10_000_000)?;
    // The completion had nowhere to go.
    nvme.wait_status(CSTS_FATAL, CSTS_FATAL)?;
    still_works(&mut nvme)?;
    // Commands fetched from the registers.
    let create_cq = Sqe::new(0x05)
        .prp(queue.cq, 0)
        .dword(10, 7 << 16 | 2)
        .dword(11, 1 << 16 | 3);
    let create_sq = Sqe::new(0x01)
        .prp(nvme.reg_address(0), 0)
        .dword(10, 7 << 16 | 2)
        .dword(11, 2 << 16 | 1);
    nvme.admin(&create_cq)?.success()?;
    nvme.admin(&create_sq)?.success()?;
    nvme.set_reg(register::DOORBELLS + 16, 4, 3)?;
    machine.clock_step(1_000_000)?;
    nvme.wait_status(CSTS_FATAL, CSTS_FATAL)?;
    still_works(&mut nvme)?;
    machine.quit()
}

#[test]
fn data_aimed_at_nowhere_is_a_transfer_error() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let (mut nvme, mut queue) = with_queue(&machine)?;
    for target in [1 << 40, 0xffff_ffff_ffff_f000, 0x8000_0000] {
        let command = Sqe::io(READ, 1, 0, 8, target);
        let cqe = nvme.run(&mut queue, &command)?;
        assert_eq!(cqe.code(), DATA_TRANSFER_ERROR, "{target:#x}");
    }
    still_works(&mut nvme)?;
    machine.quit()
}

#[test]
fn without_bus_mastering_nothing_moves() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let (mut nvme, mut queue) = with_queue(&machine)?;
    nvme.pci.set_bus_master(false)?;
    nvme.submit(&mut queue, &Sqe::io(READ, 1, 0, 8, nvme.buffer))?;
    machine.clock_step(10_000_000)?;
    ensure!(
        nvme.poll(&mut queue)?.is_none(),
        "a completion without bus mastering"
    );
    nvme.pci.set_bus_master(true)?;
    still_works(&mut nvme)?;
    machine.quit()
}

#[test]
fn resets_with_commands_in_flight_drop_them() -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,id=d,addr=4,preset=ufs4-tlc")?;
    let (mut nvme, mut queue) = with_queue(&machine)?;
    for lba in 0..20 {
        nvme.place(&mut queue, &Sqe::io(READ, 2, lba * 8, 8, nvme.buffer))?;
    }
    nvme.ring(&queue)?;
    nvme.set_reg(register::CC, 4, 0)?;
    machine.clock_step(1_000_000_000)?;
    ensure!(
        nvme.poll(&mut queue)?.is_none(),
        "a completion after the reset"
    );
    still_works(&mut nvme)?;

    // Function level reset: Device Control, bit 15.
    let mut queue = nvme.create_queue(2, 32, 0)?;
    nvme.submit(&mut queue, &Sqe::io(READ, 2, 0, 8, nvme.buffer))?;
    let express = SLOT
        .capability(&machine, 0x10)?
        .context("no PCI Express capability")?;
    SLOT.set_config(&machine, express + 8, 1 << 15)?;
    machine.clock_step(1_000_000_000)?;
    ensure!(
        SLOT.config(&machine, 4)? & 6 == 0,
        "the function was not reset"
    );
    let mut nvme = NvmeDriver::start(&machine, SLOT)?;
    still_works(&mut nvme)?;

    // The whole machine.
    let mut queue = nvme.create_queue(2, 32, 0)?;
    nvme.submit(&mut queue, &Sqe::io(READ, 2, 0, 8, nvme.buffer))?;
    machine.qmp("system_reset", &json!({}))?;
    machine.qmp_event("RESET")?;
    machine.clock_step(1_000_000_000)?;
    let mut nvme = NvmeDriver::start(&machine, SLOT)?;
    still_works(&mut nvme)?;
    machine.quit()
}

fn enable_ecam(machine: &Machine) -> Result<()> {
    let host_bridge = PciAddress::slot(0);
    host_bridge.set_config(machine, 0x64, 0)?;
    host_bridge.set_config(machine, 0x60, ECAM as u32 | 1)?;
    assert_eq!(
        machine.read(ECAM, 4)?,
        u64::from(host_bridge.config(machine, 0)?)
    );
    Ok(())
}

/// The guest may aim data at configuration space, and so make the drive reset itself in the
/// middle of its own work.
#[test]
fn it_survives_resetting_itself_by_dma() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let (nvme, mut queue) = with_queue(&machine)?;
    enable_ecam(&machine)?;
    let express = SLOT
        .capability(&machine, 0x10)?
        .context("no PCI Express capability")?;
    let mut block = vec![0; 512];
    block[1] = 0x80; // Initiate Function Level Reset
    machine.memwrite(nvme.buffer, &block)?;
    nvme.run(&mut queue, &Sqe::io(WRITE, 1, 0, 1, nvme.buffer))?
        .success()?;
    let device_control = ECAM + (4 << 15) + u64::from(express) + 8;
    nvme.submit(&mut queue, &Sqe::io(READ, 1, 0, 1, device_control))?;
    machine.clock_step(1_000_000_000)?;
    ensure!(
        SLOT.config(&machine, 4)? & 6 == 0,
        "the function was not reset"
    );
    let mut nvme = NvmeDriver::start(&machine, SLOT)?;
    still_works(&mut nvme)?;
    machine.quit()
}

/// The same with its slot's power: it unplugs itself in the middle of its own work.
#[test]
fn it_survives_unplugging_itself_by_dma() -> Result<()> {
    let options = Options::default().args([
        "-global",
        "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
        "-device",
        "pcie-root-port,id=rp,addr=3",
        "-device",
        "conzone-nvme,id=d,bus=rp",
    ]);
    let machine = Machine::start(&options)?;
    let port = PciAddress::slot(3);
    // Bus 1 behind the port, and its memory window over all BARs that will be placed.
    port.set_config(&machine, 0x18, 0x0001_0100)?;
    port.set_config(&machine, 0x20, 0xeff0_e000)?;
    port.set_config(&machine, 0x04, 0x6)?;
    let address = PciAddress {
        bus: 1,
        device: 0,
        function: 0,
    };
    let pci = PciDevice::enable(&machine, address)?;
    let mut nvme = NvmeDriver::enable(pci)?;
    let mut queue = nvme.create_queue(1, 8, 0)?;
    enable_ecam(&machine)?;
    // The block to be read: slot control with power off, then zeroes.
    let express = port
        .capability(&machine, 0x10)?
        .context("a port with a slot")?;
    let mut block = vec![0; 512];
    block[1] = 0b111;
    machine.memwrite(nvme.buffer, &block)?;
    nvme.run(&mut queue, &Sqe::io(WRITE, 1, 0, 1, nvme.buffer))?
        .success()?;
    machine.qmp("device_del", &json!({ "id": "d" }))?;
    let slot_control = ECAM + (3 << 15) + u64::from(express) + 0x18;
    nvme.submit(&mut queue, &Sqe::io(READ, 1, 0, 1, slot_control))?;
    machine.clock_step(1_000_000_000)?;
    machine.qmp_event("DEVICE_DELETED")?;
    machine.quit()
}

/// Reads and writes of every size all over the BAR, in a fixed pseudo-random order.
#[test]
fn random_register_accesses_do_no_harm() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let mut nvme = NvmeDriver::start(&machine, SLOT)?;
    for seed in 1..=4_u64 {
        let mut x = seed;
        let mut next = || {
            x = x
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            x >> 16
        };
        for _ in 0..5_000 {
            let size = 1 << (next() % 4);
            let span = if next() % 2 == 0 { 0x60 } else { 0x1210 };
            let offset = next() % span;
            if next() % 3 == 0 {
                nvme.reg(offset, size)?;
            } else {
                nvme.set_reg(offset, size, next() << 16 ^ next())?;
            }
            if next() % 64 == 0 {
                machine.clock_step(next() % 1_000_000)?;
            }
        }
        still_works(&mut nvme)?;
    }
    machine.quit()
}
