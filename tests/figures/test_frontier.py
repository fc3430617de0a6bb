"""The frontier: its numbers are the recommendations', its files whole or absent."""

import csv
import dataclasses
import math
import os
import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure
from synthetic_statistics import synthetic
from trials import LOSS, TARGET, standing, tried

from querytax.expect import DomainError
from querytax.figures import frontier_data, frontier_figure
from querytax.figures.frontier import frontier_cost, frontier_queries
from querytax.figures.style import curves_of
from querytax.plans import NESPlan
from querytax.recommend import recommend_sigma
from querytax.recommend.recommendation import Level


@pytest.fixture(scope="module")
def recommendations():
    stats = synthetic(loss=LOSS)
    return [recommend_sigma(stats, TARGET, attacker=a) for a in ("published", "best")]


@pytest.fixture(scope="module")
def rec():
    return tried()


def words(ax):
    return [t.get_text().replace("\N{NO-BREAK SPACE}", " ") for t in ax.texts]


def test_data_are_the_recommendations(recommendations, rec):
    rows = frontier_data([*recommendations, rec])
    predicted = [r for r in rows if r["kind"] == "predicted"]
    every = [*recommendations, rec]
    assert len(predicted) == sum(len(r.frontier.sigmas) for r in every)
    for one in recommendations:
        mine = predicted[: -len(rec.frontier.sigmas)]
        mine = [r for r in mine if r["attacker"] == one.attacker]
        f = one.frontier
        assert tuple(r["sigma"] for r in mine) == f.sigmas == tuple(sorted(f.sigmas))
        assert tuple(r["accuracy_loss"] for r in mine) == f.accuracy_loss
        keys = ("queries_lower", "queries", "queries_upper")
        assert tuple(tuple(r[k] for k in keys) for r in mine) == f.queries
        assert [r["attack"] for r in mine] == [p.describe() for p in f.plans]
        assert one.sigma in f.sigmas
    found = [r for r in rows if r["kind"] == "tried"]
    assert len(found) == len(rec.levels)
    for row, level in zip(found, rec.levels, strict=True):
        best = level.best
        assert row["sigma"] == level.sigma
        assert row["attack"] == best.contender.name
        assert row["verdict"] == level.verdict
        assert (row["n_images"], row["n_queries"]) == (best.images, best.n_queries)
        ends = (row["queries_lower"], row["queries"], row["queries_upper"])
        assert ends == best.queries


@pytest.mark.parametrize(
    ("name", "magic"), [("f.png", b"\x89PNG"), ("f.svg", b"<?xml"), ("F.PDF", b"%PDF")]
)
def test_figure_and_data_are_written_side_by_side(
    recommendations, rec, tmp_path, name, magic
):
    every = [*recommendations, rec]
    figure = frontier_figure(every, path=tmp_path / name)
    assert figure.get_size_inches()[0] <= 7.0
    assert (tmp_path / name).read_bytes().startswith(magic)
    assert sorted(os.listdir(tmp_path)) == sorted([name, f"{name[0]}.csv"])
    with open(tmp_path / f"{name[0]}.csv", newline="") as stream:
        read = list(csv.DictReader(stream))
    rows = frontier_data(every)
    assert [{k: str(v) for k, v in row.items()} for row in rows] == read
    assert float(read[0]["sigma"]) == rows[0]["sigma"]


def test_what_is_drawn(rec):
    figure = frontier_figure([rec])
    top, bottom = figure.axes
    title = figure.get_suptitle().replace("\N{NO-BREAK SPACE}", " ")
    assert title.replace("\n", " ") == (
        "Noise of 0.1 keeps the best of 4 attacks, SignHunter, below 20 % of the "
        "images for 400 queries"
    )
    assert top.get_title(loc="left") == "what noise on the outputs buys"
    assert top.get_yscale() == bottom.get_xscale() == "log"
    assert "20 % of the images" in top.get_ylabel()
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert labels == {
        "predicted: NES, tuned to the noise",
        "tried, falls: an attack surely breaks more",
        "tried, holds: no attack does",
        "tried, open: images too few to tell",
        "arrow: more queries than were tried",
    }
    said = words(top)
    assert {"target 400", "enough and affordable: σ 0.1 to 0.11"} <= set(said)
    # Once where it begins to bind, not at each level.
    assert said.count("Square") == said.count("SignHunter") == 1
    assert "allowed 1" in words(bottom)
    for text in [*top.texts, *bottom.texts, *figure.legends[0].get_texts()]:
        assert text.get_fontsize() >= 9


