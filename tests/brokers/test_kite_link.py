from __future__ import annotations

import asyncio
import threading

import pytest

from toolkit.brokers.kite_link import OPS, KiteLink, quotas
from toolkit.brokers.kite_settings import KiteSettings
from toolkit.brokers.tokens import TokenStore
from toolkit.config import Secret
from toolkit.errors import AuthExpired, BadData, Refused, Retryable, Unknown


def link(root, tmp_path, **more):
    fields = {"api_key": "k", "access_token": Secret("tok"), "read_s": 1.0, "total_s": 2.0, **more}
    return KiteLink(KiteSettings(root=root, **fields), tokens=TokenStore(tmp_path))


def test_every_call_has_a_kind_and_a_limited_bucket():
    buckets = {quota.bucket for quota in quotas(KiteSettings())}
    assert {bucket for _, bucket in OPS.values()} == buckets
    assert {op for op, (kind, _) in OPS.items() if kind == "order"} == {"place", "modify", "cancel", "gtt", "convert"}


def test_the_limits_are_those_of_the_documents():
    found = {(q.bucket, q.span_ns // 10**9): q.most for q in quotas(KiteSettings())}
    assert found == {("orders", 1): 10, ("orders", 60): 400, ("orders", 86_400): 5000, ("quotes", 1): 1, ("candles", 1): 3, ("others", 1): 10}  # fmt: skip


async def test_the_states(raw, tmp_path):
    raw.say(raw.answer(b'{"status":"error","error_type":"TokenException","message":"x"}', "403 No"))
    none = link(raw.root, tmp_path, access_token=Secret(""))
    assert none.state == "no_token"
    made = link(raw.root, tmp_path)
    assert made.state == "ready"
    with pytest.raises(AuthExpired):
        await made.call("orders", lambda c: c._get("orders"))
    assert made.state == "auth_expired"
    count = len(raw.seen)
    with pytest.raises(AuthExpired):
        await made.call("orders", lambda c: c._get("orders"))
    assert len(raw.seen) == count
    made.renew(Secret("other"))
    assert made.state == "ready"
    made.close()
    assert made.state == "closed"
    with pytest.raises(Refused, match="closed"):
        await made.call("orders", lambda c: c._get("orders"))


async def test_the_loop_is_free_while_the_broker_thinks(raw, tmp_path):
    gone = threading.Event()

    def slow(sock):
        gone.wait(60)
        sock.sendall(raw.answer())

    raw.say(slow)
    made = link(raw.root, tmp_path)
    task = asyncio.create_task(made.call("orders", lambda c: c._get("orders")))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()
    gone.set()
    assert await task == {}


@pytest.mark.parametrize(("op", "kind"), [("place", Unknown), ("orders", Retryable)])
async def test_an_answer_of_another_form_is_odd(raw, tmp_path, op, kind, monkeypatch):
    monkeypatch.setattr("toolkit.brokers.kite_link._BACKOFF_S", 0.001)
    raw.say(raw.answer(b'{"status":"success","data":[]}'))
    made = link(raw.root, tmp_path, others_per_s=1000)
    with pytest.raises(kind, match="TypeError while reading the answer"):
        await made.call(op, lambda c: c._get("orders")["order_id"])
    assert len(raw.seen) == (1 if kind is Unknown else 4)

    def wrong(client):
        client._get("orders")
        raise BadData("not in the documented form")

    with pytest.raises(kind, match="documented form"):
        await made.call(op, wrong)


async def test_a_call_ends_with_its_whole_time(raw, tmp_path):
    gone = threading.Event()
    raw.say(lambda sock: gone.wait(60))
    made = link(raw.root, tmp_path, read_s=60.0, total_s=0.2)
    await made._ready()
    with pytest.raises(Unknown, match="no answer within"):
        await made.call("place", lambda c: c._post("order.place", url_args={"variety": "regular"}))
    gone.set()


async def test_a_login_needs_no_token(raw, tmp_path):
    raw.say(raw.answer())
    made = link(raw.root, tmp_path, access_token=Secret(""))
    assert await made.call("login", lambda c: c._post("api.token", params={"a": "b"})) == {}
    assert "Authorization" not in raw.seen[0][0]


async def test_the_skew_of_this_machine_is_seen(raw, tmp_path):
    raw.say(raw.answer(Date="Fri, 29 Aug 2025 04:00:00 GMT"))
    made = link(raw.root, tmp_path)
    made._wall = lambda: 1_756_440_000 * 10**9 + 90 * 10**9
    await made.call("orders", lambda c: c._get("orders"))
    assert made.skew_s == 89.5
    assert made.venue.seen


async def test_calls_in_turn_share_a_thread_calls_at_once_have_their_own_and_close_ends_them(tmp_path):
    one = link("http://127.0.0.1:9", tmp_path)
    first, _ = await one._thread(threading.current_thread, 5)
    async with asyncio.timeout(5):
        while not one._threads._idle:  # until it waits for the next call
            await asyncio.sleep(0)
    assert (await one._thread(threading.current_thread, 5))[0] is first
    gate = threading.Barrier(2, timeout=5)
    meet = [one._thread(lambda: (gate.wait(), threading.current_thread())[1], 5) for _ in range(2)]
    both = [found for found, _ in await asyncio.gather(*meet)]
    assert len(set(both)) == 2
    one.close()
    for thread in both:
        await asyncio.to_thread(thread.join, 5)
        assert not thread.is_alive()
