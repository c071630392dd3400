// SPDX-License-Identifier: GPL-2.0-or-later
//! The conventional SSD.

#![forbid(unsafe_code)]
