"""The command ``toolkit``: one file per group of verbs, each light to import."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> None:
    """Run the command; errors are one line on stderr, tracebacks only with ``--debug``."""
    try:
        from toolkit.cli.app import run, strike_again
    except KeyboardInterrupt:
        print("toolkit: stopped by Ctrl-C before it began", file=sys.stderr)
        sys.exit(130)
    sys.unraisablehook = strike_again
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def _terminate(number: int, frame: object) -> NoReturn:
    """End by SIGTERM as by an error, so that what is half-written is removed on the way out."""
    sys.exit(128 + number)
