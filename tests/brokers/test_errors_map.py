from __future__ import annotations

import itertools

import pytest

from toolkit.brokers.errors_map import CALLS, ROWS, SHAPES, Answer, classify, to_error
from toolkit.errors import AuthExpired, Refused, Retryable, Unknown

STATUSES = (0, 200, 302, 400, 401, 403, 404, 405, 410, 418, 429, 500, 502, 503, 504)
TYPES = ("", "TokenException", "InputException", "MarginException", "HoldingException", "OrderException", "NetworkException",
         "DataException", "GeneralException", "PermissionException", "UserException", "MadeUpException")  # fmt: skip
TEXTS = ("", "Order request timed out. Please check the order book.", "Markets are closed right now.")


def every():
    for call, status, shape, kind, text in itertools.product(CALLS, STATUSES, SHAPES, TYPES, TEXTS):
        if shape != "ok":
            yield call, Answer(status=status, shape=shape, error_type=kind if shape == "typed" else "", text=text)


def test_the_table_is_well_formed():
    for row in ROWS:
        assert row.broker == "kite"
        assert set(row.calls) <= set(CALLS)
        assert set(row.shapes) <= set(SHAPES)
        assert row.verdict in {"refused", "unknown", "retryable", "auth"}
        assert row.why


def test_an_order_is_refused_only_with_proof():
    """The independent rule: a documented error of a kind that proves it, or no connection at all."""
    proofs = {
        400: {"InputException", "MarginException", "HoldingException", "UserException", "PermissionException"},
        403: {"PermissionException", "UserException"},
        429: {"NetworkException"},
        404: {"GeneralException", "InputException"}, 405: {"GeneralException", "InputException"},
        410: {"GeneralException", "InputException"},
    }  # fmt: skip
    seen = set()
    for call, answer in every():
        if call != "order":
            continue
        verdict = classify("kite", call, answer)
        seen.add(verdict)
        typed = answer.shape == "typed"
        if answer.shape == "no_link" or (typed and answer.error_type in proofs.get(answer.status, ())):
            assert verdict == "refused", answer
        elif typed and answer.error_type == "TokenException" and answer.status in (401, 403):
            assert verdict == "auth", answer
        elif typed and answer.error_type == "OrderException" and answer.status == 400 and "closed" in answer.text:
            assert verdict == "refused", answer
        else:
            assert verdict == "unknown", answer
    assert seen == {"refused", "auth", "unknown"}


def test_a_read_is_never_unknown():
    for call, answer in every():
        if call == "read":
            assert classify("kite", call, answer) in {"refused", "auth", "retryable"}


def test_another_broker_has_no_rows_yet_and_proves_nothing():
    assert classify("nobody", "order", Answer(status=400, shape="typed", error_type="InputException")) == "unknown"
    assert classify("nobody", "read", Answer(status=400, shape="typed", error_type="InputException")) == "retryable"


@pytest.mark.parametrize(
    ("call", "answer", "kind"),
    [
        ("order", Answer(status=403, shape="typed", error_type="TokenException"), AuthExpired),
        ("order", Answer(status=400, shape="typed", error_type="MarginException", text="Insufficient funds."), Refused),
        ("order", Answer(status=502, shape="broken"), Unknown),
        ("order", Answer(shape="cut"), Unknown),
        ("read", Answer(status=429, shape="typed", error_type="NetworkException", retry_after_s=2.0), Retryable),
    ],
)  # fmt: skip
def test_errors_say_what_to_do_in_one_line(call, answer, kind):
    error = to_error("kite", "order A1", call, answer)
    assert type(error) is kind
    assert "\n" not in str(error)
    assert answer.text in str(error)
    if kind is Retryable:
        assert "wait 2 s" in str(error)


def test_order_exceptions_prove_nothing_by_themselves():
    late = Answer(status=400, shape="typed", error_type="OrderException", text="Order request timed out.")
    assert classify("kite", "order", late) == "unknown"
