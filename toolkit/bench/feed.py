"""``toolkit bench feed``: a broker's bytes to arrays, and a socket to the last-value table.

Ratios are interleaved: ours, peer, ours, peer. Floors are timed in the same run: a copy of the
same bytes for a frame of 500 packets, the plain ``struct`` reading of one packet for a frame of
one. The goals of 20 ns a packet and 2 us a frame are stated as ratios to those floors on the
machine where they cost 4.2 ns and 0.77 us. XTS's touchlines as text are held against a plain
typed decoder of the same fields (at most 1.2 times its time), XTS's packets against a plain
``struct`` reader, to which the goal of 100 ns a packet is stated as a ratio.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from toolkit.bench import feed_xts
from toolkit.bench.runner import Result, interleave, machine, pinned, ratio_row
from toolkit.market import kite_wire
from toolkit.market.last_values import LastValues

__all__ = ["full_frame", "run", "same_values"]

_PACKETS: Final = 500
_COPY_SHARE: Final = 4.2 / 20.0
_STRUCT_SHARE: Final = 0.77 / 2.0
_BURST: Final = 400
_PACED_S: Final = 5.0
_LAG_MS: Final = 50.0
_PACKAGES: Final = ("numpy", "numba", "websockets", "kiteconnect")


def run(peers: bool = False, check: bool = False) -> Result:
    """Run it.

    Parameters
    ----------
    peers : bool
        Also end to end against the official ticker; its parser is always compared where installed.
    check : bool
        The goals are always judged; the command turns a miss into its exit code.
    """
    result = Result("feed", machine=machine(_PACKAGES))
    result.notes.append("goals are ratios of interleaved rounds: median, then the range, of peer / ours")
    with pinned():
        _decode(result)
        feed_xts.compare(result)
        _end_to_end(result, peers)
    return result


def full_frame(n: int, seed: int = 1) -> bytes:
    """A frame of ``n`` full packets: plausible prices, quantities and times, five levels a side."""
    rng = np.random.default_rng(seed)
    words = rng.integers(1, 2**31, (n, 46), dtype=np.int64)
    words[:, 0] = (np.arange(n) + 35_000) * 256 + 2
    words[:, [1, 3, 7, 8, 9, 10]] = rng.integers(500, 6_000_000, (n, 6))
    words[:, [11, 15]] = 1_762_832_700 + rng.integers(0, 22_500, (n, 2))
    words[:, 18::3] &= 0xFFFF0000  # orders, then two bytes of padding
    packets = np.ascontiguousarray(words.astype(">u4")).view(np.uint8).reshape(n, 184)
    head = np.tile(np.frombuffer(struct.pack(">H", 184), np.uint8), (n, 1))
    return struct.pack(">H", n) + np.hstack([head, packets]).tobytes()


def same_values(frame: bytes, parse: Callable[[bytes], list[dict[str, Any]]]) -> list[str]:
    """What differs between our values and the official parser's, field by field; empty when nothing does."""
    ticks = kite_wire.decode(frame).ticks
    rupees = kite_wire.prices(ticks)
    names = {"last_traded_quantity": "last_qty", "volume_traded": "volume", "total_buy_quantity": "total_bid_qty"}
    names |= {"total_sell_quantity": "total_ask_qty", "oi": "oi", "oi_day_high": "oi_high", "oi_day_low": "oi_low"}
    wrong = []
    for i, theirs in enumerate(parse(frame)):
        pairs = {"instrument_token": (theirs["instrument_token"], ticks["token"][i])}
        pairs |= {name: (theirs[name], ticks[ours][i]) for name, ours in names.items()}
        pairs["last_price"] = (theirs["last_price"], rupees["ltp"][i])
        pairs["average_traded_price"] = (theirs["average_traded_price"], rupees["avg_px"][i])
        pairs |= {name: (theirs["ohlc"][name], rupees[name][i]) for name in ("open", "high", "low", "close")}
        pairs["exchange_timestamp"] = (int(theirs["exchange_timestamp"].timestamp()), ticks["exch_s"][i])
        pairs["last_trade_time"] = (int(theirs["last_trade_time"].timestamp()), ticks["last_trade_s"][i])
        for side, ours in (("buy", "bid"), ("sell", "ask")):
            for k, level in enumerate(theirs["depth"][side]):
                pairs[f"{side}{k} price"] = (level["price"], rupees[f"{ours}_px"][i, k])
                pairs[f"{side}{k} quantity"] = (level["quantity"], ticks[ours]["qty"][i, k])
                pairs[f"{side}{k} orders"] = (level["orders"], ticks[ours]["orders"][i, k])
        wrong += [f"packet {i}: {name} {a} is {b} here" for name, (a, b) in pairs.items() if a != b]
    return wrong


