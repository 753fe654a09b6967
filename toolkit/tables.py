"""The only reader of ``data/tables/*.csv``: checked rows in, plain frozen values out.

Each file is dated (``from``), says where a row comes from (``source``) and until when it
was verified (``verified_until``). The last row is open-ended. A bad row is one line of
`BadData` that names file, line, column and value. Everything is read once a process.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from toolkit.calendar import Calendar, Hours, SettlementTime, Sitting
from toolkit.config import share
from toolkit.contracts import ContractRules, ExpiryRule, FreezeRow, LotRow, TickRow, UnderlyingRow
from toolkit.errors import BadData, nearest

if TYPE_CHECKING:
    from toolkit.orders.compliance import ExemptionRow
    from toolkit.portfolio.charges import ChargeSchedule
    from toolkit.risk.bands import BandRow, Breakers, PositionRow
    from toolkit.risk.rates import MarginRates

__all__ = [
    "breakers",
    "calendar",
    "charges",
    "contracts",
    "is_share",
    "margins",
    "order_to_trade",
    "position_limits",
    "price_bands",
]

_WEEKDAYS: Final = {"MON": 0, "TUE": 1, "WED": 2, "THU": 3, "FRI": 4, "none": None}
_ITEMS: Final = ("stt", "stt_exercise", "exchange", "ipft", "sebi", "stamp", "gst", "brokerage")
_UNITS: Final = {"percent": 10_000_000, "rs_per_crore": 100, "rs_per_order": 100}
_MARGIN_UNITS: Final = {"percent": 100.0, "number": 1.0}
_ALWAYS: Final = ("source", "verified_until")


class _Dated(Protocol):
    @property
    def start(self) -> dt.date: ...


D = TypeVar("D", bound=_Dated)


class Row:
    """One line of a table, with getters that know how to complain about it."""

    def __init__(self, path: Path, line: int, cells: dict[str, str]) -> None:
        self._path = path
        self._line = line
        self._cells = cells

    def bad(self, column: str, want: str) -> BadData:
        """The error for a cell that is not what it must be."""
        was = self._cells[column]
        return BadData(f"{self._path.name} line {self._line}: {column} must be {want}, was {was!r}; mend the row")

    def text(self, column: str, among: Sequence[str] = ()) -> str:
        """A text that is not empty, one of ``among`` when given."""
        value = self._cells[column]
        if not value or (among and value not in among):
            raise self.bad(column, "one of " + ", ".join(among) if among else "a text")
        return value

    def maybe(self, column: str, among: Sequence[str] = ()) -> str:
        """A text as `text` gives it, or an empty one for an empty cell."""
        return self.text(column, among) if self._cells[column] else ""

    def date(self, column: str) -> dt.date:
        """An ISO date."""
        try:
            day = dt.date.fromisoformat(self._cells[column])
        except ValueError:
            raise self.bad(column, "a date YYYY-MM-DD") from None
        if day.isoformat() != self._cells[column]:
            raise self.bad(column, "a date YYYY-MM-DD")
        return day

    def maybe_date(self, column: str) -> dt.date | None:
        """An ISO date, or None for an empty cell."""
        return self.date(column) if self._cells[column] else None

    def time(self, column: str) -> dt.time:
        """A time of day HH:MM."""
        try:
            return dt.datetime.strptime(self._cells[column], "%H:%M").time()  # noqa: DTZ007
        except ValueError:
            raise self.bad(column, "a time HH:MM") from None

    def positive(self, column: str) -> int:
        """A whole number above zero."""
        value = self._cells[column]
        if not value.isascii() or not value.isdigit() or int(value) == 0:
            raise self.bad(column, "a whole number above zero")
        return int(value)

    def count(self, column: str) -> int:
        """A whole number from zero."""
        value = self._cells[column]
        if not value.isascii() or not value.isdigit():
            raise self.bad(column, "a whole number from zero")
        return int(value)

    def maybe_level(self, column: str) -> float | None:
        """A number that is not negative, or None for an empty cell."""
        return float(self.decimal(column)) if self._cells[column] else None

    def decimal(self, column: str) -> Decimal:
        """An exact decimal that is not negative."""
        try:
            value = Decimal(self._cells[column])
        except InvalidOperation:
            raise self.bad(column, "a number") from None
        if not value.is_finite() or value < 0:
            raise self.bad(column, "a number that is not negative")
        return value


def read(path: Path, columns: Sequence[str], *, ahead: bool = False) -> Iterator[Row]:
    """Read one table and check its columns, widths and dates.

    ``ahead`` allows rows that start after they were verified (days expected, not published).

    Raises
    ------
    BadData
        For a missing file or column, a line of another width, a row verified before it starts.
    """
    expected = [*columns, *_ALWAYS]
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        raise BadData(f"{path.name} cannot be read: {err}; install the toolkit again") from None
    if not lines or lines[0] != expected:
        was = ",".join(lines[0]) if lines else "an empty file"
        raise BadData(f"{path.name} line 1: columns must be {','.join(expected)}, was {was}")
    for number, cells in enumerate(lines[1:], start=2):
        if len(cells) != len(expected):
            raise BadData(f"{path.name} line {number}: {len(expected)} columns must be filled, was {len(cells)}")
        row = Row(path, number, dict(zip(expected, cells, strict=True)))
        row.text("source")
        if row.date("verified_until") < row.date("from") and not ahead:
            raise row.bad("verified_until", "no earlier than 'from'")
        yield row


def _table(name: str, columns: Sequence[str], *, ahead: bool = False) -> Iterator[Row]:
    return read(share("data", "tables", name), columns, ahead=ahead)


def _ascending(name: str, rows: Sequence[D], key: Callable[[D], object]) -> None:
    last: dict[object, dt.date] = {}
    for row in rows:
        if row.start < last.get(key(row), row.start):
            raise BadData(
                f"{name}: rows of {key(row)} must be in order of date, was {row.start} after {last[key(row)]}"
            )
        last[key(row)] = row.start


def _by_underlying(rows: Sequence[Any]) -> dict[str, tuple[Any, ...]]:
    grouped: dict[str, list[Any]] = {}
    for row in rows:
        grouped.setdefault(row.underlying, []).append(row)
    return {underlying: tuple(group) for underlying, group in sorted(grouped.items())}


@cache
def calendar(exchange: str = "NSE") -> Calendar:
    """Read the sessions of an exchange.

    Raises
    ------
    BadData
        For an unknown exchange or a bad row.
    """
    hours = _hours(exchange)
    holidays: set[dt.date] = set()
    until = None
    first = None
    for row in _table("holidays.csv", ["from", "exchange"], ahead=True):
        if row.text("exchange") != exchange:
            continue
        day = row.date("from")
        if day.weekday() > 4 or day in holidays:
            raise row.bad("from", "a weekday named once")
        holidays.add(day)
        until = row.date("verified_until")
        first = first or day.replace(month=1, day=1)
    specials: dict[dt.date, tuple[Sitting, ...]] = {}
    for row in _table("special_sessions.csv", ["from", "exchange", "start", "end", "kind"]):
        if row.text("exchange") == exchange:
            sitting = Sitting(row.time("start"), row.time("end"), row.text("kind", ("muhurat", "full", "test")))
            before = specials.get(row.date("from"), ())
            if sitting.close <= sitting.open or (before and sitting.open < before[-1].close):
                raise row.bad("end", "after the start, and sittings in order")
            specials[row.date("from")] = (*before, sitting)
    settlements = tuple(
        SettlementTime(row.date("from"), row.time("time"), row.date("verified_until"))
        for row in _table("settlement.csv", ["from", "exchange", "time"])
        if row.text("exchange") == exchange
    )
    _ascending("settlement.csv", settlements, lambda row: exchange)
    if first is None or until is None or not settlements:
        raise BadData(f"no holidays or settlement time of {exchange} in data/tables; add rows")
    return Calendar(
        exchange=exchange,
        first=first,
        verified_until=until,
        holidays=frozenset(holidays),
        specials=specials,
        hours=hours,
        settlements=settlements,
    )


def _hours(exchange: str) -> tuple[Hours, ...]:
    rows = []
    known: set[str] = set()
    for row in _table("sessions.csv", ["from", "exchange", "phase", "start", "end"]):
        known.add(row.text("exchange"))
        hours = Hours(
            row.date("from"),
            row.text("phase", ("open", "pre_open")),
            row.time("start"),
            row.time("end"),
            row.date("verified_until"),
        )
        if hours.close <= hours.open:
            raise row.bad("end", "after the start")
        if row.text("exchange") == exchange:
            rows.append(hours)
    if not rows:
        raise BadData(f"exchange must be one of {', '.join(sorted(known))}, was {exchange!r}{nearest(exchange, known)}")
    _ascending("sessions.csv", rows, lambda row: row.phase)
    return tuple(rows)


@cache
def contracts() -> ContractRules:
    """Read the dated rules of contracts: lots, freeze quantities, ticks, expiries.

    Raises
    ------
    BadData
        For a bad row.
    """
    underlyings = [
        UnderlyingRow(
            row.date("from"),
            row.text("underlying"),
            row.text("exchange", ("NSE", "BSE")),
            row.positive("strike_step_p"),
            row.date("verified_until"),
        )
        for row in _table("underlyings.csv", ["from", "underlying", "exchange", "strike_step_p"])
    ]
    freezes = [
        FreezeRow(row.date("from"), row.text("underlying"), row.positive("freeze_qty"), row.date("verified_until"))
        for row in _table("freeze.csv", ["from", "underlying", "freeze_qty"])
    ]
    _ascending("freeze.csv", freezes, lambda row: row.underlying)
    return ContractRules(
        lots=_by_underlying(_lots()),
        freezes=_by_underlying(freezes),
        ticks=_ticks(),
        expiry_rules=_by_underlying(_expiry_rules()),
        underlyings={row.underlying: row for row in underlyings},
        calendars={name: calendar(name) for name in ("NSE", "BSE")},
    )


def is_share(underlying: str) -> bool:
    """Whether an underlying is a share: no index of ours goes by the name."""
    return underlying not in contracts().underlyings


def _lots() -> list[LotRow]:
    rows: list[LotRow] = []
    for row in _table("lots.csv", ["from", "underlying", "expiry_from", "expiry_to", "lot"]):
        lot = LotRow(
            row.date("from"),
            row.text("underlying"),
            row.maybe_date("expiry_from"),
            row.maybe_date("expiry_to"),
            row.positive("lot"),
            row.date("verified_until"),
        )
        if any(_overlap(lot, other) for other in rows):
            raise row.bad("expiry_from", "outside the other ranges of the same underlying and date")
        rows.append(lot)
    _ascending("lots.csv", rows, lambda row: row.underlying)
    return rows


def _overlap(one: LotRow, other: LotRow) -> bool:
    if (one.underlying, one.start) != (other.underlying, other.start):
        return False
    begins = max(one.expiry_from or dt.date.min, other.expiry_from or dt.date.min)
    return begins <= min(one.expiry_to or dt.date.max, other.expiry_to or dt.date.max)


def _ticks() -> tuple[TickRow, ...]:
    rows: list[TickRow] = []
    for row in _table("ticks.csv", ["from", "underlying", "kind", "level_from", "level_to", "tick_p"]):
        tick = TickRow(
            row.date("from"),
            row.text("underlying"),
            row.text("kind", ("option", "future")),
            row.maybe_level("level_from"),
            row.maybe_level("level_to"),
            row.positive("tick_p"),
            row.date("verified_until"),
        )
        before = rows[-1] if rows else None
        same = before is not None and (before.start, before.kind) == (tick.start, tick.kind)
        if before is not None and same and before.level_to != tick.level_from:
            raise row.bad("level_from", f"the end of the step before, {before.level_to}")
        rows.append(tick)
    _ascending("ticks.csv", rows, lambda row: (row.underlying, row.kind))
    return tuple(rows)


def _expiry_rules() -> list[ExpiryRule]:
    rows = [
        ExpiryRule(
            row.date("from"),
            row.date("known_from"),
            row.text("underlying"),
            row.text("cycle", ("weekly", "monthly")),
            _WEEKDAYS[row.text("weekday", tuple(_WEEKDAYS))],
            row.date("verified_until"),
        )
        for row in _table("expiry_rules.csv", ["from", "known_from", "underlying", "cycle", "weekday"])
    ]
    _ascending("expiry_rules.csv", rows, lambda row: (row.underlying, row.cycle))
    return rows


@cache
def charges() -> ChargeSchedule:
    """Read the dated schedule of brokerage, taxes and fees.

    Raises
    ------
    BadData
        For a bad row, or a rate that is no whole number of billionths (or paise).
    """
    from toolkit.portfolio.charges import ChargeRate, ChargeSchedule

    rates = []
    columns = ["from", "item", "exchange", "kind", "underlying", "side", "plan", "rate", "unit"]
    for row in _table("charges.csv", columns):
        amount = row.decimal("rate") * _UNITS[row.text("unit", tuple(_UNITS))]
        if amount != amount.to_integral_value():
            raise row.bad("rate", "a whole number of billionths of value, or of paise an order")
        rates.append(
            ChargeRate(
                start=row.date("from"),
                item=row.text("item", _ITEMS),
                exchange=row.maybe("exchange", ("NSE", "BSE")),
                kind=row.maybe("kind", ("option", "future")),
                underlying=row.maybe("underlying"),
                side=row.maybe("side", ("BUY", "SELL")),
                plan=row.maybe("plan"),
                amount=int(amount),
                verified_until=row.date("verified_until"),
            )
        )
    _ascending("charges.csv", rates, lambda row: (row.item, row.exchange, row.kind, row.underlying, row.plan))
    return ChargeSchedule(tuple(rates))


@cache
def order_to_trade() -> tuple[ExemptionRow, ...]:
    """Read which orders the exchanges leave out of the order-to-trade ratio.

    Raises
    ------
    BadData
        For a bad row.
    """
    from toolkit.orders.compliance import ExemptionRow
    from toolkit.types import Kind

    rows = tuple(
        ExemptionRow(
            row.date("from"),
            Kind(row.text("kind", ("option", "future"))),
            float(row.decimal("exempt_pct")),
            int(row.decimal("exempt_floor_p")),
            row.date("verified_until"),
        )
        for row in _table("order_to_trade.csv", ["from", "kind", "exempt_pct", "exempt_floor_p"])
    )
    _ascending("order_to_trade.csv", rows, lambda row: row.kind)
    return rows


@cache
def margins() -> MarginRates:
    """Read the dated margin rates and the windows of the peak-margin snapshots.

    Raises
    ------
    BadData
        For a bad row.
    """
    from toolkit.risk.rates import MarginRates, PeakWindow, RateRow

    rows = [
        RateRow(
            row.date("from"),
            row.text("item"),
            row.text("kind", ("index", "stock", "account")),
            float(row.decimal("rate")) / _MARGIN_UNITS[row.text("unit", tuple(_MARGIN_UNITS))],
            row.text("source"),
            row.date("verified_until"),
        )
        for row in _table("margins.csv", ["from", "item", "kind", "rate", "unit"])
    ]
    _ascending("margins.csv", rows, lambda row: (row.item, row.kind))
    windows = []
    for row in _table("peak_windows.csv", ["from", "start", "end"]):
        window = PeakWindow(row.date("from"), row.time("start"), row.time("end"), row.date("verified_until"))
        if window.closes <= window.opens:
            raise row.bad("end", "after the start")
        windows.append(window)
    _ascending("peak_windows.csv", windows, lambda row: "the windows")
    return MarginRates(tuple(rows), tuple(windows))


@cache
def breakers() -> Breakers:
    """Read the exchange-wide circuit breaker: moves, times of day and how long trading stops.

    Raises
    ------
    BadData
        For a bad row.
    """
    from toolkit.risk.bands import BreakerRow, Breakers

    rows = []
    for row in _table("circuit_breakers.csv", ["from", "move_percent", "start", "end", "halt_min", "auction_min"]):
        halts = row.text("halt_min") != "rest"
        made = BreakerRow(
            start=row.date("from"),
            move=float(row.decimal("move_percent")) / 100.0,
            opens=row.time("start"),
            closes=row.time("end") if row.maybe("end") else None,
            halt_min=row.count("halt_min") if halts else None,
            auction_min=row.count("auction_min"),
            source=row.text("source"),
            verified_until=row.date("verified_until"),
        )
        if made.closes is not None and made.closes <= made.opens:
            raise row.bad("end", "after the start")
        rows.append(made)
    _ascending("circuit_breakers.csv", rows, lambda row: (row.move, row.opens))
    return Breakers(tuple(rows))


@cache
def price_bands() -> tuple[BandRow, ...]:
    """Read how far from its basis a price may lie by the exchanges' rules.

    Raises
    ------
    BadData
        For a bad row.
    """
    from toolkit.risk.bands import BandRow

    rows = tuple(
        BandRow(
            start=row.date("from"),
            exchange=row.text("exchange", ("NSE", "BSE")),
            kind=row.text("kind", ("option", "future")),
            underlying_kind=row.text("underlying_kind", ("index", "stock")),
            basis=row.text("basis", ("previous_close", "reference")),
            percent=float(row.decimal("percent")) / 100.0,
            floor_p=int(row.decimal("floor_rs") * 100),
            source=row.text("source"),
            verified_until=row.date("verified_until"),
        )
        for row in _table(
            "price_bands.csv", ["from", "exchange", "kind", "underlying_kind", "basis", "percent", "floor_rs"]
        )
    )
    _ascending("price_bands.csv", rows, lambda row: (row.exchange, row.kind, row.underlying_kind))
    return rows


@cache
def position_limits() -> tuple[PositionRow, ...]:
    """Read the exchanges' limits on delta-weighted positions.

    Raises
    ------
    BadData
        For a bad row.
    """
    from toolkit.risk.bands import PositionRow

    rows = tuple(
        PositionRow(
            start=row.date("from"),
            underlying_kind=row.text("underlying_kind", ("index", "stock")),
            phase=row.text("phase", ("intraday", "end_of_day")),
            net_p=int(row.decimal("net_crore") * 10**9),
            gross_p=int(row.decimal("gross_crore") * 10**9),
            source=row.text("source"),
            verified_until=row.date("verified_until"),
        )
        for row in _table("position_limits.csv", ["from", "underlying_kind", "phase", "net_crore", "gross_crore"])
    )
    _ascending("position_limits.csv", rows, lambda row: (row.underlying_kind, row.phase))
    return rows
