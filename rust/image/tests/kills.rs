// SPDX-License-Identifier: GPL-2.0-or-later
//! A process that works on an image is killed between any two of its stores: the drive that is opened then has all that was
//! acknowledged as durable, nothing else than was written, and is what its own model would have been.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

#[path = "../../ssd/tests/common/mod.rs"]
mod common;
mod memory;

use ::command::{Command, Error, ZoneAction, ZoneTarget};
use common::{version_of, write_versions, PAGE};
use image::{AfterKill, End, Image, Layout, Live, Opened, Words};
use memory::Memory;
use nvme::{Drive as _, SanitizeStatus};
use nvme_spec::{AdminOpcode, NvmOpcode, WireZoneAction};
use ssd::{Config, Drive, Journal, Recorded, PRESETS};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use testkit::{command, Change, Guest, Watch};
use units::{Instant, Nanos};

/// Zone Invalid Write, and that another try would not help.
const INVALID_WRITE: u16 = 0x61bc;
/// Pages of each namespace, or zone, that are written.
const HOT: u64 = 24;
/// Versions are numbered in the first bytes of each page; 0 is none.
type Version = u64;
type Page = (u32, u64);

fn small(preset: &str) -> Config {
    common::config(preset, &common::fitting(preset, &[], &common::SMALL))
}

/// The live part in memory: what it would be after a kill.
#[derive(Debug, Default)]
struct Stored {
    words: BTreeMap<u64, u64>,
    /// Stores to come before the kill.
    fuse: u64,
    /// The words at the kill, once it has happened, and the media, once that was seen.
    killed: Option<BTreeMap<u64, u64>>,
    media: Option<Vec<u8>>,
    /// What is on the host's disk: words, and the media but for pages that changed since.
    synced: BTreeMap<u64, u64>,
    on_disk: Vec<u8>,
    changed: BTreeSet<usize>,
    is_synced: bool,
}

impl Stored {
    /// One store is about to happen.
    fn burn(&mut self) {
        if self.killed.is_none() {
            if self.fuse == 0 {
                self.killed = Some(self.words.clone());
            }
            self.fuse = self.fuse.saturating_sub(1);
        }
    }

