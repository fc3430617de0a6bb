"""Fixed-length steps in a budget: against chains, recursions and mpmath.

The references are naive: the chain's chances counted site by site, the path in a ball
of endless dimension step by step, the stationary chances of a clipped walk by their
weights. What simulations of the definition say stands in the tests of Monte-Carlo.
"""

import functools

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from querytax.theory.convergence import (
    displacement,
    first_passage,
    plateau,
    spread,
    steps,
)

from .reference import assert_matches, grid

# Long steps make a staircase, and far above the plateau few walks are simulated.
pytestmark = pytest.mark.filterwarnings("ignore::querytax.theory.law.RegimeWarning")
NORMS = ("Linf", "L2")
DRIFTS = grid(1e-300, 1.0, 20)
STEPS = np.concatenate([grid(1e-300, 1e300, 20, span=2.0), np.geomspace(0.05, 50, 9)])
POINTS = [(c, a) for c in DRIFTS for a in STEPS]

drifts = st.floats(1e-6, 1.0)
lengths = st.floats(1e-6, 10.0)
norms = st.sampled_from(NORMS)
shares = st.floats(1e-6, 0.999)
ends = st.floats(0.0, 1.0)


def exact_plateau(c, a, norm):
    """By definition: the mean over the sites' weights, or the balance on the sphere."""
    if norm == "L2":
        low, high = (c, mp.mpf(1))
        for _ in range(400):
            m = (low + high) / 2
            up = 2 * c * m**3 + a * m**2 - 2 * c * m < a * c * c
            low, high = (m, high) if up else (low, m)
        return low
    return moment(c, a, 1)


def moment(c, a, power):
    """Of the chance weights of the sites that hang from either wall."""
    if c == 1:
        return mp.mpf(1)
    ratio, count = (1 + c) / (1 - c), int(mp.floor(2 / a)) + 1
    total = value = mp.mpf(0)
    for i in range(1, count + 1):
        high, low = ratio**i - 1, 1 - ratio**-i
        place = 1 - (count - i) * a
        total += high + low
        value += place**power * high + (-place) ** power * low
    return value / total


