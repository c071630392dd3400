// SPDX-License-Identifier: GPL-2.0-or-later
//! Identify: structures that encode themselves into a page of zeroes.

use crate::bytes::{put, put_text, wire_enum};

/// Size of every Identify data structure in bytes.
pub const IDENTIFY_BYTES: usize = 4096;

wire_enum! {
    /// Controller or Namespace Structure (Base, section 5.17, figure 273).
    Cns: u8 {
        /// Identify Namespace, NVM command set.
        Namespace = 0x00,
        /// Identify Controller.
        Controller = 0x01,
        /// Active Namespace ID list.
        ActiveList = 0x02,
        /// Namespace Identification Descriptor list.
        Descriptors = 0x03,
        /// I/O command set specific Identify Namespace.
        SetNamespace = 0x05,
        /// I/O command set specific Identify Controller.
        SetController = 0x06,
        /// I/O command set specific Active Namespace ID list.
        SetActiveList = 0x07,
        /// I/O command set independent Identify Namespace.
        IndependentNamespace = 0x08,
        /// Allocated Namespace ID list.
        AllocatedList = 0x10,
        /// Identify Namespace for an allocated namespace.
        AllocatedNamespace = 0x11,
        /// Controller list: those attached to a namespace.
        AttachedControllers = 0x12,
        /// Controller list: those of the NVM subsystem.
        Controllers = 0x13,
        /// I/O command set specific Allocated Namespace ID list.
        SetAllocatedList = 0x1a,
        /// I/O command set specific Identify Namespace for an allocated namespace.
        SetAllocatedNamespace = 0x1b,
        /// Identify I/O Command Set.
        CommandSets = 0x1c,
    }
}

wire_enum! {
    /// Command Set Identifier (Base, section 5.17, figure 274).
    CommandSet: u8 {
        /// NVM.
        Nvm = 0x00,
        /// Zoned Namespace.
        Zoned = 0x02,
    }
}

wire_enum! {
    /// Namespace Identifier Type (Base, section 5.17.2.3, figure 277).
    NamespaceIdType: u8 {
        /// IEEE Extended Unique Identifier, 8 bytes.
        Eui64 = 1,
        /// Namespace Globally Unique Identifier, 16 bytes.
        Nguid = 2,
        /// Namespace UUID, 16 bytes.
        Uuid = 3,
        /// Command Set Identifier, 1 byte.
        CommandSet = 4,
    }
}

/// Identify Controller (Base, section 5.17.2.1, figures 275 and 276); fields left out are zero.
#[derive(Clone, Copy, Debug)]
pub struct IdentifyController<'a> {
    /// VID.
    pub vendor_id: u16,
    /// SSVID.
    pub subsystem_vendor_id: u16,
    /// SN.
    pub serial: &'a str,
    /// MN.
    pub model: &'a str,
    /// FR.
    pub firmware: &'a str,
    /// RAB: recommended arbitration burst as a power of two.
    pub arbitration_burst: u8,
    /// IEEE OUI, little endian.
    pub oui: [u8; 3],
    /// MDTS as a power of two of the smallest memory page.
    pub mdts: u8,
    /// CNTLID.
    pub controller_id: u16,
    /// VER.
    pub version: u32,
    /// OAES.
    pub async_events: u32,
    /// CNTRLTYPE: 1 for an I/O controller.
    pub controller_type: u8,
    /// OACS.
    pub admin_commands: u16,
    /// ACL, zero-based.
    pub abort_limit_z: u8,
    /// AERL, zero-based.
    pub async_event_limit_z: u8,
    /// FRMW.
    pub firmware_updates: u8,
    /// LPA.
    pub log_attributes: u8,
    /// ELPE, zero-based.
    pub error_entries_z: u8,
    /// WCTEMP in kelvins.
    pub warning_kelvin: u16,
    /// CCTEMP in kelvins.
    pub critical_kelvin: u16,
    /// TNVMCAP in bytes.
    pub total_capacity: u64,
    /// EDSTT: minutes that an extended self-test takes.
    pub self_test_minutes: u16,
    /// DSTO bit 0: one self-test at a time.
    pub one_self_test: bool,
    /// HMPRE and HMMIN: Host Memory Buffer that the controller likes best and needs, in 4 KiB; 0 and 0 for none.
    pub host_buffer: (u32, u32),
    /// HMMINDS: smallest part of it in 4 KiB, and HMMAXD: most parts.
    pub host_buffer_parts: (u32, u16),
    /// SANICAP: what Sanitize can do.
    pub sanitize: u32,
    /// MXCMD: MAXCMD, most commands in flight per queue.
    pub max_commands: u16,
    /// NN.
    pub namespaces: u32,
    /// ONCS.
    pub nvm_commands: u16,
    /// FNA.
    pub format_attributes: u8,
    /// VWC.
    pub write_cache: u8,
    /// OCFS: copy descriptor formats.
    pub copy_formats: u16,
    /// SGLS.
    pub sgl: u32,
    /// SUBNQN, without the terminating zero.
    pub subsystem_nqn: &'a str,
    /// APSTA: power state transitions can be left to the controller.
    pub autonomous_transitions: bool,
    /// PSD: one for each power state, at most 32; NPSS says how many.
    pub power_states: &'a [PowerStateDescriptor],
}

