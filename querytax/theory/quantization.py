"""Rounded outputs: what rounding hides, and what noise ahead of it gives back.

Values are rounded to whole multiples of the step; thresholds lie halfway between
them. Each function raises ``DomainError``, naming the parameter, for an argument
outside its stated range.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory import _gaussian
from querytax.theory._floats import Array, Floats, by_region, floats, ratio, square
from querytax.theory.law import law

__all__ = [
    "dither_bias",
    "dither_efficiency",
    "dither_efficiency_mean",
    "dither_mean",
    "largest_dither_bias",
    "uniform_dither_snr",
    "uniform_dither_variance",
    "uniform_dither_wrong_sign",
    "visibility",
]

_GAP = "|ΔF|, difference of the output over a pair, output unit, (0, inf)"
_OUTPUT = "F, noiseless output, output unit, [0, inf)"
_SIGMA = "σ, standard deviation of the noise before rounding, output unit, (0, inf)"
_STEP = "Δ, distance of neighbouring rounded values, output unit, (0, inf)"
_DITHER = "exact: fresh normal noise, then rounding, and nothing after it"
_SOURCE = "derived here for Aithal & Li 2022, Lemma 2"
# From σ/Δ of 1.4 on the phase moves no digit: exp(-2π² 1.4²) = 2e-17.
_SMOOTH = 1.0 / 1.4


def _checked(sigma: npt.ArrayLike, step: npt.ArrayLike) -> tuple[Array, Array]:
    return floats(expect.positive(sigma=sigma)), floats(expect.positive(step=step))


@law(
    formula="P = min(1, |ΔF|/Δ)",
    latex=r"P = \min(1, |\Delta F|/\Delta)",
    symbols={"gap": _GAP, "step": _STEP},
    regime="exact for a uniform phase, rounding first and noise, if any, after it",
    source=_SOURCE,
)
def visibility(gap: npt.ArrayLike, step: npt.ArrayLike) -> Floats:
    """Probability that a threshold lies between two outputs.

    Where none does, no number of queries shows the sign of the difference.

    Parameters
    ----------
    gap : array_like
        Size |ΔF| of the difference, in (0, inf).
    step : array_like
        Step Δ of the rounding, in (0, inf).

    Examples
    --------
    >>> round(float(visibility(0.001, 0.004)), 9)
    0.25
    """
    return np.minimum(ratio(expect.positive(gap=gap), expect.positive(step=step)), 1.0)


# --- Fisher information of a rounded normal ----------------------------------------


def _narrow(z: Array, h: Array) -> Array:
    """(φ(z) - φ(z+h))²/(Φ(z+h) - Φ(z)) for h < 0.72 and a centre c = z + h/2 >= 0.

    Both parts over φ(c): 2 exp(-h²/8) sinh(ch/2), and ∫ exp(-cx - x²/2) dx.
    """
    c = z + 0.5 * h
    u, w = _gaussian.legendre(20)
    half = 0.5 * h
    mass = np.zeros_like(c)
    for node, weight in zip(u, w, strict=True):
        x = half * node
        mass += weight * np.exp(-0.5 * x * x) * np.cosh(c * x)
    y = np.maximum(c * half, 1e-200)
    slope = c * (np.sinh(y) / y) * np.exp(-0.5 * half * half)
    return h * _gaussian.pdf(c) * slope * slope / mass


def _wide(z: Array, h: Array) -> Array:
    """The same for h of 0.7 or more."""
    with np.errstate(over="ignore"):
        fall = -np.expm1(-h * (z + 0.5 * h))
        beyond = np.exp(-h * (z + 0.5 * h))
    start = np.clip(z, 0.0, 1e100)
    end = np.minimum(start + h, 1e100)
    left = beyond * (_gaussian.mills(end) / _gaussian.mills(start))
    outside = _gaussian.pdf(start) / _gaussian.mills(start) * fall**2 / (1.0 - left)
    # A cell that holds the output: nothing cancels in its probability.
    low = np.clip(z, -1e100, 0.0)
    inside = np.square(_gaussian.pdf(low) * fall)
    inside = inside / (special.ndtr(low + h) - special.ndtr(low))
    return np.where(z >= 0.0, outside, inside)


def _by_cells(h: Array, phase: Array) -> Array:
    """Σ over cells, the output a share ``phase`` above the threshold below it."""

    def near(reach: int) -> Callable[[Array, Array], Array]:
        def total(h: Array, phase: Array) -> Array:
            k = np.arange(-reach, reach + 1)
            low, high = (k - phase[:, None]) * h[:, None], (k + 1 - phase[:, None])
            high = high * h[:, None]
            side = np.where(low + high < 0.0, -high, low)
            return _wide(side, h[:, None]).sum(axis=1)

        return total

    # Cells beyond ten sigma from the output hold nothing that a nearer one does not.
    return by_region(
        (h, phase),
        (h < 1.5, near(15)),
        ((h >= 1.5) & (h < 3.5), near(8)),
        (h >= 3.5, near(4)),
    )


def _phase_mean(h: Array) -> Array:
    """∫ over all centres of a cell; half of it, by the midpoint rule."""
    step, count = 0.25, 76
    start = np.maximum(-0.5 * h, -9.5)[:, None]
    z = start + step * (np.arange(count) + 0.5)
    width = np.broadcast_to(h[:, None], z.shape)
    cell = _narrow if h[0] < _SMOOTH else _wide
    return 2.0 * step * cell(z, width).sum(axis=1)


def _steps(sigma: Array, step: Array) -> Array:
    """Δ/σ, inside the range where squares are finite."""
    return np.clip(ratio(step, sigma), 1e-100, 1e100)


@law(
    formula="J = Σ_k (φ(z_k) - φ(z_{k+1}))²/(Φ(z_{k+1}) - Φ(z_k)), z_k = (k - p) Δ/σ",
    latex=r"J = \sum_k \frac{(\varphi(z_k) - \varphi(z_{k+1}))^2}"
    r"{\Phi(z_{k+1}) - \Phi(z_k)},\qquad z_k = (k - p)\,\Delta/\sigma",
    symbols={
        "sigma": _SIGMA,
        "step": _STEP,
        "phase": "p, place of F between two thresholds, fraction of the step, [0, 1]",
    },
    regime=_DITHER + "; changes of F small against σ",
    source=_SOURCE,
)
def dither_efficiency(
    sigma: npt.ArrayLike, step: npt.ArrayLike, phase: npt.ArrayLike
) -> Floats:
    """Share of the raw output's decision SNR that survives noise, then rounding.

    2/π on a threshold and exponentially small between two for weak noise;
    1 - Δ²/(12σ²) for strong noise, which undoes the rounding.

    Parameters
    ----------
    sigma : array_like
        Standard deviation of the noise before rounding, in (0, inf).
    step : array_like
        Step Δ of the rounding, in (0, inf).
    phase : array_like
        Place p of the output between two thresholds, in [0, 1]; 1/2 in the middle.

    Examples
    --------
    >>> round(float(dither_efficiency(0.25, 1.0, 0.5)), 6)
    0.256264
    """
    p = floats(expect.unit(phase=phase))
    h, p = np.broadcast_arrays(_steps(*_checked(sigma, step)), p)
    share = by_region(
        (h, p),
        (h >= _SMOOTH, _by_cells),
        (h < _SMOOTH, lambda h, p: _phase_mean(h) / h),
    )
    # Rounding may lift it above 1.
    return np.minimum(share, 1.0)


@law(
    formula="∫ J(p) dp over 0 < p < 1",
    latex=r"\bar J = \frac{\sigma}{\Delta}\int \frac{(\varphi(z) - \varphi(z + h))^2}"
    r"{\Phi(z + h) - \Phi(z)}\,dz,\qquad h = \Delta/\sigma",
    symbols={"sigma": _SIGMA, "step": _STEP},
    regime=_DITHER + "; changes of F small against σ; uniform phase",
    source=_SOURCE,
)
def dither_efficiency_mean(sigma: npt.ArrayLike, step: npt.ArrayLike) -> Floats:
    """Mean of :func:`dither_efficiency` over outputs spread evenly between thresholds.

    1.8064 σ/Δ for weak noise.

    Parameters
    ----------
    sigma : array_like
        Standard deviation of the noise before rounding, in (0, inf).
    step : array_like
        Step Δ of the rounding, in (0, inf).

    Examples
    --------
    >>> round(float(dither_efficiency_mean(0.25, 1.0)), 5)
    0.44879
    """
    noise, width = _checked(sigma, step)
    h = _steps(noise, width)
    share = np.minimum(ratio(noise, width), 1e100)
    mean = by_region((h,), (h >= _SMOOTH, _phase_mean), (h < _SMOOTH, _phase_mean))
    # Rounding may lift it above 1.
    return np.minimum(share * mean, 1.0)


# --- The mean of a rounded normal, in units of the step -----------------------------

# Below σ/Δ of 1/4 thresholds are counted one by one; above it, harmonics.
_WEAK = 0.25
_THRESHOLDS = 4
_HARMONICS = 6


def _between(p: Array, w: Array) -> Array:
    """Φ(-p+w) - Φ(-p-w)."""
    u, weight = _gaussian.legendre(20)
    x = np.minimum(w, 1.0)[:, None] * u
    column = np.minimum(p, 1e100)[:, None]
    near = weight * (_gaussian.pdf(column - x) + _gaussian.pdf(column + x))
    return np.where(
        w < 1.0, w * near.sum(axis=1), special.ndtr(w - p) - special.ndtr(-p - w)
    )


def _above(y: Array, r: Array) -> Array:
    """E round(y + rξ) for 0 <= y <= 1/2 and r < 1/4."""
    total = np.zeros_like(y)
    for j in range(1, _THRESHOLDS + 1):
        total += _between((j - 0.5) / r, y / r)
    return total


def _below_threshold(u: Array, r: Array) -> Array:
    """y - E round(y + rξ), u = 1/2 - y the distance to the threshold, r < 1/4."""
    total = 0.5 * special.erf(u / r / _gaussian.ROOT2) - u
    for j in range(1, _THRESHOLDS + 1):
        total += _between(j / r, u / r)
    return total


def _harmonics(angle: Array, r: Array, sign: float) -> Array:
    """Σ sign^(n+1) q^(n²) sin(2πn angle)/(πn), q = exp(-2π²r²)."""
    total = np.zeros_like(r)
    decay = 2.0 * np.square(np.pi * np.minimum(r, 1e100))
    for n in range(1, _HARMONICS + 1):
        size = sign ** (n + 1) / (np.pi * n)
        total += size * np.exp(-(n**2) * decay) * np.sin(2.0 * np.pi * n * angle)
    return total


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


def _fold(
    output: npt.ArrayLike, sigma: npt.ArrayLike, step: npt.ArrayLike
) -> tuple[Array, Array, Array, Array, Array]:
    """F, the step, the sign and size of F's distance to its rounded value, and σ/Δ."""
    noise, width = _checked(sigma, step)
    f = floats(expect.nonnegative(output=output))
    f, noise, width = np.broadcast_arrays(f, noise, width)
    rest = np.fmod(f, width)
    rest = np.where(rest > 0.5 * width, rest - width, rest)
    r = np.maximum(ratio(noise, width), 1e-290)
    return f, width, rest, np.abs(rest) / width, r


