"""Models under attack: merged batches of questions, and a meter that counts rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from querytax import expect
from querytax.defenses import KeyedDefense
from querytax.losses import check_finite

__all__ = [
    "MeteredOracle",
    "Request",
    "Response",
    "answer_all",
    "answer_in_batches",
    "clean_model",
    "evaluating",
]

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


class Request(NamedTuple):
    """Rows for a model, with the keys of their noise.

    Where ``judged`` is given, ``(Q,)`` bool, those rows are also for the model without
    its noise.
    """

    model: Model
    x: Tensor
    rows: Tensor
    queries: Tensor
    judged: Tensor | None = None


class Response(NamedTuple):
    """Answers; the model's own to the judged rows, and how many it was asked."""

    answers: Tensor
    clean: Tensor | None = None
    judged: int = 0


def answer_all(requests: Sequence[Request], batch_size: int) -> list[Response]:
    """Answer many requests, merged into common batches wherever the network is one.

    Noise at the input or the output is added around the network, so that requests of
    different levels share its forward passes. Where the noise is at the output alone,
    the network's own answers come with it for nothing.

    Parameters
    ----------
    requests : sequence of Request
    batch_size : int
        Rows of one forward pass.

    Raises
    ------
    DomainError
        If an answer is no tensor, or holds NaN or infinity.
    """
    chains: list[list[KeyedDefense]] = []
    parts: list[_Part] = []
    apart: list[int] = []
    for i, request in enumerate(requests):
        model, x, rows, queries, judged = request
        chain, touched = [], False
        while isinstance(model, KeyedDefense) and model.mergeable:
            x, rows, queries = model.admit(x, rows, queries)
            x = model.before(x, rows, queries)
            chain.append(model)
            touched |= model.touches_input
            model = model.model
        chains.append(chain)
        parts.append((model, x, rows, queries))
        if judged is not None and (touched or isinstance(model, KeyedDefense)):
            apart.append(i)
    for i in apart:
        model, *several, judged = requests[i]
        x, rows, queries = (each[judged] for each in several)
        parts.append((clean_model(model), x, rows, queries))
    plain = _merged(parts, batch_size)
    judgements = dict(zip(apart, plain[len(requests) :], strict=True))
    responses = []
    for i, (request, chain) in enumerate(zip(requests, chains, strict=True)):
        answers = plain[i]
        clean = judgements.get(i)
        if clean is None and request.judged is not None:
            clean = answers[request.judged]
        for defence in reversed(chain):
            answers = defence.after(answers, request.rows, request.queries)
        extra = len(judgements[i]) if i in judgements else 0
        responses.append(Response(answers, clean, extra))
    return responses


# A model, rows for it, and their keys.
_Part = tuple[Model, Tensor, Tensor, Tensor]


def _merged(parts: Sequence[_Part], batch_size: int) -> list[Tensor]:
    """Answers to each part; parts for the same model are asked together."""
    groups: dict[Any, list[int]] = {}
    for i, (model, x, *_) in enumerate(parts):
        if len(x):
            kind = id(model), x.shape[1:], x.dtype, x.device
            groups.setdefault(kind, []).append(i)
    answers: list[Tensor] = [x for _, x, *_ in parts]
    for group in groups.values():
        model = parts[group[0]][0]
        _, *several = zip(*(parts[i] for i in group), strict=True)
        x, rows, queries = (
            each[0] if len(each) == 1 else torch.cat(each) for each in several
        )
        whole = answer_in_batches(model, x, batch_size, rows, queries)
        split = whole.split([len(parts[i][1]) for i in group])
        for i, part in zip(group, split, strict=True):
            answers[i] = part
    return answers


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
