"""Candles of any interval from ticks, with exact volume.

Volume is the difference of the exchange's cumulative counter, so ticks that were conflated
or lost change no total: the bar in which the next tick falls has what was traded since the
last one, and a tick that comes late moves its volume to its own bar. Bars are cut on the
session's own grid (its opening is the first edge); ticks out of order fall into their own
bar as long as it is kept, and ticks outside the session are counted and left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from toolkit.errors import BadData
from toolkit.market.kite_wire import FULL, QUOTE
from toolkit.market.schema import IST

__all__ = ["BARS", "Bar", "BarBuilder"]

Ticks = npt.NDArray[Any]
_S: Final = 1_000_000_000

_COLUMNS: Final[dict[str, Any]] = {
    "ts": pl.Datetime("us", IST),
    "token": pl.Int64,
    "open": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "volume": pl.Int64,
    "oi": pl.Int64,
    "ticks": pl.Int64,
}
BARS: Final = pl.Schema(_COLUMNS)


class Bar(msgspec.Struct):
    """One candle: starts at ``start_ns``; prices are the wire's integers, rupees times ``divisor``.

    ``volume`` is units traded in it, None where the feed carries no counter; ``oi`` the last
    open interest seen in it, None where unknown; ``counted_from`` and ``counted_to`` where the
    day's counter stood at its lowest and highest.
    """

    token: int
    start_ns: int
    open: int
    high: int
    low: int
    close: int
    divisor: int
    first_ns: int
    last_ns: int
    ticks: int = 0
    volume: int | None = None
    oi: int | None = None
    counted_from: int | None = None
    counted_to: int | None = None


class BarBuilder:
    """Builds candles of one interval for every instrument that ticks.

    Parameters
    ----------
    interval_s : int
        Seconds a bar.
    open_ns, close_ns : int
        The session, nanoseconds UTC; a tick at ``close_ns`` falls into the last bar.
    keep : int
        Finished bars of an instrument that stay open to late ticks.
    counters : mapping of int to int, optional
        Cumulative volume by token at the start, when the recording begins within the session;
        without it an instrument's first bar counts from its first tick.
    """

    def __init__(
        self, interval_s: int, open_ns: int, close_ns: int, *, keep: int = 8, counters: dict[int, int] | None = None
    ) -> None:
        if interval_s <= 0 or close_ns <= open_ns or keep < 0:
            raise BadData(
                f"bars need an interval above 0 s and a session that opens before it closes, was {interval_s} s, "
                f"{open_ns} to {close_ns}, keep {keep}"
            )
        self.outside = 0
        self.late = 0
        self._step = interval_s * _S
        self._open, self._close = open_ns, close_ns
        self._keep = keep
        self._counter: dict[int, int] = dict(counters or {})
        self._sealed: dict[int, int] = {}
        self._live: dict[int, dict[int, Bar]] = {}

    def update(self, ticks: Ticks) -> list[Bar]:
        """Take a batch; gives the bars that no tick can change any more, oldest first."""
        stamp = np.where(ticks["exch_s"] > 0, ticks["exch_s"].astype(np.int64) * _S, ticks["recv_ns"])
        inside = (stamp >= self._open) & (stamp <= self._close)
        self.outside += int((~inside).sum())
        fields = zip(
            ticks["token"][inside].tolist(),
            stamp[inside].tolist(),
            ticks["ltp"][inside].tolist(),
            ticks["divisor"][inside].tolist(),
            ticks["kind"][inside].tolist(),
            ticks["volume"][inside].tolist(),
            ticks["oi"][inside].tolist(),
            strict=True,
        )
        for token, at_ns, price, divisor, kind, volume, oi in fields:
            counter = volume if kind in (QUOTE, FULL) else None
            self._take(token, at_ns, price, divisor, counter, oi if kind == FULL else None)
        return self._finished()

    def finish(self) -> list[Bar]:
        """End of the session: every bar still open, oldest first."""
        left = self.open_bars()
        self._live.clear()
        return left

    def open_bars(self) -> list[Bar]:
        """Bars that a tick may still change, as they stand, oldest first."""
        found: list[Bar] = []
        for token, bars in self._live.items():
            found += self._measured(token, [bars[start] for start in sorted(bars)])
        return sorted(found, key=_order)

    def _take(self, token: int, at_ns: int, price: int, divisor: int, counter: int | None, oi: int | None) -> None:
        start = self._open + min(at_ns - self._open, self._close - 1 - self._open) // self._step * self._step
        bars = self._live.setdefault(token, {})
        bar = bars.get(start)
        if bar is None:
            if start < self._sealed.get(token, start):
                self.late += 1
                return
            bar = bars[start] = Bar(token, start, price, price, price, price, divisor, at_ns, at_ns)
        bar.high, bar.low = max(bar.high, price), min(bar.low, price)
        if at_ns < bar.first_ns:
            bar.open, bar.first_ns = price, at_ns
        if at_ns >= bar.last_ns:
            bar.close, bar.last_ns = price, at_ns
            bar.oi = bar.oi if oi is None else oi
        bar.ticks += 1
        if counter is not None:
            bar.counted_from = counter if bar.counted_from is None else min(bar.counted_from, counter)
            bar.counted_to = counter if bar.counted_to is None else max(bar.counted_to, counter)

    def _finished(self) -> list[Bar]:
        out: list[Bar] = []
        for token, bars in self._live.items():
            while len(bars) > self._keep + 1:
                oldest = min(bars)
                bar = bars.pop(oldest)
                self._sealed[token] = oldest + self._step
                out += self._measured(token, [bar])
                if bar.counted_to is not None:
                    self._counter[token] = max(bar.counted_to, self._counter.get(token, 0))
        return sorted(out, key=_order)

    def _measured(self, token: int, bars: Iterable[Bar]) -> list[Bar]:
        """Copies of consecutive bars with their volume: where the counter stood at the end of each, less
        where it stood at the end of the one before. What comes late moves volume to its true bar."""
        out: list[Bar] = []
        before = self._counter.get(token)
        for bar in bars:
            volume = None
            if bar.counted_to is not None and bar.counted_from is not None:
                volume = max(0, bar.counted_to - (bar.counted_from if before is None else before))
                before = max(bar.counted_to, before or 0)
            out.append(msgspec.structs.replace(bar, volume=volume))
        return out

    @staticmethod
    def frame(bars: Iterable[Bar]) -> pl.DataFrame:
        """Bars as a frame in rupees and units, in the schema ``BARS``."""
        made = list(bars)
        rows = {
            "ts": [b.start_ns // 1000 for b in made],
            "token": [b.token for b in made],
            **{n: [getattr(b, n) / b.divisor for b in made] for n in ("open", "high", "low", "close")},
            "volume": [b.volume for b in made],
            "oi": [b.oi for b in made],
            "ticks": [b.ticks for b in made],
        }
        schema: dict[str, Any] = {**_COLUMNS, "ts": pl.Int64}
        frame = pl.DataFrame(rows, schema=schema)
        stamps = pl.col("ts").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").dt.convert_time_zone(IST)
        return frame.with_columns(stamps)


def _order(bar: Bar) -> tuple[int, int]:
    return bar.start_ns, bar.token
