// SPDX-License-Identifier: GPL-2.0-or-later
//! A drive is brought to any instant of its history: it is what it was there, and a power cut leaves of it what it would have
//! left then.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

#[path = "../../ssd/tests/common/mod.rs"]
mod common;
mod memory;

use common::{write_versions, PAGE};
use image::{Bytes, Entry, History, Loss, Past, Reader};
use memory::Memory;
use nvme::Drive as _;
use nvme_spec::{AdminOpcode, NvmOpcode, WireZoneAction};
use ssd::{Config, Drive, Recorded, Ssd, PRESETS};
use std::io::Write;
use std::sync::{Arc, Mutex};
use testkit::{command, Change, Guest, Watch};
use units::{Instant, Nanos, ZoneId};

/// Pages of each namespace, or zone, that are written.
const HOT: u64 = 24;

/// What was written of the history.
#[derive(Clone, Debug, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Copies bytes of media out.
fn shown(media: &[u8]) -> impl FnMut(u64, &mut [u8]) + '_ {
    |at, into| into.copy_from_slice(&media[at as usize..][..into.len()])
}

/// A guest with a drive whose history is written.
struct Bench {
    config: Config,
    guest: Guest<Drive>,
    sink: Sink,
    history: Arc<History<Sink>>,
    buffer: u64,
    random: fastrand::Rng,
    version: u64,
}

/// A drive at an instant.
struct Moment {
    at: Instant,
    drive: Vec<u8>,
    cut: Vec<u8>,
    torn: Vec<u8>,
    media: Vec<u8>,
}

fn settings(preset: &str) -> Config {
    let cuts = [("power-cuts", "dead")];
    let mut config = common::config(preset, &common::fitting(preset, &cuts, &common::SMALL));
    config.set("vendor-commands", "on").unwrap();
    config
}

impl Bench {
    /// It has lived for some commands before its history begins.
    fn new(preset: &str, seed: u64) -> Self {
        let mut config = settings(preset);
        if seed % 2 == 1 {
            config.set("timing", "off").unwrap();
        }
        config.outlive();
        let plan = config.plan().unwrap();
        let drive = Drive::new(&plan).unwrap();
        let bytes = plan.layout.size.get() as usize;
        let mut guest = Guest::new(plan.controller, drive, 4 << 20, bytes).unwrap();
        assert!(guest.enable() && guest.create_queues(1, 16));
        guest.budget = 512;
        let sink = Sink::default();
        let dummy = Self::begin(&guest, &config, &sink);
        let mut bench = Self {
            buffer: guest.alloc(16 * PAGE as u64),
            guest,
            config,
            history: dummy,
            sink,
            random: fastrand::Rng::with_seed(seed),
            version: 0,
        };
        for _ in 0..20 {
            bench.act();
        }
        bench.sink.0.lock().unwrap().clear();
        bench.history = Self::begin(&bench.guest, &bench.config, &bench.sink);
        let drive = bench.guest.controller.drive_mut();
        drive.add_journal(bench.history.clone());
        let end = plan.layout.undo;
        let history = bench.history.clone();
        bench.guest.host.watch = Some(Watch(Arc::new(move |media: &[u8], next| {
            if let Change::New(at, length) = next {
                if at < end {
                    history.put(at, length, &mut shown(media));
                }
            }
        })));
        bench
    }

    fn begin(guest: &Guest<Drive>, config: &Config, sink: &Sink) -> Arc<History<Sink>> {
        let of = (&guest.controller, config);
        let media = &mut shown(&guest.host.media);
        Arc::new(History::begin(sink.clone(), of, guest.host.clock, media).unwrap())
    }

    fn write(&mut self, nsid: u32, first: u64, pages: u64, fua: bool) {
        let versions = self.version + 1..self.version + 1 + pages;
        self.version += pages;
        write_versions(&mut self.guest, self.buffer, (nsid, first), versions, fua);
    }

    fn pass(&mut self, nanos: u64) {
        let end = self.guest.host.clock + Nanos::new(nanos);
        while self.guest.host.wake.is_some_and(|at| at <= end) {
            self.guest.wake();
        }
        self.guest.host.clock = end;
        self.guest.run();
        while self.guest.poll(1).is_some() {}
    }

