"""How the attacker's loss answers a probe: its signal, its noise, its alignment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from querytax.attacks.oracle import Model, answer_in_batches
from querytax.defenses import CombinedNoise, Defense, OutputNoise, defend
from querytax.losses import attacker_loss
from querytax.noise import normals
from querytax.plans import LOSSES
from querytax.probes.output_noise import cross_entropy_under_noise
from querytax.probes.path import scaled, slope
from querytax.probes.places import answered_at, outside
from querytax.sites import Site

__all__ = ["Known", "Points", "Response", "directions", "respond"]


@dataclass(frozen=True)
class Points:
    """Where to probe: images on the way to the boundary.

    Attributes
    ----------
    x : Tensor
        ``(M, ...)``.
    goals : Tensor
        ``(M,)`` labels, or targets.
    keys : Tensor
        ``(M,)`` what the randomness of each point is keyed by.
    slopes : list of Tensor
        ``(M, D)`` gradient of each loss, none where the model gives no gradient.
    """

    x: Tensor
    goals: Tensor
    keys: Tensor
    slopes: list[Tensor]

    @staticmethod
    def at(
        model: Model,
        x: Tensor,
        goals: Tensor,
        keys: Tensor,
        *,
        answered: str,
        targeted: bool,
        gradient: bool,
        batch_size: int,
    ) -> Points:
        """Points with their slopes."""
        slopes = [
            slope(model, x, goals, loss, answered, targeted, batch_size).flatten(1)
            for loss in (LOSSES if gradient else ())
        ]
        return Points(x, goals, keys, slopes)


@dataclass(frozen=True)
class Response:
    """Signal, its standard error, noise and alignment: each ``(2, B, M)``."""

    signal: np.ndarray
    signal_error: np.ndarray
    noise: np.ndarray
    alignment: np.ndarray


def directions(points: Points, count: int, seed: int) -> Tensor:
    """``(M, count, ...)`` standard normal directions, stratified along the gradient.

    The component along the cross-entropy's gradient is replaced by the normal
    quantiles of equal strata in random order, scaled to a second moment of exactly
    one: the mean square of a linear response then has no sampling error at all.
    """
    x = points.x
    zero = torch.zeros_like(points.keys)
    u = normals(
        seed,
        "probe/directions",
        points.keys,
        zero,
        (count, *x.shape[1:]),
        dtype=x.dtype,
    )
    if not points.slopes:
        return u
    flat = u.flatten(2)
    unit = torch.nn.functional.normalize(scaled(points.slopes[0]), dim=1)
    along = torch.bmm(flat, unit[:, :, None])[..., 0]
    level = (torch.arange(count, device=x.device, dtype=torch.float64) + 0.5) / count
    quantile = torch.special.ndtri(level)
    quantile = (quantile / quantile.square().mean().sqrt()).to(x.dtype)
    # Ranking the components themselves keeps the strata in random order.
    fixed = quantile[along.argsort(1).argsort(1)]
    flat = flat + (fixed - along)[..., None] * unit[:, None]
    # A gradient of zero has no direction: leave those draws alone.
    flat = torch.where((unit != 0).any(1)[:, None, None], flat, u.flatten(2))
    return flat.view_as(u)


def respond(
    model: Model,
    points: Points,
    sites: list[tuple[Site, np.ndarray]],
    betas: np.ndarray,
    *,
    n_directions: int,
    n_draws: int,
    batch_size: int,
    seed: int,
    answered: str,
    targeted: bool,
) -> list[list[Response]]:
    """Probe the points at every size, site and noise level.

    Both ends of a probe meet the same noise draws, so the change of the expected loss
    is measured without the noise that an attacker would see; the square of its mean
    is freed of the variance of that mean.

    Returns
    -------
    list over sites of list over noise levels of Response
    """
    u = directions(points, n_directions, seed)
    cells: list[list[list[list[np.ndarray]]]] = [
        [[] for _ in sigmas] for _, sigmas in sites
    ]
    reference: Tensor | None = None
    goals = points.goals.repeat_interleave(n_directions)
    for beta in betas:
        ends = [
            (points.x[:, None] + sign * float(beta) * u).flatten(0, 1)
            for sign in (1, -1)
        ]
        logits = [answer_in_batches(model, end, batch_size) for end in ends]
        probe = _Probe(points, goals, n_directions, answered, targeted)
        clean = probe.losses(logits[0]) - probe.losses(logits[1])
        if reference is None:
            reference = (
                torch.stack(
                    [
                        torch.bmm(u.flatten(2), g[:, :, None])[..., 0]
                        for g in points.slopes
                    ]
                ).double()
                if points.slopes
                else clean
            )
        for row, (site, sigmas) in zip(cells, sites, strict=True):
            for cell, sigma in zip(row, sigmas, strict=True):
                change, noise = probe.measure(
                    model,
                    ends,
                    logits,
                    clean,
                    site,
                    float(sigma),
                    n_draws,
                    batch_size,
                    seed,
                )
                cell.append(_summary(change, noise, reference))
    return [
        [Response(*(np.stack(v, 1) for v in zip(*cell, strict=True))) for cell in row]
        for row in cells
    ]


@dataclass(frozen=True)
class _Probe:
    points: Points
    goals: Tensor
    n_directions: int
    answered: str
    targeted: bool

    def losses(self, answers: Tensor, answered: str | None = None) -> Tensor:
        """Both losses, ``(2, M, U)``."""
        return torch.stack(
            [
                attacker_loss(
                    answers,
                    self.goals,
                    loss=loss,
                    answered=answered or self.answered,
                    targeted=self.targeted,
                )
                for loss in LOSSES
            ]
        ).view(len(LOSSES), -1, self.n_directions)

    def measure(
        self,
        model: Model,
        ends: list[Tensor],
        logits: list[Tensor],
        clean: Tensor,
        site: Site,
        sigma: float,
        n_draws: int,
        batch_size: int,
        seed: int,
    ) -> tuple[Tensor, Tensor]:
        """Changes ``(2, M, U, K)`` and the noise variance ``(2, M)`` on them."""
        if sigma == 0.0:
            zeros = torch.zeros(clean.shape[:2], dtype=clean.dtype)
            on = answered_at(site, self.answered)
            if on != self.answered:
                p = [z.double().softmax(1) for z in logits]
                clean = self.losses(p[0], on) - self.losses(p[1], on)
            return clean[..., None], zeros.to(clean)
        if outside(site):
            # The noise acts on answers that are known already: no forward pass.
            guarded = defend(Known(self.answered), site, sigma, experiment_seed=seed)
            asked = [z.double() for z in logits]
            batch_size = len(asked[0])
        else:
            guarded = defend(model, site, sigma, experiment_seed=seed)
            asked = ends
        rows = (
            self.points.keys[:, None] * self.n_directions
            + torch.arange(self.n_directions, device=self.goals.device)
        ).flatten()
        # Noise on probabilities comes last: what it is added to is kept beside it.
        last = _last(guarded)
        heard: list[Tensor] = []
        behind: list[Tensor] = []
        for end in asked:
            losses, label = [], []
            for k in range(n_draws):
                queries = torch.full_like(rows, k)
                inner = guarded if last is None else last.model
                answers = answer_in_batches(inner, end, batch_size, rows, queries)
                if last is not None:
                    label.append(self._label(answers, inner))
                    answers = last.after(answers, rows, queries)
                losses.append(self.losses(answers, guarded.answers))
            heard.append(torch.stack(losses, -1))
            if last is not None:
                behind.append(torch.stack(label))
        change = heard[0] - heard[1]
        noise = (heard[0].var(-1) + heard[1].var(-1)).mean(-1)
        if last is not None:
            if last is guarded:
                # Nothing is random behind it: one draw is all.
                behind = [p[:1] for p in behind]
            change[0], noise[0] = self._integrated(behind, last)
        return change, noise

    def _label(self, answers: Tensor, model: Model) -> Tensor:
        """``(rows,)`` float64, the label's probability."""
        z = answers.double()
        if getattr(model, "answers", "logits") != "probabilities":
            z = z.softmax(1)
        return z.gather(1, self.goals[:, None])[:, 0]

    def _integrated(
        self, behind: list[Tensor], last: OutputNoise
    ) -> tuple[Tensor, Tensor]:
        """Changes ``(M, U, K)`` and noise ``(M,)`` of the cross-entropy.

        The last noise is integrated over; ``behind`` are the label's probabilities
        ``(K, rows)`` that it meets at either end.
        """
        table = cross_entropy_under_noise(last.sigma, last.form)
        plus, minus = (p.cpu().numpy() for p in behind)
        sign = -1.0 if self.targeted else 1.0
        change = torch.from_numpy(sign * table.change(plus, minus))
        variance = table.variance(plus).mean(0) + table.variance(minus).mean(0)
        if len(plus) > 1:
            # A law of total variance: what the noises behind do to the mean.
            means = table.mean(plus), table.mean(minus)
            variance += sum(mean.var(0, ddof=1) for mean in means)
        shape = -1, self.n_directions
        noise = torch.from_numpy(variance).view(shape).mean(-1)
        device = self.goals.device
        return change.T.reshape(*shape, len(plus)).to(device), noise.to(device)


