// SPDX-License-Identifier: GPL-2.0-or-later
//! Sweeps run without the repository, lose the points at hand when they are killed and nothing else, and give the same
//! table to the byte however the points were run.

#![expect(clippy::unwrap_used, reason = "a test program")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use assert_cmd::assert::OutputAssertExt as _;
use predicates::prelude::*;
use tempfile::TempDir;

/// Points of some tens of milliseconds, of which a third make no drive.
const PLAN: &str = r#"
presets = ["tlc-zoned", "ufs4-tlc"]
seeds = [1, 2]
[grid]
write-buffers = [2, 3]
[[list]]
[[list]]
l2p-cache-size = "4K"
l2p-hybrid = "off"
[[list]]
block-size = "1M"
[[workload]]
name = "mixed"
[[workload.phase]]
name = "fill"
access = "write"
bytes = "192M"
[[workload.phase]]
name = "read"
access = "random-read"
bytes = "16M"
range = "192M"
depth = 4
"#;

/// How many they are.
const POINTS: usize = 24;

/// The program in a directory outside the repository, and a plan beside it.
struct Place(TempDir);

impl Place {
    fn new(plan: &str) -> Self {
        let place = Self(TempDir::new().unwrap());
        fs::copy(env!("CARGO_BIN_EXE_conzone"), place.path("conzone")).unwrap();
        fs::write(place.path("plan.toml"), plan).unwrap();
        place
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    /// `sweep WORDS...`, with no environment.
    fn sweep(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.path("conzone"));
        command.arg("sweep").args(words);
        command.current_dir(self.0.path()).env_clear();
        command
    }

    /// What it prints, as it succeeds.
    fn said(&self, words: &[&str]) -> String {
        let ended = self.sweep(words).assert().success();
        String::from_utf8(ended.get_output().stdout.clone()).unwrap()
    }

    /// Both tables of an output directory.
    fn results(&self, out: &str) -> (Vec<u8>, Vec<u8>) {
        let read = |name: &str| fs::read(self.path(out).join(name)).unwrap();
        (read("results.csv"), read("results.parquet"))
    }

    /// Starts a run, waits until it has finished some points more, and kills it (SIGKILL). How many points are finished then.
    fn kill(&self, out: &str, words: &[&str]) -> usize {
        let before = finished(&self.path(out));
        let words = [&["run", "plan.toml", "--threads", "1", "--out", out], words].concat();
        let mut run = self.sweep(&words).stdout(Stdio::null()).spawn().unwrap();
        let begin = Instant::now();
        while finished(&self.path(out)) < before + 2 {
            assert!(still_runs(&mut run), "it was too fast to be killed");
            assert!(begin.elapsed() < Duration::from_secs(60));
            sleep(Duration::from_millis(1));
        }
        run.kill().unwrap();
        assert_eq!(run.wait().unwrap().code(), None, "killed, not ended");
        finished(&self.path(out))
    }
}

fn still_runs(run: &mut Child) -> bool {
    run.try_wait().unwrap().is_none()
}

