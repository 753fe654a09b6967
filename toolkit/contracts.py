"""Contracts: dated rules, names and identity. Pure, over values that ``tables`` read.

A lot is a property of a contract, not of an underlying: two lots of one underlying trade
at once after a revision. For lot, tick, freeze quantity and expiry the day's file or the
broker's instrument master wins over these tables; `resolve` says when they differ.
"""

from __future__ import annotations

import calendar as months
import datetime as dt
import hashlib
import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Final, Generic, TypeVar

import msgspec

from toolkit.calendar import Calendar, StaleTable
from toolkit.errors import BadData, UnknownSymbol, nearest
from toolkit.types import Instrument, Kind, OptionType

__all__ = [
    "Contract",
    "ContractName",
    "ContractRules",
    "ExpiryRule",
    "FreezeRow",
    "LotRow",
    "Resolved",
    "SymbolBook",
    "TickRow",
    "UnderlyingRow",
    "contract_name",
    "future_symbol",
    "instrument_id",
    "option_symbol",
    "parse_contract_name",
    "parse_symbol",
    "resolve",
    "stand_in_token",
]

T = TypeVar("T")

_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEK_CODES: Final = "123456789OND"
_ANY: Final = "*"
_LONGEST_BREAK: Final = 7
"""Days in which an expiry surely finds a session to move back to."""
_SYMBOL: Final = re.compile(
    r"(\S+) (?:(EQ)|(\d{1,2})([A-Z]{3})(\d{4}) (?:(FUT)|(\d+(?:\.\d{1,2})?) (CE|PE)))", re.ASCII
)
_TAIL: Final = re.compile(r"(FUT)|((?:0|[1-9]\d*)(?:\.\d{1,2})?)(CE|PE)", re.ASCII)
_MONTHLY: Final = re.compile(r"(\d\d)(JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)(.+)", re.ASCII)
_WEEKLY: Final = re.compile(r"(\d\d)([1-9OND])(\d\d)(.+)", re.ASCII)


class LotRow(msgspec.Struct, frozen=True):
    """From a trade date: the lot of the contracts expiring in a range (None is open)."""

    start: dt.date
    underlying: str
    expiry_from: dt.date | None
    expiry_to: dt.date | None
    lot: int
    verified_until: dt.date


class FreezeRow(msgspec.Struct, frozen=True):
    """From a date: the largest order of an underlying that the exchange takes, in units."""

    start: dt.date
    underlying: str
    freeze_qty: int
    verified_until: dt.date


class TickRow(msgspec.Struct, frozen=True):
    """From a date: the price step in paise, while the index stands in ``(level_from, level_to]``."""

    start: dt.date
    underlying: str
    kind: str
    level_from: float | None
    level_to: float | None
    tick_p: int
    verified_until: dt.date


class ExpiryRule(msgspec.Struct, frozen=True):
    """The weekday (0 is Monday, None is no such cycle) of expiries from a date, known from a date."""

    start: dt.date
    known_from: dt.date
    underlying: str
    cycle: str
    weekday: int | None
    verified_until: dt.date


class UnderlyingRow(msgspec.Struct, frozen=True):
    """An underlying: the exchange of its derivatives and the gap between near strikes."""

    start: dt.date
    underlying: str
    exchange: str
    strike_step_p: int
    verified_until: dt.date


class Contract(msgspec.Struct, frozen=True):
    """What an exchange-neutral symbol names."""

    underlying: str
    kind: Kind
    expiry: dt.date | None = None
    strike_p: int | None = None
    option_type: OptionType | None = None

    @property
    def symbol(self) -> str:
        """The exchange-neutral symbol."""
        if self.expiry is None:
            return f"{self.underlying} EQ"
        if self.strike_p is None or self.option_type is None:
            return future_symbol(self.underlying, self.expiry)
        return option_symbol(self.underlying, self.expiry, self.strike_p, self.option_type)


