"""The desk: what a notebook, a script or the command line holds.

:func:`desk` gives paper in this process (an engine on a thread and loop of its own) or attaches to the engine
process that holds a live account; :func:`attach` takes any running engine. Either way it is the same object.
Nothing that happens to the caller (Ctrl-C, a slow cell, a second thread) reaches the engine's loop: a call that
is interrupted goes on there, and the same ``cl_ord_id`` again gives the same order.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import secrets
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import polars as pl

from toolkit import desk_frames as shapes
from toolkit.config import home
from toolkit.desk_backends import STOP_S, Local, Loop, Remote, via_of
from toolkit.errors import BadData, BadOrder, BadSetting, Refused
from toolkit.orders.words import asked_of, order_from_json, read_basket, read_change, read_named
from toolkit.store.lease import Holder, holders
from toolkit.types import Order, OrderRequest

if TYPE_CHECKING:
    from toolkit.desk_report import DeskDay
    from toolkit.serve.client import Client

__all__ = ["AioDesk", "Desk", "Events", "OiView", "attach", "desk"]

T = TypeVar("T")
Asked = OrderRequest | Mapping[str, Any]

_READY_S: Final = 120.0
_RUNNING: dict[tuple[str, ...], Desk] = {}
_STARTING: Final = threading.Lock()
_STARTED: Final[list[subprocess.Popen[bytes]]] = []
"""Engines that this process started: they outlive it."""


class OiView(NamedTuple):
    """Open interest of one underlying: four frames."""

    levels: pl.DataFrame
    shifts: pl.DataFrame
    events: pl.DataFrame
    heat: pl.DataFrame


class Desk:
    """Orders, book and market of one engine. Made by :func:`desk` and :func:`attach`; safe from any thread."""

    def __init__(self, backend: Local | Remote, loop: Loop) -> None:
        self._backend = backend
        self._loop = loop
        state = loop.wait(backend.state)
        self.mode: str = state["mode"]
        self.accounts: tuple[str, ...] = tuple(seat["account"] for seat in state["accounts"])
        self.aio = AioDesk(self)

    def __repr__(self) -> str:
        where = self._backend.url or "in this process"
        return f"Desk({self.mode.upper()}, {', '.join(self.accounts)}, {where})"

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go: an engine in this process stops, one elsewhere goes on."""
        for key in [key for key, held in _RUNNING.items() if held is self]:
            del _RUNNING[key]
        if self._loop._thread.is_alive():
            with contextlib.suppress(TimeoutError):
                self._loop.submit(self._backend.close).result(STOP_S)
            self._loop.stop()

    # orders

    def place(self, order: Asked | Sequence[Asked], *, algo: str | None = None, policy: Any = None) -> Order:
        """Place one order, or legs that belong together (a parent order comes back).

        Parameters
        ----------
        order : OrderRequest, mapping, or a sequence of them
            What ``tk.order`` wrote, or the surface's fields. The same ``cl_ord_id`` again is the same order.
        algo, policy : optional
            For legs: the execution algorithm and what to do when one fails.

        Returns
        -------
        Order
            In any state: ``denied`` and ``rejected`` say why in ``text``, ``unknown`` means it may be placed.

        Raises
        ------
        BadOrder
            When a field cannot be part of an order.
        """
        return self._wait(self._place, order, algo, policy)

    def modify(
        self,
        cl_ord_id: str,
        *,
        order_qty: int | None = None,
        price: float | str | None = None,
        stop_px: float | str | None = None,
    ) -> Order:
        """Change a working order; what is not named stays."""
        return self._wait(self._modify, cl_ord_id, order_qty, price, stop_px)

    def cancel(self, cl_ord_id: str) -> Order:
        """Cancel a working order."""
        return self._wait(self._cancel, cl_ord_id)

    def cancel_all(self, account: str | None = None) -> pl.DataFrame:
        """Cancel every working order."""
        return self._wait(self._rows_of, "cancel_all", "orders", shapes.ORDERS, account)

    def order(self, cl_ord_id: str) -> dict[str, Any]:
        """One order with its events, in the surface's words."""
        return self._wait(self._order, cl_ord_id)

    def preview(self, order: Asked | Sequence[Asked], *, algo: str | None = None, policy: Any = None) -> dict[str, Any]:
        """What an order or legs would do: plan, margin, charges, rules, age of the quote; nothing is sent."""
        return self._wait(self._preview, order, algo, policy)

    def plan(self, order: Asked | Sequence[Asked], *, algo: str | None = None, policy: Any = None) -> dict[str, Any]:
        """Where an order or legs would go, what is left, and why; sends nothing.

        Each child has account, broker, exchange, quantity and its ``slices``, the orders that the exchange accepts;
        None where an algorithm makes them as it goes.
        """
        return self._wait(self._plan, order, algo, policy)

    def resend(self, cl_ord_id: str, confirm: str) -> Order:
        """Send an unknown order once more: a person's act; ``confirm`` is the worst case that a refusal shows."""
        return self._wait(self._resend, cl_ord_id, confirm)

    # the book

    def orders(self, account: str | None = None) -> pl.DataFrame:
        """The day's orders."""
        return self._wait(self._frame, "orders", shapes.ORDERS, account)

    def fills(self, account: str | None = None) -> pl.DataFrame:
        """The day's executions."""
        return self._wait(self._frame, "fills", shapes.FILLS, account)

    def positions(self, account: str | None = None) -> pl.DataFrame:
        """Net positions with cost, mark and Greeks."""
        return self._wait(self._frame, "positions", shapes.POSITIONS, account)

    def pnl(self, account: str | None = None) -> pl.DataFrame:
        """Profit by account, rupees."""
        return self._wait(self._frame, "pnl", shapes.PNL, account)

    def greeks(self, account: str | None = None, by: str | Sequence[str] | None = None) -> pl.DataFrame:
        """Net Greeks by account, underlying and expiry, or ``by`` any of account, strategy, underlying, expiry, symbol.

        ``theta_day`` is a calendar day's, ``vega_pt`` a volatility point's; null where a position is unknown, then
        with ``delta_low`` and ``delta_high`` around it.
        """
        return self._wait(self._greeks, account, by)

    def margin(
        self, order: Asked | Sequence[Asked] | None = None, account: str | None = None, by: str | None = None
    ) -> pl.DataFrame:
        """Money and margin by account, how it is covered and the day's peak; ``by="strategy"``: a row a strategy.

        With an order or legs: what they need, the account before and after, and the legs in the order of least need.
        """
        return self._wait(self._margin, order, account, by)

    def limits(self, account: str | None = None) -> pl.DataFrame:
        """Every limit, with its use where it has one."""
        return self._wait(self._limits, account)

    def locks(self, account: str | None = None) -> pl.DataFrame:
        """The locks in force: what they stop, why, until when, and what lifts them."""
        return self._wait(self._locks, account)

    def risk(self, **query: Any) -> dict[str, Any]:
        """Worst and best case of the scenarios, value at risk, cost of closing, and what expires (``expiry=DATE``)."""
        return self._wait(self._risk, query)

    def scenarios(self, **query: Any) -> pl.DataFrame:
        """Profit of the positions over moves of spot and volatility."""
        return self._wait(self._scenarios, query)

    def execution(self, account: str | None = None) -> dict[str, Any]:
        """Latency by stage, slippage, ratios."""
        return self._wait(self._view, "execution", account=account)

    # the market

    def chain(self, underlying: str, expiry: Any = None) -> pl.DataFrame:
        """One expiry (default: the nearest), a row a strike: quotes, IV, Greeks, theo, own position."""
        return self._wait(self._chain, underlying, expiry)

    def oi(self, underlying: str, at: str | None = None, base: str | None = None) -> OiView:
        """Open interest as known at a time, changes by strike against a base."""
        return self._wait(self._oi, underlying, at, base)

    def events(self, after: int | None = None, account: str | None = None) -> Events:
        """The journal's events after a number (default: from now on): an iterator and an async iterator."""
        return Events(self, after, account)

    def past_events(self, account: str | None = None, *, chain: bool = False) -> Iterator[dict[str, Any]]:
        """The journal's events so far, oldest first; ``chain`` gives its records as they are. Ends at the newest."""
        after = 0
        while page := self._wait(self._events_page, after, account, int(chain)):
            yield from page
            after = page[-1]["seq"]

    def state(self) -> dict[str, Any]:
        """Mode, accounts, trading state, feed, session."""
        return self._wait(self._backend.state)

    # acts

    def halt(self, reason: str = "halted by hand", *, cancel_all: bool = False, account: str | None = None) -> None:
        """Stop what increases exposure; protective orders stay unless ``cancel_all``."""
        self._wait(self._act, "halt", reason=reason, cancel_all=cancel_all, account=account)

    def resume(self, reason: str = "resumed by hand", account: str | None = None) -> None:
        """Accept new exposure again: a deliberate second act."""
        self._wait(self._act, "resume", reason=reason, account=account)

    def flatten(self, reason: str = "flattened by hand", *, confirm: str) -> pl.DataFrame:
        """Close everything of the account named in ``confirm``: reduce-only, shorts bought back first."""
        return self._wait(self._flatten, reason, confirm)

    def reconcile(self, account: str | None = None) -> pl.DataFrame:
        """Compare the broker's book with ours now; a row a difference."""
        return self._wait(self._rows_of, "reconcile", "differences", shapes.DIFFERENCES, account)

    def verify(self, account: str | None = None) -> pl.DataFrame:
        """Check every record of the day's journals; a row an account."""
        return self._wait(self._frame_of, "verify", "journals", account)

    def report(self, path: Path | str) -> Path:
        """Write the day's report as one self-contained page: orders with their lives, fills, positions, charges.

        Everything but the present worth of what is held comes from the journals, folded again from their first
        event. Returns the path.
        """
        from toolkit.report.day import write_day_report

        return write_day_report(self._wait(self._day), path)

    # the same, on the engine's loop

    def _wait(self, what: Callable[..., Coroutine[Any, Any, T]], *args: Any, **more: Any) -> T:
        return self._loop.wait(lambda: what(*args, **more))

    async def _place(self, order: Asked | Sequence[Asked], algo: str | None, policy: Any) -> Order:
        return order_from_json(await self._backend.place(_body(order, algo, policy)))

    async def _modify(self, cl_ord_id: str, order_qty: Any, price: Any, stop_px: Any) -> Order:
        fields = {"order_qty": order_qty, "price": price, "stop_px": stop_px}
        body = {name: value for name, value in fields.items() if value is not None}
        read_change(body)
        return order_from_json(await self._backend.act("modify", cl_ord_id=read_named(cl_ord_id), body=body))

    async def _cancel(self, cl_ord_id: str) -> Order:
        return order_from_json(await self._backend.act("cancel", cl_ord_id=read_named(cl_ord_id)))

    async def _resend(self, cl_ord_id: str, confirm: str) -> Order:
        return order_from_json(await self._backend.act("resend", cl_ord_id=read_named(cl_ord_id), confirm=confirm))

    async def _preview(self, order: Asked | Sequence[Asked], algo: str | None, policy: Any) -> dict[str, Any]:
        found: dict[str, Any] = await self._backend.act("preview", body=_body(order, algo, policy))
        return found

    async def _plan(self, order: Asked | Sequence[Asked], algo: str | None, policy: Any) -> dict[str, Any]:
        found: dict[str, Any] = (await self._preview(order, algo, policy))["route"]
        return found

    async def _order(self, cl_ord_id: str) -> dict[str, Any]:
        return await self._view("order", cl_ord_id=read_named(cl_ord_id))

    async def _view(self, name: str, **query: Any) -> dict[str, Any]:
        found: dict[str, Any] = await self._backend.view(name, **query)
        return found

    async def _act(self, name: str, **options: Any) -> None:
        await self._backend.act(name, **options)

    async def _frame(self, name: str, shape: pl.Schema, account: str | None) -> pl.DataFrame:
        found = await self._backend.view(name, account=account)
        return shapes.frame(found[name], shape)

    async def _frame_of(self, view: str, name: str, account: str | None) -> pl.DataFrame:
        return pl.DataFrame((await self._backend.view(view, account=account))[name])

    async def _events_page(self, after: int, account: str | None, chain: int = 0) -> list[dict[str, Any]]:
        found = await self._backend.view("events", after=after, most=1000, account=account, chain=chain)
        rows: list[dict[str, Any]] = found["events"]
        return rows

    async def _day(self) -> DeskDay:
        from toolkit.desk_report import desk_day

        journals: dict[str, list[dict[str, Any]]] = {}
        for account in self.accounts:
            found = journals.setdefault(account, [])
            while page := await self._events_page(found[-1]["seq"] if found else 0, account):
                found += page
        held = (await self._backend.view("positions", account=None))["positions"]
        worth = (await self._backend.view("pnl", account=None))["pnl"]
        state = await self._backend.state()
        return desk_day(journals, held, worth, int(state["now_ns"]), self.mode)

    async def _rows_of(self, act: str, name: str, shape: pl.Schema, account: str | None) -> pl.DataFrame:
        found = await self._backend.act(act, account=account)
        return shapes.frame(found[name], shape)

    async def _flatten(self, reason: str, confirm: str) -> pl.DataFrame:
        found = await self._backend.act("flatten", reason=reason, confirm=confirm)
        return shapes.frame(found["orders"], shapes.ORDERS)

    async def _margin(self, order: Asked | Sequence[Asked] | None, account: str | None, by: str | None) -> pl.DataFrame:
        if by not in (None, "strategy"):
            raise BadData(f"margin is by account, or by='strategy', was {by!r}")
        if order is None:
            rows = (await self._backend.view("margin", account=account))["margin"]
            if by is None:
                return shapes.frame([shapes.margin_row(row) for row in rows], shapes.MARGIN)
            return shapes.frame([one for row in rows for one in shapes.strategy_rows(row)], shapes.BY_STRATEGY)
        body = _body(order, None, None)
        for leg in body.get("legs", (body,)) if account is not None else ():
            leg.setdefault("account", account)
        found = await self._backend.act("margin", body=body)
        return pl.DataFrame([found["order"]])

    async def _limits(self, account: str | None) -> pl.DataFrame:
        rows = (await self._backend.view("limits", account=account))["limits"]
        return shapes.frame([{**row, "value": json.dumps(row["value"])} for row in rows], shapes.LIMITS)

    async def _greeks(self, account: str | None, by: str | Sequence[str] | None) -> pl.DataFrame:
        words = by if by is None or isinstance(by, str) else ",".join(by)
        found = await self._backend.view("greeks", account=account, by=words)
        return shapes.frame(found["greeks"], shapes.greeks(found["by"]))

    async def _locks(self, account: str | None) -> pl.DataFrame:
        return shapes.frame((await self._backend.view("limits", account=account))["locks"], shapes.LOCKS)

    async def _risk(self, query: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = await self._backend.view("scenarios", **query)
        return {name: value for name, value in found.items() if name != "scenarios"}

    async def _scenarios(self, query: Mapping[str, Any]) -> pl.DataFrame:
        return pl.DataFrame((await self._backend.view("scenarios", **query))["scenarios"])

    async def _chain(self, underlying: str, expiry: Any) -> pl.DataFrame:
        wanted = None if expiry is None else str(expiry)
        return shapes.chain_frame(await self._backend.view("chain", underlying=underlying, expiry=wanted))

    async def _oi(self, underlying: str, at: str | None, base: str | None) -> OiView:
        found = await self._backend.view("oi", underlying=underlying, at=at, base=base)
        names = ("levels", "shifts", "events", "heat")
        return OiView(*(shapes.stamped(found[name]) for name in names))


class AioDesk:
    """The same desk for asyncio: each method is awaited. The work stays on the engine's own loop."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def __repr__(self) -> str:
        return f"Aio{self._desk!r}"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or not callable(getattr(Desk, name, None)):
            raise AttributeError(f"a desk has no method {name!r}")
        if name == "events":
            return self._desk.events
        method = getattr(Desk, name)

        async def call(*args: Any, **more: Any) -> Any:
            caught = _Caught(self._desk)
            return await asyncio.wrap_future(method(caught, *args, **more))

        call.__doc__ = method.__doc__
        return call


class _Caught:
    """Stands in for a desk while one of its methods is called: hands back the future instead of waiting for it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._desk, name)

    def _wait(self, what: Callable[..., Coroutine[Any, Any, T]], *args: Any, **more: Any) -> Future[T]:
        return self._desk._loop.submit(lambda: what(*args, **more))


