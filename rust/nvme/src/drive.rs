// SPDX-License-Identifier: GPL-2.0-or-later
//! What the controller knows of the drive behind it: namespaces, and a model that says when a
//! command ends and whether it succeeds.
//!
//! The drive decides (zone states, write pointers, timing, faults); the controller moves the bytes
//! between guest and media as the [`Outcome`] says. Commands are in sectors and sizes in bytes, so
//! that they outlive a Format; the LBA size is the controller's business alone.

use command::{Command, HostMemory, Outcome, ZoneReport};
use core::ops::Range;
use units::{Bytes, Instant, Nanos, Nsid, Sector, ZoneId};

/// The LBA sizes a namespace can be formatted with, as powers of two; the index is the LBA format
/// number of Identify Namespace.
pub const LBA_SHIFTS: [u8; 2] = [9, 12];

/// Index of a namespace in [`Drive::namespaces`]; the namespace identifier is one more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NsIndex(pub u8);

impl state::State for NsIndex {
    fn encode(&self, out: &mut state::Encoder) {
        self.0.encode(out);
    }

    fn decode(&mut self, from: &mut state::Decoder<'_>) -> Result<(), state::Error> {
        self.0.decode(from)
    }
}

impl NsIndex {
    /// The namespace identifier the guest uses.
    #[must_use]
    pub fn nsid(self) -> Nsid {
        Nsid::new(u32::from(self.0) + 1)
    }
}

/// A namespace as Identify describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceInfo {
    /// Size of the LBA space in bytes (zones x zone size when zoned), a multiple of 4096.
    pub size: Bytes,
    /// Bytes that can hold data (zones x zone capacity when zoned).
    pub capacity: Bytes,
    /// Where byte 0 of the namespace lies in the media; byte n is at `media_offset + n`.
    pub media_offset: u64,
    /// Base-2 logarithm of the current LBA size; one of [`LBA_SHIFTS`].
    pub lba_shift: u8,
    /// IEEE extended unique identifier, stable for a serial number.
    pub eui64: [u8; 8],
    /// Namespace globally unique identifier, stable for a serial number.
    pub nguid: [u8; 16],
    /// Preferred write size and alignment in bytes (NPWG, NPWA), a multiple of 4096.
    pub preferred_write: Bytes,
    /// Zone geometry, or `None` for a conventional namespace.
    pub zoned: Option<ZonedInfo>,
}

state::state!(NamespaceInfo {
    lba_shift;
    size, capacity, media_offset, eui64, nguid, preferred_write, zoned
} => check_format);

impl NamespaceInfo {
    fn check_format(&mut self) -> Result<(), state::Error> {
        state::ensure!(
            LBA_SHIFTS.contains(&self.lba_shift),
            "LBAs of 2^{}",
            self.lba_shift
        );
        Ok(())
    }

    /// Size in LBAs of the current format.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.size.get() >> self.lba_shift
    }
}

/// Geometry and limits of a zoned namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZonedInfo {
    /// Distance from zone to zone, a multiple of 4096, not necessarily a power of two.
    pub zone_size: Bytes,
    /// Number of zones.
    pub zones: u32,
    /// Most zones open at once, `None` for no limit.
    pub max_open: Option<u32>,
    /// Most zones active at once, `None` for no limit.
    pub max_active: Option<u32>,
    /// Reads may cross from one zone into the next (OZCS bit 0).
    pub read_across: bool,
    /// Size of a zone's descriptor extension in units of 64 bytes, 0 for none.
    pub extension_units: u8,
    /// Zone Random Write Area, if supported.
    pub zrwa: Option<ZrwaInfo>,
}

/// Zone Random Write Area limits (Zoned Namespace 1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZrwaInfo {
    /// Size of the area of one zone.
    pub size: Bytes,
    /// Flush granularity; divides `size`.
    pub granularity: Bytes,
    /// Most zones with an area at once.
    pub max_zones: u32,
}

state::state_enum!(Failure { Lost = 0, Fatal = 1, PowerCut = 2 });

/// What a command does to the drive beyond its [`Outcome`], which then does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Failure {
    /// It is lost: there is no completion, and Abort does not help.
    #[default]
    Lost,
    /// The drive stops: CSTS.CFS is set.
    Fatal,
    /// Power goes before it is executed.
    PowerCut,
}

