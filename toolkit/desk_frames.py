"""The desk's answers as polars frames: their columns, also when there is no row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

__all__ = [
    "BY_STRATEGY",
    "DIFFERENCES",
    "FILLS",
    "LIMITS",
    "LOCKS",
    "MARGIN",
    "ORDERS",
    "PNL",
    "POSITIONS",
    "chain_frame",
    "frame",
    "greeks",
    "margin_row",
    "stamped",
    "strategy_rows",
]

_TEXT, _INT, _REAL = pl.String(), pl.Int64(), pl.Float64()


def _schema(text: str) -> pl.Schema:
    """Columns from words: ``name`` is text, ``name#`` an integer, ``name~`` a real number."""
    kinds: dict[str, Any] = {"#": _INT, "~": _REAL}
    return pl.Schema({word.rstrip("#~"): kinds.get(word[-1], _TEXT) for word in text.split()})


ORDERS: Final = _schema(
    "cl_ord_id order_id exch_order_id account broker symbol exchange side order_qty# ord_type price~ stop_px~ "
    "time_in_force product ord_status cum_qty# leaves_qty# avg_px~ text parent_id created_ns# updated_ns#"
)
FILLS: Final = _schema("exec_id cl_ord_id order_id account broker symbol exchange side last_qty# last_px~ exec_ns#")
POSITIONS: Final = _schema(
    "account broker symbol exchange underlying expiry net_qty# lot# avg_px~ ltp~ unrealized~ realized~ "
    "delta~ theta_day~"
)
PNL: Final = _schema("account broker realized~ unrealized~ gross~ charges~ net~")
MARGIN: Final = _schema(
    "account broker cash~ used~ available~ collateral~ ours~ label cash_short~ short~ interest_a_day~ "
    "peak_required~ peak_shortfall~ peak_penalty~ peak_window"
)
BY_STRATEGY: Final = _schema("account strategy margin~")
LOCKS: Final = _schema("account lock_id rule scope state text rearm since_ns# until_ns#")
LIMITS: Final = _schema("account limit value used~")
DIFFERENCES: Final = _schema("account kind cl_ord_id symbol ours theirs text")
_WHOLE: Final = ("spot", "forward", "tte", "lot", "ts_ns", "stale")


def greeks(groups: Sequence[str]) -> pl.Schema:
    """Columns of net Greeks by groups."""
    figures = "delta~ gamma~ vega_pt~ theta_day~ rho~ delta_value~ delta_low~ delta_high~ positions# unknown#"
    return _schema(f"{' '.join(groups)} {figures}")


def margin_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """An account's margin as one row: how it is covered and the day's peak beside it."""
    covered, peak = row["funding"] or {}, row["peak"] or {}
    flat = {name: covered.get(name) for name in ("cash_short", "short", "interest_a_day")}
    return {**row, **flat, **{f"peak_{name}": value for name, value in peak.items()}}


def strategy_rows(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """An account's margin, a row a strategy; one without a name is the whole."""
    parts = {**row["strategies"], "": row["ours"]}
    return [{"account": row["account"], "strategy": name, "margin": value} for name, value in parts.items()]


def frame(rows: Sequence[Mapping[str, Any]], shape: pl.Schema) -> pl.DataFrame:
    """Rows in the columns of a shape; what a row lacks is null."""
    columns = {name: [_cell(row.get(name), kind) for row in rows] for name, kind in shape.items()}
    return pl.DataFrame(columns, schema=shape)


def _cell(value: Any, kind: Any) -> Any:
    if value is None:
        return None
    if kind == _TEXT:
        return str(value)
    return float(value) if kind == _REAL else value


def chain_frame(view: Mapping[str, Any]) -> pl.DataFrame:
    """A chain's rows with what belongs to the whole in every row: spot, forward, tte, lot, stamp."""
    made = pl.DataFrame(list(view["rows"]), infer_schema_length=None)
    whole = [pl.lit(view[name]).alias(name) for name in _WHOLE]
    head = [pl.lit(view["underlying"]).alias("underlying"), pl.lit(view["expiry"]).str.to_date().alias("expiry")]
    return made.with_columns(*head, *whole)


def stamped(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows of the open-interest views, their stamps as Indian time whether they came as text or not."""
    made = pl.DataFrame(list(rows), infer_schema_length=None)
    for name, kind in made.schema.items():
        if name in ("ts", "base_ts") and kind == pl.String:
            made = made.with_columns(pl.col(name).str.to_datetime(time_zone="Asia/Kolkata", time_unit="us"))
        elif name == "expiry" and kind == pl.String:
            made = made.with_columns(pl.col(name).str.to_date())
    return made
