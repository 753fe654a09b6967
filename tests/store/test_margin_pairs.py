"""Pairs of margins: kept once, read back, and summed up as errors."""

from __future__ import annotations

import math

import msgspec
import pytest

from toolkit.errors import BadData
from toolkit.store.margin_pairs import MarginPair, MarginPairs

PAIR = MarginPair(
    at_ns=1, broker="kite", exchange="NSE", basket="-65 NIFTY 24FEB2026 25000 CE", ours=1_03_000.0, theirs=1_00_000.0,
    span_ours=70_000.0, span_theirs=68_000.0, exposure_ours=33_000.0, exposure_theirs=32_000.0, calibrated=True,
    source="SPAN-like, calibrated inputs",
)  # fmt: skip


def pair(at, ours, **more):
    return msgspec.structs.replace(PAIR, at_ns=at, ours=ours, **more)


@pytest.fixture
def pairs(tmp_path):
    return MarginPairs(tmp_path / "home" / "margins.db")


def test_a_pair_is_read_back_as_it_was(pairs):
    pairs.keep(PAIR)
    pairs.keep(PAIR)
    frame = pairs.frame()
    assert frame.height == 1
    assert frame.row(0, named=True) == msgspec.to_builtins(PAIR) | {"error": pytest.approx(0.03)}


def test_errors_are_absolute_and_by_broker_and_exchange(pairs):
    for n in range(1, 21):
        pairs.keep(pair(n, 1_00_000.0 + (-1) ** n * n * 1000.0))
    pairs.keep(pair(99, 5_00_000.0, broker="xts-pro", exchange="BSE", calibrated=False))
    found = pairs.errors("kite")
    assert (found.pairs, found.median, found.worst) == (20, pytest.approx(0.105), pytest.approx(0.20))
    assert found.p95 == pytest.approx(0.1905)
    assert found.text == "our margin against the broker's over 20 baskets: median 10.50%, p95 19.05%, worst 20.00%"
    assert pairs.errors(exchange="BSE").median == pytest.approx(4.0)
    assert pairs.errors(calibrated=True).pairs == 20


def test_without_pairs_nothing_is_said(pairs):
    found = pairs.errors()
    assert found.pairs == 0
    assert math.isnan(found.median)
    assert found.text == "no pair is kept yet"
    assert not pairs.path.exists()


@pytest.mark.parametrize("more", [{"theirs": 0.0}, {"theirs": math.nan}, {"ours": math.inf}])
def test_a_figure_that_is_none_is_not_kept(pairs, more):
    with pytest.raises(BadData, match="two margins in rupees"):
        pairs.keep(msgspec.structs.replace(PAIR, **more))


def test_a_damaged_file_is_named(pairs):
    pairs.path.parent.mkdir()
    pairs.path.write_bytes(b"no database at all, whatever its name says")
    for act in (pairs.errors, lambda: pairs.keep(PAIR)):
        with pytest.raises(BadData, match=r"margins\.db"):
            act()
