"""The replay page in a real browser: the slider moves time for everything, and only time that has passed is shown."""

from __future__ import annotations

import http.client
from urllib.parse import parse_qs, urlsplit

import pytest

from toolkit.report import fmt


@pytest.fixture(scope="module")
def film(sample_day):
    from toolkit.report.film import Film

    return Film(sample_day, sample_day.chains)


def opened(open_page, address, width=1366, query="", scheme="light", forgive="\0"):
    page = open_page(width, scheme, allowed=address, forgive=forgive)
    page.goto(address + query)
    page.locator(".chain .sheet[data-seq] .row").nth(5).wait_for()
    page.locator(".clock:not([data-shown='-1'])").wait_for()
    return page


def go(page, index):
    """Move the slider to a moment and wait until the page shows it."""
    slider = page.get_by_role("slider", name="time of day")
    slider.evaluate("(el, v) => { el.value = v; el.dispatchEvent(new Event('input', {bubbles: true})); }", str(index))
    page.locator(f".clock[data-shown='{index}']").wait_for()
    settled(page)


def settled(page):
    """Two frames after the last message everything sent has been painted."""
    page.wait_for_function("Bokeh.documents.every((d) => d.is_idle)")
    page.evaluate("() => new Promise((ok) => requestAnimationFrame(() => requestAnimationFrame(ok)))")


def cells(page, slot):
    script = """(root) => [...root.querySelectorAll('.row:not(.head)')].map(
        (r) => [...r.children].map((c) => c.textContent))"""
    return page.locator(f".{slot} .sheet").evaluate(script)


def wait_cells(page, slot, count):
    page.wait_for_function(
        """([slot, count]) => { const find = (n) => { for (const e of n.querySelectorAll('*')) {
             if (e.classList.contains('sheet')) return e;
             const inner = e.shadowRoot && find(e.shadowRoot); if (inner) return inner; } return null; };
           const grid = find(document.querySelector('.' + slot));
           return grid && grid.querySelectorAll('.row:not(.head)').length === count; }""",
        arg=[slot, count],
    )


@pytest.fixture(scope="module")
def desk(dashboard, share_page):
    """One page at a laptop's width, shared: each test goes to the moment it is about."""
    return opened(share_page, dashboard)


def wait_address(page, part):
    page.wait_for_function("(part) => location.search.includes(part)", arg=part)


def test_the_page_opens_on_the_whole_day_and_says_what_it_is(desk, film):
    page = desk
    header = page.inner_text("header")
    assert "PAPER replay" in header
    assert "SYNTHETIC" in header
    assert "read-only" in header
    assert page.title() == "SYNTHETIC PAPER replay NIFTY"
    assert f"({len(film)} of {len(film)})" in page.locator(".clock output").inner_text()
    for slot in ("calls", "puts", "money"):
        canvas = page.locator(f".{slot} canvas").first
        canvas.wait_for()
        assert canvas.bounding_box()["height"] > 200
    wait_cells(page, "orders", film.orders(len(film) - 1).height)


