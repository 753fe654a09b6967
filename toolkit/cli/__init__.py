"""The command ``toolkit``: one file per group of verbs, each light to import."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command; errors are one line on stderr, tracebacks only with ``--debug``."""
    try:
        from toolkit.cli.app import run, strike_again
    except KeyboardInterrupt:
        print("toolkit: stopped by Ctrl-C before it began", file=sys.stderr)
        sys.exit(130)
    sys.unraisablehook = strike_again
    sys.exit(run(sys.argv[1:]))
