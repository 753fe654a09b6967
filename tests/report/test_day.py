"""The day's report: every frame finds its place, whatever is empty, and says what it is."""

from __future__ import annotations

import re
from types import SimpleNamespace

import polars as pl
import pytest

from toolkit.errors import BadData
from toolkit.report.day import CHARGES, charge_totals, day_page, is_synthetic, nearest_levels, write_day_report

SECTIONS = (
    "Summary", "P&amp;L", "Charges", "Greeks", "Open interest", "OI levels", "Orders", "Positions", "Data quality",
    "Settings and versions",
)  # fmt: skip


def body(frames) -> str:
    text = day_page(frames).html()
    return text[: text.index("<script")] if "<script" in text else text


@pytest.fixture(scope="module")
def text(frames):
    return body(frames)


def without(frames, **changed):
    return SimpleNamespace(**{**vars(frames), **changed})


def test_all_sections_are_there_in_order(text):
    assert re.findall(r"<h2>(.*?)</h2>", text) == list(SECTIONS)


def test_synthetic_stands_in_the_title_and_on_the_page(make_frames, text):
    assert "<title>SYNTHETIC NIFTY, 24 Nov 2025: oi-wall</title>" in text
    assert "generated, not traded" in text
    real = body(make_frames("no"))
    assert "<title>NIFTY, 24 Nov 2025: oi-wall</title>" in real
    assert "SYNTHETIC" not in real


def test_what_counts_as_synthetic():
    assert is_synthetic({"synthetic": "yes"})
    assert is_synthetic({"synthetic": "True"})
    assert not is_synthetic({"synthetic": "no"})
    assert not is_synthetic({})


def test_every_order_and_every_event_is_on_the_page(frames, text):
    assert text.count("<details>") == frames.orders.height
    for name in frames.orders["cl_ord_id"]:
        assert f"our id {name}" in text
    assert text.count("<td class=num>3</td>") >= frames.orders.height


def test_broker_text_is_text(text):
    assert "<img" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text


def test_the_waterfall_table_adds_up(frames, text):
    figures = {
        name: float(value.replace(",", ""))
        for name, value in re.findall(r"<tr><td>([\w ]+)</td><td class=num>([-+\d,.]+)</td></tr>", text)
    }
    parts = sum(figures[label] for label in CHARGES.values())
    assert figures["all charges"] == pytest.approx(parts, abs=0.005)
    assert figures["net"] == pytest.approx(figures["gross"] + parts, abs=0.005)
    assert figures["net"] == pytest.approx(frames.pnl["net"][-1], abs=0.01)


def test_charges_are_summed_over_contract_notes(frames):
    twice = pl.concat([frames.charges, frames.charges])
    assert dict(charge_totals(twice))["STT"] == pytest.approx(2 * 61.2)
    assert charge_totals(frames.charges.clear())[0][1] == 0.0


def test_settings_and_quality_are_listed_as_they_are(frames, text):
    for key, value in frames.settings.items():
        assert f"<td>{key}</td><td class=wrap>{value}</td>" in text
    assert "12:16 to 12:34" in text


def test_positions_show_signed_quantities_and_unknown_as_a_dash(text):
    assert "<td class=num>-75</td>" in text
    row = next(r for r in re.findall(r"<tr>(.*?)</tr>", text) if "24200 PE</td>" in r and "1,250.50" in r)
    assert "<td class=num>–</td>" in row


def test_an_idle_strategy_still_gives_a_page(frames):
    none = without(
        frames,
        orders=frames.orders.clear(),
        order_events=frames.order_events.clear(),
        positions=frames.positions.clear(),
        charges=frames.charges.clear(),
        quality=frames.quality.clear(),
        pnl=frames.pnl.with_columns(
            *(pl.lit(None, dtype=pl.Float64).alias(c) for c in ("delta", "gamma", "vega", "theta")),
            *(pl.lit(0.0).alias(c) for c in ("realized", "unrealized", "gross", "charges", "net")),
        ),
    )
    text = body(none)
    for sentence in (
        "The strategy placed no order.",
        "there is no position",
        "no Greeks to show",
        "Every row of the session was used",
    ):
        assert sentence in text


def test_a_session_without_a_usable_snapshot_says_so(frames):
    none = without(
        frames, **{k: getattr(frames, k).clear() for k in ("orders", "order_events", "positions", "pnl", "oi", "heat", "spot", "charges")}
    )  # fmt: skip
    text = body(none)
    assert "no snapshot that could be used" in text
    assert "No snapshot, so no P&amp;L" in text


def test_an_unknown_order_keeps_its_word_and_its_colour(frames):
    unknown = frames.orders.with_columns(ord_status=pl.lit("unknown"))
    assert '<span class="status unknown">? unknown</span>' in body(without(frames, orders=unknown))


def test_only_the_heatmaps_expiry_is_drawn_as_levels(frames):
    other = frames.oi.with_columns(expiry=pl.lit(frames.oi["expiry"][0]).dt.offset_by("7d"))
    both = pl.concat([frames.oi, other])
    assert nearest_levels(both, frames.heat).equals(frames.oi)
    assert nearest_levels(both, frames.heat.clear()).equals(frames.oi)


def test_the_file_is_small_the_same_each_time_and_needs_a_folder(frames, tmp_path):
    first = write_day_report(frames, tmp_path / "a.html")
    second = write_day_report(frames, tmp_path / "b.html")
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 3_000_000
    with pytest.raises(BadData, match="cannot write"):
        write_day_report(frames, tmp_path / "none" / "a.html")
