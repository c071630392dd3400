// SPDX-License-Identifier: GPL-2.0-or-later
//! Host Memory Buffer of the device: what it writes to real guest memory and reads back, to the nanosecond, and what a guest does
//! that writes there itself.

use anyhow::{ensure, Result};
use qtest::opcode::READ;
use qtest::{refusal, Drive, Machine, Options, Sqe};
use serde_json::json;

/// Every page has an entry, one of which the drive has room for.
const DEVICE: &str =
    "conzone-nvme,id=d,addr=4,zones=4,meta-size=0,l2p-hybrid=off,l2p-cache-size=4,l2p-slots=1,hmb-size=64K";
const PAGES: u64 = 16;
/// What a read of the guest's memory takes, and a map read, ns.
const LOOK: u64 = 1_000 + 21;
const MAP_READ: u64 = 20_000 + 2_442;

/// How long a read of a page takes, ns, and the first byte of it.
fn read(drive: &mut Drive, page: u64) -> Result<(u64, u8)> {
    let machine = drive.nvme.machine();
    let command = Sqe::io(READ, 1, page * 8, 8, drive.nvme.buffer);
    drive.nvme.submit(&mut drive.queue, &command)?;
    for ns in (0..1_000_000_u64).step_by(100) {
        if let Some(done) = drive.nvme.poll(&mut drive.queue)? {
            done.success()?;
            return Ok((ns, machine.memread(drive.nvme.buffer, 1)?[0]));
        }
        machine.clock_step(100)?;
    }
    anyhow::bail!("no completion")
}

/// Memory of the guest's for the drive, and the command that lends it.
fn memory(machine: &Machine) -> Result<(u64, Sqe)> {
    let at = machine.alloc(PAGES * 4096, 4096)?;
    let list = machine.alloc(4096, 4096)?;
    machine.memset(at, PAGES * 4096, 0)?;
    let parts = [(at, 3_u64), (at + 3 * 4096, PAGES - 3)];
    let words = parts.iter().flat_map(|(address, pages)| [*address, *pages]);
    machine.memwrite(list, &words.flat_map(u64::to_le_bytes).collect::<Vec<_>>())?;
    let set = Sqe::new(0x09).dword(10, 0x0d).dword(12, PAGES as u32);
    Ok((at, set.pair(13, list).dword(15, 2)))
}

fn counted(machine: &Machine) -> Result<[u64; 4]> {
    let stats = machine.stats("d")?;
    let of = |name: &str| stats[name].as_u64().unwrap_or(u64::MAX);
    Ok(["hmb_hits", "hmb_misses", "hmb_corrupt", "hmb_fills"].map(of))
}

