"""Snapshots kept as they come: idempotent, whole, asked for as they were known, merged in one step."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from toolkit.errors import BadData
from toolkit.market.schema import CHAIN
from toolkit.store.session import open_session
from toolkit.store.snapshots import SnapshotLog, scan_table

IST = ZoneInfo("Asia/Kolkata")


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(f"2025-08-29 {text}").replace(tzinfo=IST)


def snapshot(ts: str, recv: str, oi: int, expiry: dt.date = dt.date(2025, 9, 2), underlying: str = "NIFTY"):
    rows = {
        "ts": [at(ts)] * 2,
        "recv_ts": [at(recv)] * 2,
        "underlying": [underlying] * 2,
        "expiry": [expiry] * 2,
        "strike_p": [2450000, 2450000],
        "option_type": ["CE", "PE"],
        "token": [1, 2],
        "oi": [oi, oi + 75],
    }
    schema = {c: CHAIN[c] for c in rows}
    return pl.DataFrame(rows, schema=schema)


def test_a_snapshot_is_known_from_its_receipt(tmp_path):
    log = SnapshotLog(tmp_path / "store")
    log.append(snapshot("11:01:00", "11:02:10", 75))
    log.append(snapshot("11:02:00", "11:03:10", 150))
    assert log.as_of(at("11:02:30"))["oi"].to_list() == [75, 150]
    assert log.as_of(at("11:03:10"))["oi"].to_list() == [150, 225]
    assert log.as_of(at("11:02:30"), known_by="stamped")["oi"].to_list() == [150, 225]
    assert log.as_of(at("11:00:00")).is_empty()
    assert log.as_of(at("11:00:00")).schema == CHAIN


def test_each_expiry_gives_its_own_newest_and_yesterday_is_not_today(tmp_path):
    log = SnapshotLog(tmp_path / "store")
    log.append(snapshot("11:01:00", "11:01:30", 75))
    log.append(snapshot("11:02:00", "11:02:30", 300, dt.date(2025, 9, 9)))
    found = log.as_of(at("11:05:00"))
    assert found.filter(pl.col("option_type") == "CE")["oi"].to_list() == [75, 300]
    assert log.as_of(at("11:05:00"), expiry=dt.date(2025, 9, 9))["oi"].to_list() == [300, 375]
    assert log.as_of(at("11:05:00"), underlying="BANKNIFTY").is_empty()
    assert log.as_of(at("11:05:00") + dt.timedelta(days=1)).is_empty()


def test_of_a_repeated_stamp_the_first_receipt_counts(tmp_path):
    log = SnapshotLog(tmp_path / "store")
    log.append(snapshot("11:01:00", "11:01:30", 75))
    log.append(snapshot("11:01:00", "11:02:30", 999))
    assert log.as_of(at("11:05:00"))["oi"].to_list() == [75, 150]


def test_appending_twice_changes_nothing(tmp_path):
    log = SnapshotLog(tmp_path / "store")
    assert log.append(snapshot("11:01:00", "11:01:30", 75))
    assert not log.append(snapshot("11:01:00", "11:01:30", 75))
    assert log.waiting().height == 2


def test_seal_moves_everything_into_the_store_and_a_query_sees_no_difference(tmp_path):
    log = SnapshotLog(tmp_path / "store")
    for j in range(4):
        log.append(snapshot(f"11:0{j}:00", f"11:0{j}:50", 75 * j))
    before = log.as_of(at("11:02:55"))
    assert log.seal() == 8
    assert not log.pending.exists()
    assert log.seal() == 0
    assert_frame_equal(log.as_of(at("11:02:55")), before)
    assert open_session(tmp_path / "store").frame("chain", "NIFTY").height == 8


def test_snapshots_after_a_seal_join_those_before_it(tmp_path):
    log = SnapshotLog(tmp_path / "store")
    log.append(snapshot("11:00:00", "11:00:50", 75))
    log.seal()
    log.append(snapshot("11:01:00", "11:01:50", 150))
    assert log.scan().collect().height == 4
    assert log.as_of(at("11:02:00"))["oi"].to_list() == [150, 225]
    assert SnapshotLog(tmp_path / "store").as_of(at("11:02:00"))["oi"].to_list() == [150, 225]
    log.seal()
    assert open_session(tmp_path / "store").frame("chain").height == 4


def test_a_half_written_snapshot_is_never_seen(tmp_path):
    log = SnapshotLog(tmp_path / "store")
    log.append(snapshot("11:00:00", "11:00:50", 75))
    (log.pending / ".abc.part").write_bytes(b"half")
    assert log.waiting().height == 2
    (log.pending / "00000009-dead.arrow").write_bytes(b"not arrow")
    with pytest.raises(BadData, match="cannot be read"):
        log.waiting()


def test_rows_that_do_not_fit_are_refused_and_nothing_is_kept(tmp_path):
    log = SnapshotLog(tmp_path / "store")
    with pytest.raises(BadData, match="no column 'oi'"):
        log.append(snapshot("11:00:00", "11:00:50", 75).drop("oi"))
    with pytest.raises(BadData, match="does not fit"):
        log.append(snapshot("11:00:00", "11:00:50", 75).with_columns(pl.lit("many").alias("oi")))
    with pytest.raises(BadData, match="received or stamped"):
        log.as_of(at("11:00:00"), known_by="guess")
    with pytest.raises(BadData, match="time zone"):
        log.as_of(dt.datetime(2025, 8, 29, 11, 0))
    assert log.waiting().is_empty()


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / ".store.snapshots").write_text("a file in the way")
    with pytest.raises(BadData, match="cannot keep a snapshot"):
        SnapshotLog(tmp_path / "store").append(snapshot("11:00:00", "11:00:50", 75))


def test_a_lazy_scan_opens_only_the_days_and_underlyings_asked_for(tmp_path):
    log = SnapshotLog(tmp_path / "store")
    log.append(snapshot("11:00:00", "11:00:50", 75))
    log.append(snapshot("11:00:00", "11:00:50", 80, underlying="BANKNIFTY"))
    other = snapshot("11:00:00", "11:00:50", 90)
    log.append(other.with_columns(pl.col("ts", "recv_ts") + dt.timedelta(days=3)))
    log.seal()
    path = tmp_path / "store"
    assert scan_table(path, "chain").collect().height == 6
    assert scan_table(path, "chain", underlying="NIFTY").collect().height == 4
    late = scan_table(path, "chain", start=dt.date(2025, 8, 30)).collect()
    assert late["oi"].to_list() == [90, 165]
    assert scan_table(path, "chain", end=dt.date(2025, 8, 1)).collect().schema == CHAIN
    with pytest.raises(BadData, match="no table"):
        scan_table(path, "prices")
    with pytest.raises(BadData, match="not a session store"):
        scan_table(tmp_path / "nothing", "chain")
