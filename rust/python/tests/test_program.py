# SPDX-License-Identifier: GPL-2.0-or-later
"""The program `conzone` that the wheel brings is the command line without the repository."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(os.environ["CONZONE_ROOT"])
OURS = str(pathlib.Path(sys.executable).with_name("conzone"))
TRACE = ROOT / "tests/golden/spec/tlc-zoned/multi3_48k.trace.gz"


@pytest.fixture(scope="session")
def theirs(tmp_path_factory):
    """`cargo conzone`'s program, where it finds no repository."""
    return shutil.copy(os.environ["CONZONE_BIN"], tmp_path_factory.mktemp("theirs"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONZONE_ROOT")


def ended(program, *words):
    return subprocess.run([program, *words], capture_output=True, text=True)


@pytest.mark.parametrize(
    "words",
    [
        ["-V"],
        ["properties", "--json"],
        ["sim", "--trace", str(TRACE), "--json"],
        ["sim", "--trace", str(TRACE), "--out", "-"],
        ["experiment", "--list"],
        ["validate", "--json"],
        ["sim", "--trace", "nowhere"],
        ["sim", "--trace", str(TRACE), "--set", "zones=many"],
        ["sweep", "run", "nowhere.toml"],
        ["experiment", "f2fs-fsync"],
    ],
)
def test_it_says_what_the_other_says(words, theirs):
    ours, theirs = ended(OURS, *words), ended(theirs, *words)
    assert (ours.stdout, ours.stderr) == (theirs.stdout, theirs.stderr)
    assert ours.returncode == theirs.returncode


def test_experiments_and_conversions_run_anywhere():
    found = ended(OURS, "experiment", "sync-write", "--out", "found")
    assert found.returncode == 0 and "as expected" in found.stdout, found.stderr
    report = pathlib.Path("found/report.html").read_text()
    assert ">conzone experiment sync-write --out found<" in report
    pathlib.Path("b.csv").write_text("1,W,8192,4096,5\n1,R,8192,4096,90\n")
    words = ["trace", "convert", "--trace", "b.csv", "--place", "log", "--out", "c"]
    assert ended(OURS, *words).returncode == 0
    assert pathlib.Path("c").read_text() == "0 1 W 0 8 0\n85000 1 R 0 8 0\n"


def test_it_lists_what_it_has_and_says_where_the_rest_is():
    help = ended(OURS, "--help").stdout
    for command in "experiment sim sweep trace validate properties completions".split():
        assert f"\n  {command} " in help
        assert "cargo" not in ended(OURS, command, "--help").stdout
    assert "\n  run " not in help and "setup" not in ended(OURS, "completions", "bash").stdout
    refused = ended(OURS, "run", "--preset", "ufs4-tlc")
    said = "error: run needs the repository: type `cargo conzone run` in it\n"
    assert (refused.returncode, refused.stderr) == (2, said)
    assert "similar" in ended(OURS, "swep").stderr


def test_ctrl_c_ends_it():
    with subprocess.Popen([OURS, "sim", "--trace", "-", "--out", "out"], stdin=subprocess.PIPE) as run:
        run.stdin.write(b"0 1 W 0 8 0\n" * 100_000)
        run.stdin.flush()
        while not pathlib.Path("out").exists():
            assert run.poll() is None
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        assert run.wait(30) == -signal.SIGINT


def test_a_reader_that_goes_away_is_no_failure():
    line = f"set -o pipefail; {OURS} properties --markdown | head -n 1"
    run = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert run.returncode == 0 and run.stderr == "" and run.stdout.count("\n") == 1


def test_it_is_the_module_too():
    module = ended(sys.executable, "-m", "conzone", "-V")
    assert module.stdout == ended(OURS, "-V").stdout != ""
