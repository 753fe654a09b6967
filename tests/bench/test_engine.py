"""The engine's benchmark: its parts do the work they are timed for, and every promised row is judged."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from toolkit.bench import engine as bench
from toolkit.bench import engine_calls, engine_journal, engine_link, engine_path, engine_peer, engine_whole
from toolkit.cli.bench import BENCHES
from toolkit.orders.monitor import Monitor
from toolkit.types import OrderRequest, Side


@pytest.fixture(scope="module")
def port():
    with engine_link.exchange() as made:
        yield made


def test_the_command_knows_it():
    assert BENCHES["engine"] == "toolkit.bench.engine"


def test_the_exchange_acknowledges_fills_rests_and_stays_quiet(port):
    request = OrderRequest(cl_ord_id="A1", symbol="X", side=Side.BUY, order_qty=65, price_p=10_000)
    with engine_link.dial(port) as link:
        quiet = engine_link.line_of(request)
        quiet.t = "quiet"
        link.sendall(engine_link.encode(quiet))
        engine_link.round_trip(link, engine_link.encode(engine_link.line_of(request)))
        resting = OrderRequest(
            cl_ord_id="A2", symbol="X", side=Side.BUY, order_qty=65, price_p=1, note=engine_link.REST
        )
        link.sendall(engine_link.encode(engine_link.line_of(resting)))
        told = b""
        while told.count(b"\n") < 2:
            told += link.recv(4096)
    assert b'"t":"ack","id":"A2"' in told
    assert b'"t":"new","id":"A2"' in told


def test_a_paced_run_counts_every_order_its_parts_and_the_floor(port, monkeypatch):
    monkeypatch.setattr(engine_path, "OPEN", 20)
    pace = asyncio.run(engine_path.paced(port, orders=30, per_s=500.0, warm=10))
    assert len(pace.whole) == len(pace.own) == len(pace.floor) == 30
    assert pace.open_orders == 20
    assert len(pace.warm) == 200
    assert (pace.warm > 0).all()
    assert (pace.own > 0).all()
    assert (pace.own + pace.commit + pace.wire <= pace.whole + 1_000).all()
    counted = {name: h.n for name, h in pace.monitor.latency().items()}
    assert counted == {"risk": 30, "journal": 30, "wire": 30, "ack": 30, "fill": 30, "total": 30}


def test_a_burst_shares_commits_and_fills_everything(port):
    found = asyncio.run(engine_path.burst(port, orders=1000, at_once=50, warm=100))
    assert len(found.seconds) == 1
    assert found.records >= 2000
    assert found.commits < 1000


def test_commits_within_a_window_are_cut_to_it():
    journal = SimpleNamespace(append=len)
    commits = engine_path.Commits(SimpleNamespace(journal=journal))
    commits.began, commits.ended = [100, 200, 300], [150, 260, 390]
    assert commits.within(120, 310) == 30 + 60 + 10
    assert commits.within(150, 200) == 0
    assert journal.append([1, 2]) == 2
    assert commits.records == 2


def test_the_journals_floor_writes_the_same_bytes(tmp_path):
    with engine_journal.desk(tmp_path) as desk:
        before = os.lseek(desk.file, 0, os.SEEK_CUR)
        desk.flush()
        assert os.lseek(desk.file, 0, os.SEEK_CUR) - before == len(desk.records[0].payload)
        desk.commit()
        desk.group()
        desk.insert()
        assert desk.journal.last_seq == 1 + engine_journal.GROUP
        assert desk.plain.execute("SELECT count(*) FROM r").fetchone() == (engine_journal.GROUP,)


def test_both_of_our_engines_fill_every_order_of_the_equal_work():
    assert len(engine_whole.pure(20)) == 20
    bare, kept = engine_whole.live(20, journal=False), engine_whole.live(20, journal=True)
    assert len(bare.told) == len(kept.told) == len(kept.filled) == 20
    assert all(0 < filled < told for filled, told in zip(kept.filled, kept.told, strict=True))


PEER = """
from types import SimpleNamespace


class Plain:
    def __init__(self, *values, **fields):
        self.values = values
        self.__dict__.update(fields)

    @classmethod
    def from_str(cls, text):
        return cls(float(text))

    from_int = from_str


Venue = Symbol = InstrumentId = Price = Quantity = Money = Plain
LoggingConfig = RiskEngineConfig = BacktestEngineConfig = Plain
AccountType = OmsType = SimpleNamespace(MARGIN="margin", NETTING="netting")
OrderSide = SimpleNamespace(BUY="buy", SELL="sell")
USD = "USD"
orders = []


class Equity(Plain):
    @property
    def id(self):
        return self.instrument_id


class QuoteTick:
    def __init__(self, instrument_id, bid_price, ask_price, bid_size, ask_size, ts_event, ts_init):
        self.bid_price, self.ask_price = bid_price, ask_price


class Strategy:
    def subscribe_quote_ticks(self, instrument_id):
        self.listens = True

    @property
    def order_factory(self):
        return self

    def limit(self, instrument_id, side, quantity, price):
        return SimpleNamespace(client_order_id=len(orders), side=side, price=price)

    def submit_order(self, order):
        orders.append((order.side, order.price.values[0]))
        self.on_order_filled(order)


