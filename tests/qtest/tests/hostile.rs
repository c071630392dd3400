// SPDX-License-Identifier: GPL-2.0-or-later
//! Broken and hostile guests: QEMU stays alive, and the drive works again after a reset.

use anyhow::{ensure, Context, Result};
use qtest::opcode::{READ, WRITE};
use qtest::status::DATA_TRANSFER;
use qtest::{
    behind_root_port, register, Drive, Machine, NvmeDriver, Options, PciAddress, PciDevice, Queue,
    Sqe, CSTS_FATAL, CSTS_READY, SLOT,
};
use serde_json::json;

const DEVICE: &str = "conzone-nvme,id=d,addr=4,shadow-doorbells=on";
/// Where the ECAM window is put on q35, and its enable bit.
const ECAM: u64 = 0xb000_0000;

/// The drive still does its work, from enabling the controller on.
fn still_works(nvme: &mut NvmeDriver) -> Result<()> {
    nvme.enable_controller().context("after all that")?;
    let mut queue = nvme.create_queue(1, 8, 0)?;
    nvme.machine().clock_step(10_000_000)?;
    let stray = nvme.poll(&mut queue)?;
    ensure!(stray.is_none(), "from before the reset: {stray:?}");
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

#[test]
fn data_aimed_at_its_own_registers_is_a_transfer_error() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let Drive {
        mut nvme,
        mut queue,
    } = Drive::start(&machine)?;
    for target in [
        nvme.reg_address(0),
        nvme.reg_address(register::DOORBELLS),
        nvme.pci.bars[4],
    ] {
        for opcode in [READ, WRITE] {
            let command = Sqe::io(opcode, 1, 0, 8, target);
            let cqe = nvme.run(&mut queue, &command)?;
            assert_eq!(cqe.code(), DATA_TRANSFER, "opcode {opcode}, {target:#x}");
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
    queue.cq = doorbells;
    nvme.announce(&queue, 1 << 16 | 3)?;
    nvme.submit(&mut queue, &Sqe::io(READ, 2, 0, 8, nvme.buffer))?;
    machine.clock_step(10_000_000)?;
    // The completion had nowhere to go.
    nvme.wait_status(CSTS_FATAL, CSTS_FATAL)?;
    still_works(&mut nvme)?;
    // Commands fetched from the registers.
    let mut queue = Queue::alloc(&machine, 2, 8)?;
    queue.sq = nvme.reg_address(0);
    nvme.announce(&queue, 1 << 16 | 3)?;
    nvme.set_reg(register::DOORBELLS + 16, 4, 3)?;
    machine.clock_step(1_000_000)?;
    nvme.wait_status(CSTS_FATAL, CSTS_FATAL)?;
    still_works(&mut nvme)?;
    machine.quit()
}

#[test]
fn data_aimed_at_nowhere_is_a_transfer_error() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let Drive {
        mut nvme,
        mut queue,
    } = Drive::start(&machine)?;
    for target in [1 << 40, 0xffff_ffff_ffff_f000, 0x8000_0000] {
        let command = Sqe::io(READ, 1, 0, 8, target);
        let cqe = nvme.run(&mut queue, &command)?;
        assert_eq!(cqe.code(), DATA_TRANSFER, "{target:#x}");
    }
    still_works(&mut nvme)?;
    machine.quit()
}

#[test]
fn without_bus_mastering_nothing_moves() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let Drive {
        mut nvme,
        mut queue,
    } = Drive::start(&machine)?;
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
    let Drive {
        mut nvme,
        mut queue,
    } = Drive::start(&machine)?;
    for lba in 0..20 {
        nvme.place(&mut queue, &Sqe::io(READ, 2, lba * 8, 8, nvme.buffer))?;
    }
    nvme.ring(&queue)?;
    // The new queue 1 is there before they are due.
    still_works(&mut nvme)?;

    let mut queue = nvme.create_queue(2, 32, 0)?;
    nvme.submit(&mut queue, &Sqe::io(READ, 2, 0, 8, nvme.buffer))?;
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
    let Drive { nvme, mut queue } = Drive::start(&machine)?;
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
    let (machine, port, address) = behind_root_port("conzone-nvme,id=d,bus=rp")?;
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

/// One drive's data rings the other's doorbells, whose data goes into the first one's registers.
#[test]
fn drives_aimed_at_each_other_do_no_harm() -> Result<()> {
    let options = Options::default()
        .device("conzone-nvme,addr=4,serial=a")
        .device("conzone-nvme,addr=5,serial=b");
    let machine = Machine::start(&options)?;
    let mut a = NvmeDriver::start(&machine, PciAddress::slot(4))?;
    let mut a_queue = a.create_queue(1, 8, 0)?;
    let mut b = NvmeDriver::start(&machine, PciAddress::slot(5))?;
    let mut b_queue = b.create_queue(1, 8, 0)?;
    // A block whose first dword is the new tail of queue 1.
    let mut block = vec![0; 512];
    block[0] = 1;
    for (nvme, queue) in [(&a, &mut a_queue), (&b, &mut b_queue)] {
        machine.memwrite(nvme.buffer, &block)?;
        nvme.run(queue, &Sqe::io(WRITE, 1, 0, 1, nvme.buffer))?
            .success()?;
    }
    let doorbell = register::DOORBELLS + 8;
    block[0] = 2;
    for nvme in [&a, &b] {
        machine.memwrite(nvme.buffer, &block)?;
    }
    a.run(&mut a_queue, &Sqe::io(WRITE, 1, 0, 1, a.buffer))?
        .success()?;
    let into_a = Sqe::io(READ, 1, 0, 1, a.reg_address(doorbell));
    let cid = b.place(&mut b_queue, &into_a)?;
    a.submit(
        &mut a_queue,
        &Sqe::io(READ, 1, 0, 1, b.reg_address(doorbell)),
    )?;
    machine.clock_step(10_000_000)?;
    let rung = b.poll(&mut b_queue)?.context("the doorbell did not ring")?;
    assert_eq!((rung.cid, rung.code()), (cid, DATA_TRANSFER));
    a.wait(&mut a_queue)?;
    still_works(&mut a)?;
    still_works(&mut b)?;
    machine.quit()
}

/// Pseudo-random numbers that repeat with their seed (Knuth's MMIX constants).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 16
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[(self.next() % from.len() as u64) as usize]
    }
}

