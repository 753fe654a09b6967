"""A paper broker on one instant of a recorded session: its contracts, quotes, hours and margin terms."""

from __future__ import annotations

import datetime as dt
import math

import polars as pl

from toolkit import tables
from toolkit.brokers.paper import PaperBroker
from toolkit.calendar import ist_date, ist_ns, read_clock
from toolkit.errors import BadData
from toolkit.market.files.terms import symbols
from toolkit.risk.margin import default_params
from toolkit.sim.roster import make_roster
from toolkit.store.session import Session

__all__ = ["paper_on"]

_VOL = 0.15


def paper_on(session: Session, at: str | None = None, *, account: str = "PAPER", funds_p: int = 10**9) -> PaperBroker:
    """Make a paper broker that stands still at one instant of a session.

    Parameters
    ----------
    session : Session
    at : str, optional
        ``11:05`` or ``2026-07-13 11:05``, Indian time; default: 11:00 on the last day.

    Raises
    ------
    BadData
        When the session has no day, or no quote had been received by then.
    """
    days = session.dates()
    if not days:
        raise BadData(f"session {session.name} has no days; record or generate one first")
    now_ns = _instant(at, days[-1])
    day = ist_date(now_ns)
    parts = [session.chain(at=now_ns, underlying=u) for u in session.underlyings()]
    chain = pl.concat([p for p in parts if p.height]) if any(p.height for p in parts) else pl.DataFrame()
    if chain.is_empty() or chain["ts"].dt.date().max() != day:
        raise BadData(f"session {session.name} has no quote on {day} by then; choose another --at")
    spots = chain["underlying"].unique().to_list()
    roster = make_roster(session.instruments(), spots, day)
    listed = {row.instrument.symbol: row for row in roster.rows}
    chain = chain.with_columns(kind=pl.lit("option"))
    chain = chain.with_columns(symbol=symbols(chain)).filter(pl.col("symbol").is_in(list(listed)))
    broker = PaperBroker(
        account, instruments=[row.instrument for row in roster.rows], funds_p=funds_p, clock=lambda: now_ns
    )
    exchange = listed[chain["symbol"][0]].instrument.exchange
    broker.set_session(*tables.calendar(exchange).bounds_ns(day))
    broker.set_day(day, {name: tables.calendar(name) for name in ("NSE", "BSE")})
    for underlying, level in chain.group_by("underlying").agg(pl.col("spot").last()).sort("underlying").iter_rows():
        if level is not None and math.isfinite(level) and level > 0:
            broker.set_span({underlying: default_params(level, _VOL, on=day, stock=tables.is_share(underlying))})
    keys = [listed[s].key for s in chain["symbol"].to_list()]
    columns = [
        chain[c].cast(pl.Float64).fill_null(math.nan).to_numpy() for c in ("bid", "bid_qty", "ask", "ask_qty", "ltp")
    ]
    broker.on_quotes(now_ns, keys, *columns)
    return broker


def _instant(at: str | None, day: dt.date) -> int:
    if at is None:
        return ist_ns(day, dt.time(11))
    try:
        if len(at) <= 8:
            return ist_ns(day, read_clock(at))
        moment = dt.datetime.fromisoformat(at)
    except ValueError:
        raise BadData(f"--at must be a time such as 11:05 or '2026-07-13 11:05', was {at!r}") from None
    return ist_ns(moment.date(), moment.time())
