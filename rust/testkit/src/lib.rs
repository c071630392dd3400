// SPDX-License-Identifier: GPL-2.0-or-later
//! Test doubles: a host, a guest-side NVMe driver, reference models, workloads.
