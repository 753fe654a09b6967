"""The process as one object: several engines, one hub, alerts, and every act of the surface over them.

Each method answers in the words of the surface (JSON-able: rupees, units, None is unknown). Everything runs on one
event loop; nothing here blocks it. Clients are the API, the stream and the desk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import polars as pl

from toolkit import __version__, tables
from toolkit.calendar import ist_date
from toolkit.errors import BadData, BadOrder, RiskDenied, ToolkitError
from toolkit.market.hub import Hub
from toolkit.market.relabel import relabelled
from toolkit.market.view import ChainSlice
from toolkit.orders import meters, views
from toolkit.orders.live import LiveEngine
from toolkit.orders.lookout import Armed, Lookout, Sources
from toolkit.orders.previews import read_base, read_date, read_instant, summary
from toolkit.orders.routing import Routes, contract_of
from toolkit.orders.turns import Turns
from toolkit.orders.wholes import Plan, Wholes, is_known, named
from toolkit.orders.words import (
    Asked,
    Basket,
    NoOrder,
    event_json,
    fill_json,
    no_account,
    no_order,
    order_json,
    read_basket,
    read_change,
    request_of,
)
from toolkit.portfolio import charges as charge_note
from toolkit.portfolio.positions import fills_frame
from toolkit.types import Instrument, Kind, Modify, Order, OrderRequest, OrdStatus

__all__ = ["Seat", "Station"]

_LOG: Final = logging.getLogger("toolkit.station")
_S: Final = 1_000_000_000
_ALERTS: Final = 1000
_PREVIEW_S: Final = 30.0
_FOLLOW_S: Final = 0.5
_GREEKS_S: Final = 1.0


class Seat(msgspec.Struct, kw_only=True, eq=False):
    """One engine in the process: an account at a broker, and until when it may trade live.

    ``armed_until_ns`` is None on paper, 0 for a real account that nobody armed; ``begin`` is called once it is ready.
    """

    engine: LiveEngine
    armed_until_ns: int | None = None
    begin: Callable[[], None] = lambda: None

    @property
    def account(self) -> str:
        """The account's id."""
        return self.engine.account

    @property
    def broker(self) -> str:
        """The broker's name."""
        return self.engine.broker.name


