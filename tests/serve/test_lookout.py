"""The risk views and figures of a running engine over its API: Greeks, scenarios, limits, margin, alarms, bands."""

from __future__ import annotations

import asyncio
import datetime as dt
import math

import msgspec
import pytest

from toolkit.desk import attach
from toolkit.risk.alerts import AlertRule, Alerts

from .conftest import CE, serving

PUT = "NIFTY 14JUL2026 25450 PE"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """An account of its own: nothing that other tests bought is in these figures."""
    with serving(tmp_path_factory.mktemp("lookout-home")) as made:
        yield made


@pytest.fixture(scope="module")
def held(served):
    """A short call and a long put, bought and sold through the API."""
    with served.client() as api:
        for side, symbol in (("BUY", PUT), ("SELL", CE)):
            body = {"symbol": symbol, "side": side, "lots": 1, "ord_type": "MARKET"}  # the touch shows one
            row = api.post("/v1/orders", json=body).json()
            assert row["ord_status"] in ("filled", "new", "pending_new", "partially_filled"), row

    station = served.server.station

    async def filled():
        book, wake = station.seats["PAPER"].engine.core.book, asyncio.Event()
        station.wakes.add(wake)
        while (book.net.get(CE), book.net.get(PUT)) != (-65, 65):
            await asyncio.wait_for(wake.wait(), 120)
            wake.clear()
        station.wakes.discard(wake)

    served.loop.wait(filled)


def test_groups_of_greeks_add_up_to_the_whole_exactly(held, api):
    for by in ("symbol", "underlying", "underlying,expiry", "strategy", "account,strategy,symbol"):
        found = api.get("/v1/greeks", params={"by": by}).json()
        rows, whole = found["greeks"], found["total"]
        assert whole["unknown"] == 0
        for name in ("delta", "gamma", "vega_pt", "theta_day"):
            assert math.fsum(row[name] for row in rows) == pytest.approx(whole[name], rel=1e-14), (by, name)
    rows = {r["symbol"]: r for r in api.get("/v1/greeks", params={"by": "symbol"}).json()["greeks"]}
    assert rows[CE]["delta"] < 0 < rows[CE]["theta_day"]
    assert rows[PUT]["vega_pt"] > 0 > rows[PUT]["theta_day"]


def test_greeks_of_a_wrong_group_are_refused_with_the_nearest(api):
    answer = api.get("/v1/greeks", params={"by": "strateg"})
    assert answer.status_code == 422
    assert "strategy" in answer.text


def test_scenarios_name_the_worst_case_the_risk_and_the_cost_of_closing(held, api):
    found = api.get("/v1/scenarios", params={"spot": "-0.02,0,0.02", "vol": "0", "days": "0"}).json()
    cells = {row["move"]: row["pnl"] for row in found["scenarios"]}
    assert cells[0.0] == 0.0
    assert cells[0.02] < 0 < cells[-0.02]
    assert (found["worst"]["move"], found["worst"]["pnl"]) == (0.02, cells[0.02])
    assert found["unknown"] == []
    assert found["var"]["var"] > 0
    assert found["close_out"]["total"] > 0
    assert found["expiry"] == []  # nothing held expires on the recorded day
    pinned = api.get("/v1/scenarios", params={"expiry": "2026-07-14"}).json()["expiry"][0]
    assert pinned["pins"] == []  # a short call and a long put of one strike are a short future: no kink
    assert len(pinned["profile"]) == 41


def test_past_days_make_a_second_figure_of_risk_once_enough_are_known(held, served, api):
    assert api.get("/v1/scenarios").json()["historical_var"] is None  # the shipped session is one day
    lookout = served.server.station.lookout
    days = [dt.date(2026, 1, 5) + dt.timedelta(days=n) for n in range(101)]

    async def closes(underlying):
        assert underlying == "NIFTY"
        return {day: 25_000.0 * (1 + 0.004 * (n % 3)) for n, day in enumerate(days)}

    async def put(sources):
        lookout.sources, lookout._past = sources, {}

    before = lookout.sources
    served.loop.wait(lambda: put(msgspec.structs.replace(before, closes=closes)))
    found = api.get("/v1/scenarios").json()["historical_var"]
    served.loop.wait(lambda: put(before))
    assert (found["method"], found["points"], found["until"]) == ("historical", 100, days[-1].isoformat())
    assert 0 < found["var"] <= found["shortfall"] <= found["worst"]


def test_limits_come_with_their_use_rules_with_their_figures(held, api):
    found = api.get("/v1/limits").json()
    used = {row["limit"]: row["used"] for row in found["limits"]}
    assert used["max_net_lots"] >= 1
    assert used["max_gross_lots"] >= 2
    rules = {row["rule"]: row for row in found["rules"]}
    assert rules["position_limit"]["value"] < rules["position_limit"]["rearm"] < rules["position_limit"]["trip"]
    assert rules["day_loss"]["trip"] == 25_000
    assert rules["feed_stale"]["rearms_when"] == "ticks younger than 1 s"
    assert found["locks"] == []


