"""The newest tick of every instrument, as one array that a frame of ticks goes into at once.

It answers "what is the last tick?" outside any callback, conflates a burst (last value
wins, and since volume and open interest are cumulative the totals stay exact) and becomes
a chain snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from toolkit.errors import BadData
from toolkit.market.kite_wire import FULL, LTP, QUOTE, TICK, prices
from toolkit.market.schema import CHAIN, FUTURES, IST, SPOT, TICKS
from toolkit.types import Instrument, Kind

__all__ = [
    "Depth",
    "LastValues",
    "Snapshot",
    "chain_rows",
    "depth",
    "future_rows",
    "quotes",
    "snapshot",
    "spot_rows",
    "tick_rows",
]

Ticks = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
_S: Final = 1_000_000_000


class LastValues:
    """Newest tick by token.

    Parameters
    ----------
    tokens : iterable of int, optional
        Instruments known beforehand; others are taken in when they first tick.
    dtype : dtype, optional
        Of the ticks; it has fields ``token`` and, for the order of two ticks, ``exch_s``.
    """

    def __init__(self, tokens: Iterable[int] = (), dtype: np.dtype[Any] = TICK) -> None:
        self._tokens: Ints = np.unique(np.fromiter(tokens, np.int64))
        self._rows: Ticks = np.zeros(len(self._tokens), dtype)
        self._known = np.zeros(len(self._tokens), np.bool_)
        self._dirty = np.zeros(len(self._tokens), np.bool_)
        self._stamped = "exch_s" in (dtype.names or ())
        self.late = 0

    def __len__(self) -> int:
        return int(self._known.sum())

    def apply(self, ticks: Ticks) -> None:
        """Take a batch; within it, and between batches, the newest of an instrument wins.

        A tick whose exchange stamp is older than the one held is late: it is counted in
        ``late`` and changes nothing.
        """
        if not len(ticks):
            return
        slots = self._slots(ticks["token"].astype(np.int64))
        taken: Any = slice(None)
        if self._stamped:
            stamp = ticks["exch_s"]
            late = (stamp != 0) & (stamp < self._rows["exch_s"][slots])
            if late.any():
                self.late += int(late.sum())
                taken = np.flatnonzero(~late)
                stamp = stamp[taken]
            if bool((stamp[1:] < stamp[:-1]).any()):
                order = np.argsort(stamp, kind="stable")
                taken = order if isinstance(taken, slice) else taken[order]
        slots = slots[taken]
        _words(self._rows)[slots] = _words(ticks)[taken]
        self._known[slots] = True
        self._dirty[slots] = True

    def rows(self) -> Ticks:
        """A copy of the newest ticks, by ascending token."""
        return self._copy(self._known)

    def row(self, token: int) -> Any | None:
        """The newest tick of one instrument, None before the first."""
        at = int(np.searchsorted(self._tokens, token))
        if at == len(self._tokens) or self._tokens[at] != token or not self._known[at]:
            return None
        return self._rows[at].copy()

    def changed(self) -> Ticks:
        """A copy of what has changed since the last call, by ascending token."""
        out = self._copy(self._dirty)
        self._dirty[:] = False
        return out

    def keep(self, tokens: Iterable[int]) -> None:
        """Forget every other instrument."""
        stay = np.isin(self._tokens, np.fromiter(tokens, np.int64))
        self._tokens, self._rows = self._tokens[stay], self._rows[stay]
        self._known, self._dirty = self._known[stay], self._dirty[stay]

    def _copy(self, chosen: npt.NDArray[np.bool_]) -> Ticks:
        rows: Ticks = _words(self._rows)[chosen].reshape(-1).view(self._rows.dtype)
        return rows

    def _slots(self, tokens: Ints) -> Ints:
        slots = np.searchsorted(self._tokens, tokens)
        if len(self._tokens):
            fits = self._tokens[np.minimum(slots, len(self._tokens) - 1)] == tokens
            if fits.all():
                return slots
            fresh = np.unique(tokens[~fits])
        else:
            fresh = np.unique(tokens)
        merged = np.concatenate([self._tokens, fresh])
        order = np.argsort(merged, kind="stable")
        self._tokens = merged[order]
        for name in ("_rows", "_known", "_dirty"):
            held = getattr(self, name)
            setattr(self, name, np.concatenate([held, np.zeros(len(fresh), held.dtype)])[order])
        return np.searchsorted(self._tokens, tokens)


def _words(ticks: Ticks) -> npt.NDArray[Any]:
    """Rows as plain integers, (n, words): moving those costs a twentieth of moving structured rows."""
    size = ticks.dtype.itemsize
    word = np.uint64 if size % 8 == 0 else np.uint8
    return np.ascontiguousarray(ticks).view(word).reshape(len(ticks), size // np.dtype(word).itemsize)


class Depth(NamedTuple):
    """Five levels a side of one instrument, best first: rupees, units and orders; a level
    that is not there is NaN and 0."""

    token: int
    ts_ns: int
    bid: npt.NDArray[np.float64]
    bid_qty: Ints
    bid_orders: Ints
    ask: npt.NDArray[np.float64]
    ask_qty: Ints
    ask_orders: Ints


def depth(row: Any) -> Depth:
    """The book of one full tick.

    Raises
    ------
    BadData
        When the tick carries no depth (mode ltp or quote, or an index).
    """
    if int(row["kind"]) != FULL:
        raise BadData(f"the tick of token {int(row['token'])} has no depth; subscribe in mode full")
    one = np.asarray(row).reshape(1)
    rupees = prices(one)
    sides = {}
    for side in ("bid", "ask"):
        level = one[side][0]
        sides[f"{side}_qty"] = level["qty"].astype(np.int64)
        sides[f"{side}_orders"] = level["orders"].astype(np.int64)
    return Depth(int(row["token"]), int(row["exch_s"]) * _S, bid=rupees["bid_px"][0], ask=rupees["ask_px"][0], **sides)


def quotes(ticks: Ticks) -> pl.DataFrame:
    """Ticks as a frame in rupees and units: ``token kind ts stamped recv_ts ltp last_qty volume oi
    bid ask bid_qty ask_qty open high low close``; null is what the mode does not carry.

    ``ts`` is the exchange's stamp, or the receipt where the mode has none (``stamped`` is False).
    """
    kind = ticks["kind"]
    full, traded = kind == FULL, (kind == FULL) | (kind == QUOTE)
    rupees = prices(ticks)
    stamped = ticks["exch_s"] > 0
    stamp = np.where(stamped, ticks["exch_s"].astype(np.int64) * _S, ticks["recv_ns"])
    columns: dict[str, pl.Series] = {
        "token": pl.Series(ticks["token"].astype(np.int64)),
        "kind": pl.Series(kind.astype(np.int64)),
        "ts": _stamps(stamp),
        "stamped": pl.Series(stamped),
        "recv_ts": _stamps(ticks["recv_ns"]),
        "ltp": _floats(np.where(ticks["ltp"] > 0, rupees["ltp"], np.nan)),
        "last_qty": _ints(ticks["last_qty"], traded),
        "volume": _ints(ticks["volume"], traded),
        "oi": _ints(ticks["oi"], full),
    }
    for side in ("bid", "ask"):
        columns[side] = _floats(rupees[f"{side}_px"][:, 0])
        columns[f"{side}_qty"] = _ints(ticks[side]["qty"][:, 0], full)
    for name in ("open", "high", "low", "close"):
        columns[name] = _floats(np.where((kind != LTP) & (ticks[name] > 0), rupees[name], np.nan))
    return pl.DataFrame(columns)


def tick_rows(ticks: Ticks, contracts: pl.DataFrame) -> pl.DataFrame:
    """Ticks of known contracts in the schema ``TICKS``; ``contracts`` maps ``token`` to ``underlying``."""
    named = quotes(ticks).join(contracts.select("token", "underlying"), on="token", how="inner", maintain_order="left")
    return named.select([pl.col(c).cast(t) for c, t in TICKS.items()])


def chain_rows(
    ticks: Ticks, contracts: Mapping[int, Instrument], recv_ns: int, *, spot: float | None, future: float | None
) -> pl.DataFrame:
    """Newest ticks of one underlying's options as one snapshot in the schema ``CHAIN``.

    Every row bears the snapshot's ``recv_ts`` and, as ``ts``, the newest exchange stamp in it:
    a contract that has not traded is quoted now all the same.
    """
    rows = _contract_rows(ticks, contracts, Kind.OPTION, recv_ns)
    rows = rows.with_columns(source_iv=pl.lit(None), spot=pl.lit(spot, pl.Float64), futures=pl.lit(future, pl.Float64))
    rows = rows.sort("expiry", "strike_p", "option_type")
    return rows.select([pl.col(c).cast(t) for c, t in CHAIN.items()])


def future_rows(ticks: Ticks, contracts: Mapping[int, Instrument], recv_ns: int) -> pl.DataFrame:
    """Newest ticks of one underlying's futures in the schema ``FUTURES``."""
    rows = _contract_rows(ticks, contracts, Kind.FUTURE, recv_ns).with_columns(settle=pl.lit(None)).sort("expiry")
    return rows.select([pl.col(c).cast(t) for c, t in FUTURES.items()])


