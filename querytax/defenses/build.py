"""A defence from the word for its site."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from querytax.defenses.combined_noise import CombinedNoise
from querytax.defenses.feature_noise import FeatureNoise
from querytax.defenses.input_noise import InputNoise
from querytax.defenses.keyed import KeyedDefense, Model, standard_deviation
from querytax.defenses.output_noise import OutputNoise
from querytax.models import as_model, eager
from querytax.sites import Site

__all__ = ["defend"]


def defend(
    model: Model,
    site: str | Site,
    sigma: float | Sequence[float],
    *,
    experiment_seed: Any = None,
) -> KeyedDefense:
    """Put noise at a site: ``input``, ``output:...``, a layer's name, or several.

    Parameters
    ----------
    model : nn.Module or callable
    site : str or Site
        Several places are joined by ``+``, as in ``input*0.5+layer3``.
    sigma : float or sequence of float
        Standard deviation in the units of the site. At several places it is multiplied
        by each one's weight; where no weights are given, it may be one number for
        each place.
    experiment_seed : int, numpy.random.Generator, torch.Generator or None
        None, for deployment: noise that nobody can predict or repeat. A whole number,
        or a generator to draw one from, is for experiments alone: whoever knows or
        finds it can subtract the noise.

    Raises
    ------
    DomainError
        If the site is unknown or sigma is negative or not finite.
    """
    site = Site.parse(site)
    model = as_model(model)
    # Layers take noise by hooks, which what is compiled or replicated calls in vain.
    if any(part.kind == "feature" for part in (site, *(p for p, _ in site.parts))):
        model = eager(model)
    if site.kind == "several":
        return CombinedNoise(model, sigma, site, experiment_seed=experiment_seed)
    one = standard_deviation(sigma=sigma)
    if site.kind == "input":
        return InputNoise(model, one, experiment_seed=experiment_seed)
    if site.kind == "output":
        return OutputNoise(
            model, one, on=site.on, form=site.form, experiment_seed=experiment_seed
        )
    return FeatureNoise(
        model, one, [site.module], where=site.where, experiment_seed=experiment_seed
    )
