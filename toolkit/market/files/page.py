"""The option chain as the exchange's page gives it: the download button's csv, and its JSON.

The csv names every column twice and mirrors the puts, so it is read by position relative
to ``STRIKE``; it holds neither time nor spot nor symbol. ``-`` stands for zero or none
alike. The JSON comes in two spellings (classic and v3) and carries its stamp and spot.
Open interest and volume are in contracts, sizes in units, volatility in percent.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import polars as pl

from toolkit.errors import BadData
from toolkit.market.files import reading
from toolkit.market.files.sides import SIDE, to_chain
from toolkit.market.schema import IST, SPOT

__all__ = ["is_page_csv", "is_page_json", "read_page_csv", "read_page_json"]

_CALL: Final = (
    "oi_contracts",
    "change",
    "volume_contracts",
    "source_iv",
    "ltp",
    "net_change",
    "bid_qty",
    "bid",
    "ask",
    "ask_qty",
)
_PUT: Final = (
    "bid_qty",
    "bid",
    "ask",
    "ask_qty",
    "net_change",
    "ltp",
    "source_iv",
    "volume_contracts",
    "change",
    "oi_contracts",
)
_HEAD: Final = ["OI", "CHNG IN OI", "VOLUME", "IV", "LTP", "CHNG", "BID QTY", "BID", "ASK", "ASK QTY", "STRIKE"]
_HEADER: Final = [*_HEAD, "BID QTY", "BID", "ASK", "ASK QTY", "CHNG", "LTP", "IV", "VOLUME", "CHNG IN OI", "OI"]
_ZERO_WHEN_DASH: Final = ("oi_contracts", "change", "volume_contracts")
_NAME: Final = re.compile(r"option-chain-ED-([A-Z0-9&_-]+?)-(\d{2}-[A-Za-z]{3}-\d{4})")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FLOATS: Final = (
    "strike",
    "oi_contracts",
    "volume_contracts",
    "source_iv",
    "ltp",
    "bid",
    "ask",
    "bid_qty",
    "ask_qty",
    "spot",
)
_JSON: Final = {
    "oi_contracts": ("openInterest",),
    "volume_contracts": ("totalTradedVolume",),
    "source_iv": ("impliedVolatility",),
    "ltp": ("lastPrice",),
    "bid": ("bidprice", "bidPrice", "buyPrice1"),
    "ask": ("askPrice", "sellPrice1"),
    "bid_qty": ("bidQty", "buyQuantity1"),
    "ask_qty": ("askQty", "sellQuantity1"),
    "spot": ("underlyingValue",),
}

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

Lines = list[list[str]]


def is_page_csv(source: reading.Source) -> bool:
    """Whether a csv file has the page's header, as downloaded or resaved."""
    return any(_squeezed(line) == _HEADER for line in _csv_lines(source.body[:4096], source.name)[:2])


def is_page_json(source: reading.Source) -> bool:
    """Whether a file is a JSON object with the page's ``records``."""
    return source.body[:64].lstrip(b"\xef\xbb\xbf \r\n\t")[:1] == b"{" and b'"records"' in source.body


def read_page_csv(
    source: reading.Source,
    *,
    at: dt.datetime | None = None,
    underlying: str | None = None,
    expiry: dt.date | None = None,
    spot: float | None = None,
) -> reading.Imported:
    """Convert the page's csv: one snapshot of one expiry.

    Parameters
    ----------
    source : Source
        The file; ``option-chain-ED-NIFTY-25-Nov-2025.csv`` names symbol and expiry.
    at : datetime, optional
        When it was downloaded (naive means India's). Default: the file's modification time,
        noted as assumed.
    underlying, expiry : optional
        In place of those in the name.
    spot : float, optional
        The underlying's price then; unknown without it.

    Raises
    ------
    BadData
        Not the page's csv, symbol or expiry named nowhere, or no usable row.
    """
    symbol, day = _identity(source.name, underlying, expiry)
    lines = _csv_lines(source.body, source.name)
    start = next((i for i, line in enumerate(lines[:2]) if _squeezed(line) == _HEADER), None)
    if start is None:
        raise BadData(f"{source.name} is not the page's option chain: no header with STRIKE in the middle of 21 names")
    offset = next(i for i, name in enumerate(lines[start]) if name.strip().upper() == "STRIKE")
    stamp = _stamp_of(at, source)
    rows, read = [], 0
    for fields in lines[start + 1 :]:
        if not any(field.strip() for field in fields):
            continue
        rows += _csv_sides(fields, offset, read)
        read += 1
    common = {"ts": stamp, "recv_ts": stamp, "underlying": symbol, "expiry": day, "spot": spot}
    frame = _frame([{**common, **row} for row in rows])
    assumed = (("stamp assumed from the file's modification time", 1),) if at is None else ()
    options = {"at": at and stamp.isoformat(), "underlying": symbol, "expiry": day.isoformat(), "spot": spot}
    return _imported("nse-chain", source, frame, read, assumed, options)


