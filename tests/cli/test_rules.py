"""The verbs ``rules ...``."""

from __future__ import annotations

import json

import pytest

from toolkit.cli.app import run
from toolkit.config import share

RULES = '[limits]\nmax_order_lots = 3\n[[rule]]\nkind = "trade_count"\nentries = 1\n'


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path))
    return tmp_path


def said(capsys):
    told = capsys.readouterr()
    return told.out, told.err


def test_show_without_a_file_shows_the_safe_defaults(home, capsys):
    assert run(["rules", "show", "--json"]) == 0
    out, err = said(capsys)
    found = json.loads(out)
    assert (found["file"], found["stopped"], err) == (None, None, "")
    assert found["limits"]["max_order_lots"] == 40
    assert {"day_loss", "exchange_breaker", "repeated_execution"} <= {rule["kind"] for rule in found["rules"]}
    assert run(["rules", "show"]) == 0
    out, _ = said(capsys)
    assert "file: none; the standard rules apply" in out
    assert "max_loss = 25000 Rs" in out


def test_show_says_that_a_file_is_taken_or_stops_orders(home, capsys):
    (home / "rules.toml").write_text(RULES)
    assert run(["rules", "show", "--json"]) == 0
    found = json.loads(said(capsys)[0])
    assert found["limits"]["max_order_lots"] == 3
    assert found["rules"][0]["entries"] == 1
    assert run(["rules", "show", "--on", "2099-01-01"]) == 1
    assert "new orders are stopped" in said(capsys)[1]
    (home / "rules.toml").write_text("[[rule]]\nkind = 'x'")
    assert run(["rules", "show"]) == 1
    assert "line 2: no kind of rule 'x'" in said(capsys)[1]


def test_show_and_check_name_what_holds_over_all_accounts_together(home, capsys):
    path = home / "rules.toml"
    path.write_text(RULES + '[[across]]\nkind = "day_loss"\nmax_loss = "40000 Rs"\n')
    assert run(["rules", "show", "--json"]) == 0
    across = {rule["kind"]: rule for rule in json.loads(said(capsys)[0])["across"]}
    assert across["day_loss"]["max_loss"] == "40000 Rs"
    assert across["day_loss"]["name"] == "across-day_loss"
    assert "max_drawdown" in across  # a standard one that the file does not name
    assert run(["rules", "show"]) == 0
    out = said(capsys)[0]
    after = out[out.index("over the sum of a process's accounts:") :]
    assert "across-day_loss" in after
    assert "max_loss = 40000 Rs" in after
    assert run(["rules", "check", str(path)]) == 0
    assert "1 rules and 1 limits, 1 over all accounts, no mistake" in said(capsys)[0]
    assert run(["rules", "check", str(path), "--json"]) == 0
    assert [rule["kind"] for rule in json.loads(said(capsys)[0])["across"]] == ["day_loss"]


def test_check_reads_a_file_or_names_the_line(home, capsys):
    path = home / "r.toml"
    path.write_text(RULES)
    assert run(["rules", "check", str(path)]) == 0
    assert "1 rules and 1 limits, no mistake" in said(capsys)[0]
    assert run(["rules", "check", str(path), "--json"]) == 0
    assert json.loads(said(capsys)[0])["limits"] == {"max_order_lots": 3}
    path.write_text(RULES.replace("entries", "entris"))
    assert run(["rules", "check", str(path)]) == 2
    assert (
        said(capsys)[1] == f"toolkit: {path} line 5: trade_count has no parameter 'entris'; did you mean 'entries'?\n"
    )
    assert run(["rules", "check", str(home / "none.toml")]) == 1


def test_dry_run_tells_which_orders_would_have_been_denied(home, capsys):
    path = home / "r.toml"
    path.write_text(RULES)
    command = ["rules", "dry-run", str(path), "--session", str(share("data", "sample")), "--underlying", "NIFTY"]
    assert run([*command, "--strategy", "short-straddle", "--json"]) == 0
    found = json.loads(said(capsys)[0])
    assert found["stopped"]
    assert found["stopped"][0]["denials"][0]["rule"] == "trade_count"
    assert run(["rules", "dry-run", str(path), "--session", str(home / "none")]) == 1
    assert "no session" in said(capsys)[1]


def test_locks_and_unlock_of_an_account_that_does_not_run(home, capsys):
    assert run(["rules", "locks", "--account", "AB1234"]) == 0
    assert said(capsys)[0] == "no lock stands on AB1234\n"
    assert run(["rules", "unlock", "day_loss-1", "--account", "AB1234"]) == 1
    assert "no account keeps its journals" in said(capsys)[1]


def test_the_only_market_of_an_account_is_found_and_several_are_named(home, capsys):
    lock = '[{"lock_id":"day_loss-1","rule":"day_loss","scope":"account","state":"reducing","text":"lost","rearm":"later","since_ns":1}]'
    one = home / "accounts" / "paper-AB1234-NIFTY"
    one.mkdir(parents=True)
    (one / "locks.json").write_text(lock)
    assert run(["rules", "locks", "--account", "AB1234"]) == 0
    assert said(capsys)[0] == "day_loss-1: account reducing by day_loss: lost; later\n"
    (home / "accounts" / "paper-AB1234-SENSEX").mkdir()
    assert run(["rules", "locks", "--account", "AB1234"]) == 1
    assert "name one with --realm: NIFTY, SENSEX" in said(capsys)[1]
    assert run(["rules", "locks", "--account", "AB1234", "--realm", "NIFTY", "--json"]) == 0
    assert json.loads(said(capsys)[0])[0]["lock_id"] == "day_loss-1"


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file or directory"), (b"\xff\xfe", "it is no text in UTF-8")]
)
def test_a_rules_file_that_cannot_be_read_is_named_once(home, capsys, tmp_path, content, why):
    file = tmp_path / "my-rules.toml"
    if content is not None:
        file.write_bytes(content)
    assert run(["rules", "check", str(file)]) == 1
    assert capsys.readouterr().err == f"toolkit: rules file {file} cannot be read: {why}; check the path\n"
