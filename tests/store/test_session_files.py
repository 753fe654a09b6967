"""The files of a session store: one way in, all or nothing, the same bytes twice."""

from __future__ import annotations

import datetime as dt
import errno
import gc
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from itertools import count
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.market.schema import CHAIN, EOD, INSTRUMENTS, IST, SPOT
from toolkit.store import session_files
from toolkit.store.session_files import KEYS, SCHEMAS, StoreWriter, instruments_file, read_manifest

DAY = dt.date(2025, 8, 29)


def stamp(minute: int = 0, day: dt.date = DAY) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(10, minute), tzinfo=ZoneInfo(IST))


def shaped(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    return frame.select(
        [(pl.col(c) if c in frame.columns else pl.lit(None)).cast(t).alias(c) for c, t in schema.items()]
    )


def chain(
    minute: int = 0, underlying: str = "NIFTY", day: dt.date = DAY, oi: int = 75, strikes: int = 2
) -> pl.DataFrame:
    rows = [
        {
            "ts": stamp(minute, day),
            "recv_ts": stamp(minute, day) + dt.timedelta(seconds=70),
            "underlying": underlying,
            "expiry": day + dt.timedelta(days=4),
            "strike_p": 2450000 + 5000 * i,
            "option_type": side,
            "token": -1 - i,
            "oi": oi,
            "volume": 150,
            "lot": 75,
            "ltp": 101.5,
        }
        for i in range(strikes)
        for side in ("CE", "PE")
    ]
    return shaped(pl.DataFrame(rows), CHAIN)


def spot(minute: int = 0, price: float = 24500.0) -> pl.DataFrame:
    row = {"ts": stamp(minute), "recv_ts": None, "underlying": "NIFTY", "ltp": price}
    return shaped(pl.DataFrame([row]), SPOT)


def instruments(on: dt.date = DAY, tokens: tuple[int, ...] = (1, 2)) -> pl.DataFrame:
    rows = [
        {
            "valid_on": on,
            "token": t,
            "symbol": f"X{t} EQ",
            "exchange": "NSE",
            "segment": "NSE_CM",
            "underlying": f"X{t}",
            "kind": "equity",
            "lot": 1,
        }
        for t in tokens
    ]
    return shaped(pl.DataFrame(rows), INSTRUMENTS)


def put(
    path: Path,
    tables: dict[str, pl.DataFrame],
    *,
    replace: bool = False,
    kind: str = "snapshots",
    meta: dict | None = None,
) -> None:
    with StoreWriter(path, replace=replace) as writer:
        writer.add(tables, kind=kind)
        writer.commit(meta or {})


def bytes_of(path: Path) -> dict[str, str]:
    return {
        p.relative_to(path).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(path.rglob("*"))
        if p.is_file()
    }


def read(path: Path, table: str) -> pl.DataFrame:
    parts = read_manifest(path)["parts"].get(table, [])
    frames = [pl.read_parquet(path / p["path"], hive_partitioning=False) for p in parts]
    return pl.concat(frames) if frames else SCHEMAS[table].to_frame()


def leftovers(path: Path) -> list[str]:
    return sorted(p.name for p in path.parent.iterdir() if p.name != path.name)


def test_a_new_store_has_its_manifest_and_hive_parts(tmp_path):
    path = tmp_path / "store"
    put(path, {"chain": chain(), "instruments": instruments()}, meta={"name": "day", "source": "test", "seed": 7})
    found = read_manifest(path)
    assert found["schema_version"] == 1
    assert (found["name"], found["source"], found["synthetic"]) == ("day", "test", False)
    assert found["meta"] == {"seed": 7}
    assert found["underlyings"] == ["NIFTY"]
    assert found["dates"] == ["2025-08-29"]
    part = found["parts"]["chain"][0]
    assert part["path"].startswith("chain/date=2025-08-29/underlying=NIFTY/part-")
    assert part["rows"] == 4
    assert part["kind"] == "snapshots"
    assert hashlib.sha256((path / part["path"]).read_bytes()).hexdigest() == part["sha256"]
    assert (path / "instruments.parquet").exists()
    assert leftovers(path) == []


def test_parts_read_as_a_hive_table_by_other_tools(tmp_path):
    path = tmp_path / "store"
    put(path, {"chain": pl.concat([chain(), chain(underlying="BANKNIFTY")])})
    frame = pl.read_parquet(str(path / "chain/**/*.parquet"), hive_partitioning=True)
    assert frame.select(pl.col("date", "underlying").n_unique()).row(0) == (1, 2)


def test_frames_come_back_as_they_went_in(tmp_path):
    path = tmp_path / "store"
    before = chain(strikes=30)
    put(path, {"chain": before, "spot": spot()})
    after = read(path, "chain")
    assert after.equals(before.sort("recv_ts", "ts", "expiry", "strike_p", "option_type"))
    assert after.schema == CHAIN
    assert read(path, "spot").schema == SPOT


def test_the_same_call_twice_changes_no_byte(tmp_path):
    path = tmp_path / "store"
    for _ in range(2):
        put(path, {"chain": chain(), "spot": spot(), "instruments": instruments()}, replace=True, meta={"name": "x"})
        current = bytes_of(path)
    put(path, {"chain": chain(), "spot": spot(), "instruments": instruments()}, replace=True, meta={"name": "x"})
    assert bytes_of(path) == current


def test_merging_keeps_what_was_there_and_lets_the_newer_row_win(tmp_path):
    path = tmp_path / "store"
    put(path, {"chain": chain(0)})
    put(path, {"chain": pl.concat([chain(0, oi=750), chain(1)])})
    frame = read(path, "chain")
    assert frame.height == 8
    assert frame.filter(pl.col("ts") == stamp(0))["oi"].unique().to_list() == [750]
    assert len(list(path.rglob("part-*.parquet"))) == 1


def test_the_order_of_imports_does_not_matter(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for path, order in ((one, (0, 1, 2)), (two, (2, 0, 1))):
        for minute in order:
            put(path, {"chain": chain(minute), "instruments": instruments(tokens=(minute,))}, meta={"name": "x"})
    assert bytes_of(one) == bytes_of(two)


def test_replacing_leaves_nothing_of_the_old_store(tmp_path):
    path = tmp_path / "store"
    put(path, {"chain": chain(underlying="BANKNIFTY"), "spot": spot(), "instruments": instruments()}, meta={"seed": 1})
    put(path, {"chain": chain()}, replace=True, meta={"name": "new"})
    found = read_manifest(path)
    assert found["underlyings"] == ["NIFTY"]
    assert found["meta"] == {}
    assert found["instruments"] is None
    assert not list(path.rglob("*BANKNIFTY*"))
    assert not (path / "spot").exists()


@pytest.mark.parametrize("eod_first", [True, False])
def test_recorded_snapshots_win_over_a_closing_snapshot_in_either_order(tmp_path, eod_first):
    path = tmp_path / "store"
    acts = [("eod", chain(59)), ("snapshots", chain(1))]
    for kind, frame in acts if eod_first else acts[::-1]:
        put(path, {"chain": frame}, kind=kind)
    assert read(path, "chain")["ts"].unique().to_list() == [stamp(1)]
    assert read_manifest(path)["parts"]["chain"][0]["kind"] == "snapshots"


def test_instruments_accumulate_and_a_later_master_wins(tmp_path):
    path = tmp_path / "store"
    put(path, {"chain": chain(), "instruments": instruments(tokens=(1, 2))})
    newer = instruments(tokens=(2, 3)).with_columns(lot=pl.lit(5, pl.Int32))
    put(path, {"instruments": newer})
    frame = pl.read_parquet(path / "instruments.parquet")
    assert frame.select("token", "lot").rows() == [(1, 1), (2, 5), (3, 5)]
    assert not list(path.glob("instruments-*.parquet"))


def test_repeated_rows_in_one_frame_are_refused(tmp_path):
    with pytest.raises(BadData, match="chain 2025-08-29 NIFTY: two rows of the same recv_ts"):
        put(tmp_path / "s", {"chain": pl.concat([chain(), chain()])})
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("tables", "text"),
    [
        ({"chains": chain()}, "no table 'chains'"),
        ({"chain": chain().with_columns(extra=1)}, "column 'extra' is not in the table's schema"),
        ({"chain": chain().with_columns(oi=pl.lit("many"))}, "chain: "),
        ({"chain": chain().with_columns(underlying=pl.lit(None, pl.String))}, "rows without ts or underlying"),
    ],
)
def test_frames_that_do_not_fit_are_one_line_and_leave_nothing(tmp_path, tables, text):
    with pytest.raises(BadData, match=text) as caught:
        put(tmp_path / "s", tables)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", [0, -1, None, "1", True, 2, 99])
def test_other_schema_versions_are_refused_in_one_line(tmp_path, version):
    path = tmp_path / "store"
    put(path, {"chain": chain()})
    found = json.loads((path / "session.json").read_text())
    found["schema_version"] = version
    (path / "session.json").write_text(json.dumps(found))
    with pytest.raises(BadData) as caught:
        read_manifest(path)
    assert "\n" not in str(caught.value)
    newer = isinstance(version, int) and not isinstance(version, bool) and version > 1
    assert ("upgrade" in str(caught.value)) is newer


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema_version": 1}', '{"schema_version": 1, "parts": []}'])
def test_a_damaged_manifest_is_one_line(tmp_path, text):
    (tmp_path / "session.json").write_text(text)
    with pytest.raises(BadData, match=r"session\.json"):
        read_manifest(tmp_path)


PART = {"date": "2026-07-13", "underlying": "NIFTY", "path": "chain/x.parquet", "rows": 3}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": None}, "name must be str, was None"),
        ({"synthetic": "no"}, "synthetic must be bool, was 'no'"),
        ({"parts": {"chain": 5}}, "a part of chain lacks one of date, underlying, path, rows"),
        ({"parts": {"chain": [{}]}}, "a part of chain lacks one of"),
        ({"parts": {"chain": [PART | {"rows": "3"}]}}, "a part of chain lacks one of"),
        ({"parts": {"chain": [PART | {"date": "13-07-2026"}]}}, "has date '13-07-2026'"),
        ({"parts": {"chain": [PART | {"path": "../x.parquet"}]}}, r"path '\.\./x\.parquet'"),
        ({"parts": {"chain": [PART | {"path": "/x.parquet"}]}}, "path '/x.parquet'"),
    ],
)
def test_a_manifest_that_no_writer_leaves_is_refused(tmp_path, change, text):
    sound = {"schema_version": 1, "name": "x", "synthetic": False, "parts": {"chain": [PART]}}
    (tmp_path / "session.json").write_text(json.dumps(sound))
    assert read_manifest(tmp_path) == sound
    (tmp_path / "session.json").write_text(json.dumps(sound | change))
    with pytest.raises(BadData, match=f"is damaged: .*{text}.*; restore it or import again"):
        read_manifest(tmp_path)


