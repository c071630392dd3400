// SPDX-License-Identifier: GPL-2.0-or-later
//! The virtual machine that `run`, `exec` and `shell` start: its options and how they become one.
//!
//! The drive's options are checked here, before anything is built or booted, against the same table that the
//! device itself uses.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use lab::drive::{Aged, Base, Drive};

use crate::failure::Prerequisite;
use setup::Context;

/// QOM id of the drive that the options describe, to ask for its statistics.
pub const DRIVE_ID: &str = "conzone0";

/// Options of the drive and of the machine around it.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub base: Base,
    /// A property of the drive; see docs/properties.md
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    #[command(flatten)]
    pub aged: Aged,
    /// The file that the drive lives in, its data and its state, and that says which it is; made if there is none
    #[arg(long, value_name = "FILE", conflicts_with = "device")]
    pub image: Option<PathBuf>,
    /// A QEMU device instead of the drive, as after -device; again for more of them
    #[arg(short, long, value_name = "DEVICE", conflicts_with_all = ["preset", "drive", "set"])]
    pub device: Vec<String>,
    /// What the guest lives by: the host's clock, counted instructions, or the host's clock with a drive that takes
    /// no time
    #[arg(short, long, value_name = "MODE")]
    pub timing: Option<Timing>,
    /// In virtual time, an instruction takes 2^N ns: the guest's processor has 1000 / 2^N MIPS
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=i64::from(guest::Timing::MAX_SHIFT)))]
    pub icount_shift: Option<u8>,
    /// The guest's kernel: 6.1, 6.12, backports (Debian 13's newest, built when first asked for), or generic for 6.12
    #[arg(short, long, value_name = "VERSION", default_value = "6.12", value_parser = kernel)]
    pub kernel: guest::Kernel,
    /// Put the programs of a package of Debian 13, and what they need, into the guest; again for more of them
    #[arg(long, value_name = "NAME", value_parser = package)]
    pub package: Vec<String>,
    /// Put tests that others wrote for such drives into the guest, below /usr/share/tests: fio's newest of zones,
    /// nvme-cli's and liburing's
    #[arg(long)]
    pub tests: bool,
    /// Virtual CPUs [default: 1 in virtual time, else 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=255))]
    pub smp: Option<u32>,
    /// The guest's memory; the drive's own comes on top
    #[arg(short, long, value_name = "SIZE", default_value = "1G", value_parser = memory)]
    pub memory: u32,
    /// What executes the guest
    #[arg(long, value_name = "NAME", default_value = "tcg")]
    pub accel: Accel,
    /// Make a socket at which `cargo conzone top` and `log` can ask the drive while it runs
    #[arg(long, value_name = "SOCKET")]
    pub qmp: Option<PathBuf>,
    /// One more argument for QEMU itself, such as an -object; again for more of them
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub qemu_arg: Vec<String>,
}

/// `--timing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Timing {
    /// The host's clock: the drive takes its time, the host's noise comes on top
    Real,
    /// Counted instructions: the same results on every host, however busy
    Virtual,
    /// The host's clock, and a drive that completes everything at once
    Off,
}

impl Timing {
    /// As typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Virtual => "virtual",
            Self::Off => "off",
        }
    }
}

/// `--accel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Accel {
    /// QEMU's translator
    Tcg,
    /// The host's virtualisation; not in virtual time
    Kvm,
}

impl Options {
    /// A machine with this drive and nothing else set.
    pub fn of_drive(drive: &Drive) -> Self {
        Self {
            base: drive.base.clone(),
            set: drive.set.clone(),
            aged: Aged { age: drive.age },
            image: None,
            device: Vec::new(),
            timing: None,
            icount_shift: None,
            kernel: guest::Kernel::default(),
            package: Vec::new(),
            tests: false,
            smp: None,
            memory: 1024,
            accel: Accel::Tcg,
            qmp: None,
            qemu_arg: Vec::new(),
        }
    }

    /// Refuses what cannot work, with `default` for a timing that was not given.
    ///
    /// # Errors
    /// A [`Prerequisite`] that names the option.
    pub fn check(&self, default: Timing) -> Result<()> {
        if self.accel == Accel::Kvm && self.timing(default) == Timing::Virtual {
            let why = "--accel kvm cannot count instructions: use --timing real or off with it";
            return Err(Prerequisite(why.into()).into());
        }
        if self.icount_shift.is_some() && self.timing(default) != Timing::Virtual {
            let why =
                "--icount-shift needs --timing virtual: otherwise no instructions are counted";
            return Err(Prerequisite(why.into()).into());
        }
        self.valid_config().map(drop)
    }

    /// [`Options::config`], if it makes a drive.
    fn valid_config(&self) -> Result<ssd::Config> {
        let config = self.config()?;
        let valid = config.validate();
        valid.map_err(|error| self.base.located(&self.set, &error))?;
        Ok(config)
    }

