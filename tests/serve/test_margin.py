"""Margin of a running engine at every door: the API, the desk in Python, the command line; and they agree."""

from __future__ import annotations

import asyncio
import json
import math

import pytest

from toolkit.cli.app import run
from toolkit.desk import attach
from toolkit.errors import BadData
from toolkit.risk.margin import span_margin

from .conftest import CE

WING = "NIFTY 14JUL2026 25650 CE"
LEGS = [
    {"symbol": CE, "side": "SELL", "lots": 2, "price": "112.05"},
    {"symbol": WING, "side": "BUY", "lots": 2, "price": "40"},
]
SAID = f"SELL 2 lots {CE} @ 112.05, BUY 2 lots {WING} @ 40"


def order(api, legs):
    answer = api.post("/v1/margin", json={"legs": legs})
    assert answer.status_code == 200, answer.text
    return answer.json()["order"]


def test_legs_come_in_the_order_that_never_needs_more_than_it_must(api):
    found = order(api, LEGS)
    steps = found["leg_order"]
    assert [(step["side"], step["symbol"]) for step in steps] == [("BUY", WING), ("SELL", CE)]
    assert steps[-1]["margin_after"] == pytest.approx(found["after"], abs=1e-6)
    assert [step["premium_paid"] for step in steps] == pytest.approx([130 * 40.0, 130 * (40.0 - 112.05)])
    assert all(step["needed"] == pytest.approx(step["margin_after"] + step["premium_paid"]) for step in steps)
    sold_first = order(api, LEGS[:1])
    assert max(step["needed"] for step in steps) < sold_first["after"] - 130 * 112.05


def test_ours_is_the_margin_room_s_figure_of_the_same_legs(served, api):
    async def made():
        station = served.server.station
        book, params = station.seats["PAPER"].engine.core.book, station.lookout.sources.params(["NIFTY"])
        listed = {i.symbol: i for i in station.hub.listed.values()}
        legs = [book.leg(listed[s], q, station.clock()) for s, q in ((CE, -130), (WING, 130))]
        marks = {CE: 112.05, WING: 40.0}
        import msgspec

        return span_margin(
            [msgspec.structs.replace(g, mark=marks[s]) for g, s in zip(legs, marks, strict=True)], params
        )

    found, wanted = order(api, LEGS), served.loop.wait(made)
    # the level moves between the two questions: the parts that depend on prices alone are the same
    assert found["premium"] == wanted.premium == 130 * 40.0
    assert found["net_option_value"] == pytest.approx(wanted.net_option_value)
    assert found["total"] == pytest.approx(wanted.total, rel=0.02)
    assert (found["label"], found["shares"], found["legs"]) == (wanted.label, 0.0, 2)


def test_a_preview_shows_the_account_before_and_after_and_the_order_of_the_legs(api):
    found = api.post("/v1/preview", json={"legs": LEGS}).json()
    said = order(api, LEGS)
    assert found["margin_before"] == pytest.approx(said["before"], rel=0.02, abs=1.0)
    assert found["margin_after"] == pytest.approx(said["after"], rel=0.02)
    assert [step["symbol"] for step in found["leg_order"]] == [WING, CE]


def test_units_that_are_no_lots_are_refused_as_on_a_recorded_day(api):
    answer = api.post("/v1/margin", json={"symbol": CE, "side": "SELL", "order_qty": 66, "price": "100"})
    assert answer.status_code == 422
    assert "lots of 65, was 66 units" in answer.text


def test_cover_says_how_cash_and_collateral_carry_the_margin(api):
    row = api.get("/v1/margin").json()["margin"][0]
    covered = row["funding"]
    assert row["collateral"] == 0.0
    assert covered["required"] == row["ours"]
    assert covered["cash_needed"] == pytest.approx(0.5 * row["ours"])
    assert (covered["short"], covered["cash_short"], covered["interest_a_day"]) == (0.0, 0.0, 0.0)
    found = order(api, LEGS)
    assert found["funding"]["required"] == pytest.approx(found["after"])
    assert found["funding"]["premium"] == 130 * 40.0
    many = [{**LEGS[0], "lots": 1_00_000}]
    assert order(api, many)["funding"]["short"] > 0


