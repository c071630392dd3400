// SPDX-License-Identifier: GPL-2.0-or-later
//! A plan file, and the points that it means.
//!
//! ```text
//!   presets, drives  x  list  x  sample  x  grid, key by key  x  traces, workloads
//!   slowest                                                      fastest
//! ```
//! A point's number follows from the plan alone: it is a number written in the digits above. No point exists before it
//! is asked for.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::{json, Value as Json};
use sim::Age;
use ssd::Config;
use toml::Value;

use super::figure::{self, Figure};
use super::sample;
use super::section::Section;
use super::work::{self, Engine, Work};
use super::MOST_POINTS;
use crate::drive::{Base, Drive};
use crate::drive_file::DriveFile;
use crate::failure::Prerequisite;
use crate::store;

type Settings = Vec<(String, String)>;

/// A plan.
#[derive(Debug)]
pub struct Plan {
    file: String,
    title: String,
    drives: Vec<(String, Drive)>,
    list: Vec<Settings>,
    sample: Vec<Settings>,
    grid: Vec<(String, Vec<String>)>,
    works: Vec<Work>,
    figures: Vec<Figure>,
    points: u64,
}

/// One of its points.
#[derive(Debug)]
pub struct Point<'a> {
    /// Its number, from 1.
    pub number: u64,
    /// What the plan calls its drive.
    pub drive_name: &'a str,
    /// Its drive.
    pub drive: Drive,
    /// The properties that the plan varies.
    pub settings: Vec<(&'a str, &'a str)>,
    /// What it does with it.
    pub work: &'a Work,
}

impl Plan {
    /// Reads a plan, what of it this engine can do; what it names is below its directory.
    ///
    /// # Errors
    /// A file that cannot be read, or that is no plan.
    pub fn read(path: &Path, engine: Engine) -> Result<Self> {
        let file = path.display().to_string();
        let text = fs::read_to_string(path);
        let text = text.map_err(|error| Prerequisite(format!("{file}: {error}")))?;
        let dir = path.parent().unwrap_or(Path::new("."));
        Self::parse(&file, &text, dir, engine)
    }

    /// The same of a text.
    ///
    /// # Errors
    /// As for [`Plan::read`].
    pub fn parse(file: &str, text: &str, dir: &Path, engine: Engine) -> Result<Self> {
        let mut plan = Section::parse(file, text)?;
        let title = plan.text("title")?;
        let drives = drives(&mut plan, dir)?;
        let list = list(&mut plan)?;
        let sample = plan.pairs("sample")?;
        let named = format!("{file}: sample.range.");
        let sample = sample::settings(sample)?;
        for (key, value) in sample.iter().flatten() {
            check(key, value).map_err(|error| Prerequisite(format!("{named}{key}: {error}")))?;
        }
        let grid = grid(plan.pairs("grid")?)?;
        let works = work::all(&mut plan, dir, engine)?;
        let figures = plan.sections("figure")?;
        let mut all = Self {
            file: file.to_owned(),
            title: title.unwrap_or_else(|| file.to_owned()),
            drives,
            list,
            sample,
            grid,
            works,
            figures: Vec::new(),
            points: 0,
        };
        all.check_keys(&plan)?;
        all.figures = figure::all(figures, &all.columns())?;
        plan.finish()?;
        let points = all.digits().try_fold(1_u64, |all, n| all.checked_mul(n));
        let points = points.filter(|points| *points <= MOST_POINTS);
        all.points = points.ok_or_else(|| {
            let sizes = Vec::from_iter(all.digits().map(|n| n.to_string())).join(" x ");
            Prerequisite(format!(
                "{file}: {sizes} points: at most {MOST_POINTS} are possible"
            ))
        })?;
        Ok(all)
    }

    /// A property is varied in one place only.
    fn check_keys(&self, section: &Section) -> Result<()> {
        let of = |lines: &[Settings]| -> BTreeSet<String> {
            let keys = lines.iter().flatten().map(|(key, _)| key.clone());
            keys.collect()
        };
        let grid = self.grid.iter().map(|(key, _)| key.clone()).collect();
        let mut seen = BTreeSet::new();
        for keys in [of(&self.list), of(&self.sample), grid] {
            for key in keys {
                if !seen.insert(key.clone()) {
                    return Err(section.wrong(&key, "is in two of list, sample and grid"));
                }
            }
        }
        Ok(())
    }

