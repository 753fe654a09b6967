"""Ticks of every wire as one plain row, the newest of each contract, and chain snapshots made of them.

A wire keeps its own words (paise, depth, flags); what the desk shows and an engine needs is the same for all:
best bid and offer, last price, volume and open interest. NaN is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from toolkit.calendar import to_ist
from toolkit.errors import BadData
from toolkit.market.kite_wire import FULL, QUOTE, prices
from toolkit.market.quotes import Quote
from toolkit.market.schema import CHAIN
from toolkit.types import Instrument, Kind

__all__ = ["PLAIN", "VALUES", "PlainBoard", "chain_frame", "plain", "plain_quotes"]

Rows = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
VALUES: Final = ("ltp", "bid", "bid_qty", "ask", "ask_qty", "volume", "oi")
PLAIN: Final = np.dtype([("key", "<i8"), ("recv_ns", "<i8"), ("exch_ns", "<i8"), *((name, "<f8") for name in VALUES)])
_S: Final = 1_000_000_000


def plain(ticks: Rows) -> Rows:
    """Ticks of a known wire (Kite's, XTS's, paper's, a recorded tape's) as rows of :data:`PLAIN`.

    Raises
    ------
    BadData
        For a type of tick that nobody declared.
    """
    names = ticks.dtype.names or ()
    if names == PLAIN.names:
        return ticks
    if "divisor" in names:
        return _of_kite(ticks)
    if "key" in names and "bid_qty" in names:
        return _of_rows(ticks)
    raise BadData(f"ticks of an unknown type with fields {', '.join(names[:4])}; add it to market/plain.py")


def plain_quotes(quotes: Mapping[int, Quote]) -> Rows:
    """Quotes in exact paise by key as rows of :data:`PLAIN`."""
    out = np.zeros(len(quotes), PLAIN)
    out["volume"] = out["oi"] = np.nan
    for at, (key, quote) in enumerate(quotes.items()):
        out["key"][at], out["recv_ns"][at] = key, quote.ts_ns
        for name in ("bid", "ask", "ltp"):
            value = getattr(quote, f"{name}_p")
            out[name][at] = np.nan if value is None else value / 100.0
        for name in ("bid_qty", "ask_qty"):
            value = getattr(quote, name)
            out[name][at] = np.nan if value is None else value
    return out


def _of_kite(ticks: Rows) -> Rows:
    out = np.zeros(len(ticks), PLAIN)
    rupees, kind = prices(ticks), ticks["kind"]
    out["key"], out["recv_ns"] = ticks["token"], ticks["recv_ns"]
    out["exch_ns"] = ticks["exch_s"].astype(np.int64) * _S
    out["ltp"] = np.where(ticks["ltp"] > 0, rupees["ltp"], np.nan)
    for side in ("bid", "ask"):
        out[side] = rupees[f"{side}_px"][:, 0]
        out[f"{side}_qty"] = _known(ticks[side]["qty"][:, 0], kind == FULL)
    out["volume"] = _known(ticks["volume"], (kind == FULL) | (kind == QUOTE))
    out["oi"] = _known(ticks["oi"], kind == FULL)
    return out


def _known(whole: Ints, carried: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Whole numbers where the mode carries them; XTS writes -1 for what no event has told yet."""
    return np.where(carried & (whole >= 0), whole, np.nan)


def _of_rows(ticks: Rows) -> Rows:
    out = np.zeros(len(ticks), PLAIN)
    held = ticks.dtype.names or ()
    for name in PLAIN.names or ():
        if name in held:
            out[name] = ticks[name]
        elif PLAIN[name] == np.float64:
            out[name] = np.nan
    return out


class PlainBoard:
    """The newest row of every contract. What a batch leaves unknown of volume and open interest stays as it was.

    ``version`` counts the batches.
    """

    def __init__(self) -> None:
        self._at: dict[int, int] = {}
        self._rows: Rows = np.zeros(0, PLAIN)
        self.version = 0

    def __len__(self) -> int:
        return len(self._at)

    def take(self, rows: Rows) -> Rows:
        """Fold in a batch in its order; gives the merged newest rows of the contracts it touched."""
        keys = rows["key"].tolist()
        self.version += 1
        fresh = [key for key in dict.fromkeys(keys) if key not in self._at]
        if fresh:
            more = np.zeros(len(fresh), PLAIN)
            for name in VALUES:
                more[name] = np.nan
            more["key"] = fresh
            self._at.update({key: len(self._at) + i for i, key in enumerate(fresh)})
            self._rows = np.concatenate([self._rows, more])
        newest = {key: i for i, key in enumerate(keys)}  # of a contract's rows in one batch the last counts
        source = np.fromiter(newest.values(), np.int64, len(newest))
        target = np.fromiter((self._at[key] for key in newest), np.int64, len(newest))
        taken, before = rows[source], self._rows[target]
        for name in ("ltp", "volume", "oi"):
            taken[name] = np.where(np.isnan(taken[name]), before[name], taken[name])
        taken["exch_ns"] = np.maximum(taken["exch_ns"], before["exch_ns"])
        self._rows[target] = taken
        return taken

    def row(self, key: int) -> Any | None:
        """The newest row of a contract, None before the first."""
        at = self._at.get(key)
        return None if at is None else self._rows[at]

    def rows(self, keys: Any) -> Rows:
        """The newest rows of those contracts that have one."""
        at = [self._at[key] for key in keys if key in self._at]
        return self._rows[np.array(at, np.int64)]


def chain_frame(
    board: PlainBoard,
    contracts: Mapping[int, Instrument],
    recv_ns: int,
    *,
    spot: float | None,
    future: float | None,
) -> pl.DataFrame:
    """The newest rows of one underlying's options as one snapshot in the schema ``CHAIN``.

    Every row bears ``recv_ns`` and, as ``ts``, the newest exchange stamp among them (the receipt where there is none).
    """
    chosen = {key: c for key, c in sorted(contracts.items()) if c.kind is Kind.OPTION}
    rows = board.rows(chosen)
    mine = [chosen[int(key)] for key in rows["key"]]
    newest = int(rows["exch_ns"].max()) if len(rows) else 0
    stamp_ns = min(newest, recv_ns) if newest else recv_ns
    columns: dict[str, Any] = {
        "ts": [to_ist(stamp_ns)] * len(rows),
        "recv_ts": [to_ist(recv_ns)] * len(rows),
        "underlying": [c.underlying for c in mine],
        "expiry": [c.expiry for c in mine],
        "strike_p": [c.strike_p for c in mine],
        "option_type": [None if c.option_type is None else str(c.option_type) for c in mine],
        "token": rows["key"],
        "lot": [c.lot for c in mine],
        "spot": [spot] * len(rows),
        "futures": [future] * len(rows),
        "source_iv": [None] * len(rows),
        **{name: pl.Series(np.ascontiguousarray(rows[name])).fill_nan(None) for name in VALUES},
    }
    made = pl.DataFrame({name: pl.Series(name, columns[name]).cast(kind) for name, kind in CHAIN.items()})
    return made.sort("expiry", "strike_p", "option_type")
