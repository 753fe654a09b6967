"""Several legs as one order: by least margin, a failure policy, a naked clock; and a stop on their premium."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import ClassVar, Final

import msgspec

from toolkit.errors import BadData
from toolkit.orders.algo import IN_ITS_TIME, Ask, World
from toolkit.orders.algo_ledger import SECOND_NS, WORK, Line
from toolkit.orders.algo_peg import CHASE, Chasing
from toolkit.orders.algo_price import far_p
from toolkit.orders.leg_plan import Stages, buys_first, hedges, read_stages
from toolkit.strategies.protocol import Param
from toolkit.types import Order, OrderRequest, OrdStatus, Side

__all__ = ["Legs", "PremiumStop"]

_CONDITIONS: Final = ("stop", "target", "trail")
_SHOWN_NS: Final = 15 * SECOND_NS
_LEGS: Final[dict[str, Param]] = {
    **WORK,
    **CHASE,
    "kind": Param(default="auto", unit="", choices=("auto", "entry", "exit"), doc="auto is exit where all legs close"),
    "fail": Param(
        default="unwind", unit="", choices=("complete", "unwind", "hold_hedge"), doc="what a failed entry does"
    ),
    "release": Param(
        default="full", unit="", choices=("full", "pro_rata", "together"), doc="when a stage follows those before it"
    ),
    "order": Param(default="", unit="", doc="stages of legs, 2,4;1,3; empty is by least margin, else buys first"),
    "timeout_s": Param(default=60.0, unit="s", low=1, high=86400, doc="a leg not filled by then has failed"),
    "naked_s": Param(default=10.0, unit="s", low=0, high=3600, doc="longest time sold without its hedge"),
}


class Legs(Chasing):
    """Trade several legs as one, in stages, with a policy for failure.

    **Order.** An entry's legs go in the order of least peak margin, found when the parent is accepted and kept in its
    policy as ``order`` (``2,4;1,3``: legs 2 and 4, then 1 and 3); what goes short never before the buys that hedge it.
    Where the margin is unknown: shorts bought back, then the other buys, then the sells. An exit buys back its shorts
    first, then sells, whatever ``order`` says. ``release=full`` sends a stage when every leg of those before it is
    filled, ``pro_rata`` the share of lots that they have covered, ``together`` all at once. Each leg is a chase
    (``step_s``, ``step_ticks``, ``through_ticks``, ``give_pct``, ``give_ticks``) within its own limit. ``kind=exit``
    caps each child at the broker's net quantity of the moment, and a leg closed elsewhere counts as done; ``auto`` is
    an exit where every leg closes what is held at the start, an entry where none does, and stops to ask in between.

    **Failure** is a leg unfilled after ``timeout_s`` seconds, one refused ``max_refusals`` times in a row, or more sold
    than the buys cover for ``naked_s`` seconds (legs without a buy have no hedge and no clock). Then, on an entry:
    ``complete`` crosses what is left with new protection, and falls back to ``hold_hedge`` when that fails for
    ``timeout_s`` seconds too, or when it is naked; ``hold_hedge`` withdraws and buys back what was sold; ``unwind``
    closes the longs as well, after the shorts. An exit is never unwound: it goes on, crossing, its sells only as far
    as the buys cover. Closing orders are capped at the broker's net quantity, renew their protection every
    ``timeout_s`` seconds and never give up before the close.
    Limits: not atomic at the exchange; an ``unknown`` child counts as traded where that is worse, and its leg waits
    for it, for a second order could trade against it or twice.
    """

    name = "legs"
    most_legs = 20
    params: ClassVar[dict[str, Param]] = _LEGS

    def __init__(self, parent: OrderRequest | Sequence[OrderRequest], **values: object) -> None:
        super().__init__(parent, **values)
        self._order = read_stages(self.p["order"], len(self.lines)) if self.p["order"] else []

    def order_by_margin(self) -> str:
        """What the legs are, unless their order was said."""
        return "" if self._order else str(self.p["kind"])

    def order_said(self) -> Stages:
        """The stages of the parameter ``order``."""
        return [list(stage) for stage in self._order]

    def work(self, w: World) -> None:
        """One look: clock, failure, then the phase's own work."""
        if "exit" not in self.m:
            closes = [self.held(w, line) > 0 for line in self.lines]
            if self.p["kind"] == "auto" and any(closes) and not all(closes):
                self.finish("stopped: some legs close a position and some do not; say kind=entry or kind=exit")
                return
            self.m["exit"] = self.p["kind"] == "exit" or (self.p["kind"] == "auto" and all(closes))
            self.m["phase"], self.m["phase_ns"] = "work", w.now_ns
        if "stages" not in self.m:
            self.m["stages"] = self._planned(w)
        late = w.now_ns - self.m["phase_ns"] >= round(self.p["timeout_s"] * SECOND_NS)
        naked = self._naked(w)
        if self.m["phase"] == "unwind":
            if late:
                self._enter(w, "unwind", self.m["why"])
            self._unwind(w)
            return
        if self._complete(w):
            self.finish("filled" if self._whole(w) else "closed, partly elsewhere")
            return
        why = f"time-out after {self.p['timeout_s']:g} s" if late else naked or self.m.get("refused", "")
        if why:
            self._fail(w, why)
        if self.m["phase"] == "unwind":
            self._unwind(w)
            return
        self._advance(w)

    def refused(self, w: World, line: Line, count: int, order: Order) -> None:
        """A leg refused too often has failed; a closing leg tries on, every ``retry_s``."""
        text = f"{count} orders in {line.symbol} refused in a row: {order.text or order.ord_status}"
        if self.m["phase"] == "work":
            self.m["refused"] = text
        else:
            self.say(f"ALARM: {text}")

    def progress(self, w: World) -> str:
        """How far the legs are, and what was taken back."""
        back = [(self.filled(w, self._back(line)), line.symbol) for line in self.lines]
        taken = ", ".join(f"{qty} {symbol}" for qty, symbol in back if qty)
        return super().progress(w) + (f"; taken back {taken}" if taken else "")

    def line_now(self, line: Line) -> Line:
        """The line; on an exit it only reduces."""
        return msgspec.structs.replace(line, reduce=True) if self.m.get("exit") else line

    def _fail(self, w: World, why: str) -> None:
        self.m.pop("refused", None)
        if self.m["exit"]:
            self._enter(w, "complete", why)
        elif self.m["phase"] == "complete":
            self.m["fail"] = "hold_hedge"
            self._enter(w, "unwind", f"{self.m['why']}, then {why}")
        elif self.p["fail"] == "complete" and not why.startswith("naked"):
            self._enter(w, "complete", why)
        else:
            self.m["fail"] = "unwind" if self.p["fail"] == "unwind" else "hold_hedge"
            self._enter(w, "unwind", why)

    def _enter(self, w: World, phase: str, why: str) -> None:
        """Begin a phase, with protection around the market of now."""
        self.m["phase"], self.m["phase_ns"], self.m["why"] = phase, w.now_ns, why
        for line in self.lines:
            self.anew(line)
            self.anew(self._back(line))

    def _advance(self, w: World) -> None:
        hurry = self.m["phase"] == "complete"
        if hurry:
            self.say(f"completing: {self.m['why']}")
        for line in map(self.line_now, self.lines):
            most = self._allowed(w, line)
            if most > self.filled(w, line) or not self.idle(w, line):
                quote = self.fresh(w, line.symbol)
                price_p = None if quote is None else self.chased_p(w, line, quote, now=hurry)
                self._work_line(w, line, most, price_p)
            elif self.filled(w, line) < line.qty and not self._gone(w, line):
                self.say(f"{line.symbol} waits for {self._first(w, line)}")

    def _work_line(self, w: World, line: Line, most: int, price_p: int | None) -> None:
        self.keep(w, line, most, lambda order: price_p)

    def _planned(self, w: World) -> Stages:
        """The legs' stages; an exit has two, so that no leg that cannot trade keeps a short from being bought back."""
        sides = [line.side for line in self.lines]
        if self._order and not self.m["exit"]:
            return self._order
        return buys_first(sides, [not self.m["exit"] and self.held(w, line) > 0 for line in self.lines])

    def _before(self, line: Line) -> list[Line]:
        """The legs of the stages before a leg's own."""
        found: list[Line] = []
        for stage in self.m["stages"]:
            members = [self.lines[n] for n in stage]
            if any(member.key == line.key for member in members):
                break
            found += members
        return found

    def _first(self, w: World, line: Line) -> str:
        """What a leg waits for."""
        left = [n for n in self._before(line) if self.filled(w, n) < n.qty]
        return "the buys" if all(n.side is Side.BUY for n in left) else ", ".join(n.symbol for n in left)

    def _allowed(self, w: World, line: Line) -> int:
        """Units of a leg that may have been asked for by now."""
        before, release = self._before(line), self.p["release"]
        if not before or (release == "together" and not (self.m["exit"] and self.m["phase"] == "complete")):
            return line.qty
        lot = w.instrument(line.symbol).lot
        part, whole = self._covered(w, before)
        if release == "full":
            return line.qty if part >= whole else 0
        return line.qty * part // whole // lot * lot

    def _covered(self, w: World, lines: Sequence[Line]) -> tuple[int, int]:
        """Share of the least filled of some legs, as (filled, of); what an exit finds closed elsewhere is covered."""
        shares = [(1, 1)]
        for line in lines:
            gone = self._gone(w, self.line_now(line))
            shares.append((1, 1) if gone else (min(self.filled(w, line), line.qty), line.qty))
        return min(shares, key=lambda share: Fraction(*share))

    def _hedges(self, w: World, line: Line) -> list[Line]:
        """The buys that a sell leans on: those of earlier stages; once it is short without one, all that hedge it."""
        terms = {n.key: w.instrument(n.symbol) for n in self.lines}
        found = [n for n in self._before(line) if n.side is Side.BUY]
        if w.net(line.symbol) < 0 and not any(hedges(terms[n.key], terms[line.key]) for n in found):
            found += [
                n for n in self.lines if n.side is Side.BUY and n not in found and hedges(terms[n.key], terms[line.key])
            ]
        return found

    def _naked(self, w: World) -> str:
        """Run the clock on what is sold beyond what its hedges cover; its reason once it has run out."""
        over = []
        for line in self.lines:
            if line.side is Side.SELL:
                part, whole = self._covered(w, self._hedges(w, line))
                if self._sold(w, line) * whole > part * line.qty:
                    over.append(line)
        if not over:
            self.m.pop("naked_ns", None)
            return ""
        since_ns = self.m.setdefault("naked_ns", w.now_ns)
        seconds = (w.now_ns - since_ns) / SECOND_NS
        self.say(f"NAKED for {seconds:.0f} s in {', '.join(line.symbol for line in over)}")
        return f"naked for {seconds:.0f} s" if seconds >= self.p["naked_s"] else ""

    def _sold(self, w: World, line: Line) -> int:
        """Units sold and still open to harm: unknown children count, what was bought back again does not."""
        unknown = sum(o.leaves_qty for _, o in self.working(w, line) if o.ord_status is OrdStatus.UNKNOWN)
        return self.filled(w, line) + unknown - self.filled(w, self._back(line))

    def _gone(self, w: World, line: Line) -> bool:
        """Whether an exit's leg has nothing left to close."""
        return line.reduce and not self.held(w, line) and self.idle(w, line)

    def _whole(self, w: World) -> bool:
        return all(self.filled(w, line) >= line.qty for line in self.lines)

    def _complete(self, w: World) -> bool:
        return all(self.filled(w, line) >= line.qty or self._gone(w, self.line_now(line)) for line in self.lines)

    # ---- closing what a failed entry has traded

    def _back(self, line: Line) -> Line:
        """The reducing line that takes a leg back."""
        side = Side.SELL if line.side is Side.BUY else Side.BUY
        return msgspec.structs.replace(line, key=f"U{line.key[1:]}", side=side, limit_p=None, reduce=True)

    def _unwind(self, w: World) -> None:
        """Withdraw; buy back what was sold; then, for ``unwind``, sell what was bought."""
        keep = self.m["fail"] == "hold_hedge"
        self.say(f"{'holding the hedges' if keep else 'unwinding'}: {self.m['why']}")
        clear = [self.clear(w, line) for line in self.lines]
        if not all(clear):
            busy = ", ".join(line.symbol for line, gone in zip(self.lines, clear, strict=True) if not gone)
            self.say(f"withdrawing {busy} first")
            self._buy_back(w)
            return
        if self._buy_back(w) and (keep or self._take_back(w, Side.BUY)):
            self.finish(f"{'hedges held' if keep else 'unwound'}: {self.m['why']}")

    def _buy_back(self, w: World) -> bool:
        return self._take_back(w, Side.SELL)

    def _take_back(self, w: World, side: Side) -> bool:
        """Reverse the fills of every leg of one side; True when none is left to reverse."""
        done = True
        for leg in self.lines:
            line = self._back(leg)
            traded = self.filled(w, leg)
            if leg.side is not side or not traded or self.filled(w, line) >= traded or self._gone(w, line):
                continue
            done = False
            if self.idle(w, leg):
                quote = self.fresh(w, line.symbol)
                price_p = None if quote is None else self.chased_p(w, line, quote, now=True)
                self._work_line(w, line, traded, price_p)
        return done


