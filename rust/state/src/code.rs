// SPDX-License-Identifier: GPL-2.0-or-later
//! The stream's bytes.

use crate::Error;

/// Collects a state.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a number.
    #[inline]
    pub fn put(&mut self, number: u64) {
        let mut left = number;
        while left >= 0x80 {
            self.bytes.push(left as u8 | 0x80);
            left >>= 7;
        }
        self.bytes.push(left as u8);
    }

    /// Appends the way from one number to another, short if they are near.
    #[inline]
    pub fn put_step(&mut self, from: u64, to: u64) {
        let step = to.wrapping_sub(from) as i64;
        self.put((step << 1 ^ step >> 63) as u64);
    }

    /// Appends bytes as they are.
    pub fn put_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What was collected.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }
}

/// Reads a state.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bytes of memory that lists may still grow by.
    room: usize,
}

impl<'a> Decoder<'a> {
    /// Memory that lists may take whatever the stream's length: what runs of equal elements come to.
    const ROOM: usize = 4 << 20;
    /// And for each of its bytes.
    const ROOM_EACH: usize = 64;

    /// Reads `bytes` from their start.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            room: Self::ROOM.saturating_add(bytes.len().saturating_mul(Self::ROOM_EACH)),
        }
    }

    /// The next number, of up to 62 bits.
    ///
    /// # Errors
    /// The stream ends, or the number is larger or not in its shortest form.
    #[inline]
    pub fn take(&mut self) -> Result<u64, Error> {
        match self.take_raw()? {
            n if n >> 62 == 0 => Ok(n),
            n => Err(Error::new(format!("{n} is larger than any number can be"))),
        }
    }

    /// The next word, of up to 64 bits.
    ///
    /// # Errors
    /// The stream ends, or the word is not in its shortest form.
    #[inline]
    pub fn take_raw(&mut self) -> Result<u64, Error> {
        let mut number = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            let group = u64::from(byte & 0x7f);
            if group << shift >> shift != group || byte == 0 && shift > 0 {
                break;
            }
            number |= group << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Error::new("a number is too long"))
    }

    /// The next number, which is below `end`.
    ///
    /// # Errors
    /// As [`Decoder::take`], or it is not.
    #[inline]
    pub fn take_below(&mut self, end: u64) -> Result<u64, Error> {
        match self.take()? {
            n if n < end => Ok(n),
            n => Err(Error::new(format!("{n} is not below {end}"))),
        }
    }

    /// The number that [`Encoder::put_step`] went to from `from`, which is below `end`.
    ///
    /// # Errors
    /// As [`Decoder::take_below`].
    #[inline]
    pub fn take_step(&mut self, from: u64, end: u64) -> Result<u64, Error> {
        let step = self.take_raw()?;
        let to = from.wrapping_add(step >> 1 ^ (step & 1).wrapping_neg());
        if to < end {
            Ok(to)
        } else {
            Err(Error::new(format!("{to} is not below {end}")))
        }
    }

    /// The next so many bytes.
    ///
    /// # Errors
    /// The stream ends before.
    pub fn take_bytes(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let bytes = self.bytes.get(self.at..).and_then(|rest| rest.get(..n));
        let bytes = bytes.ok_or_else(Self::ends)?;
        self.at += n;
        Ok(bytes)
    }

    /// Bytes that are left.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Nothing is left.
    ///
    /// # Errors
    /// Something is.
    pub fn end(&self) -> Result<(), Error> {
        match self.left() {
            0 => Ok(()),
            n => Err(Error::new(format!("{n} bytes are left over"))),
        }
    }

    /// A list grows by an element of `bytes` of memory.
    ///
    /// # Errors
    /// That is more memory than such a stream can ask for.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        match self.room.checked_sub(bytes) {
            Some(left) => {
                self.room = left;
                Ok(())
            }
            None => Err(Error::new("lists are too long")),
        }
    }

    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// Goes back to a position.
    pub(crate) fn rewind(&mut self, to: usize) {
        self.at = to.min(self.at);
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Error> {
        let byte = *self.bytes.get(self.at).ok_or_else(Self::ends)?;
        self.at += 1;
        Ok(byte)
    }

    fn ends() -> Error {
        Error::new("the state ends too soon")
    }
}
