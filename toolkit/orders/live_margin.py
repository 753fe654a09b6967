"""The accounts' margin as one process knows it: of positions, of legs on top, how it is covered, its day's peak.

Rupees; None is unknown. Ours is made from the positions and the day's parameters; the broker's stands beside it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from toolkit import defaults
from toolkit.brokers.margin_beside import BasketLeg, beside
from toolkit.brokers.port import Funds
from toolkit.calendar import ist_date
from toolkit.errors import BadData, BadOrder, Refused
from toolkit.market.hub import Hub
from toolkit.orders.algo import Algo
from toolkit.orders.leg_plan import Stages, buys_first, follows, is_exit, stages_of, write_stages
from toolkit.risk.collateral import Shot, funding, peak_margin
from toolkit.risk.leg_order import leg_order
from toolkit.risk.margin import Leg, Margin, SpanParams, span_margin
from toolkit.risk.rates import MarginRates
from toolkit.store.margin_pairs import MarginPairs
from toolkit.types import Instrument, Kind, OrderRequest, Side

if TYPE_CHECKING:
    from toolkit.orders.station import Seat

__all__ = ["Margins", "Shots"]

_MINUTE_NS: Final = 60 * 10**9
_MANUAL: Final = "manual"
_LEAST: Final = "least peak margin"
_EXIT: Final = "an exit: shorts are bought back first"
_BUYS: Final = "buys first"
_BLANK: Final = ("broker_total", "broker_span", "broker_exposure", "error", "pairs", "median", "p95")


class Shots:
    """The worst of each minute of a day: what a snapshot in that minute could have seen. The day begins anew."""

    def __init__(self) -> None:
        self.kept: list[Shot] = []
        self.since_ns = 0

    def take(self, at_ns: int, required: float, available: float) -> None:
        """Take the requirement and the funds of an instant; the first of a day says since when it is known."""
        if not self.kept or ist_date(self.kept[0].at_ns) != ist_date(at_ns):
            self.kept, self.since_ns = [], at_ns
        new = Shot(at_ns // _MINUTE_NS * _MINUTE_NS, required, available)
        if self.kept and self.kept[-1].at_ns == new.at_ns:
            self.kept[-1] = max(self.kept[-1], new, key=lambda s: (max(0.0, s.required - s.available), s.required))
        else:
            self.kept.append(new)

    def view(self, now_ns: int, rates: MarginRates) -> dict[str, Any] | None:
        """The worst that the day's windows could have seen; None before anything of the day was measured."""
        day = ist_date(now_ns)
        if not self.kept or ist_date(self.kept[0].at_ns) != day:
            return None
        found = peak_margin(self.kept, day, until_ns=now_ns, rates=rates)
        windows = rates.peak_windows(day)
        seen = found.window >= 0
        window = f"{windows[found.window].opens:%H:%M}-{windows[found.window].closes:%H:%M}" if seen else None
        row = {name: getattr(found, name) for name in ("required", "shortfall", "penalty")}
        return row | {"window": window, "at_ns": found.at_ns if seen else None, "since_ns": self.since_ns}


class Asked(NamedTuple):
    """Orders as legs, the parameters of their underlyings and those held, the positions."""

    basket: list[BasketLeg]
    params: Mapping[str, SpanParams]
    held: list[Leg]


