"""Seconds that every figure, and every reproduction on the embedded digits, costs.

Run with ``python benchmarks/figures_and_papers.py``: fresh processes that write to a
temporary folder. Networks and kernels are made beforehand: their caches are warm.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

PAPERS = (
    "aithal-li-2022",
    "output-randomization-2020",
    "snd-2022",
    "rfd-2024",
    "rnd-2021",
)
FIGURES, REPRODUCTIONS = 60.0, 600.0


def seconds(*words: str) -> float:
    """Wall-clock seconds of one command, on one thread."""
    command = "from querytax.cli import main; main()"
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", command, *words],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return time.perf_counter() - start


def main() -> int:
    """Print the seconds; 1 if a limit is passed."""
    with tempfile.TemporaryDirectory() as folder:
        seconds("figures", "-o", folder, "--json")
        taken = seconds("figures", "-o", folder, "--json")
        print(f"all figures: {taken:.0f} s (limit {FIGURES:g} s)")
        each = {}
        for paper in PAPERS:
            words = ("reproduce", paper, "--scale", "small", "-o", folder)
            each[paper] = seconds(*words)
            print(f"reproduce {paper}: {each[paper]:.0f} s")
    total = sum(each.values())
    print(f"all five: {total:.0f} s (limit {REPRODUCTIONS:g} s)")
    return int(taken > FIGURES or total > REPRODUCTIONS)


if __name__ == "__main__":
    raise SystemExit(main())
