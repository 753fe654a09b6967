"""python-socketio 4.6.0 with requests, as Symphony's own SDK pins them, unchanged, against the simulated XTS.

They live in an environment of their own, made once and kept: no current environment can hold an Engine.IO 3
client. Where it cannot be made (no package registry in reach) the tests are skipped in words; in CI
that is a failure when the registry answers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

PINS = ("python-socketio==4.6.0", "python-engineio==3.13.0", "requests==2.32.3", "websocket-client==1.8.0")
ROOM = (
    Path(tempfile.gettempdir())
    / f"toolkit-socketio-4.6.0-{os.getuid()}-py{sys.version_info.major}{sys.version_info.minor}"
)
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("TOOLKIT_") or k == "TOOLKIT_HOME"}
# The calls are those of the SDK's Connect.py and its two socket clients: bare token, JSON bodies, websocket only.
PRELUDE = """
import json, sys, threading
import requests, socketio
ready = json.loads(sys.argv[1])
env, root = ready["env"], ready["env"]["TOOLKIT_XTS__ROOT"]
md = root + "/" + env["TOOLKIT_XTS__MD_PREFIX"]
session = requests.Session()
out = {"version": socketio.__version__}
def call(method, url, token=None, body=None, query=None):
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = token
    data = None if body is None else json.dumps(body)
    return session.request(method, url, params=query, data=data, headers=headers, timeout=7, verify=False)
def result(*args, **more):
    reply = call(*args, **more).json()
    assert reply["type"] == "success", reply
    return reply["result"]
def log_in():
    keys = {"appKey": env["TOOLKIT_XTS__APP_KEY"], "secretKey": env["TOOLKIT_XTS__SECRET_KEY"], "source": "WEBAPI"}
    return result("POST", root + "/interactive/user/session", body=keys)
def md_log_in():
    keys = {"appKey": env["TOOLKIT_XTS__MD_APP_KEY"], "secretKey": env["TOOLKIT_XTS__MD_SECRET_KEY"], "source": "WEBAPI"}
    return result("POST", md + "/auth/login", body=keys)
class Socket:
    def __init__(self, url, path, *names):
        self.seen, self.more = [], threading.Condition()
        self.sio = socketio.Client(logger=False, engineio_logger=False)
        for name in ("connect", "disconnect", *names):
            self.sio.on(name, self.keep(name))
        self.sio.connect(url, headers={}, transports="websocket", namespaces=None, socketio_path=path)
    def keep(self, name):
        def hear(*args):
            with self.more:
                self.seen.append((name, *args))
                self.more.notify_all()
        return hear
    def until(self, wanted):
        with self.more:
            assert self.more.wait_for(lambda: any(wanted(e) for e in self.seen), 60), self.seen[:20]
            return next(e for e in self.seen if wanted(e))
def interactive(who):
    url = f"{root}/?token={who['token']}&userID={who['userID']}&apiType=INTERACTIVE"
    return Socket(url, "/interactive/socket.io", "joined", "order", "trade", "position", "logout")
def market(who, publish, mode, *names):
    url = f"{root}/?token={who['token']}&userID={who['userID']}&publishFormat={publish}&broadcastMode={mode}"
    return Socket(url, "/apimarketdata/socket.io", "joined", "logout", *names)
def pick(segment="NSEFO"):
    rows = [line.split("|") for line in result("POST", md + "/instruments/master", mtoken, {"exchangeSegmentList": [segment]}).split("\\n")]
    options = [r for r in rows if r[2] == "2" and r[3] == "NIFTY"]
    asked = [{"exchangeSegment": 2, "exchangeInstrumentID": int(r[1])} for r in options[:100]]
    body = {"instruments": asked, "xtsMessageCode": 1502, "publishFormat": "JSON"}
    quotes = [json.loads(q) for q in result("POST", md + "/instruments/quotes", mtoken, body)["listQuotes"]]
    best = next(q for q in quotes if q["Asks"][0]["Size"] >= 65 and q["Bids"][0]["Size"] >= 65)
    return best["ExchangeInstrumentID"], best
