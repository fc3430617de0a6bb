"""The Square attack against the paper's algorithms, one image and one pixel a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from querytax import noise
from querytax.attacks import attack
from querytax.attacks.square import SquarePlan, _half
from querytax.expect import DomainError

LABEL = torch.tensor([0])
SEED = 5


def drawn(kind, name, step, shape):
    one = torch.tensor([0]), torch.tensor([step])
    draw = getattr(noise, kind)
    return draw(SEED, f"attack/square/{name}", *one, shape)[0].numpy()


def image(channels, height, width):
    """Some pixels so near 0 or 1 that a move is cut."""
    x = torch.linspace(-0.3, 1.3, channels * height * width).clamp(0, 1)
    order = torch.arange(len(x)) * 7 % len(x)
    return x[order].reshape(1, channels, height, width)


class Scored:
    """Two logits, the margin a fixed pattern's product with the image minus 50."""

    def __init__(self, shape):
        n = int(np.prod(shape))
        self.weight = torch.cos(1.7 * torch.arange(n).double()).view(shape)

    def __call__(self, x):
        s = (x.double() * self.weight).flatten(1).sum(1) - 50.0
        return torch.stack((-0.5 * s, 0.5 * s), 1)

    def of(self, x):
        return float((torch.from_numpy(x).double() * self.weight).sum())


def linf(x, plan, model, n):
    """Algorithms 1 and 2, and what the published code adds."""
    c, h, w = x.shape
    eps = np.float32(plan.eps)
    best = np.clip(x + eps * drawn("signs", "stripes", 0, (c, 1, w)), 0, 1)
    questions, found = [best], model.of(best)
    for i in range(n - 1):
        p = plan.p
        for turn in (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000):
            p = p / 2 if plan.horizon and i * 10000 // plan.horizon > turn else p
        side = min(max(round(np.sqrt(p * h * w)), 1), h - 1, w - 1)
        u = drawn("uniforms", "place", i, (2,)).astype(float)
        top, left = int(u[0] * (h - side + 1)), int(u[1] * (w - side + 1))
        first, second = drawn("signs", "sign", i, (2, c, 1, 1))
        if np.array_equal(second, first):
            second = -second
        for sign in (first, second):
            new = best.copy()
            part = np.s_[:, top : top + side, left : left + side]
            new[part] = np.clip(x[part] + eps * sign, 0, 1)
            if not np.array_equal(new, best):
                break
        questions.append(new)
        if model.of(new) > found:
            best, found = new, model.of(new)
    return np.stack(questions)


def bump(side):
    """Eq. (3) by nested squares, halves of length 1 as in the published code."""
    halves = []
    for height in (side // 2, side - side // 2):
        half = np.zeros((height, side))
        for k in range(max(height, side) // 2 + 1):
            r, s = height // 2, side // 2
            half[max(r - k, 0) : r + k + 1, max(s - k, 0) : s + k + 1] += (
                1 / (k + 1) ** 2
            )
        halves.append(half / np.linalg.norm(half))
    both = np.concatenate((halves[0], -halves[1]))
    return both / np.linalg.norm(both)


def l2(x, plan, model, n):
    """Algorithm 3."""
    c, h, w = x.shape
    tile = min(h, w) // 5
    down, across = h // tile, w // tile
    nu = np.zeros(x.shape)
    sign = drawn("signs", "stripes", 0, (c, down, 1, across, 1))
    turn = drawn("uniforms", "turn", 0, (1, down, 1, across, 1))
    for a in range(down):
        for b in range(across):
            eta = bump(tile).T if turn[0, a, 0, b, 0] < 0.5 else bump(tile)
            i, j = (
                (h - tile * down) // 2 + a * tile,
                (w - tile * across) // 2 + b * tile,
            )
            for k in range(c):
                nu[k, i : i + tile, j : j + tile] = sign[k, a, 0, b, 0] * eta
    best = np.clip(x + plan.eps * nu / np.linalg.norm(nu), 0, 1).astype(np.float32)
    questions, found = [best], model.of(best)
    for i in range(n - 1):
        side = max(round(np.sqrt(plan.p * h * w)), 3)
        side += 1 - side % 2
        u = drawn("uniforms", "place", i, (5,)).astype(float)
        r1, s1, r2, s2 = (u[:4] * (np.array([h, w, h, w]) - side + 1)).astype(int)
        rho = drawn("signs", "sign", i, (c, 1))
        eta = bump(side).T if u[4] < 0.5 else bump(side)
        nu = best.astype(float) - x
        one = np.s_[r1 : r1 + side, s1 : s1 + side]
        two = np.s_[r2 : r2 + side, s2 : s2 + side]
        union = np.zeros((h, w), bool)
        union[one] = union[two] = True
        unused = max(plan.eps**2 - (nu**2).sum(), 0)
        for k in range(c):
            temp = rho[k, 0] * eta + nu[k][one] / max(np.linalg.norm(nu[k][one]), 1e-10)
            available = np.sqrt((nu[k][union] ** 2).sum() + unused / c)
            nu[k][two] = 0
            nu[k][one] = temp / np.linalg.norm(temp) * available
        nu *= min(1, plan.eps / np.linalg.norm(nu))
        new = np.clip(x + nu, 0, 1).astype(np.float32)
        questions.append(new)
        if model.of(new) > found:
            best, found = new, model.of(new)
    return np.stack(questions)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 6, 9)])
