"""What is asked before an order: terms and quote from the broker, the engine's own state, the guards, the margin."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from toolkit import tables
from toolkit.calendar import ist_date
from toolkit.errors import AuthExpired, BadData, Refused
from toolkit.market.quotes import key_of
from toolkit.risk.checks import RULES, check, protect
from toolkit.types import Denial, Kind, OrderRequest, OrdType, Side

if TYPE_CHECKING:
    from toolkit.orders.live import LiveEngine
    from toolkit.risk.margin import Margin

__all__ = ["Checks"]

_SKEW_S: Final = 30.0
_FRESH_NS: Final = 2_000_000_000
_STATES: Final = {
    "starting": "the engine is starting",
    "reconciling": "the broker's book is being read",
    "auth_expired": "the broker's token is no longer valid; log in again",
    "journal_failed": "the journal cannot be written; free the disk",
    "stopped": "the engine is stopped",
}


class Checks:
    """Everything beside the core's own rules that may keep an order from leaving.

    Parameters
    ----------
    engine : LiveEngine
    ask_margin : bool
        Whether the broker is asked about margin before an order that increases exposure.
    """

    def __init__(self, engine: LiveEngine, *, ask_margin: bool) -> None:
        self._engine = engine
        self.asks_margin = ask_margin
        self.short: tuple[Denial, ...] = ()
        self._hours: dict[str, tuple[dt.date, tuple[int, int]]] = {}

    def gate(self, order: OrderRequest, now_ns: int) -> tuple[Denial, ...]:
        """The engine's state, the clock, the guards, and the margin just asked about."""
        engine = self._engine
        found: list[Denial] = []
        if engine.state != "ready":
            text = f"no order leaves now: {_STATES.get(engine.state, engine.state)}"
            found.append(Denial("engine", "ready", engine.state, text))
        skew_s = self.skew_s()
        if skew_s is not None and abs(skew_s) > _SKEW_S:
            text = f"this machine's clock is {skew_s:.0f} s off the broker's; set it right"
            found.append(Denial("clock", _SKEW_S, round(skew_s, 1), text))
        for guard in engine.guards:
            found += guard.check(order, engine.core, now_ns)
        if self.short and not engine.core.book.reduces(order.symbol, order.side, order.order_qty):
            found += self.short
        return tuple(found)

    def skew_s(self) -> float | None:
        """Seconds by which our clock is off: against the broker's answers, or because the machine's was moved."""
        engine = self._engine
        known: float | None = getattr(engine.broker, "clock_skew_s", None)
        step_s = engine.clock_step_s
        if step_s and (known is None or abs(known) < abs(step_s)):
            return step_s
        return known

    async def prepare(self, request: OrderRequest) -> None:
        """The contract's terms, a fresh quote and the session's hours: what the rules look at.

        Raises
        ------
        BadData
            When no live contract has that name.
        Refused
            When the clock is too far off to judge by.
        """
        engine, book = self._engine, self._engine.core.book
        skew_s = self.skew_s()
        if skew_s is not None and abs(skew_s) > _SKEW_S:
            raise Refused(
                f"this machine's clock is {skew_s:.0f} s off the broker's; set it right "
                "(for a simulated broker: TOOLKIT_ENGINE__CLOCK=venue)"
            )
        instrument = book.instruments.get(request.symbol)
        if instrument is None or (request.exchange and instrument.exchange != request.exchange):
            instrument = await engine.broker.resolve(request.symbol, request.exchange)
            book.add([instrument])
        found = book.quote(instrument)
        if found is None or not 0 <= engine.now_ns() - found.ts_ns <= _FRESH_NS:
            quote = (await engine.broker.quote([request.symbol])).get(request.symbol)
            if quote is not None:
                received_ns = min(quote.ts_ns, engine.now_ns())  # the clock that stamped it may be ahead of ours
                book.quotes.set(key_of(instrument), msgspec.structs.replace(quote, ts_ns=received_ns))
        self.set_session(instrument.exchange)

    def set_session(self, exchange: str) -> None:
        """Today's trading hours."""
        day = ist_date(self._engine.now_ns())
        known = self._hours.get(exchange)
        if known is None or known[0] != day:
            calendar = tables.calendar(exchange)
            self._hours[exchange] = (day, calendar.bounds_ns(day) if calendar.is_session(day) else (0, 0))
        self._engine.core.book.session = self._hours[exchange][1]

    def denials(self, request: OrderRequest) -> tuple[Denial, ...]:
        """What the rules say now, before the broker is asked about margin."""
        core, now_ns = self._engine.core, self._engine.now_ns()
        order = request
        if request.ord_type is OrdType.MARKET and request.price_p is None:
            order = msgspec.structs.replace(request, price_p=protect(request, core.book, core.limits, now_ns))
        found = check(order, core.book, core.limits, now_ns, messages=len(core.plan(order)))
        return found + self.gate(order, now_ns)

    async def margin_unless_denied(self, request: OrderRequest) -> tuple[Denial, ...]:
        """Ask about margin where it is asked at all, and only for an order that the rules would let pass."""
        if not self.asks_margin or self.denials(request):
            return ()
        return await self.margin([request])

    async def margin(self, requests: Sequence[OrderRequest]) -> tuple[Denial, ...]:
        """Ask the broker what orders need and what there is; those that only reduce need nothing."""
        book = self._engine.core.book
        adds = [r for r in requests if not book.reduces(r.symbol, r.side, r.order_qty)]
        if not self.asks_margin or not adds:
            return ()
        broker = self._engine.broker
        need = await self.need_p(adds)
        funds = await broker.margins()
        have = funds.cash_p if broker.capabilities.margin_holds_book else funds.available_p
        if have is None or need <= have:
            return ()
        text = f"margin Rs {need / 100:.2f} exceeds the available Rs {have / 100:.2f}"
        return (Denial("margin", have, need, text),)

    async def need_p(self, requests: Sequence[OrderRequest]) -> int:
        """What the broker says; where it has no calculator, the premium of bought options."""
        try:
            return round((await self._engine.broker.order_margins(requests)).total * 100.0)
        except AuthExpired:
            raise
        except Refused:
            need = 0
            for request in requests:
                instrument = self._engine.core.book.instruments[request.symbol]
                if instrument.kind is not Kind.OPTION or request.side is not Side.BUY or request.price_p is None:
                    raise
                need += request.order_qty * request.price_p
            return need

    async def _told(self, requests: Sequence[OrderRequest]) -> Margin | None:
        """What the broker says that orders need; None where it has no calculator for them."""
        try:
            return await self._engine.broker.order_margins(requests)
        except AuthExpired:
            raise
        except Refused:
            return None

    async def preview(
        self, legs: Sequence[OrderRequest], algo: str = "", policy: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """What legs would do: exchange orders, margin, rules passed and failed, age of the oldest quote.

        With ``algo`` they are judged as that algorithm's parent.

        Raises
        ------
        BadData
            When there are none, or a contract is not known.
        """
        if not legs:
            raise BadData("nothing to preview; name at least one leg")
        engine = self._engine
        for leg in legs:
            await self.prepare(leg)
        core, now_ns = engine.core, engine.now_ns()
        if algo:
            failed = list(engine.deciders.parents.denials(core, now_ns, algo, legs, policy))
        else:
            failed = [denial for leg in legs for denial in self.denials(leg)]
        failed = failed or list(await self.margin(legs))
        margin = None if failed else await self._told(legs)
        names = {denial.rule for denial in failed}
        quotes = [engine.core.quote(leg.symbol) for leg in legs]
        now_ns = engine.now_ns()
        ages = [round((now_ns - quote.ts_ns) / 1e9, 3) for quote in quotes if quote is not None]
        return {
            "plan": [qty for leg in legs for qty in engine.core.plan(leg)],
            "lot": engine.core.book.instruments[legs[0].symbol].lot,
            "margin": None if margin is None else msgspec.to_builtins(margin),
            "failed": [msgspec.to_builtins(denial) for denial in failed],
            "passed": [name for rule in RULES if (name := _name(rule)) not in names],
            "quote_age_s": max(ages) if len(ages) == len(legs) else None,
            "would_leave": not failed,
        }


def _name(rule: object) -> str:
    return rule if isinstance(rule, str) else str(getattr(rule, "__name__", rule)).strip("_")
