"""A question in parts: admit, before, the model, after are a call of the defence."""

from __future__ import annotations

import pytest
import torch

from querytax.defenses import (
    CombinedNoise,
    Defense,
    FeatureNoise,
    InputNoise,
    OutputNoise,
)


def output(model, **settings):
    return OutputNoise(model, 0.3, experiment_seed=4, **settings)


CHAINS = {
    "input": lambda model: InputNoise(model, 0.2, experiment_seed=3),
    "silent input": lambda model: InputNoise(model, 0.0, experiment_seed=3),
    "output": output,
    "silent output": lambda model: OutputNoise(
        model, 0.0, on="logits", experiment_seed=4
    ),
    "logits": lambda model: output(model, on="logits"),
    "reflect": lambda model: output(model, form="reflect"),
    "clip": lambda model: output(model, form="clip"),
    "output around input": lambda model: output(
        InputNoise(model, 0.2, experiment_seed=4)
    ),
    "input around output": lambda model: InputNoise(
        output(model), 0.2, experiment_seed=4
    ),
    "input around input": lambda model: InputNoise(
        InputNoise(model, 0.2, experiment_seed=4), 0.1, experiment_seed=4
    ),
    "several": lambda model: CombinedNoise(
        model, 0.2, "output+input*0.5", experiment_seed=3
    ),
    "silent several": lambda model: CombinedNoise(
        model, 0.0, "input+output:logits", experiment_seed=3
    ),
}


def layers(defence):
    """The defences from outside in, and the model behind them."""
    chain = []
    while isinstance(defence, Defense):
        chain.append(defence)
        defence = defence.model
    return chain, defence


def by_parts(defence, x, rows=None, queries=None):
    chain, model = layers(defence)
    keys = []
    for layer in chain:
        x, rows, queries = layer.admit(x, rows, queries)
        keys.append((rows, queries))
        x = layer.before(x, rows, queries)
    answer = model(x)
    for layer, key in zip(reversed(chain), reversed(keys), strict=True):
        answer = layer.after(answer, *key)
    return answer


@pytest.mark.parametrize("name", CHAINS)
def test_parts_make_the_whole(model, images, name):
    whole, parts = CHAINS[name](model), CHAINS[name](model)
    rows, queries = torch.arange(7) % 3, torch.arange(7) + 2**40
    for keys in ((), (rows, queries), (None, queries), ()):
        assert torch.equal(by_parts(parts, images, *keys), whole(images, *keys))
    double = images.double()
    assert torch.equal(by_parts(parts, double), whole(double))
    counts = [layer.n_queries for layer in layers(parts)[0]]
    assert counts == [35] * len(counts)
    assert counts == [layer.n_queries for layer in layers(whole)[0]]


@pytest.mark.parametrize("name", CHAINS)
def test_only_admission_counts(model, images, name):
    defence = CHAINS[name](model)
    keys = torch.arange(7), torch.arange(7)
    defence.after(model(defence.before(images, *keys)), *keys)
    assert all(layer.n_queries == 0 for layer in layers(defence)[0])


@pytest.mark.parametrize("name", CHAINS)
def test_an_answer_from_parts_is_the_callers_to_overwrite(model, name):
    answer = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    kept = answer.clone()
    keys = torch.arange(7), torch.arange(7)
    for layer in layers(CHAINS[name](model))[0]:
        layer.after(answer, *keys).fill_(9.0)
        assert torch.equal(answer, kept)


def test_levels_of_noise_share_one_pass_of_the_model(model, images):
    """What the parts are for: four defences, and the model is called once."""
    rows, queries = torch.arange(7), torch.arange(7)
    defences = [
        make(model, sigma, experiment_seed=1)
        for make in (InputNoise, OutputNoise)
        for sigma in (0.1, 0.4)
    ]
    asked = [d.before(images, rows, queries) for d in defences]
    answers = model(torch.cat(asked)).split(7)
    for defence, answer in zip(defences, answers, strict=True):
        got = defence.after(answer, rows, queries)
        # Convolutions of another batch size may differ in their last digits.
        assert torch.allclose(got, defence(images, rows, queries), atol=1e-5)


def test_what_may_be_merged(model):
    assert InputNoise(model, 0.1).mergeable
    assert OutputNoise(model, 0.1).mergeable
    assert not Defense(model).mergeable

    class Cached(InputNoise):
        def forward(self, x, rows=None, queries=None):
            return super().forward(x, rows, queries)

    # Its own forward, or a hook, would be passed by.
    assert not Cached(model, 0.1).mergeable
    for hook in ("register_forward_hook", "register_forward_pre_hook"):
        watched = OutputNoise(model, 0.1)
        handle = getattr(watched, hook)(lambda *_: None)
        assert not watched.mergeable
        handle.remove()
        assert watched.mergeable


def test_noise_inside_the_model_is_not_merged(model, images):
    inside, keys = FeatureNoise(model, 0.1, "stem"), (torch.arange(7), torch.arange(7))
    assert not inside.mergeable
    for part in (inside.before, inside.after):
        with pytest.raises(NotImplementedError, match="FeatureNoise is not mergeable"):
            part(images, *keys)


def test_whose_model_is_asked_something_else(model):
    assert InputNoise(model, 0.1).touches_input
    assert not InputNoise(model, 0.0).touches_input
    assert not OutputNoise(model, 0.1).touches_input
    assert not FeatureNoise(model, 0.1, "stem").touches_input
