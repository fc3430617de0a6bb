"""What output noise costs the defender: how often the argmax changes.

The noise is fresh, normal and independent on every output, added before the argmax
is taken and before any folding or clipping. Each function raises ``DomainError``,
naming the parameter, for an argument outside its stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory import _misclassification
from querytax.theory._floats import Array, Floats, ratio
from querytax.theory.law import law

__all__ = [
    "accuracy_loss",
    "largest_sigma",
    "largest_sigma_mean",
    "log_misclassification",
    "misclassification",
    "misclassification_bounds",
    "two_class_sigma",
]

_OUTPUTS = "f, noiseless outputs, classes on the last axis, output unit, finite"
_SIGMA = "σ, standard deviation of the noise on each output, output unit, (0, inf)"
_LABELS = "class that should win, one per row; the argmax where none is given"
_RATE = "K, misclassification rate, probability, (0, 1/2)"
_REGIME = "exact: independent normal noise on every output, then the argmax"
_SOURCE = "Output Randomization 2020, eq. (8) (row B8), whose sum is the union bound"


# The inverse of a smaller gap leaves the floats; it counts as a tie.
_TIE = 1e-290


def _gaps(outputs: npt.ArrayLike, labels: npt.ArrayLike | None) -> Array:
    """Winner minus each other output, ascending along the last axis."""
    values = np.asarray(expect.finite(outputs=outputs), dtype=float)
    if values.ndim == 0 or values.shape[-1] < 2:
        raise expect.DomainError(
            f"expected outputs with two classes or more on the last axis, "
            f"got shape {values.shape}"
        )
    if labels is None:
        winner = values.argmax(axis=-1)
    else:
        winner = np.asarray(expect.integer(0, labels=labels), dtype=int)
        if winner.shape != values.shape[:-1] or (winner >= values.shape[-1]).any():
            raise expect.DomainError(
                f"expected labels below {values.shape[-1]} and of shape "
                f"{values.shape[:-1]}, got {winner.max(initial=0)} at most and shape "
                f"{winner.shape}"
            )
    winner = winner[..., None]
    gaps = np.take_along_axis(values, winner, axis=-1) - values
    np.put_along_axis(gaps, winner, np.inf, axis=-1)
    return np.sort(gaps, axis=-1)[..., :-1]


def _scaled(gaps: Array, sigma: npt.ArrayLike) -> tuple[Array, tuple[int, ...]]:
    """Rows of gaps over sigma, and the shape of the answer."""
    noise = np.asarray(expect.positive(sigma=sigma), dtype=float)
    with np.errstate(over="ignore"):
        scaled = gaps / noise[..., None]
    return scaled.reshape(-1, gaps.shape[-1]), scaled.shape[:-1]


@law(
    formula="M = 1 - ∫ φ(z) Π_i Φ(z + δ_i/σ) dz",
    latex=r"M = 1 - \int \varphi(z) \prod_i \Phi\left(z + \frac{\delta_i}{\sigma}"
    r"\right) dz",
    symbols={"outputs": _OUTPUTS, "sigma": _SIGMA, "labels": _LABELS},
    regime=_REGIME,
    source=_SOURCE,
    tables={"outputs": 1},
)
def misclassification(
    outputs: npt.ArrayLike,
    sigma: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
) -> Floats:
    """Probability that noise makes another class win.

    Parameters
    ----------
    outputs : array_like, shape (..., classes)
        Noiseless outputs, probabilities or logits.
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf); broadcasts
        against the rows.
    labels : array_like of int, optional
        The class that should win in each row; its argmax if left out.

    Notes
    -----
    Given the winner's noise z the others are independent. 1 - Π is grown class by
    class from positive terms, so a probability of 1e-300 keeps its digits.

    Examples
    --------
    >>> round(float(misclassification([0.35, 0.3, 0.3, 0.05], 0.05)), 4)
    0.3663
    """
    rows, shape = _scaled(_gaps(outputs, labels), sigma)
    return _misclassification.probability(rows).reshape(shape)[()]


@law(
    formula="ln M, M = 1 - ∫ φ(z) Π_i Φ(z + δ_i/σ) dz",
    latex=r"\ln M = \ln\left(1 - \int \varphi(z) \prod_i \Phi\left(z + "
    r"\frac{\delta_i}{\sigma}\right) dz\right)",
    symbols={"outputs": _OUTPUTS, "sigma": _SIGMA, "labels": _LABELS},
    regime=_REGIME,
    source=_SOURCE,
    tables={"outputs": 1},
)
def log_misclassification(
    outputs: npt.ArrayLike,
    sigma: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
) -> Floats:
    """Logarithm of :func:`misclassification`, where the probability underflows.

    Parameters
    ----------
    outputs : array_like, shape (..., classes)
        Noiseless outputs, probabilities or logits.
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).
    labels : array_like of int, optional
        The class that should win in each row; its argmax if left out.

    Examples
    --------
    >>> round(float(log_misclassification([0.9, 0.1], 0.001)), 1)
    -160007.3
    """
    rows, shape = _scaled(_gaps(outputs, labels), sigma)
    return _misclassification.log_probability(rows).reshape(shape)[()]


@law(
    formula="max_i K_i <= M <= 1 - Π(1 - K_i), K_i = Φ(-δ_i/(√2 σ))",
    latex=r"\max_i K_i \le M \le 1 - \prod_i (1 - K_i),\qquad "
    r"K_i = \Phi\left(-\frac{\delta_i}{\sqrt{2}\,\sigma}\right)",
    symbols={"outputs": _OUTPUTS, "sigma": _SIGMA},
    regime=_REGIME,
    source="Output Randomization 2020, eq. (8); corrected by Slepian's inequality",
    tables={"outputs": 1},
)
def misclassification_bounds(
    outputs: npt.ArrayLike, sigma: npt.ArrayLike
) -> tuple[Floats, Floats]:
    """Closed-form bounds on :func:`misclassification`, from pairs of classes.

    Parameters
    ----------
    outputs : array_like, shape (..., classes)
        Noiseless outputs, probabilities or logits.
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).

    Returns
    -------
    lower, upper : float or ndarray
        The nearest class alone, and all classes as if independent (Slepian).

    Examples
    --------
    >>> lower, upper = misclassification_bounds([0.6, 0.3, 0.1], 0.2)
    >>> bool(lower <= misclassification([0.6, 0.3, 0.1], 0.2) <= upper)
    True
    """
    rows, shape = _scaled(_gaps(outputs, None), sigma)
    pairwise = special.ndtr(-rows / np.sqrt(2.0))
    upper = -np.expm1(np.log1p(-pairwise).sum(axis=1))
    return pairwise[:, 0].reshape(shape)[()], upper.reshape(shape)[()]


@law(
    formula="mean M(labels, σ) - share of noiseless errors",
    latex=r"\overline{M(y, \sigma)} - \overline{[\arg\max f \ne y]}",
    symbols={"outputs": _OUTPUTS, "labels": _LABELS, "sigma": _SIGMA},
    regime=_REGIME,
    source="derived here",
    tables={"outputs": 2, "labels": 1},
)
def accuracy_loss(
    outputs: npt.ArrayLike, labels: npt.ArrayLike, sigma: npt.ArrayLike
) -> Floats:
    """Expected drop of accuracy over a set of rows; noise also mends some errors.

    Not monotone in sigma. Never above the mean of :func:`misclassification` without
    labels, which is.

    Parameters
    ----------
    outputs : array_like, shape (rows, classes)
        Noiseless outputs, probabilities or logits.
    labels : array_like of int, shape (rows,)
        True classes.
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf); the answer has
        its shape.

    Examples
    --------
    >>> round(float(accuracy_loss([[0.9, 0.1], [0.4, 0.6]], [0, 0], 0.1)), 4)
    -0.0393
    """
    gaps = _gaps(outputs, labels)
    wrong = np.mean(gaps[..., 0] < 0)
    noise = np.asarray(expect.positive(sigma=sigma), dtype=float)
    loss = [
        _misclassification.probability(_scaled(gaps, one)[0]).mean() - wrong
        for one in noise.flat
    ]
    return np.reshape(loss, noise.shape)[()]


@law(
    formula="σ = δ/(√2 |Φ⁻¹(K)|)",
    latex=r"\sigma = \frac{\delta}{\sqrt{2}\,|\Phi^{-1}(K)|}",
    symbols={
        "gap": "δ, first output minus the second, output unit, [0, inf)",
        "rate": _RATE,
    },
    regime="two classes; an upper limit for more",
    source="Output Randomization 2020, eq. (11); corrected: σ² = δ²/(2 Φ⁻¹(K)²)",
)
def two_class_sigma(gap: npt.ArrayLike, rate: npt.ArrayLike) -> Floats:
    """Noise at which two classes trade places at a given rate.

    Parameters
    ----------
    gap : array_like
        First output minus the second, in [0, inf).
    rate : array_like
        Misclassification rate K, in (0, 1/2).

    Examples
    --------
    >>> round(float(two_class_sigma(0.3, 0.1)) ** 2, 4)
    0.0274
    """
    quantile = special.ndtri(np.asarray(expect.error_rate(rate=rate), dtype=float))
    return ratio(expect.nonnegative(gap=gap), -np.sqrt(2.0) * quantile)


@law(
    formula="σ = max{σ: M(f, σ) <= K}",
    latex=r"\sigma = \max\{\sigma : M(f, \sigma) \le K\}",
    symbols={"outputs": _OUTPUTS, "rate": _RATE},
    regime=_REGIME,
    source="Output Randomization 2020, eq. (11); corrected and for any classes",
    tables={"outputs": 1},
)
def largest_sigma(outputs: npt.ArrayLike, rate: npt.ArrayLike) -> Floats:
    """Largest noise, row by row, at which the argmax changes at most at a given rate.

    M increases with sigma, so the answer is its inverse, rounded down: M at the
    answer was evaluated and does not exceed the rate. Up to a rate of 0.49 it lies
    within 1e-12 of itself; closer to 1/2 the rate determines it less and less.

    Parameters
    ----------
    outputs : array_like, shape (..., classes)
        Noiseless outputs, probabilities or logits.
    rate : array_like
        Misclassification rate K, in (0, 1/2); broadcasts against the rows.

    Returns
    -------
    float or ndarray
        0 where the two largest outputs tie, to 1e-290: any noise then errs at least
        half the time.

    Examples
    --------
    >>> round(float(largest_sigma([0.65, 0.35], 0.1)), 6)
    0.165528
    """
    gaps = _gaps(outputs, None)
    wanted = np.asarray(expect.error_rate(rate=rate), dtype=float)
    shape = np.broadcast_shapes(gaps.shape[:-1], wanted.shape)
    others = gaps.shape[-1]
    rows = np.broadcast_to(gaps, (*shape, others)).reshape(-1, others)
    flat = np.broadcast_to(wanted, shape).ravel()
    result = np.zeros(flat.size)
    open_ = np.flatnonzero(rows[:, 0] > _TIE)
    rows, flat = rows[open_], flat[open_]
    target = special.ndtri(flat)

    # In 1/sigma, Φ⁻¹(M) is a straight line for two classes and nearly so for more.
    def excess(inverse: Array, row: _misclassification.Rows) -> Array:
        log = _misclassification.log_probability(rows[row] * inverse[:, None])
        return special.ndtri_exp(log) - target[row]

    nearest = rows[:, 0]
    low = -np.sqrt(2.0) * target / nearest
    high = -np.sqrt(2.0) * special.ndtri(flat / others) / nearest * (1.0 + 1e-13)
    sigma = 1.0 / _misclassification.smallest(excess, low, high, 5e-13)
    # Rounding between the logarithm and the rate itself.
    margin = 1e-15
    while True:
        above = _misclassification.probability(rows / sigma[:, None]) > flat
        if not above.any():
            break
        sigma[above] *= 1.0 - margin
        margin *= 2.0
    result[open_] = sigma
    return result.reshape(shape)[()]


@law(
    formula="σ = max{σ: mean over rows of M(f, σ) <= K}",
    latex=r"\sigma = \max\{\sigma : \overline{M(f, \sigma)} \le K\}",
    symbols={
        "outputs": _OUTPUTS,
        "rate": _RATE,
        "tolerance": "relative tolerance on σ, fraction, (0, 1)",
    },
    regime=_REGIME,
    source="derived here",
    tables={"outputs": 2},
)
def largest_sigma_mean(
    outputs: npt.ArrayLike, rate: float, tolerance: float = 1e-6
) -> float:
    """Largest noise at which the argmax changes at most at a given mean rate.

    The mean increases with sigma; the answer is rounded down, and the mean at the
    answer was evaluated and does not exceed the rate. The accuracy then drops by no
    more than the rate, whatever the labels.

    Parameters
    ----------
    outputs : array_like, shape (rows, classes)
        Noiseless outputs, probabilities or logits.
    rate : float
        Mean misclassification rate K, in (0, 1/2).
    tolerance : float
        Relative tolerance on the answer, in (0, 1).

    Returns
    -------
    float
        0 if ties alone already exceed the rate at any noise.

    Examples
    --------
    >>> sigma = largest_sigma_mean([[0.9, 0.1], [0.6, 0.4]], 0.01)
    >>> round(sigma, 5), bool(misclassification([0.6, 0.4], sigma) <= 0.02)
    (0.06886, True)
    """
    gaps = _gaps(outputs, None).reshape(-1, np.shape(outputs)[-1] - 1)
    expect.probability(tolerance=tolerance)
    wanted = float(expect.error_rate(rate=rate))
    tied = np.count_nonzero(gaps <= _TIE, axis=1)
    if np.mean(tied / (1.0 + tied)) >= wanted:
        return 0.0
    target = special.ndtri(wanted)

    def excess(inverse: Array, _: _misclassification.Rows) -> Array:
        logs = [
            special.logsumexp(_misclassification.log_probability(gaps * one))
            for one in inverse
        ]
        return special.ndtri_exp(np.asarray(logs) - np.log(gaps.shape[0])) - target

    row = np.zeros(1, dtype=np.intp)
    high = np.array([1.0 / np.median(gaps[gaps > _TIE])])
    while excess(high, row)[0] > 0:
        high *= 2.0
    low = high
    while excess(low, row)[0] <= 0:
        high, low = low, 0.5 * low
    sigma = 1.0 / _misclassification.smallest(excess, low, high, tolerance)[0]
    margin = 1e-15
    while _misclassification.probability(gaps / sigma).mean() > wanted:
        sigma *= 1.0 - margin
        margin *= 2.0
    return float(sigma)
