# SPDX-License-Identifier: GPL-2.0-or-later
"""Sweeps on the engines of docs/sweep.md, each with something killed in the middle; `cargo conzone test soak-engines`.

Whatever ran the points, the sorted table is that of one thread, to the byte. Slurm is Debian's (apt-get install slurmctld
slurmd munge): a cluster of this machine, with everything it has in the test's directory. HyperQueue's server is the one in
its Python package, which keeps no journal: what is lost with it are its jobs, not results.
"""

import getpass
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import pytest
from test_sweep import POINTS, ROOT, SHARES, assert_same, finished, place, running, until_begun
from test_sweep import test_any_executor_runs_a_sweep as test_executors
from test_sweep import test_dask_gives_the_same_table_though_a_worker_was_killed as test_dask
from test_sweep import test_dasks_executor_goes_on_after_a_worker_was_killed as test_dask_executor
from test_sweep import test_hyperqueue_goes_on_after_a_program_was_killed as test_hyperqueue

__all__ = ["place", "test_dask", "test_dask_executor", "test_executors", "test_hyperqueue"]


@pytest.mark.parametrize("threads", ["1", "2"])
def test_threads(place, threads):
    words = ["plan.toml", "--out", threads, "--threads", threads]
    subprocess.run(["conzone", "sweep", "run", *words], check=True)
    assert_same(place / threads, place / "one")


CLUSTER = """
import sys, time
from hyperqueue.cluster import LocalCluster, WorkerConfig

cluster = LocalCluster(sys.argv[1], WorkerConfig(cores=2))
print("up", flush=True)
time.sleep(1e6)
"""


@contextmanager
def hyperqueue(server):
    """A server with its worker, in a process of its own."""
    with subprocess.Popen([sys.executable, "-c", CLUSTER, server], stdout=subprocess.PIPE) as process:
        try:
            assert b"up\n" in iter(process.stdout.readline, b""), "the server did not start"
            yield process
        finally:
            process.kill()


def test_hyperqueue_is_killed_and_started_again(place):
    out, server = place / "hq", str(place / "server")
    start = [sys.executable, "sweep_hq.py", server, "plan.toml", out, str(SHARES)]
    with hyperqueue(server) as cluster:
        recipe = subprocess.Popen(start, stderr=subprocess.DEVNULL)
        until_begun(recipe, out)
        cluster.kill()
        assert finished(out) < POINTS, "it was too fast to be killed"
        assert recipe.wait(timeout=60) != 0
    # The programs that the worker had started may outlive it.
    for pid in running(out):
        os.kill(pid, signal.SIGKILL)
    assert not (out / "results.csv").exists()
    with hyperqueue(server):
        subprocess.run(start, check=True, timeout=300)
    assert_same(out, place / "one")


SLURM = """
ClusterName=conzone
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={daemon}
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={dir}/munge.socket
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool
SlurmctldPidFile={dir}/slurmctld.pid
SlurmdPidFile={dir}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
NodeName={host} NodeAddr=127.0.0.1 CPUs=2
PartitionName=all Nodes={host} Default=YES
"""


def free_ports(number):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [one.getsockname()[1] for one in sockets]


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A cluster of one node, without systemd and without a place outside the test's directory."""
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if not shutil.which(name)]
    assert not missing, "apt-get install slurmctld slurmd munge"
    here = tmp_path / "slurm"
    for name in ("state", "spool"):
        (here / name).mkdir(parents=True)
    (here / "munge.key").write_bytes(os.urandom(64))
    (here / "munge.key").chmod(0o600)
    control, daemon = free_ports(2)
    host, user = socket.gethostname().split(".")[0], getpass.getuser()
    text = SLURM.format(host=host, user=user, dir=here, control=control, daemon=daemon)
    (here / "slurm.conf").write_text(text)
    monkeypatch.setenv("SLURM_CONF", str(here / "slurm.conf"))
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    munge = [f"--{option}={here}/munge.{end}" for option, end in files.items()]
    started = []
    try:
        # --force: the directory's parents need not be root's.
        for command in (["munged", "--foreground", "--force", *munge], ["slurmctld", "-D"], ["slurmd", "-D"]):
            log = (here / command[0]).with_suffix(".out").open("w")
            started.append(subprocess.Popen(command, stdout=log, stderr=log))
            time.sleep(1)
        deadline = time.monotonic() + 60
        while "idle" not in subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True).stdout:
            assert time.monotonic() < deadline, "the node did not come up"
            time.sleep(0.5)
        yield
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(timeout=60)


def recipe_of_slurm(out):
    """The commands of docs/sweep.md, for this plan."""
    page = (ROOT / "docs/sweep.md").read_text()
    (block,) = re.findall(r"^\*\*Slurm\.\*\*.*?^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    block = block.replace("DIR", str(out)).replace("64", str(SHARES))
    return [command.strip() for command in block.removeprefix("$ ").split("\n$ ")]


def test_a_slurm_array_whose_task_is_killed_is_finished_by_a_second(place, slurm):
    out = place / "slurm-out"
    first, second, collect = recipe_of_slurm(out)
    array = subprocess.Popen(["bash", "-c", first])
    until_begun(array, out)
    os.kill(next(running(out)), signal.SIGKILL)
    assert finished(out) < POINTS, "it was too fast to be killed"
    assert array.wait(timeout=300) != 0
    missing = ["conzone", "sweep", "missing", "plan.toml", "--out", out, "--shards", str(SHARES)]
    said = subprocess.run(missing, check=True, capture_output=True, text=True).stdout
    assert len(said.split()) == 1 and "," not in said, said
    for command in (second, collect):
        subprocess.run(["bash", "-c", command], check=True, timeout=300)
    assert_same(out, place / "one")
