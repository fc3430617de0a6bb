"""Whatever holds for every law: shapes, errors, regimes, entries, twins by relation."""

import importlib
import inspect
import subprocess
import sys
import warnings

import numpy as np
import pytest

from querytax.expect import DomainError
from querytax.parameters import PARAMETERS
from querytax.theory import GROUPS
from querytax.theory.law import Given, RegimeWarning, find, law, laws
from querytax.theory.relations import complement_of, inverse_of, log_of
from querytax.validation.printed import printed_laws

from .domains import drawn, root_of, words

LAWS = {entry.name: entry for entry in laws()}
# Typical values for a law that holds at some of them only.
VALID_OF = {
    ("contraction.not_arrived", "steps"): (40.0, 100.0),
    ("contraction.tuned_steps", "remaining"): (1e-13, 1e-17),
    ("estimators.log_first", "pairs"): (100, 400),
    ("estimators.log_first", "sigma"): (1.0, 2.0),
    ("estimators.outputs_first", "pairs"): (1, 10),
    ("labels.rays_checks", "dimension"): (16, 128),
    ("labels.rays_checks", "gain_share"): (0.5, 0.3),
    ("labels.rays_share", "dimension"): (16, 128),
    ("low_confidence.silent_share", "margin"): (2.0, -5.0),
    ("low_confidence.silent_share", "threshold"): (0.6, 0.4),
    ("drift.sign", "cosine"): (0.1, 0.05),
    ("directions.spread", "queries"): (10.0, 100.0),
    ("repeats.walds_error", "snr"): (0.01, 0.05),
    ("repeats.walds_pairs", "snr"): (0.01, 0.05),
}
# Functions of whole tables: their shapes are tested where they live.
TABLES = {entry.name for entry in LAWS.values() if entry.tables} | {
    # A pair of numbers, or an axis of its own.
    "blind_counts.image_interval",
    "bisection.cells",
}
ELEMENTWISE = sorted(set(LAWS) - TABLES)


def valid(name, key):
    """Two values of a parameter at which the law holds."""
    entry = LAWS[name]
    root = root_of(entry) if entry.relation else entry
    return VALID_OF.get((root.name, key)) or PARAMETERS[key].typical


def numbers(entry):
    keys = [key for key, p in entry.parameters.items() if not p.is_word]
    return {key: valid(entry.name, key) for key in keys}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_floats_give_floats_and_arrays_keep_their_shape_and_broadcast(name):
    function, values = LAWS[name].function, numbers(LAWS[name])
    single = function(**{key: pair[0] for key, pair in values.items()})
    other = function(**{key: pair[1] for key, pair in values.items()})
    assert isinstance(single, float)
    table = function(
        **{key: np.array([[pair[0]], [pair[1]]]) for key, pair in values.items()}
    )
    assert table.shape == (2, 1)
    np.testing.assert_allclose(table[:, 0], [single, other], rtol=1e-13)
    arguments = {
        key: np.full((2,) + (1,) * axis, pair[0])
        for axis, (key, pair) in enumerate(values.items())
    }
    assert function(**arguments).shape == (2,) * len(values)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_bad_input_is_named_or_nan_on_request(name):
    entry, values = LAWS[name], numbers(LAWS[name])
    function, first = entry.function, {k: pair[0] for k, pair in values.items()}
    plain = function(**first)
    for key in values:
        signed = entry.parameters[key].domain.low < 0.0
        for bad in (float("nan"), "much", *[-1.0] * (not signed)):
            with pytest.raises(DomainError, match=f"expected {key} .*, got"):
                function(**first | {key: bad})
        found = entry.supports(**first | {key: np.nan})
        assert not found.holds
        assert f"expected {key}" in found.reason
        some = np.array([values[key][0], np.nan, values[key][1]])
        mixed = function(**first | {key: some}, errors="nan")
        assert mixed[0] == pytest.approx(plain, rel=1e-13)
        assert np.isnan(mixed).tolist() == [False, True, False]
        single = function(**first | {key: float("nan")}, errors="nan")
        assert isinstance(single, float)
        assert np.isnan(single)


