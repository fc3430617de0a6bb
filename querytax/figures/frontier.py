"""The frontier: what noise buys against each attacker, and what it costs."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from querytax.expect import DomainError
from querytax.recommend import Recommendation
from querytax.statistics import atomic_write

if TYPE_CHECKING:
    from querytax.proof import Trial

__all__ = ["expect_format", "frontier_data", "frontier_figure"]

_FORMATS = (".png", ".svg", ".pdf")

# Okabe-Ito: told apart by the colour-blind, and in grey by line style and marker.
_STYLE: dict[str, dict[str, Any]] = {
    "published": {"color": "#0072B2", "linestyle": "-", "marker": "o"},
    "best": {"color": "#D55E00", "linestyle": "--", "marker": "s"},
}


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

    figure = Figure(figsize=(7.0, 6.8), layout="constrained")
    FigureCanvasAgg(figure)
    top, bottom = figure.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": [2.2, 1]}
    )
    left, ceiling = _limits(recommendations, trials)
    for rec in recommendations:
        _curve(top, rec, left, ceiling)
    for trial in trials:
        _point(top, trial, left, ceiling)
    _band(top, recommendations)
    _band(bottom, recommendations)
    first = recommendations[0]
    top.axhline(first.target_queries, color="0.35", linewidth=1, linestyle=":")
    top.annotate(
        "target",
        (1.0, first.target_queries),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 3),
        textcoords="offset points",
        ha="right",
        color="0.25",
    )
    share = f"{100 * (1 - first.protect):.3g} %"
    top.set_ylabel(f"queries that break {share} of the images")
    top.set_yscale("log")
    top.set_ylim(1, ceiling * 2)
    _legend(figure, recommendations, trials)
    top.set_title(f"What noise at {first.site} buys, and what it costs", fontsize=11)

    sigmas = np.array(first.frontier.sigmas)
    loss = 100 * np.array(first.frontier.accuracy_loss)
    bottom.plot(np.maximum(sigmas, left), loss, color="black")
    bottom.axhline(
        100 * first.max_accuracy_loss, color="0.35", linewidth=1, linestyle=":"
    )
    bottom.annotate(
        "allowed",
        (0.0, 100 * first.max_accuracy_loss),
        xycoords=("axes fraction", "data"),
        xytext=(4, 3),
        textcoords="offset points",
        color="0.25",
    )
    bottom.set_ylabel("accuracy lost (points)")
    bottom.set_ylim(0, max(2.5 * 100 * first.max_accuracy_loss, 1.0))
    unit = {"input": "pixel units", "output": "units of the answer"}.get(
        first.site.split(":")[0], "units of the layer"
    )
    bottom.set_xlabel(
        f"sigma, standard deviation of the noise ({unit}); left end: none"
    )
    bottom.set_xscale("log")
    bottom.set_xlim(left / 1.3, max(left, *sigmas) * 1.1)
    for axis in (top, bottom):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(True, which="major", color="0.92", linewidth=0.8)
        axis.set_axisbelow(True)
    if path is not None:
        _write(figure, Path(path), recommendations, trials)
    return figure


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
    recommendations: Sequence[Recommendation], trials: Sequence[Trial]
) -> tuple[float, float]:
    """Where no noise is drawn, and where endless counts are."""
    positive = [s for r in recommendations for s in r.frontier.sigmas if s > 0]
    finite = [r.target_queries for r in recommendations]
    finite += [t.budget for t in trials]
    finite += [
        q[1] for r in recommendations for q in r.frontier.queries if math.isfinite(q[1])
    ]
    least = min(positive) if positive else 1e-3
    return least / 3, min(
        3 * max(finite), 1e3 * max(r.target_queries for r in recommendations)
    )


def _curve(axis: Any, rec: Recommendation, left: float, ceiling: float) -> None:
    style = _STYLE[rec.attacker]
    sigmas = np.maximum(np.array(rec.frontier.sigmas), left)
    lower, middle, upper = (
        np.minimum(column, ceiling)
        for column in np.array(rec.frontier.queries, dtype=float).T
    )
    axis.fill_between(sigmas, lower, upper, color=style["color"], alpha=0.15, lw=0)
    axis.plot(sigmas, middle, color=style["color"], linestyle=style["linestyle"])
    stalled = np.array(rec.frontier.queries, dtype=float)[:, 1] > ceiling
    if stalled.any():
        first = int(np.argmax(stalled))
        axis.annotate(
            "stalls",
            (sigmas[first], ceiling),
            xytext=(0, 4),
            textcoords="offset points",
            color=style["color"],
            fontsize=9,
            ha="center",
        )


def _point(axis: Any, trial: Trial, left: float, ceiling: float) -> None:
    style = _STYLE[trial.attacker]
    censored = math.isinf(trial.measured)
    at = min(trial.measured, trial.budget)
    high = min(trial.interval[1], ceiling)
    low = min(trial.interval[0], at)
    axis.errorbar(
        [max(trial.sigma, left)],
        [at],
        yerr=[[at - low], [max(high - at, 0.0)]],
        color=style["color"],
        marker="^" if censored else style["marker"],
        markerfacecolor="white",
        markersize=7,
        capsize=3,
        linestyle="none",
        zorder=4,
    )


def _band(axis: Any, recommendations: Sequence[Recommendation]) -> None:
    """Shade where both the target and the accuracy hold, for each attacker."""
    for rec in recommendations:
        if rec.sigma_for_queries <= rec.sigma_for_accuracy and rec.sigma > 0:
            axis.axvspan(
                rec.sigma_for_queries,
                rec.sigma_for_accuracy,
                color=_STYLE[rec.attacker]["color"],
                alpha=0.07,
                lw=0,
            )


def _legend(
    figure: Any, recommendations: Sequence[Recommendation], trials: Sequence[Trial]
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D(
            [],
            [],
            color=_STYLE[r.attacker]["color"],
            linestyle=_STYLE[r.attacker]["linestyle"],
            label=f"{r.attacker} attacker, predicted",
        )
        for r in recommendations
    ]
    for name in dict.fromkeys(t.attacker for t in trials):
        handles.append(
            Line2D(
                [],
                [],
                color=_STYLE[name]["color"],
                marker=_STYLE[name]["marker"],
                markerfacecolor="white",
                linestyle="none",
                label=f"{name} attacker, measured (95 %)",
            )
        )
    if any(math.isinf(t.measured) for t in trials):
        handles.append(
            Line2D(
                [],
                [],
                color="0.3",
                marker="^",
                markerfacecolor="white",
                linestyle="none",
                label="not reached within the measured budget",
            )
        )
    handles += [
        Patch(
            color=_STYLE[r.attacker]["color"],
            alpha=0.15,
            label=f"recommended band ({r.attacker})",
        )
        for r in recommendations
        if r.sigma_for_queries <= r.sigma_for_accuracy and r.sigma > 0
    ]
    figure.legend(
        handles=handles,
        fontsize=8.5,
        frameon=False,
        ncols=2,
        loc="outside lower center",
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
