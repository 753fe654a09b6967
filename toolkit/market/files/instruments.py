"""Instrument masters: the exchanges' own (NSE and BSE) and Kite's dump, as of one date.

In the exchanges' master the expiry counts seconds from 1-Jan-1980 (read as Unix time it
is ten years early and looks right), prices are in paise, and ``FinInstrmNm`` is the
instrument type while ``StockNm`` is the contract's name. Kite's dump is in rupees and
names the exchange ``NFO`` or ``BFO``.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import polars as pl

from toolkit.errors import BadData
from toolkit.market.files import reading, terms
from toolkit.market.schema import INSTRUMENTS, OPTION_TYPE

__all__ = ["KITE_COLUMNS", "MASTER_COLUMNS", "read_instruments"]

MASTER_COLUMNS: Final = (
    "FinInstrmId",
    "FinInstrmNm",
    "TckrSymb",
    "XpryDt",
    "StrkPric",
    "OptnTp",
    "NewBrdLotQty",
    "BidIntrvl",
)
KITE_COLUMNS: Final = (
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
_EPOCH_1980: Final = dt.date(1980, 1, 1)
_SECONDS_A_DAY: Final = 86_400
_VENUES: Final = {"NFO": ("NSE", "FO"), "BFO": ("BSE", "FO"), "NSE": ("NSE", "CM"), "BSE": ("BSE", "CM")}
_STOCK: Final = r"^[A-Z0-9][A-Z0-9&_-]{0,29}$"
_KEY: Final = ["exchange", "segment", "token"]


def read_instruments(frame: pl.DataFrame, source: reading.Source, *, on: dt.date | None = None) -> reading.Imported:
    """Convert an instrument master into the table ``instruments``.

    Parameters
    ----------
    frame : polars.DataFrame
        The file's columns as text.
    source : Source
        The file it came from.
    on : date, optional
        The day its terms hold; default: the date in the file's name.

    Raises
    ------
    BadData
        Neither kind of master, no date, or no usable row.
    """
    day = _valid_on(source.name, on)
    kite = "tradingsymbol" in frame.columns
    if kite:
        reading.require(frame, KITE_COLUMNS, source.name, "Kite's instrument dump")
        rows = _kite(frame)
    else:
        reading.require(frame, MASTER_COLUMNS, source.name, "an exchange's contract master")
        rows = _master(frame, source.name)
    kept, refused = reading.sift(rows, _rules(day))
    if kept.is_empty():
        reasons = "; ".join(f"{n} {r}" for r, n in refused) or "the file has no rows"
        raise BadData(f"{source.name} holds no usable row ({reasons})")
    kept = kept.with_columns(
        valid_on=pl.lit(day), option_type=pl.col("option_text").cast(OPTION_TYPE, strict=False), freeze_qty=None
    )
    kept = terms.with_dated_terms(kept.with_columns(symbol=terms.symbols(kept)))
    table = kept.select([pl.col(c).cast(t) for c, t in INSTRUMENTS.items()]).sort([*_KEY, "symbol"])
    return reading.Imported(
        format="instruments",
        name=source.name,
        sha256=source.sha256,
        rows_read=frame.height,
        rows_kept=table.height,
        refused=refused,
        tables={"instruments": table},
        options=(("on", day.isoformat()),),
    )


def _valid_on(name: str, on: dt.date | None) -> dt.date:
    named = reading.dates_in_name(name)
    if on is not None:
        if len(named) == 1 and named[0] != on:
            raise BadData(f"{name}: the name says {named[0]}, asked for {on}; leave out --on or rename the file")
        return on
    if len(named) != 1:
        raise BadData(f"{name} carries no date; say on which day its terms hold with --on YYYY-MM-DD")
    return named[0]


def _rules(day: dt.date) -> dict[str, pl.Expr]:
    option, dated = pl.col("kind") == "option", pl.col("kind").is_in(["option", "future"])
    return {
        "exchange or segment is not one we keep": pl.col("exchange").is_null(),
        "marked as deleted": pl.col("deleted"),
        "instrument type is not known": pl.col("kind").is_null(),
        "symbol is not a name": ~pl.col("underlying").fill_null("").str.contains(_STOCK),
        "token is not a number": pl.col("token").is_null() | (pl.col("token") < 0),
        "expiry is not a date": dated & pl.col("expiry").is_null(),
        "expired before the day": dated & (pl.col("expiry") < day),
        "strike is not a positive price": option & (pl.col("strike_p").is_null() | (pl.col("strike_p") <= 0)),
        "lot is not a positive number": dated & (pl.col("lot").is_null() | (pl.col("lot") <= 0)),
        "repeated token": ~pl.struct(_KEY).is_first_distinct(),
    }


def _kite(frame: pl.DataFrame) -> pl.DataFrame:
    def text(column: str) -> pl.Expr:
        return pl.col(column).cast(pl.String).fill_null("").str.strip_chars()

    kind = text("instrument_type").replace_strict(
        {"CE": "option", "PE": "option", "FUT": "future", "EQ": "equity"}, default=None, return_dtype=pl.String
    )
    kind = pl.when(text("segment") == "INDICES").then(pl.lit("index")).otherwise(kind)
    strike = (reading.number(frame, "strike") * 100).round()
    symbol = text("tradingsymbol")
    return frame.select(
        reading.whole(frame, "exchange_token").alias("token"),
        _venue(text("exchange"), 0).alias("exchange"),
        pl.format("{}_{}", _venue(text("exchange"), 0), _venue(text("exchange"), 1)).alias("segment"),
        kind.alias("kind"),
        symbol.alias("source_symbol"),
        _kite_underlying(kind, symbol, text("name")).alias("underlying"),
        reading.day(frame, "expiry").alias("expiry"),
        pl.when(kind == "option").then(strike).otherwise(None).cast(pl.Int64, strict=False).alias("strike_p"),
        pl.when(kind == "option").then(text("instrument_type")).otherwise(None).alias("option_text"),
        reading.whole(frame, "lot_size").alias("lot"),
        (reading.number(frame, "tick_size") * 100).round().cast(pl.Int64, strict=False).alias("tick_p"),
        pl.lit(False).alias("deleted"),
    )


def _venue(exchange: pl.Expr, part: int) -> pl.Expr:
    return exchange.replace_strict({k: v[part] for k, v in _VENUES.items()}, default=None, return_dtype=pl.String)


def _kite_underlying(kind: pl.Expr, symbol: pl.Expr, name: pl.Expr) -> pl.Expr:
    """The name column of a contract; where it is empty, the symbol without its date and strike."""
    stripped = symbol.str.replace(r"\d{2}(?:[A-Z]{3}|[1-9OND]\d{2})(?:FUT|\d+(?:\.\d+)?(?:CE|PE))$", "")
    contract = pl.when(name == "").then(stripped).otherwise(name)
    indices = {"NIFTY 50": "NIFTY", "NIFTY BANK": "BANKNIFTY", "INDIA VIX": "INDIAVIX", "NIFTY FIN SERVICE": "FINNIFTY"}
    indices |= {"NIFTY MID SELECT": "MIDCPNIFTY", "NIFTY NEXT 50": "NIFTYNXT50"}
    return (
        pl.when(kind == "index").then(symbol.replace(indices)).when(kind == "equity").then(symbol).otherwise(contract)
    )


def _master(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    def text(column: str) -> pl.Expr:
        return pl.col(column).cast(pl.String).fill_null("").str.strip_chars()

    exchange = "BSE" if name.upper().startswith("BSE") else "NSE"
    form = text("FinInstrmNm")
    kind = (
        pl.when(form.str.starts_with("OPT") | form.is_in(["IO", "SO", "IDO", "STO"]))
        .then(pl.lit("option"))
        .when(form.str.starts_with("FUT") | form.is_in(["IF", "SF", "IDF", "STF"]))
        .then(pl.lit("future"))
        .otherwise(None)
    )
    strike = reading.number(frame, "StrkPric")
    named = text("StockNm") if "StockNm" in frame.columns else pl.lit(None, pl.String)
    return frame.select(
        reading.whole(frame, "FinInstrmId").alias("token"),
        pl.lit(exchange).alias("exchange"),
        pl.lit(f"{exchange}_FO").alias("segment"),
        kind.alias("kind"),
        named.alias("source_symbol"),
        text("TckrSymb").alias("underlying"),
        _expiry(frame).alias("expiry"),
        pl.when((kind == "option") & (strike > 0) & (strike == strike.round()))
        .then(strike)
        .otherwise(None)
        .cast(pl.Int64, strict=False)
        .alias("strike_p"),
        pl.when(kind == "option").then(text("OptnTp")).otherwise(None).alias("option_text"),
        reading.whole(frame, "NewBrdLotQty").alias("lot"),
        reading.whole(frame, "BidIntrvl").alias("tick_p"),
        (text("DelFlg") == "Y" if "DelFlg" in frame.columns else pl.lit(False)).alias("deleted"),
    )


def _expiry(frame: pl.DataFrame) -> pl.Expr:
    """Seconds since 1-Jan-1980 as a naive date, or a date in words."""
    days = (reading.number(frame, "XpryDt") / _SECONDS_A_DAY).floor()
    usable = pl.when((days > 0) & (days < 100_000)).then(days).otherwise(None).cast(pl.Int32, strict=False)
    counted = pl.lit(_EPOCH_1980) + pl.duration(days=usable)
    return pl.coalesce(reading.day(frame, "XpryDt", "%d-%b-%Y", "%Y-%m-%d"), counted.cast(pl.Date))
