// SPDX-License-Identifier: GPL-2.0-or-later
//! Work of a run, counted, and long commands that are more than one run's.
//!
//! The one who calls [`crate::Controller::run`] holds a lock that guest processors wait for, so a run ends when it has
//! done its work, counted in units of about a microsecond of the host's time: a command, a page that is moved, 16 pages
//! that are only discarded or looked up, 32 zones looked at. A job goes on in the next run, which is asked for at once.
//!
//! Invariants:
//! - there is one job at a time, and nothing is fetched until it is done: the order of effects is that of fetching, and
//!   what the job keeps in scratch memory and its data pointer stay;
//! - a run does at most its work and that of one more command or step, none of which is more than [`LONGEST_COMMAND`]
//!   unless MDTS allows more;
//! - a controller reset drops the job: a namespace that was being formatted has then lost part of its data, and has its
//!   old LBA size. What the job had given up of the media reads as zeroes before the next command is fetched.

use core::ops::Range;

use command::ZoneAction;
use nvme_spec::{Sqe, ZoneReportFilter};
use state::{state, state_enum};
use units::Instant;

use crate::drive::NsIndex;
use crate::reject::Reject;

/// What became of a command that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// It completes at `done` with `result` in dwords 0 and 1.
    At { done: Instant, result: u64 },
    /// It is held (Asynchronous Event Request).
    Held,
    /// It takes more work than one run may do.
    Later(Start),
}

/// A result for a command that is done at once.
pub(crate) const fn at_once(now: Instant, result: u32) -> Result<Done, Reject> {
    Ok(Done::At {
        done: now,
        result: result as u64,
    })
}

/// Bytes that a unit of work moves.
pub(crate) const MOVED_PER_UNIT: u64 = 4096;
/// Zones that a unit of work looks at.
const ZONES_PER_UNIT: u64 = 32;
/// Bytes that a unit of work discards, or looks up in the model.
pub(crate) const LOOKED_UP_PER_UNIT: u64 = 16 * 4096;
/// Zones that one step looks at.
const STEP_ZONES: u32 = 4096;
/// Most work of one command or step: moving 1 MiB twice (Copy), or looking up 16 MiB.
pub(crate) const LONGEST_COMMAND: u64 = 600;

/// What is left of a long command, apart from bytes to discard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Task {
    /// Nothing.
    #[default]
    Discard,
    /// Zone Management Receive.
    Report(Report),
    /// Select All: the zones from `next` on.
    Zones {
        ns: NsIndex,
        action: ZoneAction,
        next: u32,
    },
    /// Dataset Management: ranges of the list in scratch memory from number `at` on, of that one without the first
    /// `inside` sectors.
    Deallocate {
        ns: NsIndex,
        ranges: usize,
        at: usize,
        inside: u64,
    },
    /// Format NVM of some namespaces: from zone or sector `next` of namespace `at` on.
    Format {
        first: u32,
        last: u32,
        format: u8,
        /// Also data that no command can change any longer: secure erase.
        wipes: bool,
        at: u32,
        next: u64,
    },
    /// Sanitize: from zone or sector `next` of namespace number `at` on.
    Sanitize {
        /// Blocks stay allocated, and are overwritten.
        keeps: bool,
        pattern: u32,
        at: u8,
        next: u64,
    },
}

/// A long command being worked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Job {
    pub(crate) sq: u16,
    pub(crate) sqe: Sqe,
    pub(crate) task: Task,
    /// Media bytes that are to read as zeroes.
    pub(crate) discard: Range<u64>,
    /// When what was done so far completes.
    pub(crate) done: Instant,
}

impl Job {
    pub(crate) fn new(sq: u16, sqe: &Sqe, start: Start, now: Instant) -> Self {
        Self {
            sq,
            sqe: *sqe,
            task: start.task,
            discard: start.discard,
            done: start.done.max(now),
        }
    }
}

/// How a long command begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) task: Task,
    pub(crate) discard: Range<u64>,
    pub(crate) done: Instant,
}

impl Start {
    /// A task of which nothing is done yet.
    pub(crate) const fn of(task: Task) -> Self {
        Self {
            task,
            discard: 0..0,
            done: Instant::ZERO,
        }
    }
}

/// A report being put together, descriptor by descriptor: what is in scratch memory, and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) ns: NsIndex,
    /// The zone to look at next.
    pub(crate) next: u32,
    pub(crate) filter: ZoneReportFilter,
    /// Count only the zones that are reported.
    pub(crate) partial: bool,
    /// Bytes of a descriptor extension, 0 for a report without.
    pub(crate) extension: usize,
    /// Offset in the transfer of the first byte in scratch memory.
    pub(crate) flushed: u64,
    /// Bytes in scratch memory.
    pub(crate) filled: usize,
    /// Descriptors the guest has room for.
    pub(crate) room: u64,
    /// Number of zones for the header.
    pub(crate) found: u64,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            ns: NsIndex::default(),
            next: 0,
            filter: ZoneReportFilter::All,
            partial: false,
            extension: 0,
            flushed: 0,
            filled: 0,
            room: 0,
            found: 0,
        }
    }
}

