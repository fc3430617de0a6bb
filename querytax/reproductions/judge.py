"""Stated tests that hold what was measured against what was printed or derived.

Each test can end three ways. ``MATCHED`` and ``DIFFERS`` both need evidence;
``UNDECIDED`` says that the sample is too small for either.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.intervals import LEVEL, Interval

__all__ = [
    "DIFFERS",
    "MATCHED",
    "UNDECIDED",
    "Verdict",
    "agrees",
    "beyond",
    "follows",
    "ordered",
    "ranks",
]

MATCHED, DIFFERS, UNDECIDED = "MATCHED", "DIFFERS", "UNDECIDED"


@dataclass(frozen=True)
class Verdict:
    """How one statement fared.

    Attributes
    ----------
    statement : str
        What the paper, or a law, says, in our words.
    test : str
        The test, with its tolerance.
    verdict : str
        ``MATCHED``, ``DIFFERS`` or ``UNDECIDED``.
    expected, ours : str
        The numbers that were held against each other: what the paper prints or a law
        says, and what was measured.
    claim : str
        Its id in the ledger, if it has one.
    note : str
        What explains a difference, or limits an agreement.
    """

    statement: str
    test: str
    verdict: str
    expected: str
    ours: str
    claim: str = ""
    note: str = ""


def _said(x: Interval) -> str:
    return f"{x.value:.4g} [{x.lower:.4g}, {x.upper:.4g}]"


def agrees(
    statement: str,
    printed: float,
    ours: Interval,
    *,
    tolerance: float,
    claim: str = "",
    note: str = "",
) -> Verdict:
    """Equivalence to a printed number, within a tolerance stated beforehand.

    Matched if the whole interval lies within ``printed ± tolerance``, and different
    if all of it lies outside.
    """
    expect.positive(tolerance=tolerance)
    low, high = printed - tolerance, printed + tolerance
    if low <= ours.lower and ours.upper <= high:
        verdict = MATCHED
    elif ours.upper < low or ours.lower > high:
        verdict = DIFFERS
    else:
        verdict = UNDECIDED
    test = f"95 % interval within ±{tolerance:g}"
    return Verdict(statement, test, verdict, f"{printed:g}", _said(ours), claim, note)


def beyond(
    statement: str,
    ours: Interval,
    bound: float,
    *,
    above: bool = True,
    claim: str = "",
    note: str = "",
) -> Verdict:
    """A number above (or below) a bound: decided when its interval leaves the bound."""
    rises, falls = ours.lower > bound, ours.upper < bound
    if not above:
        rises, falls = falls, rises
    verdict = MATCHED if rises else DIFFERS if falls else UNDECIDED
    word = "above" if above else "below"
    test = f"95 % interval {word} {bound:g}"
    printed = f"{'>' if above else '<'} {bound:g}"
    return Verdict(statement, test, verdict, printed, _said(ours), claim, note)


def ordered(
    statement: str, ours: Sequence[Interval], *, claim: str = "", note: str = ""
) -> Verdict:
    """Falling values: each interval wholly below the one before it.

    Different if any one lies wholly above the one before it.
    """
    expect.that(len(ours) > 1, "at least two", values=ours)
    pairs = list(itertools.pairwise(ours))
    if any(b.lower > a.upper for a, b in pairs):
        verdict = DIFFERS
    elif all(b.upper < a.lower for a, b in pairs):
        verdict = MATCHED
    else:
        verdict = UNDECIDED
    said = " > ".join(f"{x.value:.4g}" for x in ours)
    test = "neighbouring 95 % intervals apart"
    return Verdict(statement, test, verdict, "falling", said, claim, note)


def ranks(
    statement: str,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    rising: bool = True,
    claim: str = "",
    note: str = "",
) -> Verdict:
    """Rank correlation of two lists: Kendall's tau with its exact distribution.

    Matched if the correlation has the stated sign at the 5 % level, one-sided, and
    different if it has the other. Fewer than four pairs cannot be decided.
    """
    from scipy.stats import kendalltau

    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    expect.that(a.size == b.size and a.size > 1, "as many as the other list", x=a)
    sign = 1.0 if rising else -1.0
    alpha = 1.0 - LEVEL
    with_it = kendalltau(a, sign * b, alternative="greater")
    against = kendalltau(a, sign * b, alternative="less")
    # Constant lists have no correlation: NaN decides nothing.
    decided = {MATCHED: with_it.pvalue < alpha, DIFFERS: against.pvalue < alpha}
    verdict = next((word for word, holds in decided.items() if holds), UNDECIDED)
    said = f"tau {sign * with_it.statistic:.2f}, p {with_it.pvalue:.2g}, n {a.size}"
    word = "rises" if rising else "falls"
    test = "Kendall's tau, one-sided, 5 %"
    return Verdict(statement, test, verdict, f"{word} with it", said, claim, note)


def follows(
    statement: str,
    predicted: Sequence[float],
    ours: Sequence[Interval],
    *,
    tolerance: float,
    claim: str = "",
    note: str = "",
) -> Verdict:
    """A law at several points: equivalence within a relative tolerance.

    Matched if every interval lies within ``law * (1 ± tolerance)``, and different if
    any one lies wholly outside.
    """
    expect.positive(tolerance=tolerance)
    law = np.asarray(predicted, dtype=float)
    expect.that(law.size == len(ours) > 0, "as many as the intervals", predicted=law)
    slack = tolerance * np.abs(law)
    lower = np.array([x.lower for x in ours])
    upper = np.array([x.upper for x in ours])
    nearest = np.maximum(lower - law, law - upper)
    furthest = np.maximum(upper - law, law - lower)
    if (nearest > slack).any():
        verdict = DIFFERS
    else:
        verdict = MATCHED if (furthest <= slack).all() else UNDECIDED
    gap = furthest if verdict == UNDECIDED else nearest
    worst = int(np.argmax(np.where(slack > 0, gap / slack, np.inf)))
    test = f"95 % intervals within {tolerance:.3g} of the law, {law.size} points"
    said = f"{_said(ours[worst])} at the worst"
    return Verdict(statement, test, verdict, f"{law[worst]:.4g}", said, claim, note)
