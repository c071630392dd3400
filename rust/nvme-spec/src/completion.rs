// SPDX-License-Identifier: GPL-2.0-or-later
//! Completion queue entries.

use crate::Status;

/// Size of a completion queue entry in bytes.
pub const CQE_BYTES: usize = 16;

/// A completion queue entry (Base, section 3.3.3.2, figures 89 to 91).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cqe {
    /// Dwords 0 and 1: the command's result.
    pub result: u64,
    /// SQ Head Pointer.
    pub sq_head: u16,
    /// SQ Identifier.
    pub sq_id: u16,
    /// Command Identifier.
    pub cid: u16,
    /// Status field, 15 bits (see [`Status::field`]).
    pub status: u16,
    /// Phase Tag.
    pub phase: bool,
}

impl Cqe {
    /// The entry as it lies in memory.
    #[must_use]
    pub fn encode(&self) -> [u8; CQE_BYTES] {
        let tail = u64::from(self.sq_head)
            | u64::from(self.sq_id) << 16
            | u64::from(self.cid) << 32
            | u64::from(self.status) << 49
            | u64::from(self.phase) << 48;
        (u128::from(self.result) | u128::from(tail) << 64).to_le_bytes()
    }

    /// Decodes an entry.
    #[must_use]
    pub fn decode(bytes: &[u8; CQE_BYTES]) -> Self {
        let raw = u128::from_le_bytes(*bytes);
        let field = |shift: u32| (raw >> shift) as u16;
        Self {
            result: raw as u64,
            sq_head: field(64),
            sq_id: field(80),
            cid: field(96),
            status: field(112) >> 1,
            phase: field(112) & 1 != 0,
        }
    }

    /// The status code and type without CRD, M and DNR; `None` if this crate has no name for it.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        Status::from_wire(self.status & 0x7ff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_a_round_trip_and_lie_as_specified() {
        let cqe = Cqe {
            result: 0x1122_3344_5566_7788,
            sq_head: 0x0102,
            sq_id: 0x0304,
            cid: 0x0506,
            status: Status::ZoneFull.field(),
            phase: true,
        };
        let bytes = cqe.encode();
        assert_eq!(bytes[8..14], [0x02, 0x01, 0x04, 0x03, 0x06, 0x05]);
        assert_eq!(bytes[14..], ((0x41b9_u16 << 1) | 1).to_le_bytes());
        assert_eq!(Cqe::decode(&bytes), cqe);
        assert_eq!(cqe.status(), Some(Status::ZoneFull));
    }
}
