// SPDX-License-Identifier: GPL-2.0-or-later
//! Closed forms: latencies of an idle drive that a pencil can compute from its properties.

mod family;

use serde::Serialize;
use sim::Simulation;
use ssd::ModelConfig;
use trace::{Answer, Command, Line, Op};
use units::{Instant, Nanos, PAGE_BYTES};

use super::compare::Deviation;
use crate::drive::Base;
use family::Form;

/// How far a measured latency may be from its closed form.
const BAND: f64 = 0.01;
/// Sectors of a page.
const PAGE: u32 = 8;
/// Long enough for everything in the drive to come to rest.
const REST: Nanos = Nanos::new(1_000_000_000);

/// One closed form.
#[derive(Debug, Serialize)]
pub struct ClosedForm {
    /// The preset, or the drive file.
    pub preset: String,
    /// What was measured.
    pub what: &'static str,
    /// The model's figure: ns, or a count.
    pub measured: u64,
    /// The pencil's.
    pub expected: u64,
    /// Measured against expected.
    pub deviation: Deviation,
    /// Whether it is inside 1 %.
    pub inside: bool,
}

impl ClosedForm {
    fn new(preset: &str, what: &'static str, measured: u64, expected: u64) -> Self {
        let deviation = Deviation::of(measured, expected);
        Self {
            preset: preset.to_owned(),
            what,
            measured,
            expected,
            deviation,
            inside: deviation.within(BAND),
        }
    }
}

/// Checks the closed forms of the presets that are wanted.
pub fn check(wanted: &dyn Fn(&str) -> bool) -> anyhow::Result<Vec<ClosedForm>> {
    let mut forms = Vec::new();
    for preset in ssd::PRESETS.map(|preset| preset.name) {
        if wanted(preset) {
            forms.extend(self::forms(&Base::preset(preset))?);
        }
    }
    Ok(forms)
}

/// The closed forms of a drive's model.
pub fn forms(base: &Base) -> anyhow::Result<Vec<ClosedForm>> {
    let forms = match base.config()?.plan()?.model {
        ModelConfig::Zms(model) => zms_forms(base, &model),
        ModelConfig::Zns(model) => family::zns(base, &model),
        ModelConfig::Conv(model) => family::conv(base, &model),
        ModelConfig::Simple(model) => family::simple(base, &model),
    }?;
    let forms = forms.into_iter();
    Ok(forms
        .map(|(what, measured, expected)| ClosedForm::new(base.name(), what, measured, expected))
        .collect())
}

fn zms_forms(base: &Base, model: &zms::Config) -> anyhow::Result<Vec<Form>> {
    let link = |bytes| transfer(bytes, model.link_mbps);
    let channel = |bytes| transfer(bytes, model.timing.channel_mbps);
    let host_page = link(PAGE_BYTES);
    let flash_page = channel(PAGE_BYTES) + host_page;
    let firmware = model.costs.read_4k.get();
    let native_sense = model.timing.sense(model.geometry.cell, 0).get();
    let slc_sense = model.timing.sense(nand::Cell::Slc, 0).get();
    let buffer = model.costs.buffer_base.get() + model.costs.buffer_page.get();

    let mut drive = Drive::new(base, &[])?;
    let write = drive.run(Op::Write, 0, PAGE);
    drive.run(Op::Flush, 0, 0);
    drive.rest();
    let slc_read = drive.run(Op::Read, 0, PAGE);
    let beyond = drive.run(Op::Read, 1024, PAGE);
    let mut forms = vec![
        ("4 KiB write into a free buffer", write, buffer + host_page),
        (
            "4 KiB read from pSLC, L2P hit",
            slc_read,
            firmware + slc_sense + flash_page,
        ),
        (
            "4 KiB read of an unwritten page",
            beyond,
            firmware + host_page,
        ),
    ];
    if model.slc_bypass {
        let mut drive = Drive::new(base, &[])?;
        drive.fill(model)?;
        let native = drive.run(Op::Read, 0, PAGE);
        let hit = firmware + native_sense + flash_page;
        forms.push(("4 KiB read from native cells, L2P hit", native, hit));
        let settings = ["l2p-search=bitmap", "l2p-cache-size=16", "l2p-slots=1"];
        let mut drive = Drive::new(base, &settings)?;
        drive.fill(model)?;
        let miss = drive.run(Op::Read, 0, PAGE);
        let map_read = slc_sense + channel(PAGE_BYTES);
        forms.push((
            "the same, page-granular L2P miss (bitmap)",
            miss,
            hit + map_read,
        ));
    }
    Ok(forms)
}

/// Link time of so many bytes.
pub fn transfer(bytes: u64, mbps: u64) -> u64 {
    (bytes * 1_000_000_000).div_ceil(mbps << 20)
}

/// A drive that gets one command at a time.
pub struct Drive {
    simulation: Simulation,
}

impl Drive {
    /// A drive with `key=value` settings applied.
    pub fn new(base: &Base, settings: &[&str]) -> anyhow::Result<Self> {
        let mut config = base.config()?;
        for pair in settings {
            config.set_pair(pair)?;
        }
        let mut simulation = Simulation::new(&config)?;
        simulation.step(&Line::Depth(1));
        Ok(Self { simulation })
    }

    /// From now on commands arrive at once, at the epoch if there was none before.
    pub fn open_loop(&mut self) {
        self.simulation.step(&Line::Depth(0));
    }

    /// Latency in ns of a command of the data namespace.
    pub fn run(&mut self, op: Op, slba: u64, nlb: u32) -> u64 {
        self.command(op, slba, nlb, false)
    }

    /// Latency in ns of a write with FUA.
    pub fn durable(&mut self, slba: u64, nlb: u32) -> u64 {
        self.command(Op::Write, slba, nlb, true)
    }

    fn command(&mut self, op: Op, slba: u64, nlb: u32, fua: bool) -> u64 {
        let line = Line::Command(Command {
            arrival: Instant::ZERO,
            data: true,
            op,
            slba,
            nlb,
            fua,
        });
        let answer = self.simulation.step(&line);
        answer.as_ref().map_or(0, |a: &Answer| a.latency().get())
    }

    /// Waits until the drive has nothing left to do.
    pub fn rest(&mut self) {
        self.simulation.step(&Line::Idle(REST));
    }

    /// Writes whole buffers, so that the first page is in native cells.
    fn fill(&mut self, model: &zms::Config) -> anyhow::Result<()> {
        let pages = model.data_buffer_pages();
        for at in 0..u64::from(pages) {
            self.run(Op::Write, at * u64::from(PAGE), PAGE);
        }
        self.rest();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_times_round_up() {
        assert_eq!(transfer(4096, 1422), 2748);
        assert_eq!(transfer(4096, 3000), 1303);
    }

    #[test]
    fn ufs4_tlc_holds_its_published_figures() {
        let forms = super::forms(&Base::preset("ufs4-tlc")).unwrap();
        let expected: Vec<u64> = forms.iter().map(|form| form.expected).collect();
        assert_eq!(expected, [7503, 44_051, 21_303, 64_051, 86_799]);
        for form in forms {
            assert!(form.inside, "{form:?}");
        }
    }
}
