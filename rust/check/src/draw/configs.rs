// SPDX-License-Identifier: GPL-2.0-or-later
//! Configurations at random: every preset with flash, shrunk to where a few thousand commands fill it,
//! and every policy turned this way or that. They are texts, as a user gives them.

use crate::random::Random;
use core::fmt;
use ssd::{Config, ConfigError, ModelKind, Plan};

/// A preset and settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The preset's name.
    pub preset: &'static str,
    /// Properties and values.
    pub pairs: Vec<(&'static str, String)>,
}

impl Settings {
    /// The drive of these settings.
    ///
    /// # Errors
    /// They make none.
    pub fn plan(&self) -> Result<Plan, ConfigError> {
        let mut config = Config::preset(self.preset)?;
        for (name, value) in &self.pairs {
            config.set(name, value)?;
        }
        config.plan()
    }
}

impl fmt::Display for Settings {
    /// As arguments of `conzone sim`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--preset {}", self.preset)?;
        for (name, value) in &self.pairs {
            write!(f, " --set {name}={value}")?;
        }
        Ok(())
    }
}

struct Draft<'a> {
    random: &'a mut Random,
    settings: Settings,
}

impl Draft<'_> {
    fn set(&mut self, name: &'static str, value: impl fmt::Display) {
        self.settings.pairs.push((name, value.to_string()));
    }

    /// Sometimes: the preset's own value is worth keeping, too.
    fn perhaps(&mut self, percent: u64, name: &'static str, value: impl fmt::Display) {
        if self.random.chance(percent) {
            self.set(name, value);
        }
    }

    fn flag(&mut self, percent: u64, name: &'static str) {
        let value = self.random.pick(&["on", "off"]);
        self.perhaps(percent, name, value);
    }

    /// The value set last.
    fn value(&self, name: &str) -> Option<&str> {
        let mut pairs = self.settings.pairs.iter().rev();
        let pair = pairs.find(|pair| pair.0 == name);
        pair.map(|pair| pair.1.as_str())
    }

    /// Whether data goes past pSLC. (Presets with QLC have it all there, other models have none.)
    fn bypasses(&self) -> bool {
        self.value("slc-bypass").map_or_else(
            || !self.settings.preset.starts_with("qlc"),
            |value| value == "on",
        )
    }

    /// Whether native superblocks can be lent to pSLC: of zones that share that, and have all their data go there.
    fn can_lend(&self) -> bool {
        let preset = self.settings.preset;
        let by_page = self
            .value("slc-map")
            .map_or_else(|| preset != "qlc-zoned-zone-slc", |value| value == "page");
        by_page && !self.bypasses() && !preset.ends_with("block")
    }

    fn kib(&mut self, name: &'static str, kib: u64) {
        self.set(name, format_args!("{kib}K"));
    }
}

/// Settings that may or may not make a drive.
pub fn settings(random: &mut Random) -> Settings {
    let kind = random.below(10);
    let mut one_of = |model: ModelKind| {
        let names: Vec<_> = model.presets().map(|preset| preset.name).collect();
        random.pick(&names)
    };
    let preset = match kind {
        0 => "conv-970pro",
        1 => one_of(ModelKind::Zns),
        _ => one_of(ModelKind::Zms),
    };
    let mut draft = Draft {
        random,
        settings: Settings {
            preset,
            pairs: Vec::new(),
        },
    };
    match kind {
        0 => conv(&mut draft),
        1 => zns(&mut draft),
        _ => zms(&mut draft, preset.ends_with("block")),
    }
    times(&mut draft, kind > 1);
    draft.settings
}

/// These settings with mechanisms that the presets leave off.
pub fn mechanisms(random: &mut Random, settings: Settings) -> Settings {
    let mut draft = Draft { random, settings };
    draft.perhaps(30, "early-completion", "off");
    let overhead = draft.random.pick(&[1, 413, 50_000]);
    draft.perhaps(30, "channel-overhead-ns", overhead);
    let command = draft.random.pick(&[1, 8_000]);
    draft.perhaps(30, "channel-command-ns", command);
    let folds = draft.random.pick(&[1, 200_000, 20_000_000, 1_000_000_000]);
    if !draft.bypasses() {
        draft.perhaps(50, "fold-idle-ns", folds);
    }
    let piece = draft.random.pick(&["4K", "8K", "64K"]);
    draft.perhaps(40, "channel-transfer-size", piece);
    if draft.can_lend() {
        let share = draft.random.pick(&[1, 30, 50, 80, 100, 100, 100]);
        draft.perhaps(60, "slc-dynamic-share", share);
    }
    draft.settings
}

/// What the drawing of other things needs to know of the flash.
struct Shape {
    dies: u64,
    planes_per_lun: u64,
    page_kib: u64,
    bits: u64,
}

