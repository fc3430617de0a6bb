"""Run an experiment until it knows enough; save it, resume it, merge it.

An experiment is a description: what is drawn, and what one draw gives. A run draws
its blocks in order of their number. Which thread draws a block, and how many there
are, changes nothing: blocks are keyed by their number and added up in order.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from querytax import __version__, expect, interrupts
from querytax.expect import DomainError
from querytax.files import read_json, writable, write_json
from querytax.montecarlo.estimates import Moments, mean_interval, probability_interval
from querytax.montecarlo.streams import Stream
from querytax.progress import progress
from querytax.seeds import seed_of

__all__ = ["Estimate", "Experiment", "Run", "Truncation", "compiled", "estimate"]

Draws = npt.NDArray[np.float64]
BLOCK = 1 << 16
_SCHEMA = 1


@dataclass(frozen=True)
class Experiment:
    """What is simulated: a quantity defined by its draws, and nothing of its law.

    Attributes
    ----------
    name : str
        Topic and function, as in the theory: ``"misstep.random_direction"``.
    arguments : mapping of str to float or str
        What the function was given.
    block : callable
        ``block(first, count, centre, k0, k1)`` draws the samples ``first`` to
        ``first + count - 1`` and returns, of their values x, the sums Σ(x - centre)
        and Σ(x - centre)²; of clipped draws also how many they were.
    low, high : float
        Bounds of one draw; 0 and 1 for an event.
    event : bool
        Whether a draw is 0 or 1.
    cost : float
        Draws are made in blocks of ``65536/cost``; 1 for two normals a draw.
    values : callable, optional
        ``values(first, count, k0, k1)`` returns the same draws one by one, which
        :mod:`querytax.montecarlo.tails` needs.
    truncated : bool
        Whether draws beyond the bounds count as these.
    key : tuple of str or float
        What its stream is keyed by, where that is not its name and its arguments.
    """

    name: str
    arguments: Mapping[str, float | str]
    block: Callable[[int, int, float, np.uint64, np.uint64], tuple[float, ...]]
    low: float = 0.0
    high: float = 1.0
    event: bool = True
    cost: float = 1.0
    values: Callable[[int, int, np.uint64, np.uint64], Draws] | None = None
    truncated: bool = False
    key: tuple[str | float, ...] = ()

    @property
    def size(self) -> int:
        """Draws in a block."""
        return max(64, int(BLOCK / self.cost))

    @property
    def meaning(self) -> tuple[str | float, ...]:
        """What its stream is keyed by."""
        pairs = (x for pair in self.arguments.items() for x in pair)
        return self.key or (self.name, *pairs)


@dataclass(frozen=True)
class Truncation:
    """What was cut off a heavy tail, so that a mean of clipped draws can be judged.

    Attributes
    ----------
    low, high : float
        Bounds; draws beyond count as these.
    share, share_low, share_high : float
        Share of the draws that were beyond, and its interval: like the mean's, it
        ever misses with probability alpha.
    """

    low: float
    high: float
    share: float
    share_low: float
    share_high: float


@dataclass(frozen=True)
class Estimate:
    """A simulated value with an interval that holds whenever the run stopped.

    Attributes
    ----------
    value, low, high : float
        Mean of the draws and its interval.
    samples : int
        Draws made.
    alpha : float
        Probability that the interval ever misses.
    stopped : str
        ``"width"``, ``"verdict"``, ``"budget"`` or ``"interrupted"``.
    asymptotic : bool
        Whether the interval rests on the central limit theorem: unbounded draws.
    name : str
        The experiment.
    seed : int
        The seed that repeats it.
    moments : Moments
        Sums behind it, for later runs to build on.
    truncation : Truncation or None
        For a mean of clipped draws: its interval is that of this mean alone.
    """

    value: float
    low: float
    high: float
    samples: int
    alpha: float
    stopped: str
    asymptotic: bool
    name: str
    seed: int
    moments: Moments
    truncation: Truncation | None = None

    def excludes(self, value: float, margin: float = 0.0) -> bool:
        """Whether everything within ``margin`` of ``value`` lies outside."""
        return self.low > value + margin or self.high < value - margin

    def within(self, value: float, margin: float) -> bool:
        """Whether the whole interval lies within ``margin`` of ``value``."""
        return value - margin <= self.low and self.high <= value + margin


@dataclass(frozen=True)
class Run:
    """The state of an experiment after so many whole blocks.

    Attributes
    ----------
    experiment : Experiment
    seed : int
    blocks : int
        Blocks drawn, from number 0 on.
    moments : Moments
        Their sums.
    before : Moments
        Sums of earlier runs with other seeds, which count too.
    """

    experiment: Experiment
    seed: int
    blocks: int = 0
    moments: Moments = field(default_factory=Moments)
    before: Moments = field(default_factory=Moments)

    @property
    def all(self) -> Moments:
        """This run and those before it."""
        return self.before.plus(self.moments) if self.before.count else self.moments

    def interval(self, alpha: float) -> tuple[float, float]:
        """The interval at this point of the run."""
        e, m = self.experiment, self.all
        if e.event:
            return probability_interval(round(m.total), m.count, alpha)
        return mean_interval(m, e.low, e.high, alpha)

    def truncation(self, alpha: float) -> Truncation | None:
        """What was clipped so far; None where nothing ever is."""
        e, m = self.experiment, self.all
        if not e.truncated:
            return None
        share = m.clipped / m.count if m.count else 0.0
        bounds = probability_interval(m.clipped, m.count, alpha)
        return Truncation(e.low, e.high, share, *bounds)

    def advance(self, blocks: int, pool: ThreadPoolExecutor | None = None) -> Run:
        """Draw the next blocks; the same numbers with any pool, in any portions.

        The first block of a quantity that is no event sets the centre, and counts
        for nothing else.
        """
        e, moments, first = self.experiment, self.moments, self.blocks
        k0, k1 = (np.uint64(w) for w in Stream.of(self.seed, *e.meaning).key)

        def draw(number: int) -> tuple[float, ...]:
            return e.block(number * e.size, e.size, moments.centre, k0, k1)

        if first == 0 and self.before.count:
            moments = Moments(centre=self.before.centre)
        elif first == 0 and not e.event:
            moments = Moments(centre=draw(0)[0] / e.size)
            first = 1
        numbers = range(first, self.blocks + blocks)
        for sums in pool.map(draw, numbers) if pool else map(draw, numbers):
            moments = moments.after(e.size, *sums)
        return replace(self, blocks=self.blocks + blocks, moments=moments)

    # -- files --------------------------------------------------------------------

    def _label(self) -> dict[str, Any]:
        e = self.experiment
        return {
            "schema": _SCHEMA,
            "version": __version__,
            "experiment": e.name,
            "arguments": dict(e.arguments),
            "seed": self.seed,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state; a reader sees the old file or the new one, whole."""
        state = {**self._label(), "blocks": self.blocks, **asdict(self.moments)}
        write_json(path, state)

    def resumed(self, path: str | os.PathLike[str]) -> Run:
        """The saved state of this same run.

        Raises
        ------
        DomainError
            If the file is damaged, or of another run, version or seed; it is left
            alone.
        """
        name = os.fspath(path)
        state = read_json(path, "a saved run")
        try:
            moments = Moments(
                int(state["count"]),
                float(state["total"]),
                float(state["spread"]),
                float(state["centre"]),
                int(state.get("clipped", 0)),
            )
            blocks = int(state["blocks"])
            sound = blocks >= 0 and moments.sound
        except (ValueError, KeyError, TypeError, OverflowError):
            sound = False
        if not sound:
            raise DomainError(f"expected a saved run, got {name!r}: something else")
        for key, mine in self._label().items():
            if state.get(key) != mine:
                raise DomainError(
                    f"expected a run with {key} {mine!r}, got {state.get(key)!r} in "
                    f"{name!r}"
                )
        return replace(self, blocks=blocks, moments=moments)


