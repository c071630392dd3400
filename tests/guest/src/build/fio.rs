// SPDX-License-Identifier: GPL-2.0-or-later
//! fio, linked statically from Debian's source: the packaged one drags 62 libraries (63 MB) along. Its own tests of
//! zoned drives (`t/zbd`) are kept for who wants them (suites.rs).
//!
//! The same source and the same compiler give the same bytes, whatever folder they are built in: debug information,
//! which names it, would be stripped but stay in the build identifier, a hash.

use super::{stamp, tools};
use anyhow::{Context, Result};
use debian::Apt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

/// This file: a change of it builds fio again.
pub(super) const RECIPE: &str = include_str!("fio.rs");

/// Has the static library of the libaio engine.
const LIBAIO: &str = "libaio-dev";

/// Flags without which the folder's name would show in the result; its name follows.
const ANYWHERE: &str = "-g0 -ffile-prefix-map";

/// The shell scripts of fio's own tests of zoned drives, by their names in its source and here.
const ZBD_TESTS: [&str; 2] = ["functions", "test-zbd-support"];

/// Everything that needs a library, or the very processor that compiles.
const CONFIGURE: [&str; 9] = [
    "--build-static",
    "--disable-native",
    "--disable-rados",
    "--disable-rbd",
    "--disable-gfapi",
    "--disable-http",
    "--disable-pmem",
    "--disable-numa",
    "--disable-libzbc",
];

/// What the build leaves.
#[derive(Clone, Debug)]
pub(super) struct Fio {
    folder: PathBuf,
}

impl Fio {
    /// The tests of zoned drives and the fio that they look for there, by their paths below a folder of the guest.
    pub(super) fn tests(&self, folder: &str) -> impl Iterator<Item = (String, PathBuf)> + '_ {
        let folder = folder.to_owned();
        let fio = (format!("{folder}/fio"), self.binary());
        let scripts = ZBD_TESTS.iter().map(move |name| {
            let path = format!("{folder}/t/zbd/{name}");
            (path, self.folder.join(name))
        });
        scripts.chain([fio])
    }

    pub(super) fn binary(&self) -> PathBuf {
        self.folder.join("fio")
    }
}

/// Builds fio in `folder`, unless it is there already, from what `fetch` unpacks and the libaio of `apt`.
pub(super) fn build(
    folder: &Path,
    force: bool,
    fetch: impl FnOnce(&Path) -> Result<()>,
    apt: &Apt,
    packages: &Path,
) -> Result<Fio> {
    let fio = Fio {
        folder: folder.to_owned(),
    };
    let mark = folder.join("stamp");
    let recipe = stamp::of(&[RECIPE]);
    if !force && fio.binary().is_file() && stamp::matches(&mark, &recipe) {
        return Ok(fio);
    }
    tools::fresh_dir(folder)?;
    let source = folder.join("source");
    fetch(&source)?;
    let libaio = folder.join("libaio");
    for package in apt.download(&[LIBAIO], packages)? {
        debian::unpack(&package, &libaio)?;
    }
    compile(&source, &libaio, &folder.join("build.log"))?;
    fs::copy(source.join("fio"), fio.binary()).context("fio was not built")?;
    for name in ZBD_TESTS {
        let test = source.join("t/zbd").join(name);
        fs::copy(&test, folder.join(name)).with_context(|| test.display().to_string())?;
    }
    fs::remove_dir_all(&source)?;
    stamp::write(&mark, &recipe)?;
    Ok(fio)
}

fn compile(source: &Path, libaio: &Path, log: &Path) -> Result<()> {
    let libaio = libaio
        .canonicalize()
        .context("libaio was not unpacked")?
        .join("usr");
    let folder = source.canonicalize().context("no source")?;
    let flags = format!("--extra-cflags={ANYWHERE}={}=.", folder.display());
    // gcc looks there for headers and libraries: fio's own flags do not reach its last link.
    let paths = [
        ("C_INCLUDE_PATH", libaio.join("include")),
        ("LIBRARY_PATH", libaio.join("lib/x86_64-linux-gnu")),
    ];
    let mut configure = Command::new("./configure");
    configure
        .args(CONFIGURE)
        .arg(flags)
        .envs(paths.clone())
        .current_dir(source);
    tools::run_logged(&mut configure, log)?;
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    let mut make = Command::new("make");
    make.arg(format!("-j{jobs}"))
        .arg("fio")
        .envs(paths)
        .current_dir(source);
    tools::run_logged(&mut make, log)?;
    tools::run_logged(Command::new("strip").arg("fio").current_dir(source), log)
}
