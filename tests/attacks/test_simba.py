"""SimBA in pixels and in cosines, against a few lines for one image."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch

from querytax import noise
from querytax.attacks import attack, find
from querytax.attacks.simba import SimBADCTPlan, SimBAPlan, cosines
from querytax.expect import DomainError


def uniforms(name, step, shape, seed=0):
    """The draws of image 0."""
    one = torch.tensor([step])
    return noise.uniforms(seed, f"attack/{name}", 0 * one, one, shape)[0]


def walked(model, image, vectors, plan, n):
    """Questions of algorithm 1, one by one; ``vectors`` come in their order."""
    asked = [image]
    x, best = image, model(image[None])[0]
    loss = -(best.log_softmax(0)[0])
    for q in vectors:
        for alpha in (plan.step, -plan.step):
            change = x + alpha * q - image
            if plan.norm == "Linf":
                change = change.clamp(-plan.eps, plan.eps)
            else:
                change = change * min(1.0, plan.eps / max(float(change.norm()), 1e-30))
            trial = (image + change).clamp(0.0, 1.0)
            asked.append(trial)
            new = -(model(trial[None])[0].log_softmax(0)[0])
            if new > loss:
                x, loss = trial, new
                break
        if len(asked) >= n:
            break
    return torch.stack(asked[:n])


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.1), ("L2", 0.3)])
def test_it_walks_as_published(halfspace, asked, norm, eps):
    model = halfspace(12, margin=10.0)
    image = torch.linspace(0.05, 0.95, 12)
    plan = SimBAPlan(eps=eps, norm=norm)
    order = uniforms("simba", 0, (12,)).double().argsort()
    # A second pass goes in another order.
    again = uniforms("simba", 1, (12,)).double().argsort()
    vectors = torch.eye(12)[torch.cat((order, again))]
    expected = walked(model, image, vectors, plan, 40)
    got = asked(model, image[None], torch.tensor([0]), plan, len(expected))
    torch.testing.assert_close(got, expected, rtol=0.0, atol=1e-6)


def test_squares_move_together(halfspace, asked):
    model = halfspace(36, margin=10.0)
    model.weight = model.weight.view(1, 6, 6)
    image = torch.full((1, 6, 6), 0.5)
    plan = SimBAPlan(eps=0.2, step=0.3, block=3)
    got = asked(model, image[None], torch.tensor([0]), plan, 5) - image
    assert got[0].abs().max() == 0.0
    for question in got[1:]:
        corners = question[:, ::3, ::3]
        whole = corners.repeat_interleave(3, 1).repeat_interleave(3, 2)
        torch.testing.assert_close(question, whole, rtol=0.0, atol=1e-7)
        # A step of length 0.3 over nine pixels.
        assert corners.abs().max() <= 0.1 + 1e-6


@pytest.mark.parametrize("n", [1, 5, 8, 32])
def test_cosines_are_those_of_scipy(n):
    naive = scipy.fft.idct(np.eye(n), norm="ortho", axis=0).T
    np.testing.assert_allclose(cosines(n).numpy(), naive, atol=1e-12)


@pytest.mark.parametrize(("lowest", "stride"), [(2, 1), (0, 3), (3, 0)])
def test_cosines_come_low_frequencies_first(halfspace, asked, lowest, stride):
    channels, side = 2, 5
    model = halfspace(channels * side * side, margin=10.0)
    # Not a straight line, to which half of the cosines are orthogonal.
    shape, key = (channels, side, side), torch.zeros(1, dtype=torch.int64)
    model.weight = noise.normals(7, "weight", key, key, shape)[0]
    model.offset = float(0.5 * model.weight.double().sum()) + 10.0
    image = torch.full((channels, side, side), 0.5)
    plan = SimBADCTPlan(eps=0.4, step=0.1, lowest=lowest, stride=stride)
    u = uniforms("simbadct", 0, (channels * side * side,)).double()
    keys = []
    for place in range(channels * side * side):
        c, i, j = np.unravel_index(place, (channels, side, side))
        rank = max(i, j) + 1
        band = 0
        while lowest and rank > lowest + band * stride:
            band += 1
            if not stride:
                break
        if stride or not band:
            keys.append((band + float(u[place]), (c, i, j)))
    vectors = []
    for _, place in sorted(keys):
        spectrum = np.zeros((channels, side, side))
        spectrum[place] = 1.0
        wave = scipy.fft.idctn(spectrum, norm="ortho", axes=(1, 2))
        vectors.append(torch.from_numpy(wave).float())
    expected = walked(model, image, vectors, plan, 25)
    got = asked(model, image[None], torch.tensor([0]), plan, len(expected))
    torch.testing.assert_close(got, expected, rtol=0.0, atol=1e-6)


def test_a_target_and_the_incumbents_are_reached(halfspace):
    model = halfspace(12, margin=0.05)
    x, y = torch.full((2, 12), 0.5), torch.zeros(2, dtype=torch.int64)
    for incumbent in ("stale", "requery", "mean"):
        plan = SimBAPlan(eps=0.4, incumbent=incumbent)
        hit = attack(model, x, y, plan, targets=1 - y, n_queries=200)
        assert hit.broken.success.all()


@pytest.mark.parametrize(
    ("kind", "changes", "match"),
    [
        (SimBAPlan, {"step": 0.0}, "step > 0"),
        (SimBAPlan, {"block": 0}, "block a whole number >= 1"),
        (SimBAPlan, {"incumbent": "fresh"}, "incumbent"),
        (SimBADCTPlan, {"lowest": -1}, "lowest a whole number >= 0"),
        (SimBADCTPlan, {"stride": 0.5}, "stride a whole number >= 0"),
    ],
)
def test_a_plan_is_checked(kind, changes, match):
    with pytest.raises(DomainError, match=match):
        kind(eps=0.1, **changes)


def test_cosines_want_images(halfspace):
    x, y = torch.full((1, 12), 0.5), torch.tensor([0])
    with pytest.raises(DomainError, match=r"images \(C, H, W\) for simbadct"):
        attack(halfspace(12), x, y, SimBADCTPlan(eps=0.1), n_queries=50)


def test_an_eighth_of_the_frequencies_comes_first():
    published = find("simbadct").recipe("published", 0.05, "Linf", (3, 224, 224))
    assert (published.lowest, published.stride, published.step) == (28, 7, 0.2)