def test_margin_shows_ours_with_its_parts_and_label(held, api):
    row = api.get("/v1/margin").json()["margin"][0]
    assert row["ours"] == row["parts"]["total"] > 0
    assert row["label"] == "SPAN-like estimate, uncalibrated"
    legs = [{"symbol": CE, "side": "SELL", "lots": 1, "price": "100"}]
    order = api.post("/v1/margin", json={"legs": legs}).json()["order"]
    assert order["total"] == pytest.approx(
        order["span"] + order["exposure"] + order["expiry_addon"] + order["delivery"]
    )
    assert order["after"] > order["before"] > 0
    assert order["broker_total"] is None
    assert "nothing to compare" in order["broker_text"]


def test_the_engines_guards_and_checks_see_the_market(held, served):
    def look():
        engine = served.server.station.seats["PAPER"].engine
        return engine.figures.facts(), engine.core.book, served.server.station.hub.silence_s

    async def seen():
        return look()

    facts, book, silence_s = served.loop.wait(seen)
    greek = facts.greeks["NIFTY"]
    assert greek.delta < 0 < greek.gross_delta
    assert greek.level == pytest.approx(25_400, rel=0.05)
    assert 0.0 <= facts.feed_age_s <= silence_s  # read in this order, nothing between
    assert set(facts.index_moves) == {"NIFTY", "SENSEX"}
    assert book.volumes.get(CE) > 0
    assert book.volumes.get("nothing") is None
    low_p, high_p = book.bands[CE]
    assert low_p < round(served.server.station.hub.mark(CE) * 100) < high_p


def test_a_session_without_the_close_of_the_day_before_says_that_the_breaker_is_blind(served):
    (note,) = [n for n in served.server.built.notes if "breaker" in n]
    assert note == "the exchange-wide breaker has no reference: no close of NIFTY, SENSEX the day before"


def test_a_price_outside_the_exchanges_band_is_denied(held, served, api):
    async def high():
        return served.server.station.seats["PAPER"].engine.core.book.bands[CE][1]

    price = (served.loop.wait(high) + 100) / 100
    row = api.post("/v1/orders", json=served.order(side="SELL", price=f"{price:.2f}")).json()
    assert "band" in {d["rule"] for d in row["denials"]}


def test_a_repeat_is_denied_until_a_person_confirms_it(served, api):
    body = served.order()
    assert api.post("/v1/orders", json=body).json()["ord_status"] != "denied"
    again = api.post("/v1/orders", json=body).json()
    assert [d["rule"] for d in again["denials"]] == ["duplicate"]
    assert api.post("/v1/orders", json={**body, "confirm": ["duplicate"]}).json()["ord_status"] != "denied"
    answer = api.post("/v1/orders", json={**body, "confirm": ["margin"]})
    assert answer.status_code == 422
    assert "duplicate" in answer.text


def test_an_alert_is_an_alarm_event_once_and_again_when_it_is_over(held, served, api):
    lookout = served.server.station.lookout
    own = Alerts([AlertRule(name="short delta", figure="delta_value", raise_at=-1000.0, clear_at=0.0)])

    async def twice():
        before, lookout._alerts["PAPER"] = lookout._alerts["PAPER"], own
        seat = served.server.station.seats["PAPER"]
        await lookout._alert(seat)
        await lookout._alert(seat)
        lookout._alerts["PAPER"] = before

    after = served.seq()
    served.loop.wait(twice)

    async def written():
        engine = served.server.station.seats["PAPER"].engine
        await engine.perform(engine.core.note(engine.now_ns(), "act", "", {"act": "test"}))

    served.loop.wait(written)
    events = api.get("/v1/events", params={"after": after, "most": 1000}).json()["events"]
    told = [e["payload"]["kind"] for e in events if e["kind"] == "alarm" and "short delta" in e["payload"]["kind"]]
    assert told == ["risk:short delta"]


def test_the_desk_says_the_same_in_frames(held, served):
    with attach(served.url, served.token("trade")) as desk:
        frame = desk.greeks(by=("symbol",))
        assert frame["symbol"].to_list() == [CE, PUT]
        assert frame["vega_pt"].null_count() == 0
        assert desk.greeks().columns[:3] == ["account", "underlying", "expiry"]
        assert desk.margin()["ours"][0] > 0
        assert desk.margin({"symbol": CE, "side": "SELL", "lots": 1, "price": "100"})["total"][0] > 0
        assert desk.locks().height == 0
        assert desk.risk()["worst"]["pnl"] < 0
