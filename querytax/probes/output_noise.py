"""The attacker's cross-entropy under output noise, integrated instead of sampled.

Cross-entropy reads one noisy number: the label's probability. Its mean and variance
over the noise are functions of that probability alone, so they are tabulated once a
noise level and interpolated. Sampling could not do this: behind reflected noise the
change of the mean is decades below the noise that it hides in.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy.interpolate import CubicHermiteSpline, CubicSpline

from querytax.losses import FLOOR

__all__ = ["CrossEntropyUnderNoise", "cross_entropy_under_noise"]

# Gauss-Legendre nodes of a panel, and standard deviations that the noise reaches:
# beyond 9 lies 2e-19 of it.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_REACH = 9.0


class CrossEntropyUnderNoise:
    """Mean and variance of ``-log`` of a noisy probability, as functions of it.

    Parameters
    ----------
    sigma : float
        Standard deviation of the noise, > 0.
    form : {"raw", "reflect", "clip"}
        How the answer is put back into [0, 1].
    """

    def __init__(self, sigma: float, form: str) -> None:
        grid = _grid(sigma)
        mean, slope, variance = _moments(grid, sigma, form)
        self._mean = CubicHermiteSpline(grid, mean, slope)
        self._slope = CubicSpline(grid, slope)
        self._variance = CubicSpline(grid, variance)
        self._sigma = sigma

    def change(self, plus: np.ndarray, minus: np.ndarray) -> np.ndarray:
        """Mean loss at probability ``plus`` less that at ``minus``."""
        apart = plus - minus
        # The slope varies over sigma, or over the probability where that is larger.
        # On less, the difference of two means would be rounding; the integral of the
        # slope, by Simpson's rule, is not.
        far = np.abs(apart) > 0.1 * self._sigma
        slope = (
            self._slope(plus) + 4.0 * self._slope(0.5 * (plus + minus))
        ) + self._slope(minus)
        return np.where(far, self._mean(plus) - self._mean(minus), slope / 6.0 * apart)

    def mean(self, probability: np.ndarray) -> np.ndarray:
        """Mean loss at a probability."""
        return self._mean(probability)

    def variance(self, probability: np.ndarray) -> np.ndarray:
        """Variance of the loss at a probability."""
        return np.maximum(self._variance(probability), 0.0)


@functools.lru_cache(maxsize=64)
def cross_entropy_under_noise(sigma: float, form: str) -> CrossEntropyUnderNoise:
    """The table for one noise level, made once."""
    return CrossEntropyUnderNoise(sigma, form)


def _grid(sigma: float) -> np.ndarray:
    """Points in [0, 1]: fine on the scale of sigma at both ends, on F's own between."""
    near = sigma * np.linspace(0.0, 12.0, 481)
    between = np.geomspace(12.0 * sigma, 1.0, 400) if 12.0 * sigma < 1.0 else near[:0]
    grid = np.concatenate([near, between, 1.0 - near, [0.0, 1.0]])
    grid = np.unique(grid[(grid >= 0.0) & (grid <= 1.0)])
    # Two families of points may nearly coincide, which a spline does not forgive.
    keep = np.concatenate([[True], np.diff(grid) > 1e-6 * sigma])
    keep[-1] = True
    return grid[keep]


def _moments(
    probability: np.ndarray, sigma: float, form: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E[loss], its derivative and Var[loss] by Gauss-Legendre panels in the answer p.

    The derivative falls on the Gaussian, not on the loss: E[loss z]/sigma. The panels
    end where the integrand has its corners (p = 0, 1 and -1) and shrink towards p = 0,
    where the logarithm is singular.
    """
    graded = np.concatenate([[0.0], np.geomspace(1e-14, 1.0, 36)])
    shape = np.concatenate([-graded[:0:-1], graded])
    mean, slope, variance = (np.empty_like(probability) for _ in range(3))
    for i, f in enumerate(probability):
        low, high = f - _REACH * sigma, f + _REACH * sigma
        edges = [np.linspace(low, high, 13)]
        if low < 0.0 < high:
            edges.append(np.clip(max(-low, high) * shape, low, high))
        edges.append(np.array([e for e in (-1.0, 1.0) if low < e < high]))
        cut = np.unique(np.concatenate(edges))
        half = 0.5 * np.diff(cut)[:, None]
        p = (half * _NODES + 0.5 * (cut[1:] + cut[:-1])[:, None]).ravel()
        z = (p - f) / sigma
        weight = (half * _WEIGHTS).ravel() * np.exp(-0.5 * z**2)
        weight /= sigma * np.sqrt(2.0 * np.pi)
        if form == "clip":
            p = np.clip(p, 0.0, 1.0)
        elif form == "reflect":
            p = np.minimum(np.abs(p), 1.0)
        loss = -np.log(np.maximum(np.abs(p), FLOOR))
        mean[i] = weight @ loss
        # Freed of the mean first: small noise leaves few digits of either otherwise.
        loss -= mean[i]
        slope[i] = (weight * z) @ loss / sigma
        variance[i] = weight @ loss**2
    return mean, slope, variance
