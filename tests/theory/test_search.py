"""Searches with an incumbent against mpmath, other routes, and simulated chains."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from querytax.expect import DomainError
from querytax.theory import directions, search
from querytax.theory.law import RegimeWarning

from .reference import assert_matches

MODES = ("stale", "requery", "mean")
beyond = pytest.mark.filterwarnings("ignore::querytax.theory.law.RegimeWarning")
# Of a stale incumbent, an answer and a pair of answers a candidate.
COST = {"stale": 1, "requery": 2, "mean": 2}


def normal_sample(count=64, seed=5, mean=0.0):
    return mean + np.random.default_rng(seed).standard_normal(count)


def quantiles(inverse, count=20_000):
    return inverse((np.arange(count) + 0.5) / count)


def logistic(share):
    """Of standard deviation 1."""
    return np.sqrt(3) / np.pi * np.log(share / (1 - share))


# --- Closed forms ------------------------------------------------------------------


def gain(m, own, noise):
    s = mp.sqrt(own**2 + noise**2)
    return own**2 / s * mp.npdf(m / s) - m * mp.ncdf(-m / s)


def test_requeried_ratio():
    def exact(own, sigma, m, repeats):
        noisy = gain(m, own, mp.sqrt(2 / repeats) * sigma)
        return 2 * repeats * gain(m, own, 0) / noisy if noisy > 0 else mp.inf

    points = [
        (own, sigma * own, m * own, repeats)
        for sigma in (0.0, 1e-3, 0.3, 1.0, 30.0)
        for own in (1e-50, 1.0, 1e50)
        for m in (-40.0, -1.0, 0.0, 0.1, 2.0, 30.0)
        for repeats in (1, 9)
    ]
    assert_matches(search.requeried_ratio, exact, points, 1e-11)


def test_log_stale_ratio():
    """The mean over the normal, not the even form that the law integrates."""

    def exact(tau):
        def inside(x):
            y = -(tau**2) + mp.sqrt(2) * tau * x
            return (mp.log(1 + mp.exp(y)) - y / (1 + mp.exp(-y))) * mp.npdf(x)

        ends = [-25, -9, -3, 0, tau / 2, tau, 2 * tau + 3, 2 * tau + 9, 2 * tau + 30]
        return mp.log(mp.log(2) / mp.quad(inside, sorted(ends)))

    unit = np.sqrt(3.0) / np.pi
    assert_matches(
        lambda tau: search.log_stale_ratio(1.0, unit * tau),
        exact,
        [(t,) for t in (1e-3, 0.05, 0.4, 0.999, 1.0, 1.7, 4.0, 9.0)],
        1e-11,
    )
    tau = np.array([1e3, 1e4])
    far = tau**2 / 4 + np.log(tau * np.log(2) / np.sqrt(np.pi))
    np.testing.assert_allclose(search.log_stale_ratio(1.0, unit * tau), far, rtol=1e-6)


def test_known_numbers():
    found = search.requeried_ratio(1, [1, 2, 10])
    np.testing.assert_allclose(found, [3.46, 6.0, 28.4], rtol=3e-3)
    np.testing.assert_allclose(
        search.requeried_ratio(1, [1, 10], 0, 9), [19.9, 86.8], rtol=2e-3
    )
    tau = np.array([1.0, 2.0, 3.0, 4.0])
    found = search.stale_ratio(np.pi, tau * np.sqrt(3))
    np.testing.assert_allclose(found, [1.41, 3.59, 15.2, 105], rtol=3e-3)
    found = search.stale_ratio(1, [1, 1.25, 2])
    np.testing.assert_allclose(found, [2.90, 5.03, 48], rtol=7e-3)


@given(st.floats(-2, 2), st.floats(0.1, 10), st.floats(0, 5), st.integers(1, 50))
def test_asking_again_doubles_the_bill_at_least(m, own, sigma, repeats):
    ratio = search.requeried_ratio(own, sigma, m, repeats)
    assert ratio >= 2 * repeats * (1 - 1e-12)
    noisy = directions.progress(m, own, np.sqrt(2) * sigma, repeats)
    if noisy > 1e-6 * own:
        clear = directions.progress(m, own, 0.0)
        assert ratio == pytest.approx(2 * repeats * clear / noisy, rel=1e-6)
    elif noisy < -1e-6 * own:
        assert ratio == np.inf


def test_never_asking_is_cheaper_below_the_spread():
    noise = [0.9, 1.3]
    below, above = search.stale_ratio(1.0, noise) - search.requeried_ratio(1.0, noise)
    assert below < 0 < above


# --- Samples -----------------------------------------------------------------------


@beyond
@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0, 1.5])
def test_samples_of_a_law_give_its_closed_form(sigma):
    changes = quantiles(special.ndtri)
    clear = np.maximum(-changes, 0).mean()
    for repeats in (1, 4):
        ratio = clear / search.requeried_progress(changes, sigma, repeats)
        law = search.requeried_ratio(1.0, sigma, 0.0, repeats)
        assert ratio == pytest.approx(law, rel=1e-3)
    changes = quantiles(logistic)
    clear = np.maximum(-changes, 0).mean()
    ratio = clear / search.stale_progress(changes, sigma)
    law = search.stale_ratio(1.0, sigma)
    assert ratio == pytest.approx(law, rel=5e-3 if sigma <= 1 else 0.01)


def test_repeats_are_less_noise_at_their_price():
    sample = normal_sample()
    for name in ("stale", "requeried", "averaged"):
        function = getattr(search, f"{name}_progress")
        one = function(sample, 0.4)
        assert function(sample, 0.8, 4) == pytest.approx(one / 4, rel=1e-12)


@beyond
def test_extremes_are_numbers():
    for name in ("stale", "requeried", "averaged"):
        function = getattr(search, f"{name}_progress")
        for sample in ([1, 2, 3], [-1, -2], [0, 0], [1e-150, -1e-150], [1e150, -1e150]):
            found = function(sample, np.array([0, 1e-300, 1e-150, 1.0, 1e150]))
            assert np.isfinite(found).all()
            clear = np.maximum(-np.array(sample, float), 0).mean()
            assert found[0] == clear / (1 if name == "stale" else 2)
            assert (found <= found[0] * (1 + 1e-9) + 1e-300).all()


# --- Queries -----------------------------------------------------------------------


def simulated(gap, deltas, weights, sigma, mode, runs, rng, limit=10**5):
    deltas = np.asarray(deltas)
    ends = gap * np.cumsum(weights)[:-1]
    loss, believed = np.zeros(runs), sigma * rng.standard_normal(runs)
    answers, asked, on = np.ones(runs), np.zeros(runs), np.ones(runs, bool)
    while on.any() and asked.max() < limit:
        k = np.flatnonzero(on)
        stage = np.searchsorted(ends, -loss[k], side="right")
        change = deltas[stage, rng.integers(0, deltas.shape[1], k.size)]
        own, fresh = sigma * rng.standard_normal((2, k.size))
        if mode == "requery":
            believed[k] = fresh
        elif mode == "mean":
            believed[k] = (believed[k] * answers[k] + fresh) / (answers[k] + 1)
            answers[k] += 1
        won = k[change + own < believed[k]]
        taken = change + own < believed[k]
        loss[won] += change[taken]
        believed[won], answers[won] = own[taken], 1
        asked[k] += COST[mode]
        on = loss > -gap
    return asked


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("sigma", "gap", "second"),
    [(0.0, 4.0, 0.05), (0.3, 10.0, 0.05), (0.3, 20.0, 0.2), (0.45, 20.0, 0.05)],
)
def test_queries_of_simulated_searches(mode, sigma, gap, second):
    """2,000 searches; five standard errors and the 4 % that the law may be off."""
    sample = normal_sample()
    deltas, weights = np.stack([sample, 0.5 * sample[::-1] + second]), [0.6, 0.4]
    law = search.queries(gap, deltas, weights, sigma, incumbent=mode)
    rng = np.random.default_rng(8)
    found = simulated(gap, deltas, weights, sigma, mode, 2000, rng)
    error = found.std() / np.sqrt(found.size)
    assert error < 0.05 * law
    assert abs(found.mean() - law) < 5 * error + 0.04 * law


def test_a_stage_that_loses_ground_is_passed_by_chance():
    """Its mean drift leads away from the goal: too few queries, but not never."""
    sample = normal_sample(mean=0.2)
    deltas, weights = np.stack([sample, 0.7 * sample[::-1] + 0.4]), [0.8, 0.2]
    assert search.requeried_progress(deltas, 1.0)[1] < 0
    law = search.queries(10.0, deltas, weights, 1.0, incumbent="requery")
    rng = np.random.default_rng(9)
    found = simulated(10.0, deltas, weights, 1.0, "requery", 2000, rng)
    error = found.std() / np.sqrt(found.size)
    assert found.mean() / 2 - 5 * error < law < found.mean() + 5 * error
    assert search.queries(10.0, deltas[1], [1.0], 1.0, incumbent="requery") == np.inf


def test_a_long_way_is_its_length_over_the_progress():
    sample = normal_sample()
    for mode, g in (
        ("stale", search.stale_progress(sample, 0.5)),
        ("requery", search.requeried_progress(sample, 0.5)),
        ("mean", search.averaged_progress(sample, 0.5)),
    ):
        found = search.queries(1e6, sample, [1.0], 0.5, incumbent=mode)
        assert found == pytest.approx(1e6 / g, rel=1e-5)
        three = np.stack([sample] * 3)
        parts = search.queries(1e6, three, [0.2, 0.0, 0.8], 0.5, incumbent=mode)
        assert parts == pytest.approx(found, rel=1e-5)


def test_shapes_broadcast():
    rng = np.random.default_rng(10)
    deltas = rng.standard_normal((5, 1, 4, 16)) - 0.2
    shares, sigma = np.full(4, 0.25), np.array([0.0, 0.1, 0.3])
    fall = np.linspace(4, 8, 5)[:, None]
    for mode in MODES:
        found = search.queries(fall, deltas, shares, sigma, 2, mode)
        assert found.shape == (5, 3)
        one = search.queries(fall[3, 0], deltas[3, 0], shares, 0.3, 2, mode)
        assert isinstance(one, float)
        assert found[3, 2] == pytest.approx(one, rel=1e-12)
        assert search.queries(0.0, deltas[0, 0], shares, 0.1, incumbent=mode) == 0.0
        never = search.queries(1.0, np.abs(deltas), shares, 0.1, incumbent=mode)
        assert never.min() == np.inf
        some = search.queries([1.0, -1.0], deltas[0, 0], shares, 0.1, errors="nan")
        assert np.isnan(some).tolist() == [False, True]
    with pytest.raises(DomainError, match="expected stage_shares with sum 1"):
        search.queries(1.0, deltas[0, 0], [0.5, 0.1, 0.1, 0.1], 0.1)
    with pytest.raises(DomainError, match="expected deltas a sample"):
        search.stale_progress([], 0.1)


def test_a_stale_incumbent_says_how_far_it_is_to_be_trusted():
    sample = normal_sample()
    held = search.queries.supports
    assert held(5.0, sample, [1.0], 0.9).holds
    assert "deviation at every stage" in held(5.0, sample, [1.0], 1.1).reason
    assert held(5.0, sample, [1.0], 1.1, repeats=2).holds
    # A stage without a way to go does not count.
    both = np.stack([sample, 0.1 * sample])
    assert held(5.0, both, [1.0, 0.0], 0.9).holds
    assert not held(5.0, both, [0.9, 0.1], 0.9).holds
    for mode in ("requery", "mean"):
        assert held(5.0, sample, [1.0], 1.1, incumbent=mode).holds
    for law, most in ((search.stale_progress, 1.3), (search.averaged_progress, 2.0)):
        assert law.supports(1e200 * sample, 0.99e200 * most * sample.std()).holds
        assert not law.supports(1e-200 * sample, 1.01e-200 * most * sample.std()).holds


def test_beyond_it_too_many_queries_are_said():
    """The unsafe side: the median of 1,000 searches is far below."""
    sample = normal_sample()
    with pytest.warns(RegimeWarning, match="search.queries wants"):
        law = search.queries(5.0, sample, [1.0], 1.5)
    found = simulated(
        5.0, sample[None], [1.0], 1.5, "stale", 1000, np.random.default_rng(11)
    )
    assert np.median(found) < 0.5 * law


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [1e-200, 1e-150, 1e150, 1e200])
def test_a_search_has_no_unit_of_its_own(mode, size):
    """Losses of any size, whose squares leave the floats."""
    deltas = np.random.default_rng(0).normal(-0.1, 1.0, (3, 20))
    share, noise = [0.2, 0.3, 0.5], 0.3
    plain = search.queries(5.0, deltas, share, noise, incumbent=mode)
    told = 5.0 * size, deltas * size, share, noise * size
    scaled = search.queries(*told, incumbent=mode)
    assert scaled == pytest.approx(plain, rel=1e-9)
