"""Margin on a recorded day: terms from the session, parameters from its files, and errors that help."""

from __future__ import annotations

import datetime as dt
import json

import polars as pl
import pytest

import toolkit as tk
from toolkit.batch.margin_day import margin_on
from toolkit.errors import BadData, UnknownSymbol
from toolkit.market.files.detect import How
from toolkit.risk.margin import Leg, span_margin
from toolkit.sim.spn import Portfolio, spn_text
from toolkit.store.importing import import_files
from toolkit.store.margins import filed_params, newest_params

DAY = dt.date(2026, 2, 13)
EXPIRY = dt.date(2026, 2, 24)
SPREAD = "SELL 1 lot NIFTY 24FEB2026 25000 CE, BUY 1 lot NIFTY 24FEB2026 25500 CE"
STRIKES = (25000.0, 25500.0)


@pytest.fixture(scope="module")
def folder(shared, tmp_path_factory):
    """A store of two days of NIFTY and one share, cut from the official file."""
    whole = pl.read_parquet(shared("data", "nse", "fo_udiff_eod_20260101_20260213.parquet"))
    days = pl.col("TradDt").cast(pl.String).is_in(["2026-02-12", "2026-02-13"])
    few = whole.filter(days & pl.col("TckrSymb").is_in(["NIFTY", "RELIANCE"]))
    place = tmp_path_factory.mktemp("margin")
    few.write_parquet(place / "udiff.parquet")
    import_files("udiff", [place / "udiff.parquet"], place / "store")
    return place / "store"


@pytest.fixture
def session(folder):
    return tk.open_session(folder)


def test_prices_lot_and_level_come_from_the_session(session):
    day = margin_on(session, SPREAD, DAY)
    assert [(leg.qty, leg.lot, leg.price, leg.price_is) for leg in day.legs] == [
        (-65, 65, 580.25, "settlement"),
        (65, 65, 211.15, "settlement"),
    ]
    assert day.params["NIFTY"].spot == 25471.1
    assert day.params["NIFTY"].price_scan == pytest.approx(0.093 * 25471.1)
    legs = [
        Leg(underlying="NIFTY", cp=1, qty=q, tte=12 / 365, strike=k, mark=m, expiry=EXPIRY)
        for q, k, m in ((-65, 25000.0, 580.25), (65, 25500.0, 211.15))
    ]
    assert day.margin.total == pytest.approx(span_margin(legs, day.params).total)
    assert day.margin.label == "SPAN-like estimate, uncalibrated"
    assert day.margin.hedge_benefit > day.margin.total
    assert [step.leg.qty for step in day.order] == [65, -65]
    assert any("documented defaults" in note for note in day.notes)


def test_the_last_day_is_the_default_and_the_vol_can_be_given(session):
    day = margin_on(session, SPREAD, vol=0.5)
    assert day.on == DAY
    assert day.params["NIFTY"].vol == 0.5
    assert day.params["NIFTY"].price_scan > 0.2 * 25471.1


def test_the_document_is_plain(session):
    document = json.loads(json.dumps(margin_on(session, SPREAD, DAY).document(), allow_nan=False))
    assert document["calibrated"] is False
    assert document["margin"]["total"] == pytest.approx(
        document["margin"]["span"] + document["margin"]["exposure"] + document["margin"]["expiry_addon"]
    )
    assert document["leg_order"][0]["side"] == "BUY"


def test_premium_was_not_always_upfront(session, monkeypatch):
    assert not any("premium was collected" in note for note in margin_on(session, SPREAD, DAY).notes)
    monkeypatch.setattr("toolkit.batch.margin_day._upfront", lambda params, day: False)
    assert any("premium was collected by the end of the day" in note for note in margin_on(session, SPREAD, DAY).notes)


def test_a_future_and_a_price_of_ones_own(session):
    day = margin_on(session, "BUY 65 units NIFTY 24FEB2026 FUT, SELL 1 lot NIFTY 24FEB2026 26000 CE @ 75", DAY)
    assert day.legs[0].price == 25518.8
    assert (day.legs[1].price, day.legs[1].price_is) == (75.0, "as asked")
    assert day.margin.exposure == pytest.approx(0.02 * 65 * (25518.8 + 25471.1))


def test_a_shares_long_option_in_the_money_needs_delivery_margin(session):
    rows = session.frame("eod", "RELIANCE", DAY).filter((pl.col("kind") == "option") & (pl.col("expiry") == EXPIRY))
    spot = rows["spot"][0]
    strike = rows.filter(pl.col("strike_p") < spot * 95)["strike_p"].max() / 100
    day = margin_on(session, f"BUY 1 lot RELIANCE 24FEB2026 {strike:g} CE", DAY)
    assert day.params["RELIANCE"].stock
    assert day.margin.delivery == 0.0  # seven sessions left
    assert day.params["RELIANCE"].exposure_rate == 0.035