class ContractName(msgspec.Struct, frozen=True):
    """What an exchange's contract name says. ``day`` is None in the monthly form: ask the expiry column."""

    underlying: str
    kind: Kind
    year: int
    month: int
    day: int | None
    strike_p: int | None
    option_type: OptionType | None


class Resolved(msgspec.Struct, Generic[T], frozen=True):
    """A value, where it came from (``file`` or ``table``), and one line when the two differ."""

    value: T
    source: str
    difference: str | None = None


def resolve(field: str, from_file: T | None, from_table: T | None) -> Resolved[T]:
    """Choose between the day's file (or broker's master) and the dated table: the file wins.

    >>> resolve("lot", 65, 75).difference
    'lot: file says 65, table says 75; the file wins'

    Raises
    ------
    BadData
        When neither knows.
    """
    if from_file is None:
        if from_table is None:
            raise BadData(f"{field} is neither in the file nor in the dated table; give it or add a row")
        return Resolved(from_table, "table")
    if from_table is None or from_table == from_file:
        return Resolved(from_file, "file")
    return Resolved(from_file, "file", f"{field}: file says {from_file}, table says {from_table}; the file wins")


class ContractRules(msgspec.Struct, frozen=True, kw_only=True):
    """The dated rules of NSE and BSE contracts.

    Rows are ascending by start within an underlying; of the rows that match, the one that
    started last is in force. Using it past its ``verified_until`` warns once; a date
    before the first row is `BadData`.
    """

    lots: Mapping[str, tuple[LotRow, ...]]
    freezes: Mapping[str, tuple[FreezeRow, ...]]
    ticks: tuple[TickRow, ...]
    expiry_rules: Mapping[str, tuple[ExpiryRule, ...]]
    underlyings: Mapping[str, UnderlyingRow]
    calendars: Mapping[str, Calendar]

    def lot(self, underlying: str, expiry: dt.date, on: dt.date) -> int:
        """Give the units in one lot of the contract expiring on ``expiry``, as of ``on``.

        Raises
        ------
        UnknownSymbol
            For an underlying without rows: a stock's lot comes from the day's file.
        BadData
            Before the first row.
        """
        rows = self.lots.get(underlying)
        if rows is None:
            raise UnknownSymbol(
                f"no lot of {underlying!r} in the dated table{nearest(underlying, self.lots)};"
                " a stock's lot comes from the day's file or the broker's instrument master"
            )
        found = None
        for row in rows:
            above = row.expiry_from is None or row.expiry_from <= expiry
            below = row.expiry_to is None or expiry <= row.expiry_to
            if row.start <= on and above and below:
                found = row
        if found is None:
            raise BadData(f"lot of {underlying} is not known on {on}; the table starts {rows[0].start}")
        _check_verified(f"lots of {underlying}", max(row.verified_until for row in rows), on)
        return found.lot

    def freeze_qty(self, underlying: str, on: dt.date) -> int | None:
        """Give the quantity above which the exchange refuses an order, in units.

        None for an underlying without rows (a stock): the instrument master may know.

        Raises
        ------
        BadData
            Before the first row of a listed underlying.
        """
        rows = self.freezes.get(underlying)
        if rows is None:
            return None
        found = None
        for row in rows:
            if row.start <= on:
                found = row
        if found is None:
            raise BadData(f"freeze quantity of {underlying} is not known on {on}; the table starts {rows[0].start}")
        _check_verified(f"freeze quantities of {underlying}", found.verified_until, on)
        return found.freeze_qty

    def max_order_qty(
        self, underlying: str, expiry: dt.date, on: dt.date, lot: int | None = None, freeze_qty: int | None = None
    ) -> int | None:
        """Give the largest legal order in units: ``floor(freeze / lot) * lot``.

        ``lot`` and ``freeze_qty`` from a master win over the table. None when no source
        knows the freeze quantity.

        Raises
        ------
        BadData
            When the lot is not positive or larger than the freeze quantity.
        """
        freeze = self.freeze_qty(underlying, on) if freeze_qty is None else freeze_qty
        if freeze is None:
            return None
        units = self.lot(underlying, expiry, on) if lot is None else lot
        if units <= 0 or units > freeze:
            raise BadData(f"lot of {underlying} must be 1 to the freeze quantity {freeze}, was {units}")
        return freeze // units * units

    def tick_p(self, underlying: str, kind: Kind | str, on: dt.date, level: float | None = None) -> int:
        """Give the price step in paise of an option or future.

        The step of an index future depends on the index since 15-Apr-2025. Without
        ``level`` the widest step is given: a price on it is legal on the finer ones too.

        Raises
        ------
        BadData
            Before the first row, for another kind, for a level that is not positive, and for
            a stock future since 15-Apr-2025 (its step is the share's: read the master).
        """
        if level is not None and not level > 0:
            raise BadData(f"level of {underlying} must be positive, was {level!r}")
        rows = [row for row in self.ticks if row.kind == str(kind) and row.underlying in (underlying, _ANY)]
        if not rows:
            raise BadData(f"kind must be 'option' or 'future', was {str(kind)!r}")
        starts = [row.start for row in rows if row.start <= on]
        if not starts:
            raise BadData(f"tick of {underlying} is not known on {on}; the table starts {rows[0].start}")
        live = [row for row in rows if row.start == max(starts)]
        if len(live) > 1 and underlying not in self.underlyings:
            raise BadData(f"tick of the {underlying} future follows its share since {live[0].start}; read the master")
        _check_verified(f"ticks of {kind}s", live[0].verified_until, on)
        if level is None:
            return max(row.tick_p for row in live)
        return next(row.tick_p for row in live if row.level_to is None or level <= row.level_to)

    def exchange(self, underlying: str) -> str:
        """Give the exchange on which the underlying's derivatives trade; a stock's is NSE."""
        row = self.underlyings.get(underlying)
        return "NSE" if row is None else row.exchange

    def strike_step_p(self, underlying: str) -> int:
        """Give the usual gap between near strikes, in paise; far and long-dated strikes differ."""
        row = self.underlyings.get(underlying)
        if row is None:
            raise UnknownSymbol(
                f"no strike step of {underlying!r} in the dated table{nearest(underlying, self.underlyings)};"
                " derive it from the instrument master"
            )
        return row.strike_step_p

    def expiries(self, underlying: str, start: dt.date, end: dt.date, on: dt.date | None = None) -> list[dt.date]:
        """List the expiry days from ``start`` to ``end``, both included, weeklies and monthlies.

        A rule's day that is no regular session moves to the one before it.

        Parameters
        ----------
        underlying : str
            A name without rules of its own (a stock) takes the stocks' monthly cycle.
        start, end : date
        on : date, optional
            As announced on that date: contracts are re-dated while they live. By default
            as everything announced since has made them.

        Raises
        ------
        BadData
            Before the first rule.
        """
        rules = self._expiry_rules_on(underlying, on)
        if not rules or start < min(rule.start for rule in rules if rule.cycle == "monthly"):
            raise BadData(f"expiry rules of {underlying} are not known on {on or start}; the table starts later")
        asked = end if on is None else on
        _check_verified(f"expiry rules of {underlying}", max(rule.verified_until for rule in rules), asked)
        calendar = self.calendars[self.exchange(underlying)]
        found: set[dt.date] = set()
        for i in range((end - start).days + _LONGEST_BREAK + 1):
            day = start + dt.timedelta(days=i)
            if any(_falls_on(rules, cycle, day) for cycle in ("weekly", "monthly")):
                found.add(_moved_earlier(calendar, day, asked if day > end else on))
        return sorted(day for day in found if start <= day <= end)

    def is_monthly(self, underlying: str, expiry: dt.date, on: dt.date | None = None) -> bool:
        """Tell whether ``expiry`` is a monthly one, whose contract names omit the day.

        It need not be the last of its month: the weekly of 1-May-2025 moved to 30-Apr.
        """
        rules = self._expiry_rules_on(underlying, on)
        calendar = self.calendars[self.exchange(underlying)]
        days = (expiry + dt.timedelta(days=i) for i in range(_LONGEST_BREAK + 1))
        return any(
            _falls_on(rules, "monthly", day) and _moved_earlier(calendar, day, on or expiry) == expiry for day in days
        )

    def _expiry_rules_on(self, underlying: str, on: dt.date | None) -> list[ExpiryRule]:
        rules = self.expiry_rules.get(underlying, self.expiry_rules[_ANY])
        return [rule for rule in rules if on is None or rule.known_from <= on]


