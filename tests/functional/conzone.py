# SPDX-License-Identifier: GPL-2.0-or-later
"""What the functional tests share: running things in the guest and reading what they say.

A guest costs seconds to boot, so a test boots one and checks many things in it: `GuestTest.checks` runs a list of
named commands in one boot and gives each one's result.

The tests go through the program that users go through, `conzone exec`; its path is in CONZONE_BIN (set by
`cargo conzone test`).
"""

import asyncio
import json
import os
import queue
import re
import shlex
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass

from avocado import Test
from qemu.qmp.legacy import QEMUMonitorProtocol

# The drive most tests use: eight zones of 96 MiB are filled in seconds.
SMALL = ("--set", "zones=8")

# A boot is 5 s on an idle machine; these leave room for busy ones.
GUEST_LIMIT = 240

META, DATA = "/dev/nvme0n1", "/dev/nvme0n2"

# From zone to zone, and what of a zone can be written, in sectors of 512 bytes.
SIZE, CAPACITY = 0x40000, 0x30000

# What the kernel's NVMe and block layers say of a drive they are content with.
CALM = (
    r"pci function",
    r"enabling device",
    r"\d+/\d+/\d+ default/read/poll queues",
    r"rescanning namespaces",
    r"allocated \d+ MiB host memory buffer",
    r"Shutdown timeout set to",
)


@dataclass
class Result:
    """How a command ended and what it said."""

    status: int
    stdout: str
    stderr: str = ""


def conzone():
    """The program under test."""
    return os.environ.get("CONZONE_BIN", "target/release/conzone")


def replayed(trace, *drive):
    """The statistics of a recorded trace, run again on the model alone."""
    command = [conzone(), "sim", *drive, "--trace", trace, "--json"]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def counted(out):
    """The statistics that a run has left in a folder, but for the guest's clock: no trace tells it."""
    with open(os.path.join(out, "stats.json"), encoding="utf-8") as file:
        stats = json.load(file)
    del stats["host_clock_ms"]
    return stats


def repository(path):
    """A file of the repository."""
    return os.path.join(os.environ.get("CONZONE_ROOT", "."), path)


def complaints(dmesg):
    """The lines of the kernel's log that a good drive does not cause."""
    suspects = [line for line in dmesg.splitlines() if re.search(r"nvme|I/O error|blk_", line, re.I)]
    return [line for line in suspects if not any(re.search(calm, line) for calm in CALM)]


