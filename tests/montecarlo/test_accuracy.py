"""Argmaxes of noisy outputs: simulated, against the closed forms and NumPy."""

import numpy as np
import pytest

from querytax.montecarlo import accuracy
from querytax.theory import accuracy as laws

from .agreement import by_hand
from .sharpness import holds

ROWS = [[0.5, 0.3, 0.2], [0.1, 0.45, 0.45], [0.9, 0.05, 0.05], [0.4, 0.35, 0.25]]
LABELS = [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("outputs", "sigma", "labels", "relative"),
    [
        ([0.35, 0.3, 0.3, 0.05], 0.05, None, 0.005),
        ([0.6, 0.4], 0.05, None, 0.1),
        (np.linspace(0, 1, 10), 0.3, 4, 0.005),
        ([1.0] + [0.0] * 99, 0.3, None, 0.02),
    ],
)
def test_misclassification_against_the_law(outputs, sigma, labels, relative):
    law = laws.misclassification(outputs, sigma, labels)
    holds(accuracy.misclassification(outputs, sigma, labels), law, relative)


@pytest.mark.parametrize("release", ["raw", "reflect", "clip"])
@pytest.mark.parametrize(("sigma", "relative"), [(0.05, 0.05), (0.6, 0.1)])
def test_accuracy_loss_against_the_law(sigma, relative, release):
    law = laws.accuracy_loss(ROWS, sigma, LABELS, release)
    holds(accuracy.accuracy_loss(ROWS, sigma, LABELS, release), law, relative)


@pytest.mark.parametrize("release", ["reflect", "clip"])
@pytest.mark.parametrize("label", [0, 2])
def test_released_outputs_against_the_law(label, release):
    """Where all outputs are clipped to 0 the first class wins."""
    law = laws.misclassification([0.1, 0.0, 0.08], 0.2, label, release)
    found = accuracy.misclassification([0.1, 0.0, 0.08], 0.2, label, release)
    holds(found, law, 0.005)


def test_against_numpy():
    rng = np.random.default_rng(0)
    rows = np.array(ROWS)[rng.integers(0, 4, 400_000)]
    noisy = rows + 0.3 * rng.standard_normal(rows.shape)
    wrong = noisy[rows[:, 0] == 0.5].argmax(axis=1) != 0
    by_hand(accuracy.misclassification(ROWS[0], 0.3), wrong, 1e6)
    label = np.where(rows[:, 0] == 0.4, 1, 0)
    loss = (noisy.argmax(axis=1) != label) * 1.0 - (rows.max(axis=1) > rows[:, 0])
    loss -= 1.0 * (rows[:, 0] == 0.4)
    by_hand(accuracy.accuracy_loss(ROWS, 0.3, LABELS), loss, 1e6)
