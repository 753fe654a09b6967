"""Odd stamps and refused rows, counted: on small frames and on the real days."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.market.schema import IST
from toolkit.store.session import open_session
from toolkit.store.session_quality import import_quality, stamp_quality


def stamps(*pairs: tuple[str, str | None]) -> pl.DataFrame:
    rows = [(f"2025-08-{ts}", None if recv is None else f"2025-08-{recv}") for ts, recv in pairs]
    frame = pl.DataFrame(rows, schema={"ts": pl.String, "recv_ts": pl.String}, orient="row")
    return frame.select(
        pl.col("ts", "recv_ts").str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us").dt.replace_time_zone(IST)
    )


def counts(*pairs: tuple[str, str | None]) -> dict[str, int]:
    return {rule: count for rule, count, _ in stamp_quality(stamps(*pairs), "NIFTY")}


def test_a_clean_day_has_nothing_to_say():
    assert counts(("29 10:00:00", "29 10:01:10"), ("29 10:01:00", "29 10:02:10")) == {}


def test_a_snapshot_counts_once_however_many_rows_it_has():
    row = ("29 10:00:00", "29 10:01:10")
    assert counts(row, row, row, ("29 10:00:00", "29 10:02:10")) == {"repeated stamp": 1}


def test_repeats_and_steps_back_are_told_apart():
    found = counts(
        ("29 10:00:00", "29 10:01:00"),
        ("29 10:02:00", "29 10:03:00"),
        ("29 10:01:00", "29 10:04:00"),
        ("29 10:02:00", "29 10:05:00"),
        ("29 10:03:00", "29 10:06:00"),
    )
    assert found == {"backward stamp": 1, "repeated stamp": 1}


def test_a_stamp_ahead_of_its_receipt_is_counted():
    assert counts(("29 10:00:00", "29 09:59:59")) == {"received before its own stamp": 1}


def test_a_holidays_copies_are_counted_with_the_day():
    found = stamp_quality(stamps(("26 15:30:00", "27 10:00:00"), ("26 15:30:00", "27 10:01:00")), "NIFTY")
    assert ("received on a day that is no session", 2, "NIFTY: snapshots on 2025-08-27") in found
    assert ("repeated stamp", 1, "NIFTY: snapshots") in found


def test_without_receive_stamps_the_exchanges_are_taken():
    assert counts(("29 10:00:00", None), ("29 10:01:00", None)) == {}


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_every_snapshot_is_new_repeated_or_backward(minutes):
    pairs = [(f"29 10:{m:02d}:00", f"29 11:{i:02d}:00") for i, m in enumerate(minutes)]
    found = counts(*pairs)
    new, best, seen, backward = 0, -1, set(), 0
    for m in minutes:
        new += m > best
        backward += m < best and m not in seen
        best = max(best, m)
        seen.add(m)
    assert found.get("backward stamp", 0) == backward
    assert found.get("repeated stamp", 0) == len(minutes) - len(set(minutes))
    assert new + found.get("backward stamp", 0) + found.get("repeated stamp", 0) == len(minutes)


@pytest.mark.parametrize(
    ("name", "underlying", "stale", "repeated"),
    [("chain_NIFTY_20250827_20250829", "NIFTY", 7, 14 + 6), ("chain_BANKNIFTY_20250827", "BANKNIFTY", 7, 6)],
)
def test_the_real_files_counts(shared, name, underlying, stale, repeated):
    frame = open_session(shared("data", "nse", f"{name}.parquet")).quality()
    found = dict(zip(frame["rule"], frame["count"], strict=True))
    assert found["received on a day that is no session"] == stale
    assert found["repeated stamp"] == repeated
    assert "backward stamp" not in found
    assert found["fractional contracts restored to units"] == {"NIFTY": 17701, "BANKNIFTY": 112}[underlying]
    assert frame.columns == ["rule", "count", "detail"]


def test_the_accounts_of_files_add_up_by_reason():
    files = [
        {"refused": {"negative price": 2, "expiry is not a date": 1}, "noted": {"crossed quotes set to unknown": 4}},
        {"refused": {"negative price": 3}, "noted": {}},
        {},
    ]
    assert import_quality(files) == [
        ("crossed quotes set to unknown", 4, ""),
        ("row refused", 1, "expiry is not a date"),
        ("row refused", 5, "negative price"),
    ]


def test_days_before_the_calendar_are_not_judged():
    frame = stamps(("29 10:00:00", "29 10:01:00")).with_columns(pl.all() - dt.timedelta(days=365 * 40))
    assert stamp_quality(frame, "X") == []
