// SPDX-License-Identifier: GPL-2.0-or-later
//! Get Log Page (Base, section 5.16; ZNS).

use nvme_spec::{
    AdminOpcode, AsyncEvent, CommandEffects, CommandSet, ErrorLogEntry, FeatureId, LogCdw10,
    LogCdw11, LogCdw14, LogId, NvmOpcode, SmartLog, Sqe, Status, ERROR_ENTRY_BYTES, MORE, NSID_ALL,
    SANITIZE_BYTES, SELF_TEST_BYTES, SMART_BYTES,
};
use units::Instant;

use crate::controller::Controller;
use crate::counters::hours;
use crate::drive::{Drive, Health, VENDOR_LOG_BYTES};
use crate::features::{Feature, PER_NAMESPACE};
use crate::host::Host;
use crate::reject::{Reject, CDW10, CDW12, CDW14, NSID};
use crate::transfer::Direction;
use crate::work::{at_once, Done};

/// Scope of a command or feature: the namespace (Base, CSP).
const SCOPE_NAMESPACE: u32 = 1 << 20;
/// Scope: the NVM subsystem.
const SCOPE_SUBSYSTEM: u32 = 1 << 25;
/// Scope: the controller.
const SCOPE_CONTROLLER: u32 = 1 << 21;

impl<D: Drive> Controller<D> {
    /// Get Log Page: puts the page together in scratch memory and sends the part asked for.
    pub(crate) fn get_log_page<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        now: Instant,
    ) -> Result<Done, Reject> {
        let dword = LogCdw10::from(sqe.cdw10());
        let high_z = LogCdw11::from(sqe.cdw11()).dwords_high_z();
        let select = LogCdw14::from(sqe.cdw14());
        let id =
            LogId::from_wire(dword.id()).ok_or(Reject::at(Status::InvalidLogPage, CDW10, 0))?;
        let dwords_z = u64::from(high_z) << 16 | u64::from(dword.dwords_low_z());
        let bytes = (dwords_z + 1) * 4;
        let offset = u64::from(sqe.cdw12()) | u64::from(sqe.cdw13()) << 32;
        if bytes > self.max_transfer() {
            return Err(Reject::invalid(CDW10 + 2, 0));
        }
        if select.offset_is_index() {
            return Err(Reject::invalid(CDW14 + 2, 7));
        }
        self.scratch.fill(0);
        let size = self.fill_log(id, sqe, select.command_set(), now)?;
        if offset % 4 != 0 || offset > size as u64 {
            return Err(Reject::invalid(CDW12, 0));
        }
        self.map(host, sqe, bytes, Direction::ToGuest)?;
        let end = offset.saturating_add(bytes).min(size as u64);
        if let Some(part) = self.scratch.get(offset as usize..end as usize) {
            self.transfer.put(host, 0, part)?;
        }
        if !dword.retain_event() {
            self.events.log_read(id);
            // A part of the list must not take the rest with it.
            if id == LogId::ChangedZones && offset == 0 && end == size as u64 {
                let index = (sqe.nsid as usize).wrapping_sub(1);
                if let Some(list) = self.logs.changed_zones.get_mut(index) {
                    list.clear();
                }
            }
        }
        at_once(now, 0)
    }

    /// Fills scratch memory with a log page; returns its size.
    fn fill_log(
        &mut self,
        id: LogId,
        sqe: &Sqe,
        command_set: u8,
        now: Instant,
    ) -> Result<usize, Reject> {
        match id {
            LogId::Supported => {
                for id in LogId::ALL {
                    // LSUPP.
                    put_dword(&mut *self.scratch, usize::from(id.wire()), 1);
                }
                Ok(1024)
            }
            LogId::Error => {
                self.logs.errors.encode(&mut *self.scratch);
                if self.sanitize_refusal() == Some(Status::SanitizeInProgress) {
                    // Where data was is no more to be known (Base, figure 139).
                    for entry in self.scratch.chunks_exact_mut(ERROR_ENTRY_BYTES) {
                        entry.split_at_mut(16).1.split_at_mut(8).0.fill(0);
                    }
                }
                Ok(4096)
            }
            LogId::Smart => {
                // LPA bit 0 is clear: there is only the controller's.
                if !matches!(sqe.nsid, 0 | NSID_ALL) {
                    return Err(Reject::invalid(NSID, 0));
                }
                let log = self.smart(now);
                if let Some(page) = self.scratch.first_chunk_mut::<SMART_BYTES>() {
                    log.encode(page);
                }
                Ok(SMART_BYTES)
            }
            LogId::FirmwareSlot => {
                self.fill_firmware_slots();
                Ok(512)
            }
            LogId::Effects => {
                let set =
                    CommandSet::from_wire(command_set).ok_or(Reject::invalid(CDW14 + 3, 0))?;
                fill_effects(&mut *self.scratch, set, |opcode| self.config.offers(opcode));
                Ok(4096)
            }
            LogId::SelfTest => {
                let log = self.self_test_log(now).encode();
                self.scratch
                    .split_at_mut(SELF_TEST_BYTES)
                    .0
                    .copy_from_slice(&log);
                Ok(SELF_TEST_BYTES)
            }
            LogId::FeatureEffects => {
                for &feature in FeatureId::ALL
                    .iter()
                    .filter(|&&id| self.config.has_feature(id))
                {
                    put_dword(
                        &mut *self.scratch,
                        usize::from(feature.wire()),
                        feature_effects(feature),
                    );
                }
                Ok(1024)
            }
            // No NVMe-MI command is supported.
            LogId::ManagementEffects => Ok(4096),
            LogId::Sanitize => {
                let log = self.sanitize_log(now);
                if let Some(page) = self.scratch.first_chunk_mut::<SANITIZE_BYTES>() {
                    log.encode(page);
                }
                Ok(SANITIZE_BYTES)
            }
            LogId::ChangedZones => {
                let ns = self.namespace(sqe.nsid)?;
                let zones = ns.zones.ok_or(Reject::invalid(NSID, 0))?;
                if let Some(list) = self.logs.changed_zones.get(usize::from(ns.index.0)) {
                    list.encode(&mut *self.scratch, ns.lba(zones.size));
                }
                Ok(4096)
            }
            LogId::Vendor => {
                self.drive.vendor_log(&mut self.scratch);
                if let Some(power) = &self.power_states {
                    power.report(now).encode(&mut *self.scratch);
                }
                Ok(VENDOR_LOG_BYTES)
            }
        }
    }

    /// One slot, which is active (Base).
    fn fill_firmware_slots(&mut self) {
        let revision = self.config.firmware.bytes().chain([b' '; 8]);
        for (place, byte) in self.scratch.iter_mut().skip(8).take(8).zip(revision) {
            *place = byte;
        }
        if let Some(active) = self.scratch.first_mut() {
            *active = 1;
        }
    }

    fn smart(&self, now: Instant) -> SmartLog {
        let health = self.drive.health();
        SmartLog {
            critical_warning: self.critical_warning(&health),
            temperature_kelvin: health.temperature_kelvin,
            available_spare: health.available_spare,
            spare_threshold: health.spare_threshold,
            percentage_used: health.percentage_used,
            data_units_read: self.logs.counters.units_read(),
            data_units_written: self.logs.counters.units_written(),
            host_reads: self.logs.counters.reads,
            host_writes: self.logs.counters.writes,
            busy_minutes: self.logs.counters.busy_minutes(),
            // And the present one.
            power_cycles: self.logs.counters.power_cuts.saturating_add(1),
            power_on_hours: hours(now),
            unsafe_shutdowns: self.logs.counters.unsafe_shutdowns,
            media_errors: health.media_errors,
            error_entries: self.logs.errors.count(),
        }
    }

    fn critical_warning(&self, health: &Health) -> u8 {
        let (over, under) = self.features.temperature_limits();
        let kelvin = health.temperature_kelvin;
        [
            (
                health.available_spare < health.spare_threshold,
                SmartLog::WARNING_SPARE,
            ),
            (
                kelvin >= over || kelvin <= under,
                SmartLog::WARNING_TEMPERATURE,
            ),
            (health.degraded, SmartLog::WARNING_DEGRADED),
            (health.read_only, SmartLog::WARNING_READ_ONLY),
        ]
        .into_iter()
        .filter(|(is_set, _)| *is_set)
        .fold(0, |bits, (_, bit)| bits | bit)
    }

    /// Raises events for critical warnings that the guest wants to hear of and that were not set before: what stays
    /// as it is is no news (Base, section 5.2).
    pub(crate) fn check_health(&mut self) {
        let wanted = self.features.events().critical_warnings();
        let warning = self.critical_warning(&self.drive.health()) & wanted;
        let warning = self.events.new_warnings(warning);
        for (bits, information) in [
            (SmartLog::WARNING_DEGRADED | SmartLog::WARNING_READ_ONLY, 0),
            (SmartLog::WARNING_TEMPERATURE, 1),
            (SmartLog::WARNING_SPARE, 2),
        ] {
            if warning & bits != 0 {
                self.events.raise(AsyncEvent::smart(information));
            }
        }
    }

    /// Adds a failure to the error log.
    pub(crate) fn log_error(&mut self, sq: u16, sqe: &Sqe, reject: &Reject) {
        let (location_byte, location_bit) = match reject.field {
            Some((byte, bit)) => (Some(byte), bit),
            None => (None, 0),
        };
        self.logs.errors.push(ErrorLogEntry {
            count: 0,
            sq_id: sq,
            cid: sqe.cid,
            status: reject.status.field() | MORE,
            location_byte,
            location_bit,
            lba: reject.lba.unwrap_or(0),
            nsid: sqe.nsid,
        });
    }
}

