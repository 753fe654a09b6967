"""Credit spread at the open-interest wall, with hysteresis."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from toolkit.market.view import ChainSlice, View
from toolkit.strategies.planned import COMMON, Planned
from toolkit.strategies.protocol import Param

__all__ = ["OIWall"]


class OIWall(Planned):
    """Sell a credit spread whose short strike is the wall of open interest.

    Rules. The side is the one written more: calls while PCR is below ``pcr_pivot``, else
    puts. The wall is the primary wall of the open-interest levels, which itself changes
    only with hysteresis; it must then stand unchanged for ``confirm`` snapshots, at least
    ``distance`` percent of the forward away. Sell the option at the wall, buy the one
    ``width`` strikes further out, when the credit is at least ``min_credit`` of the width.
    Leave when the forward comes within ``breach`` percent of the short strike, when the
    wall has moved outward for ``confirm`` snapshots, at the stop, at the profit, or at
    the exit time. At most two trades a day; the loss is bounded by the width.
    """

    name = "oi-wall"
    hypothesis = (
        "Writers who hold the largest open interest at a strike defend it, so price closes beyond a standing wall less "
        "often than the credit implies. Untested intraday on Indian weeklies. Not a promise."
    )
    trades_a_day = 2
    params: ClassVar[dict[str, Param]] = {
        **COMMON,
        "width": Param(default=4, unit="strikes", doc="distance of the bought wing", low=1, high=40),
        "confirm": Param(default=5, unit="snapshots", doc="how long a wall must stand, or stay away", low=1, high=500),
        "distance": Param(default=0.3, unit="percent of forward", doc="least distance of the wall", low=0.0, high=10.0),
        "breach": Param(
            default=0.1, unit="percent of strike", doc="distance of the forward that closes", low=0.0, high=5.0
        ),
        "min_credit": Param(default=0.02, unit="of width", doc="least credit", low=0.0, high=1.0),
        "pcr_pivot": Param(
            default=1.0, unit="ratio", doc="calls are sold below, puts from here on", low=0.1, high=10.0
        ),
        "stop": Param(default=1.5, unit="of credit", doc="loss that closes", low=0.05, high=20.0),
        "take": Param(default=0.6, unit="of credit", doc="profit that closes", low=0.01, high=1.0),
    }

    def _new_day(self, day: str) -> None:
        super()._new_day(day)
        self.walls: dict[str, float] = {"CE": math.nan, "PE": math.nan}
        self.stood: dict[str, int] = {"CE": 0, "PE": 0}
        self.side = ""
        self.strike = math.nan
        self.outward = 0

    def watch(self, view: View) -> None:
        """Count for how many snapshots each wall has stood."""
        chain = self._chain(view)
        levels = None if chain is None else view.levels(chain.expiry)
        for side, key in (("CE", "ce_wall"), ("PE", "pe_wall")):
            wall = math.nan if levels is None else float(levels.get(key, math.nan))
            self.stood[side] = self.stood[side] + 1 if wall == self.walls[side] else 1
            self.walls[side] = wall

    def choose(self, view: View, chain: ChainSlice) -> dict[str, int]:
        """Sell the spread at the wall of the side that is written more, when every rule holds."""
        levels = view.levels(chain.expiry)
        pcr = math.nan if levels is None else float(levels.get("pcr", math.nan))
        if math.isnan(pcr):
            return {}
        side = "CE" if pcr < self.p["pcr_pivot"] else "PE"
        out = 1 if side == "CE" else -1
        wall = self.walls[side]
        if math.isnan(wall) or self.stood[side] < self.p["confirm"]:
            return {}
        if out * (wall - chain.forward) < self.p["distance"] / 100.0 * chain.forward:
            return {}
        short = int(abs(chain.strikes - wall).argmin())
        wing = short + out * self.p["width"]
        if chain.strikes[short] != wall or not 0 <= wing < len(chain.strikes):
            return {}
        leg = chain.side(side)
        credit = float(leg.bid[short] - leg.ask[wing])
        if not credit >= self.p["min_credit"] * abs(float(chain.strikes[wing]) - wall):
            return {}
        quantity = self.p["lots"] * chain.lot
        self.side, self.strike, self.outward = side, wall, 0
        return {chain.symbol(short, side): -quantity, chain.symbol(wing, side): quantity}

    def leave(self, view: View, chain: ChainSlice, pnl: float) -> str:
        """Leave at a breach, when the wall has moved outward, at the stop or at the profit."""
        out = 1 if self.side == "CE" else -1
        wall = self.walls[self.side]
        self.outward = self.outward + 1 if out * (wall - self.strike) > 0 else 0
        if out * (self.strike - chain.forward) < self.p["breach"] / 100.0 * self.strike:
            return "wall breached"
        if self.outward >= self.p["confirm"]:
            return "wall moved away"
        if pnl <= -self.p["stop"] * self.credit_p / 100.0:
            return "stop"
        if pnl >= self.p["take"] * self.credit_p / 100.0:
            return "profit"
        return ""

    def _kept(self) -> tuple[str, ...]:
        return (*super()._kept(), "walls", "stood", "side", "strike", "outward")

    def state(self) -> dict[str, Any]:
        """Everything the next decision depends on, as JSON-able values."""
        kept = super().state()
        kept["walls"] = {side: None if math.isnan(wall) else wall for side, wall in self.walls.items()}
        kept["strike"] = None if math.isnan(self.strike) else self.strike
        return kept

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state` gave."""
        super().restore(state)
        self.walls = {side: math.nan if wall is None else wall for side, wall in state["walls"].items()}
        self.strike = math.nan if state["strike"] is None else state["strike"]
