"""The main job on a model at hand: measure, answer, try, and answer again."""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from querytax import expect
from querytax.attacks.oracle import Model
from querytax.defenses.presets import spelt_out
from querytax.evidence import Evidence, Trial, Tried
from querytax.losses import check_images, check_labels
from querytax.mixing import mix
from querytax.models import as_model
from querytax.plans import NESPlan, check_budget
from querytax.pricing import price
from querytax.probes import probe
from querytax.recommend import Inquiry, Recommendation
from querytax.recommend.inverter import check_question
from querytax.recommend.portfolio import portfolio
from querytax.recommend.race import EFFORTS, Effort, expected_rows
from querytax.seeds import seed_of
from querytax.statistics import ModelStatistics
from querytax.trials import Bench, Store, image_fingerprints

__all__ = ["PROBES", "Rounded", "certify", "price", "settle"]

# What a probe may spend: trials decide, and laws say what they cannot reach.
PROBES: dict[str, dict[str, Any]] = {
    "quick": {
        "betas": (0.001, 0.01, 0.05, 0.2),
        "n_directions": 4,
        "n_proposals": 16,
    },
    "normal": {"n_directions": 8},
    "thorough": {},
}


def certify(
    model: Model,
    images: Tensor,
    labels: Tensor,
    target_queries: float,
    *,
    held_out: tuple[Tensor, Tensor] | None = None,
    site: str | Sequence[str] = "output",
    eps: float = 8 / 255,
    norm: str = "Linf",
    max_accuracy_loss: float = 0.01,
    protect: float = 0.9,
    attacker: str = "best",
    access: str = "scores",
    effort: str = "quick",
    plan: NESPlan | None = None,
    base_queries: float | np.ndarray | None = None,
    stats: ModelStatistics | None = None,
    sigmas: Mapping[str, Iterable[float]] | None = None,
    surrogate: Model | None = None,
    networks: Mapping[str, Model] | None = None,
    store: str | os.PathLike[str] | None = None,
    batch_size: int = 256,
    jobs: int = 1,
    rng: Any = 0,
    verbose: bool = False,
) -> Recommendation:
    """Recommend sigma for a model, by attacks, and certify it on held-out images.

    The model is probed, attacks are raced at a few noise levels, the level found is
    tried again on images and draws that no choice has seen, and what was tried is kept:
    with a ``store`` a job that was stopped goes on where it was.

    Parameters
    ----------
    model : nn.Module or callable
        Without a defence: images ``(N, C, H, W)`` in [0, 1] to logits ``(N, classes)``.
    images, labels : Tensor
        ``(N, ...)`` and ``(N,)``. Without ``held_out`` every second image is kept for
        the certificate.
    target_queries : float
        Queries that an attack shall need for an image, at least.
    held_out : (Tensor, Tensor), optional
        Images and labels for the certificate alone; empty ones leave it out, and the
        answer UNRESOLVED at best.
    site, max_accuracy_loss, protect, attacker, access, effort, plan, base_queries
        As in :func:`querytax.recommend_sigma`; a site ``rfd`` stands for the layers
        that the Randomized Feature Defense would choose. A weight ``?``, as in
        ``input+layer3*?``, is found by measuring a few mixtures.
    eps, norm
        The perturbation budget.
    stats : ModelStatistics, optional
        What a probe of this model found, at the sites in question; probed if missing.
    sigmas : mapping of str to iterable of float, optional
        Noise levels to probe, by site.
    surrogate : nn.Module or callable, optional
        A network of the attacker's own.
    networks : mapping of str to nn.Module, optional
        Other networks that the noise could guard, such as an adversarially trained
        one; tried where the answer is infeasible.
    store : path, optional
        File of trials; created, or continued.
    batch_size : int
        Rows of one forward pass.
    jobs : int
        Processes that attack beside each other; see
        :func:`querytax.attacks.attack_all`.
    rng : int or Generator
        Seed of the trials.
    verbose : bool
        Show progress.

    Returns
    -------
    Recommendation

    Raises
    ------
    DomainError
        As :func:`querytax.probe` and :func:`querytax.recommend_sigma`.
    """
    images = check_images(images)
    labels = check_labels(labels, len(images)).to(images.device)
    calibration = images, labels
    if held_out is None:
        expect.that(
            len(images) >= 2, "two at least, to hold some out", images=len(images)
        )
        calibration, held_out = (
            (images[0::2], labels[0::2]),
            (images[1::2], labels[1::2]),
        )
    seed = seed_of(rng)
    if stats is None:
        check_budget(eps, norm, images[0].numel())
    # A wrong question is told before the model is measured, not after.
    expect.count(0, rng=seed)
    expect.one_of(PROBES, effort=effort)
    check_question(target_queries, max_accuracy_loss, protect)
    portfolio(
        attacker,
        access=access,
        norm=norm if stats is None else stats.norm,
        planar=images.ndim == 4,
        surrogate=surrogate is not None,
    )
    if store is not None:
        Store(store).close()
    if stats is None and site == "best":
        raise expect.DomainError(
            "expected site to be a list of those to choose among, got 'best', "
            "which needs statistics of probed sites"
        )
    model = as_model(model, images)
    networks = {word: as_model(m, images) for word, m in (networks or {}).items()}
    surrogate = None if surrogate is None else as_model(surrogate, images)
    sites = [site] if isinstance(site, str) else list(site)
    # The Randomized Feature Defense's layers, found by the network's structure.
    presets = spelt_out(model, sites)
    sites = list(presets.values())
    sigmas = {presets.get(w, w): s for w, s in (sigmas or {}).items()}
    if site != "best":
        site = sites
    others = dict(networks)
    if sites == ["input"] and access == "scores":
        others.setdefault("scores rounded to two digits", Rounded(model))
    notes: tuple[str, ...] = ()
    if stats is None:
        settings: dict[str, Any] = {
            "eps": eps,
            "norm": norm,
            "batch_size": batch_size,
            "rng": seed,
            "verbose": verbose,
            **PROBES[effort],
        }
        mixed = mix(
            model,
            *calibration,
            sites,
            max_accuracy_loss=max_accuracy_loss,
            sigmas=sigmas,
            question={
                "protect": protect,
                "attacker": attacker,
                "access": access,
                "plan": plan,
                "base_queries": base_queries,
            },
            **settings,
        )
        site, notes = list(mixed.sites), mixed.notes
        stats = probe(model, *calibration, sites=site, sigmas=mixed.sigmas, **settings)
    inquiry = Inquiry(
        stats,
        target_queries,
        base_queries=base_queries,
        max_accuracy_loss=max_accuracy_loss,
        site=site,
        protect=protect,
        attacker=attacker,
        access=access,
        plan=plan,
        surrogate=surrogate is not None,
    )
    both = [set(image_fingerprints(*part)) for part in (calibration, held_out)]
    if both[0] & both[1]:
        raise expect.DomainError(
            "expected held_out without images that choices are made on, got "
            f"{len(both[0] & both[1])} of them"
        )
    parts = {"calibration": calibration}
    if len(held_out[0]):
        parts["held_out"] = held_out
    with Store(store) as kept:
        bench = Bench(
            {"": model, **others},
            parts,
            store=kept,
            batch_size=batch_size,
            surrogate=surrogate,
            jobs=jobs,
        )
        found = settle(
            inquiry,
            bench,
            effort=effort,
            networks=tuple(others),
            seed=seed,
            verbose=verbose,
        )
    return dataclasses.replace(found, notes=(*found.notes, *notes))


