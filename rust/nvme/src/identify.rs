// SPDX-License-Identifier: GPL-2.0-or-later
//! Identify (Base, section 5.17): what the controller and its namespaces are.
//!
//! Only what is implemented is announced; docs/spec-coverage.md lists both.

use nvme_spec::{
    AdminOpcode, Cns, CommandSet, IdentifyCdw10, IdentifyCdw11, IdentifyController,
    IdentifyNamespace, IndependentNamespace, NamespaceIdType, NvmController, PowerStateDescriptor,
    Sqe, Status, ZonedNamespace, ZonedNamespaceZrwa, IDENTIFY_BYTES, NSID_ALL, VERSION_2_0,
};
use units::Instant;

use crate::controller::Controller;
use crate::drive::{Drive, NamespaceInfo, ZonedInfo, LBA_SHIFTS};
use crate::error_log;
use crate::events;
use crate::features::{ARBITRATION_BURST, CRITICAL_KELVIN, OAES, WARNING_KELVIN};
use crate::host::Host;
use crate::host_buffer::MAX_PARTS;
use crate::io::VERIFY_LIMIT;
use crate::power_states::{PowerState, MAX_POWER_STATES};
use crate::ranges::{COPY_BYTES, COPY_RANGES, DEALLOCATE_BLOCKS, DEALLOCATE_RANGES};
use crate::reject::{Reject, CDW10, CDW11, NSID};
use crate::sanitize::SANICAP;
use crate::transfer::Direction;
use crate::work::{at_once, Done};

/// OACS: Format NVM, Device Self-test.
const OACS: u16 = 1 << 1 | 1 << 4;
/// OACS: Doorbell Buffer Config.
const OACS_DOORBELL_BUFFER: u16 = 1 << 8;
/// ONCS: Compare, Write Uncorrectable, Dataset Management, Write Zeroes, Save and Select, Timestamp, Verify, Copy.
const ONCS: u16 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 8;
/// LPA: Commands Supported and Effects, extended Get Log Page, and the logs of bit 5 (Supported
/// Log Pages, Feature Identifiers and NVMe-MI Commands Supported and Effects).
const LPA: u8 = 1 << 1 | 1 << 2 | 1 << 5;
/// FRMW: one slot, read-only.
const FRMW: u8 = 1 << 1 | 1 << 0;
/// FNA: cryptographic erase.
const FNA: u8 = 1 << 2;
/// VWC: Flush accepts all namespaces.
const VWC: u8 = 0b110;
/// SGLS: byte aligned; bit buckets; may be longer than the data.
const SGLS: u32 = 1 << 0 | 1 << 16 | 1 << 18;
/// NSFEAT: deallocated block errors (DAE), preferred sizes (OPTPERF).
const NSFEAT: u8 = 1 << 2 | 1 << 4;
/// DLFEAT: deallocated blocks read as zeroes; Write Zeroes can deallocate.
const DLFEAT: u8 = 0b001 | 1 << 3;
/// Power state 0 of a phone's storage, where it is the only one: 5 W.
const ONE_POWER_STATE: PowerStateDescriptor = PowerStateDescriptor {
    max_power: 50_000,
    non_operational: false,
    entry_us: 0,
    exit_us: 0,
    relative: 0,
    idle_power: 0,
    active_power: 0,
};
/// CNTLID: the only controller of its subsystem.
const CONTROLLER_ID: u16 = 1;
/// Entries of a namespace list.
const LIST_ENTRIES: usize = IDENTIFY_BYTES / 4;

