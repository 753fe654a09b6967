"""The pre-trade rules, each a small function over one :class:`Case` that answers None or its reason.

The compiled pass of ``risk.screen`` looks at the same figures in the same order; a rule added
here is added there, at its place in :data:`RULES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, TypeGuard

import msgspec

from toolkit.calendar import ist_date
from toolkit.market.quotes import Quote
from toolkit.risk.book import RiskBook, reference_p
from toolkit.risk.limits import CONFIRMABLE, Limits, TradingState
from toolkit.types import Denial, Instrument, Kind, Order, OrderRequest, OrdType, Side

__all__ = [
    "CONFIRMABLE",
    "LARGEST",
    "RULES",
    "SCREENED",
    "Case",
    "around_p",
    "collar_p",
    "collar_pct",
    "is_sane",
    "repeated",
]

LARGEST: Final = 10**12
"""No quantity and no price is as large as this."""


class Case(msgspec.Struct, frozen=True):
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
        return self.order.order_qty if is_sane(self.order.order_qty) else None

    @property
    def price_p(self) -> int | None:
        """The price if it is a sane positive integer."""
        return self.order.price_p if is_sane(self.order.price_p) else None

    @property
    def reduces(self) -> bool:
        """Whether it, with the open orders on its side, only shrinks the position."""
        return self.book.reduces(self.order.symbol, self.order.side, max(0, self.added))

    @property
    def waived(self) -> bool:
        """Whether margin does not bind: it is not asked for, or the order takes nothing more."""
        if not self.limits.check_margin or self.qty is None or self.price_p is None or self.reduces:
            return True
        if self.replaces is None or self.added > 0:
            return False
        return self.order.side is Side.SELL or self.price_p <= (self.replaces.request.price_p or 0)

    @property
    def open_value_p(self) -> int:
        """Value of all open orders with this one in place of the one it replaces."""
        done = 0 if self.replaces is None else self.replaces.cum_qty
        asked = None if self.replaces is None else self.replaces.request
        own = 0 if asked is None else self.own_leaves * (asked.price_p or asked.stop_px_p or 0)
        return self.book.open_value_p - own + max(0, (self.qty or 0) - done) * (self.price_p or 0)

    @property
    def waiting_p(self) -> int | None:
        """The trigger of a stop order that waits for the market to reach it, None for one that rests at its price."""
        order, old = self.order, self.replaces
        if order.ord_type not in (OrdType.STOP, OrdType.STOP_LIMIT) or not is_sane(order.stop_px_p):
            return None
        if old is not None:
            last_p = None if self.quote is None else reference_p(self.quote)
            before_p = old.request.stop_px_p
            reached = bool(before_p) and last_p is not None and order.side.sign * (last_p - (before_p or 0)) >= 0
            if old.cum_qty or reached:
                return None
        return order.stop_px_p

    def limit(self, name: str) -> int:
        """A limit as it holds for the contract."""
        assert self.instrument is not None
        return self.limits.of(self.instrument.symbol, self.instrument.underlying, name)

    def outside(self, rule: str, bounds: tuple[int, int], what: str, names: tuple[str, ...]) -> Denial | None:
        """The reason when a price of these names lies outside two bounds."""
        low, high = bounds
        for name, value in (("price", self.order.price_p), ("stop_px", self.order.stop_px_p)):
            if name in names and is_sane(value) and not low <= value <= high:
                text = f"{name} {value / 100:.2f} is outside {low / 100:.2f} to {high / 100:.2f} {what}"
                return Denial(rule, low if value < low else high, value, text)
        return None

    @property
    def own_leaves(self) -> int:
        """What the order being replaced already counts among the open ones."""
        return 0 if self.replaces is None else self.replaces.leaves_qty

    @property
    def added(self) -> int:
        """Units this order adds to what is open (negative when a modification shrinks it)."""
        done = 0 if self.replaces is None else self.replaces.cum_qty
        return (self.qty or 0) - done - self.own_leaves


def collar_p(instrument: Instrument, quote: Quote, limits: Limits, *, stock: bool = False) -> tuple[int, int] | None:
    """Lowest and highest limit price in paise around the last price (or the middle of the quote).

    ``stock`` says that the underlying is a stock; what is not known to be one is held to an index's collar.
    """
    reference = reference_p(quote)
    return None if reference is None else around_p(instrument, reference, limits, stock=stock)


def around_p(instrument: Instrument, price_p: int, limits: Limits, *, stock: bool = False) -> tuple[int, int]:
    """Lowest and highest limit price in paise around a price: the collar, of a stop around its trigger."""
    room = math.floor(price_p * collar_pct(instrument, limits, stock=stock) / 100.0)
    if instrument.kind is Kind.OPTION and price_p <= limits.option_collar_low_p:
        room = limits.option_collar_floor_p
    return max(0, price_p - room), price_p + room


def collar_pct(instrument: Instrument, limits: Limits, *, stock: bool = False) -> float:
    """The collar of a contract in percent of its last price."""
    if instrument.kind is Kind.OPTION:
        return limits.option_collar_pct
    return limits.stock_collar_pct if stock else limits.future_collar_pct


def is_sane(value: object) -> TypeGuard[int]:
    """Whether a quantity or price is a whole number that could be meant."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < LARGEST


