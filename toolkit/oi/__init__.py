"""Open-interest shift: levels, transport, walls, events, in batch and live by the same kernels.

Arrays in, named tuples out; frames in, frames out; nothing here reads a file or a clock.
"""

from __future__ import annotations

from toolkit.oi.batch import oi_shift
from toolkit.oi.config import Adjustment, OIConfig, Threshold
from toolkit.oi.daily import anchor_rows, day_over_day
from toolkit.oi.engine import OIShiftEngine
from toolkit.oi.gamma import Gex, delta_weighted_oi, gex, zero_gamma
from toolkit.oi.levels import MaxPain, Moments, max_pain, oi_moments, pain_curve, pcr
from toolkit.oi.pictures import detect_events, heatmap, term_structure
from toolkit.oi.positions import participant_positions, roll_over, trapped_writers, writer_class
from toolkit.oi.premium import Skew, Straddle, buildup, skew, straddle
from toolkit.oi.prepare import ChainMatrix, Prepared, chain_matrix, prepare_chain
from toolkit.oi.result import ShiftResult
from toolkit.oi.scores import cusum, robust_z
from toolkit.oi.study import event_study, lead_lag, recall
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
    "OIShiftEngine",
    "Prepared",
    "Shift",
    "ShiftResult",
    "Skew",
    "Straddle",
    "Threshold",
    "Transport",
    "Walls",
    "anchor_rows",
    "buildup",
    "chain_matrix",
    "cusum",
    "day_over_day",
    "delta_weighted_oi",
    "detect_events",
    "event_study",
    "gex",
    "heatmap",
    "lead_lag",
    "max_pain",
    "oi_moments",
    "oi_shift",
    "pain_curve",
    "participant_positions",
    "pcr",
    "prepare_chain",
    "recall",
    "robust_z",
    "roll_over",
    "skew",
    "straddle",
    "term_structure",
    "transport_shift",
    "trapped_writers",
    "walls",
    "warm",
    "wasserstein_shift",
    "writer_class",
    "zero_gamma",
]


def warm() -> None:
    """Compile the kernels into the cache (``make setup`` calls it), by one run over a small generated chain."""
    from toolkit.oi.warming import run_all

    run_all()
