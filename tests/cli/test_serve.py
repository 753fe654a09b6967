"""The engine process as users start it, on a simulated Kite of its own: ready line, one writer, kills, halts, notebooks."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import toolkit as tk
from tests.conftest import BUSY_ENV, BUSY_RULES
from toolkit.cli.app import run
from toolkit.errors import BadOrder, Refused
from toolkit.types import OrdStatus

CE = "NIFTY 14JUL2026 25450 CE"
ACCOUNT = "SIM001"
LIVE = ("--broker", "kite", "--live", ACCOUNT)


def spawn(*words: str) -> tuple[subprocess.Popen, dict]:
    """A command of the toolkit with its ready line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "toolkit", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    line = process.stdout.readline()
    if not line:
        raise AssertionError(process.communicate()[1])
    return process, json.loads(line)


def end(process: subprocess.Popen, number: int = signal.SIGTERM) -> int:
    if process.poll() is None:
        process.send_signal(number)
    process.communicate(timeout=30)
    return process.returncode


class World:
    """A simulated Kite and the engine on it."""

    def __init__(self, folder: Path) -> None:
        self.record = folder / "record.jsonl"
        self.sim, ready = spawn("sim", "kite", "--at", "11:05", "--profile", "unlimited", "--record", str(self.record))
        self.env = {**ready["env"], "TOOLKIT_ENGINE__CLOCK": "venue", "TOOLKIT_ENGINE__THROTTLE_PER_S": "200"}
        self.env |= BUSY_ENV | {"TOOLKIT_RISK__MAX_CANCELS_PER_S": "300", "TOOLKIT_RISK__DUPLICATE_WINDOW_S": "0"}
        self.words = ("serve", "--broker", "kite", "--account", ACCOUNT, "--live", ACCOUNT, "--port", "0")
        self.engine: subprocess.Popen | None = None
        self.ready: dict = {}

    def start(self) -> dict:
        self.engine, self.ready = spawn(*self.words)
        return self.ready

    def up(self) -> None:
        if self.engine is None or self.engine.poll() is not None:
            self.start()

    def down(self) -> int:
        return end(self.engine)

    def orders(self) -> dict[str, list[str]]:
        """Order ids of the exchange's own record by tag."""
        found: dict[str, set[str]] = {}
        for line in self.record.read_text().splitlines():
            row = json.loads(line)
            if row["kind"] == "order":
                found.setdefault(row["tag"], set()).add(row["order_id"])
        return {tag: sorted(ids) for tag, ids in found.items()}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    mark = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("serve")
    mark.setenv("TOOLKIT_HOME", str(folder / "home"))
    (folder / "home").mkdir()
    (folder / "home" / "rules.toml").write_text(BUSY_RULES)
    made = World(folder)
    for name, value in made.env.items():
        mark.setenv(name, value)
    made.start()
    yield made
    end(made.engine)
    end(made.sim)
    mark.undo()


@pytest.fixture
def desk(world):
    world.up()
    with tk.attach() as found:
        if found.state()["accounts"][0]["trading"] != "active":
            found.resume("a test begins")
        yield found


def test_the_ready_line_says_where_and_who(world):
    assert set(world.ready) == {"state", "url", "token_file", "pid", "account", "mode"}
    assert (world.ready["state"], world.ready["account"], world.ready["mode"]) == ("ready", ACCOUNT, "live")
    assert world.ready["pid"] == world.engine.pid
    assert Path(world.ready["token_file"]).stat().st_mode & 0o777 == 0o600
    assert world.ready["url"].startswith("http://127.0.0.1:")


