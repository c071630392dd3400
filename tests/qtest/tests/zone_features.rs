// SPDX-License-Identifier: GPL-2.0-or-later
//! Zone features that are properties: random write areas, descriptor extensions, reads across
//! zones. On the consumer drive and on the enterprise one.

use anyhow::{Context, Result};
use qtest::{Cqe, Machine, NvmeDriver, PciAddress, Queue, Sqe};

const SLOT: PciAddress = PciAddress::slot(4);
const WRITE: u8 = 0x01;
const READ: u8 = 0x02;
const MANAGE: u8 = 0x79;
const REPORT: u8 = 0x7a;
const APPEND: u8 = 0x7d;

/// Zone Send Actions.
const FINISH: u32 = 2;
const OPEN: u32 = 3;
const RESET: u32 = 4;
const SET_EXTENSION: u32 = 0x10;
const FLUSH: u32 = 0x11;
/// ZSASO of Open: allocate a random write area.
const ALLOCATE: u32 = 1 << 9;

const INVALID_FIELD: u16 = 0x002;
const INVALID_OPERATION: u16 = 0x1b6;
const NO_AREA: u16 = 0x1b7;
const BOUNDARY: u16 = 0x1b8;
const INVALID_WRITE: u16 = 0x1bc;
const INVALID_TRANSITION: u16 = 0x1bf;

/// Logical blocks from zone to zone.
const ZONE: u64 = 128 << 20 >> 9;

struct Drive<'m> {
    nvme: NvmeDriver<'m>,
    queue: Queue,
}

impl<'m> Drive<'m> {
    fn start(machine: &'m Machine) -> Result<Self> {
        let mut nvme = NvmeDriver::start(machine, SLOT)?;
        let queue = nvme.create_queue(1, 32, 0)?;
        Ok(Self { nvme, queue })
    }

    /// A page of `fill` for writes.
    fn io(&mut self, opcode: u8, lba: u64, fill: u8) -> Result<Cqe> {
        let buffer = self.nvme.buffer;
        self.nvme.machine().memset(buffer, 4096, fill)?;
        let command = Sqe::io(opcode, 2, lba, 8, buffer);
        self.nvme.run(&mut self.queue, &command)
    }

    fn manage(&mut self, lba: u64, action: u32) -> Result<Cqe> {
        let buffer = self.nvme.buffer;
        let command = Sqe::new(MANAGE)
            .nsid(2)
            .prp(buffer, 0)
            .pair(10, lba)
            .dword(13, action);
        self.nvme.run(&mut self.queue, &command)
    }

    /// State, attributes and write pointer of a zone, and its extension of `extension` bytes.
    fn zone(&mut self, zone: u64, extension: usize) -> Result<(u8, u8, u64, Vec<u8>)> {
        let buffer = self.nvme.buffer + (512 << 10);
        let bytes = 128 + extension;
        let command = Sqe::new(REPORT)
            .nsid(2)
            .prp(buffer, 0)
            .pair(10, zone * ZONE)
            .dword(12, bytes as u32 / 4 - 1)
            .dword(13, 1 << 16 | u32::from(extension > 0));
        self.nvme.run(&mut self.queue, &command)?.success()?;
        let report = self.nvme.machine().memread(buffer, bytes)?;
        let pointer = report[64 + 24..64 + 32].try_into()?;
        let pointer = u64::from_le_bytes(pointer) - zone * ZONE;
        Ok((report[65] >> 4, report[66], pointer, report[128..].to_vec()))
    }
}

/// The test on each zoned model, with these properties.
fn on_both(properties: &str, test: impl Fn(&mut Drive) -> Result<()>) -> Result<()> {
    let shapes = [
        "preset=tlc-zoned,meta-size=4M",
        "preset=zns-zn540,meta-size=4M,zone-capacity=96M,zone-size=128M",
    ];
    for shape in shapes {
        let device = format!("conzone-nvme,addr=4,{shape},{properties}");
        let machine = Machine::with_device(&device)?;
        test(&mut Drive::start(&machine)?).with_context(|| device.clone())?;
        machine.quit()?;
    }
    Ok(())
}

