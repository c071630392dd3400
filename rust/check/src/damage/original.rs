// SPDX-License-Identifier: GPL-2.0-or-later
//! Drives that a guest has worked with, as they are kept: whatever can be in a journal is in theirs, and commands are in
//! flight.

use super::forge::{Forged, HistoryFile, ImageFile, Saved, Slot};
use super::work;
use crate::random::Random;
use image::{AfterKill, Bytes, History, Image, Layout, Live, Words};
use nvme::{Drive as _, NsIndex, SanitizeStatus, Sanitized};
use ssd::{Config, Drive};
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};
use testkit::{Change, Guest, Watch};
use units::{Instant, Sector, ZoneId};

/// Small drives of each model, the mechanisms of which are on here or there.
const DRIVES: [(&str, &[&str]); 9] = [
    (
        "tlc-zoned",
        &[
            "meta-size=1M",
            "zones=4",
            "block-size=768K",
            "chunk-size=1M",
        ],
    ),
    (
        "ufs4-tlc",
        &[
            "meta-size=1M",
            "zones=3",
            "block-size=768K",
            "chunk-size=1M",
            "zrwa-size=256K",
            "zrwa-flush-granularity=128K",
            "zrwa-zones=2",
            "zone-descriptor-extension-size=64",
            "sample-interval-ns=1000000",
        ],
    ),
    (
        "qlc-zoned-zone-slc",
        &["meta-size=1M", "zones=4", "block-size=1M", "chunk-size=1M"],
    ),
    (
        "qlc-zoned-page-slc",
        &[
            "meta-size=0",
            "zones=4",
            "block-size=512K",
            "chunk-size=1M",
            "slc-superblocks=8",
            "slc-dynamic-share=100",
            "fold-idle-ns=20000000",
        ],
    ),
    (
        "tlc-block",
        &[
            "meta-size=1M",
            "block-data-size=4M",
            "block-size=768K",
            "l2p-cache-size=4",
            "l2p-slots=1",
            "hmb-size=8K",
        ],
    ),
    (
        "qlc-block",
        &["block-data-size=4M", "block-size=1M", "timing=off"],
    ),
    (
        "zns-proto",
        &[
            "zones=4",
            "zone-capacity=1M",
            "zone-descriptor-extension-size=64",
        ],
    ),
    ("conv-970pro", &["block-data-size=4M"]),
    ("nvm-optane", &["block-data-size=4M"]),
];

/// Rules that act now and then.
const FAULTS: &str =
    "read-error,probability=1/9;write-error,probability=1/20,seed=2;latency,delay-ns=9999";

/// A drive, and what it is kept in.
pub(super) struct Original {
    pub(super) name: &'static str,
    pub(super) config: Config,
    pub(super) clock: Instant,
    /// The machine that it works in, for a state that goes on.
    pub(super) guest: Guest<Drive>,
    /// Bytes of its media, and of a checkpoint at most.
    pub(super) media: usize,
    pub(super) slot: usize,
    files: [Forged; super::KINDS.len()],
}

impl Original {
    /// A file of such a kind, undamaged.
    pub(super) fn forged(&self, kind: usize) -> Forged {
        let [state, image, history] = &self.files;
        match kind {
            0 => state.clone(),
            1 => image.clone(),
            _ => history.clone(),
        }
    }
}

/// Each drive young and old.
pub(super) fn all() -> Result<Vec<Original>, String> {
    let mut all = Vec::new();
    for (name, settings) in DRIVES {
        for (seed, commands) in [(1, 60), (2, 400)] {
            let made = original(name, settings, seed, commands);
            all.push(made.map_err(|e| format!("{name}: {e}"))?);
        }
    }
    Ok(all)
}

/// The live part of an image, where stores leave it.
#[derive(Clone, Debug, Default)]
struct Stores(Arc<Mutex<BTreeMap<u64, u64>>>);

impl Words for Stores {
    fn store(&self, at: u64, word: u64) {
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        words.insert(at, word);
    }

    fn sync(&self) -> bool {
        true
    }
}

/// What is written of a history.
#[derive(Clone, Debug, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Media of zeroes that stays so.
struct Blank;

impl Bytes for Blank {
    fn read(&mut self, _: u64, into: &mut [u8]) {
        into.fill(0);
    }

    fn write(&mut self, _: u64, _: &[u8]) {}

    fn discard(&mut self, _: Range<u64>) {}
}

