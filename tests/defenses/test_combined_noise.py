"""Noise at several places at once: how much, where, and independent."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from querytax.attacks.oracle import Request, answer_all, clean_model
from querytax.defenses import (
    CombinedNoise,
    FeatureNoise,
    InputNoise,
    OutputNoise,
    defend,
)
from querytax.expect import DomainError
from querytax.noise import normals

KEYS = (torch.arange(7), torch.arange(7) + 5)
EVERYWHERE = "input*0.5+stem*2+head:before+output:logits*3+output:probabilities:clip"


class Wide(nn.Module):
    """Three modules that change nothing: noise adds up to what comes out."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = (nn.Identity() for _ in range(3))

    def forward(self, x):
        return self.third(self.second(self.first(x)))


def test_noise_at_every_place_by_hand(model, images):
    defence = CombinedNoise(model, 0.1, EVERYWHERE, experiment_seed=0)
    z = lambda kind, *shape: normals(0, f"defense/{kind}", *KEYS, shape)  # noqa: E731
    x = model.stem(images + 0.05 * z("0/input", 3, 6, 6))
    x = (x + 0.2 * z("0/output:stem:1", 4, 6, 6)).relu()
    x = model.stage(model.stage(x).relu()).mean(dim=(2, 3))
    x = model.head(x + 0.1 * z("0/input:head:1", 4))
    p = (x + 0.3 * z("0/output", 5)).softmax(1)
    want = (p + 0.1 * z("1/output", 5)).clamp(0, 1)
    assert torch.allclose(defence(images, *KEYS), want, atol=1e-5)
    assert defence.answers == "probabilities"
    assert defence.sigmas == pytest.approx((0.05, 0.2, 0.1, 0.3, 0.1))


def test_noises_add_as_independent_ones_do():
    """Squares of the deviations add up; equal draws would add the deviations."""
    site = "input+first*2+second:before+third:before*0.5+output:logits*2"
    answer = CombinedNoise(Wide(), 0.5, site, experiment_seed=0)(torch.zeros(20000, 3))
    variance = 0.25 * (1 + 4 + 1 + 0.25 + 4)
    share = float(answer.var()) / variance
    # 60000 draws, 5.5 standard errors; any two that agreed would add 9.7 % or more.
    assert abs(share - 1) < 5.5 * (2 / 60000) ** 0.5 < 0.097 / 2


def test_a_place_draws_what_it_would_draw_alone(model, images):
    for word in ("input", "stem", "head:before", "output", "output:logits"):
        alone = defend(model, word, 0.2, experiment_seed=3)(images, *KEYS)
        both = defend(model, f"stage+{word}", (0.0, 0.2), experiment_seed=3)(
            images, *KEYS
        )
        assert torch.equal(both, alone)


def test_the_order_of_the_word_changes_nothing(model, images):
    words = EVERYWHERE.split("+")
    answers = [
        CombinedNoise(model, 0.1, "+".join(order), experiment_seed=0)(images, *KEYS)
        for order in (words, words[::-1], words[2:] + words[:2])
    ]
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])


def test_one_sigma_for_each_place(model, images):
    apart = defend(model, "input+output:logits", (0.05, 0.3), experiment_seed=1)
    weighed = defend(model, "input*0.5+output:logits*3", 0.1, experiment_seed=1)
    assert torch.allclose(apart(images, *KEYS), weighed(images, *KEYS), atol=1e-6)
    assert apart.sigma == apart.sigmas == (0.05, 0.3)
    assert weighed.sigma == 0.1
    again = defend(model, apart.site, apart.sigma, experiment_seed=apart.seed)
    assert torch.equal(again(images, *KEYS), apart(images, *KEYS))


@pytest.mark.parametrize("sigma", [0.0, [0.0] * 5])
def test_sigma_zero_is_the_exact_answer(model, images, sigma):
    word = EVERYWHERE if sigma == 0.0 else "input+stem+head:before+stage+output"
    assert torch.equal(defend(model, word, sigma)(images), model(images).softmax(1))
    inside = defend(model, "input+stem+head", 0.0)
    assert torch.equal(inside(images), model(images))


def test_sigma_may_be_changed(model, images):
    for change in (0.4, 0.0):
        defence = CombinedNoise(model, 0.1, EVERYWHERE, experiment_seed=0)
        defence.sigma = change
        fresh = CombinedNoise(model, change, EVERYWHERE, experiment_seed=0)
        assert torch.equal(defence(images, *KEYS), fresh(images, *KEYS))
        assert (defence.sigma, defence.sigmas) == (fresh.sigma, fresh.sigmas)
        twin = copy.deepcopy(defence)
        twin.sigma = 0.1
        assert defence.sigma == change
    with pytest.raises(DomainError, match="expected sigma >= 0 and finite, got -1"):
        defence.sigma = -1.0
    assert defence.sigma == 0.0


