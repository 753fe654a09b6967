"""From a plan to a station: brokers, the market, engines, limits, guards and who is armed."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from toolkit import tables
from toolkit.batch.load import make_strategy
from toolkit.brokers.closes import first_closes
from toolkit.brokers.factory import NAMES, connect
from toolkit.brokers.one_act import is_loopback, limits_of, realm_of
from toolkit.brokers.paper import PaperBroker
from toolkit.brokers.port import Broker, DayTerms
from toolkit.brokers.whose import PAPER, by_broker
from toolkit.calendar import ist_date
from toolkit.config import Settings, home, share
from toolkit.errors import BadData, BadSetting, Refused, ToolkitError, nearest
from toolkit.market.hub import Hub, PolledFeed
from toolkit.orders.live import LiveEngine
from toolkit.orders.lookout import ALERTS, AskCloses, AskTerms, Sources
from toolkit.orders.monitor import Monitor
from toolkit.orders.settings import EngineSettings
from toolkit.orders.station import Seat, Station
from toolkit.risk.account import Accounts
from toolkit.risk.limits import Limits
from toolkit.risk.margin import SpanParams, default_params
from toolkit.risk.rulefile import Shut
from toolkit.risk.settings import RiskSettings
from toolkit.serve.live_view import Look
from toolkit.serve.warm import warm
from toolkit.store.closes import past_closes
from toolkit.store.daybook import journal_path
from toolkit.store.journal import Journal
from toolkit.store.margin_pairs import MarginPairs
from toolkit.store.margins import newest_params
from toolkit.store.rules import guards_of
from toolkit.strategies.protocol import Strategy
from toolkit.types import Instrument, Kind

if TYPE_CHECKING:
    from toolkit.sim.world import World
    from toolkit.store.session import Session

__all__ = ["Built", "Plan", "armed_until", "build"]

_VOL: Final = 0.15
_VOL_AGE_S: Final = 10.0
_SPAN_NS: Final = 30 * 10**9
_FUNDS_P: Final = 10**9


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to serve, as the options of ``toolkit serve``. An account may be ``BROKER:ID``."""

    broker: str = "paper"
    feed: str | None = None
    session: Path | None = None
    accounts: tuple[str, ...] = ()
    live: tuple[str, ...] = ()
    at: str | None = None
    store: Path | None = None
    watch: tuple[str, ...] = ()
    strategy: str | None = None
    params: Mapping[str, object] = {}


class Built(msgspec.Struct, kw_only=True, eq=False):
    """A station that is ready to start, and what to close after it."""

    station: Station
    mode: str
    brokers: tuple[Broker, ...]
    notes: tuple[str, ...]

    async def close(self) -> None:
        """Let every connection go."""
        for broker in self.brokers:
            await broker.close()


async def build(plan: Plan, tree: Settings | None = None) -> Built:
    """Connect and put a station together; nothing trades yet.

    Raises
    ------
    BadSetting
        For options that do not go together.
    Refused
        When an account is not the broker's, or an account named with ``--live`` is not served.
    """
    settings = Settings.load() if tree is None else tree
    _check(plan)
    maker = _Maker(plan, settings)
    try:
        return await maker.make()
    except BaseException:
        for broker in maker.opened:
            await broker.close()
        raise


