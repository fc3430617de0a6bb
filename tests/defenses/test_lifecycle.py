"""Copies, files and devices: a defence goes on where it was."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch import nn

from querytax.defenses import InputNoise, OutputNoise


@pytest.mark.parametrize(
    "through",
    [
        copy.copy,
        copy.deepcopy,
        lambda d: pickle.loads(pickle.dumps(d)),
    ],
)
def test_a_copy_goes_on_with_the_same_noise(build, model, images, through):
    defence = build(model, rng=None)
    defence(images)
    twin = through(defence)
    assert twin.n_queries == 7
    assert twin.seed == defence.seed
    queries = torch.arange(7)
    assert torch.equal(twin(images, None, queries), defence(images, None, queries))


@pytest.mark.parametrize(
    "through", [copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))]
)
def test_a_deep_copy_counts_for_itself(build, model, images, through):
    defence = build(model)
    defence(images)
    twin = through(defence)
    assert torch.equal(twin(images), defence(images))
    twin(images)
    assert (twin.n_queries, defence.n_queries) == (21, 14)


def test_a_state_dict_carries_weights_and_count(build, model, images):
    defence = build(model)
    defence(images)
    state = io.BytesIO()
    torch.save(defence.state_dict(), state)
    state.seek(0)
    other = build(copy.deepcopy(model))
    with torch.no_grad():
        other.get_parameter(next(name for name, _ in other.named_parameters())).zero_()
    other.load_state_dict(torch.load(state, weights_only=True))
    assert other.n_queries == 7
    assert torch.equal(other(images), defence(images))
    assert all(
        isinstance(value, torch.Tensor) for value in defence.state_dict().values()
    )


def test_settings_are_printed(model):
    text = repr(OutputNoise(InputNoise(model, 0.25), 0.1, form="clip", rng=3))
    assert "sigma=0.25, seed=0" in text
    assert "sigma=0.1, on=probabilities, form=clip, seed=3" in text


def test_replicas_share_the_count(model, images):
    # What nn.DataParallel does to a module: a shallow copy of its attributes.
    defence = InputNoise(nn.Identity(), 1.0)
    replica = defence._replicate_for_data_parallel()
    replica._modules = dict(defence._modules)
    first, second = defence(images), replica(images)
    assert defence.n_queries == 14
    assert ((first - images) != (second - images)).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_noise_on_cuda_is_that_on_the_cpu(build, model, images):
    defence = build(model)
    rows, queries = torch.arange(7), torch.arange(7)
    here = defence(images, rows, queries)
    defence.to("cuda")
    # Keys may stay on the host.
    there = defence(images.to("cuda"), rows, queries)
    assert there.device.type == "cuda"
    assert torch.allclose(there.cpu(), here, atol=1e-2)
    assert (defence(images.to("cuda")) != defence(images.to("cuda"))).all()
