# SPDX-License-Identifier: GPL-2.0-or-later
"""Flash model of a consumer-grade zoned NVMe drive, in virtual time.

>>> import conzone
>>> drive = conzone.Drive("tlc-zoned", write_buffers=4)
"""

from . import sweep
from ._conzone import OPS, PRESETS, Drive, Result, Trace, read_trace

(
    READ,
    WRITE,
    APPEND,
    FLUSH,
    RESET,
    FINISH,
    OPEN,
    CLOSE,
    TRIM,
    WRITE_ZEROES,
    READ_INSIDE,
    WRITE_INSIDE,
    OPEN_ZRWA,
    COMMIT,
    OFFLINE,
    EXTEND,
    RESET_ALL,
    FINISH_ALL,
    OPEN_ALL,
    CLOSE_ALL,
    OFFLINE_ALL,
) = range(len(OPS))

__all__ = [
    "APPEND",
    "CLOSE",
    "CLOSE_ALL",
    "COMMIT",
    "Drive",
    "EXTEND",
    "FINISH",
    "FINISH_ALL",
    "FLUSH",
    "OFFLINE",
    "OFFLINE_ALL",
    "OPEN",
    "OPEN_ALL",
    "OPEN_ZRWA",
    "OPS",
    "PRESETS",
    "READ",
    "READ_INSIDE",
    "RESET",
    "RESET_ALL",
    "Result",
    "TRIM",
    "Trace",
    "WRITE",
    "WRITE_INSIDE",
    "WRITE_ZEROES",
    "read_trace",
    "sweep",
]
