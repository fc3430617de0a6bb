"""Box-Muller in one pass, for draws by the hundred thousand.

The same words give the same draws as `fresh` makes of them with NumPy, but for
rounding. Polynomials in place of library calls let a core work at eight or sixteen
draws at once.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from querytax.kernels import kernel

__all__ = ["box_muller"]


# In float32: with Python's numbers numba would compute in float64.
def _narrow(*numbers: float) -> tuple[np.float32, ...]:
    return tuple(map(np.float32, numbers))


_ONE, _HALF, _MINUS_TWO, _LN2 = _narrow(1.0, 0.5, -2.0, math.log(2.0))
_GAP, _FIRST, _TURN = _narrow(2.0**-31, 2.0**-32, math.pi * 2.0**-31)

# Moshier, Cephes, logf.c and sinf.c. Of log(1 + m), sqrt(1/2) <= 1 + m < sqrt(2):
_L = _narrow(
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
# Of the sine and the cosine between -pi/4 and pi/4:
_S = _narrow(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_C = _narrow(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)

# Bits of a float32: the mantissa's, and sqrt(1/2).
_MANTISSA, _ROOT_HALF = np.int32(23), np.int32(0x3F3504F3)
_SIGNLESS, _EIGHTH, _QUARTERS = np.int32(2**31 - 1), np.int32(2**29), np.int32(30)


@kernel
def box_muller(words: Any, out: Any) -> None:
    """Fill ``out``, float32 and even, with normal draws from as many int32 words.

    The first half of the words makes radii, the second the angles to go with them.
    """
    half = len(out) // 2
    for i in range(half):
        # Whole numbers are narrowed at each step, since numba widens them.
        u = np.float32(np.int32(words[i] & _SIGNLESS)) * _GAP + _FIRST
        # u = 2**e (1 + m)
        bits = np.float32(u).view(np.int32)
        e = np.int32(np.int32(bits - _ROOT_HALF) >> _MANTISSA)
        m = np.int32(bits - np.int32(e << _MANTISSA)).view(np.float32) - _ONE
        p = _L[0]
        p = p * m + _L[1]
        p = p * m + _L[2]
        p = p * m + _L[3]
        p = p * m + _L[4]
        p = p * m + _L[5]
        p = p * m + _L[6]
        p = p * m + _L[7]
        p = p * m + _L[8]
        mm = m * m
        log = np.float32(e) * _LN2 + (m + (mm * m * p - _HALF * mm))
        radius = np.sqrt(_MINUS_TWO * log)
        # Whole quarter turns, and what is left of the angle.
        angle = np.int32(words[half + i])
        quarter = np.int32(np.int32(angle + _EIGHTH) >> _QUARTERS)
        t = np.float32(np.int32(angle - np.int32(quarter << _QUARTERS))) * _TURN
        tt = t * t
        sine = t + t * tt * ((_S[0] * tt + _S[1]) * tt + _S[2])
        cosine = _ONE - _HALF * tt + tt * tt * ((_C[0] * tt + _C[1]) * tt + _C[2])
        first = sine if quarter & 1 else cosine
        second = cosine if quarter & 1 else sine
        out[i] = radius * (-first if (quarter + 1) & 2 else first)
        out[half + i] = radius * (-second if quarter & 2 else second)
