"""Market data over REST: every sample, quotes by id, odd candles, subscriptions bound to the session."""

from __future__ import annotations

import datetime as dt
import itertools
import json

import httpx
import pytest

from toolkit.brokers.port import DayTerms
from toolkit.brokers.tokens import TokenStore
from toolkit.brokers.xts_market import Candle, XtsMarket, candles_of, listed_quotes, make_feed
from toolkit.brokers.xts_session import XtsLink, forget_sessions
from toolkit.brokers.xts_settings import XtsTerms, xts_settings
from toolkit.calendar import ist_ns
from toolkit.config import Settings
from toolkit.errors import BadData, Refused, Retryable, UnknownSymbol
from toolkit.market.xts_text import decode_partial

QUICK = XtsTerms(
    quotes_per_s=10**6, subscribe_per_s=10**6, ohlc_per_s=10**6, others_per_s=10**6, backoff_s=0.0, login_every_s=0.0, batch=4
)  # fmt: skip
NOW = ist_ns(dt.date(2026, 6, 15), dt.time(10, 0))
MASTER = """NSECM|2885|8|RELIANCE|RELIANCE-EQ|EQ|RELIANCE-EQ|1100100002885|1440.4|1178.6|67662|0.1|1|1
NSEFO|49543|1|NIFTY|NIFTY26JUNFUT|FUTIDX|NIFTY-FUTIDX|1|1|1|1801|0.1|65|1|-1|Nifty 50|2026-06-30T14:30:00"""
NUMBERS = itertools.count()


class Install:
    """An XTS install as a function: subscriptions bound to the token, in either batch mode."""

    def __init__(self, mode="whole", limit=100, minutes=False):
        self.mode, self.limit, self.minutes = mode, limit, minutes
        self.calls = []
        self.have = {}
        self.token = 0
        self.script = {}
        self.silent = set()

    def __call__(self, request):
        path = request.url.path.removeprefix("/apimarketdata")
        body = json.loads(request.content) if request.content else dict(request.url.params)
        self.calls.append((request.method, path, body))
        if (request.method, path) in self.script:
            return self.script[request.method, path](body)
        if path == "/auth/login":
            self.token += 1
            self.have = {}
            return ok({"token": f"T{self.token}", "userID": "U"}, "e-response-0010")
        if request.headers["Authorization"] != f"T{self.token}":
            return no("e-session-0007", "Invalid Token")
        if path == "/instruments/subscription":
            return (self.subscribe if request.method == "POST" else self.unsubscribe)(body)
        if path == "/instruments/quotes":
            return self.quotes(body)
        if path == "/instruments/master":
            return ok(MASTER)
        if path == "/instruments/indexlist":
            return (
                ok({"indexList": ["NIFTY 50_26000"]})
                if body["exchangeSegment"] == "1"
                else no("e-instrument-0001", "none")
            )
        return httpx.Response(404, headers={"Content-Type": "text/html"}, content=b"<pre>Cannot GET</pre>")

    def subscribe(self, body):
        rows = [((r["exchangeSegment"], r["exchangeInstrumentID"]), r) for r in body["instruments"]]
        code = body["xtsMessageCode"]
        new = [(p, r) for p, r in rows if (*p, code) not in self.have]
        if len(new) < len(rows) and (self.mode == "whole" or not new):
            return no(
                "e-session-0002", "Instrument Already Subscribed !", {"Remaining_Subscription_Count": self.left()}
            )
        if len(new) > self.left():
            return no("e-session-0004", "Subscription limit exceeded")
        self.have |= {(*p, code): True for p, _ in new}
        quotes = [text(code, *p) for p, _ in new]
        return ok(
            {
                "mdp": code,
                "quotesList": [r for _, r in new],
                "listQuotes": quotes,
                "Remaining_Subscription_Count": self.left(),
            }
        )

    def left(self):
        return self.limit - len(self.have)

    def unsubscribe(self, body):
        for row in body["instruments"]:
            self.have.pop((row["exchangeSegment"], row["exchangeInstrumentID"], body["xtsMessageCode"]), None)
        return ok({"xtsMessageCode": body["xtsMessageCode"], "unsubList": body["instruments"]})

    def quotes(self, body):
        if body.get("publishFormat") != "JSON" or len(body["instruments"]) > 100:
            return no("e-quotes-0003", "bad request")
        places = [(r["exchangeSegment"], r["exchangeInstrumentID"]) for r in body["instruments"]]
        rows = [text(body["xtsMessageCode"], *p) for p in reversed(places) if p not in self.silent]
        return ok({"mdp": 1, "quotesList": body["instruments"], "listQuotes": [None, *rows]})

    def made(self, method, path):
        return [body for m, p, body in self.calls if (m, p) == (method, path)]


