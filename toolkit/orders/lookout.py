"""What the market room knows of the accounts' risk: figures for their guards, alerts, and the risk views.

One object beside the engines of a process. Twice a second it refreshes what an expiry's forward is, asks a silent
feed's broker whether anything moved, reads the day's price bands, and measures what alerts watch; a guard is
answered from what is known then, so that nothing here delays an order.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from toolkit import tables
from toolkit.brokers.port import DayTerms
from toolkit.calendar import ist_date
from toolkit.errors import BadData, ToolkitError
from toolkit.market.hub import Hub
from toolkit.orders import risk_views as rows_of
from toolkit.orders.live_margin import Margins
from toolkit.risk.alerts import AlertRule, Alerts
from toolkit.risk.book import RiskBook
from toolkit.risk.closing import Touch
from toolkit.risk.exposure import Position
from toolkit.risk.guards import CoreView, Greek, Watcher
from toolkit.risk.held import held_positions, touches_of
from toolkit.risk.margin import SpanParams
from toolkit.risk.rules import RuleBook
from toolkit.store.margin_pairs import MarginPairs
from toolkit.types import Denial, Kind, OrderRequest

if TYPE_CHECKING:
    from toolkit.orders.station import Seat

__all__ = ["ALERTS", "Armed", "AskCloses", "AskTerms", "Lookout", "Sources"]

_LOG: Final = logging.getLogger("toolkit.lookout")
_S: Final = 1_000_000_000
_SILENT_S: Final = 2.0
_NEW_NS: Final = 5 * _S
_TERMS_NS: Final = 60 * _S
_AGAIN_NS: Final = 2 * _S
_SELDOM: Final = ("forwards", "silence")
"""Work that costs time or a broker's call: at most once in that time."""
_SLICE_S: Final = 1.0
_VOL_S: Final = 30.0
ALERTS: Final = (
    AlertRule(name="worst case", figure="worst_of_funds", raise_at=1.0, clear_at=0.9),
    AlertRule(name="unpriced positions", figure="unknown_positions", raise_at=1.0, clear_at=0.0, for_s=10.0),
)
"""The alerts of an account whose settings name none."""

AskCloses = Callable[[str], Awaitable[Mapping[dt.date, float]]]
"""An underlying's closes of past days."""
AskTerms = Callable[[Sequence[str]], Awaitable[Mapping[str, DayTerms]]]


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Where the figures come from that no tick tells.

    ``params`` gives margin parameters of underlyings, ``day_terms`` asks for closes and price bands (None where
    nobody knows them), ``alerts`` are the alert rules of every account, ``pairs`` keeps our margin beside a
    broker's, ``closes`` asks for an underlying's closes of past days. ``own_terms`` are the closes and bands as other
    brokers of the process tell them, by the broker's name: they come first for its own accounts.
    """

    params: Callable[[Iterable[str]], Mapping[str, SpanParams]] = lambda names: {}
    day_terms: AskTerms | None = None
    alerts: tuple[AlertRule, ...] = ALERTS
    pairs: MarginPairs | None = None
    closes: AskCloses | None = None
    own_terms: Mapping[str, AskTerms] = {}


class Armed(Watcher):
    """Denies what could add to a position of a live account that nobody armed; what only reduces passes."""

    name = "armed"

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    def check(self, order: OrderRequest, core: CoreView, now_ns: int) -> tuple[Denial, ...]:
        """Why an order of an account that is not armed must not leave."""
        until_ns = self._seat.armed_until_ns
        if until_ns is None or now_ns < until_ns or core.book.reduces(order.symbol, order.side, order.order_qty):
            return ()
        text = f"live trading of {core.account} is not armed; arm it with the account's id, in full"
        return (Denial("armed", "armed", "not armed", text),)


class _Volumes(Mapping[str, int]):
    """Units traded today by symbol, read from the hub when somebody asks."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def __getitem__(self, symbol: str) -> int:
        row = self._hub.board.row(self._hub.by_symbol[symbol])
        if row is None or row["volume"] != row["volume"]:
            raise KeyError(symbol)
        return int(row["volume"])

    def __iter__(self) -> Iterator[str]:
        return iter(self._hub.by_symbol)

    def __len__(self) -> int:
        return len(self._hub.by_symbol)


