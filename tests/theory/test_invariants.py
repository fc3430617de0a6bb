"""What must hold at ten thousand points of every law, at any magnitude.

No NaN, no overflow but the stated infinities, inside the range that it states, monotone
in each parameter that it names, and no bound below what it bounds.
"""

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from querytax.theory import accuracy, bisection
from querytax.theory.law import RegimeWarning, find, laws

from .domains import drawn, joint, words
from .test_law import TABLES

INF = float("inf")
EXAMPLES, POINTS = 20, 500
# A difference of two times, which may be millions of steps.
ROUNDING = {"convergence.first_passage": 1e-6}

ELEMENTWISE = sorted({entry.name for entry in laws()} - TABLES)
# Laws that at some magnitudes warn of an overflow, or worse.
fully = settings(
    max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow], database=None
)


def at(arguments, k):
    return {p: x if isinstance(x, str) else x[k] for p, x in arguments.items()}


@pytest.mark.parametrize("name", ELEMENTWISE)
@fully
@given(seed=st.integers(0, 2**32 - 1))
def test_invariants(name, seed):
    rng = np.random.default_rng(seed)
    entry, law = find(name), find(name).function
    low, high = entry.within.low, entry.within.high
    first = drawn(name, rng, POINTS)
    second = drawn(name, rng, POINTS, first)
    chosen = words(name, rng)
    value = law(**first, **chosen)
    # A share is one to the last bit.
    slack = 0.0 if (low, high) in ((0.0, 1.0), (0.0, 0.5)) else 1e-12
    outside = ~((value >= low - slack * abs(low)) & (value <= high + slack * abs(high)))
    if outside.any():
        k = np.flatnonzero(outside)[0]
        pytest.fail(
            f"{value[k]} outside {entry.within.text} at {at(first, k)} {chosen}"
        )
    # Changed alone, a parameter of a joint condition may leave the domain, or limits.
    errors = "nan" if joint(name) else "raise"
    for parameter in (*entry.rises, *entry.falls):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RegimeWarning)
            moved = first | {parameter: second[parameter]}
            other = law(**moved, **chosen, errors=errors)
        rises = (second[parameter] > first[parameter]) == (parameter in entry.rises)
        if chosen.get("side") == "above":
            rises = ~rises
        less, more = np.where(rises, value, other), np.where(rises, other, value)
        size = np.maximum(np.abs(less), np.abs(more))
        slack = 1e-12 * np.where(size < INF, size, 0.0) + ROUNDING.get(name, 0.0)
        wrong = ~(less <= more + slack)
        if errors == "nan":
            wrong &= ~np.isnan(other)
        if wrong.any():
            k = np.flatnonzero(wrong)[0]
            pytest.fail(
                f"not monotone in {parameter}: {value[k]} but {other[k]} at "
                f"{second[parameter][k]} in place of {at(first, k)} {chosen}"
            )


def of(parameter):
    return lambda p: p[parameter]


# The smaller law, the larger, and what the smaller takes in terms of the larger's
# parameters; it shares those of the same name, and any other is drawn.
BOUNDS = [
    ("additive.nes_least_pairs", "additive.nes_pairs", {}),
    ("additive.remaining", "additive.constant_step_remaining", {}),
    ("angle.mean_cosine", "angle.rms_cosine", {}),
    ("contraction.almost_sure_threshold", "contraction.mean_square_threshold", {}),
    ("contraction.best_lyapunov", "contraction.lyapunov", {}),
    ("misstep.bent", "misstep.random_direction", {}),
    ("repeats.fixed", "repeats.random_direction", {}),
    ("repeats.sequential", "repeats.fixed", {}),
    (
        "second_moment.linear",
        "second_moment.lipschitz_bound",
        {"gradient_norm": of("lipschitz")},
    ),
    (
        "second_moment.linear",
        "second_moment.smooth_bound",
        {"gradient_norm": of("lipschitz")},
    ),
    ("second_moment.noise", "second_moment.quadratic", {}),
    ("second_moment.smooth_bound", "second_moment.lipschitz_bound", {}),
    # Linear losses flip as often as their median allows.
    (
        "sign_bound.isoperimetric",
        "sign_bound.concentration",
        {"median_gap": of("gap")},
    ),
    (
        "sign_bound.isoperimetric",
        "sign_bound.markov",
        {"median_gap": of("gap"), "repeats": lambda p: 1},
    ),
    (
        "sign_bound.isoperimetric",
        "sign_bound.smoothed",
        {"median_gap": of("smoothed_gap")},
    ),
    (
        "sign_bound.log_isoperimetric",
        "sign_bound.log_concentration",
        {"median_gap": of("gap")},
    ),
    (
        "sign_bound.log_isoperimetric",
        "sign_bound.log_smoothed",
        {"median_gap": of("smoothed_gap")},
    ),
    (
        "sign_bound.smoothing_shift",
        "smoothing.smoothing_gap",
        {"sigma": lambda p: 0.5 * p["sigma"]},
    ),
    ("smoothing.probe_gap", "smoothing.smoothing_gap", {"probe": of("sigma")}),
    (
        "smoothing.smooth_gap",
        "smoothing.quadratic_gap",
        {"smoothness": of("mean_curvature")},
    ),
    ("smoothing.smooth_gap", "smoothing.smoothing_gap", {}),
]