/// What a power cut does to bytes of the media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaChange {
    /// They read as zeroes from now on.
    Gone(Range<u64>),
    /// The 4 KiB at `to` are from now on what is at `from`.
    Restored {
        /// Where [`Drive::take_kept`] has had them put.
        from: u64,
        /// Where they belong.
        to: u64,
    },
}

/// How a drive comes back from a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerLoss {
    /// When it has gone: later than the cut where capacitors let it end what it had begun.
    pub off: Instant,
    /// How long it takes, once power is back, to be ready.
    pub recovery: Nanos,
}

/// How the latest sanitize operation stands (Base, section 8.21).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SanitizeStatus {
    /// There has been none.
    #[default]
    Never,
    /// It completed.
    Completed,
    /// It is in progress.
    InProgress,
    /// It failed.
    Failed,
    /// It failed, and its failure mode was left.
    Left,
}

impl SanitizeStatus {
    /// Each of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::Never,
        Self::Completed,
        Self::InProgress,
        Self::Failed,
        Self::Left,
    ];
}

state::state_enum!(SanitizeStatus { Never = 0, Completed = 1, InProgress = 2, Failed = 3, Left = 4 });

/// The latest sanitize operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sanitized {
    /// How it stands.
    pub status: SanitizeStatus,
    /// Dword 10 of its command, 10 bits.
    pub dword10: u32,
    /// Dword 11: what an overwrite writes.
    pub pattern: u32,
    /// When it began.
    pub since: Instant,
    /// How often it erases each block of flash.
    pub erases: u8,
    /// How often it programs each block of flash.
    pub programs: u8,
}

state::state!(Sanitized {
    status,
    dword10,
    pattern,
    since,
    erases,
    programs
});

/// Figures for the SMART / Health log that only the drive knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Composite temperature in kelvins.
    pub temperature_kelvin: u16,
    /// Remaining spare capacity in per cent.
    pub available_spare: u8,
    /// Per cent below which the spare is critical.
    pub spare_threshold: u8,
    /// Estimated life used in per cent; may exceed 100.
    pub percentage_used: u8,
    /// Unrecovered data integrity errors.
    pub media_errors: u64,
    /// The media can no longer be written.
    pub read_only: bool,
    /// Reliability is degraded.
    pub degraded: bool,
}

/// Something the guest may want to be told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriveEvent {
    /// A zone's descriptor changed without the guest's doing: an injected state change, an
    /// excursion, a recommendation.
    ZoneChanged {
        /// The namespace.
        ns: NsIndex,
        /// The zone.
        zone: ZoneId,
    },
    /// What [`Drive::health`] says has become worse.
    #[default]
    HealthChanged,
}

state::state_enum!(DriveEvent { ZoneChanged { ns, zone } = 0, HealthChanged = 1 });

/// Size of the vendor statistics log (log page C0h).
pub const VENDOR_LOG_BYTES: usize = 4096;

/// The drive behind the controller. No method blocks, panics, or moves a byte of user data.
pub trait Drive {
    /// The namespaces, at most 255; the same number for the drive's life. Only `lba_shift` and what
    /// follows from it may change, in [`Drive::set_format`].
    fn namespaces(&self) -> &[NamespaceInfo];

    /// Applies a command to the model at `now`, in the order of the calls, and says when it
    /// completes and how. `now` never runs backwards.
    fn submit(&mut self, ns: NsIndex, command: &Command, now: Instant) -> Outcome;

    /// The host lends so many 4 KiB of memory from now on, in place of what it lent before; 0: it has taken all back. With
    /// `is_kept` they are those that it took back last, as they were.
    fn lend(&mut self, pages: u32, is_kept: bool) {
        let _ = (pages, is_kept);
    }

    /// Reads from lent memory what a command, which is submitted next, may be answered from; how many reads that took.
    fn check_lent(&mut self, ns: NsIndex, command: &Command, memory: &mut dyn HostMemory) -> u64 {
        let _ = (ns, command, memory);
        0
    }

    /// Writes to lent memory what the command submitted last has left for it; how many 4 KiB, at most 64.
    fn fill_lent(&mut self, memory: &mut dyn HostMemory) -> u64 {
        let _ = memory;
        0
    }

    /// Whether some sector of a range was never written, or is deallocated (DULBE).
    fn has_unwritten(&self, ns: NsIndex, at: Sector, sectors: u64) -> bool;

