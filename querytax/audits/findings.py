"""What an audit says, as data; it needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from querytax.audits.rules import RULES, SEVERITIES, Rule

__all__ = ["RULES", "SEVERITIES", "Audit", "Checked", "Finding", "Log", "Rule"]


@dataclass(frozen=True)
class Finding:
    """One fault, or one fact that a user should know.

    Attributes
    ----------
    rule : str
        Its stable word, a key of ``RULES``.
    severity : {"undoes", "weakens", "note"}
        ``undoes``: whoever knows of it has no noise against him, or the evaluation
        does not carry its conclusion. ``weakens``: in part, or where somebody can
        bring it about. ``note``: no fault.
    what : str
        What was found, in one sentence with its numbers.
    evidence : mapping of str to number or str
        Sample sizes, distances, and ``chance``: an upper bound of the probability that
        a sound model shows as much, where the check is one of chance.
    remedy : str
        In one line.
    """

    rule: str
    severity: str
    what: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    remedy: str = ""


@dataclass(frozen=True)
class Checked:
    """What was looked at without a finding, or could not be looked at.

    Attributes
    ----------
    rule : str
    what : str
        What was done, and its numbers; for one that was skipped, why.
    """

    rule: str
    what: str


@dataclass(frozen=True)
class Audit:
    """The findings of an audit, the worst first.

    Attributes
    ----------
    about : str
        What was audited.
    findings : tuple of Finding
    passed : tuple of Checked
        Looked at without a finding.
    skipped : tuple of Checked
        Not looked at, and why.
    measures : mapping of str to number
        What was measured beside: noise against margins, accuracy, calibration.
    n_queries : int
        Rows that the model was asked; in other processes too.
    seed : int
    false_alarm : float
        An upper bound of the probability that chance alone brings about any finding
        with a ``chance`` in its evidence, all checks together.
    """

    about: str
    findings: tuple[Finding, ...]
    passed: tuple[Checked, ...] = ()
    skipped: tuple[Checked, ...] = ()
    measures: Mapping[str, Any] = field(default_factory=dict)
    n_queries: int = 0
    seed: int = 0
    false_alarm: float = 0.0

    @property
    def worst(self) -> str:
        """The greatest severity among the findings; empty without any."""
        found = {finding.severity for finding in self.findings}
        return next((word for word in SEVERITIES if word in found), "")

    @property
    def sound(self) -> bool:
        """Whether nothing undoes the defence or weakens it."""
        return self.worst in ("", "note")

    def of(self, severity: str) -> tuple[Finding, ...]:
        """The findings of one severity."""
        return tuple(f for f in self.findings if f.severity == severity)

    @property
    def rules(self) -> tuple[str, ...]:
        """The words of all that was found."""
        return tuple(finding.rule for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "about": self.about,
            "worst": self.worst,
            "findings": [
                {
                    "rule": f.rule,
                    "severity": f.severity,
                    "what": f.what,
                    "evidence": dict(f.evidence),
                    "remedy": f.remedy,
                }
                for f in self.findings
            ],
            "checked_without_finding": {c.rule: c.what for c in self.passed},
            "skipped": {c.rule: c.what for c in self.skipped},
            "measures": dict(self.measures),
            "n_queries": self.n_queries,
            "seed": self.seed,
            "false_alarm": self.false_alarm,
        }


class Log:
    """What the checks of one audit have to say, as they go."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.passed: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        self.measures: dict[str, Any] = {}

    def found(
        self, rule: str, what: str, severity: str | None = None, **evidence: Any
    ) -> None:
        """A finding, with the severity and remedy of its rule."""
        entry = RULES[rule]
        self.passed.pop(rule, None)
        if not self.has(rule):
            self.findings.append(
                Finding(
                    rule,
                    severity or entry.severity,
                    what,
                    MappingProxyType(evidence),
                    entry.remedy,
                )
            )

    def clear(self, rule: str, what: str) -> None:
        """Looked at, and nothing found."""
        if not self.has(rule):
            self.passed[rule] = what

    def skip(self, rule: str, why: str) -> None:
        """Not looked at."""
        self.skipped.setdefault(rule, why)

    def join(self, other: Log, name: str) -> None:
        """What is said of one of several things, by its name."""
        self.findings += [replace(f, what=f"{name}: {f.what}") for f in other.findings]
        self.passed.update(other.passed)
        self.passed = {r: what for r, what in self.passed.items() if not self.has(r)}
        self.skipped.update(other.skipped)
        self.measures.update(other.measures)

    def has(self, rule: str) -> bool:
        """Whether it was found."""
        return any(finding.rule == rule for finding in self.findings)

    def audit(self, about: str, **more: Any) -> Audit:
        """All of it."""
        order = {word: place for place, word in enumerate(SEVERITIES)}
        worst_first = sorted(self.findings, key=lambda f: order[f.severity])
        passed, skipped = (
            tuple(Checked(rule, what) for rule, what in each.items())
            for each in (self.passed, self.skipped)
        )
        return Audit(
            about,
            tuple(worst_first),
            passed,
            skipped,
            MappingProxyType(self.measures),
            **more,
        )
