"""The XTS rows of ``toolkit bench feed``: packets and texts to arrays, and from a frame to the last-value table."""

from __future__ import annotations

import asyncio
import importlib
import json
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from toolkit.bench.runner import Result, interleave, ratio_row
from toolkit.market import xts_text, xts_wire
from toolkit.market.feed_session import Command
from toolkit.market.last_values import LastValues
from toolkit.market.socketio import encode_event, encode_open
from toolkit.market.xts_feed import XtsWire
from toolkit.market.xts_rows import ROW, token_of
from toolkit.market.xts_socket import Door

__all__ = ["compare", "xts_attachment", "xts_touchline"]

_BATCH: Final = 100
_WANTED: Final = 3000
_PLAIN_SHARE: Final = 0.7 / 0.1  # 100 ns a packet, on the machine where the plain reader takes 0.7 us
_TYPED_SHARE: Final = 1 / 1.2


def compare(result: Result) -> None:
    """Make every row of XTS."""
    _packets(result)
    _texts(result)
    _rows(result)


def xts_attachment(n: int, seed: int = 1) -> bytes:
    """``n`` touchlines (1501) of the XTS binary feed, wide layout, with plausible values."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(n):
        low, ltp, high = sorted((rng.integers(500, 6_000_000, 3) / 100).tolist())
        qty = rng.integers(1, 2**31, 6).tolist()
        body = struct.pack("<qdih", qty[0], ltp - 0.05, 3, 0) + struct.pack("<qdih", qty[1], ltp + 0.05, 4, 0)
        body += struct.pack("<Qd4q", 1_450_351_800, ltp, *qty[2:]) + struct.pack("<dqd", ltp, 1_450_351_799, 0.5)
        body += struct.pack("<5dhh", low, high, low, ltp, 0.0, 0, 0)
        head = struct.pack("<HHHQQi", 1501, 4, 0, 0, 99, 0) + struct.pack("<hiQ", 2, 40_000 + i, 1_450_351_800)
        size = len(head) + len(body)
        out.append(struct.pack("<bHhihhH", 0, 1501, 2, 40_000 + i, 1, 1, size) + head + body)
    return b"".join(out)


def _packets(result: Result) -> None:
    """XTS touchlines to arrays against a plain reader: one precompiled ``struct`` a packet, tuples out."""
    data = xts_attachment(_BATCH)
    front = struct.Struct("<bHhihhH")
    body = struct.Struct("<HHHQQihiQ qdih qdih Qd4q dqd 5dhh".replace(" ", ""))
    buffer = xts_wire.XtsBuffer(_BATCH * 6)

    def plain() -> list[tuple[Any, ...]]:
        rows, at = [], 0
        while at < len(data):
            size = front.unpack_from(data, at)[6]
            rows.append(body.unpack_from(data, at + front.size))
            at += front.size + size
        return rows

    made = xts_wire.decode_binary(data, into=buffer)
    wrong = [
        i
        for i, row in enumerate(plain())
        if row[18] != made.ticks["ltp"][i] or row[9] != made.ticks["bid"]["qty"][i, 0]
    ]
    if len(made.ticks) != _BATCH or made.bad or wrong:
        result.misses.append(f"XTS: {len(made.ticks)} of {_BATCH} touchlines decoded, {len(wrong)} differ")
    times = interleave({"ours": lambda: xts_wire.decode_binary(data, into=buffer), "plain": plain})
    row = ratio_row(
        "XTS packets, arrays", _BATCH, "plain struct reader", times["ours"], times["plain"], goal=_PLAIN_SHARE
    )
    result.rows.append(row)


def xts_touchline(i: int = 0) -> bytes:
    """A touchline (1501) as JSON text: the fields and the length of a real one."""
    level = {"Size": 75 + i, "Price": 25960.5, "TotalOrders": 1, "BuyBackMarketMaker": 0}
    touch = {
        "BidInfo": level,
        "AskInfo": level | {"Price": 25963.0},
        "LastTradedPrice": 25960.5,
        "LastTradedQunatity": 75,
        "TotalBuyQuantity": 696_825,
        "TotalSellQuantity": 552_150,
        "TotalTradedQuantity": 3_240_450 + i,
        "AverageTradedPrice": 25998.25,
        "LastTradedTime": 1_450_351_799,
        "LastUpdateTime": 1_450_351_800,
        "PercentChange": -0.5688,
        "Open": 26012.0,
        "High": 26045.0,
        "Low": 25952.3,
        "Close": 26108.7,
        "TotalValueTraded": None,
        "BuyBackTotalBuy": 0,
        "BuyBackTotalSell": 0,
    }
    head = {
        "MessageCode": 1501,
        "MessageVersion": 4,
        "ApplicationType": 0,
        "TokenID": 0,
        "ExchangeSegment": 2,
        "ExchangeInstrumentID": 49_543 + i,
        "ExchangeTimeStamp": 1_450_351_800,
        "BookType": 1,
        "XMarketType": 1,
        "SequenceNumber": 1_590_018_768_000_000 + i,
    }
    return msgspec.json.encode(head | {"Touchline": touch})


class _Touch(msgspec.Struct):
    BidInfo: dict[str, float]
    AskInfo: dict[str, float]
    LastTradedPrice: float
    LastTradedQunatity: int
    TotalBuyQuantity: int
    TotalSellQuantity: int
    TotalTradedQuantity: int
    AverageTradedPrice: float
    LastTradedTime: int
    LastUpdateTime: int
    PercentChange: float
    Open: float
    High: float
    Low: float
    Close: float
    TotalValueTraded: float | None


class _Touchline(msgspec.Struct):
    MessageCode: int
    MessageVersion: int
    ExchangeSegment: int
    ExchangeInstrumentID: int
    ExchangeTimeStamp: int
    BookType: int
    XMarketType: int
    SequenceNumber: int
    Touchline: _Touch


class _Level(msgspec.Struct):
    Size: int
    Price: float
    TotalOrders: int


def _plain_typed() -> Callable[[bytes], Any]:
    """A plain typed decoder of what our record keeps: the same fields, levels typed too, no bounds, no leniency."""
    typed = {"BidInfo": _Level, "AskInfo": _Level}
    fields = [(n, typed.get(n, t)) for n, t in _Touch.__annotations__.items()]
    touch = msgspec.defstruct("Touch", fields)
    own = [(n, touch if n == "Touchline" else t) for n, t in _Touchline.__annotations__.items()]
    return msgspec.json.Decoder(msgspec.defstruct("Full", own)).decode


def _texts(result: Result) -> None:
    """XTS touchlines as text to our record, against decoders that know one shape only or none."""
    body = xts_touchline()
    typed = _plain_typed()
    ours, theirs = xts_text.decode_full(body, 1501), typed(body)
    if (ours.touch.ltp, ours.touch.volume) != (theirs.Touchline.LastTradedPrice, theirs.Touchline.TotalTradedQuantity):
        result.misses.append("XTS text: our values are not those of a plain decoder")
    jobs: dict[str, Callable[[], object]] = {
        "ours": lambda: xts_text.decode_full(body, 1501),
        "typed": lambda: typed(body),
        "json": lambda: json.loads(body),
        "msgspec": lambda: msgspec.json.decode(body),
    }
    goals = {"msgspec typed": ("typed", _TYPED_SHARE), "json, dict": ("json", 4.0), "msgspec, dict": ("msgspec", None)}
    try:
        orjson = importlib.import_module("orjson")
    except ImportError:
        result.notes.append("orjson is not installed: XTS text is not compared with it")
    else:
        jobs["orjson"] = lambda: orjson.loads(body)
        goals["orjson, dict"] = ("orjson", None)
    times = interleave(jobs)
    for peer, (job, goal) in goals.items():
        result.rows.append(ratio_row("XTS touchline, text", 1, peer, times["ours"], times[job], goal=goal))


def _rows(result: Result) -> None:
    """What a feed of 3,000 XTS instruments costs from the frame to the last-value table, packets and text."""
    wire, table = _listening(_WANTED)
    packets = [
        f if isinstance(f, str) else b"\x04" + f for f in encode_event("xts-binary-packet", xts_attachment(_BATCH))
    ]
    texts = [encode_event("1501-json-full", xts_touchline(i).decode())[0] for i in range(_BATCH)]

    def hear(frames: Sequence[str | bytes]) -> None:
        for frame in frames:
            heard = wire.hear(frame, 1_765_864_800 * 10**9)
            if len(heard.ticks):
                table.apply(heard.ticks)

    hear(packets)
    if len(table) != _BATCH:
        result.misses.append(f"XTS rows: {len(table)} of {_BATCH} instruments reached the table")
    plain = [json.dumps(["1501-json-full", xts_touchline(i).decode()]) for i in range(_BATCH)]

    def peer() -> None:
        last = {}
        for text in plain:
            event = json.loads(json.loads(text)[1])
            last[event["ExchangeInstrumentID"]] = event

    times = interleave({"packets": lambda: hear(packets), "texts": lambda: hear(texts), "peer": peer})
    for name, job in (("XTS packets to the table", "packets"), ("XTS texts to the table", "texts")):
        result.rows.append(ratio_row(name, _BATCH, "json twice, dict", times[job], times["peer"]))
    result.notes.append(f"XTS to the table: {_WANTED} instruments wanted, {_BATCH} of them a round")


def _listening(count: int) -> tuple[XtsWire, LastValues]:
    """A wire that is connected and wants ``count`` instruments, without a socket."""
    wire = XtsWire(_no_door, {}, desk=_NoDesk())
    wire.opened(0)
    tokens = [token_of(2, 40_000 + i) for i in range(count)]

    async def subscribe() -> None:
        async for _ in wire.carry_out([Command("subscribe", tuple(tokens), "quote")]):
            pass

    asyncio.run(subscribe())
    for frame in (encode_open("bench", 25_000, 5_000), "40"):
        wire.hear(frame, 0)
    return wire, LastValues(dtype=ROW)


async def _no_door() -> Door:
    return Door("http://127.0.0.1/apimarketdata", "", "")


class _NoDesk:
    """Subscribes nothing and says that it did."""

    subscribed: frozenset[tuple[int, int, int]] = frozenset()
    ticks: tuple[xts_text.TextTick, ...] = ()

    async def subscribe(self, places: Iterable[tuple[int, int]], code: int) -> _NoDesk:
        return self

    async def unsubscribe(self, places: Iterable[tuple[int, int]], code: int) -> None:
        return

    renew = subscribe

    async def leave(self) -> None:
        """It holds nothing."""

    async def quotes(
        self, places: Iterable[tuple[int, int]], code: int = 1502
    ) -> dict[tuple[int, int], xts_text.TextTick]:
        return {}