def chain(c, a, count):
    """Mean over the walls' sites after each step, from the centre."""
    n = round(2 / a) + 1
    place, up = np.linspace(-1, 1, n), (1 + c) / 2
    chance, path = np.zeros(n), []
    chance[n // 2] = 1.0
    for _ in range(count):
        high, low = up * chance, (1 - up) * chance
        chance = np.zeros(n)
        chance[1:] += high[:-1]
        chance[-1] += high[-1]
        chance[:-1] += low[1:]
        chance[0] += low[0]
        path.append(chance @ place)
    return np.array(path)


def ball_path(c, a, count):
    """Displacement in a ball of endless dimension, step by step."""
    m, square, path = 0.0, 0.0, []
    for _ in range(count):
        square += 2 * a * c * m + a * a
        m += a * c
        if square > 1.0:
            m, square = m / np.sqrt(square), 1.0
        path.append(m)
    return np.array(path)


def test_plateau_in_the_ball():
    points = [(c, a) for c, a in POINTS[::3] if 1e-60 < a < 1e60 and c > 1e-60]
    assert len(points) > 80
    assert_matches(
        lambda c, a: plateau(c, a, "L2"),
        lambda c, a: exact_plateau(c, a, "L2"),
        points,
        digits=500,
    )


COARSE = [
    (c, a)
    for c in (1e-30, 1e-6, 0.01, 0.1, 0.5, 0.9, 0.999, 1.0)
    for a in (0.013, 0.02, 0.1, 0.27, 0.3, 0.5, 0.8, 1.0, 1.4, 1.99, 2.0, 7.0)
]


def test_plateau_in_the_box():
    """Where 2/a is whole and where it is not."""
    assert_matches(plateau, lambda c, a: moment(c, a, 1), COARSE, digits=200)


def test_spread():
    """Absolutely to 1e-14: with strong drift the mean square takes the rest."""
    with mp.workdps(300):
        for c, a in COARSE:
            c_, a_ = mp.mpf(c), mp.mpf(a)
            exact = moment(c_, a_, 2) - moment(c_, a_, 1) ** 2
            found = float(spread(c, a))
            assert abs(found - float(exact)) < 1e-14 + 1e-12 * float(exact), (c, a)


def test_limits_of_the_plateau():
    a = np.array([1e-9, 1e-3, 0.1, 0.5, 1.0, 2.0])
    np.testing.assert_allclose(spread(1e-14, a), (1 + a) / 3, rtol=1e-9)
    np.testing.assert_allclose(plateau(1e-9, a[1:]), 2e-9 * (1 + a)[1:] / 3 / a[1:])
    np.testing.assert_allclose(plateau(0.3, [2.0, 5.0, 1e300]), 0.3)
    np.testing.assert_allclose(plateau(0.3, 1e300, "L2"), 0.3)
    np.testing.assert_allclose(plateau(0.3, 1e-200), 1.0)


@pytest.mark.parametrize(
    ("a", "within", "strong"),
    [
        (1.0, 0.065, 0.065),
        (0.5, 0.026, 0.026),
        (0.25, 0.01, 0.013),
        (0.1, 2e-3, 6e-3),
        (0.05, 6e-4, 3e-3),
        (0.02, 1.2e-3, 3e-3),
        (0.01, 6e-4, 1.2e-3),
    ],
)
def test_path_in_the_box(a, within, strong):
    """Of the plateau, at each whole step, for c up to 0.5 and for c = 0.9."""
    for c in (0.01, 0.05, 0.2, 0.5, 0.9):
        path = chain(c, a, int(30 + 4 / (a * a + a * c)))
        found = displacement(c, a, np.arange(1, path.size + 1))
        error = np.abs(found - path).max() / plateau(c, a)
        assert error < (strong if c > 0.5 else within), (c, a, error)
        free = np.arange(1, path.size + 1) <= 1.0 / a
        np.testing.assert_allclose(found[free], path[free], rtol=1e-12)


def test_steps_of_the_chain():
    """At shares of the plateau, with the chain read as straight between its steps."""
    for c, a, share, within in (
        (0.1, 0.02, 0.9, 1e-4),
        (0.5, 0.1, 0.9, 1e-2),
        (0.1, 0.25, 0.99, 5e-3),
        (0.1, 0.25, 0.9, 5e-3),
        (0.02, 0.01, 0.99, 1e-4),
        (0.5, 0.02, 0.9, 2e-3),
    ):
        path = np.concatenate([[0.0], chain(c, a, 20_000)])
        exact = np.interp(share * plateau(c, a), path, np.arange(path.size))
        assert steps(share * plateau(c, a), c, a) == pytest.approx(exact, rel=within)
    assert np.ceil(steps(0.6, 0.9, 1.0)) == 1
    assert 36 < steps(0.3, 0.1, 0.25) <= 40


@pytest.mark.parametrize(
    ("a", "within"), [(0.02, 1e-3), (0.1, 1e-3), (0.3, 3e-3), (1.0, 5e-3), (1.5, 5e-3)]
)
def test_path_in_the_ball(a, within):
    """Of the plateau; what is left is the whole step at which it meets the sphere."""
    for c in (0.02, 0.1, 0.5, 0.9):
        path = ball_path(c, a, int(20 + 8 / (a * a + a * c)))
        found = displacement(c, a, np.arange(1, path.size + 1), "L2")
        error = np.abs(found - path).max() / plateau(c, a, "L2")
        assert error < within, (c, a, error)


@given(drifts, lengths, norms, shares, shares, st.floats(1.0, 3.0))
def test_paths_invert_add_up_and_drift_makes_them_faster(c, a, norm, share, part, more):
    end = float(share * plateau(c, a, norm))
    between = end * part
    taken = steps(end, c, a, norm=norm)
    assert displacement(c, a, taken, norm) == pytest.approx(end, rel=1e-10)
    whole = steps(between, c, a, norm=norm) + steps(end, c, a, start=between, norm=norm)
    assert whole == pytest.approx(taken, rel=1e-9)
    # To what the path of a chain of real length is worth where the drift changes.
    assert steps(end, min(1.0, c * more), a, norm=norm) <= taken * 1.1


@pytest.mark.parametrize("sites", [49, 97, 98, 103, 107, 196, 1000])
def test_a_whole_number_of_steps_across_the_box_is_like_any_other(sites):
    """2/a + 1 may be even, and its half a mode that is none, but for rounding."""
    c = np.array([0.003, 0.05, 0.3])
    for law in (steps, functools.partial(first_passage, dimension=500)):
        near, here = (
            law(0.7 * plateau(c, a), drift=c, step=a)
            for a in (2.0 / (sites + 1e-7), 2.0 / sites)
        )
        np.testing.assert_allclose(here, near, rtol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_far_from_the_wall_the_drift_decides(norm):
    c, a = np.meshgrid([1e-3, 0.1, 1.0], [1e-12, 1e-9, 1e-7])
    np.testing.assert_allclose(steps(1e-4, c, a, norm=norm), 1e-4 / (c * a), rtol=1e-6)
    np.testing.assert_allclose(plateau(c, a, norm), 1.0, atol=1e-4)


def test_diffusion_rules_the_plateau_of_coarse_steps():
    np.testing.assert_allclose(plateau(1e-6, 1.0, "Linf"), 4e-6 / 3, rtol=1e-9)
    top = (1 + np.sqrt(2)) * 1e-6
    np.testing.assert_allclose(plateau(1e-6, 1.0, "L2"), top, rtol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_beyond_the_plateau_nobody_arrives(norm):
    top = float(plateau(0.01, 0.1, norm))
    ends = np.array([0.999, 1.0, 1.001, 1.0 / top]) * top
    endless = np.isinf(steps(ends, 0.01, 0.1, norm=norm))
    assert endless.tolist() == [False, True, True, True]
    assert displacement(0.01, 0.1, 1e300, norm) == pytest.approx(top)
    # Whoever stands beyond it already is driven back, but has arrived where he is.
    assert steps(0.9, 0.01, 0.1, start=0.9, norm=norm) == 0.0
    assert steps(0.95, 0.01, 0.1, start=0.9, norm=norm) == np.inf


@pytest.mark.parametrize("norm", NORMS)
def test_extremes_are_numbers(norm):
    c, a = DRIFTS[:, None, None], STEPS[:, None]
    assert (steps([0.0, 1e-300, 1e-9, 0.5, 1.0], c, a, norm=norm) >= 0).all()
    covered = displacement(c, a, np.array([0.0, 1e-300, 1.0, 1e300]), norm)
    assert ((covered >= 0) & (covered <= 1)).all()
    # Without drift.
    np.testing.assert_array_equal(steps([0.0, 0.1], 0.0, 0.1, norm=norm), [0, np.inf])
    assert plateau(0.0, 0.1, norm) == displacement(0.0, 0.1, 1e6, norm) == 0.0
    found = first_passage([0.0, 0.02, 0.1, 1.0], 0.0, 0.25, 3072, norm=norm)
    assert found[0] == 0.0
    assert (np.diff(found) > 0).all()
    assert np.isfinite(found[:3]).all()


# --- The soft wall --------------------------------------------------------------------


def backward(level, c, a, d, gain=1.0):
    """The mean time by its equation on a fine grid, cell by cell.

    The drift is read off the chain's own path by straight lines, and nothing is known
    of modes or of closed forms; 2/a is to be whole.
    """
    scatter = 0.5 * np.pi * gain**2 / d
    top, room = float(plateau(c, a)), float(spread(c, a))
    n = 1 + 2 / a
    moved = 1 - c / np.tanh(n * np.arctanh(c))
    noise, first = scatter * a * a * moved, scatter * a * a * (1 - c * c)
    pull = noise / (2 * scatter * room)
    level = level + 0.5825971579 * np.sqrt(first)
    path = np.concatenate([[0.0], chain(c, a, 4000)])
    path = path[: np.argmax(path > top * (1 - 1e-5))]
    middle, slope = 0.5 * (path[1:] + path[:-1]), np.diff(path)
    m = np.linspace(-6 * np.sqrt(scatter * room), level, 40_001)
    b = np.interp(m, middle, slope)
    near = m > middle[-1]
    b[near] = slope[-1] * (top - m[near]) / (top - middle[-1])
    b = np.where(m > top, pull * (top - m), b)
    b = np.where(m < 0.0, c * a - pull * m, b)
    across = first + (noise - first) * np.clip(m / top, 0.0, 1.0)
    h, dm, total = 1.0 / b[0], m[1] - m[0], 0.0
    for i in range(m.size - 1):
        x = (b[i] + b[i + 1]) * dm / (0.5 * (across[i] + across[i + 1]))
        new = h * np.exp(-x) - np.expm1(-x) / x * 2 * dm / across[i]
        if m[i] >= 0.0:
            total += 0.5 * (h + new) * dm
        h = new
    return total


@pytest.mark.parametrize(
    ("c", "a", "d", "share"),
    [
        (0.1, 0.1, 784, 1.0),
        (0.1, 0.1, 784, 1.1),
        (0.1, 0.1, 100, 0.8),
        (0.05, 0.25, 3072, 1.1),
        (0.02, 0.25, 3072, 1.25),
        (0.1, 0.02, 3072, 1.0),
        (0.5, 0.05, 784, 0.99),
    ],
)
def test_first_passage_by_its_equation(c, a, d, share):
    """Within 3 %: what reading the chain by straight lines is worth."""
    level = share * plateau(c, a)
    found = first_passage(level, c, a, d)
    assert found == pytest.approx(backward(level, c, a, d), rel=0.03)


@pytest.mark.parametrize("norm", NORMS)
def test_first_passage_is_that_of_the_mean_path_below_the_plateau(norm):
    """The path of endless dimension, but for the overshoot that ends within a step."""
    for c, a in ((0.1, 0.05), (0.3, 0.25), (0.02, 0.02), (0.7, 0.1)):
        ends = np.array([0.2, 0.5, 0.8, 0.9]) * plateau(c, a, norm)
        found = first_passage(ends, c, a, 10**12, norm=norm)
        np.testing.assert_allclose(found, steps(ends, c, a, norm=norm), rtol=2e-4)


@given(
    st.floats(1e-3, 0.99),
    st.floats(1e-3, 2.0),
    norms,
    st.integers(10, 10**6),
    ends,
    ends,
)
def test_first_passages_add_up_and_rise(c, a, norm, d, one, two):
    low, high = min(one, two), max(one, two)
    whole, part = (first_passage(x, c, a, d, norm=norm) for x in (high, low))
    assert part <= whole
    if np.isfinite(whole):
        rest = first_passage(high, c, a, d, start=low, norm=norm)
        assert part + rest == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize("norm", NORMS)
def test_first_passage_has_no_jumps(norm):
    c, a, d = 0.05, 0.25, 3072
    ends = np.linspace(0.01, 1.3 * plateau(c, a, norm), 20_001)
    found = np.log(first_passage(ends, c, a, d, norm=norm))
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()
    assert np.diff(found).max() < 0.02


def test_first_passage_says_where_it_holds():
    holds = first_passage.supports
    assert not holds(0.1, 0.5, 0.1, 5).holds
    assert not holds(0.1, 0.5, 0.6, 50).holds
    assert holds(0.1, 0.5, 0.6, 50, norm="L2").holds
    box = (np.pi * spread(0.1, 0.1) / 100) ** 0.5
    top = plateau(0.1, 0.1, "L2")
    for norm, width in (
        ("Linf", box),
        ("L2", (1 - top**2) / (50 + 50 * top**2) ** 0.5),
    ):
        top = plateau(0.1, 0.1, norm)
        assert holds(top + 1.99 * width, 0.1, 0.1, 50, norm=norm).holds
        assert not holds(top + 2.01 * width, 0.1, 0.1, 50, norm=norm).holds
    assert first_passage(1.0, 0.001, 0.1, 10**6) == np.inf


def test_slopes_of_a_normal_law_lower_the_plateau():
    """Mixed over slopes g with chances erf(g c/√(2(1-c²))), by the midpoint rule."""
    g = (np.arange(40_000) + 0.5) / 4000
    weight = g * np.exp(-0.5 * g * g)
    for c, a, mixed in ((0.1, 0.1, 0.532), (0.1, 0.02, 0.866)):
        chance = special.erf(g * c / np.sqrt(2 * (1 - c * c)))
        found = weight @ plateau(chance, a) / weight.sum()
        assert found == pytest.approx(mixed, abs=1e-3)
        assert found < plateau(c, a)
