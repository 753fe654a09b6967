"""The charts show the frames' own figures, in Indian time, with unknown left unknown."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from bokeh.models import BoxAnnotation
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.report import charts
from toolkit.report.heat import grid
from toolkit.report.theme import DARK, LIGHT


def sources(plot):
    return [r.data_source.data for r in plot.renderers if hasattr(r, "data_source")]


def test_the_time_axis_reads_indian_time():
    at = dt.datetime(2025, 11, 24, 3, 45, tzinfo=dt.UTC)
    (shown,) = charts.ist_ms(pl.Series([at]).cast(pl.Datetime("us", "Asia/Kolkata")))
    assert dt.datetime.fromtimestamp(shown / 1000, tz=dt.UTC).strftime("%H:%M") == "09:15"
    assert charts.wall_ms(int(at.timestamp() * 1e9)) == shown


def test_equity_shows_net_gross_and_drawdown(frames):
    top, bottom = charts.equity(frames.pnl)
    data = sources(top)[-1]
    known = ~np.isnan(data["net"])
    np.testing.assert_allclose(np.asarray(data["net"])[known], frames.pnl["net"].to_numpy())
    np.testing.assert_allclose(np.asarray(data["gross"])[known], frames.pnl["gross"].to_numpy())
    assert max(np.asarray(sources(bottom)[-1]["drawdown"])[known]) <= 0
    assert top.x_range is bottom.x_range


def test_no_line_is_drawn_across_the_outage(frames):
    top, _ = charts.equity(frames.pnl)
    data = sources(top)[-1]
    gaps = np.flatnonzero(np.isnan(data["net"]))
    assert len(gaps) == 2
    assert data["time"][gaps[0] - 1] == "12:15:00"
    assert data["time"][gaps[1] + 1] == "12:34:00"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_drawdown_is_the_distance_from_the_highest_point_the_start_included(values):
    down = charts.drawdown(pl.Series("net", values))
    peak = 0.0
    for value, shown in zip(values, down, strict=True):
        peak = max(peak, value)
        assert shown == pytest.approx(value - peak)
        assert shown <= 0


def test_drawdown_keeps_unknown_unknown():
    assert charts.drawdown(pl.Series([100.0, None, 40.0])).to_list() == [0.0, None, -60.0]


@settings(max_examples=25, deadline=None)
@given(st.floats(-1e6, 1e6), st.lists(st.floats(0, 1e4), max_size=7))
def test_the_waterfall_walks_from_gross_to_net_without_a_jump(gross, amounts):
    paid = [(f"charge {i}", amount) for i, amount in enumerate(amounts)]
    (bars,) = [d for d in sources(charts.waterfall(gross, paid)) if "left" in d]
    assert bars["name"] == ["gross", *(name for name, _ in paid), "net"]
    assert bars["right"][0] == gross
    for before, left in zip(bars["right"][:-2], bars["left"][1:-1], strict=True):
        assert left == before
    assert bars["right"][-1] == pytest.approx(gross - sum(amounts), abs=1e-6)


def test_waterfall_colours_say_what_the_signs_say():
    (bars,) = sources(charts.waterfall(-100.0, [("STT", 5.0), ("rebate", -1.0), ("none", 0.0)]))
    tones = [LIGHT[t] for t in ("loss", "loss", "gain", "neutral", "loss")]
    assert bars["color"] == tones
    assert bars["label"] == ["-100.00", "-5.00", "+1.00", "0.00", "-104.00"]


def test_the_heatmap_carries_grid_wall_spot_and_hatches(frames):
    mesh = grid(frames.heat, "CE", "oi_change", center=24500.0)
    plot = charts.heatmap(mesh, frames.oi, frames.spot, "Calls", wall="ce_wall")
    images = [d["image"][0] for d in sources(plot) if "image" in d]
    np.testing.assert_array_equal(images[0], mesh.values)
    hatched = [a for a in plot.center if isinstance(a, BoxAnnotation)]
    assert len(hatched) == 1
    labels = {item.label.value for legend in plot.legend for item in legend.items}
    assert labels == {"wall", "spot"}
    mapper = next(r.glyph.color_mapper for r in plot.renderers if hasattr(r.glyph, "color_mapper"))
    assert mapper.low == -mapper.high


def test_levels_of_oi_use_a_scale_from_zero(frames):
    mesh = grid(frames.heat, "PE", "oi", center=24500.0)
    plot = charts.heatmap(mesh, frames.oi, frames.spot, "Puts", wall="pe_wall")
    mapper = next(r.glyph.color_mapper for r in plot.renderers if hasattr(r.glyph, "color_mapper"))
    assert mapper.low == 0
    assert mapper.palette[0] == "#00204C"


def test_the_forward_stands_in_for_a_spot_that_nobody_recorded(frames):
    unknown = frames.spot.with_columns(spot=pl.lit(None, dtype=pl.Float64))
    mesh = grid(frames.heat, "CE", "oi_change", center=charts.center_of(unknown))
    plot = charts.heatmap(mesh, frames.oi, unknown, "Calls", wall="ce_wall")
    labels = {item.label.value for legend in plot.legend for item in legend.items}
    assert "forward" in labels
    assert charts.center_of(unknown) == frames.spot["forward"][-1]
    assert charts.center_of(frames.spot) == frames.spot["spot"][-1]
    assert np.isnan(charts.center_of(frames.spot.clear()))


def test_greeks_are_shown_as_given_and_scaled_in_one_place(frames):
    plot = charts.greek(frames.pnl, frames.pnl["delta"], "Delta", "units")
    data = sources(plot)[-1]
    np.testing.assert_allclose(data["value"][~np.isnan(data["value"])], frames.pnl["delta"].to_numpy())
    assert charts.theta_day(-365.0) == -1.0
    assert charts.vega_point(250.0) == 2.5
    assert charts.theta_day(None) is None
    assert charts.vega_point(None) is None


def test_levels_draw_one_step_a_column(frames):
    plot = charts.levels(frames.oi, {"ce_wall": "call wall", "pe_wall": "put wall"}, "Walls", "strike")
    assert len(sources(plot)) == 2
    assert {item.label.value for item in plot.legend[0].items} == {"call wall", "put wall"}


def test_a_veil_covers_from_its_left_edge_on(frames):
    top, _ = charts.equity(frames.pnl, DARK)
    box = charts.veil(top, DARK)
    box.left = charts.ist_ms(frames.pnl["ts"])[10]
    assert box.fill_alpha == 1.0
    assert box.fill_color == DARK["bg"]
    assert box in top.center


def test_dark_charts_use_dark_tokens_only(frames):
    top, _ = charts.equity(frames.pnl, DARK)
    assert top.background_fill_color == DARK["bg"]
    assert top.title.text_color == DARK["ink"]
