"""Bandits-TD against its two algorithms, for one image."""

from __future__ import annotations

import math

import pytest
import torch

from querytax import noise
from querytax.attacks.bandits import BanditsPlan
from querytax.expect import DomainError

SHAPE, LABEL, SEED = (2, 6, 8), torch.tensor([0]), 3
IMAGE = torch.full((1, *SHAPE), 0.5)
PLANS = {
    "Linf": BanditsPlan(
        eps=0.05, probe=0.3, step=0.02, prior_step=40.0, loss="margin", tiles=3
    ),
    "L2": BanditsPlan(
        eps=0.4,
        norm="L2",
        probe=0.1,
        step=0.15,
        prior_step=0.1,
        exploration=0.01,
        loss="margin",
        tiles=3,
    ),
}


def flat(model):
    return lambda x: model(x.flatten(1))


def reference(model, plan, steps):
    """Ilyas, Engstrom & Madry 2019, algorithms 1 to 3: each question in order."""
    channels, height, width = SHAPE
    down, across = (plan.tiles, plan.tiles) if plan.tiles else (height, width)
    x, asked = IMAGE[0].double(), []
    prior = torch.zeros(channels, down, across).double()

    def loss(point):
        asked.append(point)
        out = model(point[None])[0]
        return float(out[1] - out[0])

    def tiled(v):
        out = torch.zeros(SHAPE).double()
        for i in range(height):
            for j in range(width):
                out[:, i, j] = v[:, i * down // height, j * across // width]
        return out

    def unit(v):
        return v / v.norm()

    for step in range(steps):
        one = torch.tensor([0]), torch.tensor([step])
        u = noise.normals(SEED, "attack/bandits", *one, (channels, down, across))[0]
        u = u.double() / math.sqrt(u.numel())
        one_way = loss(x + plan.probe * unit(tiled(prior + plan.exploration * u)))
        other = loss(x + plan.probe * unit(tiled(prior - plan.exploration * u)))
        # The published code's form: the exploration stands in u and in the divisor.
        gradient = (one_way - other) / (plan.probe * plan.exploration)
        gradient = gradient * plan.exploration * u
        if plan.norm == "Linf":
            p = (prior + 1) / 2
            up = p * torch.exp(plan.prior_step * gradient)
            down_ = (1 - p) * torch.exp(-plan.prior_step * gradient)
            prior = 2 * up / (up + down_) - 1
            x = x + plan.step * tiled(prior).sign()
            x = x.clamp(0.5 - plan.eps, 0.5 + plan.eps)
        else:
            prior = prior + plan.prior_step * gradient
            x = x + plan.step * unit(tiled(prior))
            away = x - 0.5
            x = 0.5 + away * min(1.0, plan.eps / float(away.norm()))
        x = x.clamp(0, 1)
        loss(x)
    return torch.stack(asked).float()


@pytest.mark.parametrize("tiles", [3, 0])
@pytest.mark.parametrize("norm", PLANS)
def test_questions_are_the_published_algorithm(asked, norm, tiles):
    # A gentle, curved loss, so that no prior is sure of itself at once.
    weight = torch.cos(0.3 * torch.arange(96).double()).view(SHAPE) / 10

    def model(x):
        s = (x.double() * weight).flatten(1).sum(1)
        s = s - 0.1 * (x.double() - 0.45).square().flatten(1).sum(1) - 10.0
        return torch.stack((-0.5 * s, 0.5 * s), 1)

    plan = PLANS[norm].replace(tiles=tiles)
    found = asked(model, IMAGE, LABEL, plan, 30, rng=SEED)
    expected = reference(model, plan, 10)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


def test_a_sure_prior_stays_finite_and_can_be_left(asked, halfspace):
    """Exponents that would overflow in the published form."""
    plan = PLANS["Linf"].replace(prior_step=1e6)
    found = asked(flat(halfspace(96, margin=10.0)), IMAGE, LABEL, plan, 90, rng=SEED)
    assert found.isfinite().all()
    away = (found[2::3] - IMAGE).abs().amax()
    assert away <= plan.eps * (1 + 1e-5)


def test_a_prior_that_forgets_follows_the_last_estimates(asked, halfspace):
    model = flat(halfspace(96, margin=10.0))
    keeps = asked(model, IMAGE, LABEL, PLANS["L2"], 9, rng=SEED)
    drops = asked(model, IMAGE, LABEL, PLANS["L2"].replace(forget=0.5), 9, rng=SEED)
    # At the first step there is nothing to forget.
    assert torch.equal(keeps[:5], drops[:5])
    assert not torch.equal(keeps[5:], drops[5:])


def test_tiles_are_no_more_than_pixels_and_flat_images_have_none(asked, halfspace):
    wide = PLANS["Linf"].replace(tiles=50)
    model = flat(halfspace(96, margin=10.0))
    every = asked(model, IMAGE, LABEL, wide.replace(tiles=0), 9, rng=SEED)
    assert torch.equal(asked(model, IMAGE, LABEL, wide, 9, rng=SEED), every)
    vector = asked(model, IMAGE.flatten(1), LABEL, wide, 9, rng=SEED)
    assert torch.equal(vector, every.flatten(1))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"probe": 0.0}, "probe > 0"),
        ({"step": 0.0}, "step > 0"),
        ({"prior_step": 0.0}, "prior_step > 0"),
        ({"exploration": 0.0}, "exploration > 0"),
        ({"tiles": -1}, "tiles a whole number >= 0, got -1"),
        ({"forget": 1.0}, r"forget in \[0, 1\)"),
    ],
)
def test_bad_settings_are_named(change, says):
    with pytest.raises(DomainError, match=f"expected {says}"):
        PLANS["Linf"].replace(**change)