@law(
    formula="b = (Δ/π) Σ_n (-1)ⁿ exp(-2π²n²σ²/Δ²) sin(2πnF/Δ)/n",
    latex=r"b = \frac{\Delta}{\pi}\sum_{n \ge 1} \frac{(-1)^n}{n}\,"
    r"e^{-2\pi^2 n^2 \sigma^2/\Delta^2} \sin\frac{2\pi n F}{\Delta}",
    symbols={"output": _OUTPUT, "sigma": _SIGMA, "step": _STEP},
    regime=_DITHER,
    source=_SOURCE,
)
def dither_bias(
    output: npt.ArrayLike, sigma: npt.ArrayLike, step: npt.ArrayLike
) -> Floats:
    """Mean of a noisy output after rounding, minus the noiseless output.

    Parameters
    ----------
    output : array_like
        Noiseless output F, in [0, inf).
    sigma : array_like
        Standard deviation of the noise before rounding, in (0, inf).
    step : array_like
        Step Δ of the rounding, in (0, inf).

    Examples
    --------
    >>> round(float(dither_bias(0.25, 0.3, 1.0)), 5)
    -0.05387
    """
    _, width, rest, y, r = _fold(output, sigma, step)
    return -np.sign(rest) * width * _shortfall(y, r)


@law(
    formula="E = F + (Δ/π) Σ_n (-1)ⁿ exp(-2π²n²σ²/Δ²) sin(2πnF/Δ)/n",
    latex=r"\mathbb{E} = F + b(F)",
    symbols={"output": _OUTPUT, "sigma": _SIGMA, "step": _STEP},
    regime=_DITHER,
    source=_SOURCE,
)
def dither_mean(
    output: npt.ArrayLike, sigma: npt.ArrayLike, step: npt.ArrayLike
) -> Floats:
    """Mean of a noisy output after rounding.

    Parameters
    ----------
    output : array_like
        Noiseless output F, in [0, inf).
    sigma : array_like
        Standard deviation of the noise before rounding, in (0, inf).
    step : array_like
        Step Δ of the rounding, in (0, inf).

    Examples
    --------
    >>> round(float(dither_mean(0.5, 0.1, 1.0)), 9)
    0.5
    """
    f, width, rest, y, r = _fold(output, sigma, step)
    inside = by_region(
        (y, r),
        (r < _WEAK, _above),
        (r >= _WEAK, lambda y, r: y - _shortfall(y, r)),
    )
    return (f - rest) + np.sign(rest) * width * inside