def ok(result, code="s-x"):
    return httpx.Response(200, json={"type": "success", "code": code, "description": "done", "result": result})


def no(code, words, result=None):
    return httpx.Response(400, json={"type": "error", "code": code, "description": words, "result": result or {}})


def text(code, segment, instrument):
    return json.dumps({"MessageCode": code, "ExchangeSegment": segment, "ExchangeInstrumentID": instrument,
                       "BidInfo": {"Size": 10, "Price": 99.95}, "AskInfo": {"Size": 20, "Price": 0},
                       "LastTradedPrice": 100.05, "OpenInterest": 7})  # fmt: skip


@pytest.fixture
async def make(tmp_path):
    forget_sessions()
    links = []

    def one(install, terms=QUICK):
        settings = xts_settings(
            Settings.load(environ={}), root="http://127.0.0.1:9", md_app_key=f"K{next(NUMBERS)}", md_secret_key="S"
        )
        links.append(
            XtsLink(
                settings, "market", terms=terms, tokens=TokenStore(tmp_path), transport=httpx.MockTransport(install)
            )
        )
        return XtsMarket(links[-1], lambda: NOW)

    yield one
    for link in links:
        await link.close()


def places(*tokens):
    return [(2, token) for token in tokens]


def sample(shared, name):
    return json.loads(shared("fixtures", "xts", f"{name}.json").read_text())


# contracts


async def test_the_master_holds_every_segment_and_the_indices(make):
    install = Install()
    market = make(install)
    master = await market.master()
    assert [i.symbol for i in master] == ["RELIANCE EQ", "NIFTY 30JUN2026 FUT", "NIFTY"]
    assert await market.master() is master
    assert install.made("POST", "/instruments/master") == [
        {"exchangeSegmentList": ["NSECM", "NSEFO", "BSECM", "BSEFO"]}
    ]
    assert [b["exchangeSegment"] for b in install.made("GET", "/instruments/indexlist")] == ["1", "11"]


async def test_a_master_that_is_none(make):
    install = Install()
    install.script["POST", "/instruments/master"] = lambda body: ok({})
    with pytest.raises(BadData, match="not a text"):
        await make(install).master()


async def test_configuration_and_expiry_samples(make, shared):
    install = Install()
    for path, name in (
        ("/config/clientConfig", "md_client_config"),
        ("/instruments/instrument/expiryDate", "md_expiry_dates"),
    ):
        answer = sample(shared, name)["body"]
        install.script["GET", path] = lambda body, answer=answer: httpx.Response(200, json=answer)
    market = make(install)
    assert (await market.config())["exchangeSegments"]["NSEFO"] == 2
    assert await market.expiries("NSEFO", "OPTIDX", "NIFTY") == (dt.date(2025, 12, 30), dt.date(2026, 1, 27))
    assert install.made("GET", "/instruments/instrument/expiryDate") == [
        {"exchangeSegment": "2", "series": "OPTIDX", "symbol": "NIFTY"}
    ]


async def test_listing_samples(make, shared):
    install = Install()
    by_id, options = sample(shared, "md_search_by_id"), sample(shared, "md_option_symbol")
    install.script["POST", "/search/instrumentsbyid"] = lambda body: httpx.Response(200, json=by_id["body"])
    install.script["GET", "/instruments/instrument/optionSymbol"] = lambda body: httpx.Response(
        200, json=options["body"]
    )
    market = make(install)
    assert (await market.described([(1, 2885)]))["symbol"].to_list() == ["RELIANCE EQ"]
    assert install.made("POST", "/search/instrumentsbyid") == [by_id["request"]["json"]]
    found = await market.options("NSEFO", "OPTIDX", "BANKNIFTY", dt.date(2026, 6, 30), "PE", 52100)
    assert found["symbol"].to_list() == ["BANKNIFTY 30JUN2026 52100 PE"]
    (asked,) = install.made("GET", "/instruments/instrument/optionSymbol")
    assert asked == {k: str(v) for k, v in options["request"]["params"].items()}


