"""Files into a store: idempotent, all or none, every row accounted for."""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import polars as pl
import pytest

from toolkit.errors import BadData, UnknownSymbol
from toolkit.market.files.candles import CandleMap
from toolkit.market.files.detect import How
from toolkit.store import session_files
from toolkit.store.importing import FileAccount, import_files
from toolkit.store.session import open_session, write_tables

HEADER = (
    "TradDt,BizDt,Sgmt,Src,FinInstrmTp,FinInstrmId,ISIN,TckrSymb,SctySrs,XpryDt,FininstrmActlXpryDt,StrkPric,OptnTp,"
    "FinInstrmNm,OpnPric,HghPric,LwPric,ClsPric,LastPric,PrvsClsgPric,UndrlygPric,SttlmPric,OpnIntrst,ChngInOpnIntrst,"
    "TtlTradgVol,TtlTrfVal,TtlNbOfTxsExctd,SsnId,NewBrdLotQty,Rmks,Rsvd1,Rsvd2,Rsvd3,Rsvd4"
)


def bhavcopy(
    folder: Path, day: str = "2025-09-01", symbols: tuple[str, ...] = ("NIFTY", "BANKNIFTY"), oi: int = 1500
) -> Path:
    lines = [HEADER]
    for i, symbol in enumerate(symbols):
        lines.append(
            f"{day},{day},FO,NSE,IDO,{100 + i},,{symbol},,2025-09-30,2025-09-30,24500.00,CE,N{i},0,0,0,95.4,91,95.4,"
            f"24480.1,90.15,{oi},0,0,0,0,F1,{35 if symbol == 'BANKNIFTY' else 75},,,,,"
        )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"BhavCopy_NSE_FO_0_0_0_{day.replace('-', '')}_F_0000.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def bytes_of(path: Path) -> dict[str, str]:
    return {
        str(p.relative_to(path)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(path.rglob("*"))
        if p.is_file()
    }


def test_a_synthetic_store_takes_no_recorded_file(tmp_path):
    import_files("udiff", [bhavcopy(tmp_path / "in")], tmp_path / "real")
    spot = open_session(tmp_path / "real").frame("spot")
    write_tables(tmp_path / "made", {"spot": spot}, {"name": "made", "synthetic": True})
    before = bytes_of(tmp_path / "made")
    with pytest.raises(BadData, match="is a store of synthetic sessions; name another folder for recorded files"):
        import_files("udiff", [tmp_path / "in" / "BhavCopy_NSE_FO_0_0_0_20250901_F_0000.csv"], tmp_path / "made")
    assert bytes_of(tmp_path / "made") == before


def test_the_real_whole_market_twice(shared, tmp_path):
    path, to = shared("data", "nse", "BhavCopy_NSE_FO_0_0_0_20250206_F_0000.csv.zip"), tmp_path / "out" / "store"
    first = import_files("udiff", [path], to)
    before = bytes_of(to)
    times = {p: p.stat().st_mtime_ns for p in to.rglob("*")}
    second = import_files("udiff", [path], to)
    assert [(a.rows_read, a.rows_kept, a.refused, a.already) for a in first] == [(35984, 35984, {}, False)]
    assert [(a.rows_read, a.rows_kept, a.already) for a in second] == [(35984, 35984, True)]
    assert bytes_of(to) == before
    assert {p: p.stat().st_mtime_ns for p in to.rglob("*")} == times
    session = open_session(to)
    assert session.frame("eod").height == 35984
    assert session.kind("2025-02-06", "NIFTY") == "eod"
    assert session.meta["files"][0]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(session.underlyings()) == 232


def test_real_files_of_every_format_share_one_store(shared, tmp_path):
    to = tmp_path / "store"
    sample = {
        "ts": "timestamp_ist",
        "expiry": "actual_expiry_date",
        "spot": "provider_spot",
        "lot": "contract_lot_size",
    }
    acts = [
        ("legacy", ("data", "nse", "fo_legacy_20190801_partial.csv"), How()),
        ("nse-chain", ("data", "nse", "chain_BANKNIFTY_20250827.parquet"), How()),
        ("participant", ("data", "nse", "fao_participant_oi_28072026.csv"), How()),
        ("index-close", ("data", "nse", "index_close_2025.csv"), How()),
        ("instruments", ("fixtures", "kite", "instruments_all.csv"), How(on=dt.date(2017, 12, 15))),
        (
            "candles",
            ("data", "nse", "nifty_1min_iv_greeks_span_sample.parquet"),
            How(candles=CandleMap(volume_in="units", columns=sample)),
        ),
    ]
    for form, parts, how in acts:
        import_files(form, [shared(*parts)], to, how)
    before = bytes_of(to)
    for form, parts, how in acts:
        assert [a.already for a in import_files(form, [shared(*parts)], to, how)] == [True]
    assert bytes_of(to) == before
    session = open_session(to)
    assert {t: session.frame(t).height for t in ("chain", "futures", "spot", "eod", "participants")} == {
        "chain": 520 + 6062 + 499,
        "futures": 480,
        "spot": 30,
        "eod": 1030,
        "participants": 70,
    }
    assert session.instruments().height > 1000 + 96


def test_several_days_in_one_act_and_one_by_one_are_the_same_store(tmp_path):
    files = [bhavcopy(tmp_path / "in", day) for day in ("2025-09-01", "2025-09-02", "2025-09-03")]
    import_files("udiff", files, tmp_path / "a" / "store")
    for file in files:
        import_files("udiff", [file], tmp_path / "b" / "store")
    assert bytes_of(tmp_path / "a" / "store") == bytes_of(tmp_path / "b" / "store")
    assert len(open_session(tmp_path / "a" / "store").dates()) == 3


def test_the_same_file_under_another_name_or_zone_is_no_news(tmp_path):
    file = bhavcopy(tmp_path / "in")
    import_files("udiff", [file], tmp_path / "store")
    before = bytes_of(tmp_path / "store")
    copy = tmp_path / "copy.csv"
    shutil.copy(file, copy)
    assert import_files("udiff", [copy, file], tmp_path / "store")[0].already
    assert bytes_of(tmp_path / "store") == before


def test_the_same_file_with_other_options_is_news(tmp_path):
    file = bhavcopy(tmp_path / "in")
    first = import_files("udiff", [file], tmp_path / "store", How(underlyings=("NIFTY",)))
    assert first[0].refused == {"symbol not asked for": 1}
    assert open_session(tmp_path / "store").underlyings() == ["NIFTY"]
    assert not import_files("udiff", [file], tmp_path / "store")[0].already
    assert open_session(tmp_path / "store").underlyings() == ["BANKNIFTY", "NIFTY"]


def test_a_corrected_file_of_the_day_replaces_its_rows(tmp_path):
    import_files("udiff", [bhavcopy(tmp_path / "old")], tmp_path / "store")
    import_files("udiff", [bhavcopy(tmp_path / "new", oi=3000)], tmp_path / "store")
    session = open_session(tmp_path / "store")
    assert session.frame("eod")["oi"].to_list() == [3000, 3000]
    assert session.frame("chain").height == 2
    assert len(session.meta["files"]) == 2


def test_one_bad_file_among_good_ones_changes_nothing(tmp_path):
    to = tmp_path / "store"
    import_files("udiff", [bhavcopy(tmp_path / "in")], to)
    before = bytes_of(to)
    bad = bhavcopy(tmp_path / "in", "2025-09-03")
    bad.write_text(bad.read_text().replace("StrkPric", "Strike"))
    with pytest.raises(BadData, match="missing column StrkPric"):
        import_files("udiff", [bhavcopy(tmp_path / "in", "2025-09-02"), bad], to)
    assert bytes_of(to) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "store"]


