// SPDX-License-Identifier: GPL-2.0-or-later
//! The measured points: which files there are, and what each row says.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{bail, Context as _};
use serde::{Deserialize, Serialize};

/// What is alike in kind, and has bands in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Random reads.
    Randread,
    /// Sequential reads.
    Read,
    /// Sequential writes.
    Write,
    /// Zone appends.
    Append,
    /// Random writes.
    Writerand,
    /// Zone resets.
    Reset,
    /// Zone finishes.
    Finish,
    /// Open, close, and the first write after them.
    OpenClose,
    /// Random reads beside writes that are held to a rate.
    BesideWrites,
    /// Those writes.
    HeldWrites,
    /// Reads, writes and appends beside resets, and those resets.
    BesideResets,
}

impl Group {
    /// Its name in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Randread => "randread",
            Self::Read => "read",
            Self::Write => "write",
            Self::Append => "append",
            Self::Writerand => "writerand",
            Self::Reset => "reset",
            Self::Finish => "finish",
            Self::OpenClose => "open, close",
            Self::BesideWrites => "beside writes",
            Self::HeldWrites => "held writes",
            Self::BesideResets => "beside resets",
        }
    }
}

/// How a job chooses where to read or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anywhere in what has been written.
    RandomRead,
    /// Its zone from start to end.
    Read,
    /// Its zones one after the other.
    Write,
    /// The same, by appends.
    Append,
    /// Anywhere.
    RandomWrite,
}

/// fio jobs that are alike, a thread each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jobs {
    /// What they do.
    pub access: Access,
    /// Block size in bytes.
    pub block: u64,
    /// How many commands each keeps outstanding.
    pub depth: u32,
    /// How many jobs.
    pub jobs: u32,
}

/// What happens to a zone before the command that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nothing: it is empty.
    Nothing,
    /// It is opened.
    Open,
    /// It is opened, and this many pages of 4 KiB are written.
    Write(u64),
    /// It is opened, this many pages are written, and it is finished.
    Finish(u64),
    /// It is opened and a page written, so that it can be closed.
    Close,
}

/// A command on a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneCommand {
    Reset,
    Finish,
    Open,
    Close,
    /// A write of 4 KiB.
    Write,
    /// An append of 4 KiB.
    Append,
}

/// What is played for a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Play {
    /// Jobs.
    Jobs(Jobs),
    /// Reads at this depth beside writes of 128 KiB, or appends, held to a rate in MiB/s; `reads`: which of them is timed.
    Beside {
        append: bool,
        rate: u64,
        depth: u32,
        reads: bool,
    },
    /// A command on zone after zone.
    Zone(Before, ZoneCommand),
    /// Commands one after another beside resets of full zones; `resets`: which of them is timed.
    Resets { access: Access, resets: bool },
}

/// Latencies, in us.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latencies {
    pub mean_us: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

/// A measured point.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Which drive.
    pub drive: String,
    pub group: Group,
    /// Its row, for people.
    pub name: String,
    pub play: Play,
    pub measured: Latencies,
}

#[derive(Debug, Deserialize)]
struct FioRow {
    drive: String,
    lba: u64,
    set: String,
    bs: u64,
    zones: u32,
    qd: u32,
    mean_us: f64,
    p50_us: f64,
    p99_us: f64,
}

#[derive(Debug, Deserialize)]
struct ZoneRow {
    experiment: String,
    run: String,
    command: String,
    mean_us: f64,
    p50_us: f64,
    p99_us: f64,
}

#[derive(Debug, Deserialize)]
struct BesideRow {
    set: String,
    job: String,
    mean_us: f64,
    p50_us: f64,
    p99_us: f64,
}

/// The points below `dir`, those of one group together.
///
/// # Errors
/// A file cannot be read, lacks a column, or has a row that says nothing known.
pub fn read(dir: &Path) -> anyhow::Result<Vec<Point>> {
    let mut points = rows(dir, "fio.csv", fio)?;
    points.append(&mut rows(dir, "zone-commands.csv", zone)?);
    points.append(&mut rows(dir, "interference.csv", beside)?);
    points.sort_by_key(|point| point.group);
    Ok(points)
}

