"""The hub: one feed for everybody, wishes summed, chains with Greeks, open interest from its snapshots."""

from __future__ import annotations

import asyncio
import datetime as dt
import math

import numpy as np
import pytest

from toolkit.calendar import ist_ns
from toolkit.errors import BadData, Retryable, UnknownSymbol
from toolkit.market.hub import Hub, PolledFeed
from toolkit.market.plain import PLAIN
from toolkit.market.quotes import Quote
from toolkit.types import Instrument, Kind, OptionType

DAY = dt.date(2026, 7, 13)
NEAR, FAR = dt.date(2026, 7, 14), dt.date(2026, 7, 21)
OPEN = ist_ns(DAY, dt.time(10))
S = 10**9


def instrument(key, symbol, kind, **more):
    return Instrument(
        instrument_id=key, symbol=symbol, exchange="NSE", segment="NSE_FO", underlying="NIFTY", kind=kind, lot=65, tick_p=5, token=key, **more
    )  # fmt: skip


def listed():
    found = [
        instrument(1, "NIFTY 50", Kind.INDEX),
        instrument(2, "NIFTY 28JUL2026 FUT", Kind.FUTURE, expiry=dt.date(2026, 7, 28)),
    ]
    key = 10
    for expiry in (NEAR, FAR):
        for strike in range(24_500, 25_550, 50):
            for side in ("CE", "PE"):
                symbol = f"NIFTY {expiry.day}JUL2026 {strike} {side}"
                found.append(
                    instrument(
                        key, symbol, Kind.OPTION, expiry=expiry, strike_p=strike * 100, option_type=OptionType(side)
                    )
                )
                key += 1
    return found


class Feed:
    """A feed in the test's hand."""

    def __init__(self):
        self.wished = {}
        self.state = "live"
        self.batches = asyncio.Queue()
        self.old = frozenset()

    def want(self, modes):
        self.wished = dict(modes)

    async def ticks(self):
        while True:
            batch = await self.batches.get()
            if isinstance(batch, Exception):
                raise batch
            yield batch

    def stale(self):
        return self.old


class Clock:
    now_ns = OPEN

    def __call__(self):
        return self.now_ns


def quotes(instruments, spot=25_000.0, shift=0, stamp=OPEN):
    out = np.zeros(len(instruments), PLAIN)
    for at, one in enumerate(instruments):
        mid = spot
        if one.kind is Kind.OPTION:
            strike = one.strike_p / 100
            inner = max(0.0, (spot - strike) * (1 if one.option_type is OptionType.CE else -1))
            mid = inner + 80 * math.exp(-(((strike - spot) / 300) ** 2))
        oi = 65 * (1000 + at * 7 + shift * (at % 5))
        out[at] = (one.token, stamp, stamp, mid, mid - 0.05, 65, mid + 0.05, 65, 65 * (1000 + shift), oi)
    return out


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def hub(clock):
    async def ready(seconds):
        await asyncio.sleep(0)

    return Hub(Feed(), listed(), clock=clock, sleep=ready)


def test_every_wish_reaches_the_feed_as_one(hub):
    hub.want(["NIFTY 50"], "a")
    hub.want(["NIFTY 50", "NIFTY 28JUL2026 FUT"], "b")
    assert hub.source.wished == {1: "full", 2: "full"}
    hub.want([], "b")
    assert hub.source.wished == {1: "full"}
    with pytest.raises(UnknownSymbol, match="did you mean 'NIFTY 50'"):
        hub.want(["NIFTY 5"], "a")


def test_watching_an_underlying_takes_the_near_strikes_the_future_and_the_index(hub):
    hub._strikes = 3
    hub.watch("NIFTY", 25_000.0)
    symbols = {hub.listed[key].symbol for key in hub.source.wished}
    assert {"NIFTY 50", "NIFTY 28JUL2026 FUT", "NIFTY 14JUL2026 24850 CE", "NIFTY 21JUL2026 25150 PE"} <= symbols
    assert len(symbols) == 2 + 2 * 2 * 7


def test_ticks_reach_every_taker_merged_with_the_time_of_the_engine(hub, clock):
    got = []
    hub.feed_to(lambda now_ns, keys, *columns: got.append((now_ns, keys.tolist(), [c.tolist() for c in columns])))
    hub.take(quotes([hub.listed[1], hub.listed[2]]))
    ((now_ns, keys, columns),) = got
    assert (now_ns, keys, columns[0]) == (OPEN, [1, 2], [24_999.95, 24_999.95])
    assert hub.spot("NIFTY") == 25_000.0
    assert hub.mark("NIFTY 50") == pytest.approx(25_000.0)
    clock.now_ns += 3 * S
    assert hub.age_s == 3.0


