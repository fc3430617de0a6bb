"""What came of ``claims.py``: its tables, and what they say in short.

``python benchmarks/claims_tables.py [--folder FOLDER] [--out docs/claims]``
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from claims import CHOSEN, FINAL_SEED, FOREIGN_SEED, Asked

from querytax.training import cache_folder
from querytax.trials.store import VERSION

_PARTS = ("calibration", "held_out")


def show(folder: Path, out: Path) -> None:
    """Write the tables and print what they say."""
    out.mkdir(parents=True, exist_ok=True)
    known = json.loads((folder / "answers.json").read_text())
    rows, more = [], []
    for one in known.values():
        if not one.get("ended"):
            continue
        rows.append(_row(one))
        if "attacked" in one:
            more += _attacks(one)
    _csv(out / "answers.csv", rows)
    _csv(out / "attacks.csv", more)
    claims = [row for row in rows if row["attack"]]
    for word in ("no", "yes"):
        some = [row for row in rows if row["chosen"] == word]
        print(f"chosen {word}:", _tally(row["status"] for row in some))
        some = [row for row in some if row["attack"]]
        for column in ("holds", "point_holds", "price_holds"):
            yes = sum(row[column] == "yes" for row in some)
            print(f"  {column}: {yes} of {len(some)}")
    for row in claims:
        if "no" in (row["holds"], row["point_holds"], row["price_holds"]):
            print("  ", row)
    ratios = sorted(float(row["excess"]) for row in claims if row["excess"])
    if ratios:
        print(f"excess, {len(ratios)}:", ratios)
        print(
            "  sure:",
            sorted(float(r["excess_sure"]) for r in claims if r["excess_sure"]),
        )
    file = folder / f"races-{VERSION}.json"
    if file.exists():
        cases = list(json.loads(file.read_text()).values())
        _csv(out / "races.csv", [{k: _said(v) for k, v in c.items()} for c in cases])
        saved = sorted(c["saved"] for c in cases)
        same = sum(c["grid_best"] == c["race_best"] for c in cases)
        behind = [c["grid_fell"] - c["race_fell"] for c in cases]
        print(f"{len(cases)} races; rows saved, median {np.median(saved):.2f},", saved)
        print(f"same attack {same}; images behind: {_tally(behind)}")


def _row(one: dict[str, Any]) -> dict[str, str]:
    asked = Asked(**one["asked"])
    row: dict[str, Any] = {**one["asked"], "chosen": _yes(asked in CHOSEN)}
    row |= {name: one[name] for name in ("status", "binding", "sigma")}
    empty = ("attack", "fell", "images", "share", "low", "high", "holds")
    empty += (
        "adaptive",
        "adaptive_fell",
        "point_holds",
        "calibration",
        "held_out",
        "library",
        "library_fell",
    )
    empty += ("library_images", "library_low")
    empty += ("price", "price_holds", "smallest", "excess", "open", "excess_sure")
    row |= dict.fromkeys(empty, "")
    if "attacked" not in one:
        return {k: _said(v) for k, v in row.items()}
    worst = one["attacked"]["final"][0]
    ran = [r for r in one.get("libraries", ()) if r.get("n")]
    top = max(ran, key=lambda r: r["share"], default=None)
    low = max(r["interval"][0] for r in [worst, *ran])
    row |= {
        "attack": worst["attack"],
        "fell": worst["fell"],
        "images": worst["n"],
        "share": worst["share"],
        "low": worst["interval"][0],
        "high": worst["interval"][1],
        "holds": _yes(low <= asked.exposed),
        "point_holds": _yes(worst["share"] <= asked.exposed + 1e-12),
        **{part: worst[part]["share"] for part in _PARTS},
        "price_holds": "yes",
    }
    # The best attack that answers noise, beside the best of all.
    other = [r for r in one["attacked"]["final"] if ", adaptive" in r["attack"]]
    if other:
        row |= {"adaptive": other[0]["attack"], "adaptive_fell": other[0]["fell"]}
    if top is not None:
        row |= {"library": top["attack"], "library_fell": top["fell"]}
        row |= {"library_images": top["n"], "library_low": top["interval"][0]}
    if one["price"]:
        row["price"] = float(np.mean([p[1] for p in one["price"].values()]))
        row["price_holds"] = _yes(
            max(p[0] for p in one["price"].values()) <= asked.loss
        )
    if "excess" in one:
        grid = one["excess"]["grid"]
        # The grid ended before the claim did: no noise at all may have been enough.
        row["open"] = _yes(grid[-1][1] <= asked.exposed)
        row["smallest"] = one["excess"]["plain"]
        row["excess"] = one["sigma"] / one["excess"]["plain"]
        sure = one["excess"]["sure"]
        row["excess_sure"] = one["sigma"] / sure if math.isfinite(sure) else ""
    return {k: _said(v) for k, v in row.items()}


def _attacks(one: dict[str, Any]) -> Iterator[dict[str, str]]:
    """A line for each attack on all images, and for each of a library."""
    kinds = (
        (FINAL_SEED, one["attacked"]["final"]),
        (
            FOREIGN_SEED,
            one.get("libraries", ()),
        ),
    )
    for seed, found in kinds:
        for r in found:
            if not r.get("n"):
                continue
            row = {**one["asked"], "sigma": one["sigma"], "attack": r["attack"]}
            row |= {"attack_seed": seed, "fell": r["fell"], "images": r["n"]}
            row |= {"low": r["interval"][0], "high": r["interval"][1]}
            yield {k: _said(v) for k, v in row.items()}


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _said(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _tally(values: Iterable[Any]) -> dict[Any, int]:
    found: dict[Any, int] = {}
    for value in values:
        found[value] = found.get(value, 0) + 1
    return dict(sorted(found.items(), key=lambda pair: str(pair[0])))


def _csv(file: Path, rows: Sequence[dict[str, str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=cache_folder() / "claims")
    parser.add_argument("--out", type=Path, default=Path("docs/claims"))
    given = parser.parse_args()
    show(given.folder, given.out)


if __name__ == "__main__":
    main()
