"""Recording: rows and snapshots from ticks, parts that survive anything, a disk slower than the market."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import polars as pl
import pytest

from toolkit.calendar import ist_ns
from toolkit.errors import BadData
from toolkit.market.kite_wire import FULL, INDEX_FULL, TICK
from toolkit.market.schema import CHAIN, INSTRUMENTS, TICKS
from toolkit.store import session_append
from toolkit.store.recorder import Recorder, instrument_rows
from toolkit.store.session import open_session, write_tables
from toolkit.store.session_append import MERGE, StoreAppender
from toolkit.store.session_files import StoreWriter, read_manifest
from toolkit.types import Instrument, Kind, OptionType

DAY = dt.date(2026, 7, 13)
OPEN = ist_ns(DAY, dt.time(9, 15))
S = 1_000_000_000
EXPIRY = dt.date(2026, 7, 14)


def contract(
    token: int, kind: Kind = Kind.OPTION, strike: int = 24_500, cp: str = "CE", underlying: str = "NIFTY"
) -> Instrument:
    option = kind is Kind.OPTION
    return Instrument(
        instrument_id=token,
        symbol=f"{underlying} {token}",
        exchange="NSE",
        segment="NSE_FO",
        underlying=underlying,
        kind=kind,
        lot=65,
        tick_p=5,
        expiry=None if kind is Kind.INDEX else EXPIRY,
        strike_p=strike * 100 if option else None,
        option_type=OptionType(cp) if option else None,
        token=token,
    )


CONTRACTS = [
    contract(1),
    contract(2, cp="PE"),
    contract(3, strike=24_550),
    contract(8, Kind.FUTURE),
    contract(9, Kind.INDEX),
]


def ticks(at_s: float, *tokens: int, ltp: int = 10_000, oi: int = 650) -> np.ndarray:
    out = np.zeros(len(tokens), TICK)
    out["token"], out["ltp"], out["oi"], out["volume"] = tokens, ltp, oi, int(at_s)
    out["kind"], out["divisor"] = FULL, 100
    out["kind"][out["token"] == 9] = INDEX_FULL
    out["exch_s"], out["recv_ns"] = OPEN // S + int(at_s), OPEN + int(at_s * S)
    out["bid"]["price"][:, 0], out["bid"]["qty"][:, 0] = ltp - 5, 65
    out["ask"]["price"][:, 0], out["ask"]["qty"][:, 0] = ltp + 5, 130
    return out


class Clock:
    def __init__(self) -> None:
        self.now_ns = OPEN

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock():
    return Clock()


def recorder(path, clock, **options) -> Recorder:
    return Recorder(
        path, CONTRACTS, clock=clock, synthetic=True, source="a test", **{"snapshot_s": 5, "flush_s": 10, **options}
    )


def play(made: Recorder, clock: Clock, seconds: range) -> None:
    for second in seconds:
        clock.now_ns = OPEN + second * S
        made.put(ticks(second, 1, 2, 8, 9, ltp=10_000 + second))
        made.step(clock.now_ns)


def test_ticks_snapshots_futures_and_spot_are_in_the_store(tmp_path, clock) -> None:
    made = recorder(tmp_path / "rec", clock)
    play(made, clock, range(1, 31))
    counts = made.stop()
    session = open_session(tmp_path / "rec")
    chain = session.frame("chain")
    assert dict(chain.schema) == dict(CHAIN)
    assert session.dates() == [DAY]
    assert session.expiries() == [EXPIRY]
    assert session.ticks().height == 120 == counts["ticks"]
    assert dict(session.ticks().schema) == dict(TICKS)
    moments = [(t.second, n) for t, n in chain.group_by("recv_ts", maintain_order=True).len().rows()]
    assert moments == [(2, 2), (5, 2), (10, 2), (15, 2), (20, 2), (25, 2), (30, 2)], (
        "a second after the first tick, then on the grid"
    )
    last = chain.filter(pl.col("recv_ts") == pl.col("recv_ts").max())
    assert last["ltp"].to_list() == [100.3, 100.3]
    assert last["spot"].to_list() == [100.3, 100.3]
    assert last["futures"].to_list() == [100.3, 100.3]
    assert session.frame("futures").height == session.frame("spot").height == 7
    assert session.instruments().height == len(CONTRACTS)
    assert session.meta["recording"] == {"recorded_ticks": 120, "lost_ticks": 0}
    assert session.synthetic
    assert counts["snapshots"] == 7


def test_nothing_new_makes_no_snapshot(tmp_path, clock) -> None:
    made = recorder(tmp_path / "rec", clock)
    play(made, clock, range(1, 6))
    for second in range(6, 60):
        clock.now_ns = OPEN + second * S
        made.step(clock.now_ns)
    before = made.counts["snapshots"]
    made.stop()
    assert made.counts["snapshots"] == before
    assert open_session(tmp_path / "rec").frame("chain")["recv_ts"].dt.second().unique().sort().to_list() == [2, 5]


def test_what_is_flushed_is_there_while_it_goes_on_and_the_rest_is_not(tmp_path, clock) -> None:
    made = recorder(tmp_path / "rec", clock)
    play(made, clock, range(1, 12))
    assert open_session(tmp_path / "rec").ticks()["ts"].dt.second().max() == 11
    play(made, clock, range(12, 20))
    assert open_session(tmp_path / "rec").ticks()["ts"].dt.second().max() == 11
    made.stop()
    assert open_session(tmp_path / "rec").ticks()["ts"].dt.second().max() == 19


def test_strangers_are_left_out_and_ticks_can_be(tmp_path, clock) -> None:
    made = recorder(tmp_path / "rec", clock, ticks=False)
    made.put(ticks(1, 1, 77))
    made.step(OPEN + S)
    made.stop()
    session = open_session(tmp_path / "rec")
    assert session.frame("chain")["token"].to_list() == [1]
    assert session.ticks().is_empty()


def test_a_second_recording_adds_to_the_first_and_an_import_merges_with_both(tmp_path, clock) -> None:
    for first in (1, 100):
        made = recorder(tmp_path / "rec", clock)
        play(made, clock, range(first, first + 25))
        made.stop()
    session = open_session(tmp_path / "rec")
    before = session.frame("chain")
    assert session.ticks().height == 200
    parts = read_manifest(tmp_path / "rec")["parts"]["ticks"]
    assert len(parts) > 2
    with StoreWriter(tmp_path / "rec") as writer:
        writer.add({"chain": before.with_columns(recv_ts=pl.col("recv_ts") + dt.timedelta(hours=1))})
        writer.commit()
    merged = open_session(tmp_path / "rec")
    assert merged.frame("chain").height == 2 * before.height
    assert merged.ticks().height == 200
    assert len(read_manifest(tmp_path / "rec")["parts"]["chain"]) == 1


def test_many_small_parts_become_one_and_no_row_is_lost_or_told_twice(tmp_path, clock) -> None:
    made = recorder(tmp_path / "rec", clock, flush_s=1, snapshot_s=1)
    play(made, clock, range(1, 2 * MERGE + 4))
    made.stop()
    for table in ("ticks", "chain", "futures", "spot"):
        parts = read_manifest(tmp_path / "rec")["parts"][table]
        assert 2 <= len(parts) <= 2 + MERGE
        assert sum(not part.get("fresh") for part in parts) == 2
        on_disk = {p.name for p in (tmp_path / "rec" / table).rglob("*.parquet")}
        assert on_disk == {part["path"].rpartition("/")[2] for part in parts}, "merged files are gone"
    session = open_session(tmp_path / "rec")
    assert session.ticks().height == 4 * (2 * MERGE + 3)
    stamps = session.frame("chain")["recv_ts"].to_list()
    assert stamps == sorted(stamps)


def test_two_underlyings_have_their_own_snapshots(tmp_path, clock) -> None:
    both = [*CONTRACTS, contract(21, underlying="SENSEX"), contract(29, Kind.INDEX, underlying="SENSEX")]
    made = Recorder(tmp_path / "rec", both, clock=clock, synthetic=False, source="t")
    made.put(np.concatenate([ticks(1, 1, 9), ticks(1, 21, 29, ltp=80_000)]))
    made.step(OPEN + 2 * S)
    made.stop()
    session = open_session(tmp_path / "rec")
    assert session.underlyings() == ["NIFTY", "SENSEX"]
    assert session.frame("chain", "SENSEX")["spot"].to_list() == [800.0]
    assert not session.synthetic


def test_a_disk_slower_than_the_market_loses_counted_ticks_and_no_last_value(tmp_path, clock) -> None:
    made = recorder(tmp_path / "rec", clock, most_ticks=8)
    for second in range(1, 11):
        made.put(ticks(second, 1, 2, ltp=10_000 + second))
    clock.now_ns = OPEN + 11 * S
    counts = made.stop()
    session = open_session(tmp_path / "rec")
    assert session.frame("chain")["ltp"].to_list() == [100.1, 100.1]
    assert counts["ticks"] == 20
    assert counts["lost"] == 20 - session.ticks().height > 0
    assert session.meta["recording"]["lost_ticks"] == counts["lost"]


def test_a_failing_disk_is_reported_kept_for_later_and_made_good(tmp_path, clock, monkeypatch) -> None:
    made = recorder(tmp_path / "rec", clock)
    working = StoreAppender.append

    def full(self, tables, notes=None):
        raise BadData("disk full while writing")

    monkeypatch.setattr(StoreAppender, "append", full)
    play(made, clock, range(1, 25))
    assert "disk full" in str(made.error)
    monkeypatch.setattr(StoreAppender, "append", working)
    play(made, clock, range(25, 40))
    assert made.error is None
    assert made.stop()["lost"] == 0
    assert open_session(tmp_path / "rec").ticks().height == 4 * 39


def test_a_disk_that_stays_full_costs_ticks_first_and_stop_says_so(tmp_path, clock, monkeypatch) -> None:
    made = recorder(tmp_path / "rec", clock, flush_s=1)

    def full(self, tables, notes=None):
        raise BadData("disk full while writing")

    monkeypatch.setattr(StoreAppender, "append", full)
    play(made, clock, range(1, 12))
    assert made.counts["lost"] > 0
    with pytest.raises(BadData, match="disk full"):
        made.stop()


def test_the_thread_writes_by_itself_and_stop_may_be_called_twice(tmp_path, clock) -> None:
    made = recorder(tmp_path / "rec", clock)
    assert made.start() is made.start()
    made.put(ticks(1, 1, 9))
    made.stop()
    made.stop()
    assert open_session(tmp_path / "rec").frame("chain").height == 1
    assert not [t for t in threading.enumerate() if t.name == "recorder"]


def test_putting_never_waits_for_the_disk(tmp_path, clock, monkeypatch) -> None:
    made, inside, let_go = recorder(tmp_path / "rec", clock, flush_s=0.001), threading.Event(), threading.Event()
    working = StoreAppender.append

    def slow(self, tables, notes=None):
        inside.set()
        assert let_go.wait(20)
        return working(self, tables, notes)

    monkeypatch.setattr(StoreAppender, "append", slow)
    made.clock = lambda: next(later)
    later = iter(range(OPEN, OPEN + 10**6 * S, S))
    made.start()
    made.put(ticks(1, 1))
    assert inside.wait(20)
    for second in range(2, 500):
        made.put(ticks(second, 1))  # returns although the writer stands
    let_go.set()
    assert made.stop()["ticks"] == 499


@pytest.mark.parametrize(
    ("change", "text"), [({"snapshot_s": 0}, "snapshot_s must be above 0"), ({"flush_s": -1}, "flush_s must be")]
)
def test_senseless_settings_are_refused(tmp_path, clock, change, text) -> None:
    with pytest.raises(BadData, match=text):
        recorder(tmp_path / "rec", clock, **change)


def test_without_an_option_there_is_nothing_to_record(tmp_path, clock) -> None:
    with pytest.raises(BadData, match="no option among the instruments"):
        Recorder(tmp_path / "rec", [contract(9, Kind.INDEX)], clock=clock, synthetic=False, source="t")
    assert not (tmp_path / "rec").exists()


def test_a_store_of_the_other_kind_and_a_foreign_folder_are_refused(tmp_path, clock) -> None:
    made = recorder(tmp_path / "rec", clock)
    play(made, clock, range(1, 5))
    made.stop()
    with pytest.raises(BadData, match="is a synthetic session, this recording is not"):
        Recorder(tmp_path / "rec", CONTRACTS, clock=clock, synthetic=False, source="t")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("mine")
    with pytest.raises(BadData, match="holds other files"):
        recorder(tmp_path / "other", clock)
    assert (tmp_path / "other" / "letter.txt").read_text() == "mine"


def test_an_append_that_fails_half_way_leaves_the_store_as_it_was(tmp_path, monkeypatch) -> None:
    table = instrument_rows(CONTRACTS, DAY)
    assert dict(table.schema) == dict(INSTRUMENTS)
    store = StoreAppender(tmp_path / "s", table, {"name": "s", "synthetic": True, "source": ""})
    chain = pl.DataFrame(schema=CHAIN)
    row = {
        "ts": dt.datetime(2026, 7, 13, 4, tzinfo=dt.UTC),
        "underlying": "NIFTY",
        "expiry": EXPIRY,
        "strike_p": 1,
        "option_type": "CE",
    }
    one = pl.concat(
        [
            chain,
            pl.DataFrame([row]).with_columns(
                pl.col("ts").dt.convert_time_zone("Asia/Kolkata"), pl.col("option_type").cast(CHAIN["option_type"])
            ),
        ],
        how="diagonal",
    )
    assert store.append({"chain": one}) == 1
    assert store.append({"chain": one}) == 0, "the very same rows again"

    def broken(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(session_append, "sync", broken)
    with pytest.raises(BadData, match="disk full while writing"):
        store.append({"chain": one.with_columns(strike_p=pl.lit(2, pl.Int64))})
    assert open_session(tmp_path / "s").frame("chain")["strike_p"].to_list() == [1]


KILLED = """
import sys, time, os
sys.path.insert(0, sys.argv[2])
import importlib.util
spec = importlib.util.spec_from_file_location("them", sys.argv[3]); them = importlib.util.module_from_spec(spec); spec.loader.exec_module(them)
clock = them.Clock()
made = them.recorder(sys.argv[1], clock, flush_s=1, snapshot_s=1)
second = 0
while True:
    second += 1
    them.play(made, clock, range(second, second + 1))
    if second % 5 == 0:
        print(second, flush=True)
