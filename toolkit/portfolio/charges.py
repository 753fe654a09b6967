"""Brokerage, taxes and fees of executed trades, exact to the paisa. Pure, over a dated schedule.

A contract note is one account on one exchange on one day. Its items are worked out on the
note's sums and rounded once: STT to the rupee, the others to the paisa (half up).
Brokerage is per executed order. The exchange charge includes the investor-protection
levy (IPFT); GST is on brokerage, exchange charge and SEBI fee.
"""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Sequence
from typing import Final

import msgspec
import polars as pl

from toolkit.calendar import StaleTable, ist_date
from toolkit.contracts import Contract, parse_symbol
from toolkit.errors import BadData, nearest
from toolkit.types import Kind, Side, to_paise

__all__ = ["BY_FILL", "NOTE", "ChargeRate", "ChargeSchedule", "charges", "charges_by_fill"]

ITEMS: Final = ("brokerage", "stt", "exchange_charge", "sebi_fee", "stamp_duty", "gst")
NOTE: Final = pl.Schema(
    {"account": pl.String, "exchange": pl.String, "date": pl.Date}
    | dict.fromkeys(ITEMS, pl.Float64)
    | {"total": pl.Float64}
)
BY_FILL: Final = pl.Schema({"exec_id": pl.String} | dict(NOTE))

_NEEDED: Final = (
    "exec_id",
    "cl_ord_id",
    "order_id",
    "account",
    "broker",
    "symbol",
    "exchange",
    "side",
    "last_qty",
    "last_px",
    "exec_ns",
)
_BILLION: Final = 1_000_000_000
_RUPEE_P: Final = 100


class ChargeRate(msgspec.Struct, frozen=True):
    """One dated rate. Empty texts match anything; ``amount`` is parts per billion, or paise an order."""

    start: dt.date
    item: str
    exchange: str
    kind: str
    underlying: str
    side: str
    plan: str
    amount: int
    verified_until: dt.date


class ChargeSchedule(msgspec.Struct, frozen=True):
    """All rates, ascending by start within an item. Past its last verified date a rate warns once."""

    rates: tuple[ChargeRate, ...]

    @property
    def plans(self) -> tuple[str, ...]:
        """Names of the brokerage plans."""
        return tuple(sorted({rate.plan for rate in self.rates if rate.plan}))

    def rate(
        self,
        item: str,
        on: dt.date,
        *,
        exchange: str = "",
        kind: Kind | str = "",
        underlying: str = "",
        side: Side | str = "",
        plan: str = "",
    ) -> int:
        """Give the rate in force on ``on``: parts per billion of value, or paise an order.

        A rate of the underlying itself goes before a rate of all. A side that is not taxed gives 0.

        Raises
        ------
        BadData
            When no row of the item covers the contract, or the date is before the first row.
        """
        rows = [
            rate
            for rate in self.rates
            if rate.item == item
            and rate.exchange in ("", exchange)
            and rate.kind in ("", str(kind))
            and rate.underlying in ("", underlying)
            and rate.plan in ("", plan)
        ]
        own = [rate for rate in rows if rate.underlying == underlying and underlying]
        rows = own or rows
        what = " ".join(part for part in (item, exchange, str(kind), plan) if part)
        if not rows:
            raise BadData(f"no charge row for {what}; add one to charges.csv")
        live = [rate for rate in rows if rate.start <= on]
        if not live:
            raise BadData(f"charge {what} is not known on {on}; the table starts {rows[0].start}")
        if on > live[-1].verified_until:
            warnings.warn(
                f"charges were verified until {live[-1].verified_until} and are used past it; update data/tables",
                StaleTable,
                stacklevel=2,
            )
        return live[-1].amount if live[-1].side in ("", str(side)) else 0

    def exercise_stt_p(self, intrinsic_value_p: int, on: dt.date) -> int:
        """Give the tax in paise that the holder pays on an option exercised at expiry, rounded to the rupee.

        Parameters
        ----------
        intrinsic_value_p : int
            Units times intrinsic value, in paise; not negative.
        on : date
        """
        if intrinsic_value_p < 0:
            raise BadData(f"intrinsic value must not be negative, was {intrinsic_value_p} paise")
        ppb = self.rate("stt_exercise", on, kind=Kind.OPTION, side=Side.BUY)
        return _half_up(intrinsic_value_p * ppb, _BILLION * _RUPEE_P) * _RUPEE_P


