"""Frames to Bokeh figures: the same charts in the report, the pages and the notebooks.

Figures stretch to the width they are given. Time axes show Indian time: Bokeh knows no
zones, so stamps are handed over as Indian wall-clock time. Colours are the light tokens
of ``theme``; ``colors`` chooses another set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from bokeh import models, plotting
from bokeh.core.properties import value
from bokeh.palettes import Cividis256

from toolkit.report import fmt
from toolkit.report.heat import GAP_MS, HeatGrid
from toolkit.report.theme import DIVERGING, LIGHT

__all__ = [
    "VOL_POINTS",
    "YEAR_DAYS",
    "center_of",
    "drawdown",
    "equity",
    "greek",
    "heatmap",
    "ist_ms",
    "levels",
    "theta_day",
    "vega_point",
    "veil",
    "wall_ms",
    "waterfall",
]

# Bokeh's own stubs refuse call forms that its manual documents, so its makers are untyped here.
bm: Any = models
figure: Any = plotting.figure

Colors = Mapping[str, str]
Floats = npt.NDArray[np.float64]
YEAR_DAYS: Final = 365.0
VOL_POINTS: Final = 100.0
IST_SHIFT_NS: Final = 19_800_000_000_000


def ist_ms(stamps: pl.Series) -> npt.NDArray[np.float64]:
    """Instants as milliseconds of Indian wall-clock time, which is what Bokeh's axes show."""
    wall = stamps.dt.convert_time_zone("Asia/Kolkata").dt.replace_time_zone(None)
    return wall.cast(pl.Datetime("ms")).cast(pl.Int64).to_numpy().astype(np.float64)


def wall_ms(now_ns: int) -> float:
    """An instant in nanoseconds UTC on the axis of :func:`ist_ms`."""
    return (now_ns + IST_SHIFT_NS) / 1e6


def theta_day(theta: float | None) -> float | None:
    """Theta per calendar day from theta per year."""
    return None if theta is None else theta / YEAR_DAYS


def vega_point(vega: float | None) -> float | None:
    """Vega per vol point from vega per 1.00 of volatility."""
    return None if vega is None else vega / VOL_POINTS


def center_of(spot: pl.DataFrame) -> float:
    """The last known spot, else the last known forward, else NaN: where a heatmap is centred."""
    for column in ("spot", "forward"):
        known = spot[column].drop_nulls()
        if len(known):
            return float(known[-1])
    return math.nan


def _gapped(stamps: Floats, *values: pl.Series) -> tuple[Floats, list[Floats]]:
    """The points, with unknown ones at both ends of every gap, so that nothing is drawn across it."""
    after = np.flatnonzero(np.diff(stamps) > GAP_MS) + 1
    both = np.repeat(after, 2)
    edges = np.stack([stamps[after - 1] + 1.0, stamps[after] - 1.0], axis=1).ravel()
    arrays = [v.cast(pl.Float64).to_numpy().copy() for v in values]
    return np.insert(stamps, both, edges), [np.insert(a, both, np.nan) for a in arrays]


def _clock(stamps: Floats) -> list[str]:
    return [fmt.time_ist(round(s) * 1_000_000 - IST_SHIFT_NS, zone=False) for s in stamps]


def _time_figure(title: str, y_label: str, height: int, colors: Colors, x_range: Any = None) -> Any:
    """A figure with an Indian time axis and the house's look; wheel and pan never grab the page's scroll."""
    plot = figure(
        title=title,
        height=height,
        sizing_mode="stretch_width",
        min_width=200,
        x_axis_type="datetime",
        tools="xpan,xbox_zoom,reset,save",
        active_drag="xbox_zoom",
        toolbar_location="right",
        **({"x_range": x_range} if x_range is not None else {}),
    )
    clock = dict.fromkeys(("hours", "hourmin", "minutes"), "%H:%M")
    plot.xaxis.formatter = bm.DatetimeTickFormatter(
        seconds="%H:%M:%S", minsec="%H:%M:%S", **clock, days="%d %b", months="%b %Y", years="%Y"
    )
    plot.xaxis.axis_label = "time, IST"
    plot.yaxis.axis_label = y_label
    return _dressed(plot, colors)


