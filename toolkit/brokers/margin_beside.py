"""The broker's basket margin beside ours: the same legs asked of both, the pair kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from toolkit.brokers.port import Broker
from toolkit.calendar import ist_date
from toolkit.errors import Refused
from toolkit.risk.margin import Leg, Margin, SpanParams, span_margin
from toolkit.store.margin_pairs import MarginPair, MarginPairs
from toolkit.types import Instrument, OrderRequest, Side

__all__ = ["BasketLeg", "Beside", "beside"]


class BasketLeg(msgspec.Struct, frozen=True):
    """One leg of the basket: the contract's symbol and exchange, and the position it makes."""

    symbol: str
    exchange: str
    leg: Leg


class Beside(msgspec.Struct, frozen=True):
    """Both figures, the pair as it was kept, and which positions could not be counted on our side."""

    ours: Margin
    theirs: Margin
    pair: MarginPair
    uncounted: tuple[str, ...]


async def beside(
    broker: Broker, legs: Sequence[BasketLeg], params: Mapping[str, SpanParams], pairs: MarginPairs | None = None
) -> Beside:
    """Ask the broker for a basket's margin and put ours beside it.

    Parameters
    ----------
    broker : Broker
        Connected; only its margin call (and its positions, where its figure holds them) is used: nothing is sent
        to an exchange.
    legs : sequence of BasketLeg
        With the price each is asked at as the leg's mark.
    params : mapping by underlying
        What ours is made from.
    pairs : MarginPairs, optional
        Where the pair is kept; None keeps nothing.

    Raises
    ------
    Refused
        The broker has no basket margin.
    """
    if not broker.capabilities.basket_margin:
        raise Refused(f"{broker.name} tells no basket margin; there is nothing to compare with")
    theirs = await broker.order_margins([_request(number, one) for number, one in enumerate(legs, start=1)])
    book = [one.leg for one in legs]
    uncounted: tuple[str, ...] = ()
    if broker.capabilities.margin_holds_book:
        held, uncounted = await _held(broker, params)
        book += held
    ours = span_margin(book, params)
    pair = MarginPair(
        at_ns=broker.clock(),
        broker=broker.name,
        exchange="+".join(sorted({one.exchange for one in legs})),
        basket=", ".join(f"{one.leg.qty:+d} {one.symbol}" for one in legs),
        ours=ours.total,
        theirs=theirs.total,
        span_ours=ours.span,
        span_theirs=theirs.span,
        exposure_ours=ours.exposure + ours.expiry_addon,
        exposure_theirs=theirs.exposure + theirs.expiry_addon,
        calibrated=all(params[one.leg.underlying].calibrated for one in legs),
        source=ours.label,
    )
    if pairs is not None:
        pairs.keep(pair)
    return Beside(ours, theirs, pair, uncounted)


def _request(number: int, one: BasketLeg) -> OrderRequest:
    known = one.leg.mark == one.leg.mark
    return OrderRequest(
        cl_ord_id=f"MARGIN{number}",
        symbol=one.symbol,
        side=Side.BUY if one.leg.qty > 0 else Side.SELL,
        order_qty=abs(one.leg.qty),
        exchange=one.exchange,
        price_p=max(5, round(one.leg.mark * 20.0) * 5) if known else None,
    )


async def _held(broker: Broker, params: Mapping[str, SpanParams]) -> tuple[list[Leg], tuple[str, ...]]:
    """The broker's positions as legs at an unknown price; those without parameters by name."""
    legs, uncounted = [], []
    for row in await broker.positions():
        if not row.net_qty:
            continue
        instrument = await broker.resolve(row.symbol, row.exchange)
        if instrument.expiry is None or instrument.underlying not in params:
            uncounted.append(row.symbol)
            continue
        legs.append(_leg(instrument, row.net_qty, broker.clock()))
    return legs, tuple(uncounted)


def _leg(instrument: Instrument, qty: int, now_ns: int) -> Leg:
    assert instrument.expiry is not None
    return Leg(
        underlying=instrument.underlying,
        cp=0 if instrument.option_type is None else instrument.option_type.cp,
        qty=qty,
        tte=((instrument.expiry - ist_date(now_ns)).days + 1) / 365.0,
        strike=(instrument.strike_p or 0) / 100.0,
        expiry=instrument.expiry,
    )
