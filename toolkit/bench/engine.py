"""``toolkit bench engine``: the order path from a decision to its fill, by stage, against floors and peers.

Every goal is a ratio to something timed in the same run. The journal: a bare flush of the same bytes. The engine's
own part, which is everything but the commit and the socket: asking the rules, encoding and handing the bytes to a
socket, done between the paced orders, so that both meet the same caches; its median on the wall, its tail in
processor time, for a tail on the wall is the neighbours'. The whole engine: NautilusTrader on equal work. An HTTP
order call: what we add to the client library, against what that adds to a bare socket.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib.util import find_spec
from statistics import median
from typing import Final

import numpy as np
import numpy.typing as npt

from toolkit.bench.engine_calls import kite_calls, server, xts_calls
from toolkit.bench.engine_journal import GROUP, desk
from toolkit.bench.engine_link import dial, encode, exchange, line_of, round_trip
from toolkit.bench.engine_path import OPEN, STRATEGIES, Burst, Pace, burst, order_like, paced
from toolkit.bench.engine_peer import nautilus, nautilus_installed
from toolkit.bench.engine_whole import live, pure
from toolkit.bench.runner import ROUNDS, Result, Row, interleave, machine, pinned, ratio_row, versions

__all__ = ["run"]

PACED: Final = 1000
PER_S: Final = 100.0
WHOLE: Final = 200
BURST: Final = 100_000
AT_ONCE: Final = 100
WARM: Final = 400
FLUSHES: Final = 1000
ONE_CALL: Final = 1e-6
"""A flush takes another time from one millisecond to the next: one call of each side in turn meets the same disk."""
COMMIT: Final = 1 / 1.5
GROUPED: Final = 0.5
"""Five microseconds a record, where a plain insert of such a row with its part of one flush takes two and a half."""
OWN: Final = 1 / 5.0
OWN_P99: Final = 9.0 / 150.0
"""150 microseconds, where the floor takes 9."""
FLAT: Final = 4096.0
"""Bytes that an order and its execution may keep: the day's order book itself."""


def run(peers: bool, check: bool) -> Result:
    """Time every row; NautilusTrader wherever it is installed. ``peers`` adds nothing, ``check`` is the command's."""
    result = Result("engine", machine=machine(("msgspec", "kiteconnect", "httpx", "nautilus-trader")))
    with pinned():
        _journal(result)
        with exchange() as port:
            by_wall = asyncio.run(paced(port, orders=PACED, per_s=PER_S))
            _path(result, by_wall, asyncio.run(paced(port, orders=PACED, per_s=PER_S, stamp=time.thread_time_ns)))
            _burst(result, asyncio.run(burst(port, orders=BURST, at_once=AT_ONCE)))
            _least(result, port)
        _whole(result)
        with server() as port:
            _calls(result, port)
    return result


def _journal(result: Result) -> None:
    """Commits against bare flushes."""
    with desk() as d:
        for _ in range(WARM):  # the write-ahead log reaches the size at which it is used again
            d.commit()
        one = interleave({"ours": d.commit, "floor": d.flush}, rounds=FLUSHES, sample_s=ONE_CALL)
        many = interleave(
            {"ours": d.group, "insert": d.insert, "flush": d.flush_group}, rounds=FLUSHES, sample_s=ONE_CALL
        )
    floor = [a + b for a, b in zip(many["insert"], many["flush"], strict=True)]
    result.rows.append(ratio_row("journal commit", 1, "bare fdatasync", one["ours"], one["floor"], goal=COMMIT))
    result.rows.append(
        ratio_row("group commit, a record", GROUP, "plain rows + one flush", many["ours"], floor, goal=GROUPED)
    )


def _path(result: Result, pace: Pace, work: Pace) -> None:
    """The own part against the floor, and the latency by stage; ``work`` is the same run in processor time."""
    for name, own, floor, q, goal in (
        ("own part, p50", pace.own, pace.floor, 50, OWN),
        ("own part, work, p50", work.own, work.floor, 50, None),
        ("own part, work, p99", work.own, work.floor, 99, OWN_P99),
    ):
        ours, least = float(np.percentile(own, q)), float(np.median(floor))
        ratio = least / ours
        result.rows.append(Row(name, 1, "rules, encode, send", ours, least, ratio, ratio, ratio, goal))
    result.notes.append(
        f"{len(pace.own)} orders at {PER_S:g} a second, {STRATEGIES} strategies, {pace.open_orders} open orders "
        f"({OPEN} asked for), {pace.late} late; microseconds at p50, p99, p99.9:"
    )
    for name in ("whole", "own", "commit", "wire", "floor"):
        result.notes.append(f"  {name:<10}{_spread(getattr(pace, name))}")
    for name in ("own", "floor"):
        result.notes.append(f"  {name + ' work':<10}{_spread(getattr(work, name))}")
    for name, run in (("", pace), (" work", work)):
        result.notes.append(f"  {'warm' + name:<10}{_spread(run.warm)}    the floor again and again")
    for name, histogram in pace.monitor.latency().items():
        found = histogram.summary()
        figures = "".join(f"{found[key] or 0.0:>12.1f}" for key in ("p50_us", "p99_us", "p999_us"))
        result.notes.append(f"  {'stage ' + name:<14}{figures}")


