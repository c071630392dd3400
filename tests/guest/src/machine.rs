// SPDX-License-Identifier: GPL-2.0-or-later
//! The virtual machine a job runs in: its parts and QEMU's command line.

use crate::{Image, Job, Kernel, Running};
use anyhow::{ensure, Context, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

/// Words for the kernel that make it start fast and repeatably: no randomised layout, no calibration, no probing of
/// hardware the machine has not. A panic reboots, which ends the machine;
/// `iomem=relaxed` lets `nvme show-regs` read the registers.
const CMDLINE: &str = "console=ttyS0 quiet nokaslr mitigations=off tsc=reliable no_timer_check \
    i8042.noaux i8042.nokbd cryptomgr.notests audit=0 apparmor=0 selinux=0 nmi_watchdog=0 \
    raid=noautodetect lpj=4000000 iomem=relaxed panic=-1";

/// The only reason why starting fails once QEMU is known to be there.
pub(crate) const NO_SETPRIV: &str = "cannot run setpriv (package util-linux)";

/// Which clock the guest lives by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// The host's clock.
    #[default]
    Real,
    /// The count of executed instructions: the same on every host and in every run.
    Virtual {
        /// An instruction takes 2^`shift` ns; at most [`Timing::MAX_SHIFT`].
        shift: u8,
    },
}

impl Timing {
    /// QEMU's own limit for the shift: 1.024 us an instruction.
    pub const MAX_SHIFT: u8 = 10;
}

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accel {
    /// QEMU's translator: works everywhere.
    #[default]
    Tcg,
    /// The host's KVM. Not with [`Timing::Virtual`].
    Kvm,
}

/// A virtual machine; start it as often as you like.
#[derive(Clone, Debug)]
pub struct Machine {
    /// `qemu-system-x86_64`.
    pub qemu: PathBuf,
    /// Folders QEMU looks for firmware in (`-L`); one of them has `qboot.rom`.
    pub firmware: Vec<PathBuf>,
    /// The guest image.
    pub image: Image,
    /// Which of its kernels to boot.
    pub kernel: Kernel,
    /// Virtual CPUs.
    pub smp: u32,
    /// Guest memory in MiB.
    pub memory_mib: u32,
    /// The guest's clock.
    pub timing: Timing,
    /// What executes the guest.
    pub accel: Accel,
    /// `-device` strings.
    pub devices: Vec<String>,
    /// More arguments for QEMU. They come last and so override: `-action reboot=reset` makes a reset boot the
    /// guest again, which then starts its job again, instead of ending the machine.
    pub extra_args: Vec<String>,
    /// More words for the kernel's command line.
    pub extra_cmdline: String,
    /// Moves the machine to another QEMU every so often while its job runs.
    pub move_every: Option<Duration>,
    /// Restores a guest that has booted before from a file in this folder, which is made the first time, instead of booting.
    /// With [`Timing::Real`]; what is in extra arguments has no part in it.
    pub snapshots: Option<PathBuf>,
}

impl Machine {
    /// A machine of 1 CPU and 1 GiB without devices.
    pub fn new(qemu: impl Into<PathBuf>, image: Image) -> Self {
        Self {
            qemu: qemu.into(),
            firmware: Vec::new(),
            image,
            kernel: Kernel::default(),
            smp: 1,
            memory_mib: 1024,
            timing: Timing::default(),
            accel: Accel::default(),
            devices: Vec::new(),
            extra_args: Vec::new(),
            extra_cmdline: String::new(),
            move_every: None,
            snapshots: None,
        }
    }

    /// Starts QEMU with this job. It ends when the thread that calls this does.
    ///
    /// # Errors
    /// Files of the job or the image that cannot be read, or a QEMU that does not start. A QEMU that starts and
    /// then refuses its arguments is reported here too, with its own message.
    pub fn start(&self, job: &Job) -> Result<Running> {
        Running::start(self, job)
    }

    /// Boots to a shell on this terminal and returns when QEMU ends. Ctrl-A x ends it at once.
    ///
    /// # Errors
    /// Files of the image that cannot be read, or a QEMU that cannot be executed.
    pub fn shell(&self) -> Result<ExitStatus> {
        let folder = tempfile::tempdir()?;
        let initramfs = folder.path().join("initramfs.img");
        self.image.assemble(self.kernel, &[], &initramfs)?;
        let mut command = self.command(&initramfs)?;
        command
            .args(["-serial", "mon:stdio", "-no-reboot"])
            .args(&self.extra_args);
        command.status().context(NO_SETPRIV)
    }