def spot_rows(ticks: Ticks, contracts: Mapping[int, Instrument], recv_ns: int) -> pl.DataFrame:
    """Newest ticks of the indices (or shares) behind the chain in the schema ``SPOT``."""
    kinds = (Kind.INDEX, Kind.EQUITY)
    names = {t: i.underlying for t, i in sorted(contracts.items()) if i.kind in kinds}
    rows = _of(quotes(ticks), {"token": list(names), "underlying": list(names.values())}, recv_ns)
    return rows.sort("underlying").select([pl.col(c).cast(t) for c, t in SPOT.items()])


class Snapshot(NamedTuple):
    """One moment of one underlying: rows in the schemas ``CHAIN``, ``FUTURES`` and ``SPOT``."""

    chain: pl.DataFrame
    futures: pl.DataFrame
    spot: pl.DataFrame


def snapshot(ticks: Ticks, contracts: Mapping[int, Instrument], recv_ns: int, underlying: str) -> Snapshot:
    """What is known of an underlying now; the chain bears the index's (or share's) and the nearest future's price."""
    mine = {key: c for key, c in contracts.items() if c.underlying == underlying}
    spot, futures = spot_rows(ticks, mine, recv_ns), future_rows(ticks, mine, recv_ns)
    prices_of = [frame["ltp"][0] if frame.height else None for frame in (spot, futures)]
    return Snapshot(chain_rows(ticks, mine, recv_ns, spot=prices_of[0], future=prices_of[1]), futures, spot)


