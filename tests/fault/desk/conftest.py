"""On loopback: the engine as users start it, a simulated broker that keeps its own record, a relay that cuts, a judge.

Nothing here imports the toolkit: the engine is started by its command and spoken to over its API; what the
simulated exchange wrote down before it replied decides what happened. A command is a fork of a process that has done
its imports: they take longer than all the rest of a start, and tests/cli starts commands from nothing.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import BUSY_ENV, BUSY_RULES

ROOT = Path(__file__).resolve().parents[3]
SYMBOL = "NIFTY 14JUL2026 25450 CE"
LOT = 65
WIDE = f"""{BUSY_RULES}
[[rule]]
kind = "unknown_orders"
most = 1000

[[rule]]
kind = "reject_ratio"
max_share = "100 %"

[[rule]]
kind = "message_rate"
per_minute = 10000
per_day = 100000

[[rule]]
kind = "loss_speed"
max_loss = "100000000 Rs"

[[rule]]
kind = "day_loss"
max_loss = "100000000 Rs"

[[rule]]
kind = "max_drawdown"
max_fall = "100000000 Rs"

[[rule]]
kind = "repeated_execution"
fills = 100000
"""
"""The owner's rules of the shared floor: of the standard rules, those that count what the full forms do by the
hundred would stop them, rightly. A desk without a rules file has the standard ones."""
TERMINAL = {"filled", "canceled", "rejected", "expired", "denied"}


def wait_until(what, seconds: float, text: str = "it did not come to pass"):
    """Poll until something is true and give it."""
    end = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(text)
        time.sleep(0.02)


PARENT = """
import json, os, signal, socket, sys
import kiteconnect, toolkit.brokers.kite, toolkit.brokers.xts, toolkit.cli.replay, toolkit.cli.serve, toolkit.cli.sim
import toolkit.orders.algos, toolkit.serve.run, toolkit.sim.servers.run, toolkit.sim.servers.xts_run
from toolkit.cli import main
from toolkit.sim.servers.load import warm

warm()  # a first kernel imports most of numba
link, cache = socket.socket(fileno=int(sys.argv[1])), os.environ["NUMBA_CACHE_DIR"]
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while (asked := socket.recv_fds(link, 1 << 17, 3))[0]:
    pid = os.fork()
    if pid == 0:
        link.close()
        for number, file in enumerate(asked[1][:2], 1):
            os.dup2(file, number)
            os.close(file)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        words, env = json.loads(asked[0])
        os.environ.clear()
        os.environ.update({"NUMBA_CACHE_DIR": cache, **env})
        sys.argv = ["toolkit", *words]
        try:
            main()
        except SystemExit as over:
            os.write(asked[1][2], bytes([over.code or 0]))
            raise
    for file in asked[1]:
        os.close(file)
    link.sendall(pid.to_bytes(4, "big"))
"""


class Command:
    """A command of the toolkit that runs, as :class:`subprocess.Popen` shows one."""

    def __init__(self, pid: int, stdout: int, status: int) -> None:
        self.pid = pid
        self.stdout = os.fdopen(stdout)
        self._status = os.fdopen(status, "rb")
        self._code = b""
        self._life = select.poll()
        with contextlib.suppress(ProcessLookupError):
            self._fd = os.pidfd_open(pid)
            self._life.register(self._fd, select.POLLIN)

    def _ended(self, seconds: float) -> bool:
        return not hasattr(self, "_fd") or bool(self._life.poll(seconds * 1000))

    def poll(self) -> int | None:
        """None while it runs, then its exit code; -9 when it did not say one."""
        if not self._ended(0):
            return None
        if not self._status.closed:
            self._code = self._code or self._status.read(1)
        return self._code[0] if self._code else -signal.SIGKILL

    def wait(self, seconds: float) -> int | None:
        if not self._ended(seconds):
            raise subprocess.TimeoutExpired("toolkit", seconds)
        return self.poll()

    def send_signal(self, number: int) -> None:
        if not self._ended(0):
            signal.pidfd_send_signal(self._fd, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Kill it, and let its pipes go."""
        self.send_signal(signal.SIGKILL)
        self.wait(10)
        self.stdout.close()
        self._status.close()
        if hasattr(self, "_fd"):
            os.close(self._fd)
            del self._fd


