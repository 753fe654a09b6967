"""The feed benchmark itself: its frames, its comparison of values, its server and its lag."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from toolkit.bench import feed as bench
from toolkit.bench import feed_link, feed_xts
from toolkit.bench.feed import full_frame, same_values
from toolkit.bench.feed_xts import xts_attachment
from toolkit.bench.runner import Result
from toolkit.market import kite_wire, xts_text, xts_wire


@pytest.fixture(scope="module")
def parse():
    ticker = pytest.importorskip("kiteconnect", reason="the official client is in the extra kite").KiteTicker("k", "t")
    return ticker._parse_binary


def test_a_frame_holds_whole_full_packets() -> None:
    made = kite_wire.decode(full_frame(500))
    assert (len(made.ticks), made.skipped, made.fault) == (500, 0, "")
    assert set(made.ticks["kind"].tolist()) == {kite_wire.FULL}
    assert len(set(made.ticks["token"].tolist())) == 500


def test_values_are_those_of_the_official_parser(parse) -> None:
    for seed in range(5):
        assert same_values(full_frame(40, seed), parse) == []


@pytest.mark.parametrize("field", ["last_price", "volume_traded", "oi", "oi_day_low", "exchange_timestamp"])
def test_a_difference_in_a_field_is_found(parse, field) -> None:
    def lying(frame):
        ticks = parse(frame)
        value = ticks[1][field]
        ticks[1][field] = value + (dt.timedelta(seconds=1) if isinstance(value, dt.datetime) else 1)
        return ticks

    (line,) = same_values(full_frame(3), lying)
    assert line.startswith(f"packet 1: {field} ")


def test_a_difference_in_the_depth_is_found(parse) -> None:
    def lying(frame):
        ticks = parse(frame)
        ticks[0]["depth"]["sell"][4]["orders"] += 1
        return ticks

    (line,) = same_values(full_frame(1), lying)
    assert line.startswith("packet 0: sell4 orders ")


def test_the_servers_frames_carry_turn_and_time() -> None:
    frames = feed_link._frames()
    assert len(frames) * feed_link.FRAME == feed_link.INSTRUMENTS
    before = kite_wire.decode(feed_link._stamp(frames[0], 7)).ticks
    after = kite_wire.decode(feed_link._stamp(frames[0], 8)).ticks
    assert before["volume"].tolist() == [7] * feed_link.FRAME
    sent = [int(t["oi_high"][0]) << 32 | int(t["oi_low"][0]) for t in (before, after)]
    assert 0 < sent[1] - sent[0] < 10**9
    assert (before["exch_s"] == after["exch_s"]).all()


def test_a_second_of_the_markets_pace_reaches_the_table_exactly() -> None:
    with feed_link.server() as port:
        lag = feed_link.paced(port, 1.0)
        assert lag.sent == lag.received == 30_000
        assert lag.exact
        assert 0 < lag.p50_ms <= lag.p99_ms <= lag.most_ms
        assert feed_link.ours_burst(port, 20) > 0
        assert feed_link.raw_burst(port, 20) > 0


def test_the_touchlines_of_the_other_wire_are_decoded_and_a_row_is_made() -> None:
    made = xts_wire.decode_binary(xts_attachment(20))
    assert (len(made.ticks), made.skipped, made.bad, made.fault) == (20, 0, 0, "")
    assert set(made.ticks["layout"].tolist()) == {xts_wire.WIDE}
    result = Result("feed")
    feed_xts.compare(result)
    jobs = {row.job: row for row in result.rows if row.goal is not None}
    assert set(jobs) == {"XTS packets, arrays", "XTS touchline, text"}
    assert len(result.rows) >= 6
    assert result.misses == []


def test_the_touchline_has_a_real_ones_length_and_is_read_by_both_sides() -> None:
    body = feed_xts.xts_touchline(3)
    assert 600 < len(body) < 1400
    ours, plain = xts_text.decode_full(body, 1501), feed_xts._plain_typed()(body)
    assert (ours.instrument, ours.touch.bid.qty) == (49_546, plain.Touchline.BidInfo.Size) == (49_546, 78)


def test_what_falls_short_is_a_miss(monkeypatch) -> None:
    class Nobody:
        INSTRUMENTS, UPDATES_PER_S = 3000, 10

        def __enter__(self):
            return 1

        def __exit__(self, *of):
            return None

    lag = feed_link.Lag(100, 99, 1.0, 51.0, 60.0, 0.5, False)
    monkeypatch.setattr(feed_link, "server", Nobody)
    monkeypatch.setattr(feed_link, "ours_burst", lambda port, frames: 2e-6)
    monkeypatch.setattr(feed_link, "raw_burst", lambda port, frames: 1e-6)
    monkeypatch.setattr(feed_link, "paced", lambda port, seconds: lag)
    result = Result("feed")
    bench._end_to_end(result, peers=False)
    assert result.missed == [
        "99 of 100 packets reached the table, totals exact: False",
        "lag p99 51.0 ms at 30000 packets/s, the limit is 50 ms",
    ]
    assert np.isclose(result.rows[0].ratio, 0.5)
