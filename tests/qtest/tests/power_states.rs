// SPDX-License-Identifier: GPL-2.0-or-later
//! Power states of the device: a command that finds it asleep is late by the way back, to the nanosecond; also after the machine
//! was reset, and what QMP says of it.

use anyhow::{ensure, Result};
use qtest::opcode::READ;
use qtest::{refusal, Drive, Machine, Options, Sqe};
use serde_json::json;

const MS: u64 = 1_000_000;

/// How long a read takes, ns.
fn read(drive: &mut Drive) -> Result<u64> {
    let machine = drive.nvme.machine();
    let command = Sqe::io(READ, 1, 0, 8, drive.nvme.buffer);
    drive.nvme.submit(&mut drive.queue, &command)?;
    for us in 0..100_000_u64 {
        if drive.nvme.poll(&mut drive.queue)?.is_some() {
            return Ok(us * 1_000);
        }
        machine.clock_step(1_000)?;
    }
    anyhow::bail!("no completion")
}

/// Power Management: the value.
fn state(drive: &mut Drive) -> Result<u64> {
    let get = Sqe::new(0x0a).dword(10, 0x02);
    Ok(drive.nvme.admin(&get)?.success()?.result)
}

#[test]
fn a_read_that_finds_it_asleep_is_late_by_the_way_back() -> Result<()> {
    let machine =
        Machine::with_device("conzone-nvme,id=d,addr=4,power-states=phone,apst=on,zones=4")?;
    let mut drive = Drive::start(&machine)?;
    let awake = read(&mut drive)?;
    for (idle, to, exit) in [(99, 0, 0), (110, 3, 10), (2_500, 4, 45)] {
        machine.clock_step(idle * MS)?;
        assert_eq!(state(&mut drive)?, to, "after {idle} ms");
        assert_eq!(read(&mut drive)?, awake + exit * MS, "after {idle} ms");
        assert_eq!(state(&mut drive)?, 0);
    }
    let states = &machine.stats("d")?["power_states"];
    assert_eq!(states["waits"], 2);
    assert_eq!(states["waited_ns"], 55 * MS);
    assert_eq!(states["states"]["4"]["entries"], 1);
    // Sleep draws next to nothing: 5 mW of a second are 5 mJ.
    let energy = |machine: &Machine| -> Result<u64> {
        let stats = machine.stats("d")?;
        Ok(stats["power_states"]["energy_uj"].as_u64().unwrap_or(0))
    };
    machine.clock_step(5_000 * MS)?;
    let before = energy(&machine)?;
    machine.clock_step(1_000 * MS)?;
    assert_eq!(energy(&machine)? - before, 5_000);
    // A reset of the machine: at work again.
    machine.qmp("system_reset", &json!({}))?;
    machine.clock_step(90 * MS)?;
    let mut drive = Drive::start(&machine)?;
    assert_eq!((state(&mut drive)?, read(&mut drive)?), (0, awake));
    machine.quit()
}

#[test]
fn without_the_property_nothing_is_there() -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,id=d,addr=4,zones=4")?;
    let mut drive = Drive::start(&machine)?;
    let page = drive.nvme.identify(1, 0, 0)?;
    assert_eq!((page[263], page[265]), (0, 0), "NPSS, APSTA");
    ensure!(machine.stats("d")?.get("power_states").is_none());
    machine.quit()?;
    for (device, words) in [
        ("apst=on", "needs power-states"),
        ("power-states=tablet", "one of off, phone, laptop"),
    ] {
        let options = Options::default().device(&format!("conzone-nvme,{device}"));
        let (status, said) = refusal(&options)?;
        ensure!(status.code() == Some(1) && said.contains(words), "{said}");
    }
    Ok(())
}
