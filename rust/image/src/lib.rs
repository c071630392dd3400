// SPDX-License-Identifier: GPL-2.0-or-later
//! A drive's file: its data and its state outlive the process.
//!
//! ```text
//!   header      layout, settings of the drive                    written once
//!   live part   which checkpoint counts; journal                 by stores into memory, command by command
//!   checkpoint, checkpoint      ssd::save's state, in turn        every 32 768 commands, when the machine stops
//!   media       namespaces, undo area                            by stores into memory
//! ```
//! The model is deterministic, so the commands with their instants are the journal: the state is that of the checkpoint
//! after these. Each is written before the model works it, and its data after that, and before it is answered. So after
//! the process has been killed at any instant the drive is what a power cut at the latest instant at which anything was
//! answered would have made of it; the undo area has what that takes.
//!
//! That order is one process's. What a crash of the host leaves of the file is the host's business, unless what is promised is
//! brought to its disk ([`Live::answers`]): then the drive is what it was at the latest of these instants.
//!
//! What this crate does not do: it maps no memory and holds no lock.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod error;
mod history;
mod journal;
mod layout;
mod live;

pub use error::Error;
pub use history::{Entry, History, Look, Loss, Past, Reader, EPOCH as HISTORY_EPOCH};
pub use journal::{check, record};
pub use layout::Layout;
pub use live::{Live, Words};

use command::Command;
use core::ops::Range;
use live::Synced;
use nvme::{Drive as _, MediaChange, NsIndex};
use ssd::{Config, Drive, Recorded, Ssd};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use units::{Instant, PAGE_BYTES};

/// Bytes in front of a checkpoint's state: epoch, length, digest, instant.
const SLOT_HEADER: u64 = 32;

/// The media, as a drive that is opened finds it.
pub trait Bytes {
    /// Copies bytes out.
    fn read(&mut self, at: u64, into: &mut [u8]);
    /// Copies bytes in.
    fn write(&mut self, at: u64, from: &[u8]);
    /// Makes bytes read as zeroes.
    fn discard(&mut self, bytes: Range<u64>);
}

/// What a drive is after a process that worked on it was killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterKill {
    /// What a power cut would have left.
    #[default]
    PowerCut,
    /// What it was, with all that was volatile.
    Keep,
}

impl AfterKill {
    /// Both.
    pub const ALL: [Self; 2] = [Self::PowerCut, Self::Keep];

    /// As the user says it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PowerCut => "power-cut",
            Self::Keep => "keep",
        }
    }
}

/// A drive from a file.
#[derive(Debug)]
pub struct Opened {
    /// The drive. Its controller is in the middle of what it was doing: to be reset.
    pub drive: Ssd,
    /// Its configuration.
    pub config: Config,
    /// The latest instant of its life so far.
    pub clock: Instant,
    /// How whoever worked on it last had ended.
    pub end: End,
    /// Commands, and what else happened, since the checkpoint.
    pub records: u64,
}

/// How a process that worked on a drive ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In order: the drive is what it was.
    InOrder,
    /// It was killed.
    Killed,
    /// The host crashed, or was started again after a kill, and what was promised had been brought to its disk: all that was
    /// asked of the drive until then, as by one that programs what it has buffered before its power goes.
    HostCrashed,
}

/// An open file.
#[derive(Debug)]
pub struct Image {
    file: File,
    layout: Layout,
    epoch: u64,
    /// What is left of it after the host crashed.
    synced: Option<Synced>,
}

/// Which of its boots the host is in, as a number that is not 0; none if it does not say.
#[must_use]
pub fn boot() -> Option<u64> {
    let id = fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    Some(state::digest_of(&id).max(1))
}

impl Image {
    /// Makes the file of an erased drive. It is there as a whole or not at all.
    ///
    /// # Errors
    /// There is a file already, it cannot be written, or the configuration makes no drive.
    pub fn create(path: &Path, config: &Config) -> Result<(), Error> {
        Self::create_used(path, config, &mut |_| Ok(Instant::ZERO))
    }

