"""Clipped means and quantiles: rigorous where draws have no mean, and at every look."""

import math

import numpy as np
import pytest
from scipy import integrate

from querytax.expect import DomainError
from querytax.montecarlo import passage, ratio
from querytax.montecarlo.runs import Experiment, Run, estimate
from querytax.montecarlo.streams import Stream
from querytax.montecarlo.tails import MOST, quantile, truncated
from querytax.theory import ratio as laws

from .agreement import agrees, any_split, by_hand


def drawn(name, value, size=1000, **bounds):
    """Draws ``value(u)`` of one uniform each, in small blocks."""

    def values(first, count, k0, k1):
        u = Stream((int(k0), int(k1))).uniforms(first, count)[:, 0]
        return value(u)

    return Experiment(
        name, {}, None, **bounds, event=False, cost=65536 / size, values=values
    )


CAUCHY = drawn(
    "test.cauchy",
    lambda u: np.tan(np.pi * (u - 0.5)),
    low=-math.inf,
    high=math.inf,
)


def test_a_clipped_mean_covers_at_all_looks_at_once():
    """400 runs of 12 looks, alpha = 5 %: more than 40 misses have chance 2e-5.

    Cauchy draws clipped to [-1, 3]: a quarter is below, arctan(1/3)/pi above.
    """
    clipped = truncated(CAUCHY, -1.0, 3.0)
    # The mean of max(-1, min(x, 3)), from the integral of the clipped identity.
    truth = -0.25 + 3.0 * math.atan(1 / 3) / math.pi + 0.5 * math.log(5) / math.pi
    share = 0.25 + math.atan(1 / 3) / math.pi
    misses, misjudged = 0, 0
    for seed in range(400):
        run, missed, beyond = Run(clipped, seed), False, False
        for _ in range(12):
            run = run.advance(2)
            low, high = run.interval(0.05)
            missed |= not low <= truth <= high
            found = run.truncation(0.05)
            beyond |= not found.share_low <= share <= found.share_high
        misses += missed
        misjudged += beyond
    assert misses <= 40
    assert misjudged <= 40


def test_the_estimate_says_what_was_clipped(tmp_path):
    clipped, path = truncated(CAUCHY, -1.0, 3.0), tmp_path / "run.json"
    whole = estimate(clipped, rng=3, max_samples=2e5, threads=1)
    assert not whole.asymptotic
    cut = whole.truncation
    assert (cut.low, cut.high) == (-1.0, 3.0)
    assert cut.share_low < 0.25 + math.atan(1 / 3) / math.pi < cut.share_high
    assert cut.share == whole.moments.clipped / whole.samples
    estimate(clipped, rng=3, max_samples=3e4, resume=path)
    assert estimate(clipped, rng=3, max_samples=2e5, resume=path, threads=2) == whole
    both = estimate(
        clipped, rng=4, max_samples=4e5, before=whole.moments, threads=1
    ).moments
    assert both.clipped > 1.8 * whole.moments.clipped
    assert estimate(ratio.same_sign(1, 1, 1), max_samples=1e5).truncation is None
    # Other bounds are another run.
    with pytest.raises(DomainError, match="expected a run with arguments"):
        estimate(truncated(CAUCHY, -1.0, 4.0), rng=3, resume=path)


@pytest.mark.parametrize(
    ("pair", "bounds"),
    [((1.0, 0.5, 0.3), (-10.0, 10.0)), ((0.2, 0.1, 1.0), (-2.0, 5.0))],
)
def test_clipped_ratios_against_the_law(pair, bounds):
    """The mean is high less the integral of the ratio's distribution."""
    below, _ = integrate.quad(
        lambda z: float(laws.distribution(z, *pair)), *bounds, limit=200
    )
    agrees(ratio.truncated_mean(*pair, *bounds), bounds[1] - below, 4e6, 0.2)
    rng = np.random.default_rng(0)
    a, b = pair[2] * rng.standard_normal((2, 500_000))
    draws = np.clip((pair[0] + a) / (pair[1] + b), *bounds)
    by_hand(ratio.truncated_mean(*pair, *bounds), draws, 1e6)


def test_nothing_depends_on_the_portions():
    any_split(ratio.truncated_mean(1.0, 0.5, 0.3))


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_quantiles_cover_whenever_they_stop(share):
    """400 runs that stop at a width of their own data; Cauchy's tails."""
    truth, misses = math.tan(math.pi * (share - 0.5)), 0
    for seed in range(400):
        found = quantile(
            CAUCHY,
            share,
            rng=seed,
            width=0.3 / (1.0 - share) ** 0.5,
            max_samples=8000,
            alpha=0.05,
            threads=1,
        )
        misses += not found.low <= truth <= found.high
    assert misses <= 40


def test_quantiles_of_passage_times():
    """Walks of 20 steps: NumPy's 99 % lies in the interval, and it is narrow."""
    walk = passage.walk_mean(0.1, 20.0)
    found = quantile(walk, 0.99, rng=1, max_samples=200_000, alpha=1e-6, threads=1)
    rng = np.random.default_rng(0)
    place, times = np.zeros(40_000), np.zeros(40_000)
    for _ in range(2000):
        going = place <= 20.0 * math.sqrt(0.1)
        if not going.any():
            break
        place[going] += math.sqrt(0.1) + rng.standard_normal(going.sum())
        times += going
    by_numpy = np.quantile(times, [0.9885, 0.9915])
    assert found.low <= by_numpy[1]
    assert found.high >= by_numpy[0]
    assert found.high - found.low < 0.06 * found.value
    assert found.low <= found.value <= found.high
    assert (found.samples, found.stopped) == (200_000, "budget")
    assert found == quantile(walk, 0.99, rng=1, max_samples=200_000, threads=3)


def test_a_quantile_is_an_order_statistic():
    """Against NumPy on the very draws; and what too few draws say."""
    found = quantile(CAUCHY, 0.3, rng=1, max_samples=2500, threads=1)
    key = (np.uint64(word) for word in Stream.of(1, *CAUCHY.meaning).key)
    draws = CAUCHY.values(0, 2500, *key)
    assert found.value == np.quantile(draws, 0.3, method="inverted_cdf")
    few = quantile(CAUCHY, 0.999, max_samples=100, threads=1)
    assert few.high == math.inf
    assert few.stopped == "budget"
    unit = drawn("test.unit", lambda u: u)
    assert quantile(unit, 0.999, max_samples=100, threads=1).high == 1.0
    assert quantile(unit, 0.5, width=0.1, threads=1).stopped == "width"


def test_bad_input_is_named():
    with pytest.raises(DomainError, match="expected high > low, got -1"):
        truncated(CAUCHY, 0.0, -1.0)
    with pytest.raises(DomainError, match="expected low finite"):
        truncated(CAUCHY, -math.inf, 1.0)
    silent = Experiment("test.silent", {}, None)
    for call in (lambda: truncated(silent, 0, 1), lambda: quantile(silent, 0.5)):
        with pytest.raises(DomainError, match=r"shows its draws, got 'test\.silent'"):
            call()
    with pytest.raises(DomainError, match="expected share in"):
        quantile(CAUCHY, 1.0)
    with pytest.raises(DomainError, match=f"expected max_samples at most {MOST}"):
        quantile(CAUCHY, 0.5, max_samples=MOST + 1)
    with pytest.raises(DomainError, match="expected width > 0"):
        quantile(CAUCHY, 0.5, width=0)
