"""What output noise costs the defender: how often the argmax changes.

The noise is fresh, normal and independent on every output. The argmax is taken of the
noisy outputs, or of what is released of them: their sizes, or clipped to zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

from querytax import expect
from querytax.theory.law import Given, law
from querytax.theory.numerics import misclassification as _misclassification
from querytax.theory.numerics.floats import Array, Floats, over, ratio
from querytax.theory.relations import log_of

_REGIME = "independent normal noise on every output, then the argmax"
_SOURCE = "Output Randomization 2020, eq. (8) (row B8), whose sum is the union bound"
_Classes: TypeAlias = npt.NDArray[np.intp]
# The inverse of a smaller gap leaves the floats; it counts as a tie.
_TIE = 1e-290


def _gaps(outputs: Array, labels: Array | None) -> tuple[Array, _Classes]:
    """Winner minus each other output, ascending along the last axis; the winner."""
    if outputs.shape[-1] < 2:
        raise expect.DomainError(
            f"expected outputs with two classes or more on the last axis, "
            f"got shape {outputs.shape}"
        )
    if labels is None:
        winner = outputs.argmax(axis=-1)
    elif labels.shape != outputs.shape[:-1] or (labels >= outputs.shape[-1]).any():
        raise expect.DomainError(
            f"expected labels below {outputs.shape[-1]} and of shape "
            f"{outputs.shape[:-1]}, got {labels.max(initial=0.0):.0f} at most and "
            f"shape {labels.shape}"
        )
    else:
        winner = labels.astype(int)
    place = winner[..., None]
    gaps = np.take_along_axis(outputs, place, axis=-1) - outputs
    np.put_along_axis(gaps, place, np.inf, axis=-1)
    return np.sort(gaps, axis=-1)[..., :-1], winner


def _scaled(gaps: Array, sigma: Array) -> Array:
    """Gaps over sigma."""
    return np.copysign(over(np.abs(gaps), sigma[..., None]), gaps)


def _changed(
    outputs: Array,
    sigma: Array,
    labels: Array | None,
    release: str,
    chance: Callable[..., Array] = _misclassification.probability,
) -> Floats:
    gaps, winner = _gaps(outputs, labels)
    rows = _scaled(gaps, sigma)
    released = None
    if release != "raw":
        expect.that(outputs >= 0.0, ">= 0 unless raw", outputs=outputs)
        top = np.take_along_axis(outputs, winner[..., None], axis=-1)[..., 0]
        own, first = (
            np.broadcast_to(part, rows.shape[:-1]).ravel()
            for part in (over(top, sigma), winner == 0)
        )
        released = _misclassification.Released(release == "reflect", own, first)
    value = chance(rows.reshape(-1, rows.shape[-1]), released)
    return value.reshape(rows.shape[:-1])[()]


@law(
    "M = 1 - ∫ φ(z) Π_i Φ(z + ΔF_i/σ) dz",
    _SOURCE,
    regime=_REGIME,
    value="[0, 1]",
)
def misclassification(
    outputs: Given, sigma: Given, labels: Given = None, release: str = "raw"
) -> Floats:
    """Probability that noise makes another class win.

    ΔF_i is the winner's lead over class i. Given the winner's noise z the others are
    independent; 1 - Π is grown class by class from positive terms, so a probability of
    1e-300 keeps its digits.

    Outputs that are reflected or clipped are at least 0. Where all are clipped to zero
    the argmax takes the first class, as numpy and torch do; who breaks that tie in
    another way moves the probability by at most :func:`clipped_tie`.

    >>> round(float(misclassification([0.35, 0.3, 0.3, 0.05], 0.05)), 4)
    0.3663
    >>> round(float(misclassification([0.9, 0.1], 0.5, release="reflect")), 4)
    0.1873
    """
    return _changed(outputs, sigma, labels, release)


log_misclassification = log_of(
    misclassification,
    lambda **given: _changed(**given, chance=_misclassification.log_probability),
)


@law(
    "P = Π_i Φ(-F_i/σ)",
    "derived here, on the clipping of Aithal & Li 2022, Sec. IV-B",
    regime="independent normal noise on every output, then clipping to zero",
    domain={"outputs": "[0, inf)"},
    value="[0, 1]; rises in sigma",
)
def clipped_tie(outputs: Given, sigma: Given) -> Floats:
    """Probability that all outputs are clipped to zero, and all tie.

    The class that the argmax takes then wins so much more often than one that it does
    not: :func:`misclassification` of clipped outputs gives all of it to the first.

    >>> round(float(clipped_tie([0.5, 0.3, 0.2], 0.5)), 4)
    0.015
    """
    return np.exp(special.log_ndtr(-over(outputs, sigma[..., None])).sum(axis=-1))


@law(
    "max_i K_i <= M <= 1 - Π_i (1 - K_i), K_i = Φ(-ΔF_i/(√2 σ))",
    "Output Randomization 2020, eq. (8); corrected by Slepian's inequality",
    regime=_REGIME,
    kind="bound",
    value="[0, 1]",
)
def misclassification_bounds(outputs: Given, sigma: Given) -> tuple[Floats, Floats]:
    """Closed-form bounds on :func:`misclassification`, from pairs of classes.

    The nearest class alone, and all classes as if independent (Slepian).

    >>> lower, upper = misclassification_bounds([0.6, 0.3, 0.1], 0.2)
    >>> bool(lower <= misclassification([0.6, 0.3, 0.1], 0.2) <= upper)
    True
    """
    gaps, _ = _gaps(outputs, None)
    pairwise = special.ndtr(-_scaled(gaps, sigma) / np.sqrt(2.0))
    return pairwise[..., 0], -np.expm1(np.log1p(-pairwise).sum(axis=-1))


@law(
    "mean of M over the rows, less the share of noiseless errors",
    "derived here",
    regime=_REGIME,
    tables={"outputs": 2, "labels": 1},
    value="[-1, 1]",
)
def accuracy_loss(
    outputs: Given, sigma: Given, labels: Given = None, release: str = "raw"
) -> Floats:
    """Expected drop of accuracy over a set of rows; noise also mends errors.

    Not monotone in sigma. Never above the mean of :func:`misclassification` without
    labels, which is, and which it is itself without labels.

    >>> round(float(accuracy_loss([[0.9, 0.1], [0.4, 0.6]], 0.1, [0, 0])), 4)
    -0.0393
    """
    wrong = np.mean(_gaps(outputs, labels)[0][..., 0] < 0)
    loss = [
        _changed(outputs, one, labels, release).mean() - wrong for one in sigma.flat
    ]
    return np.reshape(loss, sigma.shape)[()]


@law(
    "σ = ΔF/(√2 |Φ⁻¹(K)|)",
    "Output Randomization 2020, eq. (11); corrected: σ² = ΔF²/(2 Φ⁻¹(K)²)",
    regime="two classes; an upper limit for more",
    value="[0, inf]; rises in gap rate",
)
def two_class_sigma(gap: Given, rate: Given) -> Floats:
    """Noise at which two classes trade places at a given rate.

    >>> round(float(two_class_sigma(0.3, 0.1)) ** 2, 4)
    0.0274
    """
    return ratio(gap, -np.sqrt(2.0) * special.ndtri(rate))


def _lowered(sigma: Array, rate: Array, erring: Callable[[Array], Array]) -> Array:
    """The noise, less the rounding between the logarithm and the rate itself."""
    margin = 1e-15
    while (above := erring(sigma) > rate).any():
        sigma = np.where(above, sigma * (1.0 - margin), sigma)
        margin *= 2.0
    return sigma


@law(
    "largest σ with M(F, σ) <= K",
    "Output Randomization 2020, eq. (11); corrected and for any classes",
    regime=_REGIME,
    value="[0, inf]; rises in rate",
)
def largest_sigma(outputs: Given, rate: Given) -> Floats:
    """Largest noise, row by row, at which the argmax seldom enough changes.

    M increases with sigma, so the answer is its inverse, rounded down: M at the
    answer was evaluated and does not exceed the rate. Up to a rate of 0.49 it lies
    within 1e-12 of itself; closer to 1/2 the rate determines it less and less.

    0 where the two largest outputs tie, to 1e-290: any noise then errs at least
    half the time.

    >>> round(float(largest_sigma([0.65, 0.35], 0.1)), 6)
    0.165528
    """
    gaps, _ = _gaps(outputs, None)
    shape, others = np.broadcast_shapes(gaps.shape[:-1], rate.shape), gaps.shape[-1]
    rows = np.broadcast_to(gaps, (*shape, others)).reshape(-1, others)
    flat = np.broadcast_to(rate, shape).ravel()
    result = np.zeros(flat.size)
    open_ = np.flatnonzero(rows[:, 0] > _TIE)
    rows, flat = rows[open_], flat[open_]
    target, nearest = special.ndtri(flat), rows[:, 0]

    # In 1/sigma, Φ⁻¹(M) is a straight line for two classes and nearly so for more.
    def excess(inverse: Array, row: _misclassification.Rows) -> Array:
        log = _misclassification.log_probability(rows[row] * inverse[:, None])
        return special.ndtri_exp(log) - target[row]

    low = -np.sqrt(2.0) * target / nearest
    high = -np.sqrt(2.0) * special.ndtri(flat / others) / nearest * (1.0 + 1e-13)
    result[open_] = _lowered(
        1.0 / _misclassification.smallest(excess, low, high, 5e-13),
        flat,
        lambda sigma: _misclassification.probability(rows / sigma[:, None]),
    )
    return result.reshape(shape)[()]


@law(
    "largest σ with mean of M(F, σ) over the rows <= K",
    "derived here",
    regime=_REGIME,
    tables={"outputs": 2},
    value="[0, inf]",
)
def largest_sigma_mean(
    outputs: Given, rate: Given, relative_tolerance: Given = 1e-6
) -> float:
    """Largest noise at which the argmax changes at most at a mean rate.

    The mean increases with sigma; the answer is rounded down, and the mean at the
    answer was evaluated and does not exceed the rate. The accuracy then drops by no
    more than the rate, whatever the labels.

    0 if ties alone already exceed the rate at any noise.

    >>> sigma = largest_sigma_mean([[0.9, 0.1], [0.6, 0.4]], 0.01)
    >>> round(sigma, 5), bool(misclassification([0.6, 0.4], sigma) <= 0.02)
    (0.06886, True)
    """
    gaps = _gaps(outputs, None)[0].reshape(-1, outputs.shape[-1] - 1)
    tied = np.count_nonzero(gaps <= _TIE, axis=1)
    if np.mean(tied / (1.0 + tied)) >= rate:
        return 0.0
    target = special.ndtri(rate)

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
    sigma = _lowered(
        1.0 / _misclassification.smallest(excess, low, high, relative_tolerance),
        rate,
        lambda sigma: _misclassification.probability(gaps / sigma).mean(),
    )
    return float(sigma[0])
