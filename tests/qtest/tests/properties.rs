// SPDX-License-Identifier: GPL-2.0-or-later
//! Properties: what users read, what they may set, and what a mistake costs them.

use anyhow::{ensure, Context, Result};
use qtest::{refusal, Machine, Options};
use serde_json::json;

/// QEMU ends with status 1 and exactly one line, which says all of `words`.
fn refused(options: &Options, words: &[&str]) -> Result<()> {
    let (status, said) = refusal(options)?;
    ensure!(status.code() == Some(1), "status {status}: {said}");
    let lines: Vec<&str> = said.lines().collect();
    ensure!(lines.len() == 1, "expected one line, got: {said}");
    for word in words {
        ensure!(said.contains(word), "no {word:?} in: {said}");
    }
    Ok(())
}

fn device_refused(properties: &str, words: &[&str]) -> Result<()> {
    let device = format!("conzone-nvme,{properties}");
    refused(&Options::default().device(&device), words).with_context(|| device.clone())
}

#[test]
fn bad_values_cost_one_line_that_names_property_value_and_bound() -> Result<()> {
    for (properties, words) in [
        ("preset=x", ["preset", "'x'", "tlc-zoned"]),
        ("channels=0", ["channels", "'0'", "from 1 to"]),
        ("channels=2G", ["channels", "'2G'", "whole number"]),
        ("zones=-1", ["zones", "'-1'", "from 1 to"]),
        (
            "zones=99999999999999999999",
            ["zones", "99999999999999999999", "from 1 to"],
        ),
        ("flash-page-size=4Q", ["flash-page-size", "'4Q'", "size"]),
        ("timing=maybe", ["timing", "'maybe'", "on or off"]),
        ("lba-size=1024", ["lba-size", "'1024'", "512"]),
        ("mdts=12", ["mdts", "'12'", "from 1 to 11"]),
        ("num-queues=65", ["num-queues", "'65'", "64"]),
    ] {
        device_refused(properties, &words)?;
    }
    Ok(())
}

#[test]
fn values_that_do_not_fit_together_are_refused_too() -> Result<()> {
    for (properties, words) in [
        (
            "block-size=100000000",
            ["block-size", "100000000", "multiple"],
        ),
        ("max-open=7,max-active=6", ["max-open", "7", "max-active"]),
        ("zone-size=4K", ["zone-size", "4K", "96 MiB"]),
        ("serial=", ["serial", "", "printable ASCII"]),
        (
            "preset=conv-970pro,partitions=3",
            ["partitions", "3", "channels = 8"],
        ),
        (
            "preset=zns-proto,slc-map=page",
            ["slc-map", "page", "model=zns"],
        ),
    ] {
        device_refused(properties, &words)?;
    }
    Ok(())
}

#[test]
fn the_zone_map_and_the_series_can_be_read() -> Result<()> {
    let device = "conzone-nvme,id=d,meta-size=64M,zones=4,sample-interval-ns=1000";
    let machine = Machine::start(&Options::default().device(device))?;
    let read = |name: &str| -> Result<String> {
        let arguments = json!({"path": "/machine/peripheral/d", "property": name});
        let value = machine.qmp("qom-get", &arguments)?;
        Ok(value.as_str().context("a text")?.to_owned())
    };
    let map = "first,count,state,written,capacity,mapping\n0,4,empty,0,196608,-\n";
    ensure!(read("zone-map")? == map, "{}", read("zone-map")?);
    let series = read("series")?;
    ensure!(series.starts_with("time_ns,host_reads,"), "{series}");
    let filled = read("zone-series")?;
    ensure!(filled == "time_ns,0,1,2,3\n", "{filled}");
    ensure!(read("zone-reads")? == filled);
    machine.quit()
}

#[test]
fn the_clock_is_the_guests() -> Result<()> {
    let device = "conzone-nvme,id=d,meta-size=64M,zones=4";
    let machine = Machine::start(&Options::default().device(device))?;
    let clock = || {
        machine
            .qom_get("d", "clock-ns")?
            .as_u64()
            .context("a number")
    };
    let before = clock()?;
    machine.clock_step(1_000_000)?;
    ensure!(
        clock()? == before + 1_000_000,
        "from {before}: {}",
        clock()?
    );
    machine.quit()
}

