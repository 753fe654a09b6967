"""The ticker: subscriptions, frames by mode, updates, limits, and every way it can go wrong."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from toolkit.market.kite_wire import (
    FULL,
    LTP,
    QUOTE,
    decode,
    decode_text,
    is_heartbeat,
    mode_frame,
    prices,
    subscribe_frame,
    unsubscribe_frame,
)

CE, PE, INDEX = 40001 * 256 + 2, 40002 * 256 + 2, 256265


@pytest.fixture
async def dial():
    """``await dial(client)`` gives a connected WebSocket; all are closed at the end."""
    made = []

    async def call(client, token=None, path="", **options):
        url = f"ws://127.0.0.1:{client.server.port}{path}?api_key=simkey&access_token={token or client.server.app.access_token}"
        ws = await connect(
            url, compression=None, ping_interval=None, open_timeout=5, close_timeout=0.2, proxy=None, **options
        )
        made.append(ws)
        return ws

    yield call
    for ws in made:
        ws.transport.abort()


async def take(ws, wanted, seconds=5.0):
    """The first message that ``wanted`` accepts."""
    async with asyncio.timeout(seconds):
        while True:
            message = await ws.recv()
            if wanted(message):
                return message


async def silent_for(ws, seconds, unwanted):
    try:
        async with asyncio.timeout(seconds):
            while True:
                assert not unwanted(await ws.recv())
    except TimeoutError:
        return True


def ticks(message):
    return isinstance(message, bytes) and len(message) > 1


def text(message):
    return isinstance(message, str)


def beat(message):
    return isinstance(message, bytes) and is_heartbeat(message)


async def test_a_subscription_is_answered_with_the_day_so_far(serve, dial):
    client = await serve()
    ws = await dial(client)
    await ws.send(subscribe_frame([CE]))
    got = decode(await take(ws, ticks)).ticks
    assert (got["token"].tolist(), got["kind"].tolist()) == ([CE], [QUOTE])
    assert prices(got)["ltp"].tolist() == [100.0]


async def test_modes(serve, dial):
    client = await serve()
    ws = await dial(client, path="/feed")
    for mode, kind in (("ltp", LTP), ("full", FULL), ("quote", QUOTE)):
        await ws.send(mode_frame(mode, [CE]))
        assert decode(await take(ws, ticks)).ticks["kind"].tolist() == [kind]
    (state,) = (await client.control("GET", "state"))["tickers"]
    assert state["modes"] == {"ltp": [], "quote": [CE], "full": []}


async def test_subscribing_again_keeps_the_mode(serve, dial):
    client = await serve()
    ws = await dial(client)
    await ws.send(mode_frame("full", [CE]))
    await take(ws, ticks)
    await ws.send(subscribe_frame([CE]))
    assert decode(await take(ws, ticks)).ticks["kind"].tolist() == [FULL]


async def test_ticks_come_when_the_market_moves(serve, dial):
    client = await serve()
    ws = await dial(client)
    await ws.send(mode_frame("full", [CE, PE, INDEX]))
    await take(ws, ticks)
    await client.control("POST", "clock", {"at": "09:20"})
    got = decode(await take(ws, ticks)).ticks
    assert got["token"].tolist() == [CE]
    assert prices(got)["bid_px"][0][0] == 98.0


async def test_unsubscribed_tokens_are_quiet(serve, dial):
    client = await serve()
    ws = await dial(client)
    await ws.send(mode_frame("full", [CE, PE]))
    await take(ws, ticks)
    await ws.send(unsubscribe_frame([CE]))
    await client.control("POST", "clock", {"at": "10:00"})
    await ws.send(subscribe_frame([INDEX]))
    assert decode(await take(ws, ticks)).ticks["token"].tolist() == [INDEX]


@pytest.mark.parametrize(
    "frame",
    ["hello", "[]", "{}", '{"a":"subscribe"}', '{"a":"subscribe","v":"256265"}', '{"a":"subscribe","v":["256265",true,-1,4294967296,1.5]}', '{"a":"mode","v":["deep",[256265]]}', '{"a":"mode","v":["full"]}', '{"a":"dance","v":[256265]}'],
)  # fmt: skip
async def test_commands_that_are_not_understood_are_ignored(serve, dial, frame):
    client = await serve()
    ws = await dial(client)
    await ws.send(frame)
    await ws.send(mode_frame("ltp", [INDEX]))
    assert decode(await take(ws, ticks)).ticks["token"].tolist() == [INDEX]
    (state,) = (await client.control("GET", "state"))["tickers"]
    assert state["modes"]["quote"] == []


async def test_a_heartbeat_comes_without_a_subscription(serve, dial):
    ws = await dial(await serve())
    assert len(await take(ws, beat)) == 1


async def test_3000_tokens_and_one_more(serve, dial):
    client = await serve()
    ws = await dial(client)
    await ws.send(subscribe_frame(list(range(1, 3001))))
    await ws.send(subscribe_frame([1, 5000]))
    assert decode_text(await take(ws, text)).kind == "error"
    await ws.send(subscribe_frame([1]))
    (state,) = (await client.control("GET", "state"))["tickers"]
    assert len(state["modes"]["quote"]) == 3000


async def test_order_updates_reach_every_connection(serve, dial):
    client = await serve()
    sockets = [await dial(client) for _ in range(3)]
    order_id = await client.place(price="101")
    for ws in sockets:
        told = decode_text(await take(ws, text))
        assert (told.kind, told.body["order_id"], told.body["status"]) == ("order", order_id, "COMPLETE")


async def test_a_fourth_connection_is_refused(serve, dial):
    client = await serve()
    for _ in range(3):
        await dial(client)
    with pytest.raises(InvalidStatus) as caught:
        await dial(client)
    assert caught.value.response.status_code == 429


@pytest.mark.parametrize(
    ("text_", "token", "code"), [("handshake:403#1", None, 403), ("handshake:502#1", None, 502), (None, "wrong", 403)]
)
async def test_refused_handshakes(serve, dial, text_, token, code):
    client = await serve(*([text_] if text_ else []))
    with pytest.raises(InvalidStatus) as caught:
        await dial(client, token)
    assert caught.value.response.status_code == code
    await dial(client)
    assert [row["code"] for row in await client.record("handshake")] == [code, 101]


async def test_the_sandbox_wants_the_user(serve, dial):
    client = await serve(profile="sandbox")
    with pytest.raises(InvalidStatus):
        await dial(client)
    await dial(client, f"{client.server.app.access_token}&user_id=SIM001")


async def test_silent_has_heartbeats_and_pongs_but_no_ticks(serve, dial):
    client = await serve("silent")
    ws = await dial(client)
    await ws.send(mode_frame("full", [CE]))
    await client.control("POST", "clock", {"at": "09:20"})
    await asyncio.wait_for(await ws.ping(), 5)
    assert await silent_for(ws, 0.2, lambda m: not beat(m))
    await client.control("DELETE", "faults")
    await client.control("POST", "clock", {"at": "10:00"})
    assert prices(decode(await take(ws, ticks)).ticks)["ltp"].tolist() == [120.0]


async def test_silent_for_its_first_seconds_only(serve, dial):
    client = await serve("silent:0.2")
    ws = await dial(client)
    await ws.send(mode_frame("full", [CE]))
    assert await silent_for(ws, 0.15, ticks)
    async with asyncio.timeout(5):
        while True:
            await ws.send(mode_frame("full", [CE]))
            message = await ws.recv()
            if ticks(message):
                break


async def test_mute_sends_nothing_but_answers_pings(serve, dial):
    client = await serve("mute")
    ws = await dial(client)
    await ws.send(mode_frame("full", [CE]))
    await client.place(price="101")
    await asyncio.wait_for(await ws.ping(), 5)
    assert await silent_for(ws, 0.3, lambda m: True)


async def test_half_open_answers_nothing_and_stays(serve, dial):
    client = await serve("half-open#1")
    ws = await dial(client)
    async with asyncio.timeout(5):
        while not client.server.faults.faults[0].done:
            await asyncio.sleep(0.02)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(await ws.ping(), 0.3)
    assert not ws.transport.is_closing()
    for _ in range(3):
        assert beat(await take(await dial(client), beat))


@pytest.mark.parametrize(
    ("text_", "code"), [("drop#1", None), ("drop:mid#1", None), ("drop:1001#1", 1001), ("drop:1000#1", 1000)]
)
async def test_drops(serve, dial, text_, code):
    client = await serve(text_)
    ws = await dial(client)
    with pytest.raises(ConnectionClosed) as caught:
        await take(ws, lambda m: False)
    assert (caught.value.rcvd.code if caught.value.rcvd else None) == code
    async with asyncio.timeout(5):
        while (await client.control("GET", "state"))["tickers"]:
            await asyncio.sleep(0.01)
    again = await dial(client)
    assert beat(await take(again, beat))


@pytest.mark.parametrize(("kind", "fault"), [("cut", "breaks off"), ("count", "breaks off"), ("short", "too short")])
async def test_malformed_frames(serve, dial, kind, fault):
    client = await serve(f"malformed:{kind}#1")
    ws = await dial(client)
    await ws.send(mode_frame("full", [CE]))
    await take(ws, ticks)
    await client.control("POST", "clock", {"at": "09:20"})
    assert fault in decode(await take(ws, ticks)).fault
    await client.control("POST", "clock", {"at": "10:00"})
    assert decode(await take(ws, ticks)).fault == ""


async def test_malformed_text(serve, dial):
    client = await serve("malformed:array#1")
    ws = await dial(client)
    await ws.send(mode_frame("full", [CE]))
    await take(ws, ticks)
    await client.control("POST", "clock", {"at": "09:20"})
    assert json.loads(await take(ws, text)) == [1, 2, 3]


async def test_a_brokers_notice_is_a_text_frame(serve, dial):
    client = await serve()
    ws = await dial(client)
    assert await client.control("POST", "say", {"frame": {"type": "message", "data": "margins rise today"}}) == {
        "told": 1
    }
    told = decode_text(await take(ws, text))
    assert (told.kind, told.body) == ("message", "margins rise today")


async def test_duplicate_updates(serve, dial):
    client = await serve("duplicate-updates")
    ws = await dial(client)
    await client.place(price="101")
    first, second = await take(ws, text), await take(ws, text)
    assert first == second


async def test_shuffled_updates(serve, dial):
    client = await serve("shuffle-updates")
    ws = await dial(client)
    for i in range(12):
        await client.place(tag=f"t{i}", price=f"{99 - i / 10:.2f}", quantity="65")
    await client.control("POST", "clock", {"at": "15:30"})
    told = [decode_text(await take(ws, text)).body["tag"] for _ in range(12)]
    assert sorted(told) == sorted(f"t{i}" for i in range(12))
    order = [row["tag"] for row in await client.record("order") if row["status"] in ("COMPLETE", "CANCELLED")]
    assert told != order


async def test_the_death_of_the_token_closes_the_ticker(serve, dial):
    client = await serve()
    ws = await dial(client)
    await client.control("POST", "expire")
    with pytest.raises(ConnectionClosed):
        await take(ws, lambda m: False)
    with pytest.raises(InvalidStatus):
        await dial(client, "0" * 32)


async def test_subscriptions_are_on_record(serve, dial):
    client = await serve()
    ws = await dial(client)
    await ws.send(mode_frame("full", [CE, PE]))
    await take(ws, ticks)
    await client.control("POST", "clock", {"advance_s": 1})
    (row,) = await client.record("subscription")
    assert (row["action"], row["full"], row["quote"]) == ("mode", 2, 0)
    assert [r["what"] for r in await client.record("ticker")] == ["open"]


async def test_a_client_that_does_not_read_is_cut_off(serve, dial, monkeypatch):
    from toolkit.sim.servers import kite_feed

    monkeypatch.setattr(kite_feed, "_MOST_BUFFERED", 200_000)
    client = await serve()
    ws = await dial(client)
    ws.transport.pause_reading()
    (ticker,) = client.server.tickers.tickers.values()
    async with asyncio.timeout(10):
        while client.server.tickers.tickers:
            ticker.send(b"x" * 100_000)
            await asyncio.sleep(0)
    assert client.server.tickers.state() == []


async def test_a_frame_of_3000_tokens_is_taken_whole(serve, dial):
    client = await serve()
    ws = await dial(client)
    await ws.send(json.dumps({"a": "mode", "v": ["full", [*range(4_000_000_000, 4_000_002_999), CE]]}))
    assert decode(await take(ws, ticks)).ticks["token"].tolist() == [CE]
