"""Heavy tails: means of clipped draws, and quantiles; neither needs a variance."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from querytax import expect
from querytax.expect import DomainError
from querytax.montecarlo.estimates import quantile_ranks
from querytax.montecarlo.runs import Draws, Experiment
from querytax.montecarlo.streams import Stream
from querytax.seeds import seed_of

__all__ = ["MOST", "Quantile", "quantile", "truncated"]

# Draws that a quantile keeps at most: 8 MiB.
MOST = 1 << 20


def _draws(experiment: Experiment) -> Callable[..., Draws]:
    if experiment.values is None:
        raise DomainError(
            f"expected an experiment that shows its draws, got {experiment.name!r}"
        )
    return experiment.values


def truncated(experiment: Experiment, low: float, high: float) -> Experiment:
    """The experiment whose draws are clipped to stated bounds.

    Its interval is that of bounded draws, and holds for the clipped mean, at every
    sample size; the estimate's ``truncation`` says how many draws were clipped.

    Parameters
    ----------
    experiment : Experiment
        One that shows its draws, as those of all topics do.
    low, high : float
        Bounds, finite and chosen before the run; draws beyond count as these.

    Raises
    ------
    DomainError
        If the bounds are not finite or not in order, or draws are not shown.
    """
    draws = _draws(experiment)
    expect.that(expect.finite(high=high) > expect.finite(low=low), "> low", high=high)

    def clipped(first: int, count: int, k0: Any, k1: Any) -> Draws:
        return np.clip(draws(first, count, k0, k1), low, high)

    def block(
        first: int, count: int, centre: float, k0: Any, k1: Any
    ) -> tuple[float, float, float]:
        out = draws(first, count, k0, k1)
        beyond = np.count_nonzero((out < low) | (out > high))
        out = np.clip(out, low, high) - centre
        return float(out.sum()), float(np.square(out).sum()), float(beyond)

    bounds = {"truncated_low": float(low), "truncated_high": float(high)}
    key = experiment.key
    keyed = {str(word): x for word, x in zip(key[1::2], key[2::2], strict=True)}
    keyed |= bounds
    return replace(
        experiment,
        arguments={**experiment.arguments, **bounds},
        key=key and (key[0], *(x for pair in keyed.items() for x in pair)),
        block=block,
        low=float(low),
        high=float(high),
        event=False,
        values=clipped,
        truncated=True,
    )


@dataclass(frozen=True)
class Quantile:
    """A simulated quantile with an interval that holds whenever the run stopped.

    Attributes
    ----------
    value, low, high : float
        The draws' own quantile and order statistics around it; a bound of the draws,
        or infinity, where there are too few of them.
    share : float
        Which quantile: the least value that this share of draws do not exceed.
    samples : int
        Draws made and kept.
    alpha : float
        Probability that the interval ever misses.
    stopped : str
        ``"width"`` or ``"budget"``.
    name : str
        The experiment.
    seed : int
        The seed that repeats it.
    """

    value: float
    low: float
    high: float
    share: float
    samples: int
    alpha: float
    stopped: str
    name: str
    seed: int


def quantile(
    experiment: Experiment,
    share: float,
    *,
    rng: Any = 0,
    width: float | None = None,
    max_samples: float = MOST,
    alpha: float = 1e-6,
    threads: int | None = None,
) -> Quantile:
    """Draw until a quantile's interval is narrow, or all draws that may be kept are.

    Parameters
    ----------
    experiment : Experiment
        One that shows its draws, as those of all topics do.
    share : float
        Which quantile, in (0, 1).
    rng : int, numpy.random.Generator or None
        Seed of the run.
    width : float, optional
        Stop when high - low is at most this.
    max_samples : float
        Draws that are made and kept, at most 2²⁰ of them (8 MiB).
    alpha : float
        Probability that the interval ever misses the quantile.
    threads : int, optional
        Threads; all cores by default. They change nothing but the time.

    Raises
    ------
    DomainError
        If a number is out of its range, or draws are not shown.
    """
    draws = _draws(experiment)
    expect.probability(share=share)
    expect.probability(alpha=alpha)
    most = int(expect.integer(max_samples=max_samples))
    expect.that(most <= MOST, f"at most {MOST}", max_samples=max_samples)
    if width is not None:
        expect.positive(width=width)
    seed, size = seed_of(rng), experiment.size
    k0, k1 = (np.uint64(w) for w in Stream.of(seed, *experiment.meaning).key)
    kept, stopped = np.empty(0), ""
    count = os.cpu_count() or 1 if threads is None else expect.integer(threads=threads)
    with contextlib.ExitStack() as stack:
        pool = (
            stack.enter_context(ThreadPoolExecutor(int(count))) if count > 1 else None
        )

        def draw(first: int) -> Draws:
            return draws(first, min(size, most - first), k0, k1)

        while not stopped:
            # A quarter more each time: few looks, none of them wasted.
            blocks = 1 + kept.size // size // 4
            starts = range(kept.size, min(kept.size + blocks * size, most), size)
            parts = pool.map(draw, starts) if pool else map(draw, starts)
            # Sorted by now, but for a few at the end.
            kept = np.concatenate([kept, *parts])
            kept.sort(kind="stable")
            low, high = quantile_ranks(share, kept.size, alpha)
            below = float(kept[low - 1]) if low else experiment.low
            above = float(kept[high - 1]) if high <= kept.size else experiment.high
            if width is not None and above - below <= width:
                stopped = "width"
            elif kept.size >= most:
                stopped = "budget"
    rank = max(1, math.ceil(share * kept.size))
    return Quantile(
        float(kept[rank - 1]),
        below,
        above,
        float(share),
        kept.size,
        alpha,
        stopped,
        experiment.name,
        seed,
    )
