// SPDX-License-Identifier: GPL-2.0-or-later
//! The part of the file that is written while the drive works: a few words, and the journal.
//!
//! ```text
//!   word 0  epoch: which checkpoint counts, and its journal
//!        1  clean: the checkpoint is all there is, nobody works on the drive
//!        2  clock: the latest instant at which anything can have been answered
//!        3  kept: of so many records old bytes of pages have been put aside
//!        4  full: records are missing, there was no room for them
//!        5  moved: of so many records the new bytes are in the media
//!        6  boot: of the host, where what was promised is brought to its disk; else 0
//!    8, 12  how far that is, in turn ([`Synced`])
//!      512  the journal
//! ```
//! Words are stored in the order written here, into memory that outlives the process ([`Words`]); that costs no system call.
//!
//! A host that crashes leaves of the file what is on its disk: some pages as they were at the last sync, others newer. So the
//! drive is what it was at that sync. Whatever the file has of later commands are bytes that a write was to put there, for what
//! gives places up is on the disk before they are written again.

use crate::journal::{self, WORDS};
use crate::layout::Layout;
use command::Command;
use core::fmt::Debug;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicU8, Ordering::Relaxed};
use ssd::{Journal, Recorded};
use units::Instant;

pub(crate) const EPOCH: u64 = 0;
pub(crate) const CLEAN: u64 = 1;
pub(crate) const CLOCK: u64 = 2;
pub(crate) const KEPT: u64 = 3;
pub(crate) const FULL: u64 = 4;
pub(crate) const MOVED: u64 = 5;
pub(crate) const BOOT: u64 = 6;
pub(crate) const SYNCED: [u64; 2] = [8, 12];

/// What was noted since the last sync: something that is promised when it is answered ...
const PROMISED: u8 = 1;
/// ... and something that gives places up, which others may then be written to.
const DROPPED: u8 = 2;

/// The live part of the file in memory, as words of 64 bits, little-endian.
pub trait Words: Debug + Send + Sync {
    /// Stores a word, after all those before.
    fn store(&self, at: u64, word: u64);

    /// Brings all of the file, its media with it, to the host's disk; whether that was possible.
    fn sync(&self) -> bool;
}

/// What of the file is on the host's disk for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Synced {
    /// That many records of this epoch, with their media.
    pub(crate) epoch: u64,
    pub(crate) records: u64,
    /// The latest instant at which anything had been answered.
    pub(crate) clock: u64,
}

impl Synced {
    fn words(self) -> [u64; 4] {
        let [a, b, c] = [self.epoch, self.records, self.clock];
        [a, b, c, journal::check([a, b, c], 0, 0)]
    }

    /// What four words say, if they belong together.
    pub(crate) fn of([epoch, records, clock, sum]: [u64; 4]) -> Option<Self> {
        let found = Self {
            epoch,
            records,
            clock,
        };
        (journal::check([epoch, records, clock], 0, 0) == sum).then_some(found)
    }
}

/// The live part while a drive works. One thread at a time uses it.
#[derive(Debug)]
pub struct Live<W> {
    words: W,
    records: u64,
    epoch: AtomicU64,
    next: AtomicU64,
    clock: AtomicU64,
    is_clean: AtomicBool,
    /// The host's boot, if what is promised is to be on its disk.
    boot: Option<u64>,
    unsynced: AtomicU8,
    syncs: AtomicU64,
}

impl<W: Words> Live<W> {
    /// That of an image of this layout, after [`crate::Image::open`] has read it. Nothing is stored before a checkpoint
    /// ([`crate::Image::checkpoint`]). With the host's boot ([`crate::boot`]) what is promised is brought to its disk.
    pub fn new(words: W, layout: &Layout, boot: Option<u64>) -> Self {
        Self {
            words,
            records: layout.records,
            epoch: AtomicU64::new(0),
            next: AtomicU64::new(0),
            clock: AtomicU64::new(0),
            is_clean: AtomicBool::new(false),
            boot,
            unsynced: AtomicU8::new(0),
            syncs: AtomicU64::new(0),
        }
    }

    /// The drive is going to work, and to answer, at `now`.
    pub fn works(&self, now: Instant) {
        if self.is_clean.swap(false, Relaxed) {
            self.words.store(CLEAN, 0);
        }
        self.set_clock(now);
    }