class Events(Iterator[dict[str, Any]], AsyncIterator[dict[str, Any]]):
    """Events of the journal as they come, gapless; for ``for`` and ``async for``."""

    def __init__(self, desk: Desk, after: int | None, account: str | None) -> None:
        self._loop = desk._loop
        self._source = desk._backend.events(after, account)

    def __iter__(self) -> Events:
        return self

    def __next__(self) -> dict[str, Any]:
        found = self._loop.wait(self._next)
        if found is None:
            raise StopIteration
        return found

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> dict[str, Any]:
        found = await asyncio.wrap_future(self._loop.submit(self._next))
        if found is None:
            raise StopAsyncIteration
        return found

    async def _next(self) -> dict[str, Any] | None:
        async for event in self._source:
            return event
        return None


def attach(url: str | None = None, token: str | None = None, *, via: str | None = None) -> Desk:
    """Attach to a running engine.

    Parameters
    ----------
    url : str, optional
        ``http://127.0.0.1:PORT``; default: the one engine of this home that runs on this machine.
    token : str, optional
        Bearer token; default: read from the token file of the engine on this machine.
    via : str, optional
        Who asks, for the journal: ``cli python notebook dashboard``; default: a notebook or a script, as it is.

    Raises
    ------
    Refused
        When no engine (or more than one) runs here, or it does not answer.
    """
    from toolkit.serve.client import Client, token_at

    found = [h for h in holders() if url in (None, h.url)]
    addresses = {h.url for h in found}
    if url is None and len(addresses) != 1:
        said = f"several run here: {', '.join(sorted(addresses))}" if addresses else "none runs here"
        raise Refused(f"no engine to attach to: {said}; start one with toolkit serve, or give its url")
    address = url or found[0].url
    file = Path(found[0].token_file) if found else home() / "api" / "token-admin"
    told = token if token is not None else token_at(file)
    return _remote(Client(address, told, None if token else file, via or via_of()))


