"""The compiled pass: its words stand where the book packs them, and its marks are the book's."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest

from toolkit.market.quotes import Quote, QuoteBoard
from toolkit.risk.book import WORDS
from toolkit.risk.checks import check
from toolkit.risk.limits import Limits
from toolkit.risk.reasons import RULES, SCREENED
from toolkit.risk.screen import ORDER, TERMS, marks, screen


def test_every_word_has_one_place(afternoon):
    assert len(set(ORDER)) == len(ORDER) == WORDS
    check(afternoon.request(), afternoon.book, afternoon.limits, 0)
    (terms,) = afternoon.book.packed.values()
    assert len(set(TERMS)) == len(TERMS) == len(terms.words)


def test_each_rule_but_margin_has_its_bit():
    terms, order = np.ones(len(TERMS), np.int64), np.zeros(len(ORDER), np.int64)
    order[ORDER.index("row")] = -1
    broken = screen(terms, order, 40.0, np.zeros((1, 5)), np.zeros(1, np.int64))
    assert 0 < broken < 1 << SCREENED
    assert len(RULES) == SCREENED + 2


def test_terms_follow_new_limits_and_new_contracts(afternoon):
    book, order = afternoon.book, afternoon.request(qty=750)
    now = book.session[0] + 3600 * 10**9
    for lots, wanted in ((10, 0), (9, 1), (10, 0)):
        limits = Limits(check_margin=False, max_order_lots=lots)
        assert len([d for d in check(order, book, limits, now) if d.rule == "max_order_lots"]) == wanted
    book.add([msgspec.structs.replace(book.instruments[order.symbol], lot=100)])
    assert "lot" in [d.rule for d in check(order, book, limits, now)]


def same(a, b):
    return a == b or (a != a and b != b)


@pytest.mark.parametrize("seed", [1, 2])
def test_marks_are_those_of_the_book(afternoon, seed):
    draw, board, book = random.Random(seed), QuoteBoard(), afternoon.book
    book.quotes = board
    held, moved = np.full(5, np.nan), np.empty(5, np.int64)
    for _ in range(300):
        token = draw.randint(1, 5)
        price = [draw.choice([None, draw.randint(1, 10_000)]) for _ in range(3)]
        board.set(token, Quote(0, price[0], 75, price[1], 75, price[2]))
        rows = np.array([board.row(n) for n in range(1, 6)], np.int64)
        before = held.copy()
        count = marks(board.values, rows, held, moved)
        wanted = [book.mark(i) for i in sorted(book.instruments.values(), key=lambda i: i.token)]
        np.testing.assert_array_equal(held, wanted)
        assert moved[:count].tolist() == [n for n in range(5) if not same(before[n], held[n])]
