"""XTS's names for what is listed, its time stamps and its text numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from toolkit.calendar import to_ist
from toolkit.sim.roster import INDEX_SEGMENT, Listed, Roster
from toolkit.types import Kind, OptionType

__all__ = ["SEGMENT_NUMBERS", "Directory", "raw_s", "stamp", "text_number", "trading_symbol"]

SEGMENT_NUMBERS: Final = {"NSECM": 1, "NSEFO": 2, "BSECM": 11, "BSEFO": 12}
_SEGMENTS: Final = {1: "NSECM", 2: "NSEFO", 4: "BSECM", 5: "BSEFO"}
# NIFTY 50 and NIFTY BANK are the ids in the field; the others are this simulation's own.
_INDEX_IDS: Final = {
    "NIFTY 50": 26000,
    "NIFTY BANK": 26001,
    "NIFTY FIN SERVICE": 26034,
    "NIFTY MID SELECT": 26121,
    "NIFTY NEXT 50": 26054,
    "SENSEX": 26065,
    "BANKEX": 26118,
}
_SECOND: Final = 1_000_000_000
_TO_1980: Final = 315_532_800
_IST_S: Final = 19_800


class Directory:
    """The listed contracts by XTS's (segment number, instrument id)."""

    def __init__(self, roster: Roster) -> None:
        self.rows = roster.rows
        self.ids: dict[int, tuple[str, int]] = {row.key: _id(row) for row in roster.rows}
        self._by_id = {(SEGMENT_NUMBERS[self.ids[row.key][0]], self.ids[row.key][1]): row for row in roster.rows}

    def find(self, segment: Any, instrument: Any) -> Listed | None:
        """The contract of a segment (name or number) and id (number or digits), None when it is not listed."""
        number = SEGMENT_NUMBERS.get(segment) if isinstance(segment, str) and not segment.isdigit() else whole(segment)
        wanted = whole(instrument)
        return None if number is None or wanted is None else self._by_id.get((number, wanted))

    def segment(self, listed: Listed) -> str:
        """The segment's name, as orders have it."""
        return self.ids[listed.key][0]

    def number(self, listed: Listed) -> int:
        """The segment's number, as market data has it."""
        return SEGMENT_NUMBERS[self.ids[listed.key][0]]

    def instrument(self, listed: Listed) -> int:
        """The instrument id."""
        return self.ids[listed.key][1]

    def among(self, segments: Iterable[str]) -> list[Listed]:
        """What is listed in some segments, by name."""
        wanted = set(segments)
        return [row for row in self.rows if self.ids[row.key][0] in wanted]


def trading_symbol(listed: Listed) -> str:
    """The name in rows: ``NIFTY 30JAN2025 PE 23250``, ``NIFTY 30JUN2026``."""
    instrument = listed.instrument
    if instrument.expiry is None:
        return listed.name
    text = f"{instrument.underlying} {instrument.expiry:%d%b%Y}".upper()
    if instrument.kind is not Kind.OPTION or instrument.strike_p is None:
        return text
    side = "CE" if instrument.option_type is OptionType.CE else "PE"
    return f"{text} {side} {instrument.strike_p / 100:g}"


def whole(value: Any) -> int | None:
    """A whole number as JSON number or digits, None when it is neither."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.strip().lstrip("-").isdigit():
        return int(value)
    return None


def raw_s(ns: int) -> int:
    """Seconds since 1980 on the Indian wall clock; 0 for no time.

    >>> raw_s(1_765_864_800 * 10**9)
    1450351800
    """
    return ns // _SECOND - _TO_1980 + _IST_S if ns > 0 else 0


def stamp(ns: int, style: str = "iso") -> str:
    """A time in one of the spellings of rows; 1980 for no time.

    >>> stamp(0)
    '1980-01-01T00:00:00'
    """
    if ns <= 0:
        return "01-01-1980 00:00:00" if style.startswith("day_first") else "1980-01-01T00:00:00"
    at = to_ist(ns)
    if style == "iso":
        return f"{at:%Y-%m-%dT%H:%M:%S}.{ns % _SECOND // 100:07d}"
    if style == "zoned":
        return f"{at:%Y-%m-%dT%H:%M:%S}+05:30"
    if style == "month_first":
        return f"{at:%b %d %Y %H:%M:%S}"
    text = f"{at:%d-%m-%Y %H:%M:%S}"
    return f"{text}.{ns % _SECOND // 1_000_000:03d}" if style == "day_first_ms" else text


def text_number(value: float) -> str:
    """A number as rows have it: two decimals, thousands parted by commas.

    >>> text_number(1234567.5)
    '1,234,567.50'
    """
    return f"{value:,.2f}"


def _id(row: Listed) -> tuple[str, int]:
    venue = "BSECM" if row.venue == "BSE" else "NSECM"
    if row.key % 256 == INDEX_SEGMENT:
        return venue, _INDEX_IDS.get(row.name, row.exchange_token)
    return _SEGMENTS[row.key % 256], row.exchange_token