def _worst_weak(r: Array) -> Array:
    """Where the density of thresholds, Σ φ((u+j)/r)/r, is 1: by bisection in u/r."""
    low, high = np.zeros_like(r), np.minimum(0.5 / r, 40.0)
    for _ in range(60):
        x = 0.5 * (low + high)
        density = np.zeros_like(r)
        for j in range(-_THRESHOLDS, _THRESHOLDS + 1):
            density += _gaussian.pdf(np.minimum(np.abs(x + j / r), 1e100))
        above = density > r
        low, high = np.where(above, x, low), np.where(above, high, x)
    return _below_threshold(0.5 * (low + high) * r, r)


def _worst_strong(r: Array) -> Array:
    """Root of Σ q^(n²-1) cos(2πnu) next to u = 1/4, by Newton's steps."""
    decay = 2.0 * np.square(np.pi * np.minimum(r, 1e100))
    u = np.full_like(r, 0.25)
    for _ in range(8):
        value, slope = np.zeros_like(r), np.zeros_like(r)
        for n in range(1, _HARMONICS + 1):
            size, angle = np.exp(-(n * n - 1) * decay), 2.0 * np.pi * n
            value += size * np.cos(angle * u)
            slope -= size * angle * np.sin(angle * u)
        u = u - value / slope
    return _harmonics(u, r, 1.0)


