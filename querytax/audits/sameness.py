"""Noise that comes back: in another call, row, copy, process, or after a seed."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from querytax.audits.chances import Likeness, likeness, period_bound
from querytax.audits.findings import Log
from querytax.audits.subject import PANEL, Array, Spent, Subject, in_training
from querytax.audits.workers import NotThere, forked, restarted

__all__ = ["batches", "copies", "periods", "processes", "repeats", "seeding"]

# Calls of a few rows, whose first and last are compared.
_PAIRS, _FEW = 96, 4


class Court:
    """The level at which every test of an audit is held, and its random ties."""

    def __init__(self, level: float, rng: np.random.Generator) -> None:
        self.level, self.rng = level, rng

    def compare(self, a: Array, b: Array) -> Likeness:
        """How alike two series of answers to one image are."""
        return likeness(a, b, self.rng)

    def guilty(self, found: Likeness) -> bool:
        """Whether chance is ruled out."""
        return found.chance <= self.level


def _judge(
    log: Log, court: Court, rule: str, what: str, a: Array, b: Array, fine: str
) -> bool:
    found = court.compare(a, b)
    if not court.guilty(found):
        log.clear(rule, f"{fine} ({found.matches} of {found.n} answers match)")
        return False
    log.found(
        rule,
        f"{what}: {found.matches} of {found.n} answers match, rank correlation "
        f"{found.tau:.2f}",
        n=found.n,
        matches=found.matches,
        kendall_tau=round(found.tau, 4),
        chance=found.chance,
    )
    return True


def periods(series: Array, log: Log, court: Court) -> bool:
    """Whether a series of answers to one image comes round."""
    rule = "noise/repeats-with-period"
    codes = np.unique(series, axis=0, return_inverse=True)[1].reshape(-1)
    n = len(codes)
    least = 1.0
    # Periods that leave some answers to compare.
    for period in range(1, n - PANEL // 2):
        if (codes[period:] != codes[:-period]).any():
            continue
        least = period_bound(codes, period)
        if least <= court.level / n:
            log.found(
                rule,
                f"{n} calls in a row with one image are answered with {period} answers "
                "that come round in the same order",
                n=n,
                period=period,
                chance=min(1.0, least * n),
            )
            return True
    log.clear(rule, f"no period up to {n - PANEL // 2 - 1} in {n} calls with one image")
    return False


def repeats(subject: Subject, log: Log, court: Court) -> bool:
    """Whether the next call draws the noise of the last one, place by place."""
    first, again = subject.panel(), subject.panel()
    return _judge(
        log,
        court,
        "noise/repeats-every-call",
        "the same call twice",
        first,
        again,
        "two calls with one image differ",
    )


def batches(subject: Subject, log: Log, court: Court) -> None:
    """Whether the rows of one batch have noise in common."""
    few = max(_FEW, subject.size if subject.size < 64 else 0)
    calls = np.stack([subject.ask(subject.repeated(few)) for _ in range(_PAIRS)])
    for last in (1, few - 1):
        found = court.compare(calls[:, 0], calls[:, last])
        if court.guilty(found):
            rule = "shared" if found.same else "correlated"
            log.found(
                f"noise/{rule}-in-batch",
                f"of {found.n} batches of {few} rows of one image, rows 1 and "
                f"{last + 1} match in {found.matches}, rank correlation "
                f"{found.tau:.2f}",
                n=found.n,
                matches=found.matches,
                kendall_tau=round(found.tau, 4),
                chance=found.chance,
            )
            return
    for rule in ("shared", "correlated"):
        log.clear(
            f"noise/{rule}-in-batch",
            f"rows 1, 2 and {few} of {_PAIRS} batches: correlation {found.tau:.2f}",
        )


def copies(subject: Subject, log: Log, court: Court) -> None:
    """Deep copies, pickles, and state dicts."""
    model = subject.model
    if not isinstance(model, nn.Module) and hasattr(model, "n_queries"):
        for rule in ("copies", "pickles", "state-dict"):
            word = "from" if rule == "state-dict" else "across"
            log.skip(f"noise/repeats-{word}-{rule}", "reached by calls: none to be had")
        return
    rule = "noise/repeats-across-copies"
    try:
        twins = [subject.copied(subject.train) for _ in range(2)]
    except Exception as error:
        log.skip(rule, f"no deep copy: {_of(error)}")
    else:
        a, b = (subject.panel(twin) for twin in twins)
        same = _judge(
            log, court, rule, "two deep copies", a, b, "two deep copies differ"
        )
        if not same:
            own = subject.panel(subject.copied(subject.train)), subject.panel()
            _judge(log, court, rule, "a deep copy and its model", *own, "copies differ")
    rule = "noise/repeats-across-pickles"
    try:
        # Our own, made here.
        held = pickle.dumps(model)
        twins = [pickle.loads(held) for _ in range(2)]
    except Exception as error:
        log.skip(rule, f"no pickle: {_of(error)}")
    else:
        for twin in twins:
            if subject.train:
                in_training(twin)
        a, b = (subject.panel(twin) for twin in twins)
        _judge(log, court, rule, "one pickle loaded twice", a, b, "two loads differ")
    _state(subject, log, court)


def _state(subject: Subject, log: Log, court: Court) -> None:
    rule = "noise/repeats-from-state-dict"
    if not isinstance(subject.model, nn.Module):
        log.skip(rule, "no module: it has no state dict")
        return
    try:
        twin = subject.copied(subject.train)
        held = {
            name: part.clone() if isinstance(part, torch.Tensor) else part
            for name, part in twin.state_dict().items()
        }
        a = subject.panel(twin)
        twin.load_state_dict(held)
    except Spent:
        raise
    except Exception as error:
        log.skip(rule, f"no state dict to load: {_of(error)}")
        return
    b = subject.panel(twin)
    _judge(
        log, court, rule, "a state dict loaded again", a, b, "noise is fresh after it"
    )


def processes(
    subject: Subject, log: Log, court: Court, source: str | None = None
) -> None:
    """Forked workers, and processes that are started anew."""
    ways: dict[str, tuple[str, Callable[[], Array], str]] = {
        "noise/repeats-across-forks": (
            "two forked workers",
            lambda: forked(subject, PANEL),
            "two forked workers differ",
        ),
        "noise/repeats-after-restart": (
            "two processes started anew",
            lambda: restarted(subject, PANEL, source),
            "two processes started anew differ",
        ),
    }
    for rule, (what, answered, fine) in ways.items():
        try:
            subject.budget.take(2 * PANEL)
            a, b = answered(), answered()
        except NotThere as error:
            log.skip(rule, str(error))
            continue
        _judge(log, court, rule, what, a, b, fine)


@contextmanager
def global_states() -> Iterator[None]:
    """Global random states are as they were, afterwards."""
    states = np.random.get_state(), random.getstate()  # noqa: NPY002
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(list(devices)):
        try:
            yield
        finally:
            np.random.set_state(states[0])  # noqa: NPY002
            random.setstate(states[1])


SEEDERS: dict[str, Callable[[int], object]] = {
    "torch.manual_seed": torch.manual_seed,
    "np.random.seed": np.random.seed,
    "random.seed": random.seed,
}


def seeding(subject: Subject, log: Log, court: Court) -> None:
    """Global seeds, which attack libraries set."""
    rule = "noise/repeats-after-seeding"
    for name, seed in SEEDERS.items():
        with global_states():
            seed(0)
            a = subject.panel()
            seed(0)
            b = subject.panel()
        same = _judge(
            log,
            court,
            rule,
            f"{name}(0) before each of two calls",
            a,
            b,
            "fresh after " + ", ".join(SEEDERS),
        )
        if same:
            return


def _of(error: Exception) -> str:
    line = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {line[:80]}"
