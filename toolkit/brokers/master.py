"""A broker's contracts of one day: what the masters of all brokers share, and the day's cache of them."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import polars as pl

from toolkit.contracts import instrument_id
from toolkit.errors import UnknownSymbol
from toolkit.market.schema import INSTRUMENTS
from toolkit.types import Instrument, Kind, OptionType

__all__ = ["INDICES", "Master", "cached", "keep", "known"]

INDICES: Final = {
    "INDIA VIX": "INDIAVIX",
    "NIFTY 50": "NIFTY",
    "NIFTY BANK": "BANKNIFTY",
    "NIFTY FIN SERVICE": "FINNIFTY",
    "NIFTY MID SELECT": "MIDCPNIFTY",
    "NIFTY NEXT 50": "NIFTYNXT50",
}
"""The exchanges' names of indices to ours."""


class Master(ABC):
    """The day's contracts as a table; a broker's own adds how they are named there.

    Parameters
    ----------
    table : polars.DataFrame
        The columns of ``INSTRUMENTS``, then ``key`` (the broker's) and ``venue`` (its segment).
    on : date
        Today: what expired before it is refused.
    """

    def __init__(self, table: pl.DataFrame, on: dt.date) -> None:
        self._full = table
        self.on = on
        self._made: dict[int, Instrument] = {}

    @property
    def table(self) -> pl.DataFrame:
        """The contracts in the schema ``INSTRUMENTS``; ``token`` is the exchange's."""
        return self._full.select(list(INSTRUMENTS))

    def __len__(self) -> int:
        return self._full.height

    def __iter__(self) -> Iterator[Instrument]:
        return (self._at(row) for row in range(self._full.height))

    def by_key(self, key: int) -> Instrument | None:
        """The contract of one of the broker's keys."""
        row = self._by_key.get(key)
        return None if row is None else self._at(row)

    @cached_property
    def _by_key(self) -> dict[int, int]:
        return {key: row for row, key in enumerate(self._full["key"].to_list())}

    def find(self, text: str, exchange: str | None = None) -> Instrument:
        """Give the one live contract that ``text`` names: our symbol, or the broker's own name or number of it.

        Raises
        ------
        UnknownSymbol
            Naming the nearest, the candidates, or the expiry that has passed.
        """
        wanted = " ".join(str(text).upper().split())
        live, rows = self._live(text, self._rows(wanted), exchange)
        if len(live) == 1:
            return self._at(live[0])
        if live:
            names = ", ".join(self._own_name(row) for row in live)
            raise UnknownSymbol(f"symbol {text!r} names {len(live)} instruments: {names}; name the exchange")
        raise UnknownSymbol(self._unknown(text, wanted, rows))

    @abstractmethod
    def _rows(self, wanted: str) -> Sequence[int]:
        """Rows that a text in capitals names, past ones too."""

    @abstractmethod
    def _own_name(self, row: int) -> str:
        """A row's name at the broker, which no other row has."""

    @abstractmethod
    def _unknown(self, text: str, wanted: str, expired: Sequence[int]) -> str:
        """Why nothing live is named."""

    def _live(self, text: str, rows: Sequence[int], exchange: str | None) -> tuple[list[int], list[int]]:
        """Rows of contracts that are not past, and all; both on ``exchange``, if one is named.

        Raises
        ------
        UnknownSymbol
            For a contract of another exchange.
        """
        found = list(rows)
        if exchange is not None and found:
            at = [row for row in found if exchange in (self._full["exchange"][row], self._full["venue"][row])]
            if not at:
                listed = ", ".join(sorted({self._full["exchange"][row] for row in found}))
                raise UnknownSymbol(f"{text!r} is not listed on {exchange}; it is on {listed}")
            found = at
        return [row for row in found if (self._full["expiry"][row] or self.on) >= self.on], found

    def _at(self, row: int) -> Instrument:
        found = self._made.get(row)
        if found is None:
            found = self._made[row] = _instrument(self._full.row(row, named=True))
        return found


def _instrument(row: dict[str, object]) -> Instrument:
    token, valid_on, expiry, strike_p = row["token"], row["valid_on"], row["expiry"], row["strike_p"]
    lot, tick_p, freeze, key = row["lot"], row["tick_p"], row["freeze_qty"], row["key"]
    assert isinstance(token, int)
    assert isinstance(key, int)
    assert isinstance(valid_on, dt.date)
    segment = str(row["segment"])
    return Instrument(
        instrument_id=instrument_id(segment, token, valid_on),
        symbol=str(row["symbol"]),
        exchange=str(row["exchange"]),
        segment=segment,
        underlying=str(row["underlying"]),
        kind=Kind(str(row["kind"])),
        lot=lot if isinstance(lot, int) and lot > 0 else 1,
        tick_p=tick_p if isinstance(tick_p, int) and tick_p > 0 else 1,
        expiry=expiry if isinstance(expiry, dt.date) else None,
        strike_p=strike_p if isinstance(strike_p, int) else None,
        option_type=None if row["option_type"] is None else OptionType(str(row["option_type"])),
        token=key,
        freeze_qty=freeze if isinstance(freeze, int) else None,
    )


def known(find: Callable[[str], Instrument], symbols: Iterable[str]) -> dict[str, Instrument]:
    """The contracts that each of some texts names; a text that names none, or several, is left out."""
    found = {}
    for symbol in dict.fromkeys(symbols):
        with contextlib.suppress(UnknownSymbol):
            found[symbol] = find(symbol)
    return found


def cached(
    folder: Path, broker: str, root: str, salt: str, on: dt.date, more: Sequence[str] = ()
) -> tuple[Path, pl.DataFrame | None]:
    """The place of a day's table in the cache, and the table when it is there and whole.

    ``salt`` keeps the tables of simulated brokers on the same address apart; ``more`` names whole-number columns
    of the broker's own.
    """
    mark = hashlib.blake2b(f"{root}|{salt}".encode(), digest_size=6).hexdigest()
    path = folder / f"{broker}-instruments-{on.isoformat()}-{mark}.parquet"
    if not path.is_file():
        return path, None
    try:
        found = pl.read_parquet(path)
        own = {"key": pl.Int64(), "venue": pl.String(), **dict.fromkeys(more, pl.Int64())}
        right = dict(found.schema) == {**INSTRUMENTS, **own}
        return path, found if right and found.height else None
    except (OSError, pl.exceptions.PolarsError):
        return path, None


def keep(path: Path, table: pl.DataFrame) -> None:
    """Write a table into the cache, whole or not at all; older days of the same broker go."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=path.parent, prefix=".instruments-")
    os.close(number)
    try:
        table.write_parquet(name)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    broker, mark = path.name.partition("-")[0], path.name.rpartition("-")[2]
    for old in sorted(path.parent.glob(f"{broker}-instruments-*-{mark}")):
        if old != path:
            old.unlink(missing_ok=True)
