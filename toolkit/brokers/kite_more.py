"""What Kite can do beyond the port: triggers (GTT), candles, charges, sliced orders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import polars as pl

from toolkit.brokers.kite import KiteBroker
from toolkit.brokers.kite_orders import KiteTerms
from toolkit.brokers.kite_records import (
    AutosliceAnswer,
    Candles,
    ContractNote,
    Gtt,
    GttAnswer,
    Holding,
    OrderMargin,
    read,
    stamp_ns,
)
from toolkit.calendar import to_ist
from toolkit.errors import BadData, nearest
from toolkit.market.schema import IST
from toolkit.types import OrderRequest, Product, Side

__all__ = [
    "CANDLES",
    "INTERVALS",
    "GttLeg",
    "auctions",
    "candles",
    "charges",
    "chunks",
    "delete_gtt",
    "gtt",
    "gtts",
    "margins_of",
    "modify_gtt",
    "place_gtt",
    "place_sliced",
]

INTERVALS: Final = {
    "minute": 60,
    "3minute": 100,
    "5minute": 100,
    "10minute": 100,
    "15minute": 200,
    "30minute": 200,
    "60minute": 400,
    "day": 2000,
}
"""Interval -> days that one request may span."""

_TS: Final[Any] = pl.Datetime("us", IST)
CANDLES: Final[Any] = pl.Schema(
    {
        "ts": _TS,
        "open": pl.Float64,
        "high": pl.Float64,
        "low": pl.Float64,
        "close": pl.Float64,
        "volume": pl.Int64,
        "oi": pl.Int64,
    }
)
_DAY_NS: Final = 86_400 * 10**9


class GttLeg(msgspec.Struct, frozen=True, kw_only=True):
    """One order of a trigger: a LIMIT order that leaves when the last price reaches ``trigger_p``. Paise, units."""

    side: Side
    qty: int
    price_p: int
    trigger_p: int
    product: Product = Product.NRML


async def candles(
    broker: KiteBroker,
    symbol: str,
    interval: str,
    start_ns: int,
    end_ns: int,
    *,
    oi: bool = True,
    continuous: bool = False,
) -> pl.DataFrame:
    """Read historical candles of any length: as many requests as the interval's limit asks for, at Kite's rate.

    Parameters
    ----------
    symbol : str
    interval : str
        One of :data:`INTERVALS`.
    start_ns, end_ns : int
        Both ends included, nanoseconds UTC.
    oi : bool
        Whether open interest is asked for.
    continuous : bool
        Day candles of expired futures.

    Returns
    -------
    polars.DataFrame
        :data:`CANDLES`, ascending, each stamp once.
    """
    if interval not in INTERVALS:
        raise BadData(f"interval must be one of {', '.join(INTERVALS)}, was {interval!r}{nearest(interval, INTERVALS)}")
    if end_ns < start_ns:
        raise BadData("candles end before they start; exchange the two")
    token = (await broker.resolve(symbol)).token
    rows: list[tuple[object, ...]] = []
    for first, last in chunks(start_ns, end_ns, INTERVALS[interval]):
        call = partial(_candles, token=token, interval=interval, span=(first, last), continuous=continuous, oi=oi)
        found = await broker.link.call("candles", call)
        rows += found.candles
    return _frame(rows)


def chunks(start_ns: int, end_ns: int, days: int) -> Iterator[tuple[int, int]]:
    """Cut a time into pieces of at most ``days`` days, without overlap.

    >>> list(chunks(0, 3 * 86_400 * 10**9, 2))
    [(0, 172799000000000), (172800000000000, 259200000000000)]
    """
    step = days * _DAY_NS
    at = start_ns
    while at <= end_ns:
        last = min(end_ns, at + step - 10**9)
        yield at, last
        at += step


def _candles(
    client: Any, *, token: int | None, interval: str, span: tuple[int, int], continuous: bool, oi: bool
) -> Candles:
    """The call as the client makes it, without its parsing of each stamp."""
    params = {
        "from": _stamp(span[0]),
        "to": _stamp(span[1]),
        "interval": interval,
        "continuous": int(continuous),
        "oi": int(oi),
    }
    place = {"instrument_token": token, "interval": interval}
    return read(client._get("market.historical", url_args=place, params=params), Candles)


def _frame(rows: Sequence[tuple[object, ...]]) -> pl.DataFrame:
    made = []
    for row in rows:
        ts_ns = stamp_ns(row[0] if len(row) in (6, 7) and isinstance(row[0], str) else None)
        if ts_ns is None:
            raise BadData(f"a candle of kite has no stamp, was {row!r:.80}; ask again")
        made.append((ts_ns // 1000, *row[1:6], row[6] if len(row) == 7 else None))
    raw = pl.DataFrame(made, schema={**CANDLES, "ts": pl.Int64()}, orient="row", strict=False)
    moment = pl.col("ts").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").dt.convert_time_zone(IST)
    return raw.with_columns(moment).unique("ts", keep="last").sort("ts")


def _stamp(ns: int) -> str:
    return f"{to_ist(ns):%Y-%m-%d %H:%M:%S}"


async def gtts(broker: KiteBroker) -> tuple[Gtt, ...]:
    """Every trigger of the account."""
    return await broker.link.call("gtts", lambda c: read(c.get_gtts(), tuple[Gtt, ...]))


async def gtt(broker: KiteBroker, trigger_id: int) -> Gtt:
    """One trigger."""
    return await broker.link.call("gtts", lambda c: read(c.get_gtt(trigger_id), Gtt))


async def place_gtt(broker: KiteBroker, symbol: str, legs: Sequence[GttLeg], last_price_p: int) -> int:
    """Place a trigger: one leg, or two of which one cancels the other; gives its id.

    Raises
    ------
    BadData
        When the trigger prices do not fit the last price, which decides the direction.
    """
    form = await _gtt_form(broker, symbol, legs, last_price_p)
    made = await broker.link.call("gtt", lambda c: read(c.place_gtt(**form), GttAnswer), f"trigger on {symbol}")
    return made.trigger_id


async def modify_gtt(
    broker: KiteBroker, trigger_id: int, symbol: str, legs: Sequence[GttLeg], last_price_p: int
) -> None:
    """Replace a trigger's whole statement."""
    form = await _gtt_form(broker, symbol, legs, last_price_p)
    await broker.link.call(
        "gtt", lambda c: read(c.modify_gtt(trigger_id=trigger_id, **form), GttAnswer), f"trigger {trigger_id}"
    )


