"""The command ``toolkit``: one file per group of verbs, each light to import."""

from __future__ import annotations

import sys

from toolkit.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command; errors are one line on stderr, tracebacks only with ``--debug``."""
    from toolkit.cli.app import run

    sys.exit(run(sys.argv[1:]))
