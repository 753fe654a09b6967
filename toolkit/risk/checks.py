"""Pre-trade checks: every reason why an order must not leave, all at once.

The rules and their words are in ``risk.reasons``. A figure that is unknown denies. Cancels are
never checked here.
:func:`check` asks a compiled pass which rules fail and lets only those speak; :func:`reference`
asks every rule and answers the same.
"""

from __future__ import annotations

import datetime as dt
import math
import struct
from typing import Final

import numpy as np

from toolkit.calendar import ist_ns
from toolkit.market.quotes import key_of
from toolkit.risk.book import NO_LIMIT, RiskBook, Terms
from toolkit.risk.limits import Limits, TradingState
from toolkit.risk.reasons import CONFIRMABLE, LARGEST, RULES, SCREENED, Case, collar_p, collar_pct
from toolkit.risk.screen import screen
from toolkit.types import Denial, Instrument, Kind, Order, OrderRequest, OrdType, Side

__all__ = ["CONFIRMABLE", "RULES", "check", "collar_p", "protect", "reference"]

_STATES: Final = {TradingState.ACTIVE: 0, TradingState.REDUCING: 1, TradingState.HALTED: 2}
_UNSCREENED: Final = RULES[SCREENED:]
_TYPES: Final = {OrdType.LIMIT: 0, OrdType.MARKET: 1, OrdType.STOP: 2, OrdType.STOP_LIMIT: 3}


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
    if type(order.symbol) is str and order.symbol in book.instruments:
        try:
            broken = _screen(order, book, limits, now_ns, messages, replaces)
        except struct.error:  # a figure past 64 bits: the rules themselves can tell
            broken = -1
        if broken == 0 and (not limits.check_margin or (replaces is None and _affords(order, book, limits, now_ns))):
            return ()
        if broken == 0:
            instrument = book.instruments[order.symbol]
            case = Case(order, book, limits, now_ns, messages, replaces, instrument, None)
            return tuple([denial for rule in _UNSCREENED if (denial := rule(case)) is not None])
        if broken > 0:
            case = _case(order, book, limits, now_ns, messages, replaces)
            found = [RULES[n](case) for n in range(len(RULES)) if n >= SCREENED or broken >> n & 1]
            return tuple(denial for denial in found if denial is not None)
    return reference(order, book, limits, now_ns, messages=messages, replaces=replaces)


def reference(
    order: OrderRequest,
    book: RiskBook,
    limits: Limits,
    now_ns: int,
    *,
    messages: int = 1,
    replaces: Order | None = None,
) -> tuple[Denial, ...]:
    """Check one order by asking every rule in turn: the plain form of :func:`check`, with its arguments."""
    case = _case(order, book, limits, now_ns, messages, replaces)
    return tuple(denial for rule in RULES if (denial := rule(case)) is not None)


def _case(
    order: OrderRequest, book: RiskBook, limits: Limits, now_ns: int, messages: int, replaces: Order | None
) -> Case:
    instrument = book.instruments.get(order.symbol) if isinstance(order.symbol, str) else None
    quote = None if instrument is None else book.quote(instrument)
    if quote is not None and not 0 <= now_ns - quote.ts_ns <= limits.max_quote_age_s * 1e9:
        quote = None
    return Case(order, book, limits, now_ns, messages, replaces, instrument, quote)


