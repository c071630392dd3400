// SPDX-License-Identifier: GPL-2.0-or-later
//! Log pages and asynchronous events.

use crate::bytes::{get, put, wire_enum};

wire_enum! {
    /// Log page identifiers (Base, section 5.16, figure 202; ZNS, section 4.1.4, figure 45).
    LogId: u8 {
        /// Supported Log Pages.
        Supported = 0x00,
        /// Error Information.
        Error = 0x01,
        /// SMART / Health Information.
        Smart = 0x02,
        /// Firmware Slot Information.
        FirmwareSlot = 0x03,
        /// Commands Supported and Effects.
        Effects = 0x05,
        /// Device Self-test.
        SelfTest = 0x06,
        /// Feature Identifiers Supported and Effects.
        FeatureEffects = 0x12,
        /// NVMe-MI Commands Supported and Effects.
        ManagementEffects = 0x13,
        /// Sanitize Status.
        Sanitize = 0x81,
        /// Changed Zone List.
        ChangedZones = 0xbf,
        /// Statistics of this drive's model.
        Vendor = 0xc0,
    }
}

/// Size of an Error Information entry in bytes.
pub const ERROR_ENTRY_BYTES: usize = 64;

/// An Error Information log entry (Base, section 5.16.1.2, figure 206; NVM, section 4.1.4.1,
/// figure 90).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorLogEntry {
    /// Error Count: a number unique to the error; 0 for an entry that is not in use.
    pub count: u64,
    /// Submission Queue ID.
    pub sq_id: u16,
    /// Command ID.
    pub cid: u16,
    /// Status field, 15 bits.
    pub status: u16,
    /// Parameter Error Location, byte of the submission queue entry; `None` if not a parameter.
    pub location_byte: Option<u8>,
    /// Parameter Error Location, bit of that byte.
    pub location_bit: u8,
    /// First LBA that experienced the error.
    pub lba: u64,
    /// Namespace.
    pub nsid: u32,
}

impl ErrorLogEntry {
    /// The entry as it lies in memory.
    #[must_use]
    pub fn encode(&self) -> [u8; ERROR_ENTRY_BYTES] {
        let mut bytes = [0; ERROR_ENTRY_BYTES];
        let location = self.location_byte.map_or(u16::MAX, |byte| {
            u16::from(byte) | u16::from(self.location_bit & 7) << 8
        });
        put(&mut bytes, 0, &self.count.to_le_bytes());
        put(&mut bytes, 8, &self.sq_id.to_le_bytes());
        put(&mut bytes, 10, &self.cid.to_le_bytes());
        put(&mut bytes, 12, &(self.status << 1).to_le_bytes());
        put(&mut bytes, 14, &location.to_le_bytes());
        put(&mut bytes, 16, &self.lba.to_le_bytes());
        put(&mut bytes, 24, &self.nsid.to_le_bytes());
        bytes
    }

    /// Decodes an entry.
    #[must_use]
    pub fn decode(bytes: &[u8; ERROR_ENTRY_BYTES]) -> Self {
        let word = |offset| u16::from_le_bytes(get(bytes, offset));
        let [low, high] = word(14).to_le_bytes();
        Self {
            count: u64::from_le_bytes(get(bytes, 0)),
            sq_id: word(8),
            cid: word(10),
            status: word(12) >> 1,
            location_byte: (word(14) != u16::MAX).then_some(low),
            location_bit: if word(14) == u16::MAX { 0 } else { high & 7 },
            lba: u64::from_le_bytes(get(bytes, 16)),
            nsid: u32::from_le_bytes(get(bytes, 24)),
        }
    }
}

/// Size of the SMART / Health Information log in bytes.
pub const SMART_BYTES: usize = 512;

/// SMART / Health Information (Base, section 5.16.1.3, figure 207); fields left out are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SmartLog {
    /// Critical Warning.
    pub critical_warning: u8,
    /// Composite Temperature in kelvins.
    pub temperature_kelvin: u16,
    /// Available Spare in per cent.
    pub available_spare: u8,
    /// Available Spare Threshold in per cent.
    pub spare_threshold: u8,
    /// Percentage Used.
    pub percentage_used: u8,
    /// Data Units Read, thousands of 512 bytes, rounded up.
    pub data_units_read: u64,
    /// Data Units Written, likewise.
    pub data_units_written: u64,
    /// Host Read Commands.
    pub host_reads: u64,
    /// Host Write Commands.
    pub host_writes: u64,
    /// Controller Busy Time in minutes.
    pub busy_minutes: u64,
    /// Power Cycles.
    pub power_cycles: u64,
    /// Power On Hours.
    pub power_on_hours: u64,
    /// Unsafe Shutdowns.
    pub unsafe_shutdowns: u64,
    /// Media and Data Integrity Errors.
    pub media_errors: u64,
    /// Number of Error Information Log Entries over the life of the controller.
    pub error_entries: u64,
}

