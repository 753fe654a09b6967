"""Legs in the order of least margin in a running process: shown before, journaled with the parent, traded so."""

from __future__ import annotations

import asyncio
import math

import pytest

from toolkit.errors import BadData
from toolkit.orders.core import Core

E = "NIFTY 14JUL2026"
FAST = "step_s=1 step_ticks=40 min_reprice_s=0.2 retry_s=1 timeout_s=600 naked_s=600"
CONDOR = [(f"{E} 25450 CE", "SELL"), (f"{E} 25000 PE", "SELL"), (f"{E} 25650 CE", "BUY"), (f"{E} 24800 PE", "BUY")]


def legs(*asked, name="", lots=1):
    rows = [{"symbol": symbol, "side": side, "lots": lots, "ord_type": "MARKET"} for symbol, side in asked]
    named = [{**row, "cl_ord_id": f"{name}{n or ''}"} for n, row in enumerate(rows)] if name else rows
    return {"legs": named, "algo": f"legs {FAST}"}


def traded(process, name):
    """Let a parent work to its end; its children's contracts in the order in which they were placed."""
    engine = process.seat.engine

    async def ended():
        async with asyncio.timeout(240):
            async for _ in engine.listen(0):
                if engine.core.algos[name].done:
                    return engine.core.algos[name].text

    text = process.loop.wait(ended)
    core = engine.core
    return text, list(dict.fromkeys(core.orders[c].request.symbol for c in core.children[name]))


def journaled(process, name):
    """The policy of a parent as the journal alone gives it."""

    def read():
        return Core.replay([e.record for e in process.seat.engine.journal.records()])

    return process.ask(read).algos[name].policy


def shown(found):
    return [(row["stage"], row["symbol"]) for row in found["leg_order"]]


@pytest.fixture
def unmargined(process, monkeypatch):
    """The process knows no margin parameters."""
    monkeypatch.setattr(process.station.lookout.margins, "_params", lambda names: {})


def test_an_iron_condor_is_shown_journaled_and_traded_in_the_order_of_least_margin(process):
    asked = legs(*CONDOR, name="CONDOR")
    found = process("preview", asked)
    assert found["leg_order_is"] == "least peak margin"
    stages = shown(found)
    assert {symbol for stage, symbol in stages if stage == 1} == {f"{E} 25650 CE", f"{E} 24800 PE"}
    assert found["leg_order"][-1]["margin_after"] == pytest.approx(found["margin_after"])
    most = max(row["needed"] for row in found["leg_order"])
    sold = process("preview", legs(*CONDOR[:2]))
    assert most < sold["margin_after"] / 2, "both sold legs first would have needed more than twice"

    process("place", asked)
    policy = journaled(process, "CONDOR")
    assert policy["order"].split(";")[0] in ("3,4", "4,3")
    text, symbols = traded(process, "CONDOR")
    assert text.startswith("filled")
    assert set(symbols[:2]) == {f"{E} 25650 CE", f"{E} 24800 PE"}
    assert {symbol: qty for symbol, qty in process.seat.engine.core.book.net.items() if symbol in symbols} == {
        symbol: 65 * (1 if side == "BUY" else -1) for symbol, side in CONDOR
    }
    assert journaled(process, "CONDOR") == policy
    sent = len(process.seat.engine.core.orders)
    assert process("place", asked)["cum_qty"] == 4 * 65
    assert len(process.seat.engine.core.orders) == sent, "the same legs again are the same parent"


def test_its_exit_buys_the_shorts_back_first(process):
    held = dict(process.seat.engine.core.book.net)
    back = [(symbol, "SELL" if side == "BUY" else "BUY") for symbol, side in reversed(CONDOR)]
    assert all(held.get(symbol) for symbol, _ in back), "the condor of the test before is held"
    asked = legs(*back, name="EXIT")
    found = process("preview", asked)
    assert found["leg_order_is"] == "an exit: shorts are bought back first"
    assert [row["side"] for row in found["leg_order"]] == ["BUY", "BUY", "SELL", "SELL"]
    process("place", asked)
    assert journaled(process, "EXIT") is None
    text, symbols = traded(process, "EXIT")
    assert text.startswith("filled")
    assert set(symbols[:2]) == {f"{E} 25450 CE", f"{E} 25000 PE"}
    assert not any(process.seat.engine.core.book.net.get(symbol) for symbol, _ in back)


