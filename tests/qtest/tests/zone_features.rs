// SPDX-License-Identifier: GPL-2.0-or-later
//! Zone features that are properties: random write areas, descriptor extensions, reads across
//! zones. On the consumer drive and on the enterprise one.

use anyhow::{Context, Result};
use qtest::action::{ALLOCATE, FINISH, FLUSH_AREA, OPEN, RESET, SET_EXTENSION};
use qtest::opcode::{APPEND, READ, WRITE};
use qtest::status::{
    INVALID_FIELD, NO_AREA, ZONE_BOUNDARY, ZONE_INVALID_WRITE, ZONE_OPERATION, ZONE_TRANSITION,
};
use qtest::{state, Cqe, Drive, Machine, ZONE};

/// A command on a page of the zoned namespace, with `fill` in the buffer.
fn io(drive: &mut Drive, opcode: u8, lba: u64, fill: u8) -> Result<Cqe> {
    drive.nvme.machine().memset(drive.nvme.buffer, 4096, fill)?;
    drive.io(opcode, 2, lba, 8)
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
                io(drive, WRITE, lba, fill)?.success()?;
            }
            assert_eq!(drive.zone(0, 0)?.pointer, 0);
            assert_eq!(drive.manage(14, FLUSH_AREA)?.code(), INVALID_FIELD);
            drive.manage(15, FLUSH_AREA)?.success()?;
            assert_eq!(drive.manage(15, FLUSH_AREA)?.code(), ZONE_OPERATION);
            assert_eq!(
                io(drive, WRITE, 0, 4)?.code(),
                ZONE_INVALID_WRITE,
                "committed"
            );
            assert_eq!(
                io(drive, WRITE, 16 + 256 - 7, 4)?.code(),
                ZONE_INVALID_WRITE,
                "too far"
            );
            io(drive, WRITE, 16 + 256 - 8, 5)?.success()?;
            let zone = drive.zone(0, 0)?;
            assert_eq!(zone.state, state::EXPLICITLY_OPEN);
            assert_eq!((zone.attributes, zone.pointer), (1 << 3, 16 + 128));
            assert_eq!(io(drive, APPEND, 0, 0)?.code(), ZONE_OPERATION);
            for (lba, fill) in [(0, 2), (120, 3), (264, 5), (8, 0)] {
                io(drive, READ, lba, 0xff)?.success()?;
                let data = drive.nvme.machine().memread(drive.nvme.buffer, 4096)?;
                assert_eq!(data, vec![fill; 4096], "block {lba}");
            }
            drive.manage(0, FINISH)?.success()?;
            drive.manage(ZONE, OPEN | ALLOCATE)?.success()?;
            drive.manage(0, RESET)?.success()?;
            assert_eq!(drive.zone(0, 0)?.attributes, 0);
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
        assert_eq!(again.code(), ZONE_TRANSITION);
        let zone = drive.zone(ZONE, 64)?;
        assert_eq!(zone.state, state::CLOSED);
        assert_eq!((zone.attributes, zone.pointer), (1 << 7, ZONE));
        assert_eq!(zone.extension, [0x5a; 64]);
        drive.manage(ZONE, RESET)?.success()?;
        let zone = drive.zone(ZONE, 64)?;
        assert_eq!((zone.state, zone.attributes), (state::EMPTY, 0));
        assert_eq!(zone.extension, [0; 64]);
        Ok(())
    })
}

#[test]
fn reads_may_cross_zones() -> Result<()> {
    on_both("read-across-zones=on", |drive| {
        assert_eq!(drive.nvme.identify(0x05, 2, 2)?[2], 1, "OZCS");
        io(drive, WRITE, ZONE, 7)?.success()?;
        io(drive, READ, ZONE - 4, 0xff)?.success()?;
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
        assert_eq!(drive.manage(7, FLUSH_AREA)?.code(), INVALID_FIELD);
        assert_eq!(io(drive, READ, ZONE - 4, 0)?.code(), ZONE_BOUNDARY);
        Ok(())
    })
}
