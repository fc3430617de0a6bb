"""Every law's values before and after a change of the theory, on a thousand draws.

    python benchmarks/law_values.py OLD        OLD: a commit, or a folder of its tree

The old tree draws the arguments, as its tests do, and evaluates its laws; this one
evaluates the same laws under the names that they have now, and the values are compared
bit by bit. ``law_names.csv`` tells old names and arguments from new ones.
"""

from __future__ import annotations

import argparse
import csv
import pickle
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
DRAWS = 1000


def tables(name: str, rng: np.random.Generator) -> dict[str, Any]:
    """Arguments of a law that reads whole tables, under the old names."""
    n = DRAWS
    topic = name.split(".")[0]
    sigma = 10.0 ** rng.uniform(-3, 1, n)
    rows = rng.dirichlet(np.ones(5), n)
    margins, norms = rng.normal(0.3, 1.0, (n, 6)), 10.0 ** rng.uniform(-1, 1, (n, 6))
    success = rng.uniform(0.0, 0.4, (n, 4))
    tried = rng.integers(20, 40, (n, 4))
    hits = rng.binomial(tried, 0.2)
    outcomes = (rng.random((n, 4, 12)) < 0.2).astype(float)
    queries = rng.integers(1, 12, n)
    votes = 2 * rng.integers(1, 6, n) + 1
    share = rng.uniform(0.2, 0.8, n)
    labels = rng.integers(0, 5, n)
    gap, deltas = 10.0 ** rng.uniform(-2, 1, n), rng.normal(0.1, 1.0, (n, 20))
    several = 10.0 ** rng.uniform(-1, 1, (n, 4))
    weight = rng.uniform(0.1, 2.0, (n, 4))
    snr = 10.0 ** rng.uniform(-3, 3, n)
    error = rng.uniform(0.01, 0.2, n)
    known: dict[str, dict[str, Any]] = {
        "accuracy.misclassification": {"outputs": rows, "sigma": sigma},
        "accuracy.log_misclassification": {"outputs": rows, "sigma": sigma / 10},
        "accuracy.misclassification_bounds": {"outputs": rows, "sigma": sigma},
        "accuracy.accuracy_loss": {
            "outputs": rows,
            "labels": labels,
            "sigma": sigma[:50],
        },
        "accuracy.largest_sigma": {"outputs": rows[:200], "rate": error[:200]},
        "accuracy.largest_sigma_mean": {"outputs": rows[:50], "rate": 0.05},
        "bisection.cells": {"radius": share, "sigma": sigma, "halvings": 4},
        "blind.confirmed_queries": {
            "success": success,
            "false_alarm": 0.5 * success,
            "votes": votes,
            "share": share,
        },
        "blind.confirmed_survival": {
            "queries": 10 * queries,
            "success": success,
            "false_alarm": 0.5 * success,
            "votes": votes,
        },
        "blind.false_alarm": {"rate": success, "votes": votes},
        "blind.queries": {"success": success, "share": share},
        "blind.success": {"rate": success, "votes": votes},
        "blind.survival": {"queries": queries, "success": success},
        "blind_counts.error": {"queries": queries, "hits": hits, "tried": tried},
        "blind_counts.survival": {"queries": queries, "hits": hits, "tried": tried},
        "blind_counts.interval": {"hits": hits, "tried": tried, "share": share},
        "blind_counts.image_interval": {
            "hits": hits[:, 0],
            "tried": tried[:, 0],
            "share": share,
        },
        "blind_counts.scheduled_interval": {
            "outcomes": outcomes[:200],
            "turn": 3,
            "share": share[:200],
        },
        "blind_counts.scheduled_survival": {
            "queries": queries,
            "outcomes": outcomes,
            "turn": 3,
        },
        "log_ratio.variance_of_sum": {"output": rows, "sigma": sigma},
        "misstep.noisy_layers": {
            "gradient_norm": gap,
            "step": sigma,
            "sigma": several,
            "layer_gradient_norm": weight,
        },
        "misstep.over_changes": {"gap": several, "loss_sigma": sigma},
        "query_ratio.sign_drift_of": {"gradient": deltas, "cosine": share},
        "records.accepted_mean_tied": {"chances": rows, "queries": queries},
        "repeats.walds_error": {"snr": snr, "error": error},
        "repeats.walds_pairs": {"snr": snr, "error": error},
        "search.averaged_progress": {"deltas": deltas[:100], "sigma": sigma[:100]},
        "search.requeried_progress": {"deltas": deltas, "sigma": sigma},
        "search.stale_progress": {"deltas": deltas[:100], "sigma": sigma[:100]},
        "search.queries": {
            "gap": gap[:50],
            "deltas": deltas[:50, None] - 1.0,
            "weights": np.ones(1),
            "sigma": sigma[:50],
        },
        "snr.combine": {"snr": several},
    }
    if name in known:
        return known[name]
    if topic == "margin":
        return {"margin": margins, "gradient_norm": norms, "sigma": sigma}
    mixture = {"sigma": several, "weight": weight}
    return {
        "mixture.snr": {**mixture, "delta_ms": gap},
        "mixture.wrong_sign": {**mixture, "gap": gap},
        "mixture.median_gain": mixture,
        "mixture.information": {k: v[:200] for k, v in mixture.items()},
    }[name]


