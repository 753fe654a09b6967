"""``toolkit bench pricing``: price, Greeks and implied vol against every installed peer.

The same arrays through every library in one process, on one pinned core, ours and theirs in turn; a
peer that is too slow for a million rows gets the first rows of the same arrays. Each peer's worst
error against the 50-digit table stands beside its time; goals count only peers that are accurate.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from toolkit import pricing
from toolkit.bench import reference
from toolkit.bench.pricing_peers import Arrays, Peer, installed
from toolkit.bench.runner import Result, Row, interleave, machine, pinned, ratio_row

__all__ = ["accuracy", "nifty", "run"]

MILLION: Final = 1_000_000
CHAIN: Final = 200
ULP: Final = 2.0**-53
ACCURATE: Final = 0.01
THREADS: Final = 1.7
LIMIT: Final = "two calls at once, each on half of the rows"
PACKAGES: Final = (
    *("numpy", "numba", "scipy", "polars", "polars-vol", "iv-engine", "pyvolr", "fast-vollib", "opengreeks"),
    *("lets-be-precise", "lbriv", "QuantLib", "vollib"),
)


class Goal(NamedTuple):
    """A stated ratio: job, n, whom it is against, how many times faster."""

    job: str
    n: int
    against: str
    times: float


GOALS: Final = (
    Goal("price", MILLION, "fastest", 7.0),
    Goal("price", MILLION, "plain numba", 6.0),
    Goal("price", CHAIN, "fastest", 4.0),
    Goal("greeks", MILLION, "fastest", 5.0),
    Goal("greeks out=", MILLION, "fastest", 9.0),
    Goal("greeks", CHAIN, "fastest", 5.0),
    Goal("implied", MILLION, "fastest", 9.0),
    Goal("implied", CHAIN, "fastest", 8.0),
)


def nifty(n: int, seed: int = 1, *, out: bool = False) -> Arrays:
    """Draw ``n`` options like NIFTY's: strikes within 12 %, a day to 45 days, vol 8 % to 30 %, both sides.

    ``out`` keeps the out-of-the-money side of each strike, as implied vols are taken.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    forward = np.full(n, 24_500.0)
    strike = np.round(forward * rng.uniform(0.88, 1.12, n) / 50.0) * 50.0
    tte = rng.uniform(1.0 / 365.0, 45.0 / 365.0, n)
    iv = rng.uniform(0.08, 0.30, n)
    cp = np.where(strike >= forward, 1.0, -1.0) if out else rng.choice([-1.0, 1.0], n)
    price = pricing.price(cp, forward, strike, tte, iv)
    return Arrays(cp, forward, strike, tte, iv, np.maximum(price, 1e-12))


def run(peers: bool, check: bool) -> Result:
    """Run the benchmark; with ``peers`` side by side, else threads and absolute times only."""
    result = Result("pricing", machine=machine(PACKAGES if peers else PACKAGES[:2]))
    result.notes.append("goals are ratios of interleaved rounds: median, then the range, of peer / ours")
    found, absent = installed() if peers else ([], [])
    result.notes.append(
        f"two threads are asked for {THREADS:g}x of one on every job, where two calls at once that share nothing"
        " (the row 'limit') reach that on this machine in the same rounds"
    )
    result.notes.extend(absent)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        errors = accuracy(found)
        for name, note in errors.items():
            result.notes.append(f"error of {name}: {note.text}")
        arrays, outside = nifty(MILLION), nifty(MILLION, out=True)
        with pinned():
            for n in (1, CHAIN, MILLION):
                for job in ("price", "greeks", "greeks out=", "implied"):
                    columns = outside if job == "implied" else arrays
                    result.rows.extend(_compare(job, n, columns.head(n), found, errors))
        result.rows.extend(_threads(arrays, outside))
    if peers and check:
        result.misses.extend(_unmeasured(result.rows))
    return result


class Errors(NamedTuple):
    """How a library did on the reference table: share of rows wrong, and one line about it."""

    price_wrong: float
    implied_wrong: float
    text: str


