// SPDX-License-Identifier: GPL-2.0-or-later
//! The virtual machine a job runs in: its parts and QEMU's command line.

use crate::{Image, Job, Kernel, Running};
use std::path::PathBuf;
use std::process::ExitStatus;

/// Which clock the guest lives by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// The host's clock.
    #[default]
    Real,
    /// The count of executed instructions, 1 ns each: the same on every host and in every run.
    Virtual,
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
    /// More arguments for QEMU, as they are.
    pub extra_args: Vec<String>,
    /// More words for the kernel's command line.
    pub extra_cmdline: String,
    /// Whether a reset reboots the guest, which then starts its job again; otherwise it ends the machine.
    pub allow_reset: bool,
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
            allow_reset: false,
        }
    }

    /// Starts QEMU with this job.
    ///
    /// # Errors
    /// Files of the job or the image that cannot be read, or a QEMU that does not start. A QEMU that starts and
    /// then refuses its arguments is reported here too, with its own message.
    pub fn start(&self, _job: &Job) -> anyhow::Result<Running> {
        anyhow::bail!("not written yet")
    }

    /// Boots to a shell on this terminal and returns when QEMU ends. Ctrl-A x ends it at once.
    ///
    /// # Errors
    /// Files of the image that cannot be read, or a QEMU that cannot be executed.
    pub fn shell(&self) -> anyhow::Result<ExitStatus> {
        anyhow::bail!("not written yet")
    }
}
