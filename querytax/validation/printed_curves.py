"""Forms as papers printed them, as curves for figures beside the true ones.

Nothing here is for use: each stands in a figure as what its paper says. Arguments are
not checked; the laws beside which they are drawn check them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax.theory.numerics.floats import Array, floats

__all__ = [
    "descent_coefficient",
    "factor_density",
    "moment_averaged",
    "moment_lipschitz",
    "negative_factor",
    "ratio_density",
    "snr_5",
]


def _relative(output: npt.ArrayLike, other: npt.ArrayLike, sigma: float) -> Array:
    """σ_Z of Aithal & Li 2022, eq. (4)."""
    return sigma * np.hypot(1.0 / floats(output), 1.0 / floats(other))


def snr_5(output: float, other_output: float, sigma: npt.ArrayLike) -> Array:
    """Aithal & Li 2022, eq. (5), left side: ΔF² F1²/(σ² (F1² + F2²)).

    Examples
    --------
    >>> round(float(snr_5(0.6, 0.59, 0.01)), 4)
    0.5084
    """
    square = np.square(output) + np.square(other_output)
    change = np.square((output - other_output) * output)
    return change / (np.square(floats(sigma)) * square)


def ratio_density(z: npt.ArrayLike, output: float, sigma: float) -> Array:
    """Aithal & Li 2022, Theorem 1: Z ~ N(1, 2σ²/F²), for equal outputs F.

    Examples
    --------
    >>> round(float(ratio_density(1.0, 0.3, 0.1)), 6)
    0.846284
    """
    spread = _relative(output, output, sigma)
    exponent = -0.5 * np.square((floats(z) - 1.0) / spread)
    return np.exp(exponent) / (spread * np.sqrt(2.0 * np.pi))


def factor_density(
    multiplier: npt.ArrayLike,
    output: float,
    other_output: float,
    sigma: float,
    probe: float,
    centre: float = 0.0,
) -> Array:
    """Aithal & Li 2022, eq. (17); with ``centre`` 1 the left-out -1 is restored.

    Examples
    --------
    >>> round(float(factor_density(0.0, 0.3, 0.3, 0.1, 0.1)), 6)
    0.00892
    """
    spread = _relative(output, other_output, sigma)
    z = np.exp(probe * floats(multiplier)) * (other_output / output)
    exponent = -0.5 * np.square((z - centre) / spread)
    return probe * z * np.exp(exponent) / (spread * np.sqrt(2.0 * np.pi))


def negative_factor(
    output: npt.ArrayLike, other_output: npt.ArrayLike, sigma: float
) -> Array:
    """Aithal & Li 2022, Remark 2: P(A < 0) = P(Z < F1/F2) with Z ~ N(1, σ_Z²).

    Examples
    --------
    >>> round(float(negative_factor(0.0100707, 0.01, 0.001)), 4)
    0.52
    """
    spread = _relative(output, other_output, sigma)
    return special.ndtr((floats(output) / floats(other_output) - 1.0) / spread)


def moment_lipschitz(
    lipschitz: float, dimension: int, probe: float, sigma: npt.ArrayLike
) -> Array:
    """RND 2021: E‖g‖² that Theorem 1 implies, L0² d² (1 + √2 σ/μ)².

    Examples
    --------
    >>> float(moment_lipschitz(1.0, 10, 1.0, 0.0))
    100.0
    """
    noise = 1.0 + np.sqrt(2.0) * floats(sigma) / probe
    return np.square(lipschitz * dimension * noise)


def moment_averaged(
    lipschitz: float,
    smoothness: float,
    dimension: int,
    probe: float,
    sigma: float,
    repeats: npt.ArrayLike,
) -> Array:
    """RND 2021: E‖g‖² that Theorem 2 implies, twice (14)'s bracket over L1.

    Examples
    --------
    >>> round(float(moment_averaged(1.0, 0.0, 10, 1.0, 1.0, 4)), 9)
    200.0
    """
    m = floats(repeats)
    alpha = sigma / probe
    first = lipschitz**2 * dimension**2 * (1.0 + 4.0 * alpha**2 / m)
    second = 2.0 * sigma * alpha * lipschitz * smoothness * dimension**2.5
    third = (sigma * alpha * smoothness) ** 2 * dimension**3 * (1.0 + 1.0 / m)
    return first + second + third


def descent_coefficient(
    lipschitz: float, dimension: int, probe: float, sigma: npt.ArrayLike
) -> Array:
    """RND 2021, Theorem 1: L0³ d^{5/2} (1/(2μ) + √2 σ/μ² + σ²/μ³).

    Examples
    --------
    >>> float(descent_coefficient(1.0, 4, 1.0, 0.0))
    16.0
    """
    noise = floats(sigma) / probe
    whole = 0.5 + np.sqrt(2.0) * noise + np.square(noise)
    return lipschitz**3 * dimension**2.5 * whole / probe
