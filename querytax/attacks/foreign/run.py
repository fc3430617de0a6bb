"""Run a library's attack image by image, on our meter."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from querytax import expect
from querytax.attacks.failures import broke_in, said_of
from querytax.attacks.foreign.meter import (
    Metered,
    OutOfTime,
    Stopped,
    limited,
    seed_for,
    seeded,
)
from querytax.attacks.foreign.plan import ForeignPlan, foreign_plan, library_of
from querytax.attacks.foreign.table import Foreign, find
from querytax.attacks.oracle import Model, evaluating
from querytax.attacks.outcome import AttackResult
from querytax.attacks.table import Attack
from querytax.attacks.work import Run, Work
from querytax.losses import check_images
from querytax.progress import progress

__all__ = ["foreign_attack"]

# ``attack(model, image, label, **settings)``: what it found, or None.
Function = Callable[..., Tensor | None]
# ``prepare(what, meter, settings, seed)``: the attack, made; called, it runs.
Prepare = Callable[[str, Metered, dict[str, Any], int], Callable[[], Tensor | None]]


def foreign_attack(
    model: Model,
    images: Tensor,
    labels: Tensor,
    what: str | Function,
    *,
    eps: float,
    norm: str = "Linf",
    n_queries: int = 10_000,
    targets: Tensor | None = None,
    starts: Tensor | None = None,
    access: str = "scores",
    votes: int = 9,
    keys: Tensor | None = None,
    batch_size: int = 256,
    probabilities: str = "answered",
    restarts: int = 0,
    seconds: float | None = None,
    rng: Any = 0,
    keep_images: bool = False,
    verbose: bool = False,
    **settings: Any,
) -> AttackResult:
    """Attack a model with an attack of another library, and count every query.

    Counts, votes and successes are those of :func:`querytax.attacks.attack`: rows are
    charged one by one; the budget is never exceeded; a row inside the ball of ``eps``
    whose answer is adversarial is asked about ``votes`` times more, and judged without
    the noise on the side. Once both are known the library is stopped.

    Parameters
    ----------
    model, images, labels, targets, votes, keys, batch_size, keep_images, verbose
        As in :func:`querytax.attacks.attack`.
    what : str or callable
        Library and attack, such as ``"art:square"``; see
        ``querytax.attacks.foreign.FOREIGN``. Or an attack of your own, ``attack(model,
        image, label, **settings)`` for one image ``(1, ...)`` and its label, or target
        where there are any: the model is a module that it asks as it likes, and what
        it returns, if anything, is handed in.
    eps, norm
        The ball in which a row counts. Attacks that can be told of it are told.
    n_queries : int
        Budget of queries an image. A question of a library, which may be many rows, is
        put whole or, where it and its votes are more than is left, not at all.
    starts : Tensor, optional
        ``(N, ...)`` adversarial images to begin from, for attacks that take some.
    access : {"scores", "labels"}
        What the API gives away. An attack that needs labels alone is told these alone.
    probabilities : {"answered", "renormalised", "logarithm"}
        What the library is told where the model answers probabilities: its answers as
        they are, which some refuse; clipped at 0 and divided by their sum, which is
        another defence; or their logarithms, which stand for logits.
    restarts : int
        How often an attack that ends of itself is begun again with new draws. Many
        end at their first adversarial answer, which noise alone can bring about.
    seconds : float, optional
        What one image may take at most. Results then depend on the machine.
    rng : int or Generator
        Seed of the library's draws, together with the attack's name and the image's
        key. The global random states are set for the library, and left as they were.
    **settings
        Arguments of the library's class, such as ``p_init=0.05``; numbers of
        iterations are by default such that the budget ends the attack.

    Returns
    -------
    AttackResult
        ``status`` is ``crashed: ...`` for an image on which the library failed, which
        is no success of the defence; its counts are censored at what it spent.
        ``ended: ...`` where the library came to its own end, ``out of time: ...``
        where it came to none.

    Notes
    -----
    Images are attacked one at a time, so that a library's failure on one ends that one
    alone, and no image's run depends on its company.

    Raises
    ------
    DomainError
        If an argument is not as expected, the library is not installed, or the model
        returns NaN.

    Examples
    --------
    >>> def guess(model, image, label):
    ...     while True:
    ...         model(image + 0.3 * torch.rand_like(image).sub(0.5).sign())
    >>> w = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    >>> result = foreign_attack(lambda x: x @ w, torch.tensor([[0.6, 0.4]]),
    ...                         torch.tensor([0]), guess, eps=0.3, n_queries=100)
    >>> result.status
    ('broken',)
    """
    images = check_images(images)
    n_queries = int(expect.count(n_queries=n_queries))
    kept: dict[str, Any] = {
        "probabilities": probabilities,
        "restarts": restarts,
        "seconds": seconds,
    }
    if callable(what):
        expect.one_of(("scores", "labels"), access=access)
        name = f"function:{_name(what)}"
        entry, prepare = Foreign("", "", "", access), _function(what)
        plan = ForeignPlan(
            eps=eps, norm=norm, what=name, settings=tuple(settings.items()), **kept
        )
    else:
        entry = find(what)
        plan = foreign_plan(
            what,
            eps=eps,
            norm=norm,
            n_queries=n_queries,
            access=access,
            shape=tuple(images.shape[1:]),
            targets=targets is not None,
            starts=starts is not None,
            **kept,
            **settings,
        )
        prepare = library_of(entry).prepare
    if probabilities != "answered" and getattr(model, "answers", "logits") == "logits":
        raise expect.DomainError(
            "expected probabilities 'answered' for a model that answers logits, "
            f"got {probabilities!r}"
        )
    return _run(
        Run(model, images, labels, plan, targets, starts, keys, None, rng),
        plan,
        entry,
        prepare,
        n_queries=n_queries,
        votes=votes,
        access=access,
        batch_size=batch_size,
        keep_images=keep_images,
        verbose=verbose,
    )


def _name(function: Function) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _function(function: Function) -> Prepare:
    """An attack that is a function, prepared as those of the libraries are."""

    def prepare(
        what: str, meter: Metered, settings: dict[str, Any], seed: int
    ) -> Callable[[], Tensor | None]:
        block = meter.block
        goal = block.labels if block.targets is None else block.targets
        call = (meter, block.origin.clone(), goal.clone())
        inspect.signature(function).bind(*call, **settings)
        return lambda: function(*call, **settings)

    return prepare


def _run(
    run: Run,
    plan: ForeignPlan,
    entry: Foreign,
    prepare: Prepare,
    *,
    n_queries: int,
    votes: int,
    access: str,
    batch_size: int,
    keep_images: bool = False,
    verbose: bool = False,
) -> AttackResult:
    """Attack every image, one after another."""
    votes = int(expect.count(votes=votes))
    if votes % 2 == 0:
        raise expect.DomainError(f"expected votes odd, got {votes}")
    batch_size = int(expect.count(batch_size=batch_size))
    row = Attack(
        name=plan.what,
        engine=lambda plan, block: iter(()),  # type: ignore[arg-type, return-value]
        plan=ForeignPlan,
        access=entry.access,
        norms=entry.norms,
        targeted=entry.targeted != "no",
        source=plan.version,
        about=entry.about,
    )
    with torch.no_grad(), progress(verbose) as bar, evaluating(run.model):
        work = Work(run, row, n_queries, votes, access, batch_size, keep_images)
        task = bar.add("images", len(work.places))
        for courses in work.courses(0):
            for course in courses.alone():
                meter = Metered(
                    course,
                    batch_size=batch_size,
                    expects=entry.expects,
                    probabilities=plan.probabilities,
                )
                _attack(meter, plan, prepare, work.seed)
                work.take(course.ended())
                bar.update(task, work.ended)
    return work.result()


def _attack(meter: Metered, plan: ForeignPlan, prepare: Prepare, seed: int) -> None:
    """One image, to whatever end."""
    block = meter.block
    rows = block.rows()
    try:
        with (
            limited(plan.seconds, meter.asking),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            for again in range(plan.restarts + 1):
                draws = seed_for(seed, plan.what, int(block.keys[0]), again)
                with seeded(draws):
                    image = _prepared(meter, plan, prepare, draws)()
                if image is not None:
                    meter.hand_in(image)
    except OutOfTime:
        if meter.running:
            block.drop(rows, f"out of time: no end after {plan.seconds:g} s")
    except Stopped:
        pass
    except Exception as error:
        if broke_in(error):
            raise
        # What follows from our ending it is no failure of the library.
        if meter.running:
            block.drop(rows, f"crashed: {said_of(error)}")
    if meter.fault is not None:
        raise meter.fault
    if meter.running:
        block.drop(rows, "ended: the library came to its own end")


def _prepared(meter: Metered, plan: ForeignPlan, prepare: Prepare, seed: int) -> Any:
    """The attack, made; settings that its class refuses are the caller's to mend."""
    try:
        return prepare(plan.what, meter, dict(plan.settings), seed)
    except Exception as error:
        meter.fault = expect.DomainError(
            f"expected settings that {plan.what} accepts, got {said_of(error)}"
        )
        raise Stopped from error
