"""Faults on request: what goes wrong, on which call, how often. One list for every broker's wire.

Text form: ``NAME[:ARG][@CALL][#COUNT][+SKIP][~CHANCE]``, as ``status:503@POST /orders#1``: the
first matching call that is not skipped, COUNT times (0: for ever), each with CHANCE.
A *stand-in* replaces the answer of a call that is not carried out, unless its argument says
``after`` (``html:502,after``: placed, and then the gateway's page). *Damage* spoils the true
answer of a call that was carried out.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from toolkit.errors import BadData, nearest
from toolkit.sim.servers.http import Reply

__all__ = ["FAULTS", "Fault", "FaultBox", "parse_fault", "spoil", "stand_in"]

STAND_INS: Final = {
    "status": "an error of that HTTP code: status:429,retry-after=2 or status:503,after",
    "html": "a gateway's HTML page: html:502",
    "failure-200": "HTTP 200 with a failure in the body",
    "no-error-type": "status error without error_type",
    "redirect": "302 to the login page",
    "cut-before": "connection reset, nothing carried out or recorded",
    "hang": "no answer, nothing carried out: the connection stays open",
}
DAMAGE: Final = {
    "cut-after": "carried out and recorded, then the connection is reset without an answer",
    "no-reply": "carried out and recorded, no answer: the connection stays open",
    "delay": "the answer comes S seconds later: delay:2.5",
    "empty": "an empty body",
    "truncated": "the body ends in the middle, Content-Length agrees",
    "short": "Content-Length promises the whole body, half of it comes",
    "no-content-type": "no Content-Type header",
    "list": "a JSON list in place of the object",
    "charset": "bytes that are not the charset the header names",
    "big": "the body padded to N megabytes: big:10",
    "chunked": "the body in chunks",
}
STATES: Final = {
    "late": "new orders stay hidden from the books for S real seconds: late:5",
    "empty-quote": "an empty map in answer to quote calls",
    "token-expiry": "the access token dies; log in again",
}
FEED: Final = {
    "handshake": "the handshake is refused with that code: handshake:403",
    "silent": "heartbeats and pongs, but no ticks: silent or silent:S",
    "mute": "nothing is sent at all, pings are answered: mute or mute:S",
    "half-open": "nothing is read or sent any more and nothing closes",
    "drop": "ticker connections break: drop (reset), drop:1001 (closed with that code), drop:mid (inside a frame)",
    "malformed": "a tick frame is spoiled: malformed:cut, count, length, token, short, text or array",
    "duplicate-updates": "each order update comes twice",
    "shuffle-updates": "order updates come in another order",
}
FAULTS: Final = {**STAND_INS, **DAMAGE, **STATES, **FEED}
_TEXT: Final = re.compile(
    r"(?P<name>[a-z][a-z0-9-]*)(:(?P<arg>[^@#+~]*))?(@(?P<call>[^#+~]+))?(#(?P<count>\d+))?(\+(?P<skip>\d+))?(~(?P<chance>\d*\.?\d+))?"
)
LOGIN_PATH: Final = "/login"
_HTML: Final = (
    b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"
)
_TYPES: Final = {
    400: "InputException",
    401: "TokenException",
    403: "TokenException",
    404: "GeneralException",
    429: "NetworkException",
    500: "GeneralException",
    502: "DataException",
    503: "NetworkException",
    504: "NetworkException",
}


class Fault(msgspec.Struct, kw_only=True):
    """One fault in force. ``count`` 0 is for ever; ``seen`` calls matched, ``done`` were spoiled."""

    name: str
    arg: str = ""
    call: str = "*"
    count: int = 0
    skip: int = 0
    chance: float = 1.0
    number: int = 0
    seen: int = 0
    done: int = 0

    @property
    def words(self) -> list[str]:
        """The argument's parts."""
        return [word.strip() for word in self.arg.split(",") if word.strip()]

    @property
    def executes(self) -> bool:
        """Whether the call is carried out."""
        return self.name not in STAND_INS or "after" in self.words

    def figure(self, default: float) -> float:
        """The number in the argument."""
        for word in self.words:
            try:
                return float(word)
            except ValueError:
                continue
        return default


def parse_fault(text: str) -> Fault:
    """Read the text form of a fault.

    Raises
    ------
    BadData
        For an unknown name (naming the nearest) or another form.
    """
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise BadData(f"a fault must read NAME[:ARG][@CALL][#COUNT][+SKIP][~CHANCE], was {text!r}")
    parts = {name: value for name, value in found.groupdict().items() if value is not None}
    return checked(
        Fault(
            name=parts["name"],
            arg=parts.get("arg", ""),
            call=parts.get("call", "*"),
            count=int(parts.get("count", 0)),
            skip=int(parts.get("skip", 0)),
            chance=float(parts.get("chance", 1.0)),
        )
    )


