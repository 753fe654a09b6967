"""What a simulated broker lists on one day: every contract under one wire-wide key.

The key is ``exchange token * 256 + segment id``, unique across exchanges, which exchange
tokens are not. The segment ids and names are the ones Indian brokers' feeds share.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Final

import msgspec
import polars as pl

from toolkit.contracts import Contract, contract_name, instrument_id
from toolkit.errors import BadData
from toolkit.types import Instrument, Kind, OptionType

__all__ = ["INDEX_SEGMENT", "Listed", "Roster", "make_roster"]

INDEX_SEGMENT: Final = 9
_SEGMENTS: Final = {"NSE_CM": (1, "NSE"), "NSE_FO": (2, "NFO"), "BSE_CM": (4, "BSE"), "BSE_FO": (5, "BFO")}
# Exchange token, trading symbol and exchange of the index behind an underlying.
_INDICES: Final = {
    "BANKEX": (1072, "BANKEX", "BSE"),
    "BANKNIFTY": (1016, "NIFTY BANK", "NSE"),
    "FINNIFTY": (1007, "NIFTY FIN SERVICE", "NSE"),
    "MIDCPNIFTY": (1125, "NIFTY MID SELECT", "NSE"),
    "NIFTY": (1001, "NIFTY 50", "NSE"),
    "NIFTYNXT50": (1058, "NIFTY NEXT 50", "NSE"),
    "SENSEX": (1, "SENSEX", "BSE"),
}
_STAND_INS: Final = 9_000_000


class Listed(msgspec.Struct, frozen=True):
    """One line of the master: our instrument (its ``token`` is the key) and how the wire names it."""

    instrument: Instrument
    key: int
    exchange_token: int
    segment_id: int
    venue: str
    name: str
    source_token: int | None

    @property
    def expired_by(self) -> dt.date:
        """The last day on which it trades."""
        return self.instrument.expiry or dt.date.max


class Roster:
    """The listed contracts by key and by (venue, name).

    ``spots`` holds the index (or share) behind an underlying, where the session records it;
    ``futures`` its futures and ``pairs`` its calls and puts of one strike, nearest expiry first.
    """

    def __init__(self, rows: Iterable[Listed]) -> None:
        self.rows = tuple(sorted(rows, key=lambda row: (row.venue, row.name)))
        self.by_key = {row.key: row for row in self.rows}
        self.by_name = {(row.venue, row.name): row for row in self.rows}
        self.spots: dict[str, Listed] = {}
        self.futures: dict[str, list[Listed]] = {}
        for row in sorted(self.rows, key=lambda row: (row.expired_by, row.name)):
            if row.instrument.kind is Kind.FUTURE:
                self.futures.setdefault(row.instrument.underlying, []).append(row)
            elif row.instrument.kind is not Kind.OPTION:
                self.spots[row.instrument.underlying] = row
        self.pairs = _pairs(self.rows)
        if len(self.by_key) != len(self.rows):
            raise BadData(f"{len(self.rows) - len(self.by_key)} contracts share a token; import the instruments again")

    def source_keys(self) -> pl.DataFrame:
        """The session's own tokens: ``underlying token key``, to join its tables with."""
        held = [r for r in self.rows if r.source_token is not None]
        return pl.DataFrame(
            {
                "underlying": [r.instrument.underlying for r in held],
                "token": [r.source_token for r in held],
                "key": [r.key for r in held],
            },
            schema={"underlying": pl.String, "token": pl.Int64, "key": pl.Int64},
        )


def make_roster(instruments: pl.DataFrame, spots: Iterable[str], on: dt.date) -> Roster:
    """List a session's contracts that live on ``on`` and the underlyings whose spot it records.

    Raises
    ------
    BadData
        When nothing is listed, or a contract has no tick size.
    """
    live = instruments.filter(
        (pl.col("valid_on") <= on)
        & pl.col("kind").is_in(["option", "future"])
        & ((pl.col("expiry") >= on) | pl.col("expiry").is_null())
    )
    live = live.sort("valid_on", "symbol").unique("symbol", keep="last", maintain_order=True).sort("symbol")
    if live.is_empty():
        raise BadData(f"no contract is listed on {on}; import the instruments of that day")
    monthly = _monthlies(live)
    rows = [_contract(row, monthly, i) for i, row in enumerate(live.iter_rows(named=True))]
    rows += [_spot(name, i) for i, name in enumerate(sorted(spots))]
    return Roster(rows)