    /// The same of a drive that has been through something; `use_it` says when that ended. All of its bytes read as zeroes.
    ///
    /// # Errors
    /// As for [`Image::create`], or `use_it`'s own, a line.
    pub fn create_used(
        path: &Path,
        config: &Config,
        use_it: &mut dyn FnMut(&mut Drive) -> Result<Instant, String>,
    ) -> Result<(), Error> {
        if path.exists() {
            return Err(Error::new("there is such a file already"));
        }
        let mut config = config.clone();
        config.outlive();
        let plan = config.plan()?;
        let mut drive = ssd::build(&plan)?;
        let now = use_it(drive.drive_mut()).map_err(Error::new)?;
        let layout = Layout::of(&config, &plan);
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".new-{}", std::process::id()));
        let draft = Path::new(&name);
        let made = File::create(draft).map_err(Error::write).and_then(|file| {
            file.set_len(layout.size()).map_err(Error::write)?;
            layout.write(&file)?;
            let mut image = Self {
                file,
                layout,
                epoch: 0,
                synced: None,
            };
            image.seal(&drive, &config, now)?;
            // Unlike a rename this takes no file's place that has come into being meanwhile.
            fs::hard_link(draft, path).map_err(Error::write)
        });
        // Whether there was one or not, it is not needed any more.
        let _ = fs::remove_file(draft);
        made
    }

    /// Opens a file, which the caller has locked if it is to be written.
    ///
    /// # Errors
    /// It is no image, of another version, or damaged.
    pub fn open(path: &Path, writes: bool) -> Result<Self, Error> {
        let file = OpenOptions::new().read(true).write(writes).open(path);
        let file = file.map_err(|e| Error::new(format!("it cannot be opened: {e}")))?;
        Self::of(file)
    }

    /// The same for a file that is open.
    ///
    /// # Errors
    /// As for [`Image::open`].
    pub fn of(file: File) -> Result<Self, Error> {
        let layout = Layout::read(&file)?;
        let mut image = Self {
            file,
            layout,
            epoch: 0,
            synced: None,
        };
        image.epoch = image.word(live::EPOCH)?;
        image.synced = image.synced()?;
        if let Some(synced) = image.synced {
            image.epoch = synced.epoch;
        }
        Ok(image)
    }

    /// What is on the host's disk for certain, if nobody ended in order before it was booted again.
    fn synced(&self) -> Result<Option<Synced>, Error> {
        let of = self.word(live::BOOT)?;
        if of == 0 || boot() == Some(of) || self.word(live::CLEAN)? == 1 {
            return Ok(None);
        }
        let mut latest = None;
        for at in live::SYNCED {
            let mut words = [0; 4];
            for (word, at) in words.iter_mut().zip(at..) {
                *word = self.word(at)?;
            }
            latest = latest.max(Synced::of(words));
        }
        Ok(latest)
    }

    /// The file.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Where things are in it.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The drive's settings.
    ///
    /// # Errors
    /// This version has no such settings.
    pub fn config(&self) -> Result<Config, Error> {
        Ok(ssd::described(&self.layout.settings)?)
    }

    /// The drive as it was when nobody worked on it any more; `media` is brought in line with it. `asked` are settings that
    /// it is to have, as far as they can be changed.
    ///
    /// # Errors
    /// The file is damaged, or not of such a drive: one line. The media may have changed only where the drive did not answer
    /// for it.
    pub fn load(
        &self,
        asked: &Config,
        after: AfterKill,
        media: &mut dyn Bytes,
    ) -> Result<Opened, Error> {
        let config = ssd::adopt(&self.config()?, asked)?;
        let own = self.config()?;
        let (has, wants) = (self.layout.sizes(), Layout::of(&own, &own.plan()?).sizes());
        if has != wants {
            // Who believed it would ask for any amount of memory.
            let of = format!("its header says sizes of {has:?}, those of its drive are {wants:?}");
            return Err(Error::new(of));
        }
        let places = config.plan()?.layout;
        let (state, since) = self.state()?;
        let (drive, config) = ssd::load(&config, &state)?;
        let mut opened = Opened {
            drive,
            config,
            clock: since,
            end: match (self.synced, self.word(live::CLEAN)?) {
                (Some(_), _) => End::HostCrashed,
                (None, 1) => End::InOrder,
                (None, _) => End::Killed,
            },
            records: 0,
        };
        if let Some(synced) = self.synced {
            self.replay(&mut opened, media)?;
            if opened.records < synced.records {
                return Err(Error::new("its journal is damaged"));
            }
            let now = opened.clock;
            opened.clock = settle(opened.drive.drive_mut(), now);
        } else if opened.end == End::Killed {
            if self.word(live::FULL)? != 0 {
                return Err(Error::new(
                    "its journal is not complete: there was no room for it",
                ));
            }
            self.replay(&mut opened, media)?;
            if after == AfterKill::PowerCut {
                let at = opened.clock;
                opened
                    .drive
                    .lose_power(at, &mut |what| change(media, &what));
            }
        }
        discard_unwritten(opened.drive.drive(), places.undo, media);
        // Live settings that were asked for, now that those of its life so far are known.
        opened.config = ssd::adopt(&opened.config, asked)?;
        opened.drive.drive_mut().set_times(&opened.config.plan()?);
        Ok(opened)
    }

    /// What happened since the checkpoint, in order.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn records(&self) -> Result<Vec<Recorded>, Error> {
        let mut records = Vec::new();
        self.each_record(|what| records.push(*what))?;
        Ok(records)
    }

    fn each_record(&self, mut each: impl FnMut(&Recorded)) -> Result<(), Error> {
        const BYTES: usize = 32;
        let (live, _) = self.layout.live();
        let start = live + Layout::journal_word() * 8;
        let records = self.synced.map_or(self.layout.records, |to| to.records);
        let records = records.min(self.layout.records);
        let mut piece = vec![0; 1 << 16];
        let mut index = 0;
        while index < records {
            let most = ((records - index) as usize).saturating_mul(BYTES);
            let piece = piece.split_at_mut(most.min(1 << 16)).0;
            let at = start + index * BYTES as u64;
            self.file.read_exact_at(piece, at).map_err(Error::read)?;
            for record in piece.chunks_exact(BYTES) {
                let Some(what) = journal::decode(words(record), self.epoch, index) else {
                    return Ok(());
                };
                each(&what);
                index += 1;
            }
        }
        Ok(())
    }

    /// Works the journal. Of the last command's records bytes may not be where they belong:
    ///
    /// - old ones may not have been put aside: then none of the media has changed since;
    /// - new ones may be there in part: a write that was not answered has not happened, and old ones come back;
    /// - what a power cut made of the media may not have been done: it can be done again.
    fn replay(&self, opened: &mut Opened, media: &mut dyn Bytes) -> Result<(), Error> {
        let (kept, moved, clock) = match self.synced {
            // All of them; what they put aside may be gone since.
            Some(synced) => (u64::MAX, u64::MAX, synced.clock),
            None => (
                self.word(live::KEPT)?,
                self.word(live::MOVED)?,
                self.word(live::CLOCK)?,
            ),
        };
        opened.clock = opened.clock.max(Instant::from_nanos(clock));
        let mut cut = Vec::new();
        self.each_record(|what| {
            cut.clear();
            let drive = opened.drive.drive_mut();
            let is_kept = opened.records < kept;
            let before = (opened.records >= moved && is_write(what)).then(|| drive.clone());
            drive.replay(what, &mut |change| cut.push(change));
            while let Some((from, to)) = drive.take_kept() {
                match (&before, is_kept) {
                    (None, true) | (Some(_), false) => {}
                    (None, false) => copy_page(media, from, to),
                    (Some(_), true) => copy_page(media, to, from),
                }
            }
            if let Recorded::Command { command, at, .. } = what {
                opened.clock = opened.clock.max(*at);
                if before.is_none() {
                    opened.drive.count_worked(command);
                }
            }
            if let Some(before) = before {
                *opened.drive.drive_mut() = before;
            }
            opened.records += 1;
        })?;
        for what in &cut {
            change(media, what);
        }
        Ok(())
    }

    /// The state of the checkpoint that counts, and its instant.
    fn state(&self) -> Result<(Vec<u8>, Instant), Error> {
        let at = self.layout.slot_of(self.epoch);
        let mut header = [0; SLOT_HEADER as usize];
        let read = |into: &mut [u8], at| self.file.read_exact_at(into, at).map_err(Error::read);
        read(&mut header, at)?;
        let [epoch, length, digest, clock] = words(&header);
        let damaged = || Error::new("its checkpoint is damaged");
        if epoch != self.epoch || length > self.layout.slot - SLOT_HEADER {
            return Err(damaged());
        }
        let mut state = Vec::new();
        let length = usize::try_from(length).map_err(|_| damaged())?;
        state.try_reserve_exact(length).map_err(|_| damaged())?;
        state.resize(length, 0);
        read(&mut state, at + SLOT_HEADER)?;
        if state::digest_of(&state) != digest {
            return Err(damaged());
        }
        Ok((state, Instant::from_nanos(clock)))
    }

    /// Writes the drive's state as it is at `now` and begins another journal. With `is_clean` nobody works on it until
    /// [`Live::works`].
    ///
    /// # Errors
    /// The state does not fit or cannot be written; then the checkpoint before and its journal still count.
    pub fn checkpoint<W: Words>(
        &mut self,
        drive: &Ssd,
        config: &Config,
        live: &Live<W>,
        (now, is_clean): (Instant, bool),
    ) -> Result<(), Error> {
        let epoch = self.epoch + 1;
        let state = ssd::save(drive, config);
        put_state(&self.file, &self.layout, epoch, &state, now)?;
        if !live.turn_to(epoch, now, is_clean) {
            return Err(Error::new("it cannot be brought to the host's disk"));
        }
        self.epoch = epoch;
        self.synced = None;
        Ok(())
    }

    /// Writes the state of a drive that nobody works on, as all there is; its media is in the file.
    ///
    /// # Errors
    /// As for [`Image::checkpoint`].
    pub fn seal(&mut self, drive: &Ssd, config: &Config, now: Instant) -> Result<(), Error> {
        let epoch = self.epoch + 1;
        put_state(
            &self.file,
            &self.layout,
            epoch,
            &ssd::save(drive, config),
            now,
        )?;
        put_word(&self.file, &self.layout, live::EPOCH, epoch)?;
        put_word(&self.file, &self.layout, live::CLEAN, 1)?;
        self.epoch = epoch;
        Ok(())
    }

    fn word(&self, which: u64) -> Result<u64, Error> {
        get_word(&self.file, &self.layout, which)
    }
}

