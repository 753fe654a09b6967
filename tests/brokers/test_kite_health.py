from __future__ import annotations

import pytest

from toolkit.brokers.kite_health import health
from toolkit.config import Secret


def by_name(rows):
    return {row["what"]: row for row in rows}


async def test_a_ready_account(kite_sim):
    rows = by_name(await health((await kite_sim()).broker()))
    assert rows["kite: ready"]["text"] == "read yes, paper on its feed yes, live yes"
    assert all(row["ready"] for row in rows.values())
    assert "SIM001" in rows["kite: token"]["text"]
    assert not rows["kite: public address"]["needed"]


async def test_a_clock_that_is_off_is_not_ready_for_live(kite_sim):
    from toolkit.brokers.kite import KiteBroker

    rows = by_name(await health(KiteBroker((await kite_sim()).settings())))
    assert not rows["kite: clock"]["ready"]
    assert rows["kite: ready"]["text"].endswith("live NO")


async def test_no_data_subscription_is_told_apart_from_a_dead_token(kite_sim):
    sim = await kite_sim("status:400@GET /quote")
    rows = by_name(await health(sim.broker()))
    assert rows["kite: token"]["ready"]
    assert "subscribe at the broker" in rows["kite: data subscription"]["text"]
    assert not rows["kite: ready"]["ready"]


@pytest.mark.parametrize(
    ("more", "what", "text"),
    [
        ({"api_key": ""}, "kite: token", "toolkit login kite"),
        ({"access_token": Secret("dead")}, "kite: token", "no longer valid"),
        ({"access_token": Secret("")}, "kite: token", "no token of today"),
        ({"root": "http://127.0.0.1:9"}, "kite: reachable", "nothing listens"),
    ],
)
async def test_what_is_missing_is_said(kite_sim, more, what, text):
    rows = by_name(await health((await kite_sim()).broker(**more)))
    assert not rows[what]["ready"]
    assert text in rows[what]["text"]
    assert "kite: ready" not in rows
