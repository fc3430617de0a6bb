"""The angle between a gradient estimate and the gradient: exact for linear losses.

B directions u ~ N(0, I) are averaged. The cosine is W/√(W² + χ²_{d-1}) with W = ρ χ_B
+ √(1-ρ²) Z, where 1/ρ² = 1 + c σ²/(μ² M): c = 2 for forward differences, each with a
base query of its own; ½ for antithetic ones; and 1 for answers that are centred by
their mean, which costs one direction.
"""

from __future__ import annotations

import numpy as np

from querytax import expect
from querytax.theory.law import Given, law
from querytax.theory.numerics import angle as _angle
from querytax.theory.numerics.floats import Array, Floats, by_region, ratio
from querytax.theory.relations import log_of
from querytax.theory.smoothing import mean_norm

# Noise of one answer's difference over that of one query, and directions it costs.
FORMS = {"forward": (2.0, 0.0), "antithetic": (0.5, 0.0), "centred": (1.0, 1.0)}

_REGIME = "linear loss, normal directions, fresh normal noise on every query"


def _parts(
    probe: Floats, sigma: Floats, directions: Floats, repeats: Floats, differences: str
) -> tuple[Floats, Floats, Floats]:
    """Degrees of freedom of the answers, √(1/ρ² - 1), and ρ."""
    noise, cost = FORMS[differences]
    expect.that(directions > cost, "a whole number >= 2", directions=directions)
    extra = np.minimum(ratio(sigma, probe) * np.sqrt(noise / repeats), 1e300)
    return directions - cost, extra, 1.0 / np.hypot(1.0, extra)


@law(
    "E cos = ρ (κ_B/κ_{d+1}) ₂F₁(1 - B/2, ½; d/2 + 1; ρ²), "
    "1/ρ² = 1 + c σ²/(μ² M), c = 2, ½, 1 with B - 1 for B",
    "derived here; κ is smoothing.mean_norm",
    regime=_REGIME,
    value="[0, 1]; rises in directions probe repeats; falls in dimension sigma",
)
def mean_cosine(
    probe: Given,
    sigma: Given,
    dimension: Given,
    directions: Given,
    repeats: Given = 1,
    differences: str = "forward",
) -> Floats:
    """Mean cosine between a gradient estimate and the gradient.

    With 1/√Q = ∫ exp(-tQ)/√(πt) dt both W and χ integrate out, which leaves
    (ρ κ_B/√(2π)) ∫ cosh^-(d+1)(y) (1 - ρ² tanh² y)^((B-2)/2) dy over the line.

    >>> round(float(mean_cosine(0.01, 0.01, 50, 20)), 6)
    0.339548
    >>> round(float(mean_cosine(0.01, 0.01, 50, 20, differences="antithetic")), 6)
    0.456493
    """
    count, extra, root = _parts(probe, sigma, directions, repeats, differences)
    return _angle.mean(dimension, count, root, np.square(extra * root))


@law(
    "E cos² = ₂F₁((1-B)/2, 1; d/2 + 1; ρ²)/d "
    "+ ρ² (B-1)/(d+2) ₂F₁((3-B)/2, 1; d/2 + 2; ρ²); its root",
    "derived here; drift.plain is ‖E g‖/√E‖g‖² in its place",
    regime=_REGIME,
    value="[0, 1]; rises in directions probe repeats; falls in dimension sigma",
)
def rms_cosine(
    probe: Given,
    sigma: Given,
    dimension: Given,
    directions: Given,
    repeats: Given = 1,
    differences: str = "forward",
) -> Floats:
    """Root-mean-square cosine between a gradient estimate and the gradient.

    A pure guess has 1/√d.

    >>> round(float(rms_cosine(0.01, 0.01, 50, 20)), 6)
    0.357594
    """
    count, extra, root = _parts(probe, sigma, directions, repeats, differences)
    shares = np.square(root), np.square(extra * root)
    arguments = (dimension, count, *shares)
    mean_square = by_region(arguments, (dimension > 0.0, _angle.second))
    return np.minimum(np.sqrt(mean_square), 1.0)


def _log_backwards(
    probe: Array,
    sigma: Array,
    directions: Array,
    repeats: Array,
    differences: str,
) -> Floats:
    count, extra, root = _parts(probe, sigma, directions, repeats, differences)
    integral = by_region((count, root), (count > 0.0, _angle.below))
    share = mean_norm(count) * integral / np.sqrt(2.0 * np.pi)
    with np.errstate(divide="ignore"):
        return _angle.log_power(count, extra) + np.log(share)


@law(
    "P(cos < 0) = ½ I_{1-ρ²}(B/2, ½)",
    "derived here; at B = 1 it is RFD 2024, Theorem 1, in its exact form",
    regime=f"{_REGIME}; any dimension",
    value="[0, 1/2]; rises in sigma; falls in directions probe repeats",
)
def backwards(
    probe: Given,
    sigma: Given,
    directions: Given,
    repeats: Given = 1,
    differences: str = "forward",
) -> Floats:
    """Probability that a gradient estimate points the wrong way.

    A tail of Student's t with B degrees of freedom: W < 0 where -Z/χ_B > ρ/√(1-ρ²).

    >>> round(float(backwards(0.01, 0.01, 1)), 6)
    0.304087
    """
    return np.exp(_log_backwards(probe, sigma, directions, repeats, differences))


log_backwards = log_of(backwards, _log_backwards)