class _Line(msgspec.Struct, frozen=True):
    """A fill with its exact shares: value in paise, the others in billionths of a paisa."""

    exec_id: str
    note: tuple[str, str, dt.date]
    order: tuple[str, str, str]
    value_p: int
    stt: int
    exchange_charge: int
    sebi_fee: int
    stamp_duty: int


def charges(
    fills: pl.DataFrame, on: dt.date | None, plan: str = "discount", *, schedule: ChargeSchedule
) -> pl.DataFrame:
    """Work out the contract notes of a fills frame.

    Parameters
    ----------
    fills : polars frame
        As in the surface: units, rupees, UTC nanoseconds. A repeated ``exec_id`` of an account counts once.
    on : date or None
        The trade date in Indian time; fills of other days belong to other notes and are
        left out. None gives the notes of every day.
    plan : str
        A brokerage plan of the schedule.
    schedule : ChargeSchedule
        The shipped one where ``toolkit.portfolio.charges`` is called without it.

    Returns
    -------
    polars frame
        One row a note: account, exchange, date, brokerage, stt, exchange_charge, sebi_fee,
        stamp_duty, gst, total, in rupees.

    Raises
    ------
    BadData
        For a missing column, an unknown plan, a symbol that is no future or option, a
        quantity or price below zero, a day before the schedule.
    """
    rows: list[tuple[object, ...]] = []
    for note, lines in _notes(fills, on, plan, schedule):
        items = _note_items(lines, plan, note[2], schedule)
        rows.append((*note, *(p / 100 for p in items), sum(items) / 100))
    return pl.DataFrame(rows, schema=NOTE, orient="row")


def charges_by_fill(
    fills: pl.DataFrame, on: dt.date | None, plan: str = "discount", *, schedule: ChargeSchedule
) -> pl.DataFrame:
    """Split the contract notes of `charges` over their fills, summing to the paisa.

    Each item goes by the fill's exact share (brokerage within its order by value), the
    odd paise to the largest remainders. One row a fill, in order of execution.
    """
    rows: list[tuple[object, ...]] = []
    for note, lines in _notes(fills, on, plan, schedule):
        brokerage_p, *taxes, gst_p = _note_items(lines, plan, note[2], schedule)
        parts = [_split_brokerage(lines, brokerage_p)]
        for name, total_p in zip(ITEMS[1:5], taxes, strict=True):
            parts.append(_split(total_p, [getattr(line, name) for line in lines]))
        parts.append(_split(gst_p, [a + b + c for a, b, c in zip(parts[0], parts[2], parts[3], strict=True)]))
        for line, *items in zip(lines, *parts, strict=True):
            rows.append((line.exec_id, *note, *(p / 100 for p in items), sum(items) / 100))
    return pl.DataFrame(rows, schema=BY_FILL, orient="row")


def _notes(
    fills: pl.DataFrame, on: dt.date | None, plan: str, schedule: ChargeSchedule
) -> list[tuple[tuple[str, str, dt.date], list[_Line]]]:
    if plan not in schedule.plans:
        known = ", ".join(schedule.plans)
        raise BadData(f"plan must be one of {known}, was {plan!r}{nearest(plan, schedule.plans)}")
    missing = [name for name in _NEEDED if name not in fills.columns]
    if missing:
        raise BadData(f"a fills frame needs {', '.join(_NEEDED)}; missing: {', '.join(missing)}")
    notes: dict[tuple[str, str, dt.date], list[_Line]] = {}
    rates = _DayRates(schedule)
    seen = fills.select(_NEEDED).unique(["account", "broker", "exec_id"], keep="first", maintain_order=True)
    for row in seen.sort("exec_ns", "exec_id", maintain_order=True).iter_rows(named=True):
        day = ist_date(row["exec_ns"])
        if on is None or day == on:
            line = _line(row, day, rates)
            notes.setdefault(line.note, []).append(line)
    return sorted(notes.items())


