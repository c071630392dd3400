// SPDX-License-Identifier: GPL-2.0-or-later
//! `--record`: the commands of the run as a trace that `sim` replays.
//!
//! QEMU writes them into a file of its own while the guest runs (`record=` of the device); afterwards they go below a
//! head that says how to replay them, compressed if the name says so.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{bail, Context as _, Result};
use trace::Output;

use crate::failure::Prerequisite;
use crate::vm;

/// The file that was asked for.
pub struct Recording {
    path: PathBuf,
    out: Output,
}

impl Recording {
    /// Creates the file: a place that cannot be written would be noticed when the run is over.
    ///
    /// # Errors
    /// A [`Prerequisite`]: it cannot be created, or is standard output, where the figures go.
    pub fn begin(path: &Path) -> Result<Self> {
        let refused = |why: &str| Prerequisite(format!("--record {}: {why}", path.display()));
        if path == Path::new("-") {
            return Err(refused("name a file: the figures go to standard output").into());
        }
        let out = trace::create(path).map_err(|error| refused(&error.to_string()))?;
        let path = path.to_owned();
        Ok(Self { path, out })
    }

    /// Copies what QEMU wrote into `from`; `state` is what the device says of it. Returns the number of commands.
    ///
    /// # Errors
    /// It is not complete, or cannot be copied.
    pub fn finish(mut self, vm: &vm::Options, from: &Path, state: &str) -> Result<u64> {
        let named = || format!("--record {}", self.path.display());
        let again = replay(vm, &self.path)?;
        let mut head = || -> std::io::Result<()> {
            let run = crate::typed();
            writeln!(self.out, "# what the drive was asked in: {run}")?;
            writeln!(self.out, "# the same again: {again}")
        };
        head().with_context(named)?;
        let mut lines = BufReader::new(File::open(from).with_context(named)?);
        let (mut line, mut commands) = (Vec::new(), 0);
        while lines.read_until(b'\n', &mut line).with_context(named)? > 0 {
            self.out.write_all(&line).with_context(named)?;
            line.clear();
            commands += 1;
        }
        self.out.finish().with_context(named)?;
        if from.to_str() != Some(state) {
            bail!("--record {}: {state}", self.path.display());
        }
        Ok(commands)
    }
}

/// The words that add the recording to the first `-device`.
///
/// # Errors
/// A path that QEMU cannot be told.
pub fn record_into(path: &Path, devices: &mut [String]) -> Result<()> {
    let text = vm::in_argument("", path, "; set TMPDIR")?;
    if let Some(drive) = devices.first_mut() {
        *drive += &format!(",record={text}");
    }
    Ok(())
}

/// What to type to run the trace on the same drive.
fn replay(vm: &vm::Options, trace: &Path) -> Result<String> {
    let mut words = vec!["sim".to_owned()];
    words.extend(vm.base_in_effect()?.words());
    if vm.timing == Some(vm::Timing::Off) {
        words.extend(["--set".into(), "timing=off".into()]);
    }
    for pair in &vm.set {
        words.extend(["--set".into(), pair.clone()]);
    }
    words.extend(["--trace".into(), trace.display().to_string()]);
    Ok(crate::command_line(words.into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::drive::Drive;

    #[test]
    fn a_recording_says_how_it_is_replayed() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (
            folder.path().join("from"),
            folder.path().join("to.trace.gz"),
        );
        std::fs::write(&from, "5 1 W 0 8 0\n9 1 F 0 0 0\n").unwrap();
        let vm = vm::Options::of_drive(&Drive::new("ufs4-tlc", &["zones=8"]));
        let recording = Recording::begin(&to).unwrap();
        let commands = recording.finish(&vm, &from, from.to_str().unwrap());
        assert_eq!(commands.unwrap(), 2);
        let mut text = String::new();
        let mut read = trace::open(&to, |raw| raw).unwrap();
        std::io::Read::read_to_string(&mut read, &mut text).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines[1].contains("sim --preset ufs4-tlc --set 'zones=8' --trace "),
            "{text}"
        );
        assert_eq!(lines[2..], ["5 1 W 0 8 0", "9 1 F 0 0 0"]);
    }

    #[test]
    fn what_cannot_be_recorded_is_said() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path(), Path::new("-")] {
            let refused = Recording::begin(path).err().unwrap();
            assert!(refused.is::<Prerequisite>(), "{refused}");
            assert!(refused.to_string().starts_with("--record "), "{refused}");
        }
        let from = folder.path().join("from");
        std::fs::write(&from, "5 1 W 0 8 0\n").unwrap();
        let recording = Recording::begin(&folder.path().join("to")).unwrap();
        let vm = vm::Options::of_drive(&Drive::new("tlc-zoned", &[]));
        let cut = recording.finish(&vm, &from, "from: not complete: No space left on device");
        assert!(cut.unwrap_err().to_string().contains("No space left"));
    }

    #[test]
    fn the_first_device_records() {
        let mut devices = vec!["conzone-nvme,id=d".to_owned(), "e1000".to_owned()];
        record_into(Path::new("/a,b/c"), &mut devices).unwrap();
        assert_eq!(devices, ["conzone-nvme,id=d,record=/a,,b/c", "e1000"]);
    }
}
