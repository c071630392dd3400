# SPDX-License-Identifier: GPL-2.0-or-later
from os import PathLike
from typing import Any, final, overload

import numpy as np
from numpy.typing import NDArray

from . import sweep as sweep

READ: int
WRITE: int
APPEND: int
FLUSH: int
RESET: int
FINISH: int
OPEN: int
CLOSE: int
TRIM: int
WRITE_ZEROES: int
READ_INSIDE: int
WRITE_INSIDE: int
OPEN_ZRWA: int
COMMIT: int
OFFLINE: int
EXTEND: int
RESET_ALL: int
FINISH_ALL: int
OPEN_ALL: int
CLOSE_ALL: int
OFFLINE_ALL: int

OPS: list[str]
"""Codes of operations, in the order that column `op` numbers them."""
PRESETS: list[str]
"""Names of presets."""

@final
class Drive:
    """A drive in virtual time."""

    def __new__(cls, preset: str = "tlc-zoned", **properties: object) -> Drive:
        """A preset, and properties as in docs/properties.md with `_` for `-`.

        ValueError: a property, its value, and the rule that it breaks.
        """

    @staticmethod
    def from_file(path: str | PathLike[str], **properties: object) -> Drive:
        """The drive of a file (docs/drives.md), and properties as for a new one.

        ValueError: file, line, property, value, and the rule that it breaks, or that the file cannot be read.
        """

    def aged(self, fill: int = 90, overwrite: int = 2, seed: int = 1) -> Drive:
        """The same drive, new, as after months of use (docs/ageing.md): fill per cent are filled and written again so many times.

        It counts from there, and arrivals are from there on.
        """

    @overload
    def run(
        self,
        trace: Trace,
        *,
        op: None = None,
        slba: None = None,
        nlb: None = None,
    ) -> Result:
        """Runs a trace. ValueError: file, line, and what is wrong there."""

    @overload
    def run(
        self,
        trace: None = None,
        *,
        op: NDArray[np.uint8],
        slba: NDArray[np.uint64],
        nlb: NDArray[np.uint32],
        arrival: NDArray[np.uint64] | None = None,
        fua: NDArray[np.bool_] | None = None,
        meta: bool = False,
        depth: int = 0,
    ) -> Result:
        """Runs commands given as columns of equal length.

        slba and nlb count sectors of 512 bytes, arrival ns. With a depth, so many commands are outstanding and arrivals do not
        count. meta sends them to the meta namespace.
        """

    def statistics(self) -> dict[str, Any]:
        """Everything the drive has counted."""

    def copy(self) -> Drive:
        """A drive in the same state, which goes its own way from here."""

    def get(self, name: str) -> str:
        """A property's value in effect, as text."""

    @property
    def now_ns(self) -> int:
        """Completion of the last command."""

@final
class Trace:
    """A trace in a file; it is read each time it runs."""

    def place(
        self,
        drive: Drive,
        logs: int = 1,
        streams: str = "process",
        cleaning: str = "greedy",
    ) -> Trace:
        """The same trace, log-structured onto a drive's zones (docs/traces.md)."""

@final
class Result:
    """What became of the commands of one run, an entry a command."""

    @property
    def op(self) -> NDArray[np.uint8]: ...
    @property
    def arrival_ns(self) -> NDArray[np.uint64]: ...
    @property
    def latency_ns(self) -> NDArray[np.uint64]: ...
    @property
    def status(self) -> NDArray[np.uint16]:
        """NVMe status type and code, 0 for success."""

    @property
    def log(self) -> dict[str, Any] | None:
        """What the placement on zones did."""

    @property
    def trace(self) -> dict[str, Any] | None:
        """Requests, duplicates and the like of a block trace."""

    def __len__(self) -> int: ...

def read_trace(
    path: str | PathLike[str],
    *,
    format: str | None = None,
    columns: str | None = None,
    unit: str | None = None,
    drop_duplicates: bool = False,
    device: str | None = None,
) -> Trace:
    """A trace of any format that docs/traces.md lists."""
