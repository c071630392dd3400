// SPDX-License-Identifier: GPL-2.0-or-later
//! What crosses the second serial port, guest to host: frames.
//!
//! ```text
//! | C5 5A | kind | length, 4 bytes little endian | payload, length bytes | check, 4 bytes |
//! ```
//!
//! The port carries bytes faithfully, but a machine reset cuts a frame short, so that the next boot's first frame
//! follows it in mid-payload. Therefore the mark, the bounded length and the check: a reader that finds any of
//! them wrong goes on one byte after the mark (`decode.rs`).
//!
//! This file is compiled twice, into the host's library and into the guest's `/init`, and uses nothing but `std`.

/// The first bytes of every frame.
pub const MARK: [u8; 2] = [0xc5, 0x5a];

/// Bytes before the payload.
pub const HEADER: usize = MARK.len() + 1 + 4;

/// Bytes after the payload.
pub const TRAILER: usize = 4;

/// The longest payload. Small, so that output appears soon and a damaged length cannot swallow much.
pub const MAX_PAYLOAD: usize = 16 * 1024;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The guest has booted and starts its job. No payload.
    Hello = 1,
    /// Bytes of the script's standard output.
    Stdout = 2,
    /// Bytes of the script's standard error.
    Stderr = 3,
    /// The script has ended. Its status, 4 bytes little endian.
    Exit = 4,
    /// Part of a fetched file: its place in the job's list, 4 bytes little endian, then bytes of its gzip form: the
    /// port is slow, and what is fetched is mostly text.
    File = 5,
    /// A fetched file has ended: its place in the list, then why it could not be read (empty: all is well).
    FileEnd = 6,
    /// Nothing more will come. No payload.
    Done = 7,
}

/// One frame in its wire form; `payload` beyond [`MAX_PAYLOAD`] is cut off.
pub fn encode(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let payload = payload.get(..MAX_PAYLOAD).unwrap_or(payload);
    let length = u32::try_from(payload.len()).unwrap_or(0);
    let mut frame = Vec::with_capacity(HEADER + payload.len() + TRAILER);
    frame.extend_from_slice(&MARK);
    frame.push(kind as u8);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(payload);
    let check = checksum(&frame);
    frame.extend_from_slice(&check.to_le_bytes());
    frame
}

/// FNV-1a, 32 bits: the port does not flip bits, this only has to notice cut frames.
pub fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}
