"""The ledger as one page that needs nothing else."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from querytax.files import atomic_write
from querytax.validation.ledger import Ledger

__all__ = ["write_page"]

_WIDTH, _HEIGHT, _EDGE = 460, 26, 8
_COLOURS = {"printed": "#d55e00", "corrected": "#0072b2", "mutant": "#999999"}


def _number(value: Any) -> float:
    return float(value)


def _plot(finding: Mapping[str, Any]) -> Markup:
    """The interval as a bar, and each form as a mark; empty if a number is none."""
    low, high = _number(finding["low"]), _number(finding["high"])
    forms = {k: _number(v) for k, v in finding["forms"].items()}
    values = [low, high, *(v for v in forms.values() if math.isfinite(v))]
    if not all(map(math.isfinite, values)) or min(values) == max(values):
        return Markup("")
    start, span = min(values), max(values) - min(values)

    def x(value: float) -> float:
        return _EDGE + (_WIDTH - 2 * _EDGE) * (value - start) / span

    middle = _HEIGHT / 2
    marks = [
        f'<rect x="{x(low):.1f}" y="{middle - 4}" height="8" fill="#00000055" '
        f'width="{max(x(high) - x(low), 1.5):.1f}"><title>interval {low:.6g} to '
        f"{high:.6g}</title></rect>"
    ]
    for name, value in forms.items():
        if math.isfinite(value):
            marks.append(
                f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="3" '
                f'y2="{_HEIGHT - 3}" stroke="{_COLOURS[name]}" stroke-width="2">'
                f"<title>{name} {value:.6g}</title></line>"
            )
    return Markup(
        f'<svg role="img" width="{_WIDTH}" height="{_HEIGHT}" aria-label="interval and '
        f'forms">{"".join(marks)}</svg>'
    )


def _shown(finding: Mapping[str, Any]) -> str:
    value, low, high = (_number(finding[key]) for key in ("value", "low", "high"))
    return f"{value:.6g}" if low == high else f"{value:.6g} [{low:.6g}, {high:.6g}]"


def write_page(ledger: Ledger, path: str | os.PathLike[str]) -> None:
    """Write the ledger as a self-contained HTML page.

    Parameters
    ----------
    ledger : Ledger
    path : path
        Whole or not at all.
    """
    facts = ledger.facts()
    for claim in facts["claims"]:
        for finding in claim["findings"]:
            finding["plot"], finding["shown"] = _plot(finding), _shown(finding)
            finding["forms"] = {
                name: f"{_number(value):.6g}"
                for name, value in finding["forms"].items()
            }
    filters = {
        "paper": sorted({claim["id"].split("/")[0] for claim in facts["claims"]}),
        "verdict": sorted({claim["verdict"] for claim in facts["claims"]}),
        "topic": sorted({claim["topic"] for claim in facts["claims"]}),
    }
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    source = Path(__file__).with_name("page.html.j2").read_text(encoding="utf-8")
    text = template.from_string(source).render(facts=facts, filters=filters)
    with atomic_write(path) as stream:
        stream.write(text.encode())