def read_page_json(
    source: reading.Source, *, at: dt.datetime | None = None, underlying: str | None = None
) -> reading.Imported:
    """Convert the page's JSON (classic and v3): one snapshot of the expiries it holds.

    Parameters
    ----------
    source : Source
        The file.
    at : datetime, optional
        When it was received (naive means India's); unknown without it.
    underlying : str, optional
        The symbol, for an answer whose sides do not name it.

    Raises
    ------
    BadData
        Not the page's JSON, without a stamp, or no usable row.
    """
    records = _records(source)
    stamp = _json_stamp(records, source.name)
    spot = _number(records.get("underlyingValue"))
    rows: list[dict[str, Any]] = []
    data = records.get("data")
    if not isinstance(data, list):
        raise BadData(f"{source.name} is not the page's JSON: records.data is no list; save the answer again")
    for line, item in enumerate(data):
        if isinstance(item, dict):
            rows += _json_sides(item, line, spot, underlying)
    received = None if at is None else _aware(at)
    frame = _frame([{"ts": stamp, "recv_ts": received, **row} for row in rows])
    options = {"at": None if received is None else received.isoformat(), "underlying": underlying}
    return _imported("nse-chain", source, frame, len(data), (), options)


def _imported(
    form: str,
    source: reading.Source,
    sides: pl.DataFrame,
    read: int,
    noted: tuple[tuple[str, int], ...],
    options: Mapping[str, object],
) -> reading.Imported:
    done = to_chain(sides, read)
    if done.chain.is_empty():
        reasons = "; ".join(f"{n} {r}" for r, n in done.refused) or "the file has no rows"
        guessed = f"; its modification time {sides['ts'][0]:%Y-%m-%d %H:%M} was assumed, give --at" if noted else ""
        raise BadData(f"{source.name} holds no usable row ({reasons}){guessed if sides.height else ''}")
    made = {"chain": done.chain}
    spots = done.chain.drop_nulls("spot").group_by("ts", "recv_ts", "underlying", maintain_order=True)
    made["spot"] = spots.agg(ltp=pl.col("spot").first()).select(
        [
            (pl.col(c) if c in ("ts", "recv_ts", "underlying", "ltp") else pl.lit(None)).cast(t).alias(c)
            for c, t in SPOT.items()
        ]
    )
    return reading.Imported(
        format=form,
        name=source.name,
        sha256=source.sha256,
        rows_read=read,
        rows_kept=done.lines_kept,
        refused=done.refused,
        noted=tuple(sorted((*noted, *done.noted))),
        tables={name: frame for name, frame in made.items() if frame.height},
        options=tuple((k, str(v)) for k, v in sorted(options.items()) if v is not None),
    )


def _frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    moment = pl.Datetime("us", IST)
    schema: dict[str, Any] = {"line": pl.Int64, "ts": moment, "recv_ts": moment, "underlying": pl.String}
    schema |= {"expiry": pl.Date, "option_type": pl.String} | dict.fromkeys(_FLOATS, pl.Float64)
    return pl.DataFrame(rows, schema=schema).with_columns(pl.col("source_iv") / 100).select(SIDE)


def _csv_lines(body: bytes, name: str) -> Lines:
    try:
        text = reading.text_of(body, name)
        return list(csv.reader(text.splitlines()))
    except csv.Error as error:
        raise BadData(f"{name} is not a regular csv file ({error}); download it again") from None
    except BadData:
        if len(body) == 4096:
            return []
        raise


