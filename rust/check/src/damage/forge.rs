// SPDX-License-Identifier: GPL-2.0-or-later
//! What was made is taken apart, changed, and put together again: with digests that are right, or as they were.

use super::{harm, put};
use crate::random::Random;
use image::Layout;
use state::{Decoder, Encoder, State};
use std::fs::File;

/// A file with damage.
#[derive(Clone)]
pub(super) enum Forged {
    State(Saved),
    Image(Box<ImageFile>),
    History(HistoryFile),
}

impl Forged {
    /// Harm behind the digests.
    pub(super) fn forge(&mut self, random: &mut Random, other: &Self) {
        match (self, other) {
            (Self::State(it), Self::State(other)) => it.forge(random, other),
            (Self::Image(it), Self::Image(other)) => it.forge(random, other),
            (Self::History(it), Self::History(other)) => it.forge(random, other),
            _ => {}
        }
    }

    /// Harm to the bytes as they are.
    pub(super) fn damage(&mut self, random: &mut Random, other: &Self) {
        match (self, other) {
            (Self::State(it), Self::State(other)) => it.damage(random, other),
            (Self::Image(it), Self::Image(other)) => it.damage(random, other),
            (Self::History(it), Self::History(other)) => it.damage(random, other),
            _ => {}
        }
    }

    /// Bytes that are not zero for being empty.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::State(it) => it.bytes().len(),
            Self::Image(it) => it.pieces().0.iter().map(|(_, bytes)| bytes.len()).sum(),
            Self::History(it) => it.bytes().len(),
        }
    }
}

fn digest(of: &[u8]) -> [u8; 8] {
    state::digest_of(of).to_le_bytes()
}

fn wrong<E: ToString>(error: E) -> String {
    error.to_string()
}

/// A number, and so many bytes.
fn take_block(from: &mut Decoder<'_>) -> Result<Vec<u8>, String> {
    let length = usize::try_from(from.take().map_err(wrong)?).map_err(wrong)?;
    from.take_bytes(length).map(<[u8]>::to_vec).map_err(wrong)
}

fn put_block(bytes: &[u8], out: &mut Encoder) {
    out.put(bytes.len() as u64);
    out.put_bytes(bytes);
}

/// What is made of parts, or of bytes alone once these were damaged as they are.
#[derive(Clone)]
pub(super) enum Whole<P> {
    Parts(P),
    Bytes(Vec<u8>),
}

/// The parts of something that is written with digests.
pub(super) trait Parts: Sized {
    /// What it is called when it has another form.
    const NAME: &str;

    fn take(bytes: &[u8]) -> Result<Self, String>;
    fn bytes(&self) -> Vec<u8>;
    fn forge(&mut self, random: &mut Random, other: &Self);
}

impl<P: Parts> Whole<P> {
    pub(super) fn of(bytes: &[u8]) -> Result<Self, String> {
        let parts = P::take(bytes)?;
        match parts.bytes() == bytes {
            true => Ok(Self::Parts(parts)),
            false => Err(format!("{} have another form", P::NAME)),
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Parts(parts) => parts.bytes(),
        }
    }

    fn forge(&mut self, random: &mut Random, other: &Self) {
        match (&mut *self, other) {
            (Self::Parts(parts), Self::Parts(other)) => parts.forge(random, other),
            _ => self.damage(random, other),
        }
    }

    fn damage(&mut self, random: &mut Random, other: &Self) {
        let mut bytes = self.bytes();
        harm::bytes(random, &mut bytes, &other.bytes());
        *self = Self::Bytes(bytes);
    }
}

/// The state of a drive as `ssd::save` writes it.
pub(super) type Saved = Whole<SavedParts>;

#[derive(Clone)]
pub(super) struct SavedParts {
    version: u64,
    /// Settings that a drive has for life, those that can change, and the state.
    fixed: Vec<u8>,
    live: Vec<u8>,
    body: Vec<u8>,
}

