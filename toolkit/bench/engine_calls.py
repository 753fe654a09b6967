"""The HTTP rows of ``toolkit bench engine``: an order call of ours, of the client library, and of a bare socket."""

from __future__ import annotations

import asyncio
import itertools
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from toolkit.bench.process import beside, serve
from toolkit.brokers.tokens import TokenStore
from toolkit.calendar import ist_date
from toolkit.config import Secret
from toolkit.types import OrderRequest, Product, Side

__all__ = ["kite_calls", "server", "xts_calls"]

Job = Callable[[], object]
_MANY: Final = 10**9
_DUMP: Final = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,"
    "segment,exchange\n738561,2885,RELIANCE,RELIANCE INDUSTRIES,0,,0,0.1,1,EQ,NSE,NSE\n"
)
_MASTER: Final = (
    "NSECM|2885|8|RELIANCE|RELIANCE-EQ|EQ|RELIANCE-EQ|1100100002885|1440.4|1178.6|67662|0.1|1|1|RELIANCE|INE002A01018"
    "|1|1|RELIANCE INDUSTRIES LTD-EQ|0|-1|-1"
)
_KITE: Final = {"status": "success", "data": {"order_id": "260213000000001"}}
_PROFILE: Final = {
    "status": "success",
    "data": {"user_id": "BENCH", "user_name": "bench", "exchanges": ["NSE"], "products": ["CNC"]},
}
_XTS: Final = {
    "type": "success",
    "code": "s-orders-0001",
    "description": "Request sent",
    "result": {"AppOrderID": 1110039096, "OrderUniqueIdentifier": "B1", "ClientID": "BENCH"},
}
_LOGIN: Final = {
    "type": "success",
    "code": "s-user-0001",
    "description": "Valid User.",
    "result": {"token": "bench-token", "userID": "BENCH", "clientCodes": ["BENCH"], "isInvestorClient": True},
}


def _answer(found: object) -> bytes:
    body = msgspec.json.encode(found)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Bare(asyncio.Protocol):
    """Reads whole requests and answers each with fixed bytes: the least a server can cost."""

    answers: Final = {
        b"/orders/regular": _answer(_KITE),
        b"/user/profile": _answer(_PROFILE),
        b"/user/session": _answer(_LOGIN),
        b"/orders": _answer(_XTS),
    }

    def __init__(self) -> None:
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end]
            at = head.lower().find(b"content-length:")
            size = int(head[at + 15 :].split(b"\r", 1)[0]) if at >= 0 else 0
            if len(self._data) < end + 4 + size:
                return
            self._data = self._data[end + 4 + size :]
            path = head.split(b" ", 2)[1]
            self._transport.write(next(made for tail, made in self.answers.items() if path.endswith(tail)))


def server() -> AbstractContextManager[int]:
    """The bare server in another process; gives its port."""
    return beside(serve, _Bare, what="the benchmark's server")


@contextmanager
def kite_calls(port: int) -> Iterator[dict[str, Job]]:
    """``ours``, ``library`` (kiteconnect as it comes) and ``raw`` (a socket): each places one order a call."""
    from kiteconnect import KiteConnect

    from toolkit.brokers.kite import KiteBroker
    from toolkit.brokers.kite_master import KiteMaster, read_dump
    from toolkit.brokers.kite_settings import KiteSettings

    root, today = f"http://127.0.0.1:{port}", ist_date(time.time_ns())
    settings = KiteSettings(
        api_key="bench",
        access_token=Secret("bench-token"),
        root=root,
        user_id="BENCH",
        orders_per_s=_MANY,
        orders_per_min=_MANY,
        orders_per_day=_MANY,
    )
    library = KiteConnect(api_key="bench", access_token="bench-token", root=root)  # noqa: S106
    form = {
        "variety": "regular",
        "exchange": "NSE",
        "tradingsymbol": "RELIANCE",
        "transaction_type": "BUY",
        "quantity": 1,
        "product": "CNC",
        "order_type": "LIMIT",
        "validity": "DAY",
        "price": 1300.0,
        "tag": "B1",
    }
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner, _raw(port, "/orders/regular") as raw:
        broker = KiteBroker(settings, tokens=TokenStore(Path(folder)))
        broker._master = KiteMaster(read_dump(_DUMP.encode(), today), today)
        numbers = itertools.count(1)
        yield {
            "ours": lambda: runner.run(broker.place(_order(next(numbers), "kite", "RELIANCE"))),
            "library": lambda: library.place_order(**form),
            "raw": raw,
        }
        runner.run(broker.close())
        library.reqsession.close()


@contextmanager
def xts_calls(port: int) -> Iterator[dict[str, Job]]:
    """``ours``, ``library`` (an httpx client as it comes) and ``raw`` (a socket): each places one order a call."""
    import httpx

    from toolkit.brokers.xts import XtsBroker
    from toolkit.brokers.xts_master import XtsMaster, read_master
    from toolkit.brokers.xts_settings import XtsSettings, XtsTerms

    root, today = f"http://127.0.0.1:{port}", ist_date(time.time_ns())
    settings = XtsSettings(
        root=root, md_root=root, app_key=Secret("bench"), secret_key=Secret("bench-secret"), client_id="BENCH"
    )
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner, _raw(port, "/interactive/orders") as raw:
        broker = XtsBroker(settings, terms=XtsTerms(orders_per_s=_MANY), tokens=TokenStore(Path(folder)))
        broker.market._master = XtsMaster(_table(read_master(_MASTER, today)), today)
        library = httpx.AsyncClient(trust_env=False)
        numbers = itertools.count(1)

        async def ours() -> str:
            return await broker.place(_order(next(numbers), broker.name, "RELIANCE-EQ"))

        body = runner.run(broker.form(_order(0, broker.name, "RELIANCE-EQ")))
        headers = {"Authorization": "bench-token", "Content-Type": "application/json"}

        async def theirs() -> object:
            answer = await library.post(f"{root}/interactive/orders", json=body, headers=headers)
            return answer.raise_for_status().json()["result"]["AppOrderID"]

        yield {"ours": lambda: runner.run(ours()), "library": lambda: runner.run(theirs()), "raw": raw}
        runner.run(broker.close())
        runner.run(library.aclose())


def _table(read: tuple[Any, dict[str, int]]) -> Any:
    return read[0]


def _order(number: int, broker: str, symbol: str) -> OrderRequest:
    return OrderRequest(
        cl_ord_id=f"B{number}",
        symbol=symbol,
        side=Side.BUY,
        order_qty=1,
        price_p=130_000,
        product=Product.CNC,
        account="BENCH",
        broker=broker,
    )


@contextmanager
def _raw(port: int, path: str) -> Iterator[Job]:
    """A blocking socket that sends ready bytes and reads the answer."""
    form = (
        b"exchange=NSE&tradingsymbol=RELIANCE&transaction_type=BUY&quantity=1&product=CNC&order_type=LIMIT&price=1300"
    )
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(form)}\r\n\r\n"
    data = head.encode() + form
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def call() -> None:
            link.sendall(data)
            while not link.recv(65536).endswith(b"}"):
                pass

        yield call
