from __future__ import annotations

import msgspec

from toolkit.brokers.kite_records import OrderRow, TradeRow
from toolkit.brokers.kite_watch import Watch
from toolkit.types import ExecType

ROW = OrderRow(order_id="1", status="OPEN", quantity=130, filled_quantity=0, price=100.0)


def take(watch, row, trades=()):
    return [str(r.exec_type) for r in watch.take("A1", row, trades, "ME", "X", 5)]


def changed(row, **fields):
    return msgspec.structs.replace(row, **fields)


def test_what_stood_at_the_start_is_not_told():
    watch = Watch({"A1": ROW})
    assert watch.changed({"A1": ROW}) == []
    part = changed(ROW, filled_quantity=65)
    assert watch.changed({"A1": part}) == ["A1"]
    old = TradeRow(trade_id="7", order_id="1", quantity=65, average_price=100.0)
    assert take(watch, part, [old]) == ["trade"]
    assert take(Watch({"A1": ROW}, [old]), part, [old]) == []


def test_each_change_is_told_once():
    watch = Watch({})
    assert take(watch, ROW) == ["new"]
    assert take(watch, ROW) == []
    assert take(watch, changed(ROW, price=101.0)) == ["replaced"]
    assert take(watch, changed(ROW, price=102.0)) == ["replaced"]
    assert take(watch, changed(ROW, price=102.0, status="CANCELLED")) == ["canceled"]
    assert take(watch, changed(ROW, price=102.0, status="CANCELLED")) == []


def test_a_fill_whose_trade_is_late_is_asked_for_again():
    watch = Watch({"A1": ROW})
    done = changed(ROW, status="COMPLETE", filled_quantity=130)
    one, two = (TradeRow(trade_id=t, order_id="1", quantity=65, average_price=100.0) for t in "78")
    assert take(watch, done, [one]) == ["trade"]
    assert watch.changed({"A1": done}) == ["A1"]
    assert take(watch, done, [one, two]) == ["trade"]
    assert watch.changed({"A1": done}) == []


def test_numbers_of_modifications_go_on():
    watch = Watch({"A1": ROW})
    ids = [watch.take("A1", changed(ROW, price=p), (), "ME", "X", 5)[0] for p in (101.0, 102.0)]
    assert [r.exec_id for r in ids] == ["1-replaced-1", "1-replaced-2"]
    assert {r.exec_type for r in ids} == {ExecType.REPLACED}
