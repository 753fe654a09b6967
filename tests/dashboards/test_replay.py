"""The replay page without a browser: rows, marks and figures are the film's, formatted."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from toolkit.config import share
from toolkit.report import fmt

FOLDER = Path(__file__).resolve().parents[2] / "dashboards"


@pytest.fixture(scope="module")
def pages():
    from toolkit.cli.dashboard import load_pages

    return load_pages()


@pytest.fixture(scope="module")
def film():
    from toolkit.batch.replay import replay
    from toolkit.report.film import Film

    result = replay(share("data", "sample"), "short-straddle", underlying="NIFTY")
    return Film(result, result.chains)


@pytest.fixture
def page(pages, film):
    made = pages.ReplayPage(film)
    made.start()
    return made


def test_the_page_starts_at_the_end_of_the_day(page, film):
    last = len(film) - 1
    assert (page.time.index, page.time.shown, page.time.last) == (last, last, last)
    assert page.expiry == film.expiries(last)[0].isoformat()
    assert page.at.endswith(fmt.time_ist(int(film.now_ns[last]), zone=False))


def test_every_slot_has_a_component(page):
    assert list(page.parts()) == list(page.slots)


def test_moving_time_moves_everything_and_the_address(page, film):
    seen = set()
    for index in (0, 40, len(film) - 1):
        page.time.index = index
        assert page.time.shown == index
        net = next(item for item in page.figures.items if item[0].startswith("Net"))
        assert net[1] == fmt.rupees(film.money(index)["net"])
        assert len(page.orders._rows) == film.orders(index).height
        seen.add((page.at, str(page.chain._rows), page._veils["CE"].left, page._veils["money"].left))
    assert len(seen) == 3
    assert len({s[2] for s in seen}) == 3


def test_the_address_finds_its_moment_again(pages, film, page):
    page.time.index = 100
    other = pages.ReplayPage(film, at=page.at, expiry=film.expiries(0)[1].isoformat(), measure="level")
    other.start()
    assert other.time.index == 100
    assert other.expiry == film.expiries(0)[1].isoformat()
    assert other.pick_measure.value == "level"


@pytest.mark.parametrize("text", ["", "yesterday", "2026-99-99T00:00:00"])
def test_an_address_without_a_time_means_the_end(pages, film, text):
    assert pages.ReplayPage(film, at=text)._index_of(text) == len(film) - 1


def test_choosing_an_expiry_changes_the_chain_only(page, film):
    before = list(page.orders._rows)
    page.pick_expiry.value = film.expiries(0)[-1].isoformat()
    assert page.expiry == film.expiries(0)[-1].isoformat()
    moment = film.chain(page.time.index, film.expiries(0)[-1], page.strikes)
    assert page.chain._keys == [k for k in page.chain._keys if k]
    assert len([k for k in page.chain._keys if k != "level"]) == len(moment.index)
    assert page.orders._rows == before


def test_choosing_the_measure_redraws_both_heatmaps(page):
    before = page.heat["CE"].object, page.heat["PE"].object
    page.pick_measure.value = "level"
    assert page.heat["CE"].object is not before[0]
    assert page.heat["PE"].object is not before[1]


def test_chain_rows_are_the_slice_formatted(pages, film):
    index = 50
    moment = film.chain(index, film.expiries(index)[0], 9)
    keys, rows, marks = pages.chain_rows(moment)
    level = keys.index("level")
    assert marks[level] == "center"
    assert len(rows[level]) == 1
    assert all(m == "itm-c" for m in marks[:level])
    assert all(m == "itm-p" for m in marks[level + 1 :])
    width = len(pages._chain_columns())
    strikes = [r for r in rows if len(r) > 1]
    assert {len(r) for r in strikes} == {width}
    i = moment.index[0]
    assert strikes[0][1] == fmt.lakh(moment.slice.ce.oi[i])
    assert strikes[0][width // 2] == fmt.strike(moment.slice.strikes[i])
    assert strikes[0][-2] == fmt.lakh(moment.slice.pe.oi[i])
    assert float(moment.slice.strikes[moment.index[level - 1]]) < moment.slice.forward


def test_an_old_slice_is_marked_stale_and_keeps_its_values(pages, film):
    moment = film.chain(50, film.expiries(50)[0], 5)
    old = dataclasses.replace(moment, age_s=600.0)
    fresh_rows, old_rows = pages.chain_rows(moment)[1], pages.chain_rows(old)[1]
    assert fresh_rows == old_rows
    marks = pages.chain_rows(old)[2]
    assert all("stale" in m for m in marks if m != "center")


def test_unknown_figures_are_dashes(pages, film):
    moment = film.chain(50, film.expiries(50)[0], 3)
    nothing = np.full_like(moment.slice.ce.oi, np.nan)
    legs = dataclasses.replace(
        moment.slice.ce, oi=nothing, iv=nothing, delta=nothing, ltp=nothing, bid=nothing, ask=nothing
    )
    blank = dataclasses.replace(
        moment,
        slice=dataclasses.replace(moment.slice, ce=legs, forward=float("nan"), spot=float("nan")),
        change=np.full_like(moment.change, np.nan),
    )
    keys, rows, _ = pages.chain_rows(blank)
    assert "level" not in keys, "a level nobody knows has no row"
    assert rows[0][0] == rows[0][1] == rows[0][3] == rows[0][6] == "–"


def test_no_slice_no_rows(pages):
    assert pages.chain_rows(None) == ([], [], [])


def test_order_rows_dim_what_is_closed_and_colour_what_is_unknown(pages, film):
    book = film.orders(len(film) - 1)
    unknown = book.with_columns(ord_status=pl.lit("unknown"), is_open=pl.lit(True))
    assert set(pages.order_rows(unknown)[2]) == {"unknown"}
    assert pages.order_rows(book)[2] == ["" if o else "dim" for o in book["is_open"]]
    assert pages.order_rows(book)[0] == book["cl_ord_id"].to_list()


def test_an_idle_day_has_a_page_too(pages, film):
    from toolkit.report.film import Film

    idle = dataclasses.replace(
        film.result,
        orders=film.result.orders.clear(),
        order_events=film.result.order_events.clear(),
        fills=film.result.fills.clear(),
        heat=film.result.heat.clear(),
        oi=film.result.oi.clear(),
        pnl=film.result.pnl.clear(),
    )
    page = pages.ReplayPage(Film(idle, idle.chains))
    page.start()
    assert page.orders._rows == []
    assert page.figures.items[0][1] == "–"


def test_the_header_says_paper_and_synthetic(page, pages, film):
    assert page.mode() == "PAPER replay"
    assert any("SYNTHETIC" in text for text, _ in page.words())
    assert page.window_title() == "SYNTHETIC PAPER replay NIFTY"
    real = dataclasses.replace(film.result, settings={**film.result.settings, "synthetic": "no"})
    other = pages.ReplayPage(type(film)(real, real.chains))
    assert not any("SYNTHETIC" in text for text, _ in other.words())


def test_pages_hold_no_computation():
    """The pages import no numeric room of the toolkit: a number they need is a field of what they are given."""
    for file in sorted(FOLDER.glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
        rooms = {n for n in names if n.startswith("toolkit")}
        assert all(n.startswith("toolkit.report") for n in rooms), f"{file.name} imports {rooms}"
        assert len(file.read_text(encoding="utf-8").splitlines()) < 350
