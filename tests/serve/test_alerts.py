"""Alerts to a webhook and a chat: told in order, without a secret in any log; the chat may say halt."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging

import pytest

from toolkit.config import Secret
from toolkit.errors import BadSetting
from toolkit.serve.alerts import Outlet, is_loopback
from toolkit.serve.settings import AlertSettings

CANARY = "123456:CANARYTOKEN"


class Bot:
    """An HTTP server that keeps what came and answers from a list."""

    def __init__(self):
        self.seen = []
        self.updates = []
        self.fail = 0

    async def start(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.root = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def _serve(self, reader, writer):
        with contextlib.suppress(asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
            await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        size = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length"))
        body = json.loads(await reader.readexactly(size))
        path = head.split()[1]
        self.seen.append((path, body))
        result = []
        if path.endswith("getUpdates"):
            while not self.updates:
                await asyncio.sleep(0.01)
            result = [u for u in self.updates if u["update_id"] >= body["offset"]]
            if not result:
                await asyncio.sleep(0.05)
        self.fail, failed = max(0, self.fail - 1), self.fail and not path.endswith("getUpdates")
        status = "500 No" if failed else "200 OK"
        answer = json.dumps({"ok": True, "result": result}).encode()
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Length: {len(answer)}\r\nConnection: close\r\n\r\n".encode() + answer
        )
        await writer.drain()

    async def until(self, what):
        async with asyncio.timeout(5):
            while not what():
                await asyncio.sleep(0.01)

    async def stop(self):
        self.server.close()
        await self.server.wait_closed()


@pytest.fixture
async def bot():
    made = await Bot().start()
    yield made
    await made.stop()


def outlet(bot, halted=None, **more):
    async def halt(reason):
        if halted is not None:
            halted.append(reason)

    async def quick(seconds):
        await asyncio.sleep(0)

    settings = AlertSettings(
        webhook_url=Secret(f"{bot.root}/hook/CANARYHOOK"),
        telegram_token=Secret(CANARY),
        telegram_chat="42",
        telegram_root=bot.root,
        **more,
    )
    return Outlet(settings, halt, sleep=quick)


async def test_webhook_and_chat_hear_every_alert_in_order(bot, caplog):
    caplog.set_level(logging.DEBUG)
    out = outlet(bot)
    out.start()
    for n in range(3):
        out.put({"kind": "unknown_order", "text": f"order {n}"})
    await bot.until(lambda: out.sent == 6)
    await out.stop()
    hooks = [body["text"] for path, body in bot.seen if path == "/hook/CANARYHOOK"]
    chats = [body for path, body in bot.seen if path == f"/bot{CANARY}/sendMessage"]
    assert hooks == ["order 0", "order 1", "order 2"]
    assert [c["text"] for c in chats] == ["unknown_order: order 0", "unknown_order: order 1", "unknown_order: order 2"]
    assert {c["chat_id"] for c in chats} == {"42"}
    assert "CANARY" not in caplog.text
    assert "CANARY" not in repr(out._settings)


async def test_a_failing_receiver_is_tried_again_and_then_counted(bot):
    out = outlet(bot)
    bot.fail = 1
    out.start()
    out.put({"kind": "a", "text": "b"})
    await bot.until(lambda: out.sent == 2)
    assert out.dropped == 0
    await bot.stop()
    out.put({"kind": "a", "text": "c"})
    await bot.until(lambda: out.dropped == 2)
    await out.stop()


async def test_only_halt_from_the_one_chat_means_anything(bot):
    halted = []
    out = outlet(bot, halted)
    out.start()
    said = [(7, "halt"), (42, "resume"), (42, "buy"), (42, None), (42, "/Halt ")]
    bot.updates = [
        {"update_id": n, "message": {"chat": {"id": chat}, "text": text}} for n, (chat, text) in enumerate(said)
    ]
    await bot.until(lambda: halted)
    await bot.until(lambda: any(body.get("offset") == 5 for _, body in bot.seen))
    await out.stop()
    assert halted == ["halt by the chat"]


async def test_a_full_queue_drops_and_never_waits(bot):
    out = outlet(bot)
    for n in range(250):
        out._tasks or out.put({"kind": "k", "text": str(n)})
    assert out.dropped == 50
    await out.stop()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"webhook_url": Secret("http://example.com/x")}, "webhook_url must be an https address"),
        ({"webhook_url": Secret("ftp://127.0.0.1/x")}, "webhook_url must be an https address"),
        ({"telegram_root": "http://api.telegram.org"}, "telegram_root must be an https address"),
        ({"telegram_token": Secret("t")}, "go together"),
        ({"telegram_chat": "42"}, "go together"),
    ],
)
def test_settings_that_would_leak_or_do_nothing_are_refused(settings, says):
    async def halt(reason):
        return None

    with pytest.raises(BadSetting, match=says):
        Outlet(AlertSettings(**settings), halt)


def test_nobody_to_tell_is_fine():
    async def halt(reason):
        return None

    out = Outlet(AlertSettings(), halt)
    out.put({"kind": "a"})
    assert (out.wanted, out.dropped) == (False, 0)
    assert is_loopback("http://127.0.0.1:1/x")
    assert not is_loopback("http://127.0.0.1.evil.test/")
