"""Recommendations that rest on trials, made by hand."""

import dataclasses
import math

import numpy as np
from synthetic_statistics import synthetic

from querytax.counts import QueryCount
from querytax.evidence import Contender, Trial, Tried
from querytax.recommend import recommend_sigma
from querytax.recommend.race import Standing
from querytax.recommend.recommendation import Level

LOSS = (0.0, 0.0, 0.0, 0.005, 0.5, 0.6)
TARGET, PROTECT = 400, 0.8


def standing(attack, counts, images=60, n_queries=TARGET, **changes):
    """An attack that takes the first images after so many queries."""
    queries = np.array([*counts, *[math.inf] * (images - len(counts))])
    found = QueryCount(np.minimum(queries, n_queries), queries <= n_queries)
    contender = Contender(attack, "adaptive", tuple(changes.items()))
    trial = Trial(
        contender,
        0.1,
        "Linf",
        "scores",
        "output",
        0.0,
        "calibration",
        images,
        n_queries,
    )
    return Standing.of(Tried(trial, found, found, found.queries), 1.0 - PROTECT)


def ramp(n, start, step):
    return [float(start + step * i) for i in range(n)]


def at_level(sigma, easy):
    """Six attacks, the best first; the smaller ``easy``, the more images they take."""
    n = max(1, round(50 / easy))
    return (
        standing("signhunter" if sigma else "square", ramp(n, 3 * easy, 5)),
        standing("square", ramp(n - 1, 4 * easy, 5), p=0.3),
        standing("square", ramp(max(n - 2, 0), 4 * easy, 5), p=0.05),
        standing("nes", ramp(max(n - 3, 0), 6 * easy, 5)),
        standing("rays", ramp(max(n - 4, 0), 6 * easy, 5)),
        standing("simba", ramp(max(n - 5, 0), 6 * easy, 5)),
        standing("eco", ramp(max(n - 6, 0), 6 * easy, 5)),
        standing("spsa", ramp(max(n - 7, 0), 6 * easy, 5)),
        standing("patterns", [7.0] if easy < 9 else [], images=8, n_queries=50),
    )


def level(sigma, easy, verdict):
    return Level(sigma, at_level(sigma, easy), (0.0, 0.001, 0.002), verdict)


def tried(status="FEASIBLE", **changes):
    """A recommendation of 0.1, and what was tried on the way there."""
    laws = recommend_sigma(synthetic(loss=LOSS), TARGET, protect=PROTECT)
    levels = (
        level(0.0, 1, "falls"),
        level(0.02, 2, "falls"),
        level(0.05, 4, "open"),
        level(0.1, 10, "holds"),
    )
    made = {
        "status": status,
        "sigma": 0.1,
        "sigma_for_queries": 0.1,
        "sigma_for_accuracy": 0.11,
        "binding": "target_queries",
        "evidence": "certified",
        "levels": levels,
        "standings": at_level(0.1, 10),
        "considered": ("signhunter", "square", "nes", "patterns"),
        "certified_to": TARGET,
        **changes,
    }
    return dataclasses.replace(laws, **made)
