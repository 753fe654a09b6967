"""An underlying's past closes as a broker's own day bars tell them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from toolkit.brokers.port import Broker
from toolkit.calendar import IST, ist_date
from toolkit.errors import BadData, ToolkitError

__all__ = ["first_closes", "past_closes"]

_DAYS: Final = 380
_DAY_NS: Final = 86_400 * 10**9


async def past_closes(broker: Broker, symbol: str, days: int = _DAYS) -> dict[dt.date, float]:
    """Closes by day of the calendar days before today.

    Raises
    ------
    BadData
        The broker has no bars.
    ToolkitError
        As its call for bars ends.
    """
    from toolkit.brokers.kite import KiteBroker
    from toolkit.brokers.xts import XtsBroker

    now_ns = broker.clock()
    today, start_ns = ist_date(now_ns), now_ns - days * _DAY_NS
    if isinstance(broker, KiteBroker):
        from toolkit.brokers.kite_more import candles

        frame = await candles(broker, symbol, "day", start_ns, now_ns, oi=False)
        rows = [(stamp.astimezone(IST).date(), close) for stamp, close in frame.select("ts", "close").iter_rows()]
    elif isinstance(broker, XtsBroker):
        bars = await broker.market.candles(*await broker.place_of(symbol), start_ns, now_ns, None)
        rows = [(ist_date(bar.start_ns), bar.close) for bar in bars]
    else:
        raise BadData(f"{broker.name} has no bars of past days")
    return {day: float(close) for day, close in rows if day < today and close > 0.0}


async def first_closes(brokers: Sequence[Broker], symbol: str, days: int = _DAYS) -> dict[dt.date, float]:
    """Closes by day of the first broker that tells any.

    Raises
    ------
    ToolkitError
        The first broker's, when none of them tells any and it failed.
    """
    failed: ToolkitError | None = None
    for broker in brokers:
        try:
            found = await past_closes(broker, symbol, days)
        except ToolkitError as error:
            failed = failed or error
            continue
        if found:
            return found
    if failed is not None:
        raise failed
    return {}
