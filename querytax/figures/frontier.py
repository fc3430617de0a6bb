"""The frontier: what noise buys by the laws and in trials, and what it costs."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from querytax.expect import DomainError
from querytax.figures.files import expect_format, write_figure
from querytax.figures.findings import called, finding, place_of
from querytax.figures.sigma_axis import no_noise_at, sigma_axis
from querytax.figures.style import GREY, LINES, Panel, styled
from querytax.figures.tried import draw_tried
from querytax.recommend import Recommendation
from querytax.recommend.recommendation import Level
from querytax.words import count, percent

__all__ = [
    "expect_format",
    "frontier_cost",
    "frontier_data",
    "frontier_figure",
    "frontier_queries",
]

# Styles: who keeps the published settings, and everybody else, by laws and in trials.
_PUBLISHED, _CHOSEN, _TRIED = 0, 1, 6
# What stands behind words that a curve may pass.
_BEHIND = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.75}


def frontier_data(recommendations: Sequence[Recommendation]) -> list[dict[str, Any]]:
    """The numbers of the figure, a row a point.

    Returns
    -------
    list of dict
        ``kind`` is ``predicted`` by laws or ``tried``: of the attack that binds at a
        level, on ``n_images`` images with ``n_queries`` queries each. An infinite end
        is one above ``n_queries``, or a walk that stalls.
    """
    rows: list[dict[str, Any]] = []
    for rec in recommendations:
        f = rec.frontier
        common = {"attacker": rec.attacker, "site": rec.site}
        for sigma, queries, loss, plan in zip(
            f.sigmas, f.queries, f.accuracy_loss, f.plans, strict=True
        ):
            rows.append(
                {
                    "kind": "predicted",
                    **common,
                    "sigma": sigma,
                    **_named("queries", queries),
                    **_named("accuracy_loss", ("", loss, "")),
                    "attack": plan.describe(),
                    "verdict": "",
                    "n_images": "",
                    "n_queries": "",
                }
            )
        for level in rec.levels:
            if level.standings:
                best = level.best
                rows.append(
                    {
                        "kind": "tried",
                        **common,
                        "sigma": level.sigma,
                        **_named("queries", best.queries),
                        **_named("accuracy_loss", level.accuracy_loss),
                        "attack": best.contender.name,
                        "verdict": level.verdict,
                        "n_images": best.images - best.lost,
                        "n_queries": best.n_queries,
                    }
                )
    return rows


def _named(what: str, interval: Sequence[Any]) -> dict[str, Any]:
    return dict(zip((f"{what}_lower", what, f"{what}_upper"), interval, strict=True))


def frontier_figure(
    recommendations: Sequence[Recommendation],
    *,
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """Draw queries and accuracy loss against sigma, as predicted and as tried.

    Parameters
    ----------
    recommendations : sequence of Recommendation
        For one site, one an attacker.
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

    found = [finding(rec) for rec in recommendations]
    if len(found) > 1:
        found = [
            f"{rec.attacker.capitalize()}: {said}"
            for rec, said in zip(recommendations, found, strict=True)
        ]
    with styled():
        figure = Figure(figsize=(7.0, 7.0), layout="constrained")
        FigureCanvasAgg(figure)
        top, bottom = figure.subplots(
            2, 1, sharex=True, gridspec_kw={"height_ratios": [2.2, 1]}
        )
        frontier_queries(top, recommendations).set_xlabel("")
        frontier_cost(bottom, recommendations)
        figure.suptitle(
            "\n".join(textwrap.fill(said, 76) for said in found),
            x=0.012,
            ha="left",
            fontsize=10.5,
            fontweight="bold",
        )
        handles, labels = top.get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=2, fontsize=9.0
        )
        if path is not None:
            write_figure(figure, Path(path), frontier_data(recommendations))
    return figure


