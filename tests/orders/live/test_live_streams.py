"""R04: what an exchange says of many orders, repeated, shuffled and late, comes to the exchange's own book."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from toolkit.orders.core import Core
from toolkit.risk.limits import Limits
from toolkit.types import ExecType, ExecutionReport, Modify, OrdStatus

LOT = 75
WIDE = Limits(
    check_margin=False,
    max_net_lots=10**9,
    max_gross_lots=10**9,
    max_capital_p=1 << 60,
    max_open_value_p=1 << 60,
    duplicate_window_s=0.0,
    max_messages_per_s=10**6,
    max_cancels_per_s=10**6,
)
SECOND = 10**9


@dataclass
class Life:
    """What one order asks for, what the exchange says of it in its own time, and what is true at the end."""

    cl_ord_id: str
    qty: int
    asked: int | None = None
    target: int = 0
    cancel: bool = False
    said: list[ExecutionReport] = field(default_factory=list)
    executed: list[tuple[int, int]] = field(default_factory=list)
    busted: int | None = None
    end: str = "open"

    @property
    def gross(self) -> int:
        return sum(qty for qty, _ in self.executed)

    def truth(self) -> tuple[OrdStatus, int, int]:
        """State, units and paise: executions count whatever else was said; a filled order that lost one is over."""
        kept = [pair for at, pair in enumerate(self.executed) if at != self.busted]
        cum, value = sum(qty for qty, _ in kept), sum(qty * px_p for qty, px_p in kept)
        if self.gross >= self.target:
            return (OrdStatus.FILLED if cum >= self.target else OrdStatus.CANCELED), cum, value
        if self.end != "open":
            return OrdStatus(self.end), cum, value
        return (OrdStatus.PARTIALLY_FILLED if self.gross else OrdStatus.NEW), cum, value


def life(number: int, chance: random.Random, now_ns: int) -> Life:
    """A truthful life: partial fills, a cancel that races a fill, a modification refused, units too many, one bust."""
    name, at_ns = f"M{number}", now_ns
    made = Life(name, LOT * chance.randint(2, 6))

    def say(kind: ExecType, exec_id: str = "", **more) -> None:
        nonlocal at_ns
        at_ns += chance.randint(1, 5 * SECOND)
        fields = {"cl_ord_id": name, "order_id": f"X{number}", "ts_ns": at_ns, "recv_ns": at_ns, "account": "ACC"}
        made.said.append(ExecutionReport(exec_id=exec_id or f"{name}-{kind}", exec_type=kind, **fields, **more))

    def fill(units: int) -> None:
        made.executed.append((units, 8_900 + chance.randint(0, 100)))
        say(ExecType.TRADE, f"{name}-T{len(made.executed)}", last_qty=units, last_px_p=made.executed[-1][1])

    say(ExecType.NEW)
    made.target, wish = made.qty, chance.choice(("nothing", "nothing", "cancel", "modify"))
    made.cancel = wish == "cancel"
    if wish == "modify":
        made.asked = made.qty + LOT * chance.choice((-1, 1, 2))
        if chance.random() < 0.5:
            made.target = made.asked
            say(ExecType.REPLACED, order_qty=made.asked, price_p=8_000)
        else:
            say(ExecType.REPLACE_REJECTED)
    for _ in range(chance.randint(0, 4)):
        if made.gross < made.target:
            fill(min(made.target - made.gross, LOT * chance.randint(1, 3)))
    fate = chance.random()
    if fate < 0.05 and made.asked is None:
        fill(made.target - made.gross + chance.randint(1, 30))  # 110 of 100
    elif fate < 0.1 and made.executed:
        made.busted = chance.randrange(len(made.executed))
        say(ExecType.TRADE_CANCEL, exec_ref_id=f"{name}-T{made.busted + 1}")
    if made.gross < made.target:
        made.end = (
            "canceled" if made.cancel and chance.random() < 0.7 else chance.choice(("open", "expired", "canceled"))
        )
    if made.end != "open":
        say(ExecType(made.end))
    if made.cancel and made.end != "canceled":
        say(ExecType.CANCEL_REJECTED)
    return made


async def asked(p, lives: list[Life]) -> None:
    """Place every order and ask what its life asks: of such a one the first word is heard, of the others nothing."""
    for number, one in enumerate(lives):
        p.hours._move(p.hours.mono_ns + 5 * 10**6)
        order = await p.engine.place(p.buy(one.cl_ord_id, 8_000 + number % 100 * 5, order_qty=one.qty))
        assert order.ord_status is OrdStatus.PENDING_NEW, order.text
        if one.asked is not None or one.cancel:
            await p.engine.take_reports(one.said[:1])
        if one.asked is not None:
            await p.engine.modify(Modify(cl_ord_id=one.cl_ord_id, order_qty=one.asked, price_p=8_000))
        elif one.cancel:
            await p.engine.cancel(one.cl_ord_id)


async def heard(p, lives: list[Life], chance: random.Random, late_s: float) -> int:
    """Let each report come one to five times, each time up to ``late_s`` late; how many came."""
    coming = []
    for one in lives:
        for report in one.said:
            for _ in range(chance.randint(1, 5)):
                coming.append((report.ts_ns + int(chance.uniform(0, late_s) * SECOND), chance.random(), report))
    coming.sort(key=lambda one: one[:2])
    for at_ns, _, report in coming:
        p.hours._move(p.hours.mono_ns + max(0, at_ns - p.hours.now_ns))
        await p.engine.take_reports([report])
    return len(coming)


def book(engine) -> dict[str, tuple[OrdStatus, int, int]]:
    return {name: (o.ord_status, o.cum_qty, o.traded_value_p) for name, o in engine.core.orders.items()}


async def streams(p, seed: int, count: int) -> str:
    chance = random.Random(seed)
    engine = await p.open(watching=False, limits=WIDE)
    lives = [life(number, chance, p.hours.now_ns) for number in range(count)]
    await asked(p, lives)
    came = await heard(p, lives, chance, late_s=60)
    found = book(engine)
    wrong = {one.cl_ord_id: (found[one.cl_ord_id], one) for one in lives if found[one.cl_ord_id] != one.truth()}
    assert not wrong, list(wrong.values())[:3]
    net = sum(one.truth()[1] for one in lives)
    assert engine.core.book.net.get(p.call, 0) == net
    assert engine.positions.position(p.call, "ACC").net_qty == net
    told = Counter()
    for event in engine.events(most=10**7):
        if event.kind == "alarm":
            told[event.payload["kind"], event.cl_ord_id] += 1
    over = {one.cl_ord_id for one in lives if one.gross > one.target}
    busted = {one.cl_ord_id for one in lives if one.busted is not None}
    assert told == Counter([*(("overfill", name) for name in over), *(("bust", name) for name in busted)])
    assert Core.replay([e.record for e in engine.journal.records()]).state() == engine.core.state()
    ends = Counter(str(one.truth()[0]) for one in lives)
    return f"{count} orders, {came} reports, ends {dict(ends)}, {len(over)} overfills and {len(busted)} busts told once"


async def test_a_few_hundred_messy_streams_end_in_the_exchanges_own_figures(pit):
    assert "300 orders" in await streams(pit(), 4, 300)


@pytest.mark.soak
async def test_r04_ten_thousand_messy_streams(pit):
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    print(f"R04: {await streams(pit(), seed, 10_000)}; 0 mismatched")


async def permuted(pit, seed: int, count: int, times: int) -> None:
    """The same words in another order each time, with no clock to sort them by: one and the same book."""
    found = set()
    for turn in range(times):
        p, chance = pit(), random.Random(seed)
        engine = await p.open(watching=False, limits=WIDE)
        lives = [life(number, chance, p.hours.now_ns) for number in range(count)]
        await asked(p, lives)
        words = [report for one in lives for report in one.said]
        random.Random(seed + turn).shuffle(words)
        for report in words:
            await engine.take_reports([report])
        found.add((tuple(sorted(book(engine).items())), tuple(sorted(engine.core.book.net.items()))))
        await engine.stop()
    assert len(found) == 1
    assert dict(found.pop()[0]) == {one.cl_ord_id: one.truth() for one in lives}


async def test_any_permutation_of_the_words_gives_the_same_book(pit):
    await permuted(pit, 7, count=20, times=4)


@pytest.mark.soak
async def test_r04_a_hundred_permutations_of_a_hundred_orders(pit):
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    await permuted(pit, seed, count=100, times=100)
    print("R04: 100 permutations of 100 orders: one book")
