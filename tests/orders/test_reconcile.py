"""The plan: every difference between two books has its steps, absence needs evidence, and nothing is ever placed."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.orders.lifecycle import apply, begin
from toolkit.orders.reconcile import (
    Adopt,
    Align,
    Difference,
    Differs,
    Hear,
    Holding,
    Lose,
    Missing,
    Reading,
    Revive,
    Search,
    Suspect,
    book_reports,
    plan,
    unjournaled,
)
from toolkit.types import ExecType, ExecutionReport, Fill, OrderRequest, OrdStatus, OrdType, Side

S = 10**9
NOW = 1_000 * S
SYMBOL = "NIFTY 02SEP2025 24500 CE"


class Ours:
    def __init__(self, *orders, lost=()):
        self.orders = {o.cl_ord_id: o for o in orders}
        self.children = {}
        self.lost = set(lost)

    def open_orders(self):
        return [o for o in self.orders.values() if o.is_open]


def request(cl_ord_id="A1", **more):
    fields = {"symbol": SYMBOL, "side": Side.BUY, "order_qty": 75, "price_p": 9000, "account": "ACC", "broker": "kite"}
    return OrderRequest(**{"cl_ord_id": cl_ord_id, **fields, **more})


def order(status=OrdStatus.NEW, cum=0, age_s=10.0, cl_ord_id="A1", **more):
    then = NOW - int(age_s * S)
    made = begin(request(cl_ord_id, **more), then)
    if status is not OrdStatus.PENDING_NEW:
        made = msgspec.structs.replace(made, order_id=None if status is OrdStatus.UNKNOWN else "X1")
    execs = (("E1", cum, 9000),) if cum else ()
    terminal = status in (OrdStatus.FILLED, OrdStatus.CANCELED, OrdStatus.REJECTED, OrdStatus.EXPIRED)
    leaves = 0 if terminal else made.request.order_qty - cum
    return msgspec.structs.replace(
        made, ord_status=status, cum_qty=cum, leaves_qty=leaves, traded_value_p=9000 * cum, execs=execs
    )


def fill(exec_id="E1", qty=75, px_p=9000, cl_ord_id="A1"):
    return Fill(
        exec_id=exec_id, cl_ord_id=cl_ord_id, order_id="X1", account="ACC", broker="kite", symbol=SYMBOL, exchange="NSE",
        side=Side.BUY, last_qty=qty, last_px_p=px_p, exec_ns=NOW - S,
    )  # fmt: skip


def reading(*orders, fills=(), held=None):
    trades = {}
    for one in fills:
        trades.setdefault(one.cl_ord_id, []).append(one)
    holdings = None if held is None else {s: Holding(s, "NSE", q, px) for s, (q, px) in held.items()}
    return Reading({o.cl_ord_id: o for o in orders}, trades, holdings)


def steps(ours, theirs, net=None, **more):
    return plan(ours, theirs, net or {}, NOW, 60.0, **more)


def kinds(found):
    return [type(step).__name__ for step in found]


def heard(found):
    return [str(step.report.exec_type) for step in found if isinstance(step, Hear)]


def test_books_that_agree_need_nothing():
    assert steps(Ours(order()), reading(order())) == ()
    assert steps(Ours(order(OrdStatus.FILLED, 75)), reading(order(OrdStatus.FILLED, 75), fills=[fill()])) == ()


@pytest.mark.parametrize("status", [OrdStatus.PENDING_NEW, OrdStatus.UNKNOWN])
def test_an_order_in_doubt_that_the_book_shows_is_new(status):
    found = steps(Ours(order(status)), reading(order()))
    assert heard(found) == ["new"]


def test_executions_come_from_the_trade_book_once():
    found = steps(Ours(order(cum=0)), reading(order(OrdStatus.FILLED, 75), fills=[fill("E1", 50), fill("E2", 25)]))
    assert heard(found) == ["trade", "trade"]
    again = msgspec.structs.replace(order(OrdStatus.PARTIALLY_FILLED, 50), execs=(("E1", 50, 9000),))
    found = steps(Ours(again), reading(order(OrdStatus.FILLED, 75), fills=[fill("E1", 50), fill("E2", 25)]))
    assert [s.report.exec_id for s in found] == ["E2"]


def test_a_book_that_says_more_than_its_trades_is_reported_and_nothing_is_invented():
    found = steps(Ours(order()), reading(order(OrdStatus.FILLED, 75)))
    assert kinds(found) == ["Differs"]
    assert (found[0].difference.kind, found[0].difference.text) == (
        "fills", "A1: the broker's book says 75 filled, its trades add up to 0"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "kind"),
    [(OrdStatus.CANCELED, "canceled"), (OrdStatus.REJECTED, "rejected"), (OrdStatus.EXPIRED, "expired")],
)
def test_the_books_end_is_ours(status, kind):
    assert heard(steps(Ours(order()), reading(order(status))))[-1] == kind


def test_terms_changed_elsewhere_are_taken_over_and_reported():
    found = steps(Ours(order()), reading(order(order_qty=150, price_p=9100)))
    assert heard(found) == ["replaced"]
    assert [s.difference.kind for s in found if isinstance(s, Differs)] == ["terms"]
    asked = order(OrdStatus.PENDING_REPLACE)
    found = steps(Ours(asked), reading(order(order_qty=150)))
    assert kinds(found) == ["Hear"]


def test_an_order_that_was_shrunk_to_what_it_had_traded_is_filled():
    ours = order(OrdStatus.PARTIALLY_FILLED, 75, order_qty=150)
    found = steps(Ours(ours), reading(order(OrdStatus.FILLED, 75), fills=[fill()]))
    assert heard(found) == ["replaced"]
    after, odd = apply(ours, found[0].report)
    assert (after.ord_status, after.leaves_qty, odd) == (OrdStatus.FILLED, 0, None)


@pytest.mark.parametrize("status", [OrdStatus.PENDING_REPLACE, OrdStatus.PENDING_CANCEL, OrdStatus.UNKNOWN])
def test_an_order_that_was_filled_before_it_could_be_enlarged_is_filled(status):
    """As when a kill kept the modification from leaving."""
    ours = msgspec.structs.replace(order(status), order_id="X1", pending_qty=375)
    theirs = reading(order(OrdStatus.FILLED, 75), fills=[fill()])
    found = [s.report for s in steps(Ours(ours), theirs) if isinstance(s, Hear)]
    assert [r.exec_type for r in found][-2:] == ["trade", "replace_rejected"]
    after = ours
    for report in found:
        after, odd = apply(after, report)
        assert odd is None
    assert (after.ord_status, after.cum_qty, after.leaves_qty) == (OrdStatus.FILLED, 75, 0)
    assert "replace_rejected" not in heard(steps(Ours(ours), theirs, in_flight={"A1"})), "its answer is on the way"


def test_the_price_of_a_market_order_is_the_brokers_affair():
    ours = order(ord_type=OrdType.MARKET, price_p=9600)
    assert steps(Ours(ours), reading(order(ord_type=OrdType.LIMIT, price_p=9500))) == ()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (OrdStatus.PENDING_CANCEL, "cancel_rejected"),
        (OrdStatus.PENDING_REPLACE, "replace_rejected"),
        (OrdStatus.UNKNOWN, "new"),
    ],
)
def test_a_request_unanswered_too_long_is_decided_by_the_book(status, kind):
    asked = msgspec.structs.replace(order(status), order_id="X1")
    assert heard(steps(Ours(asked), reading(order())))[-1] == kind
    soon = msgspec.structs.replace(asked, updated_ns=NOW - S)
    assert kind not in heard(steps(Ours(soon), reading(order()))) or kind == "new"
    assert steps(Ours(asked), reading(order()), in_flight={"A1"}) == () or status is OrdStatus.UNKNOWN


def test_an_execution_that_two_readings_lack_is_a_bust():
    ours = Ours(order(OrdStatus.PARTIALLY_FILLED, 50))
    assert kinds(steps(ours, reading(order()))) == ["Missing"]
    assert steps(ours, reading(order()), missed={"E1": 1}, in_flight={"A1"}) == ()
    found = steps(ours, reading(order()), missed={"E1": 1})
    assert heard(found) == ["trade_cancel"]
    assert found[0].report.exec_ref_id == "E1"
    assert [s.difference.kind for s in found if isinstance(s, Differs)] == ["bust"]


def test_a_trade_book_that_lags_is_no_bust():
    found = steps(Ours(order(OrdStatus.FILLED, 75)), reading(order(OrdStatus.PARTIALLY_FILLED, 50)))
    assert "trade_cancel" not in heard(found)


def test_absence_means_nothing_before_the_settling_time():
    assert heard(steps(Ours(order(OrdStatus.PENDING_NEW)), reading())) == ["unknown"]
    assert steps(Ours(order(OrdStatus.UNKNOWN, age_s=59)), reading()) == ()
    assert steps(Ours(order(OrdStatus.PENDING_NEW)), reading(), in_flight={"A1"}) == ()


def test_absence_needs_two_readings_and_a_search():
    late = order(OrdStatus.UNKNOWN, age_s=61)
    assert kinds(steps(Ours(late), reading())) == ["Missing"]
    assert kinds(steps(Ours(late), reading(), missed={"A1": 1})) == ["Missing", "Search"]
    found = steps(Ours(late), reading(), missed={"A1": 2}, searched={"A1"})
    assert kinds(found) == ["Lose", "Differs"]
    assert found[0].text == "not found: not in the broker's book after 61 s, in two readings and a search by its tag"


def test_a_working_order_that_is_absent_is_reported_and_kept():
    found = steps(Ours(order(age_s=61)), reading(), missed={"A1": 1})
    assert kinds(found) == ["Differs", "Missing"]
    assert found[0].difference.kind == "missing"


def test_an_order_given_up_that_appears_is_revived_before_it_is_brought_up():
    gone = order(OrdStatus.REJECTED)
    found = steps(Ours(gone, lost=["A1"]), reading(order(OrdStatus.FILLED, 75), fills=[fill()]))
    assert isinstance(found[0], Revive)
    assert heard(found) == ["new", "trade"]
    assert found[1].difference.kind == "late_order"


def test_an_order_refused_by_an_answer_that_the_book_shows_is_taken_up_again_at_once():
    refused = msgspec.structs.replace(order(OrdStatus.REJECTED, age_s=0.5), order_id=None, text="429")
    found = steps(Ours(refused), reading(order()))
    assert kinds(found) == ["Revive", "Differs", "Hear"]
    assert (found[0].order_qty, found[1].difference.kind) == (75, "late_order")
    assert found[1].difference.text == "A1: rejected here (429), and new in the broker's book; it counts again"
    assert heard(found) == ["new"]
    assert steps(Ours(refused), reading(order()), in_flight={"A1"}) == (), "its answer is on the way"


@pytest.mark.parametrize("status", [OrdStatus.FILLED, OrdStatus.CANCELED, OrdStatus.PARTIALLY_FILLED])
def test_a_refused_order_that_traded_is_taken_up_before_its_executions_are_heard(status):
    refused = msgspec.structs.replace(order(OrdStatus.REJECTED, age_s=0.5), order_id=None)
    done = 75 if status is OrdStatus.FILLED else 50
    found = steps(Ours(refused), reading(order(status, done), fills=[fill(qty=done)]))
    assert kinds(found)[:2] == ["Revive", "Differs"]
    state = msgspec.structs.replace(refused, ord_status=OrdStatus.UNKNOWN, leaves_qty=75)
    for report in (s.report for s in found if isinstance(s, Hear)):
        state, odd = apply(state, report)
        assert odd is None
    assert (state.ord_status, state.cum_qty) == (status, done)


@pytest.mark.parametrize("status", [OrdStatus.CANCELED, OrdStatus.EXPIRED, OrdStatus.REJECTED])
def test_what_the_broker_closed_is_taken_up_again_only_when_its_word_is_old(status):
    """A book may lag behind the news of a cancel."""
    assert steps(Ours(order(status, age_s=1)), reading(order())) == ()
    assert kinds(steps(Ours(order(status, age_s=6)), reading(order())))[:2] == ["Revive", "Differs"]


def test_a_filled_order_that_was_enlarged_elsewhere_works_for_the_rest():
    found = steps(Ours(order(OrdStatus.FILLED, 75)), reading(order(cum=75, order_qty=150), fills=[fill()]))
    assert isinstance(found[0], Revive)
    assert found[0].order_qty == 150


@pytest.mark.parametrize("more", [{"symbol": "NIFTY 02SEP2025 24600 CE"}, {"side": Side.SELL}])
def test_another_order_under_our_id_opens_nothing(more):
    found = steps(Ours(order(OrdStatus.REJECTED)), reading(order(**more)))
    assert [s.difference.kind for s in found] == ["state"]


def test_a_closed_order_with_nothing_left_to_trade_stays_closed():
    found = steps(Ours(order(OrdStatus.FILLED, 75)), reading(order(OrdStatus.NEW, 50), fills=[fill(qty=75)]))
    assert [s.difference.kind for s in found if isinstance(s, Differs)] == ["state"]
    assert "Revive" not in kinds(found)


def test_an_order_from_elsewhere_is_adopted_with_all_it_did():
    theirs = order(OrdStatus.CANCELED, 50, cl_ord_id="K7")
    found = steps(Ours(), reading(theirs, fills=[fill("E9", 50, cl_ord_id="K7")]))
    assert kinds(found) == ["Adopt", "Differs"]
    assert [str(r.exec_type) for r in found[0].reports] == ["new", "trade", "canceled"]
    assert found[1].difference.kind == "external_order"
    mine = steps(Ours(), reading(order(cl_ord_id="250829ABCD00007")), own="250829ABCD")
    assert mine[1].difference.kind == "unjournaled_order"


def test_orders_that_no_record_knows_are_named_up_to_a_number():
    ours, theirs = (Difference(k, "K1", SYMBOL, "", "", "") for k in ("unjournaled_order", "external_order"))
    assert unjournaled([]) == unjournaled([Difference("position", "", SYMBOL, "0", "75", "")]) == ""
    assert unjournaled([ours]) == "1 order in the broker's book and not in the journal, taken in: K1"
    assert unjournaled([ours, theirs] * 11).startswith("22 orders in the broker's book")
    assert unjournaled([ours, theirs] * 11).endswith("K1, K1 and 2 more")
    assert unjournaled([ours] * 20).count("K1") == 20


def test_a_position_counts_as_different_only_in_two_readings_that_agree():
    held = {SYMBOL: (75, 90.5)}
    assert kinds(steps(Ours(), reading(held=held))) == ["Suspect"]
    assert kinds(steps(Ours(), reading(held=held), suspects={SYMBOL: (0, 150)})) == ["Suspect"]
    found = steps(Ours(), reading(held=held), suspects={SYMBOL: (0, 75)})
    assert kinds(found) == ["Differs", "Align"]
    assert (found[1].qty, found[1].price_p) == (75, 9050)
    busy = reading(order(cl_ord_id="K1"), held=held)
    assert "Align" not in kinds(steps(Ours(), busy, suspects={SYMBOL: (0, 75)}))


AVERAGES = [
    # ours units and cost, theirs units and average -> signed quantity and price that leave the broker's average
    ((75, 75 * 9000), (150, 95.0), (75, 10000)),
    ((-75, -75 * 9000), (-150, 95.0), (-75, 10000)),
    ((150, 150 * 9000), (75, 90.0), (-75, 9000)),
    ((75, 75 * 9000), (0, 0.0), (-75, 9000)),
    ((75, 75 * 9000), (-75, 110.0), (-150, 11000)),
]


@pytest.mark.parametrize(("ours", "theirs", "wanted"), AVERAGES)
def test_a_position_taken_over_keeps_the_brokers_average(ours, theirs, wanted):
    units = ours[0]
    held = {SYMBOL: theirs} if theirs[0] else {}
    found = steps(
        Ours(), reading(held=held), {SYMBOL: units}, suspects={SYMBOL: (units, theirs[0])}, averages={SYMBOL: ours}
    )
    assert [(s.qty, s.price_p) for s in found if isinstance(s, Align)] == [wanted]


STATUSES = st.sampled_from([s for s in OrdStatus if s is not OrdStatus.DENIED])


@given(STATUSES, STATUSES, st.integers(0, 75), st.integers(0, 75), st.floats(0, 200), st.booleans())
def test_the_plan_is_total_and_places_nothing(mine, theirs, cum, done, age_s, shown):
    ours = Ours(order(mine, cum, age_s))
    book = [order(theirs, done)] if shown else []
    fills = [fill("E1", done)] if done and shown else []
    found = steps(ours, reading(*book, fills=fills, held={}), {SYMBOL: cum} if cum else {})
    assert {type(s) for s in found} <= {Adopt, Hear, Missing, Search, Lose, Revive, Suspect, Align, Differs}


@given(STATUSES, st.lists(st.integers(1, 25), max_size=3), st.permutations(range(3)))
def test_what_the_book_says_folds_into_what_the_book_says(status, parts, mixed):
    """Bringing an unknown order up to a book gives the book's executions, in whatever order they are heard."""
    done = sum(parts)
    if status is OrdStatus.FILLED or done == 75:
        status = OrdStatus.FILLED
        parts = [*parts, 75 - done] if done < 75 else parts
    theirs = msgspec.structs.replace(order(status), cum_qty=sum(parts), traded_value_p=9000 * sum(parts))
    fills = [fill(f"E{n}", qty) for n, qty in enumerate(parts)]
    reports = list(book_reports(theirs, fills, NOW))
    state = order(OrdStatus.UNKNOWN)
    for at in [*mixed, *range(len(reports))]:
        if at < len(reports):
            state, _ = apply(state, reports[at])
    assert (state.cum_qty, state.traded_value_p) == (theirs.cum_qty, theirs.traded_value_p)
    assert isinstance(reports, list)
    assert all(isinstance(r, ExecutionReport) and r.exec_type is not ExecType.DENIED for r in reports)