def test_a_chain_has_volatilities_and_greeks_and_is_watched_from_then_on(hub):
    assert hub.chain("NIFTY") is None
    hub.take(quotes(list(hub.listed.values())))
    chain = hub.chain("NIFTY", NEAR)
    at = chain.atm
    assert chain.strikes[at] == 25_000.0
    assert 0.01 < chain.ce.iv[at] < 2.0
    assert 0.3 < chain.ce.delta[at] < 0.7
    assert hub.chain("NIFTY", NEAR) is chain
    hub.take(quotes(list(hub.listed.values()), spot=25_100.0))
    assert hub.chain("NIFTY", NEAR, age_s=1.0) is chain
    assert hub.chain("NIFTY", NEAR).strikes[hub.chain("NIFTY", NEAR).atm] == 25_100.0
    with pytest.raises(BadData, match="no expiry 2026-07-15"):
        hub.chain("NIFTY", dt.date(2026, 7, 15))
    with pytest.raises(UnknownSymbol, match="NIFTI"):
        hub.chain("NIFTI")


async def test_a_chain_beside_the_loop_is_the_same(hub):
    hub.take(quotes(list(hub.listed.values())))
    beside = await hub.fresh_chain("NIFTY", FAR)
    assert np.array_equal(beside.ce.iv, hub.chain("NIFTY", FAR).ce.iv, equal_nan=True)


def test_snapshots_become_levels_known_at_their_time(hub, clock):
    hub.watch("NIFTY", 25_000.0)
    for n in range(4):
        clock.now_ns = OPEN + n * 10 * S
        hub.take(quotes(list(hub.listed.values()), shift=n, stamp=clock.now_ns))
        hub.snapshot(clock.now_ns)
        hub.snapshot(clock.now_ns)  # not due again
    now = hub.oi("NIFTY")
    assert now["levels"]["ts"].n_unique() == 4
    assert now["levels"]["pcr"].is_between(0.5, 2.0).all()
    early = hub.oi("NIFTY", OPEN + 15 * S)
    assert early["levels"]["ts"].n_unique() == 2
    assert early["snapshots"]["ts"].n_unique() == 2


def test_staleness_is_the_watchdogs(hub):
    hub.want(["NIFTY 50", "NIFTY 28JUL2026 FUT"], "a")
    assert hub.is_stale  # nothing has ticked yet
    hub.take(quotes([hub.listed[1]]))
    assert not hub.is_stale
    hub.source.old = frozenset({2})
    assert hub.stale == {"NIFTY 28JUL2026 FUT"}
    hub.source.old = frozenset({1, 2})
    assert hub.is_stale
    hub.source.old, hub.source.state = frozenset(), "down"
    assert hub.is_stale


async def test_a_dropped_reader_listens_again_and_beats_go_on(hub):
    beats = []
    hub.on_beat(beats.append)
    hub.on_beat(lambda now_ns: 1 / 0)
    hub.start()
    hub.source.batches.put_nowait(Retryable("dropped"))
    hub.source.batches.put_nowait(quotes([hub.listed[1]]))
    waiter = hub.waiter()
    async with asyncio.timeout(5):
        await waiter.wait()
        while len(beats) < 3:
            await asyncio.sleep(0)
    hub.drop_waiter(waiter)
    await hub.stop()
    assert hub.spot("NIFTY") == 25_000.0


def test_a_tick_set_gathers_what_ticked_until_it_is_given_back(hub):
    dirty = hub.tick_set("NIFTY")
    hub.take(quotes([hub.listed[1], hub.listed[10]]))
    assert dirty == {1, 10}
    hub.drop_tick_set("NIFTY", dirty)
    dirty.clear()
    hub.take(quotes([hub.listed[1]]))
    assert dirty == set()


async def test_a_contract_that_never_ticked_is_asked_for(clock):
    asked = []

    async def quote(symbols):
        asked.append(list(symbols))
        return {s: Quote(OPEN, bid_p=100, ask_p=110) for s in symbols}

    hub = Hub(Feed(), listed(), clock=clock, quote=quote)
    await hub.ensure(["NIFTY 14JUL2026 25000 CE", "unlisted"])
    await hub.ensure(["NIFTY 14JUL2026 25000 CE"])
    assert asked == [["NIFTY 14JUL2026 25000 CE"]]
    assert hub.mark("NIFTY 14JUL2026 25000 CE") == pytest.approx(1.05)
    assert hub.by_symbol["NIFTY 14JUL2026 25000 CE"] in hub.source.wished


