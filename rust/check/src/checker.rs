// SPDX-License-Identifier: GPL-2.0-or-later
//! All books of one drive, fed command by command.

use crate::drive::Drive;
use crate::ledger::{Ledger, PageKey};
use crate::link::Link;
use crate::observed::{Event, Occupied, What};
use crate::planes::Planes;
use crate::violation::{Law, Violation};
use crate::written::{Counted, Effect, Written};
use ftl::{Command, Error, Namespace, Outcome};
use ssd::{Model, ModelConfig};
use std::collections::HashMap;
use std::ops::Range;
use units::{Bytes, Instant, Nanos, Sector, PAGE_SECTORS, SECTOR_BYTES};

mod cut;
mod room;

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Commands.
    pub commands: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those of them that found no room.
    pub refused: u64,
    /// Copies of pages.
    pub copies: u64,
    /// Erases of blocks begun or continued.
    pub erases: u64,
    /// Pages that hold data at the end.
    pub pages: u64,
    /// Power cuts.
    pub cuts: u64,
    /// Pages that were lost by them, wholly or the newest of their data.
    pub lost: u64,
}

/// A drive's books, apart from the drive.
#[derive(Debug)]
pub struct Books {
    ledger: Ledger,
    planes: Planes,
    link: Link,
    /// What the commands say.
    pub written: Written,
    summary: Summary,
    latest: Instant,
    last_done: Instant,
    /// Sectors of zones that are promised, and from when on.
    promised: HashMap<u32, Vec<(Instant, u64)>>,
}

impl Books {
    /// Of an erased drive.
    #[must_use]
    pub fn new(drive: &Drive) -> Self {
        Self {
            ledger: Ledger::new(drive.erase()),
            planes: Planes::default(),
            link: Link::new(drive.link_mbps()),
            written: Written::default(),
            summary: Summary::default(),
            latest: Instant::ZERO,
            last_done: Instant::ZERO,
            promised: HashMap::new(),
        }
    }

    /// What happened between commands.
    ///
    /// # Errors
    /// A law is broken.
    pub fn background(
        &mut self,
        now: Instant,
        events: &[Event],
        occupied: &[Occupied],
    ) -> Result<(), Violation> {
        self.ledger.begin(now);
        self.latest = now;
        let dropped = self.told(events, occupied)?;
        allowed(Namespace::Data, &Effect::default(), &dropped)?;
        self.ledger.settle(false)
    }

    /// Takes what the model told; gives what it dropped.
    fn told(
        &mut self,
        events: &[Event],
        occupied: &[Occupied],
    ) -> Result<Vec<(Namespace, Range<u64>)>, Violation> {
        let mut dropped = Vec::new();
        for event in events {
            self.ledger.event(event)?;
            if let Event::Dropped {
                namespace,
                first,
                pages,
            } = *event
            {
                dropped.push((namespace, first..first.saturating_add(pages)));
            }
        }
        for segment in occupied {
            self.planes.occupied(segment, self.ledger.old())?;
            if segment.what == What::Load {
                self.ledger
                    .loaded(segment.plane, segment.block, segment.start);
            }
        }
        let mut erases: Vec<_> = occupied.iter().filter(|o| o.what == What::Erase).collect();
        // Each plane's erases in the order of time, whoever booked them.
        erases.sort_by_key(|o| o.start);
        for erase in erases {
            self.summary.erases += 1;
            self.ledger
                .erase((erase.plane, erase.block), erase.start, erase.end)?;
        }
        self.summary.copies = self.ledger.copies;
        Ok(dropped)
    }

