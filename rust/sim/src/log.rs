// SPDX-License-Identifier: GPL-2.0-or-later
//! A block device's requests on zones, log-structured, as F2FS and translation layers on the host do it.
//!
//! ```text
//!   request ──> stream ──> log: an open zone that is written in order ──> commands
//!               map: page -> zone and place            full zones ──> cleaning ──> reset
//! ```
//! A write goes to the end of one of a few logs, and what it overwrites becomes garbage. When zones run short, a full
//! one is cleaned: what is still valid moves to the last log, and the zone is reset; one without anything valid is
//! reset at once. Requests are rounded out to pages of 4 KiB. Reads of what the trace never wrote are left out and
//! counted. The host's own work takes no time, and what it moves arrives with the request that needed the room.
//!
//! Invariants: a log has at most one zone with room, so no more zones are open than there are logs; a page is valid in
//! one place; one free zone is kept for cleaning.

use std::collections::{HashMap, VecDeque};

use rustc_hash::FxBuildHasher;
use trace::block::{Kind, Request};
use trace::{Command, Op};
use units::{Instant, PAGE_BYTES, PAGE_SECTORS, SECTOR_BYTES};

use crate::Space;

/// Free zones at which cleaning begins: it needs one to move to.
const RESERVE: usize = 1;

/// More bytes read or written by one request are a mistake in the trace.
const LONGEST: u64 = 1 << 30;

/// Which log a write goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Streams {
    /// By who writes: processes take the logs in turn.
    #[default]
    Process,
    /// By the request's size: doublings from 4 KiB to 512 KiB and more.
    Size,
    /// By the page's age when it is overwritten, in powers of two around the mean; new pages to the last log.
    Age,
}

/// Which full zone is cleaned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cleaning {
    /// The one with the least that is valid.
    #[default]
    Greedy,
    /// The one with the most (1 - u) x age / (1 + u), where u is what is valid of it (Rosenblum and Ousterhout 1992).
    CostBenefit,
}

/// How requests are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Logs written side by side, from 1 to what the drive has open.
    pub logs: u64,
    /// How writes are told apart.
    pub streams: Streams,
    /// How a victim is chosen.
    pub cleaning: Cleaning,
}

/// What the log did, in pages of 4 KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogFigures {
    /// Written by the trace.
    pub written: u64,
    /// Moved by cleaning.
    pub moved: u64,
    /// Written to make writes as long as the drive demands.
    pub padded: u64,
    /// Read by the trace, and found.
    pub read: u64,
    /// Read by the trace, but never written in it.
    pub unwritten: u64,
    /// Discarded.
    pub trimmed: u64,
    /// Zones reset.
    pub resets: u64,
    /// Most zones that had room and data at a time.
    pub open: u64,
}

impl LogFigures {
    /// (written + moved + padded) / written: the host's part of write amplification. `None` without writes.
    #[must_use]
    pub fn write_amplification(&self) -> Option<f64> {
        let all = self.written + self.moved + self.padded;
        (self.written > 0).then(|| all as f64 / self.written as f64)
    }
}

/// A page of a block device: which device, which page.
type Page = (u64, u64);

/// Where a page is.
#[derive(Clone, Copy, Debug)]
struct Place {
    zone: usize,
    index: usize,
    /// Pages that the trace had written by then.
    written: u64,
}

/// A zone's pages in order; those that became garbage are `None`.
#[derive(Clone, Debug, Default)]
struct Zone {
    pages: Vec<Option<Page>>,
    valid: usize,
    /// [`Place::written`] of the last one.
    written: u64,
}

/// The log-structured placement of one trace.
#[derive(Clone, Debug)]
pub struct Log {
    space: Space,
    options: LogOptions,
    /// Pages of a zone.
    capacity: usize,
    /// Pages that the length of a write must be a multiple of.
    unit: usize,
    zones: Vec<Zone>,
    free: VecDeque<usize>,
    /// The zone that each log writes.
    heads: Vec<Option<usize>>,
    map: HashMap<Page, Place, FxBuildHasher>,
    processes: HashMap<u64, usize, FxBuildHasher>,
    /// Mean age of overwritten pages, in pages written.
    mean_age: u64,
    figures: LogFigures,
}

/// Why a trace cannot be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogError {
    /// More logs than the drive can have open.
    Logs {
        /// As asked for.
        logs: u64,
        /// The most.
        most: u64,
    },
    /// All data is valid and no zone is left.
    Full {
        /// Bytes that are valid.
        valid: u64,
        /// Bytes of the drive.
        bytes: u64,
    },
    /// A request that no device takes.
    Range {
        /// Its first byte.
        offset: u64,
        /// Its bytes.
        length: u64,
    },
}

