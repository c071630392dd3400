// SPDX-License-Identifier: GPL-2.0-or-later
//! `record=`: the file has what the drive was asked, whatever becomes of QEMU. (That its replay has the same answers, rust/sim
//! tests, and tests/functional with a guest.)

use std::fs;

use anyhow::{ensure, Context, Result};
use qtest::opcode::{APPEND, FLUSH, READ, WRITE};
use qtest::{refusal, Drive, Machine, Options, Sqe, ZONE};
use serde_json::json;

/// The lines after the arrival, and whether those never go back.
fn lines(text: &str) -> Result<(Vec<&str>, bool)> {
    let parts = text.lines().map(|line| {
        let (arrival, rest) = line.split_once(' ').context("no blank")?;
        Ok((arrival.parse::<u64>()?, rest))
    });
    let parts = parts.collect::<Result<Vec<_>>>()?;
    let ordered = parts.windows(2).all(|pair| pair[0].0 <= pair[1].0);
    Ok((parts.into_iter().map(|(_, rest)| rest).collect(), ordered))
}

#[test]
fn every_command_that_reaches_the_model_is_written_at_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("trace");
    let device = format!("conzone-nvme,id=d,addr=4,record={}", path.display());
    let machine = Machine::with_device(&device)?;
    assert_eq!(fs::read_to_string(&path)?, "");
    let mut drive = Drive::start(&machine)?;
    drive.io(WRITE, 2, 0, 24)?.success()?;
    drive.io(APPEND, 2, 0, 8)?.success()?;
    drive.io(READ, 2, 8, 16)?.success()?;
    drive.io(WRITE, 1, 80, 8)?.success()?;
    drive.run(&Sqe::new(FLUSH).nsid(2))?.success()?;
    // Refused by the model, and by the controller before it.
    ensure!(drive.io(WRITE, 2, ZONE + 8, 8)?.success().is_err());
    ensure!(drive.io(READ, 2, 1 << 50, 8)?.success().is_err());
    // QEMU still runs: nothing waits for its end.
    let text = fs::read_to_string(&path)?;
    let (lines, ordered) = lines(&text)?;
    let known = [
        "1 W 0 24 0",
        "1 A 0 8 0",
        "1 R 8 16 0",
        "0 W 80 8 0",
        "1 F 0 0 0",
        "1 W 262152 8 0",
    ];
    assert_eq!(lines, known);
    ensure!(ordered, "{text}");
    assert_eq!(machine.qom_get("d", "record")?, json!(path));
    let refused = machine.qom_set("d", "record", &json!("/tmp/x"));
    ensure!(refused.is_err_and(|e| e.to_string().contains("plugged")));
    machine.quit()
}

#[test]
fn a_file_that_cannot_be_written_is_said() -> Result<()> {
    let device = "conzone-nvme,record=/nowhere/trace";
    let (status, said) = refusal(&Options::default().device(device))?;
    ensure!(
        status.code() == Some(1)
            && said.contains("property 'record' = /nowhere/trace: No such file"),
        "{said}"
    );

    let machine = Machine::with_device("conzone-nvme,id=d,addr=4,record=/dev/full")?;
    let mut drive = Drive::start(&machine)?;
    for at in 0..2 {
        drive.io(WRITE, 2, 8 * at, 8)?.success()?;
    }
    let state = machine.qom_get("d", "record")?;
    let why = state.as_str().unwrap_or_default();
    ensure!(
        why.starts_with("/dev/full: not complete: No space left"),
        "{state}"
    );
    machine.quit()
}