def settle(
    inquiry: Inquiry,
    bench: Bench,
    *,
    effort: str = "quick",
    networks: Sequence[str] = (),
    seed: int = 0,
    verbose: bool = False,
) -> Recommendation:
    """Run what an inquiry wants, and ask again, until it wants nothing.

    Parameters
    ----------
    inquiry : Inquiry
    bench : Bench
    effort, networks, seed
        As in :func:`querytax.recommend_sigma`.
    verbose : bool
        Say what is being tried, and for how long at most, on stderr.
    """
    parts = bench.ground.parts
    images = {part: bench.images(part) for part in parts}
    others = {name: bench.images("calibration", name) for name in networks}
    known: list[Tried] = []
    prices: dict[tuple[str, float], tuple[float, float, float]] = {}
    while True:
        found = inquiry.answer(
            Evidence(known),
            images,
            prices,
            effort=effort,
            networks=others,
            seed=seed,
        )
        if not (found.wants or found.wants_price):
            return found
        if found.wants:
            if verbose and sys.stderr.isatty():
                if not known:
                    _say_all(found, bench, EFFORTS[effort], images)
                _say(found.wants, bench)
            known += bench.run(found.wants, verbose=verbose)
        for site, sigma in found.wants_price:
            prices[site, sigma] = price(
                bench.ground.networks[""],
                *parts["held_out"],
                site,
                sigma,
                batch_size=bench.batch_size,
                rng=seed + 1,
            )


def _say_all(
    rec: Recommendation, bench: Bench, effort: Effort, images: Mapping[str, int]
) -> None:
    """How long it may take in all, before it starts."""
    first = rec.wants[0]
    asked = sum(t.images * t.n_queries for t in rec.wants)
    rows = expected_rows(
        effort,
        len(rec.wants),
        images["calibration"],
        images.get("held_out", 0),
        math.ceil(rec.target_queries),
    )
    seconds = rows * bench.estimate(rec.wants) / asked
    print(
        f"... {len(rec.wants)} attacks at {first.site} and a few noise levels, about "
        f"{rows:,} queries: {max(seconds / 60, 0.1):.1f} minutes at most",
        file=sys.stderr,
    )


def _say(trials: Sequence[Trial], bench: Bench) -> None:
    """What is tried next."""
    first = trials[0]
    what = first.contender.name if len(trials) == 1 else f"{len(trials)} attacks"
    part = first.part.replace("_", "-")
    print(
        f"... {what} at sigma {first.sigma:.3g}, {first.images} {part} images, "
        f"{first.n_queries} queries each: {bench.estimate(trials):.0f} s at most",
        file=sys.stderr,
    )


class Rounded(nn.Module):
    """A network whose API answers probabilities rounded to a few digits.

    Parameters
    ----------
    model : nn.Module or callable
    digits : int
    """

    answers = "probabilities"

    def __init__(self, model: Model, digits: int = 2) -> None:
        super().__init__()
        self.model, self.digits = model, digits

    def forward(self, images: Tensor) -> Tensor:
        """Rounded probabilities; they need not sum to 1."""
        said: Tensor = self.model(images)
        if getattr(self.model, "answers", "logits") != "probabilities":
            said = said.softmax(1)
        return said.round(decimals=self.digits)