impl std::fmt::Display for LogError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Logs { logs, most } => write!(
                f,
                "--logs {logs}: this drive can have 1 to {most} (its open zones, and two zones less than it has)"
            ),
            Self::Full { valid, bytes } => write!(
                f,
                "the trace's data ({valid} bytes so far) does not fit the drive ({bytes} bytes, of which cleaning needs some): set more zones or a larger block-data-size"
            ),
            Self::Range { offset, length } => {
                write!(f, "offset {offset} and length {length}: beyond 2^63, or more than {LONGEST} bytes of data")
            }
        }
    }
}

impl std::error::Error for LogError {}

impl Log {
    /// An empty drive.
    ///
    /// # Errors
    /// [`LogError::Logs`].
    pub fn new(space: Space, options: LogOptions) -> Result<Self, LogError> {
        let most = space.max_open.min(space.zones.saturating_sub(2));
        if options.logs == 0 || options.logs > most {
            return Err(LogError::Logs {
                logs: options.logs,
                most,
            });
        }
        let zones = usize::try_from(space.zones).unwrap_or(usize::MAX);
        let logs = usize::try_from(options.logs).unwrap_or(1);
        Ok(Self {
            space,
            options,
            capacity: usize::try_from(space.capacity / PAGE_BYTES).unwrap_or(usize::MAX),
            unit: usize::try_from(space.unit / PAGE_BYTES).unwrap_or(1).max(1),
            zones: vec![Zone::default(); zones],
            free: (0..zones).collect(),
            heads: vec![None; logs],
            map: HashMap::default(),
            processes: HashMap::default(),
            mean_age: 1,
            figures: LogFigures::default(),
        })
    }

    /// What it did so far.
    #[must_use]
    pub const fn figures(&self) -> LogFigures {
        self.figures
    }

