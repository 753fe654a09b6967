"""What changed in Kite's books between two readings, and the feed that says when to read."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from toolkit.brokers.clock import session_open
from toolkit.brokers.kite_orders import reports_of, states_between
from toolkit.brokers.kite_records import OrderRow, TradeRow
from toolkit.types import ExecType, ExecutionReport

if TYPE_CHECKING:
    from toolkit.brokers.kite import KiteBroker

__all__ = ["Watch", "make_feed"]


class Watch:
    """The last reading of the books, and what was told of it.

    Parameters
    ----------
    rows, trades
        The books at the start: of these nothing is told.
    """

    def __init__(self, rows: Mapping[str, OrderRow], trades: Iterable[TradeRow] = ()) -> None:
        self._rows = dict(rows)
        self._told: set[str] = {f"{t.order_id}-{t.trade_id}" for t in trades}
        self._modified: dict[str, int] = {}

    def changed(self, rows: Mapping[str, OrderRow]) -> list[str]:
        """Orders that are new or other than at the last reading, in the order of the book."""
        return [c for c, row in rows.items() if c not in self._rows or _mark(self._rows[c]) != _mark(row)]

    def take(
        self, cl_ord_id: str, row: OrderRow, trades: Sequence[TradeRow], account: str, symbol: str, now_ns: int
    ) -> list[ExecutionReport]:
        """Reports of one changed order; each is told once."""
        before = self._rows.get(cl_ord_id)
        states = states_between(before, row)
        mine = [t for t in trades if t.order_id == row.order_id]
        count = self._modified.get(cl_ord_id, 0)
        found = reports_of(cl_ord_id, states, mine, account, symbol, now_ns, modified=count)
        if before is not None:
            old = {r.exec_id for r in reports_of(cl_ord_id, (before,), (), account, symbol, now_ns)}
            found = tuple(r for r in found if r.exec_id not in old)
        news = [r for r in found if r.exec_id not in self._told]
        self._told |= {r.exec_id for r in news}
        self._modified[cl_ord_id] = count + sum(r.exec_type is ExecType.REPLACED for r in news)
        traded = sum(t.quantity or 0 for t in mine)
        if traded >= (row.filled_quantity or 0):
            self._rows[cl_ord_id] = row
        return news


def make_feed(broker: KiteBroker) -> Any:
    """Make the runner of Kite's ticker for one connection."""
    try:
        from toolkit.market.feed import MarketFeed
    except ImportError as error:
        from toolkit.errors import BadData

        raise BadData(f"{error.name} is not installed; add it with: pip install 'trading-toolkit[kite]'") from None
    from toolkit.market.wire import KiteWire

    settings = broker.settings
    wire = KiteWire(
        settings.ws_root,
        settings.api_key,
        lambda: broker.link.token().reveal(),
        user_id=settings.user_id if settings.ticker_user else "",
    )
    own_ca = ssl.create_default_context(cafile=settings.ca_file) if settings.ca_file else None
    return MarketFeed(
        wire,
        probe=broker.user,
        session_open=session_open,
        clock=broker.clock,
        ssl=own_ca,
        proxy=settings.proxy or None,
    )


def _mark(row: OrderRow) -> tuple[object, ...]:
    return (row.status, row.filled_quantity, row.quantity, row.price, row.trigger_price)
