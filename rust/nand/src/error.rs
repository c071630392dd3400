// SPDX-License-Identifier: GPL-2.0-or-later
//! Why a geometry is none.

use core::fmt;

/// A relation between the parts of a [`crate::Geometry`] that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeometryError {
    /// Channels x luns x planes is not 1 to 65536.
    Planes,
    /// The dies do not divide into groups.
    Group,
    /// The flash page is not a multiple of 4 KiB up to 1 MiB.
    Page,
    /// The one-shot page is not whole flash pages, or is larger than 16 MiB.
    OneShot,
    /// The block is not whole wordlines, or is larger than 1 TiB.
    Block,
}

impl fmt::Display for GeometryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Planes => "channels x luns-per-channel x planes-per-lun must be 1 to 65536",
            Self::Group => "channels x luns-per-channel must be a multiple of dies-per-zone",
            Self::Page => "flash-page-size must be a multiple of 4 KiB, up to 1 MiB",
            Self::OneShot => {
                "one-shot-page-size must be a multiple of flash-page-size, up to 16 MiB"
            }
            Self::Block => {
                "block-size must be a multiple of flash-page-size x bits per cell, up to 1 TiB"
            }
        })
    }
}

impl std::error::Error for GeometryError {}
