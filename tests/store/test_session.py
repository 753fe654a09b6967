"""Sessions: the same questions of a store and of a file, and what was known when."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import BadData, UnknownSymbol
from toolkit.market.schema import CHAIN, EOD, INSTRUMENTS, IST, PARTICIPANTS, SPOT, TICKS
from toolkit.store.session import Session, open_session, write_tables

DAY = dt.date(2025, 8, 29)
NEXT = dt.date(2025, 9, 1)
NEAR, FAR = dt.date(2025, 9, 2), dt.date(2025, 9, 30)


def at(clock: str, day: dt.date = DAY) -> dt.datetime:
    return dt.datetime.combine(day, dt.time.fromisoformat(clock), tzinfo=ZoneInfo(IST))


def shaped(rows: list[dict], schema: pl.Schema) -> pl.DataFrame:
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return frame.select(
        [(pl.col(c) if c in frame.columns else pl.lit(None)).cast(t).alias(c) for c, t in schema.items()]
    )


def snapshot(
    clock: str,
    *,
    day: dt.date = DAY,
    lag: int | None = 70,
    underlying: str = "NIFTY",
    oi: int = 75,
    expiries: tuple = (NEAR, FAR),
) -> list[dict]:
    stamp = at(clock, day)
    received = None if lag is None else stamp + dt.timedelta(seconds=lag)
    common = {
        "ts": stamp,
        "recv_ts": received,
        "underlying": underlying,
        "oi": oi,
        "volume": 75,
        "lot": 75,
        "ltp": 10.0,
    }
    return [
        {
            **common,
            "expiry": e,
            "strike_p": k,
            "option_type": side,
            "token": -hash((e.toordinal(), k, side == "CE")) % 10**9 - 10**9,
        }
        for e in expiries
        for k in (2450000, 2455000)
        for side in ("CE", "PE")
    ]


def tables() -> dict[str, pl.DataFrame]:
    rows = snapshot("10:00:00", oi=75) + snapshot("10:01:00", oi=150) + snapshot("10:00:00", day=NEXT, oi=225)
    rows += snapshot("10:00:30", underlying="SENSEX", oi=20)
    tick = {"ts": at("10:00:01"), "recv_ts": at("10:00:02"), "underlying": "NIFTY", "token": 7, "ltp": 1.0}
    spot = {"ts": at("10:00:00"), "recv_ts": at("10:00:01"), "underlying": "NIFTY", "ltp": 24500.0}
    return {"chain": shaped(rows, CHAIN), "ticks": shaped([tick], TICKS), "spot": shaped([spot], SPOT)}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("session") / "two days"
    write_tables(path, tables(), {"name": "two days", "synthetic": True, "source": "test", "seed": 7})
    return path


@pytest.fixture(scope="module")
def session(store) -> Session:
    return open_session(store)


@pytest.fixture(scope="module")
def real(shared) -> Session:
    return open_session(shared("data", "nse", "chain_NIFTY_20250827_20250829.parquet"))


def test_what_a_store_holds(session):
    assert (session.name, session.synthetic) == ("two days", True)
    assert session.underlyings() == ["NIFTY", "SENSEX"]
    assert session.dates() == [DAY, NEXT]
    assert session.dates("SENSEX") == [DAY]
    assert session.dates(table="ticks") == [DAY]
    assert session.expiries() == session.expiries("NIFTY", DAY) == [NEAR, FAR]
    assert session.meta["seed"] == 7
    assert session.meta["source"] == "test"
    assert session.kind(DAY, "NIFTY") == "snapshots"


def test_frames_have_their_schema_and_only_what_was_asked(session):
    assert session.frame("chain").height == 4 * 8
    assert session.frame("chain", "NIFTY", "2025-09-01")["oi"].unique().to_list() == [225]
    assert session.frame("chain", date=DAY).schema == CHAIN
    assert session.frame("eod").schema == EOD
    assert session.frame("participants").schema == PARTICIPANTS
    assert session.frame("spot", "SENSEX").is_empty()
    assert session.ticks("NIFTY")["token"].to_list() == [7]


@pytest.mark.parametrize(
    ("ask", "error", "text"),
    [
        (lambda s: s.frame("chains"), BadData, "no table 'chains' in a session; did you mean 'chain'"),
        (
            lambda s: s.frame("chain", "NIFTTY"),
            UnknownSymbol,
            "no underlying 'NIFTTY' in session two days; did you mean 'NIFTY'",
        ),
        (lambda s: s.frame("chain", "TCS"), UnknownSymbol, "it has NIFTY, SENSEX"),
        (lambda s: s.dates("X"), UnknownSymbol, "no underlying 'X'"),
        (lambda s: s.chain(underlying="X"), UnknownSymbol, "no underlying 'X'"),
        (lambda s: next(s.chains("X")), UnknownSymbol, "no underlying 'X'"),
        (
            lambda s: s.frame("chain", date="2025-08-27"),
            BadData,
            "2025-08-27 is no trading day; its days are 2025-08-29 to 2025-09-01",
        ),
        (lambda s: s.frame("chain", date=dt.date(2025, 9, 2)), BadData, "2025-09-02 is not in the session"),
        (lambda s: s.frame("chain", "SENSEX", NEXT), BadData, "2025-09-01 is not in the session"),
        (lambda s: s.frame("chain", date="soon"), BadData, "a date must read YYYY-MM-DD, was 'soon'"),
        (lambda s: s.chain(at="noon"), BadData, "at must"),
        (lambda s: s.chain(at="10:00"), BadData, "at must name its day"),
        (lambda s: s.dates(table="x"), BadData, "no table 'x'"),
    ],
)
def test_questions_it_cannot_answer_are_one_line(session, ask, error, text):
    with pytest.raises(error) as caught:
        ask(session)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("moment", "oi"),
    [
        (None, [225]),
        (at("10:01:09"), []),
        (at("10:01:10"), [75]),
        (at("10:02:09.999999"), [75]),
        (at("10:02:10"), [150]),
        (at("10:02:10").astimezone(dt.UTC), [150]),
        (dt.datetime(2025, 8, 29, 10, 2, 10), [150]),
        ("2025-08-29 10:02:10", [150]),
        ("2025-08-29T10:01:59+05:30", [75]),
        ("2025-08-29", [150]),
        (DAY, [150]),
        (NEXT, [225]),
        ("2025-08-31", [150]),
        ("2025-08-28", []),
        (int(at("10:02:10").timestamp()) * 10**9, [150]),
        (int(at("10:02:10").timestamp()) * 10**9 - 1, [75]),
    ],
)
def test_a_snapshot_is_known_from_its_receipt(session, moment, oi):
    frame = session.chain(at=moment, underlying="NIFTY")
    assert frame.schema == CHAIN
    assert frame["oi"].unique().to_list() == oi
    assert frame.height == 8 * len(oi)


def test_without_a_receive_stamp_the_exchanges_counts(tmp_path):
    write_tables(tmp_path / "s", {"chain": shaped(snapshot("10:00:00", lag=None), CHAIN)}, {})
    session = open_session(tmp_path / "s")
    assert session.chain(at="09:59:59.999999").is_empty()
    assert session.chain(at="10:00").height == 8


def test_each_expiry_gives_its_own_newest_snapshot(tmp_path):
    rows = snapshot("10:00:00", oi=75) + snapshot("10:05:00", oi=150, expiries=(NEAR,))
    write_tables(tmp_path / "s", {"chain": shaped(rows, CHAIN)}, {})
    frame = open_session(tmp_path / "s").chain()
    assert frame.group_by("expiry").agg(pl.col("oi").unique()).sort("expiry")["oi"].to_list() == [[150], [75]]
    only = open_session(tmp_path / "s").chain(expiry="2025-09-30")
    assert only["expiry"].unique().to_list() == [FAR]


def test_both_underlyings_give_their_newest(session):
    frame = session.chain(at="2025-08-29 15:00")
    assert frame.group_by("underlying").agg(pl.col("oi").first()).sort("underlying")["oi"].to_list() == [150, 20]


def test_snapshots_come_in_the_order_of_receipt(session):
    def known(frames: Iterator[pl.DataFrame]) -> list[tuple[str, int]]:
        return [(f["underlying"][0], f["oi"][0]) for f in frames]

    assert known(session.chains("NIFTY")) == [("NIFTY", 75), ("NIFTY", 150), ("NIFTY", 225)]
    assert known(session.chains()) == [("NIFTY", 75), ("SENSEX", 20), ("NIFTY", 150), ("NIFTY", 225)]
    assert all(frame.schema == CHAIN for frame in session.chains())


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 59), st.integers(-30, 200)), min_size=1, max_size=12, unique_by=lambda x: x[0]),
    st.integers(-60, 4000),
)
def test_nothing_is_seen_before_its_receipt(tmp_path_factory, stamps, second):
    rows = [row for minute, lag in stamps for row in snapshot(f"10:{minute:02d}:00", lag=lag, oi=75 * minute)]
    path = tmp_path_factory.mktemp("look") / "s"
    write_tables(path, {"chain": shaped(rows, CHAIN)}, {})
    moment = at("10:00:00") + dt.timedelta(seconds=second)
    known = sorted((60 * minute + lag, minute) for minute, lag in stamps if 60 * minute + lag <= second)
    frame = open_session(path).chain(at=moment)
    if not known:
        assert frame.is_empty()
    else:
        newest = known[-1][0]
        ties = [minute for received, minute in known if received == newest]
        assert frame["oi"].unique().to_list() == [75 * max(ties)]


def test_instruments_of_recorded_rows_are_derived(session):
    frame = session.instruments()
    assert frame.schema == INSTRUMENTS
    assert frame.filter(valid_on=DAY, underlying="NIFTY").height == 8
    row = frame.filter(symbol="NIFTY 02SEP2025 24500 CE", valid_on=DAY).row(0, named=True)
    assert (row["exchange"], row["lot"], row["strike_p"], row["kind"]) == ("NSE", 75, 2450000, "option")
    assert frame.filter(underlying="SENSEX")["exchange"].unique().to_list() == ["BSE"]


def test_a_master_comes_first_and_what_it_lacks_is_derived(tmp_path):
    chain = shaped(snapshot("10:00:00"), CHAIN)
    named = chain.head(1)
    master = {
        "valid_on": DAY,
        "token": named["token"][0],
        "symbol": "OF THE MASTER",
        "exchange": "NSE",
        "segment": "NSE_FO",
    }
    write_tables(tmp_path / "s", {"chain": chain, "instruments": shaped([master], INSTRUMENTS)}, {})
    frame = open_session(tmp_path / "s").instruments()
    assert frame.height == 8
    assert frame.filter(token=named["token"][0])["symbol"].to_list() == ["OF THE MASTER"]


def test_a_session_says_what_it_is(session):
    text = repr(session)
    assert "synthetic" in text
    assert "NIFTY, SENSEX" in text
    assert "2025-08-29 to 2025-09-01 (2)" in text
    assert "chain 32, spot 1, ticks 1" in text
    assert len(text) < 300


def test_its_page_is_escaped_and_names_units(tmp_path):
    write_tables(tmp_path / "s", tables(), {"name": "<script>alert(1)</script>", "synthetic": True})
    page = open_session(tmp_path / "s")._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "quantities in units, prices in rupees" in page
    assert "synthetic" in page
    assert page.count("<tr>") == page.count("</tr>") == 4


def test_the_real_file_opens_whole(real, shared):
    assert real.frame("chain").height == 478262
    assert real.dates() == [dt.date(2025, 8, 26), DAY]
    assert len(real.expiries("NIFTY", DAY)) == 18
    assert not real.synthetic
    assert real.meta["files"][0]["rows_kept"] == 239131


def test_the_real_days_published_ratio(real):
    frame = real.chain(expiry="2025-09-30")
    assert str(frame["ts"][0]) == "2025-08-29 15:27:27+05:30"
    sums = [frame.filter(option_type=side)["oi"].sum() for side in ("PE", "CE")]
    assert round(sums[0] / sums[1], 6) == 1.176069
    assert real.chain(expiry="2025-09-30", at="2025-08-29 23:00").equals(frame)


def test_the_real_day_has_306_snapshots_after_the_holidays_seven(real):
    counts = [frame["recv_ts"].dt.date()[0] for frame in real.chains("NIFTY")]
    assert (counts.count(dt.date(2025, 8, 27)), counts.count(DAY), len(counts)) == (7, 306, 313)
    day = real.frame("chain", "NIFTY", DAY)
    assert day.height == 2 * 233762


def test_a_file_and_the_store_made_of_it_answer_alike(real, tmp_path):
    write_tables(tmp_path / "s", {"chain": real.frame("chain")}, {"name": "x"})
    stored = open_session(tmp_path / "s")
    assert stored.frame("chain").equals(real.frame("chain"))
    assert stored.chain(at="2025-08-29 12:00").equals(real.chain(at="2025-08-29 12:00"))
    assert stored.instruments().equals(real.instruments())
    assert (
        stored.quality()
        .filter(pl.col("rule") == "repeated stamp")
        .equals(real.quality().filter(pl.col("rule") == "repeated stamp"))
    )


def test_a_real_bhavcopy_opens_as_a_closing_snapshot(shared):
    session = open_session(shared("data", "nse", "BhavCopy_NSE_FO_0_0_0_20250206_F_0000.csv.zip"))
    day = dt.date(2025, 2, 6)
    assert session.dates() == [day]
    assert session.kind(day, "NIFTY") == "eod"
    assert session.frame("eod").height == 35984
    assert session.chain(at=at("15:29:59", day)).is_empty()
    assert session.chain(at=at("15:30:00", day), underlying="NIFTY", expiry=day).height > 100
    assert session.instruments().height == 35984
    assert session.quality().is_empty()


def test_other_paths_are_one_line(tmp_path):
    for path, text in ((tmp_path / "none", "no file"), (tmp_path, "not a session store")):
        with pytest.raises(BadData, match=text) as caught:
            open_session(path)
        assert "\n" not in str(caught.value)


def test_a_newer_store_asks_for_an_upgrade(store, tmp_path):
    (tmp_path / "session.json").write_text(
        json.dumps({**json.loads((store / "session.json").read_text()), "schema_version": 2})
    )
    with pytest.raises(BadData, match="has schema version 2, this toolkit reads up to 1; upgrade it"):
        open_session(tmp_path)


def test_a_part_that_is_gone_or_damaged_is_one_line(tmp_path):
    path = tmp_path / "s"
    write_tables(path, tables(), {})
    session = open_session(path)
    part = next((path / "ticks").rglob("*.parquet"))
    raw = part.read_bytes()
    part.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(BadData, match="has a damaged part") as caught:
        session.ticks()
    assert "\n" not in str(caught.value)
    part.unlink()
    with pytest.raises(BadData, match="open it again"):
        session.ticks()


def test_opening_and_reading_a_store_writes_nothing(store):
    before = {p: p.stat().st_mtime_ns for p in sorted(store.rglob("*"))}
    session = open_session(store)
    session.frame("chain")
    session.quality()
    session.instruments()
    assert {p: p.stat().st_mtime_ns for p in sorted(store.rglob("*"))} == before


def test_a_master_in_the_store_names_the_stand_ins_of_its_rows(tmp_path):
    chain = shaped(snapshot("10:00:00"), CHAIN)
    first = chain.row(0, named=True)
    master = {k: first[k] for k in ("underlying", "expiry", "strike_p", "option_type", "lot")}
    master |= {"valid_on": DAY, "token": 51111, "symbol": "X", "exchange": "NSE", "segment": "NSE_FO", "kind": "option"}
    write_tables(tmp_path / "s", {"chain": chain, "instruments": shaped([master], INSTRUMENTS)}, {})
    session = open_session(tmp_path / "s")
    for frame in (session.frame("chain"), session.chain(), next(session.chains())):
        assert frame.filter(pl.col("token") > 0).select("token", "strike_p").rows() == [(51111, first["strike_p"])]
    tokens = session.instruments()["token"].to_list()
    assert len(tokens) == 8
    assert set(tokens) == set(session.frame("chain")["token"])
