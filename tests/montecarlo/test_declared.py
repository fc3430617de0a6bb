"""What holds for every simulation: bad input is named, and no split changes a bit."""

import inspect
import math
import warnings

import pytest

from querytax.expect import DomainError
from querytax.montecarlo import experiments
from querytax.montecarlo.declared import simulation
from querytax.montecarlo.runs import Experiment, estimate
from querytax.montecarlo.tails import truncated
from querytax.parameters import PARAMETERS
from querytax.theory.law import RegimeWarning, laws

from .agreement import ALPHA, any_split

EXPERIMENTS = experiments()
LAWS = {entry.name: entry for entry in laws()}

# Values at which every simulation is quick, where the typical ones are slow or rare.
ARGUMENTS = {
    "snr": 0.5,
    "dimension": 6,
    "directions": 4,
    "pairs": 3,
    "steps": 5,
    "noiseless_steps": 3.0,
    "distance": 3.0,
    "queries": 12,
    "limit": 50,
    "looks": 5,
    "burn": 9,
    "before": 3,
    "counted": 4,
    "votes": 3,
    "interval": 0.1,
    "drift": 0.3,
    "sigma": 0.1,
    "sigmas": [0.1, 0.2],
    "probe": 0.2,
    "contraction": 0.2,
    "remaining": 0.4,
    "low": 0.5,
    "high": 2.0,
    "near": 0.1,
    "far": 0.4,
    "floor": 0.0,
    "label_shares": [0.7, 0.4],
    "false_alarm": 0.2,
    "chances": [0.5, 0.3, 0.2],
    "stage_shares": [1.0],
}
SPECIAL = {
    "accuracy.accuracy_loss": {"outputs": [[0.5, 0.3, 0.4], [0.4, 0.5, 0.3]]},
    "accuracy.misclassification": {"outputs": [0.5, 0.3, 0.4]},
    "bisection.majority": {"label_error": 0.4},
    "bisection.mean_square": {"ray_sigma": 0.3},
    "boundary.flip": {"margin_sigma": 0.2},
    "boundary.scaled_noise_flip": {"margin_sigma": 0.3},
    "labels.rays_accepted": {"beyond": 0.3, "ray_sigma": 0.3},
    "low_confidence.silent_share": {"margin": 3.0, "threshold": 0.7},
    "margin.accuracy_loss": {"sigma": 0.2},
    "mixture.beta_wrong_sign": {"sigma": 0.3},
    "quantization.uniform_dither_variance": {"output": 0.33},
    "quantization.visibility": {"gap": 0.03},
    "ratio.opposite_signs": {"sigma": 0.3},
    "ratio.same_sign": {"sigma": 0.3},
    "scaling.wrong_sign": {"other_margin": 0.12},
}


def typical(name):
    """Arguments of a simulation by name, those with a default included."""
    found = {}
    for p, entry in inspect.signature(EXPERIMENTS[name]).parameters.items():
        row = PARAMETERS[p]
        if p in SPECIAL.get(name, {}):
            found[p] = SPECIAL[name][p]
        elif p in ARGUMENTS and (entry.default is entry.empty or p == "burn"):
            found[p] = ARGUMENTS[p]
        elif entry.default is not entry.empty:
            found[p] = entry.default
        else:
            found[p] = list(row.typical) if row.axes else row.typical[0]
    return found


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_nothing_depends_on_the_portions(name):
    any_split(EXPERIMENTS[name](**typical(name)), 4)


VARIANTS = [
    ("accuracy.accuracy_loss", {"release": "clip"}),
    ("angle.mean_cosine", {"differences": "centred", "repeats": 2}),
    ("angle.network", {"differences": "cached"}),
    ("contraction.not_arrived", {"when": "ever", "batch": 3}),
    ("convergence.displacement", {"norm": "L2", "step": 0.4}),
    ("directions.spread", {"differences": "centred"}),
    ("log_ratio.variance", {"release": "clip", "floor": 0.01}),
    ("misstep.after_repeats", {"direction": "fixed"}),
    ("search.queries", {"incumbent": "mean", "deltas": [[1, -1.0], [0.5, -0.2]]}),
    ("second_moment.network", {"differences": "antithetic"}),
    ("stationarity.square_gradient", {"iterates": "projected", "loss": "linear"}),
]


