"""The feed's state: what is subscribed, when a link is dead, and how fast it may come back."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from toolkit.errors import BadData
from toolkit.market.feed_session import Command, ConnectPacer, FeedSession, FeedState, FeedTerms, delays, spread

S = 1_000_000_000


def live(wanted: dict[int, str], now_ns: int = 0, terms: FeedTerms | None = None) -> FeedSession:
    feed = FeedSession(terms)
    feed.want(wanted)
    feed.connecting()
    feed.connected(now_ns)
    return feed


def test_a_new_link_subscribes_everything_by_mode_in_batches() -> None:
    feed = FeedSession(FeedTerms(batch=2))
    feed.want({3: "full", 1: "full", 2: "full", 9: "ltp"})
    assert feed.commands() == []
    assert feed.connected(0) == [
        Command("subscribe", (9,), "ltp"),
        Command("subscribe", (1, 2), "full"),
        Command("subscribe", (3,), "full"),
    ]
    assert feed.commands() == []


def test_only_the_difference_is_sent() -> None:
    feed = live({1: "full", 2: "quote", 3: "ltp"})
    feed.want({1: "full", 2: "full", 4: "ltp"})
    assert feed.commands() == [
        Command("unsubscribe", (3,)),
        Command("subscribe", (4,), "ltp"),
        Command("subscribe", (2,), "full"),
    ]


def test_changes_made_while_down_are_applied_on_the_next_link() -> None:
    feed = live({1: "full"})
    feed.disconnected("reset by peer")
    feed.want({2: "quote"})
    assert feed.commands() == []
    assert feed.state is FeedState.DOWN
    assert feed.connected(5 * S) == [Command("subscribe", (2,), "quote")]
    assert (feed.connects, feed.drops) == (2, 1)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({1: "deep"}, "was 'deep'"),
        ({0: "ltp"}, "was 0"),
        ({-5: "ltp"}, "was -5"),
        ({2**32: "ltp"}, "32-bit"),
        ({True: "ltp"}, "was True"),
        (dict.fromkeys(range(1, 3002), "ltp"), "holds 3000 instruments, was 3001"),
    ],
)
def test_a_wrong_want_is_refused_and_the_old_one_stays(wanted: dict[int, str], says: str) -> None:
    feed = live({7: "full"})
    with pytest.raises(BadData, match=says):
        feed.want(wanted)
    assert feed.wanted == {7: "full"}


def test_a_half_open_link_is_dropped_within_ten_seconds_of_its_last_byte() -> None:
    feed = live({1: "full"})
    feed.received(100 * S)
    assert not feed.verdict(107 * S, session_open_ns=None).drop
    assert feed.verdict(107 * S, session_open_ns=None).next_ns <= 110 * S
    verdict = feed.verdict(110 * S, session_open_ns=None)
    assert verdict.drop
    assert "half-open" in verdict.reason


def test_a_silent_feed_is_dropped_within_five_seconds_of_session_time() -> None:
    feed = live({1: "full", 2: "full"})
    feed.ticked(10 * S, [1])
    for second in range(10, 16):
        feed.received(second * S)
    verdict = feed.verdict(15 * S, session_open_ns=0)
    assert verdict.drop
    assert "none of 2 tokens ticked" in verdict.reason


def test_a_quiet_pre_open_gives_no_alarm_in_thirty_minutes_and_the_open_starts_the_clock() -> None:
    feed = live({1: "full"})
    for second in range(30 * 60):
        feed.received(second * S)
        assert not feed.verdict(second * S, session_open_ns=None).drop
    opened = 30 * 60
    feed.received(opened * S)
    assert not feed.verdict(opened * S, session_open_ns=opened * S).drop
    feed.received((opened + 3) * S)
    assert not feed.verdict((opened + 3) * S, session_open_ns=opened * S).drop
    feed.received((opened + 5) * S)
    assert feed.verdict((opened + 5) * S, session_open_ns=opened * S).drop


def test_illiquid_tokens_may_be_silent() -> None:
    feed = FeedSession()
    feed.want({1: "full", 2: "full"}, liquid=[1])
    feed.connected(0)
    feed.ticked(60 * S, [1])
    assert not feed.verdict(61 * S, session_open_ns=0).drop
    feed.ticked(70 * S, [2])
    assert feed.verdict(70 * S, session_open_ns=0).drop


def test_without_a_liquid_token_only_silence_counts() -> None:
    feed = FeedSession()
    feed.want({})
    feed.connected(0)
    feed.received(100 * S)
    assert not feed.verdict(101 * S, session_open_ns=0).drop


def test_the_verdict_names_when_to_look_again() -> None:
    feed = live({1: "full"})
    feed.ticked(10 * S, [1])
    verdict = feed.verdict(11 * S, session_open_ns=0)
    assert verdict.next_ns == 14 * S
    assert feed.verdict(verdict.next_ns, session_open_ns=0).drop


def test_stale_is_by_instrument_and_all_while_down() -> None:
    feed = live({1: "full", 2: "full", 3: "full"})
    feed.ticked(10 * S, [1])
    feed.ticked(14 * S, [2])
    assert feed.stale(16 * S) == {1, 3}
    feed.disconnected("cut")
    assert feed.stale(16 * S) == {1, 2, 3}


def test_a_refusal_is_final_and_subscribes_nothing() -> None:
    feed = live({1: "full"})
    feed.refused("token expired: log in again")
    assert feed.state is FeedState.AUTH_EXPIRED
    assert feed.commands() == []
    assert not feed.verdict(10**15, session_open_ns=0).drop


def test_ticks_of_tokens_nobody_wants_are_bytes_only() -> None:
    feed = live({1: "full"})
    feed.ticked(9 * S, [77])
    assert feed.verdict(9 * S, session_open_ns=0).drop
    assert feed.stale(9 * S) == {1}


def test_delays_are_as_documented() -> None:
    assert [round(d, 2) for d in itertools.islice(delays(random.Random(7)), 4)] == [0.32, 1.15, 3.3, 4.29]


@given(st.integers())
def test_delays_grow_to_a_ceiling_and_are_never_below_its_half(seed: int) -> None:
    got = list(itertools.islice(delays(random.Random(seed)), 40))
    assert 0 <= got[0] < 1.0
    for n, delay in enumerate(got[1:], 1):
        ceiling = min(2.0**n, 30.0)
        assert ceiling / 2 <= delay <= ceiling


@settings(max_examples=50)
@given(st.integers(), st.lists(st.floats(0.0, 20.0), min_size=1, max_size=120))
def test_no_minute_holds_more_attempts_than_allowed(seed: int, holds: list[float]) -> None:
    pacer = ConnectPacer(random.Random(seed), per_minute=30)
    now = 0
    starts = []
    for hold in holds:
        now = pacer.next_start_ns(now)
        starts.append(now)
        pacer.up(now)
        now += int(hold * S)
        pacer.down(now)
    for start in starts:
        assert sum(1 for s in starts if start <= s < start + 60 * S) <= 30


def test_a_link_that_held_comes_back_fast_and_one_that_did_not_waits_longer() -> None:
    pacer = ConnectPacer(random.Random(1))
    now = 0
    for _ in range(6):
        now = pacer.next_start_ns(now)
        pacer.up(now)
        now += S
        pacer.down(now)
    assert pacer.next_start_ns(now) - now > 10 * S
    pacer = ConnectPacer(random.Random(1))
    now = pacer.next_start_ns(0)
    pacer.up(now)
    now += 60 * S
    pacer.down(now)
    assert pacer.next_start_ns(now) - now < S


def test_many_tokens_are_spread_over_connections_in_order() -> None:
    terms = FeedTerms(per_connection=3, connections=2)
    assert spread({5: "ltp", 1: "full", 2: "full", 9: "ltp"}, terms) == [{1: "full", 2: "full", 5: "ltp"}, {9: "ltp"}]
    assert spread({}, terms) == [{}]
    with pytest.raises(BadData, match="2 connections of 3"):
        spread(dict.fromkeys(range(1, 8), "ltp"), terms)


class Server(RuleBasedStateMachine):
    """A server that applies our commands: whatever happens, it ends up carrying the wanted set."""

    def __init__(self) -> None:
        super().__init__()
        self.feed = FeedSession(FeedTerms(batch=3))
        self.carried: dict[int, str] = {}

    def apply(self, commands: list[Command]) -> None:
        for command in commands:
            assert 0 < len(command.tokens) <= 3
            for token in command.tokens:
                if command.action == "subscribe":
                    self.carried[token] = command.mode
                else:
                    del self.carried[token]

    @rule(wanted=st.dictionaries(st.integers(1, 12), st.sampled_from(["ltp", "quote", "full"])))
    def want(self, wanted: dict[int, str]) -> None:
        self.feed.want(wanted)
        self.apply(self.feed.commands())

    @rule()
    def cut(self) -> None:
        self.feed.disconnected("cut")
        self.carried = {}

    @rule()
    def connect(self) -> None:
        self.carried = {}
        self.apply(self.feed.connected(0))

    @invariant()
    def carries_what_is_wanted(self) -> None:
        if self.feed.state is FeedState.LIVE:
            assert self.carried == self.feed.wanted
        else:
            assert self.carried == {}


TestServer = Server.TestCase


def burst_then_silence(feed: FeedSession, at_ns: int) -> int:
    """One link: connected, the subscription's burst, then heartbeats only; gives when it is dropped."""
    feed.connecting()
    feed.connected(at_ns)
    now = at_ns + S // 10
    feed.ticked(now, [1])
    while not (found := feed.verdict(now, 0)).drop:
        now += S // 10
        feed.received(now)
    assert found.reason.startswith("silent")
    feed.disconnected(found.reason)
    return now