def test_a_bound_is_never_drawn_as_a_measurement(rec):
    top = frontier_queries(Figure().subplots(), [rec])
    points = {c.label: c for c in curves_of(top) if ", tried" in c.label}
    drawn = {
        (x, y)
        for c in points.values()
        for x, y in zip(c.x.tolist(), c.y.tolist(), strict=True)
    }
    left = min(x for x, _ in drawn)
    assert left < min(s for s in rec.frontier.sigmas if s > 0)
    for level in rec.levels:
        middle, n = level.best.queries[1], level.best.n_queries
        place = (max(level.sigma, left), min(middle, n))
        assert place in drawn
        (label,) = [
            k
            for k, c in points.items()
            if place in zip(c.x.tolist(), c.y.tolist(), strict=True)
        ]
        assert ("not reached" in label) == math.isinf(middle)
        assert level.verdict in label
    # Hollow where the number of queries did not suffice, and with an arrow each.
    faces = {
        container.lines[0].get_marker(): container.lines[0].get_markerfacecolor()
        for container in top.containers
        if container.lines[0].get_marker() in "XoD"
    }
    assert faces == {"X": "#000000", "o": "white", "D": "white"}
    arrows = [t for t in top.texts if not t.get_text() and t.arrow_patch]
    assert len(arrows) == sum(math.isinf(v.best.queries[2]) for v in rec.levels) == 2
    assert all(c.y.max() <= TARGET for c in points.values())


def test_an_open_end_of_a_measurement_has_an_arrow_at_the_budget():
    one = standing("square", [10.0 * i for i in range(1, 15)])
    assert math.isfinite(one.queries[1])
    assert math.isinf(one.queries[2])
    level = Level(0.02, (one,), (0.0, 0.0, 0.0), "open")
    top = frontier_queries(Figure().subplots(), [tried(levels=(level,))])
    (arrow,) = [t for t in top.texts if not t.get_text() and t.arrow_patch]
    assert arrow.xy == (0.02, TARGET)
    (curve,) = [c for c in curves_of(top) if ", tried" in c.label]
    assert (curve.x, curve.y) == (0.02, one.queries[1])
    assert np.isinf(curve.upper).all()


def test_the_axis_breaks_before_no_noise(rec):
    figure = frontier_figure([rec])
    figure.draw_without_rendering()
    said = [t.get_text() for t in figure.axes[1].get_xticklabels()]
    first = min(s for s in rec.frontier.sigmas if s > 0)
    assert said[:2] == ["none", f"{first:g}"]
    for ax in figure.axes:
        assert all(t >= first * 0.99 for t in ax.get_xticks(minor=True))
    # No line joins no noise to the first level.
    curves = [c for c in curves_of(figure.axes[0]) if c.label.startswith("predicted")]
    for curve in curves:
        assert len(curve.x) == 1 or curve.x.min() >= first


@pytest.mark.parametrize("status", ["INFEASIBLE", "UNRESOLVED", "NO_NOISE_NEEDED"])
def test_only_a_range_that_is_recommended_has_a_bracket(rec, status):
    top = frontier_queries(Figure().subplots(), [dataclasses.replace(rec)])
    assert any("enough and affordable" in text for text in words(top))
    top = frontier_queries(Figure().subplots(), [tried(status)])
    assert not any("enough" in text for text in words(top))


@pytest.mark.parametrize(
    ("ceiling", "shown"),
    [
        (None, False),
        ((math.inf,) * 3, False),
        ((50.0, 120.0, math.inf), True),
        ((50.0, 120.0, 200.0), True),
    ],
)
def test_a_known_ceiling_is_a_line(ceiling, shown):
    top = frontier_queries(Figure().subplots(), [tried(ceiling=ceiling)])
    # Where the upper end is not known only the lower one is said, and none is shaded.
    least = ", 50 at least" if ceiling and math.isinf(ceiling[2]) else ""
    said = f"blind patterns 120{least}, whatever the noise"
    assert (said in words(top)) == shown
    if shown:
        band = [p for p in top.patches if p.get_facecolor()[3] == 0.12]
        assert band[0].get_y() == 50.0
        end = 120.0 if least else 200.0
        assert band[0].get_y() + band[0].get_height() == pytest.approx(end)
    low, high = top.get_ylim()
    assert low < 50
    assert high < 1e9


