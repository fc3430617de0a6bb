"""Speed of keyed normals against `torch.randn`, and how far each is from its floor.

Run ``python benchmarks/noise_speed.py``. Every line is a median over interleaved
repeats; read the ratios, since absolute times drift with the machine.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import torch

from querytax import noise
from querytax.noise import normals

SHAPES = [(1, 1000), (1000, 10), (64, 192), (1000, 1000), (256, 3072), (8, 150_528)]


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def medians(calls: list[Callable[[], object]], seconds: float) -> list[float]:
    """Median time of each call; they take turns, so that drift hits all alike."""
    for call in calls:
        call()
    repeats = max(5, min(300, int(seconds / sum(map(timed, calls)))))
    rounds = [[timed(call) for call in calls] for _ in range(repeats)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def words(blocks: int) -> None:
    """The bits alone, in the same tiles: what Philox in torch operations costs."""
    zero = torch.zeros((1, 1), dtype=torch.int64)
    tile = noise._CPU_BLOCKS * torch.get_num_threads()
    for start in range(0, blocks, tile):
        block = torch.arange(start, min(blocks, start + tile))[None]
        noise.philox((block, zero, zero, zero), 1)


def transform(u: torch.Tensor) -> None:
    """Box-Muller of uniforms that are there already: two draws for each of ``u``."""
    tile = 2 * noise._CPU_BLOCKS * torch.get_num_threads()
    for part in u.split(tile):
        radius = part.log().mul_(-2.0).sqrt_()
        torch.mul(radius, part.cos(), out=torch.empty_like(radius))
        torch.mul(radius, part.sin(), out=torch.empty_like(radius))


def report(threads: int, seconds: float) -> None:
    torch.set_num_threads(threads)
    print(f"\n{threads} thread(s): ns per normal, and ratios to torch.randn float32")
    print(
        f"{'shape':>14} {'ms':>8} {'float32':>8} {'randn':>7} {'ratio':>6} "
        f"{'float64':>8} {'ratio':>6} {'bits':>6} {'+ B-M':>6} {'to floor':>8}"
    )
    for n, elements in SHAPES:
        rows, queries = torch.zeros(n, dtype=torch.int64), torch.arange(n)
        count = n * elements
        uniform = torch.rand(math.ceil(count / 2)).clamp_(min=1e-9)

        def draw(
            dtype: torch.dtype,
            rows: torch.Tensor = rows,
            queries: torch.Tensor = queries,
            elements: int = elements,
        ) -> torch.Tensor:
            return normals(0, "speed", rows, queries, (elements,), dtype=dtype)

        single, double, peer, bits, curve = medians(
            [
                lambda draw=draw: draw(torch.float32),
                lambda draw=draw: draw(torch.float64),
                lambda n=n, elements=elements: torch.randn(n, elements),
                lambda n=n, elements=elements: words(n * -(-elements // 4)),
                lambda uniform=uniform: transform(uniform),
            ],
            seconds,
        )
        ns = 1e9 / count
        print(
            f"{n:>6} x {elements:<6}{single * 1e3:>8.2f} {single * ns:>8.1f} "
            f"{peer * ns:>7.1f} {single / peer:>6.1f} {double * ns:>8.1f} "
            f"{double / peer:>6.1f} {bits * ns:>6.1f} {curve * ns:>6.1f} "
            f"{single / (bits + curve):>8.2f}"
        )
    print(
        "bits: Philox alone; + B-M: the logarithm, root, sine and cosine alone; "
        "to floor: float32 over the sum of both."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=2.0, help="per shape")
    given = parser.parse_args()
    for threads in given.threads:
        report(threads, given.seconds)


if __name__ == "__main__":
    main()