def compiled(experiment: Experiment) -> float:
    """Seconds until the experiment's kernel was ready: its first call compiles."""
    start = time.perf_counter()
    experiment.block(0, 1, 0.0, np.uint64(0), np.uint64(0))
    return time.perf_counter() - start


@contextlib.contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor | None]:
    if threads == 1:
        yield None
        return
    with ThreadPoolExecutor(threads) as pool:
        yield pool


def estimate(
    experiment: Experiment,
    *,
    rng: Any = 0,
    width: float | None = None,
    relative: float | None = None,
    verdict: Callable[[float, float], bool] | None = None,
    max_samples: float = 1e8,
    budget_seconds: float | None = None,
    alpha: float = 1e-6,
    threads: int | None = None,
    resume: str | os.PathLike[str] | None = None,
    before: Moments | None = None,
    verbose: bool = False,
) -> Estimate:
    """Run an experiment until its interval is narrow, decided, or the budget is spent.

    Parameters
    ----------
    experiment : Experiment
    rng : int, numpy.random.Generator or None
        Seed of the run.
    width : float, optional
        Stop when high - low is at most this.
    relative : float, optional
        Stop when high - low is at most this share of the estimate.
    verdict : callable, optional
        Stop when ``verdict(low, high)`` is true.
    max_samples : float
        Stop after this many draws, rounded up to whole blocks.
    budget_seconds : float, optional
        Stop after this time. The result then depends on the machine's speed.
    alpha : float
        Probability that the interval ever misses the truth.
    threads : int, optional
        Threads; all cores by default. They change nothing but the time.
    resume : path, optional
        Go on from this file if it is there, and keep the state in it. Ctrl-C saves.
    before : Moments, optional
        Sums of earlier runs with other seeds: the interval rests on them too.
    verbose : bool
        A progress bar on a terminal.

    Returns
    -------
    Estimate

    Raises
    ------
    DomainError
        If a number is out of its range, or the file is not of this run.
    """
    expect.probability(alpha=alpha)
    expect.positive(max_samples=max_samples)
    for name, value in (("width", width), ("relative", relative)):
        if value is not None:
            expect.positive(**{name: value})
    if budget_seconds is not None:
        expect.positive(budget_seconds=budget_seconds)
    count = os.cpu_count() or 1 if threads is None else expect.integer(threads=threads)
    run = Run(experiment, seed_of(rng), before=before or Moments())
    if resume is not None:
        writable(resume)
        if Path(resume).exists():
            run = run.resumed(resume)
    # In this thread, which hears an interrupt: one that waits for others does not.
    compiled(experiment)
    start, stopped = time.monotonic(), ""
    low, high = run.interval(alpha)
    with progress(verbose) as bars, _pool(int(count)) as pool:
        bar = bars.add(experiment.name, max_samples)
        try:
            while True:
                low, high = run.interval(alpha)
                bars.update(bar, run.all.count)
                gap, samples = high - low, run.all.count
                narrow = width is not None and gap <= width
                sharp = relative is not None and gap <= relative * abs(run.all.mean)
                late = time.monotonic() - start
                if samples and (narrow or sharp):
                    stopped = "width"
                elif samples and verdict is not None and verdict(low, high):
                    stopped = "verdict"
                elif samples >= max_samples or (
                    budget_seconds is not None and late >= budget_seconds
                ):
                    stopped = "budget"
                if stopped:
                    break
                # A quarter more each time: few looks, none of them wasted.
                left = math.ceil((max_samples - samples) / experiment.size)
                run = run.advance(min(left, 1 + run.blocks // 4), pool)
                if resume is not None:
                    run.save(resume)
        except KeyboardInterrupt:
            # What has been drawn is still written.
            interrupts.answered()
            stopped = "interrupted"
            low, high = run.interval(alpha)
    if resume is not None:
        run.save(resume)
    return Estimate(
        run.all.mean,
        low,
        high,
        run.all.count,
        alpha,
        stopped,
        not experiment.event and math.isinf(experiment.high - experiment.low),
        experiment.name,
        run.seed,
        run.all,
        run.truncation(alpha),
    )
