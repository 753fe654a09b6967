"""A day as a film: at every moment exactly what was known then, at the end exactly the result."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from toolkit.config import share
from toolkit.errors import BadData
from toolkit.report.film import Film


@pytest.fixture(scope="module")
def session():
    from toolkit.store.session import open_session

    return open_session(share("data", "sample"))


@pytest.fixture(scope="module")
def film(session):
    from toolkit.batch.replay import replay

    result = replay(session, "short-straddle", underlying="NIFTY")
    assert result.fills.height, "the film is only a test when something was traded"
    return Film(result, result.chains)


def moments(film, count=12):
    return sorted({int(i) for i in np.linspace(0, len(film) - 1, count)})


def test_the_chain_of_a_moment_is_the_sessions_chain_of_that_time(film, session):
    expiry = film.expiries(0)[0]
    for index in moments(film, 5):
        moment = film.chain(index, expiry, strikes=9)
        rows = session.chain(at=int(film.now_ns[index]), underlying="NIFTY", expiry=expiry)
        for side, legs in (("CE", moment.slice.ce), ("PE", moment.slice.pe)):
            wanted = rows.filter(pl.col("option_type") == side).sort("strike_p")
            by_strike = dict(zip((wanted["strike_p"] / 100).to_list(), wanted["oi"].to_list(), strict=True))
            for i in moment.index:
                assert legs.oi[i] == by_strike[float(moment.slice.strikes[i])]


def test_nothing_of_a_moment_was_received_after_it(film):
    for index in moments(film):
        now = int(film.now_ns[index])
        for expiry in film.expiries(index):
            moment = film.chain(index, expiry)
            assert moment is None or moment.slice.recv_ns <= now
            assert moment is None or moment.age_s >= 0
        orders = film.orders(index)
        assert (orders["created_ns"] <= now).all()
        assert (orders["updated_ns"] <= now).all()
        told = film.levels(index, film.expiries(index)[0])
        assert not told or told["ts"].timestamp() * 1e9 <= now


def test_the_strikes_shown_are_the_nearest_and_ascending(film):
    expiry = film.expiries(0)[0]
    moment = film.chain(len(film) - 1, expiry, strikes=11)
    shown = moment.slice.strikes[moment.index]
    assert len(shown) == 11
    assert (np.diff(shown) > 0).all()
    assert shown[0] < moment.slice.forward < shown[-1]
    assert len(film.chain(0, expiry, strikes=10_000).index) == len(film.chain(0, expiry).slice.strikes)


def test_the_change_is_against_the_first_figure_of_the_day(film):
    expiry = film.expiries(0)[0]
    first, last = film.chain(0, expiry, strikes=10_000), film.chain(len(film) - 1, expiry, strikes=10_000)
    assert np.nanmax(np.abs(first.change)) == 0
    before = dict(zip(first.slice.strikes, first.slice.ce.oi, strict=True))
    for n, i in enumerate(last.index):
        strike = last.slice.strikes[i]
        if strike in before and np.isfinite(before[strike]):
            assert last.change[0, n] == last.slice.ce.oi[i] - before[strike]


def test_the_book_at_the_end_is_the_book_of_the_result(film):
    last = film.orders(len(film) - 1)
    final = film.result.orders
    late = final.filter(pl.col("updated_ns") > int(film.now_ns[-1]))["cl_ord_id"].to_list()
    ours = last.filter(~pl.col("cl_ord_id").is_in(late)).sort("cl_ord_id")
    theirs = final.filter(pl.col("cl_ord_id").is_in(ours["cl_ord_id"].to_list())).sort("cl_ord_id")
    assert ours.height
    for column in ("ord_status", "cum_qty", "leaves_qty", "order_qty", "symbol"):
        assert ours[column].to_list() == theirs[column].to_list(), column
    np.testing.assert_allclose(
        ours["avg_px"].cast(pl.Float64).to_numpy(), theirs["avg_px"].cast(pl.Float64).to_numpy(), atol=1e-9
    )


def test_orders_appear_once_placed_and_only_ever_gain_fills(film):
    seen: dict[str, int] = {}
    for index in range(0, len(film), 7):
        book = film.orders(index)
        for name, filled in zip(book["cl_ord_id"].to_list(), book["cum_qty"].to_list(), strict=True):
            assert filled >= seen.get(name, 0)
            seen[name] = filled
        assert set(seen) == set(book["cl_ord_id"].to_list())
    assert film.orders(0).height < len(seen)


def test_positions_are_the_fills_so_far(film):
    fills = film.result.fills
    for index in moments(film):
        known = fills.filter(pl.col("exec_ns") <= int(film.now_ns[index]))
        held = film.positions(index)
        for symbol in known["symbol"].unique().to_list():
            of = known.filter(pl.col("symbol") == symbol)
            net = sum(
                q if s == "BUY" else -q for q, s in zip(of["last_qty"].to_list(), of["side"].to_list(), strict=True)
            )
            assert held.get(symbol, 0) == net


def test_the_chain_shows_the_own_position_where_it_is(film):
    last = len(film) // 2
    held = film.positions(last)
    assert held, "the straddle is open at mid-day"
    shown = {}
    for expiry in film.expiries(last):
        moment = film.chain(last, expiry, strikes=10_000)
        for side, name in enumerate(("CE", "PE")):
            for n, i in enumerate(moment.index):
                if moment.position[side, n]:
                    shown[moment.slice.symbol(int(i), name)] = int(moment.position[side, n])
    assert shown == dict(held)


def test_money_is_the_row_of_the_moment(film):
    pnl = film.result.pnl
    for index in moments(film):
        assert film.money(index)["net"] == pnl["net"][index]
    assert "ts" not in film.money(0)


def test_a_moment_is_found_by_its_time(film):
    assert film.index_at(int(film.now_ns[5])) == 5
    assert film.index_at(int(film.now_ns[5]) - 1) == 4
    assert film.index_at(0) == 0
    assert film.index_at(2**62) == len(film) - 1


def test_a_moment_outside_the_film_is_refused(film):
    with pytest.raises(BadData, match=r"a moment lies in \[0, \d+\], was -1"):
        film.chain(-1, film.expiries(0)[0])
    with pytest.raises(BadData, match="a moment lies in"):
        film.expiries(len(film))


def test_an_unknown_expiry_has_no_chain(film):
    import datetime as dt

    assert film.chain(0, dt.date(2030, 1, 1)) is None
    assert film.levels(0, dt.date(2030, 1, 1)) == {}


def test_a_film_without_moments_is_refused(film):
    with pytest.raises(BadData, match="no snapshot that could be used"):
        Film(film.result, ())


def test_an_idle_day_has_empty_books_of_the_same_shape(film):
    import dataclasses

    idle = dataclasses.replace(
        film.result,
        orders=film.result.orders.clear(),
        order_events=film.result.order_events.clear(),
        fills=film.result.fills.clear(),
        oi=film.result.oi.clear(),
    )
    still = Film(idle, idle.chains)
    assert still.orders(10).columns == [*film.result.orders.columns, "is_open"]
    assert still.orders(10).is_empty()
    assert still.positions(10) == {}
    assert still.levels(10, still.expiries(10)[0]) == {}
