"""The portfolio: how many images each attack breaks, without noise and with it."""

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
from querytax.figures.style import GREY, LINES, Panel, styled
from querytax.recommend import Recommendation
from querytax.recommend.race import Standing, share_bounds
from querytax.words import count, percent

__all__ = ["portfolio_data", "portfolio_figure"]

# Lines of a panel, and below how many those that were left behind are drawn as well.
_MOST, _FEW = 6, 3
_BLIND = "patterns"
_SIZE = (7.0, 6.2)
# Of the figure: where the panels stand; names are to their right.
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.095, 0.765, 0.885, 0.14
# Between the lines of text, in 1/72 inch.
_LINE = 12.0

Part = tuple[str, float, tuple[Standing, ...]]


def portfolio_data(rec: Recommendation) -> list[dict[str, Any]]:
    """The numbers of the figure, a row a step of a curve.

    Returns
    -------
    list of dict
        ``images_n`` images took part; ``share`` of them had fallen after ``queries``.
        The interval, 95 % at each number of queries, is that of the attack that binds.

    Raises
    ------
    DomainError
        If no attack was tried.
    """
    rows: list[dict[str, Any]] = []
    for panel, sigma, standings in _parts(rec):
        for standing in standings:
            binds = standing is standings[0]
            for x, share, low, high in zip(*_curve(standing), strict=True):
                rows.append(
                    {
                        "panel": panel,
                        "sigma": sigma,
                        "attack": standing.contender.name,
                        "role": _role(standing, standings),
                        "n_images": _images(standing),
                        "n_queries": standing.n_queries,
                        "queries": float(x),
                        "share": float(share),
                        "share_lower": float(low) if binds else "",
                        "share_upper": float(high) if binds else "",
                    }
                )
    return rows


def portfolio_figure(
    rec: Recommendation, *, path: str | os.PathLike[str] | None = None
) -> Any:
    """Draw the share of images that each attack breaks against queries.

    Without noise above and with the noise in question below; one panel where that is
    no noise, or where no attack was tried without it. The attack that binds is drawn
    thick, with its 95 % band at each number of queries. A line ends with the budget
    that the attack was tried with.

    Parameters
    ----------
    rec : Recommendation
        With ``standings``.
    path : path, optional
        Write the figure there (the suffix decides the format), and its data beside it
        with the suffix ``.csv``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DomainError
        If no attack was tried, or the path cannot be written.
    """
    parts = _parts(rec)
    if path is not None:
        expect_format(path)
    # The object interface: no window system, no global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    looks = _looks(parts)
    width, height = _SIZE[0], _SIZE[1] if len(parts) > 1 else 0.62 * _SIZE[1]
    # In inches the margins are the same for one panel and for two.
    over, under = (1 - _TOP) * _SIZE[1] / height, _BOTTOM * _SIZE[1] / height
    with styled():
        figure = Figure(figsize=(width, height))
        FigureCanvasAgg(figure)
        grid = figure.subplots(len(parts), 1, sharex=True, squeeze=False)
        figure.subplots_adjust(_LEFT, under, _RIGHT, 1 - over, hspace=0.28)
        for ax, part in zip(grid[:, 0], parts, strict=True):
            _panel(ax, rec, part, looks, _span(rec, parts))
            if ax is not grid[-1, 0]:
                ax.set_xlabel("")
        figure.suptitle(
            textwrap.fill(finding(rec), 76),
            x=0.012,
            y=1 - 0.08 / height,
            ha="left",
            va="top",
            fontsize=10.5,
            fontweight="bold",
        )
        figure.text(
            0.012,
            0.07 / height,
            textwrap.fill(_footer(rec, parts), 104),
            ha="left",
            va="bottom",
            color=GREY,
        )
        if path is not None:
            write_figure(figure, Path(path), portfolio_data(rec))
    return figure


def _parts(rec: Recommendation) -> list[Part]:
    """What each panel shows: a name, the noise, and the attacks, the best first."""
    if not rec.standings:
        raise DomainError(
            "expected recommendation to have standings of attacks that were tried, "
            f"got none: its status is {rec.status}, its evidence {rec.evidence}"
        )
    parts = [
        ("without noise", 0.0, _chosen(level.standings))
        for level in rec.levels
        if level.sigma == 0.0 < rec.sigma and level.standings
    ]
    name = "with noise" if rec.sigma > 0 else "without noise"
    return [*parts, (name, rec.sigma, _chosen(rec.standings))]


