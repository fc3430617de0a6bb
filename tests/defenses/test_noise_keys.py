"""The noise of a defence is a function of (seed, row, query)."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from querytax.defenses import InputNoise, OutputNoise
from querytax.expect import DomainError
from querytax.noise import normals


def scale(x):
    """A model whose rows do not touch: what is left is the noise's own independence."""
    return x.flatten(1) * 2


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 12), max_size=4),
    order=st.permutations(range(12)),
    sigma=st.sampled_from([0.0, 1e-6, 0.5]),
)
def test_batches_and_order_change_nothing(cuts, order, sigma):
    x = torch.linspace(0, 1, 60).view(12, 5)
    rows, queries = torch.arange(12) % 4, torch.arange(12) * 2**31
    edges = [0, *sorted(cuts), 12]
    order = torch.tensor(order)
    for make in (InputNoise, OutputNoise):
        defence = make(scale, sigma, experiment_seed=3)
        whole = defence(x, rows, queries)
        assert torch.equal(defence(x[order], rows[order], queries[order]), whole[order])
        defence.reset()
        counted = defence(x)
        defence.reset()
        parts = [defence(x[a:b]) for a, b in pairwise(edges)]
        assert torch.equal(torch.cat(parts), counted)


def test_one_batch_or_ten(build, model, images):
    defence = build(model)
    whole = defence(images)
    defence.reset()
    single = torch.cat([defence(image[None]) for image in images])
    # Convolutions of another batch size may differ in their last digits.
    assert torch.allclose(single, whole, atol=1e-5)
    rows, queries = torch.tensor([3, 1, 4, 1, 5, 9, 2]), torch.arange(7)
    keyed = defence(images, rows, queries)
    back = torch.arange(6, -1, -1)
    assert torch.allclose(
        defence(images[back], rows[back], queries[back]), keyed[back], atol=1e-5
    )


def test_defaults_are_row_zero_and_the_running_count(build, model, images):
    defence, same = build(model), build(model)
    first, second = defence(images), defence(images)
    rows = torch.zeros(7, dtype=torch.int64)
    assert torch.equal(same(images, rows, torch.arange(7)), first)
    assert torch.equal(same(images, rows, torch.arange(7, 14)), second)
    assert torch.equal(same(images, queries=torch.arange(7)), first)
    same.reset()
    assert torch.equal(same(images, rows=rows), first)


def test_rows_queries_and_seeds_are_fresh(build, model, images):
    defence = build(model)
    one = images[:1].expand(4, -1, -1, -1)
    rows, queries = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    answer = defence(one, rows, queries)
    for i in range(4):
        for j in range(i):
            assert (answer[i] != answer[j]).all()
    assert torch.equal(build(model, seed=0)(one, rows, queries), answer)
    assert (build(model, seed=1)(one, rows, queries) != answer).all()


def test_a_rows_noise_does_not_depend_on_the_other_images(build, model, images):
    rows, queries = torch.arange(7), torch.arange(7)
    defence = build(model)
    before = defence(images, rows, queries)
    changed = images.clone()
    changed[1:] = 100 * images[1:]
    after = defence(changed, rows, queries)
    assert torch.allclose(after[0], before[0], atol=1e-5)


def test_layers_of_one_kind_and_seed_draw_apart():
    x = torch.zeros(2000, 3)

    class Wrapped(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x)

    for between in (lambda m: m, Wrapped):
        twice = InputNoise(
            between(InputNoise(nn.Identity(), 1.0, experiment_seed=0)),
            1.0,
            experiment_seed=0,
        )
        spread = float(twice(x).var())
        # Independent noises add to 2, equal ones to 4; 6000 draws, 5.5 standard errors.
        assert abs(spread - 2) < 5.5 * 2 * (2 / 6000) ** 0.5


def test_keys_pass_inwards_and_the_sum_of_noises_is_what_it_should_be():
    x, rows, queries = torch.zeros(4, 3), torch.arange(4), torch.arange(4) + 8
    inner = InputNoise(nn.Identity(), 0.5, experiment_seed=2)
    outer = OutputNoise(inner, 0.25, on="logits", experiment_seed=9)
    want = 0.5 * normals(2, "defense/0/input", rows, queries, (3,))
    want = want + 0.25 * normals(9, "defense/1/output", rows, queries, (3,))
    assert torch.equal(outer(x, rows, queries), want)
    assert inner.n_queries == outer.n_queries == 4


def test_threads_never_share_a_key():
    defence = InputNoise(lambda x: x, 1.0, experiment_seed=0)
    answers: list[torch.Tensor] = []

    def work():
        for _ in range(20):
            answers.append(defence(torch.zeros(3, 2)))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert defence.n_queries == 240
    assert len(torch.cat(answers).unique(dim=0)) == 240


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"rows": torch.arange(3)}, r"expected rows of shape \(7,\), got \(3,\)"),
        ({"queries": torch.arange(7)[None]}, r"queries of shape \(7,\), got \(1, 7\)"),
        ({"rows": torch.zeros(7)}, "rows to be whole numbers .* got torch.float32"),
        ({"queries": torch.arange(7) - 1}, "expected queries >= 0, got -1"),
        ({"rows": torch.arange(7) + 2**32}, r"expected rows in \[0, 2\*\*32\)"),
        ({"rows": 3}, r"expected rows of shape \(7,\), got int"),
    ],
)
def test_bad_keys_are_named(build, model, images, keys, message):
    with pytest.raises(DomainError, match=message):
        build(model)(images, **keys)