#[test]
fn unknown_properties_are_refused() -> Result<()> {
    device_refused("chanels=2", &["chanels", "not found"])
}

#[test]
fn media_that_does_not_fit_names_property_and_size() -> Result<()> {
    device_refused("memdev=nobody", &["memdev", "nobody", "no memory backend"])?;
    let small = Options::default()
        .args(["-object", "memory-backend-ram,id=small,size=64M"])
        .device("conzone-nvme,memdev=small");
    refused(&small, &["memdev", "small", "64 MiB", "4352 MiB"])?;
    device_refused("memmap-size=64M", &["memmap-size", "4352 MiB"])?;
    // Big enough by itself, but not there.
    device_refused(
        "memmap-start=1T,memmap-size=8G",
        &["memmap-start", "0x10000000000", "no memory"],
    )
}

#[test]
fn two_devices_cannot_share_a_backend() -> Result<()> {
    let shared = Options::default()
        .args(["-object", "memory-backend-ram,id=m,size=8G,reserve=off"])
        .device("conzone-nvme,memdev=m")
        .device("conzone-nvme,memdev=m");
    refused(&shared, &["memdev", "m", "already in use"])
}

#[test]
fn two_devices_cannot_share_guest_memory() -> Result<()> {
    let device = "conzone-nvme,meta-size=64M,zones=2,memmap-size=320M,memmap-start=";
    let options = Options {
        memory_mib: 1024,
        ..Options::default()
    };
    let apart = options
        .clone()
        .device(&format!("{device}256M,serial=a"))
        .device(&format!("{device}576M,serial=b"));
    Machine::start(&apart)?.quit()?;
    let shared = options
        .device(&format!("{device}256M"))
        .device(&format!("{device}575M"));
    refused(&shared, &["memmap-start", "another drive"])
}

#[test]
fn two_devices_cannot_have_one_serial_number() -> Result<()> {
    let two = |first: &str, second: &str| {
        Options::default()
            .device(&format!("conzone-nvme,zones=4{first}"))
            .device(&format!("conzone-nvme,zones=4{second}"))
    };
    refused(&two("", ""), &["serial", "conzone", "another drive"])?;
    refused(&two(",serial=a", ",serial=a"), &["serial", "= a:"])?;
    Machine::start(&two("", ",serial=a"))?.quit()
}

#[test]
fn one_can_boot_from_it() -> Result<()> {
    let device = "conzone-nvme,id=d,zones=4,bootindex=3";
    let machine = Machine::start(&Options::default().device(device))?;
    assert_eq!(machine.qom_get("d", "bootindex")?, json!(3));
    machine.quit()?;
    // QEMU's own order of booting knows of it: a place is given away once.
    let twice = Options::default()
        .device(device)
        .device("conzone-nvme,serial=b,zones=4,bootindex=3");
    refused(&twice, &["bootindex 3", "already"])
}

#[test]
fn info_qtree_shows_what_the_drive_is() -> Result<()> {
    let device = "conzone-nvme,id=d,zones=5,serial=abc,timing=off,fault=read-error";
    let machine = Machine::start(&Options::default().device(device))?;
    let tree = machine.hmp("info qtree")?;
    for line in [
        "zones = 5",
        "serial = \"abc\"",
        "timing = false",
        "preset = \"tlc-zoned\"",
        "fault = \"read-error hits=0\"",
    ] {
        ensure!(
            tree.lines().any(|l| l.trim().starts_with(line)),
            "no {line} in {tree}"
        );
    }
    machine.quit()
}

