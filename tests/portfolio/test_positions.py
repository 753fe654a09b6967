"""Positions in exact integers: FIFO and average, incremental and as a frame."""

from __future__ import annotations

import datetime as dt
import json
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import toolkit as tk
from toolkit.errors import BadData
from toolkit.portfolio.positions import PositionBook, fills_frame, positions
from toolkit.types import Fill, Side


def fill(n, side, qty, px_p, symbol="X", account="A", at=None):
    return Fill(
        exec_id=f"E{n}",
        cl_ord_id=f"C{n}",
        order_id="O",
        account=account,
        broker="paper",
        symbol=symbol,
        exchange="NSE",
        side=side,
        last_qty=qty,
        last_px_p=px_p,
        exec_ns=n if at is None else at,
    )


BUY, SELL = Side.BUY, Side.SELL
ROUND = [fill(1, BUY, 100, 1000), fill(2, BUY, 100, 1200), fill(3, SELL, 150, 1300)]


@pytest.mark.parametrize(
    ("method", "realized_p", "open_cost_p"),
    [("fifo", 100 * 300 + 50 * 100, 50 * 1200), ("average", 150 * 200, 50 * 1100)],
)
def test_cost_of_what_is_closed(method, realized_p, open_cost_p):
    book = PositionBook(method)
    assert [book.apply(f) for f in ROUND] == [0, 0, realized_p]
    position = book.position("X", "A")
    assert (position.net_qty, position.realized_p, position.open_cost_p) == (50, realized_p, open_cost_p)
    assert (position.buy_qty, position.sell_qty) == (200, 150)
    assert (position.buy_value_p, position.sell_value_p) == (220_000, 195_000)


@pytest.mark.parametrize("method", ["fifo", "average"])
def test_a_fill_that_turns_the_position_closes_then_opens(method):
    book = PositionBook(method)
    book.apply(fill(1, SELL, 75, 1000))
    assert book.apply(fill(2, BUY, 150, 900)) == 75 * 100
    position = book.position("X", "A")
    assert (position.net_qty, position.open_cost_p) == (75, 75 * 900)
    assert position.avg_px == 9.0


def test_repeats_count_once_and_accounts_stay_apart():
    book = PositionBook()
    book.apply(ROUND[0])
    assert book.apply(ROUND[0]) == 0
    book.apply(fill(1, SELL, 30, 1000, account="B"))
    assert [(p.account, p.net_qty) for p in book.all()] == [("A", 100), ("B", -30)]
    assert book.position("NEVER", "A").net_qty == 0


@pytest.mark.parametrize(("qty", "px_p"), [(0, 100), (-5, 100), (5, -1)])
def test_senseless_fills_are_refused(qty, px_p):
    with pytest.raises(BadData, match="positive quantity and no negative price"):
        PositionBook().apply(fill(1, BUY, qty, px_p))


def test_unknown_method_is_refused():
    with pytest.raises(BadData, match="fifo or average, was 'lifo'"):
        PositionBook("lifo")


def test_frame_as_of_a_moment():
    frame = fills_frame(ROUND)
    assert frame.columns == [
        "exec_id", "cl_ord_id", "order_id", "account", "broker", "symbol",
        "exchange", "side", "last_qty", "last_px", "exec_ns",
    ]  # fmt: skip
    at_two = tk.portfolio.positions(frame, as_of=2)
    assert at_two.row(0, named=True) == {
        "account": "A", "exchange": "NSE", "symbol": "X", "net_qty": 200, "buy_qty": 200, "sell_qty": 0,
        "buy_value": 2200.0, "sell_value": 0.0, "avg_px": 11.0, "realized": 0.0,
    }  # fmt: skip
    moment = dt.datetime(1970, 1, 1, 5, 30, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30)))
    assert positions(frame, as_of=moment).height == 0
    assert positions(frame).get_column("net_qty").to_list() == [50]


def test_frame_is_independent_of_row_order():
    frame = fills_frame(ROUND)
    assert positions(frame.reverse()).equals(positions(frame))


