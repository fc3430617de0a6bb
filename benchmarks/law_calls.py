"""What validation costs: a law's call with plain numbers against its body alone.

    python benchmarks/law_calls.py

Every law of numbers, at its typical values; the least of seven medians each, so that
other work on the machine is left out as far as it can be.
"""

from __future__ import annotations

import inspect
import statistics
import sys
import timeit
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from querytax.theory.law import laws
from tests.theory.test_law import TABLES, numbers


def microseconds(call, repeats: int = 7, calls: int = 300) -> float:  # type: ignore[no-untyped-def]
    """Least time of a call."""
    times = timeit.repeat(call, number=calls, repeat=repeats)
    return min(times) / calls * 1e6


def main() -> None:
    warnings.simplefilter("ignore")
    rows = []
    for entry in laws():
        if entry.name in TABLES:
            continue
        given = {k: float(pair[0]) for k, pair in numbers(entry).items()}
        body = entry.function.__wrapped__
        defaults = inspect.signature(entry.function).parameters
        kept = {
            k: p.checked()(given.get(k, defaults[k].default))
            for k, p in entry.parameters.items()
        }
        alone = microseconds(lambda: body(**kept))  # noqa: B023
        # Long bodies would hide the difference in their own jitter.
        if alone > 100.0:
            continue
        names = [k for k in entry.parameters if k in given]
        call = microseconds(lambda: entry.function(*[given[k] for k in names]))  # noqa: B023
        rows.append((call - alone, len(names), bool(entry.limits), entry.name))
    rows.sort()
    print(f"{len(rows)} laws; validation of a call, microseconds:")
    plain = [r[0] for r in rows if not r[2]]
    print(f"  median {statistics.median(plain):.2f}, most {max(plain):.2f}")
    for count in sorted({r[1] for r in rows}):
        some = [r[0] for r in rows if r[1] == count and not r[2]]
        if some:
            print(f"  {count} parameters: median {statistics.median(some):.2f}")
    limited = [r[0] for r in rows if r[2]]
    if limited:
        print(f"  with limits to look at: median {statistics.median(limited):.2f}")
    for row in rows[-3:]:
        print(f"  dearest: {row[3]} {row[0]:.2f}")


if __name__ == "__main__":
    main()