def _falls_on(rules: Iterable[ExpiryRule], cycle: str, day: dt.date) -> bool:
    found = None
    for rule in rules:
        if rule.cycle == cycle and rule.start <= day:
            found = rule
    if found is None or found.weekday != day.weekday():
        return False
    return cycle == "weekly" or (day + dt.timedelta(days=7)).month != day.month


def _moved_earlier(calendar: Calendar, day: dt.date, on: dt.date | None) -> dt.date:
    while not calendar.is_expiry_day(day, on):
        day -= dt.timedelta(days=1)
    return day


def _check_verified(what: str, verified_until: dt.date, on: dt.date) -> None:
    if on > verified_until:
        warnings.warn(
            f"{what} were verified until {verified_until} and are used past it; update data/tables",
            StaleTable,
            stacklevel=3,
        )


def _strike_text(strike_p: int) -> str:
    rupees, paise = divmod(strike_p, 100)
    return f"{rupees}.{paise:02d}".rstrip("0") if paise else str(rupees)


def _strike_p(text: str) -> int:
    rupees, _, paise = text.partition(".")
    return int(rupees) * 100 + int(paise.ljust(2, "0") or "0")


def _day_text(day: dt.date) -> str:
    return f"{day.day:02d}{_MONTHS[day.month - 1]}{day.year}"


