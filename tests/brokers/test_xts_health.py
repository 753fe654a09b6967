from __future__ import annotations

import pytest

from toolkit.brokers.xts import XtsBroker
from toolkit.brokers.xts_health import health
from toolkit.brokers.xts_settings import XtsTerms
from toolkit.config import Secret


def by_name(rows):
    return {row["what"].partition(": ")[2]: row for row in rows}


@pytest.mark.parametrize("profile", ["investor", "dealer_named", "dealer_masked", "dealer_empty_positions"])
async def test_a_ready_account(xts_sim, profile):
    sim = await xts_sim(profile=profile)
    broker = sim.broker()
    rows = by_name(await health(broker))
    assert rows["ready"]["text"] == "read yes, paper on its feed yes, live yes"
    assert all(row["ready"] for row in rows.values())
    assert rows["account"]["text"] == sim.app.clients[0]
    assert "quotes come (NIFTY 50 25010.0)" in rows["market data"]["text"]
    assert ("clients" in rows) is sim.app.install.dealer
    assert broker.state == "closed"


async def test_a_dealer_without_a_default_client_is_told_to_name_one(xts_sim):
    sim = await xts_sim(profile="dealer_named")
    rows = by_name(await health(sim.broker().for_client("")))
    assert rows["clients"]["text"] == "2 mapped: CLI01, CLI02; an order must name one (--account)"
    assert rows["ready"]["ready"]


@pytest.mark.parametrize(
    ("profile", "more", "what", "words"),
    [
        ("dealer_named", {"role": "pro"}, "role", "use xts-client"),
        ("investor", {"role": "client"}, "role", "use xts-pro"),
        ("investor", {"app_key": ""}, "token", "toolkit login xts-pro"),
        ("investor", {"secret_key": "wrong"}, "reachable", "Invalid AppKey"),
        ("investor", {"root": "http://127.0.0.1:9"}, "reachable", "nothing listens"),
        ("investor", {"md_app_key": ""}, "market data", "md_app_key and md_secret_key"),
        ("investor", {"md_prefix": "nothere"}, "market data", "check [xts] md_root and md_prefix (nothere)"),
    ],
)
async def test_what_is_wrong_is_said(xts_sim, profile, more, what, words):
    sim = await xts_sim(profile=profile)
    role = more.get("role", "client" if sim.app.install.dealer else "pro")
    settings = sim.settings(**{**more, "role": role})
    broker = XtsBroker(settings, terms=XtsTerms(backoff_s=0.001, orders_per_s=99, others_per_s=999, books_per_s=999))
    broker.follow_venue(0.0)
    rows = by_name(await health(broker))
    assert not rows[what]["ready"]
    assert words in rows[what]["text"]
    assert not rows.get("ready", {"ready": False})["ready"]
    assert "wrong" not in str(rows)


async def test_an_unmapped_default_client_is_named(xts_sim):
    sim = await xts_sim(profile="dealer_named")
    rows = by_name(await health(sim.broker(client_id="CLI09").for_client("CLI09")))
    assert rows["clients"]["text"].startswith("[xts] client_id CLI09 is not mapped to this login; 2 mapped: CLI01")
    assert not rows["ready"]["ready"]


async def test_a_clock_that_is_off_is_not_ready_for_live(xts_sim):
    sim = await xts_sim()
    rows = by_name(await health(XtsBroker(sim.settings())))
    assert not rows["clock"]["ready"]
    assert rows["ready"]["text"].endswith("live NO")


async def test_an_open_line_is_shown(xts_sim, make_xts):
    with pytest.warns(UserWarning, match="no TLS"):
        broker, _ = make_xts(root="http://127.0.0.1:9", md_root="http://xts.lan", allow=("xts.lan",))
    rows = by_name(await health(broker))
    assert rows["plain http"]["text"] == "keys and orders to xts.lan go without TLS, as [risk] allow_plain_http says"


async def test_the_host_lookup_is_shown(xts_sim):
    sim = await xts_sim()
    word = Secret(sim.app.lookup_word)
    rows = by_name(await health(sim.broker(root="", hostlookup=f"{sim.root}/hostlookup", accesspassword=word)))
    assert rows["host lookup"]["text"] == f"{sim.root}/hostlookup leads to {sim.root}/1interactive"
    assert rows["ready"]["ready"]
