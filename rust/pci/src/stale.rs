// SPDX-License-Identifier: GPL-2.0-or-later
//! Which parts of a memory read as zeroes although nobody has cleared them.
//!
//! Memory that was discarded may keep its old bytes until the host takes it (`MADV_FREE`): a drive
//! that is rewritten at once then finds its pages where it left them, instead of having the kernel
//! free them and clear new ones. Until a chunk is written again it must read as zeroes, and this is
//! the note of which.
//!
//! ```text
//!   chunk    0    1    2    3        written: fresh from then on; in part: cleared first
//!          |    |####|####|    |     read:    [0, 1) from memory, [1, 3) zeroes, [3, 4) from memory
//! ```

use std::ops::Range;

/// Bytes that one bit stands for. A write into part of a stale chunk clears all of it first; guests write whole pages,
/// one by one where they lie apart in memory. 1 TiB takes 32 MiB of bits, where it was discarded.
pub(crate) const CHUNK: u64 = 4 << 10;

/// One bit for each chunk: set if it is stale.
#[derive(Debug, Default)]
pub(crate) struct Stale {
    /// Grows with the first chunk that becomes stale.
    bits: Vec<u64>,
    /// Bits that are set.
    count: u64,
}

impl Stale {
    /// Whether there is nothing to look for.
    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Marks chunks; `of` is how many the memory has.
    pub(crate) fn mark(&mut self, chunks: Range<u64>, of: u64) {
        if self.bits.is_empty() {
            self.bits = vec![0; of.div_ceil(64) as usize];
        }
        self.update(chunks, true);
    }

    /// Takes the mark from chunks.
    pub(crate) fn clear(&mut self, chunks: Range<u64>) {
        self.update(chunks, false);
    }

    fn update(&mut self, chunks: Range<u64>, stale: bool) {
        let mut at = chunks.start;
        while at < chunks.end {
            let n = (64 - at % 64).min(chunks.end - at);
            let mask = (u64::MAX >> (64 - n)) << (at % 64);
            if let Some(word) = self.bits.get_mut((at / 64) as usize) {
                let was = word.count_ones();
                *word = if stale { *word | mask } else { *word & !mask };
                self.count = self.count + u64::from(word.count_ones()) - u64::from(was);
            }
            at += n;
        }
    }

    fn contains(&self, chunk: u64) -> bool {
        let word = self.bits.get((chunk / 64) as usize).copied().unwrap_or(0);
        word >> (chunk % 64) & 1 != 0
    }

    /// The chunks of the longest run from `chunks.start` that are alike, and whether they are stale.
    pub(crate) fn run(&self, chunks: Range<u64>) -> (Range<u64>, bool) {
        let stale = self.contains(chunks.start);
        let mut at = chunks.start;
        while at < chunks.end {
            let word = self.bits.get((at / 64) as usize).copied().unwrap_or(0);
            let others = (if stale { !word } else { word }) >> (at % 64);
            if others != 0 {
                at += u64::from(others.trailing_zeros());
                break;
            }
            at += 64 - at % 64;
        }
        (chunks.start..at.min(chunks.end), stale)
    }
}

/// The chunks that a range of bytes touches.
pub(crate) const fn touched(bytes: Range<u64>) -> Range<u64> {
    bytes.start / CHUNK..bytes.end.div_ceil(CHUNK)
}

/// The chunks that lie in a range of bytes as a whole; empty if there are none.
pub(crate) fn covered(bytes: Range<u64>) -> Range<u64> {
    let first = bytes.start.div_ceil(CHUNK);
    first..(bytes.end / CHUNK).max(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_alternate_between_stale_and_fresh() {
        let mut stale = Stale::default();
        assert!(stale.is_empty());
        assert_eq!(stale.run(0..200), (0..200, false));
        stale.mark(3..130, 200);
        assert_eq!(stale.run(0..200), (0..3, false));
        assert_eq!(stale.run(3..200), (3..130, true));
        assert_eq!(stale.run(100..120), (100..120, true));
        stale.clear(64..65);
        assert_eq!(stale.run(3..200), (3..64, true));
        assert_eq!(stale.run(64..200), (64..65, false));
        stale.clear(0..200);
        assert!(stale.is_empty());
        // Marking twice counts once, and chunks past the end are ignored.
        stale.mark(0..1, 200);
        stale.mark(0..1, 200);
        stale.mark(256..300, 200);
        stale.clear(0..1);
        assert!(stale.is_empty());
    }

    #[test]
    fn bytes_touch_and_cover_chunks() {
        assert_eq!(touched(0..1), 0..1);
        assert_eq!(touched(CHUNK - 1..CHUNK + 1), 0..2);
        assert_eq!(covered(0..CHUNK - 1), 0..0);
        assert_eq!(covered(1..3 * CHUNK), 1..3);
        assert_eq!(covered(1..2), 1..1);
    }
}
