"""A benchmark's other process: it says one thing, serves while the block lasts, and its silence is an error."""

from __future__ import annotations

import asyncio
import multiprocessing as mp
import socket

import pytest

from toolkit.bench.process import beside, serve
from toolkit.errors import BadData


def double(pipe, number):
    pipe.send(2 * number)


def leave(pipe):
    pipe.close()


def wait(pipe):
    pipe.poll(None)


class Shout(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data.upper())


def test_the_first_thing_said_is_given():
    with beside(double, 21, what="the doubler") as said:
        assert said == 42


def test_a_protocol_is_served_while_the_block_lasts():
    before = set(mp.active_children())
    with beside(serve, Shout, what="the shouter") as port:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
            link.sendall(b"hear")
            assert link.recv(10) == b"HEAR"
        assert len(mp.active_children()) == len(before) + 1
    assert set(mp.active_children()) == before


def test_one_that_ends_without_a_word_is_named():
    with pytest.raises(BadData, match=r"^the leaver ended before it said anything$"), beside(leave, what="the leaver"):
        pass


def test_one_that_stays_silent_is_named_and_ended():
    before = set(mp.active_children())
    with (
        pytest.raises(BadData, match=r"^the mute said nothing within 0\.05 s$"),
        beside(wait, what="the mute", wait_s=0.05),
    ):
        pass
    assert set(mp.active_children()) == before