/// Results of points, without what a killed run had begun to write.
fn finished(out: &Path) -> usize {
    let Ok(entries) = fs::read_dir(out.join("points")) else {
        return 0;
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let results = paths.filter(|path| path.extension().is_some_and(|end| end == "json"));
    results.count()
}

#[test]
fn a_killed_run_goes_on_and_gives_the_same_table() {
    let place = Place::new(PLAN);
    let whole = place.said(&["run", "plan.toml", "--threads", "1", "--out", "one"]);
    assert!(
        whole.starts_with(&format!("{POINTS} points, 0 of them known")),
        "{whole}"
    );
    assert!(whole.contains(" 8 of refused points"), "{whole}");

    let done = place.kill("killed", &[]);
    assert!((2..POINTS).contains(&done), "{done}");
    let again = place.said(&["run", "plan.toml", "--threads", "2", "--out", "killed"]);
    assert!(
        again.starts_with(&format!("{POINTS} points, {done} of them known")),
        "{again}"
    );
    assert!(
        place.results("killed") == place.results("one"),
        "one thread, two after a kill"
    );
}

#[test]
fn shares_give_the_same_table_though_one_was_killed() {
    let place = Place::new(PLAN);
    place.said(&["run", "plan.toml", "--threads", "2", "--out", "one"]);
    let share = |share: &str| {
        let words = [
            "run",
            "plan.toml",
            "--threads",
            "1",
            "--out",
            "shares",
            "--shard",
            share,
        ];
        place.said(&words)
    };
    let missing = || place.said(&["missing", "plan.toml", "--out", "shares", "--shards", "3"]);
    assert_eq!(missing(), "1-3\n");
    share("3/3");
    assert_eq!(missing(), "1-2\n");
    place.kill("shares", &["--shard", "2/3"]);
    assert_eq!(missing(), "1-2\n");
    share("1/3");
    assert_eq!(missing(), "2\n");

    let collect = ["collect", "plan.toml", "--out", "shares"];
    let early = place.sweep(&collect).assert().code(1);
    early.stderr(predicate::str::contains(
        "of 24 points have no result of this program in shares: ",
    ));
    assert!(!place.path("shares/results.csv").exists());
    place.said(&[&collect[..], &["--partial"]].concat());
    let lines = |out| {
        String::from_utf8(place.results(out).0)
            .unwrap()
            .lines()
            .count()
    };
    assert!(lines("shares") < lines("one"));

    let words = ["run", "plan.toml", "--out", "shares", "--shard", "/3"];
    let array = place
        .sweep(&words)
        .env("SLURM_ARRAY_TASK_ID", "2")
        .output()
        .unwrap();
    let said = String::from_utf8(array.stdout).unwrap();
    assert!(said.starts_with("8 points of this share, "), "{said}");
    assert!(
        !said.contains(" 0 of them"),
        "what was done before the kill: {said}"
    );
    assert_eq!(missing(), "");
    place.said(&collect);
    assert!(
        place.results("shares") == place.results("one"),
        "three shares"
    );
}

/// Two processes that do the same points at the same time do no harm.
#[test]
fn two_runs_side_by_side_end_with_the_same_table() {
    let place = Place::new(PLAN);
    place.said(&["run", "plan.toml", "--out", "one"]);
    let start = || {
        let mut run = place.sweep(&["run", "plan.toml", "--threads", "1", "--out", "both"]);
        run.stdout(Stdio::null()).spawn().unwrap()
    };
    for mut run in [start(), start()] {
        assert!(run.wait().unwrap().success());
    }
    assert!(place.results("both") == place.results("one"));
    assert_eq!(finished(&place.path("both")), POINTS);
}

#[test]
fn job_arrays_say_which_share() {
    let place = Place::new(PLAN);
    let run = |name: &str, index: &str| {
        let mut run = place.sweep(&["run", "plan.toml", "--shard", "/24"]);
        if !name.is_empty() {
            run.env(name, index);
        }
        run.assert()
    };
    let none = run("", "").code(2);
    none.stderr(
        predicate::str::contains("SLURM_ARRAY_TASK_ID")
            .and(predicate::str::contains("--shard 1/24")),
    );
    for (name, index, range) in [
        ("PBS_ARRAY_INDEX", "25", "1 to 24"),
        ("HQ_TASK_ID", "0", "1 to 24"),
        ("JOB_COMPLETION_INDEX", "24", "0 to 23"),
        ("SLURM_ARRAY_TASK_ID", "x", "1 to 24"),
    ] {
        let said = format!("{name} = {index} is not from {range}");
        run(name, index)
            .code(2)
            .stderr(predicate::str::contains(said));
    }
    run("JOB_COMPLETION_INDEX", "0")
        .success()
        .stdout(predicate::str::contains("1 points of this share"));
    // Where no job array counts from 0, its first task is the same share.
    run("HQ_TASK_ID", "1")
        .success()
        .stdout(predicate::str::contains("1 of them known"));
}

#[test]
fn a_dry_run_and_a_list_write_nothing() {
    let place = Place::new(PLAN);
    let dry = place.said(&["run", "plan.toml", "--dry-run"]);
    assert!(
        dry.starts_with("24 points, of which 8 make no drive\n4 times property 'block-size' = 1M"),
        "{dry}"
    );
    assert!(
        dry.contains("16 points timed") && dry.contains("--shard I/1"),
        "{dry}"
    );
    let list = place.said(&["list", "plan.toml", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list.as_array().map(Vec::len), Some(POINTS));
    assert_eq!(list[23]["drive"], "ufs4-tlc");
    assert_eq!(list[23]["varied"]["seed"], "2");
    assert!(list[23]["refused"].as_str().unwrap().contains("block-size"));
    let table = place.said(&["list", "plan.toml"]);
    assert!(
        table.contains("write-buffers") && table.contains("mixed seed=2"),
        "{table}"
    );
    assert_eq!(
        fs::read_dir(place.0.path()).unwrap().count(),
        2,
        "the program and the plan"
    );
}

#[test]
fn another_trace_under_the_same_name_is_another_point() {
    let place = Place::new("[[trace]]\nfile = \"t\"\n");
    let run = || place.said(&["run", "plan.toml"]);
    fs::write(place.path("t"), "0 1 W 0 8 0\n").unwrap();
    assert!(run().starts_with("1 points, 0 of them known"));
    assert!(run().starts_with("1 points, 1 of them known"));
    let first = place.results("conzone-out/sweep/plan");
    fs::write(place.path("t"), "0 1 W 0 16 0\n").unwrap();
    assert!(run().starts_with("1 points, 0 of them known"));
    assert!(first != place.results("conzone-out/sweep/plan"));
}

#[test]
fn bad_plans_are_refused_in_one_line() {
    let place = Place::new("[grid]\nchannels = 0\n");
    for words in [
        &["run"][..],
        &["run", "--dry-run"],
        &["list"],
        &["missing"],
        &["collect"],
    ] {
        let words = [words, &["plan.toml"]].concat();
        let ended = place.sweep(&words).assert().code(2).stdout("");
        ended.stderr("error: plan.toml: grid.channels = 0: property 'channels': '0' is not a whole number from 1 to 64\n");
    }
    let none = place.sweep(&["run", "no.toml"]).assert().code(2);
    none.stderr(predicate::str::starts_with("error: no.toml: No such file"));
    for bad in [["--shard", "4/3"], ["--threads", "0"]] {
        let words = [&["run", "plan.toml"], &bad[..]].concat();
        place
            .sweep(&words)
            .assert()
            .code(2)
            .stderr(predicate::str::contains(bad[1]));
    }
    fs::write(
        place.path("plan.toml"),
        "[[trace]]\nfile = \"t.csv\"\nplace = \"log\"\n",
    )
    .unwrap();
    fs::write(place.path("t.csv"), "1,W,8192,4096,5\n1,W,x,4096,6\n").unwrap();
    let unreadable = place.sweep(&["run", "plan.toml"]).assert().code(1);
    unreadable.stderr(predicate::str::starts_with(
        "error: plan.toml: trace.t: t.csv:2:",
    ));
}

/// Experiments run by the same runner: shares, what is missing, and a page of all of them.
#[test]
fn an_experiment_is_shared_out_and_goes_on() {
    let place = Place::new("");
    let run = |words: &[&str]| {
        let mut command = Command::new(place.path("conzone"));
        command.args(["experiment", "zone-conflicts", "--out"]);
        command.args(words).current_dir(place.0.path()).env_clear();
        let ended = command.assert().success();
        String::from_utf8(ended.get_output().stdout.clone()).unwrap()
    };
    run(&["whole", "--threads", "1"]);
    let said = run(&["shared", "--shard", "2/4"]);
    assert!(
        said.contains("points of this share, 0 of them known"),
        "{said}"
    );
    assert!(!place.path("shared/report.html").exists());
    let left = run(&["shared", "--missing"]);
    assert!(left.starts_with("1,3-5,7-9,"), "{left}");
    run(&["shared"]);
    assert_eq!(run(&["shared", "--missing"]), "");
    let csv = |out: &str| fs::read(place.path(out).join("results.csv")).unwrap();
    assert_eq!(csv("whole"), csv("shared"));
    assert_eq!(
        finished(&place.path("whole")),
        finished(&place.path("shared"))
    );
}

#[test]
fn the_guest_needs_the_repository() {
    let place = Place::new(PLAN);
    for words in [
        ["run", "plan.toml", "--guest"],
        ["missing", "plan.toml", "--guest"],
    ] {
        let ended = place.sweep(&words).assert().code(2);
        let why = "--guest needs the guest, which the conzone repository has";
        ended.stderr(predicates::str::contains(why));
    }
    assert!(place.said(&["list", "plan.toml", "--guest"]).contains("24"));
}