def _spread(values: npt.NDArray[np.int64]) -> str:
    return "    " + "".join(f"{np.percentile(values, q) / 1e3:>12.1f}" for q in (50, 99, 99.9))


def _burst(result: Result, found: Burst) -> None:
    """Throughput with shared commits, and memory."""
    each = median(found.seconds)
    orders = len(found.seconds) * 1000
    result.notes.append(
        f"burst of {orders} orders, {AT_ONCE} under way: {1 / each:,.0f} orders a second to their fills, "
        f"{found.commits / orders:.2f} commits and {found.records / orders:.1f} records an order"
    )
    early, late = median(found.seconds[: len(found.seconds) // 4]), median(found.seconds[-len(found.seconds) // 4 :])
    result.notes.append(
        f"memory: {found.bytes_an_order:,.0f} bytes an order, the day's book itself (at most {FLAT:,.0f}); "
        f"the last quarter takes {late / early:.2f}x of the first"
    )
    if found.bytes_an_order > FLAT:
        result.misses.append(f"memory grows by {found.bytes_an_order:,.0f} bytes an order, the limit is {FLAT:,.0f}")


def _least(result: Result, port: int) -> None:
    """What no engine can be faster than: a bare flush and a round trip on a plain socket."""
    data = encode(line_of(order_like()))
    with desk() as d, closing(dial(port)) as link:

        def floor() -> None:
            d.flush()
            round_trip(link, data)

        times = interleave({"floor": floor}, sample_s=0.02)
    result.notes.append(f"floor of an order, a bare flush and a round trip: {median(times['floor']) * 1e6:.0f} us")


def _whole(result: Result) -> None:
    """The whole engine against NautilusTrader on equal work, and a bare flush beside it, in turns."""
    if not nautilus_installed():
        result.notes.append("NautilusTrader is not installed here; add it with: pip install nautilus-trader==1.221.0")
    jobs: dict[str, Callable[[], list[int]]] = {
        "core": lambda: pure(WHOLE),
        "bare": lambda: live(WHOLE, journal=False).told,
        "kept": lambda: live(WHOLE, journal=True).filled,
    }
    if nautilus_installed():
        jobs["peer"] = lambda: nautilus(WHOLE)
    times: dict[str, list[float]] = {name: [] for name in (*jobs, "flush")}
    with desk() as d:
        jobs["flush"] = lambda: [_timed(d.flush) for _ in range(WHOLE)]
        for turn in range(ROUNDS + 1):
            for name, job in jobs.items():
                took = median(job()) / 1e9
                if turn:
                    times[name].append(took)
    if "peer" not in times:
        for name, rounds in times.items():
            result.notes.append(f"submit to filled, {name}: {median(rounds) * 1e6:.0f} us")
        return
    peer = f"nautilus {versions(['nautilus-trader'])['nautilus-trader']}"
    with_flush = [a + b for a, b in zip(times["peer"], times["flush"], strict=True)]
    for name, what, theirs, who in (
        ("core", "replay's engine", times["peer"], peer),
        ("bare", "live, no journal, told", times["peer"], peer),
        ("kept", "live, journal, filled", with_flush, f"{peer} + flush"),
    ):
        result.rows.append(ratio_row(what, 1, who, times[name], theirs, goal=1.0))


def _timed(act: Callable[[], None]) -> int:
    """Nanoseconds of one call."""
    began_ns = time.perf_counter_ns()
    act()
    return time.perf_counter_ns() - began_ns


def _calls(result: Result, port: int) -> None:
    """What we add to a call of the client library, against what the library adds to a bare socket."""
    for name, calls, library in (
        ("kite order call", kite_calls, "kiteconnect"),
        ("xts order call", xts_calls, "httpx"),
    ):
        if find_spec(library) is None:
            result.notes.append(f"{library} is not installed here: no {name}")
            continue
        with calls(port) as jobs:
            times = interleave(jobs, sample_s=0.05)
        ours, theirs = _less(times["ours"], times["library"]), _less(times["library"], times["raw"])
        whole, its, bare = (median(times[key]) * 1e6 for key in ("ours", "library", "raw"))
        note = f"a call of ours {whole:.0f} us, of {library} {its:.0f}, of a bare socket {bare:.0f}"
        result.rows.append(ratio_row(name, 1, f"{library}'s share", ours, theirs, goal=1.0, note=note))


def _less(whole: Sequence[float], part: Sequence[float]) -> list[float]:
    """What the whole takes beyond a part of it; a microsecond at least."""
    return [max(a - b, 1e-6) for a, b in zip(whole, part, strict=True)]
