// SPDX-License-Identifier: GPL-2.0-or-later
//! What was deallocated reads as zeroes, whatever of it is written again and however that ends.

use anyhow::{ensure, Result};
use qtest::opcode::{DATASET, READ, WRITE};
use qtest::status::DATA_TRANSFER;
use qtest::{Drive, Machine, Sqe};

/// The conventional namespace.
const META: u32 = 1;
/// Blocks of the range under test: 64 pages of 4 KiB.
const BLOCKS: u16 = 512;
/// Far beyond the machine's memory.
const NOWHERE: u64 = 1 << 40;

/// What the range holds, as the test knows it.
struct Model<'m> {
    drive: Drive<'m>,
    expected: Vec<u8>,
}

impl Model<'_> {
    /// Writes `bytes / 512` blocks full of `fill`, from a buffer that begins `offset` bytes into a page.
    fn write(&mut self, lba: u16, blocks: u16, fill: u8, offset: u64) -> Result<()> {
        let nvme = &self.drive.nvme;
        let (buffer, bytes) = (nvme.buffer + offset, u64::from(blocks) * 512);
        nvme.machine().memset(buffer, bytes, fill)?;
        let command = nvme.transfer(WRITE, META, lba.into(), blocks, 512, buffer)?;
        self.drive.run(&command)?.success()?;
        let start = usize::from(lba) * 512;
        self.expected[start..start + usize::from(blocks) * 512].fill(fill);
        Ok(())
    }

    fn deallocate(&mut self) -> Result<()> {
        let nvme = &self.drive.nvme;
        let range = [
            &0_u32.to_le_bytes()[..],
            &u32::from(BLOCKS).to_le_bytes(),
            &[0; 8],
        ]
        .concat();
        nvme.machine().memwrite(nvme.buffer, &range)?;
        let command = Sqe::new(DATASET)
            .nsid(META)
            .prp(nvme.buffer, 0)
            .dword(11, 1 << 2);
        self.drive.run(&command)?.success()?;
        self.expected.fill(0);
        Ok(())
    }

    /// A write of two pages from `lba` on, the second of which is not there.
    fn write_fails(&mut self, lba: u16) -> Result<()> {
        let nvme = &self.drive.nvme;
        nvme.machine().memset(nvme.buffer, 4096, 0xee)?;
        let command = Sqe::io(WRITE, META, lba.into(), 16, nvme.buffer).prp(nvme.buffer, NOWHERE);
        ensure!(self.drive.run(&command)?.code() == DATA_TRANSFER);
        Ok(())
    }

    fn read(&mut self) -> Result<Vec<u8>> {
        self.drive.io(READ, META, 0, BLOCKS)?.success()?;
        let nvme = &self.drive.nvme;
        nvme.machine().memread(nvme.buffer, self.expected.len())
    }

    fn check(&mut self) -> Result<()> {
        let data = self.read()?;
        let wrong = data.iter().zip(&self.expected).position(|(a, b)| a != b);
        ensure!(wrong.is_none(), "byte {wrong:?} is wrong");
        Ok(())
    }
}

#[test]
fn deallocated_pages_are_zero_around_what_is_written() -> Result<()> {
    // Private memory keeps old bytes where they are; a memory backend gives them back.
    for memory in ["", ",memdev=m"] {
        let machine = Machine::start(
            &qtest::Options::default()
                .args(["-object", "memory-backend-ram,id=m,size=8G"])
                .device(&format!("conzone-nvme,addr=4,timing=off{memory}")),
        )?;
        let mut model = Model {
            drive: Drive::start(&machine)?,
            expected: vec![0; usize::from(BLOCKS) * 512],
        };
        model.write(0, BLOCKS, 0x11, 0)?;
        model.deallocate()?;
        model.check()?;
        // One block in a page, a whole page, a page and the ends of its neighbours, pages of a guest that keeps
        // them elsewhere than at page boundaries.
        model.write(3, 1, 0x22, 0)?;
        model.write(16, 8, 0x33, 0)?;
        model.write(31, 10, 0x44, 512)?;
        model.write(64, 64, 0x55, 1024)?;
        model.check()?;
        model.write(0, BLOCKS, 0x66, 0)?;
        model.check()?;
        model.deallocate()?;
        model.write_fails(128)?;
        let data = model.read()?;
        ensure!(
            data.iter().all(|byte| [0, 0xee].contains(byte)),
            "a failed write brings deallocated data back"
        );
        machine.quit()?;
    }
    Ok(())
}
