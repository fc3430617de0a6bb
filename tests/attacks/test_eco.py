"""ECO against lazy local search with a real queue, written down for one image."""

from __future__ import annotations

import heapq

import pytest
import torch

from querytax import noise
from querytax.attacks import attack
from querytax.attacks.eco import ECOPlan
from querytax.expect import DomainError


class Curved:
    """The margin of a small network of random weights: gains are not additive."""

    def __init__(self, size):
        key = torch.zeros(1, dtype=torch.int64)
        self.inner = noise.normals(5, "inner", key, key, (size, 6), dtype=torch.float64)
        self.outer = noise.normals(5, "outer", key, key, (6,), dtype=torch.float64)

    def __call__(self, x):
        h = (x.double().flatten(1) - 0.5)[:, :, None] * self.inner
        score = ((4.0 * h.sum(1)).tanh() * self.outer).sum(1) - 20.0
        return torch.stack((-0.5 * score, 0.5 * score), 1)


def searched(model, image, plan, n):
    """Questions of algorithms 1 to 3."""
    channels, height, width = image.shape
    sign, asked = -torch.ones_like(image), []

    def ask(sign):
        asked.append((image + plan.eps * sign).clamp(0.0, 1.0))
        logits = model(asked[-1][None])[0]
        return float(logits[1] - logits[0])

    def flip(sign, block, side):
        i, j, c = block
        sign = sign.clone()
        sign[c, i : i + side, j : j + side] *= -1.0
        return sign

    turn = 0
    while len(asked) < n:
        side = plan.sides[min(turn, len(plan.sides) - 1)]
        blocks = [
            (i, j, c)
            for i in range(0, height, side)
            for j in range(0, width, side)
            for c in range(channels)
        ]
        most = channels * -(-height // plan.finest) * -(-width // plan.finest)
        key = torch.tensor([turn])
        u = noise.uniforms(0, "attack/eco/order", 0 * key, key, (most,))[0]
        order = u[: len(blocks)].argsort().tolist()
        for begin in range(0, len(order), plan.batch):
            batch = [blocks[b] for b in order[begin : begin + plan.batch]]
            loss = ask(sign)
            for wanted in (-1.0, 1.0):
                queue = []
                for place, block in enumerate(batch):
                    i, j, c = block
                    if sign[c, i, j] == wanted:
                        gain = ask(flip(sign, block, side)) - loss
                        heapq.heappush(queue, (-gain, place))
                fresh = True
                while queue:
                    gain, place = heapq.heappop(queue)
                    gain, block = -gain, batch[place]
                    trial = flip(sign, block, side)
                    if not fresh:
                        gain = ask(trial) - loss
                        if queue and gain < -queue[0][0]:
                            heapq.heappush(queue, (-gain, place))
                            continue
                    fresh = False
                    if gain < 0.0:
                        break
                    sign, loss = trial, loss + gain
        turn += 1
    return torch.stack(asked[:n])


@pytest.mark.parametrize("batch", [64, 5])
@pytest.mark.parametrize("shape", [(1, 4, 4), (2, 5, 6)])
def test_it_searches_as_published(asked, shape, batch):
    model = Curved(torch.Size(shape).numel())
    size = torch.Size(shape).numel()
    image = torch.linspace(0.02, 0.98, size).view(shape)
    plan = ECOPlan(eps=0.1, block=4, batch=batch)
    n = 400
    expected = searched(model, image, plan, n)
    got = asked(model, image[None], torch.tensor([0]), plan, n)
    torch.testing.assert_close(got, expected, rtol=0.0, atol=1e-6)


def test_blocks_are_halved_down_to_the_finest():
    assert ECOPlan(eps=0.1, block=32).sides == [32, 16, 8, 4, 2, 1]
    assert ECOPlan(eps=0.1, block=6, finest=2).sides == [6, 3]


@pytest.mark.parametrize("incumbent", ["requery", "mean"])
def test_under_noise_each_flip_is_held_against_a_fresh_answer(asked, incumbent):
    model = Curved(16)
    image = torch.full((1, 1, 4, 4), 0.5)
    plan = ECOPlan(eps=0.1, block=2, incumbent=incumbent)
    got = asked(model, image, torch.tensor([0]), plan, 60).view(30, 2, 16)
    signs = ((got - 0.5) / 0.1).round()
    # Of each two questions the second is about the image as it was.
    assert torch.equal(signs[0, 1], -torch.ones(16))
    flipped = (signs[:, 0] != signs[:, 1]).sum(1)
    assert set(flipped.tolist()) <= {1, 4}


def test_a_target_and_the_incumbents_are_reached(halfspace):
    model = halfspace(16, margin=0.05)
    model.weight = model.weight.view(1, 4, 4)
    x, y = torch.full((2, 1, 4, 4), 0.5), torch.zeros(2, dtype=torch.int64)
    for incumbent in ("stale", "requery", "mean"):
        plan = ECOPlan(eps=0.2, incumbent=incumbent)
        hit = attack(model, x, y, plan, targets=1 - y, n_queries=300)
        assert hit.broken.success.all()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"block": 0}, "block a whole number >= 1"),
        ({"batch": 0}, "batch a whole number >= 1"),
        ({"block": 2, "finest": 4}, "finest <= block = 2"),
        ({"incumbent": "lazy"}, "incumbent"),
    ],
)
def test_a_plan_is_checked(changes, match):
    with pytest.raises(DomainError, match=match):
        ECOPlan(eps=0.1, **changes)


def test_it_wants_images(halfspace):
    x, y = torch.full((1, 12), 0.5), torch.tensor([0])
    with pytest.raises(DomainError, match=r"images \(C, H, W\) for eco"):
        attack(halfspace(12), x, y, ECOPlan(eps=0.1), n_queries=50)
