// SPDX-License-Identifier: GPL-2.0-or-later
//! What a run leaves behind: figures, pictures and one page that holds them all.
//!
//! ```text
//! fio.json ──> fio ──┬─> summary ──> table on the terminal, --json
//! stats.json ────────┤                      │
//! sample logs ─> timeline ─> charts ─> *.svg┴─> html ─> report.html
//!
//! cuts of `crash` ──> crash ──> report.html, cuts.svg
//! two of these folders or more ─> compare ─> compare.html, a table on the terminal, --json
//! ```
//! Nothing in the files depends on the host's clock or paths, so two runs under virtual time give the same bytes.

#![forbid(unsafe_code)]
#![deny(clippy::print_stdout)] // lab::out forgives readers that went away

pub mod accounts;
mod charts;
mod clock;
pub mod compare;
pub mod crash;
mod drawn;
pub mod fio;
mod heat;
mod html;
mod phases;
#[cfg(test)]
mod samples;
mod series;
pub mod statistics;
mod study;
mod summary;
mod tails;
pub mod timeline;
mod times;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use lab::plot::labelled;
use lab::provenance::Setting;
use serde_json::{json, Value};

use clock::Clock;
use heat::Heat;
pub use html::DriveProperty;
use series::Series;
use summary::Summary;
use timeline::Timeline;

/// Everything measured and everything needed to measure it again.
#[derive(Debug)]
pub struct Report {
    /// One line: what was run on what.
    pub title: String,
    /// fio's results, as it printed them and parsed.
    pub fio_text: String,
    /// The same, parsed.
    pub fio: fio::Output,
    /// The device's statistics, where it gave any.
    pub stats: Option<Value>,
    /// Commands took the model's time; not with `timing=off`.
    pub timed: bool,
    /// fio's samples over time.
    pub timeline: Timeline,
    /// fio's histogram logs, joined, and how many ms their rows are apart; empty without.
    pub histograms: (String, u64),
    /// The drive's counters over model time, CSV; empty without.
    pub series: String,
    /// Its zones at the end, CSV; empty without.
    pub zones: String,
    /// How full they were over model time, CSV; empty without.
    pub zone_series: String,
    /// What was read of them, CSV; empty without.
    pub zone_reads: String,
    /// What the run was made with: command, device, versions.
    pub settings: Vec<Setting>,
    /// The drive's properties; none for a device of the user's own.
    pub properties: Vec<DriveProperty>,
    /// The fio job file.
    pub job: String,
    /// The guest's kernel log.
    pub console: String,
    /// fio's sample logs, joined (`timeline`).
    pub samples: String,
    /// What the file system says of itself; empty without.
    pub filesystem: String,
}

impl Report {
    /// The figures.
    pub fn summary(&self) -> Summary {
        // A series that cannot be read is told when the pictures are drawn.
        let series = Series::parse(&self.series).unwrap_or_default();
        let summary = Summary::new(&self.fio, self.stats.as_ref(), &self.phases(&series));
        if self.timed {
            summary
        } else {
            summary.without_times()
        }
    }

    /// Writes the files into `dir`, which is made if need be.
    pub fn write(&self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        let put = |name: &str, text: &str| {
            let path = dir.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
        };
        let (json, notes) = fio::split(&self.fio_text)?;
        put("fio.json", &format!("{json}\n"))?;
        put("console.log", &self.console)?;
        for (name, text) in [
            ("fio-samples.log", &self.samples),
            ("fio-notes.txt", &notes),
            ("filesystem.txt", &self.filesystem),
        ] {
            if !text.is_empty() {
                put(name, text)?;
            }
        }
        put("run.json", &format!("{:#}\n", self.record()?))?;
        if !self.histograms.0.is_empty() {
            put("clat-histograms.log", &self.histograms.0)?;
        }
        if let Some(stats) = &self.stats {
            put("stats.json", &format!("{stats:#}\n"))?;
        }
        for (name, text) in [
            ("series.csv", &self.series),
            ("zones.csv", &self.zones),
            ("zone-series.csv", &self.zone_series),
            ("zone-reads.csv", &self.zone_reads),
        ] {
            if text.lines().nth(1).is_some() {
                put(name, text)?;
            }
        }
        let pictures = self.pictures()?;
        for (name, picture) in pictures.all() {
            if let Some(picture) = picture {
                put(name, picture)?;
            }
        }
        put("report.html", &html::page(self, &pictures)?)
    }

