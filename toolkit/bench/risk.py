"""``toolkit bench risk``: scenario grid, risk arrays, margin of a book, one order more, the pre-trade decision.

Interleaved ratios on one pinned core, as everywhere here. The grid's references are NumPy with SciPy's normal
distribution, and the pricing kernel's own time for as many prices (its floor). A margin is compared with the same
rules in NumPy over arrays made anew, a decision with every rule asked in plain Python.
"""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Callable
from statistics import median
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from toolkit import pricing
from toolkit.bench.runner import Result, interleave, machine, pinned, ratio_row
from toolkit.calendar import ist_ns
from toolkit.market.quotes import Quote, key_of
from toolkit.orders.lifecycle import begin
from toolkit.risk.book import RiskBook
from toolkit.risk.checks import check as decide
from toolkit.risk.checks import reference
from toolkit.risk.exposure import Position, columns
from toolkit.risk.limits import Limits
from toolkit.risk.margin import Leg, default_params, span_margin
from toolkit.risk.margin_book import MarginBook
from toolkit.risk.scenarios import DAYS, MOVES, VOLS, scenario_grid
from toolkit.risk.span import FACTORS, PRICE_MOVES, VOL_MOVES, composite_delta, risk_array
from toolkit.types import Instrument, Kind, OptionType, OrderRequest, Side

__all__ = ["account", "book_of", "legs_of", "numpy_arrays", "numpy_grid", "run"]

Floats = npt.NDArray[np.float64]

SPOT: Final = 24_500.0
POSITIONS: Final = 1000
CELLS: Final = len(MOVES) * len(VOLS) * len(DAYS)
GRID_MS: Final = 10.0
P99_US: Final = 100.0
DECISION_ROUNDS, DECISION_S = 25, 0.02
PLAIN_US: Final = 15.0
"""What asking every rule in plain Python took on the machine where the limit of a decision was set."""
GOALS: Final = {"numpy": 5.0, "floor": 0.8, "array": 1.0, "margin": 0.4, "more": 20.0, "decision": 2.0, "priced": 1.2}


def run(peers: bool, check: bool) -> Result:
    """Time every row; ``peers`` adds nothing here, ``check`` is read by the command."""
    result = Result("risk", machine=machine(("numpy", "numba", "scipy")))
    with pinned():
        _grid(result)
        _arrays(result)
        _margins(result)
        _decisions(result)
        _bare(result)
    return result


def book_of(n: int = POSITIONS, seed: int = 3) -> list[Position]:
    """Draw a book like an index option seller's: strikes within 10 %, a day to 45 days, both sides."""
    rng = np.random.default_rng(seed)
    return [
        Position(
            symbol=f"P{i}",
            underlying="NIFTY",
            cp=int(rng.choice([1, -1])),
            qty=65 * int(rng.integers(-9, 10) or 1),
            strike=float(rng.integers(441, 540) * 50),
            tte=float(rng.uniform(1.0, 45.0)) / 365.0,
            forward=SPOT,
            iv=float(rng.uniform(0.08, 0.30)),
        )
        for i in range(n)
    ]


def numpy_grid(book: list[Position]) -> Floats:
    """The scenario grid with NumPy and SciPy: one vectorised pass a vol shift and a day."""
    from scipy.special import ndtr

    c = columns(book)
    base = pricing.price(c.cp, c.forward, c.strike, c.tte, c.iv)
    forward = c.forward * (1.0 + np.array(MOVES))[:, None]
    log = np.log(forward / c.strike)
    out = np.empty((len(MOVES), len(VOLS), len(DAYS)))
    for j, vol in enumerate(VOLS):
        for k, days in enumerate(DAYS):
            left = np.maximum(c.tte - days / 365.0, 0.0)
            with np.errstate(divide="ignore", invalid="ignore"):
                s = np.maximum(c.iv + vol, 0.0) * np.sqrt(left)
                d1 = log / s + 0.5 * s
                model = c.cp * (forward * ndtr(c.cp * d1) - c.strike * ndtr(c.cp * (d1 - s)))
            value = np.where(s > 0.0, model, np.maximum(c.cp * (forward - c.strike), 0.0))
            out[:, j, k] = (value - base) @ c.qty
    return out


