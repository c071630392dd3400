// SPDX-License-Identifier: GPL-2.0-or-later
//! What the drive did in each of fio's jobs, or in those together that ran at the same time, and what each was limited by.
//!
//! ```text
//!   fio's jobs        |--fill--|  |--read--|        each from its first sample on
//!   drive's clock  ---+-----------+--------+---     clock.rs says where on it that is
//!   counters       before  fill      read   after   rises of series.csv between the marks
//! ```

use ftl::Counter;
use serde::Serialize;
use serde_json::Value;

use crate::charts::started;
use crate::clock::Clock;
use crate::fio::{Job, Output};
use crate::series::{Series, Stretch};
use crate::statistics::{busy_ns, Section};
use crate::timeline::{Timeline, SAMPLE_MS};

/// From this share of the time on a part is what limits.
const BUSY: f64 = 0.9;
/// fio's threads do not see what the kernel does for them.
const BUSY_CPU: f64 = 0.8;
/// From this share of all flushes on, early ones are what limits.
const EARLY: f64 = 0.1;
const SECTOR: f64 = units::SECTOR_BYTES as f64;
const PAGE_SECTORS: f64 = units::PAGE_SECTORS as f64;

/// Jobs that ran at the same time.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase<'a> {
    /// Their names.
    pub name: String,
    /// Places in fio's list; empty for what came before and after.
    pub jobs: Vec<usize>,
    /// How long they ran, ns.
    ran: f64,
    stretch: Stretch<'a>,
    /// How many planes and channels the drive has.
    parts: [f64; 2],
}

/// What a job was limited by.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limit {
    /// The job, or jobs.
    pub job: String,
    /// By what, and how that shows.
    pub by: String,
}

impl Limit {
    /// In one line.
    pub fn text(&self) -> String {
        format!("{} is limited by {}", self.job, self.by)
    }
}

/// The phases of a run, with what came before and after the jobs; none where fio's clock and the drive's are not tied.
pub fn phases<'a>(
    (fio, stats): (&Output, Option<&Value>),
    timeline: &Timeline,
    series: &'a Series,
    clock: &Clock,
) -> Vec<Phase<'a>> {
    let (Some(stats), true) = (stats, clock.is_the_drives()) else {
        return Vec::new();
    };
    let ns = |ms: u64| {
        (clock.fio_at * 1e9 + (ms as f64 - timeline.origin_ms as f64) * 1e6).max(0.0) as u64
    };
    let mut jobs: Vec<(u64, u64, usize)> = (0..)
        .zip(fio.jobs.iter().zip(started(timeline, fio)))
        .filter_map(|(number, (job, start))| Some((start?, start? + job.took_ms(), number)))
        .collect();
    jobs.sort_unstable();
    // By samples a start is known to their distance only.
    let mut joined: Vec<(u64, u64, Vec<usize>)> = Vec::new();
    for (start, end, job) in jobs {
        match joined.last_mut() {
            Some(last) if start + SAMPLE_MS < last.1 => {
                last.1 = last.1.max(end);
                last.2.push(job);
            }
            _ => joined.push((start, end, vec![job])),
        }
    }
    let (Some(first), Some(last)) = (joined.first(), joined.last()) else {
        return Vec::new();
    };
    let parts = ["planes", "links"].map(|group| busy_ns(stats, group));
    let channels = parts[1]
        .iter()
        .filter(|(name, _)| name.starts_with("channel"));
    let parts = [parts[0].len() as f64, channels.count() as f64];
    let phase = |name: &str, jobs: &[usize], ran: f64, (from, to): (u64, u64)| Phase {
        name: name.into(),
        jobs: jobs.to_vec(),
        ran,
        stretch: Stretch::new(series, from, to),
        parts,
    };
    let begin = |(start, ..): &(u64, u64, Vec<usize>)| ns(start.saturating_sub(SAMPLE_MS));
    let over = ns(last.1 + SAMPLE_MS);
    let mut phases = vec![phase("before", &[], 0.0, (0, begin(first)))];
    for (number, one) in joined.iter().enumerate() {
        let to = joined.get(number + 1).map_or(over, begin);
        let names: Vec<&str> = one
            .2
            .iter()
            .filter_map(|job| Some(fio.jobs.get(*job)?.jobname.as_str()))
            .collect();
        let ran = (one.1 - one.0) as f64 * 1e6;
        phases.push(phase(&names.join(", "), &one.2, ran, (begin(one), to)));
    }
    phases.push(phase("after", &[], 0.0, (over, u64::MAX)));
    phases.retain(|phase| !phase.jobs.is_empty() || phase.has_work());
    phases
}