impl SmartLog {
    /// Critical warning: available spare is below its threshold.
    pub const WARNING_SPARE: u8 = 1 << 0;
    /// Critical warning: a temperature is past its threshold.
    pub const WARNING_TEMPERATURE: u8 = 1 << 1;
    /// Critical warning: reliability is degraded.
    pub const WARNING_DEGRADED: u8 = 1 << 2;
    /// Critical warning: the media is read-only.
    pub const WARNING_READ_ONLY: u8 = 1 << 3;

    /// Encodes the page into zeroes.
    pub fn encode(&self, page: &mut [u8; SMART_BYTES]) {
        put(page, 0, &[self.critical_warning]);
        put(page, 1, &self.temperature_kelvin.to_le_bytes());
        put(
            page,
            3,
            &[
                self.available_spare,
                self.spare_threshold,
                self.percentage_used,
            ],
        );
        let counters = [
            self.data_units_read,
            self.data_units_written,
            self.host_reads,
            self.host_writes,
            self.busy_minutes,
            self.power_cycles,
            self.power_on_hours,
            self.unsafe_shutdowns,
            self.media_errors,
            self.error_entries,
        ];
        for (i, counter) in counters.iter().enumerate() {
            put(page, 32 + 16 * i, &counter.to_le_bytes());
        }
    }
}

wire_enum! {
    /// STC of Device Self-test (Base, section 5.9, figure 171); the tests are also in its log.
    SelfTestCode: u8 {
        /// Start a short test.
        Short = 0x1,
        /// Start an extended test.
        Extended = 0x2,
        /// End the test in progress.
        Abort = 0xf,
    }
}

wire_enum! {
    /// How a self-test ended (Base, section 5.16.1.7, figure 213).
    SelfTestOutcome: u8 {
        /// Without error.
        Passed = 0x0,
        /// By a Device Self-test command.
        Aborted = 0x1,
        /// By a controller reset.
        Reset = 0x2,
        /// By Format NVM.
        Formatted = 0x4,
        /// A segment, which is known, failed.
        FailedSegment = 0x7,
        /// By a sanitize operation.
        Sanitized = 0x9,
    }
}

/// Size of a self-test's result in bytes.
pub const SELF_TEST_RESULT_BYTES: usize = 28;
/// Results in the log.
pub const SELF_TEST_RESULTS: usize = 20;
/// Size of the Device Self-test log in bytes.
pub const SELF_TEST_BYTES: usize = 4 + SELF_TEST_RESULTS * SELF_TEST_RESULT_BYTES;
/// Device Self-test Result of an entry that is not used.
const NO_RESULT: u8 = 0xf;

/// Self-test Result (Base, section 5.16.1.7, figure 213).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelfTestResult {
    /// Which test it was.
    pub code: SelfTestCode,
    /// How it ended.
    pub outcome: SelfTestOutcome,
    /// The segment that failed, 0 for none.
    pub segment: u8,
    /// Power On Hours at its end.
    pub power_on_hours: u64,
    /// The namespaces that it was about, if any.
    pub nsid: Option<u32>,
}

impl SelfTestResult {
    /// The result as it lies in memory.
    #[must_use]
    pub fn encode(&self) -> [u8; SELF_TEST_RESULT_BYTES] {
        let mut bytes = [0; SELF_TEST_RESULT_BYTES];
        let head = [
            self.code.wire() << 4 | self.outcome.wire(),
            self.segment,
            u8::from(self.nsid.is_some()),
        ];
        put(&mut bytes, 0, &head);
        put(&mut bytes, 4, &self.power_on_hours.to_le_bytes());
        put(&mut bytes, 12, &self.nsid.unwrap_or(0).to_le_bytes());
        bytes
    }

    /// Decodes a result, if it is of a test.
    #[must_use]
    pub fn decode(bytes: &[u8; SELF_TEST_RESULT_BYTES]) -> Option<Self> {
        let [head, segment, valid] = get(bytes, 0);
        Some(Self {
            code: SelfTestCode::from_wire(head >> 4)?,
            outcome: SelfTestOutcome::from_wire(head & 0xf)?,
            segment,
            power_on_hours: u64::from_le_bytes(get(bytes, 4)),
            nsid: (valid & 1 != 0).then(|| u32::from_le_bytes(get(bytes, 12))),
        })
    }
}

