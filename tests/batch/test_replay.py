import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import toolkit as tk
from toolkit.batch import replay as replay_module
from toolkit.batch.replay import Replay, replay
from toolkit.batch.stopwatch import STAGES
from toolkit.calendar import ist_date, ist_ns
from toolkit.config import share
from toolkit.errors import BadData
from toolkit.orders.core import Core
from toolkit.portfolio.charges import charges
from toolkit.portfolio.positions import positions
from toolkit.sim.generate import SessionPlan
from toolkit.store.journal import GENESIS, Journal, verify_file
from toolkit.store.session import open_session, write_tables
from toolkit.store.synthetic import write_synthetic
from toolkit.strategies import SHIPPED
from toolkit.strategies.protocol import Strategy
from toolkit.tables import charges as charge_schedule
from toolkit.types import Cancel, ExecType, OrdType, Place, Side, Target

REAL = ("data", "nse", "chain_NIFTY_20250827_20250829.parquet")
DAY = dt.date(2025, 8, 29)
NEAR = dt.date(2025, 9, 2)
NAMES = sorted(SHIPPED)
FILLS = [
    "exec_id",
    "cl_ord_id",
    "order_id",
    "account",
    "broker",
    "symbol",
    "exchange",
    "side",
    "last_qty",
    "last_px",
    "exec_ns",
]


@pytest.fixture(scope="module")
def sample():
    """The shipped sample session, opened once."""
    return open_session(share("data", "sample"))


@pytest.fixture(scope="module")
def runs(sample):
    """The sample replayed once by each shipped strategy."""
    return {name: replay(sample, name, underlying="NIFTY") for name in NAMES}


@pytest.fixture(scope="module")
def real(shared):
    """The real day as recorded, every expiry, with the strategy of the acceptance."""
    return replay(shared(*REAL), "oi-wall", underlying="NIFTY")


@pytest.fixture(scope="module")
def near(shared, tmp_path_factory):
    """The real day with the two nearest expiries only: the same stamps, a ninth of the rows."""
    raw = pl.read_parquet(shared(*REAL)).filter(pl.col("Expiry_Date") <= pl.date(2025, 9, 9))
    path = tmp_path_factory.mktemp("near") / "chain_NIFTY_near.parquet"
    raw.write_parquet(path)
    return path


def test_the_real_day_gives_the_published_figures(real):
    last = real.oi.filter(expiry=dt.date(2025, 9, 30)).row(-1, named=True)
    assert str(last["ts"]) == "2025-08-29 15:27:27+05:30"
    assert last["pcr"] == pytest.approx(1.176069, abs=5e-7)
    heat = real.heat
    assert heat["expiry"].unique().to_list() == [NEAR]
    assert real.settings["dates"] == "2025-08-29"


def test_open_interest_of_the_published_strike(shared):
    chain = open_session(shared(*REAL)).chain(underlying="NIFTY", expiry="2025-09-30")
    at = chain.filter(strike_p=2_500_000).with_columns((pl.col("oi") / pl.col("lot")).alias("contracts"))
    assert dict(zip(at["option_type"].cast(pl.String), at["contracts"], strict=True)) == {"CE": 76_618, "PE": 58_824}


def test_the_real_day_counts_what_was_odd(real):
    found = {row["rule"]: row for row in real.quality.iter_rows(named=True)}
    assert found["rows_read"]["count"] == 478_262
    assert found["repeated_stamp"]["count"] == 20
    assert found["holiday_copy"]["count"] == 7
    assert found["stale_copy"]["count"] == 1_534
    assert "no trading day" in found["stale_copy"]["detail"]
    assert (found["gap"]["count"], "10:15:47 to 10:34:17" in found["gap"]["detail"]) == (1, True)
    assert (found["strike_listed_mid_day"]["count"], "25300" in found["strike_listed_mid_day"]["detail"]) == (1, True)
    assert real.pnl.height == 306 - 14
    assert real.oi.height == 18 * real.pnl.height