/// Reads and writes of every size all over the BAR.
fn random_accesses(nvme: &NvmeDriver, random: &mut Random, count: u32) -> Result<()> {
    for _ in 0..count {
        let size = 1 << (random.next() % 4);
        let span = random.pick(&[0x60, 0x1210]);
        let offset = random.next() % span;
        if random.next() % 3 == 0 {
            nvme.reg(offset, size)?;
        } else {
            nvme.set_reg(offset, size, random.next() << 16 ^ random.next())?;
        }
        if random.next() % 64 == 0 {
            nvme.machine().clock_step(1 + random.next() % 1_000_000)?;
        }
    }
    Ok(())
}

/// Commands whose every field is likely, unlikely or impossible, on the admin queue and three
/// I/O queues. A fatal error ends them early: a round is best kept short.
fn random_commands(nvme: &mut NvmeDriver, random: &mut Random, count: u32) -> Result<()> {
    nvme.enable_controller()?;
    let mut queues = vec![Queue::alloc(nvme.machine(), 0, 16)?];
    for id in 1..4 {
        queues.push(nvme.create_queue(id, 7 + id, id)?);
    }
    std::mem::swap(&mut queues[0], &mut nvme.admin);
    let bar = nvme.reg_address(0);
    let pages = [
        0,
        nvme.buffer,
        nvme.buffer + 0x1000,
        bar,
        bar + 0x1000,
        1 << 40,
        u64::MAX,
    ];
    for _ in 0..count {
        let n = (random.next() % 4) as usize;
        let opcode = if n == 0 {
            random.pick(&[0, 1, 2, 4, 5, 6, 8, 9, 0xa, 0xc, 0x7c, 0x80, 0xff])
        } else {
            random.pick(&[0, 1, 2, 4, 5, 8, 9, 0xc, 0x19, 0x79, 0x7a, 0x7d, 0x7f])
        };
        let mut command = Sqe::new(opcode)
            .nsid(random.pick(&[0, 1, 2, 2, 2, 3, u32::MAX]))
            .prp(
                random.pick(&pages),
                random
                    .pick(&pages)
                    .wrapping_add(random.pick(&[0, 0, 0, 4, 0xff8])),
            );
        command.0[0] |= random.pick(&[0, 0, 0, 1 << 14, 3 << 8]);
        for dword in 10..16 {
            let value = random.next() as u32;
            let small = random.pick(&[0, 1, 2, 3, 7, 8, 0x0007_0001, 0x4_0000, 0xffff]);
            command.0[dword] = random.pick(&[0, small, small, value & 0xfff, value]);
        }
        nvme.submit(&mut queues[n], &command)?;
        while nvme.poll(&mut queues[n])?.is_some() {}
        if random.next() % 8 == 0 {
            nvme.machine().clock_step(1 + random.next() % 5_000_000)?;
        }
    }
    std::mem::swap(&mut queues[0], &mut nvme.admin);
    Ok(())
}

#[test]
fn random_register_accesses_do_no_harm() -> Result<()> {
    let machine = Machine::with_device(DEVICE)?;
    let mut nvme = NvmeDriver::start(&machine, SLOT)?;
    for seed in 1..=4 {
        random_accesses(&nvme, &mut Random(seed), 5_000).with_context(|| format!("seed {seed}"))?;
        still_works(&mut nvme)?;
    }
    machine.quit()
}

#[test]
fn random_commands_do_no_harm() -> Result<()> {
    for seed in 1..=4 {
        let machine = Machine::with_device(DEVICE)?;
        let mut nvme = NvmeDriver::start_with_msix(&machine, SLOT)?;
        let random = &mut Random(seed);
        for _ in 0..20 {
            random_commands(&mut nvme, random, 100).with_context(|| format!("seed {seed}"))?;
        }
        format_meta(&mut nvme)?;
        still_works(&mut nvme)?;
        machine.quit()?;
    }
    Ok(())
}

/// Back to 512-byte blocks, whatever a random Format command has chosen.
fn format_meta(nvme: &mut NvmeDriver) -> Result<()> {
    nvme.enable_controller()?;
    nvme.admin(&Sqe::new(0x80).nsid(1))?.success().map(drop)
}

/// Both for ten minutes, with a new seed each round: run it with `--ignored`.
#[test]
#[ignore = "takes ten minutes"]
fn ten_minutes_of_random_guests() -> Result<()> {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(600);
    let mut seed = 1000;
    while std::time::Instant::now() < end {
        let machine = Machine::with_device(DEVICE)?;
        let mut nvme = NvmeDriver::start_with_msix(&machine, SLOT)?;
        for _ in 0..100 {
            seed += 1;
            let random = &mut Random(seed);
            let what = || format!("seed {seed}");
            random_accesses(&nvme, random, 500).with_context(what)?;
            random_commands(&mut nvme, random, 100).with_context(what)?;
        }
        format_meta(&mut nvme)?;
        still_works(&mut nvme)?;
        machine.quit()?;
    }
    Ok(())
}
