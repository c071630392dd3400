// SPDX-License-Identifier: GPL-2.0-or-later
//! A small Linux guest for trying the device: builds it, boots it, runs jobs in it.
//!
//! ```text
//! build(Options) -> Image       Debian kernels, userland, fio and our /init, under target/guest
//! Machine + Job  -> Running     one QEMU process, the job appended to the initramfs
//!                   Running     output live, exit status, fetched files, QMP
//! ```
//!
//! A job is a shell script that the guest's `/init` runs as root, plus files to put into the guest and files to
//! take out of it. Everything comes back over a second serial port in the format of [`frame`], which is
//! binary safe; the first serial port is the kernel's console.
//!
//! Not modelled: guests of other architectures, networking, more than one job in a boot.
#![forbid(unsafe_code)]

mod build;
mod cpio;
mod decode;
pub mod frame;
mod image;
mod job;
mod machine;
mod qmp;
mod running;
mod snapshot;

pub use build::{build, packages, suites};
pub use image::{Image, Kernel, Options};
pub use job::{Job, Stream};
pub use machine::{Accel, Machine, Timing};
pub use qmp::Qmp;
pub use running::{Outcome, Running};