const SAVED: &[u8] = b"conzone\n";

impl Parts for SavedParts {
    const NAME: &str = "saved states";

    fn take(bytes: &[u8]) -> Result<Self, String> {
        let mut from = Decoder::new(bytes);
        from.take_bytes(SAVED.len()).map_err(wrong)?;
        let version = from.take().map_err(wrong)?;
        from.take_bytes(8).map_err(wrong)?;
        let (fixed, live) = (take_block(&mut from)?, take_block(&mut from)?);
        from.take().map_err(wrong)?;
        from.take_bytes(8).map_err(wrong)?;
        Ok(Self {
            version,
            fixed,
            live,
            body: from.take_bytes(from.left()).map_err(wrong)?.to_vec(),
        })
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.put_bytes(SAVED);
        out.put(self.version);
        out.put_bytes(&digest(&self.fixed));
        put_block(&self.fixed, &mut out);
        put_block(&self.live, &mut out);
        out.put(self.body.len() as u64);
        out.put_bytes(&digest(&self.body));
        out.put_bytes(&self.body);
        out.into_bytes()
    }

    fn forge(&mut self, random: &mut Random, other: &Self) {
        match random.below(20) {
            0 => self.version = harm::number(random, self.version, 0),
            1 => harm::bytes(random, &mut self.fixed, &other.fixed),
            2 | 3 => harm::bytes(random, &mut self.live, &other.live),
            4 => self.body.clone_from(&other.body),
            _ => harm::bytes(random, &mut self.body, &other.body),
        }
    }
}

/// A checkpoint.
#[derive(Clone)]
pub(super) struct Slot {
    pub(super) epoch: u64,
    /// Bytes that it says it has and has not.
    pub(super) extra: u64,
    pub(super) clock: u64,
    pub(super) state: Saved,
}

/// Words of the live part in front of the journal; of the last eight each fourth is the check of the three before.
const WORDS: usize = 16;

/// An image.
#[derive(Clone)]
pub(super) struct ImageFile {
    /// Version of the header, and the sizes in it.
    pub(super) version: u64,
    pub(super) layout: Layout,
    pub(super) words: [u64; WORDS],
    pub(super) records: Vec<[u64; 3]>,
    pub(super) slots: [Slot; 2],
    /// Where the live part and checkpoints are, and how long the file is.
    pub(super) live: u64,
    pub(super) places: [u64; 2],
    pub(super) size: u64,
    /// Settings, which need not be text.
    pub(super) settings: Vec<u8>,
    /// The pieces, if their bytes are damaged.
    pub(super) raw: Option<Vec<(u64, Vec<u8>)>>,
}

impl ImageFile {
    /// What is in the file, and where; and its size.
    fn pieces(&self) -> (Vec<(u64, Vec<u8>)>, u64) {
        if let Some(raw) = &self.raw {
            return (raw.clone(), self.size);
        }
        let mut body = Encoder::new();
        for number in [self.layout.records, self.layout.slot, self.layout.media] {
            body.put(number);
        }
        put_block(&self.settings, &mut body);
        let body = body.into_bytes();
        let mut header = b"conzone image\r\n\x1a".to_vec();
        for number in [self.version, body.len() as u64, state::digest_of(&body)] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        header.extend_from_slice(&body);
        let words = self.words.map(u64::to_le_bytes).as_flattened().to_vec();
        let records = self.records.iter().zip(0..).flat_map(|(record, n)| {
            let [a, b, c] = *record;
            let check = image::check(*record, self.words[0], n);
            [a, b, c, check].map(u64::to_le_bytes).into_iter().flatten()
        });
        let journal = self.live + Layout::journal_word() * 8;
        let mut pieces = vec![
            (0, header),
            (self.live, words),
            (journal, records.collect()),
        ];
        for (slot, at) in self.slots.iter().zip(self.places) {
            let state = slot.state.bytes();
            let header = [
                slot.epoch,
                (state.len() as u64).wrapping_add(slot.extra),
                state::digest_of(&state),
                slot.clock,
            ];
            let mut bytes = header.map(u64::to_le_bytes).as_flattened().to_vec();
            bytes.extend_from_slice(&state);
            pieces.push((at, bytes));
        }
        (pieces, self.size)
    }

