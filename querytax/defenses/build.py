"""A defence from the word for its site."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from querytax.defenses.combined_noise import CombinedNoise
from querytax.defenses.feature_noise import FeatureNoise
from querytax.defenses.input_noise import InputNoise
from querytax.defenses.keyed import KeyedDefense, Model, standard_deviation
from querytax.defenses.output_noise import OutputNoise
from querytax.sites import Site

__all__ = ["defend"]


def defend(
    model: Model,
    site: str | Site,
    sigma: float | Sequence[float],
    *,
    rng: Any = None,
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
    rng : int, numpy.random.Generator, torch.Generator or None
        None, for deployment, takes the seed from the operating system's entropy. A
        whole number, or a generator to draw one from, is for experiments: whoever
        knows it can predict the noise and subtract it.

    Raises
    ------
    DomainError
        If the site is unknown or sigma is negative or not finite.
    """
    site = Site.parse(site)
    if site.kind == "several":
        return CombinedNoise(model, sigma, site, rng=rng)
    one = standard_deviation(sigma=sigma)
    if site.kind == "input":
        return InputNoise(model, one, rng=rng)
    if site.kind == "output":
        return OutputNoise(model, one, on=site.on, form=site.form, rng=rng)
    return FeatureNoise(model, one, [site.module], where=site.where, rng=rng)
