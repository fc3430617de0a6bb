"""A claim: one statement of a paper, what would show it true, and what false.

A claim is frozen data. Its evidence is a simulation of the definition, another
computation of the same number, or the paper's own tables; :mod:`ledger` runs it and
gives the verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from querytax.montecarlo.runs import Experiment

__all__ = [
    "Claim",
    "Computed",
    "Evidence",
    "Form",
    "Point",
    "Simulated",
    "Tabled",
    "Unavailable",
    "Verdict",
    "at",
]

Kind: TypeAlias = Literal[
    "definition",
    "exact",
    "approximation",
    "upper bound",
    "lower bound",
    "asymptotic",
    "data",
]
Verdict: TypeAlias = Literal[
    "DEFINITION",
    "CONFIRMED",
    "CONFIRMED_IN_REGIME",
    "REFUTED",
    "INCONCLUSIVE",
    "BROKEN",
]


@dataclass(frozen=True)
class Form:
    """A formula as text and as a function of a point's arguments.

    Attributes
    ----------
    text : str
        The formula in one line.
    value : callable
        Its value from the arguments of a point, by keyword.
    """

    text: str
    value: Callable[..., float]


@dataclass(frozen=True)
class Point:
    """Arguments at which a claim is held against its evidence.

    Attributes
    ----------
    arguments : mapping of str to float or str
    inside : bool
        Whether they lie in the regime that the claim needs; outside it a claim may
        fail without being refuted everywhere.
    """

    arguments: Mapping[str, Any]
    inside: bool = True


def at(names: str, *inside: Any, outside: Any = ()) -> tuple[Point, ...]:
    """Points of the named arguments, in the claimed regime and out of it."""
    keys = names.split()
    return tuple(
        Point(dict(zip(keys, row, strict=True)), within)
        for rows, within in ((inside, True), (outside, False))
        for row in rows
    )


@dataclass(frozen=True)
class Simulated:
    """The definition, drawn: an experiment from a point's arguments."""

    experiment: Callable[..., Experiment]


@dataclass(frozen=True)
class Computed:
    """The same number by another way: quadrature, recursion, enumeration.

    Attributes
    ----------
    value : callable
        From a point's arguments.
    error : float
        Relative error of that way; far below the claim's margin.
    """

    value: Callable[..., float]
    error: float = 1e-9


@dataclass(frozen=True)
class Tabled:
    """The paper's own numbers.

    Attributes
    ----------
    value : callable
        What the tables give, without arguments; compared with the claim's printed
        form, whose value is a number too.
    source : str
        Which tables, as files under ``paper_reproductions``.
    """

    value: Callable[[], float]
    source: str


@dataclass(frozen=True)
class Unavailable:
    """Nothing at hand decides it, and why."""

    reason: str


Evidence: TypeAlias = Simulated | Computed | Tabled | Unavailable | None


@dataclass(frozen=True)
class Claim:
    """One statement of a paper.

    Attributes
    ----------
    id : str
        Paper's key and row, as in ``"rfd-2024/f11"``; permanent.
    statement : str
        What is claimed, in our own words.
    kind : str
        ``"definition"``, ``"exact"``, ``"approximation"``, ``"upper bound"``,
        ``"lower bound"``, ``"asymptotic"`` or ``"data"``.
    topic : str
        A topic of the theory, or ``"data"``.
    source : str
        Place in the paper.
    printed : Form or None
        The form under test, as printed; None for a definition.
    evidence : Simulated, Computed, Tabled, Unavailable or None
        What it is held against; None for a definition.
    points : tuple of Point
        Where; one empty point for a tabled claim.
    corrected : Form or None
        The true form, where the printed one fails.
    mutant : Form or None
        A slightly wrong version of the true form, which the same test must refute.
    margin : float
        Relative difference that would change a recommendation; smaller ones count as
        agreement.
    regime : str
        Where the printed form holds, in words.
    expected : str
        The recorded verdict; another one is a surprise.
    note : str
        What a reader should know beside the verdict.
    """

    id: str
    statement: str
    kind: Kind
    topic: str
    source: str
    expected: Verdict
    printed: Form | None = None
    evidence: Evidence = None
    points: tuple[Point, ...] = ()
    corrected: Form | None = None
    mutant: Form | None = None
    margin: float = 0.05
    regime: str = ""
    note: str = ""

    @property
    def forms(self) -> dict[str, Form]:
        """The printed, corrected and mutant form, as far as there are any."""
        named = {
            name: getattr(self, name) for name in ("printed", "corrected", "mutant")
        }
        return {name: form for name, form in named.items() if form is not None}

    def __post_init__(self) -> None:
        decidable = isinstance(self.evidence, Simulated | Computed | Tabled)
        if decidable and not (self.printed and self.mutant and self.points):
            raise TypeError(f"{self.id} wants a printed form, a mutant and points")
        if self.kind == "definition" and (self.printed or self.evidence):
            raise TypeError(f"{self.id} is a definition and has nothing to test")
