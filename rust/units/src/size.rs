// SPDX-License-Identifier: GPL-2.0-or-later
//! Sizes in bytes, and their text form with K/M/G/T suffixes.

use core::fmt;
use core::str::FromStr;

/// 2^10 bytes.
pub const KIB: u64 = 1 << 10;
/// 2^20 bytes.
pub const MIB: u64 = 1 << 20;

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Bytes(u64);

impl Bytes {
    /// No bytes.
    pub const ZERO: Self = Self(0);

    /// `n` bytes.
    #[must_use]
    pub const fn new(n: u64) -> Self {
        Self(n)
    }

    /// `n` KiB.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n.saturating_mul(KIB))
    }

    /// `n` MiB.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n.saturating_mul(MIB))
    }

    /// The number of bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Prints the largest binary unit that divides the size: `96 MiB`, `1536 KiB`, `513 B`.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if self.0 != 0 && self.0.trailing_zeros() >= shift {
                return write!(f, "{} {unit}", self.0 >> shift);
            }
        }
        write!(f, "{} B", self.0)
    }
}

/// The text is not `digits[K|M|G|T]`, or the size exceeds 2^64 - 1 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseSizeError;

impl fmt::Display for ParseSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a whole number of bytes with an optional suffix K, M, G or T")
    }
}

impl std::error::Error for ParseSizeError {}

impl FromStr for Bytes {
    type Err = ParseSizeError;

    fn from_str(text: &str) -> Result<Self, ParseSizeError> {
        let (digits, shift) = match text.as_bytes().last() {
            Some(b'k' | b'K') => (text.get(..text.len() - 1), 10),
            Some(b'm' | b'M') => (text.get(..text.len() - 1), 20),
            Some(b'g' | b'G') => (text.get(..text.len() - 1), 30),
            Some(b't' | b'T') => (text.get(..text.len() - 1), 40),
            _ => (Some(text), 0),
        };
        let digits = digits
            .filter(|d| d.bytes().all(|b| b.is_ascii_digit()))
            .ok_or(ParseSizeError)?;
        let n: u64 = digits.parse().map_err(|_| ParseSizeError)?;
        n.checked_mul(1 << shift).map(Self).ok_or(ParseSizeError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse_with_suffixes_and_print_in_their_largest_unit() {
        for (text, bytes, shown) in [
            ("0", 0, "0 B"),
            ("513", 513, "513 B"),
            ("1536K", 1536 * KIB, "1536 KiB"),
            ("96m", 96 * MIB, "96 MiB"),
            ("2G", 2048 * MIB, "2 GiB"),
            ("1T", 1 << 40, "1 TiB"),
        ] {
            assert_eq!(text.parse(), Ok(Bytes::new(bytes)), "{text}");
            assert_eq!(Bytes::new(bytes).to_string(), shown);
        }
    }

    #[test]
    fn bad_sizes_are_refused() {
        for text in [
            "",
            "K",
            "-1",
            "+1",
            "1.5G",
            "4KB",
            "0x10",
            "99999999999999T",
            "1 G",
        ] {
            assert_eq!(text.parse::<Bytes>(), Err(ParseSizeError), "{text}");
        }
    }
}
