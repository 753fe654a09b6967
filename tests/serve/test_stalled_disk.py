"""A journal write of seconds at every door: the status, the metrics, an order's denial, the alerts, a person's resume."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from .conftest import serving

S = 10**9
RULES = """\
valid_until = 2099-12-31

[[rule]]
kind = "journal_stall"
max_write = "60 s"
"""
"""The account's own rule on the journal would halt for a minute; these tests are about what the engine does at once."""


class Slow:
    """The engine's monotonic clock, ahead by what each write of its journal takes."""

    def __init__(self, engine):
        self.engine, self.ahead_ns, self.takes_ns = engine, 0, 0
        self.mono, self.append = engine.pen._mono, engine.journal.append

    def __enter__(self):
        self.engine.pen._mono = lambda: self.mono() + self.ahead_ns
        self.engine.journal.append = self.write
        return self

    def write(self, records):
        self.ahead_ns += self.takes_ns
        return self.append(records)

    def __exit__(self, *error):
        self.engine.pen._mono = self.mono
        self.engine.journal.append = self.append


@pytest.fixture(scope="module")
def lone(tmp_path_factory):
    """An engine of its own, whose disk is slow on demand."""
    home = tmp_path_factory.mktemp("stalled-home")
    (home / "rules.toml").write_text(RULES)
    with serving(home) as made:
        yield made


@pytest.fixture
def slow(lone):
    """Its disk, taken over in the engine's own loop."""
    engine = lone.server.station.seats["PAPER"].engine

    async def enter():
        return Slow(engine).__enter__()

    async def leave():
        made.__exit__()

    made = lone.loop.wait(enter)
    yield made
    lone.loop.wait(leave)


def metrics(api):
    text = api.get("/metrics").raise_for_status().text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def test_every_door_shows_a_stalled_disk_and_a_person_resumes(lone, slow):
    with lone.client() as api:
        _stall_and_resume(lone, api, slow)


def _stall_and_resume(served, api, slow):
    api.post("/v1/orders", json=served.order()).raise_for_status()
    before = metrics(api)["toolkit_journal_write_seconds",]
    newest = served.server.station._alert_seq
    slow.takes_ns = 4 * S
    held = api.post("/v1/orders", json=served.order()).json()
    assert held["ord_status"] == "denied"
    assert held["text"].startswith("the disk took 4.0 s to write, at most 2 s")
    slow.takes_ns = 0
    (row,) = api.get("/v1/state").raise_for_status().json()["accounts"]
    assert (row["state"], row["trading"]) == ("ready", "reducing")
    assert held["text"] == f"{row['reason']}; it would add to a position and never left"
    assert api.get("/health").json() == {"status": "up"}, "the process is no reason to be restarted"
    found = metrics(api)
    assert found["toolkit_trading_state", "reducing"] == 1
    assert found["toolkit_journal_write_seconds",] >= 4.0 > before
    denied = api.post("/v1/orders", json=served.order())
    assert row["reason"] in denied.text

    resumed = api.post("/v1/resume", json={"reason": "the disk was looked at"})
    assert resumed.status_code == 200, resumed.text
    assert api.post("/v1/orders", json=served.order()).raise_for_status().json()["ord_status"] == "new"
    told = [alert for alert in served.server.station.alerts_after(newest) if alert["kind"] == "journal_stall"]
    assert [alert["text"] for alert in told] == [row["reason"]]
