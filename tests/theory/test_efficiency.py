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

KINDS = [
    ("reflect", "best"),
    ("reflect", "log"),
    ("reflect", "abs"),
    ("clip", "best"),
    ("clip", "abs"),
]
WALL = 14  # beyond it the reference drops 1e-44


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


@pytest.mark.parametrize(("form", "reading"), KINDS)
def test_without_a_ceiling(form, reading):
    assert_matches(
        lambda t: efficiency.fisher_efficiency(t, form, reading),
        lambda t: exact(form, reading, t),
        [(t,) for t in (1e-4, 0.03, 0.7, 1.0, 1.001, 2.5, 5.0, 8.999, 9.0, 12.0, 40.0)],
        digits=25,
    )


@pytest.mark.parametrize(("form", "reading"), KINDS)
def test_below_a_ceiling(form, reading):
    points = [(0.03, 1e-4), (0.4, 0.4), (0.4, 8.99), (2.0, 1e-3), (2.0, 3.0)]
    points += [(8.99, 0.5), (8.99, 8.99), (9.01, 1e-3), (60.0, 2.0), (3.0, 9.01)]
    assert_matches(
        lambda t, room: efficiency.fisher_efficiency(t, form, reading, headroom=room),
        lambda t, room: exact(form, reading, t, room),
        points,
        digits=25,
    )


def small(form, reading, t):
    """First order in t; exact to 1e-13 below 1e-8."""
    return {
        ("reflect", "best"): 2 * t**2,
        ("reflect", "log"): 8 * t**2 / mp.pi**2,
        ("reflect", "abs"): 2 * t**2 / (mp.pi - 2),
        ("clip", "best"): mp.mpf(1) / 2 + 1 / mp.pi,
        ("clip", "abs"): mp.pi / (2 * mp.pi - 2),
    }[form, reading]


@pytest.mark.parametrize(("form", "reading"), KINDS)
def test_limits(form, reading):
    tiny = np.geomspace(1e-150, 1e-13, 30)
    assert_matches(
        lambda t: efficiency.fisher_efficiency(t, form, reading),
        lambda t: small(form, reading, t),
        [(t,) for t in tiny],
    )
    # For large t, 1 but for 1/V: J = 1 - (1/2)/t² + ... for the logarithm.
    assert_matches(
        lambda t: efficiency.fisher_efficiency(t, form, reading),
        lambda t: 1 - (1 / (2 * t**2) if reading == "log" else 0),
        [(t,) for t in np.geomspace(1e4, 1e300, 40)],
        tolerance=1e-14,
    )
    zero = efficiency.fisher_efficiency(0.0, form, reading)
    assert zero == pytest.approx(float(small(form, reading, mp.mpf(0))), abs=1e-14)


def test_drowned_between_near_walls():
    """Walls far inside the noise: the first orders in t and in the ceiling b."""
    share = {"best": 2.0, "log": 1.0, "abs": 1.5}
    for t, room in [(1e-12, 1e-9), (3e-8, 1e-8), (1e-9, 1e-12)]:
        for reading, factor in share.items():
            got = efficiency.fisher_efficiency(t, "reflect", reading, headroom=room)
            expected = factor * t**2 * (t + room) / np.sqrt(2 * np.pi)
            assert got == pytest.approx(expected, rel=1e-6)
        for reading in ("best", "abs"):
            got = efficiency.fisher_efficiency(t, "clip", reading, headroom=room)
            assert got == pytest.approx(2 / np.pi, rel=1e-6)


def test_logarithm_against_hypergeometric_and_asymptotic_forms():
    """g in closed form, and V by the mixture, to 50 digits."""

    def mean(t):
        x = t * t / 2
        if x > 500:
            terms = range(1, 15)
            return mp.log(t) - sum(
                mp.fac2(2 * k - 1) / (2 * k * t ** (2 * k)) for k in terms
            )
        shape = mp.hyp2f2(1, 1, mp.mpf(3) / 2, 2, -x)
        return x * shape - (mp.euler + mp.log(2)) / 2

    points = [(t,) for t in grid(1e-12, 1e12, 60, span=20.0) if abs(t - 1) > 0.2]
    assert_matches(efficiency.log_mean, mean, points)
    # Near its root at t = 1.03 only the absolute error can be small.
    near = np.linspace(0.8, 1.2, 9)
    error = [float(abs(efficiency.log_mean(t) - mean(mp.mpf(t)))) for t in near]
    assert max(error) < 1e-15

    def variance(t):
        x = t * t / 2
        if x > 500:
            return 1 / t**2 + mp.mpf(5) / 2 / t**4
        count = int(x + 20 * mp.sqrt(x) + 60)
        weights = [mp.exp(-x) * x**k / mp.factorial(k) for k in range(count)]
        half = [mp.mpf(k) + mp.mpf(1) / 2 for k in range(count)]
        logs = [(mp.digamma(h) + mp.log(2)) / 2 for h in half]
        centre = mp.fsum(w * g for w, g in zip(weights, logs, strict=True))
        return mp.fsum(
            w * (mp.psi(1, h) / 4 + (g - centre) ** 2)
            for w, h, g in zip(weights, half, logs, strict=True)
        )

    points = [(t,) for t in grid(1e-12, 1e12, 40, span=20.0) if t < 30 or t > 1e4]
    assert_matches(efficiency.log_variance, variance, points)


