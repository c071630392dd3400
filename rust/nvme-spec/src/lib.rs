// SPDX-License-Identifier: GPL-2.0-or-later
//! NVMe and ZNS wire formats.
