"""Feature denoising: a filter over the maps of one layer (Xie et al., CVPR 2019)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from querytax import expect
from querytax.defenses.deciding import Deciding, check_maps
from querytax.defenses.defense import Defense, Keys, Model, standard_deviation
from querytax.defenses.layers import Visit, named, touching, undefended
from querytax.defenses.recording import live
from querytax.expect import DomainError
from querytax.models import ask, eager

__all__ = ["Denoise"]

# Of the matrix that compares all places of a map: its side, and elements at once.
_MOST_PLACES = 64 * 64
_ELEMENTS = 1 << 24


class Denoise(Deciding):
    """Answer with the features h of one layer replaced by h + share (filter(h) - h).

    Parameters
    ----------
    model : nn.Module or callable
        From images (N, ...) to answers (N, C); a torch module where a layer is named.
    share : float
        How much of the filter's result is taken, 0 to 1. At 0 the answer is the model's
        own.
    layer : str
        Dotted name of the module whose output is filtered, maps (N, C, H, W); empty for
        the images themselves.
    filter : {"mean", "median", "nonlocal"}
        Over a square of ``side`` places; ``nonlocal``: the mean over all places of the
        map, weighted by the softmax of h_i . h_j / sqrt(C) and without learned maps.
    side : int
        Odd; of ``mean`` and ``median``.
    experiment_seed : int, numpy.random.Generator, torch.Generator or None
        Nothing is drawn; a defence behind it may.

    Raises
    ------
    DomainError
        For a share, layer or side that does not fit; when asked, for a layer that is
        not reached, maps of another shape, and ``nonlocal`` over more than 4096 places.

    Notes
    -----
    Deterministic, and its gradient is the true one. The published network is trained
    adversarially with four such blocks, each with a learned 1 x 1 convolution behind
    the filter; put on a network that knows nothing of it, this is a smoothing filter
    and no more.
    """

    def __init__(
        self,
        model: Model,
        share: float,
        *,
        layer: str = "",
        filter: str = "mean",
        side: int = 3,
        experiment_seed: Any = None,
    ) -> None:
        model = eager(model) if layer else model
        super().__init__(model, experiment_seed=experiment_seed)
        one = standard_deviation(share=share)
        self.share = expect.that(one <= 1.0, "<= 1", share=one)
        self.filter = expect.one_of(["mean", "median", "nonlocal"], filter=filter)
        self.side = expect.that(side % 2 == 1 and side > 0, "odd and > 0", side=side)
        self.layer = named(layer, undefended(model))[0] if layer else ""

    def _settings(self) -> str:
        place = self.layer or "input"
        return f"share={self.share:g}, layer={place}, filter={self.filter}"

    @property
    def mergeable(self) -> bool:
        """Whether an answer is `after` of the model's answer to `before`."""
        hooks = self._forward_pre_hooks or self._forward_hooks
        return not self.layer and not hooks and type(self).forward is Denoise.forward

    @property
    def touches_input(self) -> bool:
        return not self.layer and self.share > 0

    @live
    def forward(
        self, x: Tensor, rows: Tensor | None = None, queries: Tensor | None = None
    ) -> Tensor:
        x, rows, queries = self.admit(x, rows, queries)
        if not self.layer:
            x = self.before(x, rows, queries)
            return self.after(self._ask(x, rows, queries), rows, queries)
        with self._filtering(self.model, len(x)):
            return self._ask(x, rows, queries).clone()

    def before(self, x: Tensor, rows: Keys, queries: Keys) -> Tensor:
        return super().before(x, rows, queries) if self.layer else self._filtered(x)

    def after(self, answer: Tensor, rows: Keys, queries: Keys) -> Tensor:
        if self.layer:
            return super().after(answer, rows, queries)
        # A model may hand out its input or a tensor that it keeps.
        return answer.clone()

    def decide(self, model: Model, x: Tensor) -> Tensor:
        if not self.layer:
            return ask(model, self._filtered(x))
        with self._filtering(model, len(x)):
            return ask(model, x)

    forward.__doc__ = Defense.forward.__doc__
    before.__doc__ = Defense.before.__doc__
    after.__doc__ = Defense.after.__doc__
    decide.__doc__ = Deciding.decide.__doc__

    def _filtering(self, model: Model, rows: int) -> Any:
        def touch(_at: Visit, features: Tensor) -> Tensor:
            return self._filtered(features)

        return touching(undefended(model), [self.layer], "output", rows, touch)

    def _filtered(self, h: Tensor) -> Tensor:
        if not self.share or not len(h):
            return h
        check_maps(h, f"features at {self.layer!r}" if self.layer else "images")
        return h + self.share * (filtered(h, self.filter, self.side) - h)


def filtered(h: Tensor, by: str, side: int) -> Tensor:
    """Maps ``(N, C, H, W)`` behind a filter; at the border over what there is."""
    margin = side // 2
    if by == "mean":
        return nn.functional.avg_pool2d(h, side, 1, margin, count_include_pad=False)
    if by == "median":
        # The nearest place stands for what lies beyond the border.
        wide = nn.functional.pad(h, (margin,) * 4, mode="replicate")
        squares = wide.unfold(2, side, 1).unfold(3, side, 1)
        return squares.flatten(-2).median(-1).values
    places = h.flatten(2)
    if places.shape[2] > _MOST_PLACES:
        raise DomainError(
            f"expected maps of at most {_MOST_PLACES} places for the nonlocal filter, "
            f"got {places.shape[2]}: name a deeper layer"
        )
    many = max(1, _ELEMENTS // places.shape[2] ** 2)
    parts = []
    for some in places.split(many):
        alike = some.transpose(1, 2) @ some / some.shape[1] ** 0.5
        # Row i of the softmax weighs the places j of which i's result is made.
        parts.append(some @ torch.softmax(alike, 2).transpose(1, 2))
    return torch.cat(parts).view_as(h)