class _Maker:
    def __init__(self, plan: Plan, tree: Settings) -> None:
        self.plan = plan
        self.engine = tree.section("engine", EngineSettings)
        self.risk = tree.section("risk", RiskSettings)
        self.opened: list[Broker] = []
        self.notes: list[str] = []
        self.together: Accounts | None = None
        self.filed: dict[str, SpanParams] = {}
        self.day_terms: AskTerms | None = None
        self.own_terms: dict[str, AskTerms] = {}
        self.closes: AskCloses | None = None

    async def make(self) -> Built:
        plan = self.plan
        strategy = None if plan.strategy is None else make_strategy(plan.strategy, plan.params)
        if plan.broker != "paper":
            seats, hub = await self._real()
            mode = "live"
        else:
            seats, hub = await (self._paper_live() if plan.feed else self._paper_session())
            mode = "paper"
        for seat in seats:
            if seat.account in plan.live:
                seat.armed_until_ns = armed_until(seat.engine.now_ns())
        missing = [account for account in plan.live if account not in {seat.account for seat in seats}]
        if missing:
            raise Refused(f"--live {missing[0]} is not an account of this process; type your own account in full")
        for host in self.risk.allow_plain_http:
            self.notes.append(f"plain HTTP is allowed to {host} by [risk] allow_plain_http")
        warm()
        if strategy is not None:
            self._strategy(seats[0], hub, strategy)
        station = Station(seats, hub, mode=mode, clock=hub.clock, sources=self._sources(hub))
        return Built(station=station, mode=mode, brokers=tuple(self.opened), notes=tuple(self.notes))

    def _strategy(self, seat: Seat, hub: Hub, made: Strategy) -> None:
        """Have a strategy decide on the first account, from the moment it is ready."""
        watched = (*self.plan.watch, *(u for u in hub.underlyings if u == "NIFTY"), *hub.underlyings)
        if not watched:
            raise BadData(f"strategy '{made.name}' needs an underlying with options; this market lists none")
        hub.watch(watched[0])
        seat.begin = lambda: seat.engine.run_strategy(made, watched[0], Look(hub, seat.engine, watched[0]))
        self.notes.append(f"strategy {made.name} runs on {watched[0]} for {seat.account}")

    def _sources(self, hub: Hub) -> Sources:
        """What the risk views are made from beside ticks."""
        return Sources(
            params=lambda names: spans(hub, self.filed, names),
            day_terms=self.day_terms,
            own_terms=self.own_terms,
            alerts=self.risk.alerts or ALERTS,
            pairs=MarginPairs(),
            closes=self.closes,
        )

    def _file(self, session: Session | None, on: dt.date, market: Broker | None = None) -> None:
        """Take margin parameters and past closes from the store that the settings name, else the session's.

        Closes that no store has are asked of the market's broker; where it has none, of the others here.
        """
        from toolkit.store.session import open_session

        store = open_session(Path(self.risk.margin_store).expanduser()) if self.risk.margin_store else session
        if store is not None:
            self.filed, notes = newest_params(store, on)
            self.notes += notes

        async def closes(underlying: str) -> Mapping[dt.date, float]:
            found = {} if store is None else await asyncio.to_thread(past_closes, store, underlying, on)
            if found or market is None:
                return found
            brokers = (market, *(one for one in self.opened if one.name != market.name))
            return await first_closes(brokers, f"{underlying} EQ" if tables.is_share(underlying) else underlying)

        self.closes = closes

    async def _real(self) -> tuple[list[Seat], Hub]:
        """Real accounts, or those of a simulated broker on this machine."""
        seats: list[Seat] = []
        served: list[tuple[str, Broker]] = []
        for name, accounts in by_broker(self.plan.broker, self.plan.accounts, self.plan.live).items():
            broker = connect(name)
            self.opened.append(broker)
            served += await self._bound(broker, accounts)
        self.together = Accounts(account for account, _ in served)
        for account, bound in served:
            engine = self._engine(bound, account, limits_of(self.risk, self.engine, is_loopback(bound), account))
            seats.append(Seat(engine=engine, armed_until_ns=0))
        first = self.opened[0]
        market = await self._feed_broker(first)
        self.own_terms = {one.name: one.day_terms for one in self.opened if one.name != market.name}
        hub = await self._live_hub(market)
        return seats, hub

    async def _bound(self, broker: Broker, accounts: Sequence[str]) -> list[tuple[str, Broker]]:
        """Each account with the connection that trades it."""
        own = (await broker.profile()).account
        bind: Callable[[str], Broker] | None = getattr(broker, "for_client", None)
        if not accounts:
            return [(own, broker)]
        found = []
        for account in accounts:
            if account == own:
                found.append((account, broker))
            elif bind is not None:
                found.append((account, bind(account)))
            else:
                raise Refused(f"the account at {broker.name} is not '{account}'; type your own account in full")
        return found

    async def _feed_broker(self, broker: Broker) -> Broker:
        if self.plan.feed in (None, broker.name):
            return broker
        other = connect(str(self.plan.feed))
        self.opened.append(other)
        return other

    async def _paper_live(self) -> tuple[list[Seat], Hub]:
        """Paper accounts on a live feed."""
        market = connect(str(self.plan.feed))
        self.opened.append(market)
        await market.profile()  # and with it the venue's time
        hub = await self._live_hub(market)
        listed = list(hub.listed.values())
        exchange = listed[0].exchange if listed else "NSE"
        calendar, day = tables.calendar(exchange), ist_date(market.clock())
        bounds = calendar.bounds_ns(day) if calendar.is_session(day) else (0, 0)
        seats = self._papers(hub, listed, bounds, limits_of(self.risk, self.engine, is_loopback(market)))
        self._span(hub)
        return seats, hub

    async def _paper_session(self) -> tuple[list[Seat], Hub]:
        """Paper accounts on a recorded day, played by its own clock."""
        from toolkit.brokers.paper_tape import TapeFeed
        from toolkit.sim.servers.clock import SimClock
        from toolkit.sim.servers.load import load_world, read_at
        from toolkit.store.session import open_session

        session = open_session(self.plan.session or share("data", "sample"))
        world = load_world(session, _day(self.plan.at))
        self.day_terms = _recorded(world)
        blind = sorted(u for u, row in world.roster.spots.items() if row.key not in world.closes)
        if blind or not world.roster.spots:
            names = ", ".join(blind) or "an index"
            self.notes.append(f"the exchange-wide breaker has no reference: no close of {names} the day before")
        start_ns = read_at(self.plan.at, world)
        if self.plan.at is None:
            start_ns = max(start_ns, self._left_off(ist_date(start_ns), world.bounds[1]))
        clock = SimClock(start_ns, self.engine.speed)
        feed = TapeFeed(world.tape, clock)
        instruments = [row.instrument for row in world.roster.rows]
        hub = Hub(feed, instruments, clock=clock.now_ns)
        day = ist_date(start_ns)
        self._file(session, day)
        seats = self._papers(hub, instruments, world.bounds, limits_of(self.risk, self.engine, True))
        hub.take(feed.catch_up())
        known = session.frame("chain", date=day)
        if known.height:
            received = pl.coalesce("recv_ts", "ts").dt.epoch("us") * 1000
            hub.prime(known.filter(received <= start_ns))
        for underlying in self.plan.watch or hub.underlyings:
            hub.watch(underlying)
        self._span(hub)
        return seats, hub

    def _span(self, hub: Hub) -> None:
        """Margin terms before the first order."""
        for broker in self.opened:
            if isinstance(broker, PaperBroker):
                broker.set_span(spans(hub, self.filed, hub.underlyings))

    def _left_off(self, day: dt.date, close_ns: int) -> int:
        """Where an earlier process of the same simulated day stopped, so that nothing of it is lost; else 0."""
        newest = 0
        for account in self.plan.accounts or (PAPER,):
            path = journal_path("paper", account, day, str(home()), self.plan.store)
            if path.exists():
                try:
                    with Journal(path, account=account, day=day.isoformat(), counted=True) as journal:
                        newest = max([newest, *(entry.ts_ns for entry in journal.records())])
                except ToolkitError:
                    continue  # the engine itself says what is wrong with it
        return newest + 10**9 if newest and newest + 10**9 < close_ns else 0

    def _papers(self, hub: Hub, listed: Sequence[Instrument], bounds: tuple[int, int], limits: Limits) -> list[Seat]:
        seats, names = [], self.plan.accounts or (PAPER,)
        self.together = Accounts(names)
        for account in names:
            broker = PaperBroker(account, instruments=listed, funds_p=_FUNDS_P, clock=hub.clock)
            broker.set_session(*bounds)
            broker.set_day(ist_date(hub.clock()), {name: tables.calendar(name) for name in ("NSE", "BSE")})
            hub.feed_to(broker.on_quotes)
            hub.on_beat(_Keeper(hub, broker, self.filed))
            self.opened.append(broker)
            seats.append(Seat(engine=self._engine(broker, account, limits)))
        return seats

    async def _live_hub(self, market: Broker) -> Hub:
        """A hub on a broker's feed, or on its quote call where it has no feed of its own."""
        self.day_terms = market.day_terms
        self._file(None, ist_date(market.clock()), market)
        listed = await market.instruments()
        names = {_key(i): i.symbol for i in listed}
        has_feed = market.capabilities.has_feed
        source: Any = market.feed() if has_feed else PolledFeed(market.quote, names.__getitem__)
        hub = Hub(source, listed, clock=market.clock, quote=market.quote)
        wanted = self.plan.watch or (("NIFTY",) if "NIFTY" in hub.underlyings else hub.underlyings[:1])
        for underlying in wanted:
            spots = [i.symbol for i in listed if i.underlying == underlying and i.kind in (Kind.INDEX, Kind.EQUITY)]
            with contextlib.suppress(ToolkitError):
                await hub.ensure(spots[:1])  # the level is known before the first tick
            level = hub.spot(underlying)
            hub.watch(underlying, level if level > 0 else await _money(market, listed, underlying))
        return hub

    def _engine(self, broker: Broker, account: str, limits: Limits) -> LiveEngine:
        day, realm = ist_date(broker.clock()), realm_of(broker)
        folder = journal_path(broker.name, account, day, realm, self.plan.store).parent
        guards, rules = guards_of(self.risk, account, day, folder, self.together)
        if rules.where:
            first = guards[0]
            self.notes.append(f"rules of {account}: {first.text if isinstance(first, Shut) else rules.where}")
        return LiveEngine(
            broker,
            account,
            limits=rules.applied(limits),
            guards=guards,
            engine=self.engine,
            clock=broker.clock,
            realm=realm,
            folder=self.plan.store,
            monitor=Monitor(),
        )