async def delete_gtt(broker: KiteBroker, trigger_id: int) -> None:
    """Delete a trigger."""
    await broker.link.call("gtt", lambda c: read(c.delete_gtt(trigger_id), GttAnswer), f"trigger {trigger_id}")


async def _gtt_form(broker: KiteBroker, symbol: str, legs: Sequence[GttLeg], last_price_p: int) -> dict[str, object]:
    if len(legs) not in (1, 2):
        raise BadData(f"a trigger has one leg or two, was {len(legs)}")
    master = await broker.master()
    instrument = master.find(symbol)
    triggers = [leg.trigger_p for leg in legs]
    if last_price_p in triggers:
        raise BadData("a trigger at the last price is refused; move it by a tick")
    if len(legs) == 2 and not min(triggers) < last_price_p < max(triggers):
        raise BadData(f"the two triggers must lie on both sides of the last price {last_price_p / 100:.2f}")
    for leg in legs:
        if leg.qty <= 0 or leg.qty % instrument.lot:
            raise BadData(f"quantity of {symbol} must be a multiple of the lot {instrument.lot}, was {leg.qty}")
        for name, value in (("price", leg.price_p), ("trigger", leg.trigger_p)):
            if value <= 0 or value % instrument.tick_p:
                tick = f"{instrument.tick_p / 100:.2f}"
                raise BadData(
                    f"{name} of {symbol} must be a positive multiple of the tick {tick}, was {value / 100:.2f}"
                )
    venue, _, name = master.kite_name(instrument).partition(":")
    ordered = sorted(legs, key=lambda leg: leg.trigger_p)
    return {
        "trigger_type": "single" if len(legs) == 1 else "two-leg",
        "tradingsymbol": name,
        "exchange": venue,
        "trigger_values": [leg.trigger_p / 100.0 for leg in ordered],
        "last_price": last_price_p / 100.0,
        "orders": [
            {
                "transaction_type": str(leg.side),
                "quantity": leg.qty,
                "order_type": "LIMIT",
                "product": str(leg.product),
                "price": leg.price_p / 100.0,
            }
            for leg in ordered
        ],
    }


async def place_sliced(broker: KiteBroker, request: OrderRequest) -> AutosliceAnswer:
    """Let Kite cut an order at the freeze quantity; some ``children`` may be refused while others stand."""
    form = await broker.form(request, KiteTerms(autoslice=True))
    return await broker.link.call(
        "place", lambda c: read(c.place_autoslice_order(**form), AutosliceAnswer), f"order {request.cl_ord_id}"
    )


async def charges(broker: KiteBroker, requests: Sequence[OrderRequest]) -> tuple[ContractNote, ...]:
    """Taxes and fees of orders as if each traded at its price."""
    rows = await broker.basket(requests)
    body = [
        {**row, "order_id": request.cl_ord_id, "average_price": row["price"]}
        for row, request in zip(rows, requests, strict=True)
    ]
    return await broker.link.call(
        "charges", lambda c: read(c.get_virtual_contract_note(body), tuple[ContractNote, ...])
    )


async def margins_of(broker: KiteBroker, requests: Sequence[OrderRequest]) -> tuple[OrderMargin, ...]:
    """Margin of each order by itself."""
    body = await broker.basket(requests)
    return await broker.link.call("order_margins", lambda c: read(c.order_margins(body), tuple[OrderMargin, ...]))


async def auctions(broker: KiteBroker) -> tuple[Holding, ...]:
    """Holdings that may be offered in today's auction."""
    return await broker.link.call("holdings", lambda c: read(c.get_auction_instruments(), tuple[Holding, ...]))
