"""In which order the legs of one parent order are traded: stages of legs, as text that a journal keeps. Pure.

A stage is a list of leg numbers, from 0 here and from 1 in the text; its legs are worked together, and the next stage
follows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from toolkit.errors import BadData
from toolkit.risk.leg_order import Step
from toolkit.types import Instrument, OptionType, OrderRequest, Side

__all__ = ["Stages", "buys_first", "follows", "hedges", "is_exit", "read_stages", "stages_of", "write_stages"]

Stages = list[list[int]]
_SHORTS: Final = 0
_BUYS: Final = 1
_SELLS: Final = 2


def read_stages(text: str, count: int) -> Stages:
    """Read ``2,4;1,3``: legs 2 and 4 first, then 1 and 3.

    >>> read_stages("2,4;1,3", 4)
    [[1, 3], [0, 2]]

    Raises
    ------
    BadData
        When it does not name each of the ``count`` legs once.
    """
    words = [[word.strip() for word in part.split(",")] for part in text.split(";")]
    flat = [word for stage in words for word in stage]
    if sorted(flat) != sorted(str(n + 1) for n in range(count)):
        raise BadData(f"'order' names each of the legs 1 to {count} once, as 2,4;1,3 does for four, was {text[:80]!r}")
    return [[int(word) - 1 for word in stage] for stage in words]


def write_stages(stages: Sequence[Sequence[int]]) -> str:
    """The text of stages.

    >>> write_stages([[1, 3], [0, 2]])
    '2,4;1,3'
    """
    return ";".join(",".join(str(n + 1) for n in stage) for stage in stages)


def stages_of(steps: Sequence[Step]) -> Stages:
    """The stages of legs in the order of least peak margin."""
    found: dict[int, list[int]] = {}
    for step in steps:
        found.setdefault(step.stage, []).append(step.number)
    return [found[stage] for stage in sorted(found)]


def buys_first(sides: Sequence[Side], closes: Sequence[bool]) -> Stages:
    """The stages without a margin: shorts bought back (``closes``), the other buys, the sells."""
    ranks = [
        _SELLS if side is Side.SELL else _SHORTS if shut else _BUYS for side, shut in zip(sides, closes, strict=True)
    ]
    found = [[n for n, rank in enumerate(ranks) if rank == wanted] for wanted in (_SHORTS, _BUYS, _SELLS)]
    return [stage for stage in found if stage]


def is_exit(kind: str, legs: Sequence[OrderRequest], net: Mapping[str, int]) -> bool:
    """Whether legs are an exit: by their word, or because each closes what is held."""
    return kind == "exit" or (kind == "auto" and all(net.get(leg.symbol, 0) * leg.side.sign < 0 for leg in legs))


def hedges(bought: Instrument, sold: Instrument) -> bool:
    """Whether a bought contract bounds the loss of a sold one: puts those of puts, all else those of all else."""
    if bought.underlying != sold.underlying:
        return False
    return (bought.option_type is OptionType.PE) == (sold.option_type is OptionType.PE)


def follows(
    legs: Sequence[OrderRequest], terms: Mapping[str, Instrument], net: Mapping[str, int]
) -> list[frozenset[int]]:
    """For each leg those that must have traded before it, whatever the margin says.

    What goes short follows the buys that hedge it.
    """
    buys = [n for n, leg in enumerate(legs) if leg.side is Side.BUY]
    found = []
    for leg in legs:
        shorts = leg.side is Side.SELL and leg.order_qty > net.get(leg.symbol, 0)
        first = [n for n in buys if hedges(terms[legs[n].symbol], terms[leg.symbol])] if shorts else []
        found.append(frozenset(first))
    return found
