"""Fixed-length steps in a budget: against mpmath, against themselves, against walks.

The walks simulate the definition. How near the law comes to them was measured, and is
held here: in the ball within 1.5 % of the displacement for steps up to a tenth of the
radius and within 5 % up to 0.3; in the box, with normal slopes, within 15 % for steps
up to a tenth. A coarse step adds about its own length to the box's plateau, since a
walk sticks to a wall that it was clipped to.
"""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special

from querytax.expect import DomainError
from querytax.theory import convergence
from querytax.theory.convergence import displacement, plateau, steps

from .reference import assert_matches, grid

NORMS = ("Linf", "L2")
DRIFTS = grid(1e-300, 1.0, 20)
STEPS = np.concatenate([grid(1e-300, 1e300, 20, span=2.0), np.geomspace(0.05, 50, 9)])
# Either side of c/a = 0.05, where the series of the box's plateau takes over.
SEAM = [(c, 20.0 * c * (1 + x)) for c in (0.003, 0.5) for x in (-1e-3, -1e-9, 0, 1e-3)]
POINTS = [(c, a) for c in DRIFTS for a in STEPS] + SEAM

drifts = st.floats(1e-6, 1.0)
lengths = st.floats(1e-6, 10.0)
norms = st.sampled_from(NORMS)
shares = st.floats(1e-6, 0.999)


def exact_plateau(c, a, norm):
    """By definition: the stationary mean, or the root of the balance on the sphere.

    The box's coth(k) - 1/k cancels twice the digits of a small k, hence its series.
    """
    if norm == "L2":
        return (-a / (2 * c) + mp.sqrt((a / (2 * c)) ** 2 + 4)) / 2
    k = 2 * c / a
    if k < mp.mpf("1e-20"):
        return k / 3
    if k > 1000:
        return 1 - 1 / k
    with mp.workdps(100):
        return mp.coth(k) - 1 / k


def exact_steps(end, c, a, norm, begin=0):
    """Free flight, then the integral of 1/(dm/dT), in closed form."""
    top = exact_plateau(c, a, norm)
    if end >= top:
        return mp.inf
    free = exact_plateau(c, 2 * a, norm) if norm == "L2" else mp.mpf(0)

    def since_free(m):
        return mp.log((1 + m * top) / (1 - m / top)) / (a * c * (top + 1 / top))

    flight = (min(end, free) - min(begin, free)) / (a * c)
    return flight + since_free(max(end, free)) - since_free(max(begin, free))


@pytest.mark.parametrize("norm", NORMS)
def test_plateau(norm):
    # The exact ball's root cancels as well: 700 digits hold ratios down to 1e-600.
    digits = 1300 if norm == "L2" else 50
    assert_matches(
        lambda c, a: plateau(c, a, norm),
        lambda c, a: exact_plateau(c, a, norm),
        POINTS if norm == "Linf" else POINTS[::3] + SEAM,
        digits=digits,
    )


@pytest.mark.parametrize("norm", NORMS)
def test_steps(norm):
    """To shares of the plateau up to 0.99; nearer, the plateau's own rounding rules."""
    points = []
    for c, a in [(c, a) for c in DRIFTS for a in STEPS if c / a > 1e-300] + SEAM:
        top = float(plateau(c, a, norm))
        points += [(top * share, c, a) for share in (1e-9, 0.3, 0.6, 0.99)]
    points = [p for p in points if p[0] > 1e-290]
    assert len(points) > 500
    assert_matches(
        lambda end, c, a: steps(end, c, a, norm),
        lambda end, c, a: exact_steps(end, c, a, norm),
        points[::5] if norm == "L2" else points,
        digits=700 if norm == "L2" else 60,
        tolerance=2e-12,
    )


@given(drifts, lengths, norms, shares)
def test_displacement_inverts_steps(c, a, norm, share):
    end = float(share * plateau(c, a, norm))
    taken = steps(end, c, a, norm)
    assert np.isfinite(taken)
    assert displacement(taken, c, a, norm) == pytest.approx(end, rel=1e-10)


@given(drifts, lengths, norms, shares, shares)
def test_a_path_is_the_sum_of_its_pieces(c, a, norm, share, middle):
    end = share * plateau(c, a, norm)
    between = end * middle
    whole = steps(between, c, a, norm) + steps(end, c, a, norm, start=between)
    assert whole == pytest.approx(steps(end, c, a, norm), rel=1e-10)


@given(drifts, lengths, norms, shares, st.floats(1.0, 3.0))
def test_monotone_in_every_argument(c, a, norm, share, factor):
    """More drift is faster; farther is longer; a longer walk gets farther."""
    end = share * plateau(c, a, norm)
    base = steps(end, c, a, norm)
    more = min(1.0, c * factor)
    slack = 1 + 1e-9
    assert plateau(c, a, norm) <= plateau(more, a, norm) * slack
    assert plateau(c, a * factor, norm) <= plateau(c, a, norm) * slack
    assert steps(end, more, a, norm) <= base * slack
    assert base <= steps(min(1.0, end * factor), c, a, norm) * slack
    assert steps(end, c, a, norm, start=end / factor) <= base * slack
    reached = displacement(base, c, a, norm)
    assert reached <= displacement(base * factor, c, a, norm) * slack
    assert reached <= displacement(base, more, a, norm) * slack


@pytest.mark.parametrize("norm", NORMS)
def test_far_from_the_wall_the_drift_decides(norm):
    c, a = np.meshgrid([1e-3, 0.1, 1.0], [1e-12, 1e-9, 1e-7])
    np.testing.assert_allclose(steps(1e-4, c, a, norm), 1e-4 / (c * a), rtol=1e-6)
    np.testing.assert_allclose(plateau(c, a, norm), 1.0, atol=1e-4)


