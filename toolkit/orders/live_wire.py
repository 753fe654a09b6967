"""The only place from which order messages leave: each is sent once, and what came of it becomes a report."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Final

from toolkit.brokers.port import Broker
from toolkit.brokers.rate import LEAVING
from toolkit.errors import BadData, Refused, ToolkitError, Unknown
from toolkit.orders.effects import SendCancel, SendNew, SendReplace
from toolkit.types import ExecType

__all__ = ["Send", "Wire", "name_of"]

Send = SendNew | SendReplace | SendCancel
_MINUTE_NS: Final = 60_000_000_000
_REFUSAL: Final = {
    SendNew: ExecType.REJECTED,
    SendReplace: ExecType.REPLACE_REJECTED,
    SendCancel: ExecType.CANCEL_REJECTED,
}
_KEPT: Final = _REFUSAL | {SendNew: ExecType.DENIED}


def name_of(send: Send) -> str:
    """The order a message is about."""
    if isinstance(send, SendNew):
        return send.request.cl_ord_id
    return send.modify.cl_ord_id if isinstance(send, SendReplace) else send.cl_ord_id


class _Leave:
    """What a message is asked when its turn has come; it refuses what may leave no more, and keeps that it did."""

    __slots__ = ("_held", "_send", "kept")

    def __init__(self, send: Send, held: Callable[[Send], str]) -> None:
        self._send, self._held, self.kept = send, held, False

    def __call__(self) -> None:
        why = self._held(self._send)
        if why:
            self.kept = True
            raise Refused(why)


class _Call:
    """One call that a task waits in; leaving it late raises TimeoutError, as ``asyncio.timeout`` does."""

    __slots__ = ("_cancelling", "_open", "_task", "due", "late")

    def __init__(self, task: asyncio.Task[Any], due: float, calls: dict[_Call, None]) -> None:
        self._task = task
        self._cancelling = task.cancelling()
        self._open = calls
        self.due = due
        self.late = False

    def give_up(self) -> None:
        """The time is up: end the waiting."""
        self.late = True
        self._task.cancel()

    def __enter__(self) -> None:
        self._open[self] = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.pop(self, None)
        if self.late and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error


class _Patience:
    """Ends calls that take too long. All have the same time, so they fall due in turn and one timer does for all.

    Parameters
    ----------
    call_s : float
        How long a call may take.
    """

    def __init__(self, call_s: float) -> None:
        self._call_s = call_s
        self._open: dict[_Call, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def call(self) -> _Call:
        """What the running task enters for the length of its call."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None, "a message is sent by a task"
        call = _Call(task, loop.time() + self._call_s, self._open)
        if self._timer is None:
            self._timer = loop.call_at(call.due, self._sweep)
        return call

    def _sweep(self) -> None:
        """Give up what is due; the timer then stands at the oldest call that is not."""
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._open:
            oldest = next(iter(self._open))
            if oldest.due > loop.time():
                self._timer = loop.call_at(oldest.due, self._sweep)
                return
            del self._open[oldest]
            oldest.give_up()


class Wire:
    """Sends messages concurrently, those of one order one after the other.

    Parameters
    ----------
    broker : Broker
    call_s : float
        How long a call may take before its outcome is unknown.
    answer : coroutine function
        ``answer(send, exec_type, text, order_id, error)``: what became of a message; awaited before it counts as done.
    stage : callable
        ``stage(cl_ord_id, name)`` at ``wire`` and ``ack``.
    held : callable
        ``held(send)``: why a message may leave no more, empty where it may. It is asked when its turn comes, after
        whatever it waited for: its order's message before it, the broker's limits.
    """

    def __init__(
        self,
        broker: Broker,
        call_s: float,
        answer: Callable[[Send, ExecType | None, str, str | None, ToolkitError | None], Coroutine[Any, Any, None]],
        stage: Callable[[str, str], None],
        held: Callable[[Send], str],
        mono: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._broker = broker
        self._call_s = call_s
        self._answer = answer
        self._stage = stage
        self._held = held
        self._mono = mono
        self._last: dict[str, asyncio.Task[ToolkitError | None]] = {}
        self._patience = _Patience(call_s)
        self._sent: deque[int] = deque()
        self.sent_today = 0

    def send(self, send: Send) -> asyncio.Task[ToolkitError | None]:
        """Send a message; the task gives the broker's refusal, None when it took the message or was silent."""
        name = name_of(send)
        task = asyncio.create_task(self._one(send, self._last.get(name)), name=f"send {name}")
        self._last[name] = task
        task.add_done_callback(lambda done: self._forget(name, done))
        return task

    def in_flight(self) -> frozenset[str]:
        """Orders with a message that is not answered yet."""
        return frozenset(self._last)

    def task(self, cl_ord_id: str) -> asyncio.Task[ToolkitError | None] | None:
        """The newest message of an order that is still under way."""
        return self._last.get(cl_ord_id)

    def messages_60s(self) -> int:
        """Messages sent in the last minute."""
        oldest = self._mono() - _MINUTE_NS
        while self._sent and self._sent[0] < oldest:
            self._sent.popleft()
        return len(self._sent)

    async def close(self, seconds: float) -> None:
        """Wait for the answers of what is under way; what stays silent is unknown."""
        tasks = list(self._last.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _forget(self, name: str, task: asyncio.Task[ToolkitError | None]) -> None:
        if self._last.get(name) is task:
            del self._last[name]

    async def _one(self, send: Send, before: asyncio.Task[ToolkitError | None] | None) -> ToolkitError | None:
        if before is not None:
            await asyncio.wait([before])
        name = name_of(send)
        now_ns = self._mono()
        self._sent.append(now_ns)
        if self._sent[0] < now_ns - _MINUTE_NS:
            self.messages_60s()
        self.sent_today += 1
        self._stage(name, "wire")
        leave = _Leave(send, self._held)
        LEAVING.set(leave)  # in the task's own context
        try:
            leave()
            with self._patience.call():
                order_id = await self._call(send)
        except (Refused, BadData) as error:
            if leave.kept:
                self._sent.remove(now_ns)
                self.sent_today -= 1
            kinds = _KEPT if leave.kept else _REFUSAL
            await self._answer(send, kinds[type(send)], str(error), None, error)
            return error
        except ToolkitError as error:
            await self._answer(send, ExecType.UNKNOWN, str(error), None, error)
        except TimeoutError:
            text = f"the broker did not answer within {self._call_s:g} s"
            await self._answer(send, ExecType.UNKNOWN, text, None, Unknown(text))
        except asyncio.CancelledError:
            await self._answer(send, ExecType.UNKNOWN, "the engine stopped before the answer came", None, None)
            raise
        except Exception as error:  # a fault in the broker's own code says nothing about the order
            text = f"{type(error).__name__} in the broker's code: {error}"
            await self._answer(send, ExecType.UNKNOWN, text, None, Unknown(text))
        else:
            self._stage(name, "ack")
            await self._answer(send, ExecType.PENDING_NEW if isinstance(send, SendNew) else None, "", order_id, None)
        return None

    def _call(self, send: Send) -> Awaitable[str | None]:
        if isinstance(send, SendNew):
            return self._broker.place(send.request)
        if isinstance(send, SendReplace):
            return self._broker.modify(send.modify)
        return self._broker.cancel(send.cl_ord_id)
