"""How a value is written for people: the one place for reports, pages and notebooks.

Every function is pure, takes a plain value and returns text; ``None``, NaN and
infinities are unknown and give an en dash, never a zero. Digits are ASCII, the minus
sign is the hyphen (it survives a paste), groups are lakh and crore.
"""

from __future__ import annotations

import datetime as dt
import math
from typing import Final

__all__ = [
    "UNKNOWN",
    "age",
    "change",
    "delta",
    "expiry",
    "gamma",
    "group",
    "iv",
    "lakh",
    "lakh_exact",
    "percent",
    "price",
    "quantity",
    "ratio",
    "rupees",
    "rupees_exact",
    "signed",
    "strike",
    "time_ist",
    "vol_points",
]

UNKNOWN: Final = "–"
CRORE: Final = 10_000_000
LAKH: Final = 100_000
IST: Final = dt.timezone(dt.timedelta(hours=5, minutes=30), "IST")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

Number = float | int | None


def group(value: int) -> str:
    """Group an integer's digits by lakh and crore.

    >>> group(12345678)
    '1,23,45,678'
    """
    digits = str(abs(value))
    head, tail = digits[:-3], digits[-3:]
    parts = [tail]
    while head:
        parts.insert(0, head[-2:])
        head = head[:-2]
    return ("-" if value < 0 else "") + ",".join(parts)


def _known(value: Number) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return float(value)


def _fixed(value: float, decimals: int) -> str:
    text = f"{abs(value):.{decimals}f}"
    whole, _, fraction = text.partition(".")
    minus = "-" if value < 0 and float(text) != 0 else ""
    return minus + group(int(whole)) + ("." + fraction if fraction else "")


def signed(value: Number, decimals: int = 2) -> str:
    """A figure with its sign; what rounds to zero has none.

    >>> signed(1234.5), signed(-0.001)
    ('+1,234.50', '0.00')
    """
    known = _known(value)
    if known is None:
        return UNKNOWN
    text = _fixed(known, decimals)
    return text if text.startswith("-") or not any(c in "123456789" for c in text) else "+" + text


def price(value: Number) -> str:
    """A price in rupees or index points: two decimals, no rupee sign.

    >>> price(123456.05)
    '1,23,456.05'
    """
    known = _known(value)
    return UNKNOWN if known is None else _fixed(known, 2)


def strike(value: Number) -> str:
    """A strike in points: decimals only if it has them.

    >>> strike(24500.0), strike(122.5)
    ('24,500', '122.50')
    """
    known = _known(value)
    if known is None:
        return UNKNOWN
    return _fixed(known, 0 if known == round(known) else 2)


def rupees(value: Number) -> str:
    """Money, signed: whole rupees, from one crore on in crore.

    >>> rupees(124350.4), rupees(-12_400_000)
    ('+1,24,350', '-1.24 Cr')
    """
    known = _known(value)
    if known is None:
        return UNKNOWN
    if abs(known) >= CRORE:
        return signed(known / CRORE, 2) + " Cr"
    return signed(known, 0)


def rupees_exact(value: Number) -> str:
    """Money to the paisa, signed: for tooltips, bills and sums that must add up."""
    return signed(value, 2)


def lakh(units: Number) -> str:
    """Open interest or volume, given in units, shown in lakh of units.

    >>> lakh(3_250_000), lakh(325_000), lakh(75), lakh(0)
    ('32.5 L', '3.25 L', '<0.01 L', '0')
    """
    known = _known(units)
    if known is None:
        return UNKNOWN
    if known == 0:
        return "0"
    size = abs(known) / LAKH
    minus = "-" if known < 0 else ""
    if size < 0.005:
        return f"{minus}<0.01 L"
    return minus + _fixed(size, 1 if size >= 9.995 else 2) + " L"


def lakh_exact(units: Number, lot: int | None = None) -> str:
    """Both figures behind :func:`lakh`: exact units and lots.

    >>> lakh_exact(3_250_000, 75)
    '3250000 units = 43333.3 lots of 75'
    """
    known = _known(units)
    if known is None:
        return UNKNOWN
    exact = f"{known:.0f} units"
    return exact if not lot else f"{exact} = {known / lot:.1f} lots of {lot}"