# Who is there already takes no step, and who is not takes one at least; whoever began
# elsewhere than at the centre overshot there too.
JUMPS = {
    ("convergence.first_passage", "displacement"),
    ("convergence.first_passage", "start"),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_the_limit_at_zero(name):
    """A law that takes 0 gives there what it tends to."""
    entry, values = LAWS[name], numbers(LAWS[name])
    for key in values:
        domain = entry.parameters[key].domain
        if domain.low != 0.0 or domain.open_low or domain.whole:
            continue
        if (name, key) in JUMPS:
            continue
        first = {k: pair[0] for k, pair in values.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RegimeWarning)
            there = entry.function(**first | {key: 0.0}, errors="nan")
            near = entry.function(**first | {key: 1e-290}, errors="nan")
        if np.isnan(there) and np.isnan(near):
            continue  # A joint condition.
        if np.isinf(there) or abs(there) > 1e100:
            assert abs(near) > 1e100 or abs(near) > 300.0, (key, there, near)
        else:
            assert near == pytest.approx(there, rel=1e-6, abs=1e-90), key


# Words at which a law has its limits, where it has none as a rule.
PAST = {"snr.output": {"release": "reflect"}}
LIMITED = sorted(e.name for e in laws() if e.limits and e.name not in TABLES)


@pytest.mark.parametrize("name", LIMITED)
def test_past_each_limit_it_warns(name):
    """Draws on both sides of every limit: past any it warns, within all it does not."""
    entry, rng = LAWS[name], np.random.default_rng(1)
    many, said = {}, PAST.get(name, {})
    for key, p in entry.parameters.items():
        if not p.is_word:
            low, high = max(p.domain.low, -1e3), min(p.domain.high, 1e6)
            size = np.exp(rng.uniform(-12.0, np.log(min(high, 1e6)), 4000))
            many[key] = np.where(rng.random(4000) < 0.5 * (low < 0), -size, size)
            if p.domain.whole:
                many[key] = np.maximum(np.floor(many[key]), p.domain.low)
            inside = p.domain.holds(many[key])
            many[key] = np.where(inside, many[key], valid(name, key)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RegimeWarning)
        answered = ~np.isnan(entry.function(**many, **said, errors="nan"))
    many = {k: v[answered] for k, v in many.items()}
    for limit, within in entry.limits.items():
        known = many | said
        given = {
            p: known[p] for p in inspect.signature(within).parameters if p in known
        }
        holds = np.broadcast_to(within(**given), answered.sum())
        assert not holds.all(), f"no draw is past {limit}"
        k = int(np.flatnonzero(~holds)[0])
        with pytest.warns(RegimeWarning, match=entry.name):
            entry.function(**{key: v[k] for key, v in many.items()}, **said)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RegimeWarning)
        entry.function(**drawn(name, rng, 50), **words(name, rng))


ROWS = np.array([[0.5, 0.3, 0.2], [0.6, np.nan, 0.1], [0.4, 0.35, 0.25]])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("accuracy.misclassification", {"outputs": ROWS, "sigma": 0.1}),
        ("accuracy.log_misclassification", {"outputs": ROWS, "sigma": [0.1] * 3}),
        ("accuracy.misclassification_bounds", {"outputs": ROWS, "sigma": 0.1}),
        ("accuracy.largest_sigma", {"outputs": ROWS, "rate": 0.01}),
        (
            "margin.accuracy",
            {"margins": ROWS[:, None], "site_gradient_norms": 1, "sigma": 1},
        ),
        ("snr.combine", {"snrs": ROWS}),
        ("mixture.wrong_sign", {"gap": 0.1, "sigmas": ROWS, "weights": 1}),
        ("mixture.information", {"sigmas": ROWS, "weights": 1}),
        (
            "bisection.cells",
            {"boundary": ROWS[:, 1], "ray_sigma": 0.1, "halvings": 3},
        ),
        ("blind.survival", {"queries": 3, "success": ROWS}),
        ("blind.queries", {"success": ROWS, "share": 0.9}),
        ("blind.success", {"label_shares": ROWS, "votes": 3}),
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
        ("drift.sign_of", {"gradient": ROWS, "cosine": [0.1, 0.2, 0.9]}),
        ("records.accepted_mean_tied", {"chances": ROWS, "queries": [5, 6, 7]}),
    ],
)
def test_rows_of_tables_outside_the_domain_are_nan_on_request(name, arguments):
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


