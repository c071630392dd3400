// SPDX-License-Identifier: GPL-2.0-or-later
//! What a drive is kept in, damaged: saved states, images and histories. Whatever was done to one, it is refused with one
//! line, or makes a drive whose parts agree and that works on.
//!
//! ```text
//!   originals   small drives of each model that a guest has worked with, as state, image and history
//!   harm        bits, bytes, numbers, pieces; in front of the digests, or behind them, which are made right again
//!   opened      refused: one line, and the media as it was       or a drive: its parts agree, it takes commands,
//!                                                                 loses power, and takes more
//! ```
//! A digest finds accidents. What refuses a forgery is the decoding behind it, so half of the damage is done there.
//!
//! Each try follows from its number alone. Memory is counted if the program's allocator is [`PeakAlloc`].
//!
//! Not here: what a device does with the file before and after (locks, mappings, the media), and media bytes themselves.

mod forge;
mod harm;
mod opened;
mod original;
mod work;

use crate::random::Random;
use crate::run::caught;
use forge::Forged;
use image::{AfterKill, Bytes, Image, Loss, Past, Reader};
use original::Original;
use peak_alloc::PeakAlloc;
use ssd::{Config, Ssd};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use units::Instant;

/// Memory that opening may take beside what the same drive takes undamaged, and for each byte of what is opened: lists of a
/// state may grow by that ([`state::Decoder`]), and are copied once. A checkpoint of an image can be as long as its slot.
const ROOM: usize = 16 << 20;
const ROOM_EACH: usize = 160;

const MEMORY: PeakAlloc = PeakAlloc;

/// Begins to look how much memory is in use at most; gives the bytes in use.
fn begin() -> usize {
    MEMORY.reset_peak_usage();
    MEMORY.current_usage()
}

/// What became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Which kind of file, of [`KINDS`].
    pub kind: usize,
    /// Whether the digests were right.
    pub is_sealed: bool,
    /// Whether it made a drive.
    pub is_opened: bool,
}

/// Kinds of files.
pub const KINDS: [&str; 3] = ["states", "images", "histories"];

/// Originals, and what is needed to try them.
pub struct Soak {
    originals: Vec<Original>,
    /// What each takes to be opened undamaged: bytes, by kind.
    needs: Vec<[usize; KINDS.len()]>,
    file: File,
}

impl Soak {
    /// Makes the originals, and opens each undamaged.
    ///
    /// # Errors
    /// One is refused, or there is no room for files.
    pub fn new() -> Result<Self, String> {
        let mut soak = Self {
            originals: original::all()?,
            needs: Vec::new(),
            file: tempfile::tempfile().map_err(|e| e.to_string())?,
        };
        for n in 0..soak.originals.len() {
            let mut needs = [0; KINDS.len()];
            for (kind, need) in needs.iter_mut().enumerate() {
                let original = &soak.originals[n];
                let forged = original.forged(kind);
                let before = begin();
                let opened = open(original, &forged, &soak.file, &mut Random::new(0));
                let name = original.name;
                opened.map_err(|e| format!("{name}: {e}"))?.0?;
                *need = MEMORY.peak_usage().saturating_sub(before);
            }
            soak.needs.push(needs);
        }
        Ok(soak)
    }

    /// Damages something and opens it.
    ///
    /// # Errors
    /// What it did that it must not.
    pub fn attempt(&mut self, seed: u64) -> Result<Tried, String> {
        caught(|| self.tried(seed))?
    }

