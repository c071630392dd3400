# SPDX-License-Identifier: GPL-2.0-or-later
"""Sweeps in Python and on other engines: `conzone.sweep.run`, and the recipes of docs/sweep.md, with something killed in
the middle."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from threading import Thread

import pytest
from distributed import Client, LocalCluster
from hyperqueue import cluster as hyperqueue
from pyarrow import parquet

import conzone

ROOT = pathlib.Path(os.environ["CONZONE_ROOT"])
SHARES = 4
POINTS = 48
PLAN = """
presets = ["tlc-zoned", "ufs4-tlc"]
seeds = [1, 2, 3, 4]
[grid]
write-buffers = [2, 3, 6]
l2p-slots = [16, 64]
[[workload]]
name = "mixed"
[[workload.phase]]
name = "fill"
access = "write"
bytes = "384M"
[[workload.phase]]
name = "read"
access = "random-read"
bytes = "16M"
range = "384M"
"""


def finished(out):
    return len(list(out.glob("points/*.json")))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A plan, the recipes, and the wheel's `conzone` on the PATH; all of the plan run by the other program into `one`."""
    (tmp_path / "plan.toml").write_text(PLAN)
    page = (ROOT / "docs/sweep.md").read_text()
    for name, recipe in re.findall(r"```python\n# (\w+\.py) .*?\n(.*?)```", page, re.DOTALL):
        (tmp_path / name).write_text(recipe)
    wheels = pathlib.Path(sys.executable).parent
    assert (wheels / "conzone").exists()
    monkeypatch.setenv("PATH", f"{wheels}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    run = [os.environ["CONZONE_BIN"], "sweep", "run", "plan.toml", "--out", "one"]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
    assert finished(tmp_path / "one") == POINTS
    return tmp_path


def until_begun(recipe, out):
    """Waits until a few points are finished."""
    deadline = time.monotonic() + 120
    while finished(out) < 3:
        assert recipe.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)


def killed(pid, out):
    os.kill(pid, signal.SIGKILL)
    assert finished(out) < POINTS, "it was too fast to be killed"


def assert_same(out, one):
    for name in ("results.csv", "results.parquet"):
        assert (out / name).read_bytes() == (one / name).read_bytes()


def test_dask_gives_the_same_table_though_a_worker_was_killed(place):
    out = place / "dask"
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        words = [cluster.scheduler_address, "plan.toml", out, str(SHARES)]
        recipe = subprocess.Popen([sys.executable, "sweep_dask.py", *words])
        until_begun(recipe, out)
        killed(cluster.workers[0].pid, out)
        assert recipe.wait(timeout=300) == 0
    assert_same(out, place / "one")


def running(out):
    """The processes that run a share into `out`."""
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.endswith(b"/conzone") for word in words[:2]) and os.fsencode(out) in words:
            yield int(process.name)


def test_hyperqueue_goes_on_after_a_program_was_killed(place):
    out = place / "hq"
    server = str(place / "server")
    with hyperqueue.LocalCluster(server, hyperqueue.WorkerConfig(cores=2)):
        words = [server, "plan.toml", out, str(SHARES)]
        start = [sys.executable, "sweep_hq.py", *words]
        recipe = subprocess.Popen(start)
        until_begun(recipe, out)
        killed(next(running(out)), out)
        assert recipe.wait(timeout=300) != 0
        missing = ["conzone", "sweep", "missing", "plan.toml", "--out", out, "--shards", str(SHARES)]
        said = subprocess.run(missing, check=True, capture_output=True, text=True).stdout
        assert len(said.split()) == 1, said
        assert not (out / "results.csv").exists()
        subprocess.run(start, check=True, timeout=300)
    assert_same(out, place / "one")


def assert_same_table(table, place, out):
    """As the command line's, types and nulls and all."""
    assert table.equals(parquet.read_table(place / "one/results.parquet"))
    assert (place / out / "results.csv").read_bytes() == (place / "one/results.csv").read_bytes()


def test_a_sweep_in_python_is_the_command_lines(place):
    table = conzone.sweep.run("plan.toml")
    assert_same_table(table, place, "conzone-out/sweep/plan")
    assert table.num_rows == POINTS * 2
    before = finished(place / "conzone-out/sweep/plan")
    assert conzone.sweep.run("plan.toml").equals(table)
    assert finished(place / "conzone-out/sweep/plan") == before


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_any_executor_runs_a_sweep(place, kind):
    with {
        "threads": lambda: ThreadPoolExecutor(2),
        "processes": lambda: ProcessPoolExecutor(2, mp_context=get_context("spawn")),
    }[kind]() as executor:
        table = conzone.sweep.run("plan.toml", out=kind, executor=executor, shares=SHARES)
    assert_same_table(table, place, kind)


def test_dasks_executor_goes_on_after_a_worker_was_killed(place):
    tables = []
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        executor = client.get_executor()

        def sweep():
            tables.append(conzone.sweep.run("plan.toml", out="dask", executor=executor, shares=SHARES))

        thread = Thread(target=sweep)
        thread.start()
        deadline = time.monotonic() + 120
        while finished(place / "dask") < 3:
            assert thread.is_alive() and time.monotonic() < deadline
            time.sleep(0.002)
        killed(cluster.workers[0].pid, place / "dask")
        thread.join(300)
    assert_same_table(tables[0], place, "dask")


def test_what_is_wrong_with_a_sweep_is_one_line(place):
    (place / "bad.toml").write_text("seedz = 1\n")
    (place / "file").write_text("")
    for plan, out, words in [
        ("no.toml", "x", r"no.toml: No such file"),
        ("bad.toml", "x", r"bad.toml: .*"),
        ("plan.toml", "file/x", r"out file/x: Not a directory"),
    ]:
        with pytest.raises(ValueError, match=words) as error:
            conzone.sweep.run(plan, out=out)
        assert len(str(error.value).splitlines()) == 1
    with pytest.raises(ValueError, match="shares is 0: at least 1"):
        conzone.sweep.run("plan.toml", shares=0)
