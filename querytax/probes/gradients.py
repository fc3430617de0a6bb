"""White-box gradients: their norms at named sites, and a step along them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from querytax import expect
from querytax.attacks.oracle import (
    Model,
    answer_in_batches,
    evaluating,
    even_parts,
)
from querytax.defenses import defend
from querytax.expect import DomainError
from querytax.losses import attacker_loss, check_images, check_labels
from querytax.models import as_model, check_answers, eager, inside
from querytax.models.rows import first_tensor
from querytax.plans import LOSSES
from querytax.probes.path import has_gradient, slope
from querytax.probes.places import parts_of
from querytax.sites import Site

__all__ = ["gradient_norms", "margins", "signed_step"]


def margins(
    model: Model, images: Tensor, labels: Tensor, *, batch_size: int = 256
) -> np.ndarray:
    """Margin of each image: the label's score less the best other's.

    Parameters
    ----------
    model : nn.Module or callable
        Images ``(N, ...)`` to logits, or to probabilities where it says so.
    images, labels : Tensor
        ``(N, ...)`` float in [0, 1] and ``(N,)``.
    batch_size : int
        Rows of one forward pass.

    Returns
    -------
    ndarray
        ``(N,)`` float64; above zero where the answer is right.

    Raises
    ------
    DomainError
        For images outside [0, 1], or labels or answers that do not fit.
    """
    model, images, labels, answered = _check(model, images, labels, batch_size)
    with torch.no_grad(), evaluating(model):
        answers = answer_in_batches(model, images, batch_size)
        check_answers(model, answers, labels)
        lead = -attacker_loss(answers, labels, loss="margin", answered=answered)
    return lead.cpu().numpy()


def gradient_norms(
    model: Model,
    images: Tensor,
    labels: Tensor,
    sites: Sequence[str],
    *,
    loss: str = "margin",
    batch_size: int = 256,
) -> dict[str, np.ndarray]:
    """L2 norms of the loss's gradient at sites, image by image.

    Noise of standard deviation sigma at a site moves the loss by sigma times this
    norm, while the loss is linear.

    Parameters
    ----------
    model : nn.Module or callable
        As for :func:`margins`; it must let gradients through.
    images, labels : Tensor
        ``(N, ...)`` float in [0, 1] and ``(N,)``.
    sites : sequence of str
        ``input``, ``output`` (the answers) or names of modules: the gradient is with
        respect to what the module returns, or with ``:before`` to what it is given, at
        all of its visits together. Of several places joined by ``+``: the root of the
        summed squares of each one's norm times its weight.
    loss : {"margin", "ce"}
        See :func:`querytax.losses.attacker_loss`.
    batch_size : int
        Images of one backward pass.

    Returns
    -------
    dict of str to ndarray
        ``(N,)`` float64 by site, of several places by the full word; 0 at a module
        that the loss does not depend on.

    Raises
    ------
    DomainError
        For an unknown site or loss, a module that was not reached or returns no
        floating tensor, a model without gradients, and as :func:`margins`.
    """
    model, images, labels, answered = _check(model, images, labels, batch_size)
    expect.one_of(LOSSES, loss=loss)
    asked = [Site.parse(site) for site in sites]
    wanted = {site: [_word(part) for part, _ in parts_of(site)] for site in asked}
    for site in asked:
        defend(model, site, 0.0)
    names = list(dict.fromkeys(name for words in wanted.values() for name in words))
    with evaluating(model):
        _expect_gradient(model, images)
        sizes = even_parts(len(images), batch_size)
        parts = [
            _norms(model, x, goal, names, loss, answered)
            for x, goal in zip(images.split(sizes), labels.split(sizes), strict=True)
        ]
    each = {name: np.concatenate([part[name] for part in parts]) for name in names}
    found = {}
    for site, words in wanted.items():
        squares = [
            np.square(weight * each[name])
            for name, (_, weight) in zip(words, parts_of(site), strict=True)
        ]
        one = site.kind != "several"
        found[_word(site)] = each[words[0]] if one else np.sqrt(sum(squares))
    return found


def signed_step(
    model: Model,
    images: Tensor,
    labels: Tensor,
    step: float,
    *,
    loss: str = "margin",
    batch_size: int = 256,
) -> Tensor:
    """Images after one step of the gradient's sign towards the adversary.

    Parameters
    ----------
    model, images, labels, loss, batch_size
        As for :func:`gradient_norms`.
    step : float
        Change of each pixel, in (0, 1]; the result stays in [0, 1].

    Returns
    -------
    Tensor
        ``(N, ...)``.

    Raises
    ------
    DomainError
        For a step outside its range, and as :func:`gradient_norms`.
    """
    model, images, labels, answered = _check(model, images, labels, batch_size)
    expect.one_of(LOSSES, loss=loss)
    expect.positive(step=step)
    with evaluating(model):
        _expect_gradient(model, images)
        up = slope(model, images, labels, loss, answered, False, batch_size)
    return (images + step * up.sign()).clamp(0.0, 1.0)


def _check(
    model: Model, images: Tensor, labels: Tensor, batch_size: int
) -> tuple[Model, Tensor, Tensor, str]:
    images = check_images(images)
    labels = check_labels(labels, len(images)).to(images.device)
    expect.count(1, batch_size=batch_size)
    # In Python, layer by layer: hooks stand on its layers.
    model = eager(as_model(model, images))
    return model, images, labels, getattr(model, "answers", "logits")


def _word(site: Site) -> str:
    """What a site's norms are kept under: noise on an answer takes any form."""
    return "output" if site.kind == "output" else site.name


