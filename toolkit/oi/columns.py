"""Columns of the levels and shifts frames: one order for kernels, tracker, engine and files."""

from __future__ import annotations

from typing import Final

__all__ = ["LEVELS", "LEVEL_INTS", "SHIFTS", "SHIFT_INTS"]

LEVELS: Final = (
    "spot",
    "forward",
    "ce_oi",
    "pe_oi",
    "pcr",
    "pcr_volume",
    "pcr_change",
    "max_pain_lo",
    "max_pain_hi",
    "max_pain",
    "ce_wall",
    "pe_wall",
    "ce_centroid",
    "pe_centroid",
    "pcr_change_bounded",
    "ce_oi_change",
    "pe_oi_change",
    "ce_wall_oi",
    "pe_wall_oi",
    "ce_wall_prominence",
    "pe_wall_prominence",
    "ce_wall_prominence_adj",
    "pe_wall_prominence_adj",
    "ce_max",
    "pe_max",
    "ce_spread",
    "pe_spread",
    "ce_q10",
    "pe_q10",
    "ce_median",
    "pe_median",
    "ce_q90",
    "pe_q90",
    "ce_hhi",
    "pe_hhi",
    "ce_top3_share",
    "pe_top3_share",
    "ce_centroid_window",
    "pe_centroid_window",
    "contracts",
    "fresh",
    "straddle",
    "straddle_strike",
    "straddle_percent",
    "straddle_open",
    "atm_iv",
    "skew",
    "gex",
    "zero_gamma",
    "ce_delta_oi",
    "pe_delta_oi",
)
LEVEL_INTS: Final = frozenset(
    {"ce_oi", "pe_oi", "ce_oi_change", "pe_oi_change", "ce_wall_oi", "pe_wall_oi", "contracts", "fresh"}
)

SHIFTS: Final = (
    "w1",
    "signed",
    "directionality",
    "created",
    "destroyed",
    "moved_right",
    "moved_left",
    "cost",
    "total_before",
    "total_after",
    "centroid_before",
    "centroid_after",
    "step_w1",
    "step_signed",
    "step_created",
    "step_destroyed",
    "step_moved_right",
    "step_moved_left",
)
SHIFT_INTS: Final = frozenset({"created", "destroyed", "total_before", "total_after", "step_created", "step_destroyed"})
