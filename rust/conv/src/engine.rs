// SPDX-License-Identifier: GPL-2.0-or-later
//! A page-mapped namespace on flash that it may share.

mod power;
mod read;

pub use power::Survivors;

use crate::map_cache::MapCache;
use crate::partition::Partition;
use crate::shape::Shape;
use crate::{ConfigError, Paged, Stats};
use core::ops::Range;
use ftl::{ByteBuffer, Command, Error, Event, Flash, HostStats, Namespace, Outcome};
use nand::Chips;
use read::Batch;
use units::{Bytes, Instant, Nanos, Sector, PAGE_BYTES, PAGE_SECTORS, SECTOR_BYTES};

/// The namespace. The flash comes as an argument, so that a drive can have others beside it.
#[derive(Clone, Debug)]
pub struct Engine {
    paged: Paged,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) buffer: ByteBuffer,
    /// Most bytes that a write can ask room for.
    most: u64,
    host: HostStats,
    buffer_waits: u64,
    buffer_wait: Nanos,
    pub(crate) batch: Batch,
    /// Without one, the whole map is in memory.
    pub(crate) map_cache: Option<MapCache>,
}

state::state!(Engine {
    partitions[fixed], buffer, host, buffer_waits, buffer_wait, map_cache[fixed];
    paged, most, batch
} => check_invariants);

impl Engine {
    /// An erased namespace on `chips`, whose blocks are numbered from `first_block`.
    ///
    /// # Errors
    /// The configuration makes no namespace.
    pub fn new(paged: &Paged, chips: &Chips, first_block: u32) -> Result<Self, ConfigError> {
        paged.validate(chips)?;
        let shape = Shape::new(paged, chips).ok_or(ConfigError::Size)?;
        let partition = |index: u32| {
            let planes = Shape::planes(index, paged.partitions, chips);
            // Partitions share no plane, so the same numbers do for each.
            let of = (index, paged.partitions);
            Partition::new(shape, planes, first_block, paged.gc_threshold, of)
        };
        let room = paged.buffer.get().saturating_sub(paged.incomplete(chips));
        Ok(Self {
            partitions: (0..paged.partitions).map(partition).collect(),
            buffer: ByteBuffer::new(paged.buffer, chips.one_shot),
            most: (room - room % PAGE_BYTES).max(PAGE_BYTES),
            host: HostStats::default(),
            buffer_waits: 0,
            buffer_wait: Nanos::ZERO,
            batch: Batch::new(),
            map_cache: paged
                .l2p
                .map(|l2p| MapCache::new(l2p, paged.size.get() / PAGE_BYTES)),
            paged: paged.clone(),
        })
    }

    /// Runs a command that arrives at `now`, which never decreases.
    pub fn submit(&mut self, flash: &mut Flash, command: &Command, now: Instant) -> Outcome {
        for partition in &mut self.partitions {
            partition.commit_ended(flash);
        }
        let result = self.run(flash, command, now);
        self.host.counted(command, now, result)
    }

    /// Whether some page of a sector range is not mapped (for DULBE).
    #[must_use]
    pub fn has_unmapped(&self, at: Sector, sectors: u64) -> bool {
        let Ok(range) = self.range(at, sectors) else {
            return true;
        };
        touched(&range).any(|page| {
            let (part, local) = self.split(page);
            self.partitions
                .get(part)
                .is_none_or(|p| p.location(local).is_none())
        })
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats {
            host: self.host.clone(),
            buffer_waits: self.buffer_waits,
            buffer_wait: self.buffer_wait,
            erases_min: u32::MAX,
            ..Stats::default()
        };
        for partition in &self.partitions {
            stats.flash.add(&partition.counters);
            stats.superblocks += u64::from(partition.shape.superblocks);
            stats.free_superblocks += partition.pool.free() as u64;
            let bytes = u64::from(partition.shape.pages) * PAGE_BYTES;
            stats.superblock = Bytes::new(bytes);
            for erases in partition.pool.erases() {
                stats.erases_min = stats.erases_min.min(erases);
                stats.erases_max = stats.erases_max.max(erases);
            }
        }
        stats
    }