impl IdentifyController<'_> {
    /// Encodes the structure into a page of zeroes.
    pub fn encode(&self, page: &mut [u8; IDENTIFY_BYTES]) {
        put(page, 0, &self.vendor_id.to_le_bytes());
        put(page, 2, &self.subsystem_vendor_id.to_le_bytes());
        put_text(page, 4, 20, self.serial);
        put_text(page, 24, 40, self.model);
        put_text(page, 64, 8, self.firmware);
        put(page, 72, &[self.arbitration_burst]);
        put(page, 73, &self.oui);
        put(page, 77, &[self.mdts]);
        put(page, 78, &self.controller_id.to_le_bytes());
        put(page, 80, &self.version.to_le_bytes());
        put(page, 92, &self.async_events.to_le_bytes());
        put(page, 111, &[self.controller_type]);
        put(page, 256, &self.admin_commands.to_le_bytes());
        put(page, 258, &[self.abort_limit_z]);
        put(page, 259, &[self.async_event_limit_z]);
        put(page, 260, &[self.firmware_updates]);
        put(page, 261, &[self.log_attributes]);
        put(page, 262, &[self.error_entries_z]);
        put(page, 266, &self.warning_kelvin.to_le_bytes());
        put(page, 268, &self.critical_kelvin.to_le_bytes());
        let ((preferred, minimum), (part, parts)) = (self.host_buffer, self.host_buffer_parts);
        put(page, 272, &preferred.to_le_bytes());
        put(page, 276, &minimum.to_le_bytes());
        put(page, 332, &part.to_le_bytes());
        put(page, 336, &parts.to_le_bytes());
        put(page, 280, &self.total_capacity.to_le_bytes());
        put(page, 316, &self.self_test_minutes.to_le_bytes());
        put(page, 318, &[u8::from(self.one_self_test)]);
        put(page, 328, &self.sanitize.to_le_bytes());
        // SQES and CQES: entries of 2^6 and 2^4 bytes, minimum and maximum alike.
        put(page, 512, &[0x66, 0x44]);
        put(page, 514, &self.max_commands.to_le_bytes());
        put(page, 516, &self.namespaces.to_le_bytes());
        put(page, 520, &self.nvm_commands.to_le_bytes());
        put(page, 524, &[self.format_attributes]);
        put(page, 525, &[self.write_cache]);
        put(page, 534, &self.copy_formats.to_le_bytes());
        put(page, 536, &self.sgl.to_le_bytes());
        let nqn = self.subsystem_nqn.as_bytes();
        put(page, 768, nqn.get(..nqn.len().min(255)).unwrap_or(&[]));
        let states_z = self.power_states.len().clamp(1, 32) - 1;
        put(page, 263, &[states_z as u8]);
        put(page, 265, &[u8::from(self.autonomous_transitions)]);
        for (i, state) in self.power_states.iter().take(32).enumerate() {
            put(page, 2048 + 32 * i, &state.encode());
        }
    }
}

/// Power State Descriptor (Base, section 5.17.2.1, figure 276); powers in 100 microwatts, of which all that are not given are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PowerStateDescriptor {
    /// MP.
    pub max_power: u32,
    /// NOPS.
    pub non_operational: bool,
    /// ENLAT in microseconds.
    pub entry_us: u32,
    /// EXLAT in microseconds.
    pub exit_us: u32,
    /// RRT, RRL, RWT and RWL.
    pub relative: u8,
    /// IDLP.
    pub idle_power: u32,
    /// ACTP.
    pub active_power: u32,
}