def test_a_store_behind_a_link_is_written_where_it_is(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far", target_is_directory=True)
    with StoreWriter(tmp_path / "link") as writer:
        writer.commit({"name": "x"})
    assert (tmp_path / "link").is_symlink()
    assert read_manifest(tmp_path / "far")["name"] == "x"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["far", "link"]


def test_a_folder_without_a_manifest_is_not_a_store(tmp_path):
    with pytest.raises(BadData, match="not a session store"):
        read_manifest(tmp_path)


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "thesis.txt").write_text("mine")
    with pytest.raises(BadData, match="holds other files"):
        put(tmp_path / "s", {"chain": chain()}, replace=True)
    assert bytes_of(tmp_path / "s") == {"thesis.txt": hashlib.sha256(b"mine").hexdigest()}


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "s").write_text("mine")
    with pytest.raises(BadData, match="is a file; name a folder"):
        put(tmp_path / "s", {"chain": chain()})


def test_the_users_own_files_in_a_store_survive(tmp_path):
    path = tmp_path / "store"
    put(path, {"chain": chain()})
    (path / "notes.md").write_text("mine")
    (path / "chain" / "notes.md").write_text("mine")
    put(path, {"chain": chain(1)}, replace=True)
    assert (path / "notes.md").read_text() == "mine"
    assert (path / "chain" / "notes.md").read_text() == "mine"


