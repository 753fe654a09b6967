"""R15: hostile bytes. Nothing crashes, no bad row enters the chain, every good packet of the same stream is decoded."""

from __future__ import annotations

import json
import random
import time

import numpy as np
import pytest

from toolkit.market.kite_wire import TICK
from toolkit.market.last_values import LastValues, quotes
from toolkit.market.wire import KiteWire
from toolkit.types import Instrument, Kind, OptionType

GOOD = range(257, 257 + 256 * 50, 256)


def wreck(rng: random.Random, packets) -> tuple[str | bytes, int]:
    """One fuzzed frame, and how many of our instruments' packets in it are whole and must be decoded."""
    some = [packets.full(rng.choice(GOOD), rng.randrange(1, 10**7)) for _ in range(rng.randrange(1, 6))]
    real = packets.frame(*some)
    kind = rng.randrange(12)
    if kind == 0:
        return rng.randbytes(rng.randrange(0, 400)), 0
    if kind == 1:  # cut at any byte
        cut = rng.randrange(len(real))
        return real[:cut], max(0, (cut - 2) // 186) if cut >= 4 else 0
    if kind == 2:  # more packets promised than sent
        return (len(some) + rng.randrange(1, 60_000)).to_bytes(2, "big") + real[2:], len(some)
    if kind == 3:  # a wrong length
        at = 2 + 186 * rng.randrange(len(some))
        return real[:at] + rng.randrange(65_536).to_bytes(2, "big") + real[at + 2 :], 0
    if kind == 4:  # flipped bits in a body
        spoiled = bytearray(real)
        for _ in range(rng.randrange(1, 64)):
            spoiled[rng.randrange(2, len(spoiled))] ^= 1 << rng.randrange(8)
        return bytes(spoiled), 0
    if kind == 5:
        return packets.frame(packets.full(0), *some), len(some)
    if kind == 6:  # minus one, 2^31 and 2^32 - 1 as values
        return packets.frame(packets.full(rng.choice(GOOD), rng.choice([2**31, 2**32 - 1]), oi=2**31)), 1
    if kind == 7:
        return packets.frame(*some, rng.randbytes(rng.randrange(1, 200))[:7]), len(some)
    if kind == 8:
        return rng.choice(
            [
                '{"type":"order","data":NaN}',
                '{"type":"order"',
                "[[[[",
                '{"type":"order","data":[1]}',
                "\ud800".encode("utf-8", "surrogatepass"),
            ]
        ), 0
    if kind == 9:
        return "[" * rng.randrange(1, 5000), 0
    if kind == 10:
        return json.dumps(
            {"type": rng.choice(["order", "error", "x", None, 3]), "data": rng.choice([None, {}, [], "", 1e308])}
        ), 0
    return real, len(some)


def contract(token: int) -> Instrument:
    return Instrument(
        instrument_id=token, symbol=str(token), exchange="NSE", segment="NSE_FO", underlying="NIFTY", kind=Kind.OPTION, lot=65, tick_p=5,
        expiry=None, strike_p=token * 100, option_type=OptionType.CE, token=token,
    )  # fmt: skip


def batter(packets, seed: int, frames: int) -> tuple[int, int]:
    """Feed that many frames; gives good packets sent and ticks heard of our instruments."""
    rng = random.Random(seed)
    wire = KiteWire("ws://127.0.0.1:1", "k", lambda: "t")
    table, contracts = LastValues(GOOD), {t: contract(t) for t in GOOD}
    sent = heard_all = 0
    for n in range(frames):
        frame, good = wreck(rng, packets)
        heard = wire.hear(frame, n)
        assert heard.ticks.dtype == TICK
        assert np.all(heard.ticks["token"] != 0)
        assert len(heard.ticks) >= good, f"seed {seed}, frame {n}: {good} good packets, {len(heard.ticks)} ticks"
        sent, heard_all = sent + good, heard_all + len(heard.ticks)
        ours = heard.ticks[np.isin(heard.ticks["token"], np.array(GOOD))]
        table.apply(ours)
        for body in heard.orders:
            assert isinstance(body, dict)
    rows = quotes(table.rows())
    assert set(rows["token"].to_list()) <= set(contracts)
    assert not rows.select(rows["ltp"].is_nan().any()).item()
    assert (rows["ltp"].drop_nulls() > 0).all()
    return sent, heard_all


def test_a_thousand_fuzzed_frames_do_no_harm(packets, seed) -> None:
    sent, heard = batter(packets, seed, 1000)
    assert heard >= sent > 500


async def test_bad_frames_between_good_ones_cost_none_of_them(venue, hand, packets, seed) -> None:
    rng = random.Random(seed)
    feed = venue.feed(hand)
    ticks = feed.ticks()
    feed.want(dict.fromkeys(GOOD, "full"))
    await hand.connected(venue, 1, dict.fromkeys(GOOD, "full"))
    for n in range(1, 201):
        frame, _ = wreck(rng, packets)
        await venue.links[-1].send(frame if isinstance(frame, str | bytes) else bytes(frame))
        await venue.links[-1].send(
            packets.frame(packets.full(GOOD[n % 50], 1000 + n, volume=n, exch_s=2**32 - 300 + n))
        )
    found = set()
    while len(found) < 200:
        batch = await anext(ticks)
        found |= {int(v) for v, s in zip(batch["volume"], batch["exch_s"], strict=True) if s >= 2**32 - 300}
    assert found >= set(range(1, 201))
    assert feed.state == "live"
    assert feed.stats["drops"] == 0
    await feed.close()


async def test_a_message_of_sixteen_megabytes_ends_that_connection_only(venue, hand, packets) -> None:
    feed = venue.feed(hand)
    ticks = feed.ticks()
    feed.want({257: "full"})
    await hand.connected(venue, 1, {257: "full"})
    await venue.links[-1].send(bytes(16 * 2**20))
    await hand.connected(venue, 2, {257: "full"})
    await venue.links[-1].send(packets.frame(packets.full(257)))
    assert (await anext(ticks))["token"].tolist() == [257]
    await feed.close()


async def test_compression_is_never_agreed_to(venue, hand) -> None:
    """A zip bomb needs an extension; the handshake offers none."""
    offered = []
    check = venue.check

    def look(connection, request):
        offered.append(request.headers.get("Sec-WebSocket-Extensions"))
        return check(connection, request)

    venue.check = look
    await venue.close()
    venue.server = None
    await venue.open()
    feed = venue.feed(hand)
    feed.want({257: "full"})
    await hand.connected(venue, 1, {257: "full"})
    assert offered == [None]
    await feed.close()


@pytest.mark.soak
def test_a_million_fuzzed_frames_in_bounded_memory_at_half_the_clean_speed(packets, seed) -> None:
    import psutil

    process = psutil.Process()
    batter(packets, seed, 20_000)
    before = process.memory_info().rss
    batter(packets, seed + 1, 1_000_000)
    assert process.memory_info().rss - before < 20 * 2**20
    wire, clean = KiteWire("ws://127.0.0.1:1", "k", lambda: "t"), packets.frame(*(packets.full(t) for t in GOOD))
    fuzzed = clean[:-3]
    speeds = []
    for frame in (clean, fuzzed):
        start = time.perf_counter()
        for _ in range(20_000):
            wire.hear(frame, 0)
        speeds.append(time.perf_counter() - start)
    assert speeds[1] <= 2 * speeds[0]
