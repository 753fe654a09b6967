"""A thread that says so while the engine's loop stands still: inside a write of the journal, as a rule.

It says and does nothing else: the loop owns the broker's session, and a second sender beside it could do twice what
the loop is about to do. A person who must cancel meanwhile does it in the broker's own app.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Final

__all__ = ["Pulse"]

_LOG: Final = logging.getLogger("toolkit.pulse")
_BEAT_S: Final = 0.5
_S: Final = 1e9


class Pulse:
    """Beats in a loop, watched from a thread.

    Parameters
    ----------
    limit_s : float
        How long the loop may stand still, seconds; the thread looks four times in that time, and every 50 ms at most.
    timer : callable
        Monotonic nanoseconds.
    tell : callable
        Gets one line when the loop stands still and one when it goes on; called in the thread.
    """

    def __init__(self, limit_s: float, timer: Callable[[], int], tell: Callable[[str], None] = _LOG.error) -> None:
        self._limit_s = limit_s
        self._timer = timer
        self._tell = tell
        self._beat_ns = timer()
        self._since_ns = 0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Beat in the running loop, and watch."""
        self.beat()
        self._task = asyncio.get_running_loop().create_task(self._beats(), name="pulse")
        self._thread = threading.Thread(target=self._watch, name="pulse", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """End both."""
        self._over.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def beat(self) -> None:
        """The loop turns."""
        self._beat_ns = self._timer()

    def look(self) -> None:
        """See whether it does; what stands is told once, and once more when it goes on."""
        beat_ns = self._beat_ns
        still_s = (self._timer() - beat_ns) / _S
        if self._since_ns and beat_ns > self._since_ns:
            stood_s, self._since_ns = (beat_ns - self._since_ns) / _S, 0
            self._tell(f"the engine goes on after {stood_s:.1f} s")
        if not self._since_ns and still_s > self._limit_s + _BEAT_S:
            self._since_ns = beat_ns
            self._tell(
                f"the engine has stood still for {still_s:.1f} s, as a rule in a write to the disk: "
                "no order and no cancel leaves before it goes on; to cancel now, use the broker's own app"
            )

    async def _beats(self) -> None:
        while True:
            self.beat()
            await asyncio.sleep(_BEAT_S)

    def _watch(self) -> None:
        while not self._over.wait(max(0.05, self._limit_s / 4)):
            self.look()