/// Programs all that is buffered, so that nothing depends on bytes that were put aside; until when that takes.
fn settle(drive: &mut Drive, now: Instant) -> Instant {
    drive.advance(now);
    let count = drive.namespaces().len();
    let flushed = (0..count).filter_map(|ns| {
        let ns = NsIndex(u8::try_from(ns).ok()?);
        Some(drive.submit(ns, &Command::Flush, now).done)
    });
    let end = flushed.max().map_or(now, |done| done.max(now));
    drive.advance(end);
    end
}

/// Whether it brings new bytes into the media. (Zeroes are there once what holds nothing has been discarded.)
const fn is_write(what: &Recorded) -> bool {
    matches!(
        what,
        Recorded::Command {
            command: Command::Write { .. } | Command::Append { .. },
            ..
        } | Recorded::Uncorrectable { is_set: true, .. }
    )
}

fn put_state(
    file: &File,
    layout: &Layout,
    epoch: u64,
    state: &[u8],
    now: Instant,
) -> Result<(), Error> {
    let length = state.len() as u64;
    if length > layout.slot - SLOT_HEADER {
        let most = layout.slot - SLOT_HEADER;
        let of = format!("its state has {length} bytes, there is room for {most}");
        return Err(Error::new(of));
    }
    let at = layout.slot_of(epoch);
    let write = |bytes: &[u8], at| file.write_all_at(bytes, at).map_err(Error::write);
    write(state, at + SLOT_HEADER)?;
    let header = [epoch, length, state::digest_of(state), now.as_nanos()];
    write(header.map(u64::to_le_bytes).as_flattened(), at)
}