def test_diffusion_rules_the_plateau_of_coarse_steps():
    np.testing.assert_allclose(plateau(1e-6, 1.0, "Linf"), 2e-6 / 3, rtol=1e-9)
    np.testing.assert_allclose(plateau(1e-6, 1.0, "L2"), 2e-6, rtol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_beyond_the_plateau_nobody_arrives(norm):
    top = float(plateau(0.01, 0.1, norm))
    ends = np.array([0.0, top * 0.999, top, top * 1.001, 1.0])
    taken = steps(ends, 0.01, 0.1, norm)
    assert taken[0] == 0.0
    assert np.isfinite(taken[:2]).all()
    assert np.isinf(taken[2:]).all()
    assert displacement(1e300, 0.01, 0.1, norm) == pytest.approx(top)
    # Whoever stands beyond it already is driven back, but has arrived where he is.
    assert steps(0.9, 0.01, 0.1, norm, start=0.9) == 0.0
    assert steps(0.95, 0.01, 0.1, norm, start=0.9) == np.inf


@pytest.mark.parametrize("norm", NORMS)
def test_no_drift(norm):
    assert plateau(0.0, 0.1, norm) == 0.0
    assert steps(0.1, 0.0, 0.1, norm) == np.inf
    assert steps(0.0, 0.0, 0.1, norm) == 0.0
    assert displacement(1e6, 0.0, 0.1, norm) == 0.0


@pytest.mark.parametrize("norm", NORMS)
def test_extremes_are_numbers(norm):
    c = DRIFTS[:, None, None]
    a = STEPS[:, None]
    ends = np.array([0.0, 1e-300, 1e-9, 0.5, 1.0])
    taken = steps(ends, c, a, norm)
    assert (taken >= 0).all()
    covered = displacement(np.array([0.0, 1e-300, 1.0, 1e300]), c, a, norm)
    assert ((covered >= 0) & (covered <= 1)).all()
    assert (covered[..., 0] == 0).all()


def test_domains():
    with pytest.raises(DomainError, match="expected start at most the displacement"):
        steps(0.1, 0.5, 0.1, start=0.2)
    with pytest.raises(
        DomainError, match=r"expected displacement in \[0, 1\], got 1.5"
    ):
        steps(1.5, 0.5, 0.1)
    for law, first in ((plateau, ()), (steps, (0.1,)), (displacement, (10.0,))):
        with pytest.raises(DomainError, match=r"expected drift in \[0, 1\], got 2"):
            law(*first, 2.0, 0.1)
        with pytest.raises(DomainError, match="expected step > 0 and finite, got 0"):
            law(*first, 0.5, 0.0)
        with pytest.raises(DomainError, match=r"expected norm .*did you mean 'Linf'"):
            law(*first, 0.5, 0.1, "inf")
    assert convergence.__all__ == ["displacement", "plateau", "steps"]


def walk_in_a_ball(c, a, dimension, count, runs, rng):
    """Unit steps with cosine c to the first axis, projected onto the unit ball."""
    x = np.zeros((runs, dimension))
    path = []
    for _ in range(count):
        move = rng.standard_normal((runs, dimension))
        move[:, 0] = 0.0
        move *= np.sqrt(1 - c * c) / np.linalg.norm(move, axis=1, keepdims=True)
        move[:, 0] = c
        x += a * move
        x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1.0)
        path.append(x[:, 0].mean())
    return np.array(path)


def walk_in_a_box(c, a, dimension, count, rng):
    """Sign steps by noisy normal slopes, clipped; the loss that they have gained.

    The noise is such that a free step gains a share c of what the best one would.
    """
    slope = np.abs(rng.standard_normal(dimension))
    gain = slope / slope.sum()
    noise = optimize.brentq(
        lambda s: gain @ (2 * special.ndtr(slope / s) - 1) - c, 1e-3, 1e5
    )
    right = special.ndtr(slope / noise)
    x = np.zeros(dimension)
    path = []
    for _ in range(count):
        x += a * np.where(rng.random(dimension) < right, 1.0, -1.0)
        np.clip(x, -1.0, 1.0, out=x)
        path.append(gain @ x)
    return np.array(path)


@pytest.mark.parametrize(
    ("c", "a", "within"),
    [(0.5, 0.02, 0.015), (0.1, 0.05, 0.015), (0.05, 0.1, 0.015), (0.3, 0.3, 0.05)],
)
def test_a_walk_in_the_ball(c, a, within):
    """The mean over runs has a standard error below a/sqrt(runs * dimension) sqrt(T),
    at most 0.3 % of the plateau here; the law without free flight was off by 30 %."""
    count = int(2.5 * steps(0.9 * plateau(c, a, "L2"), c, a, "L2"))
    path = walk_in_a_ball(c, a, 400, count, 30, np.random.default_rng(5))
    law = displacement(np.arange(1, count + 1), c, a, "L2")
    error = np.abs(path - law) / np.maximum(law, 0.1 * plateau(c, a, "L2"))
    assert error.max() < within


@pytest.mark.parametrize(
    ("c", "a"), [(0.5, 0.02), (0.2, 0.05), (0.1, 0.1), (0.1, 0.02)]
)
def test_a_walk_in_the_box(c, a):
    """The standard error of the gain is below 1 % of the plateau."""
    count = int(2.5 * steps(0.9 * plateau(c, a), c, a))
    path = walk_in_a_box(c, a, 40_000, count, np.random.default_rng(6))
    law = displacement(np.arange(1, count + 1), c, a)
    error = np.abs(path - law) / np.maximum(law, 0.1 * plateau(c, a))
    assert error.max() < 0.15