def desk(
    broker: str = "paper",
    *,
    account: str | None = None,
    session: Path | str | None = None,
    feed: str | None = None,
    store: Path | str | None = None,
    live: str | None = None,
) -> Desk:
    """Open a desk.

    Parameters
    ----------
    broker : str
        ``paper`` runs in this process; ``kite``, ``xts-pro``, ``xts-client`` in an engine process of their own.
    account : str, optional
        Paper: the account's name. Live: which running engine.
    session : path, optional
        Paper on a recorded session; default the shipped sample.
    feed : str, optional
        Paper on the live market of this broker.
    store : path, optional
        Paper: folder of the journals; default under the toolkit's home.
    live : str, optional
        The account, typed in full: attaches to its engine, or starts one that is armed for it.

    Returns
    -------
    Desk
        Called again with the same words it is the same engine.

    Example
    -------
    ``desk = tk.desk(); desk.place(tk.order("NIFTY 14JUL2026 25450 CE", "buy", lots=1, price=112.05))``
    """
    if broker == "paper":
        if live is not None:
            raise BadSetting("live= is for a real broker; leave it out on paper")
        return _paper(account, session, feed, store)
    if session is not None or store is not None:
        raise BadSetting("session= and store= are for paper; a broker has its own market")
    wanted = live or account
    running = holders(broker, [] if wanted is None else [wanted])
    if len({h.url for h in running}) > 1:
        names = ", ".join(h.account for h in running)
        raise Refused(f"several engines of {broker} run here ({names}); say which with account=")
    if running:
        return _attach_to(running[0])
    if live is None:
        raise Refused(f"no engine of {broker} runs here; live=ACCOUNT, typed in full, starts one")
    return _start_engine(broker, live, feed)


