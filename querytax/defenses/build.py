"""A defence from the word for its site."""

from __future__ import annotations

from typing import Any

from querytax.defenses.feature_noise import FeatureNoise
from querytax.defenses.input_noise import InputNoise
from querytax.defenses.keyed import KeyedDefense, Model
from querytax.defenses.output_noise import OutputNoise
from querytax.sites import Site

__all__ = ["defend"]


def defend(
    model: Model, site: str | Site, sigma: float, *, rng: Any = None
) -> KeyedDefense:
    """Put noise at a site: ``input``, ``output:...`` or a layer's dotted name.

    Parameters
    ----------
    model : nn.Module or callable
    site : str or Site
    sigma : float
        Standard deviation in the units of the site.
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
    if site.kind == "input":
        return InputNoise(model, sigma, rng=rng)
    if site.kind == "output":
        return OutputNoise(model, sigma, on=site.on, form=site.form, rng=rng)
    return FeatureNoise(model, sigma, [site.name], rng=rng)
