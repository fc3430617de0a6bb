"""Searches with an incumbent: simulated, against the laws and NumPy."""

import numpy as np
import pytest

from querytax.montecarlo import search
from querytax.montecarlo.runs import estimate
from querytax.theory import search as laws

from .agreement import ALPHA, by_hand
from .sharpness import holds

SAMPLE = np.random.default_rng(5).standard_normal(48)


@pytest.mark.parametrize(
    ("mean", "sigma", "repeats", "relative"),
    [
        (0.0, 0.3, 1, 0.03),
        (0.0, 2.0, 3, 0.05),
        (0.5, 0.4, 1, 0.05),
        (0.5, 0.0, 2, 0.03),
    ],
)
def test_asked_again_against_the_law(mean, sigma, repeats, relative):
    law = laws.requeried_progress(SAMPLE + mean, sigma, repeats)
    holds(search.requeried_progress(SAMPLE + mean, sigma, repeats), law, relative)


def near(experiment, law, samples, off):
    """The interval lies within ``off`` of the law, and misses with ``ALPHA``."""
    found = estimate(experiment, rng=1, max_samples=samples, alpha=ALPHA, threads=1)
    assert found.within(law, off * law), (float(law), found)


@pytest.mark.parametrize(
    ("mean", "sigma", "repeats"), [(0.0, 0.3, 1), (0.0, 0.8, 2), (0.5, 0.4, 1)]
)
@pytest.mark.parametrize("name", ["stale_progress", "averaged_progress"])
def test_believed_answers_against_the_law(name, mean, sigma, repeats):
    law = getattr(laws, name)(SAMPLE + mean, sigma, repeats)
    near(getattr(search, name)(SAMPLE + mean, sigma, repeats), law, 2e4, 0.03)


@pytest.mark.parametrize("mode", ["stale", "requery", "mean"])
@pytest.mark.parametrize(("sigma", "repeats"), [(0.0, 1), (0.3, 1), (0.5, 2)])
def test_queries_against_the_law(mode, sigma, repeats):
    deltas, weights = np.stack([SAMPLE, 0.5 * SAMPLE + 0.05]), [0.6, 0.4]
    law = laws.queries(10.0, deltas, weights, sigma, repeats, mode)
    experiment = search.queries(10.0, deltas, weights, sigma, repeats, incumbent=mode)
    near(experiment, law, 2e4, 0.07)


def test_no_way_and_no_end():
    for gap, queries in ((0.0, 0.0), (1.0, 51.0)):
        never = search.queries(gap, [[1.0, 2.0]], [1.0], 0.0, 1, 51, "requery")
        assert estimate(never, max_samples=1e3, threads=1).value == queries


def test_against_numpy():
    rng = np.random.default_rng(0)
    deltas, sigma, runs = SAMPLE[:7], 0.6, 100_000
    believed = sigma * rng.standard_normal((runs, 2)).mean(axis=1)
    answers, fallen = np.ones(runs), np.zeros(runs)
    for _ in range(5):
        change = deltas[rng.integers(0, 7, runs)]
        own, fresh = sigma * rng.standard_normal((2, runs, 2)).mean(axis=2)
        believed = (answers * believed + fresh) / (answers + 1)
        won = change + own < believed
        answers = np.where(won, 1, answers + 1)
        believed = np.where(won, own, believed)
        fallen -= np.where(won, change, 0)
    experiment = search.averaged_progress(deltas, sigma, 2, before=0, counted=5)
    by_hand(experiment, fallen / 20, 1e5)
