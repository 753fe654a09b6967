"""R09 through the process: the token dies with orders working. Denied here within two seconds, whole after a new login."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time

from tests.conftest import BUSY_ENV, BUSY_RULES

PLACE = {"kite": "POST /orders", "xts": "POST /interactive/orders"}


def log_in(sim, desk) -> None:
    """What a person does after a token died."""
    words, env = ["login", desk.broker, "--json"], dict(desk.env)
    if desk.broker == "kite":
        words += ["--request-token", sim.control("POST", "login")["request_token"]]
        env["TOOLKIT_KITE__API_SECRET"] = sim.ready["api_secret"]
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", *words], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_a_dead_token_denies_new_orders_here_and_a_new_login_restores_the_books(rig, dialect):
    sim = rig.sim(dialect)
    nem = rig.nem(sim)
    desk = rig.desk(sim, nem=nem, rules=BUSY_RULES, **BUSY_ENV)  # a login of seconds leaves the feed silent: that halts
    desk.start()
    for number in range(20):
        assert desk.place(f"BEFORE{number}", price=75.0 + number * 0.05)[0] == 200
    assert rig.ready(desk, sim)
    sim.control("POST", "expire")
    began = time.monotonic()
    told = rig.wait_until(
        lambda: [e for e in desk.events() if e["kind"] == "alarm" and e["payload"]["kind"].startswith("auth_")],
        10,
        "a dead token is not told",
    )
    noticed = time.monotonic() - began
    tried = nem.tried(PLACE[dialect])
    status, answer = desk.place("DEAD", price=80.0)
    assert (status, answer["ord_status"]) == (200, "denied"), answer
    assert "token" in answer["text"]
    assert nem.tried(PLACE[dialect]) == tried, "an order left with a dead token"
    log_in(sim, desk)
    back = time.monotonic()

    def restored() -> bool:
        return desk.get("/v1/limits")["trading"][0]["state"] == "ready"

    rig.wait_until(restored, 60, "the new login is not taken")
    back = time.monotonic() - back
    after = (desk.place(f"AFTER{number}", price=81.0)[1]["ord_status"] for number in itertools.count())
    rig.wait_until(lambda: next(after) in ("pending_new", "new"), 60, "the feed is not restored")  # stale denies
    assert (verdict := rig.ready(desk, sim)), verdict
    assert {f"BEFORE{n}" for n in range(20)} <= {
        o["cl_ord_id"] for o in desk.orders().values() if o["ord_status"] == "new"
    }
    print(
        f"R09 {dialect}: told after {noticed:.1f} s ({told[0]['payload']['kind']}), whole again {back:.1f} s after the login"
    )
