"""Start a simulated broker from a plan, print its ready line, serve until stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from toolkit import tables
from toolkit.calendar import to_ist
from toolkit.config import home
from toolkit.errors import BadData, nearest
from toolkit.sim.servers.clock import SimClock
from toolkit.sim.servers.faults import FaultBox, parse_fault
from toolkit.sim.servers.kite import API_KEY, PROFILES, KiteApp
from toolkit.sim.servers.kite_server import KiteServer
from toolkit.sim.servers.load import load_world, read_at, warm
from toolkit.sim.servers.record import Record
from toolkit.sim.servers.server import LoopbackServer
from toolkit.sim.world import World
from toolkit.store.session import Session, open_session

__all__ = ["Plan", "make_kite", "new_record", "opened", "ready", "serve", "serve_kite"]

Say = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to serve; as the options of ``toolkit sim kite``. Funds in rupees."""

    session: Path
    port: int = 0
    at: str | None = None
    speed: float = 1.0
    profile: str = "production"
    faults: tuple[str, ...] = ()
    funds: float = 10_000_000.0
    account: str = "SIM001"
    seed: int = 0
    record: Path | None = None


def make_kite(plan: Plan) -> KiteServer:
    """Make the server of a plan; it listens after :meth:`KiteServer.start`.

    Raises
    ------
    BadData
        For an unknown profile or fault, a session without that day, a record that exists.
    """
    if plan.profile not in PROFILES:
        raise BadData(
            f"profile must be one of {', '.join(PROFILES)}, was {plan.profile!r}{nearest(plan.profile, PROFILES)}"
        )
    faults = FaultBox([parse_fault(text) for text in plan.faults], plan.seed)
    session, world, start_ns = opened(plan)
    app = KiteApp(world, plan.account, round(plan.funds * 100), tables.charges(), PROFILES[plan.profile])
    world.advance(start_ns)
    record = new_record(plan, "kite")
    server = KiteServer(app, SimClock(start_ns, plan.speed), record, faults)
    server.write([{"kind": "start", "session": session.name, "account": plan.account, "speed": plan.speed}])
    return server


def opened(plan: Plan) -> tuple[Session, World, int]:
    """The session, its day as a world and the first instant; the margin kernels are warm."""
    session = open_session(plan.session)
    world = load_world(session, to_date(plan.at))
    start_ns = read_at(plan.at, world)
    warm()
    return session, world, start_ns


def new_record(plan: Plan, broker: str) -> Record:
    """The record where the plan wants it, else a new one under the toolkit's home."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return Record(plan.record or home() / "sim" / f"{broker}-{stamp}-{os.getpid()}.jsonl")


def to_date(at: str | None) -> Any:
    """The date that ``--at`` names, None when it is a time of day."""
    import datetime as dt

    if at is None or "-" not in at:
        return None
    try:
        return dt.datetime.fromisoformat(at).date()
    except ValueError:
        raise BadData(f"--at must be a time such as 11:05 or 2026-07-13T11:05, was {at!r}") from None


def ready(server: KiteServer, plan: Plan) -> dict[str, Any]:
    """The ready line: where it is and the settings a client needs."""
    root, ws_root = f"http://127.0.0.1:{server.port}", f"ws://127.0.0.1:{server.port}"
    return {
        "state": "ready",
        "url": root,
        "ws_url": ws_root,
        "account": plan.account,
        "env": {
            "TOOLKIT_KITE__ROOT": root,
            "TOOLKIT_KITE__WS_ROOT": ws_root,
            "TOOLKIT_KITE__API_KEY": API_KEY,
            "TOOLKIT_KITE__ACCESS_TOKEN": server.app.access_token,
        },
        "api_secret": server.app.api_secret,
        "session": str(plan.session),
        "now": to_ist(server.clock.now_ns()).isoformat(),
        "record": str(server.record.path),
    }


def serve_kite(plan: Plan, say: Say, warn: Say) -> None:
    """Serve until Ctrl-C or SIGTERM; ``say`` gets the ready line, ``warn`` what a person should know."""
    asyncio.run(_serve_kite(plan, say, warn))


async def _serve_kite(plan: Plan, say: Say, warn: Say) -> None:
    server = make_kite(plan)
    await serve(server, plan.port, lambda: ready(server, plan), say, warn)


async def serve(server: LoopbackServer, port: int, line: Callable[[], dict[str, Any]], say: Say, warn: Say) -> None:
    """Serve a broker until Ctrl-C or SIGTERM; its ready line is made once it listens."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await server.start(port)
    say(msgspec.json.encode(line()).decode())
    server.on_end = lambda: warn(
        "sim: the recorded data has ended; quotes stand still and the market closes at its time"
    )
    try:
        await stopped.wait()
    finally:
        await server.stop()
