"""The combinations traders name, as leg sets.

Every builder takes its strikes ascending as named, ``qty`` in units (positive: the combination is
bought in the usual sense; negative turns every leg round) and ``quote``, a function
``(kind, strike) -> Quote`` or rupees that gives entry prices; without it entry prices are 0.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final, NamedTuple

from toolkit.errors import BadData, nearest
from toolkit.pricing.legs import Leg, LegSet

__all__ = [
    "BUILDERS",
    "Quote",
    "back_spread",
    "bear_call_spread",
    "bear_put_spread",
    "box",
    "build",
    "bull_call_spread",
    "bull_put_spread",
    "butterfly",
    "calendar",
    "collar",
    "condor",
    "covered_call",
    "diagonal",
    "iron_butterfly",
    "iron_condor",
    "jade_lizard",
    "protective_put",
    "ratio_spread",
    "straddle",
    "strangle",
    "strap",
    "strip",
    "synthetic_future",
]


class Quote(NamedTuple):
    """Entry price in rupees, and the option's own tte and iv where it must be valued before expiry."""

    price: float
    tte: float = float("nan")
    iv: float = float("nan")


Quotes = Callable[[str, float], Any] | None


def _leg(kind: str, qty: float, strike: float, quote: Quotes) -> Leg:
    got = Quote(0.0) if quote is None else quote(kind, strike)
    q = got if isinstance(got, Quote) else Quote(float(got))
    return Leg(kind, qty, strike, q.price, q.tte, q.iv)


def _set(name: str, qty: float, quote: Quotes, *parts: tuple[str, float, float]) -> LegSet:
    return LegSet([_leg(kind, qty * times, strike, quote) for kind, times, strike in parts], name)


def _ascending(name: str, *strikes: float) -> None:
    if any(a >= b for a, b in pairwise(strikes)):
        raise BadData(f"{name} needs ascending strikes, was {', '.join(f'{k:g}' for k in strikes)}")


def straddle(strike: float, qty: float = 1.0, quote: Quotes = None) -> LegSet:
    """Call and put at one strike."""
    return _set("straddle", qty, quote, ("CE", 1, strike), ("PE", 1, strike))


def strangle(put: float, call: float, qty: float = 1.0, quote: Quotes = None) -> LegSet:
    """A put and a higher call."""
    _ascending("strangle", put, call)
    return _set("strangle", qty, quote, ("PE", 1, put), ("CE", 1, call))


def strip(strike: float, qty: float = 1.0, quote: Quotes = None) -> LegSet:
    """One call and two puts."""
    return _set("strip", qty, quote, ("CE", 1, strike), ("PE", 2, strike))


def strap(strike: float, qty: float = 1.0, quote: Quotes = None) -> LegSet:
    """Two calls and one put."""
    return _set("strap", qty, quote, ("CE", 2, strike), ("PE", 1, strike))


def bull_call_spread(low: float, high: float, qty: float = 1.0, quote: Quotes = None) -> LegSet:
    """Buy the lower call, sell the higher."""
    _ascending("bull_call_spread", low, high)
    return _set("bull_call_spread", qty, quote, ("CE", 1, low), ("CE", -1, high))


def bear_call_spread(low: float, high: float, qty: float = 1.0, quote: Quotes = None) -> LegSet:
    """Sell the lower call, buy the higher: a credit."""
    _ascending("bear_call_spread", low, high)
    return _set("bear_call_spread", qty, quote, ("CE", -1, low), ("CE", 1, high))


def bull_put_spread(low: float, high: float, qty: float = 1.0, quote: Quotes = None) -> LegSet:
    """Buy the lower put, sell the higher: a credit."""
    _ascending("bull_put_spread", low, high)
    return _set("bull_put_spread", qty, quote, ("PE", 1, low), ("PE", -1, high))


def bear_put_spread(low: float, high: float, qty: float = 1.0, quote: Quotes = None) -> LegSet:
    """Sell the lower put, buy the higher."""
    _ascending("bear_put_spread", low, high)
    return _set("bear_put_spread", qty, quote, ("PE", -1, low), ("PE", 1, high))


def butterfly(
    low: float, middle: float, high: float, qty: float = 1.0, quote: Quotes = None, kind: str = "CE"
) -> LegSet:
    """Buy the wings, sell the middle twice, all calls or all puts."""
    _ascending("butterfly", low, middle, high)
    return _set("butterfly", qty, quote, (kind, 1, low), (kind, -2, middle), (kind, 1, high))


def condor(
    low: float, low2: float, high: float, high2: float, qty: float = 1.0, quote: Quotes = None, kind: str = "CE"
) -> LegSet:
    """Buy the outer strikes, sell the inner, all calls or all puts."""
    _ascending("condor", low, low2, high, high2)
    return _set("condor", qty, quote, (kind, 1, low), (kind, -1, low2), (kind, -1, high), (kind, 1, high2))


def iron_butterfly(low: float, middle: float, high: float, qty: float = 1.0, quote: Quotes = None) -> LegSet:
    """Sell the straddle at the middle, buy the wings: a credit."""
    _ascending("iron_butterfly", low, middle, high)
    parts = (("PE", 1, low), ("PE", -1, middle), ("CE", -1, middle), ("CE", 1, high))
    return _set("iron_butterfly", qty, quote, *parts)


