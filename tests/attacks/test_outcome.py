"""Censored counts: the Kaplan-Meier median by hand, and its interval."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querytax.attacks import AttackResult, QueryCount
from querytax.expect import DomainError
from querytax.plans import NESPlan


def count(queries, success):
    return QueryCount(np.array(queries), np.array(success, dtype=bool))


def test_the_median_by_hand():
    """At risk 5, 3, 2 at the successes: survival 4/5, 4/5 2/3, 4/5 2/3 1/2."""
    found = count([10, 20, 30, 40, 50], [1, 0, 1, 1, 0])
    assert found.quantile(0.5) == 40.0
    assert found.quantile(0.2) == 10.0
    assert found.quantile(0.4) == 30.0
    assert found.quantile(0.8) == math.inf
    # Neither the average over successes nor their median.
    assert found.quantile() not in (np.mean([10, 30, 40]), 30.0)
    assert found.rate() == 0.6
    assert found.rate(within=30) == 0.4


def test_a_quantile_on_the_step_is_the_earlier_count():
    assert count([1, 2, 3, 4], [1, 1, 1, 1]).quantile(0.5) == 2.0
    assert count([1] * 3 + [2] * 7, [1] * 10).quantile(0.3) == 1.0


def test_few_successes_are_never_a_cheap_median():
    """Three of ten break early: the median of the successes is 30, the true one not."""
    found = count([10, 30, 50] + [1000] * 7, [1, 1, 1] + [0] * 7)
    assert found.quantile() == math.inf
    assert found.interval()[1] == math.inf


def test_nobody_broken_and_nobody_attacked():
    none = count([100, 90], [0, 0])
    assert none.quantile() == math.inf
    assert none.interval() == (0.0, math.inf)
    # Five lucky survivors of a half are no rarity, six are.
    assert count([90] * 5, [0] * 5).interval() == (0.0, math.inf)
    assert count([90] * 6, [0] * 6).interval() == (90.0, math.inf)
    empty = count([], [])
    assert math.isnan(empty.rate())
    assert empty.quantile() == math.inf
    assert empty.interval() == (0.0, math.inf)


def test_few_runs_do_not_bound_the_median_from_above():
    """Of three runs, all below the median with probability 1/8: no 95 % bound."""
    assert count([7], [1]).interval()[1] == math.inf
    assert count([7, 8, 9], [1, 1, 1]).interval() == (0.0, math.inf)


@given(
    st.lists(st.tuples(st.integers(1, 50), st.booleans()), min_size=1, max_size=40),
    st.floats(0.05, 0.95),
)
def test_the_interval_holds_the_quantile(runs, q):
    found = count(*zip(*runs, strict=True))
    low, high = found.interval(q)
    assert low <= found.quantile(q) <= high
    wide = found.interval(q, confidence=0.999)
    assert wide[0] <= low
    assert high <= wide[1]


def test_the_interval_covers():
    """Exponential counts cut at 1.5 medians, 60 a run, 400 runs: a 95 % interval.

    A coverage of 0.95 fails here with probability below 1e-4 (4 standard errors of
    0.011); a true coverage below 0.86 is sure to be seen.
    """
    rng = np.random.default_rng(3)
    median, hits = 1000 * math.log(2), 0
    for _ in range(400):
        true = rng.exponential(1000, 60)
        found = QueryCount(np.minimum(true, 1.5 * median), true < 1.5 * median)
        low, high = found.interval()
        hits += low <= median <= high
    assert hits / 400 > 0.95 - 4 * 0.011


@pytest.mark.parametrize("bad", [0.0, 1.0, -1.0, float("nan")])
def test_domains(bad):
    found = count([1, 2], [1, 0])
    with pytest.raises(DomainError, match=r"expected q in \(0, 1\)"):
        found.quantile(bad)
    with pytest.raises(DomainError, match=r"expected q in \(0, 1\)"):
        count([1], [0]).interval(bad)
    with pytest.raises(DomainError, match=r"expected confidence in \(0, 1\)"):
        found.interval(0.5, bad)


def result_of(attacked, spent, **counts):
    return AttackResult(
        plan=NESPlan(eps=0.1),
        budget=100,
        attacked=np.array(attacked),
        total_queries=int(sum(spent)),
        seed=3,
        votes=9,
        access="scores",
        spent={"search": np.array(spent, dtype=int)},
        status=("open",) * len(attacked),
        **counts,
    )


def test_json_has_no_infinity():
    some, none = count([40, 100], [1, 0]), count([100, 100], [0, 0])
    result = result_of(
        [True, True, False],
        [100, 100],
        noisy=some,
        submitted=some,
        confirmed=some,
        clean=none,
    )
    data = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert data["attack"] == "nes"
    assert data["n_attacked"] == 2
    assert data["confirmed"]["success_rate"] == 0.5
    low, high = data["confirmed"]["success_interval_95"]
    assert 0.0 < low < 0.5 < high < 1.0
    assert data["confirmed"]["n_censored"] == 1
    assert data["confirmed"]["median_queries"] == 40
    assert data["confirmed"]["median_interval_95"] == [0, None]
    assert data["clean"]["median_queries"] is None
    assert data["queries_by_purpose"] == {"search": 200}
    empty = count([], [])
    nobody = result_of(
        [False], [], noisy=empty, submitted=empty, confirmed=empty, clean=empty
    )
    json.dumps(nobody.to_json(), allow_nan=False)


def test_broken_is_confirmed_and_clean():
    result = result_of(
        [True] * 3,
        [90, 80, 100],
        noisy=count([5, 5, 5], [1, 1, 1]),
        submitted=count([15, 15, 15], [1, 1, 1]),
        confirmed=count([60, 80, 30], [1, 1, 1]),
        clean=count([90, 10, 100], [1, 1, 0]),
    )
    assert result.broken.queries.tolist() == [90, 80, 100]
    assert result.broken.success.tolist() == [True, True, False]


def test_the_curve_is_the_empirical_one_without_censoring():
    curve = count([10, 20, 20, 50], [1, 1, 1, 1]).curve()
    assert curve["queries"].tolist() == [10, 20, 50]
    np.testing.assert_allclose(curve["rate"], [0.25, 0.75, 1.0])
    assert (curve["lower"] <= curve["rate"]).all()
    assert (curve["upper"] >= curve["rate"]).all()
    # All have fallen: the exact bound for 4 of 4, (alpha/2)^(1/4).
    assert curve["lower"][-1] == pytest.approx(0.025**0.25)
    assert curve["upper"][-1] == 1.0
    nobody = count([9, 9], [0, 0]).curve()
    assert [nobody[k][0] for k in ("queries", "rate", "lower")] == [9, 0, 0]
    assert nobody["upper"][0] == pytest.approx(1 - 0.025**0.5)
    assert count([], []).curve()["queries"].size == 0


def test_crashed_runs_are_neither_success_nor_defence():
    some = QueryCount(
        np.array([10, 30, 100, 100]),
        np.array([True, False, False, True]),
        np.array([False, True, False, True]),
    )
    # The second knows nothing beyond 30; the last had succeeded before it crashed.
    assert some.rate() == 2 / 3
    assert some.to_json()["success_rate"] == 2 / 3
    assert some.quantile(0.25) == 10
    nothing = QueryCount(np.array([3]), np.array([False]), np.array([True]))
    assert math.isnan(nothing.rate())
    assert nothing.to_json()["success_rate"] is None


def test_the_curve_s_band_holds_the_truth():
    """Geometric counts cut at 40: the band covers the true rate at 15 in 95 % of 300.

    Between 273 and 297 with probability 1 - 1e-3 of the binomial's normal law.
    """
    rng, inside = np.random.default_rng(0), 0
    for _ in range(300):
        drawn = rng.geometric(0.05, 60)
        found = count(np.minimum(drawn, 40), drawn <= 40)
        curve = found.curve()
        at = np.searchsorted(curve["queries"], 15, side="right") - 1
        truth = 1.0 - 0.95**15
        inside += curve["lower"][at] <= truth <= curve["upper"][at]
    assert 270 <= inside <= 299