    /// The same options with the drive in an image of its own, aged, where it is to be that.
    ///
    /// # Errors
    /// A [`Prerequisite`] that names the option or property; the image cannot be written.
    pub fn aged(&self) -> Result<(Self, Option<Old>)> {
        let Some(age) = self.aged.age else {
            return Ok((self.clone(), None));
        };
        if self.image.is_some() || !self.device.is_empty() {
            let why = "--age makes a drive of its own: leave out --image (image create has --age, too) and --device";
            return Err(Prerequisite(why.into()).into());
        }
        let config = self.valid_config()?;
        let dir = tempfile::tempdir().context("making a temporary directory")?;
        let old = Old(dir);
        crate::image::make(&old.kept(), &config, Some(age))?;
        old.renew()?;
        let options = Self {
            image: Some(old.path()),
            aged: Aged::default(),
            ..self.clone()
        };
        Ok((options, Some(old)))
    }

    /// The drive's properties, by the table that the device itself uses.
    ///
    /// # Errors
    /// A [`Prerequisite`] that names the property.
    pub fn config(&self) -> Result<ssd::Config> {
        let kept = self.kept()?;
        let mut config = match &kept {
            Some(_) if !self.base.is_given() => ssd::Config::new(),
            _ => self.base.config()?,
        };
        if self.timing == Some(Timing::Off) {
            config.set_pair("timing=off").map_err(refused)?;
        }
        for pair in &self.set {
            let why = match pair.split('=').next().map(str::trim) {
                Some("id") => Some(format!("the drive is called {DRIVE_ID} here")),
                Some("preset") => Some("use --preset, which the report names".into()),
                _ => None,
            };
            if let Some(why) = why {
                return Err(Prerequisite(format!("--set {pair}: {why}")).into());
            }
            config.set_pair(pair).map_err(refused)?;
        }
        match kept {
            Some(kept) => ssd::adopt(&kept, &config).map_err(|error| {
                let image = self.image.as_deref().unwrap_or(Path::new("")).display();
                Prerequisite(format!("--image {image}: {error}")).into()
            }),
            None => Ok(config),
        }
    }

    /// Settings of the drive in the image, if there is one already.
    fn kept(&self) -> Result<Option<ssd::Config>> {
        match &self.image {
            Some(path) => crate::image::config(path),
            None => Ok(None),
        }
    }

    /// What the drive starts from: with an image and nothing else said, the preset that it is of.
    ///
    /// # Errors
    /// The image is none.
    pub fn base_in_effect(&self) -> Result<Base> {
        Ok(match self.kept()? {
            Some(kept) if !self.base.is_given() => Base::preset(kept.preset_in_effect().name),
            _ => self.base.clone(),
        })
    }

    /// The timing in effect.
    pub fn timing(&self, default: Timing) -> Timing {
        self.timing.unwrap_or(default)
    }

    /// The strings after QEMU's `-device`.
    ///
    /// # Errors
    /// An image's path that QEMU cannot be told.
    pub fn devices(&self, timing: Timing) -> Result<Vec<String>> {
        if !self.device.is_empty() {
            return Ok(self.device.clone());
        }
        let mut drive = format!("conzone-nvme,id={DRIVE_ID}");
        match &self.image {
            // It knows which drive it is.
            Some(image) if image.exists() => {}
            _ => drive.push_str(&format!(",preset={}", self.base.preset_in_effect())),
        }
        for pair in self.base.pairs() {
            drive.push_str(&format!(",{}", comma(&pair)));
        }
        if let Some(image) = &self.image {
            let image = in_argument("--image ", image, "")?;
            drive.push_str(&format!(",image={image}"));
        }
        if timing == Timing::Off {
            drive.push_str(",timing=off");
        }
        for pair in &self.set {
            drive.push(',');
            drive.push_str(&comma(pair));
        }
        Ok(vec![drive])
    }

    /// Refuses what cannot be with a guest that has booted before.
    ///
    /// # Errors
    /// A [`Prerequisite`] that says so.
    pub fn check_snapshot(&self, default: Timing) -> Result<()> {
        if self.timing(default) == Timing::Virtual {
            let why = "--from-snapshot needs --timing real or off: in virtual time a guest that is restored would not \
                leave the bytes of one that boots";
            return Err(Prerequisite(why.into()).into());
        }
        Ok(())
    }

