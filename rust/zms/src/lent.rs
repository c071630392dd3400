// SPDX-License-Identifier: GPL-2.0-or-later
//! The Host Memory Buffer from outside: what the host lends, and what is to be read and written there around a command.
//!
//! The model answers a command without a look at the host's memory. Whoever can look does so before: for each slot of
//! [`Zms::hmb_next`] it reads the pieces and compares them with [`Zms::hmb_piece`]; those that differ it tells to
//! [`Zms::hmb_spoil`]. Afterwards it writes all pieces of the slots of [`Zms::hmb_take_fill`].

use crate::drive::{Data, Zms};
use crate::hmb::{Cursor, Hmb, PIECE_BYTES};
use crate::read::{Map, Wanted};
use ftl::{Command, Namespace};
use units::PAGE_BYTES;

impl Zms {
    /// The host lends so many slots of 4 KiB from now on, in place of what it lent before; 0: it takes all back. Only as many are used as the
    /// configuration says. With `is_kept` they are the same that it lent last, and have what was written there.
    pub fn hmb_lend(&mut self, slots: u32, is_kept: bool) {
        if let Some(hmb) = &mut self.core.hmb {
            hmb.lend(slots, is_kept);
        }
    }

    /// Slots of the host's memory in use.
    #[must_use]
    pub fn hmb_lent(&self) -> u32 {
        self.core.hmb.as_ref().map_or(0, Hmb::lent)
    }

    /// The next piece that a command may be answered from: slot and number. `cursor` begins as its default.
    pub fn hmb_next(
        &self,
        namespace: Namespace,
        command: &Command,
        cursor: &mut Cursor,
    ) -> Option<(u32, u32)> {
        let hmb = self.core.hmb.as_ref().filter(|hmb| hmb.lent() > 0)?;
        let Command::Read { at, sectors, .. } = *command else {
            return None;
        };
        let wanted = Wanted::new(at, sectors, true);
        match (namespace, &self.meta, &self.data) {
            (Namespace::Meta, meta, _) => next(hmb, meta.as_ref()?, wanted, cursor),
            (Namespace::Data, _, Data::Block(block)) => next(hmb, block, wanted, cursor),
            (Namespace::Data, _, Data::Zoned(zoned)) => next(hmb, zoned, wanted, cursor),
        }
    }

    /// What was written to a piece.
    #[must_use]
    pub fn hmb_piece(&self, slot: u32, piece: u32) -> [u8; PIECE_BYTES] {
        let hmb = self.core.hmb.as_ref();
        hmb.map_or([0; PIECE_BYTES], |hmb| hmb.bytes(slot, piece))
    }

    /// Pieces of a slot (bit n: piece n) are not as they were written: lookups find that out.
    pub fn hmb_spoil(&mut self, slot: u32, pieces: u64) {
        if let Some(hmb) = &mut self.core.hmb {
            hmb.spoil(slot, pieces);
        }
    }

    /// A slot that the latest command left a map page in, each once.
    pub fn hmb_take_fill(&mut self) -> Option<u32> {
        self.core.hmb.as_mut()?.take_fill()
    }

    /// All bytes of a slot, as they are to be written.
    pub fn hmb_slot(&self, slot: u32, bytes: &mut [u8; PAGE_BYTES as usize]) {
        for (piece, place) in (0..).zip(bytes.chunks_exact_mut(PIECE_BYTES)) {
            place.copy_from_slice(&self.hmb_piece(slot, piece));
        }
    }
}

/// The next piece with an entry of a page that is wanted, granularity by granularity.
fn next<M: Map>(hmb: &Hmb, map: &M, wanted: Wanted, cursor: &mut Cursor) -> Option<(u32, u32)> {
    let end = wanted.first.saturating_add(wanted.pages);
    while let Some(&grain) = map.grains().get(cursor.grain) {
        let mut lpn = cursor.lpn.unwrap_or(wanted.first);
        while lpn < end {
            let unit = map.unit(grain, lpn);
            lpn = hmb.after(grain, lpn, unit);
            if let Some(piece) = hmb.wanted(M::NAMESPACE, grain, unit.0) {
                cursor.lpn = Some(lpn);
                return Some(piece);
            }
        }
        *cursor = Cursor {
            grain: cursor.grain + 1,
            lpn: None,
        };
    }
    None
}
