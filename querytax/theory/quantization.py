"""Rounded outputs: what rounding hides, and what noise ahead of it gives back.

Values are rounded to whole multiples of the grain; thresholds lie halfway between them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from querytax.theory.law import Given, law
from querytax.theory.numerics import gaussian as _gaussian
from querytax.theory.numerics.floats import Array, Floats, by_region, ratio, square

_DITHER = "fresh normal noise, then rounding, and nothing after it"
_SOURCE = "derived here for Aithal & Li 2022, Lemma 2"


@law(
    "P = min(1, ΔF/Δ)",
    _SOURCE,
    regime="exact for an even place; rounding first and noise, if any, after it",
    value="[0, 1]; rises in gap; falls in grain",
)
def visibility(gap: Given, grain: Given) -> Floats:
    """Probability that a threshold lies between two outputs.

    Where none does, no number of queries shows the sign of the difference.

    >>> round(float(visibility(0.001, 0.004)), 9)
    0.25
    """
    return np.minimum(ratio(gap, grain), 1.0)


def _place(output: Array, grain: Array) -> tuple[Array, Array]:
    """Signed distance to the rounded value, and what is left of it to a threshold."""
    rest = np.fmod(output, grain)
    rest = np.where(rest > 0.5 * grain, rest - grain, rest)
    return rest, 0.5 * grain - np.abs(rest)


# --- Fisher information of a rounded normal, h = Δ/σ ---------------------------------

# From σ/Δ of 1.4 on the place moves no digit: exp(-2π² 1.4²) = 2e-17.
_SMOOTH = 1.0 / 1.4
# The mean over all places in powers of h²; below h = 0.3 the next term is 2e-17.
_STRONG = (
    *(1989823 / 13168189440000, -14951 / 31352832000, 33221 / 18289152000),
    *(-11 / 1244160, 31 / 518400, -1 / 1728, 1 / 144, -1 / 12, 1),
)


def _cell(z: Array, h: Array) -> Array:
    """(φ(z) - φ(z+h))²/(Φ(z+h) - Φ(z)) for a centre z + h/2 >= 0 and h >= 0.3."""
    with np.errstate(over="ignore"):
        middle = h * (z + 0.5 * h)
    start = np.clip(z, -1e100, 1e100)
    end = np.minimum(start + h, 1e100)
    mills = _gaussian.mills(start)
    left = np.exp(-middle) * (_gaussian.mills(end) / mills)
    return _gaussian.pdf(start) / mills * np.expm1(-middle) ** 2 / (1.0 - left)


def _near(reach: int) -> Callable[[Array, Array], Array]:
    def total(h: Array, p: Array) -> Array:
        """Σ over cells, the output a share p of one above the threshold below it."""
        k = np.arange(-reach, reach + 1)
        low, high = (k - p[:, None]) * h[:, None], (k + 1 - p[:, None]) * h[:, None]
        return _cell(np.where(low + high < 0.0, -high, low), h[:, None]).sum(axis=1)

    return total


def _over_places(h: Array) -> Array:
    """h times the mean over all places: a series, or midpoints over half of them."""
    steps = 0.25 * (np.arange(76) + 0.5)

    def middle(h: Array) -> Array:
        start = np.maximum(-0.5 * h, -9.5)[:, None]
        return 0.5 * _cell(start + steps, h[:, None]).sum(axis=1)

    strong = h < 0.3
    return by_region(
        (h,), (strong, lambda h: h * np.polyval(_STRONG, h * h)), (~strong, middle)
    )


def _cells(sigma: Array, grain: Array) -> Array:
    """Δ/σ, inside the range where squares are finite."""
    return np.clip(ratio(grain, sigma), 1e-100, 1e100)


@law(
    "J = Σ_k (φ(z_k) - φ(z_{k+1}))²/(Φ(z_{k+1}) - Φ(z_k)), z_k = ((k - 1/2) Δ - F)/σ",
    _SOURCE,
    regime=f"exact for changes of F small against σ: {_DITHER}",
    value="[0, 1]",
)
def dither_efficiency(output: Given, sigma: Given, grain: Given) -> Floats:
    """Share of the raw output's S that survives noise, then rounding.

    2/π on a threshold and exponentially small between two for weak noise;
    1 - Δ²/(12σ²) for strong noise, which undoes the rounding.

    >>> round(float(dither_efficiency(0.0, 0.25, 1.0)), 6)
    0.256264
    """
    h, p = _cells(sigma, grain), _place(output, grain)[1] / grain
    # Cells beyond ten sigma from the output hold nothing that a nearer one does not.
    share = by_region(
        (h, p),
        (h < _SMOOTH, lambda h, p: _over_places(h) / h),
        ((h >= _SMOOTH) & (h < 1.5), _near(15)),
        ((h >= 1.5) & (h < 3.5), _near(8)),
        (h >= 3.5, _near(4)),
    )
    # Rounding may lift it above 1.
    return np.minimum(share, 1.0)


@law(
    "J = ∫ J(F) dF/Δ over one grain",
    _SOURCE,
    regime=f"exact for an even place and changes of F small against σ: {_DITHER}",
    value="[0, 1]; rises in sigma; falls in grain",
)
def dither_efficiency_mean(sigma: Given, grain: Given) -> Floats:
    """Mean of :func:`dither_efficiency` over outputs spread evenly.

    1.8064 σ/Δ for weak noise.

    >>> round(float(dither_efficiency_mean(0.25, 1.0)), 5)
    0.44879
    """
    share = np.minimum(ratio(sigma, grain), 1e100)
    # Rounding may lift it above 1.
    return np.minimum(share * _over_places(_cells(sigma, grain)), 1.0)


# --- The mean of a rounded normal, in grains: r = σ/Δ, y = F/Δ less what is rounded ---

# Below r of 1/4 thresholds are counted one by one; above it, harmonics.
_WEAK = 0.25
_THRESHOLDS = range(1, 5)
_HARMONICS = range(1, 7)


def _between(p: Array, w: Array) -> Array:
    """Φ(-p+w) - Φ(-p-w)."""
    u, weight = _gaussian.legendre(20)
    x = np.minimum(w, 1.0)[:, None] * u
    column = np.minimum(p, 1e100)[:, None]
    near = weight * (_gaussian.pdf(column - x) + _gaussian.pdf(column + x))
    return np.where(
        w < 1.0, w * near.sum(axis=1), special.ndtr(w - p) - special.ndtr(-p - w)
    )


def _above(y: Array, r: Array) -> Floats:
    """E round(y + rξ) for 0 <= y <= 1/2 and r < 1/4."""
    return sum(_between((j - 0.5) / r, y / r) for j in _THRESHOLDS)


def _below_threshold(u: Array, r: Array) -> Floats:
    """y - E round(y + rξ), u = 1/2 - y the distance to the threshold, r < 1/4."""
    own = 0.5 * special.erf(u / r / _gaussian.ROOT2) - u
    return sum((_between(j / r, u / r) for j in _THRESHOLDS), start=own)


def _decay(r: Array) -> Array:
    return 2.0 * np.square(np.pi * np.minimum(r, 1e100))


def _harmonics(angle: Array, r: Array, sign: float) -> Floats:
    """Σ sign^(n+1) q^(n²) sin(2πn angle)/(πn), q = exp(-2π²r²)."""
    return sum(
        sign ** (n + 1)
        / (np.pi * n)
        * np.exp(-(n**2) * _decay(r))
        * np.sin(2.0 * np.pi * n * angle)
        for n in _HARMONICS
    )


def _shortfall(y: Array, r: Array) -> Array:
    """y - E round(y + rξ) for 0 <= y <= 1/2; never negative."""
    centre, weak = y < 0.25, r < _WEAK
    return by_region(
        (y, r),
        (weak & centre, lambda y, r: y - _above(y, r)),
        (weak & ~centre, lambda y, r: _below_threshold(0.5 - y, r)),
        (~weak & centre, lambda y, r: _harmonics(y, r, -1.0)),
        (~weak & ~centre, lambda y, r: _harmonics(0.5 - y, r, 1.0)),
    )


def _fold(output: Array, sigma: Array, grain: Array) -> tuple[Array, Array, Array]:
    """Signed distance to the rounded value, its size in grains, and r."""
    rest, _ = _place(output, grain)
    return rest, np.abs(rest) / grain, np.maximum(ratio(sigma, grain), 1e-290)


@law(
    "b = (Δ/π) Σ_n (-1)ⁿ exp(-2π²n²σ²/Δ²) sin(2πnF/Δ)/n",
    _SOURCE,
    regime=f"exact: {_DITHER}",
)
def dither_bias(output: Given, sigma: Given, grain: Given) -> Floats:
    """Mean of a noisy output after rounding, minus the noiseless output.

    >>> round(float(dither_bias(0.25, 0.3, 1.0)), 5)
    -0.05387
    """
    rest, y, r = _fold(output, sigma, grain)
    return -np.sign(rest) * grain * _shortfall(y, r)


@law(
    "E = F + (Δ/π) Σ_n (-1)ⁿ exp(-2π²n²σ²/Δ²) sin(2πnF/Δ)/n",
    _SOURCE,
    regime=f"exact: {_DITHER}",
    value="[0, inf]; rises in output",
)
def dither_mean(output: Given, sigma: Given, grain: Given) -> Floats:
    """Mean of a noisy output after rounding.

    >>> round(float(dither_mean(0.5, 0.1, 1.0)), 9)
    0.5
    """
    rest, y, r = _fold(output, sigma, grain)
    inside = by_region(
        (y, r),
        (r < _WEAK, _above),
        (r >= _WEAK, lambda y, r: y - _shortfall(y, r)),
    )
    return (output - rest) + np.sign(rest) * grain * inside


def _worst_weak(r: Array) -> Floats:
    """Where the density of thresholds, Σ φ((u+j)/r)/r, is 1: by bisection in u/r."""
    low, high = np.zeros_like(r), np.minimum(0.5 / r, 40.0)
    for _ in range(60):
        x = 0.5 * (low + high)
        sides = (np.minimum(np.abs(x + j / r), 1e100) for j in range(-4, 5))
        above = sum(map(_gaussian.pdf, sides)) > r
        low, high = np.where(above, x, low), np.where(above, high, x)
    return _below_threshold(0.5 * (low + high) * r, r)


def _worst_strong(r: Array) -> Floats:
    """Root of Σ q^(n²-1) cos(2πnu) next to u = 1/4, by Newton's steps."""
    angles = [2.0 * np.pi * n for n in _HARMONICS]
    sizes = [np.exp(-(n * n - 1) * _decay(r)) for n in _HARMONICS]
    u = np.full_like(r, 0.25)
    for _ in range(8):
        waves = list(zip(sizes, angles, strict=True))
        value = sum(size * np.cos(angle * u) for size, angle in waves)
        u = u + value / sum(size * angle * np.sin(angle * u) for size, angle in waves)
    return _harmonics(u, r, 1.0)


