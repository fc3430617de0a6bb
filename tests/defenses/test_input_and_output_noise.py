"""What InputNoise and OutputNoise add, in which form, and what they refuse."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from querytax.defenses import (
    FeatureNoise,
    InputNoise,
    OutputNoise,
    defend,
)
from querytax.expect import DomainError

from .conftest import silence

ROWS = torch.zeros(4000, dtype=torch.int64)
QUERIES = torch.arange(4000)


class Constant(nn.Module):
    """The same logits for every image."""

    def __init__(self, *logits):
        super().__init__()
        self.register_buffer("logits", torch.tensor(logits))

    def forward(self, x):
        return self.logits.expand(len(x), -1)


class Probabilities(Constant):
    answers = "probabilities"

    def forward(self, x):
        return super().forward(x).softmax(1)


def test_input_noise_has_the_stated_deviation_and_is_not_clipped():
    x = torch.zeros(4000, 6)
    noise = InputNoise(lambda x: x, 0.25, experiment_seed=0)(x)
    assert abs(float(noise.mean())) < 5.5 * 0.25 / math.sqrt(24_000)
    assert abs(float(noise.var()) / 0.0625 - 1) < 5.5 * math.sqrt(2 / 24_000)
    assert float(noise.min()) < 0


@pytest.mark.parametrize(
    ("form", "mend"),
    [
        ("raw", lambda v: v),
        ("reflect", lambda v: v.abs().clamp(max=1)),
        ("clip", lambda v: v.clamp(0, 1)),
    ],
)
def test_output_noise_on_probabilities_in_every_form(form, mend):
    x, model = torch.zeros(4000, 1), Constant(2.0, 0.0, -3.0)
    exact = model(x).softmax(1)
    raw = OutputNoise(model, 0.4, experiment_seed=0)(x, ROWS, QUERIES)
    got = OutputNoise(model, 0.4, form=form, experiment_seed=0)(x, ROWS, QUERIES)
    assert torch.equal(got, mend(raw))
    noise = raw - exact
    assert abs(float(noise.mean())) < 5.5 * 0.4 / math.sqrt(12_000)
    assert abs(float(noise.var()) / 0.16 - 1) < 5.5 * math.sqrt(2 / 12_000)
    # Independent in every class, and nothing renormalised.
    corr = torch.corrcoef(noise.T) - torch.eye(3)
    assert float(corr.abs().max()) < 5.5 / math.sqrt(4000)


def test_output_noise_on_logits_adds_to_the_logits():
    x, model = torch.zeros(4000, 1), Constant(2.0, 0.0, -3.0)
    on_logits = OutputNoise(model, 0.4, on="logits", experiment_seed=0)(
        x, ROWS, QUERIES
    )
    on_logits = on_logits - model(x)
    on_probabilities = OutputNoise(model, 0.4, experiment_seed=0)(x, ROWS, QUERIES)
    on_probabilities = on_probabilities - model(x).softmax(1)
    assert torch.allclose(on_logits, on_probabilities, atol=1e-6)


def test_what_a_defence_answers():
    logits, probabilities = Constant(1.0, 0.0), Probabilities(1.0, 0.0)
    assert InputNoise(logits, 0.1).answers == "logits"
    assert InputNoise(probabilities, 0.1).answers == "probabilities"
    assert OutputNoise(logits, 0.1).answers == "probabilities"
    assert OutputNoise(logits, 0.1, on="logits").answers == "logits"
    net = nn.Sequential(nn.Linear(1, 2))
    assert FeatureNoise(OutputNoise(net, 0.1), 0.1, "0").answers == "probabilities"


def test_probabilities_are_not_softened_again():
    x = torch.zeros(4, 1)
    want = torch.tensor([1.0, 0.0]).softmax(0).expand(4, 2)
    for model in (Probabilities(1.0, 0.0), OutputNoise(Constant(2.0, 1.0), 0.0)):
        assert torch.allclose(OutputNoise(model, 0.0)(x), want)
        assert torch.allclose(OutputNoise(InputNoise(model, 0.1), 0.0)(x), want)


def test_sigma_zero_is_the_exact_answer(build, model, images):
    defence = build(model)
    silence(defence)
    exact = model(images)
    if defence.answers == "probabilities":
        exact = exact.softmax(1)
    assert torch.equal(defence(images), exact)


def test_gradients_pass_the_noise_unchanged():
    weight = torch.tensor([[1.0, -2.0], [3.0, 0.5]])
    for make in (InputNoise, lambda m, s: OutputNoise(m, s, on="logits")):
        x = torch.rand(3, 2, requires_grad=True)
        make(lambda x: x @ weight, 0.7)(x)[:, 0].sum().backward()
        assert torch.equal(x.grad, weight[:, 0].expand(3, 2))


def test_gradients_reach_the_parameters(build, model, images):
    model.requires_grad_(True)
    build(model)(images)[:, 0].sum().backward()
    assert model.stem.weight.grad.isfinite().all()
    assert model.stem.weight.grad.any()


def test_any_callable_is_a_model():
    for make in (InputNoise, OutputNoise):
        defence = make(lambda x: x.flatten(1), 0.1)
        assert defence(torch.zeros(2, 3, 2)).shape == (2, 6)
        assert defence(torch.zeros(2, 3, dtype=torch.float64)).dtype == torch.float64
        assert defence(torch.zeros(2, 3, dtype=torch.float16)).dtype == torch.float16


def test_a_generator_gives_a_seed_that_can_be_reported():
    made = InputNoise(abs, 0.1, experiment_seed=torch.Generator().manual_seed(4))
    x = torch.zeros(3, 2)
    assert torch.equal(made(x), InputNoise(abs, 0.1, experiment_seed=made.seed)(x))
    with pytest.raises(DomainError, match="expected experiment_seed to be a whole"):
        InputNoise(abs, 0.1, experiment_seed="0")


@pytest.mark.parametrize("make", [InputNoise, OutputNoise])
@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        (-0.1, "expected sigma >= 0 and finite, got -0.1"),
        (math.nan, "expected sigma >= 0 and finite, got nan"),
        (math.inf, "expected sigma >= 0 and finite, got inf"),
        ("0.1", "expected sigma to be one number >= 0, got '0.1'"),
        ([0.1], "expected sigma to be one number"),
        (None, "expected sigma to be one number"),
        (True, "expected sigma to be one number"),
    ],
)
def test_bad_sigma_is_named(make, sigma, message):
    with pytest.raises(DomainError, match=message):
        make(abs, sigma)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"form": "reflct"}, "expected form to be one of .* did you mean 'reflect'"),
        ({"on": "logit"}, "expected on to be one of .* did you mean 'logits'"),
        ({"on": "logits", "form": "clip"}, "form 'raw' on logits.*, got 'clip'"),
        ({"on": "logits", "form": "reflect"}, "form 'raw' on logits.*, got 'reflect'"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(DomainError, match=message):
        OutputNoise(abs, 0.1, **settings)


def test_noise_on_the_logits_of_probabilities_is_refused():
    for model in (Probabilities(1.0), InputNoise(OutputNoise(abs, 0.1), 0.1)):
        with pytest.raises(DomainError, match="on='probabilities' for a model that"):
            OutputNoise(model, 0.1, on="logits")


def test_an_unknown_kind_of_answer_is_named():
    model = Constant(1.0)
    model.answers = "labels"
    with pytest.raises(DomainError, match=r"answers to be one of .* got 'labels'"):
        InputNoise(model, 0.1)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 3, dtype=torch.uint8), "images to be floating .* torch.uint8"),
        (torch.tensor(1.0), r"of shape \(N, ...\), got torch.float32 of shape \(\)"),
        ([[0.0]], "expected images to be a Tensor, got list"),
    ],
)
def test_bad_images_are_named(build, model, images, message):
    defence = build(model)
    with pytest.raises(DomainError, match=message):
        defence(images)
    assert defence.n_queries == 0


@pytest.mark.parametrize("make", [InputNoise, OutputNoise])
def test_bad_answers_are_named(make):
    x = torch.zeros(2, 3)
    for model, got in (
        (lambda x: x.sum(), r"\(\)"),
        (lambda x: x[:1], r"\(1, 3\)"),
        (lambda x: {"a": x, "b": x}, "a dict of a: "),
    ):
        with pytest.raises(DomainError, match=rf"\(2, C\).*, got {got}"):
            make(model, 0.1)(x)
    with pytest.raises(DomainError, match=r"expected model to be .* got int"):
        make(3, 0.1)


class Soft(nn.Module):
    """A softmax that does not say so."""

    def __init__(self, kind=torch.float32):
        super().__init__()
        self.layer = nn.Linear(3, 10).to(kind)

    def forward(self, x):
        return (4 * self.layer(x)).softmax(1)


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("sigma", [0, 0.1])
@pytest.mark.parametrize(
    "site", ["input", "output", "output:logits", "layer", "input+output"]
)
def test_probabilities_that_are_called_logits_are_refused(site, sigma, kind):
    x, model = torch.rand(8, 3), Soft(kind).requires_grad_(False)
    for seed in (None, 0):
        guarded = defend(model, site, sigma, experiment_seed=seed)
        for _ in range(2):
            with pytest.raises(
                DomainError, match=r"set model\.answers = 'prob"
            ) as caught:
                guarded(x)
        assert "\n" not in str(caught.value)
    if site != "output:logits":
        model.answers = "probabilities"
        said = defend(model, site, sigma)(x)
        if sigma == 0:
            assert torch.allclose(said, model(x.to(kind)), atol=1e-2)


def test_one_logit_at_the_output_is_no_constant():
    """A softmax over one column answered 1 to everything."""
    x = torch.linspace(-3, 3, 9)[:, None]
    said = defend(lambda x: x, "output", 0)(x)
    assert torch.allclose(said[:, 1], torch.sigmoid(x[:, 0]))
