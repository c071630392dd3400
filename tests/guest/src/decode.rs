// SPDX-License-Identifier: GPL-2.0-or-later
//! Finds the frames in what the guest sent. The format is described in `frame.rs`.

use crate::frame::{checksum, Kind, HEADER, MARK, MAX_PAYLOAD, TRAILER};

/// Every kind of frame.
const KINDS: [Kind; 7] = [
    Kind::Hello,
    Kind::Stdout,
    Kind::Stderr,
    Kind::Exit,
    Kind::File,
    Kind::FileEnd,
    Kind::Done,
];

/// A frame that arrived whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) payload: Vec<u8>,
}

/// Takes bytes as they come and gives frames.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    pending: Vec<u8>,
}

impl Decoder {
    /// Adds bytes that arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole frame, if it has arrived. Damaged ones are passed over.
    pub(crate) fn next_frame(&mut self) -> Option<Frame> {
        let mut skip = 0;
        let found = loop {
            let rest = self.pending.get(skip..).unwrap_or_default();
            match parse(rest) {
                Parsed::Frame(frame, length) => break Some((frame, skip + length)),
                Parsed::Incomplete => break None,
                Parsed::Damaged => skip += next_mark(rest),
            }
        };
        let (frame, used) = match found {
            Some((frame, used)) => (Some(frame), used),
            None => (None, skip),
        };
        self.pending.drain(..used);
        frame
    }
}

enum Parsed {
    Frame(Frame, usize),
    Incomplete,
    Damaged,
}

/// Looks at the start of `bytes`.
fn parse(bytes: &[u8]) -> Parsed {
    let seen = bytes.len().min(MARK.len());
    if bytes.get(..seen) != MARK.get(..seen) {
        return Parsed::Damaged;
    }
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
        return Parsed::Incomplete;
    };
    let [_, _, kind, length @ ..] = *header;
    let length = u32::from_le_bytes(length) as usize;
    let kind = KINDS.into_iter().find(|known| *known as u8 == kind);
    let (Some(kind), true) = (kind, length <= MAX_PAYLOAD) else {
        return Parsed::Damaged;
    };
    let Some((payload, rest)) = rest.split_at_checked(length) else {
        return Parsed::Incomplete;
    };
    let Some(check) = rest.first_chunk::<TRAILER>() else {
        return Parsed::Incomplete;
    };
    let covered = bytes.get(..HEADER + length).unwrap_or_default();
    if checksum(covered) != u32::from_le_bytes(*check) {
        return Parsed::Damaged;
    }
    Parsed::Frame(
        Frame {
            kind,
            payload: payload.to_vec(),
        },
        HEADER + length + TRAILER,
    )
}

/// How far the next possible start of a frame is, at least 1 for a non-empty slice.
fn next_mark(bytes: &[u8]) -> usize {
    let after = bytes.get(1..).unwrap_or_default();
    let found = after.iter().position(|byte| *byte == MARK[0]);
    1 + found.unwrap_or(after.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::encode;

    fn all(decoder: &mut Decoder) -> Vec<Frame> {
        std::iter::from_fn(|| decoder.next_frame()).collect()
    }

    fn frame(kind: Kind, payload: &[u8]) -> Frame {
        Frame {
            kind,
            payload: payload.to_vec(),
        }
    }

    #[test]
    fn frames_survive_any_chunking() {
        let every_byte: Vec<u8> = (0..=255).cycle().take(MAX_PAYLOAD).collect();
        let sent = [
            frame(Kind::Hello, b""),
            frame(Kind::Stdout, &every_byte),
            frame(Kind::Stderr, &MARK),
            frame(Kind::Exit, &[1, 0, 0, 0]),
            frame(Kind::Done, b""),
        ];
        let wire: Vec<u8> = sent
            .iter()
            .flat_map(|frame| encode(frame.kind, &frame.payload))
            .collect();
        for chunk in [1, 2, 3, 7, 64, 4096, wire.len()] {
            let mut decoder = Decoder::default();
            let mut got = Vec::new();
            for bytes in wire.chunks(chunk) {
                decoder.push(bytes);
                got.extend(all(&mut decoder));
            }
            assert_eq!(got, sent, "chunks of {chunk}");
            assert!(decoder.pending.is_empty());
        }
    }

    #[test]
    fn a_frame_cut_by_a_reset_costs_only_itself() {
        let whole = encode(Kind::Stdout, &[0x11; 3000]);
        let mut wire = encode(Kind::Stdout, b"before");
        wire.extend_from_slice(&whole[..1000]);
        wire.extend_from_slice(&encode(Kind::Hello, b""));
        wire.extend_from_slice(&encode(Kind::Stdout, &[0x22; 5000]));
        let mut decoder = Decoder::default();
        decoder.push(&wire);
        let kinds: Vec<Kind> = all(&mut decoder)
            .into_iter()
            .map(|frame| frame.kind)
            .collect();
        assert_eq!(kinds, [Kind::Stdout, Kind::Hello, Kind::Stdout]);
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let good = encode(Kind::Stderr, b"status 0x2d");
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let mut decoder = Decoder::default();
            decoder.push(&bad);
            assert_eq!(all(&mut decoder), [], "bit {bit}");
        }
    }

    #[test]
    fn noise_is_dropped() {
        let mut decoder = Decoder::default();
        decoder.push(&[0xc5; 10]);
        decoder.push(b"SeaBIOS (version 1.16)\r\n");
        decoder.push(&encode(Kind::Done, b""));
        assert_eq!(all(&mut decoder), [frame(Kind::Done, b"")]);
    }

    #[test]
    fn an_overlong_payload_is_cut() {
        let mut decoder = Decoder::default();
        decoder.push(&encode(Kind::Stdout, &[7; MAX_PAYLOAD + 1]));
        assert_eq!(all(&mut decoder), [frame(Kind::Stdout, &[7; MAX_PAYLOAD])]);
    }
}
