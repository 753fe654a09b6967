"""The report, opened as a person opens it: a file, no network, a laptop and a phone."""

from __future__ import annotations

import dataclasses
import io

import polars as pl
import pytest
from PIL import Image

EVIL = "<img src=x onerror=\"alert('no')\"> price band"


@pytest.fixture(scope="module")
def report(sample_day, tmp_path_factory):
    return sample_day.report(tmp_path_factory.mktemp("report") / "report.html")


def shown(page, path):
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-charts=ready]", state="attached")
    page.wait_for_function("Bokeh.documents.every((d) => d.is_idle)")
    return page


def colours(image: bytes) -> int:
    picture = Image.open(io.BytesIO(image)).convert("RGB").quantize(64)
    return len(picture.getcolors())


@pytest.mark.parametrize("width", [1366, 390])
def test_every_chart_is_drawn_and_nothing_overflows(open_page, report, width):
    page = shown(open_page(width), report)
    charts = page.locator(".chart")
    assert charts.count() >= 11
    for i in range(charts.count()):
        chart = charts.nth(i)
        chart.scroll_into_view_if_needed()
        box = chart.bounding_box()
        assert box["width"] > (250 if width == 390 else 400), i
        assert box["height"] > 120, i
        assert chart.locator("canvas").first.is_visible()
        assert colours(chart.screenshot()) > 8, f"chart {i} is blank"
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_words_a_reader_looks_for_are_there(open_page, report, sample_day):
    page = shown(open_page(), report)
    assert page.title().startswith("SYNTHETIC NIFTY")
    text = page.inner_text("body")
    for words in ("generated, not traded", "Worst drawdown", "From gross to net", "Data quality", "short-straddle"):
        assert words in text
    assert page.locator(".orders details").count() == sample_day.orders.height


def test_an_order_opens_into_its_life_by_keyboard(open_page, report, sample_day):
    page = shown(open_page(), report)
    first = page.locator(".orders details").first
    assert not first.locator("table").is_visible()
    first.locator("summary").focus()
    page.keyboard.press("Enter")
    first.locator("table").wait_for(state="visible")
    name = sample_day.orders["cl_ord_id"][0]
    events = sample_day.order_events.filter(pl.col("cl_ord_id") == name)
    assert first.locator("tbody tr").count() == events.height
    assert name in first.inner_text()


def test_broker_text_stays_text(open_page, sample_day, tmp_path):
    hostile = dataclasses.replace(
        sample_day,
        orders=sample_day.orders.with_columns(text=pl.lit(EVIL), note=pl.lit(EVIL)),
        order_events=sample_day.order_events.with_columns(text=pl.lit(EVIL)),
    )
    page = shown(open_page(), hostile.report(tmp_path / "report.html"))
    assert page.locator("img").count() == 0
    assert EVIL in page.locator(".orders .why").nth(1).inner_text()


def test_a_dark_screen_gets_a_dark_page_and_dark_charts(open_page, report):
    def darkness(page):
        chart = page.locator(".chart").first
        pixels = Image.open(io.BytesIO(chart.screenshot())).convert("L")
        return page.evaluate("getComputedStyle(document.documentElement).backgroundColor"), pixels.getpixel((3, 3))

    ground, corner = darkness(shown(open_page(scheme="dark"), report))
    assert ground == "rgb(15, 19, 24)"
    assert corner < 40
    ground, corner = darkness(shown(open_page(), report))
    assert ground == "rgb(254, 254, 254)"
    assert corner > 240
