"""Measure a real model: everything that a recommendation needs, in one call."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

import querytax
from querytax import expect
from querytax.attacks.oracle import Model, answer_in_batches, evaluating
from querytax.attacks.work import first_answers
from querytax.defenses import Defense, defend
from querytax.defenses.presets import spelt_out
from querytax.losses import attacker_loss, check_images, check_labels
from querytax.models import Declared, as_model, check_answers, eager
from querytax.models.own_noise import own_noise
from querytax.plans import LOSSES, check_budget
from querytax.probes.activations import Activations, measure_activations
from querytax.probes.blind import TURN, TURNED
from querytax.probes.crossing import OFFSETS, Near, rim_gains
from querytax.probes.forecast import Forecast, counting
from querytax.probes.levels import noise_levels
from querytax.probes.masked import masked
from querytax.probes.path import DETACHED, no_gradient, sides_of
from querytax.probes.places import parts_of
from querytax.probes.proposals import kinds_of
from querytax.probes.walk import Walk
from querytax.progress import Progress, progress
from querytax.seeds import seed_of
from querytax.sites import Site
from querytax.soundness import in_doubt
from querytax.statistics import ModelStatistics, SiteStatistics

__all__ = ["probe"]

BETAS = (1e-4, 1e-3, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4)


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
    n_patterns: int = 256,
    n_proposals: int = 48,
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
        Places for noise, see :class:`querytax.sites.Site`; one word may join several,
        as in ``input*0.5+layer3``, whose noise is then measured together.
    eps, norm
        The perturbation budget that the attacker is held to.
    targets : Tensor, optional
        ``(N,)`` classes of a targeted attack.
    betas : iterable of float
        Probe sizes, standard deviation per pixel.
    sigmas : mapping of str to iterable of float, optional
        Noise levels by site; 0 is always among them. Of several places at once a
        level is multiplied by each one's weight.
    n_probe : int
        Images to probe: the first that are classified correctly.
    n_directions, n_draws : int
        Directions a point, and noise draws a direction (at least 2).
    n_flips : int
        Noise draws an image for flip rate and accuracy, and a point for the labels
        near the boundary.
    n_patterns : int
        Blind patterns an image; 0 measures no blind attacker.
    n_proposals : int
        Candidate moves of each kind a point; 0 measures no search.
    batch_size : int
        Rows of one forward pass.
    rng : int or Generator
        Seed of directions and noise.
    verbose : bool
        Show a progress bar on a terminal, and say before a long probe what time and
        memory it will take.

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
    check_budget(eps, norm, images[0].numel())
    for name, value, least in (
        ("n_probe", n_probe, 1),
        ("n_directions", n_directions, 2),
        ("n_draws", n_draws, 2),
        ("n_flips", n_flips, 2),
        ("n_patterns", n_patterns, 0),
        ("n_proposals", n_proposals, 0),
        ("batch_size", batch_size, 1),
    ):
        expect.count(least, **{name: value})
    grid = np.unique(np.asarray(list(betas), dtype=float))
    if not grid.size:
        raise expect.DomainError("expected betas not empty, got none")
    expect.positive(betas=grid)
    seed = seed_of(rng)
    if isinstance(model, Defense):
        raise expect.DomainError(
            f"expected model without a defence, got {type(model).__name__}: "
            "name its place in sites instead"
        )
    if torch.is_inference_mode_enabled() or images.is_inference():
        # Autograd takes no part in what was made under `inference_mode`.
        with torch.inference_mode(False):
            images, labels = images.clone(), labels.clone()
            targets = None if targets is None else targets.clone()

    with (
        torch.inference_mode(False),
        torch.no_grad(),
        evaluating(model),
        progress(verbose) as bar,
        contextlib.ExitStack() as more,
    ):
        model = as_model(model, images)
        presets = {} if isinstance(sites, str) else spelt_out(model, sites)
        sites = list(presets.values()) or sites
        sigmas = {presets.get(w, w): s for w, s in (sigmas or {}).items()}
        presets = {word: site for word, site in presets.items() if word != site}
        if any(p.kind == "feature" for s in sites for p, _ in parts_of(Site.parse(s))):
            # Its layers are asked for: what is compiled or replicated hides them.
            model = eager(model)
        answered: str = getattr(model, "answers", "logits")
        logits, _ = first_answers(model, images, batch_size, twice=False)
        sure = check_answers(model, logits, labels)
        name = type(model).__name__
        model = Declared(model) if sure and not hasattr(model, "answers") else model
        if targets is not None:
            check_answers(model, logits, targets, "targets")
        goals = labels if targets is None else targets
        levels = noise_levels(model, images, sites, sigmas, batch_size)
        # A path that another answer would not confirm is none.
        unpredicted = own_noise(model, images, logits)
        if unpredicted:
            unpredicted = (
                f"the model answers the same image differently, by {unpredicted}"
            )
        else:
            unpredicted = no_gradient(model, images)
        right = logits.argmax(1) == labels
        if not unpredicted and bool(right.any()):
            unpredicted = masked(model, images[right], labels[right], seed)
        gradient = not unpredicted
        if unpredicted not in ("", DETACHED):
            warnings.warn(
                f"{unpredicted}: no law predicts its queries, trials decide",
                stacklevel=2,
            )
        if targets is not None:
            right &= logits.argmax(1) != targets
        probed = torch.nonzero(right).flatten()[:n_probe]
        if not len(probed):
            raise expect.DomainError(
                "expected labels that the model gets right, got none of "
                f"{len(labels)} right"
            )
        walk = Walk(
            model=model,
            answered=answered,
            targeted=targets is not None,
            gradient=gradient,
            eps=float(eps),
            norm=norm,
            betas=grid,
            n_directions=n_directions,
            n_draws=n_draws,
            n_patterns=n_patterns,
            n_proposals=n_proposals,
            batch_size=batch_size,
            seed=seed,
        )
        heard: Progress = Progress()
        if verbose:
            forecast = Forecast.of(walk, images, len(probed), n_flips, levels)
            if told := forecast.told(len(probed), levels):
                bar.say(told)
            counted, heard = more.enter_context(
                counting(model, forecast, len(probed), bar)
            )
            walk = dataclasses.replace(walk, model=counted)
        way = walk.along(images[probed], goals[probed], probed, levels, heard)
        activations = measure_activations(
            model,
            images,
            goals,
            [s for s, _ in levels],
            gradient=gradient,
            batch_size=batch_size,
        )
        near = Near.of(images[probed], goals[probed], probed, way.crossing)
        gains = rim_gains(
            model,
            images[probed],
            goals[probed],
            way.crossing,
            eps=float(eps),
            norm=norm,
            answered=answered,
            targeted=targets is not None,
            batch_size=batch_size,
        )
        found = {
            site.name: _site(
                walk,
                site,
                sigma,
                response,
                near,
                images,
                labels,
                goals,
                logits,
                n_flips,
                activations,
            )
            for (site, sigma), response in zip(levels, way.responses, strict=True)
        }
        gaps = [
            -attacker_loss(
                answers[probed],
                goals[probed],
                loss="margin",
                answered=kind,
                targeted=walk.targeted,
            )
            .cpu()
            .numpy()
            for answers, kind in (
                (logits, answered),
                (_chances(logits, answered), "probabilities"),
            )
        ]

    known = logits.double()
    if answered == "probabilities":
        known = known.clamp_min(1e-300).log()
    stats = ModelStatistics(
        sites=found,
        betas=grid,
        probed=probed.cpu().numpy(),
        path_length=way.path_length,
        wander_length=way.wander_length,
        sign_gain=way.sign_gain,
        stages=walk.stages.numpy(),
        stage_weights=np.full(len(walk.stages), 1.0 / len(walk.stages)),
        logits=known.cpu().numpy(),
        labels=labels.cpu().numpy(),
        gradient_norm=activations.gradient_norms["input"],
        dimension=images[0].numel(),
        shape=tuple(images.shape[1:]),
        eps=float(eps),
        norm=norm,
        targeted=targets is not None,
        blind_hits=way.blind_outcomes.sum(1) if n_patterns else None,
        blind_tried=n_patterns,
        blind_outcomes=way.blind_outcomes if n_patterns else None,
        blind_changes=way.blind_changes[0] if n_patterns else None,
        probability_blind_changes=way.blind_changes[1] if n_patterns else None,
        blind_turn=TURN,
        blind_kinds=TURNED,
        proposals=way.proposals[0] if n_proposals else None,
        probability_proposals=way.proposals[1] if n_proposals else None,
        proposal_kinds=kinds_of(tuple(images.shape[1:])) if n_proposals else None,
        gaps=gaps[0],
        probability_gaps=gaps[1],
        label_offsets=np.array(OFFSETS),
        boundary_norm=near.norms,
        gradient_profile=way.gradient_profile,
        rim_gains=gains,
        block_sides=sides_of(tuple(images.shape[1:])) if gradient else None,
        block_length=way.block_length if gradient else None,
        block_wander=way.block_wander if gradient else None,
        block_width=way.block_width if gradient else None,
        block_profile=way.block_profile if gradient else None,
        provenance={
            "version": querytax.__version__,
            "model": name,
            "seed": seed,
            "n_directions": n_directions,
            "n_draws": n_draws,
            "device": images.device.type,
            "torch": torch.__version__,
            **({"unpredicted": unpredicted} if unpredicted else {}),
            **({"presets": presets} if presets else {}),
        },
    )
    note, _ = in_doubt(stats)
    if note and stats.accuracy < 0.5:
        warnings.warn(note, stacklevel=2)
    return stats


def _chances(answers: Tensor, answered: str) -> Tensor:
    """The probabilities behind the answers."""
    return answers if answered == "probabilities" else answers.double().softmax(1)


def _site(
    walk: Walk,
    site: Site,
    sigmas: np.ndarray,
    response: np.ndarray,
    near: Near,
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
        guarded = defend(walk.model, site, float(sigma), experiment_seed=walk.seed)
        losses, said = [], []
        for k in range(n_flips if sigma > 0 else 2):
            answers = answer_in_batches(
                guarded, images, walk.batch_size, rows, torch.full_like(rows, k)
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
                            targeted=walk.targeted,
                        )
                        for loss in LOSSES
                    ]
                )
            )
        heard = torch.stack(said)
        flips.append((heard != clean).double().mean(0).cpu().numpy())
        correct.append((heard == labels).double().mean(0).cpu().numpy())
        spread.append(torch.stack(losses).std(0).cpu().numpy())
    share = near.label_share(
        walk.model,
        site,
        sigmas,
        n_draws=n_flips,
        batch_size=walk.batch_size,
        seed=walk.seed,
        answered=walk.answered,
        targeted=walk.targeted,
    )
    signal, error, noise, alignment = response
    return SiteStatistics(
        sigmas=sigmas,
        signal=signal,
        signal_error=error,
        noise=noise,
        alignment=alignment,
        flips=np.stack(flips),
        correct=np.stack(correct),
        loss_noise=np.stack(spread, 1),
        gradient_norm=activations.of(site),
        n_draws=n_flips,
        label_share=share,
    )
