"""The metered oracle: the only way an attack reaches a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from querytax import expect
from querytax.defenses import KeyedDefense
from querytax.losses import check_finite

__all__ = ["MeteredOracle", "answer_in_batches", "clean_model", "evaluating"]

Model = nn.Module | Callable[[Tensor], Tensor]


def clean_model(model: Model) -> Model:
    """The model behind all of its defences."""
    while isinstance(model, KeyedDefense):
        model = model.model
    return model


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """The model in evaluation mode while the block runs, then as each module was."""
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [module.training for module in modules]
    if isinstance(model, nn.Module):
        model.eval()
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


def answer_in_batches(
    model: Model,
    x: Tensor,
    batch_size: int,
    rows: Tensor | None = None,
    queries: Tensor | None = None,
) -> Tensor:
    """Answers to ``x``, ``batch_size`` rows at a time; keys are for a defence's noise.

    Raises
    ------
    DomainError
        If an answer is no tensor, or holds NaN or infinity.
    """
    if rows is None or queries is None or not isinstance(model, KeyedDefense):
        parts = [check_finite(model(xs)) for xs in x.split(batch_size)]
    else:
        batches = zip(
            x.split(batch_size),
            rows.split(batch_size),
            queries.split(batch_size),
            strict=True,
        )
        parts = [check_finite(model(xs, ks, qs)) for xs, ks, qs in batches]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


class MeteredOracle:
    """A model that counts every row that it answers, image by image.

    Parameters
    ----------
    model : nn.Module or callable
        With or without a defence. A defence is asked with the key (image, number of
        questions asked about it before), so that its noise does not depend on how
        the questions of many images are batched.
    n_images : int
        Number of images under attack; a question names the one it belongs to.
    batch_size : int
        Rows of one forward pass.

    Attributes
    ----------
    asked : Tensor
        ``(n_images,)`` int64, the questions asked about each image.
    answered : {"logits", "probabilities"}
    """

    def __init__(
        self,
        model: Model,
        n_images: int,
        *,
        batch_size: int = 256,
        device: torch.device | str = "cpu",
    ) -> None:
        self.model = model
        self.batch_size = int(expect.integer(batch_size=batch_size))
        self.answered: str = getattr(model, "answers", "logits")
        self.asked = torch.zeros(
            expect.integer(n_images=n_images), dtype=torch.int64, device=device
        )

    def ask(self, x: Tensor, rows: Tensor, each: int = 1) -> Tensor:
        """Answer ``x``; ``each`` consecutive questions belong to one image.

        Parameters
        ----------
        x : Tensor
            ``(len(rows) * each, ...)``.
        rows : Tensor
            Images, int64, none twice.
        each : int
            Questions about each image, consecutive in ``x``.

        Raises
        ------
        DomainError
            If an answer is no tensor, or holds NaN or infinity.
        """
        first = self.asked[rows]
        self.asked[rows] = first + each
        queries = first[:, None] + torch.arange(each, device=rows.device)
        keys = rows.repeat_interleave(each)
        return answer_in_batches(
            self.model, x, self.batch_size, keys, queries.flatten()
        )
