# SPDX-License-Identifier: GPL-2.0-or-later
"""Flash model of a consumer-grade zoned NVMe drive, in virtual time.

>>> import conzone
>>> drive = conzone.Drive("tlc-zoned", write_buffers=4)
"""

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
) = range(len(OPS))

__all__ = [
    "APPEND",
    "CLOSE",
    "Drive",
    "FINISH",
    "FLUSH",
    "OPEN",
    "OPS",
    "PRESETS",
    "READ",
    "RESET",
    "Result",
    "TRIM",
    "Trace",
    "WRITE",
    "WRITE_ZEROES",
    "read_trace",
]