def _paper(account: str | None, session: Any, feed: str | None, store: Any) -> Desk:
    from toolkit.serve.build import Plan, build

    key = tuple(str(value) for value in (account, session, feed, store, home()))
    with _STARTING:
        held = _RUNNING.get(key)
        if held is not None and held._loop._thread.is_alive():
            return held
        loop = Loop("desk-engine")
        plan = Plan(
            feed=feed,
            session=None if session is None else Path(session),
            accounts=() if account is None else (account,),
            store=None if store is None else Path(store),
        )

        async def start() -> Local:
            built = await build(plan)
            try:
                await built.station.start()
            except BaseException:
                await built.close()
                raise

            async def close() -> None:
                await built.station.stop()
                await built.close()

            return Local(built.station, close)

        try:
            made = Desk(loop.wait(start), loop)
        except BaseException:
            loop.stop()
            raise
        _RUNNING[key] = made
        return made


def _remote(client: Client) -> Desk:
    loop = Loop("desk-client")
    try:
        return Desk(Remote(client), loop)
    except BaseException:
        loop.stop()
        raise


def _attach_to(holder: Holder) -> Desk:
    from toolkit.serve.client import Client, token_at

    file = Path(holder.token_file)
    return _remote(Client(holder.url, token_at(file), file, via_of()))