STRANGLE = [(f"{E} 25700 CE", "SELL"), (f"{E} 25900 CE", "BUY"), (f"{E} 24950 PE", "SELL"), (f"{E} 24700 PE", "BUY")]


def test_a_short_strangle_s_hedges_go_first_and_two_shorts_alone_go_together(process):
    found = process("preview", legs(*STRANGLE))
    assert [row["side"] for row in found["leg_order"]] == ["BUY", "BUY", "SELL", "SELL"]
    assert [row["stage"] for row in found["leg_order"]] == [1, 1, 2, 2]
    naked = process("preview", legs(STRANGLE[0], STRANGLE[2]))
    assert [row["stage"] for row in naked["leg_order"]] == [1, 1]


def test_a_protective_put_comes_before_the_future_that_it_protects(process):
    future = next(
        i.symbol for i in process.station.hub.listed.values() if i.kind == "future" and i.underlying == "NIFTY"
    )
    found = process("preview", legs((future, "BUY"), (f"{E} 25000 PE", "BUY")))
    assert shown(found)[0] == (1, f"{E} 25000 PE")
    first, last = found["leg_order"]
    assert first["premium_paid"] == last["premium_paid"] > 0, "a future moves no cash"
    assert last["needed"] == pytest.approx(found["margin_after"] + last["premium_paid"])


@pytest.mark.usefixtures("unmargined")
def test_without_a_margin_the_buys_go_first_and_the_preview_says_why(process):
    found = process("preview", legs(*CONDOR))
    assert found["leg_order_is"] == "buys first: no margin parameters for NIFTY"
    assert shown(found) == [(1, CONDOR[2][0]), (1, CONDOR[3][0]), (2, CONDOR[0][0]), (2, CONDOR[1][0])]
    assert {row["needed"] for row in found["leg_order"]} == {None}
    assert found["margin_after"] is None
    process("place", legs(*CONDOR[::2], name="BLIND"))
    assert journaled(process, "BLIND") is None
    text, symbols = traded(process, "BLIND")
    assert text.startswith("filled")
    assert symbols == [CONDOR[2][0], CONDOR[0][0]]


def test_a_leg_without_a_price_leaves_the_order_to_the_rule(process, monkeypatch):
    monkeypatch.setattr(process.station.hub, "mark", lambda symbol: math.nan)
    found = process("preview", legs(*STRANGLE))
    assert found["leg_order_is"] == "buys first: a leg has no price"
    assert [row["stage"] for row in found["leg_order"]] == [1, 1, 2, 2]


def test_an_order_that_is_said_is_shown_and_kept(process):
    asked = {**legs(*STRANGLE), "policy": {"order": "4;3;2;1"}}
    found = process("preview", asked)
    assert found["leg_order_is"] == "as said"
    assert shown(found) == [(n + 1, symbol) for n, (symbol, _) in enumerate(reversed(STRANGLE))]
    with pytest.raises(BadData, match="names each of the legs 1 to 4 once"):
        process("preview", {**asked, "policy": {"order": "1;2"}})


def test_legs_that_do_not_follow_each_other_have_no_order(process):
    limited = [{**leg, "ord_type": "LIMIT", "price": "20"} for leg in legs(*STRANGLE[:2])["legs"]]
    found = process("preview", {"legs": limited, "algo": "oco"})
    assert (found["leg_order"], found["leg_order_is"]) == (None, None)
    assert found["margin_after"] is not None
    stop = process(
        "preview", {**legs((STRANGLE[0][0], "BUY"), (STRANGLE[1][0], "SELL")), "algo": "premium_stop stop=300"}
    )
    assert stop["leg_order_is"] == "an exit: shorts are bought back first"
