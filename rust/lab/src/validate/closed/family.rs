// SPDX-License-Identifier: GPL-2.0-or-later
//! Closed forms of the enterprise, the conventional and the plain drive.
//!
//! Idle reads and writes, one full stripe, and the first write that has to wait for the buffer, each
//! computed from the model's figures by hand. Times in ns, sizes in bytes.

use nand::Chips;
use trace::Op;
use units::{Bytes, PAGE_BYTES, SECTOR_BYTES};

use super::{transfer, Drive};
use crate::drive::Base;

/// What was measured, the model's figure, the pencil's.
pub type Form = (&'static str, u64, u64);

/// Reads and writes of a controller with chips behind it.
struct Figures<'a> {
    chips: &'a Chips,
    link_mbps: u64,
    costs: ftl::Costs,
}

impl Figures<'_> {
    fn link(&self, bytes: u64) -> u64 {
        transfer(bytes, self.link_mbps)
    }

    fn channel(&self, bytes: u64) -> u64 {
        let overhead = self.chips.channel_overhead.get() * bytes.div_ceil(PAGE_BYTES);
        transfer(bytes, self.chips.channel_mbps) + overhead + self.chips.finer.channel_command.get()
    }

    /// Access to the write buffer.
    fn access(&self, bytes: u64) -> u64 {
        let costs = &self.costs;
        costs.buffer_base.get() + costs.buffer_page.get() * bytes.div_ceil(PAGE_BYTES)
    }

    /// A read of 4 KiB of flash page type `kind`.
    fn read_4k(&self, kind: usize) -> u64 {
        let sense = self.chips.read_4k.get(kind).map_or(0, |t| t.get());
        self.costs.read_4k.get() + sense + self.channel(PAGE_BYTES) + self.link(PAGE_BYTES)
    }

    /// A read of the first flash page of a block.
    fn read_page(&self) -> u64 {
        let bytes = self.chips.flash_page.get();
        let [sense, ..] = self.chips.read_page;
        self.costs.read.get() + sense.get() + self.channel(bytes) + self.link(bytes)
    }

    /// One one-shot page from the controller into cells.
    fn program(&self) -> u64 {
        let program = self.chips.program.get();
        let finer = &self.chips.finer;
        let windows = match finer.slice.get() {
            0 => 0,
            slice => (program.div_ceil(slice) - 1) * finer.window.get(),
        };
        self.channel(self.chips.one_shot.get()) + program + windows
    }
}

fn sectors(bytes: u64) -> u32 {
    u32::try_from(bytes / SECTOR_BYTES).unwrap_or(u32::MAX)
}

/// The enterprise zoned drive.
pub fn zns(base: &Base, config: &zns::Config) -> anyhow::Result<Vec<Form>> {
    let figures = Figures {
        chips: &config.chips,
        link_mbps: config.link_mbps,
        costs: config.costs,
    };
    let unit = config.chips.one_shot.get();
    let least = config.write_unit.get().max(PAGE_BYTES);
    let stripe = unit * u64::from(config.dies_per_zone * config.chips.planes_per_lun);
    let (link, access) = (figures.link(unit), figures.access(unit));
    // A core's time before a command goes on; the first write of a zone opens it.
    let cores = &config.cores;
    let core = |service: ftl::Service| match cores.cores {
        0 => 0,
        _ => service.command.get(),
    };
    let core_read = core(cores.of_read(1));
    let core_write = core(cores.of_write(0, unit / SECTOR_BYTES));
    let opens = if cores.cores == 0 {
        0
    } else {
        cores.open.get()
    };

    let mut drive = Drive::new(base, &[])?;
    let write = drive.run(Op::Write, 0, sectors(least));
    let mut forms = vec![(
        "smallest write into a free buffer",
        write,
        core(cores.of_write(0, least / SECTOR_BYTES))
            + opens
            + figures.access(least)
            + figures.link(least),
    )];
    let zone = config.zone_size.get() / SECTOR_BYTES;
    drive.run(Op::Write, zone, sectors(unit));
    drive.rest();
    let read = drive.run(Op::Read, zone, sectors(PAGE_BYTES));
    forms.push(("4 KiB read", read, core_read + figures.read_4k(0)));
    let read = drive.run(Op::Read, zone, sectors(config.chips.flash_page.get()));
    forms.push((
        "read of a flash page",
        read,
        core_read + figures.read_page(),
    ));
    let beyond = drive.run(Op::Read, 2 * zone, sectors(PAGE_BYTES));
    let firmware = core_read + config.costs.read_4k.get() + figures.link(PAGE_BYTES);
    forms.push(("4 KiB read of an unwritten page", beyond, firmware));

    // A stripe in commands of a one-shot page each, one after the other, the last of them durable.
    // When the buffer is full, each waits for the program of the one that many before it.
    let mut drive = Drive::new(base, &[])?;
    let last = stripe / unit - 1;
    let at = |n: u64| n * unit / SECTOR_BYTES;
    let before: u64 = (0..last)
        .map(|n| drive.run(Op::Write, at(n), sectors(unit)))
        .sum();
    let done = before + drive.durable(at(last), sectors(unit));
    let (each, program) = (core_write + access + link, figures.program());
    let held = config.buffer.get() / unit;
    let arrived = (last % held + 1) * each + last / held * (program + each);
    forms.push(("one full stripe, durable", done, opens + arrived + program));

    // Writes at once: room for all but the last, which waits for the first program's end.
    let mut drive = Drive::new(base, &[])?;
    drive.open_loop();
    for n in 0..held {
        drive.run(Op::Write, at(n), sectors(unit));
    }
    let next = match config.buffer_scope {
        // The zone's own buffer; a global one holds whole zones of `zns-proto`.
        zns::BufferScope::PerZone => at(held),
        zns::BufferScope::Global => zone,
    };
    let waited = drive.run(Op::Write, next, sectors(unit));
    let first = opens + core_write + access;
    let freed = first + link + figures.program();
    let expected = (freed + access).max(first + held * link) + link;
    forms.push(("write that waits for a full buffer", waited, expected));
    Ok(forms)
}

