"""The verbs that steer a running engine: what flatten left open is said."""

from __future__ import annotations

import contextlib
import json

import polars as pl
import pytest

from toolkit.cli import control
from toolkit.cli.app import run

CE = "NIFTY 14JUL2026 25450 CE"
SENT = {"cl_ord_id": "A1", "side": "SELL", "order_qty": 130, "symbol": CE, "ord_status": "canceled"}


class Desk:
    """An engine that holds one account."""

    def __init__(self, net_qty, sent):
        self._net_qty, self._sent = net_qty, sent

    def flatten(self, reason, confirm):
        assert confirm == "PAPER"
        return pl.DataFrame(self._sent)

    def positions(self, account):
        assert account == "PAPER"
        return pl.DataFrame([{"symbol": CE, "net_qty": self._net_qty}])


@pytest.fixture
def engine(monkeypatch):
    """``engine(net_qty, sent)``: one runs, and has this position after the flatten."""

    def runs(net_qty, sent):
        monkeypatch.setattr(control, "running", lambda *named: contextlib.nullcontext([Desk(net_qty, sent)]))

    return runs


@pytest.mark.parametrize("net_qty", [65, -65])
def test_what_stays_open_after_a_flatten_is_said_with_code_1(engine, capsys, net_qty):
    engine(net_qty, [SENT])
    assert run(["flatten", "--confirm", "PAPER", "--json"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out) == {"orders": [SENT]}
    assert told.err.startswith(f"toolkit: not closed: {net_qty} {CE}; look at the orders, ")
    assert told.err.count("\n") == 1


def test_a_whole_flatten_is_0_and_nothing_to_close_is_said(engine, capsys):
    engine(0, [SENT])
    assert run(["flatten", "--confirm", "PAPER"]) == 0
    assert capsys.readouterr().out == f"A1 SELL 130 {CE} canceled\n"
    engine(0, [])
    assert run(["flatten", "--confirm", "PAPER"]) == 0
    assert capsys.readouterr().out == "nothing to close\n"
