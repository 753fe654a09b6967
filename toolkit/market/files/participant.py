"""Participant-wise open interest and volume: who is long and short which product.

``fao_participant_oi_DDMMYYYY.csv`` and ``..._vol_...``: a title line that holds the date,
a padded header, rows Client, DII, FII, Pro and TOTAL. Figures are contracts of mixed lots
over all underlyings and stay contracts.
"""

from __future__ import annotations

import re
from typing import Final

import polars as pl

from toolkit.errors import BadData
from toolkit.market.files import reading, terms
from toolkit.market.schema import PARTICIPANTS

__all__ = ["is_participant", "read_participant"]

_TITLE: Final = re.compile(r"Participant wise (Open Interest|Trading Volumes?)", re.IGNORECASE)
_DAY: Final = re.compile(r"([A-Z][a-z]{2,8})\.? (\d{1,2}), ?(\d{4})")
_WHO: Final = ("Client", "DII", "FII", "Pro", "TOTAL")
_PRODUCTS: Final = {
    "Future Index": "future_index",
    "Future Stock": "future_stock",
    "Option Index Call": "option_index_call",
    "Option Index Put": "option_index_put",
    "Option Stock Call": "option_stock_call",
    "Option Stock Put": "option_stock_put",
}
_TOTALS: Final = {
    "Total Long Contracts": ("total", "long"),
    "Total Short Contracts": ("total", "short"),
}
_COLUMNS: Final = {
    **{f"{name} {side}": (key, side.lower()) for name, key in _PRODUCTS.items() for side in ("Long", "Short")},
    **_TOTALS,
}


def is_participant(source: reading.Source) -> bool:
    """Whether a file has the title or the header of the participant-wise report."""
    head = source.body[:2048]
    return _TITLE.search(head.decode("latin-1")) is not None or b"Client Type," in head


def read_participant(source: reading.Source) -> reading.Imported:
    """Convert a participant-wise report into the table ``participants``.

    Raises
    ------
    BadData
        Without title, date, a column or a usable row; the day is no session or not the name's.
    """
    lines = reading.text_of(source.body, source.name).split("\n")
    title, at = _title(lines, source.name)
    day = _date(title, source.name)
    frame = reading.csv_frame("\n".join(lines[at + 1 :]).encode(), source.name)
    frame = frame.rename({name: " ".join(name.split()) for name in frame.columns})
    reading.require(frame, ["Client Type", *_COLUMNS], source.name, "a participant-wise report")
    _check_day(day, source.name)
    measure = "oi" if "open interest" in title.lower() else "volume"
    rows = frame.select(
        pl.col("Client Type").str.strip_chars().str.strip_chars('"').alias("who"),
        *[reading.whole(frame, name).alias(name) for name in _COLUMNS],
    )
    figures = [pl.col(name) for name in _COLUMNS]
    kept, refused = reading.sift(
        rows,
        {
            "participant is not known": ~pl.col("who").is_in(_WHO),
            "figure is not a whole number": pl.any_horizontal([figure.is_null() for figure in figures]),
            "figure below zero": pl.any_horizontal([figure < 0 for figure in figures]),
            "repeated participant": ~pl.col("who").is_first_distinct(),
        },
    )
    if kept.is_empty():
        reasons = "; ".join(f"{n} {r}" for r, n in refused) or "the file has no rows"
        raise BadData(f"{source.name} holds no usable row ({reasons})")
    return reading.Imported(
        format="participant",
        name=source.name,
        sha256=source.sha256,
        rows_read=frame.height,
        rows_kept=kept.height,
        refused=refused,
        noted=_unequal(kept),
        tables={"participants": _long(kept).select(_finished(day, measure))},
    )


def _title(lines: list[str], name: str) -> tuple[str, int]:
    for at, line in enumerate(lines[:3]):
        if _TITLE.search(line):
            return line, at
    raise BadData(f"{name} has no title 'Participant wise ... as on Jul 28, 2026', which holds the date")


def _date(title: str, name: str) -> object:
    found = _DAY.search(title)
    text = " ".join([found.group(1)[:3], *found.groups()[1:]]) if found else ""
    day = pl.Series([text]).str.to_date("%b %d %Y", strict=False)[0]
    if day is None:
        raise BadData(f"{name}: the title must hold a date such as Jul 28, 2026, was {title.strip()[:100]!r}")
    named = reading.dates_in_name(name)
    if len(named) == 1 and named[0] != day:
        raise BadData(f"{name}: the name says {named[0]}, the title says {day}; rename it or download it again")
    return day


def _check_day(day: object, name: str) -> None:
    closes = terms.close_stamps([day])  # type: ignore[list-item]
    if closes["close_ts"][0] is None:
        raise BadData(f"{name}: {day} is no session of NSE (a holiday or weekend); check the file")


def _long(rows: pl.DataFrame) -> pl.DataFrame:
    long = rows.unpivot(list(_COLUMNS), index="who", variable_name="column", value_name="contracts")
    product = {name: key for name, (key, _) in _COLUMNS.items()}
    side = {name: side for name, (_, side) in _COLUMNS.items()}
    return long.with_columns(
        instrument=pl.col("column").replace_strict(product, return_dtype=pl.String),
        side=pl.col("column").replace_strict(side, return_dtype=pl.String),
    )


def _finished(day: object, measure: str) -> list[pl.Expr]:
    made = {"date": pl.lit(day), "measure": pl.lit(measure), "crore": pl.lit(None)}
    return [made.get(c, pl.col(c)).cast(t).alias(c) for c, t in PARTICIPANTS.items()]


def _unequal(rows: pl.DataFrame) -> tuple[tuple[str, int], ...]:
    """Columns whose parts miss the printed TOTAL: real in the exchange's own file, by 1."""
    parts, total = rows.filter(pl.col("who") != "TOTAL"), rows.filter(pl.col("who") == "TOTAL")
    if total.height != 1 or parts.height != len(_WHO) - 1:
        return ()
    missed = sum(int(parts[name].sum()) != int(total[name][0]) for name in _COLUMNS)
    return (("columns whose parts miss TOTAL", missed),) if missed else ()