class Station:
    """One process.

    Parameters
    ----------
    seats : sequence of Seat
        The first one is meant when nobody names an account.
    hub : Hub
    mode : str
        ``paper`` or ``live``.
    clock : callable
        The engines' time, nanoseconds UTC.
    tell : callable, optional
        Gets every alert as JSON-able words; must not wait.
    runs : callable, optional
        Backtest runs, newest first.
    sources : Sources, optional
        Margin parameters, closes and price bands, alert rules.
    """

    def __init__(
        self,
        seats: Sequence[Seat],
        hub: Hub,
        *,
        mode: str,
        clock: Callable[[], int],
        tell: Callable[[Mapping[str, Any]], None] = lambda alert: None,
        runs: Callable[[], list[dict[str, Any]]] = list,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        sources: Sources | None = None,
    ) -> None:
        if not seats:
            raise BadData("an engine process needs at least one account")
        self.seats = {seat.account: seat for seat in seats}
        if len(self.seats) != len(seats):
            raise BadData("two accounts of one process have the same id; serve them from two processes")
        self.hub = hub
        self.mode = mode
        self.clock = clock
        self.lookout = Lookout(hub, self.seats, clock, sources)
        for seat in seats:
            seat.engine.guards = (*seat.engine.guards, Armed(seat))
            seat.engine.deciders.leg_order = partial(self.lookout.margins.stages, seat)
            if seat.engine.monitor is not None:
                seat.engine.monitor.traded = hub
        self.wakes: set[asyncio.Event] = set()
        self.tell = tell
        self._runs = runs
        self._sleep = sleep
        self._alerts: deque[dict[str, Any]] = deque(maxlen=_ALERTS)
        self._alert_seq = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._turns = Turns()
        self._wanted: dict[str, frozenset[str]] = {}
        self.routes = Routes(self)
        self.wholes = Wholes(self)
        self.meters = meters.Meters(hub, tables.order_to_trade())

    @property
    def accounts(self) -> tuple[str, ...]:
        """Account ids, the default one first."""
        return tuple(self.seats)

    @property
    def up(self) -> bool:
        """Whether every engine is reconciled and at work."""
        return bool(self._tasks) and all(seat.engine.state == "ready" for seat in self.seats.values())

    async def start(self) -> None:
        """Start the market and every engine; returns when all are reconciled and accepting."""
        try:
            for engine in (seat.engine for seat in self.seats.values()):  # before the feed's first word of a contract
                self.hub.feed_to(relabelled(engine.on_quotes, self.hub.listed, await engine.broker.instruments()))
            self.hub.start()
            for seat in self.seats.values():
                await seat.engine.start()
                seat.begin()
            self.routes.recall()
            self.wholes.recall()
            self.lookout.attach()
            self._follow()
            loop = asyncio.get_running_loop()
            for n, seat in enumerate(self.seats.values()):
                self._tasks.append(loop.create_task(self._listen(seat), name=f"events-{n}"))
            self._tasks.append(loop.create_task(self._watch(), name="station"))
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop everything; journals are closed and leases released."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.lookout.stop()
        for seat in self.seats.values():
            with contextlib.suppress(ToolkitError):
                await seat.engine.stop()
        await self.hub.stop()

    # orders

    async def place(self, body: object, *, via: str = "api") -> dict[str, Any]:
        """One order, or legs. The same id with the same body is the same order; nothing is sent twice."""
        asked = read_basket(body)
        if isinstance(asked, Basket) or asked.algo:
            return await self._place_whole(_basket(asked), via)
        choices = await self.routes.choices(asked)
        if len(choices) > 1 or asked.cl_ord_id in self.routes:
            async with self._turns.take(asked.cl_ord_id or secrets.token_hex(8)):
                return await self.routes.place(asked, choices, via)
        seat = self._seat(asked.account, asked.broker)
        engine = seat.engine
        cl_ord_id = asked.cl_ord_id or engine.new_id()
        async with self._turns.take(cl_ord_id):
            request = await self._request(seat, asked, cl_ord_id, via)
            if is_known(self.seats, seat, [request]):
                return self._row(seat, engine.core.orders[cl_ord_id])
            self._may_trade(seat, request)
            return self._row(seat, await engine.place(request))

    async def modify(self, cl_ord_id: str, body: object) -> dict[str, Any]:
        """Change a working order; what is not named stays."""
        if cl_ord_id in self.routes:
            raise self.routes.no_modify(cl_ord_id)
        seat, order = self._find(cl_ord_id)
        change = read_change(body)
        self._armed(seat)
        qty = order.request.order_qty if change.order_qty is None else change.order_qty
        modify = Modify(cl_ord_id=cl_ord_id, order_qty=qty, price_p=change.price_p, stop_px_p=change.stop_px_p)
        return self._row(seat, await seat.engine.modify(modify))

    async def cancel(self, cl_ord_id: str) -> dict[str, Any]:
        """Cancel a working order, a routed one in every account; passes in every state."""
        if cl_ord_id in self.routes:
            return await self.routes.cancel(cl_ord_id)
        seat, _ = self._find(cl_ord_id)
        return self._row(seat, await seat.engine.cancel(cl_ord_id))

    async def cancel_all(self, account: str | None = None) -> dict[str, Any]:
        """Cancel every working order."""
        rows = []
        for seat in self._some(account):
            rows += [self._row(seat, order) for order in await seat.engine.cancel_all()]
        return {"orders": rows}

    async def resend(self, cl_ord_id: str, confirm: object) -> dict[str, Any]:
        """A person's deliberate resend of an unknown order: ``confirm`` is its worst case, which a refusal shows."""
        seat, _ = self._find(cl_ord_id)
        self._armed(seat)
        return self._row(seat, await seat.engine.resend(cl_ord_id, confirm if isinstance(confirm, str) else ""))

    async def preview(self, body: object) -> dict[str, Any]:
        """What an order or legs would do: plan, margin before and after, charges, rules, age of the quote."""
        asked = read_basket(body)
        legs = asked.legs if isinstance(asked, Basket) else (asked,)
        whole = await self.wholes.plan(_basket(asked)) if isinstance(asked, Basket) or asked.algo else None
        seat = self._seat(legs[0].account, legs[0].broker) if whole is None else whole.seat
        choices = await self.routes.choices(legs[0]) if whole is None else []
        if len(choices) > 1:
            found, made = await self.routes.preview(legs[0], choices)
        else:
            ids = [(leg, leg.cl_ord_id or f"PREVIEW{n}") for n, leg in enumerate(legs)]
            made = tuple([await self._request(seat, leg, name, "preview") for leg, name in ids])
            text, policy = ("", None) if whole is None else (asked.algo or "legs", _basket(asked).policy)
            algo = seat.engine.deciders.parents.make(text, made, policy) if text else None
            found = dict(await seat.engine.preview(made, text, policy))
            found |= await self.lookout.margins.change(seat, made, algo)
            if whole is None:
                found["route"] = await self.routes.alone(legs[0], choices)
            else:
                against = [str(denial["text"]) for denial in found["failed"]]
                against += [] if whole.ok else ["no account takes it whole"]
                found["route"] = self.routes.whole(made, text, against, whole.why)
                found["would_leave"] = found["would_leave"] and whole.ok
        now_ns = self.clock()
        found["preview_id"] = secrets.token_hex(8)
        found["expires_ns"] = now_ns + int(_PREVIEW_S * _S)
        found["mode"], found["account"], found["broker"] = self.mode, seat.account, seat.broker
        return found | summary(made, self.hub.mark, now_ns, self.mode)

    # the book

    async def orders(self, account: str | None = None) -> dict[str, Any]:
        """The day's orders of every account, or of one."""
        rows = [self._row(s, o) for s in self._some(account) for o in list(s.engine.core.orders.values())]
        home = account in (None, self.accounts[0])
        return {"orders": rows + (self.routes.rows() if home else [])}

    async def order(self, cl_ord_id: str) -> dict[str, Any]:
        """One order with its events, and its children when it was sliced or routed."""
        if cl_ord_id in self.routes:
            kin = [await self.order(order.cl_ord_id) for _, order in self.routes.children(cl_ord_id)]
            events = [event for child in kin for event in child["events"]]
            return {**self.routes.row(cl_ord_id), "events": events, "children": kin}
        seat, order = self._find(cl_ord_id)
        core = seat.engine.core
        family = {cl_ord_id, *core.children.get(cl_ord_id, ())}
        events, after = [], 0
        while batch := seat.engine.events(after, 1000):
            events += [event_json(e, seat.account) for e in batch if e.cl_ord_id in family]
            after = batch[-1].seq
            await asyncio.sleep(0)
        children = [self._row(seat, core.orders[c]) for c in core.children.get(cl_ord_id, ()) if c in core.orders]
        return {**self._row(seat, order), "events": events, "children": children}

    async def fills(self, account: str | None = None) -> dict[str, Any]:
        """The day's executions."""
        rows = [fill_json(f) for s in self._some(account) for f in s.engine.core.fills.values()]
        return {"fills": sorted(rows, key=lambda row: (row["exec_ns"], row["exec_id"]))}

    async def positions(self, account: str | None = None) -> dict[str, Any]:
        """Net positions with cost, mark and Greeks."""
        return {"positions": [row for seat in self._some(account) for row in self._positions(seat)]}

    async def pnl(self, account: str | None = None) -> dict[str, Any]:
        """Profit by account: realized, open, charges so far, net."""
        rows = []
        for seat in self._some(account):
            charges = self._day_charges(seat)
            rows.append(views.pnl_row(seat.account, seat.broker, self._positions(seat), charges))
        return {"pnl": rows, "ts_ns": self.clock()}

    async def greeks(self, account: str | None = None, by: str | None = None) -> dict[str, Any]:
        """Net Greeks by account, underlying and expiry, or as ``by`` says (strategy, symbol); and of everything."""
        return await self.lookout.greeks(self._named(account), by)

    async def margin(self, body: object = None, account: str | None = None) -> dict[str, Any]:
        """Funds and margin used, ours beside it; with an order or legs, what they need on top."""
        asked = None if body is None else read_basket(body)
        legs = () if asked is None else asked.legs if isinstance(asked, Basket) else (asked,)
        named = legs[0].account if legs else account
        found: dict[str, Any] = {"margin": [await self.lookout.margins.row(seat) for seat in self._some(named)]}
        if legs:
            seat = self._seat(named, legs[0].broker)
            made = [await self._request(seat, leg, leg.cl_ord_id or f"MARGIN{n}", "api") for n, leg in enumerate(legs)]
            found["order"] = await self.lookout.margins.order(seat, made)
        return found

    async def limits(self, account: str | None = None) -> dict[str, Any]:
        """Every limit with its use, every rule with its figure, every lock and what lifts it, the trading state."""
        found = self.lookout.limits(self._named(account))
        return {**found, "trading": [self._trading(seat) for seat in self._some(account)]}

    async def execution(self, account: str | None = None) -> dict[str, Any]:
        """Latency by stage, slippage, fill and reject ratios, and the order-to-trade meter."""
        return {"execution": [self.meters.row(seat) for seat in self._some(account)]}

    async def scenarios(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """Profit of the positions over moves of spot, volatility and days; worst case, VaR, closing cost, pins."""
        self._named(query.get("account"))
        return await self.lookout.scenarios(query)

    async def runs(self) -> dict[str, Any]:
        """Backtest runs."""
        return {"runs": self._runs()}

    async def events(
        self, after: int = 0, most: int = 256, account: str | None = None, chain: int = 0
    ) -> dict[str, Any]:
        """The journal's public events of one account after a number, gapless; ``chain``: its records as they are."""
        seat = self._seat(account, None)
        found = meters.page(seat, after, most, chain=bool(chain))
        return {"events": found, "account": seat.account, "last": self.last_seq(seat.account)}

    # the market

    async def chain(self, underlying: str, expiry: str | None = None) -> dict[str, Any]:
        """One expiry with volatilities, Greeks, theo, smile, straddle and own position."""
        found = await self.hub.fresh_chain(underlying, None if expiry in (None, "nearest") else read_date(str(expiry)))
        if found is None:
            text = f"no quote of {underlying} {expiry or ''} has come yet; it is watched from now on"
            raise NoOrder("expiry", "a quoted one", str(expiry or "nearest"), text)
        net: dict[str, int] = {}
        for seat in self.seats.values():
            for symbol, qty in seat.engine.core.book.net.items():
                net[symbol] = net.get(symbol, 0) + qty
        return await asyncio.to_thread(views.chain_view, found, net, stale=self.hub.is_stale)

    async def oi(
        self, underlying: str, at: str | None = None, base: str | None = None, expiry: str | None = None
    ) -> dict[str, Any]:
        """Levels, shifts and events as known at a time; change of OI by strike since a base."""
        now_ns = self.clock()
        at_ns = now_ns if at is None else read_instant("at", at, now_ns)
        frames = self.hub.oi(underlying, at_ns)
        wanted = None if expiry in (None, "nearest") else read_date(str(expiry))
        if wanted is not None:
            frames = {
                k: f.filter(pl.col("expiry") == wanted) if "expiry" in f.columns else f for k, f in frames.items()
            }
        heat, base_ns = views.heat_since(frames.pop("snapshots"), read_base(base, at_ns, now_ns))
        return {
            "underlying": underlying,
            "at_ns": at_ns,
            "base_ns": base_ns,
            "stale": self.hub.is_stale,
            "heat": heat,
            **{name: frame.to_dicts() for name, frame in frames.items()},
        }

    # acts

    async def halt(self, reason: str, *, cancel_all: bool = False, account: str | None = None) -> dict[str, Any]:
        """Stop what increases exposure, at once and in every account at the same time."""
        seats = self._some(account)
        done = await asyncio.gather(
            *(seat.engine.halt(reason, cancel_all=cancel_all) for seat in seats), return_exceptions=True
        )
        self.alert("halt", f"trading halted: {reason}")
        faults = [error for error in done if isinstance(error, BaseException)]
        if faults:
            raise faults[0]
        return {"trading": [self._trading(seat) for seat in seats]}

    async def resume(self, reason: str, account: str | None = None) -> dict[str, Any]:
        """Accept new exposure again."""
        seats = self._some(account)
        for seat in seats:
            await seat.engine.resume(reason)
        self.alert("resume", f"trading resumed: {reason}")
        return {"trading": [self._trading(seat) for seat in seats]}

    async def flatten(self, reason: str, confirm: object, account: str | None = None) -> dict[str, Any]:
        """Close every position of one account: reduce-only, shorts bought back first. ``confirm`` names the account."""
        named = account or (str(confirm) if confirm in self.seats else None)
        seat = self._seat(named, None)
        if confirm != seat.account:
            text = f"closing everything of {seat.account} is confirmed by its id in full: confirm={seat.account}"
            raise BadOrder("confirm", seat.account, "nothing" if confirm is None else "something else", text)
        self._armed(seat)
        self.alert("flatten", f"closing everything of {seat.account}: {reason}")
        return {"orders": [self._row(seat, order) for order in await seat.engine.flatten(reason)]}

    async def reconcile(self, account: str | None = None) -> dict[str, Any]:
        """Compare the broker's book with ours now."""
        rows = []
        for seat in self._some(account):
            for found in await seat.engine.reconcile():
                rows.append({"account": seat.account, **msgspec.to_builtins(found)})
        return {"differences": rows}

    async def verify(self, account: str | None = None) -> dict[str, Any]:
        """Check every record of the day's journals: CRC, hash and link."""
        return {"journals": await meters.verified(self._some(account))}

    # what the stream and the metrics read

    def state(self) -> dict[str, Any]:
        """The topic ``state``."""
        now_ns = self.clock()
        calendar = tables.calendar("NSE")
        day = ist_date(now_ns)
        bounds = calendar.bounds_ns(day) if calendar.is_session(day) else None
        age_s = self.hub.age_s
        return {
            "mode": self.mode,
            "version": __version__,
            "now_ns": now_ns,
            "accounts": [self._trading(seat) for seat in self.seats.values()],
            "feed": {
                "state": self.hub.source.state,
                "age_s": None if age_s is None else round(age_s, 1),
                "stale": self.hub.is_stale,
            },
            "session": {
                "phase": calendar.phase(now_ns),
                "open_ns": None if bounds is None else bounds[0],
                "close_ns": None if bounds is None else bounds[1],
            },
            "underlyings": list(self.hub.underlyings),
        }

    def last_seq(self, account: str) -> int:
        """Number of an account's newest durable event."""
        return self.seats[account].engine.journal.last_seq

    def order_row(self, account: str, cl_ord_id: str) -> dict[str, Any] | None:
        """An order as it stands, None when the event is about none."""
        seat = self.seats[account]
        order = seat.engine.core.orders.get(cl_ord_id)
        return None if order is None else self._row(seat, order)

    def alerts_after(self, seq: int) -> list[dict[str, Any]]:
        """Alerts numbered above ``seq``; the newest thousand are kept."""
        return [alert for alert in self._alerts if alert["seq"] > seq]

    def alert(self, kind: str, text: str, **more: Any) -> None:
        """Tell everybody who listens; the state has changed before."""
        self._alert_seq += 1
        made = {"seq": self._alert_seq, "ts_ns": self.clock(), "kind": kind, "text": " ".join(text.split()), **more}
        self._alerts.append(made)
        self.tell(made)
        self._wake()

    async def audit(self, act: str, **more: Any) -> None:
        """Write an act that is no order into the home account's journal."""
        seat = next(iter(self.seats.values()))
        now_ns = seat.engine.now_ns()
        await seat.engine.perform(seat.engine.core.note(now_ns, "act", "", {"act": act, **more}))

    def ticks(self, keys: Iterable[int]) -> dict[str, Any]:
        """The newest quotes of contracts, by symbol."""
        found: dict[str, Any] = {}
        for row in self.hub.board.rows(keys):
            one = self.hub.listed.get(int(row["key"]))
            if one is not None:
                names = ("ltp", "bid", "bid_qty", "ask", "ask_qty", "volume", "oi")
                values = {n: None if row[n] != row[n] else float(row[n]) for n in names}
                found[one.symbol] = {**values, "recv_ns": int(row["recv_ns"])}
        return found

    def check_topic(self, name: str) -> None:
        """Refuse a topic of an underlying or expiry that is not listed."""
        kind, underlying, *rest = name.split(":")
        listed = self.hub.expiries(underlying)
        if kind == "chain" and read_date(rest[0]) not in listed:
            raise BadData(f"{underlying} has no expiry {rest[0]}; listed are {', '.join(map(str, listed[:6]))}")
        if kind == "oi":
            self.hub.watch(underlying)

    async def topic(self, name: str) -> Any:
        """The newest value of a conflated topic."""
        if name == "state":
            return self.state()
        if name in ("positions", "pnl", "limits"):
            found = await getattr(self, name)()
            found.pop("ts_ns", None)
            return found
        kind, underlying, *rest = name.split(":")
        if kind == "chain":
            return await self.chain(underlying, rest[0])
        frames = self.hub.oi(underlying)
        levels = frames["levels"]
        newest = levels.filter(pl.col("ts") == pl.col("ts").max()) if levels.height else levels
        return {"levels": newest.to_dicts(), "events": frames["events"].tail(20).to_dicts()}

    # inside

    async def _listen(self, seat: Seat) -> None:
        """Wake every reader at each event; orders that may be placed are told at once."""
        after = await self.meters.recall(seat, self.alert)
        async for event in seat.engine.listen(after):
            self.meters.take(seat, event)
            self._wake()
            if event.kind == "report" and event.payload.get("exec_type") == "trade":
                self.lookout.traded(seat)
            if event.kind == "alarm":
                self.alert(*meters.alarm_of(event))

    async def _watch(self) -> None:
        """Have the feed bring what the engines want to see."""
        while True:
            await self._sleep(_FOLLOW_S)
            try:
                self._follow()
                await self.lookout.turn()
            except ToolkitError as error:
                _LOG.warning("the feed does not follow the engines: %s", error)

    def _follow(self) -> None:
        """Have the feed bring what the engines need."""
        for account, seat in self.seats.items():
            wanted = frozenset(seat.engine.wanted()) & frozenset(self.hub.by_symbol)
            if self._wanted.get(account) != wanted:
                self._wanted[account] = wanted
                self.hub.want(wanted, f"engine:{account}")

    def _wake(self) -> None:
        for event in self.wakes:
            event.set()

    async def _place_whole(self, asked: Basket, via: str) -> dict[str, Any]:
        """Legs for an algorithm, all in one account; the same again, by the first one's id, is the same order."""
        first = asked.legs[0].cl_ord_id
        async with self._turns.take(first or secrets.token_hex(8)):
            seat = self.wholes.seat_of(asked)
            plan = await self.wholes.plan(asked) if seat is None else Plan(seat)
            seat, ids = plan.seat, named(asked, first or f"B{secrets.token_hex(8).upper()}")
            made = [await self._request(seat, leg, cl_ord_id, via) for leg, cl_ord_id in ids]
            if is_known(self.seats, seat, made, asked.algo or "legs", asked.policy):
                return self._row(seat, seat.engine.core.orders[made[0].cl_ord_id])
            for request in made:
                self._may_trade(seat, request)
            return self._row(seat, await self.wholes.place(seat, made, asked, plan))

    async def _request(self, seat: Seat, asked: Asked, cl_ord_id: str, via: str) -> OrderRequest:
        """Resolve the contract and write the order out in units."""
        instrument = await contract_of(seat.engine.broker, asked, self.hub.ensure)
        return request_of(asked, instrument, cl_ord_id=cl_ord_id, account=seat.account, broker=seat.broker, via=via)

    def _may_trade(self, seat: Seat, request: OrderRequest) -> None:
        """An account that is not armed may only shrink its positions."""
        if not self.is_armed(seat) and not seat.engine.core.book.reduces(
            request.symbol, request.side, request.order_qty
        ):
            self._armed(seat)

    def is_armed(self, seat: Seat) -> bool:
        """Whether new exposure of an account may leave."""
        return seat.armed_until_ns is None or self.clock() < seat.armed_until_ns

    def _armed(self, seat: Seat) -> None:
        if self.is_armed(seat):
            return
        over = "has expired with the session" if seat.armed_until_ns else "was not given"
        text = f"live trading of {seat.account} is not armed: --live {seat.account} {over}; start the engine with it"
        raise RiskDenied("armed", "armed", "not armed", text)

    def _seat(self, account: str | None, broker: str | None) -> Seat:
        if account is None and broker is None:
            return next(iter(self.seats.values()))
        for seat in self.seats.values():
            if account in (None, seat.account) and broker in (None, seat.broker):
                return seat
        name, value = ("account", account) if account is not None and account not in self.seats else ("broker", broker)
        known = self.accounts if name == "account" else tuple({s.broker for s in self.seats.values()})
        raise no_account(name, known, value)

    def _some(self, account: object) -> list[Seat]:
        if account is None:
            return list(self.seats.values())
        return [self._seat(str(account), None)]

    def _named(self, account: str | None) -> str | None:
        """An account that is served, or all."""
        return None if account is None else self._seat(account, None).account

    def _find(self, cl_ord_id: str) -> tuple[Seat, Order]:
        for seat in self.seats.values():
            order = seat.engine.core.orders.get(cl_ord_id)
            if order is not None:
                return seat, order
        known = [c for s in self.seats.values() for c in s.engine.core.orders]
        raise no_order(cl_ord_id, known[-500:])

    def _row(self, seat: Seat, order: Order) -> dict[str, Any]:
        row = order_json(order, seat.engine.core.denials.get(order.cl_ord_id, ()))
        row["parent_id"] = row["parent_id"] or self.routes.parent_of(order.cl_ord_id)
        return row | self.wholes.shown(order.cl_ord_id)

    def _trading(self, seat: Seat) -> dict[str, Any]:
        core = seat.engine.core
        statuses = [order.ord_status for order in core.open_orders()]
        return {
            "account": seat.account,
            "broker": seat.broker,
            "state": seat.engine.state,
            "trading": str(core.book.state),
            "reason": core.book.state_reason,
            "armed": self.is_armed(seat),
            "armed_until_ns": seat.armed_until_ns,
            "working": len(statuses),
            "unknown": sum(status is OrdStatus.UNKNOWN for status in statuses),
        }

    def _positions(self, seat: Seat) -> list[dict[str, Any]]:
        book = seat.engine.core.book
        lines = seat.engine.positions
        return views.position_rows(
            seat.account, seat.broker, book.net, lines, book.instruments, self._mark(seat), self._slice
        )

    def _mark(self, seat: Seat) -> Callable[[str], float]:
        book = seat.engine.core.book

        def mark(symbol: str) -> float:
            found = self.hub.mark(symbol)
            instrument = book.instruments.get(symbol)
            return book.mark(instrument) if found != found and instrument is not None else found

        return mark

    def _slice(self, instrument: Instrument) -> ChainSlice | None:
        if instrument.kind is not Kind.OPTION or instrument.expiry is None:
            return None
        try:
            return self.hub.chain(instrument.underlying, instrument.expiry, age_s=_GREEKS_S)
        except BadData:
            return None

    def _day_charges(self, seat: Seat) -> float | None:
        fills = seat.engine.core.fills
        if not fills:
            return 0.0
        try:
            frame = charge_note(fills_frame(fills.values()), ist_date(self.clock()))
        except ToolkitError:
            return None
        return float(frame["total"].sum())


def _basket(asked: Asked | Basket) -> Basket:
    """What an algorithm is to work: one order is a basket of itself."""
    return asked if isinstance(asked, Basket) else Basket(legs=(asked,), algo=asked.algo)
