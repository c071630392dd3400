// SPDX-License-Identifier: GPL-2.0-or-later
//! The report as one HTML page without outside files, readable on a screen and in print.

use anyhow::{Context, Result};
use askama::Template;
use lab::provenance::Setting;

use crate::phases::{self, Limit};
use crate::series::Series;
use crate::statistics::{self, Section};
use crate::summary::{Row, Summary};
use crate::times::Times;
use crate::{accounts, Pictures, Report};

/// A property of the drive as it was in the run.
#[derive(Debug, Clone, PartialEq)]
pub struct DriveProperty {
    /// As after `--set`.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Set by the user, not by the preset.
    pub explicit: bool,
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    title: &'a str,
    header: [&'static str; 9],
    rows: Vec<[String; 9]>,
    waf: String,
    hit_rate: String,
    errors: u64,
    /// What is said below the results.
    notes: Vec<String>,
    pictures: &'a Pictures,
    accounts: Vec<Section>,
    narrow: Vec<Section>,
    wide: Vec<Section>,
    settings: &'a [Setting],
    properties: &'a [DriveProperty],
    job: String,
    filesystem: &'a str,
}

/// Renders the page; the pictures are SVG texts.
pub(crate) fn page(report: &Report, pictures: &Pictures) -> Result<String> {
    let summary: Summary = report.summary();
    let sections = report
        .stats
        .as_ref()
        .map(statistics::sections)
        .unwrap_or_default();
    let (wide, narrow) = sections
        .into_iter()
        .partition(|s: &Section| s.columns.len() > 2);
    let series = Series::parse(&report.series)?;
    let in_jobs = phases::section(&report.phases(&series));
    let accounts = report.stats.as_ref().map(accounts::sections);
    let accounts = accounts.unwrap_or_default();
    let times = summary.times.iter().map(Times::text);
    let limits = summary.limits.iter().map(Limit::text);
    // Of our own job files a reader needs the jobs.
    let lines = report
        .job
        .lines()
        .filter(|line| !line.contains("SPDX-License-Identifier"));
    let page = Page {
        title: &report.title,
        header: Row::HEADER,
        rows: summary.jobs.iter().map(Row::texts).collect(),
        waf: summary.write_amplification_text(),
        hit_rate: summary.l2p_hit_rate_text(),
        errors: summary.errors,
        notes: times.chain(limits).collect(),
        pictures,
        accounts: in_jobs.into_iter().chain(accounts).collect(),
        narrow,
        wide,
        settings: &report.settings,
        properties: &report.properties,
        filesystem: report.filesystem.trim_end(),
        job: lines.collect::<Vec<_>>().join("\n"),
    };
    page.render().context("rendering the report")
}
