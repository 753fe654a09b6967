"""A new day starts from the close of the day before: positions with their averages, cash, a halt. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from toolkit.orders.core import Core
from toolkit.orders.effects import Effect, Record
from toolkit.portfolio.positions import PositionBook

__all__ = ["ALIGNED", "carried_book", "first_records"]

ALIGNED: Final = "align-"
"""How the execution begins that brings a position to the broker's: it was not traded here."""


def first_records(core: Core, now_ns: int, before: Sequence[Record]) -> list[Effect]:
    """Open a day in an empty core; ``before`` are the records of the day before, none on the first day.

    Orders end with their day; the states of strategies and guards go on.
    """
    if not before:
        return core.start_day(now_ns)
    old = Core.replay(before)
    core.book.net = dict(old.book.net)
    core.book.cash_p = old.book.cash_p
    core.book.state, core.book.state_reason, core.under = old.book.state, old.book.state_reason, old.under
    book = carried_book(old)
    for fill in old.fills.values():
        book.apply(fill)
    effects = core.start_day(now_ns, book.carried())
    for kind, notes in old.notes.items():
        for name, kept in notes.items():
            effects += core.note(now_ns, kind, name, kept)
    return effects


def carried_book(core: Core) -> PositionBook:
    """Positions as the day opened with them."""
    return PositionBook.from_carried(core.carried) if core.carried else PositionBook("average")
