"""Kite's instrument dump as a typed table, and the way between its symbols and ours.

The dump is made once a day and has 100 000 rows; the official parser takes seconds for it. Here
it is read as columns; single contracts are looked up by symbol, by Kite's symbol or by token.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Final

import polars as pl

from toolkit.brokers.master import INDICES, Master
from toolkit.contracts import parse_symbol
from toolkit.errors import BadData, UnknownSymbol, nearest
from toolkit.market.files.terms import symbols, with_dated_terms
from toolkit.market.schema import INSTRUMENTS, OPTION_TYPE
from toolkit.types import Instrument

__all__ = ["COLUMNS", "KiteMaster", "read_dump"]

COLUMNS: Final = (
    "instrument_token",
    "exchange_token",
    "tradingsymbol",
    "name",
    "expiry",
    "strike",
    "tick_size",
    "lot_size",
    "instrument_type",
    "segment",
    "exchange",
)
_SEGMENTS: Final = {"NFO": "NSE_FO", "BFO": "BSE_FO", "NSE": "NSE_CM", "BSE": "BSE_CM"}
_KINDS: Final = {"CE": "option", "PE": "option", "FUT": "future", "EQ": "equity"}
_TAIL: Final = r"\d{2}(?:[A-Z]{3}|[1-9OND]\d{2})(?:FUT|\d+(?:\.\d+)?(?:CE|PE))$"
_NUMBERS: Final = {
    "instrument_token": pl.Int64,
    "exchange_token": pl.Int64,
    "strike": pl.Float64,
    "tick_size": pl.Float64,
    "lot_size": pl.Int64,
}


def read_dump(body: bytes, on: dt.date) -> pl.DataFrame:
    """Read the dump: the columns of ``INSTRUMENTS``, then ``key`` (Kite's token) and ``venue`` (NFO, NSE, ...).

    Rows of other exchanges (currency, commodities) and rows that name no contract are left out.

    Raises
    ------
    BadData
        When it is no such dump, or no row of it is usable.
    """
    head = body[: body.find(b"\n")].decode("utf-8", "replace").strip().split(",")
    absent = [name for name in COLUMNS if name not in head]
    if absent:
        raise BadData(f"the instrument dump of kite lacks the columns {', '.join(absent)}; ask for it again")
    try:
        raw = pl.read_csv(
            body,
            columns=list(COLUMNS),
            schema_overrides={name: _NUMBERS.get(name, pl.String) for name in COLUMNS},
            ignore_errors=True,
            encoding="utf8-lossy",
        )
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise BadData(f"the instrument dump of kite cannot be read: {str(error).splitlines()[0][:120]}") from None
    made = _typed(raw.filter(pl.col("exchange").is_in(list(_SEGMENTS))), on)
    if made.is_empty():
        raise BadData(f"the instrument dump of kite holds no usable row of {raw.height}; ask for it again")
    return made


def _typed(raw: pl.DataFrame, on: dt.date) -> pl.DataFrame:
    option = pl.col("instrument_type").is_in(["CE", "PE"])
    dated = pl.col("kind").is_in(["option", "future"])
    kind = pl.col("instrument_type").replace_strict(_KINDS, default=None, return_dtype=pl.String)
    name = pl.col("name").fill_null("")
    frame = raw.with_columns(
        kind=pl.when(pl.col("segment") == "INDICES").then(pl.lit("index")).otherwise(kind),
        expiry=pl.col("expiry").str.to_date("%Y-%m-%d", strict=False),
        strike_p=pl.when(option).then((pl.col("strike") * 100).round()).cast(pl.Int64, strict=False),
        option_type=pl.when(option).then(pl.col("instrument_type")).cast(OPTION_TYPE, strict=False),
        tick_p=(pl.col("tick_size") * 100).round().cast(pl.Int32, strict=False),
    ).with_columns(
        underlying=pl.when(dated & (name != ""))
        .then(name)
        .when(dated)
        .then(pl.col("tradingsymbol").str.replace(_TAIL, ""))
        .otherwise(pl.col("tradingsymbol").replace(INDICES))
    )
    usable = (
        pl.col("kind").is_not_null()
        & (pl.col("exchange_token") > 0)
        & (pl.col("instrument_token") > 0)
        & (pl.col("underlying").str.len_chars() > 0)
        & (~dated | (pl.col("expiry").is_not_null() & (pl.col("lot_size") > 0)))
        & ((pl.col("kind") != "option") | (pl.col("strike_p") > 0))
        & (pl.col("lot_size").fill_null(1) < 2**31)
    )
    frame = frame.filter(usable).unique("instrument_token", keep="first", maintain_order=True)
    frame = frame.with_columns(
        valid_on=pl.lit(on),
        symbol=symbols(frame),
        segment=pl.col("exchange").replace_strict(_SEGMENTS, return_dtype=pl.String),
        venue=pl.col("exchange"),
        exchange=pl.col("exchange").replace({"NFO": "NSE", "BFO": "BSE"}),
        tick_p=pl.when(pl.col("tick_p") > 0).then("tick_p"),
        freeze_qty=pl.lit(None, pl.Int64),
    ).rename(
        {"exchange_token": "token", "tradingsymbol": "source_symbol", "lot_size": "lot", "instrument_token": "key"}
    )
    frame = with_dated_terms(frame)
    return frame.select(*[pl.col(c).cast(t) for c, t in INSTRUMENTS.items()], "key", "venue")


class KiteMaster(Master):
    """The day's contracts, found in either language.

    Parameters
    ----------
    table : polars.DataFrame
        As :func:`read_dump` gives it.
    on : date
        Today: what expired before it is refused.
    """

    @cached_property
    def _by_kite(self) -> dict[tuple[str, str], int]:
        names = zip(self._full["venue"].to_list(), self._full["source_symbol"].to_list(), strict=True)
        return {name: row for row, name in enumerate(names)}

    @cached_property
    def _by_symbol(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for row, symbol in enumerate(self._full["symbol"].to_list()):
            found.setdefault(symbol, []).append(row)
        return found

    def by_kite(self, venue: str | None, tradingsymbol: str | None) -> Instrument | None:
        """The contract of one of Kite's symbols."""
        row = self._by_kite.get((venue or "", tradingsymbol or ""))
        return None if row is None else self._at(row)

    def kite_name(self, instrument: Instrument) -> str:
        """``NFO:NIFTY25NOV24500CE``: how Kite names a contract."""
        return self._own_name(self._by_key[instrument.token or 0])

    def _own_name(self, row: int) -> str:
        return f"{self._full['venue'][row]}:{self._full['source_symbol'][row]}"

    def _rows(self, wanted: str) -> list[int]:
        venue, colon, name = wanted.partition(":")
        if colon:
            row = self._by_kite.get((venue, name))
            if row is not None:
                return [row]
            return [r for r in self._rows(name) if venue in (self._full["exchange"][r], self._full["venue"][r])]
        if wanted.isdigit():
            row = self._by_key.get(int(wanted))
            return [] if row is None else [row]
        neutral = self._by_symbol.get(wanted)
        if neutral is not None:
            return neutral
        return [row for v in _SEGMENTS if (row := self._by_kite.get((v, wanted))) is not None]

    def _unknown(self, text: str, wanted: str, expired: Sequence[int]) -> str:
        if expired:
            row = expired[0]
            same = self._full.filter(
                (pl.col("underlying") == self._full["underlying"][row])
                & pl.col("strike_p").eq_missing(pl.lit(self._full["strike_p"][row], pl.Int64))
                & pl.col("option_type").eq_missing(pl.lit(self._full["option_type"][row], OPTION_TYPE))
                & (pl.col("expiry") >= self.on)
            ).sort("expiry")
            live = "; live ones: " + ", ".join(same["symbol"].head(3)) if same.height else ""
            return f"symbol {text!r} expired on {self._full['expiry'][row]}{live}"
        try:
            contract = parse_symbol(wanted)
        except UnknownSymbol:
            near = self._full.filter(pl.col("underlying").str.starts_with(wanted[:4]))["symbol"].head(3000)
            return f"no instrument {text!r} at kite{nearest(wanted, near.to_list() or self._underlyings())}"
        if contract.expiry is not None and contract.expiry < self.on:
            return f"symbol {text!r} expired on {contract.expiry}"
        kin = self._full.filter(pl.col("underlying") == contract.underlying)
        if kin.is_empty():
            return f"no instrument {text!r} at kite{nearest(contract.underlying, self._underlyings())}"
        close = kin.filter(pl.col("expiry").eq_missing(pl.lit(contract.expiry, pl.Date)))
        return f"no instrument {text!r} at kite{nearest(wanted, (close if close.height else kin)['symbol'].head(3000))}"

    def _underlyings(self) -> Iterable[str]:
        return sorted(self._full["underlying"].unique().to_list())
