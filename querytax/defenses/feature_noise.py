"""Gaussian noise on hidden features: the randomised feature defence (RFD)."""

from __future__ import annotations

import difflib
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from querytax import expect
from querytax.defenses.keyed import KeyedDefense, Model, standard_deviations
from querytax.defenses.recording import live
from querytax.expect import DomainError
from querytax.models import compiled_in_place, eager, inside, is_scripted
from querytax.rows import first_tensor

__all__ = ["FeatureNoise"]


class FeatureNoise(KeyedDefense):
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
        self.sites = _sites(sites, undefended(model))
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
        thread = threading.get_ident()
        visits: Counter[str] = Counter()

        def noisy(site: str, sigma: float, features: Any) -> Any:
            visits[site] += 1
            first, put = first_tensor(features)
            _check_features(site, self.where, first, len(x))
            kind = f"{self.where}:{site}:{visits[site]}"
            return put(self._add_noise(first, sigma, kind, rows, queries))

        handles: list[RemovableHandle] = []
        try:
            model = undefended(self.model)
            for site, sigma in zip(self.sites, self.sigmas, strict=True):
                module = model.get_submodule(site)

                # Bound now: the loop's variables move on before the hook fires.
                def on_output(
                    _module: nn.Module,
                    _args: Any,
                    output: Any,
                    site: str = site,
                    sigma: float = sigma,
                ) -> Any:
                    if threading.get_ident() != thread:
                        return None
                    return noisy(site, sigma, output)

                def on_input(
                    _module: nn.Module,
                    args: Any,
                    site: str = site,
                    sigma: float = sigma,
                ) -> tuple[Any, ...] | None:
                    if threading.get_ident() != thread:
                        return None
                    first, *rest = args or (None,)
                    return (noisy(site, sigma, first), *rest)

                if self.where == "output":
                    handles.append(module.register_forward_hook(on_output))
                else:
                    handles.append(module.register_forward_pre_hook(on_input))
            answer = self._ask(x, rows, queries)
        finally:
            for handle in handles:
                handle.remove()

        missed = [site for site in self.sites if not visits[site]]
        if missed:
            raise DomainError(
                f"expected every site to be reached by the forward pass, "
                f"got none at {', '.join(map(repr, missed))}"
            )
        # A model may hand out its input or a tensor that it keeps.
        return answer.clone()

    forward.__doc__ = KeyedDefense.forward.__doc__


def undefended(model: Model) -> nn.Module:
    """The user's own model, inside all defences and whatever else wraps it."""
    around: object = None
    while model is not around:
        around = model
        model = inside(model.model if isinstance(model, KeyedDefense) else model)
    if not isinstance(model, nn.Module):
        raise DomainError(
            f"expected model to be a torch module, whose sites have names, "
            f"got {type(model).__name__}"
        )
    return model


def _sites(sites: str | Sequence[str], model: nn.Module) -> tuple[str, ...]:
    listed = (sites,) if isinstance(sites, str) else tuple(sites)
    if is_scripted(model):
        raise DomainError(
            "expected model to run in Python, where its layers can be reached, got "
            f"{type(model).__name__} for {', '.join(map(repr, listed))}: load the "
            "model that was scripted or traced, or take the site input or output"
        )
    for name, module in model.named_modules():
        if compiled_in_place(module):
            raise DomainError(
                "expected model to run in Python, where its layers can be reached, "
                f"got module {name!r} compiled in place: build it without .compile()"
            )
    names = [name for name, _ in model.named_modules(remove_duplicate=False) if name]
    for site in listed:
        if site not in names:
            # The end of a name that a wrapper has put its own before.
            near = [n for n in names if str(site).endswith(f".{n}")][-1:]
            near += difflib.get_close_matches(str(site), names, n=3, cutoff=0.4)
            hint = ", ".join(map(repr, near or names[:12])) or "none at all"
            raise DomainError(
                f"expected sites to name modules of the model, got {site!r}; "
                f"the closest are {hint}"
            )
    if not listed or len({model.get_submodule(site) for site in listed}) < len(listed):
        raise DomainError(
            f"expected sites to name one or more different modules, got {list(listed)}"
        )
    return listed


def _check_features(site: str, where: str, features: Any, rows: int) -> None:
    if not isinstance(features, Tensor) or not features.dtype.is_floating_point:
        kind = (
            features.dtype if isinstance(features, Tensor) else type(features).__name__
        )
        raise DomainError(
            f"expected the {where} of site {site!r} to be a floating Tensor, got {kind}"
        )
    if not features.dim() or len(features) != rows:
        raise DomainError(
            f"expected the {where} of site {site!r} to have one row for each of the "
            f"{rows} images, got shape {tuple(features.shape)}"
        )
