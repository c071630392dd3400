// SPDX-License-Identifier: GPL-2.0-or-later
//! Zone Management Send and Receive (ZNS, sections 3.4.2 and 3.4.3).

use command::{Command, ZoneAction, ZoneReport, ZoneTarget};
use nvme_spec::{
    Sqe, WireZoneAction, WireZoneDescriptor, ZoneReceiveAction, ZoneReceiveCdw13, ZoneReportFilter,
    ZoneSendCdw13, REPORT_HEADER_BYTES, ZONE_DESCRIPTOR_BYTES,
};
use units::{Instant, Sector, ZoneId};
use zone::State;

use crate::controller::Controller;
use crate::drive::Drive;
use crate::host::Host;
use crate::namespace::{Namespace, Zones};
use crate::reject::{Reject, CDW12, CDW13};
use crate::transfer::Direction;
use crate::work::{step_of_zones, Done, Report, Start, Task};

/// ZT: Sequential Write Required.
const SEQUENTIAL: u8 = 2;
/// Descriptor extensions are moved in pieces of this size, the unit of their length.
const EXTENSION_UNIT: usize = 64;

impl<D: Drive> Controller<D> {
    /// Zone Management Send.
    pub(crate) fn zone_send<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        ns: &Namespace,
        now: Instant,
    ) -> Result<Done, Reject> {
        let zones = ns.zoned()?;
        let dword = ZoneSendCdw13::from(sqe.cdw13());
        let action = WireZoneAction::from_wire(dword.action()).ok_or(Reject::invalid(CDW13, 0))?;
        let action = match action {
            WireZoneAction::Close => ZoneAction::Close,
            WireZoneAction::Finish => ZoneAction::Finish,
            WireZoneAction::Open if !dword.option() => ZoneAction::Open,
            WireZoneAction::Open if !zones.has_zrwa => return Err(Reject::invalid(CDW13 + 1, 1)),
            WireZoneAction::Open => ZoneAction::OpenZrwa,
            WireZoneAction::Reset => ZoneAction::Reset,
            WireZoneAction::Offline => ZoneAction::Offline,
            WireZoneAction::SetExtension => {
                return self.set_extension(host, sqe, ns, &zones, dword.all(), now);
            }
            WireZoneAction::FlushZrwa => return self.flush_zrwa(sqe, ns, dword.all(), now),
        };
        if dword.all() {
            if matches!(action, ZoneAction::Finish | ZoneAction::Reset) {
                let (ns, next) = (ns.index, 0);
                return Ok(Done::Later(Start::of(Task::Zones { ns, action, next })));
            }
            let target = ZoneTarget::All;
            return self.finish(ns, &Command::Zone { action, target }, now);
        }
        let (zone, at) = ns.zone_at(sqe.slba())?;
        let target = ZoneTarget::One(at);
        let (done, _) = self.submit(ns, &Command::Zone { action, target }, now)?;
        let discard = match action {
            ZoneAction::Reset => ns.zone_media(zone),
            _ => 0..0,
        };
        let task = Task::Discard;
        Ok(Done::Later(Start {
            task,
            discard,
            done,
        }))
    }

    fn set_extension<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        ns: &Namespace,
        zones: &Zones,
        all: bool,
        now: Instant,
    ) -> Result<Done, Reject> {
        if all {
            return Err(Reject::invalid(CDW13 + 1, 0));
        }
        if zones.extension == 0 {
            return Err(Reject::invalid(CDW13, 0));
        }
        let (zone, at) = ns.zone_at(sqe.slba())?;
        self.map(host, sqe, zones.extension as u64, Direction::FromGuest)?;
        // Memory out of reach must show before the zone changes.
        for offset in (0..zones.extension).step_by(EXTENSION_UNIT) {
            let unit = self.scratch.split_at_mut(EXTENSION_UNIT).0;
            self.transfer.get(host, offset as u64, unit)?;
        }
        let command = Command::Zone {
            action: ZoneAction::SetExtension,
            target: ZoneTarget::One(at),
        };
        let (done, _) = self.submit(ns, &command, now)?;
        for unit in 0..zones.extension / EXTENSION_UNIT {
            let mut bytes = [0; EXTENSION_UNIT];
            self.transfer
                .get(host, (unit * EXTENSION_UNIT) as u64, &mut bytes)?;
            self.drive.set_zone_extension(ns.index, zone, unit, &bytes);
        }
        Ok(Done::At { done, result: 0 })
    }

    fn flush_zrwa(
        &mut self,
        sqe: &Sqe,
        ns: &Namespace,
        all: bool,
        now: Instant,
    ) -> Result<Done, Reject> {
        if all {
            return Err(Reject::invalid(CDW13 + 1, 0));
        }
        if !ns.zones.is_some_and(|zones| zones.has_zrwa) {
            return Err(Reject::invalid(CDW13, 0));
        }
        ns.span(sqe.slba(), 1)?;
        let end = ns.sector(sqe.slba().saturating_add(1));
        self.finish(ns, &Command::CommitZrwa { end }, now)
    }

    /// Zone Management Receive.
    pub(crate) fn zone_receive<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        ns: &Namespace,
    ) -> Result<Done, Reject> {
        let zones = ns.zoned()?;
        let dword = ZoneReceiveCdw13::from(sqe.cdw13());
        let report =
            ZoneReceiveAction::from_wire(dword.action()).ok_or(Reject::invalid(CDW13, 0))?;
        let filter =
            ZoneReportFilter::from_wire(dword.filter()).ok_or(Reject::invalid(CDW13 + 1, 0))?;
        let extension = match report {
            ZoneReceiveAction::Report => 0,
            ZoneReceiveAction::Extended if zones.extension == 0 => {
                return Err(Reject::invalid(CDW13, 0));
            }
            ZoneReceiveAction::Extended => zones.extension,
        };
        let bytes = (u64::from(sqe.cdw12()) + 1).saturating_mul(4);
        if bytes < REPORT_HEADER_BYTES as u64 || bytes > self.max_transfer() {
            return Err(Reject::invalid(CDW12, 0));
        }
        ns.span(sqe.slba(), 1)?;
        self.map(host, sqe, bytes, Direction::ToGuest)?;
        let entry = (ZONE_DESCRIPTOR_BYTES + extension) as u64;
        Ok(Done::Later(Start::of(Task::Report(Report {
            ns: ns.index,
            next: ns.zone_of(sqe.slba())?.get(),
            filter,
            partial: dword.partial(),
            extension,
            flushed: REPORT_HEADER_BYTES as u64,
            filled: 0,
            room: (bytes - REPORT_HEADER_BYTES as u64) / entry,
            found: 0,
        }))))
    }

    /// Looks at some zones and writes the descriptors of those that are asked for after the header, as far as there is
    /// room; at the end the header. Whether there are zones left.
    pub(crate) fn step_report<H: Host>(
        &mut self,
        host: &mut H,
        report: &mut Report,
    ) -> Result<bool, Reject> {
        let ns = self.namespace(report.ns.nsid().get())?;
        let count = ns.zone_count();
        let zones = step_of_zones(report.next, count);
        let mut looked_at = zones.start..zones.start;
        for number in zones {
            let counts_only = report.room == 0;
            if counts_only && (report.partial || report.filter == ZoneReportFilter::All) {
                // Without a filter the rest need not be looked at to be counted.
                if !report.partial {
                    report.found += u64::from(count - number);
                }
                report.next = count;
                break;
            }
            report.next = number + 1;
            looked_at.end = report.next;
            let zone = self.drive.zone(ns.index, ZoneId::new(number));
            if let Some(zone) = zone.filter(|zone| is_listed(zone.state, report.filter)) {
                report.found += 1;
                if !counts_only {
                    self.report_zone(host, &ns, report, &zone)?;
                }
            }
        }
        self.work.looked_at(looked_at);
        if report.next < count {
            return Ok(true);
        }
        self.report_flush(host, report)?;
        let mut header = [0; REPORT_HEADER_BYTES];
        let (found, _) = header.split_at_mut(8);
        found.copy_from_slice(&report.found.to_le_bytes());
        self.transfer.put(host, 0, &header)?;
        Ok(false)
    }

    fn report_zone<H: Host>(
        &mut self,
        host: &mut H,
        ns: &Namespace,
        report: &mut Report,
        zone: &ZoneReport,
    ) -> Result<(), Reject> {
        report.room -= 1;
        self.report_bytes(host, report, &wire_descriptor(ns, zone).encode())?;
        self.report_extension(host, report, zone.id, zone.extended)
    }

    /// Zeroes unless the extension `is_set`: what a reset zone had is nobody's business.
    fn report_extension<H: Host>(
        &mut self,
        host: &mut H,
        out: &mut Report,
        zone: ZoneId,
        is_set: bool,
    ) -> Result<(), Reject> {
        for unit in 0..out.extension / EXTENSION_UNIT {
            let mut piece = [0; EXTENSION_UNIT];
            if let Some(stored) = self
                .drive
                .zone_extension(out.ns, zone)
                .filter(|_| is_set)
                .and_then(|bytes| bytes.chunks_exact(EXTENSION_UNIT).nth(unit))
            {
                piece.copy_from_slice(stored);
            }
            self.report_bytes(host, out, &piece)?;
        }
        Ok(())
    }

    /// Adds 64 bytes, which always divide scratch memory.
    fn report_bytes<H: Host>(
        &mut self,
        host: &mut H,
        out: &mut Report,
        bytes: &[u8; 64],
    ) -> Result<(), Reject> {
        let end = out.filled + bytes.len();
        if let Some(place) = self.scratch.get_mut(out.filled..end) {
            place.copy_from_slice(bytes);
        }
        out.filled = end;
        if out.filled >= self.scratch.len() {
            self.report_flush(host, out)?;
        }
        Ok(())
    }

    fn report_flush<H: Host>(&mut self, host: &mut H, out: &mut Report) -> Result<(), Reject> {
        let filled = self.scratch.split_at(out.filled.min(self.scratch.len())).0;
        self.transfer.put(host, out.flushed, filled)?;
        out.flushed = out.flushed.saturating_add(filled.len() as u64);
        out.filled = 0;
        Ok(())
    }
}