class _DayRates:
    """The rates of a contract's trades on a day, looked up once each."""

    def __init__(self, schedule: ChargeSchedule) -> None:
        self._schedule = schedule
        self._known: dict[tuple[str, dt.date, str, Side], tuple[int, int, int, int]] = {}

    def find(self, symbol: str, day: dt.date, exchange: str, side: Side) -> tuple[int, int, int, int]:
        """Give stt, exchange charge with IPFT, SEBI fee and stamp duty in parts per billion."""
        key = (symbol, day, exchange, side)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._look_up(parse_symbol(symbol), day, exchange, side)
        return found

    def _look_up(self, contract: Contract, day: dt.date, exchange: str, side: Side) -> tuple[int, int, int, int]:
        if contract.kind not in (Kind.OPTION, Kind.FUTURE):
            raise BadData(f"charges are known for options and futures, was {contract.symbol!r}")

        def rate(item: str) -> int:
            return self._schedule.rate(
                item, day, exchange=exchange, kind=contract.kind, underlying=contract.underlying, side=side
            )

        return rate("stt"), rate("exchange") + rate("ipft"), rate("sebi"), rate("stamp")


def _line(row: dict[str, object], day: dt.date, rates: _DayRates) -> _Line:
    qty, px = row["last_qty"], row["last_px"]
    if not isinstance(qty, int) or qty <= 0 or not isinstance(px, (int, float)) or px < 0:
        raise BadData(f"fill {row['exec_id']} needs a quantity above and a price not below zero, was {qty!r} at {px!r}")
    if row["side"] not in ("BUY", "SELL"):
        raise BadData(f"fill {row['exec_id']}: side must be BUY or SELL, was {row['side']!r}")
    value_p = qty * to_paise(px)
    exchange = str(row["exchange"])
    stt, exchange_charge, sebi, stamp = rates.find(str(row["symbol"]), day, exchange, Side(str(row["side"])))
    return _Line(
        exec_id=str(row["exec_id"]),
        note=(str(row["account"]), exchange, day),
        order=(str(row["account"]), str(row["broker"]), str(row["order_id"] or row["cl_ord_id"])),
        value_p=value_p,
        stt=value_p * stt,
        exchange_charge=value_p * exchange_charge,
        sebi_fee=value_p * sebi,
        stamp_duty=value_p * stamp,
    )


def _note_items(lines: Sequence[_Line], plan: str, day: dt.date, schedule: ChargeSchedule) -> list[int]:
    brokerage_p = len({line.order for line in lines}) * schedule.rate("brokerage", day, plan=plan)
    stt_p = _half_up(sum(line.stt for line in lines), _BILLION * _RUPEE_P) * _RUPEE_P
    exchange_p = _half_up(sum(line.exchange_charge for line in lines), _BILLION)
    sebi_p = _half_up(sum(line.sebi_fee for line in lines), _BILLION)
    stamp_p = _half_up(sum(line.stamp_duty for line in lines), _BILLION)
    gst_p = _half_up((brokerage_p + exchange_p + sebi_p) * schedule.rate("gst", day), _BILLION)
    return [brokerage_p, stt_p, exchange_p, sebi_p, stamp_p, gst_p]


def _split_brokerage(lines: Sequence[_Line], total_p: int) -> list[int]:
    orders: dict[tuple[str, str, str], list[int]] = {}
    for i, line in enumerate(lines):
        orders.setdefault(line.order, []).append(i)
    out = [0] * len(lines)
    for members in orders.values():
        for i, part in zip(members, _split(total_p // len(orders), [lines[i].value_p for i in members]), strict=True):
            out[i] = part
    return out


def _split(total: int, weights: Sequence[int]) -> list[int]:
    """Share ``total`` by weight, exactly: the odd units go to the largest remainders, ties to the first."""
    whole = sum(weights)
    if whole == 0:
        weights, whole = [1] * len(weights), len(weights)
    parts = [total * weight // whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda i: -(total * weights[i] % whole))
    for i in order[: total - sum(parts)]:
        parts[i] += 1
    return parts


def _half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)
