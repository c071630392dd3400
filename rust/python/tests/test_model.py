# SPDX-License-Identifier: GPL-2.0-or-later
"""The module gives what the command line gives, to the nanosecond, and refuses what is wrong in one line."""

import gzip
import json
import os
import pathlib
import re
import subprocess
import sys
import threading

import numpy as np
import pytest

import conzone

ROOT = pathlib.Path(os.environ["CONZONE_ROOT"])
GOLDEN = sorted((ROOT / "tests/golden/spec").glob("*/*.trace.gz"))


def beside(trace, extension):
    return trace.with_name(trace.name.replace(".trace.gz", extension))


def settings(trace):
    words = beside(trace, ".cmd").read_text().split()
    pairs = [words[n + 1] for n, word in enumerate(words) if word == "--set"]
    return dict(pair.split("=", 1) for pair in pairs)


def drive_of(trace):
    given = {key.replace("-", "_"): value for key, value in settings(trace).items()}
    return conzone.Drive(trace.parent.name, **given)


def writes(commands):
    """Sequential 4 KiB writes to the first zone."""
    return {
        "op": np.full(commands, conzone.WRITE, np.uint8),
        "slba": np.arange(commands, dtype=np.uint64) * 8,
        "nlb": np.full(commands, 8, np.uint32),
    }


def reads(commands):
    """Reads of the first page."""
    return {
        "op": np.full(commands, conzone.READ, np.uint8),
        "slba": np.zeros(commands, np.uint64),
        "nlb": np.full(commands, 8, np.uint32),
    }


@pytest.mark.parametrize("preset", sorted({trace.parent.name for trace in GOLDEN}))
def test_golden_traces_are_the_command_lines_to_the_nanosecond(preset, tmp_path):
    for trace in (trace for trace in GOLDEN if trace.parent.name == preset):
        drive = drive_of(trace)
        result = drive.run(conzone.read_trace(trace))
        pairs = [word for pair in settings(trace).items() for word in ("--set", "=".join(pair))]
        command = [os.environ["CONZONE_BIN"], "sim", "--preset", preset, *pairs, "--trace", trace]
        command += ["--out", "out", "--stats", "stats"]
        subprocess.run(command, check=True, cwd=tmp_path, stdout=subprocess.DEVNULL)
        lines = [line.split() for line in (tmp_path / "out").read_text().splitlines()]
        theirs = [(int(line[0]), int(line[5]) - int(line[0]), int(line[6])) for line in lines]
        ours = zip(result.arrival_ns.tolist(), result.latency_ns.tolist(), result.status.tolist())
        assert list(ours) == theirs, trace
        stats = json.loads((tmp_path / "stats").read_text())
        # What the command line adds up over its answers: the drive does not know.
        for run in ["latency", "elapsed_ns", "iops", "bytes_per_second", "errors_by_status"]:
            del stats[run]
        assert drive.statistics() == stats, trace


def test_completions_are_the_other_implementations():
    trace = ROOT / "tests/golden/spec/tlc-zoned/multi3_48k.trace.gz"
    result = drive_of(trace).run(conzone.read_trace(trace))
    with gzip.open(beside(trace, ".out.gz"), "rt") as lines:
        theirs = [int(line.split()[5]) for line in lines]
    assert (result.arrival_ns + result.latency_ns).tolist() == theirs


def test_columns_are_commands():
    drive = conzone.Drive("ufs4-tlc")
    result = drive.run(**writes(4), arrival=np.arange(4, dtype=np.uint64) * 10**6)
    assert result.latency_ns.dtype == np.uint64 and result.status.dtype == np.uint16
    assert result.latency_ns[0] == 7503  # the closed form of docs/model.md
    assert not result.status.any() and (result.op == conzone.WRITE).all()
    assert drive.statistics()["host_write_pages"] == 4
    assert result.log is None and result.trace is None
    closed = conzone.Drive("ufs4-tlc").run(**writes(4), depth=1)
    assert (closed.arrival_ns[1:] == (closed.arrival_ns + closed.latency_ns)[:-1]).all()
    again = drive.run(**writes(4))
    assert set(again.status.tolist()) == {0x1BC}  # Zone Invalid Write
    assert drive.statistics()["errors"] == 4


def test_a_file_is_a_drive(tmp_path):
    path = tmp_path / "my.drive"
    path.write_text("preset = ufs4-tlc\nzones = 8  # few\n")
    drive = conzone.Drive.from_file(path, channels=2)
    assert [drive.get(name) for name in ("preset", "zones", "channels")] == ["ufs4-tlc", "8", "2"]
    same = conzone.Drive("ufs4-tlc", zones=8, channels=2)
    assert (drive.run(**writes(500)).latency_ns == same.run(**writes(500)).latency_ns).all()
    path.write_text("\nzones = 0")
    with pytest.raises(ValueError, match=r"my.drive:2: zones = 0: .* from 1 to"):
        conzone.Drive.from_file(str(path))
    with pytest.raises(ValueError, match="No such file"):
        conzone.Drive.from_file(tmp_path / "none")


