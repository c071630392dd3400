// SPDX-License-Identifier: GPL-2.0-or-later
//! All that happened to a drive, with the bytes that it was given: the drive at any instant can be made of it, also as a
//! power cut there would have left it.
//!
//! ```text
//!   header   settings, state and instant of the drive when it began
//!   entry    what happened, as in a journal           32 bytes
//!            bytes that are in the media from here on  32 bytes and these
//!            bytes that read as zeroes from here on    32 bytes
//!   ...
//! ```
//! Each entry has a check of itself and its number; one that was not written to its end is none.

use crate::error::Error;
use crate::journal::{self, WORDS};
use crate::{change, copy_page, words, Bytes, Layout};
use core::fmt::{self, Debug};
use nvme::Drive as _;
use ssd::{Config, Journal, Recorded, Ssd};
use state::{Decoder, Encoder, State};
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use units::{Instant, MIB};

const MAGIC: [u8; 16] = *b"conzone past\r\n\x1a\n";
/// Changes with what is said here and in `journal`; that of the state is [`ssd::save`]'s own.
const VERSION: u64 = 2;
/// Entries are checked as records of this epoch, which no journal has.
pub const EPOCH: u64 = u64::MAX;
/// The header without the state, whose length it says, has no more.
const MOST_HEADER: u64 = 1 << 40;
/// Bytes of an entry at most.
const PIECE: usize = 64 << 10;

/// Bytes are in the media; they follow.
const PUT: u64 = 0xf0;
/// Bytes read as zeroes.
const GONE: u64 = 0xf1;

/// Copies out bytes of the media from an offset on.
pub type Look<'a> = &'a mut dyn FnMut(u64, &mut [u8]);

/// Writes a history while a drive works, as a [`Journal`] of it. What cannot be written ends it, and nothing else.
pub struct History<W: Write> {
    out: Mutex<Out<W>>,
}

struct Out<W: Write> {
    to: BufWriter<W>,
    entries: u64,
    piece: Vec<u8>,
    /// Why nothing is written any more.
    failed: Option<Error>,
}

impl<W: Write> Debug for History<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").finish_non_exhaustive()
    }
}

impl<W: Write> History<W> {
    /// Begins one of a drive that has these settings, and whose media is `media`, at `now`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(
        to: W,
        (drive, config): (&Ssd, &Config),
        now: Instant,
        media: Look<'_>,
    ) -> Result<Self, Error> {
        let mut body = Encoder::new();
        ssd::describe(config).encode(&mut body);
        body.put(now.as_nanos());
        ssd::save(drive, config).encode(&mut body);
        let body = body.into_bytes();
        let mut to = BufWriter::with_capacity(MIB as usize, to);
        let start = [VERSION, body.len() as u64, state::digest_of(&body)];
        let written = to.write_all(&MAGIC).and_then(|()| {
            to.write_all(start.map(u64::to_le_bytes).as_flattened())?;
            to.write_all(&body)
        });
        written.map_err(Error::write)?;
        let history = Self {
            out: Mutex::new(Out {
                to,
                entries: 0,
                piece: vec![0; PIECE],
                failed: None,
            }),
        };
        for bytes in drive.drive().written() {
            history.put(bytes.start, bytes.end - bytes.start, media);
        }
        history.flush();
        match history.failed() {
            Some(why) => Err(why),
            None => Ok(history),
        }
    }

    fn out(&self) -> MutexGuard<'_, Out<W>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of the media are new.
    pub fn put(&self, at: u64, length: u64, media: Look<'_>) {
        self.out().put(at, length, media);
    }

    /// Bytes of the media read as zeroes.
    pub fn gone(&self, at: u64, length: u64) {
        self.out().entry([0, at, length << 16 | GONE], &[]);
    }

    /// From here on something happens that a history cannot have.
    pub fn end(&self, why: &str) {
        self.out().failed.get_or_insert_with(|| Error::new(why));
    }

    /// Hands over what was noted to whoever keeps it.
    pub fn flush(&self) {
        let mut out = self.out();
        if let Err(error) = out.to.flush() {
            out.fail(error);
        }
    }

    /// Why it does not have all that happened.
    pub fn failed(&self) -> Option<Error> {
        self.out().failed.clone()
    }
}