@law(
    formula="max over F of |b(F)|; (Δ/π) exp(-2π²σ²/Δ²) for σ of Δ/4 or more",
    latex=r"\max_F |b(F)| \approx \frac{\Delta}{\pi}\,e^{-2\pi^2\sigma^2/\Delta^2}",
    symbols={"sigma": _SIGMA, "step": _STEP},
    regime=_DITHER + "; the exponential form is no bound: weak noise exceeds it",
    source=_SOURCE,
)
def largest_dither_bias(sigma: npt.ArrayLike, step: npt.ArrayLike) -> Floats:
    """Largest bias, over all outputs, of the mean of a noisy rounded output.

    Parameters
    ----------
    sigma : array_like
        Standard deviation of the noise before rounding, in (0, inf).
    step : array_like
        Step Δ of the rounding, in (0, inf).

    Examples
    --------
    >>> round(float(largest_dither_bias(0.2, 1.0)), 4)
    0.1451
    """
    noise, width = np.broadcast_arrays(*_checked(sigma, step))
    r = np.maximum(ratio(noise, width), 1e-290)
    size = by_region((r,), (r < _WEAK, _worst_weak), (r >= _WEAK, _worst_strong))
    return width * size


# --- Uniform noise of one step ahead of the rounding --------------------------------

