"""Legs written as people say them.

``SELL 1 lot NIFTY 24FEB2026 25000 CE, BUY 65 units NIFTY 24FEB2026 FUT @ 25518.8``
"""

from __future__ import annotations

import math
import re
from typing import Final

import msgspec

from toolkit.contracts import Contract, parse_symbol
from toolkit.errors import BadData, UnknownSymbol, nearest
from toolkit.types import Side

__all__ = ["AskedLeg", "parse_legs"]

_SIDES: Final = {"BUY": Side.BUY, "SELL": Side.SELL}
_COUNTS: Final = {"LOT": True, "LOTS": True, "UNIT": False, "UNITS": False, "QTY": False}
_FORM: Final = "SELL 1 lot NIFTY 24FEB2026 25000 CE"


class AskedLeg(msgspec.Struct, frozen=True):
    """One leg as asked: ``count`` lots or units, ``price`` in rupees, NaN when not said."""

    side: Side
    count: int
    in_lots: bool
    contract: Contract
    price: float = math.nan


def parse_legs(text: str) -> tuple[AskedLeg, ...]:
    """Read legs parted by commas or semicolons.

    Raises
    ------
    BadData
        A word that does not fit; the text names the leg, the word and the nearest one that would.
    """
    pieces = [piece.strip() for piece in re.split(r"[,;\n]", text) if piece.strip()]
    if not pieces:
        raise BadData(f"legs must name at least one leg such as '{_FORM}', was {text!r}")
    return tuple(_leg(number, piece) for number, piece in enumerate(pieces, start=1))


def _leg(number: int, text: str) -> AskedLeg:
    words = text.split()
    if len(words) < 4:
        raise BadData(f"leg {number} must read like '{_FORM}', was {text!r}")
    side = _SIDES.get(words[0].upper())
    if side is None:
        raise _wrong(number, "begin with BUY or SELL", words[0], _SIDES)
    if not (words[1].isascii() and words[1].isdigit()) or int(words[1]) == 0:
        raise BadData(f"leg {number}: the quantity must be a whole number from 1, was {words[1]!r}")
    in_lots = _COUNTS.get(words[2].upper())
    if in_lots is None:
        raise _wrong(number, "say lot, lots or units after the quantity", words[2], ("LOT", "LOTS", "UNITS"))
    symbol, _, price = " ".join(words[3:]).partition("@")
    try:
        contract = parse_symbol(symbol.strip())
    except UnknownSymbol as error:
        raise BadData(f"leg {number}: {error}") from None
    return AskedLeg(side, int(words[1]), in_lots, contract, _price(number, price.strip()))


def _price(number: int, text: str) -> float:
    if not text:
        return math.nan
    try:
        price = float(text)
    except ValueError:
        price = math.nan
    if not (math.isfinite(price) and price > 0.0):
        raise BadData(f"leg {number}: the price after @ must be rupees above zero, was {text!r}")
    return price


def _wrong(number: int, want: str, was: str, among: object) -> BadData:
    return BadData(f"leg {number} must {want}, was {was!r}{nearest(was.upper(), list(among))}")  # type: ignore[call-overload]
