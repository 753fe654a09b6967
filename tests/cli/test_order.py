"""The verbs of ``toolkit order``: on paper, and live on a simulated Kite in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from toolkit.brokers.one_act import limits_of
from toolkit.cli.app import run
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
    assert [(d["rule"], d["limit"], d["value"]) for d in row["denials"]] == [("lot", 65, 66)]
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
        (("place", CE, "--side", "BUY", "--lots", "1", "--broker", "kyte"), 3, "was 'kyte'; did you mean 'kite'"),
        (("list", "--broker", "kyte"), 2, "broker 'kyte' is unknown; did you mean 'kite'"),
        (("list", "--broker", "zzz"), 2, "broker 'zzz' is unknown; known: kite, paper"),
        (("place", CE, "--side", "BUY", "--lots", "1", "--broker", "xts-pro"), 2, "needs --live ACCOUNT"),
        (("place", CE, "--side", "BUY", "--lots", "1", "--broker", "xts-client", "--account", "C1"), 2, "needs --live"),
        (
            ("place", CE, "--side", "BUY", "--lots", "1", "--price", "1", "--account", "ACC"),
            3,
            "must be one of PAPER, was 'ACC'",
        ),
        (("list", "--live", "AB1234"), 2, "leave it out on paper"),
        (("list", "--broker", "kite", "--at", "11:00"), 2, "are for paper"),
        (("place", CE, "--side", "UP", "--lots", "1", "--price", "1"), 3, "side must be one of BUY, SELL, was 'UP'"),
        (("place", "NIFTY 14JUL2026 25455 CE", "--side", "BUY", "--lots", "1", "--price", "1"), 3, "did you mean"),
        (
            ("place", CE, "--side", "BUY", "--lots", "1", "--price", "90", "--exchange", "MCX"),
            3,
            f"exchange of {CE} must be NSE, was 'MCX'",
        ),
        (("place", CE, "--side", "BUY", "--lots", "1", "--price", "90", "--algo", "twop"), 3, "did you mean 'twap'"),
        (("cancel", "NOPE"), 3, "no order 'NOPE' today"),
        (("cancel", "../x"), 3, "no order '../x' today"),
        (
            ("place", CE, "--side", "BUY", "--lots", "1", "--price", "1.001"),
            3,
            "price must be rupees above 0 to 10000000, in whole paise, was 1.001",
        ),
        (("show", "NOPE"), 1, "no order 'NOPE' today"),
        (("modify", "NOPE", "--price", "5"), 3, "no order 'NOPE' today"),
        (("modify", "NOPE"), 3, "a modification needs one of order_qty, price, stop_px, was empty"),
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


@pytest.fixture
def dealer(home, tmp_path, monkeypatch):
    """A simulated XTS of a dealer as a user starts it; this machine's own limits out of the way."""
    words = ["sim", "xts", "--at", "11:05", "--profile", "dealer_named", "--set", "rates=off", "--record"]
    monkeypatch.setattr("toolkit.brokers.xts_session.quotas", lambda terms: ())
    with subprocess.Popen(
        [sys.executable, "-m", "toolkit", *words, str(tmp_path / "r.jsonl")], stdout=subprocess.PIPE, text=True
    ) as process:
        ready = json.loads(process.stdout.readline())
        for name, value in {**ready["env"], "TOOLKIT_ENGINE__CLOCK": "venue"}.items():
            monkeypatch.setenv(name, value)
        yield ready
        process.terminate()


def test_live_for_a_dealers_client(capsys, dealer):
    one = ("--broker", "xts-client", "--account", "CLI01", "--live", "CLI01")
    two = ("--broker", "xts-client", "--account", "CLI02", "--live", "CLI02")
    code, row, err = placed(capsys, "--lots", "1", "--price", "125", *one)
    assert (code, row["ord_status"], row["account"], row["broker"]) == (0, "filled", "CLI01", "xts-client"), err
    assert isinstance(row["order_id"], str)
    code, row, _ = placed(capsys, "--lots", "2", "--price", "90", "--order-source", "ALGO7", *two)
    assert (code, row["ord_status"], row["order_qty"], row["account"]) == (0, "new", 130, "CLI02")
    code, out, _ = call(capsys, "modify", row["cl_ord_id"], "--price", "90.5", "--json", *two)
    assert (code, json.loads(out)["price"]) == (0, 90.5)
    code, out, _ = call(capsys, "cancel", row["cl_ord_id"], "--json", *two)
    assert (code, json.loads(out)["ord_status"]) == (0, "canceled")
    for account, states in (("CLI01", ["filled"]), ("CLI02", ["canceled"])):
        out = call(capsys, "list", "--json", "--broker", "xts-client", "--account", account)[1]
        assert [(o["account"], o["ord_status"]) for o in json.loads(out)["orders"]] == [(account, states[0])]
    with open(dealer["record"], encoding="utf-8") as file:
        sent = [r["fields"] for r in map(json.loads, file) if r.get("call") == "POST /interactive/orders"]
    assert [(f["clientID"], f["apiOrderSource"]) for f in sent] == [("CLI01", "WEBAPI"), ("CLI02", "ALGO7")]


WRONG = (
    (("--lots", "1", "--account", "CLI01", "--live", "CLI02"), 3, "is not 'CLI02'; type your own account in full"),
    (("--lots", "1", "--account", "CLI09", "--live", "CLI09"), 3, "'CLI09' is not mapped to this login"),
    (("--lots", "1", "--account", "DLR01", "--live", "DLR01"), 3, "the dealer's own id"),
    (("--lots", "1", "--account", "CLI01"), 2, "needs --live ACCOUNT"),
    (("--qty", "66", "--account", "CLI01", "--live", "CLI01"), 3, "multiple of the lot 65, was 66"),
    (("--lots", "1", "--account", "CLI01", "--live", "CLI01", "--price", "90.02"), 3, "multiple of the tick"),
)


def test_what_a_dealer_gets_wrong_is_one_line_and_sends_nothing(capsys, dealer):
    for words, code, text in WRONG:
        price = () if "--price" in words else ("--price", "90")
        found, _, err = call(capsys, "place", CE, "--side", "BUY", *words, *price, "--broker", "xts-client")
        assert (found, len(err.strip().splitlines())) == (code, 1), err
        assert text in err
    with open(dealer["record"], encoding="utf-8") as file:
        assert not [row for row in map(json.loads, file) if row.get("call") == "POST /interactive/orders"]


def test_more_than_eight_messages_a_second_are_for_simulated_brokers():
    fast = EngineSettings(throttle_per_s=50)
    assert limits_of(RiskSettings(), fast, True).max_messages_per_s == 50
    assert limits_of(RiskSettings(), EngineSettings(throttle_per_s=3), False).max_messages_per_s == 3
    with pytest.raises(BadSetting, match="over 8 is for simulated brokers, was 50"):
        limits_of(RiskSettings(), fast, False)
