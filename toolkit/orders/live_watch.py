"""What runs beside the acts: the broker's news, the beat of the watches, the cycle of the books."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from toolkit.calendar import ist_date
from toolkit.errors import AuthExpired, ToolkitError
from toolkit.risk.guards import Trip
from toolkit.risk.limits import TradingState
from toolkit.types import ExecutionReport

if TYPE_CHECKING:
    from toolkit.orders.live import LiveEngine

__all__ = ["FLAG", "Watch"]

_LOG: Final = logging.getLogger("toolkit.watch")
_BEAT_S: Final = 0.1
_BEATS: Final = 10
_AGAIN_S: Final = 1.0
_SKEW_ALARM_S: Final = 2.0
FLAG: Final = "the file flag HALT"
_RANK: Final = {TradingState.ACTIVE: 0, TradingState.REDUCING: 1, TradingState.HALTED: 2}


class Watch:
    """The engine's loops. Alarms change the state first and notify second.

    Parameters
    ----------
    engine : LiveEngine
    """

    def __init__(self, engine: LiveEngine) -> None:
        self._engine = engine
        self._loops: list[asyncio.Task[None]] = []
        self._poked = asyncio.Event()
        self._heard: list[ExecutionReport] = []
        self._look = False
        self.ended = False
        self._trips: dict[str, Trip] = {}
        self._alarmed: dict[str, str] = {}
        self._logged: dict[str, str] = {}
        self._since_positions = 0.0

    def start(self) -> None:
        """Begin."""
        loops: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = (self._listen, self._beat, self._audit)
        self._loops = [asyncio.create_task(loop()) for loop in loops]

    async def stop(self) -> None:
        """End the loops. A cancel that meets an answer may be swallowed on its way, so it is said until it is heard."""
        self.ended = True
        while pending := {task for task in self._loops if not task.done()}:
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=_BEAT_S)
        self._loops = []

    def poke(self) -> None:
        """Read the books soon: something was said that our book does not explain."""
        self._poked.set()

    def look_soon(self) -> None:
        """Show the guards the account's figures at the next beat: something was filled."""
        self._look = True

    def auth_expired(self, text: str) -> None:
        """The broker no longer takes our token: no new order leaves until the next login."""
        engine = self._engine
        if engine.state == "ready":
            engine.state = "auth_expired"
            engine.later(engine.alarm("auth_expired", text))

    async def beat(self, number: int) -> None:
        """One tenth of a second: the file flag and the link; with every tenth of them, everything else."""
        engine = self._engine
        if engine.pen is None:
            return  # between two journals nothing leaves, and what is seen now could not be kept
        await self._flag()
        self._link()
        if engine.state == "journal_failed":
            await self._mend()
        whole = number % _BEATS == 0
        if whole or self._look:
            self._look = False
            await self.look()
        if not whole:
            return
        self._skew()
        self._stuck()
        engine.stall.beat()
        if engine.state == "ready":
            engine.deciders.second()

    async def _beat(self) -> None:
        number = 0
        while not self.ended:
            number += 1
            try:
                await self.beat(number)
            except ToolkitError as error:  # whatever it is, flag, guards and clocks are looked at again
                self._log("beat", f"a look at the account failed: {error}")
            await self._engine.sleep(_BEAT_S)

    async def _listen(self) -> None:
        """Take the broker's news; a stream that breaks is opened again, the books tell what was missed."""
        engine = self._engine
        while not self.ended:
            try:
                async for report in engine.broker.updates():
                    self._heard.append(report)
                    if len(self._heard) == 1:
                        asyncio.get_running_loop().call_soon(self._take)
            except ToolkitError as error:
                if isinstance(error, AuthExpired):
                    self.auth_expired(str(error))
            self.poke()
            await engine.sleep(_AGAIN_S)

    def _take(self) -> None:
        """Take in together what came together: one commit for an order's acknowledgement and its fills."""
        reports, self._heard = self._heard, []
        pen, path = self._engine.pen, self._engine.path
        if pen is None:
            return  # stopped: the next start reads the broker's book
        try:
            pen.together(lambda: path.take(reports))
        except ToolkitError:
            self.poke()  # the books tell what was missed

    async def _audit(self) -> None:
        """Compare with the broker's books in turn; after a new login, recover first."""
        engine = self._engine
        waited = 0.0
        while not self.ended:
            await engine.sleep(_AGAIN_S)
            waited += _AGAIN_S
            self._since_positions += _AGAIN_S
            if engine.state == "auth_expired":
                await self._return()
                continue
            if engine.state in ("ready", "reconciling") and ist_date(engine.now_ns()) != engine.core.day:
                await self._new_day()
                continue
            positions = self._since_positions >= engine.settings.positions_s
            due = waited >= engine.settings.book_s or self._poked.is_set() or positions
            if engine.state != "ready" or not (due or engine.books.in_doubt()):
                continue
            self._poked.clear()
            waited = 0.0
            if positions:
                self._since_positions = 0.0
            try:
                await engine.books.cycle(positions=positions)
                if positions:
                    await engine.figures.ask_money()
                self._calm("books")
            except AuthExpired as error:
                self.auth_expired(str(error))
            except ToolkitError as error:
                self._raise("books", f"the broker's books cannot be read: {error}")

    async def _return(self) -> None:
        """After a new login everything is read again before an order may leave."""
        engine = self._engine
        if getattr(engine.broker, "state", "ready") not in ("ready", "live"):
            return
        engine.state = "reconciling"
        try:
            await engine.books.recover()
        except ToolkitError:
            engine.state = "auth_expired"
            return
        engine.state = "ready"
        await engine.perform(engine.alarm("auth_restored", "logged in again; the books agree"))

    async def _new_day(self) -> None:
        """Midnight in India: close the journal into the next day's; tried again each second until it stands."""
        engine = self._engine
        try:
            await engine.new_day()
        except AuthExpired as error:
            engine.state = "ready"
            self.auth_expired(str(error))
        except ToolkitError as error:
            self._raise("new_day", f"the new day cannot be opened: {error}")
        else:
            self._calm("new_day")

    def _link(self) -> None:
        if getattr(self._engine.broker, "state", "ready") in ("auth_expired", "no_token"):
            self.auth_expired("the broker's token is no longer valid; log in again")

    async def _flag(self) -> None:
        engine = self._engine
        halted = engine.core.taken[0] is TradingState.HALTED
        if not halted and (engine.folder / "HALT").exists():
            await engine.brakes.set_state(TradingState.HALTED, FLAG)
            await engine.perform(engine.alarm("halt", f"trading halted: {FLAG}"))

    async def _mend(self) -> None:
        """Try the journal again: what was heard meanwhile is written first, in order."""
        engine = self._engine
        if engine.pen is None or not engine.pen.retry():
            return
        engine.state = "ready"
        await engine.perform(engine.alarm("journal_restored", "the journal takes records again"))
        self.poke()

    @property
    def standing(self) -> tuple[Trip, ...]:
        """What the guards demand for the whole account now."""
        return tuple(self._trips.values())

    def demanded(self, calm: str) -> tuple[TradingState, str]:
        """What trading comes to and why: the lowest of what a person or flatten took, the guards and the disk demand.

        Of equals it is what was taken, then a guard's; active, for the reason ``calm``, when nothing holds it down.
        """
        stall = self._engine.stall
        stands = [self._engine.core.taken, *((trip.state, _words(trip)) for trip in self.standing)]
        if stall.stands:
            stands.append((TradingState.REDUCING, stall.text))
        worst = max(stands, key=lambda found: _RANK[found[0]])
        return (TradingState.ACTIVE, calm) if worst[0] is TradingState.ACTIVE else worst

    async def look(self) -> None:
        """Show each guard the figures; what one demands is done first and told second."""
        engine = self._engine
        if not engine.guards:
            return
        facts, now_ns = engine.figures.facts(), engine.now_ns()
        trips = {trip.rule: trip for guard in engine.guards if (trip := guard.watch(now_ns, facts)) is not None}
        new = [trip for rule, trip in trips.items() if rule not in self._trips]
        gone = [trip for rule, trip in self._trips.items() if rule not in trips]
        self._trips = trips
        self._keep(now_ns)
        new.sort(key=lambda t: _RANK[t.state])
        while new:
            try:
                await self._enforce(new[-1])
            except ToolkitError:  # not in force: the next look finds them new
                for trip in new:
                    self._trips.pop(trip.rule, None)
                raise
            trip = new.pop()
            engine.later(engine.alarm(f"guard:{trip.rule}", f"{trip.text}; {trip.rearm}"))
        for trip in gone:
            await self._lift(trip)

    async def _enforce(self, trip: Trip) -> None:
        """Bring trading down to a new demand and cancel what adds, also where it stands so low already."""
        if _RANK[trip.state] >= _RANK[self._engine.core.book.state]:
            await self._engine.brakes.set_state(*self.demanded(""), passing=True)

    async def _lift(self, gone: Trip) -> None:
        """A demand that ended gives back what stood under it, unless another stands or a person halted since."""
        core = self._engine.core
        if core.under is not None and core.book.state_reason == _words(gone):
            await self._engine.brakes.set_state(*self.demanded(f"{gone.rule} lifted"), passing=True)

    def _keep(self, now_ns: int) -> None:
        engine = self._engine
        kept = engine.core.notes.get("guard", {})
        for guard in engine.guards:
            for act in guard.acts():
                engine.later(engine.core.note(now_ns, "act", "", act))
            state = guard.state()
            if state != kept.get(guard.name, {}):
                engine.later(engine.core.note(now_ns, "guard", guard.name, state))

    def _skew(self) -> None:
        skew_s = self._engine.checks.skew_s()
        if skew_s is not None and abs(skew_s) > _SKEW_ALARM_S:
            self._raise("clock", f"this machine's clock is {skew_s:.0f} s off the broker's", change="clock")
        else:
            self._calm("clock")

    def _stuck(self) -> None:
        engine = self._engine
        if engine.monitor is None:
            return
        for alarm in engine.monitor.alarms(engine.now_ns()):
            engine.later(engine.alarm(alarm.kind, alarm.text, alarm.cl_ord_id))

    def _raise(self, kind: str, text: str, change: str | None = None) -> None:
        """Alarm once while a condition stands: once a pen took it. Between two journals the log alone says it."""
        if self._engine.pen is None:
            self._log(kind, text)
        elif self._alarmed.get(kind) != (change or text):
            self._alarmed[kind] = change or text
            self._engine.later(self._engine.alarm(kind, text))

    def _calm(self, kind: str) -> None:
        self._alarmed.pop(kind, None)
        self._logged.pop(kind, None)

    def _log(self, kind: str, text: str) -> None:
        """Log a text when it is another than the one before of its kind: it comes again with each beat."""
        if self._logged.get(kind) != text:
            self._logged[kind] = text
            _LOG.error("account %s: %s", self._engine.account, text)


def _words(trip: Trip) -> str:
    """The reason of the state that a demand takes."""
    return f"{trip.rule}: {trip.text}"