def iron_condor(low: float, put: float, call: float, high: float, qty: float = 1.0, quote: Quotes = None) -> LegSet:
    """Sell the inner put and call, buy the outer: a credit."""
    _ascending("iron_condor", low, put, call, high)
    return _set("iron_condor", qty, quote, ("PE", 1, low), ("PE", -1, put), ("CE", -1, call), ("CE", 1, high))


def ratio_spread(
    bought: float, sold: float, qty: float = 1.0, quote: Quotes = None, kind: str = "CE", ratio: float = 2.0
) -> LegSet:
    """Buy one, sell ``ratio`` farther out."""
    _outward("ratio_spread", kind, bought, sold)
    return _set("ratio_spread", qty, quote, (kind, 1, bought), (kind, -ratio, sold))


def back_spread(
    sold: float, bought: float, qty: float = 1.0, quote: Quotes = None, kind: str = "CE", ratio: float = 2.0
) -> LegSet:
    """Sell one, buy ``ratio`` farther out."""
    _outward("back_spread", kind, sold, bought)
    return _set("back_spread", qty, quote, (kind, -1, sold), (kind, ratio, bought))


def _outward(name: str, kind: str, near: float, far: float) -> None:
    if kind not in ("CE", "PE") or (far <= near if kind == "CE" else far >= near):
        raise BadData(f"{name} of {kind} needs the second strike farther out, was {near:g}, {far:g}")


def jade_lizard(put: float, call: float, high: float, qty: float = 1.0, quote: Quotes = None) -> LegSet:
    """Sell a put and a call spread; no loss upwards when the credit covers the spread's width."""
    _ascending("jade_lizard", put, call, high)
    return _set("jade_lizard", qty, quote, ("PE", -1, put), ("CE", -1, call), ("CE", 1, high))


def synthetic_future(strike: float, qty: float = 1.0, quote: Quotes = None) -> LegSet:
    """Buy the call, sell the put: a future at the strike."""
    return _set("synthetic_future", qty, quote, ("CE", 1, strike), ("PE", -1, strike))


def box(low: float, high: float, qty: float = 1.0, quote: Quotes = None) -> LegSet:
    """A bull call spread and a bear put spread: the strikes' distance, whatever happens."""
    _ascending("box", low, high)
    return _set("box", qty, quote, ("CE", 1, low), ("CE", -1, high), ("PE", -1, low), ("PE", 1, high))


def covered_call(future: float, call: float, qty: float = 1.0, quote: Quotes = None) -> LegSet:
    """A future bought at ``future`` and a call sold."""
    return LegSet([Leg("FUT", qty, price=future), _leg("CE", -qty, call, quote)], "covered_call")


def protective_put(future: float, put: float, qty: float = 1.0, quote: Quotes = None) -> LegSet:
    """A future bought at ``future`` and a put bought."""
    return LegSet([Leg("FUT", qty, price=future), _leg("PE", qty, put, quote)], "protective_put")


def collar(future: float, put: float, call: float, qty: float = 1.0, quote: Quotes = None) -> LegSet:
    """A future bought at ``future``, a put bought, a higher call sold."""
    _ascending("collar", put, call)
    legs = [Leg("FUT", qty, price=future), _leg("PE", qty, put, quote), _leg("CE", -qty, call, quote)]
    return LegSet(legs, "collar")


def calendar(strike: float, near: Quote, far: Quote, qty: float = 1.0, kind: str = "CE") -> LegSet:
    """Sell the near expiry, buy the far one, at one strike; quotes carry tte, the far one its iv."""
    return diagonal(strike, strike, near, far, qty, kind, name="calendar")


def diagonal(
    near_strike: float,
    far_strike: float,
    near: Quote,
    far: Quote,
    qty: float = 1.0,
    kind: str = "CE",
    *,
    name: str = "diagonal",
) -> LegSet:
    """Sell the near expiry, buy the far one at another strike; quotes carry tte, the far one its iv."""
    if not near.tte < far.tte:
        raise BadData(f"{name} needs near.tte below far.tte, was {near.tte!r} and {far.tte!r}")
    legs = [Leg(kind, -qty, near_strike, *near), Leg(kind, qty, far_strike, *far)]
    return LegSet(legs, name)


BUILDERS: Final[dict[str, Callable[..., LegSet]]] = {
    f.__name__: f
    for f in (
        *(straddle, strangle, strip, strap, bull_call_spread, bear_call_spread, bull_put_spread, bear_put_spread),
        *(butterfly, condor, iron_butterfly, iron_condor, ratio_spread, back_spread, jade_lizard, synthetic_future),
        *(box, covered_call, protective_put, collar, calendar, diagonal),
    )
}


def build(name: str, *args: Any, **options: Any) -> LegSet:
    """Build a combination by its name.

    Raises
    ------
    BadData
        For an unknown name (the nearest is named).
    """
    if name not in BUILDERS:
        raise BadData(f"no combination '{name}'{nearest(name, BUILDERS)}; known: {', '.join(sorted(BUILDERS))}")
    return BUILDERS[name](*args, **options)