@law(
    "max over F of |b(F)|; (Δ/π) exp(-2π²σ²/Δ²) for σ of Δ/4 or more",
    _SOURCE,
    regime=f"exact: {_DITHER}; the exponential form is no bound: weak noise exceeds it",
    value="[0, inf]; rises in grain; falls in sigma",
)
def largest_dither_bias(sigma: Given, grain: Given) -> Floats:
    """Largest bias, over all outputs, of the mean of a noisy rounded output.

    >>> round(float(largest_dither_bias(0.2, 1.0)), 4)
    0.1451
    """
    r = np.maximum(ratio(sigma, grain), 1e-290)
    size = by_region((r,), (r < _WEAK, _worst_weak), (r >= _WEAK, _worst_strong))
    return grain * size


# --- Uniform noise of one grain ahead of the rounding --------------------------------

_UNIFORM = "fresh noise, uniform over one grain, then rounding, and nothing after it"
_NON_SUBTRACTIVE = _SOURCE + "; non-subtractive dither"


@law(
    "Var = Δ² f (1 - f), f = F/Δ - ⌊F/Δ⌋",
    _NON_SUBTRACTIVE,
    regime=f"exact: {_UNIFORM}",
    value="[0, inf]",
)
def uniform_dither_variance(output: Given, grain: Given) -> Floats:
    """Variance of an output rounded under uniform noise of one grain.

    Its mean is the output, so that averaging undoes the rounding, unlike that of
    :func:`visibility`. Over all outputs the variance is Δ²/6 on the average, at most
    Δ²/4, and 0 on a rounded value.

    >>> round(float(uniform_dither_variance(0.25, 1.0)), 9)
    0.1875
    """
    rest = np.fmod(output, grain)
    return rest * (grain - rest)


