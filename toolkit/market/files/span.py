"""The clearing corporation's daily parameter file (``.spn``, XML, file format 4.00) of NSE or BSE.

One long unit of each contract under the 16 scenarios, rupees, positive a loss: taken as they
are, with scenarios 15 and 16 already weighted. The file has no lots and no exchange tokens, so
contracts are named by symbol, expiry, strike and side. It is read as a stream: about 60 MB of
XML never stand in memory as a tree, and only the wanted symbols are kept.
"""

from __future__ import annotations

import datetime as dt
import io
import math
import re
import xml.etree.ElementTree as ET
from collections import Counter
from typing import Final
from xml.parsers import expat

import msgspec
import polars as pl

from toolkit.errors import BadData
from toolkit.market.files import reading
from toolkit.market.schema import MARGINS

__all__ = ["is_span", "read_span", "revision_of"]

_REVISION: Final = re.compile(r"\.(i\d{1,2}|s)\.|-(\d{2}|FINAL)\.", re.IGNORECASE)
_BSE: Final = ("ICCL", "BSE", "BOISL")
_VALUES: Final = 16
_REFUSED: Final = {
    "ra": "no 16 scenario values",
    "pe": "expiry is not a date",
    "k": "strike is not a positive number of paise",
    "o": "side is neither C nor P",
    "p": "price is not a number",
}


def is_span(source: reading.Source) -> bool:
    """Whether the file is one."""
    return b"<spanFile" in source.body[:512]


def revision_of(name: str) -> str:
    """Which of the day's files a name means: ``s`` (settlement) or ``i1`` to ``i5``; empty when it does not say.

    >>> revision_of("nsccl.20260213.i01.spn"), revision_of("nsccl.20260213.s.zip")
    ('i1', 's')
    >>> revision_of("BSERISK20260213-00.ZIP"), revision_of("BSERISK20260213-FINAL.ZIP")
    ('i1', 's')
    """
    match = _REVISION.search(name)
    if match is None:
        return ""
    nse, bse = match.groups()
    if nse:
        return "s" if nse.lower() == "s" else f"i{int(nse[1:])}"
    return "s" if bse.upper() == "FINAL" else f"i{int(bse) + 1}"


class _Head(msgspec.Struct):
    """What the file says of itself and of one portfolio while it streams by."""

    date: dt.date | None = None
    settled: bool = False
    org: str = ""
    level: dict[str, tuple[float, float, float]] = {}
    rates: dict[str, float] = {}
    scans: dict[str, tuple[float, float]] = {}
    minimums: dict[str, float] = {}