/// Whether a reporting option asks for zones in this state.
fn is_listed(state: State, filter: ZoneReportFilter) -> bool {
    let wanted = match filter {
        ZoneReportFilter::All => return true,
        ZoneReportFilter::Empty => State::Empty,
        ZoneReportFilter::ImplicitlyOpen => State::ImplicitlyOpen,
        ZoneReportFilter::ExplicitlyOpen => State::ExplicitlyOpen,
        ZoneReportFilter::Closed => State::Closed,
        ZoneReportFilter::Full => State::Full,
        ZoneReportFilter::ReadOnly => State::ReadOnly,
        ZoneReportFilter::Offline => State::Offline,
        // The drive recommends nothing, and finishes no zone by itself.
        ZoneReportFilter::Recommended => return false,
    };
    state == wanted
}

/// ZS, in the descriptor of a zone.
const fn wire_state(state: State) -> u8 {
    match state {
        State::Empty => 0x1,
        State::ImplicitlyOpen => 0x2,
        State::ExplicitlyOpen => 0x3,
        State::Closed => 0x4,
        State::ReadOnly => 0xd,
        State::Full => 0xe,
        State::Offline => 0xf,
    }
}

fn wire_descriptor(ns: &Namespace, zone: &ZoneReport) -> WireZoneDescriptor {
    let zrwa = u8::from(zone.zrwa) * WireZoneDescriptor::ZRWA_VALID;
    let extended = u8::from(zone.extended) * WireZoneDescriptor::EXTENSION_VALID;
    WireZoneDescriptor {
        kind: SEQUENTIAL,
        state: wire_state(zone.state),
        attributes: zrwa | extended,
        capacity: ns.lba(Sector::new(zone.capacity)),
        start: ns.lba(zone.start),
        write_pointer: if zone.state.has_write_pointer() {
            ns.lba(zone.write_pointer)
        } else {
            u64::MAX
        },
    }
}

const _: () = assert!(4096 % ZONE_DESCRIPTOR_BYTES == 0 && EXTENSION_UNIT == 64);