"""


def test_a_kill_at_any_moment_leaves_a_session_up_to_the_last_append(tmp_path) -> None:
    """Two kills -9 at random moments of a recorder that appends all the time (seeded by when they strike)."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for round_ in range(2):
        path = tmp_path / f"rec{round_}"
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path), root, __file__], stdout=subprocess.PIPE, text=True
        ) as process:
            seen = 0
            while seen < 5 + 5 * round_:
                seen = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            process.wait()
        session = open_session(path)
        chain, held = session.frame("chain"), session.ticks()
        assert held["volume"].max() >= seen - 2, "what was appended is there"
        seconds = sorted(set(held["volume"].drop_nulls().to_list()))
        assert seconds == list(range(1, seconds[-1] + 1)), "and nothing between is missing"
        assert chain["recv_ts"].n_unique() >= seen - 3
        made = recorder(path, Clock())
        play(made, made.clock, range(1000, 1003))
        made.stop()
        assert open_session(path).ticks().height == held.height + 12


def test_a_recorded_store_equals_one_written_at_once(tmp_path, clock) -> None:
    made = recorder(tmp_path / "rec", clock, flush_s=1, snapshot_s=1)
    play(made, clock, range(1, 20))
    made.stop()
    session = open_session(tmp_path / "rec")
    tables = {name: session.frame(name) for name in ("chain", "futures", "spot", "ticks")}
    write_tables(tmp_path / "whole", tables, {"name": "whole", "synthetic": True, "source": ""})
    whole = open_session(tmp_path / "whole")
    for name, frame in tables.items():
        assert whole.frame(name).sort(pl.all()).equals(frame.sort(pl.all())), name
    assert [f["recv_ts"][0] for f in whole.chains()] == [f["recv_ts"][0] for f in session.chains()]
