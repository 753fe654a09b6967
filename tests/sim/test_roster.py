"""What a simulated broker lists: keys, names, the monthly form, what a session lacks."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from toolkit.errors import BadData
from toolkit.market.schema import INSTRUMENTS
from toolkit.sim.roster import INDEX_SEGMENT, Roster, make_roster
from toolkit.types import Kind

DAY = dt.date(2026, 7, 13)
WEEKLY, MONTHLY = dt.date(2026, 7, 21), dt.date(2026, 7, 28)


def frame(*rows):
    base = {
        "valid_on": DAY,
        "exchange": "NSE",
        "segment": "NSE_FO",
        "underlying": "NIFTY",
        "kind": "option",
        "lot": 65,
        "tick_p": 5,
    }
    base |= {"freeze_qty": 1800, "strike_p": 2500000, "option_type": "CE", "source_symbol": None}
    return pl.DataFrame([base | row for row in rows], schema=INSTRUMENTS)


def option(token, expiry, right="CE", **more):
    symbol = f"NIFTY {expiry:%d%b%Y} 25000 {right}".upper()
    return {"token": token, "symbol": symbol, "expiry": expiry, "option_type": right, **more}


def test_a_key_is_the_exchange_token_and_the_segment():
    roster = make_roster(frame(option(47164, MONTHLY)), [], DAY)
    assert roster.rows[0].key == 12073986
    assert roster.rows[0].instrument.token == 12073986
    assert roster.by_key[12073986].exchange_token == 47164


@pytest.mark.parametrize(
    ("underlying", "key", "name", "venue"),
    [
        ("NIFTY", 256265, "NIFTY 50", "NSE"),
        ("SENSEX", 265, "SENSEX", "BSE"),
        ("BANKNIFTY", 260105, "NIFTY BANK", "NSE"),
    ],
)
def test_an_index_has_the_token_that_brokers_publish(underlying, key, name, venue):
    roster = make_roster(frame(option(1, MONTHLY)), [underlying], DAY)
    row = roster.by_name[venue, name]
    assert row.key == key
    assert row.key % 256 == INDEX_SEGMENT
    assert row.instrument.kind is Kind.INDEX
    assert roster.spots[underlying] is row


def test_a_share_is_no_index():
    roster = make_roster(frame(option(1, MONTHLY)), ["RELIANCE"], DAY)
    row = roster.by_name["NSE", "RELIANCE"]
    assert row.instrument.kind is Kind.EQUITY
    assert row.key % 256 == 1


def test_a_name_the_session_lacks_is_written_in_the_exchanges_grammar():
    roster = make_roster(frame(option(1, WEEKLY), option(2, MONTHLY)), [], DAY)
    assert sorted(row.name for row in roster.rows) == ["NIFTY2672125000CE", "NIFTY26JUL25000CE"]


def test_the_sessions_own_name_is_kept():
    roster = make_roster(frame(option(1, WEEKLY, source_symbol="ODDNAME")), [], DAY)
    assert ("NFO", "ODDNAME") in roster.by_name


def test_expired_and_future_listings_are_left_out():
    rows = frame(option(1, dt.date(2026, 7, 7)), option(2, WEEKLY), option(3, MONTHLY, valid_on=dt.date(2026, 7, 20)))
    assert [row.source_token for row in make_roster(rows, [], DAY).rows] == [2]


def test_the_newest_terms_of_a_contract_win():
    rows = frame(option(2, WEEKLY, valid_on=dt.date(2026, 7, 1), lot=75), option(2, WEEKLY, lot=65))
    assert [row.instrument.lot for row in make_roster(rows, [], DAY).rows] == [65]


def test_a_stand_in_token_becomes_one_that_a_wire_can_carry():
    roster = make_roster(frame(option(-12345678901, WEEKLY)), [], DAY)
    row = roster.rows[0]
    assert 0 < row.key < 2**32
    assert row.source_token == -12345678901
    assert roster.source_keys().row(0) == ("NIFTY", -12345678901, row.key)


def test_equal_tokens_of_two_exchanges_do_not_clash():
    other = option(7, WEEKLY, underlying="SENSEX", exchange="BSE", segment="BSE_FO", symbol="SENSEX 21JUL2026 25000 CE")
    roster = make_roster(frame(option(7, WEEKLY), other), [], DAY)
    assert {row.key for row in roster.rows} == {7 * 256 + 2, 7 * 256 + 5}


def test_a_token_twice_is_refused():
    row = make_roster(frame(option(7, WEEKLY)), [], DAY).rows[0]
    with pytest.raises(BadData, match="1 contracts share a token"):
        Roster([row, row])


def test_calls_and_puts_pair_by_strike_nearest_expiry_first():
    rows = frame(
        option(1, MONTHLY),
        option(2, MONTHLY, "PE"),
        option(3, WEEKLY),
        option(4, WEEKLY, "PE"),
        option(5, dt.date(2026, 8, 4)),
    )
    pairs = make_roster(rows, [], DAY).pairs["NIFTY"]
    assert [(call.source_token, put.source_token) for call, put in pairs] == [(3, 4), (1, 2)]


def test_futures_are_nearest_first():
    far = {
        "token": 9,
        "symbol": "NIFTY 25AUG2026 FUT",
        "expiry": dt.date(2026, 8, 25),
        "kind": "future",
        "strike_p": None,
        "option_type": None,
    }
    near = {**far, "token": 8, "symbol": "NIFTY 28JUL2026 FUT", "expiry": MONTHLY}
    roster = make_roster(frame(far, near), [], DAY)
    assert [row.name for row in roster.futures["NIFTY"]] == ["NIFTY26JULFUT", "NIFTY26AUGFUT"]


def test_an_empty_master_says_what_to_do():
    with pytest.raises(BadData, match="no contract is listed on 2026-07-13; import"):
        make_roster(frame(option(1, dt.date(2026, 7, 7))), [], DAY)


def test_a_contract_without_a_tick_names_itself():
    with pytest.raises(BadData, match="no tick size or lot of NIFTY 21JUL2026 25000 CE"):
        make_roster(frame(option(1, WEEKLY, tick_p=None)), [], DAY)
