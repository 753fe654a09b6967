"""Open-interest shift as one page: heatmaps, walls and max pain, what was created and moved, events, quality."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from bokeh import models

from toolkit.oi.study import reading
from toolkit.report import charts, fmt
from toolkit.report.heat import grid
from toolkit.report.page import Html, Page, badge, cards, empty, table
from toolkit.report.theme import LIGHT

if TYPE_CHECKING:
    from toolkit.oi.result import ShiftResult

__all__ = ["nearest_text", "oi_page", "write_oi_page"]

bm: Any = models
LAKH: Final = 100_000.0
MOST_EVENTS: Final = 200
MOST_BARS: Final = 48
DAY_MS: Final = 86_400_000.0


def oi_page(
    result: ShiftResult,
    heat: pl.DataFrame,
    *,
    underlying: str,
    expiry: str,
    source: str,
    synthetic: bool = False,
    settings: Mapping[str, str] | None = None,
    study: pl.DataFrame | None = None,
) -> Page:
    """Build the page.

    Parameters
    ----------
    result : ShiftResult
        Levels, shifts, events and quality of one underlying and the chosen expiry (or nearest expiries by day).
    heat : polars.DataFrame
        ``ts expiry strike option_type oi oi_change``.
    underlying, expiry, source : str
        What is shown, in words.
    synthetic : bool
        Marks generated data on the page.
    settings : mapping, optional
        Settings in force, as text.
    study : polars.DataFrame, optional
        :func:`toolkit.oi.event_study` of the events, to stand beside them.
    """
    levels, shifts, note = _last_day(result)
    stamps = levels["ts"]
    span = f"{stamps[0]:%d %b %Y %H:%M} to {stamps[-1]:%d %b %Y %H:%M} IST" if levels.height else "no burst"
    badges = [badge("SYNTHETIC", "warn")] if synthetic else []
    page = Page(f"{underlying} open interest, {expiry}", subtitle=f"{span} | {source}", badges=badges)
    if not levels.height:
        page.section("Levels", empty("No burst of this underlying and expiry. Choose another --expiry or file."))
        return page
    page.section("Last burst", _summary(levels), note=_base_note(shifts) + note)
    _heat_section(page, heat.join(levels.select("ts", "expiry"), on=["ts", "expiry"], how="semi"), levels)
    page.section("Levels", *_level_charts(levels))
    page.section(
        "What changed, against the base",
        *_shift_charts(shifts),
        columns=2,
        note="Open interest has no owner: 'moved' is what relocation within the reach explains, not what is proven.",
    )
    page.section("Events", _events(result.events), note=_EVENT_NOTE)
    if study is not None and study.height:
        page.section("How often the reading held", _study(study), note=_STUDY_NOTE)
    page.section("Data quality", _quality(result.quality))
    if settings:
        page.section("Settings", table(["setting", "value"], sorted(settings.items()), wrap=1))
    return page


def _last_day(result: ShiftResult) -> tuple[pl.DataFrame, pl.DataFrame, str]:
    """What the pictures show: all days of end-of-day files, the last day of recorded sessions."""
    levels, shifts = result.levels, result.shifts
    if not levels.height or _is_daily(levels) or levels["ts"].dt.date().n_unique() == 1:
        return levels, shifts, ""
    last = pl.col("ts").dt.date() == levels["ts"].dt.date().max()
    note = " Pictures show the last day; the frames beside this page hold every day."
    return levels.filter(last), shifts.filter(last), note


def write_oi_page(path: Path | str, *args: Any, footer: str = "", **named: Any) -> Path:
    """Build the page and write it whole."""
    return oi_page(*args, **named).write(path, footer)


_EVENT_NOTE: Final = (
    "Every row is a hypothesis about who moved, from public figures that arrive minutes late. z is robust (median and "
    "MAD); confidence needs no distribution (Chebyshev)."
)
_STUDY_NOTE: Final = (
    "Returns of the forward after each event, within the session. The baseline draws the same number of moments at "
    "random from the same days; p is the share of draws that do as well, q corrects for the number of rows. One day "
    "proves nothing."
)


def _summary(levels: pl.DataFrame) -> Html:
    last = levels.sort("ts").row(-1, named=True)
    first = levels.filter(pl.col("expiry") == last["expiry"]).sort("ts").row(0, named=True)
    pain = fmt.strike(last["max_pain"])
    if last["max_pain_lo"] != last["max_pain_hi"]:
        pain = f"{fmt.strike(last['max_pain_lo'])} to {fmt.strike(last['max_pain_hi'])}"
    moved = [
        None if last[c] is None or first[c] is None else last[c] - first[c] for c in ("ce_centroid", "pe_centroid")
    ]
    return cards(
        [
            ("PCR (OI)", fmt.ratio(last["pcr"]), f"of changes {fmt.ratio(last['pcr_change'])}"),
            ("Max pain", pain, f"forward {fmt.price(last['forward'])}"),
            ("Call wall", fmt.strike(last["ce_wall"]), f"{fmt.lakh(last['ce_wall_oi'])} units"),
            ("Put wall", fmt.strike(last["pe_wall"]), f"{fmt.lakh(last['pe_wall_oi'])} units"),
            ("Call centroid", fmt.price(last["ce_centroid"]), f"{fmt.signed(moved[0])} points since the first burst"),
            ("Put centroid", fmt.price(last["pe_centroid"]), f"{fmt.signed(moved[1])} points since the first burst"),
            ("Straddle", fmt.price(last["straddle"]), f"{fmt.ratio(last['straddle_percent'])} % of the forward"),
            ("Zero gamma", fmt.strike(_whole(last["zero_gamma"])), "assumes dealers long calls, short puts"),
        ]
    )


def _whole(value: float | None) -> float | None:
    return None if value is None else float(round(value))


def _base_note(shifts: pl.DataFrame) -> str:
    known = shifts.sort("ts")["base_ts"].drop_nulls()
    if not len(known):
        return "No earlier burst to compare with: changes are unknown."
    return f"Changes are measured against {known[-1]:%d %b %Y %H:%M:%S} IST."


def _is_daily(levels: pl.DataFrame) -> bool:
    days = levels["ts"].dt.date().n_unique()
    return days > 1 and days == levels["ts"].n_unique()


def _heat_section(page: Page, heat: pl.DataFrame, levels: pl.DataFrame) -> None:
    daily = _is_daily(levels)
    spot = levels.select("ts", "spot", "forward")
    known = heat["oi_change"].drop_nulls()
    column = "oi_change" if len(known) and int(known.abs().max() or 0) > 0 else "oi"  # type: ignore[arg-type]
    blocks: list[Any] = []
    for side, wall, name in (("CE", "ce_wall", "Calls"), ("PE", "pe_wall", "Puts")):
        gap = 5 * DAY_MS if daily else 6 * 60_000.0
        laid = grid(heat, side, column, center=charts.center_of(spot), gap_ms=gap)
        if laid is None:
            continue
        what = "change of OI since the base" if column == "oi_change" else "OI"
        plot = charts.heatmap(laid, levels, spot, f"{name}: {what}, lakh units", wall=wall)
        if daily:
            _marks(plot, levels, wall, "forward")
        blocks.append(plot)
    page.section(
        "Strike by time",
        *(blocks or [empty("No strike holds open interest.")]),
        note="A hatched column has no snapshot: unknown, not zero.",
    )


def _marks(plot: Any, levels: pl.DataFrame, *columns: str) -> None:
    for column, color in zip(columns, ("#6d1fb0", "#111111"), strict=False):
        plot.scatter(charts.ist_ms(levels["ts"]), _floats(levels[column]), size=5, color=color)


def _floats(series: pl.Series) -> Any:
    return series.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _level_charts(levels: pl.DataFrame) -> list[Any]:
    walls = {"ce_wall": "call wall", "pe_wall": "put wall", "max_pain": "max pain", "forward": "forward"}
    centroids = {"ce_centroid": "calls", "pe_centroid": "puts"}
    straddles = {"straddle": "interpolated", "straddle_open": "strike of the open"}
    made = [
        charts.levels(levels, walls, "Walls and max pain over the forward", "points"),
        charts.levels(levels, centroids, "OI-weighted centroids", "points"),
        charts.levels(levels, {"pcr": "of OI", "pcr_volume": "of volume"}, "Put-call ratio", ""),
        charts.levels(levels, straddles, "Straddle", "rupees"),
    ]
    if _is_daily(levels):
        for plot, columns in zip(made, (walls, centroids, ("pcr",), ("straddle",)), strict=True):
            for column, tone in zip(columns, ("call", "put", "neutral", "warn"), strict=False):
                plot.scatter(charts.ist_ms(levels["ts"]), _floats(levels[column]), size=6, color=LIGHT[tone])
    return made


def _shift_charts(shifts: pl.DataFrame) -> list[Any]:
    made = []
    for side, name in (("CE", "Calls"), ("PE", "Puts")):
        rows = _thinned(shifts.filter((pl.col("side") == side) & pl.col("created").is_not_null()).sort("ts"))
        if rows.height:
            made.append(
                _bars(
                    rows, ("created", "destroyed"), f"{name}: created and destroyed, lakh units", LAKH, ("gain", "loss")
                )
            )
            made.append(
                _bars(
                    rows,
                    ("moved_right", "moved_left"),
                    f"{name}: work moved up and down, lakh unit-points",
                    LAKH,
                    ("call", "put"),
                )
            )
    return made or [empty("No burst can be compared with a base yet.")]


def _thinned(rows: pl.DataFrame) -> pl.DataFrame:
    """At most so many bars as can be told apart: the last burst of each stretch."""
    if rows.height <= MOST_BARS:
        return rows
    at = np.unique(np.linspace(0, rows.height - 1, MOST_BARS).round().astype(int))
    return rows[at]


def _bars(rows: pl.DataFrame, columns: tuple[str, str], title: str, unit: float, tones: Sequence[str]) -> Any:
    days = rows["ts"].dt.date().n_unique()
    form = "%d %b" if days == rows.height else "%H:%M" if days == 1 else "%d %b %H:%M"
    labels = [f"{i + 1:03d}|{ts:{form}}" for i, ts in enumerate(rows["ts"].to_list())]
    up, down = _floats(rows[columns[0]]) / unit, -_floats(rows[columns[1]]) / unit
    source = bm.ColumnDataSource({"at": labels, "up": up, "down": down, "time": [t.split("|")[1] for t in labels]})
    plot = charts.figure(
        title=title,
        x_range=labels,
        height=240,
        sizing_mode="stretch_width",
        min_width=200,
        tools="save",
        toolbar_location="right",
    )
    top = plot
    top.vbar("at", top="up", width=0.8, source=source, color=LIGHT[tones[0]], legend_label=columns[0].replace("_", " "))
    top.vbar(
        "at",
        top="down",
        width=0.8,
        source=source,
        color=LIGHT[tones[1]],
        legend_label=columns[1].replace("_", " "),
        hatch_pattern="right_diagonal_line",
        hatch_alpha=0.4,
    )
    top.add_tools(
        bm.HoverTool(
            tooltips=[
                ("time", "@time"),
                (columns[0].replace("_", " "), "@up{0.00}"),
                (columns[1].replace("_", " "), "@down{0.00}"),
            ]
        )
    )
    every = max(1, len(labels) // 8)
    top.xaxis.formatter = bm.CustomJSTickFormatter(
        code=f"const [i, t] = tick.split('|'); return (Number(i) - 1) % {every} ? '' : t"
    )
    top.xgrid.grid_line_color = None
    top.legend.orientation = "horizontal"
    top.legend.click_policy = "hide"
    top.add_layout(top.legend[0], "above")
    return top


_WORDS: Final = {1: "read as up", -1: "read as down", 0: ""}


def _events(events: pl.DataFrame) -> Html:
    if not events.height:
        return empty("No event: nothing left the usual range of the session.")
    rows = []
    for e in events.head(MOST_EVENTS).iter_rows(named=True):
        word = _WORDS[reading(e["type"], e["side"], e["from"], e["to"])]
        rows.append(
            (
                f"{e['ts']:%d %b %H:%M:%S}",
                "" if e["expiry"] is None else f"{e['expiry']:%d %b}",
                e["side"] or "",
                e["type"],
                fmt.price(e["from"]),
                fmt.price(e["to"]),
                fmt.lakh(e["size"]),
                fmt.signed(e["z"], 1),
                fmt.ratio(e["confidence"]),
                word,
                e["evidence"],
            )
        )
    columns = ("time, IST", "expiry", "side", "type", "from", "to", "size, L units", "z", "confidence", "hypothesis")
    body = table([*columns, "evidence"], rows, num=range(4, 9), wrap=10)
    if events.height > MOST_EVENTS:
        return Html(body + empty(f"The first {MOST_EVENTS} of {events.height}; all are in events.csv."))
    return body


def _study(study: pl.DataFrame) -> Html:
    rows = []
    for s in study.filter(pl.col("n") > 0).iter_rows(named=True):
        rate = f"{fmt.ratio(s['hit_rate'])} ({fmt.ratio(s['low'])} to {fmt.ratio(s['high'])})"
        rows.append(
            (
                s["type"],
                s["side"] or "",
                f"{s['horizon_s'] / 60:g} min",
                str(s["n"]),
                fmt.signed(s["mean_return_bp"], 1),
                fmt.ratio(s["range_bp"]),
                rate if s["hit_rate"] is not None else fmt.UNKNOWN,
                fmt.ratio(s["baseline_times"]),
                fmt.ratio(s["p_times"]),
                fmt.ratio(s["q_times"]),
            )
        )
    if not rows:
        return empty("No event has a price after it within the session.")
    names = ("type", "side", "horizon", "n", "mean, bp", "range, bp", "hit rate (95 %)", "baseline", "p", "q")
    return table(names, rows, num=range(3, 10))


def _quality(quality: pl.DataFrame) -> Html:
    rows = [(r, fmt.group(int(c)), d) for r, c, d in quality.iter_rows()]
    return table(["rule", "count", "detail"], rows, num=[1], wrap=2)


def nearest_text(expiries: Sequence[dt.date]) -> str:
    """The expiries shown, in words."""
    if not expiries:
        return "no expiry"
    if len(expiries) == 1:
        return f"expiry {expiries[0]:%d %b %Y}"
    return f"nearest expiries {expiries[0]:%d %b %Y} to {expiries[-1]:%d %b %Y}"
