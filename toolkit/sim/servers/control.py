"""The simulator's own endpoints under ``/__sim/``: clock, faults, record, halts. For tests and teachers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from toolkit.errors import BadData, ToolkitError
from toolkit.sim.kite_form import WireRefusal
from toolkit.sim.servers.faults import FAULTS, Fault, parse_fault
from toolkit.sim.servers.http import Call, Reply, json_reply
from toolkit.sim.servers.load import read_at
from toolkit.sim.servers.server import LoopbackServer

__all__ = ["Control"]

_ROOT: Final = "/__sim/"


class Control:
    """Answers the control calls of one server. A call from a web page (it has an Origin) is refused."""

    def __init__(self, server: LoopbackServer) -> None:
        self.server = server
        self.acts: dict[str, Callable[[Call, dict[str, Any]], Any]] = {
            "GET state": self._state,
            "GET record": self._record,
            "GET faults": lambda call, body: {"known": FAULTS, "faults": self.server.faults.faults},
            "POST faults": self._fault,
            "DELETE faults": self._clear,
            "POST clock": self._clock,
            "POST halt": self._halt,
            "POST resume": self._resume,
            "POST expire": self._expire,
        }

    def answer(self, call: Call) -> Reply:
        """Answer one control call."""
        host = call.headers.get("host", "").rpartition(":")[0]
        if "origin" in call.headers or host not in ("127.0.0.1", "localhost"):
            return json_reply({"error": "control calls come from this machine's own programs only"}, 403)
        act = self.acts.get(f"{call.method} {call.path.removeprefix(_ROOT)}")
        if act is None:
            return json_reply({"error": f"no such control; there is {', '.join(sorted(self.acts))}"}, 404)
        try:
            body = msgspec.json.decode(call.body) if call.body else {}
            if not isinstance(body, dict):
                raise BadData("the body must be a JSON object")
            if "record" not in call.path:
                self.server.step()
            return json_reply(act(call, body))
        except WireRefusal as refusal:
            return json_reply({"error": str(refusal), "error_type": refusal.error_type}, 400)
        except (ToolkitError, msgspec.MsgspecError, TypeError, ValueError, KeyError) as error:
            return json_reply({"error": str(error)}, 400)

    def _state(self, call: Call, body: dict[str, Any]) -> dict[str, Any]:
        server = self.server
        open_ns, close_ns = server.world.bounds
        now_ns = server.clock.now_ns()
        return {
            "now": server.now_text(),
            "now_ns": now_ns,
            "speed": server.clock.speed,
            "market": "open" if open_ns <= now_ns < close_ns else "closed",
            "data_ended": server.world.next_ns() is None,
            **self.more_state(),
        }

    def more_state(self) -> dict[str, Any]:
        """What this broker adds to the state."""
        return {}

    def _record(self, call: Call, body: dict[str, Any]) -> dict[str, Any]:
        query = dict(call.query)
        after, kind = int(query.get("after", 0)), query.get("kind")
        rows = [row for row in self.server.record.kept[after:] if kind in (None, row["kind"])]
        return {"path": str(self.server.record.path), "records": rows}

    def _fault(self, call: Call, body: dict[str, Any]) -> Fault:
        fault = parse_fault(body["text"]) if "text" in body else msgspec.convert(body, Fault)
        if fault.name == "token-expiry" and "when" not in body:
            self.server.expire()
            return fault
        return self.server.faults.add(fault)

    def _clear(self, call: Call, body: dict[str, Any]) -> dict[str, int]:
        return {"cleared": self.server.faults.clear(dict(call.query).get("name"))}

    def _clock(self, call: Call, body: dict[str, Any]) -> dict[str, Any]:
        clock = self.server.clock
        if "speed" in body:
            clock.run(float(body["speed"]))
        if "at" in body:
            at = body["at"]
            clock.jump(at if isinstance(at, int) else read_at(str(at), self.server.world))
        if "advance_s" in body:
            clock.jump(clock.now_ns() + round(float(body["advance_s"]) * 1e9))
        self.server.step()
        self.server.wake()
        return {"now": self.server.now_text(), "now_ns": clock.now_ns(), "speed": clock.speed}

    def _halt(self, call: Call, body: dict[str, Any]) -> dict[str, Any]:
        self.server.world.exchange.halt(self._symbols(body))
        return {"halted": body.get("symbols", "all")}

    def _resume(self, call: Call, body: dict[str, Any]) -> dict[str, Any]:
        self.server.world.exchange.resume(self._symbols(body))
        return {"resumed": body.get("symbols", "all")}

    def _symbols(self, body: dict[str, Any]) -> list[str] | None:
        """Our symbols of ``EXCHANGE:TRADINGSYMBOL`` names."""
        names = body.get("symbols")
        if names is None:
            return None
        by_name = self.server.world.roster.by_name
        return [by_name[tuple(name.split(":", 1))].instrument.symbol for name in names]

    def _expire(self, call: Call, body: dict[str, Any]) -> dict[str, bool]:
        self.server.expire()
        return {"expired": True}
