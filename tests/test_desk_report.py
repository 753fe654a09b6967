"""The day's report of a desk, from its journal."""

from __future__ import annotations

import polars as pl
import pytest

import toolkit as tk
from toolkit.desk_report import desk_day
from toolkit.errors import BadData

CALL, PUT = "NIFTY 14JUL2026 25450 CE", "NIFTY 14JUL2026 25450 PE"


@pytest.fixture(scope="module")
def traded(tmp_path_factory):
    """A desk on paper that bought, sold again, bought something else and was refused once."""
    mark = pytest.MonkeyPatch()
    mark.setenv("TOOLKIT_HOME", str(tmp_path_factory.mktemp("home")))
    with tk.desk(account="REPORT") as desk:
        for name, symbol, side, price in (("R1", CALL, "buy", 120), ("R2", CALL, "sell", 75), ("R3", PUT, "buy", 105)):
            desk.place(tk.order(symbol, side, lots=1, price=price, cl_ord_id=name))
        desk.place(tk.order(CALL, "buy", lots=1, price=1000, cl_ord_id="R4"))
        for event in desk.events(after=0):
            done = {f["cl_ord_id"] for f in desk.fills().iter_rows(named=True)}
            if {"R1", "R2", "R3"} <= done or event["seq"] > 500:
                break
        yield desk
    mark.undo()


def test_the_report_holds_every_order_and_its_life(traded, tmp_path):
    path = traded.report(tmp_path / "day.html")
    text = path.read_text(encoding="utf-8")
    for word in ("PAPER", "R1", "R4", "denied", "outside", CALL, PUT, "brokerage"):
        assert word in text


def test_the_frames_are_the_desks_own(traded):
    day = traded._wait(traded._day)
    orders = day.orders.sort("cl_ord_id")
    assert orders["cl_ord_id"].to_list() == ["R1", "R2", "R3", "R4"]
    own = traded.orders().sort("cl_ord_id")
    for name in ("ord_status", "cum_qty", "avg_px", "text"):
        assert orders[name].to_list() == own[name].to_list(), name
    assert day.fills["exec_id"].to_list() == traded.fills()["exec_id"].to_list()
    worth = traded.pnl().row(0, named=True)
    last = day.pnl.row(-1, named=True)
    assert last["realized"] == worth["realized"]
    assert last["charges"] == pytest.approx(day.charges["total"].sum())
    flat = day.positions.filter(pl.col("symbol") == CALL).row(0, named=True)
    assert (flat["net_qty"], flat["buy_qty"], flat["sell_qty"]) == (0, 65, 65)
    trades = day.order_events.filter(pl.col("exec_type") == "trade")
    assert set(trades["cl_ord_id"]) == {"R1", "R2", "R3"}
    assert trades["ord_status"].unique().to_list() == ["filled"]
    assert day.settings["mode"] == "paper"


def test_an_empty_journal_is_refused():
    with pytest.raises(BadData, match="journal of ACC holds no event"):
        desk_day({"ACC": []}, [], [], 0, "paper")


def test_an_unknown_worth_stays_unknown(traded):
    """One account whose positions have no mark makes the sum unknown, never 0."""
    events = list(traded.past_events())
    row = {"realized": 1.0, "unrealized": None, "gross": None, "charges": 2.0, "net": None}
    day = desk_day({"REPORT": events}, [], [row], events[-1]["ts_ns"], "live")
    assert day.pnl.row(-1, named=True)["net"] is None
    assert day.pnl.row(-1, named=True)["realized"] == 1.0
