"""Fixtures every test may use."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import socket
import ssl
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import settings

import toolkit  # noqa: F401  (points numba's cache at the user's home before the home is moved)

settings.register_profile("house", deadline=None)  # the first example may compile a kernel
settings.load_profile("house")

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("SHARED_SAMPLES", ROOT.parent / "shared"))


BUSY_RULES = """\
valid_until = 2099-12-31

[[rule]]
kind = "journal_stall"
max_write = "10 min"
rearm = "5 min"

[[rule]]
kind = "feed_stale"
max_age = "10 min"
rearm = "5 min"
"""
"""An owner's rules for tests that are not about them: where many tests share a disk, a write of a second is no news."""
BUSY_ENV = {"TOOLKIT_ENGINE__STALL_S": "600"}


def shared_file(*parts: str) -> Path:
    """A real sample from the shared folder: absent, the test is skipped in words; in CI that is a failure."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        reason = f"real sample {'/'.join(parts)} is not beside the checkout (set SHARED_SAMPLES to its folder)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture(scope="session")
def shared():
    """``shared("data", "nse", NAME)`` gives the path of a real sample, or skips saying why."""
    return shared_file


@pytest.fixture(autouse=True, scope="session")
def _own_home(tmp_path_factory):
    """Tests write their state and their leases under folders of their own; the kernels' cache stays shared."""
    own = {"TOOLKIT_HOME": str(tmp_path_factory.mktemp("home")), "TMPDIR": str(tmp_path_factory.mktemp("tmp"))}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    tempfile.tempdir = None  # it is read again
    yield
    for name, value in before.items():
        os.environ.pop(name)
        if value is not None:
            os.environ[name] = value
    tempfile.tempdir = None


@pytest.fixture
def own_leases(monkeypatch, tmp_path):
    """No account is held by an engine of another test."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # it is read again


def pytest_report_teststatus(report, config):
    """With ``-v`` the full forms show what they printed, their figures and their seed, on their own line."""
    if report.when != "call" or not {"soak", "slow"} & set(report.keywords) or report.outcome == "skipped":
        return None
    figures = "; ".join(line.strip() for line in report.capstdout.splitlines() if line.strip())
    short = {"passed": ".", "failed": "F"}[report.outcome]
    return report.outcome, short, " ".join([report.outcome.upper(), figures]).strip()


DAY = dt.date(2026, 7, 13)
_TERMS = {"valid_on": DAY, "exchange": "NSE", "segment": "NSE_FO", "underlying": "NIFTY", "lot": 65, "freeze_qty": 1800}
_LISTED = (
    (40001, "NIFTY 14JUL2026 25000 CE", "NIFTY2671425000CE", "option", dt.date(2026, 7, 14), 2_500_000, "CE", 5),
    (40002, "NIFTY 14JUL2026 25000 PE", "NIFTY2671425000PE", "option", dt.date(2026, 7, 14), 2_500_000, "PE", 5),
    (40003, "NIFTY 28JUL2026 FUT", "NIFTY26JULFUT", "future", dt.date(2026, 7, 28), None, None, 10),
)


def _kite_world():
    """Two options, a future and the index on a quiet market at 10:00, with one move at 10:30."""
    import polars as pl

    from toolkit.calendar import IST, ist_ns
    from toolkit.market.schema import CHAIN, FUTURES, INSTRUMENTS, SPOT
    from toolkit.sim.roster import make_roster
    from toolkit.sim.tape import make_tape
    from toolkit.sim.world import World

    names = ("token", "symbol", "source_symbol", "kind", "expiry", "strike_p", "option_type", "tick_p")
    listed = pl.DataFrame([{**_TERMS, **dict(zip(names, row, strict=True))} for row in _LISTED], schema=INSTRUMENTS)

    def row(when, underlying_ltp, **more):
        stamp = dt.datetime.combine(DAY, dt.time.fromisoformat(when), IST)
        return {"ts": stamp, "recv_ts": stamp, "underlying": "NIFTY", "ltp": underlying_ltp, **more}

    def quoted(when, bid, ask, **more):
        book = {"bid": bid, "ask": ask, "bid_qty": 650, "ask_qty": 650, "volume": 1300, "oi": 6500, "lot": 65}
        return row(when, bid, **book, **more)

    option = {"expiry": dt.date(2026, 7, 14), "strike_p": 2_500_000}
    frames = {
        "chain": pl.DataFrame(
            [
                quoted("09:15", 100.0, 100.5, token=40001, option_type="CE", **option),
                quoted("09:15", 80.0, 80.5, token=40002, option_type="PE", **option),
                quoted("10:30", 120.0, 120.5, token=40001, option_type="CE", **option),
            ],
            schema=CHAIN,
        ),
        "futures": pl.DataFrame(
            [quoted("09:15", 25040.0, 25041.0, token=40003, expiry=dt.date(2026, 7, 28))], schema=FUTURES
        ),
        "spot": pl.DataFrame([row("09:15", 25010.0, open=25010.0, high=25010.0, low=25010.0)], schema=SPOT),
    }
    roster = make_roster(listed, ["NIFTY"], DAY)
    bounds = (ist_ns(DAY, dt.time(9, 15)), ist_ns(DAY, dt.time(15, 30)))
    world = World(roster, make_tape(frames, roster), bounds, {})
    world.advance(ist_ns(DAY, dt.time(10)))
    return world


class KiteSim:
    """A simulated Kite in the test's own loop: its faults, clock and record by hand."""

    def __init__(self, server):
        self.server = server
        self.app = server.app

    @property
    def root(self):
        return f"http://127.0.0.1:{self.server.port}"

    def settings(self, **more):
        """Settings of a client: logged in, unhurried limits, quick polls."""
        from toolkit.brokers.kite_settings import KiteSettings
        from toolkit.config import Secret

        quick = dict.fromkeys(("orders_per_s", "quotes_per_s", "candles_per_s", "others_per_s"), 1000)
        found = {"root": self.root, "ws_root": self.root.replace("http", "ws"), "api_key": "simkey", "poll_s": 0.02}
        found |= {"access_token": Secret(self.app.access_token), **quick, "orders_per_min": 9999}
        return KiteSettings(**{**found, **more})

    def broker(self, **more):
        """A broker on it that lives in its time."""
        from toolkit.brokers.kite import KiteBroker

        made = KiteBroker(self.settings(**more))
        made.follow_venue(0.0)
        return made

    def fault(self, text):
        from toolkit.sim.servers.faults import parse_fault

        self.server.faults.add(parse_fault(text))

    def advance(self, seconds):
        self.server.clock.jump(self.server.clock.now_ns() + int(seconds * 1e9))
        self.server.step()

    def record(self, kind):
        return [row for row in self.server.record.kept if row["kind"] == kind]