class GuestTest(Test):
    """A test that runs things in the guest."""

    # Seconds for a guest, and for a test.
    guest_limit = GUEST_LIMIT
    timeout = 2 * GUEST_LIMIT

    def tearDown(self):
        # avocado does not do that by itself: a machine that a test failed on would run on.
        self.doCleanups()

    def command(self, script, options=()):
        """The command line that runs `script` in the guest."""
        return [conzone(), "exec", *options, "--timeout", str(self.guest_limit), "--", script]

    def guest(self, script, options=SMALL):
        """Runs a script in the guest; its output is in the test's log, too."""
        done = subprocess.run(
            self.command(script, options),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        self.log.info("%s\n-- stdout\n%s\n-- stderr\n%s", script, done.stdout, done.stderr)
        return Result(done.returncode, done.stdout, done.stderr)

    def checks(self, commands, options=SMALL):
        """Runs named commands, one after the other, in one boot: name -> Result (stdout and stderr together).

        A command that fails does not keep the next from running.
        """
        mark = "@@conzone@@"
        lines = []
        for name, command in commands.items():
            lines.append(f"echo {mark} {name}; {{ {command}\n}} 2>&1; printf '\\n{mark} = %d\\n' $?")
        done = self.guest("\n".join(lines), options)
        pattern = rf"^{mark} (\w+)\n(.*?)\n{mark} = (\d+)$"
        found = re.findall(pattern, done.stdout, re.MULTILINE | re.DOTALL)
        results = {name: Result(int(status), text) for name, text, status in found}
        missing = [name for name in commands if name not in results]
        self.assertFalse(missing, f"did not run: {missing}; {done.stderr}")
        return results

    def assert_all_succeed(self, results):
        """Every one of these commands succeeded."""
        failed = {name: result for name, result in results.items() if result.status != 0}
        self.assertFalse(failed)

    def assert_calm(self, dmesg):
        """The kernel had nothing to say against the drive."""
        self.assertEqual(complaints(dmesg), [])


class Monitored:
    """A script in a guest whose machine is interfered with while it runs.

    The script tells how far it is by the lines it prints; `until` waits for one.
    """

    def __init__(self, test, script, options):
        self.test = test
        self.folder = tempfile.TemporaryDirectory(prefix="conzone-test-")
        socket = os.path.join(self.folder.name, "qmp")
        extra = ["--qemu-arg=-qmp", f"--qemu-arg=unix:{socket},server=on,wait=off"]
        self.process = subprocess.Popen(
            test.command(script, [*options, *extra]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines = queue.Queue()
        self.said = []
        threading.Thread(target=self._read, daemon=True).start()
        self.socket = socket
        self.monitor = None

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def until(self, wanted, limit=GUEST_LIMIT):
        """Waits for this line."""
        end = time.monotonic() + limit
        while True:
            try:
                line = self.lines.get(timeout=max(0, end - time.monotonic()))
            except queue.Empty:
                self.test.fail(f"no {wanted!r} within {limit} s, only {self.said}")
            if line is None:
                self.test.fail(f"ended without {wanted!r}: {self.said}")
            self.said.append(line)
            if line == wanted:
                return

    def connect(self, limit=60):
        """Connects to the monitor, as soon as there is one."""
        end = time.monotonic() + limit
        while self.monitor is None:
            if os.path.exists(self.socket):
                self.monitor = QEMUMonitorProtocol(self.socket)
                self.monitor.connect()
            self.test.assertLess(time.monotonic(), end, "no monitor")
            time.sleep(0.01)

    def qmp(self, command, **arguments):
        """Runs a monitor command."""
        self.connect()
        answer = self.monitor.cmd_raw(command, arguments)
        self.test.assertNotIn("error", answer, command)
        return answer["return"]

    def run_job(self, command, **arguments):
        """Runs one of QEMU's jobs to its end."""
        name = arguments["job-id"]
        self.qmp(command, **arguments)
        for _ in range(3000):
            state = next(job for job in self.qmp("query-jobs") if job["id"] == name)
            if state["status"] == "concluded":
                self.test.assertNotIn("error", state, command)
                self.qmp("job-dismiss", id=name)
                return
            time.sleep(0.02)
        self.test.fail(f"{command} does not end")

    def add_qcow2(self, path):
        """Makes an image that holds snapshots, and adds it as node `vm`."""
        create = {"driver": "file", "filename": path, "size": 0}
        self.run_job("blockdev-create", **{"job-id": "a", "options": create})
        self.qmp("blockdev-add", **{"driver": "file", "filename": path, "node-name": "file"})
        create = {"driver": "qcow2", "file": "file", "size": 1 << 20}
        self.run_job("blockdev-create", **{"job-id": "b", "options": create})
        self.qmp("blockdev-add", **{"driver": "qcow2", "file": "file", "node-name": "vm"})

    def event(self, name, limit=60):
        """Waits for a monitor event, which may have come already."""
        end = time.monotonic() + limit
        while (left := end - time.monotonic()) > 0:
            try:
                event = self.monitor.pull_event(wait=left)
            except asyncio.TimeoutError:
                break
            if event["event"] == name:
                return event
        return self.test.fail(f"no event {name} within {limit} s")

    def finish(self):
        """Waits for the script to end; gives its status and the lines it printed."""
        while (line := self.lines.get(timeout=GUEST_LIMIT)) is not None:
            self.said.append(line)
        status = self.process.wait()
        self.test.log.info("%s", "\n".join(self.said))
        return Result(status, "\n".join(self.said))

    def close(self):
        """Ends the process if the test did not see it to its end."""
        if self.monitor is not None:
            self.monitor.close()
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        self.folder.cleanup()


def fio(**options):
    """A fio command on the data namespace: reports as JSON on standard output, with status 0 only without errors."""
    job = {
        "name": "job",
        "filename": DATA,
        "zonemode": "zbd",
        "direct": 1,
        "ioengine": "io_uring",
        "randseed": 1,
        **options,
    }
    words = ["fio", "--output-format=json"]
    words += [f"--{key}" if value is True else f"--{key}={value}" for key, value in job.items()]
    return shlex.join(words)


def zone(number):
    """First sector of a zone."""
    return number * SIZE


def zns(verb, number, *extra):
    """A command of nvme-cli on one zone."""
    return " ".join((f"nvme zns {verb} {DATA} -s {zone(number)}", *extra))


def report(number, *extra):
    """A report of one zone; `reported` reads it."""
    return zns("report-zones", number, "-d 1 -o json", *extra)


def reported(result):
    """The zone that a `report` is of."""
    return json.loads(result.stdout)["zone_list"][0]


def write(sector, file="/root/data", sectors=8):
    """A passthrough write, which the block layer does not check."""
    return f"nvme write {DATA} -s {sector} -c {sectors - 1} -z {sectors * 512} -d {file}"


def read(sector, sectors=8):
    """The matching read, into /root/back."""
    return f"nvme read {DATA} -s {sector} -c {sectors - 1} -z {sectors * 512} -d /root/back"
