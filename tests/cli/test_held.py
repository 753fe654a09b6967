"""A command whose account another process holds: refused by name before anything heavy is loaded or a broker is asked."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from toolkit.brokers.whose import realm_at, reserve
from toolkit.cli.app import run
from toolkit.config import Settings
from toolkit.errors import BadSetting, Refused
from toolkit.store.lease import Lease

NOWHERE = "127.0.0.1:9"  # the discard port: nobody answers there
BROKERS = {
    "TOOLKIT_KITE__ROOT": f"http://{NOWHERE}",
    "TOOLKIT_KITE__WS_ROOT": f"ws://{NOWHERE}",
    "TOOLKIT_XTS__ROOT": f"http://{NOWHERE}",
}
ORDER = ("NIFTY 14JUL2026 25450 CE", "--side", "BUY", "--lots", "1", "--price", "100")
HEAVY = ("numba", "numpy", "polars", "httpx", "fastapi", "kiteconnect", "toolkit.orders.live")
COMMANDS = {
    "serve": ("kite", "AB12", ("serve", "--broker", "kite", "--account", "AB12", "--live", "AB12")),
    "serve the other broker too": ("xts-pro", "P1", ("serve", "--broker", "kite", "--account", "xts-pro:P1")),
    "serve paper": ("paper", "PAPER", ("serve", "--session", "none")),
    "place": ("kite", "AB12", ("order", "place", *ORDER, "--broker", "kite", "--live", "AB12")),
    "cancel": ("xts-client", "C9", ("order", "cancel", "X1", "--broker", "xts-client", "--live", "C9")),
}


@pytest.fixture(autouse=True)
def _brokers(monkeypatch, own_leases):
    for name, value in BROKERS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("what", COMMANDS)
def test_a_cold_process_is_refused_by_the_holders_pid_before_its_imports(what):
    broker, account, words = COMMANDS[what]
    with Lease(broker, account, realm_at(broker, Settings.load())):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "toolkit", *words], capture_output=True, text=True, timeout=60
        )
    *imports, refusal = done.stderr.strip().splitlines()
    assert (done.returncode, done.stdout) == (3, ""), done.stderr[-2000:]
    assert f"account {account} at {broker} is held by process {os.getpid()} on this machine" in refusal
    assert all(line.startswith("import time:") for line in imports), "it was not refused in one line"
    loaded = {line.rpartition("|")[2].strip() for line in imports}
    assert "toolkit.store.lease" in loaded
    assert not loaded & set(HEAVY)


def test_the_next_lease_of_the_process_takes_over_what_was_reserved_and_nobody_else_can():
    code = "import sys; from toolkit.store.lease import Lease; Lease('kite', 'AB12', sys.argv[1])"
    with reserve("kite", (), ("AB12",)):
        other = subprocess.run([sys.executable, "-c", code, NOWHERE], capture_output=True, text=True, timeout=60)
        assert f"held by process {os.getpid()}" in other.stderr
        with Lease("kite", "AB12", NOWHERE), pytest.raises(Refused, match=f"held by process {os.getpid()}"):
            Lease("kite", "AB12", NOWHERE)
        Lease("kite", "AB12", NOWHERE).release()
    with reserve("kite", ("AB12", "CD34"), ("AB12",)):
        pass
    for account in ("AB12", "CD34"):
        Lease("kite", account, NOWHERE).release()


def test_listing_a_brokers_orders_needs_no_lease(capsys):
    """Its own account is held, and the broker is asked all the same: it does not answer here."""
    with Lease("kite", "AB12", NOWHERE):
        code = run(["order", "list", "--broker", "kite", "--live", "AB12"])
    said = capsys.readouterr().err
    assert code != 0
    assert "held by" not in said


def test_what_cannot_be_known_early_is_left_to_the_connection():
    with reserve("kite", (), ()), reserve("nobody", ("A",), ("A",)), reserve("paper", (), ("A",)):
        pass
    with pytest.raises(BadSetting, match="no live broker is called 'paper'"), reserve("kite", ("paper:A",), ()):
        pass
