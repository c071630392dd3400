// SPDX-License-Identifier: GPL-2.0-or-later
//! Where things are in the file, and its header.

use crate::error::Error;
use crate::{journal, words};
use ssd::{Config, Plan};
use state::{Decoder, Encoder, State};
use std::fs::File;
use std::os::unix::fs::FileExt;
use units::MIB;

const MAGIC: [u8; 16] = *b"conzone image\r\n\x1a";
/// Changes with what is said here, and in `journal` and `live`; that of the state is [`ssd::save`]'s own.
const VERSION: u64 = 3;

/// The header has so many bytes at most.
const HEADER: u64 = 64 << 10;
/// The words that change all the time, and the journal behind them.
const LIVE_PAGE: u64 = 4 << 10;
/// Records of a journal: twice as many as are waited for before there is a checkpoint.
const RECORDS: u64 = 1 << 16;
/// What a state may have: more than any that was seen, and for maps 16 bytes a page of 4 KiB. What is not used takes nothing.
const LEAST_SLOT: u64 = 64 * MIB;
const SLOT_OF_MEDIA: u64 = 256;

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Records that the journal has room for.
    pub records: u64,
    /// Bytes of a checkpoint, at most.
    pub slot: u64,
    /// Bytes of the media, the undo area with them.
    pub media: u64,
    /// Settings of the drive, a line each.
    pub settings: String,
}

impl Layout {
    /// That of a drive.
    #[must_use]
    pub fn of(config: &Config, plan: &Plan) -> Self {
        let media = plan.layout.size.get();
        Self {
            records: RECORDS,
            slot: (LEAST_SLOT + media / SLOT_OF_MEDIA).next_multiple_of(MIB),
            media: media.next_multiple_of(LIVE_PAGE),
            settings: ssd::describe(config),
        }
    }

    /// Where the words that change all the time are ([`crate::Live`]), and how many bytes they and the journal have.
    #[must_use]
    pub const fn live(&self) -> (u64, u64) {
        (HEADER, LIVE_PAGE + self.records * journal::WORDS * 8)
    }

    /// Word of the live part where the journal begins.
    #[must_use]
    pub const fn journal_word() -> u64 {
        LIVE_PAGE / 8
    }

    /// Where the checkpoint of an epoch is.
    #[must_use]
    pub const fn slot_of(&self, epoch: u64) -> u64 {
        let (at, bytes) = self.live();
        (at + bytes).next_multiple_of(MIB) + (epoch & 1) * self.slot
    }

    /// Where the media is, on a boundary of 2 MiB.
    #[must_use]
    pub const fn media_at(&self) -> u64 {
        (self.slot_of(1) + self.slot).next_multiple_of(2 * MIB)
    }

    /// Bytes of the file.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.media_at() + self.media
    }

    /// Its figures, which follow from the drive.
    pub(crate) const fn sizes(&self) -> [u64; 3] {
        [self.records, self.slot, self.media]
    }

    pub(crate) fn write(&self, to: &File) -> Result<(), Error> {
        let mut body = Encoder::new();
        for number in self.sizes() {
            body.put(number);
        }
        self.settings.encode(&mut body);
        let body = body.into_bytes();
        let mut all = Vec::with_capacity(body.len() + 40);
        all.extend_from_slice(&MAGIC);
        for number in [VERSION, body.len() as u64, state::digest_of(&body)] {
            all.extend_from_slice(&number.to_le_bytes());
        }
        all.extend_from_slice(&body);
        if all.len() as u64 > HEADER {
            return Err(Error::new("its configuration is too long"));
        }
        to.write_all_at(&all, 0).map_err(Error::write)
    }

    pub(crate) fn read(from: &File) -> Result<Self, Error> {
        let mut start = [0; 40];
        let is_image = from.read_exact_at(&mut start, 0).is_ok() && start.starts_with(&MAGIC);
        if !is_image {
            return Err(Error::new("it is not the image of a drive"));
        }
        let [_, _, version, length, digest] = words(&start);
        if version != VERSION {
            let of = format!("it is of version {version}, not {VERSION}");
            return Err(Error::new(of));
        }
        if length > HEADER - 40 {
            return Err(Error::new("its header is damaged"));
        }
        let mut body = vec![0; usize::try_from(length).unwrap_or(0)];
        from.read_exact_at(&mut body, 40).map_err(Error::read)?;
        if state::digest_of(&body) != digest {
            return Err(Error::new("its header is damaged"));
        }
        let layout = Self::decode(&body).map_err(|e| Error::new(format!("its header: {e}")))?;
        let bytes = from.metadata().map_err(Error::read)?.len();
        if bytes < layout.size() {
            let of = format!("it has {bytes} bytes of {}", layout.size());
            return Err(Error::new(of));
        }
        Ok(layout)
    }

    fn decode(body: &[u8]) -> Result<Self, state::Error> {
        let mut from = Decoder::new(body);
        let mut layout = Self {
            records: from.take()?,
            slot: from.take()?,
            media: from.take()?,
            settings: String::new(),
        };
        layout.settings.decode(&mut from)?;
        // Beyond this its places could not be computed.
        const MOST: u64 = 1 << 56;
        let fits = layout.records <= 1 << 32 && layout.slot <= MOST && layout.media <= MOST;
        state::ensure!(fits, "impossible sizes");
        from.end()?;
        Ok(layout)
    }
}
