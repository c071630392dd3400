// SPDX-License-Identifier: GPL-2.0-or-later
//! Harm done to bytes and numbers.

use crate::random::Random;

/// Numbers at which something may end.
const EDGES: [u64; 14] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0xffff,
    1 << 16,
    u32::MAX as u64,
    1 << 32,
    (1 << 48) - 1,
    (1 << 62) - 1,
    1 << 62,
    u64::MAX,
];

/// Another number in the place of one; some list has `len` elements.
pub(super) fn number(random: &mut Random, was: u64, len: u64) -> u64 {
    match random.below(8) {
        0 => was.wrapping_add(1),
        1 => was.wrapping_sub(1),
        2 => was ^ 1 << random.below(64),
        3 => len.wrapping_add(random.below(3)).wrapping_sub(1),
        4 => random.below(300),
        5 => was.wrapping_mul(2),
        _ => random.pick(&EDGES),
    }
}

/// Some of the bytes.
fn piece(random: &mut Random, of: &[u8]) -> std::ops::Range<usize> {
    let at = random.below(of.len() as u64 + 1);
    let longest = random.pick(&[4, 40, 4000]);
    let end = at + random.below((of.len() as u64 - at).min(longest) + 1);
    at as usize..end as usize
}

/// Harm to bytes, which may become more or less; `other` are of something alike.
pub(super) fn bytes(random: &mut Random, of: &mut Vec<u8>, other: &[u8]) {
    if of.is_empty() {
        return of.push(random.any() as u8);
    }
    let at = random.below(of.len() as u64) as usize;
    match random.below(16) {
        0 | 1 => of[at] ^= 1 << random.below(8),
        2 => of[at] = random.any() as u8,
        3 => of[at] = of[at].wrapping_add(random.pick(&[1, 0xff])),
        4 | 5 => word(random, of, at),
        6..=9 => leb128(random, of, at),
        10 => of.truncate(at),
        11 => of.extend((0..random.below(40)).map(|_| random.pick(&[0, 1, 0xff]))),
        12 => {
            let piece = piece(random, of);
            of.drain(piece);
        }
        13 => {
            let piece = of[piece(random, of)].to_vec();
            of.splice(at..at, piece);
        }
        _ => {
            let from = if random.chance(50) { other } else { &*of };
            let piece = from[piece(random, from)].to_vec();
            let end = (at + piece.len()).min(of.len());
            of.splice(at..end, piece);
        }
    }
}

/// Another word of 1 to 8 bytes, the lowest first, at or before a place.
fn word(random: &mut Random, of: &mut [u8], at: usize) {
    let bytes = random.pick(&[1, 2, 4, 8]).min(of.len() - at);
    let mut was = [0; 8];
    was[..bytes].copy_from_slice(&of[at..at + bytes]);
    let now = number(random, u64::from_le_bytes(was), of.len() as u64);
    of[at..at + bytes].copy_from_slice(&now.to_le_bytes()[..bytes]);
}

/// Another number in groups of seven bits, as states have them, from a place on.
fn leb128(random: &mut Random, of: &mut Vec<u8>, at: usize) {
    // A number begins behind one whose last group has no successor.
    let before = of[..at].iter().rposition(|byte| *byte < 0x80);
    let start = before.map_or(0, |last| last + 1);
    let last = of[start..].iter().position(|byte| *byte < 0x80);
    let end = last.map_or(of.len(), |last| start + last + 1);
    let groups = of[start..end].iter().take(9).enumerate();
    let was = groups.fold(0, |n, (i, byte)| n | u64::from(byte & 0x7f) << (7 * i));
    let mut out = state::Encoder::new();
    out.put(number(random, was, of.len() as u64));
    of.splice(start..end, out.into_bytes());
}

/// Harm to a list of such things; `other` is one alike.
pub(super) fn list<T: Clone>(random: &mut Random, of: &mut Vec<T>, other: &[T]) {
    let at = random.below(of.len() as u64 + 1) as usize;
    let from = random.below(of.len() as u64) as usize;
    let theirs = random.below(other.len() as u64) as usize;
    match random.below(5) {
        0 => of.truncate(at),
        1 if at < of.len() => _ = of.remove(at),
        2 if at < of.len() => of.swap(at, from),
        3 => of.splice(at..at, other.get(theirs).cloned()).for_each(drop),
        _ => of.splice(at..at, of.get(from).cloned()).for_each(drop),
    }
}