    /// A command that arrived at `now`, its outcome, and what was told with it.
    ///
    /// # Errors
    /// A law is broken.
    pub fn command(
        &mut self,
        drive: &Drive,
        (namespace, command, now): (Namespace, &Command, Instant),
        outcome: &Outcome,
        (events, occupied): (&[Event], &[Occupied]),
    ) -> Result<(), Violation> {
        self.summary.commands += 1;
        self.latest = now;
        self.ledger.begin(now);
        let dropped = self.told(events, occupied)?;
        if outcome.done < now {
            let seen = format!(
                "a command that arrives at {now:?} ends at {:?}",
                outcome.done
            );
            return Violation::found(Law::Answer, seen);
        }
        self.last_done = self.last_done.max(outcome.done);
        match outcome.result {
            Ok(reply) => {
                let effect = self.written.succeeded(drive, namespace, command, reply);
                allowed(namespace, &effect, &dropped)?;
                self.effects(drive, namespace, command, &effect, outcome.done)?;
                self.crossed(command, now, outcome.done)?;
                self.area(drive, &effect, outcome.done)?;
            }
            Err(error) => {
                self.failed(drive, (namespace, command, now), outcome, error)?;
                // As below: it may have been done in part.
                for (of, pages) in dropped.iter().filter(|_| self.summary.cuts > 0) {
                    self.written.clear(*of, pages);
                    self.ledger
                        .drop_pages(*of, pages.start, pages.end - pages.start);
                }
            }
        }
        self.ledger.settle(false)
    }

    /// Sectors of zones that a command promises.
    fn promise(
        &mut self,
        drive: &Drive,
        namespace: Namespace,
        command: &Command,
        effect: &Effect,
        done: Instant,
    ) {
        if !drive.is_zoned(namespace) {
            return;
        }
        for pages in &effect.dropped {
            let zone = drive.zone_of(Sector::new(pages.start * PAGE_SECTORS));
            self.promised.remove(&zone.map_or(0, |zone| zone.id.get()));
        }
        let mut zones = Vec::new();
        if drive.writes_through(command) {
            let at = Sector::new(effect.wrote.start * PAGE_SECTORS);
            zones.extend(drive.zone_of(at).filter(|_| !effect.wrote.is_empty()));
        } else if *command == Command::Flush {
            zones.extend((0..drive.zones()).filter_map(|id| drive.zone(id)));
        }
        for zone in zones.iter().filter(|z| z.state.has_write_pointer()) {
            let sectors = zone.write_pointer.get() - zone.start.get();
            self.promised
                .entry(zone.id.get())
                .or_default()
                .push((done, sectors));
        }
    }

    fn effects(
        &mut self,
        drive: &Drive,
        namespace: Namespace,
        command: &Command,
        effect: &Effect,
        done: Instant,
    ) -> Result<(), Violation> {
        for lpn in effect.wrote.clone() {
            let key = PageKey::new(namespace, lpn);
            if !self.ledger.entered_now(key) {
                let seen = format!("{key} is written, and its data never enters");
                return Violation::found(Law::Telling, seen);
            }
            if drive.writes_through(command) {
                self.ledger.acknowledge(key, done);
            }
        }
        self.promise(drive, namespace, command, effect, done);
        for pages in &effect.dropped {
            self.ledger
                .drop_pages(namespace, pages.start, pages.end - pages.start);
        }
        for pages in &effect.finished {
            for lpn in pages.clone() {
                self.ledger.acknowledge(PageKey::new(namespace, lpn), done);
            }
        }
        if *command == Command::Flush {
            self.ledger.acknowledge_all(namespace, done);
        }
        Ok(())
    }

    /// Random write areas have memory for twice their size: what is written and what is on its way to
    /// flash. (The other models' memory is their write buffer.) Looked at when all is there: not when an
    /// earlier command ends later.
    fn area(&self, drive: &Drive, effect: &Effect, done: Instant) -> Result<(), Violation> {
        let settled = done == self.last_done && !effect.wrote.is_empty();
        let (ModelConfig::Zms(config), true) = (drive.config(), settled) else {
            return Ok(());
        };
        let zone = drive.zone_of(Sector::new(effect.wrote.start * PAGE_SECTORS));
        let (Some(limits), Some(zone)) = (config.zone_options.zrwa, zone.filter(|z| z.zrwa)) else {
            return Ok(());
        };
        let area = limits.size / PAGE_SECTORS;
        let pointer = zone.write_pointer.get() / PAGE_SECTORS;
        let all = drive.pages_of(zone.id.get());
        let near = pointer.saturating_sub(8 * area).max(all.start)..all.end.min(pointer + 2 * area);
        let kept = self.ledger.in_memory(Namespace::Data, near, done);
        if kept <= 2 * area {
            return Ok(());
        }
        let seen = format!(
            "{kept} pages are kept for zone {}, whose area has {area}",
            zone.id
        );
        Violation::found(Law::Memory, seen)
    }