class _Keeper:
    """Keeps a paper account's exchange running and its margin terms fresh while nothing ticks."""

    def __init__(self, hub: Hub, broker: PaperBroker, filed: Mapping[str, SpanParams]) -> None:
        self._hub = hub
        self._filed = filed
        self._broker = broker
        self._next_ns = 0

    def __call__(self, now_ns: int) -> None:
        self._broker.pump(now_ns)
        if now_ns >= self._next_ns:
            self._next_ns = now_ns + _SPAN_NS
            self._broker.set_span(spans(self._hub, self._filed, self._hub.underlyings))


def spans(hub: Hub, filed: Mapping[str, SpanParams], names: Iterable[str]) -> Mapping[str, SpanParams]:
    """Margin terms of underlyings: of an imported file, else documented defaults at its level and its volatility."""
    found, day = dict(filed), ist_date(hub.clock())
    for underlying in names:
        if underlying in filed:
            continue
        level = hub.spot(underlying)
        if not (math.isfinite(level) and level > 0):
            continue
        vol = math.nan
        if underlying in hub.watched:
            chain = hub.chain(underlying, age_s=_VOL_AGE_S)
            vol = math.nan if chain is None or chain.atm < 0 else float(chain.ce.iv[chain.atm])
        stock = tables.is_share(underlying)
        found[underlying] = default_params(level, vol if vol > 0 else _VOL, on=day, stock=stock)
    return found