def _chosen(standings: Sequence[Standing]) -> tuple[Standing, ...]:
    """The best of each attack: who binds, who is next, the blind one, and others."""
    kinds: dict[str, Standing] = {}
    for standing in standings:
        kinds.setdefault(standing.contender.attack, standing)
    every = list(kinds.values())
    first = every[:2] + [s for s in every[2:] if s.contender.attack == _BLIND]
    for standing in every:
        # Who was left behind early had fewer images and queries: no fair comparison.
        whole = standing.n_queries == every[0].n_queries
        if standing not in first and len(first) < (_MOST if whole else _FEW):
            first.append(standing)
    return tuple(s for s in every if s in first)


def _role(standing: Standing, standings: Sequence[Standing]) -> str:
    if standing is standings[0]:
        return "binds"
    if standing.contender.attack == _BLIND:
        return "blind"
    return "next" if standing is standings[1] else "other"


def _images(standing: Standing) -> int:
    return standing.images - standing.lost


def _curve(standing: Standing) -> tuple[np.ndarray, ...]:
    """Queries, and the share that had fallen by then with its interval."""
    n = max(_images(standing), 1)
    at, fallen = np.unique(np.asarray(standing.counts, float), return_counts=True)
    x = np.concatenate([[0.0], at, [standing.n_queries]])
    k = np.concatenate([[0], np.cumsum(fallen), [len(standing.counts)]])
    low, high = np.array([share_bounds(int(i), n, 0.025) for i in k]).T
    return x, k / n, low, high


def _looks(parts: Sequence[Part]) -> dict[str, int]:
    """The style of those who bind somewhere and of the blind one, in both panels."""
    looks = {_BLIND: 2}
    for _, _, standings in reversed(parts):
        attack = standings[0].contender.attack
        if attack not in looks:
            looks[attack] = 0 if 0 not in looks.values() else 1
    return looks


def _span(rec: Recommendation, parts: Sequence[Part]) -> tuple[float, float]:
    """From before the first image falls to the target or the budget."""
    shown = [s for _, _, standings in parts for s in standings]
    first = min((s.counts[0] for s in shown if s.counts), default=1.0)
    last = max(rec.target_queries, *(s.n_queries for s in shown))
    left = first / 1.5 if first > 2 else 0.8
    return min(left, last / 10), 1.06 * last


