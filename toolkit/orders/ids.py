"""Our order ids: day, account and sequence in letters and digits that fit every broker's tag."""

from __future__ import annotations

import datetime as dt
import zlib
from functools import lru_cache
from typing import Final

from toolkit.errors import BadData

__all__ = ["LONGEST", "check", "make", "sequence"]

LONGEST: Final = 20
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ACCOUNT: Final = 4
_SEQUENCE: Final = 5


def check(cl_ord_id: str) -> None:
    """Check an id that a caller chose.

    Raises
    ------
    BadData
        When it is not 1 to 20 ASCII letters and digits.
    """
    fits = isinstance(cl_ord_id, str) and 1 <= len(cl_ord_id) <= LONGEST
    if not (fits and cl_ord_id.isascii() and cl_ord_id.isalnum()):
        raise BadData(f"cl_ord_id must be 1 to {LONGEST} ASCII letters and digits, was {cl_ord_id!r}")


def make(day: dt.date, account: str, sequence: int) -> str:
    """Make an id: yymmdd, four digits of the account's checksum, five of the sequence, in base 36.

    >>> make(dt.date(2025, 8, 29), "PAPER", 1)
    '250829ZC8600001'
    """
    return _prefix(day, account) + _base36(sequence, _SEQUENCE)


def sequence(cl_ord_id: str, day: dt.date, account: str) -> int:
    """Give the sequence number inside an id of ours, 0 for anybody else's."""
    prefix = _prefix(day, account)
    tail = cl_ord_id.removeprefix(prefix)
    if tail == cl_ord_id or len(tail) != _SEQUENCE:
        return 0
    return int(tail, 36)


@lru_cache(maxsize=64)
def _prefix(day: dt.date, account: str) -> str:
    return f"{day.year % 100:02d}{day.month:02d}{day.day:02d}" + _base36(
        zlib.crc32(account.encode()) % 36**_ACCOUNT, _ACCOUNT
    )


def _base36(number: int, width: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text.rjust(width, "0")
