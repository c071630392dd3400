// SPDX-License-Identifier: GPL-2.0-or-later
//! What the program says to wrong command lines: one clear line and exit status 2, before anything is built.

#![expect(clippy::unwrap_used, reason = "a test program")]

use assert_cmd::Command;
use predicates::prelude::*;

fn conzone(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conzone"));
    command.args(words);
    command
}

fn refused(words: &[&str], reason: &str) {
    let output = conzone(words).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{words:?}: {text}");
    assert!(text.contains(reason), "{words:?}: {text}");
    assert!(output.stdout.is_empty(), "{words:?} prints results");
}

#[test]
fn unknown_names_are_answered_with_the_known_ones() {
    refused(&["run", "--preset", "x"], "tlc-zoned");
    refused(&["run", "--timing", "fast"], "virtual");
    refused(&["exec", "--kernel", "5.10", "--", "true"], "6.12");
    refused(&["test", "everything"], "functional");
    refused(&["rum"], "run");
    refused(&["validate", "--preset", "tlc-zone"], "tlc-zoned");
    refused(&["validate", "--trace", "no-such"], "seqwrite");
}

#[test]
fn properties_are_checked_before_anything_is_built() {
    refused(&["run", "--set", "zones"], "zones");
    refused(&["run", "--set", "no-such=1"], "no-such");
    refused(&["exec", "--set", "channels=0", "--", "true"], "channels");
    refused(&["shell", "--set", "flash-page-size=3"], "flash-page-size");
}

#[test]
fn a_refusal_is_one_line() {
    let assert = conzone(&["run", "--set", "channels=0"]).assert().code(2);
    let text = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    assert!(text.starts_with("error: "), "{text}");
}

#[test]
fn missing_arguments_and_files_are_named() {
    refused(&["exec"], "CMD");
    refused(
        &["exec", "--file", "here", "--", "true"],
        "SOURCE:DESTINATION",
    );
    refused(&["run", "--job", "/nonexistent.fio"], "/nonexistent.fio");
    refused(&["test", "--", "x"], "suite");
}

/// Places that cannot be written, and files that cannot be read, are said before anything runs.
#[test]
fn places_and_files_are_looked_at_first() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("file"), "").unwrap();
    std::fs::write(path("t"), "0 1 W 0 8 0\n").unwrap();
    std::fs::write(path("b.csv"), "0,W,0,65536,0\n").unwrap();
    std::fs::write(path("p.toml"), "[[trace]]\nfile = \"t\"\n").unwrap();
    let [no, t, b, p] = ["file/x", "t", "b.csv", "p.toml"].map(path);
    let (no, t, b, p) = (no.as_str(), t.as_str(), b.as_str(), p.as_str());
    let out = format!("--out {no}: Not a directory");
    let placed = ["--trace", b, "--place", "log", "--out", no];
    refused(&[&["trace", "convert"][..], &placed].concat(), &out);
    refused(&[&["sim"][..], &placed].concat(), &out);
    refused(&["sim", "--trace", no], &format!("--trace {no}: Not a"));
    refused(&["trace", "convert", "--trace", no, "--out", t], "--trace ");
    refused(&["experiment", "sync-write", "--out", no], &out);
    refused(&["experiment", "phone-logs", "--trace", no], "--trace ");
    refused(&["experiment", "sync-write", "--trace", t], "runs no trace");
    refused(&["sweep", "run", p, "--out", no], &out);
    refused(&["sweep", "collect", p, "--out", no, "--partial"], &out);
    refused(&["run", "--out", no], &out);
    refused(
        &["run", "--out", &path("o"), "--record", no],
        &format!("--record {no}: Not a"),
    );
    let fetch = format!("/tmp/x:{no}");
    refused(
        &["exec", "--fetch", &fetch, "--", "true"],
        &format!("--fetch {no}"),
    );
}

/// Every command that takes a preset takes a file, and says what is wrong in it before anything is built.
#[test]
fn a_drive_file_is_taken_wherever_a_preset_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("bad"), "# mine\nzones = 0\n").unwrap();
    std::fs::write(path("odd"), "preset = tlc-zoned\nblock-size = 1M\n").unwrap();
    std::fs::write(path("t"), "0 1 W 0 8 0\n").unwrap();
    let [bad, odd, t, none, out] = ["bad", "odd", "t", "none", "out"].map(path);
    let (t, none, out) = (t.as_str(), none.as_str(), out.as_str());
    let commands: [(&[&str], &[&str]); 11] = [
        (&["run"], &[]),
        (&["exec"], &["--", "true"]),
        (&["shell"], &[]),
        (&["crash"], &[]),
        (&["sim"], &["--trace", t]),
        (&["trace", "convert"], &["--trace", t, "--out", none]),
        (&["experiment", "random-read"], &["--out", out]),
        (&["validate"], &[]),
        (&["validate", "--hardware"], &[]),
        (&["image", "create", none], &[]),
        (&["properties"], &[]),
    ];
    for (words, rest) in commands {
        let with = |file: &str, more: &[&str]| {
            let words = [words, &["--drive", file], more, rest].concat();
            words.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let refused = |words: Vec<String>, why: &str| {
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            refused(&words, why);
        };
        let limit =
            format!("{bad}:2: zones = 0: property 'zones': '0' is not a whole number from 1 to");
        refused(with(&bad, &[]), &limit);
        refused(with(none, &[]), &format!("{none}: No such file"));
        // There nothing is of that preset.
        if words.len() < 2 || words[1] != "--hardware" {
            let other = format!("--preset ufs4-tlc: {odd} starts from tlc-zoned");
            refused(with(&odd, &["--preset", "ufs4-tlc"]), &other);
        }
    }
    for words in [&["run"][..], &["sim", "--trace", t], &["properties"]] {
        let with = [words, &["--drive", &odd]].concat();
        refused(&with, &format!("{odd}:2: property 'block-size' = 1M: "));
    }
    assert!(!dir.path().join("none").exists());
}