class Parent:
    """A process with every import done; each command is its fork."""

    def __init__(self) -> None:
        self._link, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        words = [sys.executable, "-c", PARENT, str(far.fileno())]
        self._process = subprocess.Popen(words, env=env, pass_fds=(far.fileno(),))
        far.close()

    def begin(self, words: list[str], env: dict[str, str], errors: Path) -> Command:
        """Start a command of the toolkit; what it says of errors is added to a file."""
        near, far = os.pipe()
        status, ends = os.pipe()
        with errors.open("ab") as log:
            socket.send_fds(self._link, [json.dumps([words, env]).encode()], [far, log.fileno(), ends])
        os.close(far)
        os.close(ends)
        return Command(int.from_bytes(self._link.recv(4), "big"), near, status)

    def start(self, words: list[str], env: dict[str, str], errors: Path) -> tuple[Command, dict[str, Any]]:
        """Start a command of the toolkit and read its ready line."""
        process = self.begin(words, env, errors)
        line = process.stdout.readline()
        if not line:
            code = process.wait(10)
            process.close()
            raise AssertionError(f"{words} ended with {code}: {errors.read_text()[-2000:]}")
        return process, json.loads(line)

    def refused(self, words: list[str], env: dict[str, str], errors: Path) -> tuple[int, str]:
        """Run a command that is to fail without a word on stdout; gives its exit code and what it says of the error."""
        process = self.begin(words, env, errors)
        said, code = process.stdout.read(), process.wait(60)
        process.close()
        assert said == ""
        return int(code or 0), errors.read_text()

    def stop(self) -> None:
        self._link.close()
        self._process.wait(10)


