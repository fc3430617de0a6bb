"""Folded and clipped outputs against mpmath, the definition, and known values."""

from itertools import pairwise, product

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from querytax.expect import DomainError
from querytax.theory import efficiency

from .reference import assert_matches, grid
from .test_log_ratio import g, v

KINDS = [
    ("reflect", "best"),
    ("reflect", "log"),
    ("reflect", "abs"),
    ("clip", "best"),
    ("clip", "abs"),
]
WALL = 14  # beyond it the reference drops 1e-44


def kept(t, room, *words):
    return efficiency.fisher_efficiency(t, room, *words)


def exact(form, reading, t, room=mp.inf):
    """Slope²/variance, or the Fisher information, by adaptive quadrature."""
    top, high = t + room, min(t + room, t + WALL)
    cut = room < WALL
    if form == "clip":
        points = mp.linspace(-min(t, WALL), high - t, 9)

        def inside(f):
            return mp.quad(lambda x: f(x) * mp.npdf(x), points)

        atoms = [(mp.ncdf(-t), -t, -mp.npdf(t))]
        if cut:
            atoms.append((mp.ncdf(-room), room, mp.npdf(room)))
        if reading == "best":
            return inside(lambda x: x * x) + sum(rise**2 / p for p, _, rise in atoms)
        mean = inside(lambda x: x) + sum(p * x for p, x, _ in atoms)
        spread = inside(lambda x: (x - mean) ** 2)
        spread += sum(p * (x - mean) ** 2 for p, x, _ in atoms)
        return inside(lambda x: 1) ** 2 / spread

    low = max(t - WALL, mp.mpf(0))
    parts = (0, 1e-4, 0.01, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1)
    points = [low + (high - low) * mp.mpf(part) for part in parts]

    def density(y):
        return mp.npdf(y - t) + mp.npdf(y + t)

    atom = mp.ncdf(-room) + mp.ncdf(-t - top) if cut else mp.mpf(0)
    if reading == "best":
        value = mp.quad(lambda y: (y * mp.tanh(y * t) - t) ** 2 * density(y), points)
        return value + ((mp.npdf(room) - mp.npdf(t + top)) ** 2 / atom if cut else 0)
    read = mp.log if reading == "log" else (lambda y: y)
    slope = (lambda y: 1 / y) if reading == "log" else (lambda y: 1)
    at_top = read(top) if cut else mp.mpf(0)
    mean = mp.quad(lambda y: read(y) * density(y), points) + atom * at_top
    spread = mp.quad(lambda y: (read(y) - mean) ** 2 * density(y), points)
    spread += atom * (at_top - mean) ** 2
    drift = mp.quad(lambda y: slope(y) * (mp.npdf(y - t) - mp.npdf(y + t)), points)
    return drift**2 / spread


@pytest.mark.parametrize("words", KINDS)
def test_with_and_without_a_ceiling(words):
    points = [(0.03, 1e-4), (0.4, 0.4), (0.4, 8.99), (2.0, 1e-3), (2.0, 3.0)]
    points += [(8.99, 0.5), (8.99, 8.99), (9.01, 1e-3), (60.0, 2.0), (3.0, 9.01)]
    levels = (1e-4, 0.03, 0.7, 1.0, 1.001, 2.5, 5.0, 8.999, 9.0, 12.0, 40.0)
    assert_matches(
        lambda t, room: kept(t, room, *words),
        lambda t, room: exact(*words, t, room),
        points + [(t, np.inf) for t in levels],
        digits=25,
    )


