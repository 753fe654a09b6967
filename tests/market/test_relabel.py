"""Quotes of one broker's feed under another broker's tokens."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.market.quotes import QuoteBoard
from toolkit.market.relabel import relabelled
from toolkit.types import Instrument, Kind


def share(token: int, name: str, exchange: str = "NSE") -> Instrument:
    return Instrument(
        instrument_id=token,
        symbol=f"{name} EQ",
        exchange=exchange,
        segment="NSE_EQ",
        underlying=name,
        kind=Kind.EQUITY,
        lot=1,
        tick_p=5,
        token=token,
    )


def test_a_quote_arrives_under_the_takers_own_token_and_nothing_else_does():
    board = QuoteBoard()
    feed = {i.token: i for i in (share(7, "A"), share(8, "B"), share(9, "C"), share(10, "C", "BSE"))}
    take = relabelled(board.update, feed, [share(71, "A"), share(90, "C"), share(100, "C", "BSE")])
    price = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    take(5, np.array([10, 8, 7, 9, 12345]), price, price, price + 0.05, price, price)
    assert sorted(board.known()) == [71, 90, 100]
    assert board.quote(71).bid_p == 300
    assert board.quote(90).bid_p == 400
    assert board.quote(100).bid_p == 100


def test_the_same_tokens_need_no_detour():
    def taker(*columns):
        raise AssertionError(columns)

    one = share(7, "A")
    assert relabelled(taker, {7: one}, [one]) is taker
    silent = relabelled(taker, {7: one}, [])
    silent(1, np.array([7, 8]), np.array([1.0, 1.0]))
    with pytest.raises(AssertionError):
        relabelled(taker, {7: one}, [share(8, "A")])(1, np.array([7]), np.array([1.0]))
