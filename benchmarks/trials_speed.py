"""What the trials of a recommendation cost, row by row, beside what they must cost.

Run with ``python benchmarks/trials_speed.py [--jobs N]``. One race of all attacks on
the digits at one noise level, stage by stage: rows that the model was asked with its
noise, and without it to judge; processor time a row; and the floor, which is a forward
pass of the same rows in full batches and their noise. Times are of the processor, not
of the clock: other work slows them less.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from collections.abc import Callable
from typing import Any

import torch

from querytax import demo
from querytax.attacks import attack_all
from querytax.evidence import Evidence, Trial, Tried
from querytax.noise import normals
from querytax.recommend.portfolio import portfolio
from querytax.recommend.race import EFFORTS, Wanted, race
from querytax.trials import Bench
from querytax.trials import bench as room

SIGMA, EPS, QUERIES, EXPOSED = 0.0369, 0.1, 300, 0.35


def spent() -> float:
    """Seconds of processor time, of this process and of the workers that ended."""
    at = os.times()
    return at.user + at.system + at.children_user + at.children_system


def least(work: Callable[[], Any], rows: int) -> float:
    """Microseconds a row, the quickest of nine."""
    best = float("inf")
    for _ in range(9):
        begun = time.process_time()
        work()
        best = min(best, time.process_time() - begun)
    return 1e6 * best / rows


def floors(model: torch.nn.Module, batch: int = 256) -> tuple[float, float]:
    """Microseconds of a row's forward pass, and of its noise, in full batches."""
    x, keys = torch.rand(batch, 1, 8, 8), torch.arange(batch)
    # As the attacks do: later tensors of this size are then no new pages.
    torch.empty(31 << 20, dtype=torch.uint8)

    def forward() -> None:
        for _ in range(8):
            model(x)

    def noise() -> None:
        for _ in range(8):
            normals(1, "floor", keys, keys, (1, 8, 8))

    with torch.no_grad():
        return least(forward, 8 * batch), least(noise, 8 * batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    model, split = demo.load_model().requires_grad_(False), demo.digits()
    forward, noise = floors(model)
    print(f"floor: forward {forward:.1f} us a row, noise {noise:.1f}")
    bench = Bench(model, {"calibration": split.probe}, jobs=given.jobs)
    bench.images("calibration")
    counted = [0, 0]

    def counting(runs: Any, **options: Any) -> Any:
        results = attack_all(runs, **options)
        counted[0] += sum(result.total_queries for result in results)
        counted[1] += sum(result.judged for result in results)
        return results

    room.attack_all = counting
    field, effort = portfolio("best"), EFFORTS["quick"]
    usual = ("Linf", "scores", "input", SIGMA, "calibration")
    start = Trial(field[0], EPS, *usual, effort.images, QUERIES)
    print(
        f"{'attacks':>8} {'images':>7} {'queries':>8} {'rows':>8} {'judged':>8} "
        f"{'s':>6} {'us/row':>7} {'floor':>6}"
    )
    tried: list[Tried] = []
    total, whole = [0, 0], 0.0
    for _ in range(len(effort.rungs) + 2):
        try:
            found = race(
                start,
                field,
                effort,
                Evidence(tried),
                EXPOSED,
                images=bench.images("calibration"),
                early=False,
            )
        except Wanted as missing:
            before, begun = list(counted), spent()
            tried += bench.run(missing.trials)
            seconds = spent() - begun
            rows, judged = (b - a for a, b in zip(before, counted, strict=True))
            first = missing.trials[0]
            _line(len(missing.trials), first, rows, judged, seconds, forward, noise)
            total, whole = [total[0] + rows, total[1] + judged], whole + seconds
    _line(len(field), None, total[0], total[1], whole, forward, noise)
    grid = [dataclasses.replace(start, contender=c, rest=64) for c in field]
    most = sum(t.images * t.n_queries for t in grid)
    print(
        f"{found.best.contender.name} binds; the full grid would ask {most:,} rows at "
        f"most: 1/{most / total[0]:.1f}"
    )


def _line(
    attacks: int,
    first: Trial | None,
    rows: int,
    judged: int,
    seconds: float,
    forward: float,
    noise: float,
) -> None:
    where = (first.images, first.n_queries) if first else ("", "all")
    # The floor of what was asked, a row with noise.
    floor = forward * (rows + judged) / rows + noise
    print(
        f"{attacks:>8} {where[0]:>7} {where[1]:>8} {rows:>8} {judged:>8} "
        f"{seconds:>6.1f} {1e6 * seconds / rows:>7.1f} {floor:>6.1f}"
    )


if __name__ == "__main__":
    main()