def option_symbol(underlying: str, expiry: dt.date, strike_p: int, option_type: OptionType | str) -> str:
    """Write an option's exchange-neutral symbol.

    >>> option_symbol("NIFTY", dt.date(2025, 11, 25), 2450000, "CE")
    'NIFTY 25NOV2025 24500 CE'
    """
    if strike_p <= 0:
        raise BadData(f"strike of {underlying} must be positive, was {strike_p} paise")
    return f"{underlying} {_day_text(expiry)} {_strike_text(strike_p)} {OptionType(option_type)}"


def future_symbol(underlying: str, expiry: dt.date) -> str:
    """Write a future's exchange-neutral symbol.

    >>> future_symbol("NIFTY", dt.date(2025, 11, 25))
    'NIFTY 25NOV2025 FUT'
    """
    return f"{underlying} {_day_text(expiry)} FUT"


def parse_symbol(text: str) -> Contract:
    """Read an exchange-neutral symbol; case and repeated blanks do not matter.

    >>> parse_symbol("nifty 25nov2025 24500 ce").strike_p
    2450000

    Raises
    ------
    UnknownSymbol
        When the text has not this form.
    """
    match = _SYMBOL.fullmatch(" ".join(text.upper().split()))
    if match is None:
        raise UnknownSymbol(
            f"symbol must look like 'NIFTY 25NOV2025 24500 CE', 'NIFTY 25NOV2025 FUT' or 'RELIANCE EQ', was {text!r}"
        )
    underlying, equity, day, month, year, future, strike, right = match.groups()
    if equity:
        return Contract(underlying, Kind.EQUITY)
    try:
        expiry = dt.date(int(year), _MONTHS.index(month) + 1, int(day))
    except ValueError:
        raise UnknownSymbol(f"expiry of a symbol must be a date such as 25NOV2025, was {text!r}") from None
    if future:
        return Contract(underlying, Kind.FUTURE, expiry)
    strike_p = _strike_p(strike)
    if strike_p == 0:
        raise UnknownSymbol(f"strike of a symbol must be positive, was {text!r}")
    return Contract(underlying, Kind.OPTION, expiry, strike_p, OptionType(right))