def accuracy(found: list[tuple[Peer, Any]]) -> dict[str, Errors]:
    """Measure ours and every peer on the 50-digit table (rate 0, out of the money, price above 1e-290)."""
    table = reference.load()
    cp = np.where(table["strike"] >= table["forward"], 1.0, -1.0)
    use = (table["cp"] == cp) & (table["rate"] == 0.0) & (table["price"] > 1e-290)
    t = {name: column[use] for name, column in table.items() if len(column) == len(use)}
    a = Arrays(t["cp"], t["forward"], t["strike"], t["tte"], t["iv"], t["price"])
    ours = Errors(*_errors(pricing.price(*a[:5]), _ours_implied(a)(), t))
    errors = {"toolkit": ours}
    for peer, module in found:
        n = min(len(a.cp), 4096 if peer.most >= 5000 else peer.most)
        few = {name: column[:n] for name, column in t.items()}
        price = np.asarray(peer.price(module, a.head(n))()) if peer.price else None
        implied = np.asarray(peer.implied(module, a.head(n))()) if peer.implied else None
        errors[peer.name] = Errors(*_errors(price, implied, few))
    return errors


def _errors(price: Any, implied: Any, t: dict[str, Any]) -> tuple[float, float, str]:
    texts = []
    price_wrong = implied_wrong = 0.0
    if price is not None:
        by_strike = (t["price"] - t["forward"] * t["delta"]) / t["strike"]
        cost = ULP * (
            np.abs(t["forward"] * t["delta"])
            + np.abs(t["strike"] * by_strike)
            + t["vega"] * t["iv"]
            + np.abs(t["theta"] * t["tte"])
            + t["price"]
        )
        off = np.nan_to_num(np.abs(price - t["price"]) / cost, nan=np.inf)
        price_wrong = float(np.mean(~(np.abs(price - t["price"]) < 1e-6 * t["forward"])))
        texts.append(f"price at most {off.max():.3g} times what rounding the inputs costs, median {np.median(off):.2g}")
    if implied is not None:
        sound = 2.0 * ULP * t["price"] / t["vega"] < 1e-9
        off = np.abs((implied - t["iv"]) / t["iv"] - t["iv_shift"])[sound]
        attainable = (ULP * t["price"] / t["vega"] / t["iv"] + 0.5 * np.spacing(t["iv"]) / t["iv"])[sound]
        times = off / attainable
        implied_wrong = float(np.mean(~(off * t["iv"][sound] < 1e-6)))
        right = times[off * t["iv"][sound] < 1e-6]
        worst = f"{right.max():.3g} times the attainable error, median {np.median(right):.2g}" if len(right) else "-"
        texts.append(f"implied vol at most {worst}; {100.0 * implied_wrong:.2f} % of rows wrong by more than 1e-6")
    return price_wrong, implied_wrong, "; ".join(texts)


def _ours(job: str, a: Arrays) -> Callable[[], object]:
    five = a[:5] if len(a.cp) > 1 else tuple(float(x[0]) for x in a[:5])
    if job == "price":
        return lambda: pricing.price(*five)
    if job == "greeks":
        return lambda: pricing.price_greeks(*five)
    if job == "greeks out=":
        out = [np.empty(len(a.cp)) for _ in range(6)]
        return lambda: pricing.price_greeks(*a[:5], out=out)
    return _ours_implied(a)


def _ours_implied(a: Arrays) -> Callable[[], Any]:
    return lambda: pricing.implied_vol(a.cp, a.price, a.forward, a.strike, a.tte)


