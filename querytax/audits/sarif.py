"""An audit as SARIF 2.1.0, which code hosts and editors show."""

from __future__ import annotations

from typing import Any

from querytax import __version__
from querytax.audits.findings import Audit
from querytax.audits.rules import RULES

__all__ = ["to_sarif"]

_LEVELS = {"undoes": "error", "weakens": "warning", "note": "note"}
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def to_sarif(audit: Audit, place: str = "") -> dict[str, Any]:
    """An audit as one run of SARIF.

    Parameters
    ----------
    audit : Audit
    place : str
        What was audited, as a relative path or a name; where a viewer puts the results.

    Returns
    -------
    dict
        Valid by the schema of SARIF 2.1.0. What was found is a result; what was looked
        at without a finding is one of kind ``pass``, and what was not looked at one of
        kind ``notApplicable``.

    Examples
    --------
    >>> from querytax.audits import Audit, Finding
    >>> log = to_sarif(Audit("M", (Finding("noise/none", "note", "alike"),)))
    >>> log["runs"][0]["results"][0]["level"]
    'note'
    """
    rules = list(RULES)
    results = []
    for f in audit.findings:
        one = _result(rules, f.rule, f.what, audit, place)
        one |= {"level": _LEVELS[f.severity], "kind": "fail"}
        one["properties"] = {"evidence": dict(f.evidence), "severity": f.severity}
        one["message"]["text"] += f". Remedy: {f.remedy}." if f.remedy else ""
        results.append(one)
    for kind, checks in (("pass", audit.passed), ("notApplicable", audit.skipped)):
        for check in checks:
            # Steps of an audit that have no rule of their own say no more than a text.
            if check.rule in RULES:
                one = _result(rules, check.rule, check.what, audit, place)
                results.append(one | {"level": "none", "kind": kind})
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "querytax audit",
                        "semanticVersion": __version__,
                        "rules": [
                            {
                                "id": word,
                                "shortDescription": {"text": rule.about},
                                "help": {"text": rule.remedy},
                                "defaultConfiguration": {
                                    "level": _LEVELS[rule.severity]
                                },
                            }
                            for word, rule in RULES.items()
                        ],
                    }
                },
                "results": results,
                "properties": {
                    "about": audit.about,
                    "measures": dict(audit.measures),
                    "n_queries": audit.n_queries,
                    "seed": audit.seed,
                    "false_alarm": audit.false_alarm,
                },
            }
        ],
    }


def _result(
    rules: list[str], rule: str, what: str, audit: Audit, place: str
) -> dict[str, Any]:
    name = place or audit.about
    where: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": name}]}
    return {
        "ruleId": rule,
        "ruleIndex": rules.index(rule),
        "message": {"text": what},
        "locations": [where],
    }
