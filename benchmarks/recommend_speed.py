"""Seconds from a saved file of 1,000 probed images to a recommendation, warm.

Run with ``python benchmarks/recommend_speed.py``. The statistics are made up, with a
spread over images and probe sizes like a network's: speed depends on their shape alone.
The question is the costly one: the best attacker, at a target between the levels.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

import querytax as qt
from querytax.statistics import ModelStatistics, SiteStatistics

IMAGES, CLASSES, DIMENSION, STAGES = 1000, 10, 3072, 4
BETAS = np.array([1e-4, 1e-3, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4])
SIGMAS = np.array([0.0, 1e-4, 1e-3, 0.01, 0.03, 0.1, 0.2, 0.4, 0.8])
LIMIT = 1.0


def made_up(rng: np.random.Generator) -> ModelStatistics:
    """A model whose slope varies over images and saturates for wide probes."""
    shape = (2, len(SIGMAS), len(BETAS), 2, STAGES, IMAGES)
    slope = rng.lognormal(0.0, 1.0, IMAGES)
    beta = BETAS[:, None, None, None]
    signal = (2 * beta * slope) ** 2 / (1.0 + (beta / 0.1) ** 2)
    signal = signal * rng.lognormal(0.0, 0.3, shape)
    noise = 2.0 * np.square(SIGMAS)[:, None, None, None, None] * np.ones(shape)
    alignment = np.broadcast_to(1.0 / (1.0 + beta / 0.2), shape).copy()
    flips = np.minimum(1.0, np.outer(SIGMAS, rng.random(IMAGES)))
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
    path = rng.uniform(0.05, 0.9, IMAGES)
    logits = rng.normal(size=(IMAGES, CLASSES))
    return ModelStatistics(
        sites={"output:probabilities:reflect": site},
        betas=BETAS,
        probed=np.arange(IMAGES),
        path_length=path,
        wander_length=path * rng.uniform(0.5, 1.0, IMAGES),
        stages=(np.arange(STAGES) + 0.5) / STAGES,
        stage_weights=np.full(STAGES, 1.0 / STAGES),
        logits=logits,
        labels=logits.argmax(1),
        gradient_norm=slope,
        dimension=DIMENSION,
        eps=8 / 255,
        norm="Linf",
        targeted=False,
    )


def main() -> int:
    """Print the median of five; 1 if it is over the limit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stats.npz"
        made_up(np.random.default_rng(0)).save(path)
        size = path.stat().st_size / 2**20
        loads, answers = [], []
        for _ in range(6):
            start = time.perf_counter()
            stats = qt.ModelStatistics.load(path)
            loaded = time.perf_counter()
            found = qt.recommend_sigma(stats, 30_000, protect=0.5, attacker="best")
            loads.append(loaded - start)
            answers.append(time.perf_counter() - loaded)
    # The first run pays for imports.
    load, answer = statistics.median(loads[1:]), statistics.median(answers[1:])
    print(
        f"{IMAGES} probed images, {size:.0f} MiB: load {load:.2f} s, "
        f"recommend {answer:.2f} s, together {load + answer:.2f} s "
        f"(limit {LIMIT:g} s); {found.status}, sigma {found.sigma:.3g}"
    )
    return int(load + answer > LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())