def _expect_gradient(model: Model, images: Tensor) -> None:
    if not has_gradient(model, images):
        raise DomainError("expected model to let gradients through, got none")


def _expect_in_graph(visits: dict[str, list[Tensor]]) -> None:
    """Fail on layers that autograd does not see, though it sees the model."""
    for name, places in visits.items():
        if not all(place.requires_grad for place in places):
            raise DomainError(
                f"expected module {name!r} to let gradients through, got none: it runs "
                "under no_grad, or inside torch.utils.checkpoint with use_reentrant="
                "True, where use_reentrant=False would do"
            )


def _norms(
    model: Model, x: Tensor, goal: Tensor, names: list[str], loss: str, answered: str
) -> dict[str, np.ndarray]:
    """Norms of one batch, from one backward pass."""
    kept: dict[str, list[Tensor]] = {name: [] for name in names}

    def keep(name: str):  # type: ignore[no-untyped-def]
        site = Site.parse(name)
        verb = "be given" if site.where == "input" else "return"

        def hook(_module: nn.Module, _inputs: object, output: Any) -> Any:
            first, put = first_tensor(output)
            if not isinstance(first, Tensor) or not first.is_floating_point():
                raise DomainError(
                    f"expected module {site.module!r} to {verb} a floating Tensor, "
                    f"got {type(first).__name__}"
                )
            # The model goes on with a copy, which it may overwrite.
            kept[name].append(first)
            return put(first.clone())

        def before(module: nn.Module, args: Any) -> tuple[Any, ...]:
            # Of its own: what a module is given may also go another way.
            first, *rest = args or (None,)
            given = first.clone() if isinstance(first, Tensor) else first
            return hook(module, None, given), *rest

        module = cast(nn.Module, inside(model)).get_submodule(site.module)
        if site.where == "input":
            return module.register_forward_pre_hook(before)
        return module.register_forward_hook(hook)

    handles = [
        keep(name)
        for name in names
        if isinstance(model, nn.Module) and name not in ("input", "output")
    ]
    try:
        with torch.enable_grad():
            x = x.detach().clone().requires_grad_(True)
            answers = model(x)
            value = attacker_loss(answers, goal, loss=loss, answered=answered)
            kept |= {k: [v] for k, v in (("input", x), ("output", answers))}
            missed = [name for name in names if not kept[name]]
            if missed:
                raise DomainError(
                    "expected every site to be reached by the forward pass, "
                    f"got none at {', '.join(map(repr, missed))}"
                )
            # As they are now: recomputation in the backward pass visits layers again.
            visits = {name: list(kept[name]) for name in names}
            _expect_in_graph(visits)
            places = [place for name in names for place in visits[name]]
            found = iter(
                torch.autograd.grad(value.sum(), places, materialize_grads=True)
            )
    finally:
        for handle in handles:
            handle.remove()
    norms = {}
    for name in names:
        each = [next(found).flatten(1).double().norm(dim=1) for _ in visits[name]]
        norms[name] = torch.stack(each).norm(dim=0).cpu().numpy()
    return norms