    /// The media as it is before any change after a sync.
    fn see(&mut self, media: &[u8]) {
        if std::mem::take(&mut self.is_synced) {
            for page in std::mem::take(&mut self.changed) {
                let bytes = page * PAGE..(page + 1) * PAGE;
                self.on_disk[bytes.clone()].copy_from_slice(&media[bytes]);
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Stores(Arc<Mutex<Stored>>);

impl Words for Stores {
    fn store(&self, at: u64, word: u64) {
        let mut stored = self.0.lock().unwrap();
        stored.burn();
        stored.words.insert(at, word);
    }

    fn sync(&self) -> bool {
        let mut stored = self.0.lock().unwrap();
        if stored.killed.is_none() {
            stored.synced = stored.words.clone();
            stored.is_synced = true;
        }
        true
    }
}

/// A file of this test's.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("conzone-{name}-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[derive(Clone, Debug, Default)]
struct Known {
    written: Vec<Version>,
    /// How many of them were answered, and as durable.
    answered: usize,
    durable: usize,
    /// How many of them a reset of the zone has dropped.
    dropped: usize,
}

/// A guest with a drive from an image.
struct Bench {
    file: Scratch,
    config: Config,
    image: Image,
    live: Arc<Live<Stores>>,
    memory: Stores,
    guest: Guest<Drive>,
    buffer: u64,
    random: fastrand::Rng,
    version: Version,
    /// Versions that cannot be read.
    marked: BTreeSet<Version>,
    pages: BTreeMap<Page, Known>,
    /// Commands in flight: what they write, or make durable, and whether they make it durable.
    asked: BTreeMap<u16, (Vec<(Page, usize)>, bool)>,
}

impl Bench {
    fn new(preset: &str, seed: u64) -> Self {
        Self::hosted(preset, seed, None)
    }

    /// On a host whose disk has what was promised.
    fn hosted(preset: &str, seed: u64, boot: Option<u64>) -> Self {
        let file = Scratch::new(&format!("kill-{preset}-{seed}-{}", boot.unwrap_or(0)));
        let mut config = small(preset);
        if seed % 2 == 1 {
            config.set("timing", "off").unwrap();
        }
        Image::create(&file.0, &config).unwrap();
        let mut image = Image::open(&file.0, true).unwrap();
        let mut media = vec![0; image.layout().media as usize];
        let opened = image
            .load(&config, AfterKill::PowerCut, &mut Memory(&mut media))
            .unwrap();
        assert_eq!(opened.end, End::InOrder);
        Self::with(file, &mut image, opened, media, (seed, boot))
    }

    fn with(
        file: Scratch,
        image: &mut Image,
        opened: Opened,
        media: Vec<u8>,
        (seed, boot): (u64, Option<u64>),
    ) -> Self {
        let memory = Stores::default();
        memory.0.lock().unwrap().fuse = u64::MAX;
        let mut image = Image::open(&file.0, true)
            .inspect(|_| assert!(image.layout().media > 0))
            .unwrap();
        let live = Arc::new(Live::new(memory.clone(), image.layout(), boot));
        let Opened {
            mut drive,
            config,
            clock,
            ..
        } = opened;
        drive.reset(clock);
        drive.drive_mut().add_journal(live.clone());
        image
            .checkpoint(&drive, &config, &live, (clock, false))
            .unwrap();
        let mut guest = Guest::with(drive, 4 << 20, media);
        guest.host.clock = clock;
        guest.budget = 512;
        let (seen, words) = (memory.clone(), live.clone());
        memory
            .0
            .lock()
            .unwrap()
            .on_disk
            .clone_from(&guest.host.media);
        guest.host.watch = Some(Watch(Arc::new(move |media: &[u8], next| {
            let is_on_disk = match next {
                Change::Answer => words.answers(),
                Change::Bytes => words.moves(),
                _ => true,
            };
            assert!(is_on_disk);
            let mut stored = seen.0.lock().unwrap();
            stored.see(media);
            if let (None, Change::New(at, bytes)) = (&stored.killed, next) {
                let pages = at as usize / PAGE..(at + bytes).div_ceil(PAGE as u64) as usize;
                stored.changed.extend(pages);
            }
            drop(stored);
            match next {
                Change::Answer => return,
                Change::Kept => return words.kept(),
                Change::Moved => return words.moved(),
                Change::New(..) => return,
                Change::Bytes => {}
            }
            let mut stored = seen.0.lock().unwrap();
            if stored.killed.is_some() && stored.media.is_none() {
                stored.media = Some(media.to_vec());
            }
            if stored.killed.is_none() {
                stored.burn();
                if stored.killed.is_some() {
                    stored.media = Some(media.to_vec());
                }
            }
        })));
        let mut bench = Self {
            file,
            config,
            image,
            live,
            memory,
            buffer: guest.alloc(16 * PAGE as u64),
            guest,
            random: fastrand::Rng::with_seed(seed),
            version: 0,
            marked: BTreeSet::new(),
            pages: BTreeMap::new(),
            asked: BTreeMap::new(),
        };
        while !bench.guest.enable() {
            let wake = bench.guest.host.wake.unwrap();
            bench.guest.host.clock = wake;
            bench.guest.run();
        }
        assert!(bench.guest.create_queues(1, 16));
        bench
    }

    fn checkpoint(&mut self) {
        let now = (self.guest.host.clock, false);
        self.image
            .checkpoint(&self.guest.controller, &self.config, &self.live, now)
            .unwrap();
        self.memory.0.lock().unwrap().see(&self.guest.host.media);
    }

    fn run(&mut self) {
        self.live.works(self.guest.host.clock);
        self.guest.run();
    }

    fn write(&mut self, nsid: u32, first: u64, pages: u64, fua: bool) {
        let mut now = Vec::new();
        let versions = self.version + 1..self.version + 1 + pages;
        for page in first..first + pages {
            self.version += 1;
            let known = self.pages.entry((nsid, page)).or_default();
            known.written.push(self.version);
            now.push(((nsid, page), known.written.len()));
        }
        self.live.works(self.guest.host.clock);
        let place = (nsid, first);
        let cid = write_versions(&mut self.guest, self.buffer, place, versions, fua);
        self.asked.insert(cid, (now, fua));
    }

    fn flush(&mut self, nsid: u32) {
        let all = self.pages.iter().filter(|(key, _)| key.0 == nsid);
        let all = all.map(|(key, known)| (*key, known.answered)).collect();
        self.live.works(self.guest.host.clock);
        let cid = self
            .guest
            .submit(1, command::plain(NvmOpcode::Flush as u8, nsid));
        self.asked.insert(cid, (all, true));
    }

    /// Lets time pass, and takes what is answered.
    fn pass(&mut self, nanos: u64) {
        let end = self.guest.host.clock + Nanos::new(nanos);
        while let Some(at) = self.guest.host.wake.filter(|at| *at <= end) {
            self.guest.host.wake = None;
            self.guest.host.clock = self.guest.host.clock.max(at);
            self.run();
        }
        self.guest.host.clock = end;
        self.run();
        while let Some(cqe) = self.guest.poll(1) {
            let (asked, is_durable) = self.asked.remove(&cqe.cid).unwrap();
            // The zone may have been further than was known.
            if cqe.status == INVALID_WRITE {
                continue;
            }
            assert_eq!(cqe.status, 0);
            for (key, n) in asked {
                let known = self.pages.get_mut(&key).unwrap();
                known.answered = known.answered.max(n);
                if is_durable && n > known.dropped {
                    known.durable = known.durable.max(n);
                }
            }
        }
    }

    /// Write Uncorrectable, unless a page may have become such a version already.
    fn mark(&mut self, nsid: u32, first: u64, pages: u64) {
        let mut now = Vec::new();
        for page in first..first + pages {
            let known = self.pages.entry((nsid, page)).or_default();
            if known.written.iter().any(|v| self.marked.contains(v)) {
                return;
            }
        }
        for page in first..first + pages {
            self.version += 1;
            self.marked.insert(self.version);
            let known = self.pages.entry((nsid, page)).or_default();
            known.written.push(self.version);
            now.push(((nsid, page), known.written.len()));
        }
        let sectors = pages as u32 * 8;
        let sqe = command::blocks(NvmOpcode::WriteUncorrectable, nsid, first * 8, sectors);
        self.live.works(self.guest.host.clock);
        let cid = self.guest.submit(1, sqe);
        self.asked.insert(cid, (now, false));
    }

    /// One thing that a guest does.
    fn act(&mut self) {
        let spaces: Vec<_> = (1..)
            .zip(self.guest.controller.drive().namespaces())
            .collect();
        let (nsid, info) = spaces[self.random.usize(..spaces.len())];
        let zoned = info.zoned.clone();
        match (zoned, self.random.u32(..12)) {
            (_, 0) => self.flush(nsid),
            (None, 11) => {
                let pages = self.random.u64(1..=8);
                let first = self.random.u64(..HOT - pages);
                self.mark(nsid, first, pages);
            }
            (None, n) => {
                let pages = self.random.u64(1..=8);
                let first = self.random.u64(..HOT - pages);
                self.write(nsid, first, pages, n < 5);
            }
            (Some(zoned), n) => self.act_on_zone(nsid, zoned.zone_size.get() / 512, n),
        }
        let longest = [60_000, 60_000, 60_000, 8_000_000][self.random.usize(..4)];
        let nanos = self.random.u64(1..=longest);
        self.pass(nanos);
        if self.asked.len() > 12 {
            self.pass(50_000_000);
        }
    }

    fn act_on_zone(&mut self, nsid: u32, zone_size: u64, n: u32) {
        let zone = self.random.u64(..2);
        let ns = nvme::NsIndex(nsid as u8 - 1);
        let report = self
            .guest
            .controller
            .drive()
            .zone(ns, units::ZoneId::new(zone as u32))
            .unwrap();
        let written = report.write_pointer.get() - report.start.get();
        let pages = self.random.u64(1..=8);
        if n == 2 || written / 8 + pages > HOT * 8 {
            // Nothing of it may be in flight.
            self.pass(50_000_000);
            self.live.works(self.guest.host.clock);
            let reset = command::zone_send(nsid, zone * zone_size, WireZoneAction::Reset, false);
            let cid = self.guest.submit(1, reset);
            self.asked.insert(cid, (Vec::new(), false));
            let first = zone * zone_size / 8;
            for page in first..first + zone_size / 8 {
                if let Some(known) = self.pages.get_mut(&(nsid, page)) {
                    known.durable = 0;
                    known.dropped = known.written.len();
                }
            }
        } else if n == 11 {
            self.mark(nsid, report.write_pointer.get() / 8, pages);
        } else {
            self.write(nsid, report.write_pointer.get() / 8, pages, n < 6);
        }
    }

    /// Acts until the process is killed: what the guest knows of its pages then, and what `take` says is left of the media.
    fn act_until(
        &mut self,
        take: fn(&mut Self) -> Option<Vec<u8>>,
    ) -> (BTreeMap<Page, Known>, Vec<u8>) {
        self.memory.0.lock().unwrap().fuse = 20 + self.random.u64(..1500);
        let mut known = self.pages.clone();
        for n in 0..400 {
            self.act();
            if let Some(media) = take(self) {
                self.add_unanswered(&mut known);
                return (known, media);
            }
            known = self.pages.clone();
            if n % 60 == 59 {
                self.checkpoint();
            }
        }
        panic!("{:?} has too few stores", self.file.0)
    }

    /// What the guest was writing when the process was killed may be there, too.
    fn add_unanswered(&self, known: &mut BTreeMap<Page, Known>) {
        for (key, now) in &self.pages {
            let before = known.entry(*key).or_default();
            before.written.clone_from(&now.written);
            // Unless it was resetting the zone.
            before.durable = before.durable.min(now.durable);
        }
    }

    /// What is on the disk when the host crashes, which happens when the process is killed, if that has happened: of
    /// each sector and page what was there for certain, or what it was last.
    fn take_crash(&mut self) -> Option<Vec<u8>> {
        let mut stored = self.memory.0.lock().unwrap();
        let mut synced: BTreeMap<_, _> =
            stored.killed.as_ref()?.keys().map(|at| (*at, 0)).collect();
        synced.extend(&stored.synced);
        let changed = std::mem::take(&mut stored.changed);
        drop(stored);
        let mut media = self.take_kill()?;
        let mut is_old = fastrand::Rng::with_seed(self.random.u64(..));
        let sectors: BTreeMap<_, _> = synced.keys().map(|at| (at / 64, is_old.bool())).collect();
        synced.retain(|at, _| sectors[&(at / 64)]);
        put_words(self.image.file(), self.image.layout(), &synced);
        let stored = self.memory.0.lock().unwrap();
        for page in changed.into_iter().filter(|_| is_old.bool()) {
            let bytes = page * PAGE..(page + 1) * PAGE;
            media[bytes.clone()].copy_from_slice(&stored.on_disk[bytes]);
        }
        drop(stored);
        Some(media)
    }

    /// What is in the file after the kill, if it has happened.
    fn take_kill(&mut self) -> Option<Vec<u8>> {
        let mut stored = self.memory.0.lock().unwrap();
        let words = stored.killed.take()?;
        stored.fuse = u64::MAX;
        let media = stored.media.take();
        drop(stored);
        put_words(self.image.file(), self.image.layout(), &words);
        Some(media.unwrap_or_else(|| self.guest.host.media.clone()))
    }

    /// What is written is one whole version, not older than what was acknowledged before.
    fn check(&self, opened: &Opened, media: &[u8], known: &BTreeMap<Page, Known>) -> usize {
        let mut older = 0;
        let infos = opened.drive.drive().namespaces();
        let mut reader = opened.drive.drive().clone();
        for ((nsid, page), known) in known {
            let info = &infos[*nsid as usize - 1];
            let start = info.media_offset as usize + *page as usize * PAGE;
            let version = version_of(&media[start..start + PAGE]);
            let mut version = version.unwrap_or_else(|| panic!("page {page} of {nsid} is torn"));
            let ns = nvme::NsIndex(*nsid as u8 - 1);
            let at = units::Sector::new(page * 8);
            let answer = reader.submit(ns, &Command::read(at, 8), opened.clock);
            if answer.result.is_err() {
                assert_eq!(answer.result, Err(Error::Unreadable(at)));
                // What was written after the last sync may be there.
                assert!(version == 0 || opened.end == End::HostCrashed);
                let marked = known.written.iter().find(|v| self.marked.contains(v));
                version = *marked.unwrap();
            }
            if let Some(zoned) = &info.zoned {
                let zone = page * PAGE as u64 / zoned.zone_size.get();
                let zone = units::ZoneId::new(zone as u32);
                let report = opened.drive.drive().zone(ns, zone).unwrap();
                let is_written = page * 8 < report.write_pointer.get();
                assert_eq!(version > 0, is_written, "page {page} of {nsid}: {report:?}");
            }
            let place = match version {
                0 => 0,
                _ => 1 + known.written.iter().position(|v| *v == version).unwrap(),
            };
            assert!(
                place >= known.durable,
                "page {page} of {nsid} has version {place} of {known:?}"
            );
            older += usize::from(place < known.answered);
        }
        older
    }
}

fn put_words(file: &File, layout: &Layout, words: &BTreeMap<u64, u64>) {
    for (at, word) in words {
        file.write_all_at(&word.to_le_bytes(), layout.live().0 + at * 8)
            .unwrap();
    }
}

#[test]
fn what_was_acknowledged_as_durable_is_there_after_a_kill_between_any_two_stores() {
    for preset in PRESETS {
        let mut older = 0;
        for seed in 0..12 {
            let mut bench = Bench::new(preset.name, seed);
            let (known, mut media) = bench.act_until(Bench::take_kill);
            let image = Image::open(&bench.file.0, false).unwrap();
            let open = |media: &mut Vec<u8>| {
                image
                    .load(&bench.config, AfterKill::PowerCut, &mut Memory(media))
                    .unwrap()
            };
            let opened = open(&mut media);
            assert_eq!(opened.end, End::Killed);
            older += bench.check(&opened, &media, &known);
            opened.drive.drive().model().check_invariants().unwrap();
            // Who is killed while he opens it finds the same.
            let before = media.clone();
            let again = open(&mut media);
            let end = opened.config.plan().unwrap().layout.undo as usize;
            assert!(media[..end] == before[..end] && again.clock == opened.clock);
            assert_eq!(
                ssd::save(&again.drive, &bench.config),
                ssd::save(&opened.drive, &bench.config)
            );
        }
        assert_eq!(
            older > 0,
            preset.name != "nvm-optane",
            "{}: {older}",
            preset.name
        );
    }
}

#[test]
fn what_was_acknowledged_as_durable_is_there_after_a_crash_of_the_host() {
    const BOOT: u64 = 7;
    for preset in PRESETS {
        let mut older = 0;
        for seed in 0..10 {
            let mut bench = Bench::hosted(preset.name, seed, Some(BOOT));
            let (known, mut media) = bench.act_until(Bench::take_crash);
            let mut image = Image::open(&bench.file.0, true).unwrap();
            let after = AfterKill::ALL[usize::from(seed % 2 == 0)];
            let opened = image.load(&bench.config, after, &mut Memory(&mut media));
            let opened = opened.unwrap();
            assert_eq!(opened.end, End::HostCrashed);
            older += bench.check(&opened, &media, &known);
            opened.drive.drive().model().check_invariants().unwrap();
            // It goes on; nothing that comes depends on what was put aside before.
            let file = std::mem::replace(&mut bench.file, Scratch(PathBuf::new()));
            let clock = opened.clock;
            let mut next = Bench::with(file, &mut image, opened, media, (seed, Some(BOOT)));
            let cut = next.guest.host.clock.max(clock);
            next.guest.controller.lose_power(cut, &mut |what| {
                let is_back = matches!(what, nvme::MediaChange::Restored { .. });
                assert!(!is_back, "{}: {what:?}", preset.name);
            });
        }
        assert!(older > 0, "{}", preset.name);
    }
}

#[test]
fn the_journal_makes_of_the_checkpoint_the_drive_that_it_was() {
    for preset in PRESETS {
        let mut bench = Bench::new(preset.name, 11);
        for n in 0..300 {
            bench.act();
            if n == 100 {
                bench.checkpoint();
            }
        }
        assert!(bench.live.noted() > 150);
        let words = bench.memory.0.lock().unwrap().words.clone();
        put_words(bench.image.file(), bench.image.layout(), &words);
        let mut media = bench.guest.host.media.clone();
        let mut opened = bench
            .image
            .load(&bench.config, AfterKill::Keep, &mut Memory(&mut media))
            .unwrap();
        assert_eq!(
            (opened.records, opened.clock),
            (bench.live.noted(), bench.guest.host.clock)
        );
        let now = opened.clock;
        let drive = opened.drive.drive_mut();
        drive.advance(now);
        bench.guest.controller.drive_mut().advance(now);
        assert_eq!(
            state::encode(drive),
            state::encode(bench.guest.controller.drive()),
            "{}",
            preset.name
        );
        assert!(media == bench.guest.host.media);
        let records: Vec<Recorded> = bench.image.records().unwrap();
        let is_mark = |what: &Recorded| matches!(what, Recorded::Uncorrectable { .. });
        assert!(records.iter().any(is_mark));
        assert_eq!(records.len() as u64, bench.live.noted());
    }
}

#[test]
fn a_sanitize_operation_goes_on_in_another_process() {
    for (after, steps) in [
        (AfterKill::PowerCut, 0),
        (AfterKill::PowerCut, 3),
        (AfterKill::Keep, 3),
    ] {
        let mut bench = Bench::new("tlc-zoned", 4);
        for _ in 0..60 {
            bench.act();
        }
        assert!(bench.guest.host.media.iter().any(|byte| *byte != 0));
        bench.guest.budget = 4;
        bench.live.works(bench.guest.host.clock);
        let mut sqe = command::plain(AdminOpcode::Sanitize.wire(), 0);
        sqe.cdw[0] = 2;
        bench.guest.submit(0, sqe);
        for _ in 0..steps {
            bench.run();
        }
        let words = bench.memory.0.lock().unwrap().words.clone();
        put_words(bench.image.file(), bench.image.layout(), &words);
        let mut media = bench.guest.host.media.clone();
        let mut image = Image::open(&bench.file.0, true).unwrap();
        let opened = image.load(&bench.config, after, &mut Memory(&mut media));
        let opened = opened.unwrap();
        let status = |drive: &Drive| drive.sanitized().status;
        assert_eq!(status(opened.drive.drive()), SanitizeStatus::InProgress);
        let mut bench = Bench::with(bench.file, &mut image, opened, media, (4, None));
        while status(bench.guest.controller.drive()) == SanitizeStatus::InProgress {
            assert!(bench.guest.wake());
        }
        assert!(bench.guest.host.media.iter().all(|byte| *byte == 0));
        let drive = bench.guest.controller.drive();
        assert_eq!(
            (status(drive), drive.is_blank()),
            (SanitizeStatus::Completed, true)
        );
    }
}

#[test]
fn an_orderly_end_loses_nothing_and_time_goes_on() {
    let mut bench = Bench::new("tlc-block", 5);
    for _ in 0..50 {
        bench.act();
    }
    let now = bench.guest.host.clock;
    bench
        .image
        .checkpoint(
            &bench.guest.controller,
            &bench.config,
            &bench.live,
            (now, true),
        )
        .unwrap();
    let words = bench.memory.0.lock().unwrap().words.clone();
    put_words(bench.image.file(), bench.image.layout(), &words);
    let mut media = bench.guest.host.media.clone();
    let mut image = Image::open(&bench.file.0, true).unwrap();
    let opened = image
        .load(&bench.config, AfterKill::PowerCut, &mut Memory(&mut media))
        .unwrap();
    assert_eq!((opened.end, opened.clock), (End::InOrder, now));
    assert!(media == bench.guest.host.media);
    assert_eq!(
        state::encode(opened.drive.drive()),
        state::encode(bench.guest.controller.drive())
    );
    let file = std::mem::replace(&mut bench.file, Scratch(PathBuf::new()));
    let mut next = Bench::with(file, &mut image, opened, media, (6, None));
    assert!(next.guest.host.clock >= now && now > Instant::ZERO);
    next.pages.clone_from(&bench.pages);
    next.version = bench.version;
    next.act();
    // The first thing that happens makes it one that was not ended in order.
    assert_eq!(next.memory.0.lock().unwrap().words.get(&1), Some(&0));
}

#[test]
fn a_journal_without_room_says_so() {
    let bench = Bench::new("nvm-optane", 1);
    for _ in bench.live.noted()..bench.image.layout().records {
        bench.live.note(&Recorded::PowerCut(Instant::ZERO));
    }
    let words = |bench: &Bench| bench.memory.0.lock().unwrap().words.clone();
    assert_eq!(words(&bench).get(&4), Some(&0));
    bench.live.note(&Recorded::PowerCut(Instant::ZERO));
    assert_eq!(words(&bench).get(&4), Some(&1));
    put_words(bench.image.file(), bench.image.layout(), &words(&bench));
    let image = Image::open(&bench.file.0, false).unwrap();
    let mut media = bench.guest.host.media.clone();
    let error = image
        .load(&bench.config, AfterKill::Keep, &mut Memory(&mut media))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "its journal is not complete: there was no room for it"
    );
}

/// Something that a drive could be told, or could not.
fn anything(random: &mut fastrand::Rng) -> Recorded {
    let place = |random: &mut fastrand::Rng| {
        let near = random.u64(..1 << 18);
        let far = [near, near / 8 * 8, u64::MAX - near, u64::MAX];
        units::Sector::new(far[random.usize(..4).min(random.usize(..4))])
    };
    let sectors = |random: &mut fastrand::Rng| {
        let few = random.u64(..600);
        [few, few / 8 * 8, (1 << 48) - 1][random.usize(..3).min(random.usize(..3))]
    };
    let (at, n) = (place(random), sectors(random));
    let (fua, internal) = (random.bool(), random.bool());
    let target = [ZoneTarget::All, ZoneTarget::One(at)][random.usize(..2)];
    let action = ZoneAction::ALL[random.usize(..ZoneAction::ALL.len())];
    let command = match random.u32(..12) {
        0 => Command::Read {
            at,
            sectors: n,
            internal,
        },
        1 => Command::Append {
            zone: at,
            sectors: n,
            fua,
        },
        2 => Command::Flush,
        3 => Command::Deallocate { at, sectors: n },
        4 => Command::WriteZeroes {
            at,
            sectors: n,
            fua,
        },
        5 => Command::CommitZrwa { end: at },
        6 => Command::Zone { action, target },
        _ => Command::Write {
            at,
            sectors: n,
            fua,
            internal,
        },
    };
    let now = [random.u64(..1 << 30), u64::MAX][usize::from(random.u32(..200) == 0)];
    let zone = units::ZoneId::new([random.u32(..6), u32::MAX][usize::from(random.u32(..20) == 0)]);
    match random.u32(..40) {
        0 => Recorded::PowerCut(Instant::from_nanos(now)),
        1 => Recorded::Format {
            ns: nvme::NsIndex(random.u8(..3)),
            format: random.u8(..3),
        },
        2 => Recorded::Failed {
            zone,
            offline: random.bool(),
        },
        6 => Recorded::Lent {
            slots: random.u32(..1 << 20),
            is_kept: random.bool(),
        },
        7 => Recorded::Spoilt {
            slot: random.u32(..),
            pieces: random.u64(..),
        },
        5 => Recorded::Sanitized(nvme::Sanitized {
            status: SanitizeStatus::ALL[random.usize(..5)],
            dword10: random.u32(..1 << 10),
            pattern: random.u32(..),
            since: Instant::from_nanos(now),
            erases: random.u8(..),
            programs: random.u8(..),
        }),
        4 => Recorded::Uncorrectable {
            ns: nvme::NsIndex(random.u8(..3)),
            at,
            sectors: n,
            is_set: random.bool(),
        },
        3 => Recorded::Extension {
            zone,
            at: random.usize(..1 << 16),
            bytes: [7; 16],
        },
        _ => Recorded::Command {
            ns: [ftl::Namespace::Meta, ftl::Namespace::Data][random.usize(..2)],
            command,
            at: Instant::from_nanos(now),
        },
    }
}

#[test]
fn a_journal_of_anything_makes_a_drive_that_agrees_with_itself() {
    for preset in PRESETS {
        let bench = Bench::new(preset.name, 3);
        let words = bench.memory.0.lock().unwrap().words.clone();
        for seed in 0..12 {
            let mut random = fastrand::Rng::with_seed(seed);
            bench.memory.0.lock().unwrap().words.clone_from(&words);
            let live = Live::new(bench.memory.clone(), bench.image.layout(), None);
            let epoch = words[&0];
            put_words(bench.image.file(), bench.image.layout(), &words);
            let mut image = Image::open(&bench.file.0, true).unwrap();
            // Its journal begins again.
            image
                .checkpoint(
                    &bench.guest.controller,
                    &bench.config,
                    &live,
                    (Instant::ZERO, false),
                )
                .unwrap();
            for _ in 0..random.usize(..120) {
                live.note(&anything(&mut random));
            }
            if random.bool() {
                live.kept();
            }
            if random.bool() {
                live.moved();
            }
            let now = bench.memory.0.lock().unwrap().words.clone();
            assert!(now[&0] > epoch);
            put_words(image.file(), image.layout(), &now);
            let image = Image::open(&bench.file.0, false).unwrap();
            let mut media = vec![0; image.layout().media as usize];
            for after in [AfterKill::PowerCut, AfterKill::Keep] {
                let opened = image
                    .load(&bench.config, after, &mut Memory(&mut media))
                    .unwrap();
                opened.drive.drive().model().check_invariants().unwrap();
            }
        }
    }
}

#[test]
fn sizes_that_are_not_those_of_the_drive_are_refused() {
    let bench = Bench::new("nvm-optane", 2);
    let (file, layout) = (bench.image.file(), bench.image.layout());
    let forge = |sizes: [u64; 3]| {
        let mut body = state::Encoder::new();
        sizes.iter().for_each(|size| body.put(*size));
        body.put(layout.settings.len() as u64);
        body.put_bytes(layout.settings.as_bytes());
        let body = body.into_bytes();
        let start = [body.len() as u64, state::digest_of(&body)].map(u64::to_le_bytes);
        file.write_all_at(start.as_flattened(), 24).unwrap();
        file.write_all_at(&body, 40).unwrap();
        file.set_len(1 << 40).unwrap();
        let image = Image::open(&bench.file.0, false).unwrap();
        let mut media = vec![0; layout.media as usize];
        let opened = image.load(&bench.config, AfterKill::Keep, &mut Memory(&mut media));
        opened.map(|_| ()).map_err(|error| error.to_string())
    };
    let sizes = [layout.records, layout.slot, layout.media];
    assert_eq!(forge(sizes), Ok(()));
    for n in 0..3 {
        let mut sizes = sizes;
        sizes[n] *= 2;
        let error = forge(sizes).unwrap_err();
        assert!(error.starts_with("its header says sizes of ["), "{error}");
    }
}

#[test]
fn a_damaged_file_is_refused_or_makes_a_drive() {
    let mut refused = 0;
    for preset in ["tlc-zoned", "tlc-block", "zns-zn540"] {
        let mut bench = Bench::new(preset, 9);
        for _ in 0..30 {
            bench.act();
        }
        let words = bench.memory.0.lock().unwrap().words.clone();
        let (file, layout) = (bench.image.file(), bench.image.layout());
        put_words(file, layout, &words);
        let (live, _) = layout.live();
        let mut random = fastrand::Rng::with_seed(1);
        let mut media = vec![0; layout.media as usize];
        for _ in 0..400 {
            let at = match random.u32(..4) {
                0 => random.u64(..300),
                1 => live + random.u64(..6 * 8),
                2 => live + 4096 + random.u64(..60 * 32),
                _ => layout.slot_of(random.u64(..2)) + random.u64(..2000),
            };
            let mut was = [0];
            file.read_exact_at(&mut was, at).unwrap();
            file.write_all_at(&[was[0] ^ 1 << random.u32(..8)], at)
                .unwrap();
            let opened = Image::open(&bench.file.0, false).and_then(|image| {
                image.load(&bench.config, AfterKill::PowerCut, &mut Memory(&mut media))
            });
            match opened {
                Ok(opened) => opened.drive.drive().model().check_invariants().unwrap(),
                Err(error) => {
                    assert!(!error.to_string().contains('\n'), "{error}");
                    refused += 1;
                }
            }
            file.write_all_at(&was, at).unwrap();
        }
    }
    assert!(refused > 150, "{refused}");
}
