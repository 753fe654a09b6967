"""Load one day of a session into a simulated world."""

from __future__ import annotations

import datetime as dt

import polars as pl

from toolkit import tables
from toolkit.calendar import IST, ist_date, ist_ns, read_clock
from toolkit.errors import BadData
from toolkit.risk.margin import Leg, default_params, span_margin
from toolkit.sim.roster import Roster, make_roster
from toolkit.sim.tape import make_tape
from toolkit.sim.world import World
from toolkit.store.session import Session

__all__ = ["load_world", "read_at", "warm"]

_TABLES = ("chain", "futures", "spot", "ticks")


def load_world(session: Session, on: dt.date | None = None) -> World:
    """Load the day ``on`` (default: the last one recorded) of every underlying.

    Raises
    ------
    BadData
        When the session has no such day, or no quotes or contracts on it.
    """
    days = session.dates()
    if not days:
        raise BadData(f"session {session.name} has no days; record or generate one first")
    day = days[-1] if on is None else on
    if day not in days:
        raise BadData(f"{day} is not in session {session.name}; its days are {days[0]} to {days[-1]} ({len(days)})")
    frames = {table: session.frame(table, date=day) for table in _TABLES}
    if frames["spot"].is_empty():
        frames["spot"] = _spots(frames["chain"])
    spots = frames["spot"]["underlying"].unique().to_list()
    roster = make_roster(session.instruments(), spots, day)
    tape = make_tape(frames, roster)
    exchanges = sorted({row.instrument.exchange for row in roster.rows if row.instrument.expiry is not None})
    bounds = [tables.calendar(exchange).bounds_ns(day) for exchange in exchanges]
    return World(roster, tape, (min(b[0] for b in bounds), max(b[1] for b in bounds)), _closes(session, roster, day))


def read_at(text: str | None, world: World) -> int:
    """The starting instant in nanoseconds: a time of the day, a full ISO time, or None for the default.

    The default is a minute after the first ticks where the session has any (there the market
    moves every second), else five minutes after its first snapshot.
    """
    day = ist_date(world.bounds[0])
    if text is None:
        ticks = world.tape.rows["recv_ns"][world.tape.rows["source"] == _TABLES.index("ticks")]
        first = int(ticks[0]) + 60 * 10**9 if len(ticks) else world.tape.first_ns + 300 * 10**9
        return min(max(first, world.bounds[0]), world.tape.last_ns)
    try:
        if "-" in text or "/" in text:
            moment = dt.datetime.fromisoformat(text)
            local = moment if moment.tzinfo is None else moment.astimezone(IST)
        else:
            local = dt.datetime.combine(day, read_clock(text))
    except ValueError:
        raise BadData(f"--at must be a time such as 11:05 or 2026-07-13T11:05, was {text!r}") from None
    if local.date() != day:
        raise BadData(f"--at {text} is not on the session's day {day}; leave the date out or choose that day")
    return ist_ns(local.date(), local.time())


def warm() -> None:
    """Compile the margin kernels before the first client waits for them."""
    leg = Leg(underlying="X", cp=1, qty=-1, tte=0.02, strike=100.0, mark=1.0)
    span_margin([leg, Leg(underlying="X", cp=0, qty=1, tte=0.1)], default_params(100.0, 0.15))


def _spots(chain: pl.DataFrame) -> pl.DataFrame:
    """The spot that each snapshot of a chain names, for a session without a table of its own."""
    rows = chain.filter(pl.col("spot") > 0).select("ts", "recv_ts", "underlying", ltp="spot")
    return rows.unique(["ts", "recv_ts", "underlying"], keep="first", maintain_order=True)


def _closes(session: Session, roster: Roster, day: dt.date) -> dict[int, float]:
    """Previous closes: of contracts by the day's official file, of an index as the session knows the day before."""
    keys = roster.source_keys()
    rows = session.frame("eod", date=day).filter(pl.col("prev_close") > 0)
    found = rows.join(keys, on=["underlying", "token"], how="inner").select("key", "prev_close")
    closes = dict(found.iter_rows())
    for underlying, spot in roster.spots.items():
        close = _close_before(session, underlying, spot.instrument.exchange, day)
        if close is not None:
            closes[spot.key] = close
    return closes


def _close_before(session: Session, underlying: str, exchange: str, day: dt.date) -> float | None:
    """An underlying's value at the end of the trading day before: the official file's, else the last one recorded."""
    try:
        before = tables.calendar(exchange).previous(day)
    except BadData:
        return None  # the calendar does not reach that far
    if before not in session.dates(underlying):
        return None
    for table, column in (("eod", "spot"), ("spot", "ltp"), ("chain", "spot")):
        frame = session.frame(table, underlying, before).filter(pl.col(column) > 0)
        if frame.height:
            return float((frame.sort("ts") if "ts" in frame.columns else frame)[column][-1])
    return None
