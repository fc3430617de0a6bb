"""What answers give away: sums, counters, rounding, one noise for all, and time."""

from __future__ import annotations

from typing import Any

import numpy as np

from querytax.audits.chances import agree, monotone_bound, share_at_least
from querytax.audits.findings import Log
from querytax.audits.sameness import Court
from querytax.audits.subject import Array, Subject, eps_of

__all__ = ["columns", "hidden", "sums", "times"]

# Shares of the noise's standard deviation that are left once the row's sum is used.
_NOTHING, _HALF = 0.1, 0.5
# Of the noise of a class, what is left in the difference of two.
_COMMON = 1e-3
# A share of images, at least, for which rounding takes the noise away.
_MOST = 0.25
_IMAGES, _TIMES = 64, 3


def sums(subject: Subject, series: Array, log: Log) -> None:
    """Whether a row's sum tells its noise, and whether rows look like probabilities."""
    told = "answers/sum-tells-noise"
    total = series.sum(1)
    probabilities = subject.answers == "probabilities" or (
        abs(total.mean() - 1) < 0.05 and bool((series.mean(0) > -0.01).all())
    )
    if not probabilities:
        for rule in (told, "answers/sum-not-one", "answers/outside-unit"):
            log.clear(rule, "answers are no probabilities")
        return
    margin = _margin(series)
    off = total - total.mean()
    if off.std() <= 8 * eps_of(series):
        for rule in (told, "answers/sum-not-one"):
            log.clear(rule, f"all {len(series)} rows have one sum, {total.mean():.4g}")
    elif len(np.unique(margin)) < len(margin) / 2:
        log.skip(told, "answers are rounded to so few numbers that none can tell")
    else:
        left = _left(margin, off)
        about = (
            f"rows sum to {total.min():.4g}..{total.max():.4g}; by the sum, the noise "
            f"of the margin falls to {100 * left:.3g} %"
        )
        facts: dict[str, Any] = {
            "n": len(series),
            "left": left,
            "sum_sd": float(total.std()),
        }
        if left < _HALF:
            log.found(told, about, None if left < _NOTHING else "weakens", **facts)
        else:
            log.clear(told, about)
            log.found("answers/sum-not-one", about, **facts)
    outside = float(((series < 0) | (series > 1)).any(1).mean())
    if outside:
        log.found(
            "answers/outside-unit",
            f"{100 * outside:.3g} % of {len(series)} rows hold numbers outside [0, 1]",
            n=len(series),
            share=outside,
        )
    else:
        log.clear("answers/outside-unit", f"{len(series)} rows lie in [0, 1]")


def columns(series: Array, log: Log, court: Court) -> None:
    """Columns that count, and noise that all columns share."""
    n = len(series)
    steps = np.diff(series, axis=0)
    for column in np.flatnonzero((steps > 0).all(0) | (steps < 0).all(0)):
        chance = min(1.0, series.shape[1] * monotone_bound(n))
        if chance > court.level:
            continue
        log.found(
            "answers/counter",
            f"column {column} goes one way in {n} answers to one image, by "
            f"{np.median(steps[:, column]):.4g} at the median",
            column=int(column),
            n=n,
            chance=chance,
        )
    log.clear("answers/counter", f"no column goes one way in {n} answers to one image")
    rule = "noise/same-for-all-classes"
    alone = series.std(0)
    # A column that counts is no class.
    live = ~((steps > 0).all(0) | (steps < 0).all(0))
    _scaled(series[:, live], log)
    if live.sum() < 2 or not alone[live].min():
        return
    classes = series[:, live]
    gaps = (classes[:, 1:] - classes[:, :1]).std(0)
    most = float((gaps / alone[live].min()).max())
    least = float(alone[live].min())
    rounding = 8 * eps_of(series) / least
    if most < _COMMON + rounding < 0.1:
        log.found(
            rule,
            f"differences of two classes have {100 * most:.2g} % of one's noise",
            n=n,
            share=most,
        )
        return
    log.clear(rule, f"differences of classes have {100 * most:.3g} % of one's noise")


def _scaled(classes: Array, log: Log) -> None:
    """Whether each row is one row times a number: scores, or log-probabilities."""
    rule = "noise/scales-all-classes"
    ways = {"scores": classes}
    if (classes > 0).all():
        logs = np.log(classes)
        ways["centred logarithms"] = logs - logs.mean(1, keepdims=True)
    left = 1.0
    for name, rows in ways.items():
        size = np.linalg.norm(rows, axis=1, keepdims=True)
        # Of two classes every row may be a multiple of (1, -1).
        if (rows.std(0) > 0).sum() < 3 or not size.all() or not size.std():
            continue
        whole = float(rows.std(0).max() / size.mean())
        if whole < 1e4 * np.finfo(np.float32).eps:
            continue
        rest = float((rows / size).std(0).max()) / whole
        left = min(left, rest)
        if rest < _COMMON:
            log.found(
                rule,
                f"{name} of all classes go up and down together: divided by their "
                f"norm, {100 * rest:.2g} % of the noise is left",
                n=len(rows),
                share=rest,
            )
            return
    log.clear(rule, f"{100 * left:.3g} % of the noise is left in normalised rows")


def hidden(subject: Subject, log: Log, court: Court) -> None:
    """The share of images that rounding answers alike."""
    rule = "noise/hidden-by-rounding"
    images = subject.images[:_IMAGES]
    alike = 0
    looked = 0
    for i in range(len(images)):
        x = images[i : i + 1].repeat(subject.size, *[1] * (images.ndim - 1))
        first = subject.ask(x)
        looked += 1
        alike += all((subject.ask(x) == first).all() for _ in range(_TIMES))
    if subject.labels_only:
        log.clear(rule, "answers are labels, which most noise leaves as they are")
        return
    least = share_at_least(alike, looked, court.level)
    log.measures["images whose noise rounding hides"] = alike / looked
    if least > _MOST:
        log.found(
            rule,
            f"{alike} of {looked} images were answered alike {_TIMES + 1} times, to "
            f"the last digit; at least {100 * least:.3g} % of all are",
            n=looked,
            alike=alike,
            share_at_least=least,
            chance=court.level,
        )
    else:
        log.clear(rule, f"{alike} of {looked} images were answered alike")


def times(series: Array, seconds: Array, log: Log, court: Court) -> None:
    """Whether an answer's time goes with the size of its noise."""
    rule = "answers/time-tells-noise"
    size = np.abs(series - np.median(series, axis=0)).mean(1)
    tau, chance = agree(size, seconds, court.rng)
    about = f"rank correlation of time and noise {tau:.2f} in {len(series)} calls"
    if chance <= court.level:
        log.found(rule, about, n=len(series), kendall_tau=tau, chance=chance)
    else:
        log.clear(rule, about)


def _margin(series: Array) -> Array:
    """The class that leads on average, less the next one."""
    first, second = np.argsort(-series.mean(0))[:2]
    return np.asarray(series[:, first] - series[:, second])


def _left(margin: Array, off: Array) -> float:
    """The share of the margin's noise that is left once the sum is known.

    By the median slope of all pairs and median deviations: a few wild answers tell
    nothing of the others.
    """
    i, j = np.triu_indices(len(off), 1)
    steps = off[i] - off[j]
    apart = np.abs(steps) > 0
    slope = float(np.median((margin[i] - margin[j])[apart] / steps[apart]))
    rest = margin - slope * off
    whole = float(np.median(np.abs(margin - np.median(margin))))
    return float(np.median(np.abs(rest - np.median(rest)))) / max(whole, 1e-30)
