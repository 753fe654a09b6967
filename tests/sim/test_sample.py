"""The session that ships is what its command makes, byte for byte where the same
polars wrote it and row for row with any other, and says that it is synthetic."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys

import polars as pl
import pytest

from toolkit.config import share
from toolkit.store.session import open_session

LIMIT = 3_000_000


@pytest.fixture(scope="module")
def shipped():
    return share("data", "sample")


def _files(root):
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_the_command_makes_the_shipped_bytes_in_any_zone_and_hash_seed(shipped, tmp_path):
    told = {"TZ": "America/New_York", "PYTHONHASHSEED": "7", "LC_ALL": "C", "TOOLKIT_HOME": os.environ["TOOLKIT_HOME"]}
    command = [sys.executable, "-m", "toolkit", "generate", "--to", str(tmp_path / "again"), "--sample"]
    done = subprocess.run(command, env={**os.environ, **told}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ours, again = _files(shipped), _files(tmp_path / "again")
    if open_session(shipped).meta["generator"]["polars"] == pl.__version__:
        assert sorted(ours) == sorted(again)
        assert [name for name in ours if ours[name] != again[name]] == []
    else:
        one, other = open_session(shipped), open_session(tmp_path / "again")
        for table in ("chain", "futures", "spot", "eod", "ticks"):
            assert one.frame(table).equals(other.frame(table)), table
        assert one.instruments().equals(other.instruments())


def test_the_rows_are_those_of_the_plan_whatever_writes_the_parquet(shipped, sample):
    session = open_session(shipped)
    for table in ("chain", "futures", "spot", "eod"):
        order = [
            c
            for c in ("underlying", "recv_ts", "kind", "expiry", "strike_p", "option_type")
            if c in sample.tables[table].columns
        ]
        stored = session.frame(table).sort(order)
        assert stored.equals(sample.tables[table].sort(order)), table
    assert session.ticks().height == sample.tables["ticks"].height


def test_it_is_small(shipped):
    assert sum(len(blob) for blob in _files(shipped).values()) <= LIMIT


def test_it_says_that_it_is_synthetic_everywhere(shipped):
    session = open_session(shipped)
    assert session.synthetic
    assert session.meta["synthetic"] is True
    assert json.loads((shipped / "session.json").read_text())["synthetic"] is True
    assert "synthetic" in session.name
    assert "synthetic" in repr(session)
    assert "synthetic" in session._repr_html_()


def test_it_is_one_plain_day_of_both_indices(shipped):
    session = open_session(shipped)
    assert session.underlyings() == ["NIFTY", "SENSEX"]
    assert session.dates() == [dt.date(2026, 7, 13)]
    assert session.expiries("NIFTY") == [dt.date(2026, 7, d) for d in (14, 21, 28)] + [dt.date(2026, 8, 25)]
    assert session.expiries("SENSEX") == [dt.date(2026, 7, d) for d in (16, 23, 30)]
    assert session.kind(dt.date(2026, 7, 13), "NIFTY") == "snapshots"


def test_it_covers_the_session_and_an_hour_of_ticks(shipped):
    session = open_session(shipped)
    stamps = session.frame("chain")["ts"]
    assert stamps.min().time() < dt.time(9, 16)
    assert stamps.max().time() > dt.time(15, 28)
    ticks = session.ticks()
    assert ticks["ts"].dt.hour().unique().to_list() == [11]
    assert ticks.group_by("underlying").len()["len"].min() > 5_000


def test_its_lots_and_steps_are_those_of_the_day(shipped):
    rows = open_session(shipped).frame("chain")
    lots = dict(rows.group_by("underlying").agg(pl.col("lot").unique().first()).iter_rows())
    assert lots == {"NIFTY": 65, "SENSEX": 20}
    for name, step in (("NIFTY", 5_000), ("SENSEX", 10_000)):
        strikes = rows.filter(pl.col("underlying") == name)["strike_p"].unique().sort()
        assert (strikes % step == 0).all()
        assert strikes.diff().mode()[0] == step


def test_its_quality_names_the_repeats_that_were_planted(shipped):
    session = open_session(shipped)
    planted = [e for e in session.meta["planted"] if e["type"] == "DATA_REPEAT"]
    rows = session.quality().filter(pl.col("rule") == "repeated stamp")
    assert rows["count"].sum() == len(planted) > 0
