// SPDX-License-Identifier: GPL-2.0-or-later
//! The Host Memory Buffer: what lies in the host's memory, written and read back around each read.
//!
//! The model learns nothing else of that memory, and what it learns is told to journals: so a drive can be made again from
//! what was written down, where there is no such memory.

use super::Drive;
use crate::record::Recorded;
use command::{Command, HostMemory};
use nvme::NsIndex;
use units::PAGE_BYTES;
use zms::{Cursor, PIECE_BYTES};

impl Drive {
    pub(super) fn lend_slots(&mut self, slots: u32, is_kept: bool) {
        if slots == 0 && self.model.hmb_lent() == 0 {
            return;
        }
        self.tell(&Recorded::Lent { slots, is_kept });
        self.model.hmb_lend(slots, is_kept);
    }

    /// Reads all pieces that a read may be answered from, and tells the model which have changed; how many.
    pub(super) fn check_pieces(
        &mut self,
        ns: NsIndex,
        command: &Command,
        memory: &mut dyn HostMemory,
    ) -> u64 {
        let Some(kind) = self.kind(ns) else { return 0 };
        let (mut cursor, mut read) = (Cursor::default(), 0);
        // Slot and pieces that have changed: neighbours are told at once.
        let mut changed = (0, 0);
        while let Some((slot, piece)) = self.model.hmb_next(kind, command, &mut cursor) {
            read += 1;
            let mut bytes = [0; PIECE_BYTES];
            let at = u64::from(slot) * PAGE_BYTES + u64::from(piece) * PIECE_BYTES as u64;
            let is_read = memory.read(at, &mut bytes);
            if !is_read || bytes != self.model.hmb_piece(slot, piece) {
                if changed.0 != slot {
                    self.spoil(changed);
                    changed = (slot, 0);
                }
                changed.1 |= 1 << piece;
            }
        }
        self.spoil(changed);
        read
    }

    /// Writes the slots that the latest command has filled; how many.
    pub(super) fn write_slots(&mut self, memory: &mut dyn HostMemory) -> u64 {
        let mut written = 0;
        while let Some(slot) = self.model.hmb_take_fill() {
            let mut bytes = [0; PAGE_BYTES as usize];
            self.model.hmb_slot(slot, &mut bytes);
            if !memory.write(u64::from(slot) * PAGE_BYTES, &bytes) {
                self.spoil((slot, u64::MAX));
            }
            written += 1;
        }
        written
    }

    fn spoil(&mut self, (slot, pieces): (u32, u64)) {
        if pieces == 0 {
            return;
        }
        self.tell(&Recorded::Spoilt { slot, pieces });
        self.model.hmb_spoil(slot, pieces);
    }
}
