"""What a noisy step gains, against mpmath, whole gradients and simulated estimates."""

import mpmath as mp
import numpy as np
import pytest
from scipy import special

from querytax.expect import DomainError
from querytax.theory import angle, drift
from querytax.theory.law import RegimeWarning

from .reference import assert_matches, grid, kappa

SNRS = grid(1e-300, 1e300, 30, span=10.0)
NES = [(s, d, p) for s in SNRS for d in (1, 3072, 10**12) for p in (1, 50, 10**9)]
# Dimensions on either side of every change of quadrature.
AIMED = [
    (s, d, p)
    for s in grid(1e-300, 1e300, 12, span=10.0)
    for d in (1, 2, 20, 64, 70, 130, 700, 3072, 10**6)
    for p in (1, 2, 50, 10_000)
    # For odd p the reference's series does not end.
    if p > 1 or d <= 130
]


def mean_cosine(s, d, p, rho=1):
    tight = rho**2 * s / (1 + s)
    series = mp.hyp2f1(1 - p / 2, mp.mpf(1) / 2, d / 2 + 1, tight)
    return mp.sqrt(tight) * kappa(p) / kappa(d + 1) * series


def test_cosine():
    points = [(*nes, rho) for nes in AIMED for rho in (1e-9, 0.5, 1 - 1e-12, 1.0)]
    assert_matches(drift.cosine, mean_cosine, points)
    s, d, p = (np.array(axis) for axis in zip(*AIMED, strict=True))
    s = np.clip(s, 1e-200, 1e200)
    other = angle.mean_cosine(1.0, np.sqrt(2 / s), d, p, differences="antithetic")
    np.testing.assert_allclose(drift.cosine(s, d, p), other, rtol=1e-12)


def test_few_pairs_aim_worse_than_their_root_mean_square():
    """By simulated estimates on 784 inputs; their standard error is 2e-4."""
    for pairs, snr, simulated in ((1, 1e300, 0.0287), (4, 1.0, 0.0474)):
        expected = drift.cosine(snr, 784, pairs)
        assert expected == pytest.approx(simulated, abs=4e-4)
        assert drift.plain(snr, 784, pairs) > expected + 2.5e-3


def test_plain():
    assert_matches(
        drift.plain,
        lambda s, d, p, rho: rho * mp.sqrt(p / (rho**2 * (p + 1) + d + d / s)),
        [(*nes, rho) for nes in NES for rho in (1e-9, 0.5, 1.0)],
    )


def estimates(rng, gradient, snr, pairs, trials, alignment=1.0):
    """NES estimates from simulated pairs: draw directions and noise, average."""
    probes = rng.standard_normal((trials, pairs, gradient.shape[-1]))
    size = np.linalg.norm(gradient, axis=-1, keepdims=True)
    response = alignment * (probes @ np.atleast_2d(gradient)[..., None])[..., 0]
    noise = np.sqrt(1 - alignment**2 + 1 / snr)
    response = response + size * noise * rng.standard_normal((trials, pairs))
    return np.einsum("tp,tpd->td", response, probes) / pairs


def test_plain_against_simulated_estimates():
    """40,000 estimates, p = 5: the standard error is at most 0.8 %; 4 % are five."""
    for snr, dimension, rho in ((0.1, 12, 1.0), (2.0, 12, 0.4), (2.0, 2, 0.4)):
        rng = np.random.default_rng(3)
        gradient = rng.standard_normal(dimension)
        found = estimates(rng, gradient, snr, 5, 40_000, rho)
        along = (found @ gradient).mean() / np.linalg.norm(gradient)
        share = along / np.sqrt(np.mean(np.sum(found**2, axis=1)))
        law = drift.plain(snr, dimension, 5, rho)
        assert share == pytest.approx(law, rel=0.04)


@pytest.mark.parametrize(("dimension", "pairs"), [(1, 2), (2, 1), (3, 4), (12, 5)])
def test_signs_of_normal_entries_gain_the_mean_cosine(dimension, pairs):
    """At any dimension: 2·10⁵ gradients, an estimate of each; five standard errors."""
    rng = np.random.default_rng(6)
    gradients = rng.standard_normal((200_000, dimension))
    found = estimates(rng, gradients, 0.5, pairs, 200_000)
    whole = np.abs(gradients).sum(axis=1)
    law = drift.cosine(0.5, dimension, pairs)
    rest = (np.sign(found) * gradients).sum(axis=1) - law * whole
    assert 5 * rest.std() / np.sqrt(rest.size) < 0.05 * law * whole.mean()
    assert abs(rest.mean()) < 5 * rest.std() / np.sqrt(rest.size)


