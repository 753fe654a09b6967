"""What a broker's answer proves, as data: (broker, call, status, shape) -> verdict.

Four verdicts: ``refused`` (certainly not done), ``unknown`` (may be done), ``retryable`` (a
read failed for a passing reason) and ``auth`` (the token is dead; nothing was done). The rows
are read from the top and the first that fits decides. An order call that fits no row is
``unknown``, a read that fits none is ``retryable``: a row is added only with proof.
"""

from __future__ import annotations

from typing import Final

import msgspec

from toolkit.errors import AuthExpired, Refused, Retryable, ToolkitError, Unknown

__all__ = ["CALLS", "ROWS", "SHAPES", "Answer", "Row", "classify", "to_error"]

SHAPES: Final = (
    "ok",  # a 2xx answer in the documented success form
    "typed",  # a documented error with its type
    "untyped",  # a documented error that lost its type
    "odd",  # JSON, but not in a documented form: a list, no data, a field of the wrong kind
    "broken",  # the body cannot be read: empty, cut, HTML, wrong characters, no content type, too big
    "redirect",  # sent elsewhere; never followed
    "no_link",  # no connection was made: not a byte of the request left
    "cut",  # the connection broke, or time ran out, after the request may have left
)
"""What a body or a failure looks like."""

CALLS: Final = ("order", "login", "read")
"""``order`` changes something at the broker and is never repeated; ``read`` may be."""


class Row(msgspec.Struct, frozen=True):
    """One line of the table. Empty ``statuses``, ``types`` or ``texts`` fit all; ``texts`` are parts of the
    broker's words; ``why`` says what proves it."""

    broker: str
    calls: tuple[str, ...]
    statuses: tuple[int, ...]
    shapes: tuple[str, ...]
    types: tuple[str, ...]
    verdict: str
    why: str
    texts: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back: HTTP status (0: none), shape, the broker's error type and text, seconds to wait."""

    status: int = 0
    shape: str
    error_type: str = ""
    text: str = ""
    retry_after_s: float | None = None


_ALL: Final = CALLS
_WRITES: Final = ("order", "login")
_READ: Final = ("read",)

ROWS: Final[tuple[Row, ...]] = (
    Row("kite", _ALL, (401, 403), ("typed",), ("TokenException",), "auth", "kite.md 3: session invalid or expired"),
    Row(
        "kite",
        _ALL,
        (403,),
        ("typed",),
        ("PermissionException", "PermissionError", "UserException", "TwoFAException"),
        "refused",
        "kite.md 3: not allowed for this app or account; refused at the front door",
    ),
    Row(
        "kite",
        _ALL,
        (400,),
        ("typed",),
        ("InputException", "MarginException", "HoldingException", "UserException", "PermissionException"),
        "refused",
        "kite.md 5.3: refused before RMS, does not appear in the book",
    ),
    Row(
        "kite",
        ("order",),
        (400,),
        ("typed",),
        ("OrderException",),
        "refused",
        "the words themselves say that nothing was done; other words prove nothing ('Order request timed out')",
        (
            "markets are closed",
            "after market order",
            "cannot be changed",
            "cannot be modified",
            "cannot be cancelled",
            "couldn't find",
            "does not exist",
            "quantity cannot be",
            "need a last traded price",
        ),
    ),
    Row("kite", ("login",), (400, 403), ("typed",), (), "refused", "a login that failed changed nothing"),
    Row("kite", _WRITES, (429,), ("typed",), ("NetworkException",), "refused", "kite.md 4: fails at once when limited"),
    Row(
        "kite",
        _WRITES,
        (404, 405, 410),
        ("typed",),
        ("GeneralException", "InputException"),
        "refused",
        "kite.md 3: no such route or method; nothing was carried out",
    ),
    Row("kite", _WRITES, (), ("no_link",), (), "refused", "not a byte of the request left this machine"),
    Row("kite", _READ, (400, 404, 405, 410), ("typed",), (), "refused", "asking the same again gives the same"),
    Row("kite", _READ, (429, 500, 502, 503, 504), (), (), "retryable", "passing by its HTTP code"),
    Row("kite", _READ, (), ("no_link", "cut", "broken", "odd"), (), "retryable", "a read changes nothing"),
)
"""An ``OrderException`` by itself is on purpose no proof: one of its texts is 'Order request timed out'."""


def classify(broker: str, call: str, answer: Answer) -> str:
    """Find what an answer proves about a call; ``ok`` when it is in order.

    >>> classify("kite", "order", Answer(status=504, shape="broken"))
    'unknown'
    >>> classify("kite", "order", Answer(status=400, shape="typed", error_type="MarginException"))
    'refused'
    """
    if answer.shape == "ok":
        return "ok"
    for row in ROWS:
        if row.broker != broker or call not in row.calls or (row.shapes and answer.shape not in row.shapes):
            continue
        if (row.statuses and answer.status not in row.statuses) or (row.types and answer.error_type not in row.types):
            continue
        if row.texts and not any(part in answer.text.lower() for part in row.texts):
            continue
        return row.verdict
    return "retryable" if call == "read" else "unknown"


def to_error(broker: str, what: str, call: str, answer: Answer) -> ToolkitError:
    """Make the error of our tree that says what the caller may do; one line, no body, no secret."""
    verdict = classify(broker, call, answer)
    told = answer.text or _WORDS[answer.shape]
    code = f" ({answer.status}{' ' + answer.error_type if answer.error_type else ''})" if answer.status else ""
    wait = "" if answer.retry_after_s is None else f"; it asks to wait {answer.retry_after_s:g} s"
    if verdict == "auth":
        return AuthExpired(f"{broker} says the token is no longer valid{code}; run: toolkit login {broker}")
    if verdict == "refused":
        return Refused(f"{broker} refused {what}{code}: {told}{wait}")
    if verdict == "unknown":
        return Unknown(f"{broker} gave no clear answer to {what}{code}: {told}; it may be done: see the order book")
    return Retryable(f"{broker} did not answer {what}{code}: {told}{wait}; ask again later")


_WORDS: Final = {
    "ok": "done",
    "typed": "an error without words",
    "untyped": "an error without its type",
    "odd": "an answer in no documented form",
    "broken": "an answer that cannot be read",
    "redirect": "a redirect, which is not followed",
    "no_link": "no connection could be made",
    "cut": "the connection broke or time ran out",
}