def test_an_aged_drive_is_slower():
    new = conzone.Drive("tlc-block", block_data_size="256M")
    old = new.aged(fill=90, overwrite=2, seed=1)
    assert old.statistics()["host_writes"] == 0 and old.now_ns > 0
    # As much again as the drive holds: what it has free when it is at rest lasts for some of it.
    n = 60_000
    pages = np.random.default_rng(1).integers(0, 50_000, n).astype(np.uint64)
    columns = {"op": np.full(n, conzone.WRITE, np.uint8), "slba": pages * 8, "nlb": np.full(n, 8, np.uint32)}
    slow, fast = (drive.run(**columns, depth=1) for drive in (old, new))
    assert slow.latency_ns.mean() > 1.2 * fast.latency_ns.mean()
    assert slow.arrival_ns[0] == 0
    assert old.statistics()["waf"] > new.statistics()["waf"]
    with pytest.raises(ValueError, match="fill '101' is not a whole number from 0 to 100"):
        new.aged(fill=101)


def test_a_copy_goes_its_own_way():
    drive = conzone.Drive(write_buffers=4)
    assert drive.get("write_buffers") == "4" and repr(drive) == "<conzone.Drive tlc-zoned at 0 ns>"
    drive.run(**writes(1000))
    before = drive.statistics()
    branch = drive.copy()
    assert branch.statistics() == before and branch.now_ns == drive.now_ns > 0
    reset = {"op": np.array([conzone.RESET], np.uint8), "slba": np.zeros(1, np.uint64)}
    branch.run(**reset, nlb=np.zeros(1, np.uint32))
    assert branch.statistics()["zone_resets"] == 1
    assert drive.statistics() == before


def test_block_traces_are_placed(tmp_path):
    path = tmp_path / "app.csv"
    rows = (f"{n % 3},W,{n * 7919 % 5000 * 4096},8192,{n * 50}" for n in range(3000))
    path.write_text("\n".join(rows) + "\n")
    columns = {"columns": "process,op,offset,length,time", "unit": "-,-,B,B,us"}
    trace = conzone.read_trace(path, **columns)
    waf = []
    for logs in (1, 3):
        drive = conzone.Drive()
        result = drive.run(trace.place(drive, logs=logs))
        assert not result.status.any()
        assert result.trace["requests"] == 3000 and result.log["pages_written"] == 6000
        assert result.log["most_open_zones"] == logs
        waf.append(drive.statistics()["waf"])
    assert waf[1] > waf[0], "three logs share two write buffers"
    with pytest.raises(ValueError, match="app.csv:2: W of 16 sectors .* --place log"):
        conzone.Drive().run(trace)


def test_other_threads_run_meanwhile():
    drive, done, ticks = conzone.Drive(), threading.Event(), 0
    drive.run(**writes(1), depth=1)
    columns = reads(1_000_000)

    def work():
        drive.run(**columns, depth=1)
        done.set()

    worker = threading.Thread(target=work)
    worker.start()
    while not done.wait(0.001):
        ticks += 1
    worker.join()
    # One run that held the lock would let this thread in only before and after it.
    assert ticks > 10


def run(op=(0,), slba=(0,), nlb=(8,), arrival=None, fua=None):
    conzone.Drive().run(
        op=np.array(op, np.uint8),
        slba=np.array(slba, np.uint64),
        nlb=np.array(nlb, np.uint32),
        arrival=None if arrival is None else np.array(arrival, np.uint64),
        fua=None if fua is None else np.array(fua, bool),
    )


def msr():
    """A trace that is read as if it were of Microsoft Research."""
    return conzone.read_trace(GOLDEN[0], format="msr")


