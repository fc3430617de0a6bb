"""Measure a real model: everything that a recommendation needs, in one call."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

import querytax
from querytax import expect
from querytax.attacks.oracle import Model, answer_in_batches, evaluating
from querytax.defenses import KeyedDefense, defend
from querytax.losses import attacker_loss, check_images, check_labels, check_logits
from querytax.plans import LOSSES, NORMS
from querytax.probes.activations import Activations, measure_activations
from querytax.probes.path import boundary_path, has_gradient, sign_gain, wander
from querytax.probes.response import Points, respond
from querytax.progress import Progress, progress
from querytax.seeds import seed_of
from querytax.sites import Site
from querytax.statistics import ModelStatistics, SiteStatistics

__all__ = ["probe"]

BETAS = (1e-4, 1e-3, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4)
_SIGMAS = {
    "input": (0.003, 0.01, 0.03, 0.1, 0.2, 0.4),
    "probabilities": (1e-4, 1e-3, 0.01, 0.03, 0.1, 0.2, 0.4, 0.8),
    "logits": (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
    # In units of the root mean square of the site's activations.
    "feature": (0.01, 0.03, 0.1, 0.2, 0.4, 0.8),
}
_STAGES = 4
# Images that the scale of a feature site is taken from.
_SCALED = 256
# Images of one block, fewer where its probes would pass so many elements.
_BLOCK = 32
_BLOCK_ELEMENTS = 1 << 25


def probe(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    sites: Sequence[str] = ("output",),
    eps: float = 8 / 255,
    norm: str = "Linf",
    targets: Tensor | None = None,
    betas: Iterable[float] = BETAS,
    sigmas: Mapping[str, Iterable[float]] | None = None,
    n_probe: int = 64,
    n_directions: int = 16,
    n_draws: int = 2,
    n_flips: int = 16,
    batch_size: int = 256,
    rng: Any = 0,
    verbose: bool = False,
) -> ModelStatistics:
    """Measure how a model's answers change under an attacker's probes, and the price.

    Parameters
    ----------
    model : nn.Module or callable
        Without a defence: images ``(N, ...)`` to logits ``(N, C)``, in evaluation
        mode. Without gradients (a plain callable) the path to the boundary is unknown
        and probes are placed at the images alone.
    images, labels : Tensor
        ``(N, ...)`` float in [0, 1] and ``(N,)``. All of them measure accuracy.
    sites : sequence of str
        Places for noise, see :class:`querytax.sites.Site`.
    eps, norm
        The perturbation budget that the attacker is held to.
    targets : Tensor, optional
        ``(N,)`` classes of a targeted attack.
    betas : iterable of float
        Probe sizes, standard deviation per pixel.
    sigmas : mapping of str to iterable of float, optional
        Noise levels by site; 0 is always among them.
    n_probe : int
        Images to probe: the first that are classified correctly.
    n_directions, n_draws : int
        Directions a point, and noise draws a direction (at least 2).
    n_flips : int
        Noise draws an image for flip rate and accuracy.
    batch_size : int
        Rows of one forward pass.
    rng : int or Generator
        Seed of directions and noise.
    verbose : bool
        Show a progress bar.

    Returns
    -------
    ModelStatistics

    Raises
    ------
    DomainError
        One line, for images outside [0, 1], labels that do not match, an unknown
        site, a model that returns NaN or probabilities where logits are promised.

    Examples
    --------
    >>> w = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    >>> x = torch.rand(8, 64, generator=torch.Generator().manual_seed(1))
    >>> stats = probe(lambda x: x @ w, x, (x @ w).argmax(1), eps=0.1)
    >>> sorted(stats.sites)
    ['output:probabilities:reflect']
    """
    images = check_images(images)
    labels = check_labels(labels, len(images)).to(images.device)
    if targets is not None:
        targets = check_labels(targets, len(images), "targets").to(images.device)
    expect.positive(eps=eps)
    expect.one_of(NORMS, norm=norm)
    if norm == "Linf" and eps > 1:
        raise expect.DomainError(
            f"expected eps in (0, 1], a share of the pixel range, got {eps:g}; "
            f"{eps:g}/255 is {eps / 255:.4g}"
        )
    for name, value, least in (
        ("n_probe", n_probe, 1),
        ("n_directions", n_directions, 2),
        ("n_draws", n_draws, 2),
        ("n_flips", n_flips, 2),
        ("batch_size", batch_size, 1),
    ):
        expect.integer(least, **{name: value})
    grid = np.unique(np.asarray(list(betas), dtype=float))
    if not grid.size:
        raise expect.DomainError("expected betas not empty, got none")
    expect.positive(betas=grid)
    seed = seed_of(rng)
    answered: str = getattr(model, "answers", "logits")

    if isinstance(model, KeyedDefense):
        raise expect.DomainError(
            f"expected model without a defence, got {type(model).__name__}: "
            "name its place in sites instead"
        )

    with torch.no_grad(), evaluating(model), progress(verbose) as bar:
        logits = answer_in_batches(model, images, batch_size)
        check_logits(logits, labels, answered)
        if targets is not None:
            check_logits(logits, targets, answered, "targets")
        goals = labels if targets is None else targets
        levels = _levels(model, images[:_SCALED], sites, sigmas, batch_size)
        gradient = has_gradient(model, images)
        right = logits.argmax(1) == labels
        if targets is not None:
            right &= logits.argmax(1) != targets
        probed = torch.nonzero(right).flatten()[:n_probe]
        if not len(probed):
            raise expect.DomainError(
                "expected labels that the model gets right, got none of "
                f"{len(labels)} right"
            )
        work = _Work(
            model,
            answered,
            targets is not None,
            gradient,
            eps,
            norm,
            grid,
            n_directions,
            n_draws,
            batch_size,
            seed,
        )
        stages, length, responses = work.respond(
            images[probed], goals[probed], probed, levels, bar
        )
        activations = measure_activations(
            model,
            images,
            goals,
            [s for s, _ in levels if s.kind == "feature"],
            gradient=gradient,
            batch_size=batch_size,
        )
        found = {
            site.name: _site(
                work,
                site,
                sigma,
                response,
                images,
                labels,
                goals,
                logits,
                n_flips,
                activations,
            )
            for (site, sigma), response in zip(levels, responses, strict=True)
        }

    known = logits.double()
    if answered == "probabilities":
        known = known.clamp_min(1e-300).log()
    return ModelStatistics(
        sites=found,
        betas=grid,
        probed=probed.cpu().numpy(),
        path_length=length[0],
        wander_length=length[1],
        sign_gain=length[2],
        stages=stages.cpu().numpy(),
        stage_weights=np.full(len(stages), 1.0 / len(stages)),
        logits=known.cpu().numpy(),
        labels=labels.cpu().numpy(),
        gradient_norm=activations.gradient_norms["input"],
        dimension=images[0].numel(),
        eps=float(eps),
        norm=norm,
        targeted=targets is not None,
        provenance={
            "version": querytax.__version__,
            "model": type(model).__name__,
            "seed": seed,
            "n_directions": n_directions,
            "n_draws": n_draws,
            "device": images.device.type,
            "torch": torch.__version__,
        },
    )


def _levels(
    model: Model,
    images: Tensor,
    sites: Sequence[str],
    sigmas: Mapping[str, Iterable[float]] | None,
    batch_size: int,
) -> list[tuple[Site, np.ndarray]]:
    """Noise levels of each site, 0 first."""
    if isinstance(sites, str) or not sites:
        raise expect.DomainError(f"expected sites to be words in a list, got {sites!r}")
    given = {Site.parse(name).name: value for name, value in (sigmas or {}).items()}
    parsed = [Site.parse(name) for name in sites]
    for name in given:
        expect.one_of([site.name for site in parsed], sigmas=name)
    levels = []
    for site in dict.fromkeys(parsed):
        # A site that cannot carry noise is named before any work.
        guarded = defend(model, site, 0.0)
        if site.kind == "feature":
            guarded(images[:batch_size])
        if site.name in given:
            values = expect.nonnegative(
                sigmas=np.asarray(list(given[site.name]), float)
            )
        elif site.kind == "feature":
            scale = Activations.scale(model, images, site, batch_size)
            values = scale * np.array(_SIGMAS["feature"])
        else:
            key = "input" if site.kind == "input" else site.on
            values = np.array(_SIGMAS[key])
        levels.append((site, np.unique(np.concatenate([[0.0], values]))))
    return levels


class _Work:
    """The settings of one probe, and its loop over images."""

    def __init__(
        self,
        model: Model,
        answered: str,
        targeted: bool,
        gradient: bool,
        eps: float,
        norm: str,
        betas: np.ndarray,
        n_directions: int,
        n_draws: int,
        batch_size: int,
        seed: int,
    ) -> None:
        self.model, self.answered, self.targeted = model, answered, targeted
        self.gradient, self.eps, self.norm, self.betas = gradient, eps, norm, betas
        self.n_directions, self.n_draws = n_directions, n_draws
        self.batch_size, self.seed = batch_size, seed

    def respond(
        self,
        x: Tensor,
        goals: Tensor,
        keys: Tensor,
        levels: list[tuple[Site, np.ndarray]],
        bar: Progress,
    ) -> tuple[Tensor, np.ndarray, list[np.ndarray]]:
        """Stages, ways from image and astray, a site's ``(4, 2, S, B, P, T, n)``."""
        count = _STAGES if self.gradient else 1
        stages = (
            (torch.arange(count) + 0.5) / count if self.gradient else torch.zeros(1)
        )
        task = bar.add("probing", len(x))
        lengths, blocks = [], []
        each = x[0].numel() * 2 * count * self.n_directions
        block = max(1, min(_BLOCK, _BLOCK_ELEMENTS // each))
        for start in range(0, len(x), block):
            part = slice(start, start + block)
            origin, goal, key = x[part], goals[part], keys[part]
            lost = functools.partial(
                wander,
                origin=origin,
                eps=self.eps,
                norm=self.norm,
                seed=self.seed,
                rows=key,
            )
            on_path = origin[:, None]
            if self.gradient:
                follow = functools.partial(
                    boundary_path,
                    self.model,
                    origin,
                    goal,
                    eps=self.eps,
                    norm=self.norm,
                    stages=stages,
                    answered=self.answered,
                    targeted=self.targeted,
                    batch_size=self.batch_size,
                )
                anywhere = lost(on_path)[:, 0]
                path, detour = follow(), follow(start=anywhere)
                on_path = path.points
                length = torch.stack((path.length, detour.length))
            else:
                length = torch.full((2, len(origin)), torch.nan, dtype=torch.float64)
            astray = lost(on_path)
            both = torch.stack((on_path, astray), 1)
            n, places = len(origin), 2 * count
            # One number a point: image, place and stage.
            point = key[:, None] * places + torch.arange(places, device=key.device)
            points = Points.at(
                self.model,
                both.flatten(0, 2),
                goal.repeat_interleave(places),
                point.flatten(),
                answered=self.answered,
                targeted=self.targeted,
                gradient=self.gradient,
                batch_size=self.batch_size,
            )
            gain = torch.ones(n, dtype=torch.float64)
            if self.gradient:
                on = points.slopes[LOSSES.index("margin")].view(n, 2, count, -1)[:, 0]
                gain = sign_gain(on.double()).mean(1)
            lengths.append(torch.cat((length, gain.to(length)[None])).cpu().numpy())
            answers = respond(
                self.model,
                points,
                levels,
                self.betas,
                n_directions=self.n_directions,
                n_draws=self.n_draws,
                batch_size=self.batch_size,
                seed=self.seed,
                answered=self.answered,
                targeted=self.targeted,
            )
            blocks.append([_arrange(row, n, count) for row in answers])
            bar.update(task, start + n)
        joined = [np.concatenate(parts, -1) for parts in zip(*blocks, strict=True)]
        return stages, np.concatenate(lengths, -1), joined


def _arrange(row: list[Any], n: int, stages: int) -> np.ndarray:
    """A site's responses of one block: ``(4, 2, S, B, P, T, n)``."""
    stacked = np.stack(
        [np.stack([r.signal, r.signal_error, r.noise, r.alignment]) for r in row], 2
    )
    return np.moveaxis(stacked.reshape(*stacked.shape[:-1], n, 2, stages), -3, -1)


def _site(
    work: _Work,
    site: Site,
    sigmas: np.ndarray,
    response: np.ndarray,
    images: Tensor,
    labels: Tensor,
    goals: Tensor,
    logits: Tensor,
    n_flips: int,
    activations: Activations,
) -> SiteStatistics:
    """Flips, accuracy and loss noise at the images themselves, by asking."""
    clean = logits.argmax(1)
    rows = torch.arange(len(images), device=images.device)
    flips, correct, spread = [], [], []
    for sigma in sigmas:
        guarded = defend(work.model, site, float(sigma), rng=work.seed)
        losses, said = [], []
        for k in range(n_flips if sigma > 0 else 2):
            answers = answer_in_batches(
                guarded, images, work.batch_size, rows, torch.full_like(rows, k)
            )
            said.append(answers.argmax(1))
            losses.append(
                torch.stack(
                    [
                        attacker_loss(
                            answers,
                            goals,
                            loss=loss,
                            answered=guarded.answers,
                            targeted=work.targeted,
                        )
                        for loss in LOSSES
                    ]
                )
            )
        heard = torch.stack(said)
        flips.append((heard != clean).double().mean(0).cpu().numpy())
        correct.append((heard == labels).double().mean(0).cpu().numpy())
        spread.append(torch.stack(losses).std(0).cpu().numpy())
    signal, error, noise, alignment = response
    key = site.name if site.kind == "feature" else site.kind
    return SiteStatistics(
        sigmas=sigmas,
        signal=signal,
        signal_error=error,
        noise=noise,
        alignment=alignment,
        flips=np.stack(flips),
        correct=np.stack(correct),
        loss_noise=np.stack(spread, 1),
        gradient_norm=activations.gradient_norms[key],
        n_draws=n_flips,
    )
