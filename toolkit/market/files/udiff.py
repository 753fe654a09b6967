"""UDiFF bhavcopy of NSE and BSE: derivatives (FO) and cash (CM), one layout, two sets of units.

Open interest is in units on both exchanges. Traded volume is in contracts on NSE and in
units on BSE; :func:`read_udiff` makes both units and proves it against the turnover.
Closing and settlement columns change meaning with the day: an untraded close is an older
price (NSE) or a computed one (BSE), and on the expiry day the settlement column of an
option, and BSE's close, hold the index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from toolkit.errors import BadData, UnknownSymbol, nearest
from toolkit.market.files import reading, terms
from toolkit.market.schema import CHAIN, EOD, FUTURES, INSTRUMENTS, OPTION_TYPE, SPOT

__all__ = ["COLUMNS", "check_dates", "closing_tables", "judge", "only", "read_udiff"]

COLUMNS: Final = (
    "TradDt",
    "Sgmt",
    "Src",
    "FinInstrmTp",
    "FinInstrmId",
    "TckrSymb",
    "XpryDt",
    "StrkPric",
    "OptnTp",
    "FinInstrmNm",
    "OpnPric",
    "HghPric",
    "LwPric",
    "ClsPric",
    "LastPric",
    "PrvsClsgPric",
    "UndrlygPric",
    "SttlmPric",
    "OpnIntrst",
    "ChngInOpnIntrst",
    "TtlTradgVol",
    "TtlTrfVal",
    "TtlNbOfTxsExctd",
    "NewBrdLotQty",
)
_KINDS: Final = {"IDF": "future", "STF": "future", "IDO": "option", "STO": "option", "STK": "equity", "ETF": "equity"}
_TOLERANCE: Final = 0.02
_MOST_FAILING: Final = 0.01
_PRICES: Final = ("open", "high", "low", "close", "last", "prev_close", "settle", "spot")
_SERIES: Final = ("EQ", "BE")
_FIGURES: Final = (*(c for c in COLUMNS if c.endswith("Pric")), "ChngInOpnIntrst", "TtlTrfVal", "TtlNbOfTxsExctd")


def read_udiff(frame: pl.DataFrame, source: reading.Source, *, underlyings: Sequence[str] = ()) -> reading.Imported:
    """Convert a UDiFF bhavcopy into end-of-day rows and a closing snapshot.

    Parameters
    ----------
    frame : polars.DataFrame
        The file's columns, as text (csv) or typed (a Parquet extract of one or more days).
    source : Source
        The file it came from; a date in its name must be the date inside.
    underlyings : sequence of str, optional
        Keep only these symbols.

    Returns
    -------
    Imported
        Tables ``eod``, ``chain``, ``futures``, ``spot`` and ``instruments``. The closing
        snapshot is stamped at the session's close and has no receive stamp. BSE's stock
        contracts stay in ``eod``: the other tables hold one exchange a symbol.

    Raises
    ------
    BadData
        A column is missing, a day is no session, the name's date differs, no row is usable,
        or the turnover contradicts the volume in more than 1 % of the traded rows.
    UnknownSymbol
        A symbol of ``underlyings`` is not in the file.
    """
    reading.require(frame, COLUMNS, source.name, "a UDiFF bhavcopy")
    rows = _typed(frame)
    rows, skipped = only(rows, underlyings, source.name)
    rows, refused = judge(rows, _rules())
    rows, repeats = reading.sift(rows, {"repeated contract": ~pl.struct(_key()).is_first_distinct()})
    refused = tuple(sorted((*refused, *repeats, *skipped)))
    if rows.is_empty():
        reasons = "; ".join(f"{n} {r}" for r, n in refused) or "the file has no rows"
        raise BadData(f"{source.name} holds no usable row ({reasons})")
    check_dates(rows, source.name)
    rows = _meaning(rows)
    odd = _check_turnover(rows, source.name)
    noted = {"turnover differs from volume by more than 2 %": odd}
    noted["BSE stock contracts kept in eod only"] = rows.filter(_bse_stock()).height
    noted["lot differs from the dated table (the file's is kept)"] = _other_lots(rows)
    noted[reading.UNREADABLE] = reading.unreadable(frame, _FIGURES)
    return reading.Imported(
        format="udiff",
        name=source.name,
        sha256=source.sha256,
        rows_read=frame.height,
        rows_kept=rows.height,
        refused=refused,
        noted=tuple(sorted((k, n) for k, n in noted.items() if n)),
        tables=closing_tables(rows),
        options=(("underlyings", ",".join(sorted(underlyings))),) if underlyings else (),
        chain_kind="eod",
    )


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    def text(column: str) -> pl.Expr:
        return pl.col(column).cast(pl.String).fill_null("").str.strip_chars()

    prices = {
        "open": "OpnPric",
        "high": "HghPric",
        "low": "LwPric",
        "close": "ClsPric",
        "last": "LastPric",
        "prev_close": "PrvsClsgPric",
        "spot": "UndrlygPric",
        "settle": "SttlmPric",
        "turnover": "TtlTrfVal",
        "strike": "StrkPric",
    }
    counts = {
        "token": "FinInstrmId",
        "oi": "OpnIntrst",
        "oi_change": "ChngInOpnIntrst",
        "traded": "TtlTradgVol",
        "trades": "TtlNbOfTxsExctd",
        "lot": "NewBrdLotQty",
    }
    option_type = text("OptnTp").replace({"XX": "", "nan": ""})
    return frame.select(
        reading.day(frame, "TradDt").alias("date"),
        text("Sgmt").alias("sgmt"),
        text("Src").alias("exchange"),
        text("FinInstrmTp").replace_strict(_KINDS, default=None, return_dtype=pl.String).alias("kind"),
        text("FinInstrmTp").str.starts_with("ST").alias("stock"),
        text("TckrSymb").alias("underlying"),
        reading.day(frame, "XpryDt").alias("expiry"),
        option_type.alias("option_text"),
        text("FinInstrmNm").alias("source_symbol"),
        (text("SctySrs") if "SctySrs" in frame.columns else pl.lit("")).alias("series"),
        *[reading.number(frame, theirs).alias(ours) for ours, theirs in prices.items()],
        *[reading.whole(frame, theirs).alias(ours) for ours, theirs in counts.items()],
    ).with_columns(_strike_p())


def _strike_p() -> pl.Expr:
    paise = pl.col("strike") * 100
    exact = ((paise - paise.round()).abs() < 1e-4) & (paise < float(1 << 53))
    return pl.when(exact).then(paise.round()).otherwise(None).cast(pl.Int64, strict=False).alias("strike_p")


def _key() -> list[str]:
    return ["date", "exchange", "kind", "underlying", "expiry", "strike_p", "option_text"]


def _rules() -> dict[str, pl.Expr]:
    option, derivative = pl.col("kind") == "option", pl.col("kind").is_in(["option", "future"])
    own = derivative & ~pl.col("sgmt").eq("FO") | pl.col("kind").eq("equity") & ~pl.col("sgmt").eq("CM")
    other_series = (pl.col("kind") == "equity") & (pl.col("exchange") == "NSE") & ~pl.col("series").is_in(_SERIES)
    return {
        "trade date is not a date": pl.col("date").is_null(),
        "exchange is not NSE or BSE": ~pl.col("exchange").is_in(["NSE", "BSE"]),
        "instrument type is not known": pl.col("kind").is_null(),
        "instrument type is not of its segment": own,
        "symbol is not a name": ~pl.col("underlying").str.contains(reading.SYMBOL),
        "series is not EQ or BE": other_series,
        "token is not a number": pl.col("token").is_null() | (pl.col("token") < 0),
        "expiry is not a date": derivative & pl.col("expiry").is_null(),
        "expiry before the trade date": derivative & (pl.col("expiry") < pl.col("date")),
        "strike is not a positive price": option & (pl.col("strike_p").is_null() | (pl.col("strike_p") <= 0)),
        "option type is not CE or PE": option & ~pl.col("option_text").is_in(["CE", "PE"]),
        "lot is not a positive number": derivative & (pl.col("lot").is_null() | (pl.col("lot") <= 0)),
        "open interest is not a number": derivative & pl.col("oi").is_null(),
        "volume is not a number": pl.col("traded").is_null(),
    }


def judge(rows: pl.DataFrame, rules: dict[str, pl.Expr]) -> tuple[pl.DataFrame, tuple[tuple[str, int], ...]]:
    """Refuse rows by ``rules`` and by what holds for every end-of-day row."""
    negative = pl.any_horizontal([pl.col(c) < 0 for c in _PRICES if c in rows.columns])
    return reading.sift(
        rows,
        {
            **rules,
            "open interest below zero": pl.col("oi") < 0,
            "volume below zero": pl.col("traded") < 0,
            "turnover below zero": pl.col("turnover") < 0,
            "negative price": negative,
            "crossed prices: high below low": (pl.col("high") > 0) & (pl.col("high") < pl.col("low")),
        },
    )


def only(rows: pl.DataFrame, underlyings: Sequence[str], name: str) -> tuple[pl.DataFrame, tuple[tuple[str, int], ...]]:
    """Keep the symbols that were asked for; UnknownSymbol when the file has none of one."""
    if not underlyings:
        return rows, ()
    known = [str(u) for u in rows["underlying"].drop_nulls().unique().sort()]
    for wanted in underlyings:
        if wanted not in known:
            raise UnknownSymbol(f"no symbol {wanted!r} in {name}{nearest(wanted, known)}")
    kept = rows.filter(pl.col("underlying").is_in(list(underlyings)))
    left = rows.height - kept.height
    return kept, ((("symbol not asked for", left),) if left else ())


def check_dates(rows: pl.DataFrame, name: str) -> None:
    """Refuse a file whose name carries another date, or a day without a session."""
    dates = rows["date"].unique().sort().to_list()
    named = reading.dates_in_name(name)
    if len(named) == 1 and dates != named:
        raise BadData(f"{name}: the name says {named[0]}, the rows say {dates[0]}; rename it or download it again")
    for exchange in rows["exchange"].unique().sort().to_list():
        closes = terms.close_stamps(dates, str(exchange))
        closed = closes.filter(pl.col("close_ts").is_null())["date"].to_list()
        if closed:
            raise BadData(f"{name}: {closed[0]} is no session of {exchange} (a holiday or weekend); check the file")


def _meaning(rows: pl.DataFrame) -> pl.DataFrame:
    """Give every column one meaning: units, null for none, settlement apart from premium."""
    bse, traded = pl.col("exchange") == "BSE", pl.col("traded") > 0
    option, ends = pl.col("kind") == "option", pl.col("expiry") == pl.col("date")
    index_close = bse & option & ends
    settled = pl.col("settle").replace(0.0, None)
    volume = pl.when(bse | (pl.col("kind") == "equity")).then(pl.col("traded"))
    return rows.with_columns(
        *[pl.when(pl.col(c) == 0).then(None).otherwise(pl.col(c)).alias(c) for c in ("open", "high", "low", "last")],
        *[pl.when(pl.col(c) == 0).then(None).otherwise(pl.col(c)).alias(c) for c in ("prev_close", "spot")],
        pl.when(traded & ~index_close & (pl.col("close") != 0)).then(pl.col("close")).otherwise(None).alias("close"),
        pl.when(option & ends).then(None).otherwise(settled).alias("settle"),
        pl.when(ends).then(settled).otherwise(None).alias("final_settlement"),
        volume.otherwise(pl.col("traded") * pl.col("lot")).alias("volume"),
        pl.when(pl.col("option_text") == "")
        .then(None)
        .otherwise(pl.col("option_text"))
        .cast(OPTION_TYPE, strict=False)
        .alias("option_type"),
        pl.when(option).then(pl.col("strike_p")).otherwise(None).alias("strike_p"),
    )


def _check_turnover(rows: pl.DataFrame, name: str) -> int:
    """Traded rows whose turnover a volume in other units would explain; refuses the file above 1 %."""
    rows = rows.filter((pl.col("volume") > 0) & (pl.col("turnover") > 0) & pl.col("low").is_not_null())
    if rows.is_empty():
        return 0
    strike = pl.when(pl.col("kind") == "option").then(pl.col("strike_p") / 100).otherwise(0.0)
    paid = pl.col("turnover") / pl.col("volume")
    low, high = (strike + pl.col("low")) * (1 - _TOLERANCE), (strike + pl.col("high")) * (1 + _TOLERANCE)
    failing = rows.filter((paid < low) | (paid > high)).height
    if failing > _MOST_FAILING * rows.height:
        raise BadData(
            f"{name}: turnover contradicts volume in {failing} of {rows.height} traded rows;"
            " volume is in contracts on NSE and in units on BSE: check the column Src"
        )
    return failing


def _other_lots(rows: pl.DataFrame) -> int:
    """Contracts whose lot in the file is not the dated table's, where that knows one."""
    keyed = rows.filter(pl.col("kind") != "equity").select("underlying", "expiry", file_lot="lot", on="date")
    return terms.lots(keyed).filter(pl.col("lot") != pl.col("file_lot")).height


