"""Random resizing and padding of the image (Xie et al., ICLR 2018)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from querytax import expect
from querytax.defenses.deciding import Deciding, check_maps, mean_answer
from querytax.defenses.defense import Defense, Keys, Model, standard_deviation
from querytax.models import ask

__all__ = ["MOST_SHARE", "RandomResize"]

MOST_SHARE = 0.9

# The judge's views: points spread evenly over the cube, by the additive recurrence of
# the plastic number's kin, x**4 = x + 1.
_VIEWS = 9
_ROOT = 1.2207440846057596
_STEP = torch.tensor([_ROOT**-1, _ROOT**-2, _ROOT**-3], dtype=torch.float64)


class RandomResize(Deciding):
    """Answer about the image resized to a random size, at a random place on black.

    Parameters
    ----------
    model : nn.Module or callable
        From images (N, C, H, W) to answers (N, classes).
    share : float
        Each row's size is uniform between its own and its own less, or more, this
        share; at most 0.9. At 0 the answer is the model's own.
    way : {"shrink", "grow"}
        ``shrink``: a network of a fixed input size is shown a smaller image on a black
        canvas of that size. ``grow``, as published: a larger one on a canvas that is
        larger by the share, rounded up to a whole pixel; the network must take images
        of that size, with global pooling for one.
    experiment_seed : int, numpy.random.Generator, torch.Generator or None
        None, for deployment: draws that nobody can predict or repeat. A whole number,
        or a generator to draw one from, is for experiments alone.

    Raises
    ------
    DomainError
        For a share out of range; when asked, for images of another shape.

    Notes
    -----
    Xie et al. enlarge 299 pixels to a whole number below 331, a share of 0.104, take
    the nearest pixel and put the result at a whole pixel. Here size and place are real
    numbers and pixels are interpolated (bilinear, without smoothing), so that small
    images and small shares are random too. The gradient is the one of the draw.

    What counts is the class of the mean probability over nine fixed draws, spread
    evenly over all: `judge`.
    """

    draws = True

    def __init__(
        self,
        model: Model,
        share: float,
        *,
        way: str = "shrink",
        experiment_seed: Any = None,
    ) -> None:
        super().__init__(model, experiment_seed=experiment_seed)
        one = standard_deviation(share=share)
        self.share = expect.that(one <= MOST_SHARE, f"<= {MOST_SHARE}", share=one)
        self.way = expect.one_of(["shrink", "grow"], way=way)

    def _settings(self) -> str:
        return f"share={self.share:g}, way={self.way}"

    @property
    def touches_input(self) -> bool:
        return self.share > 0

    def before(self, x: Tensor, rows: Keys, queries: Keys) -> Tensor:
        if not self.share:
            return x
        draws = self._uniforms((3,), "resize", check_maps(x), rows, queries)
        return resized(x, draws, self.share, self.way)

    def after(self, answer: Tensor, rows: Keys, queries: Keys) -> Tensor:
        # A model may hand out its input or a tensor that it keeps.
        return answer.clone()

    def decide(self, model: Model, x: Tensor) -> Tensor:
        if not self.share:
            return ask(model, x)
        check_maps(x)
        spots = (0.5 + torch.arange(_VIEWS)[:, None] * _STEP) % 1.0
        views = [
            resized(x, spot.expand(len(x), 3).to(x.device), self.share, self.way)
            for spot in spots
        ]
        said = [ask(model, view) for view in views]
        return mean_answer(said, getattr(model, "answers", "logits"))

    before.__doc__ = Defense.before.__doc__
    after.__doc__ = Defense.after.__doc__
    decide.__doc__ = Deciding.decide.__doc__


def resized(x: Tensor, draws: Tensor, share: float, way: str) -> Tensor:
    """Each image at its own size and place on black.

    Parameters
    ----------
    x : Tensor
        ``(N, C, H, W)``.
    draws : Tensor
        ``(N, 3)`` in [0, 1], float64: how much of the share the size changes by, and
        where between both ends the image lies, down and across.
    share : float
    way : {"shrink", "grow"}

    Returns
    -------
    Tensor
        ``(N, C, H, W)``, or a larger canvas.
    """
    grows = way == "grow"
    scale = 1.0 + (share if grows else -share) * draws[:, 0]
    lines, kept = [], []
    for side, place in zip(x.shape[-2:], draws[:, 1:].T, strict=True):
        canvas = side + math.ceil(share * side) if grows else side
        size = scale * side
        # Where each pixel of the canvas lies in the image, from 0 to 1.
        middle = torch.arange(canvas, dtype=torch.float64, device=x.device) + 0.5
        at = (middle - (place * (canvas - size))[:, None]) / size[:, None]
        lines.append(2.0 * at - 1.0)
        kept.append((at >= 0.0) & (at < 1.0))
    down, across = lines
    shape = len(x), down.shape[1], across.shape[1]
    grid = torch.stack(
        [across[:, None].expand(shape), down[:, :, None].expand(shape)], -1
    )
    # Narrow types cannot hold a place.
    wide = torch.promote_types(x.dtype, torch.float32)
    drawn = nn.functional.grid_sample(
        x.to(wide), grid.to(wide), padding_mode="border", align_corners=False
    )
    inside = kept[0][:, None, :, None] & kept[1][:, None, None, :]
    return (drawn * inside).to(x.dtype)
