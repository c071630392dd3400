// SPDX-License-Identifier: GPL-2.0-or-later
//! Drives the real QEMU binary over its qtest protocol.