impl PowerStateDescriptor {
    fn encode(&self) -> [u8; 32] {
        let (max, is_centiwatts) = scaled(self.max_power);
        let (idle, active) = (scaled(self.idle_power), scaled(self.active_power));
        // 01b: 100 uW; 10b: 10 mW; 00b: not given.
        let scale = |power: u32, (_, is_centiwatts)| match (power, is_centiwatts) {
            (0, _) => 0,
            (_, false) => 0x40,
            (_, true) => 0x80,
        };
        let mut bytes = [0; 32];
        put(&mut bytes, 0, &max.to_le_bytes());
        // MXPS is 1 for 100 uW.
        let flags = u8::from(!is_centiwatts) | u8::from(self.non_operational) << 1;
        put(&mut bytes, 3, &[flags]);
        put(&mut bytes, 4, &self.entry_us.to_le_bytes());
        put(&mut bytes, 8, &self.exit_us.to_le_bytes());
        put(&mut bytes, 12, &[self.relative & 0x1f; 4]);
        put(&mut bytes, 16, &idle.0.to_le_bytes());
        put(&mut bytes, 18, &[scale(self.idle_power, idle)]);
        put(&mut bytes, 20, &active.0.to_le_bytes());
        put(&mut bytes, 22, &[scale(self.active_power, active)]);
        bytes
    }
}

/// A power in 16 bits, and whether it is in 10 mW, not in 100 uW: where nothing is lost by that, or it does not fit otherwise.
fn scaled(power: u32) -> (u16, bool) {
    match u16::try_from(power) {
        Ok(fine) if power % 100 != 0 => (fine, false),
        _ => (u16::try_from(power / 100).unwrap_or(u16::MAX), true),
    }
}

/// Identify Namespace, NVM command set (NVM, section 4.1.5.1, figures 97 and 98); fields left out
/// are zero.
#[derive(Clone, Copy, Debug)]
pub struct IdentifyNamespace<'a> {
    /// NSZE in LBAs.
    pub size: u64,
    /// NCAP in LBAs.
    pub capacity: u64,
    /// NUSE in LBAs.
    pub used: u64,
    /// NSFEAT.
    pub features: u8,
    /// FLBAS: current LBA format.
    pub format: u8,
    /// DLFEAT.
    pub deallocate_features: u8,
    /// NVMCAP in bytes.
    pub bytes: u64,
    /// NPWG and NPWA in LBAs, zero-based.
    pub preferred_write_z: u16,
    /// NPDG and NPDA in LBAs, zero-based.
    pub preferred_deallocate_z: u16,
    /// NOWS in LBAs, zero-based.
    pub optimal_write_z: u16,
    /// MSSRL: most LBAs of one Copy range.
    pub copy_range_blocks: u16,
    /// MCL: most LBAs of a Copy.
    pub copy_blocks: u32,
    /// MSRC: most ranges of a Copy, zero-based.
    pub copy_ranges_z: u8,
    /// NGUID.
    pub nguid: [u8; 16],
    /// EUI64.
    pub eui64: [u8; 8],
    /// LBADS of each LBA format, as powers of two.
    pub lba_shifts: &'a [u8],
}

impl IdentifyNamespace<'_> {
    /// Encodes the structure into a page of zeroes.
    pub fn encode(&self, page: &mut [u8; IDENTIFY_BYTES]) {
        put(page, 0, &self.size.to_le_bytes());
        put(page, 8, &self.capacity.to_le_bytes());
        put(page, 16, &self.used.to_le_bytes());
        let formats_z = u8::try_from(self.lba_shifts.len().saturating_sub(1)).unwrap_or(15);
        put(page, 24, &[self.features, formats_z, self.format]);
        put(page, 33, &[self.deallocate_features]);
        put(page, 48, &self.bytes.to_le_bytes());
        put(page, 64, &self.preferred_write_z.to_le_bytes());
        put(page, 66, &self.preferred_write_z.to_le_bytes());
        put(page, 68, &self.preferred_deallocate_z.to_le_bytes());
        put(page, 70, &self.preferred_deallocate_z.to_le_bytes());
        put(page, 72, &self.optimal_write_z.to_le_bytes());
        put(page, 74, &self.copy_range_blocks.to_le_bytes());
        put(page, 76, &self.copy_blocks.to_le_bytes());
        put(page, 80, &[self.copy_ranges_z]);
        put(page, 104, &self.nguid);
        put(page, 120, &self.eui64);
        for (i, shift) in self.lba_shifts.iter().take(16).enumerate() {
            put(page, 128 + 4 * i, &[0, 0, *shift, 0]);
        }
    }
}

