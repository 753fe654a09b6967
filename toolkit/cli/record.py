"""The verb ``record``: a live feed into a session store."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.app import app
from toolkit.errors import AuthExpired, BadData, UnknownSymbol, nearest

if TYPE_CHECKING:
    import asyncio

    from toolkit.market.feed import MarketFeed
    from toolkit.store.recorder import Recorder
    from toolkit.types import Instrument

__all__ = ["record"]


@app.command()
def record(
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Session store: new, empty, or one to add to.")],
    broker: Annotated[str, typer.Option(help="Whose feed.")] = "kite",
    underlying: Annotated[list[str] | None, typer.Option(help="Repeatable. [default: NIFTY]")] = None,
    expiries: Annotated[int, typer.Option(min=1, help="Nearest expiries.")] = 2,
    strikes: Annotated[int, typer.Option(min=1, help="Strikes each side of the money.")] = 30,
    every: Annotated[float, typer.Option(help="Seconds between chain snapshots.")] = 5.0,
    flush: Annotated[float, typer.Option(help="Seconds between writes: what a power cut may cost.")] = 5.0,
    ticks: Annotated[bool, typer.Option(help="Keep single ticks too.")] = True,
    seconds: Annotated[float | None, typer.Option(help="Stop by itself after that long.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout at the end.")] = False,
) -> None:
    """Record a live feed until Ctrl-C; what was written by then is a session for oi and replay.

    Example: toolkit record --broker kite --underlying NIFTY --to out/rec
    """
    import asyncio
    import json

    plan = {"expiries": expiries, "strikes": strikes, "every": every, "flush": flush, "ticks": ticks}
    names = [name.upper() for name in underlying or ["NIFTY"]]
    found = asyncio.run(_record(broker, names, to.expanduser(), seconds, plan))
    if as_json:
        print(json.dumps(found, indent=2, sort_keys=True))
        return
    print(f"{found['snapshots']} snapshots and {found['ticks']} ticks of {found['instruments']} instruments in {to}")
    if found["lost"]:
        print(f"{found['lost']} ticks were lost: the disk was too slow", file=sys.stderr)
    print(f"look at it: toolkit oi {to} --underlying {names[0]} --out out/oi")


async def _record(name: str, names: list[str], to: Path, seconds: float | None, plan: dict[str, Any]) -> dict[str, Any]:
    import asyncio
    import signal

    from toolkit.brokers.factory import connect

    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    broker = connect(name)
    try:
        recorder, feed = await _begin(broker, names, to, plan)
        recorder.start()
        try:
            problem = await _until(over, feed, recorder, seconds)
        finally:
            await feed.close()
            counts = await asyncio.to_thread(recorder.stop)
        if problem and not counts["rows"]:
            raise AuthExpired(problem)
        return {**counts, "instruments": len(recorder.contracts), "store": str(to.absolute()), "underlyings": names}
    finally:
        await broker.close()


async def _begin(broker: Any, names: list[str], to: Path, plan: dict[str, Any]) -> tuple[Recorder, MarketFeed]:
    """Everything that can be refused is, before the first tick."""
    import time

    from toolkit.market.selection import around_money
    from toolkit.store.recorder import Recorder

    feed: Any = broker.feed() if broker.capabilities.has_feed else None
    if not hasattr(feed, "wire"):
        raise BadData(f"broker '{broker.name}' has no live market feed to record; use kite")
    listed = await broker.instruments()
    chosen = []
    for name in names:
        money = await _money(broker, listed, name)
        chosen += around_money(listed, name, money, plan["expiries"], plan["strikes"])
    simulated = bool(getattr(getattr(broker, "settings", None), "loopback", False))
    recorder = Recorder(
        to,
        chosen,
        clock=getattr(broker, "clock", time.time_ns),
        synthetic=simulated,
        source=f"{broker.name} feed" + (" of a simulated exchange" if simulated else ""),
        snapshot_s=plan["every"],
        flush_s=plan["flush"],
        ticks=plan["ticks"],
    )
    feed.want(dict.fromkeys(recorder.contracts, "full"))
    return recorder, feed


async def _money(broker: Any, listed: list[Instrument], underlying: str) -> float | None:
    """Where the money is, rupees: the index's last price, else the nearest future's; None when neither is known."""
    known = sorted({i.underlying for i in listed})
    if underlying not in known:
        raise UnknownSymbol(f"no contract on '{underlying}' is listed{nearest(underlying, known)}")
    mine = [i for i in listed if i.underlying == underlying]
    for kind in ("index", "future", "equity"):
        of_kind = sorted((i for i in mine if i.kind == kind), key=lambda i: (str(i.expiry), i.exchange, i.symbol))
        if of_kind:
            quotes = await broker.quote([of_kind[0].symbol])
            quote = quotes.get(of_kind[0].symbol)
            if quote is not None and quote.ltp_p:
                return float(quote.ltp_p) / 100.0
    return None


async def _until(over: asyncio.Event, feed: MarketFeed, recorder: Recorder, seconds: float | None) -> str:
    """Hand ticks over until it is to end; says why when the broker refused the feed from the start."""
    import asyncio

    async def hand_over() -> None:
        async for batch in feed.ticks("recorder", capacity=1_000_000):
            recorder.put(batch)

    loop = asyncio.get_running_loop()
    pump, end = loop.create_task(hand_over()), loop.create_task(over.wait())
    until = None if seconds is None else loop.time() + seconds
    said = ""
    try:
        while not end.done() and not pump.done() and (until is None or loop.time() < until):
            left = 1.0 if until is None else max(0.0, min(1.0, until - loop.time()))
            await asyncio.wait({pump, end}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if feed.state == "auth_expired" and not recorder.counts["ticks"]:
                return feed.reason
            problem = str(recorder.error or "") or ("" if feed.state == "live" else feed.reason)
            if problem and problem != said:
                print(f"record: {problem}", file=sys.stderr)
            said = problem
            _show(recorder.counts, feed.state)
        if pump.done():
            pump.result()
        return ""
    finally:
        pump.cancel()
        end.cancel()
        if sys.stderr.isatty():
            print(file=sys.stderr)


def _show(counts: Any, state: str) -> None:
    if sys.stderr.isatty():
        text = f"\r{state}: {counts['ticks']} ticks, {counts['snapshots']} snapshots, {counts['rows']} rows; Ctrl-C"
        print(text, end="", file=sys.stderr, flush=True)