def test_a_second_writer_is_refused_and_names_the_holder(world):
    done = subprocess.run([sys.executable, "-m", "toolkit", *world.words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert f"held by process {world.engine.pid} ({world.ready['url']})" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_account_that_is_not_the_brokers_is_refused(world):
    words = [w if w != ACCOUNT else "SIM002" for w in world.words]
    done = subprocess.run([sys.executable, "-m", "toolkit", *words], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (3, "")
    assert "type your own account in full" in done.stderr


def test_order_verbs_go_through_the_running_engine(world, desk, capsys):
    assert (
        run(
            [
                "order",
                "place",
                CE,
                "--side",
                "BUY",
                "--lots",
                "1",
                "--price",
                "85",
                *LIVE,
                "--cl-ord-id",
                "VERB1",
                "--json",
            ]
        )
        == 0
    )
    row = json.loads(capsys.readouterr().out)
    assert (row["ord_status"], row["account"]) == ("new", ACCOUNT)
    assert run(["order", "modify", "VERB1", "--price", "86.05", *LIVE, "--json"]) == 0
    assert run(["order", "cancel", "VERB1", "--broker", "kite"]) == 0
    capsys.readouterr()
    assert run(["order", "list", "--broker", "kite", "--json"]) == 0
    assert "VERB1" in [r["cl_ord_id"] for r in json.loads(capsys.readouterr().out)["orders"]]
    assert desk.order("VERB1")["ord_status"] == "canceled"
    asked = next(e for e in desk.order("VERB1")["events"] if e["kind"] == "order")
    assert asked["payload"]["asked"]["via"] == "cli"
    assert len(world.orders()["VERB1"]) == 1


def test_an_account_of_another_broker_than_was_said_is_named_with_its_broker(world, desk, capsys):
    assert run(["order", "list", "--account", ACCOUNT]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"toolkit: account {ACCOUNT} is served here at kite; add --broker kite\n")


def test_a_client_of_a_running_engine_compiles_and_loads_none(world, desk):
    ticket = [CE, "--side", "BUY", "--lots", "1", "--price", "5000", *LIVE]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "toolkit", "order", "place", *ticket],
        capture_output=True,
        text=True,
        timeout=60,
    )
    imports = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    loaded = {line.rpartition("|")[2].strip() for line in imports}
    assert (done.returncode, "toolkit.serve.client" in loaded) == (3, True), done.stderr[-500:]
    assert not loaded & {"numba", "scipy", "toolkit.orders.live", "toolkit.brokers.port"}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--broker", "kite"), 2, "an order at kite needs --live ACCOUNT, typed in full"),
        (("--broker", "kite", "--account", ACCOUNT), 2, "needs --live ACCOUNT, typed in full"),
        (("--broker", "kite", "--live", "SIM00"), 3, "type your own account in full"),
        (("--broker", "kite", "--account", ACCOUNT, "--live", "SIM002"), 3, "type your own account in full"),
    ],
)
def test_without_live_typed_in_full_nothing_leaves_through_an_armed_engine(world, desk, capsys, words, code, says):
    desk.place(tk.order(CE, "buy", lots=1, price=85, cl_ord_id="TYPED1"))
    for act in (("place", CE, "--side", "BUY", "--lots", "1", "--cl-ord-id", "TYPED2"), ("modify", "TYPED1")):
        assert run(["order", *act, "--price", "86.50", *words]) == code
        said = capsys.readouterr().err
        assert says in said
        assert len(said.strip().splitlines()) == 1
    assert "TYPED2" not in world.orders()
    assert desk.order("TYPED1")["price"] == 85.0
    assert run(["order", "place", CE, "--side", "BUY", "--lots", "1", "--price", "86", *words[:2], "--dry-run"]) == 0
    assert run(["order", "cancel", "TYPED1", "--broker", "kite"]) in (0, 3)


def test_a_ticket_for_paper_never_goes_to_a_live_account(world, desk):
    for named in ({"account": "PAPER", "broker": "paper"}, {"account": "PAPER"}, {"broker": "paper"}):
        with pytest.raises(
            BadOrder, match=r"(account must be one of SIM001|broker must be one of kite), was '(PAPER|paper)'"
        ):
            desk.place(tk.order(CE, "buy", lots=1, price=85, cl_ord_id="NEVER1", **named))
    assert "NEVER1" not in world.orders()


def test_the_verbs_that_look_and_steer(world, desk, capsys):
    desk.place(tk.order(CE, "buy", lots=1, price=115))
    for verb in ("positions", "pnl", "reconcile"):
        assert run([verb, "--json"]) == 0, capsys.readouterr().err
        assert verb.replace("reconcile", "differences") in json.loads(capsys.readouterr().out)
    assert run(["positions"]) == 0
    assert CE[:10] in capsys.readouterr().out
    assert run(["verify", "--json"]) == 0
    (journal,) = json.loads(capsys.readouterr().out)["journals"]
    assert journal["state"] in ("sound", "held")
    assert run(["flatten", "--confirm", "OTHER"]) == 3
    for name, value in (("--account", "OTHER"), ("--broker", "paper")):
        capsys.readouterr()
        assert run(["positions", name, value]) == 3
        assert f"{name[2:]} must be one of" in capsys.readouterr().err
    assert run(["flatten"]) == 2
    assert run(["flatten", "--confirm", ACCOUNT, "--json"]) == 0


