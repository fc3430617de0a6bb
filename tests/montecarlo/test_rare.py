"""Rare events and smooth means: against exact values, and against plain sampling."""

import mpmath as mp
import numpy as np
import pytest
from scipy import special

from querytax.expect import DomainError
from querytax.montecarlo.rare import paired, smooth, tilted


@pytest.mark.parametrize("sigma", [2.0, 6.0, 7.5, 12.0])
@pytest.mark.parametrize("half_space", [True, False])
def test_tilted_tails(sigma, half_space):
    """Down to 1.8e-33; the interval is at most 3 % wide."""
    found = tilted(
        lambda z: z[:, 0] > sigma, [sigma], relative=0.03, half_space=half_space
    )
    exact = float(special.ndtr(-sigma))
    assert found.low < exact < found.high
    assert found.high - found.low < 0.03 * found.value
    assert found.effective > 1e3
    assert found.largest < 1e-3
    assert found.asymptotic is not half_space


def test_tilting_agrees_with_plain_sampling_where_that_can_reach():
    """Two wrong signs at once, 8 % of draws: a quarter plane, not a half-space."""

    def event(z):
        return (z[:, 0] > 0.5) & (z[:, 1] > 0.7)

    far = tilted(event, [0.5, 0.7], rng=1)
    plain = tilted(event, [0.0, 0.0], rng=2)
    exact = special.ndtr(-0.5) * special.ndtr(-0.7)
    assert far.low < exact < far.high
    assert plain.low < exact < plain.high
    assert plain.effective == pytest.approx(plain.samples * plain.value, rel=1e-9)
    assert plain.effective / plain.samples < far.effective / far.samples


def test_a_broken_promise_is_told():
    with pytest.raises(DomainError, match="expected shift at the nearest point"):
        tilted(lambda z: np.abs(z[:, 0]) > 1.0, [2.0], half_space=True)


def test_one_heavy_point_shows():
    """Draws around the wrong place: the largest weight says so."""
    found = tilted(lambda z: z[:, 0] < -3.0, [1.0], max_samples=1e5)
    assert found.largest > 0.01
    assert found.effective < 300


def test_smooth_means_reach_many_digits():
    one = smooth(lambda z: special.ndtr(0.8 * z[:, 0] - 1.0), 1, points=256)
    assert one.value == pytest.approx(special.ndtr(-1 / np.sqrt(1.64)), rel=1e-13)
    two = smooth(lambda z: np.tanh(z[:, 0] + 0.5 * z[:, 1] + 0.3) ** 2, 2)
    with mp.workdps(20):
        s = mp.sqrt(1.25)
        exact = mp.quad(
            lambda x: mp.tanh(s * x + 0.3) ** 2 * mp.npdf(x), mp.linspace(-9, 9, 19)
        )
    assert two.value == pytest.approx(float(exact), rel=1e-7)
    three = smooth(lambda z: np.exp(0.3 * z.sum(axis=1)), 3)
    assert three.low < np.exp(0.135) < three.high
    assert three.high - three.low < 1e-2


def test_a_kink_shows_in_the_interval():
    """|ξ| is not smooth: fewer digits, and an interval that says so."""
    found = smooth(lambda z: np.abs(z[:, 0]), 1, points=64)
    exact = np.sqrt(2 / np.pi)
    assert found.low < exact < found.high
    assert found.high - found.low > 1e-4


def test_paired_draws_cancel():
    """Two close functions: their difference is far sharper than each mean."""
    found = paired(
        lambda z: np.maximum(z[:, 0] + 0.01, 0),
        lambda z: np.maximum(z[:, 0], 0),
        1,
    )
    exact = 0.01 * special.ndtr(0.01) + (np.exp(-0.5e-4) - 1) / np.sqrt(2 * np.pi)
    assert found.low < exact < found.high
    assert found.high - found.low < 2e-4


def test_seeds_repeat_and_differ():
    def event(z):
        return z[:, 0] > 4

    assert tilted(event, [4.0], rng=3) == tilted(event, [4.0], rng=3)
    assert tilted(event, [4.0], rng=3).value != tilted(event, [4.0], rng=4).value


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: tilted(np.isfinite, [np.nan]), "expected shift finite"),
        (lambda: tilted(np.isfinite, [1.0], relative=0), "expected relative > 0"),
        (lambda: tilted(np.isfinite, [1.0], max_samples=-1), "expected max_samples"),
        (lambda: smooth(np.isfinite, 21), "expected dimension at most 20, got 21"),
        (lambda: smooth(np.isfinite, 2, points=32), "expected points a power of two"),
        (lambda: smooth(np.isfinite, 1, copies=2), "expected copies a whole number"),
        (lambda: paired(np.cos, np.sin, 1, samples=0), "expected samples > 0"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(DomainError, match=says):
        call()
