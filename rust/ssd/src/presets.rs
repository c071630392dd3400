// SPDX-License-Identifier: GPL-2.0-or-later
//! The presets: which properties differ from the defaults of the table, and how.

use crate::properties::Key;

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

/// Position in [`PRESETS`] of the one that is in effect when none is set.
pub(crate) const DEFAULT_PRESET: usize = 1;

/// The presets; those of one model next to each other.
pub const PRESETS: [Preset; 11] = [
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
        doc: "an enterprise zoned drive with large zones over all of its 32 dies",
        settings: &[
            (Key::Model, "zns"),
            (Key::Zones, "4"),
            (Key::ZoneCapacity, "2G"),
            (Key::MetaSize, "0"),
            (Key::MaxOpen, "14"),
            (Key::MaxActive, "14"),
            (Key::Channels, "8"),
            (Key::LunsPerChannel, "4"),
            (Key::DiesPerZone, "32"),
            (Key::ChannelBandwidth, "450"),
            (Key::LinkBandwidth, "3050"),
            (Key::TlcRead, "58000"),
            (Key::Read4k, "50000"),
            (Key::TlcProgram, "561000"),
            (Key::Erase, "0"),
            (Key::WriteBufferSize, "960K"),
            (Key::WbScope, "zone"),
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
