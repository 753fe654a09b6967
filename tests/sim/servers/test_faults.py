"""Faults as text, how often they strike, what they do to an answer."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.sim.servers.faults import DAMAGE, FAULTS, STAND_INS, Fault, FaultBox, checked, parse_fault, spoil, stand_in
from toolkit.sim.servers.http import json_reply

TRUE = json_reply({"status": "success", "data": {"order_id": "1"}})


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("cut-before", ("cut-before", "", "*", 0, 0, 1.0)),
        ("late:5", ("late", "5", "*", 0, 0, 1.0)),
        ("status:503,after@POST /orders#1", ("status", "503,after", "POST /orders", 1, 0, 1.0)),
        ("html:502@/orders+3~0.5", ("html", "502", "/orders", 0, 3, 0.5)),
        (" delay:2.5@GET /quote#2+1 ", ("delay", "2.5", "GET /quote", 2, 1, 1.0)),
    ],
)
def test_the_text_form(text, parts):
    fault = parse_fault(text)
    assert (fault.name, fault.arg, fault.call, fault.count, fault.skip, fault.chance) == parts


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must read NAME"),
        ("late~1.2.3", "must read NAME"),
        ("status#many", "must read NAME"),
        ("cut-befor", "did you mean 'cut-before'"),
        ("late~2", "chance is 0 to 1"),
    ],
)
def test_what_is_not_a_fault(text, says):
    with pytest.raises(BadData, match=says):
        parse_fault(text)


@given(st.text(max_size=30))
def test_any_text_is_a_fault_or_bad_data(text):
    with contextlib.suppress(BadData):
        assert parse_fault(text).name in FAULTS


def test_every_fault_says_what_it_does():
    assert all(len(text) > 10 for text in FAULTS.values())
    assert not set(STAND_INS) & set(DAMAGE)


def test_count_and_skip():
    box = FaultBox([parse_fault("status:500#2+1")])
    struck = [box.draw(("status",), "GET /orders") is not None for _ in range(5)]
    assert struck == [False, True, True, False, False]
    assert (box.faults[0].seen, box.faults[0].done) == (5, 2)


def test_the_next_fault_takes_over_when_one_is_used_up():
    box = FaultBox([parse_fault("status:500#1"), parse_fault("status:503")])
    assert [box.draw(("status",), "GET /x").arg for _ in range(3)] == ["500", "503", "503"]


@pytest.mark.parametrize(
    ("pattern", "call", "matches"),
    [
        ("*", "GET /orders", True),
        ("*", "GET /login", False),
        ("/login", "GET /login", True),
        ("POST /orders", "POST /orders/regular", True),
        ("POST /orders", "GET /orders", False),
        ("/orders", "DELETE /orders/regular/1", True),
        ("* /orders", "PUT /orders/regular/1", True),
        ("post /orders", "POST /orders/amo", True),
        ("/quote", "GET /orders", False),
    ],
)
def test_scope(pattern, call, matches):
    box = FaultBox([Fault(name="hang", call=pattern)])
    assert (box.draw(("hang",), call) is not None) is matches
    assert (box.on("hang", call) is not None) is matches


def test_chance_is_drawn_from_the_seed():
    def run(seed):
        box = FaultBox([parse_fault("hang~0.5")], seed)
        return [box.draw(("hang",), "GET /x") is not None for _ in range(200)]

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert 60 < sum(run(1)) < 140


def test_clear():
    box = FaultBox([parse_fault("hang"), parse_fault("late"), parse_fault("hang")])
    assert [fault.number for fault in box.faults] == [1, 2, 3]
    assert box.clear("hang") == 2
    assert box.clear() == 1
    assert box.draw(("hang",), "GET /x") is None


def test_a_stand_in_is_not_carried_out_unless_it_says_after():
    assert not parse_fault("status:503").executes
    assert parse_fault("status:503,after").executes
    assert all(parse_fault(name).executes for name in DAMAGE)


@pytest.mark.parametrize(
    ("code", "error_type"),
    [(400, "InputException"), (401, "TokenException"), (403, "TokenException"), (429, "NetworkException"), (500, "GeneralException"), (502, "DataException"), (503, "NetworkException"), (504, "NetworkException")],
)  # fmt: skip
def test_errors_by_code(code, error_type):
    reply = stand_in(parse_fault(f"status:{code},retry-after=3"))
    body = msgspec.json.decode(reply.body)
    assert (reply.status, body["status"], body["error_type"]) == (code, "error", error_type)
    assert reply.headers["Retry-After"] == "3"
    assert "Retry-After" not in stand_in(parse_fault(f"status:{code}")).headers


def test_other_stand_ins():
    assert stand_in(parse_fault("cut-before")).how == "reset"
    assert stand_in(parse_fault("hang")).how == "hold"
    page = stand_in(parse_fault("html:504"))
    assert (page.status, page.headers["Content-Type"]) == (504, "text/html")
    assert page.body.startswith(b"<html>")
    failure = stand_in(parse_fault("failure-200"))
    assert (failure.status, msgspec.json.decode(failure.body)["error_type"]) == (200, "GeneralException")
    untyped = stand_in(parse_fault("no-error-type"))
    assert "error_type" not in msgspec.json.decode(untyped.body)
    assert untyped.status == 500
    assert stand_in(parse_fault("redirect")).headers["Location"] == "/login"


def damaged(text):
    return spoil(parse_fault(text), TRUE)


def test_damage_to_a_true_answer():
    assert damaged("cut-after").how == "reset"
    assert damaged("no-reply").how == "hold"
    assert damaged("delay:0.25").delay_s == 0.25
    assert damaged("empty").body == b""
    assert damaged("short").how == "short"
    assert damaged("chunked").how == "chunked"
    assert "Content-Type" not in damaged("no-content-type").headers
    assert msgspec.json.decode(damaged("list").body) == [msgspec.json.decode(TRUE.body)]
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(damaged("truncated").body)
    with pytest.raises(UnicodeDecodeError):
        damaged("charset").body.decode()
    big = damaged("big:1").body
    assert len(big) == 1_000_000
    assert msgspec.json.decode(big) == msgspec.json.decode(TRUE.body)


@pytest.mark.parametrize("name", sorted(DAMAGE))
def test_damage_never_touches_the_true_answer_itself(name):
    before = TRUE.body
    spoil(parse_fault(name), TRUE)
    assert TRUE.body == before


def test_checked_takes_only_sane_numbers():
    with pytest.raises(BadData, match="must not be negative"):
        checked(Fault(name="hang", count=-1))
