"""Where FeatureNoise adds its noise, and what it leaves untouched."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from torch import nn

from querytax.defenses import FeatureNoise, InputNoise, OutputNoise
from querytax.expect import DomainError
from querytax.noise import normals

KEYS = (torch.arange(7), torch.arange(7) + 5)


def hooks(model):
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()
    )


def test_noise_is_added_to_the_output_of_the_site(model, images):
    noise = normals(0, "defense/0/output:head:1", *KEYS, (5,))
    got = FeatureNoise(model, 0.2, "head", experiment_seed=0)(images, *KEYS)
    assert torch.allclose(got, model(images) + 0.2 * noise, atol=1e-6)


def test_noise_is_added_to_the_input_of_the_site(model, images):
    noise = normals(0, "defense/0/input:stem:1", *KEYS, (3, 6, 6))
    got = FeatureNoise(model, 0.2, "stem", where="input", experiment_seed=0)(
        images, *KEYS
    )
    assert torch.allclose(got, model(images + 0.2 * noise), atol=1e-5)


def test_each_site_has_its_own_deviation_and_noise(model, images):
    both = FeatureNoise(model, [0.1, 0.2], ["stem", "head"], experiment_seed=0)(
        images, *KEYS
    )
    stem = FeatureNoise(model, [0.1, 0.0], ["stem", "head"], experiment_seed=0)(
        images, *KEYS
    )
    only = FeatureNoise(model, 0.1, "stem", experiment_seed=0)(images, *KEYS)
    head = 0.2 * normals(0, "defense/0/output:head:1", *KEYS, (5,))
    assert torch.equal(stem, only)
    assert torch.allclose(both, only + head, atol=1e-6)


def test_a_site_reached_twice_gets_independent_noise():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.site = nn.Identity()

        def forward(self, x):
            return torch.cat([self.site(x), self.site(x)], dim=1)

    got = FeatureNoise(Twice(), 1.0, "site", experiment_seed=0)(torch.zeros(4000, 2))
    corr = torch.corrcoef(got.T) - torch.eye(4)
    assert float(corr.abs().max()) < 5.5 / 4000**0.5


def test_sites_keep_their_names_inside_other_defences(model, images):
    inner = FeatureNoise(
        InputNoise(model, 0.1, experiment_seed=0), 0.1, "head", experiment_seed=0
    )
    outer = FeatureNoise(
        OutputNoise(inner, 0.0, on="logits"), 0.2, "head", experiment_seed=0
    )
    want = inner(images, *KEYS) + 0.2 * normals(
        0, "defense/3/output:head:1", *KEYS, (5,)
    )
    assert torch.allclose(outer(images, *KEYS), want, atol=1e-6)


def test_the_owners_model_stays_clean(model, images):
    clean, defence = model(images), FeatureNoise(model, 0.2, ["stem", "stage"])
    assert not hooks(model)
    defence(images)
    assert not hooks(model)
    assert torch.equal(model(images), clean)
    model.pair.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        defence(images)
    model.pair._forward_hooks.clear()
    assert not hooks(model)
    assert torch.equal(model(images), clean)


def test_another_threads_call_of_the_model_stays_clean(model, images):
    clean, seen = model(images), []

    def meanwhile(*_):
        # The defence's hooks stand on the model now, and this is another thread.
        handle.remove()
        worker = threading.Thread(target=lambda: seen.append(model(images)))
        worker.start()
        worker.join()

    for where in ("output", "input"):
        handle = model.stem.register_forward_pre_hook(meanwhile)
        FeatureNoise(model, 0.2, ["stage", "head"], where=where)(images)
    assert len(seen) == 2
    assert all(torch.equal(answer, clean) for answer in seen)


def test_the_owners_own_hooks_still_fire(model, images):
    calls = []
    model.stem.register_forward_hook(lambda *_: calls.append(1))
    FeatureNoise(model, 0.2, "stem")(images)
    assert calls == [1]


def test_a_copy_is_noisy_by_itself(model, images):
    defence = FeatureNoise(model, 0.2, "stem", experiment_seed=0)
    twin = copy.deepcopy(defence)
    assert torch.equal(twin(images), defence(images))
    assert twin.model is not defence.model
    assert (twin(images) != twin(images)).all()


def test_under_autocast_noise_takes_the_features_type(model, images):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        answer = FeatureNoise(model, 0.2, ["stem", "head"])(images)
    assert answer.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        (
            "stge",
            "sites to name modules of the model, got 'stge'; the closest are 'stage'",
        ),
        (["stem", "heads"], "got 'heads'; the closest are 'head'"),
        ("zzzz", "got 'zzzz'; the closest are 'stem', 'stage'"),
        ("", "got ''"),
        ([], r"one or more different modules, got \[\]"),
        (["stem", "stem"], "one or more different modules"),
    ],
)
def test_unknown_sites_are_answered_with_the_closest(model, sites, message):
    with pytest.raises(DomainError, match=message) as caught:
        FeatureNoise(model, 0.1, sites)
    assert "\n" not in str(caught.value)


def test_two_names_of_one_module_are_refused():
    shared = nn.Linear(2, 2)
    with pytest.raises(DomainError, match="different modules"):
        FeatureNoise(nn.Sequential(shared, shared), 0.1, ["0", "1"])


def test_unfit_sites_are_named_when_reached(model, images):
    with pytest.raises(DomainError, match=r"every site to be reached .* at 'unused'"):
        FeatureNoise(model, 0.1, ["stem", "unused"])(images)

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.site = nn.Identity()

        def forward(self, x):
            self.site(self.wrong(x))
            return x

    for wrong, got in (
        (lambda x: x.long(), "floating Tensor, got torch.int64"),
        (lambda x: x.T, r"one row for each of the 7 images, got shape \(4, 7\)"),
        (lambda x: x.sum(), r"one row for each of the 7 images, got shape \(\)"),
    ):
        for where in ("output", "input"):
            model = Odd()
            model.wrong = wrong
            with pytest.raises(DomainError, match=f"{where} of site 'site' to .*{got}"):
                FeatureNoise(model, 0.1, "site", where=where)(torch.zeros(7, 4))


def test_a_site_without_arguments_is_named():
    class Keyword(nn.Module):
        def __init__(self):
            super().__init__()
            self.site = nn.Identity()

        def forward(self, x):
            return self.site(input=x)

    with pytest.raises(DomainError, match=r"input of site 'site' .* got NoneType"):
        FeatureNoise(Keyword(), 0.1, "site", where="input")(torch.zeros(2, 2))
    assert FeatureNoise(Keyword(), 0.1, "site", experiment_seed=0)(
        torch.zeros(2, 2)
    ).all()


@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        (-1.0, "expected sigma >= 0 and finite, got -1"),
        ([0.1, float("nan")], "expected sigma >= 0 and finite, got nan"),
        ([0.1], "one for each of the 2 sites, got 1"),
        ("ab", "expected sigma to be one number"),
    ],
)
def test_bad_sigma_is_named(model, sigma, message):
    with pytest.raises(DomainError, match=message):
        FeatureNoise(model, sigma, ["stem", "head"])


def test_other_bad_settings_are_named(model):
    with pytest.raises(
        DomainError, match=r"where to be one of .* did you mean 'output'"
    ):
        FeatureNoise(model, 0.1, "stem", where="outputs")
    for callable_only in (abs, InputNoise(abs, 0.1)):
        with pytest.raises(
            DomainError, match="model to be a torch module, whose sites"
        ):
            FeatureNoise(callable_only, 0.1, "stem")