def test_it_stands_around_and_inside_other_defences(model, images):
    inner = InputNoise(model, 0.1, experiment_seed=0)
    middle = CombinedNoise(inner, 0.1, "input+stem+output:logits", experiment_seed=0)
    outer = OutputNoise(middle, 0.1, on="logits", experiment_seed=0)
    streams = [part._depth for part in outer.modules() if hasattr(part, "_depth")]
    assert streams == [3, 2, 1, 1, 1, 0]
    assert clean_model(outer) is model
    assert (outer(images) != outer(images)).all()
    middle.sigma = 0.0
    assert inner.sigma == 0.1
    want = 0.1 * normals(0, "defense/3/output", *KEYS, (5,))
    assert torch.allclose(outer(images, *KEYS), inner(images, *KEYS) + want, atol=1e-6)


def test_one_seed_for_all_places_and_one_draw_of_a_generator(model):
    generator = torch.Generator().manual_seed(5)
    defence = CombinedNoise(model, 0.1, EVERYWHERE, experiment_seed=generator)
    assert {part.seed for part in defence.modules() if hasattr(part, "seed")} == {
        defence.seed
    }
    assert CombinedNoise(model, 0.1, EVERYWHERE).seed != defence.seed
    same = torch.Generator().manual_seed(5)
    assert InputNoise(model, 0.1, experiment_seed=same).seed == defence.seed


def test_levels_share_one_pass_of_the_network_in_the_oracle(images):
    calls = []

    def network(x):
        calls.append(len(x))
        return x.flatten(1)[:, :5]

    defences = [
        defend(network, site, sigma, experiment_seed=i)
        for i, (site, sigma) in enumerate(
            [("input+output", 0.1), ("input*2+output:logits", 0.4), ("input", 0.2)]
        )
    ]
    judged = torch.arange(7) < 3
    asked = [Request(defence, images, *KEYS, judged) for defence in defences]
    answers = answer_all(asked, 256)
    # Three levels of seven, and three rows each for the network without noise.
    assert calls == [3 * 7 + 3 * 3]
    for defence, answer in zip(defences, answers, strict=True):
        assert torch.equal(answer.answers, defence(images, *KEYS))
        assert torch.equal(answer.clean, network(images)[judged])
        assert answer.judged == 3


def test_noise_inside_keeps_its_passes_and_is_taken_off_for_judgement(model, images):
    defences = [
        defend(model, "input+stem+output", s, experiment_seed=0) for s in (0.1, 0.2)
    ]
    judged = torch.arange(7) < 3
    asked = [Request(defence, images, *KEYS, judged) for defence in defences]
    for defence, answer in zip(defences, answer_all(asked, 256), strict=True):
        assert torch.allclose(answer.answers, defence(images, *KEYS), atol=1e-5)
        assert torch.allclose(answer.clean, model(images)[judged], atol=1e-5)
        assert answer.judged == 3
        assert defence.n_queries == 14


def test_the_owners_model_stays_clean(model, images):
    clean = model(images)
    CombinedNoise(model, 0.1, "stem+head:before")(images)
    assert torch.equal(model(images), clean)


def test_settings_are_printed(model):
    text = repr(CombinedNoise(model, 0.1, "input*0.5+stem", experiment_seed=0))
    assert "sigma=0.1, site=input*0.5+stem" in text
    assert "sigma=0.05" in text


@pytest.mark.parametrize(
    ("site", "sigma", "message"),
    [
        ("input", 0.1, "site to join several places by '\\+', got 'input'"),
        ("input+stem", (0.1,), "one for each of the 2 places, got 1"),
        ("input+stem", "ab", "expected sigma to be one number"),
        ("input+stem", None, "expected sigma to be one number"),
        ("input+stem", torch.tensor(0.1), "expected sigma to be one number"),
        ("input+stem", (0.1, -1.0), "sigma >= 0 and finite, got -1"),
        ("input+stem*2", (0.1, 0.1), r"one number where .* \(input\+stem\*2\), got 2"),
        ("input*1e300+stem", 1e300, "sigma >= 0 and finite, got inf"),
        ("input+stm", 0.1, "got 'stm'; the closest are 'stem'"),
        ("input+stm:before", 0.1, "got 'stm'; the closest are 'stem'"),
    ],
)
def test_bad_settings_are_named(model, site, sigma, message):
    with pytest.raises(DomainError, match=message) as caught:
        CombinedNoise(model, sigma, site)
    assert "\n" not in str(caught.value)


def test_a_callable_takes_noise_at_both_ends_only(images):
    ends = CombinedNoise(
        lambda x: x.flatten(1), 0.1, "input+output:logits", experiment_seed=0
    )
    assert (ends(images) != ends(images)).all()
    with pytest.raises(DomainError, match="model to be a torch module, whose sites"):
        CombinedNoise(abs, 0.1, "input+stem")


def test_feature_noise_of_the_same_places_is_the_same_defence(model, images):
    layers = FeatureNoise(model, [0.1, 0.2], ["stem", "head"], experiment_seed=2)
    assert torch.equal(
        CombinedNoise(model, 0.1, "stem+head*2", experiment_seed=2)(images, *KEYS),
        layers(images, *KEYS),
    )