@pytest.mark.parametrize(("p", "horizon"), [(0.05, 10_000), (0.4, 60), (0.2, 0)])
def test_linf_is_the_published_algorithm(asked, shape, p, horizon):
    x, model = image(*shape), Scored(shape)
    plan = SquarePlan(eps=0.1, p=p, horizon=horizon)
    found = asked(model, x, LABEL, plan, 60, rng=SEED)
    expected = linf(x[0].numpy(), plan, model, 60)
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=0, atol=1e-6)
    # The incumbent moved, and no question repeats it.
    assert len({model.of(q.numpy()) for q in found}) > 30


@pytest.mark.parametrize("shape", [(1, 11, 11), (3, 10, 14)])
@pytest.mark.parametrize("p", [0.05, 0.5])
def test_l2_is_the_published_algorithm(asked, shape, p):
    x, model = image(*shape), Scored(shape)
    plan = SquarePlan(eps=1.5, norm="L2", p=p, horizon=0)
    found = asked(model, x, LABEL, plan, 40, rng=SEED)
    expected = l2(x[0].numpy(), plan, model, 40)
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=0, atol=1e-5)
    away = (found - x).flatten(1).norm(dim=1)
    assert (away <= 1.5 * (1 + 1e-6)).all()


@pytest.mark.parametrize("shape", [(1, 2, 2), (1, 3, 7), (3, 4, 4), (2, 8, 5)])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_small_images_have_room_for_a_square(asked, shape, norm):
    x = image(*shape)
    plan = SquarePlan(eps=0.2, norm=norm, p=1.0)
    found = asked(Scored(shape), x, LABEL, plan, 20, rng=SEED)
    assert found.isfinite().all()
    assert len(found.unique(dim=0)) > 1


def test_a_bump_is_as_in_the_paper():
    # n = 2: 1/9 at the rim, 1/4 + 1/9 within, 1 + 1/4 + 1/9 in the middle.
    half = _half(5, 5)
    ratio = half / half[0, 0] / 9
    third = torch.tensor([1 / 9, 1 / 9 + 1 / 4, 1 / 9 + 1 / 4 + 1], dtype=torch.float64)
    torch.testing.assert_close(ratio[2, :3], third)
    torch.testing.assert_close(half, half.flip(0, 1))


def test_sizes_follow_the_schedule():
    plan = SquarePlan(eps=0.1, p=0.8)
    assert [plan.share(i) for i in (0, 10)] == [0.8, 0.8]
    assert [plan.share(i) for i in (11, 51, 9999)] == [0.4, 0.2, 0.8 / 512]
    # In a tenth of the iterations, ten times as fast; the last size stays.
    short = plan.replace(horizon=1000)
    assert [short.share(i) for i in (1, 2, 999, 5000)] == [
        0.8,
        0.4,
        0.8 / 512,
        0.8 / 512,
    ]


def test_a_stale_incumbent_is_asked_once_and_others_beside_each_proposal(asked):
    shape = (1, 8, 8)
    x, model = image(*shape), Scored(shape)
    plan = SquarePlan(eps=0.1, p=0.2)
    stale = asked(model, x, LABEL, plan, 20, rng=SEED)
    for incumbent in ("requery", "mean"):
        again = asked(model, x, LABEL, plan.replace(incumbent=incumbent), 39, rng=SEED)
        # Without noise, the same proposals.
        assert torch.equal(again[1::2], stale[1:])
        assert torch.equal(again[2], stale[0])


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_a_target_is_climbed_to(norm):
    """Three classes, each the brightness of a third of the image."""
    thirds = torch.zeros(3, 1, 6, 6)
    for k in range(3):
        thirds[k, :, 2 * k : 2 * k + 2] = 1.0

    def model(x):
        return x.flatten(1) @ thirds.flatten(1).T

    x = torch.full((1, 1, 6, 6), 0.5)
    x[:, :, :2] = 0.6
    result = attack(
        model,
        x,
        LABEL,
        SquarePlan(eps={"Linf": 0.2, "L2": 1.0}[norm], norm=norm, p=0.3),
        targets=torch.tensor([2]),
        n_queries=500,
        keep_images=True,
    )
    assert model(result.images).argmax(1).tolist() == [2]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"p": 0.0}, r"p in \(0, 1\], got 0.0"),
        ({"p": 1.5}, r"p in \(0, 1\], got 1.5"),
        ({"horizon": -1}, "horizon a whole number >= 0, got -1"),
        ({"incumbent": "best"}, "incumbent to be one of"),
        ({"norm": "L1"}, "norm to be one of"),
    ],
)
def test_bad_settings_are_named(change, says):
    with pytest.raises(DomainError, match=f"expected {says}"):
        SquarePlan(**{"eps": 0.1, **change})