# the day's terms


async def test_a_close_is_asked_for_once_and_the_band_is_the_masters(make):
    install, closes = Install(), {49543: 23852.55, 26000: 23810.0, 2885: 0}
    quiet = install.quotes

    def quoted(body):
        rows = []
        for row in body["instruments"]:
            place = row["exchangeSegment"], row["exchangeInstrumentID"]
            if place not in install.silent:
                rows.append(text(body["xtsMessageCode"], *place)[:-1] + f', "Close": {closes[place[1]]}}}')
        return quiet(body) if body["xtsMessageCode"] != 1501 else ok({"listQuotes": rows})

    install.quotes = quoted
    install.silent = {(2, 49543)}
    market = make(install)
    share, future, index = list(await market.master())
    first = await market.day_terms([share, future, index])
    assert first == {
        share.token: DayTerms(None, 117_860, 144_040),
        future.token: DayTerms(None, None, None),  # no tick yet, and a band that is none
        index.token: DayTerms(2_381_000, None, None),
    }
    install.silent = set()
    assert (await market.day_terms([share, future, index]))[future.token] == DayTerms(2_385_255, None, None)
    asked = [[r["exchangeInstrumentID"] for r in b["instruments"]] for b in install.made("POST", "/instruments/quotes")]
    assert asked == [[2885, 49543, 26000], [2885, 49543]]
    market.moved[2, 49543] = {110: 1.0, 88: 26_237.7}
    assert (await market.day_terms([future]))[future.token] == DayTerms(2_385_255, None, None)
    market.moved[2, 49543][87] = 21_467.3
    assert (await market.day_terms([future]))[future.token] == DayTerms(2_385_255, 2_146_730, 2_623_770)


async def test_the_socket_of_a_market_tells_it_which_bands_moved(make):
    market = make(Install())
    feed = make_feed(market)
    book = feed.wire._book
    book.partial(decode_partial(1105, "t:2_49543,87:21467.30,88:26237.70"))
    assert market.moved == {(2, 49543): {87: 21467.3, 88: 26237.7}}
    await market.master()
    assert market.moved == book.bands == {}  # a day's bands end with it


# quotes


@pytest.mark.parametrize(("name", "code"), [("md_quotes_1502", 1502), ("md_quotes_1510", 1510)])
async def test_the_quote_samples(make, shared, name, code):
    install = Install()
    install.script["POST", "/instruments/quotes"] = lambda body: httpx.Response(200, json=sample(shared, name)["body"])
    market = make(install)
    found = await market.quotes([(2, 49543)], code)
    assert found[2, 49543].code == code
    assert install.made("POST", "/instruments/quotes") == [sample(shared, name)["request"]["json"]]


async def test_quotes_are_matched_by_id_and_batched(make):
    install = Install()
    install.silent = {(2, 3)}
    market = make(install)
    found = await market.quotes(places(1, 2, 3, 4, 5, 6, 1))
    assert [(p, t.instrument) for p, t in found.items()] == [((2, k), k) for k in (1, 2, 4, 5, 6)]
    assert [len(b["instruments"]) for b in install.made("POST", "/instruments/quotes")] == [4, 2]
    assert market.odd == 0


async def test_too_many_at_once_are_split(make):
    install = Install()
    market = make(install, XtsTerms(quotes_per_s=10**6, others_per_s=10**6, batch=150, backoff_s=0))
    assert len(await market.quotes(places(*range(1, 151)))) == 150
    assert [len(b["instruments"]) for b in install.made("POST", "/instruments/quotes")] == [150, 75, 75]


