"""Elementary and normal-distribution functions that LLVM can vectorise inside a kernel.

No branches, no calls, no tables: the same instructions for a lane of a vector register and for a
scalar, hence the same bits. Coefficients are Chebyshev interpolants computed in 80 digits.
"""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]
from numba import njit, types
from numba.extending import intrinsic

__all__ = [
    "bits",
    "bracket",
    "exp_poly",
    "expm1_poly",
    "fma",
    "from_bits",
    "log_poly",
    "log_ratio",
    "mills",
    "series_long",
    "series_short",
    "touch",
]

SQRT_2PI: Final = 2.5066282746310002
LN2_HI: Final = 0.693147180369123816490
LN2_LO: Final = 1.90821492927058770002e-10
LOG2_E: Final = 1.4426950408889634
ROUNDER: Final = 6755399441055744.0
INT_BASE: Final = 4503599627370496.0
INT_BASE_BITS: Final = 0x4330000000000000
ONE_BITS: Final = 0x3FF0000000000000
SQRT_HALF_BITS: Final = 0x3FE6A09E667F3BCD
MANTISSA: Final = 0x000FFFFFFFFFFFFF


@intrinsic
def fma(context: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return types.float64(types.float64, types.float64, types.float64), codegen


@intrinsic
def bits(context: Any, x: Any) -> Any:
    """The 64 bits of a float as a signed integer."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), codegen


@intrinsic
def from_bits(context: Any, x: Any) -> Any:
    """The float whose 64 bits these are."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), codegen


@intrinsic
def touch(context: Any, row: Any, index: Any) -> Any:
    """Ask for the cache line of ``row[index]`` ahead of use; never faults, whatever the index."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        pointer = builder.bitcast(builder.gep(array.data, [args[1]]), ir.IntType(8).as_pointer())
        i32 = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), i32, i32, i32])
        call = builder.module.globals.get("llvm.prefetch.p0") or ir.Function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(call, [pointer, i32(0), i32(2), i32(1)])
        return context.get_dummy_value()

    return types.void(row, types.intp), codegen


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def reduced(r: float) -> float:
    """e**r - 1 for abs(r) <= ln(2) / 2."""
    p = 2.0914717341716378e-09
    p = fma(p, r, 2.5105259538448494e-08)
    p = fma(p, r, 2.755727357010214e-07)
    p = fma(p, r, 2.7557255297969643e-06)
    p = fma(p, r, 2.4801587325605324e-05)
    p = fma(p, r, 0.0001984126987490126)
    p = fma(p, r, 0.001388888888888373)
    p = fma(p, r, 0.008333333333326112)
    p = fma(p, r, 0.04166666666666667)
    p = fma(p, r, 0.1666666666666667)
    p = fma(p, r, 0.5)
    return fma(p, r * r, r)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def exp_poly(z: float) -> float:
    """e**z for -708 <= z <= 709."""
    t = fma(z, LOG2_E, ROUNDER)
    k = t - ROUNDER
    p = reduced(fma(k, -LN2_LO, fma(k, -LN2_HI, z))) + 1.0
    return p * from_bits((bits(t) << 52) + ONE_BITS)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def expm1_poly(z: float) -> float:
    """e**z - 1 for -708 <= z <= 709, relative precision near 0."""
    t = fma(z, LOG2_E, ROUNDER)
    k = t - ROUNDER
    scale = from_bits((bits(t) << 52) + ONE_BITS)
    return fma(scale, reduced(fma(k, -LN2_LO, fma(k, -LN2_HI, z))), scale - 1.0)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def log_poly(y: float) -> float:
    """ln(y) for positive normal y."""
    i = bits(y) + (ONE_BITS - SQRT_HALF_BITS)
    k = from_bits((i >> 52) | INT_BASE_BITS) - (INT_BASE + 1023.0)
    f = from_bits((i & MANTISSA) + SQRT_HALF_BITS) - 1.0
    u = f / (2.0 + f)
    w = u * u
    p = 0.13089629160674623
    p = fma(p, w, 0.13268485680654427)
    p = fma(p, w, 0.1538625044794019)
    p = fma(p, w, 0.18181795442371984)
    p = fma(p, w, 0.2222222239356661)
    p = fma(p, w, 0.2857142857079543)
    p = fma(p, w, 0.4000000000000089)
    p = fma(p, w, 0.6666666666666666)
    return fma(k, LN2_HI, f - fma(u, f - w * p, -k * LN2_LO))


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def log_ratio(f: float, k: float) -> float:
    """ln(f / k) for positive normal f and k, exact differences where they are near each other."""
    j = ((bits(f) - bits(k)) + 0x4008000000000000) >> 52
    e = from_bits(j | INT_BASE_BITS) - (INT_BASE + 1024.0)
    scaled = k * from_bits((j - 1) << 52)
    u = (f - scaled) / (f + scaled)
    w = u * u
    p = 0.1365426141372305
    p = fma(p, w, 0.1320375159044889)
    p = fma(p, w, 0.15389174135906675)
    p = fma(p, w, 0.18181729869745253)
    p = fma(p, w, 0.22222223148322984)
    p = fma(p, w, 0.2857142856666864)
    p = fma(p, w, 0.40000000000009306)
    p = fma(p, w, 0.6666666666666666)
    return fma(e, LN2_HI, fma(u, 2.0, fma(u * w, p, e * LN2_LO)))


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def mills(z: float) -> float:
    """Mills ratio (1 - Phi(z)) / phi(z) for 0 <= z <= 60."""
    p = 5.045391595359134e-07
    p = fma(p, z, 1.5993776582967492e-05)
    p = fma(p, z, 0.0002480070729391338)
    p = fma(p, z, 0.002450198128501672)
    p = fma(p, z, 0.01697088893086585)
    p = fma(p, z, 0.08581580460171122)
    p = fma(p, z, 0.32053032875358)
    p = fma(p, z, 0.8745832768223701)
    p = fma(p, z, 1.67636226684581)
    p = fma(p, z, 2.058063862083918)
    p = fma(p, z, 1.2533141373155003)
    q = 5.045391595357467e-07
    q = fma(q, z, 1.5993776583006615e-05)
    q = fma(q, z, 0.0002485116120945058)
    q = fma(q, z, 0.0024661919053526656)
    q = fma(q, z, 0.01721788691372935)
    q = fma(q, z, 0.08823401555277022)
    q = fma(q, z, 0.33701023979087036)
    q = fma(q, z, 0.955658797463498)
    q = fma(q, z, 1.965390875733687)
    q = fma(q, z, 2.7843674907941542)
    q = fma(q, z, 2.4399819415059407)
    q = fma(q, z, 1.0)
    return p / q


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def bracket(h: float) -> float:
    """1 - h * mills(h), minus the slope of the Mills ratio, for 0 <= h <= 60."""
    p = 8.061286518858843e-07
    p = fma(p, h, 2.3737106460220634e-05)
    p = fma(p, h, 0.0003447124896256996)
    p = fma(p, h, 0.0031979908395832445)
    p = fma(p, h, 0.020759920728952438)
    p = fma(p, h, 0.09762914286387955)
    p = fma(p, h, 0.333388905635273)
    p = fma(p, h, 0.8027890924898142)
    p = fma(p, h, 1.2543796498718018)
    p = fma(p, h, 1.0)
    q = 8.061286519119714e-07
    q = fma(q, h, 2.373710645481636e-05)
    q = fma(q, h, 0.0003471308760855707)
    q = fma(q, h, 0.0032692021306914127)
    q = fma(q, h, 0.02178922249998771)
    q = fma(q, h, 0.10708066317185586)
    q = fma(q, h, 0.3936348667731364)
    q = fma(q, h, 1.0774755031009318)
    q = fma(q, h, 2.1442611583308047)
    q = fma(q, h, 2.945717168029895)
    q = fma(q, h, 2.507693787187302)
    q = fma(q, h, 1.0)
    return p / q


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def series_short(g: float, q: float, y: float) -> float:
    """(M(h - t) - M(h + t)) / 2t by the odd derivatives of M at h: g = -M'(h), q = h*h, y = t*t <= 1/64."""
    j2 = fma(-q, g, 1.0 - g)
    i3 = fma(2.0, g, -j2)
    j4 = fma(3.0, j2, -q * i3)
    i5 = fma(4.0, i3, -j4)
    j6 = fma(5.0, j4, -q * i5)
    i7 = fma(6.0, i5, -j6)
    j8 = fma(7.0, j6, -q * i7)
    i9 = fma(8.0, i7, -j8)
    j10 = fma(9.0, j8, -q * i9)
    i11 = fma(10.0, i9, -j10)
    p = i11 * 2.505210838544172e-08
    p = fma(p, y, i9 * 2.755731922398589e-06)
    p = fma(p, y, i7 * 0.0001984126984126984)
    p = fma(p, y, i5 * 0.008333333333333333)
    p = fma(p, y, i3 * 0.16666666666666666)
    return fma(p, y, g)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def series_long(g: float, q: float, y: float) -> float:
    """As :func:`series_short` for y <= 9/16; the same bits where y <= 1/64."""
    j2 = fma(-q, g, 1.0 - g)
    i3 = fma(2.0, g, -j2)
    j4 = fma(3.0, j2, -q * i3)
    i5 = fma(4.0, i3, -j4)
    j6 = fma(5.0, j4, -q * i5)
    i7 = fma(6.0, i5, -j6)
    j8 = fma(7.0, j6, -q * i7)
    i9 = fma(8.0, i7, -j8)
    j10 = fma(9.0, j8, -q * i9)
    i11 = fma(10.0, i9, -j10)
    j12 = fma(11.0, j10, -q * i11)
    i13 = fma(12.0, i11, -j12)
    j14 = fma(13.0, j12, -q * i13)
    i15 = fma(14.0, i13, -j14)
    j16 = fma(15.0, j14, -q * i15)
    i17 = fma(16.0, i15, -j16)
    j18 = fma(17.0, j16, -q * i17)
    i19 = fma(18.0, i17, -j18)
    j20 = fma(19.0, j18, -q * i19)
    i21 = fma(20.0, i19, -j20)
    j22 = fma(21.0, j20, -q * i21)
    i23 = fma(22.0, i21, -j22)
    j24 = fma(23.0, j22, -q * i23)
    i25 = fma(24.0, i23, -j24)
    p = i25 * 6.446950284384474e-26
    p = fma(p, y, i23 * 3.868170170630684e-23)
    p = fma(p, y, i21 * 1.9572941063391263e-20)
    p = fma(p, y, i19 * 8.22063524662433e-18)
    p = fma(p, y, i17 * 2.8114572543455206e-15)
    p = fma(p, y, i15 * 7.647163731819816e-13)
    p = fma(p, y, i13 * 1.6059043836821613e-10)
    p = p if y > 0.015625 else 0.0
    p = fma(p, y, i11 * 2.505210838544172e-08)
    p = fma(p, y, i9 * 2.755731922398589e-06)
    p = fma(p, y, i7 * 0.0001984126984126984)
    p = fma(p, y, i5 * 0.008333333333333333)
    p = fma(p, y, i3 * 0.16666666666666666)
    return fma(p, y, g)
