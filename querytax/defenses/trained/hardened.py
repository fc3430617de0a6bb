"""A copy of a network after one of the trainings, without the noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from querytax import expect
from querytax.catalogue import DEFENCES
from querytax.defenses.defense import Model
from querytax.defenses.trained.adversarial import adversarially_tuned
from querytax.defenses.trained.distillation import distilled
from querytax.defenses.trained.ensemble import ensemble_tuned
from querytax.defenses.trained.gaussian import gaussian_tuned
from querytax.defenses.trained.parametric import parametric_tuned
from querytax.expect import DomainError
from querytax.models import as_model

__all__ = ["TRAININGS", "harden"]

#: Each training by its word, and whether its defence's strength takes part in it.
TRAININGS: dict[str, tuple[str, Callable[..., nn.Module], bool]] = {
    "rnd-gf": ("rnd-gf", gaussian_tuned, True),
    "pgd": ("rnd-at", adversarially_tuned, False),
    "pni": ("pni", lambda *a, **s: parametric_tuned(*a, **s)[0], False),
    "rse": ("rse", ensemble_tuned, True),
    "distill": ("distill", distilled, True),
}


def harden(
    model: Model,
    word: str,
    images: Tensor,
    labels: Tensor,
    *,
    resume: Any = None,
    verbose: bool = False,
    **settings: Any,
) -> nn.Module:
    """Train a copy of a network so that it bears noise, or attacks, better.

    What comes back is a plain network without noise, for ``networks=`` of `certify` or
    to be probed: `recommend_sigma` then finds the noise at ``input`` for it, as for any
    other. ``defend(model, "rnd-gf", data=(images, labels))`` trains the same weights
    and puts the noise of the training around them.

    Parameters
    ----------
    model : nn.Module
        Never altered.
    word : {"rnd-gf", "pgd", "pni", "rse", "distill"}
        Fine-tuning under Gaussian noise; adversarial fine-tuning by projected
        gradients; parametric noise on the weights; noise before each convolution;
        defensive distillation.
    images : Tensor
        ``(N, ...)`` in [0, 1].
    labels : Tensor
        ``(N,)``.
    resume : path, optional
        Where the state after each epoch is kept: a training that was stopped goes on
        from there to the same weights. The file is removed at the end.
    verbose : bool
        Whether a bar is shown, on a terminal.
    settings
        Those of the defence in `querytax.catalogue` (of ``rnd-at`` for ``pgd``), its
        strength among them where the training knows it: ``sigma=0.05``, ``eps=0.03``,
        ``epochs=5``.

    Returns
    -------
    nn.Module
        In evaluation mode, its parameters without gradient; the same weights each time.

    Raises
    ------
    DomainError
        For a model that cannot be trained, data that do not fit it, and settings that
        the training does not have or that are out of range.
    """
    expect.one_of(TRAININGS, word=word)
    name, train, strong = TRAININGS[word]
    entry = DEFENCES[name]
    more: dict[str, Any] = {n: s.default for n, s in entry.settings.items()}
    # Of the answers, not of the training.
    more.pop("passes", None)
    if strong:
        strength = settings.pop(entry.strength, entry.usual)
        more[entry.strength] = expect.positive(**{entry.strength: strength})
        if strength > entry.most:
            raise DomainError(
                f"expected {entry.strength} <= {entry.most:g}, got {strength}"
            )
    for given in settings:
        if given not in more:
            known = ", ".join(more)
            raise DomainError(f"expected a setting of {word} ({known}), got {given!r}")
    more.update({n: entry.settings[n].read(n, v) for n, v in settings.items()})
    return train(
        as_model(model), (images, labels), resume=resume, verbose=verbose, **more
    )