/// The points of one file; rows that are not played have none.
fn rows<T: for<'de> Deserialize<'de>>(
    dir: &Path,
    name: &str,
    point: impl Fn(T) -> anyhow::Result<Option<Point>>,
) -> anyhow::Result<Vec<Point>> {
    let path = dir.join(name);
    let mut points = Vec::new();
    let reader = csv::Reader::from_path(&path);
    let mut reader = reader.with_context(|| format!("reading {}", path.display()))?;
    for (row, number) in reader.deserialize().zip(2..) {
        let at = || format!("{} line {number}", path.display());
        points.extend(point(row.with_context(at)?).with_context(at)?);
    }
    Ok(points)
}

fn fio(row: FioRow) -> anyhow::Result<Option<Point>> {
    let (group, access) = match row.set.as_str() {
        "randread" => (Group::Randread, Access::RandomRead),
        "read" => (Group::Read, Access::Read),
        "write" => (Group::Write, Access::Write),
        "append" => (Group::Append, Access::Append),
        "writerand" => (Group::Writerand, Access::RandomWrite),
        set => bail!("the set '{set}' is none of randread, read, write, append, writerand"),
    };
    let (bs, zones, qd) = (row.bs, row.zones.max(1), row.qd);
    if bs == 0 || bs % 512 != 0 || qd == 0 {
        bail!("bs = {bs} must be a multiple of 512, and qd = {qd} at least 1");
    }
    Ok(Some(Point {
        name: format!("{} lba {} bs {bs} zones {zones} qd {qd}", row.set, row.lba),
        drive: row.drive,
        group,
        play: Play::Jobs(Jobs {
            access,
            block: bs,
            depth: qd,
            jobs: zones,
        }),
        measured: Latencies {
            mean_us: row.mean_us,
            p50_us: row.p50_us,
            p99_us: row.p99_us,
        },
    }))
}

fn zone(row: ZoneRow) -> anyhow::Result<Option<Point>> {
    use {Before as B, ZoneCommand as C};
    let untouched = row.experiment == "partial_reset" && row.run == "run3";
    let command = row.command.as_str();
    let pages = |prefix: &str| command.strip_prefix(prefix)?.parse::<u64>().ok();
    let resets = |access, resets| (Group::BesideResets, Play::Resets { access, resets });
    let (group, play) = if let Some(n) = pages("reset_finished_") {
        (Group::Reset, Play::Zone(B::Finish(n), C::Reset))
    } else if let Some(n) = pages("reset_") {
        let before = match n {
            0 if untouched => B::Nothing,
            0 => B::Open,
            n => B::Write(n),
        };
        (Group::Reset, Play::Zone(before, C::Reset))
    } else if let Some(n) = pages("finish_") {
        let before = if n == 0 { B::Nothing } else { B::Write(n) };
        (Group::Finish, Play::Zone(before, C::Finish))
    } else {
        let one = |before, command| (Group::OpenClose, Play::Zone(before, command));
        match (command, row.run.as_str()) {
            ("empty_open", _) => one(B::Nothing, C::Open),
            ("close" | "close_implicit", _) => one(B::Write(1), C::Close),
            ("close_write" | "close_implicit_write", _) => one(B::Close, C::Write),
            ("write" | "write_explicit" | "write_implicit", _) => one(B::Write(1), C::Write),
            ("append" | "append_explicit" | "append_implicit", _) => one(B::Write(1), C::Append),
            ("write_implicit_opened", _) => one(B::Nothing, C::Write),
            ("append_implicit_opened", _) => one(B::Nothing, C::Append),
            ("append_interference", _) => resets(Access::Append, false),
            ("read_interference", _) => resets(Access::RandomRead, false),
            ("write_interference", _) => resets(Access::Write, false),
            // Samples that were not taken count as 0 there.
            ("reset_interference", _) if row.p50_us == 0.0 => return Ok(None),
            ("reset_interference", run) if run.starts_with("append") => {
                resets(Access::Append, true)
            }
            ("reset_interference", run) if run.starts_with("read") => {
                resets(Access::RandomRead, true)
            }
            ("reset_interference", _) => resets(Access::Write, true),
            (command, _) => bail!("the command '{command}' is not known"),
        }
    };
    Ok(Some(Point {
        drive: super::ZNS_DRIVE.to_owned(),
        group,
        name: format!("{} {} {command}", row.experiment, row.run),
        play,
        measured: Latencies {
            mean_us: row.mean_us,
            p50_us: row.p50_us,
            p99_us: row.p99_us,
        },
    }))
}

