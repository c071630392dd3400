// SPDX-License-Identifier: GPL-2.0-or-later
//! Numbers that mostly go on where the one before stopped: maps, and lists of what is free. Named in
//! brackets where a struct says what its state is, as `free[numbers]`.

use crate::{Decoder, Encoder, Error};

/// Words that are mostly one more than the word before, or nothing: runs of (length x 2 + whether there
/// is something), and for these the way from the end of the run before.
pub fn encode_runs(words: impl Iterator<Item = Option<u32>>, out: &mut Encoder) {
    let mut run: Option<(Option<u32>, u64)> = None;
    let mut end = 0;
    let mut close = |(first, n): (Option<u32>, u64), out: &mut Encoder| {
        out.put(n << 1 | u64::from(first.is_some()));
        if let Some(first) = first {
            out.put_step(end, first.into());
            end = u64::from(first) + n;
        }
    };
    for word in words {
        run = match run {
            Some((Some(first), n))
                if word.is_some_and(|w| u64::from(w) == u64::from(first) + n) =>
            {
                Some((Some(first), n + 1))
            }
            Some((None, n)) if word.is_none() => Some((None, n + 1)),
            before => {
                if let Some(before) = before {
                    close(before, out);
                }
                Some((word, 1))
            }
        };
    }
    if let Some(last) = run {
        close(last, out);
    }
}

/// Reads `len` words and calls `set` with place and word of those that are something.
///
/// # Errors
/// The stream ends, or a run leaves the words or the numbers; or what `set` says.
pub fn decode_runs(
    from: &mut Decoder<'_>,
    len: usize,
    mut set: impl FnMut(usize, u32) -> Result<(), Error>,
) -> Result<(), Error> {
    const NUMBERS: u64 = 1 << 32;
    let (mut at, mut end) = (0, 0);
    while at < len {
        let head = from.take()?;
        let n = usize::try_from(head >> 1).unwrap_or(usize::MAX);
        if n == 0 || n > len - at {
            return Err(Error::new(format!("a run of {n} of {} words", len - at)));
        }
        if head & 1 == 1 {
            let first = from.take_step(end, NUMBERS)?;
            end = first + n as u64;
            if end > NUMBERS {
                return Err(Error::new(format!("a run of {n} from {first} on")));
            }
            for (at, word) in (at..).zip(first..end) {
                // Below 2^32.
                set(at, word as u32)?;
            }
        }
        at += n;
    }
    Ok(())
}

/// A map whose length the configuration gives, in which 0 is nothing.
pub mod sparse {
    use super::{decode_runs, encode_runs, Decoder, Encoder, Error};

    /// Appends it.
    pub fn encode(map: &[u32], out: &mut Encoder) {
        encode_runs(map.iter().map(|word| Some(*word).filter(|w| *w != 0)), out);
    }

    /// Takes it over, into a map of nothing.
    ///
    /// # Errors
    /// As [`decode_runs`].
    pub fn decode(map: &mut [u32], from: &mut Decoder<'_>) -> Result<(), Error> {
        decode_runs(from, map.len(), |at, word| {
            if let Some(slot) = map.get_mut(at) {
                *slot = word;
            }
            Ok(())
        })
    }
}

/// A list of numbers, many of which are one more than the one before.
pub mod numbers {
    use super::{decode_runs, encode_runs, Decoder, Encoder, Error};
    use std::collections::VecDeque;

    /// A list that can be refilled.
    pub trait List {
        /// Its numbers.
        fn numbers(&self) -> impl ExactSizeIterator<Item = u32>;
        /// Empties it, keeping its memory.
        fn clear(&mut self);
        /// Adds a number.
        fn push(&mut self, number: u32);
    }

    macro_rules! lists {
        ($($list:ident: $push:ident;)*) => {$(
            impl List for $list<u32> {
                fn numbers(&self) -> impl ExactSizeIterator<Item = u32> {
                    self.iter().copied()
                }

                fn clear(&mut self) {
                    $list::clear(self);
                }

                fn push(&mut self, number: u32) {
                    $list::$push(self, number);
                }
            }
        )*};
    }

    lists! {
        Vec: push;
        VecDeque: push_back;
    }

    /// Appends it.
    pub fn encode(list: &impl List, out: &mut Encoder) {
        let numbers = list.numbers();
        out.put(numbers.len() as u64);
        encode_runs(numbers.map(Some), out);
    }

    /// Takes it over.
    ///
    /// # Errors
    /// As [`decode_runs`], or the list is too long for the stream.
    pub fn decode(list: &mut impl List, from: &mut Decoder<'_>) -> Result<(), Error> {
        list.clear();
        let len = from.take()?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        from.grow(len.saturating_mul(4))?;
        let mut filled = 0;
        decode_runs(from, len, |_, number| {
            filled += 1;
            list.push(number);
            Ok(())
        })?;
        match filled == len {
            true => Ok(()),
            false => Err(Error::new("a list has holes")),
        }
    }
}
