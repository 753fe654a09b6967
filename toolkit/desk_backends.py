"""What a desk stands on: a loop of its own, and the engine in this process or over HTTP."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

if TYPE_CHECKING:
    from toolkit.orders.station import Station
    from toolkit.serve.client import Client

__all__ = ["STOP_S", "Local", "Loop", "Remote", "via_of"]

T = TypeVar("T")
STOP_S: Final = 10.0
_BEAT_S: Final = 0.1


class Loop:
    """A thread with an event loop that no caller's exception reaches."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, make: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Run a coroutine there; it goes on when nobody waits for it any more."""
        done: Future[T] = Future()
        self._loop.call_soon_threadsafe(self._begin, make, done)
        return done

    def wait(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine there and wait for it; Ctrl-C ends the waiting only."""
        return self.submit(make).result()

    def stop(self) -> None:
        """End the thread; does nothing the second time."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_S)

    def _begin(self, make: Callable[[], Coroutine[Any, Any, T]], done: Future[T]) -> None:
        if not done.set_running_or_notify_cancel():
            return
        task = self._loop.create_task(make())

        def over(task: asyncio.Task[T]) -> None:
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            if error is None:
                done.set_result(task.result())
            else:
                done.set_exception(error)

        task.add_done_callback(over)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._beat()
        try:
            self._loop.run_forever()
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    def _beat(self) -> None:
        """Wake up now and then: a Ctrl-C may strike a caller between handing over a call and ringing the bell."""
        self._loop.call_later(_BEAT_S, self._beat)


class Local:
    """A station in this process."""

    def __init__(self, station: Station, close: Callable[[], Awaitable[None]]) -> None:
        self.station = station
        self._close = close
        self.url = ""

    async def state(self) -> dict[str, Any]:
        return self.station.state()

    async def place(self, body: object) -> dict[str, Any]:
        return await self.station.place(body, via=via_of())

    async def act(self, name: str, **options: Any) -> Any:
        return await getattr(self.station, name)(**options)

    async def view(self, name: str, **query: Any) -> Any:
        given = {key: value for key, value in query.items() if value is not None}
        if name == "scenarios":
            return await self.station.scenarios(given)
        return await getattr(self.station, name)(**given)

    async def events(self, after: int | None, account: str | None) -> AsyncIterator[dict[str, Any]]:
        station = self.station
        name = account or station.accounts[0]
        at = station.last_seq(name) if after is None else after
        wake = asyncio.Event()
        station.wakes.add(wake)
        try:
            while True:
                wake.clear()
                for event in (await station.events(at, 256, name))["events"]:
                    at = event["seq"]
                    yield event
                if at >= station.last_seq(name):
                    await wake.wait()
        finally:
            station.wakes.discard(wake)

    async def close(self) -> None:
        await self._close()


class Remote:
    """A running engine over HTTP."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.url = client.url

    async def state(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.client.get("/v1/state")
        return found

    async def place(self, body: object) -> dict[str, Any]:
        found: dict[str, Any] = await self.client.send("POST", "/v1/orders", body)
        return found

    async def act(self, name: str, **options: Any) -> Any:
        given = {key: value for key, value in options.items() if value is not None}
        cl_ord_id = given.pop("cl_ord_id", None)
        if name == "modify":
            return await self.client.send("PATCH", f"/v1/orders/{_part(cl_ord_id)}", given["body"])
        if name == "cancel":
            return await self.client.send("DELETE", f"/v1/orders/{_part(cl_ord_id)}")
        if name in ("preview", "margin"):
            return await self.client.send("POST", f"/v1/{name}", given["body"])
        if name == "resend":
            return await self.client.send("POST", f"/v1/resend/{_part(cl_ord_id)}", given)
        return await self.client.send("POST", f"/v1/{name}", given)

    async def view(self, name: str, **query: Any) -> Any:
        if name == "order":
            return await self.client.get(f"/v1/orders/{_part(query['cl_ord_id'])}")
        if name == "chain":
            expiry = query.get("expiry") or "nearest"
            return await self.client.get(f"/v1/chain/{_part(query['underlying'])}/{_part(expiry)}")
        if name == "oi":
            return await self.client.get(f"/v1/oi/{_part(query.pop('underlying'))}", **query)
        return await self.client.get(f"/v1/{name}", **query)

    def events(self, after: int | None, account: str | None) -> AsyncIterator[dict[str, Any]]:
        return self.client.events(after, account)

    async def close(self) -> None:
        await self.client.close()


def _part(value: object) -> str:
    """A value as one part of a path."""
    return quote(str(value), safe="")


def via_of() -> str:
    """Who asks: a notebook, or a script."""
    shell = sys.modules.get("IPython")
    return "notebook" if shell is not None and shell.get_ipython() is not None else "python"
