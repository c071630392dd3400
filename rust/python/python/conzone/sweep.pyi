# SPDX-License-Identifier: GPL-2.0-or-later
from os import PathLike
from typing import Any, Protocol

import pyarrow  # type: ignore[import-untyped, unused-ignore]

__all__ = ["run"]

class _Future(Protocol):
    def result(self) -> Any: ...

class _Executor(Protocol):
    def submit(self, fn: Any, /, *args: Any) -> _Future: ...

def run(
    plan: str | PathLike[str],
    *,
    out: str | PathLike[str] | None = None,
    executor: _Executor | None = None,
    shares: int = 32,
) -> pyarrow.Table:
    """Run the points of a plan (docs/sweep.md) that have no result yet; the table of all of them.

    `out` is where results are kept, and results.csv written: `conzone-out/sweep/NAME` of NAME.toml if it is not given. Without an executor all processors of this machine work; an executor of `concurrent.futures`'
    kind (threads, processes, Dask's, MPI's, Parsl's) is given `shares` tasks. Needs pyarrow.

    ValueError: what is wrong with the plan, or with a trace it names. RuntimeError: a result that cannot be kept.
    """
