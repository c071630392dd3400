// SPDX-License-Identifier: GPL-2.0-or-later
//! The NVMe controller core, free of QEMU and of the flash model.
