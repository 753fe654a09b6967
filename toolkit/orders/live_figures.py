"""The account's figures for its guards: profit, charges, margin, messages; what only the market knows is plugged in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from toolkit.brokers.port import Funds
from toolkit.calendar import ist_date
from toolkit.errors import ToolkitError
from toolkit.orders.carry import ALIGNED
from toolkit.portfolio import charges
from toolkit.portfolio.positions import Position, PositionBook, fills_frame
from toolkit.risk.guards import Facts, Greek
from toolkit.types import Fill, OrdStatus

if TYPE_CHECKING:
    from toolkit.orders.live import LiveEngine

__all__ = ["Figures"]


class Figures:
    """What a guard is shown each second.

    Parameters
    ----------
    engine : LiveEngine

    Attributes
    ----------
    feed_age_s, index_moves, greeks : callable
        What the market room knows; the process that has one sets them. Unknown until then.
    money : Funds or None
        What the broker last said.
    """

    def __init__(self, engine: LiveEngine) -> None:
        self._engine = engine
        self.feed_age_s: Callable[[], float | None] = lambda: None
        self.index_moves: Callable[[], Mapping[str, float | None]] = dict
        self.greeks: Callable[[], Mapping[str, Greek | None]] = dict
        self.money: Funds | None = None
        self._charged: tuple[int, int | None] = (0, 0)
        self._books: dict[str, PositionBook] = {}
        self._strategy_charges: dict[str, int | None] = {}
        self._counted = -1

    async def ask_money(self) -> None:
        """Ask the broker for the account's money; unknown when it does not say."""
        try:
            self.money = await self._engine.broker.margins()
        except ToolkitError:
            self.money = None

    def strategies(self) -> Mapping[str, PositionBook]:
        """What each running strategy holds by its own fills."""
        self._recount()
        return self._books

    def facts(self) -> Facts:
        """The figures as they are known now."""
        engine, core = self._engine, self._engine.core
        book, pen, now_ns = core.book, engine.pen, engine.now_ns()
        self._recount()
        exchanges = {order.request.exchange for order in core.open_orders()} | {"NSE", "BSE"}
        money = self.money
        return Facts(
            realized_p=engine.positions.realized_p,
            unrealized_p=self._marked(engine.positions.held()),
            charges_p=self._charged[1],
            margin_used_p=None if money is None else money.used_p,
            funds_p=book.funds_p if money is None else money.cash_p,
            open_value_p=book.open_value_p,
            messages_1s=max(book.messages(now_ns, exchange) for exchange in exchanges),
            messages_60s=engine.wire.messages_60s(),
            messages_day=engine.wire.sent_today,
            unknown_orders=sum(o.ord_status is OrdStatus.UNKNOWN for o in core.open_orders()),
            feed_age_s=self.feed_age_s(),
            clock_skew_s=engine.checks.skew_s(),
            journal_ms=None if pen is None else pen.slowest_ms,
            index_moves=self.index_moves(),
            greeks=self.greeks(),
            by_strategy_p=self._by_strategy(),
            session=book.session,
            state=book.state,
        )

    def _marked(self, held: Iterable[Position]) -> int | None:
        """Profit of open positions at their marks in paise; one without a mark makes the sum unknown."""
        book, total = self._engine.core.book, 0
        for position in held:
            instrument = book.instruments.get(position.symbol)
            mark = math.nan if instrument is None else book.mark(instrument)
            if math.isnan(mark):
                return None
            total += round(position.net_qty * mark * 100.0) - position.open_cost_p
        return total

    def _recount(self) -> None:
        """Charges and strategies' books, once after each change of the fills."""
        core = self._engine.core
        if len(core.fills) == self._counted:
            return
        self._counted = len(core.fills)
        mine: dict[str, list[Fill]] = {}
        for fill in core.fills.values():
            order = core.orders.get(fill.cl_ord_id)
            name = None if order is None else order.request.algo
            if name is not None and name in self._engine.deciders.runners.names():
                mine.setdefault(name, []).append(fill)
        self._charged = (self._counted, self._charges(core.fills.values()))
        self._books = {name: _booked(fills) for name, fills in mine.items()}
        self._strategy_charges = {name: self._charges(fills) for name, fills in mine.items()}

    def _charges(self, fills: Iterable[Fill]) -> int | None:
        traded = [fill for fill in fills if not fill.exec_id.startswith(ALIGNED)]
        if not traded:
            return 0
        try:
            notes = charges(fills_frame(traded), ist_date(self._engine.now_ns()))
        except ToolkitError:
            return None
        return round(float(notes["total"].sum()) * 100.0)

    def _by_strategy(self) -> dict[str, int | None]:
        found: dict[str, int | None] = {}
        for name, book in self._books.items():
            marked, cost = self._marked(book.held()), self._strategy_charges[name]
            found[name] = None if marked is None or cost is None else book.realized_p + marked - cost
        return found


def _booked(fills: Iterable[Fill]) -> PositionBook:
    book = PositionBook("average")
    for fill in fills:
        book.apply(fill)
    return book