def test_flat_has_no_average():
    frame = positions(fills_frame([fill(1, BUY, 75, 1000), fill(2, SELL, 75, 1100)]))
    assert frame.select("net_qty", "avg_px", "realized").row(0) == (0, None, 75.0)


def test_empty_frame_keeps_its_columns():
    assert positions(fills_frame([])).columns[3] == "net_qty"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.drop("side"), "lacks side"),
        (lambda f: f.with_columns(side=pl.lit("LONG")), "BUY or SELL, was 'LONG'"),
        (lambda f: f.with_columns(last_px=pl.lit(1.001)), "whole number of paise"),
        (lambda f: f.with_columns(last_qty=pl.lit(0)), "positive quantity"),
    ],
)
def test_broken_frames_are_refused(change, words):
    with pytest.raises(BadData, match=words):
        positions(change(fills_frame(ROUND)))


def test_naive_moment_is_refused():
    with pytest.raises(BadData, match="aware datetime"):
        positions(fills_frame(ROUND), as_of=dt.datetime(2025, 1, 1))


FILLS = st.lists(
    st.tuples(st.sampled_from(["X", "Y"]), st.sampled_from([BUY, SELL]), st.integers(1, 400), st.integers(0, 50_000)),
    max_size=40,
).map(lambda rows: [fill(n, side, qty, px, symbol) for n, (symbol, side, qty, px) in enumerate(rows)])
METHOD = st.sampled_from(["fifo", "average"])


@given(FILLS, METHOD)
def test_nothing_is_lost(fills, method):
    """Bought minus sold is held; paid minus received is realized plus the open cost, to the paisa."""
    book = PositionBook(method)
    realized = sum(book.apply(f) for f in fills)
    assert realized == book.realized_p
    for p in book.all():
        assert p.net_qty == p.buy_qty - p.sell_qty
        assert p.realized_p == p.sell_value_p - p.buy_value_p + p.open_cost_p
        assert (p.net_qty == 0) <= (p.open_cost_p == 0)


@given(FILLS, METHOD)
def test_incremental_equals_frame(fills, method):
    book = PositionBook(method)
    for f in fills:
        book.apply(f)
    frame = positions(fills_frame(fills), method=method)
    assert frame.get_column("net_qty").to_list() == [p.net_qty for p in book.all()]
    assert frame.get_column("realized").to_list() == [p.realized_p / 100 for p in book.all()]


@given(FILLS)
def test_average_cost_is_within_a_paisa_a_fill_of_the_exact_fraction(fills):
    book = PositionBook("average")
    net = {"X": 0, "Y": 0}
    cost = {"X": Fraction(0), "Y": Fraction(0)}
    for f in fills:
        book.apply(f)
        signed = f.side.sign * f.last_qty
        before = net[f.symbol]
        if before * signed < 0:
            closing = min(abs(before), abs(signed))
            cost[f.symbol] -= cost[f.symbol] * closing / abs(before)
            opening = (abs(signed) - closing) * f.side.sign
        else:
            opening = signed
        cost[f.symbol] += opening * f.last_px_p
        net[f.symbol] += signed
    for p in book.all():
        assert abs(p.open_cost_p - cost[p.symbol]) <= len(fills)


@given(FILLS, st.integers(0, 40), METHOD)
def test_a_carried_book_goes_on_as_if_nothing_had_happened(fills, cut, method):
    whole, first = PositionBook(method), PositionBook(method)
    for f in fills:
        whole.apply(f)
    for f in fills[:cut]:
        first.apply(f)
    second = PositionBook.from_carried(json.loads(json.dumps(first.carried())))
    for f in fills[cut:]:
        second.apply(f)
    assert second.realized_p + first.realized_p == whole.realized_p
    held = {p.symbol: (p.net_qty, p.open_cost_p) for p in second.held()}
    assert held == {p.symbol: (p.net_qty, p.open_cost_p) for p in whole.held()}