fn beside(row: BesideRow) -> anyhow::Result<Option<Point>> {
    let parts: Vec<&str> = row.set.split('_').collect();
    let (append, rate, depth) = match parts.as_slice() {
        ["zns", "append", rate, depth] => (true, rate.parse()?, depth.parse()?),
        ["zns", rate, depth] => (false, rate.parse()?, depth.parse()?),
        _ => bail!("the set '{}' is not zns_RATE_DEPTH", row.set),
    };
    let reads = row.job == "read";
    let alone = Jobs {
        access: Access::RandomRead,
        block: 4096,
        depth,
        jobs: 1,
    };
    let (group, play) = match (reads, rate) {
        (true, 0) => (Group::Randread, Play::Jobs(alone)),
        _ => (
            if reads {
                Group::BesideWrites
            } else {
                Group::HeldWrites
            },
            Play::Beside {
                append,
                rate,
                depth,
                reads,
            },
        ),
    };
    Ok(Some(Point {
        drive: super::ZNS_DRIVE.to_owned(),
        group,
        name: format!("{} {}", row.set, row.job),
        play,
        measured: Latencies {
            mean_us: row.mean_us,
            p50_us: row.p50_us,
            p99_us: row.p99_us,
        },
    }))
}

/// Which points each drive has.
pub fn by_drive(points: Vec<Point>) -> BTreeMap<String, Vec<Point>> {
    let mut drives: BTreeMap<String, Vec<Point>> = BTreeMap::new();
    for point in points {
        drives.entry(point.drive.clone()).or_default().push(point);
    }
    drives
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: &str, text: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let headers = [
            ("fio.csv", "drive,lba,set,bs,zones,qd,mean_us,p50_us,p99_us"),
            (
                "zone-commands.csv",
                "experiment,run,command,mean_us,p50_us,p99_us",
            ),
            ("interference.csv", "set,job,mean_us,p50_us,p99_us"),
        ];
        for (file, header) in headers {
            let rows = if file == name { text } else { "" };
            std::fs::write(dir.path().join(file), format!("{header}\n{rows}")).unwrap();
        }
        dir
    }

    #[test]
    fn rows_are_understood() {
        let dir = written(
            "zone-commands.csv",
            "partial_reset,run3,reset_0,2,2,3\npartial_reset,run4,reset_0,1614,1629,1685\n\
             partial_finish,run1,reset_finished_5,2,2,2\ni,read_reset,reset_interference,1,0.0,1\n",
        );
        let plays: Vec<_> = read(dir.path())
            .unwrap()
            .iter()
            .map(|point| point.play)
            .collect();
        let reset = |before| Play::Zone(before, ZoneCommand::Reset);
        let expected = [Before::Nothing, Before::Open, Before::Finish(5)].map(reset);
        assert_eq!(plays, expected);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let fio = |row: &str| format!("{:#}", read(written("fio.csv", row).path()).unwrap_err());
        let bad = fio("zns-a,4096,trim,4096,1,1,1,1,1\n");
        assert!(
            bad.contains("fio.csv line 2") && bad.contains("'trim'"),
            "{bad}"
        );
        let bad = fio("zns-a,4096,read,4096,1,1,1,1,1\nzns-a,4096,read,100,1,1,1,1,1\n");
        assert!(bad.contains("line 3") && bad.contains("bs = 100"), "{bad}");
        let missing = tempfile::tempdir().unwrap();
        let bad = format!("{:#}", read(missing.path()).unwrap_err());
        assert!(bad.contains("fio.csv"), "{bad}");
    }
}