    /// Counts from here on; wear stays.
    pub fn forget_counts(&mut self) {
        self.host = HostStats::default();
        (self.buffer_waits, self.buffer_wait) = (0, Nanos::ZERO);
        for Partition { counters, .. } in &mut self.partitions {
            *counters = crate::Counters {
                erases: counters.erases,
                ..crate::Counters::default()
            };
        }
    }

    /// Mean erases of a superblock, rounded down; in constant time.
    #[must_use]
    pub fn mean_erases(&self) -> u64 {
        let sum = |of: fn(&Partition) -> u64| self.partitions.iter().map(of).sum::<u64>();
        let superblocks = sum(|p| p.shape.superblocks.into());
        sum(|p| p.counters.erases) / superblocks.max(1)
    }

    /// Remembers what happens to pages while switched on.
    pub fn observe(&mut self, on: bool, namespace: Namespace) {
        for partition in &mut self.partitions {
            partition.namespace = namespace;
            partition.observer.switch(on);
        }
    }

    /// Tells what happened to pages since this was asked last; those of a page in order.
    pub fn drain_events(&mut self, each: &mut dyn FnMut(&Event)) {
        for partition in &mut self.partitions {
            partition.observer.drain(each);
        }
    }

    /// What happened to pages since this was asked last; those of a page in order.
    pub fn take_events(&mut self) -> Vec<Event> {
        let partitions = self.partitions.iter_mut();
        partitions.flat_map(|p| p.observer.take()).collect()
    }

    /// The configuration it was made from.
    #[must_use]
    pub const fn config(&self) -> &Paged {
        &self.paged
    }

    /// Is an error if maps, superblocks and buffer disagree.
    pub fn check_invariants(&self) -> Result<(), state::Error> {
        let mut waiting = 0;
        for partition in &self.partitions {
            partition.check_invariants()?;
            waiting += u64::from(partition.host.waiting()) * PAGE_BYTES;
        }
        self.buffer.check_invariants(Bytes::new(waiting))?;
        if let Some(cache) = &self.map_cache {
            cache.check_invariants()?;
        }
        Ok(())
    }

    fn run(
        &mut self,
        flash: &mut Flash,
        command: &Command,
        now: Instant,
    ) -> Result<Outcome, Error> {
        match *command {
            Command::Read {
                at,
                sectors,
                internal,
            } => {
                let range = self.range(at, sectors)?;
                Ok(Outcome::done(self.read(flash, &range, internal, now)))
            }
            Command::Write {
                at,
                sectors,
                fua,
                internal,
            } => {
                let range = self.range(at, sectors)?;
                let done = self.write(flash, range, fua, internal, now)?;
                Ok(Outcome::done(done))
            }
            Command::Flush => Ok(Outcome::done(self.flush(flash, now))),
            Command::Deallocate { at, sectors } => {
                let range = self.range(at, sectors)?;
                self.unmap(&range);
                Ok(Outcome::done(now))
            }
            Command::WriteZeroes { at, sectors, fua } => {
                let range = self.range(at, sectors)?;
                Ok(Outcome::done(self.write_zeroes(flash, &range, fua, now)?))
            }
            Command::Append { .. } | Command::Zone { .. } | Command::CommitZrwa { .. } => {
                Err(Error::Unsupported)
            }
        }
    }

    fn range(&self, at: Sector, sectors: u64) -> Result<Range<u64>, Error> {
        let size = self.paged.size.get() / SECTOR_BYTES;
        match at.get().checked_add(sectors) {
            Some(end) if end <= size => Ok(at.get()..end),
            _ => Err(Error::OutOfRange),
        }
    }

    /// The partition of a page, and its number there.
    pub(crate) fn split(&self, page: u64) -> (usize, u32) {
        let partitions = self.partitions.len().max(1) as u64;
        // Lossless: the size allows for 32-bit numbers within each partition.
        ((page % partitions) as usize, (page / partitions) as u32)
    }