    pub(super) fn write(&self, to: &File) -> std::io::Result<()> {
        let (pieces, size) = self.pieces();
        put(to, &pieces, size)
    }

    fn forge(&mut self, random: &mut Random, other: &Self) {
        let slot = random.below(2) as usize;
        let (this, theirs) = (
            &mut self.slots[slot],
            &other.slots[random.below(2) as usize],
        );
        match random.below(16) {
            0 => self.version = harm::number(random, self.version, 0),
            1 => {
                let sizes = [
                    &mut self.layout.records,
                    &mut self.layout.slot,
                    &mut self.layout.media,
                ];
                for size in sizes {
                    if random.chance(40) {
                        *size = harm::number(random, *size, self.size);
                    }
                }
                // A file of any length is soon made.
                let [records, slot, media] =
                    [self.layout.records, self.layout.slot, self.layout.media];
                if records <= 1 << 32 && slot.max(media) <= 1 << 40 {
                    self.size = self.size.max(self.layout.size());
                }
            }
            2 => harm::bytes(random, &mut self.settings, &other.settings),
            3..=5 => {
                let word = random.below(WORDS as u64) as usize;
                self.words[word] = match random.chance(30) {
                    true => other.words[word],
                    false => harm::number(random, self.words[word], self.records.len() as u64),
                };
                for synced in self.words[8..].chunks_exact_mut(4) {
                    synced[3] = image::check([synced[0], synced[1], synced[2]], 0, 0);
                }
            }
            6..=8 => records(random, &mut self.records, &other.records),
            9 => self.slots.swap(0, 1),
            10 => {
                let epoch = this.epoch;
                this.clone_from(theirs);
                this.epoch = if random.chance(70) { epoch } else { this.epoch };
            }
            11 => this.epoch = harm::number(random, this.epoch, 0),
            12 if random.chance(30) => this.extra = harm::number(random, 0, self.layout.slot),
            12 => this.clock = harm::number(random, this.clock, 0),
            _ => this.state.forge(random, &theirs.state),
        }
    }

    fn damage(&mut self, random: &mut Random, other: &Self) {
        let (mut pieces, _) = self.pieces();
        let (theirs, _) = other.pieces();
        let places: Vec<_> = pieces.iter().map(|(at, _)| *at).collect();
        match random.below(10) {
            0 => {
                let at = random.pick(&places) + random.below(5000);
                let short = self.size.saturating_sub(1);
                self.size = random.pick(&[at, short, self.size.saturating_sub(at)]);
                for (at, bytes) in &mut pieces {
                    bytes.truncate(self.size.saturating_sub(*at) as usize);
                }
            }
            1 => self.size += random.below(1 << 30),
            2 => {
                let (a, b) = (random.below(5) as usize, random.below(5) as usize);
                let bytes = pieces[b].1.clone();
                pieces[a].1 = bytes;
            }
            _ => {
                let at = random.below(5) as usize;
                harm::bytes(random, &mut pieces[at].1, &theirs[at].1);
            }
        }
        self.raw = Some(pieces);
    }
}

/// Harm to records of a journal.
fn records(random: &mut Random, of: &mut Vec<[u64; 3]>, other: &[[u64; 3]]) {
    let at = random.below(of.len() as u64) as usize;
    match of.get_mut(at) {
        Some(record) if random.chance(70) => {
            let word = random.below(4) as usize;
            match record.get_mut(word) {
                Some(word) => *word = harm::number(random, *word, 100),
                // Another operation with the same words.
                None => record[2] = record[2] & !0xff | random.below(20),
            }
        }
        _ => harm::list(random, of, other),
    }
}