def test_what_a_contract_trades_while_it_is_followed_has_an_average(hub, clock):
    one = hub.listed[10]

    def tick(ltp, volume):
        row = quotes([one])
        row["ltp"], row["volume"] = ltp, volume
        hub.take(row)

    tick(100.0, 500.0)
    since = clock()
    hub.follow(one.symbol, since - 1)
    hub.follow("unlisted", since)
    tick(110.0, 530.0)
    tick(114.0, 540.0)
    assert hub.vwap(one.symbol, since - 1, clock()) == 111.0
    hub.leave(one.symbol)
    hub.leave("unlisted")
    assert hub.vwap(one.symbol, since - 1, clock()) is None
    assert hub.vwap("unlisted", since, clock()) is None


async def test_what_is_watched_and_says_nothing_is_asked_for_once(clock):
    asked = []

    async def quote(symbols):
        asked.append(sorted(symbols))
        if len(asked) == 2:
            raise Retryable("busy")
        return {s: Quote(OPEN, bid_p=100, ask_p=110) for s in symbols}

    hub = Hub(Feed(), listed(), clock=clock, quote=quote)
    names = ["NIFTY 14JUL2026 25000 CE", "NIFTY 14JUL2026 25000 PE", "NIFTY 14JUL2026 25050 CE"]
    hub.want(names)
    await hub.fill()  # the feed may still speak
    hub.take(quotes([hub.listed[hub.by_symbol[names[0]]]]))
    assert asked == []
    await hub.fill()
    assert asked == [names[1:]]
    assert hub.mark(names[1]) == pytest.approx(1.05)
    await hub.fill()
    hub.want(["NIFTY 14JUL2026 25050 PE"], "more")
    await hub.fill()
    await hub.fill()  # no answer: its first tick will say it
    await hub.fill()
    assert asked[1:] == [["NIFTY 14JUL2026 25050 PE"]]


async def test_a_broker_without_a_feed_is_asked_each_round():
    rounds = []

    async def quote(symbols):
        rounds.append(list(symbols))
        if len(rounds) == 2:
            raise Retryable("later")
        return {s: Quote(len(rounds), ltp_p=100) for s in symbols}

    async def at_once(seconds):
        await asyncio.sleep(0)

    feed = PolledFeed(quote, {7: "A", 8: "B"}.__getitem__, sleep=at_once)
    assert feed.state == "idle"
    feed.want({7: "full", 8: "full"})
    batches = feed.ticks()
    first, second = await anext(batches), await anext(batches)
    assert first["key"].tolist() == [7, 8]
    assert second["recv_ns"].tolist() == [3, 3]
    assert (len(rounds), feed.state) == (3, "live")
    await batches.aclose()


class Mono:
    ns = 10**12

    def __call__(self):
        return self.ns


def silent(quote, source=None):
    mono = Mono()
    hub = Hub(source or Feed(), listed(), clock=Clock(), quote=quote, mono=mono)
    hub.want(["NIFTY 50", "NIFTY 28JUL2026 FUT"])
    assert hub.silence_s is None
    hub.take(quotes([hub.listed[1], hub.listed[2]]))
    mono.ns += 6 * S
    return hub


async def test_a_silent_feed_is_as_good_as_new_while_the_broker_says_nothing_moved():
    async def same(symbols):
        return {s: Quote(OPEN, 2_499_995, 65, 2_500_005, 65, 2_500_000) for s in symbols}

    hub = silent(same)
    assert hub.silence_s == 6.0
    await hub.prove()
    assert hub.silence_s == 0.0


@pytest.mark.parametrize("answer", ["moved", "missing", "down"])
async def test_a_silent_feed_stays_silent_when_the_broker_saw_more_or_does_not_answer(answer):
    async def quote(symbols):
        if answer == "down":
            raise Retryable("the broker does not answer")
        found = {s: Quote(OPEN, 2_499_995, 65, 2_500_005, 65, 2_500_000) for s in symbols}
        if answer == "moved":
            found["NIFTY 50"] = Quote(OPEN, 2_499_995, 65, 2_500_005, 65, 2_500_100)
        else:
            del found["NIFTY 50"]
        return found

    hub = silent(quote)
    if answer == "down":
        with pytest.raises(Retryable):
            await hub.prove()
    else:
        await hub.prove()
    assert hub.silence_s == 6.0


def test_a_recording_is_silent_only_when_a_row_was_due():
    source = Feed()
    source.due_ns = lambda: OPEN + S
    hub = silent(None, source)
    assert hub.silence_s == 0.0
    hub.clock.now_ns = OPEN + 2 * S
    assert hub.silence_s == 6.0
    source.due_ns = lambda: None
    assert hub.silence_s == 6.0