def _pairs(rows: Iterable[Listed]) -> dict[str, list[tuple[Listed, Listed]]]:
    options = [row for row in rows if row.instrument.option_type is not None]
    puts = {
        (row.instrument.underlying, row.expired_by, row.instrument.strike_p): row
        for row in options
        if row.instrument.option_type is OptionType.PE
    }
    found: dict[str, list[tuple[Listed, Listed]]] = {}
    for call in sorted(options, key=lambda row: (row.expired_by, row.instrument.strike_p or 0)):
        put = puts.get((call.instrument.underlying, call.expired_by, call.instrument.strike_p))
        if call.instrument.option_type is OptionType.CE and put is not None:
            found.setdefault(call.instrument.underlying, []).append((call, put))
    return found


def _monthlies(live: pl.DataFrame) -> set[tuple[str, dt.date]]:
    found: dict[tuple[str, int, int], dt.date] = {}
    for underlying, expiry in live.select("underlying", "expiry").drop_nulls().unique().sort("expiry").iter_rows():
        found[underlying, expiry.year, expiry.month] = expiry
    return {(underlying, expiry) for (underlying, _, _), expiry in found.items()}


def _contract(row: dict[str, object], monthly: set[tuple[str, dt.date]], number: int) -> Listed:
    underlying, expiry, token = str(row["underlying"]), row["expiry"], row["token"]
    tick_p, lot, freeze = row["tick_p"], row["lot"], row["freeze_qty"]
    strike_p, valid_on = row["strike_p"], row["valid_on"]
    if not isinstance(tick_p, int) or not isinstance(lot, int):
        raise BadData(f"no tick size or lot of {row['symbol']}; import the instruments of that day")
    assert isinstance(expiry, dt.date)
    assert isinstance(token, int)
    assert isinstance(valid_on, dt.date)
    segment_id, venue = _SEGMENTS[str(row["segment"])]
    # A source without tokens has negative stand-ins, which no wire can carry.
    exchange_token = token if token > 0 else _STAND_INS + number
    right = None if row["option_type"] is None else OptionType(str(row["option_type"]))
    key = exchange_token * 256 + segment_id
    instrument = Instrument(
        instrument_id=instrument_id(str(row["segment"]), token, valid_on),
        symbol=str(row["symbol"]),
        exchange=str(row["exchange"]),
        segment=str(row["segment"]),
        underlying=underlying,
        kind=Kind(str(row["kind"])),
        lot=lot,
        tick_p=tick_p,
        expiry=expiry,
        strike_p=strike_p if isinstance(strike_p, int) else None,
        option_type=right,
        token=key,
        freeze_qty=freeze if isinstance(freeze, int) else None,
    )
    name = row["source_symbol"]
    if not name:
        contract = Contract(underlying, instrument.kind, expiry, instrument.strike_p, right)
        name = contract_name(contract, monthly=right is None or (underlying, expiry) in monthly)
    return Listed(instrument, key, exchange_token, segment_id, venue, str(name), token)


def _spot(underlying: str, number: int) -> Listed:
    known = _INDICES.get(underlying)
    exchange_token, name, venue = known or (_STAND_INS + 500_000 + number, underlying, "NSE")
    segment_id = INDEX_SEGMENT if known else 1
    key = exchange_token * 256 + segment_id
    instrument = Instrument(
        instrument_id=instrument_id(f"{venue}_CM", exchange_token, dt.date(2000, 1, 1)),
        symbol=f"{underlying} EQ",
        exchange=venue,
        segment="INDICES" if known else f"{venue}_CM",
        underlying=underlying,
        kind=Kind.INDEX if known else Kind.EQUITY,
        lot=1,
        tick_p=5,
        token=key,
    )
    return Listed(instrument, key, exchange_token, segment_id, venue, name, None)