def _grid(result: Result) -> None:
    book = book_of()
    c = columns(book)
    n = POSITIONS * CELLS
    rows = [np.resize(a, n).copy() for a in (c.cp, c.forward, c.strike, c.tte, c.iv)]
    out = np.empty(n)
    jobs: dict[str, Callable[[], object]] = {
        "ours": lambda: scenario_grid(book),
        "numpy": lambda: numpy_grid(book),
        "floor": lambda: pricing.price(*rows, out=out),
    }
    times = interleave(jobs)
    ours = median(times["ours"]) * 1e3
    note = f"{ours:.1f} ms a grid of {len(MOVES)} x {len(VOLS)} x {len(DAYS)} on {POSITIONS:,} positions"
    result.rows.append(
        ratio_row("scenario grid", n, "numpy + scipy", times["ours"], times["numpy"], goal=GOALS["numpy"], note=note)
    )
    result.rows.append(
        ratio_row("scenario grid", n, "pricing's floor", times["ours"], times["floor"], goal=GOALS["floor"])
    )
    result.notes.append(f"scenario grid: {note}; the aim on a quiet core is under {GRID_MS:g} ms")


def numpy_arrays(cp: Floats, k: Floats, t: Floats, price: Floats, p: Any) -> Floats:
    """Risk arrays with NumPy and SciPy, an index's rules."""
    from scipy.special import ndtr

    def value(s: Floats, left: Floats, vol: Floats) -> Floats:
        total = vol * np.sqrt(left)
        d1 = (np.log(s / k[:, None]) + (p.rate + 0.5 * vol * vol) * left) / total
        discounted = k[:, None] * np.exp(-p.rate * left)
        side = cp[:, None]
        return np.asarray(side * (s * ndtr(side * d1) - discounted * ndtr(side * (d1 - total))))

    base = value(np.full((1, 1), p.spot), t[:, None], np.full((1, 1), p.vol))
    shocked = value(p.spot + p.price_scan * PRICE_MOVES, t[:, None] - 2.0 / 365.0, p.vol + p.vol_scan * VOL_MOVES)
    return np.asarray(np.minimum((base - shocked) * FACTORS, price[:, None]))


def _arrays(result: Result) -> None:
    n = 192
    p = default_params(SPOT, 0.15)
    cp = np.where(np.arange(n) % 2, 1.0, -1.0)
    k = SPOT * (0.9 + 0.2 * np.arange(n) / n)
    t = np.where(np.arange(n) % 3, 8.0, 36.0) / 365.0
    price = pricing.price(cp, SPOT, k, t, 0.15, model="bsm")
    ours = lambda: risk_array(cp, k, t, p.spot, p.vol, p.rate, p.price_scan, p.vol_scan, price)  # noqa: E731
    times = interleave({"ours": ours, "numpy": lambda: numpy_arrays(cp, k, t, price, p)})
    result.rows.append(ratio_row("risk array", n, "numpy + scipy", times["ours"], times["numpy"], goal=GOALS["array"]))


def legs_of(n: int = 50) -> list[Leg]:
    """A book of ``n`` different option legs over three expiries."""
    rng = np.random.default_rng(1)
    return [
        Leg(
            underlying="NIFTY",
            cp=1 if i % 2 else -1,
            qty=65 * int(rng.integers(-5, 6) or 1),
            tte=(4 + 7 * (i % 3)) / 365.0,
            strike=23_300.0 + 50.0 * i,
            mark=20.0 + i,
        )
        for i in range(n)
    ]


