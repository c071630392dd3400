// SPDX-License-Identifier: GPL-2.0-or-later
//! The enterprise zoned drive.

#![forbid(unsafe_code)]
