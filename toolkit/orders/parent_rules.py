"""What a parent order must pass before its algorithm starts: every rule that holds for a plain order. Pure.

Only cutting and counting messages is left to the children, for the parent itself sends nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from toolkit.orders.algo import Algo, Ask, World
from toolkit.orders.core import Core
from toolkit.risk.checks import check, protect
from toolkit.risk.reasons import repeated
from toolkit.types import Denial, Instrument, Kind, OrderRequest, Product

__all__ = ["denials"]

_OF_CHILDREN: Final = frozenset({"freeze", "max_slices", "message_rate"})


def denials(core: Core, algo: Algo, text: str, world: World, now_ns: int) -> tuple[Denial, ...]:
    """Every reason against a parent: trading state, limits, guards and the account's margin.

    What the algorithm does together counts together: each order is checked as if those before it had traded at their
    prices; legs with their buys first, so that a sell has the hedge that its basket buys.

    Parameters
    ----------
    core : Core
        The account; it is as before afterwards.
    algo : Algo
        What would be started.
    text : str
        The algorithm as it was asked for, for the check of repeats.
    world : World
        What the algorithm may look at.
    now_ns : int
        Now, nanoseconds UTC.
    """
    book, found = core.book, list[Denial]()
    for leg in algo.legs:
        instrument = book.instruments.get(leg.symbol)
        found += [] if instrument is None else _product(leg, instrument)
        if "duplicate" not in leg.confirm and (
            twice := repeated(book.repeated_ns(leg, text or "legs"), now_ns, core.limits)
        ):
            found.append(twice)
    with book.supposing() as suppose:
        for ask in _asked(core, algo, world):
            order = msgspec.structs.replace(ask.order, algo=algo.name or None)  # as its children bear it
            if order.price_p is None:
                order = msgspec.structs.replace(order, price_p=protect(order, book, core.limits, now_ns))
            aside = ask.aside | _OF_CHILDREN
            against = [d for d in check(order, book, core.limits, now_ns) if d.rule not in aside]
            against += core.gate(order, now_ns)
            if ask.adds and not against:
                suppose(order)
            found += against
    return tuple(dict.fromkeys(found))


def _asked(core: Core, algo: Algo, world: World) -> Sequence[Ask]:
    """The orders to check; legs as they stand where a contract is not listed, so that its rule speaks."""
    if any(leg.symbol not in core.book.instruments for leg in algo.legs):
        return [Ask(leg, adds=False) for leg in algo.legs]
    return algo.asks(world)


def _product(leg: OrderRequest, instrument: Instrument) -> list[Denial]:
    """A derivative is not delivered into the holdings: only shares are CNC."""
    if leg.product is not Product.CNC or instrument.kind is Kind.EQUITY:
        return []
    text = f"product of {leg.symbol} must be NRML or MIS, was CNC; CNC is for shares"
    return [Denial("product", "NRML, MIS", "CNC", text)]
