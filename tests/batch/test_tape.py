import datetime as dt

import numpy as np
import polars as pl
import pytest

from toolkit.batch.tape import COLUMNS, read_tape
from toolkit.calendar import ist_ns
from toolkit.config import share
from toolkit.store.session import open_session

DAY = dt.date(2026, 7, 13)


@pytest.fixture(scope="module")
def session():
    return open_session(share("data", "sample"))


@pytest.fixture(scope="module")
def tape(session):
    return read_tape(session, "NIFTY", DAY)


def test_ticks_and_futures_are_there_in_receive_order(session, tape):
    wanted = session.frame("ticks", "NIFTY").height + session.frame("futures", "NIFTY").height
    assert len(tape) == wanted
    assert (np.diff(tape.recv_ns) >= 0).all()
    assert set(tape.quotes) == set(COLUMNS)
    assert all(len(values) == wanted for values in tape.quotes.values())
    tokens = set(session.frame("futures", "NIFTY")["token"]) | set(session.frame("ticks", "NIFTY")["token"])
    assert set(tape.token.tolist()) == tokens


def test_another_day_is_empty(session, tape):
    assert (tape.recv_ns >= ist_ns(DAY)).all()
    assert (tape.recv_ns < ist_ns(DAY + dt.timedelta(days=1))).all()


def test_until_ends_after_what_was_received_by_then(tape):
    middle = int(tape.recv_ns[1000])
    end = tape.until(0, middle)
    assert tape.recv_ns[end - 1] <= middle < tape.recv_ns[end]
    assert tape.until(end, middle) == end
    assert tape.until(0, int(tape.recv_ns[0]) - 1) == 0
    assert tape.until(len(tape), middle) == len(tape)


def test_an_instant_holds_every_row_received_together(tape):
    at = 0
    while at < 500:
        end = tape.instant(at)
        assert end > at
        assert len(set(tape.recv_ns[at:end].tolist())) == 1
        assert tape.recv_ns[end] > tape.recv_ns[at]
        at = end


def test_unknown_quotes_are_nan(tape):
    for values in tape.quotes.values():
        assert values.dtype == np.float64
    assert np.isfinite(tape.quotes["bid"]).any()


def test_a_session_without_ticks_has_an_empty_tape(shared):
    session = open_session(shared("data", "nse", "chain_NIFTY_20250827_20250829.parquet"))
    empty = read_tape(session, "NIFTY", dt.date(2025, 8, 29))
    assert len(empty) == 0
    assert empty.until(0, 2**62) == 0
    assert session.frame("ticks").schema["token"] == pl.Int64
