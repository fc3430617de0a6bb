"""How many fixed-length steps an attack needs inside its perturbation budget.

An iterate starts at the centre of the ball of radius eps and takes steps of length
``step`` (a fraction of eps) whose cosine with the useful direction is ``drift``. It
drifts that way, and it diffuses in every other. Far from the wall the drift decides:
the number of steps is displacement/(drift * step), and noise costs the square root of
the best-step ratio. At the wall diffusion pushes back: the displacement settles at a
plateau, and an attack whose target lies beyond it never arrives, however many queries
it has, but by a fluctuation: :func:`first_passage` counts those. A shorter step raises
the plateau, and the attacker who tunes it pays the full best-step ratio. None of the
five papers has this law.

In the box each coordinate steps up with chance (1 + c)/2, else down, and is clipped to
the wall, where it then stands: it is not reflected. Slopes are taken to be equal: the
chance is one for all coordinates. With slopes of a normal law the steep ones are at
their wall while flat ones still diffuse, and the plateau is lower once 2c/a is above
one or so: .53 in place of .58 at c = a = 0.1, .87 in place of .90 at c = 0.1, a = 0.02.
"""

from __future__ import annotations

import numpy as np

from querytax.theory.law import Given, law
from querytax.theory.numerics import convergence as _convergence
from querytax.theory.numerics import soft_wall as _soft_wall
from querytax.theory.numerics.floats import Array, Floats
from querytax.theory.walks import Walk

_SLOPES = "many coordinates, equal slopes in the box, a smooth loss along the way"
_MEAN = (
    _SLOPES + "; mean path: a walk at its plateau fluctuates, and may cross by chance "
    "what the law calls out of reach"
)
_SOURCE = "derived here (walk with drift, clipped at the walls)"
# Longer ones make a staircase.
_FINE = {
    "steps of at most half the radius in the box": (
        lambda step, norm="Linf": (step <= 0.5) | (norm == "L2")
    )
}


@law(
    "L = (1 + a/2) coth((1 + 2/a) atanh c) - a/(2c) in the box where 2/a is "
    "whole, linear in a between, c for a >= 2; root of "
    "2c L³ + a L² - 2c L - a c² in the ball",
    _SOURCE,
    regime=_SLOPES + "; exact for the mean, in the ball as the dimension grows",
    value="[0, 1]; rises in drift; falls in step",
)
def plateau(drift: Given, step: Given, norm: str = "Linf") -> Floats:
    """Displacement at which a walk of fixed steps settles, over the budget.

    >>> float(plateau(0.5, 0.01).round(4)), float(plateau(0.5, 1.0).round(4))
    (0.995, 0.6154)
    """
    find = _convergence.ball if norm == "L2" else _convergence.box_mean
    return find(*np.broadcast_arrays(drift, step))[()]


@law(
    "v = (a²/4) [(1-c²)/c² - k²/sinh²(k atanh c)], k = 1 + 2/a whole; "
    "the mean square is a parabola in a between",
    _SOURCE,
    regime="equal slopes in the box",
    value="[0, 1]",
)
def spread(drift: Given, step: Given) -> Floats:
    """Variance of one coordinate at the plateau of the box, over the radius².

    (1 + a)/3 for weak drift: the walk stands at its walls for a while, and is wider
    than a uniform one.

    >>> float(spread(1e-6, 0.5).round(6)), float(spread(0.5, 0.01).round(6))
    (0.5, 7.5e-05)
    """
    return _convergence.box_variance(*np.broadcast_arrays(drift, step))[()]


@law(
    "n = (D - D₀)/(a c) up to the free way; then D = m(n), in the box "
    "m = L + Σ_j A_j (√(1-c²) cos(jπ/k))^n, k = 1 + 2/a, j < k/2; in the ball "
    "ln[(1 + D L)(1 - D₀/L)/((1 - D/L)(1 + D₀ L))]/rate; infinite for D >= L",
    _SOURCE,
    regime=_MEAN,
    kind="approximation",
    limits=_FINE,
    value="[0, inf]; rises in displacement",
)
def steps(
    displacement: Given,
    drift: Given,
    step: Given,
    start: Given = 0.0,
    norm: str = "Linf",
) -> Floats:
    """Steps until the mean of walks of fixed steps has covered a displacement.

    Real: round up what is taken. Infinite where the displacement lies beyond the
    plateau.

    In the box nothing pushes back for 1/a steps, the displacement c. Later the path is
    the sum over the modes of the chain that do not change their sign at each step, and
    where drift rules so much that they cancel, the Brownian path of the same mean and
    variance against one wall that has the same plateau. Against the exact chain the
    displacement is right to 0.006 of the plateau for steps up to 0.1, to 0.014 up to
    0.3 and to 0.026 up to 0.5; longer ones, a staircase, are off by up to 0.11. Where
    2/a is not whole the plateau is exact and the path to it is the one of a chain of
    real length.

    In the ball the walk is free until it meets the sphere, and from there on the
    distance from the plateau L, as (1 - m/L)/(1 + m L), falls at the rate that a step
    has there: to 0.005 of the plateau for all steps.

    >>> float(steps(0.1, 0.5, 0.001).round(1)), float(steps(0.1, 0.001, 0.1))
    (200.0, inf)
    """
    shape = np.broadcast(displacement, drift, step, start).shape
    walk = Walk(np.broadcast_to(drift, shape), step, norm)
    return walk.steps(displacement, start)[()]