fn original(
    name: &'static str,
    settings: &[&str],
    seed: u64,
    commands: u64,
) -> Result<Original, String> {
    let text = |e: ssd::ConfigError| e.to_string();
    let wrong = |e: image::Error| e.to_string();
    let io = |e: std::io::Error| e.to_string();
    let mut config = Config::preset(name).map_err(text)?;
    for pair in settings
        .iter()
        .chain(&["vendor-commands=on", "power-cuts=dead"])
    {
        config.set_pair(pair).map_err(text)?;
    }
    let folder = tempfile::tempdir().map_err(io)?;
    let path = folder.path().join("image");
    Image::create(&path, &config).map_err(wrong)?;
    let mut image = Image::open(&path, true).map_err(wrong)?;
    let opened = image
        .load(&config, AfterKill::Keep, &mut Blank)
        .map_err(wrong)?;
    let (mut drive, config) = (opened.drive, opened.config);
    let plan = config.plan().map_err(text)?;
    let words = Stores::default();
    // The old one has seen its host crash: it was of another boot.
    let boot = (seed == 2).then_some(1);
    let live = Arc::new(Live::new(words.clone(), image.layout(), boot));
    drive.reset(Instant::ZERO);
    drive.drive_mut().add_journal(live.clone());
    if seed == 2 {
        drive.drive_mut().set_faults(FAULTS).map_err(text)?;
    }
    let media = usize::try_from(image.layout().media).unwrap_or(0);
    let mut guest = Guest::with(drive, work::MEMORY, vec![0; media]);
    work::bring_up(&mut guest);
    let mut random = Random::new(seed);
    let mut checkpoint = |guest: &Guest<Drive>| {
        let now = (guest.host.clock, false);
        image.checkpoint(&guest.controller, &config, &live, now)
    };
    for _ in 0..commands {
        work::ask(&mut guest, &mut random);
    }
    checkpoint(&guest).map_err(wrong)?;
    for _ in 0..30 {
        work::ask(&mut guest, &mut random);
    }
    checkpoint(&guest).map_err(wrong)?;
    let sink = Sink::default();
    let history = {
        let media = &mut |at: u64, into: &mut [u8]| {
            into.copy_from_slice(&guest.host.media[at as usize..][..into.len()]);
        };
        let of = (&guest.controller, &config);
        Arc::new(History::begin(sink.clone(), of, guest.host.clock, media).map_err(wrong)?)
    };
    guest.controller.drive_mut().add_journal(history.clone());
    let (end, told) = (plan.layout.undo, history.clone());
    guest.host.watch = Some(Watch(Arc::new(move |media: &[u8], next| match next {
        Change::New(at, length) if at < end => told.put(at, length, &mut |at, into| {
            into.copy_from_slice(&media[at as usize..][..into.len()]);
        }),
        _ => {}
    })));
    for n in 0..60 {
        // Mostly zeroes, which take no room in a history.
        guest.poke(work::BUFFER, &[u8::from(n % 10 == 0)]);
        work::ask(&mut guest, &mut random);
        if n == 30 {
            rare(guest.controller.drive_mut());
        }
        live.kept();
        live.moved();
        live.answers();
    }
    work::leave_in_flight(&mut guest, &mut random);
    guest.host.watch = None;
    history.flush();
    let history = sink
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let words = words
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let state = Saved::of(&ssd::save(&guest.controller, &config))?;
    Ok(Original {
        name,
        clock: guest.host.clock,
        files: [
            Forged::State(state),
            Forged::Image(Box::new(file(&image, &words)?)),
            Forged::History(HistoryFile::of(&history)?),
        ],
        config,
        media,
        slot: usize::try_from(image.layout().slot).unwrap_or(0),
        guest,
    })
}

/// What guests seldom do, or cannot.
fn rare(drive: &mut Drive) {
    let data = NsIndex(drive.namespaces().len() as u8 - 1);
    drive.note(7, Instant::from_nanos(1));
    drive.set_format(data, 0);
    drive.set_uncorrectable(data, Sector::new(8), 3, true);
    drive.set_uncorrectable(data, Sector::new(9), 1, false);
    drive.set_zone_extension(data, ZoneId::new(0), 0, &[5; 64]);
    // Where there are zones.
    let _ = drive.inject_zone(ZoneId::new(2), false);
    for status in [SanitizeStatus::InProgress, SanitizeStatus::Completed] {
        drive.set_sanitized(Sanitized {
            status,
            ..Sanitized::default()
        });
    }
}

/// An image as it would be found after a kill.
fn file(image: &Image, words: &BTreeMap<u64, u64>) -> Result<ImageFile, String> {
    let layout = image.layout().clone();
    let word = |at: u64| words.get(&at).copied().unwrap_or(0);
    let first = Layout::journal_word();
    // A record has four words, the last of which is its check.
    let records = (first..)
        .step_by(4)
        .map(|at| [at, at + 1, at + 2].map(word));
    let records = records.take_while(|record| record[2] != 0).collect();
    let places = [layout.slot_of(0), layout.slot_of(1)];
    let mut version = [0; 8];
    let read = image.file().read_exact_at(&mut version, 16);
    read.map_err(|e| e.to_string())?;
    let slot = |at: u64| -> Result<Slot, String> {
        let mut header = [0; 32];
        let read = |into: &mut [u8], at| image.file().read_exact_at(into, at);
        read(&mut header, at).map_err(|e| e.to_string())?;
        let mut words = header
            .chunks_exact(8)
            .map(|word| word.first_chunk().copied().map_or(0, u64::from_le_bytes));
        let mut next = || words.next().unwrap_or(0);
        let (epoch, length, _, clock) = (next(), next(), next(), next());
        let mut state = vec![0; length as usize];
        read(&mut state, at + 32).map_err(|e| e.to_string())?;
        Ok(Slot {
            epoch,
            extra: 0,
            clock,
            state: Saved::of(&state)?,
        })
    };
    Ok(ImageFile {
        version: u64::from_le_bytes(version),
        words: std::array::from_fn(|at| word(at as u64)),
        records,
        slots: [slot(places[0])?, slot(places[1])?],
        live: layout.live().0,
        places,
        size: layout.size(),
        settings: layout.settings.clone().into_bytes(),
        layout,
        raw: None,
    })
}
