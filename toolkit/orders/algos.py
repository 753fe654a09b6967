"""The shipped execution algorithms by name, made from text such as ``twap duration_s=600 slices=10``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from toolkit.errors import BadData, nearest
from toolkit.orders.algo import Algo
from toolkit.orders.algo_legs import Legs, PremiumStop
from toolkit.orders.algo_link import Bracket, Oco, Oto, Ouo
from toolkit.orders.algo_peg import BestLimit, Chase, Sniper
from toolkit.orders.algo_schedule import Iceberg, Pov, Twap, Vwap
from toolkit.orders.algo_stop import Stop, TrailingStop
from toolkit.orders.algo_target import DeltaHedge, TargetPosition
from toolkit.orders.algo_work import Worker
from toolkit.types import OrderRequest

__all__ = ["ALGOS", "NAMES", "make", "parse"]

ALGOS: Final[Mapping[str, type[Worker]]] = {
    algo.name: algo
    for algo in (
        Twap,
        Vwap,
        Pov,
        Iceberg,
        Sniper,
        BestLimit,
        Chase,
        Stop,
        TrailingStop,
        Bracket,
        Oco,
        Oto,
        Ouo,
        TargetPosition,
        DeltaHedge,
        Legs,
        PremiumStop,
    )
}
"""Every shipped algorithm by its name."""

NAMES: Final = tuple(ALGOS)


def parse(text: str) -> tuple[str, dict[str, str]]:
    """Read ``name key=value ...``; the values stay text, the algorithm's parameters check them.

    >>> parse("twap duration_s=600 slices=10")
    ('twap', {'duration_s': '600', 'slices': '10'})

    Raises
    ------
    BadData
        When there is no name, the name is unknown (names the nearest), or a word is not ``key=value`` or comes twice.
    """
    name, *words = text.split() or [""]
    if name not in ALGOS:
        raise BadData(f"no algorithm '{name}'{nearest(name, NAMES)} known: {', '.join(sorted(NAMES))}")
    values: dict[str, str] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key or not value:
            raise BadData(f"a parameter of algorithm '{name}' is key=value, was '{word}'")
        if key in values:
            raise BadData(f"parameter '{key}' of algorithm '{name}' is given twice; keep one")
        values[key] = value
    return name, values


def make(
    text: str,
    legs: OrderRequest | Sequence[OrderRequest],
    policy: Mapping[str, object] | None = None,
) -> Algo:
    """Make the algorithm that ``text`` names for these legs.

    Parameters
    ----------
    text : str
        Name and parameters; an empty text with several legs is ``legs``.
    legs : OrderRequest or sequence of OrderRequest
        What is to be done.
    policy : mapping or None
        More parameters by name, such as ``{"fail": "unwind"}`` of ``legs``.

    Raises
    ------
    BadData
        For an unknown name or parameter (names the nearest), a value out of bounds, or legs that do not fit.
    """
    name, values = parse(text if text.strip() else "legs")
    more = dict(policy or {})
    both = sorted(set(values) & set(more))
    if both:
        raise BadData(f"parameter '{both[0]}' of algorithm '{name}' stands in text and policy; keep one")
    return ALGOS[name](legs, **{**values, **more})