def _recorded(world: World) -> AskTerms:
    """Closes and bands of a recorded day, as its simulated exchange has them."""
    names = {row.instrument.symbol: row.key for row in world.roster.rows}

    async def ask(symbols: Sequence[str]) -> Mapping[str, DayTerms]:
        found = {}
        for symbol in symbols:
            key = names.get(symbol)
            if key is not None:
                low_p, high_p = world.bands.get(key, (None, None))
                close = world.closes.get(key)
                found[symbol] = DayTerms(None if close is None else round(close * 100), low_p, high_p)
        return found

    return ask


def armed_until(now_ns: int) -> int:
    """When live trading that is armed now ends: the close of this session, or of the next one after hours."""
    calendar, day = tables.calendar("NSE"), ist_date(now_ns)
    if calendar.is_session(day) and now_ns < calendar.bounds_ns(day)[1]:
        return calendar.bounds_ns(day)[1]
    return calendar.bounds_ns(calendar.next(day))[1]


def _check(plan: Plan) -> None:
    for name in (plan.broker, plan.feed):
        if name is not None and name not in NAMES:
            raise BadSetting(f"broker '{name}' is unknown{nearest(name, NAMES, tell=True)}")
    if plan.broker == "paper" and plan.live:
        raise BadSetting("--live is for a real broker; leave it out on paper")
    if plan.broker != "paper" and (plan.session is not None or plan.at is not None):
        raise BadSetting("--session and --at are for paper; a broker has its own market")
    if plan.feed == "paper":
        raise BadSetting("--feed names a broker with a live market; for a recorded one give --session")
    if plan.feed is not None and plan.session is not None:
        raise BadSetting("--feed and --session are two markets; give one of them")


async def _money(market: Broker, listed: Sequence[Instrument], underlying: str) -> float | None:
    """Where the money is: the index's last price, else the nearest future's; None when neither is known."""
    mine = [i for i in listed if i.underlying == underlying]
    for kind in ("index", "future", "equity"):
        of_kind = sorted((i for i in mine if i.kind == kind), key=lambda i: (str(i.expiry), i.exchange, i.symbol))
        if not of_kind:
            continue
        try:
            quote = (await market.quote([of_kind[0].symbol])).get(of_kind[0].symbol)
        except ToolkitError:
            continue
        if quote is not None and quote.ltp_p:
            return float(quote.ltp_p) / 100.0
    return None


def _key(instrument: Instrument) -> int:
    return instrument.instrument_id if instrument.token is None else instrument.token


def _day(at: str | None) -> dt.date | None:
    if at is None or "-" not in at:
        return None
    try:
        return dt.datetime.fromisoformat(at).date()
    except ValueError:
        raise BadData(f"--at must be a time such as 11:05 or 2026-07-13T11:05, was {at!r}") from None
