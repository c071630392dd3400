// SPDX-License-Identifier: GPL-2.0-or-later
//! A list of what may be over without anybody having looked.

use core::ops::{Deref, DerefMut};

use state::{ensure, Decoder, Encoder, Error, State};

/// Forgets what is over when there are so many in all, at least `FEW`, and then keeps room for twice as many as are left:
/// each entry is looked at a few times, whatever their number, and memory grows with those that are needed.
#[derive(Clone, Debug)]
pub struct Recent<T, const FEW: usize> {
    list: Vec<T>,
    most: usize,
}

impl<T, const FEW: usize> Recent<T, FEW> {
    /// None, with memory for `capacity`.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            list: Vec::with_capacity(capacity),
            most: FEW,
        }
    }

    /// Appends one; `is_needed` says which of the others are not over.
    #[inline]
    pub fn push(&mut self, one: T, is_needed: impl FnMut(&T) -> bool) {
        if self.list.len() >= self.most {
            self.retain(is_needed);
        }
        self.list.push(one);
    }

    /// Forgets all others.
    #[inline(never)]
    pub fn retain(&mut self, is_needed: impl FnMut(&T) -> bool) {
        self.list.retain(is_needed);
        self.most = (2 * self.list.len()).max(FEW);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.list.clear();
        self.most = FEW;
    }
}

impl<T, const FEW: usize> Deref for Recent<T, FEW> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.list
    }
}

impl<T, const FEW: usize> DerefMut for Recent<T, FEW> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.list
    }
}

impl<T, const FEW: usize> State for Recent<T, FEW>
where
    Vec<T>: State,
{
    fn encode(&self, out: &mut Encoder) {
        let Self { list, most } = self;
        list.encode(out);
        most.encode(out);
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), Error> {
        self.list.decode(from)?;
        self.most.decode(from)?;
        let most = (2 * self.list.len()).max(FEW);
        ensure!(self.most <= most, "{} at most, of {most}", self.most);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn memory_grows_with_what_is_needed() {
        let mut list = Recent::<u64, 4>::with_capacity(4);
        for now in 0..10_000_u64 {
            list.push(now, |n| n + 3 > now);
            assert!(list.iter().rev().take(3).eq((0..=now)
                .rev()
                .take(3)
                .collect::<Vec<_>>()
                .iter()));
            assert!(list.len() <= 7);
        }
    }

    proptest! {
        #[test]
        fn its_state_can_be_taken_over_whatever_was_done(steps in proptest::collection::vec((0..40_u64, 0..3), 0..200)) {
            let mut list = Recent::<u64, 4>::with_capacity(4);
            for (n, step) in steps {
                match step {
                    0 => list.retain(|one| *one < n),
                    _ => list.push(n, |one| *one != n),
                }
                let mut other = Recent::<u64, 4>::with_capacity(4);
                state::decode(&mut other, &state::encode(&list)).unwrap();
                prop_assert_eq!((&other.list, other.most), (&list.list, list.most));
            }
        }
    }

    #[test]
    fn room_for_more_than_there_are_is_refused() {
        let forged = state::encode(&Recent::<u64, 4> {
            list: vec![1, 2, 3],
            most: 7,
        });
        let mut list = Recent::<u64, 4>::with_capacity(4);
        assert!(state::decode(&mut list, &forged).is_err());
    }
}