def _panel(
    ax: Any,
    rec: Recommendation,
    part: Part,
    looks: dict[str, int],
    span: tuple[float, float],
) -> None:
    _, sigma, standings = part
    title = f"with noise of {sigma:.3g} on {place_of(rec.site)[0]}"
    panel = Panel(
        ax,
        f"{title if sigma > 0 else 'without noise'}: {_sample(rec, part)}",
        "queries about an image (count)",
        "images broken (%)",
        yscale="linear",
    )
    panel.limits(span, (0, 114))
    ends = []
    for standing in reversed(standings):
        ends.append(_draw(panel, standing, standings, looks, span[0]))
    exposed = 1.0 - rec.protect
    ax.axhline(100 * exposed, color="black", linewidth=1.0, linestyle=(0, (4, 3)))
    ax.annotate(
        f"{percent(exposed)} may fall",
        (0.0, 100 * exposed),
        xycoords=("axes fraction", "data"),
        xytext=(4, 4),
        textcoords="offset points",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8},
    )
    ax.axvline(rec.target_queries, color="black", linewidth=1.0, linestyle=(0, (4, 3)))
    ax.annotate(
        f"target {count(rec.target_queries)}",
        (rec.target_queries, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(-4, -2),
        textcoords="offset points",
        ha="right",
        va="top",
    )
    ax.yaxis.set_ticks(range(0, 101, 20))
    _count_axis(ax)
    _name(ax, ends)


def _count_axis(ax: Any) -> None:
    """Whole counts at 1, 10 and so on; at 2 and 5 too where these are few."""
    from matplotlib.ticker import LogLocator, NullFormatter

    first, last = ax.get_xlim()
    named = (1.0, 2.0, 5.0) if last < 40 * first else (1.0,)
    ax.xaxis.set_major_locator(LogLocator(subs=named))
    ax.xaxis.set_major_formatter(lambda value, _: count(value))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _draw(
    panel: Panel,
    standing: Standing,
    standings: Sequence[Standing],
    looks: dict[str, int],
    left: float,
) -> tuple[float, float, str, dict[str, Any]]:
    """One curve; where it ends, its name, and how that is written."""
    x, share, low, high = _curve(standing)
    attack, label = standing.contender.attack, called(standing.contender.attack)
    like = looks.get(attack)
    color = "0.6" if like is None else LINES[like]["color"]
    look: dict[str, Any] = {"color": color, "linewidth": 1.5}
    text: dict[str, Any] = {"color": "0.35" if like is None else color}
    match _role(standing, standings):
        case "binds":
            look.update(linewidth=2.6, linestyle="-")
            text["fontweight"] = "bold"
        case "next" if like is None:
            look.update(color="0.3", linestyle=(0, (3, 2)))
            text["color"] = "0.15"
        case "other" if like is None:
            look["linewidth"] = 0.9
    # Each step drawn as two corners, so that the band has the curve's steps.
    x = np.maximum(x, left)
    across = np.repeat(x, 2)[1:]
    up, low, high = (100 * np.repeat(v, 2)[:-1] for v in (share, low, high))
    if standing is standings[0]:
        panel.band(label, across, up, low, high, like=like)
        panel.axes.lines[-1].set(**look, zorder=3)
    else:
        dashed = {"linestyle": "-"} if like is None else {}
        changed = {"marker": "", **dashed, **look}
        panel.line(label, across, up, like=like or 0, **changed)
    end = 100 * float(share[-1])
    behind = "*" if standing.n_queries < standings[0].n_queries else ""
    return float(x[-1]), end, f"{label} {end:.0f} %{behind}", text


def _name(ax: Any, ends: list[tuple[float, float, str, dict[str, Any]]]) -> None:
    """Names to the right of the panel, none on another."""
    ends = sorted(ends, key=lambda e: e[1])
    inches = ax.figure.get_size_inches()[1] * ax.get_position().height
    bottom, top = ax.get_ylim()
    apart = _LINE / (72 * inches) * (top - bottom)
    heights = _apart([e[1] for e in ends], apart, bottom, top)
    for (x, y, text, look), height in zip(ends, heights, strict=True):
        ax.plot([x], [y], "o", color=look["color"], markersize=3, clip_on=False)
        ax.annotate(
            text,
            (x, y),
            xytext=(1.035, height),
            textcoords=ax.get_yaxis_transform(),
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": "0.75",
                "linewidth": 0.7,
                "shrinkA": 1,
                "shrinkB": 2,
                "relpos": (0.0, 0.5),
            },
            **look,
        )


def _apart(
    wanted: Sequence[float], apart: float, low: float, high: float
) -> np.ndarray:
    """The places nearest to those wanted, ascending, that are so far apart."""
    steps = apart * np.arange(len(wanted))
    # Least squares under an order: groups that would meet share their mean.
    groups: list[list[float]] = []
    for place in np.asarray(wanted) - steps:
        groups.append([float(place)])
        while len(groups) > 1 and np.mean(groups[-2]) > np.mean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    found = np.concatenate([np.full(len(g), np.mean(g)) for g in groups])
    places: np.ndarray = np.clip(found, low, max(high - steps[-1], low)) + steps
    return places


def _alone(rec: Recommendation, standings: Sequence[Standing]) -> bool:
    """Whether the attack that binds was tried again, on held-out images, alone.

    So it is where no noise is enough, and it shows that.
    """
    return (
        standings[0] is rec.standings[0]
        and len(standings) > 1
        and (rec.status, rec.evidence) == ("INFEASIBLE", "certified")
        and rec.binding == "max_accuracy_loss"
        and standings[0].share[1] > 1.0 - rec.protect
    )


def _sample(rec: Recommendation, part: Part) -> str:
    """Which images, and how many."""
    _, _, standings = part
    final = standings[0] is rec.standings[0] and rec.evidence == "certified"
    kind = "held-out" if final else "calibration"
    return f"{_images(standings[0])} {kind} images"


def _footer(rec: Recommendation, parts: Sequence[Part]) -> str:
    said = "Thick: the attack that binds, with its 95 % band at each number of queries."
    every = [(s, standings[0]) for _, _, standings in parts for s in standings]
    if any(s.n_queries < best.n_queries for s, best in every):
        said += " * left behind in the race, on fewer images and queries."
    last = parts[-1][2]
    if _alone(rec, last):
        said += (
            f" With noise, {called(last[0].contender.attack)} was tried on held-out "
            f"images, the others on {_images(last[1])} calibration images."
        )
    return said
