"""What the masters of all brokers share: the day's cache, contracts that are live, and one object a contract."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from toolkit.brokers.master import Master, cached, keep
from toolkit.errors import UnknownSymbol
from toolkit.market.schema import INSTRUMENTS
from toolkit.types import Kind

ON = dt.date(2026, 7, 13)


def table(*rows):
    shared = {"valid_on": ON, "segment": "NSE_FO", "exchange": "NSE", "venue": "NFO", "underlying": "NIFTY", "lot": 65}
    fields = {**INSTRUMENTS, "key": pl.Int64(), "venue": pl.String()}
    return pl.DataFrame([{**shared, **row} for row in rows], schema=fields)


ROWS = table(
    {"token": 1, "key": 101, "symbol": "NIFTY 14JUL2026 FUT", "kind": "future", "expiry": dt.date(2026, 7, 14)},
    {"token": 2, "key": 102, "symbol": "NIFTY 07JUL2026 FUT", "kind": "future", "expiry": dt.date(2026, 7, 7)},
    {"token": 3, "key": 103, "symbol": "NIFTY", "kind": "index", "exchange": "BSE", "venue": "BSE"},
)


class Plain(Master):
    """A broker whose name of a contract is its key."""

    def _rows(self, wanted):
        return [row for row, key in enumerate(self._full["key"]) if wanted in (str(key), self._full["symbol"][row])]

    def _own_name(self, row):
        return str(self._full["key"][row])

    def _unknown(self, text, wanted, expired):
        return f"none: {text!r}, {wanted!r}, {list(expired)}"


def test_a_contract_is_made_once_and_found_by_the_brokers_key():
    master = Plain(ROWS, ON)
    found = master.by_key(101)
    assert (found.symbol, found.kind, found.lot, found.tick_p, found.token) == (
        "NIFTY 14JUL2026 FUT",
        Kind.FUTURE,
        65,
        1,
        101,
    )
    assert master.by_key(101) is found
    assert master.by_key(999) is None
    assert (len(master), [i.token for i in master]) == (3, [101, 102, 103])
    assert master.table.columns == list(INSTRUMENTS)


def test_what_is_past_or_listed_elsewhere_is_told_apart():
    master = Plain(ROWS, ON)
    assert master._live("x", [0, 1, 2], None) == ([0, 2], [0, 1, 2])
    assert master._live("x", [0, 2], "BSE") == ([2], [2])
    assert master._live("x", [0, 2], "NFO") == ([0], [0])
    assert master._live("x", [], "NSE") == ([], [])
    with pytest.raises(UnknownSymbol, match="'x' is not listed on BSE; it is on NSE"):
        master._live("x", [0, 1], "BSE")


def test_one_live_contract_is_found_and_anything_else_is_said():
    twice = table(
        {"token": 1, "key": 101, "symbol": "RELIANCE", "kind": "equity"},
        {"token": 2, "key": 102, "symbol": "RELIANCE", "kind": "equity", "exchange": "BSE", "venue": "BSE"},
    )
    master = Plain(pl.concat([ROWS, twice.with_columns(key=pl.col("key") + 100)]), ON)
    assert master.find("  nifty  14jul2026 fut ").token == 101
    assert master.find("reliance", "BSE").token == 202
    with pytest.raises(UnknownSymbol, match="'reliance' names 2 instruments: 201, 202; name the exchange"):
        master.find("reliance")
    with pytest.raises(UnknownSymbol, match=r"none: 'nifty 07jul2026 fut', 'NIFTY 07JUL2026 FUT', \[1\]"):
        master.find("nifty 07jul2026 fut")
    with pytest.raises(UnknownSymbol, match=r"none: 'x', 'X', \[\]"):
        master.find("x")


@pytest.mark.parametrize("broker", ["kite", "xts"])
def test_the_cache_keeps_one_day_and_survives_damage(tmp_path, broker):
    def of(root="https://a", salt="", days=0):
        return cached(tmp_path, broker, root, salt, ON + dt.timedelta(days))

    path, found = of()
    assert found is None
    keep(path, ROWS)
    assert of()[1].equals(ROWS)
    assert of("https://b")[1] is None
    assert of(salt="salt")[1] is None
    later, _ = of(days=1)
    keep(later, ROWS)
    assert not path.exists()
    later.write_bytes(b"damaged")
    assert of(days=1)[1] is None
    ROWS.drop("venue").write_parquet(later)
    assert of(days=1)[1] is None


def test_a_cached_table_without_the_brokers_own_columns_is_read_anew(tmp_path):
    path, _ = cached(tmp_path, "xts", "https://a", "", ON, ("low_p",))
    keep(path, ROWS)
    assert cached(tmp_path, "xts", "https://a", "", ON, ("low_p",))[1] is None
    banded = ROWS.with_columns(low_p=pl.lit(5, pl.Int64))
    keep(path, banded)
    assert cached(tmp_path, "xts", "https://a", "", ON, ("low_p",))[1].equals(banded)
    assert cached(tmp_path, "xts", "https://a", "", ON)[1] is None


def test_the_caches_of_two_brokers_do_not_meet(tmp_path):
    keep(cached(tmp_path, "kite", "https://a", "", ON)[0], ROWS)
    keep(cached(tmp_path, "xts", "https://a", "", ON + dt.timedelta(1))[0], ROWS)
    assert cached(tmp_path, "kite", "https://a", "", ON)[1] is not None
    assert cached(tmp_path, "xts", "https://a", "", ON)[1] is None
