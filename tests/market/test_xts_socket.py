"""An XTS socket's wire by itself: which version is asked for, the greeting, the heart, what the server says."""

from __future__ import annotations

import pytest

from toolkit.errors import AuthExpired
from toolkit.market.socketio import encode_open
from toolkit.market.xts_socket import Door, SocketWire

S = 1_000_000_000
OPEN = encode_open("abc", 25_000, 5_000)
OPEN_4 = OPEN[:-1] + ',"maxPayload":1000000}'


def wire(**options) -> SocketWire:
    async def door() -> Door:
        return Door("http://127.0.0.1:8802/1interactive", "to/ken+1", "CLI 1")

    return SocketWire(door, {"apiType": "INTERACTIVE"}, **options)


async def ready(**options) -> SocketWire:
    made = wire(**options)
    await made.prepare()
    return made


async def test_the_address_is_percent_encoded_and_shown_by_nobody() -> None:
    made = wire()
    with pytest.raises(AuthExpired, match="nothing was sent"):
        made.url()
    await made.prepare()
    assert made.url() == (
        "ws://127.0.0.1:8802/1interactive/socket.io/"
        "?token=to%2Fken%2B1&userID=CLI%201&apiType=INTERACTIVE&EIO=3&transport=websocket"
    )
    assert "ken" not in repr(made)
    assert made.headers() == {}


async def attempt(
    made: SocketWire, *frames: str, why: str = "closed by the server (code 1006)", status: int = 0
) -> int:
    """One attempt with what the server sends; gives the version that was asked for."""
    await made.prepare()
    asked = made.eio
    if not status:
        made.opened(0)
        for frame in frames:
            made.hear(frame, 0, 0)
    made.ended(why, status)
    return asked


async def test_auto_tries_3_then_4_and_remembers_the_host() -> None:
    versions: dict[str, int] = {}
    made = await ready(versions=versions)
    assert await attempt(made) == 3  # closed without a greeting
    assert await attempt(made, OPEN_4, '40{"sid":"x"}') == 4
    assert versions == {"127.0.0.1:8802": 4}
    assert (await ready(versions=versions)).eio == 4
    assert await attempt(made, why="closed by the server (code 1006)") == 4
    assert await attempt(made) == 4, "a host that is known gets a second chance"
    assert await attempt(made, OPEN, "40") == 3
    assert versions == {"127.0.0.1:8802": 3}


@pytest.mark.parametrize("status", [400])
async def test_a_refused_handshake_of_400_means_the_version_until_both_were_tried(status: int) -> None:
    made = await ready()
    assert 400 not in made.refusals
    assert await attempt(made, status=status) == 3
    assert await attempt(made, status=status) == 4
    assert 400 in made.refusals, "now it may mean the token"
    assert 400 in (await ready(eio="3")).refusals


async def test_a_dead_network_a_refused_token_and_a_set_version_change_nothing() -> None:
    made = await ready()
    made.ended("cannot connect: OSError")
    assert made.eio == 3
    assert await attempt(made, OPEN, '44"Invalid Token"') == 3
    assert made.eio == 3
    fixed = await ready(eio="4")
    assert [await attempt(fixed) for _ in range(3)] == [4, 4, 4]


async def test_what_the_server_shows_counts_for_more_than_what_was_asked() -> None:
    made = await ready()
    made.opened(0)
    assert made.hear(OPEN_4, 0, 0).replies == ("40",), "asked for 3, version 4 answers: greet it at once"
    assert made.hear('40{"sid":"x"}', 0, 0).greeted
    assert made.hear("2", 0, S).replies == ("3",)
    assert made.due_ns == 31 * S

    made = await ready(eio="auto", versions={"127.0.0.1:8802": 4})
    made.opened(0)
    assert made.hear(OPEN, 0, 0).replies == ("40",)
    assert made.hear("40", 0, 0).greeted, "unprompted and without an id: it speaks 3"
    assert made.due_ns == 3 * S
    assert made.beat(3 * S).replies == ("2",)
    assert not made.hear("40", 0, 4 * S).greeted


async def test_a_set_version_is_kept_whatever_the_server_shows() -> None:
    made = await ready(eio="3")
    made.opened(0)
    assert made.hear(OPEN_4, 0, 0).replies == ()


async def test_without_a_greeting_it_ends() -> None:
    made = await ready()
    assert made.due_ns is None
    made.opened(10 * S)
    assert made.due_ns == 15 * S
    assert made.beat(14 * S).ended == ""
    made.hear(OPEN, 0, 14 * S)
    assert made.beat(15 * S).ended == "no greeting within 5 s"


async def test_a_dead_server_is_noticed_within_eight_seconds_and_a_busy_one_lives() -> None:
    made = await ready()
    made.opened(0)
    made.hear(OPEN, 0, 0)
    made.hear("40", 0, 0)
    assert made.beat(3 * S).replies == ("2",)
    made.hear('42["joined","x"]', 0, 4 * S)  # no pong, but alive
    assert made.beat(7 * S).replies == ("2",)
    assert made.due_ns == 11 * S
    assert made.beat(11 * S).ended == "no pong within 4 s"


async def test_events_go_out_as_updates_when_they_are_asked_for() -> None:
    lost: list[int] = []
    made = await ready(tells=("connected", "order", "logout"), lost=lambda: lost.append(1))
    made.opened(0)
    made.hear(OPEN, 0, 0)
    assert made.hear("40", 7, 0).orders == ({"event": "connected", "argument": None},)
    assert made.hear('42["order","{}"]', 7, 0).orders == ({"event": "order", "argument": "{}"},)
    assert made.hear('4217["order",{"a":1}]', 7, 0).orders == ({"event": "order", "argument": {"a": 1}},)
    assert made.hear('42["order"]', 7, 0).orders == ({"event": "order", "argument": None},)
    assert made.hear('42["position","{}"]', 7, 0).orders == ()
    heard = made.hear('42["logout","bye"]', 7, 0)
    assert heard.refused == "the session was ended elsewhere"
    assert heard.orders == ({"event": "logout", "argument": None},)
    assert lost == [1]


async def test_words_of_the_server_are_passed_on_without_the_token() -> None:
    made = await ready()
    made.opened(0)
    made.hear(OPEN, 0, 0)
    refused = made.hear('44{"message":"Invalid to/ken+1"}', 0, 0)
    assert refused.refused == "the server refuses the connection: Invalid ***"
    assert made.hear('42["error","to/ken+1 is wrong"]', 0, 0).notices == ("error: *** is wrong",)
    assert made.hear("41", 0, 0).ended == "the server closed the namespace"
    assert made.hear("1", 0, 0).ended == "the server closed the engine"
    for odd in ("9", "x", "", "42{", b"\x04stray"):
        assert made.hear(odd, 0, 0).fault == "a frame that is no Socket.IO packet"
