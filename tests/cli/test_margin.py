"""``toolkit margin``: the figure, its parts, and one line for what is wrong."""

from __future__ import annotations

import json

import polars as pl
import pytest

from toolkit.cli.app import run

SPREAD = "SELL 1 lot NIFTY 24FEB2026 25000 CE, BUY 1 lot NIFTY 24FEB2026 25500 CE"


@pytest.fixture(scope="module")
def day(shared, tmp_path_factory):
    whole = pl.read_parquet(shared("data", "nse", "fo_udiff_eod_20260101_20260213.parquet"))
    path = tmp_path_factory.mktemp("day") / "udiff.parquet"
    whole.filter((pl.col("TradDt").cast(pl.String) == "2026-02-13") & (pl.col("TckrSymb") == "NIFTY")).write_parquet(
        path
    )
    return path


def test_parts_and_order_are_shown(day, capsys):
    assert run(["margin", "--legs", SPREAD, "--on", "2026-02-13", "--session", str(day)]) == 0
    out = capsys.readouterr().out
    for word in (
        "uncalibrated",
        "exposure (ELM)",
        "hedge benefit",
        "leg order with the least peak",
        "580.25 settlement",
    ):
        assert word in out


def test_json_is_one_document(day, capsys):
    assert run(["margin", "--legs", SPREAD, "--on", "2026-02-13", "--session", str(day), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["on"] == "2026-02-13"
    assert document["margin"]["exposure"] == pytest.approx(0.02 * 65 * 25471.1)
    assert [step["side"] for step in document["leg_order"]] == ["BUY", "SELL"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--legs", SPREAD, "--on", "yesterday"), "--on must be a date YYYY-MM-DD, was 'yesterday'"),
        (("--legs", SPREAD, "--on", "2026-02-20"), "the nearest is 2026-02-13"),
        (("--legs", "SELL 1 lot NIFTY 24FEB2026 25010 CE"), "nearest: 24950, 25000, 25050"),
    ],
)
def test_what_is_wrong_is_one_line(day, capsys, words, says):
    assert run(["margin", *words, "--session", str(day)]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert says in lines[0]


def test_without_an_engine_it_says_what_may_be_given_instead(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path))
    assert run(["margin", "--legs", SPREAD]) == 3
    said = capsys.readouterr().err
    assert "no engine runs here" in said
    assert "--session for a recorded day" in said
    assert len(said.strip().splitlines()) == 1


def test_with_money_it_says_what_is_short(day, capsys):
    words = ["margin", "--legs", SPREAD, "--session", str(day), "--cash", "20000", "--collateral", "100000"]
    assert run(words) == 0
    assert "cash needed Rs" in capsys.readouterr().out
    assert run([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    money = document["funding"]
    assert money["cash_needed"] == pytest.approx(0.5 * document["margin"]["total"] + document["margin"]["premium"])
    assert money["interest_a_day"] > 0


def test_the_days_file_calibrates_the_figure(day, tmp_path, capsys):
    import datetime as dt

    from toolkit.sim.spn import Portfolio, spn_text

    terms = Portfolio(
        code="NIFTY",
        spot=25471.1,
        vol=0.13,
        price_scan=2368.81,
        expiries=(dt.date(2026, 2, 24),),
        strikes=(25000.0, 25500.0),
    )
    path = tmp_path / "nsccl.20260213.s.spn"
    path.write_bytes(spn_text(dt.date(2026, 2, 13), [terms]).encode("latin-1"))
    store = str(tmp_path / "store")
    assert run(["import", "udiff", str(day), "--to", store]) == 0
    assert run(["import", "span", str(path), "--underlying", "NIFTY", "--to", store]) == 0
    capsys.readouterr()
    assert run(["margin", "--legs", SPREAD, "--on", "2026-02-13", "--session", store, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["calibrated"] is True
    assert document["arrays_from_file"] == "2 of 2"
    assert document["label"] == "SPAN-like, calibrated inputs of 2026-02-13 (nsccl.20260213.s.spn)"