    /// Whether Write Uncorrectable may mark sectors: a drive remembers a limited number.
    fn can_mark(&self, ns: NsIndex, at: Sector, sectors: u64) -> bool;

    /// Marks sectors, which were written right before and which [`Drive::can_mark`] said can be: reads of them fail with
    /// [`command::Error::Unreadable`] until a command writes, deallocates or resets them. Or takes that back, where data is
    /// erased that no command can change.
    fn set_uncorrectable(&mut self, ns: NsIndex, at: Sector, sectors: u64, is_set: bool);

    /// The latest sanitize operation, as [`Drive::set_sanitized`] left it. Nothing but that changes it.
    fn sanitized(&self) -> Sanitized;

    /// Keeps how a sanitize operation stands. The controller erases what there is to erase.
    fn set_sanitized(&mut self, to: Sanitized);

    /// No user data was written since the drive was made, or since a sanitize operation completed.
    fn is_blank(&self) -> bool;

    /// How long a sanitize operation takes, of which only the cycles of flash count.
    fn sanitize_time(&self, of: &Sanitized) -> Nanos;

    /// Whether the sanitize operation that ends now has failed.
    fn sanitize_fails(&mut self) -> bool {
        false
    }

    /// How long a self-test takes, a short or an extended one.
    fn self_test_time(&self, is_extended: bool) -> Nanos;

    /// Bytes of the media where [`Drive::take_kept`] has old data put.
    fn aside(&self) -> Range<u64> {
        0..0
    }

    /// Whether anything takes time.
    fn is_timed(&self) -> bool {
        true
    }

    /// How the commands submitted since the last call have broken the drive, if one has.
    fn take_failure(&mut self) -> Option<Failure> {
        None
    }

    /// The guest enables the controller; whether the drive works. Else CSTS.CFS is set.
    fn come_up(&mut self) -> bool {
        true
    }

    /// A zone, in constant time; `None` if the namespace has none of that number.
    fn zone(&self, ns: NsIndex, zone: ZoneId) -> Option<ZoneReport>;

    /// A zone's descriptor extension: `extension_units` x 64 bytes, or `None` if the namespace has
    /// none.
    fn zone_extension(&self, ns: NsIndex, zone: ZoneId) -> Option<&[u8]>;

    /// Stores the 64 bytes of a unit of a zone's descriptor extension, if there is such a unit.
    fn set_zone_extension(&mut self, ns: NsIndex, zone: ZoneId, unit: usize, to: &[u8; 64]);

    /// Whether the namespace can have the LBA size `LBA_SHIFTS[format]`.
    fn can_format(&self, ns: NsIndex, format: u8) -> bool;

    /// Format NVM: the LBA size becomes `LBA_SHIFTS[format]`, which [`Drive::can_format`] said it can. The controller
    /// has deallocated everything, or reset all zones that can be, before.
    fn set_format(&mut self, ns: NsIndex, format: u8);

    /// Notes a number of the guest's at `now`, for whoever records what the drive is told.
    fn note(&mut self, number: u64, now: Instant) {
        let _ = (number, now);
    }

    /// Makes everything durable before power goes (shutdown notification); returns when it is.
    fn shutdown(&mut self, now: Instant) -> Instant;

    /// Where in the media 4 KiB lie that a power cut can bring back, and where they are to be copied to before any media
    /// byte is changed; each is told once.
    fn take_kept(&mut self) -> Option<(u64, u64)> {
        None
    }

    /// Power goes at `now`: what was volatile is lost, and `change` is told of the media bytes concerned. Nothing is asked
    /// of the drive until it has recovered.
    fn power_cut(&mut self, now: Instant, change: &mut dyn FnMut(MediaChange)) -> PowerLoss;

    /// When [`Drive::advance`] is due next, or `None` while the drive is idle.
    fn next_event(&self) -> Option<Instant>;

    /// Carries out background work (dwell windows, reclaim) that is due at or before `now`.
    fn advance(&mut self, now: Instant);

    /// Takes the oldest event not taken yet. The queue is bounded; the oldest may be lost.
    fn take_event(&mut self) -> Option<DriveEvent>;

    /// Figures for the SMART / Health log.
    fn health(&self) -> Health;

    /// Fills log page C0h with the model's statistics in the drive's own documented format; bytes from
    /// [`crate::PowerReport::AT`] on are the controller's.
    fn vendor_log(&self, page: &mut [u8; VENDOR_LOG_BYTES]);
}
