"""From what callers pass to what kernels read: contiguous float64 rows and steps of 0 or 1."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from toolkit.errors import BadData

__all__ = ["Floats", "Packed", "option_sign", "outputs", "pack"]

Floats = npt.NDArray[np.float64]
Packed = tuple[list[Floats], int, tuple[int, ...], int]

_SIGNS: Final = {"CE": 1.0, "C": 1.0, "PE": -1.0, "P": -1.0}
_F64: Final = np.dtype(np.float64)


def option_sign(cp: object) -> Any:
    """Turn ``cp`` into +1.0 for a call and -1.0 for a put; numbers pass through.

    Raises
    ------
    BadData
        For text that is not CE, PE, C or P in any case.
    """
    if isinstance(cp, str):
        try:
            return _SIGNS[cp.upper()]
        except KeyError:
            raise BadData(f"option type must be CE, PE, C or P, was {cp!r}") from None
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
    if type(value) is np.ndarray and value.dtype == _F64 and value.dtype.isnative:
        return value
    if isinstance(value, (int, float)):
        return np.array(value, dtype=np.float64)
    try:
        array = np.asarray(value)
        if array.dtype.kind == "O":
            array = np.asarray([np.nan if x is None else x for x in array.ravel()]).reshape(array.shape)
        if array.dtype.kind not in "fiub":
            raise TypeError
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        raise BadData(f"{name} must be a number or an array of numbers, was {type(value).__name__}") from None


def pack(names: tuple[str, ...], values: tuple[Any, ...]) -> Packed:
    """Broadcast the inputs: one row each (length n, or 1), the steps as bits, the shape and n.

    Raises
    ------
    BadData
        When shapes do not broadcast (as NumPy's rules say) or a value is no number.
    """
    rows = [_row(value, name) for name, value in zip(names, values, strict=True)]
    shape: tuple[int, ...] = ()
    plain = True
    for row in rows:
        if row.ndim and row.shape != shape:
            if shape:
                plain = False
                break
            shape = row.shape
    if not plain or not shape:
        try:
            shape = np.broadcast_shapes(*[row.shape for row in rows])
        except ValueError:
            text = ", ".join(f"{n} {r.shape}" for n, r in zip(names, rows, strict=True) if r.ndim)
            raise BadData(f"shapes do not broadcast: {text}; make them equal or 1 along each axis") from None
    mask = 0
    flat = []
    for i, row in enumerate(rows):
        if row.size == 1 and row.ndim == 0:
            flat.append(row.reshape(1))
            continue
        if row.shape != shape:
            row = np.broadcast_to(row, shape)
        if row.ndim != 1 or not row.flags.c_contiguous:
            row = np.ascontiguousarray(row).reshape(-1)
        flat.append(row)
        mask |= 1 << i
    n = 1
    for size in shape:
        n *= size
    return flat, mask, shape, n


def outputs(
    count: int, names: tuple[str, ...], out: Any, shape: tuple[int, ...], n: int
) -> tuple[list[Floats], list[Any]]:
    """Rows the kernel writes, and the arrays to hand back (``out`` itself where given).

    Raises
    ------
    BadData
        When ``out`` is not made of writable float64 arrays of the broadcast shape.
    """
    if out is None:
        rows = [np.empty(n) for _ in range(count)]
        return rows, [row.reshape(shape) for row in rows]
    given = [out] if count == 1 else list(out)
    if len(given) != count:
        raise BadData(f"out must hold {count} arrays ({', '.join(names)}), was {len(given)}")
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
        contiguous = array.flags.c_contiguous
        rows.append(array.reshape(-1) if contiguous else np.empty(n))
    return rows, given