class Lookout:
    """The risk of the accounts of one process.

    Parameters
    ----------
    hub : Hub
    seats : mapping by account
    clock : callable
        The engines' time, nanoseconds UTC.
    sources : Sources
    """

    def __init__(
        self, hub: Hub, seats: Mapping[str, Seat], clock: Callable[[], int], sources: Sources | None = None
    ) -> None:
        self.sources = Sources() if sources is None else sources
        self._hub = hub
        self._seats = seats
        self._clock = clock
        self._forwards: dict[tuple[str, dt.date], float] = {}
        self._terms: dict[str, dict[str, DayTerms]] = {}
        self._asked: dict[tuple[str, str], int] = {}
        self._blind: dict[tuple[str, str], int] = {}
        self._alerts = {account: Alerts(self.sources.alerts) for account in seats}
        self._books: dict[str, RiskBook] = {}
        self._indices = {key: i for key, i in hub.listed.items() if i.kind is Kind.INDEX}
        self._measured: set[str] = set()
        self._past: dict[str, tuple[dt.date, Mapping[dt.date, float]]] = {}
        self.margins = Margins(hub, clock, self.sources.params, self.sources.pairs)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._again: dict[str, int] = {}

    def attach(self) -> None:
        """Let every engine's guards and checks see the market; again after a book was made anew."""
        self._watch_indices()
        for account, seat in self._seats.items():
            engine = seat.engine
            if self._books.get(account) is engine.core.book:
                continue
            book = self._books[account] = engine.core.book
            book.count_sessions(ist_date(self._clock()), {name: tables.calendar(name) for name in ("NSE", "BSE")})
            book.volumes = cast("dict[str, int]", _Volumes(self._hub))
            self._show_bands(seat, book)
            figures = engine.figures
            figures.feed_age_s = lambda: self._hub.silence_s
            figures.index_moves = partial(self._moves, seat)
            figures.greeks = lambda seat=seat: self._guarded(seat)  # type: ignore[misc]

    async def turn(self) -> None:
        """One look, every half second: refresh what takes time, each in a task of its own, and measure the alerts."""
        self.attach()
        self._once("forwards", self._refresh)
        silence = self._hub.silence_s
        if silence is not None and silence > _SILENT_S:
            self._once("silence", self._hub.prove)
        for whose, ask in {"": self.sources.day_terms, **self.sources.own_terms}.items():
            if ask is not None:
                self._once(f"terms {whose}".rstrip(), partial(self._ask_terms, ask, whose))
        for seat in self._seats.values():
            await self._alert(seat)

    def traded(self, seat: Seat) -> None:
        """Look at the margin after a fill: between two legs it may stand at its peak for less than a turn."""
        self._once(f"peak of {seat.account}", partial(self.margins.note, seat))

    async def stop(self) -> None:
        """End what is under way."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # views

    def positions(self, account: str | None = None, underlying: str | None = None) -> list[Position]:
        """Every position by account and strategy, futures at their own mark, options on their expiry's forward."""
        found: list[Position] = []
        for seat in self._seats.values():
            if account in (None, seat.account):
                mine = {name: book.net() for name, book in seat.engine.figures.strategies().items()}
                found += rows_of.split_by_strategy(self._held(seat), mine)
        return [p for p in found if underlying in (None, p.underlying)]

    async def greeks(self, account: str | None = None, by: str | None = None) -> dict[str, Any]:
        """Net Greeks by group, and of everything together."""
        groups = rows_of.read_groups(by)
        await self._refresh()
        positions = self.positions(account)
        whole = rows_of.greek_rows(positions, ())
        return {"greeks": rows_of.greek_rows(positions, groups), "by": list(groups), "total": whole[0]}

    async def scenarios(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """The scenario grid with its worst case, value at risk, closing cost and what expires."""
        account = query.get("account")
        await self._refresh()
        positions = self.positions(account, query.get("underlying"))
        names = {p.underlying for p in positions if p.underlying}
        levels = {name: self._hub.spot(name) for name in names}
        vols = {name: self._vol(name) for name in names}
        touches: dict[str, Touch] = {}
        for seat in self._seats.values():
            if account in (None, seat.account):
                touches |= touches_of(seat.engine.core.book)
        on = ist_date(self._clock())
        if query.get("expiry") is not None:
            on = _date(str(query["expiry"]))

        past = {name: await self._closes_of(name) for name in names}

        def made() -> dict[str, Any]:
            return {
                **rows_of.scenario_view(positions, query),
                "var": rows_of.var_view(positions, vols),
                "historical_var": rows_of.historical_view(positions, past),
                "close_out": rows_of.closing_view(positions, touches),
                "expiry": rows_of.expiry_view(positions, levels, on),
            }

        return await asyncio.to_thread(made)

    def limits(self, account: str | None = None) -> dict[str, Any]:
        """Every limit with its use, every rule with its figure, every lock with what lifts it, standing alerts."""
        now_ns, found = self._clock(), {"limits": [], "rules": [], "locks": [], "demands": [], "alerts": []}  # type: ignore[var-annotated]
        for seat in self._seats.values():
            if account not in (None, seat.account):
                continue
            engine = seat.engine
            found["limits"] += rows_of.limit_rows(seat.account, engine.core.limits, engine.core.book, now_ns)
            for rules in _rule_books(seat):
                found["rules"] += rows_of.rule_rows(seat.account, rules, now_ns)
                found["locks"] += rows_of.lock_rows(seat.account, rules, now_ns)
            found["demands"] += [{"account": seat.account, **msgspec.to_builtins(t)} for t in engine.watch.standing]
            standing = self._alerts[seat.account].standing
            found["alerts"] += [{"account": seat.account, **msgspec.to_builtins(one)} for one in standing]
        return cast("dict[str, Any]", found)

    # inside

    async def _closes_of(self, underlying: str) -> Mapping[dt.date, float]:
        """Closes of past days, asked for once a day; none while nobody tells them."""
        day = ist_date(self._clock())
        known = self._past.get(underlying)
        if known is not None and known[0] == day:
            return known[1]
        if self.sources.closes is None or self._clock() < self._again.get(f"closes of {underlying}", 0):
            return {}
        try:
            found = await self.sources.closes(underlying)
        except ToolkitError as error:
            self._again[f"closes of {underlying}"] = self._clock() + _TERMS_NS
            _LOG.warning("the closes of %s could not be read: %s", underlying, error)
            return {}
        self._past[underlying] = (day, found)
        return found

    def _held(self, seat: Seat) -> list[Position]:
        book = seat.engine.core.book
        needed = {(i.underlying, i.expiry) for s in book.net if (i := book.instruments.get(s)) and _is_option(i)}
        forwards = {(u, e): self._forward(u, e) for u, e in needed if e is not None}
        return held_positions(book, self._clock(), forwards, account=seat.account)

    def _forward(self, underlying: str, expiry: dt.date) -> float:
        """As last refreshed; an expiry that is new is read at once."""
        known = self._forwards.get((underlying, expiry), math.nan)
        if known == known:
            return known
        try:
            chain = self._hub.chain(underlying, expiry, age_s=_SLICE_S)
        except BadData:
            return math.nan
        found = math.nan if chain is None else float(chain.forward)
        self._forwards[underlying, expiry] = found
        return found

    async def _refresh(self) -> None:
        """Forwards of every expiry held, computed beside the loop."""
        needed = {
            (i.underlying, i.expiry)
            for seat in self._seats.values()
            for s in seat.engine.core.book.net
            if (i := seat.engine.core.book.instruments.get(s)) and _is_option(i) and i.expiry is not None
        }
        for underlying, expiry in needed:
            try:
                chain = await self._hub.fresh_chain(underlying, expiry)
            except BadData:
                continue  # not listed in this market: unknown, and counted so
            if chain is not None:
                self._forwards[underlying, expiry] = float(chain.forward)
        for key in set(self._forwards) - needed:
            del self._forwards[key]

    def _guarded(self, seat: Seat) -> dict[str, Greek | None]:
        """Net Greeks for the guards; quotes of what was just bought have some seconds to come."""
        positions = [p for p in self._held(seat) if p.underlying]
        if not positions:
            return {}
        levels = {p.underlying: self._level(p) for p in positions}
        now_ns = self._clock()
        found = rows_of.underlying_greeks(positions, levels)
        for name, greek in found.items():
            key = (seat.account, name)
            if greek is None:
                self._blind.setdefault(key, now_ns)
            else:
                self._blind.pop(key, None)
        new = frozenset(n for n in found if now_ns - self._blind.get((seat.account, n), now_ns) < _NEW_NS)
        return rows_of.underlying_greeks(positions, levels, new=new) if None in found.values() else found

    def _level(self, position: Position) -> float:
        try:
            level = self._hub.spot(position.underlying)
        except ToolkitError:
            level = math.nan
        return level if math.isfinite(level) else position.forward

    def _vol(self, underlying: str) -> float:
        try:
            chain = self._hub.chain(underlying, age_s=_VOL_S)
        except ToolkitError:
            return math.nan
        return math.nan if chain is None or chain.atm < 0 else float(chain.ce.iv[chain.atm])

    def _watch_indices(self) -> None:
        """Have the feed bring the indices that rules measure, whatever else is watched."""
        rules = [rule for seat in self._seats.values() for book in _rule_books(seat) for rule in book.rules]
        names = {name for rule in rules for name in getattr(rule.params, "indices", ())}
        if names != self._measured:
            self._measured = names
            self._hub.want([i.symbol for i in self._indices.values() if i.underlying in names], "rules")

    def _moves(self, seat: Seat) -> dict[str, float | None]:
        """Move of each listed index against its previous close; None where one of the two is unknown."""
        found: dict[str, float | None] = {}
        for key, one in self._indices.items():
            row = self._hub.board.row(key)
            closes = (None if t is None else t.close_p for t in self._terms_of(seat, one.symbol))
            close_p = next((close_p for close_p in closes if close_p), None)
            last = math.nan if row is None else float(row["ltp"])
            found[one.underlying] = last * 100.0 / close_p - 1.0 if close_p and math.isfinite(last) else None
        return found

    def _terms_of(self, seat: Seat, symbol: str) -> tuple[DayTerms | None, ...]:
        """A contract's terms as an account's own broker tells them, then as the feed's does."""
        own = (seat.broker,) if self.sources.own_terms else ()
        return tuple(self._terms.get(whose, {}).get(symbol) for whose in (*own, ""))

    def _show_bands(self, seat: Seat, book: RiskBook, symbols: Iterable[str] | None = None) -> None:
        """Show a book the bands that are known, of some contracts or of all."""
        names = {s for terms in self._terms.values() for s in terms} if symbols is None else symbols
        for symbol in names:
            bands = [(t.low_p, t.high_p) for t in self._terms_of(seat, symbol) if t is not None]
            known = next(((low_p, high_p) for low_p, high_p in bands if low_p is not None and high_p), None)
            if known is not None:
                book.bands[symbol] = known

    async def _ask_terms(self, ask: AskTerms, whose: str = "") -> None:
        """Price bands and closes of what is watched: new contracts at once, every one again after a minute.

        ``whose`` is the broker that is asked, empty the feed's.
        """
        now_ns = self._clock()
        indices = {i.symbol for i in self._indices.values()}
        names = {self._hub.listed[key].symbol for key in self._hub.wanted if key in self._hub.listed}
        names |= {s for s in indices if self._hub.board.row(self._hub.by_symbol[s]) is not None}
        due = [s for s in sorted(names) if now_ns - self._asked.get((whose, s), -_TERMS_NS) >= _TERMS_NS]
        if not due:
            return
        self._asked |= {(whose, symbol): now_ns for symbol in due}
        found = await ask(due)
        self._terms.setdefault(whose, {}).update(found)
        for account, book in self._books.items():
            self._show_bands(self._seats[account], book, found)

    async def _alert(self, seat: Seat) -> None:
        """Measure what the alerts watch; one raised or cleared is journaled as an alarm."""
        engine = seat.engine
        if engine.state != "ready":
            return
        if engine.figures.money is None and engine.core.book.net:
            name = f"money of {seat.account}"
            first = name not in self._running
            self._once(name, engine.figures.ask_money)
            if first or not self._running[name].done():
                return  # not unknown: not answered yet
        await self.margins.note(seat)
        money = engine.figures.money
        funds_p = engine.core.book.funds_p if money is None else money.cash_p
        positions, touches = self._held(seat), touches_of(engine.core.book)
        used_p = None if money is None else money.used_p
        figures = await asyncio.to_thread(rows_of.figures_of, positions, touches, funds_p, used_p)
        for alert in self._alerts[seat.account].update(figures, self._clock()):
            kind = f"risk:{alert.name}" if alert.raised else f"risk_over:{alert.name}"
            engine.later(engine.alarm(kind, alert.text))

    def _once(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start work unless the same is still under way; what a broker does not answer is asked again later."""
        before = self._running.get(name)
        if (before is not None and not before.done()) or self._clock() < self._again.get(name, 0):
            return

        async def run() -> None:
            try:
                await work()
            except ToolkitError as error:
                self._again[name] = self._clock() + _AGAIN_NS
                _LOG.warning("%s could not be read: %s", name, error)

        self._again[name] = self._clock() + _AGAIN_NS if name in _SELDOM else 0
        self._running[name] = asyncio.create_task(run(), name=f"lookout-{name}")


def _rule_books(seat: Seat) -> list[RuleBook]:
    found = []
    for guard in seat.engine.guards:
        rules = guard if isinstance(guard, RuleBook) else getattr(guard, "rules", None)
        if isinstance(rules, RuleBook):
            found.append(rules)
    return found


def _is_option(instrument: Any) -> bool:
    return bool(instrument.kind is Kind.OPTION)


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise BadData(f"expiry must be a date YYYY-MM-DD, was '{text[:40]}'") from None