impl<W: Write> Out<W> {
    fn put(&mut self, at: u64, length: u64, media: Look<'_>) {
        let mut piece = core::mem::take(&mut self.piece);
        let mut done = 0;
        while done < length && self.failed.is_none() {
            let bytes = (length - done).min(piece.len() as u64);
            let piece = piece.split_at_mut(bytes as usize).0;
            media(at + done, piece);
            if piece.iter().all(|byte| *byte == 0) {
                self.entry([0, at + done, bytes << 16 | GONE], &[]);
            } else {
                let words = [state::digest_of(piece), at + done, bytes << 16 | PUT];
                self.entry(words, piece);
            }
            done += bytes;
        }
        self.piece = piece;
    }

    fn entry(&mut self, [a, b, c]: [u64; 3], bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        let sum = journal::check([a, b, c], EPOCH, self.entries);
        self.entries += 1;
        let words = [a, b, c, sum].map(u64::to_le_bytes);
        let written = self.to.write_all(words.as_flattened());
        if let Err(error) = written.and_then(|()| self.to.write_all(bytes)) {
            self.fail(error);
        }
    }

    fn fail(&mut self, error: std::io::Error) {
        self.failed.get_or_insert_with(|| Error::write(error));
    }
}

impl<W: Write + Send> Journal for History<W> {
    fn note(&self, what: &Recorded) {
        let mut out = self.out();
        let [a, b, c, _] = journal::encode(what, EPOCH, 0);
        out.entry([a, b, c], &[]);
    }
}

/// What a history says next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// This happened to the drive.
    Happened(Recorded),
    /// These bytes are in the media from here on.
    Put(u64, &'a [u8]),
    /// These read as zeroes.
    Gone(u64, u64),
}

/// Reads a history.
#[derive(Debug)]
pub struct Reader<R> {
    from: BufReader<R>,
    /// Settings of the drive.
    config: Config,
    layout: Layout,
    began: Instant,
    state: Vec<u8>,
    entries: u64,
    piece: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// It is no history, of another version, or damaged.
    pub fn new(from: R) -> Result<Self, Error> {
        let mut from = BufReader::with_capacity(MIB as usize, from);
        let mut start = [0; 40];
        let is_one = from.read_exact(&mut start).is_ok() && start.starts_with(&MAGIC);
        if !is_one {
            return Err(Error::new("it is not the history of a drive"));
        }
        let [_, _, version, length, digest] = words(&start);
        if version != VERSION {
            let of = format!("it is of version {version}, not {VERSION}");
            return Err(Error::new(of));
        }
        let damaged = || Error::new("its header is damaged");
        let mut body = Vec::new();
        let read = from.by_ref().take(length.min(MOST_HEADER));
        let read = { read }.read_to_end(&mut body).map_err(Error::read)?;
        if read as u64 != length || state::digest_of(&body) != digest {
            return Err(damaged());
        }
        let mut body = Decoder::new(&body);
        let mut settings = String::new();
        settings.decode(&mut body)?;
        let began = Instant::from_nanos(body.take()?);
        let mut state = Vec::<u8>::new();
        state.decode(&mut body)?;
        body.end()?;
        let config = ssd::described(&settings)?;
        let layout = Layout::of(&config, &config.plan()?);
        Ok(Self {
            from,
            config,
            layout,
            began,
            state,
            entries: 0,
            piece: vec![0; PIECE],
        })
    }

    /// Settings of the drive.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Bytes of its media, the undo area with them.
    #[must_use]
    pub const fn media(&self) -> u64 {
        self.layout.media
    }