@pytest.mark.parametrize("words", KINDS)
def test_limits(words):
    """First order in t, exact to 1e-13 below 1e-8."""

    def small(t):
        return {
            ("reflect", "best"): 2 * t**2,
            ("reflect", "log"): 8 * t**2 / mp.pi**2,
            ("reflect", "abs"): 2 * t**2 / (mp.pi - 2),
            ("clip", "best"): mp.mpf(1) / 2 + 1 / mp.pi,
            ("clip", "abs"): mp.pi / (2 * mp.pi - 2),
        }[words]

    def found(t):
        return kept(t, np.inf, *words)

    assert_matches(found, small, [(t,) for t in np.geomspace(1e-150, 1e-13, 30)])
    # For large t, 1 but for 1/V: J = 1 - (1/2)/t² + ... for the logarithm.
    assert_matches(
        found,
        lambda t: 1 - (1 / (2 * t**2) if words[1] == "log" else 0),
        [(t,) for t in np.geomspace(1e4, 1e300, 40)],
        tolerance=1e-14,
    )
    assert found(0.0) == pytest.approx(float(small(mp.mpf(0))), abs=1e-14)


def test_drowned_between_near_walls():
    """Walls far inside the noise: the first orders in t and in the ceiling b."""
    for t, room in [(1e-12, 1e-9), (3e-8, 1e-8), (1e-9, 1e-12)]:
        for reading, factor in {"best": 2.0, "log": 1.0, "abs": 1.5}.items():
            expected = factor * t**2 * (t + room) / np.sqrt(2 * np.pi)
            assert kept(t, room, "reflect", reading) == pytest.approx(expected, 1e-6)
        for reading in ("best", "abs"):
            assert kept(t, room, "clip", reading) == pytest.approx(2 / np.pi, 1e-6)


def test_logarithm_against_hypergeometric_and_asymptotic_forms():
    points = [(t,) for t in grid(1e-12, 1e12, 60, span=20.0) if abs(t - 1) > 0.2]
    assert_matches(efficiency.log_mean, g, points)
    # Near its root at t = 1.03 only the absolute error can be small.
    near = np.linspace(0.8, 1.2, 9)
    assert max(float(abs(efficiency.log_mean(t) - g(mp.mpf(t)))) for t in near) < 1e-15
    assert_matches(
        efficiency.log_variance, v, [(t,) for t in grid(1e-12, 1e12, 40, span=20.0)]
    )


@pytest.mark.parametrize("t", [0.05, 0.8, 3.0, 8.9, 9.1, 25.0])
def test_logarithm_against_quadrature(t):
    def moment(power):
        parts = (-13.0, -t, 0.0, 13.0) if t < 13 else (-13.0, 0.0, 13.0)

        def inside(x):
            return np.log(abs(x + t)) ** power * stats.norm.pdf(x)

        return sum(
            integrate.quad(inside, *ends, epsabs=1e-12, limit=200)[0]
            for ends in pairwise(parts)
        )

    mean = moment(1)
    assert efficiency.log_mean(t) == pytest.approx(mean, abs=1e-9)
    assert efficiency.log_variance(t) == pytest.approx(moment(2) - mean**2, abs=1e-8)


def released(f, s):
    """E ln min(|f + v|, 1), cut where the density or the logarithm bends."""
    places = {mp.mpf(0), mp.mpf(1), *(s * mp.mpf(10) ** -k for k in range(0, 24, 6))}
    places |= {f + k * s for k in range(-12, 13, 4)}

    def inside(y):
        return mp.log(y) * (mp.npdf((y - f) / s) + mp.npdf((y + f) / s)) / s

    return mp.quad(inside, sorted(x for x in places if 0 <= x <= 1))


def test_released_logarithm():
    outputs = (0.0, 1e-3, 0.03, 0.5, 0.9, 1 - 1e-6, 1.0)
    points = [(f, s) for f in outputs for s in (1e-4, 0.05, 0.111, 0.5, 1e3)]
    assert_matches(efficiency.released_log_mean, released, points, digits=20)
    none = efficiency.released_log_mean([0.0, 0.5, 1.0], 0.0)
    assert none.tolist() == [-np.inf, np.log(0.5), 0.0]


def test_released_logarithm_against_simulation():
    """1e6 answers; five standard errors. Much cut, much folded, little of either."""
    noise = np.random.default_rng(5).standard_normal(1_000_000)
    for f, s in ((0.95, 0.3), (0.02, 0.2), (0.5, 0.1)):
        read = np.log(np.minimum(np.abs(f + s * noise), 1.0))
        found = efficiency.released_log_mean(f, s)
        assert found == pytest.approx(read.mean(), abs=5 * read.std() / 1e3)