    /// Sets up whatever is missing and puts the machine together.
    ///
    /// # Errors
    /// Those of [`Options::check`] and of `setup`.
    pub fn machine(&self, context: &Context, default: Timing) -> Result<guest::Machine> {
        self.check(default)?;
        let mut image = setup::ensure_kernel(context, self.kernel)?;
        if self.tests {
            image.more.push(setup::suites(context)?);
        }
        if !self.package.is_empty() {
            image.more.push(setup::packages(context, &self.package)?);
            let size = image.size(self.kernel)?.div_ceil(1 << 20);
            // The archives, and what the kernel unpacks them into, which may take half of the memory.
            let needed = 2 * size + 128;
            if u64::from(self.memory) < needed {
                let why = format!(
                    "--package {}: the guest's files are then {size} MiB and need --memory {needed}M, not {}M",
                    self.package.join(" "),
                    self.memory
                );
                return Err(Prerequisite(why).into());
            }
        }
        let timing = self.timing(default);
        let mut machine = guest::Machine::new(context.paths.qemu(), image);
        machine.firmware = vec![context.paths.firmware()];
        machine.kernel = self.kernel;
        machine.smp = self
            .smp
            .unwrap_or(if timing == Timing::Virtual { 1 } else { 2 });
        machine.memory_mib = self.memory;
        machine.timing = match timing {
            Timing::Virtual => guest::Timing::Virtual {
                shift: self.icount_shift.unwrap_or(0),
            },
            Timing::Real | Timing::Off => guest::Timing::Real,
        };
        machine.accel = match self.accel {
            Accel::Tcg => guest::Accel::Tcg,
            Accel::Kvm => guest::Accel::Kvm,
        };
        machine.devices = self.devices(timing)?;
        machine.extra_args.clone_from(&self.qemu_arg);
        if let Some(socket) = &self.qmp {
            machine.extra_args.extend(monitor(socket)?);
        }
        Ok(machine)
    }
}

/// The image of an aged drive; it is gone when this is.
#[derive(Debug)]
pub struct Old(tempfile::TempDir);

impl Old {
    /// What machines work on.
    pub fn path(&self) -> PathBuf {
        self.0.path().join("aged.cz")
    }

    /// What it is before.
    fn kept(&self) -> PathBuf {
        self.0.path().join("kept.cz")
    }

    /// The drive as it was before any machine worked on it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn renew(&self) -> Result<()> {
        let path = self.path();
        if path.exists() {
            std::fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
        crate::image::copy(&self.kept(), &path)
    }
}

/// QEMU's arguments for a monitor of the user's beside our own.
fn monitor(socket: &Path) -> Result<[String; 2]> {
    let path = in_argument("--qmp ", socket, "")?;
    Ok(["-qmp".into(), format!("unix:{path},server=on,wait=off")])
}

/// A path as QEMU wants it among an argument's values: a comma is doubled.
///
/// # Errors
/// It is not a text: a [`Prerequisite`] with `what` before it and some advice behind.
pub fn in_argument(what: &str, path: &Path, advice: &str) -> Result<String> {
    let Some(text) = path.to_str() else {
        let why = format!(
            "{what}{}: not a text that QEMU can be told{advice}",
            path.display()
        );
        return Err(Prerequisite(why).into());
    };
    Ok(comma(text))
}

/// A value as QEMU wants it among others.
pub fn comma(value: &str) -> String {
    value.replace(',', ",,")
}

fn refused(error: ssd::ConfigError) -> anyhow::Error {
    Prerequisite(error.to_string()).into()
}

/// A version, or `generic` for the default one: all are Debian's generic kernels. Its cloud kernel has no F2FS.
fn kernel(text: &str) -> Result<guest::Kernel, String> {
    match text {
        "generic" => Ok(guest::Kernel::default()),
        "cloud" => Err(
            "Debian's cloud kernel has no F2FS and is not built: choose generic, 6.1, 6.12 or backports"
                .into(),
        ),
        version => guest::Kernel::from_str(version),
    }
}

/// The name of a Debian package (Debian Policy 5.6.1).
fn package(text: &str) -> Result<String, String> {
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    let first = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if first && text.len() > 1 && text.chars().all(rest) {
        Ok(text.to_owned())
    } else {
        Err("a package's name has lower case letters, digits, +, - and dots".into())
    }
}