/// I/O command set independent Identify Namespace (Base, section 5.17.2.8, figure 280).
#[derive(Clone, Copy, Debug)]
pub struct IndependentNamespace {
    /// NSFEAT, the bits common to all command sets.
    pub features: u8,
    /// NSTAT.NRDY.
    pub ready: bool,
}

impl IndependentNamespace {
    /// Encodes the structure into a page of zeroes.
    pub fn encode(&self, page: &mut [u8; IDENTIFY_BYTES]) {
        put(page, 0, &[self.features]);
        put(page, 14, &[u8::from(self.ready)]);
    }
}

/// Identify Controller, NVM command set (NVM, section 4.1.5.4, figure 102).
#[derive(Clone, Copy, Debug)]
pub struct NvmController {
    /// VSL as a power of two of the smallest memory page, 0 for no limit.
    pub verify_limit: u8,
    /// WZSL, likewise.
    pub write_zeroes_limit: u8,
    /// WUSL, likewise.
    pub write_uncorrectable_limit: u8,
    /// DMRL: ranges of Dataset Management, 0 for no limit.
    pub deallocate_ranges: u8,
    /// DMRSL: LBAs of one range, 0 for no limit.
    pub deallocate_range_blocks: u32,
    /// DMSL: LBAs of one command, 0 for no limit.
    pub deallocate_blocks: u64,
}

impl NvmController {
    /// Encodes the structure into a page of zeroes.
    pub fn encode(&self, page: &mut [u8; IDENTIFY_BYTES]) {
        put(
            page,
            0,
            &[
                self.verify_limit,
                self.write_zeroes_limit,
                self.write_uncorrectable_limit,
                self.deallocate_ranges,
            ],
        );
        put(page, 4, &self.deallocate_range_blocks.to_le_bytes());
        put(page, 8, &self.deallocate_blocks.to_le_bytes());
    }
}

/// Identify Namespace, Zoned Namespace command set (ZNS, section 4.1.5.1, figures 48 and 49);
/// fields left out are zero.
#[derive(Clone, Copy, Debug)]
pub struct ZonedNamespace<'a> {
    /// OZCS bit 0: reads may cross zone boundaries.
    pub read_across: bool,
    /// MAR, zero-based, all ones for no limit.
    pub max_active_z: u32,
    /// MOR, zero-based, all ones for no limit.
    pub max_open_z: u32,
    /// Zone Random Write Area, if supported.
    pub zrwa: Option<ZonedNamespaceZrwa>,
    /// ZSZE in LBAs, for each LBA format.
    pub zone_sizes: &'a [u64],
    /// ZDES in units of 64 bytes.
    pub extension_units: u8,
}

/// The Zone Random Write Area fields of [`ZonedNamespace`] (TP 4076).
#[derive(Clone, Copy, Debug)]
pub struct ZonedNamespaceZrwa {
    /// NUMZRWA; not zero-based, unlike MAR and MOR.
    pub resources: u32,
    /// ZRWAFG in LBAs.
    pub granularity: u16,
    /// ZRWASZ in LBAs.
    pub size: u16,
}