@pytest.fixture
async def kite_sim(tmp_path):
    """``await kite_sim(*faults)`` gives a running :class:`KiteSim`."""
    from toolkit import tables
    from toolkit.sim.servers.clock import SimClock
    from toolkit.sim.servers.faults import FaultBox, parse_fault
    from toolkit.sim.servers.kite import PROFILES, KiteApp
    from toolkit.sim.servers.kite_server import KiteServer
    from toolkit.sim.servers.load import warm
    from toolkit.sim.servers.record import Record

    warm()
    async with contextlib.AsyncExitStack() as stack:
        count = 0

        async def start(*faults, profile="unlimited", funds_p=10**9):
            nonlocal count
            count += 1
            world = _kite_world()
            app = KiteApp(world, "SIM001", funds_p, tables.charges(), PROFILES[profile])
            box = FaultBox([parse_fault(text) for text in faults], seed=7)
            server = KiteServer(app, SimClock(world.now_ns, 0.0), Record(tmp_path / f"kite{count}.jsonl"), box)
            await server.start(0)
            stack.push_async_callback(server.stop)
            return KiteSim(server)

        yield start


class XtsSim:
    """A simulated XTS in the test's own loop: its faults, clock and record by hand."""

    def __init__(self, server, home):
        self.server = server
        self.app = server.app
        self.made = []
        self._home = home

    @property
    def root(self):
        return f"http://127.0.0.1:{self.server.port}"

    def settings(self, **more):
        """Settings of a client, as the ready line of ``toolkit sim xts`` names them."""
        from toolkit.brokers.xts_settings import xts_settings
        from toolkit.config import Settings
        from toolkit.sim.servers.xts_run import XtsPlan, xts_ready

        env = xts_ready(self.server, XtsPlan(session=Path("-")))["env"]
        role = "client" if self.app.install.dealer else "pro"
        return xts_settings(Settings.load(environ=env), **({"role": role, "client_id": ""} | more))

    def broker(self, terms=None, *, tokens=None, **more):
        """A broker on it that lives in its time; bound to the first client of a dealer."""
        from toolkit.brokers.tokens import TokenStore
        from toolkit.brokers.xts import XtsBroker
        from toolkit.brokers.xts_settings import XtsTerms

        fast = dict.fromkeys(("orders_per_s", "books_per_s", "quotes_per_s", "subscribe_per_s", "ohlc_per_s"), 10**6)
        quick = {**fast, "others_per_s": 10**6, "backoff_s": 0.002, "poll_s": 0.02, "login_every_s": 0.0}
        store = TokenStore(self._home / f"tokens{len(self.made)}") if tokens is None else tokens
        made = XtsBroker(self.settings(**more), terms=XtsTerms(**(quick | (terms or {}))), tokens=store)
        made.follow_venue(0.0)
        self.made.append(made)
        return made.for_client(self.app.clients[0]) if made.dealer else made

    async def close(self):
        """Close every broker, then the server."""
        for broker in self.made:
            await broker.close()
        await self.server.stop()

    def fault(self, text):
        from toolkit.sim.servers.faults import parse_fault

        self.server.faults.add(parse_fault(text))

    advance = KiteSim.advance
    record = KiteSim.record