def test_the_slider_moves_clock_chain_heatmap_orders_and_money(desk, film):
    page = desk
    page.locator(".calls canvas").first.wait_for()
    seen = []
    for index in (len(film) - 1, len(film) // 2, 20):
        go(page, index)
        wait_cells(page, "orders", film.orders(index).height)
        clock = page.locator(".clock output").inner_text()
        assert fmt.time_ist(int(film.now_ns[index]), date=True) in clock
        book = cells(page, "orders")
        assert [row[2] for row in book] == film.orders(index)["symbol"].to_list()
        net = page.locator(".figures .value").first.inner_text()
        assert net == fmt.rupees(film.money(index)["net"])
        seen.append((clock, str(cells(page, "chain")), len(book), page.locator(".calls").screenshot()))
    for part in range(4):
        assert len({s[part] for s in seen}) > 1, f"part {part} did not move with the slider"


def test_the_chain_shows_the_sessions_own_figures_at_that_time(desk, film):
    from toolkit.config import share
    from toolkit.store.session import open_session

    page = desk
    index = len(film) // 3
    go(page, index)
    expiry = film.expiries(index)[0]
    rows = open_session(share("data", "sample")).chain(at=int(film.now_ns[index]), underlying="NIFTY", expiry=expiry)
    known = {(s / 100, t): (oi, ltp) for s, t, oi, ltp in rows.select("strike_p", "option_type", "oi", "ltp").rows()}
    shown = [row for row in cells(page, "chain") if len(row) > 1]
    assert len(shown) == 31
    for row in shown:
        strike = float(row[9].replace(",", ""))
        assert (row[1], row[5]) == (fmt.lakh(known[strike, "CE"][0]), fmt.price(known[strike, "CE"][1]))
        assert (row[17], row[13]) == (fmt.lakh(known[strike, "PE"][0]), fmt.price(known[strike, "PE"][1]))


def test_the_first_moment_has_no_order_and_says_so(desk):
    page = desk
    page.get_by_role("button", name="first snapshot").click()
    page.locator(".clock[data-shown='0']").wait_for()
    page.get_by_text("No order yet: the strategy has not acted by this time.").wait_for()


def test_the_keyboard_moves_time_by_one_snapshot(desk, film):
    page = desk
    last = len(film) - 1
    go(page, last)
    page.get_by_role("slider", name="time of day").focus()
    for step in (1, 2, 3):
        page.keyboard.press("ArrowLeft")
        page.locator(f".clock[data-shown='{last - step}']").wait_for()


def test_play_runs_and_stops_at_the_end(desk, film):
    page = desk
    go(page, len(film) - 3)
    page.get_by_role("button", name="play").click()
    page.locator(f".clock[data-shown='{len(film) - 1}']").wait_for()
    page.get_by_role("button", name="play").wait_for()


def test_the_address_keeps_the_place(open_page, dashboard, film):
    page = opened(open_page, dashboard)
    index = len(film) // 2
    go(page, index)
    page.locator(".expiry select").select_option(film.expiries(index)[1].isoformat())
    page.locator(".measure select").select_option("level")
    wait_address(page, "measure=level")
    asked = parse_qs(urlsplit(page.url).query)
    assert asked["expiry"] == [film.expiries(index)[1].isoformat()]
    before = cells(page, "chain")
    again = opened(open_page, dashboard, query="?" + urlsplit(page.url).query)
    settled(again)
    assert again.locator(".clock").get_attribute("data-shown") == str(index)
    assert again.locator(".expiry select").input_value() == film.expiries(index)[1].isoformat()
    assert again.locator(".measure select").input_value() == "level"
    assert cells(again, "chain") == before


def test_an_address_that_means_nothing_opens_the_default_page(open_page, dashboard, film):
    page = opened(open_page, dashboard, query="?at=yesterday&expiry=never&measure=colour&strikes=-4")
    assert page.locator(".clock").get_attribute("data-shown") == str(len(film) - 1)
    assert page.locator(".expiry select").input_value() == film.expiries(0)[0].isoformat()


def test_another_expiry_leaves_no_row_of_the_old_one(desk, film):
    page = desk
    index = len(film) - 1
    go(page, index)
    expiry = film.expiries(index)[-1]
    page.locator(".expiry select").select_option(expiry.isoformat())
    moment = film.chain(index, expiry)
    wanted = [fmt.strike(float(moment.slice.strikes[i])) for i in moment.index]
    wait_cells(page, "chain", len(wanted) + 1)
    wait_address(page, f"expiry={expiry.isoformat()}")
    settled(page)
    assert [row[9] for row in cells(page, "chain") if len(row) > 1] == wanted


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1366, "dark")])
def test_a_phone_and_a_dark_screen(open_page, dashboard, width, scheme):
    page = opened(open_page, dashboard, width=width, scheme=scheme)
    page.locator(".money canvas").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(15, 19, 24)" if scheme == "dark" else "rgb(254, 254, 254)")
    grid = page.locator(".chain .sheet")
    box, center = grid.bounding_box(), page.locator(".chain .center .whole").bounding_box()
    assert box["y"] < center["y"] < box["y"] + box["height"], "the level is in view at the first paint"


def test_only_this_machine_and_this_address_may_ask(dashboard):
    place = urlsplit(dashboard)
    assert place.hostname == "127.0.0.1"
    asked = {}
    for origin in (f"http://evil.example:{place.port}", f"http://127.0.0.1.evil:{place.port}", "http://127.0.0.1:1"):
        link = http.client.HTTPConnection(place.hostname, place.port, timeout=10)
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            "Sec-WebSocket-Protocol": "bokeh, x",
            "Origin": origin,
        }
        link.request("GET", "/ws", headers=upgrade)
        asked[origin] = link.getresponse().status
        link.close()
    assert set(asked.values()) == {403}


def test_a_page_whose_server_is_gone_says_so_and_freezes(open_page, dashboard):
    page = opened(open_page, dashboard, forgive="503")
    before = cells(page, "chain")
    page.route("**/liveness", lambda route: route.fulfill(status=503, body=""))
    page.locator("#banner:not([hidden])").wait_for()
    assert "does not answer since" in page.inner_text("#banner")
    assert page.locator("main[inert]").count() == 1
    assert cells(page, "chain") == before
    page.unroute("**/liveness")
    page.locator("#banner[hidden]").wait_for(state="attached")