impl ZonedNamespace<'_> {
    /// Encodes the structure into a page of zeroes.
    pub fn encode(&self, page: &mut [u8; IDENTIFY_BYTES]) {
        let options = u16::from(self.read_across) | u16::from(self.zrwa.is_some()) << 1;
        put(page, 2, &options.to_le_bytes());
        put(page, 4, &self.max_active_z.to_le_bytes());
        put(page, 8, &self.max_open_z.to_le_bytes());
        if let Some(zrwa) = self.zrwa {
            put(page, 44, &zrwa.resources.to_le_bytes());
            put(page, 48, &zrwa.granularity.to_le_bytes());
            put(page, 50, &zrwa.size.to_le_bytes());
            // ZRWACAP: explicit flush is supported.
            put(page, 52, &[1]);
        }
        for (i, size) in self.zone_sizes.iter().take(64).enumerate() {
            put(page, 2816 + 16 * i, &size.to_le_bytes());
            put(page, 2816 + 16 * i + 8, &[self.extension_units]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controller_fields_lie_where_the_figure_puts_them() {
        let mut page = [0; IDENTIFY_BYTES];
        IdentifyController {
            vendor_id: 0x1b36,
            subsystem_vendor_id: 0x1af4,
            serial: "S1",
            model: "M",
            firmware: "123456789",
            arbitration_burst: 6,
            oui: [1, 2, 3],
            mdts: 6,
            controller_id: 1,
            version: 0x20000,
            async_events: 1 << 27,
            controller_type: 1,
            admin_commands: 0x102,
            abort_limit_z: 3,
            async_event_limit_z: 4,
            firmware_updates: 3,
            log_attributes: 6,
            error_entries_z: 63,
            warning_kelvin: 343,
            critical_kelvin: 353,
            total_capacity: 1 << 30,
            self_test_minutes: 0x102,
            one_self_test: true,
            host_buffer: (0x4000, 0x100),
            host_buffer_parts: (1, 256),
            sanitize: 0x8000_0007,
            max_commands: 64,
            namespaces: 2,
            nvm_commands: 0x5d,
            format_attributes: 4,
            write_cache: 7,
            copy_formats: 1,
            sgl: 0x50001,
            subsystem_nqn: "nqn.x",
            autonomous_transitions: true,
            power_states: &[
                PowerStateDescriptor {
                    max_power: 50_000,
                    ..PowerStateDescriptor::default()
                },
                PowerStateDescriptor {
                    max_power: 50,
                    non_operational: true,
                    entry_us: 0x102,
                    exit_us: 0x304,
                    relative: 1,
                    idle_power: 25,
                    active_power: 65_600,
                },
            ],
        }
        .encode(&mut page);
        assert_eq!(&page[4..24], b"S1                  ");
        assert_eq!(&page[64..72], b"12345678");
        assert_eq!((page[77], page[111], page[258], page[262]), (6, 1, 3, 63));
        assert_eq!(page[92..96], (1_u32 << 27).to_le_bytes());
        assert_eq!((page[512], page[513], page[525]), (0x66, 0x44, 7));
        assert_eq!(page[516..520], 2_u32.to_le_bytes());
        assert_eq!(page[536..540], 0x50001_u32.to_le_bytes());
        assert_eq!(&page[768..774], b"nqn.x\0");
        assert_eq!(page[316..319], [2, 1, 1]);
        assert_eq!(page[328..332], [7, 0, 0, 0x80]);
        assert_eq!(page[272..280], [0, 0x40, 0, 0, 0, 1, 0, 0]);
        assert_eq!(page[332..338], [1, 0, 0, 0, 0, 1]);
        assert_eq!((page[263], page[265]), (1, 1));
        assert_eq!(page[2048..2050], 500_u16.to_le_bytes());
        assert_eq!(page[2050..2080], [0; 30]);
        let second = [
            50, 0, 0, 3, 2, 1, 0, 0, 4, 3, 0, 0, 1, 1, 1, 1, 25, 0, 0x40, 0, 144, 2, 0x80,
        ];
        assert_eq!(page[2080..2103], second);
    }

    #[test]
    fn zoned_fields_lie_where_the_figure_puts_them() {
        let mut page = [0; IDENTIFY_BYTES];
        ZonedNamespace {
            read_across: true,
            max_active_z: 5,
            max_open_z: u32::MAX,
            zrwa: Some(ZonedNamespaceZrwa {
                resources: 3,
                granularity: 4,
                size: 32,
            }),
            zone_sizes: &[0x20000, 0x4000],
            extension_units: 1,
        }
        .encode(&mut page);
        assert_eq!(page[..12], [0, 0, 3, 0, 5, 0, 0, 0, 255, 255, 255, 255]);
        assert_eq!(page[44..53], [3, 0, 0, 0, 4, 0, 32, 0, 1]);
        assert_eq!(page[2816..2824], 0x20000_u64.to_le_bytes());
        assert_eq!((page[2824], page[2833]), (1, 0x40));
    }

    #[test]
    fn namespace_fields_lie_where_the_figure_puts_them() {
        let mut page = [0; IDENTIFY_BYTES];
        IdentifyNamespace {
            size: 100,
            capacity: 90,
            used: 80,
            features: 0x14,
            format: 1,
            deallocate_features: 9,
            bytes: 409_600,
            preferred_write_z: 7,
            preferred_deallocate_z: 0,
            optimal_write_z: 11,
            copy_range_blocks: 64,
            copy_blocks: 256,
            copy_ranges_z: 127,
            nguid: [0xaa; 16],
            eui64: [0xbb; 8],
            lba_shifts: &[9, 12],
        }
        .encode(&mut page);
        assert_eq!(page[24..27], [0x14, 1, 1]);
        assert_eq!((page[33], page[64], page[72], page[80]), (9, 7, 11, 127));
        assert_eq!((page[104], page[120]), (0xaa, 0xbb));
        assert_eq!(page[128..136], [0, 0, 9, 0, 0, 0, 12, 0]);
    }
}
