"""What a deployed defence adds to the time of one question: batches of one image.

Run ``python benchmarks/noise_latency.py``. The ways take turns in one run, each with
some calls in a row, as a service asks: the first ones, which find the memory and caches
that another way left, are not counted. Each turn is held against the bare model's turn
just before it, so that other work on the machine hits both: medians of CPU time, and of
these ratios, with their middle half; one thread. Beside the
sites stand the line that people write by hand, ``x + sigma * torch.randn_like(x)``,
whose noise whoever reads a few answers can continue, and noise of an experiment.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from querytax import demo
from querytax.defenses import defend, fresh

SIGMA = 0.05
IN_A_ROW, UNCOUNTED = 8, 3


def digits() -> nn.Module:
    """The small network of the demonstration."""
    return demo.load_model().eval().requires_grad_(False)


def wide() -> nn.Module:
    """Three convolutions on 224 x 224: about as fast as a network of that size gets."""
    return (
        nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(64, 10),
        )
        .eval()
        .requires_grad_(False)
    )


NETWORKS = {
    "digits, 8x8": (digits, (1, 8, 8)),
    "small CNN, 224x224x3": (wide, (3, 224, 224)),
}


def ways(model: nn.Module, shape: tuple[int, ...]) -> dict[str, Callable[[], object]]:
    x = torch.rand(1, *shape)
    last = [name for name, _ in model.named_children()][-1]
    found: dict[str, Callable[[], object]] = {
        "bare": lambda: model(x),
        "x + s * randn_like(x)": lambda: model(x + SIGMA * torch.randn_like(x)),
    }
    sites = ["input", "output", "output:logits", "0", last, "input+output"]
    for site in sites:
        guarded = defend(model, site, SIGMA)
        label = f"layer {site}" if site.isdigit() else site
        found[label] = lambda guarded=guarded: guarded(x)
    kept = defend(model, "input", SIGMA, experiment_seed=0)
    found["input, experiment's"] = lambda: kept(x)
    found["the noise alone"] = lambda: fresh.add_noise(x, SIGMA, inside=True)
    return found


def turn(call: Callable[[], object]) -> float:
    """CPU seconds of a call, among some in a row."""
    times = []
    for _ in range(IN_A_ROW):
        start = time.thread_time()
        call()
        times.append(time.thread_time() - start)
    return statistics.median(times[UNCOUNTED:])


def measure(
    calls: list[Callable[[], object]], turns: int
) -> list[tuple[float, list[float]]]:
    """CPU seconds of each, and the quartiles of what it takes over the first."""
    taken: list[list[tuple[float, float]]] = [[] for _ in calls]
    for _ in range(turns):
        for call, times in zip(calls, taken, strict=True):
            bare = turn(calls[0])
            own = turn(call)
            times.append((own, own / bare))
    return [
        (
            statistics.median(own for own, _ in times),
            statistics.quantiles(ratio for _, ratio in times),
        )
        for times in taken
    ]


def bits(count: int) -> Tensor:
    """The generator's own share."""
    return torch.from_numpy(fresh._words(count, "int32").copy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=100)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with torch.no_grad():
        for name, (build, shape) in NETWORKS.items():
            found = ways(build(), shape)
            count = torch.Size(shape).numel()
            found["its bits alone"] = lambda count=count: bits(count)
            taken = measure(list(found.values()), given.turns)
            print(f"\n{name}")
            for label, (own, (low, middle, high)) in zip(found, taken, strict=True):
                print(
                    f"{label:>24} {own * 1e6:8.0f} us {middle:6.2f} "
                    f"({low:.2f} to {high:.2f})"
                )


if __name__ == "__main__":
    main()
