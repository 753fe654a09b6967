"""Margin and capital in one look: what passes it passes both rules, and what does not is told by them."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from toolkit.market.quotes import Quote
from toolkit.risk import checks
from toolkit.risk.limits import Limits
from toolkit.types import Kind, Side

MOST = 1 << 60


def wide(capital_p):
    lots = dict.fromkeys(("max_order_lots", "max_net_lots", "max_gross_lots"), 10**6)
    values = dict.fromkeys(("max_order_value_p", "max_open_value_p", "confirm_value_p"), MOST)
    return Limits(**lots, **values, max_capital_p=capital_p, max_messages_per_s=10**6)


@pytest.mark.parametrize("seed", range(4))
def test_it_answers_as_the_rules_do_at_the_edge_of_funds_and_capital(afternoon, seed):
    draw, book, counts = random.Random(seed), afternoon.book, Counter()
    now = book.session[0] + 45 * 60 * 10**9
    names = list(book.instruments)
    for _ in range(250):
        act, symbol = draw.random(), draw.choice(names)
        if act < 0.2:
            book.carry(symbol, 75 * draw.randint(-4, 4), draw.randint(-(10**7), 10**7))
        elif act < 0.5:
            far = {Side.BUY: 9_000, Side.SELL: 11_000}
            side = draw.choice(list(Side))
            afternoon.place(afternoon.request(symbol, side, 75, price_p=far[side]), now)
        elif act < 0.6:
            mark = draw.randint(9_800, 10_200)
            book.quotes.set(draw.randint(1, 4), Quote(now, mark - 50, 750, mark + 50, 750, mark))
        future = book.instruments[symbol].kind is Kind.FUTURE
        order = afternoon.request(symbol, draw.choice(list(Side)), 75, price_p=2_450_000 if future else 10_000)
        need = book.need.after_p(symbol, order.side, 75, now)
        due = 0 if future or order.side is Side.SELL else 750_000
        book.funds_p = draw.choice([need - (book.have_p(due) or 0) + (book.funds_p or 0) + draw.randint(-1, 1), 10**12])
        used = book.open_value_p + 75 * order.price_p + book.need.held_p(now)
        limits = wide(draw.choice([MOST, used + draw.randint(-1, 0)]))
        if act > 0.95:
            book.funds_p = None
        found = checks.check(order, book, limits, now)
        assert found == checks.reference(order, book, limits, now)
        counts.update(d.rule for d in found if d.rule in ("margin", "max_capital"))
        counts["passed"] += not found
        book.funds_p = 10**12
    assert min(counts[name] for name in ("margin", "max_capital", "passed")) >= 10, counts


def test_what_is_caught_up_with_beforehand_changes_no_figure(afternoon):
    book, draw = afternoon.book, random.Random(3)
    now = book.session[0] + 45 * 60 * 10**9
    for turn in range(60):
        symbol = draw.choice(list(book.instruments))
        book.carry(symbol, 75 * draw.randint(-4, 4), 0)
        if turn % 2:
            book.need.catch_up(now)
        ours, held = book.need.after_p(symbol, Side.SELL, 75, now), book.need.held_p(now)
        assert book.need.held_p(now, looked=True) == held
        book.need.reset()
        assert (book.need.after_p(symbol, Side.SELL, 75, now), book.need.held_p(now)) == (ours, held)


def test_what_cannot_be_counted_yet_is_counted_once_its_parameters_are_there(afternoon):
    book, now = afternoon.book, afternoon.book.session[0] + 45 * 60 * 10**9
    params = book.span.pop("NIFTY")
    symbol = next(iter(book.instruments))
    book.carry(symbol, -75, 0)
    book.need.catch_up(now)
    book.span["NIFTY"] = params
    caught_up = book.need.held_p(now)
    book.need.reset()
    assert book.need.held_p(now) == caught_up > 0


def test_words_alone_leave_an_order_where_it_counts(afternoon):
    book, now = afternoon.book, afternoon.book.session[0]
    first, second = (afternoon.place(afternoon.request(price_p=9_000), now) for _ in range(2))
    before = book.exposure()
    book.on_order(first, afternoon.orders[first.cl_ord_id])
    assert book.exposure() == before
    assert list(book.resting[first.request.symbol]) == [first.cl_ord_id, second.cl_ord_id]


def test_only_messages_of_the_last_second_count_however_many_came_before(afternoon):
    book, second = afternoon.book, 10**9
    for n in range(50):
        book.on_message(n * second // 10, "NSE", f"A{n}")
    now = 49 * second // 10
    assert book.messages(now, "NSE") == 10
    assert book.messages(now + second // 2, "NSE") == 5
    assert book.messages(now + second, "NSE") == 0