class Sim:
    """A simulated broker."""

    def __init__(self, parent: Parent, folder: Path, dialect: str, *options: str) -> None:
        self.dialect = dialect
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "record.jsonl"
        self.env = {**os.environ, "TOOLKIT_HOME": str(folder / "simhome"), "PYTHONPATH": str(ROOT)}
        kind = "kite" if dialect == "kite" else "xts"
        words = ["sim", kind, "--port", "0", "--at", "11:02", "--record", str(self.path), "--funds", "1e10", *options]
        words += ["--profile", "unlimited"] if kind == "kite" else ["--set", "rates=off"]
        self.process, self.ready = parent.start(words, self.env, folder / "sim.err")
        self.account = self.ready["account"]
        self._read, self._rows = 0, list[dict[str, Any]]()
        self._orders: dict[str, dict[str, Any]] = {}

    def control(self, method: str, name: str, body: dict | None = None) -> Any:
        request = urllib.request.Request(
            f"{self.ready['url']}/__sim/{name}",
            data=json.dumps(body or {}).encode(),
            method=method,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def fault(self, text: str) -> None:
        self.control("POST", "faults", {"text": text})

    def clear(self) -> None:
        self.control("DELETE", "faults")

    def rows(self) -> list[dict[str, Any]]:
        """Its record as it stands: what was written since the last look is read."""
        with self.path.open("rb") as record:
            record.seek(self._read)
            whole, end, _ = record.read().rpartition(b"\n")
        self._read += len(whole) + len(end)
        new = [json.loads(line) for line in whole.split(b"\n")] if whole else []
        self._rows += new
        for order in (self._order(row) for row in new if row["kind"] == "order"):
            self._orders[order["order_id"]] = order
        return self._rows

    def orders(self) -> dict[str, dict[str, Any]]:
        """The newest row of each order by the broker's id, in one set of words."""
        self.rows()
        return dict(self._orders)

    def _order(self, row: dict[str, Any]) -> dict[str, Any]:
        if self.dialect == "kite":
            words = {"COMPLETE": "filled", "CANCELLED": "canceled", "REJECTED": "rejected"}
            return {
                "order_id": str(row["order_id"]), "tag": row["tag"], "status": words.get(row["status"], "open"),
                "cum_qty": int(row["filled_quantity"]), "avg_px": float(row["average_price"] or 0),
                "name": row["tradingsymbol"], "side": row["transaction_type"], "qty": int(row["quantity"]),
            }  # fmt: skip
        words = {"Filled": "filled", "Cancelled": "canceled", "Rejected": "rejected"}
        return {
            "order_id": str(row["AppOrderID"]), "tag": row["OrderUniqueIdentifier"], "status": words.get(row["OrderStatus"], "open"),
            "cum_qty": int(row["CumulativeQuantity"]), "avg_px": float(row["OrderAverageTradedPrice"] or 0),
            "name": row["ExchangeInstrumentID"], "side": row["OrderSide"], "qty": int(row["OrderQuantity"]),
        }  # fmt: skip

    def net(self) -> int:
        """Units held in all, by the orders' own figures."""
        return sum(o["cum_qty"] * (1 if o["side"] == "BUY" else -1) for o in self.orders().values())

    def arrivals_ns(self) -> list[int]:
        """When each order message reached the exchange, by its own monotonic clock."""
        return [
            row["real_ns"]
            for row in self.rows()
            if row["kind"] == "call" and row["call"].split()[0] != "GET" and "order" in row["call"]
        ]

    def stop(self) -> None:
        self.process.close()


class Nem:
    """A TCP relay before a simulated broker that cuts requests in the middle."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._cuts: list[tuple[bytes, int]] = []
        self._lines: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, start: str, after: int) -> None:
        """Break the next request that begins so after that many of its bytes."""
        self._cuts.append((start.encode(), after))

    def tried(self, start: str) -> int:
        """How many requests that begin so were put on the wire."""
        return sum(line.startswith(start.encode()) for line in self._lines)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            for link in (near, far):
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for words in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._relay, args=words, daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket, asks: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._lines += [data[:40]] if asks else []
                cut = next((c for c in self._cuts if asks and data.startswith(c[0])), None)
                if cut is None:
                    target.sendall(data)
                    continue
                self._cuts.remove(cut)
                target.sendall(data[: min(cut[1], len(data) - 1)])
                for link in (source, target):  # a reset, not an end
                    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                break
        for link in (source, target):
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            link.close()

    def stop(self) -> None:
        self._listener.close()


class Desk:
    """The engine under test."""

    def __init__(
        self,
        parent: Parent,
        folder: Path,
        sim: Sim,
        broker: str | None = None,
        nem: Nem | None = None,
        rules: str = "",
        **settings: str,
    ) -> None:
        self.parent, self.folder, self.sim = parent, folder, sim
        self.broker = broker or {"kite": "kite", "xts": "xts-pro"}[sim.dialect]
        folder.mkdir(parents=True, exist_ok=True)
        if rules:  # the user's own rules file; without one the standard rules guard the account
            (folder / "home").mkdir(exist_ok=True)
            (folder / "home" / "rules.toml").write_text(rules)
        self.env = {
            **os.environ,
            **sim.ready["env"],
            "PYTHONPATH": str(ROOT),
            "TOOLKIT_HOME": str(folder / "home"),
            "TOOLKIT_ENGINE__CLOCK": "venue",
            "TOOLKIT_ENGINE__SETTLE_S": "3",
            "TOOLKIT_ENGINE__POLL_S": "0.2",
            "TOOLKIT_ENGINE__THROTTLE_PER_S": "500",
            "TOOLKIT_KITE__ORDERS_PER_MIN": "30000",  # as the simulated broker's profile: unlimited
            "TOOLKIT_KITE__ORDERS_PER_DAY": "1000000",
            "TOOLKIT_RISK__MAX_MESSAGES_PER_S": "500",
            "TOOLKIT_RISK__MAX_CANCELS_PER_S": "600",
            "TOOLKIT_RISK__DUPLICATE_WINDOW_S": "0",
            "TOOLKIT_RISK__CHECK_MARGIN": "false",  # two more calls an order, one a second on XTS
            **dict.fromkeys(("TOOLKIT_RISK__MAX_NET_LOTS", "TOOLKIT_RISK__MAX_GROSS_LOTS"), "100000"),
            **dict.fromkeys(("TOOLKIT_RISK__MAX_OPEN_VALUE_P", "TOOLKIT_RISK__MAX_CAPITAL_P"), "1000000000000"),
            **settings,
        }
        if nem is not None:
            real = f":{urlsplit(sim.ready['url']).port}"
            self.env |= {k: self.env[k].replace(real, f":{nem.port}") for k in sim.ready["env"]}
        self.process: Command | None = None
        self.ready_line: dict[str, Any] = {}
        self.url = self.token = ""

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> dict[str, Any]:
        words = ["serve", "--broker", self.broker, "--account", self.sim.account, "--live", self.sim.account]
        self.process, ready = self.parent.start([*words, "--port", "0"], self.env, self.folder / "serve.err")
        assert ready["state"] == "ready"
        self.ready_line = ready
        self.url, self.token = ready["url"], Path(ready["token_file"]).read_text().strip()
        return ready

    def recovery_s(self, since: int) -> float:
        """Seconds from the first call a new process made (row ``since`` of the record) to its last before ready."""
        stamps = [row["real_ns"] for row in self.sim.rows()[since:] if row["kind"] == "call"]
        return (max(stamps) - min(stamps)) / 1e9

    def kill(self) -> None:
        self.process.close()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(15)
        if self.process is not None:
            self.process.close()

    def call(self, method: str, path: str, body: Any = None, timeout: float = 15) -> tuple[int, Any]:
        """One call of the API; status 0 when the engine is not there or does not answer in time."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data=data, method=method, headers=headers)
        try:  # a kill may cut an answer or an error's body in the middle
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                return error.code, json.loads(error.read() or b"null")
        except (OSError, ValueError, http.client.HTTPException):
            pass
        return 0, None

    def place(
        self, cl_ord_id: str, *, side: str = "BUY", lots: int = 1, price: float = 100.0, symbol: str = SYMBOL,
        timeout: float = 15, **more: Any,
    ) -> tuple[int, Any]:  # fmt: skip
        body = {"cl_ord_id": cl_ord_id, "symbol": symbol, "side": side, "lots": lots, "price": f"{price:.2f}", **more}
        return self.call("POST", "/v1/orders", body, timeout)

    def get(self, path: str) -> Any:
        status, body = self.call("GET", path)
        assert status == 200, (path, status, body)
        return body

    def orders(self) -> dict[str, dict[str, Any]]:
        found = self.get("/v1/orders")
        rows = found["orders"] if isinstance(found, dict) else found
        return {row["cl_ord_id"]: row for row in rows}

    def journals(self) -> list[Path]:
        return sorted((self.folder / "home" / "accounts").rglob("*.db"))

    def quotes(self, *symbols: str) -> dict[str, tuple[float, float]]:
        """Bid and ask as the engine shows them; waits for all of them."""

        def look() -> dict[str, tuple[float, float]] | None:
            status, chain = self.call("GET", "/v1/chain/NIFTY/2026-07-14")
            rows = chain["rows"] if status == 200 else []  # else no quote has come yet
            seen = {row[f"{s}_symbol"]: (row[f"{s}_bid"], row[f"{s}_ask"]) for row in rows for s in ("ce", "pe")}
            found = {symbol: seen[symbol] for symbol in symbols if None not in seen.get(symbol, (None,))}
            return found if len(found) == len(symbols) else None

        return wait_until(look, 20, "the feed shows no quotes")

    def events(self, after: int = 0) -> list[dict[str, Any]]:
        """The journal's public events; their numbers have no gap."""
        found: list[dict[str, Any]] = []
        while page := self.get(f"/v1/events?after={after}&most=1000")["events"]:
            found += page
            after = page[-1]["seq"]
        assert [e["seq"] for e in found] == list(range(after - len(found) + 1, after + 1)), "the journal has a gap"
        return found

    def journaled(self) -> set[str]:
        """Every id that the journal holds."""
        return {event["cl_ord_id"] for event in self.events()}


@dataclass
class Verdict:
    """What is wrong, by kind; nothing is right."""

    lost: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return not (self.lost or self.duplicates or self.mismatched)


def judge(sim: Sim, desk: Desk, *, foreign: frozenset[str] = frozenset()) -> Verdict:
    """Compare the exchange's record with what the engine says; ``foreign`` are tags placed elsewhere."""
    verdict = Verdict()
    ours = desk.orders()
    by_tag: dict[str, list[dict[str, Any]]] = {}
    for order in sim.orders().values():
        by_tag.setdefault(order["tag"] or "", []).append(order)
    for tag, held in by_tag.items():
        if tag in foreign or not tag:
            continue
        if len(held) > 1:
            verdict.duplicates.append(tag)
        mine = ours.get(tag)
        if mine is None:
            verdict.lost.append(tag)
            continue
        theirs = held[0]
        status = mine["ord_status"] if mine["ord_status"] in TERMINAL else "open"
        same = status == theirs["status"] and mine["cum_qty"] == theirs["cum_qty"]
        if same and mine["cum_qty"]:
            same = abs(mine["avg_px"] - theirs["avg_px"]) < 0.00501
        if not same:
            verdict.mismatched.append(f"{tag}: {mine['ord_status']} {mine['cum_qty']} against {theirs}")
    for cl_ord_id, mine in ours.items():
        if mine["cum_qty"] and cl_ord_id not in by_tag and mine.get("parent_id") is None and not mine.get("children"):
            verdict.mismatched.append(f"{cl_ord_id} has fills that the exchange does not know")
    return verdict


@pytest.fixture(scope="session", params=["kite", "xts"])
def dialect(request):
    """Both wires."""
    return request.param


class Rig:
    """Starts simulated brokers and engines under one folder, and judges them."""

    judge = staticmethod(judge)
    wait_until = staticmethod(wait_until)
    symbol, lot, wide = SYMBOL, LOT, WIDE

    def __init__(self, parent: Parent, folder: Path) -> None:
        self.parent, self.folder = parent, folder
        self.running: list[Any] = []
        self._number = itertools.count()

    def sim(self, dialect: str, *options: str) -> Sim:
        self.running.append(Sim(self.parent, self.folder / f"sim{next(self._number)}", dialect, *options))
        return self.running[-1]

    def nem(self, sim: Sim) -> Nem:
        self.running.append(Nem(urlsplit(sim.ready["url"]).port))
        return self.running[-1]

    def desk(self, sim: Sim, folder: str = "desk", **settings: Any) -> Desk:
        self.running.append(Desk(self.parent, self.folder / folder, sim, **settings))
        return self.running[-1]

    def floor(self, dialect: str) -> Floor:
        """A simulated broker, a relay before it and an engine on it, not started."""
        sim = self.sim(dialect)
        nem = self.nem(sim)
        return Floor(
            self, sim, nem, self.desk(sim, f"desk{next(self._number)}", nem=nem, rules=WIDE, **BUSY_ENV), dialect
        )

    def ready(self, desk: Desk, sim: Sim, seconds: float = 30, **more: Any) -> Verdict:
        """Wait until nothing is unknown or in flight and give the verdict."""
        busy = {"unknown", "pending_new", "pending_cancel", "pending_replace"}
        wait_until(
            lambda: not [o for o in desk.orders().values() if o["ord_status"] in busy],
            seconds,
            "orders stay without an answer",
        )
        end = time.monotonic() + 10
        while not (found := judge(sim, desk, **more)) and time.monotonic() < end:
            time.sleep(0.1)  # a report may be on its way while we look
        return found

    def close(self) -> None:
        while self.running:
            self.running.pop().stop()


@dataclass
class Floor:
    """One simulated broker with one engine on it, for every test that leaves both as it found them."""

    rig: Rig
    sim: Sim
    nem: Nem
    desk: Desk
    dialect: str


@pytest.fixture(scope="session")
def parent():
    """The process that every command of this run is a fork of."""
    pytest.importorskip("fastapi", reason="the engine process is in the extra serve")
    pytest.importorskip("kiteconnect", reason="the simulated brokers are in the extras kite and xts")
    made = Parent()
    yield made
    made.stop()


class Floors:
    """The floor of one dialect, built anew after a quarter of an hour: the market leaves the tests' prices."""

    def __init__(self, parent: Parent, folder: Path, dialect: str) -> None:
        self.parent, self.folder, self.dialect = parent, folder, dialect
        self._number = itertools.count()
        self._rig: Rig | None = None
        self._floor: Floor | None = None
        self._until = 0.0

    def get(self) -> Floor:
        if self._floor is None or time.monotonic() > self._until:
            self.close()
            self._rig = Rig(self.parent, self.folder / f"rig{next(self._number)}")
            self._floor, self._until = self._rig.floor(self.dialect), time.monotonic() + 900
        return self._floor

    def close(self) -> None:
        if self._rig is not None:
            self._rig.close()


@pytest.fixture(scope="session")
def _floors(parent, dialect, tmp_path_factory):
    made = Floors(parent, tmp_path_factory.mktemp(f"floor-{dialect}"), dialect)
    yield made
    made.close()


@pytest.fixture
def floor(_floors):
    """The shared floor: no faults, the engine up and ready, trading active."""
    found = _floors.get()
    found.sim.clear()
    if not found.desk.runs:
        found.desk.start()
    yield found
    found.sim.clear()


@pytest.fixture
def rig(parent, tmp_path):
    made = Rig(parent, tmp_path)
    yield made
    made.close()