impl Phase<'_> {
    fn has_work(&self) -> bool {
        let moved = [Counter::HostReads, Counter::HostWrites, Counter::ZoneResets];
        moved.iter().any(|counter| self.rise(*counter) > 0.0)
    }

    fn rise(&self, counter: Counter) -> f64 {
        self.stretch.rise(counter) as f64
    }

    /// Mean latency of the drive's commands of a direction, ns, and how many there were.
    pub fn drive(&self, op: &str) -> Option<(f64, f64)> {
        let (time, commands) = match op {
            "read" => (Counter::HostReadTime, Counter::HostReads),
            "write" => (Counter::HostWriteTime, Counter::HostWrites),
            _ => return None,
        };
        let commands = self.rise(commands);
        (commands > 0.0).then(|| (self.rise(time) / commands, commands))
    }

    /// Shares of the time that planes, channels and the host link were busy, on average.
    fn busy(&self) -> [f64; 3] {
        let [planes, channels] = self.parts;
        let share = |name: &str, parts: f64| {
            let busy = self.stretch.named(name) as f64;
            (busy / parts.max(1.0) / self.ran.max(1.0)).min(1.0)
        };
        [
            share("planes_busy_ns", planes),
            share("channels_busy_ns", channels),
            share("link_busy_ns", 1.0),
        ]
    }

    /// How many commands the drive had at once, on average.
    fn depth(&self) -> f64 {
        let times = [
            Counter::HostReadTime,
            Counter::HostWriteTime,
            Counter::HostOtherTime,
        ];
        times.map(|time| self.rise(time)).iter().sum::<f64>() / self.ran.max(1.0)
    }

    /// What its jobs were limited by.
    pub fn limit(&self, fio: &Output) -> Option<Limit> {
        let jobs: Vec<&Job> = self
            .jobs
            .iter()
            .filter_map(|job| fio.jobs.get(*job))
            .collect();
        if jobs.is_empty() || self.ran == 0.0 {
            return None;
        }
        let per_cent = |share: f64| format!("{:.0} %", share * 100.0);
        let parts = self.busy().into_iter().zip([
            "flash: its planes are",
            "channels to its flash: they are",
            "host link: it is",
        ]);
        let most = parts.max_by(|a, b| a.0.total_cmp(&b.0));
        let (busy, part) = most.unwrap_or_default();
        let flushes = self.rise(Counter::Flushes);
        let early = self.rise(Counter::FlushPremature);
        let cpu: f64 = jobs.iter().map(|job| job.cpu()).sum();
        let outstanding: f64 = jobs.iter().map(|job| fio.outstanding(job)).sum();
        let by = if busy >= BUSY {
            format!("the drive's {part} busy {} of the time", per_cent(busy))
        } else if early > 0.0 && early >= flushes * EARLY {
            format!("the write buffers: {early:.0} of {flushes:.0} flushes came early, for another zone")
        } else if cpu >= BUSY_CPU {
            format!(
                "the guest's processor: fio takes {} of it",
                per_cent(cpu.min(1.0))
            )
        } else if outstanding <= 1.0 {
            format!(
                "one I/O at a time: the drive has a command {} of the time, the guest the rest",
                per_cent(self.depth().min(1.0))
            )
        } else {
            format!(
                "no part alone: the drive has {:.1} commands at once, its busiest part is so {} of the time, fio takes {} of a processor",
                self.depth(),
                per_cent(busy),
                per_cent(cpu)
            )
        };
        Some(Limit {
            job: self.name.clone(),
            by,
        })
    }

    /// Every counter's rise, for programs.
    pub fn json(&self) -> Value {
        let rises = Counter::ALL.iter();
        let rises = rises.map(|counter| {
            (
                counter.name().to_owned(),
                self.stretch.rise(*counter).into(),
            )
        });
        serde_json::json!({
            "name": self.name,
            "counters": rises.collect::<serde_json::Map<_, _>>(),
        })
    }
}

