// SPDX-License-Identifier: GPL-2.0-or-later
//! Admin commands: dispatch, and Format NVM (Base, section 5). Identify, logs, features and commands on queues have
//! files of their own.

use nvme_spec::{AdminOpcode, FormatCdw10, SelfTestOutcome, Sqe, Status, NSID_ALL};
use units::{Instant, Nanos};

use crate::controller::Controller;
use crate::drive::{Drive, LBA_SHIFTS};
use crate::host::Host;
use crate::reject::{Reject, CDW10};
use crate::work::{at_once, Done, Start, Task};

impl<D: Drive> Controller<D> {
    /// Executes an admin command.
    pub(crate) fn admin<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        now: Instant,
    ) -> Result<Done, Reject> {
        let opcode = AdminOpcode::from_wire(sqe.opcode)
            .filter(|&opcode| self.config.offers(opcode))
            .ok_or(Reject::at(Status::InvalidOpcode, 0, 0))?;
        // Over PCIe, admin commands use PRPs (PCIe).
        if sqe.psdt() != 0 {
            return Err(Reject::invalid(1, 6));
        }
        self.check_sanitize(opcode, sqe)?;
        match opcode {
            AdminOpcode::DeleteSq => self.delete_sq(host, sqe, now),
            AdminOpcode::CreateSq => self.create_sq(sqe, now),
            AdminOpcode::GetLogPage => self.get_log_page(host, sqe, now),
            AdminOpcode::DeleteCq => self.delete_cq(sqe, now),
            AdminOpcode::CreateCq => self.create_cq(sqe, now),
            AdminOpcode::Identify => self.identify(host, sqe, now),
            AdminOpcode::Abort => self.abort(sqe, now),
            AdminOpcode::SetFeatures => self.set_features(host, sqe, now),
            AdminOpcode::GetFeatures => self.get_features(host, sqe, now),
            AdminOpcode::AsyncEventRequest => self.async_event_request(sqe),
            AdminOpcode::DoorbellBufferConfig => self.doorbell_buffer_config(sqe, now),
            AdminOpcode::DeviceSelfTest => self.device_self_test(sqe, now),
            AdminOpcode::FormatNvm => self.format(sqe, now),
            AdminOpcode::Sanitize => self.sanitize(sqe, now),
            AdminOpcode::Note => {
                self.drive.note(number(sqe), now);
                at_once(now, 0)
            }
            AdminOpcode::CutPower => {
                match number(sqe) {
                    // So that this is never answered.
                    0 => self.cut_power_now(now),
                    delay => self.cut_power_at(Some(now + Nanos::new(delay))),
                }
                at_once(now, 0)
            }
        }
    }

    /// Format NVM (Base, section 5.14; NVM, section 4.1.2): one namespace or all. Zones that are read-only or offline
    /// stay so, and a read-only one keeps its data unless that is to be erased securely.
    fn format(&mut self, sqe: &Sqe, now: Instant) -> Result<Done, Reject> {
        let dword = FormatCdw10::from(sqe.cdw10());
        let format = dword.format_low().value() | dword.format_high().value() << 4;
        let is_known = usize::from(format) < LBA_SHIFTS.len();
        if !is_known || dword.protection().value() != 0 || dword.metadata_in_lba() {
            return Err(Reject::at(Status::InvalidFormat, CDW10, 0));
        }
        // FNA says that cryptographic erase is supported: both erase all data.
        if dword.secure_erase().value() > 2 {
            return Err(Reject::invalid(CDW10 + 1, 1));
        }
        let nsids = match sqe.nsid {
            NSID_ALL => 1..=self.namespace_count(),
            nsid => {
                self.namespace(nsid)?;
                nsid..=nsid
            }
        };
        let (first, last) = nsids.into_inner();
        for nsid in first..=last {
            let is_active = self.namespace(nsid);
            if is_active.is_ok_and(|ns| !self.drive.can_format(ns.index, format)) {
                return Err(Reject::at(Status::InvalidFormat, CDW10, 0));
            }
        }
        // Base, section 8.6.
        let concerned = |of| of == NSID_ALL || (first..=last).contains(&of);
        self.self_test
            .end(SelfTestOutcome::Formatted, now, concerned);
        Ok(Done::Later(Start::of(Task::Format {
            first,
            last,
            format,
            wipes: dword.secure_erase().value() > 0,
            at: first,
            next: 0,
        })))
    }
}

/// Dwords 10 and 11 of a command of ours.
fn number(sqe: &Sqe) -> u64 {
    u64::from(sqe.cdw11()) << 32 | u64::from(sqe.cdw10())
}