class _Rows:
    """Rows of the tables while the file streams by, and every contract accounted for."""

    def __init__(self, source: reading.Source, wanted: tuple[str, ...]) -> None:
        self.source = source
        self.wanted = frozenset(name.upper() for name in wanted)
        self.head = _Head()
        self.read = 0
        self.refused: Counter[str] = Counter()
        self.contracts: list[tuple[object, ...]] = []
        self.spreads: list[tuple[object, ...]] = []
        self.seen: set[str] = set()
        self._elements: Counter[str] = Counter()

    def wants(self, code: str) -> bool:
        self.seen.add(code)
        return not self.wanted or code.upper() in self.wanted

    def stream(self) -> None:
        code = ""
        body = io.BytesIO(self.source.body)
        try:
            for _, element in ET.iterparse(body, events=("end",)):  # noqa: S314  # entities were refused before
                tag = element.tag
                if tag == "pfCode":
                    code = _text(element)
                elif tag in ("phy", "fut", "series"):
                    self._elements[tag] += 1
                    getattr(self, f"_{tag}")(code, element)
                    element.clear()
                elif tag in ("phyPf", "futPf", "oopPf", "ccDef"):
                    self._elements[tag] += 1
                    if tag == "ccDef":
                        self._definition(element)
                    element.clear()
                elif tag in ("date", "isSetl", "ec"):
                    self._own(tag, _text(element))
        except ET.ParseError as error:
            line, column = error.position
            what = expat.ErrorString(error.code)
            raise BadData(
                f"{self.source.name} line {line} column {column}: the XML is damaged ({what}); download it again"
            ) from None

    def _own(self, tag: str, text: str) -> None:
        if tag == "date" and self.head.date is None:
            self.head.date = _day(text)
            if self.head.date is None:
                raise self._bad("date", 1, f"date must be YYYYMMDD, was {text!r}")
        elif tag == "isSetl":
            self.head.settled = text == "1"
        elif tag == "ec" and not self.head.org:
            self.head.org = text.upper()

    def _phy(self, code: str, element: ET.Element) -> None:
        if not self.wants(code):
            return
        price, vol = _number(element, "p"), _number(element, "v")
        if not (price > 0.0):
            raise self._bad(
                "phy", self._elements["phy"], f"price of {code} must be above zero, was {_said(element, 'p')}"
            )
        self.head.level[code] = (price, vol, math.nan)
        self._scan(code, element)

    def _fut(self, code: str, element: ET.Element) -> None:
        if not self.wants(code):
            return
        self._scan(code, element)
        self._interest(code, element)
        self._contract(code, "future", _day(_text(element.find("pe"))), element)

    def _series(self, code: str, element: ET.Element) -> None:
        if not self.wants(code):
            return
        self._scan(code, element)
        self._interest(code, element)
        expiry, vol = _day(_text(element.find("pe"))), _number(element, "v")
        price, known, _ = self.head.level.get(code, (math.nan, math.nan, math.nan))
        if math.isnan(known) or known <= 0.0:
            self.head.level[code] = (price, vol, math.nan)
        for option in element.findall("opt"):
            self._contract(code, "option", expiry, option)

    def _scan(self, code: str, element: ET.Element) -> None:
        rate = element.find("scanRate")
        if rate is not None and code not in self.head.scans:
            price, vol = _number(rate, "priceScan"), _number(rate, "volScan")
            if price > 0.0:
                self.head.scans[code] = (price, vol)

    def _interest(self, code: str, element: ET.Element) -> None:
        rate = element.find("intrRate")
        if rate is not None and code not in self.head.rates:
            self.head.rates[code] = _number(rate, "val")

    def _contract(self, code: str, kind: str, expiry: dt.date | None, element: ET.Element) -> None:
        self.read += 1
        side, strike = None, None
        array = element.find("ra")
        values = [] if array is None else [_float(_text(a)) for a in array.findall("a")]
        price = _number(element, "p")
        wrong = ""
        if kind == "option":
            side = {"C": "CE", "P": "PE"}.get(_text(element.find("o")))
            k = _number(element, "k") * 100.0
            strike = round(k) if k > 0.0 and abs(k - round(k)) < 1e-6 else None
            wrong = "o" if side is None else "k" if strike is None else ""
        if len(values) != _VALUES or not all(map(math.isfinite, values)):
            wrong = "ra"
        elif expiry is None:
            wrong = "pe"
        elif not (price >= 0.0):
            wrong = "p"
        if wrong:
            self.refused[_REFUSED[wrong]] += 1
            return
        assert array is not None
        composite = _number(array, "d")
        self.contracts.append((code, kind, expiry, strike, side, price, composite, values))

    def _definition(self, element: ET.Element) -> None:
        code = _text(element.find("cc"))
        if not self.wants(code):
            return
        for minimum in element.findall("somTiers/tier/rate"):
            value = _number(minimum, "val")
            if value > 0.0:
                self.head.minimums[code] = value
        for number, spread in enumerate(element.findall("dSpread"), start=1):
            near, far = (_day(_text(leg.find("pe"))) for leg in _two(spread))
            priority, rate = _number(spread, "spread"), _number(spread, "rate/val")
            if near is None or far is None or not (rate >= 0.0):
                text = f"spread {number} of {code} must have two expiries and a rate, was {_said(spread, 'rate/val')}"
                raise self._bad("ccDef", self._elements["ccDef"], text)
            at = number if math.isnan(priority) else int(priority)
            self.spreads.append((code, at, min(near, far), max(near, far), rate))

    def _bad(self, tag: str, ordinal: int, text: str) -> BadData:
        return BadData(f"{self.source.name} line {_line_of(self.source.body, tag, ordinal)}: {text}; download it again")


def read_span(source: reading.Source, *, underlyings: tuple[str, ...] = ()) -> reading.Imported:
    """Convert a parameter file into the tables ``margin``, ``margin_arrays`` and ``margin_spreads``.

    Parameters
    ----------
    source : Source
        The file, unpacked.
    underlyings : tuple of str
        Keep only these symbols; none keeps all.

    Raises
    ------
    BadData
        Damaged XML, entities or a DTD, a number or a date that is none (with its line), a date that differs
        from the name's, or no wanted symbol in it.
    """
    head = source.body[:4096]
    if b"\x00" in head or b"<!DOCTYPE" in source.body or b"<!ENTITY" in source.body:
        raise BadData(
            f"{source.name} declares a document type or entities, which a parameter file has not; download it again"
        )
    rows = _Rows(source, underlyings)
    rows.stream()
    date = _checked(rows, source)
    revision = revision_of(source.name) or ("s" if rows.head.settled else "i1")
    exchange = "BSE" if rows.head.org in _BSE or source.name.upper().startswith("BSE") else "NSE"
    own = {"date": date, "exchange": exchange, "revision": revision}
    noted = [] if revision_of(source.name) else [(f"file without a revision in its name, taken as {revision}", 1)]
    return reading.Imported(
        format="span",
        name=source.name,
        sha256=source.sha256,
        rows_read=rows.read,
        rows_kept=len(rows.contracts),
        refused=tuple(sorted(rows.refused.items())),
        noted=tuple(noted),
        options=(("underlyings", ",".join(sorted(rows.wanted))),) if rows.wanted else (),
        tables=_tables(rows, own),
    )