def test_the_day_s_peak_is_the_worst_that_a_snapshot_could_have_seen(served, api):
    station = served.server.station
    seat = station.seats["PAPER"]

    async def measured():
        await seat.engine.figures.ask_money()
        await station.lookout.margins.note(seat)

    served.loop.wait(measured)
    row = api.get("/v1/margin").json()["margin"][0]
    peak = row["peak"]
    assert set(peak) == {"required", "shortfall", "penalty", "window", "at_ns", "since_ns"}
    assert peak["since_ns"] <= station.clock()
    assert (peak["shortfall"], peak["penalty"]) == (0.0, 0.0)
    assert peak["window"] in (None, "11:00-11:30", "12:30-13:00")


def test_a_fill_is_looked_at_before_the_next_turn(served, api, monkeypatch):
    station = served.server.station
    book, noted = station.seats["PAPER"].engine.core.book, asyncio.Event()
    before = book.net.get(WING, 0)

    async def note(seat):
        if seat.engine.core.book.net.get(WING, 0) == before + 65:
            noted.set()

    async def nothing():
        return None

    async def told():
        await asyncio.wait_for(noted.wait(), 20)

    async def flat():
        wake = asyncio.Event()
        station.wakes.add(wake)
        while book.net.get(WING, 0) != before:
            await asyncio.wait_for(wake.wait(), 20)
            wake.clear()
        station.wakes.discard(wake)

    monkeypatch.setattr(station.lookout.margins, "note", note)
    monkeypatch.setattr(station.lookout, "turn", nothing)
    order = {"symbol": WING, "lots": 1, "ord_type": "MARKET"}
    assert api.post("/v1/orders", json={**order, "side": "BUY"}).json()["ord_status"] != "denied"
    served.loop.wait(told)
    assert api.post("/v1/orders", json={**order, "side": "SELL"}).json()["ord_status"] != "denied"
    served.loop.wait(flat)


def test_every_door_says_the_same(served, api, capsys):
    door = ["--url", served.url, "--token-file", str(served.server.tokens.path("trade"))]
    assert run(["margin", "--legs", SAID, *door, "--json"]) == 0
    typed = json.loads(capsys.readouterr().out)
    with attach(served.url, served.token("trade")) as desk:
        frame, mine = desk.margin(LEGS), desk.margin()
        split = desk.margin(by="strategy")
        with pytest.raises(BadData, match="by='strategy', was 'day'"):
            desk.margin(by="day")
    said = order(api, LEGS)
    for name in ("premium", "net_option_value", "legs", "filed", "label"):
        assert typed["order"][name] == frame[name][0] == said[name]
    for name in ("total", "after", "scan", "exposure"):
        values = [typed["order"][name], frame[name][0], said[name]]
        assert values == pytest.approx([said[name]] * 3, rel=0.02), name  # the level moves between the questions
    assert [s["symbol"] for s in typed["order"]["leg_order"]] == [s["symbol"] for s in said["leg_order"]]
    assert typed["margin"][0].keys() == mine.to_dicts()[0].keys()
    whole = split.filter(split["strategy"] == "")["margin"][0]
    assert math.isclose(whole, mine["ours"][0], rel_tol=0.02, abs_tol=1.0)
    assert run(["margin", "--legs", SAID, *door]) == 0
    out = capsys.readouterr().out
    assert f"then BUY {WING}" in out
    assert "PAPER at paper: Rs" in out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--on", "2026-02-13"], 2, "--on is of a recorded day; name it with --session"),
        (["--legs", "SELL 1 lot NIFTY 14JUL2026 99999 CE"], 3, "no instrument"),
        (["--legs", "SELL 1 pot NIFTY 14JUL2026 25450 CE"], 1, "leg 1 must say lot, lots or units"),
        (["--account", "NOBODY"], 3, "account must be one of PAPER"),
    ],
)
def test_what_is_wrong_is_one_line(served, capsys, words, code, says):
    door = ["--url", served.url, "--token-file", str(served.server.tokens.path("trade"))]
    assert run(["margin", *words, *door]) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert says in lines[0]


def test_a_session_without_legs_is_refused(capsys, tmp_path):
    assert run(["margin", "--session", str(tmp_path)]) == 2
    assert "--session needs --legs" in capsys.readouterr().err