class PremiumStop(Legs):
    """Close a set of option legs when its net premium reaches a stop or a target.

    The legs are the orders that close the set; its cost is what closing one set costs in rupees at the middle (or
    ``price=far``, at the far touches), buys less sells, a set being the legs' quantities over their largest common
    factor: a short straddle sold at 200 costs 200 to close, a long one bought at 200 costs -200. It closes when the
    cost rises to ``stop``, falls to ``target``, or rises ``trail`` above its lowest (``use`` names which of them count:
    "stop", "stop,target", "trail"...), for ``confirm_s`` seconds on end; then exactly as an exit of ``legs``: shorts
    bought back first, capped at the broker's net quantity.
    Limits: held here, as no broker holds it, and lives with this process; needs a fresh quote of every leg and says
    when it is blind; a set closed elsewhere ends it.
    """

    name = "premium_stop"
    params: ClassVar[dict[str, Param]] = {
        **_LEGS,
        "use": Param(default="stop", unit="", doc="conditions that count, by commas: stop, target, trail"),
        "stop": Param(default=0.0, unit="Rs", low=-1e6, high=1e6, doc="cost of a set at which it closes"),
        "target": Param(default=0.0, unit="Rs", low=-1e6, high=1e6, doc="cost of a set that is good enough"),
        "trail": Param(default=0.0, unit="Rs", low=0, high=1e6, doc="rise above the lowest cost"),
        "price": Param(default="mid", unit="", choices=("mid", "far"), doc="what a leg counts at"),
        "confirm_s": Param(default=0.0, unit="s", low=0, high=600, doc="how long the condition must hold"),
    }

    def __init__(self, parent: OrderRequest | Sequence[OrderRequest], **values: object) -> None:
        super().__init__(parent, **values)
        self._use = tuple(word.strip() for word in str(self.p["use"]).split(","))
        if self._order:
            raise BadData("a premium_stop buys back first and takes no 'order'; leave it out")
        for word in self._use:
            if word not in _CONDITIONS:
                raise BadData(f"'use' of a premium_stop is {', '.join(_CONDITIONS)} by commas, was {word!r}")
            if self.p[word] == 0.0:
                raise BadData(f"a premium_stop with use={word} needs {word} in rupees other than 0")

    def work(self, w: World) -> None:
        """Watch the cost; once it has fired, close the set."""
        if not self.m.get("fired"):
            if not any(self.held(w, line) for line in self.lines):
                self.finish("no position left to close")
                return
            self._watch(w)
        if self.m.get("fired"):
            self.m.setdefault("exit", True)
            self.m.setdefault("phase", "work")
            self.m.setdefault("phase_ns", w.now_ns)
            self.say(f"premium stop: {self.m['fired']}")
            super().work(w)

    def asks(self, w: World) -> list[Ask]:
        """The closing orders, at prices of the market of when it fires."""
        return [Ask(ask.order, IN_ITS_TIME) for ask in super().asks(w)]

    def order_by_margin(self) -> str:
        """It is an exit whatever is held when it fires."""
        return "exit"

    def cost_p(self, w: World) -> float | None:
        """Paise that closing one set costs now, None while a quote is missing."""
        sets = math.gcd(*(line.qty for line in self.lines))
        total = 0.0
        for line in self.lines:
            quote = self.fresh(w, line.symbol)
            if quote is None:
                return None
            far = far_p(quote, line.side)
            if far is None or (self.p["price"] == "mid" and (quote.bid_p is None or quote.ask_p is None)):
                self.say(f"waiting: {line.symbol} is not quoted on both sides")
                return None
            price_p = float(far) if self.p["price"] == "far" else ((quote.bid_p or 0) + (quote.ask_p or 0)) / 2
            total += line.side.sign * (line.qty // sets) * price_p
        return total

    def _watch(self, w: World) -> None:
        cost = self.cost_p(w)
        if cost is None:
            self.m.pop("since_ns", None)
            self.say("the premium stop is held here and blind")
            return
        low = cost
        if "trail" in self._use:
            low = self.m["low"] = min(cost, self.m.get("low", cost))
        if w.now_ns - self.m.get("shown_ns", -_SHOWN_NS) >= _SHOWN_NS:  # each new text is a record in the journal
            self.m["shown_ns"], self.m["shown"] = w.now_ns, f"{cost / 100:.2f}"
        self.say(f"net premium {self.m['shown']} a set; the stop is held here and lives with this process")
        why = self._reason(cost, low)
        if not why:
            self.m.pop("since_ns", None)
        elif w.now_ns - self.m.setdefault("since_ns", w.now_ns) >= round(self.p["confirm_s"] * SECOND_NS):
            self.m["fired"] = why

    def _reason(self, cost: float, low: float) -> str:
        rs = cost / 100.0
        if "stop" in self._use and rs >= self.p["stop"]:
            return f"cost {rs:.2f} reached the stop {self.p['stop']:.2f}"
        if "target" in self._use and rs <= self.p["target"]:
            return f"cost {rs:.2f} reached the target {self.p['target']:.2f}"
        if "trail" in self._use and rs >= low / 100.0 + self.p["trail"]:
            return f"cost {rs:.2f} rose {self.p['trail']:.2f} above its lowest {low / 100:.2f}"
        return ""