#[test]
fn help_explains_every_property() -> Result<()> {
    let machine = Machine::start(&Options::default())?;
    let answer = machine.qmp(
        "device-list-properties",
        &json!({ "typename": "conzone-nvme" }),
    )?;
    let ours = "preset zones block-data-size meta-size cell channels luns-per-channel \
        planes-per-lun dies-per-zone flash-page-size block-size channel-bandwidth link-bandwidth \
        write-buffer-size write-buffers meta-write-buffer-size wb-policy wb-dwell-ns slc-bypass \
        slc-map slc-superblocks data-interface over-provisioning l2p-cache-size l2p-entry-size \
        l2p-slots l2p-policy l2p-search l2p-hybrid l2p-resident l2p-preread chunk-size \
        gc-threshold migrate-threshold max-open max-active slc-read-ns mlc-read-ns tlc-read-ns \
        qlc-read-ns slc-program-ns mlc-program-ns tlc-program-ns qlc-program-ns erase-ns \
        fw-read-4k-ns fw-read-ns wbuf-base-ns wbuf-page-ns reset-wait timing media iothread poll-ns memdev memmap-start \
        memmap-size lba-size mdts queue-entries num-queues serial seed stats zone-read-only zone-offline \
        bootindex";
    let list = answer.as_array().context("a list of properties")?;
    for name in ours.split_whitespace() {
        let property = list
            .iter()
            .find(|p| p["name"] == name)
            .with_context(|| format!("no property {name}"))?;
        let text = property["description"].as_str().unwrap_or_default();
        ensure!(text.len() > 20, "{name} is described as {text:?}");
    }
    machine.quit()
}

#[test]
fn properties_read_back_and_stay_fixed_once_plugged() -> Result<()> {
    let machine = Machine::with_device("conzone-nvme,id=d,zones=5,timing=off,serial=abc")?;
    assert_eq!(machine.qom_get("d", "zones")?, json!(5));
    assert_eq!(machine.qom_get("d", "timing")?, json!(false));
    assert_eq!(machine.qom_get("d", "serial")?, json!("abc"));
    assert_eq!(machine.qom_get("d", "preset")?, json!("tlc-zoned"));
    assert_eq!(machine.qom_get("d", "cell")?, json!("tlc"));
    assert_eq!(machine.qom_get("d", "block-size")?, json!(24 << 20));
    assert_eq!(machine.qom_get("d", "write-buffers")?, json!("auto"));
    let refused = machine.qom_set("d", "zones", &json!(6));
    let message = format!("{:#}", refused.err().context("zones changed at run time")?);
    ensure!(
        message.contains("zones") && message.contains("plugged"),
        "{message}"
    );
    assert_eq!(machine.qom_get("d", "zones")?, json!(5));
    machine.quit()
}

#[test]
fn properties_take_json_numbers_booleans_and_strings() -> Result<()> {
    let port = ["-device", "pcie-root-port,id=rp"];
    let machine = Machine::start(&Options::default().args(port))?;
    let add = |properties: serde_json::Value| {
        let mut all = json!({ "driver": "conzone-nvme", "bus": "rp", "id": "d" });
        if let (Some(all), Some(more)) = (all.as_object_mut(), properties.as_object()) {
            all.extend(more.clone());
        }
        machine.qmp("device_add", &all)
    };
    for (bad, word) in [
        (json!({ "zones": 0 }), "from 1 to"),
        (json!({ "zones": 1.5 }), "1.5"),
        (json!({ "zones": [3] }), "expected a string"),
        (json!({ "timing": 3 }), "on or off"),
    ] {
        let error = add(bad.clone())
            .err()
            .with_context(|| format!("{bad} was taken"))?;
        ensure!(error.to_string().contains(word), "{bad}: {error}");
    }
    add(json!({ "zones": 7, "timing": false, "link-bandwidth": "2000", "meta-size": "64M" }))?;
    assert_eq!(machine.qom_get("d", "zones")?, json!(7));
    assert_eq!(machine.qom_get("d", "timing")?, json!(false));
    assert_eq!(machine.qom_get("d", "link-bandwidth")?, json!(2000));
    machine.quit()
}

#[test]
fn global_defaults_work() -> Result<()> {
    let options = Options::default()
        .args(["-global", "conzone-nvme.zones=9"])
        .device("conzone-nvme,id=d");
    let machine = Machine::start(&options)?;
    assert_eq!(machine.qom_get("d", "zones")?, json!(9));
    machine.quit()
}
