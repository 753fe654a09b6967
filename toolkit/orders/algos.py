"""The shipped execution algorithms by name, made from text such as ``twap duration_s=600 slices=10``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from toolkit.errors import BadData, BadOrder, nearest
from toolkit.orders.algo import Algo
from toolkit.orders.algo_legs import Legs, PremiumStop
from toolkit.orders.algo_link import Bracket, Oco, Oto, Ouo
from toolkit.orders.algo_peg import BestLimit, Chase, Sniper
from toolkit.orders.algo_schedule import Iceberg, Pov, Twap, Vwap
from toolkit.orders.algo_stop import Stop, TrailingStop
from toolkit.orders.algo_target import DeltaHedge, TargetPosition
from toolkit.orders.algo_work import Worker
from toolkit.strategies.protocol import BadParam, checked_params
from toolkit.types import OrderRequest

__all__ = ["ALGOS", "NAMES", "check", "make", "parse"]

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
    BadOrder
        When there is no name, the name is unknown (names the nearest), or a word is not ``key=value`` or comes twice.
    """
    name, *words = text.split() or [""]
    if name not in ALGOS:
        known = sorted(NAMES)
        text = f"no algorithm '{name}'{nearest(name, known, tell=True)}"
        raise BadOrder("algo", ", ".join(known), f"'{name}'", text)
    values: dict[str, str] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key or not value:
            text = f"a parameter of algorithm '{name}' is key=value, was '{word}'"
            raise BadOrder("algo", "key=value", f"'{word}'", text)
        if key in values:
            raise _twice(key, f"parameter '{key}' of algorithm '{name}' is given twice; keep one")
        values[key] = value
    return name, values


def check(text: str, policy: Mapping[str, object] | None = None) -> tuple[str, dict[str, object]]:
    """Check a text and a policy before the legs are known, and give the name and every parameter.

    Raises
    ------
    BadOrder
        With ``algo`` or ``algo.PARAMETER`` as the rule.
    """
    name, words = parse(text if text.strip() else "legs")
    more = dict(policy or {})
    both = sorted(set(words) & set(more))
    if both:
        raise _twice(both[0], f"parameter '{both[0]}' of algorithm '{name}' stands in text and policy; keep one")
    values = {**words, **more}
    try:
        checked_params(f"algorithm '{name}'", ALGOS[name].params, values)
    except BadParam as error:
        rule = "algo" if error.rule == "parameter" else f"algo.{error.rule}"
        raise BadOrder(rule, error.limit, error.value, str(error)) from None
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
    BadOrder
        For an unknown name or parameter (names the nearest), a value out of bounds, or legs that do not fit.
    """
    name, values = check(text, policy)
    try:
        return ALGOS[name](legs, **values)
    except BadOrder:
        raise
    except BadData as error:
        raise BadOrder("algo", f"what {name} can work", " ".join(text.split()) or name, str(error)) from None


def _twice(key: str, text: str) -> BadOrder:
    return BadOrder(f"algo.{key}", "once", "twice", text)
