// SPDX-License-Identifier: GPL-2.0-or-later
//! The device as a PCI function: identity, capabilities, plugging.

use anyhow::{bail, ensure, Context, Result};
use qtest::opcode::{COMPARE, READ, WRITE};
use qtest::{
    behind_root_port, set_slot_power, status, Drive, Machine, NvmeDriver, Options, PciAddress,
    PciDevice, SLOT,
};
use serde_json::json;

const DEVICE: &str = "conzone-nvme,id=d,addr=4";

#[test]
fn it_is_an_nvme_controller_on_pci_express() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    assert_eq!(SLOT.config(&machine, 0x08)? >> 8, 0x01_08_02, "class code");
    // One of those for experiments (QEMU: docs/specs/pci-ids); Linux keeps quirks for QEMU's own controller under 1b36:0010.
    let id = SLOT.config(&machine, 0)?;
    assert_eq!((id & 0xffff, id >> 20), (0x1af4, 0x10f), "{id:08x}");
    assert_eq!(SLOT.config(&machine, 0x3c)? >> 8 & 0xff, 1, "INTA");

    let express = SLOT
        .capability(&machine, 0x10)?
        .context("no PCI Express capability")?;
    assert_eq!(
        SLOT.config(&machine, express)? >> 20 & 0xf,
        9,
        "integrated endpoint"
    );
    ensure!(
        SLOT.config(&machine, express + 4)? & 1 << 28 != 0,
        "no function level reset"
    );
    ensure!(
        SLOT.capability(&machine, 0x01)?.is_some(),
        "no power management capability"
    );
    let msix = SLOT
        .capability(&machine, 0x11)?
        .context("no MSI-X capability")?;
    assert_eq!(
        SLOT.config(&machine, msix)? >> 16 & 0x7ff,
        64,
        "65 vectors for 64 queues"
    );
    machine.quit()
}

#[test]
fn bar_0_is_64_bit_and_holds_all_doorbells() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    assert_eq!(SLOT.config(&machine, 0x10)? & 0xf, 0x4);
    SLOT.set_config(&machine, 0x10, u32::MAX)?;
    let bytes = !(SLOT.config(&machine, 0x10)? & !0xf) + 1;
    ensure!(bytes >= 0x1000 + 65 * 8, "BAR 0 has only {bytes:#x} bytes");
    machine.quit()
}

#[test]
fn vectors_follow_the_number_of_queues() -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,addr=4,num-queues=3")?;
    let mut pci = PciDevice::enable(&machine, SLOT)?;
    assert_eq!(pci.enable_msix()?, 4);
    machine.quit()
}

#[test]
fn several_devices_live_side_by_side() -> Result<()> {
    let options = Options::default()
        .device("conzone-nvme,id=a,addr=4,serial=a")
        .device("conzone-nvme,id=b,addr=5,serial=b,preset=ufs4-tlc")
        .device("conzone-nvme,id=c,addr=6,serial=c,preset=qlc-block");
    let machine = Machine::start(&options)?;
    for slot in 4..7 {
        let pci = PciDevice::enable(&machine, PciAddress::slot(slot))?;
        ensure!(
            pci.bars[0] != 0 && pci.bars[4] != 0,
            "slot {slot}: {:x?}",
            pci.bars
        );
    }
    assert_eq!(machine.qom_get("b", "preset")?, json!("ufs4-tlc"));
    assert_eq!(machine.qom_get("c", "serial")?, json!("c"));
    machine.quit()
}

/// An emulated drive may be far larger than the host: memory is committed as it is written.
#[test]
fn a_tebibyte_starts_at_once_and_costs_nothing_until_written() -> Result<()> {
    let resident = |device: &str| -> Result<u64> {
        let machine = Machine::with_device(device)?;
        let kib = machine.resident_kib()?;
        machine.quit()?;
        Ok(kib)
    };
    let small = resident("conzone-nvme,addr=4,zones=1")?;
    for preset in ["tlc-zoned", "ufs4-tlc", "qlc-zoned-page-slc"] {
        let zones = if preset == "ufs4-tlc" { 1024 } else { 8192 };
        let started = std::time::Instant::now();
        let machine = Machine::with_device(&format!(
            "conzone-nvme,addr=4,preset={preset},zones={zones}"
        ))?;
        // QEMU's own start included; a tenth of this on an idle machine.
        let took = started.elapsed();
        ensure!(took.as_secs() < 5, "{preset} takes {took:?} to start");
        let large = machine.resident_kib()?;
        ensure!(
            large < small + (64 << 10),
            "{preset}: {large} KiB resident, {small} KiB with one zone"
        );
        // It is that large, and its last zone can be written and read.
        let mut drive = Drive::start(&machine)?;
        let buffer = drive.nvme.buffer;
        machine.memset(buffer, 4096, 0x3c)?;
        let last = (1_u64 << 40 >> 9) / zones * (zones - 1);
        drive.io(WRITE, 2, last, 8)?.success()?;
        machine.memset(buffer, 4096, 0)?;
        drive.io(READ, 2, last, 8)?.success()?;
        assert_eq!(machine.memread(buffer, 4096)?, vec![0x3c; 4096]);
        machine.quit()?;
    }
    Ok(())
}