def change(units: Number) -> str:
    """A change of open interest in lakh of units, with sign and arrow.

    >>> change(325_000), change(-1_500_000)
    ('▲ +3.25 L', '▼ -15.0 L')
    """
    text = lakh(units)
    if text in (UNKNOWN, "0"):
        return text
    return f"▼ {text}" if text.startswith("-") else f"▲ +{text}"


def quantity(units: int | None, lot: int | None = None, *, sign: bool = False) -> str:
    """A quantity in units, with its lots when the lot is known; ``sign`` for positions.

    >>> quantity(150, 75), quantity(-75, 75, sign=True)
    ('150 (2 lots)', '-75 (1 lot)')
    """
    if units is None:
        return UNKNOWN
    text = ("+" if sign and units > 0 else "") + group(units)
    if not lot:
        return text
    lots = abs(units) / lot
    count = group(int(lots)) if lots == int(lots) else f"{lots:.2f}"
    return f"{text} ({count} {'lot' if lots == 1 else 'lots'})"


def iv(fraction: Number) -> str:
    """Implied volatility, given as a fraction, shown in per cent without its sign.

    >>> iv(0.1243)
    '12.4'
    """
    known = _known(fraction)
    return UNKNOWN if known is None else f"{known * 100:.1f}"


def vol_points(fraction: Number) -> str:
    """A difference of volatilities, given as a fraction, shown in points, signed."""
    known = _known(fraction)
    return UNKNOWN if known is None else signed(known * 100, 1)


def delta(value: Number) -> str:
    """Delta per unit, signed, two decimals."""
    return signed(value, 2)


def gamma(value: Number) -> str:
    """Gamma per unit and point, four decimals."""
    known = _known(value)
    return UNKNOWN if known is None else _fixed(known, 4)


def ratio(value: Number) -> str:
    """A ratio such as PCR, two decimals."""
    known = _known(value)
    return UNKNOWN if known is None else _fixed(known, 2)


def percent(fraction: Number) -> str:
    """A relative change, given as a fraction.

    >>> percent(0.0042)
    '+0.42 %'
    """
    known = _known(fraction)
    return UNKNOWN if known is None else signed(known * 100, 2) + " %"


def time_ist(moment: dt.datetime | int | None, *, zone: bool = True, date: bool = False) -> str:
    """An instant (aware datetime, or nanoseconds UTC) as Indian time.

    >>> time_ist(0)
    '05:30:00 IST'
    """
    if moment is None:
        return UNKNOWN
    if isinstance(moment, int):
        at = dt.datetime.fromtimestamp(moment // 1_000_000_000, tz=IST)
    else:
        at = moment.astimezone(IST)
    text = f"{at.hour:02d}:{at.minute:02d}:{at.second:02d}"
    if date:
        text = f"{at.day:02d} {_MONTHS[at.month - 1]} {at.year} {text}"
    return f"{text} IST" if zone else text


def age(seconds: Number) -> str:
    """How old something is: ``0.4 s``, ``12 s``, ``3 min``, ``2 h``."""
    known = _known(seconds)
    if known is None:
        return UNKNOWN
    if known < 0.95:
        return f"{known:.1f} s"
    if known < 59.5:
        return f"{known:.0f} s"
    if known < 3570:
        return f"{known / 60:.0f} min"
    return f"{known / 3600:.0f} h"


def expiry(day: dt.date | None, on: dt.date | None = None) -> str:
    """An expiry date, with the days left when ``on`` is given.

    >>> expiry(dt.date(2025, 12, 2), dt.date(2025, 11, 28))
    '02 Dec Tue, 4 d'
    """
    if day is None:
        return UNKNOWN
    text = f"{day.day:02d} {_MONTHS[day.month - 1]} {_DAYS[day.weekday()]}"
    return text if on is None else f"{text}, {(day - on).days} d"
