"""Models and data named on the command line."""

from __future__ import annotations

import errno
import importlib
import json
import math
import os
import sys
import tempfile
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from querytax.expect import DomainError
from querytax.recommend import Recommendation
from querytax.recommend.portfolio import tuned

__all__ = ["load_attack", "load_data", "load_model", "writable"]


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


def load_data(path: str, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Images and labels from an ``.npz`` with arrays ``x`` and ``y``.

    Raises
    ------
    DomainError
        If the file cannot be read or lacks an array.
    """
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            names = set(file.files)
            if not {"x", "y"} <= names:
                raise DomainError(
                    f"expected arrays x and y in {path!r}, got {', '.join(names)}"
                )
            x, y = file["x"], file["y"]
    except DomainError:
        raise
    except Exception as error:
        # A damaged archive fails in any of a dozen ways, down to zlib.error.
        reason = getattr(error, "strerror", None) or "not an .npz of plain arrays"
        raise DomainError(
            f"expected data to be a readable .npz, got {path!r}: {reason}"
        ) from None
    if x.dtype == np.uint8:
        # Bytes come as people store them, channels last.
        if x.ndim != 4 or x.shape[-1] not in (1, 3, 4):
            raise DomainError(
                f"expected bytes x in {path!r} as (N, H, W, C) with C of 1, 3 or 4, "
                f"got {x.shape}"
            )
        x = np.moveaxis(x, -1, 1)
        x = x.astype(np.float32) / 255.0
    if x.dtype.kind not in "fiub":
        raise DomainError(f"expected x in {path!r} to be numbers, got {x.dtype}")
    if y.dtype.kind not in "iu":
        raise DomainError(f"expected y in {path!r} to be whole numbers, got {y.dtype}")
    if y.ndim and len(x) != len(y):
        raise DomainError(
            f"expected as many labels as images in {path!r}, got {len(y)} for {len(x)}"
        )
    images = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
    where = _device(device)
    return images.to(where), torch.from_numpy(y.astype(np.int64)).to(where)


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
    try:
        with open(path, encoding="utf-8") as stream:
            rec = Recommendation.from_json(json.load(stream)["recommendations"][0])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        reason = getattr(error, "strerror", None) or "no recommendation in it"
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


def writable(path: str) -> None:
    """Fail before the work, not after it, where nothing can be written.

    Raises
    ------
    DomainError
        If the folder is missing or read-only, or the path is a folder itself.
    """
    try:
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, "Is a directory")
        with tempfile.TemporaryFile(dir=os.path.dirname(path) or "."):
            pass
    except OSError as error:
        raise DomainError(
            f"expected a writable path, got {path!r}: {error.strerror}"
        ) from None


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
