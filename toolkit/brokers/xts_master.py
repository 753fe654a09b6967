"""XTS's master dump as a typed table, and the way between its ids and our symbols.

The dump is lines of fields parted by ``|`` without a header: what a line is, its instrument type says, and its
number of columns must agree with that. Ids are unique within a segment only; ``key`` joins the two.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Final

import polars as pl

from toolkit.brokers.master import INDICES, Master
from toolkit.brokers.xts_records import number, whole
from toolkit.errors import BadData, nearest
from toolkit.market.files.terms import symbols, with_dated_terms
from toolkit.market.schema import INSTRUMENTS, OPTION_TYPE
from toolkit.market.xts_text import SEGMENTS
from toolkit.types import Instrument

__all__ = ["BANDS", "TRADED", "XtsMaster", "index_rows", "key_of", "read_listed", "read_master", "split_key"]

TRADED: Final = {
    "NSECM": ("NSE", "NSE_CM"),
    "NSEFO": ("NSE", "NSE_FO"),
    "BSECM": ("BSE", "BSE_CM"),
    "BSEFO": ("BSE", "BSE_FO"),
}
"""Segments that the toolkit trades: exchange and segment in our words."""

BANDS: Final = ("low_p", "high_p")
"""Columns of the exchange's price band beside the contract's own, paise; null where the install names none."""

_KINDS: Final = {"1": "future", "2": "option", "8": "equity", "16": "index"}
_COLUMNS: Final = {"future": (21,), "option": (23,), "equity": (22,), "index": ()}
_EXACT: Final = (21, 22, 23)
_LEAST: Final = {"future": 17, "option": 19, "equity": 14, "index": 14}
_SHIFT: Final = 32


def key_of(segment: str, instrument: int) -> int:
    """One number for a segment and an id in it.

    >>> split_key(key_of("NSEFO", 49543))
    (2, 49543)
    """
    return SEGMENTS[segment] << _SHIFT | instrument


def split_key(key: int) -> tuple[int, int]:
    """Segment number and id of a key."""
    return key >> _SHIFT, key & (1 << _SHIFT) - 1


def read_master(text: str, on: dt.date) -> tuple[pl.DataFrame, dict[str, int]]:
    """Read a dump: the columns of ``INSTRUMENTS``, then ``key``, ``venue`` (XTS's segment) and the price band.

    Parameters
    ----------
    text : str
        The dump; lines may lack trailing columns.
    on : date
        The day its terms hold.

    Returns
    -------
    table : polars.DataFrame
    skipped : dict
        Lines left out, counted by reason.

    Raises
    ------
    BadData
        When no line is usable.
    """
    lines = pl.DataFrame({"line": text.replace("\r", "").split("\n")}).filter(pl.col("line").str.strip_chars() != "")
    cells = lines.select(pl.col("line").str.split("|").alias("c")).with_columns(n=pl.col("c").list.len())
    raw = _columns(cells)
    return _judged(_typed(raw, on), lines.height)


def read_listed(result: object, on: dt.date) -> tuple[pl.DataFrame, dict[str, int]]:
    """Read instruments as the search and symbol calls list them, in the form of :func:`read_master`.

    Raises
    ------
    BadData
        When it is no such list, or no row of it is usable.
    """
    if not isinstance(result, list) or not all(isinstance(row, dict) for row in result):
        raise BadData("the list of instruments is not in the documented form; ask again")
    rows = [_listed({str(k).lower(): v for k, v in row.items()}) for row in result]
    raw = pl.DataFrame(rows, _RAW, orient="row", strict=False)
    return _judged(_typed(raw, on), len(rows))


_RAW: Final = {
    "n": pl.UInt32,
    "venue": pl.String,
    "token": pl.Int64,
    "kind": pl.String,
    "name": pl.String,
    "source_symbol": pl.String,
    "series": pl.String,
    "freeze": pl.Float64,
    "tick": pl.Float64,
    "lot": pl.Float64,
    "expiry_text": pl.String,
    "strike": pl.Float64,
    "right": pl.String,
    "high": pl.Float64,
    "low": pl.Float64,
}
_SEGMENT_NAMES: Final = {number: name for name, number in SEGMENTS.items()}


def _listed(cells: dict[str, object]) -> tuple[object, ...]:
    def text(key: str) -> str:
        value = cells.get(key)
        return "" if value is None else str(value).strip()

    kind = _KINDS.get(text("instrumenttype"))
    segment = text("exchangesegment").upper()
    band = cells.get("priceband")
    band = {str(k).lower(): v for k, v in band.items()} if isinstance(band, dict) else {}
    return (
        (_COLUMNS[kind] or (14,))[0] if kind is not None else 14,
        _SEGMENT_NAMES.get(int(segment), "") if segment.isascii() and segment.isdigit() else segment,
        whole(cells.get("exchangeinstrumentid")),
        kind,
        text("name"),
        text("description") or None,
        text("series").upper(),
        number(cells.get("freezeqty")),
        number(cells.get("ticksize")),
        number(cells.get("lotsize")),
        text("contractexpiration") or None,
        number(cells.get("strikeprice")),
        text("optiontype"),
        number(band.get("high")),
        number(band.get("low")),
    )


def _judged(table: pl.DataFrame, height: int) -> tuple[pl.DataFrame, dict[str, int]]:
    """The usable rows, and how many were left out for which reason."""
    fits = pl.any_horizontal(
        [
            (pl.col("kind") == kind)
            & (pl.col("n") >= _LEAST[kind])
            & (pl.col("n").is_in(_COLUMNS[kind]) | ~pl.col("n").is_in(_EXACT) | (not _COLUMNS[kind]))
            for kind in _COLUMNS
        ]
    )
    dated = pl.col("kind").is_in(["option", "future"])
    share = (pl.col("kind") == "equity") & (pl.col("venue") == "NSECM") & (pl.col("series") != "EQ")
    reasons = {
        "fewer than 14 fields": pl.col("n") < 14,
        "segment not traded here": ~pl.col("venue").is_in(list(TRADED)),
        "instrument type not traded here": pl.col("kind").is_null() | share,
        "columns do not fit the instrument type": ~fits,
        "no id or name": ~((pl.col("token") > 0) & (pl.col("token") < 2**31) & (pl.col("underlying") != "")),
        "no expiry or lot": dated & ~(pl.col("expiry").is_not_null() & (pl.col("lot") > 0)),
        "no strike or option type": (pl.col("kind") == "option")
        & ~((pl.col("strike_p") > 0) & pl.col("option_type").is_not_null()),
    }
    why = pl.coalesce(*[pl.when(test.fill_null(True)).then(pl.lit(name)) for name, test in reasons.items()])
    judged = table.with_columns(why=why)
    skipped = {str(k): int(v) for k, v in judged.drop_nulls("why").group_by("why").len().sort("why").iter_rows()}
    kept = judged.filter(pl.col("why").is_null())
    if kept.is_empty():
        raise BadData(f"the master dump holds no usable line of {height}; ask for it again")
    once = kept.unique(["venue", "token"], keep="first", maintain_order=True)
    if once.height < kept.height:
        skipped["repeated id"] = kept.height - once.height
    return _finished(once), skipped


def _columns(cells: pl.DataFrame) -> pl.DataFrame:
    def at(index: int) -> pl.Expr:
        return pl.col("c").list.get(index, null_on_oob=True).str.strip_chars()

    return cells.select(
        "n",
        venue=at(0).str.to_uppercase(),
        token=at(1).cast(pl.Int64, strict=False),
        kind=at(2).replace_strict(_KINDS, default=None, return_dtype=pl.String),
        name=at(3).fill_null(""),
        source_symbol=at(4),
        series=at(5).str.to_uppercase(),
        freeze=at(10).cast(pl.Float64, strict=False),
        tick=at(11).cast(pl.Float64, strict=False),
        lot=at(12).cast(pl.Float64, strict=False),
        expiry_text=at(16),
        strike=at(17).cast(pl.Float64, strict=False),
        right=at(18),
        high=at(8).cast(pl.Float64, strict=False),
        low=at(9).cast(pl.Float64, strict=False),
    )


def _typed(raw: pl.DataFrame, on: dt.date) -> pl.DataFrame:
    dated = pl.col("kind").is_in(["option", "future"])
    option = pl.col("kind") == "option"
    stated = pl.when((pl.col("freeze") > 0) & (pl.col("freeze") < 2**40)).then("freeze")
    # NSE states the first quantity that is frozen (1801): the most that may be sent is one less
    freeze = stated - pl.when(pl.col("venue") == "NSEFO").then(1).otherwise(0)
    strike = pl.when(option & (pl.col("strike") < 1e9)).then((pl.col("strike") * 100).round())
    tick = pl.when((pl.col("tick") > 0) & (pl.col("tick") < 1e6)).then((pl.col("tick") * 100).round())
    banded = (pl.col("low") >= 0) & (pl.col("low") < pl.col("high")) & (pl.col("high") < 1e9)
    lot = pl.when((pl.col("lot") > 0) & (pl.col("lot") < 2**31)).then("lot")
    return raw.with_columns(
        valid_on=pl.lit(on),
        underlying=pl.when(pl.col("kind") == "index").then(pl.col("name").replace(INDICES)).otherwise("name"),
        expiry=pl.when(dated).then(pl.col("expiry_text").str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)),
        strike_p=strike.cast(pl.Int64, strict=False),
        option_type=pl.when(option)
        .then(pl.col("right").str.to_uppercase().replace_strict(_RIGHTS, default=None, return_dtype=pl.String))
        .cast(OPTION_TYPE),
        tick_p=tick.cast(pl.Int32, strict=False),
        lot=lot.cast(pl.Int32, strict=False),
        freeze_qty=freeze.cast(pl.Int64, strict=False),
        **{f"{end}_p": pl.when(banded).then((pl.col(end) * 100).round()).cast(pl.Int64) for end in ("low", "high")},
    )


_RIGHTS: Final = {"3": "CE", "4": "PE", "CE": "CE", "PE": "PE"}


def _finished(kept: pl.DataFrame) -> pl.DataFrame:
    numbers = {name: SEGMENTS[name] << _SHIFT for name in TRADED}
    frame = kept.with_columns(
        symbol=symbols(kept),
        exchange=pl.col("venue").replace_strict({k: v[0] for k, v in TRADED.items()}, return_dtype=pl.String),
        segment=pl.col("venue").replace_strict({k: v[1] for k, v in TRADED.items()}, return_dtype=pl.String),
        key=pl.col("venue").replace_strict(numbers, return_dtype=pl.Int64) + pl.col("token"),
    )
    frame = with_dated_terms(frame)
    return frame.select(*[pl.col(c).cast(t) for c, t in INSTRUMENTS.items()], "key", "venue", *BANDS)


def index_rows(listed: Iterable[str], segment: str, on: dt.date) -> pl.DataFrame:
    """Rows of a segment's ``indexlist`` (``NIFTY 50_26000``, split at the last bar), as of :func:`read_master`."""
    rows = []
    for entry in listed:
        name, bar, number = str(entry).strip().rpartition("_")
        if bar and name and number.isascii() and number.isdigit() and len(number) < 10:
            rows.append((INDICES.get(name.upper(), name.upper()), int(number), name))
    frame = pl.DataFrame(rows, {"underlying": pl.String, "token": pl.Int64, "source_symbol": pl.String}, orient="row")
    blank = {c: pl.lit(None, t) for c, t in INSTRUMENTS.items() if c not in frame.columns}
    filled = frame.unique("token", keep="first", maintain_order=True).with_columns(**blank).with_columns(
        valid_on=pl.lit(on), kind=pl.lit("index"), symbol=pl.col("underlying"), venue=pl.lit(segment),
        exchange=pl.lit(TRADED[segment][0]), segment=pl.lit(TRADED[segment][1]),
        key=pl.lit(SEGMENTS[segment] << _SHIFT, pl.Int64) + pl.col("token"),
    )  # fmt: skip
    bands = [pl.lit(None, pl.Int64).alias(name) for name in BANDS]
    return filled.select(*[pl.col(c).cast(t) for c, t in INSTRUMENTS.items()], "key", "venue", *bands)


class XtsMaster(Master):
    """The day's contracts, found by our symbol, by XTS's own name, or by segment and id.

    Parameters
    ----------
    table : polars.DataFrame
        As :func:`read_master` gives it.
    on : date
        Today: what expired before it is refused.
    """

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for column in ("symbol", "source_symbol"):
            for row, name in enumerate(self._full[column].to_list()):
                if name is not None and row not in found.setdefault(str(name).upper(), []):
                    found[str(name).upper()].append(row)
        return found

    def by_id(self, segment: str, instrument: int | None) -> Instrument | None:
        """The contract of an id in a segment."""
        if segment not in SEGMENTS or instrument is None or not 0 <= instrument < 1 << _SHIFT:
            return None
        row = self._by_key.get(key_of(segment, instrument))
        return None if row is None else self._at(row)

    def place_of(self, instrument: Instrument) -> tuple[str, int]:
        """XTS's segment and id of a contract."""
        row = self._by_key[instrument.token or 0]
        return self._full["venue"][row], self._full["token"][row]

    def band_of(self, instrument: Instrument) -> tuple[int, int] | None:
        """The exchange's price band of the day in paise, lowest and highest; None where the dump names none."""
        row = self._by_key[instrument.token or 0]
        low_p, high_p = (self._full[name][row] for name in BANDS)
        return None if low_p is None or high_p is None else (low_p, high_p)

    def _rows(self, wanted: str) -> list[int]:
        venue, colon, number = wanted.partition(":")
        if colon and venue in SEGMENTS and number.isascii() and number.isdigit() and len(number) < 10:
            row = self._by_key.get(key_of(venue, int(number)))
            return [] if row is None else [row]
        if wanted.isascii() and wanted.isdigit() and len(wanted) < 20 and int(wanted) in self._by_key:
            return [self._by_key[int(wanted)]]
        return self._by_name.get(wanted, [])

    def _own_name(self, row: int) -> str:
        return f"{self._full['venue'][row]}:{self._full['token'][row]}"

    def _unknown(self, text: str, wanted: str, expired: Sequence[int]) -> str:
        if expired:
            return f"symbol {text!r} expired on {self._full['expiry'][expired[0]]}"
        head = wanted.split(" ")[0][:4]
        near = [name for name in self._by_name if name.startswith(head)][:3000]
        return f"no instrument {text!r} in the XTS master{nearest(wanted, near or sorted(self._by_name)[:3000])}"
