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
    "density_poly",
    "exp_poly",
    "expm1_poly",
    "fma",
    "from_bits",
    "log_poly",
    "log_ratio",
    "middle_long",
    "middle_short",
    "mills",
    "mills_slope",
    "series_long",
    "series_short",
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
def density_poly(z: float) -> float:
    """e**z / sqrt(2 pi) for -700 <= z <= 0."""
    t = fma(z, LOG2_E, ROUNDER)
    k = t - ROUNDER
    r = fma(k, -LN2_LO, fma(k, -LN2_HI, z))
    w = r * r
    a = 1.0015549490338461e-08
    a = fma(a, w, 1.0993754270176472e-06)
    a = fma(a, w, 7.915521449953357e-05)
    a = fma(a, w, 0.003324519003342391)
    a = fma(a, w, 0.06649038006690547)
    a = fma(a, w, 0.3989422804014327)
    b = 8.343765030255722e-10
    b = fma(b, w, 1.0993761559702677e-07)
    b = fma(b, w, 9.894401805252258e-06)
    b = fma(b, w, 0.0005540865005573396)
    b = fma(b, w, 0.016622595016726364)
    b = fma(b, w, 0.19947114020071635)
    p = fma(fma(b, r, a), r, 0.3989422804014327)
    return from_bits(bits(p) + (bits(t) << 52))


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
    ww = w * w
    p = fma(0.1365426141372305, w, 0.1320375159044889)
    p = fma(p, ww, fma(0.15389174135906675, w, 0.18181729869745253))
    p = fma(p, ww, fma(0.22222223148322984, w, 0.2857142856666864))
    p = fma(p, ww, fma(0.40000000000009306, w, 0.6666666666666666))
    return fma(e, LN2_HI, fma(u, 2.0, fma(u * w, p, e * LN2_LO)))


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def mills(z: float) -> float:
    """Mills ratio (1 - Phi(z)) / phi(z) for 0 <= z <= 60."""
    return mills_slope(z)[0]


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def bracket(h: float) -> float:
    """1 - h * mills(h), minus the slope of the Mills ratio, for 0 <= h <= 60."""
    return mills_slope(h)[1]


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def mills_slope(h: float) -> Any:
    """Mills ratio and minus its slope, 1 - h * mills(h), for 0 <= h <= 60.

    Rational functions r / q and p / q; as p / q = 1 - h * r / q, the denominator is q = p + h * r.
    """
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
    r = 8.061286519119714e-07
    r = fma(r, h, 2.373710645481636e-05)
    r = fma(r, h, 0.00034632474743368484)
    r = fma(r, h, 0.003245465024231192)
    r = fma(r, h, 0.021444510010362013)
    r = fma(r, h, 0.10388267233227261)
    r = fma(r, h, 0.372874946044184)
    r = fma(r, h, 0.9798463602370522)
    r = fma(r, h, 1.8108722526955316)
    r = fma(r, h, 2.142928075540081)
    r = fma(r, h, 1.2533141373155003)
    inverse = 1.0 / fma(h, r, p)
    return r * inverse, p * inverse


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def series_short(g: float, q: float, y: float) -> float:
    """(M(h - t) - M(h + t)) / 2t by the odd derivatives of M at h: g = -M'(h), q = h*h, y = t*t <= 1/64."""
    i3 = fma(q + 3.0, g, -1.0)
    i5 = fma(q + 7.0, i3, -6.0 * g)
    i7 = fma(q + 11.0, i5, -20.0 * i3)
    i9 = fma(q + 15.0, i7, -42.0 * i5)
    i11 = fma(q + 19.0, i9, -72.0 * i7)
    p = i11 * 2.505210838544172e-08
    p = fma(p, y, i9 * 2.7557319223985893e-06)
    p = fma(p, y, i7 * 0.0001984126984126984)
    p = fma(p, y, i5 * 0.008333333333333333)
    p = fma(p, y, i3 * 0.16666666666666666)
    return fma(p, y, g)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def series_long(g: float, q: float, y: float) -> float:
    """As :func:`series_short` for y <= 9/16; the same bits where y <= 1/64."""
    i3 = fma(q + 3.0, g, -1.0)
    i5 = fma(q + 7.0, i3, -6.0 * g)
    i7 = fma(q + 11.0, i5, -20.0 * i3)
    i9 = fma(q + 15.0, i7, -42.0 * i5)
    i11 = fma(q + 19.0, i9, -72.0 * i7)
    i13 = fma(q + 23.0, i11, -110.0 * i9)
    i15 = fma(q + 27.0, i13, -156.0 * i11)
    i17 = fma(q + 31.0, i15, -210.0 * i13)
    i19 = fma(q + 35.0, i17, -272.0 * i15)
    i21 = fma(q + 39.0, i19, -342.0 * i17)
    i23 = fma(q + 43.0, i21, -420.0 * i19)
    i25 = fma(q + 47.0, i23, -506.0 * i21)
    p = i25 * 6.446950284384474e-26
    p = fma(p, y, i23 * 3.868170170630684e-23)
    p = fma(p, y, i21 * 1.9572941063391263e-20)
    p = fma(p, y, i19 * 8.22063524662433e-18)
    p = fma(p, y, i17 * 2.8114572543455206e-15)
    p = fma(p, y, i15 * 7.647163731819816e-13)
    p = fma(p, y, i13 * 1.6059043836821613e-10)
    p = p if y > 0.015625 else 0.0
    p = fma(p, y, i11 * 2.505210838544172e-08)
    p = fma(p, y, i9 * 2.7557319223985893e-06)
    p = fma(p, y, i7 * 0.0001984126984126984)
    p = fma(p, y, i5 * 0.008333333333333333)
    p = fma(p, y, i3 * 0.16666666666666666)
    return fma(p, y, g)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def middle_short(m: float, g: float, h: float, q: float, y: float) -> float:
    """(M(h - t) + M(h + t)) / 2 by the even derivatives of M at h: m = M(h), g = -M'(h), q = h*h, y = t*t <= 1/64."""
    i2 = fma(-h, g, m)
    i4 = fma(q + 5.0, i2, -2.0 * m)
    i6 = fma(q + 9.0, i4, -12.0 * i2)
    i8 = fma(q + 13.0, i6, -30.0 * i4)
    i10 = fma(q + 17.0, i8, -56.0 * i6)
    p = i10 * 2.755731922398589e-07
    p = fma(p, y, i8 * 2.48015873015873e-05)
    p = fma(p, y, i6 * 0.001388888888888889)
    p = fma(p, y, i4 * 0.041666666666666664)
    p = fma(p, y, i2 * 0.5)
    return fma(p, y, m)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def middle_long(m: float, g: float, h: float, q: float, y: float) -> float:
    """As :func:`middle_short` for y <= 9/16; the same bits where y <= 1/64."""
    i2 = fma(-h, g, m)
    i4 = fma(q + 5.0, i2, -2.0 * m)
    i6 = fma(q + 9.0, i4, -12.0 * i2)
    i8 = fma(q + 13.0, i6, -30.0 * i4)
    i10 = fma(q + 17.0, i8, -56.0 * i6)
    i12 = fma(q + 21.0, i10, -90.0 * i8)
    i14 = fma(q + 25.0, i12, -132.0 * i10)
    i16 = fma(q + 29.0, i14, -182.0 * i12)
    i18 = fma(q + 33.0, i16, -240.0 * i14)
    i20 = fma(q + 37.0, i18, -306.0 * i16)
    i22 = fma(q + 41.0, i20, -380.0 * i18)
    i24 = fma(q + 45.0, i22, -462.0 * i20)
    p = i24 * 1.6117375710961184e-24
    p = fma(p, y, i22 * 8.896791392450574e-22)
    p = fma(p, y, i20 * 4.110317623312165e-19)
    p = fma(p, y, i18 * 1.5619206968586225e-16)
    p = fma(p, y, i16 * 4.779477332387385e-14)
    p = fma(p, y, i14 * 1.1470745597729725e-11)
    p = fma(p, y, i12 * 2.08767569878681e-09)
    p = p if y > 0.015625 else 0.0
    p = fma(p, y, i10 * 2.755731922398589e-07)
    p = fma(p, y, i8 * 2.48015873015873e-05)
    p = fma(p, y, i6 * 0.001388888888888889)
    p = fma(p, y, i4 * 0.041666666666666664)
    p = fma(p, y, i2 * 0.5)
    return fma(p, y, m)
