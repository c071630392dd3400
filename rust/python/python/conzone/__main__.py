# SPDX-License-Identifier: GPL-2.0-or-later
"""The program `conzone`: the commands of `cargo conzone` that need the model only."""

import signal
import sys

from . import _conzone


def main() -> int:
    """Do what the command line says; the exit status."""
    # Python would look at Ctrl-C only after the command's end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _conzone.main(sys.argv[1:], _conzone.__file__)


if __name__ == "__main__":
    sys.exit(main())