    fn set_clock(&self, now: Instant) {
        self.clock.store(now.as_nanos(), Relaxed);
        self.words.store(CLOCK, now.as_nanos());
    }

    /// Something is about to be answered: brings what was promised to the host's disk, if it is to be there. Whether that
    /// was possible.
    pub fn answers(&self) -> bool {
        self.unsynced.load(Relaxed) == 0 || self.sync()
    }

    /// Bytes of the media are about to change: the same if their places may have been given up.
    pub fn moves(&self) -> bool {
        self.unsynced.load(Relaxed) & DROPPED == 0 || self.sync()
    }

    fn sync(&self) -> bool {
        if !self.words.sync() {
            return false;
        }
        let synced = Synced {
            epoch: self.epoch.load(Relaxed),
            records: self.next.load(Relaxed),
            clock: self.clock.load(Relaxed),
        };
        let turn = self.syncs.fetch_add(1, Relaxed) as usize % SYNCED.len();
        let at = SYNCED.get(turn).copied().unwrap_or_default();
        for (word, at) in synced.words().into_iter().zip(at..) {
            self.words.store(at, word);
        }
        let is_done = self.words.sync();
        if is_done {
            self.unsynced.store(0, Relaxed);
        }
        is_done
    }

    /// Old bytes of pages that the records so far overwrite have been put aside.
    pub fn kept(&self) {
        self.words.store(KEPT, self.next.load(Relaxed));
    }

    /// What the records so far write is in the media.
    pub fn moved(&self) {
        self.words.store(MOVED, self.next.load(Relaxed));
    }

    /// Records since the last checkpoint.
    pub fn noted(&self) -> u64 {
        self.next.load(Relaxed)
    }

    /// Whether it is time for a checkpoint.
    pub fn wants_checkpoint(&self) -> bool {
        self.noted() >= self.records / 2
    }

    /// The checkpoint of `epoch` is in the file, and counts from now on; unless it cannot be brought to the host's disk, where
    /// it is to be there.
    pub(crate) fn turn_to(&self, epoch: u64, now: Instant, is_clean: bool) -> bool {
        if self.boot.is_some() && !self.words.sync() {
            return false;
        }
        self.words.store(CLEAN, 0);
        self.words.store(BOOT, self.boot.unwrap_or(0));
        self.set_clock(now);
        self.words.store(EPOCH, epoch);
        self.words.store(KEPT, 0);
        self.words.store(FULL, 0);
        self.words.store(MOVED, 0);
        self.epoch.store(epoch, Relaxed);
        self.next.store(0, Relaxed);
        self.is_clean.store(is_clean, Relaxed);
        if is_clean {
            self.words.store(CLEAN, 1);
        }
        // Records of this epoch take the places of those before, which would be missed until this is on the disk.
        if self.boot.is_some() && !self.sync() {
            self.unsynced.store(PROMISED | DROPPED, Relaxed);
        }
        true
    }
}

/// What is noted of a record for the next sync.
const fn promised(what: &Recorded) -> u8 {
    match what {
        // What the host's memory has is lost with it.
        Recorded::Note { .. } | Recorded::Lent { .. } | Recorded::Spoilt { .. } => 0,
        Recorded::Command { command, .. } => match command {
            Command::Read { .. } => 0,
            Command::Write { fua, .. } | Command::Append { fua, .. } => {
                if *fua {
                    PROMISED
                } else {
                    0
                }
            }
            Command::Flush => PROMISED,
            _ => PROMISED | DROPPED,
        },
        _ => PROMISED | DROPPED,
    }
}

impl<W: Words> Journal for Live<W> {
    fn note(&self, what: &Recorded) {
        if self.is_clean.swap(false, Relaxed) {
            self.words.store(CLEAN, 0);
        }
        let index = self.next.load(Relaxed);
        if index >= self.records {
            // The device has had no room in the file for a checkpoint for long.
            self.words.store(FULL, 1);
            return;
        }
        let record = journal::encode(what, self.epoch.load(Relaxed), index);
        for (word, at) in record
            .into_iter()
            .zip(Layout::journal_word() + index * WORDS..)
        {
            self.words.store(at, word);
        }
        self.next.store(index + 1, Relaxed);
        if self.boot.is_some() {
            self.unsynced.fetch_or(promised(what), Relaxed);
        }
    }
}
