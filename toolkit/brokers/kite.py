"""Zerodha's Kite behind the broker port, on the official client (see ``kite_client``).

Beyond the port: :class:`~toolkit.brokers.kite_orders.KiteTerms` on an order, and in
:mod:`~toolkit.brokers.kite_more` triggers (GTT), candles, charges and sliced orders.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from toolkit.brokers.clock import VenueClock
from toolkit.brokers.kite_link import KiteLink
from toolkit.brokers.kite_master import KiteMaster, read_dump
from toolkit.brokers.kite_orders import (
    KiteTerms,
    check_terms,
    ended,
    fill_of,
    held_of,
    modified_row,
    modify_form,
    order_of,
    own_id,
    place_form,
    placed_row,
    reports_of,
)
from toolkit.brokers.kite_records import (
    BasketMargin,
    Holding,
    OrderAnswer,
    OrderRow,
    Positions,
    QuoteRow,
    TradeRow,
    UserMargins,
    UserRow,
    read,
)
from toolkit.brokers.kite_settings import KiteSettings
from toolkit.brokers.kite_watch import Watch, make_feed
from toolkit.brokers.master import cached, keep, known
from toolkit.brokers.port import CAPABILITIES, Capability, DayTerms, Funds, Held, MarketFeed, Profile
from toolkit.brokers.tokens import TokenStore
from toolkit.calendar import ist_date
from toolkit.config import home
from toolkit.errors import AuthExpired, BadData, Refused, Retryable, nearest
from toolkit.market.quotes import Quote
from toolkit.orders import ids
from toolkit.risk.margin import Margin
from toolkit.types import (
    ExecutionReport,
    Fill,
    Instrument,
    Modify,
    Order,
    OrderRequest,
    Product,
)

__all__ = ["KiteBroker"]

_QUOTES_A_CALL: Final = 500
_MODIFICATIONS: Final = 25
_SHARES: Final = {"NFO": "NSE", "BFO": "BSE"}


class KiteBroker:
    """One Kite account.

    Parameters
    ----------
    settings : KiteSettings
    clock : callable
        Nanoseconds UTC.
    tokens : TokenStore, optional
        Where the day's token is kept.
    """

    def __init__(
        self,
        settings: KiteSettings,
        *,
        clock: Callable[[], int] = time.time_ns,
        tokens: TokenStore | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.link = KiteLink(settings, tokens=tokens)  # a token's day is this machine's, whatever day the venue plays
        self._user: UserRow | None = None
        self._master: KiteMaster | None = None
        self._rows: dict[str, OrderRow] = {}
        self._ids: dict[str, str] = {}
        self._sent: set[str] = set()
        self._modified: dict[str, int] = {}
        self._canceled: set[str] = set()
        self._feed: Any = None
        self._nudged = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def name(self) -> str:
        """``kite``."""
        return "kite"

    @property
    def capabilities(self) -> Capability:
        """What Kite can do."""
        return CAPABILITIES["kite"]

    @property
    def state(self) -> str:
        """``ready``, ``no_token``, ``auth_expired`` or ``closed``."""
        return self.link.state

    def __repr__(self) -> str:
        return f"KiteBroker({self.settings.root}, {self.state})"

    @property
    def clock_skew_s(self) -> float | None:
        """Seconds this machine's clock is ahead of the broker's; None before an answer, or when following it."""
        return self.link.skew_s if self.clock is time.time_ns else None

    def follow_venue(self, speed: float = 1.0) -> None:
        """Take the time from the broker's answers from now on (a simulated broker's day)."""
        self.link.venue = VenueClock(speed)
        self.clock = self.link.venue.now_ns

    async def profile(self) -> Profile:
        """Who is logged in."""
        user = await self.user()
        known = self.capabilities.products
        return Profile(
            broker="kite",
            account=user.user_id or "",
            name=user.user_name or "",
            products=tuple(p for p in known if p in (user.products or ())),
            exchanges=tuple(sorted({_SHARES.get(e, e) for e in user.exchanges or ()} & {"NSE", "BSE"})),
        )

    async def user(self) -> UserRow:
        """The account as Kite describes it, read anew."""
        self._user = await self.link.call("profile", lambda c: read(c.profile(), UserRow))
        return self._user

    async def account(self) -> str:
        """The account's user id."""
        if self._user is None and not self.settings.user_id:
            await self.user()
        return self.settings.user_id or (self._user.user_id if self._user else None) or ""

    async def master(self) -> KiteMaster:
        """The day's contracts: from this process, from the day's cache, or from Kite."""
        if self._user is None:
            await self.user()  # and with it the venue's time, which decides the day
        today = ist_date(self.clock())
        if self._master is None or self._master.on != today:
            salt = self.link.token().reveal() if self.settings.loopback else ""
            path, table = await asyncio.to_thread(cached, home() / "cache", "kite", self.settings.root, salt, today)
            if table is None:
                table = await self.link.call(
                    "instruments", lambda c: read_dump(c._get("market.instruments.all"), today)
                )
                await asyncio.to_thread(keep, path, table)
            self._master = KiteMaster(table, today)
        return self._master

    async def instruments(self) -> Sequence[Instrument]:
        """Contracts listed today on the exchanges that the toolkit trades."""
        return tuple(await self.master())

    async def resolve(self, symbol: str, exchange: str | None = None) -> Instrument:
        """The one live contract that a text names: our symbol, Kite's own, or its token."""
        return (await self.master()).find(symbol, exchange)

    async def quote(self, symbols: Sequence[str]) -> Mapping[str, Quote]:
        """Newest quotes by the symbols asked for; a contract that Kite leaves out is absent."""
        rows = await self.quote_rows(symbols)
        now_ns = self.clock()
        return {symbol: _quote(row, now_ns) for symbol, row in rows.items()}

    async def day_terms(self, symbols: Sequence[str]) -> Mapping[str, DayTerms]:
        """Previous closes and circuit limits by the symbols asked for; a name that is not one contract's is absent."""
        found = known((await self.master()).find, symbols)
        return {symbol: _day_terms(row) for symbol, row in (await self.quote_rows(list(found))).items()}

    async def quote_rows(self, symbols: Sequence[str]) -> Mapping[str, QuoteRow]:
        """Kite's own quotes: depth, OI, circuit limits."""
        master = await self.master()
        names = {symbol: master.kite_name(master.find(symbol)) for symbol in dict.fromkeys(symbols)}
        wanted = list(dict.fromkeys(names.values()))
        found: dict[str, QuoteRow] = {}
        for at in range(0, len(wanted), _QUOTES_A_CALL):
            some = wanted[at : at + _QUOTES_A_CALL]
            found |= await self.link.call("quote", partial(_quotes, names=some))
        return {symbol: found[name] for symbol, name in names.items() if name in found}

    async def place(self, request: OrderRequest, terms: KiteTerms | None = None) -> str:
        """Send a new order and give Kite's order id. Sent once, whatever happens.

        Raises
        ------
        BadData
            When the order does not fit its contract; nothing was sent.
        Refused, Unknown, AuthExpired
        """
        form = await self.form(request, terms or KiteTerms())
        self._sent.add(request.cl_ord_id)
        answer = await self.link.call(
            "place",
            lambda c: read({"order_id": c.place_order(**form)}, OrderAnswer),
            f"order {request.cl_ord_id}",
        )
        self._ids[request.cl_ord_id] = answer.order_id
        self._rows.setdefault(request.cl_ord_id, placed_row(answer.order_id, form))
        self._nudged.set()
        return answer.order_id

    async def form(self, request: OrderRequest, terms: KiteTerms) -> dict[str, Any]:
        """Check an order and give its form as Kite wants it; nothing is sent."""
        self._open()
        ids.check(request.cl_ord_id)
        account = await self.account()
        if request.account != account:
            raise Refused(f"kite account {account} takes no orders of {request.account}")
        if request.cl_ord_id in self._sent or request.cl_ord_id in self._ids:
            raise Refused(f"order id {request.cl_ord_id} was used before; use a new one")
        if self.settings.limit_only and request.ord_type not in ("LIMIT", "MARKET"):
            raise Refused(f"this kite takes LIMIT orders only, was {request.ord_type}")
        master = await self.master()
        instrument = master.find(request.symbol, request.exchange)
        check_terms(request, instrument, terms, ist_date(self.clock()))
        self.link.token()
        return place_form(request, instrument, master.kite_name(instrument), terms, self.settings)

    async def modify(self, modify: Modify) -> None:
        """Send the full new statement of an order. Raises Refused or Unknown."""
        row = await self._working(modify.cl_ord_id)
        done = self._modified.get(row.order_id, 0)
        if done >= _MODIFICATIONS:
            raise Refused(f"order {modify.cl_ord_id} was modified {done} times, kite's most; cancel and place anew")
        form = modify_form(row, modify, self.settings)
        self._modified[row.order_id] = done + 1
        self._rows[modify.cl_ord_id] = modified_row(row, form)
        await self.link.call("modify", lambda c: c.modify_order(**form), f"modification of {modify.cl_ord_id}")
        self._nudged.set()

    async def cancel(self, cl_ord_id: str) -> None:
        """Send a cancel. Raises Refused or Unknown."""
        row = await self._working(cl_ord_id)
        parent = row.parent_order_id if row.variety == "co" else None
        variety = row.variety or "regular"
        try:
            await self.link.call(
                "cancel", lambda c: c.cancel_order(variety, row.order_id, parent), f"cancel of {cl_ord_id}"
            )
        except Refused as error:
            if cl_ord_id not in self._canceled:
                raise
            raise await self._because(cl_ord_id, error) from None
        self._canceled.add(cl_ord_id)
        self._nudged.set()

    async def orders(self) -> Sequence[Order]:
        """The day's orders; those from elsewhere have ids that begin with ``K``."""
        rows = await self._book()
        master, account, now_ns = await self.master(), await self.account(), self.clock()
        return tuple(order_of(row, cl_ord_id, master, account, now_ns) for cl_ord_id, row in rows.items())

    async def order_history(self, cl_ord_id: str) -> Sequence[ExecutionReport]:
        """Everything that happened to one order, oldest first."""
        order_id = self._ids.get(cl_ord_id)
        if order_id is None:
            rows = await self._book()
            if cl_ord_id not in rows:
                raise BadData(f"no order {cl_ord_id!r} today{nearest(cl_ord_id, rows)}")
            order_id = rows[cl_ord_id].order_id
        history = await self.link.call(
            "order_history", lambda c: read(c._get("order.info", url_args={"order_id": order_id}), tuple[OrderRow, ...])
        )
        trades: tuple[TradeRow, ...] = ()
        if any(row.filled_quantity for row in history):
            trades = await self.link.call(
                "trades",
                lambda c: read(c._get("order.trades", url_args={"order_id": order_id}), tuple[TradeRow, ...]),
            )
        account = await self.account()
        return reports_of(cl_ord_id, history, trades, account, await self._symbol(history), self.clock())

    async def trades(self) -> Sequence[Fill]:
        """The day's executions."""
        found = await self._trades()
        if any(trade.order_id not in self._names() for trade in found):
            await self._book()
        names, master, account, now_ns = self._names(), await self.master(), await self.account(), self.clock()
        return tuple(fill_of(t, names.get(t.order_id, f"K{t.order_id}"[:20]), master, account, now_ns) for t in found)

    async def positions(self) -> Sequence[Held]:
        """Open positions, one a contract and product."""
        master = await self.master()
        return tuple(held_of(p, master) for p in (await self.position_rows()).net or () if p.quantity)

    async def position_rows(self) -> Positions:
        """Kite's own positions: carried and today's, flat ones too."""
        return await self.link.call("positions", lambda c: read(c.positions(), Positions))

    async def holdings(self) -> Sequence[Held]:
        """Delivered shares."""
        rows = await self.link.call("holdings", lambda c: read(c.holdings(), tuple[Holding, ...]))
        master = await self.master()
        found = []
        for row in rows:
            known = master.by_kite(row.exchange, row.tradingsymbol)
            found.append(
                Held(
                    symbol=known.symbol if known else f"{row.tradingsymbol} EQ",
                    exchange=row.exchange or "",
                    product=Product.CNC,
                    net_qty=(row.quantity or 0) + (row.t1_quantity or 0),
                    avg_px=row.average_price or 0.0,
                )
            )
        return tuple(found)

    async def margins(self) -> Funds:
        """The account's money."""
        rows = await self.margin_rows()
        equity = rows.equity
        if equity is None or equity.net is None:
            raise BadData("kite's margins name no equity segment; enable it at the broker")
        used = (equity.utilised.debits if equity.utilised else None) or 0.0
        available_p, used_p = _round_p(equity.net), _round_p(used)
        pledged = None if equity.available is None else equity.available.collateral
        collateral_p = None if pledged is None else _round_p(pledged)
        return Funds(cash_p=available_p + used_p, used_p=used_p, available_p=available_p, collateral_p=collateral_p)

    async def margin_rows(self) -> UserMargins:
        """Kite's own margins by segment."""
        return await self.link.call("margins", lambda c: read(c.margins(), UserMargins))

    async def order_margins(self, requests: Sequence[OrderRequest]) -> Margin:
        """Margin of a basket with its hedge benefit and the positions held, as Kite computes it."""
        body = await self.basket(requests)
        found = await self.link.call(
            "order_margins", lambda c: read(c.basket_order_margins(body, consider_positions=True), BasketMargin)
        )
        final = found.final
        if final is None or final.total is None:
            raise BadData("kite gave no total for the basket; ask again")
        return Margin(
            span=final.span or 0.0,
            exposure=final.exposure or 0.0,
            expiry_addon=final.additional or 0.0,
            premium=final.option_premium or 0.0,
            total=final.total,
            label="Kite's basket margin",
        )

    async def basket(self, requests: Sequence[OrderRequest]) -> list[dict[str, Any]]:
        """Orders as the margin calls want them."""
        master = await self.master()
        rows = []
        for request in requests:
            instrument = master.find(request.symbol, request.exchange)
            form = place_form(request, instrument, master.kite_name(instrument), KiteTerms(), self.settings)
            keys = ("exchange", "tradingsymbol", "transaction_type", "variety", "product", "order_type", "quantity")
            row: dict[str, Any] = {key: form[key] for key in keys}
            row["price"] = form.get("price", 0)
            row["trigger_price"] = form.get("trigger_price", 0)
            rows.append(row)
        return rows

    async def convert(self, symbol: str, qty: int, product: Product, to: Product) -> None:
        """Move a position from one product to another. Raises Refused."""
        master = await self.master()
        venue, _, name = master.kite_name(master.find(symbol)).partition(":")
        rows = await self.position_rows()
        held = [
            p
            for p in rows.net or ()
            if (p.exchange, p.tradingsymbol, p.product) == (venue, name, str(product)) and p.quantity
        ]
        if not held or qty <= 0 or abs(held[0].quantity or 0) < qty:
            have = abs(held[0].quantity or 0) if held else 0
            raise Refused(f"no {product} position of {qty} units in {symbol} to convert, there are {have}")
        form = {
            "exchange": venue,
            "tradingsymbol": name,
            "transaction_type": "BUY" if (held[0].quantity or 0) > 0 else "SELL",
            "position_type": "overnight" if abs(held[0].overnight_quantity or 0) >= qty else "day",
            "quantity": qty,
            "old_product": str(product),
            "new_product": str(to),
        }
        await self.link.call("convert", lambda c: c.convert_position(**form), f"conversion of {symbol}")

    async def updates(self) -> AsyncIterator[ExecutionReport]:
        """What happens to orders from now on.

        The book is read each ``poll_s`` seconds, and at once when the ticker speaks of an order: its frames come
        twice, late and out of order, so they only say that there is news. While the token is dead nothing is read.
        """
        self._open()
        before = frozenset(self._sent)
        rows, trades = await self._book(), await self._trades()
        told = {c: row for c, row in rows.items() if c in before or c not in self._sent}
        known = {row.order_id for row in told.values()}
        watch = Watch(told, [t for t in trades if t.order_id in known])
        listener = None if self._feed is None else asyncio.create_task(self._listen(self._feed))
        try:
            while not self._ended.is_set():
                await self._pause()
                for report in await self._news(watch):
                    yield report
        finally:
            if listener is not None:
                listener.cancel()

    def nudge(self) -> None:
        """Read the book now: something was said about an order. From the loop's own thread."""
        self._nudged.set()

    def feed(self) -> MarketFeed:
        """Kite's market feed: one for the connection."""
        if self._feed is None:
            self._feed = make_feed(self)
        feed: MarketFeed = self._feed
        return feed

    async def close(self) -> None:
        """Let go of every connection; :meth:`updates` ends."""
        self._ended.set()
        self._nudged.set()
        if self._feed is not None:
            await self._feed.close()
        self.link.close()

    async def _pause(self) -> None:
        self._nudged.clear()
        try:
            await asyncio.wait_for(self._nudged.wait(), self.settings.poll_s)
        except TimeoutError:
            return

    async def _listen(self, feed: Any) -> None:
        async for _ in feed.updates():
            self.nudge()

    async def _news(self, watch: Watch) -> list[ExecutionReport]:
        """What changed since the last reading; nothing while the book cannot be read."""
        if self._ended.is_set() or self.link.state != "ready":
            return []
        try:
            rows = await self._book()
            changed = watch.changed(rows)
            trades = await self._trades() if any(rows[c].filled_quantity for c in changed) else ()
            names = await self.master() if changed else None
        except (AuthExpired, Retryable):
            return []
        account, now_ns = await self.account(), self.clock()
        found: list[ExecutionReport] = []
        for cl_ord_id in changed:
            row = rows[cl_ord_id]
            known = names.by_kite(row.exchange, row.tradingsymbol) if names is not None else None
            symbol = known.symbol if known else row.tradingsymbol or ""
            found += watch.take(cl_ord_id, row, trades, account, symbol, now_ns)
        return found

    async def _book(self) -> Mapping[str, OrderRow]:
        """The order book by our ids; the oldest order with a tag has it, the others are ``K`` and their order id."""
        rows = await self.link.call("orders", lambda c: read(c._get("orders"), tuple[OrderRow, ...]))
        taken: dict[str, str] = {}
        found: dict[str, OrderRow] = {}
        for row in rows:
            known = next((c for c, o in self._ids.items() if o == row.order_id), None) if self._ids else None
            cl_ord_id = known or own_id(row, taken)
            taken[cl_ord_id] = row.order_id
            found[cl_ord_id] = row
        self._rows |= found  # one just placed may not be listed yet
        self._ids |= taken
        return found

    def _names(self) -> dict[str, str]:
        return {order_id: cl_ord_id for cl_ord_id, order_id in self._ids.items()}

    async def _trades(self) -> tuple[TradeRow, ...]:
        return await self.link.call("trades", lambda c: read(c._get("trades"), tuple[TradeRow, ...]))

    async def _symbol(self, history: Sequence[OrderRow]) -> str:
        if not history:
            return ""
        known = (await self.master()).by_kite(history[-1].exchange, history[-1].tradingsymbol)
        return known.symbol if known else history[-1].tradingsymbol or ""

    async def _working(self, cl_ord_id: str) -> OrderRow:
        """What is known of an order: the row last seen, or what was placed; the book is read only when that is nothing.

        A book that hangs must not keep a cancel from leaving; of an order that ended meanwhile Kite itself says so.
        """
        self._open()
        self.link.token()
        row = self._rows.get(cl_ord_id)
        if row is None or ended(row):
            try:
                rows = await self._book()
            except Retryable as error:
                raise Refused(f"{error}; nothing was sent") from None
            row = rows.get(cl_ord_id)
            if row is None and cl_ord_id in self._sent:
                raise Refused(
                    f"order {cl_ord_id} was sent and kite's book does not show it (yet); nothing was sent now"
                )
            if row is None:
                raise Refused(f"no order {cl_ord_id!r} today{nearest(cl_ord_id, rows)}")
            if state := ended(row):
                raise Refused(f"order {cl_ord_id} is already {state}")
        return row

    async def _because(self, cl_ord_id: str, error: Refused) -> Refused:
        """Why a second cancel is refused: the order has ended, if the book can be read and says so."""
        try:
            row = (await self._book()).get(cl_ord_id)
        except Retryable:
            return error
        state = None if row is None else ended(row)
        return error if state is None else Refused(f"order {cl_ord_id} is already {state}")

    def _open(self) -> None:
        if self.link.closed:
            raise Refused("this kite connection is closed; connect again")


def _quotes(client: Any, names: Sequence[str]) -> dict[str, QuoteRow]:
    return read(client._get("market.quote", params={"i": names}), dict[str, QuoteRow])


def _round_p(rupees: float) -> int:
    return round(rupees * 100.0)


def _day_terms(row: QuoteRow) -> DayTerms:
    """Zero stands for what Kite does not know."""
    close, low, high = None if row.ohlc is None else row.ohlc.close, row.lower_circuit_limit, row.upper_circuit_limit
    return DayTerms(
        _round_p(close) if close else None,
        _round_p(low) if low is not None and high else None,
        _round_p(high) if high else None,
    )


def _quote(row: QuoteRow, now_ns: int) -> Quote:
    """Best levels and last price; a level of price 0 is absent."""
    bid = row.depth.buy[0] if row.depth and row.depth.buy else None
    ask = row.depth.sell[0] if row.depth and row.depth.sell else None
    return Quote(
        now_ns,
        _round_p(bid.price) if bid and bid.price else None,
        bid.quantity if bid and bid.price else None,
        _round_p(ask.price) if ask and ask.price else None,
        ask.quantity if ask and ask.price else None,
        _round_p(row.last_price) if row.last_price else None,
    )
