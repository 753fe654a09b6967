"""A disk that writes too slowly: while that stands, only orders that reduce leave.

One loop owns the journal and the broker's session, and it stands still inside a commit; nothing else may send in its
place. What this sees to is the moment the commit returns: the state first, the notice second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from toolkit.orders.effects import Effect
from toolkit.risk.limits import TradingState

if TYPE_CHECKING:
    from toolkit.orders.live import LiveEngine

__all__ = ["Stall"]

_CALM_NS: Final = 5 * 10**9
_WORDS: Final = "the disk took "


class Stall:
    """The rule on slow commits of one engine: ``[engine] stall_s``.

    A commit slower than that makes trading ``reducing`` before anything that waited for it goes on: what it held
    up and would add to a position is withheld, as it was decided that long ago. It ends when no commit was slow for
    5 seconds and one more is fast, or when a person resumes. What trading then comes
    to is what a person or flatten took last, or what a guard still demands, whichever is lower.

    Parameters
    ----------
    engine : LiveEngine
    """

    def __init__(self, engine: LiveEngine) -> None:
        self._engine = engine
        self._at_ns = 0
        self.text = ""

    @property
    def stands(self) -> bool:
        """Whether the disk counts as slow."""
        return bool(self.text)

    def begin(self) -> None:
        """Take over what an earlier process of the day journaled."""
        book = self._engine.core.book
        mine = book.state is TradingState.REDUCING and book.state_reason.startswith(_WORDS)
        self.text, self._at_ns = (book.state_reason if mine else ""), self._engine.mono()

    def slow(self, took_ns: int) -> None:
        """A commit was slow: reduce at once, then say so; once, however many follow."""
        engine = self._engine
        self._at_ns = engine.mono()
        if self.stands or engine.pen is None:
            return
        self.text = (
            f"{_WORDS}{took_ns / 1e9:.1f} s to write, at most {engine.settings.stall_s:g} s; "
            "only orders that reduce leave until it is fast again or a person resumes"
        )
        engine.later([*self._reduce(), *engine.alarm("journal_stall", self.text)])

    def beat(self) -> None:
        """Once a second: end it after a calm while, by a write that would be slow again if the disk is."""
        engine = self._engine
        if not self.stands:
            return
        if engine.mono() - self._at_ns < _CALM_NS:
            engine.later(self._reduce())
            return
        mine, self.text = engine.core.book.state_reason == self.text, ""
        text = "the disk writes fast again"
        effects = engine.core.set_state(engine.now_ns(), *engine.watch.demanded(text), passing=True) if mine else []
        engine.later([*effects, *engine.alarm("journal_restored", text)])

    def resumed(self) -> None:
        """A person takes orders again."""
        self.text = ""

    def _reduce(self) -> list[Effect]:
        engine = self._engine
        if engine.core.book.state is not TradingState.ACTIVE:
            return []
        return engine.core.set_state(engine.now_ns(), TradingState.REDUCING, self.text, cancel=False, passing=True)
