// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone setup` where it cannot go on: what it says and its exit status. Nothing is fetched or built.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_empty};

fn conzone() -> Command {
    let mut command = Command::cargo_bin("conzone").unwrap();
    command.env_remove("CONZONE_ROOT");
    command
}

/// A repository with nothing in it, and a folder of programs that stand in for the machine's.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["root/patches", "root/hw", "root/rust", "bin"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("root/meson.build"), "").unwrap();
        let machine = Self { dir };
        machine.program("rustc", "echo rustc 1.95.0");
        machine.program("dpkg-query", "echo installed gcc");
        machine.program("id", "echo 1000");
        machine
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.dir.path().join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn setup(&self) -> Command {
        let mut command = conzone();
        command
            .env("CONZONE_ROOT", self.root())
            .env("PATH", self.dir.path().join("bin"));
        command.arg("setup");
        command
    }
}

#[test]
fn without_root_the_apt_line_is_printed() {
    let machine = Machine::new();
    let line = contains("\n  sudo apt-get install --yes --no-install-recommends bindgen ")
        .and(contains(" gcc").not());
    machine
        .setup()
        .assert()
        .code(2)
        .stdout(is_empty())
        .stderr(contains("packages are missing").and(line));
}

#[test]
fn a_failing_apt_shows_its_end_and_its_log() {
    let machine = Machine::new();
    machine.program("id", "echo 0");
    machine.program("env", "echo E: no network; exit 100");
    let log = machine.root().join("target/logs/packages.log");
    let told = contains("E: no network").and(contains(log.to_str().unwrap()));
    machine
        .setup()
        .assert()
        .code(1)
        .stdout(is_empty())
        .stderr(told);
}

#[test]
fn a_missing_compiler_is_named() {
    let machine = Machine::new();
    machine.program("rustc", "exit 1");
    machine.setup().assert().code(2).stderr(contains("rustup"));
}

#[test]
fn a_source_tree_is_looked_at_before_anything_is_done() {
    let machine = Machine::new();
    machine
        .setup()
        .args(["--qemu-src", "/no/such/tree"])
        .assert()
        .code(1)
        .stderr(contains("/no/such/tree"));
    let tree = machine.root();
    machine
        .setup()
        .arg("--qemu-src")
        .arg(&tree)
        .assert()
        .code(1)
        .stderr(contains("is this a QEMU tree?"));
    fs::write(tree.join("VERSION"), "9.2.0\n").unwrap();
    machine
        .setup()
        .arg("--qemu-src")
        .arg(&tree)
        .assert()
        .code(1)
        .stderr(contains("QEMU 9.2.0"));
}

#[test]
fn outside_a_repository_only_completions_work() {
    let away = Path::new("/");
    // The binary itself lies in a repository's target/ during tests; elsewhere it finds none.
    let dir = tempfile::tempdir().unwrap();
    let moved = dir.path().join("conzone");
    fs::copy(assert_cmd::cargo::cargo_bin("conzone"), &moved).unwrap();
    let run = |args: &[&str]| {
        Command::new(&moved)
            .args(args)
            .current_dir(away)
            .env_remove("CONZONE_ROOT")
            .assert()
    };
    run(&["setup"]).code(2).stderr(contains("CONZONE_ROOT"));
    run(&["completions", "bash"])
        .code(0)
        .stdout(contains("complete"));
}

#[test]
fn another_set_up_is_waited_for_not_in_silence_and_not_for_ever() {
    let machine = Machine::new();
    let target = machine.root().join("target");
    fs::create_dir_all(&target).unwrap();
    let lock = fs::File::create(target.join("setup.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let exec = |words: &[&str]| {
        let mut command = conzone();
        command.env("CONZONE_ROOT", machine.root());
        command
            .args(words)
            .args(["exec", "--timeout", "1", "--", "true"]);
        command.assert().code(1).stdout(is_empty())
    };
    let ended = contains("has not finished after 1 s (--timeout)");
    exec(&[]).stderr(contains("Waiting for another set-up").and(ended.clone()));
    exec(&["--quiet"]).stderr(contains("Waiting for").not().and(ended));
}
