"""The frontier: its numbers are the recommendations', its files whole or absent."""

import csv
import math
import os
import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure
from synthetic_statistics import synthetic

from querytax.expect import DomainError
from querytax.figures import frontier_data, frontier_figure
from querytax.figures.frontier import frontier_cost, frontier_queries
from querytax.figures.style import curves_of
from querytax.plans import NESPlan
from querytax.proof import Trial
from querytax.recommend import recommend_sigma

LOSS = (0.0, 0.0, 0.0, 0.005, 0.5, 0.6)


@pytest.fixture(scope="module")
def recommendations():
    stats = synthetic(loss=LOSS)
    return [recommend_sigma(stats, 400, attacker=a) for a in ("published", "best")]


def trials():
    plan = NESPlan(eps=0.1)
    common = {
        "site": "output:probabilities:reflect",
        "plan": plan,
        "quantile": 0.1,
        "predicted": (1.0, 2.0, 3.0),
        "confirmed": 1.0,
        "success_rate": 0.5,
        "confirmed_rate": 0.5,
        "predicted_rate": 0.5,
        "n_images": 10,
        "budget": 1000,
        "seed": 0,
    }
    return [
        Trial(
            sigma=0.0, attacker="best", measured=90.0, interval=(60.0, 120.0), **common
        ),
        Trial(
            sigma=0.02,
            attacker="published",
            measured=math.inf,
            interval=(800.0, math.inf),
            **common,
        ),
        Trial(
            sigma=0.05,
            attacker="published",
            measured=math.inf,
            interval=(math.inf, math.inf),
            **common,
        ),
    ]


def test_data_are_the_recommendations_and_trials(recommendations):
    rows = frontier_data(recommendations, trials())
    predicted = [r for r in rows if r["kind"] == "predicted"]
    assert len(predicted) == sum(len(r.frontier.sigmas) for r in recommendations)
    for rec in recommendations:
        mine = [r for r in predicted if r["attacker"] == rec.attacker]
        f = rec.frontier
        assert tuple(r["sigma"] for r in mine) == f.sigmas == tuple(sorted(f.sigmas))
        assert tuple(r["accuracy_loss"] for r in mine) == f.accuracy_loss
        keys = ("queries_lower", "queries", "queries_upper")
        assert tuple(tuple(r[k] for k in keys) for r in mine) == f.queries
        assert [r["plan"] for r in mine] == [p.describe() for p in f.plans]
        assert rec.sigma in f.sigmas
    measured = [r for r in rows if r["kind"] == "measured"]
    assert [r["queries"] for r in measured] == [t.measured for t in trials()]


@pytest.mark.parametrize(
    ("name", "magic"), [("f.png", b"\x89PNG"), ("f.svg", b"<?xml"), ("F.PDF", b"%PDF")]
)
def test_figure_and_data_are_written_side_by_side(
    recommendations, tmp_path, name, magic
):
    frontier_figure(recommendations, trials(), path=tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(magic)
    assert sorted(os.listdir(tmp_path)) == sorted([name, f"{name[0]}.csv"])
    with open(tmp_path / f"{name[0]}.csv", newline="") as stream:
        read = list(csv.DictReader(stream))
    rows = frontier_data(recommendations, trials())
    assert [{k: str(v) for k, v in row.items()} for row in rows] == read
    assert float(read[0]["sigma"]) == rows[0]["sigma"]


def test_what_is_drawn(recommendations):
    figure = frontier_figure(recommendations, trials())
    top, bottom = figure.axes
    assert top.get_title(loc="left") == "what noise on the outputs buys"
    assert top.get_yscale() == bottom.get_xscale() == "log"
    assert "10 % of the images" in top.get_ylabel()
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert "published attacker, predicted" in labels
    assert "best attacker, measured (95 %; arrow: no upper end)" in labels
    assert {"target", "allowed"} <= {t.get_text() for a in figure.axes for t in a.texts}


def test_panels_go_on_any_axes_and_keep_the_numbers(recommendations):
    top, bottom = Figure().subplots(2)
    assert frontier_queries(top, recommendations, trials()) is top
    assert frontier_cost(bottom, recommendations) is bottom
    found = {c.label: c for c in curves_of(top)}
    for rec in recommendations:
        f, curve = rec.frontier, found[f"{rec.attacker} attacker, predicted"]
        known = {s: q for s, q in zip(f.sigmas, f.queries, strict=True) if s > 0}
        # No noise is drawn to the left of the least noise.
        assert curve.x[0] < min(known)
        assert curve.y[0] == f.queries[0][1]
        for sigma, middle, lower in zip(
            curve.x[1:], curve.y[1:], curve.lower[1:], strict=True
        ):
            assert (lower, middle) == known.pop(sigma)[:2]
        # What is left stalls, and says so.
        ceiling = top.get_ylim()[1] / 2
        assert all(middle > ceiling for _, middle, _ in known.values())
        words = [t for t in top.texts if t.get_text() == "stalls"]
        assert len(words) == sum(
            any(q[1] > ceiling for q in r.frontier.queries) for r in recommendations
        )
    measured = found["published attacker, measured (95 %; arrow: no upper end)"]
    assert measured.y.tolist() == [1000.0, 1000.0]
    assert np.isinf(measured.upper).all()
    # Nothing is cut off below, and hardly any room is empty.
    fewest = min(min(c.lower[np.isfinite(c.lower)]) for c in found.values())
    assert fewest / 3 < top.get_ylim()[0] < fewest
    (cost,) = curves_of(bottom)
    assert tuple(cost.y / 100) == pytest.approx(
        recommendations[0].frontier.accuracy_loss
    )
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