class Margins:
    """The margin of the accounts of one process.

    Parameters
    ----------
    hub : Hub
    clock : callable
        The engines' time, nanoseconds UTC.
    params : callable
        Gives the margin parameters of underlyings.
    pairs : MarginPairs, optional
        Keeps our margin beside a broker's.
    """

    def __init__(
        self,
        hub: Hub,
        clock: Callable[[], int],
        params: Callable[[Iterable[str]], Mapping[str, SpanParams]],
        pairs: MarginPairs | None = None,
    ) -> None:
        self._hub = hub
        self._clock = clock
        self._params = params
        self._pairs = pairs
        self._rates: MarginRates = defaults.get("margins")
        self._shots: dict[str, Shots] = {}

    async def note(self, seat: Seat) -> None:
        """Keep what a snapshot of an account would see now, where both its margin and its money are known."""
        money, now_ns = seat.engine.figures.money, self._clock()
        if money is None or money.cash_p is None:
            return
        params = self._params(self._names(seat))
        legs, missing = self._legs(seat, seat.engine.core.book.net, params)
        if not missing:
            made = await asyncio.to_thread(span_margin, legs, params)
            self._shots.setdefault(seat.account, Shots()).take(now_ns, made.total, money.cash_p / 100.0)

    async def row(self, seat: Seat) -> dict[str, Any]:
        """An account's money and the margin of its positions: parts, by strategy, how it is covered, the peak."""
        funds = await seat.engine.broker.margins()
        money = {name: _rupees(getattr(funds, f"{name}_p")) for name in ("cash", "used", "available", "collateral")}
        row: dict[str, Any] = {"account": seat.account, "broker": seat.broker, **money}
        made = self._of(seat, seat.engine.core.book.net)
        shots = self._shots.get(seat.account)
        row["peak"] = None if shots is None else shots.view(self._clock(), self._rates)
        row["strategies"] = self._by_strategy(seat)
        if isinstance(made, str):
            return row | {"ours": None, "label": made, "parts": None, "funding": None}
        covered = self._covered(funds, made, 0.0)
        return row | {"ours": made.total, "label": made.label, "parts": msgspec.to_builtins(made), "funding": covered}

    async def order(self, seat: Seat, made: Sequence[OrderRequest]) -> dict[str, Any]:
        """What orders need: ours with its parts and label, the account before and after, the broker's beside it.

        ``leg_order`` is the order in which ``legs`` would trade them, ``funding`` how all would be covered.
        """
        contracts = [(self._instrument(seat, request), request) for request in made]
        for instrument, request in contracts:
            if request.order_qty % instrument.lot:
                text = f"{request.symbol} trades in lots of {instrument.lot}, was {request.order_qty} units"
                raise BadOrder("order_qty", instrument.lot, request.order_qty, text)
        params = self._params({*self._names(seat), *(i.underlying for i, _ in contracts)})
        basket = [self._basket_leg(seat, i, request) for i, request in contracts if i.expiry is not None]
        held, missing = self._legs(seat, seat.engine.core.book.net, params)
        lacking = sorted({*missing, *(one.leg.underlying for one in basket)} - params.keys())
        shares = self._shares(contracts)
        if lacking or shares is None:
            what = f"no margin parameters for {', '.join(lacking)}" if lacking else "a share without a price"
            theirs = await seat.engine.broker.order_margins(made)
            return {"total": None, "label": f"unknown: {what}", "broker_total": theirs.total}
        asked = [one.leg for one in basket]
        ours, before, after = (span_margin(legs, params) for legs in (asked, held, [*held, *asked]))
        found: dict[str, Any] = msgspec.to_builtins(ours)
        found |= {"shares": shares, "total": ours.total + shares, "before": before.total, "after": after.total}
        found |= await self._planned(seat, made, Asked(basket, params, held))
        found["funding"] = self._covered(await seat.engine.broker.margins(), after, ours.premium + shares)
        return found | await self._beside(seat, basket, params)

    async def change(self, seat: Seat, made: Sequence[OrderRequest], algo: Algo | None = None) -> dict[str, Any]:
        """The account's margin before and after orders, and the order in which an algorithm would trade them.

        Margins are None where unknown. ``leg_order`` is None for an algorithm whose legs do not follow each other.
        """
        asked = self._asked(seat, made)
        found: dict[str, Any] = dict.fromkeys(("margin_before", "margin_after", "leg_order", "leg_order_is"))
        if not isinstance(asked, str):
            after = span_margin([*asked.held, *(one.leg for one in asked.basket)], asked.params)
            found |= {"margin_before": span_margin(asked.held, asked.params).total, "margin_after": after.total}
        if algo is None:
            return found | await self._planned(seat, made, asked)
        kind, said = algo.order_by_margin(), algo.order_said()
        return found | await self._planned(seat, made, asked, kind, said) if kind or said else found

    async def stages(self, seat: Seat, made: Sequence[OrderRequest], kind: str) -> str:
        """The stages in which legs need least at any time, as an algorithm reads them.

        Empty for an exit, which has an order of its own, and where the margin or a leg's price is unknown.
        """
        found, why = await self._stages(seat, made, self._asked(seat, made), kind)
        return write_stages(found) if why == _LEAST else ""

    # inside

    def _asked(self, seat: Seat, made: Sequence[OrderRequest]) -> Asked | str:
        """Orders and positions as legs with their parameters, or why they cannot be counted."""
        contracts = [(self._instrument(seat, request), request) for request in made]
        basket = [self._basket_leg(seat, i, request) for i, request in contracts if i.expiry is not None]
        params = self._params({*self._names(seat), *(one.leg.underlying for one in basket)})
        held, missing = self._legs(seat, seat.engine.core.book.net, params)
        lacking = sorted({*missing, *(one.leg.underlying for one in basket)} - params.keys())
        return f"no margin parameters for {', '.join(lacking)}" if lacking else Asked(basket, params, held)

    async def _stages(
        self, seat: Seat, made: Sequence[OrderRequest], asked: Asked | str, kind: str
    ) -> tuple[Stages, str]:
        """The stages in which ``legs`` would trade orders, and how they were found."""
        net = seat.engine.core.book.net
        sides = [request.side for request in made]
        if is_exit(kind, made, net):
            return buys_first(sides, [False] * len(made)), _EXIT
        closes = [net.get(request.symbol, 0) * request.side.sign < 0 for request in made]
        if isinstance(asked, str):
            return buys_first(sides, closes), f"{_BUYS}: {asked}"
        if len(asked.basket) < len(made) or any(math.isnan(one.leg.mark) for one in asked.basket):
            why = "a share is paid for in full" if len(asked.basket) < len(made) else "a leg has no price"
            return buys_first(sides, closes), f"{_BUYS}: {why}"
        terms = {request.symbol: self._instrument(seat, request) for request in made}
        legs = [one.leg for one in asked.basket]
        after = follows(made, terms, net)
        return stages_of(await asyncio.to_thread(leg_order, legs, asked.params, asked.held, after)), _LEAST

    async def _planned(
        self,
        seat: Seat,
        made: Sequence[OrderRequest],
        asked: Asked | str,
        kind: str = "auto",
        said: Sequence[Sequence[int]] = (),
    ) -> dict[str, Any]:
        """The legs in their stages, what the account needs after each, and why in this order.

        None is unknown: every figure without parameters, cash from the first leg on that moves some at no known price.
        """
        stages, why = (said, "as said") if said else await self._stages(seat, made, asked, kind)
        done, rows = ([] if isinstance(asked, str) else list(asked.held)), []
        cash: float | None = 0.0
        for number, stage in enumerate(stages, start=1):
            for request in (made[n] for n in stage):
                row: dict[str, Any] = {"symbol": request.symbol, "side": str(request.side), "stage": number}
                figures: dict[str, Any] = dict.fromkeys(("margin_after", "premium_paid", "needed"))
                if not isinstance(asked, str):
                    one = self._basket_leg(seat, self._instrument(seat, request), request)
                    if one.leg.expiry is not None:
                        done.append(one.leg)
                    paid = self._paid(seat, request, one.leg)
                    cash = None if cash is None or paid is None else cash + paid
                    margin = span_margin(done, asked.params).total
                    figures = {"margin_after": margin, "premium_paid": cash}
                    figures["needed"] = None if cash is None else margin + cash
                rows.append(row | figures)
        return {"leg_order": rows, "leg_order_is": why}

    def _paid(self, seat: Seat, request: OrderRequest, leg: Leg) -> float | None:
        """The cash that a leg moves at once, as options and shares do and futures do not; None without a price."""
        if self._instrument(seat, request).kind is Kind.FUTURE:
            return 0.0
        return None if math.isnan(leg.mark) else leg.qty * leg.mark

    def _of(self, seat: Seat, net: Mapping[str, int]) -> Margin | str:
        """The margin of positions, or why it is unknown."""
        params = self._params(self._names(seat))
        legs, missing = self._legs(seat, net, params)
        return f"unknown: no margin parameters for {', '.join(missing)}" if missing else span_margin(legs, params)

    def _names(self, seat: Seat) -> set[str]:
        """The underlyings that an account is in."""
        book = seat.engine.core.book
        return {i.underlying for symbol in book.net if (i := book.instruments.get(symbol)) and i.expiry is not None}

    def _by_strategy(self, seat: Seat) -> dict[str, float | None]:
        """The margin of what each strategy holds, as if it were alone; ``manual`` is what is no strategy's."""
        left = dict(seat.engine.core.book.net)
        parts: dict[str, dict[str, int]] = {}
        for name, book in seat.engine.figures.strategies().items():
            parts[name] = book.net()
            for symbol, qty in parts[name].items():
                left[symbol] = left.get(symbol, 0) - qty
        rest = {symbol: qty for symbol, qty in left.items() if qty}
        if rest:
            parts.setdefault(_MANUAL, {}).update(rest)
        found = {name: self._of(seat, net) for name, net in parts.items()}
        return {name: one.total if isinstance(one, Margin) else None for name, one in found.items()}

    def _legs(
        self, seat: Seat, net: Mapping[str, int], params: Mapping[str, SpanParams]
    ) -> tuple[list[Leg], list[str]]:
        """Positions as legs, and what cannot be counted: contracts without terms, underlyings without parameters."""
        book, legs, missing = seat.engine.core.book, list[Leg](), set[str]()
        for symbol, qty in sorted(net.items()):
            instrument = book.instruments.get(symbol)
            if instrument is None:
                missing.add(symbol)
            elif qty and instrument.expiry is not None:  # shares are paid for in full
                if instrument.underlying not in params:
                    missing.add(instrument.underlying)
                legs.append(book.leg(instrument, qty, self._clock()))
        return legs, sorted(missing)

    def _instrument(self, seat: Seat, request: OrderRequest) -> Instrument:
        known = seat.engine.core.book.instruments.get(request.symbol)
        return self._hub.listed[self._hub.by_symbol[request.symbol]] if known is None else known

    def _basket_leg(self, seat: Seat, instrument: Instrument, request: OrderRequest) -> BasketLeg:
        leg = seat.engine.core.book.leg(instrument, request.side.sign * request.order_qty, self._clock())
        return BasketLeg(request.symbol, instrument.exchange, msgspec.structs.replace(leg, mark=self._price(request)))

    def _price(self, request: OrderRequest) -> float:
        return self._hub.mark(request.symbol) if request.price_p is None else request.price_p / 100.0

    def _shares(self, contracts: Sequence[tuple[Instrument, OrderRequest]]) -> float | None:
        """What shares to be bought cost, in full; None without a price."""
        cost = sum(
            request.order_qty * self._price(request)
            for instrument, request in contracts
            if instrument.expiry is None and request.side is Side.BUY
        )
        return float(cost) if math.isfinite(cost) else None

    def _covered(self, funds: Funds, margin: Margin, premium: float) -> dict[str, Any] | None:
        """How cash and collateral cover a margin; a debit counts as cash still to be paid. None where unknown."""
        if funds.cash_p is None or funds.collateral_p is None:
            return None
        cash, collateral = (funds.cash_p - funds.collateral_p) / 100.0, max(0, funds.collateral_p) / 100.0
        found = funding(
            margin,
            max(0.0, cash),
            collateral,
            premium=premium + max(0.0, -cash),
            on=ist_date(self._clock()),
            rates=self._rates,
        )
        made: dict[str, Any] = msgspec.to_builtins(found)
        return made

    async def _beside(
        self, seat: Seat, basket: Sequence[BasketLeg], params: Mapping[str, SpanParams]
    ) -> dict[str, Any]:
        """The broker's figure of the same basket, kept as a pair, and how far apart all pairs are."""
        broker, pairs = seat.engine.broker, self._pairs
        blank = dict.fromkeys(_BLANK)
        if broker.name == "paper" or not basket:
            said = "paper's margin is ours" if basket else "shares are paid for in full"
            return blank | {"broker_text": f"{said}; there is nothing to compare with"}
        try:
            both = await beside(broker, basket, params, pairs)
        except (Refused, BadData) as error:
            return blank | {"broker_text": str(error)}
        errors = None if pairs is None else pairs.errors(broker.name)
        theirs: Margin = both.theirs
        found: dict[str, Any] = {"broker_total": theirs.total, "broker_span": theirs.span}
        found |= {"broker_exposure": theirs.exposure, "error": both.pair.error, "uncounted": list(both.uncounted)}
        if errors is None:
            return blank | found
        more = {"pairs": errors.pairs, "median": errors.median, "p95": errors.p95, "broker_text": errors.text}
        return blank | found | more


def _rupees(paise: int | None) -> float | None:
    return None if paise is None else paise / 100.0
