"""Symphony XTS behind the broker port: ``xts-pro`` (own account) and ``xts-client`` (a dealer's clients).

Both speak the same wire; the account behind the key differs. A dealer's call names its client, every row keeps
``LoginID`` and ``ClientID``, and because some installs answer a wrong client with success and drop the
order, each dealer order is looked for in the book before it counts as placed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import httpx

from toolkit.brokers.clock import VenueClock
from toolkit.brokers.kite_orders import KiteTerms, check_terms
from toolkit.brokers.master import known
from toolkit.brokers.port import CAPABILITIES, Capability, DayTerms, Funds, Held, MarketFeed, Profile
from toolkit.brokers.tokens import TokenStore
from toolkit.brokers.xts_clients import ORDERS, POSITIONS, TRADES, Book, client_id, first_allowed, is_mine
from toolkit.brokers.xts_market import XtsMarket, make_feed
from toolkit.brokers.xts_master import TRADED, XtsMaster
from toolkit.brokers.xts_orders import (
    Trail,
    fill_of,
    funds_of,
    held_of,
    history_of,
    holding_of,
    margin_form,
    modify_form,
    order_of,
    place_form,
    sent_row,
    status_of,
)
from toolkit.brokers.xts_records import (
    BalanceRow,
    HoldingRow,
    OrderRow,
    PositionRow,
    ProfileRow,
    TradeRow,
    balances_of,
    event_rows,
    holdings_of,
    margin_of,
    order_rows,
    placed_of,
    profile_of,
)
from toolkit.brokers.xts_session import XtsLink, XtsSession
from toolkit.brokers.xts_settings import MASK, XtsSettings, XtsTerms, id_mode
from toolkit.brokers.xts_updates import Hub, order_socket, said
from toolkit.calendar import ist_date
from toolkit.config import home
from toolkit.errors import AuthExpired, BadData, Refused, Retryable, ToolkitError, Unknown, nearest
from toolkit.market.quotes import Quote
from toolkit.orders import ids
from toolkit.risk.margin import Margin
from toolkit.types import (
    TERMINAL,
    ExecType,
    ExecutionReport,
    Fill,
    Instrument,
    Modify,
    Order,
    OrderRequest,
    Product,
)

__all__ = ["XtsBroker"]

_NAMES: Final = {"pro": "xts-pro", "client": "xts-client"}
_LAST: Final = (ExecType.CANCELED, ExecType.REJECTED, ExecType.EXPIRED)
R = TypeVar("R", OrderRow, TradeRow, PositionRow)

_DAY_OR_NET: Final = ("DayWise", "NetWise")


class XtsBroker:
    """One XTS login; for a dealer one of its clients, or all of them for reading.

    Parameters
    ----------
    settings : XtsSettings
    terms : XtsTerms, optional
        Limits and patience.
    clock : callable
        Nanoseconds UTC.
    tokens : TokenStore, optional
        Where the day's tokens are kept.
    allow_plain_http : tuple of str
        Hosts that a host lookup may lead to without TLS.
    transport : httpx.AsyncBaseTransport, optional
        In the place of the network, for tests.
    """

    def __init__(
        self,
        settings: XtsSettings,
        *,
        terms: XtsTerms | None = None,
        clock: Callable[[], int] = time.time_ns,
        tokens: TokenStore | None = None,
        allow_plain_http: tuple[str, ...] = (),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.bound = ""
        name = _NAMES[settings.role]
        common: dict[str, Any] = {"terms": terms, "name": name, "wall": clock, "tokens": tokens, "transport": transport}
        self.link = XtsLink(settings, "interactive", allow_plain_http=allow_plain_http, **common)
        cache = home() / "cache" if transport is None else None
        self.market = XtsMarket(XtsLink(settings, "market", **common), clock, cache=cache)
        self._shared = Hub()
        self._networked = transport is None

    @property
    def name(self) -> str:
        """``xts-pro`` or ``xts-client``."""
        return self.link.name

    @property
    def capabilities(self) -> Capability:
        """What XTS can do."""
        return CAPABILITIES[self.name]

    @property
    def state(self) -> str:
        """``ready``, ``no_token``, ``auth_expired`` or ``closed``."""
        return self.link.state

    @property
    def clock_skew_s(self) -> float | None:
        """Seconds this machine's clock is ahead of the broker's; None before an answer, or when following it."""
        return self.link.skew_s if self.clock is time.time_ns else None

    def follow_venue(self, speed: float = 1.0) -> None:
        """Take the time from the broker's answers from now on (a simulated broker's day)."""
        venue = self.link.venue = self.market.link.venue = VenueClock(speed)
        self.clock = self.market.clock = venue.now_ns

    @property
    def client(self) -> str:
        """The client that plain calls are for: this one's, or the default; a dealer without one sees all."""
        return self.bound or self.settings.client_id

    @property
    def dealer(self) -> bool:
        """Whether this is a dealer's login."""
        return self.settings.role == "client"

    def __repr__(self) -> str:
        return f"XtsBroker({self.name}, {self.state})"

    def for_client(self, code: str) -> XtsBroker:
        """The same login bound to one client: its orders, books and money, and nobody else's.

        Raises
        ------
        Refused
            For an own account.
        """
        if not self.dealer:
            raise Refused("for_client is a dealer's; set [xts] role to client")
        made = object.__new__(XtsBroker)
        made.__dict__.update(self.__dict__)
        made.bound = code
        return made

    # who

    async def login(self) -> None:
        """Log in, if there is no session yet."""
        await self.link.session()

    async def logout(self) -> None:
        """End the session at the broker."""
        await self.link.logout()

    async def client_codes(self) -> tuple[str, ...]:
        """The clients mapped to this login."""
        return (await self.link.session()).client_codes

    async def account(self) -> str:
        """The account that orders and rows without a client belong to."""
        return self.client or (await self.link.session()).user_id

    async def profile(self) -> Profile:
        """Who is logged in; of a dealer's client the client, as this login may act for it.

        Raises
        ------
        Refused
            For a client that is not mapped to this login.
        """
        session = await self.link.session()
        if self.dealer and self.client:
            self._client_id(self.client, session)
        try:
            row = await self.profile_row()
        except Refused:
            if not self.dealer:
                raise
            row = ProfileRow()  # some installs tell a dealer nothing about a client
        segments = set(row.segments) or set(TRADED)
        return Profile(
            broker=self.name,
            account=self.client if self.dealer and self.client else row.client_id or session.user_id,
            name=row.name,
            products=self.capabilities.products,
            exchanges=tuple(sorted({TRADED[s][0] for s in segments & set(TRADED)})),
        )

    async def profile_row(self) -> ProfileRow:
        """The account as XTS describes it."""
        return profile_of(await self.link.call("profile", params=await self._reading()))

    # contracts and quotes

    async def master(self) -> XtsMaster:
        """The day's contracts."""
        if self.clock == self.link.venue.now_ns and not self.link.venue.seen:
            with contextlib.suppress(ToolkitError):  # any answer tells the venue's time, which decides the day
                await self.market.config()
        return await self.market.master()

    async def instruments(self) -> Sequence[Instrument]:
        """Contracts listed today on the exchanges that the toolkit trades."""
        return tuple(await self.master())

    async def resolve(self, symbol: str, exchange: str | None = None) -> Instrument:
        """The one live contract that a text names: our symbol, XTS's name, or ``NSEFO:49543``."""
        return (await self.master()).find(symbol, exchange)

    async def quote(self, symbols: Sequence[str]) -> Mapping[str, Quote]:
        """Newest quotes by the symbols asked for; a contract without a tick is absent."""
        master = await self.master()
        found = {symbol: master.find(symbol) for symbol in dict.fromkeys(symbols)}
        quotes = await self.market.quote(found.values())
        return {symbol: quotes[i.token] for symbol, i in found.items() if i.token is not None and i.token in quotes}

    async def day_terms(self, symbols: Sequence[str]) -> Mapping[str, DayTerms]:
        """Previous closes and price bands by the symbols asked for; a name that is not one contract's is absent."""
        found = known((await self.master()).find, symbols)
        terms = await self.market.day_terms(found.values())
        return {symbol: terms[i.token] for symbol, i in found.items() if i.token is not None and i.token in terms}

    # orders

    async def place(self, request: OrderRequest) -> str:
        """Send a new order and give XTS's id of it. Sent once, whatever happens.

        A dealer's order is then looked for: one that does not show in ``drop_s`` raises Unknown.

        Raises
        ------
        BadData
            When the order does not fit its contract; nothing was sent.
        Refused, Unknown, AuthExpired
        """
        form = await self.form(request)
        self._shared.sent.add(request.cl_ord_id)
        self._shared.clients.add(request.account)
        what = f"order {request.cl_ord_id}"
        result = await self.link.call("place", json=form, what=what)
        try:
            placed = placed_of(result)
        except BadData as error:
            raise Unknown(f"{self.name} took {what} but {error}; it may be placed: see the order book") from None
        self._shared.names.note(request.cl_ord_id, placed.app_order_id)
        self.nudge()
        if self.dealer:
            await self._seen(placed.app_order_id, request)
        else:
            self._shared.rows.setdefault(placed.app_order_id, sent_row(placed, form))
        return placed.app_order_id

    async def form(self, request: OrderRequest) -> dict[str, object]:
        """Check an order and give its body as XTS wants it; nothing is sent but what reading the contracts needs."""
        self._open()
        ids.check(request.cl_ord_id)
        if request.cl_ord_id in self._shared.sent or self._shared.names.app_id(request.cl_ord_id) is not None:
            raise Refused(f"order id {request.cl_ord_id} was used before; use a new one")
        try:
            session = await self.link.session()
            master = await self.master()
        except Retryable as error:
            raise Refused(f"{error}; the order was not sent") from None
        sent_as = self._client_id(request.account, session)
        instrument = master.find(request.symbol, request.exchange)
        check_terms(request, instrument, KiteTerms(), ist_date(self.clock()))
        return place_form(request, master.place_of(instrument), sent_as, self.settings)

    async def modify(self, modify: Modify) -> None:
        """Send the full new statement of an order. Raises Refused or Unknown."""
        row = await self._working(modify.cl_ord_id)
        form = modify_form(row, modify, await self._of_row(row))
        self._shared.changes(row.app_order_id)
        await self.link.call("modify", json=form, what=f"modification of {modify.cl_ord_id}")
        self.nudge()
        if row.cum_qty:
            await self._took_total(modify, row.cum_qty)

    async def cancel(self, cl_ord_id: str) -> None:
        """Send a cancel. Raises Refused or Unknown."""
        row = await self._working(cl_ord_id, cancel=True)
        params: dict[str, object] = {"appOrderID": row.app_order_id, "orderUniqueIdentifier": row.tag}
        sent_as = await self._of_row(row)
        if sent_as is not None:
            params["clientID"] = sent_as
        self._shared.changes(row.app_order_id)
        await self.link.call("cancel", params=params, what=f"cancel of {cl_ord_id}")
        self._shared.canceled.add(row.app_order_id)
        self.nudge()

    async def orders(self) -> Sequence[Order]:
        """The day's orders; those from elsewhere have ids that begin with ``X``."""
        rows, find, account, now_ns = await self.order_book(), await self._finder(), await self.account(), self.clock()
        return tuple(order_of(row, self._shared.names, find, account, self.name, now_ns) for row in rows)

    async def order_book(self) -> tuple[OrderRow, ...]:
        """XTS's own order book: of one client, of the own account, or of all clients of a dealer."""
        return self._keep(await self._book(ORDERS, self.client))

    async def order_history(self, cl_ord_id: str) -> Sequence[ExecutionReport]:
        """Everything that happened to one order, oldest first."""
        app_id = self._shared.names.app_id(cl_ord_id)
        if app_id is None:
            await self.order_book()
            app_id = self._shared.names.app_id(cl_ord_id)
        if app_id is None:
            raise BadData(f"no order {cl_ord_id!r} today{nearest(cl_ord_id, self._shared.names.known())}")
        params = {"appOrderID": app_id} | await self._reading()
        whole = self._shared.shown(cl_ord_id, app_id, 1.0 / max(1, self.link.terms.books_per_s))
        try:
            rows = (
                (whole,)
                if whole is not None
                else order_rows(await self.link.call("history", params=params, what=f"the history of {cl_ord_id}"))
            )
        except AuthExpired:
            raise
        except Refused:
            if not self.dealer:
                raise
            rows = await self.order_book()  # some installs show a dealer a client's orders in the book only
        rows = tuple(row for row in rows if row.app_order_id == app_id)
        trades: tuple[TradeRow, ...] = ()
        if any(row.cum_qty for row in rows):
            trades = tuple(row for row in await self.trade_book() if row.app_order_id == app_id)
        find, account = await self._finder(), await self.account()
        return history_of(rows, trades, self._shared.names, find, account, self.clock())

    async def trades(self) -> Sequence[Fill]:
        """The day's executions."""
        rows, find, account, now_ns = await self.trade_book(), await self._finder(), await self.account(), self.clock()
        return tuple(fill_of(row, self._shared.names, find, account, self.name, now_ns) for row in rows)

    async def trade_book(self) -> tuple[TradeRow, ...]:
        """XTS's own trade book, of the same range as :meth:`order_book`."""
        return await self._book(TRADES, self.client)

    # positions and money

    async def positions(self) -> Sequence[Held]:
        """Open positions, net."""
        find = await self._finder()
        return tuple(held_of(row, find) for row in await self.position_rows() if row.net_qty)

    async def position_rows(self, day_or_net: str = "NetWise") -> tuple[PositionRow, ...]:
        """XTS's own positions of the day (``DayWise``) or carried ones too (``NetWise``), flat ones included."""
        return await self._book(POSITIONS, self.client, dayOrNet=_range(day_or_net))

    async def holdings(self) -> Sequence[Held]:
        """Delivered shares."""
        find = await self._finder()
        return tuple(holding_of(row, find) for row in await self.holding_rows())

    async def holding_rows(self) -> tuple[HoldingRow, ...]:
        """XTS's own holdings, by ISIN."""
        return holdings_of(await self.link.call("holdings", params=await self._reading()))

    async def margins(self) -> Funds:
        """The account's money; figures are None where the install tells a dealer nothing of a client's."""
        try:
            rows = await self.balance_rows()
        except AuthExpired:
            raise
        except Refused:
            if not self.dealer or not self.client:
                raise
            return Funds(cash_p=None, used_p=None)
        return funds_of(rows, self.name)

    async def balance_rows(self) -> tuple[BalanceRow, ...]:
        """XTS's own limits, the line to use first. A dealer must name a client."""
        if self.dealer and not self.client:
            raise Refused("money is a client's; ask for_client(code).margins()")
        return balances_of(await self.link.call("balance", params=await self._reading()))

    async def order_margins(self, requests: Sequence[OrderRequest]) -> Margin:
        """Margin of a basket as XTS computes it."""
        master = await self.master()
        rows = []
        for request in requests:
            place = master.place_of(master.find(request.symbol, request.exchange))
            rows.append(margin_form(request, place, self.settings))
        found = margin_of(await self.link.call("margin", json={"portfolio": rows}, what="the margin"))
        if not found.valid and found.required <= 0:
            raise Refused(f"{self.name} cannot tell the margin: {found.text or 'no reason given'}")
        return Margin(total=found.required, label="XTS's basket margin")

    async def convert(self, symbol: str, qty: int, product: Product, to: Product) -> None:
        """Move a day position from one product to another. Raises Refused."""
        segment, token = await self.place_of(symbol)
        rows = [r for r in await self.position_rows("DayWise") if (r.segment, r.instrument) == (segment, token)]
        have = sum(abs(r.net_qty or 0) for r in rows if r.product.upper() == str(product))
        if not 0 < qty <= have:
            raise Refused(f"no {product} position of {qty} units in {symbol} to convert, there are {have}")
        body: dict[str, object] = {
            "exchangeSegment": segment,
            "exchangeInstrumentID": token,
            "targetQty": qty,
            "isDayWise": True,
            "oldProductType": str(product),
            "newProductType": str(to),
        }
        await self.link.call("convert", json=body | await self.acting(), what=f"conversion of {symbol}")

    # dealer

    async def dealer_orders(self) -> tuple[OrderRow, ...]:
        """The order book of all mapped clients; bound to one, of that one."""
        return self._keep(await self._book(ORDERS, self.bound, whole=True))

    async def dealer_trades(self) -> tuple[TradeRow, ...]:
        """The trade book of all mapped clients; bound to one, of that one."""
        return await self._book(TRADES, self.bound, whole=True)

    async def dealer_positions(self, day_or_net: str = "NetWise") -> tuple[PositionRow, ...]:
        """Positions of all mapped clients; bound to one, of that one.

        Where the install answers an empty list for ever, each client is asked for.
        """
        return await self._book(POSITIONS, self.bound, whole=True, dayOrNet=_range(day_or_net))

    # updates

    def hear(self, name: str, argument: object) -> None:
        """Take an event of the interactive socket: rows go to :meth:`updates`, ``logout`` ends the token.

        From the loop's own thread. What cannot be read is counted and makes the books be read; so does
        ``connected``, for nobody says what happened between two connections.
        """
        if name == "logout":
            self.link.expire()
        elif name == "connected":
            self._shared.gaps += 1
        elif name in ("order", "trade"):
            try:
                self._shared.heard(event_rows(name, argument))
            except BadData:
                self._shared.odd_events += 1
                self._shared.gaps += 1
        self.nudge()

    async def updates(self) -> AsyncIterator[ExecutionReport]:
        """What happens to orders from now on.

        The order socket tells at once; the books are read after each connection of it, after an event that could
        not be read and each ``calm_s``; each ``poll_s`` and after every nudge while there is no live socket. What was
        said once is not said again. While the token is dead nothing is read.
        """
        self._open()
        shared, terms, loop = self._shared, self.link.terms, asyncio.get_running_loop()
        before = frozenset(shared.sent)
        trail = Trail(shared.names, await self._finder(), await self.account())
        box: deque[OrderRow | PositionRow] = deque()
        shared.boxes.append(box)
        try:
            for report in self._of_mine(await self._catch_up(trail, start=True)):
                if report.cl_ord_id in shared.sent - before:  # sent while the books were being read
                    yield report
            if shared.socket is None and self._networked:
                shared.socket = order_socket(self.link, self.settings.eio, self.hear)
            heard, gaps, read_s = shared.count, shared.gaps, loop.time()
            while not shared.ended.is_set():
                heard = await shared.news(heard, terms.poll_s)
                for report in self._of_mine(said(box, trail, self.clock())):
                    yield report
                calm = shared.live and gaps == shared.gaps and loop.time() - read_s < terms.calm_s
                if calm or self.link.state == "closed":
                    continue
                gaps, read_s = shared.gaps, loop.time()
                for report in self._of_mine(await self._news(trail)):
                    yield report
        finally:
            shared.boxes.remove(box)

    def _of_mine(self, reports: Sequence[ExecutionReport]) -> list[ExecutionReport]:
        return [report for report in reports if not self.client or self._mine(report.account)]

    async def _news(self, trail: Trail) -> list[ExecutionReport]:
        """What the books say that is new; nothing while they cannot be read."""
        try:
            return await self._catch_up(trail)
        except BadData:
            self._shared.odd_events += 1
        except (Retryable, AuthExpired):
            self._shared.gaps += 1  # the link says its state; the books are read again
        except Refused:
            if self.link.state != "closed":  # closed while a book was being read
                raise
        return []

    def feed(self) -> MarketFeed:
        """The market feed: one for the login."""
        if self._shared.feed is None:
            self._shared.feed = make_feed(self.market)
        return self._shared.feed

    async def _catch_up(self, trail: Trail, *, start: bool = False) -> list[ExecutionReport]:
        """Read the order book, and the trade book when an order traded more than was told of."""
        now_ns = self.clock()
        rows = await self.order_book()
        made: list[ExecutionReport] = []
        ends: list[ExecutionReport] = []
        for row in rows:
            for report in trail.order(row, now_ns):
                (ends if report.exec_type in _LAST else made).append(report)
        if trail.lacks_trades() or (start and rows):
            for trade in await self.trade_book():
                made += trail.trade(trade, now_ns)
        return made + ends

    async def close(self) -> None:
        """Let go of every connection; :meth:`updates` ends."""
        await self._shared.close()
        await self.link.close()
        await self.market.link.close()

    # inner

    async def _seen(self, app_order_id: str, request: OrderRequest) -> None:
        """Wait until a dealer's order shows in an event or the book: some installs drop it with a success."""
        masked = id_mode(self.settings) == "masked"
        read = self.for_client("").dealer_orders if masked else self.for_client(request.account).order_book
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.link.terms.drop_s
        while app_order_id not in self._shared.rows:
            with contextlib.suppress(Retryable, Refused):
                await read()
            if app_order_id in self._shared.rows:
                return
            left = deadline - loop.time()
            if left <= 0:
                waited = f"{self.link.terms.drop_s:g} s"
                raise Unknown(
                    f"{self.name} took order {request.cl_ord_id} but does not show it after {waited}; "
                    "it may have been dropped: check client_id and client_id_mode, and see the order book"
                )
            await asyncio.sleep(min(left, self.link.terms.poll_s))

    async def _took_total(self, modify: Modify, traded: int) -> None:
        """Look whether this install took the quantity of an order that has traded for what remains."""
        with contextlib.suppress(Retryable, Refused):
            await self.order_book()
        row = self._shared.rows.get(self._shared.names.app_id(modify.cl_ord_id) or "")
        if row is not None and row.qty is not None and row.qty == modify.order_qty + max(traded, row.cum_qty or 0):
            raise Unknown(
                f"{self.name} took the quantity of {modify.cl_ord_id} for what remains: it is now for {row.qty} "
                f"units in all, was to be {modify.order_qty}; cancel it, or modify it to the units that remain"
            )

    def _client_id(self, account: str, session: XtsSession) -> str | None:
        return client_id(self.name, self.settings, session, account, self.bound)

    async def _of_row(self, row: OrderRow) -> str | None:
        """The ``clientID`` that changes an order: the client of its row, never the login."""
        mode = id_mode(self.settings)
        if mode == "omit":
            return None
        if self.dealer:
            return MASK if mode == "masked" else row.client_id.strip("*") or self.client or None
        return self._client_id(row.client_id or await self.account(), await self.link.session())

    async def _reading(self) -> dict[str, object]:
        """The ``clientID`` of a read: a dealer's client by its real code, an own account as the mode says."""
        if self.dealer:
            return {"clientID": self.client} if self.client else {}
        mode = id_mode(self.settings)
        if mode == "omit":
            return {}
        return {"clientID": (await self.link.session()).user_id if mode == "user_id" else await self.account()}

    async def acting(self) -> dict[str, object]:
        """The ``clientID`` of what changes a position: a dealer's client, never the dealer."""
        if self.dealer and not self.client:
            raise Refused("this changes a client's position; ask for_client(code)")
        sent_as = self._client_id(await self.account(), await self.link.session())
        return {} if sent_as is None else {"clientID": sent_as}

    async def _book(self, book: Book[R], client: str, *, whole: bool = False, **more: object) -> tuple[R, ...]:
        """Rows of a client, or of all: by the plain call or the dealer's, whichever this install answers."""
        if not self.dealer:
            if whole:
                return book.read(await self.link.call(book.dealer, params=more, what=book.what))
            return book.read(await self.link.call(book.plain, params=more | await self._reading()))

        async def by_client() -> tuple[R, ...]:
            codes = (client,) if client else await self._clients()
            asked = [{**more, "clientID": code} for code in codes]
            found = [book.read(await self.link.call(book.plain, params=params)) for params in asked]
            return tuple(row for rows in found for row in rows)

        async def at_once() -> tuple[R, ...]:
            rows = book.read(await self.link.call(book.dealer, params=more, what=book.what))
            if rows or not book.may_be_empty:
                return rows
            try:
                return await by_client()
            except AuthExpired:
                raise
            except Refused:
                return rows  # the dealer's call is the only one that this install answers

        ways = (at_once, by_client) if whole or not client else (by_client, at_once)
        rows = await first_allowed(*ways)
        return tuple(row for row in rows if self._mine(row.client_id, client))

    async def _clients(self) -> tuple[str, ...]:
        """The clients to ask for one by one: those that the login names, or else those this process knows of."""
        known = {self.settings.client_id, *self._shared.clients} - {""}
        codes = await self.client_codes() or tuple(sorted(known))
        if not codes:  # no client asked for is not an empty book
            raise Refused(f"{self.name} names no client of this login; set [xts] client_id, or use for_client(code)")
        return codes

    async def _working(self, cl_ord_id: str, *, cancel: bool = False) -> OrderRow:
        """The row of an order that may still be changed: the one last seen, or the book's after a change of ours.

        A ``cancel`` leaves though the book cannot be read, and unread while none was taken yet.
        """
        self._open()
        shared, names = self._shared, self._shared.names
        app_id = names.app_id(cl_ord_id) or ""
        former = shared.former.get(app_id) if cancel else None
        row = shared.rows.get(app_id) or (former if app_id not in shared.canceled else None)
        if row is None or status_of(row) in TERMINAL:
            try:
                await (self.dealer_orders() if self.dealer and not self.bound else self.order_book())
                row = shared.rows.get(names.app_id(cl_ord_id) or "")
            except Retryable as error:
                if (row := former) is None:
                    raise Refused(f"{error}; nothing was sent") from None
        if row is None:
            raise Refused(f"no order {cl_ord_id!r} today{nearest(cl_ord_id, names.known())}")
        if (status := status_of(row)) in TERMINAL:
            raise Refused(f"order {cl_ord_id} is already {status}")
        return row

    def _keep(self, rows: tuple[OrderRow, ...]) -> tuple[OrderRow, ...]:
        for row in rows:
            self._shared.names.of(row)
        self._shared.showed(rows)
        return rows

    def _mine(self, found: str, client: str | None = None) -> bool:
        """Whether a row is of the client asked for (default: this one's)."""
        return is_mine(self.settings, self.client if client is None else client, found)

    async def _finder(self) -> Callable[[str, int | None], Instrument | None]:
        return (await self.master()).by_id

    async def place_of(self, symbol: str) -> tuple[str, int]:
        """XTS's segment and id of a contract."""
        master = await self.master()
        return master.place_of(master.find(symbol))

    def nudge(self) -> None:
        """Have the books read soon by those who listen."""
        self._shared.nudge()

    def _open(self) -> None:
        if self.link.closed:
            raise Refused(f"this {self.name} connection is closed; connect again")


def _range(day_or_net: str) -> str:
    if day_or_net not in _DAY_OR_NET:
        raise BadData(f"positions are DayWise or NetWise, was {day_or_net!r}")
    return day_or_net