def _bse_stock() -> pl.Expr:
    return (pl.col("exchange") == "BSE") & pl.col("stock")


def closing_tables(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """End-of-day rows in one meaning to the store's tables, with the closing snapshot."""
    dates = rows["date"].unique().sort().to_list()
    made = {"eod": _ordered(rows, EOD, ["date", "exchange", "underlying", "kind", "expiry", "strike_p", "option_type"])}
    made["instruments"] = _instruments(rows)
    parts = []
    for exchange in rows["exchange"].unique().sort().to_list():
        closes = terms.close_stamps(dates, str(exchange))
        own = rows.filter((pl.col("exchange") == exchange) & ~_bse_stock())
        parts.append(own.join(closes, on="date", how="left", maintain_order="left"))
    snap = pl.concat(parts).with_columns(
        ts=pl.col("close_ts"),
        recv_ts=None,
        ltp=pl.coalesce("close", pl.when(pl.col("traded") > 0).then(pl.col("last"))),
        bid=None,
        ask=None,
        bid_qty=None,
        ask_qty=None,
        source_iv=None,
    )
    futures = snap.filter(pl.col("kind") == "future")
    made["futures"] = _ordered(futures, FUTURES, ["ts", "underlying", "expiry"])
    made["chain"] = _chain(snap.filter(pl.col("kind") == "option"), futures)
    made["spot"] = _spot(snap)
    return {name: frame for name, frame in made.items() if frame.height}


def _chain(options: pl.DataFrame, futures: pl.DataFrame) -> pl.DataFrame:
    own = futures.select("date", "underlying", "expiry", futures=pl.col("ltp"))
    options = options.join(own, on=["date", "underlying", "expiry"], how="left", maintain_order="left")
    return _ordered(options, CHAIN, ["ts", "underlying", "expiry", "strike_p", "option_type"])


def _spot(snap: pl.DataFrame) -> pl.DataFrame:
    unknown = pl.lit(None, pl.Float64)
    columns = ["ts", "underlying", "ltp", "open", "high", "low"]
    closes = snap.filter(pl.col("kind") != "equity").with_columns(ltp="spot", open=unknown, high=unknown, low=unknown)
    cash = snap.filter((pl.col("kind") == "equity") & (pl.col("exchange") == "NSE"))
    both = pl.concat([closes.select(columns), cash.select(columns)]).drop_nulls("ltp")
    both = both.unique(["ts", "underlying"], keep="last", maintain_order=True).with_columns(recv_ts=None)
    return _ordered(both, SPOT, ["ts", "underlying"])


def _instruments(rows: pl.DataFrame) -> pl.DataFrame:
    places = pl.format("{}_{}", "exchange", "sgmt")
    rows = rows.with_columns(
        valid_on=pl.col("date"),
        segment=places,
        tick_p=None,
        freeze_qty=None,
        symbol=terms.symbols(rows),
    )
    rows = terms.with_dated_terms(rows)
    return _ordered(rows, INSTRUMENTS, ["valid_on", "exchange", "segment", "token", "symbol"])


def _ordered(rows: pl.DataFrame, schema: pl.Schema, by: list[str]) -> pl.DataFrame:
    return rows.select([pl.col(c).cast(t) for c, t in schema.items()]).sort(by, maintain_order=True)
