"""R15 for XTS: hostile Socket.IO frames, partial texts and packets. Nothing crashes, nothing bad becomes a tick."""

from __future__ import annotations

import functools
import json
import random
import time
import zlib

import numpy as np
import pytest

from toolkit.market.feed_session import Command
from toolkit.market.last_values import LastValues, quotes
from toolkit.market.socketio import encode_open
from toolkit.market.xts_feed import XtsWire
from toolkit.market.xts_rows import ROW, token_of
from toolkit.market.xts_socket import Door
from toolkit.sim.xts_frames import MALFORMED, malformed

GOOD = [token_of(2, 35_000 + i) for i in range(50)]
NOW_S = 1_765_864_800


class Nothing:
    """A desk where everything is subscribed and nothing is known."""

    subscribed = frozenset()

    async def subscribe(self, places, code):
        return type("Answer", (), {"ticks": ()})

    renew = subscribe

    async def quotes(self, places, code=1502):
        return {}


async def listening() -> XtsWire:
    async def door() -> Door:
        return Door("http://127.0.0.1:1/apimarketdata", "token", "U")

    wire = XtsWire(door, {}, desk=Nothing())
    await wire.prepare()
    wire.opened(0)
    for frame in (encode_open("sid", 25_000, 5_000), "40"):
        wire.hear(frame, 0, 0)
    async for _ in wire.carry_out([Command("subscribe", tuple(GOOD), "quote")]):
        pass
    return wire


def text(rng: random.Random, token: int) -> str:
    """A whole touchline as text, full or partial."""
    if rng.random() < 0.5:
        part = f"t:{token >> 32}_{token & 0xFFFFFFFF},ltp:{rng.randrange(1, 10**6) / 100},v:{rng.randrange(10**6)}"
        return "42" + json.dumps(["1501-json-partial", part])
    body = {"MessageCode": 1501, "ExchangeSegment": token >> 32, "ExchangeInstrumentID": token & 0xFFFFFFFF}
    touch = {"LastTradedPrice": rng.randrange(1, 10**6) / 100, "TotalTradedQuantity": rng.randrange(10**6)}
    return "42" + json.dumps(["1501-json-full", json.dumps(body | {"Touchline": touch})])


@functools.cache
def bomb(ratio: int) -> bytes:
    packer = zlib.compressobj(9, wbits=-15)
    packed = packer.compress(bytes(60_000 * ratio)) + packer.flush()
    head = (1501).to_bytes(2, "little") + (2).to_bytes(2, "little") + GOOD[0].to_bytes(8, "little")[:4] + bytes(4)
    return b"\x01" + head + (65_535).to_bytes(2, "little") + min(len(packed), 65_535).to_bytes(2, "little") + packed


def wreck(rng: random.Random, packets) -> tuple[list[str | bytes], int]:
    """The frames of one fuzzed event, and how many whole ticks of ours are in it."""
    some = [
        packets.xts(
            rng.choice(GOOD), rng.randrange(1, 10**6) / 100, deflated=rng.random() < 0.3, wide=rng.random() < 0.5
        )
        for _ in range(rng.randrange(1, 5))
    ]
    head, blob = packets.xts_frames(*some)
    assert isinstance(head, str)
    assert isinstance(blob, bytes)
    kind = rng.randrange(12)
    if kind == 0:
        return [rng.randbytes(rng.randrange(0, 300))], 0
    if kind == 1:
        return [head, blob[: rng.randrange(len(blob))]], 0
    if kind == 2:  # flipped bits
        spoiled = bytearray(blob)
        for _ in range(rng.randrange(1, 32)):
            spoiled[rng.randrange(1, len(spoiled))] ^= 1 << rng.randrange(8)
        return [head, bytes(spoiled)], 0
    if kind == 3:  # an attachment without its header, a header without its attachment
        return [rng.choice([head, blob])], 0
    if kind == 4:
        return malformed(rng.choice(MALFORMED), [head, blob]), 0
    if kind == 5:  # good packets, then noise
        return [head, blob + b"\x07" + rng.randbytes(rng.randrange(1, 60))], len(some)
    if kind == 6:
        return [head, b"\x04" + bomb(rng.choice([1, 1000]))], 0
    whole = text(rng, rng.choice(GOOD))
    if kind == 7:
        at = rng.randrange(len(whole))
        return [whole[:at]], 0
    if kind == 8:
        at = rng.randrange(2, len(whole))
        return [
            whole[:at] + rng.choice(["\ud800", "NaN", "1e999", "-", '"', "\x00", "9" * 40, ",", ":"]) + whole[at:]
        ], 0
    if kind == 9:
        odd = ["[" * 4000, '{"a":' * 2000, "NaN", '["1501-json-full",NaN]', '["1501-json-full",{"MessageCode":1e400}]', "[]", '[1]', '["1502-json-partial",null]']  # fmt: skip
        return [rng.choice(["42", "451-", "4599-", "0", "40", "2", "4"]) + rng.choice(odd)], 0
    if kind == 10:
        return [whole], 1
    return [head, blob], len(some)