@pytest.mark.parametrize(("name", "given"), VARIANTS)
def test_nor_where_words_are_others(name, given):
    given = {**typical(name), **given}
    if name == "search.queries":
        given["stage_shares"] = [0.5, 0.5]
    any_split(EXPERIMENTS[name](**given), 4)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_bad_input_is_named(name):
    make, given = EXPERIMENTS[name], typical(name)
    for p in given:
        row = PARAMETERS[p]
        wrong = ["nine", math.nan, [math.nan]]
        if row.is_word:
            wrong = ["x" + row.domain.options[0], 3, ["raw"]]
        elif isinstance(make(**given).arguments[p], str):
            wrong += [[], [[[1.0]]]]
        elif given[p] is not None:
            wrong += [None, [given[p]], -math.inf]
        for value in wrong:
            with pytest.raises(DomainError, match=f"expected {p} ") as told:
                make(**{**given, p: value})
            assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_says_what_it_was_given(name):
    """All of its parameters, in its arguments, its documentation and its key."""
    make, given = EXPERIMENTS[name], typical(name)
    made = make(**given)
    assert made.name == name
    assert {*made.arguments} >= {*given}
    for p in given:
        assert f"\n{p} : " in make.__doc__
    assert all(isinstance(x, (str, int, float)) for x in made.arguments.values())
    clipped = truncated(made, -0.5, 0.5).meaning
    assert clipped[-4:] == ("truncated_low", -0.5, "truncated_high", 0.5)
    if not name.endswith("truncated_mean"):
        assert clipped[:-4] == made.meaning


# Their kernels divide by the noise, and refuse none.
DIVIDED = ("margin.tied_rivals", "mixture.beta_wrong_sign", "ratio.")
NOISES = [
    (name, p)
    for name in EXPERIMENTS
    for p in typical(name)
    if p.endswith(("sigma", "sigmas"))
    and name in LAWS
    and p in LAWS[name].parameters
    and LAWS[name].parameters[p].domain.holds(0.0)
    and not name.startswith(DIVIDED)
    # The one takes a Hessian's trace, the other is of long ways.
    and name not in ("second_moment.quadratic", "search.queries")
]


@pytest.mark.parametrize(("name", "noise"), NOISES)
def test_no_noise_is_the_law_s_limit(name, noise):
    given = typical(name)
    given[noise] = [0.0 for _ in given[noise]] if noise == "sigmas" else 0.0
    made = EXPERIMENTS[name](**given)
    known = {p: v for p, v in given.items() if p in LAWS[name].parameters}
    with warnings.catch_warnings(action="ignore", category=RegimeWarning):
        law = float(LAWS[name].function(**known))
    found = estimate(made, rng=1, max_samples=2e4, alpha=ALPHA, threads=1)
    assert found.low - 1e-12 <= law <= found.high + 1e-12, (law, found)