def test_symbols_with_signs_make_folders_that_read_back(tmp_path):
    path = tmp_path / "store"
    put(path, {"chain": pl.concat([chain(underlying="M&M"), chain(underlying="BAJAJ-AUTO")])})
    assert (path / "chain/date=2025-08-29/underlying=M&M").is_dir()
    assert read(path, "chain")["underlying"].unique().sort().to_list() == ["BAJAJ-AUTO", "M&M"]


def test_a_name_cannot_leave_the_folder(tmp_path):
    path = tmp_path / "in" / "store"
    put(path, {"chain": chain(underlying="../../x/y")})
    assert {p.relative_to(tmp_path).parts[0] for p in tmp_path.rglob("*") if p.is_file()} == {"in"}
    assert all("store" in p.parts for p in tmp_path.rglob("*.parquet"))


class Broken(Exception):
    """An injected failure."""


def faults(monkeypatch, fail_at: int, error: BaseException) -> Callable[[], int]:
    """Make the ``fail_at``-th call that touches the disk raise; what is returned tells the calls so far."""
    calls = count(1)

    def wrap(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def counted(*args, **kwargs):
            if next(calls) == fail_at:
                raise error
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    for owner, name in ((os, "fsync"), (os, "replace"), (session_files, "_write"), (session_files, "_parquet")):
        wrap(owner, name)
    return lambda: next(calls) - 1


def steps_of_a_write(tmp_path, monkeypatch) -> int:
    path = tmp_path / "count"
    put(path, {"chain": chain(), "instruments": instruments()})
    with monkeypatch.context() as patch:
        seen = faults(patch, -1, Broken())
        put(path, {"chain": chain(1), "spot": spot(), "instruments": instruments(tokens=(3,))})
        steps = seen()
    return steps


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EIO, "I/O error"), KeyboardInterrupt(), Broken()],
    ids=["disk-full", "io-error", "ctrl-c", "bug"],
)
def test_a_failure_at_any_step_leaves_the_old_store_or_the_new_one(tmp_path, monkeypatch, error):
    steps = steps_of_a_write(tmp_path, monkeypatch)
    assert steps > 10
    outcomes = set()
    for fail_at in range(1, steps + 1):
        path = tmp_path / f"s{fail_at}" / "store"
        put(path, {"chain": chain(), "instruments": instruments()}, meta={"name": "x"})
        old = bytes_of(path)
        with monkeypatch.context() as patch:
            faults(patch, fail_at, error)
            with pytest.raises((BadData, KeyboardInterrupt, Broken)) as caught:
                put(path, {"chain": chain(1), "spot": spot(), "instruments": instruments(tokens=(3,))})
        if isinstance(error, OSError):
            assert isinstance(caught.value, BadData)
            assert "\n" not in str(caught.value)
            assert ("disk full" in str(caught.value)) is (error.errno == errno.ENOSPC)
            said_old = "the store is as it was" in str(caught.value)
        rows = read(path, "chain").height
        tokens = pl.read_parquet(instruments_file(path, read_manifest(path)))["token"].to_list()
        assert (rows, tokens) in [(4, [1, 2]), (8, [1, 2, 3])]
        assert not isinstance(error, OSError) or said_old is (rows == 4)
        if rows == 4:
            assert bytes_of(path) == old, f"step {fail_at} left debris"
        assert leftovers(path) == []
        outcomes.add(rows)
        put(path, {"chain": chain(1), "spot": spot(), "instruments": instruments(tokens=(3,))})
        assert read(path, "chain").height == 8
    assert 4 in outcomes


