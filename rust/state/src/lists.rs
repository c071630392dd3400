// SPDX-License-Identifier: GPL-2.0-or-later
//! Lists, options and pairs.

use crate::{Decoder, Encoder, Error, State};
use core::mem::{size_of, swap};
use core::ops::Range;
use std::collections::VecDeque;

/// Something whose length the configuration gives.
pub trait Fixed {
    /// Appends the elements.
    fn encode_fixed(&self, out: &mut Encoder);

    /// Takes the elements over.
    ///
    /// # Errors
    /// As [`State::decode`]; or the length is another.
    fn decode_fixed(&mut self, from: &mut Decoder<'_>) -> Result<(), Error>;
}

/// A word that uses all its bits.
pub trait Raw {
    /// Appends it.
    fn encode_raw(&self, out: &mut Encoder);

    /// Takes it over.
    ///
    /// # Errors
    /// As [`State::decode`].
    fn decode_raw(&mut self, from: &mut Decoder<'_>) -> Result<(), Error>;
}

/// Length, then runs of equal elements: how many, and one of them.
impl<T: State> Fixed for [T] {
    fn encode_fixed(&self, out: &mut Encoder) {
        self.len().encode(out);
        let (mut last, mut next) = (Encoder::new(), Encoder::new());
        let mut run = 0;
        for item in self {
            next.clear();
            item.encode(&mut next);
            if run > 0 && last.bytes() != next.bytes() {
                out.put(run);
                out.put_bytes(last.bytes());
                run = 0;
            }
            run += 1;
            swap(&mut last, &mut next);
        }
        if run > 0 {
            out.put(run);
            out.put_bytes(last.bytes());
        }
    }

    fn decode_fixed(&mut self, from: &mut Decoder<'_>) -> Result<(), Error> {
        check_length(from, self.len())?;
        let mut left = self.iter_mut();
        while left.len() > 0 {
            let run = from.take()? as usize;
            if run == 0 || run > left.len() {
                return Err(Error::new(format!("{run} of {} elements", left.len())));
            }
            let start = from.position();
            for item in left.by_ref().take(run) {
                from.rewind(start);
                item.decode(from)?;
            }
        }
        Ok(())
    }
}

impl<T: State> Fixed for Vec<T> {
    fn encode_fixed(&self, out: &mut Encoder) {
        self.as_slice().encode_fixed(out);
    }

    fn decode_fixed(&mut self, from: &mut Decoder<'_>) -> Result<(), Error> {
        self.as_mut_slice().decode_fixed(from)
    }
}

impl<T: State, const N: usize> Fixed for [T; N] {
    fn encode_fixed(&self, out: &mut Encoder) {
        self.as_slice().encode_fixed(out);
    }

    fn decode_fixed(&mut self, from: &mut Decoder<'_>) -> Result<(), Error> {
        self.as_mut_slice().decode_fixed(from)
    }
}

/// Nothing where the configuration has nothing.
impl<T: State> Fixed for Option<T> {
    fn encode_fixed(&self, out: &mut Encoder) {
        usize::from(self.is_some()).encode(out);
        if let Some(item) = self {
            item.encode(out);
        }
    }

    fn decode_fixed(&mut self, from: &mut Decoder<'_>) -> Result<(), Error> {
        check_length(from, usize::from(self.is_some()))?;
        self.as_mut().map_or(Ok(()), |item| item.decode(from))
    }
}

fn check_length(from: &mut Decoder<'_>, expected: usize) -> Result<(), Error> {
    match from.take()? {
        n if n == expected as u64 => Ok(()),
        n => Err(Error::new(format!("{n} elements, not {expected}"))),
    }
}

/// Takes a list of any length over, an element at a time.
fn decode_list<T: State + Default>(
    from: &mut Decoder<'_>,
    mut push: impl FnMut(T),
) -> Result<(), Error> {
    // Each element has a byte at least, so that a false length is found out soon.
    for _ in 0..from.take()? {
        let mut item = T::default();
        item.decode(from)?;
        from.grow(size_of::<T>())?;
        push(item);
    }
    Ok(())
}

macro_rules! lists {
    ($($list:ident: $push:ident;)*) => {$(
        impl<T: State + Default> State for $list<T> {
            fn encode(&self, out: &mut Encoder) {
                self.len().encode(out);
                self.iter().for_each(|item| item.encode(out));
            }

            fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), Error> {
                self.clear();
                decode_list(from, |item| self.$push(item))
            }
        }
    )*};
}

lists! {
    Vec: push;
    VecDeque: push_back;
}

impl<T: State + Default> State for Option<T> {
    fn encode(&self, out: &mut Encoder) {
        self.is_some().encode(out);
        if let Some(item) = self {
            item.encode(out);
        }
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), Error> {
        let mut is_some = false;
        is_some.decode(from)?;
        *self = None;
        if is_some {
            self.insert(T::default()).decode(from)?;
        }
        Ok(())
    }
}

impl<A: State, B: State> State for (A, B) {
    fn encode(&self, out: &mut Encoder) {
        self.0.encode(out);
        self.1.encode(out);
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), Error> {
        self.0.decode(from)?;
        self.1.decode(from)
    }
}

impl<T: State> State for Range<T> {
    fn encode(&self, out: &mut Encoder) {
        self.start.encode(out);
        self.end.encode(out);
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), Error> {
        self.start.decode(from)?;
        self.end.decode(from)
    }
}

impl State for String {
    fn encode(&self, out: &mut Encoder) {
        self.len().encode(out);
        out.put_bytes(self.as_bytes());
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), Error> {
        let len = usize::try_from(from.take()?).unwrap_or(usize::MAX);
        let text = core::str::from_utf8(from.take_bytes(len)?);
        let text = text.map_err(|_| Error::new("a text is not UTF-8"))?;
        self.clear();
        self.push_str(text);
        Ok(())
    }
}