    /// Writes a range; returns when it is complete.
    fn write(
        &mut self,
        flash: &mut Flash,
        range: Range<u64>,
        fua: bool,
        internal: bool,
        now: Instant,
    ) -> Result<Instant, Error> {
        let most = self.most / SECTOR_BYTES;
        let mut at = range.start;
        let mut arrived = now;
        let mut durable = now;
        while at < range.end {
            let page = at - at % PAGE_SECTORS;
            let stop = range.end.min(page + most);
            let piece = Piece {
                range: at..stop,
                internal,
            };
            (arrived, durable) = self.piece(flash, &piece, arrived, durable)?;
            at = stop;
        }
        if fua {
            // Every page of the command is in a one-shot page that it completed, or in the
            // incomplete ones of the partitions that it ended in.
            for page in touched(&range).rev().take(self.partitions.len()) {
                let (part, _) = self.split(page);
                durable = durable.max(self.program_rest(flash, part));
            }
            arrived = arrived.max(durable);
        }
        Ok(arrived)
    }

    /// Writes what the buffer has room for. Returns when it has arrived in it, and when the programs
    /// that it completed end, with those until `durable`.
    fn piece(
        &mut self,
        flash: &mut Flash,
        piece: &Piece,
        at: Instant,
        durable: Instant,
    ) -> Result<(Instant, Instant), Error> {
        let pages = touched(&piece.range);
        let room = Bytes::new((pages.end - pages.start) * PAGE_BYTES);
        let admitted = self.buffer.admit(at, room).ok_or(Error::CapacityExceeded)?;
        if admitted > at {
            self.buffer_waits += 1;
            self.buffer_wait += admitted.since(at);
        }
        let mut filling = Filling {
            arrived: admitted + flash.buffer_access(piece.bytes()),
            crossed: piece.range.start,
            durable,
        };
        for page in pages.clone() {
            if let Err(error) = self.put(flash, piece, page, admitted, &mut filling) {
                // The rest has no page to go to; what came before it stays written.
                let rest = Bytes::new((pages.end - page) * PAGE_BYTES);
                self.buffer.release(admitted, rest);
                return Err(error);
            }
        }
        filling.cross(flash, piece, piece.range.end);
        for page in pages.rev().take(self.partitions.len()) {
            let (part, _) = self.split(page);
            if let Some(partition) = self.partitions.get_mut(part) {
                partition.settle(filling.arrived);
            }
        }
        Ok((filling.arrived, filling.durable))
    }

    /// Puts one page of a piece into its partition.
    fn put(
        &mut self,
        flash: &mut Flash,
        piece: &Piece,
        page: u64,
        admitted: Instant,
        filling: &mut Filling,
    ) -> Result<(), Error> {
        let (part, local) = self.split(page);
        if let Some(cache) = &mut self.map_cache {
            cache.touch(cache.segment(page));
        }
        let partition = self.partitions.get_mut(part).ok_or(Error::OutOfRange)?;
        let entered = |p: &Partition| Event::Entered {
            namespace: p.namespace,
            lpn: page,
        };
        if partition.is_rewritable(local) {
            partition.note(entered);
            self.buffer.release(admitted, Bytes::new(PAGE_BYTES));
            partition.counters.pages_rewritten += 1;
            return Ok(());
        }
        let covered = page * PAGE_SECTORS..(page + 1) * PAGE_SECTORS;
        let end = covered.end.min(piece.range.end);
        let partly = covered.start < piece.range.start || covered.end > piece.range.end;
        if partition.host.waiting() + 1 == partition.shape.unit {
            // This page completes a one-shot page: what the host sent until here must be in.
            filling.cross(flash, piece, end);
        }
        let old = if partly {
            partition.read_old(flash, local, admitted)
        } else {
            admitted
        };
        let ready = filling.arrived.max(old);
        let superblock = partition.open_for_host(ready, flash)?;
        partition.note(entered);
        let program = partition.append(superblock, local, ready, flash);
        partition.counters.pages_host += 1;
        filling.arrived = filling.arrived.max(old);
        if let Some(program) = program {
            self.buffer.release(program.end, program.bytes);
            filling.durable = filling.durable.max(program.end);
        }
        Ok(())
    }

