"""What a pure room takes when its caller gives none: the shipped calendar, the shipped charges.

The rooms read no file. ``toolkit/__init__.py`` says here where each value comes from; a room
asks by name and gets it, read once, at its first use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from toolkit.errors import BadData

__all__ = ["get", "provide"]

_SOURCES: dict[str, Callable[[], Any]] = {}


def provide(name: str, source: Callable[[], Any]) -> None:
    """Say where the value ``name`` comes from; the last word wins."""
    _SOURCES[name] = source


def get(name: str) -> Any:
    """The value ``name``.

    Raises
    ------
    BadData
        When nobody provides it.
    """
    source = _SOURCES.get(name)
    if source is None:
        raise BadData(f"no default for '{name}'; known: {', '.join(sorted(_SOURCES))}; pass the value itself")
    return source()
