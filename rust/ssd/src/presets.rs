// SPDX-License-Identifier: GPL-2.0-or-later
//! The presets: which properties differ from the defaults of the table, and how.

use crate::properties::{Default, Key, ModelKind, Property};

/// A named set of defaults.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// Its name, as users write it.
    pub name: &'static str,
    /// What drive it stands for, one line.
    pub doc: &'static str,
    /// Its defaults where they are not the table's.
    settings: &'static [(Key, &'static str)],
}

impl Preset {
    /// The text of its own default of a property, if it has one.
    #[must_use]
    pub fn setting(&self, key: Key) -> Option<&'static str> {
        self.settings.iter().find(|s| s.0 == key).map(|s| s.1)
    }
}

impl ModelKind {
    /// Its presets.
    pub fn presets(self) -> impl Iterator<Item = &'static Preset> {
        // The first model is what a preset has that names none.
        let of = |preset: &Preset| preset.setting(Key::Model).unwrap_or(Self::NAMES[0]);
        PRESETS.iter().filter(move |p| of(p) == self.name())
    }
}

impl Property {
    /// The text of its default in a preset; `auto` if it is computed.
    #[must_use]
    pub fn default_in(&self, preset: &Preset) -> &'static str {
        preset.setting(self.key).unwrap_or(match self.default {
            Default::All(text) => text,
            Default::Auto(_) => "auto",
        })
    }
}

/// Position in [`PRESETS`] of the one that is in effect when none is set.
pub(crate) const DEFAULT_PRESET: usize = 1;

