"""The engine for one act: lease, recovery, one order, a definite answer or ``unknown``, stop.

The same pure :class:`~toolkit.orders.core.Core` as in a replay decides; here its effects are
performed against a real broker. Nothing leaves before its record is durable. A silent broker
makes an order ``unknown``; it is looked for in the broker's book and never sent again.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from toolkit import tables
from toolkit.brokers.port import Broker
from toolkit.calendar import ist_date
from toolkit.config import home
from toolkit.errors import AuthExpired, BadData, Refused, Retryable, ToolkitError, Unknown
from toolkit.market.quotes import key_of
from toolkit.orders.core import Core
from toolkit.orders.effects import Effect, Record, SendCancel, SendNew, SendReplace, Tell
from toolkit.orders.settings import EngineSettings
from toolkit.risk.checks import RULES, check, protect
from toolkit.risk.limits import Limits
from toolkit.store.journal import GENESIS, Journal, verify_file
from toolkit.store.lease import Lease
from toolkit.types import (
    Denial,
    ExecType,
    ExecutionReport,
    Kind,
    Modify,
    Order,
    OrderRequest,
    OrdStatus,
    OrdType,
    Side,
)

__all__ = ["Act", "exit_code", "journal_path", "order_json"]

_WAITING: Final = frozenset(
    {OrdStatus.PENDING_NEW, OrdStatus.UNKNOWN, OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_REPLACE}
)
_UNSEEN: Final = frozenset({OrdStatus.PENDING_NEW, OrdStatus.UNKNOWN})
_SKEW_S: Final = 30.0


class Act:
    """One account at one broker, opened for a single act.

    Parameters
    ----------
    broker : Broker
        Connected; only this object sends orders through it.
    account : str
        Typed by the user; must be the broker's own.
    limits : Limits
        Pre-trade limits.
    engine : EngineSettings
    clock : callable
        Nanoseconds UTC: the broker's clock.
    realm : str
        Where the broker is, for simulated ones and paper; empty for the real one.

    Example
    -------
    ``async with Act(broker, "AB1234", limits=Limits(), engine=EngineSettings(), clock=time.time_ns) as act: ...``
    """

    def __init__(
        self,
        broker: Broker,
        account: str,
        *,
        limits: Limits,
        engine: EngineSettings,
        clock: Callable[[], int],
        realm: str = "",
        folder: Path | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.broker = broker
        self.account = account
        self.limits = msgspec.structs.replace(limits, check_margin=False)
        self.core = Core(account, broker=broker.name, limits=self.limits)
        self._check_margin = limits.check_margin
        self._engine = engine
        self._clock = clock
        self._realm = realm
        self._folder = folder
        self._sleep = sleep
        self._lease: Lease | None = None
        self._journal: Journal | None = None
        self._stamp = ""
        self._taken: set[str] = set()

    async def __aenter__(self) -> Self:
        profile = await self.broker.profile()
        if profile.account != self.account:
            raise Refused(f"the account at {self.broker.name} is not '{self.account}'; type your own account in full")
        self._lease = Lease(self.broker.name, self.account, self._realm)
        try:
            self._open()
            await self._recover()
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the journal and the lease go."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        if self._lease is not None:
            self._lease.release()
            self._lease = None

    def new_id(self) -> str:
        """The next free order id."""
        return self.core.new_id(self._clock(), self._taken)

    async def place(self, request: OrderRequest) -> Order:
        """Place one order and wait for its answer. The same id again gives the same order and sends nothing.

        Returns
        -------
        Order
            In any state: ``denied`` and ``rejected`` say why in ``text``, ``unknown`` means look again.
        """
        if request.cl_ord_id in self.core.orders:
            self._perform_quietly(self.core.submit(self._clock(), request))
            return self.core.orders[request.cl_ord_id]
        await self._prepare(request)
        passes = not self._denials(request)
        denials = await self._margin(request) if passes else ()
        now_ns = self._clock()
        effects = self.core.deny(now_ns, request, denials) if denials else self.core.submit(now_ns, request)
        await self._perform(effects)
        await self._answers(self._family(request.cl_ord_id))
        return self.core.orders[request.cl_ord_id]

    async def modify(self, modify: Modify) -> Order:
        """Modify a working order of this account's journal."""
        order = self._known(modify.cl_ord_id)
        await self._prepare(order.request)
        await self._perform(self.core.modify(self._clock(), modify))
        await self._answers([modify.cl_ord_id])
        return self.core.orders[modify.cl_ord_id]

    async def cancel(self, cl_ord_id: str) -> Order:
        """Cancel a working order; a sliced one with all its children."""
        self._known(cl_ord_id)
        await self._perform(self.core.cancel(self._clock(), cl_ord_id))
        await self._answers(self._family(cl_ord_id))
        return self.core.orders[cl_ord_id]

    async def preview(self, request: OrderRequest) -> dict[str, Any]:
        """What an order would do: its exchange orders, margin, rules passed and failed, age of the quote."""
        await self._prepare(request)
        now_ns, book = self._clock(), self.core.book
        plan = self.core.plan(request)
        denials = self._denials(request)
        denials = denials or await self._margin(request)
        margin = await self.broker.order_margins([request]) if not denials else None
        failed = {d.rule for d in denials}
        instrument = book.instruments[request.symbol]
        quote = book.quote(instrument)
        return {
            "plan": list(plan),
            "lot": instrument.lot,
            "margin": None if margin is None else msgspec.to_builtins(margin),
            "failed": [msgspec.to_builtins(d) for d in denials],
            "passed": [name for rule in RULES if (name := rule.__name__.strip("_")) not in failed],
            "quote_age_s": None if quote is None else round((now_ns - quote.ts_ns) / 1e9, 3),
            "would_leave": not denials,
        }

    def _open(self) -> None:
        """Open the day's journal and rebuild the core from it."""
        now_ns = self._clock()
        day = ist_date(now_ns)
        path = journal_path(self.broker.name, self.account, day, self._realm, self._folder)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._realm:
            _set_aside(path, self.account, now_ns)
        earlier = sorted(p for p in path.parent.glob("????-??-??.db") if p.name < path.name)
        before = verify_file(earlier[-1]).last_hash if earlier and not path.exists() else GENESIS
        self._journal = Journal(path, account=self.account, day=day.isoformat(), prev_hash=before)
        self._stamp = f"{self._journal.last_seq}."
        records = [entry.record for entry in self._journal.records()]
        if records:
            self.core = Core.replay(records)
            if self.core.limits != self.limits:
                self._write(self.core.set_limits(now_ns, self.limits))
        else:
            self._write(self.core.start_day(now_ns))

    async def _recover(self) -> None:
        """Read the broker's book and bring every open order of ours up to it; the others count in risk as they are."""
        book = {order.cl_ord_id: order for order in await self.broker.orders()}
        self._taken = set(book)
        mine = self.core.open_orders()
        await self._list({o.request.symbol for o in mine} | {o.request.symbol for o in book.values() if o.is_open})
        for order in mine:
            if order.cl_ord_id in book:
                await self._hear(order.cl_ord_id)
            elif self.broker.capabilities.loopback_only:
                await self._restore(order)
            else:
                await self._absent(order)
        for order in book.values():
            if order.cl_ord_id not in self.core.orders and order.is_open:
                self.core.book.on_order(None, order)
        if not self.broker.capabilities.loopback_only:
            held: dict[str, int] = {}
            for position in await self.broker.positions():
                held[position.symbol] = held.get(position.symbol, 0) + position.net_qty
            self.core.book.net = {symbol: qty for symbol, qty in held.items() if qty}
            await self._list(held)

    async def _absent(self, order: Order) -> None:
        """An order that the book does not hold is settled as not found only after long enough and a second reading."""
        age_s = (self._clock() - order.created_ns) / 1e9
        if order.ord_status not in _UNSEEN or age_s < self._engine.settle_s:
            return
        if order.cl_ord_id in {o.cl_ord_id for o in await self.broker.orders()}:
            await self._hear(order.cl_ord_id)
            return
        text = f"not in the broker's book after {age_s:.0f} s, in two readings"
        await self._perform(self.core.on_report(self._own(order.request, ExecType.REJECTED, "absent", text)))

    async def _restore(self, order: Order) -> None:
        """Paper forgets between acts: put a working order back on its exchange with what is left of it."""
        left = msgspec.structs.replace(order.request, order_qty=order.leaves_qty)
        await self.broker.place(left)

    async def _prepare(self, request: OrderRequest) -> None:
        """The contract, a fresh quote and the session's hours: what the rules look at."""
        skew_s = getattr(self.broker, "clock_skew_s", None)
        if skew_s is not None and abs(skew_s) > _SKEW_S:
            raise Refused(
                f"this machine's clock is {skew_s:.0f} s off the broker's; set it right "
                "(for a simulated broker: TOOLKIT_ENGINE__CLOCK=venue)"
            )
        instrument = await self.broker.resolve(request.symbol, request.exchange)
        self.core.book.add([instrument])
        quotes = await self.broker.quote([request.symbol])
        quote = quotes.get(request.symbol)
        if quote is not None:
            self.core.book.quotes.set(key_of(instrument), quote)
        calendar, day = tables.calendar(instrument.exchange), ist_date(self._clock())
        self.core.book.session = calendar.bounds_ns(day) if calendar.is_session(day) else (0, 0)

    async def _list(self, symbols: Iterable[str]) -> None:
        for symbol in sorted(set(symbols) - set(self.core.book.instruments)):
            try:
                self.core.book.add([await self.broker.resolve(symbol)])
            except BadData:
                continue  # expired or foreign: it counts by symbol, without terms

    def _denials(self, request: OrderRequest) -> tuple[Denial, ...]:
        """What the rules say, before the broker is asked about margin."""
        book, now_ns = self.core.book, self._clock()
        order = request
        if request.ord_type is OrdType.MARKET and request.price_p is None:
            order = msgspec.structs.replace(request, price_p=protect(request, book, self.limits, now_ns))
        return check(order, book, self.limits, now_ns, messages=len(self.core.plan(order)))

    async def _margin(self, request: OrderRequest) -> tuple[Denial, ...]:
        """Ask the broker what the order needs and what there is; an order that only reduces needs nothing."""
        if not self._check_margin or self.core.book.reduces(request.symbol, request.side, request.order_qty):
            return ()
        need = await self._need_p(request)
        funds = await self.broker.margins()
        have = funds.cash_p if self.broker.capabilities.margin_holds_book else funds.available_p
        if have is None or need <= have:
            return ()
        text = f"margin Rs {need / 100:.2f} exceeds the available Rs {have / 100:.2f}"
        return (Denial("margin", have, need, text),)

    async def _need_p(self, request: OrderRequest) -> int:
        """What the broker says the order needs; where it has no calculator, the premium of a bought option."""
        try:
            return round((await self.broker.order_margins([request])).total * 100.0)
        except AuthExpired:
            raise
        except Refused:
            instrument = self.core.book.instruments[request.symbol]
            if instrument.kind is not Kind.OPTION or request.side is not Side.BUY or request.price_p is None:
                raise
            return request.order_qty * request.price_p

    async def _perform(self, effects: Sequence[Effect]) -> None:
        """Journal first, then send each message once and journal what came of it."""
        self._write(effects)
        for effect in effects:
            if isinstance(effect, SendNew):
                await self._send(effect.request, ExecType.REJECTED, self.broker.place(effect.request))
            elif isinstance(effect, SendReplace):
                request = self.core.orders[effect.modify.cl_ord_id].request
                await self._send(request, ExecType.REPLACE_REJECTED, self.broker.modify(effect.modify))
            elif isinstance(effect, SendCancel):
                request = self.core.orders[effect.cl_ord_id].request
                await self._send(request, ExecType.CANCEL_REJECTED, self.broker.cancel(effect.cl_ord_id))
            elif isinstance(effect, Tell) and effect.report.exec_type in _LOCAL:
                raise Refused(effect.report.text)

    async def _send(self, request: OrderRequest, refusal: ExecType, sending: Awaitable[str | None]) -> None:
        before = self.core.orders[request.cl_ord_id]
        try:
            order_id = await sending
        except Unknown as error:
            report = self._own(request, ExecType.UNKNOWN, "unknown", str(error))
        except (Refused, BadData) as error:
            report = self._own(request, refusal, f"refused{before.updated_ns}", str(error))
            self._write(self.core.on_report(report))
            if refusal is not ExecType.REJECTED:
                raise
            return
        except (ToolkitError, asyncio.CancelledError) as error:
            self._write(self.core.on_report(self._own(request, ExecType.UNKNOWN, "unknown", "interrupted")))
            raise Unknown(f"order {request.cl_ord_id} may be placed ({error}); look into the order book") from None
        else:
            if order_id is None:
                return
            report = self._own(request, ExecType.PENDING_NEW, "sent", "", order_id)
        self._write(self.core.on_report(report))

    async def _answers(self, cl_ord_ids: Sequence[str]) -> None:
        """Ask after orders until each has a definite state or the time is up."""
        waited = 0.0
        while True:
            for cl_ord_id in cl_ord_ids:
                if self.core.orders[cl_ord_id].ord_status in _WAITING:
                    await self._hear(cl_ord_id)
            left = [c for c in cl_ord_ids if self.core.orders[c].ord_status in _WAITING]
            if not left or waited >= self._engine.answer_s:
                return
            await self._sleep(self._engine.poll_s)
            waited += self._engine.poll_s

    async def _hear(self, cl_ord_id: str) -> None:
        """Take in what the broker says about one order; a book that cannot be read now says nothing."""
        try:
            history = await self.broker.order_history(cl_ord_id)
        except (Retryable, BadData, Refused):
            return
        for report in history:
            stamped = report
            if self.broker.capabilities.loopback_only:
                stamped = msgspec.structs.replace(report, exec_id=self._stamp + report.exec_id)
            self._write(self.core.on_report(stamped))

    def _write(self, effects: Sequence[Effect]) -> None:
        records = [effect for effect in effects if isinstance(effect, Record)]
        if records and self._journal is not None:
            self._journal.append(records)

    def _perform_quietly(self, effects: Sequence[Effect]) -> None:
        if effects:
            raise BadData("an order id was reused for another order; use a new id")

    def _own(
        self, request: OrderRequest, kind: ExecType, what: str, text: str, order_id: str | None = None
    ) -> ExecutionReport:
        now_ns = self._clock()
        return ExecutionReport(
            cl_ord_id=request.cl_ord_id,
            exec_id=f"{request.cl_ord_id}-{what}",
            exec_type=kind,
            ts_ns=now_ns,
            recv_ns=now_ns,
            order_id=order_id,
            account=self.account,
            symbol=request.symbol,
            side=request.side,
            text=text,
        )

    def _known(self, cl_ord_id: str) -> Order:
        order = self.core.orders.get(cl_ord_id)
        if order is None:
            raise Refused(f"no order {cl_ord_id!r} of this engine today; see: toolkit order list")
        return order

    def _family(self, cl_ord_id: str) -> list[str]:
        return list(self.core.children.get(cl_ord_id, (cl_ord_id,)))