impl<D: Drive> Controller<D> {
    /// Identify: puts the structure together in scratch memory and sends it.
    pub(crate) fn identify<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        now: Instant,
    ) -> Result<Done, Reject> {
        let dword = IdentifyCdw10::from(sqe.cdw10());
        let cns = Cns::from_wire(dword.cns()).ok_or(Reject::invalid(CDW10, 0))?;
        self.map(host, sqe, IDENTIFY_BYTES as u64, Direction::ToGuest)?;
        self.scratch.fill(0);
        match cns {
            Cns::Namespace | Cns::AllocatedNamespace => {
                if let Some(info) = self.identified(sqe.nsid, cns == Cns::Namespace)? {
                    identify_namespace(info, self.max_transfer()).encode(&mut self.scratch);
                }
            }
            Cns::Controller => self.identify_controller(),
            Cns::ActiveList => self.namespace_list(sqe.nsid, |is_active, _| is_active)?,
            Cns::AllocatedList => self.namespace_list(sqe.nsid, |_, _| true)?,
            Cns::SetActiveList => {
                let set = command_set(sqe)?;
                self.namespace_list(sqe.nsid, |is_active, csi| is_active && csi == set)?;
            }
            Cns::SetAllocatedList => {
                let set = command_set(sqe)?;
                self.namespace_list(sqe.nsid, |_, csi| csi == set)?;
            }
            Cns::Descriptors => self.identify_descriptors(sqe.nsid)?,
            Cns::AttachedControllers => {
                // All namespaces that are active are attached to the one controller.
                if self.identified(sqe.nsid, true)?.is_some() {
                    self.controller_list(dword.controller());
                }
            }
            Cns::Controllers => self.controller_list(dword.controller()),
            Cns::SetNamespace | Cns::SetAllocatedNamespace => {
                self.identify_set_namespace(sqe, cns == Cns::SetNamespace)?;
            }
            Cns::SetController => self.identify_set_controller(command_set(sqe)?),
            Cns::IndependentNamespace => {
                if self.identified(sqe.nsid, true)?.is_some() {
                    let common = IndependentNamespace {
                        features: 0,
                        ready: true,
                    };
                    common.encode(&mut self.scratch);
                }
            }
            Cns::CommandSets => {
                // The one combination: NVM and Zoned Namespace.
                let sets = 1_u64 << CommandSet::Nvm.wire() | 1 << CommandSet::Zoned.wire();
                let (first, _) = self.scratch.split_at_mut(8);
                first.copy_from_slice(&sets.to_le_bytes());
            }
        }
        self.transfer.put(host, 0, &*self.scratch)?;
        at_once(now, 0)
    }

    /// The namespace to describe; `None` (a page of zeroes) if it exists but is not active.
    fn identified(
        &self,
        nsid: u32,
        must_be_active: bool,
    ) -> Result<Option<&NamespaceInfo>, Reject> {
        let index = (nsid as usize).wrapping_sub(1);
        let info = self.drive.namespaces().get(index).ok_or(Reject::at(
            Status::InvalidNamespace,
            NSID,
            0,
        ))?;
        Ok((self.is_active(info) || !must_be_active).then_some(info))
    }

    fn identify_controller(&mut self) {
        let capacity = self
            .drive
            .namespaces()
            .iter()
            .fold(0_u64, |sum, ns| sum.saturating_add(ns.capacity.get()));
        let nqn = subsystem_nqn(&self.config.serial);
        let mut power_states = [ONE_POWER_STATE; MAX_POWER_STATES];
        let given = self.config.power_states;
        for (place, state) in power_states.iter_mut().zip(given.iter().zip(0..)) {
            *place = describe(state);
        }
        let count = given.len().max(1);
        IdentifyController {
            vendor_id: self.config.vendor_id,
            subsystem_vendor_id: self.config.subsystem_vendor_id,
            serial: &self.config.serial,
            model: &self.config.model,
            firmware: &self.config.firmware,
            arbitration_burst: ARBITRATION_BURST,
            oui: [0x00, 0x54, 0x52],
            mdts: self.config.mdts,
            controller_id: CONTROLLER_ID,
            version: VERSION_2_0,
            async_events: OAES,
            controller_type: 1,
            admin_commands: if self.config.offers(AdminOpcode::DoorbellBufferConfig) {
                OACS | OACS_DOORBELL_BUFFER
            } else {
                OACS
            },
            abort_limit_z: 3,
            async_event_limit_z: events::LIMIT_Z,
            firmware_updates: FRMW,
            log_attributes: LPA,
            error_entries_z: (error_log::ENTRIES - 1) as u8,
            warning_kelvin: WARNING_KELVIN,
            critical_kelvin: CRITICAL_KELVIN,
            total_capacity: capacity,
            self_test_minutes: self.self_test_minutes(),
            one_self_test: true,
            host_buffer: (self.config.host_buffer, self.config.host_buffer_min),
            host_buffer_parts: match self.config.host_buffer {
                0 => (0, 0),
                _ => (1, MAX_PARTS as u16),
            },
            sanitize: SANICAP,
            max_commands: 0,
            namespaces: self.namespace_count(),
            nvm_commands: ONCS,
            format_attributes: FNA,
            write_cache: VWC | u8::from(self.config.write_cache),
            copy_formats: 1,
            sgl: SGLS,
            subsystem_nqn: &nqn,
            autonomous_transitions: self.config.has_power_states(),
            power_states: power_states.get(..count).unwrap_or(&power_states),
        }
        .encode(&mut self.scratch);
    }

    /// Identifiers above `after` of the namespaces that `wanted(is_active, command set)` accepts.
    fn namespace_list(
        &mut self,
        after: u32,
        wanted: impl Fn(bool, CommandSet) -> bool,
    ) -> Result<(), Reject> {
        if after >= NSID_ALL - 1 {
            return Err(Reject::at(Status::InvalidNamespace, NSID, 0));
        }
        let has_zoned = self.has_zoned();
        let mut place = self.scratch.chunks_exact_mut(4);
        let all = self.drive.namespaces().iter().zip(1_u32..);
        for (info, nsid) in all.filter(|(_, nsid)| *nsid > after).take(LIST_ENTRIES) {
            let is_active = info.zoned.is_none() || has_zoned;
            if wanted(is_active, set_of(info)) {
                if let Some(place) = place.next() {
                    place.copy_from_slice(&nsid.to_le_bytes());
                }
            }
        }
        Ok(())
    }

    /// Controller list (Base, section 4.4.1) of those with identifiers from `first` on: how many, and which.
    fn controller_list(&mut self, first: u16) {
        if first <= CONTROLLER_ID {
            let list = u32::from(CONTROLLER_ID) << 16 | 1;
            let (place, _) = self.scratch.split_at_mut(4);
            place.copy_from_slice(&list.to_le_bytes());
        }
    }

    /// Namespace Identification Descriptor list (Base).
    fn identify_descriptors(&mut self, nsid: u32) -> Result<(), Reject> {
        let Some(info) = self.identified(nsid, true)? else {
            return Err(Reject::invalid(NSID, 0));
        };
        let (eui64, nguid, set) = (info.eui64, info.nguid, set_of(info));
        let set = [set.wire()];
        let uuid = uuid_of(nguid);
        let descriptors: [(NamespaceIdType, &[u8]); 4] = [
            (NamespaceIdType::Eui64, &eui64),
            (NamespaceIdType::Nguid, &nguid),
            (NamespaceIdType::Uuid, &uuid),
            (NamespaceIdType::CommandSet, &set),
        ];
        let mut rest: &mut [u8] = &mut *self.scratch;
        for (kind, bytes) in descriptors {
            let (header, tail) = rest.split_at_mut(4);
            header.copy_from_slice(&[kind.wire(), bytes.len() as u8, 0, 0]);
            let (value, tail) = tail.split_at_mut(bytes.len());
            value.copy_from_slice(bytes);
            rest = tail;
        }
        Ok(())
    }

    fn identify_set_namespace(&mut self, sqe: &Sqe, must_be_active: bool) -> Result<(), Reject> {
        let set = command_set(sqe)?;
        let Some(info) = self.identified(sqe.nsid, must_be_active)? else {
            return Ok(());
        };
        match (set, info.zoned.as_ref()) {
            // No protection information, no extended LBA formats: all zeroes.
            (CommandSet::Nvm, _) => {}
            (CommandSet::Zoned, Some(zoned)) => {
                let sizes = LBA_SHIFTS.map(|shift| zoned.zone_size.get() >> shift);
                let shift = info.lba_shift;
                identify_zoned(zoned, &sizes, shift).encode(&mut self.scratch);
            }
            (CommandSet::Zoned, None) => return Err(Reject::invalid(CDW11 + 3, 0)),
        }
        Ok(())
    }

    fn identify_set_controller(&mut self, set: CommandSet) {
        match set {
            CommandSet::Nvm => NvmController {
                verify_limit: VERIFY_LIMIT,
                write_zeroes_limit: VERIFY_LIMIT,
                write_uncorrectable_limit: VERIFY_LIMIT,
                deallocate_ranges: DEALLOCATE_RANGES,
                deallocate_range_blocks: DEALLOCATE_BLOCKS,
                deallocate_blocks: DEALLOCATE_BLOCKS.into(),
            }
            .encode(&mut self.scratch),
            CommandSet::Zoned => {
                // ZASL is the only field (ZNS).
                if let Some(byte) = self.scratch.first_mut() {
                    *byte = self.config.zasl;
                }
            }
        }
    }
}

