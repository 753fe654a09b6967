"""Pre-trade checks: every reason why an order must not leave, all at once.

Each rule is a small function over one :class:`_Case`; it answers None or one
:class:`~toolkit.types.Denial`. A figure that is unknown denies. Cancels are never checked here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, TypeGuard

import msgspec

from toolkit.calendar import ist_date
from toolkit.market.quotes import Quote
from toolkit.risk.book import RiskBook
from toolkit.risk.limits import Limits, TradingState
from toolkit.risk.margin import span_margin
from toolkit.types import Denial, Instrument, Kind, Order, OrderRequest, OrdType, Side

__all__ = ["RULES", "check", "collar_p", "protect"]

_LARGEST: Final = 10**12
_SECOND_NS: Final = 1_000_000_000


class _Case(msgspec.Struct, frozen=True):
    """One order in front of the rules, with what several of them need."""

    order: OrderRequest
    book: RiskBook
    limits: Limits
    now_ns: int
    messages: int
    replaces: Order | None
    instrument: Instrument | None
    quote: Quote | None

    @property
    def qty(self) -> int | None:
        """The quantity if it is a sane positive integer."""
        return self.order.order_qty if _sane(self.order.order_qty) else None

    @property
    def price_p(self) -> int | None:
        """The price if it is a sane positive integer."""
        return self.order.price_p if _sane(self.order.price_p) else None

    @property
    def own_leaves(self) -> int:
        """What the order being replaced already counts among the open ones."""
        return 0 if self.replaces is None else self.replaces.leaves_qty

    @property
    def added(self) -> int:
        """Units this order adds to what is open (negative when a modification shrinks it)."""
        done = 0 if self.replaces is None else self.replaces.cum_qty
        return (self.qty or 0) - done - self.own_leaves


def check(
    order: OrderRequest,
    book: RiskBook,
    limits: Limits,
    now_ns: int,
    *,
    messages: int = 1,
    replaces: Order | None = None,
) -> tuple[Denial, ...]:
    """Check one order against every limit.

    Parameters
    ----------
    order : OrderRequest
        The order as it would be sent; a MARKET order carries its protection price (:func:`protect`).
        For a modification: the full new statement under the same ``cl_ord_id``.
    book : RiskBook
        Positions, open orders, quotes and state of the account.
    limits : Limits
        The account's limits.
    now_ns : int
        Now, nanoseconds UTC.
    messages : int
        Exchange messages it takes: above 1 the order is sliced, so that the exchange's freeze
        quantity does not bind it as a whole.
    replaces : Order or None
        The working order that a modification changes.

    Returns
    -------
    tuple of Denial
        Every reason against it, in the order of :data:`RULES`; empty means it may leave.
    """
    instrument = book.instruments.get(order.symbol) if isinstance(order.symbol, str) else None
    quote = None if instrument is None else book.quote(instrument)
    if quote is not None and not 0 <= now_ns - quote.ts_ns <= limits.max_quote_age_s * 1e9:
        quote = None
    case = _Case(order, book, limits, now_ns, messages, replaces, instrument, quote)
    return tuple(denial for rule in RULES if (denial := rule(case)) is not None)


def protect(order: OrderRequest, book: RiskBook, limits: Limits, now_ns: int) -> int | None:
    """Protection price in paise of a market order: through the far touch, inside the collar, on the tick.

    None when there is no fresh two-sided quote: then the order must not be sent.
    """
    instrument = book.instruments.get(order.symbol)
    quote = None if instrument is None else book.quote(instrument)
    if instrument is None or quote is None or not 0 <= now_ns - quote.ts_ns <= limits.max_quote_age_s * 1e9:
        return None
    touch = quote.ask_p if order.side is Side.BUY else quote.bid_p
    if touch is None or not quote.two_sided:
        return None
    if instrument.kind is Kind.OPTION:
        room = max(limits.option_protection_floor_p, math.ceil(touch * limits.option_protection_pct / 100.0))
    else:
        room = math.ceil(touch * limits.future_protection_pct / 100.0)
    low, high = collar_p(instrument, quote, limits) or (0, touch)
    tick = instrument.tick_p
    if order.side is Side.BUY:
        return max(min(touch + room, high) // tick * tick, tick)
    return max(-(-max(touch - room, low) // tick) * tick, tick)


def collar_p(instrument: Instrument, quote: Quote, limits: Limits) -> tuple[int, int] | None:
    """Lowest and highest limit price in paise around the last price (or the middle of the quote)."""
    reference = _reference_p(quote)
    if reference is None:
        return None
    if instrument.kind is not Kind.OPTION:
        room = math.floor(reference * limits.future_collar_pct / 100.0)
    elif reference <= limits.option_collar_low_p:
        room = limits.option_collar_floor_p
    else:
        room = math.floor(reference * limits.option_collar_pct / 100.0)
    return max(0, reference - room), reference + room


def _reference_p(quote: Quote) -> int | None:
    if quote.ltp_p is not None:
        return quote.ltp_p
    if quote.bid_p is not None and quote.ask_p is not None:
        return (quote.bid_p + quote.ask_p) // 2
    return None


def _sane(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LARGEST


def _state(c: _Case) -> Denial | None:
    state = c.book.state
    if state is TradingState.HALTED:
        return Denial("halted", "active", "halted", f"trading is halted: {c.book.state_reason or 'by order'}")
    if state is TradingState.REDUCING and not c.book.reduces(c.order.symbol, c.order.side, max(0, c.added)):
        net = c.book.net.get(c.order.symbol, 0)
        return Denial("reducing", net, c.order.order_qty, f"only orders that shrink the position of {net} may leave")
    return None


def _symbol(c: _Case) -> Denial | None:
    if c.instrument is None:
        return Denial("symbol", "listed", str(c.order.symbol), f"no contract {c.order.symbol!r} is listed today")
    if c.instrument.kind is Kind.INDEX:
        return Denial("symbol", "tradable", str(c.order.symbol), f"{c.order.symbol} is an index and does not trade")
    return None


def _allowed(c: _Case) -> Denial | None:
    allowed = c.limits.allowed_underlyings
    if allowed is None or c.instrument is None or c.instrument.underlying in allowed:
        return None
    known = ", ".join(allowed)
    return Denial(
        "allowed", known, c.instrument.underlying, f"{c.instrument.underlying} is not among those allowed: {known}"
    )


def _expired(c: _Case) -> Denial | None:
    if c.instrument is None or c.instrument.expiry is None or c.instrument.expiry >= ist_date(c.now_ns):
        return None
    text = f"{c.order.symbol} expired on {c.instrument.expiry}"
    return Denial("expired", c.instrument.expiry.isoformat(), ist_date(c.now_ns).isoformat(), text)


def _session(c: _Case) -> Denial | None:
    if c.book.session is None:
        return Denial("session", "open", "unknown", "the session's hours are not known")
    open_ns, close_ns = c.book.session
    if open_ns <= c.now_ns < close_ns:
        return None
    return Denial("session", "open", "closed", "the market is closed")


def _quantity(c: _Case) -> Denial | None:
    if c.qty is not None:
        return None
    text = f"quantity must be a whole number of units from 1, was {c.order.order_qty!r}"
    return Denial("quantity", 1, _shown(c.order.order_qty), text)


def _lot(c: _Case) -> Denial | None:
    if c.instrument is None or c.qty is None or c.qty % c.instrument.lot == 0:
        return None
    lot = c.instrument.lot
    return Denial("lot", lot, c.qty, f"quantity must be a multiple of the lot {lot}, was {c.qty}")


def _freeze(c: _Case) -> Denial | None:
    if c.instrument is None or c.qty is None or c.messages > 1 or c.instrument.freeze_qty is None:
        return None
    most = c.instrument.freeze_qty // c.instrument.lot * c.instrument.lot
    if c.qty <= most:
        return None
    return Denial("freeze", most, c.qty, f"one exchange order may hold {most} units, was {c.qty}")


def _slices(c: _Case) -> Denial | None:
    if c.messages <= c.limits.max_slices:
        return None
    text = f"the order would be cut into {c.messages} exchange orders, at most {c.limits.max_slices} are allowed"
    return Denial("max_slices", c.limits.max_slices, c.messages, text)


def _order_lots(c: _Case) -> Denial | None:
    if c.instrument is None or c.qty is None:
        return None
    most = c.limits.max_order_lots * c.instrument.lot
    if c.qty <= most:
        return None
    return Denial(
        "max_order_lots", most, c.qty, f"at most {c.limits.max_order_lots} lots ({most} units), was {c.qty} units"
    )


def _price(c: _Case) -> Denial | None:
    if c.order.ord_type is OrdType.MARKET and c.order.price_p is None:
        return Denial(
            "quote",
            "fresh two-sided quote",
            "none",
            f"no fresh two-sided quote protects a market order in {c.order.symbol}",
        )
    if c.price_p is None:
        return Denial("price", 1, _shown(c.order.price_p), f"price must be whole paise from 1, was {c.order.price_p!r}")
    return None


def _stop(c: _Case) -> Denial | None:
    wants = c.order.ord_type in (OrdType.STOP, OrdType.STOP_LIMIT)
    stop_px_p = c.order.stop_px_p
    if wants and not _sane(stop_px_p):
        return Denial(
            "stop_px", 1, _shown(stop_px_p), f"{c.order.ord_type} needs stop_px in whole paise, was {stop_px_p!r}"
        )
    if not wants and stop_px_p is not None:
        return Denial("stop_px", "none", _shown(stop_px_p), f"{c.order.ord_type} takes no stop_px, was {stop_px_p!r}")
    if c.order.ord_type is OrdType.STOP and c.instrument is not None and c.instrument.kind is Kind.OPTION:
        return Denial(
            "stop_px", "STOP_LIMIT", "STOP", "stop-loss market orders are withdrawn for options; use STOP_LIMIT"
        )
    return None


def _tick(c: _Case) -> Denial | None:
    if c.instrument is None:
        return None
    for name, value in (("price", c.order.price_p), ("stop_px", c.order.stop_px_p)):
        if _sane(value) and value % c.instrument.tick_p:
            text = f"{name} must be a multiple of the tick {c.instrument.tick_p} paise, was {value}"
            return Denial("tick", c.instrument.tick_p, value, text)
    return None


def _quoted(c: _Case) -> Denial | None:
    if c.instrument is None or (c.quote is not None and _reference_p(c.quote) is not None):
        return None
    text = f"no quote of {c.order.symbol} within {c.limits.max_quote_age_s:g} s"
    return Denial("quote", c.limits.max_quote_age_s, "none", text)


def _collar(c: _Case) -> Denial | None:
    if c.instrument is None or c.quote is None:
        return None
    bounds = collar_p(c.instrument, c.quote, c.limits)
    if bounds is None:
        return None
    low, high = bounds
    for name, value in (("price", c.order.price_p), ("stop_px", c.order.stop_px_p)):
        if _sane(value) and not low <= value <= high:
            text = f"{name} {value / 100:.2f} is outside {low / 100:.2f} to {high / 100:.2f} around the last price"
            return Denial("collar", low if value < low else high, value, text)
    return None


def _order_value(c: _Case) -> Denial | None:
    if c.qty is None or c.price_p is None or c.qty * c.price_p <= c.limits.max_order_value_p:
        return None
    value, most = c.qty * c.price_p, c.limits.max_order_value_p
    return Denial("max_order_value", most, value, f"order value at most Rs {most / 100:.2f}, was Rs {value / 100:.2f}")


def _open_value(c: _Case) -> Denial | None:
    if c.qty is None or c.price_p is None:
        return None
    done = 0 if c.replaces is None else c.replaces.cum_qty
    own = 0 if c.replaces is None else c.own_leaves * (c.replaces.request.price_p or 0)
    value = c.book.open_value_p - own + max(0, c.qty - done) * c.price_p
    most = c.limits.max_open_value_p
    if value <= most:
        return None
    return Denial(
        "max_open_value", most, value, f"open orders at most Rs {most / 100:.2f}, would be Rs {value / 100:.2f}"
    )


def _net_position(c: _Case) -> Denial | None:
    if c.instrument is None or c.qty is None:
        return None
    sign = c.order.side.sign
    side_open = c.book.open_qty(c.order.symbol, c.order.side) + c.added
    after = c.book.net.get(c.order.symbol, 0) + sign * side_open
    most = c.limits.max_net_lots * c.instrument.lot
    if sign * after <= most:
        return None
    text = f"net position at most {c.limits.max_net_lots} lots ({most} units), would be {after} units with open orders"
    return Denial("max_net_lots", most, after, text)


def _duplicate(c: _Case) -> Denial | None:
    if c.replaces is not None:
        return None
    before = c.book.repeated_ns(c.order)
    window = c.limits.duplicate_window_s
    if before is None or c.now_ns - before >= window * 1e9:
        return None
    text = (
        f"same contract, side, quantity and price {(c.now_ns - before) / 1e9:.3f} s ago; wait {window:g} s to repeat it"
    )
    return Denial("duplicate", window, (c.now_ns - before) / 1e9, text)


def _self_match(c: _Case) -> Denial | None:
    if c.price_p is None:
        return None
    for cl_ord_id, other in c.book.resting.get(c.order.symbol, {}).items():
        if other.side is not c.order.side and c.order.side.sign * (c.price_p - other.price_p) >= 0:
            text = f"would trade against own order {cl_ord_id} at {other.price_p / 100:.2f}"
            return Denial("self_match", other.price_p, c.price_p, text)
    return None


def _rate(c: _Case) -> Denial | None:
    count = c.book.messages(c.now_ns, c.order.exchange) + c.messages
    if count <= c.limits.max_messages_per_s:
        return None
    text = f"at most {c.limits.max_messages_per_s} order messages a second, would be {count}"
    return Denial("message_rate", c.limits.max_messages_per_s, count, text)


def _margin(c: _Case) -> Denial | None:
    if not c.limits.check_margin or c.instrument is None or c.qty is None or c.price_p is None:
        return None
    if c.book.reduces(c.order.symbol, c.order.side, max(0, c.added)):
        return None
    unlisted = [symbol for symbol in sorted(c.book.net) if symbol not in c.book.instruments]
    if unlisted:
        text = f"the terms of the held {', '.join(unlisted)} are not known today; settle or import them"
        return Denial("margin", "known", "unknown", text)
    missing = _underlyings(c) - set(c.book.span)
    if c.book.funds_p is None or missing:
        what = "available funds" if c.book.funds_p is None else f"margin parameters of {', '.join(sorted(missing))}"
        return Denial("margin", "known", "unknown", f"{what} are not known")
    need, have = _need_p(c), _have_p(c)
    if need <= have:
        return None
    return Denial("margin", have, need, f"estimated margin Rs {need / 100:.2f} exceeds funds of Rs {have / 100:.2f}")


def _underlyings(c: _Case) -> set[str]:
    """What the account holds, has open orders in, or would trade now."""
    terms = c.book.instruments
    mine = {terms[s].underlying for s in (*c.book.net, *c.book.resting) if s in terms}
    return mine if c.instrument is None else mine | {c.instrument.underlying}


def _need_p(c: _Case) -> int:
    """Estimated margin of positions, open orders and this one, the worse of buys or sells first."""
    instrument = c.instrument
    assert instrument is not None
    extra = (c.order.symbol, c.order.side, c.added)
    total = 0.0
    for underlying in sorted(_underlyings(c)):
        mine = extra if underlying == instrument.underlying else None
        sells, buys = (c.book.legs(underlying, c.now_ns, mine, buys=b) for b in (False, True))
        worst = span_margin(sells, c.book.span).total
        if buys != sells:
            worst = max(worst, span_margin(buys, c.book.span).total)
        total += worst
    return round(total * 100.0)


def _have_p(c: _Case) -> int:
    """Funds, with the cash of the day's trades, less the premium that open option buys still have to pay."""
    assert c.book.funds_p is not None
    due = 0
    for symbol in sorted(c.book.resting):
        instrument = c.book.instruments.get(symbol)
        if instrument is not None and instrument.kind is Kind.OPTION:
            due += sum(r.leaves_qty * r.price_p for r in c.book.resting[symbol].values() if r.side is Side.BUY)
    if c.instrument is not None and c.instrument.kind is Kind.OPTION and c.order.side is Side.BUY:
        due += c.added * (c.price_p or 0)
    return c.book.funds_p + c.book.cash_and_marks_p() - due


def _shown(value: object) -> float | int | str:
    return value if type(value) is int and abs(value) < 1 << 62 else repr(value)


RULES: Final[tuple[Callable[[_Case], Denial | None], ...]] = (
    _state,
    _symbol,
    _allowed,
    _expired,
    _session,
    _quantity,
    _lot,
    _freeze,
    _slices,
    _order_lots,
    _price,
    _stop,
    _tick,
    _quoted,
    _collar,
    _order_value,
    _open_value,
    _net_position,
    _duplicate,
    _self_match,
    _rate,
    _margin,
)
"""The rules in the order in which their reasons are given."""