def test_bad_input_into_a_new_store_leaves_no_folder(tmp_path):
    file = bhavcopy(tmp_path / "in")
    to = tmp_path / "out" / "deep" / "store"
    for paths, how, error in (
        ([tmp_path / "nothing.zip"], How(), BadData),
        ([tmp_path / "in"], How(), BadData),
        ([file], How(underlyings=("NIFTTY",)), UnknownSymbol),
    ):
        with pytest.raises(error) as caught:
            import_files("udiff", paths, to, how)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_or_ctrl_c_leaves_the_old_store(tmp_path, monkeypatch, error):
    to = tmp_path / "store"
    import_files("udiff", [bhavcopy(tmp_path / "in")], to)
    before = bytes_of(to)
    calls = 0
    real = session_files._write

    def failing(path: Path, blob: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise error
        real(path, blob)

    monkeypatch.setattr(session_files, "_write", failing)
    with pytest.raises((BadData, KeyboardInterrupt)) as caught:
        import_files("udiff", [bhavcopy(tmp_path / "in", "2025-09-02")], to)
    if isinstance(error, OSError):
        assert str(caught.value).startswith("disk full while writing")
    assert bytes_of(to) == before
    assert sorted(os.listdir(tmp_path)) == ["in", "store"]


def test_page_downloads_of_one_day_gather_as_snapshots(tmp_path):
    header = ",OI,CHNG IN OI,VOLUME,IV,LTP,CHNG,BID QTY,BID,ASK,ASK QTY,STRIKE,BID QTY,BID,ASK,ASK QTY,CHNG,LTP,IV,VOLUME,CHNG IN OI,OI,"
    for i, minute in enumerate((15, 30, 45)):
        row = f",{434 + i},-13,860,10.69,101,-68.30,75,100,102,150,24000,-,-,-,-,-,-,-,-,-,-,"
        path = tmp_path / f"{minute}" / "option-chain-ED-NIFTY-25-Nov-2025.csv"
        path.parent.mkdir()
        path.write_text(f"CALLS,,PUTS\n{header}\n{row}\n")
        import_files("nse-chain", [path], tmp_path / "store", How(at=dt.datetime(2025, 11, 21, 10, minute)))
    session = open_session(tmp_path / "store")
    assert [frame["oi"][0] for frame in session.chains("NIFTY")] == [434 * 75, 435 * 75, 436 * 75]
    assert session.chain(at="10:31")["oi"].to_list() == [435 * 75]


def test_a_bhavcopy_gives_way_to_the_recorded_day_but_keeps_its_eod(shared, tmp_path):
    to = tmp_path / "store"
    recorded = shared("data", "nse", "chain_BANKNIFTY_20250827.parquet")
    import_files("udiff", [bhavcopy(tmp_path / "in", "2025-08-26")], to)
    assert open_session(to).kind("2025-08-26", "BANKNIFTY") == "eod"
    import_files("nse-chain", [recorded], to)
    session = open_session(to)
    assert session.kind("2025-08-26", "BANKNIFTY") == "snapshots"
    assert session.kind("2025-08-26", "NIFTY") == "eod"
    assert session.frame("chain", "BANKNIFTY").height == 6062
    assert session.frame("eod", "BANKNIFTY").height == 1


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_index_close_keeps_its_range_beside_the_bhavcopys_close(tmp_path, order):
    head = "Index Name,Index Date,Open Index Value,High Index Value,Low Index Value,Closing Index Value"
    closes = tmp_path / "ind_close_all_01092025.csv"
    closes.write_text(f"{head}\nNifty 50,01-09-2025,24432.7,24635.6,24432.7,24480.1\n")
    acts = [("udiff", bhavcopy(tmp_path / "in", symbols=("NIFTY",))), ("index-close", closes)]
    for i in order:
        import_files(acts[i][0], [acts[i][1]], tmp_path / "store")
    spot = open_session(tmp_path / "store").frame("spot", "NIFTY")
    assert spot.select("open", "high", "low", "ltp").rows() == [(24432.7, 24635.6, 24432.7, 24480.1)]


AGAIN = """
    import sys
    from toolkit.store.importing import import_files
    import_files("udiff", [sys.argv[1]], sys.argv[2])
    import_files("nse-chain", [sys.argv[3]], sys.argv[2])
"""


def test_zone_hash_seed_and_threads_change_no_byte(shared, tmp_path):
    recorded = shared("data", "nse", "chain_BANKNIFTY_20250827.parquet")
    file = bhavcopy(tmp_path / "in", symbols=("NIFTY", "BANKNIFTY", "M&M", "TCS", "INFY"))
    made = []
    for zone, seed, threads in (("UTC", "0", "1"), ("America/New_York", "1", "4")):
        to = tmp_path / seed / "store"
        env = {**os.environ, "TZ": zone, "PYTHONHASHSEED": seed, "POLARS_MAX_THREADS": threads}
        argv = [sys.executable, "-c", textwrap.dedent(AGAIN), str(file), str(to), str(recorded)]
        subprocess.run(argv, check=True, env=env)
        made.append(bytes_of(to))
    assert made[0] == made[1]
    assert len(made[0]) > 10


def test_progress_is_told_file_by_file(tmp_path):
    files = [bhavcopy(tmp_path / "in", day) for day in ("2025-09-01", "2025-09-02")]
    told: list[str] = []
    import_files("udiff", files, tmp_path / "store", progress=told.append)
    assert told == [file.name for file in files]


def test_an_account_adds_up_and_cannot_be_changed(tmp_path):
    file = bhavcopy(tmp_path / "in")
    file.write_text(file.read_text().replace("1500", "-1500", 1))
    (account,) = import_files("udiff", [file], tmp_path / "store")
    assert isinstance(account, FileAccount)
    assert account.rows_read == account.rows_kept + sum(account.refused.values()) == 2
    assert account.refused == {"open interest below zero": 1}
    with pytest.raises(AttributeError):
        account.rows_read = 5
    quality = open_session(tmp_path / "store").quality()
    assert quality.rows() == [("row refused", 1, "open interest below zero")]
    assert isinstance(quality, pl.DataFrame)
