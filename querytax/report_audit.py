"""What a person reads of an audit."""

from __future__ import annotations

import textwrap

from querytax.audits.findings import Audit, Finding
from querytax.audits.rules import SEVERITIES
from querytax.terminal import WIDTH
from querytax.words import spelt

__all__ = ["print_audit"]

_SAID = {
    "undoes": "UNDOES",
    "weakens": "WEAKENS",
    "note": "note",
}


def print_audit(audit: Audit) -> None:
    """Findings with evidence and remedy, then what was looked at and what was not."""
    counts = {word: len(audit.of(word)) for word in SEVERITIES}
    listed = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    asked = f"; {audit.n_queries:,} rows asked" if audit.n_queries else ""
    _say(f"Audit of {audit.about}: {listed or 'no finding'}{asked}.")
    for finding in audit.findings:
        print()
        _finding(finding)
    if audit.measures:
        print("\nMeasured:")
        for name, value in audit.measures.items():
            _say(f"{name}: {_number(value)}", "  ", "    ")
    if audit.passed:
        print("\nLooked at without a finding:")
        for check in audit.passed:
            _say(f"{check.rule}: {check.what}", "  ", "    ")
    if audit.skipped:
        print("\nNot looked at:")
        for check in audit.skipped:
            _say(f"{check.rule}: {check.what}", "  ", "    ")
    if audit.n_queries and audit.false_alarm:
        print()
        _say(
            "Chance alone raises anything in at most one of "
            f"{1 / audit.false_alarm:,.0f} audits of a sound model."
        )


def _finding(finding: Finding) -> None:
    _say(f"{_SAID[finding.severity]} {finding.rule}")
    _say(f"{finding.what}.", "  ", "  ")
    if "chance" in finding.evidence:
        chance = finding.evidence["chance"]
        _say(f"By chance: at most {chance:.2g}." if chance else "Not by chance.", "  ")
    if finding.remedy:
        _say(f"Remedy: {finding.remedy}.", "  ", "  ")


def _number(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, (int, float)) else str(value)


def _say(text: str, first: str = "", rest: str = "  ") -> None:
    print(
        textwrap.fill(
            spelt(text),
            WIDTH,
            initial_indent=first,
            subsequent_indent=rest,
            break_on_hyphens=False,
        )
    )
