"""Engine.IO 3 and 4 from the server's side: opening, heartbeat, refusal, attachments, and the ways they break."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from toolkit.market.socketio import ClientSession, Connected, Event, Opened, Refused


async def rest(wire, seconds=5.0):
    """Everything until the connection ends; gives the frames and the close code."""
    frames = []
    async with asyncio.timeout(seconds):
        while True:
            try:
                frames.append(await wire.ws.recv())
            except ConnectionClosed as end:
                return frames, None if end.rcvd is None else end.rcvd.code


async def test_an_eio_3_session_opens_as_captured(serve_xts, dial_xts, shared):
    client = await serve_xts(ping_ms=3000, ping_timeout_ms=2000)
    wire = await dial_xts(client, wait=False)
    frames = [await wire.take() for _ in range(3)]
    captured = json.loads(shared("fixtures", "xts", "frames_eio3.json").read_text())["frames"]
    opening, sample = (json.loads(text[1:]) for text in (frames[0], captured[0][2]))
    assert set(opening) == set(sample)
    assert {**opening, "sid": 0} == {**sample, "sid": 0}
    assert frames[1:] == [captured[1][2], captured[2][2]]
    await wire.ws.send("2probe")
    assert await wire.take() == "3probe"
    await wire.ws.send("41")
    assert (await rest(wire))[1] == 1000


async def test_an_eio_4_session_waits_for_the_client(serve_xts, dial_xts):
    client = await serve_xts(ping_ms=50, ping_timeout_ms=5000)
    wire = await dial_xts(client, eio=4, wait=False)
    assert json.loads((await wire.take())[1:])["maxPayload"] == 1_000_000
    assert await wire.take() == "2"  # the server's heart beats before the namespace is there
    await wire.ws.send("3")
    await wire.ws.send("40")
    await wire.take(lambda f: f.startswith('40{"sid"'))
    await wire.take(lambda f: f == '42["joined","Connection is successful"]')


@pytest.mark.parametrize("eio", [3, 4])
async def test_our_own_client_state_understands_it(serve_xts, dial_xts, eio):
    client = await serve_xts(deflate="mixed", packets=2)
    wire = await dial_xts(client, eio=eio, wait=False, publishFormat="Binary")
    session = ClientSession(eio)
    seen = []

    async def until(kind):
        async with asyncio.timeout(5):
            while not any(isinstance(one, kind) for one in seen):
                seen.extend(session.receive(await wire.ws.recv(), 0))
                for text in session.to_send():
                    await wire.ws.send(text)

    await until(Connected)
    assert isinstance(seen[0], Opened)
    await client.subscribe(1501, 40001)
    await client.control("POST", "clock", {"at": "09:20"})
    seen.clear()
    while not any(one.name == "xts-binary-packet" for one in seen if isinstance(one, Event)):
        seen.clear()
        await until(Event)
    assert seen[-1].args[0][:1] == b"\x00"
    assert session.odd == 0


@pytest.mark.parametrize(("eio", "beats"), [(3, "2"), (4, None)])
async def test_a_client_whose_heart_stops_is_closed(serve_xts, dial_xts, eio, beats):
    client = await serve_xts(ping_ms=60, ping_timeout_ms=60)
    living = await dial_xts(client, eio=eio)
    dead = await dial_xts(client, eio=eio)
    ended = asyncio.create_task(rest(dead))
    async with asyncio.timeout(5):
        while not ended.done():
            frame = None
            if beats:
                await living.ws.send(beats)
                frame = await living.take()
            else:
                frame = await living.take()
                if frame == "2":
                    await living.ws.send("3")
            await asyncio.sleep(0)
    assert (await ended)[1] == 1000
    state = await client.control("GET", "state")
    assert [one["socket"] for one in state["sockets"]] == [1]
    assert "dead" in {row["what"] for row in await client.record("socket")}


async def test_an_install_of_socketio_4_refuses_eio_3_after_the_upgrade(serve_xts, dial_xts):
    client = await serve_xts(eio="4")
    wire = await dial_xts(client, wait=False)
    with pytest.raises(ConnectionClosed) as end:
        await wire.take()
    assert (end.value.sent.code, end.value.sent.reason) == (1002, "reserved bits must be 0")
    await dial_xts(client, eio=4)
    await client.control("GET", "state")  # brings the record up to date
    assert "wrong version" in {row["what"] for row in await client.record("socket")}


async def test_an_old_install_speaks_eio_3_whatever_is_asked(serve_xts, dial_xts):
    client = await serve_xts(eio="3")
    wire = await dial_xts(client, eio=4, wait=False)
    assert "maxPayload" not in await wire.take()
    assert await wire.take() == "40"


@pytest.mark.parametrize(("eio", "shape"), [(3, '44"Invalid Token"'), (4, '44{"message":"Invalid Token"}')])
@pytest.mark.parametrize("who", [{"token": "dead"}, {"user": "OTHER"}])
async def test_a_wrong_token_is_refused_in_the_namespace(serve_xts, dial_xts, eio, shape, who):
    client = await serve_xts()
    wire = await dial_xts(client, eio=eio, wait=False, **who)
    if eio == 4:
        await wire.ws.send("40")
    frames, code = await rest(wire)
    assert (frames[1:], code) == ([shape], 1000)
    assert [type(one) for one in ClientSession(eio).receive(shape, 0)] == [Refused]


async def test_an_attachment_has_the_prefix_of_eio_3_only(serve_xts, dial_xts):
    client = await serve_xts()
    wires = [await dial_xts(client, eio=eio, publishFormat="Binary") for eio in (3, 4)]
    await client.subscribe(1501, 40001)
    await client.control("POST", "clock", {"at": "09:20"})
    blobs = []
    for wire in wires:
        head = await wire.take(lambda f: isinstance(f, str) and f.startswith("45"))
        assert head == '451-["xts-binary-packet",{"_placeholder":true,"num":0}]'
        blobs.append(await wire.take())
    assert blobs[0] == b"\x04" + blobs[1]


@pytest.mark.parametrize("path", ["/interactive/other", "/nowhere/socket.io"])
async def test_other_paths_have_no_sockets(serve_xts, path):
    from websockets.asyncio.client import connect

    client = await serve_xts()
    with pytest.raises(InvalidStatus, match="404"):
        await connect(f"ws://127.0.0.1:{client.server.port}{path}/?EIO=3", proxy=None)


class TestFaults:
    async def test_a_handshake_fault_is_scoped_to_its_socket(self, serve_xts, dial_xts):
        client = await serve_xts("handshake:503@WS /apimarketdata#1")
        await dial_xts(client, "interactive")
        with pytest.raises(InvalidStatus, match="503"):
            await dial_xts(client)
        await dial_xts(client)

    @pytest.mark.parametrize(
        ("text", "code"), [("drop:1001@WS /apimarketdata#1", 1001), ("drop@WS /apimarketdata#1", None)]
    )
    async def test_a_drop_is_scoped_too(self, serve_xts, dial_xts, text, code):
        client = await serve_xts()
        other = await dial_xts(client, "interactive")
        wire = await dial_xts(client)
        await client.fault(text)
        assert (await rest(wire))[1] == code
        await other.ws.send("2")
        assert await other.take(lambda f: f.startswith("3")) == "3"

    async def test_silent_answers_pings_and_sends_no_data(self, serve_xts, dial_xts):
        client = await serve_xts("silent")
        wire = await dial_xts(client)
        await client.subscribe(1501, 40001)
        await client.control("POST", "clock", {"at": "09:20"})
        await wire.ws.send("2")
        assert await wire.take(lambda f: not f.startswith('42["joined"')) == "3"

    async def test_mute_says_nothing_but_pongs(self, serve_xts, dial_xts):
        client = await serve_xts("mute@WS /interactive")
        wire = await dial_xts(client, "interactive")
        await client.place()
        await wire.ws.send("2")
        assert await wire.take() == "3"

    async def test_half_open_neither_answers_nor_closes(self, serve_xts, dial_xts):
        client = await serve_xts()
        wire = await dial_xts(client)
        await client.fault("half-open#1")
        async with asyncio.timeout(5):
            while not client.server.sockets.quiet(client.server.sockets.peers[1], "silent"):
                await asyncio.sleep(0)
        await wire.ws.send("2")
        with pytest.raises(TimeoutError):
            await wire.take(lambda f: f == "3", 0.2)
        assert wire.ws.state.name == "OPEN"

    @pytest.mark.parametrize("kind", ["cut", "json", "type", "text", "ack"])
    async def test_a_malformed_event_does_not_end_the_socket(self, serve_xts, dial_xts, kind):
        client = await serve_xts(f"malformed:{kind}@WS /interactive#1+1")
        wire = await dial_xts(client, "interactive")
        await wire.take(lambda f: "joined" in f)
        await client.place()
        frame = await wire.take()
        session = ClientSession(3)
        read = session.receive(frame, 0)
        assert bool(read) == (kind == "ack")
        assert session.odd == (0 if kind == "ack" else 1)
        assert (await wire.event("order"))["OrderStatus"] == "New"


async def test_what_is_no_packet_is_ignored(serve_xts, dial_xts):
    client = await serve_xts()
    wire = await dial_xts(client)
    for text in ("", "x", "9", "42[", '42["ping"]', "99999"):
        await wire.ws.send(text)
    await wire.ws.send("2")
    assert await wire.take(lambda f: not f.startswith("42")) == "3"