def _state(c: Case) -> Denial | None:
    state = c.book.state_for(c.order)
    if state is TradingState.HALTED:
        return Denial("halted", "active", "halted", f"trading is halted: {c.book.state_reason or 'by order'}")
    if state is TradingState.REDUCING and not c.reduces:
        net = c.book.net.get(c.order.symbol, 0)
        why = f" ({c.book.state_reason})" if c.book.state_reason else ""
        text = f"only orders that shrink the position of {net} may leave{why}"
        return Denial("reducing", net, c.order.order_qty, text)
    return None


def _symbol(c: Case) -> Denial | None:
    if c.instrument is None:
        return Denial("symbol", "listed", str(c.order.symbol), f"no contract {c.order.symbol!r} is listed today")
    if c.instrument.kind is Kind.INDEX:
        return Denial("symbol", "tradable", str(c.order.symbol), f"{c.order.symbol} is an index and does not trade")
    return None


def _allowed(c: Case) -> Denial | None:
    allowed = c.limits.allowed_underlyings
    if allowed is None or c.instrument is None or c.instrument.underlying in allowed:
        return None
    known = ", ".join(allowed)
    return Denial(
        "allowed", known, c.instrument.underlying, f"{c.instrument.underlying} is not among those allowed: {known}"
    )


def _restricted(c: Case) -> Denial | None:
    if c.instrument is None:
        return None
    for name in (c.instrument.symbol, c.instrument.underlying):
        if name in c.limits.restricted:
            return Denial("restricted", "not restricted", name, f"{name} is on the restricted list")
    return None


def _armed(c: Case) -> Denial | None:
    until_ns = c.book.armed_until_ns
    if until_ns is None or c.now_ns < until_ns:
        return None
    return Denial("armed", "armed", "not armed", "live trading is not armed; arm it with the account's id")


def _expired(c: Case) -> Denial | None:
    if c.instrument is None or c.instrument.expiry is None or c.instrument.expiry >= ist_date(c.now_ns):
        return None
    text = f"{c.order.symbol} expired on {c.instrument.expiry}"
    return Denial("expired", c.instrument.expiry.isoformat(), ist_date(c.now_ns).isoformat(), text)


def _session(c: Case) -> Denial | None:
    if c.book.session is None:
        return Denial("session", "open", "unknown", "the session's hours are not known")
    open_ns, close_ns = c.book.session
    if open_ns <= c.now_ns < close_ns:
        return None
    return Denial("session", "open", "closed", "the market is closed")


def _quantity(c: Case) -> Denial | None:
    if c.qty is not None:
        return None
    text = f"quantity must be a whole number of units from 1, was {c.order.order_qty!r}"
    return Denial("quantity", 1, _shown(c.order.order_qty), text)


