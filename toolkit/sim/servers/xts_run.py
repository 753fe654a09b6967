"""Start a simulated XTS install from a plan."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from toolkit import tables
from toolkit.calendar import to_ist
from toolkit.sim.servers.clock import SimClock
from toolkit.sim.servers.faults import FaultBox, parse_fault
from toolkit.sim.servers.run import Plan, Say, new_record, opened, serve
from toolkit.sim.servers.xts import APP_KEY, XtsApp
from toolkit.sim.servers.xts_md import MD_APP_KEY
from toolkit.sim.servers.xts_server import XtsServer
from toolkit.sim.xts_install import make_install

__all__ = ["XtsPlan", "make_xts", "serve_xts", "xts_ready"]

_DEALER: Final = "DLR01"
_CLIENTS: Final = ("CLI01", "CLI02")


class XtsPlan(Plan, frozen=True, kw_only=True):
    """What to serve; as the options of ``toolkit sim xts``. ``settings`` are ``NAME=VALUE`` of the install."""

    profile: str = "investor"
    eio: str = "both"
    format: str = "json"
    settings: tuple[str, ...] = ()


def make_xts(plan: XtsPlan) -> XtsServer:
    """Make the server of a plan; it listens after `start`.

    Raises
    ------
    BadData
        For an unknown profile, setting or fault, a session without that day, a record that exists.
    """
    install = make_install(plan.settings, profile=plan.profile, eio=plan.eio, format=plan.format)
    faults = FaultBox([parse_fault(text) for text in plan.faults], plan.seed)
    session, world, start_ns = opened(plan)
    login = _DEALER if install.dealer else plan.account
    clients = _CLIENTS if install.dealer else (plan.account,)
    app = XtsApp(world, login, clients, round(plan.funds * 100), tables.charges(), install)
    world.advance(start_ns)
    server = XtsServer(app, SimClock(start_ns, plan.speed), new_record(plan, "xts"), faults)
    server.write([{"kind": "start", "session": session.name, "account": login, "speed": plan.speed}])
    return server


def xts_ready(server: XtsServer, plan: XtsPlan) -> dict[str, Any]:
    """The ready line: where it is and the settings a client needs; it logs in with the keys."""
    root, app = f"http://127.0.0.1:{server.port}", server.app
    dealer = app.install.dealer
    mode = "masked" if app.install.profile == "dealer_masked" else "client_code" if dealer else "omit"
    return {
        "state": "ready",
        "url": root,
        "ws_url": f"ws://127.0.0.1:{server.port}",
        "account": app.clients[0],
        "clients": list(app.clients),
        "login": app.login,
        "env": {
            "TOOLKIT_XTS__ROOT": root,
            "TOOLKIT_XTS__MD_ROOT": root,
            "TOOLKIT_XTS__MD_PREFIX": "apibinarymarketdata" if app.install.md == "binary" else "apimarketdata",
            "TOOLKIT_XTS__APP_KEY": APP_KEY,
            "TOOLKIT_XTS__SECRET_KEY": app.secret_key,
            "TOOLKIT_XTS__MD_APP_KEY": MD_APP_KEY,
            "TOOLKIT_XTS__MD_SECRET_KEY": server.md.secret_key,
            "TOOLKIT_XTS__SOURCE": "WEBAPI",
            "TOOLKIT_XTS__CLIENT_ID": app.clients[0],
            "TOOLKIT_XTS__CLIENT_ID_MODE": mode,
        },
        "hostlookup": f"{root}/hostlookup",
        "accesspassword": app.lookup_word,
        "profile": app.install.profile,
        "session": str(plan.session),
        "now": to_ist(server.clock.now_ns()).isoformat(),
        "record": str(server.record.path),
    }


def serve_xts(plan: XtsPlan, say: Say, warn: Say) -> None:
    """Serve until Ctrl-C or SIGTERM; ``say`` gets the ready line, ``warn`` what a person should know."""
    asyncio.run(_serve_xts(plan, say, warn))


async def _serve_xts(plan: XtsPlan, say: Say, warn: Say) -> None:
    server = make_xts(plan)
    await serve(server, plan.port, lambda: xts_ready(server, plan), say, warn)