    /// What happened next; `None` at the end, which may be in the middle of an entry.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn entry(&mut self) -> Result<Option<Entry<'_>>, Error> {
        let mut bytes = [0; WORDS as usize * 8];
        if !read_all(&mut self.from, &mut bytes)? {
            return Ok(None);
        }
        let [a, b, c, sum] = words(&bytes);
        let number = self.entries;
        let damaged = || Error::new(format!("its entry {number} is damaged"));
        if journal::check([a, b, c], EPOCH, number) != sum {
            return Err(damaged());
        }
        self.entries += 1;
        let (length, end) = (c >> 16, b.checked_add(c >> 16));
        let fits = || end.is_some_and(|end| end <= self.layout.media);
        match c & 0xff {
            GONE if fits() => Ok(Some(Entry::Gone(b, length))),
            PUT if fits() && length <= PIECE as u64 => {
                let piece = self.piece.split_at_mut(length as usize).0;
                if !read_all(&mut self.from, piece)? {
                    return Ok(None);
                }
                if state::digest_of(piece) != a {
                    return Err(damaged());
                }
                Ok(Some(Entry::Put(b, piece)))
            }
            PUT | GONE => Err(damaged()),
            _ => {
                let what = journal::record([a, b, c]).ok_or_else(damaged)?;
                Ok(Some(Entry::Happened(what)))
            }
        }
    }
}

/// Whether there was so much.
fn read_all(from: &mut impl Read, into: &mut [u8]) -> Result<bool, Error> {
    match from.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(Error::read(error)),
    }
}

/// What a power cut takes of a drive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// All that was volatile.
    #[default]
    All,
    /// Nothing: it has capacitors.
    None,
    /// All that was volatile, and what was being programmed cannot be read.
    Torn,
}

impl Loss {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::All, Self::None, Self::Torn];

    /// As the user says it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::None => "none",
            Self::Torn => "torn",
        }
    }
}

/// A drive as it was, on its way through its history.
#[derive(Debug)]
pub struct Past<R> {
    history: Reader<R>,
    drive: Ssd,
    /// What comes next, if it was read already.
    next: Option<Recorded>,
}

impl<R: Read> Past<R> {
    /// The drive when its history began. Its media is all zeroes: what was there comes first in it.
    ///
    /// # Errors
    /// The state is damaged.
    pub fn of(history: Reader<R>) -> Result<Self, Error> {
        let (drive, _) = ssd::load(&history.config, &history.state)?;
        Ok(Self {
            history,
            drive,
            next: None,
        })
    }

    /// Settings of the drive.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.history.config
    }

    /// When the history began.
    #[must_use]
    pub const fn began(&self) -> Instant {
        self.history.began
    }

    /// Works all that happened before `at`, which is not before what was worked already; `media` is the drive's.
    ///
    /// # Errors
    /// The history is damaged.
    pub fn go_to(&mut self, at: Instant, media: &mut dyn Bytes) -> Result<(), Error> {
        if let Some(what) = self.next.take() {
            self.work(what, at, media);
        }
        while self.next.is_none() {
            match self.history.entry()? {
                None => break,
                Some(Entry::Put(at, bytes)) => media.write(at, bytes),
                Some(Entry::Gone(at, length)) => media.discard(at..at.saturating_add(length)),
                Some(Entry::Happened(what)) => self.work(what, at, media),
            }
        }
        Ok(())
    }

    /// Works what happened, if it did before `until`.
    fn work(&mut self, what: Recorded, until: Instant, media: &mut dyn Bytes) {
        if what.at().is_some_and(|at| at >= until) {
            self.next = Some(what);
            return;
        }
        let drive = self.drive.drive_mut();
        drive.replay(&what, &mut |what| change(media, &what));
        while let Some((from, to)) = drive.take_kept() {
            copy_page(media, from, to);
        }
    }

    /// What a power cut at `at` leaves of the drive; `media`, a copy of the drive's, becomes what it leaves of that.
    /// [`crate::Image::seal`] makes an image of it.
    ///
    /// # Errors
    /// The drive cannot be copied: never, as far as is known.
    pub fn cut(&self, at: Instant, loss: Loss, media: &mut dyn Bytes) -> Result<Ssd, Error> {
        let config = self.config();
        let (mut drive, _) = ssd::load(config, &ssd::save(&self.drive, config))?;
        if loss == Loss::Torn {
            drive.drive_mut().tear();
        }
        match loss {
            Loss::All | Loss::Torn => drive.lose_power(at, &mut |what| change(media, &what)),
            Loss::None => {
                drive.drive_mut().advance(at);
                drive.reset(at);
            }
        }
        Ok(drive)
    }
}