def _checked(rows: _Rows, source: reading.Source) -> dt.date:
    date = rows.head.date
    if date is None:
        raise BadData(f"{source.name} names no date in pointInTime; it is no daily parameter file")
    named = reading.dates_in_name(source.name)
    if named and named[0] != date:
        raise BadData(f"{source.name} is of {date} inside, its name says {named[0]}; download it again")
    if not rows.contracts:
        from toolkit.errors import nearest

        if rows.wanted and not rows.wanted & {code.upper() for code in rows.seen}:
            missing = sorted(rows.wanted)[0]
            raise BadData(
                f"{source.name} has no {missing}{nearest(missing, rows.seen)}; it names {len(rows.seen)} symbols"
            )
        reasons = "; ".join(f"{n} {r}" for r, n in sorted(rows.refused.items())) or "it has none"
        raise BadData(f"{source.name} holds no usable contract ({reasons})")
    lacking = sorted({str(row[0]) for row in rows.contracts} - set(rows.head.level))
    if lacking:
        raise BadData(f"{source.name} gives no price of the underlying {', '.join(lacking[:5])}; download it again")
    unscanned = sorted({str(row[0]) for row in rows.contracts} - set(rows.head.scans))
    if unscanned:
        raise BadData(f"{source.name} gives no scan range of {', '.join(unscanned[:5])}; download it again")
    return date


def _tables(rows: _Rows, own: dict[str, object]) -> dict[str, pl.DataFrame]:
    head = rows.head
    kept = sorted({str(row[0]) for row in rows.contracts})
    params = [
        own
        | {
            "underlying": code,
            "source": rows.source.name,
            "spot": head.level[code][0],
            "vol": head.level[code][1],
            "price_scan": head.scans[code][0],
            "vol_scan": head.scans[code][1],
            "rate": head.rates.get(code, 0.0),
            "short_option_minimum": head.minimums.get(code, 0.0),
        }
        for code in kept
    ]
    names = ("underlying", "kind", "expiry", "strike_p", "option_type", "price", "composite_delta", "losses")
    spreads = ("underlying", "priority", "near", "far", "rate")
    return {
        "margin": pl.DataFrame(params, schema=MARGINS["margin"]),
        "margin_arrays": _frame("margin_arrays", names, rows.contracts, own),
        "margin_spreads": _frame("margin_spreads", spreads, [row for row in rows.spreads if row[0] in kept], own),
    }


def _frame(table: str, names: tuple[str, ...], rows: list[tuple[object, ...]], own: dict[str, object]) -> pl.DataFrame:
    schema = MARGINS[table]
    columns: dict[str, list[object]] = {name: [row[at] for row in rows] for at, name in enumerate(names)}
    fixed = {name: [value] * len(rows) for name, value in own.items()}
    return (
        pl.DataFrame({**fixed, **columns}, schema_overrides=dict(schema), strict=True)
        .select(list(schema))
        .cast(dict(schema))
    )


def _two(spread: ET.Element) -> list[ET.Element]:
    legs = spread.findall("pLeg")
    return [*legs, ET.Element("pLeg"), ET.Element("pLeg")][:2]


def _text(element: ET.Element | None) -> str:
    return "" if element is None or element.text is None else element.text.strip()


def _said(element: ET.Element, path: str) -> str:
    return repr(_text(element.find(path)))


def _number(element: ET.Element, path: str) -> float:
    return _float(_text(element.find(path)))


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _day(text: str) -> dt.date | None:
    try:
        return dt.datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007
    except ValueError:
        return None


def _line_of(body: bytes, tag: str, ordinal: int) -> int:
    """The line of the ``ordinal``-th element of a name; a second pass, made only to word an error."""
    found = [0, 1]
    parser = expat.ParserCreate()

    def start(name: str, _attributes: dict[str, str]) -> None:
        if name == tag and found[0] < ordinal:
            found[0] += 1
            found[1] = parser.CurrentLineNumber

    parser.StartElementHandler = start
    try:
        parser.Parse(body, True)
    except expat.ExpatError:
        return found[1]
    return found[1]