/// The conventional drive.
pub fn conv(base: &Base, config: &conv::Config) -> anyhow::Result<Vec<Form>> {
    let figures = Figures {
        chips: &config.chips,
        link_mbps: config.link_mbps,
        costs: config.costs,
    };
    let partitions = u64::from(config.paged.partitions);
    let unit = config.chips.one_shot.get();
    let stripe = unit * u64::from(config.chips.planes());
    // Pages go round the partitions: the first one-shot page is complete when every other partition
    // lacks its last page, which then come one by one.
    let first = figures.link((unit / PAGE_BYTES - 1) * partitions * PAGE_BYTES + PAGE_BYTES);
    let round = first + (partitions - 1) * figures.link(PAGE_BYTES);

    let mut drive = Drive::new(base, &[])?;
    let write = drive.run(Op::Write, 0, sectors(PAGE_BYTES));
    let idle = figures.access(PAGE_BYTES) + figures.link(PAGE_BYTES);
    let mut forms = vec![("4 KiB write into a free buffer", write, idle)];

    let mut drive = Drive::new(base, &[])?;
    let rounds = stripe / unit / partitions;
    let done = drive.durable(0, sectors(stripe));
    let arrived = figures.access(stripe) + rounds * round;
    forms.push((
        "one full stripe, durable",
        done,
        arrived + figures.program(),
    ));
    // The second flash page of every block follows.
    drive.run(Op::Write, stripe / SECTOR_BYTES, sectors(stripe));
    drive.rest();
    let lsb = drive.run(Op::Read, 0, sectors(PAGE_BYTES));
    forms.push(("4 KiB read, LSB page", lsb, figures.read_4k(0)));
    let msb = drive.run(Op::Read, stripe / SECTOR_BYTES, sectors(PAGE_BYTES));
    forms.push(("4 KiB read, MSB page", msb, figures.read_4k(1)));

    // Four writes at once fill the buffer; a page more waits for the first program's end.
    let mut drive = Drive::new(base, &[])?;
    drive.open_loop();
    let quarter = config.paged.buffer.get() / 4;
    for n in 0..4 {
        let at = n * quarter / SECTOR_BYTES;
        drive.run(Op::Write, at, sectors(quarter));
    }
    let at = config.paged.buffer.get() / SECTOR_BYTES;
    let waited = drive.run(Op::Write, at, sectors(PAGE_BYTES));
    let access = figures.access(quarter);
    let freed = access + first + figures.program();
    let rounds = config.paged.buffer.get() / (unit * partitions);
    let expected = (freed + figures.access(PAGE_BYTES)).max(access + rounds * round)
        + figures.link(PAGE_BYTES);
    forms.push(("write that waits for a full buffer", waited, expected));
    Ok(forms)
}

/// The plain drive.
pub fn simple(base: &Base, config: &simple::Config) -> anyhow::Result<Vec<Form>> {
    let time = |times: &simple::Times, bytes: Bytes| {
        let pieces = bytes.get().div_ceil(config.io_unit.get());
        times.delay.get() + pieces * times.time.get()
    };
    let page = Bytes::new(PAGE_BYTES);
    let round = Bytes::new(config.io_unit.get() * u64::from(config.io_units));
    let mut drive = Drive::new(base, &[])?;
    let write = drive.run(Op::Write, 0, sectors(PAGE_BYTES));
    drive.rest();
    let read = drive.run(Op::Read, 0, sectors(PAGE_BYTES));
    drive.rest();
    let all = drive.run(Op::Write, 0, sectors(round.get()));
    Ok(vec![
        ("4 KiB write", write, time(&config.write, page)),
        ("4 KiB read", read, time(&config.read, page)),
        ("one full stripe", all, time(&config.write, round)),
    ])
}

#[cfg(test)]
mod tests {
    use crate::drive::Base;
    use crate::validate::closed::forms;

    /// The published idle read latencies, and every form exact.
    #[test]
    fn the_family_holds_its_published_figures() {
        for (preset, what, published) in [
            ("zns-proto", "4 KiB read", 64_152),
            ("zns-large", "4 KiB read", 64_051),
            ("zns-zn540", "4 KiB read", 67_631),
            ("conv-970pro", "4 KiB read, LSB page", 57_306),
            ("conv-970pro", "4 KiB read, MSB page", 69_306),
            ("nvm-optane", "4 KiB read", 2),
        ] {
            let forms = forms(&Base::preset(preset)).unwrap();
            let form = forms.iter().find(|form| form.what == what).unwrap();
            assert_eq!(form.measured, published, "{preset}");
            for form in &forms {
                assert_eq!(form.measured, form.expected, "{form:?}");
            }
        }
    }
}
