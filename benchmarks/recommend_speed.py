"""CPU seconds from a saved file of probed images to a recommendation by laws.

Run with ``python benchmarks/recommend_speed.py [IMAGES ...]``. The statistics are made
up, with a spread over images and probe sizes like a network's: speed depends on their
shape alone. Each attacker is asked at a target between the levels, which is the costly
question: all probed levels are evaluated, and the bracket is bisected.

The floor is what is left after pruning: of ``best``, the stationary laws of searches
(:mod:`querytax.theory.search`), one linear system or chain a place, stage, image, kind
of move and level; of ``nes``, seven walks a level and reading. Beyond 128 probed images
only loading grows.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import querytax as qt
from querytax.statistics import ModelStatistics, SiteStatistics

COUNTS = (100, 1000, 10_000)
CLASSES, DIMENSION, STAGES, PATTERNS, MOVES = 10, 3072, 4, 256, 48
BETAS = np.array([1e-4, 1e-3, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4])
SIGMAS = np.array([0.0, 1e-4, 1e-3, 0.01, 0.03, 0.1, 0.2, 0.4, 0.8])
KINDS = ("square", "coarse", "pixel")
SITE = "output:probabilities:reflect"
TARGETS = {"published": 30_000, "nes": 30_000, "square": 3000, "best": 1000}
ATTACKERS = {
    "published": "NES as published",
    "nes": "NES with its choices",
    "square": "Square with its choices",
    "best": "all that laws predict",
}
# Seconds for 1,000 probed images, loading included.
LIMIT = 1.0


def made_up(rng: np.random.Generator, images: int) -> ModelStatistics:
    """A model whose slope varies over images and saturates for wide probes."""
    shape = (2, len(SIGMAS), len(BETAS), 2, STAGES, images)
    slope = rng.lognormal(0.0, 1.0, images)
    beta = BETAS[:, None, None, None]
    signal = (2 * beta * slope) ** 2 / (1.0 + (beta / 0.1) ** 2)
    signal = signal * rng.lognormal(0.0, 0.3, shape)
    noise = 2.0 * np.square(SIGMAS)[:, None, None, None, None] * np.ones(shape)
    alignment = np.broadcast_to(1.0 / (1.0 + beta / 0.2), shape).copy()
    flips = np.minimum(1.0, np.outer(SIGMAS, rng.random(images)))
    site = SiteStatistics(
        sigmas=SIGMAS,
        signal=signal,
        signal_error=0.1 * signal,
        noise=noise,
        alignment=alignment,
        flips=flips,
        correct=1.0 - 0.1 * flips,
        loss_noise=np.sqrt(noise[:, :, 0, 0, 0]),
        gradient_norm=slope,
        n_draws=16,
    )
    path = rng.uniform(0.05, 0.9, images)
    logits = rng.normal(size=(images, CLASSES))
    moves = rng.normal(-0.02, 0.1, (len(KINDS), 2, STAGES, images, MOVES))
    gaps = rng.uniform(0.2, 1.0, images)
    profile = np.sort(np.abs(rng.normal(size=(images, 33))), axis=1)
    # So few that guessing alone does not decide the question.
    outcomes = rng.random((images, PATTERNS)) < 1e-4
    return ModelStatistics(
        sites={SITE: site},
        betas=BETAS,
        probed=np.arange(images),
        path_length=path,
        wander_length=path * rng.uniform(0.5, 1.0, images),
        stages=(np.arange(STAGES) + 0.5) / STAGES,
        stage_weights=np.full(STAGES, 1.0 / STAGES),
        logits=logits,
        labels=logits.argmax(1),
        gradient_norm=slope,
        dimension=DIMENSION,
        shape=(3, 32, 32),
        eps=8 / 255,
        norm="Linf",
        targeted=False,
        sign_gain=rng.uniform(1.0, 1.5, images),
        blind_hits=outcomes.sum(1),
        blind_tried=PATTERNS,
        blind_outcomes=outcomes,
        proposals=moves.astype(np.float32),
        probability_proposals=moves.astype(np.float32),
        proposal_kinds=KINDS,
        gaps=gaps,
        probability_gaps=gaps,
        gradient_profile=slope[:, None] * profile,
    )


def seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    """CPU time of a call, and what it answers."""
    start = time.process_time()
    answer = run()
    return time.process_time() - start, answer


def main() -> int:
    """Print a table; 1 if ``best`` of 1,000 images is over the limit."""
    late = False
    counts = [int(word) for word in sys.argv[1:]] or COUNTS
    for images in counts:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "stats.npz"
            made_up(np.random.default_rng(0), images).save(path)
            size = path.stat().st_size / 2**20
            load, stats = seconds(lambda path=path: qt.ModelStatistics.load(path))
        print(f"{images} probed images, {size:.0f} MiB: loaded in {load:.2f} s")
        for attacker, what in ATTACKERS.items():
            asked = {"protect": 0.5, "attacker": attacker}
            target = TARGETS[attacker]
            times = []
            for _ in range(3):
                taken, found = seconds(
                    lambda s=stats, t=target, a=asked: qt.recommend_sigma(s, t, **a)
                )
                times.append(taken)
            cold, warm = times[0], min(times[1:])
            levels = len(found.frontier.sigmas)
            print(
                f"  {attacker:9} {what:24} cold {cold:5.2f} s, warm {warm:5.2f} s: "
                f"{found.status} at {found.sigma:.3g}, {levels} levels"
            )
            late |= images == 1000 and attacker == "best" and load + warm > LIMIT
    return int(late)


if __name__ == "__main__":
    raise SystemExit(main())