/// Device Self-test (Base, section 5.16.1.7, figure 212).
#[derive(Clone, Copy, Debug)]
pub struct SelfTestLog<'a> {
    /// The test in progress, and how far it is in per cent.
    pub current: Option<(SelfTestCode, u8)>,
    /// Results, the newest one last, of which as many count as there is room for.
    pub results: &'a [SelfTestResult],
}

impl SelfTestLog<'_> {
    /// The page.
    #[must_use]
    pub fn encode(&self) -> [u8; SELF_TEST_BYTES] {
        let mut page = [0; SELF_TEST_BYTES];
        if let Some((code, percent)) = self.current {
            put(&mut page, 0, &[code.wire(), percent & 0x7f]);
        }
        let mut results = self.results.iter().rev();
        for i in 0..SELF_TEST_RESULTS {
            let at = 4 + i * SELF_TEST_RESULT_BYTES;
            match results.next() {
                Some(result) => put(&mut page, at, &result.encode()),
                None => put(&mut page, at, &[NO_RESULT]),
            }
        }
        page
    }
}

/// Size of the Sanitize Status log in bytes.
pub const SANITIZE_BYTES: usize = 512;

/// Sanitize Status (Base, section 5.16.1.25, figure 267); fields left out are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SanitizeLog {
    /// SPROG: how far it is, in 65536ths; all ones if none is in progress.
    pub progress: u16,
    /// SSTAT bits 2:0.
    pub status: u8,
    /// SSTAT bits 7:3: overwrite passes completed.
    pub passes: u8,
    /// SSTAT bit 8: Global Data Erased.
    pub erased: bool,
    /// SCDW10: dword 10 of its command.
    pub dword10: u32,
    /// Seconds that an overwrite of 16 passes, a block erase and a crypto erase take (ETO, ETBE, ETCE); then the same with
    /// No-Deallocate After Sanitize (ETOND, ETBEND, ETCEND).
    pub seconds: [u32; 6],
}

impl SanitizeLog {
    /// SSTAT: there has been none.
    pub const NEVER: u8 = 0;
    /// SSTAT: the latest one completed.
    pub const COMPLETED: u8 = 1;
    /// SSTAT: one is in progress.
    pub const IN_PROGRESS: u8 = 2;
    /// SSTAT: the latest one failed.
    pub const FAILED: u8 = 3;

    /// Encodes the page into zeroes.
    pub fn encode(&self, page: &mut [u8; SANITIZE_BYTES]) {
        let status = u16::from(self.status & 7)
            | u16::from(self.passes & 0x1f) << 3
            | u16::from(self.erased) << 8;
        put(page, 0, &self.progress.to_le_bytes());
        put(page, 2, &status.to_le_bytes());
        put(page, 4, &self.dword10.to_le_bytes());
        for (i, seconds) in self.seconds.iter().enumerate() {
            put(page, 8 + 4 * i, &seconds.to_le_bytes());
        }
    }
}

/// What the Commands Supported and Effects log says of one command (Base, section 5.16.1.6,
/// figure 211).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandEffects(pub u32);

impl CommandEffects {
    /// CSUPP: supported.
    pub const SUPPORTED: u32 = 1 << 0;
    /// LBCC: logical block content change.
    pub const CONTENT: u32 = 1 << 1;
    /// NCC: namespace capability change.
    pub const NAMESPACE: u32 = 1 << 2;
    /// CSE 010b: no other command to any namespace at the same time.
    pub const EXCLUSIVE: u32 = 2 << 16;
}

wire_enum! {
    /// Asynchronous Event Type (Base, section 5.2, figure 143).
    AsyncEventType: u8 {
        /// Error status.
        Error = 0,
        /// SMART / Health status.
        Smart = 1,
        /// Notice.
        Notice = 2,
        /// I/O command set specific status.
        CommandSet = 6,
    }
}

/// An asynchronous event: dwords 0 and 1 of the request's completion (Base, section 5.2,
/// figure 143; ZNS, section 4.1.1, figure 43).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsyncEvent {
    /// Asynchronous Event Type.
    pub kind: AsyncEventType,
    /// Asynchronous Event Information.
    pub information: u8,
    /// The log page that clears the event.
    pub log: LogId,
    /// Dword 1: the namespace, where the event has one.
    pub nsid: u32,
}

impl AsyncEvent {
    /// Write to Invalid Doorbell Register (Base, figure 144).
    pub const INVALID_DOORBELL: Self = Self::error(0x00);
    /// Invalid Doorbell Write Value (Base, figure 144).
    pub const INVALID_DOORBELL_VALUE: Self = Self::error(0x01);