@pytest.mark.parametrize(
    ("legs", "on", "kind", "says"),
    [
        ("SELL 1 lot NIFTY 24FEB2026 25010 CE", DAY, UnknownSymbol, r"no strike 25010 .*nearest: 24950, 25000, 25050"),
        ("SELL 1 lot NIFTY 25FEB2026 25000 CE", DAY, UnknownSymbol, r"expires on 2026-02-25; nearest .*24FEB2026"),
        ("SELL 1 lot NIFTTY 24FEB2026 25000 CE", DAY, UnknownSymbol, r"no underlying 'NIFTTY'.*did you mean 'NIFTY'"),
        (
            SPREAD,
            dt.date(2026, 3, 2),
            BadData,
            r"holds 2026-02-12 to 2026-02-13 \(2 days\), 2026-03-02 is not in it; the nearest is 2026-02-13",
        ),
        (SPREAD, dt.date(2026, 2, 14), BadData, r"2026-02-14 is no trading day; the nearest is 2026-02-13"),
        ("SELL 60 units NIFTY 24FEB2026 25000 CE", DAY, BadData, "60 units is no whole number of lots of 65"),
        ("SELL 1 lot NIFTY 10FEB2026 25000 CE", DAY, BadData, "expired on 2026-02-10, before 2026-02-13"),
        ("SEL 1 lot NIFTY 24FEB2026 25000 CE", DAY, BadData, "did you mean 'SELL'"),
        ("BUY 1 lot RELIANCE EQ", DAY, BadData, "no option or future"),
    ],
)
def test_a_wrong_leg_or_day_names_the_nearest(session, legs, on, kind, says):
    with pytest.raises(kind, match=says):
        margin_on(session, legs, on)


@pytest.fixture(scope="module")
def calibrated(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("spn")
    base = {
        "code": "NIFTY",
        "spot": 25471.1,
        "price_scan": 2368.81,
        "rate": 0.065,
        "expiries": (EXPIRY,),
        "strikes": STRIKES,
    }
    names = []
    for name, vol, settled in (("nsccl.20260213.i01.spn", 0.14, False), ("nsccl.20260213.s.spn", 0.1234, True)):
        text = spn_text(DAY, (Portfolio(vol=vol, **base),), settled=settled)
        (place / name).write_bytes(text.encode("latin-1"))
        names.append(place / name)
    (place / "ael_13022026.csv").write_text(
        "Sr No.,Symbol,Instrument Type,Normal ELM Margin%,Additional ELM% for Trade Date 13-Feb-2026,Total applicable ELM%\n"
        "1,NIFTY,OTH,2.00,0.50,2.50\n"
    )
    import_files("span", names, folder, How(underlyings=("NIFTY",)))
    again = import_files("span", names[:1], folder, How(underlyings=("NIFTY",)))
    assert again[0].already
    import_files("elm", [place / "ael_13022026.csv"], folder)
    return folder


def test_with_the_days_file_the_figure_is_calibrated(calibrated):
    session = tk.open_session(calibrated)
    day = margin_on(session, SPREAD, DAY)
    assert day.margin.label == "SPAN-like, calibrated inputs of 2026-02-13 (nsccl.20260213.s.spn)"
    assert (day.margin.filed, day.margin.legs) == (2, 2)
    assert day.params["NIFTY"].vol == 0.1234
    assert day.margin.exposure == pytest.approx(0.025 * 65 * 25471.1)
    assert any("also imported: i1" in note for note in day.notes)
    assert margin_on(session, SPREAD, DAY, revision="i1").params["NIFTY"].vol == 0.14
    assert margin_on(session, SPREAD, dt.date(2026, 2, 12)).params["NIFTY"].calibrated is False
    with pytest.raises(BadData, match=r"no revision 'i2' of NIFTY on 2026-02-13.*it has i1, s"):
        margin_on(session, SPREAD, DAY, revision="i2")


def test_an_engine_takes_the_newest_file_of_the_last_week(calibrated):
    session = tk.open_session(calibrated)
    found, notes = newest_params(session, DAY + dt.timedelta(days=3))
    assert (found["NIFTY"].calibrated, found["NIFTY"].on) == (True, DAY)
    assert any("nsccl.20260213.s.spn" in note for note in notes)
    assert newest_params(session, DAY + dt.timedelta(days=8)) == ({}, [])
    assert newest_params(session, DAY - dt.timedelta(days=1)) == ({}, [])


def test_a_contract_that_the_file_lacks_is_counted(calibrated):
    day = margin_on(tk.open_session(calibrated), SPREAD + ", SELL 1 lot NIFTY 24FEB2026 24900 PE", DAY)
    assert (day.margin.filed, day.margin.legs) == (2, 3)
    assert any("2 of 3 contracts have the file's 16 values" in note for note in day.notes)


def test_the_files_arrays_are_read_back_as_they_were(calibrated):
    params, notes = filed_params(tk.open_session(calibrated), "NIFTY", DAY)
    assert notes
    assert len(params.filed) == 5
    assert params.filed[(EXPIRY, 0, 0)].losses[14] == pytest.approx(-0.35 * 2 * 2368.81, abs=0.005)
    assert params.rate == 0.07


def test_margin_files_make_no_days_of_the_market(calibrated):
    session = tk.open_session(calibrated)
    assert session.dates() == [dt.date(2026, 2, 12), DAY]
    assert session.underlyings() == ["NIFTY", "RELIANCE"]
    assert session.parts("margin") == [(DAY, "NIFTY")]
