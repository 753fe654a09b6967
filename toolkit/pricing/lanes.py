"""Loads and stores that a vectoriser knows to be apart, and scratch memory on the stack.

LLVM guards a vectorised loop over many arrays by comparing every store's range with every other range, before
each run of the loop: for the Greeks sixty comparisons a block, a tenth of the time. What a stage of a kernel
writes is never what the same stage reads, so :func:`get` and :func:`put` say so (``alias.scope`` metadata, one
scope a stage: what one stage writes and the next one reads stays ordered).
"""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

__all__ = ["get", "put", "scratch"]

WRITES: Final = 6
"""The most arrays a stage writes."""


def _scopes(module: Any, stage: int, names: list[str]) -> Any:
    domain = module.add_metadata([ir.MetaDataString(module, f"toolkit.lanes.{stage}")])
    scopes = [[ir.MetaDataString(module, f"toolkit.lanes.{stage}.{name}"), domain] for name in names]
    return module.add_metadata([module.add_metadata(scope) for scope in scopes])


def _writes(but: int = -1) -> list[str]:
    return [f"write {j}" for j in range(WRITES) if j != but]


def _place(context: Any, builder: Any, kind: Any, row: Any, i: Any) -> Any:
    return builder.gep(make_array(kind)(context, builder, row).data, [i], inbounds=True)


@intrinsic(prefer_literal=True)
def get(context: Any, stage: Any, row: Any, i: Any) -> Any:
    """row[i], in a stage (a number) that writes no memory of ``row``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_place(context, builder, signature.args[1], args[1], args[2]))
        value.align = 8
        value.set_metadata("alias.scope", _scopes(builder.module, stage.literal_value, ["read"]))
        value.set_metadata("noalias", _scopes(builder.module, stage.literal_value, _writes()))
        return value

    return types.float64(stage, row, types.int64), codegen


@intrinsic(prefer_literal=True)
def put(context: Any, stage: Any, column: Any, row: Any, i: Any, value: Any) -> Any:
    """row[i] = value, where the stage reads no memory of ``row`` and writes it as ``column`` (0 to 5) alone."""
    mine = column.literal_value

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        store = builder.store(args[4], _place(context, builder, signature.args[2], args[2], args[3]))
        store.align = 8
        store.set_metadata("alias.scope", _scopes(builder.module, stage.literal_value, [f"write {mine}"]))
        store.set_metadata("noalias", _scopes(builder.module, stage.literal_value, ["read", *_writes(mine)]))
        return context.get_dummy_value()

    return types.void(stage, column, row, types.int64, types.float64), codegen


@intrinsic(prefer_literal=True)
def scratch(context: Any, size: Any) -> Any:
    """``size`` doubles (a constant) yet to be written, on the stack of the kernel: no allocation, no zeros."""
    count = size.literal_value
    kind = types.float64[::1]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        with builder.goto_entry_block():
            memory = builder.alloca(ir.ArrayType(ir.DoubleType(), count))
        memory.align = 64
        array = make_array(kind)(context, builder)
        n, eight = context.get_constant(types.intp, count), context.get_constant(types.intp, 8)
        shape, strides = cgutils.pack_array(builder, [n]), cgutils.pack_array(builder, [eight])
        data = builder.bitcast(memory, array.data.type)
        populate_array(array, data=data, shape=shape, strides=strides, itemsize=eight, meminfo=None)
        return array._getvalue()

    return kind(size), codegen