"""

# The client's threads are no daemons: a script that fails must end the process by force.
FAILED = """    import os, traceback
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)
import os
sys.stdout.flush()
os._exit(0)
"""


def _tool(*words):
    return subprocess.run(words, capture_output=True, text=True, timeout=120)


def _uv():
    return shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))


def _install(python, *wanted):
    if _uv():
        return _tool(_uv(), "pip", "install", "-q", "--python", str(python), *wanted)
    return _tool(str(python), "-m", "pip", "install", "-q", *wanted)


@pytest.fixture(scope="module")
def official():
    """The python of the environment with the pinned client."""
    python, done = ROOM / "bin" / "python", ROOM / "complete"
    if done.exists() and done.read_text() == " ".join(PINS):
        return python
    shutil.rmtree(ROOM, ignore_errors=True)
    made = _tool(_uv(), "venv", "-q", str(ROOM)) if _uv() else _tool(sys.executable, "-m", "venv", str(ROOM))
    assert made.returncode == 0, made.stderr
    failed = _install(python, *PINS)
    if failed.returncode:
        reason = f"python-socketio 4.6.0 cannot be installed: {failed.stderr.strip().splitlines()[-1:]}"
        if os.environ.get("CI") and _install(python, "requests").returncode == 0:
            pytest.fail(f"the package registry answers, but {reason}")
        pytest.skip(reason)
    done.write_text(" ".join(PINS))
    return python


@pytest.fixture
def sim(tmp_path):
    """``sim(*options)`` gives the ready line of a simulated XTS as a user starts it."""
    started = []

    def start(*options):
        record = tmp_path / f"record{len(started)}.jsonl"
        words = ["sim", "xts", "--at", "11:02", "--record", str(record), "--set", "rates=off", *options]
        process = subprocess.Popen(
            [sys.executable, "-m", "toolkit", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=CLEAN,
        )
        started.append(process)
        line = process.stdout.readline()
        if not line:
            pytest.fail(process.stderr.read())
        return json.loads(line)

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=20)
        assert process.returncode == 0


@pytest.fixture
def run(official):
    """``run(ready, script)`` runs a script with the official client; gives what it put into ``out``."""

    def go(line, script):
        body = textwrap.indent(textwrap.dedent(script), "    ")
        text = f"{PRELUDE}\ntry:\n{body}\n    print(json.dumps(out))\nexcept BaseException:\n{FAILED}"
        env = {**CLEAN, "NO_PROXY": "127.0.0.1,localhost"}
        done = subprocess.run(
            [official, "-c", text, json.dumps(line)], capture_output=True, text=True, timeout=60, env=env
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.strip().splitlines()[-1])

    return go


def test_an_investors_day(sim, run):
    out = run(
        sim("--speed", "20"),
        """
        who = log_in()
        mwho = md_log_in()
        mtoken = mwho["token"]
        socket = interactive(who)
        feed = market(mwho, "JSON", "Full", "1501-json-full", "1502-json-full", "1510-json-full", "1512-json-full")
        socket.until(lambda e: e[0] == "joined")
        feed.until(lambda e: e[0] == "joined")
        instrument, quote = pick()
        for code in (1501, 1502):
            result("POST", md + "/instruments/subscription", mtoken, {"instruments": [{"exchangeSegment": 2, "exchangeInstrumentID": instrument}], "xtsMessageCode": code})
        again = call("POST", md + "/instruments/subscription", mtoken, {"instruments": [{"exchangeSegment": 2, "exchangeInstrumentID": instrument}], "xtsMessageCode": 1502})
        out["again"] = [again.status_code, again.json()["code"]]
        event = feed.until(lambda e: e[0] == "1502-json-full")
        out["event"] = json.loads(event[1])["ExchangeInstrumentID"] == instrument
        form = {"exchangeSegment": "NSEFO", "exchangeInstrumentID": instrument, "productType": "NRML", "orderType": "LIMIT",
                "orderSide": "BUY", "timeInForce": "IOC", "disclosedQuantity": 0, "orderQuantity": 65,
                "limitPrice": round(quote["Asks"][0]["Price"] * 1.2 / 0.05) * 0.05, "stopPrice": 0, "apiOrderSource": "", "orderUniqueIdentifier": "sdk0001"}
        form["limitPrice"] = round(form["limitPrice"], 2)
        made = result("POST", root + "/interactive/orders", who["token"], form)
        seen = []
        trade = json.loads(socket.until(lambda e: e[0] == "trade")[1])
        out["trade"] = [trade["AppOrderID"] == made["AppOrderID"], trade["LastTradedQuantity"], trade["OrderStatus"]]
        socket.until(lambda e: e[0] == "position")
        out["statuses"] = [json.loads(e[1])["OrderStatus"] for e in socket.seen if e[0] == "order"]
        book = result("GET", root + "/interactive/orders", who["token"])
        out["book"] = [(row["OrderUniqueIdentifier"], row["OrderStatus"]) for row in book]
        rows = result("GET", root + "/interactive/portfolio/positions", who["token"], query={"dayOrNet": "NetWise"})["positionList"]
        out["position"] = rows[0]["Quantity"]
        result("DELETE", root + "/interactive/user/session", who["token"])
        out["logout"] = socket.until(lambda e: e[0] == "logout")[1]
        dead = call("GET", root + "/interactive/orders", who["token"])
        out["dead"] = [dead.status_code, dead.json()["code"]]
        """,
    )
    assert out == {
        "version": "4.6.0",
        "again": [400, "e-session-0002"],
        "event": True,
        "trade": [True, 65, "Filled"],
        "statuses": ["PendingNew", "New", "Filled"],
        "book": [["sdk0001", "Filled"]],
        "position": "65",
        "logout": "logged out",
        "dead": [400, "e-session-0007"],
    }


def test_packets_hearts_and_a_dealer(sim, run):
    out = run(
        sim(
            "--speed",
            "20",
            "--profile",
            "dealer_named",
            "--format",
            "binary",
            "--set",
            "deflate=mixed",
            "--set",
            "packets=3",
            "--set",
            "ping_ms=1500",
            "--set",
            "ping_timeout_ms=5000",
        ),
        """
        who, mwho = log_in(), md_log_in()
        mtoken = mwho["token"]
        feed = market(mwho, "JSON", "Partial", "xts-binary-packet", "1512-json-partial")
        instrument, quote = pick()
        one = [{"exchangeSegment": 2, "exchangeInstrumentID": instrument}]
        for code in (1501, 1502, 1512):
            result("POST", md + "/instruments/subscription", mtoken, {"instruments": one, "xtsMessageCode": code})
        blob = feed.until(lambda e: e[0] == "xts-binary-packet")[1]
        out["packet"] = [type(blob).__name__, blob[0] in (0, 1)]
        out["text"] = feed.until(lambda e: e[0] == "1512-json-partial")[1].startswith(f"t:2_{instrument},ltp:")
        dropped = {"exchangeSegment": "NSEFO", "exchangeInstrumentID": instrument, "productType": "MIS", "orderType": "MARKET",
                   "orderSide": "SELL", "timeInForce": "DAY", "disclosedQuantity": 0, "orderQuantity": 65, "limitPrice": 0,
                   "stopPrice": 0, "orderUniqueIdentifier": "d1", "clientID": "DLR01"}
        out["dropped"] = call("POST", root + "/interactive/orders", who["token"], dropped).json()["type"]
        empty = call("GET", root + "/interactive/orders/dealerorderbook", who["token"])
        out["empty"] = [empty.status_code, empty.json()["description"]]
        socket = interactive(who)
        result("POST", root + "/interactive/orders", who["token"], {**dropped, "clientID": "CLI02", "orderUniqueIdentifier": "d2"})
        trade = json.loads(socket.until(lambda e: e[0] == "trade")[1])
        out["owner"] = [trade["LoginID"], trade["ClientID"], trade["OrderSide"]]
        state = session.get(root + "/__sim/state").json()
        later = state
        while min((s["beats"] for s in later["sockets"]), default=0) < 3:  # a socket given up never comes to it
            later = session.get(root + "/__sim/state").json()
        out["alive"] = [s["socket"] for s in state["sockets"]] == [s["socket"] for s in later["sockets"]] and len(later["sockets"]) == 2
        """,
    )
    assert out == {
        "version": "4.6.0",
        "packet": ["bytes", True],
        "text": True,
        "dropped": "success",
        "empty": [400, "Data Not Available"],
        "owner": ["DLR01", "CLI02", "Sell"],
        "alive": True,
    }


def test_an_install_of_socketio_4_turns_it_away(sim, run):
    out = run(
        sim("--speed", "0", "--eio", "4"),
        """
        who = log_in()
        try:
            interactive(who)
            out["refused"] = "no"
        except socketio.exceptions.ConnectionError as problem:
            out["refused"] = "yes"
        """,
    )
    assert out == {"version": "4.6.0", "refused": "yes"}