fn put_word(file: &File, layout: &Layout, which: u64, word: u64) -> Result<(), Error> {
    let at = layout.live().0 + which * 8;
    file.write_all_at(&word.to_le_bytes(), at)
        .map_err(Error::write)
}

fn get_word(file: &File, layout: &Layout, which: u64) -> Result<u64, Error> {
    let mut bytes = [0; 8];
    let at = layout.live().0 + which * 8;
    file.read_exact_at(&mut bytes, at).map_err(Error::read)?;
    Ok(u64::from_le_bytes(bytes))
}

fn change(media: &mut dyn Bytes, what: &MediaChange) {
    match what {
        MediaChange::Gone(bytes) => media.discard(bytes.clone()),
        MediaChange::Restored { from, to } => copy_page(media, *from, *to),
    }
}

fn copy_page(media: &mut dyn Bytes, from: u64, to: u64) {
    let mut page = [0; PAGE_BYTES as usize];
    media.read(from, &mut page);
    media.write(to, &page);
}

/// What the model says holds nothing reads as zeroes, up to `end`, also where a command had not come so far.
fn discard_unwritten(drive: &ssd::Drive, end: u64, media: &mut dyn Bytes) {
    let mut at = 0;
    for written in drive.written() {
        if at < written.start.min(end) {
            media.discard(at..written.start.min(end));
        }
        at = at.max(written.end);
    }
    if at < end {
        media.discard(at..end);
    }
}

/// Words of 64 bits, little-endian, from bytes that are as many.
fn words<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = bytes.first_chunk().copied().map_or(0, u64::from_le_bytes);
    }
    words
}