    /// One thing that a guest does.
    fn act(&mut self) {
        let infos = self.guest.controller.drive().namespaces();
        let spaces: Vec<_> = (1..).zip(infos).collect();
        let (nsid, info) = spaces[self.random.usize(..spaces.len())];
        let zone_size = info.zoned.as_ref().map(|zoned| zoned.zone_size.get() / 512);
        let pages = self.random.u64(1..=8);
        match (zone_size, self.random.u32(..14)) {
            (_, 0) => {
                _ = self
                    .guest
                    .submit(1, command::plain(NvmOpcode::Flush as u8, nsid))
            }
            (_, 1) => {
                let number = self.random.u32(..);
                self.guest
                    .submit(0, command::admin(AdminOpcode::Note, 0, number, 0));
                self.guest.poll(0);
            }
            (None, 2) => {
                let first = self.random.u64(..HOT - pages);
                let zeroes =
                    command::blocks(NvmOpcode::WriteZeroes, nsid, first * 8, pages as u32 * 8);
                let mut sqe = zeroes;
                sqe.cdw[2] |= u32::from(self.random.bool()) << 25;
                self.guest.submit(1, sqe);
            }
            (None, n) => {
                let first = self.random.u64(..HOT - pages);
                self.write(nsid, first, pages, n < 5);
            }
            (Some(zone_size), n) => {
                let ns = nvme::NsIndex(nsid as u8 - 1);
                let zone = self.random.u32(..2);
                let report = self
                    .guest
                    .controller
                    .drive()
                    .zone(ns, ZoneId::new(zone))
                    .unwrap();
                let at = report.write_pointer.get() / 8;
                if n == 2 || at + pages > report.start.get() / 8 + HOT * 8 {
                    let start = u64::from(zone) * zone_size;
                    let reset = command::zone_send(nsid, start, WireZoneAction::Reset, false);
                    self.guest.submit(1, reset);
                } else {
                    self.write(nsid, at, pages, n < 6);
                }
            }
        }
        let longest = [60_000, 60_000, 60_000, 8_000_000][self.random.usize(..4)];
        let nanos = self.random.u64(1..=longest);
        self.pass(nanos);
    }

    /// The drive now, and after a cut.
    fn moment(&mut self) -> Moment {
        self.guest.host.clock += Nanos::new(1);
        let at = self.guest.host.clock;
        let saved = ssd::save(&self.guest.controller, &self.config);
        let load = || -> Ssd { ssd::load(&self.config, &saved).unwrap().0 };
        let (mut now, mut cut) = (load(), load());
        now.drive_mut().advance(at);
        let mut media = Memory(self.guest.host.media.clone());
        cut.lose_power(at, &mut |what| match what {
            nvme::MediaChange::Gone(bytes) => media.discard(bytes),
            nvme::MediaChange::Restored { from, to } => {
                let mut page = [0; PAGE];
                media.read(from, &mut page);
                media.write(to, &page);
            }
        });
        let mut torn = load();
        torn.drive_mut().tear();
        torn.lose_power(at, &mut |_| ());
        Moment {
            at,
            drive: state::encode(now.drive()),
            cut: state::encode(cut.drive()),
            torn: state::encode(torn.drive()),
            media: media.0,
        }
    }

    fn written(&self) -> Vec<u8> {
        self.history.flush();
        assert_eq!(self.history.failed(), None);
        self.sink.0.lock().unwrap().clone()
    }
}

fn past(history: &[u8]) -> Past<&[u8]> {
    Past::of(Reader::new(history).unwrap()).unwrap()
}

