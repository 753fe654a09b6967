"""What /metrics says of a running station: every state, no account, no symbol."""

from __future__ import annotations

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from toolkit import __version__
from toolkit.risk.limits import TradingState
from toolkit.serve.metrics import Metrics
from toolkit.types import OrdStatus


@pytest.fixture
def metrics(served):
    return Metrics(served.server.station)


def read(served, metrics):
    """Figures by name and labels."""

    async def page():
        return metrics.text().decode()

    found = {}
    for family in text_string_to_metric_families(served.loop.wait(page)):
        for sample in family.samples:
            found[sample.name, *sorted(sample.labels.values())] = sample.value
    return found


def test_the_process_the_feed_and_the_version(served, metrics):
    found = read(served, metrics)
    assert found["toolkit_build_info", __version__] == 1
    assert (found["toolkit_up",], found["toolkit_feed_stale",]) == (1, 0)
    assert found["toolkit_feed_age_seconds",] >= 0


def test_every_state_has_a_figure_and_they_count_the_accounts_and_orders(served, metrics, api):
    before = read(served, metrics)
    assert {key[1] for key in before if key[0] == "toolkit_trading_state"} == {str(s) for s in TradingState}
    assert {key[1] for key in before if key[0] == "toolkit_orders"} == {str(s) for s in OrdStatus}
    made = api.post("/v1/orders", json=served.order()).raise_for_status().json()
    after = read(served, metrics)
    grown = {key: after[key] - before[key] for key in before if key[0] == "toolkit_orders"}
    assert made["ord_status"] == "new"
    assert {key for key, more in grown.items() if more} == {("toolkit_orders", "new")}
    assert sum(value for key, value in after.items() if key[0] == "toolkit_trading_state") == 1


def test_a_halt_is_seen(served, metrics):
    station = served.server.station
    served.loop.wait(lambda: station.halt("test"))
    assert read(served, metrics)["toolkit_trading_state", "halted"] == 1
    served.loop.wait(lambda: station.resume("test"))
    assert read(served, metrics)["toolkit_trading_state", "halted"] == 0


def test_stages_are_seconds_and_ascend_with_the_quantile(served, metrics, api):
    api.post("/v1/orders", json=served.order()).raise_for_status()
    found = read(served, metrics)
    for stage in ("risk", "journal", "wire", "ack"):
        half, most = (found["toolkit_stage_seconds", q, stage] for q in ("0.5", "0.999"))
        assert 0 < half <= most < 60


def test_refusals_are_counted_by_code(served, metrics):
    metrics.refused.labels("bad_token").inc()
    assert read(served, metrics)["toolkit_api_refused_total", "bad_token"] == 1


def test_no_account_and_no_symbol_is_told(served, api):
    api.post("/v1/orders", json=served.order()).raise_for_status()
    page = api.get("/metrics").raise_for_status().text
    assert "toolkit_orders" in page
    assert re.search(r"PAPER|NIFTY|SENSEX|JUL2026", page) is None
