"""What a probe will cost, before it starts, and how far it has come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from querytax.attacks.oracle import answer_in_batches
from querytax.defenses import defend
from querytax.models import Model
from querytax.probes.crossing import OFFSETS
from querytax.probes.places import outside
from querytax.probes.proposals import kinds_of
from querytax.probes.walk import Walk
from querytax.progress import Pace, Progress
from querytax.sites import Site

__all__ = ["Counted", "Forecast", "counting"]

# A pass with its gradient, in passes.
_GRADIENT = 3
# Gradients that ways to the boundary take an image, about: few take all their steps.
_WAYS = 100
# Rows that the pace is measured on.
_TRIED = 64
# Seconds that a whole batch may take to be tried as well.
_WAIT = 2.0
# Copies of the questions of a block that lie in memory at once.
_COPIES = 6
# Shorter waits are not announced, in seconds.
_SHORT = 10.0


@dataclass(frozen=True)
class Forecast:
    """The cost of a probe.

    Attributes
    ----------
    each : float
        Rows of a forward pass for an image that is probed.
    after : float
        Rows for all images together, when that is done.
    seconds : float
    gigabytes : float
        Beside the model and its own activations.
    """

    each: float
    after: float
    seconds: float
    gigabytes: float

    @staticmethod
    def of(
        walk: Walk,
        images: Tensor,
        n_probed: int,
        n_flips: int,
        levels: list[tuple[Site, np.ndarray]],
    ) -> Forecast:
        """Rows as the settings tell them, seconds as batches of each kind take."""
        places = 2 * len(walk.stages)
        probes = 2 * len(walk.betas) * walk.n_directions * places
        kinds = len(kinds_of(tuple(images.shape[1:]))) if walk.n_proposals else 0
        plain = probes + walk.n_patterns + kinds * walk.n_proposals * places + places
        ways = _GRADIENT * (_WAYS + 2 * places) if walk.gradient else 0
        block = min(walk.block(images[0].numel()), n_probed)
        # On the way all images of a block are asked about at once, and no more.
        few = _seconds(walk.model, images, min(block, walk.batch_size))
        clean = _seconds(walk.model, images, walk.batch_size)
        each, seconds = float(plain + ways), n_probed * (plain * clean + ways * few)
        after = _GRADIENT * len(images) if walk.gradient else 0.0
        seconds += after * clean
        for site, sigmas in levels:
            noisy = len(sigmas) - 1
            draws = 0 if outside(site) else noisy
            near = len(OFFSETS) * n_probed * (1 + draws * n_flips)
            heard = len(images) * (2 + noisy * n_flips) + near
            guarded = defend(walk.model, site, float(sigmas[-1]), experiment_seed=0)
            slow = _seconds(guarded, images, walk.batch_size)
            each += probes * draws * walk.n_draws
            after += heard
            seconds += slow * (n_probed * probes * draws * walk.n_draws + heard)
        held = block * places * walk.n_directions * images[0].numel()
        size = 4 * (_COPIES * held + images.numel())
        return Forecast(each, after, seconds, size / 1e9)

    def told(self, n_probed: int, levels: list[tuple[Site, np.ndarray]]) -> str:
        """For whoever waits; empty for a short wait."""
        if self.seconds < _SHORT:
            return ""
        minutes = self.seconds / 60
        time = f"{minutes:.0f} min" if minutes >= 2 else f"{self.seconds:.0f} s"
        if minutes >= 120:
            time = f"{minutes / 60:.1f} h"
        where = "one site" if len(levels) == 1 else f"{len(levels)} sites"
        return (
            f"probing {n_probed} images at {where}: about {time}, and "
            f"{self.gigabytes:.1g} GB of memory beside the model"
        )


class Counted:
    """A plain function as a model, whose rows are counted."""

    def __init__(self, model: Any, pace: Pace) -> None:
        self._model, self._pace = model, pace

    def __call__(self, x: Tensor) -> Any:
        self._pace.begin(_rows(x))
        answer = self._model(x)
        self._pace.end(_rows(x))
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


class _Way(Progress):
    """A bar that is told of images, and learns from them what each one takes."""

    def __init__(self, pace: Pace, forecast: Forecast, n_probed: int) -> None:
        super().__init__()
        self._pace, self._forecast, self._n = pace, forecast, n_probed

    def update(self, task: Any, completed: float, total: float | None = None) -> None:
        if completed:
            each = self._pace.done / completed
            self._pace.total = each * self._n + self._forecast.after


@contextmanager
def counting(
    model: Model, forecast: Forecast, n_probed: int, bar: Progress
) -> Iterator[tuple[Model, Progress]]:
    """The model with a count of its rows on the bar, and a bar for images.

    Nothing is touched where no bar is shown.
    """
    if not bar.shown:
        yield model, Progress()
        return
    pace = Pace(bar, "probing", forecast.each * n_probed + forecast.after)
    way = _Way(pace, forecast, n_probed)
    handles: list[Any] = []
    if isinstance(model, nn.Module):

        def before(_module: nn.Module, args: tuple[Any, ...]) -> None:
            pace.begin(_rows(*args))

        def after(_module: nn.Module, args: tuple[Any, ...], _answer: Any) -> None:
            pace.end(_rows(*args))

        handles.append(model.register_forward_pre_hook(before))
        handles.append(model.register_forward_hook(after))
    else:
        model = Counted(model, pace)
    try:
        yield model, way
    finally:
        for handle in handles:
            handle.remove()
        pace.close()


def _rows(x: Any = None, *_: Any) -> float:
    weight = _GRADIENT if torch.is_grad_enabled() else 1
    return float(weight * len(x)) if isinstance(x, Tensor) else 0.0


def _seconds(model: Model, images: Tensor, size: int) -> float:
    """Seconds a row in batches of a size, or in smaller ones where that is a wait."""
    best = float("inf")
    for rows in sorted({min(_TRIED, size), size}):
        # A call costs something by itself: few rows would foretell too much.
        x = images[torch.arange(rows, device=images.device) % len(images)]
        for _ in range(2):
            start = perf_counter()
            answers = answer_in_batches(model, x, rows)
            if answers.is_cuda:
                torch.cuda.synchronize()
            best = min(best, (perf_counter() - start) / rows)
        if best * size > _WAIT:
            break
    return best
