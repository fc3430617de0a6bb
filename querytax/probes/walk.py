"""The probe's loop over images: from each to its boundary, measured on the way."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from querytax.attacks.oracle import Model
from querytax.plans import LOSSES
from querytax.probes.blind import blind_outcomes
from querytax.probes.path import (
    boundary_path,
    coarse,
    sides_of,
    sign_gain,
    slope,
    wander,
)
from querytax.probes.proposals import kinds_of, propose
from querytax.probes.response import Points, respond
from querytax.probes.restarts import restarted
from querytax.progress import Progress
from querytax.sites import Site

__all__ = ["PROFILE", "Found", "Walk"]

_STAGES = 4
# Quantiles of the sizes of a gradient's entries.
PROFILE = np.linspace(0.0, 1.0, 33)
# Images of one block, fewer where its probes would pass so many elements.
_BLOCK = 32
_BLOCK_ELEMENTS = 1 << 25


@dataclass(frozen=True)
class Found:
    """What the way of ``n`` images showed; arrays as in ``ModelStatistics``.

    Attributes
    ----------
    crossing : Tensor
        ``(n, ...)`` where the boundary is crossed; NaN where it is not.
    block_length, block_wander, block_width, block_profile : ndarray
        ``(K, n)``, ``(K, n)``, ``(K, T, n)`` and ``(K, n, 33)``.
    blind_changes : ndarray
        ``(2, n, n_patterns)``, as ``proposals``.
    responses : list of ndarray
        A site's ``(4, 2, S, B, P, T, n)``: signal, its error, noise, alignment.
    proposals : ndarray
        ``(2, K, P, T, n, m)``: on the scale of the answers, and of probabilities.
    """

    path_length: np.ndarray
    wander_length: np.ndarray
    sign_gain: np.ndarray
    gradient_profile: np.ndarray
    crossing: Tensor
    block_length: np.ndarray
    block_width: np.ndarray
    block_profile: np.ndarray
    block_wander: np.ndarray
    blind_outcomes: np.ndarray
    blind_changes: np.ndarray
    proposals: np.ndarray
    responses: list[np.ndarray]

    @staticmethod
    def joined(parts: list[Found]) -> Found:
        """Blocks of images, one behind the other."""
        arrays = {
            name: np.concatenate([getattr(part, name) for part in parts], axis)
            for name, axis in (
                ("path_length", 0),
                ("wander_length", 0),
                ("sign_gain", 0),
                ("gradient_profile", 0),
                ("block_length", 1),
                ("block_width", 2),
                ("block_profile", 1),
                ("block_wander", 1),
                ("blind_outcomes", 0),
                ("blind_changes", 1),
                ("proposals", -2),
            )
        }
        responses = [
            np.concatenate(site, -1)
            for site in zip(*(part.responses for part in parts), strict=True)
        ]
        crossing = torch.cat([part.crossing for part in parts])
        return Found(crossing=crossing, responses=responses, **arrays)


@dataclass(frozen=True)
class Walk:
    """The settings of one probe."""

    model: Model
    answered: str
    targeted: bool
    gradient: bool
    eps: float
    norm: str
    betas: np.ndarray
    n_directions: int
    n_draws: int
    n_patterns: int
    n_proposals: int
    batch_size: int
    seed: int

    @property
    def stages(self) -> Tensor:
        """``(T,)`` fractions of the way; the images alone without a gradient."""
        if not self.gradient:
            return torch.zeros(1)
        return (torch.arange(_STAGES) + 0.5) / _STAGES

    def block(self, dimension: int) -> int:
        """Images that are probed beside each other."""
        each = dimension * 2 * len(self.stages) * self.n_directions
        return max(1, min(_BLOCK, _BLOCK_ELEMENTS // each))

    def along(
        self,
        x: Tensor,
        goals: Tensor,
        keys: Tensor,
        levels: list[tuple[Site, np.ndarray]],
        bar: Progress,
    ) -> Found:
        """All images, block by block; ``keys`` are their numbers."""
        task = bar.add("probing", len(x))
        block = self.block(x[0].numel())
        parts = []
        for start in range(0, len(x), block):
            part = slice(start, start + block)
            parts.append(self._block(x[part], goals[part], keys[part], levels))
            bar.update(task, min(start + block, len(x)))
        return Found.joined(parts)

    def _block(
        self,
        origin: Tensor,
        goal: Tensor,
        key: Tensor,
        levels: list[tuple[Site, np.ndarray]],
    ) -> Found:
        stages = self.stages
        n, count = len(origin), len(stages)
        places = 2 * count
        lost = functools.partial(
            wander,
            origin=origin,
            eps=self.eps,
            norm=self.norm,
            seed=self.seed,
            rows=key,
        )
        heard: dict[str, Any] = {
            "answered": self.answered,
            "targeted": self.targeted,
            "batch_size": self.batch_size,
        }
        on_path = origin[:, None]
        length = torch.full((2, n), torch.nan, dtype=torch.float64)
        crossing = torch.full_like(origin, torch.nan)
        profile = np.full((n, len(PROFILE)), np.nan)
        sides = sides_of(tuple(origin.shape[1:])) if self.gradient else ()
        blocks: list[np.ndarray] = []
        strays: list[np.ndarray] = []
        entries: list[np.ndarray] = []
        if self.gradient:
            follow = functools.partial(
                boundary_path,
                self.model,
                origin,
                goal,
                eps=self.eps,
                norm=self.norm,
                stages=stages,
                **heard,
            )
            anywhere = lost(on_path)[:, 0]
            path, detour = follow(), follow(start=anywhere)
            path = restarted(
                self.model,
                path,
                origin,
                goal,
                key,
                eps=self.eps,
                norm=self.norm,
                stages=stages,
                seed=self.seed,
                **heard,
            )
            on_path = path.points
            length = torch.stack((path.length, detour.length))
            crosses = path.length.isfinite().view(-1, *(1,) * (origin.ndim - 1))
            crossing = torch.where(crosses, path.crossing, crossing)
            g = slope(self.model, origin, goal, "margin", **heard)
            profile = _profile(g)
            blocks = [follow(side=side).length.cpu().numpy() for side in sides]
            for side in sides:
                start = lost(origin[:, None], side=side)[:, 0]
                stray = follow(start=start, side=side)
                strays.append(stray.length.cpu().numpy())
            entries = [_profile(coarse(g, side)) for side in sides]
        astray = lost(on_path)
        both = torch.stack((on_path, astray), 1).flatten(0, 2)
        goals = goal.repeat_interleave(places)
        # One number a point: image, place and stage.
        point = key[:, None] * places + torch.arange(places, device=key.device)
        points = Points.at(
            self.model, both, goals, point.flatten(), gradient=self.gradient, **heard
        )
        gain = torch.ones(n, dtype=torch.float64)
        widths: list[np.ndarray] = []
        if self.gradient:
            on = points.slopes[LOSSES.index("margin")].view(n, 2, count, -1)[:, 0]
            gain = sign_gain(on.double()).mean(1)
            widths = [_width(on, side, tuple(origin.shape[1:])) for side in sides]
        answers = respond(
            self.model,
            points,
            levels,
            self.betas,
            n_directions=self.n_directions,
            n_draws=self.n_draws,
            seed=self.seed,
            **heard,
        )
        budget: dict[str, Any] = {"eps": self.eps, "norm": self.norm, **heard}
        outcomes, guessed = blind_outcomes(
            self.model,
            origin,
            goal,
            key,
            n_patterns=self.n_patterns,
            seed=self.seed,
            **budget,
        )
        kinds = len(kinds_of(tuple(origin.shape[1:])))
        changes = torch.empty(2, kinds, len(both), 0)
        if self.n_proposals:
            changes = propose(
                self.model,
                both,
                origin.repeat_interleave(places, 0),
                goals,
                point.flatten(),
                n_proposals=self.n_proposals,
                seed=self.seed,
                **budget,
            )
        changes = changes.view(2, kinds, n, 2, count, self.n_proposals).permute(
            0, 1, 3, 4, 2, 5
        )
        return Found(
            path_length=length[0].cpu().numpy(),
            wander_length=length[1].cpu().numpy(),
            sign_gain=gain.cpu().numpy(),
            gradient_profile=profile,
            crossing=crossing,
            block_length=np.reshape(blocks, (len(sides), n)),
            block_width=np.reshape(widths, (len(sides), count, n)),
            block_profile=np.reshape(entries, (len(sides), n, len(PROFILE))),
            block_wander=np.reshape(strays, (len(sides), n)),
            blind_outcomes=outcomes.cpu().numpy(),
            blind_changes=guessed.cpu().numpy(),
            proposals=changes.cpu().numpy(),
            responses=[_arrange(row, n, count) for row in answers],
        )


def _profile(slopes: Tensor) -> np.ndarray:
    """Quantiles of the sizes of each gradient's entries."""
    sizes = slopes.flatten(1).abs().double().cpu().numpy()
    return np.asarray(np.quantile(sizes, PROFILE, axis=1).T)


def _width(slopes: Tensor, side: int, shape: tuple[int, ...]) -> np.ndarray:
    """Length of the gradients by blocks over that of the gradients: ``(T, n)``."""
    n, count = slopes.shape[:2]
    whole = slopes.double().flatten(0, 1)
    cells = coarse(whole.view(-1, *shape), side).flatten(1)
    share = cells.norm(dim=1) / whole.norm(dim=1).clamp_min(1e-300)
    return np.asarray(share.view(n, count).T.cpu().numpy())


def _arrange(row: list[Any], n: int, stages: int) -> np.ndarray:
    """A site's responses of one block: ``(4, 2, S, B, P, T, n)``."""
    stacked = np.stack(
        [np.stack([r.signal, r.signal_error, r.noise, r.alignment]) for r in row], 2
    )
    return np.moveaxis(stacked.reshape(*stacked.shape[:-1], n, 2, stages), -3, -1)