def contract_name(contract: Contract, *, monthly: bool) -> str:
    """Write the exchange's contract name: the grammar of UDiFF files and broker symbols.

    The monthly form (last expiry of a month) omits the day.

    >>> contract_name(parse_symbol("NIFTY 06FEB2025 25900 CE"), monthly=False)
    'NIFTY2520625900CE'

    Raises
    ------
    BadData
        For an equity, which has no contract name.
    """
    expiry = contract.expiry
    if expiry is None:
        raise BadData(f"{contract.symbol} is no contract; only futures and options have contract names")
    if monthly:
        stem = f"{contract.underlying}{expiry:%y}{_MONTHS[expiry.month - 1]}"
    else:
        stem = f"{contract.underlying}{expiry:%y}{_WEEK_CODES[expiry.month - 1]}{expiry.day:02d}"
    if contract.strike_p is None:
        return stem + "FUT"
    return f"{stem}{_strike_text(contract.strike_p)}{contract.option_type}"


def parse_contract_name(name: str, ticker: str) -> ContractName:
    """Read an exchange's contract name (``NIFTY2520625900CE``, ``NIFTY25FEBFUT``).

    Parameters
    ----------
    name : str
    ticker : str
        The file's ``TckrSymb``: a name cannot be split without it (``SENSEX50...``).

    Raises
    ------
    BadData
        When the name does not start with the ticker or has not the grammar.
    """
    rest = name.removeprefix(ticker) if name.startswith(ticker) else ""
    monthly = _MONTHLY.fullmatch(rest)
    weekly = None if monthly else _WEEKLY.fullmatch(rest)
    tail = _TAIL.fullmatch(monthly[3] if monthly else weekly[4] if weekly else "")
    if tail is None:
        raise BadData(f"contract name must be {ticker} + YYMMM or YYmDD + FUT or strike and CE or PE, was {name!r}")
    if monthly:
        year, month, day = monthly[1], _MONTHS.index(monthly[2]) + 1, None
    else:
        assert weekly is not None
        year, month, day = weekly[1], _WEEK_CODES.index(weekly[2]) + 1, int(weekly[3])
    if day is not None and not 1 <= day <= months.monthrange(2000 + int(year), month)[1]:
        raise BadData(f"contract name must hold a day of its month, was {name!r}")
    future, strike, right = tail.groups()
    kind = Kind.FUTURE if future else Kind.OPTION
    return ContractName(
        ticker,
        kind,
        2000 + int(year),
        month,
        day,
        None if future else _strike_p(strike),
        None if future else OptionType(right),
    )


def stand_in_token(
    segment: str, underlying: str, expiry: dt.date, strike_p: int | None, option_type: OptionType | str | None
) -> int:
    """Give a negative token for a contract whose source names none: the same in every process and on every machine."""
    strike = "" if strike_p is None else strike_p
    right = "" if option_type is None else str(option_type)
    return -1 - _hash62(f"{segment}|{underlying}|{expiry.isoformat()}|{strike}|{right}")


def instrument_id(segment: str, token: int, first_listed: dt.date) -> int:
    """Give a positive int64 id: segment, exchange token and first day listed (tokens are reused)."""
    return 1 + _hash62(f"{segment}|{token}|{first_listed.isoformat()}")


