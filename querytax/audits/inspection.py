"""The audit of a model: which checks there are, and in what order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from querytax import expect
from querytax.audits import answers, cost, dependence, generators, sameness, vanishing
from querytax.audits.findings import Audit, Log
from querytax.audits.sameness import Court
from querytax.audits.subject import SERIES, Budget, Spent, Subject, differ
from querytax.losses import check_images, check_labels
from querytax.models import inside
from querytax.progress import progress
from querytax.seeds import seed_of

__all__ = ["audit"]

# More tests of chance than any audit makes: each gets this share of the false alarms.
_TESTS = 100
# Images of which the one is chosen whose noise shows best, those of them that are
# asked alone, and how often.
_SURVEYED, _ALONE, _TIMES = 256, 16, 4


def audit(
    model: nn.Module | Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor | None = None,
    *,
    source: str | None = None,
    processes: bool = True,
    n_queries: int = 20_000,
    false_alarm: float = 1e-6,
    rng: Any = 0,
    verbose: bool = False,
) -> Audit:
    """Ask a model whether its noise is any: fresh, independent, and always there.

    Each test of chance is exact for noise of any law: it compares answers to one image,
    which sound noise leaves in any order.

    Parameters
    ----------
    model : nn.Module or callable
        A defence of ours, any module, or `querytax.Remote` for an API. It is asked in
        evaluation mode; copies are asked in training mode. Global random states are
        left as they were.
    images : Tensor
        ``(N, ...)`` floats in [0, 1]; a dozen will do, a hundred say more.
    labels : Tensor, optional
        For accuracy and calibration.
    source : str, optional
        ``package.module:function`` that makes the model, for a process started anew;
        without it the model is pickled.
    processes : bool
        Whether to fork, and to start processes. A script that is run again by a new
        process is not: only the module of the model's class is imported there.
    n_queries : int
        Rows to ask at most, in other processes too. Checks that it does not pay for are
        listed as skipped.
    false_alarm : float
        Bound of the probability that chance alone raises anything, all tests together.
    rng : int or Generator
        Seed that breaks ties.
    verbose : bool

    Returns
    -------
    Audit

    Raises
    ------
    DomainError
        For images that are none, a model that does not answer, or an argument out of
        range.

    Examples
    --------
    >>> from querytax.defenses import InputNoise
    >>> def frozen(x):
    ...     g = torch.Generator().manual_seed(0)
    ...     return x.flatten(1) + torch.randn(x.flatten(1).shape, generator=g)
    >>> images = torch.rand(8, 1, 3, 3)
    >>> audit(frozen, images, processes=False).findings[0].rule
    'noise/repeats-every-call'
    >>> audit(InputNoise(nn.Flatten(), 0.1), images, processes=False).findings
    ()
    """
    images = check_images(images)
    if labels is not None:
        labels = check_labels(labels, len(images))
    most = int(expect.count(n_queries=n_queries))
    level = float(expect.probability(false_alarm=false_alarm)) / _TESTS
    seed = seed_of(rng)
    log, budget = Log(), Budget(most)
    court = Court(level, np.random.default_rng(abs(seed)))
    with progress(verbose) as bar:
        subject = Subject(model, images, budget)
        steps = _Steps(subject, log, bar)
        _audit(steps, court, model, labels, source, processes)
    return log.audit(
        f"{type(inside(model)).__name__}",
        n_queries=budget.asked,
        seed=seed,
        false_alarm=float(false_alarm),
    )


class _Steps:
    """Checks one after another, while the budget lasts."""

    def __init__(self, subject: Subject, log: Log, bar: Any) -> None:
        self.subject, self.log, self._bar = subject, log, bar
        self._task, self._done = bar.add("checks", 14), 0

    def take(self, name: str, check: Callable[[], Any]) -> Any:
        """Make a check, or say that the budget did not pay for it."""
        try:
            with self.subject.mode(), torch.no_grad():
                return check()
        except Spent:
            self.log.skip(name, "the budget of queries is spent")
            return None
        finally:
            self._done += 1
            self._bar.update(self._task, self._done)


def _audit(
    steps: _Steps,
    court: Court,
    given: Any,
    labels: Tensor | None,
    source: str | None,
    processes: bool,
) -> None:
    subject, log = steps.subject, steps.log
    # First of all: a generator under a known seed has only begun.
    begun = steps.take("noise/known-generator", subject.series)
    steps.take("noise/known-generator", lambda: _liveliest(subject))
    if not vanishing.look(subject, log, court.level):
        rough = steps.take(
            "noise/function-of-input", lambda: dependence.roughness(subject, log)
        )
        if not rough and subject.stirs:
            # Noise that hardly ever shows, so that one image does not tell.
            steps.take(
                "noise/hidden-by-rounding",
                lambda: answers.hidden(subject, log, court),
            )
        elif not rough:
            log.found(
                "noise/none",
                f"one image is answered alike in {SERIES} calls and in batches of "
                f"{', '.join(map(str, vanishing.SIZES))}",
                calls=SERIES,
            )
        _price(steps, given, labels)
        return
    generators.seeds(subject.model, log)
    if log.has("noise/repeats-every-call"):
        log.skip("noise/repeats-with-period", "each call repeats the last")
    else:
        series = begun if _moves(begun) else steps.take("answers", subject.series)
        if series is not None:
            found, seconds = series
            generators.known(begun[0] if begun else found, log, court)
            sameness.periods(found, log, court)
            answers.sums(subject, found, log)
            answers.columns(found, log, court)
            answers.times(found, seconds, log, court)
        if not log.has("noise/repeats-with-period") and subject.frozen:
            vanishing.frozen_calls(subject, log)
        elif not log.has("noise/repeats-with-period"):
            steps.take(
                "noise/repeats-every-call",
                lambda: sameness.repeats(subject, log, court),
            )
    if not log.has("noise/repeats-every-call"):
        wanted: dict[str, Callable[[], Any]] = {
            "noise/shared-in-batch": lambda: sameness.batches(subject, log, court),
            "noise/repeats-across-copies": lambda: sameness.copies(subject, log, court),
            "noise/repeats-after-seeding": lambda: sameness.seeding(
                subject, log, court
            ),
            "noise/absent-in-training": lambda: vanishing.modes(
                subject, log, court.level
            ),
            "noise/absent-at-dtype": lambda: vanishing.types(subject, log, court.level),
            "noise/absent-at-constant-images": lambda: vanishing.plain_images(
                subject, log, court.level
            ),
            "noise/hidden-by-rounding": lambda: answers.hidden(subject, log, court),
        }
        if processes:
            wanted["noise/repeats-after-restart"] = lambda: sameness.processes(
                subject, log, court, source
            )
        else:
            for rule in ("noise/repeats-across-forks", "noise/repeats-after-restart"):
                log.skip(rule, "processes=False")
        for rule, check in wanted.items():
            steps.take(rule, check)
    steps.take("averaging", lambda: cost.averaging(subject, log))
    _price(steps, given, labels)


def _price(steps: _Steps, given: Any, labels: Tensor | None) -> None:
    if labels is None:
        steps.log.skip("cost", "no labels")
        return
    steps.take("cost", lambda: cost.cost(steps.subject, labels, given, steps.log))


def _moves(series: Any) -> bool:
    return series is not None and bool((series[0] != series[0][:1]).any())


def _liveliest(subject: Subject) -> None:
    """Choose the image whose answers differ the most."""
    images = subject.images[:_SURVEYED]
    # Some models are noisy in batches alone, and some in no batch.
    calls = np.stack([subject.ask(images) for _ in range(_TIMES)])
    spread = calls.std(0).mean(1)
    subject.stirs = differ(list(calls))
    subject.labels_only = bool(((calls == 0) | (calls == 1)).all())
    for i in range(min(len(images), _ALONE)):
        alone = [subject.ask(images[i : i + 1]) for _ in range(_TIMES)]
        spread[i] = max(spread[i], np.concatenate(alone).std(0).mean())
    best = int(spread.argmax())
    subject.image = images[best : best + 1]