def test_sign_of():
    rng = np.random.default_rng(1)
    for g in (rng.standard_normal(9), rng.standard_normal(5) ** 3, np.ones(3)):

        def exact(c, g=g):
            g = [abs(mp.mpf(float(x))) for x in g]
            s = mp.sqrt(sum(x * x for x in g) / len(g) * (1 / c**2 - 1))
            right = sum(x * mp.erf(x / s / mp.sqrt(2)) for x in g)
            return right / sum(g)

        cosines = [(c,) for c in (1e-300, 1e-9, 0.01, 0.3, 0.9, 1 - 1e-9)]
        assert_matches(lambda c, g=g: drift.sign_of(g, c), exact, cosines)
        for scale in (1e-300, -1e300):
            scaled = drift.sign_of(scale * g / np.abs(g).max(), 0.3)
            assert scaled == pytest.approx(drift.sign_of(g, 0.3), 1e-12)
    assert drift.sign_of([2.0, 0.0, 1.0], [0.0, 1.0]).tolist() == [0, 1]
    rows = drift.sign_of([[1.0, 2.0], [0.0, 1.0]], 0.5)
    assert rows.tolist() == [drift.sign_of(g, 0.5) for g in ([1.0, 2.0], [0.0, 1.0])]
    with pytest.raises(DomainError, match="expected gradient to have an entry other"):
        drift.sign_of([[1.0, 2.0], [0.0, 0.0]], 0.1)


COUNT = 100_001
SHARES = (np.arange(COUNT) + 0.5) / COUNT
UPPER = 0.5 + 0.5 * SHARES
# Sizes of a gradient's entries, quantiles at the midpoints of equal shares; and how far
# the law of a gain alone may be off, within its limits and anywhere.
ENTRIES = {
    "one size": (np.ones(COUNT), 0.041, 0.12),
    "uniform": (SHARES, 0.051, 0.051),
    "normal": (special.ndtri(UPPER), 2e-4, 2e-4),
    "laplacian": (-np.log1p(-SHARES), 0.006, 0.08),
    "student 3": (special.stdtrit(3, UPPER), 0.05, 0.22),
    "student 2": (special.stdtrit(2, UPPER), 0.08, 0.85),
    "log-normal": (np.exp(special.ndtri(SHARES)), 0.03, 0.25),
    "a quarter normal": (
        np.where(SHARES > 0.75, special.ndtri(np.maximum(2 * SHARES - 1, 0.1)), 0.0),
        *(2e-3, 2e-3),
    ),
}


@pytest.mark.filterwarnings("ignore::querytax.theory.law.RegimeWarning")
@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_a_gain_alone_says_how_signs_drift_within_its_limits(name):
    g, near, far = ENTRIES[name]
    gain = np.sqrt(2 / np.pi * g.size * (g @ g)) / g.sum()
    edge = min(0.2 / gain**4, 0.99)
    for c in (0.01, 0.05, 0.1, 0.999 * edge, 0.3, 0.5, 0.7, 0.9):
        error = drift.sign(c, gain) / drift.sign_of(g, c) - 1
        holds = drift.sign.supports(c, gain).holds
        assert holds == (c <= edge or abs(gain - 1) <= 0.1)
        assert abs(error) <= (near if holds else far)


def test_what_a_gain_cannot_tell():
    """A huge entry among even ones: πh²/2 - 1 too high at most."""
    g = np.ones(10**6)
    g[0] = np.sqrt((np.pi / 2 - 1) * 1e6)
    gain = np.sqrt(2 / np.pi * g.size * (g @ g)) / g.sum()
    error = drift.sign(0.05, gain) / drift.sign_of(g, 0.05) - 1
    assert gain == pytest.approx(1.0, abs=0.01)
    assert 0.5 < error <= np.pi * gain**2 / 2 - 1


@pytest.mark.parametrize("dimension", [1, 2, 5, 10, 50])
def test_few_coordinates(dimension):
    """Many pairs, weak signal: by the mean cosine √d/κ - 1 low."""
    g = np.linspace(0.1, 1.0, dimension)
    z = 0.01 / np.linalg.norm(g)
    exact = np.sum(g * special.erf(z * g / np.sqrt(2))) / g.sum()
    cosine = 0.01 * float(kappa(dimension)) / dimension
    gain = np.sqrt(2 / np.pi * g.size * (g @ g)) / g.sum()
    low = float(kappa(dimension)) / np.sqrt(dimension)
    assert drift.sign_of(g, cosine) / exact == pytest.approx(low, rel=1e-3)
    assert drift.sign(cosine, gain) / exact == pytest.approx(low, rel=1e-3)
    assert 1 - low == pytest.approx(1 / (4 * dimension), rel=0.2)


def test_beyond_its_limits_a_sign_step_warns():
    with pytest.warns(RegimeWarning, match=r"drift.sign_of takes the entries"):
        drift.sign(0.5, 1.5)
    assert not drift.sign.supports([0.1, 0.5], 1.2).holds
    assert drift.sign.supports([0.09, 0.5], [1.2, 1.0]).holds
