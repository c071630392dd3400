# SPDX-License-Identifier: GPL-2.0-or-later
"""Sweeps (docs/sweep.md) by whatever has workers: this process, or any executor of `concurrent.futures`' kind.

A task is a share of the points, not a point: points take milliseconds. Results are kept in a directory that all workers
see, a file a point, so a share that is run again, as after the death of its worker, runs only what is not there.
"""

import os
import pathlib

from . import _conzone

__all__ = ["run"]


def _program():
    """What computes: results of another build are not taken for those of this one."""
    return _conzone.__file__


def _share(plan, out, share, shares):
    return _conzone.sweep_share(plan, out, _program(), share, shares, 1)


def run(plan, *, out=None, executor=None, shares=32):
    """Run the points of a plan that have no result yet; the table of all of them."""
    import pyarrow  # Before anything runs: it may not be there.

    plan = pathlib.Path(os.fspath(plan))
    out = pathlib.Path("conzone-out/sweep", plan.stem) if out is None else pathlib.Path(out)
    if shares < 1:
        raise ValueError(f"shares is {shares}: at least 1 is needed")
    if executor is None:
        _conzone.sweep_share(plan, out, _program(), 1, 1, 0)
    else:
        # Workers may have other current directories.
        place = (str(plan.resolve()), str(out.resolve()))
        futures = [executor.submit(_share, *place, share, shares) for share in range(1, shares + 1)]
        for future in futures:
            future.result()
    columns = _conzone.sweep_columns(plan, out, _program())
    return pyarrow.table({name: pyarrow.array(values, kind) for name, kind, values in columns})
