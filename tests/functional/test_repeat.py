# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs in virtual time leave the same bytes on a busy host and under the eyes of a client that asks all the time.

`cargo conzone test soak-clock` does the same for longer: CONZONE_REPEATS runs beside CONZONE_LOADS busy processes.
"""

import contextlib
import os
import socket
import subprocess
import tempfile
import threading
import time

from conzone import GUEST_LIMIT, GuestTest, conzone, counted, replayed

REPEATS = int(os.environ.get("CONZONE_REPEATS", "2"))
LOADS = int(os.environ.get("CONZONE_LOADS", "4"))

# Seconds between two questions.
PAUSE = 0.0005

# Reads of what was written, some of it still in buffers, with the guest idle in between.
JOB = ("--rw=randrw", "--bs=16k", "--size=2z", "--io_size=4m", "--iodepth=4", "--thinktime=100")


@contextlib.contextmanager
def busy_host(limit):
    """Processes that do nothing as fast as they can, for `limit` seconds at most."""
    command = ["timeout", str(limit), "nice", "-n", "10", "sh", "-c", "while :; do :; done"]
    loads = [subprocess.Popen(command) for _ in range(LOADS)]
    try:
        yield
    finally:
        for load in loads:
            load.terminate()
        for load in loads:
            load.wait()


class Asking:
    """A client that asks whether the machine runs, of one QEMU after the other at the same socket."""

    def __init__(self, path):
        self.path = path
        self.asked = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._work)

    def _work(self):
        while not self.ended.is_set():
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as monitor:
                monitor.connect(self.path)
                monitor.recv(1 << 16)
                self.asked.append(0)
                question = b'{"execute": "qmp_capabilities"}\n'
                while not self.ended.is_set():
                    monitor.sendall(question)
                    if not monitor.recv(1 << 16):
                        break
                    self.asked[-1] += 1
                    question = b'{"execute": "query-status"}\n'
                    time.sleep(PAUSE)
            time.sleep(0.01)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


class RepeatedRuns(GuestTest):
    """`run --check-repeat`, disturbed."""

    guest_limit = 2 * GUEST_LIMIT
    timeout = REPEATS * guest_limit

    def repeat(self, preset, processors):
        """Runs the job so many times, and fails if one differs or QEMU dies of it."""
        with tempfile.TemporaryDirectory(prefix="conzone-test-") as folder, busy_host(self.timeout):
            path = os.path.join(folder, "qmp")
            words = ["--preset", preset, "--smp", str(processors), "--qmp", path]
            words += ["--check-repeat", str(REPEATS), "--timeout", str(self.guest_limit)]
            out, trace = os.path.join(folder, "out"), os.path.join(folder, "trace.gz")
            words += ["--out", out, "--record", trace, "--", *JOB]
            with Asking(path) as client:
                done = subprocess.run(
                    [conzone(), "run", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
                )
            if done.returncode == 0:
                stats = counted(out)
                again = replayed(trace, "--preset", preset)
        self.log.info("%s\n%s\n-- stderr\n%s\nasked: %s", words, done.stdout, done.stderr, client.asked)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"{REPEATS} runs left the same bytes", done.stdout)
        # The first run alone was recorded.
        self.assertEqual(stats, {key: again[key] for key in stats})
        self.assertEqual(len([asked for asked in client.asked if asked > 1000]), REPEATS, client.asked)

    def test_one_processor(self):
        """One processor: the machine of every run in virtual time that does not ask for more."""
        self.repeat("tlc-zoned", 1)

    def test_two_processors(self):
        """Two processors, which take turns."""
        self.repeat("ufs4-tlc", 2)