def check_order(less, more, where, slack=1e-12):
    size = np.maximum(np.abs(less), np.abs(more))
    wrong = ~(less <= more + slack * np.where(size < INF, size, 0.0))
    if wrong.any():
        k = np.flatnonzero(wrong)[0]
        pytest.fail(f"{less[k]} above {more[k]} at {at(where, k)}")


@pytest.mark.parametrize(("smaller", "larger", "shared"), BOUNDS)
@fully
@given(seed=st.integers(0, 2**32 - 1))
def test_bounds(smaller, larger, shared, seed):
    rng = np.random.default_rng(seed)
    p = drawn(larger, rng, POINTS)
    if "mean_curvature" in p:
        p["mean_curvature"] = np.abs(p["mean_curvature"])
    if larger == "additive.constant_step_remaining":
        p["steps"] = np.ceil(p["steps"])
    word = words(larger, rng)
    if smaller == "second_moment.smooth_bound":
        word = {}
    less = drawn(smaller, rng, POINTS)
    less |= {name: p[name] for name in less if name in p}
    less |= {name: value(p) for name, value in shared.items()}
    both = {w: x for w, x in word.items() if w in find(smaller).parameters}
    check_order(
        find(smaller).function(**less, **both),
        find(larger).function(**p, **word),
        {**p, **word},
    )


# A law, the choice of one of its parameters at which it is least (-1) or greatest.
OPTIMA = [
    ("contraction.lyapunov", "contraction.almost_sure_step", "contraction", -1),
    ("contraction.mean_square", "contraction.mean_square_step", "contraction", -1),
    ("directions.cached_spread", "directions.best_base_repeats", "base_repeats", -1),
    ("directions.progress_per_query", "directions.best_repeats", "repeats", 1),
    ("second_moment.quadratic", "second_moment.minimising_probe", "probe", -1),
]


@pytest.mark.parametrize(("name", "choice", "parameter", "sign"), OPTIMA)
@fully
@given(seed=st.integers(0, 2**32 - 1))
def test_optima(name, choice, parameter, sign, seed):
    p = drawn(name, np.random.default_rng(seed), POINTS)
    law, best = find(name).function, find(choice)
    chosen = best.function(**{k: v for k, v in p.items() if k in best.parameters})
    # No law takes a choice beyond the floats.
    inside = chosen < INF
    p, chosen = {k: v[inside] for k, v in p.items()}, chosen[inside]
    value, other = law(**{**p, parameter: chosen}), law(**p)
    check_order(*((value, other) if sign < 0 else (other, value)), p)


@fully
@given(seed=st.integers(0, 2**32 - 1))
def test_misclassification_lies_within_its_bounds(seed):
    rng = np.random.default_rng(seed)
    outputs = rng.uniform(0.0, 1.0, (POINTS, rng.integers(2, 8)))
    sigma = np.exp(rng.uniform(np.log(1e-3), np.log(1e2), POINTS))
    low, high = accuracy.misclassification_bounds(outputs, sigma)
    value = accuracy.misclassification(outputs, sigma)
    check_order(low, value, {"outputs": outputs, "sigma": sigma})
    check_order(value, high, {"outputs": outputs, "sigma": sigma})


@fully
@given(seed=st.integers(0, 2**32 - 1))
def test_bisection_tells_no_more_than_its_labels(seed):
    """Where the first interval's ends and the last cell's width have no part."""
    rng = np.random.default_rng(seed)
    radius, sigma = rng.uniform(0.4, 0.6, 20), rng.uniform(0.004, 0.04, 20)
    votes = rng.integers(1, 100, 20)
    check_order(
        bisection.information_rmse(sigma, 12 * votes),
        bisection.rmse(radius, sigma, 12, votes),
        {"radius": radius, "sigma": sigma, "votes": votes},
    )
