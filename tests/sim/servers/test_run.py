"""From options to a served broker: the ready line, refusals, stopping, a kill in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

import pytest

from toolkit.config import share
from toolkit.errors import BadData
from toolkit.sim.servers.record import read_record
from toolkit.sim.servers.run import Plan, make_kite, ready

FORM = {
    "exchange": "NFO", "tradingsymbol": "NIFTY2671425500CE", "transaction_type": "BUY", "quantity": "65", "product": "NRML",
    "order_type": "LIMIT", "price": "50",
}  # fmt: skip


@pytest.fixture
def plan(tmp_path):
    return lambda **changes: Plan(
        **{"session": share("data", "sample"), "record": tmp_path / "r.jsonl", "speed": 0.0, **changes}
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"profile": "productoin"}, "did you mean 'production'"),
        ({"faults": ("cut-befor",)}, "did you mean 'cut-before'"),
        ({"at": "2026-07-14T11:00"}, "2026-07-14 is not in session"),
        ({"at": "2026-99-14"}, "--at must be a time"),
        ({"at": "soon"}, "--at must be a time"),
        ({"speed": -1.0}, "speed must be"),
    ],
)
async def test_what_cannot_be_served(plan, changes, says):
    with pytest.raises(BadData, match=says):
        make_kite(plan(**changes))


async def test_a_record_is_not_overwritten(plan, tmp_path):
    (tmp_path / "r.jsonl").write_text("mine")
    with pytest.raises(BadData, match="never continued"):
        make_kite(plan())
    assert (tmp_path / "r.jsonl").read_text() == "mine"


async def test_the_ready_line(plan, tmp_path):
    made = plan(at="11:05", account="SIM042")
    server = make_kite(made)
    await server.start(0)
    line = ready(server, made)
    await server.stop()
    assert line["url"] == f"http://127.0.0.1:{line['url'].rsplit(':', 1)[1]}"
    assert (line["state"], line["account"], line["now"]) == ("ready", "SIM042", "2026-07-13T11:05:00+05:30")
    assert line["env"] == {
        "TOOLKIT_KITE__ROOT": line["url"],
        "TOOLKIT_KITE__WS_ROOT": line["ws_url"],
        "TOOLKIT_KITE__API_KEY": "simkey",
        "TOOLKIT_KITE__ACCESS_TOKEN": server.app.access_token,
    }
    assert line["record"] == str(tmp_path / "r.jsonl")
    kinds = [row["kind"] for row in read_record(tmp_path / "r.jsonl")]
    assert (kinds[0], kinds[-1]) == ("start", "stop")


async def test_the_default_record_is_under_the_toolkits_home(plan):
    server = make_kite(plan(record=None))
    assert server.record.path.parent.name == "sim"
    assert str(server.record.path).startswith(os.environ["TOOLKIT_HOME"])
    server.record.close()


def launch(tmp_path, *options):
    words = [
        sys.executable,
        "-m",
        "toolkit",
        "sim",
        "kite",
        "--at",
        "11:05",
        "--record",
        str(tmp_path / "r.jsonl"),
        "--profile",
        "unlimited",
        *options,
    ]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return process, json.loads(line)


def place(line, tag):
    token = line["env"]["TOOLKIT_KITE__ACCESS_TOKEN"]
    headers = {"X-Kite-Version": "3", "Authorization": f"token simkey:{token}"}
    call = urllib.request.Request(
        f"{line['url']}/orders/regular", urllib.parse.urlencode({**FORM, "tag": tag}).encode(), headers
    )
    with urllib.request.urlopen(call, timeout=5) as reply:
        return json.loads(reply.read())["data"]["order_id"]


def test_it_stops_when_asked(tmp_path):
    process, line = launch(tmp_path)
    assert 0 < int(line["url"].rsplit(":", 1)[1]) < 32_768
    place(line, "a")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")
    assert read_record(tmp_path / "r.jsonl")[-1]["kind"] == "stop"


def test_every_acknowledged_order_survives_a_kill(tmp_path):
    process, line = launch(tmp_path)
    told = [place(line, f"t{i}") for i in range(20)]
    process.kill()
    process.communicate(timeout=20)
    with pytest.raises(urllib.error.URLError):
        place(line, "late")
    rows = read_record(tmp_path / "r.jsonl")
    opened = [row["order_id"] for row in rows if row["kind"] == "order" and row["status"] == "OPEN"]
    assert opened == told
    assert rows[-1]["kind"] != "stop"
