"""From what callers pass to what kernels read: contiguous float64 rows of length n or 1."""

from __future__ import annotations

import math
import sys
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from toolkit.errors import BadData

__all__ = ["BLOCK_FROM", "Floats", "Packed", "check_scalars", "columns", "hand_back", "option_sign", "outputs", "pack"]

Floats = npt.NDArray[np.float64]
Packed = tuple[list[Floats], tuple[int, ...], int]

_SIGNS: Final = {"CE": 1.0, "C": 1.0, "PE": -1.0, "P": -1.0}
_F64: Final = np.dtype(np.float64)
_NOT_NEGATIVE: Final = frozenset({"forward", "strike", "tte", "iv"})
_PLAIN: Final = 0x501  # C-contiguous, aligned, writeable
_COPY: Final = 4096
BLOCK_FROM: Final = 1 << 16
_ZERO: Final = np.zeros(1)


def option_sign(cp: object) -> Any:
    """Turn ``cp`` into +1.0 for a call and -1.0 for a put; numbers pass through as float64.

    Raises
    ------
    BadData
        For text that is not CE, PE, C or P in any case.
    """
    if type(cp) is np.ndarray and cp.dtype is _F64:
        return cp
    if isinstance(cp, str):
        try:
            return _SIGNS[cp.upper()]
        except KeyError:
            raise BadData(f"option type must be CE, PE, C or P, was {cp!r}") from None
    if isinstance(cp, (int, float)):
        return float(cp)
    array = np.asarray(cp)
    kind = array.dtype.kind
    if kind in "fiub":
        return array.astype(np.float64, copy=False)
    words, index = np.unique(array.astype(np.str_), return_inverse=True)
    signs = np.empty(len(words))
    for i, word in enumerate(words.tolist()):
        signs[i] = option_sign(word)
    return signs[index].reshape(array.shape)


def _row(value: Any, name: str) -> Floats:
    try:
        array = np.asarray(value)
        if array.dtype.kind == "O" and array.ndim:
            array = np.asarray([np.nan if x is None else x for x in array.ravel()]).reshape(array.shape)
        if array.dtype.kind not in "fiub":
            raise TypeError
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        raise BadData(f"{name} must be a number or an array of numbers, was {type(value).__name__}") from None


def pack(names: tuple[str, ...], values: tuple[Any, ...]) -> Packed:
    """Broadcast the inputs, the first of which is ``cp``: rows of length n or 1, the shape and n.

    Raises
    ------
    BadData
        When shapes do not broadcast (as NumPy's rules say) or a value is no number.
    """
    shape: tuple[int, ...] = ()
    rows = []
    for value in values:
        kind = type(value)
        if kind is np.ndarray:
            if value.dtype is not _F64 or value.flags.num & _PLAIN != _PLAIN or value.ndim != 1:
                return _pack_any(names, values)
            if value.shape != shape:
                if shape:
                    return _pack_any(names, values)
                shape = value.shape
            rows.append(value)
        elif kind is float or kind is int:
            if value == 0.0:
                rows.append(_ZERO)
            else:
                row = np.empty(1)
                row[0] = value
                rows.append(row)
        else:
            return _pack_any(names, values)
    return rows, shape, shape[0] if shape else 1


class _SameMemory:
    """The memory of a read-only array under a writable name: kernels only read it, numba types it alike."""

    def __init__(self, row: Floats) -> None:
        self.owner = row
        pointer = row.__array_interface__["data"][0]
        self.__array_interface__ = {"shape": row.shape, "typestr": "<f8", "data": (pointer, False), "version": 3}


def _writable(row: Floats) -> Floats:
    if row.flags.writeable and row.flags.aligned:
        return row
    if row.size < _COPY or not row.flags.aligned or sys.byteorder != "little":
        return row.copy()
    return np.asarray(_SameMemory(row))