def test_links_that_bring_a_burst_and_nothing_more_are_dropped_ever_later() -> None:
    feed = FeedSession()
    feed.want({1: "full"})
    waits, now = [], 1000 * S
    for _ in range(8):
        end = burst_then_silence(feed, now)
        waits.append(round((end - now) / S))
        now = end + S
    assert waits == [4, 8, 16, 32, 64, 128, 128, 128]


def test_a_source_that_speaks_once_a_minute_is_left_alone_once_it_is_known() -> None:
    feed = FeedSession()
    feed.want({1: "full"})
    now = 1000 * S
    for _ in range(4):
        now = burst_then_silence(feed, now) + S // 2
    feed.connecting()
    feed.connected(now)
    feed.ticked(now + S // 10, [1])
    for _ in range(30):  # from now on a tick a minute
        for _ in range(60):
            now += S
            feed.received(now)
            assert not feed.verdict(now, 0).drop
        feed.ticked(now, [1])


def test_a_silent_episode_that_a_new_link_cures_leaves_the_patience_short() -> None:
    feed = FeedSession()
    feed.want({1: "full"})
    now = 1000 * S
    for _ in range(5):
        now = burst_then_silence(feed, now) + S
        feed.connecting()
        feed.connected(now)
        for _ in range(50):
            now += S // 10
            feed.ticked(now, [1])
        start = now
        while not feed.verdict(now, 0).drop:
            now += S // 10
            feed.received(now)
        assert (now - start) / S <= 4.2
        feed.disconnected("silent: as above")
        now += S


def test_a_link_without_any_tick_is_dropped_at_the_same_age_again_and_again() -> None:
    feed = FeedSession()
    feed.want({1: "full"})
    now = 1000 * S
    for _ in range(6):
        feed.connecting()
        feed.connected(now)
        start = now
        while not feed.verdict(now, 0).drop:
            now += S // 10
            feed.received(now)
        assert (now - start) / S == pytest.approx(4.0, abs=0.2)
        feed.disconnected("silent: none")


@given(
    first=st.sets(st.integers(1, 40), max_size=12),
    second=st.sets(st.integers(1, 40), max_size=12),
)
def test_a_changed_wish_moves_nothing_between_connections_that_stay(first: set[int], second: set[int]) -> None:
    terms = FeedTerms(per_connection=4, connections=3)
    before = spread(dict.fromkeys(first, "full"), terms)
    after = spread(dict.fromkeys(second, "quote"), terms, before)
    assert sorted(t for share in after for t in share) == sorted(second)
    assert all(len(share) <= 4 for share in after)
    assert len(after) == max(1, -(-len(second) // 4))
    for old, new in zip(before, after, strict=False):
        assert old.keys() & second <= new.keys()