/// A power state, and its number. Commands take the same time in all that are operational.
fn describe((state, number): (&PowerState, u8)) -> PowerStateDescriptor {
    PowerStateDescriptor {
        max_power: state.max_power,
        non_operational: !state.is_operational,
        entry_us: state.entry_us,
        exit_us: state.exit_us,
        relative: if state.is_operational { 0 } else { number },
        idle_power: state.idle_power,
        active_power: state.active_power,
    }
}

/// CSI of dword 11.
fn command_set(sqe: &Sqe) -> Result<CommandSet, Reject> {
    let csi = IdentifyCdw11::from(sqe.cdw11()).command_set();
    CommandSet::from_wire(csi).ok_or(Reject::invalid(CDW11 + 3, 0))
}

/// The command set a namespace belongs to.
const fn set_of(info: &NamespaceInfo) -> CommandSet {
    if info.zoned.is_some() {
        CommandSet::Zoned
    } else {
        CommandSet::Nvm
    }
}

fn identify_namespace(info: &NamespaceInfo, max_transfer: u64) -> IdentifyNamespace<'static> {
    let shift = info.lba_shift;
    let blocks_u16 = |bytes: u64| u16::try_from(bytes >> shift).unwrap_or(u16::MAX);
    let preferred_z = blocks_u16(info.preferred_write.get()).saturating_sub(1);
    let capacity = info.capacity.get() >> shift;
    IdentifyNamespace {
        size: info.blocks(),
        capacity,
        used: capacity,
        features: NSFEAT,
        format: LBA_SHIFTS.iter().position(|&s| s == shift).unwrap_or(0) as u8,
        deallocate_features: DLFEAT,
        bytes: info.capacity.get(),
        preferred_write_z: preferred_z,
        // The map's unit is 4 KiB.
        preferred_deallocate_z: blocks_u16(4096).saturating_sub(1),
        optimal_write_z: preferred_z,
        copy_range_blocks: blocks_u16(max_transfer),
        copy_blocks: u32::try_from(COPY_BYTES >> shift).unwrap_or(u32::MAX),
        copy_ranges_z: (COPY_RANGES - 1) as u8,
        nguid: info.nguid,
        eui64: info.eui64,
        lba_shifts: &LBA_SHIFTS,
    }
}