@pytest.fixture
async def xts_sim(tmp_path):
    """``await xts_sim(*faults, NAME=VALUE, ...)`` gives a running :class:`XtsSim`, settings as ``toolkit sim xts --set``."""
    from toolkit import tables
    from toolkit.brokers.xts_session import forget_sessions
    from toolkit.sim.servers.clock import SimClock
    from toolkit.sim.servers.faults import FaultBox, parse_fault
    from toolkit.sim.servers.load import warm
    from toolkit.sim.servers.record import Record
    from toolkit.sim.servers.xts import XtsApp
    from toolkit.sim.servers.xts_server import XtsServer
    from toolkit.sim.xts_install import make_install

    warm()
    forget_sessions()
    async with contextlib.AsyncExitStack() as stack:
        count = 0

        async def start(*faults, funds_p=10**9, **settings):
            nonlocal count
            count += 1
            world = _kite_world()
            install = make_install(**{"rates": "off", **settings})
            login, clients = ("DLR01", ("CLI01", "CLI02")) if install.dealer else ("SIM001", ("SIM001",))
            app = XtsApp(world, login, clients, funds_p, tables.charges(), install)
            box = FaultBox([parse_fault(text) for text in faults], seed=7)
            server = XtsServer(app, SimClock(world.now_ns, 0.0), Record(tmp_path / f"xts{count}.jsonl"), box)
            await server.start(0)
            sim = XtsSim(server, tmp_path)
            stack.push_async_callback(sim.close)
            return sim

        yield start
    forget_sessions()


class Raw:
    """Answers every request with the next of ``replies`` (the last repeats); keeps what came."""

    def __init__(self):
        self.replies = []
        self.seen = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._run, args=(self.socket,), daemon=True).start()

    def secure(self, context):
        """Listen with TLS, on another port."""
        self.socket.close()
        self.socket = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._run, args=(self.socket,), daemon=True).start()

    @property
    def root(self):
        return f"http://127.0.0.1:{self.port}"

    def say(self, *replies):
        self.replies = list(replies)

    def _run(self, listener):
        while True:
            try:
                link, _ = listener.accept()
            except ssl.SSLError:  # the client did not like our certificate
                continue
            except OSError:
                return
            threading.Thread(target=self._answer, args=(link,), daemon=True).start()

    def _answer(self, link):
        with contextlib.suppress(OSError):
            self._serve(link)

    def _serve(self, link):
        with link:
            data = b""
            while b"\r\n\r\n" not in data:
                more = link.recv(65536)
                if not more:
                    return
                data += more
            head, _, rest = data.partition(b"\r\n\r\n")
            size = next(
                (int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length")), 0
            )
            while len(rest) < size:
                rest += link.recv(65536)
            self.seen.append((head.decode(), rest.decode("utf-8", "replace")))
            reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
            if callable(reply):
                reply(link)
            else:
                link.sendall(reply)


def answer(body=b'{"status":"success","data":{}}', status="200 OK", kind="application/json", **headers):
    """The bytes of an HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"Content-Type: {kind}"] if kind else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.fixture
def raw():
    server = Raw()
    server.answer = answer
    yield server
    server.socket.close()