/// A ratio of two figures in some unit; a dash without the second.
fn ratio(part: f64, whole: f64, digits: usize) -> String {
    if whole > 0.0 {
        format!("{:.digits$}", part / whole)
    } else {
        "-".into()
    }
}

/// The table of all phases: what anything happened of.
pub fn section(phases: &[Phase<'_>]) -> Option<Section> {
    phases.first()?;
    type Of = fn(&Phase<'_>) -> String;
    let megabytes: [(&str, Of); 8] = [
        ("read by the host, MB", |p| {
            ratio(p.rise(Counter::HostReadSectors) * SECTOR, 1e6, 1)
        }),
        ("written by the host, MB", |p| {
            ratio(p.rise(Counter::HostWriteSectors) * SECTOR, 1e6, 1)
        }),
        ("mean read, us", |p| {
            ratio(
                p.rise(Counter::HostReadTime),
                p.rise(Counter::HostReads) * 1e3,
                1,
            )
        }),
        ("mean write, us", |p| {
            ratio(
                p.rise(Counter::HostWriteTime),
                p.rise(Counter::HostWrites) * 1e3,
                1,
            )
        }),
        ("write amplification", |p| {
            ratio(
                p.rise(Counter::PagesProgrammed) * PAGE_SECTORS,
                p.rise(Counter::HostWriteSectors),
                2,
            )
        }),
        ("L2P hits, %", |p| {
            let hits = p.rise(Counter::L2pHits);
            ratio(hits * 100.0, hits + p.rise(Counter::L2pMisses), 1)
        }),
        ("planes busy, %", |p| {
            ratio(p.busy()[0] * 100.0, p.ran.min(1.0), 0)
        }),
        ("host link busy, %", |p| {
            ratio(p.busy()[2] * 100.0, p.ran.min(1.0), 0)
        }),
    ];
    let counters = [
        ("reads", Counter::HostReads),
        ("writes", Counter::HostWrites),
        ("zone appends among them", Counter::HostAppends),
        ("flushes", Counter::HostFlushes),
        ("zone resets", Counter::ZoneResets),
        ("buffers flushed when full", Counter::FlushFull),
        ("buffers flushed early", Counter::FlushPremature),
        ("migrations", Counter::Migrations),
        ("garbage collections", Counter::GcRuns),
        ("map reads", Counter::MapReads),
    ];
    let row = |title: &str, of: &dyn Fn(&Phase<'_>) -> String| {
        (title.to_owned(), phases.iter().map(of).collect::<Vec<_>>())
    };
    let ratios = megabytes.iter().map(|(title, of)| row(title, of));
    let counts = counters
        .iter()
        .map(|(title, counter)| row(title, &|phase| phase.stretch.rise(*counter).to_string()));
    let some = |values: &[String]| {
        values
            .iter()
            .any(|v| !matches!(v.as_str(), "-" | "0" | "0.0"))
    };
    Some(Section {
        name: "What the drive did in each job".into(),
        columns: phases.iter().map(|phase| phase.name.clone()).collect(),
        rows: ratios
            .chain(counts)
            .filter(|(_, values)| some(values))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fio, samples, timeline};
    use serde_json::json;

    /// fio's fill begins at 1 s of the drive's clock and its reads at 4 s.
    const SERIES: &str = "\
time_ns,host_reads,host_writes,host_read_sectors,host_write_sectors,host_read_time_ns,host_write_time_ns,pages_programmed,flushes,flush_premature,host_appends,planes_busy_ns,channels_busy_ns,link_busy_ns
500000000,0,0,0,0,0,0,0,0,0,0,0,0,0
900000000,3,0,24,0,300,0,0,0,0,0,0,0,0
3100000000,3,1536,24,1572864,300,460800000,393216,10,0,1536,3900000000,9,9
3900000000,3,1536,24,1572864,300,460800000,393216,10,0,1536,3900000000,9,9
4061000000,1003,1536,8024,1572864,48000300,460800000,393216,10,0,1536,3930000000,9,9
9000000000,1007,1536,8056,1572864,48000300,460800000,393216,10,0,1536,3930000000,9,9
";

    fn with<T>(change: impl Fn(&mut Output), of: impl Fn(&Output, &[Phase<'_>]) -> T) -> T {
        let mut output = fio::parse(samples::FIO_JSON).unwrap();
        change(&mut output);
        let parsed = timeline::parse(samples::LOGS, 20).unwrap();
        let stats = json!({"host_clock_ms": 1_577_836_800_000_u64, "planes": {"0": {"busy_ns": 1}, "1": {"busy_ns": 1}},
            "links": {"channel0": {"busy_ns": 1}, "host": {"busy_ns": 1}}});
        let series = Series::parse(SERIES).unwrap();
        let clock = Clock::of(Some(&stats), &parsed, series.span().as_ref());
        assert_eq!((clock.fio_at, clock.span.clone()), (1.0, 0.5..9.0));
        of(
            &output,
            &phases((&output, Some(&stats)), &parsed, &series, &clock),
        )
    }

    #[test]
    fn each_job_has_its_own_counters_and_all_are_somewhere() {
        with(
            |_| (),
            |_, phases| {
                let names: Vec<_> = phases.iter().map(|phase| phase.name.as_str()).collect();
                assert_eq!(names, ["before", "fill", "randread", "after"]);
                let reads = phases.iter().map(|p| p.stretch.rise(Counter::HostReads));
                assert_eq!(reads.collect::<Vec<_>>(), [3, 0, 1000, 4]);
                assert_eq!(phases[2].drive("read"), Some((48_000.0, 1000.0)));
                assert_eq!(phases[2].drive("write"), None);
                let table = section(phases).unwrap();
                assert_eq!(table.columns, names);
                let of = |title: &str| {
                    table
                        .rows
                        .iter()
                        .find(|(name, _)| name == title)
                        .unwrap()
                        .1
                        .join(" ")
                };
                assert_eq!(of("written by the host, MB"), "0.0 805.3 0.0 0.0");
                assert_eq!(of("write amplification"), "- 2.00 - -");
                assert_eq!(of("zone appends among them"), "0 1536 0 0");
                assert_eq!(of("planes busy, %"), "- 98 25 -");
                assert!(
                    table.rows.iter().all(|(name, _)| name != "migrations"),
                    "none were"
                );
                assert_eq!(phases[1].json()["counters"]["host_writes"], 1536);
            },
        );
    }

    #[test]
    fn what_limits_a_job_is_said_in_a_line() {
        let limits = |change: fn(&mut Output)| {
            with(change, |fio, phases| {
                let limits = phases.iter().filter_map(|phase| phase.limit(fio));
                limits.map(|limit| limit.text()).collect::<Vec<_>>()
            })
        };
        let [fill, reads] = &limits(|_| ())[..] else {
            panic!("two jobs");
        };
        assert_eq!(
            fill,
            "fill is limited by the drive's flash: its planes are busy 98 % of the time"
        );
        assert_eq!(
            reads,
            "randread is limited by one I/O at a time: the drive has a command 79 % of the time, the guest the rest"
        );
        let deep = limits(|fio| fio.jobs[1].set("iodepth", "32"));
        assert!(deep[1].contains("no part alone"), "{deep:?}");
    }

    #[test]
    fn without_a_common_clock_there_is_none() {
        let fio = fio::parse(samples::FIO_JSON).unwrap();
        let parsed = timeline::parse(samples::LOGS, 20).unwrap();
        let series = Series::parse(SERIES).unwrap();
        let far = json!({"host_clock_ms": 5});
        for stats in [None, Some(&far), Some(&json!({}))] {
            let clock = Clock::of(stats, &parsed, series.span().as_ref());
            assert_eq!(clock.title, "time in the guest, s");
            assert!(phases((&fio, stats), &parsed, &series, &clock).is_empty());
            assert_eq!(clock.of_drive(series.span()).span, 0.5..9.0);
        }
        assert!(section(&[]).is_none());
    }
}
