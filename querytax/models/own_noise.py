"""Models that are random by themselves: whether one is, and which layer does it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from querytax.losses import check_finite
from querytax.models import Model, ask, eager, evaluating, inside, is_scripted

__all__ = ["alike", "noisy_layer", "own_noise"]

# Images that are shown twice, and how often to find the layer.
_TWICE, _RUNS = 8, 5
# How often they are shown again where no answer differs.
_ASKED = 3
# How far beside an image a probe of it may lie, and which way.
_BESIDE, _STRIDE = 0.01, 1.7
# Two answers to the same image differ by more than rounding: a share of the largest.
_ALIKE = 1e-3


def own_noise(model: Model, images: Tensor, first: Tensor | None = None) -> str:
    """What makes a model answer the same images differently; empty for nothing.

    ``first`` are answers that it gave before; it is asked twice without.

    Examples
    --------
    >>> own_noise(torch.nn.Flatten(), torch.rand(4, 3))
    ''
    >>> class Always(torch.nn.Dropout):
    ...     def forward(self, x):
    ...         return torch.nn.functional.dropout(x, self.p, training=True)
    >>> own_noise(torch.nn.Sequential(torch.nn.Flatten(), Always()), torch.ones(4, 64))
    "layer '1' (Always)"
    """
    x = images[:_TWICE]
    with torch.no_grad(), evaluating(model):
        first = check_finite(ask(model, x)) if first is None else first[: len(x)]
        # Of few outcomes, such as crops, two draws may well be the same.
        for _ in range(_ASKED):
            again = check_finite(ask(model, x))
            if not alike(first, again):
                break
        else:
            # What knows a probe from an image may be random beside the images alone.
            near = (x + _BESIDE * torch.sin(_STRIDE * _places(x))).clamp(0.0, 1.0)
            first, again = (check_finite(ask(model, near)) for _ in range(2))
            return "" if alike(first, again) else noisy_layer(model, near)
        # The first answers may have been given among others.
        if alike(again, check_finite(ask(model, x))):
            return "what else is in its batch"
        return noisy_layer(model, x)


def _places(x: Tensor) -> Tensor:
    """The numbers of an image's elements, in its shape."""
    count = torch.arange(x[0].numel(), dtype=x.dtype, device=x.device)
    return count.reshape(x.shape[1:])


def alike(first: Tensor, again: Tensor) -> bool:
    """Whether two answers to the same images differ by no more than rounding."""
    gap = (again - first).abs().max()
    return not bool(gap > _ALIKE * first.abs().max())


def noisy_layer(model: Model, x: Tensor) -> str:
    """The first layer that is given the same twice and answers differently."""
    network = inside(model)
    if not isinstance(network, nn.Module) or is_scripted(network):
        return "the model"
    runs: list[list[tuple[str, bytes, bytes]]] = []
    handles = []
    for name, module in network.named_modules():
        if is_scripted(module):
            continue  # No hook reaches it.

        def note(module: nn.Module, given: Any, found: Any, name: str = name) -> None:
            runs[-1].append((name, _digest(given), _digest(found)))

        handles.append(module.register_forward_hook(note))
    try:
        for _ in range(_RUNS):
            runs.append([])
            ask(eager(model), x[:_TWICE])
    finally:
        for handle in handles:
            handle.remove()
    # Two draws may coincide by chance.
    for other in runs[1:]:
        for (name, given, found), (same, like, now) in zip(
            runs[0], other, strict=False
        ):
            if name == same and given == like and found != now:
                kind = type(network.get_submodule(name)).__name__
                return f"layer {name!r} ({kind})" if name else f"{kind}.forward"
    return "the model"


def _digest(value: Any) -> bytes:
    """What tells two values of tensors apart."""
    digest = hashlib.blake2b(digest_size=16)
    todo = [value]
    while todo:
        at = todo.pop()
        if isinstance(at, Tensor):
            flat = at.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().data)
        elif isinstance(at, Mapping):
            todo += list(at.values())
        elif isinstance(at, (tuple, list)):
            todo += list(at)
    return digest.digest()
