// SPDX-License-Identifier: GPL-2.0-or-later
//! What a run leaves behind: figures, pictures and one page that holds them all.
//!
//! ```text
//! fio.json ──> fio ──┬─> summary ──> table on the terminal, --json
//! stats.json ────────┤                      │
//! sample logs ─> timeline ─> charts ─> *.svg┴─> html ─> report.html
//! ```
//! Nothing in the files depends on the host's clock or paths, so two runs under virtual time give the same bytes.

pub mod charts;
pub mod fio;
mod html;
pub mod plot;
#[cfg(test)]
mod samples;
mod statistics;
pub mod summary;
pub mod timeline;
pub mod times;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

pub use html::{DriveProperty, Setting};
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
    /// fio's samples over time.
    pub timeline: Timeline,
    /// What the run was made with: command, device, versions.
    pub settings: Vec<Setting>,
    /// The drive's properties; none for a device of the user's own.
    pub properties: Vec<DriveProperty>,
    /// The fio job file.
    pub job: String,
    /// The guest's kernel log.
    pub console: String,
}

impl Report {
    /// The figures.
    pub fn summary(&self) -> Summary {
        Summary::new(&self.fio, self.stats.as_ref())
    }

    /// Writes the files into `dir`, which is made if need be.
    pub fn write(&self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        let put = |name: &str, text: &str| {
            let path = dir.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
        };
        let latency = charts::latency(&self.fio)?;
        let timeline = charts::timeline(&self.timeline, &self.fio)?;
        put("fio.json", &self.fio_text)?;
        put("console.log", &self.console)?;
        if let Some(stats) = &self.stats {
            put("stats.json", &format!("{stats:#}\n"))?;
        }
        for (name, picture) in [("latency.svg", &latency), ("timeline.svg", &timeline)] {
            if let Some(picture) = picture {
                put(name, picture)?;
            }
        }
        put(
            "report.html",
            &html::page(self, latency.as_deref(), timeline.as_deref())?,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report() -> Report {
        Report {
            title: "tlc-zoned, virtual time".into(),
            fio_text: samples::FIO_JSON.into(),
            fio: fio::parse(samples::FIO_JSON).unwrap(),
            stats: Some(
                json!({"waf": 1.5, "l2p_hits": 3, "l2p_misses": 1, "namespaces": [{"nsid": 2, "host_reads": 7}]}),
            ),
            timeline: timeline::parse(samples::LOGS, 20).unwrap(),
            settings: vec![Setting::new("device", "conzone-nvme,serial=<a&b>")],
            properties: vec![DriveProperty {
                name: "zones",
                value: "8".into(),
                explicit: true,
            }],
            job: "[fill]\nrw=write\n".into(),
            console: "[    0.000000] Linux\n".into(),
        }
    }

    #[test]
    fn writes_every_file_and_a_page_that_stands_alone() {
        let dir = tempfile::tempdir().unwrap();
        report().write(dir.path()).unwrap();
        for name in [
            "fio.json",
            "console.log",
            "stats.json",
            "latency.svg",
            "timeline.svg",
            "report.html",
        ] {
            assert!(
                dir.path().join(name).metadata().unwrap().len() > 0,
                "{name}"
            );
        }
        let page = fs::read_to_string(dir.path().join("report.html")).unwrap();
        assert_eq!(page.matches("<svg").count(), 2);
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
            ..report()
        };
        bare.write(dir.path()).unwrap();
        assert!(!dir.path().join("stats.json").exists());
        let page = fs::read_to_string(dir.path().join("report.html")).unwrap();
        assert!(page.trim_end().ends_with("</html>"));
    }
}
