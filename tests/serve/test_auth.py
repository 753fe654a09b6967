"""Tokens: made at the first start, private, compared alike, dead after the session."""

from __future__ import annotations

import datetime as dt
import os

import pytest

from toolkit.calendar import ist_ns
from toolkit.errors import BadData
from toolkit.serve.auth import Guesses, TokenBook, expiry_ns

MONDAY = dt.date(2026, 7, 13)
TEN, CLOSE = ist_ns(MONDAY, dt.time(10)), ist_ns(MONDAY, dt.time(15, 30))


class Clock:
    def __init__(self) -> None:
        self.now_ns = TEN

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def book(tmp_path, clock):
    made = TokenBook(clock, tmp_path / "api")
    made.open()
    return made


def test_the_first_start_makes_a_private_token_of_each_scope(book, tmp_path):
    tokens = {scope: book.path(scope).read_text().strip() for scope in ("read", "trade", "admin")}
    assert len(set(tokens.values())) == 3
    assert all(len(token) >= 43 for token in tokens.values())
    assert {scope: book.scope(token) for scope, token in tokens.items()} == {s: s for s in tokens}
    assert all(book.path(scope).stat().st_mode & 0o777 == 0o600 for scope in tokens)
    assert (tmp_path / "api").stat().st_mode & 0o077 == 0


def test_the_next_start_takes_the_same_tokens(book, clock, tmp_path):
    token = book.path().read_text().strip()
    again = TokenBook(clock, tmp_path / "api")
    again.open()
    assert again.scope(token) == "admin"


@pytest.mark.parametrize(
    "change",
    [lambda t: "", lambda t: None, lambda t: t[:-1], lambda t: t + "A", lambda t: t.swapcase(), lambda t: "ü" * 43],
)
def test_what_is_no_token_has_no_scope(book, change):
    assert book.scope(change(book.path().read_text().strip())) is None


def test_every_scope_is_compared_whichever_fits(book, monkeypatch):
    compared = []
    from toolkit.serve import auth

    real = auth.hmac.compare_digest
    monkeypatch.setattr(auth.hmac, "compare_digest", lambda a, b: compared.append((len(a), len(b))) or real(a, b))
    book.scope(book.path("read").read_text().strip())
    book.scope("wrong")
    assert compared == [(32, 32)] * 6


def test_a_token_dies_with_the_session_and_is_made_anew(book, clock):
    token = book.path().read_text().strip()
    clock.now_ns = CLOSE - 1
    assert book.scope(token) == "admin"
    clock.now_ns = CLOSE
    assert book.scope(token) is None
    fresh = book.path().read_text().strip()
    assert fresh != token
    assert book.scope(fresh) == "admin"


def test_rotation_refuses_the_old_ones_in_every_process_of_the_home(book, clock, tmp_path):
    other = TokenBook(clock, tmp_path / "api")
    other.open()
    old = book.path().read_text().strip()
    clock.now_ns += 1
    book.rotate()
    assert other.scope(old) is None
    assert other.scope(book.path().read_text().strip()) == "admin"


def test_a_token_that_others_may_read_is_refused(book, clock, tmp_path):
    os.chmod(book.path(), 0o644)
    with pytest.raises(BadData, match="read by others"):
        TokenBook(clock, tmp_path / "api").open()


def test_a_link_is_not_followed(book, clock, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x" * 50)
    book.path().unlink()
    book.path().symlink_to(secret)
    with pytest.raises(BadData, match="cannot be read"):
        TokenBook(clock, tmp_path / "api").open()


@pytest.mark.parametrize(
    ("made", "dies"),
    [
        (TEN, CLOSE),
        (CLOSE, ist_ns(dt.date(2026, 7, 14), dt.time(15, 30))),
        (ist_ns(dt.date(2026, 7, 17), dt.time(18)), ist_ns(dt.date(2026, 7, 20), dt.time(15, 30))),
        (ist_ns(dt.date(2026, 7, 18), dt.time(12)), ist_ns(dt.date(2026, 7, 20), dt.time(15, 30))),
    ],
)
def test_expiry_is_the_next_close_of_a_session(made, dies):
    assert expiry_ns(made) == dies


def test_the_sixth_wrong_token_in_a_minute_is_answered_late():
    guesses = Guesses()
    assert [guesses.wrong(i * 10**9) for i in range(7)] == [0.0] * 5 + [1.0, 1.0]
    assert guesses.wrong(200 * 10**9) == 0.0
    assert guesses.total == 8


def test_an_unknown_scope_is_named(book):
    with pytest.raises(BadData, match="read, trade, admin, was 'root'"):
        book.path("root")
