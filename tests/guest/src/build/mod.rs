// SPDX-License-Identifier: GPL-2.0-or-later
//! Builds the image.
//!
//! ```text
//! Debian packages --unpack--> work/root --closure over DT_NEEDED--+
//! fio's source --make-------> work/fio/fio                        |
//! /init, boot.sh (ours) --rustc--> work/init                      +--> <kernel>/initramfs.img
//! kernel package --unpack---> work/<kernel> --modules' closure----+
//!                                           --payload of bzImage-----> <kernel>/vmlinuz
//! ```
//!
//! Invariants: nothing outside `target/guest` and `target/apt` is written; a result replaces an older one whole or
//! not at all; the same packages and compilers give the same bytes in any folder; a stamp tells whether the recipe
//! (this crate's sources) is the one the results were built with. Newer packages in the archive do not count as a
//! change: `force` takes them in.

mod agent;
mod elf;
mod fio;
mod kernel;
mod modules;
mod packages;
mod stamp;
mod suites;
mod tools;
mod userland;

use crate::cpio::Archive;
use crate::{Image, Kernel, Options};
use anyhow::{Context, Result};
use debian::{Apt, Suite};
use indicatif::{ProgressBar, ProgressStyle};
use modules::Modules;
pub use packages::packages;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;
pub use suites::suites;
use userland::Userland;

/// Everything the result depends on: a change of any of these builds the image again.
const RECIPE: [&str; 11] = [
    include_str!("mod.rs"),
    include_str!("elf.rs"),
    include_str!("kernel.rs"),
    include_str!("modules.rs"),
    include_str!("userland.rs"),
    include_str!("../cpio.rs"),
    agent::RECIPE,
    agent::FRAME,
    agent::BOOT,
    agent::WITNESS,
    fio::RECIPE,
];

/// Steps of a build, for the progress bar: so many, and so many for each kernel.
const STEPS: (usize, usize) = (4, 2);

/// Where the builder keeps what it fetches and makes.
#[derive(Debug)]
struct Workshop {
    /// `target/guest`.
    results: PathBuf,
    /// `target/guest/work`.
    work: PathBuf,
    /// `target/apt`.
    apt: PathBuf,
    bar: ProgressBar,
}

/// Builds the guest image, or does nothing if it is up to date.
///
/// # Errors
/// Whatever stops the build: a package that cannot be fetched, a tool that fails, a full disk. The message names
/// the step and, where there is one, the log.
pub fn build(options: &Options) -> Result<Image> {
    let mut image = Image::below(&options.target);
    let recipe = stamp::of(&RECIPE);
    let results = options.target.join("guest");
    if options.force {
        packages::forget(&results)?;
        // Kernels that are built when they are asked for will be again.
        for kernel in Kernel::ALL
            .iter()
            .filter(|one| !Kernel::RELEASED.contains(one))
        {
            let _ = fs::remove_file(results.join(kernel.name()).join("stamp"));
        }
    }
    let other = results.join(options.kernel.name());
    let mut images = vec![(Kernel::RELEASED.to_vec(), results)];
    if !Kernel::RELEASED.contains(&options.kernel) {
        images.push((vec![options.kernel], other));
    }
    for (kernels, folder) in images {
        let stamp = folder.join("stamp");
        let complete = kernels.iter().all(|kernel| image.has(*kernel));
        if !options.force && complete && stamp::matches(&stamp, &recipe) {
            continue;
        }
        let shop = Workshop::new(options, kernels.len());
        shop.build(&image, &kernels, options.force)
            .context("building the guest image")?;
        stamp::write(&stamp, &recipe)?;
        shop.bar.finish_and_clear();
        image.rebuilt = true;
    }
    Ok(image)
}

impl Workshop {
    fn new(options: &Options, kernels: usize) -> Self {
        let results = options.target.join("guest");
        let bar = if options.progress {
            ProgressBar::new((STEPS.0 + STEPS.1 * kernels) as u64)
        } else {
            ProgressBar::hidden()
        };
        // The template is ours; the default style is no worse a fall-back than an error.
        let style = ProgressStyle::with_template("{spinner} guest image [{pos}/{len}] {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self {
            work: results.join("work"),
            apt: options.target.join("apt"),
            results,
            bar,
        }
    }

    /// Runs one step under the bar; an error says which it was.
    fn step<T>(&self, name: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
        self.bar.set_message(name.to_owned());
        self.bar.enable_steady_tick(Duration::from_millis(120));
        let done = run().with_context(|| name.to_owned());
        self.bar.inc(1);
        done
    }

