"""Which files hold the verbs. Each module adds its commands to ``toolkit.cli.app.app`` when imported."""

from __future__ import annotations

import importlib

__all__ = ["GROUPS", "load"]

GROUPS: tuple[str, ...] = ()


def load() -> None:
    """Import every group; each must import only typer and the standard library at its top."""
    for name in GROUPS:
        importlib.import_module(f"toolkit.cli.{name}")
