"""What was odd in a session's data and what was done about it: rule, count, detail."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from toolkit.calendar import to_ist
from toolkit.market.chain import DayChain

Bools = npt.NDArray[np.bool_]
__all__ = ["QUALITY", "day_quality", "own_days", "summed"]

QUALITY: Final[Any] = pl.Schema({"rule": pl.String, "count": pl.Int64, "detail": pl.String})
_COUNTED_BY_CLEANING: Final = ("repeated stamp", "received on a day that is no session", "backward stamp")


def own_days(clean: pl.DataFrame, is_session: Callable[[dt.date], bool]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Keep rows that were received on the day they are stamped; a later copy of a closed day is no market.

    Returns
    -------
    rows : DataFrame
    quality : DataFrame
        One row a receive date that was dropped, none otherwise.
    """
    stamped, received = pl.col("ts").dt.date(), pl.coalesce("recv_ts", "ts").dt.date()
    other = clean.filter(stamped != received)
    rows = []
    for date, part in sorted(other.group_by(received.alias("on")), key=lambda group: str(group[0])):
        on = date[0]
        assert isinstance(on, dt.date)
        kind = "a trading day" if is_session(on) else "which is no trading day"
        rows.append(("stale_copy", part.height, f"received on {on}, {kind}"))
    return clean.filter(stamped == received), pl.DataFrame(rows, schema=QUALITY, orient="row")


def day_quality(chain: DayChain, clean: pl.DataFrame, day: dt.date, gap_s: float) -> pl.DataFrame:
    """Count what a day's chains show: gaps, strikes that appear late, crossed quotes, late feed."""
    rows = [_gaps(chain, gap_s), _late_strikes(chain), _crossed(clean), _feed_delay(chain)]
    frame = pl.DataFrame([row for row in rows if row[1]], schema=QUALITY, orient="row")
    return frame.with_columns(pl.format("{}: {}", pl.lit(str(day)), pl.col("detail")).alias("detail"))


def summed(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Put the counts of several days and stages together; rules that found nothing are left out."""
    whole = pl.concat([part.cast(QUALITY) for part in parts if part.height] or [pl.DataFrame(schema=QUALITY)])
    whole = whole.filter((pl.col("count") > 0) & ~pl.col("rule").is_in(_COUNTED_BY_CLEANING))
    details = pl.col("detail").filter(pl.col("detail") != "").unique(maintain_order=True).str.join("; ")
    return whole.group_by("rule", maintain_order=True).agg(pl.col("count").sum(), details)


def _gaps(chain: DayChain, gap_s: float) -> tuple[str, int, str]:
    pauses = np.diff(chain.ts_ns)
    long = np.flatnonzero(pauses > gap_s * 1e9)
    told = [
        f"{to_ist(int(chain.ts_ns[i])):%H:%M:%S} to {to_ist(int(chain.ts_ns[i + 1])):%H:%M:%S} "
        f"({pauses[i] / 6e10:.0f} min)"
        for i in long[:5]
    ]
    return "gap", len(long), ", ".join(told)


def _late_strikes(chain: DayChain) -> tuple[str, int, str]:
    told, count = [], 0
    for expiry in chain.expiries:
        one = chain.days[expiry]
        listed: Bools = np.any(one.present, axis=1)
        late = np.flatnonzero(~listed[0])
        count += len(late)
        for column in late[:3]:
            at = int(np.argmax(listed[:, column]))
            told.append(f"{expiry} {one.strikes[column]:g} at {to_ist(int(one.ts_ns[at])):%H:%M:%S}")
    return "strike_listed_mid_day", count, ", ".join(told[:5])


def _crossed(clean: pl.DataFrame) -> tuple[str, int, str]:
    crossed = clean.filter((pl.col("ask") > 0) & (pl.col("bid") > pl.col("ask")))
    return "crossed_quote", crossed.height, "bid above ask, taken as no quote"


def _feed_delay(chain: DayChain) -> tuple[str, int, str]:
    early = int((chain.recv_ns < chain.ts_ns).sum())
    return "received_before_stamped", early, "snapshots whose receiver's clock was behind the exchange's"