REFUSED = [
    (lambda: conzone.Drive("x"), "property 'preset': 'x' is not one of"),
    (lambda: conzone.Drive(no_such=1), "no-such"),
    (lambda: conzone.Drive(channels=0), "property 'channels': '0' is not"),
    (lambda: conzone.Drive(block_size="1M"), "property 'block-size' = 1M"),
    (lambda: conzone.Drive(zones="many"), "zones"),
    (lambda: conzone.Drive(l2p_hybrid=3), "l2p-hybrid"),
    (lambda: conzone.Drive(zones=-1), "zones"),
    (lambda: conzone.Drive("conv-970pro", zones=4), "zones"),
    (lambda: conzone.Drive().get("nothing"), "nothing"),
    (lambda: run(op=[99]), r"op\[0\] is 99: conzone.OPS has 0 to 20"),
    (lambda: run(slba=[0, 8]), "slba has 2 entries, op 1"),
    (lambda: run(nlb=[]), "nlb has 0 entries, op 1"),
    (lambda: run([0, 0], [0, 0], [8, 8], arrival=[5, 4]), r"arrival\[1\] is 4, before"),
    (lambda: run(arrival=[1, 2]), "arrival has 2 entries"),
    (lambda: run(fua=[]), "fua has 0 entries"),
    (lambda: conzone.read_trace(GOLDEN[0], format="no"), "format 'no' is not one of conzone, csv"),
    (lambda: conzone.read_trace(GOLDEN[0], format="csv"), "needs --columns"),
    (lambda: conzone.read_trace(GOLDEN[0], columns="time,op"), "there is no 'offset'"),
    (lambda: conzone.read_trace(GOLDEN[0]).place(conzone.Drive()), "commands have their places"),
    (lambda: msr().place(conzone.Drive(), logs=9), "--logs 9"),
    (lambda: msr().place(conzone.Drive(), streams="x"), "streams 'x'"),
    (lambda: msr().place(conzone.Drive(), cleaning="x"), "cleaning 'x'"),
    (lambda: conzone.Drive().run(msr()), r"\.trace\.gz:1:\d+: field"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_is_wrong_is_said_in_one_line(number):
    attempt, why = REFUSED[number]
    with pytest.raises(ValueError, match=why) as refusal:
        attempt()
    assert "\n" not in str(refusal.value)


def test_other_mistakes_have_their_own_errors(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        conzone.read_trace(tmp_path / "nowhere")
    for wrong in ({}, {"op": np.zeros(1, np.uint8)}, {**writes(1), "op": np.zeros(1)}):
        with pytest.raises(TypeError):
            conzone.Drive().run(**wrong)


TYPED = """
import numpy as np
from numpy.typing import NDArray
import conzone

def mean(drive: conzone.Drive, op: NDArray[np.uint8], place: NDArray[np.uint64]) -> float:
    result = drive.run(op=op, slba=place, nlb=np.full(len(op), 8, np.uint32), depth=1)
    latencies: NDArray[np.uint64] = result.latency_ns
    return float(latencies.mean())

trace: conzone.Trace = conzone.read_trace("t").place(conzone.Drive("tlc-zoned", zones=8), logs=2)
table = conzone.sweep.run("plan.toml", shares=4)
"""


def test_programs_with_types_are_checked(tmp_path):
    for program, ends in [(TYPED, 0), (TYPED.replace("logs=2", "logs='2'"), 1)]:
        (tmp_path / "program.py").write_text(program)
        command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "mypy"]
        command += ["-p", "conzone", "-m", "program"]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert ended.returncode == ends, ended.stdout + ended.stderr


def test_the_types_are_those_of_the_module():
    command = [sys.executable, "-m", "mypy.stubtest", "conzone", "--ignore-missing-stub"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_pages_examples_run(tmp_path, monkeypatch):
    text = (ROOT / "docs/python.md").read_text()
    examples = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(examples) >= 4
    monkeypatch.chdir(tmp_path)
    names = {}
    for example in examples:
        exec(compile(example, "docs/python.md", "exec"), names)


def wheel():
    (wheel,) = (ROOT / "target/wheels").glob("*.whl")
    return wheel


def test_the_wheel_is_small():
    assert wheel().stat().st_size < 1_600_000


def test_the_wheel_runs_on_every_linux_since_2012():
    assert "-cp310-abi3-" in wheel().name and "manylinux_2_17_" in wheel().name
    show = [sys.executable, "-m", "auditwheel", "show", wheel()]
    said = subprocess.run(show, capture_output=True, text=True, check=True).stdout
    assert "manylinux_2_17_x86_64" in said or "manylinux_2_17_aarch64" in said, said
    versions = re.findall(r"GLIBC_2\.(\d+)", said)
    assert versions and max(map(int, versions)) <= 17, said


def test_the_wheel_alone_runs_the_readmes_lines(tmp_path):
    """In an environment that has nothing else, in another folder."""
    readme = (ROOT / "README.md").read_text()
    (lines,) = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert "import conzone" in lines and len(lines.splitlines()) <= 12
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "empty"], check=True)
    there = tmp_path / "empty/bin"
    install = [there / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, wheel()], check=True)
    (tmp_path / "elsewhere").mkdir()
    for command in ([there / "python", "-c", lines], [there / "conzone", "properties"]):
        run = subprocess.run(command, cwd=tmp_path / "elsewhere", env={}, capture_output=True, text=True)
        assert run.returncode == 0 and run.stdout and run.stderr == "", run.stderr


def test_latencies_are_not_copied():
    result = conzone.Drive().run(**writes(4))
    view = result.latency_ns
    assert view is result.latency_ns and not view.flags.owndata
    assert view.flags.c_contiguous and view.strides == (8,)
