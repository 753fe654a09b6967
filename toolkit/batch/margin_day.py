"""Margin of asked legs on a recorded day: prices, lots, level and parameters from the session."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any, Final

import msgspec
import polars as pl

from toolkit import pricing, tables
from toolkit.errors import BadData, UnknownSymbol
from toolkit.risk.asked import AskedLeg, parse_legs
from toolkit.risk.collateral import Funding, funding
from toolkit.risk.leg_order import Step, leg_order
from toolkit.risk.margin import Leg, Margin, SpanParams, span_margin
from toolkit.risk.span import default_params
from toolkit.store.margins import filed_params
from toolkit.store.session import Session
from toolkit.types import Kind, Side

__all__ = ["DayLeg", "MarginDay", "margin_on"]

_NEAR: Final = 3
_WHOSE_VOL: Final = "implied at the money; the file's own, well above it in both files seen, is published nowhere else"


class DayLeg(msgspec.Struct, frozen=True, kw_only=True):
    """One leg with the terms and the price of its day; ``margin`` is what it would need alone, rupees."""

    symbol: str
    side: Side
    lots: float
    lot: int
    qty: int
    price: float
    price_is: str
    margin: float


class MarginDay(msgspec.Struct, frozen=True, kw_only=True):
    """The margin of legs on a day, with what it was made from and the order to trade them in."""

    on: dt.date
    session: str
    margin: Margin
    legs: tuple[DayLeg, ...]
    order: tuple[Step, ...]
    params: dict[str, SpanParams]
    notes: tuple[str, ...]
    funding: Funding | None = None

    def document(self) -> dict[str, Any]:
        """Plain values for JSON; rupees, unknown is null."""
        parts = {
            k: v for k, v in msgspec.to_builtins(self.margin).items() if k not in ("label", "scenario", "legs", "filed")
        }
        return {
            "on": self.on.isoformat(),
            "session": self.session,
            "label": self.margin.label,
            "calibrated": all(p.calibrated for p in self.params.values()),
            "margin": parts,
            "worst_scenario": self.margin.scenario,
            "arrays_from_file": f"{self.margin.filed} of {self.margin.legs}",
            "legs": [_plain(msgspec.to_builtins(leg)) for leg in self.legs],
            "leg_order": [
                {
                    "symbol": self.legs[step.number].symbol,
                    "side": str(self.legs[step.number].side),
                    "margin_after": step.margin,
                    "premium_paid": step.cash,
                    "needed": step.needed,
                }
                for step in self.order
            ],
            "parameters": {name: _inputs(p) for name, p in self.params.items()},
            "funding": None if self.funding is None else msgspec.to_builtins(self.funding),
            "notes": list(self.notes),
        }


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def _inputs(p: SpanParams) -> dict[str, Any]:
    names = ("spot", "vol", "rate", "price_scan", "vol_scan", "exposure_rate", "expiry_rate", "calendar_rate")
    found: dict[str, Any] = {name: getattr(p, name) for name in (*names, "short_option_rate", "calibrated", "source")}
    return found | {"on": None if p.on is None else p.on.isoformat()}


def margin_on(
    session: Session,
    legs: str,
    on: dt.date | None = None,
    *,
    vol: float | None = None,
    rate: float = 0.0,
    revision: str | None = None,
    money: tuple[float, float] | None = None,
) -> MarginDay:
    """Compute the margin of legs at the close of a recorded day.

    Parameters
    ----------
    session : Session
        A store with end-of-day rows; imported margin files of the day calibrate the figure.
    legs : str
        As :func:`~toolkit.risk.asked.parse_legs` reads them.
    on : date, optional
        Default: the session's last day.
    vol : float, optional
        The underlying's vol for the scenarios, a fraction; default: the file's, else the implied vol
        at the money of the nearest expiry that has a day left.
    rate : float
        Continuous rate, a fraction, where no file says it.
    revision : str, optional
        Of the imported parameter files of the day (``s``, ``i1`` to ``i5``); default: the last.
    money : (cash, collateral), optional
        Rupees in the account: how they cover the margin and the premium still to be paid.

    Raises
    ------
    BadData, UnknownSymbol
        A leg or a day that the session does not have; the text names the nearest.
    """
    asked = parse_legs(legs)
    day = _day(session, on)
    rows = {name: _rows(session, name, day) for name in sorted({leg.contract.underlying for leg in asked})}
    params, notes = {}, []
    for name, frame in rows.items():
        params[name], note = _params(session, name, frame, day, vol, rate, revision)
        notes += note
    made = [_leg(number, leg, rows[leg.contract.underlying], day) for number, leg in enumerate(asked, start=1)]
    positions = [leg for leg, _, _ in made]
    margin = span_margin(positions, params)
    notes += _what_is_exact(margin)
    if margin.premium and any(not _upfront(p, day) for p in params.values()):
        notes.append("premium was collected by the end of the day then; upfront since 2025-02-10")
    return MarginDay(
        on=day,
        session=session.name,
        margin=margin,
        legs=tuple(_shown(a, leg, lot, price_is, params) for a, (leg, lot, price_is) in zip(asked, made, strict=True)),
        order=leg_order(positions, params),
        params=params,
        notes=tuple(notes),
        funding=None if money is None else funding(margin, *money, premium=margin.premium, on=day),
    )


def _upfront(params: SpanParams, day: dt.date) -> bool:
    return tables.margins().rate("premium_upfront", "stock" if params.stock else "index", day) > 0.0


def _day(session: Session, on: dt.date | None) -> dt.date:
    days = session.dates(table="eod")
    if not days:
        raise BadData(
            f"session {session.name} has no end-of-day rows; import a bhavcopy: toolkit import udiff FILE --to DIR"
        )
    if on is None:
        return days[-1]
    if on in days:
        return on
    near = min(days, key=lambda known: abs((known - on).days))
    why = "is no trading day" if not _open(on) else "is not in it"
    raise BadData(
        f"session {session.name} holds {days[0]} to {days[-1]} ({len(days)} days), {on} {why}; the nearest is {near}"
    )


def _open(on: dt.date) -> bool:
    try:
        return tables.calendar().is_session(on)
    except BadData:
        return True


def _rows(session: Session, underlying: str, day: dt.date) -> pl.DataFrame:
    frame = session.frame("eod", underlying, day)
    if frame.is_empty():
        raise BadData(f"session {session.name} has no {underlying} on {day}; import that day's bhavcopy")
    return frame


def _leg(number: int, asked: AskedLeg, rows: pl.DataFrame, day: dt.date) -> tuple[Leg, int, str]:
    c = asked.contract
    if c.kind not in (Kind.OPTION, Kind.FUTURE) or c.expiry is None:
        raise BadData(f"leg {number}: {c.symbol} is no option or future; margins here are of derivatives")
    if c.expiry < day:
        raise BadData(f"leg {number}: {c.symbol} expired on {c.expiry}, before {day}")
    found = _find(number, asked, rows, day)
    price, price_is = _price(found, c, day)
    if not math.isnan(asked.price):
        price, price_is = asked.price, "as asked"
    lot = int(found["lot"] or 0)
    if lot <= 0:
        raise BadData(f"leg {number}: the lot of {c.symbol} is not known on {day}; say the quantity in units")
    units = asked.count * lot if asked.in_lots else asked.count
    if units % lot:
        raise BadData(f"leg {number}: {units} units is no whole number of lots of {lot}; {c.symbol} trades in lots")
    calendar = tables.calendar(tables.contracts().exchange(c.underlying))
    return (
        Leg(
            underlying=c.underlying,
            cp=0 if c.option_type is None else c.option_type.cp,
            qty=asked.side.sign * units,
            tte=((c.expiry - day).days + 1) / 365.0,
            strike=(c.strike_p or 0) / 100.0,
            mark=price,
            expiry=c.expiry,
            sessions_left=max(0, len(calendar.sessions(day, c.expiry)) - 1),
        ),
        lot,
        price_is,
    )


def _find(number: int, asked: AskedLeg, rows: pl.DataFrame, day: dt.date) -> dict[str, Any]:
    c = asked.contract
    same = rows.filter((pl.col("kind") == str(c.kind)) & (pl.col("expiry") == c.expiry))
    if same.is_empty():
        expiries = rows.filter(pl.col("kind") == str(c.kind))["expiry"].drop_nulls().unique().sort().to_list()
        close = sorted(sorted(expiries, key=lambda e: abs((e - c.expiry).days))[:_NEAR])
        listed = ", ".join(e.strftime("%d%b%Y").upper() for e in close) or "none"
        raise UnknownSymbol(
            f"leg {number}: no {c.kind} of {c.underlying} expires on {c.expiry}; nearest on {day}: {listed}"
        )
    if c.kind is Kind.FUTURE:
        return same.row(0, named=True)
    exact = same.filter(
        (pl.col("strike_p") == c.strike_p) & (pl.col("option_type").cast(pl.String) == str(c.option_type))
    )
    if exact.height:
        return exact.row(0, named=True)
    strikes = same["strike_p"].unique().to_list()
    close = sorted(sorted(strikes, key=lambda k: abs(k - (c.strike_p or 0)))[:_NEAR])
    listed = ", ".join(f"{k / 100:g}" for k in close)
    raise UnknownSymbol(
        f"leg {number}: no strike {(c.strike_p or 0) / 100:g} in {c.symbol} on {day}; nearest: {listed}"
    )


def _price(row: dict[str, Any], contract: Any, day: dt.date) -> tuple[float, str]:
    """The settlement price of the day, else the close, else the close before; NaN when there is none."""
    if contract.expiry == day and row["final_settlement"] is not None and contract.kind is Kind.FUTURE:
        return float(row["final_settlement"]), "final settlement"
    for column, name in (
        ("settle", "settlement"),
        ("close", "close"),
        ("last", "last trade"),
        ("prev_close", "previous close"),
    ):
        if row[column] is not None and row[column] > 0:
            return float(row[column]), name
    return math.nan, "unknown"


def _params(
    session: Session, name: str, rows: pl.DataFrame, day: dt.date, vol: float | None, rate: float, revision: str | None
) -> tuple[SpanParams, list[str]]:
    spots = rows["spot"].drop_nulls()
    level = float(spots[0]) if len(spots) else math.nan
    stock = tables.is_share(name)
    filed, notes = filed_params(session, name, day, stock=stock, revision=revision)
    if filed is not None:
        return filed, notes
    if revision is not None:
        raise BadData(f"session {session.name} has no parameter file {revision!r} of {name} on {day}; import it first")
    if math.isnan(level):
        level = _parity(rows, day)
    said = vol
    if said is None:
        said = _implied(rows, level, day)
        notes = [
            *notes,
            f"{name}: vol {said:.4f} is {_WHOSE_VOL}",
        ]
    made = default_params(level, said, rate, on=day, stock=stock)
    return with_rates(made, session, name, day), notes


def with_rates(params: SpanParams, session: Session, name: str, day: dt.date) -> SpanParams:
    """Put an imported file of exposure rates into parameters, where the session has one of the day."""
    from toolkit.store.margins import exposure_rates

    return exposure_rates(params, session, name, day)


def _near(rows: pl.DataFrame, day: dt.date) -> pl.DataFrame:
    options = rows.filter((pl.col("kind") == "option") & (pl.col("expiry") > day))
    if options.is_empty():
        raise BadData(f"no option expires after {day} in the session; give the level's vol with --vol")
    return options.filter(pl.col("expiry") == options["expiry"].min())


def _pairs(rows: pl.DataFrame, day: dt.date) -> pl.DataFrame:
    near = _near(rows, day).with_columns(price=pl.coalesce("settle", "close", "last"))
    wide = near.pivot("option_type", index=["expiry", "strike_p"], values="price").sort("strike_p")
    if not {"CE", "PE"} <= set(wide.columns):
        raise BadData(f"no strike has both sides on {day}; give the vol with --vol")
    return wide.drop_nulls()


def _parity(rows: pl.DataFrame, day: dt.date) -> float:
    pairs = _pairs(rows, day)
    if pairs.is_empty():
        raise BadData(f"no strike has both sides on {day}; the underlying's level is not known")
    gap = (pairs["CE"] - pairs["PE"]).abs().arg_min()
    row = pairs.row(int(gap or 0), named=True)
    return float(row["strike_p"] / 100 + row["CE"] - row["PE"])


def _implied(rows: pl.DataFrame, level: float, day: dt.date) -> float:
    """The vol at the money of the nearest expiry that has a day left, on its put-call-parity forward."""
    pairs = _pairs(rows, day)
    forward = _parity(rows, day)
    row = pairs.row(int((pairs["strike_p"] / 100 - forward).abs().arg_min() or 0), named=True)
    tte = ((row["expiry"] - day).days) / 365.0
    k = row["strike_p"] / 100
    side, price = (1, row["CE"]) if k >= forward else (-1, row["PE"])
    found = float(pricing.implied_vol(side, price, forward, k, tte))
    if not (math.isfinite(found) and found > 0.0):
        raise BadData(f"no vol solves the price at the money on {day} (level {level:.2f}); give it with --vol")
    return found


def _what_is_exact(margin: Margin) -> list[str]:
    if margin.filed == margin.legs:
        return ["exact: the 16 scenario values (the file's); estimates: exposure, expiry addition and delivery"]
    if margin.filed:
        return [
            f"{margin.filed} of {margin.legs} contracts have the file's 16 values; the others are made from its inputs"
        ]
    return ["estimate: scan range, vol and rates are documented defaults; import the day's parameter file to calibrate"]


def _shown(asked: AskedLeg, leg: Leg, lot: int, price_is: str, params: dict[str, SpanParams]) -> DayLeg:
    return DayLeg(
        symbol=asked.contract.symbol,
        side=asked.side,
        lots=abs(leg.qty) / lot,
        lot=lot,
        qty=leg.qty,
        price=leg.mark,
        price_is=price_is,
        margin=span_margin([leg], params).total,
    )
