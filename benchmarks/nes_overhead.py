"""Share of an NES attack's time that is spent inside the model's forward pass.

Run ``python benchmarks/nes_overhead.py``. The goal is 0.80 or more: what is left is the
price of the directions, of reading the answers and of the bookkeeping. Every line is a
median over several runs, and a ratio, since absolute times drift with the machine. A
defence's own noise is counted with the attack, not with the forward pass.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch
from torch import Tensor, nn

from querytax import defenses, demo
from querytax.attacks import nes
from querytax.plans import NESPlan


class Timed(nn.Module):
    """A model with a stopwatch around its forward pass."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.seconds = 0.0

    def forward(self, x: Tensor) -> Tensor:
        start = time.perf_counter()
        answer = self.model(x)
        if x.is_cuda:
            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - start
        return answer


def cifar_cnn() -> nn.Module:
    """For images of 32 x 32, three channels: about 40 million multiplications."""
    layers: list[nn.Module] = []
    for inside, outside in ((3, 32), (32, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU()]
        if outside == inside:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4096, 10))


def defended(model: nn.Module, name: str) -> nn.Module:
    """The model behind noise at one place, or none."""
    if name == "input":
        return defenses.InputNoise(model, 0.05, experiment_seed=0)
    if name == "output":
        return defenses.OutputNoise(model, 0.1, form="reflect", experiment_seed=0)
    return model


def share(
    model: nn.Module, images: Tensor, defence: str, budget: int, batch_size: int
) -> tuple[float, float]:
    """Share of an attack's time in the forward pass, and its microseconds a row."""
    watch = Timed(model)
    with torch.no_grad():
        labels = model(images).argmax(1)
    # A budget of perturbation too small to succeed: every image runs to the end.
    plan = NESPlan(eps=1e-6, step=1e-7, probe=0.01, pairs=10)
    start = time.perf_counter()
    result = nes(
        defended(watch, defence),
        images,
        labels,
        plan,
        budget=budget,
        batch_size=batch_size,
    )
    seconds = time.perf_counter() - start
    return watch.seconds / seconds, 1e6 * seconds / result.total_queries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"{'model':>10} {'images':>7} {'defence':>8} {'forward':>8} {'us/query':>9}")
    cases: list[tuple[str, Any, tuple[int, ...], int, int]] = [
        ("small cnn", demo.load_model, (1, 8, 8), 60, 600),
        ("cifar cnn", cifar_cnn, (3, 32, 32), 8, 120),
    ]
    for name, build, shape, count, budget in cases:
        torch.manual_seed(0)
        model = build().eval().to(given.device)
        images = torch.rand(count, *shape).to(given.device)
        for defence in ("none", "input", "output"):
            runs = [
                share(model, images, defence, budget, given.batch_size)
                for _ in range(given.runs + 1)
            ][1:]
            forward, each = (statistics.median(v) for v in zip(*runs, strict=True))
            print(
                f"{name:>10} {count:>7} {defence:>8} {forward:>8.2f} {each:>9.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