    /// What a comparison needs of a run.
    fn record(&self) -> Result<Value> {
        let series = Series::parse(&self.series)?;
        let settings = self.settings.iter().map(|s| (s.name, s.value.as_str()));
        let properties = self.properties.iter().map(|p| (p.name, p.value.as_str()));
        Ok(json!({
            "format": FORMAT,
            "title": self.title,
            "settings": settings.collect::<Vec<_>>(),
            "properties": properties.collect::<Vec<_>>(),
            "summary": serde_json::to_value(self.summary())?,
            "phases": self.phases(&series).iter().map(phases::Phase::json).collect::<Vec<_>>(),
        }))
    }

    /// What the drive did in each job.
    fn phases<'a>(&self, series: &'a Series) -> Vec<phases::Phase<'a>> {
        let clock = self.clock(series);
        let run = (&self.fio, self.stats.as_ref());
        phases::phases(run, &self.timeline, series, &clock)
    }

    /// The axis of time of the pictures.
    fn clock(&self, series: &Series) -> Clock {
        let timeline = charts::with_short_jobs(&self.timeline, &self.fio);
        Clock::of(self.stats.as_ref(), &timeline, series.span().as_ref())
    }

    fn pictures(&self) -> Result<Pictures> {
        let series = Series::parse(&self.series)?;
        let (text, ms) = &self.histograms;
        let tails = tails::parse(text, *ms)?;
        let busy = self.stats.as_ref().zip(series.span_ns());
        let series = if self.timed {
            series
        } else {
            series.without_times()
        };
        let label = |picture: Option<String>, label| picture.map(|svg| labelled(&svg, label));
        let clock = self.clock(&series);
        let drive = clock.of_drive(series.span());
        Ok(Pictures {
            latency: charts::latency(&self.fio)?,
            nines: charts::nines(&self.fio)?,
            timeline: label(
                charts::timeline(&self.timeline, &self.fio, &clock)?,
                "bandwidth and mean latency over time",
            ),
            tails: label(
                charts::tails(&tails, &self.timeline, &self.fio, &clock)?,
                "99th and 99.9th percentile of the latency over time",
            ),
            drive: label(series.svg(&drive)?, "what the drive did over time"),
            zones: label(
                drawn::zones(&self.zones)?,
                "how full each zone is at the end",
            ),
            zone_series: label(
                heat::svg(Heat::Written, &self.zone_series, &drive)?,
                "how full each zone was over time",
            ),
            zone_reads: label(
                heat::svg(Heat::Read, &self.zone_reads, &drive)?,
                "how fast each zone was read over time",
            ),
            utilisation: label(
                busy.and_then(|(stats, span)| drawn::utilisation(stats, span)),
                "how busy planes and links were",
            ),
        })
    }
}

/// Version of run.json.
const FORMAT: u64 = 1;

/// SVG texts, as far as there is something to draw.
#[derive(Debug)]
struct Pictures {
    latency: Option<String>,
    nines: Option<String>,
    timeline: Option<String>,
    tails: Option<String>,
    drive: Option<String>,
    zones: Option<String>,
    zone_series: Option<String>,
    zone_reads: Option<String>,
    utilisation: Option<String>,
}

