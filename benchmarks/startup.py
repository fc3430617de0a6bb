"""Seconds that ``import querytax`` and ``querytax --help`` cost over the interpreter.

Run with ``python benchmarks/startup.py``: the median of nine fresh processes each.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS, LIMIT = 9, 0.15
CASES = {
    "bare interpreter": "pass",
    "import querytax": "import querytax",
    "querytax --help": (
        "from querytax.cli import main; main(['--help'], standalone_mode=False)"
    ),
}


def seconds(code: str) -> float:
    """Wall-clock seconds of one process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> int:
    """Print the medians; 1 if one is over the limit."""
    for code in CASES.values():
        seconds(code)
    # Taken in turns, so that a busy moment hits all alike.
    taken: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(RUNS):
        for name, code in CASES.items():
            taken[name].append(seconds(code))
    bare, *others = (statistics.median(t) for t in taken.values())
    print(f"bare interpreter {bare:.3f} s")
    for name, value in zip(list(CASES)[1:], others, strict=True):
        print(f"{name}: {value - bare:+.3f} s (limit {LIMIT:g} s)")
    return int(max(others) - bare > LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())