#[test]
fn the_guests_memory_has_what_the_drive_looks_for() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let mut drive = Drive::start(&machine)?;
    let page = drive.nvme.identify(1, 0, 0)?;
    assert_eq!(page[272..276], (PAGES as u32).to_le_bytes(), "HMPRE");
    for lba in (0..4096).step_by(512) {
        drive.write_byte(1, lba, 512, (lba / 512) as u8 + 1, false)?;
    }
    machine.clock_step(100_000_000)?;
    let near = |took: u64, expected: u64| took.abs_diff(expected) <= 100;
    let (without, byte) = read(&mut drive, 1)?;
    assert_eq!(byte, 1);
    let (at, set) = memory(&machine)?;
    drive.nvme.admin(&set.dword(11, 1))?.success()?;
    let bytes = |machine: &Machine| machine.memread(at, PAGES as usize * 4096);
    ensure!(bytes(&machine)?.iter().all(|byte| *byte == 0));
    // The first read misses, and leaves the map page there; the next one finds it.
    let (miss, _) = read(&mut drive, 100)?;
    ensure!(near(miss, without), "{miss} {without}");
    let slots = bytes(&machine)?;
    let slots: Vec<&[u8]> = slots.chunks(4096).collect();
    let filled: Vec<usize> = (0..slots.len())
        .filter(|slot| slots[*slot].iter().any(|b| *b != 0))
        .collect();
    assert_eq!(filled.len(), 1, "{filled:?}");
    ensure!(slots[filled[0]]
        .chunks(64)
        .all(|piece| piece.iter().any(|b| *b != 0)));
    let (hit, byte) = read(&mut drive, 200)?;
    assert_eq!(byte, 4);
    ensure!(near(hit + MAP_READ, miss + LOOK), "{hit} {miss}");
    assert_eq!(counted(&machine)?, [1, 1, 0, 1]);
    // A guest that writes there pays for it.
    let slot = at + filled[0] as u64 * 4096;
    machine.memwrite(slot + 64 * 18 + 63, &[0xee, 0xee])?;
    let (corrupt, byte) = read(&mut drive, 300)?;
    assert_eq!(byte, 5);
    ensure!(near(corrupt, miss + LOOK), "{corrupt} {miss}");
    assert_eq!(counted(&machine)?, [1, 2, 1, 2]);
    assert_eq!(
        machine.memread(slot + 64 * 18, 8)?,
        slots[filled[0]][64 * 18..][..8].to_vec()
    );
    let (again, _) = read(&mut drive, 300)?;
    ensure!(again < hit, "its own entry: {again}");
    // What is taken back is left alone.
    drive
        .nvme
        .admin(&Sqe::new(0x09).dword(10, 0x0d))?
        .success()?;
    machine.memset(at, PAGES * 4096, 0x77)?;
    let (off, byte) = read(&mut drive, 400)?;
    assert_eq!(byte, 7);
    ensure!(near(off, without), "{off} {without}");
    ensure!(bytes(&machine)?.iter().all(|byte| *byte == 0x77));
    // The same memory comes back, and is not what it was said to be.
    drive.nvme.admin(&set.dword(11, 3))?.success()?;
    let (lied, byte) = read(&mut drive, 100)?;
    assert_eq!(byte, 2);
    ensure!(near(lied, miss + LOOK), "{lied} {miss}");
    // Nobody lends after a reset of the machine.
    machine.qmp("system_reset", &json!({}))?;
    machine.clock_step(1_000_000)?;
    let mut drive = Drive::start(&machine)?;
    machine.memset(at, PAGES * 4096, 0x77)?;
    let (reset, _) = read(&mut drive, 450)?;
    ensure!(near(reset, without), "{reset} {without}");
    ensure!(bytes(&machine)?.iter().all(|byte| *byte == 0x77));
    machine.quit()
}

#[test]
fn a_buffer_in_no_memory_or_in_its_own_registers_does_no_harm() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let mut drive = Drive::start(&machine)?;
    drive.write_byte(1, 0, 512, 9, false)?;
    machine.clock_step(100_000_000)?;
    let own = drive.nvme.reg_address(0) & !0xfff;
    let list = machine.alloc(4096, 4096)?;
    for address in [own, 1 << 46, 0_u64.wrapping_sub(2 * 4096)] {
        machine.memwrite(list, &[address, 1].map(u64::to_le_bytes).concat())?;
        let set = Sqe::new(0x09).dword(10, 0x0d).dword(11, 1).dword(12, 1);
        drive
            .nvme
            .admin(&set.pair(13, list).dword(15, 1))?
            .success()?;
        for page in [0, 40, 0, 40] {
            assert_eq!(read(&mut drive, page)?.1, 9);
        }
        drive
            .nvme
            .admin(&Sqe::new(0x09).dword(10, 0x0d))?
            .success()?;
    }
    let [hits, ..] = counted(&machine)?;
    assert_eq!(hits, 0);
    machine.quit()
}

#[test]
fn drives_without_a_map_in_flash_ask_for_none() -> Result<()> {
    for (device, words) in [
        ("preset=conv-970pro,hmb-size=16M", "hmb-size"),
        ("hmb-size=16M,hmb-min=32M", "must not exceed hmb-size"),
        ("hmb-size=2G", "hmb-size"),
    ] {
        let options = Options::default().device(&format!("conzone-nvme,{device}"));
        let (status, said) = refusal(&options)?;
        ensure!(status.code() == Some(1) && said.contains(words), "{said}");
    }
    Ok(())
}