#[test]
fn a_drive_is_what_it_was_and_what_a_power_cut_would_have_left_of_it() {
    let mut torn = 0;
    for preset in PRESETS {
        for seed in 0..2 {
            let mut bench = Bench::new(preset.name, seed);
            let mut moments = Vec::new();
            for _ in 0..8 {
                for _ in 0..bench.random.u32(..12) {
                    bench.act();
                }
                moments.push(bench.moment());
            }
            let history = bench.written();
            let mut past = past(&history);
            let bytes = bench.guest.host.media.len();
            let end = bench.config.plan().unwrap().layout.undo as usize;
            let mut media = Memory(vec![0; bytes]);
            for (n, moment) in moments.iter().enumerate() {
                let of = format!("{} {seed}, moment {n} at {:?}", preset.name, moment.at);
                past.go_to(moment.at, &mut media).unwrap();
                let mut left = Memory(media.0.clone());
                let kept = past.cut(moment.at, Loss::None, &mut left).unwrap();
                assert!(left.0 == media.0, "{of}");
                let mut drive = kept;
                drive.drive_mut().advance(moment.at);
                assert!(state::encode(drive.drive()) == moment.drive, "{of}");
                let cut = past.cut(moment.at, Loss::All, &mut left).unwrap();
                assert!(state::encode(cut.drive()) == moment.cut, "{of}");
                assert!(left.0[..end] == moment.media[..end], "{of}");
                cut.drive().model().check_invariants().unwrap();
                let mut left = Memory(media.0.clone());
                let cut = past.cut(moment.at, Loss::Torn, &mut left).unwrap();
                assert!(state::encode(cut.drive()) == moment.torn, "{of}");
                torn += usize::from(moment.torn != moment.cut);
            }
            past.go_to(Instant::from_nanos(u64::MAX), &mut media)
                .unwrap();
            assert!(media.0[..end] == bench.guest.host.media[..end]);
        }
    }
    assert!(torn > 0, "some cut was in a program");
}

#[test]
fn a_history_tells_what_the_guest_had_noted() {
    let mut bench = Bench::new("tlc-zoned", 2);
    let mut sent = Vec::new();
    for number in [7_u32, 5, 9] {
        bench.act();
        sent.push((u64::from(number) | 1 << 32, bench.guest.host.clock));
        let note = command::admin(AdminOpcode::Note, 0, number, 1);
        bench.guest.submit(0, note);
        bench.pass(1);
    }
    let history = bench.written();
    let mut reader = Reader::new(history.as_slice()).unwrap();
    let mut notes = Vec::new();
    while let Some(entry) = reader.entry().unwrap() {
        if let Entry::Happened(Recorded::Note { number, at }) = entry {
            notes.push((number, at));
        }
    }
    assert!(sent.iter().all(|note| notes.contains(note)), "{notes:?}");
}

#[test]
fn a_history_ends_where_it_was_cut_short_and_a_damaged_one_is_refused() {
    let mut bench = Bench::new("tlc-zoned", 4);
    for _ in 0..30 {
        bench.act();
    }
    let history = bench.written();
    let bytes = bench.guest.host.media.len();
    let read = |history: &[u8]| -> Result<usize, image::Error> {
        let mut past = Past::of(Reader::new(history)?)?;
        let mut media = Memory(vec![0; bytes]);
        past.go_to(Instant::from_nanos(u64::MAX), &mut media)?;
        past.cut(Instant::from_nanos(u64::MAX), Loss::All, &mut media)?;
        let mut reader = Reader::new(history)?;
        let mut entries = 0;
        while reader.entry()?.is_some() {
            entries += 1;
        }
        Ok(entries)
    };
    let whole = read(&history).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let mut shorter = 0;
    for _ in 0..100 {
        let end = random.usize(..history.len());
        match read(&history[..end]) {
            Ok(entries) => {
                assert!(entries < whole);
                shorter += 1;
            }
            Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
        }
        let mut damaged = history.clone();
        damaged[random.usize(..history.len())] ^= 1 << random.u32(..8);
        let error = read(&damaged).unwrap_err();
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    assert!(shorter > 50);
}

#[test]
fn what_cannot_be_written_ends_a_history_and_says_so() {
    /// Has room for so much.
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(bytes.len())
                .ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let bench = Bench::new("nvm-optane", 0);
    let of = (&bench.guest.controller, &bench.config);
    let media = &mut shown(&bench.guest.host.media);
    assert!(History::begin(Full(100), of, Instant::ZERO, media).is_err());
    let history = History::begin(Full(3 << 20), of, Instant::ZERO, media).unwrap();
    for _ in 0..20 {
        history.put(0, 1 << 20, &mut |_, into| into.fill(1));
    }
    let why = history.failed().unwrap().to_string();
    assert!(why.starts_with("it cannot be written: "), "{why}");
    let history = History::begin(Full(3 << 20), of, Instant::ZERO, media).unwrap();
    history.end("a setting was changed");
    assert_eq!(
        history.failed().unwrap().to_string(),
        "a setting was changed"
    );
}
