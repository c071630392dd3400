// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone validate --hardware`: the model against drives that can be bought.
//!
//! ```text
//! points    rows of tests/hardware: what was asked, and what the drive took
//! host      the threads that asked
//! play      the same on the model
//! judge     by group: how far, how many, inside which bands
//! ```

mod host;
mod judge;
mod play;
mod points;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::drive::Base;
use crate::failure::Prerequisite;
use crate::out::say;
use crate::progress::Progress;
use crate::threads;
use judge::{Compared, Report};
use points::Point;

/// The zoned drive of the data.
const ZNS_DRIVE: &str = "zns-a";

/// Which preset stands for which drive.
const DRIVES: [(&str, &str); 1] = [(ZNS_DRIVE, "zns-zn540")];

/// What is to be compared, and how it is shown.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only this preset's drive, or that of a file that starts from it.
    pub base: Base,
    /// `key=value` over the presets.
    pub set: Vec<String>,
    /// Every point.
    pub all: bool,
    /// As JSON.
    pub json: bool,
}

/// Compares with the files below `dir`, and prints.
///
/// # Errors
/// A file cannot be read, a preset makes no drive, a point does not fit it.
pub fn run(progress: Progress, dir: &Path, options: &Options) -> anyhow::Result<ExitCode> {
    let report = report(progress, options, dir)?;
    if options.json {
        say!("{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        say!("{}", report.text(options.all))?;
    }
    Ok(match report.inside() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn report(progress: Progress, options: &Options, dir: &Path) -> anyhow::Result<Report> {
    let asked = options
        .base
        .is_given()
        .then(|| options.base.preset_in_effect());
    if let Some(other) = asked.filter(|asked| DRIVES.iter().all(|(_, preset)| preset != asked)) {
        let known = DRIVES.map(|(_, preset)| preset).join(", ");
        let why =
            format!("--hardware: no drive was measured that preset {other} stands for ({known})");
        return Err(Prerequisite(why).into());
    }
    let mut measured = points::by_drive(points::read(dir)?);
    let mut compared = Vec::new();
    for (drive, preset) in DRIVES {
        let points = measured.remove(drive).unwrap_or_default();
        let base = &options.base;
        if points.is_empty() || base.is_given() && base.preset_in_effect() != preset {
            continue;
        }
        let mut config = match base.is_given() {
            true => base.config()?,
            false => ssd::Config::preset(preset)?,
        };
        for pair in &options.set {
            config.set_pair(pair)?;
        }
        let drive = play::Drive::new(&config).with_context(|| format!("preset {preset}"))?;
        let bar = progress.bar(preset, points.len() as u64);
        let compare = |point: &Point| {
            let model = drive.play(&point.play);
            bar.inc(1);
            let model = model.with_context(|| point.name.clone())?;
            anyhow::Ok(Compared::new(preset, point, model))
        };
        let each = threads::each(threads::all(), &points, compare);
        bar.finish_and_clear();
        compared.extend(each?);
    }
    Ok(Report::new(compared))
}
