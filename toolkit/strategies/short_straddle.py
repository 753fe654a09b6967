"""Short straddle with a stop and a delta hedge."""

from __future__ import annotations

import math
from typing import ClassVar

from toolkit.market.view import ChainSlice, View
from toolkit.strategies.planned import COMMON, Planned, net_delta
from toolkit.strategies.protocol import Param

__all__ = ["ShortStraddle"]


class ShortStraddle(Planned):
    """Sell the call and the put nearest the forward, once a day.

    Rules. Enter at the first snapshot of the entry window with both legs quoted. Hold
    until the exit time, a stop (loss beyond ``stop`` times the credit) or a profit of
    ``take`` times the credit. When the net delta leaves the ``band`` (in lots of the
    underlying), trade a synthetic future at the money (call against put at the strike
    nearest the forward) in whole lots, so that no futures feed is needed.

    A short straddle loses without limit when the underlying runs; the stop is this
    program's, acts on snapshots, and can be jumped over.
    """

    name = "short-straddle"
    hypothesis = (
        "Index options are priced above what the index then moves on many days (variance premium), so selling the "
        "straddle and hedging its delta earns the difference on average, with rare large losses. Not a promise."
    )
    params: ClassVar[dict[str, Param]] = {
        **COMMON,
        "stop": Param(default=0.30, unit="of credit", doc="loss that closes everything", low=0.01, high=10.0),
        "take": Param(default=0.50, unit="of credit", doc="profit that closes everything", low=0.01, high=1.0),
        "band": Param(
            default=0.6, unit="lots of delta", doc="net delta beyond which a whole lot is hedged", low=0.5, high=100.0
        ),
    }

    def choose(self, view: View, chain: ChainSlice) -> dict[str, int]:
        """Sell both options at the strike nearest the forward, when both are quoted."""
        index = chain.atm
        if math.isnan(chain.ce.bid[index]) or math.isnan(chain.pe.bid[index]):
            return {}
        quantity = -self.p["lots"] * chain.lot
        return {chain.symbol(index, "CE"): quantity, chain.symbol(index, "PE"): quantity}

    def leave(self, view: View, chain: ChainSlice, pnl: float) -> str:
        """Leave at the stop or at the profit target, both in terms of the credit."""
        if pnl <= -self.p["stop"] * self.credit_p / 100.0:
            return "stop"
        if pnl >= self.p["take"] * self.credit_p / 100.0:
            return "profit"
        return ""

    def adjust(self, view: View, chain: ChainSlice) -> None:
        """Bring the net delta back towards zero in whole lots of a synthetic future."""
        delta = net_delta(view) / chain.lot
        if chain.atm < 0 or math.isnan(delta) or abs(delta) <= self.p["band"]:
            return
        if view.orders() or dict(view.positions()) != {s: n for s, n in self.plan.items() if n}:
            return
        units = round(delta) * chain.lot
        call, put = chain.symbol(chain.atm, "CE"), chain.symbol(chain.atm, "PE")
        self.plan[call] = self.plan.get(call, 0) - units
        self.plan[put] = self.plan.get(put, 0) + units
        self.reason = "delta hedge"