    fn crossed(&mut self, command: &Command, from: Instant, to: Instant) -> Result<(), Violation> {
        let sectors = match *command {
            Command::Read {
                sectors,
                internal: false,
                ..
            }
            | Command::Write {
                sectors,
                internal: false,
                ..
            }
            | Command::Append { sectors, .. } => sectors,
            _ => return Ok(()),
        };
        self.link
            .transfer(from, to, Bytes::new(sectors * SECTOR_BYTES))
    }

    fn failed(
        &mut self,
        drive: &Drive,
        (namespace, command, now): (Namespace, &Command, Instant),
        outcome: &Outcome,
        error: Error,
    ) -> Result<(), Violation> {
        self.summary.failed += 1;
        if outcome.done != now {
            let seen = format!(
                "{command:?} fails with {error:?} after {:?}",
                outcome.done.since(now)
            );
            return Violation::found(Law::Answer, seen);
        }
        let wrote = match *command {
            Command::Write { at, sectors, .. } | Command::WriteZeroes { at, sectors, .. } => {
                crate::written::touched(at, sectors)
            }
            _ => 0..0,
        };
        // The range of a failed write may be anything.
        let last = drive.sectors(namespace) / PAGE_SECTORS;
        for lpn in wrote.start.min(last)..wrote.end.min(last) {
            let key = PageKey::new(namespace, lpn);
            if !self.ledger.entered_now(key) {
                continue;
            }
            // A large command can be refused half way where power cuts have left too little room.
            if self.summary.cuts == 0 {
                let seen = format!("{command:?} fails with {error:?}, but {key} entered");
                return Violation::found(Law::Telling, seen);
            }
            self.written
                .mark(namespace, lpn * PAGE_SECTORS..(lpn + 1) * PAGE_SECTORS);
        }
        if error == Error::CapacityExceeded {
            self.summary.refused += 1;
            // Power cuts can leave copies where space was to be made.
            let there_was = || room::there_was(drive, (namespace, command), &self.written);
            if let Some(seen) = (self.summary.cuts == 0).then(there_was).flatten() {
                return Violation::found(
                    Law::Refused,
                    format!("{command:?} finds no room: {seen}"),
                );
            }
        }
        Ok(())
    }

    /// No more will be told: whether all that was acknowledged was durable throughout.
    ///
    /// # Errors
    /// It was not.
    pub fn settled(&mut self) -> Result<(), Violation> {
        self.ledger.settle(true)
    }

    /// The end of a run, with the drive idle.
    ///
    /// # Errors
    /// A law is broken.
    pub fn finish(&mut self, drive: &Drive) -> Result<Summary, Violation> {
        self.settled()?;
        self.counters(drive)?;
        self.busy(drive)?;
        self.summary.pages = self.ledger.pages_with_data() as u64;
        Ok(self.summary)
    }

    fn counters(&self, drive: &Drive) -> Result<(), Violation> {
        let stats = drive.model().stats();
        for (namespace, counters) in [
            (Namespace::Meta, &stats.meta),
            (Namespace::Data, &stats.data),
        ] {
            let counted = self.written.counted(namespace);
            let told = (
                counters.host_reads,
                counters.host_writes,
                counters.host_flushes,
            );
            let Counted {
                reads,
                mut writes,
                flushes,
                ..
            } = counted;
            if told.1 == writes + counted.zeroes {
                writes = told.1;
            }
            if told != (reads, writes, flushes) {
                let seen = format!(
                    "{namespace:?}: {reads} reads, {writes} writes, {flushes} flushes succeeded; counted: {told:?}"
                );
                return Violation::found(Law::Counters, seen);
            }
            let (unit, told, right) = match (drive.model(), namespace) {
                (Model::Zns(zns), Namespace::Data) => {
                    let bytes = zns.stats().unwritten_bytes.get();
                    ("sectors", bytes / SECTOR_BYTES, counted.unmapped_sectors)
                }
                _ => ("pages", counters.unmapped_reads, counted.unmapped_pages),
            };
            if told != right {
                let seen = format!(
                    "{namespace:?}: {told} {unit} read as never written, and {right} were never written"
                );
                return Violation::found(Law::Unmapped, seen);
            }
        }
        self.programmed(drive, &stats)?;
        self.mapped(drive, &stats)
    }