def test_no_decision_is_taken_on_what_arrived_outside_the_session(real):
    opens, closes = ist_ns(DAY, dt.time(9, 15)), ist_ns(DAY, dt.time(15, 30))
    assert real.orders.height > 0
    assert real.orders["created_ns"].is_between(opens, closes).all()
    assert real.fills["exec_ns"].is_between(opens, closes).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_strategy_trades_the_sample_and_ends_flat(runs, name):
    run = runs[name]
    assert run.fills.height >= 4
    assert (run.positions["net_qty"] == 0).all()
    assert set(run.orders["ord_status"]) <= {"filled", "canceled"}
    assert run.settings["synthetic"] == "yes"


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_strategy_trades_the_real_day(near, name):
    run = replay(near, name)
    assert run.fills.height >= 4
    assert (run.positions["net_qty"] == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_books_agree_with_each_other(runs, name):
    run = runs[name]
    assert run.fills.columns == FILLS
    counted = positions(run.fills)
    assert counted["net_qty"].to_list() == run.positions["net_qty"].to_list()
    last = run.pnl.row(-1, named=True)
    assert counted["realized"].sum() == pytest.approx(last["realized"], abs=1e-9)
    assert last["gross"] == pytest.approx(last["realized"] + last["unrealized"])
    assert last["net"] == pytest.approx(last["gross"] - last["charges"])
    notes = charges(run.fills, None, schedule=charge_schedule())
    assert notes.equals(run.charges)
    assert notes["total"].sum() == pytest.approx(last["charges"])
    by_order = run.fills.group_by("cl_ord_id").agg(pl.col("last_qty").sum()).sort("cl_ord_id")
    traded = run.orders.filter(pl.col("cum_qty") > 0).sort("cl_ord_id")
    assert by_order["last_qty"].to_list() == traded["cum_qty"].to_list()


@pytest.mark.parametrize("name", NAMES)
def test_fills_stay_within_their_limits(runs, name):
    joined = runs[name].fills.join(runs[name].orders.select("cl_ord_id", "price", "order_qty"), on="cl_ord_id")
    assert joined.height == runs[name].fills.height
    buys, sells = joined.filter(side="BUY"), joined.filter(side="SELL")
    assert (buys["last_px"] <= buys["price"]).all()
    assert (sells["last_px"] >= sells["price"]).all()
    assert (joined["exec_ns"] > joined["cl_ord_id"].replace_strict(_created(runs[name]))).all()


def _created(run):
    return dict(zip(run.orders["cl_ord_id"], run.orders["created_ns"], strict=True))


def test_every_order_has_its_life(runs):
    run = runs["short-straddle"]
    for order in run.orders.iter_rows(named=True):
        life = run.order_events.filter(cl_ord_id=order["cl_ord_id"])
        assert life["seq"].to_list() == list(range(1, life.height + 1))
        assert life["exec_type"][0] == "new"
        assert life["ts_ns"].is_sorted()
        assert life["ord_status"][-1] == order["ord_status"]
        assert life["last_qty"].sum() == order["cum_qty"]


def test_a_position_shows_its_greeks_and_its_margin(runs):
    run = runs["short-straddle"]
    held = run.pnl.filter(pl.col("unrealized") != 0)
    assert held.height > 100
    assert (held["theta"].drop_nulls() > 0).mean() > 0.9
    assert (held["margin"] > 50_000).mean() > 0.99
    flat = run.pnl.row(-1, named=True)
    assert (flat["delta"], flat["margin"]) == (0.0, 0.0)


def test_summary_is_plain_and_complete(runs):
    summary = runs["oi-wall"].summary()
    assert summary["net"] == runs["oi-wall"].pnl["net"][-1]
    assert summary["max_drawdown"] <= 0
    assert summary["dates"] == ["2026-07-13"]
    assert summary["synthetic"] is True
    assert summary["quality_count"] > 0


def test_the_time_is_accounted_for_by_stage(runs):
    seconds = runs["oi-wall"].seconds
    assert tuple(seconds) == STAGES
    assert all(value >= 0 for value in seconds.values())
    assert seconds["OI levels"] > 0


def test_top_level_names(sample):
    assert tk.replay is replay
    assert tk.Replay is Replay
    assert isinstance(tk.open_session(share("data", "sample")), type(sample))


def truncated(near, tmp_path, column, cut):
    path = tmp_path / "cut.parquet"
    pl.read_parquet(near).filter(pl.col(column) <= cut).write_parquet(path)
    return path


@pytest.mark.parametrize(
    ("column", "steps"),
    [
        ("collection_timestamp", {"short-straddle": 20, "oi-wall": 60, "iron-condor": 100}),
        ("Fetch_Time", {"short-straddle": 60, "oi-wall": 100, "iron-condor": 140}),
    ],
)
def test_no_look_ahead(near, tmp_path, column, steps):
    """Cut the session at every 20th snapshot: what was decided and filled before is the same."""
    params = {"band": 0.5, "confirm": 2, "min_credit": 0.0}
    raw = pl.read_parquet(near).filter(pl.col("collection_timestamp").dt.date() == DAY)
    stamps = raw[column].unique().sort()
    for name in NAMES:
        known = {key: value for key, value in params.items() if key in tk_params(name)}
        whole = replay(near, name, **known)
        for cut in stamps.gather_every(steps[name], offset=20):
            part = replay(truncated(near, tmp_path, column, cut), name, **known)
            now_ns = int(part.pnl["ts"].dt.epoch("us")[-1]) * 1000
            early = whole.orders.filter(pl.col("created_ns") <= now_ns)
            asked = ["cl_ord_id", "symbol", "side", "order_qty", "price", "ord_type", "created_ns", "note"]
            assert part.orders.select(asked).equals(early.select(asked)), (name, column, cut)
            for frame, at in (("fills", "exec_ns"), ("order_events", "ts_ns")):
                mine, theirs = (getattr(run, frame).filter(pl.col(at) <= now_ns) for run in (part, whole))
                assert mine.equals(theirs), (name, column, cut, frame)
            assert part.pnl.equals(whole.pnl.head(part.pnl.height)), (name, column, cut)
            assert part.oi.equals(whole.oi.head(part.oi.height)), (name, column, cut)


def tk_params(name):
    from toolkit.strategies import shipped

    return shipped(name).params


RUN = """
import sys
from pathlib import Path
from toolkit.batch.replay import replay
out = Path(sys.argv[2]); out.mkdir()
result = replay(sys.argv[1], "short-straddle", underlying="NIFTY", seed=3, journal=out / "journal.db")
result.write(out)
"""


def test_bytes_do_not_depend_on_zone_locale_or_hash_seed(tmp_path):
    places = [
        ("one", {"TZ": "Asia/Kolkata", "LC_ALL": "C", "PYTHONHASHSEED": "1"}),
        ("two", {"TZ": "America/St_Johns", "LC_ALL": "de_DE.UTF-8", "PYTHONHASHSEED": "2"}),
    ]
    for name, env in places:
        command = [sys.executable, "-c", RUN, str(share("data", "sample")), str(tmp_path / name)]
        subprocess.run(command, check=True, env={**os.environ, **env}, cwd=Path(tk.__file__).parents[1])
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert {"journal.db", "report.html", "oi.parquet", "orders.csv", "fills.csv", "positions.csv", "pnl.csv"} == set(
        files
    )
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_the_seed_moves_the_latency_and_nothing_else(sample, runs):
    other = replay(sample, "oi-wall", underlying="NIFTY", seed=8)
    assert other.fills["exec_ns"].to_list() != runs["oi-wall"].fills["exec_ns"].to_list()
    assert other.fills["last_px"].to_list() == runs["oi-wall"].fills["last_px"].to_list()


def test_the_journal_rebuilds_the_book(sample, tmp_path, runs):
    path = tmp_path / "journal.db"
    run = replay(sample, "iron-condor", underlying="NIFTY", journal=path)
    assert run.orders.equals(runs["iron-condor"].orders)
    assert verify_file(path).state == "sound"
    with Journal(path, account="PAPER", day="2026-07-13") as journal:
        entries = list(journal.records())
    core = Core.replay([entry.record for entry in entries])
    assert [o.cl_ord_id for o in core.orders.values()] == run.orders["cl_ord_id"].to_list()
    assert [f.exec_id for f in core.fills.values()] == run.fills["exec_id"].to_list()
    assert entries[0].prev_hash == GENESIS
    first = {entry.cl_ord_id: entry.seq for entry in reversed(entries)}
    kinds = {entry.seq: entry.kind for entry in entries}
    assert all(kinds[first[order]] == "order" for order in run.orders["cl_ord_id"])


class Probe(Strategy):
    """Tries what a strategy may do and remembers what it saw."""

    name = "probe"

    def __init__(self, script=None):
        super().__init__()
        self.script = script or {}
        self.seen, self.reports, self.seconds, self.count = [], [], [], 0

    def on_chain(self, view):
        self.count += 1
        self.seen.append((view.now_ns, view.chain().recv_ns, view.spot, len(view.expiries())))
        return self.script.get(self.count, lambda view: ())(view)

    def on_report(self, report):
        self.reports.append(report)
        return ()


class Clocked(Probe):
    """Hears the clock too."""

    def on_clock(self, now_ns):
        self.seconds.append(now_ns)
        return ()


def atm(view, side=Side.SELL, qty=None, **more):
    chain = view.chain()
    return Place(symbol=chain.symbol(chain.atm, "CE"), side=side, order_qty=qty or chain.lot, **more)


def test_a_view_is_never_from_the_future(sample):
    probe = Probe()
    replay(sample, probe, underlying="NIFTY")
    assert all(recv <= now for now, recv, _, _ in probe.seen)
    times = [now for now, *_ in probe.seen]
    assert times == sorted(times)


def test_the_clock_ticks_each_second_of_the_session_once(near):
    probe = Clocked()
    replay(near, probe)
    opens, closes = ist_ns(DAY, dt.time(9, 15)), ist_ns(DAY, dt.time(15, 30))
    assert probe.seconds == list(range(opens, closes, 10**9))


def test_denials_reach_the_strategy_and_the_frames(sample):
    probe = Probe({3: lambda view: [atm(view, qty=1, price_p=5), Place(symbol="NOPE", side=Side.BUY, order_qty=1)]})
    run = replay(sample, probe, underlying="NIFTY")
    assert [r.exec_type for r in probe.reports] == [ExecType.DENIED, ExecType.DENIED]
    assert run.orders["ord_status"].to_list() == ["denied", "denied"]
    assert run.fills.height == 0
    assert run.summary()["denied"] == 2
    assert all(text for text in run.orders["text"])


def test_market_target_and_cancel_go_through_the_same_engine(sample):
    def target(view):
        chain = view.chain()
        return [Target(symbol=chain.symbol(chain.atm, "PE"), net_qty=-chain.lot, note="aim")]

    resting = {}

    def rest(view):
        place = atm(
            view, Side.BUY, ord_type=OrdType.LIMIT, price_p=int(view.chain().ce.bid[view.chain().atm] * 70) // 5 * 5
        )
        return [place]

    def withdraw(view):
        resting["orders"] = view.orders()
        return [Cancel(cl_ord_id=order.cl_ord_id) for order in view.orders()]

    probe = Probe(
        {5: lambda view: [atm(view, ord_type=OrdType.MARKET)], 9: target, 12: rest, 14: withdraw, 16: withdraw}
    )
    run = replay(sample, probe, underlying="NIFTY")
    assert run.orders["ord_status"].to_list() == ["filled", "filled", "canceled"]
    assert resting["orders"] == ()
    assert sorted(run.positions["net_qty"].to_list()) == [-65, -65]
    assert run.summary()["open_positions"] == 2
    assert run.orders["note"].to_list() == [None, "aim", None]


def test_a_day_order_expires_at_the_close(sample):
    probe = Probe(
        {300: lambda view: [atm(view, Side.BUY, price_p=int(view.chain().ce.bid[view.chain().atm] * 62) // 5 * 5)]}
    )
    run = replay(sample, probe, underlying="NIFTY")
    assert run.orders["ord_status"].to_list() == ["expired"]
    closes = ist_ns(dt.date(2026, 7, 13), dt.time(15, 30))
    assert run.order_events["exec_type"].to_list() == ["new", "expired"]
    assert run.order_events["ts_ns"][-1] >= closes


class Ticker(Probe):
    """Hears ticks, buys on one and remembers what the chain showed then."""

    name = "ticker"

    def __init__(self):
        super().__init__()
        self.ticks = []

    def on_tick(self, view):
        chain = view.chain()
        self.ticks.append((view.now_ns, float(chain.ce.bid[chain.atm]), chain.recv_ns))
        return [atm(view, Side.BUY, ord_type=OrdType.MARKET)] if len(self.ticks) == 50 else ()


def test_ticks_are_heard_between_snapshots_and_move_the_market(sample):
    ticker = Ticker()
    run = replay(sample, ticker, underlying="NIFTY")
    recorded = sample.frame("ticks", "NIFTY")
    times = [now for now, _, _ in ticker.ticks]
    assert times == sorted(times)
    assert set(recorded["recv_ts"].dt.epoch("us") * 1000) <= set(times)
    assert all(known <= now for now, _, known in ticker.ticks)
    between = {known: set() for _, _, known in ticker.ticks}
    for _, bid, known in ticker.ticks:
        between[known].add(bid)
    assert max(len(bids) for bids in between.values()) > 5
    (fill,) = run.fills.iter_rows(named=True)
    assert times[49] < fill["exec_ns"] < times[49] + 10**9


def test_no_look_ahead_with_ticks(sample, tmp_path):
    """The sample cut in the middle of its ticks, by receive stamp: everything before is the same."""
    whole = replay(sample, Ticker(), underlying="NIFTY")
    for minute in (3, 25, 59):
        cut = dt.datetime(2026, 7, 13, 11, minute, 30)
        known = pl.coalesce("recv_ts", "ts").dt.replace_time_zone(None) <= cut
        parts = {name: sample.frame(name).filter(known) for name in ("chain", "ticks", "futures", "spot")}
        write_tables(tmp_path / f"cut{minute}", {**parts, "instruments": sample.instruments()}, {"synthetic": True})
        part = replay(tmp_path / f"cut{minute}", Ticker(), underlying="NIFTY")
        now_ns = ist_ns(cut.date(), cut.time())
        asked = ["cl_ord_id", "symbol", "price"]
        early = whole.orders.filter(pl.col("created_ns") <= now_ns)
        assert part.orders.filter(pl.col("created_ns") <= now_ns).select(asked).equals(early.select(asked))
        for frame, at in (("fills", "exec_ns"), ("order_events", "ts_ns")):
            mine, theirs = (getattr(run, frame).filter(pl.col(at) <= now_ns) for run in (part, whole))
            assert mine.equals(theirs), (minute, frame)
        assert part.pnl.equals(whole.pnl.head(part.pnl.height))


class Broken(Strategy):
    name = "broken"

    def on_chain(self, view):
        return 1 / 0


def test_a_strategy_that_fails_is_named_with_the_time(sample):
    with pytest.raises(BadData, match=r"strategy 'broken' failed at 2026-07-13 09:1\d:\d\d IST: ZeroDivisionError"):
        replay(sample, Broken, underlying="NIFTY")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, r"holds NIFTY, SENSEX; name one"),
        ({"underlying": "NIFTI"}, r"no underlying 'NIFTI'.*did you mean 'NIFTY'\?"),
        ({"underlying": "NIFTY", "date": "2026-07-14"}, r"2026-07-14 is not in the session"),
        ({"underlying": "NIFTY", "date": "2026-07-12"}, r"2026-07-12 is no trading day"),
        ({"underlying": "NIFTY", "date": "yesterday"}, r"date must be YYYY-MM-DD, was 'yesterday'"),
        ({"underlying": "NIFTY", "latency_ms": -1}, r"latency must lie in 0 to 60000 ms, was -1"),
        ({"underlying": "NIFTY", "capital": 0}, r"capital must be above 0 rupees, was 0"),
        ({"underlying": "NIFTY", "lotz": 1}, r"no parameter 'lotz'; did you mean 'lots'\?"),
    ],
)
def test_wrong_requests_are_one_clear_line(sample, options, text):
    with pytest.raises(BadData, match=text) as caught:
        replay(sample, "oi-wall", **options)
    assert "\n" not in str(caught.value)


def test_a_missing_session_is_one_clear_line():
    with pytest.raises(BadData, match=r"nothing\.parquet"):
        replay("nothing.parquet", "oi-wall")


def test_a_session_of_holiday_copies_is_refused(shared, tmp_path):
    raw = pl.read_parquet(shared(*REAL)).filter(pl.col("Fetch_Time").dt.date() < DAY)
    raw.write_parquet(tmp_path / "holiday.parquet")
    text = r"nothing to replay for NIFTY on 2025-08-26: only copies .* received on 2025-08-27, which is no trading day"
    with pytest.raises(BadData, match=text):
        replay(tmp_path / "holiday.parquet", "oi-wall")


def test_an_end_of_day_file_has_no_course_of_the_day(shared):
    path = shared("data", "nse", "fo_udiff_eod_202502a.parquet")
    with pytest.raises(BadData, match="end-of-day figures only"):
        replay(path, "oi-wall", underlying="NIFTY", date="2025-02-12")


@pytest.fixture(scope="module")
def two_days(tmp_path_factory):
    """Two synthetic days of NIFTY, the second an expiry day."""
    path = tmp_path_factory.mktemp("two") / "store"
    plan = SessionPlan(
        days=2, underlyings=("NIFTY",), each_side=(12, 6), weeklies=(2,), monthlies=(1,), tick_start=None
    )
    write_synthetic(path, plan)
    return open_session(path)


class Holder(Strategy):
    """Sells one lot of the nearest call at the money on the first day and buys a put; holds both into expiry."""

    name = "holder"

    def __init__(self):
        super().__init__()
        self.days, self.carried = [], {}

    def on_chain(self, view):
        day = str(ist_date(view.now_ns))
        if day in self.days:
            return ()
        self.days.append(day)
        if len(self.days) > 1:
            self.carried = dict(view.positions())
            return ()
        chain = view.chain()
        deep = len(chain.strikes) - 1
        return [
            Place(symbol=chain.symbol(0, "CE"), side=Side.SELL, order_qty=chain.lot, ord_type=OrdType.MARKET),
            Place(symbol=chain.symbol(deep, "PE"), side=Side.BUY, order_qty=chain.lot, ord_type=OrdType.MARKET),
        ]


def test_positions_are_carried_over_night_and_settled_at_expiry(two_days):
    holder = Holder()
    run = replay(two_days, holder)
    assert holder.days == ["2026-07-13", "2026-07-14"]
    assert sorted(holder.carried.values()) == [-65, 65]
    assert (run.positions["net_qty"] == 0).all()
    assert run.fills["exec_id"].n_unique() == 4
    closing = run.fills.filter(cl_ord_id="EXPIRY")
    level = two_days.frame("eod", "NIFTY").filter(date=dt.date(2026, 7, 14), expiry=dt.date(2026, 7, 14))
    final = level["final_settlement"].drop_nulls()[0]
    for row in closing.iter_rows(named=True):
        strike, kind = row["symbol"].split()[2:]
        worth = final - float(strike) if kind == "CE" else float(strike) - final
        assert row["last_px"] == pytest.approx(max(worth, 0.0), abs=0.006)
    found = {row["rule"]: row for row in run.quality.iter_rows(named=True)}
    assert found["settled_at_expiry"]["count"] == 2
    assert "official settlement value" in found["settled_at_expiry"]["detail"]
    last = run.pnl.row(-1, named=True)
    assert last["unrealized"] == 0.0
    assert last["charges"] == pytest.approx(run.charges["total"].sum())
    put = closing.filter(side="SELL").row(0, named=True)
    tax = run.charges.filter(date=dt.date(2026, 7, 14)).row(0, named=True)
    assert tax["stt"] == round(put["last_qty"] * put["last_px"] * 0.0015)
    assert tax["brokerage"] == 0.0


def test_each_day_has_its_own_linked_journal(two_days, tmp_path):
    run = replay(two_days, "short-straddle", journal=tmp_path / "journal.db")
    first, second = tmp_path / "journal-2026-07-13.db", tmp_path / "journal.db"
    assert verify_file(first).state == "sound"
    assert verify_file(second).state == "sound"
    with (
        Journal(first, account="PAPER", day="2026-07-13") as one,
        Journal(second, account="PAPER", day="2026-07-14") as two,
    ):
        assert next(iter(two.records())).prev_hash == one.last_hash
    assert {str(ist_date(at)) for at in run.orders["created_ns"]} == {"2026-07-13", "2026-07-14"}
    assert run.fills["exec_id"].n_unique() == run.fills.height
    assert (run.positions["net_qty"] == 0).all()


def test_one_day_of_two(two_days):
    run = replay(two_days, "short-straddle", date="2026-07-14")
    assert run.settings["dates"] == "2026-07-14"
    assert {str(ist_date(at)) for at in run.orders["created_ns"]} == {"2026-07-14"}


def test_too_little_money_is_denied_by_the_margin_estimate(sample):
    run = replay(sample, "short-straddle", underlying="NIFTY", capital=20_000.0)
    assert run.fills.height == 0
    assert set(run.orders["ord_status"]) == {"denied"}
    assert "margin" in run.orders["text"][0]


def test_progress_counts_every_snapshot(sample):
    told = []
    run = replay(sample, "oi-wall", underlying="NIFTY", progress=lambda *step: told.append(step))
    assert [done for done, _, _ in told] == list(range(1, run.pnl.height + 1))
    assert {total for _, total, _ in told} == {run.pnl.height}


def test_no_name_is_left_out_of_the_module():
    assert replay_module.__all__ == ["Replay", "replay"]
