"""How S is made: against mpmath, simulated noise, and the exact law of a pair."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.expect import DomainError
from querytax.theory import efficiency, log_ratio, snr
from querytax.theory.law import RegimeWarning

from .reference import assert_matches

WIDE = np.geomspace(1e-300, 1e300, 13)
SIGMAS = np.geomspace(1e-12, 1e12, 9)
READ = [("raw", "best"), ("reflect", "best"), ("reflect", "log"), ("clip", "best")]


def test_raw_output():
    for law, share in ((snr.output, 2), (snr.output_logits, 4)):
        assert_matches(
            law,
            lambda delta, sigma, share=share: delta / (share * sigma**2),
            [(d, s) for d in [*np.geomspace(1e-300, 1.0, 13), 1e300] for s in SIGMAS],
        )


def test_reflected_output_over_24_decades_of_noise():
    """2F²/σ² of S is left where the noise is wide, all of it where it is narrow."""
    sigma = np.geomspace(1e-12, 1e-5, 8)
    wide = snr.output(1e-32, sigma, output=sigma * 1e-4, release="reflect")
    np.testing.assert_allclose(wide, 1e-40 / sigma**2, rtol=1e-7)
    narrow = snr.output(1e-30, sigma, output=0.5, release="reflect")
    np.testing.assert_allclose(narrow, 0.5e-30 / sigma**2, rtol=1e-12)
    # So wide that both walls hold nearly all: all that is left lies in atoms.
    drowned = snr.output(1e-6, 1e12, output=0.5, release="clip")
    assert drowned == pytest.approx(0.5e-30 * 2 / np.pi, rel=1e-11)
    # At F = 1 half the answers sit at the ceiling: 1/2 + 1/π of S is left.
    got = snr.output(2e-6, 0.01, output=1.0, release="reflect")
    assert got == pytest.approx((0.5 + 1 / np.pi) / 100, rel=1e-13)


def test_known_decibels():
    """Table-1 means: raw, best on the reflected value, its logarithm, clipped."""
    rows = [
        (0.04, 0.01, 5e-6, -69.03, -93.99, -97.91, -69.85),
        (0.1, 0.01, 2e-4, -36.99, -54.06, -57.93, -37.73),
        (0.03, 0.01, 5e-8, -109.03, -136.49, -140.40, -109.86),
        (0.3, 1e-3, 5e-8, -89.03, -97.17, -100.66, -89.57),
        (3.0, 1e-4, 5e-8, -69.03, -69.03, -69.74, -69.03),
    ]
    for t, sigma, delta, *decibels in rows:
        got = [snr.output(delta**2, sigma, t * sigma, *words) for words in READ]
        np.testing.assert_allclose(10 * np.log10(got), decibels, atol=0.006)


def test_logarithm_of_reflected_answers_against_simulated_queries():
    """4e6 pairs: the standard error of the squared drift is 0.6 %; six are 4 %."""
    rng = np.random.default_rng(7)
    low, high = (np.log(np.abs(t + rng.standard_normal(4_000_000))) for t in (0.2, 0.8))
    simulated = (high - low).mean() ** 2 / (high - low).var()
    assert simulated == pytest.approx(log_ratio.effective_snr(0.8, 0.2, 1), rel=0.04)


@pytest.mark.parametrize("t", [0.1, 0.5, 2.0, 8.0, 30.0])
def test_a_small_change_reads_the_slope(t):
    for change, within in ((1e-3, 2e-6), (min(max(0.5, t / 4), 2 * t), 0.06)):
        got = snr.output(change**2 / 1e6, 1e-3, t * 1e-3, "reflect", "log")
        ends = t + 0.5 * change, t - 0.5 * change
        assert got == pytest.approx(log_ratio.effective_snr(*ends, 1), rel=within)


def test_the_best_reading_of_a_change_of_half_a_sigma():
    """The best statistic's S is 2V/(1-V), V = ∫ (p - q)²/(2(p + q)); 10 % at worst."""
    y, step = np.linspace(5e-5, 12, 120_000, retstep=True)
    worst = []
    for t in (0.25, 0.5, 1.0, 2.0, 5.0):
        bells = [
            np.exp(-0.5 * np.square(y - s * (t + e)))
            for s in (1, -1)
            for e in (-0.25, 0.25)
        ]
        p, q = bells[0] + bells[2], bells[1] + bells[3]
        v = step * np.sum((p - q) ** 2 / (p + q)) / 2 / np.sqrt(2 * np.pi)
        got = snr.output(0.25e-4, 1e-2, t * 1e-2, "reflect")
        worst.append(got * (1 - v) / (2 * v) - 1)
    assert max(worst) == pytest.approx(0.1, abs=0.001)
    assert min(worst) == pytest.approx(-0.0054, abs=0.0005)


