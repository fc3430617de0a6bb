"""Noise that follows from the image: hashes, rounded ones, and answers from memory."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from querytax.audits.findings import Log
from querytax.audits.subject import Array, Subject, differ, eps_of

__all__ = ["memory", "roughness"]

# Places along a line, and how far it reaches to either side.
_PLACES, _SCALES = 33, (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
# Images whose lines must all say so.
_IMAGES = 4
# A function that goes continuously is smoother by ten at a tenth of the way. What is
# left of a cubic stays as large where every place has a draw of its own.
_STAYS = 0.4
# Of a line along one pixel, of one along all: rounding images moves answers as far as
# the pixels go, a hash moves them as far for one pixel as for all.
_ONE_FOR_ALL = 0.4
# Lines of this length tell rounded answers, whose jumps are multiples of one step.
_GRID = 1e-3
# Times the rounding of an answer.
_ABOVE = 50


def roughness(subject: Subject, log: Log) -> bool:
    """Whether a model that answers alike is no continuous function; which, if so.

    Along short lines through an image, what a cubic leaves is measured at six scales,
    with all pixels moved and with one. Networks and rounded images pass.
    """
    rules = "noise/function-of-input", "noise/function-of-rounded-input"
    pixels = subject.image.numel()
    if pixels < 9:
        for rule in rules:
            log.skip(rule, f"images of {pixels} numbers are too few")
        return False
    generator = torch.Generator().manual_seed(0)
    rough: list[set[float]] = []
    sizes: dict[float, float] = {}
    for image in subject.images[:_IMAGES]:
        along_all, along_one, floor = _left(subject, image[None], generator)
        found = set()
        for near, far in itertools.pairwise(_SCALES):
            stays = (
                along_one[near] > _STAYS * along_one[far] and along_one[near] > floor
            )
            if stays and along_one[near] > _ONE_FOR_ALL * along_all[near]:
                found.add(near)
                sizes[near] = max(sizes.get(near, 0.0), along_one[near])
        rough.append(found)
    common = set.intersection(*rough)
    n = len(rough) * _PLACES
    if not common:
        for rule in rules:
            log.clear(
                rule,
                f"along lines of {_SCALES[0]:g} to {_SCALES[-1]:g} through "
                f"{len(rough)} images the answers go continuously",
            )
        return False
    near = min(common)
    if near > _SCALES[1]:
        log.found(
            rules[1],
            f"answers jump by {sizes[near]:.2g} within {near:g} of an image, as far "
            "for one pixel as for all, and stand still in between",
            n=n,
            jump=sizes[near],
            within=near,
        )
        return True
    rule = "noise/cached" if memory(subject) else rules[0]
    also = "; a copy draws others" if rule == "noise/cached" else ""
    log.found(
        rule,
        f"one image is always answered alike; within {near:g} of it answers jump by "
        f"{sizes[near]:.2g}{also}",
        n=n,
        jump=sizes[near],
        within=near,
    )
    return True


def memory(subject: Subject) -> bool:
    """Whether two copies answer an image that neither has seen in two ways."""
    image = (0.25 + 0.5 * subject.image).clamp(0, 1)
    try:
        twins: list[Any] = [subject.copied(subject.train) for _ in range(2)]
    except Exception:
        return False
    return differ([subject.ask(image, twin) for twin in twins])


def _left(
    subject: Subject, image: Tensor, generator: torch.Generator
) -> tuple[dict[float, float], dict[float, float], float]:
    """What a cubic leaves, by scale: of all pixels, of one; and the least to heed."""
    x = 0.2 + 0.6 * image
    signs = torch.randint(0, 2, x.shape, generator=generator).to(x) * 2 - 1
    one = torch.zeros_like(x).view(1, -1)
    one[0, int(torch.randint(x.numel(), (), generator=generator))] = 1.0
    places = torch.linspace(-1, 1, _PLACES).to(x)
    places += 0.3 / _PLACES * (torch.rand(_PLACES, generator=generator).to(x) - 0.5)
    found: list[dict[float, float]] = []
    floor = 0.0
    for way in (signs, one.view(x.shape)):
        by_scale = {}
        for scale in _SCALES:
            shape = (-1, *[1] * (x.ndim - 1))
            line = (x + scale * places.view(shape) * way).clamp(0, 1)
            answers = _by_batches(subject, line)
            if scale >= _GRID and _on_a_grid(answers, _ABOVE * eps_of(answers)):
                # Rounded answers jump as well, by one step or a few.
                return dict.fromkeys(_SCALES, 0.0), dict.fromkeys(_SCALES, 0.0), 1.0
            by_scale[scale] = _of_cubic(places.double().cpu().numpy(), answers)
            floor = max(floor, _ABOVE * eps_of(answers))
        found.append(by_scale)
    return found[0], found[1], floor


def _by_batches(subject: Subject, x: Tensor) -> Array:
    return np.concatenate([subject.ask(part) for part in x.split(_PLACES)])


def _on_a_grid(answers: Array, least: float) -> bool:
    """Whether all answers of a class differ by multiples of one step."""
    gaps = np.concatenate([np.diff(np.unique(column)) for column in answers.T])
    gaps = gaps[gaps > 0]
    if len(gaps) < 8 or gaps.min() < least:
        return False
    steps = gaps / np.median(gaps[gaps < 1.5 * gaps.min()])
    return bool((np.abs(steps - steps.round()) < 0.05 * np.sqrt(steps)).all())


def _of_cubic(places: Array, answers: Array) -> float:
    basis = np.vander(places, 4)
    fitted = basis @ np.linalg.lstsq(basis, answers, rcond=None)[0]
    return float(np.sqrt(((answers - fitted) ** 2).mean()))