def _pack_any(names: tuple[str, ...], values: tuple[Any, ...]) -> Packed:
    numbers = (option_sign(values[0]), *values[1:])
    rows = [_row(value, name) for name, value in zip(names, numbers, strict=True)]
    try:
        shape = np.broadcast_shapes(*[row.shape for row in rows])
    except ValueError:
        text = ", ".join(f"{n} {r.shape}" for n, r in zip(names, rows, strict=True) if r.ndim)
        raise BadData(f"shapes do not broadcast: {text}; make them equal or 1 along each axis") from None
    flat = []
    for row in rows:
        if row.ndim == 0:
            flat.append(_writable(row.reshape(1)))
            continue
        full = row if row.shape == shape else np.broadcast_to(row, shape)
        flat.append(_writable(np.ascontiguousarray(full).reshape(-1)))
    return flat, shape, math.prod(shape)


def columns(count: int, n: int) -> tuple[Floats, ...]:
    """``count`` rows of ``n`` values yet to be written.

    Large rows share one block of memory, kept as long as any of them: the system hands out one large block in
    half the time of six small ones. They start at different places of a page, so that they do not contend
    for the same cache sets.
    """
    if n < BLOCK_FROM or count == 1:
        return tuple([np.empty(n) for _ in range(count)])
    pitch = (n + 511 & ~511) + 88
    block = np.empty(count * pitch)
    return tuple([block[i * pitch : i * pitch + n] for i in range(count)])


def outputs(
    names: tuple[str, ...], out: Any, shape: tuple[int, ...], n: int, inputs: list[Floats]
) -> tuple[list[Floats], list[Any]]:
    """Rows the kernel writes, and the arrays to hand back (``out`` itself where given).

    An ``out`` that is not contiguous or shares memory with an input is written through a row of its own.

    Raises
    ------
    BadData
        When ``out`` is not made of writable float64 arrays of the broadcast shape.
    """
    if out is None:
        rows = list(columns(len(names), n))
        return rows, rows if shape == (n,) else [row.reshape(shape) for row in rows]
    given = [out] if len(names) == 1 else list(out)
    if len(given) != len(names):
        raise BadData(f"out must hold {len(names)} arrays ({', '.join(names)}), was {len(given)}")
    rows = []
    for name, array in zip(names, given, strict=True):
        if (
            not isinstance(array, np.ndarray)
            or array.dtype != _F64
            or not array.flags.writeable
            or array.shape != shape
        ):
            raise BadData(
                f"out for {name} must be a writable float64 array of shape {shape},"
                f" was {getattr(array, 'dtype', type(array).__name__)} {getattr(array, 'shape', '')}"
            )
        apart = array.flags.c_contiguous and array.flags.aligned
        if apart and any(np.may_share_memory(array, row) for row in inputs):
            apart = False
        rows.append(array.reshape(-1) if apart else np.empty(n))
    return rows, given


def hand_back(out: Any, rows: list[Floats], given: list[Any], shape: tuple[int, ...]) -> Any:
    """Arrays of the broadcast shape, ``out`` itself where given, floats for scalars."""
    if out is not None:
        for row, array in zip(rows, given, strict=True):
            if not np.may_share_memory(row, array):
                array[...] = row.reshape(array.shape)
        return out if len(rows) == 1 else given
    if shape:
        return given[0] if len(rows) == 1 else given
    values = [float(row[0]) for row in rows]
    return values[0] if len(rows) == 1 else values


def check_scalars(names: tuple[str, ...], rows: list[Floats]) -> None:
    """Refuse scalars outside the domain; NaN passes.

    Raises
    ------
    BadData
        Naming the argument and its value.
    """
    for name, row in zip(names, rows, strict=True):
        value = row[0]
        if name == "cp" and not (value * value == 1.0 or value != value):
            raise BadData(f"cp must be +1, -1, CE, PE, C or P, was {value:g}")
        if value < 0.0 and name in _NOT_NEGATIVE:
            raise BadData(f"{name} must not be negative, was {value:g}")