async def batter(packets, seed: int, events: int) -> tuple[int, int]:
    """Feed that many events; gives good ticks sent and ticks heard."""
    rng = random.Random(seed)
    wire, table = await listening(), LastValues(GOOD, ROW)
    sent = heard_all = 0
    for n in range(events):
        frames, good = wreck(rng, packets)
        ticks = 0
        for frame in frames:
            heard = wire.hear(frame, NOW_S * 10**9, n)
            if heard.ended:  # a "1" or "41" by chance: the runner would connect anew
                wire = await listening()
            assert heard.ticks.dtype == ROW
            assert np.isin(heard.ticks["token"], GOOD).all()
            assert (heard.ticks["ltp"] >= 0).all()
            ticks += len(heard.ticks)
            table.apply(heard.ticks)
        assert ticks >= good, f"seed {seed}, event {n}: {good} good ticks, {ticks} heard"
        sent, heard_all = sent + good, heard_all + ticks
    rows = quotes(table.rows())
    assert not rows.select(rows["ltp"].is_nan().any()).item()
    assert (rows["ltp"].drop_nulls() > 0).all()
    return sent, heard_all


async def test_a_thousand_fuzzed_events_do_no_harm(packets, seed) -> None:
    sent, heard = await batter(packets, seed, 1000)
    assert heard >= sent > 300


@pytest.mark.parametrize("venue", ["xts"], indirect=True)
async def test_bad_frames_between_good_ones_cost_none_of_them(venue, hand, packets, seed) -> None:
    rng = random.Random(seed)
    feed = venue.feed(hand)
    ticks = feed.ticks()
    wanted = dict.fromkeys(GOOD, "quote")
    feed.want(wanted)
    await hand.connected(venue, 1, wanted)
    for n in range(1, 201):
        frames, _ = wreck(rng, packets)
        for frame in frames:
            safe = frame.encode("utf-8", "surrogatepass") if isinstance(frame, str) else frame
            if isinstance(frame, str) and (frame[:1] == "1" or frame[:2] in ("41", "44")):
                continue  # those end the connection, as they should
            await venue.links[-1].send(safe.decode("utf-8", "replace") if isinstance(frame, str) else frame)
        for frame in packets.xts_frames(packets.xts(GOOD[n % 50], 100.0, volume=10**9 + n)):
            await venue.links[-1].send(frame)
    found: set[int] = set()
    while len(found) < 200:
        batch = await anext(ticks)
        found |= {int(v) - 10**9 for v in batch["volume"] if v > 10**9}
        found &= set(range(1, 201))
    assert feed.state == "live"
    assert feed.stats["drops"] == 0
    await feed.close()


@pytest.mark.soak
async def test_a_million_fuzzed_events_in_bounded_memory_at_half_the_clean_speed(packets, seed) -> None:
    import psutil

    process = psutil.Process()
    await batter(packets, seed, 20_000)
    before = process.memory_info().rss
    await batter(packets, seed + 1, 1_000_000)
    assert process.memory_info().rss - before < 20 * 2**20
    wire = await listening()
    head, blob = packets.xts_frames(*(packets.xts(t) for t in GOOD))
    speeds = []
    for some in (blob, blob[:-3]):
        start = time.perf_counter()
        for _ in range(20_000):
            wire.hear(head, 0)
            wire.hear(some, 0)
        speeds.append(time.perf_counter() - start)
    assert speeds[1] <= 2 * speeds[0]
