"""Small models whose attacks can be computed by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor


class Halfspace:
    """Two logits ∓(w·x - offset)/2: the margin loss of class 0 is w·x - offset.

    Sums in double precision, row by row: an answer does not depend on its batch.
    """

    def __init__(self, weight: Tensor, offset: float) -> None:
        self.weight, self.offset = weight, offset
        self.rows = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        score = (x.double() * self.weight.double()).flatten(1).sum(1) - self.offset
        return torch.stack((-0.5 * score, 0.5 * score), 1)


@pytest.fixture
def halfspace():
    """``halfspace(dimension, norm, margin)``: images at 0.5, ``margin`` below 0."""

    def build(dimension: int, norm: float = 1.0, margin: float = 0.1) -> Halfspace:
        weight = torch.linspace(-1.0, 1.2, dimension)
        weight = weight * (norm / weight.norm())
        return Halfspace(weight, float(0.5 * weight.double().sum()) + margin)

    return build


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Tensors here are tiny: on a busy machine threads would only wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Recorder:
    """A model that keeps every row that it was asked, in order."""

    def __init__(self, model) -> None:
        self.model, self.rows = model, []

    def __call__(self, x: Tensor) -> Tensor:
        self.rows.extend(x.clone().unbind())
        return self.model(x)


@pytest.fixture
def asked():
    """``asked(model, image, label, plan, n, **options)``: the first ``n`` questions.

    One image, ``(1, ...)``; without the first looks, at who is misclassified.
    """
    from querytax.attacks import attack

    def run(model, image, label, plan, n, **options) -> Tensor:
        recorder = Recorder(model)
        # Room for the votes that end a run; those begin with a success.
        found = attack(recorder, image, label, plan, n_queries=n + 9, **options)
        return torch.stack(recorder.rows[found.judged :])[:n]

    return run