fn shape(draft: &mut Draft) -> Shape {
    let r = &mut *draft.random;
    let channels = r.pick(&[1, 1, 2, 2, 3, 4]);
    let luns = r.pick(&[1, 1, 1, 2, 3]);
    let planes_per_lun = r.pick(&[1, 1, 1, 2, 4]);
    let page_kib = r.pick(&[4, 4, 8, 8, 12, 16, 32]);
    let (cell, bits) = r.pick(&[
        ("mlc", 2),
        ("tlc", 3),
        ("tlc", 3),
        ("qlc", 4),
        ("qlc", 4),
        ("slc", 1),
    ]);
    draft.set("channels", channels);
    draft.set("luns-per-channel", luns);
    draft.set("planes-per-lun", planes_per_lun);
    draft.kib("flash-page-size", page_kib);
    draft.set("cell", cell);
    Shape {
        dies: channels * luns,
        planes_per_lun,
        page_kib,
        bits,
    }
}

fn divisor(random: &mut Random, n: u64) -> u64 {
    let all: Vec<u64> = (1..=n).filter(|d| n % d == 0).collect();
    random.pick(&all)
}

fn zms(draft: &mut Draft, block: bool) {
    let shape = shape(draft);
    let dies_per_zone = divisor(draft.random, shape.dies);
    draft.set("dies-per-zone", dies_per_zone);
    let wordlines = draft.random.between(1, 12);
    draft.kib("block-size", shape.page_kib * shape.bits * wordlines);
    let planes = dies_per_zone * shape.planes_per_lun;
    let slc_superblock_kib = shape.page_kib * wordlines * planes;
    let unit_kib = shape.page_kib * shape.bits;
    let buffers = if block { 1 } else { draft.random.between(1, 6) };
    let each = draft.random.between(1, 2 * planes + 1) * unit_kib;
    draft.kib("write-buffer-size", each * buffers);
    draft.set("write-buffers", buffers);
    if draft.random.chance(70) {
        let pages = draft.random.between(16, 512);
        draft.kib("meta-size", pages * 4);
        let buffer = draft.random.between(1, 12);
        draft.kib("meta-write-buffer-size", buffer * shape.page_kib);
    } else {
        draft.set("meta-size", 0);
        draft.kib("meta-write-buffer-size", shape.page_kib);
    }
    let active = draft.random.between(1, 6);
    let gc = draft.random.below(5);
    let migrate = draft.random.below(5);
    draft.set("gc-threshold", gc);
    draft.set("migrate-threshold", migrate);
    if block {
        let pages = draft.random.between(16, 1500);
        draft.kib("block-data-size", pages * 4);
    } else {
        zones(draft, active);
        let zone_kib = slc_superblock_kib * shape.bits;
        zrwa(draft, 4, zone_kib);
    }
    let map = draft.random.pick(&["page", "sub-zone"]);
    draft.perhaps(60, "slc-map", map);
    draft.flag(70, "slc-bypass");
    let held = (each * buffers + 2 * unit_kib * planes) / slc_superblock_kib;
    let least = migrate + 2 + held + if map == "sub-zone" { active } else { 0 };
    let more = draft.random.pick(&[0, 0, 1, 2, 5, 12]);
    draft.set("slc-superblocks", least + more);
    let over = draft.random.pick(&[0, 1, 7, 7, 25, 100, 1000]);
    draft.set("over-provisioning", over);
    let policy = draft.random.pick(&["static", "modulo"]);
    draft.perhaps(60, "wb-policy", policy);
    let dwell = draft.random.pick(&[0, 1, 20_000, 320_000, 2_000_000]);
    draft.perhaps(60, "wb-dwell-ns", dwell);
    translation(draft);
    background(draft);
}

fn zones(draft: &mut Draft, active: u64) {
    let zones = draft.random.pick(&[1, 2, 3, 5, 8, 12, 24]);
    draft.set("zones", zones);
    draft.set("max-active", active);
    let open = draft.random.between(1, active);
    draft.set("max-open", open);
    draft.flag(50, "read-across-zones");
    draft.flag(30, "reset-wait");
}

fn zrwa(draft: &mut Draft, granularity_kib: u64, zone_kib: u64) {
    if draft.random.chance(35) {
        let granularity = granularity_kib * draft.random.between(1, 4);
        let most = (zone_kib / granularity).clamp(1, 16);
        let size = granularity * draft.random.between(1, most);
        draft.kib("zrwa-size", size);
        draft.kib("zrwa-flush-granularity", granularity);
        let zones = draft.random.between(1, 4);
        draft.set("zrwa-zones", zones);
    }
}