# Conditions on several arguments at once, and what is said of them.
JOINT = [
    ("accuracy.accuracy_loss", {"labels": [0]}, "labels of two classes or more, below"),
    ("accuracy.misclassification", {"labels": 3}, "labels of two classes or more"),
    ("accuracy.misclassification", {"outputs": [1.0]}, "labels of two classes or more"),
    ("angle.mean_cosine", {"directions": 1, "differences": "centred"}, "directions a"),
    ("blind.success", {"votes": 2}, "votes odd, got 2"),
    ("blind.confirmed_mean", {"success": 0.0}, "success in (0, 1]"),
    ("blind.confirmed_survival", {"success": [0.9]}, "false_alarm at most 1 - success"),
    ("convergence.displacement", {"norm": "L2", "dimension": 1}, "dimension a whole"),
    ("directions.spread", {"queries": 3}, "queries a multiple of 2, got 3"),
    ("directions.cached_spread", {"queries": 1}, "queries above base_repeats, 1"),
    ("drift.sign_of", {"gradient": [0, 0]}, "gradient to have an entry other than 0"),
    ("estimators.log_first", {"other_output": 0.3}, "other_output unlike output"),
    ("log_ratio.mean", {"release": "clip"}, "floor above 0 where outputs are clipped"),
    ("log_ratio.variance", {"floor": 0.1}, "floor above 0 where outputs are clipped"),
    ("margin.ball_flip", {"depth": 2.0}, "depth at most the ball_radius 1, got 2"),
    ("margin.flip_share", {"margins": [1, 0]}, "margins other than 0, got 0"),
    ("misstep.noisy_layers", {"sigmas": [1, 2, 3]}, "site_gradient_norms one, or one"),
    ("mixture.wrong_sign", {"weights": [1.0]}, "weights one for each of 2 scales"),
    ("passage.ou_mean", {"target": -0.6}, "target above the origin"),
    ("records.accepted_mean_tied", {"chances": [0.5, 0.6]}, "chances to add up to 1"),
    ("scaling.wrong_sign", {"high": 0.4}, "high above low, got 0.4"),
    ("search.queries", {"stage_shares": [1, 0]}, "stage_shares as many as stages"),
    ("search.queries", {"stage_shares": [0.5]}, "stage_shares with sum 1, got 0.5"),
    ("sign_bound.cusp", {"gap": 2.0}, "gap at most 0.1, got 2"),
    ("sign_bound.norm", {"near": 0.4}, "far above near, 0.4"),
    (
        "stationarity.square_gradient",
        {"start_input": 2, "iterates": "projected"},
        "start_input at most the radius 1, got 2",
    ),
]


@pytest.mark.parametrize(("name", "given", "says"), JOINT)
def test_joint_conditions_are_named(name, given, says):
    with pytest.raises(DomainError) as told:
        EXPERIMENTS[name](**{**typical(name), **given})
    assert f"expected {says}" in str(told.value)


def test_tables_of_one_and_many_rows():
    make = EXPERIMENTS["search.queries"]
    flat, rows = make(1.0, [1.0, -1.0], 1.0, 0.1), make(1.0, [[1.0, -1.0]], [1.0], 0.1)
    assert flat.meaning == rows.meaning
    assert flat.arguments["deltas"] == "1.0 -1.0"


def test_a_declaration_with_a_mistake_fails_at_once():
    def unknown(snrr): ...

    def turned(sigma, snr): ...

    with pytest.raises(TypeError, match="did you mean 'snr'"):
        simulation()(unknown)
    with pytest.raises(TypeError, match=r"in the order \['snr', 'sigma'\]"):
        simulation()(turned)
    with pytest.raises(TypeError, match="has no parameter gap"):
        simulation(domain={"gap": "(0, 1)"})(turned)


def test_keys_stay_as_they_were():
    """Later parameters come into a key where they are not at their default."""
    walk = EXPERIMENTS["convergence.displacement"]
    key = ("convergence.displacement", "steps", 3, "drift", 0.5, "step", 0.1)
    assert walk(0.5, 0.1, 3).meaning == walk(0.5, 0.1, 3, 9).meaning == key
    ball = (*key, "norm", "L2", "dimension", 9)
    assert walk(0.5, 0.1, 3, 9, "L2").meaning == ball
    assert EXPERIMENTS["convergence.plateau"](0.5, 0.1, burn=3).meaning == key
    moved = EXPERIMENTS["drift.cosine"](0.5, 6, 3).meaning
    assert moved[0] == "query_ratio.cosine"


def test_without_a_key_it_is_name_and_arguments():
    made = Experiment("a", {"b": 1.0}, None)
    assert made.meaning == ("a", "b", 1.0)