def record(out: Path) -> None:
    """Draw the arguments of every law of the tree at hand, and its values."""
    warnings.simplefilter("ignore")
    from querytax.theory.law import laws  # type: ignore[attr-defined]
    from tests.theory.domains import drawn, words
    from tests.theory.test_law import TABLES

    found = {}
    for k, entry in enumerate(laws()):
        rng = np.random.default_rng([7, k])
        if entry.name in TABLES:
            given = tables(entry.name, rng)
        else:
            given = {**drawn(entry.name, rng, DRAWS), **words(entry.name, rng)}
        found[entry.name] = (given, entry.function(**given, errors="nan"))
    out.write_bytes(pickle.dumps(found))


# What is no renaming: old arguments to new ones.
CHANGED = {
    "contraction.tuned_steps": lambda g: g | {"nats": np.exp(-g["nats"])},
    "quantization.dither_efficiency": lambda g: (
        g | {"phase": np.mod(g["phase"] + 0.5, 1.0) * g["step"]}
    ),
    "passage.not_arrived_time": lambda g: _walk(g),
    **{
        f"passage.{name}": lambda g: _walk(g)
        for name in ("arrived", "log_arrived", "log_not_arrived")
    },
}


def _walk(g: dict[str, Any]) -> dict[str, Any]:
    """A distance in one step's noise and a drift, as noiseless steps and their SNR."""
    drift = g["drift"]
    return g | {"distance": g["distance"] / drift, "drift": drift**2}


def compare(old: dict[str, Any]) -> int:
    """Print what differs; how many laws do."""
    from querytax.theory.law import find

    warnings.simplefilter("ignore")
    with open(HERE / "law_names.csv", encoding="utf-8", newline="") as file:
        rows = {row["old"]: row for row in csv.DictReader(file)}
    same, near, differ = 0, [], []
    for name, (given, value) in old.items():
        row = rows.get(name, {"new": name, "parameters": ""})
        new = dict(pair.split("=") for pair in row["parameters"].split())
        changed = name in CHANGED
        given = CHANGED[name](given) if changed else given
        now = {new.get(k, k): v for k, v in given.items()}
        try:
            found = find(row["new"]).function(**now, errors="nan")
        except Exception as error:
            differ.append(f"{name}: {type(error).__name__}: {error}")
            continue
        pairs = list(zip(_parts(value), _parts(found), strict=True))
        if changed:
            # What the new arguments cannot say is no difference.
            pairs = [(np.where(np.isnan(b), b, a), b) for a, b in pairs]
        if all(np.array_equal(a, b, equal_nan=True) for a, b in pairs):
            same += 1
            continue
        worst, where = 0.0, ""
        for a, b in pairs:
            with np.errstate(invalid="ignore", divide="ignore"):
                gap = np.abs(a - b) / np.maximum(np.abs(a), np.abs(b))
            gap = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, gap)
            gap = np.where(np.isnan(gap), np.inf, gap)
            k = int(np.argmax(gap))
            if gap.size and gap.flat[k] > worst:
                worst = float(gap.flat[k])
                point = {
                    key: np.ravel(v)[k]
                    for key, v in now.items()
                    if np.ndim(v) == 1 and np.size(v) == gap.size
                }
                where = f"{a.flat[k]!r} is {b.flat[k]!r} at {point}"
        line = f"{name} -> {row['new']}: relative {worst:.2g}; {where}"
        (near if worst < 1e-12 else differ).append(line)
    print(f"{same} of {len(old)} laws equal to the bit")
    print(f"{len(near)} within 1e-12:", *near, sep="\n  ")
    print(f"{len(differ)} differ:", *differ, sep="\n  ")
    return len(differ)


def _parts(value: Any) -> list[Any]:
    return [np.asarray(v) for v in (value if isinstance(value, tuple) else (value,))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", help="a commit, or a folder with its tree")
    parser.add_argument("--record", metavar="FILE", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.record:
        sys.path.insert(0, given.old)
        return record(Path(given.record))
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(given.old)
        if not tree.is_dir():
            tree = Path(folder, "tree")
            tree.mkdir()
            archive = subprocess.run(
                ["git", "archive", given.old],
                cwd=HERE.parent,
                stdout=subprocess.PIPE,
                check=True,
            )
            subprocess.run(["tar", "x", "-C", tree], input=archive.stdout, check=True)
        out = Path(folder, "values")
        command = [sys.executable, __file__, str(tree), "--record", str(out)]
        subprocess.run(command, cwd=tree, check=True)
        old = pickle.loads(out.read_bytes())
    sys.exit(1 if compare(old) else 0)


if __name__ == "__main__":
    main()