    /// QEMU with everything but what connects the job (serial ports, monitor, what a shutdown does) and the extra
    /// arguments.
    pub(crate) fn command(&self, initramfs: &Path) -> Result<Command> {
        let kernel = self.image.vmlinux(self.kernel);
        for file in [kernel.as_path(), initramfs] {
            ensure!(
                file.is_file(),
                "{} is missing: build the guest image first",
                file.display()
            );
        }
        ensure!(
            self.accel == Accel::Tcg || self.timing == Timing::Real,
            "virtual time needs the TCG accelerator: KVM cannot count instructions"
        );
        ensure!(self.qemu.is_file(), "{} is missing", self.qemu.display());
        // Dies with us, even when we are killed: a guest left behind would eat a core for ever.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&self.qemu);
        command.args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-machine",
            "q35",
        ]);
        command.args(match self.accel {
            Accel::Tcg => ["-accel", "tcg", "-cpu", "qemu64"],
            Accel::Kvm => ["-accel", "kvm", "-cpu", "host"],
        });
        if let Timing::Virtual { shift } = self.timing {
            command
                .args(["-icount", &format!("shift={shift},sleep=off")])
                .args(["-rtc", "base=2020-01-01,clock=vm"]);
        }
        command.args([
            "-smp",
            &self.smp.to_string(),
            "-m",
            &self.memory_mib.to_string(),
        ]);
        for folder in &self.firmware {
            command.arg("-L").arg(folder);
        }
        command.args(["-bios", "qboot.rom", "-kernel"]).arg(kernel);
        command
            .arg("-initrd")
            .arg(initramfs)
            .args(["-append", &self.cmdline()]);
        for device in &self.devices {
            command.args(["-device", device]);
        }
        Ok(command)
    }

    fn cmdline(&self) -> String {
        format!("{CMDLINE} {}", self.extra_cmdline)
            .trim_end()
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> (tempfile::TempDir, Machine) {
        let target = tempfile::tempdir().unwrap();
        let image = Image::below(target.path());
        for kernel in Kernel::ALL {
            std::fs::create_dir_all(image.vmlinux(kernel).parent().unwrap()).unwrap();
            std::fs::write(image.vmlinux(kernel), "").unwrap();
            std::fs::write(image.initramfs(kernel), "").unwrap();
        }
        std::fs::write(target.path().join("qemu"), "").unwrap();
        let qemu = target.path().join("qemu");
        (target, Machine::new(qemu, image))
    }

    fn arguments(machine: &Machine) -> String {
        let command = machine
            .command(&machine.image.initramfs(machine.kernel))
            .unwrap();
        let words: Vec<_> = command
            .get_args()
            .map(|word| word.to_string_lossy())
            .collect();
        words.join(" ")
    }

    #[test]
    fn devices_keep_their_order() {
        let (_target, mut machine) = machine();
        machine.devices = vec!["pcie-root-port,id=rp".into(), "nvme,bus=rp,serial=a".into()];
        let line = arguments(&machine);
        let end = "-device pcie-root-port,id=rp -device nvme,bus=rp,serial=a";
        assert!(line.ends_with(end), "{line}");
    }

    #[test]
    fn virtual_time_counts_instructions_and_binds_the_clock_to_them() {
        let (_target, mut machine) = machine();
        assert!(!arguments(&machine).contains("icount"));
        machine.timing = Timing::Virtual { shift: 1 };
        let line = arguments(&machine);
        assert!(
            line.contains("-icount shift=1,sleep=off -rtc base=2020-01-01,clock=vm"),
            "{line}"
        );
        machine.accel = Accel::Kvm;
        let error = machine.command(Path::new("/dev/null")).unwrap_err();
        assert!(
            error.to_string().contains("build the guest image"),
            "{error}"
        );
        let initramfs = machine.image.initramfs(machine.kernel);
        assert!(machine
            .command(&initramfs)
            .unwrap_err()
            .to_string()
            .contains("TCG"));
    }
}