def _lot(c: Case) -> Denial | None:
    if c.instrument is None or c.qty is None or c.qty % c.instrument.lot == 0:
        return None
    lot = c.instrument.lot
    return Denial("lot", lot, c.qty, f"quantity must be a multiple of the lot {lot}, was {c.qty}")


def _freeze(c: Case) -> Denial | None:
    if c.instrument is None or c.qty is None or c.messages > 1 or c.instrument.freeze_qty is None:
        return None
    most = c.instrument.freeze_qty // c.instrument.lot * c.instrument.lot
    if c.qty <= most:
        return None
    return Denial("freeze", most, c.qty, f"one exchange order may hold {most} units, was {c.qty}")


def _slices(c: Case) -> Denial | None:
    if c.messages <= c.limits.max_slices:
        return None
    text = f"the order would be cut into {c.messages} exchange orders, at most {c.limits.max_slices} are allowed"
    return Denial("max_slices", c.limits.max_slices, c.messages, text)


def _order_lots(c: Case) -> Denial | None:
    if c.instrument is None or c.qty is None:
        return None
    lots = c.limit("max_order_lots")
    most = lots * c.instrument.lot
    if c.qty <= most:
        return None
    return Denial("max_order_lots", most, c.qty, f"at most {lots} lots ({most} units), was {c.qty} units")


def _price(c: Case) -> Denial | None:
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


def _stop(c: Case) -> Denial | None:
    wants = c.order.ord_type in (OrdType.STOP, OrdType.STOP_LIMIT)
    stop_px_p = c.order.stop_px_p
    if wants and not is_sane(stop_px_p):
        return Denial(
            "stop_px", 1, _shown(stop_px_p), f"{c.order.ord_type} needs stop_px in whole paise, was {stop_px_p!r}"
        )
    if not wants and stop_px_p is not None:
        return Denial("stop_px", "none", _shown(stop_px_p), f"{c.order.ord_type} takes no stop_px, was {stop_px_p!r}")
    if c.order.ord_type is OrdType.STOP and c.instrument is not None and c.instrument.kind is Kind.OPTION:
        return Denial(
            "stop_px", "STOP_LIMIT", "STOP", "stop-loss market orders are withdrawn for options; use STOP_LIMIT"
        )
    trigger_p, last_p = c.waiting_p, None if c.quote is None else reference_p(c.quote)
    if trigger_p is not None and last_p is not None and c.order.side.sign * (trigger_p - last_p) <= 0:
        where = "above" if c.order.side is Side.BUY else "below"
        text = f"a {c.order.side} stop triggers {where} the last price {last_p / 100:.2f}, was {trigger_p / 100:.2f}"
        return Denial("stop_px", last_p, trigger_p, text)
    return None


def _tick(c: Case) -> Denial | None:
    if c.instrument is None:
        return None
    for name, value in (("price", c.order.price_p), ("stop_px", c.order.stop_px_p)):
        if is_sane(value) and value % c.instrument.tick_p:
            text = f"{name} must be a multiple of the tick {c.instrument.tick_p} paise, was {value}"
            return Denial("tick", c.instrument.tick_p, value, text)
    return None


def _quoted(c: Case) -> Denial | None:
    if c.instrument is None or (c.quote is not None and reference_p(c.quote) is not None):
        return None
    text = f"no quote of {c.order.symbol} within {c.limits.max_quote_age_s:g} s"
    return Denial("quote", c.limits.max_quote_age_s, "none", text)


def _untraded(c: Case) -> Denial | None:
    """A market order needs a trade today; where no volume is told, a last price stands for one."""
    if c.order.ord_type is not OrdType.MARKET or c.instrument is None:
        return None
    volume = c.book.volumes.get(c.order.symbol)
    if volume is None:
        if c.quote is None or c.quote.ltp_p is not None:
            return None
    elif volume != 0:
        return None
    text = f"{c.order.symbol} has not traded today; a market order is refused there, give a limit price"
    return Denial("untraded", 1, 0, text)