def test_a_failing_first_write_leaves_no_folder_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a" / "b" / "store"
    with monkeypatch.context() as patch:
        seen = faults(patch, -1, Broken())
        put(tmp_path / "probe" / "store", {"chain": chain()})
        steps = seen()
    for fail_at in range(1, steps + 1):
        with monkeypatch.context() as patch:
            faults(patch, fail_at, OSError(errno.ENOSPC, "No space left on device"))
            with pytest.raises(BadData, match="disk full"):
                put(path, {"chain": chain()})
        assert path.exists() is (fail_at == steps), f"step {fail_at}"
        if fail_at < steps:
            assert [p.name for p in tmp_path.iterdir()] == ["probe"]
    assert read(path, "chain").height == 4


KILLED = """
    import os, signal, sys
    from itertools import count
    from pathlib import Path
    import polars as pl
    from toolkit.store import session_files
    from toolkit.store.session_files import StoreWriter

    path, extra, fail_at = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    calls = count(1)

    def wrap(owner, name):
        real = getattr(owner, name)
        def counted(*args, **kwargs):
            if next(calls) == fail_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)
        setattr(owner, name, counted)

    for owner, name in ((os, "fsync"), (os, "replace"), (session_files, "_write")):
        wrap(owner, name)
    with StoreWriter(path) as writer:
        writer.add({"chain": pl.read_parquet(extra / "chain.parquet"), "instruments": pl.read_parquet(extra / "instruments.parquet")})
        writer.commit({})
    print(next(calls) - 1)
"""


