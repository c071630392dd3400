// SPDX-License-Identifier: GPL-2.0-or-later
//! Compiles the guest's `/init` and `witness`, statically, with rustc alone. The same rustc gives the same bytes in any folder.

use super::tools;
use anyhow::Result;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Source of `/init`.
pub(super) const RECIPE: &str = include_str!("../../agent/main.rs");
/// Source of the module it shares with the host.
pub(super) const FRAME: &str = include_str!("../frame.rs");
/// The script `/init` starts with. Part of the image, not of `/init`.
pub(super) const BOOT: &str = include_str!("../../agent/boot.sh");

/// Source of the program that writes files and checks them after a power cut.
pub(super) const WITNESS: &str = include_str!("../../agent/witness.rs");

/// Compiles `/init` and the witness in `folder`; gives the binaries.
pub(super) fn build(folder: &Path) -> Result<[PathBuf; 2]> {
    let sources = [
        ("agent/main.rs", RECIPE),
        ("agent/witness.rs", WITNESS),
        ("src/frame.rs", FRAME),
    ];
    for (path, text) in sources {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, text)?;
    }
    let init = compile(folder, "init", "agent/main.rs")?;
    Ok([init, compile(folder, "witness", "agent/witness.rs")?])
}

fn compile(folder: &Path, name: &str, source: &str) -> Result<PathBuf> {
    let binary = folder.join(name);
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let mut command = Command::new(rustc);
    command.args(["--edition=2021", "--crate-name", name]);
    command.args([
        "-Copt-level=s",
        "-Cpanic=abort",
        "-Cstrip=symbols",
        "-Ctarget-feature=+crt-static",
        "--cap-lints=allow",
    ]);
    // Panics name their source file, and names of symbols are hashes of paths: all of it relative to here.
    let folder = folder.canonicalize()?;
    command.current_dir(&folder);
    command.arg(format!("--remap-path-prefix={}=", folder.display()));
    command.args(["-o", name, source]);
    let log = folder.join(format!("{name}.log"));
    let _ = fs::remove_file(&log);
    tools::run_logged(&mut command, &log)?;
    Ok(binary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn the_folder_does_not_show() {
        let [one, other] = ["a", "another-folder"].map(|name| {
            let parent = tempfile::tempdir().unwrap();
            let programs = build(&parent.path().join(name)).unwrap();
            programs.map(|program| fs::read(program).unwrap())
        });
        assert!(one.iter().all(|program| program.starts_with(b"\x7fELF")));
        assert!(one == other, "the same source gave different programs");
    }

    /// A witness, and a folder for its files.
    struct Bench {
        folder: tempfile::TempDir,
        appends: bool,
    }

    impl Bench {
        fn new(appends: bool) -> Self {
            let folder = tempfile::tempdir().unwrap();
            build(&folder.path().join("work")).unwrap();
            fs::create_dir(folder.path().join("files")).unwrap();
            for zone in 0..if appends { 4 } else { 0 } {
                File::create(folder.path().join(format!("files/{zone}"))).unwrap();
            }
            Self { folder, appends }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn run(&self, words: &[&str], numbers: &[u64]) -> (i32, String) {
            let mut command = Command::new(self.path("work/witness"));
            command.arg(words[0]).arg(self.path("files"));
            command.args(numbers.iter().map(u64::to_string));
            command.args(self.appends.then_some("append"));
            command.env("WITNESS_NOTES", self.path("notes"));
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            (output.status.code().unwrap(), said)
        }

        /// Works so many steps; gives the last that was promised.
        fn write(&self, steps: u64) -> u64 {
            assert_eq!(self.run(&["write"], &[7, steps]).0, 0);
            fs::read_to_string(self.path("notes"))
                .unwrap()
                .parse()
                .unwrap()
        }

        fn check(&self, promised: u64) -> (i32, String) {
            self.run(&["check"], &[7, 2000, promised])
        }
    }

    #[test]
    fn a_witness_knows_what_was_promised() {
        for appends in [false, true] {
            let bench = Bench::new(appends);
            let promised = bench.write(600);
            assert!(promised > 500);
            assert_eq!(bench.check(promised), (0, String::new()));
            // What was not promised may be there, or not.
            assert_eq!(bench.check(0).0, 0);
            // What is promised later is not there.
            let (status, said) = bench.check(1200);
            assert_eq!(status, 1, "{said}");
            assert!(said.contains(" was promised"), "{said}");
        }
    }

    #[test]
    fn a_witness_sees_a_byte_that_is_wrong_or_missing() {
        for appends in [false, true] {
            let bench = Bench::new(appends);
            let promised = bench.write(600);
            let mut seen = [0; 3];
            for file in 0..4 {
                let path = bench.path(&format!("files/{file}"));
                let right = fs::read(&path).unwrap();
                let mut wrong = right.clone();
                *wrong.last_mut().unwrap() ^= 1;
                fs::write(&path, &wrong).unwrap();
                let (status, said) = bench.check(promised);
                assert_eq!(status, 1);
                assert!(said.contains("never written"), "{said}");
                seen[0] += 1;
                fs::write(&path, &right[..4096]).unwrap();
                seen[1] += usize::from(bench.check(promised).0 == 1);
                fs::remove_file(&path).unwrap();
                seen[2] += usize::from(bench.check(promised).0 == 1);
                fs::write(&path, &right).unwrap();
                assert_eq!(bench.check(promised).0, 0);
            }
            assert!(seen[0] == 4 && seen[1] > 1 && seen[2] > 1, "{seen:?}");
        }
    }
}
