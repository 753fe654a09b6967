"""Open-interest shift: levels, transport, walls, events, in batch and live by the same kernels.

Arrays in, named tuples out; frames in, frames out; nothing here reads a file or a clock.
"""

from __future__ import annotations

from toolkit.oi.config import Adjustment, OIConfig, Threshold
from toolkit.oi.gamma import Gex, delta_weighted_oi, gex, zero_gamma
from toolkit.oi.levels import MaxPain, Moments, max_pain, oi_moments, pain_curve, pcr
from toolkit.oi.premium import Skew, Straddle, buildup, skew, straddle
from toolkit.oi.prepare import ChainMatrix, Prepared, chain_matrix, prepare_chain
from toolkit.oi.tracker import LevelTracker
from toolkit.oi.transport import Shift, Transport, transport_shift, wasserstein_shift
from toolkit.oi.walls import Walls, walls

__all__ = [
    "Adjustment",
    "ChainMatrix",
    "Gex",
    "LevelTracker",
    "MaxPain",
    "Moments",
    "OIConfig",
    "Prepared",
    "Shift",
    "Skew",
    "Straddle",
    "Threshold",
    "Transport",
    "Walls",
    "buildup",
    "chain_matrix",
    "delta_weighted_oi",
    "gex",
    "max_pain",
    "oi_moments",
    "pain_curve",
    "pcr",
    "prepare_chain",
    "skew",
    "straddle",
    "transport_shift",
    "walls",
    "wasserstein_shift",
    "zero_gamma",
]