@pytest.mark.parametrize(
    "result",
    [
        {"listQuotes": []},
        {},
        "",
        {"listQuotes": None},
        {"listQuotes": ["{broken"]},
        {"quotesList": [{"exchangeSegment": 2}]},
    ],
)
async def test_no_quote_is_absent(make, result):
    install = Install()
    install.script["POST", "/instruments/quotes"] = lambda body: ok(result)
    assert await make(install).quotes(places(1)) == {}


def test_quotes_under_either_key():
    quote = text(1502, 2, 1)
    assert listed_quotes({"quotesList": [quote], "listQuotes": [{"exchangeSegment": 2}]}) == [quote]
    assert listed_quotes({"listQuotes": [json.loads(quote), None, ""]}) == [json.loads(quote)]
    assert listed_quotes([]) == listed_quotes(None) == []


async def test_quotes_of_contracts(make):
    market = make(Install())
    future = (await market.master()).find("NIFTY 30JUN2026 FUT")
    (quote,) = (await market.quote([future])).values()
    assert (quote.bid_p, quote.bid_qty, quote.ask_p, quote.ask_qty, quote.ltp_p) == (9995, 10, None, None, 10005)
    assert quote.ts_ns == NOW
    with pytest.raises(UnknownSymbol):
        (await market.master()).find("NIFTY 30JUN2026 FUX")


# candles

START = ist_ns(dt.date(2025, 12, 16), dt.time(9, 15))


async def test_the_candle_sample(make, shared):
    found = sample(shared, "md_ohlc")
    install = Install()
    install.script["GET", "/instruments/ohlc"] = lambda body: httpx.Response(200, json=found["body"])
    bars = await make(install).candles("NSEFO", 49543, START, START + 22_500 * 10**9)
    assert [b.start_ns for b in bars] == [START + k * 60 * 10**9 for k in range(3)]
    assert bars[0] == Candle(START, 26012.0, 26020.5, 26008.0, 26018.25, 12450, 13250000)
    (asked,) = install.made("GET", "/instruments/ohlc")
    assert asked == {k: str(v) for k, v in found["request"]["params"].items()}


@pytest.mark.parametrize(("key", "bars"), [("dataReponse", 1), ("dataResponse", 1), ("datareponse", 1), ("other", 0)])
async def test_either_spelling_of_the_answer(make, key, bars):
    install = Install()
    install.script["GET", "/instruments/ohlc"] = lambda body: ok({key: "1765876559|1|2|1|2|5|"})
    assert len(await make(install).candles("NSEFO", 1, START, START)) == bars


async def test_an_install_that_counts_in_minutes_is_found_out_once(make):
    def ohlc(body):
        seconds = 60 * int(body["compressionValue"])
        first = START // 10**9 + 19_800 + seconds - 1
        return ok({"dataReponse": ",".join(f"{first + k * seconds}|1|2|1|2|5|6|" for k in range(4))})

    install = Install()
    install.script["GET", "/instruments/ohlc"] = ohlc
    market = make(install)
    for _ in range(2):
        bars = await market.candles("NSEFO", 1, START, START, 60)
        assert [b.start_ns - START for b in bars] == [k * 60 * 10**9 for k in range(4)]
    assert [b["compressionValue"] for b in install.made("GET", "/instruments/ohlc")] == ["60", "1", "1"]


def moment(text):
    month, day, year, clock = text.split()
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    return ist_ns(dt.date(int(year), months.index(month) + 1, int(day)), dt.time.fromisoformat(clock))


