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
//!      512  the journal
//! ```
//! Words are stored in the order written here, into memory that outlives the process ([`Words`]); that costs no system call.

use crate::journal::{self, WORDS};
use crate::layout::Layout;
use core::fmt::Debug;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use ssd::{Journal, Recorded};
use units::Instant;

pub(crate) const EPOCH: u64 = 0;
pub(crate) const CLEAN: u64 = 1;
pub(crate) const CLOCK: u64 = 2;
pub(crate) const KEPT: u64 = 3;
pub(crate) const FULL: u64 = 4;
pub(crate) const MOVED: u64 = 5;

/// The live part of the file in memory, as words of 64 bits, little-endian.
pub trait Words: Debug + Send + Sync {
    /// Stores a word, after all those before.
    fn store(&self, at: u64, word: u64);
}

/// The live part while a drive works. One thread at a time uses it.
#[derive(Debug)]
pub struct Live<W> {
    words: W,
    records: u64,
    epoch: AtomicU64,
    next: AtomicU64,
    is_clean: AtomicBool,
}

impl<W: Words> Live<W> {
    /// That of an image of this layout, after [`crate::Image::open`] has read it. Nothing is stored before a checkpoint
    /// ([`crate::Image::checkpoint`]).
    pub fn new(words: W, layout: &Layout) -> Self {
        Self {
            words,
            records: layout.records,
            epoch: AtomicU64::new(0),
            next: AtomicU64::new(0),
            is_clean: AtomicBool::new(false),
        }
    }

    /// The drive is going to work, and to answer, at `now`.
    pub fn works(&self, now: Instant) {
        if self.is_clean.swap(false, Relaxed) {
            self.words.store(CLEAN, 0);
        }
        self.words.store(CLOCK, now.as_nanos());
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

    /// The checkpoint of `epoch` is in the file, and counts from now on.
    pub(crate) fn turn_to(&self, epoch: u64, now: Instant, is_clean: bool) {
        self.words.store(CLEAN, 0);
        self.words.store(CLOCK, now.as_nanos());
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
    }
}
