"""The registry, and what every law owes its caller."""

import importlib
import inspect
import subprocess
import sys

import numpy as np
import pytest

from querytax.expect import DomainError
from querytax.theory.law import Law, find, law, laws
from querytax.validation.printed import printed_laws

LAWS = {entry.name: entry for entry in (*laws(), *printed_laws())}

# Two valid values for every parameter of every law.
VALID = {
    "accepted": (1, 3),
    "alignment": (0.5, 1.0),
    "amplitude": (0.7, 2.0),
    "ball_radius": (1.0, 2.0),
    "base_repeats": (1, 5),
    "bend": (0.5, -1.0),
    "candidate_sigma": (0.5, 1.0),
    "checks": (3, 20),
    "confidence": (0.2, 0.4),
    "contraction": (0.002, 0.001),
    "correlation": (0.5, -0.5),
    "cosine": (0.1, 0.5),
    "curvature": (1.0, -2.0),
    "delta_margin_ms": (0.1, 0.2),
    "delta_ms": (1e-4, 1e-3),
    "density": (0.5, 2.0),
    "density_slope": (0.5, -2.0),
    "depth": (0.1, 0.2),
    "difference": (1.0, 2.0),
    "dimension": (10, 100),
    "directions": (2, 20),
    "displacement": (0.1, 0.2),
    "distance": (5.0, 8.0),
    "drift": (0.5, 0.9),
    "error": (0.01, 0.1),
    "excess": (0.1, 0.01),
    "fall": (1.0, 2.0),
    "false_alarm": (0.1, 0.2),
    "frobenius": (1.0, 2.0),
    "gain": (1.0, 2.0),
    "gap": (0.1, 0.2),
    "gradient_norm": (1.0, 2.0),
    "halvings": (3, 7),
    "headroom": (1.0, 2.0),
    "high": (10.0, 20.0),
    "lipschitz": (1.0, 2.0),
    "log_ratio": (0.1, 0.2),
    "loss_sigma": (0.1, 0.2),
    "low": (0.5, 0.4),
    "margin": (0.1, -0.2),
    "mean": (0.3, -0.2),
    "mean_ratio": (1.05, 1.1),
    "mean_square_ratio": (1.25, 1.3),
    "median": (0.1, 0.2),
    "multiplier": (0.5, -1.0),
    "nats": (30.0, 40.0),
    "noise_ratio": (0.5, 2.0),
    "noise_sigma": (1.0, 2.0),
    "noise_variance": (0.1, 0.2),
    "origin": (-0.5, -0.2),
    "other_confidence": (0.25, 0.6),
    "other_margin": (0.2, -0.3),
    "other_output": (0.5, 0.45),
    "output": (0.3, 0.4),
    "output_behind": (0.31, 0.41),
    "output_slope": (0.5, -0.3),
    "pairs": (1, 10),
    "period": (1.0, 2.0),
    "phase": (0.2, 0.5),
    "probe": (0.1, 0.2),
    "quantile": (0.1, 0.2),
    "queries": (10.0, 100.0),
    "quotient": (0.7, -0.5),
    "radius": (0.1, 0.2),
    "rate": (0.01, 0.1),
    "relative_sigma": (0.2, 0.5),
    "remaining": (0.9, 0.8),
    "repeats": (1, 5),
    "reverse": (0.5, 1.0),
    "rival": (0.35, 0.45),
    "rival_behind": (0.36, 0.44),
    "rival_slope": (-0.4, 0.6),
    "rivals": (1, 9),
    "shape": (1.0, 2.0),
    "share": (0.5, 0.1),
    "sigma": (0.02, 0.03),
    "signal_ms": (0.1, 0.2),
    "slope": (0.1, 0.2),
    "smoothed_difference": (0.1, 0.2),
    "smoothness": (1.0, 2.0),
    "snr": (10.0, 20.0),
    "start": (0.0, 0.05),
    "step": (0.1, 0.2),
    "steps": (10.0, 20.0),
    "success": (0.3, 0.5),
    "t": (0.1, 20.0),
    "target": (0.5, 1.0),
    "third_derivative": (6.0, -2.0),
    "threshold": (0.3, 0.5),
    "tolerance": (0.1, 0.2),
    "trace": (0.5, -1.0),
    "votes": (1, 5),
    "weight": (1.0, 2.0),
    "width": (0.1, 0.2),
}
# Other values, for a law that holds at some of them only.
VALID_OF = {
    ("estimators.log_first", "pairs"): (100, 400),
    ("low_confidence.silent_share", "margin"): (2.0, -5.0),
    ("low_confidence.silent_share", "threshold"): (0.6, 0.4),
    ("query_ratio.sign_drift", "cosine"): (0.1, 0.05),
}
# Parameters that may be negative.
SIGNED = {
    "bend",
    "correlation",
    "curvature",
    "density_slope",
    "margin",
    "mean",
    "multiplier",
    "origin",
    "other_margin",
    "output_slope",
    "quotient",
    "rival_slope",
    "third_derivative",
    "trace",
}
WORDS = {"form", "reading", "direction", "norm"}
# Functions of whole tables: their shapes are tested where they live.
TABLES = {
    "accuracy.misclassification",
    "accuracy.log_misclassification",
    "accuracy.misclassification_bounds",
    "accuracy.accuracy_loss",
    "accuracy.largest_sigma",
    "accuracy.largest_sigma_mean",
    "margin.accuracy",
    "margin.accuracy_loss",
    "margin.flip_share",
    "bisection.cells",
    "blind.confirmed_queries",
    "blind.confirmed_survival",
    "blind.false_alarm",
    "blind.queries",
    "blind.success",
    "blind.survival",
    "blind_counts.error",
    "blind_counts.image_interval",
    "blind_counts.interval",
    "blind_counts.scheduled_interval",
    "blind_counts.scheduled_survival",
    "blind_counts.survival",
    "log_ratio.variance_of_sum",
    "misstep.noisy_layers",
    "mixture.information",
    "mixture.median_gain",
    "mixture.snr",
    "mixture.wrong_sign",
    "misstep.over_changes",
    "query_ratio.sign_drift_of",
    "records.accepted_mean_tied",
    # Good for a small snr only.
    "repeats.walds_error",
    "repeats.walds_pairs",
    "search.averaged_progress",
    "search.queries",
    "search.requeried_progress",
    "search.stale_progress",
    "snr.combine",
}
ELEMENTWISE = sorted(set(LAWS) - TABLES)