class BacktestEngine:
    def __init__(self, config):
        self.steps = []

    def add_venue(self, **fields):
        self.steps.append("venue")

    def add_instrument(self, contract):
        self.steps.append("instrument")

    def add_data(self, ticks):
        self.ticks = ticks

    def add_strategy(self, strategy):
        self.strategy = strategy

    def run(self):
        assert self.steps == ["venue", "instrument"]
        self.strategy.on_start()
        for tick in self.ticks:
            self.strategy.on_quote_tick(tick)

    def dispose(self):
        self.ticks = self.strategy = None
"""
PEER_MODULES = (
    "config", "backtest.engine", "model.currencies", "model.data", "model.enums", "model.identifiers",
    "model.instruments", "model.objects", "trading.strategy",
)  # fmt: skip


@pytest.fixture
def peer(tmp_path, monkeypatch):
    """NautilusTrader; where it is not installed, a package with its names that fills every order."""
    if engine_peer.nautilus_installed():
        yield None
        return
    (tmp_path / "peer_names.py").write_text(PEER)
    for name in PEER_MODULES:
        path = tmp_path.joinpath("nautilus_trader", *name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        for folder in {path.parent, tmp_path / "nautilus_trader"}:
            (folder / "__init__.py").touch()
        path.write_text("from peer_names import *\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("peer_names")
    for name in [name for name in sys.modules if name.split(".")[0] in ("nautilus_trader", "peer_names")]:
        del sys.modules[name]


def test_the_peer_fills_every_order_of_the_equal_work(peer):
    assert engine_peer.nautilus_installed()
    took = engine_peer.nautilus(20)
    assert len(took) == 20
    assert min(took) > 0
    if peer is not None:
        assert peer.orders == [("buy", 100.05), ("sell", 99.95)] * 10


def test_both_brokers_and_both_libraries_place_at_the_bare_server():
    with engine_calls.server() as port:
        for calls in (engine_calls.kite_calls, engine_calls.xts_calls):
            with calls(port) as jobs:
                assert str(jobs["ours"]()) == str(jobs["library"]()) != ""
                jobs["raw"]()


def _pace(own_us: float) -> engine_path.Pace:
    def each(us: float):
        return np.full(200, us * 1e3).astype(np.int64)

    return engine_path.Pace(each(900), each(own_us), each(500), each(100), each(9), each(3), Monitor(), 0, 500)


def bench_missed(pace, work):
    result = bench.Result("engine")
    bench._path(result, pace, work)
    return result.missed


@pytest.mark.parametrize(("own_us", "missed"), [(44, 0), (149, 0), (151, 1)])
def test_the_own_part_is_judged_by_the_floor_of_the_same_run(own_us, missed):
    result = bench.Result("engine")
    bench._path(result, _pace(40), _pace(own_us))
    assert [row.job for row in result.rows] == ["own part, p50", "own part, work, p50", "own part, work, p99"]
    assert [len(bench_missed(_pace(own_us), _pace(40)))] == [own_us > 45]
    assert len(result.missed) == missed


@pytest.mark.parametrize(("grown", "missed"), [(2_000.0, 0), (5_000.0, 1)])
def test_memory_that_grows_is_a_miss(grown, missed):
    result = bench.Result("engine")
    bench._burst(result, engine_path.Burst([1e-3] * 8, 100, 20_000, grown))
    assert len(result.missed) == missed
    assert "1,000 orders a second" in result.notes[0]


@pytest.mark.parametrize(("ours", "ratio", "missed"), [(5.0, 2.0, 0), (6.5, 0.8, 2), (3.0, 2e6, 0)])
def test_a_call_is_judged_by_what_the_library_adds_to_a_bare_socket(monkeypatch, ours, ratio, missed):
    seconds = {"ours": [ours] * 2, "library": [4.0] * 2, "raw": [2.0] * 2}
    monkeypatch.setattr(bench, "interleave", lambda jobs, **more: {name: seconds[name] for name in jobs})
    result = bench.Result("engine")
    with engine_calls.server() as port:
        bench._calls(result, port)
    assert [(row.job, round(row.ratio, 3)) for row in result.rows] == [
        ("kite order call", ratio), ("xts order call", ratio)
    ]  # fmt: skip
    assert len(result.missed) == missed


def test_the_whole_engine_is_set_against_the_peer_and_the_peer_with_a_flush(monkeypatch):
    monkeypatch.setattr(bench, "pure", lambda n: [100_000] * n)
    monkeypatch.setattr(
        bench, "live", lambda n, journal: engine_whole.Lives([200_000] * n, [(900_000 if journal else 300_000)] * n)
    )
    monkeypatch.setattr(bench, "nautilus", lambda n: [250_000] * n)
    monkeypatch.setattr(bench, "_timed", lambda act: 150_000)
    monkeypatch.setattr(bench, "nautilus_installed", lambda: True)
    result = bench.Result("engine")
    bench._whole(result)
    assert [round(row.ratio, 3) for row in result.rows] == [2.5, 0.833, 2.0]
    assert len(result.missed) == 1
    monkeypatch.setattr(bench, "nautilus_installed", lambda: False)
    result = bench.Result("engine")
    bench._whole(result)
    assert result.rows == []
    assert "not installed here" in result.notes[0]