def _numpy_margin(legs: list[Leg], p: Any) -> float:
    """The margin of a book of options that do not expire today, in NumPy from nothing."""
    cp, qty, t, k, mark = (
        np.array([getattr(leg, name) for leg in legs], np.float64) for name in ("cp", "qty", "tte", "strike", "mark")
    )
    scan = max(0.0, float((numpy_arrays(cp, k, t, mark, p) * qty[:, None]).sum(axis=0).max()))
    delta = composite_delta(cp, k, t, p.spot, p.vol, p.rate, p.price_scan) * qty
    by_expiry = [float(delta[t == one].sum()) for one in np.unique(t)]
    charge = p.calendar_rate * p.spot * min(sum(max(0.0, d) for d in by_expiry), sum(max(0.0, -d) for d in by_expiry))
    short = np.maximum(-qty, 0.0)
    far = np.where(cp * (k / p.spot - 1.0) > p.far_from, max(p.far_rate, p.exposure_rate), p.exposure_rate)
    return float(max(0.0, scan + charge - float(qty @ mark)) + p.spot * float(short @ far))


def _margins(result: Result) -> None:
    p = default_params(SPOT, 0.15)
    legs = legs_of()
    book = MarginBook({"NIFTY": p})
    for number, leg in enumerate(legs):
        book.add(str(number), leg)
        book.set(str(number), net=leg.qty)
    assert math.isclose(_numpy_margin(legs, p), span_margin(legs, p).total, rel_tol=1e-9)
    jobs: dict[str, Callable[[], object]] = {
        "whole": lambda: span_margin(legs, p),
        "numpy": lambda: _numpy_margin(legs, p),
        "more": lambda: book.after("7", -65),
    }
    times = interleave(jobs)
    n = len(legs)
    result.rows.append(
        ratio_row("margin of a book", n, "numpy + scipy", times["whole"], times["numpy"], goal=GOALS["margin"])
    )
    note = f"{median(times['more']) * 1e6:.1f} us an order on {n} legs"
    result.rows.append(
        ratio_row(
            "margin, one order more", n, "the whole anew", times["more"], times["whole"], goal=GOALS["more"], note=note
        )
    )


def account(orders: int = 60) -> tuple[RiskBook, OrderRequest, int]:
    """An account at work: 40 contracts quoted, 30 held, ``orders`` resting; and an order that may leave."""
    day, expiry = dt.date(2026, 2, 13), dt.date(2026, 2, 24)
    opens = ist_ns(day, dt.time(9, 15))
    now = opens + 3600 * 10**9
    listed = [_contract(number, expiry) for number in range(40)]
    book = RiskBook(listed)
    book.session = (opens, ist_ns(day, dt.time(15, 30)))
    book.funds_p = 10**12
    book.span["NIFTY"] = default_params(SPOT, 0.15)
    for number, instrument in enumerate(listed):
        book.quotes.set(key_of(instrument), Quote(now, 9_950 + 5 * number, 650, 10_050 + 5 * number, 650, 10_000))
    for number in range(30):
        book.carry(listed[number].symbol, 65 * (number - 15) or 65, 0)
    for number in range(orders):
        instrument = listed[number % 40]
        request = OrderRequest(
            cl_ord_id=f"R{number}", symbol=instrument.symbol, side=Side.BUY, order_qty=65, price_p=9_000 + 5 * number
        )
        book.on_order(None, begin(request, now))
    asked = OrderRequest(cl_ord_id="NEXT", symbol=listed[3].symbol, side=Side.SELL, order_qty=130, price_p=10_000)
    return book, asked, now


def _contract(number: int, expiry: dt.date) -> Instrument:
    strike_p = 2_350_000 + 5_000 * number
    right = OptionType.CE if number % 2 else OptionType.PE
    return Instrument(
        instrument_id=number + 1,
        symbol=f"NIFTY 24FEB2026 {strike_p // 100} {right}",
        exchange="NSE",
        segment="NFO",
        underlying="NIFTY",
        kind=Kind.OPTION,
        lot=65,
        tick_p=5,
        expiry=expiry,
        strike_p=strike_p,
        option_type=right,
        token=number + 1,
        freeze_qty=1800,
    )


