"""Run attacks: one, or many beside each other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from querytax import expect
from querytax.attacks.block import ACCESS
from querytax.attacks.course import Course, Ended
from querytax.attacks.oracle import Model, evaluating
from querytax.attacks.outcome import AttackResult
from querytax.attacks.scheduler import drive
from querytax.attacks.table import find
from querytax.attacks.work import Run, Work, entry_of
from querytax.attacks.workers import beside, cores, may_fork
from querytax.losses import check_images
from querytax.models import as_model
from querytax.plans import Plan
from querytax.progress import progress

__all__ = ["attack", "attack_all"]

_IN_FLIGHT = 1024
# Freed once, a block just below glibc's largest threshold keeps later tensors of this
# size off mmap, whose page faults slow a small model by half.
_HEAP = 31 << 20


def attack(
    model: Model,
    images: Tensor,
    labels: Tensor,
    plan: Plan | str,
    *,
    n_queries: int = 10_000,
    eps: float | None = None,
    norm: str | None = None,
    recipe: str | None = None,
    targets: Tensor | None = None,
    starts: Tensor | None = None,
    surrogate: Model | None = None,
    access: str = "scores",
    votes: int = 9,
    keys: Tensor | None = None,
    batch_size: int = 256,
    in_flight: int = _IN_FLIGHT,
    rng: Any = 0,
    keep_images: bool = False,
    verbose: bool = False,
    **settings: Any,
) -> AttackResult:
    """Attack a model by queries alone, and count every one of them.

    Where an answer to an image inside the budget is adversarial, ``votes`` fresh ones
    decide by majority, and the attack is *confirmed* when they agree: one noisy answer
    alone overstates success. When such an image first fools the model without its
    noise is found out on the side, free of charge. A run ends when both are known, at
    the budget, or when the attack has nothing more to ask.

    Parameters
    ----------
    model : nn.Module or callable
        Answers ``(N, C)`` for images ``(N, ...)``; a defence of ours, or any other.
        A module is asked in evaluation mode, and left as it was. The noise of a
        defence that is not ours cannot be taken off: ``clean`` then means its own
        answer.
    images : Tensor
        ``(N, ...)`` float in [0, 1].
    labels : Tensor
        ``(N,)`` true labels. Images that the model without noise gets wrong are not
        attacked.
    plan : Plan or str
        What the attacker does, or an attack's word (``querytax attacks`` lists them),
        with ``eps``, ``norm``, ``recipe`` and any of its settings.
    n_queries : int
        Budget of queries an image; none is exceeded by one row. An image that cannot
        afford its next questions with their verification is censored.
    eps : float, optional
        Radius of the perturbation budget; for an attack named by its word.
    norm : {"Linf", "L2"}, optional
        Its norm; Linf for an attack named by its word, where it knows it.
    recipe : {"published", "adaptive"}, optional
        The settings in circulation, the default, or those that answer a randomised
        defence; for an attack named by its word.
    targets : Tensor, optional
        ``(N,)`` classes to reach; untargeted without.
    starts : Tensor, optional
        ``(N, ...)`` adversarial images to begin from, for attacks that want some.
    surrogate : nn.Module or callable, optional
        A network of the attacker's own.
    access : {"scores", "top1", "labels"}
        What the API gives away; an attack that needs more is refused, one that needs
        less is told less.
    votes : int
        Fresh queries that confirm a success, odd.
    keys : Tensor, optional
        ``(N,)`` whole numbers in [0, 2**32) that name the images; their places by
        default. Draws and noise belong to them, so an image's run is the same in any
        order and company.
    batch_size : int
        Rows of one forward pass; it does not change the result.
    in_flight : int
        Images under attack at the same time; it does not change the result.
    rng : int or Generator
        Seed of the attacker's draws.
    keep_images : bool
        Return the final images.
    verbose : bool
        Show a progress bar.
    **settings
        Settings of the attack's plan, such as ``repeats=4``.

    Returns
    -------
    AttackResult

    Notes
    -----
    Draws are keyed by (rng, the image's key, step), the noise of our defences by
    (its seed, the image's key, query). What is left is the model's own arithmetic:
    matrix products may round differently in another batch.

    Raises
    ------
    DomainError
        If an argument is not as expected, the attack cannot do what is asked, or the
        model returns NaN.

    Examples
    --------
    >>> w = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    >>> result = attack(lambda x: x @ w, torch.tensor([[0.6, 0.4]]), torch.tensor([0]),
    ...                 "nes", eps=0.3, n_queries=400)
    >>> bool(result.confirmed.success[0])
    True
    """
    images = check_images(images)
    if isinstance(plan, str):
        entry = find(plan)
        if eps is None:
            raise expect.DomainError(f"expected eps with the attack {plan!r}, got None")
        shape = tuple(images.shape[1:])
        plan = entry.recipe(
            recipe or "published", eps, norm or entry.norm, shape, **settings
        )
    else:
        if recipe is not None:
            raise expect.DomainError(
                f"expected no recipe with a plan, which is one, got {recipe!r}"
            )
        if eps is not None:
            settings["eps"] = eps
        if norm is not None:
            settings["norm"] = norm
        plan = plan.replace(**settings)
    model = as_model(model)
    run = Run(model, images, labels, plan, targets, starts, keys, surrogate, rng)
    (result,) = attack_all(
        [run],
        n_queries=n_queries,
        access=access,
        votes=votes,
        batch_size=batch_size,
        in_flight=in_flight,
        keep_images=keep_images,
        verbose=verbose,
    )
    return result


def attack_all(
    runs: Sequence[Run],
    *,
    n_queries: int = 10_000,
    access: str = "scores",
    votes: int = 9,
    batch_size: int = 256,
    in_flight: int = _IN_FLIGHT,
    keep_images: bool = False,
    verbose: bool = False,
    done: Callable[[int, AttackResult], None] | None = None,
    jobs: int = 1,
) -> list[AttackResult]:
    """Run several attacks, seeds and noise levels beside each other.

    Their questions share forward passes wherever the network behind the noise is one.
    Each result is what :func:`attack` alone would give.

    Parameters
    ----------
    runs : sequence of Run
    n_queries, access, votes, batch_size, in_flight, keep_images, verbose
        As in :func:`attack`.
    done : callable, optional
        Told a run's place in ``runs`` and its result as soon as it has ended.
    jobs : int
        Processes that attack beside each other, each on one thread; it does not change
        the result. They are forked, which a model must bear: one of plain torch on
        the CPU does. No more than there are processors; one, where none can be forked.

    Returns
    -------
    list of AttackResult
        One a run, in order.

    Raises
    ------
    DomainError
        As :func:`attack`.
    """
    n_queries = int(expect.count(n_queries=n_queries))
    votes = int(expect.count(votes=votes))
    if votes % 2 == 0:
        raise expect.DomainError(f"expected votes odd, got {votes}")
    batch_size = int(expect.count(batch_size=batch_size))
    in_flight = int(expect.count(in_flight=in_flight))
    jobs = int(expect.count(jobs=jobs))
    expect.one_of(ACCESS, access=access)
    # Every run is checked before the first is begun.
    entries = [entry_of(run.plan, access) for run in runs]
    torch.empty(_HEAP, dtype=torch.uint8)
    with torch.no_grad(), progress(verbose) as bar, contextlib.ExitStack() as stack:
        for run in runs:
            stack.enter_context(evaluating(run.model))
            if run.surrogate is not None:
                stack.enter_context(evaluating(run.surrogate))
        first: dict[Any, tuple[Tensor, bool]] = {}
        works = [
            Work(run, entry, n_queries, votes, access, batch_size, keep_images, first)
            for run, entry in zip(runs, entries, strict=True)
        ]
        # In queries, which come steadily: what is left of them tells the time left.
        task = bar.add("queries", n_queries * sum(len(w.places) for w in works))

        def watch(asked: int) -> None:
            bar.update(task, asked + n_queries * sum(work.ended for work in works))

        results: dict[int, AttackResult] = {}

        def settle(i: int) -> None:
            work = works[i]
            if i not in results and work.ended == len(work.places):
                results[i] = work.result()
                if done is not None:
                    done(i, results[i])

        for i in range(len(works)):
            settle(i)  # Those without an image to attack.
        if may_fork({work.images.device for work in works}):
            # More would only wait for each other.
            images = sum(len(work.places) for work in works)
            jobs = max(1, min(jobs, max(2, cores()), images))
        else:
            jobs = 1

        def courses() -> Iterator[Course]:
            return (c for i, work in enumerate(works) for c in work.courses(i, jobs))

        settings: dict[str, Any] = {
            "in_flight": in_flight,
            "batch_size": batch_size,
            "watch": watch if verbose else None,
        }
        ends: Generator[Ended, None, None]
        if jobs > 1:
            ends = beside(courses, jobs, **settings)
        else:
            ends = (course.ended() for course in drive(courses(), **settings))
        with contextlib.closing(ends):
            for ended in ends:
                works[ended.tag].take(ended)
                settle(ended.tag)
    return [results[i] for i in range(len(works))]