def _start_engine(broker: str, live: str, feed: str | None) -> Desk:
    """Start the engine process of an account, on its own so that nothing here ends it, and attach."""
    words = [sys.executable, "-m", "toolkit", "serve", "--broker", broker, "--account", live, "--live", live]
    words += ["--port", "0", *(("--feed", feed) if feed else ())]
    log = home() / "logs" / f"serve-{broker}.log"
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with log.open("ab") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own command
            words, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, start_new_session=True
        )
    assert process.stdout is not None
    reader: Future[bytes] = Future()
    thread = threading.Thread(target=lambda: reader.set_result(process.stdout.readline()), daemon=True)  # type: ignore[union-attr]
    thread.start()
    try:
        line = reader.result(_READY_S)
    except TimeoutError:
        process.terminate()
        raise Refused(f"the engine did not get ready within {_READY_S:g} s; see {log}") from None
    process.stdout.close()
    _STARTED.append(process)
    if not line:
        process.wait()
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise Refused(f"the engine did not start: {said[-1] if said else 'no reason given'}")
    ready = json.loads(line)
    found = [h for h in holders(broker, [live]) if h.url == ready["url"]]
    if not found:
        raise BadData(f"the engine of {live} started and is gone again; see {log}")
    return _attach_to(found[0])


