"""One engine on paper with its API on a real socket, for all tests of this folder."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from toolkit.config import Settings
from toolkit.desk_backends import Loop
from toolkit.serve.build import Plan, build
from toolkit.serve.run import Server

CE = "NIFTY 14JUL2026 25450 CE"
NUMBERS = itertools.count(1)


@dataclass
class Served:
    """A running engine and how to speak to it."""

    server: Server
    loop: Loop
    home: Path

    @property
    def url(self) -> str:
        return self.server.url

    def token(self, scope: str = "admin") -> str:
        return self.server.tokens.path(scope).read_text().strip()

    def client(self, scope: str | None = "admin", **headers: str) -> httpx.Client:
        own = {} if scope is None else {"authorization": f"Bearer {self.token(scope)}"}
        return httpx.Client(base_url=self.url, headers={**own, **headers}, timeout=20, trust_env=False)

    def order(self, **fields):
        """Fields of an order that rests; each its own price, so that none is a repeat of another."""
        price = f"{70 + next(NUMBERS) % 200 * 0.05:.2f}"
        return {"symbol": CE, "side": "BUY", "lots": 1, "price": price, **fields}

    def ids(self) -> set[str]:
        return set(self.server.station.seats["PAPER"].engine.core.orders)

    def seq(self) -> int:
        return self.server.station.last_seq("PAPER")


@contextlib.contextmanager
def serving(home: Path) -> Iterator[Served]:
    """An engine process's inside, on a thread of its own, on the shipped session."""
    mark = pytest.MonkeyPatch()
    mark.setenv("TOOLKIT_HOME", str(home))
    tree = Settings.load(
        options={"engine": {"throttle_per_s": 500}, "risk": {"max_messages_per_s": 500, "max_cancels_per_s": 500}}
    )
    loop = Loop("test-engine")

    async def start():
        server = Server(await build(Plan(), tree), tree, 0)
        await server.start()
        return server

    made = Served(loop.wait(start), loop, home)
    yield made
    loop.wait(made.server.stop)
    loop.stop()
    mark.undo()


@pytest.fixture(scope="package")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("serve-home")) as made:
        yield made


@pytest.fixture
def api(served):
    with served.client() as client:
        yield client
