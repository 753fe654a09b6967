"""What an account's positions and orders need in margin, kept in step with its risk book."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from toolkit.calendar import ist_date
from toolkit.market.quotes import key_of
from toolkit.risk.margin_book import MarginBook
from toolkit.risk.screen import marks
from toolkit.types import Kind, Side

if TYPE_CHECKING:
    from toolkit.risk.book import RiskBook

__all__ = ["Need"]


class Shape(NamedTuple):
    """Held contracts without terms, all underlyings held or ordered, held futures."""

    unlisted: tuple[str, ...]
    underlyings: frozenset[str]
    futures: tuple[str, ...]


class Need:
    """The margin of a risk book: contracts are read once a day, quantities when they change, marks when they move.

    Two books are kept: one of positions with all open orders at their worst case, one of positions
    alone. A contract without a quote counts at the worse side, as :class:`MarginBook` says.
    """

    def __init__(self, book: RiskBook) -> None:
        self._book = book
        self._open = MarginBook()
        self._held = MarginBook()
        self._day: dt.date | None = None
        self._names: list[str] = []
        self._known: set[str] = set()
        self._stale: set[str] = set()
        self._shape: Shape | None = None
        self._kin: dict[str, int] = {}
        self._looked: set[str] = set()
        self._keys: list[int] = []
        self._rows: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._all_quoted = False
        self._marks: npt.NDArray[np.float64] = np.empty(0)
        self._moved: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def touch(self, symbol: str) -> None:
        """Note that a contract's position or open orders changed."""
        self._stale.add(symbol)
        self._looked.add(symbol)

    def reset(self) -> None:
        """Start over: terms or positions were replaced."""
        self._day = None
        self._shape = None

    def shape(self) -> Shape:
        """Which contracts the account is in, kept until it comes into one or leaves one."""
        book = self._book
        if self._shape is not None and any(self._kin.get(s, 0) != self._place(s) for s in self._looked):
            self._shape = None
        self._looked.clear()
        if self._shape is None:
            self._kin = {s: self._place(s) for s in {*book.net, *book.resting}}
            terms = [(s, book.instruments.get(s)) for s in self._kin]
            self._shape = Shape(
                unlisted=tuple(sorted(symbol for symbol in book.net if symbol not in book.instruments)),
                underlyings=frozenset(one.underlying for _, one in terms if one is not None),
                futures=tuple(
                    sorted(s for s, one in terms if one is not None and one.kind is Kind.FUTURE and s in book.net)
                ),
            )
        return self._shape

    def _place(self, symbol: str) -> int:
        """How the account is in a contract, as far as :meth:`shape` says: 0 not, 1 by position or order, 2 held."""
        book = self._book
        held = symbol in book.net
        instrument = book.instruments.get(symbol)
        if held and (instrument is None or instrument.kind is Kind.FUTURE):
            return 2
        return 1 if held or symbol in book.resting else 0

    def catch_up(self, now_ns: int) -> None:
        """Do now what the next question would do first, where there is time for it and all is known."""
        if self._stale or self._looked:
            shape = self.shape()
            if not shape.unlisted and shape.underlyings <= self._book.span.keys():
                self._refresh(now_ns, None)

    def after_p(self, symbol: str, side: Side, qty: int, now_ns: int) -> int:
        """Margin in paise of positions, open orders and ``qty`` more units of a listed contract."""
        self._refresh(now_ns, symbol)
        return round(self._open.after(symbol, side.sign * qty) * 100.0)

    def held_p(self, now_ns: int, *, looked: bool = False) -> int:
        """Margin in paise of the positions alone; ``looked`` says that :meth:`after_p` was just asked."""
        if not looked:
            self._refresh(now_ns, None)
        return round(self._held.total() * 100.0)

    def _refresh(self, now_ns: int, extra: str | None) -> None:
        book, day = self._book, ist_date(now_ns)
        if day != self._day:
            self._day, self._open, self._held = day, MarginBook(), MarginBook()
            self._names, self._keys, self._marks = [], [], np.empty(0)
            self._all_quoted = False  # the contracts come in another order now: their rows are looked up again
            self._known.clear()
            self._stale = {*book.net, *book.resting}
        if extra is not None and extra not in self._known:
            self._stale.add(extra)
        for underlying, params in book.span.items():
            if self._open.params(underlying) is not params:
                for kept in (self._open, self._held):
                    kept.set_params(underlying, params)
        if self._stale:
            for symbol in self._stale:
                self._take(symbol, now_ns)
            self._stale.clear()
        self._mark()

    def _take(self, symbol: str, now_ns: int) -> None:
        """Take a contract's terms when it is new, and its quantities."""
        book = self._book
        instrument = book.instruments.get(symbol)
        if instrument is None or instrument.underlying not in book.span:
            return
        if symbol not in self._known:
            self._known.add(symbol)
            self._names.append(symbol)
            leg = book.leg(instrument, 0, now_ns)
            for kept in (self._open, self._held):
                kept.add(symbol, leg)
            self._keys.append(key_of(instrument))
            self._marks = np.append(self._marks, leg.mark)
            self._moved = np.empty(len(self._keys), np.int64)
        net = book.net.get(symbol, 0)
        sells, buys = book.open_qty(symbol, Side.SELL), book.open_qty(symbol, Side.BUY)
        self._open.set(symbol, net=net, sells=sells, buys=buys)
        self._held.set(symbol, net=net)

    def _mark(self) -> None:
        """Pass on the marks that moved."""
        quotes = self._book.quotes
        if len(self._rows) != len(self._keys) or not self._all_quoted:
            self._rows = np.array([quotes.row(key) for key in self._keys], np.int64)
            self._all_quoted = bool((self._rows >= 0).all())
        moved = marks(quotes.values, self._rows, self._marks, self._moved)
        for n in range(moved):
            at = int(self._moved[n])
            for kept in (self._open, self._held):
                kept.mark(self._names[at], float(self._marks[at]))