def test_a_change_that_is_not_small_warns():
    for words in READ[1:]:
        assert snr.output.supports(2.4e-5, 0.01, 0.02, *words).holds
        assert snr.output.supports(5e-3, 0.01, 0.3, *words).holds
        with pytest.warns(RegimeWarning, match="at most sigma/2"):
            snr.output(2.6e-5, 0.01, 0.02, *words)
    # Around an output below half the change the other one would be negative.
    with pytest.warns(RegimeWarning, match="at most 2 output"):
        snr.output(1e-6, 0.01, 4e-4, "reflect", "log")
    assert snr.output.supports(1.0, 0.01, 3e-4).holds


def test_linear_losses():
    points = [
        (g, b, s)
        for g in np.geomspace(1e-100, 1e100, 5)
        for b in np.geomspace(1e-12, 1e3, 4)
        for s in np.geomspace(1e-40, 1e40, 5)
    ]

    def by(share):
        return lambda g, b, s: share * b**2 * g**2 / s**2

    assert_matches(snr.antithetic, by(2), points)
    assert_matches(snr.forward, by(mp.mpf(0.5)), points)
    assert_matches(snr.candidate, by(mp.mpf(0.5)), points)
    assert_matches(lambda *a: snr.cached_base(*a, 3), by(mp.mpf(0.75)), points)
    ratios = [(a, b) for a in WIDE for b in WIDE]
    assert_matches(snr.loss_noise, lambda a, b: a / b, ratios)


def test_combine():
    assert_matches(
        lambda a, b, c: snr.combine(np.stack([a, b, c], axis=-1)),
        lambda a, b, c: 1 / (1 / a + 1 / b + 1 / c),
        [(a, b, c) for a in WIDE for b in WIDE for c in (1e-300, 1.0, 1e300)],
    )
    assert snr.combine([[0.0, 1.0], [0.0, 0.0], [2.0, 2.0]]).tolist() == [0.0, 0.0, 1.0]


@given(st.floats(1e-9, 0.5), st.floats(1e-9, 1e-3), st.floats(1e-3, 1e-1))
def test_scale_law_without_a_ceiling(t, sigma, scale):
    """S depends on t and on delta/sigma alone while the ceiling is far."""
    one, other = (
        snr.output(0.25 * t * t * s * s, s, t * s, "reflect", "log")
        for s in (sigma, sigma * scale)
    )
    assert one == pytest.approx(other, rel=1e-11)


def test_missing_output_is_named():
    with pytest.raises(DomainError, match="expected release to be one of 'raw'"):
        snr.output(1e-4, 0.1, release="reflect")
    with pytest.raises(DomainError, match="expected reading to be one of 'best'"):
        snr.output(1e-4, 0.1, reading="log")


def test_without_noise():
    """All is told, of nothing nothing, and a share of 0 of all is 0."""
    assert snr.output([1e-4, 0.0], 0.0).tolist() == [np.inf, 0.0]
    assert snr.output([1e-4, 0.0], 0.0, 0.3, "reflect").tolist() == [np.inf, 0.0]
    assert snr.candidate([2.0, 0.0], 1.0, 0.0).tolist() == [np.inf, 0.0]
    assert snr.candidate(1e250, 0.0, 1e-118) == 0.0
    share = efficiency.fisher_efficiency([0.0, 1.0], release="reflect")
    np.testing.assert_allclose(share, [0.0, 0.733912], rtol=1e-6)


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.6])
def test_correlated_against_simulation(rho):
    """10⁶ answers of three classes; five standard errors are 0.7 %."""
    rng = np.random.default_rng(7)
    shared = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], 1_000_000)
    alone = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], 1_000_000)
    # The margin of two classes over a pair of queries.
    noise = (shared[:, 0] - shared[:, 1]) - (alone[:, 0] - alone[:, 1])
    law = snr.correlated(snr.output_logits(0.25, 1.0), rho)
    assert law == pytest.approx(0.25 / noise.var(), rel=0.01)
    # One class alone, over two queries, has the noise of both as ever.
    score = shared[:, 0] - alone[:, 0]
    assert snr.output(0.25, 1.0) == pytest.approx(0.25 / score.var(), rel=0.01)


def test_correlated_at_the_ends():
    ends = snr.correlated([0.3, 0.0, 0.3], [1.0, 1.0, -1.0])
    assert ends.tolist() == [np.inf, 0.0, 0.15]
