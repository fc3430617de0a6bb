"""The reproduction of the output-randomization paper, at the small scale."""

import math

import numpy as np
import pytest
import runs
import torch
from runs import changed

from querytax.intervals import Interval, quantile
from querytax.noise import normals
from querytax.reproductions import zoo
from querytax.reproductions.experiment import Job, settings
from querytax.reproductions.judge import DIFFERS, MATCHED, UNDECIDED
from querytax.reproductions.measured import only, select
from querytax.reproductions.output_randomization_2020.laws import attacked, ours
from querytax.reproductions.output_randomization_2020.rates import changing_sigma
from querytax.reproductions.runner import experiments, reproduce

PAPER = "output-randomization-2020"
NAMES = tuple(experiments(PAPER))
CNN = {"network": "digits_cnn"}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    return reproduce(PAPER, folder=tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def rows(outcome):
    return runs.rows_of(outcome)


def job(name):
    return Job(settings(PAPER, name, "small"), 0, "small")


def verdict(name, rows, words):
    (found,) = [
        v
        for v in experiments(PAPER)[name].judge(job(name), rows)
        if words in v.statement
    ]
    return found.verdict


# -- the run -----------------------------------------------------------------------


def test_everything_is_measured_drawn_and_judged(outcome):
    runs.check(outcome)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("misclassification", "digits_cnn: labels change as the integral"),
        ("misclassification", "digits_cnn: one answer bears the variance of the law"),
        ("undefended-accuracy", "digits_cnn: accuracy at 0.0576"),
        ("finite-difference", "digits_cnn, stage 0: the gradient's error is"),
        ("finite-difference", "digits_cnn, stage 0.9: the gradient's error is"),
        ("gradient-lemmas", "digits_cnn: the mean error is the exact bias"),
        ("gradient-lemmas", "digits_cnn: one slope has the variance"),
        ("gradient-lemmas", "digits_cnn: averages of 10 divide"),
        ("signal", "digits_cnn, stage 0.9: comparisons err"),
    ],
)
def test_the_true_laws_hold(rows, name, words):
    assert verdict(name, rows[name], words) == MATCHED


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("misclassification", "digits_cnn: labels change at the sum"),
        ("misclassification", "digits_cnn: one answer bears σ² = δ²"),
        ("misclassification", "digits_cnn: one answer bears σ² = δ/"),
        ("finite-difference", "digits_cnn, stage 0.9: the error grows as the variance"),
        ("gradient-lemmas", "digits_cnn: the mean error is as printed at any"),
    ],
)
def test_the_printed_forms_do_not(rows, name, words):
    assert verdict(name, rows[name], words) == DIFFERS


# -- other ways to the same numbers ------------------------------------------------


def test_a_label_changes_from_its_noise_on():
    p = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]], dtype=torch.float64)
    need = changing_sigma(p, 50, 3, "here")
    index = torch.arange(2)
    z = normals(3, "here", index, 0 * index, (50, 3), dtype=torch.float64)
    for sigma in (0.05, 0.2, 1.0):
        changed = (p[:, None] + sigma * z).argmax(2) != p.argmax(1)[:, None]
        assert np.array_equal(need < sigma, changed.T.numpy())


def test_two_classes_change_at_the_rate_of_a_normal_tail():
    p = torch.tensor([[0.65, 0.35]], dtype=torch.float64)
    need = changing_sigma(p, 20_000, 0, "here")[:, 0]
    at = quantile(np.minimum(need, 1e9), 0.1)
    # Φ⁻¹(0.1) = -1.2815516
    assert at.lower < 0.3 / (math.sqrt(2.0) * 1.2815516) < at.upper


def test_accuracy_again_with_other_draws(rows):
    x, y = zoo.images("digits_cnn", 600)
    with torch.no_grad():
        p = zoo.load("digits_cnn")(x).double().softmax(1).numpy()
    rng = np.random.default_rng(5)
    right = [
        np.mean(
            (p + math.sqrt(5.76e-2) * rng.normal(size=p.shape)).argmax(1) == y.numpy()
        )
        for _ in range(100)
    ]
    name = "accuracy of these images"
    (row,) = ours(rows["undefended-accuracy"], name, variance=5.76e-2, **CNN)
    error = np.std(right) / 10.0 + (row.interval.upper - row.interval.lower) / 4.0
    assert abs(np.mean(right) - row.value) < 4.0 * error


