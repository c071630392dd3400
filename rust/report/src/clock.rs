// SPDX-License-Identifier: GPL-2.0-or-later
//! One clock for everything that a run's page shows over time: the drive's. Linux has told the drive what its own clock
//! says (NVMe's Timestamp), so fio's samples have a place on it, to a millisecond.

use std::ops::Range;

use serde_json::Value;

use crate::timeline::Timeline;

/// Measures of pictures over time, which lie below each other on one scale.
pub const WIDTH: u32 = 900;
pub const LEFT: u32 = 184;
/// Of that, before the title.
pub const MARGIN: u32 = 12;
pub const RIGHT: u32 = 24;
/// How far fio's samples may lie from the drive's own: what is further is of another clock.
const STRAY_S: f64 = 60.0;

/// The axis of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Clock {
    /// What it is called.
    pub title: &'static str,
    /// Seconds from its 0 to that of fio's samples.
    pub fio_at: f64,
    /// What there is to show, seconds.
    pub span: Range<f64>,
}

impl Clock {
    /// Of a run's samples, and the span of the drive's own, seconds: the drive's clock, or the guest's, from fio's first sample on, where nothing ties the two.
    pub fn of(stats: Option<&Value>, timeline: &Timeline, drive: Option<&Range<f64>>) -> Self {
        let told = stats.and_then(|stats| stats.get("host_clock_ms")?.as_u64());
        let tied = told.zip(drive).and_then(|(ms, drive)| {
            let at = (timeline.origin_ms as f64 - ms as f64) / 1e3;
            let fio = at..at + timeline.end();
            let near = fio.start > drive.start - STRAY_S && fio.end < drive.end + STRAY_S;
            (timeline.origin_ms > 0 && near).then(|| Self {
                title: "the drive's clock, s",
                fio_at: at,
                span: fio.start.min(drive.start)..fio.end.max(drive.end),
            })
        });
        tied.unwrap_or_else(|| Self {
            title: "time in the guest, s",
            fio_at: 0.0,
            span: 0.0..timeline.end(),
        })
    }

    /// The same for pictures of what the drive did.
    pub fn of_drive(&self, span: Option<Range<f64>>) -> Self {
        match span {
            Some(span) if !self.is_the_drives() => Self {
                title: "the drive's clock, s",
                fio_at: 0.0,
                span,
            },
            _ => self.clone(),
        }
    }

    /// Whether fio's samples are on the drive's clock.
    pub fn is_the_drives(&self) -> bool {
        self.title.starts_with("the drive's")
    }
}