def _last(guarded: Defense) -> OutputNoise | None:
    """The noise on probabilities, which acts after all others; None without any."""
    outer = guarded.model if isinstance(guarded, CombinedNoise) else guarded
    if isinstance(outer, OutputNoise) and outer.on == "probabilities":
        return outer
    return None


class Known:
    """A model whose answers are already known: it returns what it is asked."""

    def __init__(self, answers: str) -> None:
        self.answers = answers

    def __call__(self, x: Tensor) -> Tensor:
        return x


def _summary(change: Tensor, noise: Tensor, reference: Tensor) -> list[np.ndarray]:
    """Signal, error, noise and alignment ``(2, M)`` from changes ``(2, M, U, K)``."""
    draws = change.shape[-1]
    mean = change.mean(-1)
    square = mean.square()
    if draws > 1:
        square = square - change.var(-1) / draws
    count = square.shape[-1]
    error = square.std(-1) / count**0.5
    # Below its own resolution a signal is taken at that resolution: an attacker is
    # never thought blind because of a noisy measurement.
    signal = torch.maximum(square.mean(-1), error * (square.mean(-1) <= 0))
    power = signal * reference.square().mean(-1)
    cosine = (mean * reference).mean(-1) / power.clamp_min(1e-300).sqrt()
    cosine = torch.where(power > 0, cosine, 0.0).clamp(0.0, 1.0)
    return [v.double().cpu().numpy() for v in (signal, error, noise, cosine)]
