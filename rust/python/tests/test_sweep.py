# SPDX-License-Identifier: GPL-2.0-or-later
"""The recipe of docs/sweep.md for Dask, with a worker that is killed in the middle."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest
from distributed import LocalCluster

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
    """A plan, the recipe, and `conzone` on the PATH; all of the plan run by the program alone into `one`."""
    (tmp_path / "plan.toml").write_text(PLAN)
    (recipe,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/sweep.md").read_text(), re.DOTALL)
    (tmp_path / "sweep_dask.py").write_text(recipe)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/conzone").symlink_to(os.environ["CONZONE_BIN"])
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    run = ["conzone", "sweep", "run", "plan.toml", "--out", "one"]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
    assert finished(tmp_path / "one") == POINTS
    return tmp_path


def test_dask_gives_the_same_table_though_a_worker_was_killed(place):
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster:
        words = [cluster.scheduler_address, "plan.toml", "dask", str(SHARES)]
        recipe = subprocess.Popen([sys.executable, "sweep_dask.py", *words])
        deadline = time.monotonic() + 120
        while finished(place / "dask") < 3:
            assert recipe.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(cluster.workers[0].pid, signal.SIGKILL)
        assert finished(place / "dask") < POINTS, "it was too fast to be killed"
        assert recipe.wait(timeout=300) == 0
    for name in ("results.csv", "results.parquet"):
        assert (place / "dask" / name).read_bytes() == (place / "one" / name).read_bytes()
