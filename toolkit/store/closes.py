"""An underlying's past closes in a session store, by day."""

from __future__ import annotations

import datetime as dt
from typing import Final

import polars as pl

from toolkit.store.session import Session

__all__ = ["past_closes"]

_DAYS: Final = 251
_FROM: Final = (("eod", "spot"), ("spot", "ltp"))


def past_closes(session: Session, underlying: str, before: dt.date, most: int = _DAYS) -> dict[dt.date, float]:
    """Closes of the last days before a day: the official file's, else the last value recorded.

    Parameters
    ----------
    session : Session
    underlying : str
    before : date
        This day and later ones are left out.
    most : int
        The newest so many days.
    """
    if underlying not in session.underlyings():
        return {}
    found: dict[dt.date, float] = {}
    for day in [d for d in session.dates(underlying) if d < before][-most:]:
        for table, column in _FROM:
            frame = session.frame(table, underlying, day).filter(pl.col(column) > 0)
            if frame.height:
                found[day] = float((frame.sort("ts") if "ts" in frame.columns else frame)[column][-1])
                break
    return found