def kill(path: Path, extra: Path, fail_at: int) -> subprocess.CompletedProcess[str]:
    code = textwrap.dedent(KILLED)
    return subprocess.run(
        [sys.executable, "-c", code, str(path), str(extra), str(fail_at)], capture_output=True, text=True
    )


def test_a_killed_import_leaves_the_old_store_or_the_new_one_and_the_next_one_clears_up(tmp_path):
    chain(1).write_parquet(tmp_path / "chain.parquet")
    instruments(tokens=(3,)).write_parquet(tmp_path / "instruments.parquet")
    probe = tmp_path / "probe" / "store"
    put(probe, {"chain": chain(), "instruments": instruments()})
    steps = int(kill(probe, tmp_path, -1).stdout)
    seen = set()
    for fail_at in [2, steps // 2, *range(steps - 6, steps + 1)]:
        path = tmp_path / f"k{fail_at}" / "store"
        put(path, {"chain": chain(), "instruments": instruments()}, meta={"name": "x"})
        done = kill(path, tmp_path, fail_at)
        assert done.returncode == -signal.SIGKILL, done.stderr
        rows = read(path, "chain").height
        tokens = pl.read_parquet(instruments_file(path, read_manifest(path)))["token"].to_list()
        assert (rows, tokens) in [(4, [1, 2]), (8, [1, 2, 3])]
        seen.add(rows)
        put(path, {"chain": chain(1), "instruments": instruments(tokens=(3,))})
        assert read(path, "chain").height == 8
        named = {p["path"] for p in read_manifest(path)["parts"]["chain"]}
        assert set(bytes_of(path)) == named | {"session.json", "instruments.parquet"}
        assert leftovers(path) == []
    assert seen == {4, 8}


def test_an_unwritable_folder_is_one_line(tmp_path, monkeypatch):
    path = tmp_path / "store"
    put(path, {"chain": chain()})
    old = bytes_of(path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(BadData, match=r"cannot write in .*permission denied") as caught:
        put(path, {"chain": chain(1)})
    assert "\n" not in str(caught.value)
    assert bytes_of(path) == old


def test_a_folder_under_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadData, match="cannot write"):
        put(tmp_path / "file" / "store", {"chain": chain()})


def test_leaving_without_a_commit_changes_nothing(tmp_path):
    path = tmp_path / "new" / "store"
    with StoreWriter(path) as writer:
        writer.add({"chain": chain()})
    assert not path.exists()
    assert leftovers(path) == []


def stopped_twice(path: Path, monkeypatch, strike: str) -> None:
    """Ctrl-C in the block, and again at the start (or in the middle) of the clearing up."""
    real, calls = shutil.rmtree, count(1)

    def interrupted(folder: Path, **options: bool) -> None:
        if next(calls) == 1:
            raise KeyboardInterrupt
        real(folder, **options)

    def too_early(*_: object) -> None:
        raise KeyboardInterrupt

    with StoreWriter(path) as writer:
        writer.add({"chain": chain()})
        if strike == "middle":
            monkeypatch.setattr(shutil, "rmtree", interrupted)
        else:
            monkeypatch.setattr(StoreWriter, "__exit__", too_early)
        raise KeyboardInterrupt


@pytest.mark.parametrize("strike", ["middle", "start"])
def test_a_second_ctrl_c_does_not_stop_the_clearing_up(tmp_path, monkeypatch, strike):
    try:
        with monkeypatch.context() as patch:
            stopped_twice(tmp_path / "new" / "store", patch, strike)
    except KeyboardInterrupt as stopped:
        stopped.__traceback__ = stopped.__context__ = None
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_cannot_begin_lets_go_of_the_folder(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "other.txt").write_text("x")
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        with pytest.raises(BadData, match="holds other files"):
            put(tmp_path / "s", {"chain": chain()})
    assert len(os.listdir("/dev/fd")) == before
    put(tmp_path / "t", {"chain": chain()})


def test_a_part_may_be_added_to_twice_before_one_commit(tmp_path):
    path = tmp_path / "store"
    with StoreWriter(path) as writer:
        for minute in range(3):
            writer.add({"chain": chain(minute)})
        writer.commit()
    assert read(path, "chain").height == 12
    assert len(list(path.rglob("*.parquet"))) == 1


def test_a_record_of_a_file_is_found_again_only_with_the_same_options(tmp_path):
    record = {"sha256": "aa", "format": "udiff", "options": {"underlyings": "NIFTY"}}
    with StoreWriter(tmp_path / "s") as writer:
        writer.add({"chain": chain()}, record=record)
        writer.commit()
    with StoreWriter(tmp_path / "s") as writer:
        assert writer.holds("aa", "udiff", {"underlyings": "NIFTY"}) == record
        assert writer.holds("aa", "udiff", {}) is None
        assert writer.holds("ab", "udiff", {"underlyings": "NIFTY"}) is None


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["NIFTY", "SENSEX"]), st.integers(0, 10**12)),
        min_size=1,
        max_size=6,
    )
)
def test_any_order_of_snapshots_ends_with_the_last_word_on_each(tmp_path_factory, acts):
    path = tmp_path_factory.mktemp("any") / "store"
    wanted = {}
    for minute, underlying, oi in acts:
        put(path, {"chain": chain(minute, underlying, oi=oi, strikes=1)})
        wanted[minute, underlying] = oi
    frame = read(path, "chain").unique(["ts", "underlying"])
    found = {(row["ts"].minute, row["underlying"]): row["oi"] for row in frame.iter_rows(named=True)}
    assert found == wanted


def test_every_table_has_a_key_of_its_own_columns():
    assert set(KEYS) == set(SCHEMAS)
    for table, key in KEYS.items():
        assert set(key) <= set(SCHEMAS[table])
    assert set(EOD) >= set(KEYS["eod"])
