"""Short names for networks and images: the same content has the same one anywhere."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

from querytax.attacks.oracle import Model, evaluating
from querytax.models import ask

__all__ = ["image_fingerprints", "network_fingerprint"]

_LENGTH = 16
# Images whose answers tell networks apart that have no parameters to be told by.
_FIRST = 8


def network_fingerprint(network: Model, images: Tensor) -> str:
    """What a network is, in 32 hexadecimal digits.

    Of a module: the classes of its parts, and every parameter and buffer, bit for
    bit; it does not depend on the device. Of another callable, and of a module that
    holds no tensor: its answers to the first images, relative to the largest of them
    and to three digits.

    Parameters
    ----------
    network : nn.Module or callable
    images : Tensor
        ``(N, ...)``; the first 8 are asked about where that is needed.

    Returns
    -------
    str
    """
    digest = hashlib.blake2b(digest_size=_LENGTH)
    digest.update(getattr(network, "answers", "logits").encode())
    state: dict[str, Any] = {}
    if isinstance(network, nn.Module):
        for name, module in network.named_modules():
            digest.update(f"|{name}:{type(module).__qualname__}".encode())
        state = network.state_dict()
    for name, value in state.items():
        digest.update(f"|{name}=".encode())
        if isinstance(value, Tensor):
            _add(digest, value)
        else:
            digest.update(repr(value).encode())
    if not state:
        with torch.no_grad(), evaluating(network):
            answers = ask(network, images[:_FIRST]).double().cpu()
        largest = float(answers.abs().max()) or 1.0
        shares = (answers / largest * 1000.0).round().to(torch.int64)
        digest.update(f"|{largest:.2e}".encode())
        _add(digest, shares)
    return digest.hexdigest()


def image_fingerprints(images: Tensor, labels: Tensor) -> list[str]:
    """What each image and its label are, in 32 hexadecimal digits."""
    found = []
    for image, label in zip(images.cpu(), labels.tolist(), strict=True):
        digest = hashlib.blake2b(digest_size=_LENGTH)
        _add(digest, image)
        digest.update(f"|{label}".encode())
        found.append(digest.hexdigest())
    return found


def _add(digest: Any, value: Tensor) -> None:
    """Type, shape and bytes of a tensor."""
    digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
    flat = value.detach().cpu().contiguous().reshape(-1)
    # Bytes and not numbers: NumPy does not know every type of torch's.
    digest.update(flat.view(torch.uint8).numpy().data)