def _collar(c: Case) -> Denial | None:
    if c.instrument is None or c.quote is None:
        return None
    stock, trigger_p = c.instrument.underlying in c.book.stocks, c.waiting_p
    if trigger_p is not None and reference_p(c.quote) is not None:
        bounds = around_p(c.instrument, trigger_p, c.limits, stock=stock)
        return c.outside("collar", bounds, "around its stop_px", ("price",))
    found = collar_p(c.instrument, c.quote, c.limits, stock=stock)
    return None if found is None else c.outside("collar", found, "around the last price", ("price",))


_BAND: Final = "of the exchange's price band"


def _band(c: Case) -> Denial | None:
    bounds = c.book.bands.get(c.order.symbol) if c.instrument is not None else None
    return None if bounds is None else c.outside("band", bounds, _BAND, ("price", "stop_px"))


def _order_value(c: Case) -> Denial | None:
    if c.instrument is None or c.qty is None or c.price_p is None:
        return None
    value, most = c.qty * c.price_p, c.limit("max_order_value_p")
    if value <= most:
        return None
    return Denial("max_order_value", most, value, f"order value at most Rs {most / 100:.2f}, was Rs {value / 100:.2f}")


def _confirm_value(c: Case) -> Denial | None:
    if c.instrument is None or c.qty is None or c.price_p is None or "confirm_value" in c.order.confirm:
        return None
    value, most = c.qty * c.price_p, c.limit("confirm_value_p")
    if value <= most:
        return None
    text = f"an order above Rs {most / 100:.2f} needs a person's confirmation, was Rs {value / 100:.2f}"
    return Denial("confirm_value", most, value, text)


def _open_value(c: Case) -> Denial | None:
    if c.instrument is None or c.qty is None or c.price_p is None:
        return None
    if c.book.unpriced and not c.reduces:
        text = f"{c.book.unpriced} open orders placed elsewhere have no price; their value is unknown"
        return Denial("max_open_value", "known", "unknown", text)
    value, most = c.open_value_p, c.limits.max_open_value_p
    if value <= most:
        return None
    return Denial(
        "max_open_value", most, value, f"open orders at most Rs {most / 100:.2f}, would be Rs {value / 100:.2f}"
    )


def _net_position(c: Case) -> Denial | None:
    if c.instrument is None or c.qty is None:
        return None
    sign = c.order.side.sign
    side_open = c.book.open_qty(c.order.symbol, c.order.side) + c.added
    after = c.book.net.get(c.order.symbol, 0) + sign * side_open
    lots = c.limit("max_net_lots")
    most = lots * c.instrument.lot
    if sign * after <= most:
        return None
    text = f"net position at most {lots} lots ({most} units), would be {after} units with open orders"
    return Denial("max_net_lots", most, after, text)


def _gross_position(c: Case) -> Denial | None:
    if c.instrument is None or c.qty is None or c.reduces:
        return None
    lots = c.limit("max_gross_lots")
    most = lots * c.instrument.lot
    gross = c.book.gross.get(c.instrument.underlying, 0) + max(0, c.added)
    if gross <= most:
        return None
    text = (
        f"positions and open orders in {c.instrument.underlying} at most {lots} lots ({most} units) "
        f"without regard to side, would be {gross} units"
    )
    return Denial("max_gross_lots", most, gross, text)


def _parent(c: Case) -> Denial | None:
    parent = c.order.parent_id
    if parent is None or c.instrument is None or c.qty is None:
        return None
    room = c.book.parent_room(parent, c.order.symbol, c.order.side)
    if room is None:
        if c.replaces is not None:
            return None
        return Denial("parent", "registered", parent, f"the parent order {parent} is not registered; nothing bounds it")
    if c.added <= room:
        return None
    text = f"children of {parent} may trade {room} more units of {c.order.symbol} on this side, was {c.added}"
    return Denial("parent", room, c.added, text)


def _duplicate(c: Case) -> Denial | None:
    if c.replaces is not None or "duplicate" in c.order.confirm:
        return None
    return repeated(c.book.repeated_ns(c.order), c.now_ns, c.limits)


