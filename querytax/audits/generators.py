"""Generators whose noise can be computed: known ones, small seeds, congruences."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from querytax.audits.findings import Log
from querytax.audits.sameness import Court
from querytax.audits.subject import Array
from querytax.models import inside

__all__ = ["known", "seeds"]

# Seeds that people write, and the seconds before now in which a server may have begun.
_WRITTEN, _RECENT = 1001, 600
# What torch.Generator() begins with where nobody seeds it.
_UNSEEDED = 67280421310721
# Draws that are compared, from each start.
_DRAWS = 1024
# How far a stream is followed, of which some may have been asked before.
_LONG = 3
# Rows that `as_model` asks about before all else.
_LOOKED = 2
# Linear congruences x -> (a x + c) mod m of small multipliers, which answers are exact
# enough for, and those of which all seeds are one orbit.
_MULTIPLIERS = (75, 137, 1277, 3141, 4096, 8121, 16807, 25173, 48271, 65539, 69069)
_ORBITS = ((75, 74, 65537), (25173, 13849, 65536), (8121, 28411, 134456))
_REACH = 0.25
# The range of noise over its standard deviation: 3.46 of uniform noise.
_LIMIT = 3.8


def seeds(model: Any, log: Log) -> None:
    """Generators that the model holds, and what they were seeded with."""
    rule = "noise/guessable-seed"
    now = int(time.time())
    looked = 0
    for name, generator in _held(inside(model)):
        looked += 1
        seed = _seed(generator)
        if seed is None:
            continue
        recent = now - 10 * 365 * 86400 < seed <= now
        if 0 <= seed < _WRITTEN or recent or seed == _UNSEEDED:
            log.found(rule, f"{name} was seeded with {seed}", name=name, seed=seed)
            return
    log.clear(
        rule, f"{looked} generators in the model, none with a seed below {_WRITTEN}"
    )


def _held(model: Any) -> Iterator[tuple[str, Any]]:
    """Generators among the attributes of a model's parts, and in a function's cells."""
    parts = model.named_modules() if isinstance(model, nn.Module) else [("", model)]
    for name, part in parts:
        for key, value in list(getattr(part, "__dict__", {}).items()):
            if _is_generator(value):
                yield f"{name}.{key}".lstrip("."), value
        for cell in getattr(part, "__closure__", None) or ():
            try:
                value = cell.cell_contents
            except ValueError:
                continue
            if _is_generator(value):
                yield (
                    f"a variable of {getattr(part, '__name__', 'the function')}",
                    value,
                )


def _is_generator(value: Any) -> bool:
    kinds = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
    return isinstance(value, kinds)


def _seed(generator: Any) -> int | None:
    """What it was seeded with, where it tells."""
    if isinstance(generator, torch.Generator):
        return int(generator.initial_seed())
    sequence = getattr(getattr(generator, "bit_generator", None), "seed_seq", None)
    entropy = getattr(sequence, "entropy", None)
    return entropy if isinstance(entropy, int) else None


def known(series: Array, log: Log, court: Court) -> None:
    """Whether the noise of the first answers is that of a known generator.

    It finds what is drawn for the answer itself, number by number and query by query,
    from the first query on.
    """
    rule = "noise/known-generator"
    noise = series - series.mean(0)
    spread = noise.std(0)
    if not (spread > 0).all():
        log.skip(rule, "some class has no noise")
        return
    noise = (noise / spread).ravel()[:_DRAWS]
    noise /= math.sqrt(float(noise @ noise))
    now = int(time.time())
    tried = [_UNSEEDED, *range(_WRITTEN), *range(now, now - _RECENT, -1)]
    places, best, which = 0, 0.0, ""
    for name, draws in _draws(tried, len(noise), series.shape[1]):
        # Its correlation with normal draws that it does not know is one, too.
        scores = np.abs(_slid(draws, noise))
        places += scores.size
        at = int(scores.max(1).argmax())
        if scores[at].max() > best:
            best = float(scores[at].max())
            which = f"{name} under seed {tried[at]}"
    chance = places * math.erfc(best / math.sqrt(2))
    score, orbit, more = _orbits(noise)
    # Hoeffding's bound: these draws are uniform on +-sqrt(3).
    if (bound := 2 * more * math.exp(-(score**2) / 6)) < chance:
        chance, best, which = bound, score, orbit
    places += more
    chance = min(1.0, 2 * chance)
    if chance <= court.level:
        log.found(
            rule,
            f"{which} draws it: {best:.0f} standard errors from chance in {len(noise)} "
            "numbers",
            n=len(noise),
            z=best,
            tried=places,
            chance=chance,
        )
    else:
        log.clear(rule, f"none of {places:,} generators, seeds and places")
    _congruence(series, log, court)


def _draws(tried: list[int], n: int, width: int) -> Iterator[tuple[str, Array]]:
    """Draws under all seeds, ``(seeds, n or more)``, of each generator."""
    calls = -(-n // width)
    generator = torch.Generator()

    def by_torch(seed: int, before: int = 0) -> Array:
        # Call by call: torch draws few numbers otherwise than many.
        generator.manual_seed(seed)
        if before:
            torch.randn(before, width, generator=generator)
        parts = [torch.randn(1, width, generator=generator) for _ in range(calls)]
        return np.asarray(torch.cat(parts).double().numpy().ravel()[:n])

    ways: dict[str, Callable[[int], Array]] = {
        "torch.randn": by_torch,
        # A model that was looked at once, as `as_model` does.
        "torch.randn (looked at before)": lambda seed: by_torch(seed, _LOOKED),
        "numpy.random.default_rng": lambda seed: np.random.default_rng(
            seed
        ).standard_normal(_LONG * n),
        "numpy.random.seed": lambda seed: np.random.RandomState(seed % 2**32).randn(
            _LONG * n
        ),
        "random.gauss": lambda seed: _gauss(seed, n),
    }
    for name, draw in ways.items():
        yield name, np.stack([draw(seed) for seed in tried])


def _slid(draws: Array, noise: Array) -> Array:
    """Products of noise with draws from each place on, ``(seeds, places)``."""
    extra = draws.shape[1] - len(noise)
    if not extra:
        return np.asarray(draws @ noise)[:, None]
    size = 1 << (draws.shape[1] - 1).bit_length()
    turned = np.conj(np.fft.rfft(noise, size))
    products = np.fft.irfft(np.fft.rfft(draws, size) * turned, size)
    return np.asarray(products[:, : extra + 1])


def _gauss(seed: int, n: int) -> Array:
    draw = random.Random(seed).gauss
    # A quarter of the numbers tells as well, and Python draws slowly. As the noise's
    # numbers are of one spread, half of its norm is in there.
    few = min(n, 256)
    found = np.zeros(n)
    found[:few] = [draw(0.0, 1.0) for _ in range(few)]
    return found * math.sqrt(n / few)


def _orbits(noise: Array) -> tuple[float, str, int]:
    """The best place in the orbits of small linear congruences."""
    best, which, tried = 0.0, "", 0
    for a, c, m in _ORBITS:
        states = np.empty(m + len(noise), dtype=np.int64)
        x = 1
        for i in range(len(states)):
            states[i] = x
            x = (a * x + c) % m
        draws = (states / m - 0.5) * math.sqrt(12)
        size = 1 << (len(draws) + len(noise)).bit_length()
        product = np.fft.irfft(
            np.fft.rfft(draws, size) * np.conj(np.fft.rfft(noise, size)), size
        )[:m]
        tried += m
        score = float(np.abs(product).max())
        if score > best:
            best, which = score, f"x -> ({a} x + {c}) mod {m}"
    return best, which, tried


def _congruence(series: Array, log: Log, court: Court) -> None:
    """Whether a number's noise is a multiple of the last one's, modulo the range.

    With uniform noise of width w, ``(a y[c] - y[c+1]) / w`` has one phase in all rows,
    whatever is under the noise; else its phases are spread evenly.
    """
    rule = "noise/linear-congruence"
    noise = series - series.mean(0)
    spread = noise.std(0)
    if series.shape[1] < 2 or not (spread > 0).all():
        log.skip(rule, "one noisy column at least is wanted beside another")
        return
    reach = (noise.max(0) - noise.min(0)) / spread
    if float(np.median(reach)) > _LIMIT:
        log.clear(rule, "noise is not uniform")
        return
    n, best, which, tried = len(series), 0.0, 0, 0
    width = float(spread.mean()) * math.sqrt(12)
    for a in _MULTIPLIERS:
        # Widths so close that the phase turns by no more than a quarter in between.
        count = math.ceil(0.2 * a / _REACH)
        widths = width * np.linspace(0.9, 1.1, count + 1)
        tried += len(widths)
        combined = a * noise[:, 0] - noise[:, 1]
        for part in np.array_split(widths, max(1, len(widths) // 4096)):
            phase = np.exp(2j * np.pi * combined[:, None] / part[None])
            score = float(np.abs(phase.mean(0)).max())
            if score > best:
                best, which = score, a
    # Hoeffding's bound for the real and the imaginary part.
    chance = min(1.0, tried * 4 * math.exp(-n * best * best / 4))
    if chance <= court.level:
        log.found(
            rule,
            f"each number's noise is {which} times the last one's, modulo its range: "
            f"{n} answers have one phase, to {best:.2f}",
            n=n,
            multiplier=which,
            resultant=best,
            chance=chance,
        )
    else:
        log.clear(rule, f"no multiplier of {len(_MULTIPLIERS)} in {n} answers")
