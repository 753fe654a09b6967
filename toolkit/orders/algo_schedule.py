"""Algorithms that spread a quantity over time or volume: TWAP, VWAP, POV, iceberg."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Final

from toolkit.errors import BadData
from toolkit.market.quotes import Quote
from toolkit.orders.algo import World
from toolkit.orders.algo_ledger import SECOND_NS, WORK, Line
from toolkit.orders.algo_price import styled_p
from toolkit.orders.algo_work import Worker
from toolkit.strategies.protocol import Param
from toolkit.types import Order, OrderRequest

__all__ = ["Iceberg", "Pov", "Twap", "Vwap", "curve_of"]

STYLE: Final[dict[str, Param]] = {
    "style": Param(
        default="join", unit="", choices=("join", "mid", "cross"), doc="own touch, middle, or through the far touch"
    ),
    "cross_s": Param(default=20.0, unit="s", low=0, high=86400, doc="age at which a child crosses; 0 is never"),
    "through_ticks": Param(default=2, unit="ticks", low=0, high=100, doc="how far past the far touch a cross goes"),
}
_WINDOW: Final[dict[str, Param]] = {
    "duration_s": Param(default=600.0, unit="s", low=1, high=86400, doc="length of the window, cut at the close"),
    "grace_s": Param(default=60.0, unit="s", low=0, high=3600, doc="crossing after the window before it gives up"),
}


class _Schedule(Worker):
    """A quantity due by now, kept in the market by children of one style."""

    @abstractmethod
    def due(self, w: World) -> int | None:
        """Units, filled ones included, that should have been sent by now; None waits."""

    def window_ns(self, w: World) -> int:
        """Length of the window, cut at the session's close."""
        began = w.now_ns - self.since_ns(w)
        asked_ns: int = round(self.p["duration_s"] * SECOND_NS)
        return max(1, min(asked_ns, w.session[1] - began))

    def work(self, w: World) -> None:
        """Send what is due, re-price what waits, stop when the time is up."""
        line = self.lines[0]
        if self.filled(w, line) >= line.qty:
            self.finish("filled")
            return
        late_ns = self.since_ns(w) - self.window_ns(w)
        if late_ns >= round(self.p["grace_s"] * SECOND_NS):
            self.finish("time is up")
            return
        quote = self.fresh(w, line.symbol)
        due = line.qty if late_ns >= 0 else self.due(w)
        if quote is not None and due is not None:
            lot = w.instrument(line.symbol).lot
            self.keep(w, line, due // lot * lot, lambda order: self._price(w, line, quote, order, late_ns >= 0))

    def _price(self, w: World, line: Line, quote: Quote, order: Order | None, late: bool) -> int | None:
        cross_ns = round(self.p["cross_s"] * SECOND_NS)
        aged = order is not None and cross_ns > 0 and w.now_ns - order.created_ns >= cross_ns
        style = "cross" if late or aged else self.p["style"]
        price_p = styled_p(quote, line.side, w.instrument(line.symbol).tick_p, style, self.p["through_ticks"])
        if price_p is None and order is None:
            self.say(f"waiting: {line.symbol} has no price to {style}")
        return price_p


class Twap(_Schedule):
    """Equal slices at equal times.

    ``slices`` slices over ``duration_s`` seconds, the first at once; a child joins the own touch
    (``style``) and crosses after ``cross_s`` seconds, ``through_ticks`` past the far touch and never past
    the parent's limit. After the window the rest crosses for ``grace_s`` seconds, then is withdrawn.
    Limits: blind to volume; a slice below one lot waits for the next.
    """

    name = "twap"
    params: ClassVar[dict[str, Param]] = {
        **WORK,
        **_WINDOW,
        **STYLE,
        "slices": Param(default=10, unit="slices", low=1, high=1000, doc="equal parts of the quantity"),
    }

    def due(self, w: World) -> int:
        """Slices whose time has come."""
        slices = self.p["slices"]
        come = min(slices, self.since_ns(w) * slices // self.window_ns(w) + 1)
        return self.lines[0].qty * int(come) // int(slices)


class _Stepped(_Schedule):
    """A due quantity that is read anew only every ``every_s`` seconds, so that children stay few."""

    @abstractmethod
    def reading(self, w: World) -> int | None:
        """Units due at this moment."""

    def due(self, w: World) -> int | None:
        """The newest reading; never less than before."""
        read_ns = self.m.get("read_ns")
        if read_ns is None or w.now_ns - read_ns >= round(self.p["every_s"] * SECOND_NS):
            reading = self.reading(w)
            if reading is None:
                return None
            self.m["read_ns"], self.m["due"] = w.now_ns, max(reading, self.m.get("due", 0))
        return int(self.m["due"])


class Vwap(_Stepped):
    """Follow a volume curve over a window.

    ``curve`` holds the weights of equal parts of ``duration_s`` seconds ("5,3,2,2,4"), as
    :func:`curve_of` learns them from today's bars; what is due is read every ``every_s`` seconds.
    Children are priced as in TWAP. Limits: the curve is a forecast, the day may differ; a flat curve is TWAP.
    """

    name = "vwap"
    params: ClassVar[dict[str, Param]] = {
        **WORK,
        **_WINDOW,
        **STYLE,
        "curve": Param(default="1", unit="weights", doc="relative volume of equal parts of the window, by commas"),
        "every_s": Param(default=10.0, unit="s", low=1, high=3600, doc="time between two looks at what is due"),
    }

    def __init__(self, parent: OrderRequest | Sequence[OrderRequest], **values: object) -> None:
        super().__init__(parent, **values)
        self._weights = _weights(self.p["curve"])

    def reading(self, w: World) -> int:
        """The curve's cumulative share of the quantity, straight inside a part."""
        parts = len(self._weights)
        place = self.since_ns(w) * parts
        whole, inside = divmod(place, self.window_ns(w))
        if whole >= parts:
            return self.lines[0].qty
        total = sum(self._weights) * self.window_ns(w)
        done = sum(self._weights[:whole]) * self.window_ns(w) + self._weights[whole] * inside
        return self.lines[0].qty * done // total


class Pov(_Stepped):
    """Take a share of the market's volume.

    ``rate_pct`` percent of what trades in the market since the start (our own fills are part of it), read
    every ``every_s`` seconds, for at most ``duration_s`` seconds; children are priced as in TWAP, but
    nothing crosses for being late: after the window the rest is withdrawn.
    Limits: needs the feed's volume and waits, and says so, without it; follows volume, so it is always behind.
    """

    name = "pov"
    params: ClassVar[dict[str, Param]] = {
        **WORK,
        **STYLE,
        "duration_s": Param(default=21600.0, unit="s", low=1, high=86400, doc="longest time, cut at the close"),
        "rate_pct": Param(default=10.0, unit="%", low=0.1, high=50, doc="share of the market's volume"),
        "every_s": Param(default=10.0, unit="s", low=1, high=3600, doc="time between two looks at the volume"),
        "grace_s": Param(default=0.0, unit="s", low=0, high=0, doc="none: a late share is not chased"),
    }

    def reading(self, w: World) -> int | None:
        """The share of the volume since the start; a volume that falls (a feed begun anew) counts from there."""
        volume = w.volume(self.parent.symbol)
        if volume is None:
            self.say(f"waiting: the feed gives no volume of {self.parent.symbol}")
            return None
        last = self.m.get("volume")
        self.m["volume"] = volume
        self.m["traded"] = self.m.get("traded", 0) + (0 if last is None else max(0, volume - last))
        rate_bp = round(self.p["rate_pct"] * 100)
        return int(min(self.lines[0].qty, self.m["traded"] * rate_bp // 10_000))


class Iceberg(Worker):
    """Show a part of the quantity at a time.

    ``show_lots`` lots rest at the parent's limit (or join the own touch without one); the next part is placed
    when the one before is wholly traded. Limits: each new part joins the end of the queue; equal parts
    wait ``repeat_s`` seconds for the account's duplicate rule; runs until filled, canceled or the close.
    """

    name = "iceberg"
    params: ClassVar[dict[str, Param]] = {
        **WORK,
        "show_lots": Param(default=1, unit="lots", low=1, high=10_000, doc="lots shown at a time"),
    }

    def work(self, w: World) -> None:
        """Keep one part in the market."""
        line = self.lines[0]
        if self.filled(w, line) >= line.qty:
            self.finish("filled")
            return
        price_p = line.limit_p
        if price_p is None:
            quote = self.fresh(w, line.symbol)
            tick_p = w.instrument(line.symbol).tick_p
            price_p = None if quote is None else styled_p(quote, line.side, tick_p, "join", 0)
            if price_p is None:
                self.say(f"waiting: {line.symbol} has no price to join")
                return
        if self.idle(w, line):
            self.send(w, line, self.p["show_lots"] * w.instrument(line.symbol).lot, price_p)
            return
        for ref, order in self.working(w, line):
            self.move(w, ref, order, price_p=self._bound(w, line, price_p))


def curve_of(volumes: Sequence[int]) -> str:
    """Volume curve for :class:`Vwap` from the volumes of equal bars, oldest first.

    >>> curve_of([500, 300, 200])
    '500,300,200'

    Raises
    ------
    BadData
        When there is no bar, one is negative, or nothing traded.
    """
    text = ",".join(str(int(v)) for v in volumes)
    _weights(text)
    return text


def _weights(text: str) -> tuple[int, ...]:
    """Exact integer weights; up to six decimals are kept."""
    try:
        values = [round(float(part) * 1_000_000) for part in str(text).split(",")]
    except (ValueError, OverflowError):
        raise BadData(f"a volume curve is numbers by commas, such as 5,3,2, was {text!r}") from None
    if min(values) < 0 or sum(values) <= 0:
        raise BadData(f"a volume curve needs weights from 0 that do not all vanish, was {text!r}")
    return tuple(values)