def frontier_queries(ax: Any, recommendations: Sequence[Recommendation]) -> Any:
    """Draw queries against sigma: predicted ones, and those of attacks tried.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    recommendations : sequence of Recommendation
        For one site, one an attacker.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax``. A curve ends before the first level at which the attack stalls, which
        is named. A hollow marker with an arrow stands at a number of queries that did
        not suffice.
    """
    first = recommendations[0]
    panel = Panel(
        ax,
        f"what noise on {place_of(first.site)[0]} buys",
        _sigma(first),
        f"queries to break {percent(1 - first.protect)} of the images (count)",
    )
    left, floor, ceiling = _limits(recommendations)
    panel.limits(_shown(recommendations, left), (floor, 2 * ceiling))
    ax.yaxis.set_major_formatter(lambda value, _: count(value))
    _ceiling(ax, recommendations, 2 * ceiling)
    for rec in recommendations:
        _curve(panel, rec, left, ceiling)
    for rec in recommendations:
        look = _PUBLISHED if _published(rec) else _TRIED
        draw_tried(panel, rec.attacker, _tried(rec), left, like=look)
    _level(ax, first.target_queries, f"target {count(first.target_queries)}")
    _brackets(ax, recommendations, words=True)
    sigma_axis(ax, _least(recommendations))
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
    sigmas = np.array(first.frontier.sigmas)
    loss = 100 * np.array(first.frontier.accuracy_loss)
    noisy = sigmas > 0
    panel.line(
        "accuracy lost",
        sigmas[noisy],
        loss[noisy],
        like=_TRIED,
        marker="",
        linestyle="-",
    )
    allowed = 100 * first.max_accuracy_loss
    top = max(2.5 * allowed, 1.0)
    # Levels that were tried, or else the one in question.
    priced = {level.sigma: level.accuracy_loss for level in first.levels}
    priced[first.sigma] = first.accuracy_loss
    x = np.maximum(np.array(list(priced)), left)
    low, middle, high = 100 * np.array(list(priced.values()), dtype=float).T
    lower, upper = np.minimum(low, middle), np.maximum(high, middle)
    panel.points(
        "with two standard errors",
        x,
        middle,
        lower,
        upper,
        like=_TRIED,
        marker="o",
        markerfacecolor="white",
    )
    _level(ax, allowed, f"allowed {allowed:.3g}")
    _brackets(ax, recommendations, words=False)
    # Room for the marker without noise.
    panel.limits(_shown(recommendations, left), (-0.05 * top, top))
    sigma_axis(ax, _least(recommendations))
    return ax


# -- what is shown -----------------------------------------------------------------


def _published(rec: Recommendation) -> bool:
    return rec.attacker.startswith("published")


def _tried(rec: Recommendation) -> list[Level]:
    return [level for level in rec.levels if level.standings]


def _least(recommendations: Sequence[Recommendation]) -> float:
    """The least noise that is drawn."""
    positive = [
        s
        for rec in recommendations
        for s in (*rec.frontier.sigmas, *(level.sigma for level in rec.levels))
        if s > 0
    ]
    return min(positive, default=1e-3)


def _limits(recommendations: Sequence[Recommendation]) -> tuple[float, float, float]:
    """Where no noise is drawn, and between which counts all ranges are."""
    known = [rec.target_queries for rec in recommendations]
    fewest = [q[0] for rec in recommendations for q in rec.frontier.queries]
    for rec in recommendations:
        known += [q[1] for q in rec.frontier.queries]
        tried = [level.best for level in _tried(rec)]
        known += [s.n_queries for s in tried]
        # A lower end at none is an open one.
        fewest += [q for s in tried for q in s.queries[:2] if q > 0]
        if rec.ceiling is not None:
            known += rec.ceiling[:2]
    known = [q for q in known if np.isfinite(q)]
    most = max(rec.target_queries for rec in recommendations)
    ceiling = min(1.2 * max(known), 1e3 * most)
    floor = max(min(*fewest, *known, ceiling), 1.0) / 2
    if any(_range(rec) for rec in recommendations):
        # Room for the words on the bracket.
        floor /= (ceiling / floor) ** (0.07 * len(recommendations))
    return no_noise_at(_least(recommendations)), floor, ceiling


def _shown(
    recommendations: Sequence[Recommendation], left: float
) -> tuple[float, float]:
    """The range of sigma, which both panels share."""
    sigmas = [s for rec in recommendations for s in rec.frontier.sigmas]
    sigmas += [level.sigma for rec in recommendations for level in rec.levels]
    return left / 1.3, max(_least(recommendations), *sigmas) * 1.15


def _sigma(rec: Recommendation) -> str:
    return f"σ of the noise ({place_of(rec.site)[1]})"


def _range(rec: Recommendation) -> tuple[float, float] | None:
    """The noise levels that are enough and affordable, if there are any."""
    least, most = rec.sigma_for_queries, rec.sigma_for_accuracy
    if rec.status in ("FEASIBLE", "PREDICTED") and 0 < least <= most < np.inf:
        return least, most
    return None


# -- what is drawn -----------------------------------------------------------------


