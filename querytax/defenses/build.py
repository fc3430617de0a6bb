"""A defence from its word."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from querytax.catalogue import DEFENCES
from querytax.defenses.combined_noise import CombinedNoise
from querytax.defenses.defense import Defense, Model, standard_deviation
from querytax.defenses.feature_noise import FeatureNoise
from querytax.defenses.input_noise import InputNoise
from querytax.defenses.output_noise import OutputNoise
from querytax.defenses.presets import preset
from querytax.expect import DomainError
from querytax.models import as_model, eager
from querytax.sites import Site

__all__ = ["defend"]

# What a training is told beside its settings.
_TRAINING = ("resume", "verbose")


def defend(
    model: Model,
    site: str | Site,
    sigma: float | Sequence[float] | None = None,
    *,
    experiment_seed: Any = None,
    data: tuple[Tensor, Tensor] | None = None,
    **settings: Any,
) -> Defense:
    """Put noise at a site, ``input``, ``output:...``, a layer; or a rival of noise.

    Parameters
    ----------
    model : nn.Module or callable
    site : str or Site
        Several places are joined by ``+``, as in ``input*0.5+layer3``; ``rfd`` stands
        for the layers of the Randomized Feature Defense. A rival is a word of
        `querytax.catalogue`, with settings as in ``rls:low=0.25``.
    sigma : float or sequence of float, optional
        Standard deviation in the units of the site. At several places it is multiplied
        by each one's weight; where no weights are given, it may be one number for
        each place. Of a rival: its strength, the published one if missing.
    experiment_seed : int, numpy.random.Generator, torch.Generator or None
        None, for deployment: noise that nobody can predict or repeat. A whole number,
        or a generator to draw one from, is for experiments alone: whoever knows or
        finds it can subtract the noise.
    data : (Tensor, Tensor), optional
        Images and labels, for a defence that is trained.
    settings
        A rival's settings by name, its strength among them; where it is trained also
        ``resume``, the path of a file to go on from, and ``verbose``.

    Raises
    ------
    DomainError
        If the site or a setting is unknown, or sigma is out of range.

    Examples
    --------
    >>> from torch import nn
    >>> defend(nn.Flatten(), "output", 0.1)
    OutputNoise(
      sigma=0.1, on=probabilities, form=reflect
      (model): Flatten(start_dim=1, end_dim=-1)
    )
    """
    if site == "rfd":
        site = preset(as_model(model))
    site = Site.parse(site)
    if site.strength in settings:
        if sigma is not None:
            raise DomainError(f"expected {site.strength} once, got it twice")
        sigma = settings.pop(site.strength)
    training = {}
    if site.word and DEFENCES[site.word].trained:
        training = {n: settings.pop(n) for n in _TRAINING if n in settings}
    site = Site.of(site, settings)
    model = as_model(model)
    if site.word:
        return _rival(model, site, sigma, experiment_seed, data, training)
    if data is not None:
        raise DomainError(f"expected no data for noise at {site.name}, which is added")
    if sigma is None:
        raise DomainError(f"expected sigma of the noise at {site.name}, got none")
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


def _rival(
    model: Model,
    site: Site,
    strength: Any,
    experiment_seed: Any,
    data: tuple[Tensor, Tensor] | None,
    training: dict[str, Any],
) -> Defense:
    entry = DEFENCES[site.word]
    strength = entry.usual if strength is None else strength
    one = standard_deviation(**{entry.strength: strength})
    if one > entry.most:
        raise DomainError(f"expected {entry.strength} <= {entry.most:g}, got {one:g}")
    module, _, name = entry.made.partition(":")
    kind: type[Defense] = getattr(importlib.import_module(module), name)
    more: dict[str, Any] = {n: s.default for n, s in entry.settings.items()}
    more.update(site.settings, **training)
    if entry.trained:
        if data is None:
            raise DomainError(
                f"expected data=(images, labels) for {site.word}, which is trained, "
                "got none"
            )
        more["data"] = data
    elif data is not None:
        raise DomainError(f"expected no data for {site.word}, which is not trained")
    return kind(model, **{entry.strength: one}, experiment_seed=experiment_seed, **more)