def bare_rules(order: OrderRequest, i: Instrument, q: Quote, book: RiskBook, m: Limits, now: int) -> list[int]:
    """25 comparisons in plain Python that name the rules which fail and say nothing more: no reasons, no margin."""
    qty, price, lot, tick = order.order_qty, order.price_p or 0, i.lot, i.tick_p
    net, sign, ltp = book.net.get(order.symbol, 0), order.side.sign, q.ltp_p or 0
    opens, closes = book.session or (1, 0)
    value, after = qty * price, net + sign * qty
    failed = (
        book.state.value == "halted",
        book.state.value == "reducing" and net * sign >= 0,
        not opens <= now < closes,
        qty <= 0,
        qty % lot,
        qty > 10**12,
        qty > m.max_order_lots * lot,
        qty > (i.freeze_qty or qty),
        price <= 0,
        price % tick,
        price > 10**12,
        value > m.max_order_value_p,
        book.open_value_p + value > m.max_open_value_p,
        after * sign > m.max_net_lots * lot,
        now - q.ts_ns > m.max_quote_age_s * 1e9,
        now < q.ts_ns,
        ltp <= 0,
        price > ltp + max(m.option_collar_floor_p, ltp * m.option_collar_pct / 100.0),
        price < ltp - max(m.option_collar_floor_p, ltp * m.option_collar_pct / 100.0),
        i.expiry is not None and i.expiry.toordinal() < 0,
        m.allowed_underlyings is not None and i.underlying not in m.allowed_underlyings,
        order.stop_px_p is not None,
        book.messages(now, order.exchange) + 1 > m.max_messages_per_s,
        book.repeated_ns(order) is not None,
        i.kind is Kind.INDEX,
    )
    return [number for number, one in enumerate(failed) if one] if any(failed) else []


def _bare(result: Result) -> None:
    limits = Limits(check_margin=False)
    book, asked, now = account()
    instrument = book.instruments[asked.symbol]
    quote = book.quote(instrument)
    assert quote is not None
    assert bare_rules(asked, instrument, quote, book, limits, now) == []
    ours = lambda: decide(asked, book, limits, now)  # noqa: E731
    times = interleave({"ours": ours, "bare": lambda: bare_rules(asked, instrument, quote, book, limits, now)})
    note = "25 comparisons without reasons, the quote handed in: for scale, no goal"
    result.rows.append(ratio_row("decision", 1, "25 bare comparisons", times["ours"], times["bare"], note=note))


def _decisions(result: Result) -> None:
    for name, limits, goal in (
        ("decision", Limits(check_margin=False), GOALS["decision"]),
        ("decision with margin", Limits(), GOALS["priced"]),
    ):
        book, asked, now = account()
        denied = decide(asked, book, limits, now)
        assert denied == reference(asked, book, limits, now) == (), denied
        jobs: dict[str, Callable[[], object]] = {
            "ours": lambda b=book, a=asked, x=limits, t=now: decide(a, b, x, t),  # type: ignore[misc]
            "plain": lambda b=book, a=asked, x=limits, t=now: reference(a, b, x, t),  # type: ignore[misc]
        }
        times = interleave(jobs, rounds=DECISION_ROUNDS, sample_s=DECISION_S)
        p50, p99 = _spread(jobs["ours"])
        note = f"p50 {p50:.1f} us, p99 {p99:.1f} us"
        result.rows.append(
            ratio_row(name, 1, "every rule in Python", times["ours"], times["plain"], goal=goal, note=note)
        )
        slow = max(1.0, median(times["plain"]) * 1e6 / PLAIN_US)
        if p99 > P99_US * slow:
            result.misses.append(f"{name}: p99 {p99:.1f} us, the limit here is {P99_US * slow:.0f} us")


def _spread(job: Callable[[], object], calls: int = 5000) -> tuple[float, float]:
    """Median and 99th percentile of single calls, microseconds."""
    taken = np.empty(calls)
    for i in range(calls):
        start = time.perf_counter_ns()
        job()
        taken[i] = time.perf_counter_ns() - start
    return float(np.median(taken)) / 1e3, float(np.percentile(taken, 99)) / 1e3