/// Puts the dword with this index into a page.
fn put_dword(page: &mut [u8], index: usize, value: u32) {
    if let Some(place) = page.chunks_exact_mut(4).nth(index) {
        place.copy_from_slice(&value.to_le_bytes());
    }
}

/// Commands Supported and Effects: admin commands, then those of one command set.
fn fill_effects(page: &mut [u8], set: CommandSet, offers: impl Fn(AdminOpcode) -> bool) {
    for &opcode in AdminOpcode::ALL.iter().filter(|&&opcode| offers(opcode)) {
        let index = usize::from(opcode.wire());
        put_dword(page, index, admin_effects(opcode));
    }
    for &opcode in NvmOpcode::ALL {
        if let Some(effects) = nvm_effects(opcode, set) {
            let index = 256_usize.saturating_add(usize::from(opcode.wire()));
            put_dword(page, index, effects);
        }
    }
}

const fn admin_effects(opcode: AdminOpcode) -> u32 {
    let more = match opcode {
        AdminOpcode::FormatNvm => {
            CommandEffects::CONTENT
                | CommandEffects::NAMESPACE
                | CommandEffects::EXCLUSIVE
                | SCOPE_NAMESPACE
        }
        AdminOpcode::Sanitize => {
            CommandEffects::CONTENT | CommandEffects::EXCLUSIVE | SCOPE_SUBSYSTEM
        }
        AdminOpcode::DeviceSelfTest
        | AdminOpcode::DeleteSq
        | AdminOpcode::CreateSq
        | AdminOpcode::GetLogPage
        | AdminOpcode::DeleteCq
        | AdminOpcode::CreateCq
        | AdminOpcode::Identify
        | AdminOpcode::Abort
        | AdminOpcode::SetFeatures
        | AdminOpcode::GetFeatures
        | AdminOpcode::AsyncEventRequest
        | AdminOpcode::DoorbellBufferConfig
        | AdminOpcode::Note
        | AdminOpcode::CutPower => SCOPE_CONTROLLER,
    };
    CommandEffects::SUPPORTED | more
}