def test_weak_noise_has_the_error_of_the_delta_method(rows):
    """Near the boundary σ = 1e-4 is far below both outputs, and h moves neither."""
    found = job("finite-difference")
    x, y = attacked("digits_cnn", found["n_images"], 0.9, 0.3)
    with torch.no_grad():
        p = zoo.load("digits_cnn").double()(x.double()).softmax(1)
    own = p.gather(1, y[:, None])[:, 0]
    other = p.scatter(1, y[:, None], 0.0).amax(1)
    both_ends = 2.0 * (own**-2 + other**-2)
    error = 1e-4 / 2e-4 * (found["n_coordinates"] * both_ends).sqrt().median().item()
    where = {"stage": 0.9, "variance": 1e-8, "rival": "fixed"}
    (row,) = ours(rows["finite-difference"], "error of the gradient", **where, **CNN)
    assert row.value == pytest.approx(error, rel=0.1)


def test_the_signal_of_ql_is_that_of_the_gradient(rows):
    """S = 4β² |∇ ln p|² / (2 σ²/p²) of a linear loss under weak noise."""
    found = job("signal")
    x, y = attacked("digits_cnn", found["n_images"], 0.9, 0.3)
    x = x.double().requires_grad_(True)
    p = zoo.load("digits_cnn").double()(x).softmax(1).gather(1, y[:, None])[:, 0]
    (slope,) = torch.autograd.grad(p.sum(), x)
    signal = 2.0 * 1e-6 * slope.flatten(1).square().sum(1) / 1e-6
    where = {"attack": "QL", "stage": 0.9, "variance": 1e-6}
    row = only(rows["signal"], "S of a comparison", **where, **CNN)
    assert row.interval.lower < signal.median().item() < row.interval.upper


# -- judges on made-up rows --------------------------------------------------------


def wrong(x):
    return Interval(2.0 * x.value, 2.0 * x.lower, 2.0 * x.upper, x.n)


def vague(x):
    return Interval(x.value, x.value - abs(x.value), x.value + abs(x.value), x.n)


@pytest.mark.parametrize(
    ("name", "quantity", "words"),
    [
        ("misclassification", "changed answers", "digits_cnn: labels change as"),
        ("misclassification", "allowed variance", "digits_cnn: one answer bears the"),
        (
            "finite-difference",
            "error over the law's",
            "digits_cnn, stage 0.9: the g",
        ),
        ("gradient-lemmas", "mean error", "digits_cnn: the mean error is the exact"),
        ("gradient-lemmas", "variance", "digits_cnn: one slope has the variance"),
        ("gradient-lemmas", "variance of averages", "digits_cnn: averages of 10"),
        ("signal", "wrong signs", "digits_cnn, stage 0.9: comparisons err"),
    ],
)
def test_a_wrong_number_differs_and_a_vague_one_decides_nothing(
    rows, name, quantity, words
):
    true = rows[name]
    assert verdict(name, changed(true, quantity, wrong), words) == DIFFERS
    assert verdict(name, changed(true, quantity, vague), words) == UNDECIDED


@pytest.mark.parametrize(
    ("success", "word"),
    [((0.1, 0.05, 0.2), MATCHED), ((0.9, 0.8, 0.95), DIFFERS)],
)
def test_ql_at_the_least_noise(rows, success, word):
    made = changed(
        rows["query-limited"], "success rate", lambda x: Interval(*success, 9)
    )
    assert verdict("query-limited", made, "stops QL on most") == word


def test_a_lost_point_of_accuracy_is_no_undefended_accuracy(rows):
    name = "undefended-accuracy"
    words = "digits_cnn: no accuracy is lost"
    for value, word in ((0.0, MATCHED), (0.02, DIFFERS)):
        interval = Interval(value, value - 1e-3, value + 1e-3, 600)
        made = changed(rows[name], "accuracy lost", lambda _, i=interval: i)
        assert verdict(name, made, words) == word


def test_only_the_full_scale_meets_the_printed_imagenet(rows):
    assert not job("signal")["printed_network"]
    found = experiments(PAPER)["signal"].judge(job("signal"), rows["signal"])
    assert not any("success in table 1" in v.statement for v in found)
    full = settings(PAPER, "signal", "full")["printed_network"]
    assert zoo.NETWORKS[full].data == "imagenet"
    assert select(rows["signal"], network=full) == []