def valid(name: str, key: str) -> tuple[float, float]:
    return VALID_OF.get((name, key)) or VALID[key]


def numbers(entry: Law) -> dict[str, tuple[float, float]]:
    return {key: valid(entry.name, key) for key in entry.symbols if key not in WORDS}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_floats_give_floats_and_arrays_keep_their_shape(name: str) -> None:
    function, values = LAWS[name].function, numbers(LAWS[name])
    single = function(**{key: pair[0] for key, pair in values.items()})
    other = function(**{key: pair[1] for key, pair in values.items()})
    assert isinstance(single, float)
    table = function(
        **{key: np.array([[pair[0]], [pair[1]]]) for key, pair in values.items()}
    )
    assert table.shape == (2, 1)
    np.testing.assert_allclose(table[:, 0], [single, other], rtol=1e-13)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_arguments_broadcast(name: str) -> None:
    function, values = LAWS[name].function, numbers(LAWS[name])
    arguments = {
        key: np.full((2,) + (1,) * axis, pair[0])
        for axis, (key, pair) in enumerate(values.items())
    }
    assert function(**arguments).shape == (2,) * len(values)


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("bad", [float("nan"), -1.0, "much"])
def test_bad_input_is_named(name: str, bad: object) -> None:
    function, values = LAWS[name].function, numbers(LAWS[name])
    for key in values:
        if key in SIGNED and bad == -1.0:
            continue
        arguments = {k: bad if k == key else pair[0] for k, pair in values.items()}
        with pytest.raises(DomainError, match=f"expected {key} .*, got"):
            function(**arguments)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elements_outside_the_domain_are_nan_on_request(name: str) -> None:
    function, values = LAWS[name].function, numbers(LAWS[name])
    for key in values:
        arguments = {k: pair[0] for k, pair in values.items()}
        plain = function(**arguments)
        arguments[key] = np.array([values[key][0], np.nan, values[key][1]])
        mixed = function(**arguments, errors="nan")
        assert mixed.shape == (3,)
        assert mixed[0] == pytest.approx(plain, rel=1e-13)
        assert np.isnan(mixed).tolist() == [False, True, False]
        arguments[key] = float("nan")
        single = function(**arguments, errors="nan")
        assert isinstance(single, float)
        assert np.isnan(single)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_law_says_where_it_holds(name: str) -> None:
    entry, values = LAWS[name], numbers(LAWS[name])
    for key in values:
        arguments = {k: pair[0] for k, pair in values.items()} | {key: np.nan}
        assert not entry.supports(**arguments).holds
        assert f"expected {key}" in entry.supports(**arguments).reason