@pytest.mark.parametrize("form", ["reflect", "clip"])
@pytest.mark.parametrize(
    ("t", "room"), [(0.3, 0.6), (1.5, 4.0), (0.5, 20.0), (6.0, 0.2)]
)
def test_best_reading_against_the_definition(form, t, room):
    """Fisher information of the cell in which the released value falls.

    Cells of width top/4000, and one for the tail past 5.5, lose less than 2e-6 of
    it; central differences 1e-7.
    """
    edges = np.linspace(0.0, t + min(room, 5.5), 4001)

    def cells(at):
        law = stats.norm(at)
        if form == "clip":
            inner = np.diff(law.cdf(edges))
            return np.concatenate([[law.cdf(0.0)], inner, [law.sf(edges[-1])]])
        inner = np.diff(law.cdf(edges)) + np.diff(-law.cdf(-edges))
        return np.append(inner, law.sf(edges[-1]) + law.cdf(-edges[-1]))

    step = 1e-4
    slope = (cells(t + step) - cells(t - step)) / (2 * step)
    information = np.sum(slope**2 / cells(t))
    assert kept(t, room, form) == pytest.approx(information, rel=5e-6)


def test_known_table():
    table = {
        0.03: (1.79677e-3, 7.2908e-4, 1.5749e-3, 0.825825),
        0.1: (0.0196103, 8.0520e-3, 0.0172887, 0.842551),
        0.5: (0.343264, 0.173097, 0.327366, 0.917164),
        1.0: (0.733912, 0.468902, 0.729398, 0.968412),
        3.0: (0.999224, 0.850083, 0.999190, 0.999905),
    }
    for t, row in table.items():
        got = [kept(t, np.inf, *words) for words in KINDS[:4]]
        np.testing.assert_allclose(got, row, rtol=1e-4)


positive = st.floats(1e-12, 1e12)


@given(positive, positive, st.floats(1.001, 10.0))
def test_no_reading_beats_the_best_and_more_noise_leaves_less(t, room, factor):
    for words in KINDS:
        best = kept(t, room, words[0])
        assert 0 <= kept(t, room, *words) <= best * (1 + 1e-11) <= 1 + 2e-11
        more = kept(t * factor, np.inf, *words)
        assert kept(t, np.inf, *words) <= more * (1 + 1e-12)
        if t > 9 and words[1] != "log":
            # Folding and clipping agree far from zero.
            clipped = kept(t, room, "clip", words[1])
            assert kept(t, room, *words) == pytest.approx(clipped, rel=1e-12)


def test_clipping_is_symmetric_in_its_walls():
    levels = np.geomspace(1e-6, 20, 15)
    for reading in ("best", "abs"):
        walls = kept(levels[:, None], levels, "clip", reading)
        np.testing.assert_allclose(walls, walls.T, rtol=1e-12)


def test_seams_do_not_show():
    """Regions that meet at t = 1, t = 9, headroom 9 and a total width of 2 agree."""
    for words, seam, room in product(KINDS, (1.0, 9.0), (0.5, 1.0, 4.0, np.inf)):
        t = seam + np.array([-1e-13, 1e-13])
        for low, high in (kept(t, room, *words), kept(min(room, 30.0), t, *words)):
            assert low == pytest.approx(high, rel=2e-12)


def test_raw_values_know_no_ceiling():
    t = np.geomspace(1e-3, 1e3, 7)
    assert np.all(efficiency.fisher_efficiency(t) == 1)
    for reading in ("log", "abs"):
        folded = kept(t, np.inf, "reflect", reading)
        np.testing.assert_array_equal(kept(t, 1.0, "raw", reading), folded)


def test_a_clipped_value_has_no_mean_logarithm():
    with pytest.raises(DomainError, match="expected reading"):
        kept(1.0, np.inf, "clip", "log")
