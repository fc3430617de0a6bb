"""Audits: defences that are none, and evaluations that fool themselves."""

from querytax.audits.findings import RULES, Audit, Checked, Finding, Rule
from querytax.audits.inspection import audit
from querytax.audits.results import audit_result
from querytax.audits.sarif import to_sarif
from querytax.audits.tables import ResultTable, read_table

__all__ = [
    "RULES",
    "Audit",
    "Checked",
    "Finding",
    "ResultTable",
    "Rule",
    "audit",
    "audit_result",
    "read_table",
    "to_sarif",
]
