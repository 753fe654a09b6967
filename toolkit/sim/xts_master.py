"""XTS's master dump and instrument look-ups, from the roster of the simulated day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from toolkit.calendar import ist_date
from toolkit.sim.roster import INDEX_SEGMENT, Listed
from toolkit.sim.world import World
from toolkit.sim.xts_form import XtsRefusal, invalid
from toolkit.sim.xts_names import SEGMENT_NUMBERS, Directory, trading_symbol
from toolkit.types import Kind, OptionType

__all__ = ["LOOKUPS", "index_list", "instrument_row", "lookup", "master", "search"]

LOOKUPS: Final = ("series", "symbol", "expirydate", "futuresymbol", "optionsymbol", "optiontype")
_TYPES: Final = {Kind.FUTURE: 1, Kind.OPTION: 2, Kind.EQUITY: 8, Kind.INDEX: 16}
_RIGHTS: Final = {OptionType.CE: 3, OptionType.PE: 4}
_INDEX_NAMES: Final = {
    "NIFTY": "Nifty 50",
    "BANKNIFTY": "Nifty Bank",
    "FINNIFTY": "Nifty Fin Service",
    "MIDCPNIFTY": "Nifty Mid Select",
    "NIFTYNXT50": "Nifty Next 50",
    "SENSEX": "SENSEX",
    "BANKEX": "BANKEX",
}


def master(world: World, directory: Directory, segments: Iterable[Any]) -> str:
    """The dump of some segments, one line a contract; indices are not in it.

    Raises
    ------
    XtsRefusal
        For a segment that nobody knows.
    """
    asked = list(segments)
    unknown = [name for name in asked if name not in SEGMENT_NUMBERS]
    if unknown or not asked:
        raise invalid(f"exchangeSegmentList must name segments out of {', '.join(SEGMENT_NUMBERS)}")
    rows = [row for row in directory.among(asked) if row.key % 256 != INDEX_SEGMENT]
    return "\n".join(_line(instrument_row(world, directory, row)) for row in rows)


def index_list(directory: Directory, segment: Any) -> dict[str, Any]:
    """The indices of a segment as ``NAME_ID``; raises `XtsRefusal` for a segment without any."""
    found = [
        f"{row.name}_{directory.instrument(row)}"
        for row in directory.rows
        if row.key % 256 == INDEX_SEGMENT and str(directory.number(row)) == str(segment)
    ]
    if not found:
        raise XtsRefusal("e-instrument-0005", "Data Not Available")
    return {"exchangeSegment": str(segment), "indexList": found}


def lookup(world: World, directory: Directory, what: str, query: Mapping[str, str]) -> list[Any]:
    """One of the :data:`LOOKUPS` (lower case).

    Raises
    ------
    XtsRefusal
        When a key is missing or nothing matches.
    """
    rows = _matching(world, directory, query, what)
    if what == "series":
        found: list[Any] = sorted({_series(row) for row in rows})
    elif what == "expirydate":
        days = {row.instrument.expiry for row in rows if row.instrument.expiry is not None}
        found = [f"{day.isoformat()}T14:30:00" for day in sorted(days)]
    elif what == "optiontype":
        found = sorted({row.instrument.option_type.value for row in rows if row.instrument.option_type is not None})
    else:
        found = [instrument_row(world, directory, row) for row in rows]
    if not found:
        raise XtsRefusal("e-instrument-0005", "Data Not Available")
    return found


def search(world: World, directory: Directory, text: str) -> list[dict[str, Any]]:
    """Contracts whose name or trading symbol holds every word of ``text``; at most 100."""
    words = text.upper().split()
    if not words:
        raise invalid("searchString must not be empty")
    hits = [row for row in directory.rows if all(word in f"{row.name} {trading_symbol(row)}".upper() for word in words)]
    return [instrument_row(world, directory, row) for row in hits[:100]]


def instrument_row(world: World, directory: Directory, row: Listed) -> dict[str, Any]:
    """One contract in the words of the look-ups."""
    instrument = row.instrument
    low, high = world.bands.get(row.key, (0, 0))
    series = _series(row)
    plain = instrument.expiry is None
    name = row.name if plain else instrument.underlying
    found: dict[str, Any] = {
        "ExchangeSegment": directory.number(row),
        "ExchangeInstrumentID": directory.instrument(row),
        "InstrumentType": _TYPES[instrument.kind],
        "Name": name,
        "DisplayName": trading_symbol(row),
        "Description": f"{row.name}-{series}" if plain else row.name,
        "Series": series,
        "NameWithSeries": f"{name}-{series}",
        "InstrumentID": _instrument_id(row, directory),
        "PriceBand": {"High": high / 100, "Low": low / 100},
        # NSE's dump states the first quantity that is refused, BSE's the last that passes.
        "FreezeQty": 0 if instrument.freeze_qty is None else instrument.freeze_qty + (row.venue == "NFO"),
        "TickSize": instrument.tick_p / 100,
        "LotSize": instrument.lot,
        "DecimalDisplace": 2,
        "Multiplier": 1,
        "PriceNumerator": 1,
        "PriceDenominator": 1,
    }
    if plain:
        return {**found, "ISIN": "", "Industry": 0}
    assert instrument.expiry is not None
    found |= {
        "UnderlyingInstrumentId": -1,
        "UnderlyingIndexName": _INDEX_NAMES.get(instrument.underlying, instrument.underlying),
        "ContractExpiration": f"{instrument.expiry.isoformat()}T14:30:00",
        "ContractExpirationString": f"{instrument.expiry:%d%b%Y}",
        "RemainingExpiryDays": (instrument.expiry - ist_date(world.now_ns)).days,
    }
    if instrument.option_type is not None and instrument.strike_p is not None:
        found |= {"StrikePrice": _plain(instrument.strike_p / 100), "OptionType": _RIGHTS[instrument.option_type]}
    return found


def _line(row: Mapping[str, Any]) -> str:
    segment = next(name for name, number in SEGMENT_NUMBERS.items() if number == row["ExchangeSegment"])
    fields = [
        segment,
        row["ExchangeInstrumentID"],
        row["InstrumentType"],
        row["Name"],
        row["Description"],
        row["Series"],
        row["NameWithSeries"],
        row["InstrumentID"],
        _plain(row["PriceBand"]["High"]),
        _plain(row["PriceBand"]["Low"]),
        row["FreezeQty"],
        row["TickSize"],
        row["LotSize"],
        row["Multiplier"],
    ]
    if "ContractExpiration" not in row:
        fields += [row["DisplayName"], row["ISIN"], 1, 1, row["Description"], 0, -1, -1]
    else:
        fields += [row["UnderlyingInstrumentId"], row["UnderlyingIndexName"], row["ContractExpiration"]]
        if "StrikePrice" in row:
            fields += [row["StrikePrice"], row["OptionType"]]
        fields += [row["DisplayName"], 1, 1, row["Description"]]
    return "|".join(str(field) for field in fields)


def _matching(world: World, directory: Directory, query: Mapping[str, str], what: str) -> Sequence[Listed]:
    """The contracts that every key of the query fits; expired names and other segments fit none."""
    wanted = {name.lower(): value for name, value in query.items()}
    segment = wanted.get("exchangesegment", "")
    if not segment:
        raise invalid("exchangeSegment is required")
    rows = [row for row in directory.rows if segment in (str(directory.number(row)), directory.segment(row))]
    if wanted.get("series"):
        rows = [row for row in rows if _series(row) == wanted["series"].upper()]
    if wanted.get("symbol"):
        rows = [row for row in rows if wanted["symbol"].upper() in (row.instrument.underlying, row.name)]
    if wanted.get("expirydate"):
        day = _day(wanted["expirydate"])
        rows = [row for row in rows if row.instrument.expiry == day]
    if what == "futuresymbol":
        rows = [row for row in rows if row.instrument.kind is Kind.FUTURE]
    if what in ("optionsymbol", "optiontype"):
        rows = [row for row in rows if row.instrument.kind is Kind.OPTION]
    if wanted.get("optiontype"):
        rows = [row for row in rows if row.instrument.option_type == wanted["optiontype"].upper()]
    if wanted.get("strikeprice"):
        try:
            strike_p = round(float(wanted["strikeprice"]) * 100)
        except ValueError:
            raise invalid("strikePrice must be a number") from None
        rows = [row for row in rows if row.instrument.strike_p == strike_p]
    return rows


def _day(text: str) -> dt.date:
    try:
        return dt.datetime.strptime(text, "%d%b%Y").date()  # noqa: DTZ007 - a date, no time in it
    except ValueError:
        raise invalid("expiryDate must read like 30Jun2026") from None


def _series(row: Listed) -> str:
    kind = row.instrument.kind
    if kind in (Kind.EQUITY, Kind.INDEX):
        return "EQ" if kind is Kind.EQUITY else "INDEX"
    if row.venue == "BFO":
        return "IF" if kind is Kind.FUTURE else "IO"
    part = "IDX" if row.instrument.underlying in _INDEX_NAMES else "STK"
    return ("FUT" if kind is Kind.FUTURE else "OPT") + part


def _instrument_id(row: Listed, directory: Directory) -> int:
    number, token = directory.number(row), directory.instrument(row)
    year = 0 if row.instrument.expiry is None else row.instrument.expiry.year % 100
    return number * 10**12 + year * 10**10 + token


def _plain(value: float) -> float:
    return int(value) if float(value).is_integer() else value