ROWS = np.array([[0.5, 0.3, 0.2], [0.6, np.nan, 0.1], [0.4, 0.35, 0.25]])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("accuracy.misclassification", {"outputs": ROWS, "sigma": 0.1}),
        ("accuracy.log_misclassification", {"outputs": ROWS, "sigma": [0.1] * 3}),
        ("accuracy.misclassification_bounds", {"outputs": ROWS, "sigma": 0.1}),
        ("accuracy.largest_sigma", {"outputs": ROWS, "rate": 0.01}),
        ("margin.accuracy", {"margin": ROWS[:, None], "gradient_norm": 1, "sigma": 1}),
        ("snr.combine", {"snr": ROWS}),
        ("mixture.wrong_sign", {"gap": 0.1, "sigma": ROWS, "weight": 1}),
        ("mixture.information", {"sigma": ROWS, "weight": 1}),
        ("bisection.cells", {"radius": ROWS[:, 1], "sigma": 0.1, "halvings": 3}),
        ("blind.survival", {"queries": 3, "success": ROWS}),
        ("blind.queries", {"success": ROWS, "share": 0.9}),
        ("blind.success", {"rate": ROWS, "votes": 3}),
        (
            "blind.confirmed_survival",
            {"queries": 30, "success": ROWS, "false_alarm": 0.1, "votes": 3},
        ),
        ("blind_counts.interval", {"hits": 10 * ROWS // 1, "tried": 9, "share": 0.5}),
        ("blind_counts.survival", {"queries": 3, "hits": 10 * ROWS // 1, "tried": 9}),
        (
            "blind_counts.scheduled_survival",
            {"queries": 2, "outcomes": np.round(ROWS)[:, None], "turn": 2},
        ),
        ("query_ratio.sign_drift_of", {"gradient": ROWS, "cosine": [0.1, 0.2, 0.9]}),
        ("records.accepted_mean_tied", {"chances": ROWS, "queries": [5, 6, 7]}),
    ],
)
def test_rows_of_tables_outside_the_domain_are_nan_on_request(name, arguments) -> None:
    found = LAWS[name].function(**arguments, errors="nan")
    good = {
        k: np.delete(v, 1, 0) if np.shape(v)[:1] == (3,) else v
        for k, v in arguments.items()
    }
    alone = LAWS[name].function(**good)
    pairs = (
        zip(found, alone, strict=True) if isinstance(found, tuple) else [(found, alone)]
    )
    for whole, part in pairs:
        assert np.isnan(whole[1]).all()
        np.testing.assert_allclose(np.delete(whole, 1, 0), part, rtol=1e-13)


def test_a_whole_table_is_one_element() -> None:
    loss = LAWS["accuracy.accuracy_loss"].function
    assert np.isnan(loss(ROWS, [0, 0, 0], 0.1, errors="nan"))
    assert loss(ROWS[::2], [0, 0], 0.1, errors="nan") > 0
    with pytest.raises(DomainError, match="expected errors to be one of"):
        loss(ROWS[::2], [0, 0], 0.1, errors="ignore")


@pytest.mark.parametrize("name", sorted(LAWS))
def test_an_entry_is_complete(name: str) -> None:
    entry = LAWS[name]
    assert entry.name == f"{entry.topic}.{entry.function.__name__}"
    assert entry.topic == entry.function.__module__.rpartition(".")[2]
    parameters = list(inspect.signature(entry.function).parameters)
    assert [*entry.symbols, "errors"] == parameters
    for text in (entry.formula, entry.latex, entry.regime, entry.source):
        assert text == text.strip() != ""
    assert "$" not in entry.latex
    assert entry.latex.count("{") == entry.latex.count("}")
    assert entry.function.__doc__
    assert ">>>" in entry.function.__doc__


def test_every_public_function_of_a_topic_is_a_law() -> None:
    for entry in laws():
        module = importlib.import_module(entry.function.__module__)
        for public in module.__all__:
            home = getattr(module, public).__module__.rpartition(".")[2]
            assert f"{home}.{public}" in LAWS


def test_true_and_printed_are_kept_apart() -> None:
    assert all(entry.topic != "printed" for entry in laws())
    assert {entry.topic for entry in printed_laws()} == {"printed"}


def test_find() -> None:
    assert find("query_ratio.best_step").function(1.0, 8, 7) == 1.5
    with pytest.raises(DomainError, match=r"did you mean 'query_ratio.best_step'"):
        find("query_ratio.best_stp")
    assert find("printed.repeats_8", printed_laws()).topic == "printed"


def test_symbols_must_be_the_parameters() -> None:
    with pytest.raises(TypeError, match="not its parameters"):

        @law(formula="y", latex="y", regime="", source="", symbols={"y": ""})
        def lonely(x: float) -> float:
            return x


def test_theory_loads_nothing_heavy() -> None:
    code = (
        "import sys; from querytax.theory.law import laws; assert laws(); "
        "heavy = {'torch', 'numba', 'sympy', 'matplotlib', 'scipy.stats', 'sklearn'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"