    /// apt for one release.
    fn apt(&self, suite: Suite) -> Result<Apt> {
        Ok(Apt::new(self.apt.join(suite.name()), suite)?)
    }

    fn packages(&self) -> PathBuf {
        self.work.join("packages")
    }

    fn build(&self, image: &Image, kernels: &[Kernel], force: bool) -> Result<()> {
        fs::create_dir_all(&self.work)
            .with_context(|| format!("cannot create {}", self.work.display()))?;
        let [init, witness] = self.step("/init", || agent::build(&self.work.join("init")))?;
        let fio = self.step("fio from source", || self.fio(force))?;
        let root = self.step("packages of the userland", || self.userland_root(kernels))?;
        let userland = self.step("libraries of the userland", || {
            let mut userland = Userland::collect(&root, &userland::programs(kernels))?;
            userland.add_file("/usr/bin/fio", &fio.binary());
            userland.add_file("/init", &init);
            userland.add_file("/usr/bin/witness", &witness);
            Ok(userland)
        })?;
        for &kernel in kernels {
            let name = kernel.name();
            let unpacked = self.step(&format!("package of kernel {name}"), || {
                let into = tools::fresh_dir(&self.work.join(name))?;
                kernel::fetch(&self.apt(kernel.suite())?, &self.packages(), &into)?;
                Ok(into)
            })?;
            self.step(&format!("image with kernel {name}"), || {
                let (vmlinux, modules) = kernel::open(&unpacked)?;
                replace(&image.vmlinux(kernel), |file| {
                    Ok(fs::write(file, &vmlinux)?)
                })?;
                let initramfs = image.initramfs(kernel);
                replace(&initramfs, |file| {
                    write_initramfs(file, &userland, &modules)
                })
            })?;
        }
        self.link_default(image)
    }

    fn fio(&self, force: bool) -> Result<fio::Fio> {
        // 3.33 is the version that the project's figures were measured with.
        let apt = self.apt(Suite::Bookworm)?;
        let fetch = |source: &Path| Ok(apt.fetch_source("fio", None, source)?);
        let folder = self.work.join("fio");
        fio::build(&folder, force, fetch, &apt, &self.packages())
    }

    fn userland_root(&self, kernels: &[Kernel]) -> Result<PathBuf> {
        let root = tools::fresh_dir(&self.work.join("root"))?;
        for (suite, names) in userland::packages(kernels) {
            for package in self.apt(suite)?.download(names, &self.packages())? {
                debian::unpack(&package, &root)?;
            }
        }
        Ok(root)
    }

    /// The names of the default kernel's files that do not say which kernel it is.
    fn link_default(&self, image: &Image) -> Result<()> {
        for file in [
            image.vmlinux(Kernel::default()),
            image.initramfs(Kernel::default()),
        ] {
            let name = file.file_name().context("a result without a name")?;
            let target = Path::new(Kernel::default().name()).join(name);
            replace(&self.results.join(name), |link| {
                Ok(std::os::unix::fs::symlink(&target, link)?)
            })?;
        }
        Ok(())
    }
}

/// Makes `path` through a temporary name beside it, so that it is never seen half-made.
fn replace(path: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let context = || format!("cannot make {}", path.display());
    let folder = path.parent().with_context(context)?;
    fs::create_dir_all(folder).with_context(context)?;
    let mut name = path.file_name().with_context(context)?.to_owned();
    name.push(".new");
    let new = folder.join(name);
    // Left by a build that was interrupted.
    let _ = fs::remove_file(&new);
    make(&new)
        .and_then(|()| Ok(fs::rename(&new, path)?))
        .with_context(context)
}

fn write_initramfs(path: &Path, userland: &Userland, modules: &Modules) -> Result<()> {
    let mut archive = Archive::new(BufWriter::new(File::create(path)?));
    for folder in [
        "/proc", "/sys", "/dev", "/tmp", "/run", "/root", "/mnt", "/etc",
    ] {
        archive.directory(folder)?;
    }
    // The kernel opens it for process 1 before anything is mounted.
    archive.device("/dev/console", 0o600, (5, 1))?;
    archive.file("/etc/boot.sh", 0o755, agent::BOOT.as_bytes())?;
    userland.write(&mut archive)?;
    modules.write(&mut archive)?;
    archive.finish()?;
    Ok(())
}