    const fn error(information: u8) -> Self {
        Self {
            kind: AsyncEventType::Error,
            information,
            log: LogId::Error,
            nsid: 0,
        }
    }

    /// SMART / Health: 0 reliability, 1 temperature, 2 spare (Base, figure 145).
    #[must_use]
    pub const fn smart(information: u8) -> Self {
        Self {
            kind: AsyncEventType::Smart,
            information,
            log: LogId::Smart,
            nsid: 0,
        }
    }

    /// Zone Descriptor Changed notice (ZNS, section 4.1.1, figure 42).
    #[must_use]
    pub const fn zone_changed(nsid: u32) -> Self {
        Self {
            kind: AsyncEventType::Notice,
            information: 0xef,
            log: LogId::ChangedZones,
            nsid,
        }
    }

    /// Sanitize Operation Completed (Base, figure 147).
    pub const SANITIZED: Self = Self {
        kind: AsyncEventType::CommandSet,
        information: 0x01,
        log: LogId::Sanitize,
        nsid: 0,
    };

    /// Dwords 0 and 1 of the completion.
    #[must_use]
    pub const fn result(&self) -> u64 {
        self.kind.wire() as u64
            | (self.information as u64) << 8
            | (self.log.wire() as u64) << 16
            | (self.nsid as u64) << 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_entries_survive_a_round_trip_and_lie_as_specified() {
        let entry = ErrorLogEntry {
            count: 3,
            sq_id: 1,
            cid: 0x77,
            status: 0x4002,
            location_byte: Some(44),
            location_bit: 2,
            lba: 0x1234,
            nsid: 2,
        };
        let bytes = entry.encode();
        assert_eq!(bytes[12..16], [0x04, 0x80, 44, 2]);
        assert_eq!(ErrorLogEntry::decode(&bytes), entry);
        let unlocated = ErrorLogEntry {
            location_byte: None,
            location_bit: 0,
            ..entry
        };
        assert_eq!(unlocated.encode()[14..16], [0xff, 0xff]);
        assert_eq!(ErrorLogEntry::decode(&unlocated.encode()), unlocated);
    }

    #[test]
    fn smart_counters_are_sixteen_bytes_apart() {
        let mut page = [0; SMART_BYTES];
        SmartLog {
            temperature_kelvin: 0x0140,
            available_spare: 100,
            data_units_read: 5,
            host_writes: 6,
            error_entries: 7,
            ..SmartLog::default()
        }
        .encode(&mut page);
        assert_eq!(page[..6], [0, 0x40, 0x01, 100, 0, 0]);
        assert_eq!((page[32], page[80], page[176]), (5, 6, 7));
    }

    #[test]
    fn self_tests_survive_a_round_trip_and_lie_as_specified() {
        let result = SelfTestResult {
            code: SelfTestCode::Extended,
            outcome: SelfTestOutcome::FailedSegment,
            segment: 2,
            power_on_hours: 0x1_0000,
            nsid: Some(3),
        };
        let bytes = result.encode();
        assert_eq!(bytes[..8], [0x27, 2, 1, 0, 0, 0, 1, 0]);
        assert_eq!(bytes[12], 3);
        assert_eq!(SelfTestResult::decode(&bytes), Some(result));
        assert_eq!(SelfTestResult::decode(&[NO_RESULT; 28]), None);
        let page = SelfTestLog {
            current: Some((SelfTestCode::Short, 42)),
            results: &[result],
        }
        .encode();
        assert_eq!(
            (page.len(), page[0], page[1], page[4], page[32]),
            (564, 1, 42, 0x27, 0xf)
        );
    }

    #[test]
    fn sanitize_status_lies_as_specified() {
        let mut page = [0; SANITIZE_BYTES];
        SanitizeLog {
            progress: 0x1234,
            status: SanitizeLog::IN_PROGRESS,
            passes: 16,
            erased: true,
            dword10: 0x203,
            seconds: [1, 2, 3, 4, 5, 6],
        }
        .encode(&mut page);
        assert_eq!(page[..8], [0x34, 0x12, 0x82, 0x01, 0x03, 0x02, 0, 0]);
        assert_eq!(
            (page[8], page[12], page[16], page[20], page[28]),
            (1, 2, 3, 4, 6)
        );
    }

    #[test]
    fn events_name_their_log() {
        assert_eq!(AsyncEvent::zone_changed(2).result(), 0x2_00bf_ef02);
        assert_eq!(AsyncEvent::smart(1).result(), 0x0002_0101);
        assert_eq!(AsyncEvent::SANITIZED.result(), 0x0081_0106);
        assert_eq!(AsyncEvent::INVALID_DOORBELL_VALUE.result(), 0x0001_0100);
    }
}
