"""Positions from fills: exact integers, by first-in-first-out or by average cost.

The incremental :class:`PositionBook` and the frame function :func:`positions` are the same
arithmetic. Average cost is kept as the exact cost of the open units; when some of them are
closed, the cost that leaves is rounded down to a paisa and the rest stays, so that realized
plus open always equals what was paid.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

import msgspec
import polars as pl

from toolkit.errors import BadData
from toolkit.types import Fill, Side, to_paise

__all__ = ["Method", "Position", "PositionBook", "fills_frame", "positions"]

Method = Literal["fifo", "average"]
METHODS: Final = ("fifo", "average")
_FILLS: Final = pl.Schema(
    {
        "exec_id": pl.String,
        "cl_ord_id": pl.String,
        "order_id": pl.String,
        "account": pl.String,
        "broker": pl.String,
        "symbol": pl.String,
        "exchange": pl.String,
        "side": pl.String,
        "last_qty": pl.Int64,
        "last_px": pl.Float64,
        "exec_ns": pl.Int64,
    }
)
_POSITIONS: Final = pl.Schema(
    {
        "account": pl.String,
        "exchange": pl.String,
        "symbol": pl.String,
        "net_qty": pl.Int64,
        "buy_qty": pl.Int64,
        "sell_qty": pl.Int64,
        "buy_value": pl.Float64,
        "sell_value": pl.Float64,
        "avg_px": pl.Float64,
        "realized": pl.Float64,
    }
)


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """One contract of one account. ``open_cost_p`` is the exact cost of the open units
    (negative for a short), so that unrealized P&L is net_qty x mark - open_cost_p."""

    account: str
    exchange: str
    symbol: str
    net_qty: int = 0
    buy_qty: int = 0
    sell_qty: int = 0
    buy_value_p: int = 0
    sell_value_p: int = 0
    open_cost_p: int = 0
    realized_p: int = 0

    @property
    def avg_px(self) -> float:
        """Average price of the open units in rupees, NaN when flat."""
        return self.open_cost_p / self.net_qty / 100.0 if self.net_qty else float("nan")


class _Line:
    """Running state of one position; ``lots`` is used by FIFO only."""

    __slots__ = ("buy_qty", "buy_value_p", "lots", "net_qty", "open_cost_p", "realized_p", "sell_qty", "sell_value_p")

    def __init__(self) -> None:
        self.net_qty = self.buy_qty = self.sell_qty = 0
        self.buy_value_p = self.sell_value_p = self.open_cost_p = self.realized_p = 0
        self.lots: deque[tuple[int, int]] = deque()


class PositionBook:
    """Positions that grow fill by fill.

    Parameters
    ----------
    method : {"fifo", "average"}
        Which open units a closing fill closes first, or the average of all.
    """

    def __init__(self, method: Method = "fifo") -> None:
        if method not in METHODS:
            raise BadData(f"method must be fifo or average, was {method!r}")
        self.method: Method = method
        self._lines: dict[tuple[str, str, str], _Line] = {}
        self._seen: set[tuple[str, str]] = set()

    def apply(self, fill: Fill) -> int:
        """Fold in one fill and return the P&L it realized in paise; a repeated ``exec_id`` counts once.

        Raises
        ------
        BadData
            When the quantity is not positive or the price is negative.
        """
        if fill.last_qty <= 0 or fill.last_px_p < 0:
            raise BadData(
                f"fill {fill.exec_id} needs a positive quantity and no negative price, "
                f"was {fill.last_qty} at {fill.last_px_p} paise"
            )
        if (fill.account, fill.exec_id) in self._seen:
            return 0
        self._seen.add((fill.account, fill.exec_id))
        line = self._lines.setdefault((fill.account, fill.exchange, fill.symbol), _Line())
        value_p = fill.last_qty * fill.last_px_p
        if fill.side is Side.BUY:
            line.buy_qty += fill.last_qty
            line.buy_value_p += value_p
        else:
            line.sell_qty += fill.last_qty
            line.sell_value_p += value_p
        before = line.realized_p
        self._fold(line, fill.side.sign * fill.last_qty, fill.last_px_p)
        return line.realized_p - before

    def position(self, symbol: str, account: str, exchange: str = "NSE") -> Position:
        """One position; flat when it was never traded."""
        return self._frozen((account, exchange, symbol), self._lines.get((account, exchange, symbol), _Line()))

    def all(self) -> tuple[Position, ...]:
        """Every position ever held, by account, exchange and symbol."""
        return tuple(self._frozen(key, self._lines[key]) for key in sorted(self._lines))

    def held(self) -> tuple[Position, ...]:
        """Positions that are not flat."""
        return tuple(p for p in self.all() if p.net_qty)

    def net(self) -> dict[str, int]:
        """Units by symbol, of all accounts and exchanges together: a share is one, wherever it was traded."""
        found: dict[str, int] = {}
        for position in self.held():
            found[position.symbol] = found.get(position.symbol, 0) + position.net_qty
        return found

    @property
    def realized_p(self) -> int:
        """Realized P&L of all positions in paise, before charges."""
        return sum(line.realized_p for line in self._lines.values())

    def carried(self) -> dict[str, Any]:
        """What the next day starts from: open units with their exact costs, JSON-able."""
        return {
            "method": self.method,
            "open": [
                [*key, line.net_qty, line.open_cost_p, [list(lot) for lot in line.lots]]
                for key, line in sorted(self._lines.items())
                if line.net_qty
            ],
        }

    @classmethod
    def from_carried(cls, carried: dict[str, Any]) -> PositionBook:
        """Begin a day from what :meth:`carried` gave; turnover and realized P&L start at zero."""
        book = cls(carried["method"])
        for account, exchange, symbol, net_qty, open_cost_p, lots in carried["open"]:
            line = book._lines.setdefault((account, exchange, symbol), _Line())
            line.net_qty, line.open_cost_p = net_qty, open_cost_p
            line.lots.extend((qty, px_p) for qty, px_p in lots)
        return book

    def _fold(self, line: _Line, signed_qty: int, px_p: int) -> None:
        closing = 0
        if line.net_qty * signed_qty < 0:
            closing = min(abs(line.net_qty), abs(signed_qty))
            sign = 1 if line.net_qty > 0 else -1
            cost_p = self._release(line, closing)
            line.realized_p += sign * closing * px_p - cost_p
            line.net_qty -= sign * closing
            line.open_cost_p -= cost_p
        opening = abs(signed_qty) - closing
        if opening:
            sign = 1 if signed_qty > 0 else -1
            line.net_qty += sign * opening
            line.open_cost_p += sign * opening * px_p
            if self.method == "fifo":
                line.lots.append((sign * opening, px_p))

    def _release(self, line: _Line, qty: int) -> int:
        """Signed cost of the ``qty`` open units that a fill closes."""
        if self.method == "average":
            return line.open_cost_p * qty // abs(line.net_qty)
        cost_p = 0
        while qty:
            lot_qty, lot_px_p = line.lots.popleft()
            taken = min(qty, abs(lot_qty))
            sign = 1 if lot_qty > 0 else -1
            cost_p += sign * taken * lot_px_p
            qty -= taken
            if taken < abs(lot_qty):
                line.lots.appendleft((lot_qty - sign * taken, lot_px_p))
        return cost_p

    @staticmethod
    def _frozen(key: tuple[str, str, str], line: _Line) -> Position:
        account, exchange, symbol = key
        return Position(
            account=account,
            exchange=exchange,
            symbol=symbol,
            net_qty=line.net_qty,
            buy_qty=line.buy_qty,
            sell_qty=line.sell_qty,
            buy_value_p=line.buy_value_p,
            sell_value_p=line.sell_value_p,
            open_cost_p=line.open_cost_p,
            realized_p=line.realized_p,
        )


def fills_frame(fills: Iterable[Fill]) -> pl.DataFrame:
    """Make the public fills frame: units, rupees, UTC nanoseconds, in the order given."""
    rows = [
        (
            f.exec_id,
            f.cl_ord_id,
            f.order_id,
            f.account,
            f.broker,
            f.symbol,
            f.exchange,
            str(f.side),
            f.last_qty,
            f.last_px_p / 100.0,
            f.exec_ns,
        )
        for f in fills
    ]
    return pl.DataFrame(rows, schema=_FILLS, orient="row")


def positions(fills: pl.DataFrame, method: Method = "fifo", as_of: int | dt.datetime | None = None) -> pl.DataFrame:
    """Add up fills into positions.

    Parameters
    ----------
    fills : DataFrame
        The public fills frame: exec_id, account, symbol, exchange, side, last_qty (units), last_px
        (rupees), exec_ns (UTC nanoseconds). Repeats of an exec_id count once.
    method : {"fifo", "average"}
        Cost of the units that are closed.
    as_of : int (nanoseconds UTC) or aware datetime, optional
        Only fills up to and including then.

    Returns
    -------
    DataFrame
        account, exchange, symbol, net_qty, buy_qty, sell_qty (units), buy_value, sell_value, avg_px
        (of the open units, null when flat), realized (rupees, before charges), sorted by the first three.

    Raises
    ------
    BadData
        When a column is missing, a quantity is not positive, a price is no whole number of paise, or
        ``as_of`` is a naive datetime.
    """
    book = PositionBook(method)
    for fill in _read(fills, _limit_ns(as_of)):
        book.apply(fill)
    rows = [
        (
            p.account,
            p.exchange,
            p.symbol,
            p.net_qty,
            p.buy_qty,
            p.sell_qty,
            p.buy_value_p / 100.0,
            p.sell_value_p / 100.0,
            p.avg_px if p.net_qty else None,
            p.realized_p / 100.0,
        )
        for p in book.all()
    ]
    return pl.DataFrame(rows, schema=_POSITIONS, orient="row")


def _limit_ns(as_of: int | dt.datetime | None) -> int | None:
    if not isinstance(as_of, dt.datetime):
        return as_of
    if as_of.tzinfo is None:
        raise BadData(f"as_of must say its time zone, was {as_of}; use an aware datetime")
    delta = as_of - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000_000 + delta.microseconds * 1000


def _read(fills: pl.DataFrame, limit_ns: int | None) -> Sequence[Fill]:
    needed = ("exec_id", "account", "symbol", "exchange", "side", "last_qty", "last_px", "exec_ns")
    missing = [c for c in needed if c not in fills.columns]
    if missing:
        raise BadData(f"fills frame lacks {', '.join(missing)}; it needs {', '.join(needed)}")
    frame = fills.select(needed).sort("exec_ns", "exec_id", maintain_order=True)
    if limit_ns is not None:
        frame = frame.filter(pl.col("exec_ns") <= limit_ns)
    return [
        Fill(
            exec_id=exec_id,
            cl_ord_id="",
            order_id="",
            account=account,
            broker="",
            symbol=symbol,
            exchange=exchange,
            side=_side(side, exec_id),
            last_qty=last_qty,
            last_px_p=to_paise(last_px),
            exec_ns=exec_ns,
        )
        for exec_id, account, symbol, exchange, side, last_qty, last_px, exec_ns in frame.iter_rows()
    ]


def _side(side: str, exec_id: str) -> Side:
    try:
        return Side(side)
    except ValueError:
        raise BadData(f"side of fill {exec_id} must be BUY or SELL, was {side!r}") from None