#[test]
fn experiments_are_compared_with_their_drives_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let [before, after, file] = ["before", "after", "odd.drive"].map(|name| dir.path().join(name));
    std::fs::write(&file, "preset = ufs4-tlc\nzones = 24\n").unwrap();
    let [before, after, file] = [&before, &after, &file].map(|path| path.to_str().unwrap());
    let run = |out: &str, more: &[&str]| {
        let words = [&["experiment", "zone-conflicts", "--out", out], more].concat();
        conzone(&words).assert().success();
    };
    run(before, &[]);
    run(after, &["--drive", file, "--age", "fill=20"]);
    let out = dir.path().join("compare.html");
    let words = ["compare", before, after, "--out", out.to_str().unwrap()];
    let said = "2 buffers: tlc-zoned max-open=8 max-active=8 -> ufs4-tlc zones=24 max-open=8 \
        max-active=8 --age fill=20,overwrite=2,seed=1";
    conzone(&words)
        .assert()
        .success()
        .stdout(predicates::str::contains(said));
}

#[test]
fn only_drives_that_were_measured_are_compared_with() {
    let why = "no drive was measured that preset tlc-zoned stands for (zns-zn540)";
    refused(&["validate", "--hardware", "--preset", "tlc-zoned"], why);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for words in [
        &["properties"][..],
        &["properties", "--markdown"],
        &["completions", "bash"],
    ] {
        let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
        drop(reader);
        let writer = std::os::fd::OwnedFd::from(writer);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_conzone"));
        let output = command.args(words).stdout(writer).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.success() && text.is_empty(),
            "{words:?}: {text}"
        );
    }
}

#[test]
fn every_command_explains_itself() {
    for command in [
        "setup", "run", "exec", "shell", "qemu", "test", "bench", "sim", "sweep", "validate",
    ] {
        conzone(&[command, "--help"])
            .assert()
            .success()
            .stdout(predicate::str::contains("Usage:"));
    }
    for command in ["run", "exec", "shell", "test", "sweep"] {
        conzone(&[command, "--help"])
            .assert()
            .success()
            .stdout(predicate::str::contains("Example"));
    }
}

#[test]
fn a_guest_that_has_booted_before_is_not_for_everything() {
    let why = "--from-snapshot needs --timing real or off";
    refused(&["run", "--from-snapshot"], why);
    let line = [
        "exec",
        "--from-snapshot",
        "--timing",
        "virtual",
        "--",
        "true",
    ];
    refused(&line, why);
    let line = ["exec", "--from-snapshot", "--image", "a.cz", "--", "true"];
    refused(&line, "cannot be used with");
    let line = [
        "exec",
        "--from-snapshot",
        "--migrate-every",
        "9",
        "--",
        "true",
    ];
    refused(&line, "cannot be used with");
}

#[test]
fn a_campaign_that_cannot_be_is_refused_at_once() {
    refused(&["crash", "--at", "soon"], "random, flush, or instants");
    refused(&["crash", "--fault", "flush=lost"], "must begin with");
    refused(&["crash", "--workload", "tpcc"], "ready ones are fsync");
    refused(
        &["crash", "--fs", "zonefs", "--workload", "sqlite"],
        "zonefs",
    );
    refused(&["crash", "--image", "a.cz"], "leave out --image");
    refused(&["crash", "--set", "zones=8"], "--set zones=24");
    refused(&["crash", "--cuts", "0"], "--cuts");
    refused(&["crash", "--again", "/nonexistent"], "needs --at");
    let at = ["crash", "--again", "/nonexistent", "--at", "5"];
    refused(&at, "/nonexistent/crash.json: No such file");
}

#[test]
fn bash_completes_experiments_properties_and_cargo_conzone() {
    let complete = |words: &str, at: usize| {
        let program = assert_cmd::cargo::cargo_bin("conzone");
        let script = format!(
            "source <({0} completions bash); COMP_WORDS=({words}); COMP_CWORD={at}; \
             _cargo_conzone cargo \"${{COMP_WORDS[{at}]}}\" \"${{COMP_WORDS[{at}-1]}}\"; \
             printf '%s ' \"${{COMPREPLY[@]}}\"",
            program.display()
        );
        let output = std::process::Command::new("bash")
            .args(["--norc", "-c", &script])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(
        complete("cargo conzone experiment zone", 3),
        "zone-conflicts zoned-block "
    );
    assert_eq!(
        complete("cargo conzone run --set write-buffer", 4),
        "write-buffer-size= write-buffers= "
    );
    assert_eq!(complete("cargo conzone run --preset ufs", 4), "ufs4-tlc ");
    assert_eq!(complete("cargo conzone comp", 2), "compare completions ");
    // The program itself says more of what is wrong than that it is none of the names.
    refused(&["experiment", "zone"], "there is no experiment 'zone'");
}
