// SPDX-License-Identifier: GPL-2.0-or-later
//! The device's timer in an iothread: it completes what the main loop would, and comes and goes.

use anyhow::{bail, ensure, Result};
use qtest::opcode::READ;
use qtest::{
    open_port, refusal, set_slot_power, Machine, NvmeDriver, Options, PciAddress, Queue, Sqe,
};
use serde_json::json;

const DRIVES: u8 = 4;

/// Every other drive shares an iothread, and every other one of these waits busily.
fn drives() -> Options {
    let mut options = Options::default();
    for n in 0..2 {
        options = options.args(["-object", &format!("iothread,id=io{n}")]);
    }
    for n in 0..DRIVES {
        let poll = if n < 2 { 0 } else { 100_000 };
        options = options.device(&format!(
            "conzone-nvme,id=d{n},serial=s{n},addr={},zones=4,iothread=io{},poll-ns={poll}",
            4 + n,
            n % 2,
        ));
    }
    options
}

/// Waits for a completion, stepping the clock; the iothread takes its own time.
fn wait(nvme: &mut NvmeDriver, queue: &mut Queue) -> Result<()> {
    for _ in 0..20_000 {
        if let Some(cqe) = nvme.poll(queue)? {
            return cqe.success().map(drop);
        }
        nvme.machine().clock_step(10_000)?;
    }
    bail!("no completion")
}

#[test]
fn commands_complete_from_an_iothread() -> Result<()> {
    let machine = Machine::start(&drives())?;
    for n in 0..DRIVES {
        let mut nvme = NvmeDriver::start(&machine, PciAddress::slot(4 + n))?;
        let mut queue = nvme.create_queue(1, 32, 0)?;
        for _ in 0..8 {
            for lba in 0..16 {
                let read = Sqe::io(READ, 2, lba * 8, 8, nvme.buffer);
                nvme.place(&mut queue, &read)?;
            }
            nvme.ring(&queue)?;
            for _ in 0..16 {
                wait(&mut nvme, &mut queue)?;
            }
        }
        assert_eq!(
            machine.qom_get(&format!("d{n}"), "iothread")?,
            json!(format!("io{}", n % 2))
        );
    }
    machine.quit()
}

/// A deadline that the guest's clock has not reached brings nothing, however near it is.
#[test]
fn nothing_completes_early() -> Result<()> {
    let options = Options::default()
        .args(["-object", "iothread,id=io"])
        .device("conzone-nvme,addr=4,preset=ufs4-tlc,iothread=io,poll-ns=1000000");
    let machine = Machine::start(&options)?;
    let mut nvme = NvmeDriver::start(&machine, PciAddress::slot(4))?;
    let mut queue = nvme.create_queue(1, 32, 0)?;
    let read = Sqe::io(READ, 2, 0, 8, nvme.buffer);
    nvme.submit(&mut queue, &read)?;
    // 20 us of firmware and some of the link.
    machine.clock_step(20_000)?;
    std::thread::sleep(std::time::Duration::from_millis(20));
    ensure!(nvme.poll(&mut queue)?.is_none(), "done before its time");
    wait(&mut nvme, &mut queue)?;
    machine.quit()
}

/// Stepped time is never late: nothing that differs from run to run is in the statistics.
#[test]
fn stepped_time_has_no_lateness() -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,id=d,addr=4")?;
    let stats = machine.stats("d")?;
    ensure!(stats.get("host_reads").is_some() && stats.get("timer_lateness").is_none());
    machine.quit()
}

#[test]
fn what_cannot_work_is_refused() -> Result<()> {
    let refused = |options: Options, words: &[&str]| -> Result<()> {
        let (status, said) = refusal(&options)?;
        ensure!(
            !status.success() && words.iter().all(|w| said.contains(w)),
            "{said}"
        );
        Ok(())
    };
    let device = |text: &str| Options::default().device(&format!("conzone-nvme,{text}"));
    refused(
        device("iothread=nobody"),
        &["iothread", "nobody", "-object iothread"],
    )?;
    refused(
        device("poll-ns=1000"),
        &["poll-ns", "1000", "needs iothread"],
    )?;
    refused(
        device("iothread=io,poll-ns=1000001"),
        &["poll-ns", "1000001", "1000000"],
    )?;
    let counted = Options {
        accelerator: "tcg".to_owned(),
        ..Options::default()
    };
    let counted = counted
        .args(["-icount", "shift=0", "-object", "iothread,id=io"])
        .device("conzone-nvme,iothread=io");
    refused(counted, &["iothread", "io", "-icount"])
}

/// Controllers are reset, drives unplugged and plugged, iothreads taken away and the machine
/// stopped, all with commands in flight.
#[test]
fn resets_and_unplugging_race_with_the_iothread() -> Result<()> {
    let mut options = Options::default().args([
        "-global",
        "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
    ]);
    for n in 0..DRIVES {
        options = options.device(&format!(
            "pcie-root-port,id=rp{n},chassis={n},slot={n},addr={}",
            3 + n
        ));
    }
    let machine = Machine::start(&options)?;
    for round in 0..12_u64 {
        for n in 0..DRIVES {
            let object = json!({ "qom-type": "iothread", "id": format!("io{n}") });
            machine.qmp("object-add", &object)?;
            let device = json!({
                "driver": "conzone-nvme", "bus": format!("rp{n}"), "id": format!("d{n}"),
                "serial": format!("s{n}"), "zones": 4,
                "iothread": format!("io{n}"), "poll-ns": if n % 2 == 0 { 0 } else { 200_000 },
            });
            machine.qmp("device_add", &device)?;
        }
        let mut drivers = Vec::new();
        for n in 0..DRIVES {
            let port = PciAddress::slot(3 + n);
            set_slot_power(&machine, port, true)?;
            let bus = n + 1;
            open_port(&machine, port, bus)?;
            let address = PciAddress {
                bus,
                device: 0,
                function: 0,
            };
            let mut nvme = NvmeDriver::start(&machine, address)?;
            let queue = nvme.create_queue(1, 32, 0)?;
            drivers.push((nvme, queue));
        }
        for turn in 0..6 {
            for (nvme, queue) in &mut drivers {
                for lba in 0..24 {
                    nvme.place(queue, &Sqe::io(READ, 2, lba * 8, 8, nvme.buffer))?;
                }
                nvme.ring(queue)?;
            }
            machine.clock_step(15_000 + 1_000 * (round + turn))?;
            if turn == 2 {
                machine.qmp("stop", &json!({}))?;
                machine.qmp("cont", &json!({}))?;
            }
            for (nvme, queue) in &mut drivers {
                nvme.enable_controller()?;
                *queue = nvme.create_queue(1, 32, 0)?;
            }
        }
        for (nvme, queue) in &mut drivers {
            nvme.submit(queue, &Sqe::io(READ, 2, 0, 8, nvme.buffer))?;
        }
        machine.clock_step(20_000)?;
        drop(drivers);
        for n in 0..DRIVES {
            machine.qmp("device_del", &json!({ "id": format!("d{n}") }))?;
            set_slot_power(&machine, PciAddress::slot(3 + n), false)?;
            machine.qmp_event("DEVICE_DELETED")?;
            machine.qmp("object-del", &json!({ "id": format!("io{n}") }))?;
        }
    }
    machine.quit()
}