@pytest.mark.parametrize("t", [0.05, 0.8, 3.0, 8.9, 9.1, 25.0])
def test_logarithm_against_quadrature(t):
    def moment(power):
        parts = (-13.0, -t, 0.0, 13.0) if t < 13 else (-13.0, 0.0, 13.0)
        return sum(
            integrate.quad(
                lambda x: np.log(abs(x + t)) ** power * stats.norm.pdf(x),
                low,
                high,
                epsabs=1e-12,
                limit=200,
            )[0]
            for low, high in pairwise(parts)
        )

    mean = moment(1)
    assert efficiency.log_mean(t) == pytest.approx(mean, abs=1e-9)
    assert efficiency.log_variance(t) == pytest.approx(moment(2) - mean**2, abs=1e-8)


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
    got = efficiency.fisher_efficiency(t, form, headroom=room)
    assert got == pytest.approx(information, rel=5e-6)


def test_known_table():
    table = {
        0.03: (1.79677e-3, 0.825825, 7.2908e-4, 1.5749e-3),
        0.1: (0.0196103, 0.842551, 8.0520e-3, 0.0172887),
        0.5: (0.343264, 0.917164, 0.173097, 0.327366),
        1.0: (0.733912, 0.968412, 0.468902, 0.729398),
        3.0: (0.999224, 0.999905, 0.850083, 0.999190),
    }
    kinds = [
        ("reflect", "best"),
        ("clip", "best"),
        ("reflect", "log"),
        ("reflect", "abs"),
    ]
    for t, row in table.items():
        got = [efficiency.fisher_efficiency(t, *kind) for kind in kinds]
        np.testing.assert_allclose(got, row, rtol=1e-4)


positive = st.floats(1e-12, 1e12)


@given(positive, positive)
def test_no_reading_beats_the_best_and_none_beats_the_raw_value(t, room):
    for form in ("reflect", "clip"):
        best = efficiency.fisher_efficiency(t, form, headroom=room)
        assert 0 < best <= 1 + 1e-12
        for reading in ("log", "abs") if form == "reflect" else ("abs",):
            got = efficiency.fisher_efficiency(t, form, reading, headroom=room)
            assert 0 <= got <= best * (1 + 1e-11)


@given(positive, st.floats(1.001, 10.0))
def test_more_noise_leaves_less(t, factor):
    for form, reading in KINDS:
        low = efficiency.fisher_efficiency(t, form, reading)
        high = efficiency.fisher_efficiency(t * factor, form, reading)
        assert low <= high * (1 + 1e-12)


@given(positive, positive)
def test_folding_and_clipping_agree_far_from_zero(t, room):
    if t > 9:
        for reading in ("best", "abs"):
            fold, clip = (
                efficiency.fisher_efficiency(t, form, reading, headroom=room)
                for form in ("reflect", "clip")
            )
            assert fold == pytest.approx(clip, rel=1e-12)


def test_clipping_is_symmetric_in_its_walls():
    levels = np.geomspace(1e-6, 20, 15)
    for a, b in product(levels, levels):
        for reading in ("best", "abs"):
            one = efficiency.fisher_efficiency(a, "clip", reading, headroom=b)
            other = efficiency.fisher_efficiency(b, "clip", reading, headroom=a)
            assert one == pytest.approx(other, rel=1e-12)


def test_seams_do_not_show():
    """Regions that meet at t = 1, t = 9, headroom 9 and a total width of 2 agree."""
    for form, reading in KINDS:
        for seam in (1.0, 9.0):
            t = seam + np.array([-1e-13, 1e-13])
            for room in (0.5, 1.0, 4.0, np.inf):
                low, high = efficiency.fisher_efficiency(
                    t, form, reading, headroom=room
                )
                assert low == pytest.approx(high, rel=2e-12)
                low, high = efficiency.fisher_efficiency(
                    min(room, 30.0), form, reading, headroom=t
                )
                assert low == pytest.approx(high, rel=2e-12)


def test_raw_values():
    t = np.geomspace(1e-3, 1e3, 7)
    assert np.all(efficiency.fisher_efficiency(t) == 1)
    for reading in ("log", "abs"):
        np.testing.assert_array_equal(
            efficiency.fisher_efficiency(t, "raw", reading, headroom=1.0),
            efficiency.fisher_efficiency(t, "reflect", reading),
        )


def test_a_clipped_value_has_no_mean_logarithm():
    with pytest.raises(DomainError, match="expected reading"):
        efficiency.fisher_efficiency(1.0, "clip", "log")
    with pytest.raises(DomainError, match="did you mean 'reflect'"):
        efficiency.fisher_efficiency(1.0, "reflected")


def test_long_arrays_are_cut_into_blocks():
    t = np.geomspace(1e-3, 1e2, 10_000)
    got = efficiency.fisher_efficiency(t, "reflect", "log", headroom=1.0)
    alone = efficiency.fisher_efficiency(t[7777], "reflect", "log", headroom=1.0)
    assert got[7777] == pytest.approx(alone, rel=1e-12)