    /// How many values each digit of a point's number has, the slowest first.
    fn digits(&self) -> impl Iterator<Item = u64> + '_ {
        let fixed = [self.drives.len(), self.list.len(), self.sample.len()];
        let grid = self.grid.iter().map(|(_, values)| values.len());
        let all = fixed.into_iter().chain(grid).chain([self.works.len()]);
        all.map(|n| n as u64)
    }

    /// What messages call it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What its report is called.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// How many points there are.
    #[must_use]
    pub const fn points(&self) -> u64 {
        self.points
    }

    /// The properties that it varies, in the order of the plan.
    #[must_use]
    pub fn keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = Vec::new();
        let lines = self.list.iter().chain(&self.sample).flatten();
        let grid = self.grid.iter().map(|(key, _)| key);
        for key in lines.map(|(key, _)| key).chain(grid) {
            if !keys.contains(&key.as_str()) {
                keys.push(key);
            }
        }
        keys
    }

    /// The columns that tell rows apart, in the order of the table.
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        let mut columns = vec!["drive".to_owned()];
        columns.extend(self.keys().into_iter().map(str::to_owned));
        columns.push("work".into());
        for (column, _) in self.works.iter().flat_map(|work| &work.varied) {
            if !columns.contains(column) {
                columns.push(column.clone());
            }
        }
        columns.push("phase".into());
        columns
    }

    /// The figures that it asks for.
    #[must_use]
    pub fn figures(&self) -> &[Figure] {
        &self.figures
    }

    /// The drives that it begins with.
    #[must_use]
    pub fn drives(&self) -> &[(String, Drive)] {
        &self.drives
    }

    /// The point of a number from 1; none beyond the last.
    #[must_use]
    pub fn point(&self, number: u64) -> Option<Point<'_>> {
        let mut rest = number.checked_sub(1).filter(|n| *n < self.points)?;
        let mut digit = |values: usize| {
            let (digit, values) = (rest, values as u64);
            rest /= values;
            // Lossless: less than a length.
            (digit % values) as usize
        };
        // The fastest digit first.
        let work = self.works.get(digit(self.works.len()))?;
        let mut settings = Vec::new();
        for (key, values) in self.grid.iter().rev() {
            settings.push((key.as_str(), values.get(digit(values.len()))?.as_str()));
        }
        settings.reverse();
        for lines in [&self.sample, &self.list] {
            let line = lines.get(digit(lines.len()))?.iter();
            let line = line.map(|(key, value)| (key.as_str(), value.as_str()));
            settings.splice(0..0, line);
        }
        let (drive_name, drive) = self.drives.get(digit(self.drives.len()))?;
        let mut drive = drive.clone();
        let pairs = settings.iter().map(|(key, value)| format!("{key}={value}"));
        drive.set.extend(pairs);
        Some(Point {
            number,
            drive_name,
            drive,
            settings,
            work,
        })
    }

    /// All of them, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = Point<'_>> + '_ {
        (1..=self.points).filter_map(|number| self.point(number))
    }
}

impl Point<'_> {
    /// All that its result depends on, apart from the program.
    #[must_use]
    pub fn key(&self) -> Json {
        // What makes no drive differs in its settings only.
        let drive = self
            .drive
            .config()
            .map_or_else(|_| json!(self.drive), |config| store::properties(&config));
        let mut key = json!({"drive": drive, "work": self.work.key()});
        if let Some(age) = self.drive.age {
            key["age"] = age.to_string().into();
        }
        key
    }
}