def _compare(job: str, n: int, a: Arrays, found: list[tuple[Peer, Any]], errors: dict[str, Errors]) -> Iterator[Row]:
    ours = _ours(job, a)
    attribute = job.split()[0]
    rows = []
    for peer, module in found:
        build = getattr(peer, attribute)
        if build is None:
            continue
        few = min(n, peer.most)
        try:
            theirs = build(module, a.head(few))
            times = interleave({"ours": ours, "theirs": theirs})
        except Exception as error:
            yield Row(job, n, peer.name, 0.0, 0.0, 1.0, 1.0, 1.0, None, f"{type(error).__name__}: {error}"[:80])
            continue
        wrong = errors[peer.name].implied_wrong if job == "implied" else errors[peer.name].price_wrong
        note = "" if wrong <= ACCURATE else f"not accurate: {100.0 * wrong:.0f} % of the table wrong"
        rows.append(ratio_row(job, n, peer.name, times["ours"], times["theirs"], peer_n=few, note=note))
    if not found:
        times = interleave({"ours": ours})
        rows.append(ratio_row(job, n, "itself", times["ours"], times["ours"]))
    yield from _with_goals(job, n, rows)


def _with_goals(job: str, n: int, rows: list[Row]) -> Iterator[Row]:
    sound = [r for r in rows if not r.note and r.peer not in ("itself", "plain numba")]
    fastest = min(sound, key=lambda r: r.peer_ns / r.ours_ns).peer if sound else ""
    for row in rows:
        goal = None
        for g in GOALS:
            if (g.job, g.n) == (job, n) and row.peer == (fastest if g.against == "fastest" else g.against):
                goal = g.times
        yield replace(row, goal=goal)


def _threads(arrays: Arrays, outside: Arrays) -> Iterator[Row]:
    """Two threads against one: a chain, and a million rows of each job beside the limit of the machine."""
    few, out = arrays.head(CHAIN), np.empty(CHAIN)
    with pinned():
        times = interleave({str(k): partial(pricing.price, *few[:5], out=out, threads=k) for k in (2, 1)}, rounds=25)
    yield ratio_row("two threads", CHAIN, "one thread", times["2"], times["1"], goal=0.9)
    n = len(arrays.cp)
    six = [np.empty(n) for _ in range(6)]
    solve = (outside.cp, outside.price, outside.forward, outside.strike, outside.tte)
    for job, call in (
        ("price", partial(pricing.price, *arrays[:5], out=six[0])),
        ("greeks", partial(pricing.price_greeks, *arrays[:5], out=six)),
        ("implied", partial(pricing.implied_vol, *solve, out=six[0])),
    ):
        times = interleave(
            {"2": partial(call, threads=2), "1": call, "limit": _both_at_once(job, arrays, outside)}, rounds=25
        )
        limit = ratio_row(f"{job} limit", n, "one thread", times["limit"], times["1"], note=LIMIT)
        yield limit
        goal = THREADS if limit.ratio >= THREADS else None
        note = "" if goal else f"no goal: two copies of the kernel reach {limit.ratio:.2f}x on this machine now"
        yield ratio_row(f"{job} two threads", n, "one thread", times["2"], times["1"], goal=goal, note=note)


def _both_at_once(job: str, arrays: Arrays, outside: Arrays) -> Callable[[], None]:
    """One-thread calls for either half of the rows, on two threads that were started before and share nothing."""
    calls = []
    for a in (_half(outside if job == "implied" else arrays, k) for k in range(2)):
        six = [np.empty(len(a.cp)) for _ in range(6)]
        if job == "price":
            calls.append(partial(pricing.price, *a[:5], out=six[0]))
        elif job == "greeks":
            calls.append(partial(pricing.price_greeks, *a[:5], out=six))
        else:
            calls.append(partial(pricing.implied_vol, a.cp, a.price, a.forward, a.strike, a.tte, out=six[0]))
    pool = ThreadPoolExecutor(1)

    def both() -> None:
        other = pool.submit(calls[1])
        calls[0]()
        other.result()

    return both


def _half(a: Arrays, k: int) -> Arrays:
    middle = len(a.cp) // 2
    return Arrays(*(x[middle:] if k else x[:middle] for x in a))


def _unmeasured(rows: list[Row]) -> list[str]:
    seen = {(r.job, r.n) for r in rows if r.goal is not None}
    return [f"{g.job}, n = {g.n}: no accurate peer is installed" for g in GOALS if (g.job, g.n) not in seen]