def test_halt_stops_what_increases_and_keeps_what_protects(world, desk, capsys):
    desk.place(tk.order(CE, "sell", lots=2, price=75, cl_ord_id="SHORT1"))
    wait(lambda: dict(desk.positions().select("symbol", "net_qty").iter_rows()).get(CE, 0) == -130)
    protect = desk.place(tk.order(CE, "buy", lots=1, price=70, cl_ord_id="PROTECT1"))
    more = desk.place(tk.order(CE, "sell", lots=1, price=115, cl_ord_id="MORE1"))
    assert {protect.ord_status, more.ord_status} <= {OrdStatus.NEW, OrdStatus.PENDING_NEW}, (protect.text, more.text)
    target = desk.place(tk.order(CE, "buy", lots=2, price=71, cl_ord_id="TARGET1"))
    assert target.ord_status in (OrdStatus.NEW, OrdStatus.PENDING_NEW), target.text
    assert run(["halt", "--reason", "R21", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["accounts"][0]["trading"] == "halted"
    assert [row["cl_ord_id"] for row in told["stay"]] == ["TARGET1"], "both together would reverse the position"
    refused = desk.place(tk.order(CE, "sell", lots=1, price=110, cl_ord_id="AFTER1"))
    assert refused.ord_status is OrdStatus.DENIED
    assert "AFTER1" not in world.orders()
    wait(lambda: desk.order("MORE1")["ord_status"] == "canceled")
    wait(lambda: desk.order("PROTECT1")["ord_status"] == "canceled")
    assert desk.order("TARGET1")["ord_status"] == "new"
    capsys.readouterr()
    assert run(["halt"]) == 0
    assert f"  stays: TARGET1 BUY 130 of {CE} at 71.00 new\n" in capsys.readouterr().out
    assert run(["halt", "--cancel-all"]) == 0
    assert "stays" not in capsys.readouterr().out
    wait(lambda: desk.order("TARGET1")["ord_status"] == "canceled")
    assert run(["resume", "--reason", "over"]) == 0
    assert "active" in capsys.readouterr().out
    desk.flatten(confirm=ACCOUNT)
    wait(lambda: not any(desk.positions()["net_qty"]))


def test_a_kill_loses_nothing_and_a_halt_outlives_it(world, desk):
    ids = [f"KILL{n}" for n in range(8)]
    for n, cl_ord_id in enumerate(ids):
        desk.place(tk.order(CE, "buy", lots=1, price=80 + n, cl_ord_id=cl_ord_id))
    desk.halt("before the kill")
    before = {r["cl_ord_id"]: r["order_id"] for r in desk.orders().to_dicts()}
    world.engine.send_signal(signal.SIGKILL)
    world.engine.communicate(timeout=10)
    world.start()
    with tk.attach() as again:
        after = {r["cl_ord_id"]: r["order_id"] for r in again.orders().to_dicts()}
        assert {c: after[c] for c in ids} == {c: before[c] for c in ids}
        assert again.state()["accounts"][0]["trading"] == "halted"
        assert again.place(tk.order(CE, "buy", lots=1, price=90)).ord_status is OrdStatus.DENIED
        again.resume("after the kill")
        again.cancel_all()
    assert all(len(found) == 1 for found in world.orders().values())


SCRIPT = """
import sys, toolkit as tk
desk = tk.attach()
print("ready", flush=True)
for line in sys.stdin:
    cl_ord_id, price = line.split()
    for attempt in range(50):
        try:
            order = desk.place(tk.order({symbol!r}, "buy", lots=1, price=float(price), cl_ord_id=cl_ord_id))
            print(cl_ord_id, order.ord_status, flush=True)
            break
        except KeyboardInterrupt:
            print("interrupted", flush=True)
"""


def interrupt(world, times: int, seed: int) -> tuple[list[str], int]:
    """Interrupt a kernel again and again inside ``place``, running each cell again with the same id."""
    rng, ids, struck = random.Random(seed), [], 0
    code = SCRIPT.format(symbol=CE)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as kernel:
        assert kernel.stdout.readline() == "ready\n"
        while struck < times:
            cl_ord_id = f"R07X{seed % 1000}N{len(ids)}"
            ids.append(cl_ord_id)
            kernel.stdin.write(f"{cl_ord_id} {80 + len(ids) % 100 * 0.05:.2f}\n")
            kernel.stdin.flush()
            time.sleep(rng.uniform(0.0, 0.01))  # the moment of the strike is the test
            kernel.send_signal(signal.SIGINT)
            while (line := kernel.stdout.readline()).startswith("interrupted"):
                struck += 1
            if not line:  # struck between two cells: a kernel would show its prompt again
                break
            assert line.startswith(cl_ord_id), line
        kernel.kill()
    return ids, struck


def judged(world, desk, ids: list[str]) -> None:
    """At the exchange at most one order each, and every one of them known to the engine, and the other way round."""
    theirs, ours = world.orders(), set(desk.orders()["cl_ord_id"])
    assert {i: len(theirs.get(i, [])) for i in ids if len(theirs.get(i, [])) > 1} == {}
    assert set(theirs) & set(ids) <= ours
    placed = [i for i in ids if i in ours and desk.order(i)["ord_status"] not in ("denied", "rejected")]
    assert set(placed) <= set(theirs)
    assert placed


@pytest.mark.parametrize("times", [12, pytest.param(300, marks=pytest.mark.slow)])
def test_r07_an_interrupted_kernel_neither_loses_nor_doubles(world, desk, times):
    seed = int(os.environ.get("FAULT_SEED", random.SystemRandom().randrange(2**32)))
    print(f"seed: FAULT_SEED={seed}")
    ids, struck, at = [], 0, seed
    while struck < times:
        more, done = interrupt(world, times - struck, at)
        ids, struck, at = ids + more, struck + done, at + 1
    judged(world, desk, [i for i in ids if i in set(desk.orders()["cl_ord_id"]) | set(world.orders())])
    desk.cancel_all()


def test_sigterm_ends_it_cleanly_and_the_next_start_goes_on(world, desk):
    known = set(desk.orders()["cl_ord_id"])
    assert world.down() == 0
    with pytest.raises(Refused, match="no engine to attach to: none runs here"):
        tk.attach()
    assert run(["verify"]) == 0
    with tk.desk("kite", live=ACCOUNT) as first:  # none runs: it is started, armed, and attached to
        pid = world_pid()
        assert (first.mode, first.accounts) == ("live", (ACCOUNT,))
        assert set(first.orders()["cl_ord_id"]) == known
        with tk.desk("kite", live=ACCOUNT) as second:
            assert repr(second) == repr(first)
    os.kill(pid, signal.SIGTERM)
    wait(lambda: not alive(pid))


def world_pid() -> int:
    from toolkit.store.lease import holders

    return holders("kite", [ACCOUNT])[0].pid


def alive(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False


def test_without_live_nothing_that_increases_leaves(world):
    world.down()
    process, ready = spawn(*world.words[:5], "--port", "0")
    try:
        with tk.attach(ready["url"]) as desk:
            assert desk.state()["accounts"][0]["armed"] is False
            with pytest.raises(tk.errors.RiskDenied, match="is not armed"):
                desk.place(tk.order(CE, "buy", lots=1, price=90, cl_ord_id="UNARMED"))
        assert "UNARMED" not in world.orders()
    finally:
        end(process)


def test_paper_on_a_live_feed(world, monkeypatch, tmp_path):
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path / "paper"))
    process, ready = spawn("serve", "--broker", "paper", "--feed", "kite", "--port", "0")
    try:
        assert (ready["mode"], ready["account"]) == ("paper", "PAPER")
        with tk.attach() as desk:
            order = desk.place(tk.order(CE, "buy", lots=1, price=115))
            wait(lambda: desk.order(order.cl_ord_id)["ord_status"] == "filled")
            wait(lambda: desk.chain("NIFTY").height > 10, 60)
    finally:
        assert end(process) == 0
    assert order.cl_ord_id not in world.orders()


def test_a_wrong_option_is_one_line(capsys):
    for words, says in (
        (["serve", "--broker", "kyte"], "did you mean 'kite'"),
        (["serve", "--live", "X"], "--live is for a real broker"),
        (["serve", "--feed", "kite", "--session", "x"], "two markets"),
        (["serve", "--broker", "kite", "--session", "x"], "are for paper"),
    ):
        assert run(words) == 2
        err = capsys.readouterr().err
        assert says in err
        assert len(err.strip().splitlines()) == 1


def test_the_token_is_named_and_never_printed(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path))
    assert run(["token", "--scope", "read", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    old = Path(found["token_file"]).read_text()
    assert run(["token", "--rotate"]) == 0
    said = capsys.readouterr().out
    assert Path(found["token_file"]).read_text() != old
    assert old.strip() not in said


def wait(what, seconds: float = 15.0) -> None:
    """Until something is true."""
    end_at = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end_at, "it did not come to pass"
        time.sleep(0.05)