def _hash62(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 2


class SymbolBook:
    """Find an instrument by neutral symbol, exchange contract name, token or a broker's own symbol.

    Parameters
    ----------
    instruments : iterable of Instrument
        The table of one day.
    broker_symbols : mapping of str to int, optional
        A broker's own symbols: text to ``instrument_id``.
    rules : ContractRules, optional
        Says which expiries are monthly, so named without their day; without it the last
        expiry of each month in the table is.
    """

    def __init__(
        self,
        instruments: Iterable[Instrument],
        broker_symbols: Mapping[str, int] | None = None,
        rules: ContractRules | None = None,
    ) -> None:
        rows = list(instruments)
        self._symbols = sorted({row.symbol for row in rows})
        self._found: dict[str, dict[int, Instrument]] = {}
        monthly = _monthlies(rows, rules)
        for row in rows:
            for name in _names(row, monthly):
                self._found.setdefault(name, {})[row.instrument_id] = row
        by_id = {row.instrument_id: row for row in rows}
        for text, known in (broker_symbols or {}).items():
            if known not in by_id:
                raise BadData(f"broker symbol {text!r} names instrument {known}, which is not in the table")
            self._found.setdefault(_key(text), {})[known] = by_id[known]

    def find(self, text: str, on: dt.date, exchange: str | None = None) -> Instrument:
        """Give the one live instrument that ``text`` names.

        Parameters
        ----------
        text : str
            ``NIFTY 25NOV2025 24500 CE``, ``NIFTY25NOV24500CE``, ``54321`` or a broker's
            symbol; an ``NSE:`` or ``BSE:`` prefix chooses the exchange.
        on : date
            A contract that expired before it is refused.
        exchange : str, optional

        Raises
        ------
        UnknownSymbol
            When no instrument, several, or only an expired one is meant; the text lists the candidates.
        """
        wanted, _, name = text.rpartition(":")
        market = exchange or _EXCHANGES.get(wanted.strip().upper(), wanted.strip().upper())
        rows = [row for row in self._found.get(_key(name), {}).values() if market in ("", row.exchange, row.segment)]
        live = [row for row in rows if row.expiry is None or row.expiry >= on]
        if len(live) == 1:
            return live[0]
        if live:
            listed = ", ".join(sorted(f"{row.exchange}:{row.symbol} (token {row.token})" for row in live))
            raise UnknownSymbol(f"symbol {text!r} names {len(live)} instruments: {listed}; name the exchange")
        if rows:
            row = rows[0]
            raise UnknownSymbol(f"symbol {text!r} expired on {row.expiry}{self._live_like(row, on)}")
        raise UnknownSymbol(f"no instrument {text!r} in the table{nearest(_key(name), self._symbols)}")

    def _live_like(self, expired: Instrument, on: dt.date) -> str:
        live = {
            row.instrument_id: row
            for rows in self._found.values()
            for row in rows.values()
            if (row.underlying, row.kind, row.strike_p, row.option_type)
            == (expired.underlying, expired.kind, expired.strike_p, expired.option_type)
            and row.expiry is not None
            and row.expiry >= on
        }
        names = [row.symbol for row in sorted(live.values(), key=lambda row: (row.expiry or on, row.symbol))][:3]
        return "; live ones: " + ", ".join(names) if names else ""


_EXCHANGES: Final = {"NFO": "NSE", "BFO": "BSE"}


def _key(text: str) -> str:
    return " ".join(text.upper().split())


def _monthlies(rows: Iterable[Instrument], rules: ContractRules | None) -> frozenset[tuple[str, dt.date]]:
    expiries = sorted({(row.underlying, row.expiry) for row in rows if row.expiry is not None})
    found: dict[tuple[str, int, int], dt.date] = {}
    named = set()
    for underlying, expiry in expiries:
        month = (underlying, expiry.year, expiry.month)
        if month not in named:
            found[month] = expiry
        if rules is not None and rules.is_monthly(underlying, expiry):
            found[month] = expiry
            named.add(month)
    return frozenset((underlying, expiry) for (underlying, _, _), expiry in found.items())


def _names(row: Instrument, monthly: frozenset[tuple[str, dt.date]]) -> list[str]:
    names = [_key(row.symbol)]
    if row.token is not None:
        names.append(str(row.token))
    if row.expiry is None:
        names.append(row.underlying.upper())
    else:
        contract = Contract(row.underlying.upper(), row.kind, row.expiry, row.strike_p, row.option_type)
        names.append(contract_name(contract, monthly=False))
        if (row.underlying, row.expiry) in monthly:
            names.append(contract_name(contract, monthly=True))
    return names
