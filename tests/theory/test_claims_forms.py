"""Laws that were claims' true forms before, against their definitions."""

import mpmath as mp
import numpy as np
import pytest

from querytax.theory import (
    contraction,
    directions,
    finite_difference,
    log_ratio,
    misstep,
    mixture,
    passage,
    ratio,
    stationarity,
)

PAIRS = [(0.6, 0.5, 0.1), (0.3, 0.35, 0.2), (0.02, 0.01, 0.05), (2.0, 0.5, 1.0)]


@pytest.mark.parametrize(("one", "two", "sigma"), PAIRS)
def test_wrong_order(one, two, sigma):
    """Both answers positive and the first the smaller, or both negative and above."""
    f = [mp.mpf(x) / mp.mpf(sigma) for x in (one, two)]

    def both(inside):
        return mp.quad(lambda b: mp.npdf(b - f[1]) * inside(b), [-9, 0, f[1], 9 + f[1]])

    def counted(b):
        upto = mp.ncdf(b - f[0])
        return abs(upto - mp.ncdf(-f[0]))

    positive = mp.ncdf(f[0]) * mp.ncdf(f[1]) + mp.ncdf(-f[0]) * mp.ncdf(-f[1])
    found = ratio.wrong_order(one, two, sigma)
    assert found == pytest.approx(float(both(counted) / positive), rel=1e-9)


@pytest.mark.parametrize(("one", "two", "sigma"), PAIRS)
def test_principal_mean(one, two, sigma):
    t = mp.mpf(two) / mp.mpf(sigma)
    inverse = mp.quad(
        lambda y: (mp.npdf(y - t) - mp.npdf(y + t)) / y, [0, t, t + 5, t + 30]
    )
    exact = float(one / mp.mpf(sigma) * inverse)
    assert ratio.principal_mean(one, two, sigma) == pytest.approx(exact, rel=1e-12)


def test_all_positive():
    outputs = [0.3, 0.02, 0.1]
    exact = mp.fprod(mp.ncdf(mp.mpf(f) / mp.mpf(0.07)) for f in outputs)
    assert log_ratio.all_positive(outputs, 0.07) == pytest.approx(float(exact), 1e-14)
    # An output of nothing is a coin, whatever the noise.
    assert log_ratio.all_positive([0.5, 0.0], 0.0) == 0.5


def test_an_output_without_bias_has_none():
    rng = np.random.default_rng(1)
    one, rival, behind = rng.uniform(0.1, 0.9, (3, 100))
    found = finite_difference.unbiased_output_behind(one, rival, behind)
    inside = found <= 1.0
    four = [a[inside] for a in (one, rival, found, behind)]
    bias = finite_difference.log_ratio_bias_weak(*four, 0.01, 1e-4)
    size = 1e-8 / 0.04 * four[0] ** -2.0
    assert inside.sum() > 50
    np.testing.assert_array_less(np.abs(bias), 1e-12 + 1e-10 * size)


def test_beyond_goal():
    rng = np.random.default_rng(2)
    for snr, way, steps in ((0.04, 30.0, 20), (1.0, 5.0, 6), (0.01, 10.0, 40)):
        ends = steps + rng.standard_normal((200_000, steps)).sum(axis=1) / np.sqrt(snr)
        share = (ends > way).mean()
        found = passage.beyond_goal(snr, way, steps)
        assert share == pytest.approx(found, abs=5 * 0.5 / np.sqrt(2e5))
        assert found < passage.arrived(snr, way, steps)


def test_not_arrived_by_the_central_limit():
    rng = np.random.default_rng(3)
    for snr, m in ((0.1, 0.1), (1.0, 0.5), (3.0, 1.0)):
        log = np.zeros(40_000)
        for _ in range(100):
            noise = rng.standard_normal(log.size) / np.sqrt(snr)
            log += np.log(np.abs(1.0 - m * (1.0 + noise)))
        for share in (0.1, 0.5, 0.9):
            left = np.exp(min(np.quantile(log, share), -1e-9))
            expected = (log > np.log(left)).mean()
            found = contraction.not_arrived(snr, m, 100, left)
            assert found == pytest.approx(expected, abs=0.017 + 0.008)
    assert contraction.noiseless_remaining(0.25, 3) == pytest.approx(0.75**3, rel=1e-14)
    n = contraction.noiseless_steps(0.02, 1e-3)
    assert contraction.noiseless_remaining(0.02, n) == pytest.approx(1e-3, rel=1e-12)


def test_changes_by_chance():
    exact = mp.quad(lambda u: abs(u) * mp.npdf(u), [-20, 0, 20]) * 3 * mp.mpf(0.2)
    assert directions.probe_change(3.0, 0.2) == pytest.approx(float(exact), rel=1e-14)
    for gap, s in ((0.1, 0.05), (1.0, 0.1), (0.0, 0.3)):
        exact = 2 * mp.ncdf(-mp.mpf(gap) / (mp.sqrt(2) * mp.mpf(s)))
        assert misstep.moved(gap, s) == pytest.approx(float(exact), rel=1e-13)
    assert misstep.moved([0.0, 0.1], 0.0).tolist() == [1.0, 0.0]


def test_a_known_scale_saves_what_weights_by_precision_do():
    rng = np.random.default_rng(4)
    scales, chances = np.array([0.5, 2.0]), np.array([0.3, 0.7])
    s = scales[(rng.random((4000, 400)) < chances[1]).astype(int)]
    noise = s * rng.standard_normal(s.shape)
    weighted = (noise / s**2).sum(axis=1) / (1.0 / s**2).sum(axis=1)
    saved = noise.mean(axis=1).var() / weighted.var()
    found = mixture.known_scale_gain(scales, chances)
    assert saved == pytest.approx(found, rel=5 * np.sqrt(4 / 4000))
    assert mixture.known_scale_gain([1.0, 1.0], 1.0) == 1.0


@pytest.mark.parametrize("iterates", ["free", "projected"])
def test_no_step_beats_the_best_bound(iterates):
    at = {"fall": 2.0, "lipschitz": 1.5, "probe": 0.1, "sigma": 0.3, "dimension": 7}
    at |= {"steps": 1e5, "iterates": iterates}
    best = stationarity.step_size(**at)
    steps = best * np.geomspace(0.1, 10.0, 101)
    found = stationarity.bound_at_step(**at, step=steps)
    assert found.argmin() == 50
    assert found.min() == pytest.approx(stationarity.bound(**at), rel=1e-12)