def _dressed(plot: Any, colors: Colors) -> Any:
    plot.background_fill_color = colors["bg"]
    plot.border_fill_color = colors["bg"]
    plot.outline_line_color = colors["line"]
    plot.title.text_color = colors["ink"]
    plot.title.text_font_size = "13.5px"
    plot.title.text_font_style = "bold"
    plot.title.text_font = "system-ui, sans-serif"
    plot.min_border_left = 58
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.grid.grid_line_color = colors["grid"]
    for axis in plot.axis:
        axis.axis_label_text_color = colors["muted"]
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = "12px"
        axis.major_label_text_color = colors["muted"]
        axis.major_label_text_font_size = "11.5px"
        axis.axis_line_color = colors["line"]
        axis.major_tick_line_color = colors["line"]
        axis.minor_tick_line_color = None
        axis.axis_label_text_font = axis.major_label_text_font = "system-ui, sans-serif"
    return plot


def _indian_ticks() -> Any:
    return bm.CustomJSTickFormatter(
        code='return new Intl.NumberFormat("en-IN", {maximumFractionDigits: 4}).format(tick)'
    )


def _legend(plot: Any, colors: Colors) -> None:
    legend = plot.legend[0]
    legend.background_fill_color = colors["bg"]
    legend.background_fill_alpha = 0.85
    legend.border_line_color = None
    legend.label_text_color = colors["ink"]
    legend.label_text_font_size = "12px"
    legend.label_text_font = "system-ui, sans-serif"
    legend.orientation = "horizontal"
    legend.padding = legend.margin = 2
    legend.spacing = 10
    legend.click_policy = "hide"
    plot.add_layout(legend, "above")


def equity(pnl: pl.DataFrame, colors: Colors = LIGHT) -> tuple[Any, Any]:
    """Net and gross P&L through time, and the drawdown of the net from its highest point so far.

    Parameters
    ----------
    pnl : polars.DataFrame
        Columns ``ts``, ``gross``, ``net`` in rupees, one row a snapshot.
    colors : mapping
        Colour tokens of ``theme``.

    Returns
    -------
    tuple of two figures that share their time axis
    """
    net = pnl["net"].cast(pl.Float64)
    stamps, (nets, gross, downs) = _gapped(ist_ms(pnl["ts"]), net, pnl["gross"], drawdown(net))
    source = bm.ColumnDataSource(
        {
            "ts": stamps,
            "net": nets,
            "gross": gross,
            "drawdown": downs,
            "area": np.nan_to_num(downs),
            "time": _clock(stamps),
            "net_text": [fmt.rupees_exact(v) for v in nets],
            "gross_text": [fmt.rupees_exact(v) for v in gross],
            "drawdown_text": [fmt.rupees_exact(v) for v in downs],
        }
    )
    top = _time_figure("Net and gross P&L, ₹", "", 300, colors)
    top.add_layout(bm.Span(location=0, dimension="width", line_color=colors["line"], line_width=1.5))
    top.line("ts", "gross", source=source, color=colors["neutral"], line_dash=[4, 3], legend_label="gross")
    line = top.line("ts", "net", source=source, color=colors["gain"], line_width=2, legend_label="net of charges")
    tips = [("time", "@time"), ("net ₹", "@net_text"), ("gross ₹", "@gross_text"), ("drawdown ₹", "@drawdown_text")]
    top.add_tools(bm.HoverTool(renderers=[line], mode="vline", tooltips=tips))
    top.yaxis.formatter = _indian_ticks()
    _legend(top, colors)
    bottom = _time_figure("Drawdown of the net P&L from its peak, ₹", "", 170, colors, top.x_range)
    bottom.varea("ts", 0, "area", source=source, fill_color=colors["loss"], fill_alpha=0.35)
    edge = bottom.line("ts", "drawdown", source=source, color=colors["loss"], line_width=1.5)
    bottom.add_tools(bm.HoverTool(renderers=[edge], mode="vline", tooltips=[tips[0], tips[3]]))
    bottom.yaxis.formatter = _indian_ticks()
    return top, bottom


def drawdown(net: pl.Series) -> pl.Series:
    """Distance of each value from the highest value so far, the start (0) included; never above 0."""
    peak = net.cum_max().fill_null(strategy="forward").clip(lower_bound=0.0)
    return (net - peak).alias("drawdown")


