"""Models under attack: merged batches of questions, and a meter that counts rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from querytax import expect
from querytax.defenses import Defense
from querytax.losses import check_finite
from querytax.models import Model, ask, evaluating

__all__ = [
    "MeteredOracle",
    "Model",
    "Request",
    "Response",
    "answer_all",
    "answer_in_batches",
    "clean_model",
    "evaluating",
    "even_parts",
]


def clean_model(model: Model) -> Model:
    """The model whose class counts: behind all noise, with what decides beside it."""
    while isinstance(model, Defense) and model.judge is not model:
        model = model.judge
    return model


def even_parts(count: int, most: int) -> list[int]:
    """Sizes of the fewest batches of ``most`` rows at most, all about alike.

    No batch is a small rest: a product of few rows takes another way through the
    hardware, and rounds otherwise, than one of many.

    Examples
    --------
    >>> even_parts(257, 128)
    [86, 86, 85]
    """
    batches = max(1, -(-count // most))
    size, more = divmod(count, batches)
    return [size + 1] * more + [size] * (batches - more)


def answer_in_batches(
    model: Model,
    x: Tensor,
    batch_size: int,
    rows: Tensor | None = None,
    queries: Tensor | None = None,
) -> Tensor:
    """Answers to ``x``, ``batch_size`` rows at most a time; keys are for the noise.

    Raises
    ------
    DomainError
        If an answer cannot be read as rows of classes, or holds NaN or infinity.
    """
    if rows is None or queries is None or not isinstance(model, Defense):
        batches = x.split(even_parts(len(x), batch_size))
        parts = [check_finite(ask(model, xs)) for xs in batches]
    else:
        sizes = even_parts(len(x), batch_size)
        batches = zip(
            x.split(sizes), rows.split(sizes), queries.split(sizes), strict=True
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
    groups: dict[Any, list[int]] = {}
    for i, request in enumerate(requests):
        groups.setdefault(_kind(request.model, request.x), []).append(i)
    # One defence is asked once: a small draw of noise takes as long as a large one.
    whole = _answered([_joined(requests, g) for g in groups.values()], batch_size)
    responses: dict[int, Response] = {}
    for group, response in zip(groups.values(), whole, strict=True):
        parts = _parted(response, [requests[i] for i in group])
        responses.update(zip(group, parts, strict=True))
    return [responses[i] for i in range(len(requests))]


def _kind(model: Model, x: Tensor) -> Any:
    """The same for questions that can be asked together."""
    return id(model), x.shape[1:], x.dtype, x.device


def _joined(requests: Sequence[Request], group: Sequence[int]) -> Request:
    """Requests of one model as one."""
    if len(group) == 1:
        return requests[group[0]]
    several = [requests[i] for i in group]
    judged = None
    if any(request.judged is not None for request in several):
        judged = torch.cat(
            [
                torch.zeros_like(r.rows, dtype=torch.bool)
                if r.judged is None
                else r.judged
                for r in several
            ]
        )
    _, x, rows, queries, _ = zip(*several, strict=True)
    return Request(
        several[0].model, torch.cat(x), torch.cat(rows), torch.cat(queries), judged
    )


def _parted(response: Response, requests: Sequence[Request]) -> list[Response]:
    """What each of the requests that were joined is answered."""
    if len(requests) == 1:
        return [response]
    answers = response.answers.split([len(r.x) for r in requests])
    if response.clean is None:
        return [Response(a) for a in answers]
    counts = [0 if r.judged is None else int(r.judged.sum()) for r in requests]
    return [
        Response(a) if r.judged is None else Response(a, c, n if response.judged else 0)
        for r, a, c, n in zip(
            requests, answers, response.clean.split(counts), counts, strict=True
        )
    ]


def _answered(requests: Sequence[Request], batch_size: int) -> list[Response]:
    """Answers to requests of different models."""
    chains: list[list[Defense]] = []
    parts: list[_Part] = []
    apart: list[int] = []
    for i, request in enumerate(requests):
        model, x, rows, queries, judged = request
        chain, touched = [], False
        while isinstance(model, Defense) and model.mergeable:
            x, rows, queries = model.admit(x, rows, queries)
            x = model.before(x, rows, queries)
            chain.append(model)
            touched |= model.touches_input
            model = model.model
        chains.append(chain)
        parts.append((model, x, rows, queries))
        if judged is not None and (touched or isinstance(model, Defense)):
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
            groups.setdefault(_kind(model, x), []).append(i)
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
        self.batch_size = int(expect.count(batch_size=batch_size))
        self.answered: str = getattr(model, "answers", "logits")
        self.asked = torch.zeros(
            expect.count(n_images=n_images), dtype=torch.int64, device=device
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