/// "1G", "512M" or plain MiB, as MiB.
fn memory(text: &str) -> Result<u32, String> {
    let (digits, factor) = match text.strip_suffix(['G', 'g']) {
        Some(digits) => (digits, 1024),
        None => (text.strip_suffix(['M', 'm']).unwrap_or(text), 1),
    };
    let mib = digits
        .parse::<u32>()
        .ok()
        .and_then(|n| n.checked_mul(factor));
    match mib {
        Some(mib @ 128..=1_048_576) => Ok(mib),
        _ => Err("a size from 128M to 1024G, such as 512M or 2G".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: Options,
    }

    #[test]
    fn kernels_go_by_version_or_kind() {
        assert_eq!(kernel("generic"), Ok(guest::Kernel::V6_12));
        assert_eq!(kernel("6.1"), Ok(guest::Kernel::V6_1));
        assert!(kernel("cloud").unwrap_err().contains("generic"));
    }

    fn args(line: &str) -> Options {
        Command::try_parse_from(format!("x {line}").split_whitespace())
            .unwrap()
            .args
    }

    #[test]
    fn the_drive_is_described_by_its_options() {
        let given = args("--preset ufs4-tlc --set zones=4 --set serial=a,b");
        assert_eq!(
            given.devices(Timing::Off).unwrap(),
            ["conzone-nvme,id=conzone0,preset=ufs4-tlc,timing=off,zones=4,serial=a,,b"]
        );
        let timing = |line| args(line).config().unwrap().get("timing").unwrap();
        assert_eq!([timing(""), timing("--timing off")], ["on", "off"]);
        let replaced = args("--device nvme,serial=1 --device e1000");
        assert_eq!(
            replaced.devices(Timing::Real).unwrap(),
            ["nvme,serial=1", "e1000"]
        );
    }

    /// File, then options, then what is set: of two settings of a key QEMU takes the later.
    #[test]
    fn a_file_is_between_preset_and_set() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.drive").display().to_string();
        std::fs::write(&path, "preset = ufs4-tlc\nzones = 8\ntiming = on\n").unwrap();
        let given = args(&format!("--drive {path} --set zones=4"));
        assert_eq!(
            given.devices(Timing::Off).unwrap(),
            ["conzone-nvme,id=conzone0,preset=ufs4-tlc,zones=8,timing=on,timing=off,zones=4"]
        );
        let config = given.config().unwrap();
        let values = ["preset", "zones"].map(|name| config.get(name).unwrap());
        assert_eq!(values, ["ufs4-tlc", "4"]);
        assert_eq!(given.base_in_effect().unwrap().name(), "small");
        assert!(Command::try_parse_from(["x", "--device", "nvme", "--drive", &path]).is_err());
    }

    #[test]
    fn what_cannot_work_is_refused_with_status_2() {
        for line in [
            "--set nonsense=1",
            "--set zones",
            "--set zones=many",
            "--set id=mine",
            "--set preset=ufs4-tlc",
            "--set channels=0",
            "--accel kvm --timing virtual",
            "--icount-shift 1",
        ] {
            let error = args(line).check(Timing::Real).unwrap_err();
            assert!(error.is::<failure::Prerequisite>(), "{line}: {error}");
            assert!(!error.to_string().contains('\n'), "{line}: {error}");
        }
        args("--set zones=8 --accel kvm")
            .check(Timing::Real)
            .unwrap();
        args("--timing virtual --icount-shift 10")
            .check(Timing::Real)
            .unwrap();
        assert!(Command::try_parse_from(["x", "--icount-shift", "11"]).is_err());
        assert!(Command::try_parse_from(["x", "--preset", "x"]).is_err());
        assert!(Command::try_parse_from(["x", "--device", "nvme", "--set", "zones=1"]).is_err());
    }

    #[test]
    fn an_image_knows_which_drive_it_is_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.cz");
        let config = ssd::Config::preset("ufs4-tlc").unwrap();
        ::image::Image::create(&path, &config).unwrap();
        let given = |more: &str| args(&format!("--image {} {more}", path.display()));
        for same in ["", "--preset ufs4-tlc"] {
            let options = given(same);
            options.check(Timing::Real).unwrap();
            assert_eq!(options.base_in_effect().unwrap().name(), "ufs4-tlc");
            let devices = options.devices(Timing::Real).unwrap();
            assert!(!devices[0].contains("preset"), "{devices:?}");
        }
        let other = given("--preset tlc-zoned").check(Timing::Real).unwrap_err();
        let why = "it is of a drive with preset=ufs4-tlc, not preset=tlc-zoned";
        assert!(other.to_string().ends_with(why), "{other}");
    }

    #[test]
    fn a_guest_that_has_booted_is_not_for_virtual_time() {
        args("--timing off")
            .check_snapshot(Timing::Virtual)
            .unwrap();
        let error = args("").check_snapshot(Timing::Virtual).unwrap_err();
        assert!(error.to_string().starts_with("--from-snapshot needs"));
    }

    #[test]
    fn packages_have_names() {
        for name in ["stress-ng", "g++", "0ad", "libc6.1"] {
            assert_eq!(package(name), Ok(name.into()));
        }
        for wrong in ["", "x", "-s", "--reinstall", "Perl", "a b", "a/sid", "a=1"] {
            assert!(package(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn memory_sizes() {
        assert_eq!(memory("1G"), Ok(1024));
        assert_eq!(memory("768m"), Ok(768));
        assert_eq!(memory("256"), Ok(256));
        for wrong in ["", "G", "64M", "1T", "99999999G", "-1"] {
            assert!(memory(wrong).is_err(), "{wrong}");
        }
    }
}
