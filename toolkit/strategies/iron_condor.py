"""Iron condor by delta."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from toolkit.errors import BadData
from toolkit.market.view import ChainSlice, LegArrays, View
from toolkit.strategies.planned import COMMON, Planned
from toolkit.strategies.protocol import Param

__all__ = ["IronCondor"]


class IronCondor(Planned):
    """Sell a call and a put by delta, buy further ones as wings, once a day.

    Rules. Enter at the first snapshot of the entry window where all four legs are found
    and quoted: on each side the strike whose absolute delta is nearest ``short_delta``
    and, further out, nearest ``wing_delta``, both within ``tolerance``. The wings are
    bought before anything is sold. Leave at the stop, at the profit or at the exit time.
    The loss is bounded by the wider of the two wings.
    """

    name = "iron-condor"
    hypothesis = (
        "Between two strikes chosen by delta the index stays more often than the options' prices imply, and the wings "
        "bound the loss when it does not. Costs of four legs each way decide much of the result. Not a promise."
    )
    params: ClassVar[dict[str, Param]] = {
        **COMMON,
        "short_delta": Param(default=0.20, unit="delta", doc="absolute delta of the sold legs", low=0.02, high=0.5),
        "wing_delta": Param(default=0.08, unit="delta", doc="absolute delta of the bought legs", low=0.005, high=0.45),
        "tolerance": Param(default=0.06, unit="delta", doc="how far a strike's delta may be off", low=0.001, high=0.3),
        "stop": Param(default=1.0, unit="of credit", doc="loss that closes everything", low=0.05, high=20.0),
        "take": Param(default=0.5, unit="of credit", doc="profit that closes everything", low=0.01, high=1.0),
    }

    def __init__(self, **values: object) -> None:
        super().__init__(**values)
        if self.p["wing_delta"] >= self.p["short_delta"]:
            raise BadData(
                f"parameter 'wing_delta' of strategy '{self.name}' must be below short_delta "
                f"{self.p['short_delta']:g}, was {self.p['wing_delta']:g}"
            )

    def choose(self, view: View, chain: ChainSlice) -> dict[str, int]:
        """Find the four legs by delta; nothing when one is missing, unquoted or off by too much."""
        quantity = self.p["lots"] * chain.lot
        plan: dict[str, int] = {}
        for side in ("CE", "PE"):
            leg = chain.side(side)
            short = self._nearest(leg, self.p["short_delta"])
            wing = self._nearest(leg, self.p["wing_delta"])
            outward = wing > short if side == "CE" else wing < short
            if min(short, wing) < 0 or not outward:
                return {}
            plan[chain.symbol(short, side)] = -quantity
            plan[chain.symbol(wing, side)] = quantity
        return plan

    def leave(self, view: View, chain: ChainSlice, pnl: float) -> str:
        """Leave at the stop or at the profit target, both in terms of the credit."""
        if pnl <= -self.p["stop"] * self.credit_p / 100.0:
            return "stop"
        if pnl >= self.p["take"] * self.credit_p / 100.0:
            return "profit"
        return ""

    def _nearest(self, leg: LegArrays, delta: float) -> int:
        off = np.abs(np.abs(leg.delta) - delta)
        off = np.where(np.isnan(leg.bid) | np.isnan(leg.ask) | np.isnan(off), math.inf, off)
        best = int(np.argmin(off))
        return best if off[best] <= self.p["tolerance"] else -1
