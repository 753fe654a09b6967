"""Extreme loss margins: ``ael_DDMMYYYY.csv`` by symbol, ``F_AEL_OPT_CONTRACTS_DDMMYYYY.CSV`` by contract.

The first is known (the name of its additional column carries the date). The second has been
seen by nobody here: its columns are found by name, and a file whose columns do not say what is
needed is refused with its header.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

import polars as pl

from toolkit.errors import BadData
from toolkit.market.files import reading
from toolkit.market.schema import MARGINS

__all__ = ["is_elm", "read_elm"]

_TOTAL: Final = "Total applicable ELM%"
_ADDED: Final = "Additional ELM% for Trade Date"
_KINDS: Final = {"OTH": "other", "OTM": "far"}
_WANTED: Final = {
    "symbol": r"^(symbol|tckrsymb|underlying)$",
    "expiry": r"^(expiry|expirydate|xprydt|expdate)$",
    "strike": r"^(strike|strikeprice|strkpric)$",
    "side": r"^(optiontype|optntp|opttype|callput)$",
    "percent": r"elm|ael|margin.*%|percent|rate",
}
_DAYS: Final = ("%Y-%m-%d", "%d-%b-%Y", "%d%b%Y", "%d-%m-%Y", "%d/%m/%Y", "%Y%m%d")


def is_elm(source: reading.Source) -> bool:
    """Whether the file is one, by its header or its name."""
    names = reading.header_of(source.body, source.name)
    return _TOTAL in names or source.name.upper().startswith(("AEL_", "F_AEL_OPT_CONTRACTS"))


def read_elm(frame: pl.DataFrame, source: reading.Source) -> reading.Imported:
    """Convert a file of extreme loss margins into the table ``margin_rates``, fractions of notional.

    Raises
    ------
    BadData
        Columns that do not say symbol and percent (the header is named), a date that is missing or differs
        from the name's, or no usable row.
    """
    if _TOTAL in frame.columns:
        rows, date = _by_symbol(frame, source)
    else:
        rows, date = _by_contract(frame, source)
    kept, refused = reading.sift(
        rows,
        {
            "no symbol": ~pl.col("underlying").fill_null("").str.contains(reading.SYMBOL),
            "instrument type is neither OTH nor OTM": pl.col("kind").is_null(),
            "percent is not a number from 0 to 100": ~pl.col("percent").is_between(0.0, 100.0).fill_null(False),
            "expiry is not a date": (pl.col("kind") == "contract") & pl.col("expiry").is_null(),
            "repeated": ~pl.struct("underlying", "kind", "expiry", "strike_p", "option_type").is_first_distinct(),
        },
    )
    if kept.is_empty():
        reasons = "; ".join(f"{n} {r}" for r, n in refused) or "the file has no rows"
        raise BadData(f"{source.name} holds no usable row ({reasons})")
    made = kept.with_columns(
        date=pl.lit(date), exchange=pl.lit("NSE"), revision=pl.lit("elm"), source=pl.lit(source.name),
        rate=pl.col("percent") / 100.0,
    )  # fmt: skip
    schema = MARGINS["margin_rates"]
    return reading.Imported(
        format="elm",
        name=source.name,
        sha256=source.sha256,
        rows_read=frame.height,
        rows_kept=kept.height,
        refused=refused,
        tables={"margin_rates": made.select([pl.col(c).cast(t) for c, t in schema.items()])},
    )


def _by_symbol(frame: pl.DataFrame, source: reading.Source) -> tuple[pl.DataFrame, dt.date]:
    reading.require(frame, ("Symbol", "Instrument Type", _TOTAL), source.name, "a file of extreme loss margins")
    added = [name for name in frame.columns if name.startswith(_ADDED)]
    inside = [_date(name.removeprefix(_ADDED).strip()) for name in added]
    date = _one_date(source, next((day for day in inside if day is not None), None))
    kind = pl.col("Instrument Type").str.strip_chars().str.to_uppercase()
    rows = frame.select(
        underlying=pl.col("Symbol").str.strip_chars().str.to_uppercase(),
        kind=kind.replace_strict(_KINDS, default=None, return_dtype=pl.String),
        expiry=pl.lit(None, pl.Date),
        strike_p=pl.lit(None, pl.Int64),
        option_type=pl.lit(None, pl.String),
        percent=reading.number(frame, _TOTAL),
    )
    return rows, date


def _by_contract(frame: pl.DataFrame, source: reading.Source) -> tuple[pl.DataFrame, dt.date]:
    found = {want: _column(frame.columns, pattern) for want, pattern in _WANTED.items()}
    if found["symbol"] is None or found["percent"] is None or found["expiry"] is None:
        lacking = " and ".join(want for want in ("symbol", "expiry", "percent") if found[want] is None)
        raise BadData(
            f"{source.name}: no column says the {lacking}; its header is {','.join(frame.columns)[:200]};"
            " the layout is not published here, please report it"
        )

    def text(want: str) -> pl.Expr:
        name = found[want]
        return pl.lit("") if name is None else pl.col(name).fill_null("").str.strip_chars().str.to_uppercase()

    strike = pl.lit(None, pl.Float64) if found["strike"] is None else reading.number(frame, str(found["strike"]))
    side = text("side").str.slice(0, 2).replace({"CA": "CE", "PU": "PE", "C": "CE", "P": "PE"})
    rows = frame.select(
        underlying=text("symbol"),
        kind=pl.lit("contract"),
        expiry=reading.day(frame, str(found["expiry"]), *_DAYS),
        strike_p=pl.when(side.is_in(["CE", "PE"])).then((strike * 100).round()).cast(pl.Int64),
        option_type=pl.when(side.is_in(["CE", "PE"])).then(side),
        percent=reading.number(frame, str(found["percent"])),
    )
    return rows, _one_date(source, None)


def _column(names: list[str], pattern: str) -> str | None:
    """The last column whose name, blanks and points aside, fits: totals stand after their parts."""
    fit = [name for name in names if re.search(pattern, re.sub(r"[\s._]", "", name).lower())]
    return fit[-1] if fit else None


def _one_date(source: reading.Source, inside: dt.date | None) -> dt.date:
    named = reading.dates_in_name(source.name)
    if inside is None and not named:
        raise BadData(
            f"{source.name} says its date neither in its name nor inside; name it as downloaded (ael_DDMMYYYY.csv)"
        )
    if inside is not None and named and named[0] != inside:
        raise BadData(f"{source.name} is of {inside} inside, its name says {named[0]}; download it again")
    return inside or named[0]


def _date(text: str) -> dt.date | None:
    for form in ("%d-%b-%Y", "%d-%B-%Y", "%Y-%m-%d"):
        try:
            return dt.datetime.strptime(text, form).date()  # noqa: DTZ007
        except ValueError:
            continue
    return None
