"""How S is made: against mpmath, against simulated noise, and its scale laws."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.expect import DomainError
from querytax.theory import snr

from .reference import assert_matches

WIDE = np.geomspace(1e-300, 1e300, 13)
SIGMAS = np.geomspace(1e-12, 1e12, 9)


def test_raw_output():
    assert_matches(
        snr.output,
        lambda delta, sigma: delta / (2 * sigma**2),
        [(d, s) for d in np.geomspace(1e-300, 1.0, 13) for s in SIGMAS],
    )
    assert_matches(
        snr.output_logits,
        lambda delta, sigma: delta / (4 * sigma**2),
        [(d, s) for d in np.geomspace(1e-300, 1e300, 13) for s in SIGMAS],
    )


def test_reflected_output_over_24_decades_of_noise():
    """2F²/σ² of S is left where the noise is wide, all of it where it is narrow."""
    sigma = np.geomspace(1e-12, 1e-5, 8)
    wide = snr.output(1e-30, sigma, output=sigma * 1e-4, form="reflect")
    np.testing.assert_allclose(wide, 1e-38 / sigma**2, rtol=1e-7)
    narrow = snr.output(1e-30, sigma, output=0.5, form="reflect")
    np.testing.assert_allclose(narrow, 0.5e-30 / sigma**2, rtol=1e-12)
    # So wide that both walls hold nearly all: all that is left lies in atoms.
    drowned = snr.output(1e-6, 1e12, output=0.5, form="clip")
    assert drowned == pytest.approx(0.5e-30 * 2 / np.pi, rel=1e-11)


def test_known_decibels():
    """Table-1 means: raw, best on the reflected value, its logarithm, clipped."""
    rows = [
        (0.04, 0.01, -69.03, -93.99, -97.91, -69.85),
        (0.1, 0.01, -36.99, -54.06, -57.93, -37.73),
        (0.03, 0.01, -109.03, -136.49, -140.40, -109.86),
        (0.3, 1e-3, -89.03, -97.17, -100.66, -89.57),
        (3.0, 1e-4, -69.03, -69.03, -69.74, -69.03),
    ]
    deltas = [5e-6, 2e-4, 5e-8, 5e-8, 5e-8]
    for (t, sigma, *decibels), delta in zip(rows, deltas, strict=True):
        got = [
            snr.output(delta**2, sigma, output=t * sigma, form=form, reading=reading)
            for form, reading in [
                ("raw", "best"),
                ("reflect", "best"),
                ("reflect", "log"),
                ("clip", "best"),
            ]
        ]
        np.testing.assert_allclose(10 * np.log10(got), decibels, atol=0.006)


def finite_change(low, high):
    """(g(t1) - g(t2))²/(V(t1) + V(t2)): S of a pair any distance apart."""
    drift = snr.log_mean(high) - snr.log_mean(low)
    return drift**2 / (snr.log_variance(high) + snr.log_variance(low))


def test_logarithm_of_reflected_answers_against_simulated_queries():
    """4e6 pairs: the standard error of the squared drift is 0.6 %; six are 4 %."""
    rng = np.random.default_rng(7)
    low, high = (np.log(np.abs(t + rng.standard_normal(4_000_000))) for t in (0.2, 0.8))
    simulated = (high - low).mean() ** 2 / (high - low).var()
    assert simulated == pytest.approx(finite_change(0.2, 0.8), rel=0.04)


def test_a_small_change_reads_the_slope():
    for t in (0.1, 0.5, 2.0, 8.0, 30.0):
        got = snr.output(1e-12, 1e-3, output=t * 1e-3, form="reflect", reading="log")
        exact = finite_change(t - 5e-4, t + 5e-4)
        assert got == pytest.approx(exact, rel=2e-6)


def test_logit_margin_against_simulated_queries():
    """S from 1e6 pairs of two noisy logits; 1 % is seven standard errors."""
    rng = np.random.default_rng(8)
    noise = 0.3 * rng.standard_normal((4, 1_000_000))
    change = 0.6 + (noise[0] - noise[1]) - (noise[2] - noise[3])
    assert 0.36 / change.var() == pytest.approx(snr.output_logits(0.36, 0.3), rel=0.01)


def test_linear_losses():
    points = [
        (g, b, s)
        for g in np.geomspace(1e-100, 1e100, 5)
        for b in np.geomspace(1e-12, 1e3, 4)
        for s in np.geomspace(1e-40, 1e40, 5)
    ]
    assert_matches(snr.antithetic, lambda g, b, s: 4 * b**2 * g**2 / (2 * s**2), points)
    assert_matches(snr.forward, lambda g, b, s: b**2 * g**2 / (2 * s**2), points)
    assert_matches(
        snr.random_direction, lambda g, b, s: b**2 * g**2 / (2 * s**2), points
    )
    assert_matches(
        lambda g, b, s: snr.cached_base(g, b, s, 3),
        lambda g, b, s: b**2 * g**2 / (s**2 * (1 + mp.mpf(1) / 3)),
        points,
    )
    assert_matches(
        snr.loss_noise, lambda a, b: a / b, [(a, b) for a in WIDE for b in WIDE]
    )


def test_combine():
    assert_matches(
        lambda a, b, c: snr.combine(np.stack([a, b, c], axis=-1)),
        lambda a, b, c: 1 / (1 / a + 1 / b + 1 / c),
        [(a, b, c) for a in WIDE for b in WIDE for c in (1e-300, 1.0, 1e300)],
    )
    assert snr.combine([0.0, 1.0]) == 0.0
    assert snr.combine([[0.0, 0.0], [2.0, 2.0]]).tolist() == [0.0, 1.0]


@given(st.floats(1e-6, 1.0), st.floats(1e-6, 1e6), st.floats(0.0, 1.0))
def test_what_the_noise_hides_stays_hidden(delta, sigma, level):
    raw = snr.output(delta, sigma)
    for form in ("reflect", "clip"):
        kept = snr.output(delta, sigma, output=level, form=form)
        assert 0 <= kept <= raw * (1 + 1e-12)


@given(st.floats(1e-9, 0.5), st.floats(1e-9, 1e-3), st.floats(1e-3, 1e-1))
def test_scale_law_without_a_ceiling(t, sigma, scale):
    """S depends on t and on delta/sigma alone while the ceiling is far."""
    args = {"form": "reflect", "reading": "log"}
    one = snr.output(sigma**2, sigma, output=t * sigma, **args)
    small = sigma * scale
    other = snr.output(small**2, small, output=t * small, **args)
    assert one == pytest.approx(other, rel=1e-11)


def test_the_ceiling_is_exact():
    """At F = 1 half the answers sit at the ceiling: 1/2 + 1/π of S is left."""
    got = snr.output(2e-4, 0.01, output=1.0, form="reflect")
    assert got == pytest.approx(0.5 + 1 / np.pi, rel=1e-13)


def test_missing_output_is_named():
    with pytest.raises(DomainError, match="expected form to be one of 'raw'"):
        snr.output(1e-4, 0.1, form="reflect")
    with pytest.raises(DomainError, match="expected reading to be one of 'best'"):
        snr.output(1e-4, 0.1, reading="log")
    with pytest.raises(DomainError, match=r"expected output in \[0, 1\], got 1.5"):
        snr.output(1e-4, 0.1, output=1.5)
    with pytest.raises(DomainError, match="expected sigma > 0 and finite, got 0"):
        snr.output(1e-4, 0)


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
    assert snr.correlated(0.3, 1.0) == np.inf
    assert snr.correlated(0.0, 1.0) == 0.0
    assert snr.correlated(0.3, -1.0) == 0.15
    with pytest.raises(DomainError, match=r"expected correlation in \[-1, 1\]"):
        snr.correlated(0.3, 1.5)
