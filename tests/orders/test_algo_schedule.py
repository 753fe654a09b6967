"""TWAP, VWAP, POV and iceberg against the real core and the simulated exchange."""

from __future__ import annotations

import itertools
import math

import msgspec
import pytest

from toolkit.errors import BadData
from toolkit.orders.algo_schedule import curve_of
from toolkit.types import OrdStatus

SECOND = 10**9


def test_twap_sends_its_slices_on_time_and_crosses_what_waits(floor):
    f = floor()
    f.run("twap duration_s=100 slices=5 cross_s=10", f.leg(f.call, "BUY", 750))
    assert [o.request.order_qty for o in f.kids] == [150]
    assert f.kids[0].request.price_p == 9950, "it joins the bid"
    f.wait(10)
    assert f.filled(f.call, "BUY") == 150, "after ten seconds it crosses"
    f.wait(9)
    assert len(f.kids) == 1
    f.wait(1)
    assert len(f.kids) == 2
    f.wait(90)
    assert f.filled(f.call, "BUY") == 750
    assert f.done
    assert f.text.startswith("filled; 750 of 750")
    began = f.kids[0].created_ns
    assert [(o.created_ns - began) // SECOND for o in f.kids] == [0, 20, 40, 60, 80]


def test_twap_in_few_lots_sends_whole_lots_only(floor):
    f = floor()
    f.run("twap duration_s=60 slices=6 style=cross", f.leg(f.call, "SELL", 225))
    f.wait(60)
    assert [o.request.order_qty for o in f.kids] == [75, 75, 75]
    assert f.done


def test_twap_never_goes_past_the_limit_and_gives_up_when_time_is_up(floor):
    f = floor()
    f.run("twap duration_s=20 slices=2 style=cross grace_s=10", f.leg(f.call, "BUY", 150, price=100.2))
    f.wait(20)
    assert f.filled(f.call, "BUY") == 0
    assert {o.request.price_p for o in f.open} == {10020}
    f.wait(10)
    assert f.done
    assert f.open == []
    assert f.text == f"time is up; 0 of 150 {f.call}"


def test_twap_waits_on_a_stale_quote_and_says_so(floor):
    f = floor(max_quote_age_s=5.0)
    f.run("twap duration_s=40 slices=4 style=cross", f.leg(f.call, "BUY", 300))
    f.wait(15, fresh=False)
    assert f.filled(f.call, "BUY") == 75
    assert "waiting: no fresh quote" in f.text
    f.quotes(101.0)
    assert f.filled(f.call, "BUY") == 150
    assert "waiting" not in f.text


def test_a_crossed_quote_is_no_quote(floor):
    f = floor()
    f.quote(f.call, 100.0, half=-0.5)
    f.run("twap duration_s=40 slices=4", f.leg(f.call, "BUY", 300, price=105.0))
    assert f.kids == []
    assert "waiting: crossed quote" in f.text


def test_twap_counts_an_unknown_slice_as_traded_and_never_replaces_it(floor):
    f = floor()
    f.lost[1] = "drop"
    f.run("twap duration_s=20 slices=2 style=cross", f.leg(f.call, "BUY", 150))
    f.wait(60)
    assert [o.ord_status for o in f.kids] == [OrdStatus.UNKNOWN, OrdStatus.FILLED]
    f.wait(30)
    assert not f.done
    assert "1 of them unknown: reconcile" in f.text
    assert len(f.kids) == 2


def test_an_unknown_slice_that_was_placed_counts_when_it_is_seen(floor):
    f = floor(latency_ns=3 * SECOND)
    f.lost[1] = "mute"
    f.run("twap duration_s=20 slices=2 style=cross", f.leg(f.call, "BUY", 150))
    assert f.kids[0].ord_status is OrdStatus.UNKNOWN
    f.wait(40)
    assert f.filled(f.call, "BUY") == 150
    assert f.done


def test_denied_children_wait_and_then_stop_the_algorithm(floor):
    f = floor()
    f.run("twap duration_s=10 slices=2 style=cross retry_s=5 max_refusals=3", f.leg(f.call, "BUY", 150))
    f.perform(f.core.set_limits(f.now, msgspec.structs.replace(f.limits, restricted=("NIFTY",))))
    f.wait(9)
    assert [o.ord_status for o in f.kids] == [OrdStatus.FILLED, OrdStatus.DENIED]
    assert "waiting after a refusal" in f.text
    f.wait(20)
    refused = f.kids[1:]
    assert [o.ord_status for o in refused] == [OrdStatus.DENIED] * 3
    assert f.done
    assert "stopped: 3 orders" in f.text
    assert {round((b.created_ns - a.created_ns) / SECOND) for a, b in itertools.pairwise(refused)} == {5}


def test_a_child_withdrawn_elsewhere_is_a_refusal(floor):
    f = floor()
    f.run("twap duration_s=600 slices=1 cross_s=0", f.leg(f.call, "BUY", 75))
    f.perform(f.core.cancel(f.now, f.kids[0].cl_ord_id))
    f.settle(f.now)
    assert len(f.kids) == 1
    f.wait(4)
    assert len(f.kids) == 1
    f.wait(2)
    assert len(f.kids) == 2


def test_cancel_withdraws_and_is_done_when_the_last_child_is_closed(floor):
    f = floor(latency_ns=SECOND)
    f.run("twap duration_s=600 slices=1 cross_s=0", f.leg(f.call, "BUY", 750))
    f.wait(3)
    f.cancel()
    assert not f.done
    f.wait(3)
    assert f.done
    assert f.open == []
    assert f.text.startswith("canceled; 0 of 750")


def test_a_fill_that_races_the_cancel_counts(floor):
    f = floor(latency_ns=2 * SECOND)
    f.run("twap duration_s=600 slices=1 cross_s=0", f.leg(f.call, "BUY", 750))
    f.wait(5)
    f.cancel()
    f.quote(f.call, 98.0)
    f.wait(6)
    assert f.kids[0].ord_status is OrdStatus.FILLED
    assert f.done
    assert f.text.startswith("canceled; 750 of 750")


def test_a_parent_that_is_no_whole_lot_is_denied(floor):
    f = floor()
    f.run("twap", f.leg(f.call, "BUY", 100))
    assert [(d.rule, d.limit, d.value) for d in f.core.denials[f.parent]] == [("lot", 75, 100)]
    assert f.core.orders[f.parent].ord_status is OrdStatus.DENIED
    assert f.sent == []


def test_a_parent_whose_lot_has_changed_is_stopped(floor):
    f = floor()
    f.run("twap duration_s=60 slices=2", f.leg(f.call, "BUY", 150))
    f.core.book.add([msgspec.structs.replace(i, lot=40) for i in f.instruments])
    f.wait(1)
    assert "must be a multiple of the lot 40, was 150" in f.text
    f.wait(3)
    assert f.done
    assert f.open == []


def test_a_window_ends_with_the_session(floor):
    f = floor()
    f.now = f.core.book.session[1] - 100 * SECOND
    f.quotes(100.0)
    f.run("twap duration_s=3600 slices=10 style=cross", f.leg(f.call, "BUY", 750))
    f.wait(99)
    assert f.filled(f.call, "BUY") == 750, "the window is cut at the close"


def test_before_the_open_it_is_denied_like_an_order(floor):
    f = floor()
    f.now = f.core.book.session[0] - 60 * SECOND
    f.quotes(100.0)
    f.run("twap duration_s=60 slices=2 style=cross", f.leg(f.call, "BUY", 150))
    assert [d.rule for d in f.core.denials[f.parent]] == ["session"]


def test_one_at_work_waits_for_the_open(floor):
    f = floor()
    f.run("twap duration_s=60 slices=2 style=cross", f.leg(f.call, "BUY", 150))
    assert len(f.kids) == 1
    _, close_ns = f.core.book.session
    f.core.book.session = (f.now + 60 * SECOND, close_ns)
    f.wait(50)
    assert len(f.kids) == 1
    assert "waiting for the session to open" in f.text
    f.wait(11)
    assert len(f.kids) == 2


def test_what_is_open_at_the_close_expires_and_ends_it(floor):
    f = floor()
    f.now = f.core.book.session[1] - 10 * SECOND
    f.quotes(100.0)
    f.run("iceberg", f.leg(f.call, "BUY", 75, price=90.0))
    f.wait(12)
    assert f.kids[0].ord_status is OrdStatus.EXPIRED
    assert f.done
    assert f.text.startswith("the session closed")


def test_large_slices_are_cut_to_the_legal_quantity(floor):
    f = floor(freeze=151)
    f.run("twap slices=1 style=cross", f.leg(f.call, "BUY", 600))
    f.wait(30)
    assert f.filled(f.call, "BUY") == 600
    assert all(o.ord_status is OrdStatus.FILLED for o in f.kids), "no slice was denied as a repeat"
    assert max(o.request.order_qty for o in f.kids) == 150


def test_vwap_follows_its_curve(floor):
    f = floor()
    f.quotes(100.0, qty=100_000)
    f.run("vwap curve=1,0,3 duration_s=60 every_s=1 style=cross", f.leg(f.call, "BUY", 3000))
    f.wait(20)
    assert f.filled(f.call, "BUY") == 750
    f.wait(20)
    assert f.filled(f.call, "BUY") == 750, "the middle third has no weight"
    f.wait(10)
    assert f.filled(f.call, "BUY") == 1875
    f.wait(20)
    assert f.filled(f.call, "BUY") == 3000


def test_vwap_looks_only_every_so_often(floor):
    f = floor()
    f.run("vwap duration_s=60 every_s=20 style=cross", f.leg(f.call, "BUY", 1500))
    f.wait(60)
    assert len(f.kids) == 3


@pytest.mark.parametrize("curve", ["", "1,x", "-1,2", "0,0", "nan", "inf"])
def test_a_curve_that_is_none_is_refused(floor, curve):
    f = floor()
    with pytest.raises(BadData, match="volume curve"):
        f.run("vwap", f.leg(f.call, "BUY", 75), policy={"curve": curve})


def test_a_curve_is_learned_from_bars():
    assert curve_of([500, 300, 200]) == "500,300,200"
    with pytest.raises(BadData):
        curve_of([0, 0])


def test_pov_takes_its_share_of_the_volume(floor):
    f = floor()
    volumes = f.core.book.volumes
    volumes[f.call] = 100_000
    f.run("pov rate_pct=10 every_s=5 style=cross", f.leg(f.call, "BUY", 1500))
    f.wait(5)
    assert f.kids == []
    volumes[f.call] = 103_000
    f.wait(5)
    assert f.filled(f.call, "BUY") == 300
    volumes[f.call] = 50
    f.wait(5)
    volumes[f.call] = 1_550
    f.wait(5)
    assert f.filled(f.call, "BUY") == 450, "a feed that begins anew counts from there"
    volumes[f.call] = 10**9
    f.wait(5)
    assert f.done
    assert f.filled(f.call, "BUY") == 1500


def test_pov_without_volume_waits_and_says_so(floor):
    f = floor()
    f.run("pov every_s=5", f.leg(f.call, "BUY", 75))
    f.wait(20)
    assert f.kids == []
    assert "the feed gives no volume" in f.text


def test_iceberg_shows_one_part_at_a_time(floor):
    f = floor()
    f.run("iceberg show_lots=2", f.leg(f.call, "BUY", 450, price=99.8))
    assert [o.leaves_qty for o in f.open] == [150]
    f.quote(f.call, 99.0, qty=75)
    assert [o.leaves_qty for o in f.open] == [75], "a part that is half traded is not topped up"
    f.quote(f.call, 99.1, qty=75)
    f.wait(3)
    assert [o.leaves_qty for o in f.open] == [150]
    for middle in (99.0, 99.1, 99.0, 99.1, 99.0):
        f.quote(f.call, middle, qty=300)
        f.wait(3)
    assert f.done
    assert [o.request.order_qty for o in f.kids] == [150, 150, 150]
    assert all(o.ord_status is OrdStatus.FILLED for o in f.kids)


def test_iceberg_without_a_limit_joins_the_touch_and_waits_without_one(floor):
    f = floor()
    f.run("iceberg", f.leg(f.call, "SELL", 150))
    assert f.open[0].request.price_p == 10050
    g = floor()
    g.run("iceberg", g.leg(g.call, "SELL", 150))
    g.quote(g.call, 100.5, half=0.0)
    g.quote(g.call, math.nan)
    assert g.filled(g.call, "SELL") == 75
    g.wait(5)
    assert len(g.kids) == 1
    assert "no price to join" in g.text


def test_an_unknown_part_stops_an_iceberg_until_it_is_known(floor):
    f = floor()
    f.lost[1] = "drop"
    f.run("iceberg", f.leg(f.call, "BUY", 150, price=101.0))
    f.wait(30)
    assert len(f.kids) == 1