def test_panels_go_on_any_axes_and_keep_the_numbers(recommendations):
    top, bottom = Figure().subplots(2)
    assert frontier_queries(top, recommendations) is top
    assert frontier_cost(bottom, recommendations) is bottom
    found = {c.label: c for c in curves_of(top)}
    for rec, who in zip(
        recommendations, ("published settings", "tuned to the noise"), strict=True
    ):
        f, curve = rec.frontier, found[f"predicted: NES, {who}"]
        known = {s: q for s, q in zip(f.sigmas, f.queries, strict=True) if s > 0}
        # No noise is drawn to the left of the least noise.
        without = found[f"predicted: NES, {who}, no noise"]
        assert without.x[0] < min(known)
        assert without.y[0] == f.queries[0][1]
        for sigma, middle, lower in zip(curve.x, curve.y, curve.lower, strict=True):
            assert (lower, middle) == known.pop(sigma)[:2]
        # What is left lies beyond the axis, and says so.
        ceiling = top.get_ylim()[1] / 2
        assert all(middle > ceiling for _, middle, _ in known.values())
    ends = [t for t in words(top) if t in ("NES stalls", "beyond the axis")]
    assert len(ends) == sum(
        any(q[1] > ceiling for q in r.frontier.queries) for r in recommendations
    )
    # Nothing is cut off below.
    fewest = min(min(c.lower[np.isfinite(c.lower)]) for c in found.values())
    assert fewest / 10 < top.get_ylim()[0] < fewest
    cost, points = curves_of(bottom)
    first = recommendations[0]
    noisy = np.array(first.frontier.sigmas) > 0
    assert cost.y / 100 == pytest.approx(np.array(first.frontier.accuracy_loss)[noisy])
    assert points.y / 100 == pytest.approx(first.accuracy_loss[1])
    assert top.get_xlim() == bottom.get_xlim()


@pytest.mark.parametrize(
    "question",
    [
        {"target_queries": 1},
        {"target_queries": 1e12},
        {"target_queries": 1e12, "attacker": "published"},
        {"target_queries": 400, "max_accuracy_loss": 0},
        {"target_queries": 400, "plan": NESPlan(eps=0.7)},
    ],
)
@pytest.mark.parametrize("noise", [2.0, 1e-200, 1e200])
def test_every_answer_can_be_drawn_without_a_warning(question, noise, tmp_path):
    rec = recommend_sigma(synthetic(loss=LOSS, noise=noise), **question)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rec.plot(tmp_path / "f.svg")
    assert (tmp_path / "f.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    "changes",
    [
        {"levels": ()},
        {"attacker": "square"},
        {"attacker": "published:square"},
        {"status": "UNRESOLVED", "standings": (), "binding": "trials"},
        {"status": "INFEASIBLE", "ceiling": (3.0, 5.0, 9.0), "standings": ()},
        {"target_queries": 1e9, "status": "PREDICTED"},
        {"levels": (Level(0.05, (), (0.0, 0.0, 0.0), "open"),)},
        {
            "levels": tuple(
                Level(
                    0.01 * 1.1**i,
                    (standing(f"attack{i}", [9.0] * 30),),
                    (-0.01, 0.5, 0.6),
                    "falls",
                )
                for i in range(20)
            )
        },
    ],
)
def test_every_trial_can_be_drawn_without_a_warning(changes, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frontier_figure([tried(**changes)], path=tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 1000


@pytest.mark.parametrize("name", ["f.gif", "f", "f.csv", "png"])
def test_an_unknown_suffix_is_one_line(recommendations, tmp_path, name):
    with pytest.raises(DomainError, match=r"path to end in .png, .svg or .pdf, got"):
        frontier_figure(recommendations, path=tmp_path / name)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("where", ["absent/f.png", "folder.png"])
def test_an_unwritable_path_is_one_line(recommendations, tmp_path, where):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DomainError, match="expected a writable path, got") as caught:
        frontier_figure(recommendations, path=tmp_path / where)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["folder.png"]


def test_nothing_to_draw():
    with pytest.raises(DomainError, match="expected recommendations not empty"):
        frontier_figure([])