fn translation(draft: &mut Draft) {
    let slots = draft.random.between(1, 4);
    let entries = draft.random.pick(&[4, 16, 64, 1024]);
    draft.set("l2p-slots", slots);
    draft.set("l2p-cache-size", entries * 4);
    let policy = draft.random.pick(&["lru", "random"]);
    draft.perhaps(50, "l2p-policy", policy);
    let search = draft.random.pick(&["multiple", "bitmap"]);
    draft.perhaps(50, "l2p-search", search);
    draft.flag(50, "l2p-hybrid");
    draft.flag(50, "l2p-resident");
    let preread = draft.random.below(4);
    draft.perhaps(30, "l2p-preread", preread);
    let chunk = draft.random.pick(&["4K", "16K", "64K", "1M"]);
    draft.perhaps(70, "chunk-size", chunk);
}

/// How background work gives way.
fn background(draft: &mut Draft) {
    let rule = draft.random.pick(&["off", "background", "all"]);
    let (suspend, resume) = (draft.random.pick(&TIMES), draft.random.pick(&TIMES));
    let most = draft.random.pick(&[0, 1, 3, 1000]);
    draft.perhaps(70, "suspend", rule);
    draft.perhaps(70, "suspend-ns", suspend);
    draft.perhaps(70, "resume-ns", resume);
    draft.perhaps(70, "suspend-max", most);
}

const TIMES: [u64; 4] = [0, 1, 5_000, 100_000];

fn zns(draft: &mut Draft) {
    let shape = shape(draft);
    let dies = draft.random.between(1, shape.dies);
    draft.set("dies-per-zone", dies);
    let one_shot = shape.page_kib * draft.random.between(1, 4);
    draft.kib("one-shot-page-size", one_shot);
    let unit = draft.random.pick(&[512, 4096, one_shot * 1024]);
    draft.set("write-unit", unit);
    let shots = draft.random.between(1, 40);
    let capacity = one_shot * shots;
    draft.kib("zone-capacity", capacity);
    let active = draft.random.between(1, 6);
    zones(draft, active);
    zrwa(draft, (unit / 1024).max(4), capacity);
    let scope = draft.random.pick(&["global", "zone"]);
    draft.set("wb-scope", scope);
    let buffer = one_shot * (active + draft.random.between(1, 6));
    draft.kib("write-buffer-size", buffer);
    let planes = shape.dies * shape.planes_per_lun;
    if draft.random.chance(40) {
        paged(draft, "meta-size", one_shot);
        let buffer = one_shot * draft.random.between(2, 4) + one_shot * planes;
        draft.kib("meta-write-buffer-size", buffer);
    }
}

fn conv(draft: &mut Draft) {
    let shape = shape(draft);
    let channels: u64 = draft.settings.pairs[0].1.parse().unwrap_or(1);
    let partitions = divisor(draft.random, channels);
    draft.set("partitions", partitions);
    let one_shot = shape.page_kib * draft.random.between(1, 4);
    draft.kib("one-shot-page-size", one_shot);
    paged(draft, "block-data-size", one_shot);
    let buffer = one_shot * (partitions * draft.random.between(1, 4) + draft.random.between(1, 8));
    draft.kib("write-buffer-size", buffer);
    let cache = draft.random.pick(&["0", "4K", "16K"]);
    draft.set("l2p-cache-size", cache);
}

fn paged(draft: &mut Draft, size: &'static str, one_shot_kib: u64) {
    let pages = draft.random.between(16, 1500);
    draft.kib(size, pages * 4);
    let blocks = draft
        .random
        .between(1, (pages * 4 / one_shot_kib).clamp(1, 64));
    draft.set("blocks-per-plane", blocks);
    let threshold = draft.random.between(1, 4);
    draft.set("gc-threshold", threshold);
    let over = draft.random.pick(&[1, 7, 7, 25, 100]);
    draft.set("over-provisioning", over);
}

/// Times that let other orders of events come out than the presets'.
fn times(draft: &mut Draft, zms: bool) {
    let erase = draft
        .random
        .pick(&[0, 1_000, 500_000, 3_500_000, 20_000_000]);
    draft.perhaps(40, "erase-ns", erase);
    let program = draft.random.pick(&[0, 10_000, 937_500, 8_000_000]);
    draft.perhaps(25, "tlc-program-ns", program);
    let slc = draft.random.pick(&[0, 75_000, 2_000_000]);
    if zms {
        draft.perhaps(25, "slc-program-ns", slc);
    }
    let channel = draft.random.pick(&[1, 100, 1600]);
    draft.perhaps(25, "channel-bandwidth", channel);
    let link = draft.random.pick(&[1, 200, 3000]);
    draft.perhaps(25, "link-bandwidth", link);
}
