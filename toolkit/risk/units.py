"""Quantities as people write them in a rules file, each of its own type: no figure without its unit.

>>> Rupees.parse("2.5 lakh")
25000000
>>> Span.parse("30 min")
1800000000000
"""

from __future__ import annotations

import datetime as dt
import math
import re
from decimal import Decimal
from typing import Any, Final

from toolkit.errors import BadData

__all__ = ["Clock", "Percent", "Rupees", "Span", "decode", "written"]

_NUMBER: Final = re.compile(r"^(-?[0-9][0-9_,]*(?:\.[0-9]+)?)\s*([A-Za-z%]+)$")
_RUPEES: Final = {"rs": 100, "lakh": 100 * 10**5, "crore": 100 * 10**7}
_SPANS: Final = {
    "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9, "day": 86400 * 10**9, "days": 86400 * 10**9,
}  # fmt: skip


class Rupees(int):
    """An amount in paise, written ``"25000 Rs"``, ``"2.5 lakh"`` or ``"1 crore"``."""

    @classmethod
    def parse(cls, value: object) -> Rupees:
        """Read an amount with its unit."""
        number, factor = _read(value, _RUPEES, "an amount such as '25000 Rs' or '2.5 lakh'")
        paise = number * factor
        if paise != int(paise) or not 0 <= paise < 1 << 62:
            raise BadData(f"an amount must be whole paise from 0, was {value!r}")
        return cls(int(paise))


class Span(int):
    """A length of time in nanoseconds, written ``"90 s"``, ``"30 min"``, ``"2 h"`` or ``"1 day"``."""

    @classmethod
    def parse(cls, value: object) -> Span:
        """Read a length of time with its unit."""
        number, factor = _read(value, _SPANS, "a length of time such as '90 s' or '30 min'")
        if number <= 0 or number * factor >= 1 << 62:
            raise BadData(f"a length of time must be above 0, was {value!r}")
        return cls(int(number * factor))


class Percent(float):
    """A share as a fraction, written ``"5 %"``."""

    @classmethod
    def parse(cls, value: object) -> Percent:
        """Read a share with its sign of percent."""
        number, _ = _read(value, {"%": 1}, "a share such as '5 %'")
        share = float(number) / 100.0
        if not (math.isfinite(share) and share >= 0.0):
            raise BadData(f"a share must be a number from 0 %, was {value!r}")
        return cls(share)


class Clock(int):
    """A time of day in India in seconds after midnight, written ``"13:30"`` or as TOML's own time."""

    @classmethod
    def parse(cls, value: object) -> Clock:
        """Read a time of day."""
        if isinstance(value, dt.time):
            return cls(value.hour * 3600 + value.minute * 60 + value.second)
        found = re.fullmatch(r"([01]?[0-9]|2[0-4]):([0-5][0-9])", value) if isinstance(value, str) else None
        if found is None or (found[1] == "24" and found[2] != "00"):
            raise BadData(f"it must be a time of day such as '13:30', was {value!r}")
        return cls(int(found[1]) * 3600 + int(found[2]) * 60)


def _read(value: object, units: dict[str, int], want: str) -> tuple[Decimal, int]:
    found = _NUMBER.match(value.strip()) if isinstance(value, str) else None
    factor = None if found is None else units.get(found[2].lower())
    if found is None or factor is None:
        raise BadData(f"it must be {want}, was {value!r}")
    return Decimal(found[1].replace(",", "").replace("_", "")), factor


def decode(kind: type, value: Any) -> Any:
    """Read a value of one of these types: msgspec's ``dec_hook``."""
    if kind not in (Rupees, Span, Percent, Clock):
        raise BadData(f"a value of {kind} cannot be read from a rules file, was {value!r}")
    return value if type(value) is kind else kind.parse(value)


def written(value: object) -> object:
    """A value as it would stand in the file."""
    if isinstance(value, Rupees):
        for unit in ("crore", "lakh"):
            if value and value % _RUPEES[unit] == 0:
                return f"{value // _RUPEES[unit]} {unit}"
        return f"{value // 100} Rs" if value % 100 == 0 else f"{value // 100}.{value % 100:02d} Rs"
    if isinstance(value, Span):
        for unit in ("h", "min", "s"):
            if value % _SPANS[unit] == 0:
                return f"{value // _SPANS[unit]} {unit}"
        return f"{value / 10**6:g} ms"
    if isinstance(value, Percent):
        return f"{value * 100:g} %"
    if isinstance(value, Clock):
        return f"{value // 3600:02d}:{value % 3600 // 60:02d}"
    return list(value) if isinstance(value, tuple) else value
