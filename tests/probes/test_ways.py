"""Ways to the boundary: begun anew where descent fails, and by squares of pixels."""

import numpy as np
import pytest
import torch
from torch import nn

from querytax.probes.path import boundary_path, coarse, sides_of, wander
from querytax.probes.restarts import restarted
from querytax.probes.walk import _width

LINE = {"answered": "logits", "targeted": False, "batch_size": 4}
STAGES = (torch.arange(4) + 0.5) / 4


class Valley(nn.Module):
    """Class 1 wins beyond 0.06 on the first pixel, uphill is the other way about 0."""

    def forward(self, x):
        at = (x.flatten(1) - 0.5).double()
        first = at[:, 0]
        # A slope away from the boundary near the image, and towards it farther out.
        margin = -first - 0.2
        margin = torch.where(first > 0.02, 10.0 * (first - 0.06), margin)
        return torch.stack((torch.zeros_like(margin), margin), 1)


class Hill(nn.Module):
    """A fixed linear margin on images (1, 8, 8)."""

    def __init__(self, weight, gap):
        super().__init__()
        self.weight, self.gap = weight, gap

    def forward(self, x):
        margin = ((x - 0.5) * self.weight).flatten(1).sum(1) - self.gap
        return torch.stack((torch.zeros_like(margin), margin), 1)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_an_image_that_descent_misses_is_reached_from_elsewhere(norm):
    model, x = Valley(), torch.full((6, 2), 0.5)
    labels, keys = torch.zeros(6, dtype=torch.int64), torch.arange(6)
    way = {"eps": 0.1, "norm": norm, "stages": STAGES, **LINE}
    path = boundary_path(model, x, labels, **way)
    assert path.length.isinf().all()
    found = restarted(model, path, x, labels, keys, seed=3, **way)
    assert found.length.isfinite().all()
    # In Linf the way's length is its largest number: 0.06 on the first pixel or more.
    assert ((found.length >= 0.599) & (found.length <= 1.0)).all()
    size = (found.crossing - x).abs().amax(1) if norm == "Linf" else None
    if norm == "L2":
        size = (found.crossing - x).norm(dim=1)
    np.testing.assert_allclose(size, 0.1 * found.length, rtol=1e-5)
    np.testing.assert_allclose(found.crossing[:, 0], 0.56, rtol=1e-3)
    # Stages lie on the straight way to it.
    away = (found.crossing - x)[:, None]
    expected = x[:, None] + STAGES[:, None] * away
    np.testing.assert_allclose(found.points, expected, rtol=1e-6)
    # By the image's own draws: in any company, and the same again.
    alone = boundary_path(model, x[4:], labels[4:], **way)
    alone = restarted(model, alone, x[4:], labels[4:], keys[4:], seed=3, **way)
    assert torch.equal(alone.crossing, found.crossing[4:])
    other = restarted(model, path, x, labels, keys, seed=4, **way)
    assert not torch.equal(other.crossing, found.crossing)


def test_what_nobody_reaches_stays_and_what_is_reached_too():
    model = Hill(torch.ones(1, 8, 8), 64 * 0.05)
    x = torch.full((2, 1, 8, 8), 0.5)
    x[1] = 0.3  # beyond the budget
    labels, keys = torch.zeros(2, dtype=torch.int64), torch.arange(2)
    way = {"eps": 0.1, "norm": "Linf", "stages": STAGES, **LINE}
    path = boundary_path(model, x, labels, **way)
    assert path.length.tolist() == [pytest.approx(0.5, rel=1e-4), np.inf]
    found = restarted(model, path, x, labels, keys, seed=0, **way)
    for own, other in zip(vars(path).values(), vars(found).values(), strict=True):
        assert torch.equal(own, other)


def test_descent_by_squares_pays_for_signs_that_change_inside_them():
    """A step moves each square as one: gap / (eps sum over squares of |sum of w|)."""
    torch.manual_seed(0)
    weight = torch.randn(1, 8, 8).abs() + torch.randn(1, 8, 8) * 0.5
    labels = torch.zeros(1, dtype=torch.int64)
    x = torch.full((1, 1, 8, 8), 0.5)
    for side in sides_of((1, 8, 8)):
        squares = weight.view(8 // side, side, 8 // side, side).sum((1, 3))
        own = float(squares.abs().sum())
        model = Hill(weight, 0.06 * own)
        way = {"eps": 0.1, "norm": "Linf", "stages": STAGES, **LINE}
        path = boundary_path(model, x, labels, side=side, **way)
        assert float(path.length[0]) == pytest.approx(0.6, rel=1e-4)
        np.testing.assert_allclose(coarse(weight[None], side)[0, 0], squares, rtol=1e-5)
        width = _width(weight.view(1, 1, -1), side, (1, 8, 8))
        assert width.shape == (1, 1)
        assert width[0, 0] == pytest.approx(float(squares.norm() / weight.norm()))


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 7, 9), (1, 28, 28), (3, 224, 224)])
def test_sides_and_squares_that_do_not_fit(shape):
    """Sums over the squares, those at the ends cut off; a tensor's sum is theirs."""
    sides = sides_of(shape)
    assert sides == ((16, 32) if shape[1] == 224 else (2, 4))
    x = torch.rand((2, *shape), generator=torch.Generator().manual_seed(0)).double()
    for side in sides:
        sums = coarse(x, side)
        assert sums.shape[-2:] == (-(-shape[1] // side), -(-shape[2] // side))
        np.testing.assert_allclose(sums.sum((2, 3)), x.sum((2, 3)), rtol=1e-12)
        np.testing.assert_allclose(
            sums[..., -1, 0],
            x[..., side * (sums.shape[-2] - 1) :, :side].sum((2, 3)),
            rtol=1e-12,
        )
    assert sides_of((64,)) == sides_of((1, 2, 2)) == ()


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_a_place_wandered_to_by_squares_is_constant_on_them(norm):
    x, rows = torch.full((3, 2, 7, 9), 0.5), torch.arange(3)
    places = wander(x[:, None], x, eps=0.1, norm=norm, seed=1, rows=rows, side=4)
    away = places[:, 0] - x
    for i in range(7):
        for j in range(9):
            corner = away[..., i // 4 * 4, j // 4 * 4]
            assert torch.equal(away[..., i, j], corner)
    size = away.abs().amax() if norm == "Linf" else away.flatten(1).norm(dim=1).amax()
    assert 0.05 < float(size) <= 0.1 + 1e-6
