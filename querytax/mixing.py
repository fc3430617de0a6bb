"""Weights of noise at several places, found on a model at hand: ``input+layer3*?``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from querytax.attacks.oracle import Model, evaluating
from querytax.defenses.presets import spelt_out
from querytax.losses import check_images, check_labels
from querytax.pricing import affordable
from querytax.probes import probe
from querytax.probes.levels import noise_levels
from querytax.recommend.mixtures import Promise, Sought, is_sought, promising
from querytax.seeds import seed_of
from querytax.sites import Site

__all__ = ["Mixed", "mix"]

# Images that weights are chosen on.
_IMAGES = 512
# A mixture's largest affordable level lies within these of what its places would give
# if each alone cost what it costs together with the others.
_BRACKET = (0.25, 2.0)
# Levels at which what was chosen is measured, of the largest affordable one.
_LEVELS = (1 / 32, 1 / 8, 1 / 4, 1 / 2, 0.7, 1.0, 1.4, 2.0)


@dataclass(frozen=True)
class Mixed:
    """Sites without a weight to be found.

    Attributes
    ----------
    sites : tuple of str
        The words that were given, each ``?`` replaced by a number. Where a place alone
        is predicted to do better than any mixture of it, that place too.
    sigmas : dict of str to sequence of float
        Levels to measure them at, by site.
    notes : tuple of str
        What was compared, a line a word.
    """

    sites: tuple[str, ...]
    sigmas: dict[str, Iterable[float]]
    notes: tuple[str, ...] = ()


def mix(
    model: Model,
    images: Tensor,
    labels: Tensor,
    sites: Sequence[str],
    *,
    max_accuracy_loss: float = 0.01,
    sigmas: Mapping[str, Iterable[float]] | None = None,
    question: Mapping[str, Any] | None = None,
    batch_size: int = 256,
    rng: int = 0,
    **settings: Any,
) -> Mixed:
    """Find the weights ``?`` of sites by measuring a few mixtures of each.

    The largest noise that the accuracy allows is found at each place alone, then of
    three mixtures (four of three places). All are probed at that noise, and the one
    where an attack is predicted to need most queries is kept.

    Parameters
    ----------
    model, images, labels
        Without a defence, as in :func:`querytax.probe`.
    sites : sequence of str
    max_accuracy_loss : float
    sigmas : mapping of str to iterable of float, optional
        Levels by site; they are kept.
    question : mapping, optional
        Who attacks, as in :func:`querytax.recommend.mixtures.promising`.
    batch_size, rng, **settings
        Of :func:`querytax.probe`.

    Raises
    ------
    DomainError
        As :func:`querytax.probe`, and for a word that seeks the weights of one place
        or of more than three.
    """
    sought = {word: Sought.parse(word) for word in sites if is_sought(word)}
    given = dict(sigmas or {})
    if not sought:
        return Mixed(tuple(sites), given)
    images = check_images(images)
    labels = check_labels(labels, len(images)).to(images.device)
    asked: dict[str, Any] = {"batch_size": batch_size, "rng": seed_of(rng)}

    def most_of(site: str, low: float, high: float) -> float:
        few = images[:_IMAGES], labels[:_IMAGES]
        return affordable(model, *few, site, max_accuracy_loss, low, high, **asked)

    # A place that cannot carry noise is named before anything is measured.
    known = spelt_out(model, [word for word in sites if word not in sought]).values()
    places = [name for each in sought.values() for name in each.components]
    with torch.no_grad(), evaluating(model):
        usual = noise_levels(model, images, [*known, *places], None, batch_size)
    most = {
        site.name: most_of(site.name, float(levels[1]), float(levels[-1]))
        for site, levels in usual
        if site.name in places
    }
    found: list[str] = []
    notes: list[str] = []
    for word in sites:
        if word not in sought:
            found.append(word)
            continue
        alone = sought[word].components
        mixtures = sought[word].mixtures(most)
        low, high = _BRACKET
        for name, together in mixtures.items():
            most[name] = most_of(name, low * together, high * together)
        names = (*alone, *mixtures)
        stats = probe(
            model,
            images,
            labels,
            sites=names,
            sigmas={name: [most[name]] for name in names},
            n_patterns=0,
            **asked,
            **settings,
        )
        order = promising(stats, {name: most[name] for name in names}, **question or {})
        best = next(p for p in order if p.site in mixtures)
        found.append(best.site)
        if order[0].site in alone:
            found.append(order[0].site)
        notes.append(_note(word, best, order))
    words = tuple(dict.fromkeys(Site.parse(word).name for word in found))
    for name in words:
        if name in most:
            given.setdefault(name, most[name] * np.array(_LEVELS))
    return Mixed(words, given, tuple(notes))


def _note(word: str, best: Promise, order: Sequence[Promise]) -> str:
    others = ", ".join(str(p) for p in order if p is not best)
    return (
        f"{word} became {best}; in brackets the queries that laws predict at the "
        f"largest noise that the accuracy allows; compared: {others}"
    )