#[test]
fn random_write_areas_work_as_identified() -> Result<()> {
    on_both(
        "zrwa-size=64K,zrwa-flush-granularity=8K,zrwa-zones=1",
        |drive| {
            let page = drive.nvme.identify(0x05, 2, 2)?;
            assert_eq!(page[2], 2, "OZCS");
            assert_eq!(page[44..53], [1, 0, 0, 0, 16, 0, 128, 0, 1]);
            drive.manage(0, OPEN | ALLOCATE)?.success()?;
            assert_eq!(drive.manage(ZONE, OPEN | ALLOCATE)?.code(), NO_AREA);
            for (lba, fill) in [(120, 1), (0, 2), (120, 3)] {
                drive.io(WRITE, lba, fill)?.success()?;
            }
            assert_eq!(drive.zone(0, 0)?.2, 0);
            assert_eq!(drive.manage(14, FLUSH)?.code(), INVALID_FIELD);
            drive.manage(15, FLUSH)?.success()?;
            assert_eq!(drive.manage(15, FLUSH)?.code(), INVALID_OPERATION);
            assert_eq!(drive.io(WRITE, 0, 4)?.code(), INVALID_WRITE, "committed");
            assert_eq!(
                drive.io(WRITE, 16 + 256 - 7, 4)?.code(),
                INVALID_WRITE,
                "too far"
            );
            drive.io(WRITE, 16 + 256 - 8, 5)?.success()?;
            let (state, attributes, pointer, _) = drive.zone(0, 0)?;
            assert_eq!((state, attributes, pointer), (3, 1 << 3, 16 + 128));
            assert_eq!(drive.io(APPEND, 0, 0)?.code(), INVALID_OPERATION);
            for (lba, fill) in [(0, 2), (120, 3), (264, 5), (8, 0)] {
                drive.io(READ, lba, 0xff)?.success()?;
                let data = drive.nvme.machine().memread(drive.nvme.buffer, 4096)?;
                assert_eq!(data, vec![fill; 4096], "block {lba}");
            }
            drive.manage(0, FINISH)?.success()?;
            drive.manage(ZONE, OPEN | ALLOCATE)?.success()?;
            drive.manage(0, RESET)?.success()?;
            assert_eq!(drive.zone(0, 0)?.1, 0);
            Ok(())
        },
    )
}

#[test]
fn descriptor_extensions_are_kept_until_reset() -> Result<()> {
    on_both("zone-descriptor-extension-size=64", |drive| {
        let page = drive.nvme.identify(0x05, 2, 2)?;
        assert_eq!(page[2816 + 8], 1, "ZDES in units of 64 bytes");
        drive.nvme.machine().memset(drive.nvme.buffer, 64, 0x5a)?;
        drive.manage(ZONE, SET_EXTENSION)?.success()?;
        let again = drive.manage(ZONE, SET_EXTENSION)?;
        assert_eq!(again.code(), INVALID_TRANSITION);
        let (state, attributes, pointer, extension) = drive.zone(1, 64)?;
        assert_eq!((state, attributes, pointer), (4, 1 << 7, 0));
        assert_eq!(extension, vec![0x5a; 64]);
        drive.manage(ZONE, RESET)?.success()?;
        let (state, attributes, _, extension) = drive.zone(1, 64)?;
        assert_eq!((state, attributes, extension), (1, 0, vec![0; 64]));
        Ok(())
    })
}

#[test]
fn reads_may_cross_zones() -> Result<()> {
    on_both("read-across-zones=on", |drive| {
        assert_eq!(drive.nvme.identify(0x05, 2, 2)?[2], 1, "OZCS");
        drive.io(WRITE, ZONE, 7)?.success()?;
        drive.io(READ, ZONE - 4, 0xff)?.success()?;
        let data = drive.nvme.machine().memread(drive.nvme.buffer, 4096)?;
        assert_eq!(data, [vec![0; 2048], vec![7; 2048]].concat());
        Ok(())
    })
}

#[test]
fn without_the_properties_all_of_it_is_refused() -> Result<()> {
    on_both("timing=off", |drive| {
        let page = drive.nvme.identify(0x05, 2, 2)?;
        assert_eq!((page[2], &page[44..53], page[2824]), (0, &[0; 9][..], 0));
        assert_eq!(drive.manage(0, OPEN | ALLOCATE)?.code(), INVALID_FIELD);
        assert_eq!(drive.manage(0, SET_EXTENSION)?.code(), INVALID_FIELD);
        assert_eq!(drive.manage(7, FLUSH)?.code(), INVALID_FIELD);
        assert_eq!(drive.io(READ, ZONE - 4, 0)?.code(), BOUNDARY);
        Ok(())
    })
}