    /// Each written page is mapped, and nothing else; in pSLC of one write pointer nothing else is
    /// valid, either. (In incomplete wordlines a page has a backup besides.)
    fn mapped(&self, drive: &Drive, stats: &zms::Stats) -> Result<(), Violation> {
        for namespace in [Namespace::Meta, Namespace::Data] {
            if let Some((key, told)) = self.written.disagrees(drive, namespace) {
                let seen = match told {
                    true => format!("{key} is written, says the drive; it is not"),
                    false => format!("{key} was never written, says the drive; it was"),
                };
                return Violation::found(Law::Unmapped, seen);
            }
        }
        let meta = self.written.pages(Namespace::Meta) as u64;
        let valid = stats.meta_pool.valid_pages;
        if matches!(drive.config(), ModelConfig::Zms(_)) && meta != valid {
            let seen = format!("{valid} pages are valid in meta's pSLC, of {meta} written");
            return Violation::found(Law::Counters, seen);
        }
        Ok(())
    }

    /// Each copy that was told is a page programmed. (Others were given up before they came to it.)
    fn programmed(&self, drive: &Drive, stats: &zms::Stats) -> Result<(), Violation> {
        let counted = stats.meta.pages_programmed() + stats.data.pages_programmed();
        // The others count padding, too, and partly written pages by bytes.
        if matches!(drive.config(), ModelConfig::Zms(_)) && counted < self.ledger.copies {
            let seen = format!(
                "{} pages are programmed, {counted} counted",
                self.ledger.copies
            );
            return Violation::found(Law::Counters, seen);
        }
        Ok(())
    }

    fn busy(&self, drive: &Drive) -> Result<(), Violation> {
        let stats = drive.model().stats();
        let end = self.latest.max(self.last_done).max(self.planes.last_end());
        let passed = end.since(Instant::ZERO);
        let check = |name: &str, busy: Nanos| {
            if busy <= passed {
                return Ok(());
            }
            let seen = format!("{name} is busy {} ns of {} ns", busy.get(), passed.get());
            Violation::found(Law::Busy, seen)
        };
        for (i, plane) in stats.planes.iter().enumerate() {
            check(&format!("plane {i}"), plane.busy)?;
            if let Some(seen) = self.planes.busy(i).filter(|seen| *seen != plane.busy) {
                let seen = format!(
                    "plane {i} is busy {} ns, and counts {} ns",
                    seen.get(),
                    plane.busy.get()
                );
                return Violation::found(Law::Counters, seen);
            }
        }
        for (i, channel) in stats.channels.iter().enumerate() {
            check(&format!("channel {i}"), channel.busy)?;
        }
        check("the host link", stats.link.busy)
    }
}

/// What was dropped is what the command asked to drop.
fn allowed(
    namespace: Namespace,
    effect: &Effect,
    dropped: &[(Namespace, Range<u64>)],
) -> Result<(), Violation> {
    for (of, pages) in dropped.iter().filter(|d| !d.1.is_empty()) {
        let inside = |asked: &Range<u64>| asked.start <= pages.start && pages.end <= asked.end;
        if *of != namespace || !effect.dropped.iter().any(inside) {
            let seen = format!("{of:?} pages {pages:?} are dropped, and nobody asked for it");
            return Violation::found(Law::Telling, seen);
        }
    }
    Ok(())
}

/// Falsifies what a drive answers and tells, to see whether it is found out.
pub type Tamper = fn(&mut Outcome, &mut Vec<Event>, &mut Vec<Occupied>);

/// A drive and its books.
#[derive(Debug)]
pub struct Checker {
    drive: Drive,
    books: Books,
    tamper: Option<Tamper>,
    now: Instant,
    /// Whether background work is asked for at its own instants, as a device with a timer does.
    ticks: bool,
    commands: u64,
}

