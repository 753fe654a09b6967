"""Reading Python floats and float64 arrays where they lie, from inside a compiled kernel.

numba turns every array argument into a counted reference of its own, 100 to 200 ns each; a chain of 200
strikes takes 1 microsecond to price. A :class:`Cell` is the object itself, borrowed for the call: its type,
and an array's dtype, flags, dimension and length are compared inside the kernel with what
:func:`known` says. The layouts are those of CPython's and NumPy's C interfaces (``PyFloatObject``,
``PyTupleObject``, ``PyDoubleScalarObject``, ``PyArrayObject_fields``); :func:`readable` says whether they hold here.
"""

from __future__ import annotations

import sysconfig
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]
from numba import float64, njit, types
from numba.core import cgutils
from numba.extending import NativeValue, intrinsic, models, register_model, unbox
from numba.np.arrayobj import make_array, populate_array

__all__ = ["CELL", "READ", "WRITE", "address", "items", "known", "part", "readable", "row_at", "word"]

TYPE: Final = 8
VALUE: Final = 16
LENGTH: Final = 16
ITEMS: Final = 24
DATA: Final = 16
DIMENSIONS: Final = 24
SHAPE: Final = 32
DESCR: Final = 56
FLAGS: Final = 64
READ: Final = 0x101  # C-contiguous, aligned
WRITE: Final = 0x501  # and writeable


class Cell(types.Opaque):  # type: ignore[misc, unused-ignore]
    """Any Python object, as the address of what CPython keeps of it."""


CELL: Final = Cell("Cell")
register_model(Cell)(models.OpaqueModel)


@unbox(Cell)
def _borrow(kind: Any, obj: Any, context: Any) -> Any:
    return NativeValue(obj)


@intrinsic
def address(context: Any, cell: Any) -> Any:
    """Where the object lies."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ptrtoint(args[0], ir.IntType(64))

    return types.int64(cell), codegen


@intrinsic
def word(context: Any, at: Any) -> Any:
    """The eight bytes at an address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], ir.IntType(64).as_pointer()))

    return types.int64(types.int64), codegen


@intrinsic
def row_at(context: Any, at: Any, n: Any) -> Any:
    """``n`` doubles at an address as an array that owns nothing."""
    kind = float64[::1]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = make_array(kind)(context, builder)
        eight = context.get_constant(types.intp, 8)
        data = builder.inttoptr(args[0], array.data.type)
        shape, strides = cgutils.pack_array(builder, [args[1]]), cgutils.pack_array(builder, [eight])
        populate_array(array, data=data, shape=shape, strides=strides, itemsize=eight, meminfo=None)
        return array._getvalue()

    return kind(types.int64, types.int64), codegen


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def part(cells: Any, at: int, flags: int) -> Any:
    """Address and length of a float64 row with these flags, or of a float with length -1; else length -2.

    ``at`` is the :func:`address` of the object.
    """
    table = word(address(cells) + DATA)
    kind = word(at + TYPE)
    if kind == word(table + 16):
        same = word(at + DESCR) == word(table + 24)
        plain = (word(at + FLAGS) & flags) == flags and (word(at + DIMENSIONS) & 0xFFFFFFFF) == 1
        if same and plain:
            return word(at + DATA), word(word(at + SHAPE))
    elif kind == word(table) or kind == word(table + 8):
        return at + VALUE, -1
    return 0, -2


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def items(cells: Any, cell: Any, count: int) -> int:
    """Where the items of a tuple of ``count`` objects lie; 0 for anything else."""
    at = address(cell)
    if word(at + TYPE) == word(word(address(cells) + DATA) + 32) and word(at + LENGTH) == count:
        return at + ITEMS
    return 0


def known() -> npt.NDArray[np.int64]:
    """What :func:`part` and :func:`items` compare with: float, numpy.float64, ndarray, the float64 dtype, tuple."""
    return np.array([id(float), id(np.float64), id(np.ndarray), id(np.dtype(np.float64)), id(tuple)], np.int64)


def readable() -> bool:
    """Whether floats and arrays lie in memory as this module reads them."""
    return np.dtype(np.intp).itemsize == 8 and not sysconfig.get_config_var("Py_GIL_DISABLED")
