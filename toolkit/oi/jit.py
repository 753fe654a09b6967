"""How this room's kernels are compiled: cached, lazily, division by zero as NumPy has it (NaN, never an exception)."""

from __future__ import annotations

from typing import Final

from numba import njit

__all__ = ["kernel", "kernel_fast"]

kernel: Final = njit(cache=True, nogil=True, error_model="numpy")
# reordered sums: only where the result is a sign or a bound, never a published figure
kernel_fast: Final = njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