def _squeezed(line: Iterable[str]) -> list[str]:
    names = [" ".join(name.split()).upper() for name in line]
    while names and not names[0]:
        names.pop(0)
    while names and not names[-1]:
        names.pop()
    return names


def _csv_sides(fields: list[str], offset: int, line: int) -> list[dict[str, Any]]:
    fields = [*fields, *[""] * (offset + 11 - len(fields))]
    strike = _number(fields[offset])
    sides = []
    for option_type, names, start in (("CE", _CALL, offset - 10), ("PE", _PUT, offset + 1)):
        values = {name: _number(fields[start + i]) for i, name in enumerate(names)}
        if all(value is None for value in values.values()):
            continue
        for name in _ZERO_WHEN_DASH:
            if values[name] is None and fields[start + names.index(name)].strip() == "-":
                values[name] = 0.0
        kept = {name: values[name] for name in names if name not in ("change", "net_change")}
        sides.append({"line": line, "strike": strike, "option_type": option_type, **kept})
    return sides


def _number(value: object) -> float | None:
    """A finite number of a cell: commas stripped, ``-`` and blanks None."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        found = float(str(value).replace(",", "").strip())
    except ValueError:
        return None
    return found if found - found == 0 else None


def _identity(name: str, underlying: str | None, expiry: dt.date | None) -> tuple[str, dt.date]:
    named = _NAME.search(name)
    symbol = underlying or (named.group(1) if named else None)
    day = expiry or (_word_date(named.group(2)) if named else None)
    if symbol is None or day is None:
        raise BadData(
            f"{name} names no symbol and expiry as option-chain-ED-NIFTY-25-Nov-2025.csv does;"
            " give --underlying and --expiry"
        )
    return symbol, day


def _word_date(text: object) -> dt.date | None:
    """``25-Nov-2025`` or ``25-11-2025``, None otherwise."""
    parts = str(text).strip().split("-")
    try:
        month = int(parts[1]) if parts[1].isdigit() else _MONTHS.index(parts[1].lower()) + 1
        return dt.date(int(parts[2]), month, int(parts[0]))
    except (IndexError, ValueError):
        return None


def _stamp_of(at: dt.datetime | None, source: reading.Source) -> dt.datetime:
    if at is not None:
        return _aware(at)
    seconds = source.modified_ns // 1_000_000_000
    return _EPOCH + dt.timedelta(seconds=seconds)


def _aware(at: dt.datetime) -> dt.datetime:
    if at.tzinfo is not None:
        return at.astimezone(dt.UTC)
    return at.replace(tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30))).astimezone(dt.UTC)


def _records(source: reading.Source) -> dict[str, Any]:
    try:
        found = json.loads(source.body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        text = " ".join(str(error).split())[:120]
        raise BadData(f"{source.name} is not whole JSON ({text}); save the answer again") from None
    records = found.get("records") if isinstance(found, dict) else None
    if not isinstance(records, dict):
        raise BadData(f"{source.name} is not the page's JSON: it has no records; save the answer again")
    return records


def _json_stamp(records: Mapping[str, Any], name: str) -> dt.datetime:
    text = str(records.get("timestamp", ""))
    day, _, clock = text.partition(" ")
    date = _word_date(day)
    try:
        time = dt.time.fromisoformat(clock.strip())
    except ValueError:
        time = None
    if date is None or time is None:
        raise BadData(f"{name}: records.timestamp must read 26-Nov-2025 15:30:00, was {text!r}")
    return _aware(dt.datetime.combine(date, time))


def _json_sides(item: Mapping[str, Any], line: int, spot: float | None, underlying: str | None) -> list[dict[str, Any]]:
    sides = []
    row_expiry = item.get("expiryDates") or item.get("expiryDate")
    for option_type in ("CE", "PE"):
        side = item.get(option_type)
        if not isinstance(side, dict):
            continue
        values = {ours: next((_number(side[t]) for t in theirs if t in side), None) for ours, theirs in _JSON.items()}
        expiry = _word_date(row_expiry) or _word_date(side.get("expiryDate"))
        identity = {
            "line": line,
            "option_type": option_type,
            "expiry": expiry,
            "strike": _number(item.get("strikePrice")),
        }
        name = side.get("underlying") or underlying
        values["spot"] = values["spot"] or spot
        sides.append({**values, **identity, "underlying": None if name is None else str(name)})
    return sides
