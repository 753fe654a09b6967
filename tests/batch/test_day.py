import datetime as dt

import pytest

from toolkit.batch.day import ask, listener
from toolkit.calendar import ist_ns
from toolkit.errors import BadData, Halted
from toolkit.strategies.protocol import Strategy
from toolkit.types import Cancel, ExecType, ExecutionReport

NOW = ist_ns(dt.date(2025, 8, 29), dt.time(10, 15, 30))


class Speaking(Strategy):
    name = "speaking"

    def on_report(self, report):
        return (Cancel(cl_ord_id=report.cl_ord_id),)


def fails(what):
    raise KeyError(what)


def halts(what):
    raise Halted("by order")


def test_what_a_strategy_answers_is_a_list():
    assert ask(Speaking(), NOW, lambda what: (w for w in what), "ab") == ["a", "b"]


def test_a_failure_names_strategy_time_and_error():
    text = r"^strategy 'speaking' failed at 2025-08-29 10:15:30 IST: KeyError: 'view'$"
    with pytest.raises(BadData, match=text) as caught:
        ask(Speaking(), NOW, fails, "view")
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_failure_while_the_answer_is_read_is_named_too():
    with pytest.raises(BadData, match="ZeroDivisionError"):
        ask(Speaking(), NOW, lambda what: (1 / 0 for _ in [what]), None)


def test_our_own_errors_pass_as_they_are():
    with pytest.raises(Halted, match="by order"):
        ask(Speaking(), NOW, halts, None)


def test_the_listener_passes_reports_on():
    report = ExecutionReport(cl_ord_id="A1", exec_id="X1", exec_type=ExecType.NEW, ts_ns=1, recv_ns=2)
    assert listener(Speaking())(report, NOW) == [Cancel(cl_ord_id="A1")]
