"""Requests as they come off a socket, and answers as they go out."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.sim.servers.http import Call, Reply, json_reply, read_call, send

DATE = "Mon, 13 Jul 2026 03:45:00 GMT"


async def read(data):
    reader = asyncio.StreamReader(limit=1 << 16)
    reader.feed_data(data)
    reader.feed_eof()
    return await read_call(reader)


async def test_a_form_post():
    call = await read(
        b"POST /orders/regular?x=1 HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 22\r\n\r\ntag=a%20b+c&x=2&empty="
    )
    assert (call.method, call.path, call.headers["host"]) == ("POST", "/orders/regular", "h")
    assert call.form() == {"x": "2", "tag": "a b c", "empty": ""}
    assert not call.upgrade


async def test_repeated_query_keys_and_escapes():
    call = await read(b"GET /quote?i=NSE%3ANIFTY+50&i=NFO:X HTTP/1.1\r\n\r\n")
    assert call.every("i") == ["NSE:NIFTY 50", "NFO:X"]
    assert call.every("j") == []
    assert call.body == b""


async def test_the_head_is_kept_as_it_came():
    head = b"GET /?api_key=k HTTP/1.1\r\nUpgrade: WebSocket\r\n\r\n"
    call = await read(head)
    assert call.upgrade
    assert call.head == head


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HTTP/1.1\r\n",
        b"hello\r\n\r\n",
        b"GET / HTTP/2\r\n\r\n",
        b"GET /\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"x" * 70_000,
    ],
)
async def test_what_is_no_request_ends_the_connection(data):
    assert await read(data) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_none(data):
    call = asyncio.run(read(data + b"\r\n\r\n"))
    assert call is None or isinstance(call, Call)


async def exchange(reply):
    """What a client reads when the server sends one reply, and whether the connection may go on."""
    kept = []

    async def handler(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        kept.append(await send(reader, writer, reply, DATE))
        writer.close()

    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        try:
            data = await asyncio.wait_for(reader.read(), 5)
        except ConnectionResetError:
            data = None
        writer.close()
        if not kept:
            await asyncio.sleep(0)
    return data, kept


async def test_a_plain_answer():
    data, kept = await exchange(json_reply({"a": 1}, 201, Retry_After="2"))
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 201 Created",
        b"Date: Mon, 13 Jul 2026 03:45:00 GMT",
        b"Server: toolkit-sim",
        b"Content-Type: application/json",
        b"Retry-After: 2",
        b"Content-Length: 7",
    ]
    assert (body, kept) == (b'{"a":1}', [True])


async def test_chunks_add_up():
    body = bytes(range(256)) * 10
    data, kept = await exchange(Reply(body=body, how="chunked"))
    head, _, rest = data.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert b"Content-Length" not in head
    found = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        found, rest = found + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    assert found == body
    assert kept == [True]


async def test_short_promises_more_than_it_sends():
    data, kept = await exchange(Reply(body=b"0123456789", how="short"))
    assert b"Content-Length: 10" in data
    assert data.endswith(b"\r\n\r\n01234")
    assert kept == [False]


async def test_reset_is_an_error_and_close_is_an_end():
    assert (await exchange(Reply(how="reset")))[0] is None
    assert (await exchange(Reply(how="close"))) == (b"", [False])


async def test_hold_says_nothing_until_the_peer_goes():
    gone = asyncio.Event()

    async def handler(reader, writer):
        assert await send(reader, writer, Reply(how="hold"), DATE) is False
        gone.set()

    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        assert not gone.is_set()
        writer.close()
        await asyncio.wait_for(gone.wait(), 5)


async def test_an_odd_status_has_a_phrase():
    data, _ = await exchange(Reply(status=599))
    assert data.startswith(b"HTTP/1.1 599 Unknown\r\n")
