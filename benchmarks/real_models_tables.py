"""The tables of ``real_models.py``: rows that were measured, as Markdown."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

__all__ = ["ANSWERED", "FILES", "agreement", "into", "read", "tables"]

Row = dict[str, str]

FILES = {
    "answers": "answers.csv",
    "predicted": "predicted.csv",
    "verified": "verified.csv",
    "walked": "walked.csv",
}
# Answers that say that something is enough.
ANSWERED = ("FEASIBLE", "NO_NOISE_NEEDED")
MARK = "<!-- From here on by benchmarks/real_models.py --tables. -->"


def read(folder: Path) -> dict[str, list[Row]]:
    """The rows of each kind that there are."""
    found: dict[str, list[Row]] = {}
    for kind, name in FILES.items():
        path, found[kind] = folder / name, []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as stream:
                found[kind] = list(csv.DictReader(stream))
    return found


def into(page: Path, found: dict[str, list[Row]], asked: Sequence[Row]) -> None:
    """Write the tables into a page, behind its mark."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    head = text.partition(MARK)[0]
    page.write_text(f"{head}{MARK}\n\n{tables(found, asked)}", encoding="utf-8")


def tables(found: dict[str, list[Row]], asked: Sequence[Row]) -> str:
    """All tables, and what was asked and is not answered."""
    lines = [*_made(found["answers"]), "", "## Asked and answered", ""]
    lines += _table(_ANSWERS, [_answer(row) for row in found["answers"]])
    lines += ["", "## Predicted against measured", ""]
    lines += _table(_AGREES, agreement(found["predicted"]))
    lines += ["", *_table(_PREDICTED, [_predicted(r) for r in found["predicted"]])]
    lines += ["", "## Attacked again", ""]
    lines += _table(_VERIFIED, [_verified(row) for row in found["verified"]])
    lines += ["", "## What the probe reaches", ""]
    lines += _table(_WALKED, [_walked(row) for row in found["walked"]])
    known = [{k: row[k] for k in words} for row in found["answers"] for words in asked]
    rest = [_where(words) for words in asked if words not in known]
    if rest:
        lines += ["", "## Not run", "", "; ".join(rest) + "."]
    return "\n".join(lines) + "\n"


# -- what was asked ------------------------------------------------------------------

_ANSWERS = (
    "network, Linf budget, site",
    "access",
    "target",
    "answer",
    "rests on",
    "sigma",
    "accuracy lost, points",
    "without noise",
    "the attack that binds: queries",
    "next of another kind",
    "broken",
    "laws say",
)


def _made(rows: Sequence[Row]) -> list[str]:
    """How the rows were made."""
    lines = []
    for words in dict.fromkeys(
        tuple(
            row[k]
            for k in (
                "calibration",
                "held_out",
                "effort",
                "max_accuracy_loss",
                "seed",
                "protect",
                "machine",
                "date",
            )
        )
        for row in rows
    ):
        cal, held, effort, loss, seed, protect, machine, date = words
        lines.append(
            f"{cal} images to choose on, {held} to certify on; effort `{effort}`; at "
            f"most {100 * float(loss):g} points of accuracy; the share {protect} of "
            f"the images must withstand the target; seed {seed}; {machine}, {date}."
        )
    rows_asked = sum(int(row["rows"]) for row in rows)
    seconds = sum(float(row["seconds"]) for row in rows)
    lines.append(
        f"{len(rows)} answers, {rows_asked:,} rows through the networks, "
        f"{seconds / 60:.0f} minutes of one thread."
    )
    return lines


def _answer(row: Row) -> list[str]:
    blind = "blind" in row["binding"]
    without = _by(row["noiseless_attack"], row, "noiseless")
    return [
        f"{row['network']}, {_eps(row)}, {row['site']}",
        row["access"],
        row["target"],
        row["status"],
        row["evidence"],
        "any" if blind else row["sigma"],
        "" if blind else _span(row, "loss", 100.0),
        without,
        _by(row["attack"], row, "cost"),
        _by(row["runner_up_attack"], row, "runner_up"),
        _share(row),
        _span(row, "predicted"),
    ]


def _where(words: Row) -> str:
    return (
        f"{words['network']}, {_eps(words)}, {words['site']}, {words['access']}, "
        f"{words['target']}"
    )


# -- predicted against measured --------------------------------------------------------

_AGREES = (
    "attack",
    "comparisons",
    "finite pairs",
    "median of abs(log2(predicted / measured))",
    "median of predicted / measured",
    "predicted never, and they fell",
    "neither predicted nor seen within the budget",
    "predicted within the budget, and they did not fall",
    "measured below the predicted lower end",
)

_PREDICTED = (
    "network, Linf budget, site",
    "sigma",
    "attack",
    "predicted",
    "measured (95 %)",
    "predicted / measured",
    "broken",
    "verdict",
)