def waterfall(gross: float, charges: Sequence[tuple[str, float]], colors: Colors = LIGHT) -> Any:
    """From gross to net P&L, one bar a charge.

    Parameters
    ----------
    gross : float
        Gross P&L in rupees.
    charges : sequence of (name, rupees)
        Each charge, positive when paid.
    """
    names, left, right, tones, labels = ["gross"], [0.0], [gross], [_tone(gross)], [fmt.rupees_exact(gross)]
    level = gross
    for name, amount in charges:
        names.append(name)
        left.append(level)
        level -= amount
        right.append(level)
        tones.append("loss" if amount > 0 else "gain" if amount < 0 else "neutral")
        labels.append(fmt.rupees_exact(-amount))
    names.append("net")
    left.append(0.0)
    right.append(level)
    tones.append(_tone(level))
    labels.append(fmt.rupees_exact(level))
    low, high = min(0.0, *left, *right), max(0.0, *left, *right)
    room = (high - low) or 1.0
    edge = [max(a, b) for a, b in zip(left, right, strict=True)]
    source = bm.ColumnDataSource(
        {
            "name": names,
            "left": left,
            "right": right,
            "edge": edge,
            "label": labels,
            "color": [colors[t] for t in tones],
        }
    )
    plot = figure(
        title="From gross to net, ₹",
        y_range=list(reversed(names)),
        x_range=bm.Range1d(low - 0.02 * room, high + 0.4 * room),
        height=60 + 30 * len(names),
        sizing_mode="stretch_width",
        min_width=200,
        tools="save",
        toolbar_location="right",
    )
    _dressed(plot, colors)
    plot.hbar("name", left="left", right="right", height=0.62, source=source, color="color", line_color="color")
    plot.add_layout(bm.Span(location=0, dimension="height", line_color=colors["line"], line_width=1.5))
    plot.add_layout(
        bm.LabelSet(
            x="edge",
            y="name",
            text="label",
            source=source,
            x_offset=6,
            text_baseline="middle",
            text_color=colors["ink"],
            text_font_size="12px",
            text_font=value("system-ui, sans-serif"),
        )
    )
    plot.ygrid.grid_line_color = None
    plot.xaxis.formatter = _indian_ticks()
    plot.xaxis.ticker.desired_num_ticks = 4
    return plot


def _tone(value: float) -> str:
    return "gain" if value > 0 else "loss" if value < 0 else "neutral"


def greek(pnl: pl.DataFrame, values: pl.Series, title: str, unit: str, colors: Colors = LIGHT) -> Any:
    """One Greek of the whole book through the day; a gap stays a gap."""
    stamps, (numbers,) = _gapped(ist_ms(pnl["ts"]), values)
    source = bm.ColumnDataSource(
        {"ts": stamps, "value": numbers, "time": _clock(stamps), "text": [fmt.signed(v) for v in numbers]}
    )
    plot = _time_figure(title, "", 190, colors)
    plot.add_layout(bm.Span(location=0, dimension="width", line_color=colors["line"], line_width=1.5))
    line = plot.step("ts", "value", source=source, color=colors["neutral"], line_width=1.8, mode="after")
    plot.add_tools(bm.HoverTool(renderers=[line], mode="vline", tooltips=[("time", "@time"), (unit, "@text")]))
    plot.yaxis.formatter = _indian_ticks()
    return plot


