"""Positions, P&L and charges of executed trades.

Names are imported at once, not lazily: a function such as ``charges`` shares its name with
the module it lives in, and a module loaded later would take the name over.
"""

from __future__ import annotations

import datetime as dt

import polars as pl

from toolkit import defaults
from toolkit.portfolio import charges as _charges
from toolkit.portfolio.charges import ChargeSchedule
from toolkit.portfolio.positions import PositionBook, positions

__all__ = ["ChargeSchedule", "PositionBook", "charges", "charges_by_fill", "positions"]


def charges(
    fills: pl.DataFrame, on: dt.date | None, plan: str = "discount", *, schedule: ChargeSchedule | None = None
) -> pl.DataFrame:
    """Work out the contract notes of a fills frame under the shipped schedule, or the one given.

    See `toolkit.portfolio.charges.charges`.
    """
    return _charges.charges(fills, on, plan, schedule=defaults.get("charges") if schedule is None else schedule)


def charges_by_fill(
    fills: pl.DataFrame, on: dt.date | None, plan: str = "discount", *, schedule: ChargeSchedule | None = None
) -> pl.DataFrame:
    """Split the contract notes of `charges` over their fills, summing to the paisa.

    See `toolkit.portfolio.charges.charges_by_fill`.
    """
    return _charges.charges_by_fill(fills, on, plan, schedule=defaults.get("charges") if schedule is None else schedule)
