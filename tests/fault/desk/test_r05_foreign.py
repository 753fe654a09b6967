"""R05: orders, fills and positions of elsewhere are taken in; a drift is told within one cycle and opens nothing."""

from __future__ import annotations

import pytest


def abroad(sim, number: int, *, qty: int = 65, price: float, side: str = "BUY") -> None:
    """An order of the same account placed somewhere else."""
    if sim.dialect == "kite":
        strike = 24600 + 50 * (number % 30)
        sim.control("POST", "order", {
            "exchange": "NFO", "tradingsymbol": f"NIFTY26714{strike}CE", "transaction_type": side, "quantity": qty,
            "order_type": "LIMIT", "price": price, "product": "NRML", "validity": "DAY",
        })  # fmt: skip
    else:
        sim.control("POST", "order", {
            "exchangeSegment": "NSEFO", "exchangeInstrumentID": 40003 + 2 * (number % 20), "orderSide": side,
            "orderQuantity": qty, "orderType": "LIMIT", "limitPrice": price, "productType": "NRML",
            "timeInForce": "DAY", "disclosedQuantity": 0, "stopPrice": 0,
        })  # fmt: skip


def carried(sim, number: int, qty: int) -> None:
    """A position of the day before, without an order today."""
    if sim.dialect == "kite":
        name = {"exchange": "NFO", "tradingsymbol": f"NIFTY26714{24600 + 50 * number}PE"}
    else:
        name = {"exchangeSegment": "NSEFO", "exchangeInstrumentID": 40044 + 2 * number}
    sim.control("POST", "carry", {**name, "quantity": qty, "average_price": 50.0})


def nets(sim) -> list[int]:
    held = sim.control("GET", "state")["net"]
    held = held if sim.dialect == "kite" else held[sim.account]
    return sorted(qty for qty in held.values() if qty)


def ours(desk) -> list[int]:
    return sorted(row["net_qty"] for row in desk.get("/v1/positions")["positions"] if row["net_qty"])


def same(sim, desk) -> bool:
    """Every order of the exchange is known, with its state, quantity and price."""
    mine = {o["order_id"]: o for o in desk.orders().values()}
    for order_id, theirs in sim.orders().items():
        known = mine.get(order_id)
        if known is None or known["cum_qty"] != theirs["cum_qty"]:
            return False
        if theirs["status"] in ("filled", "canceled") and known["ord_status"] != theirs["status"]:
            return False
        if theirs["cum_qty"] and abs(known["avg_px"] - theirs["avg_px"]) > 0.00501:
            return False
    return len(mine) == len(sim.orders())


@pytest.mark.parametrize(("orders", "held"), [(50, 20)])
def test_what_was_placed_and_held_elsewhere_is_taken_in_and_a_drift_opens_nothing(rig, dialect, orders, held):
    sim = rig.sim(dialect)
    for number in range(orders):
        abroad(sim, number, price=400.0 if number % 3 == 0 else 0.5 + 0.05 * (number % 10))
    for number in range(held):
        carried(sim, number, 65 * (1 + number % 3) * (-1 if number % 4 == 0 else 1))
    nem = rig.nem(sim)
    desk = rig.desk(sim, nem=nem, rules=rig.wide, TOOLKIT_ENGINE__POSITIONS_S="2")
    desk.start()
    rig.wait_until(lambda: same(sim, desk), 20, "not every foreign order is known as it is")
    assert len(desk.orders()) == orders
    assert ours(desk) == nets(sim)
    assert len(nets(sim)) >= held
    kinds = [e["kind"] for e in desk.events()]
    assert kinds.count("external") == orders
    desk.kill()
    for number in range(5):
        abroad(sim, number, price=400.0)
    desk.start()
    rig.wait_until(lambda: same(sim, desk), 20, "the fills of the outage are not known")
    rig.wait_until(lambda: ours(desk) == nets(sim), 20, "the positions differ")
    seen = len(desk.events())
    carried(sim, 0, 65)
    told = rig.wait_until(
        lambda: [e for e in desk.events()[seen:] if e["kind"] == "difference" and e["payload"]["kind"] == "position"],
        30,
        "a drift of one lot is not told",
    )
    assert "65" in told[0]["payload"]["text"]
    rig.wait_until(lambda: ours(desk) == nets(sim), 20, "the drift is not taken over")
    for method in ("POST", "PUT", "DELETE"):
        path = {"kite": "/orders", "xts": "/interactive/orders"}[dialect]
        assert nem.tried(f"{method} {path}") == 0, "the machine sent an order by itself"
    print(
        f"R05 {dialect}: {orders + 5} foreign orders, {held} positions only held; all adopted; a drift told, none opened"
    )