@pytest.mark.parametrize("most_days", [1, 3, 7, 30])
async def test_a_long_range_is_read_in_pieces_that_the_install_takes(make, most_days):
    """Range per call limited, by how much is UNSURE: seven days are asked for, and less where that is refused."""
    day_ns = 86_400 * 10**9
    stamps = [START + k * day_ns // 4 for k in range(80)]

    def ohlc(body):
        first, last = moment(body["startTime"]), moment(body["endTime"])
        if last - first >= most_days * day_ns:
            return no("e-ohlc-0001", "Date range exceeds the limit")
        rows = [f"{(at + 59 * 10**9) // 10**9 + 19_800}|1|2|1|2|5|6|" for at in stamps if first <= at <= last]
        return ok({"dataReponse": ",".join(rows)})

    install = Install()
    install.script["GET", "/instruments/ohlc"] = ohlc
    bars = await make(install).candles("NSEFO", 1, START, START + 20 * day_ns)
    assert [bar.start_ns for bar in bars] == stamps
    asked = [(moment(b["startTime"]), moment(b["endTime"])) for b in install.made("GET", "/instruments/ohlc")]
    taken = [(a, b) for a, b in asked if b - a < most_days * day_ns]
    assert (taken[0][0], taken[-1][1]) == (START, START + 20 * day_ns)
    assert all(b + 10**9 == c for (_, b), (c, _) in itertools.pairwise(taken)), (
        "no second is asked for twice or left out"
    )


async def test_an_unknown_instrument_is_asked_for_once_and_a_day_is_not_halved(make):
    install = Install()
    install.script["GET", "/instruments/ohlc"] = lambda body: no("e-instrument-0001", "unknown")
    market = make(install)
    with pytest.raises(Refused):
        await market.candles("NSEFO", 1, START, START + 5 * 86_400 * 10**9)
    assert len(install.made("GET", "/instruments/ohlc")) == 1
    install.script["GET", "/instruments/ohlc"] = lambda body: no("e-ohlc-0001", "no")
    with pytest.raises(Refused):
        await market.candles("NSEFO", 1, START, START + 3600 * 10**9)
    assert len(install.made("GET", "/instruments/ohlc")) == 2


LISTED = {
    "objects": {"subscribedList": [{"exchangeSegment": 2, "exchangeInstrumentID": 49543}]},
    "bare-list": [{"ExchangeSegment": "NSEFO", "ExchangeInstrumentID": "49543"}],
    "texts": {"quotesList": ["2_49543"]},
    "json-texts": {"listQuotes": ['{"ExchangeSegment":2,"ExchangeInstrumentID":49543}', "no json", None]},
    "deeper": {"result": {"instruments": [{"exchangeSegment": "2", "exchangeInstrumentID": "49,543"}]}},
}


@pytest.mark.parametrize("shape", LISTED)
async def test_the_subscriptions_of_a_session_in_any_shape(make, shape):
    install = Install()
    install.script["GET", "/instruments/subscription"] = lambda body: ok(LISTED[shape])
    assert await make(install).subscriptions(1502) == ((2, 49543),)
    assert install.made("GET", "/instruments/subscription") == [{"xtsMessageCode": "1502"}]


@pytest.mark.parametrize("shape", [[], "", {}, None, {"quotesList": []}, "nothing", [5, {"exchangeInstrumentID": 1}]])
async def test_a_session_without_subscriptions(make, shape):
    install = Install()
    install.script["GET", "/instruments/subscription"] = lambda body: ok(shape)
    assert await make(install).subscriptions(1502) == ()


async def test_days_and_sizes(make):
    install = Install()
    install.script["GET", "/instruments/ohlc"] = lambda body: ok({"dataReponse": ""})
    market = make(install)
    assert await market.candles("NSEFO", 1, START, START, None) == ()
    assert install.made("GET", "/instruments/ohlc")[0]["compressionValue"] == "D"
    for odd in (0, 90, -60):
        with pytest.raises(BadData, match="whole minutes"):
            await market.candles("NSEFO", 1, START, START, odd)


def test_bars_start_where_they_start():
    def at(h, m, s):
        return ist_ns(dt.date(2025, 12, 16), dt.time(h, m, s)) // 10**9 + 19_800

    row = "|1|2|1|2|5|6|"
    (hour,) = candles_of(f"{at(10, 14, 59)}{row}", 3600)
    assert hour.start_ns == START
    (last,) = candles_of(f"{at(15, 29, 59)}{row}", 3600)
    assert last.start_ns == ist_ns(dt.date(2025, 12, 16), dt.time(15, 15))
    (day,) = candles_of(f"{at(15, 29, 59)}{row}", None)
    assert day.start_ns == ist_ns(dt.date(2025, 12, 16), dt.time(0))
    assert candles_of(f"{at(9, 15, 59)}|1|2|1|2", 60) == (Candle(START, 1, 2, 1, 2, 0, None),)
    for odd in ("x|1|2|1|2|5|6", "5", f"{at(9, 15, 59)}|1|x|1|2", "-5|1|2|1|2"):
        with pytest.raises(BadData, match="candle"):
            candles_of(odd, 60)


# subscriptions


async def test_the_subscribe_samples(make, shared):
    install = Install()
    for method, name in (("POST", "md_subscribe"), ("PUT", "md_unsubscribe")):
        answer = sample(shared, name)["body"]
        install.script[method, "/instruments/subscription"] = lambda body, answer=answer: httpx.Response(
            200, json=answer
        )
    market = make(install)
    made = await market.subscribe([(2, 49543)], 1502)
    assert (made.remaining, made.already, made.ticks[0].bids[0].price) == (48, (), 25960.5)
    assert install.made("POST", "/instruments/subscription") == [sample(shared, "md_subscribe")["request"]["json"]]
    await market.unsubscribe([(2, 49543)], 1502)
    assert market.subscribed == frozenset()


async def test_what_this_session_has_is_not_asked_for_again(make):
    install = Install()
    market = make(install)
    first = await market.subscribe(places(1, 2), 1502)
    assert ([t.instrument for t in first.ticks], first.remaining) == ([1, 2], 98)
    second = await market.subscribe(places(1, 2, 3), 1502)
    assert ([t.instrument for t in second.ticks], second.already, second.remaining) == ([3], (), 97)
    await market.subscribe(places(1), 1510)
    assert (2, 1, 1510) in market.subscribed
    assert [len(b["instruments"]) for b in install.made("POST", "/instruments/subscription")] == [2, 1, 1]


@pytest.mark.parametrize("mode", ["whole", "new only"])
async def test_already_subscribed_in_both_batch_modes(make, mode):
    install = Install(mode)
    market = make(install)
    await market.login()
    install.have = {(2, k, 1502): True for k in (2, 5)}  # by an earlier run with the same token
    made = await market.subscribe(places(1, 2, 3, 4, 5, 6), 1502)
    assert sorted(t.instrument for t in made.ticks) == [1, 3, 4, 6]
    assert sorted(made.already) == places(2, 5)
    assert market.subscribed == frozenset((2, k, 1502) for k in range(1, 7))
    assert market.remaining == made.remaining == 94


async def test_one_that_is_subscribed_and_silent_is_renewed(make):
    install = Install()
    market = make(install)
    await market.subscribe(places(1), 1502)
    made = await market.renew(places(1), 1502)
    assert [t.instrument for t in made.ticks] == [1]
    assert len(install.made("PUT", "/instruments/subscription")) == 1


async def test_over_the_limit_what_came_before_stays(make):
    install = Install(limit=5)
    market = make(install)
    with pytest.raises(Refused, match="limit exceeded"):
        await market.subscribe(places(*range(1, 9)), 1502)
    assert len(market.subscribed) == 4
    assert market.remaining == 1


async def test_a_new_login_brings_everything_back(make):
    install = Install()
    market = make(install)
    await market.subscribe(places(1, 2), 1502)
    await market.subscribe(places(1), 1510)
    assert (await market.resubscribe()).ticks == ()
    assert len(install.made("POST", "/instruments/subscription")) == 2
    market.link.expire()
    made = await market.resubscribe()
    assert [(t.code, t.instrument) for t in made.ticks] == [(1502, 1), (1502, 2), (1510, 1)]
    assert install.have.keys() == market.subscribed
    assert install.token == 2


async def test_a_token_that_died_unseen_is_replaced_on_the_way(make):
    install = Install()
    market = make(install)
    await market.subscribe(places(1), 1502)
    install.token, install.have = 7, {}  # another process logged in
    await market.subscribe(places(2), 1502)
    await market.subscribe(places(3), 1502)
    made = await market.resubscribe()
    assert [t.instrument for t in made.ticks] == [1]
    assert install.have.keys() == {(2, k, 1502) for k in (1, 2, 3)} == market.subscribed
    assert (await market.resubscribe()).ticks == ()


async def test_quotes_that_fail_say_so(make):
    install = Install()
    install.script["POST", "/instruments/quotes"] = lambda body: httpx.Response(503)
    with pytest.raises(Retryable, match="did not answer quotes"):
        await make(install).quotes(places(1))