fn identify_zoned<'a>(zoned: &ZonedInfo, sizes: &'a [u64], shift: u8) -> ZonedNamespace<'a> {
    // Zero-based; no limit is all ones.
    let limit_z = |limit: Option<u32>| limit.map_or(u32::MAX, |n| n.saturating_sub(1));
    let blocks_u16 = |bytes: u64| u16::try_from(bytes >> shift).unwrap_or(u16::MAX);
    ZonedNamespace {
        read_across: zoned.read_across,
        max_active_z: limit_z(zoned.max_active),
        max_open_z: limit_z(zoned.max_open),
        zrwa: zoned.zrwa.map(|zrwa| ZonedNamespaceZrwa {
            resources: zrwa.max_zones,
            granularity: blocks_u16(zrwa.granularity.get()),
            size: blocks_u16(zrwa.size.get()),
        }),
        zone_sizes: sizes,
        extension_units: zoned.extension_units,
    }
}

/// SUBNQN in the form for a UUID (Base, section 4.5), the UUID derived from the serial number so
/// that it is stable and that drives with different serial numbers are different subsystems.
fn subsystem_nqn(serial: &str) -> String {
    // FNV-1a, 128 bits: spreads short texts well, needs no table.
    let hash = serial.bytes().fold(
        0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128,
        |hash, byte| {
            (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        },
    );
    // RFC 9562: version 8 (vendor's own), variant 10b.
    let uuid = hash & !(0xf << 76) & !(0x3 << 62) | 8 << 76 | 2 << 62;
    let hex = format!("{uuid:032x}");
    let mut nqn = String::from("nqn.2014-08.org.nvmexpress:uuid:");
    for (i, digit) in hex.chars().enumerate() {
        if matches!(i, 8 | 12 | 16 | 20) {
            nqn.push('-');
        }
        nqn.push(digit);
    }
    nqn
}

/// A UUID of custom form (RFC 9562, version 8) that is as unique and stable as the NGUID. Linux
/// warns when it has to show an NGUID in place of a UUID.
fn uuid_of(nguid: [u8; 16]) -> [u8; 16] {
    let mut uuid = nguid;
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subsystem_name_is_a_uuid_and_depends_on_the_serial_number() {
        let name = subsystem_nqn("A1");
        let uuid = name
            .strip_prefix("nqn.2014-08.org.nvmexpress:uuid:")
            .unwrap();
        let parts: Vec<_> = uuid.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(uuid.as_bytes()[14], b'8');
        assert!(matches!(uuid.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        assert_ne!(name, subsystem_nqn("A2"));
        assert_eq!(name, subsystem_nqn("A1"));
    }
}
