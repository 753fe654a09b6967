"""The groups of verbs: every module beside this one adds its commands to ``toolkit.cli.app.app``."""

from __future__ import annotations

import importlib
import pkgutil

import toolkit.cli

__all__ = ["GROUPS", "load"]

GROUPS: tuple[str, ...] = tuple(
    sorted(m.name for m in pkgutil.iter_modules(toolkit.cli.__path__) if m.name not in {"app", "groups"})
)


def load() -> None:
    """Import every group; each imports only typer and the standard library at its top."""
    for name in GROUPS:
        importlib.import_module(f"toolkit.cli.{name}")