/// `None` if the command is not in the command set.
const fn nvm_effects(opcode: NvmOpcode, set: CommandSet) -> Option<u32> {
    // No scope (which may be left unreported): Linux warns of any bit it does not expect here.
    let base = CommandEffects::SUPPORTED;
    let is_zoned = matches!(set, CommandSet::Zoned);
    match opcode {
        NvmOpcode::Flush | NvmOpcode::Read | NvmOpcode::Compare | NvmOpcode::Verify => Some(base),
        NvmOpcode::Write
        | NvmOpcode::WriteUncorrectable
        | NvmOpcode::WriteZeroes
        | NvmOpcode::DatasetManagement
        | NvmOpcode::Copy => Some(base | CommandEffects::CONTENT),
        NvmOpcode::ZoneReceive if is_zoned => Some(base),
        NvmOpcode::ZoneSend | NvmOpcode::ZoneAppend if is_zoned => {
            Some(base | CommandEffects::CONTENT)
        }
        NvmOpcode::ZoneSend | NvmOpcode::ZoneReceive | NvmOpcode::ZoneAppend => None,
    }
}

/// Feature Identifiers Supported and Effects (Base): FSUPP and the scope.
fn feature_effects(feature: FeatureId) -> u32 {
    let scope = if Feature::of(feature).capabilities() & PER_NAMESPACE != 0 {
        SCOPE_NAMESPACE
    } else {
        SCOPE_CONTROLLER
    };
    1 | scope
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zone_commands_are_in_the_zoned_set_only() {
        let supported = |set, opcode: NvmOpcode| {
            let mut page = [0; 4096];
            fill_effects(&mut page, set, |_| true);
            page[1024 + 4 * usize::from(opcode.wire())] & 1 != 0
        };
        assert!(supported(CommandSet::Zoned, NvmOpcode::ZoneAppend));
        assert!(!supported(CommandSet::Nvm, NvmOpcode::ZoneAppend));
        assert!(supported(CommandSet::Nvm, NvmOpcode::Write));
    }

    #[test]
    fn linux_expects_nothing_but_support_and_content_changes_of_io_commands() {
        for &opcode in NvmOpcode::ALL {
            let effects = nvm_effects(opcode, CommandSet::Zoned).unwrap();
            let expected = CommandEffects::SUPPORTED | CommandEffects::CONTENT;
            assert_eq!(effects & !expected, 0, "{opcode:?}");
        }
    }
}
