"""Alerts leave the process: to a webhook and to a chat, which may send one command back: halt.

The engine has changed its state before anything here runs, and never waits for it. Addresses carry secrets (a bot's
token is part of its URL), so neither an address nor an error's text is logged: the transport is used directly,
below the layer of httpx that logs URLs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec

from toolkit.errors import BadSetting
from toolkit.serve.settings import AlertSettings

__all__ = ["Outlet", "is_loopback"]

_LOG: Final = logging.getLogger("toolkit.alerts")
_MOST: Final = 200
_POLL_S: Final = 25
_TRIES: Final = 3
_REPLY: Final = 256 * 1024
_TIMEOUT: Final = {"connect": 5.0, "read": 10.0, "write": 5.0, "pool": 5.0}

Halt = Callable[[str], Awaitable[object]]


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


class Outlet:
    """Sends alerts in order, in the background; what cannot be sent is dropped and counted.

    Parameters
    ----------
    settings : AlertSettings
    halt : coroutine function
        Called with a reason when the chat says halt.

    Raises
    ------
    BadSetting
        For an address that is neither https nor on this machine, or a token without its chat.
    """

    def __init__(
        self,
        settings: AlertSettings,
        halt: Halt,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        webhook = settings.webhook_url.reveal()
        for name, url in (("webhook_url", webhook), ("telegram_root", settings.telegram_root)):
            if url and urlsplit(url).scheme != "https" and not (url.startswith("http://") and is_loopback(url)):
                raise BadSetting(f"[alerts] {name} must be an https address, or http on this machine")
        if bool(settings.telegram_token) != bool(settings.telegram_chat):
            raise BadSetting("[alerts] telegram_token and telegram_chat go together; set both or none")
        self._settings = settings
        self._halt = halt
        self._sleep = sleep
        self._transport = transport or httpx.AsyncHTTPTransport(verify=True, retries=0)
        self._queue: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(_MOST)
        self._tasks: list[asyncio.Task[None]] = []
        self.dropped = 0
        self.sent = 0

    @property
    def wanted(self) -> bool:
        """Whether anybody is to be told."""
        return bool(self._settings.webhook_url) or bool(self._settings.telegram_token)

    def start(self) -> None:
        """Send, and listen to the chat, on the running loop."""
        loop = asyncio.get_running_loop()
        if self.wanted and not self._tasks:
            self._tasks = [loop.create_task(self._deliver(), name="alerts")]
            if self._settings.telegram_token:
                self._tasks.append(loop.create_task(self._hear(), name="alerts-chat"))

    async def stop(self) -> None:
        """Stop; what waits is dropped."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._transport.aclose()

    def put(self, alert: Mapping[str, Any]) -> None:
        """Have an alert sent; never waits."""
        if not self.wanted:
            return
        try:
            self._queue.put_nowait(alert)
        except asyncio.QueueFull:
            self.dropped += 1

    async def _deliver(self) -> None:
        while True:
            alert = await self._queue.get()
            for send in (self._to_webhook, self._to_chat):
                await self._try(send, alert)

    async def _try(self, send: Callable[[Mapping[str, Any]], Awaitable[bool]], alert: Mapping[str, Any]) -> None:
        for attempt in range(_TRIES):
            try:
                if await send(alert):
                    self.sent += 1
                    return
            except httpx.HTTPError as error:
                _LOG.warning("an alert could not be sent: %s", type(error).__name__)
            await self._sleep(2.0**attempt)
        self.dropped += 1

    async def _to_webhook(self, alert: Mapping[str, Any]) -> bool:
        url = self._settings.webhook_url.reveal()
        return not url or (await self._post(url, dict(alert)))[0] < 300

    async def _to_chat(self, alert: Mapping[str, Any]) -> bool:
        if not self._settings.telegram_token:
            return True
        text = f"{alert.get('kind', 'alert')}: {alert.get('text', '')}"[:1000]
        status, _ = await self._post(self._bot("sendMessage"), {"chat_id": self._settings.telegram_chat, "text": text})
        return status < 300

    async def _hear(self) -> None:
        """Ask the bot for messages; only ``halt`` from the one chat means anything."""
        offset = 0
        while True:
            try:
                status, body = await self._post(self._bot("getUpdates"), {"offset": offset, "timeout": _POLL_S})
                found = body.get("result", []) if status == 200 else []
            except httpx.HTTPError:
                found, status = [], 0
            if status != 200:
                await self._sleep(5.0)
            for update in found if isinstance(found, list) else []:
                offset = max(offset, int(update.get("update_id", 0)) + 1)
                await self._command(update.get("message") or {})

    async def _command(self, message: Mapping[str, Any]) -> None:
        chat, text = message.get("chat"), message.get("text")
        if not isinstance(chat, Mapping) or str(chat.get("id")) != self._settings.telegram_chat:
            _LOG.warning("a message of another chat was passed over")
            return
        if isinstance(text, str) and text.strip().lower().lstrip("/") == "halt":
            await self._halt("halt by the chat")

    def _bot(self, method: str) -> str:
        return f"{self._settings.telegram_root.rstrip('/')}/bot{self._settings.telegram_token.reveal()}/{method}"

    async def _post(self, url: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        timeout = {**_TIMEOUT, "read": _TIMEOUT["read"] + _POLL_S}
        request = httpx.Request(
            "POST",
            url,
            content=msgspec.json.encode(body),
            headers={"content-type": "application/json"},
            extensions={"timeout": timeout},
        )
        response = await self._transport.handle_async_request(request)
        try:
            raw = b""
            async for part in response.stream:  # type: ignore[union-attr]
                raw += part
                if len(raw) > _REPLY:
                    return 599, {}
        finally:
            await response.aclose()
        try:
            found = msgspec.json.decode(raw) if raw else {}
        except msgspec.DecodeError:
            found = {}
        return response.status_code, found if isinstance(found, dict) else {}
