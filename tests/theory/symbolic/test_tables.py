"""Twins of laws of tables, at small ones, and twins under words that are no default."""

from itertools import product

import numpy as np
import pytest
import sympy as sp

from querytax.theory.law import find
from querytax.theory.symbolic.derivation import derive

from ..test_law import TABLES, numbers

ROWS = {"row": (0.65, 0.25, 0.1), "pair": (0.6, 0.35), "rows": ((0.8, 0.2), (0.3, 0.4))}
GUESSES = {"success": (0.3, 0.02, 0.1), "false_alarm": (0.1, 0.4, 0.0), "votes": 5}
COUNTS = {"hits": (3, 1, 4), "tried": (19, 22, 20)}
TURNS = {"outcomes": ((0, 0, 1, 0, 0), (0, 1, 0, 0, 0)), "turn": 2}
FEW = {"hits": (0, 1, 4), "tried": (9, 12, 10)}
MIXED = {"sigmas": (0.2, 1.5), "weights": (2.0, 3.0)}
OTHER = ((0.8, 0.2), (0.55, 0.45))


def symbols(name, table):
    """Each entry of a table under its symbol's name."""
    table = np.asarray(table)
    return {
        "_".join((name, *map(str, place))): sp.Rational(float(table[place]))
        for place in np.ndindex(table.shape)
    }


CASES = [
    ("accuracy.misclassification", {"outputs": ROWS["row"], "sigma": 0.2}, {}),
    ("accuracy.misclassification", {"outputs": ROWS["row"], "sigma": 0.02}, {}),
    ("accuracy.log_misclassification", {"outputs": ROWS["row"], "sigma": 0.1}, {}),
    ("accuracy.misclassification_bounds", {"outputs": ROWS["row"], "sigma": 0.2}, {}),
    ("accuracy.clipped_tie", {"outputs": ROWS["row"], "sigma": 0.2}, {}),
    (
        "accuracy.accuracy_loss",
        {"outputs": ROWS["rows"], "sigma": 0.2},
        {"labels": [0, 0]},
    ),
    ("accuracy.largest_sigma", {"outputs": ROWS["pair"], "rate": 0.1}, {}),
    (
        "accuracy.largest_sigma_mean",
        {"outputs": OTHER, "rate": 0.05},
        {"relative_tolerance": 1e-13},
    ),
    ("bisection.cells", {"boundary": 0.6, "ray_sigma": 0.2}, {"halvings": 2}),
    ("blind.survival", {"success": ROWS["row"], "queries": 5}, {}),
    ("blind.queries", {"success": (0.01, 0.3, 0.02), "share": 0.6}, {}),
    ("blind.success", {"label_shares": ROWS["row"], "votes": 9}, {}),
    ("blind.false_alarm", {"label_shares": ROWS["row"], "votes": 9}, {}),
    ("blind.confirmed_survival", {**GUESSES, "queries": 200}, {}),
    ("blind.confirmed_queries", {**GUESSES, "share": 0.7}, {}),
    ("blind_counts.survival", {**COUNTS, "queries": 4}, {}),
    ("blind_counts.error", {**COUNTS, "queries": 4}, {}),
    ("blind_counts.interval", {**COUNTS, "share": 0.5, "confidence": 0.6}, {}),
    ("blind_counts.interval", {**FEW, "share": 0.6, "confidence": 0.6}, {}),
    ("blind_counts.scheduled_survival", {**TURNS, "queries": 3}, {}),
    (
        "blind_counts.scheduled_interval",
        {**TURNS, "share": 0.5, "confidence": 0.6},
        {},
    ),
    (
        "blind_counts.image_interval",
        {"hits": 3, "tried": 20, "share": 0.5, "confidence": 0.9},
        {},
    ),
    (
        "misstep.noisy_layers",
        {
            "gradient_norm": 1.3,
            "site_gradient_norms": (0.5, 2.0),
            "candidate_step": 0.1,
            "sigmas": (0.2, 0.01),
        },
        {},
    ),
    ("misstep.over_changes", {"gaps": (0.4, 1.5), "loss_sigma": 0.6}, {}),
    ("log_ratio.all_positive", {"outputs": (0.3, 0.02), "sigma": 0.1}, {}),
    ("snr.combine", {"snrs": (0.3, 2.0, 7.0)}, {}),
    ("mixture.snr", {**MIXED, "delta_ms": 0.1}, {}),
    ("mixture.wrong_sign", {**MIXED, "gap": 0.3}, {}),
    ("mixture.median_gain", MIXED, {}),
    ("mixture.information", MIXED, {}),
    ("mixture.known_scale_gain", MIXED, {}),
    ("drift.sign_of", {"gradient": (0.3, 2.0, 1.0), "cosine": 0.4}, {}),
    ("records.accepted_mean_tied", {"chances": (0.5, 0.375, 0.125), "queries": 9}, {}),
]


@pytest.mark.parametrize(("name", "numbers", "fixed"), CASES)
def test_small_tables(name, numbers, fixed):
    assert name in TABLES
    point = {}
    for key, value in numbers.items():
        single = {key: sp.Rational(value)} if np.ndim(value) == 0 else {}
        point |= single or symbols(key, value)
    twin = derive(name)
    assert {s.name for s in twin.law.free_symbols} == set(point)
    exact = np.ravel(np.array(twin.evaluate(30, **point)).astype(float))
    found = np.ravel(find(name).function(**numbers, **fixed))
    np.testing.assert_allclose(found, exact, rtol=1e-12)


VALUES = {
    "boundary.scaled_noise_flip": {"scale_law": ("arcsine", "bell", "constant")},
    "convergence.displacement": {"norm": ("L2",)},
    "convergence.plateau": {"norm": ("L2",)},
    "convergence.steps": {"norm": ("L2",)},
    "efficiency.fisher_efficiency": {
        "release": ("raw", "reflect", "clip"),
        "reading": ("best", "log", "abs"),
    },
    "mixture.beta_wrong_sign": {"scale_law": ("bell", "constant")},
    "snr.output": {"release": ("reflect", "clip"), "reading": ("best", "abs")},
}
WORDED = [
    (name, dict(zip(words, pick, strict=True)))
    for name, words in VALUES.items()
    for pick in product(*words.values())
    # A clipped value may be 0, whose logarithm has no mean.
    if pick != ("clip", "log")
]


@pytest.mark.parametrize(("name", "words"), WORDED)
def test_other_words(name, words):
    entry, twin = find(name), derive(name, **words)
    assert twin.steps
    for step in twin.steps:
        assert step.holds(), (step.words, step.left, step.right)
        assert step.left != step.right, f"{step.words}: two times the same"
    for pick in (0, 1):
        point = {key: pair[pick] for key, pair in numbers(entry).items()}
        exact = twin.evaluate(30, **{k: sp.Rational(v) for k, v in point.items()})
        found = entry.function(**point, **words)
        np.testing.assert_allclose(found, float(exact), rtol=1e-12)