@law(
    "D = m(n), the inverse of steps; n a c on the free way",
    _SOURCE,
    regime=_MEAN,
    kind="approximation",
    limits=_FINE,
    value="[0, 1]; rises in steps",
)
def displacement(drift: Given, step: Given, steps: Given, norm: str = "Linf") -> Floats:
    """Displacement that walks of fixed steps have covered on average.

    The inverse of :func:`steps`, and as accurate.

    >>> float(displacement(steps=10, drift=0.3, step=0.01).round(4))
    0.03
    """
    shape = np.broadcast(drift, step, steps).shape
    return Walk(np.broadcast_to(drift, shape), step, norm).displacement(steps)[()]


def _in_reach(
    displacement: Array,
    drift: Array,
    step: Array,
    dimension: Array,
    gain: float | Array = 1.0,
    norm: str = "Linf",
) -> Floats:
    drift, step = np.broadcast_arrays(drift, step)
    if norm == "L2":
        top = _convergence.ball(drift, step)
        width = _soft_wall.ball_width(top, dimension)
    else:
        top = _convergence.box_mean(drift, step)
        room = _convergence.box_variance(drift, step)
        width = gain * np.sqrt(0.5 * np.pi * room / dimension)
    return displacement <= top + 2.0 * width


@law(
    "n = F(D) - F(D₀), (v(m)/2) F'' + b(m) F' = 1: b the slope of the mean "
    "path up to L, a linear pull above it",
    "derived here (Fokker-Planck equation of the mean of clipped walks)",
    regime=_SLOPES + "; a diffusion of the mean over coordinates",
    kind="approximation",
    limits={
        "dimension >= 10": lambda dimension: dimension >= 10,
        **_FINE,
        "a goal at most two standard deviations above the plateau": _in_reach,
    },
    value="[0, inf]; rises in displacement",
)
def first_passage(
    displacement: Given,
    drift: Given,
    step: Given,
    dimension: Given,
    start: Given = 0.0,
    gain: Given = 1.0,
    norm: str = "Linf",
) -> Floats:
    """Mean steps until a fluctuating walk has first covered a displacement.

    Real; infinite only where the number is beyond the floats. The walk is looked at
    after each step, so that it overshoots: both ends lie farther by 0.5826 of the noise
    of one step.

    Where the plateau is far above, the steps of the mean path; in the box 8 % below
    to 5 % above simulated walks of equal slopes, for d >= 100 and steps up to 0.5, up
    to two standard deviations above the plateau (gain sqrt(2/pi); mean and standard
    error of 150 to 1,500 walks; D/L is the share of the plateau):

    ====  ====  ====  ====  =====  =================
    d     a     c     D/L   law    simulated
    ====  ====  ====  ====  =====  =================
    784   0.1   0.1   0.8   83.24  83.5 +- 0.26
    784   0.1   0.1   1.0   241.4  245.5 +- 1.8
    784   0.1   0.1   1.05  754.8  817.9 +- 24
    784   0.25  0.5   1.0   27.1   26.08 +- 0.18
    784   0.25  0.1   1.1   136    137.9 +- 2.9
    784   0.5   0.1   1.05  18.54  17.9 +- 0.25
    3072  0.25  .057  1.0   53.79  52.94 +- 0.51
    3072  0.25  .057  1.1   174.1  179.2 +- 4.5
    3072  0.25  0.02  1.25  122.8  122.9 +- 2.9
    100   0.25  0.05  1.5   89.77  90.8 +- 1.9
    100   0.1   0.05  1.3   856.3  932.8 +- 24
    784   0.05  0.05  1.0   907.3  915.5 +- 12
    3072  0.02  0.1   1.0   1279   1311 +- 12
    ====  ====  ====  ====  =====  =================

    Of few coordinates up to 16 % above (d = 50, a = 0.5). A step of the whole radius
    is a staircase that no diffusion knows: 9 to 28 % above. Three standard deviations
    above the plateau the law gives a third to all of what is simulated: the edge of the
    box is near. In the ball noise of equal size in all directions is taken for granted:
    within 5 % (d = 400, steps 0.1 to 1, up to 1.5 standard deviations above the
    plateau). A step whose cosine is fixed fluctuates less there, and takes longer above
    the plateau.

    >>> float(first_passage(0.1, 0.1, 0.1, 784).round(1))
    10.3
    """
    shape = np.broadcast(displacement, drift, step, dimension, start, gain).shape
    walk = Walk(np.broadcast_to(drift, shape), step, norm)
    return walk.first_passage(displacement, dimension, gain, start)[()]
