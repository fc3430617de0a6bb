"""The noise levels at which a site is measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from torch import Tensor

from querytax import expect
from querytax.attacks.oracle import Model
from querytax.catalogue import DEFENCES
from querytax.defenses import defend
from querytax.expect import DomainError
from querytax.probes.activations import Activations
from querytax.probes.places import parts_of
from querytax.sites import Site

__all__ = ["noise_levels"]

_SIGMAS = {
    "input": (0.003, 0.01, 0.03, 0.1, 0.2, 0.4),
    "probabilities": (1e-4, 1e-3, 0.01, 0.03, 0.1, 0.2, 0.4, 0.8),
    "logits": (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
    # In units of the root mean square of the site's activations.
    "feature": (0.01, 0.03, 0.1, 0.2, 0.4, 0.8),
}
# Images that the scale of a feature site is taken from.
_SCALED = 256


def noise_levels(
    model: Model,
    images: Tensor,
    sites: Sequence[str],
    sigmas: Mapping[str, Iterable[float]] | None,
    batch_size: int,
) -> list[tuple[Site, np.ndarray]]:
    """Noise levels of each site, 0 first.

    Raises
    ------
    DomainError
        For a site that cannot carry noise, levels below 0, and levels of no site.
    """
    if isinstance(sites, str) or not sites:
        raise DomainError(f"expected sites to be words in a list, got {sites!r}")
    given = {Site.parse(name).name: value for name, value in (sigmas or {}).items()}
    parsed = [Site.parse(name) for name in sites]
    for name in given:
        expect.one_of([site.name for site in parsed], sigmas=name)
    levels = []
    for site in dict.fromkeys(parsed):
        # A site that cannot carry noise is named before any walk.
        guarded = defend(model, site, 0.0)
        if any(part.kind == "feature" for part, _ in parts_of(site)):
            guarded(images[:_SCALED][:batch_size])
        if site.name in given:
            values = expect.nonnegative(
                sigmas=np.asarray(list(given[site.name]), float)
            )
        else:
            values = _usual(model, images[:_SCALED], site, batch_size)
        levels.append((site, np.unique(np.concatenate([[0.0], values]))))
    return levels


def _usual(model: Model, images: Tensor, site: Site, batch_size: int) -> np.ndarray:
    """Levels above 0 for a site; those of features go by the size of activations.

    Of several places: evenly spaced on a logarithmic scale, from where the first of
    them begins to be measured to where the first has come to its largest level.
    """
    each = [
        _alone(model, images, part, batch_size) / weight
        for part, weight in parts_of(site)
    ]
    if len(each) == 1:
        return each[0]
    # A layer whose activations are all 0 says nothing about a scale.
    known = [levels for levels in each if levels[-1] > 0.0]
    if not known:
        return np.zeros(1)
    low, high = (min(levels[end] for levels in known) for end in (0, -1))
    return np.geomspace(low, high, max(map(len, known)))


def _alone(model: Model, images: Tensor, site: Site, batch_size: int) -> np.ndarray:
    if site.word:
        return np.array(DEFENCES[site.word].levels)
    if site.kind == "feature":
        scale = Activations.scale(model, images, site, batch_size)
        return scale * np.array(_SIGMAS["feature"])
    return np.array(_SIGMAS["input" if site.kind == "input" else site.on])