/// Writes 64 MiB; the memory that QEMU holds before and after, in KiB.
fn write_64_mib(drive: &mut Drive) -> Result<(u64, u64)> {
    let machine = drive.nvme.machine();
    machine.memset(drive.nvme.buffer, 256 << 10, 0x77)?;
    let empty = machine.resident_kib()?;
    drive.fill(64 << 20 >> 9)?;
    Ok((empty, machine.resident_kib()?))
}

#[test]
fn without_media_data_is_discarded_and_everything_else_is_the_same() -> Result<()> {
    let device = "conzone-nvme,addr=4,media=none,zones=8192,timing=off";
    let machine = Machine::with_device(device)?;
    let mut drive = Drive::start(&machine)?;
    let (empty, full) = write_64_mib(&mut drive)?;
    ensure!(full < empty + (4 << 10), "{empty} KiB, then {full} KiB");
    drive.io(READ, 2, 0, 512)?.success()?;
    assert!(machine.memread(drive.nvme.buffer, 256 << 10)? == vec![0; 256 << 10]);
    drive.io(COMPARE, 2, 0, 512)?.success()?;
    // Zones keep their rules.
    let wrong = drive.io(WRITE, 2, 0, 8)?;
    assert_eq!(wrong.code(), status::ZONE_INVALID_WRITE);
    machine.quit()
}

#[test]
fn it_can_be_plugged_and_unplugged_again_and_again() -> Result<()> {
    let options = Options::default().args([
        "-global",
        "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
        "-device",
        "pcie-root-port,id=rp,addr=3",
        "-object",
        "memory-backend-ram,id=m,size=8G,reserve=off",
    ]);
    let machine = Machine::start(&options)?;
    let port = PciAddress::slot(3);
    for round in 0..3 {
        let device = json!({
            "driver": "conzone-nvme", "bus": "rp", "id": "d", "memdev": "m", "zones": 4 + round,
        });
        machine.qmp("device_add", &device)?;
        assert_eq!(machine.qom_get("d", "zones")?, json!(4 + round));
        set_slot_power(&machine, port, true)?;
        // The port's bus gets a number, then the device is reachable.
        port.set_config(&machine, 0x18, 0x0001_0100)?;
        let address = PciAddress {
            bus: 1,
            device: 0,
            function: 0,
        };
        assert_eq!(address.config(&machine, 0x08)? >> 8, 0x01_08_02);
        machine.qmp("device_del", &json!({ "id": "d" }))?;
        set_slot_power(&machine, port, false)?;
        let event = machine.qmp_event("DEVICE_DELETED")?;
        assert_eq!(event["data"]["device"], "d");
        ensure!(
            machine.qom_get("d", "zones").is_err(),
            "the device is still there"
        );
    }
    // The backend is free for others.
    machine.qmp("object-del", &json!({ "id": "m" }))?;
    machine.quit()
}

#[test]
fn unplugging_gives_the_memory_back() -> Result<()> {
    let (machine, port, address) = behind_root_port("conzone-nvme,id=d,bus=rp,timing=off")?;
    let mut drive = Drive::of(NvmeDriver::start(&machine, address)?)?;
    let (empty, full) = write_64_mib(&mut drive)?;
    ensure!(full > empty + (60 << 10), "{empty} KiB, then {full} KiB");
    machine.qmp("device_del", &json!({ "id": "d" }))?;
    set_slot_power(&machine, port, false)?;
    machine.qmp_event("DEVICE_DELETED")?;
    // The last reference goes with the next RCU grace period.
    for _ in 0..100 {
        if machine.resident_kib()? < empty + (8 << 10) {
            return machine.quit();
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    bail!("{} KiB are still resident", machine.resident_kib()?)
}
