"""The order in which legs are traded, so that no snapshot between two legs sees more margin than must be."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from toolkit.risk.margin import Leg, SpanParams
from toolkit.risk.margin_book import MarginBook

__all__ = ["Step", "leg_order"]

_EXACT: Final = 12
_TINY: Final = 1e-6


class Step(msgspec.Struct, frozen=True):
    """The leg of a number in the list asked for, and what the account needs once it has traded, rupees.

    ``margin`` is the margin of all positions then; ``cash`` the premium paid (received is below
    zero) so far; ``needed`` their sum, what the account must hold. Legs of one ``stage`` may be
    under way together: whichever of them trades first, no more is needed than at the peak, or
    than before the first leg.
    """

    number: int
    leg: Leg
    margin: float
    cash: float
    needed: float
    stage: int = 0


def leg_order(
    legs: Sequence[Leg],
    params: SpanParams | Mapping[str, SpanParams],
    held: Sequence[Leg] = (),
    after: Sequence[Collection[int]] = (),
) -> tuple[Step, ...]:
    """Order legs so that the most that is needed after any of them is as little as it can be.

    Parameters
    ----------
    legs : sequence of Leg
        What is to be traded, whole.
    params : SpanParams or mapping by underlying
        As for :func:`~toolkit.risk.margin.span_margin`.
    held : sequence of Leg
        Positions before the first leg.
    after : sequence of collections of int, optional
        For each leg the numbers of those that must have traded before it.

    Returns
    -------
    tuple of Step
        The legs in order. Among equal peaks the order that needs less after each of its first legs.

    Notes
    -----
    Exact for up to 12 legs, by the least peak of every subset (2^n subsets); above that the leg that needs
    least comes next, and a stage is a run of legs of one side. An option without a price costs nothing to buy in
    ``cash``: name its price.
    """
    book, keys, start = _booked(legs, params, held)
    behind = [sum(1 << before for before in after[number]) if after else 0 for number in range(len(legs))]
    if len(legs) <= _EXACT:
        needs = _needs(legs, book, keys)
        order = _least_peak(needs, behind)
        stages = _together(order, needs, behind)
    else:
        order = _greedy(legs, book, keys, behind)
        stages = _runs(order, legs, behind)
    steps = []
    _rewind(book, keys, start)
    state, cash = dict(start), 0.0
    for number, stage in zip(order, stages, strict=True):
        leg, key = legs[number], keys[number]
        state[key] += leg.qty
        book.set(key, net=state[key])
        cash += _cash(leg)
        margin = book.total()
        steps.append(Step(number, leg, margin, cash, margin + cash, stage))
    return tuple(steps)


def _booked(
    legs: Sequence[Leg], params: SpanParams | Mapping[str, SpanParams], held: Sequence[Leg]
) -> tuple[MarginBook, list[str], dict[str, int]]:
    named = params if not isinstance(params, SpanParams) else {leg.underlying: params for leg in (*legs, *held)}
    book, start, keys = MarginBook(named), {}, []
    for leg in (*held, *legs):
        key = repr((leg.underlying, leg.cp, leg.strike if leg.cp else 0.0, leg.tte, leg.expiry))
        if key not in book:
            book.add(key, leg)
            start[key] = 0
        keys.append(key)
    for leg, key in zip(held, keys, strict=False):
        start[key] += leg.qty
    mine = keys[len(held) :]
    _rewind(book, keys, start)
    return book, mine, start


def _rewind(book: MarginBook, keys: Sequence[str], start: Mapping[str, int]) -> None:
    for key in keys:
        book.set(key, net=start[key])


def _cash(leg: Leg) -> float:
    return leg.qty * leg.mark if leg.cp and leg.mark == leg.mark else 0.0


def _needs(legs: Sequence[Leg], book: MarginBook, keys: Sequence[str]) -> list[float]:
    """What is needed after each subset of the legs, by its bits; walked so that one leg changes a step."""
    base = {key: book.net(key) for key in keys}
    needs = [0.0] * (1 << len(legs))
    seen, cash = 0, 0.0
    needs[0] = book.total()
    for count in range(1, 1 << len(legs)):
        code = count ^ (count >> 1)
        bit = (code ^ seen).bit_length() - 1
        sign = 1 if code >> bit & 1 else -1
        base[keys[bit]] += sign * legs[bit].qty
        book.set(keys[bit], net=base[keys[bit]])
        cash += sign * _cash(legs[bit])
        needs[code] = book.total() + cash
        seen = code
    return needs


def _free(code: int, behind: Sequence[int]) -> list[int]:
    """Legs that may trade next, when those of ``code`` have."""
    return [bit for bit, first in enumerate(behind) if not code >> bit & 1 and first & code == first]


def _least_peak(needs: Sequence[float], behind: Sequence[int]) -> list[int]:
    """Backwards over subsets: the least peak from there to the end, then forwards along it."""
    whole = len(needs) - 1
    ahead = [0.0] * len(needs)
    for code in range(whole - 1, -1, -1):
        then = (code | 1 << bit for bit in _free(code, behind))
        ahead[code] = min(max(needs[after], ahead[after]) for after in then)
    order, code = [], 0
    while code != whole:
        options = _free(code, behind)
        peak = min(max(needs[code | 1 << bit], ahead[code | 1 << bit]) for bit in options)
        best = min(
            (bit for bit in options if max(needs[code | 1 << bit], ahead[code | 1 << bit]) <= peak),
            key=lambda bit: needs[code | 1 << bit],
        )
        order.append(best)
        code |= 1 << best
    return order


def _together(order: Sequence[int], needs: Sequence[float], behind: Sequence[int]) -> list[int]:
    """The stage of each leg in order: it joins the leg before it unless some part of the stage could need more."""
    done, most = 0, needs[0]
    for bit in order:
        done |= 1 << bit
        most = max(most, needs[done])
    stages, base, parts, members = list[int](), 0, [0], 0
    for bit in order:
        new = [base | part | 1 << bit for part in parts]
        if members and (behind[bit] & members or any(needs[code] > most + _TINY for code in new)):
            base, parts, members = base | members, [0], 0
            stages.append(stages[-1] + 1)
        else:
            stages.append(stages[-1] if stages else 0)
        parts += [part | 1 << bit for part in parts]
        members |= 1 << bit
    return stages


def _greedy(legs: Sequence[Leg], book: MarginBook, keys: Sequence[str], behind: Sequence[int]) -> list[int]:
    order, code = list[int](), 0
    while len(order) < len(legs):
        best = min(
            _free(code, behind), key=lambda number: book.traded(keys[number], legs[number].qty) + _cash(legs[number])
        )
        book.set(keys[best], net=book.net(keys[best]) + legs[best].qty)
        code |= 1 << best
        order.append(best)
    return order


def _runs(order: Sequence[int], legs: Sequence[Leg], behind: Sequence[int]) -> list[int]:
    """The stage of each leg in order where there are too many subsets to look at: a run of one side."""
    stages, members = list[int](), 0
    for at, number in enumerate(order):
        turned = at > 0 and (legs[order[at - 1]].qty > 0) != (legs[number].qty > 0)
        if turned or behind[number] & members:
            members = 0
            stages.append(stages[-1] + 1)
        else:
            stages.append(stages[-1] if stages else 0)
        members |= 1 << number
    return stages