    /// Unmaps whole pages: the map is in memory that keeps its data, so that is durable at once. Of a
    /// page that is written in part the rest has to stay: it is written like data, which need not
    /// cross the host link, and FUA waits for its program. An unmapped page is zero as it is.
    fn write_zeroes(
        &mut self,
        flash: &mut Flash,
        range: &Range<u64>,
        fua: bool,
        now: Instant,
    ) -> Result<Instant, Error> {
        self.unmap(range);
        let first = range.start.next_multiple_of(PAGE_SECTORS).min(range.end);
        let last = (range.end - range.end % PAGE_SECTORS).max(first);
        let mut done = now;
        for part in [range.start..first, last..range.end] {
            let (of, local) = self.split(part.start / PAGE_SECTORS);
            let partition = self.partitions.get(of);
            if !part.is_empty() && partition.is_some_and(|p| p.location(local).is_some()) {
                done = self.write(flash, part, fua, true, done)?;
            }
        }
        Ok(done)
    }

    /// Makes everything durable; returns when it is.
    fn flush(&mut self, flash: &mut Flash, now: Instant) -> Instant {
        let mut done = now;
        for part in 0..self.partitions.len() {
            self.program_rest(flash, part);
            let durable = self.partitions.get(part).map_or(now, |p| p.durable);
            done = done.max(durable);
        }
        done
    }

    /// Programs a partition's incomplete one-shot page; returns when that ends.
    fn program_rest(&mut self, flash: &mut Flash, part: usize) -> Instant {
        let partition = self.partitions.get_mut(part);
        match partition.and_then(|p| p.program(flash)) {
            Some(program) => {
                self.buffer.release(program.end, program.bytes);
                program.end
            }
            None => Instant::ZERO,
        }
    }

    /// Unmaps the pages that lie wholly in a range.
    fn unmap(&mut self, range: &Range<u64>) {
        let first = range.start.div_ceil(PAGE_SECTORS);
        let pages = first..(range.end / PAGE_SECTORS).max(first);
        for page in pages {
            let (part, local) = self.split(page);
            if let Some(partition) = self.partitions.get_mut(part) {
                partition.note(|p| Event::Dropped {
                    namespace: p.namespace,
                    first: page,
                    pages: 1,
                });
                let was_mapped = partition.unmap(local);
                partition.counters.unmapped += u64::from(was_mapped);
            }
        }
        let pages = range.start.div_ceil(PAGE_SECTORS)..range.end / PAGE_SECTORS;
        for partition in &mut self.partitions {
            partition.forget(&pages);
        }
    }
}

/// A part of a write that the buffer takes at once.
struct Piece {
    range: Range<u64>,
    internal: bool,
}

impl Piece {
    fn bytes(&self) -> Bytes {
        Bytes::new((self.range.end - self.range.start) * SECTOR_BYTES)
    }
}

/// How far a piece has come.
struct Filling {
    /// When what has crossed was in the buffer.
    arrived: Instant,
    /// Up to which sector the host's data has crossed the link.
    crossed: u64,
    /// When the programs issued so far end.
    durable: Instant,
}

impl Filling {
    /// Takes the data up to sector `end` over the host link.
    fn cross(&mut self, flash: &mut Flash, piece: &Piece, end: u64) {
        if !piece.internal && end > self.crossed {
            let bytes = Bytes::new((end - self.crossed) * SECTOR_BYTES);
            self.arrived = flash.cross_link(self.arrived, bytes);
        }
        self.crossed = end;
    }
}

/// The pages that a sector range touches.
pub(crate) fn touched(range: &Range<u64>) -> Range<u64> {
    range.start / PAGE_SECTORS..range.end.div_ceil(PAGE_SECTORS)
}