@law(
    "S = 3 (ΔF/Δ)²",
    _NON_SUBTRACTIVE,
    regime="the variance averaged over an even place; what follows from S needs "
    f"averages of many answers; {_UNIFORM}",
    value="[0, inf]; rises in gap; falls in grain",
)
def uniform_dither_snr(gap: Given, grain: Given) -> Floats:
    """Decision SNR of outputs rounded under uniform noise of one grain.

    >>> round(float(uniform_dither_snr(0.1, 1.0)), 9)
    0.03
    """
    return 3.0 * square(ratio(gap, grain))


@law(
    "P = (1 - d + d³/6)/2 for d < 1, (2 - d)³/12 for 1 <= d < 2, 0 beyond; d = ΔF/Δ",
    _NON_SUBTRACTIVE,
    regime=f"exact for an even place; one answer each, a tie counts half; {_UNIFORM}",
    value="[0, 1/2]; rises in grain; falls in gap",
)
def uniform_dither_wrong_sign(gap: Given, grain: Given) -> Floats:
    """Probability that two outputs rounded under uniform noise mislead.

    Plain rounding misleads one pair no more often, (1 - d)/2 for d < 1; but repeats
    tell more under noise, and nothing without it.

    >>> round(float(uniform_dither_wrong_sign(0.1, 1.0)), 6)
    0.450083
    """
    d = ratio(gap, grain)
    low, high = np.minimum(d, 1.0), np.clip(d, 1.0, 2.0)
    near = 0.5 * (1.0 - low + low**3 / 6.0)
    return np.where(d < 1.0, near, (2.0 - high) ** 3 / 12.0)[()]
