# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of docs/python.md, on a machine with two idle cores: python3 rust/python/tests/measure.py"""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import conzone

MILLION = 1_000_000
ZONE, PAGES = 1 << 18, 24_576  # sectors; pages of 4 KiB that can be written


def writes():
    """All pages of all zones of tlc-zoned: three quarters of a million."""
    page = np.arange(32 * PAGES, dtype=np.uint64)
    return {
        "op": np.full(len(page), conzone.WRITE, np.uint8),
        "slba": page // PAGES * ZONE + page % PAGES * 8,
        "nlb": np.full(len(page), 8, np.uint32),
    }


def reads():
    """A million reads of 4 KiB, all over."""
    page = np.random.default_rng(1).integers(0, 32 * PAGES, MILLION).astype(np.uint64)
    return {
        "op": np.full(MILLION, conzone.READ, np.uint8),
        "slba": page // PAGES * ZONE + page % PAGES * 8,
        "nlb": np.full(MILLION, 8, np.uint32),
    }


def best(clock, times, what):
    """The shortest of so many, in seconds."""
    took = []
    for _ in range(times):
        begin = clock()
        what()
        took.append(clock() - begin)
    return min(took)


filled = conzone.Drive("tlc-zoned")
columns = writes()
cpu = best(time.process_time, 3, lambda: conzone.Drive("tlc-zoned").run(**columns, depth=4))
print(f"a million writes: {cpu / len(columns['op']) * MILLION:.2f} s of CPU")
assert not filled.run(**columns, depth=4).status.any()
columns = reads()
print(f"a million reads: {best(time.process_time, 3, lambda: filled.copy().run(**columns, depth=4)):.2f} s of CPU")
print(f"copy() of the filled drive: {best(time.perf_counter, 20, filled.copy) * 1000:.2f} ms")

branches = [filled.copy(), filled.copy()]
one = best(time.perf_counter, 5, lambda: [drive.run(**columns, depth=4) for drive in branches])
with ThreadPoolExecutor(2) as pool:
    two = best(
        time.perf_counter,
        5,
        lambda: list(pool.map(lambda drive: drive.run(**columns, depth=4), branches)),
    )
print(f"two threads: {one / two:.2f} times as fast as one")