_UNIFORM = "fresh noise, uniform over one step, then rounding, and nothing after it"


@law(
    formula="Var = Δ² f (1 - f), f = F/Δ - ⌊F/Δ⌋",
    latex=r"\mathrm{Var} = \Delta^2 f (1 - f),\qquad "
    r"f = \frac{F}{\Delta} - \left\lfloor \frac{F}{\Delta} \right\rfloor",
    symbols={"output": _OUTPUT, "step": _STEP},
    regime="exact: " + _UNIFORM,
    source=_SOURCE + "; non-subtractive dither",
)
def uniform_dither_variance(output: npt.ArrayLike, step: npt.ArrayLike) -> Floats:
    """Variance of an output rounded under uniform noise of one step.

    Its mean is the output, so that averaging undoes the rounding, unlike that of
    :func:`visibility`. Over all outputs the variance is Δ²/6 on the average, at most
    Δ²/4, and 0 on a rounded value.

    Parameters
    ----------
    output : array_like
        Noiseless output F, in [0, inf).
    step : array_like
        Step Δ of the rounding and width of the noise, in (0, inf).

    Examples
    --------
    >>> round(float(uniform_dither_variance(0.25, 1.0)), 9)
    0.1875
    """
    f = floats(expect.nonnegative(output=output))
    width = floats(expect.positive(step=step))
    rest = np.fmod(f, width)
    return rest * (width - rest)


@law(
    formula="S = 3 (ΔF/Δ)²",
    latex=r"S = 3\left(\frac{\Delta F}{\Delta}\right)^2",
    symbols={"gap": _GAP, "step": _STEP},
    regime="the variance averaged over a uniform phase; consequences need averages of "
    "many answers; " + _UNIFORM,
    source=_SOURCE + "; non-subtractive dither",
)
def uniform_dither_snr(gap: npt.ArrayLike, step: npt.ArrayLike) -> Floats:
    """Decision SNR of a pair of outputs rounded under uniform noise of one step.

    Parameters
    ----------
    gap : array_like
        Size |ΔF| of the difference, in (0, inf).
    step : array_like
        Step Δ of the rounding and width of the noise, in (0, inf).

    Examples
    --------
    >>> round(float(uniform_dither_snr(0.1, 1.0)), 9)
    0.03
    """
    gap, step = expect.positive(gap=gap), expect.positive(step=step)
    return 3.0 * square(ratio(gap, step))


@law(
    formula="P = (1 - d + d³/6)/2 for d < 1, (2 - d)³/12 for 1 <= d < 2, 0 beyond; "
    "d = |ΔF|/Δ",
    latex=r"P = \begin{cases} \frac{1}{2}\left(1 - d + \frac{d^3}{6}\right) & d < 1 "
    r"\\ \frac{1}{12}(2 - d)^3 & 1 \le d < 2 \\ 0 & 2 \le d \end{cases}"
    r",\qquad d = \frac{|\Delta F|}{\Delta}",
    symbols={"gap": _GAP, "step": _STEP},
    regime="exact for a uniform phase; one answer each, a tie counts half; " + _UNIFORM,
    source=_SOURCE + "; non-subtractive dither",
)
def uniform_dither_wrong_sign(gap: npt.ArrayLike, step: npt.ArrayLike) -> Floats:
    """Probability that one pair of outputs rounded under uniform noise misleads.

    Plain rounding misleads one pair no more often, (1 - d)/2 for d < 1; but repeats
    tell more under noise, and nothing without it.

    Parameters
    ----------
    gap : array_like
        Size |ΔF| of the difference, in (0, inf).
    step : array_like
        Step Δ of the rounding and width of the noise, in (0, inf).

    Examples
    --------
    >>> round(float(uniform_dither_wrong_sign(0.1, 1.0)), 6)
    0.450083
    """
    d = ratio(expect.positive(gap=gap), expect.positive(step=step))
    low, high = np.minimum(d, 1.0), np.clip(d, 1.0, 2.0)
    near = 0.5 * (1.0 - low + low**3 / 6.0)
    return np.where(d < 1.0, near, (2.0 - high) ** 3 / 12.0)[()]