def _curve(panel: Panel, rec: Recommendation, left: float, ceiling: float) -> None:
    """What the laws say; the point without noise stands apart."""
    published = _published(rec)
    like = _PUBLISHED if published else _CHOSEN
    settings = "published settings" if published else "tuned to the noise"
    words = [word for word, _ in rec.predicted_by] or ["nes"]
    name = f"predicted: {called(words[0])}, {settings}"
    if len(words) > 1:
        name = f"predicted: the best of {len(words)} attacks"
    sigmas = np.array(rec.frontier.sigmas)
    lower, middle, upper = np.array(rec.frontier.queries, dtype=float).T
    upper = np.minimum(upper, 2 * ceiling)
    known = middle <= ceiling
    noisy = known & (sigmas > 0)
    at = sigmas[noisy], middle[noisy], lower[noisy], upper[noisy]
    panel.band(name, *at, like=like)
    without = known & (sigmas == 0)
    if without.any():
        low, high = lower[without], upper[without]
        panel.points(
            f"{name}, no noise",
            np.full(without.sum(), left),
            middle[without],
            low,
            high,
            like=like,
            legend="_",
            marker="_",
            markersize=9,
        )
    stalls = (sigmas > 0) & ~known
    if stalls.any():
        # From where the curve ends; at the first level where there is none.
        color = LINES[like]["color"]
        x = sigmas[noisy][-1] if noisy.any() else sigmas[stalls][0]
        # The arrow stands over the curve's end, its words beside it, where the curve
        # does not go on; before it where the panel ends.
        panel.axes.annotate(
            "",
            (x, 1.9 * ceiling),
            xytext=(0, -22),
            textcoords="offset points",
            arrowprops={"arrowstyle": "->", "color": color},
        )
        low, high = np.log(panel.axes.get_xlim())
        ends = (np.log(x) - low) > 0.75 * (high - low)
        panel.axes.annotate(
            "NES stalls" if np.isinf(middle[stalls]).all() else "beyond the axis",
            (x, 1.9 * ceiling),
            xytext=(-7 if ends else 7, -4),
            textcoords="offset points",
            color=color,
            ha="right" if ends else "left",
            va="top",
            bbox=_BEHIND,
        )


def _ceiling(ax: Any, recommendations: Sequence[Recommendation], top: float) -> None:
    """What blind patterns take, whatever the noise."""
    for ceiling in dict.fromkeys(rec.ceiling for rec in recommendations):
        if ceiling is None or not np.isfinite(ceiling[1]):
            continue
        low, middle, high = ceiling
        color = LINES[2]["color"]
        # An upper end that is not known is none: it would shade the whole panel.
        known = high < top
        end, least = (high, "") if known else (middle, f", {count(low)} at least")
        ax.axhspan(low, min(end, top), color=color, alpha=0.12, linewidth=0)
        _level(
            ax,
            middle,
            f"blind patterns {count(middle)}{least}, whatever the noise",
            color=color,
            start=0.22,
            # Away from the target.
            below=middle < recommendations[0].target_queries,
        )


def _brackets(
    ax: Any, recommendations: Sequence[Recommendation], *, words: bool
) -> None:
    """A bracket on the axis over the noise that is enough and affordable."""
    across = ax.get_xaxis_transform()
    found = [(rec, _range(rec)) for rec in recommendations]
    for place, (rec, span) in enumerate([f for f in found if f[1]]):
        assert span is not None
        like = _PUBLISHED if _published(rec) else _TRIED
        color, height = LINES[like]["color"], 0.085 * place if words else 0.0
        look = {"color": color, "transform": across, "clip_on": False, "zorder": 6}
        ax.plot(span, [height, height], linewidth=4.0, solid_capstyle="butt", **look)
        ax.plot(span, [height, height], "|", markersize=13, mew=1.8, **look)
        if words:
            said = f"enough and affordable: σ {span[0]:.3g} to {span[1]:.3g}"
            if len(recommendations) > 1:
                said = f"{rec.attacker}, {said}"
            ax.annotate(
                said,
                (span[1], height),
                xycoords=across,
                xytext=(0, 7),
                textcoords="offset points",
                ha="right",
                va="bottom",
                color=color,
            )


def _level(
    ax: Any,
    y: float,
    text: str,
    *,
    color: str = GREY,
    start: float = 0.0,
    below: bool = False,
) -> None:
    """A horizontal line with a word on it."""
    ax.axhline(y, color=color, linewidth=1, linestyle=(0, (4, 3)))
    ax.annotate(
        text,
        (start, y),
        xycoords=("axes fraction", "data"),
        xytext=(4, -3 if below else 3),
        textcoords="offset points",
        va="top" if below else "bottom",
        color=color,
        bbox=_BEHIND,
    )