def heatmap(
    grid: HeatGrid,
    oi: pl.DataFrame,
    spot: pl.DataFrame,
    title: str,
    *,
    wall: str,
    colors: Colors = LIGHT,
    height: int = 380,
) -> Any:
    """Open interest by strike and time for one side, with the side's wall and the spot drawn over it.

    Parameters
    ----------
    grid : HeatGrid
        From :func:`toolkit.report.heat.grid`: lakh of units on a uniform time and strike mesh.
    oi : polars.DataFrame
        Levels: ``ts`` and the column named by ``wall``.
    spot : polars.DataFrame
        ``ts``, ``spot``, ``forward``; the forward stands in where no spot is known at all.
    wall : str
        ``"ce_wall"`` or ``"pe_wall"``.
    """
    plot = _time_figure(title, "strike", height, colors)
    plot.x_range = bm.Range1d(grid.left, grid.right)
    plot.y_range = bm.Range1d(grid.bottom, grid.top)
    plot.grid.grid_line_color = None
    plot.yaxis.formatter = _indian_ticks()
    for left, right in grid.missing:
        plot.add_layout(
            bm.BoxAnnotation(
                left=left,
                right=right,
                fill_color=colors["panel"],
                fill_alpha=1.0,
                hatch_pattern="right_diagonal_line",
                hatch_color=colors["muted"],
                hatch_alpha=0.35,
                line_color=None,
                level="underlay",
            )
        )
    palette = DIVERGING if grid.signed else Cividis256
    low = -grid.scale if grid.signed else 0.0
    mapper = bm.LinearColorMapper(palette=list(palette), low=low, high=grid.scale, nan_color="rgba(0,0,0,0)")
    image = plot.image(
        [grid.values], x=grid.left, y=grid.bottom, dw=grid.right - grid.left, dh=grid.top - grid.bottom,
        color_mapper=mapper,
    )  # fmt: skip
    unit = "change of OI, L units" if grid.signed else "OI, L units"
    plot.add_tools(
        bm.HoverTool(renderers=[image], tooltips=[("time", "$x{%H:%M}"), ("strike", "$y{0,0}"), (unit, "@image{0.00}")],
                  formatters={"$x": "datetime"})
    )  # fmt: skip
    plot.add_layout(
        bm.ColorBar(color_mapper=mapper, width=10, title=None, background_fill_color=None, padding=4,
                 major_label_text_color=colors["muted"], major_label_text_font_size="11px", bar_line_color=None,
                 major_tick_line_color=None, formatter=bm.NumeralTickFormatter(format="0.[00]")),
        "right",
    )  # fmt: skip
    _line_over(plot, oi, wall, "wall", "#6d1fb0", [6, 3], "step")
    level = "forward" if spot["spot"].is_null().all() else "spot"
    _line_over(plot, spot, level, level, "#111111", "solid", "line")
    _legend(plot, colors)
    return plot


def _line_over(plot: Any, frame: pl.DataFrame, column: str, name: str, color: str, dash: Any, kind: str) -> None:
    """A line with a pale edge under it, readable over any heat colour."""
    stamps, (numbers,) = _gapped(ist_ms(frame["ts"]), frame[column])
    source = bm.ColumnDataSource({"ts": stamps, "value": numbers})
    draw = plot.line if kind == "line" else plot.step
    extra = {} if kind == "line" else {"mode": "after"}
    draw("ts", "value", source=source, color="#ffffff", line_width=4, line_alpha=0.75, legend_label=name, **extra)
    draw("ts", "value", source=source, color=color, line_width=1.8, line_dash=dash, legend_label=name, **extra)


def levels(oi: pl.DataFrame, columns: Mapping[str, str], title: str, unit: str, colors: Colors = LIGHT) -> Any:
    """Some columns of the OI levels frame as steps through the day: ``columns`` maps column to legend."""
    plot = _time_figure(title, unit, 220, colors)
    tones = ("call", "put", "neutral", "warn")
    for i, (column, label) in enumerate(columns.items()):
        stamps, (numbers,) = _gapped(ist_ms(oi["ts"]), oi[column])
        source = bm.ColumnDataSource({"ts": stamps, "value": numbers, "time": _clock(stamps)})
        line = plot.step("ts", "value", source=source, color=colors[tones[i % 4]], line_width=1.8, mode="after",
                         line_dash=("solid", [6, 3], [2, 2], [8, 2, 2, 2])[i % 4], legend_label=label)  # fmt: skip
        plot.add_tools(bm.HoverTool(renderers=[line], tooltips=[("time", "@time"), (label, "@value{0,0.00}")]))
    _legend(plot, colors)
    plot.yaxis.formatter = _indian_ticks()
    return plot


def veil(plot: Any, colors: Colors = LIGHT) -> Any:
    """Cover a chart from a moment on, so that a replay does not show its future: set ``left`` to the moment."""
    box = bm.BoxAnnotation(fill_color=colors["bg"], fill_alpha=1.0, line_color=colors["muted"], level="overlay")
    plot.add_layout(box)
    return box
