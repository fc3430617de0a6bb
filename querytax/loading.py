"""Models and data named on the command line."""

from __future__ import annotations

import importlib
import math
import os
import sys
from typing import Any

import torch
from torch import Tensor, nn

from querytax.expect import DomainError
from querytax.files import parsed
from querytax.images import load_images

__all__ = ["load_attack", "load_data", "load_model"]


def load_model(name: str, device: str = "cpu") -> Any:
    """The model that ``package.module:function`` returns, or that it is.

    Raises
    ------
    DomainError
        If the name cannot be imported or called, or the device is not there.
    """
    module, colon, attribute = name.partition(":")
    if not colon or not module or not attribute:
        raise DomainError(f"expected model as package.module:function, got {name!r}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise DomainError(
            f"expected model to be importable, got {name!r}: {error}"
        ) from None
    if not callable(found):
        raise DomainError(f"expected {name!r} to be a function, got {found!r}")
    try:
        model = found if isinstance(found, nn.Module) else found()
    except Exception as error:
        raise DomainError(
            f"expected {name!r} to return a model, got {type(error).__name__}: {error}"
        ) from error
    if not callable(model):
        raise DomainError(f"expected {name!r} to return a model, got {model!r}")
    return model.to(_device(device)) if isinstance(model, nn.Module) else model


def load_data(path: str, device: str = "cpu", **how: Any) -> tuple[Tensor, Tensor]:
    """Images and labels from what a path names, on a device.

    Parameters
    ----------
    path : str
        An ``.npz`` with ``x`` and ``y``, two ``.npy`` joined by a comma, or a folder.
    device : str
    **how
        Of :func:`querytax.load_images`.

    Raises
    ------
    DomainError
        As :func:`querytax.load_images`, and for a device that is not there.
    """
    where = _device(device)
    try:
        images, labels = load_images(path, **how)
    except DomainError as error:
        told = str(error)
        raise DomainError(told if path in told else f"{told} (in {path!r})") from None
    return images.to(where), labels.to(where)


def load_attack(path: str) -> dict[str, Any]:
    """The attack that a file of ``querytax recommend --json`` names, and where.

    Returns
    -------
    dict
        ``attack``, ``recipe`` and ``settings`` of the attack that binds, or of the
        predicted one where none was tried; ``site``, ``sigma``, ``access`` and
        ``n_queries``, the target.

    Raises
    ------
    DomainError
        If it cannot be read or holds no recommendation.
    """
    from querytax.recommend import Recommendation
    from querytax.recommend.portfolio import tuned

    try:
        with open(path, encoding="utf-8") as stream:
            rec = Recommendation.from_json(parsed(stream.read())["recommendations"][0])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        reason = getattr(error, "strerror", None) or "no recommendation in it"
        if isinstance(error, DomainError):
            # Of one that is there: what is wrong with it.
            reason = str(error).rpartition("something else: ")[2]
        raise DomainError(
            f"expected plan to be the JSON of recommend, got {path!r}: {reason}"
        ) from None
    shown = rec.attack or (rec.standings[0].contender if rec.standings else None)
    shown = shown or tuned(rec.plan)
    return {
        "attack": shown.attack,
        "recipe": shown.recipe,
        "settings": {
            "eps": rec.plan.eps,
            "norm": rec.plan.norm,
            **dict(shown.changes),
        },
        "site": rec.site,
        "sigma": rec.sigma,
        "access": rec.access,
        "n_queries": math.ceil(rec.target_queries),
    }


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DomainError(
            f"expected device to be available, got {name!r}: "
            f"{str(error).splitlines()[0]}"
        ) from None
    return device
