"""The settings section ``[engine]``."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["EngineSettings"]


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the engine keeps time and waits.

    Parameters
    ----------
    clock : str
        ``wall``, or ``venue``: now comes from the broker's HTTP Date (loopback roots only).
    speed : float
        Venue seconds a real second.
    settle_s : float
        How long an order must be absent from the broker's book before that means anything.
    poll_s : float
        How often the broker's book is read while waiting for an answer.
    answer_s : float
        How long one act waits for a definite answer.
    throttle_per_s : int
        Order messages a second; above 8 on loopback roots only.
    book_s, positions_s : float
        How often orders and positions are compared with the broker's while nothing is in doubt
        (orders in doubt: each second).
    call_s : float
        How long one call of the broker may take before its outcome is unknown.
    inflight_s : float
        How long a modification or cancel may stay unanswered before the broker's book decides.
    rest_s : float
        How long an order of a flatten may rest before it is withdrawn and placed at the new price.
    patience_s : float
        How long a flatten tries a position that gets no smaller, or to read the positions, before it gives up.
    margin : str
        Who says whether the margin suffices: ``broker`` (asked before each order) or ``local`` (the estimate).
    stall_s : float
        How long one write of the journal may take before only orders that reduce leave.
    """

    clock: Literal["wall", "venue"] = "wall"
    speed: float = 1.0
    settle_s: float = 60.0
    poll_s: float = 0.5
    answer_s: float = 5.0
    throttle_per_s: int = 8
    book_s: float = 5.0
    positions_s: float = 15.0
    call_s: float = 12.0
    inflight_s: float = 5.0
    rest_s: float = 2.0
    patience_s: float = 30.0
    margin: Literal["broker", "local"] = "broker"
    stall_s: float = 2.0