def agreement(rows: Sequence[Row]) -> list[list[str]]:
    """How near the laws are, by attack; all of them last."""
    by: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by[row["attack"]].append(row)
    found = [_agrees(word, own) for word, own in sorted(by.items())]
    if len(found) > 1:
        found.append(_agrees("all", rows))
    return found


def _agrees(word: str, rows: Sequence[Row]) -> list[str]:
    pairs = [(float(r["predicted"]), float(r["measured"])) for r in rows]
    budgets = [float(r["budget"]) for r in rows]
    fell = [m <= b for (_, m), b in zip(pairs, budgets, strict=True)]
    ratios = np.array(
        [p / m for (p, m), f in zip(pairs, fell, strict=True) if f and np.isfinite(p)]
    )
    never = sum(f and math.isinf(p) for (p, _), f in zip(pairs, fell, strict=True))
    stood = [p <= b for (p, _), b, f in zip(pairs, budgets, fell, strict=True) if not f]
    below = sum(float(r["measured"]) < float(r["predicted_low"]) for r in rows)
    return [
        word,
        str(len(rows)),
        str(ratios.size),
        f"{np.median(np.abs(np.log2(ratios))):.2f}" if ratios.size else "",
        f"{np.median(ratios):.2f}" if ratios.size else "",
        str(never),
        str(len(stood) - sum(stood)),
        str(sum(stood)),
        str(below),
    ]


def _predicted(row: Row) -> list[str]:
    predicted, measured = float(row["predicted"]), float(row["measured"])
    ratio = ""
    if math.isfinite(predicted) and math.isfinite(measured):
        ratio = f"{predicted / measured:.2f}"
    return [
        f"{row['network']}, {_eps(row)}, {row['site']}",
        row["sigma"],
        row["attack"],
        _span(row, "predicted"),
        _span(row, "measured", beyond=float(row["budget"])),
        ratio,
        _share(row),
        _verdict(row),
    ]


def _verdict(row: Row) -> str:
    """Where the predicted interval lies beside the measured one."""
    budget = float(row["budget"])
    low, high = (min(float(row[f"predicted_{end}"]), budget) for end in ("low", "high"))
    least, most = (
        min(float(row[f"measured_{end}"]), budget) for end in ("low", "high")
    )
    if high < least:
        return "predicted too few"
    return "**predicted too many**" if low > most else "overlap"


# -- attacked again --------------------------------------------------------------------

_VERIFIED = (
    "network, Linf budget, site",
    "access",
    "target",
    "sigma",
    "attacks",
    "images",
    "the strongest",
    "broken",
    "answer refuted",
)


def _verified(row: Row) -> list[str]:
    return [
        f"{row['network']}, {_eps(row)}, {row['site']}",
        row["access"],
        row["target"],
        row["sigma"],
        row["attacks"],
        row["images"],
        row["attack"],
        _share(row),
        "**yes**" if row["refuted"] == "True" else "no",
    ]


_WALKED = (
    "network, Linf budget",
    "images",
    "reached by white-box descent",
    "broken without noise by some attack",
    "broken, and not reached",
)


def _walked(row: Row) -> list[str]:
    return [
        f"{row['network']}, {_eps(row)}",
        *(row[name] for name in ("images", "reached", "broken", "missed")),
    ]


# -- words -----------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return ["Nothing yet."]
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _eps(row: Row) -> str:
    eps = float(row["eps"])
    whole = eps * 255
    # Six digits of eps are kept.
    near = abs(whole - round(whole)) < 1e-3 and eps not in (0.2, 0.4)
    return f"{round(whole)}/255" if near else f"{eps:g}"


def _count(value: float, beyond: float = math.inf) -> str:
    if math.isinf(value):
        return f"> {beyond:,.0f}" if math.isfinite(beyond) else "never"
    return f"{value:,.0f}" if value < 1e7 else f"{value:.0e}"


def _span(row: Row, name: str, scale: float = 1.0, beyond: float = math.inf) -> str:
    """A number with its interval; nothing where there is none."""
    cells = row[f"{name}_low"], row[name], row[f"{name}_high"]
    if "" in cells:
        return ""
    low, middle, high = (float(cell) * scale for cell in cells)
    if scale != 1.0:
        return f"{middle:.1f} ({low:.1f} to {high:.1f})"
    return f"{_count(middle, beyond)} ({_count(low, beyond)} to {_count(high, beyond)})"


def _by(who: str, row: Row, name: str) -> str:
    if not who:
        return ""
    beyond = float(row["certified_to"]) or math.inf
    cost = _span(row, name, beyond=beyond)
    return f"{who}: {cost}" if cost else who


def _share(row: Row) -> str:
    if row["share"] == "":
        return ""
    low, middle, high = (
        100 * float(row[name]) for name in ("share_low", "share", "share_high")
    )
    return f"{middle:.0f} % ({low:.0f} to {high:.0f}) of {row['images']}"