def _contract_rows(ticks: Ticks, contracts: Mapping[int, Instrument], kind: Kind, recv_ns: int) -> pl.DataFrame:
    chosen = [(token, c) for token, c in sorted(contracts.items()) if c.kind is kind]
    terms: dict[str, list[Any]] = {
        "token": [token for token, _ in chosen],
        "underlying": [c.underlying for _, c in chosen],
        "expiry": [c.expiry for _, c in chosen],
        "strike_p": [c.strike_p for _, c in chosen],
        "option_type": [None if c.option_type is None else str(c.option_type) for _, c in chosen],
        "lot": [c.lot for _, c in chosen],
    }
    return _of(quotes(ticks), terms, recv_ns)


_TERMS: Final[dict[str, Any]] = {
    "token": pl.Int64,
    "underlying": pl.String,
    "expiry": pl.Date,
    "strike_p": pl.Int64,
    "option_type": pl.String,
    "lot": pl.Int32,
}


def _of(rows: pl.DataFrame, terms: dict[str, list[Any]], recv_ns: int) -> pl.DataFrame:
    table = pl.DataFrame(terms, schema={name: _TERMS[name] for name in terms})
    found = rows.join(table, on="token", how="inner", maintain_order="left")
    stamp = pl.lit(_stamps(np.array([recv_ns]))[0]).cast(pl.Datetime("us", IST))
    newest = pl.col("ts").filter("stamped").max()
    return found.with_columns(ts=pl.min_horizontal(newest, stamp), recv_ts=stamp)


def _stamps(ns: npt.NDArray[Any]) -> pl.Series:
    series = pl.Series(ns.astype(np.int64) // 1000).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return series.dt.convert_time_zone(IST)


def _floats(values: npt.NDArray[np.float64]) -> pl.Series:
    return pl.Series(values).fill_nan(None)


def _ints(values: npt.NDArray[Any], known: npt.NDArray[np.bool_]) -> pl.Series:
    whole = values.astype(np.int64)
    return pl.DataFrame({"v": whole, "k": known & (whole >= 0)}).select(pl.when("k").then("v"))["v"]
