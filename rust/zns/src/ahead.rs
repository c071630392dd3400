// SPDX-License-Identifier: GPL-2.0-or-later
//! Reading ahead of sequential streams.
//!
//! ```text
//!   reads        | 1 | 2 | 3 |            each begins where the one before ended: a stream after `trigger` of them
//!   read ahead               | a | b | c |            twice what was read, at most `size`
//!   when it is there           ^ with each flash page
//! ```
//! A read goes on with a stream if it begins where the stream stands; any other starts one, in place of the one that has
//! rested longest. What was read ahead for a stream is dropped with it, and a write or a reset of its zone ends it.
//!
//! Invariants: a stream's pages are ascending and without gaps, end at `until`, and are as many as `size` holds at most;
//! memory is taken once.

use crate::ReadAhead;
use std::collections::VecDeque;
use units::{Instant, ZoneId};

/// A sequential stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    zone: Option<ZoneId>,
    /// Byte of the zone that its next read begins at.
    next: u64,
    /// Reads in a row so far, and their bytes.
    reads: u32,
    bytes: u64,
    /// Byte that it was read ahead to.
    until: u64,
    /// Flash pages read ahead: the byte where each ends, and when it is there.
    pages: VecDeque<(u64, Instant)>,
    /// When it was last read, in commands.
    used: u64,
}

/// All streams.
#[derive(Clone, Debug)]
pub(crate) struct Ahead {
    streams: Vec<Stream>,
    trigger: u32,
    size: u64,
    /// Most pages of a stream.
    room: usize,
    clock: u64,
}

state::state!(Stream {
    zone,
    next,
    reads,
    bytes,
    until,
    pages,
    used
});
state::state!(Ahead { streams[fixed], clock; trigger, size, room } => restore);

impl Ahead {
    /// A stream is read ahead of by so many times as much as has been read of it: little is lost with a short one.
    const RAMP: u64 = 2;

    pub fn new(config: ReadAhead, flash_page: u64) -> Self {
        let pages = (config.size.get() / flash_page.max(1)).saturating_add(2);
        let room = usize::try_from(pages).unwrap_or(0);
        let stream = |_| Stream {
            pages: VecDeque::with_capacity(room),
            ..Stream::default()
        };
        Self {
            // Not `vec![..; n]`: a clone of a queue does not keep its room.
            streams: (0..config.streams).map(stream).collect(),
            trigger: config.trigger,
            size: config.size.get(),
            room,
            clock: 0,
        }
    }

    /// After decoding: what was read is what could have been written.
    fn restore(&mut self) -> Result<(), state::Error> {
        for stream in &mut self.streams {
            let ascends = stream.pages.iter().is_sorted_by_key(|page| page.0);
            if stream.pages.len() > self.room || !ascends {
                return Err(state::Error::new(
                    "pages that were read ahead are too many, or not in order",
                ));
            }
            stream.pages.reserve(self.room - stream.pages.len());
        }
        Ok(())
    }

    pub fn is_off(&self) -> bool {
        self.streams.is_empty()
    }

    /// A read of the zone's bytes `start..end`: the stream that goes on with it, by number, and whether it is one to be
    /// read ahead of.
    pub fn follow(&mut self, zone: ZoneId, start: u64, end: u64) -> Option<(usize, bool)> {
        self.clock += 1;
        let clock = self.clock;
        let goes_on = |s: &Stream| (s.zone, s.next) == (Some(zone), start);
        let found = self.streams.iter().position(goes_on);
        let oldest =
            || (0..self.streams.len()).min_by_key(|n| self.streams.get(*n).map(|s| s.used));
        let number = found.or_else(oldest)?;
        let stream = self.streams.get_mut(number)?;
        if found.is_none() {
            stream.zone = Some(zone);
            stream.reads = 0;
            stream.bytes = 0;
            stream.until = start;
            stream.pages.clear();
        }
        stream.reads = stream.reads.saturating_add(1);
        stream.bytes = stream.bytes.saturating_add(end - start);
        stream.next = end;
        stream.used = clock;
        Some((number, stream.reads >= self.trigger))
    }

    /// When the stream's pages up to byte `end` are there, which are not needed after that; `None` where nothing of
    /// them was read ahead. Also the byte that they reach.
    pub fn take(&mut self, number: usize, end: u64) -> Option<(Instant, u64)> {
        let stream = self.streams.get_mut(number)?;
        let mut there = None;
        while let Some(&(stop, when)) = stream.pages.front() {
            let latest = there.map_or(when, |(before, _): (Instant, u64)| before.max(when));
            there = Some((latest, stop.min(end)));
            if stop <= end {
                stream.pages.pop_front();
            }
            if stop >= end {
                break;
            }
        }
        there
    }

    /// From where to where the stream is to be read ahead now, in a zone that has `written` bytes in flash.
    pub fn wanted(&mut self, number: usize, written: u64) -> core::ops::Range<u64> {
        let Some(stream) = self.streams.get_mut(number) else {
            return 0..0;
        };
        let size = self.size.min(stream.bytes.saturating_mul(Self::RAMP));
        stream.until = stream.until.max(stream.next);
        stream.until..stream.next.saturating_add(size).min(written)
    }

    /// The flash page that ends at byte `stop` is there then.
    pub fn add(&mut self, number: usize, stop: u64, when: Instant) {
        if let Some(stream) = self.streams.get_mut(number) {
            stream.until = stop;
            stream.pages.push_back((stop, when));
        }
    }

    /// The zone's data changes: its streams end.
    pub fn end(&mut self, zone: ZoneId) {
        for stream in &mut self.streams {
            if stream.zone == Some(zone) {
                stream.zone = None;
                stream.pages.clear();
            }
        }
    }
}
