"""The strategy protocol and the shipped strategies, found by name and loaded on first use.

Each ships with its hypothesis and its rules, and with no promise: a hypothesis is a
reason to test, not a result.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Final

from toolkit.errors import BadData, nearest
from toolkit.strategies.protocol import Param, Strategy

__all__ = ["SHIPPED", "Param", "Strategy", "shipped"]

SHIPPED: Final[Mapping[str, str]] = {
    "iron-condor": "toolkit.strategies.iron_condor:IronCondor",
    "oi-wall": "toolkit.strategies.oi_wall:OIWall",
    "short-straddle": "toolkit.strategies.short_straddle:ShortStraddle",
}


def shipped(name: str) -> type[Strategy]:
    """Give the class of a shipped strategy.

    >>> shipped("oi-wall").name
    'oi-wall'

    Raises
    ------
    BadData
        For an unknown name; the text names the nearest and all known ones.
    """
    if name not in SHIPPED:
        raise BadData(
            f"no strategy '{name}'{nearest(name, SHIPPED) or ';'} shipped: {', '.join(sorted(SHIPPED))};"
            f" your own is module:Class or a path to a .py file"
        )
    module, _, attribute = SHIPPED[name].partition(":")
    found: type[Strategy] = getattr(importlib.import_module(module), attribute)
    return found


def catalogue() -> Iterator[type[Strategy]]:
    """Every shipped strategy, by name."""
    for name in sorted(SHIPPED):
        yield shipped(name)
