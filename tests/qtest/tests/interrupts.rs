// SPDX-License-Identifier: GPL-2.0-or-later
//! MSI-X and the interrupt pin.

use anyhow::{ensure, Result};
use qtest::{opcode, register, Machine, NvmeDriver, Queue, Sqe, SLOT};

const FLUSH: Sqe = Sqe::new(opcode::FLUSH).nsid(1);

fn machine() -> Result<Machine> {
    Machine::with_device("conzone-nvme,id=d,addr=4")
}

/// Long enough for any one command.
const A_WHILE_NS: u64 = 100_000_000;

#[test]
fn each_queue_has_its_message() -> Result<()> {
    let machine = machine()?;
    let mut nvme = NvmeDriver::start_with_msix(&machine, SLOT)?;
    nvme.identify(1, 0, 0)?;
    ensure!(nvme.pci.take_message(0)?, "no message for the admin queue");
    let mut first = nvme.create_queue(1, 8, 1)?;
    let mut last = nvme.create_queue(2, 8, 64)?;
    nvme.pci.take_message(0)?;
    for (queue, vector, other) in [(&mut first, 1, 64), (&mut last, 64, 1)] {
        nvme.run(queue, &FLUSH)?.success()?;
        ensure!(nvme.pci.take_message(vector)?, "no message {vector}");
        ensure!(!nvme.pci.take_message(other)?, "message {other} too");
        ensure!(!nvme.pci.take_message(0)?, "message 0 too");
    }
    ensure!(!nvme.pci.pin_asserted()?, "the pin is up as well");
    machine.quit()
}

#[test]
fn a_masked_vector_waits_until_it_is_unmasked() -> Result<()> {
    let machine = machine()?;
    let mut nvme = NvmeDriver::start_with_msix(&machine, SLOT)?;
    let mut queue = nvme.create_queue(1, 8, 3)?;
    nvme.pci.mask_vector(3, true)?;
    nvme.run(&mut queue, &FLUSH)?.success()?;
    ensure!(!nvme.pci.take_message(3)?, "a masked vector was sent");
    nvme.pci.mask_vector(3, false)?;
    ensure!(nvme.pci.take_message(3)?, "the pending vector was lost");
    machine.quit()
}

#[test]
fn the_pin_is_up_as_long_as_completions_wait() -> Result<()> {
    let machine = machine()?;
    let mut nvme = NvmeDriver::start(&machine, SLOT)?;
    ensure!(!nvme.pci.pin_asserted()?, "up from the start");
    let mut queue = nvme.create_queue(1, 8, 0)?;
    ensure!(
        !nvme.pci.pin_asserted()?,
        "up after all completions were taken"
    );
    nvme.submit(&mut queue, &FLUSH)?;
    machine.clock_step(A_WHILE_NS)?;
    ensure!(
        nvme.pci.pin_asserted()?,
        "a completion waits and the pin is down"
    );
    // INTMS and INTMC mask the pin without losing what is due.
    nvme.set_reg(register::INTMS, 4, 1)?;
    ensure!(!nvme.pci.pin_asserted()?, "masked, but up");
    nvme.set_reg(register::INTMC, 4, 1)?;
    ensure!(nvme.pci.pin_asserted()?, "unmasked, but down");
    nvme.wait(&mut queue)?.success()?;
    ensure!(!nvme.pci.pin_asserted()?, "up with nothing to tell");
    machine.quit()
}

#[test]
fn the_pin_reaches_the_interrupt_controller() -> Result<()> {
    let machine = machine()?;
    machine.intercept_irqs_into("ioapic")?;
    let mut nvme = NvmeDriver::start(&machine, SLOT)?;
    let before = machine.irq_rises()?;
    nvme.identify(1, 0, 0)?;
    ensure!(machine.irq_rises()? > before, "no interrupt line rose");
    machine.quit()
}

#[test]
fn a_queue_without_interrupts_stays_silent() -> Result<()> {
    let machine = machine()?;
    let mut nvme = NvmeDriver::start_with_msix(&machine, SLOT)?;
    let mut queue = Queue::alloc(&machine, 1, 8)?;
    nvme.announce(&queue, 2 << 16 | 1)?;
    nvme.run(&mut queue, &FLUSH)?.success()?;
    ensure!(
        !nvme.pci.take_message(2)?,
        "interrupts are off for this queue"
    );
    machine.quit()
}
