"""How far the Monte-Carlo engine is from the cost of its random numbers alone.

Run ``python benchmarks/montecarlo_speed.py``. Ratios within one run, medians of nine
with both sides interleaved; nanoseconds are this machine's today.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import special

from querytax.kernels import kernel
from querytax.montecarlo import misstep, passage, rare
from querytax.montecarlo._philox import normal_pair, philox
from querytax.montecarlo.streams import _normals

U = np.uint64
N = 1 << 19
K = (U(1), U(2))


@kernel
def _floor(first, count, k0, k1):  # type: ignore[no-untyped-def]
    """The normals alone: drawn, and summed so that none is left out."""
    total = 0
    for i in range(count):
        w0, w1, w2, w3 = philox(first + U(i), U(0), U(0), k0, k1)
        a, b = normal_pair(w0, w1, w2, w3)
        total += (a > 0.0) + (b > 0.0)
    return total


def once(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def medians(*functions: Callable[[], object], repeats: int = 9) -> list[float]:
    for function in functions:
        function()
    times = [[once(function) for function in functions] for _ in range(repeats)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def chunked_numpy() -> int:
    rng, wrong = np.random.default_rng(1), 0
    for _ in range(8):
        change, noise = rng.standard_normal((2, N // 8))
        wrong += int(((change > 0) != (change + noise > 0)).sum())
    return wrong


def compacted_numpy(goal: float, drift: float, paths: int) -> float:
    """Steps of drifting walks to a goal, dropping those that have arrived."""
    rng, place = np.random.default_rng(1), np.zeros(paths)
    step = total = 0
    while place.size:
        step += 1
        place += drift + rng.standard_normal(place.size)
        away = place < goal
        total += step * int(place.size - away.sum())
        place = place[away]
    return total / paths


def main() -> None:
    out, wide = np.empty((2, N)), np.empty((2, N))
    philox_numpy = np.random.Generator(np.random.Philox(1))
    sfc = np.random.Generator(np.random.SFC64(1))

    def ours() -> None:
        _normals(out, U(0), U(0), U(0), *K)

    own, theirs, quick = medians(
        ours,
        lambda: philox_numpy.standard_normal(out=wide),
        lambda: sfc.standard_normal(out=wide),
    )
    scale = 1e9 / (2 * N)
    print(f"normals, float64      {own * scale:6.2f} ns")
    print(f"  NumPy Philox / ours {theirs / own:6.2f}   wanted 4")
    print(f"  NumPy SFC64 / ours  {quick / own:6.2f}")

    halves = [np.empty((2, N // 2)) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:

        def two() -> None:
            list(
                pool.map(
                    lambda part: _normals(
                        halves[part], U(part * (N // 2)), U(0), U(0), *K
                    ),
                    range(2),
                )
            )

        single, double = medians(ours, two)
    print(f"  two threads / one   {single / double:6.2f}   wanted 1.75")

    flip = misstep.random_direction(1.0)
    floor, fused, numpy = medians(
        lambda: _floor(U(0), N, *K),
        lambda: flip.block(0, N, 0.0, *K),
        chunked_numpy,
    )
    print(f"sign flip             {fused / N * 1e9:6.2f} ns a pair")
    print(f"  over the floor      {fused / floor:6.2f}   wanted 1.5 at most")
    print(f"  NumPy in chunks     {numpy / fused:6.2f}   wanted 4")

    paths, drift = 100_000, 0.5
    walk = passage.walk_mean(drift**2, 20.0)
    drawn = round(walk.block(0, paths, 0.0, *K)[0])
    floor, ours_, numpy = medians(
        lambda: _floor(U(0), drawn // 2, *K),
        lambda: walk.block(0, paths, 0.0, *K),
        lambda: compacted_numpy(20.0 * drift, drift, paths),
        repeats=5,
    )
    print(f"stopping times        {ours_ / drawn * 1e9:6.2f} ns a step, 1e5 paths")
    print(f"  over the floor      {ours_ / floor:6.2f}   wanted 2 at most")
    print(f"  NumPy, compacted    {numpy / ours_:6.2f}   wanted 4")

    (conditioned,) = medians(
        lambda: rare.smooth(
            lambda z: special.ndtr(0.5 * z[:, 0] + 0.3 * z[:, 1] - 1.0), 2, points=1024
        )
    )
    found = rare.smooth(
        lambda z: special.ndtr(0.5 * z[:, 0] + 0.3 * z[:, 1] - 1.0), 2, points=1024
    )
    error = abs(found.value / special.ndtr(-1 / np.sqrt(1.34)) - 1)
    print(
        f"two smooth dimensions {conditioned * 1e3:6.2f} ms, relative error {error:.0e}"
    )
    print("  wanted 1e-7 in 100 ms")

    def tail() -> rare.Weighted:
        return rare.tilted(
            lambda z: z[:, 0] > 6.0, [6.0], max_samples=81920, half_space=True
        )

    (rarely,) = medians(tail)
    spread = [
        rare.tilted(
            lambda z: z[:, 0] > 6.0,
            [6.0],
            rng=seed,
            max_samples=81920,
            half_space=True,
        ).value
        for seed in range(64)
    ]
    share = np.std(spread) / special.ndtr(-6.0)
    print(f"P = 1e-9              {rarely * 1e3:6.2f} ms, standard error {share:.2%}")
    print("  wanted 1 % in 5 ms")


if __name__ == "__main__":
    main()