    /// Appends the commands that a request becomes to `out`.
    ///
    /// # Errors
    /// The data does not fit, or the request is out of range.
    pub fn request(
        &mut self,
        request: &Request,
        out: &mut VecDeque<Command>,
    ) -> Result<(), LogError> {
        let end = request.offset.checked_add(request.length);
        let short = request.kind == Kind::Trim || request.length <= LONGEST;
        let end = end
            .filter(|end| short && *end < 1 << 63)
            .ok_or(LogError::Range {
                offset: request.offset,
                length: request.length,
            })?;
        let mut commands = Commands {
            out,
            space: self.space,
            arrival: request.at,
            fua: request.fua,
            begin: 0,
            emptied: Vec::new(),
        };
        commands.begin = commands.out.len();
        // A discard frees whole pages only; the others touch every page that they reach.
        let pages = match request.kind {
            Kind::Trim => request.offset.div_ceil(PAGE_BYTES)..end / PAGE_BYTES,
            _ => request.offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES),
        };
        let count = pages.end.saturating_sub(pages.start);
        let device = request.device;
        match request.kind {
            Kind::Flush => commands.push(Op::Flush, 0, 0),
            Kind::Read => {
                for page in pages {
                    match self.map.get(&(device, page)) {
                        Some(place) => {
                            self.figures.read += 1;
                            commands.page(Op::Read, place.zone, place.index);
                        }
                        None => self.figures.unwritten += 1,
                    }
                }
            }
            Kind::Trim => {
                // A device's whole range may be discarded: then what there is decides, not the range.
                if count > self.map.len() as u64 {
                    let inside = |&(d, page): &Page| d == device && pages.contains(&page);
                    let mut found: Vec<Page> = self.map.keys().copied().filter(inside).collect();
                    found.sort_unstable();
                    for page in found {
                        self.discard(page, &mut commands);
                    }
                } else {
                    for page in pages {
                        self.discard((device, page), &mut commands);
                    }
                }
            }
            Kind::Write => {
                let process = self.process(request.process);
                let mut placed: Vec<(usize, u64)> = pages
                    .map(|page| (self.stream((device, page), count, process), page))
                    .collect();
                if self.unit > 1 {
                    // What one log gets is written in one go.
                    placed.sort_by_key(|(log, _)| *log);
                }
                let mut pages = placed.into_iter().peekable();
                while let Some((log, page)) = pages.next() {
                    self.figures.written += 1;
                    self.append((device, page), log, &mut commands)?;
                    if pages.peek().is_none_or(|(next, _)| *next != log) {
                        self.pad(log, &mut commands);
                    }
                }
            }
        }
        commands.resets();
        Ok(())
    }

    /// The log of a process: the next one in turn for a new one.
    fn process(&mut self, process: u64) -> usize {
        let next = self.processes.len();
        *self.processes.entry(process).or_insert(next)
    }

    fn stream(&mut self, page: Page, count: u64, process: usize) -> usize {
        /// Doublings of a request's pages that are told apart.
        const SIZES: usize = 8;
        let logs = self.heads.len();
        match self.options.streams {
            Streams::Process => process % logs,
            Streams::Size => {
                let doublings = count.max(1).ilog2() as usize;
                doublings.min(SIZES - 1) * logs / SIZES
            }
            Streams::Age => {
                let Some(place) = self.map.get(&page) else {
                    return logs - 1;
                };
                let age = (self.figures.written - place.written).max(1);
                // A mean that follows the last thousand or so.
                self.mean_age = (self.mean_age * 1023 + age).div_ceil(1024).max(1);
                let above = i64::from(age.ilog2()) - i64::from(self.mean_age.ilog2());
                let middle = i64::try_from(logs / 2).unwrap_or(0);
                usize::try_from(above + middle).unwrap_or(0).min(logs - 1)
            }
        }
    }

    fn discard(&mut self, page: Page, commands: &mut Commands<'_>) {
        if let Some(place) = self.map.remove(&page) {
            self.figures.trimmed += 1;
            self.forget(place, commands);
        }
    }

    /// A page's old place is garbage now.
    fn forget(&mut self, place: Place, commands: &mut Commands<'_>) {
        let capacity = self.capacity;
        let Some(zone) = self.zones.get_mut(place.zone) else {
            return;
        };
        if let Some(page) = zone.pages.get_mut(place.index) {
            *page = None;
            zone.valid -= 1;
        }
        if zone.valid == 0 && zone.pages.len() == capacity {
            self.reset(place.zone, commands);
        }
    }

    fn reset(&mut self, number: usize, commands: &mut Commands<'_>) {
        let Some(zone) = self.zones.get_mut(number) else {
            return;
        };
        zone.pages.clear();
        zone.valid = 0;
        self.free.push_back(number);
        self.figures.resets += 1;
        commands.emptied.push(number);
    }

    /// Writes a page to the end of a log.
    fn append(
        &mut self,
        page: Page,
        log: usize,
        commands: &mut Commands<'_>,
    ) -> Result<(), LogError> {
        let head = match self.heads.get(log).copied().flatten() {
            Some(head) => head,
            None => self.next_zone(log, commands)?,
        };
        self.put(Some(page), log, head, commands);
        Ok(())
    }

    /// Ends what was written to a log at a multiple of the drive's unit.
    fn pad(&mut self, log: usize, commands: &mut Commands<'_>) {
        while let Some(head) = self.heads.get(log).copied().flatten() {
            let written = self.zones.get(head).map_or(0, |zone| zone.pages.len());
            if written % self.unit == 0 {
                return;
            }
            self.figures.padded += 1;
            self.put(None, log, head, commands);
        }
    }

    /// Writes a page, or padding, to a log's zone.
    fn put(&mut self, page: Option<Page>, log: usize, head: usize, commands: &mut Commands<'_>) {
        let (capacity, written) = (self.capacity, self.figures.written);
        let Some(zone) = self.zones.get_mut(head) else {
            return;
        };
        let index = zone.pages.len();
        zone.pages.push(page);
        zone.valid += usize::from(page.is_some());
        zone.written = written;
        let full = zone.pages.len() == capacity;
        let garbage = full && zone.valid == 0;
        commands.page(Op::Write, head, index);
        if full {
            if let Some(head) = self.heads.get_mut(log) {
                *head = None;
            }
        }
        let place = Place {
            zone: head,
            index,
            written,
        };
        match page.and_then(|page| self.map.insert(page, place)) {
            Some(old) => self.forget(old, commands),
            None if garbage => self.reset(head, commands),
            None => {}
        }
    }

    /// A log that has no zone takes one; before that, zones are cleaned until more than the reserve are free.
    fn next_zone(&mut self, log: usize, commands: &mut Commands<'_>) -> Result<usize, LogError> {
        while self.free.len() <= RESERVE {
            self.clean(commands)?;
        }
        // Cleaning may have given this log one.
        match self.heads.get(log).copied().flatten() {
            Some(head) => Ok(head),
            None => self.take_zone(log, commands),
        }
    }

    fn take_zone(&mut self, log: usize, commands: &mut Commands<'_>) -> Result<usize, LogError> {
        commands.resets();
        let taken = self.free.pop_front().ok_or_else(|| self.full())?;
        if let Some(head) = self.heads.get_mut(log) {
            *head = Some(taken);
        }
        let open = self.heads.iter().flatten().count() as u64;
        self.figures.open = self.figures.open.max(open);
        Ok(taken)
    }

    fn full(&self) -> LogError {
        LogError::Full {
            valid: self.map.len() as u64 * PAGE_BYTES,
            bytes: self.space.bytes(),
        }
    }

    /// Moves what is valid in a full zone to the last log, and resets it.
    fn clean(&mut self, commands: &mut Commands<'_>) -> Result<(), LogError> {
        let victim = self.victim().ok_or_else(|| self.full())?;
        let zone = self.zones.get(victim);
        let pages = zone.map_or_else(Vec::new, |zone| zone.pages.clone());
        for (index, _) in pages.iter().enumerate().filter(|(_, page)| page.is_some()) {
            commands.page(Op::Read, victim, index);
        }
        let log = self.heads.len() - 1;
        for page in pages.into_iter().flatten() {
            let head = match self.heads.get(log).copied().flatten() {
                Some(head) => head,
                None => self.take_zone(log, commands)?,
            };
            self.figures.moved += 1;
            // The last one that moves away resets the zone.
            self.put(Some(page), log, head, commands);
        }
        self.pad(log, commands);
        commands.resets();
        Ok(())
    }

    /// The full zone whose cleaning is worth most; none if all are full of valid data.
    fn victim(&self) -> Option<usize> {
        let full = self.zones.iter().enumerate();
        let full = full
            .filter(|(_, zone)| zone.pages.len() == self.capacity && zone.valid < self.capacity);
        let worth = |zone: &Zone| {
            let valid = zone.valid as f64 / self.capacity as f64;
            match self.options.cleaning {
                Cleaning::Greedy => 1.0 - valid,
                Cleaning::CostBenefit => {
                    let age = (self.figures.written - zone.written + 1) as f64;
                    (1.0 - valid) * age / (1.0 + valid)
                }
            }
        };
        full.max_by(|(a, x), (b, y)| worth(x).total_cmp(&worth(y)).then(b.cmp(a)))
            .map(|(number, _)| number)
    }
}

