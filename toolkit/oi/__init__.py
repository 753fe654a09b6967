"""Open-interest shift: levels, transport, walls, events, in batch and live by the same kernels.

Arrays in, named tuples out; frames in, frames out; nothing here reads a file or a clock.
"""

from __future__ import annotations

from toolkit.config import set_numba_cache

set_numba_cache()

from toolkit.oi.config import Adjustment, OIConfig, Threshold  # noqa: E402
from toolkit.oi.gamma import Gex, delta_weighted_oi, gex, zero_gamma  # noqa: E402
from toolkit.oi.levels import MaxPain, Moments, max_pain, oi_moments, pain_curve, pcr  # noqa: E402
from toolkit.oi.premium import Skew, Straddle, buildup, skew, straddle  # noqa: E402
from toolkit.oi.prepare import ChainMatrix, Prepared, chain_matrix, prepare_chain  # noqa: E402
from toolkit.oi.tracker import LevelTracker  # noqa: E402
from toolkit.oi.transport import Shift, Transport, transport_shift, wasserstein_shift  # noqa: E402
from toolkit.oi.walls import Walls, walls  # noqa: E402

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