/// The drives that the properties are set on.
fn drives(plan: &mut Section, dir: &Path) -> Result<Vec<(String, Drive)>> {
    let presets = plan.texts("presets")?;
    let files = plan.texts("drives")?;
    let set = settings(plan.pairs("set")?)?;
    let age = plan.text("age")?.map(|text| {
        let age = text.parse::<Age>();
        age.map_err(|why| plan.bad("age", format!("\"{text}\""), why))
    });
    let age = age.transpose()?;
    let mut drives = Vec::new();
    for preset in &presets {
        let known = Config::preset(preset);
        known.map_err(|error| plan.bad("presets", format!("\"{preset}\""), error))?;
        drives.push((preset.clone(), Drive::new(preset, &[])));
    }
    for file in &files {
        let read = DriveFile::read(&dir.join(file).to_string_lossy());
        let read = read.map_err(|error| plan.wrong("drives", error))?;
        let base = Base {
            preset: None,
            file: Some(read),
        };
        base.config()?;
        let name = base.name().to_owned();
        let drive = Drive {
            base,
            ..Drive::default()
        };
        drives.push((name, drive));
    }
    if drives.is_empty() {
        drives.push(("tlc-zoned".into(), Drive::new("tlc-zoned", &[])));
    }
    let mut names = BTreeSet::new();
    if let Some((name, _)) = drives.iter().find(|(name, _)| !names.insert(name.clone())) {
        return Err(plan.bad(
            "presets",
            format!("\"{name}\""),
            "two drives have this name",
        ));
    }
    for (_, drive) in &mut drives {
        drive.age = age;
        drive
            .set
            .extend(set.iter().map(|(key, value)| format!("{key}={value}")));
    }
    Ok(drives)
}

/// Sets of properties, tried one after another; one empty set if there are none.
fn list(plan: &mut Section) -> Result<Vec<Settings>> {
    let sections = plan.sections("list")?;
    if sections.is_empty() {
        return Ok(vec![Vec::new()]);
    }
    sections.into_iter().map(settings).collect()
}

/// Properties with a value each.
fn settings(mut section: Section) -> Result<Settings> {
    let rest = section.rest().into_iter();
    rest.map(|(key, value)| Ok((key.clone(), property(&section, &key, &value)?)))
        .collect()
}

/// Properties with all the values that they take.
fn grid(mut section: Section) -> Result<Vec<(String, Vec<String>)>> {
    let rest = section.rest().into_iter();
    let axis = |(key, value): (String, Value)| {
        let values = match value {
            Value::Array(values) if values.is_empty() => {
                return Err(section.bad(&key, "[]", "at least one value is needed"))
            }
            Value::Array(values) => values,
            value => vec![value],
        };
        let texts = values.iter().map(|value| property(&section, &key, value));
        let texts = texts.collect::<Result<Vec<String>>>()?;
        Ok((key, texts))
    };
    rest.map(axis).collect()
}

/// A property's value as text, if it is one that the property takes.
fn property(section: &Section, key: &str, value: &Value) -> Result<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(on) => if *on { "on" } else { "off" }.into(),
        value => {
            return Err(section.bad(
                key,
                value,
                "a text, a whole number, true or false is needed",
            ))
        }
    };
    check(key, &text).map_err(|why| section.bad(key, value, why))?;
    Ok(text)
}

