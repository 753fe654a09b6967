"""One strategy object: replayed, and run by an engine process on paper over the same recorded morning."""

from __future__ import annotations

import datetime as dt
import time

import pytest

import toolkit as tk
from toolkit.cli.app import run
from toolkit.config import Settings, share
from toolkit.desk import Desk
from toolkit.desk_backends import Local, Loop
from toolkit.serve.build import Plan, build

IST = dt.timezone(dt.timedelta(hours=5, minutes=30))
PARAMS = {"lots": 1}


@pytest.fixture(scope="module")
def replayed():
    return tk.replay(tk.open_session(share("data", "sample")), "short-straddle", underlying="NIFTY", **PARAMS)


def opening(orders) -> list[tuple[str, str, int]]:
    """The decision that opens the position: the orders of the first stamp."""
    first = orders.filter(orders["created_ns"] == orders["created_ns"].min())
    return sorted(first.select("symbol", "side", "order_qty").iter_rows())


def test_the_engine_opens_what_the_replay_opened(replayed, tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path / "home"))
    began = dt.datetime.fromtimestamp(replayed.orders["created_ns"].min() / 1e9, IST)
    at = (began - dt.timedelta(seconds=20)).strftime("%Y-%m-%dT%H:%M:%S")
    tree = Settings.load(options={"engine": {"speed": 10.0}})
    loop = Loop("test-strategy")

    async def start() -> Local:
        built = await build(Plan(at=at, strategy="short-straddle", params=PARAMS, store=tmp_path), tree)
        await built.station.start()

        async def close() -> None:
            await built.station.stop()
            await built.close()

        return Local(built.station, close)

    with Desk(loop.wait(start), loop) as desk:
        end_at = time.monotonic() + 40
        while desk.orders().height < len(opening(replayed.orders)):
            assert time.monotonic() < end_at, "the strategy did not open"
            time.sleep(0.1)
        asked = [e["payload"]["asked"] for e in desk.past_events() if e["kind"] == "order"]
        assert {one["algo"] for one in asked} == {"short-straddle"}
        assert opening(desk.orders()) == opening(replayed.orders)
        kept = [e["cl_ord_id"] for e in desk.past_events() if e["kind"] == "strategy"]
        assert set(kept) == {"short-straddle"}


@pytest.mark.usefixtures("own_leases")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--strategy", "short-stradle"], "did you mean 'short-straddle'"),
        (["--strategy", "short-straddle", "--param", "lot=2"], "did you mean 'lots'"),
        (["--strategy", "short-straddle", "--param", "lots"], "must be key=value"),
    ],
)
def test_a_wrong_strategy_or_parameter_is_one_line(words, says, capsys):
    assert run(["serve", "--port", "0", *words]) in (1, 2)
    err = capsys.readouterr().err
    assert says in err
    assert len(err.strip().splitlines()) == 1
