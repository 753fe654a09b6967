"""XTS market data as a wire: what is subscribed when, and what each shape of event becomes."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from toolkit.errors import AuthExpired, Refused, Retryable
from toolkit.market.feed_session import Command
from toolkit.market.socketio import encode_event, encode_open
from toolkit.market.xts_feed import XtsWire
from toolkit.market.xts_rows import token_of
from toolkit.market.xts_socket import Door
from toolkit.market.xts_text import decode_full

S = 1_000_000_000
NOW_NS = 1_765_864_800 * S
OPTION, OTHER, SHARE, INDEX = token_of(2, 49543), token_of(2, 49544), token_of(1, 2885), token_of(1, 26000)


def touchline(token: int = OPTION, ltp: float = 100.0, code: int = 1501, **more: Any) -> dict[str, Any]:
    touch = {"LastTradedPrice": ltp, "TotalTradedQuantity": 130, "BidInfo": {"Size": 65, "Price": 99.95}}
    return {"MessageCode": code, "ExchangeSegment": token >> 32, "ExchangeInstrumentID": token & 0xFFFFFFFF, "Touchline": touch} | more  # fmt: skip


class FakeDesk:
    """Takes subscriptions down; refuses what it is told to."""

    def __init__(self) -> None:
        self.subscribed: frozenset = frozenset()
        self.calls: list[tuple[str, list, int]] = []
        self.refuses: dict = {}
        self.limit = 10**6
        self.snapshots = True

    async def subscribe(self, places, code):
        asked = list(places)
        self.calls.append(("subscribe", asked, code))
        for place in asked:
            if error := self.refuses.get((*place, code)):
                raise error
        if len(self.subscribed) + len(asked) > self.limit:
            raise Refused("xts refused the subscription (400 e-session-0004): Subscription limit exceeded")
        fresh = [p for p in asked if (*p, code) not in self.subscribed]
        self.subscribed |= {(*p, code) for p in asked}
        ticks = [decode_full(touchline(token_of(*p), code=code)) for p in fresh if code in (1501, 1502)]
        return SimpleNamespace(ticks=tuple(ticks) if self.snapshots else ())

    async def unsubscribe(self, places, code):
        self.calls.append(("unsubscribe", list(places), code))
        self.subscribed -= {(*p, code) for p in places}

    async def renew(self, places, code):
        await self.unsubscribe(places, code)
        return await self.subscribe(places, code)

    async def quotes(self, places, code=1502):
        self.calls.append(("quotes", list(places), code))
        return {p: decode_full(touchline(token_of(*p), ltp=55.0, code=code)) for p in places if code != 1510}


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
async def wire(desk: FakeDesk) -> XtsWire:
    async def door() -> Door:
        return Door("http://127.0.0.1:8802/apimarketdata", "token", "U")

    made = XtsWire(
        door,
        {"publishFormat": "JSON", "broadcastMode": "Full"},
        desk=desk,
        batch=2,
        index=lambda token: token == INDEX,
        named=lambda segment, name: INDEX if (segment, name.upper()) == (1, "NIFTY 50") else None,
    )
    await connect(made)
    return made


async def connect(made: XtsWire) -> None:
    await made.prepare()
    made.opened(0)
    made.hear(encode_open("a", 25_000, 5_000), NOW_NS, 0)
    assert made.hear("40", NOW_NS, 0).greeted


async def carry(made: XtsWire, *commands: Command) -> tuple[list[int], list[str]]:
    """Tokens of the rows that come, and the notices."""
    tokens: list[int] = []
    notices: list[str] = []
    async for heard in made.carry_out(list(commands), lambda: NOW_NS):
        tokens += heard.ticks["token"].tolist()
        notices += heard.notices
    return tokens, notices


def say(made: XtsWire, name: str, *args: Any):
    heard = made.notice()
    for frame in encode_event(name, *args):
        heard = made.hear(frame if isinstance(frame, str) else b"\x04" + frame, NOW_NS, 0)
    return heard


def want(mode: str, *tokens: int) -> Command:
    return Command("subscribe", tokens, mode)


async def test_a_mode_is_the_codes_that_make_it_up(wire, desk) -> None:
    tokens, notices = await carry(wire, want("full", OPTION, SHARE), want("quote", OTHER), want("full", INDEX))
    assert sorted(tokens) == sorted([OPTION, SHARE, OTHER, INDEX])
    assert notices == []
    assert desk.subscribed == {
        (2, 49543, 1502), (2, 49543, 1510), (1, 2885, 1502), (2, 49544, 1501), (1, 26000, 1501), (1, 26000, 1504),
    }  # fmt: skip
    desk.calls.clear()
    await carry(wire, want("full", OPTION), Command("unsubscribe", (SHARE,)))
    assert desk.calls == [("unsubscribe", [(1, 2885)], 1502)], "only what changed"


async def test_a_new_connection_asks_again_and_shows_what_the_session_had(wire, desk) -> None:
    await carry(wire, want("full", OPTION))
    wire.ended("closed by the server (code 1006)")
    await connect(wire)
    desk.calls.clear()
    assert (await carry(wire, want("full", OPTION)))[0] == [OPTION]
    assert [c[0] for c in desk.calls] == ["subscribe", "quotes", "subscribe", "quotes"]


async def test_a_wish_that_shrank_while_the_link_was_down_is_given_up(wire, desk) -> None:
    await carry(wire, want("quote", OPTION, OTHER))
    wire.ended("closed by the server (code 1006)")
    await connect(wire)
    await carry(wire, want("quote", OTHER))
    assert desk.subscribed == {(2, 49544, 1501)}


async def test_after_a_silent_link_subscriptions_are_made_anew(wire, desk) -> None:
    await carry(wire, want("quote", OPTION))
    wire.ended("silent: none of 1 tokens ticked for 4.0 s")
    await connect(wire)
    desk.calls.clear()
    await carry(wire, want("quote", OPTION))
    assert [c[0] for c in desk.calls][:2] == ["unsubscribe", "subscribe"]


async def test_an_instrument_that_is_refused_costs_no_other(wire, desk) -> None:
    desk.refuses[2, 49544, 1501] = Refused("no such instrument (400 e-instrument-0001)")
    tokens, notices = await carry(wire, want("quote", OPTION, OTHER, SHARE))
    assert sorted(tokens) == sorted([OPTION, SHARE])
    assert len(notices) == 1
    assert "2_49544" in notices[0]
    desk.calls.clear()
    await carry(wire)
    assert desk.calls == [], "it is not asked for again on this connection"


async def test_an_install_without_index_events_tells_of_indices_as_touchlines(wire, desk) -> None:
    desk.refuses[1, 26000, 1504] = Retryable("an error nobody knows")
    assert await carry(wire, want("full", INDEX)) == ([INDEX], [])


async def test_the_limit_is_said_once_and_what_is_given_up_makes_room(wire, desk) -> None:
    desk.limit = 2
    _, notices = await carry(wire, want("quote", OPTION, OTHER, SHARE))
    assert "limit of subscriptions is reached, 1 are left out" in notices[0]
    tokens, notices = await carry(wire, Command("unsubscribe", (SHARE,)))
    assert (tokens, notices) == ([OTHER], [])


async def test_what_fails_for_now_is_raised_and_taken_up_again(wire, desk) -> None:
    desk.refuses[2, 49543, 1501] = Retryable("no answer in time")
    with pytest.raises(Retryable):
        await carry(wire, want("quote", OPTION, OTHER, SHARE))
    assert desk.subscribed == {(2, 49544, 1501)}, "of its batch nobody; other batches are not held up"
    desk.refuses.clear()
    assert sorted((await carry(wire))[0]) == sorted([OPTION, SHARE])


async def test_a_dead_token_ends_the_work(wire, desk) -> None:
    desk.refuses[2, 49543, 1501] = AuthExpired("dead")
    with pytest.raises(AuthExpired):
        await carry(wire, want("quote", OPTION))


async def test_without_snapshots_the_quotes_are_asked_for(wire, desk) -> None:
    desk.snapshots = False
    assert (await carry(wire, want("quote", OPTION)))[0] == [OPTION]
    assert ("quotes", [(2, 49543)], 1501) in desk.calls


FORMS = {
    "text": lambda e: json.dumps(e),
    "object": lambda e: e,
    "list": lambda e: [e],
    "text in a list": lambda e: [json.dumps(e)],
    "flat": lambda e: json.dumps({k: v for k, v in e.items() if k != "Touchline"} | e["Touchline"]),
    "ids as text": lambda e: json.dumps(e | {"ExchangeInstrumentID": str(e["ExchangeInstrumentID"])}),
    "segment by name": lambda e: json.dumps(e | {"ExchangeSegment": "NSEFO"}),
}


@pytest.mark.parametrize("form", FORMS)
async def test_every_shape_of_a_full_event_is_a_tick(wire, form) -> None:
    await carry(wire, want("full", OPTION))
    heard = say(wire, "1501-json-full", FORMS[form](touchline(ltp=123.45)))
    assert (heard.fault, heard.ticks["token"].tolist(), heard.ticks["ltp"].tolist()) == ("", [OPTION], [12345])


async def test_partial_text_is_merged_into_the_snapshot(wire) -> None:
    await carry(wire, want("full", OPTION))
    heard = say(wire, "1502-json-partial", "t:2_49543,ltp:101.5,bi:0|130|101.45|2|1|||")
    assert (heard.ticks["ltp"][0], heard.ticks["volume"][0]) == (10150, 130)
    assert heard.ticks["bid"][0][0].tolist() == (130, 10145, 2)
    assert say(wire, "1510-json-partial", "t:2_49543,o:777").ticks["oi"].tolist() == [777]
    assert say(wire, "1105-json-partial", "t:2_49543,110:2067.75").ticks.size == 0, "a band is no price"
    assert wire.bands[2, 49543] == {110: 2067.75}
    assert say(wire, "1501-json-partial", "t:2_1,ltp:5").skipped == 1


async def test_an_index_comes_by_id_or_by_name(wire) -> None:
    await carry(wire, want("full", INDEX))
    body = {"MessageCode": 1504, "ExchangeSegment": 1, "IndexName": "Nifty 50", "IndexValue": 25464.4}
    for event in (body, body | {"ExchangeInstrumentID": 26000}):
        heard = say(wire, "1504-json-full", json.dumps(event))
        assert (heard.ticks["token"].tolist(), heard.ticks["ltp"].tolist()) == ([INDEX], [2546440])
    assert say(wire, "1504-json-partial", "t:1_NIFTY 50,ltp:25465").ticks["ltp"].tolist() == [2546500]
    assert say(wire, "1504-json-full", json.dumps(body | {"IndexName": "ELSE"})).skipped == 1
    assert say(wire, "1504-json-partial", "t:1_ELSE,ltp:1").skipped == 1


@pytest.mark.parametrize("name", ["bin_1501_narrow_raw", "bin_1501_wide_deflate", "bin_1502_wide_raw"])
@pytest.mark.parametrize("event", ["xts-binary-packet", "1501-binary-full"])
async def test_packets_come_under_either_name_with_or_without_the_leading_four(wire, shared, name, event) -> None:
    sample = json.loads(shared("fixtures", "xts", f"{name}.json").read_text())
    blob = bytes.fromhex(sample["hex"])
    await carry(wire, want("full", token_of(2, 35001)), want("full", OPTION))
    raw = blob[1:] if blob[0] == 4 else blob
    token = token_of(int.from_bytes(raw[3:5], "little"), int.from_bytes(raw[5:9], "little"))
    await carry(wire, want("full", token))
    for some in (raw, b"\x04" + raw):
        heard = say(wire, event, some)
        assert (heard.fault, heard.ticks["token"].tolist()) == ("", [token])
        assert heard.ticks["ltp"][0] > 0


async def test_a_broken_packet_is_counted_and_its_neighbours_are_kept(wire) -> None:
    from toolkit.sim.xts_frames import packet

    good = packet({"MessageCode": 1510, "ExchangeSegment": 2, "ExchangeInstrumentID": 49543, "OpenInterest": 9})
    await carry(wire, want("full", OPTION))
    heard = say(wire, "xts-binary-packet", good + b"\x01" + good[1:])
    assert heard.ticks["oi"].tolist() == [9]
    assert heard.fault
    assert say(wire, "xts-binary-packet", {"no": "bytes"}).fault == "a binary event carries dict"


async def test_what_is_no_data_is_said_or_passed_over(wire) -> None:
    assert say(wire, "joined", "x") == wire.notice()
    assert say(wire, "1501-json-full").fault
    assert say(wire, "1501-json-full", "{").fault
    status = {"MessageCode": 1507, "ExchangeSegment": 2, "ExchangeInstrumentID": 0, "maketType": 1, "tradingSession": 2, "message": "opened"}  # fmt: skip
    assert say(wire, "1507-json-full", json.dumps(status)).notices == ("market status of segment 2: opened",)
    assert say(wire, "1501-json-full", json.dumps(touchline())).skipped == 1, "another program's subscription"
    assert say(wire, "1505-json-full", json.dumps({"MessageCode": 1505, "ExchangeSegment": 2, "ExchangeInstrumentID": "49543", "Close": 5.0})).ticks.size == 0  # fmt: skip