impl Pictures {
    /// With the names of their files.
    fn all(&self) -> [(&'static str, &Option<String>); 9] {
        [
            ("latency.svg", &self.latency),
            ("tail.svg", &self.nines),
            ("timeline.svg", &self.timeline),
            ("percentiles.svg", &self.tails),
            ("drive.svg", &self.drive),
            ("zones.svg", &self.zones),
            ("zone-series.svg", &self.zone_series),
            ("zone-reads.svg", &self.zone_reads),
            ("utilisation.svg", &self.utilisation),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A run with everything in it.
    pub(crate) fn report() -> Report {
        Report {
            title: "tlc-zoned, virtual time".into(),
            fio_text: samples::FIO_JSON.into(),
            fio: fio::parse(samples::FIO_JSON).unwrap(),
            stats: Some(
                json!({"waf": 1.5, "l2p_hits": 3, "l2p_misses": 1, "namespaces": [{"nsid": 2, "host_reads": 7}], "planes": {"0": {"busy_ns": 9}}}),
            ),
            timed: true,
            timeline: timeline::parse(samples::LOGS, 20).unwrap(),
            histograms: (samples::histograms(), 20),
            series: samples::SERIES.into(),
            zones: samples::ZONES.into(),
            zone_series: samples::ZONE_SERIES.into(),
            zone_reads: samples::ZONE_READS.into(),
            settings: vec![Setting::new("device", "conzone-nvme,serial=<a&b>")],
            properties: vec![DriveProperty {
                name: "zones",
                value: "8".into(),
                explicit: true,
            }],
            job: "[fill]\nrw=write\n".into(),
            console: "[    0.000000] Linux\n".into(),
            samples: samples::LOGS.into(),
            filesystem: "Utilization: <3>%\n".into(),
        }
    }

    #[test]
    fn writes_every_file_and_a_page_that_stands_alone() {
        let dir = tempfile::tempdir().unwrap();
        let noted = Report {
            fio_text: format!("note: capped\n{}", samples::FIO_JSON),
            ..report()
        };
        noted.write(dir.path()).unwrap();
        let json = fs::read_to_string(dir.path().join("fio.json")).unwrap();
        serde_json::from_str::<Value>(&json).unwrap();
        for name in [
            "fio.json",
            "console.log",
            "fio-samples.log",
            "fio-notes.txt",
            "filesystem.txt",
            "stats.json",
            "latency.svg",
            "tail.svg",
            "timeline.svg",
            "percentiles.svg",
            "clat-histograms.log",
            "drive.svg",
            "zones.svg",
            "utilisation.svg",
            "series.csv",
            "zones.csv",
            "zone-series.csv",
            "zone-series.svg",
            "zone-reads.csv",
            "zone-reads.svg",
            "run.json",
            "report.html",
        ] {
            assert!(
                dir.path().join(name).metadata().unwrap().len() > 0,
                "{name}"
            );
        }
        let page = fs::read_to_string(dir.path().join("report.html")).unwrap();
        assert_eq!(page.matches("<svg").count(), 9);
        assert!(
            page.contains("serial=&lt;a&amp;b&gt;") || page.contains("serial=&#60;a&#38;b&#62;"),
            "escaped"
        );
        assert!(
            !page.contains("src=") && !page.contains("<link"),
            "needs no other file"
        );
        assert!(page.contains("75.0 %"), "hit rate");
        assert!(
            page.contains("Utilization: &#60;3&#62;%"),
            "F2FS's own figures"
        );
        assert_eq!(
            page.matches("role=\"img\" aria-label=").count(),
            9,
            "each is described"
        );
        // Nothing that is moved sideways on a screen is cut off on paper.
        let (_, print) = page.split_once("@media print").unwrap();
        for rule in [
            ".scroll { overflow: visible; }",
            "min-width: 0",
            "figure, tr",
        ] {
            assert!(print.contains(rule), "{rule}");
        }
        assert!(
            !page.contains("<th></th>") && !page.contains("<th>"),
            "headers have a scope"
        );
        assert!(
            page.contains("<b>zones</b>"),
            "what the user set stands out"
        );
    }

    #[test]
    fn without_statistics_and_samples_the_page_is_still_whole() {
        let dir = tempfile::tempdir().unwrap();
        let bare = Report {
            stats: None,
            timeline: Timeline::default(),
            histograms: (String::new(), 20),
            series: String::new(),
            zones: String::new(),
            zone_series: String::new(),
            zone_reads: String::new(),
            ..report()
        };
        bare.write(dir.path()).unwrap();
        assert!(!dir.path().join("stats.json").exists());
        let page = fs::read_to_string(dir.path().join("report.html")).unwrap();
        assert!(page.trim_end().ends_with("</html>"));
    }

    #[test]
    fn a_drive_that_takes_no_time_has_no_part_in_the_latency() {
        let latency = json!({"read": {"count": 1000, "mean_ns": 48_000}});
        let timed = Report {
            stats: Some(json!({"namespaces": {"data": {"latency": latency}}})),
            ..report()
        };
        let said = "mean read 60.5 us = drive 48.0 + guest software 12.5";
        let page = |report: &Report| html::page(report, &report.pictures().unwrap()).unwrap();
        assert!(timed.summary().text().contains(said));
        assert!(page(&timed).contains(said));
        let untimed = Report {
            timed: false,
            ..timed
        };
        assert!(!untimed.summary().text().contains("= drive"));
        assert!(!page(&untimed).contains("= drive"));
    }
}
