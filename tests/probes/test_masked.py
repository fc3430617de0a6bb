"""A gradient that is not the slope of the answers is not believed."""

import numpy as np
import pytest
import torch

from querytax import demo
from querytax.probes import probe
from querytax.probes.masked import masked
from querytax.recommend import recommend_sigma


class Through(torch.autograd.Function):
    """The same forward, nothing backward."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return torch.zeros_like(gradient)


class Wrapped(torch.nn.Module):
    def __init__(self, model, before, after=None, answers="logits"):
        super().__init__()
        self.model, self.before, self.after = model, before, after
        self.answers = answers

    def forward(self, x):
        said = self.model(self.before(x))
        return self.after(said) if self.after else said


def eight_bits(x):
    return torch.round(x * 255) / 255


MASKS = {"rounded": eight_bits, "no backward": Through.apply}
PLAIN = {
    "plain": (lambda x: x, None, "logits"),
    "halved": (lambda x: x * 0.5, None, "logits"),
    "probabilities": (lambda x: x, lambda z: z.softmax(1), "probabilities"),
    "sure": (lambda x: x, lambda z: (30 * z).softmax(1), "probabilities"),
}


@pytest.fixture(scope="module")
def split():
    x, y = demo.digits().probe
    return x[:24], y[:24]


def told(model, split):
    x, y = split
    with torch.no_grad():
        right = model(x).argmax(1) == y
        return masked(model, x[right], y[right], 0)


@pytest.mark.parametrize("name", MASKS)
def test_masked(demo_model, split, name):
    why = told(Wrapped(demo_model, MASKS[name]), split)
    assert "not the slope of its answers" in why


@pytest.mark.parametrize("name", PLAIN)
def test_not_masked(demo_model, split, name):
    assert told(Wrapped(demo_model, *PLAIN[name]), split) == ""


def test_a_model_that_nothing_moves_is_not_accused(split):
    class Constant(torch.nn.Module):
        def forward(self, x):
            z = torch.zeros(len(x), 10) + 0.0 * x.flatten(1).sum(1, keepdim=True)
            return z + torch.arange(10.0)

    x, _ = split
    with torch.no_grad():
        assert masked(Constant(), x[:4], torch.full((4,), 9), 0) == ""


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("base", [None, 200])
def test_a_way_that_cannot_be_found_is_not_safety(demo_model, split, name, base):
    """Zero-order attacks break such a model: no law calls it safe without noise."""
    model = Wrapped(demo_model, MASKS[name])
    with pytest.warns(UserWarning, match="no law predicts"):
        stats = probe(
            model,
            *split,
            sites=["input"],
            eps=0.1,
            betas=(1e-3, 0.1),
            sigmas={"input": (0.05, 0.2)},
            n_probe=8,
            n_directions=4,
            n_draws=4,
        )
    assert np.isnan(stats.path_length).all()
    rec = recommend_sigma(
        stats, 1e3, site="input", max_accuracy_loss=0.03, base_queries=base
    )
    assert rec.status not in ("FEASIBLE", "NO_NOISE_NEEDED")
    assert not (rec.status == "PREDICTED" and rec.sigma == 0.0)
