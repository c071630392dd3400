// SPDX-License-Identifier: GPL-2.0-or-later
//! What needs the model only runs without the repository: a copy of the program, in an empty directory, with no
//! environment.

#![expect(clippy::unwrap_used, reason = "a test program")]

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::*;
use tempfile::TempDir;

/// An empty directory, and the program in another outside the repository.
fn nowhere() -> (TempDir, TempDir) {
    let (program, empty) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::copy(
        env!("CARGO_BIN_EXE_conzone"),
        program.path().join("conzone"),
    )
    .unwrap();
    (program, empty)
}

fn conzone(program: &Path, directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(program.join("conzone"));
    command.args(words).current_dir(directory).env_clear();
    command
}

#[test]
fn the_model_needs_no_repository() {
    let (program, empty) = nowhere();
    let run = |words: &[&str]| conzone(program.path(), empty.path(), words).assert();
    fs::write(empty.path().join("t"), "0 1 W 0 8 1\n0 1 R 0 8 0\n").unwrap();
    run(&["sim", "-p", "ufs4-tlc", "--trace", "t", "--out", "o.gz"])
        .success()
        .stdout(predicate::str::contains("errors 0"));
    assert!(empty.path().join("o.gz").exists());
    fs::write(
        empty.path().join("b.csv"),
        "1,W,8192,4096,5\n1,R,8192,4096,90\n",
    )
    .unwrap();
    run(&["sim", "--trace", "b.csv"])
        .code(1)
        .stderr(predicate::str::contains("b.csv:1: ").and(predicate::str::contains("--place log")));
    run(&[
        "sim", "--trace", "b.csv", "--place", "log", "--out", "b.csv",
    ])
    .code(2)
    .stderr(predicate::str::contains("the trace that is read"));
    let placed = [
        "trace", "convert", "--place", "log", "--trace", "b.csv", "--out",
    ];
    run(&[&placed[..], &["c"]].concat())
        .success()
        .stdout(predicate::str::contains("write_amplification"));
    let converted = fs::read_to_string(empty.path().join("c")).unwrap();
    assert_eq!(converted, "0 1 W 0 8 0\n85000 1 R 0 8 0\n");
    run(&["sim", "--trace", "c", "--place", "log"])
        .code(2)
        .stderr(predicate::str::contains("--place is for block traces"));
    fs::write(empty.path().join("d.csv"), "x,10,write,0,8192\n").unwrap();
    let columns = [
        "--columns",
        "-,time,op,offset,length",
        "--unit",
        "-,us,-,4K,B",
    ];
    run(&[&["sim", "--trace", "d.csv"], &columns[..]].concat())
        .success()
        .stdout(predicate::str::contains("errors 0"));
    run(&["properties", "--json"])
        .success()
        .stdout(predicate::str::contains("write-buffers"));
    run(&["validate"])
        .success()
        .stdout(predicate::str::contains("inside").and(predicate::str::contains("--golden")));
    run(&["experiment", "sync-write", "--out", "found"])
        .success()
        .stdout(predicate::str::contains("as expected"));
    assert!(empty.path().join("found/report.html").exists());
}

#[test]
fn what_sim_reads_and_writes_is_checked_before_it_runs() {
    let (program, empty) = nowhere();
    let put = |name: &str, text: &str| fs::write(empty.path().join(name), text).unwrap();
    let sim = |words: &[&str]| {
        let words = [&["sim", "--trace"], words].concat();
        conzone(program.path(), empty.path(), &words).assert()
    };
    put("t", "0 1 W 0 8 0\n100000 1 W 0 8 0\n200000 1 R 0 8 0\n");
    put("bad", "0 1 W 0 8 0\n100 1 X 0 8 0\n");
    for option in ["--out", "--stats", "--series"] {
        sim(&["t", option, "t"])
            .code(2)
            .stderr(predicate::str::contains("the trace that is read"));
        // Nothing is run for figures that cannot be kept: there would be a table.
        let lost = sim(&["t", option, "no/x"]).code(2).stdout("");
        lost.stderr(predicate::str::contains(format!("{option} no/x: ")));
    }
    // A file on standard output has that for itself.
    for option in ["--out", "--stats", "--series"] {
        let shown = sim(&["t", option, "-"]).success();
        shown.stdout(predicate::str::contains("write amplification").not());
        sim(&["t", option, "-", "--json"])
            .code(2)
            .stderr(predicate::str::contains("both go to standard output"));
    }
    sim(&["t", "--out", "o", "--stats", "o"])
        .code(2)
        .stderr(predicate::str::contains("both o"));
    let named =
        || predicate::str::contains("--trace bad:2").and(predicate::str::contains("--out").not());
    sim(&["bad"]).failure().stderr(named());
    sim(&["bad", "--out", "o"]).failure().stderr(named());
    sim(&["."])
        .failure()
        .stderr(predicate::str::contains("--trace .").and(predicate::str::contains("--out").not()));
    let shown = sim(&["t"]).success();
    shown.stdout(
        predicate::str::contains("1 times Zone Invalid Write")
            .and(predicate::str::contains("MB/s")),
    );
}

#[test]
fn what_needs_the_repository_says_so() {
    let (program, empty) = nowhere();
    for (words, why) in [
        (&["run"][..], "run this in the conzone repository"),
        (&["experiment", "f2fs-fsync"], "f2fs-fsync needs the guest"),
        (
            &["experiment", "random-read", "--guest"],
            "random-read needs the guest",
        ),
        (&["validate", "--trace", "x"], "--golden"),
    ] {
        let ended = conzone(program.path(), empty.path(), words).assert();
        ended.code(2).stderr(predicate::str::contains(why));
    }
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
}
