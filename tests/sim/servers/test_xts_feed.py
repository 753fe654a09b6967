"""Market data on the socket: bound to the session, in both batch modes, as text, partial text and packets."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from toolkit.market.xts_wire import NARROW, WIDE, decode_binary

CE, PE, FUT, INDEX = 40001, 40002, 40003, 26000


async def blobs(wire, count):
    found = []
    while len(found) < count:
        frame = await wire.take()
        if isinstance(frame, bytes):
            found.append(frame)
    return found


async def test_a_subscription_brings_a_snapshot_and_then_events(serve_xts, dial_xts, shared):
    client = await serve_xts()
    wire = await dial_xts(client)
    made = (await client.subscribe(1502, CE)).json()["result"]
    sample = json.loads(shared("fixtures", "xts", "md_subscribe.json").read_text())["body"]["result"]
    assert set(made) == set(sample)
    assert made["Remaining_Subscription_Count"] == 499
    snapshot, asked = json.loads(made["listQuotes"][0]), json.loads(sample["listQuotes"][0])
    assert set(snapshot) == set(asked)
    assert set(snapshot["Touchline"]) == set(asked["Touchline"])
    assert (snapshot["Bids"][0]["Price"], snapshot["Touchline"]["LastTradedPrice"]) == (100, 100)
    await client.control("POST", "clock", {"at": "09:20"})
    event = await wire.event("1502-json-full")
    assert (event["ExchangeInstrumentID"], event["Bids"][0]["Price"], event["Asks"][0]["Price"]) == (CE, 98, 98.5)
    assert len(event["Bids"]) == len(event["Asks"]) == 5


@pytest.mark.parametrize(("batch", "code", "named"), [("new", 200, [PE]), ("whole", 400, [])])
async def test_a_batch_with_a_known_contract(serve_xts, batch, code, named):
    client = await serve_xts(batch=batch, subscriptions=10)
    assert (await client.subscribe(1501, CE)).status_code == 200
    reply = await client.subscribe(1501, CE, PE)
    result = reply.json()["result"]
    assert reply.status_code == code
    assert [one["exchangeInstrumentID"] for one in result.get("quotesList", [])] == named
    assert result["Remaining_Subscription_Count"] == (8 if batch == "new" else 9)


async def test_all_known_is_e_session_0002_and_another_code_is_another_subscription(serve_xts, shared):
    client = await serve_xts(subscriptions=49)
    await client.subscribe(1502, CE)
    reply = await client.subscribe(1502, CE)
    sample = json.loads(shared("fixtures", "xts", "error_already_subscribed.json").read_text())
    assert (reply.status_code, reply.json()) == (sample["http_status"], sample["body"])
    assert (await client.subscribe(1510, CE)).json()["result"]["Remaining_Subscription_Count"] == 47


async def test_the_limit_refuses_the_whole_call(serve_xts):
    client = await serve_xts(subscriptions=2)
    reply = await client.subscribe(1501, CE, PE, FUT)
    assert (reply.status_code, reply.json()["code"], reply.json()["result"]) == (
        400,
        "e-session-0004",
        {"Remaining_Subscription_Count": 2},
    )
    assert (await client.subscribe(1501, CE, PE)).json()["result"]["Remaining_Subscription_Count"] == 0


async def test_subscriptions_outlive_the_socket_and_die_with_the_session(serve_xts, dial_xts):
    client = await serve_xts()
    first = await dial_xts(client)
    await client.subscribe(1512, CE)
    first.ws.transport.abort()
    again = await dial_xts(client)
    await client.control("POST", "clock", {"at": "09:20"})
    assert (await again.event("1512-json-full"))["LastTradedPrice"] == 98
    await client.md_log_in()
    assert await again.event("logout") == "logged in elsewhere"
    fresh = await dial_xts(client)
    assert (await client.control("GET", "state"))["subscriptions"] == 0
    await client.subscribe(1512, CE)  # as new
    await client.control("POST", "clock", {"at": "10:00"})
    assert (await fresh.event("1512-json-full"))["LastTradedPrice"] == 120


async def test_unsubscribing_ends_it(serve_xts, dial_xts, shared):
    client = await serve_xts()
    wire = await dial_xts(client)
    await client.subscribe(1501, CE, PE)
    body = {"instruments": [{"exchangeSegment": 2, "exchangeInstrumentID": CE}], "xtsMessageCode": 1501}
    path = "/apimarketdata/instruments/subscription"
    found = await client.result("PUT", path, body)
    assert set(found) == set(json.loads(shared("fixtures", "xts", "md_unsubscribe.json").read_text())["body"]["result"])
    assert found["unsubList"] == body["instruments"]
    assert (await client.refusal("PUT", path, body))[1] == "e-session-0003"
    listed = await client.result("GET", path, query={"xtsMessageCode": 1501})
    assert [one["exchangeInstrumentID"] for one in listed["subscribedList"]] == [PE]
    await client.control("POST", "clock", {"at": "09:20"})
    await wire.ws.send("2")
    assert await wire.take(lambda f: not f.startswith('42["joined"')) == "3"


async def test_partial_text_names_what_changed(serve_xts, dial_xts):
    client = await serve_xts()
    wire = await dial_xts(client, broadcastMode="Partial")
    for code in (1501, 1502, 1510, 1512):
        await client.subscribe(code, CE)
    await client.control("POST", "clock", {"at": "09:20"})
    texts = {}
    while len(texts) < 4:
        frame = await wire.take(lambda f: "json-partial" in f)
        name, text = json.loads(frame[2:])
        texts[name[:4]] = dict(part.split(":", 1) for part in text.split(","))
    assert texts["1501"]["t"] == f"2_{CE}"
    assert (texts["1501"]["ltp"], texts["1501"]["bi"], texts["1501"]["v"]) == ("98", "0|650|98|1|1", "2600")
    assert "h" not in texts["1501"]  # the day's high did not change
    assert texts["1502"]["ai"] == "0|650|98.5|1|1||||2||||3||||4|||"
    assert texts["1510"] == {"t": f"2_{CE}", "o": "6500"}
    assert set(texts["1512"]) == {"t", "ltp", "ltq", "lut", "bt", "mt"}


@pytest.mark.parametrize(("layout", "number"), [("narrow", NARROW), ("wide", WIDE)])
@pytest.mark.parametrize(("deflate", "flags"), [("off", {0}), ("on", {1}), ("mixed", {0, 1})])
async def test_packets_in_every_layout(serve_xts, dial_xts, layout, number, deflate, flags):
    client = await serve_xts(format="binary", layout=layout, deflate=deflate, packets=2)
    wire = await dial_xts(client)  # asks for JSON and gets packets
    for code in (1501, 1502, 1510):
        await client.subscribe(code, CE)
    await client.subscribe(1512, CE)
    await client.control("POST", "clock", {"at": "09:20"})
    found = await blobs(wire, 2)
    decoded = [decode_binary(blob) for blob in found]
    assert [(len(d.ticks), d.skipped, d.bad, d.fault) for d in decoded] == [(2, 0, 0, ""), (1, 0, 0, "")]
    ticks = np.concatenate([d.ticks for d in decoded])
    assert ticks["code"].tolist() == [1501, 1502, 1510]
    assert ticks["layout"].tolist()[:2] == [number, number]
    assert ticks["ltp"].tolist() == [98, 98, 0]
    assert ticks["oi"].tolist()[2] == 6500
    assert {found[0][1], found[1][1]} <= flags
    assert ticks["bid"]["price"][:2, 0].tolist() == [98, 98]
    # 1512 has no known packet and stays text; it comes before the packets
    assert "1512" not in str(ticks["code"])


async def test_candles_come_when_their_minute_is_over(serve_xts, dial_xts):
    client = await serve_xts()
    wire = await dial_xts(client)
    await client.subscribe(1505, CE)
    await client.control("POST", "clock", {"at": "09:20"})
    await client.control("POST", "clock", {"at": "10:00"})
    event = await wire.event("1505-json-full")
    assert (event["ExchangeInstrumentID"], event["Open"], event["Close"]) == (str(CE), 98, 98)
    assert (event["BarTime"] + 1) % 60 == 0
    assert event["BarTime"] + 1 - event["BarTime"] // 86_400 * 86_400 == (9 * 60 + 21) * 60


async def test_indices_and_the_markets_close(serve_xts, dial_xts):
    client = await serve_xts()
    wire = await dial_xts(client)
    assert (await client.subscribe(1504, INDEX, segment=1)).status_code == 200
    await client.control("POST", "clock", {"at": "10:00"})
    event = await wire.event("1504-json-full")
    assert (event["IndexName"], event["IndexValue"]) == ("NIFTY 50", 25060)
    await client.control("POST", "clock", {"at": "15:31"})
    event = await wire.event("1507-json-full")
    assert (event["tradingSession"], event["maketType"], event["message"]) == (4, 1, "Normal market has closed")


async def test_touchline_fields_may_lie_flat(serve_xts):
    client = await serve_xts(touchline="flat")
    made = (await client.subscribe(1501, CE)).json()["result"]["listQuotes"][0]
    assert "Touchline" not in json.loads(made)
    assert json.loads(made)["LastTradedPrice"] == 100


@pytest.mark.parametrize("kind", ["deflate", "size", "cut", "attachment"])
async def test_spoiled_packets_are_told_from_good_ones(serve_xts, dial_xts, kind):
    client = await serve_xts(f"malformed:{kind}@WS /apimarketdata#1+1", format="binary")
    wire = await dial_xts(client)
    await client.subscribe(1501, CE)
    await client.control("POST", "clock", {"at": "09:20"})
    spoiled = (await blobs(wire, 1))[0]
    decoded = decode_binary(spoiled)
    if kind == "attachment":
        assert len(decoded.ticks) == 1  # good bytes, but their header never came
    else:
        assert len(decoded.ticks) == 0
        assert decoded.bad or decoded.fault
    await client.control("POST", "clock", {"at": "10:00"})
    assert decode_binary((await blobs(wire, 1))[0]).ticks["ltp"].tolist() == [120]


async def test_any_event_can_be_sent_by_hand(serve_xts, dial_xts):
    client = await serve_xts()
    wire = await dial_xts(client)
    body = {"name": "1105-json-partial", "args": ["t:2_40001,110:110.5,111:90.5"]}
    assert await client.control("POST", "event", body) == {"sent": 1}
    assert await wire.event("1105-json-partial") == "t:2_40001,110:110.5,111:90.5"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await wire.ws.recv()
