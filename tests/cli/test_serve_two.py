"""One engine process over a simulated Kite and a simulated XTS: each account its own writer, one router over both."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

import toolkit as tk
from tests.conftest import BUSY_ENV, BUSY_RULES
from toolkit.cli.app import run
from toolkit.errors import BadData
from toolkit.orders.station import Seat, Station
from toolkit.store.lease import holders
from toolkit.types import OrdStatus

CE = "NIFTY 14JUL2026 25450 CE"
KITE, XTS = "SIM001", "X0002"


def spawn(*words: str) -> tuple[subprocess.Popen, dict]:
    """A command of the toolkit with its ready line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "toolkit", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    line = process.stdout.readline()
    if not line:
        raise AssertionError(process.communicate()[1])
    return process, json.loads(line)


def until(what, seconds: float = 15.0):
    """Until something is true; gives it."""
    end_at = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end_at, "it did not come to pass"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    mark = pytest.MonkeyPatch()
    home = tmp_path_factory.mktemp("two-brokers")
    (home / "rules.toml").write_text(BUSY_RULES)
    for name, value in {"TOOLKIT_HOME": str(home), **BUSY_ENV}.items():
        mark.setenv(name, value)
    started = []
    try:
        for words in (("kite", "--profile", "unlimited"), ("xts", "--account", XTS)):
            process, ready = spawn("sim", *words, "--at", "11:05")
            started.append(process)
            for name, value in ready["env"].items():
                mark.setenv(name, value)
        mark.setenv("TOOLKIT_ENGINE__CLOCK", "venue")
        mark.setenv("TOOLKIT_RISK__DUPLICATE_WINDOW_S", "0")
        accounts = ("--account", KITE, "--account", f"xts-pro:{XTS}", "--live", KITE, "--live", XTS)
        process, _ = spawn("serve", "--broker", "kite", *accounts, "--port", "0")
        started.append(process)
        with tk.attach() as made:
            yield made
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
        mark.undo()


def test_each_account_has_its_own_lease_broker_limits_and_journal(desk):
    assert desk.accounts == (KITE, XTS)
    assert {h.account for broker in ("kite", "xts-pro") for h in holders(broker)} == {KITE, XTS}
    assert {s["account"]: s["broker"] for s in desk.state()["accounts"]} == {KITE: "kite", XTS: "xts-pro"}
    assert set(desk.limits()["account"]) == {KITE, XTS}
    journals = desk.verify()
    assert [(row["account"], row["state"]) for row in journals.to_dicts()] == [(KITE, "sound"), (XTS, "sound")]
    assert len(set(journals["journal"])) == 2


def test_the_audit_log_comes_from_the_engine_that_holds_the_journals(desk, tmp_path, capsys):
    file = tmp_path / "audit.jsonl"
    assert run(["verify", "--export", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["state"] for row in found["journals"]] == ["sound", "sound"]
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) == found["exported"] >= 2
    assert {row["journal"] for row in rows} == {row["journal"] for row in found["journals"]}
    assert run(["verify", str(file), "--json"]) == 0
    alone = {row["journal"]: row for row in json.loads(capsys.readouterr().out)["journals"]}
    assert {name: row["state"] for name, row in alone.items()} == dict.fromkeys(alone, "sound")
    assert sum(row["good"] for row in alone.values()) == found["exported"]
    file.write_text(file.read_text().replace('"payload": {"', '"payload": {"x', 1))
    assert run(["verify", str(file)]) == 1
    assert "record 1 is damaged" in capsys.readouterr().out
    assert run(["verify", "--export", str(file)]) == 1
    assert "never written over" in capsys.readouterr().err


@pytest.mark.parametrize("account", [KITE, XTS])
def test_an_order_goes_to_the_account_it_names(desk, account):
    order = desk.place({"symbol": CE, "side": "BUY", "lots": 1, "price": 115, "account": account})
    until(lambda: desk.order(order.cl_ord_id)["ord_status"] == "filled")
    held = desk.positions(account)
    assert dict(held.select("symbol", "net_qty").iter_rows())[CE] == 65
    assert set(held["account"]) == {account}
    assert until(lambda: desk.pnl(account)["net"][0]) is not None, "the one feed marks the positions of both"


def test_a_halted_account_is_routed_around_and_says_so(desk):
    asked = {"symbol": CE, "side": "BUY", "lots": 1, "price": "80.00", "cl_ord_id": "AROUND1"}
    desk.halt("a test", account=KITE)
    plan = desk.plan(asked)
    assert [(c["account"], c["broker"]) for c in plan["children"]] == [(XTS, "xts-pro")]
    assert any(line.startswith(f"{KITE}@kite") and "halted: a test" in line for line in plan["why"])
    placed = desk.place(asked)
    assert placed.ord_status in (OrdStatus.NEW, OrdStatus.PENDING_NEW), placed.text
    (child,) = desk.order("AROUND1")["children"]
    assert (child["account"], child["parent_id"]) == (XTS, "AROUND1")
    desk.cancel("AROUND1")
    desk.resume("a test", KITE)
    closes = desk.plan({"symbol": CE, "side": "SELL", "lots": 2, "price": "75.00"})
    assert {c["account"]: c["order_qty"] for c in closes["children"]} == {KITE: 65, XTS: 65}, closes["why"]


def test_two_accounts_of_one_id_are_refused_in_one_line():
    seats = [Seat(engine=SimpleNamespace(account="A1", broker=SimpleNamespace(name=n))) for n in ("kite", "xts-pro")]
    with pytest.raises(BadData, match=r"^two accounts of one process have the same id; serve them from two processes$"):
        Station(seats, None, mode="live", clock=time.time_ns)