fn check(key: &str, value: &str) -> Result<(), String> {
    if key == "preset" {
        return Err("name presets in `presets`".into());
    }
    let set = Config::new().set(key, value);
    set.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: &str = "[[workload]]\nname = \"w\"\n[[workload.phase]]\nname = \"x\"\naccess = \"write\"\nbytes = 4096\n";

    fn parse(text: &str) -> Result<Plan> {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            ("t", "0 1 W 0 8 0\n"),
            ("small.drive", "preset = ufs4-tlc\nzones = 9\n"),
            ("odd.drive", "zones = -1\n"),
        ];
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        Plan::parse("plan.toml", text, dir.path(), Engine::Model)
    }

    fn plan(text: &str) -> Plan {
        parse(&format!("{text}\n{WORK}")).unwrap()
    }

    fn said(plan: &Plan) -> Vec<String> {
        let pair = |(key, value): &(&str, &str)| format!("{key}={value}");
        let point = |point: Point<'_>| {
            let pairs = point.settings.iter().map(pair);
            let words = [point.number.to_string(), point.drive_name.to_owned()];
            Vec::from_iter(words.into_iter().chain(pairs)).join(" ")
        };
        plan.iter().map(point).collect()
    }

    #[test]
    fn points_are_numbered_in_the_order_of_the_plan() {
        let plan = plan(
            "presets = [\"ufs4-tlc\", \"tlc-zoned\"]\n[grid]\nzones = [8, 9]\nchannels = [1, 2]",
        );
        assert_eq!(
            said(&plan)[..5],
            [
                "1 ufs4-tlc zones=8 channels=1",
                "2 ufs4-tlc zones=8 channels=2",
                "3 ufs4-tlc zones=9 channels=1",
                "4 ufs4-tlc zones=9 channels=2",
                "5 tlc-zoned zones=8 channels=1",
            ]
        );
        assert_eq!(plan.points(), 8);
        assert!(plan.point(0).is_none() && plan.point(9).is_none());
        assert_eq!(plan.keys(), ["zones", "channels"]);
    }

    #[test]
    fn lists_samples_and_grids_are_combined() {
        let plan = plan(
            "[[list]]\n[[list]]\nl2p-policy = \"lru\"\n[sample]\nmethod = \"latin\"\npoints = 3\nrange.seed = { from = 1, to = 3 }\n[grid]\nslc-bypass = [true, false]",
        );
        assert_eq!(plan.points(), 2 * 3 * 2);
        let all = said(&plan);
        assert!(
            all[0].starts_with("1 tlc-zoned seed=") && all[0].ends_with(" slc-bypass=on"),
            "{all:?}"
        );
        assert!(
            all[11].starts_with("12 tlc-zoned l2p-policy=lru seed="),
            "{all:?}"
        );
        let seeds: BTreeSet<_> = all
            .iter()
            .map(|text| text.split("seed=").nth(1).unwrap().get(..1))
            .collect();
        assert_eq!(seeds.len(), 3);
    }

    #[test]
    fn what_a_plan_sets_reaches_the_drive() {
        let plan = plan("drives = [\"small.drive\"]\npresets = [\"tlc-zoned\"]\n[set]\nchannels = 2\n[grid]\nl2p-slots = [16, 64]");
        let of = |number: u64, key: &str| {
            let point = plan.point(number).unwrap();
            (
                point.drive_name.to_owned(),
                point.drive.config().unwrap().get(key).unwrap(),
            )
        };
        assert_eq!(of(4, "zones"), ("small".into(), "9".into()));
        assert_eq!(of(4, "l2p-slots").1, "64");
        assert_eq!(of(1, "channels"), ("tlc-zoned".into(), "2".into()));
        assert_eq!(of(3, "preset").1, "ufs4-tlc");
    }

    /// Points differ in their keys where anything differs that their results depend on.
    #[test]
    fn a_key_names_all_that_a_result_depends_on() {
        let plans = [
            "",
            "presets = \"ufs4-tlc\"",
            "seeds = 3",
            "[set]\nzones = 9",
            "age = \"fill=50\"",
            "age = \"fill=50,seed=2\"",
            "[set]\nblock-size = \"1M\"",
        ];
        let first = |text: &str| plan(text).point(1).unwrap().key().to_string();
        let keys: BTreeSet<_> = plans.iter().map(|text| first(text)).collect();
        assert_eq!(keys.len(), plans.len());
        assert_eq!(first(""), first("[grid]\nzones = 32"), "however it is said");
    }

    #[test]
    fn a_bad_plan_is_one_line_that_names_file_key_value_and_limit() {
        let phase = |line: &str| {
            format!("[[workload]]\nname = \"w\"\n[[workload.phase]]\nname = \"x\"\n{line}\n")
        };
        let sample =
            |line: &str| format!("[sample]\nmethod = \"sobol\"\npoints = 2\n{line}\n{WORK}");
        let with = |line: &str| format!("{line}\n{WORK}");
        for (text, message) in [
            ("a = \nb".into(), "plan.toml:2:2: "),
            (String::new(), "plan.toml: trace: at least one [[trace]] or [[workload]] is needed"),
            (with("seedz = 1"), "plan.toml: seedz: there is no such key; there are title, presets, drives, "),
            (with("presets = [\"tlc\"]"), "plan.toml: presets = \"tlc\": property 'preset': 'tlc' is not one of ufs4-tlc, "),
            (with("presets = []"), "plan.toml: presets = []: at least one is needed"),
            (with("presets = [\"tlc-zoned\", \"tlc-zoned\"]"), "plan.toml: presets = \"tlc-zoned\": two drives have this name"),
            (with("drives = \"no.drive\""), "plan.toml: drives: "),
            (with("drives = \"odd.drive\""), "plan.toml: drives: "),
            (with("age = \"fill=101\""), "plan.toml: age = \"fill=101\": fill '101' is not a whole number from 0 to 100"),
            (with("seeds = [1, 65536]"), "plan.toml: seeds = 65536: a whole number from 0 to 65535 is needed"),
            (with("[grid]\nchannels = [1, 0]"), "plan.toml: grid.channels = 0: property 'channels': '0' is not a whole number from 1 to 64"),
            (with("[grid]\nzones = []"), "plan.toml: grid.zones = []: at least one value is needed"),
            (with("[set]\nzones = 1.5"), "plan.toml: set.zones = 1.5: a text, a whole number, true or false is needed"),
            (with("[set]\nno-such = 1"), "plan.toml: set.no-such = 1: there is no property 'no-such'"),
            (with("[grid]\npreset = [\"tlc-zoned\"]"), "plan.toml: grid.preset = \"tlc-zoned\": name presets in `presets`"),
            (with("[[list]]\nzones = 8\n[grid]\nzones = [8, 9]"), "plan.toml: zones: is in two of list, sample and grid"),
            (sample(""), "plan.toml: sample.range: is needed"),
            (sample("range.zones = 8"), "plan.toml: sample.range.zones = 8: a table is needed"),
            (sample("range.zones = { from = 8, to = 8 }"), "plan.toml: sample.range.zones.to = 8: more than from = 8 is needed"),
            (sample("range.zones = { from = 0, to = 8, scale = \"log\" }"), "plan.toml: sample.range.zones.from = 0: at least 1"),
            (sample("range.channels = { from = 65, to = 66 }"), "plan.toml: sample.range.channels: property 'channels': '6"),
            (sample("points = 0").replace("points = 2\n", ""), "plan.toml: sample.points = 0: a whole number from 1 to 65536 is needed"),
            ("[[trace]]\nname = \"t\"".into(), "plan.toml: trace 1.file: is needed"),
            ("[[trace]]\nfile = \"no.csv\"".into(), "plan.toml: trace.no.file = \"no.csv\": No such file"),
            ("[[trace]]\nfile = \"t\"\n[[trace]]\nfile = \"t\"".into(), "plan.toml: trace 2.name = \"t\": another trace or workload has this name"),
            ("[[trace]]\nfile = \"t\"\nlogs = 0".into(), "plan.toml: trace.t.logs = 0: a whole number from 1 to 65535 is needed"),
            ("[[trace]]\nfile = \"t\"\nplace = \"lag\"".into(), "plan.toml: trace.t.place = \"lag\": one of none, log is needed"),
            ("[[trace]]\nfile = \"t\"\nformat = \"x\"".into(), "plan.toml: trace.t.format = \"x\": one of conzone, "),
            ("[[workload]]\nname = \"w\"".into(), "plan.toml: workload.w.phase: at least one"),
            (phase("bytes = 4096"), "plan.toml: workload.w.phase 1.access: is needed"),
            (phase("access = \"erase\"\nbytes = 4096"), "plan.toml: workload.w.phase 1.access = \"erase\": one of write, rewrite, random-read, random-write is needed"),
            (phase("access = \"write\"\nbytes = 4096\nblock = 100"), "plan.toml: workload.w.phase 1.block = 100: a whole number from 512 to"),
            (phase("access = \"write\"\nbytes = 4096\nblock = 4095"), "plan.toml: workload.w.phase 1.block = 4095: a multiple of 512 bytes is needed"),
            (phase("access = \"write\"\nbytes = 4096\nblock = \"8K\""), "plan.toml: workload.w.phase 1.block = 8192: at most range = 4096 is possible"),
            (phase("access = \"write\"\nbytes = 4096\njobs = 0"), "plan.toml: workload.w.phase 1.jobs = 0: a whole number from 1 to 1024 is needed"),
            (phase("access = \"write\"\nbytes = 4096\njobs = 3"), "plan.toml: workload.w.phase 1.bytes = 4096: a multiple of 1536 bytes is needed"),
            (phase("access = \"write\"\nbytes = 4096\ndepht = 2"), "plan.toml: workload.w.phase 1.depht: there is no such key; there are name, access"),
        ] {
            let error = parse(&text).map(|_| ()).unwrap_err();
            assert!(error.is::<Prerequisite>(), "{text}");
            let said = error.to_string();
            assert!(said.starts_with(message), "{text}\n{said}\n{message}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }

    #[test]
    fn a_plan_has_a_most_of_points() {
        let many = |n: u64| {
            format!(
                "[grid]\nseed = {:?}\nzones = {:?}",
                Vec::from_iter(0..n),
                Vec::from_iter(8..8 + 1024)
            )
        };
        assert_eq!(plan(&many(1024)).points(), MOST_POINTS);
        let error = parse(&with_work(&many(1025))).unwrap_err().to_string();
        assert_eq!(
            error,
            "plan.toml: 1 x 1 x 1 x 1025 x 1024 x 1 points: at most 1048576 are possible"
        );
        let lists = |key: &str| format!("{key} = {:?}\n", Vec::from_iter(1..=200));
        let phase = ["jobs", "depth", "flush-every"].map(lists).concat();
        let error = parse(&format!("{WORK}{phase}")).unwrap_err().to_string();
        assert!(
            error.starts_with("plan.toml: workload.w.name: 200 x 200 x 200 variants: at most"),
            "{error}"
        );
    }

    #[test]
    fn the_page_shows_the_plan_beside_it() {
        let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");
        let read = |name: &str| fs::read_to_string(Path::new(docs).join(name)).unwrap();
        let (page, text) = (read("sweep.md"), read("sweep.toml"));
        assert!(page.contains(&format!("```toml\n{text}```\n")));
        let plan = Plan::parse("sweep.toml", &text, Path::new(docs), Engine::Model).unwrap();
        assert_eq!(plan.points(), 2 * 3 * 2 * 4 * 2);
        for key in [
            "presets",
            "drives",
            "seeds",
            "age",
            "[set]",
            "[grid]",
            "[[list]]",
            "[sample]",
            "[[trace]]",
            "[[workload]]",
            "[[figure]]",
            "title",
        ] {
            assert!(page.contains(&format!("| `{key}` |")), "{key}");
        }
        for key in work::PHASE {
            assert!(page.contains(&format!("| `{key}` |")), "{key}");
        }
    }

    #[test]
    fn each_engine_has_its_work() {
        let text = "[[trace]]\nfile = \"t\"\n[[workload]]\nname = \"f\"\n[workload.f2fs]\nfsync-every = [1, 4]\nbytes = \"1M\"";
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("t"), "0 1 W 0 8 0\n").unwrap();
        let plan = |text: &str, engine| Plan::parse("p", text, dir.path(), engine);
        let columns = |engine| plan(text, engine).unwrap().columns();
        assert_eq!(columns(Engine::Model), ["drive", "work", "phase"]);
        assert_eq!(
            columns(Engine::Guest),
            ["drive", "work", "f.fsync-every", "phase"]
        );
        let guest = plan(text, Engine::Guest).unwrap();
        let keys: BTreeSet<_> = guest.iter().map(|point| point.key().to_string()).collect();
        assert_eq!((guest.points(), keys.len()), (2, 2));
        let why = |text: &str, engine| plan(text, engine).unwrap_err().to_string();
        let f2fs = text.split_once("[[workload").unwrap().1;
        let said = why(&format!("[[workload{f2fs}"), Engine::Model);
        assert_eq!(said, "p: workload: F2FS needs Linux: run it with --guest");
        let said = why("[[trace]]\nfile = \"t\"", Engine::Guest);
        assert_eq!(said, "p: trace: runs on the model only, without --guest");
        let said = why(&format!("{text}5"), Engine::Guest);
        assert!(said.starts_with("p:"), "{said}");
        let odd = text.replace("1M", "1025K");
        let said = why(&odd, Engine::Guest);
        assert!(
            said.contains("f2fs.bytes = 1049600: a multiple of 4096 bytes"),
            "{said}"
        );
    }

    fn with_work(text: &str) -> String {
        format!("{text}\n{WORK}")
    }
}