_LOCAL: Final = frozenset({ExecType.CANCEL_REJECTED, ExecType.REPLACE_REJECTED})


def exit_code(order: Order) -> int:
    """Exit code of the command line: 0 done, 3 certainly not placed, 4 may be placed."""
    if order.ord_status is OrdStatus.UNKNOWN:
        return 4
    return 3 if order.ord_status in (OrdStatus.DENIED, OrdStatus.REJECTED) else 0


def journal_path(broker: str, account: str, day: dt.date, realm: str = "", folder: Path | None = None) -> Path:
    """The journal of one account and day under the toolkit's home."""
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in f"{broker}-{account}-{realm}".rstrip("-"))
    return (folder or home() / "accounts") / safe[:100] / f"{day.isoformat()}.db"


def order_json(order: Order) -> dict[str, Any]:
    """An order in the words of the surface: rupees, units; unknown is None."""
    request = order.request
    return {
        "cl_ord_id": request.cl_ord_id,
        "order_id": order.order_id,
        "exch_order_id": order.exch_order_id,
        "account": request.account,
        "broker": request.broker,
        "symbol": request.symbol,
        "exchange": request.exchange,
        "side": str(request.side),
        "order_qty": request.order_qty,
        "ord_type": str(request.ord_type),
        "price": None if request.price_p is None else request.price_p / 100.0,
        "stop_px": None if request.stop_px_p is None else request.stop_px_p / 100.0,
        "time_in_force": str(request.time_in_force),
        "product": str(request.product),
        "ord_status": str(order.ord_status),
        "cum_qty": order.cum_qty,
        "leaves_qty": order.leaves_qty,
        "avg_px": order.avg_px if order.cum_qty else None,
        "text": order.text,
        "parent_id": request.parent_id,
        "created_ns": order.created_ns,
        "updated_ns": order.updated_ns,
    }


def _set_aside(path: Path, account: str, now_ns: int) -> None:
    """A simulated day that was started anew: its journal lies ahead of the clock and is kept under another name."""
    if not path.exists():
        return
    with Journal(path, account=account, day=path.stem) as journal:
        newest = max((entry.ts_ns for entry in journal.records()), default=0)
    if newest > now_ns + 2 * 10**9:
        number = len(list(path.parent.glob(f"{path.stem}.lived-*"))) + 1
        path.rename(path.with_name(f"{path.stem}.lived-{number}"))