/// The commands of one request. Neighbouring pages become one command, as long as the drive takes.
struct Commands<'a> {
    out: &'a mut VecDeque<Command>,
    space: Space,
    arrival: Instant,
    fua: bool,
    /// The first of this request.
    begin: usize,
    /// Zones to reset. That waits until no write is under way, which it would cut in two, and comes before any of them is
    /// written again.
    emptied: Vec<usize>,
}

impl Commands<'_> {
    fn page(&mut self, op: Op, zone: usize, index: usize) {
        let slba = (zone as u64 * self.space.span + index as u64 * PAGE_BYTES) / SECTOR_BYTES;
        let longest = self.space.longest - self.space.longest % self.space.unit;
        let longest = longest.max(self.space.unit) / SECTOR_BYTES;
        let last = if self.out.len() > self.begin {
            self.out.back_mut()
        } else {
            None
        };
        match last {
            Some(last)
                if index > 0
                    && last.op == op
                    && last.slba + u64::from(last.nlb) == slba
                    && u64::from(last.nlb) + PAGE_SECTORS <= longest =>
            {
                last.nlb += PAGE_SECTORS as u32;
            }
            _ => self.push(op, slba, PAGE_SECTORS as u32),
        }
    }

    fn push(&mut self, op: Op, slba: u64, nlb: u32) {
        self.out.push_back(Command {
            arrival: self.arrival,
            data: true,
            op,
            slba,
            nlb,
            fua: self.fua && op == Op::Write,
        });
    }

    fn resets(&mut self) {
        for zone in std::mem::take(&mut self.emptied) {
            let slba = zone as u64 * self.space.span / SECTOR_BYTES;
            if self.space.zoned {
                self.push(Op::Reset, slba, 0);
            } else {
                let sectors = self.space.capacity / SECTOR_BYTES;
                self.push(Op::Trim, slba, u32::try_from(sectors).unwrap_or(u32::MAX));
            }
        }
    }
}
