"""What a strategy sees in a running engine: the newest of the hub and its own account's book."""

from __future__ import annotations

import datetime as dt

import pytest

from toolkit.errors import BadData
from toolkit.serve.live_view import LiveView, Look

CE = "NIFTY 14JUL2026 25450 CE"
EXPIRY = dt.date(2026, 7, 14)


@pytest.fixture
def seen(served):
    """``seen(act)`` gives what ``act(look)`` finds, asked on the engine's own loop."""
    station = served.server.station

    def ask(act, underlying="NIFTY"):
        async def there():
            return act(Look(station.hub, station.seats["PAPER"].engine, underlying))

        return served.loop.wait(there)

    return ask


def test_the_market_of_one_underlying(seen):
    expiries, chain, spot = seen(lambda look: ((view := look()).expiries(), view.chain(), view.spot))
    assert expiries == tuple(sorted(expiries))
    assert expiries[0] == chain.expiry == EXPIRY
    assert (chain.underlying, chain.lot) == ("NIFTY", 65)
    assert spot == chain.spot > 20_000
    assert seen(lambda look: look().chain().underlying, "SENSEX") == "SENSEX"


def test_one_decision_sees_one_slice(seen):
    assert seen(lambda look: (view := look()).chain() is view.chain(EXPIRY) is view.chain())


def test_an_expiry_that_is_not_listed_has_no_chain_and_no_levels(seen):
    nowhere = dt.date(2026, 7, 15)
    assert seen(lambda look: (look().chain(nowhere), look().levels(nowhere))) == (None, None)


def test_levels_are_those_of_the_newest_snapshot_as_numbers(seen, served):
    found = seen(lambda look: look().levels())
    (newest,) = [
        row
        for row in served.loop.wait(lambda: served.server.station.topic("oi:NIFTY"))["levels"]
        if row["expiry"] == EXPIRY
    ]
    assert {type(v) for v in found.values()} == {float}
    assert found["max_pain"] % 50 == newest["max_pain"] % 50 == 0
    assert "underlying" not in found


def test_levels_are_read_again_only_when_a_snapshot_is_due(seen):
    def twice(look):
        first = look.levels()
        read = look._measured_ns
        look.levels()
        kept = look._measured_ns
        look._measured_ns -= 6 * 10**9
        look.levels()
        return first, read, kept, look._measured_ns

    first, read, kept, later = seen(twice)
    assert EXPIRY in first
    assert kept == read
    assert later >= read


def test_the_account_is_its_own(seen, served, api):
    made = api.post("/v1/orders", json=served.order()).raise_for_status().json()
    book = served.server.station.seats["PAPER"].engine.core.book.net
    orders, held, one, now_ns = seen(
        lambda look: ((view := look()).orders(), view.positions(), view.position(CE), view.now_ns)
    )
    assert made["cl_ord_id"] in {order.cl_ord_id for order in orders}
    assert all(order.is_open for order in orders)
    assert held == {symbol: net for symbol, net in book.items() if net}
    assert one == book.get(CE, 0)
    assert now_ns >= made["created_ns"]


def test_terms_are_those_of_today(seen):
    found = seen(lambda look: look().instrument(CE))
    assert (found.lot, found.strike_p, found.expiry) == (65, 2_545_000, EXPIRY)
    with pytest.raises(BadData, match="NIFTY 14JUL2026 25451 CE is not listed today"):
        seen(lambda look: look().instrument("NIFTY 14JUL2026 25451 CE"))


def test_nothing_is_seen_while_the_feed_is_not_to_be_trusted(seen, served, monkeypatch):
    assert isinstance(seen(lambda look: look()), LiveView)
    monkeypatch.setattr(type(served.server.station.hub.source), "state", property(lambda source: "connecting"))
    assert seen(lambda look: look()) is None