def repeated(before_ns: int | None, now_ns: int, limits: Limits) -> Denial | None:
    """The reason when the same was accepted a moment before."""
    window = limits.duplicate_window_s
    if before_ns is None or now_ns - before_ns >= window * 1e9:
        return None
    text = (
        f"same contract, side, quantity and price {(now_ns - before_ns) / 1e9:.3f} s ago; "
        f"wait {window:g} s to repeat it, or confirm that it is meant"
    )
    return Denial("duplicate", window, (now_ns - before_ns) / 1e9, text)


def _self_match(c: Case) -> Denial | None:
    if c.price_p is None or c.instrument is None:
        return None
    touch = c.book.own_touch_p(c.order.symbol, c.order.side)
    if touch is None or c.waiting_p is not None or c.order.side.sign * (c.price_p - touch) < 0:
        return None
    for cl_ord_id, other in c.book.resting[c.order.symbol].items():
        rests = other.side is not c.order.side and c.book.rests(c.order.symbol, other)
        if rests and other.price_p in (touch, 0):
            at = f"at {other.price_p / 100:.2f}" if other.price_p else "without a price"
            return Denial("self_match", other.price_p, c.price_p, f"would trade against own order {cl_ord_id} {at}")
    return None


def _rate(c: Case) -> Denial | None:
    count = c.book.messages(c.now_ns, c.order.exchange) + c.messages
    if count <= c.limits.max_messages_per_s:
        return None
    text = f"at most {c.limits.max_messages_per_s} order messages a second, unanswered ones counted, would be {count}"
    return Denial("message_rate", c.limits.max_messages_per_s, count, text)


def _margin(c: Case) -> Denial | None:
    if c.waived or c.instrument is None:
        return None
    unknown = _unknown(c)
    if unknown:
        return Denial("margin", "known", "unknown", unknown)
    need, have = c.book.need.after_p(c.order.symbol, c.order.side, max(0, c.added), c.now_ns), _have_p(c)
    if need <= have:
        return None
    return Denial("margin", have, need, f"estimated margin Rs {need / 100:.2f} exceeds funds of Rs {have / 100:.2f}")


def _capital(c: Case) -> Denial | None:
    if c.waived or c.instrument is None:
        return None
    most, value = c.limits.max_capital_p, c.open_value_p
    if c.book.net:
        if _unknown(c):
            return None  # the rule before has said so
        value += c.book.need.held_p(c.now_ns)
    if value <= most:
        return None
    text = f"margin of positions and open orders at most Rs {most / 100:.2f}, would be Rs {value / 100:.2f}"
    return Denial("max_capital", most, value, text)


def _unknown(c: Case) -> str:
    """What a margin cannot be told without, empty when all is known."""
    book, shape = c.book, c.book.need.shape()
    if shape.unlisted:
        return f"the terms of the held {', '.join(shape.unlisted)} are not known today; settle or import them"
    if book.funds_p is None:
        return "available funds are not known"
    assert c.instrument is not None
    missing = (shape.underlyings | {c.instrument.underlying}) - book.span.keys()
    return f"margin parameters of {', '.join(sorted(missing))} are not known" if missing else ""


def _have_p(c: Case) -> int:
    """Funds, with the cash of the day's trades, less the premium that open option buys still have to pay."""
    due = 0
    if c.instrument is not None and c.instrument.kind is Kind.OPTION and c.order.side is Side.BUY:
        due = c.open_value_p - c.book.open_value_p
    have = c.book.have_p(due)
    assert have is not None
    return have


def _shown(value: object) -> float | int | str:
    return value if type(value) is int and abs(value) < 1 << 62 else repr(value)


RULES: Final[tuple[Callable[[Case], Denial | None], ...]] = (
    _state,
    _symbol,
    _allowed,
    _restricted,
    _armed,
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
    _untraded,
    _collar,
    _band,
    _order_value,
    _confirm_value,
    _open_value,
    _net_position,
    _gross_position,
    _parent,
    _duplicate,
    _self_match,
    _rate,
    _margin,
    _capital,
)
"""The rules in the order in which their reasons are given."""

SCREENED: Final = RULES.index(_margin)
"""Rules before this one are in the compiled pass; the others look at no quote of the case."""