def test_a_whole_table_is_one_element():
    loss = LAWS["accuracy.accuracy_loss"].function
    labelled = {"labels": [0, 0], "sigma": 0.1}
    assert np.isnan(loss(outputs=ROWS, labels=[0, 0, 0], sigma=0.1, errors="nan"))
    assert loss(outputs=ROWS[::2], **labelled, errors="nan") > 0
    with pytest.raises(DomainError, match="expected errors to be one of"):
        loss(outputs=ROWS[::2], **labelled, errors="ignore")


@pytest.mark.parametrize("name", sorted(e.name for e in laws()))
def test_an_entry_is_complete(name):
    entry = LAWS[name]
    assert entry.name == f"{entry.topic}.{entry.function.__name__}"
    assert entry.topic == entry.function.__module__.rpartition(".")[2]
    parameters = list(inspect.signature(entry.function).parameters)
    assert [*entry.parameters, "errors"] == parameters
    for text in (entry.formula, entry.regime, entry.source, entry.summary):
        assert text == text.strip() != ""
    # A line of the listing, and of a terminal.
    assert len(entry.summary) <= 78
    assert entry.summary.endswith(".")
    assert {*entry.rises, *entry.falls} <= {*entry.parameters}
    if not entry.relation:
        assert ">>>" in (entry.function.__doc__ or "")
    # What is no exact law says where it may be used.
    assert entry.kind != "approximation" or entry.limits


def test_every_public_function_of_a_topic_is_a_law_and_every_topic_has_its_group():
    topics = {entry.topic for entry in laws()}
    assert sorted(t for group in GROUPS.values() for t in group) == sorted(topics)
    for topic in topics:
        module = importlib.import_module(f"querytax.theory.{topic}")
        for name, value in vars(module).items():
            here = getattr(value, "__module__", "") == module.__name__
            if here and inspect.isfunction(value) and not name.startswith("_"):
                assert f"{topic}.{name}" in LAWS


def test_true_and_printed_are_kept_apart():
    assert all(not entry.name.startswith("printed") for entry in laws())
    assert all(entry.name.startswith("printed") for entry in printed_laws())


def test_find():
    assert find("query_ratio.best_step").function(1.0, 8, 7) == 1.5
    with pytest.raises(DomainError, match=r"did you mean 'query_ratio.best_step'"):
        find("query_ratio.best_stp")


def square(law_of):
    """A small law in a module of tests, which is no topic."""

    @law_of("y = m²", "here", value="[0, inf); rises in sigma")
    def squared(sigma: Given) -> float:
        """A square.

        >>> squared(2.0)
        4.0
        """
        return sigma**2

    return squared


def test_a_law_is_declared_once():
    one = square(law)
    assert one(2) == one(sigma=2.0) == 4.0
    assert "standard deviation of the noise" in one.__doc__
    assert "In [0, inf); rises with sigma." in one.__doc__
    assert log_of(one)(np.e) == pytest.approx(2.0)
    rest = complement_of(one, "rest")
    assert rest(0.5) == 0.75
    back = inverse_of(one, "sigma", "gap", "root")
    np.testing.assert_allclose(back(np.array([1e-300, 0.25, 9.0])), [1e-150, 0.5, 3.0])
    assert back.entry.rises == ("gap",)
    with pytest.raises(DomainError, match="gap among the values of the law"):
        inverse_of(rest, "sigma", "gap", "unrest")(5.0)
    with pytest.raises(TypeError):
        one(1.0, 2.0)
    with pytest.raises(TypeError):
        one(1.0, sigma=2.0)
    with pytest.raises(TypeError):
        one()


def test_what_cannot_be_declared_is_named():
    with pytest.raises(TypeError, match=r"'sigmma'.*did you mean 'sigma'"):

        @law("y", "here")
        def lonely(sigmma: float) -> float:
            return sigmma

    with pytest.raises(TypeError, match=r"in the order \['gap', 'sigma'\]"):

        @law("y", "here")
        def turned(sigma: float, gap: float) -> float:
            return sigma

    with pytest.raises(TypeError, match="has no parameter gap"):

        @law("y", "here", domain={"gap": "(0, 1)"})
        def other(sigma: float) -> float:
            return sigma


def test_theory_loads_nothing_heavy():
    code = (
        "import sys; from querytax.theory.law import laws; assert laws(); "
        "heavy = {'torch', 'numba', 'sympy', 'matplotlib', 'scipy.stats', 'sklearn'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"
