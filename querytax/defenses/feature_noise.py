"""Gaussian noise on hidden features: the randomised feature defence (RFD)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from querytax import expect
from querytax.defenses.defense import Defense, Keys, Model, standard_deviations
from querytax.defenses.layers import Visit, named, touching, undefended
from querytax.defenses.recording import live
from querytax.expect import DomainError
from querytax.models import eager

__all__ = ["FeatureNoise"]


class FeatureNoise(Defense):
    """Answer with fresh Gaussian noise on the features at named modules.

    Parameters
    ----------
    model : nn.Module
        From images (N, ...) to answers (N, C).
    sigma : float or sequence of float
        Standard deviation at every site, or one for each. A site at 0 is left alone.
    sites : str or sequence of str
        Dotted names of modules as in ``model.named_modules()``, whatever defences lie
        around the model. A site that a forward pass reaches several times gets
        independent noise each time.
    where : {"output", "input"}
        Whether the noise is added to what a site returns or to its first argument.
        The published defence takes the output of a ResNet's stem and stages, the
        input of a VGG's convolutions and of a transformer's blocks (Nguyen et al.,
        ICLR 2024).
    experiment_seed : int, numpy.random.Generator, torch.Generator or None
        None, for deployment: noise that nobody can predict or repeat. A whole number,
        or a generator to draw one from, is for experiments alone: whoever knows or
        finds it can subtract the noise.

    Raises
    ------
    DomainError
        For a bad sigma, and for a name that the model does not have: with the closest
        ones that it has. In ``forward``: for a site that was not reached, or where
        something else passes than a floating tensor with one row for each image.

    Notes
    -----
    Hooks stand on the sites only while ``forward`` runs, and act only in its thread:
    the model called on its own answers without noise, carries no hook, and can be
    shared. The children of a model are therefore clean to whoever walks them; ask
    the defence. Threads may ask one defence at once, under the lock that CPython has;
    without that lock give each a deep copy, for torch's table of hooks has none of its
    own. Not supported are scripted modules, or recomputation in the backward pass
    (activation checkpointing), which would run without the noise. A compiled model, or
    one in `nn.DataParallel`, is asked without these: put them around the defence. Where
    a site hands on a tuple or list, its first part gets the noise.
    """

    def __init__(
        self,
        model: Model,
        sigma: float | Sequence[float],
        sites: str | Sequence[str],
        *,
        where: str = "output",
        experiment_seed: Any = None,
    ) -> None:
        model = eager(model)
        super().__init__(model, experiment_seed=experiment_seed)
        if not isinstance(model, nn.Module):
            raise DomainError(
                f"expected model to be a torch module, whose sites have names, "
                f"got {type(model).__name__}"
            )
        self.where = expect.one_of(["output", "input"], where=where)
        self.sites = named(sites, undefended(model))
        self.sigmas = standard_deviations(sigma, len(self.sites), "sites")

    def _settings(self) -> str:
        pairs = zip(self.sites, self.sigmas, strict=True)
        listed = ", ".join(f"{site}: {sigma:g}" for site, sigma in pairs)
        return f"sigma={{{listed}}}, where={self.where}"

    @live
    def forward(
        self, x: Tensor, rows: Tensor | None = None, queries: Tensor | None = None
    ) -> Tensor:
        x, rows, queries = self.admit(x, rows, queries)
        # A model may hand out its input or a tensor that it keeps.
        return self._noisy(x, rows, queries).clone()

    forward.__doc__ = Defense.forward.__doc__

    def _noisy(self, x: Tensor, rows: Keys, queries: Keys, turn: str = "") -> Tensor:
        """The model's answer with noise, of a stream for each turn."""

        def touch(at: Visit, features: Tensor) -> Tensor:
            kind = f"{turn}{at.kind}"
            return self._add_noise(features, self.sigmas[at.place], kind, rows, queries)

        network = undefended(self.model)
        with touching(network, self.sites, self.where, len(x), touch):
            return self._ask(x, rows, queries)
