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


def same(x):
    return x


class Louder(Through):
    """A backward pass that says more than the answers do."""

    @staticmethod
    def backward(ctx, gradient):
        return 100.0 * gradient


def ripple(x):
    """Steeper than it is high: the slope at a point is that of nothing else."""
    return x + 0.002 * torch.sin(5000.0 * x)


def labels_of(z):
    return torch.nn.functional.one_hot(z.argmax(1), z.shape[1]) + 0.0 * z


def some_detached(z):
    """Images of three classes alone have a graph."""
    return torch.where(z.argmax(1)[:, None] > 2, z.detach() + 0.0 * z, z)


MASKS = {"rounded": eight_bits, "no backward": Through.apply}
# What is done before the network, after it, and what is answered.
MASKED = {
    **{name: (before, None, "logits") for name, before in MASKS.items()},
    "a detached part": (lambda x: 0.99 * x.detach() + 0.01 * x, None, "logits"),
    "not a number": (lambda x: x + 0.0 * (x - x).sqrt(), None, "logits"),
    "another's size": (Louder.apply, None, "logits"),
    "a ripple": (ripple, None, "logits"),
    "whole logits": (same, lambda z: z.round() + 0.0 * z, "logits"),
    "saturated": (same, lambda z: 5.0 * z.clamp(-1, 1), "logits"),
    "labels as logits": (same, lambda z: 9.0 * labels_of(z), "logits"),
    "labels": (same, labels_of, "probabilities"),
    "percent": (same, lambda z: z.softmax(1).round(decimals=2), "probabilities"),
    "too sure for floats": (same, lambda z: (30 * z).softmax(1), "probabilities"),
    "some classes alone": (same, some_detached, "logits"),
}
PLAIN = {
    "plain": (same, None, "logits"),
    "halved": (lambda x: x * 0.5, None, "logits"),
    "tiny": (same, lambda z: z * 1e-42, "logits"),
    "probabilities": (same, lambda z: z.softmax(1), "probabilities"),
    "sure": (same, lambda z: (3 * z).softmax(1), "probabilities"),
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


@pytest.mark.parametrize("name", MASKED)
def test_masked(demo_model, split, name):
    why = told(Wrapped(demo_model, *MASKED[name]), split)
    assert "not the slope of its answers" in why or "gradient is zero" in why


@pytest.mark.parametrize("name", PLAIN)
def test_not_masked(demo_model, split, name):
    assert told(Wrapped(demo_model, *PLAIN[name]), split) == ""


def test_one_dead_image_accuses_nobody(demo_model, split):
    class One(torch.nn.Module):
        def forward(self, x):
            z = demo_model(x)
            first = torch.arange(len(x))[:, None] == 0
            return torch.where(first, z.detach(), z)

    assert told(One(), split) == ""


@pytest.mark.parametrize("name", ["rounded", "no backward", "labels", "saturated"])
@pytest.mark.parametrize("base", [None, 200])
def test_a_way_that_cannot_be_found_is_not_safety(demo_model, split, name, base):
    """Zero-order attacks break such a model: no law calls it safe without noise."""
    model = Wrapped(demo_model, *MASKED[name])
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


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("size", [1e-38, 1e-30, 1e-12, 1e12, 1e30])
def test_logits_have_no_unit(demo_model, split, norm, size):
    """The way to the boundary is the same, in numbers that a float hardly holds."""

    def probed(scale):
        return probe(
            Wrapped(demo_model, same, lambda z: scale * z),
            *split,
            sites=["input"],
            eps=0.3 if norm == "Linf" else 1.5,
            norm=norm,
            betas=(1e-3, 0.1),
            sigmas={"input": (0.05,)},
            n_probe=4,
            n_directions=2,
            n_draws=2,
            n_patterns=0,
            n_proposals=0,
        )

    plain, scaled = probed(1.0), probed(size)
    assert "unpredicted" not in scaled.provenance
    assert np.isfinite(plain.path_length).all()
    np.testing.assert_allclose(scaled.path_length, plain.path_length, rtol=1e-3)
    np.testing.assert_allclose(scaled.sign_gain, plain.sign_gain, rtol=1e-3)
