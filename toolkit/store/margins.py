"""Imported margin files of a session as parameters of the margin room."""

from __future__ import annotations

import datetime as dt
import math

import msgspec
import polars as pl

from toolkit import defaults, tables
from toolkit.errors import BadData, nearest
from toolkit.risk.rates import MarginRates
from toolkit.risk.span import FiledContract, SpanParams, Spread
from toolkit.store.session import Session

__all__ = ["exposure_rates", "filed_params", "newest_params"]

_OLDEST_DAYS = 7


def filed_params(
    session: Session,
    underlying: str,
    on: dt.date,
    *,
    stock: bool = False,
    revision: str | None = None,
    rates: MarginRates | None = None,
) -> tuple[SpanParams | None, list[str]]:
    """Make parameters from the imported file of a day.

    Parameters
    ----------
    session : Session
        A store into which ``toolkit import span`` has put files.
    underlying, on : str, date
        Whose parameters, of which day.
    stock : bool
        Whether the underlying is a share.
    revision : str, optional
        ``s``, or ``i1`` to ``i5``; default: the settlement file, else the last within the day.
    rates : MarginRates, optional
        Dated rates of what the file does not hold (exposure, expiry addition, delivery).

    Returns
    -------
    tuple of SpanParams or None, and notes
        None when the session has no file of that day; the notes say which one was taken, or why none.
    """
    frame = _table(session, "margin", underlying, on)
    if frame.is_empty():
        return None, []
    held = sorted(frame["revision"].to_list(), key=_late)
    if revision is not None and revision not in held:
        raise BadData(
            f"session {session.name} has no revision {revision!r} of {underlying} on {on}"
            f"{nearest(revision, held)}; it has {', '.join(held)}"
        )
    taken = revision or held[-1]
    row = frame.filter(pl.col("revision") == taken).row(0, named=True)
    known: MarginRates = defaults.get("margins") if rates is None else rates
    kind = "stock" if stock else "index"

    def of(item: str, otherwise: float | None = None) -> float:
        return known.rate(item, kind, on, otherwise)

    vol = float(row["vol"])
    params = SpanParams(
        spot=float(row["spot"]),
        vol=vol if vol > 0.0 else math.nan,
        price_scan=float(row["price_scan"]),
        vol_scan=float(row["vol_scan"]),
        rate=float(row["rate"]),
        exposure_rate=of("exposure"),
        far_rate=of("exposure_far", 0.0),
        far_from=of("exposure_far_from", math.inf),
        short_option_rate=float(row["short_option_minimum"]) / float(row["spot"]),
        expiry_rate=of("expiry_addon"),
        calendar_rate=of("calendar_spread"),
        calendar_on_expiry=of("calendar_on_expiry") > 0.0,
        delivery=tuple(of(f"delivery_{n}", 0.0) for n in range(5)) if stock else (),
        stock=stock,
        calibrated=True,
        on=on,
        source=str(row["source"]),
        filed=_contracts(session, underlying, on, taken),
        spreads=_spreads(session, underlying, on, taken),
    )
    others = ", ".join(name for name in held if name != taken)
    note = f"{underlying}: parameters of {row['source']}" + (f" (also imported: {others})" if others else "")
    return exposure_rates(params, session, underlying, on), [note]


def newest_params(session: Session, on: dt.date) -> tuple[dict[str, SpanParams], list[str]]:
    """Parameters of every underlying from its newest imported file up to a day, at most a week old.

    Returns
    -------
    params by underlying, notes
        The notes say which files were taken.
    """
    newest: dict[str, dt.date] = {}
    for day, underlying in session.parts("margin"):
        if on - dt.timedelta(days=_OLDEST_DAYS) <= day <= on:
            newest[underlying] = max(day, newest.get(underlying, day))
    found, notes = {}, []
    for underlying, day in sorted(newest.items()):
        params, said = filed_params(session, underlying, day, stock=tables.is_share(underlying))
        notes += said
        if params is not None:
            found[underlying] = params
    return found, notes


def exposure_rates(params: SpanParams, session: Session, underlying: str, on: dt.date) -> SpanParams:
    """Take exposure rates from an imported file of the day; without one the parameters as they are."""
    frame = _table(session, "margin_rates", underlying, on)
    if frame.is_empty():
        return params
    changed: dict[str, object] = {}
    by_contract = {}
    for row in frame.iter_rows(named=True):
        if row["kind"] == "other":
            changed["exposure_rate"] = row["rate"]
        elif row["kind"] == "far":
            changed["far_rate"] = row["rate"]
        else:
            by_contract[_key(row)] = float(row["rate"])
    return msgspec.structs.replace(params, by_contract=by_contract, **changed)


def _late(revision: str) -> tuple[int, str]:
    return (1 if revision == "s" else 0, revision)


def _table(session: Session, table: str, underlying: str, on: dt.date) -> pl.DataFrame:
    if (on, underlying) not in session.parts(table):
        return pl.DataFrame()
    return session.part(table, underlying, on)


def _contracts(
    session: Session, underlying: str, on: dt.date, revision: str
) -> dict[tuple[dt.date, int, int], FiledContract]:
    frame = _table(session, "margin_arrays", underlying, on).filter(pl.col("revision") == revision)
    return {
        _key(row): FiledContract(tuple(row["losses"]), float(row["composite_delta"]), float(row["price"]))
        for row in frame.iter_rows(named=True)
    }


def _key(row: dict[str, object]) -> tuple[dt.date, int, int]:
    cp = {"CE": 1, "PE": -1}.get(str(row["option_type"]), 0)
    expiry, strike_p = row["expiry"], row["strike_p"]
    assert isinstance(expiry, dt.date)
    return (expiry, cp, strike_p if cp and isinstance(strike_p, int) else 0)


def _spreads(session: Session, underlying: str, on: dt.date, revision: str) -> tuple[Spread, ...]:
    frame = _table(session, "margin_spreads", underlying, on)
    if frame.is_empty():
        return ()
    rows = frame.filter(pl.col("revision") == revision).sort("priority").iter_rows(named=True)
    return tuple(Spread(row["near"], row["far"], float(row["rate"])) for row in rows)
