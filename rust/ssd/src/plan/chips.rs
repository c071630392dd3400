// SPDX-License-Identifier: GPL-2.0-or-later
//! The flash of the enterprise and the conventional drive, and what their errors mean here.

use super::Planner;
use crate::properties::Key;
use ::conv::Paged;
use nand::{Cell, Chips, Finer, GeometryError};
use units::{Bytes, Nanos};

impl Planner<'_> {
    pub(super) fn chips(&self) -> Chips {
        let cell = self.cell();
        let (read, program) = match cell {
            Cell::Slc => (Key::SlcRead, Key::SlcProgram),
            Cell::Mlc => (Key::MlcRead, Key::MlcProgram),
            Cell::Tlc => (Key::TlcRead, Key::TlcProgram),
            Cell::Qlc => (Key::QlcRead, Key::QlcProgram),
        };
        let flash_page = self.bytes(Key::FlashPageSize);
        let wordline = flash_page.get().saturating_mul(u64::from(cell.bits()));
        let one_shot = self.number(Key::OneShotPageSize).unwrap_or(wordline);
        let read_page = self.page_times(read).unwrap_or([Nanos::ZERO; 4]);
        Chips {
            channels: self.u32(Key::Channels),
            luns_per_channel: self.u32(Key::LunsPerChannel),
            planes_per_lun: self.u32(Key::PlanesPerLun),
            cell,
            flash_page,
            one_shot: Bytes::new(one_shot),
            read_4k: self.page_times(Key::Read4k).unwrap_or(read_page),
            read_page,
            program: self.time(program),
            erase: self.time(Key::Erase),
            channel_mbps: self.u64(Key::ChannelBandwidth),
            channel_overhead: self.time(Key::ChannelOverhead),
            finer: Finer {
                channel_command: self.time(Key::ChannelCommand),
                channel_piece: self.bytes(Key::ChannelTransfer),
                register: self.bytes(Key::PageRegister),
                slice: self.time(Key::ProgramSlice),
                window: self.time(Key::ProgramWindow),
            },
        }
    }

    /// A page-mapped namespace.
    pub(super) fn paged(&self, size: Key, buffer: Key, partitions: u32) -> Paged {
        Paged {
            size: self.bytes(size),
            partitions,
            over_provisioning: self.u32(Key::OverProvisioning),
            blocks_per_plane: self.u32(Key::BlocksPerPlane),
            gc_threshold: self.u32(Key::GcThreshold),
            buffer: self.bytes(buffer),
            l2p: None,
        }
    }

    /// The property to blame for an impossible flash array, and the rule.
    pub(super) fn chips_rule(&self, error: GeometryError) -> (Key, String) {
        let chips = self.chips();
        match error {
            GeometryError::Planes | GeometryError::Group => (
                Key::Channels,
                "channels x luns-per-channel x planes-per-lun must be 1 to 65536".into(),
            ),
            GeometryError::Page => (
                Key::FlashPageSize,
                "must be a multiple of 4 KiB, up to 1 MiB".into(),
            ),
            GeometryError::OneShot | GeometryError::Block => (
                Key::OneShotPageSize,
                format!(
                    "must be a multiple of flash-page-size = {}, up to 16 MiB",
                    chips.flash_page
                ),
            ),
        }
    }

    /// The property to blame for an impossible page-mapped namespace, whose size and buffer are
    /// these properties, and the rule.
    pub(super) fn paged_rule(
        &self,
        error: ::conv::ConfigError,
        size: Key,
        buffer: Key,
    ) -> (Key, String) {
        use ::conv::ConfigError as E;
        match error {
            E::Chips(error) => self.chips_rule(error),
            E::Bandwidth => (Key::LinkBandwidth, error.to_string()),
            E::Partitions => (
                Key::Partitions,
                format!("must divide channels = {}", self.u32(Key::Channels)),
            ),
            E::Size => (
                size,
                "must be a multiple of 4 KiB, and with its spare at most 4 TiB for each partition"
                    .into(),
            ),
            E::Blocks => (Key::BlocksPerPlane, "must be 1 to 1048576".into()),
            E::Threshold => (Key::GcThreshold, "must be 1 to 65536".into()),
            E::OverProvisioning => (Key::OverProvisioning, "must be 1 to 1000".into()),
            E::L2p => (
                Key::L2pCacheSize,
                "must be 0, for a map that is all in memory, or at least 4 KiB".into(),
            ),
            E::Buffer { need } => (
                buffer,
                format!(
                    "must be at least {need}: an incomplete one-shot page of each partition, and \
                     one more"
                ),
            ),
        }
    }
}
