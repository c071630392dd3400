// SPDX-License-Identifier: GPL-2.0-or-later
//! Builds the Linux guest image that runs fio and nvme-cli.
