"""Name the format of a file by its header, and hand the file to its reader."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from toolkit.errors import BadData
from toolkit.market.files import candles, legacy, page, participant, reading, recorded, udiff
from toolkit.market.files.elm import is_elm, read_elm
from toolkit.market.files.index_close import read_index_close
from toolkit.market.files.instruments import read_instruments
from toolkit.market.files.legacy import read_legacy
from toolkit.market.files.recorded import read_recorded
from toolkit.market.files.span import is_span, read_span
from toolkit.market.files.udiff import read_udiff

__all__ = ["FORMATS", "How", "form_of", "read_as", "read_file"]

FORMATS: Final = {
    "udiff": "a UDiFF bhavcopy",
    "legacy": "a legacy F&O bhavcopy",
    "nse-chain": "an option chain",
    "participant": "a participant-wise report",
    "index-close": "a file of index closes",
    "instruments": "an instrument master",
    "candles": "a file of candles",
    "span": "a SPAN parameter file",
    "elm": "a file of extreme loss margins",
}
_BY_COLUMN: Final = {
    "TradDt": "udiff",
    "INSTRUMENT": "legacy",
    "Fetch_Time": "nse-chain",
    "Index Name": "index-close",
    "tradingsymbol": "instruments",
    "FinInstrmId": "instruments",
}
_LAYOUTS: Final = {"nse-chain": recorded.REQUIRED, "udiff": udiff.COLUMNS, "legacy": legacy.COLUMNS}
_OLD_BSE: Final = ("Contract Type", "Market Summary Date")
_SESSIONS: Final = ("udiff", "legacy", "nse-chain", "participant", "index-close")


class How(msgspec.Struct, frozen=True, kw_only=True):
    """What a user may say about a file beyond its name.

    ``underlyings`` keeps only those symbols of a bhavcopy; ``at``, ``underlying``, ``expiry``
    and ``spot`` tell what a page download does not; ``columns`` maps another collector's
    names; ``on`` dates an instrument master; ``candles`` describes candles.
    """

    underlyings: tuple[str, ...] = ()
    at: dt.datetime | None = None
    underlying: str | None = None
    expiry: dt.date | None = None
    spot: float | None = None
    columns: dict[str, str] = {}
    on: dt.date | None = None
    candles: candles.CandleMap | None = None


def form_of(source: reading.Source) -> str:
    """The format of a file, a key of :data:`FORMATS`.

    Raises
    ------
    BadData
        No header that is known; the text names the first columns.
    """
    if is_span(source):
        return "span"
    if page.is_page_json(source):
        return "nse-chain"
    if candles.is_candle_json(source):
        return "candles"
    names = _columns(source)
    if not _is_parquet(source):
        if page.is_page_csv(source):
            return "nse-chain"
        if participant.is_participant(source):
            return "participant"
        if is_elm(source):
            return "elm"
    for form, columns in _LAYOUTS.items():
        if 2 * len(set(columns) & set(names)) > len(columns):  # its reader names what is missing
            return form
    for column, form in _BY_COLUMN.items():
        if column in names:
            return form
    if names and names[0] in _OLD_BSE:
        raise BadData(f"{source.name} is an older BSE file without settlement prices; import the UDiFF file of the day")
    if {"open", "high", "low", "close"} <= {name.lower() for name in names}:
        return "candles"
    shown = ", ".join(names[:6]) or "none"
    raise BadData(f"{source.name} has no header of a known format; its first columns are {shown[:120]}")


def _columns(source: reading.Source) -> list[str]:
    if _is_parquet(source):
        try:
            return list(pl.read_parquet_schema(io.BytesIO(source.body)))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise BadData(_damaged(source, error)) from None
    return reading.header_of(source.body, source.name)


def _is_parquet(source: reading.Source) -> bool:
    return source.body[:4] == b"PAR1"


def _damaged(source: reading.Source, error: Exception) -> str:
    text = " ".join(str(error).split())[:120]
    return f"{source.path} is a damaged or truncated Parquet file ({text}); copy it again"


def _table(source: reading.Source) -> pl.DataFrame:
    """The columns of a file: typed from Parquet, text from csv."""
    if not _is_parquet(source):
        return reading.csv_frame(source.body, source.name)
    try:
        return pl.read_parquet(io.BytesIO(source.body), hive_partitioning=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadData(_damaged(source, error)) from None


def read_as(form: str, source: reading.Source, how: How | None = None) -> reading.Imported:
    """Read a file that must have one format.

    Raises
    ------
    BadData
        The file has another format (the text names its verb), or cannot be used.
    """
    how = how or How()
    mapped = form == "candles" or (form == "nse-chain" and bool(how.columns))
    if not mapped:
        found = form_of(source)
        if found != form:
            raise BadData(f"{source.name} is {FORMATS[found]}, not {FORMATS[form]}; use 'toolkit import {found}'")
    if form == "udiff":
        return read_udiff(_table(source), source, underlyings=how.underlyings)
    if form == "legacy":
        return read_legacy(_table(source), source, underlyings=how.underlyings)
    if form == "participant":
        return participant.read_participant(source)
    if form == "index-close":
        return read_index_close(_table(source), source)
    if form == "instruments":
        return read_instruments(_table(source), source, on=how.on)
    if form == "candles":
        return _candles(source, how)
    if form == "span":
        return read_span(source, underlyings=how.underlyings)
    if form == "elm":
        return read_elm(_table(source), source)
    return _chain(source, how)


def _chain(source: reading.Source, how: How) -> reading.Imported:
    if page.is_page_json(source):
        return page.read_page_json(source, at=how.at, underlying=how.underlying)
    if not how.columns and not _is_parquet(source) and page.is_page_csv(source):
        return page.read_page_csv(source, at=how.at, underlying=how.underlying, expiry=how.expiry, spot=how.spot)
    return read_recorded(_table(source), source, columns=how.columns)


def _candles(source: reading.Source, how: How) -> reading.Imported:
    if how.candles is None:
        raise BadData(f"{source.name} holds candles; say what their volume counts with --volume-in units or contracts")
    rows = candles.candle_rows(source) if candles.is_candle_json(source) else _table(source)
    return candles.read_candles(rows, source, how.candles)


def read_file(path: str | Path) -> reading.Imported:
    """Read a file that is a session by itself, whatever its format.

    Raises
    ------
    BadData
        No such file, no known format, or one that needs more than its bytes.
    """
    source = reading.fetch(path)
    form = form_of(source)
    if form not in _SESSIONS:
        raise BadData(f"{path} is {FORMATS[form]}, not a session; put it in a store with 'toolkit import {form}'")
    return read_as(form, source)