def checked(fault: Fault) -> Fault:
    """Refuse a fault that nobody knows; raises `BadData`."""
    if fault.name not in FAULTS:
        raise BadData(f"no fault {fault.name!r}{nearest(fault.name, FAULTS)}; known: {', '.join(FAULTS)}")
    if not 0.0 <= fault.chance <= 1.0 or fault.count < 0 or fault.skip < 0:
        raise BadData(f"fault {fault.name}: count and skip must not be negative, chance is 0 to 1")
    return fault


class FaultBox:
    """The faults in force, oldest first; chances are drawn from ``seed``."""

    def __init__(self, faults: Iterable[Fault] = (), seed: int = 0) -> None:
        self.faults: list[Fault] = []
        self.random = random.Random(seed)  # noqa: S311 - a simulation's chance, seeded on purpose
        self._count = 0
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> Fault:
        """Put a fault in force."""
        self._count += 1
        made = msgspec.structs.replace(checked(fault), number=self._count, seen=0, done=0)
        self.faults.append(made)
        return made

    def clear(self, name: str | None = None) -> int:
        """Take faults away, all or those of one name; gives how many."""
        before = len(self.faults)
        self.faults = [] if name is None else [f for f in self.faults if f.name != name]
        return before - len(self.faults)

    def draw(self, names: Iterable[str], call: str) -> Fault | None:
        """The first fault among ``names`` that strikes this call; it is counted."""
        for fault in self.faults:
            if fault.name not in names or not _matches(fault.call, call):
                continue
            fault.seen += 1
            if fault.seen <= fault.skip or (fault.count and fault.done >= fault.count):
                continue
            if fault.chance < 1.0 and self.random.random() >= fault.chance:
                continue
            fault.done += 1
            return fault
        return None

    def on(self, name: str, call: str = "*") -> Fault | None:
        """A fault that is a state: in force as long as it is listed and its count is not used up."""
        for fault in self.faults:
            if fault.name == name and (call == "*" or _matches(fault.call, call)):
                return fault
        return None


def stand_in(fault: Fault) -> Reply:
    """The answer that a stand-in gives."""
    code = int(fault.figure(502 if fault.name == "html" else 200))
    if fault.name == "cut-before":
        return Reply(how="reset")
    if fault.name == "hang":
        return Reply(how="hold")
    if fault.name == "html":
        return Reply(status=code, headers={"Content-Type": "text/html"}, body=_HTML)
    if fault.name == "redirect":
        return Reply(status=302, headers={"Location": LOGIN_PATH, "Content-Type": "text/html"}, body=b"")
    headers = {"Content-Type": "application/json"}
    told: dict[str, Any] = {"status": "error", "message": "Simulated failure.", "data": None}
    if fault.name == "status":
        code = int(fault.figure(500))
        text = "Too many requests" if code == 429 else f"Simulated failure {code}."
        told |= {"error_type": _TYPES.get(code, "GeneralException"), "message": text}
        for word in fault.words:
            if word.startswith("retry-after="):
                headers["Retry-After"] = word.removeprefix("retry-after=")
    elif fault.name == "failure-200":
        code, told["error_type"] = 200, "GeneralException"
    else:
        code = int(fault.figure(500))
    return Reply(status=code, headers=headers, body=msgspec.json.encode(told))


def spoil(fault: Fault, reply: Reply) -> Reply:
    """The true answer with the fault's damage."""
    replace = msgspec.structs.replace
    body = reply.body
    if fault.name in ("cut-after", "no-reply"):
        return replace(reply, how="reset" if fault.name == "cut-after" else "hold")
    if fault.name == "delay":
        return replace(reply, delay_s=fault.figure(1.0))
    if fault.name in ("short", "chunked"):
        return replace(reply, how=fault.name)
    if fault.name == "no-content-type":
        return replace(reply, headers={k: v for k, v in reply.headers.items() if k.lower() != "content-type"})
    if fault.name == "big":
        return replace(reply, body=body + b" " * max(0, int(fault.figure(10.0) * 1e6) - len(body)))
    made = {
        "empty": b"",
        "truncated": body[: max(1, len(body) // 2)],
        "list": b"[" + body + b"]",
        "charset": body[:1] + b'"\xff\xfe\x80":1,' + body[1:],
    }
    return replace(reply, body=made[fault.name])


def _matches(pattern: str, call: str) -> bool:
    """``POST /orders`` matches calls that start so; a bare path any method; ``*`` all but the login page."""
    if pattern == "*":
        return not call.endswith(LOGIN_PATH)
    want_method, space, want_path = pattern.strip().rpartition(" ")
    method, _, path = call.partition(" ")
    return path.startswith(want_path) and (not space or want_method.upper() in ("*", method))
