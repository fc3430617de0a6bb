"""Copies, files and devices: the defence of an experiment goes on where it was."""

from __future__ import annotations

import copy
import inspect
import io
import pickle

import pytest
import torch
from torch import nn

from querytax.defenses import (
    CombinedNoise,
    Defense,
    FeatureNoise,
    InputNoise,
    OutputNoise,
    defend,
)


@pytest.mark.parametrize(
    "through",
    [
        copy.copy,
        copy.deepcopy,
        lambda d: pickle.loads(pickle.dumps(d)),
    ],
)
def test_a_copy_goes_on_with_the_same_noise(build, model, images, through):
    defence = build(model, seed=3)
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
    text = repr(OutputNoise(InputNoise(model, 0.25), 0.1, form="clip"))
    assert "sigma=0.25" in text
    assert "sigma=0.1, on=probabilities, form=clip" in text
    assert "predictable" not in text
    kept = repr(InputNoise(model, 0.25, experiment_seed=1))
    assert "sigma=0.25, noise=predictable, for experiments" in kept


def test_no_print_shows_a_seed(build, model):
    """A log that held it would let its reader subtract the noise."""
    defence = build(model, seed=8765432109876)
    for text in (repr(defence), str(defence), f"{defence}"):
        assert "8765432109876" not in text
        assert "seed" not in text


@pytest.mark.parametrize(
    "site", ["input", "output", "output:logits", "stem", "head:before", "input+stem"]
)
def test_two_workers_answer_with_different_noise(model, images, site):
    first, second = defend(model, site, 0.3), defend(model, site, 0.3)
    assert first.seed is second.seed is None
    keys = torch.zeros(7, dtype=torch.int64), torch.arange(7)
    # Reflected and cut noise leaves some answers at exactly 1.
    assert (first(images, *keys) != second(images, *keys)).double().mean() > 0.8


def all_defences():
    """Every class of the package's own, and the base."""
    found = [Defense]
    for kind in found:
        found += [sub for sub in kind.__subclasses__() if sub not in found]
    return [kind for kind in found if kind.__module__.startswith("querytax.")]


@pytest.mark.parametrize("make", [defend, *all_defences()], ids=lambda m: m.__name__)
def test_noise_can_be_repeated_only_where_it_is_asked_for(make):
    parameters = inspect.signature(make).parameters
    assert parameters["experiment_seed"].default is None
    assert not {"rng", "seed"} & set(parameters)


def test_every_defence_is_held_to_that():
    ours = {InputNoise, FeatureNoise, OutputNoise, CombinedNoise}
    assert ours <= set(all_defences())


def test_replicas_share_the_count(model, images):
    # What nn.DataParallel does to a module: a shallow copy of its attributes.
    images = images.flatten(1)
    defence = InputNoise(nn.Identity(), 1.0, experiment_seed=0)
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
