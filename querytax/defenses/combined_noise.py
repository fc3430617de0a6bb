"""Gaussian noise at several places of one model at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor

from querytax.defenses.defense import (
    Defense,
    Keys,
    Model,
    depth_of,
    experiments_seed,
    standard_deviation,
    standard_deviations,
)
from querytax.defenses.feature_noise import FeatureNoise
from querytax.defenses.input_noise import InputNoise
from querytax.defenses.output_noise import OutputNoise
from querytax.expect import DomainError
from querytax.sites import Site

__all__ = ["CombinedNoise"]


class CombinedNoise(Defense):
    """Answer with fresh independent Gaussian noise at each of several places.

    Parameters
    ----------
    model : nn.Module or callable
        From images (N, ...) to answers (N, C); a torch module where noise is to act
        inside.
    sigma : float or sequence of float
        One number: the standard deviation at a place is this times the place's
        weight. Or one number for each place, in the order of the site's word, which
        must then carry no weights. At 0 a place is left alone.
    site : str or Site
        Places joined by ``+``, see `querytax.sites.Site`.
    experiment_seed : int, numpy.random.Generator, torch.Generator or None
        None, for deployment: noise that nobody can predict or repeat. A whole number,
        or a generator to draw one from, is for experiments alone: whoever knows or
        finds it can subtract the noise.

    Attributes
    ----------
    site : Site
    sigma : float or tuple of float
        As given; to set it changes the noise at every place.
    sigmas : tuple of float
        The standard deviation at each place, in the order of the word.

    Raises
    ------
    DomainError
        For a bad sigma or site, and as `InputNoise`, `FeatureNoise`, `OutputNoise`.

    Notes
    -----
    It stands around one defence for each kind of place, ``model`` inwards: output,
    layers, input. They share its seed, and each draws the noise that it would draw
    alone; the order of the word changes nothing. Between input and output requests
    are merged as theirs are; noise at a layer keeps its forward passes to itself.
    """

    def __init__(
        self,
        model: Model,
        sigma: float | Sequence[float],
        site: str | Site,
        *,
        experiment_seed: Any = None,
    ) -> None:
        site = Site.parse(site)
        if site.kind != "several":
            raise DomainError(
                f"expected site to join several places by '+', got {site.name!r}"
            )
        sigmas = _sigmas(sigma, site)
        seed, depth = experiments_seed(experiment_seed), depth_of(model)
        groups = _groups(site)
        for group in groups:
            model = _layer(model, site, group, sigmas, seed)
            model._depth = depth
            # Logits and probabilities draw from a stream of one name.
            depth += isinstance(model, OutputNoise)
        super().__init__(model, experiment_seed=seed)
        self.site = site
        self._groups = groups
        self._sigma = _given(sigma)

    @property
    def sigma(self) -> float | tuple[float, ...]:
        return self._sigma

    @sigma.setter
    def sigma(self, sigma: float | Sequence[float]) -> None:
        sigmas, layer = _sigmas(sigma, self.site), self.model
        for group in reversed(self._groups):
            if isinstance(layer, FeatureNoise):
                layer.sigmas = tuple(sigmas[i] for i in group)
            elif isinstance(layer, (InputNoise, OutputNoise)):
                layer.sigma = sigmas[group[0]]
            layer = cast(Defense, layer).model
        self._sigma = _given(sigma)

    @property
    def sigmas(self) -> tuple[float, ...]:
        return _sigmas(self._sigma, self.site)

    def _settings(self) -> str:
        return f"sigma={self._sigma}, site={self.site.name}"

    def before(self, x: Tensor, rows: Keys, queries: Keys) -> Tensor:
        return x

    def after(self, answer: Tensor, rows: Keys, queries: Keys) -> Tensor:
        # A model may hand out its input or a tensor that it keeps.
        return answer.clone()

    before.__doc__ = Defense.before.__doc__
    after.__doc__ = Defense.after.__doc__


def _groups(site: Site) -> list[tuple[int, ...]]:
    """Which parts one defence makes the noise of, from the input outwards."""
    kinds: dict[tuple[int, str], list[int]] = {}
    for i, (part, _) in enumerate(site.parts):
        if part.kind == "input":
            kind = 0, ""
        elif part.kind == "feature":
            kind = 1, part.where
        else:
            # A softmax has no way back: noise on the logits comes first.
            kind = 2, part.on
        kinds.setdefault(kind, []).append(i)
    return [tuple(kinds[kind]) for kind in sorted(kinds)]


def _layer(
    model: Model,
    site: Site,
    group: tuple[int, ...],
    sigmas: tuple[float, ...],
    seed: int | None,
) -> Defense:
    parts, levels = [site.parts[i][0] for i in group], [sigmas[i] for i in group]
    first = parts[0]
    if first.kind == "input":
        return InputNoise(model, levels[0], experiment_seed=seed)
    if first.kind == "output":
        return OutputNoise(
            model, levels[0], on=first.on, form=first.form, experiment_seed=seed
        )
    modules = [part.module for part in parts]
    return FeatureNoise(model, levels, modules, where=first.where, experiment_seed=seed)


def _sigmas(sigma: Any, site: Site) -> tuple[float, ...]:
    """The standard deviation at each part."""
    weights = [weight for _, weight in site.parts]
    given = standard_deviations(sigma, len(weights), "places")
    if isinstance(_given(sigma), tuple) and set(weights) != {1.0}:
        raise DomainError(
            f"expected sigma to be one number where the site has weights "
            f"({site.name}), got {len(weights)}"
        )
    return tuple(
        standard_deviation(sigma=each * weight)
        for each, weight in zip(given, weights, strict=True)
    )


def _given(sigma: Any) -> float | tuple[float, ...]:
    """Plain numbers, for a print and a copy."""
    if hasattr(sigma, "__len__"):
        return tuple(float(each) for each in sigma)
    return float(sigma)