def _official() -> Any | None:
    try:
        from kiteconnect import KiteTicker
    except ImportError:
        return None
    return KiteTicker("key", "token")


def _decode(result: Result) -> None:
    frame, one = full_frame(_PACKETS), full_frame(1)
    buffer, single = kite_wire.TickBuffer(_PACKETS), kite_wire.TickBuffer(1)
    source, target = np.frombuffer(frame, np.uint8), np.empty(len(frame), np.uint8)
    packet = struct.Struct(">16I" + "IIHH" * 10)
    table = LastValues(kite_wire.decode(frame).ticks["token"].tolist())
    jobs: dict[str, Callable[[], object]] = {
        "decode": lambda: kite_wire.decode(frame, 1, into=buffer),
        "copy": lambda: np.copyto(target, source),
        "one": lambda: kite_wire.decode(one, 1, into=single),
        "struct": lambda: packet.unpack_from(one, 4),
        "records": lambda: _records(frame),
        "table": lambda: table.apply(kite_wire.decode(frame, 1).ticks),
    }
    official = _official()
    if official is None:
        result.notes.append("kiteconnect is not installed: its parser is not compared; add the extra kite")
    else:
        jobs["official"] = lambda: official._parse_binary(frame)
        wrong = same_values(frame, official._parse_binary)
        result.notes.append(f"values against the official parser: {_PACKETS} packets, {len(wrong)} differences")
        result.misses += wrong[:3]
    times = interleave(jobs)
    rows = [("decode, arrays", "decode", "copy of the bytes", "copy", _COPY_SHARE)]
    if official is not None:
        rows += [
            ("decode, arrays", "decode", "official parser", "official", 500.0),
            ("typed records", "records", "official parser", "official", 20.0),
            ("into the table", "table", "official parser", "official", 100.0),
        ]
    for job, ours, peer, theirs, goal in rows:
        result.rows.append(ratio_row(job, _PACKETS, peer, times[ours], times[theirs], goal=goal))
    result.rows.append(
        ratio_row("one-tick frame, call", 1, "struct, one packet", times["one"], times["struct"], goal=_STRUCT_SHARE)
    )


def _records(frame: bytes) -> object:
    """Every field as rupees, units and seconds, typed columns with ten levels."""
    ticks = kite_wire.decode(frame, 1).ticks
    return ticks, kite_wire.prices(ticks)


def _end_to_end(result: Result, peers: bool) -> None:
    try:
        from toolkit.bench import feed_link
    except ImportError as error:
        result.notes.append(f"{error.name} is not installed: nothing end to end; add the extra kite")
        return
    with feed_link.server() as port:
        times: dict[str, list[float]] = {"ours": [], "raw": [], "official": []}
        for turn in range(5):
            times["ours"].append(feed_link.ours_burst(port, _BURST))
            times["raw"].append(feed_link.raw_burst(port, _BURST))
            if peers and turn < 3 and _official() is not None:
                times["official"].append(feed_link.peer_burst(port, _BURST // 20))
        row = ratio_row("socket to table", 1, "bare websockets recv", times["ours"], times["raw"])
        result.rows.append(row)
        if times["official"]:
            ours = times["ours"][: len(times["official"])]
            result.rows.append(ratio_row("socket to table", 1, "official ticker", ours, times["official"], goal=20.0))
        lag = feed_link.paced(port, _PACED_S)
    rate = feed_link.INSTRUMENTS * feed_link.UPDATES_PER_S
    result.notes.append(
        f"{feed_link.INSTRUMENTS} instruments x {feed_link.UPDATES_PER_S} full updates/s for {_PACED_S:g} s, one core: "
        f"{lag.received} of {lag.sent} packets, lag p50 {lag.p50_ms:.2f} ms, p99 {lag.p99_ms:.2f} ms, "
        f"most {lag.most_ms:.2f} ms, {lag.processor:.0%} of the core, totals {'exact' if lag.exact else 'WRONG'}"
    )
    if lag.received < lag.sent or not lag.exact:
        result.misses.append(f"{lag.received} of {lag.sent} packets reached the table, totals exact: {lag.exact}")
    if lag.p99_ms >= _LAG_MS:
        result.misses.append(f"lag p99 {lag.p99_ms:.1f} ms at {rate} packets/s, the limit is {_LAG_MS:g} ms")
