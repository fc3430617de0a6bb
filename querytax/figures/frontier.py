"""The frontier: what noise buys against each attacker, and what it costs."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from querytax.expect import DomainError
from querytax.figures.style import GREY, LINES, Panel, styled
from querytax.recommend import Recommendation
from querytax.recommend.attackers import ATTACKERS
from querytax.statistics import atomic_write

if TYPE_CHECKING:
    from querytax.proof import Trial

__all__ = [
    "expect_format",
    "frontier_cost",
    "frontier_data",
    "frontier_figure",
    "frontier_queries",
]

_FORMATS = (".png", ".svg", ".pdf")


def frontier_data(
    recommendations: Sequence[Recommendation], trials: Sequence[Trial] = ()
) -> list[dict[str, Any]]:
    """The numbers of the figure, a row a point."""
    rows = []
    for rec in recommendations:
        f = rec.frontier
        for sigma, queries, loss, plan in zip(
            f.sigmas, f.queries, f.accuracy_loss, f.plans, strict=True
        ):
            rows.append(
                {
                    "kind": "predicted",
                    "attacker": rec.attacker,
                    "site": rec.site,
                    "sigma": sigma,
                    "queries_lower": queries[0],
                    "queries": queries[1],
                    "queries_upper": queries[2],
                    "accuracy_loss": loss,
                    "plan": plan.describe(),
                }
            )
    for trial in trials:
        rows.append(
            {
                "kind": "measured",
                "attacker": trial.attacker,
                "site": trial.site,
                "sigma": trial.sigma,
                "queries_lower": trial.interval[0],
                "queries": trial.measured,
                "queries_upper": trial.interval[1],
                "accuracy_loss": "",
                "plan": trial.plan.describe(),
            }
        )
    return rows


def frontier_figure(
    recommendations: Sequence[Recommendation],
    trials: Sequence[Trial] = (),
    *,
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """Draw predicted queries and accuracy loss against sigma.

    Parameters
    ----------
    recommendations : sequence of Recommendation
        For one site, one an attacker.
    trials : sequence of Trial
        Measured points to set on the curves.
    path : path, optional
        Write the figure there (the suffix decides the format), and its data beside it
        with the suffix ``.csv``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DomainError
        If there is nothing to draw, or the path cannot be written.
    """
    if not recommendations:
        raise DomainError("expected recommendations not empty, got none")
    if path is not None:
        expect_format(path)
    # The object interface: no window system, no global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with styled():
        figure = Figure(figsize=(7.0, 6.8), layout="constrained")
        FigureCanvasAgg(figure)
        top, bottom = figure.subplots(
            2, 1, sharex=True, gridspec_kw={"height_ratios": [2.2, 1]}
        )
        frontier_queries(top, recommendations, trials).set_xlabel("")
        frontier_cost(bottom, recommendations)
        handles, labels = top.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
        if path is not None:
            _write(figure, Path(path), recommendations, trials)
    return figure


def frontier_queries(
    ax: Any, recommendations: Sequence[Recommendation], trials: Sequence[Trial] = ()
) -> Any:
    """Draw predicted queries against sigma, with measured ones set on them.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    recommendations : sequence of Recommendation
        For one site, one an attacker.
    trials : sequence of Trial
        Measured points.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``. Ranges end near its upper limit; a curve ends before the first level at
        which the attack stalls, which is named.
    """
    first = recommendations[0]
    panel = Panel(
        ax,
        f"what noise on {_place(first)[0]} buys",
        _sigma(first),
        f"queries to break {100 * (1 - first.protect):.3g} % of the images (count)",
    )
    left, floor, ceiling = _limits(recommendations, trials)
    for rec in recommendations:
        _curve(panel, rec, left, ceiling)
    _points(panel, trials, left)
    _bands(ax, recommendations)
    _level(ax, first.target_queries, "target")
    panel.limits(_shown(recommendations, left), (floor, 2 * ceiling))
    return ax


def frontier_cost(ax: Any, recommendations: Sequence[Recommendation]) -> Any:
    """Draw the accuracy lost against sigma.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    recommendations : sequence of Recommendation
        For one site; the first one's levels are drawn.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``.
    """
    first = recommendations[0]
    panel = Panel(
        ax, "what it costs", _sigma(first), "accuracy lost (points)", yscale="linear"
    )
    left, _, _ = _limits(recommendations)
    sigmas = np.maximum(first.frontier.sigmas, left)
    loss = 100 * np.array(first.frontier.accuracy_loss)
    panel.line("accuracy lost", sigmas, loss, color="black", marker="")
    _bands(ax, recommendations)
    allowed = 100 * first.max_accuracy_loss
    _level(ax, allowed, "allowed")
    panel.limits(_shown(recommendations, left), (0, max(2.5 * allowed, 1.0)))
    return ax


def expect_format(path: str | os.PathLike[str]) -> None:
    """Fail before the work where the suffix names no format.

    Raises
    ------
    DomainError
        If it is none of .png, .svg and .pdf.
    """
    if Path(path).suffix.lower() not in _FORMATS:
        raise DomainError(
            f"expected path to end in .png, .svg or .pdf, got {os.fspath(path)!r}"
        )


def _limits(
    recommendations: Sequence[Recommendation], trials: Sequence[Trial] = ()
) -> tuple[float, float, float]:
    """Where no noise is drawn, and between which counts all ranges are."""
    positive = [s for r in recommendations for s in r.frontier.sigmas if s > 0]
    finite = [r.target_queries for r in recommendations]
    finite += [t.budget for t in trials]
    finite += [
        q[1] for r in recommendations for q in r.frontier.queries if np.isfinite(q[1])
    ]
    weakest = min(positive) if positive else 1e-3
    ceiling = min(3 * max(finite), 1e3 * max(r.target_queries for r in recommendations))
    fewest = [q[0] for r in recommendations for q in r.frontier.queries]
    fewest += [t.interval[0] for t in trials]
    return weakest / 3, max(min(*fewest, *finite, ceiling), 1.0) / 2, ceiling


def _shown(
    recommendations: Sequence[Recommendation], left: float
) -> tuple[float, float]:
    """The range of sigma, which both panels share."""
    sigmas = [s for rec in recommendations for s in rec.frontier.sigmas]
    return left / 1.3, max(left, *sigmas) * 1.1


def _place(rec: Recommendation) -> tuple[str, str]:
    """Where the noise is, in words, and its unit."""
    return {
        "input": ("the input", "pixel units"),
        "output": ("the outputs", "units of the answer"),
    }.get(rec.site.split(":")[0], (f"layer {rec.site}", "units of the layer"))


def _sigma(rec: Recommendation) -> str:
    return f"σ of the noise, none at the left end ({_place(rec)[1]})"


def _curve(panel: Panel, rec: Recommendation, left: float, ceiling: float) -> None:
    like = ATTACKERS.index(rec.attacker)
    sigmas = np.maximum(rec.frontier.sigmas, left)
    lower, middle, upper = np.array(rec.frontier.queries, dtype=float).T
    known = middle <= ceiling
    panel.band(
        f"{rec.attacker} attacker, predicted",
        sigmas[known],
        middle[known],
        lower[known],
        np.minimum(upper[known], ceiling),
        like=like,
    )
    if not known.all():
        # At the first level at which the attack never ends.
        color = LINES[like]["color"]
        panel.axes.annotate(
            "stalls",
            (sigmas[np.argmin(known)], 2 * ceiling),
            xytext=(0, -26),
            textcoords="offset points",
            arrowprops={"arrowstyle": "->", "color": color},
            color=color,
            ha="center",
        )


def _points(panel: Panel, trials: Sequence[Trial], left: float) -> None:
    """Measured counts; the budget, where it ended first."""
    for name in dict.fromkeys(t.attacker for t in trials):
        mine = [t for t in trials if t.attacker == name]
        middle = np.array([min(t.measured, t.budget) for t in mine])
        panel.points(
            f"{name} attacker, measured (95 %; arrow: no upper end)",
            [max(t.sigma, left) for t in mine],
            middle,
            np.minimum([t.interval[0] for t in mine], middle),
            [t.interval[1] for t in mine],
            like=ATTACKERS.index(name),
            markerfacecolor="white",
            markersize=7,
        )


def _bands(ax: Any, recommendations: Sequence[Recommendation]) -> None:
    """Shade where both the target and the accuracy hold, for each attacker."""
    for rec in recommendations:
        look = LINES[ATTACKERS.index(rec.attacker)]
        if rec.sigma_for_queries <= rec.sigma_for_accuracy and rec.sigma > 0:
            ax.axvspan(
                rec.sigma_for_queries,
                rec.sigma_for_accuracy,
                # Grey, unlike the ranges; its edges say whose it is.
                facecolor=("0.5", 0.12),
                edgecolor=look["color"],
                linestyle=look["linestyle"],
                label=f"recommended band ({rec.attacker})",
            )


def _level(ax: Any, y: float, text: str) -> None:
    """A horizontal line with a word on it."""
    ax.axhline(y, color=GREY, linewidth=1, linestyle=":")
    ax.annotate(
        text,
        (0.0, y),
        xycoords=("axes fraction", "data"),
        xytext=(4, 3),
        textcoords="offset points",
        color=GREY,
    )


def _write(
    figure: Any,
    path: Path,
    recommendations: Sequence[Recommendation],
    trials: Sequence[Trial],
) -> None:
    with atomic_write(path) as stream:
        figure.savefig(stream, format=path.suffix[1:].lower(), dpi=150)
    rows = frontier_data(recommendations, trials)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(path.with_suffix(".csv")) as stream:
        stream.write(text.getvalue().encode())
