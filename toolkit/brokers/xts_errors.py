"""What an XTS answer proves, as data: (code or words, call, status, shape) -> verdict.

Beside the verdicts of :mod:`~toolkit.brokers.errors_map` three of XTS's own: ``empty`` (an error that
means an empty list), ``done`` (already so), ``split`` (too many at once: ask for fewer). The rows are read
from the top. An order call that fits no row is ``unknown``, a read or a login is ``retryable`` when the
answer cannot be understood and ``refused`` when it is a typed error. HTTP status is a hint only: an
invalid token comes as 400, and so does an empty book.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from toolkit.brokers.errors_map import Answer
from toolkit.brokers.xts_records import Envelope, read_envelope
from toolkit.errors import AuthExpired, BadData, Refused, Retryable, ToolkitError, Unknown

__all__ = ["CALLS", "ROWS", "XtsRow", "classify", "shape_of", "to_error"]

CALLS: Final = ("order", "login", "read", "list", "positions", "history", "subscribe")
"""``order`` changes something and is never repeated; ``list``, ``positions`` and ``history`` are
GETs of lists; ``subscribe`` may be repeated without harm."""


class XtsRow(msgspec.Struct, frozen=True):
    """One line of the table: it fits when a code or a part of the words agrees, without regard to case.

    Empty ``calls`` or ``statuses`` fit all; without codes and texts the shape decides; ``why`` says what proves it.
    """

    verdict: str
    why: str
    codes: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()
    shapes: tuple[str, ...] = ("typed",)


_WRITES: Final = ("order", "login")
_LISTS: Final = ("list", "positions")
_READS: Final = ("read", "list", "positions", "history", "subscribe")

ROWS: Final[tuple[XtsRow, ...]] = (
    XtsRow(
        "refused",
        "xts.md 2: key pair not accepted; a login that failed changed nothing",
        codes=("e-session-0007", "e-token-0002", "e-session-0005"),
        calls=("login",),
    ),
    XtsRow(
        "auth",
        "xts.md 2: token dead, or another login replaced it; comes as HTTP 400",
        codes=("e-session-0007",),
        texts=("invalid token",),
    ),
    XtsRow(
        "auth",
        "xts.md 2: header missing or refused at the front door",
        codes=("e-token-0002", "e-session-0005"),
        texts=("please provide token", "authorization not found"),
    ),
    XtsRow(
        "done",
        "xts.md 2: this session has it",
        codes=("e-session-0002",),
        texts=("already subscribed",),
        calls=("subscribe",),
    ),
    XtsRow(
        "refused",
        "xts.md 2: over the install's number of subscriptions",
        codes=("e-session-0004",),
        texts=("subscription limit",),
        calls=("subscribe",),
    ),
    XtsRow("refused", "xts.md 2: the gateway counts before it hands on", codes=("e-apirl-0004",), calls=_WRITES),
    XtsRow(
        "retryable",
        "xts.md 2: too many calls; back off",
        codes=("e-apirl-0004",),
        texts=("max limit", "rate limit"),
        calls=_READS,
    ),
    XtsRow("empty", "xts.md 2: an empty list, for a GET of a list only", texts=("data not available",), calls=_LISTS),
    XtsRow(
        "empty",
        "xts.md 2: some installs say so of no position",
        codes=("e-property-validation-failed",),
        calls=("positions",),
    ),
    XtsRow(
        "retryable", "xts.md 2: not visible yet, shortly after placing", codes=("e-orders-0001",), calls=("history",)
    ),
    XtsRow(
        "retryable",
        "xts.md 2: not visible yet, shortly after placing",
        texts=("not found", "data not available"),
        calls=("history",),
    ),
    XtsRow("refused", "xts.md 2: bad field", codes=("e-property-validation-failed",)),
    XtsRow(
        "refused",
        "xts.md 2: the client is not allowed for this login",
        codes=("e-trade-00002", "e-user-0001"),
        texts=("not mapped under dealer", "no rms limit assign"),
    ),
    XtsRow("split", "xts.md 2: too many instruments in one call", codes=("e-quotes-0003",), calls=("read",)),
    XtsRow("refused", "xts.md 2: instrument unknown", codes=("e-instrument-0001",)),
    XtsRow(
        "refused",
        "the words say that there is nothing to change",
        codes=(),
        texts=("order not found", "order does not exist"),
        calls=("order",),
    ),
    XtsRow(
        "refused",
        "the words say that the address was turned away (static-IP rule)",
        texts=("static ip", "unregistered ip", "ip address", "ip is not", "not whitelisted"),
        calls=("order",),
    ),
    XtsRow("refused", "the request itself was not accepted", texts=("bad request",), statuses=(400,), calls=("order",)),
    XtsRow("refused", "a login that failed changed nothing", calls=("login",)),
    XtsRow("retryable", "passing by its HTTP code", statuses=(429, 500, 502, 503, 504), calls=_READS, shapes=()),
    XtsRow("refused", "asking the same again gives the same", calls=_READS),
    XtsRow(
        "refused",
        "the server names a route that it does not have; nothing was carried out",
        texts=("cannot post", "cannot put", "cannot delete"),
        statuses=(404,),
        shapes=("broken",),
    ),
    XtsRow(
        "refused",
        "no such route: check root and md_prefix",
        statuses=(404,),
        calls=(*_READS, "login"),
        shapes=("broken",),
    ),
    XtsRow("refused", "not a byte of the request left this machine", calls=_WRITES, shapes=("no_link",)),
    XtsRow("retryable", "a read changes nothing", calls=_READS, shapes=("no_link", "cut", "broken", "odd", "untyped")),
)
"""An ``e-orders-...`` error of an order call is by itself no proof: RMS and exchange verdicts come by event or book."""


def classify(call: str, answer: Answer) -> str:
    """Find what an answer proves about a call; ``ok`` when it is in order.

    >>> classify("list", Answer(status=400, shape="typed", error_type="e-orders-0005", text="Data Not Available"))
    'empty'
    >>> classify("order", Answer(status=400, shape="typed", error_type="e-orders-0005", text="Data Not Available"))
    'unknown'
    """
    if answer.shape == "ok":
        return "ok"
    code, text = answer.error_type.lower(), answer.text.lower()
    for row in ROWS:
        if (row.calls and call not in row.calls) or (row.shapes and answer.shape not in row.shapes):
            continue
        if row.statuses and answer.status not in row.statuses:
            continue
        named = code in row.codes or any(part in text for part in row.texts)
        if named or not (row.codes or row.texts):
            return row.verdict
    return "unknown" if call == "order" else "retryable"


def to_error(name: str, what: str, call: str, answer: Answer) -> ToolkitError:
    """Make the error of our tree that says what the caller may do; one line, no body, no secret."""
    verdict = classify(call, answer)
    told = answer.text or _WORDS[answer.shape]
    parts = " ".join(part for part in (str(answer.status or ""), answer.error_type) if part)
    code = f" ({parts})" if parts else ""
    wait = "" if answer.retry_after_s is None else f"; it asks to wait {answer.retry_after_s:g} s"
    if verdict == "auth":
        return AuthExpired(
            f"{name} says the token is no longer valid{code}; nothing was done; run: toolkit login {name}"
        )
    if verdict in ("refused", "done", "split", "empty"):
        return Refused(f"{name} refused {what}{code}: {told}{wait}")
    if verdict == "unknown":
        return Unknown(f"{name} gave no clear answer to {what}{code}: {told}; it may be done: see the order book")
    return Retryable(f"{name} did not answer {what}{code}: {told}{wait}; ask again later")


_WORDS: Final = {
    "ok": "done",
    "typed": "an error without words",
    "untyped": "an error without code and words",
    "odd": "an answer in no documented form",
    "broken": "an answer that cannot be read",
    "redirect": "a redirect, which is not followed",
    "no_link": "no connection could be made",
    "cut": "the connection broke or time ran out",
}
_TAGS: Final = re.compile(rb"<[^>]{0,200}>")


def shape_of(status: int, content_type: str | None, body: bytes | None) -> tuple[Answer, Any]:
    """Tell what an answer looks like, and give its result when it is in order.

    Total: any status, content type and bytes give an :class:`~toolkit.brokers.errors_map.Answer`.
    A success counts only with a 2xx status: a contradiction proves nothing.
    """
    if 300 <= status < 400:
        return Answer(status=status, shape="redirect"), None
    if body is None:
        return Answer(status=status, shape="broken", text="the answer is larger than allowed"), None
    kind = (content_type or "").split(";")[0].strip().lower()
    if "json" not in kind:
        told = "an answer without a content type" if not kind else f"an answer of type {kind[:40]}"
        words = _clean(_TAGS.sub(b" ", body[:2000]).decode("utf-8", "replace"))[:80] if kind.startswith("text/") else ""
        return Answer(status=status, shape="broken", text=f"{told}: {words}" if words else told), None
    try:
        envelope = read_envelope(body)
    except BadData as error:
        return Answer(status=status, shape="odd" if "documented" in str(error) else "broken", text=str(error)), None
    return _answer(status, envelope)


def _answer(status: int, envelope: Envelope) -> tuple[Answer, Any]:
    code, text = _clean(envelope.code)[:60], _clean(envelope.text)[:300]
    if envelope.ok:
        if 200 <= status < 300:
            return Answer(status=status, shape="ok", error_type=code, text=text), envelope.result
        return Answer(status=status, shape="odd", text=text), None
    shape = "typed" if envelope.typed or code else "untyped"
    return Answer(status=status, shape=shape, error_type=code, text=text), envelope.result


def _clean(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
