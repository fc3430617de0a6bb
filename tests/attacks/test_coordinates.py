"""ZOO and AutoZOOM against the same descents, written down for one image."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from querytax import demo, noise
from querytax.attacks import attack, find
from querytax.attacks.autozoom import AutoZOOMPlan, autoencoder
from querytax.attacks.zoo import ZOOPlan
from querytax.expect import DomainError


def draw(kind, stream, step, shape):
    key = torch.tensor([step])
    return getattr(noise, kind)(0, f"attack/{stream}", 0 * key, key, shape)[0]


def margin(model, x):
    logits = model(x[None])[0]
    return float(logits[1] - logits[0])


def held(image, change, eps, norm):
    if norm == "L2":
        change = change * min(1.0, eps / max(float(change.norm()), 1e-30))
    else:
        change = change.clamp(-eps, eps)
    return (image + change).clamp(0.0, 1.0)


class Adam:
    """Of one number."""

    def __init__(self):
        self.m = self.v = 0.0
        self.t = 0

    def __call__(self, g):
        self.t += 1
        self.m = 0.9 * self.m + 0.1 * g
        self.v = 0.999 * self.v + 0.001 * g * g
        m, v = self.m / (1 - 0.9**self.t), self.v / (1 - 0.999**self.t)
        return m / (v**0.5 + 1e-8 / (1 - 0.999**self.t) ** 0.5)


def image_model(halfspace, *shape):
    model = halfspace(torch.Size(shape).numel(), margin=10.0)
    model.weight = model.weight.view(shape)
    return model


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.05), ("L2", 0.1)])
def test_zoo_descends_coordinate_by_coordinate(halfspace, asked, norm, eps):
    model = halfspace(10, margin=10.0)
    image = torch.linspace(0.02, 0.98, 10)
    plan = ZOOPlan(eps=eps, norm=norm, batch=4, rate=0.02, probe=0.01)
    x, adams, expected = image, [Adam() for _ in range(10)], []
    for step in range(8):
        u = draw("uniforms", "zoo/coordinates", step, (10,))
        trial = x - image
        for i in u.argsort(descending=True)[:4].tolist():
            e = torch.zeros(10)
            e[i] = plan.probe
            expected += [x + e, x - e]
            slope = margin(model, x + e) - margin(model, x - e)
            trial[i] += plan.rate * adams[i](slope / (2 * plan.probe))
        x = held(image, trial, eps, norm)
        expected.append(x)
    got = asked(model, image[None], torch.tensor([0]), plan, 72)
    torch.testing.assert_close(got, torch.stack(expected), rtol=0.0, atol=1e-6)


def test_zoo_begins_in_a_small_space_that_grows(halfspace, asked):
    model = image_model(halfspace, 1, 6, 6)
    image = torch.full((1, 6, 6), 0.5)
    plan = ZOOPlan(eps=0.2, batch=1, rate=0.1, probe=0.01, side=2, grow=3)
    got = asked(model, image[None], torch.tensor([0]), plan, 18) - image
    moved = [(q - got[i - i % 3 - 1] * (i >= 3)).abs() for i, q in enumerate(got)]
    # One corner of a 2 x 2 space touches 25 of 36 pixels, one of 4 x 4 fewer.
    assert [int((moved[i] > 1e-6).sum()) for i in (0, 3, 6)] == [25, 25, 25]
    assert all(int((moved[i] > 1e-6).sum()) <= 9 for i in (9, 12, 15))
    # What was found is kept.
    assert (got[11] - got[8]).abs().max() <= 0.1 + 1e-6


@pytest.mark.parametrize(
    ("norm", "eps", "side", "vectors"),
    [("Linf", 0.1, 0, 1), ("L2", 0.3, 3, 2), ("Linf", 0.1, 3, 2)],
)
def test_autozoom_follows_random_vectors(halfspace, asked, norm, eps, side, vectors):
    model = image_model(halfspace, 1, 6, 6)
    image = torch.linspace(0.0, 1.0, 36).view(1, 6, 6)
    plan = AutoZOOMPlan(eps=eps, norm=norm, side=side, vectors=vectors, rate=0.05)
    small = side or 6
    size = small * small

    def decoded(z):
        z = z.view(1, 1, small, small)
        return functional.interpolate(z, (6, 6), mode="bilinear", align_corners=True)[0]

    z, x, expected = torch.zeros(size), image, []
    adams = [Adam() for _ in range(size)]
    for step in range(6):
        expected.append(x)
        base, slope = margin(model, x), torch.zeros(size, dtype=torch.float64)
        u = draw("normals", "autozoom", step, (vectors, size))
        for row in u:
            row = row / row.norm()
            near = (image + decoded(z + row / size)).clamp(0.0, 1.0)
            expected.append(near)
            rise = (margin(model, near) - base) * size
            slope += size * rise * row.double() / vectors
        z = z + plan.rate * torch.tensor(
            [adam(float(g)) for adam, g in zip(adams, slope, strict=True)]
        )
        x = held(image, decoded(z), eps, norm)
        if not side:
            z = (x - image).flatten()
        elif norm == "L2":
            z = z * min(1.0, eps / float(decoded(z).norm()))
    n = len(expected)
    got = asked(model, image[None], torch.tensor([0]), plan, n + 1)[:n]
    # One-sided differences of float32 images: their rounding is divided by the probe.
    torch.testing.assert_close(got, torch.stack(expected), rtol=0.0, atol=1e-5)


def test_autozoom_asks_more_once_an_answer_was_adversarial():
    """Every answer is adversarial, no vote is: the run goes on."""
    calls = []

    def flighty(x):
        calls.append(len(x))
        wrong = len(calls) > 2 and len(x) != 9
        return torch.tensor([[0.0, 2.0] if wrong else [2.0, 0.0]]).repeat(len(x), 1)

    plan = AutoZOOMPlan(eps=0.1, vectors=1, vectors_after=3)
    x = torch.full((1, 1, 4, 4), 0.5)
    attack(flighty, x, torch.tensor([0]), plan, n_queries=50)
    # The first look, twice; the iterate, its votes, and then three vectors.
    assert calls[2:5] == [1, 9, 3]


def test_the_autoencoder_knows_digits():
    model = autoencoder()
    x, _ = demo.digits().held_out
    with torch.no_grad():
        error = (model(x) - x).square().mean()
        # A bilinear quarter of the pixels, enlarged again, leaves several times that.
        small = functional.interpolate(x, (4, 4), mode="area")
        bilinear = functional.interpolate(small, (8, 8), mode="bilinear")
        assert error < 0.6 * (bilinear - x).square().mean()
        assert model.decoder(torch.zeros(1, 1, 4, 4)).abs().max() == 0.0


def test_autozoom_decodes_by_the_autoencoder(asked):
    x, y = demo.digits().held_out
    plan = AutoZOOMPlan(eps=0.3, decoder="autoencoder")
    got = asked(demo.load_model(), x[:1], y[:1], plan, 3)
    u = draw("normals", "autozoom", 0, (1, 16))[0]
    with torch.no_grad():
        change = autoencoder().decoder((u / u.norm() / 16).view(1, 1, 4, 4))[0]
    near = (x[0] + change).clamp(0.0, 1.0)
    torch.testing.assert_close(got[1], near, rtol=0.0, atol=1e-6)


def test_there_is_no_autoencoder_for_other_images(halfspace):
    plan = AutoZOOMPlan(eps=0.3, decoder="autoencoder")
    x, y = torch.full((1, 3, 8, 8), 0.5), torch.tensor([0])
    model = image_model(halfspace, 3, 8, 8)
    with pytest.raises(DomainError, match=r"\(3, 8, 8\).*trained for \(1, 8, 8\)"):
        attack(model, x, y, plan)


def test_a_decoded_run_does_not_depend_on_its_batches():
    x, y = (part[:5] for part in demo.digits().held_out)
    plan, network = AutoZOOMPlan(eps=0.3, decoder="autoencoder"), demo.load_model()
    network = network.double()

    def exact(x):
        return torch.cat([network(row[None].double()) for row in x])

    given = {"n_queries": 60, "keep_images": True}
    whole = attack(exact, x, y, plan, **given)
    for i in range(5):
        one = torch.tensor([i])
        alone = attack(exact, x[one], y[one], plan, keys=one, **given)
        assert torch.equal(alone.images[0], whole.images[i])


@pytest.mark.parametrize(
    ("kind", "changes", "match"),
    [
        (ZOOPlan, {"probe": 0.0}, "probe > 0"),
        (ZOOPlan, {"rate": -1.0}, "rate > 0"),
        (ZOOPlan, {"batch": 0}, "batch a whole number >= 1"),
        (ZOOPlan, {"side": 1.5}, "side a whole number >= 0"),
        (ZOOPlan, {"grow": -1}, "grow a whole number >= 0"),
        (AutoZOOMPlan, {"decoder": "linear"}, "decoder"),
        (AutoZOOMPlan, {"probe": -0.1}, "probe >= 0"),
        (AutoZOOMPlan, {"rate": 0.0}, "rate > 0"),
        (AutoZOOMPlan, {"vectors": 0}, "vectors a whole number >= 1"),
        (AutoZOOMPlan, {"side": -2}, "side a whole number >= 0"),
    ],
)
def test_a_plan_is_checked(kind, changes, match):
    with pytest.raises(DomainError, match=match):
        kind(eps=0.1, **changes)


@pytest.mark.parametrize("name", ["zoo", "autozoom"])
def test_published_settings_of_large_images(name):
    plan = find(name).recipe("published", 0.05, "Linf", (3, 224, 224))
    assert (plan.side, plan.rate) == (32, 2e-3)
