"""``toolkit bench``: names, JSON, exit codes."""

from __future__ import annotations

import json
import sys
import types

import pytest

from toolkit.bench.runner import Result, Row
from toolkit.cli import bench as verb
from toolkit.cli.app import run


@pytest.fixture
def stub(monkeypatch):
    """A benchmark whose one ratio the test chooses."""

    def install(ratio):
        row = Row("job", 10, "peer", 1.0, ratio, ratio, ratio, ratio, 4.0)
        module = types.ModuleType("toolkit.bench.stub")
        module.run = lambda peers, check: Result("stub", [row], machine={"machine": "m"})
        monkeypatch.setitem(sys.modules, "toolkit.bench.stub", module)
        monkeypatch.setitem(verb.BENCHES, "stub", "toolkit.bench.stub")

    return install


def test_check_passes_and_fails(stub, capsys):
    stub(5.0)
    assert run(["bench", "stub", "--check"]) == 0
    assert "4x met" in capsys.readouterr().out
    stub(3.0)
    assert run(["bench", "stub", "--check"]) == 1
    assert "missed: job, n = 10: 3.00x of peer, the goal is 4x" in capsys.readouterr().err
    assert run(["bench", "stub"]) == 0


def test_json_is_one_document(stub, capsys):
    stub(5.0)
    assert run(["bench", "stub", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["met"] is True


def test_unknown_names_suggest(capsys):
    assert run(["bench", "pricng"]) == 1
    assert "did you mean 'pricing'" in capsys.readouterr().err


def test_registered_modules_are_named_after_the_room():
    assert all(module == f"toolkit.bench.{name}" for name, module in verb.BENCHES.items())