def _screen(
    order: OrderRequest, book: RiskBook, limits: Limits, now_ns: int, messages: int, replaces: Order | None
) -> int:
    """Describe the order in whole numbers, in the places that ``risk.screen`` names, and look at all of it at once."""
    symbol, side, qty, price, stop = order.symbol, order.side, order.order_qty, order.price_p, order.stop_px_p
    terms = book.packed.get(symbol)
    if terms is None or terms.limits is not limits:
        terms = book.packed[symbol] = _terms(book.instruments[symbol], book, limits)
    done = leaves = own_p = was_stop = 0
    if replaces is not None:
        asked = replaces.request
        was_stop = -1 if replaces.cum_qty else asked.stop_px_p or 0
        done, leaves, own_p = replaces.cum_qty, replaces.leaves_qty, asked.price_p or asked.stop_px_p or 0
    room = NO_LIMIT if order.parent_id is None else book.parent_room(order.parent_id, symbol, side)
    if room is None:
        room = -NO_LIMIT if replaces is None else NO_LIMIT
    repeated = book.repeated_ns(order)
    touch = book.own_touch_p(symbol, side)
    confirm = order.confirm
    open_ns, close_ns = book.session or (1, 0)
    band_low, band_high = book.bands.get(symbol, (0, NO_LIMIT)) if book.bands else (0, NO_LIMIT)
    armed = book.armed_until_ns
    book.pack(
        now_ns,
        _STATES[book.state_for(order)],
        open_ns,
        close_ns,
        qty if type(qty) is int and 0 < qty < LARGEST else 0,
        price if type(price) is int and 0 < price < LARGEST else 0,
        0 if stop is None else stop if type(stop) is int and 0 < stop < LARGEST else -1,
        _TYPES.get(order.ord_type, 0),
        1 if side is Side.BUY else -1,
        messages,
        book.messages(now_ns, order.exchange),
        book.net.get(symbol, 0),
        book.open_qty(symbol, side),
        book.open_value_p - leaves * own_p,
        book.unpriced,
        done,
        leaves,
        replaces is None,
        -1 if repeated is None else repeated,
        ("confirm_value" in confirm) + 2 * ("duplicate" in confirm) if confirm else 0,
        -1 if touch is None else touch,
        NO_LIMIT if armed is None else armed,
        book.gross.get(terms.underlying, 0),
        room,
        band_low,
        band_high,
        book.volumes.get(symbol, -1) if book.volumes else -1,
        book.quotes.row(terms.key),
        was_stop,
    )
    return screen(terms.words, book.words, terms.collar_pct, book.quotes.values, book.quotes.stamps)


def _affords(order: OrderRequest, book: RiskBook, limits: Limits, now_ns: int) -> bool:
    """Whether a new order that the screen passed passes the rules of margin and capital too, both in one look.

    Where it does not, or something is not known, the rules themselves say why.
    """
    symbol, side, qty, price_p = order.symbol, order.side, order.order_qty, order.price_p
    if book.reduces(symbol, side, qty):
        return True
    instrument, need = book.instruments[symbol], book.need
    shape = need.shape()
    known = book.span.keys()
    if price_p is None or shape.unlisted or instrument.underlying not in known or not shape.underlyings <= known:
        return False
    value_p = qty * price_p
    have_p = book.have_p(value_p if side is Side.BUY and instrument.kind is Kind.OPTION else 0)
    if have_p is None or need.after_p(symbol, side, qty, now_ns) > have_p:
        return False
    held_p = need.held_p(now_ns, looked=True) if book.net else 0
    return book.open_value_p + value_p + held_p <= limits.max_capital_p


def _terms(instrument: Instrument, book: RiskBook, limits: Limits) -> Terms:
    lot = instrument.lot
    option = instrument.kind is Kind.OPTION
    expires_ns = NO_LIMIT
    if instrument.expiry is not None:
        expires_ns = ist_ns(instrument.expiry + dt.timedelta(days=1), dt.time(0))

    def own(name: str) -> int:
        return limits.of(instrument.symbol, instrument.underlying, name)

    words = [
        lot,
        instrument.tick_p,
        NO_LIMIT if instrument.freeze_qty is None else instrument.freeze_qty // lot * lot,
        expires_ns,
        option,
        instrument.kind is not Kind.INDEX,
        limits.allowed_underlyings is None or instrument.underlying in limits.allowed_underlyings,
        instrument.symbol in limits.restricted or instrument.underlying in limits.restricted,
        min(NO_LIMIT, own("max_order_lots") * lot),
        own("max_order_value_p"),
        own("confirm_value_p"),
        min(NO_LIMIT, own("max_net_lots") * lot),
        min(NO_LIMIT, own("max_gross_lots") * lot),
        limits.max_open_value_p,
        limits.max_slices,
        limits.max_messages_per_s,
        limits.option_collar_low_p,
        limits.option_collar_floor_p,
        min(NO_LIMIT, math.floor(limits.max_quote_age_s * 1e9)),
        min(NO_LIMIT, math.ceil(limits.duplicate_window_s * 1e9)),
    ]
    pct = collar_pct(instrument, limits, stock=instrument.underlying in book.stocks)
    return Terms(limits, np.array(words, np.int64), pct, key_of(instrument), instrument.underlying)


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
    low, high = collar_p(instrument, quote, limits, stock=instrument.underlying in book.stocks) or (0, touch)
    band_low, band_high = book.bands.get(order.symbol, (low, high))
    low, high = max(low, band_low), min(high, band_high)
    tick = instrument.tick_p
    if order.side is Side.BUY:
        return max(min(touch + room, high) // tick * tick, tick)
    return max(-(-max(touch - room, low) // tick) * tick, tick)