state_enum!(Task {
    Discard = 0,
    Report(report) = 1,
    Zones { ns, action, next } = 2,
    Deallocate { ns, ranges, at, inside } = 3,
    Format { first, last, format, wipes, at, next } = 4,
    Sanitize { keeps, pattern, at, next } = 5,
});
state!(Job {
    sq,
    sqe[sqe],
    task,
    discard,
    done
});
state!(Report {
    ns,
    next,
    filter[filter],
    partial,
    extension,
    flushed,
    filled,
    room,
    found
});

/// A sanitize operation in progress, which is nobody's command.
#[derive(Debug, Default)]
pub(crate) struct Sanitizing {
    /// The one that began then.
    pub(crate) of: Option<Instant>,
    /// What is left to erase, once that has begun.
    pub(crate) job: Option<Job>,
    pub(crate) is_erased: bool,
    pub(crate) has_failed: bool,
    /// When what the model was asked for is done.
    pub(crate) done: Instant,
}

// Erasing begins again.
state!(Sanitizing { of, is_erased, has_failed, done; job });

/// A submission queue entry as it lies in memory.
mod sqe {
    use nvme_spec::{Sqe, SQE_BYTES};
    use state::{Decoder, Encoder, Error};

    pub fn encode(sqe: &Sqe, out: &mut Encoder) {
        out.put_bytes(&sqe.encode());
    }

    pub fn decode(sqe: &mut Sqe, from: &mut Decoder<'_>) -> Result<(), Error> {
        let bytes = from.take_bytes(SQE_BYTES)?.first_chunk();
        *sqe = Sqe::decode(bytes.ok_or_else(|| Error::new("no entry"))?);
        Ok(())
    }
}

/// A filter of zone reports as it is on the wire.
mod filter {
    use nvme_spec::ZoneReportFilter;
    use state::{Decoder, Encoder, Error, State};

    pub fn encode(filter: &ZoneReportFilter, out: &mut Encoder) {
        filter.wire().encode(out);
    }

    pub fn decode(filter: &mut ZoneReportFilter, from: &mut Decoder<'_>) -> Result<(), Error> {
        let mut wire = 0;
        State::decode(&mut wire, from)?;
        let known = ZoneReportFilter::from_wire(wire);
        *filter = known.ok_or_else(|| Error::new(format!("{wire} is no filter")))?;
        Ok(())
    }
}

/// What the present run has done and may do, and the long command in hand.
#[derive(Debug, Default)]
pub(crate) struct Work {
    done: u64,
    budget: u64,
    job: Option<Job>,
    /// Media bytes that a job which was dropped left: they are to read as zeroes before anything else is done.
    left_over: Range<u64>,
}

// Between two runs nothing is counted.
state!(Work { job, left_over; done, budget });

impl Work {
    /// A run begins.
    pub(crate) fn begin(&mut self, budget: u32) {
        (self.done, self.budget) = (0, budget.into());
    }

    /// Drops the job (controller reset). What the model has given up of the media is gone all the same.
    pub(crate) fn clear(&mut self) {
        if let Some(job) = self.job.take() {
            self.left_over = job.discard;
        }
    }

    /// Media bytes that are still to read as zeroes.
    pub(crate) fn to_discard(&self) -> &Range<u64> {
        match &self.job {
            Some(job) => &job.discard,
            None => &self.left_over,
        }
    }

    /// Whether a job that was dropped has left some.
    pub(crate) fn has_left_over(&self) -> bool {
        !self.left_over.is_empty()
    }

    /// The same of a job that was dropped, to be worked.
    pub(crate) const fn left_over(&mut self) -> &mut Range<u64> {
        &mut self.left_over
    }

    /// Counts work.
    pub(crate) fn add(&mut self, units: u64) {
        self.done = self.done.saturating_add(units);
    }

    /// Counts zones that were looked at.
    pub(crate) fn looked_at(&mut self, zones: Range<u32>) {
        self.add(u64::from(zones.end.saturating_sub(zones.start)).div_ceil(ZONES_PER_UNIT));
    }

    /// What the run may still do.
    pub(crate) const fn left(&self) -> u64 {
        self.budget.saturating_sub(self.done)
    }

    /// Whether the run may do more.
    pub(crate) const fn has_budget(&self) -> bool {
        self.left() > 0
    }

    /// Whether the run has kept to its budget, a last command or step aside, and `more` for what comes on top of that.
    pub(crate) const fn is_bounded(&self, more: u64) -> bool {
        self.done <= self.budget.saturating_add(LONGEST_COMMAND + more)
    }

    /// Takes a job in hand.
    pub(crate) fn put(&mut self, job: Job) {
        self.job = Some(job);
    }

    /// Gives the job out to be worked.
    pub(crate) fn take(&mut self) -> Option<Job> {
        self.job.take()
    }

    /// The job in hand.
    pub(crate) const fn job(&self) -> Option<&Job> {
        self.job.as_ref()
    }
}

/// The zones from `first` on that one step looks at.
pub(crate) fn step_of_zones(first: u32, count: u32) -> Range<u32> {
    first..first.saturating_add(STEP_ZONES).min(count)
}
