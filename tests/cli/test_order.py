"""The verbs of ``toolkit order``: on paper, and live on a simulated Kite in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from toolkit.cli.app import run
from toolkit.cli.order import _limits
from toolkit.errors import BadSetting
from toolkit.orders.settings import EngineSettings
from toolkit.risk.settings import RiskSettings

CE = "NIFTY 14JUL2026 25450 CE"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def call(capsys, *words):
    code = run(["order", *words])
    out = capsys.readouterr()
    return code, out.out, out.err


def placed(capsys, *words):
    code, out, err = call(capsys, "place", CE, "--side", "BUY", *words, "--json")
    return code, json.loads(out) if out else None, err


def test_on_paper_an_order_lives_from_one_command_to_the_next(capsys, home):
    code, row, _ = placed(capsys, "--lots", "1", "--price", "80")
    assert (code, row["ord_status"], row["order_qty"], row["broker"]) == (0, "new", 65, "paper")
    code, out, _ = call(capsys, "modify", row["cl_ord_id"], "--price", "85.5", "--qty", "130", "--json")
    changed = json.loads(out)
    assert (code, changed["price"], changed["order_qty"]) == (0, 85.5, 130)
    code, out, _ = call(capsys, "list", "--json")
    assert [o["cl_ord_id"] for o in json.loads(out)["orders"]] == [row["cl_ord_id"]]
    code, out, _ = call(capsys, "cancel", row["cl_ord_id"], "--json")
    assert (code, json.loads(out)["ord_status"]) == (0, "canceled")
    code, out, _ = call(capsys, "show", row["cl_ord_id"])
    assert code == 0
    assert "canceled" in out
    code, _, err = call(capsys, "cancel", row["cl_ord_id"])
    assert (code, "already canceled" in err) == (3, True)


def test_a_fill_on_paper_and_the_same_id_again(capsys, home):
    words = ("--lots", "1", "--price", "112.05", "--cl-ord-id", "MINE1")
    code, row, _ = placed(capsys, *words)
    assert (code, row["ord_status"], row["cum_qty"]) == (0, "filled", 65)
    assert placed(capsys, *words)[1] == row


def test_a_denied_order_is_printed_and_ends_with_three(capsys, home):
    code, row, err = placed(capsys, "--qty", "66", "--price", "100")
    assert (code, row["ord_status"]) == (3, "denied")
    assert "multiple of the lot 65, was 66" in err
    assert len(err.strip().splitlines()) == 1


def test_a_dry_run_shows_everything_and_places_nothing(capsys, home):
    code, out, _ = call(capsys, "place", CE, "--side", "SELL", "--lots", "2", "--price", "107", "--dry-run", "--json")
    found = json.loads(out)
    assert (code, found["plan"], found["failed"]) == (0, [130], [])
    assert found["margin"]["total"] > 0
    assert found["charges"]["total"] > found["charges"]["brokerage"] > 0
    assert json.loads(call(capsys, "list", "--json")[1]) == {"orders": []}
    code, out, _ = call(capsys, "place", CE, "--side", "SELL", "--lots", "1", "--price", "1", "--dry-run")
    assert code == 3
    assert "rule failed     collar" in out


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("place", CE, "--side", "BUY", "--lots", "1", "--broker", "kite"), 2, "needs --live ACCOUNT"),
        (("cancel", "X", "--broker", "kite"), 2, "needs --live ACCOUNT"),
        (("place", CE, "--side", "BUY"), 2, "either --lots or --qty"),
        (("place", CE, "--side", "BUY", "--lots", "1", "--broker", "kyte"), 2, "did you mean 'kite'"),
        (("place", CE, "--side", "BUY", "--lots", "1", "--broker", "xts-pro"), 2, "is planned"),
        (("list", "--live", "AB1234"), 2, "leave it out on paper"),
        (("list", "--broker", "kite", "--at", "11:00"), 2, "are for paper"),
        (("place", CE, "--side", "UP", "--lots", "1", "--price", "1"), 2, "--side must be one of BUY, SELL"),
        (("place", "NIFTY 14JUL2026 25455 CE", "--side", "BUY", "--lots", "1", "--price", "1"), 1, "did you mean"),
        (("place", CE, "--side", "BUY", "--lots", "1", "--price", "1.001"), 1, "whole number of paise"),
        (("show", "NOPE"), 1, "no order 'NOPE' today"),
        (("modify", "NOPE", "--price", "5"), 3, "no order 'NOPE'"),
    ],
)
def test_wrong_words_are_one_line(capsys, home, words, code, text):
    found, out, err = call(capsys, *words)
    assert (found, out) == (code, "")
    assert text in err
    assert len(err.strip().splitlines()) == 1


@pytest.fixture
def live(home, tmp_path, monkeypatch):
    """The simulated Kite as a user starts it, and its settings in the environment."""
    words = [
        sys.executable,
        "-m",
        "toolkit",
        "sim",
        "kite",
        "--at",
        "11:05",
        "--profile",
        "unlimited",
        "--record",
        str(tmp_path / "r.jsonl"),
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        ready = json.loads(process.stdout.readline())
        for name, value in {**ready["env"], "TOOLKIT_ENGINE__CLOCK": "venue"}.items():
            monkeypatch.setenv(name, value)
        yield ready
        process.terminate()


def test_live_on_a_simulated_kite(capsys, live):
    account = ("--broker", "kite", "--live", "SIM001")
    code, row, _ = placed(capsys, "--lots", "1", "--price", "125", *account)
    assert (code, row["ord_status"], row["account"], row["broker"]) == (0, "filled", "SIM001", "kite")
    assert isinstance(row["order_id"], str)
    code, row, _ = placed(capsys, "--lots", "1", "--price", "90", *account)
    assert (code, row["ord_status"]) == (0, "new")
    code, out, _ = call(capsys, "cancel", row["cl_ord_id"], "--json", *account)
    assert (code, json.loads(out)["ord_status"]) == (0, "canceled")
    code, out, _ = call(capsys, "list", "--json", "--broker", "kite")
    assert [o["ord_status"] for o in json.loads(out)["orders"]] == ["filled", "canceled"]
    code, _, err = call(
        capsys, "place", CE, "--side", "BUY", "--lots", "1", "--price", "90", "--broker", "kite", "--live", "SIM00"
    )
    assert (code, "type your own account in full" in err) == (3, True)
    assert len(json.loads(call(capsys, "list", "--json", "--broker", "kite")[1])["orders"]) == 2


def test_more_than_eight_messages_a_second_are_for_simulated_brokers():
    fast = EngineSettings(throttle_per_s=50)
    assert _limits(RiskSettings(), fast, True).max_messages_per_s == 50
    assert _limits(RiskSettings(), EngineSettings(throttle_per_s=3), False).max_messages_per_s == 3
    with pytest.raises(BadSetting, match="over 8 is for simulated brokers, was 50"):
        _limits(RiskSettings(), fast, False)
