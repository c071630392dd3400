// SPDX-License-Identifier: GPL-2.0-or-later
//! A large array of words that are all the same at first, and cost memory where one was changed.
//!
//! Words are stored xor-ed with what they are at first: a fresh array is all zeroes, and zeroes come
//! from the host without memory behind them. A map of a drive of a TiB then starts at once.

use core::ops::Range;
use state::{decode_runs, encode_runs, Decoder, Encoder, State};

/// The array; words are `BLANK` at first.
#[derive(Clone, Debug)]
pub(crate) struct Sparse<const BLANK: u32> {
    stored: Vec<u32>,
}

/// Runs of words that are mostly one more than the one before, or blank.
impl<const BLANK: u32> State for Sparse<BLANK> {
    fn encode(&self, out: &mut Encoder) {
        encode_runs(
            self.iter().map(|word| Some(word).filter(|w| *w != BLANK)),
            out,
        );
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), state::Error> {
        decode_runs(from, self.len(), |at, word| {
            self.set(at, word);
            Ok(())
        })
    }
}

impl<const BLANK: u32> Sparse<BLANK> {
    pub fn new(len: usize) -> Self {
        // Not pushed or filled: this form is what gets unbacked memory.
        Self {
            stored: vec![0; len],
        }
    }

    pub fn len(&self) -> usize {
        self.stored.len()
    }

    pub fn get(&self, at: usize) -> Option<u32> {
        self.stored.get(at).map(|word| word ^ BLANK)
    }

    /// Changes a word, if there is one of that number.
    pub fn update(&mut self, at: usize, change: impl FnOnce(u32) -> u32) {
        if let Some(word) = self.stored.get_mut(at) {
            *word = change(*word ^ BLANK) ^ BLANK;
        }
    }

    pub fn set(&mut self, at: usize, word: u32) {
        self.update(at, |_| word);
    }

    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.range(0..self.len())
    }

    /// The words of a range; none if it is not all there.
    pub fn range(&self, range: Range<usize>) -> impl Iterator<Item = u32> + '_ {
        let words = self.stored.get(range).unwrap_or(&[]);
        words.iter().map(|word| word ^ BLANK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_blank_until_they_are_set() {
        let mut words: Sparse<7> = Sparse::new(3);
        words.set(1, 0);
        words.update(2, |word| word | 8);
        words.set(3, 5);
        assert_eq!(words.iter().collect::<Vec<_>>(), [7, 0, 15]);
        assert_eq!(
            (words.get(1), words.get(3), words.len()),
            (Some(0), None, 3)
        );
        assert_eq!(words.range(1..3).sum::<u32>(), 15);
        assert_eq!(words.range(2..4).count(), 0);
    }
}