def _body(order: Any, algo: str | None, policy: Any) -> dict[str, Any]:
    """The surface's fields; an order without an id gets one here, so that a repeat of this very call is the same."""
    more = {name: value for name, value in (("algo", algo), ("policy", policy)) if value is not None}
    if isinstance(order, OrderRequest | Mapping):
        body = {**_fields(order), **more}
    elif isinstance(order, Sequence) and not isinstance(order, str | bytes):
        body = {"legs": [_fields(leg) for leg in order], **more}
    else:
        raise BadOrder("body", "an object", type(order).__name__, f"an order must be an object, was {order!r:.60}")
    read_basket(body)  # what cannot be an order ends here, whether the engine is in this process or elsewhere
    return body


def _fields(order: Any) -> Any:
    """The fields of one order, with an id; what is none goes on as it is, to be refused."""
    if not isinstance(order, OrderRequest | Mapping):
        return order
    fields = asked_of(order) if isinstance(order, OrderRequest) else dict(order)
    if "legs" not in fields and fields.get("cl_ord_id") is None:
        fields["cl_ord_id"] = "D" + secrets.token_hex(8).upper()
    return fields


class _Callable(ModuleType):
    """This module, which ``tk.desk`` names as well as the function in it: calling it opens a desk."""

    __call__ = staticmethod(desk)


sys.modules[__name__].__class__ = _Callable


@atexit.register
def _close_all() -> None:
    for held in list(_RUNNING.values()):
        with contextlib.suppress(Exception):
            held.close()
