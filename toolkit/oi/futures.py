"""Futures open interest: build-up and unwinding events since the previous close, by expiry."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any, Final

import polars as pl

from toolkit.errors import BadData
from toolkit.oi.config import Threshold
from toolkit.oi.detect import Latches
from toolkit.oi.events import Event
from toolkit.oi.premium import buildup

__all__ = ["FuturesBook"]

DAY_NS: Final = 86_400_000_000_000
IST_NS: Final = 19_800_000_000_000
KINDS: Final = {
    "long_buildup": "FUT_LONG_BUILD",
    "short_buildup": "FUT_SHORT_BUILD",
    "long_unwinding": "FUT_LONG_UNWIND",
    "short_covering": "FUT_SHORT_COVER",
}
REQUIRED: Final = ("ts", "underlying", "expiry", "oi")


class FuturesBook:
    """FUT_* events from futures rows in event time.

    Each day is compared with the last figures of the day before (or, on the first day, with its own first): the
    quadrant of price change and OI change, once the OI moved by the threshold's share.
    """

    def __init__(self, limits: dict[str, Threshold]) -> None:
        self.limits = limits
        self._held: dict[tuple[str, dt.date], dict[str, Any]] = {}

    def update(self, frame: pl.DataFrame) -> list[Event]:
        """Take futures rows (any number of stamps); rows not later than what is known are ignored.

        Raises
        ------
        BadData
            For a missing column.
        """
        missing = [c for c in REQUIRED if c not in frame.columns]
        if missing:
            raise BadData(f"futures frame has no column {', '.join(missing)}; it needs {', '.join(REQUIRED)}")
        price = pl.coalesce(
            [pl.col(c).cast(pl.Float64) for c in ("settle", "ltp") if c in frame.columns] or [pl.lit(None)]
        )
        rows = frame.select(
            pl.col("ts").dt.epoch("us").alias("us"), "underlying", "expiry", pl.col("oi"), price.alias("price")
        ).sort("us", "underlying", "expiry", maintain_order=True)
        events: list[Event] = []
        for us, underlying, expiry, oi, px in rows.iter_rows():
            if oi is not None and px is not None and px > 0:
                events.extend(self._step(us * 1000, str(underlying), expiry, int(oi), float(px)))
        return events

    def _step(self, ts_ns: int, underlying: str, expiry: dt.date, oi: int, price: float) -> list[Event]:
        day = (ts_ns + IST_NS) // DAY_NS
        key = (underlying, expiry)
        held = self._held.get(key)
        if held is None:
            held = {"day": day, "ts": -1, "oi": oi, "price": price, "oi0": oi, "price0": price, "latches": Latches()}
            self._held[key] = held
        if ts_ns <= held["ts"]:
            return []
        if day != held["day"]:
            held.update(day=day, oi0=held["oi"], price0=held["price"], latches=Latches())
        held.update(ts=ts_ns, oi=oi, price=price)
        name = buildup([held["price0"]], [price], [held["oi0"]], [oi])[0]
        kind = KINDS.get(str(name))
        if kind is None or not held["oi0"]:
            return []
        share = abs(oi - held["oi0"]) / held["oi0"]
        if not held["latches"].fires(kind, share, self.limits[kind], ts_ns):
            return []
        evidence = {"share": share, "oi_before": held["oi0"], "oi_after": oi}
        size = oi - held["oi0"]
        return [Event(ts_ns, underlying, expiry, None, kind, held["price0"], price, size, math.nan, math.nan, evidence)]

    def dump(self) -> list[Any]:
        """Plain values for :meth:`load`."""
        out = []
        for (underlying, expiry), held in sorted(self._held.items()):
            latches = held["latches"]
            plain = {k: v for k, v in held.items() if k != "latches"}
            out.append([underlying, expiry.isoformat(), plain, latches.held, latches.fired])
        return out

    def load(self, dumped: list[Any]) -> None:
        """Take back what :meth:`dump` gave."""
        self._held = {}
        for underlying, expiry, plain, held, fired in dumped:
            latches = Latches()
            latches.held, latches.fired = dict(held), dict(fired)
            self._held[(underlying, dt.date.fromisoformat(expiry))] = {**plain, "latches": latches}
