"""Claims of Aithal & Li (2022) about the success rates and distortions it printed.

They are held against the paper's own tables.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from querytax.papers import column, number, rows, text
from querytax.validation._tables import tabled
from querytax.validation.claim import Claim, Form, Point, Unavailable

__all__ = ["RATES"]

KEY = "aithal-li-2022"
SUCCESS = "success_rate_percent"
NOTHING = (Point({}),)


def _at_least(bar: float, sigma: str, tables: tuple[str, ...], **where: str) -> float:
    """Attacks in the tables whose success is no less than this, in percent."""
    found = [column(KEY, t, SUCCESS, sigma=sigma, **where) for t in tables]
    return float(sum(rate >= bar for rates in found for rate in rates))


def _count(what: str, printed: float, found: float, slip: float) -> dict[str, Any]:
    """Forms of a claim about a number in the tables."""
    forms = {
        "kind": "data",
        "topic": "data",
        "printed": Form(f"{what}: {printed:g}", lambda: printed),
        "mutant": Form(f"{what}: {slip:g}", lambda: slip),
        "points": NOTHING,
        "margin": 1e-3,
    }
    if printed != found:
        forms["corrected"] = Form(f"{what}: {found:g}", lambda: found)
    return forms


def _growth(dataset: str, sigma: str, count: str, like: str = "") -> float:
    """Success after averaging over success without; ``like``: σ/√N in table 2."""
    base = number(KEY, "table-7", SUCCESS, dataset=dataset, sigma=sigma, repeats="1")
    if not like:
        table, where = "table-7", {"repeats": count, "sigma": sigma}
    else:
        attack = "AZ+AE" if dataset == "MNIST" else "AZ"
        table, where = "table-2", {"attack": attack, "sigma": like}
    return number(KEY, table, SUCCESS, dataset=dataset, **where) / base


def _quantised_change() -> float:
    """Largest distance of table 5 from the success in table 2 without noise."""
    gaps = []
    for row in rows(KEY, "table-5"):
        same = {"dataset": row["dataset"], "attack": row["attack"], "sigma": "0"}
        if row["quantization_bits"] and row["dataset"] == "MNIST":
            clean = number(KEY, "table-2", SUCCESS, **same)
            gaps.append(abs(clean - float(row[SUCCESS])))
    return max(gaps)


def _falling() -> float:
    """Attacks in table 12 whose distortion falls by over 5 % at some more noise."""
    curves: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for row in rows(KEY, "table-12"):
        printed = row["l2_distortion_per_pixel_in_1e-4"]
        if printed:
            curve = curves.setdefault((row["goal"], row["dataset"], row["attack"]), [])
            curve.append((float(row["sigma"]), float(printed)))
    falls = 0
    for curve in curves.values():
        values = [value for _, value in sorted(curve)]
        pairs = itertools.pairwise(values)
        falls += any(after < 0.95 * before for before, after in pairs)
    return float(falls)


RATES: tuple[Claim, ...] = (
    tabled(
        lambda: max(
            rate
            for table in ("table-2", "table-3", "table-9", "table-10")
            for rate in column(KEY, table, SUCCESS, sigma="1e-2")
        ),
        "tables 2, 3, 9 and 10",
        id=f"{KEY}/c2",
        statement="Noise of 0.01 at most prevents the attacks on all three datasets.",
        source="section I",
        **_count("largest success rate at most, %", 50.0, 88.0, 70.0)
        | {"kind": "upper bound"},
        expected="REFUTED",
        note="Prevented: not even every second image. Boundary breaks 88 % of CIFAR10.",
    ),
    tabled(
        lambda: min(
            rate
            for dataset in ("MNIST", "CIFAR10")
            for rate in column(KEY, "table-2", SUCCESS, dataset=dataset)
        ),
        "table 2",
        id=f"{KEY}/c15",
        statement="With ten classes no success rate falls below 10 %.",
        source="section IV-B1",
        **_count("least success rate at least, %", 10.0, 5.13, 6.0)
        | {"kind": "lower bound"},
        expected="REFUTED",
        note="A guess hits the target in 10 %; a targeted attack has no such floor.",
    ),
    *(
        tabled(
            value,
            table,
            id=f"{KEY}/{row}",
            statement=statement,
            source="section IV-B1",
            **_count(f"attacks at {bar} % or more", 0.0, found, found + 1.0),
            expected=expected,
            note=note,
        )
        for row, statement, bar, value, table, found, expected, note in (
            (
                "c16",
                "On MNIST noise of 0.001 brings every attack below 20 %.",
                20,
                lambda: _at_least(20.0, "1e-3", ("table-2",), dataset="MNIST"),
                "table 2",
                1.0,
                "REFUTED",
                "AZ+AE is left with 20.33 %.",
            ),
            (
                "c17",
                "On CIFAR10 noise of 0.01 brings every attack below 20 %.",
                20,
                lambda: _at_least(20.0, "1e-2", ("table-2",), dataset="CIFAR10"),
                "table 2",
                0.0,
                "CONFIRMED",
                "The strongest is left with 19.56 %.",
            ),
            (
                "c18",
                "On IMAGENET noise of 1e-4 brings every attack below 20 %.",
                20,
                lambda: _at_least(20.0, "1e-4", ("table-2",), dataset="IMAGENET"),
                "table 2",
                1.0,
                "REFUTED",
                "NES is left with 20.00 %.",
            ),
            (
                "c19",
                "Noise of 0.01 brings every targeted hard-label attack below 25 %.",
                25,
                lambda: _at_least(25.0, "1e-2", ("table-3",)),
                "table 3",
                1.0,
                "REFUTED",
                "OPT on CIFAR10 is left with 25.0 %.",
            ),
        )
    ),
    tabled(
        _quantised_change,
        "tables 2 and 5, MNIST",
        id=f"{KEY}/c21",
        statement="Rounding to 8, 4 or 2 bits leaves every success rate as it was.",
        source="section IV-B3, table 5",
        **_count("largest change, points", 0.0, 5.5, 3.0),
        expected="REFUTED",
        note=(
            "AZ+AE has 100 % without rounding in table 2. The same four digits at all "
            "depths, where mean outputs round to 0, say that the attack did not read "
            "rounded outputs."
        ),
    ),
    tabled(
        lambda: number(KEY, "table-1", "beta", model="IMAGENET (InceptionV3)"),
        "table 1",
        id=f"{KEY}/c22",
        statement="The probe of the attack on IMAGENET, and of the quoted SNR.",
        source="section IV-B3, table 6",
        **_count("probe", 1e-3, 1e-5, 1e-4),
        expected="REFUTED",
        note=(
            "The SNR and the ratio are those of a probe 100 times smaller; if the "
            "difference follows the probe, they are off by 1e4."
        ),
    ),
    tabled(
        _growth,
        "tables 2 and 7",
        id=f"{KEY}/c23",
        statement="Averaging up to 1,000 answers raises no success rate much.",
        kind="upper bound",
        topic="repeats",
        source="section IV-B3, table 7",
        printed=Form("at most twofold", lambda dataset, sigma, count, like: 2.0),
        mutant=Form("at most by 0.4", lambda dataset, sigma, count, like: 1.4),
        points=(
            *(
                Point({"dataset": d, "sigma": s, "count": "1000", "like": ""})
                for d in ("MNIST", "CIFAR10")
                for s in ("1e-4", "1e-2")
            ),
            # A million answers averaged: noise of 1e-2 acts as 1e-5.
            Point(
                {"dataset": "MNIST", "sigma": "1e-2", "count": "1e6", "like": "1e-5"},
                inside=False,
            ),
            Point(
                {"dataset": "CIFAR10", "sigma": "1e-2", "count": "1e6", "like": "1e-5"},
                inside=False,
            ),
        ),
        margin=0.01,
        regime="N up to 1,000: far fewer than the noise asks for",
        expected="CONFIRMED_IN_REGIME",
        note="No sign of robustness: N answers act as noise of σ/√N in table 2.",
    ),
    Claim(
        id=f"{KEY}/c24",
        statement="Twice as many directions do not help the attacker.",
        kind="data",
        topic="data",
        source="section IV-B3, table 8",
        evidence=Unavailable(
            "15.78 and 57.89 % are 3 and 11 of 19 images: a standard error of 12 points"
        ),
        expected="INCONCLUSIVE",
    ),
    tabled(
        lambda: _at_least(50.0, "1e-2", ("table-9", "table-10")),
        "tables 9 and 10",
        id=f"{KEY}/c25",
        statement="Noise of 0.01 mitigates all untargeted attacks.",
        source="section IV-C",
        **_count("attacks that still break half the images", 0.0, 5.0, 4.0),
        expected="REFUTED",
        note="Boundary on MNIST and CIFAR10, HopSkipJump on all three datasets.",
    ),
    tabled(
        _falling,
        "table 12",
        id=f"{KEY}/c26",
        statement="The distortion grows with the noise.",
        source="section IV-D, table 12",
        **_count("attacks whose distortion falls somewhere", 0.0, 11.0, 10.0),
        expected="REFUTED",
        note="11 of 31, by over 5 % from one level to the next.",
    ),
    tabled(
        lambda: math.sqrt(text(f"{KEY}/c33", "variance of the residual noise")),
        "section IV-B3",
        id=f"{KEY}/c33",
        statement="Residual noise of variance 1e-16 has a standard deviation of 1e-8.",
        source="section IV-B3",
        **_count("standard deviation", 1e-8, 1e-8, 1e-16) | {"kind": "exact"},
        expected="CONFIRMED",
    ),
)