impl Checker {
    /// Of an erased drive.
    #[must_use]
    pub fn new(drive: Drive, ticks: bool) -> Self {
        Self {
            books: Books::new(&drive),
            drive,
            tamper: None,
            now: Instant::ZERO,
            ticks,
            commands: 0,
        }
    }

    /// The same drive, but it lies.
    #[must_use]
    pub fn tampered(self, tamper: Option<Tamper>) -> Self {
        Self { tamper, ..self }
    }

    /// The drive.
    #[must_use]
    pub const fn drive(&self) -> &Drive {
        &self.drive
    }

    /// What the drive told with an outcome; perhaps lies.
    fn told(&mut self, outcome: &mut Outcome) -> (Vec<Event>, Vec<Occupied>) {
        let mut events = self.drive.take_events();
        let mut occupied = self.drive.take_occupied();
        if let Some(tamper) = self.tamper {
            tamper(outcome, &mut events, &mut occupied);
        }
        (events, occupied)
    }

    /// Does the background work due until `now`.
    fn tick(&mut self, now: Instant) -> Result<(), Violation> {
        let (mut last, mut again) = (self.now, 0);
        while let Some(at) = self.drive.next_event().filter(|at| *at <= now) {
            again = if at > last { 0 } else { again + 1 };
            if again > 1000 {
                let seen = format!("background work is due at {last:?} over and over");
                return Violation::found(Law::Answer, seen);
            }
            last = last.max(at);
            self.advance(at)?;
        }
        Ok(())
    }

    fn advance(&mut self, at: Instant) -> Result<(), Violation> {
        self.now = self.now.max(at);
        self.drive.advance(self.now);
        let (events, occupied) = self.told(&mut Outcome::done(self.now));
        self.books.background(self.now, &events, &occupied)
    }

    /// Runs a command that arrives at `at`.
    ///
    /// # Errors
    /// A law is broken.
    pub fn submit(
        &mut self,
        namespace: Namespace,
        command: &Command,
        at: Instant,
    ) -> Result<Outcome, Violation> {
        if self.ticks {
            self.tick(at)?;
        }
        self.now = self.now.max(at);
        self.books.written.before(&self.drive, command);
        let mut outcome = self.drive.submit(namespace, command, self.now);
        let (events, occupied) = self.told(&mut outcome);
        self.books.command(
            &self.drive,
            (namespace, command, self.now),
            &outcome,
            (&events, &occupied),
        )?;
        self.commands += 1;
        if self.commands % 256 == 0 {
            self.drive.check_invariants();
        }
        Ok(outcome)
    }

    /// Power goes at `at` and comes back; gives when the drive is ready.
    ///
    /// # Errors
    /// A law is broken.
    pub fn power_cut(&mut self, at: Instant) -> Result<Instant, Violation> {
        if self.ticks {
            self.tick(at)?;
        }
        self.advance(at.max(self.now))?;
        // Where erases take no time, `conv`, and `zns` for meta, books programs that overtake them.
        let is_instant = self.drive.erase() == Nanos::ZERO;
        let has_map = match self.drive.config() {
            ModelConfig::Conv(_) => true,
            ModelConfig::Zns(_) => self.drive.sectors(Namespace::Meta) > 0,
            _ => false,
        };
        if is_instant && has_map {
            return Ok(self.now);
        }
        let cut = self.drive.power_cut(self.now);
        let (events, occupied) = self.told(&mut Outcome::done(cut.ready));
        self.books
            .power_cut(&self.drive, self.now, &cut, (&events, &occupied))?;
        self.now = self.now.max(cut.ready);
        self.drive.check_invariants();
        Ok(self.now)
    }

    /// Flushes, lets the drive come to rest, and checks what can only be said then.
    ///
    /// # Errors
    /// A law is broken.
    pub fn finish(&mut self) -> Result<Summary, Violation> {
        for namespace in [Namespace::Meta, Namespace::Data] {
            if self.drive.sectors(namespace) > 0 {
                let flushed = self.submit(namespace, &Command::Flush, self.now)?;
                self.now = self.now.max(flushed.done);
            }
        }
        let rest = Nanos::from_micros(3_600_000_000);
        let end = self.now + rest;
        self.tick(end)?;
        self.advance(end)?;
        self.drive.check_invariants();
        self.books.finish(&self.drive)
    }
}
