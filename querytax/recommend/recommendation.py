"""The answer: frozen, with everything that it assumed."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np

from querytax.expect import DomainError
from querytax.plans import NESPlan

__all__ = ["EXIT_CODES", "Frontier", "Recommendation"]

EXIT_CODES = {
    "FEASIBLE": 0,
    "NO_NOISE_NEEDED": 0,
    "INFEASIBLE": 3,
    "UNRESOLVED": 4,
    "OUT_OF_REGIME": 5,
}

Interval = tuple[float, float, float]


@dataclass(frozen=True)
class Frontier:
    """What noise buys and costs, level by level.

    Attributes
    ----------
    sigmas : tuple of float
        Noise levels, ascending.
    queries : tuple of (lower, estimate, upper)
        Queries that all but a share ``1 - protect`` of the images need.
    accuracy_loss : tuple of float
    plans : tuple of NESPlan
        The attack at each level.
    """

    sigmas: tuple[float, ...]
    queries: tuple[Interval, ...]
    accuracy_loss: tuple[float, ...]
    plans: tuple[NESPlan, ...]


@dataclass(frozen=True)
class Recommendation:
    """Sigma for a target query count, or why there is none.

    Attributes
    ----------
    status : str
        ``FEASIBLE``; ``NO_NOISE_NEEDED``; ``INFEASIBLE``: more noise than the accuracy
        allows, ``sigma`` is then the level with the largest tax within it;
        ``UNRESOLVED``: the probed levels end before the answer; ``OUT_OF_REGIME``: the
        statistics do not cover the question.
    site : str
    attacker : {"published", "best"}
    sigma : float
    sigma_bracket : (float, float)
        The level below was not sufficient, the level above is; equal if not searched.
    target_queries, base_queries : float
        Asked for; and the median over images without noise and with the published
        attack, as predicted or given.
    protect, fraction_protected : float
        Share of images that must, and that do, withstand ``target_queries``.
    fraction_interval : (float, float)
        Wilson interval (95 %) of that share: the images are a sample.
    predicted_queries : (lower, estimate, upper)
        At ``sigma``, for the image that ``protect`` leaves exposed first; decisions
        rest on ``lower``. Infinite where the attack stalls.
    accuracy_loss : (lower, estimate, upper)
        At ``sigma``, of ``clean_accuracy``; two standard errors to either side.
    max_accuracy_loss : float
    binding : str
        The constraint that decided.
    sigma_for_queries, sigma_for_accuracy : float
        The least level that reaches the target (infinite if none probed does) and the
        largest that keeps the accuracy.
    plan : NESPlan
        The attack that the prediction is about.
    floor_queries : float
        Mean queries about one probe direction that the sign of the loss's change costs
        if it is to be right 99 times in 100, at the best loss and size probed, by any
        sequential test that knows its magnitude. It bounds one comparison of these
        losses, not every attack.
    advice : str
        What would make the target feasible, or how to resolve the question.
    frontier : Frontier
    laws : dict of str to str
        The laws used, each with its regime.
    notes : tuple of str
    provenance : dict
    """

    status: str
    site: str
    attacker: str
    sigma: float
    sigma_bracket: tuple[float, float]
    target_queries: float
    base_queries: float
    protect: float
    fraction_protected: float
    fraction_interval: tuple[float, float]
    predicted_queries: Interval
    accuracy_loss: Interval
    clean_accuracy: float
    max_accuracy_loss: float
    binding: str
    sigma_for_queries: float
    sigma_for_accuracy: float
    plan: NESPlan
    floor_queries: float
    advice: str
    frontier: Frontier
    laws: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """Exit code of the command line for this status."""
        return EXIT_CODES[self.status]

    @property
    def tax(self) -> float:
        """Predicted queries (lower) over those of the same attacker without noise.

        NaN where he fails without noise already.
        """
        without = self.frontier.queries[0][0]
        return math.nan if math.isinf(without) else self.predicted_queries[0] / without

    def statement(self) -> str:
        """A paragraph for a person, every assumption in it."""
        if self.status == "OUT_OF_REGIME":
            return textwrap.fill(
                f"These statistics cannot answer: {self.advice}. The attack: "
                f"{self.plan.describe()}. Nothing is recommended.",
                79,
            )
        loss = self.accuracy_loss
        who = {
            "published": "an attacker who keeps the published settings",
            "best": "an attacker who knows the defence and answers",
        }[self.attacker]
        noise = f"Gaussian noise of standard deviation {self.sigma:.6g} at {self.site}"
        need = self._needed()
        match self.status:
            case "FEASIBLE":
                head = f"{noise} is enough: {who} needs {need}.{self._taxed()}"
            case "NO_NOISE_NEEDED":
                head = f"No noise is needed: {who} needs {need} already."
            case "INFEASIBLE":
                head = (
                    f"No noise at {self.site} that the accuracy allows is enough. Of "
                    f"standard deviation {self.sigma:.4g} it does most: {who} then "
                    f"needs {need}, where the target is {count(self.target_queries)}."
                    f"{self._taxed()}"
                )
            case _:
                head = (
                    f"The probed noise levels at {self.site} end before the target is "
                    f"reached: at {self.sigma:.4g} {who} needs {need}."
                )
        said = [
            head,
            f"The attack: {self.plan.describe()}; the budget binds the final image, "
            "not the probes.",
            f"Target {count(self.target_queries)} queries for "
            f"{percent(self.protect)} of the images that the model gets right; "
            f"{percent(self.fraction_protected)} reach it (95 % interval "
            f"{percent(self.fraction_interval[0])} to "
            f"{percent(self.fraction_interval[1])}, the images being a sample). "
            "Without noise the published attack's median is "
            f"{count(self.base_queries)} queries.",
            f"Price: {percent(loss[1])} of accuracy (between {percent(loss[0])} and "
            f"{percent(loss[2])}, two standard errors) of "
            f"{percent(self.clean_accuracy)}; {percent(self.max_accuracy_loss)} were "
            "allowed.",
            "Assumed: fresh independent noise for every query; one plan for all "
            f"images; steps of {self._stepping()}; signal, noise and curvature as "
            "measured on the way to the boundary. An attack of another kind, or one "
            "that has a copy of the model, is not covered.",
        ]
        if self.advice:
            said.insert(1, self.advice + ".")
        said += [f"Note: {note}." for note in self.notes]
        return textwrap.fill(" ".join(said), 79)

    def _needed(self) -> str:
        """What the attacker needs, in words."""
        low, estimate, _ = self.predicted_queries
        exposed = f"more than the easiest {percent(1 - self.protect)} of the images"
        if math.isinf(low):
            return f"{count(low)} queries to break {exposed}: the attack stalls"
        return (
            f"{count(low)} queries or more (best guess {count(estimate)}) to break "
            f"{exposed}"
        )

    def _stepping(self) -> str:
        return "a fixed rate" if self.plan.step_rule == "plain" else "fixed length"

    def _taxed(self) -> str:
        """The tax in words, where there is one to state."""
        if not math.isfinite(self.tax):
            return ""
        return f" That is {self.tax:.3g} times the same attacker's cost without noise."

    def to_json(self) -> dict[str, Any]:
        """Plain data; infinities become the word ``"inf"``."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))
        return plain

    @classmethod
    def from_json(cls, data: dict[str, Any] | str) -> Recommendation:
        """What :meth:`to_json` wrote, from the mapping or its text.

        Raises
        ------
        DomainError
            If it is something else.
        """
        try:
            plain = dict(json.loads(data) if isinstance(data, str) else data)
            values = _revived(plain)
            frontier = dict(values["frontier"])
            frontier["plans"] = tuple(NESPlan(**p) for p in frontier["plans"])
            return cls(
                **{
                    **values,
                    "plan": NESPlan(**values["plan"]),
                    "frontier": Frontier(**frontier),
                    # Free data: its lists are lists, and its words are words.
                    "provenance": plain["provenance"],
                }
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DomainError(
                "expected data to be a recommendation's JSON, got something else: "
                f"{str(error).splitlines()[0]}"
            ) from None

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the frontier; to a file if ``path`` is given.

        Returns
        -------
        matplotlib.figure.Figure
        """
        import querytax

        return querytax.frontier_figure([self], path=path)


def count(value: float) -> str:
    """A number of queries for a person."""
    if math.isinf(value):
        return "endlessly many"
    return f"{value:,.0f}" if value < 1e7 else f"{value:.3g}"


def percent(value: float) -> str:
    """A share for a person."""
    return f"{100 * value:.3g} %"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


def _revived(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _revived(v) for key, v in value.items()}
    if isinstance(value, list):
        return tuple(_revived(v) for v in value)
    if value in ("inf", "-inf"):
        return float(value)
    return value