    fn tried(&mut self, seed: u64) -> Result<Tried, String> {
        let mut random = Random::new(seed);
        let n = random.below(self.originals.len() as u64) as usize;
        let other = random.below(self.originals.len() as u64) as usize;
        let kind = random.below(KINDS.len() as u64) as usize;
        let is_sealed = random.chance(60);
        let original = &self.originals[n];
        let mut forged = original.forged(kind);
        let other = self.originals[other].forged(kind);
        for _ in 0..random.pick(&[1, 1, 1, 2, 3]) {
            match is_sealed {
                true => forged.forge(&mut random, &other),
                false => forged.damage(&mut random, &other),
            }
        }
        let of = |what: String| format!("{} of {}: {what}", KINDS[kind], original.name);
        let before = begin();
        let opened = open(original, &forged, &self.file, &mut random).map_err(of)?;
        let most = MEMORY.peak_usage().saturating_sub(before);
        let room = ROOM + original.slot * usize::from(kind == 1);
        let allowed = 2 * self.needs[n][kind] + room + ROOM_EACH * forged.len();
        if most > allowed {
            return Err(of(format!("it takes {most} bytes of memory")));
        }
        let is_opened = opened.0.is_ok();
        match opened.0 {
            Ok(()) => {
                if let Some((drive, clock)) = opened.1 {
                    let name = original.name;
                    let original = &mut self.originals[n];
                    let worked = opened::works(original, kind, drive, clock, &mut random);
                    worked.map_err(|what| format!("{} of {name}: {what}", KINDS[kind]))?;
                }
            }
            Err(why) if why.contains('\n') || why.len() > 600 => {
                return Err(of(format!("it says {why:?}")))
            }
            Err(_) => {}
        }
        Ok(Tried {
            kind,
            is_sealed,
            is_opened,
        })
    }
}

/// A drive that works, and its clock; or why there is none.
type Opened = (Result<(), String>, Option<(Ssd, Instant)>);

/// Opens what was damaged.
fn open(
    original: &Original,
    forged: &Forged,
    file: &File,
    random: &mut Random,
) -> Result<Opened, String> {
    let mut media = Untouched::default();
    let opened = match forged {
        Forged::State(state) => {
            let loaded = ssd::load(&original.config, &state.bytes());
            loaded
                .map_err(|e| e.to_string())
                .map(|(drive, _)| (drive, original.clock))
        }
        Forged::Image(image) => {
            image.write(file).map_err(|e| e.to_string())?;
            let file = file.try_clone().map_err(|e| e.to_string())?;
            let after = random.pick(&AfterKill::ALL);
            let loaded = Image::of(file).and_then(|image| {
                media.size = image.layout().media;
                let loaded = image.load(&Config::new(), after, &mut media)?;
                Ok((loaded.drive, loaded.clock))
            });
            loaded.map_err(|e| e.to_string())
        }
        Forged::History(history) => {
            let until = match random.chance(50) {
                true => Instant::from_nanos(u64::MAX),
                false => Instant::from_nanos(random.below(original.clock.as_nanos())),
            };
            let loss = random.pick(&Loss::ALL);
            let bytes = history.bytes();
            let past = Reader::new(bytes.as_slice()).and_then(|reader| {
                media.size = reader.media();
                let mut past = Past::of(reader)?;
                past.go_to(until, &mut media)?;
                let at = until.min(original.clock);
                Ok((past.cut(at, loss, &mut media)?, at))
            });
            // Its media is one that is made from it.
            media.changes = 0;
            past.map_err(|e| e.to_string())
        }
    };
    if let Some(outside) = media.outside {
        return Err(format!("media bytes {outside:?} of {}", media.size));
    }
    Ok(match opened {
        Ok(drive) => (Ok(()), Some(drive)),
        Err(_) if media.changes > 0 => {
            return Err("it is refused, and its media is not what it was".into())
        }
        Err(why) => (Err(why), None),
    })
}

/// Media of which only the limits are watched.
#[derive(Debug, Default)]
struct Untouched {
    size: u64,
    changes: u64,
    outside: Option<Range<u64>>,
}

impl Untouched {
    fn see(&mut self, bytes: Range<u64>) {
        if bytes.start > bytes.end || bytes.end > self.size {
            self.outside = Some(bytes);
        }
    }
}

impl Bytes for Untouched {
    fn read(&mut self, at: u64, into: &mut [u8]) {
        self.see(at..at.saturating_add(into.len() as u64));
    }

    fn write(&mut self, at: u64, from: &[u8]) {
        self.changes += 1;
        self.see(at..at.saturating_add(from.len() as u64));
    }

    fn discard(&mut self, bytes: Range<u64>) {
        self.changes += 1;
        self.see(bytes);
    }
}

/// Makes a file these pieces and nothing else.
fn put(file: &File, pieces: &[(u64, Vec<u8>)], size: u64) -> std::io::Result<()> {
    file.set_len(0)?;
    for (at, bytes) in pieces {
        file.write_all_at(bytes, *at)?;
    }
    file.set_len(size)
}
