"""Which contracts are watched: nearest expiries, strikes around the money, one future, the index."""

from __future__ import annotations

import datetime as dt

import pytest

from toolkit.errors import BadData
from toolkit.market.selection import around_money
from toolkit.types import Instrument, Kind, OptionType


def listed(token: int, kind: Kind, expiry: int | None = None, strike: int | None = None, cp: str = "CE") -> Instrument:
    return Instrument(
        instrument_id=token,
        symbol=f"NIFTY {token}",
        exchange="NSE",
        segment="NSE_FO",
        underlying="NIFTY",
        kind=kind,
        lot=65,
        tick_p=5,
        expiry=None if expiry is None else dt.date(2026, 7, expiry),
        strike_p=None if strike is None else strike * 100,
        option_type=None if strike is None else OptionType(cp),
        token=token,
    )


def market() -> list[Instrument]:
    options = [
        listed(1000 * expiry + strike // 50 + (0 if cp == "CE" else 500), Kind.OPTION, expiry, strike, cp)
        for expiry in (14, 21, 28)
        for strike in range(24_000, 25_001, 50)
        for cp in ("CE", "PE")
    ]
    return [*reversed(options), listed(7, Kind.FUTURE, 28), listed(8, Kind.FUTURE, 30), listed(9, Kind.INDEX)]


def test_it_chooses_the_nearest_expiries_around_the_money_the_future_and_the_index() -> None:
    chosen = around_money(market(), "NIFTY", 24_512.0, expiries=2, strikes=3)
    options = [i for i in chosen if i.kind is Kind.OPTION]
    assert sorted({i.strike_p // 100 for i in options}) == list(range(24_350, 24_651, 50))
    assert sorted({i.expiry.day for i in options}) == [14, 21]
    assert len(options) == 7 * 2 * 2
    assert [i.token for i in chosen if i.kind is not Kind.OPTION] == [7, 9]


def test_at_the_edge_of_the_grid_it_takes_what_there_is() -> None:
    options = [i for i in around_money(market(), "NIFTY", 10.0, 1, 2) if i.kind is Kind.OPTION]
    assert sorted({i.strike_p // 100 for i in options}) == [24_000, 24_050, 24_100]


def test_an_unknown_price_keeps_every_strike_and_no_option_is_refused() -> None:
    assert len([i for i in around_money(market(), "NIFTY", None, 1, 2) if i.kind is Kind.OPTION]) == 42
    with pytest.raises(BadData, match="no option on 'NIFTY' is listed"):
        around_money([listed(9, Kind.INDEX)], "NIFTY", 1.0, 1, 1)


def test_a_share_stands_in_where_there_is_no_index_and_other_underlyings_stay_out() -> None:
    share = listed(5, Kind.EQUITY)
    mine = [i for i in market() if i.kind is not Kind.INDEX]
    assert share in around_money([*mine, share], "NIFTY", 24_500.0, 1, 1)
    with pytest.raises(BadData, match="no option on 'SENSEX'"):
        around_money(market(), "SENSEX", 1.0, 1, 1)


def test_the_choice_does_not_hang_on_the_order_of_the_list() -> None:
    forth, back = around_money(market(), "NIFTY", 24_500.0, 2, 4), around_money(market()[::-1], "NIFTY", 24_500.0, 2, 4)
    assert {i.token for i in forth} == {i.token for i in back}