/// The presets; those of one model next to each other.
pub const PRESETS: [Preset; 12] = [
    Preset {
        name: "ufs4-tlc",
        doc: "the UFS 4.0 class drive of the reference: 4 channels, TLC, zoned",
        settings: &[
            (Key::Zones, "16"),
            (Key::MetaSize, "2G"),
            (Key::Channels, "4"),
            (Key::PlanesPerLun, "4"),
            (Key::FlashPageSize, "16K"),
            (Key::BlockSize, "33M"),
            (Key::ChannelBandwidth, "1422"),
            (Key::TlcRead, "40000"),
            (Key::WriteBufferSize, "1536K"),
            (Key::MetaWriteBufferSize, "384K"),
            (Key::WbDwell, "320000"),
            (Key::SlcSuperblocks, "4"),
            (Key::QueueEntries, "64"),
        ],
    },
    Preset {
        name: "tlc-zoned",
        doc: "a small TLC drive, zoned",
        settings: &[(Key::MetaSize, "256M")],
    },
    Preset {
        name: "qlc-zoned-page-slc",
        doc: "a small QLC drive, zoned, all data staged in page-mapped pSLC",
        settings: &[
            (Key::MetaSize, "256M"),
            (Key::Cell, "qlc"),
            (Key::BlockSize, "32M"),
            (Key::SlcBypass, "off"),
        ],
    },
    Preset {
        name: "qlc-zoned-zone-slc",
        doc: "a small QLC drive, zoned, one pSLC superblock per open zone",
        settings: &[
            (Key::MetaSize, "256M"),
            (Key::Cell, "qlc"),
            (Key::BlockSize, "32M"),
            (Key::SlcBypass, "off"),
            (Key::SlcMap, "sub-zone"),
        ],
    },
    Preset {
        name: "qlc-zoned-dynamic",
        doc: "a small QLC drive, zoned, with a dynamic cache: what is free of it is used as pSLC, and folded when it is idle",
        // The shape of consumer drives with such a cache: an empty one's is about a quarter of the capacity (all free QLC in
        // 1-bit mode), and outside of it they are 11 to 40 times as slow. 25 superblocks are lent and 7 of its own
        // are filled before it is full: 1 of 4 GiB.
        settings: &[
            (Key::MetaSize, "256M"),
            (Key::Cell, "qlc"),
            (Key::BlockSize, "32M"),
            (Key::SlcBypass, "off"),
            (Key::SlcSuperblocks, "8"),
            (Key::SlcDynamicShare, "100"),
            (Key::FoldIdle, "500000000"),
        ],
    },
    Preset {
        name: "tlc-block",
        doc: "a small TLC drive with a block (not zoned) data namespace",
        settings: &[(Key::DataInterface, "block"), (Key::MetaSize, "40M")],
    },
    Preset {
        name: "qlc-block",
        doc: "a small QLC drive with a block (not zoned) data namespace",
        settings: &[
            (Key::DataInterface, "block"),
            (Key::MetaSize, "40M"),
            (Key::Cell, "qlc"),
            (Key::BlockSize, "32M"),
            (Key::SlcBypass, "off"),
        ],
    },
    Preset {
        name: "zns-proto",
        doc: "a prototype of an enterprise zoned drive: small zones of one die each",
        settings: &[
            (Key::Model, "zns"),
            (Key::Zones, "128"),
            (Key::ZoneCapacity, "32M"),
            (Key::WriteUnit, "128K"),
            (Key::MetaSize, "0"),
            (Key::MaxOpen, "0"),
            (Key::MaxActive, "0"),
            (Key::Channels, "8"),
            (Key::LunsPerChannel, "16"),
            (Key::DiesPerZone, "1"),
            (Key::FlashPageSize, "64K"),
            (Key::OneShotPageSize, "128K"),
            (Key::ChannelBandwidth, "800"),
            (Key::ChannelOverhead, "413"),
            (Key::LinkBandwidth, "3200"),
            (Key::TlcRead, "40950"),
            (Key::Read4k, "25485"),
            (Key::TlcProgram, "1913640"),
            (Key::Erase, "0"),
            (Key::FwRead4k, "32150"),
            (Key::FwRead, "32150"),
            (Key::WbufBase, "0"),
            (Key::WbufPage, "0"),
            (Key::WriteBufferSize, "32M"),
        ],
    },
    Preset {
        name: "zns-large",
        doc: "an enterprise zoned drive with large zones over 4 of its 8 dies",
        settings: &[
            (Key::Model, "zns"),
            (Key::Zones, "8"),
            (Key::ZoneCapacity, "528M"),
            (Key::MetaSize, "0"),
            (Key::MaxOpen, "14"),
            (Key::MaxActive, "14"),
            (Key::Channels, "4"),
            (Key::FlashPageSize, "64K"),
            (Key::ChannelBandwidth, "1422"),
            (Key::TlcRead, "40000"),
            (Key::WriteBufferSize, "1536K"),
            (Key::WbScope, "zone"),
        ],
    },
    Preset {
        name: "zns-zn540",
        doc: "an enterprise zoned drive that can be bought, by what it was measured to do",
        // Zones, LBAs and resources: the drive's own. The rest is fitted to two thirds of the points of
        // tests/hardware, each figure to those that show it; docs/validation.md says how well.
        settings: &[
            (Key::Model, "zns"),
            (Key::Zones, "904"),
            (Key::ZoneCapacity, "1077M"),
            (Key::MetaSize, "0"),
            (Key::MaxOpen, "14"),
            (Key::MaxActive, "14"),
            // Random reads saturate as 32 planes do, and read-ahead as 8 channels of 4 KiB in 8.7 us.
            (Key::Channels, "8"),
            (Key::LunsPerChannel, "4"),
            (Key::DiesPerZone, "32"),
            (Key::ChannelBandwidth, "450"),
            // Sequential reads of 64 KiB and more: 3125 MiB/s.
            (Key::LinkBandwidth, "3125"),
            // Sequential reads of one page one after the other, without read-ahead: 16.6 us each.
            (Key::ChannelCommand, "8000"),
            // Of those every fourth of 4 KiB, every second of 8 KiB takes a sense more.
            (Key::PageRegister, "16K"),
            // Random reads at depth 1: two in three take 69.1 us, one 81.4.
            (Key::TlcRead, "44400/44400/56400"),
            (Key::Read4k, "44400/44400/56400"),
            // Writes of any kind together: 1150 MiB/s are 32 planes with 96 KiB each 2.5 ms.
            (Key::TlcProgram, "1560000"),
            // Reads beside writes wait for 0 to 270 us, evenly.
            (Key::ProgramSlice, "173400"),
            (Key::ProgramWindow, "90000"),
            (Key::Erase, "0"),
            // Up to 14 zones are as fast together as one: they begin on different dies.
            (Key::ZoneStagger, "9"),
            // What is left to program when a zone that was written is finished: 2.6 ms.
            (Key::WriteBufferSize, "4224K"),
            // 459 k reads of 4 KiB, 298 k of 8 KiB, 180 k of 16 KiB, 182 k writes and 132 k appends a second.
            (Key::Cores, "1"),
            (Key::CoreRead, "1000"),
            (Key::CoreReadPage, "1180"),
            (Key::CoreWrite, "3800"),
            (Key::CoreWritePage, "500"),
            (Key::CoreAppend, "2100"),
            // The first write to a zone.
            (Key::CoreOpen, "2500"),
            // Open and close.
            (Key::CoreZone, "9000"),
            // 4 KiB take as long as 8 KiB, and less than 4 KiB 20 us more.
            (Key::CoreUnit, "8K"),
            (Key::CorePartial, "1200"),
            (Key::CoreSubpage, "20000"),
            // Depth 1: what reads from read-ahead, appends and writes take beside all that.
            (Key::FwRead4k, "4300"),
            (Key::FwRead, "4300"),
            (Key::FwAppend, "1400"),
            (Key::WbufBase, "3000"),
            (Key::WbufPage, "400"),
            // One zone is read at 2.3 GiB/s at depth 1, two are not.
            (Key::ReadAheadStreams, "1"),
            (Key::ReadAheadTrigger, "8"),
            (Key::ReadAheadSize, "1M"),
            // Resets: 1.6 ms, and 50 ns for each page written.
            (Key::ResetWait, "on"),
            (Key::ResetTime, "1600000"),
            (Key::ResetPage, "50"),
            // Finishes: an empty zone's, and the rest at 1.2 GB/s.
            (Key::FinishTime, "3500"),
            (Key::FinishPads, "on"),
        ],
    },
    Preset {
        name: "conv-970pro",
        doc: "a conventional MLC SSD",
        settings: &[
            (Key::Model, "conv"),
            (Key::Cell, "mlc"),
            (Key::Channels, "8"),
            (Key::Partitions, "4"),
            (Key::OneShotPageSize, "32K"),
            (Key::ChannelBandwidth, "800"),
            (Key::LinkBandwidth, "3360"),
            (Key::Read4k, "29760/41760"),
            (Key::Erase, "0"),
            (Key::FwRead4k, "21500"),
            (Key::FwRead, "30490"),
            (Key::WbufBase, "4000"),
            (Key::WbufPage, "460"),
            (Key::WriteBufferSize, "1M"),
            (Key::L2pCacheSize, "0"),
        ],
    },
    Preset {
        name: "nvm-optane",
        doc: "a plain fast drive without flash",
        settings: &[(Key::Model, "simple")],
    },
];

/// Their names, in the same order.
pub(crate) const PRESET_NAMES: [&str; PRESETS.len()] = {
    let mut names = [""; PRESETS.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = PRESETS[i].name;
        i += 1;
    }
    names
};