/// An entry of a history: three words, and bytes.
pub(super) type Entry = ([u64; 3], Vec<u8>);

/// A history.
pub(super) type HistoryFile = Whole<HistoryParts>;

#[derive(Clone)]
pub(super) struct HistoryParts {
    version: u64,
    settings: Vec<u8>,
    began: u64,
    state: Saved,
    entries: Vec<Entry>,
}

const HISTORY: &[u8] = b"conzone past\r\n\x1a\n";
/// Operation of an entry that has bytes.
const PUT: u64 = 0xf0;

/// Words of 64 bits, little-endian.
fn words<const N: usize>(from: &mut Decoder<'_>) -> Result<[u64; N], String> {
    let mut words = [0; N];
    for word in &mut words {
        let bytes = from.take_bytes(8).map_err(wrong)?.first_chunk();
        *word = bytes.copied().map_or(0, u64::from_le_bytes);
    }
    Ok(words)
}

impl Parts for HistoryParts {
    const NAME: &str = "histories";

    fn take(bytes: &[u8]) -> Result<Self, String> {
        let mut from = Decoder::new(bytes);
        from.take_bytes(HISTORY.len()).map_err(wrong)?;
        let [version, length, _] = words(&mut from)?;
        let mut body = Decoder::new(from.take_bytes(length as usize).map_err(wrong)?);
        let settings = take_block(&mut body)?;
        let began = body.take().map_err(wrong)?;
        let mut state = Vec::<u8>::new();
        state.decode(&mut body).map_err(wrong)?;
        let state = Saved::of(&state)?;
        let mut entries = Vec::new();
        while from.left() > 0 {
            let [a, b, c, _] = words(&mut from)?;
            let length = if c & 0xff == PUT { c >> 16 } else { 0 };
            let bytes = from.take_bytes(length as usize).map_err(wrong)?.to_vec();
            entries.push(([a, b, c], bytes));
        }
        Ok(Self {
            version,
            settings,
            began,
            state,
            entries,
        })
    }

    fn bytes(&self) -> Vec<u8> {
        let mut body = Encoder::new();
        put_block(&self.settings, &mut body);
        body.put(self.began);
        self.state.bytes().encode(&mut body);
        let body = body.into_bytes();
        let mut all = HISTORY.to_vec();
        for number in [self.version, body.len() as u64, state::digest_of(&body)] {
            all.extend_from_slice(&number.to_le_bytes());
        }
        all.extend_from_slice(&body);
        for ((words, bytes), n) in self.entries.iter().zip(0..) {
            let [mut a, b, c] = *words;
            if c & 0xff == PUT {
                a = state::digest_of(bytes);
            }
            let check = image::check([a, b, c], image::HISTORY_EPOCH, n);
            for word in [a, b, c, check] {
                all.extend_from_slice(&word.to_le_bytes());
            }
            all.extend_from_slice(bytes);
        }
        all
    }

    fn forge(&mut self, random: &mut Random, other: &Self) {
        match random.below(16) {
            0 => self.version = harm::number(random, self.version, 0),
            1 => harm::bytes(random, &mut self.settings, &other.settings),
            2 => self.began = harm::number(random, self.began, 0),
            3..=7 => self.state.forge(random, &other.state),
            8..=10 => harm::list(random, &mut self.entries, &other.entries),
            _ => {
                let at = random.below(self.entries.len() as u64) as usize;
                let Some((words, bytes)) = self.entries.get_mut(at) else {
                    return;
                };
                let mut record = vec![*words];
                records(random, &mut record, &[]);
                if let Some(record) = record.first() {
                    *words = *record;
                }
                if words[2] & 0xff == PUT && random.chance(50) {
                    harm::bytes(random, bytes, &[1; 99]);
                }
            }
        }
    }
}
