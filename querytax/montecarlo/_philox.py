"""Philox4x32-10 and normals from it, written for the vector unit.

Words are 32 bits in uint64. No branch, no table, no state: a loop over samples that
inlines these becomes SIMD code. Own polynomials stand in for libm's logarithm, sine
and cosine, which a vector loop cannot call.
"""

from __future__ import annotations

import math

import numpy as np

from querytax.kernels import inlined

_MASK, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_UP, _DOWN = np.uint64(21), np.uint64(11)
_MANTISSA = np.int64(52)
_ROOT_HALF = np.int64(0x3FE6A09E667F3BCD)


@inlined
def _round(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    p0, p1 = _M0 * c0, _M1 * c2
    return (p1 >> _HALF) ^ c1 ^ k0, p1 & _MASK, (p0 >> _HALF) ^ c3 ^ k1, p0 & _MASK


@inlined
def philox(sample, step, lane, k0, k1):  # type: ignore[no-untyped-def]
    """Four random words of a sample (64 bits), a step and a lane (32 bits each)."""
    c0, c1 = np.uint64(sample) & _MASK, np.uint64(sample) >> _HALF
    c2, c3 = np.uint64(step), np.uint64(lane)
    # Ten rounds by hand: the compiler does not unroll a loop before it vectorises.
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
    k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
    k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
    k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
    k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
    k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
    k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
    k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
    k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
    k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    return _round(c0, c1, c2, c3, k0, k1)


@inlined
def uniform_pair(w0, w1, w2, w3):  # type: ignore[no-untyped-def]
    """Two uniforms in (0, 1), on the midpoints of 2⁻⁵³."""
    a, b = (w0 << _UP) ^ (w1 >> _DOWN), (w2 << _UP) ^ (w3 >> _DOWN)
    unit = 1.1102230246251565e-16
    return (np.float64(np.int64(a)) + 0.5) * unit, (
        np.float64(np.int64(b)) + 0.5
    ) * unit


@inlined
def log(x):  # type: ignore[no-untyped-def]
    """Natural logarithm of a positive normal number, to an ulp (after fdlibm)."""
    bits = np.float64(x).view(np.int64)
    exponent = (bits - _ROOT_HALF) >> _MANTISSA
    f = np.int64(bits - (exponent << _MANTISSA)).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    tail = 0.1531383769920937332 + z * 0.1479819860511658591
    tail = 0.2222219843214978396 + z * (0.1818357216161805012 + z * tail)
    tail = 0.6666666666666735130 + z * (
        0.3999999999940941908 + z * (0.2857142874366239149 + z * tail)
    )
    half, k = 0.5 * f * f, np.float64(exponent)
    low = s * (half + z * tail) + k * 1.90821492927058770002e-10
    return k * 6.93147180369123816490e-01 - ((half - low) - f)


@inlined
def normal_pair(w0, w1, w2, w3):  # type: ignore[no-untyped-def]
    """Two independent standard normals by Box and Muller, out to 8.6 sigma."""
    u, v = uniform_pair(w0, w1, w2, w3)
    radius = math.sqrt(-2.0 * log(u))
    quarter = np.int64(v * 4.0 + 0.5)
    x = (v - np.float64(quarter) * 0.25) * 6.283185307179586
    z = x * x
    odd = -2.50507602534068634195e-08 + z * 1.58969099521155010221e-10
    odd = -1.98412698298579493134e-04 + z * (2.75573137070700676789e-06 + z * odd)
    odd = -1.66666666666666324348e-01 + z * (8.33333333332248946124e-03 + z * odd)
    even = 2.08757232129817482790e-09 + z * -1.13596475577881948265e-11
    even = 2.48015872894767294178e-05 + z * (-2.75573143513906633035e-07 + z * even)
    even = 4.16666666666666019037e-02 + z * (-1.38888888888741095749e-03 + z * even)
    sine, cosine = x + x * z * odd, 1.0 - 0.5 * z + z * z * even
    swap = (quarter & 1) != 0
    a, b = (sine if swap else cosine), (cosine if swap else sine)
    a = -a if ((quarter + 1) & 2) != 0 else a
    b = -b if (quarter & 2) != 0 else b
    return radius * a, radius * b
